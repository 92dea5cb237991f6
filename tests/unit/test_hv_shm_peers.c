/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm against peers that were let in: no harm to the daemon or to another guest. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/hv_shm_rig.h"
#include "tests/unit/lingering.h"

static const struct hv_ops *const hv = &hv_shm_ops;

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
    hv_shm_rig_hello(&b);
    evil =
        (struct evil){.sock = shm_server_socket(server),
                      .message = &b,
                      .length = b.hello.header.length,
                      .fds = {peer_memfd("pages", PAGES_SIZE, true), lingering_socket(&other[0])},
                      .fd_count = 2};
    shm_server_run(server, send_evil, &evil);
    assert_int_equal(hv_shm_rig_outcome(evil.sock), -EINVAL);
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

    hv_shm_rig_hello(&b);
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

    hv_shm_rig_hello(&b);
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, hv_shm_rig_setup, hv_shm_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
