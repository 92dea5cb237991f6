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

/*
 * Who finds too few waits in a queue, however many he wants, and nobody passes him:
 *
 *   pool_take() fails -> queued -> first, and there are enough: wake() -> his turn: pool_take()
 *                                                                      or pool_pass()
 *
 * During somebody's turn what he wants is kept for him. It ends with his pool_take(), with
 * pool_pass() if he does not want them any more, or with pool_unwait(); then the next one's begins.
 * wake() is called once, from the stack of whoever made it possible. A waiter is embedded in its
 * owner, zeroed, `wake` and `arg` set.
 */
struct pool_waiter {
    void (*wake)(void *arg);
    void *arg;
    uint32_t count; /* wanted */
    struct pool_waiter *next;
    bool queued;
};

/* `count` pages into `ret_pages`, all or none; false: too few are free, or others are before
 * `waiter`, who is in the queue now. Their contents are whatever their last user left: the taker
 * overwrites what it hands on. */
bool pool_take(struct pool *pool, uint32_t count, void **ret_pages, struct pool_waiter *waiter);
void pool_give(struct pool *pool, void *page);
/* If it is his turn it is over. Only the address counts: he may be gone. */
void pool_pass(struct pool *pool, const struct pool_waiter *waiter);
/* Out of the queue. Not being in it is fine. */
void pool_unwait(struct pool *pool, struct pool_waiter *waiter);

const struct pool_stats *pool_stats(const struct pool *pool);

#endif
