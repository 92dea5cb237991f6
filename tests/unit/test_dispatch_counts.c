/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What dispatch counts and times. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dispatch_rig.h"

static uint64_t clock_ns;

static uint64_t tick(void *ctx)
{
    return clock_ns += 1000;
}

static uint64_t timed(const struct histogram *histogram, uint64_t *ret_max_ns)
{
    struct histogram_sum sum = {0};

    histogram_read(histogram, &sum);
    *ret_max_ns = sum.max_ns;
    return sum.count;
}

static void put_read(struct dispatch_rig *f, unsigned vcpu, uint32_t size)
{
    dispatch_rig_put(
        f, vcpu,
        (struct ioreq_slot){
            .type = IOREQ_PIO, .addr = 0x1f0, .size = size, .count = 1, .flags = IOREQ_READ});
}

static void requests_are_counted_by_vcpu_kind_and_size(void **state)
{
    struct dispatch_rig *f = *state;
    static struct dispatch_vcpu vcpu[70];

    memset(vcpu, 0, sizeof(vcpu));
    f->dispatch.vcpu = vcpu;
    put_read(f, 3, 2);
    dispatch_rig_put(
        f, 69, (struct ioreq_slot){.type = IOREQ_COPY, .addr = 0xa0010, .size = 8, .count = 1});
    dispatch_turn(&f->dispatch, NULL);
    dispatch_rig_put(f, 69,
                     (struct ioreq_slot){.type = IOREQ_COPY,
                                         .addr = 0xa0010,
                                         .size = 4,
                                         .count = 5,
                                         .data = 64,
                                         .flags = IOREQ_DATA_IS_PTR});
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(vcpu[3].requests[DISPATCH_PIO_READ][1], 1);
    assert_int_equal(vcpu[3].bytes, 2);
    assert_int_equal(vcpu[69].requests[DISPATCH_MMIO_WRITE][3], 1);
    assert_int_equal(vcpu[69].requests[DISPATCH_MMIO_WRITE][2], 1);
    assert_int_equal(vcpu[69].bytes, 8 + 4 * 5);
    assert_int_equal(f->dispatch.counters.mmio_write, 2);
}

static void a_string_that_waits_for_memory_is_counted_when_it_is_served(void **state)
{
    struct dispatch_rig *f = *state;

    f->guest.pin_error = -ENOMEM;
    dispatch_rig_put(f, 0,
                     (struct ioreq_slot){.type = IOREQ_PIO,
                                         .addr = 0x1f0,
                                         .size = 2,
                                         .count = 4,
                                         .flags = IOREQ_READ | IOREQ_DATA_IS_PTR});
    for (unsigned i = 0; i < 3; i++)
        dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(f->dispatch.counters.pio_read, 0);
    f->guest.pin_error = 0;
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(f->dispatch.counters.pio_read, 1);
}

static void a_timed_turn_begins_when_its_owner_says(void **state)
{
    struct dispatch_rig *f = *state;
    static struct dispatch_vcpu vcpu[70];
    struct histogram all = {0};
    uint64_t max_ns;

    memset(vcpu, 0, sizeof(vcpu));
    clock_ns = 1000000;
    f->dispatch.vcpu = vcpu;
    f->dispatch.round_trip = &all;
    f->dispatch.now_ns = tick;
    f->dispatch.timed = true;
    f->dispatch.since_ns = 900000;
    put_read(f, 1, 1);
    put_read(f, 2, 1);
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(timed(&vcpu[1].round_trip, &max_ns), 1);
    assert_int_equal(max_ns, 101000);
    assert_int_equal(timed(&vcpu[2].round_trip, &max_ns), 1);
    assert_int_equal(max_ns, 102000); /* it waited for the first, too */
    assert_int_equal(timed(&all, &max_ns), 2);
    assert_int_equal(clock_ns, 1002000);
}

static void what_was_found_by_looking_is_timed_from_then_on(void **state)
{
    struct dispatch_rig *f = *state;
    struct histogram all = {0};
    uint64_t max_ns;

    clock_ns = 1000000;
    f->dispatch.round_trip = &all;
    f->dispatch.now_ns = tick;
    f->dispatch.timed = true;
    dispatch_turn(&f->dispatch, NULL); /* nothing there: the clock is not read */
    assert_int_equal(clock_ns, 1000000);
    put_read(f, 1, 1);
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(timed(&all, &max_ns), 1);
    assert_int_equal(max_ns, 1000);
}

static void no_other_turn_reads_the_clock(void **state)
{
    struct dispatch_rig *f = *state;

    clock_ns = 0;
    f->dispatch.now_ns = tick;
    put_read(f, 1, 1);
    dispatch_turn(&f->dispatch, NULL);
    assert_int_equal(clock_ns, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dispatch_rig_setup, dispatch_rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_are_counted_by_vcpu_kind_and_size),
        TEST(a_string_that_waits_for_memory_is_counted_when_it_is_served),
        TEST(a_timed_turn_begins_when_its_owner_says),
        TEST(what_was_found_by_looking_is_timed_from_then_on),
        TEST(no_other_turn_reads_the_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
