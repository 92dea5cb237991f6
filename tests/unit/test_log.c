/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* A journal of our own. */
struct journal {
    char path[64];
    int fd;
    struct log log;
};

static void journal_open(struct journal *journal)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    snprintf(journal->path, sizeof(journal->path), "/tmp/test_log.%d", getpid());
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", journal->path);
    unlink(journal->path);
    journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(journal->fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    log_init(&journal->log, LOG_INFO);
    log_finish(&journal->log);
    assert_int_equal(log_use_journal(&journal->log, journal->path), 0);
}

static void journal_close(struct journal *journal)
{
    log_finish(&journal->log);
    close(journal->fd);
    unlink(journal->path);
}

__attribute__((format(printf, 5, 6))) static void tell(const struct log *log, int priority,
                                                       const char *guest, const char *device,
                                                       const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vwrite(log, priority, guest, device, format, args);
    va_end(args);
}

static void an_entry_of_the_journal_has_guest_and_device_as_fields(void **state)
{
    char entry[2 * LOG_LINE_MAX] = "";
    struct journal journal;

    journal_open(&journal);
    tell(&journal.log, LOG_WARNING, "web1", "ide0", "event=%s", "reset");
    assert_true(recv(journal.fd, entry, sizeof(entry) - 1, 0) > 0);
    assert_string_equal(entry, "SYSLOG_IDENTIFIER=ioemud\nPRIORITY=4\nGUEST=web1\nDEVICE=ide0\n"
                               "MESSAGE=guest=web1 device=ide0 event=reset\n");
    memset(entry, 0, sizeof(entry));
    tell(&journal.log, LOG_INFO, NULL, NULL, "event=started");
    assert_true(recv(journal.fd, entry, sizeof(entry) - 1, 0) > 0);
    assert_string_equal(entry, "SYSLOG_IDENTIFIER=ioemud\nPRIORITY=6\nMESSAGE=event=started\n");
    journal_close(&journal);
}

static void a_guest_cannot_forge_fields_of_the_journal(void **state)
{
    char entry[2 * LOG_LINE_MAX] = "", name[400];
    struct journal journal;

    journal_open(&journal);
    tell(&journal.log, LOG_INFO, "a\nPRIORITY=0", NULL, "x\n_PID=1");
    assert_true(recv(journal.fd, entry, sizeof(entry) - 1, 0) > 0);
    assert_string_equal(entry, "SYSLOG_IDENTIFIER=ioemud\nPRIORITY=6\nGUEST=a?PRIORITY=0\n"
                               "MESSAGE=guest=a?PRIORITY=0 x?_PID=1\n");
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(entry, 0, sizeof(entry));
    tell(&journal.log, LOG_INFO, name, NULL, "x");
    assert_true(recv(journal.fd, entry, sizeof(entry) - 1, 0) > 0);
    assert_non_null(strstr(entry, "nnn\nMESSAGE=guest=nnn"));
    journal_close(&journal);
}

/* A worker must go on when the journal does not. */
static void a_journal_at_a_halt_loses_entries_and_holds_nobody_up(void **state)
{
    char entry[2 * LOG_LINE_MAX];
    struct journal journal;
    unsigned arrived = 0;

    journal_open(&journal);
    for (unsigned i = 0; i < 20000; i++) /* more than any socket's queue holds */
        tell(&journal.log, LOG_INFO, "web1", NULL, "event=%u", i);
    while (recv(journal.fd, entry, sizeof(entry), 0) > 0)
        arrived++;
    assert_in_range(arrived, 1, 19999);
    journal_close(&journal);
}

static void without_a_journal_lines_go_to_stderr_again(void **state)
{
    int saved = dup(STDERR_FILENO), pipes[2];
    char line[LOG_LINE_MAX + 1] = "";
    struct journal journal;

    journal_open(&journal);
    close(journal.fd);
    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    dup2(pipes[1], STDERR_FILENO);
    journal.log.journal = false;
    tell(&journal.log, LOG_INFO, "web1", NULL, "event=kept");
    dup2(saved, STDERR_FILENO);
    assert_true(read(pipes[0], line, sizeof(line) - 1) > 0);
    assert_string_equal(line, "guest=web1 event=kept\n");
    close(pipes[0]);
    close(pipes[1]);
    close(saved);
    journal.fd = -1;
    journal_close(&journal);
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
        cmocka_unit_test(an_entry_of_the_journal_has_guest_and_device_as_fields),
        cmocka_unit_test(a_guest_cannot_forge_fields_of_the_journal),
        cmocka_unit_test(a_journal_at_a_halt_loses_entries_and_holds_nobody_up),
        cmocka_unit_test(without_a_journal_lines_go_to_stderr_again),
        cmocka_unit_test(xsa_180_a_guest_gets_a_bounded_number_of_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
