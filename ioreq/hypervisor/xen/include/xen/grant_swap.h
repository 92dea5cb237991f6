/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame swap's two halves: common/grant_swap.c knows grants, and what is
 * below knows frames. public/grant_swap.h is the contract with the caller.
 */
#ifndef XEN_GRANT_SWAP_H
#define XEN_GRANT_SWAP_H

#include <xen/types.h>

#include <public/grant_swap.h>

struct domain;
struct page_info;

typedef struct gnttab_swap_frame gnttab_swap_frame_t;

#ifdef CONFIG_GRANT_SWAP

/* A reference to each of the two pages, which the caller of the swap holds. */
#define FRAME_SWAP_REFS 1

/*
 * Whether frames of this domain can be swapped at all, and with whom; constant
 * in a domain's life. A local domain's come and go at its own will; a remote
 * domain's, at the local one's.
 */
bool frame_swap_local_ok(const struct domain *d);
bool frame_swap_remote_ok(const struct domain *d);

/*
 * Exchanges two frames between domains for which the above are true: owner,
 * place in the p2m, and M2P. The caller holds FRAME_SWAP_REFS references to
 * each page, which are then references to the other domain's page, and no
 * lock of either domain.
 *
 * -EBUSY: somebody else has a reference, or a typed one
 * -ESRCH: a domain is dying
 * -EOPNOTSUPP: a domain uses alternate views just now
 * -EINVAL: no ordinary RAM
 * -ENOMEM: no memory for page tables
 * another: the IOMMU's
 * Nothing has changed then, but that large pages may have been split.
 *
 * -EIO: neither done nor undone; it cannot be told who reaches the frames.
 * The caller must keep its references for good, so that nobody gets them.
 */
int frame_swap(struct domain *local, struct page_info *local_page,
               struct domain *remote, struct page_info *remote_page);

#endif /* CONFIG_GRANT_SWAP */

#endif /* XEN_GRANT_SWAP_H */
