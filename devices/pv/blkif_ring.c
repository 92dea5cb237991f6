// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pv/blkif_ring.h"

#include <assert.h>
#include <string.h>

static const struct blkif_layout layout_32 = BLKIF_LAYOUT_32;
static const struct blkif_layout layout_64 = BLKIF_LAYOUT_64;

static const struct blkif_layout *layout_of(enum blkif_protocol protocol)
{
    if (protocol == BLKIF_NATIVE)
        /* i386 is the one that aligns to 4. */
        return _Alignof(struct { uint64_t member; }) == 4 ? &layout_32 : &layout_64;
    return protocol == BLKIF_X86_32 ? &layout_32 : &layout_64;
}

/* Shared memory is accessed by these only: a word is read or written once, whatever the compiler
 * would rather do. */
static uint32_t *word_at(const struct blkif_ring *ring, uint32_t offset)
{
    return (uint32_t *)(void *)(ring->base + offset);
}

static uint32_t load(const struct blkif_ring *ring, uint32_t offset)
{
    return __atomic_load_n(word_at(ring, offset), __ATOMIC_RELAXED);
}

static void store(const struct blkif_ring *ring, uint32_t offset, uint32_t value)
{
    __atomic_store_n(word_at(ring, offset), value, __ATOMIC_RELAXED);
}

static uint32_t entry_at(const struct blkif_ring *ring, uint32_t index)
{
    return BLKIF_RING_HEAD + (index & (ring->entries - 1)) * ring->layout.entry;
}

uint32_t blkif_ring_entries(enum blkif_protocol protocol, unsigned pages)
{
    uint32_t fit = (pages * BLKIF_PAGE - BLKIF_RING_HEAD) / layout_of(protocol)->entry;
    uint32_t entries = 1;

    while (entries * 2 <= fit)
        entries *= 2;
    return entries;
}

void blkif_ring_attach(struct blkif_ring *ring, void *base, unsigned pages,
                       enum blkif_protocol protocol)
{
    *ring = (struct blkif_ring){
        .base = base,
        .layout = *layout_of(protocol),
        .entries = blkif_ring_entries(protocol, pages),
    };
    ring->rsp_prod = load(ring, BLKIF_RSP_PROD);
    ring->req_cons = ring->pushed = ring->rsp_prod;
}

static uint32_t u32_at(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint64_t u64_at(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return value;
}

void blkif_segment_decode(const uint8_t *bytes, struct blkif_segment *ret_segment)
{
    *ret_segment =
        (struct blkif_segment){.ref = u32_at(bytes), .first = bytes[4], .last = bytes[5]};
}

static void decode(const struct blkif_layout *layout, const uint8_t *entry,
                   struct blkif_req *request)
{
    *request = (struct blkif_req){
        .operation = entry[0],
        .id = u64_at(entry + layout->id),
        .sector = u64_at(entry + layout->sector),
    };
    switch (request->operation) {
    case BLKIF_DISCARD:
        request->discard_sectors = u64_at(entry + layout->discard_sectors);
        break;
    case BLKIF_INDIRECT:
        request->indirect_op = entry[1];
        request->n_segments = (uint16_t)(entry[2] | entry[3] << 8);
        for (unsigned i = 0; i < BLKIF_INDIRECT_PAGES; i++)
            request->indirect[i] = u32_at(entry + layout->indirect_refs + 4 * i);
        break;
    default:
        request->n_segments = entry[1];
        for (unsigned i = 0; i < BLKIF_SEGMENTS; i++)
            blkif_segment_decode(entry + layout->segments + BLKIF_SEGMENT_BYTES * i,
                                 &request->seg[i]);
    }
}

enum blkif_taken blkif_ring_take(struct blkif_ring *ring, struct blkif_req *ret_request)
{
    uint8_t entry[BLKIF_ENTRY_MAX] = {0};
    uint32_t prod = load(ring, BLKIF_REQ_PROD), at;

    /* As a difference, so that one that went backwards is too large as well. */
    if (prod - ring->req_cons > ring->entries - (ring->req_cons - ring->rsp_prod))
        return BLKIF_BROKEN;
    if (prod == ring->req_cons)
        return BLKIF_EMPTY;
    /* Pairs with the frontend's barrier between a request and req_prod. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    at = entry_at(ring, ring->req_cons);
    for (uint32_t i = 0; i < ring->layout.entry; i += 4) {
        uint32_t word = load(ring, at + i);

        memcpy(entry + i, &word, sizeof(word));
    }
    ring->req_cons++;
    decode(&ring->layout, entry, ret_request);
    return BLKIF_TAKEN;
}

void blkif_ring_respond(struct blkif_ring *ring, uint64_t id, uint8_t operation, int16_t status)
{
    uint32_t at = entry_at(ring, ring->rsp_prod);

    assert(ring->rsp_prod != ring->req_cons);
    store(ring, at, (uint32_t)id);
    store(ring, at + 4, (uint32_t)(id >> 32));
    store(ring, at + 8, (uint32_t)operation | (uint32_t)(uint16_t)status << 16);
    if (ring->layout.response > 12)
        store(ring, at + 12, 0);
    ring->rsp_prod++;
}

bool blkif_ring_push(struct blkif_ring *ring)
{
    uint32_t fresh = ring->rsp_prod - ring->pushed;

    if (!fresh)
        return false;
    /* Responses before rsp_prod; pairs with the frontend's barrier after reading it. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    store(ring, BLKIF_RSP_PROD, ring->rsp_prod);
    ring->pushed = ring->rsp_prod;
    /* rsp_prod before rsp_event is read; pairs with the frontend's, which writes rsp_event and then
     * looks at rsp_prod once more. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ring->rsp_prod - load(ring, BLKIF_RSP_EVENT) < fresh;
}

bool blkif_ring_rearm(struct blkif_ring *ring)
{
    store(ring, BLKIF_REQ_EVENT, ring->req_cons + 1);
    /* Pairs with the frontend's between writing req_prod and reading req_event. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return load(ring, BLKIF_REQ_PROD) != ring->req_cons;
}
