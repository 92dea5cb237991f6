// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/backend/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define poison(addr, len)   ASAN_POISON_MEMORY_REGION(addr, len)
#define unpoison(addr, len) ASAN_UNPOISON_MEMORY_REGION(addr, len)
#else
#define poison(addr, len)   ((void)(addr), (void)(len))
#define unpoison(addr, len) ((void)(addr), (void)(len))
#endif

#define HUGE_PAGE (2u << 20) /* x86's usual one */

struct pool_share {
    struct pool *pool;
    struct pool_share *next;
    uint32_t held;
    uint32_t guaranteed, hold;
    bool closed; /* freed when all has come back */
};

struct pool {
    uint8_t *base;
    size_t size;
    struct pool_stats stats;
    struct pool_waiter *first, **last;
    struct pool_waiter *turn; /* not queued any more */
    uint32_t kept;            /* for him */
    /* The free pages' numbers, a stack: what was used last is warm. Kept out of the pages, whose
     * contents belong to guests. */
    uint32_t *free_stack;
    struct pool_share **owner; /* by page; NULL: free */
    struct pool_share nobody;  /* of those without a share */
    struct pool_share *shares; /* that are not closed */
    uint32_t reserved;         /* what is missing to all their guarantees */
};

/* Reserved huge pages, or else ordinary ones that the kernel may make huge. */
static void *map_pages(struct pool *pool, size_t size)
{
    size_t whole = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *base = MAP_FAILED;

    if (size >= HUGE_PAGE)
        base = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_HUGETLB, -1, 0);
    pool->stats.huge = base != MAP_FAILED;
    pool->size = pool->stats.huge ? whole : size;
    if (pool->stats.huge)
        return base;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    (void)madvise(base, size, MADV_HUGEPAGE);
    return base;
}

int pool_create(uint32_t pages, struct pool **ret_pool)
{
    assert(pages > 0);
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pool->stats = (struct pool_stats){.pages = pages, .free = pages, .low_water = pages};
    pool->free_stack = calloc(pages, sizeof(*pool->free_stack));
    pool->owner = calloc(pages, sizeof(*pool->owner));
    if (!pool->free_stack || !pool->owner)
        goto free_pool;

    size_t size = (size_t)pages * POOL_PAGE;
    pool->base = map_pages(pool, size);
    if (!pool->base)
        goto free_pool;
    /* A child's copy-on-write would steal pages that the kernel is writing to, and a core dump is
     * no place for guests' data. Both are improvements only: failure is fine. */
    (void)madvise(pool->base, pool->size, MADV_DONTFORK);
    (void)madvise(pool->base, pool->size, MADV_DONTDUMP);
    pool->stats.locked = mlock(pool->base, pool->size) == 0;
    memset(pool->base, 0, size); /* there now, whether locked or not */

    pool->last = &pool->first;
    for (uint32_t i = 0; i < pages; i++)
        pool->free_stack[i] = pages - 1 - i;
    poison(pool->base, size);
    *ret_pool = pool;
    return 0;

free_pool:
    free(pool->owner);
    free(pool->free_stack);
    free(pool);
    return -ENOMEM;
}

void pool_destroy(struct pool *pool)
{
    if (!pool)
        return;
    assert(pool->stats.free == pool->stats.pages);
    assert(!pool->first && !pool->turn && !pool->shares);
    unpoison(pool->base, pool->size);
    munmap(pool->base, pool->size);
    free(pool->owner);
    free(pool->free_stack);
    free(pool);
}

static void enqueue(struct pool *pool, struct pool_waiter *waiter, uint32_t count)
{
    waiter->count = count;
    if (waiter->queued)
        return;
    waiter->queued = true;
    pool->stats.waiting++;
    waiter->next = NULL;
    *pool->last = waiter;
    pool->last = &waiter->next;
}

static void dequeue(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_waiter **link = &pool->first;
    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
    if (!waiter->next)
        pool->last = link;
    waiter->next = NULL;
    waiter->queued = false;
    pool->stats.waiting--;
}

static uint32_t held_by(const struct pool_waiter *waiter)
{
    return waiter->share ? waiter->share->held : 0;
}

/* What `share` has less than it is guaranteed. */
static uint32_t missing(const struct pool_share *share)
{
    return share && share->held < share->guaranteed ? share->guaranteed - share->held : 0;
}

static void add_held(struct pool *pool, struct pool_share *share, int32_t pages)
{
    pool->reserved -= missing(share);
    share->held += (uint32_t)pages;
    pool->reserved += missing(share);
}

/* Who comes before whom. */
enum rank { GUARANTEED, FAIR, GREEDY };

static enum rank rank_of(const struct pool *pool, const struct pool_waiter *waiter, uint32_t count)
{
    uint32_t after = held_by(waiter) + count;
    if (waiter->share && after <= waiter->share->guaranteed)
        return GUARANTEED;
    uint32_t fair = pool->stats.shares ? pool->stats.pages / pool->stats.shares : after;
    return !held_by(waiter) || after <= fair ? FAIR : GREEDY;
}

/* Free pages that are not others' by guarantee. */
static uint32_t allowed(const struct pool *pool, const struct pool_waiter *waiter, uint32_t count,
                        uint32_t free)
{
    if (rank_of(pool, waiter, count) == GUARANTEED)
        return free;
    uint32_t others = pool->reserved - missing(waiter->share);
    return free > others ? free - others : 0;
}

/* Whose turn it would be. */
static struct pool_waiter *foremost(const struct pool *pool, enum rank *ret_rank)
{
    struct pool_waiter *best = NULL;
    for (struct pool_waiter *w = pool->first; w && !(best && *ret_rank == GUARANTEED);
         w = w->next) {
        enum rank rank = rank_of(pool, w, w->count);
        if (best && rank >= *ret_rank)
            continue;
        best = w;
        *ret_rank = rank;
    }
    return best;
}

/* The next one's turn, if there are enough for him. */
static void next_turn(struct pool *pool)
{
    enum rank rank;
    struct pool_waiter *waiter = pool->turn ? NULL : foremost(pool, &rank);
    if (!waiter || waiter->count > allowed(pool, waiter, waiter->count, pool->stats.free))
        return;
    dequeue(pool, waiter);
    pool->turn = waiter;
    pool->kept = waiter->count;
    waiter->wake(waiter->arg);
}

static void end_turn(struct pool *pool)
{
    pool->turn = NULL;
    pool->kept = 0;
    next_turn(pool);
}

/* Whether somebody who waits, or does not yet, can have so many now. */
static bool can_have(const struct pool *pool, const struct pool_waiter *waiter, uint32_t count)
{
    uint32_t free = pool->stats.free;
    enum rank before;
    if (pool->turn == waiter)
        return count <= allowed(pool, waiter, count, free);
    if (foremost(pool, &before) && before <= rank_of(pool, waiter, count))
        return false;
    free = free > pool->kept ? free - pool->kept : 0;
    return count <= allowed(pool, waiter, count, free);
}

void pool_pass(struct pool *pool, const struct pool_waiter *waiter)
{
    if (pool->turn == waiter)
        end_turn(pool);
}

bool pool_take(struct pool *pool, uint32_t count, void **ret_pages, struct pool_waiter *waiter)
{
    struct pool_stats *stats = &pool->stats;
    if (!count)
        return true;
    if (!can_have(pool, waiter, count)) {
        stats->exhausted++;
        enqueue(pool, waiter, count);
        pool_pass(pool, waiter); /* he wants more than he said */
        next_turn(pool);         /* or less */
        return false;
    }
    struct pool_share *share = waiter->share ? waiter->share : &pool->nobody;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = pool->free_stack[--stats->free];
        uint8_t *page = pool->base + (size_t)n * POOL_PAGE;
        pool->owner[n] = share;
        unpoison(page, POOL_PAGE);
        ret_pages[i] = page;
    }
    add_held(pool, share, (int32_t)count);
    if (stats->free < stats->low_water)
        stats->low_water = stats->free;
    if (waiter->queued)
        dequeue(pool, waiter);
    if (pool->turn == waiter)
        end_turn(pool);
    return true;
}

void pool_give(struct pool *pool, void *page)
{
    size_t offset = (size_t)((uint8_t *)page - pool->base);
    assert((uint8_t *)page >= pool->base && offset % POOL_PAGE == 0);
    size_t n = offset / POOL_PAGE;
    assert(n < pool->stats.pages && pool->owner[n]);
    struct pool_share *share = pool->owner[n];
    pool->owner[n] = NULL;
    add_held(pool, share, -1);
    if (share->closed && !share->held)
        free(share);
    pool->free_stack[pool->stats.free++] = (uint32_t)n;
    poison(page, POOL_PAGE);
    next_turn(pool);
}

void pool_unwait(struct pool *pool, struct pool_waiter *waiter)
{
    if (waiter->queued) {
        dequeue(pool, waiter);
        next_turn(pool); /* he may have been in others' way */
    }
    pool_pass(pool, waiter);
}

/* The guarantees after a guest has come or gone. One largest request must be possible besides, or
 * those of more than the guarantee would wait for ever. */
static void divide(struct pool *pool)
{
    struct pool_stats *stats = &pool->stats;
    uint64_t hold = POOL_GUARANTEE;
    for (const struct pool_share *share = pool->shares; share; share = share->next)
        hold += share->hold;
    stats->guaranteed =
        stats->shares && stats->pages > hold ? (uint32_t)(stats->pages - hold) / stats->shares : 0;
    if (stats->guaranteed > POOL_GUARANTEE)
        stats->guaranteed = POOL_GUARANTEE;
    pool->reserved = 0;
    for (struct pool_share *share = pool->shares; share; share = share->next) {
        share->guaranteed = hold > stats->pages ? 0 : share->hold + stats->guaranteed;
        pool->reserved += missing(share);
    }
    next_turn(pool);
}

int pool_share_create(struct pool *pool, uint32_t hold, struct pool_share **ret_share)
{
    struct pool_share *share = calloc(1, sizeof(*share));
    if (!share)
        return -ENOMEM;
    share->pool = pool;
    share->hold = hold;
    share->next = pool->shares;
    pool->shares = share;
    pool->stats.shares++;
    *ret_share = share;
    divide(pool);
    return 0;
}

void pool_share_close(struct pool_share *share)
{
    if (!share)
        return;
    struct pool *pool = share->pool;
    struct pool_share **link = &pool->shares;
    while (*link != share)
        link = &(*link)->next;
    *link = share->next;
    pool->stats.shares--;
    share->closed = true;
    share->guaranteed = 0;
    if (!share->held)
        free(share);
    divide(pool);
}

uint32_t pool_share_held(const struct pool_share *share)
{
    return share->held;
}

const struct pool_stats *pool_stats(const struct pool *pool)
{
    return &pool->stats;
}
