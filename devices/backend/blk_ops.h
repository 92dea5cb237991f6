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
#include "devices/histogram.h"

struct pool;
struct pool_share;
struct blk_image;

/* The pages that one request can have: BLK_MAX_BYTES of 4 KiB pages. */
#define BLK_REQ_PAGES (BLK_MAX_BYTES / 4096)

struct blk_req {
    /* For the backend to read: what it is to move now. After a short or failed transfer that is a
     * part of the request (blk_window.c), of whole sectors. */
    enum blk_op op;
    uint64_t sector;
    uint32_t bytes;
    unsigned n_iov;
    struct iovec iov[BLK_REQ_PAGES]; /* in the pool's pages, aligned to sectors; n_iov 0 for
                                        BLK_FLUSH and BLK_DISCARD */
    bool fua;                        /* of a write: it completes when it is stable */
    struct blk_image *image;
    void *backend[12]; /* the backend's scratch space: an iocb, a list link */
    uint64_t mark;     /* for a wrapper (fault.c): 0 when the request is new, kept over its parts */

    /* blk.c's. */
    uint8_t *page[BLK_REQ_PAGES];
    unsigned n_pages;
    struct blk_lender lender; /* `give` NULL: the pool's */
    struct blk_span {
        uint64_t sector; /* of the whole request, as are these */
        uint32_t bytes;
        uint32_t good;   /* from the start on: moved */
        uint32_t end;    /* [good, end) is searched for its first bad sector */
        uint16_t shorts; /* transfers that moved a part */
        uint16_t fails;
        int error; /* of the last that failed */
    } all;
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
    struct pool_share *share; /* whose pages its requests take; set before blk_open(), or NULL */
    /* blk.c's: */
    uint32_t in_flight; /* submitted and not yet done, orphans included */
    struct blk *handle; /* NULL: nobody's; kept until `close` since it holds the slots */
    bool closing;       /* the device is gone, orphans are still to come back */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* The backend tells of a completion; `error` 0 or -errno. The last thing it does with `req` and,
 * when none other is in flight, with the image: the device may close it from here. A read or write
 * that failed comes back in parts (`submit` is called inline) until its first bad sector is found.
 */
void blk_image_done(struct blk_req *req, int error);
/* As that for a transfer that moved only `bytes` and does not say why. The rest comes back. Not a
 * whole sector: the first cannot be moved. */
void blk_image_short(struct blk_req *req, uint32_t bytes);

/* What a disk does about errors, instead of telling the guest. */
enum blk_policy {
    BLK_REPORT,      /* the guest is told */
    BLK_STOP,        /* the guest is stopped */
    BLK_STOP_ENOSPC, /* stopped when there is no room (-ENOSPC, -EDQUOT), told of all else */
};
struct blk_stop {
    enum blk_op op;
    uint64_t sector;
    int error; /* -errno */
};
struct blk_policies {
    enum blk_policy read, write; /* write: of flushes too */
    /* The guest is to be stopped; from the loop. Until blk_restart() the device starts nothing. */
    void (*stopped)(void *arg, const struct blk_stop *stop);
    void *arg;
};
/* Without this call all is reported. `policies` is copied. */
void blk_set_policies(struct blk *blk, const struct blk_policies *policies);
/* The device tries again, from the loop. Harmless when it is not stopped. */
void blk_restart(struct blk *blk);

/* Requests by size: of 512 bytes, up to 1 KiB, ... up to BLK_MAX_BYTES. */
#define BLK_SIZES 9u

/* How a drive's requests were, by the op; over all its media, so they are the owner's. Cancelled
 * requests are in none of them. */
struct blk_histograms {
    uint64_t reads[BLK_SIZES], writes[BLK_SIZES];
    uint32_t in_flight_max;
    struct histogram latency[BLK_DISCARD + 1]; /* from submission to completion */
};
/* To be counted in from now on, by the worker's thread, and there until the image is closed; zeroed
 * at first, which may be for the kernel to do: nothing is written before something is counted.
 * `all` (NULL: none) gets every latency, too. Without this call nothing is counted. */
void blk_set_histograms(struct blk *blk, struct blk_histograms *histograms, struct histogram *all);

/* blk_window.c, for blk.c. */
void blk_window_whole(struct blk_req *req);
/* Notes that what was last submitted moved `bytes`, or failed. True: there is more to be
 * submitted. False: the request is over, with *ret_error. */
bool blk_window_done(struct blk_req *req, int error, int *ret_error);
bool blk_window_short(struct blk_req *req, uint32_t bytes, int *ret_error);

/* The device's handle. `depth` requests at most exist at a time. Takes the image over.
 * -ENOMEM leaves the image with the caller, who undoes the open with image->ops->close(image). The
 * image's pool has at least BLK_REQ_PAGES pages. */
int blk_open(struct blk_image *image, unsigned depth, struct blk **ret_blk);
/* Orphans what is in flight; `closed(arg)` follows once the image has been closed, at once (inline)
 * when nothing is in flight. `closed` may be NULL. NULL `blk` is fine. */
void blk_close(struct blk *blk, void (*closed)(void *arg), void *arg);

#endif
