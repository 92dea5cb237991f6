/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/rtl8139_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t rtl8139_rig_mac[NET_MAC_BYTES] = {0x00, 0x16, 0x3e, 0x12, 0x34, 0x56};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "rtl8139_rig: %s\n", what);
    abort();
}

static enum net_sent port_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    struct rtl8139_rig_port *mine = (struct rtl8139_rig_port *)port;
    struct rtl8139_rig_packet *packet = &mine->rig->last;

    if (mine->busy)
        return NET_BUSY;
    packet->bytes = 0;
    packet->offload = *offload;
    for (unsigned i = 0; i < n_iov; i++) {
        require(iov[i].iov_len <= sizeof(packet->data) - packet->bytes, "a packet too long");
        memcpy(packet->data + packet->bytes, iov[i].iov_base, iov[i].iov_len);
        packet->bytes += (uint32_t)iov[i].iov_len;
    }
    mine->rig->n_sent++;
    return NET_SENT;
}

static void port_set_reading(struct net_port *port, bool on)
{
}

static void port_discard(struct net_port *port)
{
}

static void port_close(struct net_port *port)
{
}

static const struct net_backend_ops port_ops = {
    .name = "rig",
    .send = port_send,
    .set_reading = port_set_reading,
    .discard = port_discard,
    .close = port_close,
};

static void make_device(struct rtl8139_rig *rig)
{
    struct dev_env env = {.host = &rig->fake.host, .bus = rig->bus, .spec = &rig->spec};
    struct machine_nic nic = {.model = "rtl8139", .net = rig->net, .slot = RTL8139_RIG_SLOT};

    memcpy(nic.mac, rtl8139_rig_mac, sizeof(nic.mac));
    require(!rtl8139_create(&env, &nic, &rig->dev), "the NIC was refused");
}

void rtl8139_rig_program(struct rtl8139_rig *rig)
{
    uint32_t sbdf = PCI_DEVFN(RTL8139_RIG_SLOT, 0);

    bus_pci_write(rig->bus, sbdf, PCI_BAR0, 4, RTL8139_RIG_PORT);
    bus_pci_write(rig->bus, sbdf, PCI_BAR0 + 4, 4, RTL8139_RIG_MEM);
    bus_pci_write(rig->bus, sbdf, PCI_COMMAND, 2,
                  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void rtl8139_rig_init(struct rtl8139_rig *rig, unsigned caps)
{
    memset(rig, 0, sizeof(*rig));
    fake_host_init(&rig->fake, RTL8139_RIG_RAM);
    rig->loop = fake_loop_create();
    fake_loop_set_clock(rig->loop, 1000000000);
    require(!bus_create(NULL, NULL, &rig->bus), "bus_create");
    rig->port.port = (struct net_port){
        .ops = &port_ops,
        .loop = fake_loop(rig->loop),
        .caps = caps,
        .max_frame = NET_FRAME_MAX,
    };
    rig->port.rig = rig;
    require(!net_open(&rig->port.port, &rig->net), "net_open");
    make_device(rig);
    rtl8139_rig_program(rig);
}

void rtl8139_rig_finish(struct rtl8139_rig *rig)
{
    rig->dev->ops->destroy(rig->dev);
    net_close(rig->net);
    while (fake_loop_turn(rig->loop, 0))
        ;
    bus_destroy(rig->bus);
    fake_loop_destroy(rig->loop);
    fake_host_finish(&rig->fake);
}

uint8_t *rtl8139_rig_save(struct rtl8139_rig *rig, size_t *ret_size)
{
    struct state_writer writer;
    uint8_t *state = NULL;

    for (unsigned pass = 0; pass < 2; pass++) {
        size_t size = pass ? writer.pos : 0;
        if (pass) {
            state = malloc(size);
            require(state, "out of memory");
        }
        state_writer_init(&writer, state, size);
        state_begin(&writer, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
        rig->dev->ops->save(rig->dev, &writer);
        state_end(&writer);
        require(!writer.error, "the state does not fit into the size that it said");
    }
    *ret_size = writer.pos;
    return state;
}

int rtl8139_rig_migrate(struct rtl8139_rig *rig, const void *state, size_t size)
{
    struct state_reader reader;

    rig->dev->ops->destroy(rig->dev);
    make_device(rig);
    state_reader_init(&reader, state, size);
    uint32_t version =
        state_open(&reader, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
    if (version) {
        rig->dev->ops->load(rig->dev, &reader, version);
        state_close(&reader);
    }
    return reader.error;
}

uint32_t rtl8139_rig_read(struct rtl8139_rig *rig, uint32_t offset, unsigned size)
{
    return (uint32_t)bus_read(rig->bus, BUS_PORT, RTL8139_RIG_PORT + offset, size);
}

void rtl8139_rig_write(struct rtl8139_rig *rig, uint32_t offset, unsigned size, uint32_t value)
{
    bus_write(rig->bus, BUS_MMIO, RTL8139_RIG_MEM + offset, size, value);
}

void rtl8139_rig_receive(struct rtl8139_rig *rig, const void *frame, uint32_t bytes)
{
    net_port_receive(&rig->port.port, frame, bytes, NULL);
    net_port_received(&rig->port.port);
}

void rtl8139_rig_settle(struct rtl8139_rig *rig)
{
    for (unsigned i = 0; i < 16; i++) {
        fake_loop_turn(rig->loop, 0);
        fake_host_advance(&rig->fake, 1000);
    }
}

void rtl8139_rig_desc(struct rtl8139_rig *rig, uint32_t ring, unsigned index, uint32_t opts1,
                      uint32_t opts2, uint64_t addr)
{
    uint8_t *desc = rig->fake.ram + ring + index * RTL8139_DESC_BYTES;

    rtl8139_put(desc, 4, opts1);
    rtl8139_put(desc + 4, 4, opts2);
    rtl8139_put(desc + 8, 4, (uint32_t)addr);
    rtl8139_put(desc + 12, 4, (uint32_t)(addr >> 32));
}
