/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/bufpio_rig.h"

#include <string.h>

void bufpio_rig_init(struct bufpio_rig *rig, struct bus *bus, unsigned further)
{
    memset(rig, 0, sizeof(*rig));
    rig->bus = bus;
    hv_bufpio_init(&rig->hv, &rig->page);
    bufpio_init(&rig->bufpio, &rig->page, bus, further);
}

void bufpio_rig_finish(struct bufpio_rig *rig)
{
    bufpio_finish(&rig->bufpio);
    hv_bufpio_finish(&rig->hv);
}

static void before(struct bufpio_rig *rig, uint16_t port, unsigned size, bool string)
{
    rig->requests++;
    if (rig->without)
        return;
    bufpio_take_out(&rig->bufpio);
    bufpio_access(&rig->bufpio, port, size, string);
}

static void after(struct bufpio_rig *rig)
{
    if (!rig->without)
        bufpio_arm(&rig->bufpio);
}

static uint32_t ones(unsigned size)
{
    return size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
}

uint32_t bufpio_rig_in(struct bufpio_rig *rig, uint16_t port, unsigned size)
{
    uint32_t value;

    if (!rig->without && hv_bufpio_access(&rig->hv, port, size, false, &value))
        return value;
    before(rig, port, size, false);
    value = (uint32_t)bus_read(rig->bus, BUS_PORT, port, size) & ones(size);
    after(rig);
    return value;
}

void bufpio_rig_out(struct bufpio_rig *rig, uint16_t port, unsigned size, uint32_t value)
{
    value &= ones(size);
    if (!rig->without && hv_bufpio_access(&rig->hv, port, size, true, &value))
        return;
    before(rig, port, size, false);
    bus_write(rig->bus, BUS_PORT, port, size, value);
    after(rig);
}

void bufpio_rig_ins(struct bufpio_rig *rig, uint16_t port, unsigned size, void *buf, uint32_t count)
{
    before(rig, port, size, true);
    bus_port_read_block(rig->bus, port, size, buf, count);
    after(rig);
}

void bufpio_rig_outs(struct bufpio_rig *rig, uint16_t port, unsigned size, const void *buf,
                     uint32_t count)
{
    before(rig, port, size, true);
    bus_port_write_block(rig->bus, port, size, buf, count);
    after(rig);
}
