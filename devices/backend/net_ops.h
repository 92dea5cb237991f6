/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network, the implementors' half: what a backend provides and what net.c gives it.
 *
 * Life of a NIC's way out:
 *   a backend's open (net_tap_open(), ... in nets.h) makes a struct net_port on its worker;
 *   net_open() makes the model's handle of it; the model binds, sends and receives;
 *   net_close(), after the model is gone, closes the port. Nothing is in flight: who sends has
 *   copied before he returns.
 *
 * A port starts out silent: it reads when set_reading() has said so.
 */
#ifndef IOEMUD_DEVICES_BACKEND_NET_OPS_H
#define IOEMUD_DEVICES_BACKEND_NET_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/loop.h"
#include "devices/backend/net.h"

struct capture; /* devices/backend/capture.h */
struct net_port;

enum net_sent {
    NET_SENT,
    NET_BUSY, /* nothing happened; net_port_writable() follows */
    NET_LOST, /* this packet cannot be sent at all, now or later; counted */
};

/* What a port does to packets by itself; the rest is done before it gets them. */
#define NET_CAN_CSUM 0x1u
#define NET_CAN_TCP4 0x2u /* each of these implies NET_CAN_CSUM */
#define NET_CAN_TCP6 0x4u
#define NET_CAN_UDP  0x8u

struct net_backend_ops {
    const char *name;
    /* One packet, within `caps` and max_frame. Never calls back inline: neither
     * net_port_receive() nor net_port_writable(). */
    enum net_sent (*send)(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                          const struct net_offload *offload);
    /* The turn's last packet has been sent: a backend that gathers sends now. May be NULL. */
    void (*flush)(struct net_port *port);
    /* Whether it may read and call net_port_receive(). From within net_port_receive(), too. */
    void (*set_reading)(struct net_port *port, bool on);
    /* Throws away what waits to be read, within bounds. May be NULL. */
    void (*discard)(struct net_port *port);
    /* The guest's cable was plugged or pulled: what the other end can see of it. May be NULL. */
    void (*set_link)(struct net_port *port, bool up);
    void (*close)(struct net_port *port);
};

/* Embedded first in the backend's own struct. */
struct net_port {
    const struct net_backend_ops *ops;
    const struct loop *loop;
    unsigned caps;      /* NET_CAN_... */
    uint32_t max_frame; /* longest frame without GSO that it sends; at most NET_FRAME_MAX */
    bool no_carrier;    /* the medium's, as far as the backend knows */
    struct net *net;    /* net.c's */
};

/* Room for one packet of NET_PACKET_MAX bytes to read into: what net_port_receive() keeps need not
 * be copied then. Valid, and undefined in content, until the next call of either. */
uint8_t *net_port_buffer(struct net_port *port);
/* A packet has come; it may have `csum_needed` and `gso` set. False: the backend is to stop reading
 * now, and set_reading() has told it so; the packet has been taken all the same. */
bool net_port_receive(struct net_port *port, const uint8_t *packet, uint32_t bytes,
                      const struct net_offload *offload);
/* No more packets for now, or the budget is used up: ends the batch. */
void net_port_received(struct net_port *port);
/* send() had said NET_BUSY and is worth another try. */
void net_port_writable(struct net_port *port);
void net_port_carrier(struct net_port *port, bool on);

struct net_limits {
    /* Bytes a second, 0: no limit; a burst is what may be sent at once after silence (at least
     * one packet always may). */
    uint64_t tx_rate, tx_burst; /* what the guest sends */
    uint64_t rx_rate, rx_burst; /* what it receives */
};

/* The model's handle. Takes the port over; -ENOMEM leaves it with the caller, who undoes the open
 * with port->ops->close(port). The link is up at first. */
int net_open(struct net_port *port, struct net **ret_net);
/* After the model has taken its leave. NULL is fine. */
void net_close(struct net *net);

/* The administrator's. */
void net_set_link(struct net *net, bool up);
void net_set_limits(struct net *net, const struct net_limits *limits);
/* From now on every packet goes into the capture, too, as the guest and the medium see them: what
 * is cut here is captured whole. Takes it over and closes the one before; NULL: no more. */
void net_set_capture(struct net *net, struct capture *capture);
const struct capture *net_capture(const struct net *net); /* NULL: none */

#endif
