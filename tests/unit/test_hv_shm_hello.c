/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm against peers that truncate, lie and stall before they are let in. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/hv_shm_rig.h"

static int try_fds(struct shm_server *server, const void *message, size_t length, const int *fds,
                   unsigned fd_count)
{
    int sock, error;

    /* A server that is behind with closing descriptors hangs up at once; peers come again. */
    for (unsigned tries = 0;; tries++) {
        sock = shm_server_socket(server);
        error = peer_send_raw(sock, message, length, fds, fd_count);
        if (error != -EPIPE || tries == 100)
            break;
        close(sock);
        usleep(20000);
    }
    assert_int_equal(error, 0);
    error = hv_shm_rig_outcome(sock);
    close(sock);
    return error;
}

static int try_hello(struct shm_server *server, const struct bad_hello *b, size_t length)
{
    int fds[2] = {peer_memfd("pages", PAGES_SIZE, true), peer_memfd("ram", 0x4000, true)};
    int error = try_fds(server, b, length, fds, 2);

    close(fds[0]);
    close(fds[1]);
    return error;
}

static void a_truncated_hello_is_refused_at_every_length(void **state)
{
    struct shm_server *server = *state;
    struct bad_hello b;

    hv_shm_rig_hello(&b);
    for (size_t length = 1; length < b.hello.header.length; length++) {
        struct bad_hello copy = b;
        int error;

        error = try_hello(server, &copy, length); /* says more than it is */
        assert_true(error < 0 && error != -EAGAIN);
        copy.hello.header.length = (uint32_t)length; /* and says so */
        error = try_hello(server, &copy, length);
        assert_true(error < 0 && error != -EAGAIN);
    }
    assert_int_equal(server->offered, 0);
}

static void an_empty_message_ends_the_connection(void **state)
{
    struct shm_server *server = *state;
    int sock = shm_server_socket(server);

    send(sock, "", 0, 0);
    assert_int_equal(hv_shm_rig_outcome(sock), 0);
    close(sock);
}

#define LIE(what)                                                                                  \
    do {                                                                                           \
        int error_;                                                                                \
        hv_shm_rig_hello(&b);                                                                      \
        what;                                                                                      \
        error_ = try_hello(*state, &b, b.hello.header.length);                                     \
        if (error_ >= 0 || error_ == -EAGAIN)                                                      \
            fail_msg("not refused: %s", #what);                                                    \
    } while (0)

static void every_lie_in_hello_is_refused(void **state)
{
    struct shm_server *server = *state;
    struct bad_hello b;

    LIE(b.hello.header.magic ^= 1);
    LIE(b.hello.header.type = HV_SHM_WELCOME);
    LIE(b.hello.header.type = 0xffff);
    LIE(b.hello.header.fds = 1);
    LIE(b.hello.header.fds = 3);
    LIE(b.hello.version = 0);
    LIE(b.hello.vcpus = 0);
    LIE(b.hello.vcpus = HV_SHM_VCPUS_MAX + 1);
    LIE(b.hello.vcpus = UINT32_MAX);
    LIE(b.hello.regions = 1);
    LIE(b.hello.regions = 3);
    LIE(b.hello.regions = UINT32_MAX);
    LIE(b.hello.regions = 0x08000002); /* times 32 wraps in 32 bits */
    LIE(b.hello.regions = HV_SHM_REGIONS_MAX + 1; b.hello.header.length = sizeof(b));
    LIE(b.hello.name[0] = 0);
    LIE(memset(b.hello.name, 'a', sizeof(b.hello.name)));
    LIE(strcpy(b.hello.name, "../../etc/passwd"));
    LIE(strcpy(b.hello.name, "a b"));
    LIE(strcpy(b.hello.name, "a\nb"));
    LIE(strcpy(b.hello.name, "a\"b"));
    LIE(strcpy(b.hello.name, ".."));
    LIE(strcpy(b.hello.name, "\xc3\xa9"));
    LIE(b.hello.name[40] = 'x'); /* after the NUL */
    LIE(b.hello.reserved[3] = 1);
    LIE(b.region[1].gpa = 0x1000); /* overlaps */
    LIE(b.region[1].gpa = 0x2001);
    LIE(b.region[1].size = 0);
    LIE(b.region[1].size = 0x1001);
    LIE(b.region[1].offset = 0x2800);
    LIE(b.region[1].offset = 0x3000); /* one page beyond the file */
    LIE(b.region[1].offset = UINT64_MAX - 0xfff);
    LIE(b.region[1].size = UINT64_MAX - 0xfff);
    LIE(b.region[1].gpa = UINT64_MAX - 0xfff);
    LIE(b.region[1].gpa = (1ull << 52) - 0x1000);
    LIE(b.region[1].gpa = 1ull << 52);
    LIE(b.region[1].size = HV_SHM_MEMORY_MAX);
    LIE(b.region[1].fd = 0); /* the pages are not RAM */
    LIE(b.region[1].fd = 2);
    LIE(b.region[1].fd = UINT32_MAX);
    LIE(b.region[1].flags = HV_SHM_REGION_FRAMES);
    LIE(b.region[1].flags = 0x80000000);
    assert_int_equal(server->offered, 0);
    /* As it stands it is good. */
    hv_shm_rig_hello(&b);
    server->refuse = -EXDEV;
    assert_int_equal(try_hello(server, &b, b.hello.header.length), -EXDEV);
    assert_int_equal(server->offered, 1);
    server->refuse = 0;
}

static int readonly_memfd(void)
{
    int fd = peer_memfd("ram", 0x4000, true), ro;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ro = open(path, O_RDONLY | O_CLOEXEC);
    close(fd);
    return ro;
}

static int write_sealed_memfd(void)
{
    int fd = peer_memfd("ram", 0x4000, false);

    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE);
    return fd;
}

static int hugetlb_memfd(void)
{
    int fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    if (fd < 0)
        return peer_memfd("ram", 0x4000, false); /* none here; something else that is refused */
    if (ftruncate(fd, 2 << 20) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
        abort();
    return fd;
}

static int plain_file(void)
{
    char path[] = "/tmp/test_hv_shm.XXXXXX";
    int fd = mkstemp(path);

    unlink(path);
    if (ftruncate(fd, 0x10000) < 0)
        abort();
    return fd;
}

static void memory_that_could_fault_is_refused(void **state)
{
    struct bad_hello b;
    const int bad[] = {
        peer_memfd("ram", 0x4000, false), /* could be truncated under us */
        peer_memfd("ram", 0x3000, true),  /* too short */
        readonly_memfd(),
        write_sealed_memfd(),
        hugetlb_memfd(),
        plain_file(),
        eventfd(0, EFD_CLOEXEC),
        socket(AF_UNIX, SOCK_STREAM, 0),
        open("/dev/zero", O_RDWR | O_CLOEXEC),
        open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    };
    int good[2] = {peer_memfd("pages", PAGES_SIZE, true), peer_memfd("ram", 0x4000, true)};

    hv_shm_rig_hello(&b);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int as_ram[2] = {good[0], bad[i]}, as_pages[2] = {bad[i], good[1]};

        assert_true(bad[i] >= 0);
        assert_true(try_fds(*state, &b, b.hello.header.length, as_ram, 2) < 0);
        if (i != 1 || PAGES_SIZE > 0x3000)
            assert_true(try_fds(*state, &b, b.hello.header.length, as_pages, 2) < 0);
        close(bad[i]);
    }
    close(good[0]);
    close(good[1]);
}

static void too_many_descriptors_are_refused_and_closed(void **state)
{
    static const unsigned counts[] = {0, 1, HV_SHM_HELLO_FDS + 1, 100, 253};
    struct bad_hello b;
    int fds[253];

    fds[0] = peer_memfd("pages", PAGES_SIZE, true);
    for (unsigned i = 1; i < 253; i++)
        fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        hv_shm_rig_hello(&b);
        b.hello.header.fds = (uint16_t)counts[i];
        assert_true(try_fds(*state, &b, b.hello.header.length, fds, counts[i]) < 0);
    }
    for (unsigned i = 0; i < 253; i++)
        close(fds[i]);
}

static void a_message_beyond_the_bound_is_refused(void **state)
{
    static uint64_t big[4 * HV_SHM_MESSAGE_MAX / 8];
    struct bad_hello b;

    hv_shm_rig_hello(&b);
    b.hello.header.fds = 0;
    b.hello.header.length = sizeof(big);
    memcpy(big, &b, sizeof(b));
    assert_int_equal(try_fds(*state, big, sizeof(big), NULL, 0), -EPROTO);
}

static void a_peer_that_stalls_is_refused_in_time_and_holds_up_nobody(void **state)
{
    struct shm_server *server = *state;
    int sock = shm_server_socket(server);
    struct peer *peer = shm_server_peer(server, "honest", 1);

    peer_out(peer, 0, 0x300, 4, 5);
    assert_int_equal(peer_in(peer, 0, 0x300, 4), 5);
    assert_int_equal(hv_shm_rig_outcome(sock), -ETIMEDOUT);
    assert_int_equal(peer_in(peer, 0, 0x300, 4), 5);
    close(sock);
    peer_close(peer);
}

static void half_open_connections_are_bounded_and_the_oldest_gives_way(void **state)
{
    struct shm_server *server = *state;
    int socks[100];

    for (unsigned i = 0; i < 100; i++)
        socks[i] = shm_server_socket(server);
    for (unsigned i = 0; i < 84; i++)
        assert_int_equal(hv_shm_rig_outcome(socks[i]), -EBUSY);
    peer_close(shm_server_peer(server, "honest", 1));
    for (unsigned i = 0; i < 100; i++)
        close(socks[i]);
}

static void refusals_do_not_flood_the_log(void **state)
{
    struct shm_server *server = *state;
    struct bad_hello b;

    hv_shm_rig_hello(&b);
    b.hello.vcpus = 0;
    for (unsigned i = 0; i < 300; i++) {
        int error = try_hello(server, &b, b.hello.header.length);

        assert_true(error == -EINVAL || error == 0); /* 0: hung up, as it is behind with closing */
    }
    assert_true(server->log_lines >= 1);
    assert_true(server->log_lines < 60);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, hv_shm_rig_setup, hv_shm_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_truncated_hello_is_refused_at_every_length),
        CASE(an_empty_message_ends_the_connection),
        CASE(every_lie_in_hello_is_refused),
        CASE(memory_that_could_fault_is_refused),
        CASE(too_many_descriptors_are_refused_and_closed),
        CASE(a_message_beyond_the_bound_is_refused),
        CASE(a_peer_that_stalls_is_refused_in_time_and_holds_up_nobody),
        CASE(half_open_connections_are_bounded_and_the_oldest_gives_way),
        CASE(refusals_do_not_flood_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
