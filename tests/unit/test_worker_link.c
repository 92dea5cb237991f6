/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link to a worker process: what comes over it beyond measure, what does not get into it. */
#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lingering.h"
#include "tests/unit/worker_rig.h"

#define NIC "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'null'}]}"

/* Somebody else has the worker's end, too, and more to say than its socket holds: the worker's end
 * is taken notice of before all of that has been. */
static void of_what_a_dead_worker_s_link_holds_a_bounded_part_is_taken(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_was was = {worker_rig_start(rig, NIC)};
    struct worker_report line = {
        .kind = REPORT_LOG, .guest = REPORT_NO_GUEST, .log.priority = LOG_INFO};
    struct worker_report gone = {.kind = REPORT_GONE};
    int fd = worker_rig_link(was.pid), size = 32 << 20;
    siginfo_t info;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
        skip();
    kill(was.pid, SIGSTOP);
    for (unsigned i = 0; i < WORKER_LINK_HOLDS + 512; i++)
        assert_int_equal(send(fd, &line, sizeof(line), MSG_DONTWAIT), sizeof(line));
    assert_int_equal(send(fd, &gone, sizeof(gone), MSG_DONTWAIT), sizeof(gone));
    kill(was.pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)was.pid, &info, WEXITED | WNOWAIT), 0);
    /* Had the last one been taken, the guest would be detached. */
    guest_rig_run(rig, worker_rig_has_another, &was);
    close(fd);
}

/* A link without a process: `sock` is the worker's end of it. */
static void open_link(struct guest_rig *rig, struct worker_process *process, int *ret_sock)
{
    int sock[2];

    *process = (struct worker_process){.daemon = &rig->daemon,
                                       .pid_fd = -1,
                                       .sock = -1,
                                       .listener = -1,
                                       .tail = &process->first,
                                       .reaped = true};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
    worker_link_open(process, sock[0]);
    *ret_sock = sock[1];
}

static void send_report_with(int sock, const int *fds, unsigned count)
{
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct worker_report report = {.kind = REPORT_LISTENER, .guest = REPORT_NO_GUEST};
    struct iovec iov = {&report, sizeof(report)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};

    control.align = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
    assert_int_equal(sendmsg(sock, &message, 0), sizeof(report));
}

static void send_listeners(int sock, unsigned count)
{
    send_report_with(sock, (int[]){sock, sock, sock, sock}, count);
}

static void more_descriptors_than_one_end_the_worker_and_none_stays(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    for (unsigned count = 1; count <= 4; count++) {
        struct worker_process process;
        int sock;

        open_link(rig, &process, &sock);
        send_listeners(sock, count);
        worker_link_take(&process, 1);
        assert_int_equal(process.confined, count == 1);
        assert_int_equal(process.lost, count > 1);
        worker_link_close(&process);
        close(sock);
        worker_rig_none_stays(descriptors);
    }
}

static void once_there_is_a_listener_a_descriptor_ends_the_worker_and_does_not_stay(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    struct worker_process process;
    int sock;

    open_link(rig, &process, &sock);
    send_listeners(sock, 1);
    worker_link_take(&process, 1);
    assert_false(process.lost);
    send_listeners(sock, 1);
    worker_link_take(&process, 1);
    assert_true(process.lost);
    close(sock);
    worker_rig_none_stays(descriptors);
}

/* Both have to wait ten seconds: who closes the one that a report came with, and who closes the
 * link with another that has not been read. */
static void nobody_waits_for_what_a_worker_has_sent_to_be_closed(void **state)
{
    struct guest_rig *rig = *state;
    struct worker_process process;
    struct timespec from, to;
    int sock, other[2];

    open_link(rig, &process, &sock);
    send_listeners(sock, 1);
    worker_link_take(&process, 1);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; i < 2; i++) {
        int fd = lingering_socket(&other[i]);

        send_report_with(sock, &fd, 1);
        close(fd);
    }
    worker_link_take(&process, 1); /* loses it, and closes the link */
    assert_true(process.lost);
    assert_int_equal(process.sock, -1);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 9);
    close(sock);
    close(other[0]); /* and with that the waiting is over */
    close(other[1]);
}

/* Nobody waits for it either, also where it is behind a message without a byte, which looks like an
 * end. */
static void nothing_stays_of_what_was_in_a_link_that_is_closed(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    struct worker_process process;
    struct timespec from, to;
    int sock, other, fd;

    open_link(rig, &process, &sock);
    fd = lingering_socket(&other);
    assert_int_equal(send(sock, "", 0, 0), 0);
    send_report_with(sock, &fd, 1);
    close(fd);
    clock_gettime(CLOCK_MONOTONIC, &from);
    worker_link_close(&process);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 9);
    assert_int_equal(recv(sock, &fd, sizeof(fd), 0), 0); /* its end, at once */
    close(sock);
    close(other);
    worker_rig_none_stays(descriptors);
}

/* Descriptors on their way that nobody takes: beyond RLIMIT_NOFILE of them the kernel lets a user
 * send no more (unix(7), ETOOMANYREFS), unless he may anything. */
#define ON_THEIR_WAY 200u

static bool send_descriptors(int sock, unsigned count)
{
    union {
        char bytes[CMSG_SPACE(ON_THEIR_WAY * sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec iov = {(char[]){"x"}, 1};
    const struct msghdr message = {.msg_iov = &iov,
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = CMSG_SPACE(count * sizeof(int))};

    for (unsigned i = 0; i < count; i++)
        memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &sock, sizeof(int));
    return sendmsg(sock, &message, MSG_DONTWAIT) == 1;
}

static void may_anything(bool may)
{
    const uint32_t able = 1u << CAP_SYS_RESOURCE | 1u << CAP_SYS_ADMIN;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];

    assert_int_equal(syscall(SYS_capget, &header, has), 0);
    has[0].effective =
        may ? has[0].effective | (has[0].permitted & able) : has[0].effective & ~able;
    assert_int_equal(syscall(SYS_capset, &header, has), 0);
}

static void an_order_that_the_kernel_is_short_of_is_carried_out_later(void **state)
{
    struct guest_rig *rig = *state;
    struct rig_outcome outcome = {0};
    pid_t pid = worker_rig_start(rig, NIC);
    const struct worker_process *process = worker_process_of(rig->daemon.guests->worker);
    struct rlimit before, few = {ON_THEIR_WAY / 2, 0};
    bool enough;
    int sock[2];

    rig->daemon.config.worker_guests = 2;
    rig->daemon.config.workers = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_true(send_descriptors(sock[0], ON_THEIR_WAY));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    may_anything(false);
    enough = send_descriptors(sock[0], 1);
    guest_rig_attach(rig, "{'name': 'b', 'disks': []}", &outcome);
    may_anything(true);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (enough) /* a kernel that does not count them */
        skip();
    assert_int_equal(outcome.told, 0);
    assert_int_equal(process->n_waiting, 1);
    assert_false(process->lost);
    close(sock[0]);
    close(sock[1]);
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, 0);
    assert_int_equal(process->n_seats, 2);
    assert_int_equal(worker_process_pid(rig->daemon.guests->worker), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, worker_rig_setup, worker_rig_teardown)
        TEST(of_what_a_dead_worker_s_link_holds_a_bounded_part_is_taken),
        TEST(an_order_that_the_kernel_is_short_of_is_carried_out_later),
        TEST(more_descriptors_than_one_end_the_worker_and_none_stays),
        TEST(once_there_is_a_listener_a_descriptor_ends_the_worker_and_does_not_stay),
        TEST(nobody_waits_for_what_a_worker_has_sent_to_be_closed),
        TEST(nothing_stays_of_what_was_in_a_link_that_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
