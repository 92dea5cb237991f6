/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that a guest has granted, for PV backends (devices/pv/) and the commit strategies
 * (devices/commit.h), which know neither Xen nor hv_shm: like devices/host.h this is handed in by
 * whoever creates the device and outlives it. Implementations: ioreq/hv_shm_grant.c,
 * ioreq/grant_xen.c, and ioreq/grant_remote.c for a process that must not have that one's device.
 *
 * A grant reference is a number that the guest puts into its rings. It names one page of GRANT_PAGE
 * bytes that the guest lets us read, or read and write. A reference is a guest's input: any value
 * is fine here, and what is not granted, or is no longer, is an error of that one operation, in its
 * `status`. The pages stay the guest's: what is read from them can change at any moment.
 *
 * Threads: the guest's worker. Nothing blocks, nothing allocates but map().
 *
 * Errors, in `status` and returned:
 *   -EINVAL      no such reference, or offset + len beyond the page, or len 0
 *   -EACCES      not granted, not to us, or only for reading
 *   -EFAULT      granted, but what is there is not RAM
 *   -EBUSY       swap: the page is in use otherwise (mapped, granted to others as well)
 *   -EAGAIN      not now (a page that is being paged in): worth another try, later
 *   -ENOSPC      map: too much is mapped already
 *   -EOPNOTSUPP  without the capability
 *   -ESRCH       the guest is gone
 *   -EIO         whatever else the hypervisor said; of a swap: hardware failed, and neither page
 *                may be touched any more
 */
#ifndef IOEMUD_DEVICES_GRANT_H
#define IOEMUD_DEVICES_GRANT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRANT_PAGE 4096u
/* Pages in one map(): the segments of an indirect request of 1 MiB. */
#define GRANT_MAP_MAX 256u

#define GRANT_CAN_COPY 0x1u
#define GRANT_CAN_MAP  0x2u
#define GRANT_CAN_SWAP 0x4u

/* Between [offset, offset + len) of the granted page and as many bytes at `local`. */
struct grant_copy {
    void *local; /* any address of ours; to_guest: read only */
    uint32_t ref;
    uint16_t offset;
    uint16_t len;
    bool to_guest; /* the page must be granted for writing */
    int status;    /* returned: 0 or -errno; then the bytes there are undefined (to_guest: may have
                      changed in part; else: `local` must not be used) */
};

/* Pages side by side in our address space. */
struct grant_map {
    const uint32_t *refs; /* `count` of them, unchanged until unmap() */
    uint32_t count;       /* 1 to GRANT_MAP_MAX */
    bool writable;
    uint8_t *base; /* returned */
};

/*
 * The frame behind `page`, one of ours from swap_take(), and the frame behind the granted page
 * change places: all GRANT_PAGE bytes of the one are the guest's page then, the old contents of the
 * guest's page are ours. The page must be granted for writing. So whoever swaps has overwritten the
 * whole of `page` since swap_take(): what its last user left there may be of another guest.
 */
struct grant_swap {
    uint8_t *page; /* in: ours. Returned when status is 0: ours now, its address may be the same.
                      Other pages keep theirs. */
    uint32_t ref;
    int status; /* 0, or -errno: nothing has changed (but for -EIO) */
};

struct grant_ops {
    /* Does all `count` of them, in order, whatever becomes of each; `status` of each is set. As
     * many as a turn has belong into one call: with Xen each call is a system call and a hypercall.
     */
    void (*copy)(void *ctx, struct grant_copy *copies, unsigned count);

    /* All pages or none. 0 or -errno, of the first page that failed. A page that is mapped stays
     * what it is, and the guest cannot take its grant back, until unmap(); also when the guest is
     * gone. */
    int (*map)(void *ctx, struct grant_map *map);
    /* As map() left it. If it was writable, what may have been written is marked dirty. */
    void (*unmap)(void *ctx, const struct grant_map *map);

    /* NULL, all four, without GRANT_CAN_SWAP. */
    void (*swap)(void *ctx, struct grant_swap *swaps, unsigned count);
    /* `count` pages that can be swapped and be the target of O_DIRECT, all or none. False: too few
     * are left; nobody waits for them: copy instead. Contents are undefined and may be of another
     * guest. */
    bool (*swap_take)(void *ctx, uint8_t **ret_pages, unsigned count);
    /* Also after the guest's end, when the kernel is done with it. */
    void (*swap_give)(void *ctx, uint8_t *page);
    /* How many there are, and how many are left. */
    void (*swap_pages)(void *ctx, uint32_t *ret_pages, uint32_t *ret_free);
};

struct grant_counters {
    uint64_t copies, copied_bytes, copy_calls;
    uint64_t maps, unmaps; /* pages */
    uint64_t swaps, swap_calls;
    uint64_t errors; /* operations with a status, failed maps */
    uint32_t mapped; /* pages now */
};

/* From how many bytes of a request on a way is faster than copying, as tests/bench/bench_commit
 * found with this hypervisor; GRANT_NEVER: it is not. */
struct grant_crossover {
    uint32_t map;
    uint32_t swap;
};
#define GRANT_NEVER UINT32_MAX

/* One guest's. It stays valid beyond the guest's end until what was mapped or taken has come back.
 */
struct grants {
    const struct grant_ops *ops;
    void *ctx;
    uint32_t can; /* GRANT_CAN_x, constant */
    struct grant_crossover from;
    const struct grant_counters *counters;
};

/* For those who implement it: whether a copy stays within its page; and what copy() counts when all
 * have their status. */
static inline bool grant_copy_fits(const struct grant_copy *copy)
{
    return copy->len && copy->offset + (uint32_t)copy->len <= GRANT_PAGE;
}

static inline void grant_count_copies(struct grant_counters *counters,
                                      const struct grant_copy *copies, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (copies[i].status == 0) {
            counters->copies++;
            counters->copied_bytes += copies[i].len;
        } else {
            counters->errors++;
        }
    }
}

static inline void grants_copy(const struct grants *grants, struct grant_copy *copies,
                               unsigned count)
{
    if (count)
        grants->ops->copy(grants->ctx, copies, count);
}

static inline int grants_map(const struct grants *grants, struct grant_map *map)
{
    return grants->can & GRANT_CAN_MAP ? grants->ops->map(grants->ctx, map) : -EOPNOTSUPP;
}

static inline void grants_unmap(const struct grants *grants, const struct grant_map *map)
{
    grants->ops->unmap(grants->ctx, map);
}

static inline void grants_swap(const struct grants *grants, struct grant_swap *swaps,
                               unsigned count)
{
    if (count)
        grants->ops->swap(grants->ctx, swaps, count);
}

static inline bool grants_swap_take(const struct grants *grants, uint8_t **ret_pages,
                                    unsigned count)
{
    return grants->can & GRANT_CAN_SWAP && grants->ops->swap_take(grants->ctx, ret_pages, count);
}

static inline void grants_swap_give(const struct grants *grants, uint8_t *page)
{
    grants->ops->swap_give(grants->ctx, page);
}

#endif
