// SPDX-License-Identifier: GPL-2.0-or-later
/* The bytes of the hv_shm protocol. A change here is a change for every VMM that speaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/hv_shm_priv.h"
#include "tests/peer/peer.h"

#define ZERO4  0, 0, 0, 0
#define ZERO8  ZERO4, ZERO4
#define ZERO16 ZERO8, ZERO8

/* clang-format off */
static const uint8_t hello_bytes[] = {
    'H', 'S', 'M', '1',  1, 0,  2, 0,  192, 0, 0, 0,  7, 0, 0, 0,   /* magic type fds length id */
    1, 0, 0, 0,  0xfc, 0xff, 0xff, 0xff,  2, 0, 0, 0,  2, 0, 0, 0,  /* version ... regions */
    'w', 'e', 'b', '-', '1', '.', 'a', '_', ZERO8, ZERO16, ZERO16, ZERO16, /* name */
    ZERO16, ZERO16,                                                 /* reserved */
    0, 0, 0x10, 0, ZERO4,  0, 0x10, 0, 0, ZERO4,                    /* gpa 1M, size 4K */
    0, 0x20, 0, 0, ZERO4,  1, 0, 0, 0,  1, 0, 0, 0,                 /* offset 8K, fd 1, read-only */
    ZERO8,  0, 0x20, 0, 0, ZERO4,
    ZERO8,  1, 0, 0, 0,  0, 0, 0, 0,
};

static const uint8_t welcome_bytes[] = {
    'H', 'S', 'M', '1',  2, 0,  0, 0,  40, 0, 0, 0,  0, 0, 0, 0,
    1, 0, 0, 0,  0x1f, 0, 0, 0,  ZERO16,
};

static const uint8_t refused_bytes[136] = {
    'H', 'S', 'M', '1',  3, 0,  0, 0,  136, 0, 0, 0,  0, 0, 0, 0,
    0xfe, 0xff, 0xff, 0xff,  0, 0, 0, 0,  'n', 'o', ' ', 's', 'u', 'c', 'h',
};

static const uint8_t claim_bytes[] = {
    'H', 'S', 'M', '1',  4, 0,  0, 0,  40, 0, 0, 0,  0, 0, 0, 0,
    1, 0, 0, 0,  0, 0, 0, 0,
    0, 0, 0, 0xf0, 0, 0, 0, 0,  0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0,
};

static const uint8_t memory_add_bytes[] = {
    'H', 'S', 'M', '1',  8, 0,  1, 0,  48, 0, 0, 0,  9, 0, 0, 0,
    0, 0, 0, 0, 1, 0, 0, 0,  0, 0x10, 0, 0, ZERO4,
    ZERO8,  0, 0, 0, 0,  0, 0, 0, 0,
};

/* 16 MiB at 4 GiB of frames; the memfd's page that says so: 4096 pages, 64 spares. */
static const uint8_t frames_add_bytes[] = {
    'H', 'S', 'M', '1',  8, 0,  1, 0,  48, 0, 0, 0,  9, 0, 0, 0,
    0, 0, 0, 0, 1, 0, 0, 0,  0, 0, 0, 1, ZERO4,
    ZERO8,  0, 0, 0, 0,  2, 0, 0, 0,
};
static const uint8_t frames_bytes[] = {
    0, 0x10, 0, 0,  0x40, 0, 0, 0,  3, 0, 0, 0,
};

static const uint8_t grant_bytes[] = { 0x1d, 0,  0, 0,  0x56, 0x34, 0x12, 0, };

static const uint8_t dirty_start_bytes[] = {
    'H', 'S', 'M', '1',  10, 0,  1, 0,  32, 0, 0, 0,  10, 0, 0, 0,
    0, 0, 0x10, 0, ZERO4,  0, 0, 1, 0, ZERO4,
};

static const uint8_t answer_bytes[] = {
    'H', 'S', 'M', '1',  12, 0,  0, 0,  24, 0, 0, 0,  9, 0, 0, 0,
    0xef, 0xff, 0xff, 0xff,  0, 0, 0, 0,
};
/* clang-format on */

static void on_the_wire(enum hv_shm_type type, void *message, size_t length,
                        const uint8_t *expected, size_t expected_length)
{
    uint8_t got[HV_SHM_MESSAGE_MAX];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(hv_shm_send(pair[0], type, message, length, NULL, 0), 0);
    assert_int_equal(recv(pair[1], got, sizeof(got), MSG_DONTWAIT), expected_length);
    assert_memory_equal(got, expected, expected_length);
    close(pair[0]);
    close(pair[1]);
}

static void hello_is_read_from_these_bytes(void **state)
{
    uint64_t message[sizeof(hello_bytes) / 8];
    struct hv_shm_hello_info info;
    const char *why = NULL;
    int fds[2] = {peer_memfd("pages", 21 * 4096, true), peer_memfd("ram", 0x4000, true)};

    memcpy(message, hello_bytes, sizeof(hello_bytes));
    assert_int_equal(hv_shm_hello_parse(message, sizeof(hello_bytes), fds, 2, &info, &why), 0);
    assert_string_equal(info.name, "web-1.a_");
    assert_int_equal(info.vcpus, 2);
    assert_int_equal(info.features, HV_FEATURE_DIRTY_LOG | HV_FEATURE_MSI | HV_FEATURE_GRANTS);
    assert_int_equal(info.mem.count, 2);
    assert_int_equal(info.mem.map[0].gpa, 0);
    assert_int_equal(info.mem.map[0].size, 0x2000);
    assert_false(info.mem.map[0].readonly);
    assert_int_equal(info.mem.map[1].gpa, 0x100000);
    assert_int_equal(info.mem.map[1].size, 0x1000);
    assert_true(info.mem.map[1].readonly);
    pwrite(fds[1], "at 8K", 5, 0x2000);
    assert_memory_equal(info.mem.map[1].base, "at 8K", 5);
    hv_shm_hello_finish(&info);
    close(fds[0]);
    close(fds[1]);
}

static void the_daemons_messages_are_these_bytes(void **state)
{
    struct hv_shm_welcome welcome = {.version = 1, .features = HV_SHM_FEATURES};
    struct hv_shm_refused refused = {.error = -2, .reason = "no such"};
    struct hv_shm_range claim = {
        .kind = HV_SHM_RANGE_MMIO, .first = 0xf0000000, .last = 0xf0ffffff};
    struct hv_shm_answer answer = {.header.id = 9, .error = -17};

    on_the_wire(HV_SHM_WELCOME, &welcome, sizeof(welcome), welcome_bytes, sizeof(welcome_bytes));
    on_the_wire(HV_SHM_REFUSED, &refused, sizeof(refused), refused_bytes, sizeof(refused_bytes));
    on_the_wire(HV_SHM_CLAIM, &claim, sizeof(claim), claim_bytes, sizeof(claim_bytes));
    on_the_wire(HV_SHM_ANSWER, &answer, sizeof(answer), answer_bytes, sizeof(answer_bytes));
}

static void the_peers_later_messages_are_these_bytes(void **state)
{
    struct hv_shm_memory memory = {.header = {HV_SHM_MAGIC, HV_SHM_MEMORY_ADD, 1, 48, 9},
                                   .region = {.gpa = 1ull << 32, .size = 4096}};
    struct hv_shm_dirty dirty = {
        .header = {HV_SHM_MAGIC, HV_SHM_DIRTY_START, 1, 32, 10}, .gpa = 0x100000, .size = 0x10000};

    assert_int_equal(sizeof(memory), sizeof(memory_add_bytes));
    assert_memory_equal(&memory, memory_add_bytes, sizeof(memory));
    assert_int_equal(sizeof(dirty), sizeof(dirty_start_bytes));
    assert_memory_equal(&dirty, dirty_start_bytes, sizeof(dirty));
}

static void grants_and_frames_are_these_bytes(void **state)
{
    struct hv_shm_memory memory = {
        .header = {HV_SHM_MAGIC, HV_SHM_MEMORY_ADD, 1, 48, 9},
        .region = {.gpa = 1ull << 32, .size = 1 << 24, .flags = HV_SHM_REGION_FRAMES}};
    struct hv_shm_frames frames = {.pages = 4096, .spares = 64, .changes = 3, .log[511] = 7};
    struct hv_shm_grant grant = {.flags = HV_SHM_GRANT_ACCESS | HV_SHM_GRANT_READONLY |
                                          HV_SHM_GRANT_READING | HV_SHM_GRANT_WRITING,
                                 .domid = HV_SHM_GRANT_DOMID,
                                 .frame = 0x123456};

    assert_memory_equal(&memory, frames_add_bytes, sizeof(memory));
    assert_memory_equal(&frames, frames_bytes, sizeof(frames_bytes));
    assert_int_equal(((const uint32_t *)&frames)[(512 + 511 * 4) / 4], 7);
    assert_memory_equal(&grant, grant_bytes, sizeof(grant_bytes));
    assert_int_equal(HV_SHM_GRANTS, 8192);
    assert_int_equal(hv_shm_pages_size(HV_SHM_FEATURE_GRANTS), 21 * 4096);
    assert_int_equal(hv_shm_pages_size(~HV_SHM_FEATURE_GRANTS), 5 * 4096);
}

static void numbers_do_not_move(void **state)
{
    assert_int_equal(HV_SHM_RELEASE, 5);
    assert_int_equal(HV_SHM_ENABLE, 6);
    assert_int_equal(HV_SHM_DISABLE, 7);
    assert_int_equal(HV_SHM_MEMORY_REMOVE, 9);
    assert_int_equal(HV_SHM_DIRTY_STOP, 11);
    assert_int_equal(HV_SHM_PAGE_IOREQ, 0);
    assert_int_equal(HV_SHM_PAGE_BUFFERED, 1);
    assert_int_equal(HV_SHM_PAGE_BUFPIO, 2);
    assert_int_equal(HV_SHM_PAGE_CONTROL, 3);
    assert_int_equal(HV_SHM_PAGE_STATUS, 4);
    assert_int_equal(HV_SHM_PAGE_GRANTS, 5);
    assert_int_equal(HV_SHM_GRANT_PAGES, 16);
    assert_int_equal(HV_SHM_RANGE_PORT, 0);
    assert_int_equal(HV_SHM_RANGE_PCI, 2);
    assert_int_equal(HV_SHM_FEATURE_BUFFERED_PIO, 1);
    assert_int_equal(HV_SHM_FEATURE_SWAP, 2);
    assert_int_equal(HV_SHM_FEATURE_DIRTY_LOG, 4);
    assert_int_equal(HV_SHM_FEATURE_GRANTS, 16);
    assert_int_equal(HV_SHM_FEATURE_MSI, 8);
    assert_int_equal(HV_SHM_SHUTDOWN_POWEROFF, 1);
    assert_int_equal(HV_SHM_SHUTDOWN_REBOOT, 2);
    assert_int_equal(HV_SHM_SHUTDOWN_CRASH, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_is_read_from_these_bytes),
        cmocka_unit_test(the_daemons_messages_are_these_bytes),
        cmocka_unit_test(the_peers_later_messages_are_these_bytes),
        cmocka_unit_test(grants_and_frames_are_these_bytes),
        cmocka_unit_test(numbers_do_not_move),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
