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
#include "devices/count.h"

struct blk {
    struct blk_image *image;
    const struct blk_client_ops *client;
    void *owner;
    struct blk_counters counters;
    struct blk_histograms *histograms; /* NULL: none */
    struct histogram *all;             /* likewise */
    struct blk_req *free;
    bool want_ready; /* blk_get() refused for want of a slot */
    bool want_idle;  /* blk_idle() said no */
    bool stopped;
    struct blk_policies policies;
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
    /* The last one first: the pool gives what came last first, so pages that lie one behind the
     * other do so in the next request, too. */
    for (unsigned i = req->n_pages; i--;) {
        if (req->lender.give)
            req->lender.give(req->lender.arg, req->page[i]);
        else
            pool_give(blk->image->pool, req->page[i]);
    }
    req->n_pages = req->n_iov = 0;
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
    blk->pool_waiter = (struct pool_waiter){.wake = wake_ready, .arg = blk, .share = image->share};
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

/* Whether there may be such a request. */
static int check(const struct blk *blk, enum blk_op op, uint64_t sector, uint32_t bytes)
{
    const struct blk_info *info = &blk->image->info;
    assert(blk->client && !blk->image->closing);
    assert(bytes % BLK_SECTOR == 0 && !bytes == (op == BLK_FLUSH));
    assert(bytes <= (op == BLK_DISCARD ? BLK_DISCARD_MAX : BLK_MAX_BYTES));

    if (op != BLK_FLUSH && (sector > info->sectors || bytes / BLK_SECTOR > info->sectors - sector))
        return -ERANGE;
    if ((op == BLK_WRITE || op == BLK_DISCARD) && info->read_only)
        return -EROFS;
    if (op == BLK_DISCARD && !info->discard)
        return -EOPNOTSUPP;
    return 0;
}

static unsigned pages_of(enum blk_op op, uint32_t bytes)
{
    return op == BLK_DISCARD ? 0 : (bytes + POOL_PAGE - 1) / POOL_PAGE;
}

/* The first free slot, whose pages are there. */
static struct blk_req *begin(struct blk *blk, enum blk_op op, uint64_t sector, uint32_t bytes,
                             uint64_t token)
{
    struct blk_req *req = blk->free;
    blk->free = req->next;
    req->next = NULL;
    req->op = op;
    req->fua = false;
    req->n_pages = pages_of(op, bytes);
    req->all = (struct blk_span){.sector = op == BLK_FLUSH ? 0 : sector, .bytes = bytes};
    blk_window_whole(req);
    req->token = token;
    req->blk = blk;
    return req;
}

int blk_get(struct blk *blk, enum blk_op op, uint64_t sector, uint32_t bytes, uint64_t token,
            struct blk_req **ret_req)
{
    int rc = check(blk, op, sector, bytes);
    if (rc < 0)
        return rc;
    if (!blk->free) {
        blk->want_ready = true;
        return -EAGAIN;
    }
    if (!pool_take(blk->image->pool, pages_of(op, bytes), (void **)blk->free->page,
                   &blk->pool_waiter))
        return -EAGAIN;
    blk->free->lender.give = NULL;
    *ret_req = begin(blk, op, sector, bytes, token);
    return 0;
}

int blk_get_with(struct blk *blk, uint64_t sector, uint32_t bytes, uint64_t token,
                 uint8_t *const *pages, const struct blk_lender *lender, struct blk_req **ret_req)
{
    int rc = check(blk, BLK_READ, sector, bytes);
    if (rc < 0)
        return rc;
    if (!blk->free) {
        blk->want_ready = true;
        return -EAGAIN;
    }
    memcpy(blk->free->page, pages, pages_of(BLK_READ, bytes) * sizeof(*pages));
    blk->free->lender = *lender;
    *ret_req = begin(blk, BLK_READ, sector, bytes, token);
    return 0;
}

uint8_t **blk_pages(struct blk_req *req)
{
    assert(req->blk && !req->in_flight);
    return req->page;
}

void blk_set_fua(struct blk_req *req)
{
    assert(req->blk && !req->in_flight && req->op == BLK_WRITE);
    req->fua = true;
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
    return req->page[offset / POOL_PAGE] + in_page;
}

void blk_copy_out(const struct blk_req *req, uint32_t offset, void *buf, uint32_t len)
{
    assert(req->blk && !req->in_flight);
    assert(req->n_iov && offset <= req->bytes && len <= req->bytes - offset);
    uint8_t *to = buf;
    for (uint32_t n; len; offset += n, to += n, len -= n) {
        const uint8_t *from = stretch(req, offset, len, &n);
        memcpy(to, from, n);
    }
}

void blk_copy_in(struct blk_req *req, uint32_t offset, const void *buf, uint32_t len)
{
    assert(req->blk && !req->in_flight);
    assert(req->n_iov && offset <= req->bytes && len <= req->bytes - offset);
    const uint8_t *from = buf;
    for (uint32_t n; len; offset += n, from += n, len -= n) {
        uint8_t *to = stretch(req, offset, len, &n);
        memcpy(to, from, n);
    }
}

uint32_t blk_req_good(const struct blk_req *req)
{
    return req->all.good;
}

const char *blk_op_name(enum blk_op op)
{
    static const char *const names[] = {[BLK_READ] = "read",
                                        [BLK_WRITE] = "write",
                                        [BLK_FLUSH] = "flush",
                                        [BLK_DISCARD] = "discard"};

    return names[op];
}

enum blk_op blk_req_op(const struct blk_req *req)
{
    return req->op;
}

uint64_t blk_req_sector(const struct blk_req *req)
{
    return req->all.sector;
}

uint32_t blk_req_bytes(const struct blk_req *req)
{
    return req->all.bytes;
}

uint64_t blk_req_token(const struct blk_req *req)
{
    return req->token;
}

static void count_in_flight(struct blk *blk, int change)
{
    struct blk_histograms *histograms = blk->histograms;
    uint32_t now = blk->counters.in_flight + (uint32_t)change;
    __atomic_store_n(&blk->counters.in_flight, now, __ATOMIC_RELAXED);
    if (histograms && now > histograms->in_flight_max)
        __atomic_store_n(&histograms->in_flight_max, now, __ATOMIC_RELAXED);
}

void blk_submit(struct blk_req *req)
{
    struct blk *blk = req->blk;
    struct blk_image *image = req->image;
    assert(blk && !req->in_flight && !image->closing);
    req->in_flight = true;
    req->mark = 0;
    /* It may be one that failed and is tried again. */
    req->all = (struct blk_span){
        .sector = req->all.sector, .bytes = req->all.bytes, .end = req->all.bytes};
    req->submitted_ns = image->loop->ops->now_ns(image->loop->ctx);
    image->in_flight++;
    count_in_flight(blk, +1);
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
    count_add(&req->blk->counters.cancelled, 1);
    req->blk = NULL;
}

bool blk_idle(struct blk *blk)
{
    bool idle = !blk->image->in_flight;
    if (!idle)
        blk->want_idle = true;
    return idle;
}

static bool policy_stops(enum blk_policy policy, int error)
{
    switch (policy) {
    case BLK_REPORT:
        return false;
    case BLK_STOP:
        return true;
    case BLK_STOP_ENOSPC:
        return error == -ENOSPC || error == -EDQUOT;
    }
    return false;
}

bool blk_stops(struct blk *blk, enum blk_op op, uint64_t sector, int error)
{
    const struct blk_policies *policies = &blk->policies;
    struct blk_stop stop = {.op = op, .sector = sector, .error = error};
    if (!policies->stopped ||
        !policy_stops(op == BLK_READ ? policies->read : policies->write, error))
        return false;
    blk->stopped = true;
    policies->stopped(policies->arg, &stop);
    return true;
}

bool blk_stopped(const struct blk *blk)
{
    return blk->stopped;
}

void blk_set_policies(struct blk *blk, const struct blk_policies *policies)
{
    blk->policies = *policies;
}

void blk_set_histograms(struct blk *blk, struct blk_histograms *histograms, struct histogram *all)
{
    blk->histograms = histograms;
    blk->all = all;
}

void blk_restart(struct blk *blk)
{
    if (!blk->stopped)
        return;
    blk->stopped = false;
    wake_ready(blk);
}

/* The smallest of the sizes that is large enough. */
static unsigned size_of(uint32_t bytes)
{
    unsigned size = 0;
    while (size < BLK_SIZES - 1 && BLK_SECTOR << size < bytes)
        size++;
    return size;
}

static void count_done(struct blk *blk, const struct blk_req *req, int error)
{
    const struct loop *loop = blk->image->loop;
    struct blk_counters *counters = &blk->counters;
    struct blk_histograms *histograms = blk->histograms;
    uint64_t took_ns = loop->ops->now_ns(loop->ctx) - req->submitted_ns;
    switch (req->op) {
    case BLK_READ:
        count_add(&counters->reads, 1);
        count_add(&counters->read_bytes, req->all.good);
        break;
    case BLK_WRITE:
        count_add(&counters->writes, 1);
        count_add(&counters->written_bytes, req->all.good);
        break;
    case BLK_FLUSH:
        count_add(&counters->flushes, 1);
        break;
    case BLK_DISCARD:
        count_add(&counters->discards, 1);
        count_add(&counters->discarded_bytes, error ? 0 : req->bytes);
        break;
    }
    count_add(&counters->errors, error != 0);
    count_add(&counters->io_ns, took_ns);
    if (!histograms)
        return;
    histogram_add(&histograms->latency[req->op], took_ns);
    if (blk->all)
        histogram_add(blk->all, took_ns);
    if (req->op == BLK_READ)
        count_add(&histograms->reads[size_of(req->all.bytes)], 1);
    else if (req->op == BLK_WRITE)
        count_add(&histograms->writes[size_of(req->all.bytes)], 1);
}

/* The bytes of a read that were not read still hold what their last user, perhaps another guest,
 * left. */
static void clear_unread(struct blk_req *req)
{
    uint32_t len;
    for (uint32_t at = req->all.good; at < req->all.bytes; at += len) {
        uint8_t *bytes = stretch(req, at, req->all.bytes - at, &len);
        memset(bytes, 0, len);
    }
}

static void complete(struct blk_req *req, int error)
{
    struct blk_image *image = req->image;
    struct blk *blk = image->handle;
    assert(req->in_flight && image->in_flight && error <= 0);
    req->in_flight = false;
    image->in_flight--;
    count_in_flight(blk, -1);

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
    blk_window_whole(req);
    count_done(blk, req, error);
    if (error && req->op == BLK_READ)
        clear_unread(req);
    blk->client->done(blk->owner, req, error); /* may close us: last */
}

void blk_image_done(struct blk_req *req, int error)
{
    assert(req->in_flight && error <= 0);
    /* Where the bad sector is matters to nobody any more. */
    if (error && !req->blk)
        complete(req, error);
    else if (blk_window_done(req, error, &error))
        req->image->ops->submit(req->image, req);
    else
        complete(req, error);
}

void blk_image_short(struct blk_req *req, uint32_t bytes)
{
    int error;
    assert(req->in_flight && bytes < req->bytes);
    if (blk_window_short(req, bytes, &error))
        req->image->ops->submit(req->image, req);
    else
        complete(req, error);
}
