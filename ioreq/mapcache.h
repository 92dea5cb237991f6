/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One guest's memory as far as it is mapped: buckets of 64 aligned pages, mapped when first
 * touched, least recently used ones unmapped when the limit is reached.
 *
 *   absent --pin--> fresh --invalidate, retry of a hole, while pinned--> stale --last unpin-->
 * absent
 *                     `----invalidate, eviction, while not pinned-----------------------------^
 *
 * A bucket that is pinned stays mapped, whatever happens. A stale one takes no further pins: the
 * same guest memory is then mapped once more. A bucket of 64 pages that are no RAM at all is
 * remembered without a mapping.
 *
 * What is a hole today can be RAM tomorrow (a balloon deflates and nobody tells), so that touching
 * one maps its bucket again, as often as an allowance permits: a burst of 64, then one a
 * millisecond. Beyond it a remembered hole is believed.
 *
 * All tables are allocated at creation. One thread.
 */
#ifndef IOEMUD_IOREQ_MAPCACHE_H
#define IOEMUD_IOREQ_MAPCACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ioreq/hv.h"

#define MAPCACHE_BUCKET_PAGES 64u /* a bit each in a hole mask */
#define MAPCACHE_BUCKET_SIZE  (MAPCACHE_BUCKET_PAGES * UINT64_C(4096))
#define MAPCACHE_DEFAULT_MIB  64u
#define MAPCACHE_RETRY_BURST  64u
#define MAPCACHE_RETRY_EVERY  UINT64_C(1000000) /* ns */
/* Guest-physical addresses from here on are holes without asking: x86's widest is 52 bits. */
#define MAPCACHE_END_OF_MEMORY (UINT64_C(1) << 52)

struct mapcache_ops {
    /* Maps the bucket of MAPCACHE_BUCKET_PAGES from first_gfn on. A bit per page that is no RAM in
     * *ret_holes. -ESRCH: there is no such guest any more. Any other error: there may be RAM, but
     * we cannot have it now (no memory, no more mappings). */
    int (*map)(void *ctx, uint64_t first_gfn, void **ret_base, uint64_t *ret_holes);
    void (*unmap)(void *ctx, void *base);
    uint64_t (*now_ns)(void *ctx); /* monotonic; asked when a hole is touched only */
};

struct mapcache;

/*
 * Each bucket is one of the process' mappings, of which Linux allows so many (vm.max_map_count),
 * for all guests together. What guests may have of it, in MiB of limits: three quarters, so that
 * those that come when it is spent still get their four buckets.
 */
uint32_t mapcache_total_mib(uint64_t max_map_count);
/* The limit of one more guest that wants `limit_mib` (0: the default) when `left_mib` of the total
 * are left: at most half of it, so that the next ones get something too, and at least 1. */
uint32_t mapcache_share_mib(uint32_t limit_mib, uint32_t left_mib);

/* limit_mib 0: the default. At least four buckets, whatever the limit. All but `hypercalls` of
 * `counters`, which outlive the cache, are added to. */
int mapcache_create(const struct mapcache_ops *ops, void *ctx, uint32_t limit_mib,
                    struct hv_counters *counters, struct mapcache **ret_cache);

/* Unmaps everything, pinned or not. NULL is fine. */
void mapcache_destroy(struct mapcache *cache);

/*
 * As hv_ops.pin: returns the number of entries filled (1..max_iov), *ret_len the bytes they cover
 * (1..len). NULL bases are holes. -EINVAL: len is 0. -EAGAIN: everything is pinned. -ESRCH: the
 * guest is gone. Other errors are the map's, after room was made for it in vain: what was used
 * least recently is unmapped first.
 */
int mapcache_pin(struct mapcache *cache, uint64_t gpa, size_t len, struct iovec *iov, int max_iov,
                 size_t *ret_len);

/* Exactly what one mapcache_pin() was given and covered. */
void mapcache_unpin(struct mapcache *cache, uint64_t gpa, size_t len);

/* Nothing of what is mapped now is used for a later pin. */
void mapcache_invalidate(struct mapcache *cache);

#endif
