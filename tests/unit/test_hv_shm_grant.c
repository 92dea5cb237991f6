// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that a guest of hv_shm grants: devices/grant.h over its table. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/grant_rig.h"

#define PAGE 4096u
#define RAM  (4u << 20)

static struct grant_rig *rig;
static struct peer *peer;
static const struct grants *grants;
static unsigned maps_before;

static int setup(void **state)
{
    maps_before = peer_mappings();
    rig = grant_rig_start();
    grant_rig_guest(rig, 0, RAM, 0, HV_SHM_FEATURE_GRANTS | HV_SHM_FEATURE_DIRTY_LOG);
    peer = rig->at[0].peer;
    grants = rig->at[0].grants;
    return 0;
}

static int teardown(void **state)
{
    grant_rig_stop(rig);
    assert_int_equal(peer_mappings(), maps_before);
    return 0;
}

static uint16_t flags_of(uint32_t ref)
{
    return peer_grant_entry(peer, ref)->flags;
}

static void copies_go_both_ways_and_are_counted(void **state)
{
    char out[] = "from the daemon", in[16] = "";
    uint32_t refs[2];

    grant_rig_grant(rig, 0, 7 * PAGE, false, 2, refs);
    memcpy(peer_ram(peer, 8 * PAGE + 4080, 16), "from the guest!", 16);
    struct grant_copy copies[] = {
        {.local = out, .ref = refs[0], .offset = 100, .len = sizeof(out), .to_guest = true},
        {.local = in, .ref = refs[1], .offset = 4080, .len = 16},
    };
    grants_copy(grants, copies, 2);
    assert_int_equal(copies[0].status, 0);
    assert_int_equal(copies[1].status, 0);
    assert_string_equal(peer_ram(peer, 7 * PAGE + 100, 16), "from the daemon");
    assert_string_equal(in, "from the guest!");
    assert_int_equal(grants->counters->copies, 2);
    assert_int_equal(grants->counters->copied_bytes, 32);
    assert_int_equal(grants->counters->copy_calls, 1);
    assert_int_equal(flags_of(refs[0]), HV_SHM_GRANT_ACCESS);
    assert_int_equal(peer_grant_end(peer, refs[0]), 0);
}

static void each_segment_fails_alone(void **state)
{
    uint8_t page[PAGE];
    uint32_t good, rom, beyond, foreign, transit;

    grant_rig_grant(rig, 0, 0, false, 1, &good);
    grant_rig_grant(rig, 0, PAGE, true, 1, &rom);
    grant_rig_grant(rig, 0, RAM, false, 1, &beyond);
    grant_rig_grant(rig, 0, 2 * PAGE, false, 1, &foreign);
    peer_grant_entry(peer, foreign)->domid = 7;
    grant_rig_grant(rig, 0, 3 * PAGE, false, 1, &transit);
    peer_grant_entry(peer, transit)->flags = 2;
    memset(page, 0x5a, sizeof(page));
    struct grant_copy copies[] = {
        {.local = page, .ref = good, .len = 4096, .to_guest = true},
        {.local = page, .ref = HV_SHM_GRANTS, .len = 1},
        {.local = page, .ref = UINT32_MAX, .len = 1},
        {.local = page, .ref = good, .offset = 1, .len = 4096},
        {.local = page, .ref = good, .offset = 65535, .len = 65535},
        {.local = page, .ref = good, .offset = 0, .len = 0},
        {.local = page, .ref = rom, .len = 1, .to_guest = true},
        {.local = page, .ref = rom, .len = 1},
        {.local = page, .ref = beyond, .len = 1},
        {.local = page, .ref = foreign, .len = 1},
        {.local = page, .ref = transit, .len = 1},
        {.local = page, .ref = transit + 1, .len = 1},
        {.local = page, .ref = good, .offset = 4095, .len = 1},
    };
    static const int expected[] = {0, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EACCES,
                                   0, -EFAULT, -EACCES, -EACCES, -EACCES, 0};
    unsigned count = sizeof(copies) / sizeof(copies[0]);

    for (unsigned i = 0; i < count; i++)
        copies[i].status = 12345;
    grants_copy(grants, copies, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(copies[i].status, expected[i]);
    assert_int_equal(grants->counters->errors, 10);
    assert_int_equal(flags_of(rom), HV_SHM_GRANT_ACCESS | HV_SHM_GRANT_READONLY);
    assert_int_equal(flags_of(beyond), HV_SHM_GRANT_ACCESS);
    assert_int_equal(flags_of(foreign), HV_SHM_GRANT_ACCESS);
    assert_int_equal(*(uint8_t *)peer_ram(peer, 0, 1), 0x5a);
}

static void a_grant_that_was_taken_back_is_none(void **state)
{
    uint8_t byte;
    uint32_t ref;

    grant_rig_grant(rig, 0, 0, false, 1, &ref);
    assert_int_equal(peer_grant_end(peer, ref), 0);
    struct grant_copy copy = {.local = &byte, .ref = ref, .len = 1};
    grants_copy(grants, &copy, 1);
    assert_int_equal(copy.status, -EACCES);
    assert_int_equal(flags_of(ref), 0);
    struct grant_map map = {.refs = &ref, .count = 1};
    assert_int_equal(grants_map(grants, &map), -EACCES);
}

static void mapped_pages_lie_side_by_side_and_are_the_guests(void **state)
{
    uint32_t refs[3];

    grant_rig_grant(rig, 0, 9 * PAGE, false, 1, &refs[0]);
    grant_rig_grant(rig, 0, 3 * PAGE, false, 1, &refs[1]);
    grant_rig_grant(rig, 0, 200 * PAGE, false, 1, &refs[2]);
    struct grant_map map = {.refs = refs, .count = 3, .writable = true};
    assert_int_equal(grants_map(grants, &map), 0);
    memset(map.base, 'a', PAGE);
    memset(map.base + PAGE, 'b', PAGE);
    memset(map.base + 2 * PAGE, 'c', PAGE);
    assert_int_equal(*(char *)peer_ram(peer, 9 * PAGE + 4095, 1), 'a');
    assert_int_equal(*(char *)peer_ram(peer, 3 * PAGE, 1), 'b');
    assert_int_equal(*(char *)peer_ram(peer, 200 * PAGE, 1), 'c');
    *(char *)peer_ram(peer, 3 * PAGE, 1) = 'x';
    assert_int_equal(map.base[PAGE], 'x');
    assert_int_equal(grants->counters->mapped, 3);
    grants_unmap(grants, &map);
    assert_int_equal(grants->counters->mapped, 0);
    assert_int_equal(*(char *)peer_ram(peer, 3 * PAGE, 1), 'x'); /* the RAM itself stays */
}

static void what_is_mapped_for_reading_cannot_be_written(void **state)
{
    int pipe_fds[2];
    uint32_t ref;

    grant_rig_grant(rig, 0, 5 * PAGE, true, 1, &ref);
    struct grant_map map = {.refs = &ref, .count = 1, .writable = true};
    assert_int_equal(grants_map(grants, &map), -EACCES);
    map.writable = false;
    assert_int_equal(grants_map(grants, &map), 0);
    assert_int_equal(map.base[0], 0);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], map.base, 1), -1);
    assert_int_equal(errno, EFAULT);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    grants_unmap(grants, &map);
}

static void a_grant_in_use_cannot_be_taken_back(void **state)
{
    uint8_t byte = 0;
    uint32_t ref;

    grant_rig_grant(rig, 0, 5 * PAGE, false, 1, &ref);
    struct grant_map reading = {.refs = &ref, .count = 1};
    struct grant_map writing = {.refs = &ref, .count = 1, .writable = true};
    assert_int_equal(grants_map(grants, &reading), 0);
    assert_int_equal(flags_of(ref), HV_SHM_GRANT_ACCESS | HV_SHM_GRANT_READING);
    assert_int_equal(grants_map(grants, &writing), 0);
    assert_int_equal(flags_of(ref),
                     HV_SHM_GRANT_ACCESS | HV_SHM_GRANT_READING | HV_SHM_GRANT_WRITING);
    struct grant_copy copy = {.local = &byte, .ref = ref, .len = 1, .to_guest = true};
    grants_copy(grants, &copy, 1);
    assert_int_equal(copy.status, 0);
    assert_int_equal(peer_grant_end(peer, ref), -EBUSY);
    grants_unmap(grants, &writing);
    assert_int_equal(flags_of(ref), HV_SHM_GRANT_ACCESS | HV_SHM_GRANT_READING);
    assert_int_equal(peer_grant_end(peer, ref), -EBUSY);
    grants_unmap(grants, &reading);
    assert_int_equal(flags_of(ref), HV_SHM_GRANT_ACCESS);
    assert_int_equal(peer_grant_end(peer, ref), 0);
}

static void all_pages_are_mapped_or_none(void **state)
{
    uint32_t refs[4];

    grant_rig_grant(rig, 0, 0, false, 3, refs);
    refs[3] = 8000;
    struct grant_map map = {.refs = refs, .count = 4, .writable = true};
    unsigned before = peer_mappings();
    assert_int_equal(grants_map(grants, &map), -EACCES);
    assert_int_equal(peer_mappings(), before);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(peer_grant_end(peer, refs[i]), 0);
    assert_int_equal(grants->counters->maps, 0);
    assert_int_equal(grants->counters->errors, 1);
}

static void what_a_guest_can_have_mapped_is_bounded(void **state)
{
    uint32_t refs[GRANT_MAP_MAX];
    struct grant_map map[3];

    grant_rig_grant(rig, 0, 0, false, GRANT_MAP_MAX, refs);
    for (unsigned i = 0; i < 3; i++)
        map[i] = (struct grant_map){.refs = refs, .count = GRANT_MAP_MAX};
    assert_int_equal(grants_map(grants, &map[0]), 0);
    assert_int_equal(grants_map(grants, &map[1]), 0);
    assert_int_equal(grants_map(grants, &map[2]), -ENOSPC);
    grants_unmap(grants, &map[0]);
    assert_int_equal(grants_map(grants, &map[2]), 0);
    grants_unmap(grants, &map[1]);
    grants_unmap(grants, &map[2]);
}

static uint64_t *bits;

static int start_dirty(void *arg)
{
    return peer_dirty_start(peer, 0, RAM, &bits);
}

static void what_was_written_is_marked_dirty(void **state)
{
    uint8_t byte = 1;
    uint32_t refs[3];

    assert_int_equal(grant_rig_call(rig, 0, start_dirty, NULL, 5000), 0);
    grant_rig_grant(rig, 0, 10 * PAGE, false, 3, refs);
    struct grant_copy copies[] = {{.local = &byte, .ref = refs[0], .len = 1, .to_guest = true},
                                  {.local = &byte, .ref = refs[1], .len = 1}};
    grants_copy(grants, copies, 2);
    assert_int_equal(bits[0], 1u << 10);
    struct grant_map map = {.refs = refs, .count = 3};
    assert_int_equal(grants_map(grants, &map), 0);
    grants_unmap(grants, &map);
    assert_int_equal(bits[0], 1u << 10);
    map = (struct grant_map){.refs = &refs[2], .count = 1, .writable = true};
    assert_int_equal(grants_map(grants, &map), 0);
    grants_unmap(grants, &map);
    assert_int_equal(bits[0], 1u << 10 | 1u << 12);
}

static void what_is_mapped_outlives_its_guest(void **state)
{
    uint32_t ref;

    grant_rig_grant(rig, 0, 5 * PAGE, false, 1, &ref);
    struct grant_map map = {.refs = &ref, .count = 1, .writable = true};
    assert_int_equal(grants_map(grants, &map), 0);
    struct grant_map more = {.refs = &ref, .count = 1};
    uint8_t byte = 0;
    struct grant_copy copy = {.local = &byte, .ref = ref, .len = 1};
    grant_rig_end(rig, 0);
    map.base[0] = 9;
    assert_int_equal(*(uint8_t *)peer_ram(peer, 5 * PAGE, 1), 9);
    assert_int_equal(grants_map(grants, &more), -ESRCH);
    grants_copy(grants, &copy, 1);
    assert_int_equal(copy.status, -ESRCH);
    grants_unmap(grants, &map);
}

static void who_does_not_offer_grants_has_none(void **state)
{
    grant_rig_guest(rig, 1, RAM, 0, HV_SHM_FEATURE_DIRTY_LOG | HV_SHM_FEATURE_SWAP);
    assert_null(rig->at[1].grants);
    assert_false(peer_has_feature(rig->at[1].peer, HV_SHM_FEATURE_GRANTS));
    assert_false(peer_has_feature(rig->at[1].peer, HV_SHM_FEATURE_SWAP)); /* only with grants */
}

/* XSA-155: a guest that changes its table all the time. */
static bool stop_writing;

static void *write_anything(void *arg)
{
    uint64_t seed = 1;

    while (!__atomic_load_n(&stop_writing, __ATOMIC_RELAXED))
        for (unsigned i = 0; i < 16; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            *(volatile uint64_t *)(void *)peer_grant_entry(peer, i) =
                (seed >> 40 & 1 ? HV_SHM_GRANT_ACCESS : seed >> 60) | (seed >> 52) << 32;
        }
    return NULL;
}

static void a_table_that_changes_while_it_is_read_harms_nobody(void **state)
{
    uint8_t page[PAGE];
    unsigned done = 0, failed = 0;
    pthread_t thread;

    stop_writing = false;
    assert_int_equal(pthread_create(&thread, NULL, write_anything, NULL), 0);
    for (unsigned i = 0; i < 20000 || (i < 50000000 && !(done && failed)); i++) {
        struct grant_copy copy = {.local = page, .ref = i % 16, .len = PAGE, .to_guest = i & 1};
        uint32_t ref = i % 16;
        struct grant_map map = {.refs = &ref, .count = 1, .writable = i & 1};

        grants_copy(grants, &copy, 1);
        done += copy.status == 0;
        failed += copy.status != 0;
        if (i % 100 == 0 && grants_map(grants, &map) == 0)
            grants_unmap(grants, &map);
    }
    __atomic_store_n(&stop_writing, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_true(done && failed);
    assert_int_equal(grants->counters->mapped, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(copies_go_both_ways_and_are_counted),
        TEST(each_segment_fails_alone),
        TEST(a_grant_that_was_taken_back_is_none),
        TEST(mapped_pages_lie_side_by_side_and_are_the_guests),
        TEST(what_is_mapped_for_reading_cannot_be_written),
        TEST(a_grant_in_use_cannot_be_taken_back),
        TEST(all_pages_are_mapped_or_none),
        TEST(what_a_guest_can_have_mapped_is_bounded),
        TEST(what_was_written_is_marked_dirty),
        TEST(what_is_mapped_outlives_its_guest),
        TEST(who_does_not_offer_grants_has_none),
        TEST(a_table_that_changes_while_it_is_read_harms_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
