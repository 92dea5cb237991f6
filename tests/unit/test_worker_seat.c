/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Worker processes that several guests share, and those that hang, as the control side sees them.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/guest_rig_hv.h"
#include "tests/unit/worker_rig.h"

#define GUEST "{'name': 'a', 'disks': [" GUEST_RIG_DISK "]}"

/* Guests "g0", "g1", ... of which `workers` processes serve as many as there are, each at most
 * `most` (0: any number). */
static void share(struct guest_rig *rig, unsigned guests, unsigned workers, unsigned most)
{
    rig->daemon.config.worker_guests = most;
    rig->daemon.config.workers = workers;
    for (unsigned i = 0; i < guests; i++) {
        struct rig_outcome outcome = {0};
        char json[64];

        snprintf(json, sizeof(json), "{'name': 'g%u', 'disks': []}", i);
        guest_rig_attach(rig, json, &outcome);
        guest_rig_settle(rig, i + 1);
        assert_string_equal(outcome.why, "");
        assert_int_equal(outcome.err, 0);
    }
}

static struct guest *guest_named(struct guest_rig *rig, const char *name)
{
    struct guest *guest = rig->daemon.guests;

    while (guest && strcmp(guest->config.name, name) != 0)
        guest = guest->next;
    assert_non_null(guest);
    return guest;
}

static pid_t pid_of(struct guest_rig *rig, const char *name)
{
    return worker_process_pid(guest_named(rig, name)->worker);
}

static unsigned processes(struct guest_rig *rig)
{
    const struct worker *worker = NULL;
    unsigned count = 0;

    while ((worker = worker_process_next(&rig->daemon, worker)))
        count++;
    return count;
}

static void guests_share_as_many_processes_as_there_are_workers(void **state)
{
    struct guest_rig *rig = *state;

    share(rig, 6, 2, 0);
    assert_int_equal(processes(rig), 2);
    for (const struct worker *worker = worker_process_next(&rig->daemon, NULL); worker;
         worker = worker_process_next(&rig->daemon, worker))
        assert_int_equal(worker->guests, 3);
}

static void no_process_has_more_guests_than_it_may_have(void **state)
{
    struct guest_rig *rig = *state;

    share(rig, 5, 1, 2);
    assert_int_equal(processes(rig), 3);
    for (const struct worker *worker = worker_process_next(&rig->daemon, NULL); worker;
         worker = worker_process_next(&rig->daemon, worker))
        assert_in_range(worker->guests, 1, 2);
}

/* Instead of none, as with threads. */
static void a_guest_whose_disks_no_process_has_pages_for_gets_one_more(void **state)
{
    struct guest_rig *rig = *state;
    struct rig_outcome outcome = {0};

    rig->daemon.config.pool_pages = 64;
    rig->daemon.config.workers = 1;
    rig->daemon.config.worker_guests = 0;
    for (unsigned i = 0; i < 5; i++) {
        char json[256];

        snprintf(json, sizeof(json), "{'name': 'g%u', 'disks': [" GUEST_RIG_DISK "]}", i);
        guest_rig_attach(rig, json, &outcome);
        guest_rig_settle(rig, i + 1);
        assert_int_equal(outcome.err, 0);
    }
    assert_int_equal(processes(rig), 2);
}

static void a_shared_process_ends_with_its_last_guest(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    pid_t pid;

    share(rig, 2, 1, 0);
    pid = pid_of(rig, "g0");
    assert_int_equal(pid_of(rig, "g1"), pid);
    guest_detach(guest_named(rig, "g0"), NULL, NULL);
    guest_rig_settle(rig, 1);
    assert_int_equal(pid_of(rig, "g1"), pid);
    assert_int_equal(kill(pid, 0), 0);
    guest_detach(guest_named(rig, "g1"), NULL, NULL);
    guest_rig_settle(rig, 0);
    while (rig->daemon.processes)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    assert_int_equal(kill(pid, 0), -1);
    worker_rig_none_stays(descriptors);
}

struct others {
    pid_t pid;
};

static bool both_have_another(struct guest_rig *rig, void *arg)
{
    const struct others *was = arg;

    for (const struct guest *guest = rig->daemon.guests; guest; guest = guest->next)
        if (guest->state != GUEST_RUNNING || worker_process_pid(guest->worker) == was->pid)
            return false;
    return true;
}

static void a_shared_process_that_dies_takes_its_guests_along_and_no_other(void **state)
{
    struct guest_rig *rig = *state;
    unsigned reset = 0;
    struct others was;
    pid_t stays;

    share(rig, 4, 2, 0);
    was.pid = pid_of(rig, "g0");
    stays = pid_of(rig, "g1");
    assert_int_not_equal(was.pid, stays);
    kill(was.pid, SIGKILL);
    guest_rig_run(rig, both_have_another, &was);
    for (const struct guest *guest = rig->daemon.guests; guest; guest = guest->next) {
        reset += guest->reset;
        assert_int_equal(worker_process_pid(guest->worker) == stays, !guest->reset);
    }
    assert_int_equal(reset, 2);
    assert_false(guest_named(rig, "g1")->reset);
    assert_int_equal(processes(rig), 3);
}

/* It is one of them that has brought their process down, and does so time and again. */
static void who_brings_the_next_process_down_takes_nobody_along(void **state)
{
    struct guest_rig *rig = *state;
    struct rig_outcome outcome = {0};
    struct others was;
    pid_t other;

    share(rig, 3, 1, 0);
    was.pid = pid_of(rig, "g0");
    kill(was.pid, SIGKILL);
    guest_rig_run(rig, both_have_another, &was);
    assert_int_equal(processes(rig), 3);
    other = pid_of(rig, "g1");
    /* Nor does somebody else come into it. */
    guest_rig_attach(rig, "{'name': 'new', 'disks': []}", &outcome);
    guest_rig_settle(rig, 4);
    assert_int_equal(outcome.err, 0);
    assert_int_equal(processes(rig), 4);
    kill(pid_of(rig, "g0"), SIGKILL);
    guest_rig_settle(rig, 3);
    assert_int_equal(pid_of(rig, "g1"), other);
    assert_int_equal(guest_named(rig, "g2")->state, GUEST_RUNNING);
    assert_int_equal(guest_named(rig, "new")->state, GUEST_RUNNING);
}

static void a_guest_that_fails_to_start_leaves_the_process_to_others(void **state)
{
    struct guest_rig *rig = *state;
    struct rig_outcome outcome = {0};
    pid_t pid;

    share(rig, 1, 1, 0);
    pid = pid_of(rig, "g0");
    guest_rig_attach(rig,
                     "{'name': 'b', 'nics': [{'backend': 'null', 'slot': 4}, {'backend': "
                     "'null', 'devid': 1, 'slot': 4}]}",
                     &outcome);
    guest_rig_settle(rig, 1);
    assert_int_not_equal(outcome.err, 0);
    assert_int_equal(pid_of(rig, "g0"), pid);
    assert_int_equal(worker_process_of(guest_named(rig, "g0")->worker)->n_seats, 1);
}

/* With one descriptor more each time: whatever could not be had, nothing stays, and who is served
 * by the process that there is goes on to be. */
static void a_lack_of_descriptors_fails_one_guest_and_leaves_nothing(void **state)
{
    struct guest_rig *rig = *state;
    unsigned failed = 0, descriptors;
    struct rlimit limit, before;

    share(rig, 1, 1, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    descriptors = guest_rig_descriptors();
    for (unsigned more = 0; more < 64; more++) {
        struct rig_outcome outcome = {0};

        /* The next guest shares; every other time it gets a process of its own. */
        rig->daemon.config.worker_guests = more & 1;
        limit = (struct rlimit){descriptors + more / 2, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        guest_rig_attach(rig, "{'name': 'x', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        guest_rig_settle(rig, outcome.err ? 1 : 2);
        assert_int_equal(outcome.told, 1);
        failed += outcome.err != 0;
        if (!outcome.err)
            guest_detach(guest_named(rig, "x"), NULL, NULL);
        guest_rig_settle(rig, 1);
        while (rig->daemon.processes->next)
            ev_run(rig->daemon.ev, EVRUN_ONCE);
        worker_rig_none_stays(descriptors);
    }
    assert_in_range(failed, 4, 60);
    assert_int_equal(guest_named(rig, "g0")->state, GUEST_RUNNING);
}

/* ---- they hang --------------------------------------------------------------------------------*/

static void one_that_hangs_is_ended_and_its_guest_gets_another(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_was was;

    rig->daemon.config.worker_timeout = 1;
    was.pid = worker_rig_start(rig, GUEST);
    kill(was.pid, SIGSTOP);
    guest_rig_run(rig, worker_rig_has_another, &was);
    assert_int_equal(rig->hv_guests, 1);
    assert_true(worker_process_progress(&rig->daemon));
}

struct told {
    unsigned hangs;
};

static void on_log(void *ctx, int priority, const char *guest, const char *device, const char *text)
{
    struct told *told = ctx;

    told->hangs += priority == LOG_CRIT && strstr(text, "event=worker-hangs") != NULL;
}

static bool is_lost(struct guest_rig *rig, void *arg)
{
    return rig->daemon.processes->lost;
}

static bool told_again(struct guest_rig *rig, void *arg)
{
    return ((struct told *)arg)->hangs == 2;
}

/* As one is that waits in the kernel for a disk: SIGKILL is on its way, and nobody can reap it. The
 * watchdog goes on to be fed, daemon.c, and who does not look at the log at once sees it later. */
static void one_that_was_killed_and_does_not_go_is_told_of_and_holds_nobody_up(void **state)
{
    struct guest_rig *rig = *state;
    struct log *log = &rig->daemon.log;
    struct worker_process *process;
    struct worker_was was;
    struct told told = {0};

    rig->daemon.config.worker_timeout = 1;
    was.pid = worker_rig_start(rig, GUEST);
    process = worker_process_of(rig->daemon.guests->worker);
    log_set_level(log, LOG_CRIT);
    log_divert(log, on_log, &told);
    ev_io_stop(rig->daemon.ev, &process->exit_io);
    kill(was.pid, SIGSTOP);
    guest_rig_run(rig, is_lost, NULL);
    assert_int_equal(told.hangs, 1);
    assert_true(process->hangs);
    assert_true(worker_process_progress(&rig->daemon));
    sleep(2);
    for (unsigned i = 0; i < 10; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    assert_int_equal(told.hangs, 1);
    process->told_ns -= WORKER_HANGS_NS;
    guest_rig_run(rig, told_again, &told);

    /* Had it not been possible to kill it, only an end of the daemon would be left. */
    process->killed = false;
    assert_false(worker_process_progress(&rig->daemon));
    process->killed = true;
    ev_io_start(rig->daemon.ev, &process->exit_io);
    guest_rig_run(rig, worker_rig_has_another, &was);
    assert_true(worker_process_progress(&rig->daemon));
    log_divert(log, NULL, NULL);
    log_set_level(log, -1);
}

/* Its hypervisor's half takes so long to open. */
static int slow_bare(struct hv_host **ret_host)
{
    sleep(3);
    return guest_rig_hv_ops.host_bare(ret_host);
}

static void attach_slowly(struct guest_rig *rig, struct hv_ops *slow, struct rig_outcome *outcome)
{
    rig->daemon.config.worker_timeout = 1;
    *slow = guest_rig_hv_ops;
    slow->host_bare = slow_bare;
    rig->daemon.hv[DAEMON_XEN] = slow;
    guest_rig_attach(rig, GUEST, outcome);
}

/* It has no loop yet that could answer. */
static void one_that_is_becoming_a_worker_is_given_its_time(void **state)
{
    static struct hv_ops slow;
    struct rig_outcome outcome;
    struct guest_rig *rig = *state;

    attach_slowly(rig, &slow, &outcome);
    guest_rig_settle(rig, 1);
    assert_string_equal(outcome.why, "");
    assert_int_equal(outcome.err, 0);
}

static void one_that_does_not_become_a_worker_is_ended(void **state)
{
    static struct hv_ops slow;
    struct rig_outcome outcome;
    struct guest_rig *rig = *state;

    attach_slowly(rig, &slow, &outcome);
    rig->daemon.processes->started_ns -= WORKER_SETUP_NS;
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -EIO);
    assert_non_null(strstr(outcome.why, "signal 9"));
}

struct turns {
    pid_t pid;
    uint32_t beats, seen;
};

static bool has_answered(struct guest_rig *rig, void *arg)
{
    const struct worker_process *process = worker_process_of(rig->daemon.guests->worker);
    struct turns *turns = arg;

    if (process->beats != turns->beats)
        turns->seen++;
    turns->beats = process->beats;
    return turns->seen == 4; /* asked, answered, asked, answered */
}

static void one_that_gives_signs_of_life_stays(void **state)
{
    struct guest_rig *rig = *state;
    struct turns turns = {0};

    rig->daemon.config.worker_timeout = 1;
    turns.pid = worker_rig_start(rig, GUEST);
    guest_rig_run(rig, has_answered, &turns);
    assert_int_equal(worker_process_pid(rig->daemon.guests->worker), turns.pid);
}

static bool is_asked(struct guest_rig *rig, void *arg)
{
    return worker_process_of(rig->daemon.guests->worker)->beats;
}

/* What the worker has said meanwhile is there, but not looked at, when the timer comes. */
static void a_control_side_that_stood_still_does_not_take_it_for_the_worker_s_fault(void **state)
{
    struct guest_rig *rig = *state;
    pid_t pid;

    rig->daemon.config.worker_timeout = 1;
    pid = worker_rig_start(rig, GUEST);
    guest_rig_run(rig, is_asked, NULL);
    sleep(3);
    for (unsigned i = 0; i < 100; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    guest_rig_run(rig, is_asked, NULL);
    assert_int_equal(worker_process_pid(rig->daemon.guests->worker), pid);
    assert_false(worker_process_of(rig->daemon.guests->worker)->lost);
}

static bool is_answered(struct guest_rig *rig, void *arg)
{
    return !is_asked(rig, arg);
}

/* And the next answer has a whole interval's time again. */
static void who_was_asked_late_has_as_long_to_answer(void **state)
{
    struct guest_rig *rig = *state;
    pid_t pid;

    rig->daemon.config.worker_timeout = 0;
    pid = worker_rig_start(rig, GUEST);
    rig->daemon.config.worker_timeout = 1;
    worker_process_beat_again(&rig->daemon);
    assert_false(is_asked(rig, NULL));
    sleep(3);
    kill(pid, SIGSTOP);
    for (unsigned i = 0; i < 100; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    assert_true(is_asked(rig, NULL));
    kill(pid, SIGCONT);
    guest_rig_run(rig, is_answered, NULL);
    assert_int_equal(worker_process_pid(rig->daemon.guests->worker), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, worker_rig_setup, worker_rig_teardown)
        TEST(guests_share_as_many_processes_as_there_are_workers),
        TEST(no_process_has_more_guests_than_it_may_have),
        TEST(a_guest_whose_disks_no_process_has_pages_for_gets_one_more),
        TEST(a_shared_process_ends_with_its_last_guest),
        TEST(a_shared_process_that_dies_takes_its_guests_along_and_no_other),
        TEST(who_brings_the_next_process_down_takes_nobody_along),
        TEST(a_guest_that_fails_to_start_leaves_the_process_to_others),
        TEST(a_lack_of_descriptors_fails_one_guest_and_leaves_nothing),
        TEST(one_that_hangs_is_ended_and_its_guest_gets_another),
        TEST(one_that_was_killed_and_does_not_go_is_told_of_and_holds_nobody_up),
        TEST(one_that_is_becoming_a_worker_is_given_its_time),
        TEST(one_that_does_not_become_a_worker_is_ended),
        TEST(one_that_gives_signs_of_life_stays),
        TEST(a_control_side_that_stood_still_does_not_take_it_for_the_worker_s_fault),
        TEST(who_was_asked_late_has_as_long_to_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
