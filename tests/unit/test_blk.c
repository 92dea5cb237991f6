// SPDX-License-Identifier: GPL-2.0-or-later
/* blk.c, on the mem backend whose holding decides when requests come back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/blk_rig.h"

static void a_read_brings_the_disks_bytes(void **state)
{
    struct blk_rig *disk = *state;
    disk->keep = true;
    struct blk_req *req = blk_rig_get(disk, BLK_READ, 3, BLK_MAX_BYTES, 1);
    blk_submit(req);
    assert_int_equal(disk->dones, 0); /* never inline */
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->dones, 1);
    assert_int_equal(disk->error, 0);

    unsigned n;
    const struct iovec *iov = blk_iov(req, &n);
    assert_int_equal(n, BLK_REQ_PAGES);
    for (unsigned i = 0; i < n; i++)
        assert_memory_equal(iov[i].iov_base, disk->data + 3 * BLK_SECTOR + i * POOL_PAGE,
                            POOL_PAGE);
    static uint8_t buf[BLK_MAX_BYTES];
    blk_copy_out(req, 100, buf, 9000); /* across pages */
    assert_memory_equal(buf, disk->data + 3 * BLK_SECTOR + 100, 9000);
    blk_copy_out(req, BLK_MAX_BYTES, buf, 0);
    blk_put(req);
    assert_int_equal(pool_stats(disk->pool)->free, BLK_RIG_PAGES);
    assert_int_equal(blk_counters(disk->blk)->reads, 1);
    assert_int_equal(blk_counters(disk->blk)->read_bytes, BLK_MAX_BYTES);
}

static void a_write_reaches_the_disk_and_nothing_beside_it(void **state)
{
    struct blk_rig *disk = *state;
    static uint8_t before[sizeof(disk->data)];
    memcpy(before, disk->data, sizeof(before));
    uint8_t buf[5 * BLK_SECTOR];
    memset(buf, 0xa5, sizeof(buf));
    struct blk_req *req = blk_rig_get(disk, BLK_WRITE, 10, sizeof(buf), 1);
    unsigned n;
    assert_int_equal(blk_iov(req, &n)[0].iov_len, sizeof(buf));
    assert_int_equal(n, 1);
    for (unsigned i = 0; i < sizeof(buf); i += 100)
        blk_copy_in(req, i, buf + i, sizeof(buf) - i < 100 ? sizeof(buf) - i : 100);
    blk_submit(req);
    assert_memory_equal(before, disk->data, sizeof(before));
    fake_loop_turn(disk->fake, 0);
    memcpy(before + 10 * BLK_SECTOR, buf, sizeof(buf));
    assert_memory_equal(before, disk->data, sizeof(before));
    assert_int_equal(blk_counters(disk->blk)->written_bytes, sizeof(buf));
    assert_int_equal(blk_counters(disk->blk)->in_flight, 0);
}

static void sectors_beyond_the_end_are_refused(void **state)
{
    struct blk_rig *disk = *state;
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, BLK_RIG_SECTORS, 512, 0, &req), -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_READ, BLK_RIG_SECTORS - 1, 1024, 0, &req), -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, UINT64_MAX, 512, 0, &req), -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, UINT64_MAX / 512, BLK_MAX_BYTES, 0, &req),
                     -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_READ, UINT64_MAX - 1, BLK_MAX_BYTES, 0, &req), -ERANGE);
    blk_put(blk_rig_get(disk, BLK_READ, BLK_RIG_SECTORS - 1, 512, 0));
}

static void writes_to_a_read_only_disk_are_refused_flushes_are_not(void **state)
{
    struct blk_rig *disk = *state;
    blk_rig_close(disk);
    blk_rig_attach(disk, true);
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, 0, 512, 0, &req), -EROFS);
    blk_submit(blk_rig_get(disk, BLK_FLUSH, 0, 0, 0));
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->dones, 1);
    assert_int_equal(disk->error, 0);
}

static void without_slots_ready_follows_a_put(void **state)
{
    struct blk_rig *disk = *state;
    struct blk_req *req[BLK_RIG_DEPTH], *more;
    for (unsigned i = 0; i < BLK_RIG_DEPTH; i++)
        req[i] = blk_rig_get(disk, BLK_FLUSH, 0, 0, i);
    assert_int_equal(blk_get(disk->blk, BLK_FLUSH, 0, 0, 9, &more), -EAGAIN);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 0);
    for (unsigned i = 0; i < BLK_RIG_DEPTH; i++)
        blk_put(req[i]);
    assert_int_equal(disk->readies, 0); /* not inline */
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1); /* once for all */
    blk_put(blk_rig_get(disk, BLK_FLUSH, 0, 0, 9));
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1);
}

static void without_pages_ready_follows_another_disks_put(void **state)
{
    struct blk_rig *disk = *state;
    void *page[BLK_RIG_PAGES];
    assert_true(pool_take(disk->pool, BLK_RIG_PAGES, page, &(struct pool_waiter){0}));
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, 512, 9, &req), -EAGAIN);
    blk_put(blk_rig_get(disk, BLK_FLUSH, 0, 0, 9)); /* the slot was not lost */
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 0);
    for (unsigned i = 0; i < BLK_RIG_PAGES; i++)
        pool_give(disk->pool, page[i]);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1);
    blk_put(blk_rig_get(disk, BLK_READ, 0, 512, 9));
}

static void who_is_ready_and_wants_no_pages_is_in_nobodys_way(void **state)
{
    struct blk_rig *disk = *state;
    struct pool_waiter other = {0};
    void *page[BLK_RIG_PAGES], *more;
    assert_true(pool_take(disk->pool, BLK_RIG_PAGES, page, &other));
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, 512, 9, &req), -EAGAIN);
    for (unsigned i = 0; i < BLK_RIG_PAGES; i++)
        pool_give(disk->pool, page[i]);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1); /* and it did nothing */
    assert_true(pool_take(disk->pool, 1, &more, &other));
    pool_give(disk->pool, more);
}

static void closing_while_waiting_for_pages_leaves_no_waiter(void **state)
{
    struct blk_rig *disk = *state;
    void *page[BLK_RIG_PAGES];
    assert_true(pool_take(disk->pool, BLK_RIG_PAGES, page, &(struct pool_waiter){0}));
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, 512, 9, &req), -EAGAIN);
    blk_rig_close(disk);
    assert_true(disk->closed);
    for (unsigned i = 0; i < BLK_RIG_PAGES; i++)
        pool_give(disk->pool, page[i]);
    assert_int_equal(fake_loop_settle(disk->fake, 0, 9), 0);
    assert_int_equal(disk->readies, 0);
}

static void a_cancelled_request_is_not_told_and_keeps_its_pages_until_it_returns(void **state)
{
    struct blk_rig *disk = *state;
    blk_rig_hold(disk);
    struct blk_req *req = blk_rig_get(disk, BLK_READ, 0, 4096, 1);
    blk_submit(req);
    blk_cancel(req);
    assert_int_equal(pool_stats(disk->pool)->free, BLK_RIG_PAGES - 1);
    assert_int_equal(blk_counters(disk->blk)->in_flight, 1);
    assert_false(blk_idle(disk->blk));
    assert_int_equal(disk->readies, 0);
    mem_release(disk->image);
    assert_int_equal(disk->dones, 0);
    assert_int_equal(pool_stats(disk->pool)->free, BLK_RIG_PAGES);
    assert_true(blk_idle(disk->blk));
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1); /* it is idle now */
    assert_int_equal(blk_counters(disk->blk)->cancelled, 1);
    assert_int_equal(blk_counters(disk->blk)->reads, 0);
}

/* CVE-2023-5088: what a reset forgot may still reach the disk, where it was meant to go. The device
 * can tell when it no longer can, so that nothing newer is overtaken. */
static void cve_2023_5088_a_cancelled_write_lands_where_it_was_sent(void **state)
{
    struct blk_rig *disk = *state;
    static uint8_t before[sizeof(disk->data)];
    memcpy(before, disk->data, sizeof(before));
    blk_rig_hold(disk);
    struct blk_req *req = blk_rig_get(disk, BLK_WRITE, 77, 512, 1);
    uint8_t buf[512];
    memset(buf, 0xee, sizeof(buf));
    blk_copy_in(req, 0, buf, sizeof(buf));
    blk_submit(req);
    blk_cancel(req);
    struct blk_req *next = blk_rig_get(disk, BLK_READ, 0, 512, 2); /* another slot, other pages */
    assert_ptr_not_equal(next, req);
    blk_put(next);
    mem_release(disk->image);
    memcpy(before + 77 * 512, buf, 512);
    assert_memory_equal(before, disk->data, sizeof(before));
}

static void cancelled_requests_hold_their_slots(void **state)
{
    struct blk_rig *disk = *state;
    blk_rig_hold(disk);
    for (unsigned i = 0; i < BLK_RIG_DEPTH; i++) {
        struct blk_req *req = blk_rig_get(disk, BLK_FLUSH, 0, 0, i);
        blk_submit(req);
        blk_cancel(req);
    }
    struct blk_req *more;
    assert_int_equal(blk_get(disk->blk, BLK_FLUSH, 0, 0, 9, &more), -EAGAIN);
    mem_release(disk->image);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1);
    blk_put(blk_rig_get(disk, BLK_FLUSH, 0, 0, 9));
}

static void closing_orphans_and_closed_follows_the_last_return(void **state)
{
    struct blk_rig *disk = *state;
    blk_rig_hold(disk);
    blk_submit(blk_rig_get(disk, BLK_READ, 0, 8192, 1));
    struct blk_req *cancelled = blk_rig_get(disk, BLK_READ, 0, 512, 2);
    blk_submit(cancelled);
    blk_cancel(cancelled);
    blk_rig_get(disk, BLK_WRITE, 0, 512, 3); /* never submitted, never put */
    blk_rig_close(disk);
    assert_false(disk->closed);
    assert_int_equal(pool_stats(disk->pool)->free, BLK_RIG_PAGES - 3);
    mem_release(disk->image);
    assert_true(disk->closed);
    assert_int_equal(disk->dones, 0);
    assert_int_equal(pool_stats(disk->pool)->free, BLK_RIG_PAGES);
}

static void closing_an_idle_disk_closes_at_once(void **state)
{
    struct blk_rig *disk = *state;
    blk_rig_close(disk);
    assert_true(disk->closed);
    blk_close(NULL, NULL, NULL);
}

static void a_device_may_close_from_done(void **state)
{
    struct blk_rig *disk = *state;
    disk->close_in_done = true;
    blk_submit(blk_rig_get(disk, BLK_READ, 0, 512, 1));
    assert_true(fake_loop_until(disk->fake, &disk->closed, 0));
    assert_int_equal(disk->dones, 1);
}

static void a_device_may_close_from_done_with_others_in_flight(void **state)
{
    struct blk_rig *disk = *state;
    disk->close_in_done = true;
    for (unsigned i = 0; i < 3; i++)
        blk_submit(blk_rig_get(disk, BLK_READ, i, 512, i));
    assert_true(fake_loop_until(disk->fake, &disk->closed, 0));
    assert_int_equal(disk->dones, 1);
}

static void completions_carry_their_tokens_in_order(void **state)
{
    struct blk_rig *disk = *state;
    blk_rig_hold(disk);
    for (unsigned i = 0; i < BLK_RIG_DEPTH; i++)
        blk_submit(blk_rig_get(disk, BLK_READ, i, 512, 100 + i));
    fake_loop_settle(disk->fake, 0, 9);
    assert_int_equal(disk->dones, 0);
    mem_release(disk->image);
    assert_int_equal(disk->dones, BLK_RIG_DEPTH);
    for (unsigned i = 0; i < BLK_RIG_DEPTH; i++)
        assert_int_equal(disk->tokens[i], 100 + i);
}

static void time_in_flight_is_counted(void **state)
{
    struct blk_rig *disk = *state;
    fake_loop_set_clock(disk->fake, 1000);
    blk_rig_hold(disk);
    blk_submit(blk_rig_get(disk, BLK_READ, 0, 512, 1));
    fake_loop_set_clock(disk->fake, 4500);
    mem_release(disk->image);
    assert_int_equal(blk_counters(disk->blk)->io_ns, 3500);
}

static uint64_t counted(const struct histogram *histogram)
{
    struct histogram_sum sum = {0};
    histogram_read(histogram, &sum);
    return sum.count;
}

static void requests_are_counted_by_size_and_latency(void **state)
{
    struct blk_rig *disk = *state;
    static struct blk_histograms histograms; /* large */
    struct histogram_sum sum = {0};
    struct histogram all = {0};
    memset(&histograms, 0, sizeof(histograms));
    blk_set_histograms(disk->blk, &histograms, &all);
    fake_loop_set_clock(disk->fake, 1000);
    blk_rig_hold(disk);
    blk_submit(blk_rig_get(disk, BLK_READ, 0, 512, 1));
    blk_submit(blk_rig_get(disk, BLK_READ, 0, 1536, 1)); /* up to 2048 */
    blk_submit(blk_rig_get(disk, BLK_WRITE, 0, BLK_MAX_BYTES / 4, 1));
    fake_loop_set_clock(disk->fake, 2001000);
    mem_release(disk->image);
    blk_submit(blk_rig_get(disk, BLK_FLUSH, 0, 0, 1));
    mem_release(disk->image);
    assert_int_equal(histograms.reads[0], 1);
    assert_int_equal(histograms.reads[2], 1);
    assert_int_equal(histograms.writes[6], 1);
    histogram_read(&histograms.latency[BLK_READ], &sum);
    assert_int_equal(sum.count, 2);
    assert_int_equal(sum.max_ns, 2000000);
    assert_int_equal(sum.sum_ns, 4000000);
    assert_int_equal(counted(&histograms.latency[BLK_WRITE]), 1);
    assert_int_equal(counted(&histograms.latency[BLK_FLUSH]), 1);
    assert_int_equal(counted(&histograms.latency[BLK_DISCARD]), 0);
    assert_int_equal(counted(&all), 4);
    assert_int_equal(histograms.in_flight_max, 3);
}

static void a_cancelled_request_is_in_no_histogram(void **state)
{
    struct blk_rig *disk = *state;
    static struct blk_histograms histograms;
    memset(&histograms, 0, sizeof(histograms));
    blk_set_histograms(disk->blk, &histograms, NULL);
    blk_rig_hold(disk);
    struct blk_req *req = blk_rig_get(disk, BLK_READ, 0, 512, 1);
    blk_submit(req);
    blk_cancel(req);
    mem_release(disk->image);
    assert_int_equal(counted(&histograms.latency[BLK_READ]), 0);
    assert_int_equal(histograms.reads[0], 0);
    assert_int_equal(histograms.in_flight_max, 1);
}

static void a_discard_has_no_pages_and_is_counted(void **state)
{
    struct blk_rig *disk = *state;
    uint32_t free = pool_stats(disk->pool)->free;
    unsigned n;
    struct blk_req *req = blk_rig_get(disk, BLK_DISCARD, 8, 1000 * BLK_SECTOR, 5);
    assert_ptr_not_equal(blk_iov(req, &n), NULL);
    assert_int_equal(n, 0);
    assert_int_equal(pool_stats(disk->pool)->free, free);
    blk_submit(req);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->dones, 1);
    assert_int_equal(disk->error, 0);
    assert_int_equal(blk_counters(disk->blk)->discards, 1);
    assert_int_equal(blk_counters(disk->blk)->discarded_bytes, 1000 * BLK_SECTOR);
    assert_int_equal(blk_counters(disk->blk)->writes, 0);
    assert_int_equal(disk->data[8 * BLK_SECTOR], 0);
    assert_int_equal(disk->data[1008 * BLK_SECTOR], (uint8_t)(1008 * BLK_SECTOR * 7 + 1008));
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, BLK_RIG_SECTORS - 1, 1024, 0, &req), -ERANGE);
}

static void a_discard_that_the_disk_does_not_serve_is_refused(void **state)
{
    struct blk_rig *disk = *state;
    struct blk_req *req;
    disk->image->info.discard = false;
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EOPNOTSUPP);
    blk_rig_close(disk);
    blk_rig_attach(disk, true);
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EROFS);
}

static void fua_is_of_one_write_only(void **state)
{
    struct blk_rig *disk = *state;
    disk->keep = true;
    struct blk_req *req = blk_rig_get(disk, BLK_WRITE, 8, 512, 0);
    assert_false(req->fua);
    blk_set_fua(req);
    assert_true(req->fua);
    blk_put(req);
    assert_ptr_equal(blk_rig_get(disk, BLK_WRITE, 8, 512, 0), req); /* the same slot */
    assert_false(req->fua);
    blk_put(req);
}

#define T(name) cmocka_unit_test_setup_teardown(name, blk_rig_setup, blk_rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_read_brings_the_disks_bytes),
        T(a_write_reaches_the_disk_and_nothing_beside_it),
        T(sectors_beyond_the_end_are_refused),
        T(writes_to_a_read_only_disk_are_refused_flushes_are_not),
        T(without_slots_ready_follows_a_put),
        T(without_pages_ready_follows_another_disks_put),
        T(who_is_ready_and_wants_no_pages_is_in_nobodys_way),
        T(closing_while_waiting_for_pages_leaves_no_waiter),
        T(a_cancelled_request_is_not_told_and_keeps_its_pages_until_it_returns),
        T(cve_2023_5088_a_cancelled_write_lands_where_it_was_sent),
        T(cancelled_requests_hold_their_slots),
        T(closing_orphans_and_closed_follows_the_last_return),
        T(closing_an_idle_disk_closes_at_once),
        T(a_device_may_close_from_done),
        T(a_device_may_close_from_done_with_others_in_flight),
        T(completions_carry_their_tokens_in_order),
        T(time_in_flight_is_counted),
        T(requests_are_counted_by_size_and_latency),
        T(a_cancelled_request_is_in_no_histogram),
        T(a_discard_has_no_pages_and_is_counted),
        T(a_discard_that_the_disk_does_not_serve_is_refused),
        T(fua_is_of_one_write_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
