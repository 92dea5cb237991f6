/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Discards of files and block devices. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/raw_rig.h"

static uint64_t allocated(const struct raw_rig *disk)
{
    struct stat st;
    assert_int_equal(stat(disk->file_path, &st), 0);
    assert_int_equal(st.st_size, RAW_RIG_SECTORS * BLK_SECTOR);
    return (uint64_t)st.st_blocks * 512;
}

static void expect_zeroes(struct raw_rig *disk, uint64_t sector, uint32_t bytes)
{
    static uint8_t got[BLK_MAX_BYTES];
    static const uint8_t zeroes[BLK_MAX_BYTES];
    assert_int_equal(raw_rig_transfer(disk, BLK_READ, sector, bytes, NULL), 0);
    blk_copy_out(disk->req, 0, got, bytes);
    blk_put(disk->req);
    assert_memory_equal(got, zeroes, bytes);
}

static void discard_punches_holes_of_whole_blocks(void **state)
{
    struct raw_rig *disk = *state;
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .discard = true});
    const struct blk_info *info = blk_info(disk->blk);
    if (!info->discard)
        skip(); /* a file system without holes */
    uint32_t block = info->discard_granularity / BLK_SECTOR;
    assert_true(block && RAW_RIG_SECTORS % block == 0 && block <= 128);
    assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
    uint64_t before = allocated(disk);

    assert_int_equal(raw_rig_transfer(disk, BLK_DISCARD, 512, 512 * BLK_SECTOR, NULL), 0);
    blk_put(disk->req);
    assert_true(allocated(disk) <= before - 256 * BLK_SECTOR);
    expect_zeroes(disk, 512, BLK_MAX_BYTES);
    expect_zeroes(disk, 1023, 512);
    assert_pattern(disk, 511, 512);
    assert_pattern(disk, 1024, 512);

    /* A part of a block stays. */
    if (block > 1) {
        assert_int_equal(raw_rig_transfer(disk, BLK_DISCARD, block - 1, block * BLK_SECTOR, NULL),
                         0);
        blk_put(disk->req);
        assert_pattern(disk, 0, block * BLK_SECTOR);
        assert_pattern(disk, block, block * BLK_SECTOR);
    }
    assert_int_equal(blk_counters(disk->blk)->discards, block > 1 ? 2 : 1);
    assert_int_equal(blk_counters(disk->blk)->errors, 0);
}

static void discard_is_off_unless_asked_for_and_never_read_only(void **state)
{
    struct raw_rig *disk = *state;
    struct blk_req *req;
    raw_rig_attach(disk, &(struct raw_options){.direct = true});
    assert_false(blk_info(disk->blk)->discard);
    assert_int_equal(blk_info(disk->blk)->discard_granularity, 0);
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EOPNOTSUPP);
    raw_rig_detach(disk);
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .discard = true, .read_only = true});
    assert_false(blk_info(disk->blk)->discard);
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EROFS);
}

/* Zero or the new bytes, never the old ones: what was submitted after a discard came after it. */
static void what_follows_a_discard_is_not_overtaken_by_it(void **state)
{
    struct raw_rig *disk = *state;
    static uint8_t data[4096];
    struct blk_req *req;
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .discard = true});
    if (!blk_info(disk->blk)->discard)
        skip();
    memset(data, 0x5a, sizeof(data));
    disk->expected = 24;
    disk->dones = 0;
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 1024 * BLK_SECTOR, 0, &req), 0);
        blk_submit(req);
        for (unsigned j = 0; j < 2; j++) {
            assert_int_equal(blk_get(disk->blk, BLK_WRITE, 64 * i + 8 * j, sizeof(data), 0, &req),
                             0);
            blk_copy_in(req, 0, data, sizeof(data));
            blk_submit(req);
        }
    }
    disk->done = false;
    assert_true(fake_loop_until(disk->fake, &disk->done, 5000));
    assert_int_equal(blk_counters(disk->blk)->errors, 0);
    /* Only the last two have no discard behind them. */
    uint8_t got[8192];
    assert_int_equal(raw_rig_transfer(disk, BLK_READ, 64 * 7, sizeof(got), NULL), 0);
    blk_copy_out(disk->req, 0, got, sizeof(got));
    blk_put(disk->req);
    assert_memory_equal(got, data, sizeof(data));
    assert_memory_equal(got + sizeof(data), data, sizeof(data));
    expect_zeroes(disk, 0, 64 * 7 * BLK_SECTOR / 2);
}

static void discards_come_back_before_the_image_is_closed(void **state)
{
    struct raw_rig *disk = *state;
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .discard = true});
    if (!blk_info(disk->blk)->discard)
        skip();
    for (unsigned i = 0; i < 8; i++) {
        struct blk_req *req;
        assert_int_equal(
            blk_get(disk->blk, i % 2 ? BLK_FLUSH : BLK_DISCARD, 0, i % 2 ? 0 : 8 * 4096, 0, &req),
            0);
        blk_submit(req);
        if (i == 2)
            blk_cancel(req);
    }
    raw_rig_detach(disk);
}

static void block_devices_are_discarded(void **state)
{
    struct raw_rig *disk = *state;
    char path[32];
    int loop = raw_rig_make_loop(disk, 512, 0, path, sizeof(path));
    if (loop < 0)
        skip();
    strcpy(disk->path, path);
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .discard = true});
    close(loop);
    if (!blk_info(disk->blk)->discard)
        skip(); /* the file below has no holes */
    assert_true(blk_info(disk->blk)->discard_granularity >= 512);
    assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
    uint64_t before = allocated(disk);
    assert_int_equal(raw_rig_transfer(disk, BLK_DISCARD, 0, 1024 * BLK_SECTOR, NULL), 0);
    blk_put(disk->req);
    assert_true(allocated(disk) < before);
    expect_zeroes(disk, 8, 4096);
    assert_pattern(disk, 1024, 4096);
    raw_rig_detach(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT(discard_punches_holes_of_whole_blocks),
        TT(discard_is_off_unless_asked_for_and_never_read_only),
        TT(what_follows_a_discard_is_not_overtaken_by_it),
        TT(discards_come_back_before_the_image_is_closed),
        T(block_devices_are_discarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
