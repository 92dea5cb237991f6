/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/nic_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_MAX 100000u /* more, and it never comes to rest */

const uint8_t nic_rig_mac[NET_MAC_BYTES] = {0x00, 0x16, 0x3e, 0x12, 0x34, 0x56};

static void require(const struct nic_rig *rig, bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "nic_rig: %s: %s\n", rig->model->name, what);
    abort();
}

static enum net_sent port_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    struct nic_rig_port *mine = (struct nic_rig_port *)port;
    struct nic_rig *rig = mine->rig;
    struct nic_rig_packet *packet = &rig->sent[rig->n_sent % NIC_RIG_SENT];
    uint32_t at = 0;

    if (mine->busy)
        return NET_BUSY;
    for (unsigned i = 0; i < n_iov; i++) {
        require(rig, iov[i].iov_len <= NET_PACKET_MAX - at, "a packet too long");
        at += (uint32_t)iov[i].iov_len;
    }
    free(packet->data);
    packet->data = malloc(at ? at : 1);
    require(rig, packet->data, "out of memory");
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
    struct nic_rig_port *mine = (struct nic_rig_port *)port;

    mine->reading = on;
    mine->reads += on;
}

static void port_discard(struct net_port *port)
{
    ((struct nic_rig_port *)port)->discards++;
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

void nic_rig_plug(struct nic_rig *rig)
{
    struct dev_env env = {.host = &rig->fake.host, .bus = rig->bus, .spec = &rig->spec};
    struct machine_nic nic = {.model = rig->model->name, .net = rig->net, .slot = NIC_RIG_SLOT};

    memcpy(nic.mac, nic_rig_mac, sizeof(nic.mac));
    require(rig, !rig->model->create(&env, &nic, &rig->dev), "the NIC was refused");
}

void nic_rig_unplug(struct nic_rig *rig)
{
    rig->dev->ops->destroy(rig->dev);
    rig->dev = NULL;
}

void nic_rig_program(struct nic_rig *rig)
{
    if (rig->model->port_bar)
        bus_pci_write(rig->bus, NIC_RIG_SBDF, rig->model->port_bar, 4, NIC_RIG_PORT);
    if (rig->model->mem_bar)
        bus_pci_write(rig->bus, NIC_RIG_SBDF, rig->model->mem_bar, 4, NIC_RIG_MEM);
    bus_pci_write(rig->bus, NIC_RIG_SBDF, PCI_COMMAND, 2,
                  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void nic_rig_init_bare(struct nic_rig *rig, const struct nic_rig_model *model, unsigned caps)
{
    memset(rig, 0, sizeof(*rig));
    rig->model = model;
    fake_host_init(&rig->fake, model->ram);
    rig->loop = fake_loop_create();
    fake_loop_set_clock(rig->loop, 1000000000);
    require(rig, !bus_create(NULL, NULL, &rig->bus), "bus_create");
    rig->port.port = (struct net_port){
        .ops = &port_ops,
        .loop = fake_loop(rig->loop),
        .caps = caps,
        .max_frame = NET_FRAME_MAX,
    };
    rig->port.rig = rig;
    require(rig, !net_open(&rig->port.port, &rig->net), "net_open");
    nic_rig_plug(rig);
}

void nic_rig_init(struct nic_rig *rig, const struct nic_rig_model *model, unsigned caps)
{
    nic_rig_init_bare(rig, model, caps);
    nic_rig_program(rig);
}

void nic_rig_finish(struct nic_rig *rig)
{
    if (rig->dev)
        nic_rig_unplug(rig);
    net_close(rig->net);
    while (fake_loop_turn(rig->loop, 0))
        ;
    nic_rig_forget(rig);
    bus_destroy(rig->bus);
    fake_loop_destroy(rig->loop);
    fake_host_finish(&rig->fake);
}

uint8_t *nic_rig_save(struct nic_rig *rig, size_t *ret_size)
{
    struct state_writer writer;
    uint8_t *state = NULL;

    for (unsigned pass = 0; pass < 2; pass++) {
        size_t size = pass ? writer.pos : 0;
        if (pass) {
            state = malloc(size);
            require(rig, state, "out of memory");
        }
        state_writer_init(&writer, state, size);
        state_begin(&writer, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
        rig->dev->ops->save(rig->dev, &writer);
        state_end(&writer);
        require(rig, !writer.error, "the state does not fit into the size that it said");
    }
    *ret_size = writer.pos;
    return state;
}

int nic_rig_migrate(struct nic_rig *rig, const void *state, size_t size)
{
    struct state_reader reader;

    nic_rig_unplug(rig);
    nic_rig_plug(rig);
    state_reader_init(&reader, state, size);
    uint32_t version =
        state_open(&reader, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
    if (version) {
        rig->dev->ops->load(rig->dev, &reader, version);
        state_close(&reader);
    }
    return reader.error;
}

void nic_rig_move(struct nic_rig *rig)
{
    size_t size, again;

    require(rig, rig->dev->ops->quiesce(rig->dev), "it does not come to rest");
    uint8_t *before = nic_rig_save(rig, &size);
    require(rig, !nic_rig_migrate(rig, before, size), "it refuses its own state");
    uint8_t *after = nic_rig_save(rig, &again);
    require(rig, size == again && !memcmp(before, after, size), "it saves another state");
    free(before);
    free(after);
    rig->dev->ops->resume(rig->dev);
}

/* Each byte that is not in the middle of large tables of plain words: of these, samples. */
static size_t next_byte(size_t at, size_t size)
{
    return at > 900 && at + 700 < size ? at + 61 : at + 1;
}

void nic_rig_hostile_states(struct nic_rig *rig, void (*poke)(void))
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t size;

    require(rig, rig->dev->ops->quiesce(rig->dev), "it does not come to rest");
    uint8_t *good = nic_rig_save(rig, &size), *bad = malloc(size);
    require(rig, bad, "out of memory");
    for (size_t cut = 0; cut < size; cut = cut + 400 < size ? cut + 37 : cut + 1)
        require(rig, nic_rig_migrate(rig, good, cut) == -EBADMSG, "it takes half a state");
    for (size_t at = 0; at < size; at = next_byte(at, size)) {
        for (unsigned i = 0; i < sizeof(values); i++) {
            memcpy(bad, good, size);
            bad[at] = values[i];
            int err = nic_rig_migrate(rig, bad, size);
            require(rig, !err || err == -EBADMSG, "a state fails in another way");
            if (!err)
                poke();
        }
    }
    require(rig, !nic_rig_migrate(rig, good, size), "it refuses its own state");
    rig->dev->ops->resume(rig->dev);
    free(good);
    free(bad);
}

bool nic_rig_inta(const struct nic_rig *rig)
{
    return rig->fake.intx[NIC_RIG_SLOT][0];
}

void nic_rig_settle(struct nic_rig *rig)
{
    bool moved;
    unsigned turns = 0;

    do {
        require(rig, turns++ < TURNS_MAX, "it does not come to rest");
        moved = fake_loop_turn(rig->loop, 0);
        for (unsigned i = 0; i < rig->fake.timers_armed && !moved; i++)
            moved = rig->fake.timers[i]->deadline_ns <= rig->fake.now;
        fake_host_advance(&rig->fake, 0);
    } while (moved);
}

void nic_rig_receive_offload(struct nic_rig *rig, const void *frame, uint32_t bytes,
                             const struct net_offload *offload)
{
    net_port_receive(&rig->port.port, frame, bytes, offload);
    net_port_received(&rig->port.port);
}

void nic_rig_receive(struct nic_rig *rig, const void *frame, uint32_t bytes)
{
    nic_rig_receive_offload(rig, frame, bytes, NULL);
}

const struct nic_rig_packet *nic_rig_last(const struct nic_rig *rig)
{
    static const struct nic_rig_packet none;

    return rig->n_sent ? &rig->sent[(rig->n_sent - 1) % NIC_RIG_SENT] : &none;
}

void nic_rig_forget(struct nic_rig *rig)
{
    for (unsigned i = 0; i < NIC_RIG_SENT; i++) {
        free(rig->sent[i].data);
        rig->sent[i] = (struct nic_rig_packet){0};
    }
    rig->n_sent = 0;
}
