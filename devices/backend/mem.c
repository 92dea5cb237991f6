// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/images.h"

struct mem_image {
    struct blk_image image; /* first */
    uint8_t *data;
    struct mem_faults faults;
    struct loop_task task;
    struct blk_req *first, **last; /* submitted, not completed; linked by backend[0] */
};

static struct blk_req **link_of(struct blk_req *req)
{
    return (struct blk_req **)&req->backend[0];
}

/* -errno, or 0. A flush touches the whole disk. */
static int fault_of(const struct mem_image *mem, const struct blk_req *req)
{
    const struct mem_faults *faults = &mem->faults;
    bool touched;
    if (req->op == BLK_FLUSH && faults->flush_error)
        return faults->flush_error;
    if (req->op == BLK_FLUSH)
        touched = faults->first == 0 && faults->last >= mem->image.info.sectors - 1;
    else
        touched = req->sector <= faults->last &&
                  req->sector + req->bytes / BLK_SECTOR - 1 >= faults->first;
    return touched ? faults->error : 0;
}

/* The data moves now, not at submission: a write that is held has not reached the disk. */
static int perform(struct mem_image *mem, const struct blk_req *req)
{
    int err = fault_of(mem, req);
    if (err)
        return err;
    uint8_t *at = mem->data + req->sector * BLK_SECTOR;
    if (req->op == BLK_DISCARD)
        memset(at, 0, req->bytes);
    for (unsigned i = 0; i < req->n_iov; i++) {
        if (req->op == BLK_READ)
            memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
        else
            memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    return 0;
}

/* What is submitted meanwhile waits for the next turn. The image lives until its last request is
 * done, so `mem` may be gone only when the list is at its end. */
static void complete_all(struct mem_image *mem)
{
    struct blk_req *req = mem->first;
    mem->first = NULL;
    mem->last = &mem->first;
    while (req) {
        struct blk_req *next = *link_of(req);
        blk_image_done(req, perform(mem, req));
        req = next;
    }
}

static void run_task(void *arg)
{
    struct mem_image *mem = arg;
    if (!mem->faults.hold)
        complete_all(mem);
}

static void mem_submit(struct blk_image *image, struct blk_req *req)
{
    struct mem_image *mem = (struct mem_image *)image;
    *link_of(req) = NULL;
    *mem->last = req;
    mem->last = link_of(req);
    if (!mem->faults.hold)
        image->loop->ops->defer(image->loop->ctx, &mem->task);
}

static void mem_close(struct blk_image *image)
{
    struct mem_image *mem = (struct mem_image *)image;
    image->loop->ops->undefer(image->loop->ctx, &mem->task);
    free(mem);
}

static const struct blk_backend_ops mem_ops = {
    .name = "mem",
    .submit = mem_submit,
    .close = mem_close,
};

int mem_open(void *data, uint64_t sectors, bool read_only, const struct loop *loop,
             struct pool *pool, struct blk_image **ret_image)
{
    struct mem_image *mem = calloc(1, sizeof(*mem));
    if (!mem)
        return -ENOMEM;
    mem->image = (struct blk_image){
        .ops = &mem_ops,
        .info = {.sectors = sectors,
                 .physical_block = BLK_SECTOR,
                 .read_only = read_only,
                 .write_cache = true,
                 .discard = !read_only,
                 .discard_granularity = read_only ? 0 : BLK_SECTOR},
        .loop = loop,
        .pool = pool,
    };
    mem->data = data;
    mem->last = &mem->first;
    mem->task = (struct loop_task){.run = run_task, .arg = mem};
    *ret_image = &mem->image;
    return 0;
}

void mem_set_faults(struct blk_image *image, const struct mem_faults *faults)
{
    assert(image->ops == &mem_ops && faults->error <= 0);
    struct mem_image *mem = (struct mem_image *)image;
    mem->faults = *faults;
    if (!faults->hold && mem->first)
        image->loop->ops->defer(image->loop->ctx, &mem->task);
}

void mem_release(struct blk_image *image)
{
    assert(image->ops == &mem_ops);
    complete_all((struct mem_image *)image);
}
