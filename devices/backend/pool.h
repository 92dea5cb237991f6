/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's pool of page-aligned, locked pages, reserved once. Disk data passes through them
 * because O_DIRECT cannot target foreign mappings, and a request that outlives its guest still has
 * a place to land. Taking and giving back never allocates. One thread.
 *
 * It stands here and not in ioreq/ since the backends are its users, and know nothing above them.
 * Pages that change places with a guest's (devices/grant.h, swap_take) are not from here: they have
 * to be of a kind that the hypervisor can exchange, and each guest has its own.
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
    uint32_t shares;                 /* guests */
    uint32_t guaranteed;             /* pages that each can have besides what it may hold */
    uint32_t waiting;                /* in the queue now */
    bool locked;                     /* mlock succeeded */
    bool huge;                       /* huge pages that were reserved for such use (hugetlbfs) */
};

/* -ENOMEM. Pages that cannot be locked (RLIMIT_MEMLOCK) are used unlocked; `locked` says so. Huge
 * pages are used where there are some reserved (vm.nr_hugepages), otherwise transparent ones are
 * asked for: fewer entries for the processor and for the kernel, which looks each page up for each
 * transfer. */
int pool_create(uint32_t pages, struct pool **ret_pool);
/* All pages must have come back. NULL is fine. */
void pool_destroy(struct pool *pool);

/*
 * A guest's share. While its disk hangs a guest's requests may keep their pages for ever, and
 * others are to go on. So each share is guaranteed some pages that nobody else can have: those that
 * it may hold for as long as it likes, as its creator says, and POOL_GUARANTEE besides, fewer when
 * there are very many guests. And it has a fair part, all pages by the number of shares. Of those
 * who wait come first whom the guarantee covers, then who stays within his fair part or has nothing
 * at all, then the others; in their order of arrival each. What nobody needs is anybody's.
 */
#define POOL_GUARANTEE 32u /* a largest request: BLK_MAX_BYTES */

struct pool_share;

/* `hold`: pages; of all shares POOL_GUARANTEE fewer than there are, or the guarantees are not. A
 * largest request of somebody must always be possible. -ENOMEM */
int pool_share_create(struct pool *pool, uint32_t hold, struct pool_share **ret_share);
/* Its pages may still come back. NULL is fine. */
void pool_share_close(struct pool_share *share);
/* Pages that it has now. */
uint32_t pool_share_held(const struct pool_share *share);

/*
 * Who finds too few waits in a queue, however many he wants, and nobody of his kind passes him:
 *
 *   pool_take() fails -> queued -> first, and there are enough: wake() -> his turn: pool_take()
 *                                                                      or pool_pass()
 *
 * During somebody's turn what he wants is kept for him. It ends with his pool_take(), with
 * pool_pass() if he does not want them any more, or with pool_unwait(); then the next one's begins.
 * wake() is called once, from the stack of whoever made it possible. A waiter is embedded in its
 * owner, zeroed, `wake`, `arg` and `share` set.
 */
struct pool_waiter {
    void (*wake)(void *arg);
    void *arg;
    struct pool_share *share; /* NULL: nobody's in particular, without a guarantee */
    uint32_t count;           /* wanted */
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
