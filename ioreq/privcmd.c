/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/privcmd.h"

#include <assert.h>
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <xenctrl.h>

#include <xen/hvm/dm_op.h>
#include <xen/sys/privcmd.h>

#define PAGE 4096u

int privcmd_restrict(int fd, uint16_t domid)
{
    domid_t id = domid;

    return ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &id) < 0 ? -errno : 0;
}

static int dm_op(int fd, uint16_t domid, const privcmd_dm_op_buf_t *bufs, uint16_t num)
{
    privcmd_dm_op_t call = {.dom = domid, .num = num, .ubufs = bufs};

    return ioctl(fd, IOCTL_PRIVCMD_DM_OP, &call) < 0 ? -errno : 0;
}

int privcmd_dm_op(int fd, uint16_t domid, struct xen_dm_op *op)
{
    privcmd_dm_op_buf_t buf = {.uptr = op, .size = sizeof(*op)};

    return dm_op(fd, domid, &buf, 1);
}

int privcmd_dm_op_with(int fd, uint16_t domid, struct xen_dm_op *op, void *buf, size_t size)
{
    privcmd_dm_op_buf_t bufs[] = {
        {.uptr = op, .size = sizeof(*op)},
        {.uptr = buf, .size = size},
    };

    return dm_op(fd, domid, bufs, 2);
}

/* The driver fills a mapping in by a later ioctl; until then touching it raises SIGBUS. NULL, with
 * errno set. */
static void *reserve(int fd, size_t pages)
{
    void *base = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return base == MAP_FAILED ? NULL : base;
}

int privcmd_map_resource(int fd, uint16_t domid, uint32_t type, uint32_t id, uint64_t first,
                         size_t pages, void **ret_base)
{
    void *base = reserve(fd, pages);
    int err;

    if (!base)
        return -errno;

    privcmd_mmap_resource_t call = {
        .dom = domid,
        .type = type,
        .id = id,
        .idx = (uint32_t)first,
        .num = pages,
        .addr = (uintptr_t)base,
    };

    if (ioctl(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &call) < 0) {
        err = -errno;
        privcmd_unmap(base, pages);
        return err;
    }
    *ret_base = base;
    return 0;
}

int privcmd_holes(const int *errs, size_t pages, uint64_t *ret_holes)
{
    uint64_t holes = 0;
    int later = 0;

    for (size_t i = 0; i < pages; i++) {
        switch (errs[i]) {
        case 0:
            break;
        case -ESRCH:
            return -ESRCH;
        case -ENOMEM:
        case -ENOENT:
        case -EAGAIN:
        case -EBUSY:
        case -EINTR:
            later = errs[i];
            break;
        default:
            holes |= UINT64_C(1) << i;
        }
    }
    if (!later)
        *ret_holes = holes;
    return later;
}

int privcmd_map_foreign(int fd, uint16_t domid, uint64_t first_gfn, size_t pages, void **ret_base,
                        uint64_t *ret_holes)
{
    xen_pfn_t gfns[PRIVCMD_MAP_MAX];
    int errs[PRIVCMD_MAP_MAX] = {0};
    void *base;
    int err = 0;

    assert(pages && pages <= PRIVCMD_MAP_MAX);
    base = reserve(fd, pages);
    if (!base)
        return -errno;
    for (size_t i = 0; i < pages; i++)
        gfns[i] = first_gfn + i;

    privcmd_mmapbatch_v2_t call = {
        .num = (unsigned)pages,
        .dom = domid,
        .addr = (uintptr_t)base,
        .arr = gfns,
        .err = errs,
    };

    /* ENOENT: some frame is paged out; the array tells which, as it does of any other hole. */
    if (ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &call) < 0 && errno != ENOENT)
        err = -errno;
    if (!err)
        err = privcmd_holes(errs, pages, ret_holes);
    if (err) {
        privcmd_unmap(base, pages);
        return err;
    }
    *ret_base = base;
    return 0;
}

void privcmd_unmap(void *base, size_t pages)
{
    munmap(base, pages * PAGE);
}
