/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The four things that hv_xen's data half asks of /dev/xen/privcmd (Linux, <xen/privcmd.h>), on a
 * descriptor that was opened and restricted elsewhere. libxendevicemodel and libxenforeignmemory
 * open the device themselves and cannot be handed one; hence this.
 *
 * No state. Every function returns 0 or -errno; -ESRCH means that the domain is gone.
 */
#ifndef IOEMUD_IOREQ_PRIVCMD_H
#define IOEMUD_IOREQ_PRIVCMD_H

#include <stddef.h>
#include <stdint.h>

struct xen_dm_op;

/* Pages that one privcmd_map_foreign() can map. */
#define PRIVCMD_MAP_MAX 64

/* From now on the descriptor serves `domid` only and refuses plain hypercalls. Not reversible. */
int privcmd_restrict(int fd, uint16_t domid);

/* HYPERVISOR_dm_op with `op` as its first buffer, read and written back. */
int privcmd_dm_op(int fd, uint16_t domid, struct xen_dm_op *op);

/* The same with a second buffer of `size` bytes. */
int privcmd_dm_op_with(int fd, uint16_t domid, struct xen_dm_op *op, void *buf, size_t size);

/* Maps `pages` frames, from `first` on, of a resource (XENMEM_acquire_resource), read-write. */
int privcmd_map_resource(int fd, uint16_t domid, uint32_t type, uint32_t id, uint64_t first,
                         size_t pages, void **ret_base);

/*
 * Maps `pages` (at most PRIVCMD_MAP_MAX) guest frames from `first_gfn` on, read-write. Frames that
 * are not RAM do not fail the call: their bit is set in *ret_holes, and touching them raises
 * SIGBUS. A frame that may be RAM but cannot be mapped now does fail it.
 */
int privcmd_map_foreign(int fd, uint16_t domid, uint64_t first_gfn, size_t pages, void **ret_base,
                        uint64_t *ret_holes);

/*
 * What the driver's array of errors, one a frame, says: a bit in *ret_holes for each that is no
 * RAM, or what privcmd_map_foreign() fails with. No RAM is -EINVAL, -EPERM, -EFAULT and whatever
 * else Xen says of a frame for good; not so -ENOMEM (we are short of memory, or Xen is), -ENOENT
 * (paged out), -EAGAIN, -EBUSY and -EINTR.
 */
int privcmd_holes(const int *errs, size_t pages, uint64_t *ret_holes);

/* Undoes either map. */
void privcmd_unmap(void *base, size_t pages);

#endif
