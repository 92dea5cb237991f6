/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the model to the backend.
 *
 * A packet that the backend takes as it is goes straight through. One that needs work is copied
 * first, into `tx_packet`, and then counts as taken from the model; while it is being cut, or a
 * frame of it waits for the backend, the model is told to wait. So it is with a packet that is
 * looped back: it waits for the end of the turn.
 */
#include <assert.h>
#include <string.h>

#include "devices/backend/capture.h"
#include "devices/backend/net_internal.h"
#include "devices/net/checksum.h"

static const struct net_offload plain;

static uint32_t gather(uint8_t *to, const struct iovec *iov, unsigned n_iov)
{
    uint32_t at = 0;

    for (unsigned i = 0; i < n_iov; i++) {
        memcpy(to + at, iov[i].iov_base, iov[i].iov_len);
        at += (uint32_t)iov[i].iov_len;
    }
    return at;
}

/* 0 for what is too long to be a packet. */
static uint32_t total(const struct iovec *iov, unsigned n_iov)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < n_iov; i++)
        bytes += iov[i].iov_len;
    return bytes <= NET_PACKET_MAX ? (uint32_t)bytes : 0;
}

static bool can_gso(const struct net_port *port, enum net_gso gso)
{
    static const unsigned needs[] = {
        [NET_GSO_TCP4] = NET_CAN_TCP4,
        [NET_GSO_TCP6] = NET_CAN_TCP6,
        [NET_GSO_UDP] = NET_CAN_UDP,
    };

    return port->caps & needs[gso];
}

static uint64_t now(const struct net *net)
{
    return net->loop->ops->now_ns(net->loop->ctx);
}

static enum net_sent port_send(struct net *net, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    enum net_sent sent;

    net->sending = true;
    sent = net->port->ops->send(net->port, iov, n_iov, offload);
    net->sending = false;
    if (sent == NET_BUSY) {
        net->port_busy = true;
        return sent;
    }
    net->sent_any = true;
    if (sent == NET_LOST)
        net->counters.tx_dropped++;
    return sent;
}

static void count(struct net *net, uint32_t bytes)
{
    net->counters.tx_packets++;
    net->counters.tx_bytes += bytes;
}

/* Whether a packet may be taken from the model now. */
static bool may_take(struct net *net)
{
    uint64_t wait;

    if (net->out.active || net->port_busy || net->sent >= NET_BUDGET)
        return false;
    wait = net_bucket_wait(&net->tx_bucket, now(net));
    if (!wait)
        return true;
    if (!net->tx_timer.deadline_ns)
        net->counters.tx_limited++;
    net->loop->ops->arm(net->loop->ctx, &net->tx_timer, wait);
    return false;
}

static bool refuse(struct net *net)
{
    net->counters.tx_waits++;
    net->want_writable = true;
    return false;
}

/* The next frame of what is on its way out, in `frame`; 0: there is none. */
static uint32_t next_frame(struct net *net, const uint8_t **ret_frame)
{
    struct net_outgoing *out = &net->out;
    uint32_t bytes;

    *ret_frame = net->tx_frame;
    if (out->frame_bytes)
        return out->frame_bytes;
    if (!out->cut || !segment_more(&out->segmenter))
        return 0;
    bytes = segment_next(&out->segmenter, net->tx_frame);
    if (bytes < NET_FRAME_MIN) {
        memset(net->tx_frame + bytes, 0, NET_FRAME_MIN - bytes);
        bytes = NET_FRAME_MIN;
    }
    out->frame_bytes = bytes;
    return bytes;
}

/* Frame after frame, within the turn's budget. */
static void pump(struct net *net)
{
    static const struct net_offload known = {.csum_valid = true};
    struct net_outgoing *out = &net->out;

    while (out->active && net->sent < NET_BUDGET && !net->port_busy) {
        const uint8_t *frame;
        uint32_t bytes = next_frame(net, &frame);

        if (!bytes) {
            out->active = false;
            break;
        }
        if (out->looped) {
            net->counters.looped++;
            if (net_offer(net, frame, bytes, &known) == NET_NO_ROOM)
                net->counters.rx_dropped++;
        } else {
            const struct iovec iov = {(void *)frame, bytes};

            if (port_send(net, &iov, 1, &plain) == NET_BUSY)
                break;
        }
        out->frame_bytes = 0;
        net->sent++;
    }
}

/* Does what is left to be done to the packet: on success it is in net->out. False: it cannot be. */
static bool prepare(struct net *net, const struct iovec *iov, unsigned n_iov,
                    const struct net_offload *offload, uint32_t max_frame)
{
    struct net_outgoing out = {.active = true};
    bool cut = offload->gso != NET_GSO_NONE;
    uint8_t *packet = cut ? net->tx_packet : net->tx_frame;
    uint32_t bytes = gather(packet, iov, n_iov);

    if (cut) {
        if (!segment_begin(&out.segmenter, packet, bytes, offload, max_frame))
            return false;
        out.cut = true;
        net->counters.tx_segmented++;
    } else {
        uint32_t at = (uint32_t)offload->csum_start + offload->csum_offset;

        if (offload->csum_needed && !checksum_insert(packet, bytes, offload->csum_start, at, bytes,
                                                     offload->csum_offset == CHECKSUM_UDP_OFFSET))
            return false;
        if (bytes < NET_FRAME_MIN) {
            memset(packet + bytes, 0, NET_FRAME_MIN - bytes);
            bytes = NET_FRAME_MIN;
        }
        out.frame_bytes = bytes;
    }
    net->out = out;
    return true;
}

/* For a backend that cuts by itself, and that is to find in the headers what the description leaves
 * open. */
static enum net_sent send_whole(struct net *net, const struct iovec *iov, unsigned n_iov,
                                const struct net_offload *offload, uint32_t bytes)
{
    uint8_t header[SEGMENT_HEADERS_MAX];
    struct net_offload filled = *offload;
    struct frame_headers headers;
    const uint8_t *packet = iov[0].iov_base;

    if (n_iov > 1) {
        gather(net->tx_packet, iov, n_iov);
        packet = net->tx_packet;
    }
    if (!segment_prepare(packet, bytes, offload, header, &headers) ||
        headers.payload + offload->gso_size > net->port->max_frame) {
        net->counters.tx_malformed++;
        return NET_LOST;
    }
    filled.csum_needed = true;
    filled.csum_start = (uint16_t)headers.l4;
    filled.csum_offset = (uint16_t)(checksum_field(&headers) - headers.l4);
    filled.header_bytes = (uint16_t)headers.payload;

    const struct iovec parts[] = {
        {header, headers.payload},
        {(void *)(packet + headers.payload), bytes - headers.payload},
    };
    enum net_sent sent = port_send(net, parts, 2, &filled);

    if (sent == NET_SENT)
        count(net, bytes);
    return sent;
}

static bool fits(const struct net_offload *offload, uint32_t bytes)
{
    if (bytes < NET_ETH_BYTES || (!offload->gso && bytes > NET_FRAME_MAX))
        return false;
    return offload->gso || !offload->csum_needed ||
           (offload->csum_start >= NET_ETH_BYTES && offload->csum_start < bytes &&
            (uint32_t)offload->csum_start + offload->csum_offset + 2 <= bytes);
}

/* NET_BUSY: the model keeps it. */
static enum net_sent send_one(struct net *net, const struct iovec *iov, unsigned n_iov,
                              const struct net_offload *offload, uint32_t bytes)
{
    const struct net_port *port = net->port;
    enum net_sent sent;

    if (!net->link) {
        net->counters.tx_dropped++;
        return NET_LOST;
    }
    /* A frame, not a packet to be cut, that the medium has no room for. */
    if (!offload->gso && bytes > port->max_frame) {
        net->counters.tx_dropped++;
        return NET_LOST;
    }
    if (offload->gso && can_gso(port, offload->gso) && bytes > port->max_frame)
        return send_whole(net, iov, n_iov, offload, bytes);
    if (!offload->gso && bytes >= NET_FRAME_MIN &&
        (!offload->csum_needed || port->caps & NET_CAN_CSUM)) {
        sent = port_send(net, iov, n_iov, offload);
        if (sent == NET_SENT)
            count(net, bytes);
        return sent;
    }
    if (!prepare(net, iov, n_iov, offload, port->max_frame)) {
        net->counters.tx_malformed++;
        return NET_LOST;
    }
    count(net, bytes);
    pump(net);
    return NET_SENT;
}

static bool take(struct net *net, const struct iovec *iov, unsigned n_iov,
                 const struct net_offload *offload, bool loop)
{
    uint32_t bytes = total(iov, n_iov);

    assert(net->client && n_iov <= NET_IOV_MAX && !net->sending);
    if (!offload)
        offload = &plain;
    net_turn_begins(net);
    if (!may_take(net))
        return refuse(net);
    if (!fits(offload, bytes)) {
        net->counters.tx_malformed++;
    } else if (loop) {
        if (prepare(net, iov, n_iov, offload, NET_FRAME_MAX))
            net->out.looped = true;
        else
            net->counters.tx_malformed++;
    } else {
        if (send_one(net, iov, n_iov, offload, bytes) == NET_BUSY)
            return refuse(net);
        net_bucket_take(&net->tx_bucket, bytes);
        if (net->capture)
            capture_packet(net->capture, iov, n_iov, bytes);
    }
    net->sent++;
    return true;
}

bool net_send(struct net *net, const struct iovec *iov, unsigned n_iov,
              const struct net_offload *offload)
{
    return take(net, iov, n_iov, offload, false);
}

bool net_loop(struct net *net, const struct iovec *iov, unsigned n_iov,
              const struct net_offload *offload)
{
    return take(net, iov, n_iov, offload, true);
}

void net_drop_outgoing(struct net *net)
{
    net->out.active = false;
    net->out.frame_bytes = 0;
}

void net_resume_sending(struct net *net)
{
    if (net->out.active && !net->port_busy) {
        net_turn_begins(net);
        pump(net);
        net_end_batch(net); /* of what was looped back */
    }
    if (!net->client || !net->want_writable || !may_take(net))
        return;
    net->want_writable = false;
    net->client->writable(net->owner);
}
