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
    rig_create(&rig, dma8237_create);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

static void addresses_and_counts_cross_in_two_bytes(void **state)
{
    struct rig *rig = *state;

    for (unsigned reg = 0; reg < 8; reg++) {
        rig_out(rig, 0x0c, 1, 0); /* clear the flip-flop */
        rig_out(rig, (uint16_t)reg, 1, 0x10 + reg);
        rig_out(rig, (uint16_t)reg, 1, 0x20 + reg);
        rig_out(rig, 0xd8, 1, 0);
        rig_out(rig, (uint16_t)(0xc0 + 2 * reg), 1, 0x30 + reg);
        rig_out(rig, (uint16_t)(0xc0 + 2 * reg), 1, 0x40 + reg);
    }
    for (unsigned reg = 0; reg < 8; reg++) {
        assert_int_equal(rig_in(rig, (uint16_t)reg, 1), 0x10 + reg);
        assert_int_equal(rig_in(rig, (uint16_t)reg, 1), 0x20 + reg);
        assert_int_equal(rig_in(rig, (uint16_t)(0xc0 + 2 * reg), 1), 0x30 + reg);
        assert_int_equal(rig_in(rig, (uint16_t)(0xc0 + 2 * reg), 1), 0x40 + reg);
    }
}

static void masks_follow_their_four_registers(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_in(rig, 0x0f, 1), 0xff);
    rig_out(rig, 0x0a, 1, 0x02);
    assert_int_equal(rig_in(rig, 0x0f, 1), 0xfb);
    rig_out(rig, 0x0e, 1, 0);
    assert_int_equal(rig_in(rig, 0x0f, 1), 0xf0);
    rig_out(rig, 0x0a, 1, 0x07);
    assert_int_equal(rig_in(rig, 0x0f, 1), 0xf8);
    rig_out(rig, 0x0f, 1, 0x05);
    assert_int_equal(rig_in(rig, 0x0f, 1), 0xf5);
    rig_out(rig, 0xda, 1, 0); /* the other controller */
    assert_int_equal(rig_in(rig, 0x0f, 1), 0xf5);
    rig_out(rig, 0x0d, 1, 0);
    assert_int_equal(rig_in(rig, 0x0f, 1), 0xff);
}

static void a_software_request_is_pending_for_ever(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_in(rig, 0x08, 1), 0);
    rig_out(rig, 0x09, 1, 0x06);
    assert_int_equal(rig_in(rig, 0x08, 1), 0x40);
    rig_out(rig, 0x09, 1, 0x02);
    assert_int_equal(rig_in(rig, 0x08, 1), 0);
}

static void page_registers_and_the_post_port_keep_bytes(void **state)
{
    struct rig *rig = *state;

    for (uint16_t port = 0x80; port < 0x90; port++)
        rig_out(rig, port, 1, port ^ 0xff);
    for (uint16_t port = 0x80; port < 0x90; port++)
        assert_int_equal(rig_in(rig, port, 1), (uint8_t)(port ^ 0xff));
}

static void the_ports_of_others_are_left_alone(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_in(rig, 0x10, 2), 0xffff);
    assert_int_equal(rig_in(rig, 0x90, 1), 0xff);
    assert_int_equal(rig_in(rig, 0xe0, 1), 0xff);
    assert_int_equal(rig_in(rig, 0xbf, 1), 0xff);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    for (uint16_t port = 0; port < 16; port++) {
        rig_in(rig, port, 1);
        rig_out(rig, port, 1, 0xff);
        rig_in(rig, (uint16_t)(0xc0 + 2 * port), 1);
    }
}

static void state_survives(void **state)
{
    struct rig *rig = *state;

    rig_out(rig, 0x02, 1, 0x34);
    rig_out(rig, 0x0b, 1, 0x46);
    rig_out(rig, 0x87, 1, 0x99);
    rig_reload(rig);
    rig_out(rig, 0x02, 1, 0x12); /* the flip-flop was kept */
    rig_out(rig, 0x0c, 1, 0);
    assert_int_equal(rig_in(rig, 0x02, 1), 0x34);
    assert_int_equal(rig_in(rig, 0x02, 1), 0x12);
    assert_int_equal(rig_in(rig, 0x87, 1), 0x99);
    rig_hostile_states(rig, poke);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(rig_in(rig, 0x0f, 1), 0xff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(addresses_and_counts_cross_in_two_bytes),
        TEST(masks_follow_their_four_registers),
        TEST(a_software_request_is_pending_for_ever),
        TEST(page_registers_and_the_post_port_keep_bytes),
        TEST(the_ports_of_others_are_left_alone),
        TEST(state_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
