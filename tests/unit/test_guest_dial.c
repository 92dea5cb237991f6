/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of worker processes' NICs that the control side connects, and what it does at most. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_dial.h"
#include "daemon/guest_nics.h"
#include "daemon/opener.h"
#include "tests/unit/lingering.h"
#include "tests/unit/worker_rig.h"

#define GUEST "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'null'}]}"
#define NIC   5u

static int bound(struct guest_rig *rig, const char *name, char path[64])
{
    char why[OPENER_WHY_SIZE];
    int fd = -1;

    snprintf(path, 64, "%s/%s", rig->dir, name);
    assert_int_equal(opener_dgram(path, &fd, why), 0);
    return fd;
}

static bool is_connected(int fd)
{
    struct sockaddr_un peer;
    socklen_t size = sizeof(peer);

    return !getpeername(fd, (struct sockaddr *)&peer, &size);
}

static void on_answer(void *ctx, int err, const char *why)
{
    *(bool *)ctx = true;
}

static bool is_told(struct guest_rig *rig, void *arg)
{
    return *(bool *)arg;
}

/* Until the worker has answered all that it was asked. */
static void settle(struct guest_rig *rig)
{
    bool told = false;

    guest_nic_link(rig->daemon.guests, 0, true, on_answer, &told);
    guest_rig_run(rig, is_told, &told);
}

static void a_worker_s_socket_is_connected_when_it_asks(void **state)
{
    struct guest_rig *rig = *state;
    char path[2][64], text[8] = "";
    int own = bound(rig, "own", path[0]), peer = bound(rig, "peer", path[1]);

    worker_rig_start(rig, GUEST);
    assert_int_equal(guest_dial_open(rig->daemon.guests, NIC, own, path[1]), 0);
    assert_false(is_connected(own));
    assert_true(guest_dial(rig->daemon.guests, NIC));
    assert_true(is_connected(own));
    assert_int_equal(send(own, "frame", 6, 0), 6);
    assert_int_equal(recv(peer, text, sizeof(text), 0), 6);
    settle(rig);
    close(own);
    close(peer);
    unlink(path[0]);
    unlink(path[1]);
}

static void who_asks_again_before_the_answer_or_for_no_peer_is_none_of_ours(void **state)
{
    struct guest_rig *rig = *state;
    char path[64];
    int own = bound(rig, "own", path);
    pid_t pid = worker_rig_start(rig, GUEST);

    assert_int_equal(guest_dial_open(rig->daemon.guests, NIC, own, "/nonexistent"), 0);
    assert_false(guest_dial(rig->daemon.guests, NIC - 1));
    kill(pid, SIGSTOP);
    assert_true(guest_dial(rig->daemon.guests, NIC));
    for (unsigned i = 0; i < 100; i++)
        assert_false(guest_dial(rig->daemon.guests, NIC));
    kill(pid, SIGCONT);
    settle(rig);
    assert_true(guest_dial(rig->daemon.guests, NIC));
    settle(rig);
    close(own);
    unlink(path);
}

static void a_captured_worker_has_ten_attempts_a_second_and_no_more(void **state)
{
    struct guest_rig *rig = *state;
    char path[2][64];
    int own = bound(rig, "own", path[0]), peer;

    snprintf(path[1], sizeof(path[1]), "%s/peer", rig->dir);
    worker_rig_start(rig, GUEST);
    assert_int_equal(guest_dial_open(rig->daemon.guests, NIC, own, path[1]), 0);
    for (unsigned i = 0; i < GUEST_DIALS_A_SECOND; i++) {
        assert_true(guest_dial(rig->daemon.guests, NIC));
        settle(rig);
    }
    /* Now it would succeed. */
    peer = bound(rig, "peer", path[1]);
    assert_true(guest_dial(rig->daemon.guests, NIC));
    assert_false(is_connected(own));
    settle(rig);
    usleep(1000000);
    ev_now_update(rig->daemon.ev);
    assert_true(guest_dial(rig->daemon.guests, NIC));
    assert_true(is_connected(own));
    settle(rig);
    close(own);
    close(peer);
    unlink(path[0]);
    unlink(path[1]);
}

static void a_nic_that_goes_while_it_is_dialled_leaves_nothing(void **state)
{
    struct guest_rig *rig = *state;
    char path[64];
    int own = bound(rig, "own", path);
    unsigned descriptors;

    worker_rig_start(rig, GUEST);
    settle(rig);
    descriptors = guest_rig_descriptors();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(guest_dial_open(rig->daemon.guests, NIC, own, "/nonexistent"), 0);
        assert_int_equal(guest_rig_descriptors(), descriptors + 1);
        assert_true(guest_dial(rig->daemon.guests, NIC));
        guest_dial_close(rig->daemon.guests, NIC);
        worker_rig_none_stays(descriptors);
        assert_false(guest_dial(rig->daemon.guests, NIC));
    }
    settle(rig);
    /* And a guest that goes. */
    assert_int_equal(guest_dial_open(rig->daemon.guests, NIC, own, "/nonexistent"), 0);
    assert_true(guest_dial(rig->daemon.guests, NIC));
    guest_detach(rig->daemon.guests, NULL, NULL);
    assert_true(guest_dial(rig->daemon.guests, NIC)); /* asked before it was told */
    guest_rig_settle(rig, 0);
    close(own);
    unlink(path);
}

static void a_worker_that_dies_while_it_is_answered_leaves_nothing(void **state)
{
    struct guest_rig *rig = *state;
    char path[64];
    int own = bound(rig, "own", path);
    struct worker_was was = {worker_rig_start(rig, GUEST)};

    kill(was.pid, SIGSTOP);
    assert_int_equal(guest_dial_open(rig->daemon.guests, NIC, own, "/nonexistent"), 0);
    assert_true(guest_dial(rig->daemon.guests, NIC));
    kill(was.pid, SIGKILL);
    guest_rig_run(rig, worker_rig_has_another, &was);
    assert_null(rig->daemon.guests->dial[NIC]);
    close(own);
    unlink(path);
}

static void send_descriptor(const char *path, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct iovec iov = {(char[]){"x"}, 1};
    const struct msghdr message = {.msg_name = &to,
                                   .msg_namelen = sizeof(to),
                                   .msg_iov = &iov,
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = sizeof(control)};
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(to.sun_path, path, strlen(path) + 1);
    memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
    assert_int_equal(sendmsg(sock, &message, 0), 1);
    close(sock);
}

/* The worker, which would have read it, is not there any more. */
static void nobody_waits_for_what_a_peer_has_sent_to_be_closed(void **state)
{
    struct guest_rig *rig = *state;
    char path[64];
    int own = bound(rig, "own", path), other, fd = lingering_socket(&other);
    struct timespec from, to;

    worker_rig_start(rig, GUEST);
    assert_int_equal(guest_dial_open(rig->daemon.guests, NIC, own, "/nonexistent"), 0);
    close(own);
    send_descriptor(path, fd);
    close(fd);
    clock_gettime(CLOCK_MONOTONIC, &from);
    guest_dial_close(rig->daemon.guests, NIC);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 9);
    close(other);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, worker_rig_setup, worker_rig_teardown)
        TEST(a_worker_s_socket_is_connected_when_it_asks),
        TEST(who_asks_again_before_the_answer_or_for_no_peer_is_none_of_ours),
        TEST(a_captured_worker_has_ten_attempts_a_second_and_no_more),
        TEST(a_nic_that_goes_while_it_is_dialled_leaves_nothing),
        TEST(a_worker_that_dies_while_it_is_answered_leaves_nothing),
        TEST(nobody_waits_for_what_a_peer_has_sent_to_be_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
