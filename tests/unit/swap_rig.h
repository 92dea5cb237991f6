/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As much of a hypervisor as ioreq/hypervisor/xen/arch/x86/mm/frame-swap.c calls, in a process:
 * frames with owners, references and lists, two domains' translations and what processors and
 * devices may still have of older ones, locks with Xen's order. Only what is called, with its
 * meaning; see tests/unit/test_frame_swap.c.
 */
#ifndef IOEMU_TESTS_UNIT_SWAP_RIG_H
#define IOEMU_TESTS_UNIT_SWAP_RIG_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CONFIG_GRANT_SWAP 1
#define ASSERT            assert
/* What cannot happen, the tests make happen. */
#define ASSERT_UNREACHABLE() rig_unreachable++
#define ACCESS_ONCE(x)       (*(volatile __typeof__(x) *)&(x))

/* Typed numbers. */
typedef struct {
    unsigned long n;
} mfn_t, gfn_t, dfn_t, pfn_t;

#define mfn_x(m)     ((m).n)
#define gfn_x(g)     ((g).n)
#define _gfn(x)      ((gfn_t){x})
#define _dfn(x)      ((dfn_t){x})
#define _pfn(x)      ((pfn_t){x})
#define mfn_eq(a, b) ((a).n == (b).n)

#define RIG_FRAMES  6u
#define RIG_GFNS    8u
#define RIG_NOTHING (~0ul)

/* Frames. Xen's bits, by their meaning. */
#define PGC_allocated     (1ul << 62)
#define PGC_extra         (1ul << 56)
#define PGC_offlining     (1ul << 58)
#define PGC_count_mask    ((1ul << 48) - 1)
#define PGT_none          0ul
#define PGT_shared_page   (6ul << 61)
#define PGT_writable_page (7ul << 61)
#define PGT_type_mask     (7ul << 61)
#define PGT_validated     (1ul << 58)
#define PGT_locked        (1ul << 60)
#define PGT_non_coherent  (1ul << 55)

struct domain;

struct page_list {
    bool has[RIG_FRAMES];
};

struct page_info {
    unsigned long count_info;
    union {
        struct {
            unsigned long type_info;
        } inuse;
    } u;
    struct domain *owner; /* NULL: free */
};

#define page_get_owner(page)           ((page)->owner)
#define page_set_owner(page, d)        ((page)->owner = (d))
#define page_list_del(page, list)      rig_list(page, list, false)
#define page_list_add_tail(page, list) rig_list(page, list, true)

/* Translations. */
typedef enum { p2m_ram_rw, p2m_invalid, p2m_ram_logdirty, p2m_ram_shared } p2m_type_t;
typedef enum { p2m_access_rwx, p2m_access_n } p2m_access_t;

#define PAGE_ORDER_4K 0u
#define PAGE_ORDER_2M 9u

struct rig_entry {
    unsigned long mfn;
    p2m_type_t type;
    p2m_access_t access;
    unsigned order;
    /* A bit per frame that a processor, or a device, may reach by this GFN. */
    unsigned cpu, device;
    unsigned long iommu; /* what the IOMMU's table says */
    bool iommu_large;    /* as a part of a large page */
    bool dirty;
};

struct p2m_domain {
    struct domain *domain;
    mfn_t (*get_entry)(struct p2m_domain *p2m, gfn_t gfn, p2m_type_t *type, p2m_access_t *access,
                       unsigned q, unsigned *order, bool *sve);
    struct rig_entry entry[RIG_GFNS];
    bool need_flush;
    unsigned locked, outer_level;
};

typedef struct {
    bool held;
    bool control; /* whose it is */
} spinlock_t;

struct domain {
    struct p2m_domain p2m;
    spinlock_t page_alloc_lock;
    struct page_list page_list, relmem_list;
    int is_dying;
    bool control, hvm, hap, nested, altp2m, iommu, log_dirty, crashed;
};

#define p2m_get_hostp2m(d)    (&(d)->p2m)
#define is_control_domain(d)  ((d)->control)
#define is_hvm_domain(d)      ((d)->hvm)
#define hap_enabled(d)        ((d)->hap)
#define nestedhvm_enabled(d)  ((d)->nested)
#define altp2m_active(d)      ((d)->altp2m)
#define is_iommu_enabled(d)   ((d)->iommu)
#define need_iommu_pt_sync(d) ((d)->iommu)
#define domain_crash(d)       ((d)->crashed = true)
#define VALID_M2P(gfn)        ((gfn) != RIG_NOTHING)

#define p2m_get_iommu_flags(type, access, mfn) 3u

extern struct page_info rig_frame[RIG_FRAMES];
extern unsigned long rig_m2p[RIG_FRAMES];
extern unsigned rig_unreachable;
/* What another party does before each of the file's steps. */
extern void (*rig_meanwhile)(void *ctx);
extern void *rig_meanwhile_ctx;
/* Steps that fail: the one that this counts down to. What needs memory fails with -ENOMEM when
 * there is none. */
extern unsigned rig_fail_set, rig_fail_map, rig_fail_flush;
extern bool rig_no_memory, rig_no_iommu_memory;
/* Of the host, and calls of the IOMMU. */
extern uint64_t rig_free, rig_claimed;
extern unsigned rig_maps;

void rig_list(struct page_info *page, struct page_list *list, bool add);
mfn_t page_to_mfn(const struct page_info *page);
unsigned long cmpxchg(unsigned long *at, unsigned long old, unsigned long new);
unsigned long get_gpfn_from_mfn(unsigned long mfn);
void set_gpfn_from_mfn(unsigned long mfn, unsigned long gfn);
void spin_lock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
void p2m_lock(struct p2m_domain *p2m);
void p2m_unlock(struct p2m_domain *p2m);
int p2m_set_entry(struct p2m_domain *p2m, gfn_t gfn, mfn_t mfn, unsigned order, p2m_type_t type,
                  p2m_access_t access);
void p2m_tlb_flush_sync(struct p2m_domain *p2m);
long iommu_map(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned long pages, unsigned flags,
               unsigned *flush_flags);
int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long pages, unsigned flush_flags);
void get_outstanding_claims(uint64_t *free, uint64_t *claimed);
void paging_mark_pfn_dirty(struct domain *d, pfn_t pfn);

/* For tests: whether any translation, new or old, leads a domain to that frame. */
bool rig_reaches(const struct domain *d, unsigned frame);
/* A domain as at the beginning: GFN i translates to frame `mfn`, as a part of a large page. */
void rig_domain(struct domain *d, bool control);
void rig_give(struct domain *d, unsigned frame, unsigned long gfn, unsigned order);
bool rig_unlocked(void);

#endif
