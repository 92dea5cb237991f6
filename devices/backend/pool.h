/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's pool of page-aligned, locked pages, reserved once. Disk data passes through them
 * because O_DIRECT cannot target foreign mappings, and a request that outlives its guest still has
 * a place to land. Taking and giving back never allocates. One thread.
 */
#ifndef IOEMUD_DEVICES_BACKEND_POOL_H
#define IOEMUD_DEVICES_BACKEND_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_PAGE 4096u

struct pool;

struct pool_stats {
    uint32_t pages, free, low_water; /* low_water: fewest free ever */
    uint64_t exhausted;              /* pool_take() calls that found too few */
    bool locked;                     /* mlock succeeded */
};

/* -ENOMEM. Pages that cannot be locked (RLIMIT_MEMLOCK) are used unlocked; `locked` says so. */
int pool_create(uint32_t pages, struct pool **ret_pool);
/* All pages must have come back. NULL is fine. */
void pool_destroy(struct pool *pool);

/* `count` pages into `ret_pages`, all or none; false: too few are free. Their contents are whatever
 * their last user left: the taker overwrites what it hands on. */
bool pool_take(struct pool *pool, uint32_t count, void **ret_pages);
void pool_give(struct pool *pool, void *page);
/* One call (from the giver's stack, at the end of pool_give) when pages are free again after an
 * exhausted take. `waiter` is embedded in its owner and queued once. */
struct pool_waiter {
    void (*wake)(void *arg);
    void *arg;
    struct pool_waiter *next;
    bool queued;
};
void pool_wait(struct pool *pool, struct pool_waiter *waiter);
void pool_unwait(struct pool *pool, struct pool_waiter *waiter);

const struct pool_stats *pool_stats(const struct pool *pool);

#endif
