/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dispatch against a hypervisor that is an ops table over plain memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dispatch_rig.h"

static void a_port_read_is_answered_zero_extended_and_notified(void **state)
{
    struct dispatch_rig *f = *state;
    struct ioreq_slot *slot = dispatch_rig_put(f, 69,
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

static void a_port_write_reaches_the_device_with_its_size_only(void **state)
{
    struct dispatch_rig *f = *state;
    struct ioreq_slot *slot = dispatch_rig_put(
        f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f0, .size = 2, .count = 1, .data = 0x12345678});
    dispatch_turn(&f->dispatch, NULL);
    assert_answered(slot);
    assert_int_equal(f->port.last_value, 0x5678);
    assert_int_equal(f->port.last_size, 2);
}

static void only_the_slots_named_are_looked_at(void **state)
{
    struct dispatch_rig *f = *state;
    uint64_t slots[2] = {0, 1 << 1};
    struct ioreq_slot request = {
        .type = IOREQ_PIO, .addr = 0x1f0, .size = 1, .count = 1, .flags = IOREQ_READ};
    dispatch_rig_put(f, 3, request);
    dispatch_rig_put(f, 65, request);
    assert_int_equal(dispatch_turn(&f->dispatch, slots), 1);
    assert_int_equal(f->guest.slots[3].flags & IOREQ_STATE_MASK, IOREQ_STATE_READY);
    assert_answered(&f->guest.slots[65]);
}

static void rep_insw_is_one_block_access_into_guest_memory(void **state)
{
    struct dispatch_rig *f = *state;

    dispatch_rig_put(f, 0,
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
    struct dispatch_rig *f = *state;

    dispatch_rig_put(f, 0,
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
    struct dispatch_rig *f = *state;

    memset(f->guest.ram + FAKE_HV_RAM - 4, 0x11, 4);
    dispatch_rig_put(f, 0,
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
    struct dispatch_rig *f = *state;

    f->guest.ram[0x100] = 1;
    f->guest.ram[0x104] = 2;
    dispatch_rig_put(f, 0,
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
    struct dispatch_rig *f = *state;

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        struct ioreq_slot request = strings[i], *slot;

        request.flags |= IOREQ_DATA_IS_PTR;
        request.data = 0x1000;
        f->port = f->mmio = (struct probe){0};
        f->guest.notified[1] = 0;
        f->guest.pin_error = -ENOMEM;
        slot = dispatch_rig_put(f, 1, request);
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
    struct dispatch_rig *f = *state;

    f->guest.pin_error = -ESRCH;
    dispatch_rig_put(
        f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f0, .size = 2, .count = 4, .flags = IOREQ_DATA_IS_PTR});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 0);
    assert_false(f->dispatch.starved);
    assert_int_equal(f->port.writes, 0); /* not all-ones to a disk */
}

static void absent_pci_functions_read_as_ones(void **state)
{
    struct dispatch_rig *f = *state;
    struct ioreq_slot *slot = dispatch_rig_put(f, 0,
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
    struct dispatch_rig *f = *state;
    struct ioreq_slot *slot = dispatch_rig_put(f, 2, (struct ioreq_slot){.type = IOREQ_INVALIDATE});

    dispatch_turn(&f->dispatch, NULL);
    assert_answered(slot);
    assert_int_equal(f->guest.invalidated, 1);
    assert_int_equal(f->illegal, 0);
}

/* XSA-199 (CVE-2016-9637): a port above 16 bits, and other fields out of range. */
static void xsa_199_fields_out_of_range_touch_nothing(void **state)
{
    struct dispatch_rig *f = *state;
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
        struct ioreq_slot *slot = dispatch_rig_put(f, 0, bad[i]);

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
    struct dispatch_rig *f = dev;
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
    struct dispatch_rig *f = *state;

    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x170, 8, &ops, f), 0);
    f->guest.ram[0x100] = 1;
    f->guest.ram[0x102] = 2;
    f->guest.ram[0x104] = 3;
    dispatch_rig_put(f, 0,
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
    struct dispatch_rig *f = *state;

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, dispatch_rig_setup, dispatch_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_port_read_is_answered_zero_extended_and_notified),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
