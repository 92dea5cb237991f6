/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk for a guest's PV driver: the backend of blkif, over the same disks as the emulated drives.
 *
 *   pvblk_create() -> pvblk_set_blk() -> pvblk_connect() -> pvblk_turn()... -> pvblk_disconnect()
 *                                         ^------ drained, the guest connects again -----'
 *
 * The frontend is the guest's: rings, requests, segments and granted pages are read once, checked
 * and used as copied (XSA-155). Data moves between the guest's pages and the pages of the request
 * (devices/backend/blk.h) in one batch a turn, in whatever way devices/commit.h finds fastest; a
 * read whose pages are to be swapped is made into pages that can be. Nothing of the guest stays
 * mapped but its rings, so a page that it takes back is an error of one request.
 *
 * Orders that it keeps: none between requests, but a barrier waits for all that were taken before
 * it, and what comes after waits for the barrier. An answer of a flush says that all writes which
 * were answered before it was taken are stable.
 *
 * A flush or barrier that fails seals the disk: from then on it is only read, and everything else
 * fails, for as long as it is this disk. What was answered before it may be lost, and no later
 * flush can say that it is not: the kernel tells of lost pages once (fsync(2)), and a drive takes
 * the sector that it could not write out of its cache (ATA/ATAPI-5, FLUSH CACHE). Nor may a write
 * be answered as done, since Linux's blkfront does not flush any more after a flush that failed.
 * Another connection changes nothing: a guest that was suspended comes back with what it was told.
 * (An emulated drive that reports the same goes on, as a real one would.)
 *
 * Back-pressure: a request stays in its ring while there is no command for it here; a command waits
 * in line while the disk has no slot or page for it. Nobody passes anybody in that line.
 *
 * One thread, the guest's worker's. Allocates in create and connect only.
 */
#ifndef IOEMUD_DEVICES_PV_PVBLK_H
#define IOEMUD_DEVICES_PV_PVBLK_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/blk.h"
#include "devices/grant.h"
#include "devices/pv/blkif_ring.h"

/* What the frontend is offered. Linux asks for as many queues as it has vCPUs, for rings of one
 * page and for 32 segments unless it is told otherwise (xen_blkfront's parameters). */
#define PVBLK_QUEUES     4u
#define PVBLK_RING_ORDER 4u /* 16 pages: 512 requests */
#define PVBLK_RING_PAGES (1u << PVBLK_RING_ORDER)
#define PVBLK_SEGMENTS   256u /* in an indirect request: 1 MiB */

/* The slots that its disk is to be opened with (blk_open()). */
#define PVBLK_BLK_DEPTH 64u

/* What a frontend says of its rings. */
struct pvblk_rings {
    enum blkif_protocol protocol;
    unsigned n_queues;   /* 1 to PVBLK_QUEUES */
    unsigned ring_order; /* 0 to PVBLK_RING_ORDER; as many references a queue as 1 << that */
    struct {
        uint32_t ring_ref[PVBLK_RING_PAGES];
        uint32_t event_channel; /* for whoever binds it: pvblk does not look at it */
    } queue[PVBLK_QUEUES];
};

/* What it asks of its surroundings, which do not call back from there. */
struct pvblk_ops {
    /* The frontend of this queue is to look at its ring. */
    void (*notify)(void *ctx, unsigned queue);
    /* pvblk_turn() is to be called at the end of the loop's turn; once, however often it is asked
     * for. */
    void (*want_turn)(void *ctx);
    /* The rings make no sense, and no more of them is served until another pvblk_connect(). Told
     * once for each connection. `why`: a constant. */
    void (*broken)(void *ctx, const char *why);
    /* The disk is sealed, told once; `error`: -errno of the flush or barrier. */
    void (*sealed)(void *ctx, int error);
    /* A request to the disk has failed, of which the guest is told and the administrator ought to
     * be. `sector`: the bad one; of a flush 0. */
    void (*failed)(void *ctx, enum blk_op op, uint64_t sector, int error);
    /* pvblk_disconnect() had returned false, and nothing is in flight by now. */
    void (*drained)(void *ctx);
    /* True: nothing is to be taken from the rings or asked of the disk now, since requests of
     * somebody else's for the same image are on their way, which ours must not overtake or be
     * overtaken by. A pvblk_turn() follows when they are over. NULL: never. */
    bool (*held)(void *ctx);
};

struct pvblk_params {
    const struct pvblk_ops *ops;
    void *ctx;
    const struct grants *grants; /* of this guest, GRANT_CAN_COPY and GRANT_CAN_MAP; outlives it */
    bool read_only;              /* for this guest, whatever the image is */
    bool discard;                /* false: the guest is told that there is none */
};

struct pvblk_counters {
    uint64_t requests; /* taken from the rings; all of the following are among them */
    uint64_t reads, writes, flushes, barriers, discards;
    uint64_t indirect;
    uint64_t refused;     /* malformed, out of range, unknown, not allowed: answered at once */
    uint64_t failed;      /* answered with an error later, or since the disk is sealed */
    uint64_t copies;      /* segments of data, and tables of segments */
    uint64_t copy_calls;  /* batches */
    uint64_t copy_errors; /* of parts and tables: the guest had not granted them, and the like */
    uint64_t swaps;       /* requests to the disk whose pages were meant to be swapped */
    uint64_t notifications;
    uint64_t waited; /* a command had to wait for a slot or a page */
    uint32_t active; /* now */
};

struct pvblk;

/* -ENOMEM. */
int pvblk_create(const struct pvblk_params *params, struct pvblk **ret_pv);
/* The disk must be closed (blk_close()) or handed to another after this. NULL is fine. */
void pvblk_destroy(struct pvblk *pv);

/*
 * The disk that it serves, NULL: none yet or none any more. Its requests wait in the rings until
 * there is one, so that an emulated drive can hand its disk over to it: the drive stops, blk_idle()
 * becomes true, so what it wrote has reached the disk, and only then the disk is this one's. Only
 * while it has none, or while it is not connected and nothing is in flight.
 */
void pvblk_set_blk(struct pvblk *pv, struct blk *blk);
struct blk *pvblk_blk(const struct pvblk *pv);

/* Maps the rings. It must not be connected, and be drained. -ENOMEM, or what grants_map() said. */
int pvblk_connect(struct pvblk *pv, const struct pvblk_rings *rings);
/* Answers nothing any more and lets go of the guest's memory. True: nothing is in flight. False: it
 * may still reach the disk, `drained` follows; a frontend that is to connect again, or is told that
 * the device is closed, has to wait for that, or an old write would overtake a new one. Not being
 * connected is fine. */
bool pvblk_disconnect(struct pvblk *pv);
bool pvblk_connected(const struct pvblk *pv);

/* After an event of the frontend, and when `want_turn` asked for it. Bounded, whatever the frontend
 * does; harmless when there is nothing to do. */
void pvblk_turn(struct pvblk *pv);

const struct pvblk_counters *pvblk_counters(const struct pvblk *pv);

#endif
