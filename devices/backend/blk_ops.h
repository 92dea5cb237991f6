/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks, the implementors' half: what a backend provides and what blk.c gives it.
 *
 * Life of a disk:
 *   backend's open (raw_open(), mem_open()) makes a struct blk_image on its worker;
 *   blk_open() makes the device's handle of it; the device submits;
 *   blk_close() orphans what is in flight and lets go of the image;
 *   the image's `close` runs when the last request has come back (its lock is held until then), and
 *   then `closed` is told.
 */
#ifndef IOEMUD_DEVICES_BACKEND_BLK_OPS_H
#define IOEMUD_DEVICES_BACKEND_BLK_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/blk.h"
#include "devices/backend/loop.h"

struct pool;
struct blk_image;

/* The pages that one request can have: BLK_MAX_BYTES of 4 KiB pages. */
#define BLK_REQ_PAGES (BLK_MAX_BYTES / 4096)

struct blk_req {
    /* For the backend to read. */
    enum blk_op op;
    uint64_t sector;
    uint32_t bytes;
    unsigned n_iov;
    struct iovec iov[BLK_REQ_PAGES]; /* page-aligned, from the pool; n_iov 0: flush, discard */
    bool fua;                        /* of a write: it completes when it is stable */
    struct blk_image *image;
    void *backend[12]; /* the backend's scratch space: an iocb, a list link */

    /* blk.c's. */
    struct blk *blk; /* NULL once cancelled or orphaned */
    uint64_t token;
    uint64_t submitted_ns;
    struct blk_req *next;
    bool in_flight;
};

struct blk_backend_ops {
    const char *name;
    /* Starts the request; blk_image_done() follows from the loop, never inline, also on failure. */
    void (*submit)(struct blk_image *image, struct blk_req *req);
    /* Nothing is in flight: give back descriptors and locks, free the image. */
    void (*close)(struct blk_image *image);
};

/* Embedded first in the backend's own struct. */
struct blk_image {
    const struct blk_backend_ops *ops;
    struct blk_info info; /* filled by the backend's open */
    const struct loop *loop;
    struct pool *pool;
    /* blk.c's: */
    uint32_t in_flight; /* submitted and not yet done, orphans included */
    struct blk *handle; /* NULL: nobody's; kept until `close` since it holds the slots */
    bool closing;       /* the device is gone, orphans are still to come back */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* The backend tells of a completion; `error` 0 or -errno. The last thing it does with `req` and,
 * when none other is in flight, with the image: the device may close it from here. */
void blk_image_done(struct blk_req *req, int error);

/* The device's handle. `depth` requests at most exist at a time. Takes the image over.
 * -ENOMEM leaves the image with the caller, who undoes the open with image->ops->close(image). The
 * image's pool has at least BLK_REQ_PAGES pages. */
int blk_open(struct blk_image *image, unsigned depth, struct blk **ret_blk);
/* Orphans what is in flight; `closed(arg)` follows once the image has been closed, at once (inline)
 * when nothing is in flight. `closed` may be NULL. NULL `blk` is fine. */
void blk_close(struct blk *blk, void (*closed)(void *arg), void *arg);

#endif
