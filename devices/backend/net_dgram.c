/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/backend/nets.h"

/* net.unix.max_dgram_qlen is 512 at most places, 10 by default. */
#define DISCARD_MAX 1000

struct dgram {
    struct net_port port; /* first */
    int fd, keep_fd;
    bool reading, blocked, connected;
    bool connection;         /* it ends */
    bool dialling;           /* who connects `fd` has been asked; net_dgram_dialled() follows */
    struct sockaddr_un peer; /* sun_path "": `fd` came connected, or `dial` connects it */
    int (*dial)(void *ctx);
    void (*ended)(void *ctx);
    void *ctx;
    uint64_t again_ns; /* not to be asked before */
    struct loop_watch *watch, *keep_watch;
    struct loop_task end_task;
    uint8_t out[NET_FRAME_MAX]; /* a frame that came in pieces */
};

static void rewatch(struct dgram *dgram)
{
    unsigned events = (dgram->reading ? LOOP_READ : 0) | (dgram->blocked ? LOOP_WRITE : 0);

    dgram->port.loop->ops->rewatch(dgram->port.loop->ctx, dgram->watch, events);
}

static uint64_t now_ns(const struct dgram *dgram)
{
    return dgram->port.loop->ops->now_ns(dgram->port.loop->ctx);
}

/* A peer's socket is a new one each time it starts. A connected socket knows when its peer has
 * room; connecting one of this kind never waits, but whoever else does it for us takes his time. */
static int dial(struct dgram *dgram)
{
    const struct sockaddr *peer = (const struct sockaddr *)&dgram->peer;

    if (dgram->peer.sun_path[0])
        return connect(dgram->fd, peer, sizeof(dgram->peer)) ? -errno : 0;
    if (!dgram->dial || now_ns(dgram) < dgram->again_ns)
        return -ENOTCONN;
    return dgram->dial(dgram->ctx);
}

/* NET_SENT: it is connected. */
static enum net_sent reconnect(struct dgram *dgram)
{
    int err = dgram->dialling ? -EINPROGRESS : dial(dgram);

    dgram->dialling = err == -EINPROGRESS;
    dgram->connected = !err;
    return dgram->dialling ? NET_BUSY : err ? NET_LOST : NET_SENT;
}

void net_dgram_dialled(struct net_port *port, bool connected)
{
    struct dgram *dgram = (struct dgram *)port;

    if (!dgram->dialling)
        return;
    dgram->dialling = false;
    dgram->connected = connected;
    dgram->again_ns = now_ns(dgram) + NET_DGRAM_AGAIN_NS;
    net_port_writable(port);
}

/* Never from within send(). */
static void run_end(void *arg)
{
    struct dgram *dgram = arg;

    if (dgram->port.no_carrier)
        return;
    net_port_carrier(&dgram->port, false);
    if (dgram->ended)
        dgram->ended(dgram->ctx);
}

static void end(struct dgram *dgram)
{
    dgram->port.loop->ops->defer(dgram->port.loop->ctx, &dgram->end_task);
}

static bool is_without_peer(int err)
{
    return err == ECONNREFUSED || err == ENOTCONN || err == ECONNRESET;
}

/* A worker process has no sendmsg(2) for it (daemon/sandbox.h). */
static size_t in_one_piece(struct dgram *dgram, const struct iovec *iov, unsigned n_iov,
                           const void **ret_frame)
{
    size_t bytes = 0;

    *ret_frame = iov[0].iov_base;
    if (n_iov == 1)
        return iov[0].iov_len;
    *ret_frame = dgram->out;
    for (unsigned i = 0; i < n_iov; bytes += iov[i++].iov_len) /* within max_frame */
        memcpy(dgram->out + bytes, iov[i].iov_base, iov[i].iov_len);
    return bytes;
}

static enum net_sent dgram_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                                const struct net_offload *offload)
{
    struct dgram *dgram = (struct dgram *)port;
    const void *frame;
    size_t bytes = in_one_piece(dgram, iov, n_iov, &frame);

    for (unsigned tries = 0; tries < 2; tries++) {
        enum net_sent answer = dgram->connected ? NET_SENT : reconnect(dgram);

        if (answer != NET_SENT)
            return answer;
        if (send(dgram->fd, frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return NET_SENT;
        if (errno == EAGAIN || errno == EINTR) {
            dgram->blocked = true;
            rewatch(dgram);
            return NET_BUSY;
        }
        if (dgram->connection && (errno == EPIPE || is_without_peer(errno)))
            end(dgram);
        if (!is_without_peer(errno) || !(dgram->peer.sun_path[0] || dgram->dial))
            return NET_LOST;
        dgram->connected = false;
    }
    return NET_LOST;
}

/* Bytes, or -1. Errors are a peer's that has gone; reading them clears them. A connection has no
 * empty message, but an end. */
static ssize_t take(struct dgram *dgram, void *buffer, size_t size)
{
    ssize_t n = recv(dgram->fd, buffer, size, MSG_DONTWAIT);

    if (n || !dgram->connection)
        return n;
    end(dgram);
    return -1;
}

static void take_packets(struct dgram *dgram)
{
    for (unsigned i = 0; i < NET_BUDGET; i++) {
        uint8_t *buffer = net_port_buffer(&dgram->port);
        ssize_t n = take(dgram, buffer, NET_PACKET_MAX);

        if (n <= 0 || !net_port_receive(&dgram->port, buffer, (uint32_t)n, NULL))
            break;
    }
    net_port_received(&dgram->port);
}

static void on_events(void *arg, unsigned events)
{
    struct dgram *dgram = arg;

    if (events & LOOP_READ && dgram->reading)
        take_packets(dgram);
    if (events & LOOP_WRITE && dgram->blocked) {
        dgram->blocked = false;
        rewatch(dgram);
        net_port_writable(&dgram->port);
    }
}

/* The switch says nothing on it but that it has gone. */
static void on_keep(void *arg, unsigned events)
{
    struct dgram *dgram = arg;
    char byte;
    ssize_t n = recv(dgram->keep_fd, &byte, 1, MSG_DONTWAIT);

    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    dgram->port.loop->ops->rewatch(dgram->port.loop->ctx, dgram->keep_watch, 0);
    end(dgram);
}

static void dgram_set_reading(struct net_port *port, bool on)
{
    struct dgram *dgram = (struct dgram *)port;

    dgram->reading = on;
    rewatch(dgram);
}

static void dgram_discard(struct net_port *port)
{
    struct dgram *dgram = (struct dgram *)port;
    uint8_t some[64];

    for (unsigned i = 0; i < DISCARD_MAX && take(dgram, some, sizeof(some)) >= 0; i++)
        ;
}

/* Who connects it has the socket, too: to its peers it is gone now all the same, and who waits for
 * room in it waits no longer. */
static void dgram_close(struct net_port *port)
{
    struct dgram *dgram = (struct dgram *)port;

    shutdown(dgram->fd, SHUT_RDWR);
    dgram_discard(port);
    port->loop->ops->unwatch(port->loop->ctx, dgram->watch);
    port->loop->ops->unwatch(port->loop->ctx, dgram->keep_watch);
    port->loop->ops->undefer(port->loop->ctx, &dgram->end_task);
    close(dgram->fd);
    if (dgram->keep_fd >= 0)
        close(dgram->keep_fd);
    free(dgram);
}

static const struct net_backend_ops dgram_ops = {
    .name = "dgram",
    .send = dgram_send,
    .set_reading = dgram_set_reading,
    .discard = dgram_discard,
    .close = dgram_close,
};

int net_dgram_open(const struct net_dgram_options *options, const struct loop *loop,
                   struct net_port **ret_port)
{
    struct dgram *dgram;
    int err;

    if (strlen(options->peer) >= sizeof(dgram->peer.sun_path))
        return -ENAMETOOLONG;
    dgram = calloc(1, sizeof(*dgram));
    if (!dgram)
        return -ENOMEM;
    *dgram = (struct dgram){
        .port = {.ops = &dgram_ops, .loop = loop, .max_frame = NET_FRAME_MAX},
        .fd = options->fd,
        .keep_fd = options->keep_fd,
        .connected = !*options->peer && !options->dial,
        .connection = options->connection,
        .peer.sun_family = AF_UNIX,
        .dial = options->dial,
        .ended = options->ended,
        .ctx = options->ctx,
        .end_task = {.run = run_end, .arg = dgram},
    };
    memcpy(dgram->peer.sun_path, options->peer, strlen(options->peer) + 1);
    err = loop->ops->watch(loop->ctx, dgram->fd, 0, on_events, dgram, &dgram->watch);
    if (err)
        goto free_dgram;
    if (dgram->keep_fd >= 0)
        err = loop->ops->watch(loop->ctx, dgram->keep_fd, LOOP_READ, on_keep, dgram,
                               &dgram->keep_watch);
    if (err)
        goto unwatch;
    *ret_port = &dgram->port;
    return 0;

unwatch:
    loop->ops->unwatch(loop->ctx, dgram->watch);
free_dgram:
    free(dgram);
    return err;
}
