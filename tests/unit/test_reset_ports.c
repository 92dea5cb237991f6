/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/device_rig.h"

static int setup(void **state)
{
    static struct rig rig;

    rig_init(&rig);
    rig_create(&rig, reset_ports_create);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

static void a20_is_kept_and_does_not_reset(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_in(rig, 0x92, 1), 0x02);
    rig_out(rig, 0x92, 1, 0x00);
    assert_int_equal(rig_in(rig, 0x92, 1), 0x00);
    rig_out(rig, 0x92, 1, 0x02);
    assert_int_equal(rig_in(rig, 0x92, 1), 0x02);
    assert_int_equal(rig->fake.power_resets, 0);
}

static void init_resets_on_its_rising_edge(void **state)
{
    struct rig *rig = *state;

    rig_out(rig, 0x92, 1, 0x03);
    assert_int_equal(rig->fake.power_resets, 1);
    rig_out(rig, 0x92, 1, 0x01);
    assert_int_equal(rig->fake.power_resets, 1);
    rig_out(rig, 0x92, 1, 0x00);
    rig_out(rig, 0x92, 1, 0xff);
    assert_int_equal(rig->fake.power_resets, 2);
    assert_int_equal(rig_in(rig, 0x92, 1), 0x03);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    assert_int_equal(rig_in(rig, 0x92, 1) & 0xfc, 0);
}

static void state_survives(void **state)
{
    struct rig *rig = *state;

    rig_out(rig, 0x92, 1, 0x00);
    rig_reload(rig);
    assert_int_equal(rig_in(rig, 0x92, 1), 0x00);
    rig_hostile_states(rig, poke);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(rig_in(rig, 0x92, 1), 0x02);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a20_is_kept_and_does_not_reset),
        TEST(init_resets_on_its_rising_edge),
        TEST(state_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
