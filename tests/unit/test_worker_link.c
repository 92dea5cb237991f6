/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link to a worker process: what comes over it beyond measure, and what does not get into it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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

static void send_listeners(int sock, unsigned count)
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
    int fds[4] = {sock, sock, sock, sock};

    control.align = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
    assert_int_equal(sendmsg(sock, &message, 0), sizeof(report));
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
        assert_int_equal(guest_rig_descriptors(), descriptors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, worker_rig_setup, worker_rig_teardown)
        TEST(of_what_a_dead_worker_s_link_holds_a_bounded_part_is_taken),
        TEST(more_descriptors_than_one_end_the_worker_and_none_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
