// SPDX-License-Identifier: GPL-2.0-or-later
/* blk.c: what becomes of errors, and where a request failed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/blk_rig.h"

static void an_error_is_told_counted_and_leaks_no_stale_bytes(void **state)
{
    struct blk_rig *disk = *state;
    void *page[BLK_RIG_PAGES];
    assert_true(pool_take(disk->pool, BLK_RIG_PAGES, page, &(struct pool_waiter){0}));
    for (unsigned i = 0; i < BLK_RIG_PAGES; i++) {
        memset(page[i], 0x5a, POOL_PAGE);
        pool_give(disk->pool, page[i]);
    }
    struct mem_faults faults = {.error = -EIO, .first = 5, .last = 6};
    mem_set_faults(disk->image, &faults);
    disk->keep = true;
    struct blk_req *req = blk_rig_get(disk, BLK_READ, 4, 2 * BLK_SECTOR, 1);
    blk_submit(req);
    fake_loop_settle(disk->fake, 0, 99);
    assert_int_equal(disk->error, -EIO);
    assert_int_equal(blk_req_good(req), BLK_SECTOR);
    uint8_t buf[2 * BLK_SECTOR], zero[BLK_SECTOR] = {0};
    blk_copy_out(req, 0, buf, sizeof(buf));
    assert_memory_equal(buf, disk->data + 4 * BLK_SECTOR, BLK_SECTOR);
    assert_memory_equal(buf + BLK_SECTOR, zero, BLK_SECTOR);
    blk_put(req);
    assert_int_equal(blk_counters(disk->blk)->errors, 1);
    assert_int_equal(blk_counters(disk->blk)->reads, 1);
    assert_int_equal(blk_counters(disk->blk)->read_bytes, BLK_SECTOR);
}

static uint32_t read_with_a_bad_sector(struct blk_rig *disk, uint64_t sector, uint32_t bytes,
                                       uint64_t bad)
{
    struct mem_faults faults = {.error = -EIO, .first = bad, .last = bad};
    mem_set_faults(disk->image, &faults);
    disk->keep = true;
    struct blk_req *req = blk_rig_get(disk, BLK_READ, sector, bytes, 1);
    blk_submit(req);
    assert_true(fake_loop_settle(disk->fake, 0, 99) < 16); /* bounded */
    assert_int_equal(disk->error, -EIO);
    assert_int_equal(blk_req_sector(req), sector); /* the request itself is whole again */
    assert_int_equal(blk_req_bytes(req), bytes);
    unsigned n;
    const struct iovec *iov = blk_iov(req, &n);
    for (unsigned i = 0, left = bytes; i < n; i++, left -= POOL_PAGE) {
        assert_int_equal((uintptr_t)iov[i].iov_base % POOL_PAGE, 0);
        assert_int_equal(iov[i].iov_len, left < POOL_PAGE ? left : POOL_PAGE);
    }
    static uint8_t buf[BLK_MAX_BYTES];
    uint32_t good = blk_req_good(req);
    blk_copy_out(req, 0, buf, bytes);
    assert_memory_equal(buf, disk->data + sector * BLK_SECTOR, good);
    for (uint32_t i = good; i < bytes; i++)
        assert_int_equal(buf[i], 0);
    blk_put(req);
    return good;
}

static void the_sectors_before_a_bad_one_are_read_wherever_it_is(void **state)
{
    struct blk_rig *disk = *state;
    const uint32_t sectors[] = {1, 2, 3, 7, 9, 64, 255, 256};
    for (unsigned i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++)
        for (uint32_t bad = 0; bad < sectors[i]; bad++)
            assert_int_equal(read_with_a_bad_sector(disk, 500, sectors[i] * BLK_SECTOR, 500 + bad),
                             bad * BLK_SECTOR);
}

static void the_sectors_before_a_bad_one_are_written_and_none_behind_it(void **state)
{
    struct blk_rig *disk = *state;
    static uint8_t expected[sizeof(disk->data)], buf[100 * BLK_SECTOR];
    memset(buf, 0xa5, sizeof(buf));
    for (uint32_t bad = 0; bad < 100; bad += 11) {
        struct mem_faults faults = {.error = -EIO, .first = 7 + bad, .last = 7 + bad};
        for (unsigned i = 0; i < sizeof(disk->data); i++)
            disk->data[i] = (uint8_t)(i * 7);
        memcpy(expected, disk->data, sizeof(expected));
        memset(expected + 7 * BLK_SECTOR, 0xa5, bad * BLK_SECTOR);
        mem_set_faults(disk->image, &faults);
        disk->keep = true;
        struct blk_req *req = blk_rig_get(disk, BLK_WRITE, 7, sizeof(buf), 1);
        blk_copy_in(req, 0, buf, sizeof(buf));
        blk_submit(req);
        fake_loop_settle(disk->fake, 0, 99);
        assert_int_equal(blk_req_good(req), bad * BLK_SECTOR);
        assert_memory_equal(disk->data, expected, sizeof(expected));

        /* The same request again, when the disk has been mended: nothing of it was lost. */
        struct mem_faults none = {0};
        mem_set_faults(disk->image, &none);
        blk_submit(req);
        fake_loop_settle(disk->fake, 0, 99);
        assert_int_equal(disk->error, 0);
        assert_memory_equal(disk->data + 7 * BLK_SECTOR, buf, sizeof(buf));
        blk_put(req);
    }
}

static void a_request_that_works_when_tried_again_is_whole(void **state)
{
    struct blk_rig *disk = *state;
    struct mem_faults faults = {.error = -EIO, .first = 200, .last = 200}, none = {0};
    mem_set_faults(disk->image, &faults);
    disk->keep = true;
    struct blk_req *req = blk_rig_get(disk, BLK_READ, 100, BLK_MAX_BYTES, 1);
    blk_submit(req);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->dones, 0);
    mem_set_faults(disk->image, &none);
    fake_loop_settle(disk->fake, 0, 99);
    assert_int_equal(disk->dones, 1);
    assert_int_equal(disk->error, 0);
    assert_int_equal(blk_req_good(req), BLK_MAX_BYTES);
    static uint8_t buf[BLK_MAX_BYTES];
    blk_copy_out(req, 0, buf, sizeof(buf));
    assert_memory_equal(buf, disk->data + 100 * BLK_SECTOR, sizeof(buf));
    blk_put(req);
}

static void the_search_for_a_bad_sector_ends_with_a_cancel_or_a_close(void **state)
{
    struct blk_rig *disk = *state;
    for (unsigned close = 0; close < 2; close++) {
        struct mem_faults faults = {.error = -EIO, .first = 0, .last = 0, .hold = true};
        mem_set_faults(disk->image, &faults);
        struct blk_req *req = blk_rig_get(disk, BLK_READ, 0, BLK_MAX_BYTES, 1);
        blk_submit(req);
        mem_release(disk->image); /* half of it comes back, and is held */
        assert_int_equal(disk->dones, 0);
        assert_int_equal(blk_counters(disk->blk)->in_flight, 1);
        if (close)
            blk_rig_close(disk);
        else
            blk_cancel(req);
        mem_release(disk->image);
        assert_int_equal(pool_stats(disk->pool)->free, BLK_RIG_PAGES);
    }
    assert_true(disk->closed);
}

struct stops {
    unsigned count;
    struct blk_stop last;
};

static void on_stopped(void *arg, const struct blk_stop *stop)
{
    struct stops *stops = arg;
    stops->count++;
    stops->last = *stop;
}

static void what_an_error_leads_to_is_the_disks_policy(void **state)
{
    static const struct {
        enum blk_policy read, write;
        enum blk_op op;
        int error;
        bool stops;
    } cases[] = {
        {BLK_REPORT, BLK_STOP_ENOSPC, BLK_WRITE, -ENOSPC, true},
        {BLK_REPORT, BLK_STOP_ENOSPC, BLK_WRITE, -EDQUOT, true},
        {BLK_REPORT, BLK_STOP_ENOSPC, BLK_FLUSH, -ENOSPC, true},
        {BLK_REPORT, BLK_STOP_ENOSPC, BLK_WRITE, -EIO, false},
        {BLK_REPORT, BLK_STOP_ENOSPC, BLK_READ, -EIO, false},
        {BLK_STOP, BLK_REPORT, BLK_READ, -EIO, true},
        {BLK_STOP, BLK_REPORT, BLK_WRITE, -ENOSPC, false},
        {BLK_REPORT, BLK_STOP, BLK_FLUSH, -EIO, true},
    };
    struct blk_rig *disk = *state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stops stops = {0};
        struct blk_policies policies = {
            .read = cases[i].read, .write = cases[i].write, .stopped = on_stopped, .arg = &stops};
        unsigned readies = disk->readies;
        blk_set_policies(disk->blk, &policies);
        assert_int_equal(blk_stops(disk->blk, cases[i].op, 9, cases[i].error), cases[i].stops);
        assert_int_equal(blk_stopped(disk->blk), cases[i].stops);
        assert_int_equal(stops.count, cases[i].stops);
        fake_loop_settle(disk->fake, 0, 9);
        assert_int_equal(disk->readies, readies);
        blk_restart(disk->blk);
        assert_false(blk_stopped(disk->blk));
        assert_int_equal(disk->readies, readies); /* not inline */
        fake_loop_settle(disk->fake, 0, 9);
        assert_int_equal(disk->readies, readies + cases[i].stops);
        if (!cases[i].stops)
            continue;
        assert_int_equal(stops.last.op, cases[i].op);
        assert_int_equal(stops.last.sector, 9);
        assert_int_equal(stops.last.error, cases[i].error);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, blk_rig_setup, blk_rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_error_is_told_counted_and_leaks_no_stale_bytes),
        T(the_sectors_before_a_bad_one_are_read_wherever_it_is),
        T(the_sectors_before_a_bad_one_are_written_and_none_behind_it),
        T(a_request_that_works_when_tried_again_is_whole),
        T(the_search_for_a_bad_sector_ends_with_a_cancel_or_a_close),
        T(what_an_error_leads_to_is_the_disks_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
