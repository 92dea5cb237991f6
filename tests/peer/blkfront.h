/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frontend's end of a blkif ring, as a guest's driver has it: for unit tests, fuzzers and
 * benchmarks of the backend (devices/pv/). It writes what it is told to, sensible or not.
 *
 *   blkfront_request()... -> blkfront_publish() -> event to the backend, if that asked for it
 *   event from the backend -> blkfront_response()... until none -> blkfront_rearm() -> sleep
 *
 * The ring's pages are the caller's, side by side. One thread.
 */
#ifndef IOEMUD_TESTS_PEER_BLKFRONT_H
#define IOEMUD_TESTS_PEER_BLKFRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/pv/blkif_ring.h"

struct blkfront {
    uint8_t *ring; /* shared */
    struct blkif_layout layout;
    uint32_t entries;
    uint32_t req_prod; /* what the backend has been shown of it is in the ring */
    uint32_t rsp_cons;
};

struct blkfront_response {
    uint64_t id;
    uint8_t operation;
    int16_t status;
};

/* Nothing is written to the ring. */
void blkfront_init(struct blkfront *front, uint8_t *ring, unsigned pages,
                   enum blkif_protocol protocol);
/* Empties it: both sides are to tell of the first that comes. */
void blkfront_reset(struct blkfront *front);
/* One of the ring's indices: BLKIF_REQ_PROD and so on. */
uint32_t *blkfront_index(const struct blkfront *front, uint32_t which);

/* The next entry, zeroed. Who has more on the way than there are entries overwrites them. */
uint8_t *blkfront_entry(struct blkfront *front);
void blkfront_request(struct blkfront *front, uint8_t operation, uint64_t id, uint64_t sector,
                      const struct blkif_segment *segments, unsigned n);
void blkfront_discard(struct blkfront *front, uint64_t id, uint64_t sector, uint64_t sectors,
                      uint8_t flag);
/* `table`: the reference of a page that has the segments. */
void blkfront_indirect(struct blkfront *front, uint8_t operation, uint64_t id, uint64_t sector,
                       uint32_t table, unsigned n);
/* A segment as it lies in a request or in an indirect page. */
void blkfront_segment(uint8_t *at, uint32_t ref, uint8_t first, uint8_t last);

/* Shows the backend what is new. True: it wants to be told. */
bool blkfront_publish(struct blkfront *front);
/* False: there is none. */
bool blkfront_response(struct blkfront *front, struct blkfront_response *ret_response);
/* The backend is to tell of the next response. True: it is there already. */
bool blkfront_rearm(struct blkfront *front);

#endif
