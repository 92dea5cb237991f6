/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Worker processes as the control side sees them: those that end, those that stop and those that
 * say what none of ours would. Guests of the rig's hypervisor, each in a real process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_nics.h"
#include "daemon/opener.h"
#include "tests/unit/guest_rig_hv.h"
#include "tests/unit/worker_rig.h"

#define GUEST "{'name': 'a', 'disks': [" GUEST_RIG_DISK "]}"
#define NIC   "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'null'}]}"

static void a_guest_runs_in_a_process_of_its_own_and_leaves(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    pid_t pid = worker_rig_start(rig, GUEST);

    assert_int_not_equal(pid, getpid());
    assert_int_equal(kill(pid, 0), 0);
    assert_null(rig->daemon.guests->vm);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    while (rig->daemon.processes)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    assert_int_equal(kill(pid, 0), -1);
    worker_rig_none_stays(descriptors);
}

static void everything_is_handed_over_and_comes_back(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    for (unsigned i = 0; i < 3; i++) {
        worker_rig_start(rig, guest_rig_everything(rig));
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, 0);
        assert_true(guest_rig_socket_gone(rig));
    }
    while (rig->daemon.processes)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    worker_rig_none_stays(descriptors);
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
    struct hv_ops whole = guest_rig_hv_ops;
    struct rig_outcome outcome = {0};

    whole.guest_pack = NULL; /* its guests cannot be sent anywhere */
    rig->daemon.hv[DAEMON_XEN] = &whole;
    guest_rig_attach(rig, GUEST, &outcome);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -EOPNOTSUPP);
    assert_non_null(strstr(outcome.why, "no worker processes"));
    rig->daemon.hv[DAEMON_XEN] = &guest_rig_hv_ops;
}

/* Where nobody has networks, neither at the start nor later. */
static void a_user_network_that_cannot_be_had_is_told(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    struct rig_outcome outcome = {0};

    free(rig->daemon.config.user_network_socket);
    assert_true(asprintf(&rig->daemon.config.user_network_socket, "%s/none", rig->dir) > 0);
    guest_rig_attach(rig, "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'user'}]}", &outcome);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.err, -ENOENT);
    assert_non_null(strstr(outcome.why, "NIC 0: user network: nobody listens at "));
    while (rig->daemon.processes)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    worker_rig_none_stays(descriptors);
}

/* How it goes for a daemon with these capabilities and no others: the error, and whether the hint
 * at the unit was there. */
static int prepare_with(struct daemon *daemon, uint32_t able, bool root)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = able, .permitted = able}};
    char why[OPENER_WHY_SIZE] = "";
    int err;

    if (!root && (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresuid(1, 1, 1)))
        return 90;
    if (syscall(SYS_capset, &header, has))
        return 91;
    err = worker_process_prepare(daemon, why);
    return err == -EPERM && strstr(why, "ioemud.service") ? 1
           : err                                          ? 2
           : daemon->worker_uid                           ? 3
                                                          : 0;
}

static int prepared(struct guest_rig *rig, uint32_t able, bool root)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (!pid)
        _exit(prepare_with(&rig->daemon, able, root));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void what_a_unit_leaves_out_for_them_is_named(void **state)
{
    const uint32_t enough =
        1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_SYS_CHROOT | 1u << CAP_DAC_OVERRIDE;
    struct guest_rig *rig = *state;
    char *name = rig->daemon.config.worker_user;

    if (geteuid() != 0)
        skip();
    rig->daemon.config.worker_user = "nobody";
    rig->daemon.worker_uid = 0;
    assert_int_equal(prepared(rig, enough, false), 3);
    assert_int_equal(prepared(rig, enough, true), 3);
    assert_int_equal(prepared(rig, 1u << CAP_DAC_OVERRIDE, false), 1);
    assert_int_equal(prepared(rig, enough & ~(1u << CAP_SYS_CHROOT), false), 1);
    assert_int_equal(prepared(rig, 0, true), 1);
    /* Who can do nothing anyway has nothing to give up. */
    assert_int_equal(prepared(rig, 0, false), 0);
    rig->daemon.config.worker_user = name;
}

#define WORKERS_USER 65534

/* As in the unit: another user than root, with one capability. */
static int kill_of_another_users(uint32_t able, pid_t pid)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = able, .permitted = able}};
    int err;

    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresuid(1, 1, 1) ||
        syscall(SYS_capset, &header, has) || prctl(PR_SET_DUMPABLE, 1))
        return 90;
    err = worker_process_kill(WORKERS_USER, pid);
    return geteuid() != 1 || prctl(PR_GET_DUMPABLE) != 1 ? 91 : -err;
}

static void one_of_another_user_is_killed_by_who_may_change_users(void **state)
{
    const uint32_t able[] = {1u << CAP_DAC_OVERRIDE, 1u << CAP_SETUID};
    int ready[2], status;

    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe(ready), 0);
    for (unsigned i = 0; i < 2; i++) {
        pid_t other = fork(), killer;

        if (!other) {
            if (setresuid(WORKERS_USER, WORKERS_USER, WORKERS_USER) || write(ready[1], "", 1) < 0)
                _exit(1);
            for (;;)
                pause();
        }
        assert_int_equal(read(ready[0], &status, 1), 1);
        killer = fork();
        if (!killer)
            _exit(kill_of_another_users(able[i], other));
        assert_int_equal(waitpid(killer, &status, 0), killer);
        assert_int_equal(status, i ? 0 : EPERM << 8);
        if (!i)
            kill(other, SIGKILL);
        assert_int_equal(waitpid(other, &status, 0), other);
        assert_int_equal(status, SIGKILL);
    }
    close(ready[0]);
    close(ready[1]);
}

/* ---- they end ---------------------------------------------------------------------------------*/

static void a_domain_s_devices_start_anew_when_its_worker_dies(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_was was = {worker_rig_start(rig, GUEST)};

    assert_false(rig->daemon.guests->reset);
    kill(was.pid, SIGKILL);
    guest_rig_run(rig, worker_rig_has_another, &was);
    assert_true(rig->daemon.guests->reset); /* and is told so in `list` */
    assert_int_equal(rig->hv_guests, 1);
    assert_int_equal(guest_rig_records(rig), 1);
}

static void a_worker_that_keeps_dying_is_not_started_for_ever(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_was was = {worker_rig_start(rig, GUEST)};

    kill(was.pid, SIGKILL);
    guest_rig_run(rig, worker_rig_has_another, &was);
    kill(worker_process_pid(rig->daemon.guests->worker), SIGKILL);
    guest_rig_settle(rig, 0);
    assert_int_equal(rig->hv_guests, 0);
    assert_int_equal(guest_rig_records(rig), 0);
}

static void one_that_dies_while_its_guest_leaves_does_not_keep_it(void **state)
{
    struct guest_rig *rig = *state;
    pid_t pid = worker_rig_start(rig, GUEST);

    kill(pid, SIGSTOP);
    guest_detach(rig->daemon.guests, NULL, NULL);
    assert_int_equal(rig->daemon.guests->state, GUEST_STOPPING);
    kill(pid, SIGKILL);
    guest_rig_settle(rig, 0);
}

static bool is_parked(struct guest_rig *rig, void *arg)
{
    return rig->daemon.guests->state == GUEST_PARKED;
}

/* Answers to what `lines` ask; the last of them, valid until the next call. */
static const char *qmp_says(struct guest_rig *rig, const char *const *lines, unsigned count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const char *answer = "";

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/qmp", rig->dir);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(write(fd, lines[i], strlen(lines[i])), (ssize_t)strlen(lines[i]));
        do
            answer = guest_rig_hear(rig, fd);
        while (!strstr(answer, "\"return\"") && !strstr(answer, "\"error\""));
    }
    close(fd);
    return answer;
}

/* Somebody else has its image by then, and may let go of it. */
static void one_that_waits_for_new_devices_has_no_vcpus_to_tell_of(void **state)
{
    static const char *const query[] = {"{\"execute\":\"qmp_capabilities\"}\n",
                                        "{\"execute\":\"query-cpus-fast\"}\n"};
    static const char *const add[] = {
        "{\"execute\":\"qmp_capabilities\"}\n",
        "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"ioemud-vcpu\",\"id\":\"c\","
        "\"socket-id\":0,\"core-id\":0,\"thread-id\":0}}\n"};
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct guest_rig *rig = *state;
    struct rig_outcome outcome = {0};
    char path[64], why[OPENER_WHY_SIZE];
    pid_t leaves, dies;
    int fd, listening;

    leaves = worker_rig_start(rig, "{'name': 'b', 'disks': [" GUEST_RIG_DISK "]}");
    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, 0);
    dies = worker_process_pid(rig->daemon.guests->worker);
    snprintf(path, sizeof(path), "%s/qmp", rig->dir);
    assert_int_equal(opener_listen(path, SOCK_STREAM, 0600, "", &listening, why), 0);
    assert_int_equal(guest_qmp_add(rig->daemon.guests, listening), 0);
    assert_non_null(strstr(qmp_says(rig, query, 2), "\"cpu-index\":0"));

    kill(leaves, SIGSTOP);
    guest_detach(rig->daemon.guests->next, NULL, NULL);
    kill(dies, SIGKILL);
    snprintf(path, sizeof(path), "%s/a.img", rig->dir);
    fd = open(path, O_RDWR);
    while (fcntl(fd, F_OFD_SETLK, &whole)) /* until it has died */
        usleep(1000);
    guest_rig_run(rig, is_parked, NULL);
    assert_non_null(strstr(qmp_says(rig, query, 2), "\"return\":[]"));
    assert_non_null(strstr(qmp_says(rig, add, 2), "no devices yet"));
    close(fd);
    kill(leaves, SIGCONT);
    guest_rig_settle(rig, 1);
    assert_non_null(strstr(qmp_says(rig, query, 2), "\"cpu-index\":0"));
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

    worker_rig_start(rig, NIC);
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
    pid_t pid = worker_rig_start(rig, NIC);

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

    kill(worker_rig_start(rig, NIC), SIGSTOP);
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
    pid_t pid = worker_rig_start(rig, NIC);
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
    worker_rig_start(rig, json);
    snprintf(json, sizeof(json), "{\"devid\": 1, \"backend\": \"null\", \"rom\": \"%s\"}", path);
    object = json_loads(json, 0, NULL);
    assert_int_equal(nic_config_from_json(object, &nic, &error), 0);
    json_decref(object);
    guest_nic_add(rig->daemon.guests, &nic, on_answer, &answer);
    guest_rig_run(rig, is_told, &answer);
    assert_int_equal(answer.err, 0);
    assert_true(guest_has_nic(rig->daemon.guests, 1));
}

/* ---- they are captured ------------------------------------------------------------------------*/

/* It is ended, and its guest gets another: the control side stays. */
static void ends_who_says(struct guest_rig *rig, const void *what, size_t size)
{
    struct worker_was was = {worker_rig_start(rig, NIC)};
    int fd = worker_rig_link(was.pid);

    if (fd < 0)
        skip();
    assert_int_equal(send(fd, what, size, 0), size);
    close(fd);
    guest_rig_run(rig, worker_rig_has_another, &was);
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

static void a_peer_that_no_nic_has_ends_the_worker(void **state)
{
    struct worker_report report = {.kind = REPORT_DIAL, .nic = 0}; /* of backend "null" */

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

/* There are no PV disks here, whose units these would be. */
static void the_error_of_a_disk_that_there_cannot_be_ends_the_worker(void **state)
{
    struct worker_report report = {
        .kind = REPORT_IO_STOPPED,
        .io_stopped = {.unit = MACHINE_IDE_DRIVES, .what = {.op = BLK_READ, .error = -EIO}}};

    ends_who_says(*state, &report, sizeof(report));
}

/* Told time and again, it is one error and one pause. */
static void a_disk_s_error_that_is_told_twice_counts_once(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_report report = {
        .kind = REPORT_IO_STOPPED,
        .io_stopped = {.unit = 0, .what = {.op = BLK_WRITE, .sector = 1, .error = -ENOSPC}}};
    int fd = worker_rig_link(worker_rig_start(rig, GUEST));

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
    pid = worker_rig_start(rig, json);
    fd = worker_rig_link(pid);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, worker_rig_setup, worker_rig_teardown)
        TEST(a_guest_runs_in_a_process_of_its_own_and_leaves),
        TEST(everything_is_handed_over_and_comes_back),
        TEST(a_start_that_fails_in_the_process_is_told),
        TEST(what_a_process_cannot_serve_is_refused),
        TEST(a_user_network_that_cannot_be_had_is_told),
        TEST(what_a_unit_leaves_out_for_them_is_named),
        TEST(one_of_another_user_is_killed_by_who_may_change_users),
        TEST(a_domain_s_devices_start_anew_when_its_worker_dies),
        TEST(a_worker_that_keeps_dying_is_not_started_for_ever),
        TEST(one_that_dies_while_its_guest_leaves_does_not_keep_it),
        TEST(one_that_waits_for_new_devices_has_no_vcpus_to_tell_of),
        TEST(a_request_is_answered_by_the_process),
        TEST(a_request_that_a_dead_worker_took_along_is_answered),
        TEST(one_that_takes_no_orders_is_ended),
        TEST(orders_that_the_socket_has_no_room_for_are_carried_out_later),
        TEST(a_rom_gets_into_the_process_at_the_start_and_later),
        TEST(nonsense_ends_the_worker),
        TEST(a_report_of_a_guest_that_is_another_s_ends_the_worker),
        TEST(a_sign_of_life_that_nobody_asked_for_ends_the_worker),
        TEST(a_failure_after_the_beginning_ends_the_worker),
        TEST(an_answer_to_nothing_ends_the_worker),
        TEST(a_second_start_ends_the_worker),
        TEST(an_end_that_nobody_wanted_ends_the_worker),
        TEST(drained_before_the_end_ends_the_worker),
        TEST(a_second_listener_ends_the_worker),
        TEST(a_peer_that_no_nic_has_ends_the_worker),
        TEST(the_error_of_a_disk_that_there_cannot_be_ends_the_worker),
        TEST(a_disk_s_error_that_is_told_twice_counts_once),
        TEST(a_full_file_that_is_told_time_and_again_is_renewed_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
