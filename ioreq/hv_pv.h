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
struct hv_broker;
struct hv_channels;

/* Of one device: a channel for each of its queues. */
#define HV_CHANNELS 4u

/* What a worker process reaches the broker of grants by: descriptors of one guest. */
#define HV_GRANT_FDS 2u

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

    /* Control side, since that is privileged: a descriptor that can reach this guest only; -errno.
     * It is the caller's, and goes to the worker. */
    int (*channels_open)(struct hv_guest *guest);
    /* Worker side. Takes the descriptor over, whatever comes of it. -ENOMEM. */
    int (*channels_adopt)(struct hv_guest *guest, int fd, struct hv_channels **ret_channels);
    void (*channels_close)(struct hv_channels *channels);
    /* The frontend's port becomes number `index`, less than HV_CHANNELS. */
    int (*channels_bind)(struct hv_channels *channels, unsigned index, uint32_t port);
    void (*channels_unbind)(struct hv_channels *channels); /* all */
    int (*channels_fd)(const struct hv_channels *channels);
    /* Takes what is pending, bounded, and lets it come again. A bit for each index. */
    uint32_t (*channels_pending)(struct hv_channels *channels);
    void (*channels_notify)(struct hv_channels *channels, unsigned index);

    /*
     * Grants for workers in other processes, which have none of their own (hv_ops.grants() is
     * NULL), since what gives access to them cannot be limited to a guest. Control side: one broker
     * for each such process, and for each guest of it that needs it descriptors, which are good for
     * that guest only and the caller's. They are over with the broker, whoever has them.
     */
    int (*broker_open)(struct hv_broker **ret_broker);
    void (*broker_close)(struct hv_broker *broker); /* NULL is fine */
    int (*broker_add)(struct hv_broker *broker, struct hv_guest *guest, int ret_fds[HV_GRANT_FDS]);
    /* The guest is to be served no more, whatever that process thinks of it. */
    void (*broker_cut)(struct hv_broker *broker, const struct hv_guest *guest);
    /* Worker side, between guest_start() and guest_stop(): from then on the guest has
     * hv_ops.grants(). Takes the descriptors over, whatever comes of it, also if it had them. */
    int (*grants_adopt)(struct hv_guest *guest, const int fds[HV_GRANT_FDS]);
};

extern const struct hv_pv_ops hv_xen_pv_ops;

#endif
