/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/mapcache.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define PAGE        4096u
#define NONE        UINT16_MAX
#define ALL_HOLES   UINT64_MAX
#define MIN_BUCKETS 4u
#define MAX_BUCKETS 65532u /* indices are 16 bits */
#define EVICT_TRIES 8u     /* buckets given up for one that cannot be mapped */

_Static_assert(MAPCACHE_BUCKET_PAGES == 64, "hole masks are 64 bits wide");

struct bucket {
    uint64_t index; /* guest-physical address / MAPCACHE_BUCKET_SIZE */
    void *base;     /* NULL: not a page of it is RAM */
    uint64_t holes;
    uint32_t pins;
    uint16_t newer, older; /* in order of use; of free ones only `older` */
    uint16_t next;         /* with the same hash */
    bool stale;
};

struct mapcache {
    const struct mapcache_ops *ops;
    void *ctx;
    struct hv_counters *counters;
    uint64_t retry_at; /* when the allowance was last topped up */
    uint32_t retries;  /* allowance left */
    uint32_t stales;   /* stale buckets around: unpin looks for them only then */
    uint16_t newest, oldest, free;
    uint32_t hash_mask;
    uint16_t *hash;
    struct bucket buckets[];
};

uint32_t mapcache_total_mib(uint64_t max_map_count)
{
    uint64_t mib = max_map_count / 4 * 3 / (1024 * 1024 / MAPCACHE_BUCKET_SIZE);

    return mib < UINT32_MAX ? (uint32_t)mib : UINT32_MAX;
}

uint32_t mapcache_share_mib(uint32_t limit_mib, uint32_t left_mib)
{
    uint32_t most = left_mib / 2 ? left_mib / 2 : 1;

    limit_mib = limit_mib ? limit_mib : MAPCACHE_DEFAULT_MIB;
    return limit_mib < most ? limit_mib : most;
}

int mapcache_create(const struct mapcache_ops *ops, void *ctx, uint32_t limit_mib,
                    struct hv_counters *counters, struct mapcache **ret_cache)
{
    uint64_t count = (uint64_t)(limit_mib ? limit_mib : MAPCACHE_DEFAULT_MIB) * 1024 * 1024 /
                     MAPCACHE_BUCKET_SIZE;
    uint32_t hash_size = MIN_BUCKETS;
    struct mapcache *cache;

    count = count < MIN_BUCKETS ? MIN_BUCKETS : count > MAX_BUCKETS ? MAX_BUCKETS : count;
    while (hash_size < count)
        hash_size *= 2;
    cache = calloc(1, sizeof(*cache) + count * sizeof(struct bucket) +
                          hash_size * sizeof(*cache->hash));
    if (!cache)
        return -ENOMEM;
    cache->ops = ops;
    cache->ctx = ctx;
    cache->counters = counters;
    cache->retries = MAPCACHE_RETRY_BURST;
    cache->newest = cache->oldest = NONE;
    cache->hash = (uint16_t *)(cache->buckets + count);
    cache->hash_mask = hash_size - 1;
    for (uint32_t i = 0; i < hash_size; i++)
        cache->hash[i] = NONE;
    for (uint32_t i = 0; i < count; i++)
        cache->buckets[i].older = i + 1 < count ? (uint16_t)(i + 1) : NONE;
    *ret_cache = cache;
    return 0;
}

static uint16_t *hash_head(struct mapcache *cache, uint64_t index)
{
    /* Neighbours are used together: the low bits alone spread them best. */
    return &cache->hash[(index ^ index >> 12) & cache->hash_mask];
}

static void use_unlink(struct mapcache *cache, struct bucket *b)
{
    if (b->newer != NONE)
        cache->buckets[b->newer].older = b->older;
    else
        cache->newest = b->older;
    if (b->older != NONE)
        cache->buckets[b->older].newer = b->newer;
    else
        cache->oldest = b->newer;
}

static void use_link_newest(struct mapcache *cache, uint16_t i)
{
    struct bucket *b = &cache->buckets[i];

    b->newer = NONE;
    b->older = cache->newest;
    if (cache->newest != NONE)
        cache->buckets[cache->newest].newer = i;
    else
        cache->oldest = i;
    cache->newest = i;
}

static void bucket_unmap(struct mapcache *cache, struct bucket *b)
{
    if (!b->base)
        return;
    cache->ops->unmap(cache->ctx, b->base);
    cache->counters->unmap_pages += (unsigned)__builtin_popcountll(~b->holes);
    b->base = NULL;
}

static int bucket_map(struct mapcache *cache, struct bucket *b)
{
    int err = cache->ops->map(cache->ctx, b->index * MAPCACHE_BUCKET_PAGES, &b->base, &b->holes);

    if (err) {
        b->base = NULL;
        b->holes = ALL_HOLES;
        return err;
    }
    cache->counters->map_calls++;
    cache->counters->map_pages += (unsigned)__builtin_popcountll(~b->holes);
    if (b->holes == ALL_HOLES)
        bucket_unmap(cache, b);
    return 0;
}

/* Unmapped, out of every list, free. */
static void bucket_drop(struct mapcache *cache, uint16_t i)
{
    struct bucket *b = &cache->buckets[i];
    uint16_t *link = hash_head(cache, b->index);

    while (*link != i)
        link = &cache->buckets[*link].next;
    *link = b->next;
    use_unlink(cache, b);
    bucket_unmap(cache, b);
    cache->stales -= b->stale;
    b->stale = false;
    b->pins = 0;
    b->older = cache->free;
    cache->free = i;
}

void mapcache_destroy(struct mapcache *cache)
{
    if (!cache)
        return;
    while (cache->newest != NONE)
        bucket_drop(cache, cache->newest);
    free(cache);
}

/* Whether another bucket maps the same memory and is pinned. An unpin names memory, not a bucket:
 * only when the memory has no pin left at all is it certain that a stale bucket has none. */
static bool index_pinned(struct mapcache *cache, uint64_t index)
{
    for (uint16_t i = *hash_head(cache, index); i != NONE; i = cache->buckets[i].next)
        if (cache->buckets[i].index == index && cache->buckets[i].pins)
            return true;
    return false;
}

static void drop_stale(struct mapcache *cache, uint64_t index)
{
    uint16_t next;

    for (uint16_t i = *hash_head(cache, index); i != NONE; i = next) {
        next = cache->buckets[i].next;
        if (cache->buckets[i].index == index && cache->buckets[i].stale)
            bucket_drop(cache, i);
    }
}

static void bucket_retire(struct mapcache *cache, uint16_t i)
{
    struct bucket *b = &cache->buckets[i];

    if (b->stale)
        return;
    if (!b->pins && !(cache->stales && index_pinned(cache, b->index))) {
        bucket_drop(cache, i);
        return;
    }
    b->stale = true;
    cache->stales++;
}

/* A free bucket, made so from the least recently used one that nobody holds. */
static uint16_t bucket_take(struct mapcache *cache)
{
    uint16_t i = cache->free;

    if (i == NONE) {
        for (i = cache->oldest; i != NONE; i = cache->buckets[i].newer)
            if (!cache->buckets[i].pins &&
                !(cache->stales && index_pinned(cache, cache->buckets[i].index)))
                break;
        if (i == NONE)
            return NONE;
        bucket_drop(cache, i);
    }
    cache->free = cache->buckets[i].older;
    return i;
}

/* Gives the least recently used mapping back to the system; false: none that nobody holds. */
static bool evict(struct mapcache *cache)
{
    for (uint16_t i = cache->oldest; i != NONE; i = cache->buckets[i].newer) {
        const struct bucket *b = &cache->buckets[i];

        if (!b->base || b->pins || (cache->stales && index_pinned(cache, b->index)))
            continue;
        bucket_drop(cache, i);
        return true;
    }
    return false;
}

/* The system is out of mappings or of memory: ours are the ones that we can do something about. */
static int bucket_map_somehow(struct mapcache *cache, struct bucket *b)
{
    int err = bucket_map(cache, b);

    for (unsigned i = 0; err && err != -ESRCH && i < EVICT_TRIES && evict(cache); i++)
        err = bucket_map(cache, b);
    if (err && err != -ESRCH)
        cache->counters->map_failures++;
    return err;
}

static int bucket_add(struct mapcache *cache, uint64_t index, struct bucket **ret_bucket)
{
    uint16_t i = bucket_take(cache);
    struct bucket *b;
    uint16_t *head;
    int err;

    if (i == NONE)
        return -EAGAIN;
    b = &cache->buckets[i];
    b->index = index;
    err = bucket_map_somehow(cache, b);
    if (err) {
        b->older = cache->free;
        cache->free = i;
        return err;
    }
    head = hash_head(cache, index);
    b->next = *head;
    *head = i;
    use_link_newest(cache, i);
    *ret_bucket = b;
    return 0;
}

static bool retry_allowed(struct mapcache *cache)
{
    if (cache->retries < MAPCACHE_RETRY_BURST) {
        uint64_t now = cache->ops->now_ns(cache->ctx);
        uint64_t earned = (now - cache->retry_at) / MAPCACHE_RETRY_EVERY;

        if (earned >= MAPCACHE_RETRY_BURST - cache->retries) {
            cache->retries = MAPCACHE_RETRY_BURST;
        } else {
            cache->retries += (uint32_t)earned;
            cache->retry_at += earned * MAPCACHE_RETRY_EVERY;
        }
    }
    if (cache->retries == MAPCACHE_RETRY_BURST)
        cache->retry_at = cache->ops->now_ns(cache->ctx);
    if (!cache->retries)
        return false;
    cache->retries--;
    return true;
}

static struct bucket *bucket_find(struct mapcache *cache, uint64_t index)
{
    for (uint16_t i = *hash_head(cache, index); i != NONE; i = cache->buckets[i].next) {
        struct bucket *b = &cache->buckets[i];

        if (b->index == index && !b->stale)
            return b;
    }
    return NULL;
}

/* The bucket to serve pages `wanted` of `index` from: mapped anew if that may fill holes. */
static int bucket_get(struct mapcache *cache, uint64_t index, uint64_t wanted,
                      struct bucket **ret_bucket)
{
    struct bucket *b = bucket_find(cache, index);

    if (b && b->holes & wanted && retry_allowed(cache)) {
        /* While pinned it stays as it is, for those that hold it. */
        bucket_retire(cache, (uint16_t)(b - cache->buckets));
        b = NULL;
    }
    if (!b)
        return bucket_add(cache, index, ret_bucket);
    if (cache->newest != b - cache->buckets) {
        use_unlink(cache, b);
        use_link_newest(cache, (uint16_t)(b - cache->buckets));
    }
    *ret_bucket = b;
    return 0;
}

/* Bits of the pages that [offset, offset + len) of a bucket touches. */
static uint64_t pages_mask(uint64_t offset, uint64_t len)
{
    uint64_t first = offset / PAGE;
    uint64_t last = (offset + len - 1) / PAGE;

    return (ALL_HOLES >> (63 - (last - first))) << first;
}

struct filling {
    struct iovec *iov;
    int used, max;
    size_t done;
    bool hole; /* met */
};

/* Appends bytes at `base` (NULL: a hole), joined to the last entry if they follow it. */
static bool fill(struct filling *f, void *base, size_t len)
{
    struct iovec *last = f->used ? &f->iov[f->used - 1] : NULL;

    f->hole |= !base;
    if (last && (base ? last->iov_base && (char *)last->iov_base + last->iov_len == base
                      : !last->iov_base)) {
        last->iov_len += len;
    } else {
        if (f->used == f->max)
            return false;
        f->iov[f->used++] = (struct iovec){.iov_base = base, .iov_len = len};
    }
    f->done += len;
    return true;
}

static bool fill_bucket(struct filling *f, const struct bucket *b, uint64_t offset, uint64_t len)
{
    /* The usual case: nothing but RAM. */
    if (!(b->holes & pages_mask(offset, len)))
        return fill(f, (char *)b->base + offset, len);
    while (len) {
        uint64_t part = PAGE - offset % PAGE;
        bool hole = b->holes >> offset / PAGE & 1;

        part = part < len ? part : len;
        if (!fill(f, hole ? NULL : (char *)b->base + offset, part))
            return false;
        offset += part;
        len -= part;
    }
    return true;
}

int mapcache_pin(struct mapcache *cache, uint64_t gpa, size_t len, struct iovec *iov, int max_iov,
                 size_t *ret_len)
{
    struct filling f = {.iov = iov, .max = max_iov};
    int err = 0;

    if (!len || max_iov < 1)
        return -EINVAL;
    while (f.done < len && gpa < MAPCACHE_END_OF_MEMORY) {
        uint64_t offset = gpa % MAPCACHE_BUCKET_SIZE;
        uint64_t part = MAPCACHE_BUCKET_SIZE - offset;
        size_t before = f.done;
        struct bucket *b;
        bool more;

        part = part < len - f.done ? part : len - f.done;
        err = bucket_get(cache, gpa / MAPCACHE_BUCKET_SIZE, pages_mask(offset, part), &b);
        if (err)
            break;
        more = fill_bucket(&f, b, offset, part);
        if (f.done != before)
            b->pins++;
        if (!more)
            break;
        gpa += part;
    }
    if (!err && f.done < len && gpa >= MAPCACHE_END_OF_MEMORY)
        fill(&f, NULL, len - f.done);
    if (!f.done)
        return err;
    cache->counters->holes += f.hole;
    *ret_len = f.done;
    return f.used;
}

void mapcache_unpin(struct mapcache *cache, uint64_t gpa, size_t len)
{
    uint64_t end = len < MAPCACHE_END_OF_MEMORY ? gpa + len : MAPCACHE_END_OF_MEMORY;

    if (!len || gpa >= MAPCACHE_END_OF_MEMORY)
        return;
    end = end < MAPCACHE_END_OF_MEMORY ? end : MAPCACHE_END_OF_MEMORY;
    for (uint64_t index = gpa / MAPCACHE_BUCKET_SIZE; index * MAPCACHE_BUCKET_SIZE < end; index++) {
        uint16_t i = *hash_head(cache, index);

        while (i != NONE && (cache->buckets[i].index != index || !cache->buckets[i].pins))
            i = cache->buckets[i].next;
        assert(i != NONE); /* an unpin that no pin went before is our own bug */
        cache->buckets[i].pins--;
        if (cache->stales && !index_pinned(cache, index))
            drop_stale(cache, index);
    }
}

void mapcache_invalidate(struct mapcache *cache)
{
    uint16_t older;

    cache->counters->invalidates++;
    for (uint16_t i = cache->newest; i != NONE; i = older) {
        older = cache->buckets[i].older;
        bucket_retire(cache, i);
    }
}
