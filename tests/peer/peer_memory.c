/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The peer as hypervisor: its guest's memory, frames and grants. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/peer/peer_priv.h"

/* Where guest page `index` of the region is now. */
static uint8_t *region_page(const struct peer_region *r, size_t index)
{
    if (!r->table)
        return r->base + index * IOREQ_PAGE;
    return r->frames + (size_t)__atomic_load_n(&r->table[index], __ATOMIC_ACQUIRE) * IOREQ_PAGE;
}

/* Of frames: do those pages lie side by side? */
static bool together(const struct peer_region *r, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        if (region_page(r, i) + IOREQ_PAGE != region_page(r, i + 1))
            return false;
    return true;
}

void *peer_ram(struct peer *peer, uint64_t gpa, size_t len)
{
    for (unsigned i = 0; i < PEER_REGIONS; i++) {
        const struct peer_region *r = &peer->region[i];
        uint64_t at = gpa - r->gpa;

        if (!r->base || gpa < r->gpa || at >= r->size || len > r->size - at)
            continue;
        if (r->table && len && !together(r, at / IOREQ_PAGE, (at + len - 1) / IOREQ_PAGE))
            return NULL;
        return region_page(r, at / IOREQ_PAGE) + at % IOREQ_PAGE;
    }
    return NULL;
}

static size_t table_size(size_t frames)
{
    return (frames * sizeof(uint32_t) + IOREQ_PAGE - 1) & ~(size_t)(IOREQ_PAGE - 1);
}

/* A region of frames begins with each page in its place and the spares at the end. */
static void frames_init(struct peer_region *r, unsigned spares)
{
    size_t pages = r->size / IOREQ_PAGE;

    r->shared = (struct hv_shm_frames *)(void *)r->base;
    r->table = (uint32_t *)(void *)(r->base + IOREQ_PAGE);
    r->frames = r->base + IOREQ_PAGE + table_size(pages + spares);
    r->shared->pages = (uint32_t)pages;
    r->shared->spares = spares;
    for (uint32_t i = 0; i < pages + spares; i++)
        r->table[i] = i;
}

struct peer_region *peer_region_new(struct peer *peer, uint64_t gpa, size_t size, unsigned spares,
                                    int *ret_fd)
{
    struct peer_region *r = peer->region;
    size_t frames = size / IOREQ_PAGE + spares, bytes = size;
    void *base;

    if (spares)
        bytes = IOREQ_PAGE + table_size(frames) + frames * IOREQ_PAGE;
    while (r < peer->region + PEER_REGIONS && r->base)
        r++;
    if (r == peer->region + PEER_REGIONS)
        return NULL;
    *ret_fd = peer_memfd("peer-ram", bytes, true);
    if (*ret_fd < 0)
        return NULL;
    base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
    if (base == MAP_FAILED) {
        close(*ret_fd);
        return NULL;
    }
    *r = (struct peer_region){.gpa = gpa, .size = size, .base = base, .map_size = bytes};
    if (spares)
        frames_init(r, spares);
    return r;
}

void peer_region_free(struct peer_region *r)
{
    if (r->base)
        munmap(r->base, r->map_size);
    *r = (struct peer_region){0};
}

int peer_memory_add(struct peer *peer, uint64_t gpa, size_t size)
{
    return peer_frames_add(peer, gpa, size, 0);
}

int peer_frames_add(struct peer *peer, uint64_t gpa, size_t size, unsigned spares)
{
    struct hv_shm_memory message = {
        .region = {.gpa = gpa, .size = size, .flags = spares ? HV_SHM_REGION_FRAMES : 0}};
    struct peer_region *r;
    int fd, rc;

    r = peer_region_new(peer, gpa, size, spares, &fd);
    if (!r)
        return -ENOMEM;
    rc = peer_transact(peer, &message, HV_SHM_MEMORY_ADD, sizeof(message), fd);
    close(fd);
    if (rc < 0)
        peer_region_free(r);
    return rc;
}

struct hv_shm_frames *peer_frames(struct peer *peer, uint32_t **ret_table)
{
    for (unsigned i = 0; i < PEER_REGIONS; i++) {
        if (!peer->region[i].table)
            continue;
        *ret_table = peer->region[i].table;
        return peer->region[i].shared;
    }
    return NULL;
}

struct hv_shm_grant *peer_grant_entry(struct peer *peer, uint32_t ref)
{
    return &peer->pages->grants[ref];
}

int peer_grant(struct peer *peer, uint64_t gpa, bool readonly)
{
    int ref = -ENOSPC;

    pthread_mutex_lock(&peer->lock);
    for (uint32_t i = 0; i < HV_SHM_GRANTS && ref < 0; i++) {
        uint32_t at = (peer->next_ref + i) % HV_SHM_GRANTS;
        struct hv_shm_grant *entry = peer_grant_entry(peer, at);

        if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE))
            continue;
        entry->frame = (uint32_t)(gpa / IOREQ_PAGE);
        entry->domid = HV_SHM_GRANT_DOMID;
        __atomic_store_n(&entry->flags,
                         HV_SHM_GRANT_ACCESS | (readonly ? HV_SHM_GRANT_READONLY : 0),
                         __ATOMIC_RELEASE);
        peer->next_ref = at + 1;
        ref = (int)at;
    }
    pthread_mutex_unlock(&peer->lock);
    return ref;
}

int peer_grant_end(struct peer *peer, uint32_t ref)
{
    uint16_t *flags = &peer_grant_entry(peer, ref)->flags;
    uint16_t now = __atomic_load_n(flags, __ATOMIC_ACQUIRE);

    do
        if (now & (HV_SHM_GRANT_READING | HV_SHM_GRANT_WRITING))
            return -EBUSY;
    while (!__atomic_compare_exchange_n(flags, &now, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
    return 0;
}

int peer_memory_remove(struct peer *peer, uint64_t gpa)
{
    struct hv_shm_memory message = {.region = {.gpa = gpa}};
    int rc;

    for (unsigned i = 0; i < PEER_REGIONS; i++) {
        if (!peer->region[i].base || peer->region[i].gpa != gpa)
            continue;
        message.region.size = peer->region[i].size;
        rc = peer_transact(peer, &message, HV_SHM_MEMORY_REMOVE, sizeof(message), -1);
        if (rc == 0)
            peer_region_free(&peer->region[i]);
        return rc;
    }
    return -ENOENT;
}

int peer_dirty_start(struct peer *peer, uint64_t gpa, size_t size, uint64_t **ret_bits)
{
    struct hv_shm_dirty message = {.gpa = gpa, .size = size};
    size_t bytes = (size / IOREQ_PAGE + 7) / 8;
    void *bits;
    int fd, rc;

    bytes = (bytes + IOREQ_PAGE - 1) & ~(size_t)(IOREQ_PAGE - 1);
    fd = peer_memfd("peer-dirty", bytes, true);
    if (fd < 0)
        return fd;
    bits = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    rc = bits == MAP_FAILED
             ? -ENOMEM
             : peer_transact(peer, &message, HV_SHM_DIRTY_START, sizeof(message), fd);
    close(fd);
    if (rc < 0) {
        if (bits != MAP_FAILED)
            munmap(bits, bytes);
        return rc;
    }
    peer->dirty = bits;
    peer->dirty_bytes = bytes;
    *ret_bits = bits;
    return 0;
}

int peer_dirty_stop(struct peer *peer)
{
    struct hv_shm_dirty message = {0};
    int rc = peer_transact(peer, &message, HV_SHM_DIRTY_STOP, sizeof(message), -1);

    if (peer->dirty)
        munmap(peer->dirty, peer->dirty_bytes);
    peer->dirty = NULL;
    return rc;
}

unsigned peer_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned n = 0;

    while (maps && fgets(line, sizeof(line), maps))
        n += strstr(line, "/memfd:") != NULL;
    if (maps)
        fclose(maps);
    return n;
}
