/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm: a guest's memory regions and its dirty bitmap. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "ioreq/hv_shm_priv.h"

static bool aligned(uint64_t value)
{
    return (value & (IOREQ_PAGE - 1)) == 0;
}

static struct hv_shm_mapping *dying(struct hv_shm_mem *mem, unsigned index)
{
    return &mem->map[HV_SHM_REGIONS_MAX - 1 - index];
}

/* The first region that ends above gpa: the one that holds it or the next one. */
static unsigned region_at(const struct hv_shm_mem *mem, uint64_t gpa)
{
    unsigned low = 0, high = mem->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (mem->map[middle].gpa + mem->map[middle].size > gpa)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int map_plain(const struct hv_shm_region *region, int fd, struct hv_shm_mapping *map,
                     const char **ret_why)
{
    void *base;
    int rc = hv_shm_map(fd, region->offset, region->size, !map->readonly, &base, ret_why);

    if (rc == 0)
        map->base = base;
    return rc;
}

static int map_frames(struct hv_shm_mem *mem, const struct hv_shm_region *region, int fd,
                      struct hv_shm_mapping *map, const char **ret_why)
{
    int rc;

    if (mem->area) {
        *ret_why = "there is a region of frames already";
        return -EEXIST;
    }
    rc = hv_shm_area_create(region, fd, &map->area, ret_why);
    if (rc == 0)
        mem->area = map->area;
    return rc;
}

static void unmap(struct hv_shm_mem *mem, const struct hv_shm_mapping *map)
{
    if (map->area) {
        mem->area = NULL;
        hv_shm_area_put(map->area);
    } else {
        munmap(map->base, map->size);
    }
}

int hv_shm_mem_add(struct hv_shm_mem *mem, const struct hv_shm_region *region, int fd,
                   const char **ret_why)
{
    struct hv_shm_mapping map = {.gpa = region->gpa,
                                 .size = region->size,
                                 .readonly = region->flags & HV_SHM_REGION_READONLY};
    unsigned at;
    int rc;

    if (region->flags & ~(HV_SHM_REGION_READONLY | HV_SHM_REGION_FRAMES) ||
        (region->flags & HV_SHM_REGION_FRAMES && (map.readonly || !mem->swaps))) {
        *ret_why = "unknown region flags";
        return -EINVAL;
    }
    if (!region->size || !aligned(region->gpa) || !aligned(region->size) ||
        !aligned(region->offset)) {
        *ret_why = "region is empty or not aligned to pages";
        return -EINVAL;
    }
    if (region->gpa >= HV_SHM_GPA_LIMIT || region->size > HV_SHM_GPA_LIMIT - region->gpa) {
        *ret_why = "region ends beyond 52 address bits";
        return -EINVAL;
    }
    if (mem->count + mem->dying_count >= HV_SHM_REGIONS_MAX ||
        region->size > HV_SHM_MEMORY_MAX - mem->total) {
        *ret_why = "too many regions or too much memory";
        return -ENOSPC;
    }
    at = region_at(mem, region->gpa);
    if (at < mem->count && mem->map[at].gpa < region->gpa + region->size) {
        *ret_why = "regions overlap";
        return -EEXIST;
    }
    rc = region->flags & HV_SHM_REGION_FRAMES ? map_frames(mem, region, fd, &map, ret_why)
                                              : map_plain(region, fd, &map, ret_why);
    if (rc < 0)
        return rc;

    memmove(&mem->map[at + 1], &mem->map[at], (mem->count - at) * sizeof(mem->map[0]));
    mem->map[at] = map;
    mem->count++;
    mem->total += region->size;
    return 0;
}

int hv_shm_mem_remove(struct hv_shm_mem *mem, uint64_t gpa, uint64_t size, uint32_t id)
{
    unsigned at = region_at(mem, gpa);
    struct hv_shm_mapping gone;

    if (at == mem->count || mem->map[at].gpa != gpa || mem->map[at].size != size)
        return -ENOENT;
    gone = mem->map[at];
    gone.remove_id = id;
    if (gone.area)
        gone.area->removed = true;
    mem->count--;
    memmove(&mem->map[at], &mem->map[at + 1], (mem->count - at) * sizeof(mem->map[0]));
    *dying(mem, mem->dying_count++) = gone; /* in what has become free, if need be */
    return 0;
}

bool hv_shm_mem_reap(struct hv_shm_mem *mem, uint32_t *ret_id)
{
    for (unsigned i = 0; i < mem->dying_count && !mem->pins; i++) {
        const struct hv_shm_mapping gone = *dying(mem, i);

        if (gone.area && gone.area->refs > 1)
            continue; /* spares are taken, frames are mapped */
        *dying(mem, i) = *dying(mem, --mem->dying_count);
        unmap(mem, &gone);
        mem->total -= gone.size;
        *ret_id = gone.remove_id;
        return true;
    }
    return false;
}

void hv_shm_mem_finish(struct hv_shm_mem *mem)
{
    for (unsigned i = 0; i < mem->count; i++)
        unmap(mem, &mem->map[i]);
    for (unsigned i = 0; i < mem->dying_count; i++)
        unmap(mem, dying(mem, i));
    hv_shm_mem_dirty_stop(mem);
    *mem = (struct hv_shm_mem){0};
}

/* What is at `pos`, which map holds, and how much of it lies side by side, at most *len bytes. */
static uint8_t *inside(const struct hv_shm_mapping *map, uint64_t pos, uint64_t *len)
{
    uint64_t offset = pos - map->gpa, room;
    uint8_t *page;

    if (!map->area)
        return map->base + offset;
    room = IOREQ_PAGE - offset % IOREQ_PAGE;
    *len = *len > room ? room : *len;
    page = hv_shm_area_page(map->area, (uint32_t)(offset / IOREQ_PAGE), NULL);
    return page ? page + offset % IOREQ_PAGE : NULL;
}

int hv_shm_mem_find(const struct hv_shm_mem *mem, uint64_t gpa, size_t len, bool write,
                    struct iovec *iov, size_t *ret_len, uint64_t *ret_holes)
{
    size_t done = 0;
    int n = 0;

    while (done < len) {
        /* Wrapped or above all regions: what is left is one hole. */
        uint64_t pos = gpa + done, take = len - done;
        struct iovec *last = n ? &iov[n - 1] : NULL;
        uint8_t *base = NULL;
        unsigned at = pos >= gpa ? region_at(mem, pos) : mem->count;

        if (at < mem->count) {
            const struct hv_shm_mapping *map = &mem->map[at];
            bool here = map->gpa <= pos;
            uint64_t room = here ? map->gpa + map->size - pos : map->gpa - pos;

            if (take > room)
                take = room;
            if (here && !(write && map->readonly))
                base = inside(map, pos, &take);
        }
        if (base && last && last->iov_base && (uint8_t *)last->iov_base + last->iov_len == base) {
            last->iov_len += take;
        } else if (n < HV_PIN_IOV) {
            iov[n++] = (struct iovec){.iov_base = base, .iov_len = take};
            *ret_holes += !base;
        } else {
            break;
        }
        done += take;
    }
    *ret_len = done;
    return n;
}

uint8_t *hv_shm_mem_page(const struct hv_shm_mem *mem, uint64_t gpa, bool write,
                         struct hv_shm_area **ret_area, uint32_t *ret_index)
{
    unsigned at = region_at(mem, gpa);
    const struct hv_shm_mapping *map = &mem->map[at];
    uint64_t len = IOREQ_PAGE;

    if (at == mem->count || map->gpa > gpa || (write && map->readonly))
        return NULL;
    *ret_area = map->area;
    *ret_index = (uint32_t)((gpa - map->gpa) / IOREQ_PAGE);
    return inside(map, gpa, &len);
}

int hv_shm_mem_dirty_start(struct hv_shm_mem *mem, uint64_t gpa, uint64_t size, int fd)
{
    const char *why;
    uint64_t bytes;
    void *bits;
    int rc;

    if (!size || !aligned(gpa) || !aligned(size) || gpa >= HV_SHM_GPA_LIMIT ||
        size > HV_SHM_MEMORY_MAX || size > HV_SHM_GPA_LIMIT - gpa)
        return -EINVAL;
    /* Whole 64-bit words in whole pages. */
    bytes = (size / IOREQ_PAGE + 7) / 8;
    bytes = (bytes + IOREQ_PAGE - 1) & ~(uint64_t)(IOREQ_PAGE - 1);
    rc = hv_shm_map(fd, 0, bytes, true, &bits, &why);
    if (rc < 0)
        return rc;
    hv_shm_mem_dirty_stop(mem);
    mem->dirty = bits;
    mem->dirty_gpa = gpa;
    mem->dirty_size = size;
    mem->dirty_bytes = bytes;
    return 0;
}

void hv_shm_mem_dirty_stop(struct hv_shm_mem *mem)
{
    if (mem->dirty)
        munmap(mem->dirty, mem->dirty_bytes);
    mem->dirty = NULL;
}

void hv_shm_mem_dirty(struct hv_shm_mem *mem, uint64_t gpa, size_t len)
{
    uint64_t first, last;

    if (!mem->dirty || !len)
        return;
    last = gpa + len - 1;
    if (last < gpa)
        last = UINT64_MAX;
    if (last < mem->dirty_gpa || gpa >= mem->dirty_gpa + mem->dirty_size)
        return;
    first = gpa < mem->dirty_gpa ? 0 : (gpa - mem->dirty_gpa) / IOREQ_PAGE;
    last = last - mem->dirty_gpa >= mem->dirty_size ? mem->dirty_size - 1 : last - mem->dirty_gpa;
    last /= IOREQ_PAGE;
    for (uint64_t page = first; page <= last; page++)
        __atomic_fetch_or(&mem->dirty[page / 64], 1ull << page % 64, __ATOMIC_SEQ_CST);
}
