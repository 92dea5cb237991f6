/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's qtest protocol (QEMU documentation, "QTest Device Emulation Testing Framework", "QTest
 * Protocol"): a request is a line of words, its answer a line that begins with OK or FAIL; before
 * it may come lines "IRQ raise N" and "IRQ lower N" of what the request set off.
 */
#ifndef IOEMUD_TESTS_DIFF_QTEST_COMMANDS_H
#define IOEMUD_TESTS_DIFF_QTEST_COMMANDS_H

#include <stddef.h>

#include "tests/diff/qtest_machine.h"

struct qtest {
    struct qtest_machine machine;
    bool intercepted; /* interrupts are to be told */
    char *out;        /* what is to be sent; the sender sets `out_len` back to 0 */
    size_t out_len, out_size;
};

void qtest_init(struct qtest *qtest, const struct qtest_options *options);
void qtest_finish(struct qtest *qtest);
/* A line without its newline; it is changed. The answer is appended to `out`, and everything that
 * it set off has happened by then. */
void qtest_command(struct qtest *qtest, char *line);

#endif
