/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the halves of hv_xen share; nobody else includes this.
 *
 *   hv_xen_control.c    main thread: libxenctrl, libxendevicemodel, libxenstore. Makes the ioreq
 *                       server and opens, restricts and closes the guest's descriptors.
 *   hv_xen_toolstack.c  main thread: what libxl wrote to XenStore.
 *   hv_xen_data.c       the worker's thread: libxenevtchn and privcmd on those descriptors.
 *   hv_xen_pack.c       a guest is sent from the one to the other.
 *   hv_xen.c            lines, dirty pages, shutdown, and the ops table.
 */
#ifndef IOEMUD_IOREQ_HV_XEN_H
#define IOEMUD_IOREQ_HV_XEN_H

#include <stdatomic.h>

#include <xenctrl.h> /* before any header of Xen itself: it says that we are tools */

#include "ioreq/hv.h"
#include "ioreq/mapcache.h"
#include "ioreq/portmap.h"

struct xenbus;
struct xenevtchn_handle;
struct xen_dm_op;

#define HV_XEN_NO_PORT   0u
#define HV_XEN_NO_SERVER UINT16_MAX /* ioservid_t; the last that a domain can have is 7 */
#define HV_XEN_PCI_SLOTS 32u
#define HV_XEN_LINKS     4u

struct hv_guest {
    /* Control's; constant between guest_create() and guest_destroy(). */
    struct hv_host *host;
    struct hv_guest *next;
    struct hv_guest_info info; /* but for HV_FEATURE_BUFFERED_PIO */
    char name[HV_NAME_MAX + 1];
    xen_domain_handle_t handle; /* the domain's UUID */
    uint16_t domid;
    uint16_t server_id;     /* HV_XEN_NO_SERVER: nothing is emulated */
    uint32_t map_limit_mib; /* its share of the host's */
    uint32_t map_reserved_mib;
    bool buffered_pio; /* wanted */
    bool gone_told;    /* to the host's events */
    int privcmd_fd;    /* restricted to domid, both */
    int evtchn_fd;
    struct xenevtchn_handle *evtchn; /* on evtchn_fd, which it owns */

    /* The worker's, from guest_start() to guest_stop(). */
    void *pages;  /* the two server pages; NULL: not started */
    void *bufpio; /* the buffered PIO page; NULL: none */
    bool gone;    /* the hypervisor says that there is no such domain */
    bool enabled;
    uint32_t buffered_remote; /* Xen's end of the buffered ring's channel */
    uint32_t *local_ports;    /* a port per vCPU, then the buffered ring's; HV_XEN_NO_PORT */
    struct portmap ports;
    uint32_t *taken; /* ports that guest_pending() took and guest_rearm() has to unmask */
    uint32_t n_taken;
    struct mapcache *cache;
    const struct grants *grants; /* NULL: none */
    bool grants_are_remote;      /* ioreq/grant_remote.h's, else ioreq/grant_xen.h's */
    struct hv_counters counters;

    /* Lines as Xen was last told; a bit of `known` says that it was told at all: a restored
     * domain begins with levels that we have not seen. */
    uint16_t isa_level, isa_known;
    uint8_t intx_level[HV_XEN_PCI_SLOTS], intx_known[HV_XEN_PCI_SLOTS]; /* a bit per pin */
    uint8_t link_irq[HV_XEN_LINKS], link_known;

    /* Set by the control side when the toolstack asks for a log of what we write. */
    atomic_bool log_dirty;
};

/* hv_xen_control.c */
int hv_xen_host_open(const struct hv_host_params *params, struct hv_host **ret_host);
void hv_xen_host_close(struct hv_host *host);
int hv_xen_host_fd(const struct hv_host *host);
int hv_xen_host_dispatch(struct hv_host *host);
int hv_xen_guest_create(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_guest **ret_guest);
void hv_xen_guest_destroy(struct hv_guest *guest);
/* hv_ops's, of a worker process; and whether this is one. */
int hv_xen_host_bare(struct hv_host **ret_host);
bool hv_xen_host_is_bare(const struct hv_host *host);
/* hv_xen_pack.c */
void hv_xen_guest_close_evtchn(struct hv_guest *guest);
int hv_xen_guest_pack(struct hv_guest *guest, struct hv_packed *ret_packed);
int hv_xen_guest_unpack(struct hv_host *host, const struct hv_packed *packed,
                        struct hv_guest **ret_guest);
/* hv_xen_control.c */
/* Closes what the guest has opened. */
void hv_xen_guest_let_go(struct hv_guest *guest);
int hv_xen_guest_intend(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_record *ret_record);
int hv_xen_guest_pause(struct hv_guest *guest, bool pause);
void hv_xen_guest_record(const struct hv_guest *guest, struct hv_record *ret_record);
int hv_xen_guest_domain(const struct hv_guest *guest, struct hv_domain *ret_domain);
int hv_xen_find_domain(struct hv_host *host, const char *name, uint32_t *ret_domid);

/* hv_xen_toolstack.c */
/* The string at a path of XenStore, to be freed; NULL. */
__attribute__((format(printf, 2, 3))) char *hv_xen_read_path(struct hv_host *host,
                                                             const char *format, ...);
bool hv_xen_disks_have_pv(struct hv_host *host, uint32_t domid, const struct hv_disk *disks,
                          unsigned n_disks, bool own);
bool hv_xen_nic_has_pv(struct hv_host *host, uint32_t domid, unsigned devid,
                       struct hv_nic_credit *ret_credit);

/* hv_xen_control.c */
const struct xenbus *hv_xen_host_store(const struct hv_host *host);
/* hv_host_params.swap_pages, 0 once it was refused; of all workers' opening the first tells. */
unsigned hv_xen_host_swap(const struct hv_host *host, uint32_t *ret_from);
void hv_xen_host_swap_tell(struct hv_host *host, int err);
/* Restricted to the domain and without blocking: its descriptor, which *ret_handle owns. */
int hv_xen_open_evtchn(uint16_t domid, struct xenevtchn_handle **ret_handle);
int hv_xen_orphan_remove(struct hv_host *host, const struct hv_record *record);

/* hv_xen_vbd.c */
/* Whether the virtual disk `devid` (xen-vbd-interface(7)) with the image `params`, as libxl wrote
 * it to XenStore (a path, or for a device model FORMAT:PATH), is the emulated one. `params` NULL:
 * an empty drive. */
bool hv_xen_vbd_is(unsigned devid, const char *params, const struct hv_disk *disk);

/* hv_xen_pv.c */
void hv_xen_close_grants(struct hv_guest *guest);
struct xs_handle;
void hv_xen_store_init(struct xenbus *bus, struct xs_handle *xs);

/* hv_xen_data.c */
int hv_xen_dm_op(struct hv_guest *guest, struct xen_dm_op *op);
/* Notes that a call was made and, from its result, that the domain is gone. Returns the result. */
int hv_xen_called(struct hv_guest *guest, int err);
int hv_xen_guest_start(struct hv_guest *guest, struct hv_worker *worker);
int hv_xen_guest_enable(struct hv_guest *guest);
void hv_xen_guest_stop(struct hv_guest *guest);
int hv_xen_claim(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last);
void hv_xen_release(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last);
int hv_xen_guest_pending(struct hv_guest *guest, struct hv_pending *ret_pending);
void hv_xen_guest_rearm(struct hv_guest *guest);
struct ioreq_slot *hv_xen_slots(struct hv_guest *guest);
struct buf_ioreq_page *hv_xen_buffered(struct hv_guest *guest);
void *hv_xen_bufpio(struct hv_guest *guest);
void hv_xen_notify(struct hv_guest *guest, uint32_t vcpu);

#endif
