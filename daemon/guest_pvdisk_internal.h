/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between guest_pvdisk.c (life, negotiation), guest_pvimage.c (what the disk is served from) and
 * guest_pvcall.c (what is asked of its worker). */
#ifndef IOEMUD_DAEMON_GUEST_PVDISK_INTERNAL_H
#define IOEMUD_DAEMON_GUEST_PVDISK_INTERNAL_H

#include "daemon/guest.h"
#include "daemon/guest_pvdisk.h"
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
    uint32_t heard_serial; /* of the last pvdisk_ask_hear(); 0: none */
    struct pvblk_ctl *ctl;
    struct pvblk_disk disk;

    struct vm_pv_params params; /* all of it the worker's when that is asked for it */
    /* From the answer to `open` until `close` is asked for: a thread's, and what a process counts,
     * mapped to be read only. */
    struct vm_pv *pv;
    struct vm_pv_counts *counts;
    struct guest_call open, connect, disconnect, close;
    bool drains;       /* VM_PV_DRAINED is to follow */
    bool sealed, lost; /* it was told */
    struct pvdisk_news {
        struct mail mail; /* first. From a worker that is a thread */
        struct pvdisk *disk;
        struct vm_pv_news news;
    } news[VM_PV_EVENTS];
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
/* guest_pvdisk.c: the worker has it, or does not (-errno). */
void pvdisk_served(struct pvdisk *disk, int err);
/* guest_pvdisk.c: forgets it; what is at its place is another. */
void pvdisk_begin_anew(struct pvdisk *disk);

/* guest_pvcall.c */
void pvdisk_calls_init(struct pvdisk *disk);
void pvdisk_calls_finish(struct pvdisk *disk);
/* Takes what `params` has been opened with over, whatever comes of it. -errno, and why, of
 * OPENER_WHY_SIZE bytes; 0: pvdisk_served() follows. */
int pvdisk_ask_open(struct pvdisk *disk, char *why);
/* Answered to its `ctl`. */
void pvdisk_ask_connect(struct pvdisk *disk, const struct pvblk_rings *rings);
void pvdisk_ask_disconnect(struct pvdisk *disk);
/* Of a worker process: served_heard() follows, if it is still waited for. Takes `fd` over, whatever
 * comes of it. -ENOMEM. */
int pvdisk_ask_hear(struct pvdisk *disk, int fd);
/* What it has heard, or may still, is of no use. */
void pvdisk_ask_unhear(struct pvdisk *disk);
/* pvdisk_begin_anew() follows. */
void pvdisk_ask_close(struct pvdisk *disk);
/* Of one that is `counted`. */
void pvdisk_count(const struct pvdisk *disk, struct guest_pvdisk *info);

#endif
