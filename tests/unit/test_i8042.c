/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/device_rig.h"

#define OBF 0x01
#define SYS 0x04
#define AUX 0x20

static int setup(void **state)
{
    static struct rig rig;

    rig_init(&rig);
    rig_create(&rig, i8042_create);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

static uint8_t status(struct rig *rig)
{
    return (uint8_t)rig_in(rig, 0x64, 1);
}

static void command(struct rig *rig, uint8_t byte)
{
    rig_out(rig, 0x64, 1, byte);
}

static void data(struct rig *rig, uint8_t byte)
{
    rig_out(rig, 0x60, 1, byte);
}

/* The next byte, which must be there. */
static uint8_t get(struct rig *rig)
{
    assert_true(status(rig) & OBF);
    return (uint8_t)rig_in(rig, 0x60, 1);
}

static void set_ctr(struct rig *rig, uint8_t ctr)
{
    command(rig, 0x60);
    data(rig, ctr);
}

static void nothing_is_there_at_first(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(status(rig) & (OBF | 0x02 | AUX | 0xc0), 0);
    assert_false(rig->fake.isa[1] || rig->fake.isa[12]);
}

/* The steps of SeaBIOS's keyboard setup. */
static void seabios_finds_its_keyboard(void **state)
{
    struct rig *rig = *state;

    command(rig, 0xaa);
    assert_int_equal(get(rig), 0x55);
    assert_true(status(rig) & SYS);
    command(rig, 0xab);
    assert_int_equal(get(rig), 0x00);
    set_ctr(rig, 0x30);
    set_ctr(rig, 0x20);
    data(rig, 0xff);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(get(rig), 0xaa);
    assert_int_equal(status(rig) & OBF, 0);
    data(rig, 0xf5);
    assert_int_equal(get(rig), 0xfa);
    data(rig, 0xf0);
    assert_int_equal(get(rig), 0xfa);
    data(rig, 0x02);
    assert_int_equal(get(rig), 0xfa);
    set_ctr(rig, 0x61);
    data(rig, 0xf4);
    assert_true(rig->fake.isa[1]);
    assert_int_equal(get(rig), 0xfa);
    assert_false(rig->fake.isa[1]);
}

/* The steps of Linux's i8042 and atkbd probes. */
static void linux_finds_controller_keyboard_and_mouse(void **state)
{
    struct rig *rig = *state;

    command(rig, 0x20);
    uint8_t ctr = get(rig);
    set_ctr(rig, (ctr | 0x30) & (uint8_t)~3);
    command(rig, 0xd3);
    data(rig, 0x5a);
    assert_true(status(rig) & AUX);
    assert_int_equal(get(rig), 0x5a);
    command(rig, 0xa9);
    assert_int_equal(get(rig), 0x00);
    command(rig, 0xa7);
    command(rig, 0x20);
    assert_true(get(rig) & 0x20);
    command(rig, 0xa8);
    command(rig, 0x20);
    assert_false(get(rig) & 0x20);
    /* Is IRQ 12 delivered? */
    set_ctr(rig, 0x02);
    command(rig, 0xd3);
    data(rig, 0xa5);
    assert_true(rig->fake.isa[12]);
    assert_false(rig->fake.isa[1]);
    assert_int_equal(get(rig), 0xa5);
    assert_false(rig->fake.isa[12]);

    set_ctr(rig, 0x03);
    data(rig, 0xf2);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(get(rig), 0xab);
    assert_int_equal(get(rig), 0x83);
    data(rig, 0xed);
    assert_int_equal(get(rig), 0xfa);
    data(rig, 0x00);
    assert_int_equal(get(rig), 0xfa);

    command(rig, 0xd4);
    data(rig, 0xff);
    assert_true(rig->fake.isa[12]);
    assert_true(status(rig) & AUX);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(get(rig), 0xaa);
    assert_int_equal(get(rig), 0x00);
    command(rig, 0xd4);
    data(rig, 0xf3);
    assert_int_equal(get(rig), 0xfa);
    command(rig, 0xd4);
    data(rig, 200);
    assert_int_equal(get(rig), 0xfa);
    command(rig, 0xd4);
    data(rig, 0xe9);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(get(rig), 0x00);
    assert_int_equal(get(rig), 0x02);
    assert_int_equal(get(rig), 200);
    assert_int_equal(status(rig) & OBF, 0);
}

static void each_byte_is_an_edge(void **state)
{
    struct rig *rig = *state;

    data(rig, 0xf2);
    assert_int_equal(rig->fake.isa_rises[1], 1);
    get(rig);
    assert_int_equal(rig->fake.isa_rises[1], 2);
    get(rig);
    get(rig);
    assert_int_equal(rig->fake.isa_rises[1], 3);
    assert_false(rig->fake.isa[1]);
}

static void a_disabled_line_holds_its_bytes_back(void **state)
{
    struct rig *rig = *state;

    data(rig, 0xf2);
    command(rig, 0xad);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(status(rig) & OBF, 0);
    command(rig, 0xae);
    assert_int_equal(get(rig), 0xab);
    command(rig, 0xa7);
    command(rig, 0xd4);
    data(rig, 0xf2);
    assert_int_equal(get(rig), 0x83);
    assert_int_equal(status(rig) & OBF, 0);
    command(rig, 0xa8);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(get(rig), 0x00);
}

static void answers_are_translated_while_translation_is_on(void **state)
{
    struct rig *rig = *state;

    set_ctr(rig, 0x41);
    data(rig, 0xf2);
    get(rig);
    assert_int_equal(get(rig), 0xab);
    assert_int_equal(get(rig), 0x41);
    data(rig, 0xf0);
    get(rig);
    data(rig, 0x00);
    get(rig);
    assert_int_equal(get(rig), 0x41); /* set 2 */
}

static void a_new_command_drops_the_rest_of_an_answer(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 100; i++)
        data(rig, 0xf2);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(get(rig), 0xfa);
    assert_int_equal(get(rig), 0xab);
    assert_int_equal(get(rig), 0x83);
    assert_int_equal(status(rig) & OBF, 0);
}

static void pulsing_the_reset_line_resets(void **state)
{
    struct rig *rig = *state;

    command(rig, 0xff);
    assert_int_equal(rig->fake.power_resets, 0);
    command(rig, 0xfe);
    assert_int_equal(rig->fake.power_resets, 1);
    command(rig, 0xd1);
    data(rig, 0xdf); /* A20 on: firmware's usual write */
    assert_int_equal(rig->fake.power_resets, 1);
    command(rig, 0xd0);
    assert_int_equal(get(rig) & 3, 3);
    command(rig, 0xdd);
    command(rig, 0xd0);
    assert_int_equal(get(rig) & 3, 1);
    command(rig, 0xd1);
    data(rig, 0x02);
    assert_int_equal(rig->fake.power_resets, 2);
}

static void every_command_and_byte_is_harmless(void **state)
{
    struct rig *rig = *state;

    for (unsigned c = 0; c < 256; c++) {
        for (unsigned d = 0; d < 256; d++) {
            command(rig, (uint8_t)c);
            data(rig, (uint8_t)d);
            if (d & 1)
                rig_in(rig, 0x60, 1);
            command(rig, 0xd4);
            data(rig, (uint8_t)c);
        }
    }
    rig_reload(rig);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    data(rig, 0x12); /* for whatever command waits */
    for (unsigned i = 0; i < 16 && (status(rig) & OBF); i++)
        rig_in(rig, 0x60, 1);
    command(rig, 0xd4);
    data(rig, 0xe9);
    data(rig, 0xf2);
}

static void state_survives_in_the_middle_of_an_answer(void **state)
{
    struct rig *rig = *state;

    data(rig, 0xf2);
    get(rig);
    command(rig, 0xd4);
    rig->fake.isa[1] = false;
    rig_reload(rig);
    assert_true(rig->fake.isa[1]);
    data(rig, 0xf2); /* still the mouse's */
    assert_int_equal(get(rig), 0xab);
    assert_int_equal(get(rig), 0x83);
    assert_true(status(rig) & AUX);
    assert_int_equal(get(rig), 0xfa);
    rig_hostile_states(rig, poke);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(status(rig) & OBF, 0);
    assert_false(rig->fake.isa[1] || rig->fake.isa[12]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_there_at_first),
        TEST(seabios_finds_its_keyboard),
        TEST(linux_finds_controller_keyboard_and_mouse),
        TEST(each_byte_is_an_edge),
        TEST(a_disabled_line_holds_its_bytes_back),
        TEST(answers_are_translated_while_translation_is_on),
        TEST(a_new_command_drops_the_rest_of_an_answer),
        TEST(pulsing_the_reset_line_resets),
        TEST(every_command_and_byte_is_harmless),
        TEST(state_survives_in_the_middle_of_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
