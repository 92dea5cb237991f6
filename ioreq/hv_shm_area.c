/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm: a region whose pages can be swapped with frames that the daemon has. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ioreq/hv_shm_priv.h"

#define TABLE_LOAD(entry)         __atomic_load_n(&(entry), __ATOMIC_ACQUIRE)
#define TABLE_STORE(entry, value) __atomic_store_n(&(entry), (value), __ATOMIC_RELEASE)

static uint64_t page_up(uint64_t bytes)
{
    return (bytes + IOREQ_PAGE - 1) & ~(uint64_t)(IOREQ_PAGE - 1);
}

static uint32_t total(const struct hv_shm_area *area)
{
    return area->pages + area->spares;
}

/* How many pages and spares: each read once from the peer's page. */
static int sizes_read(const struct hv_shm_region *region, int fd, struct hv_shm_area *area,
                      const char **ret_why)
{
    void *head;
    int rc = hv_shm_map(fd, region->offset, IOREQ_PAGE, false, &head, ret_why);

    if (rc < 0)
        return rc;
    area->pages = TABLE_LOAD(((struct hv_shm_frames *)head)->pages);
    area->spares = TABLE_LOAD(((struct hv_shm_frames *)head)->spares);
    munmap(head, IOREQ_PAGE);
    if (area->pages == region->size / IOREQ_PAGE && area->spares &&
        area->spares <= HV_SHM_SPARES_MAX && area->pages <= HV_SHM_FRAMES_MAX - area->spares)
        return 0;
    *ret_why = "region of frames has the wrong number of pages or spares";
    return -EINVAL;
}

/* The daemon's frames as the table has them. That no page of the guest is one of them, nor two the
 * same, is left to the peer: it would be its own guest's loss. */
static int spares_read(struct hv_shm_area *area, const char **ret_why)
{
    for (uint32_t i = 0; i < area->spares; i++) {
        uint32_t frame = TABLE_LOAD(area->table[area->pages + i]);

        if (frame >= total(area) || area->use[frame]) {
            *ret_why = "spare frames are not of the region, or not different ones";
            return -EINVAL;
        }
        area->use[frame] = HV_SHM_SPARE | i;
        area->spare[i] = frame;
        area->free[area->free_count++] = area->spares - 1 - i;
    }
    return 0;
}

static void area_free(struct hv_shm_area *area)
{
    if (area->map)
        munmap(area->map, area->map_size);
    free(area->free);
    free(area->spare);
    free(area->use);
    free(area);
}

int hv_shm_area_create(const struct hv_shm_region *region, int fd, struct hv_shm_area **ret_area,
                       const char **ret_why)
{
    struct hv_shm_area *area = calloc(1, sizeof(*area));
    uint64_t table_bytes;
    int rc;

    if (!area) {
        *ret_why = "no memory";
        return -ENOMEM;
    }
    area->refs = 1;
    rc = sizes_read(region, fd, area, ret_why);
    if (rc < 0)
        goto fail;
    table_bytes = page_up(total(area) * (uint64_t)sizeof(*area->table));
    area->map_size = IOREQ_PAGE + table_bytes + total(area) * (size_t)IOREQ_PAGE;
    rc = hv_shm_map(fd, region->offset, area->map_size, true, &area->map, ret_why);
    if (rc < 0)
        goto fail;
    area->shared = area->map;
    area->table = (uint32_t *)((uint8_t *)area->map + IOREQ_PAGE);
    area->frames = (uint8_t *)area->map + IOREQ_PAGE + table_bytes;
    /* A log that goes on where an earlier daemon's ended. */
    area->changes = TABLE_LOAD(area->shared->changes);
    area->use = calloc(total(area), sizeof(*area->use));
    area->spare = calloc(area->spares, sizeof(*area->spare));
    area->free = calloc(area->spares, sizeof(*area->free));
    rc = -ENOMEM;
    *ret_why = "no memory";
    if (area->use && area->spare && area->free)
        rc = spares_read(area, ret_why);
    if (rc < 0)
        goto fail;
    *ret_area = area;
    return 0;

fail:
    area_free(area);
    return rc;
}

void hv_shm_area_put(struct hv_shm_area *area)
{
    assert(area->refs);
    if (--area->refs == 0)
        area_free(area);
}

uint8_t *hv_shm_area_page(const struct hv_shm_area *area, uint32_t index, uint32_t *ret_frame)
{
    uint32_t frame = TABLE_LOAD(area->table[index]);

    if (frame >= total(area))
        return NULL;
    if (ret_frame)
        *ret_frame = frame;
    return area->frames + (size_t)frame * IOREQ_PAGE;
}

int hv_shm_area_hold(struct hv_shm_area *area, uint32_t frame)
{
    if (area->use[frame] & HV_SHM_SPARE)
        return -EFAULT;
    area->use[frame]++;
    area->refs++;
    return 0;
}

void hv_shm_area_unhold(struct hv_shm_area *area, uint32_t frame)
{
    assert(area->use[frame] && !(area->use[frame] & HV_SHM_SPARE));
    area->use[frame]--;
    hv_shm_area_put(area);
}

bool hv_shm_area_take(struct hv_shm_area *area, uint8_t **ret_pages, unsigned count)
{
    if (area->removed || count > area->free_count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        uint32_t frame = area->spare[area->free[--area->free_count]];

        area->use[frame] |= HV_SHM_TAKEN;
        ret_pages[i] = area->frames + (size_t)frame * IOREQ_PAGE;
    }
    area->refs += count;
    return true;
}

/* The number of a frame that was taken. */
static uint32_t frame_of(const struct hv_shm_area *area, const uint8_t *page)
{
    size_t offset = (size_t)(page - area->frames);
    uint32_t frame = (uint32_t)(offset / IOREQ_PAGE);

    assert(page >= area->frames && offset % IOREQ_PAGE == 0 && offset / IOREQ_PAGE < total(area));
    assert(area->use[frame] & HV_SHM_TAKEN);
    return frame;
}

void hv_shm_area_give(struct hv_shm_area *area, uint8_t *page)
{
    uint32_t *use = &area->use[frame_of(area, page)];

    *use &= ~HV_SHM_TAKEN;
    area->free[area->free_count++] = *use & ~HV_SHM_SPARE;
    hv_shm_area_put(area);
}

/* A region's page `index` is another frame now. */
static void tell_change(struct hv_shm_area *area, uint32_t index)
{
    TABLE_STORE(area->shared->log[area->changes % HV_SHM_FRAMES_LOG], index);
    TABLE_STORE(area->shared->changes, ++area->changes);
}

int hv_shm_area_swap(struct hv_shm_area *area, uint32_t index, uint8_t **page)
{
    uint32_t ours = frame_of(area, *page), theirs, slot = area->use[ours];

    if (!hv_shm_area_page(area, index, &theirs) || area->use[theirs] & HV_SHM_SPARE)
        return -EFAULT; /* The peer has written to its table. */
    if (area->use[theirs])
        return -EBUSY;
    /* What was written to our frame is there before anybody finds it in the table. */
    if (!__atomic_compare_exchange_n(&area->table[index], &theirs, ours, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return -EFAULT;
    area->use[ours] = 0;
    area->use[theirs] = slot;
    slot &= ~(HV_SHM_SPARE | HV_SHM_TAKEN);
    area->spare[slot] = theirs;
    TABLE_STORE(area->table[area->pages + slot], theirs);
    tell_change(area, index);
    *page = area->frames + (size_t)theirs * IOREQ_PAGE;
    return 0;
}
