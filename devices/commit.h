/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How data that is in the daemon's pages gets to a guest, and back: the choice between strategies,
 * and batches of what a turn brings.
 *
 *   COMMIT_MEMCPY  host_dma_read/write, for addresses: what emulated devices do
 *   COMMIT_COPY    the hypervisor copies; one call for all segments of all jobs of a turn
 *   COMMIT_MAP     map the granted pages, copy, unmap
 *   COMMIT_SWAP    the frames change places, in one call as well; towards the guest, of whole pages
 *
 *   commit_choose() -> [pages: the pool's, or with COMMIT_SWAP grants_swap_take()'s] -> disk
 *     -> commit_add() ... commit_flush() -> done() for each
 *
 * Which one is chosen does not show to the guest. What cannot be mapped or swapped after all is
 * copied, segment by segment. A segment that fails fails its job; the others of the job may have
 * been carried out, as a disk that fails in the middle of a transfer would have.
 *
 * Whose bytes: a job towards the guest gives away whole segments, so whoever adds it has
 * overwritten all of their bytes in his pages since he took them (a read that stopped early is
 * zeroed from there: blk.h). With COMMIT_SWAP that is the whole of each page.
 *
 * One thread; nothing is allocated after commit_create().
 */
#ifndef IOEMUD_DEVICES_COMMIT_H
#define IOEMUD_DEVICES_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/grant.h"
#include "devices/host.h"

struct commit;

enum commit_how {
    COMMIT_MEMCPY,
    COMMIT_COPY,
    COMMIT_MAP,
    COMMIT_SWAP,
    COMMIT_HOWS,
};

/* Segments in a job: what a blkif indirect request can have, in the limit that Linux's frontend
 * asks for at most. */
#define COMMIT_SEGMENTS_MAX 256u

/* A piece of the guest's memory. The segments of a job follow each other in our pages. */
struct commit_segment {
    union {
        uint32_t ref;
        uint64_t gpa; /* COMMIT_MEMCPY; `offset` is added */
    };
    uint16_t offset; /* offset + len at most GRANT_PAGE, len at least 1: -EINVAL */
    uint16_t len;
};

struct commit_job {
    /* The caller's, unchanged until done(). */
    const struct commit_segment *segments;
    unsigned count;  /* 1 to COMMIT_SEGMENTS_MAX */
    uint8_t **pages; /* of GRANT_PAGE bytes, in order; COMMIT_SWAP replaces them by what we have
                        instead */
    bool to_guest;
    enum commit_how how;
    /* From within commit_flush(), never inline with commit_add(). May add jobs, for the next
     * flush. */
    void (*done)(struct commit_job *job);
    /* Returned: 0 or the status of the first segment that failed (devices/grant.h). */
    int error;
    /* commit.c's. */
    struct commit_job *next;
};

struct commit_counters {
    uint64_t jobs[COMMIT_HOWS], bytes[COMMIT_HOWS]; /* by what was asked for */
    uint64_t fallbacks; /* segments that could not be mapped or swapped and were copied */
    uint64_t errors;    /* jobs with an error */
};

struct commit_params {
    const struct grants *grants; /* NULL: COMMIT_MEMCPY only */
    const struct host *host;     /* NULL: no COMMIT_MEMCPY */
};

/* Both outlive it. -ENOMEM. */
int commit_create(const struct commit_params *params, struct commit **ret_commit);
/* What was added and not flushed is forgotten, without done(). NULL is fine. */
void commit_destroy(struct commit *commit);

/* The fastest way for these segments, from their sizes and alignment and what the hypervisor can.
 */
enum commit_how commit_choose(const struct commit *commit, const struct commit_segment *segments,
                              unsigned count, bool to_guest);
void commit_add(struct commit *commit, struct commit_job *job);
void commit_flush(struct commit *commit);
const struct commit_counters *commit_counters(const struct commit *commit);

#endif
