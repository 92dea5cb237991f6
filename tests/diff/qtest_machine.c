// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/diff/qtest_machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/images.h"
#include "devices/backend/pool.h"

#define POOL_PAGES 1024
#define AIO_EVENTS 16
#define BLK_DEPTH  4

static void require(int err, const char *what)
{
    if (!err)
        return;
    fprintf(stderr, "qtest_server: %s: %s\n", what, strerror(-err));
    exit(1);
}

/* A line is high when an ISA device or a link that is routed there drives it. The link of a slot's
 * pin is Xen's affair; here it is (slot + pin) modulo 4. */
static void update_irq(struct qtest_machine *machine, unsigned irq)
{
    bool level = machine->isa_driven[irq];

    for (unsigned pin = 0; irq && pin < 4; pin++)
        for (unsigned slot = 0; slot < 32; slot++)
            level |= machine->intx[pin] >> slot & 1 && machine->link_irq[(slot + pin) % 4] == irq;
    if (machine->isa[irq] == level)
        return;
    machine->isa[irq] = level;
    if (machine->irq)
        machine->irq(machine->irq_arg, irq, level);
}

/* The fake host comes first in the machine. */
static void on_isa_irq(void *ctx, unsigned irq, bool level)
{
    struct qtest_machine *machine = ctx;

    machine->isa_driven[irq] = level;
    update_irq(machine, irq);
}

static void on_pci_intx(void *ctx, unsigned slot, unsigned pin, bool level)
{
    struct qtest_machine *machine = ctx;

    if (level)
        machine->intx[pin] |= UINT32_C(1) << slot;
    else
        machine->intx[pin] &= ~(UINT32_C(1) << slot);
    update_irq(machine, machine->link_irq[(slot + pin) % 4]);
}

static void on_pci_link_route(void *ctx, unsigned link, unsigned irq)
{
    struct qtest_machine *machine = ctx;
    unsigned before = machine->link_irq[link];

    machine->link_irq[link] = irq;
    update_irq(machine, before);
    update_irq(machine, irq);
}

/* Resetting from within the access that asks for it would pull devices from under it. */
static void on_power(void *ctx, enum host_power event)
{
    ((struct qtest_machine *)ctx)->reset_wanted |= event == HOST_POWER_RESET;
}

static void open_disk(struct qtest_machine *machine, unsigned i, const struct qtest_disk *disk)
{
    const struct raw_options options = {.read_only = disk->read_only, .discard = disk->discard};
    struct machine_drive *drive = &machine->spec.drive[i];
    struct raw_image raw;
    struct blk_image *image;
    char why[256] = "";

    drive->cdrom = disk->cdrom;
    memcpy(drive->serial, disk->serial, sizeof(drive->serial));
    memcpy(drive->model, disk->model, sizeof(drive->model));
    memcpy(drive->firmware, disk->firmware, sizeof(drive->firmware));
    drive->wwn = disk->wwn;
    if (!disk->path)
        return;
    require(raw_probe(disk->path, &options, &raw, why, sizeof(why)), why);
    require(raw_open(&raw, machine->aio, fake_loop(machine->loop), machine->pool, &image),
            disk->path);
    require(blk_open(image, BLK_DEPTH, &drive->blk), disk->path);
}

static void dump(FILE *file, const void *bytes, size_t len)
{
    if (fwrite(bytes, 1, len, file) != len)
        require(-EIO, "dump");
}

static enum net_sent port_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    FILE *file = ((struct qtest_port *)port)->dump;
    uint32_t record[4] = {0}; /* seconds, microseconds, length here, length there */

    if (!file)
        return NET_SENT;
    for (unsigned i = 0; i < n_iov; i++)
        record[2] += (uint32_t)iov[i].iov_len;
    record[3] = record[2];
    dump(file, record, sizeof(record));
    for (unsigned i = 0; i < n_iov; i++)
        dump(file, iov[i].iov_base, iov[i].iov_len);
    return NET_SENT;
}

/* The next command's answer says that it is there. */
static void port_flush(struct net_port *port)
{
    if (((struct qtest_port *)port)->dump)
        fflush(((struct qtest_port *)port)->dump);
}

static void port_set_reading(struct net_port *port, bool on)
{
}

static void port_close(struct net_port *port)
{
    if (((struct qtest_port *)port)->dump)
        fclose(((struct qtest_port *)port)->dump);
}

static const struct net_backend_ops port_ops = {
    .name = "qtest",
    .send = port_send,
    .flush = port_flush,
    .set_reading = port_set_reading,
    .close = port_close,
};

static void open_nic(struct qtest_machine *machine, const struct qtest_nic *nic)
{
    /* Magic, version 2.4, time zone, accuracy, longest packet, Ethernet: pcap-savefile(5). */
    static const uint32_t header[6] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65536, 1};
    struct machine_nic *spec = &machine->spec.nic[0];
    struct qtest_port *port = &machine->port;

    if (!nic->model)
        return;
    port->port = (struct net_port){
        .ops = &port_ops, .loop = fake_loop(machine->loop), .max_frame = NET_FRAME_MAX};
    if (nic->dump) {
        port->dump = fopen(nic->dump, "wbe");
        require(port->dump ? 0 : -errno, nic->dump);
        dump(port->dump, header, sizeof(header));
    }
    require(net_open(&port->port, &machine->net), nic->model);
    *spec = (struct machine_nic){.model = nic->model, .net = machine->net, .slot = nic->slot};
    memcpy(spec->mac, nic->mac, sizeof(spec->mac));
}

void qtest_machine_init(struct qtest_machine *machine, const struct qtest_options *options)
{
    char why[64] = "";

    memset(machine, 0, sizeof(*machine));
    fake_host_init(&machine->fake, options->ram_bytes);
    machine->ops = *machine->fake.host.ops;
    machine->ops.isa_irq = on_isa_irq;
    machine->ops.pci_intx = on_pci_intx;
    machine->ops.pci_link_route = on_pci_link_route;
    machine->ops.power = on_power;
    machine->fake.host.ops = &machine->ops;
    machine->fake.host.ctx = machine;
    machine->loop = fake_loop_create();
    require(pool_create(POOL_PAGES, &machine->pool), "pool");
    require(aio_create(fake_loop(machine->loop), AIO_EVENTS, &machine->aio), "aio");

    machine->spec.role = MACHINE_PRIMARY;
    machine->spec.unplug = MACHINE_UNPLUG_NEVER;
    machine->spec.ram_bytes = options->ram_bytes;
    machine->spec.vcpus = 1;
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        open_disk(machine, i, &options->disk[i]);
    open_nic(machine, &options->nic);
    require(machine_create(&machine->fake.host, NULL, NULL, &machine->spec, &machine->machine, why,
                           sizeof(why)),
            why);
}

void qtest_machine_receive(struct qtest_machine *machine, const uint8_t *frame, uint32_t bytes)
{
    if (!machine->net)
        return;
    net_port_receive(&machine->port.port, frame, bytes, NULL);
    net_port_received(&machine->port.port);
}

static bool busy(struct qtest_machine *machine)
{
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++) {
        struct blk *blk = machine->spec.drive[i].blk;
        if (blk && !blk_idle(blk))
            return true;
    }
    return false;
}

void qtest_machine_settle(struct qtest_machine *machine)
{
    bool moved, waiting;

    do {
        if (machine->reset_wanted) {
            machine->reset_wanted = false;
            machine_reset(machine->machine);
        }
        waiting = busy(machine);
        moved = fake_loop_turn(machine->loop, waiting ? 1000 : 0);
    } while (moved || waiting);
}

void qtest_machine_finish(struct qtest_machine *machine)
{
    machine_destroy(machine->machine);
    net_close(machine->net);
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        blk_close(machine->spec.drive[i].blk, NULL, NULL);
    while (fake_loop_turn(machine->loop, 0))
        ;
    aio_destroy(machine->aio);
    pool_destroy(machine->pool);
    fake_loop_destroy(machine->loop);
    fake_host_finish(&machine->fake);
}
