/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The negotiation of a PV disk: what stands in the store, and when the rings are connected.
 *
 *                    toolstack writes both directories
 *                                 |
 *              +------------> INIT_WAIT  what the disk can do is written
 *              |                  |      the frontend is Initialised: rings read, connect()
 *     it begins anew              |      pvblk_ctl_connected()
 *              |              CONNECTED  size and kind are written
 *              |                  |      the frontend closes or is gone, or the toolstack closes
 *              |               CLOSING   disconnect()
 *              |                  |      pvblk_ctl_drained(), and the frontend has let go
 *              +--- online --- CLOSED --- not online ---> gone()
 *
 * The frontend's directory is the guest's: every node is read once for each connection, with its
 * length and its range checked, and its states may come in any order. What cannot be used closes
 * the device; the guest may then begin anew.
 *
 * Threads: the control side. The rings are the worker's, so connect() and disconnect() are asked
 * for here and answered later, in order.
 */
#ifndef IOEMUD_DEVICES_PV_PVBLK_CTL_H
#define IOEMUD_DEVICES_PV_PVBLK_CTL_H

#include "devices/pv/pvblk.h"
#include "devices/pv/xenbus.h"

struct pvblk_ctl_ops {
    /* pvblk_ctl_connected() follows, not from within. */
    void (*connect)(void *ctx, const struct pvblk_rings *rings);
    /* pvblk_ctl_drained() follows, not from within: nothing of the guest's is in use and nothing is
     * in flight. It may come before the answer to connect(), which is then not waited for. */
    void (*disconnect)(void *ctx);
    /* The last that is told: the device is no more, pvblk_ctl_destroy() is in order. */
    void (*gone)(void *ctx);
    /* One line for the log, without a rate limit of its own: guests can cause it. */
    void (*log)(void *ctx, const char *what, const char *why);
};

/* What the frontend is told of the disk. */
struct pvblk_disk {
    uint64_t sectors; /* of BLKIF_SECTOR bytes */
    uint32_t physical_block;
    bool read_only, cdrom, removable;
    bool discard;
    uint32_t discard_granularity; /* bytes */
};

struct pvblk_ctl_params {
    const struct xenbus *bus; /* outlives it */
    const char *backend;      /* directory; copied */
    uint32_t frontend_id;     /* the guest's domain: a directory for another is refused */
    unsigned max_queues;      /* offered, 1 to PVBLK_QUEUES */
    struct pvblk_disk disk;
    const struct pvblk_ctl_ops *ops;
    void *ctx;
};

struct pvblk_ctl;

/* Reads the backend's directory and writes to it. -ENOMEM; -EINVAL: the directory is none that a
 * toolstack wrote, or is for another domain; -errno of the store. */
int pvblk_ctl_create(const struct pvblk_ctl_params *params, struct pvblk_ctl **ret_ctl);
/* Writes nothing. The owner has disconnected the rings, or does so. NULL is fine. */
void pvblk_ctl_destroy(struct pvblk_ctl *ctl);
/* The directory of the frontend, for a watch on its `state`. */
const char *pvblk_ctl_frontend(const struct pvblk_ctl *ctl);

/* Something in one of the directories may have changed. Harmless when nothing has. */
void pvblk_ctl_event(struct pvblk_ctl *ctl);
/* The rings are connected, 0, or could not be, -errno. */
void pvblk_ctl_connected(struct pvblk_ctl *ctl, int error);
void pvblk_ctl_drained(struct pvblk_ctl *ctl);
/* The rings make no sense (pvblk_ops.broken). */
void pvblk_ctl_broken(struct pvblk_ctl *ctl, const char *why);
/* Another medium, or another size of the same: a connected frontend is told. */
void pvblk_ctl_resized(struct pvblk_ctl *ctl, uint64_t sectors);

enum xenbus_state pvblk_ctl_state(const struct pvblk_ctl *ctl);

#endif
