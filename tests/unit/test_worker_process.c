/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Worker processes as the control side sees them: those that end, those that stop and those that
 * say what none of ours would. Guests of the rig's hypervisor, each in a real process.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_nics.h"
#include "daemon/worker_process_priv.h"
#include "tests/unit/guest_rig.h"

#define GUEST "{'name': 'a', 'disks': [" GUEST_RIG_DISK "]}"
#define NIC   "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'null'}]}"

static int setup(void **state)
{
    struct guest_rig *rig = malloc(sizeof(*rig));

    assert_non_null(rig);
    guest_rig_start(rig);
    /* No threads then, as in the daemon: and no pool, which a child does not get but whose place
     * the address sanitizer would remember. */
    worker_destroy(rig->daemon.worker[0]);
    rig->daemon.worker[0] = NULL;
    rig->daemon.n_workers = 0;
    rig->daemon.config.isolation = ISOLATION_PROCESS;
    rig->daemon.config.worker_guests = 1;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    guest_rig_stop(*state);
    free(*state);
    return 0;
}

/* The worker of the only guest, which runs. */
static pid_t start(struct guest_rig *rig, const char *json)
{
    struct rig_outcome outcome = {0};

    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.told, 1);
    assert_string_equal(outcome.why, "");
    assert_int_equal(outcome.err, 0);
    assert_int_equal(rig->daemon.guests->state, GUEST_RUNNING);
    return worker_process_pid(rig->daemon.guests->worker);
}

static void a_guest_runs_in_a_process_of_its_own_and_leaves(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    pid_t pid = start(rig, GUEST);

    assert_int_not_equal(pid, getpid());
    assert_int_equal(kill(pid, 0), 0);
    assert_null(rig->daemon.guests->vm);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    while (rig->daemon.processes)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(guest_rig_descriptors(), descriptors);
}

static void everything_is_handed_over_and_comes_back(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    for (unsigned i = 0; i < 3; i++) {
        start(rig, guest_rig_everything(rig));
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, 0);
        assert_true(guest_rig_socket_gone(rig));
    }
    while (rig->daemon.processes)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    assert_int_equal(guest_rig_descriptors(), descriptors);
}

static void a_start_that_fails_in_the_process_is_told(void **state)
{
    struct guest_rig *rig = *state;
    struct rig_outcome outcome = {0};

    rig->fail = RIG_START; /* the process's copy of the rig does */
    guest_rig_attach(rig, GUEST, &outcome);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -ENXIO);
    assert_non_null(strstr(outcome.why, "mapping the request pages"));
    rig->fail = RIG_NONE;
}

static void what_a_process_cannot_serve_is_refused(void **state)
{
    struct guest_rig *rig = *state;
    struct rig_outcome outcome = {0};

    guest_rig_attach(rig, "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'user'}]}", &outcome);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -EOPNOTSUPP);
    assert_non_null(strstr(outcome.why, "\"isolation\": \"process\""));
}

/* ---- they end ---------------------------------------------------------------------------------*/

struct was {
    pid_t pid;
};

static bool has_another(struct guest_rig *rig, void *arg)
{
    const struct was *was = arg;
    const struct guest *guest = rig->daemon.guests;

    return guest && guest->state == GUEST_RUNNING && worker_process_pid(guest->worker) != was->pid;
}

static void a_domain_s_devices_start_anew_when_its_worker_dies(void **state)
{
    struct guest_rig *rig = *state;
    struct was was = {start(rig, GUEST)};

    assert_false(rig->daemon.guests->reset);
    kill(was.pid, SIGKILL);
    guest_rig_run(rig, has_another, &was);
    assert_true(rig->daemon.guests->reset); /* and is told so in `list` */
    assert_int_equal(rig->hv_guests, 1);
    assert_int_equal(guest_rig_records(rig), 1);
}

static void a_worker_that_keeps_dying_is_not_started_for_ever(void **state)
{
    struct guest_rig *rig = *state;
    struct was was = {start(rig, GUEST)};

    kill(was.pid, SIGKILL);
    guest_rig_run(rig, has_another, &was);
    kill(worker_process_pid(rig->daemon.guests->worker), SIGKILL);
    guest_rig_settle(rig, 0);
    assert_int_equal(rig->hv_guests, 0);
    assert_int_equal(guest_rig_records(rig), 0);
}

static void one_that_dies_while_its_guest_leaves_does_not_keep_it(void **state)
{
    struct guest_rig *rig = *state;
    pid_t pid = start(rig, GUEST);

    kill(pid, SIGSTOP);
    guest_detach(rig->daemon.guests, NULL, NULL);
    assert_int_equal(rig->daemon.guests->state, GUEST_STOPPING);
    kill(pid, SIGKILL);
    guest_rig_settle(rig, 0);
}

struct answer {
    unsigned told;
    int err;
};

static void on_answer(void *ctx, int err, const char *why)
{
    struct answer *answer = ctx;

    answer->told++;
    answer->err = err;
}

static bool is_told(struct guest_rig *rig, void *arg)
{
    return ((struct answer *)arg)->told > 0;
}

static void a_request_is_answered_by_the_process(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer = {0}, other = {0};

    start(rig, NIC);
    guest_nic_link(rig->daemon.guests, 0, false, on_answer, &answer);
    guest_nic_link(rig->daemon.guests, 5, false, on_answer, &other);
    guest_rig_run(rig, is_told, &other);
    assert_int_equal(answer.told, 1);
    assert_int_equal(answer.err, 0);
    assert_int_equal(other.err, -ENOENT);
}

static void a_request_that_a_dead_worker_took_along_is_answered(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer = {0};
    pid_t pid = start(rig, NIC);

    kill(pid, SIGSTOP);
    guest_nic_link(rig->daemon.guests, 0, false, on_answer, &answer);
    kill(pid, SIGKILL);
    guest_rig_run(rig, is_told, &answer);
    assert_int_equal(answer.err, -EPIPE);
}

#define MANY 4096u

static bool all_told(struct guest_rig *rig, void *arg)
{
    return ((struct answer *)arg)->told == MANY;
}

static void one_that_takes_no_orders_is_ended(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer = {0};

    kill(start(rig, NIC), SIGSTOP);
    for (unsigned i = 0; i < MANY; i++)
        guest_nic_link(rig->daemon.guests, 0, false, on_answer, &answer);
    guest_rig_run(rig, all_told, &answer);
    assert_int_equal(answer.err, -EPIPE);
    guest_rig_settle(rig, 1);
}

static bool all_good(struct guest_rig *rig, void *arg)
{
    const struct answer *answer = arg;

    return answer[0].told == answer[1].told;
}

/* A process that stands still for a moment has more orders to come than its socket has room for. */
static void orders_that_the_socket_has_no_room_for_are_carried_out_later(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer[2] = {0};
    pid_t pid = start(rig, NIC);
    const struct worker_process *process = worker_process_of(rig->daemon.guests->worker);

    kill(pid, SIGSTOP);
    while (process->n_waiting < 20) {
        guest_nic_link(rig->daemon.guests, 0, answer[1].told & 1, on_answer, &answer[0]);
        answer[1].told++;
        assert_true(answer[1].told < MANY);
    }
    kill(pid, SIGCONT);
    guest_rig_run(rig, all_good, answer);
    assert_int_equal(answer[0].err, 0);
    assert_int_equal(process->n_waiting, 0);
    assert_int_equal(worker_process_pid(rig->daemon.guests->worker), pid);
}

static void a_rom_gets_into_the_process_at_the_start_and_later(void **state)
{
    struct guest_rig *rig = *state;
    struct answer answer = {0};
    struct nic_config nic;
    struct config_error error;
    char path[64], json[256];
    json_t *object;
    FILE *file;

    snprintf(path, sizeof(path), "%s/x.rom", rig->dir);
    file = fopen(path, "w");
    fputs("\x55\xaa", file);
    for (unsigned i = 0; i < 2046; i++)
        fputc((int)i, file);
    fclose(file);
    snprintf(json, sizeof(json),
             "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'null', 'rom': '%s'}]}", path);
    start(rig, json);
    snprintf(json, sizeof(json), "{\"devid\": 1, \"backend\": \"null\", \"rom\": \"%s\"}", path);
    object = json_loads(json, 0, NULL);
    assert_int_equal(nic_config_from_json(object, &nic, &error), 0);
    json_decref(object);
    guest_nic_add(rig->daemon.guests, &nic, on_answer, &answer);
    guest_rig_run(rig, is_told, &answer);
    assert_int_equal(answer.err, 0);
    assert_true(guest_has_nic(rig->daemon.guests, 1));
}

/* ---- they are shared --------------------------------------------------------------------------*/

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
    assert_int_equal(guest_rig_descriptors(), descriptors);
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
    pid_t now, stays;

    share(rig, 4, 2, 0);
    was.pid = pid_of(rig, "g0");
    stays = pid_of(rig, "g1");
    assert_int_not_equal(was.pid, stays);
    kill(was.pid, SIGKILL);
    guest_rig_run(rig, both_have_another, &was);
    now = pid_of(rig, "g0");
    for (const struct guest *guest = rig->daemon.guests; guest; guest = guest->next) {
        pid_t pid = worker_process_pid(guest->worker);

        reset += guest->reset;
        assert_int_equal(pid, guest->reset ? now : stays);
    }
    assert_int_equal(reset, 2);
    assert_false(guest_named(rig, "g1")->reset);
    assert_int_equal(processes(rig), 2);
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
        assert_int_equal(guest_rig_descriptors(), descriptors);
    }
    assert_in_range(failed, 4, 60);
    assert_int_equal(guest_named(rig, "g0")->state, GUEST_RUNNING);
}

/* ---- they hang --------------------------------------------------------------------------------*/

static void one_that_hangs_is_ended_and_its_guest_gets_another(void **state)
{
    struct guest_rig *rig = *state;
    struct was was;

    rig->daemon.config.worker_timeout = 1;
    was.pid = start(rig, GUEST);
    kill(was.pid, SIGSTOP);
    guest_rig_run(rig, has_another, &was);
    assert_int_equal(rig->hv_guests, 1);
    assert_true(worker_process_progress(&rig->daemon));
}

static bool makes_no_progress(struct guest_rig *rig, void *arg)
{
    return !worker_process_progress(&rig->daemon);
}

/* The watchdog is not fed then: daemon.c. */
static void while_one_that_hangs_is_there_the_daemon_makes_no_progress(void **state)
{
    struct guest_rig *rig = *state;
    struct was was;

    rig->daemon.config.worker_timeout = 1;
    was.pid = start(rig, GUEST);
    assert_true(worker_process_progress(&rig->daemon));
    kill(was.pid, SIGSTOP);
    guest_rig_run(rig, makes_no_progress, NULL);
    guest_rig_run(rig, has_another, &was);
    assert_true(worker_process_progress(&rig->daemon));
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
    turns.pid = start(rig, GUEST);
    guest_rig_run(rig, has_answered, &turns);
    assert_int_equal(worker_process_pid(rig->daemon.guests->worker), turns.pid);
}

/* ---- they are captured ------------------------------------------------------------------------*/

/* The worker's end of its link, of which we get a copy; as root only. -1. */
static int link_of(pid_t pid)
{
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0), found = -1;
    char path[64];
    const struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && found < 0 && (entry = readdir(dir))) {
        int fd = (int)syscall(SYS_pidfd_getfd, pid_fd, atoi(entry->d_name), 0), type = 0;
        socklen_t size = sizeof(type);

        if (fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET)
            found = fd;
        else if (fd >= 0)
            close(fd);
    }
    if (dir)
        closedir(dir);
    close(pid_fd);
    return found;
}

/* It is ended, and its guest gets another: the control side stays. */
static void ends_who_says(struct guest_rig *rig, const void *what, size_t size)
{
    struct was was = {start(rig, NIC)};
    int fd = link_of(was.pid);

    if (fd < 0)
        skip();
    assert_int_equal(send(fd, what, size, 0), size);
    close(fd);
    guest_rig_run(rig, has_another, &was);
    assert_int_equal(rig->hv_guests, 1);
}

static void nonsense_ends_the_worker(void **state)
{
    ends_who_says(*state, "nonsense", 8);
}

static void an_answer_to_nothing_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_REPLY, .id = 7};

    ends_who_says(*state, &report, sizeof(report));
}

static void a_second_start_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_STARTED};

    ends_who_says(*state, &report, sizeof(report));
}

static void an_end_that_nobody_wanted_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_ENDED};

    ends_who_says(*state, &report, sizeof(report));
}

static void drained_before_the_end_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_DRAINED};

    ends_who_says(*state, &report, sizeof(report));
}

static void a_second_listener_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_LISTENER};

    ends_who_says(*state, &report, sizeof(report));
}

static bool has_stopped(struct guest_rig *rig, void *arg)
{
    return rig->daemon.guests->io_stopped != 0;
}

static void a_report_of_a_guest_that_is_another_s_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_GONE, .guest = 7};

    ends_who_says(*state, &report, sizeof(report));
}

static void a_sign_of_life_that_nobody_asked_for_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_BEAT, .guest = REPORT_NO_GUEST};

    ends_who_says(*state, &report, sizeof(report));
}

static void a_failure_after_the_beginning_ends_the_worker(void **state)
{
    struct worker_report report = {
        .kind = REPORT_FAILED, .guest = REPORT_NO_GUEST, .reply.err = -EIO};

    ends_who_says(*state, &report, sizeof(report));
}

/* Told time and again, it is one error and one pause. */
static void a_disk_s_error_that_is_told_twice_counts_once(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_report report = {
        .kind = REPORT_IO_STOPPED,
        .io_stopped = {.drive = 0, .what = {.op = BLK_WRITE, .sector = 1, .error = -ENOSPC}}};
    int fd = link_of(start(rig, GUEST));

    if (fd < 0)
        skip();
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(send(fd, &report, sizeof(report), 0), sizeof(report));
    guest_rig_run(rig, has_stopped, NULL);
    for (unsigned i = 0; i < 20; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    assert_int_equal(rig->paused, 1);
    close(fd);
}

/* The worker stands still, so the first one has not been renewed when the others are asked for. */
static void a_full_file_that_is_told_time_and_again_is_renewed_once(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_report report = {.kind = REPORT_SERIAL_FULL, .port = 0},
                         none = {.kind = REPORT_SERIAL_FULL, .port = 1};
    char json[256], path[64];
    struct stat first, then;
    pid_t pid;
    int fd;

    snprintf(json, sizeof(json),
             "{'name': 'a', 'serial': [{'type': 'file', 'path': '%s/com1', 'max_size': '64K'}]}",
             rig->dir);
    pid = start(rig, json);
    fd = link_of(pid);
    if (fd < 0)
        skip();
    kill(pid, SIGSTOP);
    snprintf(path, sizeof(path), "%s/com1", rig->dir);
    assert_int_equal(stat(path, &first), 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(send(fd, i & 1 ? &none : &report, sizeof(report), 0), sizeof(report));
    for (unsigned i = 0; i < 20; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    /* The one that it was is COM1.1 still. */
    snprintf(path, sizeof(path), "%s/com1.1", rig->dir);
    assert_int_equal(stat(path, &then), 0);
    assert_int_equal(then.st_ino, first.st_ino);
    kill(pid, SIGCONT);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_guest_runs_in_a_process_of_its_own_and_leaves),
        TEST(everything_is_handed_over_and_comes_back),
        TEST(a_start_that_fails_in_the_process_is_told),
        TEST(what_a_process_cannot_serve_is_refused),
        TEST(a_domain_s_devices_start_anew_when_its_worker_dies),
        TEST(a_worker_that_keeps_dying_is_not_started_for_ever),
        TEST(one_that_dies_while_its_guest_leaves_does_not_keep_it),
        TEST(a_request_is_answered_by_the_process),
        TEST(a_request_that_a_dead_worker_took_along_is_answered),
        TEST(one_that_takes_no_orders_is_ended),
        TEST(orders_that_the_socket_has_no_room_for_are_carried_out_later),
        TEST(a_rom_gets_into_the_process_at_the_start_and_later),
        TEST(guests_share_as_many_processes_as_there_are_workers),
        TEST(no_process_has_more_guests_than_it_may_have),
        TEST(a_guest_whose_disks_no_process_has_pages_for_gets_one_more),
        TEST(a_shared_process_ends_with_its_last_guest),
        TEST(a_shared_process_that_dies_takes_its_guests_along_and_no_other),
        TEST(a_guest_that_fails_to_start_leaves_the_process_to_others),
        TEST(a_lack_of_descriptors_fails_one_guest_and_leaves_nothing),
        TEST(one_that_hangs_is_ended_and_its_guest_gets_another),
        TEST(while_one_that_hangs_is_there_the_daemon_makes_no_progress),
        TEST(one_that_gives_signs_of_life_stays),
        TEST(nonsense_ends_the_worker),
        TEST(a_report_of_a_guest_that_is_another_s_ends_the_worker),
        TEST(a_sign_of_life_that_nobody_asked_for_ends_the_worker),
        TEST(a_failure_after_the_beginning_ends_the_worker),
        TEST(an_answer_to_nothing_ends_the_worker),
        TEST(a_second_start_ends_the_worker),
        TEST(an_end_that_nobody_wanted_ends_the_worker),
        TEST(drained_before_the_end_ends_the_worker),
        TEST(a_second_listener_ends_the_worker),
        TEST(a_disk_s_error_that_is_told_twice_counts_once),
        TEST(a_full_file_that_is_told_time_and_again_is_renewed_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
