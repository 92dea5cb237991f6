/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/backend/nets.h"

#define LENGTH_BYTES 4u
#define UNIT_MAX     (NET_FRAME_MAX + LENGTH_BYTES)

struct stream {
    struct net_port port; /* first */
    int fd, listen_fd;    /* -1: none */
    bool reading;
    struct loop_watch *watch, *listen_watch;
    struct loop_task task;      /* frames that are in `in` already */
    uint32_t out_at, out_bytes; /* the rest of a frame that was written in part */
    uint32_t in_at, in_bytes;   /* [in_at, in_bytes) has not been looked at */
    uint8_t out[UNIT_MAX], in[4 * UNIT_MAX];
};

static void rewatch(struct stream *stream)
{
    const struct loop *loop = stream->port.loop;

    if (stream->watch)
        loop->ops->rewatch(loop->ctx, stream->watch,
                           (stream->reading ? LOOP_READ : 0) |
                               (stream->out_bytes ? LOOP_WRITE : 0));
}

static void hang_up(struct stream *stream)
{
    const struct loop *loop = stream->port.loop;

    loop->ops->unwatch(loop->ctx, stream->watch);
    loop->ops->undefer(loop->ctx, &stream->task);
    stream->watch = NULL;
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
    stream->in_at = stream->in_bytes = stream->out_bytes = 0;
}

/* From the loop only. */
static void lost_peer(struct stream *stream)
{
    const struct loop *loop = stream->port.loop;

    hang_up(stream);
    if (stream->listen_watch)
        loop->ops->rewatch(loop->ctx, stream->listen_watch, LOOP_READ);
    net_port_carrier(&stream->port, false);
    net_port_writable(&stream->port); /* who waited may go on, into the void */
}

static enum net_sent stream_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                                 const struct net_offload *offload)
{
    struct stream *stream = (struct stream *)port;
    uint32_t bytes = 0, at = LENGTH_BYTES;
    ssize_t n;

    if (stream->fd < 0)
        return NET_LOST;
    if (stream->out_bytes)
        return NET_BUSY;
    for (unsigned i = 0; i < n_iov; i++)
        bytes += (uint32_t)iov[i].iov_len;
    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        stream->out[i] = (uint8_t)(bytes >> (24 - 8 * i));
    for (unsigned i = 0; i < n_iov; at += (uint32_t)iov[i++].iov_len)
        memcpy(stream->out + at, iov[i].iov_base, iov[i].iov_len);
    /* In one piece, since a worker process has no sendmsg(2) for it (daemon/sandbox.h). */
    n = send(stream->fd, stream->out, at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == (ssize_t)at)
        return NET_SENT;
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return NET_LOST; /* the reader sees the hangup */
    stream->out_at = n < 0 ? 0 : (uint32_t)n;
    stream->out_bytes = at;
    rewatch(stream);
    return NET_SENT;
}

static void write_rest(struct stream *stream)
{
    ssize_t n = send(stream->fd, stream->out + stream->out_at, stream->out_bytes - stream->out_at,
                     MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lost_peer(stream);
        return;
    }
    stream->out_at += n > 0 ? (uint32_t)n : 0;
    if (stream->out_at < stream->out_bytes)
        return;
    stream->out_bytes = 0;
    rewatch(stream);
    net_port_writable(&stream->port);
}

static uint32_t frame_length(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The frames that are whole. False: what the peer says cannot be. */
static bool take_frames(struct stream *stream)
{
    for (unsigned i = 0; stream->reading; i++) {
        uint32_t left = stream->in_bytes - stream->in_at;
        const uint8_t *at = stream->in + stream->in_at;
        uint32_t bytes = left >= LENGTH_BYTES ? frame_length(at) : 0;

        if (bytes > NET_FRAME_MAX)
            return false;
        if (left < LENGTH_BYTES || left - LENGTH_BYTES < bytes)
            break;
        if (i == NET_BUDGET) { /* the loop would not tell of what was read already */
            stream->port.loop->ops->defer(stream->port.loop->ctx, &stream->task);
            break;
        }
        stream->in_at += LENGTH_BYTES + bytes;
        net_port_receive(&stream->port, at + LENGTH_BYTES, bytes, NULL);
    }
    net_port_received(&stream->port);
    return true;
}

static void read_more(struct stream *stream)
{
    uint32_t left = stream->in_bytes - stream->in_at;
    ssize_t n;

    memmove(stream->in, stream->in + stream->in_at, left);
    stream->in_at = 0;
    stream->in_bytes = left;
    if (left < sizeof(stream->in)) {
        n = recv(stream->fd, stream->in + left, sizeof(stream->in) - left, MSG_DONTWAIT);
        if (!n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            lost_peer(stream);
            return;
        }
        stream->in_bytes += n > 0 ? (uint32_t)n : 0;
    }
    if (!take_frames(stream))
        lost_peer(stream);
}

static void run_task(void *arg)
{
    struct stream *stream = arg;

    if (stream->fd >= 0 && !take_frames(stream))
        lost_peer(stream);
}

static void on_events(void *arg, unsigned events)
{
    struct stream *stream = arg;

    if (events & LOOP_WRITE && stream->out_bytes)
        write_rest(stream);
    if (events & LOOP_READ && stream->reading && stream->fd >= 0)
        read_more(stream);
}

static int start(struct stream *stream, int fd)
{
    const struct loop *loop = stream->port.loop;
    int flags = fcntl(fd, F_GETFL);
    int err;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
        return -errno;
    err = loop->ops->watch(loop->ctx, fd, 0, on_events, stream, &stream->watch);
    if (err)
        return err;
    stream->fd = fd;
    rewatch(stream);
    return 0;
}

static void on_connection(void *arg, unsigned events)
{
    struct stream *stream = arg;
    const struct loop *loop = stream->port.loop;
    int fd = accept4(stream->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
        return;
    if (fd < 0 || start(stream, fd)) { /* nothing left to have one with: not to spin on it */
        if (fd >= 0)
            close(fd);
        loop->ops->rewatch(loop->ctx, stream->listen_watch, 0);
        return;
    }
    loop->ops->rewatch(loop->ctx, stream->listen_watch, 0);
    net_port_carrier(&stream->port, true);
}

static void stream_set_reading(struct net_port *port, bool on)
{
    struct stream *stream = (struct stream *)port;

    stream->reading = on;
    rewatch(stream);
    if (on && stream->in_at < stream->in_bytes)
        port->loop->ops->defer(port->loop->ctx, &stream->task);
}

static void stream_close(struct net_port *port)
{
    struct stream *stream = (struct stream *)port;

    hang_up(stream);
    port->loop->ops->unwatch(port->loop->ctx, stream->listen_watch);
    if (stream->listen_fd >= 0)
        close(stream->listen_fd);
    free(stream);
}

static const struct net_backend_ops stream_ops = {
    .name = "stream",
    .send = stream_send,
    .set_reading = stream_set_reading,
    .close = stream_close,
};

int net_stream_open(int fd, bool listener, const struct loop *loop, struct net_port **ret_port)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    int err;

    if (!stream)
        return -ENOMEM;
    stream->port = (struct net_port){
        .ops = &stream_ops, .loop = loop, .max_frame = NET_FRAME_MAX, .no_carrier = listener};
    stream->task = (struct loop_task){.run = run_task, .arg = stream};
    stream->fd = stream->listen_fd = -1;
    if (listener)
        err = loop->ops->watch(loop->ctx, fd, LOOP_READ, on_connection, stream,
                               &stream->listen_watch);
    else
        err = start(stream, fd);
    if (err) {
        free(stream);
        return err;
    }
    if (listener)
        stream->listen_fd = fd;
    *ret_port = &stream->port;
    return 0;
}
