/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between guest_pvdisk.c (life, negotiation) and guest_pvimage.c (what the disk is served from). */
#ifndef IOEMUD_DAEMON_GUEST_PVDISK_INTERNAL_H
#define IOEMUD_DAEMON_GUEST_PVDISK_INTERNAL_H

#include "daemon/guest.h"
#include "daemon/vm_pv.h"
#include "devices/pv/pvblk_ctl.h"

struct served;

struct pvdisk {
    struct pvdisk *next;
    struct guest *guest;
    unsigned devid;
    unsigned unit;                                    /* VM_UNITS */
    char vdev[16];                                    /* as xl calls it */
    char backend[XENBUS_PATH], frontend[XENBUS_PATH]; /* frontend "": not watched */
    bool seen;                                        /* by the present scan() */
    bool useless;          /* it cannot be served: kept so that it is said once */
    bool waits;            /* useless until a guest that drains lets its image go */
    bool closing;          /* the negotiation is over */
    bool counted;          /* `pv` is there for the statistics */
    struct served *served; /* the program of its image starts; NULL */
    struct pvblk_ctl *ctl;
    struct pvblk_disk disk;

    struct vm_pv *pv; /* the worker's, from `opened` to `close` */
    struct vm_pv_params params;
    struct pvblk_rings rings;
    int err;
    const char *why; /* of `broken`: a constant */
    struct mail open, opened, connect, connected, disconnect, drained, broken, close, closed;
};

/* Whether a node of its backend's directory has this value. */
bool pvdisk_reads_as(const struct pvdisk *disk, const char *node, const char *value);
/* Fills `params` and `disk`. -EINPROGRESS: pvdisk_opened() follows; other -errno, and why, of
 * OPENER_WHY_SIZE bytes. */
int pvdisk_open_image(struct pvdisk *disk, char *why);
/* guest_pvdisk.c: as told by that. */
void pvdisk_opened(struct pvdisk *disk, int err, const char *why);

#endif
