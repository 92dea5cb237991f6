/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks, the callers' half: what a device model does with one.
 *
 * A request takes its pages from the worker's pool, so it needs no memory of the guest while it is
 * in flight. The device fills or reads them (a copy to or from the guest) before it submits or when
 * it is told of completion. A request holds no pointer to the device: it carries the device's token
 * and finds its way back through the disk's handle, so a device that has been reset, or is gone,
 * merely cancels or closes, and what completes later is dropped.
 *
 *   blk_get() -> [fill pages] -> blk_submit() -> ... done(owner, req, error) -> blk_put()
 *
 * Completion is never inline with submission. Everything here is called from the worker's thread.
 */
#ifndef IOEMUD_DEVICES_BACKEND_BLK_H
#define IOEMUD_DEVICES_BACKEND_BLK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLK_SECTOR 512u
/* The largest request, in bytes; longer transfers are made of several. */
#define BLK_MAX_BYTES (128u * 1024)
/* The most that a device may keep of a disk's requests when it depends on its guest how long: pages
 * of others' disks are not to run out over it (daemon/guest.c counts on that). */
#define BLK_HELD_BYTES (32u * 1024)
/* The largest discard; it has no pages. At least what one range of ATA's TRIM can name (65535
 * sectors, ACS-2 7.5.3). */
#define BLK_DISCARD_MAX (32u << 20)

enum blk_op {
    BLK_READ,
    BLK_WRITE,
    BLK_FLUSH,   /* what was completed before its submission is stable when it completes */
    BLK_DISCARD, /* nobody needs the data any more: it then reads as it was or as zeroes */
};

/* For people: "read". */
const char *blk_op_name(enum blk_op op);

struct blk_info {
    uint64_t sectors;        /* of BLK_SECTOR bytes */
    uint32_t physical_block; /* bytes, a power of two >= BLK_SECTOR */
    bool read_only;
    bool write_cache; /* writes are stable only after BLK_FLUSH (write-back) */
    bool discard;     /* BLK_DISCARD is served; where the backing cannot, it may still do nothing */
    uint32_t discard_granularity; /* bytes; smaller or unaligned parts may stay. 0: no discard */
    bool solid_state;             /* the backing says that it does not rotate */
};

struct blk;     /* one device's handle of one image */
struct blk_req; /* one request */

struct blk_client_ops {
    /* `error` is 0 or -errno as the backend met it (-EIO, -ENOSPC, ...). The request is the
     * device's again: it reads the pages and puts it back. */
    void (*done)(void *owner, struct blk_req *req, int error);
    /* blk_get() had said -EAGAIN and is worth another try, or blk_idle() had said no and is true
     * now. From the loop, never inline; others may have been faster, so it can be for nothing. */
    void (*ready)(void *owner);
};

struct blk_counters {
    uint64_t reads, writes, flushes, discards; /* completed, with or without error */
    uint64_t read_bytes, written_bytes;        /* of failed ones, those before the bad sector */
    uint64_t discarded_bytes;                  /* of those without error */
    uint64_t errors;                           /* of the completed */
    uint64_t cancelled;                        /* not among reads, writes, flushes, discards */
    uint64_t io_ns;                            /* sum of the times from submission to completion */
    uint32_t in_flight;                        /* now, cancelled ones included */
};

/* The device says who it is, once, before its first request. */
void blk_bind(struct blk *blk, const struct blk_client_ops *ops, void *owner);
const struct blk_info *blk_info(const struct blk *blk);
const struct blk_counters *blk_counters(const struct blk *blk);

/* A request for `bytes` (a multiple of BLK_SECTOR, at most BLK_MAX_BYTES or BLK_DISCARD_MAX, 0 for
 * BLK_FLUSH) from `sector` on. -ERANGE: beyond the end of the disk; -EROFS; -EOPNOTSUPP: no
 * discard; -EAGAIN: no pages or no slot now, `ready` follows. `token` is the device's own, to tell
 * generations apart. */
int blk_get(struct blk *blk, enum blk_op op, uint64_t sector, uint32_t bytes, uint64_t token,
            struct blk_req **ret_req);
/* As blk_get() of a BLK_READ, into `pages` of somebody else's, enough for `bytes`. They are the
 * request's until it gives each back with lender->give(), which may be long after the device and
 * its guest are gone: when blk_put() says so, or when the disk is done with one that was cancelled.
 * On failure they stay with the caller. `lender` is copied. */
struct blk_lender {
    void (*give)(void *arg, uint8_t *page);
    void *arg;
};
int blk_get_with(struct blk *blk, uint64_t sector, uint32_t bytes, uint64_t token,
                 uint8_t *const *pages, const struct blk_lender *lender, struct blk_req **ret_req);
/* The pages of a request in order, 4096 bytes each, while blk_iov() is valid; it begins at the
 * first byte of the first. Those that were lent may be replaced in place by others of the lender's
 * before blk_put(). */
uint8_t **blk_pages(struct blk_req *req);
/* Before blk_submit() of a BLK_WRITE: this one is stable when it completes, in whatever cache. */
void blk_set_fua(struct blk_req *req);
/* Its pages, in order; the last may be partly used. Valid until blk_submit() for writes, from
 * `done` to blk_put() for reads: filled, after an error up to the bad sector and zeroed from there.
 */
const struct iovec *blk_iov(const struct blk_req *req, unsigned *ret_count);
/* Copies between the request's bytes [offset, offset + len) and `buf`. */
void blk_copy_out(const struct blk_req *req, uint32_t offset, void *buf, uint32_t len);
void blk_copy_in(struct blk_req *req, uint32_t offset, const void *buf, uint32_t len);

/* After an error: how many of its bytes, from the start on, were moved all the same. The sector
 * that follows is the first that was not. 0 for a BLK_FLUSH or BLK_DISCARD. */
uint32_t blk_req_good(const struct blk_req *req);

/* What is to become of an error that `done` told: asked once for each. False: the guest is told.
 * True: it is being stopped instead, for the administrator to mend what is broken; the device keeps
 * its command in a form that can be issued again, starts nothing while blk_stopped() and tries
 * again on `ready`. `sector`: the bad one. */
bool blk_stops(struct blk *blk, enum blk_op op, uint64_t sector, int error);
bool blk_stopped(const struct blk *blk);

enum blk_op blk_req_op(const struct blk_req *req);
uint64_t blk_req_sector(const struct blk_req *req);
uint32_t blk_req_bytes(const struct blk_req *req);
uint64_t blk_req_token(const struct blk_req *req);

/* Hands the request to the backend; `done` follows unless cancelled. Never fails inline. */
void blk_submit(struct blk_req *req);
/* Gives pages and slot back; for requests that are not in flight. From `done` too. */
void blk_put(struct blk_req *req);
/* The device forgets a request in flight: it may still reach the disk, `done` does not follow. */
void blk_cancel(struct blk_req *req);
/* True when no request is in flight, cancelled ones included: what a device waits for before it
 * starts anything that must not be overtaken by them. `ready` follows when it becomes true. */
bool blk_idle(struct blk *blk);

#endif
