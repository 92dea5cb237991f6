/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What net.c and net_send.c share. */
#ifndef IOEMUD_DEVICES_BACKEND_NET_INTERNAL_H
#define IOEMUD_DEVICES_BACKEND_NET_INTERNAL_H

#include "devices/backend/net_ops.h"
#include "devices/net/segment.h"

struct capture;

/* A token bucket: `tokens` may go below zero by one packet, and then nothing goes until they are
 * above it again. */
struct net_bucket {
    uint64_t rate, burst; /* rate 0: no limit */
    int64_t tokens;
    uint64_t filled_ns;
};

void net_bucket_init(struct net_bucket *bucket, uint64_t rate, uint64_t burst, uint64_t now_ns);
/* 0: a packet may go now; else when to ask again. */
uint64_t net_bucket_wait(struct net_bucket *bucket, uint64_t now_ns);
void net_bucket_take(struct net_bucket *bucket, uint32_t bytes);

/* A packet on its way out that was taken from the model and has not left yet. */
struct net_outgoing {
    bool active;
    bool looped;          /* net_loop() */
    bool cut;             /* segments are made of `packet`; else it is one frame, in `frame` */
    uint32_t frame_bytes; /* != 0: `frame` is ready and has not been taken by the backend */
    struct segmenter segmenter;
};

/* A packet that came in and that the model has not got, or not all of, yet. */
struct net_incoming {
    bool active;
    bool cut;
    uint32_t frame_bytes; /* != 0: this frame is to be offered again */
    const uint8_t *frame;
    struct net_offload offload;
    struct segmenter segmenter;
};

struct net {
    struct net_port *port;
    const struct loop *loop;
    const struct net_client_ops *client;
    void *owner;
    struct net_counters counters;
    struct capture *capture;

    bool admin_up, link; /* the administrator's, and as the model was told last */
    bool enabled;        /* the receiver's switch */
    bool no_room;        /* the model said so */
    bool limited;        /* the rate limit keeps the reader off */
    bool reading;        /* as the port was told last */
    bool any_received;   /* in this batch */

    bool port_busy;          /* send() said so */
    bool want_writable;      /* net_send() said false */
    bool sending;            /* inside the port's send(): it may not call back */
    bool sent_any;           /* since the last flush */
    unsigned sent, received; /* in this turn */

    struct net_bucket tx_bucket, rx_bucket;
    struct loop_timer tx_timer, rx_timer;
    struct loop_task turn_task; /* the end of a turn in which something was sent or received */

    struct net_outgoing out;
    struct net_incoming in;
    uint8_t tx_packet[NET_PACKET_MAX], tx_frame[NET_FRAME_MAX];
    uint8_t rx_packet[NET_PACKET_MAX], rx_frame[NET_FRAME_MAX];
};

/* net.c. */
void net_turn_begins(struct net *net);
/* One complete frame for the model, whoever sent it. */
enum net_answer net_offer(struct net *net, const uint8_t *frame, uint32_t bytes,
                          const struct net_offload *offload);
void net_end_batch(struct net *net);

/* net_send.c. Goes on with what was begun; then tells the model, if it waits. From the loop. */
void net_resume_sending(struct net *net);
void net_drop_outgoing(struct net *net);

#endif
