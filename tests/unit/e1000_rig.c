/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/e1000_rig.h"

#include <string.h>

void e1000_rig_rings(struct nic_rig *rig)
{
    memset(rig->fake.ram + E1000_RIG_TX, 0, E1000_RIG_RING * E1000_DESC_BYTES);
    memset(rig->fake.ram + E1000_RIG_RX, 0, E1000_RIG_RING * E1000_DESC_BYTES);
    rig->tail = 0;
    e1000_rig_write(rig, E1000_TDBAL, E1000_RIG_TX);
    e1000_rig_write(rig, E1000_TDLEN, E1000_RIG_RING * E1000_DESC_BYTES);
    e1000_rig_write(rig, E1000_TDH, 0);
    e1000_rig_write(rig, E1000_TDT, 0);
    e1000_rig_write(rig, E1000_TCTL, E1000_TCTL_EN | 0x8);
    for (uint32_t i = 0; i < E1000_RIG_RING; i++)
        e1000_rig_put_rxd(rig, i, E1000_RIG_BUF + (uint64_t)i * E1000_RIG_BUF_STEP);
    e1000_rig_write(rig, E1000_RDBAL, E1000_RIG_RX);
    e1000_rig_write(rig, E1000_RDLEN, E1000_RIG_RING * E1000_DESC_BYTES);
    e1000_rig_write(rig, E1000_RDH, 0);
    e1000_rig_write(rig, E1000_RDT, E1000_RIG_RING - 1);
    e1000_rig_write(rig, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_BAM);
}

void e1000_rig_init(struct nic_rig *rig, unsigned caps)
{
    nic_rig_init(rig, &e1000_rig_model, caps);
    e1000_rig_rings(rig);
}

uint32_t e1000_rig_read(struct nic_rig *rig, uint32_t offset)
{
    return (uint32_t)bus_read(rig->bus, BUS_MMIO, NIC_RIG_MEM + offset, 4);
}

void e1000_rig_write(struct nic_rig *rig, uint32_t offset, uint32_t value)
{
    bus_write(rig->bus, BUS_MMIO, NIC_RIG_MEM + offset, 4, value);
}

static void put_le(uint8_t *bytes, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

void e1000_rig_desc(struct nic_rig *rig, uint64_t addr, uint32_t low, uint32_t high)
{
    uint8_t *desc = rig->fake.ram + E1000_RIG_TX + (size_t)rig->tail * E1000_DESC_BYTES;

    put_le(desc, 8, addr);
    put_le(desc + 8, 4, low);
    put_le(desc + 12, 4, high);
    rig->tail = (rig->tail + 1) % E1000_RIG_RING;
}

void e1000_rig_doorbell(struct nic_rig *rig)
{
    e1000_rig_write(rig, E1000_TDT, rig->tail);
}

uint8_t e1000_rig_tx_status(const struct nic_rig *rig, uint32_t index)
{
    return rig->fake.ram[E1000_RIG_TX + (size_t)index * E1000_DESC_BYTES + 12];
}

struct e1000_rig_rxd e1000_rig_rxd(const struct nic_rig *rig, uint32_t index)
{
    const uint8_t *desc = rig->fake.ram + E1000_RIG_RX + (size_t)index * E1000_DESC_BYTES;

    return (struct e1000_rig_rxd){
        .addr = get_le(desc, 8),
        .length = (uint16_t)get_le(desc + 8, 2),
        .checksum = (uint16_t)get_le(desc + 10, 2),
        .status = desc[12],
        .errors = desc[13],
        .special = (uint16_t)get_le(desc + 14, 2),
    };
}

void e1000_rig_put_rxd(struct nic_rig *rig, uint32_t index, uint64_t addr)
{
    uint8_t *desc = rig->fake.ram + E1000_RIG_RX + (size_t)index * E1000_DESC_BYTES;

    put_le(desc, 8, addr);
    put_le(desc + 8, 8, 0);
}

const uint8_t *e1000_rig_buffer(const struct nic_rig *rig, uint32_t index)
{
    return rig->fake.ram + E1000_RIG_BUF + (size_t)index * E1000_RIG_BUF_STEP;
}

static void start(struct nic_rig *rig)
{
    e1000_rig_rings(rig);
    e1000_rig_write(rig, E1000_IMS, E1000_INT_ALL);
}

static void transmit(struct nic_rig *rig, const void *frame, uint32_t bytes)
{
    memcpy(rig->fake.ram + E1000_RIG_DATA, frame, bytes);
    e1000_rig_desc(rig, E1000_RIG_DATA, E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS | bytes, 0);
    e1000_rig_doorbell(rig);
}

static bool link_is_up(struct nic_rig *rig)
{
    return e1000_rig_read(rig, E1000_STATUS) & E1000_STATUS_LU;
}

const struct nic_rig_model e1000_rig_model = {
    .name = "e1000",
    .create = e1000_create,
    .id = 0x100e8086,
    .ram = E1000_RIG_RAM,
    .port_bar = PCI_BAR0 + 8,
    .mem_bar = PCI_BAR0,
    .start = start,
    .transmit = transmit,
    .link = link_is_up,
};
