/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libslirp between a NIC and the loop.
 *
 * libslirp wants to be asked for its descriptors before each poll(2). Here they are watched
 * instead: after each turn in which anything happened (`task`) those that were ready are reported,
 * and the watches brought in line with what it wants then. When nothing happens nothing is called.
 *
 * It hands out packets from within its functions, also from slirp_input(), that is while the guest
 * sends. So they are queued and reach the model from the loop. While the queue is half full its
 * sockets are not looked at: what they have to say waits in the kernel.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/backend/nets.h"

#define MTU         1500u
#define FRAME_BYTES (MTU + NET_ETH_BYTES + NET_VLAN_BYTES)
#define QUEUE       128u /* frames, a power of two */
#define DESCRIPTORS 512u /* watched at most; connections beyond that wait */
#define MS_NS       1000000u
#define NO_TIMEOUT  UINT32_MAX
#define DHCP_START  15

struct queued {
    uint32_t bytes;
    uint8_t frame[FRAME_BYTES];
};

struct watched {
    struct user *user;
    int fd;                 /* -1: free */
    unsigned wanted, ready; /* SLIRP_POLL_... */
    bool kept;              /* asked for again in this round */
    struct loop_watch *watch;
};

struct user_timer {
    struct loop_timer timer;
    struct user *user;
    SlirpTimerCb expire;
    void *arg;
};

struct user {
    struct net_port port; /* first */
    Slirp *slirp;
    unsigned n_forwards; /* sockets that listen */
    bool reading;
    bool pending; /* it has to be told of something, or asked for its descriptors */
    struct loop_task task;
    struct loop_timer timer; /* what slirp_pollfds_fill() asked for */
    uint32_t head, tail;     /* free-running: queued at head, delivered from tail */
    struct watched watched[DESCRIPTORS];
    struct queued queue[QUEUE];
};

static void wake(struct user *user)
{
    user->pending = true;
    user->port.loop->ops->defer(user->port.loop->ctx, &user->task);
}

static uint32_t queued(const struct user *user)
{
    return user->head - user->tail;
}

/* ---- what libslirp calls --------------------------------------------------------------------- */

static ssize_t on_packet(const void *packet, size_t bytes, void *opaque)
{
    struct user *user = opaque;
    struct queued *slot = &user->queue[user->head % QUEUE];

    /* TCP sends again, and what else comes here may get lost. */
    if (bytes > FRAME_BYTES || queued(user) == QUEUE)
        return (ssize_t)bytes;
    slot->bytes = (uint32_t)bytes;
    memcpy(slot->frame, packet, bytes);
    user->head++;
    user->port.loop->ops->defer(user->port.loop->ctx, &user->task);
    return (ssize_t)bytes;
}

static void on_guest_error(const char *message, void *opaque)
{
}

/* libslirp has more to say of what guests send, by way of GLib, which writes it to standard error,
 * a line or two for a packet ("external icmpv6 not supported yet"): without a limit, and waiting
 * for whoever reads there. What is left is why the program ends. */
static void on_library_message(const char *domain, int level, const char *message, void *ctx)
{
    const int fatal = 1 << 1; /* G_LOG_FLAG_FATAL */

    if (level & fatal)
        fprintf(stderr, "%s: %s\n", domain, message);
}

/* Of the whole process, and once is enough. Found by name, since GLib is libslirp's, not ours. */
static void silence_library(void)
{
    typedef void (*handler)(const char *domain, int level, const char *message, void *ctx);
    handler (*set)(handler of_all, void *ctx);

    *(void **)&set = dlsym(RTLD_DEFAULT, "g_log_set_default_handler");
    if (set)
        set(on_library_message, NULL);
}

static int64_t clock_ns(void *opaque)
{
    struct user *user = opaque;

    return (int64_t)user->port.loop->ops->now_ns(user->port.loop->ctx);
}

static void expire_timer(void *arg)
{
    struct user_timer *timer = arg;

    timer->expire(timer->arg);
    wake(timer->user);
}

static void *timer_new(SlirpTimerCb expire, void *arg, void *opaque)
{
    struct user_timer *timer = calloc(1, sizeof(*timer));

    if (!timer)
        abort(); /* as libslirp itself does when there is no memory; at opening only */
    *timer = (struct user_timer){.timer = {.expire = expire_timer, .arg = timer},
                                 .user = opaque,
                                 .expire = expire,
                                 .arg = arg};
    return timer;
}

static void timer_free(void *arg, void *opaque)
{
    struct user_timer *timer = arg;
    const struct loop *loop = timer->user->port.loop;

    loop->ops->disarm(loop->ctx, &timer->timer);
    free(timer);
}

static void timer_mod(void *arg, int64_t expire_ms, void *opaque)
{
    struct user_timer *timer = arg;
    const struct loop *loop = timer->user->port.loop;

    loop->ops->arm(loop->ctx, &timer->timer, expire_ms > 0 ? (uint64_t)expire_ms * MS_NS : 1);
}

static void unwatch(struct watched *watched)
{
    const struct loop *loop = watched->user->port.loop;

    loop->ops->unwatch(loop->ctx, watched->watch);
    watched->watch = NULL;
    watched->fd = -1;
    watched->ready = 0;
}

static void register_fd(int fd, void *opaque)
{
    wake(opaque);
}

/* It is about to be closed, and its number may be another's next. */
static void unregister_fd(int fd, void *opaque)
{
    struct user *user = opaque;

    for (unsigned i = 0; i < DESCRIPTORS; i++)
        if (user->watched[i].fd == fd)
            unwatch(&user->watched[i]);
}

static void notify(void *opaque)
{
    wake(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = on_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = clock_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = register_fd,
    .unregister_poll_fd = unregister_fd,
    .notify = notify,
};

/* ---- its descriptors ------------------------------------------------------------------------- */

static void on_ready(void *arg, unsigned events)
{
    struct watched *watched = arg;

    if (events & LOOP_READ)
        watched->ready |= watched->wanted & (SLIRP_POLL_IN | SLIRP_POLL_PRI);
    if (events & LOOP_WRITE)
        watched->ready |= watched->wanted & SLIRP_POLL_OUT;
    /* An error is both; what it is, libslirp learns from the descriptor. */
    if (!watched->ready)
        watched->ready = SLIRP_POLL_ERR;
    wake(watched->user);
}

static unsigned loop_events(unsigned wanted)
{
    return (wanted & (SLIRP_POLL_IN | SLIRP_POLL_PRI | SLIRP_POLL_HUP) ? LOOP_READ : 0) |
           (wanted & SLIRP_POLL_OUT ? LOOP_WRITE : 0);
}

static struct watched *find(struct user *user, int fd)
{
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        if (user->watched[i].fd == fd)
            return &user->watched[i];
    return NULL;
}

static int want_fd(int fd, int events, void *opaque)
{
    struct user *user = opaque;
    const struct loop *loop = user->port.loop;
    struct watched *watched = find(user, fd);

    if (!watched) {
        watched = find(user, -1);
        if (!watched || loop->ops->watch(loop->ctx, fd, 0, on_ready, watched, &watched->watch))
            return -1;
        watched->fd = fd;
        watched->wanted = 0;
    }
    watched->kept = true;
    if (watched->wanted != (unsigned)events)
        loop->ops->rewatch(loop->ctx, watched->watch, loop_events((unsigned)events));
    watched->wanted = (unsigned)events;
    return (int)(watched - user->watched);
}

static int is_ready(int index, void *opaque)
{
    struct user *user = opaque;

    return index >= 0 ? (int)user->watched[index].ready : 0;
}

static void ask_for_descriptors(struct user *user)
{
    const struct loop *loop = user->port.loop;
    uint32_t timeout_ms = NO_TIMEOUT;
    unsigned kept = 0;

    for (unsigned i = 0; i < DESCRIPTORS; i++)
        user->watched[i].kept = false;
    slirp_pollfds_fill(user->slirp, &timeout_ms, want_fd, user);
    for (unsigned i = 0; i < DESCRIPTORS; i++) {
        struct watched *watched = &user->watched[i];

        watched->ready = 0;
        kept += watched->kept;
        if (watched->fd >= 0 && !watched->kept)
            unwatch(watched);
    }
    /* It asks for its slow timer as soon as it listens anywhere. That runs out connections and
     * fragments: without a connection it can wait until something happens. */
    if (timeout_ms == NO_TIMEOUT || kept <= user->n_forwards)
        loop->ops->disarm(loop->ctx, &user->timer);
    else
        loop->ops->arm(loop->ctx, &user->timer,
                       loop->ops->now_ns(loop->ctx) + (uint64_t)timeout_ms * MS_NS);
}

/* The model takes nothing now: the sockets wait. */
static void leave_descriptors(struct user *user)
{
    for (unsigned i = 0; i < DESCRIPTORS; i++) {
        struct watched *watched = &user->watched[i];

        if (watched->fd >= 0)
            user->port.loop->ops->rewatch(user->port.loop->ctx, watched->watch, 0);
        watched->wanted = 0;
    }
}

/* ---- the port -------------------------------------------------------------------------------- */

static void deliver(struct user *user)
{
    for (unsigned i = 0; i < NET_BUDGET && user->reading && queued(user); i++) {
        const struct queued *slot = &user->queue[user->tail % QUEUE];

        user->tail++;
        net_port_receive(&user->port, slot->frame, slot->bytes, NULL);
    }
    net_port_received(&user->port);
    if (user->reading && queued(user))
        user->port.loop->ops->defer(user->port.loop->ctx, &user->task);
}

static void run_task(void *arg)
{
    struct user *user = arg;

    deliver(user);
    if (queued(user) >= QUEUE / 2) {
        leave_descriptors(user);
        user->pending = true; /* looked after when the queue is shorter */
        return;
    }
    if (!user->pending)
        return;
    user->pending = false;
    slirp_pollfds_poll(user->slirp, 0, is_ready, user);
    ask_for_descriptors(user);
}

static void run_timer(void *arg)
{
    wake(arg);
}

/* libslirp takes one piece. */
static enum net_sent user_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    struct user *user = (struct user *)port;
    uint8_t frame[FRAME_BYTES];
    uint32_t at = 0;

    for (unsigned i = 0; i < n_iov; i++) {
        memcpy(frame + at, iov[i].iov_base, iov[i].iov_len); /* within max_frame */
        at += (uint32_t)iov[i].iov_len;
    }
    slirp_input(user->slirp, frame, (int)at);
    wake(user);
    return NET_SENT;
}

static void user_set_reading(struct net_port *port, bool on)
{
    struct user *user = (struct user *)port;

    user->reading = on;
    if (on && queued(user))
        port->loop->ops->defer(port->loop->ctx, &user->task);
}

static void user_discard(struct net_port *port)
{
    struct user *user = (struct user *)port;

    user->tail = user->head;
    if (user->pending)
        wake(user);
}

static void user_close(struct net_port *port)
{
    struct user *user = (struct user *)port;
    const struct loop *loop = port->loop;

    if (user->slirp)
        slirp_cleanup(user->slirp);
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        if (user->watched[i].fd >= 0)
            unwatch(&user->watched[i]);
    loop->ops->undefer(loop->ctx, &user->task);
    loop->ops->disarm(loop->ctx, &user->timer);
    free(user);
}

static const struct net_backend_ops user_ops = {
    .name = "user",
    .send = user_send,
    .set_reading = user_set_reading,
    .discard = user_discard,
    .close = user_close,
};

static struct in_addr address(uint32_t host)
{
    return (struct in_addr){.s_addr = htonl(host)};
}

static int start(struct user *user, const struct net_user_options *options, unsigned *ret_forward)
{
    const uint32_t net = 0x0a000200; /* 10.0.2.0 */
    SlirpConfig config = {
        .version = 1,
        .restricted = options->restricted,
        .in_enabled = true,
        .vnetwork = address(net),
        .vnetmask = address(0xffffff00),
        .vhost = address(net + 2),
        .vnameserver = address(net + 3),
        .vdhcp_start = address(net + DHCP_START),
        .in6_enabled = true,
        .vprefix_len = 64,
        .tftp_path = *options->tftp_root ? options->tftp_root : NULL,
        .bootfile = *options->bootfile ? options->bootfile : NULL,
        .if_mtu = MTU,
        .if_mru = MTU,
    };

    inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &config.vhost6);
    inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
    silence_library();
    user->slirp = slirp_new(&config, &callbacks, user);
    if (!user->slirp)
        return -EINVAL;
    for (unsigned i = 0; i < options->n_forwards; i++) {
        const struct net_user_forward *forward = &options->forward[i];

        *ret_forward = i;
        if (slirp_add_hostfwd(user->slirp, forward->udp, address(forward->host_address),
                              forward->host_port, address(net + DHCP_START),
                              forward->guest_port) < 0)
            return -EADDRINUSE;
        user->n_forwards++;
    }
    return 0;
}

int net_user_open(const struct net_user_options *options, const struct loop *loop,
                  struct net_port **ret_port, unsigned *ret_forward)
{
    struct user *user = calloc(1, sizeof(*user));
    int err;

    assert(options->n_forwards <= NET_USER_FORWARDS);
    if (!user)
        return -ENOMEM;
    user->port = (struct net_port){.ops = &user_ops, .loop = loop, .max_frame = FRAME_BYTES};
    user->task = (struct loop_task){.run = run_task, .arg = user};
    user->timer = (struct loop_timer){.expire = run_timer, .arg = user};
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        user->watched[i] = (struct watched){.user = user, .fd = -1};
    err = start(user, options, ret_forward);
    if (err) {
        user_close(&user->port);
        return err;
    }
    wake(user);
    *ret_port = &user->port;
    return 0;
}
