/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exchanges two frames between a control domain (local, the caller's) and
 * another domain (remote), both translated by HAP, at unchanged GFNs. See
 * xen/grant_swap.h. This is steal_page() for translated domains, twice and
 * crosswise, but that at no time a GFN is a hole or a frame has no owner.
 *
 * References. A p2m entry of plain RAM holds no reference on its frame: what
 * makes it safe is that the frame's owner is the p2m's domain and that whoever
 * wants more than a look takes a reference under the p2m lock. So whoever may
 * rely on the frame while the p2m is unlocked (foreign mappings, mapped grants,
 * grant copies, vcpu_info and event channel pages, nested control blocks, the
 * emulator's accesses, a save in progress) shows in count_info. It has to be
 * exactly the frame's allocation and our caller's reference; otherwise the
 * swap is refused. With that, no mapping of a device model's can be left
 * behind either, and no request to invalidate them is sent.
 *
 * The caller's references keep a frame that changed owner allocated until all
 * translations to it that others had are gone: its new owner may well die in
 * between and be torn down. Only behind the last flush they are dropped.
 *
 * Types. In a translated domain a frame is PGT_none, or PGT_writable_page
 * once Xen took a type reference. Without type references either means the
 * same with the new owner; both domains are HVM ones, so there is no IOMMU
 * mapping that comes and goes with the type. All else is refused: PGT_locked
 * or shared (mem_sharing), PGT_non_coherent (a PV domain has had it mapped
 * other than write-back; put_page() would flush caches, so copy instead).
 *
 * Locks, outermost first:
 *   remote p2m lock        held across all of it
 *   local p2m lock         held until the local domain is through
 *   remote page_alloc_lock, local page_alloc_lock
 * mm-locks.h adds MM_LOCK_ORDER_MAX to the levels of a control domain, so that
 * its p2m lock (80) may be taken with another domain's (16) held, and with
 * it nothing of the other domain's any more: the remote p2m can be changed (its
 * paging lock is 64) before the local lock is taken and after it is dropped,
 * not in between. Since local is a control domain and remote is none, no two
 * callers take two locks in different order. The grant table's locks are
 * outside of p2m locks everywhere, and not held here. TLB flushes with a p2m
 * lock held are what p2m_pt_set_entry() has always done; all these locks are
 * taken with interrupts on.
 *
 * Order of events. "a" is the local domain's frame, "b" the remote one's.
 *   1  remote and local: what is a large page becomes small ones. This is all
 *      that can lack memory, and means nothing to the domains.
 *   2  local GFN -> b, and flush: CPUs, devices. Nobody in the local domain
 *      reaches a. It reaches b, which the grant allows. Can be taken back.
 *   3  a and b change owner, at once and for good; or one of them is in use,
 *      or a domain is dying, then 2 is taken back.
 *   4  remote GFN -> a, and flush. Nobody in the remote domain reaches b.
 * Between 2 and 4 both domains see b. That is no more than the grant allows
 * until the hypercall returns. Nobody sees a who should not: the remote domain
 * gets it when all that the local one's CPUs and devices had to write has been
 * written. Accesses that fault in between (log-dirty) wait for the p2m lock.
 *
 * Dying domains. is_dying is set before a domain's pages are relinquished,
 * which takes page_alloc_lock. With the lock held, a domain that is not dying
 * will be found to own what it is given now. A frame is frozen (no references,
 * nobody can get one) within the lock only: relinquish_memory() passes a
 * frozen page over, which is right while somebody frees it, and would lose it
 * otherwise. So a frame always has one owner, is on his page_list, and counts
 * once; tot_pages and claims do not change.
 *
 * Log-dirty. The entries are plain p2m_ram_rw behind it and the GFNs are
 * marked dirty, as behind a write fault. They are marked when the new frame is
 * in place: a round that is cleaned in between has the old content, and the
 * next one has the GFN. A p2m type is never changed from under a domctl: these
 * hold the p2m lock, too.
 */
#include <xen/grant_swap.h>
#include <xen/iommu.h>
#include <xen/mm.h>
#include <xen/paging.h>
#include <xen/sched.h>

#include <asm/altp2m.h>
#include <asm/hvm/nestedhvm.h>
#include <asm/p2m.h>
#include <asm/paging.h>

#include "mm-locks.h"

/* count_info of a frame that can be swapped: in its p2m, and in our hands. */
#define SWAPPABLE (PGC_allocated | (1 + FRAME_SWAP_REFS))

/* A domain's end of a swap. */
struct swap_end {
    struct domain *d;
    struct p2m_domain *p2m;
    struct page_info *page; /* the frame that it gives */
    gfn_t gfn;
    p2m_type_t type;
    p2m_access_t access;
};

static bool swap_end_ok(const struct domain *d)
{
    /* A nested p2m has translations of its own; the caller can copy. */
    return is_hvm_domain(d) && hap_enabled(d) && !nestedhvm_enabled(d);
}

bool frame_swap_local_ok(const struct domain *d)
{
    return is_control_domain(d) && swap_end_ok(d);
}

bool frame_swap_remote_ok(const struct domain *d)
{
    /*
     * A device of the remote domain's may be writing to the page that it
     * granted: nobody can tell, and what it writes would get lost, or need the
     * IOMMU's entry changed under it. A control domain is local to itself.
     */
    return !is_control_domain(d) && swap_end_ok(d) && !is_iommu_enabled(d);
}

/* A hint, without any lock; most that is refused is refused here. */
static int swap_check_idle(const struct page_info *page)
{
    unsigned long info = ACCESS_ONCE(page->count_info);

    /* Xen's own, being freed, or about to be taken offline. */
    if ( (info & ~PGC_count_mask) != PGC_allocated )
        return -EINVAL;

    return info == SWAPPABLE ? 0 : -EBUSY;
}

/*
 * Looks up where the domain has its page, and splits a large one that it is in.
 * The p2m is locked, and the M2P entry of a domain's own page changes only
 * under that lock; what it says is believed when the p2m says the same.
 */
static int swap_end_find(struct swap_end *end)
{
    mfn_t mfn = page_to_mfn(end->page), found;
    unsigned int order = PAGE_ORDER_4K;
    unsigned long gfn;

    if ( end->d->is_dying )
        return -ESRCH;

    /*
     * A view's entry may be for another GFN's frame, and would not follow.
     * None is made while the host's p2m is locked.
     */
    if ( altp2m_active(end->d) )
        return -EOPNOTSUPP;

    gfn = get_gpfn_from_mfn(mfn_x(mfn));
    if ( !VALID_M2P(gfn) )
        return -EINVAL;

    end->gfn = _gfn(gfn);
    found = end->p2m->get_entry(end->p2m, end->gfn, &end->type, &end->access,
                                0, &order, NULL);
    if ( !mfn_eq(found, mfn) ||
         (end->type != p2m_ram_rw && end->type != p2m_ram_logdirty) )
        return -EINVAL;

    if ( order == PAGE_ORDER_4K )
        return 0;

    return p2m_set_entry(end->p2m, end->gfn, mfn, PAGE_ORDER_4K, end->type,
                         end->access);
}

/*
 * Puts a frame where the domain has its page, and returns when no CPU (nor
 * device, with an IOMMU) uses what was there before. With EPT the flush is put
 * off while the lock is held, unless it is asked for.
 */
static int swap_end_set(const struct swap_end *end,
                        const struct page_info *page, p2m_type_t type)
{
    int rc = p2m_set_entry(end->p2m, end->gfn, page_to_mfn(page),
                           PAGE_ORDER_4K, type, end->access);

    p2m_tlb_flush_sync(end->p2m);

    return rc;
}

/*
 * Xen crashes a domain whose IOMMU page tables it cannot extend (AMD's code
 * does), and this one is the control domain. A large page that is split needs
 * a table for each level at most. Others take memory at the same time, hence
 * some more; what is claimed for domains to be built is not there for us.
 */
#define IOMMU_SPARE_PAGES 256

static bool swap_memory_is_short(void)
{
    uint64_t spare, claimed;

    get_outstanding_claims(&spare, &claimed);

    return spare < claimed + IOMMU_SPARE_PAGES;
}

/*
 * IOMMU page tables of their own (AMD's; VT-d's where they are not the p2m) may
 * have to split a large page, too: beforehand and alone, since p2m_set_entry()
 * changes the p2m first and cannot take it back. That devices reach the frame
 * a moment earlier than CPUs is no matter. -EIO: it is mapped, but old
 * translations may be in use; any other error: nothing has changed.
 */
static int swap_end_map_iommu(const struct swap_end *end,
                              const struct page_info *page, bool undo)
{
    mfn_t mfn = page_to_mfn(page);
    dfn_t dfn = _dfn(gfn_x(end->gfn));
    unsigned int flush_flags = 0;
    int rc;

    if ( !need_iommu_pt_sync(end->d) )
        return 0;

    if ( !undo && swap_memory_is_short() )
        return -ENOMEM;

    rc = iommu_map(end->d, dfn, mfn, 1UL << PAGE_ORDER_4K,
                   p2m_get_iommu_flags(p2m_ram_rw, end->access, mfn),
                   &flush_flags);
    if ( rc )
        return rc == -EIO ? -EFAULT : rc;

    return iommu_iotlb_flush(end->d, dfn, 1UL << PAGE_ORDER_4K, flush_flags)
               ? -EIO
               : 0;
}

/*
 * Back to the frame that the domain had, by small entries for small entries:
 * there is memory for these. The IOMMU is told once more, because
 * p2m_set_entry() tells it only of what was different in the p2m.
 */
static int swap_end_undo(const struct swap_end *end)
{
    if ( swap_end_set(end, end->page, end->type) ||
         swap_end_map_iommu(end, end->page, true) )
        return -EIO;

    return 0;
}

/* Nobody else has a reference, and from here on nobody gets one. */
static bool swap_freeze(struct page_info *page)
{
    return cmpxchg(&page->count_info, SWAPPABLE, 0) == SWAPPABLE;
}

/* A full barrier: who gets a reference sees the owner that was set before. */
static void swap_thaw(struct page_info *page)
{
    unsigned long x, y = page->count_info;

    /* offline_page() may have left its mark, which is kept. */
    do
    {
        x = y;
        y = cmpxchg(&page->count_info, x, x | SWAPPABLE);
    } while ( y != x );
}

/* For a frozen page: without references its type does not change. */
static bool swap_is_untyped(const struct page_info *page)
{
    unsigned long info = page->u.inuse.type_info;
    unsigned long type = info & PGT_type_mask;

    return !(info & ~(PGT_type_mask | PGT_validated)) &&
           (type == PGT_none || type == PGT_writable_page);
}

static void swap_give(struct swap_end *from, const struct swap_end *to)
{
    struct page_info *page = from->page;

    page_list_del(page, &from->d->page_list);
    page_set_owner(page, to->d);
    page_list_add_tail(page, &to->d->page_list);
    set_gpfn_from_mfn(mfn_x(page_to_mfn(page)), gfn_x(to->gfn));
}

/* Both p2m locks are held. */
static int swap_owners(struct swap_end *local, struct swap_end *remote)
{
    struct page_info *a = local->page, *b = remote->page;
    int rc = -EBUSY;

    spin_lock(&remote->d->page_alloc_lock);
    spin_lock(&local->d->page_alloc_lock);

    if ( remote->d->is_dying || local->d->is_dying )
    {
        rc = -ESRCH;
        goto unlock;
    }

    if ( !swap_freeze(a) )
        goto unlock;

    if ( !swap_freeze(b) )
        goto thaw_local;

    /* Pages of these counts that the domains own are on these lists. */
    if ( page_get_owner(a) == local->d && page_get_owner(b) == remote->d &&
         swap_is_untyped(a) && swap_is_untyped(b) )
    {
        swap_give(local, remote);
        swap_give(remote, local);
        rc = 0;
    }

    swap_thaw(b);
thaw_local:
    swap_thaw(a);
unlock:
    spin_unlock(&local->d->page_alloc_lock);
    spin_unlock(&remote->d->page_alloc_lock);

    return rc;
}

/* Steps 1 (its own), 2 and 3. The remote p2m is locked. */
static int swap_local(struct swap_end *local, struct swap_end *remote)
{
    int rc;

    p2m_lock(local->p2m);

    rc = swap_end_find(local);
    if ( rc )
        goto unlock;

    rc = swap_end_map_iommu(local, remote->page, false);
    if ( rc && rc != -EIO )
        goto unlock;

    if ( !rc )
        rc = swap_end_set(local, remote->page, p2m_ram_rw);
    if ( !rc )
        rc = swap_owners(local, remote);

    if ( !rc )
        paging_mark_pfn_dirty(local->d, _pfn(gfn_x(local->gfn)));
    else if ( swap_end_undo(local) )
        rc = -EIO;
    else if ( rc == -EIO )
        rc = -EFAULT;

unlock:
    p2m_unlock(local->p2m);

    return rc;
}

int frame_swap(struct domain *local_d, struct page_info *local_page,
               struct domain *remote_d, struct page_info *remote_page)
{
    struct swap_end local = {
        .d = local_d,
        .p2m = p2m_get_hostp2m(local_d),
        .page = local_page,
    };
    struct swap_end remote = {
        .d = remote_d,
        .p2m = p2m_get_hostp2m(remote_d),
        .page = remote_page,
    };
    int rc;

    ASSERT(frame_swap_local_ok(local_d) && frame_swap_remote_ok(remote_d));

    rc = swap_check_idle(local_page);
    if ( !rc )
        rc = swap_check_idle(remote_page);
    if ( rc )
        return rc;

    p2m_lock(remote.p2m);

    rc = swap_end_find(&remote);
    if ( !rc )
        rc = swap_local(&local, &remote);
    if ( rc )
        goto unlock;

    rc = swap_end_set(&remote, local_page, p2m_ram_rw);
    if ( rc )
    {
        /* A small page for a small one, without an IOMMU: cannot fail. */
        ASSERT_UNREACHABLE();
        domain_crash(remote_d);
        rc = -EIO;
        goto unlock;
    }

    paging_mark_pfn_dirty(remote_d, _pfn(gfn_x(remote.gfn)));

unlock:
    p2m_unlock(remote.p2m);

    return rc;
}
