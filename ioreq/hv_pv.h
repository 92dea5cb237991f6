/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What PV backends ask of a hypervisor beside grants (devices/grant.h): its store, and event
 * channels to frontends. hv_xen has it (ioreq/hv_xen_pv.c); hv_ops.pv is NULL where there is none.
 */
#ifndef IOEMUD_IOREQ_HV_PV_H
#define IOEMUD_IOREQ_HV_PV_H

#include "devices/pv/xenbus.h"

struct hv_disk;
struct hv_host;
struct hv_guest;
struct hv_channels;

/* Of one device: a channel for each of its queues. */
#define HV_CHANNELS 4u

struct hv_pv_ops {
    /* Control side. Blocks, as XenStore does. A write into a directory that is gone is -ENOENT. */
    const struct xenbus *(*store)(struct hv_host *host);
    /* What lies in a directory; -ENOENT. */
    int (*store_list)(struct hv_host *host, const char *path,
                      void (*each)(void *ctx, const char *name), void *ctx);
    /* From now on hv_host_events.store tells of changes at and below `path`, and once at first. */
    int (*store_watch)(struct hv_host *host, const char *path, const char *token);
    void (*store_unwatch)(struct hv_host *host, const char *path, const char *token);

    /* Whether the virtual disk `devid` with that image is this emulated one: the same image at the
     * same place. */
    bool (*disk_is)(unsigned devid, const char *path, const struct hv_disk *disk);

    /* Opened by the control side, since that is privileged; can reach this guest only. Then the
     * worker's, who closes it. */
    int (*channels_open)(struct hv_guest *guest, struct hv_channels **ret_channels);
    void (*channels_close)(struct hv_channels *channels);
    /* Worker side. The frontend's port becomes number `index`, less than HV_CHANNELS. */
    int (*channels_bind)(struct hv_channels *channels, unsigned index, uint32_t port);
    void (*channels_unbind)(struct hv_channels *channels); /* all */
    int (*channels_fd)(const struct hv_channels *channels);
    /* Takes what is pending, bounded, and lets it come again. A bit for each index. */
    uint32_t (*channels_pending)(struct hv_channels *channels);
    void (*channels_notify)(struct hv_channels *channels, unsigned index);
};

extern const struct hv_pv_ops hv_xen_pv_ops;

#endif
