/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "swap_rig.h"

/* Xen's arch/x86/mm/mm-locks.h. */
#define LEVEL_P2M     16u
#define LEVEL_PAGING  64u
#define LEVEL_CONTROL 64u

struct page_info rig_frame[RIG_FRAMES];
unsigned long rig_m2p[RIG_FRAMES];
unsigned rig_unreachable;
void (*rig_meanwhile)(void *ctx);
void *rig_meanwhile_ctx;
unsigned rig_fail_set, rig_fail_map, rig_fail_flush;
bool rig_no_memory, rig_no_iommu_memory;
uint64_t rig_free, rig_claimed;
unsigned rig_maps;

static unsigned level, spinlocks;

static void moment(void)
{
    if (rig_meanwhile)
        rig_meanwhile(rig_meanwhile_ctx);
}

static bool fails(unsigned *countdown)
{
    return *countdown && --*countdown == 0;
}

static unsigned level_of(const struct domain *d, unsigned of)
{
    return of + (d->control ? LEVEL_CONTROL : 0);
}

bool rig_unlocked(void)
{
    return !level && !spinlocks;
}

mfn_t page_to_mfn(const struct page_info *page)
{
    return (mfn_t){(unsigned long)(page - rig_frame)};
}

void rig_list(struct page_info *page, struct page_list *list, bool add)
{
    bool *has = &list->has[mfn_x(page_to_mfn(page))];

    moment();
    assert(spinlocks == 2 && *has != add);
    *has = add;
}

unsigned long cmpxchg(unsigned long *at, unsigned long old, unsigned long new)
{
    unsigned long found;

    moment();
    found = *at;
    if (found == old)
        *at = new;
    return found;
}

unsigned long get_gpfn_from_mfn(unsigned long mfn)
{
    moment();
    return rig_m2p[mfn];
}

void set_gpfn_from_mfn(unsigned long mfn, unsigned long gfn)
{
    moment();
    rig_m2p[mfn] = gfn;
}

/* Who takes two takes the control domain's last. */
void spin_lock(spinlock_t *lock)
{
    moment();
    assert(!lock->held && (!spinlocks || lock->control));
    lock->held = true;
    spinlocks++;
}

void spin_unlock(spinlock_t *lock)
{
    assert(lock->held);
    lock->held = false;
    spinlocks--;
    moment();
}

void p2m_lock(struct p2m_domain *p2m)
{
    unsigned own = level_of(p2m->domain, LEVEL_P2M);

    moment();
    assert(!p2m->locked && level <= own && !spinlocks);
    p2m->locked = 1;
    p2m->outer_level = level;
    level = own;
}

void p2m_unlock(struct p2m_domain *p2m)
{
    assert(p2m->locked && !spinlocks);
    p2m_tlb_flush_sync(p2m);
    p2m->locked = 0;
    level = p2m->outer_level;
    moment();
}

/* Xen takes the paging lock to write an entry. */
static void may_change(const struct p2m_domain *p2m)
{
    assert(p2m->locked && level <= level_of(p2m->domain, LEVEL_PAGING) && !spinlocks);
}

static mfn_t get_entry(struct p2m_domain *p2m, gfn_t gfn, p2m_type_t *type, p2m_access_t *access,
                       unsigned q, unsigned *order, bool *sve)
{
    const struct rig_entry *entry = &p2m->entry[gfn_x(gfn)];

    moment();
    assert(p2m->locked && gfn_x(gfn) < RIG_GFNS && !q && !sve);
    *type = entry->type;
    *access = entry->access;
    *order = entry->order;
    return (mfn_t){entry->mfn};
}

static int map_device(struct rig_entry *entry, unsigned long mfn)
{
    if (fails(&rig_fail_map))
        return -ENODEV;
    if (entry->iommu_large && rig_no_iommu_memory)
        return -ENOMEM;
    entry->iommu_large = false;
    entry->iommu = mfn;
    entry->device |= 1u << mfn;
    return 0;
}

static int flush_devices(struct rig_entry *entry)
{
    if (fails(&rig_fail_flush))
        return -EIO;
    entry->device = 1u << entry->iommu;
    return 0;
}

/* As with EPT: processors are flushed when it is asked for; devices at once, when there was a
 * change. */
int p2m_set_entry(struct p2m_domain *p2m, gfn_t gfn, mfn_t mfn, unsigned order, p2m_type_t type,
                  p2m_access_t access)
{
    struct rig_entry *entry = &p2m->entry[gfn_x(gfn)];
    bool changed = entry->mfn != mfn_x(mfn);
    int rc;

    moment();
    may_change(p2m);
    assert(order == PAGE_ORDER_4K && mfn_x(mfn) < RIG_FRAMES);
    if (fails(&rig_fail_set) || (rig_no_memory && entry->order))
        return -ENOMEM;
    entry->order = order;
    entry->type = type;
    entry->access = access;
    entry->mfn = mfn_x(mfn);
    entry->cpu |= 1u << mfn_x(mfn);
    p2m->need_flush = true;
    moment();
    if (!p2m->domain->iommu || !changed)
        return 0;
    rc = map_device(entry, mfn_x(mfn));
    return rc ? rc : flush_devices(entry);
}

void p2m_tlb_flush_sync(struct p2m_domain *p2m)
{
    assert(p2m->locked);
    if (!p2m->need_flush)
        return;
    moment();
    p2m->need_flush = false;
    for (unsigned i = 0; i < RIG_GFNS; i++)
        if (p2m->entry[i].mfn != RIG_NOTHING)
            p2m->entry[i].cpu = 1u << p2m->entry[i].mfn;
    moment();
}

long iommu_map(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned long pages, unsigned flags,
               unsigned *flush_flags)
{
    moment();
    assert(d->iommu && d->p2m.locked && pages == 1 && flags == 3);
    *flush_flags = 1;
    rig_maps++;
    return map_device(&d->p2m.entry[dfn.n], mfn_x(mfn));
}

int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long pages, unsigned flush_flags)
{
    moment();
    assert(pages == 1 && flush_flags);
    return flush_devices(&d->p2m.entry[dfn.n]);
}

void get_outstanding_claims(uint64_t *free, uint64_t *claimed)
{
    moment();
    *free = rig_free;
    *claimed = rig_claimed;
}

void paging_mark_pfn_dirty(struct domain *d, pfn_t pfn)
{
    moment();
    may_change(&d->p2m);
    d->p2m.entry[pfn.n].dirty = d->log_dirty;
}

bool rig_reaches(const struct domain *d, unsigned frame)
{
    for (unsigned i = 0; i < RIG_GFNS; i++)
        if ((d->p2m.entry[i].cpu | d->p2m.entry[i].device) >> frame & 1)
            return true;
    return false;
}

void rig_domain(struct domain *d, bool control)
{
    *d = (struct domain){.p2m = {.domain = d, .get_entry = get_entry},
                         .page_alloc_lock = {.control = control},
                         .control = control,
                         .hvm = true,
                         .hap = true,
                         .iommu = control};
    for (unsigned i = 0; i < RIG_GFNS; i++)
        d->p2m.entry[i] = (struct rig_entry){.mfn = RIG_NOTHING, .type = p2m_invalid};
}

void rig_give(struct domain *d, unsigned frame, unsigned long gfn, unsigned order)
{
    rig_frame[frame] = (struct page_info){.count_info = PGC_allocated | 1, .owner = d};
    rig_m2p[frame] = gfn;
    d->page_list.has[frame] = true;
    d->p2m.entry[gfn] = (struct rig_entry){.mfn = frame, .order = order, .cpu = 1u << frame};
    if (d->iommu) {
        d->p2m.entry[gfn].iommu = frame;
        d->p2m.entry[gfn].iommu_large = order != PAGE_ORDER_4K;
        d->p2m.entry[gfn].device = 1u << frame;
    }
}
