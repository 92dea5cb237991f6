/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two serial ports of a PC: 0x3f8 on IRQ 4, and 0x2f8 on IRQ 3 where something is connected to
 * it.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/chipset/ports.h"
#include "devices/chipset/uart.h"
#include "devices/models.h"

struct uart16550 {
    struct dev dev;
    struct bus *bus;
    unsigned n_ports;
    struct uart port[MACHINE_SERIALS];
    struct dev_counter counters[2 * MACHINE_SERIALS];
};

static uint64_t port0_read(void *dev, uint64_t offset, unsigned size)
{
    return uart_read(&((struct uart16550 *)dev)->port[0], offset);
}

static void port0_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    uart_write(&((struct uart16550 *)dev)->port[0], offset, (uint8_t)value);
}

static uint64_t port1_read(void *dev, uint64_t offset, unsigned size)
{
    return uart_read(&((struct uart16550 *)dev)->port[1], offset);
}

static void port1_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    uart_write(&((struct uart16550 *)dev)->port[1], offset, (uint8_t)value);
}

static const struct bus_io_ops port0_io = {.read = port0_read, .write = port0_write};
static const struct bus_io_ops port1_io = {.read = port1_read, .write = port1_write};

static const struct port_range ranges[MACHINE_SERIALS] = {
    {0x3f8, 8, &port0_io},
    {0x2f8, 8, &port1_io},
};
static const uint8_t irqs[MACHINE_SERIALS] = {4, 3};

static void uart16550_reset(struct dev *dev)
{
    struct uart16550 *uarts = (struct uart16550 *)dev;

    for (unsigned i = 0; i < uarts->n_ports; i++)
        uart_reset(&uarts->port[i]);
}

static void uart16550_save(const struct dev *dev, struct state_writer *writer)
{
    const struct uart16550 *uarts = (const struct uart16550 *)dev;

    state_put_u8(writer, (uint8_t)uarts->n_ports);
    for (unsigned i = 0; i < uarts->n_ports; i++)
        uart_save(&uarts->port[i], writer);
}

static void uart16550_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct uart16550 *uarts = (struct uart16550 *)dev;

    if (state_get_u8(reader) != uarts->n_ports)
        state_reject(reader);
    for (unsigned i = 0; i < uarts->n_ports && !reader->error; i++)
        uart_load(&uarts->port[i], reader);
}

static void uart16550_destroy(struct dev *dev)
{
    struct uart16550 *uarts = (struct uart16550 *)dev;

    for (unsigned i = 0; i < uarts->n_ports; i++)
        uart_finish(&uarts->port[i]);
    ports_release(uarts->bus, ranges, uarts->n_ports);
    free(uarts);
}

static const struct dev_ops uart16550_ops = {
    .model = "uart16550",
    .version = 1,
    .reset = uart16550_reset,
    .save = uart16550_save,
    .load = uart16550_load,
    .destroy = uart16550_destroy,
};

int uart16550_create(const struct dev_env *env, struct dev **ret_dev)
{
    static const char *const names[2 * MACHINE_SERIALS] = {"serial0_rx_bytes", "serial0_tx_bytes",
                                                           "serial1_rx_bytes", "serial1_tx_bytes"};
    struct uart16550 *uarts = calloc(1, sizeof(*uarts));

    if (!uarts)
        return -ENOMEM;
    uarts->dev.ops = &uart16550_ops;
    uarts->dev.name = "uart";
    uarts->bus = env->bus;
    uarts->n_ports = env->spec->serial[1] ? 2 : 1;
    for (unsigned i = 0; i < uarts->n_ports; i++) {
        struct uart *uart = &uarts->port[i];
        uart_init(uart, env->host, irqs[i], env->spec->serial[i]);
        uarts->counters[2 * i] = (struct dev_counter){names[2 * i], &uart->rx_bytes};
        uarts->counters[2 * i + 1] = (struct dev_counter){names[2 * i + 1], &uart->tx_bytes};
    }
    uarts->dev.counters = uarts->counters;
    uarts->dev.n_counters = 2 * uarts->n_ports;

    int err = ports_claim(env->bus, ranges, uarts->n_ports, uarts);
    if (err) {
        free(uarts);
        return err;
    }
    for (unsigned i = 0; i < uarts->n_ports; i++)
        uart_connect(&uarts->port[i]);
    *ret_dev = &uarts->dev;
    return 0;
}
