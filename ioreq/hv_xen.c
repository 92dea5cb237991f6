/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/hv_xen.h"

#include <errno.h>
#include <stdlib.h>

#include <xen/hvm/dm_op.h>
#include <xen/sched.h>

#include "ioreq/grant_swap.h"
#include "ioreq/hv_pv.h"
#include "ioreq/privcmd.h"

#define ISA_IRQS 16u
#define PCI_PINS 4u

/* A worker's share. */
struct hv_worker {
    struct hv_host *host;
    struct grant_xen *grants; /* NULL: no gntdev, so no PV backends */
    struct swap_xen *swap;    /* NULL: not asked for, or not there */
};

/* The daemon's own domain: dom0, as all else here takes for granted. */
#define OWN_DOMAIN 0

static void open_swap(struct hv_worker *worker)
{
    uint32_t from;
    unsigned pages = hv_xen_host_swap(worker->host, &from);
    int err;

    if (!pages || !worker->grants)
        return;
    err = swap_xen_open(OWN_DOMAIN, pages, &worker->swap);
    if (!err)
        err = grant_swap_use(worker->grants, worker->swap, swap_xen_page(worker->swap, 0), pages,
                             from);
    hv_xen_host_swap_tell(worker->host, err);
}

static int worker_open(struct hv_host *host, struct hv_worker **ret_worker)
{
    struct hv_worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        return -ENOMEM;
    worker->host = host;
    /* A process that is to reach one domain only must not have gntdev, which cannot be restricted:
     * any other's grants to dom0 could be mapped with it. */
    if (hv_xen_host_is_bare(host) || grant_xen_open(&worker->grants) < 0)
        worker->grants = NULL;
    open_swap(worker);
    *ret_worker = worker;
    return 0;
}

static void worker_close(struct hv_worker *worker)
{
    grant_xen_close(worker->grants);
    swap_xen_close(worker->swap); /* after what lends its pages */
    free(worker);
}

static int guest_start(struct hv_guest *guest, struct hv_worker *worker)
{
    int err = hv_xen_guest_start(guest, worker);

    if (!err && worker->grants)
        err = grant_xen_guest_open(worker->grants, guest->domid, &guest->grants);
    return err;
}

static const struct grants *guest_grants(struct hv_guest *guest)
{
    return guest->grants;
}

static const struct hv_guest_info *guest_info(const struct hv_guest *guest)
{
    return &guest->info;
}

static const struct hv_counters *guest_counters(const struct hv_guest *guest)
{
    return &guest->counters;
}

static int guest_fd(const struct hv_guest *guest)
{
    return guest->evtchn_fd;
}

/* Memory. */

static int pin(struct hv_guest *guest, uint64_t gpa, size_t len, bool write, struct iovec *iov,
               size_t *ret_len)
{
    if (guest->gone || !guest->cache)
        return -ESRCH;
    return mapcache_pin(guest->cache, gpa, len, iov, HV_PIN_IOV, ret_len);
}

static void unpin(struct hv_guest *guest, uint64_t gpa, size_t len)
{
    mapcache_unpin(guest->cache, gpa, len);
}

static void invalidate(struct hv_guest *guest)
{
    mapcache_invalidate(guest->cache);
}

static void mark_dirty(struct hv_guest *guest, uint64_t gpa, size_t len)
{
    if (!atomic_load_explicit(&guest->log_dirty, memory_order_relaxed) || !len || guest->gone)
        return;

    uint64_t first = gpa / IOREQ_PAGE;
    uint64_t last = (gpa + len - 1) / IOREQ_PAGE;
    struct xen_dm_op_modified_memory_extent extent = {
        .nr = (uint32_t)(last - first + 1),
        .first_pfn = first,
    };
    struct xen_dm_op op = {.op = XEN_DMOP_modified_memory, .u.modified_memory = {.nr_extents = 1}};

    hv_xen_called(
        guest, privcmd_dm_op_with(guest->privcmd_fd, guest->domid, &op, &extent, sizeof(extent)));
}

/* Lines: Xen is told of changes only. A call that fails leaves the line unknown. */

static void isa_irq(struct hv_guest *guest, unsigned irq, bool level)
{
    uint16_t bit = (uint16_t)(1u << irq % ISA_IRQS);
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_isa_irq_level,
        .u.set_isa_irq_level = {.isa_irq = (uint8_t)irq, .level = level},
    };

    if (irq >= ISA_IRQS || (guest->isa_known & bit && !!(guest->isa_level & bit) == level))
        return;
    guest->isa_known &= (uint16_t)~bit;
    if (hv_xen_dm_op(guest, &op))
        return;
    guest->isa_known |= bit;
    guest->isa_level = (uint16_t)(level ? guest->isa_level | bit : guest->isa_level & ~bit);
}

static void pci_intx(struct hv_guest *guest, unsigned slot, unsigned pin_number, bool level)
{
    uint8_t bit = (uint8_t)(1u << pin_number % PCI_PINS);
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_pci_intx_level,
        .u.set_pci_intx_level =
            {
                .device = (uint8_t)slot,
                .intx = (uint8_t)pin_number,
                .level = level,
            },
    };

    if (slot >= HV_XEN_PCI_SLOTS || pin_number >= PCI_PINS)
        return;

    uint8_t *known = &guest->intx_known[slot];
    uint8_t *levels = &guest->intx_level[slot];

    if (*known & bit && !!(*levels & bit) == level)
        return;
    *known &= (uint8_t)~bit;
    if (hv_xen_dm_op(guest, &op))
        return;
    *known |= bit;
    *levels = (uint8_t)(level ? *levels | bit : *levels & ~bit);
}

static void pci_link_route(struct hv_guest *guest, unsigned link, unsigned irq)
{
    uint8_t bit = (uint8_t)(1u << link % HV_XEN_LINKS);
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_pci_link_route,
        .u.set_pci_link_route = {.link = (uint8_t)link, .isa_irq = (uint8_t)irq},
    };

    if (link >= HV_XEN_LINKS || irq >= ISA_IRQS)
        return;
    if (guest->link_known & bit && guest->link_irq[link] == irq)
        return;
    guest->link_known &= (uint8_t)~bit;
    if (hv_xen_dm_op(guest, &op))
        return;
    guest->link_known |= bit;
    guest->link_irq[link] = (uint8_t)irq;
}

static void msi(struct hv_guest *guest, uint64_t address, uint32_t data)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_inject_msi,
        .u.inject_msi = {.data = data, .addr = address},
    };

    hv_xen_dm_op(guest, &op);
}

static void guest_shutdown(struct hv_guest *guest, enum hv_shutdown reason)
{
    static const uint32_t reasons[] = {
        [HV_SHUTDOWN_POWEROFF] = SHUTDOWN_poweroff,
        [HV_SHUTDOWN_REBOOT] = SHUTDOWN_reboot,
        [HV_SHUTDOWN_CRASH] = SHUTDOWN_crash,
    };
    struct xen_dm_op op = {
        .op = XEN_DMOP_remote_shutdown,
        .u.remote_shutdown = {.reason = reasons[reason]},
    };

    hv_xen_dm_op(guest, &op);
}

/* Its vCPUs do not run, so there is nobody to be told. */
static void guest_paused(struct hv_guest *guest, bool paused)
{
}

const struct hv_ops hv_xen_ops = {
    .name = "xen",
    .pv = &hv_xen_pv_ops,
    .host_open = hv_xen_host_open,
    .host_close = hv_xen_host_close,
    .host_fd = hv_xen_host_fd,
    .host_dispatch = hv_xen_host_dispatch,
    .guest_create = hv_xen_guest_create,
    .guest_destroy = hv_xen_guest_destroy,
    .guest_intend = hv_xen_guest_intend,
    .guest_pause = hv_xen_guest_pause,
    .guest_record = hv_xen_guest_record,
    .find_domain = hv_xen_find_domain,
    .guest_domain = hv_xen_guest_domain,
    .disks_have_pv = hv_xen_disks_have_pv,
    .nic_has_pv = hv_xen_nic_has_pv,
    .orphan_remove = hv_xen_orphan_remove,
    .worker_open = worker_open,
    .worker_close = worker_close,
    .guest_pack = hv_xen_guest_pack,
    .host_bare = hv_xen_host_bare,
    .guest_unpack = hv_xen_guest_unpack,
    .guest_let_go = hv_xen_guest_let_go,
    .guest_start = guest_start,
    .guest_enable = hv_xen_guest_enable,
    .guest_stop = hv_xen_guest_stop,
    .guest_info = guest_info,
    .guest_counters = guest_counters,
    .claim = hv_xen_claim,
    .release = hv_xen_release,
    .guest_fd = guest_fd,
    .guest_pending = hv_xen_guest_pending,
    .guest_rearm = hv_xen_guest_rearm,
    .slots = hv_xen_slots,
    .buffered = hv_xen_buffered,
    .bufpio = hv_xen_bufpio,
    .notify = hv_xen_notify,
    .pin = pin,
    .unpin = unpin,
    .invalidate = invalidate,
    .mark_dirty = mark_dirty,
    .grants = guest_grants,
    .isa_irq = isa_irq,
    .pci_intx = pci_intx,
    .pci_link_route = pci_link_route,
    .msi = msi,
    .shutdown = guest_shutdown,
    .paused = guest_paused,
};
