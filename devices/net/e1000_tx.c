/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transmit ring (SDM 3.3 to 3.6): descriptors between head and tail are copied, acted upon and
 * given back in order. What they do to a packet is done here or said in its struct net_offload.
 */
#include <string.h>

#include "devices/net/checksum.h"
#include "devices/net/e1000_internal.h"

#define FETCH 16u /* descriptors that are read at a time */

#define TAG_AT 12u /* behind the addresses */

struct desc {
    uint64_t addr;
    uint32_t low, high; /* words 2 and 3 */
};

/* What one turn has come to. */
struct turn {
    unsigned budget;
    bool at_once, delayed; /* reports: SDM 3.4.3 */
    bool refused;          /* the way out took nothing */
};

static uint32_t le32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t ring_base(const struct e1000 *nic)
{
    return (uint64_t)nic->reg[E1000_R_TDBAH] << 32 | nic->reg[E1000_R_TDBAL];
}

/* How many descriptors are the device's. With a head outside of the ring there are none; a tail
 * outside is never met, so it is the whole ring, once for each time that the tail is written. */
static uint32_t pending(const struct e1000 *nic)
{
    uint32_t count = nic->reg[E1000_R_TDLEN] / E1000_DESC_BYTES;
    uint32_t head = nic->reg[E1000_R_TDH], tail = nic->reg[E1000_R_TDT], n;

    if (head >= count)
        return 0;
    n = tail >= count ? count : tail >= head ? tail - head : count - head + tail;
    return n < nic->tx.left ? n : nic->tx.left;
}

void e1000_tx_reset(struct e1000 *nic)
{
    uint8_t *packet = nic->tx.packet;

    nic->tx = (struct e1000_tx){.packet = packet};
    nic_disarm(&nic->base, &nic->timer.tx_more);
}

static void take_context(struct e1000 *nic, const struct desc *desc)
{
    struct e1000_context *context =
        desc->low & E1000_TXD_TSE ? &nic->tx.segmentation : &nic->tx.normal;
    uint32_t ip = (uint32_t)desc->addr, l4 = (uint32_t)(desc->addr >> 32);

    *context = (struct e1000_context){
        .ipcss = (uint8_t)ip,
        .ipcso = (uint8_t)(ip >> 8),
        .ipcse = (uint16_t)(ip >> 16),
        .tucss = (uint8_t)l4,
        .tucso = (uint8_t)(l4 >> 8),
        .tucse = (uint16_t)(l4 >> 16),
        .paylen = desc->low & E1000_TXD_DTALEN,
        .hdrlen = (uint8_t)(desc->high >> 8),
        .mss = (uint16_t)(desc->high >> 16),
        .tcp = desc->low & E1000_TXD_TUCMD_TCP,
        .ipv4 = desc->low & E1000_TXD_TUCMD_IPV4,
    };
}

/* The first descriptor says what kind of packet it will be. */
static void open_packet(struct e1000_tx *tx, const struct desc *desc)
{
    tx->phase = E1000_TX_GATHERING;
    tx->bytes = 0;
    tx->too_long = tx->tagged = tx->insert = false;
    tx->extended = desc->low & E1000_TXD_DEXT;
    tx->segment = tx->extended && desc->low & E1000_TXD_TSE;
    tx->popts = (uint8_t)(desc->high >> 8);
    tx->css = tx->popts;
    tx->cso = (uint8_t)(desc->low >> E1000_TXD_CSO_SHIFT);
    tx->context = tx->segment ? tx->segmentation : tx->normal;
    if (tx->segment && desc->low & E1000_TXD_VLE) {
        tx->tagged = true;
        tx->tag = (uint16_t)(desc->high >> 16);
    }
}

/* No more than a packet can have is read. One without address moves nothing (SDM 3.3.3.1). */
static void gather(struct e1000 *nic, uint64_t addr, uint32_t bytes)
{
    struct e1000_tx *tx = &nic->tx;
    uint32_t most = e1000_tx_most(tx);

    if (!addr || !bytes)
        return;
    if (bytes > most - tx->bytes) {
        tx->too_long = true;
        bytes = most - tx->bytes;
    }
    /* A packet with a hole in it must not get a good checksum: it is lost. */
    if (bytes && host_dma_read(nic->base.host, addr, tx->packet + tx->bytes, bytes))
        tx->too_long = true;
    tx->bytes += bytes;
}

static void lose_packet(struct e1000 *nic)
{
    nic->tx.phase = E1000_TX_IDLE;
    nic->counts.tx_lost++;
    if (nic->tx.segment)
        e1000_count(nic, E1000_TSCTFC);
}

/* Whether the TCP or UDP checksum is one that net_send() understands: to the packet's end. */
static bool leaves_l4(const struct e1000_tx *tx)
{
    const struct e1000_context *context = &tx->context;

    return !context->tucse && context->tucss >= NET_ETH_BYTES && context->tucso >= context->tucss &&
           context->tucso + 2u <= tx->bytes;
}

static bool inserts_l4(const struct e1000_tx *tx)
{
    return tx->extended && !tx->segment && tx->popts & E1000_TXD_POPTS_TXSM;
}

/* The checksums of a packet that stays whole and that nobody else will insert (SDM 3.6), once: what
 * the field holds takes part. One that would lie outside is not inserted. */
static void insert_checksums(struct e1000_tx *tx)
{
    const struct e1000_context *context = &tx->context;
    uint32_t bytes = tx->bytes;

    if (tx->insert)
        checksum_insert(tx->packet, bytes, tx->css, tx->cso, bytes, false);
    if (tx->extended && !tx->segment && tx->popts & E1000_TXD_POPTS_IXSM)
        checksum_insert(tx->packet, bytes, context->ipcss, context->ipcso,
                        context->ipcse ? context->ipcse + 1u : bytes, false);
    if (inserts_l4(tx) && !leaves_l4(tx))
        checksum_insert(tx->packet, bytes, context->tucss, context->tucso,
                        context->tucse ? context->tucse + 1u : bytes, !context->tcp);
}

/* What is left to others. */
static void describe(const struct e1000_tx *tx, struct net_offload *ret_offload)
{
    const struct e1000_context *context = &tx->context;
    uint32_t shift = tx->tagged ? NET_VLAN_BYTES : 0;

    *ret_offload = (struct net_offload){0};
    if (tx->segment) {
        ret_offload->gso = !context->tcp   ? NET_GSO_UDP
                           : context->ipv4 ? NET_GSO_TCP4
                                           : NET_GSO_TCP6;
        ret_offload->gso_size = context->mss;
    } else if (inserts_l4(tx) && leaves_l4(tx)) {
        ret_offload->csum_needed = true;
        ret_offload->csum_start = (uint16_t)(context->tucss + shift);
        ret_offload->csum_offset = (uint16_t)(context->tucso - context->tucss);
    }
}

static void count_packet(struct e1000 *nic)
{
    const struct e1000_tx *tx = &nic->tx;
    uint32_t tag = tx->tagged ? NET_VLAN_BYTES : 0, header = tx->context.hdrlen;

    if (!tx->segment || tx->bytes <= header + tx->context.mss) {
        e1000_count_sent(nic, tx->packet, tx->bytes + tag, 1, tx->bytes + tag);
    } else {
        uint32_t payload = tx->bytes - header, mss = tx->context.mss;
        uint32_t packets = (payload + mss - 1) / mss;
        e1000_count_sent(nic, tx->packet, payload + (uint64_t)packets * (header + tag), packets,
                         header + tag + mss);
    }
    if (tx->segment)
        e1000_count(nic, E1000_TSCTC);
}

/* Hands over the packet that is ready. False: it stays. */
static bool send_packet(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;
    uint32_t vet = nic->reg[E1000_R_VET];
    uint8_t tag[NET_VLAN_BYTES] = {(uint8_t)(vet >> 8), (uint8_t)vet, (uint8_t)(tx->tag >> 8),
                                   (uint8_t)tx->tag};
    struct iovec iov[3] = {{tx->packet, tx->bytes}};
    struct net_offload offload;
    unsigned n = 1;

    if (tx->tagged) {
        iov[0].iov_len = TAG_AT;
        iov[1] = (struct iovec){tag, sizeof(tag)};
        iov[2] = (struct iovec){tx->packet + TAG_AT, tx->bytes - TAG_AT};
        n = 3;
    }
    describe(tx, &offload);
    if (!(e1000_looped(nic) ? net_loop(nic->base.net, iov, n, &offload)
                            : net_send(nic->base.net, iov, n, &offload)))
        return false;
    count_packet(nic);
    tx->phase = E1000_TX_IDLE;
    return true;
}

/* All of it is there. */
static void complete(struct e1000 *nic, const struct desc *desc)
{
    struct e1000_tx *tx = &nic->tx;

    if (!tx->segment && desc->low & E1000_TXD_VLE) {
        tx->tagged = true;
        tx->tag = (uint16_t)(desc->high >> 16);
    }
    if (!(nic->reg[E1000_R_CTRL] & E1000_CTRL_VME))
        tx->tagged = false;
    tx->insert = !tx->extended && desc->low & E1000_TXD_IC;
    if (tx->too_long || tx->bytes < NET_ETH_BYTES || (tx->segment && !tx->context.mss)) {
        lose_packet(nic);
        return;
    }
    if (tx->segment && tx->bytes != tx->context.hdrlen + tx->context.paylen)
        e1000_count(nic, E1000_TSCTFC);
    insert_checksums(tx);
    tx->phase = E1000_TX_READY;
}

static void take_data(struct e1000 *nic, const struct desc *desc)
{
    struct e1000_tx *tx = &nic->tx;
    bool extended = desc->low & E1000_TXD_DEXT;

    if (tx->phase == E1000_TX_IDLE)
        open_packet(tx, desc);
    gather(nic, desc->addr, desc->low & (extended ? E1000_TXD_DTALEN : E1000_TXD_LENGTH));
    if (desc->low & E1000_TXD_EOP)
        complete(nic, desc);
}

static void take(struct e1000 *nic, const struct desc *desc)
{
    uint32_t type = desc->low & E1000_TXD_DTYP;

    if (!(desc->low & E1000_TXD_DEXT) || type == E1000_TXD_DTYP_DATA)
        take_data(nic, desc);
    else if (!type)
        take_context(nic, desc);
}

/* Gives a descriptor back: one that asks for it gets DD, and there will be an interrupt. */
static void give_back(struct e1000 *nic, struct turn *turn, uint64_t at, const struct desc *desc)
{
    uint32_t count = nic->reg[E1000_R_TDLEN] / E1000_DESC_BYTES;
    uint32_t next = nic->reg[E1000_R_TDH] + 1;

    if (desc->low & E1000_TXD_RS) {
        uint8_t status = (uint8_t)(desc->high | E1000_TXD_DD);
        nic_store(&nic->base, at + 12, &status, sizeof(status));
        if (desc->low & E1000_TXD_IDE)
            turn->delayed = true;
        else
            turn->at_once = true;
    }
    nic->reg[E1000_R_TDH] = next < count ? next : 0;
    nic->tx.left--;
    turn->budget--;
}

/* Some descriptors from the head on, each copied once. */
static void take_some(struct e1000 *nic, struct turn *turn, uint32_t n)
{
    uint32_t count = nic->reg[E1000_R_TDLEN] / E1000_DESC_BYTES, head = nic->reg[E1000_R_TDH];
    uint64_t at = ring_base(nic) + (uint64_t)head * E1000_DESC_BYTES;
    uint8_t bytes[FETCH * E1000_DESC_BYTES];

    if (n > FETCH)
        n = FETCH;
    if (n > count - head)
        n = count - head;
    if (n > turn->budget)
        n = turn->budget;
    /* Out of reach: descriptors without an address, which move nothing. */
    if (host_dma_read(nic->base.host, at, bytes, n * E1000_DESC_BYTES))
        memset(bytes, 0, sizeof(bytes));
    for (uint32_t i = 0; i < n && !turn->refused; i++, at += E1000_DESC_BYTES) {
        const uint8_t *from = bytes + i * E1000_DESC_BYTES;
        const struct desc desc = {
            .addr = le32(from) | (uint64_t)le32(from + 4) << 32,
            .low = le32(from + 8),
            .high = le32(from + 12),
        };
        take(nic, &desc);
        give_back(nic, turn, at, &desc);
        if (nic->tx.phase == E1000_TX_READY)
            turn->refused = !send_packet(nic);
    }
}

/* Queue empty; queue low, which it is when empty with LWTHRESH 0 (SDM 13.4, TXDCTL). */
static uint32_t queue_causes(const struct e1000 *nic, uint32_t before)
{
    uint32_t low = 8 * (nic->reg[E1000_R_TXDCTL] >> E1000_TXDCTL_LWTHRESH), now = pending(nic);
    uint32_t causes = 0;

    if (before && !now)
        causes |= E1000_INT_TXQE;
    if (before > low && now <= low)
        causes |= E1000_INT_TXD_LOW;
    return causes;
}

static bool may_send(const struct e1000 *nic)
{
    return nic->reg[E1000_R_TCTL] & E1000_TCTL_EN && nic_may_dma(&nic->base) &&
           (nic->reg[E1000_R_STATUS] & E1000_STATUS_LU || e1000_looped(nic));
}

void e1000_tx_run(struct e1000 *nic)
{
    struct turn turn = {.budget = E1000_TX_TURN};
    uint32_t before = pending(nic), n;

    if (!may_send(nic))
        return;
    if (nic->tx.phase == E1000_TX_READY)
        turn.refused = !send_packet(nic);
    while (!turn.refused && turn.budget && (n = pending(nic)))
        take_some(nic, &turn, n);
    if (!turn.budget && !turn.refused && pending(nic))
        nic_arm(&nic->base, &nic->timer.tx_more, 0);
    e1000_irq_sent(nic, queue_causes(nic, before), turn.at_once, turn.delayed);
}

void e1000_tx_more(void *arg)
{
    e1000_tx_run(arg);
}
