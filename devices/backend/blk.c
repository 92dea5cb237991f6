// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The thin layer between devices and backends: slots, pages, the contract's assertions, statistics.
 *
 *            blk_get           blk_submit            blk_image_done
 *   FREE ------------> HELD ---------------> FLYING ----------------> HELD -> done()
 *     ^                  |                     |                        |
 *     |     blk_put      |                     | blk_cancel, blk_close  | blk_put
 *     +------------------+                     v                        v
 *     +------------------------------------ ORPHAN                     FREE
 *                 blk_image_done
 *
 * FREE: on the free list, `blk` NULL. HELD: `blk` set. FLYING: `blk` and `in_flight`. ORPHAN: only
 * `in_flight`; slot and pages stay taken since the kernel may still write to them.
 */
#include "devices/backend/blk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/blk_ops.h"
#include "devices/backend/pool.h"

struct blk {
    struct blk_image *image;
    const struct blk_client_ops *client;
    void *owner;
    struct blk_counters counters;
    struct blk_req *free;
    bool want_ready; /* blk_get() refused for want of a slot */
    bool want_idle;  /* blk_idle() said no */
    struct pool_waiter pool_waiter;
    struct loop_task ready_task;
    unsigned depth;
    struct blk_req slots[];
};

static void run_ready(void *arg)
{
    struct blk *blk = arg;
    struct pool *pool = blk->image->pool;
    const struct pool_waiter *waiter = &blk->pool_waiter;
    blk->want_ready = false;
    if (blk->client && blk->client->ready)
        blk->client->ready(blk->owner); /* may close us */
    pool_pass(pool, waiter);            /* it did not want any */
}

/* `ready` comes from the loop, once however many pages and slots came back: the giver may be
 * another guest's device, or this one in the middle of its done(). */
static void wake_ready(void *arg)
{
    struct blk *blk = arg;
    if (!blk->image->closing)
        blk->image->loop->ops->defer(blk->image->loop->ctx, &blk->ready_task);
}

static void release(struct blk *blk, struct blk_req *req)
{
    req->blk = NULL;
    req->next = blk->free;
    blk->free = req;
    for (unsigned i = 0; i < req->n_iov; i++)
        pool_give(blk->image->pool, req->iov[i].iov_base);
    req->n_iov = 0;
    if (blk->want_ready)
        wake_ready(blk);
}

int blk_open(struct blk_image *image, unsigned depth, struct blk **ret_blk)
{
    assert(depth > 0 && !image->handle && !image->closing);
    assert(pool_stats(image->pool)->pages >= BLK_REQ_PAGES);
    struct blk *blk = calloc(1, sizeof(*blk) + depth * sizeof(blk->slots[0]));
    if (!blk)
        return -ENOMEM;
    blk->image = image;
    blk->depth = depth;
    blk->pool_waiter = (struct pool_waiter){.wake = wake_ready, .arg = blk};
    blk->ready_task = (struct loop_task){.run = run_ready, .arg = blk};
    for (unsigned i = depth; i--;) {
        blk->slots[i].image = image;
        blk->slots[i].next = blk->free;
        blk->free = &blk->slots[i];
    }
    image->handle = blk;
    *ret_blk = blk;
    return 0;
}

static void finish_close(struct blk_image *image)
{
    void (*closed)(void *arg) = image->closed;
    void *arg = image->closed_arg;
    struct blk *blk = image->handle;
    image->ops->close(image);
    free(blk);
    if (closed)
        closed(arg);
}

void blk_close(struct blk *blk, void (*closed)(void *arg), void *arg)
{
    if (!blk)
        return;
    struct blk_image *image = blk->image;
    assert(!image->closing);
    image->closing = true;
    image->closed = closed;
    image->closed_arg = arg;
    pool_unwait(image->pool, &blk->pool_waiter);
    image->loop->ops->undefer(image->loop->ctx, &blk->ready_task);

    for (unsigned i = 0; i < blk->depth; i++) {
        struct blk_req *req = &blk->slots[i];
        if (req->in_flight)
            req->blk = NULL;
        else if (req->blk)
            release(blk, req);
    }
    if (!image->in_flight)
        finish_close(image);
}

void blk_bind(struct blk *blk, const struct blk_client_ops *ops, void *owner)
{
    blk->client = ops;
    blk->owner = owner;
}

const struct blk_info *blk_info(const struct blk *blk)
{
    return &blk->image->info;
}

const struct blk_counters *blk_counters(const struct blk *blk)
{
    return &blk->counters;
}

int blk_get(struct blk *blk, enum blk_op op, uint64_t sector, uint32_t bytes, uint64_t token,
            struct blk_req **ret_req)
{
    struct blk_image *image = blk->image;
    assert(blk->client && !image->closing);
    assert(bytes % BLK_SECTOR == 0 && bytes <= BLK_MAX_BYTES && !bytes == (op == BLK_FLUSH));

    uint64_t end = image->info.sectors;
    if (op != BLK_FLUSH && (sector > end || bytes / BLK_SECTOR > end - sector))
        return -ERANGE;
    if (op == BLK_WRITE && image->info.read_only)
        return -EROFS;

    struct blk_req *req = blk->free;
    if (!req) {
        blk->want_ready = true;
        return -EAGAIN;
    }
    unsigned pages = (bytes + POOL_PAGE - 1) / POOL_PAGE;
    void *page[BLK_REQ_PAGES];
    if (!pool_take(image->pool, pages, page, &blk->pool_waiter))
        return -EAGAIN;
    blk->free = req->next;
    req->next = NULL;
    req->op = op;
    req->sector = op == BLK_FLUSH ? 0 : sector;
    req->bytes = bytes;
    req->n_iov = pages;
    for (unsigned i = 0; i < pages; i++) {
        uint32_t left = bytes - i * POOL_PAGE;
        req->iov[i].iov_base = page[i];
        req->iov[i].iov_len = left < POOL_PAGE ? left : POOL_PAGE;
    }
    req->token = token;
    req->blk = blk;
    *ret_req = req;
    return 0;
}

const struct iovec *blk_iov(const struct blk_req *req, unsigned *ret_count)
{
    assert(req->blk && !req->in_flight);
    *ret_count = req->n_iov;
    return req->iov;
}

/* The longest stretch of [offset, offset + len) that lies in one page. */
static uint8_t *stretch(const struct blk_req *req, uint32_t offset, uint32_t len, uint32_t *ret_len)
{
    uint32_t in_page = offset % POOL_PAGE;
    *ret_len = len < POOL_PAGE - in_page ? len : POOL_PAGE - in_page;
    return (uint8_t *)req->iov[offset / POOL_PAGE].iov_base + in_page;
}

void blk_copy_out(const struct blk_req *req, uint32_t offset, void *buf, uint32_t len)
{
    assert(req->blk && !req->in_flight);
    assert(offset <= req->bytes && len <= req->bytes - offset);
    uint8_t *to = buf;
    for (uint32_t n; len; offset += n, to += n, len -= n) {
        const uint8_t *from = stretch(req, offset, len, &n);
        memcpy(to, from, n);
    }
}

void blk_copy_in(struct blk_req *req, uint32_t offset, const void *buf, uint32_t len)
{
    assert(req->blk && !req->in_flight);
    assert(offset <= req->bytes && len <= req->bytes - offset);
    const uint8_t *from = buf;
    for (uint32_t n; len; offset += n, from += n, len -= n) {
        uint8_t *to = stretch(req, offset, len, &n);
        memcpy(to, from, n);
    }
}

enum blk_op blk_req_op(const struct blk_req *req)
{
    return req->op;
}

uint64_t blk_req_sector(const struct blk_req *req)
{
    return req->sector;
}

uint32_t blk_req_bytes(const struct blk_req *req)
{
    return req->bytes;
}

uint64_t blk_req_token(const struct blk_req *req)
{
    return req->token;
}

void blk_submit(struct blk_req *req)
{
    struct blk *blk = req->blk;
    struct blk_image *image = req->image;
    assert(blk && !req->in_flight && !image->closing);
    req->in_flight = true;
    req->submitted_ns = image->loop->ops->now_ns(image->loop->ctx);
    image->in_flight++;
    blk->counters.in_flight++;
    image->ops->submit(image, req);
}

void blk_put(struct blk_req *req)
{
    assert(req->blk && !req->in_flight);
    release(req->blk, req);
}

void blk_cancel(struct blk_req *req)
{
    assert(req->blk && req->in_flight);
    req->blk->counters.cancelled++;
    req->blk = NULL;
}

bool blk_idle(struct blk *blk)
{
    bool idle = !blk->image->in_flight;
    if (!idle)
        blk->want_idle = true;
    return idle;
}

static void count_done(struct blk_counters *counters, const struct blk_req *req, int error,
                       uint64_t now_ns)
{
    switch (req->op) {
    case BLK_READ:
        counters->reads++;
        counters->read_bytes += error ? 0 : req->bytes;
        break;
    case BLK_WRITE:
        counters->writes++;
        counters->written_bytes += error ? 0 : req->bytes;
        break;
    case BLK_FLUSH:
        counters->flushes++;
        break;
    }
    counters->errors += error != 0;
    counters->io_ns += now_ns - req->submitted_ns;
}

void blk_image_done(struct blk_req *req, int error)
{
    struct blk_image *image = req->image;
    struct blk *blk = image->handle;
    assert(req->in_flight && image->in_flight && error <= 0);
    req->in_flight = false;
    image->in_flight--;
    blk->counters.in_flight--;

    if (image->closing) {
        release(blk, req);
        if (!image->in_flight)
            finish_close(image);
        return;
    }
    if (blk->want_idle && !image->in_flight) {
        blk->want_idle = false;
        wake_ready(blk);
    }
    if (!req->blk) { /* cancelled */
        release(blk, req);
        return;
    }
    count_done(&blk->counters, req, error, image->loop->ops->now_ns(image->loop->ctx));
    /* The pages still hold what their last user, perhaps another guest, left. */
    if (error && req->op == BLK_READ)
        for (unsigned i = 0; i < req->n_iov; i++)
            memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
    blk->client->done(blk->owner, req, error); /* may close us: last */
}
