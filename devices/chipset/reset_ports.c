/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A, 0x92 (PIIX3 2.5.4.1): fast A20 and fast INIT. The A20 line is always on in
 * a virtual machine, so its bit is only kept.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/chipset/ports.h"
#include "devices/models.h"

#define PORT_A_INIT 0x01 /* its rising edge resets */
#define PORT_A_A20  0x02

struct reset_ports {
    struct dev dev;
    struct bus *bus;
    const struct host *host;
    uint8_t port_a;
};

static uint64_t port_a_read(void *dev, uint64_t offset, unsigned size)
{
    return ((struct reset_ports *)dev)->port_a;
}

static void port_a_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct reset_ports *ports = dev;
    bool edge = ~ports->port_a & value & PORT_A_INIT;

    ports->port_a = value & (PORT_A_INIT | PORT_A_A20);
    if (edge)
        host_power(ports->host, HOST_POWER_RESET);
}

static const struct bus_io_ops port_a_io = {.read = port_a_read, .write = port_a_write};

static const struct port_range ranges[] = {
    {0x92, 1, &port_a_io},
};

static void reset_ports_reset(struct dev *dev)
{
    ((struct reset_ports *)dev)->port_a = PORT_A_A20;
}

static void reset_ports_save(const struct dev *dev, struct state_writer *writer)
{
    state_put_u8(writer, ((const struct reset_ports *)dev)->port_a);
}

static void reset_ports_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    ((struct reset_ports *)dev)->port_a = state_get_u8(reader) & (PORT_A_INIT | PORT_A_A20);
}

static void reset_ports_destroy(struct dev *dev)
{
    struct reset_ports *ports = (struct reset_ports *)dev;

    ports_release(ports->bus, ranges, PORTS_COUNT(ranges));
    free(ports);
}

static const struct dev_ops reset_ports_ops = {
    .model = "reset-ports",
    .version = 1,
    .reset = reset_ports_reset,
    .save = reset_ports_save,
    .load = reset_ports_load,
    .destroy = reset_ports_destroy,
};

int reset_ports_create(const struct dev_env *env, struct dev **ret_dev)
{
    struct reset_ports *ports = calloc(1, sizeof(*ports));

    if (!ports)
        return -ENOMEM;
    ports->dev.ops = &reset_ports_ops;
    ports->dev.name = "reset-ports";
    ports->bus = env->bus;
    ports->host = env->host;
    ports->port_a = PORT_A_A20;
    int err = ports_claim(env->bus, ranges, PORTS_COUNT(ranges), ports);
    if (err) {
        free(ports);
        return err;
    }
    *ret_dev = &ports->dev;
    return 0;
}
