/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk backends there are, and how to open each. Daemon and tests use these, devices not. */
#ifndef IOEMUD_DEVICES_BACKEND_IMAGES_H
#define IOEMUD_DEVICES_BACKEND_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/blk_ops.h"

struct aio; /* devices/backend/aio.h: a worker's libaio context */

/*
 * raw: a file or a block device as it is, through libaio.
 *
 * Opening is split, since opens are privileged and block: raw_probe() looks at a descriptor that
 * the opener got (control side), raw_open() takes the result over (worker side).
 */
struct raw_image {
    int fd;                  /* owned; closed by raw_discard() or the image's close */
    uint64_t bytes;          /* size, rounded down to whole sectors */
    uint32_t physical_block; /* bytes */
    uint32_t align; /* O_DIRECT's alignment of offset and length; 512 or less is what we use */
    bool direct;    /* opened O_DIRECT; false: buffered fallback, `why` says why */
    bool read_only;
    bool block_device;
    bool write_through; /* each write completes when it is stable */
    bool dsync;   /* RWF_DSYNC does that; false: a flush follows (FUSE, whose server may ignore the
                   flag; a kernel that refuses it) */
    bool discard; /* BLK_DISCARD: fallocate(2) punches holes, or BLKDISCARD */
    uint32_t discard_granularity; /* bytes; 0 without `discard` */
    bool solid_state;             /* the device below says that it does not rotate */
    bool lent;    /* `fd` is a duplicate of another's, who outlives it and has the lock */
    char why[96]; /* "" when `direct` */
};

struct raw_options {
    bool read_only;
    bool direct; /* try O_DIRECT */
    bool write_through;
    bool discard; /* serve discards, if the image can; not of what is read_only */
    bool shared;  /* another daemon or guest may have it open for writing too: no exclusive lock */
};

/*
 * Opens, locks and looks. Blocks; for the control side.
 *
 * Locks are open file description locks of the whole file, so two opens in one process exclude each
 * other too, and other programs' byte locks count: exclusive for writers, shared for readers, none
 * with `shared`. Writers of block devices (not `shared`) also open O_EXCL, which mounts, RAID and
 * LVM heed. The lock is the descriptor's and ends when it is closed.
 *
 * O_DIRECT falls back to buffered transfers where the filesystem has none or wants blocks larger
 * than guests' sectors; `direct` and `why` say so and are for the caller to announce.
 *
 * Discards run on the helper thread of `aio` (there is no opcode for them), within whole blocks of
 * the file system or device; what cannot be discarded stays. While one is under way the image's
 * other requests wait here, for the kernel would make io_submit(2), and so the worker, wait for the
 * file's lock.
 *
 * -EBUSY: in use; -EINVAL: neither file nor block device, or without a whole sector; other -errno
 * as open(2) met it. A sentence for the administrator, with the path, in `ret_why`.
 */
int raw_probe(const char *path, const struct raw_options *options, struct raw_image *ret_image,
              char *ret_why, size_t why_size);
/* For what raw_open() has not taken over. */
void raw_discard(struct raw_image *image);
/* On the worker. Takes `image` over on success: the caller forgets it, without raw_discard(). A
 * file that shrinks later gives -EIO beyond its end. Its close may wait for the device. -ENOMEM. */
int raw_open(const struct raw_image *image, struct aio *aio, const struct loop *loop,
             struct pool *pool, struct blk_image **ret_image);

/*
 * mem: a disk in memory for tests, demo and fuzzers. `data` stays the caller's and must outlive it.
 * Faults can be injected.
 */
struct mem_faults {
    int error; /* -errno that requests touching [first, last] complete with (a flush touches
                  the whole disk); 0 none */
    uint64_t first, last; /* sectors, inclusive */
    int flush_error;      /* -errno that flushes complete with whatever they touch; 0: by `error` */
    bool hold; /* nothing completes, or moves data, until mem_release() or `hold` is cleared */
};
int mem_open(void *data, uint64_t sectors, bool read_only, const struct loop *loop,
             struct pool *pool, struct blk_image **ret_image);
void mem_set_faults(struct blk_image *image, const struct mem_faults *faults);
/* Completes what was held, in order and inline; `hold` stays as it is. */
void mem_release(struct blk_image *image);

/*
 * fault: any other image, with errors and delays. For tests of whatever is above it, up to an
 * operating system. Errors behave like bad sectors: those before the first one of a request are
 * moved, and a request that is tried in parts (blk_window.c) finds the same sector bad each time.
 */
#define FAULT_READ    0x1u
#define FAULT_WRITE   0x2u
#define FAULT_FLUSH   0x4u
#define FAULT_DISCARD 0x8u

struct fault_options {
    unsigned ops;         /* FAULT_x: which requests are meant */
    uint64_t first, last; /* sectors, inclusive; requests that touch none are not meant */
    uint32_t every;       /* of those that are meant each n-th fails; 0: none */
    uint32_t count;       /* so many fail and no more; 0: no end */
    int error;            /* -errno */
    uint32_t delay_ms;    /* those that are meant take so much longer */
};
/* With `every` 1 all of [first, last] is bad, otherwise one sector of it that a number generator
 * picks (the same each time) in each request that fails. A flush touches all sectors.
 *
 * Takes `inner` over on success; nobody has opened it yet. -ENOMEM; as timerfd_create(2). */
int fault_open(struct blk_image *inner, const struct fault_options *options,
               struct blk_image **ret_image);

#endif
