/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The register space: a table of single registers, what writing some of them sets off, and the
 * tables of addresses, multicast hashes, VLANs and statistics. Everything else reads as 0. */
#include <string.h>

#include "devices/net/e1000_internal.h"
#include "devices/state.h"

struct reg {
    uint32_t offset, initial, writable;
};

#define REG(name, offset, initial, writable) {offset, initial, writable},
static const struct reg regs[E1000_REGS] = {E1000_REGISTERS(REG)};

/* Index of the register at `offset`; E1000_REGS: there is none. */
static unsigned find(uint32_t offset)
{
    unsigned low = 0, high = E1000_REGS;

    if (offset == E1000_CTRL_DUP)
        return E1000_R_CTRL;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (regs[mid].offset == offset)
            return mid;
        if (regs[mid].offset < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return E1000_REGS;
}

static void ctrl_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    if (value & E1000_CTRL_RST) {
        e1000_reset_all(nic);
        if (value & E1000_CTRL_PHY_RST)
            e1000_phy_restart(nic);
        return;
    }
    if ((value ^ old) & E1000_CTRL_PHY_RST)
        e1000_phy_restart(nic);
    e1000_link_update(nic);
}

static void eecd_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    e1000_eecd(nic);
}

static void eerd_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    if (value & E1000_EERD_START)
        e1000_eerd(nic);
}

static void ctrl_ext_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    if (value & E1000_CTRL_EXT_EE_RST)
        e1000_eeprom_load(nic);
}

static void mdic_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    e1000_mdic(nic);
}

static void icr_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    nic->reg[E1000_R_ICR] &= ~value;
    e1000_irq_update(nic);
}

/* Counts from the last rise, for an interrupt that waits, too. */
static void itr_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    nic_disarm(&nic->base, &nic->timer.throttle);
    e1000_irq_update(nic);
}

static void ics_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    e1000_irq_set(nic, value & E1000_INT_ALL);
}

static void ims_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    nic->reg[E1000_R_IMS] |= value & E1000_INT_ALL;
    e1000_irq_update(nic);
}

static void imc_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    nic->reg[E1000_R_IMS] &= ~value;
    e1000_irq_update(nic);
}

static void control_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    e1000_update(nic);
}

/* The receiver's share is a multiple of 8 KiB, the rest is the transmitter's (SDM 13.4.16). */
static void pba_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    uint32_t rxa = nic->reg[E1000_R_PBA] & 0x78;
    uint32_t txa = rxa < E1000_PBA_KIB ? E1000_PBA_KIB - rxa : 0;

    nic->reg[E1000_R_PBA] = txa << 16 | rxa;
}

static void rdt_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    nic_receive_ready(&nic->base);
}

static void rdtr_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    if (value & E1000_RDTR_FPD)
        e1000_irq_flush_rx(nic);
}

static void tdt_written(struct e1000 *nic, uint32_t old, uint32_t value)
{
    nic->tx.left = nic->reg[E1000_R_TDLEN] / E1000_DESC_BYTES;
    e1000_tx_run(nic);
}

/* After the new value is in place; `value` is what was written, `old` what the register was. */
static void (*const written[E1000_REGS])(struct e1000 *nic, uint32_t old, uint32_t value) = {
    [E1000_R_CTRL] = ctrl_written,    [E1000_R_EECD] = eecd_written,
    [E1000_R_EERD] = eerd_written,    [E1000_R_CTRL_EXT] = ctrl_ext_written,
    [E1000_R_MDIC] = mdic_written,    [E1000_R_ICR] = icr_written,
    [E1000_R_ITR] = itr_written,      [E1000_R_ICS] = ics_written,
    [E1000_R_IMS] = ims_written,      [E1000_R_IMC] = imc_written,
    [E1000_R_RCTL] = control_written, [E1000_R_TCTL] = control_written,
    [E1000_R_PBA] = pba_written,      [E1000_R_RDT] = rdt_written,
    [E1000_R_RDTR] = rdtr_written,    [E1000_R_TDT] = tdt_written,
};

/* A table's word at `offset`; NULL: it is in none. */
static uint32_t *table_word(struct e1000 *nic, uint32_t offset)
{
    if (offset >= E1000_MTA && offset < E1000_MTA + 4 * E1000_MTA_WORDS)
        return &nic->mta[(offset - E1000_MTA) / 4];
    if (offset >= E1000_RA && offset < E1000_RA + 8 * E1000_RA_ENTRIES)
        return &nic->ra[(offset - E1000_RA) / 4];
    if (offset >= E1000_VFTA && offset < E1000_VFTA + 4 * E1000_VFTA_WORDS)
        return &nic->vfta[(offset - E1000_VFTA) / 4];
    return NULL;
}

uint32_t e1000_read(struct e1000 *nic, uint32_t offset)
{
    unsigned i = find(offset);
    const uint32_t *word;

    switch (i) {
    case E1000_REGS:
        break;
    case E1000_R_ICR:
        return e1000_icr_read(nic);
    case E1000_R_EECD:
        return e1000_eecd_read(nic);
    default:
        return nic->reg[i];
    }
    if (offset >= E1000_STATS && offset < E1000_STATS + 4 * E1000_STATS_WORDS)
        return e1000_stats_read(nic, offset);
    word = table_word(nic, offset);
    return word ? *word : 0;
}

void e1000_write(struct e1000 *nic, uint32_t offset, uint32_t value)
{
    unsigned i = find(offset);

    if (i == E1000_REGS) {
        uint32_t *word = table_word(nic, offset);
        bool high = word && word >= nic->ra && word < nic->ra + 2 * E1000_RA_ENTRIES && offset & 4;
        if (word)
            *word = high ? value & E1000_RAH_WRITES : value;
        return;
    }

    uint32_t old = nic->reg[i], writable = regs[i].writable;
    nic->reg[i] = (old & ~writable) | (value & writable);
    if (written[i])
        written[i](nic, old, value);
}

void e1000_mac_reset(struct e1000 *nic)
{
    uint32_t status = nic->reg[E1000_R_STATUS]; /* the link's, which stays */

    for (unsigned i = 0; i < E1000_REGS; i++)
        nic->reg[i] = regs[i].initial;
    nic->reg[E1000_R_STATUS] = status;
}

/* Bits that software writes and hardware does not; STATUS and the rest are checked where used. */
void e1000_mac_check(const struct e1000 *nic, struct state_reader *reader)
{
    static const uint16_t plain[] = {
        E1000_R_CTRL,  E1000_R_VET,   E1000_R_RCTL,  E1000_R_TCTL, E1000_R_RDBAL,
        E1000_R_RDLEN, E1000_R_RDH,   E1000_R_RDT,   E1000_R_RDTR, E1000_R_RADV,
        E1000_R_RSRPD, E1000_R_TDBAL, E1000_R_TDLEN, E1000_R_TDH,  E1000_R_TDT,
        E1000_R_TIDV,  E1000_R_TADV,  E1000_R_ITR,   E1000_R_FCT,  E1000_R_RXCSUM,
    };

    for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (nic->reg[plain[i]] & ~regs[plain[i]].writable)
            state_reject(reader);
    }
    if ((nic->reg[E1000_R_ICR] | nic->reg[E1000_R_IMS]) & ~E1000_INT_ALL)
        state_reject(reader);
}

void e1000_reset_all(struct e1000 *nic)
{
    e1000_mac_reset(nic);
    memset(nic->mta, 0, sizeof(nic->mta));
    memset(nic->vfta, 0, sizeof(nic->vfta));
    e1000_eeprom_load(nic);
    e1000_tx_reset(nic);
    nic_disarm(&nic->base, &nic->timer.rx_delay);
    nic_disarm(&nic->base, &nic->timer.rx_absolute);
    nic_disarm(&nic->base, &nic->timer.tx_delay);
    nic_disarm(&nic->base, &nic->timer.tx_absolute);
    nic->rx_causes = 0;
    e1000_irq_update(nic);
    e1000_link_update(nic);
}
