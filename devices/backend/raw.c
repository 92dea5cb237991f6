// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/backend/aio.h"
#include "devices/backend/images.h"
#include "devices/backend/offload.h"
#include "devices/backend/pool.h"

/* Linux breaks a transfer of ours at most where a filesystem or device runs out of something; a
 * file that gives a sector at a time is not to be served for ever. */
#define MAX_ROUNDS 16

struct raw {
    struct blk_image image; /* first */
    struct raw_image file;
    struct aio *aio;
};

/* A request's state, in its scratch space. */
struct raw_op {
    union { /* first */
        struct aio_op op;
        struct offload_op call; /* of a buffered image */
    };
    uint32_t moved;  /* bytes, in earlier rounds */
    uint32_t rounds; /* continuations */
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

static void on_done(struct aio_op *aio_op, int64_t result);

/* On the helper thread, which has the request to itself until it is done. */
static int64_t run_buffered(struct offload_op *call)
{
    struct raw_op *op = (struct raw_op *)call;
    const struct blk_req *req = req_of(op);
    const struct raw_image *file = &((const struct raw *)req->image)->file;
    unsigned skip = op->moved / POOL_PAGE;
    const struct iovec *iov = req->iov + skip;
    int count = (int)(req->n_iov - skip);
    off_t offset = (off_t)(req->sector * BLK_SECTOR + op->moved);
    ssize_t n = 0;

    switch (req->op) {
    case BLK_READ:
        n = preadv(file->fd, iov, count, offset);
        break;
    case BLK_WRITE:
        n = pwritev2(file->fd, iov, count, offset, file->write_through ? RWF_DSYNC : 0);
        break;
    case BLK_FLUSH:
        n = fdatasync(file->fd);
        break;
    }
    return n < 0 ? -errno : n;
}

static void buffered_done(struct offload_op *call, int64_t result)
{
    on_done((struct aio_op *)call, result);
}

static void start(struct blk_req *req)
{
    struct raw *raw = (struct raw *)req->image;
    struct raw_op *op = op_of(req);
    struct iocb *iocb = &op->op.iocb;
    unsigned skip = op->moved / POOL_PAGE;
    const struct iovec *iov = req->iov + skip;
    int count = (int)(req->n_iov - skip);
    long long offset = (long long)(req->sector * BLK_SECTOR + op->moved);

    /* io_submit(2) would wait for these itself, and all guests of the worker with it. */
    if (!raw->file.direct) {
        op->call = (struct offload_op){.run = run_buffered, .done = buffered_done};
        offload_submit(aio_offload(raw->aio), &op->call);
        return;
    }
    switch (req->op) {
    case BLK_READ:
        io_prep_preadv(iocb, raw->file.fd, iov, count, offset);
        break;
    case BLK_WRITE:
        io_prep_pwritev(iocb, raw->file.fd, iov, count, offset);
        if (raw->file.write_through)
            iocb->aio_rw_flags = RWF_DSYNC;
        break;
    case BLK_FLUSH:
        io_prep_fdsync(iocb, raw->file.fd);
        break;
    }
    aio_submit(raw->aio, &op->op);
}

/* Moves the start of what is left to `to` bytes, or with `to` 0 puts the whole pages back. */
static void set_start(struct blk_req *req, uint32_t to)
{
    for (unsigned i = 0; i < req->n_iov; i++) {
        uint32_t begin = i * POOL_PAGE;
        uint32_t end = begin + POOL_PAGE < req->bytes ? begin + POOL_PAGE : req->bytes;
        uint32_t in_page = to > begin && to < end ? to - begin : 0;
        uintptr_t page = (uintptr_t)req->iov[i].iov_base & ~(uintptr_t)(POOL_PAGE - 1);
        req->iov[i].iov_base = (void *)(page + in_page);
        req->iov[i].iov_len = end - begin - in_page;
    }
}

static void finish(struct blk_req *req, int error)
{
    if (op_of(req)->rounds)
        set_start(req, 0);
    blk_image_done(req, error);
}

static void on_done(struct aio_op *aio_op, int64_t result)
{
    struct raw_op *op = (struct raw_op *)aio_op;
    struct blk_req *req = req_of(op);
    uint32_t left = req->bytes - op->moved;
    if (result < 0 || req->op == BLK_FLUSH) {
        finish(req, result < 0 ? (int)result : 0);
        return;
    }
    if (result == left) {
        finish(req, 0);
        return;
    }
    /* Short. What is left starts at a sector, as O_DIRECT asks. No sector at all: the file has
     * shrunk under us (a read), or cannot say why it takes no more (a write). */
    uint32_t moved = result > left ? 0 : (uint32_t)result / BLK_SECTOR * BLK_SECTOR;
    if (!moved || ++op->rounds > MAX_ROUNDS) {
        finish(req, -EIO);
        return;
    }
    op->moved += moved;
    set_start(req, op->moved);
    start(req);
}

static void raw_submit(struct blk_image *image, struct blk_req *req)
{
    struct raw_op *op = op_of(req);
    *op = (struct raw_op){.op.done = on_done};
    start(req);
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
