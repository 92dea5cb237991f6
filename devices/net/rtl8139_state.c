/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saving and loading. TCTR goes on from where it was. */
#include "devices/net/rtl8139_internal.h"

/* Nobody's TCTR has counted for longer: ten years. */
#define TCTR_MAX_NS (10ull * 366 * 86400 * 1000000000)

static void save_tx(const struct rtl8139_tx *tx, struct state_writer *writer)
{
    state_put_u8(writer, tx->next);
    for (unsigned i = 0; i < 2; i++) {
        state_put_u8(writer, tx->at[i]);
        state_put_u8(writer, tx->left[i]);
    }
    state_put_u8(writer, tx->phase);
    if (tx->phase == RTL8139_TX_IDLE)
        return;
    state_put_u8(writer, tx->queue);
    state_put_u8(writer, tx->too_long);
    state_put_u32(writer, tx->opts1);
    state_put_u32(writer, tx->opts2);
    state_put_u32(writer, tx->bytes);
    state_put_bytes(writer, tx->packet, tx->bytes);
}

static bool valid_packet(const struct rtl8139_tx *tx)
{
    if (tx->bytes > RTL8139_PACKET_MAX || tx->queue > 1)
        return false;
    if (tx->phase == RTL8139_TX_GATHERING)
        return true;
    return tx->phase == RTL8139_TX_READY && tx->bytes >= NET_ETH_BYTES && !tx->too_long &&
           (tx->opts1 & RTL8139_TXD_LGSEN ? !!(tx->opts1 & RTL8139_TXD_MSS)
                                          : tx->bytes <= NET_FRAME_MAX - NET_VLAN_BYTES);
}

static void load_tx(struct rtl8139_tx *tx, struct state_reader *reader)
{
    tx->next = state_get_u8(reader);
    for (unsigned i = 0; i < 2; i++) {
        tx->at[i] = state_get_u8(reader);
        tx->left[i] = state_get_u8(reader);
        if (tx->at[i] >= RTL8139_DESCS || tx->left[i] > RTL8139_DESCS)
            state_reject(reader);
    }
    tx->phase = state_get_u8(reader);
    if (tx->next >= 4)
        state_reject(reader);
    if (reader->error || tx->phase == RTL8139_TX_IDLE)
        return;
    tx->queue = state_get_u8(reader);
    tx->too_long = state_get_u8(reader);
    tx->opts1 = state_get_u32(reader);
    tx->opts2 = state_get_u32(reader);
    tx->bytes = state_get_u32(reader);
    if (reader->error || !valid_packet(tx))
        state_reject(reader);
    else
        state_get_bytes(reader, tx->packet, tx->bytes);
}

void rtl8139_save(const struct nic *base, struct state_writer *writer)
{
    const struct rtl8139 *nic = (const struct rtl8139 *)base;

    state_put_bytes(writer, nic->reg, sizeof(nic->reg));
    state_put_u32(writer, nic->dtccr[0]);
    state_put_u32(writer, nic->dtccr[1]);
    state_put_u8(writer, nic->rx_at);
    state_put_u8(writer, nic->link_fell);
    eeprom93_save(&nic->eeprom, writer);
    save_tx(&nic->tx, writer);
    state_put_u64(writer, nic->tally.tx_ok);
    state_put_u64(writer, nic->tally.rx_ok);
    state_put_u64(writer, nic->tally.tx_error);
    state_put_u64(writer, nic->tally.rx_own);
    state_put_u64(writer, nic->tally.rx_broadcast);
    state_put_u32(writer, nic->tally.rx_error);
    state_put_u32(writer, nic->tally.rx_multicast);
    state_put_u16(writer, nic->tally.missed);
    state_put_u64(writer, host_now_ns(nic->base.host) - nic->tctr_ns);
    state_put_u8(writer, nic->link);
}

/* What the cable was is known from version 2 on. */
void rtl8139_load(struct nic *base, struct state_reader *reader, uint32_t version)
{
    struct rtl8139 *nic = (struct rtl8139 *)base;
    uint64_t elapsed;

    state_get_bytes(reader, nic->reg, sizeof(nic->reg));
    nic->dtccr[0] = state_get_u32(reader);
    nic->dtccr[1] = state_get_u32(reader);
    nic->rx_at = state_get_u8(reader);
    if (nic->rx_at >= RTL8139_DESCS)
        state_reject(reader);
    nic->link_fell = state_get_u8(reader);
    eeprom93_load(&nic->eeprom, reader);
    load_tx(&nic->tx, reader);
    nic->tally.tx_ok = state_get_u64(reader);
    nic->tally.rx_ok = state_get_u64(reader);
    nic->tally.tx_error = state_get_u64(reader);
    nic->tally.rx_own = state_get_u64(reader);
    nic->tally.rx_broadcast = state_get_u64(reader);
    nic->tally.rx_error = state_get_u32(reader);
    nic->tally.rx_multicast = state_get_u32(reader);
    nic->tally.missed = state_get_u16(reader);
    elapsed = state_get_u64(reader);
    if (elapsed > TCTR_MAX_NS)
        state_reject(reader);
    nic->tctr_ns = host_now_ns(nic->base.host) - elapsed;
    nic->link = version >= 2 ? state_get_u8(reader) : net_link(nic->base.net);
    if (reader->error)
        return;
    rtl8139_timer_update(nic);
    rtl8139_irq_update(nic);
}
