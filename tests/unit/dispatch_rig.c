/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dispatch_rig.h"

uint64_t probe_read(void *dev, uint64_t offset, unsigned size)
{
    struct probe *probe = dev;
    uint64_t value = 0;

    probe->reads++;
    probe->last_offset = offset;
    probe->last_size = size;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)probe->next++ << 8 * i;
    return value;
}

void probe_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *probe = dev;

    probe->writes++;
    probe->last_offset = offset;
    probe->last_size = size;
    probe->last_value = value;
    probe->sum = probe->sum * 31 + value;
}

uint32_t probe_read_block(void *dev, uint64_t offset, unsigned size, void *buf, uint32_t count)
{
    struct probe *probe = dev;

    probe->block_reads++;
    for (uint32_t i = 0; i < count * size; i++)
        ((uint8_t *)buf)[i] = probe->next++;
    return count;
}

static const struct bus_io_ops probe_ops = {
    .read = probe_read,
    .write = probe_write,
    .read_block = probe_read_block,
    .max_size = 4,
};
static const struct bus_io_ops mmio_ops = {
    .read = probe_read,
    .write = probe_write,
    .max_size = 8,
};

static void on_illegal(void *ctx, uint32_t vcpu, const char *what)
{
    struct dispatch_rig *f = ctx;

    f->illegal++;
    strncpy(f->what, what, sizeof(f->what) - 1);
}

int dispatch_rig_setup(void **state)
{
    static struct dispatch_rig dispatch_rig; /* page-aligned members */
    struct dispatch_rig *f = &dispatch_rig;

    memset(f, 0, sizeof(*f));
    assert_int_equal(bus_create(NULL, NULL, &f->bus), 0);
    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x1f0, 8, &probe_ops, &f->port), 0);
    assert_int_equal(bus_claim(f->bus, BUS_MMIO, 0xa0000, 0x1000, &mmio_ops, &f->mmio), 0);
    f->dispatch = (struct dispatch){
        .hv = &fake_hv,
        .guest = &f->guest,
        .bus = f->bus,
        .vcpus = 70, /* more than one word of bits */
        .illegal = on_illegal,
        .ctx = f,
    };
    *state = f;
    return 0;
}

int dispatch_rig_teardown(void **state)
{
    struct dispatch_rig *f = *state;

    assert_int_equal(f->guest.pins, 0);
    bus_release(f->bus, BUS_PORT, 0x1f0);
    bus_release(f->bus, BUS_MMIO, 0xa0000);
    bus_destroy(f->bus);
    return 0;
}

struct ioreq_slot *dispatch_rig_put(struct dispatch_rig *f, unsigned vcpu, struct ioreq_slot slot)
{
    slot.flags |= IOREQ_STATE_READY;
    slot.vp_eport = 77;
    f->guest.slots[vcpu] = slot;
    return &f->guest.slots[vcpu];
}

void assert_answered(const struct ioreq_slot *slot)
{
    assert_int_equal(slot->flags & IOREQ_STATE_MASK, IOREQ_STATE_RESP_READY);
    assert_int_equal(slot->vp_eport, 77);
}
