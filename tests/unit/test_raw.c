// SPDX-License-Identifier: GPL-2.0-or-later
/* raw on the build's filesystem, on tmpfs and, as root, on a loop device and a full filesystem. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/aio.h"
#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "tests/unit/fake_loop.h"

#define SECTORS 2048u
#define PAGES   128u

struct disk {
    struct fake_loop *fake;
    struct pool *pool;
    struct aio *aio;
    struct raw_image file;
    struct blk *blk;
    char dir[64], file_path[96];
    char path[96]; /* what is probed: the file, or a device on it */
    char why[256];
    bool done, closed;
    int error;
    unsigned dones, expected;
    struct blk_req *req;
};

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 31 + i / 512 * 7 + i / 65536);
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct disk *disk = owner;
    disk->error = error;
    disk->req = req;
    disk->done = ++disk->dones >= disk->expected;
    if (disk->expected > 1)
        blk_put(req);
}

static const struct blk_client_ops client_ops = {.done = on_done};

static void make_file(struct disk *disk, size_t bytes)
{
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(i);
    int fd = open(disk->file_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
    free(data);
}

static int setup_in(void **state, const char *dir)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    snprintf(disk->dir, sizeof(disk->dir), "%s/test_raw.XXXXXX", dir);
    if (!mkdtemp(disk->dir))
        return -1;
    snprintf(disk->file_path, sizeof(disk->file_path), "%s/image", disk->dir);
    strcpy(disk->path, disk->file_path);
    make_file(disk, SECTORS * BLK_SECTOR);
    disk->fake = fake_loop_create();
    assert_int_equal(pool_create(PAGES, &disk->pool), 0);
    assert_int_equal(aio_create(fake_loop(disk->fake), 16, &disk->aio), 0);
    *state = disk;
    return 0;
}

static int setup(void **state)
{
    return setup_in(state, ".");
}

static int setup_tmpfs(void **state)
{
    return setup_in(state, access("/dev/shm", W_OK) ? "." : "/dev/shm");
}

static void on_closed(void *arg)
{
    struct disk *disk = arg;
    disk->closed = true;
    disk->blk = NULL;
}

static void detach(struct disk *disk)
{
    disk->closed = false;
    blk_close(disk->blk, on_closed, disk);
    assert_true(fake_loop_until(disk->fake, &disk->closed, 1000));
}

static int teardown(void **state)
{
    struct disk *disk = *state;
    if (disk->blk)
        detach(disk);
    aio_destroy(disk->aio);
    assert_int_equal(pool_stats(disk->pool)->free, PAGES);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake);
    unlink(disk->file_path);
    rmdir(disk->dir);
    free(disk);
    return 0;
}

static int probe(struct disk *disk, const struct raw_options *options, struct raw_image *ret_image)
{
    return raw_probe(disk->path, options, ret_image, disk->why, sizeof(disk->why));
}

static void attach(struct disk *disk, const struct raw_options *options)
{
    assert_int_equal(probe(disk, options, &disk->file), 0);
    struct blk_image *image;
    assert_int_equal(raw_open(&disk->file, disk->aio, fake_loop(disk->fake), disk->pool, &image),
                     0);
    assert_int_equal(blk_open(image, 32, &disk->blk), 0);
    blk_bind(disk->blk, &client_ops, disk);
}

/* Submits, waits; disk->req is to be put. */
static int transfer(struct disk *disk, enum blk_op op, uint64_t sector, uint32_t bytes,
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

static void expect_pattern(struct disk *disk, uint64_t sector, uint32_t bytes)
{
    static uint8_t got[BLK_MAX_BYTES], expected[BLK_MAX_BYTES];
    assert_int_equal(transfer(disk, BLK_READ, sector, bytes, NULL), 0);
    blk_copy_out(disk->req, 0, got, bytes);
    blk_put(disk->req);
    for (uint32_t i = 0; i < bytes; i++)
        expected[i] = pattern(sector * BLK_SECTOR + i);
    assert_memory_equal(got, expected, bytes);
}

static void reads_and_writes(struct disk *disk)
{
    expect_pattern(disk, 0, 512);
    expect_pattern(disk, 1, BLK_MAX_BYTES);
    expect_pattern(disk, 7, 4096 + 512);
    expect_pattern(disk, SECTORS - 1, 512);

    static uint8_t data[BLK_MAX_BYTES];
    memset(data, 0xd7, sizeof(data));
    assert_int_equal(transfer(disk, BLK_WRITE, 33, 9 * 512, data), 0);
    blk_put(disk->req);
    assert_int_equal(transfer(disk, BLK_WRITE, 600, sizeof(data), data), 0);
    blk_put(disk->req);
    assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);

    expect_pattern(disk, 0, 33 * 512);
    expect_pattern(disk, 42, 512);
    uint8_t got[9 * 512];
    assert_int_equal(transfer(disk, BLK_READ, 33, sizeof(got), NULL), 0);
    blk_copy_out(disk->req, 0, got, sizeof(got));
    assert_memory_equal(got, data, sizeof(got));
    blk_put(disk->req);

    /* And by the file itself. */
    int fd = open(disk->path, O_RDONLY);
    assert_int_equal(pread(fd, got, 512, 33 * 512), 512);
    assert_memory_equal(got, data, 512);
    assert_int_equal(pread(fd, got, 512, 32 * 512), 512);
    assert_int_equal(got[511], pattern(33 * 512 - 1));
    close(fd);
}

static void files_are_read_and_written_direct_where_possible(void **state)
{
    struct disk *disk = *state;
    attach(disk, &(struct raw_options){.direct = true});
    assert_int_equal(disk->file.bytes, SECTORS * BLK_SECTOR);
    assert_int_equal(blk_info(disk->blk)->sectors, SECTORS);
    assert_true(blk_info(disk->blk)->write_cache);
    print_message("direct=%d align=%u why=%s\n", disk->file.direct, disk->file.align,
                  disk->file.why);
    assert_int_equal(disk->file.direct, disk->file.why[0] == '\0'); /* a fallback is announced */
    int flags = fcntl(disk->file.fd, F_GETFL);
    assert_int_equal(!!(flags & O_DIRECT), disk->file.direct);
    assert_false(flags & O_NONBLOCK);
    reads_and_writes(disk);
}

static void files_are_read_and_written_buffered_when_asked(void **state)
{
    struct disk *disk = *state;
    attach(disk, &(struct raw_options){.direct = false});
    assert_false(disk->file.direct);
    assert_string_not_equal(disk->file.why, "");
    reads_and_writes(disk);
    /* Not one by io_submit(2), which would do it on the spot. */
    assert_int_equal(aio_stats(disk->aio)->requests, 0);
}

static void write_through_has_no_cache_to_flush(void **state)
{
    struct disk *disk = *state;
    attach(disk, &(struct raw_options){.direct = true, .write_through = true});
    assert_false(blk_info(disk->blk)->write_cache);
    reads_and_writes(disk);
    detach(disk);
    make_file(disk, SECTORS * BLK_SECTOR);
    attach(disk, &(struct raw_options){.write_through = true});
    reads_and_writes(disk);
}

static void many_at_once_complete_each(void **state)
{
    struct disk *disk = *state;
    attach(disk, &(struct raw_options){.direct = true});
    disk->expected = 32;
    for (unsigned i = 0; i < 32; i++) {
        struct blk_req *req;
        assert_int_equal(blk_get(disk->blk, i % 8 ? BLK_READ : BLK_FLUSH, i % 8 ? i * 8 : 0,
                                 i % 8 ? 4096 : 0, i, &req),
                         0);
        blk_submit(req);
    }
    assert_true(fake_loop_until(disk->fake, &disk->done, 5000));
    assert_int_equal(blk_counters(disk->blk)->errors, 0);
    assert_int_equal(blk_counters(disk->blk)->reads, 28);
    assert_int_equal(blk_counters(disk->blk)->flushes, 4);
    assert_true(aio_stats(disk->aio)->submits < 32);
}

static void read_only_images_are_not_written(void **state)
{
    struct disk *disk = *state;
    chmod(disk->path, 0400);
    attach(disk, &(struct raw_options){.direct = true, .read_only = true});
    assert_true(blk_info(disk->blk)->read_only);
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, 0, 512, 0, &req), -EROFS);
    expect_pattern(disk, 9, 4096);
    assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
}

static void the_same_image_twice_is_refused_unless_shared(void **state)
{
    struct disk *disk = *state;
    const struct raw_options writer = {.direct = true}, reader = {.read_only = true};
    const struct raw_options shared = {.shared = true};
    struct raw_image a, b;
    assert_int_equal(probe(disk, &writer, &a), 0);
    assert_int_equal(probe(disk, &writer, &b), -EBUSY);
    assert_non_null(strstr(disk->why, disk->path));
    assert_non_null(strstr(disk->why, "in use"));
    assert_int_equal(probe(disk, &reader, &b), -EBUSY);
    assert_int_equal(probe(disk, &shared, &b), 0);
    raw_discard(&b);
    raw_discard(&b);                                    /* twice is fine */
    assert_int_equal(probe(disk, &writer, &b), -EBUSY); /* a's lock survived b's close */
    raw_discard(&a);

    assert_int_equal(probe(disk, &reader, &a), 0);
    assert_int_equal(probe(disk, &reader, &b), 0);
    raw_discard(&b);
    assert_int_equal(probe(disk, &writer, &b), -EBUSY);
    raw_discard(&a);
    assert_int_equal(probe(disk, &writer, &b), 0);
    raw_discard(&b);
}

static void the_lock_is_kept_until_orphans_have_come_back(void **state)
{
    struct disk *disk = *state;
    const struct raw_options writer = {.direct = true};
    attach(disk, &writer);
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, BLK_MAX_BYTES, 0, &req), 0);
    blk_submit(req);
    disk->closed = false;
    blk_close(disk->blk, on_closed, disk);
    assert_false(disk->closed);
    struct raw_image again;
    assert_int_equal(probe(disk, &writer, &again), -EBUSY);
    assert_true(fake_loop_until(disk->fake, &disk->closed, 5000));
    assert_int_equal(disk->dones, 0);
    assert_int_equal(probe(disk, &writer, &again), 0);
    raw_discard(&again);
}

static void a_file_that_shrank_gives_an_error_beyond_its_end(void **state)
{
    struct disk *disk = *state;
    for (int direct = 0; direct < 2; direct++) {
        make_file(disk, SECTORS * BLK_SECTOR);
        attach(disk, &(struct raw_options){.direct = direct});
        assert_int_equal(truncate(disk->path, 100 * BLK_SECTOR + 17), 0);
        assert_int_equal(transfer(disk, BLK_READ, 200, 4096, NULL), -EIO);
        blk_put(disk->req);
        assert_int_equal(transfer(disk, BLK_READ, 91, 8 * 4096, NULL), -EIO); /* straddles */
        assert_int_equal(blk_req_good(disk->req), 9 * BLK_SECTOR);
        unsigned n;
        const struct iovec *iov = blk_iov(disk->req, &n);
        for (unsigned i = 0; i < n; i++) { /* whole pages again */
            assert_int_equal((uintptr_t)iov[i].iov_base % POOL_PAGE, 0);
            assert_int_equal(iov[i].iov_len, POOL_PAGE);
        }
        blk_put(disk->req);
        assert_int_equal(blk_counters(disk->blk)->errors, 2);
        expect_pattern(disk, 90, 10 * BLK_SECTOR);
        detach(disk);
    }
}

static void odd_sizes_are_rounded_down(void **state)
{
    struct disk *disk = *state;
    make_file(disk, 3 * BLK_SECTOR + 200);
    attach(disk, &(struct raw_options){.direct = true});
    assert_int_equal(blk_info(disk->blk)->sectors, 3);
    expect_pattern(disk, 0, 3 * BLK_SECTOR);
}

static void what_is_no_disk_is_refused_with_a_reason(void **state)
{
    struct disk *disk = *state;
    const struct raw_options options = {.direct = true};
    struct raw_image image;
    make_file(disk, 100);
    assert_int_equal(probe(disk, &options, &image), -EINVAL);
    assert_non_null(strstr(disk->why, "empty"));
    unlink(disk->file_path);
    assert_int_equal(probe(disk, &options, &image), -ENOENT);
    assert_non_null(strstr(disk->why, "No such file"));
    mkfifo(disk->file_path, 0600);
    assert_int_equal(probe(disk, &options, &image), -EINVAL); /* and does not hang */
    assert_int_equal(raw_probe(".", &options, &image, disk->why, sizeof(disk->why)), -EINVAL);
    assert_int_equal(raw_probe("/dev/null", &options, &image, NULL, 0), -EINVAL);
}

/* A loop device for disk->path, or -1. */
static int make_loop(struct disk *disk, unsigned block, unsigned flags, char *ret_path, size_t size)
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

static void block_devices_are_served_and_claimed(void **state)
{
    struct disk *disk = *state;
    char path[32];
    int loop = make_loop(disk, 512, 0, path, sizeof(path));
    if (loop < 0)
        skip();
    const struct raw_options writer = {.direct = true}, shared = {.shared = true};
    strcpy(disk->path, path);
    attach(disk, &writer);
    close(loop);
    assert_true(disk->file.block_device);
    assert_true(disk->file.direct);
    assert_int_equal(blk_info(disk->blk)->sectors, SECTORS);
    reads_and_writes(disk);

    struct raw_image again;
    assert_int_equal(probe(disk, &writer, &again), -EBUSY);
    assert_non_null(strstr(disk->why, "in use"));
    assert_int_equal(probe(disk, &(struct raw_options){.read_only = true}, &again), -EBUSY);
    assert_int_equal(probe(disk, &shared, &again), 0);
    raw_discard(&again);
    detach(disk);
}

static void blocks_larger_than_a_sector_fall_back_to_buffered(void **state)
{
    struct disk *disk = *state;
    char path[32];
    int loop = make_loop(disk, 4096, 0, path, sizeof(path));
    if (loop < 0)
        skip();
    strcpy(disk->path, path);
    attach(disk, &(struct raw_options){.direct = true});
    close(loop);
    assert_false(disk->file.direct);
    assert_non_null(strstr(disk->file.why, "4096"));
    assert_true(blk_info(disk->blk)->physical_block >= 4096);
    expect_pattern(disk, 1, 512 * 3);
    uint8_t data[512];
    memset(data, 0x11, sizeof(data));
    assert_int_equal(transfer(disk, BLK_WRITE, 5, 512, data), 0);
    blk_put(disk->req);
    assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
    expect_pattern(disk, 6, 512);
    expect_pattern(disk, 4, 512);
    detach(disk);
}

static void read_only_devices_are_not_opened_for_writing(void **state)
{
    struct disk *disk = *state;
    char path[32];
    int loop = make_loop(disk, 512, LO_FLAGS_READ_ONLY, path, sizeof(path));
    if (loop < 0)
        skip();
    strcpy(disk->path, path);
    struct raw_image image;
    int error = probe(disk, &(struct raw_options){.direct = true}, &image);
    assert_true(error == -EROFS || error == -EACCES || error == -EPERM);
    assert_non_null(strstr(disk->why, "read-only"));
    attach(disk, &(struct raw_options){.direct = true, .read_only = true});
    expect_pattern(disk, 1, 4096);
    detach(disk);
    close(loop);
}

static void a_device_that_is_mounted_or_claimed_is_refused(void **state)
{
    struct disk *disk = *state;
    char path[32];
    int loop = make_loop(disk, 512, 0, path, sizeof(path));
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

/* In a child with its own mounts: a sparse image on a filesystem that has room for half of it. */
static int attach_on_a_small_filesystem(struct disk *disk)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", "/mnt", "tmpfs", 0, "size=64k"))
        return 77;
    strcpy(disk->path, "/mnt/image");
    int fd = open(disk->path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, SECTORS * BLK_SECTOR))
        return 2;
    close(fd);
    disk->fake = fake_loop_create();
    assert_int_equal(pool_create(PAGES, &disk->pool), 0);
    assert_int_equal(aio_create(fake_loop(disk->fake), 16, &disk->aio), 0);
    attach(disk, &(struct raw_options){.direct = false});
    return 0;
}

static void detach_all(struct disk *disk)
{
    detach(disk);
    aio_destroy(disk->aio);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake);
}

static int fill_a_small_filesystem(void)
{
    struct disk disk = {0};
    int error = attach_on_a_small_filesystem(&disk);
    if (error)
        return error;
    static uint8_t data[BLK_MAX_BYTES], back[BLK_MAX_BYTES];
    memset(data, 0x77, sizeof(data));
    if (transfer(&disk, BLK_WRITE, 1, sizeof(data), data) != -ENOSPC)
        return 3;
    if (blk_req_good(disk.req) < 32768 || blk_req_good(disk.req) > 65536)
        return 5; /* what there was room for is there */
    /* The continuation did not lose the request's pages. */
    blk_copy_out(disk.req, 0, back, sizeof(back));
    if (memcmp(back, data, sizeof(data)))
        return 4;
    blk_put(disk.req);
    detach_all(&disk);
    return 0;
}

/* Between the first part of a write, which fills the filesystem, and the second, which is not
 * started before the loop turns. */
static bool make_room(void)
{
    struct statvfs fs = {.f_bavail = 1};
    for (unsigned i = 0; i < 1000 && fs.f_bavail; i++) {
        usleep(5000);
        if (statvfs("/mnt", &fs))
            return false;
    }
    usleep(50000);
    return !fs.f_bavail && mount("none", "/mnt", "tmpfs", MS_REMOUNT, "size=4m") == 0;
}

static int grow_a_small_filesystem(void)
{
    struct disk disk = {0};
    int error = attach_on_a_small_filesystem(&disk);
    if (error)
        return error;
    static uint8_t data[BLK_MAX_BYTES], back[BLK_MAX_BYTES];
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = pattern(i);
    struct blk_req *req;
    assert_int_equal(blk_get(disk.blk, BLK_WRITE, 1, sizeof(data), 0, &req), 0);
    blk_copy_in(req, 0, data, sizeof(data));
    blk_submit(req);
    if (!make_room() || !fake_loop_until(disk.fake, &disk.done, 5000) || disk.error)
        return 3;
    blk_put(disk.req);
    int fd = open(disk.path, O_RDONLY);
    if (pread(fd, back, sizeof(back), BLK_SECTOR) != sizeof(back) ||
        memcmp(back, data, sizeof(data)))
        return 4;
    if (pread(fd, back, 512, BLK_SECTOR + sizeof(data)) != 512 || back[0] || back[511])
        return 5;
    close(fd);
    detach_all(&disk);
    return 0;
}

static void in_child(int (*run)(void))
{
    pid_t child = fork();
    if (child == 0)
        _exit(run());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void a_full_filesystem_says_enospc(void **state)
{
    in_child(fill_a_small_filesystem);
}

static void a_short_write_is_continued_where_it_stopped(void **state)
{
    in_child(grow_a_small_filesystem);
}

/* Discards. */

static uint64_t allocated(const struct disk *disk)
{
    struct stat st;
    assert_int_equal(stat(disk->file_path, &st), 0);
    assert_int_equal(st.st_size, SECTORS * BLK_SECTOR);
    return (uint64_t)st.st_blocks * 512;
}

static void expect_zeroes(struct disk *disk, uint64_t sector, uint32_t bytes)
{
    static uint8_t got[BLK_MAX_BYTES];
    static const uint8_t zeroes[BLK_MAX_BYTES];
    assert_int_equal(transfer(disk, BLK_READ, sector, bytes, NULL), 0);
    blk_copy_out(disk->req, 0, got, bytes);
    blk_put(disk->req);
    assert_memory_equal(got, zeroes, bytes);
}

static void discard_punches_holes_of_whole_blocks(void **state)
{
    struct disk *disk = *state;
    attach(disk, &(struct raw_options){.direct = true, .discard = true});
    const struct blk_info *info = blk_info(disk->blk);
    if (!info->discard)
        skip(); /* a file system without holes */
    uint32_t block = info->discard_granularity / BLK_SECTOR;
    assert_true(block && SECTORS % block == 0 && block <= 128);
    assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
    uint64_t before = allocated(disk);

    assert_int_equal(transfer(disk, BLK_DISCARD, 512, 512 * BLK_SECTOR, NULL), 0);
    blk_put(disk->req);
    assert_true(allocated(disk) <= before - 256 * BLK_SECTOR);
    expect_zeroes(disk, 512, BLK_MAX_BYTES);
    expect_zeroes(disk, 1023, 512);
    expect_pattern(disk, 511, 512);
    expect_pattern(disk, 1024, 512);

    /* A part of a block stays. */
    if (block > 1) {
        assert_int_equal(transfer(disk, BLK_DISCARD, block - 1, block * BLK_SECTOR, NULL), 0);
        blk_put(disk->req);
        expect_pattern(disk, 0, block * BLK_SECTOR);
        expect_pattern(disk, block, block * BLK_SECTOR);
    }
    assert_int_equal(blk_counters(disk->blk)->discards, block > 1 ? 2 : 1);
    assert_int_equal(blk_counters(disk->blk)->errors, 0);
}

static void discard_is_off_unless_asked_for_and_never_read_only(void **state)
{
    struct disk *disk = *state;
    struct blk_req *req;
    attach(disk, &(struct raw_options){.direct = true});
    assert_false(blk_info(disk->blk)->discard);
    assert_int_equal(blk_info(disk->blk)->discard_granularity, 0);
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EOPNOTSUPP);
    detach(disk);
    attach(disk, &(struct raw_options){.direct = true, .discard = true, .read_only = true});
    assert_false(blk_info(disk->blk)->discard);
    assert_int_equal(blk_get(disk->blk, BLK_DISCARD, 0, 4096, 0, &req), -EROFS);
}

/* Zero or the new bytes, never the old ones: what was submitted after a discard came after it. */
static void what_follows_a_discard_is_not_overtaken_by_it(void **state)
{
    struct disk *disk = *state;
    static uint8_t data[4096];
    struct blk_req *req;
    attach(disk, &(struct raw_options){.direct = true, .discard = true});
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
    assert_int_equal(transfer(disk, BLK_READ, 64 * 7, sizeof(got), NULL), 0);
    blk_copy_out(disk->req, 0, got, sizeof(got));
    blk_put(disk->req);
    assert_memory_equal(got, data, sizeof(data));
    assert_memory_equal(got + sizeof(data), data, sizeof(data));
    expect_zeroes(disk, 0, 64 * 7 * BLK_SECTOR / 2);
}

static void discards_come_back_before_the_image_is_closed(void **state)
{
    struct disk *disk = *state;
    attach(disk, &(struct raw_options){.direct = true, .discard = true});
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
    detach(disk);
}

static void fua(struct disk *disk, uint64_t sector, const uint8_t *data)
{
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, sector, 4096, 0, &req), 0);
    blk_copy_in(req, 0, data, 4096);
    blk_set_fua(req);
    disk->done = false;
    disk->dones = 0;
    disk->expected = 1;
    blk_submit(req);
    assert_true(fake_loop_until(disk->fake, &disk->done, 5000));
    assert_int_equal(disk->error, 0);
    blk_put(disk->req);
}

static void a_fua_write_is_one_request_where_the_kernel_can(void **state)
{
    struct disk *disk = *state;
    uint8_t data[4096];
    memset(data, 0x3c, sizeof(data));
    attach(disk, &(struct raw_options){.direct = true});
    uint64_t requests = aio_stats(disk->aio)->requests;
    fua(disk, 40, data);
    assert_int_equal(aio_stats(disk->aio)->requests, requests + 1);
    assert_int_equal(transfer(disk, BLK_READ, 40, 4096, NULL), 0);
    uint8_t got[4096];
    blk_copy_out(disk->req, 0, got, 4096);
    blk_put(disk->req);
    assert_memory_equal(got, data, 4096);
}

static void a_fua_write_is_followed_by_a_sync_where_it_cannot(void **state)
{
    struct disk *disk = *state;
    uint8_t data[4096];
    memset(data, 0x77, sizeof(data));
    for (unsigned i = 0; i < 2; i++) {
        struct blk_image *image;
        const struct raw_options options = {.direct = true, .write_through = i};
        assert_int_equal(probe(disk, &options, &disk->file), 0);
        assert_true(disk->file.dsync);
        disk->file.dsync = false; /* as after a refusal */
        assert_int_equal(
            raw_open(&disk->file, disk->aio, fake_loop(disk->fake), disk->pool, &image), 0);
        assert_int_equal(blk_open(image, 32, &disk->blk), 0);
        blk_bind(disk->blk, &client_ops, disk);
        uint64_t requests = aio_stats(disk->aio)->requests;
        fua(disk, 40, data);
        assert_int_equal(aio_stats(disk->aio)->requests, requests + 2);
        assert_int_equal(transfer(disk, BLK_WRITE, 48, 4096, data), 0);
        blk_put(disk->req);
        assert_int_equal(aio_stats(disk->aio)->requests, requests + (i ? 4 : 3));
        assert_int_equal(blk_counters(disk->blk)->writes, 2);
        assert_int_equal(blk_counters(disk->blk)->flushes, 0);
        detach(disk);
    }
}

/* The kernel tells of lost pages once, fsync(2); so do we for ever. */
static void a_buffered_flush_that_failed_fails_for_ever(void **state)
{
    struct disk *disk = *state;
    for (int direct = 0; direct < 2; direct++) {
        attach(disk, &(struct raw_options){.direct = direct});
        if (disk->file.direct != direct)
            skip();
        int null = open("/dev/null", O_RDWR), file = fcntl(disk->file.fd, F_DUPFD_CLOEXEC, 0);
        assert_true(null >= 0 && file >= 0);
        assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
        blk_put(disk->req);
        dup2(null, disk->file.fd); /* which cannot be flushed */
        assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), -EINVAL);
        blk_put(disk->req);
        dup2(file, disk->file.fd);
        assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), direct ? 0 : -EINVAL);
        blk_put(disk->req);
        close(null);
        close(file);
        detach(disk);
    }
}

static void block_devices_are_discarded(void **state)
{
    struct disk *disk = *state;
    char path[32];
    int loop = make_loop(disk, 512, 0, path, sizeof(path));
    if (loop < 0)
        skip();
    strcpy(disk->path, path);
    attach(disk, &(struct raw_options){.direct = true, .discard = true});
    close(loop);
    if (!blk_info(disk->blk)->discard)
        skip(); /* the file below has no holes */
    assert_true(blk_info(disk->blk)->discard_granularity >= 512);
    assert_int_equal(transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
    uint64_t before = allocated(disk);
    assert_int_equal(transfer(disk, BLK_DISCARD, 0, 1024 * BLK_SECTOR, NULL), 0);
    blk_put(disk->req);
    assert_true(allocated(disk) < before);
    expect_zeroes(disk, 8, 4096);
    expect_pattern(disk, 1024, 4096);
    detach(disk);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TT(name)                                                                                   \
    T(name),                                                                                       \
    {                                                                                              \
        "tmpfs: " #name, name, setup_tmpfs, teardown, NULL                                         \
    }
int main(void)
{
    const struct CMUnitTest tests[] = {
        TT(files_are_read_and_written_direct_where_possible),
        TT(files_are_read_and_written_buffered_when_asked),
        TT(write_through_has_no_cache_to_flush),
        TT(many_at_once_complete_each),
        TT(read_only_images_are_not_written),
        TT(the_same_image_twice_is_refused_unless_shared),
        TT(the_lock_is_kept_until_orphans_have_come_back),
        TT(a_file_that_shrank_gives_an_error_beyond_its_end),
        T(odd_sizes_are_rounded_down),
        T(what_is_no_disk_is_refused_with_a_reason),
        T(block_devices_are_served_and_claimed),
        T(blocks_larger_than_a_sector_fall_back_to_buffered),
        T(read_only_devices_are_not_opened_for_writing),
        T(a_device_that_is_mounted_or_claimed_is_refused),
        TT(discard_punches_holes_of_whole_blocks),
        TT(discard_is_off_unless_asked_for_and_never_read_only),
        TT(what_follows_a_discard_is_not_overtaken_by_it),
        TT(discards_come_back_before_the_image_is_closed),
        TT(a_fua_write_is_one_request_where_the_kernel_can),
        TT(a_fua_write_is_followed_by_a_sync_where_it_cannot),
        T(block_devices_are_discarded),
        cmocka_unit_test(a_full_filesystem_says_enospc),
        T(a_buffered_flush_that_failed_fails_for_ever),
        cmocka_unit_test(a_short_write_is_continued_where_it_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
