// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Disks that a program serves over NBD.
 *
 *   submit -> libnbd's commands -> [all of them are back] -> over -> done, or a flush and once more
 *
 * libnbd calls back while it holds its lock, so nothing is asked of it there: what is over is told
 * by the loop's task.
 */
#include <assert.h>
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/backend/nbd.h"

/* Commands whose replies are taken in a turn of the loop, so that others get theirs. */
#define BUDGET 64u

struct nbd {
    struct blk_image image; /* first */
    struct nbd_owner owner;
    struct nbd_handle *handle;
    bool flushes, fua, write_through;
    bool lost;
    unsigned watched; /* LOOP_READ, LOOP_WRITE */
    struct loop_watch *watch;
    struct loop_task task;
    struct blk_req *over, **over_end;
};

/* In blk_req.backend. */
struct scratch {
    struct nbd *nbd;
    struct blk_req *next;
    unsigned commands; /* that are not back; and one while they are being given */
    int error;
    bool flush_follows;
};
_Static_assert(sizeof(struct scratch) <= sizeof(((struct blk_req *)0)->backend), "room for it");

static struct scratch *scratch_of(struct blk_req *req)
{
    return (struct scratch *)(void *)req->backend;
}

/* ---- the beginning ----------------------------------------------------------------------------*/

static int refuse(char *why, int err, const char *text)
{
    snprintf(why, NBD_WHY_SIZE, "%s", text);
    return err;
}

/* Advertised sizes are powers of two (libnbd sees to it), 0 where there is none. */
static int describe(struct nbd_handle *handle, struct nbd_export *ret_export, char *why)
{
    int64_t bytes = nbd_get_size(handle);
    int64_t least = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
    int64_t preferred = nbd_get_block_size(handle, LIBNBD_SIZE_PREFERRED);
    int64_t most = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);

    if (bytes < (int64_t)BLK_SECTOR)
        return refuse(why, -EINVAL, "the image has not one whole sector");
    if (least > (int64_t)BLK_SECTOR || (most > 0 && most < (int64_t)BLK_MAX_BYTES))
        return refuse(why, -EINVAL, "its blocks are larger than a sector of 512 bytes");
    *ret_export = (struct nbd_export){
        .bytes = (uint64_t)bytes,
        .physical_block = preferred > (int64_t)BLK_SECTOR ? (uint32_t)preferred : BLK_SECTOR,
        .read_only = nbd_is_read_only(handle) != 0,
        .discard = nbd_can_trim(handle) > 0,
    };
    return 0;
}

int nbd_image_hello(int fd, struct nbd_handle **ret_handle, struct nbd_export *ret_export,
                    char ret_why[NBD_WHY_SIZE])
{
    struct nbd_handle *handle = nbd_create();
    int err = 0;

    if (!handle) {
        close(fd);
        return refuse(ret_why, -ENOMEM, "out of memory");
    }
    /* Simple replies only: there is nothing that others would be good for. What a failed read has
     * left in its pages nobody is shown. */
    if (nbd_set_request_structured_replies(handle, false) ||
        nbd_set_pread_initialize(handle, false)) {
        err = refuse(ret_why, -EPROTO, nbd_get_error());
        close(fd);
    } else if (nbd_connect_socket(handle, fd)) { /* has closed it, whatever has failed */
        err = refuse(ret_why, -EPROTO, nbd_get_error());
    }
    if (!err)
        err = describe(handle, ret_export, ret_why);
    if (err)
        nbd_close(handle);
    else
        *ret_handle = handle;
    return err;
}

void nbd_image_discard(struct nbd_handle *handle)
{
    if (handle)
        nbd_close(handle);
}

/* ---- the end of commands ----------------------------------------------------------------------*/

static void push_over(struct nbd *nbd, struct blk_req *req)
{
    scratch_of(req)->next = NULL;
    *nbd->over_end = req;
    nbd->over_end = &scratch_of(req)->next;
    nbd->image.loop->ops->defer(nbd->image.loop->ctx, &nbd->task);
}

static void command_over(struct blk_req *req, int error)
{
    struct scratch *scratch = scratch_of(req);

    if (error && !scratch->error)
        scratch->error = error;
    if (!--scratch->commands)
        push_over(scratch->nbd, req);
}

/* "Error values" are Linux's numbers; EINVAL is what the library takes all others for, and whatever
 * else it says is of the connection. */
static int error_of(int error)
{
    switch (error) {
    case 0:
    case EPERM:
    case EIO:
    case ENOMEM:
    case ENOSPC:
    case EOVERFLOW:
    case EOPNOTSUPP:
    case ESHUTDOWN:
        return -error;
    default:
        return -EIO;
    }
}

static int on_command(void *user_data, int *error)
{
    command_over(user_data, error_of(*error));
    return 1; /* nobody else asks for it */
}

/* ---- the connection ---------------------------------------------------------------------------*/

static void lose(struct nbd *nbd)
{
    const struct loop *loop = nbd->image.loop;

    nbd->lost = true;
    if (nbd->owner.lost)
        nbd->owner.lost(nbd->owner.ctx,
                        nbd_aio_is_closed(nbd->handle)
                            ? "its program has hung up"
                            : "the connection to its program has failed, or what it sent is no "
                              "reply to a request");
    loop->ops->unwatch(loop->ctx, nbd->watch);
    nbd->watch = NULL;
}

/* After whatever was asked of the library. What is in its hands when it loses the connection comes
 * back through on_command(). */
static void look(struct nbd *nbd)
{
    const struct loop *loop = nbd->image.loop;
    unsigned direction = nbd_aio_get_direction(nbd->handle), wanted;

    if (nbd->lost)
        return;
    if (nbd_aio_is_dead(nbd->handle) || nbd_aio_is_closed(nbd->handle)) {
        lose(nbd);
        return;
    }
    wanted = (direction & LIBNBD_AIO_DIRECTION_READ ? LOOP_READ : 0) |
             (direction & LIBNBD_AIO_DIRECTION_WRITE ? LOOP_WRITE : 0);
    if (wanted != nbd->watched)
        loop->ops->rewatch(loop->ctx, nbd->watch, wanted);
    nbd->watched = wanted;
}

/* The library, told that there is something to read, waits for a reply until it is there, and sends
 * nothing meanwhile: so it is told only when there is. */
static bool has_more(const struct nbd *nbd)
{
    struct pollfd socket = {.fd = nbd_aio_get_fd(nbd->handle), .events = POLLIN};

    return nbd_aio_get_direction(nbd->handle) & LIBNBD_AIO_DIRECTION_READ &&
           poll(&socket, 1, 0) == 1;
}

static void take_replies(struct nbd *nbd)
{
    for (unsigned i = 0; i < BUDGET && has_more(nbd); i++)
        if (nbd_aio_notify_read(nbd->handle))
            break;
}

static void on_socket(void *arg, unsigned events)
{
    struct nbd *nbd = arg;

    if (events & LOOP_WRITE && nbd_aio_get_direction(nbd->handle) & LIBNBD_AIO_DIRECTION_WRITE)
        nbd_aio_notify_write(nbd->handle);
    if (events & LOOP_READ)
        take_replies(nbd);
    look(nbd);
}

/* ---- requests ---------------------------------------------------------------------------------*/

static void give(struct nbd *nbd, struct blk_req *req, enum blk_op op, void *data, size_t bytes,
                 uint64_t offset)
{
    nbd_completion_callback done = {.callback = on_command, .user_data = req};
    bool stable = nbd->fua && (req->fua || nbd->write_through);
    int64_t cookie = -1;

    scratch_of(req)->commands++;
    switch (op) {
    case BLK_READ:
        cookie = nbd_aio_pread(nbd->handle, data, bytes, offset, done, 0);
        break;
    case BLK_WRITE:
        cookie = nbd_aio_pwrite(nbd->handle, data, bytes, offset, done,
                                stable ? LIBNBD_CMD_FLAG_FUA : 0);
        break;
    case BLK_FLUSH:
        cookie = nbd_aio_flush(nbd->handle, done, 0);
        break;
    case BLK_DISCARD:
        cookie = nbd_aio_trim(nbd->handle, bytes, offset, done, 0);
        break;
    }
    if (cookie < 0)
        command_over(req, -EIO);
}

/* A command for all pages that lie one behind the other, which is most often all of them: blk.c
 * gives pages back in an order that keeps it so. 128 KiB of a qcow2 image in 32 commands cost about
 * 200 us of the worker's time, in one and copied about 25; but a buffer for each request to copy
 * through would be megabytes an image. */
static void give_pages(struct nbd *nbd, struct blk_req *req)
{
    uint64_t offset = req->sector * BLK_SECTOR;

    for (unsigned i = 0; i < req->n_iov;) {
        uint8_t *data = req->iov[i].iov_base;
        size_t bytes = 0;

        for (; i < req->n_iov && req->iov[i].iov_base == data + bytes; i++)
            bytes += req->iov[i].iov_len;
        give(nbd, req, req->op, data, bytes, offset);
        offset += bytes;
    }
}

static void give_all(struct nbd *nbd, struct blk_req *req, enum blk_op op)
{
    scratch_of(req)->commands = 1;
    if (op == BLK_READ || op == BLK_WRITE)
        give_pages(nbd, req);
    else
        give(nbd, req, op, NULL, req->bytes, req->sector * BLK_SECTOR);
    command_over(req, 0);
    look(nbd);
}

static void nbd_submit(struct blk_image *image, struct blk_req *req)
{
    struct nbd *nbd = (struct nbd *)image;

    *scratch_of(req) = (struct scratch){
        .nbd = nbd,
        .flush_follows =
            req->op == BLK_WRITE && (req->fua || nbd->write_through) && nbd->flushes && !nbd->fua,
    };
    if (nbd->lost)
        scratch_of(req)->error = -EIO;
    if (nbd->lost || (req->op == BLK_FLUSH && !nbd->flushes))
        push_over(nbd, req);
    else
        give_all(nbd, req, req->op);
}

/* What is over meanwhile waits for the next turn. The image lives until its last request is done,
 * so `nbd` may be gone only when the list is at its end. */
static void tell_over(void *arg)
{
    struct nbd *nbd = arg;
    struct blk_req *req = nbd->over;

    nbd->over = NULL;
    nbd->over_end = &nbd->over;
    while (req) {
        struct scratch *scratch = scratch_of(req);
        struct blk_req *next = scratch->next;

        if (scratch->flush_follows && !scratch->error && !nbd->lost) {
            scratch->flush_follows = false;
            give_all(nbd, req, BLK_FLUSH);
        } else {
            blk_image_done(req, scratch->flush_follows && nbd->lost ? -EIO : scratch->error);
        }
        req = next;
    }
}

/* ---- life -------------------------------------------------------------------------------------*/

static void nbd_image_close(struct blk_image *image)
{
    struct nbd *nbd = (struct nbd *)image;
    const struct loop *loop = image->loop;

    assert(!nbd->over);
    loop->ops->undefer(loop->ctx, &nbd->task);
    loop->ops->unwatch(loop->ctx, nbd->watch);
    if (!nbd->lost) /* a courtesy: the end of the connection says the same */
        nbd_aio_disconnect(nbd->handle, 0);
    nbd_close(nbd->handle);
    free(nbd);
}

static const struct blk_backend_ops nbd_ops = {
    .name = "nbd",
    .submit = nbd_submit,
    .close = nbd_image_close,
};

int nbd_image_open(struct nbd_handle *handle, const struct nbd_export *export,
                   const struct nbd_owner *owner, const struct loop *loop, struct pool *pool,
                   struct blk_image **ret_image)
{
    struct nbd *nbd = calloc(1, sizeof(*nbd));
    int err;

    if (!nbd)
        return -ENOMEM;
    nbd->owner = *owner;
    nbd->handle = handle;
    nbd->flushes = nbd_can_flush(handle) > 0;
    nbd->fua = nbd_can_fua(handle) > 0;
    nbd->write_through = export->write_through;
    nbd->image = (struct blk_image){
        .ops = &nbd_ops,
        .info =
            {
                .sectors = export->bytes / BLK_SECTOR,
                .physical_block = export->physical_block,
                .read_only = export->read_only,
                .write_cache = nbd->flushes && !export->write_through,
                .discard = export->discard && !export->read_only,
                .discard_granularity = export->physical_block,
                .solid_state = nbd_is_rotational(handle) <= 0,
            },
        .loop = loop,
        .pool = pool,
    };
    nbd->task = (struct loop_task){.run = tell_over, .arg = nbd};
    nbd->over_end = &nbd->over;
    nbd->watched = LOOP_READ;
    err =
        loop->ops->watch(loop->ctx, nbd_aio_get_fd(handle), LOOP_READ, on_socket, nbd, &nbd->watch);
    if (err) {
        free(nbd);
        return err;
    }
    *ret_image = &nbd->image;
    return 0;
}
