/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backend's end of a blkif ring. The pages are shared with a frontend that may change any byte
 * at any moment: indices are read once and bounded, an entry is copied once, and only the copy is
 * looked at (XSA-155).
 *
 *     rsp_prod        req_cons             req_prod (theirs)
 *     |== being served ==|== to be taken ======|
 *     |<----------- at most `entries` -------->|
 */
#ifndef IOEMUD_DEVICES_PV_BLKIF_RING_H
#define IOEMUD_DEVICES_PV_BLKIF_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/pv/blkif_abi.h"

enum blkif_protocol {
    BLKIF_NATIVE, /* as this program is compiled: what a frontend that says nothing means */
    BLKIF_X86_32,
    BLKIF_X86_64,
};

struct blkif_segment {
    uint32_t ref;
    uint8_t first, last; /* sectors in the page, inclusive */
};

/* A request as it was copied: nothing in it has been checked. */
struct blkif_req {
    uint8_t operation;
    uint8_t indirect_op; /* BLKIF_INDIRECT */
    uint16_t n_segments;
    uint64_t id;
    uint64_t sector;
    uint64_t discard_sectors;                 /* BLKIF_DISCARD */
    uint32_t indirect[BLKIF_INDIRECT_PAGES];  /* BLKIF_INDIRECT */
    struct blkif_segment seg[BLKIF_SEGMENTS]; /* others */
};

struct blkif_ring {
    uint8_t *base; /* shared */
    struct blkif_layout layout;
    uint32_t entries; /* a power of two */
    uint32_t req_cons, rsp_prod;
    uint32_t pushed; /* what the frontend has been shown of rsp_prod */
};

enum blkif_taken {
    BLKIF_EMPTY,
    BLKIF_TAKEN,
    BLKIF_BROKEN, /* more requests than fit: the indices make no sense */
};

/* How many requests a ring of so many pages has. */
uint32_t blkif_ring_entries(enum blkif_protocol protocol, unsigned pages);
/* `base`: the pages, side by side, as long as the ring is used. Goes on where the shared indices
 * say that responses ended, so a backend can take over what another left unanswered. */
void blkif_ring_attach(struct blkif_ring *ring, void *base, unsigned pages,
                       enum blkif_protocol protocol);
enum blkif_taken blkif_ring_take(struct blkif_ring *ring, struct blkif_req *ret_request);
/* For requests that were taken, in any order; seen by the frontend after blkif_ring_push(). */
void blkif_ring_respond(struct blkif_ring *ring, uint64_t id, uint8_t operation, int16_t status);
/* True: the frontend is to be notified. */
bool blkif_ring_push(struct blkif_ring *ring);
/* Before sleeping: from now on the frontend notifies of its next request. True: there is one
 * already. */
bool blkif_ring_rearm(struct blkif_ring *ring);
/* One segment as it lies in a request or in an indirect page. */
void blkif_segment_decode(const uint8_t *bytes, struct blkif_segment *ret_segment);

#endif
