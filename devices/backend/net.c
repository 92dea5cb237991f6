/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the backend to the model, and what belongs to both directions: link, limits, turns.
 *
 * The backend reads while all of this holds: a model is bound, its receiver is on, the link is up,
 * nothing is held for it, and the rate limit has tokens. A packet that the model has no room for,
 * or whose segments go beyond the turn's budget, is held in `rx_packet`.
 */
#include "devices/backend/net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/capture.h"
#include "devices/backend/net_internal.h"
#include "devices/net/checksum.h"

static uint64_t now(const struct net *net)
{
    return net->loop->ops->now_ns(net->loop->ctx);
}

/* ---- rate limits ----------------------------------------------------------------------------- */

#define SECOND_NS 1000000000u

void net_bucket_init(struct net_bucket *bucket, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
    uint64_t most = INT64_MAX / 4;

    *bucket = (struct net_bucket){
        .rate = rate < most ? rate : most,
        .burst = burst < most ? burst : most,
        .filled_ns = now_ns,
    };
    bucket->tokens = (int64_t)bucket->burst;
}

uint64_t net_bucket_wait(struct net_bucket *bucket, uint64_t now_ns)
{
    unsigned __int128 earned;
    uint64_t room;

    if (!bucket->rate)
        return 0;
    room = bucket->burst - (uint64_t)bucket->tokens; /* tokens <= burst, may be negative */
    earned = (unsigned __int128)bucket->rate * (now_ns - bucket->filled_ns) / SECOND_NS;
    if (earned >= room) {
        bucket->tokens = (int64_t)bucket->burst;
        bucket->filled_ns = now_ns;
    } else if (earned) {
        bucket->tokens += (int64_t)earned;
        bucket->filled_ns += (uint64_t)(earned * SECOND_NS / bucket->rate);
    }
    if (bucket->tokens > 0 || (!bucket->burst && !bucket->tokens))
        return 0;
    return bucket->filled_ns +
           (uint64_t)(((unsigned __int128)(uint64_t)(1 - bucket->tokens) * SECOND_NS +
                       bucket->rate - 1) /
                      bucket->rate);
}

void net_bucket_take(struct net_bucket *bucket, uint32_t bytes)
{
    if (bucket->rate)
        bucket->tokens -= bytes;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static bool may_read(const struct net *net)
{
    return net->client && net->enabled && net->link && !net->in.active && !net->no_room &&
           !net->limited;
}

static void update_reading(struct net *net)
{
    bool reading = may_read(net);

    if (reading == net->reading)
        return;
    net->reading = reading;
    net->port->ops->set_reading(net->port, reading);
}

/* What has come in while nobody listened is lost, as on a wire. */
static void forget_incoming(struct net *net)
{
    net->in.active = false;
    net->in.frame_bytes = 0;
    if (net->port->ops->discard)
        net->port->ops->discard(net->port);
}

enum net_answer net_offer(struct net *net, const uint8_t *frame, uint32_t bytes,
                          const struct net_offload *offload)
{
    enum net_answer answer;

    if (!net->client)
        return NET_FILTERED;
    answer = net->client->receive(net->owner, frame, bytes, offload);
    if (answer == NET_TAKEN) {
        net->counters.rx_packets++;
        net->counters.rx_bytes += bytes;
        net->any_received = true;
    } else if (answer == NET_FILTERED) {
        net->counters.rx_filtered++;
    }
    return answer;
}

void net_end_batch(struct net *net)
{
    if (!net->any_received)
        return;
    net->any_received = false;
    if (net->client && net->client->received)
        net->client->received(net->owner);
}

static uint32_t next_frame(struct net *net)
{
    struct net_incoming *in = &net->in;

    if (in->frame_bytes || !in->cut || !segment_more(&in->segmenter))
        return in->frame_bytes;
    in->frame = net->rx_frame;
    in->frame_bytes = segment_next(&in->segmenter, net->rx_frame);
    if (in->frame_bytes < NET_FRAME_MIN) {
        memset(net->rx_frame + in->frame_bytes, 0, NET_FRAME_MIN - in->frame_bytes);
        in->frame_bytes = NET_FRAME_MIN;
    }
    return in->frame_bytes;
}

/* Frame after frame, within the turn's budget. */
static void deliver(struct net *net)
{
    struct net_incoming *in = &net->in;

    while (in->active && net->received < NET_BUDGET) {
        uint32_t bytes = next_frame(net);

        if (!bytes) {
            in->active = false;
            break;
        }
        if (net_offer(net, in->frame, bytes, &in->offload) == NET_NO_ROOM) {
            net->no_room = in->active; /* not when it was turned off meanwhile */
            net->counters.rx_waits++;
            break;
        }
        in->frame_bytes = 0;
        net->received++;
    }
}

/* Puts the packet into net->in. False: it is none that can be received. */
static bool begin(struct net *net, const uint8_t *packet, uint32_t bytes,
                  const struct net_offload *offload)
{
    struct net_incoming *in = &net->in;
    uint32_t at = (uint32_t)offload->csum_start + offload->csum_offset;
    bool work = offload->gso || offload->csum_needed;

    if (bytes < NET_ETH_BYTES || bytes > (offload->gso ? NET_PACKET_MAX : NET_FRAME_MAX))
        return false;
    *in = (struct net_incoming){.frame = packet, .frame_bytes = bytes};
    in->offload.csum_valid = offload->csum_valid || work;
    if (work && packet != net->rx_packet)
        in->frame = memcpy(net->rx_packet, packet, bytes);
    if (offload->gso) {
        in->cut = true;
        in->frame_bytes = 0;
        if (!segment_begin(&in->segmenter, net->rx_packet, bytes, offload, NET_FRAME_MAX))
            return false;
        net->counters.rx_segmented++;
    } else if (offload->csum_needed &&
               !checksum_insert(net->rx_packet, bytes, offload->csum_start, at, bytes,
                                offload->csum_offset == CHECKSUM_UDP_OFFSET)) {
        return false;
    }
    if (!in->cut && bytes < NET_FRAME_MIN) {
        memcpy(net->rx_frame, in->frame, bytes);
        memset(net->rx_frame + bytes, 0, NET_FRAME_MIN - bytes);
        in->frame = net->rx_frame;
        in->frame_bytes = NET_FRAME_MIN;
    }
    in->active = true;
    return true;
}

static void limit_reading(struct net *net, uint32_t bytes)
{
    uint64_t wait;

    (void)net_bucket_wait(&net->rx_bucket, now(net)); /* what has been earned so far */
    net_bucket_take(&net->rx_bucket, bytes);
    wait = net_bucket_wait(&net->rx_bucket, now(net));
    if (!wait)
        return;
    net->limited = true;
    net->counters.rx_limited++;
    net->loop->ops->arm(net->loop->ctx, &net->rx_timer, wait);
}

uint8_t *net_port_buffer(struct net_port *port)
{
    return port->net->rx_packet;
}

bool net_port_receive(struct net_port *port, const uint8_t *packet, uint32_t bytes,
                      const struct net_offload *offload)
{
    static const struct net_offload plain;
    struct net *net = port->net;
    struct net_incoming *in = &net->in;

    assert(!net->sending);
    if (!may_read(net)) {
        net->counters.rx_dropped++;
        return false;
    }
    if (net->capture) {
        const struct iovec iov = {(void *)packet, bytes};
        capture_packet(net->capture, &iov, 1, bytes);
    }
    net_turn_begins(net);
    if (!begin(net, packet, bytes, offload ? offload : &plain)) {
        net->counters.rx_dropped++;
        return true;
    }
    if (net->rx_bucket.rate)
        limit_reading(net, bytes);
    deliver(net);
    if (in->active && in->frame == packet && packet != net->rx_packet)
        in->frame = memcpy(net->rx_packet, packet, bytes);
    update_reading(net);
    return net->reading;
}

void net_port_received(struct net_port *port)
{
    net_end_batch(port->net);
}

void net_port_writable(struct net_port *port)
{
    struct net *net = port->net;

    assert(!net->sending);
    net->port_busy = false;
    net_resume_sending(net);
}

/* ---- turns ----------------------------------------------------------------------------------- */

void net_turn_begins(struct net *net)
{
    net->loop->ops->defer(net->loop->ctx, &net->turn_task);
}

static void resume_receiving(struct net *net)
{
    if (net->in.active && !net->no_room && !net->limited) {
        net_turn_begins(net);
        deliver(net);
        net_end_batch(net);
    }
    update_reading(net);
}

static void run_turn(void *arg)
{
    struct net *net = arg;

    net->sent = net->received = 0;
    resume_receiving(net);
    net_resume_sending(net);
    if (net->sent_any && net->port->ops->flush)
        net->port->ops->flush(net->port);
    net->sent_any = false;
}

static void run_tx_timer(void *arg)
{
    net_resume_sending(arg);
}

static void run_rx_timer(void *arg)
{
    struct net *net = arg;
    uint64_t wait = net_bucket_wait(&net->rx_bucket, now(net));

    if (wait) {
        net->loop->ops->arm(net->loop->ctx, &net->rx_timer, wait);
        return;
    }
    net->limited = false;
    resume_receiving(net);
}

/* ---- the model's ----------------------------------------------------------------------------- */

void net_bind(struct net *net, const struct net_client_ops *ops, void *owner)
{
    net->client = ops;
    net->owner = owner;
    net->enabled = net->no_room = net->want_writable = net->any_received = false;
    net->in.active = false;
    net_drop_outgoing(net);
    update_reading(net);
}

void net_receive_enable(struct net *net, bool on)
{
    if (on == net->enabled)
        return;
    net->enabled = on;
    net->no_room = false;
    forget_incoming(net);
    update_reading(net);
}

void net_receive_ready(struct net *net)
{
    if (!net->no_room)
        return;
    net->no_room = false;
    net_turn_begins(net); /* the model is in the middle of something */
}

bool net_link(const struct net *net)
{
    return net->link;
}

const struct net_counters *net_counters(const struct net *net)
{
    return &net->counters;
}

/* ---- the administrator's --------------------------------------------------------------------- */

static void update_link(struct net *net)
{
    bool link = net->admin_up && !net->port->no_carrier;

    if (link == net->link)
        return;
    net->link = link;
    forget_incoming(net);
    net->no_room = false;
    if (!link && net->out.active && !net->out.looped)
        net_drop_outgoing(net);
    update_reading(net);
    if (net->client)
        net->client->link(net->owner, link);
}

void net_port_carrier(struct net_port *port, bool on)
{
    port->no_carrier = !on;
    update_link(port->net);
}

void net_set_link(struct net *net, bool up)
{
    if (up != net->admin_up && net->port->ops->set_link)
        net->port->ops->set_link(net->port, up);
    net->admin_up = up;
    update_link(net);
}

void net_set_limits(struct net *net, const struct net_limits *limits)
{
    net_bucket_init(&net->tx_bucket, limits->tx_rate, limits->tx_burst, now(net));
    net_bucket_init(&net->rx_bucket, limits->rx_rate, limits->rx_burst, now(net));
    net->loop->ops->disarm(net->loop->ctx, &net->tx_timer);
    net->loop->ops->disarm(net->loop->ctx, &net->rx_timer);
    net->limited = false;
    net_turn_begins(net); /* who waits may go on */
}

void net_set_capture(struct net *net, struct capture *capture)
{
    capture_close(net->capture);
    net->capture = capture;
}

const struct capture *net_capture(const struct net *net)
{
    return net->capture;
}

int net_open(struct net_port *port, struct net **ret_net)
{
    struct net *net = calloc(1, sizeof(*net));

    assert(port->max_frame <= NET_FRAME_MAX);
    if (!net)
        return -ENOMEM;
    net->port = port;
    net->loop = port->loop;
    net->admin_up = true;
    net->link = !port->no_carrier;
    net->turn_task = (struct loop_task){.run = run_turn, .arg = net};
    net->tx_timer = (struct loop_timer){.expire = run_tx_timer, .arg = net};
    net->rx_timer = (struct loop_timer){.expire = run_rx_timer, .arg = net};
    port->net = net;
    *ret_net = net;
    return 0;
}

void net_close(struct net *net)
{
    if (!net)
        return;
    net_bind(net, NULL, NULL);
    net->loop->ops->undefer(net->loop->ctx, &net->turn_task);
    net->loop->ops->disarm(net->loop->ctx, &net->tx_timer);
    net->loop->ops->disarm(net->loop->ctx, &net->rx_timer);
    capture_close(net->capture);
    net->port->ops->close(net->port);
    free(net);
}
