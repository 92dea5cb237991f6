/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tester's parts: rounds of swaps (swapper.c) and what must be refused (refusals.c). */
#ifndef IOEMU_TESTS_XEN_SWAP_TESTER_H
#define IOEMU_TESTS_XEN_SWAP_TESTER_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "ioreq/swap_xen.h"
#include "swap.h"

struct tester {
    uint16_t domid;
    xc_interface *xc;
    xenforeignmemory_handle *memory;
    struct swap_xen *swap;        /* SWAP_PAGES pages of ours */
    struct swap_command *command; /* the guest's */
    unsigned failed;
};

/* One line "ok NAME" or "not ok NAME - WHY", counted. Returns `good`. */
bool check(struct tester *t, const char *name, bool good, const char *why, ...)
    __attribute__((format(printf, 4, 5)));
/* Has the guest do something; ends the tester if it does not within a minute. */
void command(struct tester *t, enum swap_op op, uint32_t seed);

void refusals(struct tester *t);

#endif
