/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/e1000_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t e1000_rig_mac[NET_MAC_BYTES] = {0x00, 0x16, 0x3e, 0x12, 0x34, 0x56};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "e1000_rig: %s\n", what);
    abort();
}

static enum net_sent port_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    struct e1000_rig_port *mine = (struct e1000_rig_port *)port;
    struct e1000_rig *rig = mine->rig;
    struct e1000_rig_packet *packet = &rig->sent[rig->n_sent % E1000_RIG_SENT];
    uint32_t at = 0;

    if (mine->busy)
        return NET_BUSY;
    for (unsigned i = 0; i < n_iov; i++)
        at += (uint32_t)iov[i].iov_len;
    free(packet->data);
    packet->data = malloc(at ? at : 1);
    require(packet->data, "out of memory");
    packet->bytes = at;
    packet->offload = *offload;
    at = 0;
    for (unsigned i = 0; i < n_iov; i++) {
        memcpy(packet->data + at, iov[i].iov_base, iov[i].iov_len);
        at += (uint32_t)iov[i].iov_len;
    }
    rig->n_sent++;
    return NET_SENT;
}

static void port_set_reading(struct net_port *port, bool on)
{
    struct e1000_rig_port *mine = (struct e1000_rig_port *)port;

    mine->reading = on;
    mine->reads += on;
}

static void port_discard(struct net_port *port)
{
    ((struct e1000_rig_port *)port)->discards++;
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

static void make_device(struct e1000_rig *rig)
{
    struct dev_env env = {.host = &rig->fake.host, .bus = rig->bus, .spec = &rig->spec};
    struct machine_nic nic = {.model = "e1000", .net = rig->net, .slot = E1000_RIG_SLOT};

    memcpy(nic.mac, e1000_rig_mac, sizeof(nic.mac));
    require(!e1000_create(&env, &nic, &rig->dev), "the NIC was refused");
}

void e1000_rig_program(struct e1000_rig *rig)
{
    uint32_t sbdf = PCI_DEVFN(E1000_RIG_SLOT, 0);

    bus_pci_write(rig->bus, sbdf, PCI_BAR0, 4, E1000_RIG_MEM);
    bus_pci_write(rig->bus, sbdf, PCI_BAR0 + 8, 4, E1000_RIG_PORT);
    bus_pci_write(rig->bus, sbdf, PCI_COMMAND, 2,
                  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void e1000_rig_rings(struct e1000_rig *rig)
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

void e1000_rig_init_bare(struct e1000_rig *rig, unsigned caps)
{
    memset(rig, 0, sizeof(*rig));
    fake_host_init(&rig->fake, E1000_RIG_RAM);
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
}

void e1000_rig_init(struct e1000_rig *rig, unsigned caps)
{
    e1000_rig_init_bare(rig, caps);
    e1000_rig_program(rig);
    e1000_rig_rings(rig);
}

void e1000_rig_forget(struct e1000_rig *rig)
{
    for (unsigned i = 0; i < E1000_RIG_SENT; i++) {
        free(rig->sent[i].data);
        rig->sent[i] = (struct e1000_rig_packet){0};
    }
    rig->n_sent = 0;
}

void e1000_rig_finish(struct e1000_rig *rig)
{
    if (rig->dev)
        rig->dev->ops->destroy(rig->dev);
    net_close(rig->net);
    while (fake_loop_turn(rig->loop, 0))
        ;
    e1000_rig_forget(rig);
    bus_destroy(rig->bus);
    fake_loop_destroy(rig->loop);
    fake_host_finish(&rig->fake);
}

uint8_t *e1000_rig_save(struct e1000_rig *rig, size_t *ret_size)
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

int e1000_rig_migrate(struct e1000_rig *rig, const void *state, size_t size)
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

uint32_t e1000_rig_read(struct e1000_rig *rig, uint32_t offset)
{
    return (uint32_t)bus_read(rig->bus, BUS_MMIO, E1000_RIG_MEM + offset, 4);
}

void e1000_rig_write(struct e1000_rig *rig, uint32_t offset, uint32_t value)
{
    bus_write(rig->bus, BUS_MMIO, E1000_RIG_MEM + offset, 4, value);
}

bool e1000_rig_inta(const struct e1000_rig *rig)
{
    return rig->fake.intx[E1000_RIG_SLOT][0];
}

void e1000_rig_settle(struct e1000_rig *rig)
{
    bool moved;

    do {
        moved = fake_loop_turn(rig->loop, 0);
        for (unsigned i = 0; i < rig->fake.timers_armed && !moved; i++)
            moved = rig->fake.timers[i]->deadline_ns <= rig->fake.now;
        fake_host_advance(&rig->fake, 0);
    } while (moved);
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

void e1000_rig_desc(struct e1000_rig *rig, uint64_t addr, uint32_t low, uint32_t high)
{
    uint8_t *desc = rig->fake.ram + E1000_RIG_TX + (size_t)rig->tail * E1000_DESC_BYTES;

    put_le(desc, 8, addr);
    put_le(desc + 8, 4, low);
    put_le(desc + 12, 4, high);
    rig->tail = (rig->tail + 1) % E1000_RIG_RING;
}

void e1000_rig_doorbell(struct e1000_rig *rig)
{
    e1000_rig_write(rig, E1000_TDT, rig->tail);
}

uint8_t e1000_rig_tx_status(const struct e1000_rig *rig, uint32_t index)
{
    return rig->fake.ram[E1000_RIG_TX + (size_t)index * E1000_DESC_BYTES + 12];
}

void e1000_rig_receive_offload(struct e1000_rig *rig, const void *frame, uint32_t bytes,
                               const struct net_offload *offload)
{
    net_port_receive(&rig->port.port, frame, bytes, offload);
    net_port_received(&rig->port.port);
}

void e1000_rig_receive(struct e1000_rig *rig, const void *frame, uint32_t bytes)
{
    e1000_rig_receive_offload(rig, frame, bytes, NULL);
}

struct e1000_rig_rxd e1000_rig_rxd(const struct e1000_rig *rig, uint32_t index)
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

void e1000_rig_put_rxd(struct e1000_rig *rig, uint32_t index, uint64_t addr)
{
    uint8_t *desc = rig->fake.ram + E1000_RIG_RX + (size_t)index * E1000_DESC_BYTES;

    put_le(desc, 8, addr);
    put_le(desc + 8, 8, 0);
}

const uint8_t *e1000_rig_buffer(const struct e1000_rig *rig, uint32_t index)
{
    return rig->fake.ram + E1000_RIG_BUF + (size_t)index * E1000_RIG_BUF_STEP;
}
