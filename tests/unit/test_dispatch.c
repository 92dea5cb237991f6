/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dispatch against a hypervisor that is an ops table over plain memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ioreq/dispatch.h"
#include "tests/unit/fake_hv.h"

/* A device that remembers what it was asked. */
struct probe {
    uint64_t last_offset, last_value, sum;
    unsigned reads, writes, last_size;
    unsigned block_reads, block_writes;
    uint8_t next;
    bool no_block;
};

struct fixture {
    struct hv_guest guest;
    struct dispatch dispatch;
    struct bus *bus;
    struct probe port, mmio;
    unsigned illegal;
    char what[32];
};

static uint64_t probe_read(void *dev, uint64_t offset, unsigned size)
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

static void probe_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *probe = dev;

    probe->writes++;
    probe->last_offset = offset;
    probe->last_size = size;
    probe->last_value = value;
    probe->sum = probe->sum * 31 + value;
}

static uint32_t probe_read_block(void *dev, uint64_t offset, unsigned size, void *buf,
                                 uint32_t count)
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
    struct fixture *f = ctx;

    f->illegal++;
    strncpy(f->what, what, sizeof(f->what) - 1);
}

static int setup(void **state)
{
    static struct fixture fixture; /* page-aligned members */
    struct fixture *f = &fixture;

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

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->guest.pins, 0);
    bus_release(f->bus, BUS_PORT, 0x1f0);
    bus_release(f->bus, BUS_MMIO, 0xa0000);
    bus_destroy(f->bus);
    return 0;
}

static struct ioreq_slot *put(struct fixture *f, unsigned vcpu, struct ioreq_slot slot)
{
    slot.flags |= IOREQ_STATE_READY;
    slot.vp_eport = 77;
    f->guest.slots[vcpu] = slot;
    return &f->guest.slots[vcpu];
}

static void assert_answered(const struct ioreq_slot *slot)
{
    assert_int_equal(slot->flags & IOREQ_STATE_MASK, IOREQ_STATE_RESP_READY);
    assert_int_equal(slot->vp_eport, 77);
}

static void a_port_read_is_answered_zero_extended_and_notified(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot *slot = put(f, 69,
                                  (struct ioreq_slot){.type = IOREQ_PIO,
                                                      .addr = 0x1f7,
                                                      .size = 1,
                                                      .count = 1,
                                                      .data = UINT64_MAX,
                                                      .flags = IOREQ_READ});
    f->port.next = 0x50;
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 1);
    assert_answered(slot);
    assert_int_equal(slot->data, 0x50);
    assert_int_equal(f->guest.notified[69], 1);
    assert_int_equal(f->dispatch.counters.pio_read, 1);
}

struct traced {
    unsigned count;
    struct dispatch_request last;
    const struct ioreq_slot *slot; /* not answered yet when it is told */
};

static void on_traced(void *ctx, const struct dispatch_request *request)
{
    struct traced *traced = ctx;

    traced->count++;
    traced->last = *request;
    if (traced->slot)
        assert_int_equal(traced->slot->flags & IOREQ_STATE_MASK, IOREQ_STATE_READY);
}

static void who_traces_is_told_of_each_request_before_its_answer(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot request = {.type = IOREQ_PIO,
                                 .addr = 0x1f7,
                                 .size = 1,
                                 .count = 1,
                                 .data = UINT64_MAX,
                                 .flags = IOREQ_READ};
    struct traced traced = {.slot = put(f, 69, request)};

    f->dispatch.traced = on_traced;
    f->dispatch.trace_ctx = &traced;
    f->port.next = 0x50;
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(traced.count, 1);
    assert_int_equal(traced.last.vcpu, 69);
    assert_int_equal(traced.last.addr, 0x1f7);
    assert_int_equal(traced.last.data, 0x50);
    assert_true(traced.last.read && !traced.last.string && !traced.last.illegal);
    request.count = 0;
    traced.slot = put(f, 1, request);
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(traced.count, 2);
    assert_string_equal(traced.last.illegal, "count");
    request = (struct ioreq_slot){.type = IOREQ_INVALIDATE};
    traced.slot = put(f, 1, request);
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(traced.last.type, IOREQ_INVALIDATE);
    assert_null(traced.last.illegal);
    f->dispatch.traced = NULL;
    put(f, 1, request);
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(traced.count, 3);
}

static void a_port_write_reaches_the_device_with_its_size_only(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot *slot =
        put(f, 0,
            (struct ioreq_slot){
                .type = IOREQ_PIO, .addr = 0x1f0, .size = 2, .count = 1, .data = 0x12345678});
    dispatch_turn(&f->dispatch, NULL);
    assert_answered(slot);
    assert_int_equal(f->port.last_value, 0x5678);
    assert_int_equal(f->port.last_size, 2);
}

static void only_the_slots_named_are_looked_at(void **state)
{
    struct fixture *f = *state;
    uint64_t slots[2] = {0, 1 << 1};
    struct ioreq_slot request = {
        .type = IOREQ_PIO, .addr = 0x1f0, .size = 1, .count = 1, .flags = IOREQ_READ};
    put(f, 3, request);
    put(f, 65, request);
    assert_int_equal(dispatch_turn(&f->dispatch, slots), 1);
    assert_int_equal(f->guest.slots[3].flags & IOREQ_STATE_MASK, IOREQ_STATE_READY);
    assert_answered(&f->guest.slots[65]);
}

static void rep_insw_is_one_block_access_into_guest_memory(void **state)
{
    struct fixture *f = *state;

    put(f, 0,
        (struct ioreq_slot){.type = IOREQ_PIO,
                            .addr = 0x1f0,
                            .size = 2,
                            .count = 256,
                            .data = 0x2ff0,
                            .flags = IOREQ_READ | IOREQ_DATA_IS_PTR});
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(f->port.block_reads, 1);
    assert_int_equal(f->port.reads, 0);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(f->guest.ram[0x2ff0 + i], (uint8_t)i);
    assert_int_equal(f->guest.dirty_calls, 1);
    assert_int_equal(f->dispatch.counters.string_bytes, 512);
}

static void rep_insw_with_df_goes_downwards(void **state)
{
    struct fixture *f = *state;

    put(f, 0,
        (struct ioreq_slot){.type = IOREQ_PIO,
                            .addr = 0x1f0,
                            .size = 2,
                            .count = 4,
                            .data = 0x1006,
                            .flags = IOREQ_READ | IOREQ_DATA_IS_PTR | IOREQ_DF});
    dispatch_turn(&f->dispatch, NULL);
    static const uint8_t expected[8] = {6, 7, 4, 5, 2, 3, 0, 1};
    assert_memory_equal(f->guest.ram + 0x1000, expected, 8);
}

static void rep_outsl_reads_what_is_not_ram_as_ones(void **state)
{
    struct fixture *f = *state;

    memset(f->guest.ram + FAKE_HV_RAM - 4, 0x11, 4);
    put(f, 0,
        (struct ioreq_slot){.type = IOREQ_PIO,
                            .addr = 0x1f0,
                            .size = 4,
                            .count = 2,
                            .data = FAKE_HV_RAM - 4,
                            .flags = IOREQ_DATA_IS_PTR});
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(f->port.writes, 2);
    assert_int_equal(f->port.sum, UINT64_C(0x11111111) * 31 + 0xffffffff);
}

static void mmio_strings_step_both_addresses(void **state)
{
    struct fixture *f = *state;

    f->guest.ram[0x100] = 1;
    f->guest.ram[0x104] = 2;
    put(f, 0,
        (struct ioreq_slot){.type = IOREQ_COPY,
                            .addr = 0xa0010,
                            .size = 4,
                            .count = 2,
                            .data = 0x100,
                            .flags = IOREQ_DATA_IS_PTR});
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(f->mmio.writes, 2);
    assert_int_equal(f->mmio.last_offset, 0x14);
    assert_int_equal(f->mmio.sum, 1 * 31 + 2);
}

/* Half of it out of reach, or all: in place, downwards, by element; nothing may have happened. */
static void a_string_whose_memory_is_out_of_reach_waits(void **state)
{
    static const struct ioreq_slot strings[] = {
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 2, .count = 4, .flags = IOREQ_READ},
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 2, .count = 4},
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 2, .count = 4, .flags = IOREQ_DF},
        {.type = IOREQ_COPY, .addr = 0xa0000, .size = 4, .count = 2, .flags = IOREQ_READ},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        struct ioreq_slot request = strings[i], *slot;

        request.flags |= IOREQ_DATA_IS_PTR;
        request.data = 0x1000;
        f->port = f->mmio = (struct probe){0};
        f->guest.notified[1] = 0;
        f->guest.pin_error = -ENOMEM;
        slot = put(f, 1, request);
        assert_int_equal(dispatch_turn(&f->dispatch, NULL), 0);
        assert_true(f->dispatch.starved);
        assert_false(f->dispatch.more);
        assert_int_equal(slot->flags & IOREQ_STATE_MASK, IOREQ_STATE_READY);
        assert_int_equal(f->guest.notified[1], 0);
        assert_int_equal(f->port.reads + f->port.writes + f->port.block_reads, 0);
        assert_int_equal(f->mmio.reads + f->mmio.writes, 0);

        f->guest.pin_error = 0;
        assert_int_equal(dispatch_turn(&f->dispatch, NULL), 1);
        assert_false(f->dispatch.starved);
        assert_answered(slot);
        assert_int_equal(f->guest.notified[1], 1);
        assert_int_not_equal(f->port.reads + f->port.writes + f->port.block_reads + f->mmio.reads +
                                 f->mmio.writes,
                             0);
    }
    assert_int_equal(f->dispatch.counters.string, 4);
}

static void nobody_waits_for_a_guest_that_is_gone(void **state)
{
    struct fixture *f = *state;

    f->guest.pin_error = -ESRCH;
    put(f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f0, .size = 2, .count = 4, .flags = IOREQ_DATA_IS_PTR});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 0);
    assert_false(f->dispatch.starved);
    assert_int_equal(f->port.writes, 0); /* not all-ones to a disk */
}

static void absent_pci_functions_read_as_ones(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot *slot = put(f, 0,
                                  (struct ioreq_slot){.type = IOREQ_PCI_CONFIG,
                                                      .addr = UINT64_C(0x18) << 32,
                                                      .size = 2,
                                                      .count = 1,
                                                      .flags = IOREQ_READ});
    dispatch_turn(&f->dispatch, NULL);
    assert_answered(slot);
    assert_int_equal(slot->data, 0xffff);
}

static void invalidate_is_answered_and_drops_mappings(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot *slot = put(f, 2, (struct ioreq_slot){.type = IOREQ_INVALIDATE});

    dispatch_turn(&f->dispatch, NULL);
    assert_answered(slot);
    assert_int_equal(f->guest.invalidated, 1);
    assert_int_equal(f->illegal, 0);
}

/* XSA-199 (CVE-2016-9637): a port above 16 bits, and other fields out of range. */
static void xsa_199_fields_out_of_range_touch_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct ioreq_slot bad[] = {
        {.type = IOREQ_PIO, .addr = 0x101f0, .size = 1, .count = 1, .flags = IOREQ_READ},
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 3, .count = 1, .flags = IOREQ_READ},
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 0, .count = 1, .flags = IOREQ_READ},
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 8, .count = 1, .flags = IOREQ_READ},
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 0x80000001, .count = 1, .flags = IOREQ_READ},
        {.type = IOREQ_PIO, .addr = 0x1f0, .size = 1, .count = 0, .flags = IOREQ_READ},
        {.type = IOREQ_PIO,
         .addr = 0x1f0,
         .size = 4,
         .count = UINT32_MAX,
         .flags = IOREQ_READ | IOREQ_DATA_IS_PTR},
        {.type = 9, .addr = 0x1f0, .size = 1, .count = 1, .flags = IOREQ_READ},
        {.type = 0xff, .addr = 0x1f0, .size = 1, .count = 1, .flags = IOREQ_READ},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ioreq_slot *slot = put(f, 0, bad[i]);

        dispatch_turn(&f->dispatch, NULL);
        assert_answered(slot);
        assert_int_equal(f->illegal, i + 1);
        assert_int_equal(f->dispatch.counters.illegal, i + 1);
        if (!(bad[i].flags & IOREQ_DATA_IS_PTR))
            assert_true(slot->data == UINT64_MAX);
    }
    assert_int_equal(f->port.reads + f->port.block_reads, 0);
}

/* A device whose first access is the moment at which the guest changes its request. */
static void changing_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct fixture *f = dev;
    struct ioreq_slot *slot = &f->guest.slots[0];

    f->port.writes++;
    f->port.last_size = size;
    f->port.last_offset = offset;
    f->port.sum = f->port.sum * 31 + value;
    slot->addr = 0x10000 + 0x1f0;
    slot->data = UINT64_MAX;
    slot->count = UINT32_MAX;
    slot->size = 7;
    slot->type = 0x55;
    slot->flags = IOREQ_STATE_READY | IOREQ_READ | IOREQ_DF;
}

/* XSA-197 (CVE-2016-9381): what was checked is what is used, whatever the page says by then. */
static void xsa_197_a_request_that_changes_under_way_is_served_as_it_was(void **state)
{
    static const struct bus_io_ops ops = {.write = changing_write, .max_size = 4};
    struct fixture *f = *state;

    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x170, 8, &ops, f), 0);
    f->guest.ram[0x100] = 1;
    f->guest.ram[0x102] = 2;
    f->guest.ram[0x104] = 3;
    put(f, 0,
        (struct ioreq_slot){.type = IOREQ_PIO,
                            .addr = 0x170,
                            .size = 2,
                            .count = 3,
                            .data = 0x100,
                            .flags = IOREQ_DATA_IS_PTR});
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(f->port.writes, 3);
    assert_int_equal(f->port.last_size, 2);
    assert_int_equal(f->port.sum, (1 * 31 + 2) * 31 + 3);
    assert_int_equal(f->guest.slots[0].flags, IOREQ_DATA_IS_PTR | IOREQ_STATE_RESP_READY);
    assert_int_equal(f->illegal, 0);
    bus_release(f->bus, BUS_PORT, 0x170);
}

/* XSA-262 (CVE-2018-10981): an illegal state is never "answered". */
static void xsa_262_illegal_states_are_left_alone(void **state)
{
    struct fixture *f = *state;

    for (unsigned s = 0; s < 16; s++) {
        struct ioreq_slot *slot = &f->guest.slots[0];

        if (s == IOREQ_STATE_READY)
            continue;
        *slot = (struct ioreq_slot){.flags = (uint8_t)(s | IOREQ_READ), .size = 1, .count = 1};
        dispatch_turn(&f->dispatch, NULL);
        assert_int_equal(slot->flags, s | IOREQ_READ);
    }
    assert_int_equal(f->guest.notified[0], 0);
    assert_int_equal(f->dispatch.counters.illegal, 13); /* all but NONE, READY and RESP_READY */
}

static void ring_put(struct fixture *f, uint32_t index, uint8_t type, unsigned log2, uint32_t addr,
                     uint32_t data)
{
    f->guest.buffered.slot[index % BUF_IOREQ_SLOTS] =
        type | (uint64_t)log2 << 10 | (uint64_t)addr << 12 | (uint64_t)data << 32;
}

static void buffered_writes_come_before_requests(void **state)
{
    struct fixture *f = *state;

    ring_put(f, 510, IOREQ_COPY, 2, 0xa0004, 1);
    ring_put(f, 511, IOREQ_COPY, 2, 0xa0008, 2);
    f->guest.buffered.read_pointer = 510;
    f->guest.buffered.write_pointer = 512;
    put(f, 0,
        (struct ioreq_slot){.type = IOREQ_COPY, .addr = 0xa000c, .size = 4, .count = 1, .data = 3});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 3);
    assert_int_equal(f->mmio.sum, (1 * 31 + 2) * 31 + 3);
    assert_int_equal(f->guest.buffered.read_pointer, 512);
}

static void an_eight_byte_buffered_write_takes_two_slots(void **state)
{
    struct fixture *f = *state;

    ring_put(f, 0, IOREQ_COPY, 3, 0xa0000, 0x89abcdef);
    ring_put(f, 1, IOREQ_COPY, 3, 0xa0000, 0x01234567);
    f->guest.buffered.write_pointer = 2;
    dispatch_turn(&f->dispatch, NULL);
    assert_true(f->mmio.last_value == UINT64_C(0x0123456789abcdef));
    assert_int_equal(f->mmio.last_size, 8);

    /* Its second half missing: consumed, nothing written. */
    ring_put(f, 2, IOREQ_COPY, 3, 0xa0000, 5);
    f->guest.buffered.write_pointer = 3;
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(f->mmio.writes, 1);
    assert_int_equal(f->illegal, 1);
    assert_int_equal(f->guest.buffered.read_pointer, 3);
}

/* A guest that keeps the ring full (2024): one turn takes what was there, and serves the slots. */
static void a_budget_ends_the_turn_and_the_next_goes_on_from_there(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot read = {
        .type = IOREQ_PIO, .addr = 0x1f7, .size = 1, .count = 1, .flags = IOREQ_READ};

    f->dispatch.budget = 2;
    for (unsigned vcpu = 0; vcpu < 5; vcpu++)
        put(f, vcpu, read);
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 2);
    assert_true(f->dispatch.more);
    /* The first one is back at once, and has to wait until all others have had their turn. */
    put(f, 0, read);
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 2);
    assert_true(f->dispatch.more);
    assert_answered(&f->guest.slots[3]);
    assert_int_equal(f->guest.slots[0].flags & IOREQ_STATE_MASK, IOREQ_STATE_READY);
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 2);
    assert_answered(&f->guest.slots[4]);
    assert_answered(&f->guest.slots[0]);
    assert_false(f->dispatch.more);
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 0);
    assert_false(f->dispatch.more);
}

static void long_strings_cost_more_of_the_budget(void **state)
{
    struct fixture *f = *state;

    f->dispatch.budget = 4;
    for (unsigned vcpu = 0; vcpu < 4; vcpu++)
        put(f, vcpu,
            (struct ioreq_slot){.type = IOREQ_PIO,
                                .addr = 0x1f0,
                                .size = 1,
                                .count = 256,
                                .data = 0x1000,
                                .flags = IOREQ_READ | IOREQ_DATA_IS_PTR | IOREQ_DF});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 1);
    assert_true(f->dispatch.more);
}

static void what_had_to_be_mapped_costs_more_of_the_budget(void **state)
{
    struct fixture *f = *state;

    f->dispatch.budget = 2 * DISPATCH_MAP_COST;
    f->guest.pin_maps = 1;
    for (unsigned vcpu = 0; vcpu < 4; vcpu++)
        put(f, vcpu,
            (struct ioreq_slot){.type = IOREQ_PIO,
                                .addr = 0x1f0,
                                .size = 2,
                                .count = 2,
                                .data = 0x1000,
                                .flags = IOREQ_READ | IOREQ_DATA_IS_PTR});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 2);
    assert_true(f->dispatch.more);
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 2); /* each turn anew */
}

static void requests_wait_for_what_is_left_in_the_ring(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot *slot =
        put(f, 0,
            (struct ioreq_slot){
                .type = IOREQ_PIO, .addr = 0x1f7, .size = 1, .count = 1, .flags = IOREQ_READ});

    for (unsigned i = 0; i < 5; i++)
        ring_put(f, i, IOREQ_PIO, 0, 0x1f1, i);
    f->guest.buffered.write_pointer = 5;
    f->dispatch.budget = 3;
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 3);
    assert_true(f->dispatch.more);
    assert_int_equal(f->guest.buffered.read_pointer, 3);
    assert_int_equal(slot->flags & IOREQ_STATE_MASK, IOREQ_STATE_READY);
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 3);
    assert_false(f->dispatch.more);
    assert_answered(slot);
}

static void starvation_2024_a_full_ring_is_one_bounded_turn(void **state)
{
    struct fixture *f = *state;
    struct ioreq_slot *slot;

    for (uint32_t i = 0; i < BUF_IOREQ_SLOTS; i++)
        ring_put(f, i, IOREQ_COPY, 0, 0xa0000, i);
    f->guest.buffered.write_pointer = BUF_IOREQ_SLOTS;
    slot = put(f, 1,
               (struct ioreq_slot){
                   .type = IOREQ_PIO, .addr = 0x1f7, .size = 1, .count = 1, .flags = IOREQ_READ});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), BUF_IOREQ_SLOTS + 1);
    assert_answered(slot);

    f->guest.buffered.write_pointer += 0x80000000; /* a lie */
    put(f, 1,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f7, .size = 1, .count = 1, .flags = IOREQ_READ});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 1);
    assert_int_equal(f->dispatch.counters.illegal, 1);
}

/* A data port that gives probe->next, next + 1, ... */
static uint32_t probe_window(void *dev, bool *ret_write, void *buf, uint32_t room)
{
    const struct probe *probe = dev;

    *ret_write = false;
    for (uint32_t i = 0; i < room && i < 100; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(probe->next + i);
    return 100;
}

static const struct bus_io_ops window_ops = {
    .read = probe_read,
    .write = probe_write,
    .read_block = probe_read_block,
    .max_size = 4,
    .window = probe_window,
};

/* What the page's entry said when vCPU n was told. */
struct told {
    struct bufpio_page page;
    uint64_t word[2];
};

static void notify_and_look(struct hv_guest *guest, uint32_t vcpu)
{
    struct told *told = (struct told *)guest->ram;

    told->word[vcpu] = told->page.entry[BUFPIO_SECONDARY].word;
    fake_hv.notify(guest, vcpu);
}

static void windows_are_taken_out_before_a_request_and_published_before_its_answer(void **state)
{
    struct fixture *f = *state;
    struct told *told = (struct told *)f->guest.ram;
    struct hv_ops hv = fake_hv;
    struct bufpio bufpio;
    struct probe data = {0};

    hv.notify = notify_and_look;
    f->dispatch.hv = &hv;
    f->dispatch.bufpio = &bufpio;
    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x170, 8, &window_ops, &data), 0);
    bufpio_init(&bufpio, &told->page, f->bus, 0);
    struct ioreq_slot *slot =
        put(f, 0,
            (struct ioreq_slot){
                .type = IOREQ_PIO, .addr = 0x170, .size = 2, .count = 1, .flags = IOREQ_READ});
    dispatch_turn(&f->dispatch, NULL);
    assert_answered(slot);
    assert_int_equal(slot->data, 0x0100);
    assert_int_not_equal(told->word[0], 0);

    /* The hypervisor moves 10 bytes; then two vCPUs ask at once, one of them for the next word. */
    told->page.entry[BUFPIO_SECONDARY].word += UINT64_C(10) << 32;
    told->page.entry[BUFPIO_SECONDARY].activity += 5 * BUFPIO_ANSWER;
    put(f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f2, .size = 1, .count = 1, .flags = IOREQ_READ});
    slot = put(f, 1,
               (struct ioreq_slot){
                   .type = IOREQ_PIO, .addr = 0x170, .size = 2, .count = 1, .flags = IOREQ_READ});
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(slot->data, 13 << 8 | 12);
    assert_int_not_equal(told->word[1], 0);
    assert_int_equal(bufpio.counters.answered, 5);
    assert_int_equal(bufpio.counters.rejected, 0);

    /* A write of the buffered ring is an access, too. */
    uint64_t take_outs = bufpio.counters.take_outs;
    ring_put(f, 0, IOREQ_COPY, 0, 0xa0000, 1);
    f->guest.buffered.write_pointer = 1;
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(bufpio.counters.take_outs, take_outs + 1);
    assert_int_not_equal(told->page.entry[BUFPIO_SECONDARY].word, 0);

    /* A string ends it. */
    put(f, 0,
        (struct ioreq_slot){.type = IOREQ_PIO,
                            .addr = 0x170,
                            .size = 2,
                            .count = 5,
                            .data = FAKE_HV_RAM - 64,
                            .flags = IOREQ_READ | IOREQ_DATA_IS_PTR});
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(told->page.entry[BUFPIO_SECONDARY].word, 0);
    bufpio_finish(&bufpio);
    bus_release(f->bus, BUS_PORT, 0x170);
}

/* Its slot stays as it is; what the other vCPU moved in between arrives all the same. */
static void windows_are_published_while_a_string_waits_for_memory(void **state)
{
    struct fixture *f = *state;
    struct told *told = (struct told *)f->guest.ram;
    struct bufpio_entry *entry = &told->page.entry[BUFPIO_SECONDARY];
    struct bufpio bufpio;
    struct probe data = {0};

    f->dispatch.bufpio = &bufpio;
    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x170, 8, &window_ops, &data), 0);
    bufpio_init(&bufpio, &told->page, f->bus, 0);
    put(f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x170, .size = 2, .count = 1, .flags = IOREQ_READ});
    dispatch_turn(&f->dispatch, NULL);
    f->guest.slots[0].flags = 0;

    f->guest.pin_error = -ENOMEM;
    struct ioreq_slot *slot = put(f, 1,
                                  (struct ioreq_slot){.type = IOREQ_PIO,
                                                      .addr = 0x1f0,
                                                      .size = 2,
                                                      .count = 4,
                                                      .data = FAKE_HV_RAM - 64,
                                                      .flags = IOREQ_READ | IOREQ_DATA_IS_PTR});
    for (unsigned i = 0; i < 3; i++) {
        entry->word += UINT64_C(10) << 32;
        entry->activity += 5 * BUFPIO_ANSWER;
        assert_int_equal(dispatch_turn(&f->dispatch, NULL), 0);
        assert_true(f->dispatch.starved);
        assert_int_equal(slot->flags & IOREQ_STATE_MASK, IOREQ_STATE_READY);
        assert_int_equal(f->port.block_reads, 0);
        assert_int_equal(data.next, 2 + 10 * (i + 1));
        assert_int_not_equal(entry->word, 0);
    }
    f->guest.pin_error = 0;
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 1);
    assert_answered(slot);
    assert_int_equal(f->port.block_reads, 1);
    assert_int_not_equal(entry->word, 0);
    assert_int_equal(bufpio.counters.rejected, 0);
    bufpio_finish(&bufpio);
    bus_release(f->bus, BUS_PORT, 0x170);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_port_read_is_answered_zero_extended_and_notified),
        TEST(who_traces_is_told_of_each_request_before_its_answer),
        TEST(a_port_write_reaches_the_device_with_its_size_only),
        TEST(only_the_slots_named_are_looked_at),
        TEST(rep_insw_is_one_block_access_into_guest_memory),
        TEST(rep_insw_with_df_goes_downwards),
        TEST(rep_outsl_reads_what_is_not_ram_as_ones),
        TEST(mmio_strings_step_both_addresses),
        TEST(a_string_whose_memory_is_out_of_reach_waits),
        TEST(nobody_waits_for_a_guest_that_is_gone),
        TEST(absent_pci_functions_read_as_ones),
        TEST(invalidate_is_answered_and_drops_mappings),
        TEST(xsa_199_fields_out_of_range_touch_nothing),
        TEST(xsa_197_a_request_that_changes_under_way_is_served_as_it_was),
        TEST(xsa_262_illegal_states_are_left_alone),
        TEST(buffered_writes_come_before_requests),
        TEST(an_eight_byte_buffered_write_takes_two_slots),
        TEST(a_budget_ends_the_turn_and_the_next_goes_on_from_there),
        TEST(long_strings_cost_more_of_the_budget),
        TEST(what_had_to_be_mapped_costs_more_of_the_budget),
        TEST(requests_wait_for_what_is_left_in_the_ring),
        TEST(starvation_2024_a_full_ring_is_one_bounded_turn),
        TEST(windows_are_taken_out_before_a_request_and_published_before_its_answer),
        TEST(windows_are_published_while_a_string_waits_for_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
