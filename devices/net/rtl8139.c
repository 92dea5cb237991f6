/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Realtek RTL8139C+: a Fast Ethernet port on PCI. BAR 0 (ports) and BAR 1 (memory) show the same
 * 256 bytes of registers. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/net/rtl8139_internal.h"

bool rtl8139_may_dma(const struct rtl8139 *nic)
{
    return !nic->held && pci_func_get(&nic->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

/* A quiesced one leaves the switch as it is: what comes meanwhile waits. */
void rtl8139_update(struct rtl8139 *nic)
{
    if (nic->held)
        return;
    net_receive_enable(nic->net, rtl8139_may_dma(nic) && nic->reg[RTL8139_CR] & RTL8139_CR_RE &&
                                     net_link(nic->net) && !rtl8139_looped(nic));
    net_receive_ready(nic->net);
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

static void pci_written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    if (reg > PCI_COMMAND + 1 || reg + size <= PCI_COMMAND)
        return;
    rtl8139_irq_update(dev);
    rtl8139_update(dev);
}

static void on_writable(void *owner)
{
    rtl8139_tx_run(owner);
}

static void on_link(void *owner, bool up)
{
    struct rtl8139 *nic = owner;

    nic->link = up;
    if (!up)
        nic->link_fell = true;
    rtl8139_put(nic->reg + RTL8139_CSCR, 2,
                rtl8139_get(nic->reg + RTL8139_CSCR, 2) | RTL8139_CSCR_LINK_CHANGED);
    rtl8139_irq_set(nic, RTL8139_INT_LINK);
    rtl8139_update(nic);
}

static const struct net_client_ops client_ops = {
    .receive = rtl8139_receive,
    .received = rtl8139_received,
    .writable = on_writable,
    .link = on_link,
};

static void reset(struct dev *dev)
{
    struct rtl8139 *nic = (struct rtl8139 *)dev;

    pci_func_reset(&nic->pci);
    for (unsigned i = 0; i < RTL8139_BAR_BYTES; i++)
        nic->reg[i] = 0;
    nic->tally = (struct rtl8139_tally){0};
    nic->link = net_link(nic->net);
    nic->link_fell = false;
    rtl8139_autoload(nic);
    rtl8139_phy_reset(nic);
    rtl8139_mac_reset(nic);
}

/* Every transfer is complete when its access or turn is. */
static bool quiesce(struct dev *dev)
{
    ((struct rtl8139 *)dev)->held = true;
    return true;
}

static void resume(struct dev *dev)
{
    struct rtl8139 *nic = (struct rtl8139 *)dev;

    nic->held = false;
    if (nic->link != net_link(nic->net))
        on_link(nic, !nic->link);
    rtl8139_update(nic);
}

static void disarm(struct rtl8139 *nic, struct host_timer *timer)
{
    if (timer->deadline_ns)
        host_timer_disarm(nic->host, timer);
}

static void destroy(struct dev *dev)
{
    struct rtl8139 *nic = (struct rtl8139 *)dev;

    net_bind(nic->net, NULL, NULL);
    disarm(nic, &nic->timer);
    disarm(nic, &nic->tx_more);
    if (nic->intx)
        host_pci_intx(nic->host, nic->slot, 0, false);
    pci_func_finish(&nic->pci);
    free(nic->tx.packet);
    free(nic);
}

static const struct dev_ops rtl8139_ops = {
    .model = "rtl8139",
    .version = 2,
    .reset = reset,
    .quiesce = quiesce,
    .resume = resume,
    .save = rtl8139_save,
    .load = rtl8139_load,
    .destroy = destroy,
};

static int init_pci(struct rtl8139 *nic, struct bus *bus, const struct machine_nic *spec)
{
    static const struct pci_id id = {
        .vendor = 0x10ec,
        .device = 0x8139,
        .subvendor = 0x10ec,
        .subdevice = 0x8139,
        .revision = 0x20, /* by which drivers know the C+ */
        .class_code = 0x020000,
        .interrupt_pin = 1,
    };
    struct pci_func *pci = &nic->pci;

    pci->name = nic->name;
    pci->dev = nic;
    pci->written = pci_written;
    pci->rom = spec->rom;
    pci->rom_bytes = spec->rom_bytes;
    pci->bar[0] = (struct pci_bar){.type = PCI_BAR_IO, .size = RTL8139_BAR_BYTES, .ops = &bar_ops};
    pci->bar[1] = (struct pci_bar){.type = PCI_BAR_MEM, .size = RTL8139_BAR_BYTES, .ops = &bar_ops};
    return pci_func_init(pci, bus, PCI_DEVFN(nic->slot, 0), &id);
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

int rtl8139_create(const struct dev_env *env, const struct machine_nic *spec, struct dev **ret_dev)
{
    struct rtl8139 *nic = calloc(1, sizeof(*nic));
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
    nic->dev.ops = &rtl8139_ops;
    nic->dev.name = nic->name;
    nic->dev.instance = spec->index;
    nic->dev.counters = nic->counter;
    nic->dev.n_counters = RTL8139_COUNTERS;
    nic->counter[0] = (struct dev_counter){"interrupts", &nic->counts.interrupts};
    nic->counter[1] = (struct dev_counter){"tx_lost", &nic->counts.tx_lost};
    nic->counter[2] = (struct dev_counter){"rx_lost", &nic->counts.rx_lost};
    nic->counter[3] = (struct dev_counter){"rx_no_buffers", &nic->counts.rx_no_buffers};
    host_timer_init(&nic->timer, rtl8139_timeout, nic);
    host_timer_init(&nic->tx_more, rtl8139_tx_more, nic);
    init_eeprom(nic, spec->mac);
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
