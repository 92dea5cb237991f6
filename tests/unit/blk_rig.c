// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/blk_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void on_closed(void *arg)
{
    struct blk_rig *disk = arg;
    disk->closed = true;
    disk->blk = NULL;
}

void blk_rig_close(struct blk_rig *disk)
{
    blk_close(disk->blk, on_closed, disk);
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct blk_rig *disk = owner;
    disk->tokens[disk->dones++ % 16] = blk_req_token(req);
    disk->error = error;
    disk->done_req = req;
    if (disk->close_in_done)
        blk_rig_close(disk);
    else if (!disk->keep)
        blk_put(req);
}

static void on_ready(void *owner)
{
    struct blk_rig *disk = owner;
    disk->readies++;
}

static const struct blk_client_ops client_ops = {.done = on_done, .ready = on_ready};

void blk_rig_attach(struct blk_rig *disk, bool read_only)
{
    assert_int_equal(mem_open(disk->data, BLK_RIG_SECTORS, read_only, fake_loop(disk->fake),
                              disk->pool, &disk->image),
                     0);
    assert_int_equal(blk_open(disk->image, BLK_RIG_DEPTH, &disk->blk), 0);
    blk_bind(disk->blk, &client_ops, disk);
    disk->closed = false;
}

int blk_rig_setup(void **state)
{
    static struct blk_rig disk; /* large; zeroed per test */
    memset(&disk, 0, sizeof(disk));
    disk.fake = fake_loop_create();
    assert_int_equal(pool_create(BLK_RIG_PAGES, &disk.pool), 0);
    for (unsigned i = 0; i < sizeof(disk.data); i++)
        disk.data[i] = (uint8_t)(i * 7 + i / BLK_SECTOR);
    blk_rig_attach(&disk, false);
    *state = &disk;
    return 0;
}

int blk_rig_teardown(void **state)
{
    struct blk_rig *disk = *state;
    struct mem_faults none = {0};
    if (disk->blk) {
        mem_set_faults(disk->image, &none);
        blk_rig_close(disk);
        assert_true(fake_loop_until(disk->fake, &disk->closed, 0));
    }
    assert_int_equal(pool_stats(disk->pool)->free, BLK_RIG_PAGES);
    pool_destroy(disk->pool);
    fake_loop_destroy(disk->fake);
    return 0;
}

void blk_rig_hold(struct blk_rig *disk)
{
    struct mem_faults faults = {.hold = true};
    mem_set_faults(disk->image, &faults);
}

struct blk_req *blk_rig_get(struct blk_rig *disk, enum blk_op op, uint64_t sector, uint32_t bytes,
                            uint64_t token)
{
    struct blk_req *req = NULL;
    assert_int_equal(blk_get(disk->blk, op, sector, bytes, token, &req), 0);
    assert_int_equal(blk_req_op(req), op);
    assert_int_equal(blk_req_sector(req), sector);
    assert_int_equal(blk_req_bytes(req), bytes);
    assert_int_equal(blk_req_token(req), token);
    return req;
}
