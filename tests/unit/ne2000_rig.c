/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/ne2000_rig.h"

void ne2000_rig_start(struct nic_rig *rig)
{
    static const uint8_t setup[][2] = {
        {NE2000_CR, NE2000_CR_STP | NE2000_CR_RD_ABORT},
        {NE2000_DCR, NE2000_DCR_WTS | NE2000_DCR_LS | 0x40},
        {NE2000_RCR, NE2000_RCR_AB},
        {NE2000_TCR, 0},
        {NE2000_PSTART, NE2000_RIG_START},
        {NE2000_PSTOP, NE2000_RIG_STOP},
        {NE2000_BNRY, NE2000_RIG_START},
        {NE2000_CR, 1 << NE2000_CR_PAGE_SHIFT | NE2000_CR_STP | NE2000_CR_RD_ABORT},
        {NE2000_CURR, NE2000_RIG_START + 1},
        {NE2000_CR, NE2000_CR_STA | NE2000_CR_RD_ABORT},
        {NE2000_ISR, 0xff},
        {NE2000_IMR, 0x7f},
    };

    for (unsigned i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
        ne2000_rig_out(rig, setup[i][0], 1, setup[i][1]);
}

uint32_t ne2000_rig_in(struct nic_rig *rig, unsigned reg, unsigned size)
{
    return (uint32_t)bus_read(rig->bus, BUS_PORT, NIC_RIG_PORT + reg, size);
}

void ne2000_rig_out(struct nic_rig *rig, unsigned reg, unsigned size, uint32_t value)
{
    bus_write(rig->bus, BUS_PORT, NIC_RIG_PORT + reg, size, value);
}

void ne2000_rig_remote(struct nic_rig *rig, uint8_t rd, uint16_t addr, uint16_t bytes)
{
    ne2000_rig_out(rig, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_RD_ABORT);
    ne2000_rig_out(rig, NE2000_RSAR0, 2, addr);
    ne2000_rig_out(rig, NE2000_RBCR0, 2, bytes);
    ne2000_rig_out(rig, NE2000_CR, 1, NE2000_CR_STA | rd);
}

void ne2000_rig_init(struct nic_rig *rig, unsigned caps)
{
    nic_rig_init(rig, &ne2000_rig_model, caps);
    ne2000_rig_start(rig);
}

static void transmit(struct nic_rig *rig, const void *frame, uint32_t bytes)
{
    ne2000_rig_remote(rig, NE2000_CR_RD_WRITE, NE2000_RIG_TX * NE2000_PAGE, (uint16_t)bytes);
    bus_port_write_block(rig->bus, NIC_RIG_PORT + NE2000_DATA, 2, frame, (bytes + 1) / 2);
    ne2000_rig_out(rig, NE2000_TPSR, 1, NE2000_RIG_TX);
    ne2000_rig_out(rig, NE2000_TBCR0, 2, bytes);
    ne2000_rig_out(rig, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_TXP | NE2000_CR_RD_ABORT);
}

const struct nic_rig_model ne2000_rig_model = {
    .name = "ne2k_pci",
    .create = ne2000_create,
    .id = 0x802910ec,
    .ram = 4096,
    .port_bar = PCI_BAR0,
    .start = ne2000_rig_start,
    .transmit = transmit,
};
