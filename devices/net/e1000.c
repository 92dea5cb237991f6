/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM: one gigabit port on PCI. BAR 0 has its registers; BAR 2 has two ports through
 * which firmware reaches the same registers, and Linux resets it. There is no flash, so no BAR 1;
 * the expansion ROM is the machine's.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/net/e1000_internal.h"

#define PCI_MIN_GNT 0x3e

bool e1000_may_dma(const struct e1000 *nic)
{
    return !nic->held && pci_func_get(&nic->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

void e1000_arm(struct e1000 *nic, struct host_timer *timer, uint64_t ns)
{
    host_timer_arm(nic->host, timer, host_now_ns(nic->host) + ns);
}

void e1000_disarm(struct e1000 *nic, struct host_timer *timer)
{
    if (timer->deadline_ns)
        host_timer_disarm(nic->host, timer);
}

/* A quiesced one leaves the switch as it is: what comes meanwhile waits. */
void e1000_update(struct e1000 *nic)
{
    if (nic->held)
        return;
    net_receive_enable(nic->net, e1000_may_dma(nic) && nic->reg[E1000_R_RCTL] & E1000_RCTL_EN &&
                                     nic->reg[E1000_R_STATUS] & E1000_STATUS_LU &&
                                     !e1000_looped(nic));
    e1000_rx_ready(nic);
    e1000_tx_run(nic);
}

/* BAR 0. Registers are read and written whole (SDM 13.2): a part of one reads as that, and writing
 * one does nothing. */

static uint64_t mem_read(void *dev, uint64_t offset, unsigned size)
{
    uint32_t reg = (uint32_t)offset & ~3u, shift = 8 * ((uint32_t)offset & 3);

    if (shift + 8 * size > 32 && shift)
        return UINT64_MAX >> (64 - 8 * size); /* across two: no bus does that */
    uint64_t value = e1000_read(dev, reg) >> shift;
    if (size == 8)
        value |= (uint64_t)e1000_read(dev, reg + 4) << 32;
    return value;
}

static void mem_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    if (size < 4 || offset & 3)
        return;
    e1000_write(dev, (uint32_t)offset, (uint32_t)value);
    if (size == 8)
        e1000_write(dev, (uint32_t)offset + 4, (uint32_t)(value >> 32));
}

static const struct bus_io_ops mem_ops = {.read = mem_read, .write = mem_write, .max_size = 8};

/* BAR 2: IOADDR says which register IODATA is (SDM 13.2). IOADDR is written whole. */

static uint64_t io_read(void *dev, uint64_t offset, unsigned size)
{
    struct e1000 *nic = dev;
    uint32_t shift = 8 * ((uint32_t)offset & 3), value = 0;

    if ((offset & ~3ull) == E1000_IOADDR)
        value = nic->ioaddr;
    else if ((offset & ~3ull) == E1000_IODATA && nic->ioaddr < E1000_MEM_BYTES)
        value = e1000_read(nic, nic->ioaddr & ~3u);
    return value >> shift;
}

static void io_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct e1000 *nic = dev;

    if (size < 4 || offset & 3)
        return;
    if (offset == E1000_IOADDR)
        nic->ioaddr = (uint32_t)value;
    else if (offset == E1000_IODATA && nic->ioaddr < E1000_MEM_BYTES && !(nic->ioaddr & 3))
        e1000_write(nic, nic->ioaddr, (uint32_t)value);
}

static const struct bus_io_ops io_ops = {.read = io_read, .write = io_write, .max_size = 4};

static void pci_written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    if (reg > PCI_COMMAND + 1 || reg + size <= PCI_COMMAND)
        return;
    e1000_irq_update(dev);
    e1000_update(dev);
}

static void on_writable(void *owner)
{
    e1000_tx_run(owner);
}

static void on_link(void *owner, bool up)
{
    e1000_cable(owner);
}

static const struct net_client_ops client_ops = {
    .receive = e1000_receive,
    .received = e1000_received,
    .writable = on_writable,
    .link = on_link,
};

/* RST#, as at power-on: the link has come up before anybody looks. */
static void reset(struct dev *dev)
{
    struct e1000 *nic = (struct e1000 *)dev;

    pci_func_reset(&nic->pci);
    nic->ioaddr = 0;
    for (unsigned i = 0; i < E1000_STATS_WORDS; i++)
        nic->stats[i] = 0;
    e1000_phy_reset(nic);
    e1000_reset_all(nic);
    nic->reg[E1000_R_ICR] = 0;
    e1000_irq_update(nic);
}

static bool quiesce(struct dev *dev)
{
    ((struct e1000 *)dev)->held = true;
    return true;
}

static void resume(struct dev *dev)
{
    struct e1000 *nic = (struct e1000 *)dev;

    nic->held = false;
    e1000_link_update(nic);
}

static void disarm_all(struct e1000 *nic)
{
    struct host_timer *timers = (struct host_timer *)&nic->timer;

    for (unsigned i = 0; i < E1000_TIMERS; i++)
        e1000_disarm(nic, &timers[i]);
}

static void destroy(struct dev *dev)
{
    struct e1000 *nic = (struct e1000 *)dev;

    net_bind(nic->net, NULL, NULL);
    disarm_all(nic);
    if (nic->intx)
        host_pci_intx(nic->host, nic->slot, 0, false);
    pci_func_finish(&nic->pci);
    free(nic->tx.packet);
    free(nic);
}

static const struct dev_ops e1000_ops = {
    .model = "e1000",
    .version = 1,
    .reset = reset,
    .quiesce = quiesce,
    .resume = resume,
    .save = e1000_save,
    .load = e1000_load,
    .destroy = destroy,
};

static int init_pci(struct e1000 *nic, struct bus *bus, const struct machine_nic *spec)
{
    static const struct pci_id id = {
        .vendor = 0x8086,
        .device = 0x100e,
        .subvendor = 0x8086,
        .subdevice = 0x001e, /* PRO/1000 MT Desktop */
        .revision = 2,
        .class_code = 0x020000, /* Ethernet */
        .interrupt_pin = 1,
    };
    struct pci_func *pci = &nic->pci;

    pci->name = nic->name;
    pci->dev = nic;
    pci->written = pci_written;
    pci->rom = spec->rom;
    pci->rom_bytes = spec->rom_bytes;
    pci->bar[0] = (struct pci_bar){.type = PCI_BAR_MEM, .size = E1000_MEM_BYTES, .ops = &mem_ops};
    pci->bar[2] = (struct pci_bar){.type = PCI_BAR_IO, .size = E1000_IO_BYTES, .ops = &io_ops};
    int err = pci_func_init(pci, bus, PCI_DEVFN(nic->slot, 0), &id);
    if (!err)
        pci_func_reg(pci, PCI_MIN_GNT, 1, 0xff, 0, 0); /* SDM 4.1 */
    return err;
}

static void init_counters(struct e1000 *nic, struct dev_counter *counters)
{
    counters[0] = (struct dev_counter){"interrupts", &nic->counts.interrupts};
    counters[1] = (struct dev_counter){"throttled", &nic->counts.throttled};
    counters[2] = (struct dev_counter){"tx_lost", &nic->counts.tx_lost};
    counters[3] = (struct dev_counter){"rx_lost", &nic->counts.rx_lost};
    counters[4] = (struct dev_counter){"rx_no_buffers", &nic->counts.rx_no_buffers};
}

int e1000_create(const struct dev_env *env, const struct machine_nic *spec, struct dev **ret_dev)
{
    struct e1000 *nic = calloc(1, sizeof(*nic));
    int err = -ENOMEM;

    assert(spec->net && spec->slot < 32);
    if (!nic)
        return err;
    nic->tx.packet = malloc(NET_PACKET_MAX);
    if (!nic->tx.packet)
        goto free_nic;
    nic->host = env->host;
    nic->net = spec->net;
    nic->slot = spec->slot;
    snprintf(nic->name, sizeof(nic->name), NIC_NAME, spec->index);
    nic->dev.ops = &e1000_ops;
    nic->dev.name = nic->name;
    nic->dev.instance = spec->index;
    nic->dev.counters = nic->counter;
    nic->dev.n_counters = E1000_COUNTERS;
    init_counters(nic, nic->counter);
    e1000_irq_init(nic);
    host_timer_init(&nic->timer.tx_more, e1000_tx_more, nic);
    host_timer_init(&nic->timer.negotiation, e1000_negotiated, nic);
    e1000_eeprom_init(nic, spec->mac);
    err = init_pci(nic, env->bus, spec);
    if (err)
        goto free_packet;
    net_bind(nic->net, &client_ops, nic);
    reset(&nic->dev);
    *ret_dev = &nic->dev;
    return 0;

free_packet:
    free(nic->tx.packet);
free_nic:
    free(nic);
    return err;
}
