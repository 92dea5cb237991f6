// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/peer/blkfront.h"

#include <string.h>

static const struct blkif_layout layout_32 = BLKIF_LAYOUT_32;
static const struct blkif_layout layout_64 = BLKIF_LAYOUT_64;

void blkfront_init(struct blkfront *front, uint8_t *ring, unsigned pages,
                   enum blkif_protocol protocol)
{
    *front = (struct blkfront){
        .ring = ring,
        .layout = protocol == BLKIF_X86_32 ? layout_32 : layout_64,
        .entries = blkif_ring_entries(protocol, pages),
    };
}

uint32_t *blkfront_index(const struct blkfront *front, uint32_t which)
{
    return (uint32_t *)(void *)(front->ring + which);
}

void blkfront_reset(struct blkfront *front)
{
    *blkfront_index(front, BLKIF_REQ_PROD) = *blkfront_index(front, BLKIF_RSP_PROD) = 0;
    *blkfront_index(front, BLKIF_REQ_EVENT) = *blkfront_index(front, BLKIF_RSP_EVENT) = 1;
    front->req_prod = front->rsp_cons = 0;
}

/* ---- requests ---------------------------------------------------------------------------------*/

static uint8_t *entry_at(const struct blkfront *front, uint32_t index)
{
    return front->ring + BLKIF_RING_HEAD +
           (size_t)(index & (front->entries - 1)) * front->layout.entry;
}

uint8_t *blkfront_entry(struct blkfront *front)
{
    uint8_t *entry = entry_at(front, front->req_prod++);

    memset(entry, 0, front->layout.entry);
    return entry;
}

void blkfront_segment(uint8_t *at, uint32_t ref, uint8_t first, uint8_t last)
{
    memset(at, 0, BLKIF_SEGMENT_BYTES);
    memcpy(at, &ref, sizeof(ref));
    at[4] = first;
    at[5] = last;
}

static uint8_t *new_entry(struct blkfront *front, uint8_t operation, uint64_t id, uint64_t sector)
{
    uint8_t *entry = blkfront_entry(front);

    entry[0] = operation;
    memcpy(entry + front->layout.id, &id, sizeof(id));
    memcpy(entry + front->layout.sector, &sector, sizeof(sector));
    return entry;
}

void blkfront_request(struct blkfront *front, uint8_t operation, uint64_t id, uint64_t sector,
                      const struct blkif_segment *segments, unsigned n)
{
    uint8_t *entry = new_entry(front, operation, id, sector);

    entry[1] = (uint8_t)n;
    for (unsigned i = 0; i < n && i < BLKIF_SEGMENTS; i++)
        blkfront_segment(entry + front->layout.segments + (size_t)i * BLKIF_SEGMENT_BYTES,
                         segments[i].ref, segments[i].first, segments[i].last);
}

void blkfront_discard(struct blkfront *front, uint64_t id, uint64_t sector, uint64_t sectors,
                      uint8_t flag)
{
    uint8_t *entry = new_entry(front, BLKIF_DISCARD, id, sector);

    entry[1] = flag;
    memcpy(entry + front->layout.discard_sectors, &sectors, sizeof(sectors));
}

void blkfront_indirect(struct blkfront *front, uint8_t operation, uint64_t id, uint64_t sector,
                       uint32_t table, unsigned n)
{
    uint8_t *entry = new_entry(front, BLKIF_INDIRECT, id, sector);

    entry[1] = operation;
    entry[2] = (uint8_t)n;
    entry[3] = (uint8_t)(n >> 8);
    memcpy(entry + front->layout.indirect_refs, &table, sizeof(table));
}

/* ---- indices ----------------------------------------------------------------------------------*/

bool blkfront_publish(struct blkfront *front)
{
    uint32_t *prod = blkfront_index(front, BLKIF_REQ_PROD);
    uint32_t old = *prod, now = front->req_prod;

    /* After the entries, and before req_event is read: pairs with both barriers of
     * blkif_ring_take() and blkif_ring_rearm(). */
    __atomic_store_n(prod, now, __ATOMIC_SEQ_CST);
    return now - __atomic_load_n(blkfront_index(front, BLKIF_REQ_EVENT), __ATOMIC_SEQ_CST) <
           now - old;
}

static bool is_answered(const struct blkfront *front)
{
    /* Before the entry: pairs with blkif_ring_push(). */
    return __atomic_load_n(blkfront_index(front, BLKIF_RSP_PROD), __ATOMIC_ACQUIRE) !=
           front->rsp_cons;
}

bool blkfront_response(struct blkfront *front, struct blkfront_response *ret_response)
{
    const uint8_t *entry;

    if (!is_answered(front))
        return false;
    entry = entry_at(front, front->rsp_cons++);
    memcpy(&ret_response->id, entry, sizeof(ret_response->id));
    ret_response->operation = entry[8];
    memcpy(&ret_response->status, entry + 10, sizeof(ret_response->status));
    return true;
}

bool blkfront_rearm(struct blkfront *front)
{
    __atomic_store_n(blkfront_index(front, BLKIF_RSP_EVENT), front->rsp_cons + 1, __ATOMIC_SEQ_CST);
    /* rsp_event before rsp_prod is read: pairs with blkif_ring_push(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return is_answered(front);
}
