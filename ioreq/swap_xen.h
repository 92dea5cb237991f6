/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The caller's half of the frame swap (ioreq/swap_abi.h): pages of our own whose frames can be
 * exchanged with those that a guest granted us, many in one call. For a PVH dom0 on a hypervisor
 * that has the operation switched on; it is a privileged act, on /dev/xen/hypercall.
 *
 * The pages come from gntalloc, which grants each of them to our own domain and to nobody else: a
 * reference names them, they do not move (locked memory can be migrated), and no guest can map what
 * they hold. They are ordinary pages otherwise, and can be a disk's or a socket's buffers.
 *
 * A guest's page that is swapped must be mapped by nobody, not by a device model either: it is busy
 * then, and the caller copies.
 *
 * Whoever gives a page to a guest must have written all of it since it held anything of another
 * guest's. What comes back holds what the guest had in its page, which nobody else may see.
 *
 * One thread. Nothing is allocated after swap_xen_open().
 */
#ifndef IOEMUD_IOREQ_SWAP_XEN_H
#define IOEMUD_IOREQ_SWAP_XEN_H

#include <stdint.h>

#define SWAP_XEN_PAGE 4096u
/* Swaps in one hypercall, which Xen can leave and come back to between any two of them. */
#define SWAP_XEN_BATCH 64u

struct swap_xen;
struct gnttab_swap_frame;

/* One swap. */
struct swap_xen_one {
    unsigned page; /* of ours */
    uint32_t ref;  /* the guest's, to us, for reading and writing */
    int err; /* 0: swapped; else as swap_xen_error() has it, and both pages are as they were */
};

/* The hypercall: 0 or -errno. */
typedef int swap_xen_call(void *ctx, struct gnttab_swap_frame *frames, unsigned count);

/*
 * `pages` of our own, at most as many as gntalloc's limit has (its module parameter, 1024 a
 * host); our own domain's number is `self`. -ENOSYS: the hypervisor has no such operation.
 * -EOPNOTSUPP: it is not switched on. -EPERM: our domain is not privileged. -EINVAL: it is a PV
 * domain. Others: a device of Xen's cannot be opened or has no more pages.
 */
int swap_xen_open(uint16_t self, unsigned pages, struct swap_xen **ret_swap);
void swap_xen_close(struct swap_xen *swap);

/* Valid and at the same address until close; its content changes with a swap. */
void *swap_xen_page(struct swap_xen *swap, unsigned page);

/*
 * Swaps with one guest. Returns how many were done, or -errno when a call as a whole failed: what
 * it did not come to is marked with that error, what it did do is told as ever. The guest sees
 * its new pages when this returns, or somewhat before.
 */
int swap_xen(struct swap_xen *swap, uint16_t domid, struct swap_xen_one *ones, unsigned count);

/*
 * A status of the operation as an errno:
 *   -EBUSY   somebody holds one of the pages: again, or copy
 *   -ESRCH   no such guest, or one whose pages are not swapped: copy, always
 *   -EACCES  forbidden
 *   -EINVAL  the reference is none, or not for all of a page and for writing
 *   -EFAULT  what was granted is no RAM
 *   -ENOMEM  a page table's memory is used up: copy
 *   -EIO     our IOMMU failed: the page of ours may be lost (swap_abi.h)
 *   -EPROTO  a status that is none
 */
int swap_xen_error(int status);

/* The same over a call of the test's and without pages; to be closed as well. */
int swap_xen_open_fake(swap_xen_call *call, void *ctx, const uint32_t *refs, unsigned pages,
                       struct swap_xen **ret_swap);

#endif
