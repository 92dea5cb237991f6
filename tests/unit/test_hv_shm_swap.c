// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames of an hv_shm guest that change places with the daemon's. $IOEMUD_SWAPS: in the long test.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/guestmem.h"
#include "ioreq/hv_shm_priv.h"
#include "tests/unit/grant_rig.h"

#define PAGE   4096u
#define PAGES  256u
#define SPARES 32u

static unsigned long many_swaps = 100000;
static struct grant_rig *rig;
static struct peer *peer;
static const struct grants *grants;
static uint32_t refs[PAGES];
static struct hv_shm_frames *frames;
static uint32_t *table;
static unsigned maps_before;

static int setup(void **state)
{
    maps_before = peer_mappings();
    rig = grant_rig_start();
    grant_rig_guest(rig, 0, PAGES * PAGE, SPARES,
                    HV_SHM_FEATURE_GRANTS | HV_SHM_FEATURE_SWAP | HV_SHM_FEATURE_DIRTY_LOG);
    peer = rig->at[0].peer;
    grants = rig->at[0].grants;
    frames = peer_frames(peer, &table);
    grant_rig_grant(rig, 0, 0, false, PAGES, refs);
    return 0;
}

/* No frame is lost, none is there twice. */
static void each_frame_is_there_once(void)
{
    bool seen[PAGES + SPARES] = {false};

    for (unsigned i = 0; i < PAGES + SPARES; i++) {
        assert_in_range(table[i], 0, PAGES + SPARES - 1);
        assert_false(seen[table[i]]);
        seen[table[i]] = true;
    }
}

static int teardown(void **state)
{
    grant_rig_stop(rig);
    assert_int_equal(peer_mappings(), maps_before);
    return 0;
}

static uint8_t *guest_page(unsigned page)
{
    return peer_ram(peer, page * (uint64_t)PAGE, PAGE);
}

static uint32_t spares_free(void)
{
    uint32_t pages, left;

    grants->ops->swap_pages(grants->ctx, &pages, &left);
    return left;
}

static int swap(unsigned guest_page_number, uint8_t **page)
{
    struct grant_swap one = {.page = *page, .ref = refs[guest_page_number]};

    grants_swap(grants, &one, 1);
    *page = one.page;
    return one.status;
}

static void the_guest_sees_our_frame_and_we_have_its_old_one(void **state)
{
    uint8_t *page, *old = guest_page(5), *ours;

    memset(old, 'g', PAGE);
    assert_true(grants_swap_take(grants, &page, 1));
    ours = page;
    memset(page, 'd', PAGE);
    assert_int_equal(swap(5, &page), 0);
    assert_int_equal(guest_page(5)[0], 'd');
    assert_int_equal(guest_page(5)[4095], 'd');
    assert_true(page != ours);
    assert_int_equal(page[0], 'g');
    /* One frame, seen from both sides. */
    page[17] = 'x';
    assert_int_equal(old[17], 'x');
    assert_int_equal(grants->counters->swaps, 1);
    grants_swap_give(grants, page);
    assert_int_equal(spares_free(), SPARES);
    each_frame_is_there_once();
}

static void devices_find_the_new_frame(void **state)
{
    uint8_t *page, buf[3 * PAGE];

    for (unsigned i = 9; i < 12; i++)
        memset(guest_page(i), 'a' + (int)i, PAGE);
    assert_true(grants_swap_take(grants, &page, 1));
    memset(page, 'D', PAGE);
    assert_int_equal(swap(10, &page), 0);
    assert_int_equal(guestmem_read(&hv_shm_ops, rig->at[0].guest, 9 * PAGE + 100, buf, 2 * PAGE),
                     0);
    assert_int_equal(buf[0], 'a' + 9);
    assert_int_equal(buf[PAGE - 100 - 1], 'a' + 9);
    assert_int_equal(buf[PAGE - 100], 'D');
    assert_int_equal(buf[2 * PAGE - 100 - 1], 'D');
    assert_int_equal(buf[2 * PAGE - 1], 'a' + 11);
    memset(buf, 'W', sizeof(buf));
    assert_int_equal(guestmem_write(&hv_shm_ops, rig->at[0].guest, 9 * PAGE, buf, 3 * PAGE), 0);
    for (unsigned i = 9; i < 12; i++)
        assert_int_equal(guest_page(i)[4095], 'W');
    assert_int_equal(page[0], 'a' + 10); /* no longer the guest's */
    grants_swap_give(grants, page);
}

static void the_log_tells_a_peer_what_to_map_again(void **state)
{
    uint8_t *page;

    assert_true(grants_swap_take(grants, &page, 1));
    assert_int_equal(swap(7, &page), 0);
    assert_int_equal(swap(200, &page), 0);
    assert_int_equal(swap(7, &page), 0);
    assert_int_equal(frames->changes, 3);
    assert_int_equal(frames->log[0], 7);
    assert_int_equal(frames->log[1], 200);
    assert_int_equal(frames->log[2], 7);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(swap(i % PAGES, &page), 0);
    assert_int_equal(frames->changes, 603);
    assert_int_equal(frames->log[602 % HV_SHM_FRAMES_LOG], 599 % PAGES);
    grants_swap_give(grants, page);
    each_frame_is_there_once();
}

static void what_is_not_granted_is_not_swapped(void **state)
{
    uint8_t *page, *before;
    uint32_t readonly, beyond;

    grant_rig_grant(rig, 0, 5 * PAGE, true, 1, &readonly);
    grant_rig_grant(rig, 0, PAGES * PAGE, false, 1, &beyond);
    assert_int_equal(peer_grant_end(peer, refs[6]), 0);
    assert_true(grants_swap_take(grants, &page, 1));
    before = page;
    struct grant_swap swaps[] = {{.page = page, .ref = readonly},
                                 {.page = page, .ref = beyond},
                                 {.page = page, .ref = refs[6]},
                                 {.page = page, .ref = HV_SHM_GRANTS}};
    static const int expected[] = {-EACCES, -EFAULT, -EACCES, -EINVAL};
    grants_swap(grants, swaps, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(swaps[i].status, expected[i]);
        assert_ptr_equal(swaps[i].page, before);
    }
    assert_int_equal(frames->changes, 0);
    grants_swap_give(grants, page);
}

static void a_page_that_is_mapped_is_busy(void **state)
{
    struct grant_map map = {.refs = &refs[3], .count = 1};
    uint32_t again;
    uint8_t *page;

    grant_rig_grant(rig, 0, 3 * PAGE, false, 1, &again); /* the same page by another reference */
    assert_int_equal(grants_map(grants, &map), 0);
    assert_true(grants_swap_take(grants, &page, 1));
    assert_int_equal(swap(3, &page), -EBUSY);
    struct grant_swap other = {.page = page, .ref = again};
    grants_swap(grants, &other, 1);
    assert_int_equal(other.status, -EBUSY);
    guest_page(3)[0] = 77;
    assert_int_equal(map.base[0], 77);
    grants_unmap(grants, &map);
    assert_int_equal(swap(3, &page), 0);
    grants_swap_give(grants, page);
}

static void spares_are_taken_all_or_none(void **state)
{
    uint8_t *page[SPARES + 1];

    assert_false(grants_swap_take(grants, page, SPARES + 1));
    assert_true(grants_swap_take(grants, page, SPARES - 1));
    assert_false(grants_swap_take(grants, page + SPARES - 1, 2));
    assert_true(grants_swap_take(grants, page + SPARES - 1, 1));
    assert_int_equal(spares_free(), 0);
    for (unsigned i = 0; i < SPARES; i++) {
        assert_true((uintptr_t)page[i] % PAGE == 0);
        for (unsigned j = 0; j < i; j++)
            assert_true(page[i] != page[j]);
    }
    for (unsigned i = 0; i < SPARES; i++)
        grants_swap_give(grants, page[i]);
    assert_int_equal(spares_free(), SPARES);
}

/* The peer's table is the peer's: whatever it writes there, the daemon stays inside of the region,
 * and frames that the daemon has are not the guest's. */
static void a_table_that_the_peer_spoils_harms_only_its_guest(void **state)
{
    uint8_t *page, *before, buf[PAGE];
    uint32_t ref = refs[4];
    struct grant_map map = {.refs = &ref, .count = 1};

    assert_true(grants_swap_take(grants, &page, 1));
    before = page;
    memset(page, 'd', PAGE);
    static const uint32_t bad[] = {PAGES + SPARES, UINT32_MAX, 0x80000000u};
    for (unsigned i = 0; i < 3; i++) {
        struct grant_copy copy = {.local = buf, .ref = ref, .len = PAGE};

        table[4] = bad[i];
        assert_int_equal(swap(4, &page), -EFAULT);
        assert_int_equal(grants_map(grants, &map), -EFAULT);
        grants_copy(grants, &copy, 1);
        assert_int_equal(copy.status, -EFAULT);
        assert_int_equal(guestmem_read(&hv_shm_ops, rig->at[0].guest, 4 * PAGE, buf, PAGE), 0);
        assert_int_equal(buf[0], 0xff);
    }
    /* One of ours, and the very one that is to be swapped. */
    for (unsigned i = 0; i < SPARES; i++) {
        table[4] = PAGES + i;
        assert_int_equal(swap(4, &page), -EFAULT);
        assert_int_equal(grants_map(grants, &map), -EFAULT);
    }
    /* The entries of the daemon's frames are not read back. */
    for (unsigned i = 0; i < SPARES; i++)
        table[PAGES + i] = UINT32_MAX;
    table[4] = 4;
    assert_int_equal(swap(4, &page), 0);
    assert_true(page != before);
    assert_int_equal(guest_page(4)[0], 'd');
    grants_swap_give(grants, page);
}

static void ordinary_memory_is_not_swapped(void **state)
{
    uint8_t *page;
    uint32_t ref;

    grant_rig_guest(rig, 1, PAGES * PAGE, 0, HV_SHM_FEATURE_GRANTS | HV_SHM_FEATURE_SWAP);
    assert_true(rig->at[1].grants->can & GRANT_CAN_SWAP);
    assert_false(grants_swap_take(rig->at[1].grants, &page, 1)); /* no region of frames */
    grant_rig_grant(rig, 1, 0, false, 1, &ref);
}

static uint64_t *bits;

static int start_dirty(void *arg)
{
    return peer_dirty_start(peer, 0, PAGES * PAGE, &bits);
}

static void a_swapped_page_is_dirty(void **state)
{
    uint8_t *page;

    assert_int_equal(grant_rig_call(rig, 0, start_dirty, NULL, 5000), 0);
    assert_true(grants_swap_take(grants, &page, 1));
    assert_int_equal(swap(70, &page), 0);
    assert_int_equal(bits[0], 0);
    assert_int_equal(bits[1], 1u << (70 - 64));
    grants_swap_give(grants, page);
}

static int remove_ram(void *arg)
{
    return peer_memory_remove(peer, 0);
}

static int add_frames(void *arg)
{
    return peer_frames_add(peer, 1u << 30, 64 * PAGE, 4);
}

static void a_region_is_removed_when_its_frames_have_come_back(void **state)
{
    struct grant_map map = {.refs = &refs[3], .count = 1};
    uint8_t *page[2], *none;

    assert_int_equal(grants_map(grants, &map), 0);
    assert_true(grants_swap_take(grants, page, 2));
    assert_int_equal(grant_rig_call(rig, 0, remove_ram, NULL, 50), -EINPROGRESS);
    assert_int_equal(swap(3, &page[0]), -EFAULT);
    assert_false(grants_swap_take(grants, &none, 1));
    memset(page[0], 1, PAGE);
    grants_swap_give(grants, page[0]);
    grants_swap_give(grants, page[1]);
    assert_int_equal(grant_rig_wait(rig, 0, 50), -EINPROGRESS);
    assert_int_equal(map.base[0], 0);
    grants_unmap(grants, &map);
    assert_int_equal(grant_rig_wait(rig, 0, 5000), 0);
    /* There is room for another one. */
    assert_int_equal(grant_rig_call(rig, 0, add_frames, NULL, 5000), 0);
    assert_true(grants_swap_take(grants, page, 2));
    grants_swap_give(grants, page[1]);
    grants_swap_give(grants, page[0]);
}

static void there_is_one_region_of_frames_at_a_time(void **state)
{
    assert_int_equal(grant_rig_call(rig, 0, add_frames, NULL, 5000), -EEXIST);
}

static void pages_in_flight_outlive_their_guest(void **state)
{
    uint8_t *page[3], *none;

    assert_true(grants_swap_take(grants, page, 3));
    struct grant_swap late = {.page = page[0], .ref = refs[1]};
    grant_rig_end(rig, 0);
    for (unsigned i = 0; i < 3; i++)
        memset(page[i], 0xee, PAGE); /* the disk's last writes */
    grants_swap(grants, &late, 1);
    assert_int_equal(late.status, -ESRCH);
    assert_false(grants_swap_take(grants, &none, 1));
    for (unsigned i = 0; i < 3; i++)
        grants_swap_give(grants, page[i]);
    each_frame_is_there_once();
}

/* What a peer says of its region when it adds it. */
static void regions_that_do_not_add_up_are_refused(void **state)
{
    static const struct {
        uint32_t pages, spares, table_at, entry;
        uint64_t size;
        int rc;
    } cases[] = {
        {.pages = 16, .spares = 4, .size = 16 * PAGE, .rc = 0},
        {.pages = 15, .spares = 4, .size = 16 * PAGE, .rc = -EINVAL},
        {.pages = 16, .spares = 0, .size = 16 * PAGE, .rc = -EINVAL},
        {.pages = 16, .spares = HV_SHM_SPARES_MAX + 1, .size = 16 * PAGE, .rc = -EINVAL},
        {.pages = 16, .spares = 5, .size = 16 * PAGE, .rc = -EINVAL}, /* the memfd is too short */
        {.pages = HV_SHM_FRAMES_MAX, .spares = 4, .size = 16ull << 30, .rc = -EINVAL},
        {.pages = 16, .spares = 4, .size = 16 * PAGE, .table_at = 17, .entry = 20, .rc = -EINVAL},
        {.pages = 16, .spares = 4, .size = 16 * PAGE, .table_at = 17, .entry = 16, .rc = -EINVAL},
        {.pages = 16, .spares = 4, .size = 16 * PAGE, .table_at = 3, .entry = 99, .rc = 0},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hv_shm_region region = {.size = cases[i].size, .flags = HV_SHM_REGION_FRAMES};
        struct hv_shm_frames head = {.pages = cases[i].pages, .spares = cases[i].spares};
        struct hv_shm_area *area;
        uint32_t entries[20];
        const char *why = NULL;
        int fd = peer_memfd("frames", (2 + 20) * PAGE, true);

        for (uint32_t n = 0; n < 20; n++)
            entries[n] = n;
        if (cases[i].table_at)
            entries[cases[i].table_at] = cases[i].entry;
        assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
        assert_int_equal(pwrite(fd, entries, sizeof(entries), PAGE), sizeof(entries));
        assert_int_equal(hv_shm_area_create(&region, fd, &area, &why), cases[i].rc);
        if (cases[i].rc == 0)
            hv_shm_area_put(area);
        else
            assert_non_null(why);
        close(fd);
    }
}

static void frames_are_taken_only_from_who_agreed_to_swap(void **state)
{
    struct hv_shm_region region = {.size = 16 * PAGE, .flags = HV_SHM_REGION_FRAMES};
    struct hv_shm_mem mem = {.swaps = false};
    const char *why = NULL;
    int fd = peer_memfd("frames", 32 * PAGE, true);

    assert_int_equal(hv_shm_mem_add(&mem, &region, fd, &why), -EINVAL);
    mem.swaps = true;
    region.flags |= HV_SHM_REGION_READONLY;
    assert_int_equal(hv_shm_mem_add(&mem, &region, fd, &why), -EINVAL);
    close(fd);
}

/* Each page of the guest holds what it was last given, however often it moved. */
static void many_swaps_lose_nothing(void **state)
{
    uint64_t said[PAGES] = {0}, seed = 4711;
    uint32_t batch_of[SPARES];
    uint8_t *page[SPARES];

    for (unsigned long done = 0; done < many_swaps;) {
        struct grant_swap swaps[SPARES];
        unsigned n, first;

        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        n = 1 + (unsigned)(seed >> 33) % SPARES;
        first = (unsigned)(seed >> 40) % PAGES;
        assert_true(grants_swap_take(grants, page, n));
        for (unsigned i = 0; i < n; i++) {
            uint64_t word = seed + i;

            batch_of[i] = (first + i * 7) % PAGES;
            for (unsigned at = 0; at < PAGE; at += 8)
                memcpy(page[i] + at, &word, 8);
            swaps[i] = (struct grant_swap){.page = page[i], .ref = refs[batch_of[i]]};
        }
        grants_swap(grants, swaps, n);
        for (unsigned i = 0; i < n; i++) {
            uint64_t old;

            assert_int_equal(swaps[i].status, 0);
            memcpy(&old, swaps[i].page + 2048, 8);
            assert_int_equal(old, said[batch_of[i]]);
            said[batch_of[i]] = seed + i;
            grants_swap_give(grants, swaps[i].page);
        }
        done += n;
        if (done / 5000 != (done - n) / 5000)
            each_frame_is_there_once();
    }
    for (unsigned i = 0; i < PAGES; i++) {
        uint64_t first, last;

        memcpy(&first, guest_page(i), 8);
        memcpy(&last, guest_page(i) + PAGE - 8, 8);
        assert_int_equal(first, said[i]);
        assert_int_equal(last, said[i]);
    }
    each_frame_is_there_once();
    assert_int_equal(frames->changes, (uint32_t)grants->counters->swaps);
    assert_true(grants->counters->swaps >= many_swaps);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_guest_sees_our_frame_and_we_have_its_old_one),
        TEST(devices_find_the_new_frame),
        TEST(the_log_tells_a_peer_what_to_map_again),
        TEST(what_is_not_granted_is_not_swapped),
        TEST(a_page_that_is_mapped_is_busy),
        TEST(spares_are_taken_all_or_none),
        TEST(a_table_that_the_peer_spoils_harms_only_its_guest),
        TEST(ordinary_memory_is_not_swapped),
        TEST(a_swapped_page_is_dirty),
        TEST(a_region_is_removed_when_its_frames_have_come_back),
        TEST(there_is_one_region_of_frames_at_a_time),
        TEST(pages_in_flight_outlive_their_guest),
        TEST(regions_that_do_not_add_up_are_refused),
        TEST(frames_are_taken_only_from_who_agreed_to_swap),
        TEST(many_swaps_lose_nothing),
    };

    if (getenv("IOEMUD_SWAPS"))
        many_swaps = strtoul(getenv("IOEMUD_SWAPS"), NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
