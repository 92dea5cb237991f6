// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/backend/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
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

struct pool {
    uint8_t *base;
    struct pool_stats stats;
    struct pool_waiter *first, **last;
    struct pool_waiter *turn; /* not queued any more */
    uint32_t kept;            /* for him */
    /* The free pages' numbers, a stack: what was used last is warm. Kept out of the pages, whose
     * contents belong to guests. */
    uint32_t *free_stack;
    bool *taken;
};

int pool_create(uint32_t pages, struct pool **ret_pool)
{
    assert(pages > 0);
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pool->free_stack = calloc(pages, sizeof(*pool->free_stack));
    pool->taken = calloc(pages, sizeof(*pool->taken));
    if (!pool->free_stack || !pool->taken)
        goto free_pool;

    size_t size = (size_t)pages * POOL_PAGE;
    void *base =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (base == MAP_FAILED)
        goto free_pool;
    /* A child's copy-on-write would steal pages that the kernel is writing to, and a core dump is
     * no place for guests' data. Both are improvements only: failure is fine. */
    (void)madvise(base, size, MADV_DONTFORK);
    (void)madvise(base, size, MADV_DONTDUMP);

    pool->base = base;
    pool->last = &pool->first;
    pool->stats = (struct pool_stats){.pages = pages, .free = pages, .low_water = pages};
    pool->stats.locked = mlock(base, size) == 0;
    for (uint32_t i = 0; i < pages; i++)
        pool->free_stack[i] = pages - 1 - i;
    poison(base, size);
    *ret_pool = pool;
    return 0;

free_pool:
    free(pool->taken);
    free(pool->free_stack);
    free(pool);
    return -ENOMEM;
}

void pool_destroy(struct pool *pool)
{
    if (!pool)
        return;
    assert(pool->stats.free == pool->stats.pages);
    assert(!pool->first && !pool->turn);
    size_t size = (size_t)pool->stats.pages * POOL_PAGE;
    unpoison(pool->base, size);
    munmap(pool->base, size);
    free(pool->taken);
    free(pool->free_stack);
    free(pool);
}

static void enqueue(struct pool *pool, struct pool_waiter *waiter, uint32_t count)
{
    waiter->count = count;
    if (waiter->queued)
        return;
    waiter->queued = true;
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
}

/* The next one's turn, if there are enough for him. */
static void next_turn(struct pool *pool)
{
    struct pool_waiter *waiter = pool->first;
    if (pool->turn || !waiter || waiter->count > pool->stats.free)
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

/* How many somebody who waits, or does not yet, can have now. */
static uint32_t available(const struct pool *pool, const struct pool_waiter *waiter)
{
    if (pool->turn == waiter)
        return pool->stats.free;
    return pool->first || pool->kept > pool->stats.free ? 0 : pool->stats.free - pool->kept;
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
    if (count > available(pool, waiter)) {
        stats->exhausted++;
        enqueue(pool, waiter, count);
        pool_pass(pool, waiter); /* he wants more than he said */
        next_turn(pool);         /* or less */
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = pool->free_stack[--stats->free];
        uint8_t *page = pool->base + (size_t)n * POOL_PAGE;
        pool->taken[n] = true;
        unpoison(page, POOL_PAGE);
        ret_pages[i] = page;
    }
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
    assert(n < pool->stats.pages && pool->taken[n]);
    pool->taken[n] = false;
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

const struct pool_stats *pool_stats(const struct pool *pool)
{
    return &pool->stats;
}
