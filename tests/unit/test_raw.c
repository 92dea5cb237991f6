/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raw on files: the build's filesystem, tmpfs and, as root, a full filesystem. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/raw_rig.h"

static void files_are_read_and_written_direct_where_possible(void **state)
{
    struct raw_rig *disk = *state;
    raw_rig_attach(disk, &(struct raw_options){.direct = true});
    assert_int_equal(disk->file.bytes, RAW_RIG_SECTORS * BLK_SECTOR);
    assert_int_equal(blk_info(disk->blk)->sectors, RAW_RIG_SECTORS);
    assert_true(blk_info(disk->blk)->write_cache);
    print_message("direct=%d align=%u why=%s\n", disk->file.direct, disk->file.align,
                  disk->file.why);
    assert_int_equal(disk->file.direct, disk->file.why[0] == '\0'); /* a fallback is announced */
    int flags = fcntl(disk->file.fd, F_GETFL);
    assert_int_equal(!!(flags & O_DIRECT), disk->file.direct);
    assert_false(flags & O_NONBLOCK);
    assert_reads_and_writes(disk);
}

static void files_are_read_and_written_buffered_when_asked(void **state)
{
    struct raw_rig *disk = *state;
    raw_rig_attach(disk, &(struct raw_options){.direct = false});
    assert_false(disk->file.direct);
    assert_string_not_equal(disk->file.why, "");
    assert_reads_and_writes(disk);
    /* Not one by io_submit(2), which would do it on the spot. */
    assert_int_equal(aio_stats(disk->aio)->requests, 0);
}

static void write_through_has_no_cache_to_flush(void **state)
{
    struct raw_rig *disk = *state;
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .write_through = true});
    assert_false(blk_info(disk->blk)->write_cache);
    assert_reads_and_writes(disk);
    raw_rig_detach(disk);
    raw_rig_make_file(disk, RAW_RIG_SECTORS * BLK_SECTOR);
    raw_rig_attach(disk, &(struct raw_options){.write_through = true});
    assert_reads_and_writes(disk);
}

static void many_at_once_complete_each(void **state)
{
    struct raw_rig *disk = *state;
    raw_rig_attach(disk, &(struct raw_options){.direct = true});
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
    struct raw_rig *disk = *state;
    chmod(disk->path, 0400);
    raw_rig_attach(disk, &(struct raw_options){.direct = true, .read_only = true});
    assert_true(blk_info(disk->blk)->read_only);
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_WRITE, 0, 512, 0, &req), -EROFS);
    assert_pattern(disk, 9, 4096);
    assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
    blk_put(disk->req);
}

static void the_same_image_twice_is_refused_unless_shared(void **state)
{
    struct raw_rig *disk = *state;
    const struct raw_options writer = {.direct = true}, reader = {.read_only = true};
    const struct raw_options shared = {.shared = true};
    struct raw_image a, b;
    assert_int_equal(raw_rig_probe(disk, &writer, &a), 0);
    assert_int_equal(raw_rig_probe(disk, &writer, &b), -EBUSY);
    assert_non_null(strstr(disk->why, disk->path));
    assert_non_null(strstr(disk->why, "in use"));
    assert_int_equal(raw_rig_probe(disk, &reader, &b), -EBUSY);
    assert_int_equal(raw_rig_probe(disk, &shared, &b), 0);
    raw_discard(&b);
    raw_discard(&b);                                            /* twice is fine */
    assert_int_equal(raw_rig_probe(disk, &writer, &b), -EBUSY); /* a's lock survived b's close */
    raw_discard(&a);

    assert_int_equal(raw_rig_probe(disk, &reader, &a), 0);
    assert_int_equal(raw_rig_probe(disk, &reader, &b), 0);
    raw_discard(&b);
    assert_int_equal(raw_rig_probe(disk, &writer, &b), -EBUSY);
    raw_discard(&a);
    assert_int_equal(raw_rig_probe(disk, &writer, &b), 0);
    raw_discard(&b);
}

static void the_lock_is_kept_until_orphans_have_come_back(void **state)
{
    struct raw_rig *disk = *state;
    const struct raw_options writer = {.direct = true};
    raw_rig_attach(disk, &writer);
    struct blk_req *req;
    assert_int_equal(blk_get(disk->blk, BLK_READ, 0, BLK_MAX_BYTES, 0, &req), 0);
    blk_submit(req);
    disk->closed = false;
    blk_close(disk->blk, raw_rig_on_closed, disk);
    assert_false(disk->closed);
    struct raw_image again;
    assert_int_equal(raw_rig_probe(disk, &writer, &again), -EBUSY);
    assert_true(fake_loop_until(disk->fake, &disk->closed, 5000));
    assert_int_equal(disk->dones, 0);
    assert_int_equal(raw_rig_probe(disk, &writer, &again), 0);
    raw_discard(&again);
}

static void a_file_that_shrank_gives_an_error_beyond_its_end(void **state)
{
    struct raw_rig *disk = *state;
    for (int direct = 0; direct < 2; direct++) {
        raw_rig_make_file(disk, RAW_RIG_SECTORS * BLK_SECTOR);
        raw_rig_attach(disk, &(struct raw_options){.direct = direct});
        assert_int_equal(truncate(disk->path, 100 * BLK_SECTOR + 17), 0);
        assert_int_equal(raw_rig_transfer(disk, BLK_READ, 200, 4096, NULL), -EIO);
        blk_put(disk->req);
        assert_int_equal(raw_rig_transfer(disk, BLK_READ, 91, 8 * 4096, NULL),
                         -EIO); /* straddles */
        assert_int_equal(blk_req_good(disk->req), 9 * BLK_SECTOR);
        unsigned n;
        const struct iovec *iov = blk_iov(disk->req, &n);
        for (unsigned i = 0; i < n; i++) { /* whole pages again */
            assert_int_equal((uintptr_t)iov[i].iov_base % POOL_PAGE, 0);
            assert_int_equal(iov[i].iov_len, POOL_PAGE);
        }
        blk_put(disk->req);
        assert_int_equal(blk_counters(disk->blk)->errors, 2);
        assert_pattern(disk, 90, 10 * BLK_SECTOR);
        raw_rig_detach(disk);
    }
}

static void odd_sizes_are_rounded_down(void **state)
{
    struct raw_rig *disk = *state;
    raw_rig_make_file(disk, 3 * BLK_SECTOR + 200);
    raw_rig_attach(disk, &(struct raw_options){.direct = true});
    assert_int_equal(blk_info(disk->blk)->sectors, 3);
    assert_pattern(disk, 0, 3 * BLK_SECTOR);
}

static void what_is_no_disk_is_refused_with_a_reason(void **state)
{
    struct raw_rig *disk = *state;
    const struct raw_options options = {.direct = true};
    struct raw_image image;
    raw_rig_make_file(disk, 100);
    assert_int_equal(raw_rig_probe(disk, &options, &image), -EINVAL);
    assert_non_null(strstr(disk->why, "empty"));
    unlink(disk->file_path);
    assert_int_equal(raw_rig_probe(disk, &options, &image), -ENOENT);
    assert_non_null(strstr(disk->why, "No such file"));
    mkfifo(disk->file_path, 0600);
    assert_int_equal(raw_rig_probe(disk, &options, &image), -EINVAL); /* and does not hang */
    assert_int_equal(raw_probe(".", &options, &image, disk->why, sizeof(disk->why)), -EINVAL);
    assert_int_equal(raw_probe("/dev/null", &options, &image, NULL, 0), -EINVAL);
}

/* In a child with its own mounts: a sparse image on a filesystem that has room for half of it. */
static int attach_on_a_small_filesystem(struct raw_rig *disk)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", "/mnt", "tmpfs", 0, "size=64k"))
        return 77;
    strcpy(disk->path, "/mnt/image");
    int fd = open(disk->path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, RAW_RIG_SECTORS * BLK_SECTOR))
        return 2;
    close(fd);
    disk->fake = fake_loop_create();
    assert_int_equal(pool_create(RAW_RIG_PAGES, &disk->pool), 0);
    assert_int_equal(aio_create(fake_loop(disk->fake), 16, &disk->aio), 0);
    raw_rig_attach(disk, &(struct raw_options){.direct = false});
    return 0;
}

static void detach_all(struct raw_rig *disk)
{
    raw_rig_detach(disk);
    aio_destroy(disk->aio);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake);
}

static int fill_a_small_filesystem(void)
{
    struct raw_rig disk = {0};
    int error = attach_on_a_small_filesystem(&disk);
    if (error)
        return error;
    static uint8_t data[BLK_MAX_BYTES], back[BLK_MAX_BYTES];
    memset(data, 0x77, sizeof(data));
    if (raw_rig_transfer(&disk, BLK_WRITE, 1, sizeof(data), data) != -ENOSPC)
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
    struct raw_rig disk = {0};
    int error = attach_on_a_small_filesystem(&disk);
    if (error)
        return error;
    static uint8_t data[BLK_MAX_BYTES], back[BLK_MAX_BYTES];
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = raw_rig_pattern(i);
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

static void fua(struct raw_rig *disk, uint64_t sector, const uint8_t *data)
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
    struct raw_rig *disk = *state;
    uint8_t data[4096];
    memset(data, 0x3c, sizeof(data));
    raw_rig_attach(disk, &(struct raw_options){.direct = true});
    uint64_t requests = aio_stats(disk->aio)->requests;
    fua(disk, 40, data);
    assert_int_equal(aio_stats(disk->aio)->requests, requests + 1);
    assert_int_equal(raw_rig_transfer(disk, BLK_READ, 40, 4096, NULL), 0);
    uint8_t got[4096];
    blk_copy_out(disk->req, 0, got, 4096);
    blk_put(disk->req);
    assert_memory_equal(got, data, 4096);
}

static void a_fua_write_is_followed_by_a_sync_where_it_cannot(void **state)
{
    struct raw_rig *disk = *state;
    uint8_t data[4096];
    memset(data, 0x77, sizeof(data));
    for (unsigned i = 0; i < 2; i++) {
        struct blk_image *image;
        const struct raw_options options = {.direct = true, .write_through = i};
        assert_int_equal(raw_rig_probe(disk, &options, &disk->file), 0);
        assert_true(disk->file.dsync);
        disk->file.dsync = false; /* as after a refusal */
        assert_int_equal(
            raw_open(&disk->file, disk->aio, fake_loop(disk->fake), disk->pool, &image), 0);
        assert_int_equal(blk_open(image, 32, &disk->blk), 0);
        blk_bind(disk->blk, &raw_rig_client_ops, disk);
        uint64_t requests = aio_stats(disk->aio)->requests;
        fua(disk, 40, data);
        assert_int_equal(aio_stats(disk->aio)->requests, requests + 2);
        assert_int_equal(raw_rig_transfer(disk, BLK_WRITE, 48, 4096, data), 0);
        blk_put(disk->req);
        assert_int_equal(aio_stats(disk->aio)->requests, requests + (i ? 4 : 3));
        assert_int_equal(blk_counters(disk->blk)->writes, 2);
        assert_int_equal(blk_counters(disk->blk)->flushes, 0);
        raw_rig_detach(disk);
    }
}

/* The kernel tells of lost pages once, fsync(2); so do we for ever. */
static void a_buffered_flush_that_failed_fails_for_ever(void **state)
{
    struct raw_rig *disk = *state;
    for (int direct = 0; direct < 2; direct++) {
        raw_rig_attach(disk, &(struct raw_options){.direct = direct});
        if (disk->file.direct != direct)
            skip();
        int null = open("/dev/null", O_RDWR), file = fcntl(disk->file.fd, F_DUPFD_CLOEXEC, 0);
        assert_true(null >= 0 && file >= 0);
        assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), 0);
        blk_put(disk->req);
        dup2(null, disk->file.fd); /* which cannot be flushed */
        assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), -EINVAL);
        blk_put(disk->req);
        dup2(file, disk->file.fd);
        assert_int_equal(raw_rig_transfer(disk, BLK_FLUSH, 0, 0, NULL), direct ? 0 : -EINVAL);
        blk_put(disk->req);
        close(null);
        close(file);
        raw_rig_detach(disk);
    }
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
        TT(a_fua_write_is_one_request_where_the_kernel_can),
        TT(a_fua_write_is_followed_by_a_sync_where_it_cannot),
        cmocka_unit_test(a_full_filesystem_says_enospc),
        T(a_buffered_flush_that_failed_fails_for_ever),
        cmocka_unit_test(a_short_write_is_continued_where_it_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
