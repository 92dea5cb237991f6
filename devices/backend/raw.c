// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
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
    unsigned discards;            /* under way */
    struct blk_req *held, **last; /* they wait for these, in order; linked by raw_op.after */
};

/* A request's state, in its scratch space. */
struct raw_op {
    union { /* first */
        struct aio_op op;
        struct offload_op call; /* BLK_DISCARD */
        struct blk_req *after;  /* not started */
    };
    uint32_t moved;  /* bytes, in earlier rounds */
    uint16_t rounds; /* continuations */
    bool syncing;    /* a stable write is there and is being made stable */
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

static bool stable(const struct blk_req *req)
{
    return req->fua || ((const struct raw *)req->image)->file.write_through;
}

static void start_transfer(struct blk_req *req)
{
    struct raw *raw = (struct raw *)req->image;
    struct raw_op *op = op_of(req);
    struct iocb *iocb = &op->op.iocb;
    unsigned skip = op->moved / POOL_PAGE;
    const struct iovec *iov = req->iov + skip;
    int count = (int)(req->n_iov - skip);
    long long offset = (long long)(req->sector * BLK_SECTOR + op->moved);

    switch (req->op) {
    case BLK_READ:
        io_prep_preadv(iocb, raw->file.fd, iov, count, offset);
        break;
    case BLK_WRITE:
        io_prep_pwritev(iocb, raw->file.fd, iov, count, offset);
        if (stable(req) && raw->file.dsync)
            iocb->aio_rw_flags = RWF_DSYNC;
        break;
    default:
        io_prep_fdsync(iocb, raw->file.fd);
        break;
    }
    aio_submit(raw->aio, &op->op);
}

/* Discards. */

/* The whole blocks within a request; false: there is none. */
static bool whole_blocks(const struct blk_req *req, uint64_t *ret_start, uint64_t *ret_len)
{
    uint64_t block = ((const struct raw *)req->image)->file.discard_granularity;
    uint64_t begin = req->sector * BLK_SECTOR, end = begin + req->bytes;

    *ret_start = (begin + block - 1) / block * block;
    *ret_len = end / block * block - *ret_start;
    return end / block * block > *ret_start;
}

/* On the helper thread. The descriptor stays open and the request's fields as they are until it is
 * done. */
static int64_t run_discard(struct offload_op *call)
{
    const struct blk_req *req = req_of((struct raw_op *)call);
    const struct raw_image *file = &((const struct raw *)req->image)->file;
    uint64_t range[2];
    int err;

    if (!whole_blocks(req, &range[0], &range[1]))
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
    struct blk_req *req = req_of((struct raw_op *)call);
    struct raw *raw = (struct raw *)req->image;

    raw->discards--;
    start_held(raw);
    blk_image_done(req, (int)result); /* may close the image */
}

static void start(struct blk_req *req)
{
    struct raw *raw = (struct raw *)req->image;
    struct raw_op *op = op_of(req);

    *op = (struct raw_op){.op.done = on_done};
    if (req->op != BLK_DISCARD) {
        start_transfer(req);
        return;
    }
    op->call = (struct offload_op){.run = run_discard, .done = on_discarded};
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
        start(req);
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

/* Linux before 4.13: EINVAL, and some file systems of later ones. Every other cause of these errors
 * shows again. */
static bool refused_dsync(const struct blk_req *req, int64_t result)
{
    struct raw_image *file = &((struct raw *)req->image)->file;

    if (req->op != BLK_WRITE || !stable(req) || !file->dsync)
        return false;
    if (result != -EINVAL && result != -EOPNOTSUPP)
        return false;
    file->dsync = false;
    return true;
}

/* All of the request has moved. */
static void written(struct blk_req *req)
{
    struct raw *raw = (struct raw *)req->image;
    struct raw_op *op = op_of(req);

    if (req->op != BLK_WRITE || !stable(req) || raw->file.dsync) {
        finish(req, 0);
        return;
    }
    op->syncing = true;
    io_prep_fdsync(&op->op.iocb, raw->file.fd);
    aio_submit(raw->aio, &op->op);
}

static void on_done(struct aio_op *aio_op, int64_t result)
{
    struct raw_op *op = (struct raw_op *)aio_op;
    struct blk_req *req = req_of(op);
    uint32_t left = req->bytes - op->moved;
    if (refused_dsync(req, result)) {
        start_transfer(req);
        return;
    }
    if (result < 0 || req->op == BLK_FLUSH || op->syncing) {
        finish(req, result < 0 ? (int)result : 0);
        return;
    }
    if (result == left) {
        written(req);
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
    start_transfer(req);
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
