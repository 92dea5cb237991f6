/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of any bytes, described in any way, through the layer between NIC models and backends.
 *
 * Input: a byte of what the backend can, then packets: what (u8), offload (8 bytes), length (u16),
 * bytes. Invariants, beside what the sanitizers see (each frame is a block of its own size):
 *  - the backend gets only what it can, nothing longer than max_frame, nothing shorter than a frame
 *  - the model gets only complete frames of NET_FRAME_MIN to NET_FRAME_MAX bytes
 *  - neither is called from within the other
 *  - a turn's budget is kept, whatever a packet says of its segments
 *  - frames that were cut have right checksums and lengths
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/net_ops.h"
#include "devices/net/checksum.h"
#include "tests/unit/fake_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_PACKETS 64u
#define MAX_FRAME   1518u

struct rig {
    struct net_port port; /* first */
    struct net *net;
    bool inside, busy, full, reading;
    unsigned sent, got; /* in this turn */
    bool cut;           /* what is being received is to be cut */
    uint8_t sum;
    uint64_t looped; /* frames that came back so far */
};

static enum net_sent on_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                             const struct net_offload *offload)
{
    struct rig *rig = (struct rig *)port;
    uint64_t bytes = 0;
    uint8_t sum = 0;

    assert(n_iov >= 1 && n_iov <= NET_IOV_MAX);
    for (unsigned i = 0; i < n_iov; i++) {
        bytes += iov[i].iov_len;
        for (size_t j = 0; j < iov[i].iov_len; j++)
            sum ^= ((const uint8_t *)iov[i].iov_base)[j];
    }
    rig->sum ^= sum; /* every byte has been read: the sanitizers have seen it */
    assert(bytes >= NET_FRAME_MIN);
    assert(!offload->csum_needed || rig->port.caps & NET_CAN_CSUM);
    assert(offload->gso || bytes <= MAX_FRAME);
    if (offload->csum_needed)
        assert(offload->csum_start + offload->csum_offset + 2u <= bytes);
    if (offload->gso) {
        assert(offload->gso != NET_GSO_TCP4 || rig->port.caps & NET_CAN_TCP4);
        assert(offload->gso != NET_GSO_TCP6 || rig->port.caps & NET_CAN_TCP6);
        assert(offload->gso != NET_GSO_UDP || rig->port.caps & NET_CAN_UDP);
        assert(offload->header_bytes + offload->gso_size <= MAX_FRAME);
    }
    if (rig->busy)
        return NET_BUSY;
    assert(++rig->sent <= 2 * NET_BUDGET);
    return NET_SENT;
}

static void on_reading(struct net_port *port, bool on)
{
    ((struct rig *)port)->reading = on;
}

static void on_close(struct net_port *port)
{
}

static const struct net_backend_ops backend = {
    .name = "fuzz", .send = on_send, .set_reading = on_reading, .close = on_close};

static enum net_answer on_receive(void *owner, const uint8_t *frame, uint32_t bytes,
                                  const struct net_offload *offload)
{
    struct rig *rig = owner;
    struct frame_headers headers;

    assert(!rig->inside);
    assert(bytes >= NET_FRAME_MIN && bytes <= NET_FRAME_MAX);
    assert(!offload->csum_needed && !offload->gso);
    frame_parse(frame, bytes, false, &headers);
    assert(headers.end <= bytes && headers.payload <= bytes);
    if (net_counters(rig->net)->looped != rig->looped) {
        rig->looped = net_counters(rig->net)->looped;
    } else if (rig->cut) {
        assert(headers.l4);
        assert(checksum_check_ip4(frame, &headers) != CHECKSUM_BAD);
        assert(checksum_check_l4(frame, &headers) != CHECKSUM_BAD);
    } else {
        checksum_check_ip4(frame, &headers);
        checksum_check_l4(frame, &headers);
    }
    if (rig->full)
        return NET_NO_ROOM;
    assert(++rig->got <= 3 * NET_BUDGET);
    return frame[0] & 1 ? NET_FILTERED : NET_TAKEN;
}

static void on_writable(void *owner)
{
    assert(!((struct rig *)owner)->inside);
}

static void on_link(void *owner, bool up)
{
}

static const struct net_client_ops model = {
    .receive = on_receive, .writable = on_writable, .link = on_link};

struct script {
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct script *script, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes && script->left; i++, script->data++, script->left--)
        value |= (uint32_t)*script->data << (8 * i);
    return value;
}

/* Small inputs are to make large packets: what is left is repeated. */
static uint8_t *take_packet(struct script *script, uint32_t *ret_bytes)
{
    uint32_t bytes = take(script, 2) + (take(script, 1) & 0x1f);
    uint32_t own = bytes < script->left ? bytes : (uint32_t)script->left;
    uint8_t *packet = malloc(bytes ? bytes : 1);

    assert(packet);
    for (uint32_t i = 0; i < bytes; i++)
        packet[i] = own ? script->data[i % own] : 0;
    own = own < 128 ? own : 128;
    script->data += own;
    script->left -= own;
    *ret_bytes = bytes;
    return packet;
}

static void one(struct rig *rig, struct fake_loop *fake, struct script *script)
{
    uint8_t what = (uint8_t)take(script, 1);
    struct net_offload offload = {
        .csum_needed = what & 0x10,
        .gso = (enum net_gso)(take(script, 1) & 3),
        .csum_start = (uint16_t)take(script, 2),
        .csum_offset = (uint16_t)take(script, 2),
        .gso_size = (uint16_t)take(script, 2),
    };
    uint32_t bytes, half;
    uint8_t *packet = take_packet(script, &bytes);

    rig->busy = what & 0x20;
    rig->full = what & 0x40;
    half = bytes / 2;
    if (what & 1) {
        if (rig->reading) {
            rig->cut = offload.gso;
            net_port_receive(&rig->port, packet, bytes <= NET_PACKET_MAX ? bytes : NET_PACKET_MAX,
                             &offload);
        }
        net_port_received(&rig->port);
    } else {
        const struct iovec iov[] = {{packet, half}, {packet + half, bytes - half}};

        rig->inside = true;
        if (what & 2)
            net_loop(rig->net, iov, 2, &offload);
        else
            net_send(rig->net, iov, 2, &offload);
        rig->inside = false;
    }
    free(packet); /* it is the caller's again */
    if (what & 4 && !rig->busy)
        net_port_writable(&rig->port);
    if (what & 8)
        net_receive_ready(rig->net);
    rig->sent = rig->got = 0;
    fake_loop_turn(fake, 0);
    rig->sent = rig->got = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {data, size};
    struct fake_loop *fake = fake_loop_create();
    struct rig rig = {0};
    uint8_t caps = (uint8_t)take(&script, 1);

    rig.port = (struct net_port){.ops = &backend, .loop = fake_loop(fake), .max_frame = MAX_FRAME};
    if (caps & 0xf)
        rig.port.caps = (caps & 0xf) | NET_CAN_CSUM;
    assert(!net_open(&rig.port, &rig.net));
    net_bind(rig.net, &model, &rig);
    net_receive_enable(rig.net, true);
    for (unsigned i = 0; i < MAX_PACKETS && script.left; i++)
        one(&rig, fake, &script);
    net_bind(rig.net, NULL, NULL);
    net_close(rig.net);
    fake_loop_destroy(fake);
    return 0;
}
