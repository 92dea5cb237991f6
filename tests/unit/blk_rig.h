/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk under test: in memory, with a pool of its own, and a device that notes what it is told. */
#ifndef IOEMUD_TESTS_UNIT_BLK_RIG_H
#define IOEMUD_TESTS_UNIT_BLK_RIG_H

#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "tests/unit/fake_loop.h"

#define BLK_RIG_SECTORS 1024u
#define BLK_RIG_DEPTH   4u
#define BLK_RIG_PAGES   (2 * BLK_REQ_PAGES)

struct blk_rig {
    struct fake_loop *fake;
    struct pool *pool;
    struct blk_image *image;
    struct blk *blk;
    bool closed;
    unsigned dones, readies;
    int error;
    struct blk_req *done_req;
    bool keep;          /* done() does not put */
    bool close_in_done; /* done() closes the disk */
    uint64_t tokens[16];
    uint8_t data[BLK_RIG_SECTORS * BLK_SECTOR];
};

/* cmocka's. Afterwards all pages are back in the pool. */
int blk_rig_setup(void **state);
int blk_rig_teardown(void **state);

/* The disk, opened with BLK_RIG_DEPTH slots; it has been closed before. */
void blk_rig_attach(struct blk_rig *disk, bool read_only);
/* `closed` follows. */
void blk_rig_close(struct blk_rig *disk);
/* Requests are held until mem_release(). */
void blk_rig_hold(struct blk_rig *disk);
/* One that there is room for. */
struct blk_req *blk_rig_get(struct blk_rig *disk, enum blk_op op, uint64_t sector, uint32_t bytes,
                            uint64_t token);

#endif
