/* SPDX-License-Identifier: GPL-2.0-or-later OR MIT */
/*
 * The frame swap: a grant-table operation that exchanges the frames behind two grant references,
 * one of the caller's own and one of another domain's. Behind it, each domain's page has the
 * other one's content, at the guest-physical address and with the grant reference that it had;
 * nothing was copied. Both domains are translated by hardware (HAP), so that neither has
 * anything to mend.
 *
 * This header is the contract between the hypervisor and its caller, meant to be copied, hence the
 * MIT licence beside the project's. It needs nothing but fixed-width integers; where __XEN__ is
 * defined, the includer provides them. As Xen's build checks of its public headers, it is ANSI C
 * and C++. ioreq/hypervisor/README.md argues what this header states.
 *
 *   HYPERVISOR_grant_table_op(GNTTABOP_swap_frame, array of struct gnttab_swap_frame, count)
 *
 * The call as a whole:
 *   0            each element has its `status`; elements are done in order, each by itself
 *   -ENOSYS      a hypervisor without the operation
 *   -EOPNOTSUPP  it was not switched on when Xen was booted (gnttab_swap)
 *   -EPERM       the caller is no control domain
 *   -EINVAL      the caller is no domain whose frames could be swapped: not translated by hardware
 *   -EFAULT      the array is not the caller's memory; what came before was done
 * With a count of 0 the first four are all that it tells: so a caller asks.
 */
#ifndef IOEMUD_IOREQ_SWAP_ABI_H
#define IOEMUD_IOREQ_SWAP_ABI_H

#ifndef __XEN__
#include <stdint.h>
#endif

/* Far above those that have a meaning (0 to 12 in Xen 4.17), within the 12 bits that there are. */
#define GNTTABOP_swap_frame 0xe00

struct gnttab_swap_frame {
    /*
     * In. The caller's reference is a grant of its own to itself: a page that nobody else may map,
     * since before the swap it may hold anything. The other is a grant of remote_domid to the
     * caller. Both are for reading and writing and of a whole page.
     */
    uint32_t local_ref;
    uint32_t remote_ref;
    uint16_t remote_domid;
    /*
     * Out, GNTST_x (public/grant_table.h). Unless it is okay, nothing has changed.
     *   okay               both have changed, and no processor or device reaches a frame through an
     *                      old translation any more
     *   bad_domain         there is no such domain, it is dying, or its frames are not swapped:
     *                      the caller itself, another control domain, one that is not translated
     *                      by hardware, has devices of its own (its I/O could be under way), or
     *                      uses nested virtualization or alternate views
     *   permission_denied  the security policy forbids it
     *   bad_gntref         beyond the grant table
     *   general_error      no grant of a whole page to the caller for reading and writing
     *   bad_page           no ordinary RAM: a hole, shared, paged out, foreign, or used by Xen
     *   eagain             somebody else holds the page: it is mapped or being copied, by a grant
     *                      or otherwise, or paged out just now. Try again, or copy.
     *   no_space           a domain's memory for its page tables is used up, or the host's for
     *                      the IOMMU's: a large page could not be split. Copy.
     *   no_device_space    the caller's IOMMU does not take the page. If Xen's console says that
     *                      frames were withdrawn, the hardware failed, and both pages are lost.
     */
    int16_t status;
};

#endif
