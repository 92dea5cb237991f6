/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM: one gigabit port on PCI. BAR 0 has its registers; BAR 2 has two ports through
 * which firmware reaches the same registers, and Linux resets it. There is no flash, so no BAR 1;
 * the expansion ROM is the machine's.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/net/e1000_internal.h"

#define PCI_MIN_GNT 0x3e

void e1000_update(struct e1000 *nic)
{
    nic_receive_enable(&nic->base,
                       nic_may_dma(&nic->base) && nic->reg[E1000_R_RCTL] & E1000_RCTL_EN &&
                           nic->reg[E1000_R_STATUS] & E1000_STATUS_LU && !e1000_looped(nic));
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

static void command(struct nic *base)
{
    struct e1000 *nic = (struct e1000 *)base;

    e1000_irq_update(nic);
    e1000_update(nic);
}

static void writable(struct nic *base)
{
    e1000_tx_run((struct e1000 *)base);
}

static void link(struct nic *base, bool up)
{
    e1000_cable((struct e1000 *)base);
}

/* The link has come up before anybody looks. */
static void reset(struct nic *base)
{
    struct e1000 *nic = (struct e1000 *)base;

    nic->ioaddr = 0;
    for (unsigned i = 0; i < E1000_STATS_WORDS; i++)
        nic->stats[i] = 0;
    e1000_phy_reset(nic);
    e1000_reset_all(nic);
    nic->reg[E1000_R_ICR] = 0;
    e1000_irq_update(nic);
}

static void resume(struct nic *base)
{
    e1000_link_update((struct e1000 *)base);
}

static int init(struct nic *base, const uint8_t mac[NET_MAC_BYTES])
{
    struct e1000 *nic = (struct e1000 *)base;

    nic->tx.packet = malloc(NET_PACKET_MAX);
    if (!nic->tx.packet)
        return -ENOMEM;
    nic_add_counter(base, "throttled", &nic->counts.throttled);
    nic_add_counter(base, "tx_lost", &nic->counts.tx_lost);
    nic_add_counter(base, "rx_lost", &nic->counts.rx_lost);
    nic_add_counter(base, "rx_no_buffers", &nic->counts.rx_no_buffers);
    e1000_irq_init(nic);
    host_timer_init(&nic->timer.tx_more, e1000_tx_more, nic);
    host_timer_init(&nic->timer.negotiation, e1000_negotiated, nic);
    e1000_eeprom_init(nic, mac);
    pci_func_reg(&base->pci, PCI_MIN_GNT, 1, 0xff, 0, 0); /* SDM 4.1 */
    return 0;
}

static void finish(struct nic *base)
{
    struct e1000 *nic = (struct e1000 *)base;
    struct host_timer *timers = (struct host_timer *)&nic->timer;

    for (unsigned i = 0; i < E1000_TIMERS; i++)
        nic_disarm(base, &timers[i]);
    free(nic->tx.packet);
}

static const struct nic_model model = {
    .dev = NIC_DEV_OPS("e1000", 1),
    .size = sizeof(struct e1000),
    .id =
        {
            .vendor = 0x8086,
            .device = 0x100e,
            .subvendor = 0x8086,
            .subdevice = 0x001e, /* PRO/1000 MT Desktop */
            .revision = 2,
        },
    .bar =
        {
            [0] = {.type = PCI_BAR_MEM, .size = E1000_MEM_BYTES, .ops = &mem_ops},
            [2] = {.type = PCI_BAR_IO, .size = E1000_IO_BYTES, .ops = &io_ops},
        },
    .init = init,
    .finish = finish,
    .reset = reset,
    .resume = resume,
    .save = e1000_save,
    .load = e1000_load,
    .command = command,
    .receive = e1000_receive,
    .received = e1000_received,
    .writable = writable,
    .link = link,
};

int e1000_create(const struct dev_env *env, const struct machine_nic *spec, struct dev **ret_dev)
{
    return nic_create(&model, env, spec, ret_dev);
}
