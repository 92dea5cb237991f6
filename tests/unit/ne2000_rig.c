/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/ne2000_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t ne2000_rig_mac[NET_MAC_BYTES] = {0x00, 0x16, 0x3e, 0x12, 0x34, 0x56};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "ne2000_rig: %s\n", what);
    abort();
}

static enum net_sent port_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    struct ne2000_rig_port *mine = (struct ne2000_rig_port *)port;
    struct ne2000_rig *rig = mine->rig;
    struct ne2000_rig_packet *packet = &rig->sent[rig->n_sent % NE2000_RIG_SENT];
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
    struct ne2000_rig_port *mine = (struct ne2000_rig_port *)port;

    mine->reading = on;
    mine->reads += on;
}

static void port_discard(struct net_port *port)
{
    ((struct ne2000_rig_port *)port)->discards++;
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

static void make_device(struct ne2000_rig *rig)
{
    struct dev_env env = {.host = &rig->fake.host, .bus = rig->bus, .spec = &rig->spec};
    struct machine_nic nic = {.model = "ne2k_pci", .net = rig->net, .slot = NE2000_RIG_SLOT};

    memcpy(nic.mac, ne2000_rig_mac, sizeof(nic.mac));
    require(!ne2000_create(&env, &nic, &rig->dev), "the NIC was refused");
}

void ne2000_rig_program(struct ne2000_rig *rig)
{
    uint32_t sbdf = PCI_DEVFN(NE2000_RIG_SLOT, 0);

    bus_pci_write(rig->bus, sbdf, PCI_BAR0, 4, NE2000_RIG_PORT);
    bus_pci_write(rig->bus, sbdf, PCI_COMMAND, 2, PCI_COMMAND_IO);
}

void ne2000_rig_start(struct ne2000_rig *rig)
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

void ne2000_rig_init_bare(struct ne2000_rig *rig, unsigned caps)
{
    memset(rig, 0, sizeof(*rig));
    fake_host_init(&rig->fake, NE2000_RIG_RAM);
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

void ne2000_rig_init(struct ne2000_rig *rig, unsigned caps)
{
    ne2000_rig_init_bare(rig, caps);
    ne2000_rig_program(rig);
    ne2000_rig_start(rig);
}

void ne2000_rig_forget(struct ne2000_rig *rig)
{
    for (unsigned i = 0; i < NE2000_RIG_SENT; i++) {
        free(rig->sent[i].data);
        rig->sent[i] = (struct ne2000_rig_packet){0};
    }
    rig->n_sent = 0;
}

void ne2000_rig_finish(struct ne2000_rig *rig)
{
    if (rig->dev)
        rig->dev->ops->destroy(rig->dev);
    net_close(rig->net);
    while (fake_loop_turn(rig->loop, 0))
        ;
    ne2000_rig_forget(rig);
    bus_destroy(rig->bus);
    fake_loop_destroy(rig->loop);
    fake_host_finish(&rig->fake);
}

uint8_t *ne2000_rig_save(struct ne2000_rig *rig, size_t *ret_size)
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

int ne2000_rig_migrate(struct ne2000_rig *rig, const void *state, size_t size)
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

uint32_t ne2000_rig_in(struct ne2000_rig *rig, unsigned reg, unsigned size)
{
    return (uint32_t)bus_read(rig->bus, BUS_PORT, NE2000_RIG_PORT + reg, size);
}

void ne2000_rig_out(struct ne2000_rig *rig, unsigned reg, unsigned size, uint32_t value)
{
    bus_write(rig->bus, BUS_PORT, NE2000_RIG_PORT + reg, size, value);
}

void ne2000_rig_remote(struct ne2000_rig *rig, uint8_t rd, uint16_t addr, uint16_t bytes)
{
    ne2000_rig_out(rig, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_RD_ABORT);
    ne2000_rig_out(rig, NE2000_RSAR0, 2, addr);
    ne2000_rig_out(rig, NE2000_RBCR0, 2, bytes);
    ne2000_rig_out(rig, NE2000_CR, 1, NE2000_CR_STA | rd);
}

bool ne2000_rig_inta(const struct ne2000_rig *rig)
{
    return rig->fake.intx[NE2000_RIG_SLOT][0];
}

void ne2000_rig_settle(struct ne2000_rig *rig)
{
    while (fake_loop_turn(rig->loop, 0))
        ;
}

void ne2000_rig_receive(struct ne2000_rig *rig, const void *frame, uint32_t bytes)
{
    net_port_receive(&rig->port.port, frame, bytes, NULL);
    net_port_received(&rig->port.port);
}
