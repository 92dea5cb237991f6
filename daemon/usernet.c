/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames between a connection and libslirp. */
#include "daemon/usernet.h"

#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/evloop.h"

struct usernet {
    const struct log *log;
    int fd;
    struct ev_loop *ev;
    struct evloop evloop;
    struct nic_config nic;
    struct net *net; /* we are the NIC */
    struct loop_watch *watch;
    bool waits_for_net;  /* the network takes nothing now: the connection is not read */
    bool waits_for_room; /* in the connection */
    uint32_t kept;       /* bytes in `frame` that the network has not taken */
    /* A byte more than any frame has: of a longer one so much comes, and the network drops it. */
    uint8_t frame[NET_FRAME_MAX + 1];
};

static void rewatch(struct usernet *usernet)
{
    const struct loop *loop = &usernet->evloop.loop;

    loop->ops->rewatch(loop->ctx, usernet->watch,
                       (usernet->waits_for_net ? 0 : LOOP_READ) |
                           (usernet->waits_for_room ? LOOP_WRITE : 0));
}

static void end(struct usernet *usernet)
{
    ev_break(usernet->ev, EVBREAK_ALL);
}

/* ---- from the guest -------------------------------------------------------------------------- */

/* Bytes of the next frame; 0: there is none yet, or the connection has ended. */
static uint32_t next_frame(struct usernet *usernet)
{
    ssize_t n = recv(usernet->fd, usernet->frame, sizeof(usernet->frame), MSG_DONTWAIT);

    if (n > 0)
        return (uint32_t)n;
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        end(usernet);
    return 0;
}

static void take_frames(struct usernet *usernet)
{
    for (unsigned i = 0; i < NET_BUDGET; i++) {
        struct iovec iov = {usernet->frame, usernet->kept};

        if (!usernet->kept)
            usernet->kept = next_frame(usernet);
        if (!usernet->kept)
            break;
        iov.iov_len = usernet->kept;
        if (!net_send(usernet->net, &iov, 1, NULL)) {
            usernet->waits_for_net = true;
            break;
        }
        usernet->kept = 0;
    }
    rewatch(usernet);
}

static void net_writable(void *owner)
{
    struct usernet *usernet = owner;

    usernet->waits_for_net = false;
    take_frames(usernet);
}

/* ---- to the guest ---------------------------------------------------------------------------- */

static enum net_answer net_receive(void *owner, const uint8_t *frame, uint32_t bytes,
                                   const struct net_offload *offload)
{
    struct usernet *usernet = owner;

    if (send(usernet->fd, frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return NET_TAKEN;
    if (errno == EAGAIN || errno == EINTR) {
        usernet->waits_for_room = true;
        rewatch(usernet);
        return NET_NO_ROOM;
    }
    if (errno != ENOBUFS && errno != ENOMEM)
        end(usernet);
    return NET_FILTERED;
}

static void net_link_changed(void *owner, bool up)
{
}

static void on_events(void *arg, unsigned events)
{
    struct usernet *usernet = arg;

    if (events & LOOP_WRITE && usernet->waits_for_room) {
        usernet->waits_for_room = false;
        rewatch(usernet);
        net_receive_ready(usernet->net);
    }
    if (events & LOOP_READ && !usernet->waits_for_net)
        take_frames(usernet);
}

static const struct net_client_ops client = {
    .receive = net_receive, .writable = net_writable, .link = net_link_changed};

/* ---- the beginning --------------------------------------------------------------------------- */

/* Who has one of the ports may be this NIC's former network, which ends at this moment: its guest
 * has been started again, or its worker has. */
static int open_port(struct usernet *usernet, const struct net_user_options *options,
                     struct net_port **ret_port, unsigned *ret_forward)
{
    int err = -EADDRINUSE;

    for (unsigned ms = 0; err == -EADDRINUSE && ms <= USERNET_PORT_MS; ms += 50) {
        if (ms)
            usleep(50000);
        err = net_user_open(options, &usernet->evloop.loop, ret_port, ret_forward);
    }
    return err;
}

static int open_network(struct usernet *usernet, char *why)
{
    struct net_user_options options;
    struct net_port *port;
    unsigned forward = 0;
    int err;

    usernet_options(&usernet->nic, &options);
    if (*options.tftp_root && access(options.tftp_root, R_OK | X_OK)) {
        err = -errno;
        snprintf(why, USERNET_WHY_SIZE,
                 "\"tftp\" %.300s: %s (as ioemud-usernet sees it, which is a user of its own)",
                 options.tftp_root, strerror(-err));
        return err;
    }
    err = open_port(usernet, &options, &port, &forward);
    if (err == -EADDRINUSE) {
        snprintf(why, USERNET_WHY_SIZE, "port %u of the host cannot be forwarded: it is in use",
                 options.forward[forward].host_port);
        return err;
    }
    if (!err) {
        err = net_open(port, &usernet->net);
        if (err)
            port->ops->close(port);
    }
    if (err) {
        snprintf(why, USERNET_WHY_SIZE, "%s", strerror(-err));
        return err;
    }
    net_bind(usernet->net, &client, usernet);
    return 0;
}

/* False: it is no connection of ours, or nothing has come. */
static bool await_first(int fd, char **ret_text, size_t *ret_length)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    char *text = malloc(USERNET_FIRST_MAX + 1);
    ssize_t n = -1;

    if (text && poll(&readable, 1, USERNET_FIRST_MS) == 1)
        n = recv(fd, text, USERNET_FIRST_MAX + 1, MSG_DONTWAIT);
    if (n <= 0) {
        free(text);
        return false;
    }
    *ret_text = text;
    *ret_length = (size_t)n;
    return true;
}

static int begin(struct usernet *usernet, char *why)
{
    size_t length;
    char *text;
    int err;

    if (!await_first(usernet->fd, &text, &length)) {
        snprintf(why, USERNET_WHY_SIZE, "no network was asked for");
        return -EPROTO;
    }
    err = usernet_read_first(text, length, &usernet->nic, why);
    free(text);
    return err ? err : open_network(usernet, why);
}

static bool is_connection(int fd)
{
    int type = 0, listens = 1, domain = 0;
    socklen_t size = sizeof(int);

    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET &&
           !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_UNIX &&
           !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) && !listens;
}

static bool answer(struct usernet *usernet, const char *why)
{
    char text[USERNET_ANSWER_MAX];
    size_t length = usernet_write_answer(why, text);

    return send(usernet->fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

static void run(struct usernet *usernet)
{
    const struct loop *loop = &usernet->evloop.loop;

    if (loop->ops->watch(loop->ctx, usernet->fd, LOOP_READ, on_events, usernet, &usernet->watch))
        return;
    net_receive_enable(usernet->net, true);
    ev_ref(usernet->ev); /* whatever is watched: only a break ends it */
    ev_run(usernet->ev, 0);
    loop->ops->unwatch(loop->ctx, usernet->watch);
}

int usernet_serve(int fd, const struct log *log)
{
    struct usernet *usernet = calloc(1, sizeof(*usernet));
    char why[USERNET_WHY_SIZE] = "";
    int err = -ENOMEM;

    if (!is_connection(fd)) {
        log_write(log, LOG_ERR, NULL,
                  "event=no-connection fd=%d hint=\"a socket unit with ListenSequentialPacket= and "
                  "Accept=yes\"",
                  fd);
        free(usernet);
        close(fd);
        return EXIT_FAILURE;
    }
    if (usernet) {
        *usernet = (struct usernet){.log = log, .fd = fd};
        usernet->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    }
    if (usernet && usernet->ev) {
        evloop_init(&usernet->evloop, usernet->ev);
        err = begin(usernet, why);
        if (answer(usernet, err ? why : NULL) && !err)
            run(usernet);
        net_close(usernet->net);
        nic_config_finish(&usernet->nic);
        evloop_finish(&usernet->evloop);
    }
    if (err)
        log_write(log, LOG_WARNING, NULL, "event=refused why=\"%s\"", *why ? why : strerror(-err));
    if (usernet && usernet->ev)
        ev_loop_destroy(usernet->ev);
    free(usernet);
    close(fd);
    return EXIT_SUCCESS;
}
