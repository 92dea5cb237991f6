// SPDX-License-Identifier: GPL-2.0-or-later
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

#define SECTORS 64u

struct disk {
    struct fake_loop *fake;
    struct pool *pool;
    struct blk_image *image;
    struct blk *blk;
    unsigned dones;
    int errors[8];
    bool resubmit;
    uint8_t data[SECTORS * BLK_SECTOR];
};

static void submit(struct disk *disk, enum blk_op op, uint64_t sector, uint32_t bytes)
{
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, op, sector, bytes, 0, &req), 0);
    if (op == BLK_WRITE) {
        unsigned n;
        const struct iovec *iov = blk_iov(req, &n);
        for (unsigned i = 0; i < n; i++)
            memset(iov[i].iov_base, 0xcc, iov[i].iov_len);
    }
    blk_submit(req);
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct disk *disk = owner;
    disk->errors[disk->dones++ % 8] = error;
    blk_put(req);
    if (disk->resubmit)
        submit(disk, BLK_FLUSH, 0, 0);
}

static const struct blk_client_ops client_ops = {.done = on_done};

static int setup(void **state)
{
    static struct disk disk;
    memset(&disk, 0, sizeof(disk));
    disk.fake = fake_loop_create();
    assert_int_equal(pool_create(64, &disk.pool), 0);
    assert_int_equal(
        mem_open(disk.data, SECTORS, false, fake_loop(disk.fake), disk.pool, &disk.image), 0);
    assert_int_equal(blk_open(disk.image, 8, &disk.blk), 0);
    blk_bind(disk.blk, &client_ops, &disk);
    *state = &disk;
    return 0;
}

static int teardown(void **state)
{
    struct disk *disk = *state;
    blk_close(disk->blk, NULL, NULL);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake);
    return 0;
}

static void it_says_what_it_is(void **state)
{
    struct disk *disk = *state;
    const struct blk_info *info = blk_info(disk->blk);
    assert_int_equal(info->sectors, SECTORS);
    assert_int_equal(info->physical_block, 512);
    assert_false(info->read_only);
    assert_true(info->write_cache);
}

static void faults_hit_exactly_their_sectors(void **state)
{
    struct disk *disk = *state;
    struct mem_faults faults = {.error = -ENOSPC, .first = 10, .last = 12};
    mem_set_faults(disk->image, &faults);
    submit(disk, BLK_WRITE, 8, 1024); /* 8, 9 */
    submit(disk, BLK_WRITE, 9, 1024); /* 9, 10 */
    submit(disk, BLK_WRITE, 12, 512);
    submit(disk, BLK_WRITE, 13, 512);
    submit(disk, BLK_WRITE, 0, SECTORS * BLK_SECTOR);
    submit(disk, BLK_FLUSH, 0, 0);
    fake_loop_settle(disk->fake, 0, 99);
    /* In the order of completion: the longer the search for the bad sector, the later. */
    const int expected[] = {0, -ENOSPC, 0, 0, -ENOSPC, -ENOSPC};
    assert_int_equal(disk->dones, 6);
    assert_memory_equal(disk->errors, expected, sizeof(expected));
    assert_int_equal(disk->data[8 * 512], 0xcc);
    assert_int_equal(disk->data[9 * 512], 0xcc);
    assert_int_equal(disk->data[10 * 512], 0);
}

static void faults_on_the_whole_disk_hit_flushes(void **state)
{
    struct disk *disk = *state;
    struct mem_faults faults = {.error = -EIO, .first = 0, .last = UINT64_MAX};
    mem_set_faults(disk->image, &faults);
    submit(disk, BLK_FLUSH, 0, 0);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->errors[0], -EIO);
}

static void held_writes_have_not_reached_the_disk(void **state)
{
    struct disk *disk = *state;
    struct mem_faults faults = {.hold = true};
    mem_set_faults(disk->image, &faults);
    submit(disk, BLK_WRITE, 0, 512);
    fake_loop_settle(disk->fake, 0, 9);
    assert_int_equal(disk->dones, 0);
    assert_int_equal(disk->data[0], 0);
    mem_release(disk->image);
    assert_int_equal(disk->dones, 1);
    assert_int_equal(disk->data[0], 0xcc);
}

static void holding_begun_after_submission_holds_too_and_ends_when_cleared(void **state)
{
    struct disk *disk = *state;
    submit(disk, BLK_WRITE, 0, 512);
    struct mem_faults faults = {.hold = true};
    mem_set_faults(disk->image, &faults);
    fake_loop_settle(disk->fake, 0, 9);
    assert_int_equal(disk->dones, 0);
    faults.hold = false;
    mem_set_faults(disk->image, &faults);
    assert_int_equal(disk->dones, 0);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->dones, 1);
}

static void what_done_submits_completes_in_a_later_turn(void **state)
{
    struct disk *disk = *state;
    disk->resubmit = true;
    submit(disk, BLK_FLUSH, 0, 0);
    for (unsigned i = 1; i <= 5; i++) {
        fake_loop_turn(disk->fake, 0);
        assert_int_equal(disk->dones, i);
    }
    disk->resubmit = false;
    fake_loop_turn(disk->fake, 0);
}

static void what_is_discarded_is_zeroed_when_it_completes(void **state)
{
    struct disk *disk = *state;
    struct mem_faults faults = {.hold = true};
    memset(disk->data, 0x77, sizeof(disk->data));
    assert_true(blk_info(disk->blk)->discard);
    mem_set_faults(disk->image, &faults);
    submit(disk, BLK_DISCARD, 3, 2 * 512);
    fake_loop_settle(disk->fake, 0, 9);
    assert_int_equal(disk->data[3 * 512], 0x77);
    mem_release(disk->image);
    assert_int_equal(disk->dones, 1);
    assert_int_equal(disk->data[3 * 512 - 1], 0x77);
    assert_int_equal(disk->data[3 * 512], 0);
    assert_int_equal(disk->data[5 * 512 - 1], 0);
    assert_int_equal(disk->data[5 * 512], 0x77);
    faults = (struct mem_faults){.error = -EIO, .first = 3, .last = 3};
    mem_set_faults(disk->image, &faults);
    submit(disk, BLK_DISCARD, 2, 4 * 512);
    fake_loop_turn(disk->fake, 0);
    assert_int_equal(disk->errors[1], -EIO);
    assert_int_equal(disk->data[5 * 512], 0x77);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_says_what_it_is),
        T(faults_hit_exactly_their_sectors),
        T(faults_on_the_whole_disk_hit_flushes),
        T(held_writes_have_not_reached_the_disk),
        T(holding_begun_after_submission_holds_too_and_ends_when_cleared),
        T(what_done_submits_completes_in_a_later_turn),
        T(what_is_discarded_is_zeroed_when_it_completes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
