/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Realtek RTL8139C+: a Fast Ethernet port on PCI. BAR 0 (ports) and BAR 1 (memory) show the same
 * 256 bytes of registers. */
#include <errno.h>
#include <stdlib.h>

#include "devices/net/rtl8139_internal.h"

void rtl8139_update(struct rtl8139 *nic)
{
    nic_receive_enable(&nic->base, nic_may_dma(&nic->base) &&
                                       nic->reg[RTL8139_CR] & RTL8139_CR_RE &&
                                       net_link(nic->base.net) && !rtl8139_looped(nic));
    rtl8139_tx_run(nic);
}

static uint64_t bar_read(void *dev, uint64_t offset, unsigned size)
{
    return rtl8139_read(dev, (uint32_t)offset, size);
}

static void bar_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    rtl8139_write(dev, (uint32_t)offset, size, (uint32_t)value);
}

static const struct bus_io_ops bar_ops = {.read = bar_read, .write = bar_write, .max_size = 4};

static void command(struct nic *base)
{
    struct rtl8139 *nic = (struct rtl8139 *)base;

    rtl8139_irq_update(nic);
    rtl8139_update(nic);
}

static void writable(struct nic *base)
{
    rtl8139_tx_run((struct rtl8139 *)base);
}

static void link(struct nic *base, bool up)
{
    struct rtl8139 *nic = (struct rtl8139 *)base;

    nic->link = up;
    if (!up)
        nic->link_fell = true;
    rtl8139_put(nic->reg + RTL8139_CSCR, 2,
                rtl8139_get(nic->reg + RTL8139_CSCR, 2) | RTL8139_CSCR_LINK_CHANGED);
    rtl8139_irq_set(nic, RTL8139_INT_LINK);
    rtl8139_update(nic);
}

static void reset(struct nic *base)
{
    struct rtl8139 *nic = (struct rtl8139 *)base;

    for (unsigned i = 0; i < RTL8139_BAR_BYTES; i++)
        nic->reg[i] = 0;
    nic->tally = (struct rtl8139_tally){0};
    nic->link = net_link(base->net);
    nic->link_fell = false;
    rtl8139_autoload(nic);
    rtl8139_phy_reset(nic);
    rtl8139_mac_reset(nic);
}

static void resume(struct nic *base)
{
    struct rtl8139 *nic = (struct rtl8139 *)base;

    if (nic->link != net_link(base->net))
        link(base, !nic->link);
    rtl8139_update(nic);
}

/* A 93C46: the mark 0x8129, IDs, the address from word 7 on, configuration (RTL8139C(L), 7). */
static void init_eeprom(struct rtl8139 *nic, const uint8_t mac[NET_MAC_BYTES])
{
    uint16_t *data = nic->eeprom.data;

    eeprom93_init(&nic->eeprom, 64);
    data[0] = 0x8129;
    data[1] = data[3] = 0x10ec;
    data[2] = data[4] = 0x8139;
    for (unsigned i = 0; i < 3; i++)
        data[7 + i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
}

static int init(struct nic *base, const uint8_t mac[NET_MAC_BYTES])
{
    struct rtl8139 *nic = (struct rtl8139 *)base;

    nic->tx.packet = malloc(NET_PACKET_MAX);
    if (!nic->tx.packet)
        return -ENOMEM;
    nic_add_counter(base, "tx_lost", &nic->counts.tx_lost);
    nic_add_counter(base, "rx_lost", &nic->counts.rx_lost);
    nic_add_counter(base, "rx_no_buffers", &nic->counts.rx_no_buffers);
    host_timer_init(&nic->timer, rtl8139_timeout, nic);
    host_timer_init(&nic->tx_more, rtl8139_tx_more, nic);
    init_eeprom(nic, mac);
    return 0;
}

static void finish(struct nic *base)
{
    struct rtl8139 *nic = (struct rtl8139 *)base;

    nic_disarm(base, &nic->timer);
    nic_disarm(base, &nic->tx_more);
    free(nic->tx.packet);
}

static const struct nic_model model = {
    .dev = NIC_DEV_OPS("rtl8139", 2),
    .size = sizeof(struct rtl8139),
    .id =
        {
            .vendor = 0x10ec,
            .device = 0x8139,
            .subvendor = 0x10ec,
            .subdevice = 0x8139,
            .revision = 0x20, /* by which drivers know the C+ */
        },
    .bar =
        {
            [0] = {.type = PCI_BAR_IO, .size = RTL8139_BAR_BYTES, .ops = &bar_ops},
            [1] = {.type = PCI_BAR_MEM, .size = RTL8139_BAR_BYTES, .ops = &bar_ops},
        },
    .init = init,
    .finish = finish,
    .reset = reset,
    .resume = resume,
    .save = rtl8139_save,
    .load = rtl8139_load,
    .command = command,
    .receive = rtl8139_receive,
    .received = rtl8139_received,
    .writable = writable,
    .link = link,
};

int rtl8139_create(const struct dev_env *env, const struct machine_nic *spec, struct dev **ret_dev)
{
    return nic_create(&model, env, spec, ret_dev);
}
