// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Disks that a program serves over NBD (the protocol's doc/proto.md; sections are its).
 *
 *   submit -> queued -> [sent] -> waiting -> [reply] -> [its data] -> done
 *                |         |         |           |          |
 *                +---------+---- the connection is lost ----+--> over: -EIO, from the loop
 *
 * The program reads images whose contents guests wrote, so its replies are not taken on trust:
 * one that nobody waits for ends the connection.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/backend/nbd.h"

#define REQUEST_MAGIC UINT32_C(0x25609513)
#define REPLY_MAGIC   UINT32_C(0x67446698)
#define REQUEST_BYTES 28u
#define REPLY_BYTES   16u

/* "Request types" and "Command flags" */
#define CMD_READ     0u
#define CMD_WRITE    1u
#define CMD_DISC     2u
#define CMD_FLUSH    3u
#define CMD_TRIM     4u
#define CMD_FLAG_FUA 1u

/* Pieces of replies read in a turn of the loop, so that others get theirs. */
#define BUDGET 64u

struct list {
    struct blk_req *first, **last;
};

struct nbd {
    struct blk_image image; /* first */
    struct nbd_owner owner;
    int fd;
    uint16_t flags;
    bool write_through;
    bool lost;
    struct loop_watch *watch;
    struct loop_task task;
    uint64_t cookie;
    struct list queued, waiting, over;
    /* What goes out: of the first that is queued, and how much of it has gone. */
    uint8_t request[REQUEST_BYTES];
    uint32_t out_at;
    /* What comes in: a reply, then the data of the request that it is for. */
    uint8_t reply[REPLY_BYTES];
    uint32_t in_at;
    struct blk_req *reading;
    uint32_t data_at;
};

/* In blk_req.backend. */
struct scratch {
    struct blk_req *next;
    uint64_t cookie;
    int error; /* of one that is over */
    uint16_t command;
    bool flush_follows;
};
_Static_assert(sizeof(struct scratch) <= sizeof(((struct blk_req *)0)->backend), "room for it");

static struct scratch *scratch_of(struct blk_req *req)
{
    return (struct scratch *)(void *)req->backend;
}

static void list_init(struct list *list)
{
    *list = (struct list){.last = &list->first};
}

static void push(struct list *list, struct blk_req *req)
{
    scratch_of(req)->next = NULL;
    *list->last = req;
    list->last = &scratch_of(req)->next;
}

static void pull(struct list *list, struct blk_req **link)
{
    struct blk_req *req = *link;

    *link = scratch_of(req)->next;
    if (!*link)
        list->last = link;
}

static void wake(struct nbd *nbd)
{
    nbd->image.loop->ops->defer(nbd->image.loop->ctx, &nbd->task);
}

static void end_all(struct nbd *nbd, struct list *list)
{
    while (list->first) {
        struct blk_req *req = list->first;

        pull(list, &list->first);
        scratch_of(req)->error = -EIO;
        push(&nbd->over, req);
    }
}

/* No request is told inline. */
static void lose(struct nbd *nbd, const char *why)
{
    const struct loop *loop = nbd->image.loop;

    nbd->lost = true;
    shutdown(nbd->fd, SHUT_RDWR); /* the image's close may be far: the guest has not let go yet */
    if (nbd->owner.lost)
        nbd->owner.lost(nbd->owner.ctx, why);
    loop->ops->unwatch(loop->ctx, nbd->watch);
    nbd->watch = NULL;
    if (nbd->reading)
        push(&nbd->waiting, nbd->reading);
    nbd->reading = NULL;
    end_all(nbd, &nbd->waiting);
    end_all(nbd, &nbd->queued);
    wake(nbd);
}

static const char *lost_by(int err)
{
    return err == -EPIPE || err == -ECONNRESET ? "its program has hung up"
                                               : "the connection to its program has failed";
}

/* What is left of a request's pages from byte `at` on. */
static unsigned rest_of(const struct blk_req *req, uint32_t at, struct iovec *iov)
{
    unsigned n = 0;

    for (unsigned i = 0; i < req->n_iov; i++) {
        uint32_t len = (uint32_t)req->iov[i].iov_len;

        if (at >= len) {
            at -= len;
            continue;
        }
        iov[n++] = (struct iovec){(uint8_t *)req->iov[i].iov_base + at, len - at};
        at = 0;
    }
    return n;
}

/* ---- out --------------------------------------------------------------------------------------*/

static void fill_request(struct nbd *nbd, uint16_t flags, uint16_t command, uint64_t cookie,
                         uint64_t offset, uint32_t bytes)
{
    const uint32_t magic = htobe32(REQUEST_MAGIC), length = htobe32(bytes);
    const uint64_t at = htobe64(offset);

    flags = htobe16(flags);
    command = htobe16(command);
    memcpy(nbd->request, &magic, 4);
    memcpy(nbd->request + 4, &flags, 2);
    memcpy(nbd->request + 6, &command, 2);
    memcpy(nbd->request + 8, &cookie, 8); /* as it comes back: of no byte order */
    memcpy(nbd->request + 16, &at, 8);
    memcpy(nbd->request + 24, &length, 4);
}

static void begin_request(struct nbd *nbd, const struct blk_req *req, struct scratch *scratch)
{
    bool fua = scratch->command == CMD_WRITE && (req->fua || nbd->write_through) &&
               nbd->flags & NBD_SEND_FUA;

    scratch->cookie = ++nbd->cookie;
    fill_request(nbd, fua ? CMD_FLAG_FUA : 0, scratch->command, scratch->cookie,
                 scratch->command == CMD_FLUSH ? 0 : req->sector * BLK_SECTOR,
                 scratch->command == CMD_FLUSH ? 0 : req->bytes);
}

/* 1: all of the first has gone; 0: not now; -errno. */
static int send_first(struct nbd *nbd)
{
    struct blk_req *req = nbd->queued.first;
    struct scratch *scratch = scratch_of(req);
    uint32_t data = scratch->command == CMD_WRITE ? req->bytes : 0;
    struct iovec iov[BLK_REQ_PAGES + 1];
    struct msghdr message = {.msg_iov = iov};
    ssize_t n;

    if (!nbd->out_at)
        begin_request(nbd, req, scratch);
    if (nbd->out_at < REQUEST_BYTES)
        iov[message.msg_iovlen++] =
            (struct iovec){nbd->request + nbd->out_at, REQUEST_BYTES - nbd->out_at};
    if (data)
        message.msg_iovlen +=
            rest_of(req, nbd->out_at < REQUEST_BYTES ? 0 : nbd->out_at - REQUEST_BYTES,
                    iov + message.msg_iovlen);
    n = sendmsg(nbd->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    nbd->out_at += (uint32_t)n;
    return nbd->out_at == REQUEST_BYTES + data;
}

static void send_queued(struct nbd *nbd)
{
    const struct loop *loop = nbd->image.loop;

    while (nbd->queued.first) {
        struct blk_req *req = nbd->queued.first;
        int sent = send_first(nbd);

        if (sent < 0) {
            lose(nbd, lost_by(sent));
            return;
        }
        if (!sent)
            break;
        nbd->out_at = 0;
        pull(&nbd->queued, &nbd->queued.first);
        push(&nbd->waiting, req);
    }
    loop->ops->rewatch(loop->ctx, nbd->watch, LOOP_READ | (nbd->queued.first ? LOOP_WRITE : 0));
}

/* What is submitted meanwhile waits for the next turn. The image lives until its last request is
 * done, so `nbd` may be gone only when the list is at its end. */
static void tell_over(struct nbd *nbd)
{
    struct blk_req *req = nbd->over.first;

    list_init(&nbd->over);
    while (req) {
        struct blk_req *next = scratch_of(req)->next;

        blk_image_done(req, scratch_of(req)->error);
        req = next;
    }
}

static void run_task(void *arg)
{
    struct nbd *nbd = arg;

    if (!nbd->lost)
        send_queued(nbd);
    tell_over(nbd);
}

static void nbd_submit(struct blk_image *image, struct blk_req *req)
{
    static const uint16_t command[] = {[BLK_READ] = CMD_READ,
                                       [BLK_WRITE] = CMD_WRITE,
                                       [BLK_FLUSH] = CMD_FLUSH,
                                       [BLK_DISCARD] = CMD_TRIM};
    struct nbd *nbd = (struct nbd *)image;
    bool flushes = nbd->flags & NBD_SEND_FLUSH;

    *scratch_of(req) = (struct scratch){
        .command = command[req->op],
        .flush_follows = req->op == BLK_WRITE && (req->fua || nbd->write_through) && flushes &&
                         !(nbd->flags & NBD_SEND_FUA),
    };
    if (nbd->lost)
        scratch_of(req)->error = -EIO;
    push(nbd->lost || (req->op == BLK_FLUSH && !flushes) ? &nbd->over : &nbd->queued, req);
    wake(nbd);
}

/* ---- in ---------------------------------------------------------------------------------------*/

/* "Error values" are Linux's numbers; others are to be taken for EINVAL, which says less. */
static int error_of(uint32_t value)
{
    switch (value) {
    case EPERM:
    case EIO:
    case ENOMEM:
    case EINVAL:
    case ENOSPC:
    case EOVERFLOW:
    case EOPNOTSUPP:
    case ESHUTDOWN:
        return -(int)value;
    default:
        return -EIO;
    }
}

static struct blk_req *take_waiting(struct nbd *nbd, uint64_t cookie)
{
    struct blk_req **link = &nbd->waiting.first;

    while (*link && scratch_of(*link)->cookie != cookie)
        link = &scratch_of(*link)->next;
    if (!*link)
        return NULL;

    struct blk_req *req = *link;

    pull(&nbd->waiting, link);
    return req;
}

/* The request that the reply is for; NULL: none, or it is no reply. */
static struct blk_req *read_reply(struct nbd *nbd, int *ret_error)
{
    uint32_t magic, error;
    uint64_t cookie;

    memcpy(&magic, nbd->reply, 4);
    memcpy(&error, nbd->reply + 4, 4);
    memcpy(&cookie, nbd->reply + 8, 8);
    if (be32toh(magic) != REPLY_MAGIC)
        return NULL;
    *ret_error = error ? error_of(be32toh(error)) : 0;
    return take_waiting(nbd, cookie);
}

/* False: `nbd` may be gone. */
static bool finish(struct nbd *nbd, struct blk_req *req, int error)
{
    bool others = nbd->waiting.first || nbd->queued.first || nbd->over.first;

    if (!error && scratch_of(req)->flush_follows) {
        scratch_of(req)->flush_follows = false;
        scratch_of(req)->command = CMD_FLUSH;
        push(&nbd->queued, req);
        wake(nbd);
        return true;
    }
    blk_image_done(req, error);
    return others;
}

/* 1: something came; 0: nothing now; -errno: that was it. */
static int receive(struct nbd *nbd, struct iovec *iov, unsigned n_iov, uint32_t *at)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = n_iov};
    ssize_t n = recvmsg(nbd->fd, &message, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    *at += (uint32_t)n;
    return n ? 1 : -EPIPE;
}

static int receive_reply(struct nbd *nbd)
{
    struct iovec iov = {nbd->reply + nbd->in_at, REPLY_BYTES - nbd->in_at};

    return receive(nbd, &iov, 1, &nbd->in_at);
}

static int receive_data(struct nbd *nbd)
{
    struct iovec iov[BLK_REQ_PAGES];

    return receive(nbd, iov, rest_of(nbd->reading, nbd->data_at, iov), &nbd->data_at);
}

/* False: no more now. */
static bool read_some(struct nbd *nbd)
{
    struct blk_req *req = nbd->reading;
    int error = 0, got = req ? receive_data(nbd) : receive_reply(nbd);

    if (got < 0)
        lose(nbd, lost_by(got));
    if (got <= 0)
        return false;
    if (req && nbd->data_at < req->bytes)
        return true;
    if (!req && nbd->in_at < REPLY_BYTES)
        return true;
    nbd->reading = NULL;
    nbd->in_at = nbd->data_at = 0;
    if (!req) {
        req = read_reply(nbd, &error);
        if (!req) {
            lose(nbd, "what its program sent is no reply to a request");
            return false;
        }
        if (!error && scratch_of(req)->command == CMD_READ) {
            nbd->reading = req;
            return true;
        }
    }
    return finish(nbd, req, error);
}

static void on_socket(void *arg, unsigned events)
{
    struct nbd *nbd = arg;

    if (events & LOOP_WRITE)
        wake(nbd);
    if (events & LOOP_READ)
        for (unsigned i = 0; i < BUDGET && read_some(nbd); i++)
            ;
}

/* ---- life -------------------------------------------------------------------------------------*/

static void nbd_close(struct blk_image *image)
{
    struct nbd *nbd = (struct nbd *)image;
    const struct loop *loop = image->loop;

    assert(!nbd->queued.first && !nbd->waiting.first && !nbd->over.first && !nbd->reading);
    loop->ops->undefer(loop->ctx, &nbd->task);
    loop->ops->unwatch(loop->ctx, nbd->watch);
    if (!nbd->lost) { /* a courtesy: the end of the connection says the same */
        fill_request(nbd, 0, CMD_DISC, 0, 0, 0);
        (void)!send(nbd->fd, nbd->request, REQUEST_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    close(nbd->fd);
    free(nbd);
}

static const struct blk_backend_ops nbd_ops = {
    .name = "nbd",
    .submit = nbd_submit,
    .close = nbd_close,
};

int nbd_open(int fd, const struct nbd_export *export, const struct nbd_owner *owner,
             const struct loop *loop, struct pool *pool, struct blk_image **ret_image)
{
    struct nbd *nbd = calloc(1, sizeof(*nbd));
    int err;

    if (!nbd)
        return -ENOMEM;
    nbd->image = (struct blk_image){
        .ops = &nbd_ops,
        .info =
            {
                .sectors = export->bytes / BLK_SECTOR,
                .physical_block = export->physical_block,
                .read_only = export->read_only,
                .write_cache = export->flags & NBD_SEND_FLUSH && !export->write_through,
                .discard = export->flags & NBD_SEND_TRIM && !export->read_only,
                .discard_granularity = export->physical_block,
                .solid_state = !(export->flags & NBD_ROTATIONAL),
            },
        .loop = loop,
        .pool = pool,
    };
    nbd->owner = *owner;
    nbd->fd = fd;
    nbd->flags = export->flags;
    nbd->write_through = export->write_through;
    nbd->task = (struct loop_task){.run = run_task, .arg = nbd};
    list_init(&nbd->queued);
    list_init(&nbd->waiting);
    list_init(&nbd->over);
    err = loop->ops->watch(loop->ctx, fd, LOOP_READ, on_socket, nbd, &nbd->watch);
    if (err) {
        free(nbd);
        return err;
    }
    *ret_image = &nbd->image;
    return 0;
}
