// SPDX-License-Identifier: GPL-2.0-or-later
#include "ioreq/grant_swap.h"

#include <errno.h>
#include <string.h>

/* In the words of devices/grant.h. What is none of these is another reason to copy; only where it
 * is not known what became of the page it must not be touched any more. */
static int error_of(int err)
{
    switch (err) {
    case 0:
    case -ESRCH:
    case -EACCES:
    case -EINVAL:
    case -EFAULT:
    case -EIO:
        return err;
    case -EPROTO:
        return -EIO;
    default:
        return -EBUSY;
    }
}

static void swap(void *ctx, uint16_t domid, struct grant_xen_one *ones, unsigned count)
{
    struct swap_xen_one batch[SWAP_XEN_BATCH];

    for (unsigned done = 0, now; done < count; done += now) {
        now = count - done < SWAP_XEN_BATCH ? count - done : SWAP_XEN_BATCH;
        for (unsigned i = 0; i < now; i++)
            batch[i] =
                (struct swap_xen_one){.page = ones[done + i].page, .ref = ones[done + i].ref};
        swap_xen(ctx, domid, batch, now); /* what failed says so in each */
        for (unsigned i = 0; i < now; i++)
            ones[done + i].err = error_of(batch[i].err);
    }
}

int grant_swap_use(struct grant_xen *xen, struct swap_xen *swap_xen, uint8_t *base, unsigned pages,
                   uint32_t from)
{
    struct grant_xen_swapper swapper = {
        .swap = swap, .ctx = swap_xen, .base = base, .pages = pages, .from = from};

    return grant_xen_use_swap(xen, &swapper);
}

const char *grant_swap_refusal(int err)
{
    switch (err) {
    case -ENOSYS:
        return "this hypervisor has no frame swap";
    case -EOPNOTSUPP:
        return "it is not switched on: boot Xen with gnttab_swap";
    case -EPERM:
        return "this domain is not privileged";
    case -EINVAL:
        return "this is a PV domain: it takes a PVH dom0";
    default:
        return strerror(-err);
    }
}
