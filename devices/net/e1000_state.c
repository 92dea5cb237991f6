/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saving and loading: everything that a guest can see, what is left of each timer, and the packet
 * that is being gathered or waits for its way out. */
#include "devices/net/e1000_internal.h"

#define NOT_ARMED UINT64_MAX
/* No delay is longer: 2^16 units of 1.024 us. Negotiation takes less than twice that. */
#define TIMER_MAX_NS (2ull * 65536 * E1000_DELAY_NS)

static void save_context(const struct e1000_context *context, struct state_writer *writer)
{
    state_put_u8(writer, context->ipcss);
    state_put_u8(writer, context->ipcso);
    state_put_u16(writer, context->ipcse);
    state_put_u8(writer, context->tucss);
    state_put_u8(writer, context->tucso);
    state_put_u16(writer, context->tucse);
    state_put_u32(writer, context->paylen);
    state_put_u8(writer, context->hdrlen);
    state_put_u16(writer, context->mss);
    state_put_u8(writer, context->tcp);
    state_put_u8(writer, context->ipv4);
}

static void load_context(struct e1000_context *context, struct state_reader *reader)
{
    context->ipcss = state_get_u8(reader);
    context->ipcso = state_get_u8(reader);
    context->ipcse = state_get_u16(reader);
    context->tucss = state_get_u8(reader);
    context->tucso = state_get_u8(reader);
    context->tucse = state_get_u16(reader);
    context->paylen = state_get_u32(reader);
    context->hdrlen = state_get_u8(reader);
    context->mss = state_get_u16(reader);
    context->tcp = state_get_u8(reader);
    context->ipv4 = state_get_u8(reader);
    if (context->paylen > E1000_TXD_DTALEN)
        state_reject(reader);
}

static void save_tx(const struct e1000_tx *tx, struct state_writer *writer)
{
    save_context(&tx->normal, writer);
    save_context(&tx->segmentation, writer);
    state_put_u32(writer, tx->left);
    state_put_u8(writer, tx->phase);
    if (tx->phase == E1000_TX_IDLE)
        return;
    state_put_u8(writer, tx->too_long);
    state_put_u8(writer, tx->extended);
    state_put_u8(writer, tx->segment);
    state_put_u8(writer, tx->tagged);
    state_put_u8(writer, tx->popts);
    state_put_u8(writer, tx->css);
    state_put_u8(writer, tx->cso);
    state_put_u16(writer, tx->tag);
    save_context(&tx->context, writer);
    state_put_u32(writer, tx->bytes);
    state_put_bytes(writer, tx->packet, tx->bytes);
}

static bool valid_packet(const struct e1000_tx *tx)
{
    uint32_t most = e1000_tx_most(tx);

    if (tx->bytes > most || (tx->segment && !tx->extended))
        return false;
    if (tx->phase == E1000_TX_GATHERING)
        return true;
    return tx->phase == E1000_TX_READY && tx->bytes >= NET_ETH_BYTES && !tx->too_long &&
           (!tx->segment || tx->context.mss);
}

static void load_tx(struct e1000_tx *tx, struct state_reader *reader)
{
    load_context(&tx->normal, reader);
    load_context(&tx->segmentation, reader);
    tx->left = state_get_u32(reader);
    tx->phase = state_get_u8(reader);
    if (reader->error || tx->phase == E1000_TX_IDLE)
        return;
    tx->too_long = state_get_u8(reader);
    tx->extended = state_get_u8(reader);
    tx->segment = state_get_u8(reader);
    tx->tagged = state_get_u8(reader);
    tx->popts = state_get_u8(reader);
    tx->css = state_get_u8(reader);
    tx->cso = state_get_u8(reader);
    tx->tag = state_get_u16(reader);
    load_context(&tx->context, reader);
    tx->bytes = state_get_u32(reader);
    if (reader->error || !valid_packet(tx))
        state_reject(reader);
    else
        state_get_bytes(reader, tx->packet, tx->bytes);
}

static void save_words(const uint32_t *words, unsigned n, struct state_writer *writer)
{
    for (unsigned i = 0; i < n; i++)
        state_put_u32(writer, words[i]);
}

static void load_words(uint32_t *words, unsigned n, struct state_reader *reader)
{
    for (unsigned i = 0; i < n; i++)
        words[i] = state_get_u32(reader);
}

static void save_timers(const struct e1000 *nic, struct state_writer *writer)
{
    const struct host_timer *timers = (const struct host_timer *)&nic->timer;
    uint64_t now = host_now_ns(nic->base.host);

    for (unsigned i = 0; i < E1000_TIMERS; i++) {
        uint64_t at = timers[i].deadline_ns;
        state_put_u64(writer, !at ? NOT_ARMED : at > now ? at - now : 0);
    }
}

static void load_timers(struct e1000 *nic, struct state_reader *reader)
{
    struct host_timer *timers = (struct host_timer *)&nic->timer;

    for (unsigned i = 0; i < E1000_TIMERS; i++) {
        uint64_t left = state_get_u64(reader);
        nic_disarm(&nic->base, &timers[i]);
        if (left == NOT_ARMED || reader->error)
            continue;
        if (left > TIMER_MAX_NS)
            state_reject(reader);
        else
            nic_arm(&nic->base, &timers[i], left);
    }
}

void e1000_save(const struct nic *base, struct state_writer *writer)
{
    const struct e1000 *nic = (const struct e1000 *)base;

    save_words(nic->reg, E1000_REGS, writer);
    save_words(nic->mta, E1000_MTA_WORDS, writer);
    save_words(nic->ra, 2 * E1000_RA_ENTRIES, writer);
    save_words(nic->vfta, E1000_VFTA_WORDS, writer);
    save_words(nic->stats, E1000_STATS_WORDS, writer);
    state_put_u32(writer, nic->ioaddr);
    for (unsigned i = 0; i < E1000_PHY_REGS; i++)
        state_put_u16(writer, nic->phy[i]);
    state_put_u8(writer, nic->phy_fell);
    state_put_u8(writer, nic->mode.possible);
    state_put_u8(writer, nic->mode.full_duplex);
    state_put_u8(writer, nic->mode.speed);
    eeprom93_save(&nic->eeprom, writer);
    save_tx(&nic->tx, writer);
    save_timers(nic, writer);
}

void e1000_load(struct nic *base, struct state_reader *reader, uint32_t version)
{
    struct e1000 *nic = (struct e1000 *)base;

    load_words(nic->reg, E1000_REGS, reader);
    e1000_mac_check(nic, reader);
    load_words(nic->mta, E1000_MTA_WORDS, reader);
    load_words(nic->ra, 2 * E1000_RA_ENTRIES, reader);
    load_words(nic->vfta, E1000_VFTA_WORDS, reader);
    load_words(nic->stats, E1000_STATS_WORDS, reader);
    nic->ioaddr = state_get_u32(reader);
    for (unsigned i = 0; i < E1000_PHY_REGS; i++)
        nic->phy[i] = state_get_u16(reader);
    nic->phy_fell = state_get_u8(reader);
    nic->mode.possible = state_get_u8(reader);
    nic->mode.full_duplex = state_get_u8(reader);
    nic->mode.speed = state_get_u8(reader);
    if (nic->mode.speed > 2)
        state_reject(reader);
    eeprom93_load(&nic->eeprom, reader);
    load_tx(&nic->tx, reader);
    load_timers(nic, reader);
    if (!reader->error)
        e1000_irq_update(nic);
}
