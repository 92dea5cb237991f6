/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is served before what, and how much of it in one turn: the ring, budgets, windows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/dispatch_rig.h"

static void ring_put(struct dispatch_rig *f, uint32_t index, uint8_t type, unsigned log2,
                     uint32_t addr, uint32_t data)
{
    f->guest.buffered.slot[index % BUF_IOREQ_SLOTS] =
        type | (uint64_t)log2 << 10 | (uint64_t)addr << 12 | (uint64_t)data << 32;
}

static void buffered_writes_come_before_requests(void **state)
{
    struct dispatch_rig *f = *state;

    ring_put(f, 510, IOREQ_COPY, 2, 0xa0004, 1);
    ring_put(f, 511, IOREQ_COPY, 2, 0xa0008, 2);
    f->guest.buffered.read_pointer = 510;
    f->guest.buffered.write_pointer = 512;
    dispatch_rig_put(
        f, 0,
        (struct ioreq_slot){.type = IOREQ_COPY, .addr = 0xa000c, .size = 4, .count = 1, .data = 3});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 3);
    assert_int_equal(f->mmio.sum, (1 * 31 + 2) * 31 + 3);
    assert_int_equal(f->guest.buffered.read_pointer, 512);
}

static void an_eight_byte_buffered_write_takes_two_slots(void **state)
{
    struct dispatch_rig *f = *state;

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
    struct dispatch_rig *f = *state;
    struct ioreq_slot read = {
        .type = IOREQ_PIO, .addr = 0x1f7, .size = 1, .count = 1, .flags = IOREQ_READ};

    f->dispatch.budget = 2;
    for (unsigned vcpu = 0; vcpu < 5; vcpu++)
        dispatch_rig_put(f, vcpu, read);
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), 2);
    assert_true(f->dispatch.more);
    /* The first one is back at once, and has to wait until all others have had their turn. */
    dispatch_rig_put(f, 0, read);
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
    struct dispatch_rig *f = *state;

    f->dispatch.budget = 4;
    for (unsigned vcpu = 0; vcpu < 4; vcpu++)
        dispatch_rig_put(f, vcpu,
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
    struct dispatch_rig *f = *state;

    f->dispatch.budget = 2 * DISPATCH_MAP_COST;
    f->guest.pin_maps = 1;
    for (unsigned vcpu = 0; vcpu < 4; vcpu++)
        dispatch_rig_put(f, vcpu,
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
    struct dispatch_rig *f = *state;
    struct ioreq_slot *slot = dispatch_rig_put(
        f, 0,
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
    struct dispatch_rig *f = *state;
    struct ioreq_slot *slot;

    for (uint32_t i = 0; i < BUF_IOREQ_SLOTS; i++)
        ring_put(f, i, IOREQ_COPY, 0, 0xa0000, i);
    f->guest.buffered.write_pointer = BUF_IOREQ_SLOTS;
    slot = dispatch_rig_put(
        f, 1,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f7, .size = 1, .count = 1, .flags = IOREQ_READ});
    assert_int_equal(dispatch_turn(&f->dispatch, NULL), BUF_IOREQ_SLOTS + 1);
    assert_answered(slot);

    f->guest.buffered.write_pointer += 0x80000000; /* a lie */
    dispatch_rig_put(
        f, 1,
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
    struct dispatch_rig *f = *state;
    struct told *told = (struct told *)f->guest.ram;
    struct hv_ops hv = fake_hv;
    struct bufpio bufpio;
    struct probe data = {0};

    hv.notify = notify_and_look;
    f->dispatch.hv = &hv;
    f->dispatch.bufpio = &bufpio;
    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x170, 8, &window_ops, &data), 0);
    bufpio_init(&bufpio, &told->page, f->bus, 0);
    struct ioreq_slot *slot = dispatch_rig_put(
        f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x170, .size = 2, .count = 1, .flags = IOREQ_READ});
    dispatch_turn(&f->dispatch, NULL);
    assert_answered(slot);
    assert_int_equal(slot->data, 0x0100);
    assert_int_not_equal(told->word[0], 0);

    /* The hypervisor moves 10 bytes; then two vCPUs ask at once, one of them for the next word. */
    told->page.entry[BUFPIO_SECONDARY].word += UINT64_C(10) << 32;
    told->page.entry[BUFPIO_SECONDARY].activity += 5 * BUFPIO_ANSWER;
    dispatch_rig_put(
        f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f2, .size = 1, .count = 1, .flags = IOREQ_READ});
    slot = dispatch_rig_put(
        f, 1,
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
    dispatch_rig_put(f, 0,
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
    struct dispatch_rig *f = *state;
    struct told *told = (struct told *)f->guest.ram;
    struct bufpio_entry *entry = &told->page.entry[BUFPIO_SECONDARY];
    struct bufpio bufpio;
    struct probe data = {0};

    f->dispatch.bufpio = &bufpio;
    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x170, 8, &window_ops, &data), 0);
    bufpio_init(&bufpio, &told->page, f->bus, 0);
    dispatch_rig_put(
        f, 0,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x170, .size = 2, .count = 1, .flags = IOREQ_READ});
    dispatch_turn(&f->dispatch, NULL);
    f->guest.slots[0].flags = 0;

    f->guest.pin_error = -ENOMEM;
    struct ioreq_slot *slot =
        dispatch_rig_put(f, 1,
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, dispatch_rig_setup, dispatch_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
