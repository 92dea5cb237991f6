/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/device_rig.h"

/* Disks that know their size and nothing else. */
struct blk {
    struct blk_info info;
};

const struct blk_info *blk_info(const struct blk *blk)
{
    return &blk->info;
}

static struct rig rig;
static struct blk small = {.info.sectors = 1000 * 16 * 63 + 5};
static struct blk limit = {.info.sectors = 1024 * 16 * 63 + 1};
static struct blk large = {.info.sectors = 1ull << 33};

static void start(const char *boot_order)
{
    rig_init(&rig);
    rig.spec.vcpus = 3;
    rig.spec.drive[0].blk = &large;
    rig.spec.drive[1].blk = &small;
    rig.spec.drive[2].blk = &limit;
    rig.spec.drive[3].blk = &large;
    strcpy(rig.spec.boot_order, boot_order);
    rig_create(&rig, cmos_create);
}

static uint8_t cmos(uint8_t index)
{
    rig_out(&rig, 0x70, 1, index);
    return (uint8_t)rig_in(&rig, 0x71, 1);
}

static void firmware_finds_disks_and_no_floppies(void **state)
{
    start("");
    assert_int_equal(cmos(0x10), 0);
    assert_int_equal(cmos(0x12), 0xff);
    assert_int_equal(cmos(0x19), 47);
    assert_int_equal(cmos(0x1a), 47);
    assert_int_equal(cmos(0x1b) | cmos(0x1c) << 8, 16383);
    assert_int_equal(cmos(0x1d), 16);
    assert_int_equal(cmos(0x23), 63);
    assert_int_equal(cmos(0x24) | cmos(0x25) << 8, 1000);
    assert_int_equal(cmos(0x39), 0x51); /* LBA, none, LBA, LBA */
    assert_int_equal(cmos(0x5f), 2);
    rig_finish(&rig);
}

static void a_machine_without_disks_says_so(void **state)
{
    rig_init(&rig);
    rig_create(&rig, cmos_create);
    assert_int_equal(cmos(0x12), 0);
    assert_int_equal(cmos(0x19), 0);
    assert_int_equal(cmos(0x39), 0);
    rig_finish(&rig);
}

static void a_cdrom_drive_is_no_disk(void **state)
{
    rig_init(&rig);
    rig.spec.drive[0].blk = &large;
    rig.spec.drive[1].blk = &small;
    rig.spec.drive[1].cdrom = true;
    rig.spec.drive[2].cdrom = true; /* an empty one */
    rig_create(&rig, cmos_create);
    assert_int_equal(cmos(0x12), 0xf0);
    assert_int_equal(cmos(0x1a), 0);
    assert_int_equal(cmos(0x39), 0x01);
    rig_finish(&rig);
}

static void the_boot_order_is_told_in_nibbles(void **state)
{
    start("");
    assert_int_equal(cmos(0x3d), 0x02);
    assert_int_equal(cmos(0x38), 0x01);
    rig_finish(&rig);
    start("dcn");
    assert_int_equal(cmos(0x3d), 0x23);
    assert_int_equal(cmos(0x38), 0x41);
    rig_finish(&rig);
    start("ca");
    assert_int_equal(cmos(0x3d), 0x12);
    assert_int_equal(cmos(0x38), 0x01);
    rig_finish(&rig);
}

static void memory_written_by_firmware_stays(void **state)
{
    start("c");
    rig_out(&rig, 0x70, 1, 0x80 | 0x34); /* with the NMI mask */
    rig_out(&rig, 0x71, 1, 0xab);
    assert_int_equal(rig_in(&rig, 0x71, 1), 0xab);
    assert_int_equal(cmos(0x34), 0xab);
    assert_int_equal(cmos(0x35), 0);
    assert_int_equal(rig_in(&rig, 0x70, 1), 0xff);
    rig.dev->ops->reset(rig.dev);
    assert_int_equal(cmos(0x34), 0xab);
    rig_finish(&rig);
}

static void every_index_is_inside(void **state)
{
    start("c");
    for (unsigned index = 0; index < 256; index++) {
        rig_out(&rig, 0x70, 1, index);
        rig_out(&rig, 0x71, 1, index ^ 0x55);
    }
    for (unsigned index = 128; index < 256; index++) {
        if (index != 0x8d)
            assert_int_equal(cmos((uint8_t)index), index ^ 0x55);
    }
    assert_int_equal(cmos(0x0d), 0x80);
    rig_finish(&rig);
}

static void a_word_write_is_an_index_and_a_byte(void **state)
{
    start("c");
    rig_out(&rig, 0x70, 2, 0x5a40);
    assert_int_equal(cmos(0x40), 0x5a);
    rig_finish(&rig);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *unused)
{
    rig_out(&rig, 0x71, 1, 0x12);
    rig_in(&rig, 0x71, 1);
}

static void state_survives(void **state)
{
    start("c");
    rig_out(&rig, 0x70, 2, 0x5a40);
    rig_reload(&rig);
    assert_int_equal(rig_in(&rig, 0x71, 1), 0x5a);
    rig_hostile_states(&rig, poke);
    rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firmware_finds_disks_and_no_floppies),
        cmocka_unit_test(a_machine_without_disks_says_so),
        cmocka_unit_test(a_cdrom_drive_is_no_disk),
        cmocka_unit_test(the_boot_order_is_told_in_nibbles),
        cmocka_unit_test(memory_written_by_firmware_stays),
        cmocka_unit_test(every_index_is_inside),
        cmocka_unit_test(a_word_write_is_an_index_and_a_byte),
        cmocka_unit_test(state_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
