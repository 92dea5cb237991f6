/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways out that NICs have, and how to open each. Daemon and tests use these, devices not.
 *
 * Descriptors were opened by the control side (daemon/opener.h); a port owns its own from success
 * on. Everything is worker side. -ENOMEM, and what is said below.
 */
#ifndef IOEMUD_DEVICES_BACKEND_NETS_H
#define IOEMUD_DEVICES_BACKEND_NETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/net_ops.h"

/* null: takes everything, gives nothing. */
int net_null_open(const struct loop *loop, struct net_port **ret_port);

/*
 * tap: a descriptor of a tap or macvtap interface (linux/if_tun.h), without IFF_NO_PI's header, and
 * with a struct virtio_net_hdr of NET_TAP_HEADER bytes before each packet where `header` says so.
 * Large packets come in and go out whole then, where the kernel can: several packets a wake-up, a
 * system call a packet, one copy between kernel and guest besides ours.
 * An interface that is deleted takes its carrier along.
 */
#define NET_TAP_HEADER 10 /* virtio 1.1, 5.1.6: without num_buffers, as tap's default */
int net_tap_open(int fd, bool header, const struct loop *loop, struct net_port **ret_port);

/*
 * dgram: unix datagrams, a frame each.
 *
 * Where the peer comes and goes, `fd` is bound, and connected when there is a packet and no peer:
 * to the path `peer`, or, when that is "", by `dial`. That returns 0; -EINPROGRESS:
 * net_dgram_dialled() follows, and until then the packet waits; or any other error: it is lost. It
 * is not asked again for NET_DGRAM_AGAIN_NS then, whatever came of it, and what there is to be sent
 * without a peer meanwhile is lost as well. A packet is what asks: there is no timer.
 *
 * `ended` is told, once, from the loop, when the carrier has gone for good. May be NULL.
 */
#define NET_DGRAM_AGAIN_NS UINT64_C(100000000)
struct net_dgram_options {
    int fd;
    int keep_fd; /* held open along with it (VDE's control connection: when it hangs up, the switch
                    is gone); -1: none */
    bool connection;  /* `fd` is a connection (SOCK_SEQPACKET): its end is the carrier's */
    const char *peer; /* need not exist yet. "" without `dial`: `fd` is connected */
    int (*dial)(void *ctx);
    void (*ended)(void *ctx);
    void *ctx;
};
/* -ENAMETOOLONG: `peer`. */
int net_dgram_open(const struct net_dgram_options *options, const struct loop *loop,
                   struct net_port **ret_port);
/* What came of `dial`; it may not be waited for any more. From the loop. */
void net_dgram_dialled(struct net_port *port, bool connected);

/*
 * stream: a unix stream, each frame after its length (32 bits, big-endian: as QEMU's stream and
 * socket backends have it). `fd` is connected, or, with `listener`, a listening socket: one peer at
 * a time, the next waits until the first has left. Without a peer there is no carrier.
 */
int net_stream_open(int fd, bool listener, const struct loop *loop, struct net_port **ret_port);

/*
 * user: a network of its own in user space (libslirp): 10.0.2.0/24, the router and host at .2, DNS
 * at .3, DHCP from .15 on, fec0::/64 beside it. Connections of the guest become the daemon's own;
 * what is forwarded the other way is listed. Needs no privileges, except for ports below 1024.
 *
 * libslirp's timers and descriptors are the loop's; a NIC without connections wakes nobody.
 */
#define NET_USER_FORWARDS 16
struct net_user_forward {
    bool udp;
    uint32_t host_address; /* IPv4, host order; 0: all */
    uint16_t host_port, guest_port;
};
struct net_user_options {
    bool restricted; /* no way out, only what is forwarded, DHCP and DNS */
    unsigned n_forwards;
    struct net_user_forward forward[NET_USER_FORWARDS];
    const char *tftp_root; /* "": none. A directory whose files the guest may fetch */
    const char *bootfile;  /* "": none. The name that DHCP offers */
};
/* -EADDRINUSE: a forward's port cannot be had, `ret_forward` says which. */
int net_user_open(const struct net_user_options *options, const struct loop *loop,
                  struct net_port **ret_port, unsigned *ret_forward);

#endif
