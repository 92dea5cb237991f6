/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/hv_xen.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <xenevtchn.h>

#include <xen/hvm/dm_op.h>
#include <xen/memory.h>
#include <xen/sys/evtchn.h>

#include "ioreq/bufpio_abi.h"
#include "ioreq/privcmd.h"

#define SERVER_PAGES 2

/* The order in which privcmd_map_resource() lays the server's pages out. */
_Static_assert(XENMEM_resource_ioreq_server_frame_bufioreq == 0, "buffered ring first");
_Static_assert(XENMEM_resource_ioreq_server_frame_ioreq(0) == 1, "then the vCPUs' slots");
_Static_assert((int)HV_RANGE_PORT == XEN_DMOP_IO_RANGE_PORT &&
                   (int)HV_RANGE_MMIO == XEN_DMOP_IO_RANGE_MEMORY &&
                   (int)HV_RANGE_PCI == XEN_DMOP_IO_RANGE_PCI,
               "ranges are passed on as they are");

int hv_xen_called(struct hv_guest *guest, int err)
{
    guest->counters.hypercalls++;
    if (err == -ESRCH)
        guest->gone = true;
    return err;
}

int hv_xen_dm_op(struct hv_guest *guest, struct xen_dm_op *op)
{
    if (guest->gone)
        return -ESRCH;
    return hv_xen_called(guest, privcmd_dm_op(guest->privcmd_fd, guest->domid, op));
}

/* Memory. */

static int bucket_map(void *ctx, uint64_t first_gfn, void **ret_base, uint64_t *ret_holes)
{
    struct hv_guest *guest = ctx;

    if (guest->gone)
        return -ESRCH;
    return hv_xen_called(guest, privcmd_map_foreign(guest->privcmd_fd, guest->domid, first_gfn,
                                                    MAPCACHE_BUCKET_PAGES, ret_base, ret_holes));
}

static void bucket_unmap(void *ctx, void *base)
{
    privcmd_unmap(base, MAPCACHE_BUCKET_PAGES);
}

static uint64_t now_ns(void *ctx)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static const struct mapcache_ops cache_ops = {
    .map = bucket_map,
    .unmap = bucket_unmap,
    .now_ns = now_ns,
};

/* Life. */

/* Xen makes the page when it is asked for it; Debian's refuses the number (EINVAL), as an older or
 * newer one does that has no such page. Whatever the reason, the guest does without. */
static void map_bufpio(struct hv_guest *guest)
{
    int err = guest->buffered_pio
                  ? hv_xen_called(
                        guest, privcmd_map_resource(guest->privcmd_fd, guest->domid,
                                                    XENMEM_resource_ioreq_server, guest->server_id,
                                                    BUFPIO_RESOURCE_FRAME, 1, &guest->bufpio))
                  : -EOPNOTSUPP;

    if (!err)
        guest->info.features |= HV_FEATURE_BUFFERED_PIO;
}

int hv_xen_guest_start(struct hv_guest *guest, struct hv_worker *worker)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_get_ioreq_server_info,
        .u.get_ioreq_server_info = {.id = guest->server_id, .flags = XEN_DMOP_no_gfns},
    };
    uint32_t channels = guest->info.vcpus + 1;
    int err;

    assert(!guest->pages);
    if (guest->server_id == HV_XEN_NO_SERVER)
        return 0;
    err = hv_xen_called(guest, privcmd_map_resource(guest->privcmd_fd, guest->domid,
                                                    XENMEM_resource_ioreq_server, guest->server_id,
                                                    0, SERVER_PAGES, &guest->pages));
    if (err)
        return err;
    map_bufpio(guest);
    err = hv_xen_dm_op(guest, &op);
    if (err)
        goto stop;
    guest->buffered_remote = op.u.get_ioreq_server_info.bufioreq_port;
    guest->local_ports = calloc(2 * channels, sizeof(*guest->local_ports));
    guest->taken = guest->local_ports ? guest->local_ports + channels : NULL;
    guest->n_taken = 0;
    err = guest->local_ports ? portmap_init(&guest->ports, channels) : -ENOMEM;
    if (err)
        goto stop;
    err = mapcache_create(&cache_ops, guest, guest->map_limit_mib, &guest->counters, &guest->cache);
    if (err)
        goto stop;
    return 0;

stop:
    hv_xen_guest_stop(guest);
    return err;
}

static int set_enabled(struct hv_guest *guest, bool enabled)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_ioreq_server_state,
        .u.set_ioreq_server_state = {.id = guest->server_id, .enabled = enabled},
    };

    return hv_xen_dm_op(guest, &op);
}

/* Binding makes Xen raise the channel once, so that what was asked before it is found. */
static int bind_channel(struct hv_guest *guest, uint32_t channel, uint32_t remote)
{
    int port = xenevtchn_bind_interdomain(guest->evtchn, guest->domid, remote);

    if (port < 0)
        return hv_xen_called(guest, -errno);
    guest->local_ports[channel] = (uint32_t)port;
    return portmap_add(&guest->ports, (uint32_t)port, channel);
}

int hv_xen_guest_enable(struct hv_guest *guest)
{
    const struct ioreq_slot *slots = hv_xen_slots(guest);
    uint32_t vcpus = guest->info.vcpus;
    int err;

    if (guest->server_id == HV_XEN_NO_SERVER)
        return 0;
    err = set_enabled(guest, true);
    if (err)
        return err;
    guest->enabled = true;
    for (uint32_t i = 0; i < vcpus; i++) {
        /* Xen's own page, which the guest cannot see; filled in by enabling. */
        err = bind_channel(guest, i, __atomic_load_n(&slots[i].vp_eport, __ATOMIC_ACQUIRE));
        if (err)
            return err;
    }
    return bind_channel(guest, vcpus, guest->buffered_remote);
}

/*
 * A server that goes away leaves a vCPU that waits for its answer waiting for ever. The server is
 * disabled, so no slot becomes READY any more: those that are get what an absent device gives.
 */
static void release_waiting(struct hv_guest *guest)
{
    struct ioreq_slot *slots = hv_xen_slots(guest);

    for (uint32_t i = 0; i < guest->info.vcpus; i++) {
        struct ioreq_slot *slot = &slots[i];
        uint8_t flags = __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE);
        uint8_t state = flags & IOREQ_STATE_MASK;

        if (state != IOREQ_STATE_READY && state != IOREQ_STATE_INPROCESS)
            continue;
        if (flags & IOREQ_READ && !(flags & IOREQ_DATA_IS_PTR))
            slot->data = UINT64_MAX;
        flags = (uint8_t)((flags & ~IOREQ_STATE_MASK) | IOREQ_STATE_RESP_READY);
        /* Pairs with Xen's read barrier between its look at the state and at the data. */
        __atomic_store_n(&slot->flags, flags, __ATOMIC_RELEASE);
        hv_xen_notify(guest, i);
    }
}

void hv_xen_guest_stop(struct hv_guest *guest)
{
    hv_xen_close_grants(guest);
    if (guest->enabled && !set_enabled(guest, false))
        release_waiting(guest);
    guest->enabled = false;
    if (guest->local_ports) {
        for (uint32_t i = 0; i <= guest->info.vcpus; i++)
            if (guest->local_ports[i] != HV_XEN_NO_PORT)
                xenevtchn_unbind(guest->evtchn, guest->local_ports[i]);
        free(guest->local_ports);
        guest->local_ports = guest->taken = NULL;
        guest->n_taken = 0;
    }
    portmap_finish(&guest->ports);
    mapcache_destroy(guest->cache);
    guest->cache = NULL;
    if (guest->pages)
        privcmd_unmap(guest->pages, SERVER_PAGES);
    guest->pages = NULL;
    if (guest->bufpio)
        privcmd_unmap(guest->bufpio, 1);
    guest->bufpio = NULL;
    guest->info.features &= ~HV_FEATURE_BUFFERED_PIO;
}

/* Ranges. */

static int range_op(struct hv_guest *guest, uint32_t number, enum hv_range type, uint64_t first,
                    uint64_t last)
{
    struct xen_dm_op op = {
        .op = number,
        .u.map_io_range_to_ioreq_server =
            {
                .id = guest->server_id,
                .type = (uint32_t)type,
                .start = first,
                .end = last,
            },
    };

    return hv_xen_dm_op(guest, &op);
}

int hv_xen_claim(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    int err = range_op(guest, XEN_DMOP_map_io_range_to_ioreq_server, type, first, last);

    /* Xen's limit of ranges a server shows as a lack of memory. */
    return err == -ENOMEM ? -ENOSPC : err;
}

void hv_xen_release(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    range_op(guest, XEN_DMOP_unmap_io_range_from_ioreq_server, type, first, last);
}

/* Events. */

/* The driver's ring ran over, which it promises not to do: empties it and looks everywhere. */
static int all_pending(struct hv_guest *guest, struct hv_pending *pending)
{
    if (ioctl(guest->evtchn_fd, IOCTL_EVTCHN_RESET) < 0)
        return -errno;
    guest->n_taken = 0;
    for (uint32_t i = 0; i <= guest->info.vcpus; i++)
        if (guest->local_ports[i] != HV_XEN_NO_PORT)
            guest->taken[guest->n_taken++] = guest->local_ports[i];
    for (uint32_t i = 0; i < guest->info.vcpus; i++)
        pending->slots[i / 64] |= UINT64_C(1) << i % 64;
    pending->buffered = true;
    return 0;
}

int hv_xen_guest_pending(struct hv_guest *guest, struct hv_pending *ret_pending)
{
    /* A port that was taken is masked: there are never more of them than channels. */
    uint32_t *ports = guest->taken + guest->n_taken;
    size_t room = guest->info.vcpus + 1 - guest->n_taken;
    ssize_t got;

    *ret_pending = (struct hv_pending){.gone = guest->gone};
    if (!room)
        return 0;
    got = read(guest->evtchn_fd, ports, room * sizeof(*ports));
    if (got < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return 0;
        if (errno == EFBIG)
            return all_pending(guest, ret_pending);
        ret_pending->gone = true;
        return -errno;
    }
    guest->n_taken += (uint32_t)((size_t)got / sizeof(*ports));
    for (size_t i = 0; i < (size_t)got / sizeof(*ports); i++) {
        uint32_t channel;

        if (portmap_find(&guest->ports, ports[i], &channel))
            continue;
        if (channel == guest->info.vcpus)
            ret_pending->buffered = true;
        else
            ret_pending->slots[channel / 64] |= UINT64_C(1) << channel % 64;
    }
    return 0;
}

void hv_xen_guest_rearm(struct hv_guest *guest)
{
    if (!guest->n_taken)
        return;
    /* The driver skips ports that it does not know and has no other reason to fail. */
    if (write(guest->evtchn_fd, guest->taken, guest->n_taken * sizeof(*guest->taken)) < 0)
        guest->gone = true;
    guest->n_taken = 0;
}

struct ioreq_slot *hv_xen_slots(struct hv_guest *guest)
{
    return guest->pages ? (struct ioreq_slot *)((char *)guest->pages + IOREQ_PAGE) : NULL;
}

struct buf_ioreq_page *hv_xen_buffered(struct hv_guest *guest)
{
    return guest->pages;
}

void *hv_xen_bufpio(struct hv_guest *guest)
{
    return guest->bufpio;
}

void hv_xen_notify(struct hv_guest *guest, uint32_t vcpu)
{
    if (vcpu >= guest->info.vcpus || guest->local_ports[vcpu] == HV_XEN_NO_PORT)
        return;
    guest->counters.hypercalls++;
    xenevtchn_notify(guest->evtchn, guest->local_ports[vcpu]);
}
