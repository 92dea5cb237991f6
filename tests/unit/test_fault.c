/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image that fails, on one in memory. */
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
#define PAGES   (4 * BLK_REQ_PAGES)

struct disk {
    struct fake_loop *fake;
    struct pool *pool;
    struct blk *blk;
    unsigned dones;
    int errors[64];
    uint32_t good[64];
    bool closed;
    uint8_t data[SECTORS * BLK_SECTOR];
};

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct disk *disk = owner;

    disk->errors[disk->dones % 64] = error;
    disk->good[disk->dones++ % 64] = blk_req_good(req) / BLK_SECTOR;
    blk_put(req);
}

static const struct blk_client_ops client_ops = {.done = on_done};

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int setup(void **state)
{
    static struct disk disk;

    memset(&disk, 0, sizeof(disk));
    disk.fake = fake_loop_create();
    assert_int_equal(pool_create(PAGES, &disk.pool), 0);
    *state = &disk;
    return 0;
}

static void attach(struct disk *disk, const struct fault_options *options)
{
    struct blk_image *inner, *image;

    assert_int_equal(
        mem_open(disk->data, SECTORS, false, fake_loop(disk->fake), disk->pool, &inner), 0);
    assert_int_equal(fault_open(inner, options, &image), 0);
    assert_int_equal(blk_open(image, 8, &disk->blk), 0);
    blk_bind(disk->blk, &client_ops, disk);
    disk->closed = false;
    disk->dones = 0;
}

static void detach(struct disk *disk)
{
    blk_close(disk->blk, on_closed, &disk->closed);
    assert_true(fake_loop_until(disk->fake, &disk->closed, 1000));
    disk->blk = NULL;
}

static int teardown(void **state)
{
    struct disk *disk = *state;

    if (disk->blk)
        detach(disk);
    assert_int_equal(pool_stats(disk->pool)->free, PAGES);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake); /* and finds no watch or task left */
    return 0;
}

/* The error; *ret_good sectors were moved. */
static int transfer(struct disk *disk, enum blk_op op, uint64_t sector, uint32_t sectors,
                    uint32_t *ret_good)
{
    static uint8_t data[BLK_MAX_BYTES];
    unsigned before = disk->dones;
    struct blk_req *req;

    assert_int_equal(blk_get(disk->blk, op, sector, sectors * BLK_SECTOR, 0, &req), 0);
    memset(data, 0xab, sizeof(data));
    if (op == BLK_WRITE)
        blk_copy_in(req, 0, data, sectors * BLK_SECTOR);
    blk_submit(req);
    assert_int_equal(disk->dones, before); /* never inline */
    fake_loop_settle(disk->fake, 0, 99);
    assert_int_equal(disk->dones, before + 1);
    *ret_good = disk->good[before % 64];
    return disk->errors[before % 64];
}

static void each_nth_request_has_a_bad_sector(void **state)
{
    struct disk *disk = *state;
    unsigned failed = 0, distinct = 0;
    uint32_t good, last = 0;

    attach(disk, &(struct fault_options){.ops = FAULT_READ | FAULT_WRITE | FAULT_FLUSH,
                                         .last = UINT64_MAX,
                                         .every = 3,
                                         .error = -EIO});
    for (unsigned i = 1; i <= 60; i++) {
        int error = transfer(disk, i % 2 ? BLK_READ : BLK_WRITE, 100, 64, &good);

        assert_int_equal(error, i % 3 ? 0 : -EIO);
        if (!error) {
            assert_int_equal(good, 64);
            continue;
        }
        assert_true(good < 64);
        distinct += good != last;
        last = good;
        failed++;
        if (i % 2)
            continue;
        /* What was written ends before the bad sector. */
        assert_int_equal(disk->data[(100 + good) * BLK_SECTOR - 1], good ? 0xab : 0);
    }
    assert_int_equal(failed, 20);
    assert_true(distinct > 10);
}

static void only_what_is_meant_fails(void **state)
{
    struct disk *disk = *state;
    uint32_t good;

    attach(disk, &(struct fault_options){
                     .ops = FAULT_WRITE, .first = 50, .last = 59, .every = 1, .error = -ENOSPC});
    assert_int_equal(transfer(disk, BLK_READ, 50, 10, &good), 0);
    assert_int_equal(transfer(disk, BLK_WRITE, 40, 10, &good), 0);
    assert_int_equal(transfer(disk, BLK_WRITE, 60, 10, &good), 0);
    assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, &good), 0);
    assert_int_equal(transfer(disk, BLK_WRITE, 40, 50, &good), -ENOSPC);
    assert_int_equal(good, 10);
    assert_int_equal(transfer(disk, BLK_WRITE, 59, 5, &good), -ENOSPC);
    assert_int_equal(good, 0);
    for (unsigned i = 50; i < 60; i++)
        assert_int_equal(disk->data[i * BLK_SECTOR], 0);
    detach(disk);

    attach(disk, &(struct fault_options){
                     .ops = FAULT_FLUSH, .last = UINT64_MAX, .every = 2, .error = -EIO});
    for (unsigned i = 1; i < 10; i++) {
        assert_int_equal(transfer(disk, BLK_WRITE, 0, 9, &good), 0);
        assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, &good), i % 2 ? 0 : -EIO);
    }
}

static void faults_end_after_their_count(void **state)
{
    struct disk *disk = *state;
    uint32_t good;

    attach(disk,
           &(struct fault_options){
               .ops = FAULT_WRITE, .last = UINT64_MAX, .every = 1, .count = 2, .error = -ENOSPC});
    assert_int_equal(transfer(disk, BLK_WRITE, 5, 200, &good), -ENOSPC);
    assert_int_equal(good, 0);
    assert_int_equal(transfer(disk, BLK_WRITE, 5, 1, &good), -ENOSPC);
    assert_int_equal(transfer(disk, BLK_WRITE, 5, 200, &good), 0);
    assert_int_equal(disk->data[5 * BLK_SECTOR], 0xab);
}

static void delayed_requests_take_their_time_and_others_not(void **state)
{
    struct disk *disk = *state;
    const struct loop *loop = fake_loop(disk->fake);
    uint64_t begin = loop->ops->now_ns(loop->ctx);
    bool both = false;
    struct blk_req *req;
    uint32_t good;

    attach(disk, &(struct fault_options){.ops = FAULT_WRITE, .last = UINT64_MAX, .delay_ms = 30});
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(blk_get(disk->blk, BLK_WRITE, i, 512, 0, &req), 0);
        blk_submit(req);
    }
    assert_int_equal(transfer(disk, BLK_READ, 0, 8, &good), 0);
    fake_loop_until(disk->fake, &both, 100);
    assert_int_equal(disk->dones, 3);
    assert_true(loop->ops->now_ns(loop->ctx) - begin >= UINT64_C(30000000));
    assert_int_equal(blk_counters(disk->blk)->errors, 0);

    assert_int_equal(blk_get(disk->blk, BLK_WRITE, 0, 512, 0, &req), 0);
    blk_submit(req);
    detach(disk); /* waits for it */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_nth_request_has_a_bad_sector),
        T(only_what_is_meant_fails),
        T(faults_end_after_their_count),
        T(delayed_requests_take_their_time_and_others_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
