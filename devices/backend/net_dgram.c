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
    struct sockaddr_un peer; /* sun_path "": `fd` came connected */
    struct loop_watch *watch, *keep_watch;
};

static void rewatch(struct dgram *dgram)
{
    unsigned events = (dgram->reading ? LOOP_READ : 0) | (dgram->blocked ? LOOP_WRITE : 0);

    dgram->port.loop->ops->rewatch(dgram->port.loop->ctx, dgram->watch, events);
}

/* A peer's socket is a new one each time it starts. A connected socket knows when its peer has
 * room; connecting one of this kind never waits. */
static bool reconnect(struct dgram *dgram)
{
    if (!dgram->peer.sun_path[0])
        return dgram->connected;
    dgram->connected =
        !connect(dgram->fd, (const struct sockaddr *)&dgram->peer, sizeof(dgram->peer));
    return dgram->connected;
}

static enum net_sent dgram_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                                const struct net_offload *offload)
{
    struct dgram *dgram = (struct dgram *)port;
    const struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n_iov};

    for (unsigned tries = 0; tries < 2; tries++) {
        if (!dgram->connected && !reconnect(dgram))
            return NET_LOST;
        if (sendmsg(dgram->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return NET_SENT;
        if (errno == EAGAIN || errno == EINTR) {
            dgram->blocked = true;
            rewatch(dgram);
            return NET_BUSY;
        }
        if (errno != ECONNREFUSED && errno != ENOTCONN && errno != ECONNRESET)
            return NET_LOST;
        if (!dgram->peer.sun_path[0])
            return NET_LOST;
        dgram->connected = false;
    }
    return NET_LOST;
}

static void take_packets(struct dgram *dgram)
{
    for (unsigned i = 0; i < NET_BUDGET; i++) {
        uint8_t *buffer = net_port_buffer(&dgram->port);
        ssize_t n = recv(dgram->fd, buffer, NET_PACKET_MAX, MSG_DONTWAIT);

        /* Errors are a peer's that has gone; reading them clears them. */
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
    net_port_carrier(&dgram->port, false);
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

    for (unsigned i = 0; i < DISCARD_MAX && recv(dgram->fd, some, sizeof(some), MSG_DONTWAIT) >= 0;
         i++)
        ;
}

static void dgram_close(struct net_port *port)
{
    struct dgram *dgram = (struct dgram *)port;

    port->loop->ops->unwatch(port->loop->ctx, dgram->watch);
    port->loop->ops->unwatch(port->loop->ctx, dgram->keep_watch);
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

int net_dgram_open(int fd, const char *peer, int keep_fd, const struct loop *loop,
                   struct net_port **ret_port)
{
    struct dgram *dgram;
    int err;

    if (strlen(peer) >= sizeof(dgram->peer.sun_path))
        return -ENAMETOOLONG;
    dgram = calloc(1, sizeof(*dgram));
    if (!dgram)
        return -ENOMEM;
    dgram->port = (struct net_port){.ops = &dgram_ops, .loop = loop, .max_frame = NET_FRAME_MAX};
    dgram->peer.sun_family = AF_UNIX;
    memcpy(dgram->peer.sun_path, peer, strlen(peer) + 1);
    dgram->connected = !*peer;
    dgram->fd = fd;
    dgram->keep_fd = keep_fd;
    err = loop->ops->watch(loop->ctx, fd, 0, on_events, dgram, &dgram->watch);
    if (err)
        goto free_dgram;
    if (keep_fd >= 0)
        err = loop->ops->watch(loop->ctx, keep_fd, LOOP_READ, on_keep, dgram, &dgram->keep_watch);
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
