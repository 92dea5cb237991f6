/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration mechanism 1 (PCI 3.0, 3.2.2.3.2) and, in the same four ports, the reset control
 * register of PIIX3.
 *
 * Xen latches dword writes to 0xcf8 itself and turns 0xcfc into configuration requests, so under
 * Xen only the address register is seen here, and 0xcfc only while its enable bit is clear. Other
 * hypervisors send both, and then 0xcfc works as on real hardware.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/chipset/ports.h"
#include "devices/models.h"

#define CONFIG_ADDRESS 0 /* offsets from 0xcf8 */
#define RESET_CONTROL  1 /* 0xcf9, a byte: PIIX3 (290550) 2.5.4.2 */
#define CONFIG_DATA    4

#define ADDRESS_ENABLE 0x80000000
/* Bits 30:24 and 1:0 are reserved and read as zero. */
#define ADDRESS_WRITABLE 0x80fffffc

#define RC_HARD_RESET 0x02 /* what kind of reset */
#define RC_RESET_CPU  0x04 /* its rising edge resets; both kinds are one here */

struct pci_host {
    struct dev dev;
    struct bus *bus;
    const struct host *host;
    uint32_t address;
    uint8_t reset_control;
};

static uint32_t sbdf(const struct pci_host *bridge)
{
    return (bridge->address >> 8) & 0xffff;
}

static uint32_t reg(const struct pci_host *bridge, uint64_t offset)
{
    return (bridge->address & 0xfc) | (offset & 3);
}

static uint64_t pci_host_read(void *dev, uint64_t offset, unsigned size)
{
    struct pci_host *bridge = dev;

    if (offset >= CONFIG_DATA) {
        if (!(bridge->address & ADDRESS_ENABLE))
            return UINT64_MAX;
        return bus_pci_read(bridge->bus, sbdf(bridge), reg(bridge, offset), size);
    }
    if (offset == CONFIG_ADDRESS && size == 4)
        return bridge->address;
    if (offset == RESET_CONTROL && size == 1)
        return bridge->reset_control;
    return UINT64_MAX;
}

static void pci_host_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_host *bridge = dev;

    if (offset >= CONFIG_DATA) {
        if (bridge->address & ADDRESS_ENABLE)
            bus_pci_write(bridge->bus, sbdf(bridge), reg(bridge, offset), size, (uint32_t)value);
    } else if (offset == CONFIG_ADDRESS && size == 4) {
        bridge->address = (uint32_t)value & ADDRESS_WRITABLE;
    } else if (offset == RESET_CONTROL && size == 1) {
        bool edge = ~bridge->reset_control & value & RC_RESET_CPU;
        bridge->reset_control = value & (RC_HARD_RESET | RC_RESET_CPU);
        if (edge)
            host_power(bridge->host, HOST_POWER_RESET);
    }
}

static uint64_t data_read(void *dev, uint64_t offset, unsigned size)
{
    return pci_host_read(dev, CONFIG_DATA + offset, size);
}

static void data_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    pci_host_write(dev, CONFIG_DATA + offset, size, value);
}

/* A range for each register: an access that reaches from one into the other is split. */
static const struct bus_io_ops pci_host_io = {
    .read = pci_host_read, .write = pci_host_write, .max_size = 4};
static const struct bus_io_ops data_io = {.read = data_read, .write = data_write, .max_size = 4};

static const struct port_range ranges[] = {
    {0xcf8, 4, &pci_host_io},
    {0xcfc, 4, &data_io},
};

static void pci_host_reset(struct dev *dev)
{
    struct pci_host *bridge = (struct pci_host *)dev;

    bridge->address = 0;
    bridge->reset_control = 0;
}

static void pci_host_save(const struct dev *dev, struct state_writer *writer)
{
    const struct pci_host *bridge = (const struct pci_host *)dev;

    state_put_u32(writer, bridge->address);
    state_put_u8(writer, bridge->reset_control);
}

static void pci_host_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct pci_host *bridge = (struct pci_host *)dev;

    bridge->address = state_get_u32(reader) & ADDRESS_WRITABLE;
    bridge->reset_control = state_get_u8(reader) & (RC_HARD_RESET | RC_RESET_CPU);
}

static void pci_host_destroy(struct dev *dev)
{
    struct pci_host *bridge = (struct pci_host *)dev;

    ports_release(bridge->bus, ranges, PORTS_COUNT(ranges));
    free(bridge);
}

static const struct dev_ops pci_host_ops = {
    .model = "pci-host",
    .version = 1,
    .reset = pci_host_reset,
    .save = pci_host_save,
    .load = pci_host_load,
    .destroy = pci_host_destroy,
};

int pci_host_create(const struct dev_env *env, struct dev **ret_dev)
{
    struct pci_host *bridge = calloc(1, sizeof(*bridge));

    if (!bridge)
        return -ENOMEM;
    bridge->dev.ops = &pci_host_ops;
    bridge->dev.name = "pci-host";
    bridge->bus = env->bus;
    bridge->host = env->host;
    int err = ports_claim(env->bus, ranges, PORTS_COUNT(ranges), bridge);
    if (err) {
        free(bridge);
        return err;
    }
    *ret_dev = &bridge->dev;
    return 0;
}
