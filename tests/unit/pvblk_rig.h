/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PV disk under test: a disk in memory or an image, a guest's pages with a grant table, and the
 * frontend's end of up to PVBLK_QUEUES rings. Used by unit tests and by fuzzers, so it asserts by
 * abort() only.
 *
 * A page's reference is its number. Rings lie in the last pages, queue by queue.
 */
#ifndef IOEMUD_TESTS_PVBLK_RIG_H
#define IOEMUD_TESTS_PVBLK_RIG_H

#include <stddef.h>

#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "devices/pv/pvblk.h"
#include "tests/peer/blkfront.h"
#include "tests/unit/fake_loop.h"

#define PV_DATA_PAGES 1024u
#define PV_RING_FIRST PV_DATA_PAGES
#define PV_PAGES      (PV_DATA_PAGES + PVBLK_QUEUES * PVBLK_RING_PAGES)

struct pv_rig_options {
    const char *path;    /* a raw image, or an NBD server's socket, instead of a disk in memory */
    uint64_t sectors;    /* 0: 8 MiB */
    uint32_t pool_pages; /* 0: plenty */
    unsigned depth;      /* 0: PVBLK_BLK_DEPTH */
    unsigned n_queues;   /* 0: 1 */
    unsigned ring_order;
    enum blkif_protocol protocol;
    bool read_only, image_read_only, no_discard;
    unsigned swap_pages; /* of those that can change places; 0: none can */
    bool blank;          /* a disk of zeroes: for who makes many */
    bool no_disk;        /* until pv_rig_give_disk() */
    bool disconnected;   /* until pv_rig_connect() */
    bool no_backend;     /* the guest's half alone, in memory that processes share */
};

enum pv_grant { PV_NONE, PV_READ_ONLY, PV_WRITABLE };

struct pv_rig {
    struct pv_rig_options options;
    struct fake_loop *loop;
    struct pool *pool;
    struct aio *aio; /* of an image */
    uint8_t *disk;   /* NULL: an image */
    uint64_t sectors;
    struct blk_image *image;
    struct blk *blk;
    struct pvblk *pv;

    uint8_t *ram; /* PV_PAGES */
    int ram_fd;   /* its memfd, with no_backend */
    uint8_t grant[PV_PAGES];
    bool in_use[PV_PAGES];  /* mapped */
    bool rings_are_no_data; /* they can be mapped, and copied to or from not */
    struct grants grants;
    struct grant_counters counters;
    unsigned copy_calls, last_copies;
    unsigned swaps, lent;     /* pages that changed places; now with the backend */
    unsigned swaps_fail_from; /* so many succeed */
    bool spent[32];           /* of the swap pages */
    uint8_t *swap_pages;
    void (*after_copy)(struct pv_rig *rig); /* what a guest does in between; may be NULL */
    void (*after_notify)(struct pv_rig *rig, unsigned queue); /* likewise */
    void (*after_sealed)(struct pv_rig *rig);

    struct loop_task turn;
    unsigned turns;
    bool inside; /* of pvblk_turn() */
    unsigned notified[PVBLK_QUEUES];
    unsigned broken, drained, sealed;
    int sealed_error;
    unsigned failures;
    struct blk_stop failure; /* the last */
    bool held;
    bool blk_closed;
    struct blkfront front[PVBLK_QUEUES];
};

void pv_rig_init(struct pv_rig *rig, const struct pv_rig_options *options);
void pv_rig_finish(struct pv_rig *rig);
void pv_rig_give_disk(struct pv_rig *rig);
/* Fresh rings. */
int pv_rig_connect(struct pv_rig *rig);
void pv_rig_rings(const struct pv_rig *rig, struct pvblk_rings *ret_rings);
void pv_rig_fault(struct pv_rig *rig, const struct mem_faults *faults);

uint8_t pv_rig_byte(uint64_t offset); /* that a fresh disk has there */
uint8_t *pv_rig_page(struct pv_rig *rig, uint32_t ref);
uint8_t *pv_rig_ring(struct pv_rig *rig, unsigned queue);
uint32_t *pv_rig_index(struct pv_rig *rig, unsigned queue, uint32_t which /* BLKIF_REQ_PROD... */);

/* The next entry of the ring, zeroed; it is told by pv_rig_kick(). */
uint8_t *pv_rig_entry(struct pv_rig *rig, unsigned queue);
/* A request with segments, of whole pages unless they say otherwise. */
void pv_rig_request(struct pv_rig *rig, unsigned queue, uint8_t operation, uint64_t id,
                    uint64_t sector, const struct blkif_segment *segments, unsigned n);
/* One page. */
void pv_rig_page_request(struct pv_rig *rig, unsigned queue, uint8_t operation, uint64_t id,
                         uint64_t sector, uint32_t ref);
void pv_rig_discard(struct pv_rig *rig, unsigned queue, uint64_t id, uint64_t sector,
                    uint64_t sectors, uint8_t flag);
/* The segments must lie in page `table` already. */
void pv_rig_indirect(struct pv_rig *rig, unsigned queue, uint8_t operation, uint64_t id,
                     uint64_t sector, uint32_t table, unsigned n);

/* Shows the backend the new requests, and tells it if it asked for that. */
bool pv_rig_publish(struct pv_rig *rig, unsigned queue);
void pv_rig_kick(struct pv_rig *rig);   /* all queues; then as long as anything happens */
void pv_rig_settle(struct pv_rig *rig); /* as long as anything happens */
/* Until there is a response, which an image takes its time for. */
void pv_rig_wait(struct pv_rig *rig, unsigned queue, struct blkfront_response *ret_response);
bool pv_rig_response(struct pv_rig *rig, unsigned queue, struct blkfront_response *ret_response);
/* The only response there is has this status. */
void pv_rig_expect(struct pv_rig *rig, unsigned queue, uint64_t id, uint8_t operation,
                   int16_t status);

#endif
