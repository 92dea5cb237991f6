// SPDX-License-Identifier: GPL-2.0-or-later
/* blk.c, on the mem backend whose holding decides when requests come back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "tests/unit/fake_loop.h"

#define SECTORS 1024u
#define DEPTH   4u
#define PAGES   (2 * BLK_REQ_PAGES)

struct disk {
    struct fake_loop *fake;
    struct pool *pool;
    struct blk_image *image;
    struct blk *blk;
    bool closed;
    unsigned dones, readies;
    int error;
    struct blk_req *done_req;
    bool keep;          /* done() does not put */
    bool close_in_done; /* done() closes the disk */
    uint64_t tokens[16];
    uint8_t data[SECTORS * BLK_SECTOR];
};

static void on_closed(void *arg)
{
    struct disk *disk = arg;
    disk->closed = true;
    disk->blk = NULL;
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct disk *disk = owner;
    disk->tokens[disk->dones++ % 16] = blk_req_token(req);
    disk->error = error;
    disk->done_req = req;
    if (disk->close_in_done)
        blk_close(disk->blk, on_closed, disk);
    else if (!disk->keep)
        blk_put(req);
}

static void on_ready(void *owner)
{
    struct disk *disk = owner;
    disk->readies++;
}

static const struct blk_client_ops client_ops = {.done = on_done, .ready = on_ready};

static void attach(struct disk *disk, bool read_only)
{
    assert_int_equal(
        mem_open(disk->data, SECTORS, read_only, fake_loop(disk->fake), disk->pool, &disk->image),
        0);
    assert_int_equal(blk_open(disk->image, DEPTH, &disk->blk), 0);
    blk_bind(disk->blk, &client_ops, disk);
    disk->closed = false;
}

static int setup(void **state)
{
    static struct disk disk; /* large; zeroed per test */
    memset(&disk, 0, sizeof(disk));
    disk.fake = fake_loop_create();
    assert_int_equal(pool_create(PAGES, &disk.pool), 0);
    for (unsigned i = 0; i < sizeof(disk.data); i++)
        disk.data[i] = (uint8_t)(i * 7 + i / BLK_SECTOR);
    attach(&disk, false);
    *state = &disk;
    return 0;
}

static int teardown(void **state)
{
    struct disk *disk = *state;
    struct mem_faults none = {0};
    if (disk->blk) {
        mem_set_faults(disk->image, &none);
        blk_close(disk->blk, on_closed, disk);
        assert_true(fake_loop_until(disk->fake, &disk->closed, 0));
    }
    assert_int_equal(pool_stats(disk->pool)->free, PAGES);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake);
    return 0;
}

static void hold(struct disk *disk)
{
    struct mem_faults faults = {.hold = true};
    mem_set_faults(disk->image, &faults);
}

static struct blk_req *get(struct disk *disk, enum blk_op op, uint64_t sector, uint32_t bytes,
                           uint64_t token)
{
    struct blk_req *req = NULL;
    assert_int_equal(blk_get(disk->blk, op, sector, bytes, token, &req), 0);
    assert_int_equal(blk_req_op(req), op);
    assert_int_equal(blk_req_sector(req), sector);
    assert_int_equal(blk_req_bytes(req), bytes);
    assert_int_equal(blk_req_token(req), token);
    return req;
}

static void a_read_brings_the_disks_bytes(void **state)
{
    struct disk *disk = *state;
    disk->keep = true;
    struct blk_req *req = get(disk, BLK_READ, 3, BLK_MAX_BYTES, 1);
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
    assert_int_equal(pool_stats(disk->pool)->free, PAGES);
    assert_int_equal(blk_counters(disk->blk)->reads, 1);
    assert_int_equal(blk_counters(disk->blk)->read_bytes, BLK_MAX_BYTES);
}

static void a_write_reaches_the_disk_and_nothing_beside_it(void **state)
{
    struct disk *disk = *state;
    static uint8_t before[sizeof(disk->data)];
    memcpy(before, disk->data, sizeof(before));
    uint8_t buf[5 * BLK_SECTOR];
    memset(buf, 0xa5, sizeof(buf));
    struct blk_req *req = get(disk, BLK_WRITE, 10, sizeof(buf), 1);
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
    struct disk *disk = *state;
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, SECTORS, 512, 0, &req), -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_READ, SECTORS - 1, 1024, 0, &req), -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, UINT64_MAX, 512, 0, &req), -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, UINT64_MAX / 512, BLK_MAX_BYTES, 0, &req),
                     -ERANGE);
    assert_int_equal(blk_get(disk->blk, BLK_READ, UINT64_MAX - 1, BLK_MAX_BYTES, 0, &req), -ERANGE);
    blk_put(get(disk, BLK_READ, SECTORS - 1, 512, 0));
}

static void writes_to_a_read_only_disk_are_refused_flushes_are_not(void **state)
{
    struct disk *disk = *state;
    blk_close(disk->blk, on_closed, disk);
    attach(disk, true);
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, 0, 512, 0, &req), -EROFS);
    blk_submit(get(disk, BLK_FLUSH, 0, 0, 0));
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->dones, 1);
    assert_int_equal(disk->error, 0);
}

static void without_slots_ready_follows_a_put(void **state)
{
    struct disk *disk = *state;
    struct blk_req *req[DEPTH], *more;
    for (unsigned i = 0; i < DEPTH; i++)
        req[i] = get(disk, BLK_FLUSH, 0, 0, i);
    assert_int_equal(blk_get(disk->blk, BLK_FLUSH, 0, 0, 9, &more), -EAGAIN);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 0);
    for (unsigned i = 0; i < DEPTH; i++)
        blk_put(req[i]);
    assert_int_equal(disk->readies, 0); /* not inline */
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1); /* once for all */
    blk_put(get(disk, BLK_FLUSH, 0, 0, 9));
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1);
}

static void without_pages_ready_follows_another_disks_put(void **state)
{
    struct disk *disk = *state;
    void *page[PAGES];
    assert_true(pool_take(disk->pool, PAGES, page, &(struct pool_waiter){0}));
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, 512, 9, &req), -EAGAIN);
    blk_put(get(disk, BLK_FLUSH, 0, 0, 9)); /* the slot was not lost */
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 0);
    for (unsigned i = 0; i < PAGES; i++)
        pool_give(disk->pool, page[i]);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1);
    blk_put(get(disk, BLK_READ, 0, 512, 9));
}

static void who_is_ready_and_wants_no_pages_is_in_nobodys_way(void **state)
{
    struct disk *disk = *state;
    struct pool_waiter other = {0};
    void *page[PAGES], *more;
    assert_true(pool_take(disk->pool, PAGES, page, &other));
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, 512, 9, &req), -EAGAIN);
    for (unsigned i = 0; i < PAGES; i++)
        pool_give(disk->pool, page[i]);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1); /* and it did nothing */
    assert_true(pool_take(disk->pool, 1, &more, &other));
    pool_give(disk->pool, more);
}

static void closing_while_waiting_for_pages_leaves_no_waiter(void **state)
{
    struct disk *disk = *state;
    void *page[PAGES];
    assert_true(pool_take(disk->pool, PAGES, page, &(struct pool_waiter){0}));
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, 512, 9, &req), -EAGAIN);
    blk_close(disk->blk, on_closed, disk);
    assert_true(disk->closed);
    for (unsigned i = 0; i < PAGES; i++)
        pool_give(disk->pool, page[i]);
    assert_int_equal(fake_loop_settle(disk->fake, 0, 9), 0);
    assert_int_equal(disk->readies, 0);
}

static void an_error_is_told_counted_and_leaks_no_stale_bytes(void **state)
{
    struct disk *disk = *state;
    void *page[PAGES];
    assert_true(pool_take(disk->pool, PAGES, page, &(struct pool_waiter){0}));
    for (unsigned i = 0; i < PAGES; i++) {
        memset(page[i], 0x5a, POOL_PAGE);
        pool_give(disk->pool, page[i]);
    }
    struct mem_faults faults = {.error = -EIO, .first = 5, .last = 6};
    mem_set_faults(disk->image, &faults);
    disk->keep = true;
    struct blk_req *req = get(disk, BLK_READ, 4, 2 * BLK_SECTOR, 1);
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

static uint32_t read_with_a_bad_sector(struct disk *disk, uint64_t sector, uint32_t bytes,
                                       uint64_t bad)
{
    struct mem_faults faults = {.error = -EIO, .first = bad, .last = bad};
    mem_set_faults(disk->image, &faults);
    disk->keep = true;
    struct blk_req *req = get(disk, BLK_READ, sector, bytes, 1);
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
    struct disk *disk = *state;
    const uint32_t sectors[] = {1, 2, 3, 7, 9, 64, 255, 256};
    for (unsigned i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++)
        for (uint32_t bad = 0; bad < sectors[i]; bad++)
            assert_int_equal(read_with_a_bad_sector(disk, 500, sectors[i] * BLK_SECTOR, 500 + bad),
                             bad * BLK_SECTOR);
}

static void the_sectors_before_a_bad_one_are_written_and_none_behind_it(void **state)
{
    struct disk *disk = *state;
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
        struct blk_req *req = get(disk, BLK_WRITE, 7, sizeof(buf), 1);
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
    struct disk *disk = *state;
    struct mem_faults faults = {.error = -EIO, .first = 200, .last = 200}, none = {0};
    mem_set_faults(disk->image, &faults);
    disk->keep = true;
    struct blk_req *req = get(disk, BLK_READ, 100, BLK_MAX_BYTES, 1);
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
    struct disk *disk = *state;
    for (unsigned close = 0; close < 2; close++) {
        struct mem_faults faults = {.error = -EIO, .first = 0, .last = 0, .hold = true};
        mem_set_faults(disk->image, &faults);
        struct blk_req *req = get(disk, BLK_READ, 0, BLK_MAX_BYTES, 1);
        blk_submit(req);
        mem_release(disk->image); /* half of it comes back, and is held */
        assert_int_equal(disk->dones, 0);
        assert_int_equal(blk_counters(disk->blk)->in_flight, 1);
        if (close)
            blk_close(disk->blk, on_closed, disk);
        else
            blk_cancel(req);
        mem_release(disk->image);
        assert_int_equal(pool_stats(disk->pool)->free, PAGES);
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
    struct disk *disk = *state;
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

static void a_cancelled_request_is_not_told_and_keeps_its_pages_until_it_returns(void **state)
{
    struct disk *disk = *state;
    hold(disk);
    struct blk_req *req = get(disk, BLK_READ, 0, 4096, 1);
    blk_submit(req);
    blk_cancel(req);
    assert_int_equal(pool_stats(disk->pool)->free, PAGES - 1);
    assert_int_equal(blk_counters(disk->blk)->in_flight, 1);
    assert_false(blk_idle(disk->blk));
    assert_int_equal(disk->readies, 0);
    mem_release(disk->image);
    assert_int_equal(disk->dones, 0);
    assert_int_equal(pool_stats(disk->pool)->free, PAGES);
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
    struct disk *disk = *state;
    static uint8_t before[sizeof(disk->data)];
    memcpy(before, disk->data, sizeof(before));
    hold(disk);
    struct blk_req *req = get(disk, BLK_WRITE, 77, 512, 1);
    uint8_t buf[512];
    memset(buf, 0xee, sizeof(buf));
    blk_copy_in(req, 0, buf, sizeof(buf));
    blk_submit(req);
    blk_cancel(req);
    struct blk_req *next = get(disk, BLK_READ, 0, 512, 2); /* another slot, other pages */
    assert_ptr_not_equal(next, req);
    blk_put(next);
    mem_release(disk->image);
    memcpy(before + 77 * 512, buf, 512);
    assert_memory_equal(before, disk->data, sizeof(before));
}

static void cancelled_requests_hold_their_slots(void **state)
{
    struct disk *disk = *state;
    hold(disk);
    for (unsigned i = 0; i < DEPTH; i++) {
        struct blk_req *req = get(disk, BLK_FLUSH, 0, 0, i);
        blk_submit(req);
        blk_cancel(req);
    }
    struct blk_req *more;
    assert_int_equal(blk_get(disk->blk, BLK_FLUSH, 0, 0, 9, &more), -EAGAIN);
    mem_release(disk->image);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->readies, 1);
    blk_put(get(disk, BLK_FLUSH, 0, 0, 9));
}

static void closing_orphans_and_closed_follows_the_last_return(void **state)
{
    struct disk *disk = *state;
    hold(disk);
    blk_submit(get(disk, BLK_READ, 0, 8192, 1));
    struct blk_req *cancelled = get(disk, BLK_READ, 0, 512, 2);
    blk_submit(cancelled);
    blk_cancel(cancelled);
    get(disk, BLK_WRITE, 0, 512, 3); /* never submitted, never put */
    blk_close(disk->blk, on_closed, disk);
    assert_false(disk->closed);
    assert_int_equal(pool_stats(disk->pool)->free, PAGES - 3);
    mem_release(disk->image);
    assert_true(disk->closed);
    assert_int_equal(disk->dones, 0);
    assert_int_equal(pool_stats(disk->pool)->free, PAGES);
}

static void closing_an_idle_disk_closes_at_once(void **state)
{
    struct disk *disk = *state;
    blk_close(disk->blk, on_closed, disk);
    assert_true(disk->closed);
    blk_close(NULL, NULL, NULL);
}

static void a_device_may_close_from_done(void **state)
{
    struct disk *disk = *state;
    disk->close_in_done = true;
    blk_submit(get(disk, BLK_READ, 0, 512, 1));
    assert_true(fake_loop_until(disk->fake, &disk->closed, 0));
    assert_int_equal(disk->dones, 1);
}

static void a_device_may_close_from_done_with_others_in_flight(void **state)
{
    struct disk *disk = *state;
    disk->close_in_done = true;
    for (unsigned i = 0; i < 3; i++)
        blk_submit(get(disk, BLK_READ, i, 512, i));
    assert_true(fake_loop_until(disk->fake, &disk->closed, 0));
    assert_int_equal(disk->dones, 1);
}

static void completions_carry_their_tokens_in_order(void **state)
{
    struct disk *disk = *state;
    hold(disk);
    for (unsigned i = 0; i < DEPTH; i++)
        blk_submit(get(disk, BLK_READ, i, 512, 100 + i));
    fake_loop_settle(disk->fake, 0, 9);
    assert_int_equal(disk->dones, 0);
    mem_release(disk->image);
    assert_int_equal(disk->dones, DEPTH);
    for (unsigned i = 0; i < DEPTH; i++)
        assert_int_equal(disk->tokens[i], 100 + i);
}

static void time_in_flight_is_counted(void **state)
{
    struct disk *disk = *state;
    fake_loop_set_clock(disk->fake, 1000);
    hold(disk);
    blk_submit(get(disk, BLK_READ, 0, 512, 1));
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
    struct disk *disk = *state;
    static struct blk_histograms histograms; /* large */
    struct histogram_sum sum = {0};
    struct histogram all = {0};
    memset(&histograms, 0, sizeof(histograms));
    blk_set_histograms(disk->blk, &histograms, &all);
    fake_loop_set_clock(disk->fake, 1000);
    hold(disk);
    blk_submit(get(disk, BLK_READ, 0, 512, 1));
    blk_submit(get(disk, BLK_READ, 0, 1536, 1)); /* up to 2048 */
    blk_submit(get(disk, BLK_WRITE, 0, BLK_MAX_BYTES / 4, 1));
    fake_loop_set_clock(disk->fake, 2001000);
    mem_release(disk->image);
    blk_submit(get(disk, BLK_FLUSH, 0, 0, 1));
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
    struct disk *disk = *state;
    static struct blk_histograms histograms;
    memset(&histograms, 0, sizeof(histograms));
    blk_set_histograms(disk->blk, &histograms, NULL);
    hold(disk);
    struct blk_req *req = get(disk, BLK_READ, 0, 512, 1);
    blk_submit(req);
    blk_cancel(req);
    mem_release(disk->image);
    assert_int_equal(counted(&histograms.latency[BLK_READ]), 0);
    assert_int_equal(histograms.reads[0], 0);
    assert_int_equal(histograms.in_flight_max, 1);
}

static void a_discard_has_no_pages_and_is_counted(void **state)
{
    struct disk *disk = *state;
    uint32_t free = pool_stats(disk->pool)->free;
    unsigned n;
    struct blk_req *req = get(disk, BLK_DISCARD, 8, 1000 * BLK_SECTOR, 5);
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
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, SECTORS - 1, 1024, 0, &req), -ERANGE);
}

static void a_discard_that_the_disk_does_not_serve_is_refused(void **state)
{
    struct disk *disk = *state;
    struct blk_req *req;
    disk->image->info.discard = false;
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EOPNOTSUPP);
    blk_close(disk->blk, on_closed, disk);
    attach(disk, true);
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EROFS);
}

static void fua_is_of_one_write_only(void **state)
{
    struct disk *disk = *state;
    disk->keep = true;
    struct blk_req *req = get(disk, BLK_WRITE, 8, 512, 0);
    assert_false(req->fua);
    blk_set_fua(req);
    assert_true(req->fua);
    blk_put(req);
    assert_ptr_equal(get(disk, BLK_WRITE, 8, 512, 0), req); /* the same slot */
    assert_false(req->fua);
    blk_put(req);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
        T(an_error_is_told_counted_and_leaks_no_stale_bytes),
        T(the_sectors_before_a_bad_one_are_read_wherever_it_is),
        T(the_sectors_before_a_bad_one_are_written_and_none_behind_it),
        T(a_request_that_works_when_tried_again_is_whole),
        T(the_search_for_a_bad_sector_ends_with_a_cancel_or_a_close),
        T(what_an_error_leads_to_is_the_disks_policy),
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
