/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv_shm: what a guest granted, as devices/grant.h. The table is the guest's; of each entry the
 * flags are taken by compare-and-exchange and the frame is read once after that.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ioreq/hv_shm_priv.h"

/* Pages that a guest's backends have mapped at a time: rings, and one request of GRANT_MAP_MAX in
 * the course of a copy. Each may cost one of the 65530 mappings that a process has on Linux
 * (vm.max_map_count), so this leaves room for a hundred guests. */
#define MAPPED_MAX 512u

/*
 * tests/bench/bench_commit, us of processor time a request, the guest reading it afterwards (not):
 *              4 KiB         64 KiB        1 MiB
 *   copy       0.53 (0.30)   7.7 (4.4)     119 (70)
 *   map       13.3 (12.5)    101 (96)     1582 (1487)
 *   swap       0.44 (0.06)   5.7 (0.4)      99 (7.4)
 * It is the peer that decides whether its pages can be swapped: one that has to map them again pays
 * more than that.
 */
static const struct grant_crossover crossover = {.map = GRANT_NEVER, .swap = GRANT_PAGE};

/* A guest that changes the flags all the time only loses its own operation. */
#define TRIES 4

/* Uses of a reference by us at present: its bits are set by the first and cleared by the last. */
struct use {
    uint16_t readers; /* the writers too */
    uint16_t writers;
};

struct hv_shm_grants {
    struct grants grants;
    struct grant_counters counters;
    struct hv_guest *guest;   /* NULL: it has ended, others only wait for what is still out */
    struct hv_shm_area *area; /* where taken pages are from */
    uint32_t out;             /* pages taken or mapped */
    struct use use[HV_SHM_GRANTS];
};

/* A mapped page. Their array lies before the pages that map() returns, so that a mapping is one
 * piece and an unmap needs nothing of the guest's. */
struct mapped {
    struct hv_shm_area *area;
    uint32_t frame; /* of area */
    uint64_t gpa;
};

static uint32_t *flags_word(struct hv_shm_grant *entry)
{
    return (uint32_t *)(void *)entry; /* {flags, domid}: little-endian, as all of the protocol */
}

/* Sets the bits of a reference that is going to be used. */
static int mark_used(struct hv_shm_grant *entry, bool write)
{
    uint32_t word = __atomic_load_n(flags_word(entry), __ATOMIC_ACQUIRE);
    uint32_t bits = HV_SHM_GRANT_READING | (write ? HV_SHM_GRANT_WRITING : 0);

    for (unsigned i = 0; i < TRIES; i++) {
        if ((word & HV_SHM_GRANT_TYPE_MASK) != HV_SHM_GRANT_ACCESS ||
            word >> 16 != HV_SHM_GRANT_DOMID || (write && word & HV_SHM_GRANT_READONLY))
            return -EACCES;
        if (__atomic_compare_exchange_n(flags_word(entry), &word, word | bits, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
            return 0;
    }
    return -EAGAIN;
}

/* A reference is in use until drop(). *ret_gpa: the page that it grants. */
static int hold(struct hv_shm_grants *grants, uint32_t ref, bool write, uint64_t *ret_gpa)
{
    struct hv_shm_grant *entry;
    struct use *use;
    int rc;

    if (!grants->guest || grants->guest->gone)
        return -ESRCH;
    if (ref >= HV_SHM_GRANTS)
        return -EINVAL;
    entry = &grants->guest->pages->grants[ref];
    use = &grants->use[ref];
    if (use->readers == UINT16_MAX)
        return -ENOSPC;
    rc = mark_used(entry, write);
    if (rc < 0)
        return rc;
    use->readers++;
    use->writers += write;
    *ret_gpa = (uint64_t)__atomic_load_n(&entry->frame, __ATOMIC_ACQUIRE) * IOREQ_PAGE;
    return 0;
}

static void drop(struct hv_shm_grants *grants, uint32_t ref, bool write)
{
    struct use *use = &grants->use[ref];
    uint16_t bits = 0;

    assert(use->readers && use->writers >= write);
    use->writers -= write;
    use->readers--;
    if (write && !use->writers)
        bits |= HV_SHM_GRANT_WRITING;
    if (!use->readers)
        bits |= HV_SHM_GRANT_READING;
    if (bits && grants->guest)
        __atomic_and_fetch(&grants->guest->pages->grants[ref].flags, (uint16_t)~bits,
                           __ATOMIC_SEQ_CST);
}

static int copy_one(struct hv_shm_grants *grants, const struct grant_copy *copy)
{
    struct hv_shm_area *area;
    uint32_t index;
    uint64_t gpa;
    uint8_t *page;
    int rc;

    if (!grant_copy_fits(copy))
        return -EINVAL;
    rc = hold(grants, copy->ref, copy->to_guest, &gpa);
    if (rc < 0)
        return rc;
    page = hv_shm_mem_page(&grants->guest->mem, gpa, copy->to_guest, &area, &index);
    if (page && copy->to_guest) {
        memcpy(page + copy->offset, copy->local, copy->len);
        hv_shm_mem_dirty(&grants->guest->mem, gpa + copy->offset, copy->len);
    } else if (page) {
        memcpy(copy->local, page + copy->offset, copy->len);
    }
    drop(grants, copy->ref, copy->to_guest);
    return page ? 0 : -EFAULT;
}

static void shm_copy(void *ctx, struct grant_copy *copies, unsigned count)
{
    struct hv_shm_grants *grants = ctx;

    grants->counters.copy_calls++;
    for (unsigned i = 0; i < count; i++)
        copies[i].status = copy_one(grants, &copies[i]);
    grant_count_copies(&grants->counters, copies, count);
}

/* Maps the page that is at `page` a second time, to `at`. */
static int map_again(uint8_t *page, uint8_t *at, bool writable)
{
    /* An old size of 0 leaves the old mapping of a shared file and makes another: mremap(2). */
    if (mremap(page, 0, IOREQ_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED)
        return -ENOMEM;
    if (!writable && mprotect(at, IOREQ_PAGE, PROT_READ) < 0)
        return -ENOMEM;
    return 0;
}

static int map_one(struct hv_shm_grants *grants, uint32_t ref, bool writable, uint8_t *at,
                   struct mapped *ret_mapped)
{
    struct hv_shm_area *area = NULL;
    struct mapped mapped = {0};
    uint32_t index;
    uint8_t *page;
    int rc = hold(grants, ref, writable, &mapped.gpa);

    if (rc < 0)
        return rc;
    rc = -EFAULT;
    page = hv_shm_mem_page(&grants->guest->mem, mapped.gpa, writable, &area, &index);
    if (page && area) {
        page = hv_shm_area_page(area, index, &mapped.frame);
        if (page && hv_shm_area_hold(area, mapped.frame) == 0)
            mapped.area = area;
        else
            page = NULL;
    }
    if (page)
        rc = map_again(page, at, writable);
    if (rc < 0) {
        if (mapped.area)
            hv_shm_area_unhold(area, mapped.frame);
        drop(grants, ref, writable);
        return rc;
    }
    *ret_mapped = mapped;
    return 0;
}

static size_t records_size(uint32_t count)
{
    size_t bytes = count * sizeof(struct mapped);

    return (bytes + IOREQ_PAGE - 1) & ~(size_t)(IOREQ_PAGE - 1);
}

/* The last thing that is done with `grants`: pages came back. */
static void came_back(struct hv_shm_grants *grants, uint32_t count)
{
    grants->out -= count;
    if (grants->guest)
        hv_shm_answer_removed(grants->guest);
    else if (!grants->out)
        free(grants);
}

static void undo(struct hv_shm_grants *grants, const struct grant_map *map, uint8_t *base,
                 uint32_t count)
{
    size_t before = records_size(map->count);
    const struct mapped *mapped = (const void *)(base - before);

    for (uint32_t i = 0; i < count; i++) {
        if (map->writable && grants->guest)
            hv_shm_mem_dirty(&grants->guest->mem, mapped[i].gpa, IOREQ_PAGE);
        if (mapped[i].area)
            hv_shm_area_unhold(mapped[i].area, mapped[i].frame);
        drop(grants, map->refs[i], map->writable);
    }
    munmap(base - before, before + map->count * (size_t)IOREQ_PAGE);
}

static int shm_map(void *ctx, struct grant_map *map)
{
    struct hv_shm_grants *grants = ctx;
    size_t before = records_size(map->count);
    struct mapped *mapped;
    uint8_t *base;
    int rc = 0;

    assert(map->count && map->count <= GRANT_MAP_MAX);
    rc = grants->counters.mapped + map->count > MAPPED_MAX ? -ENOSPC : 0;
    if (rc < 0)
        goto fail;
    base = mmap(NULL, before + map->count * (size_t)IOREQ_PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        rc = -ENOMEM;
        goto fail;
    }
    mapped = (void *)base;
    base += before;
    for (uint32_t i = 0; i < map->count; i++) {
        rc =
            map_one(grants, map->refs[i], map->writable, base + i * (size_t)IOREQ_PAGE, &mapped[i]);
        if (rc < 0) {
            undo(grants, map, base, i);
            goto fail;
        }
    }
    grants->counters.maps += map->count;
    grants->counters.mapped += map->count;
    grants->out += map->count;
    map->base = base;
    return 0;

fail:
    grants->counters.errors++;
    return rc;
}

static void shm_unmap(void *ctx, const struct grant_map *map)
{
    struct hv_shm_grants *grants = ctx;

    undo(grants, map, map->base, map->count);
    grants->counters.unmaps += map->count;
    grants->counters.mapped -= map->count;
    came_back(grants, map->count);
}

static int swap_one(struct hv_shm_grants *grants, struct grant_swap *swap)
{
    struct hv_shm_area *area;
    uint32_t index;
    uint64_t gpa;
    int rc = hold(grants, swap->ref, true, &gpa);

    if (rc < 0)
        return rc;
    rc = -EFAULT;
    if (hv_shm_mem_page(&grants->guest->mem, gpa, true, &area, &index))
        rc = area ? hv_shm_area_swap(area, index, &swap->page) : -EOPNOTSUPP;
    if (rc == 0)
        hv_shm_mem_dirty(&grants->guest->mem, gpa, IOREQ_PAGE);
    drop(grants, swap->ref, true);
    return rc;
}

static void shm_swap(void *ctx, struct grant_swap *swaps, unsigned count)
{
    struct hv_shm_grants *grants = ctx;

    grants->counters.swap_calls++;
    for (unsigned i = 0; i < count; i++) {
        swaps[i].status = swap_one(grants, &swaps[i]);
        if (swaps[i].status == 0)
            grants->counters.swaps++;
        else
            grants->counters.errors++;
    }
}

static bool shm_swap_take(void *ctx, uint8_t **ret_pages, unsigned count)
{
    struct hv_shm_grants *grants = ctx;
    struct hv_shm_area *area = grants->guest ? grants->guest->mem.area : NULL;

    if (!area || !hv_shm_area_take(area, ret_pages, count))
        return false;
    grants->area = area;
    grants->out += count;
    return true;
}

static void shm_swap_give(void *ctx, uint8_t *page)
{
    struct hv_shm_grants *grants = ctx;

    hv_shm_area_give(grants->area, page);
    came_back(grants, 1);
}

static void shm_swap_pages(void *ctx, uint32_t *ret_pages, uint32_t *ret_free)
{
    const struct hv_shm_grants *grants = ctx;
    const struct hv_shm_area *area = grants->guest ? grants->guest->mem.area : NULL;

    *ret_pages = area ? area->spares : 0;
    *ret_free = area ? area->free_count : 0;
}

static const struct grant_ops shm_ops = {
    .copy = shm_copy,
    .map = shm_map,
    .unmap = shm_unmap,
    .swap = shm_swap,
    .swap_take = shm_swap_take,
    .swap_give = shm_swap_give,
    .swap_pages = shm_swap_pages,
};

int hv_shm_grants_create(struct hv_guest *guest)
{
    struct hv_shm_grants *grants = calloc(1, sizeof(*grants));

    if (!grants)
        return -ENOMEM;
    grants->guest = guest;
    grants->grants = (struct grants){.ops = &shm_ops,
                                     .ctx = grants,
                                     .can = GRANT_CAN_COPY | GRANT_CAN_MAP,
                                     .from = crossover,
                                     .counters = &grants->counters};
    if (guest->info.features & HV_FEATURE_SWAP)
        grants->grants.can |= GRANT_CAN_SWAP;
    guest->grants = grants;
    return 0;
}

void hv_shm_grants_finish(struct hv_guest *guest)
{
    struct hv_shm_grants *grants = guest->grants;

    guest->grants = NULL;
    if (!grants)
        return;
    grants->guest = NULL;
    if (!grants->out)
        free(grants);
}

const struct grants *hv_shm_grants(struct hv_guest *guest)
{
    return guest->grants ? &guest->grants->grants : NULL;
}
