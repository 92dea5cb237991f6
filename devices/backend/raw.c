// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/backend/aio.h"
#include "devices/backend/images.h"
#include "devices/backend/pool.h"

struct raw {
    struct blk_image image; /* first */
    struct raw_image file;
    struct aio *aio;
    /* Buffered only: a flush has failed, and the kernel has forgotten the pages that it could not
     * write (fsync(2) tells of them once). No later flush may say that all is well. */
    int flush_error;
};

/* A request's state, in its scratch space. */
struct raw_op {
    struct aio_op op; /* first */
    struct raw *raw;
    bool written; /* the data of a write is on its way to be stable */
};
_Static_assert(sizeof(struct raw_op) <= sizeof(((struct blk_req *)0)->backend), "scratch space");

static struct blk_req *req_of(struct raw_op *op)
{
    return (struct blk_req *)((char *)op - offsetof(struct blk_req, backend));
}

static void flushed(struct raw *raw, struct blk_req *req, int error)
{
    if (error && !raw->file.direct && !raw->flush_error)
        raw->flush_error = error;
    blk_image_done(req, error ? error : raw->flush_error);
}

/* A write-through write whose filesystem does not make it stable by itself. */
static bool needs_flush(const struct raw *raw, const struct blk_req *req)
{
    return req->op == BLK_WRITE && raw->file.write_through && raw->file.fuse;
}

static void on_done(struct aio_op *aio_op, int64_t result)
{
    struct raw_op *op = (struct raw_op *)aio_op;
    struct blk_req *req = req_of(op);
    if (result == req->bytes && needs_flush(op->raw, req) && !op->written) {
        op->written = true;
        io_prep_fdsync(&op->op.iocb, op->raw->file.fd);
        aio_submit(op->raw->aio, &op->op);
    } else if (req->op == BLK_FLUSH || op->written)
        flushed(op->raw, req, result < 0 ? (int)result : 0);
    else if (result < 0)
        blk_image_done(req, (int)result);
    else if (result == req->bytes)
        blk_image_done(req, 0);
    else
        blk_image_short(req, result > req->bytes ? 0 : (uint32_t)result);
}

static void raw_submit(struct blk_image *image, struct blk_req *req)
{
    struct raw *raw = (struct raw *)image;
    struct raw_op *op = (struct raw_op *)req->backend;
    struct iocb *iocb = &op->op.iocb;
    long long offset = (long long)(req->sector * BLK_SECTOR);

    *op = (struct raw_op){.op.done = on_done, .raw = raw};
    switch (req->op) {
    case BLK_READ:
        io_prep_preadv(iocb, raw->file.fd, req->iov, (int)req->n_iov, offset);
        break;
    case BLK_WRITE:
        io_prep_pwritev(iocb, raw->file.fd, req->iov, (int)req->n_iov, offset);
        if (raw->file.write_through && !raw->file.fuse)
            iocb->aio_rw_flags = RWF_DSYNC;
        break;
    case BLK_FLUSH:
        io_prep_fdsync(iocb, raw->file.fd);
        break;
    }
    aio_submit(raw->aio, &op->op);
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
    if (image->fd >= 0) {
        fcntl(image->fd, F_OFD_SETLK, &whole);
        close(image->fd);
    }
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
                 .write_cache = !image->write_through},
        .loop = loop,
        .pool = pool,
    };
    raw->file = *image;
    raw->aio = aio;
    *ret_image = &raw->image;
    return 0;
}
