// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/backend/aio.h"
#include "devices/backend/images.h"
#include "devices/backend/offload.h"
#include "devices/backend/pool.h"

struct raw {
    struct blk_image image; /* first */
    struct raw_image file;
    struct aio *aio;
    /* Buffered only: a flush has failed, and the kernel has forgotten the pages that it could not
     * write (fsync(2) tells of them once). No later flush may say that all is well. */
    int flush_error;
    unsigned discards;            /* under way */
    struct blk_req *held, **last; /* they wait for these, in order; linked by raw_op.after */
};

/* A request's state, in its scratch space. */
struct raw_op {
    union { /* first */
        struct aio_op op;
        struct offload_op call; /* BLK_DISCARD, and all of a buffered image */
        struct blk_req *after;  /* not started */
    };
    struct raw *raw;
    bool syncing; /* a stable write is there and is being made stable */
};
_Static_assert(sizeof(struct raw_op) <= sizeof(((struct blk_req *)0)->backend), "scratch space");

static struct raw_op *op_of(struct blk_req *req)
{
    return (struct raw_op *)req->backend;
}

static struct blk_req *req_of(struct raw_op *op)
{
    return (struct blk_req *)((char *)op - offsetof(struct blk_req, backend));
}

/* Transfers and flushes. */

static void on_done(struct aio_op *aio_op, int64_t result);

static bool stable(const struct raw *raw, const struct blk_req *req)
{
    return req->op == BLK_WRITE && (req->fua || raw->file.write_through);
}

/* On the helper thread, which has the request to itself until it is done. */
static int64_t run_buffered(struct offload_op *call)
{
    struct raw_op *op = (struct raw_op *)call;
    const struct raw *raw = op->raw;
    const struct blk_req *req = req_of(op);
    off_t offset = (off_t)(req->sector * BLK_SECTOR);
    int flags = stable(raw, req) && raw->file.dsync ? RWF_DSYNC : 0;
    ssize_t n;

    switch (req->op) {
    case BLK_READ:
        n = preadv(raw->file.fd, req->iov, (int)req->n_iov, offset);
        break;
    case BLK_WRITE:
        n = pwritev2(raw->file.fd, req->iov, (int)req->n_iov, offset, flags);
        break;
    default:
        n = fdatasync(raw->file.fd);
        break;
    }
    return n < 0 ? -errno : n;
}

static void buffered_done(struct offload_op *call, int64_t result)
{
    on_done((struct aio_op *)call, result);
}

static void start_transfer(struct raw *raw, struct blk_req *req)
{
    struct raw_op *op = op_of(req);
    struct iocb *iocb = &op->op.iocb;
    long long offset = (long long)(req->sector * BLK_SECTOR);

    /* io_submit(2) would wait for these itself, and all guests of the worker with it. */
    if (!raw->file.direct) {
        *op = (struct raw_op){.call = {.run = run_buffered, .done = buffered_done}, .raw = raw};
        offload_submit(aio_offload(raw->aio), &op->call);
        return;
    }
    *op = (struct raw_op){.op.done = on_done, .raw = raw};
    switch (req->op) {
    case BLK_READ:
        io_prep_preadv(iocb, raw->file.fd, req->iov, (int)req->n_iov, offset);
        break;
    case BLK_WRITE:
        io_prep_pwritev(iocb, raw->file.fd, req->iov, (int)req->n_iov, offset);
        if (stable(raw, req) && raw->file.dsync)
            iocb->aio_rw_flags = RWF_DSYNC;
        break;
    default:
        io_prep_fdsync(iocb, raw->file.fd);
        break;
    }
    aio_submit(raw->aio, &op->op);
}

static void flushed(struct raw *raw, struct blk_req *req, int error)
{
    if (error && !raw->file.direct && !raw->flush_error)
        raw->flush_error = error;
    blk_image_done(req, error ? error : raw->flush_error);
}

/* Linux before 4.13: EINVAL, and some file systems of later ones. Every other cause of these errors
 * shows again. */
static bool refused_dsync(struct raw *raw, const struct blk_req *req, int64_t result)
{
    if (!stable(raw, req) || !raw->file.dsync)
        return false;
    if (result != -EINVAL && result != -EOPNOTSUPP)
        return false;
    raw->file.dsync = false;
    return true;
}

/* All of the request has moved. */
static void moved(struct raw *raw, struct blk_req *req)
{
    struct raw_op *op = op_of(req);

    if (!stable(raw, req) || raw->file.dsync) {
        blk_image_done(req, 0);
        return;
    }
    *op = (struct raw_op){.op.done = on_done, .raw = raw, .syncing = true};
    io_prep_fdsync(&op->op.iocb, raw->file.fd);
    aio_submit(raw->aio, &op->op);
}

static void on_done(struct aio_op *aio_op, int64_t result)
{
    struct raw_op *op = (struct raw_op *)aio_op;
    struct blk_req *req = req_of(op);
    struct raw *raw = op->raw;

    if (req->op == BLK_FLUSH || op->syncing)
        flushed(raw, req, result < 0 ? (int)result : 0);
    else if (refused_dsync(raw, req, result))
        start_transfer(raw, req);
    else if (result < 0)
        blk_image_done(req, (int)result);
    else if (result == req->bytes)
        moved(raw, req);
    else
        blk_image_short(req, result > req->bytes ? 0 : (uint32_t)result);
}

/* Discards. */

/* The whole blocks within a request; false: there is none. */
static bool whole_blocks(const struct raw *raw, const struct blk_req *req, uint64_t *ret_start,
                         uint64_t *ret_len)
{
    uint64_t block = raw->file.discard_granularity;
    uint64_t begin = req->sector * BLK_SECTOR, end = begin + req->bytes;

    *ret_start = (begin + block - 1) / block * block;
    *ret_len = end / block * block - *ret_start;
    return end / block * block > *ret_start;
}

/* On the helper thread. The descriptor stays open, and the request as it is, until it is done. */
static int64_t run_discard(struct offload_op *call)
{
    struct raw_op *op = (struct raw_op *)call;
    const struct raw_image *file = &op->raw->file;
    uint64_t range[2];
    int err;

    if (!whole_blocks(op->raw, req_of(op), &range[0], &range[1]))
        return 0;
    if (file->block_device)
        err = ioctl(file->fd, BLKDISCARD, range);
    else
        err = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range[0],
                        (off_t)range[1]);
    if (!err)
        return 0;
    /* It was possible when the image was opened. To discard is an offer, not a duty. */
    return errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS ? 0 : -errno;
}

static void start_held(struct raw *raw);

static void on_discarded(struct offload_op *call, int64_t result)
{
    struct raw_op *op = (struct raw_op *)call;

    op->raw->discards--;
    start_held(op->raw);
    blk_image_done(req_of(op), (int)result); /* may close the image */
}

static void start_discard(struct raw *raw, struct blk_req *req)
{
    struct raw_op *op = op_of(req);

    *op = (struct raw_op){.call = {.run = run_discard, .done = on_discarded}, .raw = raw};
    raw->discards++;
    offload_submit(aio_offload(raw->aio), &op->call);
}

/* In the order of submission, so that neither kind waits for ever for the other. */
static void start_held(struct raw *raw)
{
    while (raw->held && (!raw->discards || raw->held->op == BLK_DISCARD)) {
        struct blk_req *req = raw->held;

        raw->held = op_of(req)->after;
        if (!raw->held)
            raw->last = &raw->held;
        if (req->op == BLK_DISCARD)
            start_discard(raw, req);
        else
            start_transfer(raw, req);
    }
}

static void raw_submit(struct blk_image *image, struct blk_req *req)
{
    struct raw *raw = (struct raw *)image;

    op_of(req)->after = NULL;
    *raw->last = req;
    raw->last = &op_of(req)->after;
    start_held(raw);
}

static void raw_close(struct blk_image *image)
{
    struct raw *raw = (struct raw *)image;
    raw_discard(&raw->file); /* and with it the lock */
    free(raw);
}

static const struct blk_backend_ops raw_ops = {
    .name = "raw",
    .submit = raw_submit,
    .close = raw_close,
};

void raw_discard(struct raw_image *image)
{
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    /* The lock by name: the kernel may hold the file a moment longer for a request that has just
     * completed, and with it the lock. */
    if (image->fd >= 0 && !image->lent)
        fcntl(image->fd, F_OFD_SETLK, &whole);
    if (image->fd >= 0)
        close(image->fd);
    image->fd = -1;
}

int raw_open(const struct raw_image *image, struct aio *aio, const struct loop *loop,
             struct pool *pool, struct blk_image **ret_image)
{
    struct raw *raw = calloc(1, sizeof(*raw));
    if (!raw)
        return -ENOMEM;
    raw->image = (struct blk_image){
        .ops = &raw_ops,
        .info = {.sectors = image->bytes / BLK_SECTOR,
                 .physical_block = image->physical_block,
                 .read_only = image->read_only,
                 .write_cache = !image->write_through,
                 .discard = image->discard,
                 .discard_granularity = image->discard ? image->discard_granularity : 0,
                 .solid_state = image->solid_state},
        .loop = loop,
        .pool = pool,
    };
    raw->file = *image;
    raw->aio = aio;
    raw->last = &raw->held;
    *ret_image = &raw->image;
    return 0;
}
