// SPDX-License-Identifier: GPL-2.0-or-later
/* raw's control-side half: these calls block, and some are privileged. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices/backend/images.h"
#include "devices/backend/pool.h"

struct probe {
    const char *path;
    const struct raw_options *options;
    struct raw_image image;
    bool refused; /* open(2) does not know O_DIRECT here */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct probe *probe, int error,
                                                      const char *format, ...)
{
    if (probe->why_size) {
        va_list args;
        va_start(args, format);
        vsnprintf(probe->why, probe->why_size, format, args);
        va_end(args);
    }
    return error;
}

static bool usable_type(mode_t mode)
{
    return S_ISREG(mode) || S_ISBLK(mode);
}

static int open_errno(struct probe *probe, int error)
{
    const char *path = probe->path;
    switch (error) {
    case EBUSY:
        return fail(probe, -EBUSY,
                    "%s is in use: mounted, part of another device, or open exclusively", path);
    case EROFS:
    case EACCES:
    case EPERM:
        if (!probe->options->read_only)
            return fail(probe, -error, "cannot open %s for writing: %s (is it to be read-only?)",
                        path, strerror(error));
        break;
    }
    return fail(probe, -error, "cannot open %s: %s", path, strerror(error));
}

/* O_NONBLOCK: whatever took the path's place since stat() shall not hold us; it is taken back. */
static int open_once(struct probe *probe, bool direct)
{
    const struct raw_options *options = probe->options;
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    flags |= options->read_only ? O_RDONLY : O_RDWR;
    flags |= direct ? O_DIRECT : 0;
    /* Without O_CREAT O_EXCL speaks of block devices: -EBUSY if mounted or claimed. */
    if (probe->image.block_device && !options->read_only && !options->shared)
        flags |= O_EXCL;
    int fd = open(probe->path, flags);
    return fd < 0 ? -errno : fd;
}

static int lock(struct probe *probe, int fd)
{
    const struct raw_options *options = probe->options;
    if (options->shared)
        return 0;
    struct flock whole = {.l_type = options->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return fail(probe, -EBUSY, "%s is in use by another guest or program%s", probe->path,
                    options->read_only ? " that writes to it" : "");
    int error = -errno;
    return fail(probe, error, "cannot lock %s: %s", probe->path, strerror(-error));
}

static uint32_t clamp_block(uint64_t block)
{
    if (block < BLK_SECTOR || block > 65536 || (block & (block - 1)))
        return BLK_SECTOR;
    return (uint32_t)block;
}

static int measure(struct probe *probe, int fd, const struct stat *st)
{
    struct raw_image *image = &probe->image;
    const char *path = probe->path;
    uint64_t bytes = (uint64_t)st->st_size;
    image->align = BLK_SECTOR;
    if (image->block_device) {
        unsigned physical = 0;
        int logical = 0, read_only = 0;
        if (ioctl(fd, BLKGETSIZE64, &bytes) || ioctl(fd, BLKSSZGET, &logical) ||
            ioctl(fd, BLKROGET, &read_only)) {
            int error = -errno;
            return fail(probe, error, "cannot find the size of %s: %s", path, strerror(-error));
        }
        if (read_only && !probe->options->read_only)
            return fail(probe, -EROFS, "%s is a read-only device", path);
        if (ioctl(fd, BLKPBSZGET, &physical))
            physical = (unsigned)logical;
        image->align = (uint32_t)logical;
        image->physical_block = clamp_block(physical);
    } else {
        /* What the filesystem would rather have; some say far more than a page (NFS, ZFS). */
        uint32_t block = clamp_block((uint64_t)st->st_blksize);
        image->physical_block = block < POOL_PAGE ? block : POOL_PAGE;
    }
    struct statfs fs;
    image->dsync = image->block_device || fstatfs(fd, &fs) || fs.f_type != FUSE_SUPER_MAGIC;
    image->bytes = bytes / BLK_SECTOR * BLK_SECTOR;
    if (!image->bytes)
        return fail(probe, -EINVAL, "%s is empty", path);
    return 0;
}

__attribute__((format(printf, 2, 3))) static bool buffered(struct probe *probe, const char *format,
                                                           ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(probe->image.why, sizeof(probe->image.why), format, args);
    va_end(args);
    return false;
}

/* Whether `fd`, open with O_DIRECT, serves single sectors from and to our pages. */
static bool direct_works(struct probe *probe, int fd)
{
    struct raw_image *image = &probe->image;
#ifdef STATX_DIOALIGN
    struct statx stx;
    if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) && (stx.stx_mask & STATX_DIOALIGN)) {
        if (!stx.stx_dio_offset_align)
            return buffered(probe, "the filesystem has no direct transfers for this file");
        image->align = stx.stx_dio_offset_align;
        if (stx.stx_dio_mem_align > BLK_SECTOR)
            return buffered(probe, "direct transfers need memory aligned to %u bytes",
                            stx.stx_dio_mem_align);
    }
#endif
    if (image->align > BLK_SECTOR)
        return buffered(probe, "direct transfers need blocks of %u bytes, guests' are of 512",
                        image->align);
    /* The proof: the last sector, in a page. */
    void *page;
    if (posix_memalign(&page, POOL_PAGE, POOL_PAGE))
        return buffered(probe, "out of memory");
    ssize_t n = pread(fd, page, BLK_SECTOR, (off_t)(image->bytes - BLK_SECTOR));
    int error = errno;
    free(page);
    if (n < 0 && error == EINVAL)
        return buffered(probe, "direct transfers of 512 bytes are refused");
    return true; /* an I/O error is the guest's to see */
}

/* A number of the request queue of the device `dev`, 0 if it has none. A partition's folder is in
 * its disk's. */
static uint64_t queue_number(dev_t dev, const char *name)
{
    static const char *const format[] = {
        "/sys/dev/block/%u:%u/queue/%s",
        "/sys/dev/block/%u:%u/../queue/%s",
    };
    unsigned long long number = 0;

    for (unsigned i = 0; i < 2 && !number; i++) {
        char path[96];
        snprintf(path, sizeof(path), format[i], major(dev), minor(dev), name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%llu", &number) != 1)
            number = 0;
        fclose(file);
    }
    return number;
}

static bool queue_exists(dev_t dev)
{
    return queue_number(dev, "logical_block_size") > 0;
}

/* Whether discards are served, in what pieces, and whether the disk rotates. */
static void look_below(struct probe *probe, int fd)
{
    struct raw_image *image = &probe->image;
    struct stat st;

    if (fstat(fd, &st))
        return;
    dev_t dev = image->block_device ? st.st_rdev : st.st_dev;
    image->solid_state = queue_exists(dev) && !queue_number(dev, "rotational");
    if (image->read_only || !probe->options->discard)
        return;
    if (image->block_device) {
        uint64_t block = queue_number(dev, "discard_granularity");
        image->discard = queue_number(dev, "discard_max_bytes") > 0;
        block = clamp_block(block);
        image->discard_granularity = (uint32_t)(block > image->align ? block : image->align);
        return;
    }
    /* A hole behind the end changes nothing, and says whether there can be any. */
    off_t end = (off_t)((image->bytes + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE);
    image->discard =
        !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end + POOL_PAGE, POOL_PAGE);
    image->discard_granularity = clamp_block((uint64_t)st.st_blksize);
}

/* Opened, of the right type, measured; direct or not. A negative errno or the descriptor. */
static int open_and_look(struct probe *probe, bool direct)
{
    int fd = open_once(probe, direct);
    probe->refused = fd == -EINVAL && direct;
    if (fd < 0)
        return probe->refused ? fd : open_errno(probe, -fd);
    struct stat st;
    int error = 0;
    if (fstat(fd, &st))
        error = fail(probe, -errno, "cannot look at %s: %s", probe->path, strerror(errno));
    else if (!usable_type(st.st_mode) || S_ISBLK(st.st_mode) != probe->image.block_device)
        error = fail(probe, -EINVAL, "%s has changed while it was opened", probe->path);
    int flags = fcntl(fd, F_GETFL);
    if (!error && (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)))
        error = fail(probe, -errno, "cannot set flags of %s: %s", probe->path, strerror(errno));
    if (!error)
        error = lock(probe, fd);
    if (!error)
        error = measure(probe, fd, &st);
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

int raw_probe(const char *path, const struct raw_options *options, struct raw_image *ret_image,
              char *ret_why, size_t why_size)
{
    struct probe probe = {.path = path, .options = options, .why = ret_why, .why_size = why_size};
    struct stat st;
    if (stat(path, &st))
        return open_errno(&probe, errno);
    if (!usable_type(st.st_mode))
        return fail(&probe, -EINVAL, "%s is neither a file nor a block device", path);
    probe.image.block_device = S_ISBLK(st.st_mode);
    probe.image.read_only = options->read_only;
    probe.image.write_through = options->write_through;

    int fd = -1;
    if (options->direct) {
        fd = open_and_look(&probe, true);
        if (probe.refused)
            buffered(&probe, "the filesystem refuses O_DIRECT");
        else if (fd < 0)
            return fd;
        else if (direct_works(&probe, fd))
            probe.image.direct = true;
    } else {
        buffered(&probe, "asked for");
    }
    if (!probe.image.direct) {
        if (fd >= 0)
            close(fd); /* its lock and claim would be in our own way */
        fd = open_and_look(&probe, false);
        if (fd < 0)
            return fd;
    }
    probe.image.fd = fd;
    look_below(&probe, fd);
    *ret_image = probe.image;
    return 0;
}
