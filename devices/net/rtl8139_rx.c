/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both receivers: the ring of bytes, and the descriptors of C+ mode. A frame for which there is no
 * room waits at the way out. */
#include "devices/net/checksum.h"
#include "devices/net/frame.h"
#include "devices/net/rtl8139_internal.h"

#define TAG_AT       12u
#define HEADER_BYTES 4u
#define CAPR_BEHIND  16u /* CAPR is kept that much behind what was read: data sheet, CAPR */

static uint32_t ring_bytes(const struct rtl8139 *nic)
{
    return 8192u << (rtl8139_get(nic->reg + RTL8139_RCR, 4) >> RTL8139_RCR_RBLEN_SHIFT & 3);
}

static uint32_t ring_used(const struct rtl8139 *nic)
{
    uint32_t read = rtl8139_get(nic->reg + RTL8139_CAPR, 2) + CAPR_BEHIND;

    return (rtl8139_get(nic->reg + RTL8139_CBR, 2) - read) & (ring_bytes(nic) - 1);
}

bool rtl8139_rx_empty(const struct rtl8139 *nic)
{
    return !ring_used(nic);
}

static bool passes(const struct rtl8139 *nic, const uint8_t *frame)
{
    uint32_t rcr = rtl8139_get(nic->reg + RTL8139_RCR, 4);
    struct frame_filter filter = {
        .own = rcr & RTL8139_RCR_APM,
        .unicast = rcr & RTL8139_RCR_AAP,
        .multicast = rcr & RTL8139_RCR_AM,
        .broadcast = rcr & RTL8139_RCR_AB,
        .hash = rtl8139_get(nic->reg + RTL8139_MAR0, 4) |
                (uint64_t)rtl8139_get(nic->reg + RTL8139_MAR0 + 4, 4) << 32,
    };

    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        filter.mac[i] = nic->reg[RTL8139_IDR0 + i];
    return frame_filter_passes(&filter, frame);
}

static bool is_own(const struct rtl8139 *nic, const uint8_t *frame)
{
    for (unsigned i = 0; i < NET_MAC_BYTES; i++) {
        if (frame[i] != nic->reg[RTL8139_IDR0 + i])
            return false;
    }
    return true;
}

static enum net_answer lose(struct rtl8139 *nic)
{
    uint32_t missed = rtl8139_get(nic->reg + RTL8139_MPC, 3);

    nic->counts.rx_lost++;
    nic->tally.missed++;
    if (missed < 0xffffff)
        rtl8139_put(nic->reg + RTL8139_MPC, 3, missed + 1);
    return NET_FILTERED;
}

static void count(struct rtl8139 *nic, const uint8_t *frame)
{
    nic->tally.rx_ok++;
    switch (frame_dest(frame)) {
    case FRAME_BROADCAST:
        nic->tally.rx_broadcast++;
        break;
    case FRAME_MULTICAST:
        nic->tally.rx_multicast++;
        break;
    case FRAME_UNICAST:
        nic->tally.rx_own += is_own(nic, frame);
        break;
    }
}

/* At `at` in the ring; what does not fit before its end goes on at its start, or behind the end
 * when the driver has said that there is room. Returns where the next byte goes. */
static uint32_t put_bytes(const struct rtl8139 *nic, uint32_t at, const uint8_t *data,
                          uint32_t bytes)
{
    uint32_t size = ring_bytes(nic), first = bytes;
    uint64_t base = rtl8139_get(nic->reg + RTL8139_RBSTART, 4);
    /* WRAP means nothing to a ring of 64 KiB. */
    bool over = nic->reg[RTL8139_RCR] & RTL8139_RCR_WRAP && size < 65536;

    if (!over) {
        at &= size - 1;
        if (first > size - at)
            first = size - at;
    }
    nic_store(&nic->base, base + at, data, first);
    if (first < bytes)
        nic_store(&nic->base, base, data + first, bytes - first);
    return at + bytes;
}

static enum net_answer receive_ring(struct rtl8139 *nic, const uint8_t *frame, uint32_t bytes)
{
    uint32_t need = (HEADER_BYTES + bytes + RTL8139_FCS_BYTES + 3) & ~3u, status = RTL8139_RX_ROK;
    uint32_t cbr = rtl8139_get(nic->reg + RTL8139_CBR, 2) & (ring_bytes(nic) - 1), at;
    uint8_t header[HEADER_BYTES], fcs[RTL8139_FCS_BYTES];

    if (bytes > RTL8139_RX_MAX)
        return lose(nic);
    if (need >= ring_bytes(nic) - ring_used(nic)) { /* a full ring would look empty */
        /* ROK once more, for a driver that has acknowledged it and left some in the ring: nothing
         * else would come. Not RXOVW, by which drivers count a frame as lost (Linux's 8139too an
         * error), and this one is not. */
        nic->counts.rx_no_buffers++;
        rtl8139_irq_set(nic, RTL8139_INT_ROK);
        return NET_NO_ROOM;
    }
    if (frame_dest(frame) == FRAME_BROADCAST)
        status |= RTL8139_RX_BAR;
    else if (frame_dest(frame) == FRAME_MULTICAST)
        status |= RTL8139_RX_MAR;
    else if (is_own(nic, frame))
        status |= RTL8139_RX_PAM;
    rtl8139_put(header, 2, status);
    rtl8139_put(header + 2, 2, bytes + RTL8139_FCS_BYTES);
    rtl8139_put(fcs, 4, frame_crc32(frame, bytes));
    at = put_bytes(nic, cbr, header, sizeof(header));
    at = put_bytes(nic, at, frame, bytes);
    put_bytes(nic, at, fcs, sizeof(fcs));
    rtl8139_put(nic->reg + RTL8139_CBR, 2, (cbr + need) & (ring_bytes(nic) - 1));
    count(nic, frame);
    return NET_TAKEN;
}

/* The descriptors that a frame needs, copied once. */
struct slots {
    struct {
        uint64_t at, addr;
        uint32_t opts1, size;
    } slot[RTL8139_DESCS];
    unsigned n;
    uint8_t next; /* the one after them */
};

enum found {
    FOUND,
    FOUND_TOO_FEW,
    FOUND_NEVER, /* the whole ring is too small */
};

static enum found find_slots(const struct rtl8139 *nic, uint32_t need, struct slots *slots)
{
    uint64_t base = (uint64_t)rtl8139_get(nic->reg + RTL8139_RDSAR + 4, 4) << 32 |
                    (rtl8139_get(nic->reg + RTL8139_RDSAR, 4) & ~255u);
    uint8_t index = nic->rx_at, desc[RTL8139_DESC_BYTES];
    uint32_t room = 0;

    for (slots->n = 0; slots->n < RTL8139_DESCS;) {
        uint64_t at = base + index * RTL8139_DESC_BYTES;
        if (host_dma_read(nic->base.host, at, desc, sizeof(desc)))
            return FOUND_TOO_FEW; /* out of reach for now */
        uint32_t opts1 = rtl8139_get(desc, 4);
        if (!(opts1 & RTL8139_D_OWN))
            return FOUND_TOO_FEW;
        slots->slot[slots->n].at = at;
        slots->slot[slots->n].addr = rtl8139_get(desc + 8, 4) | (uint64_t)rtl8139_get(desc + 12, 4)
                                                                    << 32;
        slots->slot[slots->n].opts1 = opts1;
        slots->slot[slots->n].size = opts1 & RTL8139_RXD_SIZE;
        room += slots->slot[slots->n++].size;
        index = opts1 & RTL8139_D_EOR ? 0 : (uint8_t)((index + 1) % RTL8139_DESCS);
        slots->next = index;
        if (room >= need)
            return FOUND;
        if (index == nic->rx_at)
            return FOUND_NEVER;
    }
    return FOUND_NEVER;
}

/* What is said of checksums: protocol, and failures. */
static uint32_t checksum_bits(const struct rtl8139 *nic, const uint8_t *frame, uint32_t bytes,
                              const struct net_offload *offload)
{
    struct frame_headers headers;
    uint32_t bits;

    if (!(nic->reg[RTL8139_CPCR] & RTL8139_CPCR_RXCHK))
        return 0;
    frame_parse(frame, bytes, false, &headers);
    if (headers.version != 4)
        return 0;
    bits = RTL8139_RXD_PID_IP;
    if (headers.l4)
        bits = headers.protocol == FRAME_IPPROTO_TCP ? RTL8139_RXD_PID_TCP : RTL8139_RXD_PID_UDP;
    if (checksum_check_ip4(frame, &headers) == CHECKSUM_BAD)
        bits |= RTL8139_RXD_IPF;
    if (headers.l4 && !(offload && offload->csum_valid) &&
        checksum_check_l4(frame, &headers) == CHECKSUM_BAD)
        bits |= headers.protocol == FRAME_IPPROTO_TCP ? RTL8139_RXD_TCPF : RTL8139_RXD_UDPF;
    return bits;
}

static void fill_slots(struct rtl8139 *nic, const struct slots *slots, const uint8_t *stored,
                       uint32_t bytes, uint32_t status, uint32_t opts2)
{
    uint32_t done = 0, total = bytes;

    for (unsigned i = 0; i < slots->n; i++) {
        uint32_t n = bytes < slots->slot[i].size ? bytes : slots->slot[i].size;
        bool last = i + 1 == slots->n;
        uint8_t desc[8];

        if (n)
            nic_store(&nic->base, slots->slot[i].addr, stored + done, n);
        done += n;
        bytes -= n;
        rtl8139_put(desc, 4,
                    (slots->slot[i].opts1 & RTL8139_D_EOR) | (i == 0 ? RTL8139_D_FS : 0) |
                        (last ? RTL8139_D_LS | status | total : n));
        rtl8139_put(desc + 4, 4, last ? opts2 : 0);
        nic_store(&nic->base, slots->slot[i].at, desc, sizeof(desc));
    }
    nic->rx_at = slots->next;
}

/* As it is stored: without a tag that was stripped, with its FCS. */
static uint32_t lay_out(const struct rtl8139 *nic, const uint8_t *frame, uint32_t bytes,
                        uint8_t *stored, uint32_t *ret_opts2)
{
    uint32_t n = 0, fcs = frame_crc32(frame, bytes);
    bool strip = nic->reg[RTL8139_CPCR] & RTL8139_CPCR_RXVLAN && frame[TAG_AT] == 0x81 &&
                 frame[TAG_AT + 1] == 0x00;

    *ret_opts2 = 0;
    if (strip)
        *ret_opts2 = RTL8139_RXD_TAVA | rtl8139_get(frame + TAG_AT + 2, 2);
    for (uint32_t i = 0; i < bytes; i++) {
        if (!strip || i < TAG_AT || i >= TAG_AT + NET_VLAN_BYTES)
            stored[n++] = frame[i];
    }
    rtl8139_put(stored + n, 4, fcs);
    return n + RTL8139_FCS_BYTES;
}

static enum net_answer receive_descs(struct rtl8139 *nic, const uint8_t *frame, uint32_t bytes,
                                     const struct net_offload *offload)
{
    uint8_t stored[RTL8139_CP_RX_MAX + RTL8139_FCS_BYTES];
    uint32_t opts2, n, status;
    struct slots slots;

    if (bytes > RTL8139_CP_RX_MAX)
        return lose(nic);
    n = lay_out(nic, frame, bytes, stored, &opts2);
    switch (find_slots(nic, n, &slots)) {
    case FOUND_TOO_FEW:
        nic->counts.rx_no_buffers++;
        rtl8139_irq_set(nic, RTL8139_INT_RXOVW);
        return NET_NO_ROOM;
    case FOUND_NEVER:
        return lose(nic);
    case FOUND:
        break;
    }
    status = checksum_bits(nic, frame, bytes, offload);
    if (frame_dest(frame) == FRAME_BROADCAST)
        status |= RTL8139_RXD_BAR;
    else if (frame_dest(frame) == FRAME_MULTICAST)
        status |= RTL8139_RXD_MAR;
    else if (is_own(nic, frame))
        status |= RTL8139_RXD_PAM;
    fill_slots(nic, &slots, stored, n, status, opts2);
    count(nic, frame);
    return NET_TAKEN;
}

enum net_answer rtl8139_receive(struct nic *base, const uint8_t *frame, uint32_t bytes,
                                const struct net_offload *offload)
{
    struct rtl8139 *nic = (struct rtl8139 *)base;

    if (!(nic->reg[RTL8139_CR] & RTL8139_CR_RE) || !nic_may_dma(&nic->base) || !passes(nic, frame))
        return NET_FILTERED;
    if (nic->reg[RTL8139_CPCR] & RTL8139_CPCR_RX)
        return receive_descs(nic, frame, bytes, offload);
    return receive_ring(nic, frame, bytes);
}

void rtl8139_received(struct nic *base)
{
    rtl8139_irq_set((struct rtl8139 *)base, RTL8139_INT_ROK);
}
