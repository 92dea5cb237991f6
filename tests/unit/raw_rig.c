/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/raw_rig.h"

uint8_t raw_rig_pattern(uint64_t i)
{
    return (uint8_t)(i * 31 + i / 512 * 7 + i / 65536);
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct raw_rig *disk = owner;
    disk->error = error;
    disk->req = req;
    disk->done = ++disk->dones >= disk->expected;
    if (disk->expected > 1)
        blk_put(req);
}

const struct blk_client_ops raw_rig_client_ops = {.done = on_done};

void raw_rig_make_file(struct raw_rig *disk, size_t bytes)
{
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = raw_rig_pattern(i);
    int fd = open(disk->file_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
    free(data);
}

static int setup_in(void **state, const char *dir)
{
    struct raw_rig *disk = calloc(1, sizeof(*disk));
    snprintf(disk->dir, sizeof(disk->dir), "%s/test_raw.XXXXXX", dir);
    if (!mkdtemp(disk->dir))
        return -1;
    snprintf(disk->file_path, sizeof(disk->file_path), "%s/image", disk->dir);
    strcpy(disk->path, disk->file_path);
    raw_rig_make_file(disk, RAW_RIG_SECTORS * BLK_SECTOR);
    disk->fake = fake_loop_create();
    assert_int_equal(pool_create(RAW_RIG_PAGES, &disk->pool), 0);
    assert_int_equal(aio_create(fake_loop(disk->fake), 16, &disk->aio), 0);
    *state = disk;
    return 0;
}

int raw_rig_setup(void **state)
{
    return setup_in(state, ".");
}

int raw_rig_setup_tmpfs(void **state)
{
    return setup_in(state, access("/dev/shm", W_OK) ? "." : "/dev/shm");
}

void raw_rig_on_closed(void *arg)
{
    struct raw_rig *disk = arg;
    disk->closed = true;
    disk->blk = NULL;
}

void raw_rig_detach(struct raw_rig *disk)
{
    disk->closed = false;
    blk_close(disk->blk, raw_rig_on_closed, disk);
    assert_true(fake_loop_until(disk->fake, &disk->closed, 1000));
}

int raw_rig_teardown(void **state)
{
    struct raw_rig *disk = *state;
    if (disk->blk)
        raw_rig_detach(disk);
    aio_destroy(disk->aio);
    assert_int_equal(pool_stats(disk->pool)->free, RAW_RIG_PAGES);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake);
    unlink(disk->file_path);
    rmdir(disk->dir);
    free(disk);
    return 0;
}

int raw_rig_probe(struct raw_rig *disk, const struct raw_options *options,
                  struct raw_image *ret_image)
{
    return raw_probe(disk->path, options, ret_image, disk->why, sizeof(disk->why));
}

void raw_rig_attach(struct raw_rig *disk, const struct raw_options *options)
{
    assert_int_equal(raw_rig_probe(disk, options, &disk->file), 0);
    struct blk_image *image;
    assert_int_equal(raw_open(&disk->file, disk->aio, fake_loop(disk->fake), disk->pool, &image),
                     0);
    assert_int_equal(blk_open(image, 32, &disk->blk), 0);
    blk_bind(disk->blk, &raw_rig_client_ops, disk);
}

int raw_rig_transfer(struct raw_rig *disk, enum blk_op op, uint64_t sector, uint32_t bytes,
                     const void *data)
{
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, op, sector, bytes, 0, &req), 0);
    if (data)
        blk_copy_in(req, 0, data, bytes);
    disk->done = false;
    disk->dones = 0;
    disk->expected = 1;
    blk_submit(req);
    assert_false(disk->done);
    assert_true(fake_loop_until(disk->fake, &disk->done, 5000));
    return disk->error;
}

void assert_pattern(struct raw_rig *disk, uint64_t sector, uint32_t bytes)
{
    static uint8_t got[BLK_MAX_BYTES], expected[BLK_MAX_BYTES];
    assert_int_equal(raw_rig_transfer(disk, BLK_READ, sector, bytes, NULL), 0);
    blk_copy_out(disk->req, 0, got, bytes);
    blk_put(disk->req);
    for (uint32_t i = 0; i < bytes; i++)
        expected[i] = raw_rig_pattern(sector * BLK_SECTOR + i);
    assert_memory_equal(got, expected, bytes);
}

void assert_reads_and_writes(struct raw_rig *disk)
{
    assert_pattern(disk, 0, 512);
    assert_pattern(disk, 1, BLK_MAX_BYTES);
    assert_pattern(disk, 7, 4096 + 512);
    assert_pattern(disk, RAW_RIG_SECTORS - 1, 512);

    static uint8_t data[BLK_MAX_BYTES];
    memset(data, 0xd7, sizeof(data));
    assert_int_equal(raw_rig_transfer(disk, BLK_WRITE, 33, 9 * 512, data), 0);
    blk_put(disk->req);
    assert_int_equal(raw_rig_transfer(disk, BLK_WRITE, 600, sizeof(data), data), 0);
    blk_put(disk->req);
    assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);

    assert_pattern(disk, 0, 33 * 512);
    assert_pattern(disk, 42, 512);
    uint8_t got[9 * 512];
    assert_int_equal(raw_rig_transfer(disk, BLK_READ, 33, sizeof(got), NULL), 0);
    blk_copy_out(disk->req, 0, got, sizeof(got));
    assert_memory_equal(got, data, sizeof(got));
    blk_put(disk->req);

    /* And by the file itself. */
    int fd = open(disk->path, O_RDONLY);
    assert_int_equal(pread(fd, got, 512, 33 * 512), 512);
    assert_memory_equal(got, data, 512);
    assert_int_equal(pread(fd, got, 512, 32 * 512), 512);
    assert_int_equal(got[511], raw_rig_pattern(33 * 512 - 1));
    close(fd);
}

int raw_rig_make_loop(struct raw_rig *disk, unsigned block, unsigned flags, char *ret_path,
                      size_t size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int file = open(disk->file_path, O_RDWR | O_CLOEXEC);
    int loop = -1;
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    if (number >= 0) {
        snprintf(ret_path, size, "/dev/loop%d", number);
        loop = open(ret_path, O_RDWR | O_CLOEXEC);
        struct loop_config config = {
            .fd = (uint32_t)file,
            .block_size = block,
            .info.lo_flags = LO_FLAGS_AUTOCLEAR | flags,
        };
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config)) {
            close(loop);
            loop = -1;
        }
    }
    if (control >= 0)
        close(control);
    close(file);
    return loop;
}
