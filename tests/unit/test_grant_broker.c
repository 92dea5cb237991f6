// SPDX-License-Identifier: GPL-2.0-or-later
/* What a worker process that was taken over can do with the socket of a guest's grants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ioreq/grant_remote.h"
#include "tests/unit/broker_rig.h"

#define SECOND_NS 1000000000u

static struct broker_rig rig;
static int sock; /* of the captured one; -1: closed */
static uint8_t *window;
static const struct grants *other; /* a guest of the same process, whose worker half is ours */

static int setup(void **state)
{
    broker_rig_start(&rig);
    sock = broker_rig_raw(&rig, 0, &window);
    other = broker_rig_remote(&rig, 1);
    return 0;
}

static int teardown(void **state)
{
    if (sock >= 0)
        close(sock);
    munmap(window, GRANT_WIRE_WINDOW);
    grant_remote_close(other);
    broker_rig_stop(&rig);
    assert_int_equal(rig.strange, 0);
    return 0;
}

static void anew(void)
{
    close(sock);
    munmap(window, GRANT_WIRE_WINDOW);
    sock = broker_rig_raw(&rig, 0, &window);
}

static void say(const void *message, size_t length)
{
    assert_int_equal(send(sock, message, length, MSG_NOSIGNAL), length);
}

static void request(struct grant_wire_request *message)
{
    say(message, grant_wire_size(message->kind, message->count));
}

/* Of a MAP, whose descriptor is closed at once. */
static int hear_mapped(void)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct grant_wire_mapped mapped;
    struct iovec iov = {&mapped, sizeof(mapped)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *cmsg;
    int fd;

    assert_int_equal(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC), sizeof(mapped));
    cmsg = CMSG_FIRSTHDR(&msg);
    assert_int_equal(cmsg != NULL, mapped.error == 0);
    if (!cmsg)
        return mapped.error;
    memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
    close(fd);
    return 0;
}

static int ask_map(uint32_t pages)
{
    struct grant_wire_request map = {.kind = GRANT_WIRE_MAP, .count = pages};

    request(&map);
    return hear_mapped();
}

static void say_unmapped(uint32_t pages)
{
    struct grant_wire_request unmap = {.kind = GRANT_WIRE_UNMAP, .count = pages};

    request(&unmap);
}

static void expect_end(void)
{
    char byte;
    ssize_t n = recv(sock, &byte, 1, 0);

    /* What was not read is told of by an error. */
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

/* The other guest of this process has noticed nothing. */
static void expect_service(void)
{
    uint8_t byte = 0;
    struct grant_copy copy = {.local = &byte, .ref = 3, .len = 1};

    rig.memory[1][3 * GRANT_PAGE] = 0x5a;
    grants_copy(other, &copy, 1);
    assert_int_equal(copy.status, 0);
    assert_int_equal(byte, 0x5a);
}

/* ---- what it can ------------------------------------------------------------------------------*/

static void a_reference_is_of_the_sockets_own_domain(void **state)
{
    struct grant_wire_request copy = {
        .kind = GRANT_WIRE_COPY,
        .count = 2,
        .segment = {{.ref = 3, .place = 100, .len = 4},
                    {.ref = 4, .place = 200, .offset = 4092, .len = 4, .to_guest = 1}}};
    int32_t status[3] = {-1, -1, -1};

    memcpy(rig.memory[0] + 3 * GRANT_PAGE, "mine", 4);
    memcpy(rig.memory[1] + 3 * GRANT_PAGE, "not!", 4);
    memcpy(window + 200, "from", 4);
    request(&copy);
    assert_int_equal(recv(sock, status, sizeof(status), 0), 2 * sizeof(status[0]));
    assert_int_equal(status[0], 0);
    assert_int_equal(status[1], 0);
    assert_memory_equal(window + 100, "mine", 4);
    assert_memory_equal(rig.memory[0] + 5 * GRANT_PAGE - 4, "from", 4);
    assert_int_equal(rig.memory[1][5 * GRANT_PAGE - 4], 0);
}

static void a_segment_reaches_the_ends_of_the_page_and_of_the_window(void **state)
{
    struct grant_wire_request copy = {
        .kind = GRANT_WIRE_COPY,
        .count = 2,
        .segment = {{.ref = 3, .place = GRANT_WIRE_WINDOW - GRANT_PAGE, .len = GRANT_PAGE},
                    {.ref = 3, .place = GRANT_WIRE_WINDOW - 1, .offset = 4095, .len = 1}}};
    int32_t status[2] = {-1, -1};

    request(&copy);
    assert_int_equal(recv(sock, status, sizeof(status), 0), sizeof(status));
    assert_int_equal(status[0], 0);
    assert_int_equal(status[1], 0);
}

/* ---- what ends it -----------------------------------------------------------------------------*/

/* ... with the other guest served as before, and nothing done. */
static void expect_no_mercy(const void *message, size_t length)
{
    unsigned segments = rig.segments, maps = rig.map_calls;

    say(message, length);
    expect_end();
    assert_int_equal(rig.segments, segments);
    assert_int_equal(rig.map_calls, maps);
    expect_service();
    anew();
}

static void a_segment_out_of_bounds_is_the_end(void **state)
{
    static const struct grant_wire_segment bad[] = {
        {.ref = 1, .place = 0, .offset = 0, .len = 0},
        {.ref = 1, .place = 0, .offset = 4095, .len = 2},
        {.ref = 1, .place = 0, .offset = 1, .len = 4096},
        {.ref = 1, .place = 0, .offset = 65535, .len = 1},
        {.ref = 1, .place = 0, .offset = 65535, .len = 65535},
        {.ref = 1, .place = GRANT_WIRE_WINDOW - 1, .len = 2},
        {.ref = 1, .place = GRANT_WIRE_WINDOW, .len = 1},
        {.ref = 1, .place = UINT32_MAX, .len = 1},
        {.ref = 1, .place = UINT32_MAX - 4094, .len = 4096},
        {.ref = 1, .place = 0, .len = 1, .to_guest = 2},
        {.ref = 1, .place = 0, .len = 1, .to_guest = UINT32_MAX},
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        /* The last of them: those before it are not copied either. */
        struct grant_wire_request copy = {
            .kind = GRANT_WIRE_COPY, .count = 2, .segment = {{.ref = 1, .len = 1}, bad[i]}};

        expect_no_mercy(&copy, grant_wire_size(GRANT_WIRE_COPY, 2));
    }
}

static void a_count_out_of_bounds_is_the_end(void **state)
{
    static struct {
        struct grant_wire_request request;
        char more[64];
    } message;
    static const uint32_t count[] = {0, 257, 65536, UINT32_MAX, 0x10000001, 0x40000001};

    for (unsigned i = 0; i < 256; i++)
        message.request.segment[i] = (struct grant_wire_segment){.ref = 1, .len = 1};
    for (unsigned i = 0; i < sizeof(count) / sizeof(count[0]); i++) {
        message.request.count = count[i];
        for (uint32_t kind = GRANT_WIRE_COPY; kind <= GRANT_WIRE_UNMAP; kind++) {
            message.request.kind = kind;
            /* Of whatever length: what it would be in 64 bits and in 32, and the most there is. */
            if (grant_wire_size(kind, count[i]) <= sizeof(message))
                expect_no_mercy(&message, grant_wire_size(kind, count[i]));
            if ((uint32_t)grant_wire_size(kind, count[i]) <= sizeof(message))
                expect_no_mercy(&message, (uint32_t)grant_wire_size(kind, count[i]));
            expect_no_mercy(&message, sizeof(message.request));
        }
    }
}

static void a_message_of_another_length_than_its_count_says_is_the_end(void **state)
{
    static struct {
        struct grant_wire_request request;
        char more[4096];
    } message;
    size_t size;

    for (unsigned i = 0; i < 256; i++)
        message.request.segment[i] = (struct grant_wire_segment){.ref = 1, .len = 1};
    for (uint32_t kind = GRANT_WIRE_COPY; kind <= GRANT_WIRE_MAP; kind++) {
        message.request.kind = kind;
        for (uint32_t count = 1; count <= 256; count += 255) {
            message.request.count = count;
            size = grant_wire_size(kind, count);
            expect_no_mercy(&message, size - 1);
            expect_no_mercy(&message, size + 1);
            expect_no_mercy(&message, size - sizeof(uint32_t));
            expect_no_mercy(&message, sizeof(message));
        }
    }
    for (size_t length = 0; length < 8; length++)
        expect_no_mercy(&message, length);
}

static void an_unknown_kind_is_the_end(void **state)
{
    static const uint32_t kind[] = {0, GRANT_WIRE_UNMAP + 1, 0x80000001, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
        struct grant_wire_request message = {
            .kind = kind[i], .count = 1, .segment = {{.ref = 1, .len = 1}}};

        for (uint32_t like = GRANT_WIRE_COPY; like <= GRANT_WIRE_UNMAP; like++)
            expect_no_mercy(&message, grant_wire_size(like, 1));
    }
}

static void more_pages_unmapped_than_there_are_is_the_end(void **state)
{
    struct grant_wire_request unmap = {.kind = GRANT_WIRE_UNMAP, .count = 1};

    expect_no_mercy(&unmap, grant_wire_size(GRANT_WIRE_UNMAP, 1));
    assert_int_equal(ask_map(3), 0);
    say_unmapped(2);
    unmap.count = 2;
    expect_no_mercy(&unmap, grant_wire_size(GRANT_WIRE_UNMAP, 2));
}

/* One that the kernel closes in the broker's thread could keep it for as long as it likes. */
static void descriptors_with_a_message_are_the_end_and_are_closed(void **state)
{
    struct grant_wire_request copy = {
        .kind = GRANT_WIRE_COPY, .count = 1, .segment = {{.ref = 1, .len = 1}}};
    char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct iovec iov = {&copy, grant_wire_size(GRANT_WIRE_COPY, 1)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    int pipes[2];
    struct pollfd end;

    assert_int_equal(pipe(pipes), 0);
    *CMSG_FIRSTHDR(&msg) = (struct cmsghdr){CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), (int[]){pipes[1], pipes[1]}, 2 * sizeof(int));
    /* The second one is never read. */
    assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL), iov.iov_len);
    (void)!sendmsg(sock, &msg, MSG_NOSIGNAL);
    expect_end();
    assert_int_equal(rig.segments, 0);
    expect_service();
    close(pipes[1]);
    end = (struct pollfd){.fd = pipes[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, 10000), 1);
    assert_true(end.revents & POLLHUP);
    close(pipes[0]);
}

static void who_does_not_hear_the_answers_is_ended(void **state)
{
    struct grant_wire_request copy = {
        .kind = GRANT_WIRE_COPY, .count = 1, .segment = {{.ref = 1, .len = 1}}};
    const size_t size = grant_wire_size(GRANT_WIRE_COPY, 1);
    unsigned asked = 0;
    int err;

    do {
        struct pollfd end = {.fd = sock, .events = POLLOUT};

        assert_int_equal(poll(&end, 1, 10000), 1);
        err = send(sock, &copy, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
        assert_true(asked++ < 1000000);
    } while (!err || err == EAGAIN);
    assert_true(err == EPIPE || err == ECONNRESET); /* the latter: the answers were not read */
    expect_service();
}

/* ---- maps -------------------------------------------------------------------------------------*/

static void pages_that_are_mapped_at_a_time_are_bounded(void **state)
{
    for (unsigned i = 0; i < GRANT_XEN_MAPPED_MAX / 224; i++)
        assert_int_equal(ask_map(224), 0);
    assert_int_equal(ask_map(1), -ENOSPC);
    say_unmapped(10);
    assert_int_equal(ask_map(11), -ENOSPC);
    assert_int_equal(ask_map(10), 0);
    expect_service();
}

/* Its maps stay, whatever it says. */
static void who_lies_about_what_is_unmapped_is_bounded_by_time(void **state)
{
    rig.now_ns += UINT64_C(1000000) * SECOND_NS; /* which are no more than the beginning's */
    for (unsigned pages = 0; pages < GRANT_BROKER_BURST; pages += 256) {
        assert_int_equal(ask_map(256), 0);
        say_unmapped(256);
    }
    assert_int_equal(ask_map(1), -ENOSPC);
    rig.now_ns += SECOND_NS / GRANT_BROKER_REFILL - 1;
    assert_int_equal(ask_map(1), -ENOSPC);
    rig.now_ns += 1;
    assert_int_equal(ask_map(2), -ENOSPC);
    assert_int_equal(ask_map(1), 0);
    assert_int_equal(ask_map(1), -ENOSPC);
    rig.now_ns += 2 * (uint64_t)SECOND_NS;
    assert_int_equal(ask_map(2 * GRANT_BROKER_REFILL), 0);
    assert_int_equal(ask_map(1), -ENOSPC);
    assert_int_equal(rig.map_pages, GRANT_BROKER_BURST + 1 + 2 * GRANT_BROKER_REFILL);
    rig.now_ns += UINT64_C(1000000) * SECOND_NS;
    say_unmapped(1 + 2 * GRANT_BROKER_REFILL);
    for (unsigned pages = 0; pages < GRANT_BROKER_BURST; pages += 256) {
        assert_int_equal(ask_map(256), 0);
        say_unmapped(256);
    }
    assert_int_equal(ask_map(1), -ENOSPC);
}

/* As its worker is given, which says of every disk that it cannot be opened. */
static void more_sockets_of_a_domain_map_no_more_pages(void **state)
{
    uint8_t *first_window = window;
    int first = sock;

    sock = broker_rig_raw(&rig, 0, &window);
    for (unsigned i = 0; i < GRANT_XEN_MAPPED_MAX / 224; i++)
        assert_int_equal(ask_map(224), 0);
    close(sock); /* and says nothing of them */
    munmap(window, GRANT_WIRE_WINDOW);
    sock = first;
    window = first_window;
    assert_int_equal(ask_map(1), -ENOSPC);
    anew();
    assert_int_equal(ask_map(1), -ENOSPC);
    grant_broker_cut(rig.broker, BROKER_RIG_DOMID);
    anew();
    assert_int_equal(ask_map(1), 0);
}

static void more_sockets_of_a_domain_have_one_time(void **state)
{
    for (unsigned pages = 0; pages < GRANT_BROKER_BURST; pages += 256) {
        assert_int_equal(ask_map(256), 0);
        say_unmapped(256);
        if (pages % 1024 == 0)
            anew();
    }
    anew();
    assert_int_equal(ask_map(1), -ENOSPC);
    expect_service();
}

static void what_gntdev_refuses_is_not_mapped(void **state)
{
    rig.map_error = -EMFILE;
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(ask_map(GRANT_MAP_MAX), -EMFILE);
    rig.map_error = 0;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(ask_map(GRANT_MAP_MAX), 0);
    assert_int_equal(ask_map(GRANT_MAP_MAX), -ENOSPC);
}

/* ---- ends -------------------------------------------------------------------------------------*/

static void wait_for_fds(unsigned count)
{
    for (unsigned i = 0; broker_rig_fds() != count && i < 10000; i++)
        usleep(1000);
    assert_int_equal(broker_rig_fds(), count);
}

static void a_worker_that_ends_is_forgotten(void **state)
{
    unsigned fds = broker_rig_fds();

    close(sock);
    sock = -1;
    wait_for_fds(fds - 2); /* and ours */
    expect_service();
}

/* Also of one that still asks. */
static void a_guest_that_is_gone_is_cut_off_whatever_its_worker_does(void **state)
{
    struct grant_wire_request copy = {
        .kind = GRANT_WIRE_COPY, .count = 1, .segment = {{.ref = 1, .len = 1}}};
    unsigned fds = broker_rig_fds();

    grant_broker_cut(rig.broker, BROKER_RIG_DOMID);
    assert_int_equal(send(sock, &copy, grant_wire_size(GRANT_WIRE_COPY, 1), MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    expect_end();
    wait_for_fds(fds - 1);
    assert_int_equal(rig.segments, 0);
    expect_service();
    grant_broker_cut(rig.broker, BROKER_RIG_DOMID);
    anew(); /* a domain of the same number */
    assert_int_equal(ask_map(1), 0);
}

/* While the thread is busy with another; nobody waits for that. */
static void what_a_guest_has_asked_before_it_is_cut_off_is_not_done(void **state)
{
    struct grant_wire_request copy = {
        .kind = GRANT_WIRE_COPY, .count = 1, .segment = {{.ref = 1, .len = 1}}};
    const size_t size = grant_wire_size(GRANT_WIRE_COPY, 1);
    uint8_t *busy_window;
    int32_t status = -1;
    int busy = broker_rig_raw(&rig, 1, &busy_window);

    broker_rig_hold(&rig);
    assert_int_equal(send(busy, &copy, size, MSG_NOSIGNAL), size);
    broker_rig_wait_held(&rig);
    request(&copy);
    grant_broker_cut(rig.broker, BROKER_RIG_DOMID);
    broker_rig_let_go(&rig);
    expect_end();
    assert_int_equal(recv(busy, &status, sizeof(status), 0), sizeof(status));
    assert_int_equal(status, 0);
    assert_int_equal(rig.segments, 1);
    close(busy);
    munmap(busy_window, GRANT_WIRE_WINDOW);
}

static void the_window_cannot_be_made_smaller(void **state)
{
    int window_fd, another;

    assert_int_equal(grant_broker_add(rig.broker, BROKER_RIG_DOMID, &another, &window_fd), 0);
    assert_int_equal(ftruncate(window_fd, 0), -1);
    assert_int_equal(ftruncate(window_fd, 2 * GRANT_WIRE_WINDOW), -1);
    assert_int_equal(fcntl(window_fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    /* A page can be, and is an empty one. */
    window[0] = 1;
    fallocate(window_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, GRANT_WIRE_WINDOW);
    close(window_fd);
    close(another);
}

static void closing_it_ends_all_of_its_guests_and_gives_all_back(void **state)
{
    struct broker_rig own;
    unsigned fds = broker_rig_fds();
    uint8_t *windows[3];
    int socks[3];
    char byte;

    broker_rig_start(&own);
    for (unsigned i = 0; i < 3; i++)
        socks[i] = broker_rig_raw(&own, i % 2, &windows[i]);
    /* One has something unread, one has asked something strange. */
    assert_int_equal(send(socks[1], "", 1, MSG_NOSIGNAL), 1);
    grant_broker_close(own.broker);
    own.broker = NULL;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(recv(socks[i], &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
        close(socks[i]);
        munmap(windows[i], GRANT_WIRE_WINDOW);
    }
    broker_rig_stop(&own);
    assert_int_equal(broker_rig_fds(), fds);
    grant_broker_close(NULL);
}

/* They are the main thread's, which a signal to the process is to find. */
static void its_thread_takes_no_signals(void **state)
{
    sigset_t all, before, pending;

    sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    expect_service();
    assert_int_equal(sigpending(&pending), 0);
    assert_true(sigismember(&pending, SIGUSR1));
    signal(SIGUSR1, SIG_IGN); /* which takes it back */
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void without_descriptors_there_is_no_guest_more(void **state)
{
    struct rlimit limit, low;
    int fds[2] = {-7, -7}, next = dup(0);

    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    /* The pair takes two, the window one. */
    for (int room = 0; room < 3; room++) {
        low = (struct rlimit){.rlim_cur = (rlim_t)(next + room), .rlim_max = limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        assert_int_equal(grant_broker_add(rig.broker, BROKER_RIG_DOMID, &fds[0], &fds[1]), -EMFILE);
        assert_int_equal(fds[0], -7);
        assert_int_equal(fds[1], -7);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect_service();
    assert_int_equal(dup(0), next);
    close(next);
}

static void without_descriptors_there_is_no_broker(void **state)
{
    struct grant_broker *none = NULL;
    struct rlimit limit, low;
    int next = dup(0);

    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int room = 0; room < 2; room++) {
        struct grant_xen *xen = broker_rig_xen(&rig);

        low = (struct rlimit){.rlim_cur = (rlim_t)(next + room), .rlim_max = limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        rig.library_closed = false;
        assert_int_equal(grant_broker_open_with(xen, &broker_rig_calls, &rig, &none), -EMFILE);
        assert_null(none);
        assert_true(rig.library_closed);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect_service();
    assert_int_equal(dup(0), next);
    close(next);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_reference_is_of_the_sockets_own_domain),
        TEST(a_segment_reaches_the_ends_of_the_page_and_of_the_window),
        TEST(a_segment_out_of_bounds_is_the_end),
        TEST(a_count_out_of_bounds_is_the_end),
        TEST(a_message_of_another_length_than_its_count_says_is_the_end),
        TEST(an_unknown_kind_is_the_end),
        TEST(more_pages_unmapped_than_there_are_is_the_end),
        TEST(descriptors_with_a_message_are_the_end_and_are_closed),
        TEST(who_does_not_hear_the_answers_is_ended),
        TEST(pages_that_are_mapped_at_a_time_are_bounded),
        TEST(who_lies_about_what_is_unmapped_is_bounded_by_time),
        TEST(more_sockets_of_a_domain_map_no_more_pages),
        TEST(more_sockets_of_a_domain_have_one_time),
        TEST(what_gntdev_refuses_is_not_mapped),
        TEST(a_worker_that_ends_is_forgotten),
        TEST(a_guest_that_is_gone_is_cut_off_whatever_its_worker_does),
        TEST(what_a_guest_has_asked_before_it_is_cut_off_is_not_done),
        TEST(the_window_cannot_be_made_smaller),
        TEST(closing_it_ends_all_of_its_guests_and_gives_all_back),
        TEST(its_thread_takes_no_signals),
        TEST(without_descriptors_there_is_no_guest_more),
        TEST(without_descriptors_there_is_no_broker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
