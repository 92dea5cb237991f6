/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's grants as devices/grant.h has them, for HVM guests (hv_ops.grants) and for PV and PVH
 * guests that have no hv_guest at all.
 *
 *   worker  grant_xen_open()        before any sandbox: opens /dev/xen/gntdev
 *           grant_xen_use_swap()    where the hypervisor can exchange frames, before any guest
 *           grant_xen_guest_open()  a domain's; costs no system call
 *           grant_xen_guest_close() what is mapped stays until it is unmapped
 *           grant_xen_close()       after the last of them
 *
 * gntdev cannot be restricted to a domain (facts of Xen 4.17), so the domain is our own choice in
 * each call and never a guest's. A worker that is a process of its own has none of this, but
 * ioreq/grant_remote.h. One thread.
 */
#ifndef IOEMUD_IOREQ_GRANT_XEN_H
#define IOEMUD_IOREQ_GRANT_XEN_H

#include <xenctrl.h> /* before any header of Xen itself: it says that we are tools */
#include <xengnttab.h>

#include "devices/grant.h"

struct grant_xen;

/* Pages that a guest's backends have mapped at a time: as many as Linux's blkback keeps of a
 * frontend's persistent grants (1056), and the rings besides. dom0's own limit is for all guests
 * together (gnttab_max_maptrack_frames of Xen). */
#define GRANT_XEN_MAPPED_MAX 1120u

/* What is used of libxengnttab, with its results and errno; for tests. */
struct grant_xen_calls {
    void *(*map)(void *handle, uint32_t count, uint32_t domid, uint32_t *refs, int prot);
    int (*unmap)(void *handle, void *base, uint32_t count);
    int (*copy)(void *handle, uint32_t count, xengnttab_grant_copy_segment_t *segments);
    void (*close)(void *handle);
};

/* -errno of open(2), usually -ENOENT where there is no Xen, or -ENOMEM. */
int grant_xen_open(struct grant_xen **ret_xen);
int grant_xen_open_with(const struct grant_xen_calls *calls, void *handle,
                        struct grant_xen **ret_xen);
/* NULL is fine. */
void grant_xen_close(struct grant_xen *xen);

/* Pages of gntalloc side by side, whose frames the hypervisor can exchange with those that guests
 * granted. They serve all of the worker's guests, one after the other: what devices/grant.h says of
 * whole pages keeps their bytes apart. */
struct grant_xen_one {
    unsigned page; /* of ours */
    uint32_t ref;
    int err; /* returned: 0 or -errno as in devices/grant.h */
};
struct grant_xen_swapper {
    void (*swap)(void *ctx, uint16_t domid, struct grant_xen_one *ones, unsigned count);
    void *ctx;
    uint8_t *base;
    unsigned pages;
    uint32_t from; /* bytes: struct grant_crossover */
};
/* `swapper` is copied. -ENOMEM */
int grant_xen_use_swap(struct grant_xen *xen, const struct grant_xen_swapper *swapper);

/* -ENOMEM */
int grant_xen_guest_open(struct grant_xen *xen, uint32_t domid, const struct grants **ret_grants);
/* NULL is fine. */
void grant_xen_guest_close(const struct grants *grants);

#endif
