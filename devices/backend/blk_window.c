// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Requests in parts. A transfer that was short goes on where it stopped. One that failed is halved
 * until its first bad sector is alone, as a drive would find it: what is before it has been moved
 * then, and the guest can be told which it is.
 *
 *     0            good      window       end            bytes
 *     |== moved ====|---- submitted ----|-- suspected --|------ unknown -----|
 *
 * The bad sector is in [good, end). Who fails and then does not (a path of several disks, a network
 * that comes back) ends with all of it moved. Everything is counted and bounded.
 */
#include <assert.h>
#include <errno.h>

#include "devices/backend/blk_ops.h"
#include "devices/backend/pool.h"

/* Linux breaks a transfer of ours at most where a filesystem or device runs out of something; a
 * file that gives a sector at a time is not to be served for ever. */
#define MAX_SHORTS 16

/* Halving BLK_MAX_BYTES takes eight failures; the rest is for faults that come and go. */
#define MAX_FAILS 16

/* The window: `bytes` of the request from `from` on. */
static void move_window(struct blk_req *req, uint32_t from, uint32_t bytes)
{
    uint32_t end = from + bytes;
    assert(from % BLK_SECTOR == 0 && end <= req->all.bytes);
    req->sector = req->all.sector + from / BLK_SECTOR;
    req->bytes = bytes;
    req->n_iov = 0;
    if (!req->n_pages)
        return;
    for (unsigned i = from / POOL_PAGE; i * POOL_PAGE < end; i++) {
        uint32_t begin = i * POOL_PAGE > from ? i * POOL_PAGE : from;
        uint32_t stop = (i + 1) * POOL_PAGE < end ? (i + 1) * POOL_PAGE : end;
        req->iov[req->n_iov++] = (struct iovec){
            .iov_base = req->page[i] + begin % POOL_PAGE,
            .iov_len = stop - begin,
        };
    }
}

void blk_window_whole(struct blk_req *req)
{
    move_window(req, 0, req->all.bytes);
}

/* The first half, rounded up to sectors, of what is suspected. */
static void halve(struct blk_req *req)
{
    uint32_t sectors = (req->all.end - req->all.good) / BLK_SECTOR;
    move_window(req, req->all.good, (sectors + 1) / 2 * BLK_SECTOR);
}

static bool failed(struct blk_req *req, int error, int *ret_error)
{
    struct blk_span *all = &req->all;
    all->error = error;
    *ret_error = error;
    if ((req->op != BLK_READ && req->op != BLK_WRITE) || req->bytes <= BLK_SECTOR ||
        ++all->fails > MAX_FAILS)
        return false;
    all->end = all->good + req->bytes;
    halve(req);
    return true;
}

static bool moved(struct blk_req *req, int *ret_error)
{
    struct blk_span *all = &req->all;
    all->good += req->bytes;
    *ret_error = 0;
    if (all->good == all->bytes)
        return false;
    if (all->good < all->end) {
        halve(req);
        return true;
    }
    /* What failed as a whole did not sector by sector. */
    all->end = all->bytes;
    move_window(req, all->good, all->end - all->good);
    return true;
}

bool blk_window_done(struct blk_req *req, int error, int *ret_error)
{
    return error ? failed(req, error, ret_error) : moved(req, ret_error);
}

bool blk_window_short(struct blk_req *req, uint32_t bytes, int *ret_error)
{
    /* The rest starts at a sector, as O_DIRECT asks. No sector at all: the file has shrunk under us
     * (a read), or cannot say why it takes no more (a write). */
    uint32_t whole = bytes / BLK_SECTOR * BLK_SECTOR, left = req->bytes - whole;
    *ret_error = -EIO;
    if (!whole || ++req->all.shorts > MAX_SHORTS)
        return false;
    req->all.good += whole;
    move_window(req, req->all.good, left);
    return true;
}
