/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/rtl8139_rig.h"

#include <string.h>

uint32_t rtl8139_rig_read(struct nic_rig *rig, uint32_t offset, unsigned size)
{
    return (uint32_t)bus_read(rig->bus, BUS_PORT, NIC_RIG_PORT + offset, size);
}

void rtl8139_rig_write(struct nic_rig *rig, uint32_t offset, unsigned size, uint32_t value)
{
    bus_write(rig->bus, BUS_MMIO, NIC_RIG_MEM + offset, size, value);
}

void rtl8139_rig_desc(struct nic_rig *rig, uint32_t ring, unsigned index, uint32_t opts1,
                      uint32_t opts2, uint64_t addr)
{
    uint8_t *desc = rig->fake.ram + ring + index * RTL8139_DESC_BYTES;

    rtl8139_put(desc, 4, opts1);
    rtl8139_put(desc + 4, 4, opts2);
    rtl8139_put(desc + 8, 4, (uint32_t)addr);
    rtl8139_put(desc + 12, 4, (uint32_t)(addr >> 32));
}

static void start(struct nic_rig *rig)
{
    rig->tail = 0;
    rtl8139_rig_write(rig, RTL8139_RBSTART, 4, RTL8139_RIG_RING);
    rtl8139_rig_write(rig, RTL8139_CR, 1, RTL8139_CR_RE | RTL8139_CR_TE);
    rtl8139_rig_write(rig, RTL8139_RCR, 4, RTL8139_RCR_APM | RTL8139_RCR_AB);
    rtl8139_rig_write(rig, RTL8139_IMR, 2, 0xe1ff);
}

static void transmit(struct nic_rig *rig, const void *frame, uint32_t bytes)
{
    uint32_t slot = rig->tail++ % 4;

    memcpy(rig->fake.ram + RTL8139_RIG_DATA, frame, bytes);
    rtl8139_rig_write(rig, RTL8139_TSAD0 + 4 * slot, 4, RTL8139_RIG_DATA);
    rtl8139_rig_write(rig, RTL8139_TSD0 + 4 * slot, 4, bytes);
}

static bool link_is_up(struct nic_rig *rig)
{
    return !(rtl8139_rig_read(rig, RTL8139_MSR, 1) & RTL8139_MSR_LINKB);
}

const struct nic_rig_model rtl8139_rig_model = {
    .name = "rtl8139",
    .create = rtl8139_create,
    .id = 0x813910ec,
    .ram = 1u << 20,
    .port_bar = PCI_BAR0,
    .mem_bar = PCI_BAR0 + 4,
    .start = start,
    .transmit = transmit,
    .link = link_is_up,
};
