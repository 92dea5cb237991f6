/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/log.h"

/* What `log_write` puts on stderr for this text. */
static ssize_t written(int level, int priority, const char *guest, const char *text, char *buf,
                       size_t size)
{
    struct log log;
    int saved = dup(STDERR_FILENO), pipes[2];
    ssize_t n;

    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    dup2(pipes[1], STDERR_FILENO);
    log_init(&log, level);
    log_write(&log, priority, guest, "%s", text);
    dup2(saved, STDERR_FILENO);
    n = read(pipes[0], buf, size - 1);
    close(pipes[0]);
    close(pipes[1]);
    close(saved);
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

static void a_line_names_its_guest(void **state)
{
    char line[LOG_LINE_MAX + 1];

    written(LOG_INFO, LOG_INFO, "web1", "event=attached domid=3", line, sizeof(line));
    assert_string_equal(line, "guest=web1 event=attached domid=3\n");
}

static void what_is_less_important_than_the_level_is_not_written(void **state)
{
    char line[LOG_LINE_MAX + 1];

    assert_true(written(LOG_WARNING, LOG_INFO, NULL, "x", line, sizeof(line)) < 0);
}

static void a_log_on_another_has_its_level_until_it_gets_its_own(void **state)
{
    struct log base, log;

    log_init(&base, LOG_INFO);
    log_init_on(&log, &base);
    assert_int_equal(log_level(&log), LOG_INFO);
    log_set_level(&base, LOG_ERR);
    assert_int_equal(log_level(&log), LOG_ERR);
    log_set_level(&log, LOG_DEBUG);
    assert_int_equal(log_level(&log), LOG_DEBUG);
    assert_int_equal(log_level(&base), LOG_ERR);
    log_set_level(&log, LOG_AS_BASE);
    assert_int_equal(log_level(&log), LOG_ERR);
}

static void levels_have_the_names_of_syslog(void **state)
{
    for (int level = LOG_EMERG; level <= LOG_DEBUG; level++)
        assert_int_equal(log_level_parse(log_level_name(level)), level);
    assert_int_equal(log_level_parse("loud"), -1);
    assert_int_equal(log_level_parse("default"), -1);
    assert_string_equal(log_level_name(LOG_AS_BASE), "default");
}

static void control_characters_cannot_forge_lines(void **state)
{
    char line[LOG_LINE_MAX + 1];

    written(LOG_INFO, LOG_INFO, NULL, "a\n<0>event=forged\033[2J", line, sizeof(line));
    assert_string_equal(line, "a?<0>event=forged?[2J\n");
}

static void a_long_line_is_cut_not_overrun(void **state)
{
    char text[3 * LOG_LINE_MAX], line[4 * LOG_LINE_MAX];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ssize_t n = written(LOG_INFO, LOG_INFO, "web1", text, line, sizeof(line));
    assert_in_range(n, LOG_LINE_MAX - 8, LOG_LINE_MAX);
    assert_int_equal(line[n - 1], '\n');
}

/* XSA-180 (CVE-2014-3672): a guest must not be able to fill the disk with log lines. */
static void xsa_180_a_guest_gets_a_bounded_number_of_lines(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed, now = 1;
    unsigned allowed = 0;

    for (unsigned i = 0; i < 100000; i++)
        allowed += log_allow(&limit, now += 1000, &suppressed);
    assert_int_equal(allowed, LOG_BURST);
    assert_true(log_allow(&limit, now + LOG_WINDOW_NS, &suppressed));
    assert_int_equal(suppressed, 100000 - LOG_BURST);
    assert_int_equal(limit.suppressed_total, 100000 - LOG_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_its_guest),
        cmocka_unit_test(what_is_less_important_than_the_level_is_not_written),
        cmocka_unit_test(a_log_on_another_has_its_level_until_it_gets_its_own),
        cmocka_unit_test(levels_have_the_names_of_syslog),
        cmocka_unit_test(control_characters_cannot_forge_lines),
        cmocka_unit_test(a_long_line_is_cut_not_overrun),
        cmocka_unit_test(xsa_180_a_guest_gets_a_bounded_number_of_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
