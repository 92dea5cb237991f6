/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both transmitters: four slots, and the two rings of C+ mode. */
#include <string.h>

#include "devices/net/checksum.h"
#include "devices/net/frame.h"
#include "devices/net/rtl8139_internal.h"

#define TAG_AT 12u /* behind the addresses */

void rtl8139_tx_reset(struct rtl8139 *nic)
{
    uint8_t *packet = nic->tx.packet;

    nic->tx = (struct rtl8139_tx){.packet = packet};
    nic_disarm(&nic->base, &nic->tx_more);
}

static bool hand_over(struct rtl8139 *nic, const struct iovec *iov, unsigned n,
                      const struct net_offload *offload)
{
    return rtl8139_looped(nic) ? net_loop(nic->base.net, iov, n, offload)
                               : net_send(nic->base.net, iov, n, offload);
}

/* The slot whose turn it is. False: it is not the device's, or the way out takes nothing. */
static bool send_slot(struct rtl8139 *nic, uint32_t *causes)
{
    uint8_t *slot = nic->reg + RTL8139_TSD0 + 4 * nic->tx.next;
    uint32_t tsd = rtl8139_get(slot, 4), bytes = tsd & RTL8139_TSD_SIZE;
    struct iovec iov = {nic->tx.packet, bytes};

    if (tsd & RTL8139_TSD_OWN)
        return false;
    /* Out of reach is aborted, as on a bus without a target. */
    uint32_t addr = rtl8139_get(nic->reg + RTL8139_TSAD0 + 4 * nic->tx.next, 4);
    if (bytes < NET_ETH_BYTES || bytes > RTL8139_TX_MAX ||
        host_dma_read(nic->base.host, addr, nic->tx.packet, bytes)) {
        nic->counts.tx_lost++;
        nic->tally.tx_error++;
        rtl8139_put(slot, 4, tsd | RTL8139_TSD_OWN | RTL8139_TSD_TABT);
        *causes |= RTL8139_INT_TER;
    } else {
        if (!hand_over(nic, &iov, 1, NULL))
            return false;
        nic->tally.tx_ok++;
        rtl8139_put(slot, 4, tsd | RTL8139_TSD_OWN | RTL8139_TSD_TOK);
        *causes |= RTL8139_INT_TOK;
    }
    nic->tx.next = (nic->tx.next + 1) % 4;
    return true;
}

/* What is computed or left to others. The chip finds the headers itself; what the length fields of
 * the packet say is believed only within the packet. */
static void describe(struct rtl8139_tx *tx, struct net_offload *ret_offload)
{
    struct frame_headers headers;
    uint32_t shift = tx->opts2 & RTL8139_TXD_TAGC ? NET_VLAN_BYTES : 0;
    bool segment = tx->opts1 & RTL8139_TXD_LGSEN, udp;

    *ret_offload = (struct net_offload){0};
    frame_parse(tx->packet, tx->bytes, segment, &headers);
    if (segment) {
        ret_offload->gso = headers.version == 6 ? NET_GSO_TCP6 : NET_GSO_TCP4;
        ret_offload->gso_size = (uint16_t)((tx->opts1 & RTL8139_TXD_MSS) >> 16);
        return;
    }
    if (headers.version == 4 && tx->opts1 & RTL8139_TXD_IPCS)
        checksum_set_ip4(tx->packet, &headers);
    udp = headers.protocol == FRAME_IPPROTO_UDP;
    if (!headers.l4 || !(tx->opts1 & (udp ? RTL8139_TXD_UDPCS : RTL8139_TXD_TCPCS)))
        return;
    uint32_t field = checksum_field(&headers);
    uint16_t sum =
        (uint16_t)~checksum_finish(checksum_pseudo(tx->packet, &headers, headers.end - headers.l4));
    memcpy(tx->packet + field, &sum, 2);
    if (headers.end != tx->bytes) { /* padded */
        checksum_insert(tx->packet, tx->bytes, headers.l4, field, headers.end, udp);
        return;
    }
    ret_offload->csum_needed = true;
    ret_offload->csum_start = (uint16_t)(headers.l4 + shift);
    ret_offload->csum_offset = (uint16_t)(field - headers.l4);
}

/* Hands over the packet that is ready. False: it stays; describing it again changes nothing, except
 * for a sum that is complete, which is computed anew. */
static bool send_packet(struct rtl8139 *nic, uint32_t *causes)
{
    struct rtl8139_tx *tx = &nic->tx;
    /* The tag's bytes are swapped in the descriptor. */
    uint8_t tag[NET_VLAN_BYTES] = {FRAME_TYPE_VLAN >> 8, FRAME_TYPE_VLAN & 0xff, (uint8_t)tx->opts2,
                                   (uint8_t)(tx->opts2 >> 8)};
    struct iovec iov[3] = {{tx->packet, tx->bytes}};
    struct net_offload offload;
    unsigned n = 1;

    if (tx->opts2 & RTL8139_TXD_TAGC) {
        iov[0].iov_len = TAG_AT;
        iov[1] = (struct iovec){tag, sizeof(tag)};
        iov[2] = (struct iovec){tx->packet + TAG_AT, tx->bytes - TAG_AT};
        n = 3;
    }
    describe(tx, &offload);
    if (!hand_over(nic, iov, n, &offload))
        return false;
    nic->tally.tx_ok++;
    tx->phase = RTL8139_TX_IDLE;
    *causes |= RTL8139_INT_TOK;
    return true;
}

/* No more than a packet can have is read. */
static void gather(struct rtl8139 *nic, uint64_t addr, uint32_t bytes)
{
    struct rtl8139_tx *tx = &nic->tx;

    if (bytes > RTL8139_PACKET_MAX - tx->bytes) {
        tx->too_long = true;
        bytes = RTL8139_PACKET_MAX - tx->bytes;
    }
    /* A packet with a hole in it must not get a good checksum: it is lost. */
    if (bytes && host_dma_read(nic->base.host, addr, tx->packet + tx->bytes, bytes))
        tx->too_long = true;
    tx->bytes += bytes;
}

static void complete(struct rtl8139 *nic, uint32_t *causes)
{
    struct rtl8139_tx *tx = &nic->tx;
    bool segment = tx->opts1 & RTL8139_TXD_LGSEN;

    tx->phase = RTL8139_TX_READY;
    if (!tx->too_long && tx->bytes >= NET_ETH_BYTES &&
        (segment ? tx->opts1 & RTL8139_TXD_MSS : tx->bytes <= NET_FRAME_MAX - NET_VLAN_BYTES))
        return;
    tx->phase = RTL8139_TX_IDLE;
    nic->counts.tx_lost++;
    nic->tally.tx_error++;
    *causes |= RTL8139_INT_TER;
}

/* One descriptor of a ring. False: it is not the device's. */
static bool take(struct rtl8139 *nic, unsigned queue, uint32_t *causes)
{
    struct rtl8139_tx *tx = &nic->tx;
    const uint8_t *base = nic->reg + (queue ? RTL8139_THPDS : RTL8139_TNPDS);
    uint64_t at = ((uint64_t)rtl8139_get(base + 4, 4) << 32 | (rtl8139_get(base, 4) & ~255u)) +
                  tx->at[queue] * RTL8139_DESC_BYTES;
    uint8_t desc[RTL8139_DESC_BYTES];
    uint32_t opts1;

    if (host_dma_read(nic->base.host, at, desc, sizeof(desc)))
        return false;
    opts1 = rtl8139_get(desc, 4);
    if (!(opts1 & RTL8139_D_OWN))
        return false;
    if (opts1 & RTL8139_D_FS) {
        tx->phase = RTL8139_TX_GATHERING;
        tx->queue = (uint8_t)queue;
        tx->too_long = false;
        tx->bytes = 0;
        tx->opts1 = opts1;
        tx->opts2 = rtl8139_get(desc + 4, 4);
    }
    if (tx->phase == RTL8139_TX_GATHERING) {
        gather(nic, rtl8139_get(desc + 8, 4) | (uint64_t)rtl8139_get(desc + 12, 4) << 32,
               opts1 & RTL8139_TXD_LENGTH);
        if (opts1 & RTL8139_D_LS)
            complete(nic, causes);
    }
    rtl8139_put(desc, 4, opts1 & ~(RTL8139_D_OWN | RTL8139_TXD_STATUS));
    nic_store(&nic->base, at, desc, 4);
    tx->at[queue] = opts1 & RTL8139_D_EOR ? 0 : (uint8_t)((tx->at[queue] + 1) % RTL8139_DESCS);
    return true;
}

/* A packet that has begun is finished first; else the high priority's turn comes first. */
static bool next_queue(const struct rtl8139_tx *tx, unsigned *ret_queue)
{
    if (tx->phase == RTL8139_TX_GATHERING && tx->left[tx->queue])
        *ret_queue = tx->queue;
    else if (tx->phase != RTL8139_TX_GATHERING && (tx->left[0] || tx->left[1]))
        *ret_queue = tx->left[1] ? 1 : 0;
    else
        return false;
    return true;
}

static void run_rings(struct rtl8139 *nic, uint32_t *causes)
{
    struct rtl8139_tx *tx = &nic->tx;
    unsigned budget = RTL8139_TX_TURN, queue;

    if (tx->phase == RTL8139_TX_READY && !send_packet(nic, causes))
        return;
    while (next_queue(tx, &queue)) {
        if (!budget--) {
            nic_arm(&nic->base, &nic->tx_more, 0);
            return;
        }
        tx->left[queue]--;
        if (!take(nic, queue, causes)) {
            tx->left[queue] = 0;
            *causes |= RTL8139_INT_TDU;
        }
        if (tx->phase == RTL8139_TX_READY && !send_packet(nic, causes))
            return;
    }
}

void rtl8139_tx_run(struct rtl8139 *nic)
{
    uint32_t causes = 0;

    if (!(nic->reg[RTL8139_CR] & RTL8139_CR_TE) || !nic_may_dma(&nic->base))
        return;
    if (nic->reg[RTL8139_CPCR] & RTL8139_CPCR_TX) {
        run_rings(nic, &causes);
    } else {
        for (unsigned i = 0; i < 4 && send_slot(nic, &causes); i++)
            ;
    }
    if (causes)
        rtl8139_irq_set(nic, causes);
}

void rtl8139_tx_more(void *arg)
{
    rtl8139_tx_run(arg);
}
