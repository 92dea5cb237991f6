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
 * dgram: unix datagrams, a frame each. `fd` is bound; `peer` is the path that packets go to, which
 * need not exist yet; "": `fd` is connected. `keep_fd`, or -1, is held open along with it (VDE's
 * control connection: when it hangs up, the switch is gone).
 * -ENAMETOOLONG: `peer`.
 */
int net_dgram_open(int fd, const char *peer, int keep_fd, const struct loop *loop,
                   struct net_port **ret_port);

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
