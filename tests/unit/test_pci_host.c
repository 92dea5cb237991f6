/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "tests/unit/device_rig.h"

static int setup(void **state)
{
    static struct rig rig;

    rig_init(&rig);
    rig_create(&rig, pci_host_create);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

static void the_address_register_reads_what_was_written(void **state)
{
    struct rig *rig = *state;

    /* How Linux finds mechanism 1. */
    rig_out(rig, 0xcfb, 1, 0x01);
    rig_out(rig, 0xcf8, 4, 0x80000000);
    assert_int_equal(rig_in(rig, 0xcf8, 4), 0x80000000);
    rig_out(rig, 0xcf8, 4, 0xffffffff);
    assert_int_equal(rig_in(rig, 0xcf8, 4), 0x80fffffc);
    rig_out(rig, 0xcf8, 2, 0x1234);
    rig_out(rig, 0xcfa, 1, 0x12);
    assert_int_equal(rig_in(rig, 0xcf8, 4), 0x80fffffc);
    assert_int_equal(rig_in(rig, 0xcf8, 2), 0xffff);
    assert_int_equal(rig_in(rig, 0xcfa, 2), 0xffff);
}

static void data_with_the_enable_bit_clear_is_nobodys(void **state)
{
    struct rig *rig = *state;

    rig_out(rig, 0xcf8, 4, 0);
    rig_out(rig, 0xcfc, 4, 0x12345678);
    assert_int_equal(rig_in(rig, 0xcfc, 4), 0xffffffff);
}

static void mechanism_1_reaches_a_function(void **state)
{
    static const struct pci_id id = {.vendor = 0x8086, .device = 0x1237, .interrupt_pin = 1};
    struct rig *rig = *state;
    struct pci_func func = {.name = "f"};

    assert_int_equal(pci_func_init(&func, rig->bus, PCI_DEVFN(3, 1), &id), 0);
    rig_out(rig, 0xcf8, 4, 0x80000000 | 3 << 11 | 1 << 8);
    assert_int_equal(rig_in(rig, 0xcfc, 4), 0x12378086);
    assert_int_equal(rig_in(rig, 0xcfe, 2), 0x1237);
    assert_int_equal(rig_in(rig, 0xcff, 1), 0x12);
    rig_out(rig, 0xcf8, 4, 0x80000000 | 3 << 11 | 1 << 8 | 0x3c);
    rig_out(rig, 0xcfc, 1, 11);
    assert_int_equal(rig_in(rig, 0xcfc, 2), 0x010b);
    rig_out(rig, 0xcf8, 4, 0x80010000 | 3 << 11 | 1 << 8); /* bus 1 */
    assert_int_equal(rig_in(rig, 0xcfc, 4), 0xffffffff);
    pci_func_finish(&func);
}

static void a_rising_edge_of_reset_cpu_resets_once(void **state)
{
    struct rig *rig = *state;

    rig_out(rig, 0xcf9, 1, 0x02);
    assert_int_equal(rig->fake.power_resets, 0);
    assert_int_equal(rig_in(rig, 0xcf9, 1), 0x02);
    rig_out(rig, 0xcf9, 1, 0x06);
    assert_int_equal(rig->fake.power_resets, 1);
    rig_out(rig, 0xcf9, 1, 0x06);
    assert_int_equal(rig->fake.power_resets, 1);
    rig_out(rig, 0xcf9, 1, 0x00);
    rig_out(rig, 0xcf9, 1, 0x06); /* the FADT's reset register, in one write */
    assert_int_equal(rig->fake.power_resets, 2);
    assert_int_equal(rig->fake.power_offs, 0);
    /* An address that happens to have the bit is no reset. */
    rig_out(rig, 0xcf8, 4, 0x80000600);
    assert_int_equal(rig->fake.power_resets, 2);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    for (uint16_t port = 0xcf8; port < 0xd00; port++)
        rig_in(rig, port, 1);
    rig_out(rig, 0xcfc, 4, 0);
}

static void state_survives(void **state)
{
    struct rig *rig = *state;

    rig_out(rig, 0xcf8, 4, 0x8000083c);
    rig_out(rig, 0xcf9, 1, 0x02);
    rig_reload(rig);
    assert_int_equal(rig_in(rig, 0xcf8, 4), 0x8000083c);
    assert_int_equal(rig_in(rig, 0xcf9, 1), 0x02);
    rig_hostile_states(rig, poke);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(rig_in(rig, 0xcf8, 4), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_address_register_reads_what_was_written),
        TEST(data_with_the_enable_bit_clear_is_nobodys),
        TEST(mechanism_1_reaches_a_function),
        TEST(a_rising_edge_of_reset_cpu_resets_once),
        TEST(state_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
