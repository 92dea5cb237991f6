/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two 8237A DMA controllers of a PC and their page registers (PIIX3 2.5.1; Intel 231466).
 * Nothing in this machine does ISA DMA: firmware and an OS initialise the controllers and find
 * their values again. The second one's registers are two ports apart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/ports.h"
#include "devices/models.h"

/* Registers above the channels' addresses and counts (0-7). */
#define REG_STATUS_COMMAND 0x8
#define REG_REQUEST        0x9
#define REG_SINGLE_MASK    0xa
#define REG_MODE           0xb
#define REG_CLEAR_FLIPFLOP 0xc
#define REG_MASTER_CLEAR   0xd /* read: temporary register */
#define REG_CLEAR_MASK     0xe
#define REG_ALL_MASK       0xf

struct channel {
    uint16_t base[2];    /* address, count: as written */
    uint16_t current[2]; /* as read */
    uint8_t mode;
};

struct controller {
    struct channel channel[4];
    uint8_t command;
    uint8_t mask;      /* bit a channel */
    uint8_t request;   /* by software; nobody serves it */
    uint8_t high_byte; /* flip-flop: the next byte is the high one */
};

struct dma8237 {
    struct dev dev;
    struct bus *bus;
    struct controller controller[2];
    uint8_t page[16]; /* 0x80 is where firmware puts its POST codes */
};

static void master_clear(struct controller *dma)
{
    dma->command = 0;
    dma->request = 0;
    dma->mask = 0xf;
    dma->high_byte = 0;
}

static uint8_t controller_read(struct controller *dma, unsigned reg)
{
    if (reg < REG_STATUS_COMMAND) {
        uint16_t value = dma->channel[reg / 2].current[reg & 1];
        uint8_t byte = (uint8_t)(dma->high_byte ? value >> 8 : value);
        dma->high_byte ^= 1;
        return byte;
    }
    switch (reg) {
    case REG_STATUS_COMMAND:
        return (uint8_t)(dma->request << 4); /* requests pending; none has reached its count */
    case REG_ALL_MASK:
        return dma->mask | 0xf0;
    case REG_MASTER_CLEAR:
        return 0;
    default:
        return 0xff;
    }
}

static void channel_write(struct controller *dma, unsigned reg, uint8_t value)
{
    struct channel *channel = &dma->channel[reg / 2];
    uint16_t *base = &channel->base[reg & 1];

    if (dma->high_byte)
        *base = (uint16_t)((*base & 0x00ff) | value << 8);
    else
        *base = (*base & 0xff00) | value;
    channel->current[reg & 1] = *base;
    dma->high_byte ^= 1;
}

static void controller_write(struct controller *dma, unsigned reg, uint8_t value)
{
    uint8_t bit = (uint8_t)(1 << (value & 3));

    if (reg < REG_STATUS_COMMAND) {
        channel_write(dma, reg, value);
        return;
    }
    switch (reg) {
    case REG_STATUS_COMMAND:
        dma->command = value;
        break;
    case REG_REQUEST:
        dma->request = value & 4 ? dma->request | bit : dma->request & ~bit;
        break;
    case REG_SINGLE_MASK:
        dma->mask = value & 4 ? dma->mask | bit : dma->mask & ~bit;
        break;
    case REG_MODE:
        dma->channel[value & 3].mode = value;
        break;
    case REG_CLEAR_FLIPFLOP:
        dma->high_byte = 0;
        break;
    case REG_MASTER_CLEAR:
        master_clear(dma);
        break;
    case REG_CLEAR_MASK:
        dma->mask = 0;
        break;
    case REG_ALL_MASK:
        dma->mask = value & 0xf;
        break;
    default:
        break;
    }
}

static uint64_t dma1_read(void *dev, uint64_t offset, unsigned size)
{
    return controller_read(&((struct dma8237 *)dev)->controller[0], (unsigned)offset);
}

static void dma1_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    controller_write(&((struct dma8237 *)dev)->controller[0], (unsigned)offset, (uint8_t)value);
}

static uint64_t dma2_read(void *dev, uint64_t offset, unsigned size)
{
    return controller_read(&((struct dma8237 *)dev)->controller[1], (unsigned)offset / 2);
}

static void dma2_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    controller_write(&((struct dma8237 *)dev)->controller[1], (unsigned)offset / 2, (uint8_t)value);
}

static uint64_t page_read(void *dev, uint64_t offset, unsigned size)
{
    return ((struct dma8237 *)dev)->page[offset];
}

static void page_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    ((struct dma8237 *)dev)->page[offset] = (uint8_t)value;
}

static const struct bus_io_ops dma1_io = {.read = dma1_read, .write = dma1_write};
static const struct bus_io_ops dma2_io = {.read = dma2_read, .write = dma2_write};
static const struct bus_io_ops page_io = {.read = page_read, .write = page_write};

static const struct port_range ranges[] = {
    {0x00, 16, &dma1_io},
    {0x80, 16, &page_io},
    {0xc0, 32, &dma2_io},
};

static void dma8237_reset(struct dev *dev)
{
    struct dma8237 *dma = (struct dma8237 *)dev;

    for (unsigned i = 0; i < 2; i++)
        master_clear(&dma->controller[i]);
}

static void dma8237_save(const struct dev *dev, struct state_writer *writer)
{
    const struct dma8237 *dma = (const struct dma8237 *)dev;

    for (unsigned i = 0; i < 2; i++) {
        const struct controller *controller = &dma->controller[i];
        for (unsigned j = 0; j < 4; j++) {
            const struct channel *channel = &controller->channel[j];
            for (unsigned k = 0; k < 2; k++) {
                state_put_u16(writer, channel->base[k]);
                state_put_u16(writer, channel->current[k]);
            }
            state_put_u8(writer, channel->mode);
        }
        state_put_u8(writer, controller->command);
        state_put_u8(writer, controller->mask);
        state_put_u8(writer, controller->request);
        state_put_u8(writer, controller->high_byte);
    }
    state_put_bytes(writer, dma->page, sizeof(dma->page));
}

static void dma8237_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct dma8237 *dma = (struct dma8237 *)dev;

    for (unsigned i = 0; i < 2; i++) {
        struct controller *controller = &dma->controller[i];
        for (unsigned j = 0; j < 4; j++) {
            struct channel *channel = &controller->channel[j];
            for (unsigned k = 0; k < 2; k++) {
                channel->base[k] = state_get_u16(reader);
                channel->current[k] = state_get_u16(reader);
            }
            channel->mode = state_get_u8(reader);
        }
        controller->command = state_get_u8(reader);
        controller->mask = state_get_u8(reader) & 0xf;
        controller->request = state_get_u8(reader) & 0xf;
        controller->high_byte = state_get_u8(reader) & 1;
    }
    state_get_bytes(reader, dma->page, sizeof(dma->page));
}

static void dma8237_destroy(struct dev *dev)
{
    struct dma8237 *dma = (struct dma8237 *)dev;

    ports_release(dma->bus, ranges, PORTS_COUNT(ranges));
    free(dma);
}

static const struct dev_ops dma8237_ops = {
    .model = "dma8237",
    .version = 1,
    .reset = dma8237_reset,
    .save = dma8237_save,
    .load = dma8237_load,
    .destroy = dma8237_destroy,
};

int dma8237_create(const struct dev_env *env, struct dev **ret_dev)
{
    struct dma8237 *dma = calloc(1, sizeof(*dma));

    if (!dma)
        return -ENOMEM;
    dma->dev.ops = &dma8237_ops;
    dma->dev.name = "dma8237";
    dma->bus = env->bus;
    dma8237_reset(&dma->dev);
    int err = ports_claim(env->bus, ranges, PORTS_COUNT(ranges), dma);
    if (err) {
        free(dma);
        return err;
    }
    *ret_dev = &dma->dev;
    return 0;
}
