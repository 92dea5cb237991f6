/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shipped daemon with worker processes, one for each guest and one for several: what such a
 * process is to the host, and what its end means for its guests and for others. That guests are
 * served all the same is shown by the other programs here, run with and without
 * IOEMUD_ISOLATION=thread.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/peer/e1000.h"
#include "tests/shm/rig_worker.h"

#define RAM     0x400000u
#define SECTORS 2048u

struct fixture {
    struct rig rig;
};

static int setup_with(void **state, const char *more)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char path[RIG_PATH], disks[512];

    rig_start(&f->rig, more);
    for (unsigned i = 0; i < 2; i++) {
        char name[8];

        snprintf(name, sizeof(name), "g%u", i);
        rig_image(&f->rig, name, SECTORS, path);
        snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", path);
        rig_guest(&f->rig, name, disks);
    }
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, "\"worker_guests\": 1");
}

static int setup_shared(void **state)
{
    return setup_with(state, "\"workers\": 1");
}

static int setup_impatient(void **state)
{
    return setup_with(state, "\"worker_guests\": 1, \"worker_timeout\": 1");
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status = rig_stop(&f->rig);

    free(f);
    return status;
}

static struct peer *join(struct fixture *f, const char *name)
{
    struct peer *peer = rig_peer(&f->rig, name, 1, RAM);

    assert_true(rig_wait_running(&f->rig, 5000));
    return peer;
}

/* A line of /proc/PID/status, its tabs as blanks. */
static void status_line(pid_t pid, const char *key, char line[256])
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    assert_non_null(file);
    do
        assert_non_null(fgets(line, 256, file));
    while (strncmp(line, key, strlen(key)) != 0);
    fclose(file);
    for (char *at = line; *at; at++)
        *at = isspace((unsigned char)*at) ? ' ' : *at;
    for (size_t end = strlen(line); end && line[end - 1] == ' '; end--)
        line[end - 1] = '\0';
}

static void a_worker_has_no_privileges_and_is_filtered(void **state)
{
    static const struct {
        const char *key, *line;
        bool of_root; /* who alone can change the user */
    } expected[] = {
        {"CapEff:", "CapEff: 0000000000000000", true},
        {"CapPrm:", "CapPrm: 0000000000000000", true},
        {"Uid:", "Uid: 65534 65534 65534 65534", true}, /* nobody */
        {"Groups:", "Groups:", true},
        {"NoNewPrivs:", "NoNewPrivs: 1", false},
        {"Seccomp:", "Seccomp: 2", false}, /* SECCOMP_MODE_FILTER */
    };
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");
    pid_t pid = rig_worker(&f->rig, "g0");
    char line[256];

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (expected[i].of_root && geteuid() != 0)
            continue;
        status_line(pid, expected[i].key, line);
        assert_string_equal(line, expected[i].line);
    }
    peer_close(peer);
}

static void a_worker_has_no_other_guest_s_image_and_no_socket_of_the_daemon(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[2] = {join(f, "g0"), join(f, "g1")};
    pid_t pid = rig_worker(&f->rig, "g1");
    char image[RIG_PATH];
    unsigned all;

    if (geteuid() != 0)
        skip();
    all = rig_descriptors_without(pid, "no such thing");
    snprintf(image, sizeof(image), "%s/g0", f->rig.dir);
    assert_int_equal(rig_descriptors_without(pid, image), all);
    snprintf(image, sizeof(image), "%s/g1", f->rig.dir);
    assert_int_equal(rig_descriptors_without(pid, image), all - 1);
    /* The control side's link, and the peer's connection. */
    assert_int_equal(rig_descriptors_without(pid, "socket:"), all - 2);
    peer_close(peer[0]);
    peer_close(peer[1]);
}

static void the_control_side_keeps_no_memory_and_no_image_of_guests(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");
    char image[RIG_PATH];

    assert_int_equal(rig_memfd_mappings_of(f->rig.pid), 0);
    snprintf(image, sizeof(image), "%s/g0", f->rig.dir);
    assert_int_equal(rig_descriptors_without(f->rig.pid, image),
                     rig_descriptors_without(f->rig.pid, "no such thing"));
    peer_close(peer);
}

static void reads(struct peer *peer)
{
    struct ide disk;

    assert_int_equal(ide_init(&disk, peer, 0, 0, 0, 0x1000), 0);
    assert_int_equal(ide_dma_read(&disk, 7, 8, 0x100000), 0);
}

static void a_worker_s_memory_has_no_other_guest_s_names(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[2] = {join(f, "g0"), join(f, "g1")};
    pid_t pid = rig_worker(&f->rig, "g1");
    char image[RIG_PATH];

    if (geteuid() != 0)
        skip();
    snprintf(image, sizeof(image), "%s/g0", f->rig.dir);
    assert_true(rig_memory_has(f->rig.pid, image)); /* who knows it */
    assert_false(rig_memory_has(pid, image));
    assert_true(rig_memory_has(pid, "g1"));
    peer_close(peer[0]);
    peer_close(peer[1]);
}

static void a_worker_that_dies_takes_its_guest_s_devices_only(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[2] = {join(f, "g0"), join(f, "g1")};

    reads(peer[1]);
    assert_int_equal(kill(rig_worker(&f->rig, "g0"), SIGKILL), 0);
    assert_true(rig_wait_guests(&f->rig, 1, 5000));
    assert_true(rig_log_has(&f->rig, "guest=g0 event=worker-died"));
    assert_true(rig_log_has(&f->rig, "signal 9"));
    assert_true(rig_log_has(&f->rig, "guest=g0 event=detached"));
    reads(peer[1]);
    /* Its image is free again, and the next one serves it. */
    peer_close(peer[0]);
    peer[0] = join(f, "g0");
    reads(peer[0]);
    peer_close(peer[0]);
    peer_close(peer[1]);
    assert_true(rig_wait_guests(&f->rig, 0, 5000));
}

static void one_that_hangs_is_ended_and_told_of(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[2] = {join(f, "g0"), join(f, "g1")};
    pid_t stays = rig_worker(&f->rig, "g1");

    assert_int_equal(kill(rig_worker(&f->rig, "g0"), SIGSTOP), 0);
    assert_true(rig_log_has(&f->rig, "guest=g0 event=worker-hangs"));
    assert_true(rig_log_has(&f->rig, "guest=g0 event=worker-died"));
    assert_true(rig_wait_guests(&f->rig, 1, 5000));
    reads(peer[1]);
    assert_int_equal(rig_worker(&f->rig, "g1"), stays);
    peer_close(peer[0]);
    peer[0] = join(f, "g0");
    reads(peer[0]);
    peer_close(peer[0]);
    peer_close(peer[1]);
}

static void guests_of_one_process_are_served_and_leave_one_by_one(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[2] = {join(f, "g0"), join(f, "g1")};
    pid_t pid = rig_worker(&f->rig, "g0");

    assert_int_equal(rig_worker(&f->rig, "g1"), pid);
    reads(peer[0]);
    reads(peer[1]);
    peer_close(peer[0]);
    assert_true(rig_wait_guests(&f->rig, 1, 5000));
    reads(peer[1]);
    assert_int_equal(rig_worker(&f->rig, "g1"), pid);
    peer[0] = join(f, "g0");
    assert_int_equal(rig_worker(&f->rig, "g0"), pid);
    reads(peer[0]);
    /* Each has counted for itself. */
    assert_true(rig_counted(&f->rig, "g1", "ioreqs", "pio_read") >
                rig_counted(&f->rig, "g0", "ioreqs", "pio_read"));
    peer_close(peer[0]);
    peer_close(peer[1]);
    assert_true(rig_wait_guests(&f->rig, 0, 5000));
}

static void a_process_lets_go_of_a_guest_that_leaves(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0"), *other;
    pid_t pid = rig_worker(&f->rig, "g0");
    unsigned descriptors;

    if (geteuid() != 0)
        skip();
    descriptors = rig_descriptors_without(pid, "no such thing");
    for (unsigned i = 0; i < 5; i++) {
        other = join(f, "g1");
        reads(other);
        peer_close(other);
        assert_true(rig_wait_guests(&f->rig, 1, 5000));
    }
    for (unsigned i = 0; i < 500 && rig_descriptors_without(pid, "none") != descriptors; i++)
        usleep(10000); /* its reaper */
    assert_int_equal(rig_descriptors_without(pid, "no such thing"), descriptors);
    peer_close(peer);
}

static void a_shared_worker_that_dies_is_told_of_with_all_its_guests(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[2] = {join(f, "g0"), join(f, "g1")};

    assert_int_equal(kill(rig_worker(&f->rig, "g0"), SIGKILL), 0);
    assert_true(rig_wait_guests(&f->rig, 0, 5000));
    assert_true(rig_log_has(&f->rig, "event=worker-died worker=0 guests=2"));
    assert_true(rig_log_has(&f->rig, "guest=g0 event=detached"));
    assert_true(rig_log_has(&f->rig, "guest=g1 event=detached"));
    for (unsigned i = 0; i < 2; i++) {
        peer_close(peer[i]);
        peer[i] = join(f, i ? "g1" : "g0");
        reads(peer[i]);
    }
    assert_int_equal(rig_worker(&f->rig, "g0"), rig_worker(&f->rig, "g1"));
    peer_close(peer[0]);
    peer_close(peer[1]);
}

static FILE *dial(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", f->rig.dir);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fdopen(fd, "r+e");
}

static void expect(FILE *link, const char *line, const char *in_answer)
{
    char *answer = NULL;
    size_t size = 0;

    fprintf(link, "%s\n", line);
    assert_true(fflush(link) == 0 && getline(&answer, &size, link) > 0);
    if (!strstr(answer, in_answer))
        fail_msg("%s: %s", line, answer);
    free(answer);
}

static void a_guest_of_a_worker_process_is_traced(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[2] = {join(f, "g0"), join(f, "g1")};

    /* Twice, the second time after the first has been hung up on. */
    for (unsigned i = 0; i < 2; i++) {
        FILE *link = dial(f);

        expect(link,
               "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"trace\", \"params\": {\"name\": "
               "\"g0\", \"filter\": \"port=0x1f7,dir=write\", \"count\": 3}}",
               "\"ring\"");
        reads(peer[1]); /* of another guest of the same process: not wanted */
        reads(peer[0]);
        expect(link, "{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"trace-read\"}",
               "OUT 0x1f7/1 <- 0xc8 READ DMA [ide0]");
        fclose(link);
        assert_true(rig_log_has(&f->rig, "guest=g0 event=trace-ended"));
        usleep(50000);
    }
    peer_close(peer[0]);
    peer_close(peer[1]);
}

/* Whoever reads waits in vain otherwise. */
static void a_trace_ends_with_the_worker_process(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");
    FILE *link = dial(f);

    expect(
        link,
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"trace\", \"params\": {\"name\": \"g0\"}}",
        "\"ring\"");
    assert_int_equal(kill(rig_worker(&f->rig, "g0"), SIGKILL), 0);
    expect(link, "{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"trace-read\"}", "");
    fclose(link);
    assert_true(rig_wait_guests(&f->rig, 0, 5000));
    peer_close(peer);
}

/* It has a connection for one and a socket for the other, and has not been told where to. */
static void a_worker_knows_no_paths_of_its_nics_and_makes_no_connections(void **state)
{
    struct fixture *f = *state;
    char nics[512], path[RIG_PATH];
    struct e1000_driver nic = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint8_t frame[2048];
    pid_t pid;

    rig_user_network(&f->rig);
    snprintf(path, sizeof(path), "%s/the-peer", f->rig.dir);
    snprintf(nics, sizeof(nics),
             "\"nics\": [{\"backend\": \"socket\", \"path\": \"%s/own\", \"peer\": \"%s\"},"
             "{\"backend\": \"user\", \"bootfile\": \"the-bootfile\"}]",
             f->rig.dir, path);
    rig_guest_more(&f->rig, "g0", "", nics);
    nic.peer = rig_peer(&f->rig, "g0", 1, E1000_RAM);
    assert_true(rig_wait_running(&f->rig, 5000));
    pid = rig_worker(&f->rig, "g0");
    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    e1000_driver_start(&nic);
    e1000_driver_send(&nic, 1);
    assert_int_equal(recv(fd, frame, sizeof(frame), 0), e1000_frame_bytes(0));
    if (geteuid() == 0) {
        assert_true(rig_memory_has(f->rig.pid, "the-peer")); /* who knows it */
        assert_false(rig_memory_has(pid, "the-peer"));
        assert_false(rig_memory_has(pid, "the-bootfile"));
        /* The link, the peer's connection, and one of each NIC. */
        assert_int_equal(rig_descriptors_without(pid, "socket:"),
                         rig_descriptors_without(pid, "no such thing") - 4);
    }
    close(fd);
    peer_close(nic.peer);
}

static void no_worker_survives_the_daemon(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");
    pid_t pid = rig_worker(&f->rig, "g0");

    assert_true(rig_signal(&f->rig, SIGKILL, 5000) >= 0);
    for (unsigned i = 0; i < 500 && kill(pid, 0) == 0; i++) {
        char line[256] = "", path[64];

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        if (access(path, F_OK) == 0)
            status_line(pid, "State:", line);
        if (strstr(line, "Z ")) /* whoever is its parent now takes its time */
            break;
        usleep(10000);
        assert_true(i < 499);
    }
    peer_close(peer);
    rig_restart(&f->rig);
}

static void a_stop_of_all_processes_ends_them_in_order(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");
    pid_t pid = rig_worker(&f->rig, "g0");

    /* As the service manager does it. */
    assert_int_equal(kill(pid, SIGTERM), 0);
    usleep(20000);
    reads(peer);
    assert_int_equal(rig_signal(&f->rig, SIGTERM, 10000), 0);
    assert_true(rig_log_has(&f->rig, "guest=g0 event=detached"));
    peer_close(peer);
    rig_restart(&f->rig);
}

static void set_level(struct fixture *f, const char *params)
{
    char error[256];
    json_t *result = rig_call(&f->rig, "log-level", params, error);

    if (!result)
        fail_msg("log-level: %s", error);
    json_decref(result);
}

/* The control side writes only what its own level lets through: so the worker must have heard. */
static void a_worker_logs_at_the_level_that_there_is_now(void **state)
{
    struct fixture *f = *state;
    struct peer *peer;
    char *log;

    set_level(f, "{\"level\": \"err\"}");
    peer = rig_peer(&f->rig, "g0", 1, RAM);
    reads(peer);
    peer_out(peer, 0, 0x64, 1, 0xfe); /* the keyboard controller's reset line */
    reads(peer);
    set_level(f, "{\"level\": \"info\", \"name\": \"g0\"}");
    usleep(50000);
    log = rig_log(&f->rig);
    assert_null(strstr(log, "event=reset"));
    free(log);
    peer_out(peer, 0, 0x64, 1, 0xfe);
    assert_true(rig_log_has(&f->rig, "guest=g0 event=reset"));
    peer_close(peer);
}

static void statistics_tell_of_each_worker(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");

    reads(peer);
    assert_true(rig_counted(&f->rig, "g0", "ioreqs", "pio_read") > 0);
    peer_close(peer);
}

static json_int_t used(struct fixture *f, const char *member)
{
    json_t *stats = rig_call(&f->rig, "stats", NULL, NULL);
    const json_t *worker =
        json_array_get(json_object_get(json_object_get(stats, "daemon"), "workers"), 0);
    json_int_t value =
        json_integer_value(json_object_get(json_object_get(worker, "process"), member));

    json_decref(stats);
    return value;
}

static void statistics_tell_what_a_worker_s_process_takes(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");
    json_int_t before;

    reads(peer);
    usleep(50000);
    before = used(f, "cpu_us");
    assert_true(before > 0);
    assert_true(used(f, "anonymous_bytes") > 4096);
    assert_true(used(f, "resident_bytes") > used(f, "anonymous_bytes"));
    for (unsigned i = 0; i < 200; i++)
        reads(peer);
    usleep(50000);
    assert_true(used(f, "cpu_us") > before);
    peer_close(peer);
}

#ifdef __x86_64__
/*
 * Has the worker make a system call as a guest would that runs code of its choice in it: it stands
 * in epoll_wait(2), so right behind the instruction. Returns what the call did.
 */
static long captured_call(pid_t pid, long number, const long args[3])
{
    struct user_regs_struct before, regs;
    int status;

    assert_int_equal(ptrace(PTRACE_ATTACH, pid, 0, 0), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(ptrace(PTRACE_GETREGS, pid, 0, &before), 0);
    assert_int_equal(ptrace(PTRACE_PEEKTEXT, pid, before.rip - 2, 0) & 0xffff,
                     0x050f); /* syscall */
    regs = before;
    regs.rip -= 2;
    regs.rax = (unsigned long long)number;
    regs.orig_rax = -1ull; /* nothing is to be restarted */
    regs.rdi = (unsigned long long)args[0];
    regs.rsi = (unsigned long long)args[1];
    regs.rdx = (unsigned long long)args[2];
    assert_int_equal(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
    assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
    assert_int_equal(ptrace(PTRACE_SETREGS, pid, 0, &before), 0);
    assert_int_equal(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
    return (long)regs.rax;
}

static void what_a_captured_worker_tries_is_denied_and_logged(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = join(f, "g0");
    pid_t pid = rig_worker(&f->rig, "g0");
    const struct {
        long number;
        const char *name;
        long args[3];
    } attempts[] = {
        {SYS_openat, "openat", {AT_FDCWD, 0, O_RDONLY}},
        {SYS_execve, "execve", {0, 0, 0}},
        {SYS_socket, "socket", {AF_UNIX, SOCK_STREAM, 0}},
        {SYS_connect, "connect", {0, 0, 0}},
        {SYS_ptrace, "ptrace", {PTRACE_ATTACH, f->rig.pid, 0}},
        {SYS_kill, "kill", {f->rig.pid, SIGKILL, 0}},
        {SYS_ioctl, "ioctl", {0, 0x305000, 0}}, /* IOCTL_PRIVCMD_HYPERCALL */
        {SYS_setuid, "setuid", {0, 0, 0}},
    };

    if (geteuid() != 0)
        skip();
    f->rig.captured = true;
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        char line[96];

        assert_int_equal(captured_call(pid, attempts[i].number, attempts[i].args), -EPERM);
        snprintf(line, sizeof(line), "guest=g0 event=system-call-denied worker=0 pid=%d call=%s ",
                 (int)pid, attempts[i].name);
        assert_true(rig_log_has(&f->rig, line));
    }
    reads(peer); /* and it still does what it is there for */
    peer_close(peer);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)   cmocka_unit_test_setup_teardown(name, setup, teardown)
#define SHARED(name) cmocka_unit_test_setup_teardown(name, setup_shared, teardown)
        TEST(a_worker_has_no_privileges_and_is_filtered),
        TEST(a_worker_has_no_other_guest_s_image_and_no_socket_of_the_daemon),
        TEST(the_control_side_keeps_no_memory_and_no_image_of_guests),
        TEST(a_worker_that_dies_takes_its_guest_s_devices_only),
        TEST(a_worker_s_memory_has_no_other_guest_s_names),
        SHARED(guests_of_one_process_are_served_and_leave_one_by_one),
        SHARED(a_process_lets_go_of_a_guest_that_leaves),
        SHARED(a_shared_worker_that_dies_is_told_of_with_all_its_guests),
        SHARED(a_guest_of_a_worker_process_is_traced),
        SHARED(a_trace_ends_with_the_worker_process),
        cmocka_unit_test_setup_teardown(one_that_hangs_is_ended_and_told_of, setup_impatient,
                                        teardown),
        TEST(a_worker_knows_no_paths_of_its_nics_and_makes_no_connections),
        TEST(no_worker_survives_the_daemon),
        TEST(a_stop_of_all_processes_ends_them_in_order),
        TEST(a_worker_logs_at_the_level_that_there_is_now),
        TEST(statistics_tell_of_each_worker),
        TEST(statistics_tell_what_a_worker_s_process_takes),
#ifdef __x86_64__
        TEST(what_a_captured_worker_tries_is_denied_and_logged),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
