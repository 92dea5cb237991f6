/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PV disks of a guest as the control side sees them: those that libxl left to its device model
 * (backends of type "qdisk" in our domain), found and followed in XenStore.
 *
 *    directory appears -> image opened -> worker: VM_PV_OPEN -> negotiation (pvblk_ctl.h)
 *    negotiation is over -> worker: VM_PV_CLOSE -> forgotten
 *
 * Asked by guest_call(), the same of a thread and of a process (daemon/guest_pvcall.c).
 *
 * For guests of hv_xen, where the daemon's configuration has "pv_disks". A disk that the guest also
 * has as an emulated drive, its twin, is served from the twin's open file, and by its options. An
 * image that is in use otherwise is not served; that is logged once. One that is not raw has a
 * program that reads it (daemon/served.h). CD-ROMs are left to the
 * emulated drives.
 */
#ifndef IOEMUD_DAEMON_GUEST_PVDISK_H
#define IOEMUD_DAEMON_GUEST_PVDISK_H

#include "daemon/guest.h"
#include "devices/pv/pvblk.h"

/* Whether those that the toolstack leaves to the device model find their backend here. */
bool guest_pvdisks_served(const struct guest *guest);
/* Before anything else. */
void guest_pvdisks_init(struct guest *guest);
/* The emulated disk at this place was opened: its file and lock are kept for a twin, as long as the
 * guest is there, since the toolstack may bring one at any time. `image` becomes lent. */
void guest_pvdisks_keep(struct guest *guest, unsigned drive, struct raw_image *image);
/* What was kept. All that was lent has been closed. */
void guest_pvdisks_release(struct guest *guest);
/* Its vm runs. */
void guest_pvdisks_start(struct guest *guest);
/* Before its vm is told to stop: nothing new is asked of the worker. */
void guest_pvdisks_stop(struct guest *guest);
/* The worker has let go of all of them: says so in the store, and frees them. */
void guest_pvdisks_finish(struct guest *guest);
/* Before that, the guest's worker process has died, so instead of guest_pvdisks_stop(). `goes_on`:
 * the guest gets another one, with which their frontends go on, so there is nothing to be said, nor
 * kept. */
void guest_pvdisks_orphan(struct guest *guest, bool goes_on);
/* What the worker tells of the disk of this unit, on the control side. False: no worker of ours
 * would have told that now. */
bool guest_pvdisk_told(struct guest *guest, unsigned unit, const struct vm_pv_news *news);
/* vm_params.pv_news of a guest whose worker is a thread: that follows. */
void guest_pvdisk_news(void *ctx, unsigned unit, const struct vm_pv_news *news); /* worker */
/* A guest has drained: what it had may be what disks of others wait for. */
void guest_pvdisks_retry(struct daemon *daemon);
/* hv_host_events.store, for all guests. */
void guest_pvdisks_event(struct daemon *daemon, const char *token);

/* For the statistics of a RUNNING guest: all that are served, one after the other; to begin with,
 * info->disk is NULL. Counters are as of now; histograms where the worker counts them. */
struct guest_pvdisk {
    const struct pvdisk *disk;
    const char *vdev; /* as xl was told */
    unsigned devid, unit;
    bool connected;
    struct blk_counters io;
    struct pvblk_counters ring;
    const struct blk_histograms *histograms;
};
bool guest_pvdisks_next(const struct guest *guest, struct guest_pvdisk *info);
/* For people. */
const char *guest_pvdisk_name(const struct guest *guest, unsigned unit);

/* For tests: what libxl writes as `params` of a qdisk, "FORMAT:PATH". NULL: none that is served.
 * *ret_served: the format by which a program serves it (daemon/served.h); NULL: it is raw. */
const char *guest_pvdisk_path(const char *params, const char **ret_served);

#endif
