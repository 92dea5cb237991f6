/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's grants as devices/grant.h has them, for HVM guests (hv_ops.grants) and for PV and PVH
 * guests that have no hv_guest at all.
 *
 *   worker  grant_xen_open()        before any sandbox: opens /dev/xen/gntdev
 *           grant_xen_guest_open()  a domain's; costs no system call
 *           grant_xen_guest_close() what is mapped stays until it is unmapped
 *           grant_xen_close()       after the last of them
 *
 * gntdev cannot be restricted to a domain (facts of Xen 4.17), so the domain is our own choice in
 * each call and never a guest's. One thread.
 */
#ifndef IOEMUD_IOREQ_GRANT_XEN_H
#define IOEMUD_IOREQ_GRANT_XEN_H

#include <xenctrl.h> /* before any header of Xen itself: it says that we are tools */
#include <xengnttab.h>

#include "devices/grant.h"

struct grant_xen;

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

/* -ENOMEM */
int grant_xen_guest_open(struct grant_xen *xen, uint32_t domid, const struct grants **ret_grants);
/* NULL is fine. */
void grant_xen_guest_close(const struct grants *grants);

#endif
