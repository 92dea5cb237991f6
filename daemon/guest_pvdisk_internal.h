/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between guest_pvdisk.c (life, negotiation) and guest_pvimage.c (what the disk is served from). */
#ifndef IOEMUD_DAEMON_GUEST_PVDISK_INTERNAL_H
#define IOEMUD_DAEMON_GUEST_PVDISK_INTERNAL_H

#include "daemon/guest.h"
#include "daemon/vm_pv.h"
#include "devices/pv/pvblk_ctl.h"

struct served;

/* A path in `params`, and its format. */
#define PVDISK_PARAMS 1100u

struct pvdisk {
    struct pvdisk *next;
    struct guest *guest;
    unsigned devid;
    unsigned unit;                                    /* VM_UNITS */
    char vdev[16];                                    /* as xl calls it */
    char backend[XENBUS_PATH], frontend[XENBUS_PATH]; /* frontend "": not watched */
    char begun_with[PVDISK_PARAMS];                   /* pvdisk_read_params() */
    bool seen;                                        /* by the present scan() */
    bool useless;          /* it cannot be served: kept so that it is said once */
    bool asked_back;       /* useless since then */
    bool waits;            /* useless until a guest that drains lets its image go */
    bool closing;          /* the negotiation is over */
    bool counted;          /* `pv` is there for the statistics */
    struct served *served; /* the program of its image starts; NULL */
    unsigned program;      /* served_number() of one that serves it; 0: none */
    struct pvblk_ctl *ctl;
    struct pvblk_disk disk;

    struct vm_pv *pv; /* the worker's, from `opened` to `close` */
    struct vm_pv_params params;
    struct pvblk_rings rings;
    int err;
    const char *why, *lost_why; /* of `broken` and `lost`: constants */
    int sealed_error;           /* of `sealed`: -errno */
    struct mail open, opened, connect, connected, disconnect, drained, broken, lost, sealed;
    struct mail close, closed;
};

/* Whether a node of its backend's directory has this value. */
bool pvdisk_reads_as(const struct pvdisk *disk, const char *node, const char *value);
/* One that is not, is what is left of a disk that was detached. */
bool pvdisk_is_online(const struct pvdisk *disk);
/* What libxl wrote of its image; "": that cannot be read. */
void pvdisk_read_params(const struct pvdisk *disk, char ret_params[PVDISK_PARAMS]);
/* Whether its directory still describes the image that it was begun with. */
bool pvdisk_is_as_begun(const struct pvdisk *disk);
/* Fills `vdev`. */
void pvdisk_read_name(struct pvdisk *disk);
/* Fills `params` and `disk`. -EINPROGRESS: pvdisk_opened() follows; other -errno, and why, of
 * OPENER_WHY_SIZE bytes. */
int pvdisk_open_image(struct pvdisk *disk, char *why);
/* guest_pvdisk.c: as told by that. */
void pvdisk_opened(struct pvdisk *disk, int err, const char *why);
/* guest_pvdisk.c: forgets it; what is at its place is another. */
void pvdisk_begin_anew(struct pvdisk *disk);

#endif
