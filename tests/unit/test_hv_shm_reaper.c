/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who closes what came from others, when there can be no thread for it. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/hv_shm_reaper.h"
#include "tests/shm/sanitized.h"

/* Whether the other end has been closed, within so many ms. */
static bool closed(int fd, int ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, ms) == 1;
}

static void what_a_peer_sent_is_closed(void **state)
{
    struct hv_shm_reaper *reaper;
    int sock[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
    assert_int_equal(hv_shm_reaper_create(&reaper), 0);
    hv_shm_reaper_close(reaper, sock[0]);
    assert_true(closed(sock[1], 5000));
    hv_shm_reaper_destroy(reaper);
    close(sock[1]);
}

/* A thread's stack is mapped, which the kernel refuses meanwhile. */
static void close_without_threads(struct hv_shm_reaper *reaper, int fd)
{
    struct rlimit before, none;

    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    hv_shm_reaper_close(reaper, fd);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
}

/* At the next call, or at the end. The first test: glibc keeps the stack of a thread for others. */
static void without_a_thread_it_is_closed_when_there_is_one(void **state)
{
    struct hv_shm_reaper *reaper, *ending;
    int first[2], second[2], last[2];

    if (SANITIZED) /* its own maps would be refused, too */
        skip();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, last), 0);
    assert_int_equal(hv_shm_reaper_create(&reaper), 0);
    assert_int_equal(hv_shm_reaper_create(&ending), 0);
    close_without_threads(reaper, first[0]);
    close_without_threads(ending, last[0]);
    assert_false(closed(first[1], 50));
    assert_false(closed(last[1], 0));

    hv_shm_reaper_close(reaper, second[0]);
    assert_true(closed(first[1], 5000));
    assert_true(closed(second[1], 5000));
    hv_shm_reaper_destroy(ending);
    assert_true(closed(last[1], 0));
    hv_shm_reaper_destroy(reaper);
    close(first[1]);
    close(second[1]);
    close(last[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_thread_it_is_closed_when_there_is_one),
        cmocka_unit_test(what_a_peer_sent_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
