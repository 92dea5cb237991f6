// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pv/pvblk_ctl.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `info` (xen/include/public/io/blkif.h) */
#define VDISK_CDROM     0x1u
#define VDISK_REMOVABLE 0x2u
#define VDISK_READONLY  0x4u

enum data {
    DATA_DOWN,
    DATA_CONNECTING,
    DATA_UP,
    DATA_DRAINING,
};

struct pvblk_ctl {
    struct pvblk_ctl_params params;
    char backend[XENBUS_PATH], frontend[XENBUS_PATH];
    enum xenbus_state state; /* as we last wrote it */
    enum data data;
    bool gone;
};

static void say(struct pvblk_ctl *ctl, const char *what, const char *why)
{
    ctl->params.ops->log(ctl->params.ctx, what, why);
}

static void write_u64(struct pvblk_ctl *ctl, const char *node, uint64_t value)
{
    int err = xenbus_write_u64(ctl->params.bus, ctl->backend, node, value);

    if (err)
        say(ctl, node, strerror(-err));
}

static void set_state(struct pvblk_ctl *ctl, enum xenbus_state state)
{
    ctl->state = state;
    write_u64(ctl, "state", state);
}

/* ---- what is written --------------------------------------------------------------------------*/

/* Before INIT_WAIT: what a frontend decides by. Persistent grants are not offered: data is copied
 * by the hypervisor, so there are no mappings whose cost they would save. */
static void publish_features(struct pvblk_ctl *ctl)
{
    const struct pvblk_disk *disk = &ctl->params.disk;

    write_u64(ctl, "feature-flush-cache", 1);
    write_u64(ctl, "feature-barrier", 1);
    write_u64(ctl, "feature-persistent", 0);
    write_u64(ctl, "feature-max-indirect-segments", PVBLK_SEGMENTS);
    write_u64(ctl, "max-ring-page-order", PVBLK_RING_ORDER);
    write_u64(ctl, "multi-queue-max-queues", ctl->params.max_queues);
    write_u64(ctl, "feature-discard", disk->discard);
    if (disk->discard) {
        write_u64(ctl, "discard-granularity", disk->discard_granularity);
        write_u64(ctl, "discard-alignment", 0);
        write_u64(ctl, "discard-secure", 0);
    }
}

/* Before CONNECTED. */
static void publish_disk(struct pvblk_ctl *ctl)
{
    const struct pvblk_disk *disk = &ctl->params.disk;

    write_u64(ctl, "sectors", disk->sectors);
    write_u64(ctl, "sector-size", BLKIF_SECTOR);
    /* `sectors` must be whole ones of these. */
    if (disk->physical_block > BLKIF_SECTOR &&
        disk->sectors % (disk->physical_block / BLKIF_SECTOR) == 0)
        write_u64(ctl, "physical-sector-size", disk->physical_block);
    else
        write_u64(ctl, "physical-sector-size", BLKIF_SECTOR);
    write_u64(ctl, "info",
              (disk->cdrom ? VDISK_CDROM : 0) | (disk->removable ? VDISK_REMOVABLE : 0) |
                  (disk->read_only ? VDISK_READONLY : 0));
}

/* ---- what the frontend says of its rings ------------------------------------------------------*/

/* An optional number. */
static bool read_optional(struct pvblk_ctl *ctl, const char *node, uint32_t least, uint32_t most,
                          uint32_t *value)
{
    uint32_t read;
    int err = xenbus_read_u32(ctl->params.bus, ctl->frontend, node, &read);

    if (err == -ENOENT)
        return true;
    if (err || read < least || read > most) {
        say(ctl, node, "not a number that was offered");
        return false;
    }
    *value = read;
    return true;
}

static bool read_protocol(struct pvblk_ctl *ctl, enum blkif_protocol *ret_protocol)
{
    char name[XENBUS_VALUE];
    int err = xenbus_read(ctl->params.bus, ctl->frontend, "protocol", name, sizeof(name));

    if (err == -ENOENT)
        *ret_protocol = BLKIF_NATIVE;
    else if (!err && !strcmp(name, "x86_32-abi"))
        *ret_protocol = BLKIF_X86_32;
    else if (!err && !strcmp(name, "x86_64-abi"))
        *ret_protocol = BLKIF_X86_64;
    else {
        say(ctl, "protocol", "none that there is on x86");
        return false;
    }
    return true;
}

static bool read_queue(struct pvblk_ctl *ctl, const char *directory, struct pvblk_rings *rings,
                       unsigned queue)
{
    const struct xenbus *bus = ctl->params.bus;
    uint32_t *refs = rings->queue[queue].ring_ref;
    unsigned pages = 1u << rings->ring_order;

    if (xenbus_read_u32(bus, directory, "event-channel", &rings->queue[queue].event_channel) ||
        !rings->queue[queue].event_channel) {
        say(ctl, "event-channel", "none");
        return false;
    }
    /* A ring of one page may be told in either way. */
    if (pages == 1 && !xenbus_read_u32(bus, directory, "ring-ref", &refs[0]))
        return true;
    for (unsigned i = 0; i < pages; i++) {
        char node[24];

        snprintf(node, sizeof(node), "ring-ref%u", i);
        if (xenbus_read_u32(bus, directory, node, &refs[i])) {
            say(ctl, node, "none");
            return false;
        }
    }
    return true;
}

static bool read_rings(struct pvblk_ctl *ctl, struct pvblk_rings *rings)
{
    uint32_t queues = 1, order = 0;

    memset(rings, 0, sizeof(*rings));
    if (!read_protocol(ctl, &rings->protocol) ||
        !read_optional(ctl, "multi-queue-num-queues", 1, ctl->params.max_queues, &queues) ||
        !read_optional(ctl, "ring-page-order", 0, PVBLK_RING_ORDER, &order))
        return false;
    rings->n_queues = queues;
    rings->ring_order = order;
    if (queues == 1)
        return read_queue(ctl, ctl->frontend, rings, 0);
    for (unsigned i = 0; i < queues; i++) {
        char directory[XENBUS_PATH + 32];

        snprintf(directory, sizeof(directory), "%s/queue-%u", ctl->frontend, i);
        if (!read_queue(ctl, directory, rings, i))
            return false;
    }
    return true;
}

/* ---- states -----------------------------------------------------------------------------------*/

static void take_down(struct pvblk_ctl *ctl)
{
    if (ctl->data == DATA_DOWN || ctl->data == DATA_DRAINING)
        return;
    ctl->data = DATA_DRAINING;
    ctl->params.ops->disconnect(ctl->params.ctx);
}

/* Stays so until the frontend has closed or begins anew: one that told nonsense is not asked again
 * and again. */
static void close_down(struct pvblk_ctl *ctl)
{
    take_down(ctl);
    if (ctl->state != XENBUS_CLOSING)
        set_state(ctl, XENBUS_CLOSING);
}

static void bring_up(struct pvblk_ctl *ctl)
{
    struct pvblk_rings rings;

    if (!read_rings(ctl, &rings)) {
        close_down(ctl);
        return;
    }
    ctl->data = DATA_CONNECTING;
    ctl->params.ops->connect(ctl->params.ctx, &rings);
}

static void begin_anew(struct pvblk_ctl *ctl)
{
    publish_features(ctl);
    set_state(ctl, XENBUS_INIT_WAIT);
}

static void tell_gone(struct pvblk_ctl *ctl)
{
    take_down(ctl);
    if (ctl->data != DATA_DOWN || ctl->gone)
        return;
    ctl->gone = true;
    ctl->params.ops->gone(ctl->params.ctx); /* may destroy us: last */
}

/* It has, or may have, our rings in use. */
static bool active(enum xenbus_state front)
{
    return front == XENBUS_INITIALISED || front == XENBUS_CONNECTED || front == XENBUS_CLOSING;
}

static bool is_to_close(const struct pvblk_ctl *ctl, enum xenbus_state own, enum xenbus_state front,
                        bool online)
{
    if (ctl->state == XENBUS_CLOSING || ctl->state == XENBUS_CLOSED)
        return false;
    switch (front) {
    case XENBUS_CLOSING:
    case XENBUS_CLOSED:
        return true;
    case XENBUS_UNKNOWN: /* its directory may come after ours */
    case XENBUS_INITIALISING:
    case XENBUS_INIT_WAIT: /* a connected one that begins anew */
        if (ctl->data != DATA_DOWN)
            return true;
        break;
    case XENBUS_INITIALISED:
    case XENBUS_CONNECTED:
        break;
    }
    return own == XENBUS_CLOSING || own == XENBUS_CLOSED || !online;
}

/* The two directories as they are now, whatever happened in between. */
static void look(struct pvblk_ctl *ctl)
{
    const struct xenbus *bus = ctl->params.bus;
    enum xenbus_state own = xenbus_read_state(bus, ctl->backend), front;
    uint32_t online = 0;

    if (own == XENBUS_UNKNOWN) { /* the directory is gone: a write would make it again */
        tell_gone(ctl);
        return;
    }
    if (xenbus_read_u32(bus, ctl->backend, "online", &online))
        online = 0;
    front = xenbus_read_state(bus, ctl->frontend);

    if (is_to_close(ctl, own, front, online))
        close_down(ctl);
    if (ctl->state == XENBUS_CLOSING && ctl->data == DATA_DOWN && !active(front))
        set_state(ctl, XENBUS_CLOSED);
    if (ctl->state == XENBUS_CLOSED) {
        if (!online) {
            tell_gone(ctl);
            return;
        }
        if (front == XENBUS_INITIALISING || front == XENBUS_INIT_WAIT ||
            front == XENBUS_INITIALISED || front == XENBUS_CONNECTED)
            begin_anew(ctl);
    }
    if (ctl->state == XENBUS_INIT_WAIT && ctl->data == DATA_DOWN &&
        (front == XENBUS_INITIALISED || front == XENBUS_CONNECTED))
        bring_up(ctl);
}

void pvblk_ctl_event(struct pvblk_ctl *ctl)
{
    if (!ctl->gone)
        look(ctl);
}

void pvblk_ctl_connected(struct pvblk_ctl *ctl, int error)
{
    if (ctl->data != DATA_CONNECTING)
        return; /* disconnected meanwhile: pvblk_ctl_drained() counts */
    if (xenbus_read_state(ctl->params.bus, ctl->backend) == XENBUS_UNKNOWN) {
        ctl->data = error ? DATA_DOWN : DATA_UP;
        tell_gone(ctl);
        return;
    }
    if (error) {
        ctl->data = DATA_DOWN;
        say(ctl, "connect", strerror(-error));
        close_down(ctl);
    } else {
        ctl->data = DATA_UP;
        publish_disk(ctl);
        set_state(ctl, XENBUS_CONNECTED);
    }
    look(ctl); /* it may have changed its mind */
}

void pvblk_ctl_drained(struct pvblk_ctl *ctl)
{
    assert(ctl->data == DATA_DRAINING);
    ctl->data = DATA_DOWN;
    look(ctl);
}

void pvblk_ctl_broken(struct pvblk_ctl *ctl, const char *why)
{
    if (ctl->data != DATA_UP)
        return;
    say(ctl, "ring", why);
    if (xenbus_read_state(ctl->params.bus, ctl->backend) == XENBUS_UNKNOWN)
        tell_gone(ctl);
    else
        close_down(ctl);
}

void pvblk_ctl_resized(struct pvblk_ctl *ctl, uint64_t sectors)
{
    ctl->params.disk.sectors = sectors;
    if (ctl->state != XENBUS_CONNECTED || ctl->gone ||
        xenbus_read_state(ctl->params.bus, ctl->backend) == XENBUS_UNKNOWN)
        return;
    publish_disk(ctl);
    set_state(ctl, XENBUS_CONNECTED); /* its watch fires, and it reads the size again */
}

enum xenbus_state pvblk_ctl_state(const struct pvblk_ctl *ctl)
{
    return ctl->state;
}

const char *pvblk_ctl_frontend(const struct pvblk_ctl *ctl)
{
    return ctl->frontend;
}

int pvblk_ctl_create(const struct pvblk_ctl_params *params, struct pvblk_ctl **ret_ctl)
{
    struct pvblk_ctl *ctl;
    uint32_t domain;
    int err = -EINVAL;

    assert(params->max_queues >= 1 && params->max_queues <= PVBLK_QUEUES);
    if (strlen(params->backend) >= XENBUS_PATH - 64)
        return -EINVAL;
    ctl = calloc(1, sizeof(*ctl));
    if (!ctl)
        return -ENOMEM;
    ctl->params = *params;
    strcpy(ctl->backend, params->backend);
    ctl->params.backend = ctl->backend;
    err = xenbus_read(params->bus, ctl->backend, "frontend", ctl->frontend, XENBUS_PATH - 64);
    if (err)
        goto free_ctl;
    err = xenbus_read_u32(params->bus, ctl->backend, "frontend-id", &domain);
    if (err)
        goto free_ctl;
    if (domain != params->frontend_id || ctl->frontend[0] != '/') {
        err = -EINVAL;
        goto free_ctl;
    }
    ctl->state = XENBUS_INITIALISING;
    /* Whatever another backend left there, if the toolstack has not ended it. */
    switch (xenbus_read_state(params->bus, ctl->backend)) {
    case XENBUS_UNKNOWN:
        err = -EINVAL;
        goto free_ctl;
    case XENBUS_CLOSING:
    case XENBUS_CLOSED:
        break;
    default:
        begin_anew(ctl);
    }
    *ret_ctl = ctl;
    return 0;

free_ctl:
    free(ctl);
    return err;
}

void pvblk_ctl_destroy(struct pvblk_ctl *ctl)
{
    free(ctl);
}
