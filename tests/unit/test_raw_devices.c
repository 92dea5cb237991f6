/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raw on block devices: loop devices, which only root can make. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/raw_rig.h"

static void block_devices_are_served_and_claimed(void **state)
{
    struct raw_rig *disk = *state;
    char path[32];
    int loop = raw_rig_make_loop(disk, 512, 0, path, sizeof(path));
    if (loop < 0)
        skip();
    const struct raw_options writer = {.direct = true}, shared = {.shared = true};
    strcpy(disk->path, path);
    raw_rig_attach(disk, &writer);
    close(loop);
    assert_true(disk->file.block_device);
    assert_true(disk->file.direct);
    assert_int_equal(blk_info(disk->blk)->sectors, RAW_RIG_SECTORS);
    assert_reads_and_writes(disk);

    struct raw_image again;
    assert_int_equal(raw_rig_probe(disk, &writer, &again), -EBUSY);
    assert_non_null(strstr(disk->why, "in use"));
    assert_int_equal(raw_rig_probe(disk, &(struct raw_options){.read_only = true}, &again), -EBUSY);
    assert_int_equal(raw_rig_probe(disk, &shared, &again), 0);
    raw_discard(&again);
    raw_rig_detach(disk);
}

static void blocks_larger_than_a_sector_fall_back_to_buffered(void **state)
{
    struct raw_rig *disk = *state;
    char path[32];
    int loop = raw_rig_make_loop(disk, 4096, 0, path, sizeof(path));
    if (loop < 0)
        skip();
    strcpy(disk->path, path);
    raw_rig_attach(disk, &(struct raw_options){.direct = true});
    close(loop);
    assert_false(disk->file.direct);
    assert_non_null(strstr(disk->file.why, "4096"));
    assert_true(blk_info(disk->blk)->physical_block >= 4096);
    assert_pattern(disk, 1, 512 * 3);
    uint8_t data[512];
    memset(data, 0x11, sizeof(data));
    assert_int_equal(raw_rig_transfer(disk, BLK_WRITE, 5, 512, data), 0);
    blk_put(disk->req);
    assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
    assert_pattern(disk, 6, 512);
    assert_pattern(disk, 4, 512);
    raw_rig_detach(disk);
}

static void read_only_devices_are_not_opened_for_writing(void **state)
{
    struct raw_rig *disk = *state;
    char path[32];
    int loop = raw_rig_make_loop(disk, 512, LO_FLAGS_READ_ONLY, path, sizeof(path));
    if (loop < 0)
        skip();
    strcpy(disk->path, path);
    struct raw_image image;
    int error = raw_rig_probe(disk, &(struct raw_options){.direct = true}, &image);
    assert_true(error == -EROFS || error == -EACCES || error == -EPERM);
    assert_non_null(strstr(disk->why, "read-only"));
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .read_only = true});
    assert_pattern(disk, 1, 4096);
    raw_rig_detach(disk);
    close(loop);
}

static void a_device_that_is_mounted_or_claimed_is_refused(void **state)
{
    struct raw_rig *disk = *state;
    char path[32];
    int loop = raw_rig_make_loop(disk, 512, 0, path, sizeof(path));
    if (loop < 0)
        skip();
    int claim = open(path, O_RDONLY | O_EXCL | O_CLOEXEC); /* as mount(2) does */
    assert_true(claim >= 0);
    struct raw_image image;
    assert_int_equal(raw_probe(path, &(struct raw_options){.direct = true}, &image, disk->why,
                               sizeof(disk->why)),
                     -EBUSY);
    assert_non_null(strstr(disk->why, "mounted"));
    close(claim);
    close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(block_devices_are_served_and_claimed),
        T(blocks_larger_than_a_sector_fall_back_to_buffered),
        T(read_only_devices_are_not_opened_for_writing),
        T(a_device_that_is_mounted_or_claimed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
