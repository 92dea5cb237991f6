// SPDX-License-Identifier: GPL-2.0-or-later
/* hv_shm against peers that truncate, lie and stall: no harm to the daemon or to another guest. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lingering.h"
#include "tests/unit/shm_server.h"

static const struct hv_ops *const hv = &hv_shm_ops;

#define PAGES_SIZE (HV_SHM_PAGES * 4096)

/* A HELLO that is good as it stands, to be spoilt. */
struct bad_hello {
    struct hv_shm_hello hello;
    struct hv_shm_region region[HV_SHM_REGIONS_MAX + 1];
};

static void hello_init(struct bad_hello *b)
{
    memset(b, 0, sizeof(*b));
    b->hello.header = (struct hv_shm_header){.magic = HV_SHM_MAGIC, .type = HV_SHM_HELLO, .fds = 2};
    b->hello.header.length = sizeof(b->hello) + 2 * sizeof(b->region[0]);
    b->hello.version = 1;
    b->hello.vcpus = 1;
    b->hello.regions = 2;
    strcpy(b->hello.name, "liar");
    b->region[0] = (struct hv_shm_region){.gpa = 0, .size = 0x2000, .fd = 1};
    b->region[1] = (struct hv_shm_region){.gpa = 0x2000, .size = 0x2000, .offset = 0x2000, .fd = 1};
}

static unsigned count_dir(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static unsigned count_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned n = 0;

    while (fgets(line, sizeof(line), maps))
        n += strstr(line, "/memfd:") != NULL;
    fclose(maps);
    return n;
}

static unsigned fds_before, maps_before;

static int setup(void **state)
{
    fds_before = count_dir("/proc/self/fd");
    maps_before = count_maps();
    *state = shm_server_start();
    return 0;
}

/* Whatever was tried, an honest peer is served, and nothing is left of the others. */
static int teardown(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "honest", 1);

    peer_out(peer, 0, 0x300, 4, 0x600d);
    assert_int_equal(peer_in(peer, 0, 0x300, 4), 0x600d);
    peer_close(peer);
    shm_server_stop(server);
    assert_int_equal(count_dir("/proc/self/fd"), fds_before);
    assert_int_equal(count_maps(), maps_before);
    return 0;
}

/* The REFUSED that a peer gets, or the bare end of the connection (0). */
static int outcome(int sock)
{
    uint64_t buf[HV_SHM_MESSAGE_MAX / 8];
    const struct hv_shm_refused *refused = (const void *)buf;
    struct pollfd pfd = {.fd = sock, .events = POLLIN};

    if (poll(&pfd, 1, 8000) <= 0)
        return -EAGAIN;
    if (recv(sock, buf, sizeof(buf), 0) < (ssize_t)sizeof(*refused))
        return 0;
    assert_int_equal(refused->header.magic, HV_SHM_MAGIC);
    assert_int_equal(refused->header.type, HV_SHM_REFUSED);
    assert_true(memchr(refused->reason, 0, sizeof(refused->reason)) != NULL);
    return refused->error;
}

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
    error = outcome(sock);
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

    hello_init(&b);
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
    assert_int_equal(outcome(sock), 0);
    close(sock);
}

#define LIE(what)                                                                                  \
    do {                                                                                           \
        int error_;                                                                                \
        hello_init(&b);                                                                            \
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
    hello_init(&b);
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

    hello_init(&b);
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
        hello_init(&b);
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

    hello_init(&b);
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
    assert_int_equal(outcome(sock), -ETIMEDOUT);
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
        assert_int_equal(outcome(socks[i]), -EBUSY);
    peer_close(shm_server_peer(server, "honest", 1));
    for (unsigned i = 0; i < 100; i++)
        close(socks[i]);
}

static void refusals_do_not_flood_the_log(void **state)
{
    struct shm_server *server = *state;
    struct bad_hello b;

    hello_init(&b);
    b.hello.vcpus = 0;
    for (unsigned i = 0; i < 300; i++) {
        int error = try_hello(server, &b, b.hello.header.length);

        assert_true(error == -EINVAL || error == 0); /* 0: hung up, as it is behind with closing */
    }
    assert_true(server->log_lines >= 1);
    assert_true(server->log_lines < 60);
}

/* What a peer may not send once it is a guest; the connection ends. */
static void nonsense_from_a_guest_ends_that_guest_only(void **state)
{
    struct shm_server *server = *state;
    struct peer *bystander = shm_server_peer(server, "bystander", 1);
    static const struct {
        uint16_t type;
        uint32_t length;
        uint16_t fds;
        uint16_t real_fds;
    } cases[] = {
        {HV_SHM_HELLO, sizeof(struct hv_shm_hello), 0, 0},
        {HV_SHM_WELCOME, sizeof(struct hv_shm_welcome), 0, 0},
        {HV_SHM_CLAIM, sizeof(struct hv_shm_range), 0, 0},
        {HV_SHM_ANSWER, sizeof(struct hv_shm_answer), 0, 0},
        {0, 16, 0, 0},
        {13, 16, 0, 0},
        {0xffff, 16, 0, 0},
        {HV_SHM_MEMORY_ADD, sizeof(struct hv_shm_memory), 0, 0},
        {HV_SHM_MEMORY_ADD, sizeof(struct hv_shm_memory), 1, 0},
        {HV_SHM_MEMORY_ADD, sizeof(struct hv_shm_memory), 2, 2},
        {HV_SHM_MEMORY_ADD, sizeof(struct hv_shm_memory) - 8, 1, 1},
        {HV_SHM_MEMORY_REMOVE, sizeof(struct hv_shm_memory), 1, 1},
        {HV_SHM_DIRTY_START, sizeof(struct hv_shm_dirty), 0, 0},
        {HV_SHM_DIRTY_STOP, sizeof(struct hv_shm_dirty) + 8, 0, 0},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer *peer = shm_server_peer(server, "liar", 1);
        uint64_t message[64] = {0};
        struct hv_shm_header *header = (void *)message;
        int fds[2] = {peer_socket(peer), peer_socket(peer)};

        *header = (struct hv_shm_header){.magic = HV_SHM_MAGIC,
                                         .type = cases[i].type,
                                         .fds = cases[i].fds,
                                         .length = cases[i].length};
        peer_send_raw(peer_socket(peer), message, cases[i].length, fds, cases[i].real_fds);
        if (!shm_server_wait(server, &server->gone, i + 1, 3000))
            fail_msg("case %u was let pass", i);
        peer_close(peer);
        assert_int_equal(peer_in(bystander, 0, 0x300, 1), 0);
    }
    peer_close(bystander);
}

/* Well-formed messages that ask for what cannot be: a negative answer, and the guest lives. */
static void impossible_memory_changes_are_answered(void **state)
{
    struct peer *peer = shm_server_peer(*state, "guest", 1);
    uint64_t *bits;

    assert_int_equal(peer_memory_add(peer, 0x1000, 4096), -EEXIST);
    assert_int_equal(peer_memory_add(peer, (1ull << 32) + 1, 4096), -EINVAL);
    assert_int_equal(peer_memory_add(peer, UINT64_MAX - 4095, 4096), -EINVAL);
    assert_int_equal(peer_dirty_start(peer, 1, 4096, &bits), -EINVAL);
    for (unsigned i = 1; i < 7; i++)
        assert_int_equal(peer_memory_add(peer, (uint64_t)i << 32, 4096), 0);
    peer_out(peer, 0, 0x300, 1, 9);
    assert_int_equal(peer_in(peer, 0, 0x300, 1), 9);
    peer_close(peer);
}

static void memory_regions_are_bounded(void **state)
{
    struct peer *peer = shm_server_peer(*state, "guest", 1);
    struct hv_shm_memory message = {.header = {HV_SHM_MAGIC, HV_SHM_MEMORY_ADD, 1, 48, 0}};
    int fd = peer_memfd("ram", 4096, true), added = 0;

    message.region.size = 4096;
    for (unsigned i = 0; i < 2 * HV_SHM_REGIONS_MAX; i++) {
        struct hv_shm_answer answer = {0};
        struct pollfd pfd = {.fd = peer_socket(peer), .events = POLLIN};

        message.region.gpa = (1ull << 32) + i * 8192ull;
        assert_int_equal(peer_send_raw(peer_socket(peer), &message, sizeof(message), &fd, 1), 0);
        assert_int_equal(poll(&pfd, 1, 3000), 1);
        assert_int_equal(recv(peer_socket(peer), &answer, sizeof(answer), 0), sizeof(answer));
        added += answer.error == 0;
    }
    assert_int_equal(added, HV_SHM_REGIONS_MAX - 1); /* and the RAM at 0 */
    close(fd);
    peer_close(peer);
}

static void claim_until_full(struct shm_server *server, void *arg)
{
    int rc = 0;

    for (unsigned i = 0; i < 100000 && rc == 0; i++)
        rc = hv->claim(server->guests[0].guest, HV_RANGE_PORT, 0x4000, 0x4003);
    *(int *)arg = rc;
}

static void a_peer_that_does_not_read_is_gone(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "deaf", 1);
    int rc = 0;

    shm_server_run(server, claim_until_full, &rc);
    assert_int_equal(rc, -EPIPE);
    assert_true(shm_server_wait(server, &server->gone, 1, 3000));
    assert_non_null(strstr(server->last_log, "does not read"));
    peer_close(peer);
}

static void ram_cannot_be_taken_away_by_shrinking_or_punching(void **state)
{
    struct peer *peer = shm_server_peer(*state, "guest", 1);
    uint8_t *ram = peer_ram(peer, 0, 1 << 20);

    for (unsigned i = 0; i < 50; i++) {
        peer_rep_in(peer, 0, 0x310, 4, 0x10000, 4096, false);
        assert_int_equal(madvise(ram, 1 << 20, MADV_REMOVE), 0); /* holes in the memfd */
    }
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

/* The peer shares the kick's open file: it may fill it and make it blocking. */
static void the_kick_cannot_be_made_to_block_the_daemon(void **state)
{
    struct shm_server *server = *state;
    struct peer *bystander = shm_server_peer(server, "bystander", 1);
    struct peer *peer = shm_server_peer(server, "liar", 1);
    const uint64_t most = UINT64_MAX - 1;
    uint64_t count;
    int kick = peer_kick_fd(peer);

    assert_int_equal(fcntl(kick, F_SETFL, 0), 0);
    peer_kick(peer, 0);
    assert_int_equal(read(kick, &count, sizeof(count)), 8); /* empty, and blocking */
    assert_int_equal(write(kick, &most, sizeof(most)), 8);  /* full, and blocking */
    peer_out(bystander, 0, 0x300, 1, 3);
    assert_int_equal(peer_in(bystander, 0, 0x300, 1), 3);
    peer_close(peer);
    peer_close(bystander);
}

static void is_prompt(struct peer *peer)
{
    struct timespec start, end;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(peer_in(peer, 0, 0x300, 1), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - start.tv_sec < 2);
}

struct evil {
    int sock, rc;
    const void *first; /* sent before, without descriptors; or NULL */
    size_t first_length;
    const void *message;
    size_t length;
    int fds[2]; /* the last one is the evil one */
    unsigned fd_count;
};

/* In the server's thread, so that the message still holds the descriptor when we close ours: the
 * server's close() is to be the last. */
static void send_evil(struct shm_server *server, void *arg)
{
    struct evil *evil = arg;

    if (evil->first)
        peer_send_raw(evil->sock, evil->first, evil->first_length, NULL, 0);
    evil->rc = peer_send_raw(evil->sock, evil->message, evil->length, evil->fds, evil->fd_count);
    close(evil->fds[evil->fd_count - 1]);
}

static void a_descriptor_that_is_slow_to_close_holds_up_nobody(void **state)
{
    struct shm_server *server = *state;
    struct peer *bystander = shm_server_peer(server, "bystander", 1), *peer;
    struct hv_shm_memory add = {.header = {HV_SHM_MAGIC, HV_SHM_MEMORY_ADD, 1, sizeof(add), 0}};
    struct evil evil;
    struct bad_hello b;
    int other[3];

    /* in a HELLO */
    hello_init(&b);
    evil =
        (struct evil){.sock = shm_server_socket(server),
                      .message = &b,
                      .length = b.hello.header.length,
                      .fds = {peer_memfd("pages", PAGES_SIZE, true), lingering_socket(&other[0])},
                      .fd_count = 2};
    shm_server_run(server, send_evil, &evil);
    assert_int_equal(outcome(evil.sock), -EINVAL);
    close(evil.fds[0]);
    close(evil.sock);
    is_prompt(bystander);

    /* in a message that nobody reads any more */
    b.hello.header.fds = 0;
    evil = (struct evil){.sock = shm_server_socket(server),
                         .first = &b,
                         .first_length = b.hello.header.length,
                         .message = &add,
                         .length = sizeof(add),
                         .fds = {lingering_socket(&other[1])},
                         .fd_count = 1};
    shm_server_run(server, send_evil, &evil);
    assert_int_equal(evil.rc, 0);
    close(evil.sock);
    is_prompt(bystander);

    /* on the worker's side */
    peer = shm_server_peer(server, "liar", 1);
    evil.sock = peer_socket(peer);
    evil.first = NULL;
    evil.fds[0] = lingering_socket(&other[2]);
    shm_server_run(server, send_evil, &evil);
    assert_int_equal(evil.rc, 0);
    is_prompt(bystander);
    peer_close(peer);
    is_prompt(bystander);
    for (unsigned i = 0; i < 3; i++)
        close(other[i]); /* with data unread: resets, and the close() comes back */
    peer_close(bystander);
}

/* In the server's thread, so that it is accepted with the message in it. */
static void connect_evil(struct shm_server *server, void *arg)
{
    struct evil *evil = arg;

    evil->sock = shm_server_socket(server);
    send_evil(server, evil);
}

/* Also when so many wait to be closed that there are to be no more peers. */
static void peers_that_come_while_many_hang_up_slowly_hold_up_nobody(void **state)
{
    struct shm_server *server = *state;
    struct peer *bystander = shm_server_peer(server, "bystander", 1);
    struct bad_hello b;
    int other[2];

    hello_init(&b);
    for (unsigned i = 0; i < 2; i++) {
        struct evil evil = {
            .message = &b,
            .length = b.hello.header.length,
            .fds = {peer_memfd("pages", PAGES_SIZE, true), lingering_socket(&other[i])},
            .fd_count = 2};

        shm_server_run(server, connect_evil, &evil);
        assert_int_equal(evil.rc, 0);
        close(evil.fds[0]);
        close(evil.sock);
        for (unsigned n = 0; n < 300 && !i; n++)
            close(shm_server_socket(server));
        usleep(300000);
        is_prompt(bystander);
    }
    close(other[0]);
    close(other[1]);
    is_prompt(bystander);
    peer_close(bystander);
}

struct vandal {
    struct peer *peer;
    bool stop;
};

static void *vandal_thread(void *arg)
{
    struct vandal *v = arg;
    uint64_t random = 88172645463325252ull;
    uint8_t *pages = (void *)peer_slot(v->peer, 0);

    while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < 256; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            memcpy(pages + random % (PAGES_SIZE - 8), &random, 1 + (random >> 40) % 8);
        }
        peer_kick(v->peer, 0);
    }
    return NULL;
}

static void garbage_in_every_page_from_another_thread_harms_nobody(void **state)
{
    struct shm_server *server = *state;
    struct peer *bystander = shm_server_peer(server, "bystander", 1);
    struct vandal v = {.peer = shm_server_peer(server, "vandal", 128)};
    pthread_t thread;

    pthread_create(&thread, NULL, vandal_thread, &v);
    for (unsigned i = 0; i < 2000; i++) {
        peer_out(bystander, 0, 0x304, 4, i);
        assert_int_equal(peer_in(bystander, 0, 0x304, 4), i);
    }
    __atomic_store_n(&v.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_int_equal(peer_error(bystander), 0);
    peer_close(v.peer);
    peer_close(bystander);
}

static void hanging_up_at_any_step_leaves_nothing(void **state)
{
    struct shm_server *server = *state;
    struct bad_hello b;

    hello_init(&b);
    for (unsigned i = 0; i < 50; i++) {
        int fds[2] = {peer_memfd("pages", PAGES_SIZE, true), peer_memfd("ram", 0x4000, true)};
        int sock = shm_server_socket(server);

        if (i % 3)
            peer_send_raw(sock, &b, b.hello.header.length, fds, 2);
        if (i % 3 == 2)
            shutdown(sock, SHUT_WR);
        close(sock);
        close(fds[0]);
        close(fds[1]);
    }
    for (unsigned i = 0; i < 20; i++) { /* in the middle of a request */
        struct peer *peer = shm_server_peer(server, "liar", 1);
        struct ioreq_slot *slot = peer_slot(peer, 0);

        *slot = (struct ioreq_slot){.addr = 0x310,
                                    .data = 0x1000,
                                    .count = 2048,
                                    .size = 2,
                                    .flags = IOREQ_READ | IOREQ_DATA_IS_PTR | IOREQ_STATE_READY};
        peer_kick(peer, 0);
        peer_close(peer);
    }
    for (int i = 0; i < 3000 && shm_server_guest_count(server); i++)
        usleep(1000);
    assert_int_equal(shm_server_guest_count(server), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
        CASE(nonsense_from_a_guest_ends_that_guest_only),
        CASE(impossible_memory_changes_are_answered),
        CASE(memory_regions_are_bounded),
        CASE(a_peer_that_does_not_read_is_gone),
        CASE(ram_cannot_be_taken_away_by_shrinking_or_punching),
        CASE(the_kick_cannot_be_made_to_block_the_daemon),
        CASE(a_descriptor_that_is_slow_to_close_holds_up_nobody),
        CASE(peers_that_come_while_many_hang_up_slowly_hold_up_nobody),
        CASE(garbage_in_every_page_from_another_thread_harms_nobody),
        CASE(hanging_up_at_any_step_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
