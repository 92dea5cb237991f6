/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receive ring (SDM 3.2). A frame is taken only when the descriptors that it needs are there:
 * they are copied first, and nothing is written but to the buffers that the copies name and to the
 * descriptors themselves. A frame for which there are too few waits at the way out.
 */
#include "devices/net/checksum.h"
#include "devices/net/e1000_internal.h"
#include "devices/net/frame.h"

#define TAG_AT 12u /* behind the addresses */

#define BUFFER_MIN  256u
#define BUFFERS_MAX ((NET_FRAME_MAX + E1000_FCS_BYTES + BUFFER_MIN - 1) / BUFFER_MIN)
#define SLOTS_MAX   (BUFFERS_MAX + E1000_RX_NULLS)

/* A frame as it is stored, in pieces: without a tag that was stripped, with its FCS. */
struct stored {
    struct {
        const uint8_t *data;
        uint32_t bytes;
    } piece[3];
    uint32_t bytes;
    uint8_t fcs[E1000_FCS_BYTES];
    uint16_t checksum;
    uint16_t status; /* status and errors, of the last descriptor */
    uint16_t tag;
};

/* Descriptors from the head on. */
struct slots {
    uint64_t addr[SLOTS_MAX]; /* 0: none, moves nothing */
    uint32_t n, buffers;
};

static uint32_t ring_count(const struct e1000 *nic)
{
    return nic->reg[E1000_R_RDLEN] / E1000_DESC_BYTES;
}

static uint64_t slot_at(const struct e1000 *nic, uint32_t index)
{
    return ((uint64_t)nic->reg[E1000_R_RDBAH] << 32 | nic->reg[E1000_R_RDBAL]) +
           (uint64_t)index * E1000_DESC_BYTES;
}

/* How many descriptors are the device's. With a head outside of the ring there are none; a tail
 * outside is never met. */
static uint32_t available(const struct e1000 *nic)
{
    uint32_t count = ring_count(nic), head = nic->reg[E1000_R_RDH], tail = nic->reg[E1000_R_RDT];

    if (head >= count)
        return 0;
    return tail >= count ? count : tail >= head ? tail - head : count - head + tail;
}

static uint32_t buffer_bytes(const struct e1000 *nic)
{
    uint32_t rctl = nic->reg[E1000_R_RCTL], size = rctl >> E1000_RCTL_BSIZE_SHIFT & 3;

    return rctl & E1000_RCTL_BSEX && size ? 32768u >> size : 2048u >> size;
}

/* Copies descriptors until `need` have an address. */
static void look_at_slots(const struct e1000 *nic, uint32_t need, struct slots *ret_slots)
{
    uint32_t count = ring_count(nic), left = available(nic), index = nic->reg[E1000_R_RDH];

    ret_slots->n = ret_slots->buffers = 0;
    while (ret_slots->buffers < need && left && ret_slots->n < need + E1000_RX_NULLS) {
        uint8_t bytes[BUFFERS_MAX * E1000_DESC_BYTES];
        uint32_t n = need - ret_slots->buffers;
        if (n > left)
            n = left;
        if (n > count - index)
            n = count - index;
        if (n > need + E1000_RX_NULLS - ret_slots->n)
            n = need + E1000_RX_NULLS - ret_slots->n;
        /* Out of reach for now: as if the guest had not given them. */
        if (host_dma_read(nic->base.host, slot_at(nic, index), bytes, n * E1000_DESC_BYTES))
            return;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t addr = 0;
            for (unsigned j = 0; j < 8; j++)
                addr |= (uint64_t)bytes[i * E1000_DESC_BYTES + j] << (8 * j);
            ret_slots->addr[ret_slots->n++] = addr;
            ret_slots->buffers += addr != 0;
        }
        left -= n;
        index = index + n < count ? index + n : 0;
    }
}

/* Of what is stored, [offset, offset + bytes) goes to guest memory. */
static void store(const struct e1000 *nic, const struct stored *frame, uint64_t addr,
                  uint32_t offset, uint32_t bytes)
{
    for (unsigned i = 0; i < 3 && bytes; i++) {
        uint32_t n = frame->piece[i].bytes;
        if (offset >= n) {
            offset -= n;
            continue;
        }
        n = n - offset < bytes ? n - offset : bytes;
        nic_store(&nic->base, addr, frame->piece[i].data + offset, n);
        addr += n;
        bytes -= n;
        offset = 0;
    }
}

static void put16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

/* Gives the head's descriptor back, with `bytes` in its buffer. */
static void give_back(struct e1000 *nic, const struct stored *frame, uint32_t bytes, bool last)
{
    uint32_t head = nic->reg[E1000_R_RDH];
    uint8_t done[8];

    put16(done, bytes);
    put16(done + 2, frame->checksum);
    put16(done + 4, last ? frame->status | E1000_RXD_EOP : E1000_RXD_DD);
    put16(done + 6, last ? frame->tag : 0);
    nic_store(&nic->base, slot_at(nic, head) + 8, done, sizeof(done));
    nic->reg[E1000_R_RDH] = head + 1 < ring_count(nic) ? head + 1 : 0;
}

/* All of `slots` are used up; of a frame that is lost (NULL) nothing is stored. */
static void fill_slots(struct e1000 *nic, const struct slots *slots, const struct stored *frame)
{
    static const struct stored nothing = {.status = E1000_RXD_DD};
    uint32_t size = buffer_bytes(nic), at = 0;

    for (uint32_t i = 0; i < slots->n; i++) {
        uint32_t left = frame ? frame->bytes - at : 0, bytes = 0;
        if (slots->addr[i] && left) {
            bytes = left < size ? left : size;
            store(nic, frame, slots->addr[i], at, bytes);
            at += bytes;
        }
        give_back(nic, frame ? frame : &nothing, bytes, frame && bytes && at == frame->bytes);
    }
}

/* The sum of a piece that begins at an odd byte is that of an even one, its bytes swapped (RFC
 * 1071, 2 (B)). */
static uint64_t add_piece(uint64_t sum, bool odd, const uint8_t *data, uint32_t bytes)
{
    if (!odd)
        return checksum_add(sum, data, bytes);

    uint16_t part = (uint16_t)~checksum_finish(checksum_add(0, data, bytes));
    return sum + (uint16_t)(part << 8 | part >> 8);
}

/* From RXCSUM.PCSS on, over all that is stored (SDM 3.2.3). */
static uint16_t packet_checksum(const struct e1000 *nic, const struct stored *frame)
{
    uint32_t skip = nic->reg[E1000_R_RXCSUM] & E1000_RXCSUM_PCSS, done = 0;
    uint64_t sum = 0;

    for (unsigned i = 0; i < 3; i++) {
        uint32_t n = frame->piece[i].bytes, from = skip < n ? skip : n;
        if (!n)
            continue;
        sum = add_piece(sum, done & 1, frame->piece[i].data + from, n - from);
        done += n - from;
        skip -= from;
    }
    uint16_t bytes = checksum_finish(sum);
    const uint8_t *big = (const uint8_t *)&bytes;
    return (uint16_t)(big[0] << 8 | big[1]);
}

/* What was found of the IP and TCP or UDP checksums (SDM 3.2.9). */
static uint16_t checksum_status(const struct e1000 *nic, const uint8_t *frame, uint32_t bytes,
                                const struct net_offload *offload)
{
    uint32_t rxcsum = nic->reg[E1000_R_RXCSUM];
    enum checksum_verdict ip = CHECKSUM_NONE, l4 = CHECKSUM_NONE;
    struct frame_headers headers;
    uint16_t status = 0;

    if (!(rxcsum & (E1000_RXCSUM_IPOFLD | E1000_RXCSUM_TUOFLD)))
        return E1000_RXD_IXSM;
    frame_parse(frame, bytes, false, &headers);
    if (rxcsum & E1000_RXCSUM_IPOFLD)
        ip = checksum_check_ip4(frame, &headers);
    if (rxcsum & E1000_RXCSUM_TUOFLD && (headers.version == 4 || rxcsum & E1000_RXCSUM_IPV6OFL))
        l4 = offload && offload->csum_valid && headers.l4 ? CHECKSUM_GOOD
                                                          : checksum_check_l4(frame, &headers);
    if (ip != CHECKSUM_NONE)
        status |= E1000_RXD_IPCS;
    if (ip == CHECKSUM_BAD)
        status |= E1000_RXD_IPE;
    if (l4 != CHECKSUM_NONE)
        status |= E1000_RXD_TCPCS;
    if (l4 == CHECKSUM_BAD)
        status |= E1000_RXD_TCPE;
    return status ? status : E1000_RXD_IXSM;
}

static void lay_out(const struct e1000 *nic, const uint8_t *frame, uint32_t bytes,
                    struct stored *ret_stored)
{
    bool strip = nic->reg[E1000_R_CTRL] & E1000_CTRL_VME && e1000_is_tagged(nic, frame);

    *ret_stored = (struct stored){.piece = {{frame, bytes}}, .bytes = bytes};
    if (strip) {
        ret_stored->piece[0].bytes = TAG_AT;
        ret_stored->piece[1].data = frame + TAG_AT + NET_VLAN_BYTES;
        ret_stored->piece[1].bytes = bytes - TAG_AT - NET_VLAN_BYTES;
        ret_stored->bytes -= NET_VLAN_BYTES;
        ret_stored->tag = (uint16_t)(frame[TAG_AT + 2] << 8 | frame[TAG_AT + 3]);
        ret_stored->status = E1000_RXD_VP;
    }
    if (!(nic->reg[E1000_R_RCTL] & E1000_RCTL_SECRC)) {
        uint32_t fcs = frame_crc32(frame, bytes);
        for (unsigned i = 0; i < E1000_FCS_BYTES; i++)
            ret_stored->fcs[i] = (uint8_t)(fcs >> (8 * i));
        ret_stored->piece[2].data = ret_stored->fcs;
        ret_stored->piece[2].bytes = E1000_FCS_BYTES;
        ret_stored->bytes += E1000_FCS_BYTES;
    }
}

static enum net_answer lose(struct e1000 *nic, uint32_t bytes)
{
    nic->counts.rx_lost++;
    e1000_count_seen(nic, bytes);
    e1000_count(nic, E1000_MPC);
    e1000_irq_set(nic, E1000_INT_RXO);
    return NET_FILTERED;
}

static enum net_answer wait_for_buffers(struct e1000 *nic)
{
    nic->counts.rx_no_buffers++;
    e1000_count(nic, E1000_RNBC);
    return NET_NO_ROOM;
}

static void took(struct e1000 *nic, const uint8_t *frame, uint32_t bytes, uint32_t before)
{
    uint32_t rdmts = nic->reg[E1000_R_RCTL] >> E1000_RCTL_RDMTS_SHIFT & 3;
    uint32_t threshold = ring_count(nic) >> (rdmts < 3 ? rdmts + 1 : 3);

    if (before > threshold && available(nic) <= threshold)
        nic->rx_causes |= E1000_INT_RXDMT0;
    if (bytes <= nic->reg[E1000_R_RSRPD])
        nic->rx_causes |= E1000_INT_SRPD;
    e1000_count_seen(nic, bytes);
    e1000_count_received(nic, frame, bytes);
}

enum net_answer e1000_receive(struct nic *base, const uint8_t *frame, uint32_t bytes,
                              const struct net_offload *offload)
{
    struct e1000 *nic = (struct e1000 *)base;
    uint32_t rctl = nic->reg[E1000_R_RCTL], before = available(nic), need;
    struct stored stored;
    struct slots slots;
    bool inexact;

    if (!(rctl & E1000_RCTL_EN) || !nic_may_dma(&nic->base))
        return NET_FILTERED;
    if (!e1000_filter(nic, frame, &inexact)) {
        e1000_count_seen(nic, bytes);
        return NET_FILTERED;
    }
    if (bytes > NET_FRAME_MAX ||
        (bytes + E1000_FCS_BYTES > E1000_FRAME_MAX && !(rctl & E1000_RCTL_LPE))) {
        e1000_count_seen(nic, bytes);
        e1000_count(nic, E1000_ROC);
        e1000_count(nic, E1000_RLEC);
        return NET_FILTERED;
    }
    lay_out(nic, frame, bytes, &stored);
    need = (stored.bytes + buffer_bytes(nic) - 1) / buffer_bytes(nic);
    if (ring_count(nic) && need >= ring_count(nic))
        return lose(nic, bytes);
    if (before < need)
        return wait_for_buffers(nic);
    look_at_slots(nic, need, &slots);
    if (slots.buffers < need && slots.n < need + E1000_RX_NULLS)
        return wait_for_buffers(nic);
    if (slots.buffers < need) {
        fill_slots(nic, &slots, NULL);
        return lose(nic, bytes);
    }
    stored.checksum = packet_checksum(nic, &stored);
    stored.status |= (uint16_t)(checksum_status(nic, frame, bytes, offload) | E1000_RXD_DD |
                                (inexact ? E1000_RXD_PIF : 0));
    fill_slots(nic, &slots, &stored);
    took(nic, frame, bytes, before);
    return NET_TAKEN;
}

void e1000_received(struct nic *base)
{
    struct e1000 *nic = (struct e1000 *)base;

    e1000_irq_received(nic, nic->rx_causes);
    nic->rx_causes = 0;
}
