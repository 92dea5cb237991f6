/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that move no data, and what an unplug leaves, seen through the PIIX3's ports. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ata_rig.h"

static void what_is_not_implemented_is_aborted(void **state)
{
    static const uint8_t opcodes[] = {0x00, 0x08, 0xa0, 0xb0, 0xf8, 0xf9, 0x27, 0x37, 0xff};

    for (unsigned i = 0; i < sizeof(opcodes); i++) {
        rig_command(&rig, 0, opcodes[i], 0, 1);
        assert_aborted(0);
    }
    features(0x05, 0x80);
    assert_aborted(0);
    features(0x03, 0x46);
    assert_aborted(0);
}

static void verify_reads_the_disk(void **state)
{
    rig_command(&rig, 0, 0x40, 3, 0);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_completed(0);
    rig_command_ext(&rig, 0, 0x42, 3, 1000);
    assert_completed(0);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->read_bytes, (256 + 1000) * 512);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .first = 300, .last = 300});
    rig_command_ext(&rig, 0, 0x42, 3, 1000);
    ide_rig_settle(&rig);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_UNC);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 300 & 0xff);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_MID), 300 >> 8);
}

static void seek_and_recalibrate_complete(void **state)
{
    rig_command(&rig, 0, 0x70, 8191, 0);
    assert_completed(0);
    rig_command(&rig, 0, 0x10, 0xffffff, 0);
    assert_completed(0);
}

static void power_modes_are_remembered(void **state)
{
    static const struct {
        uint8_t opcode, mode;
    } modes[] = {{0xe1, 0x80}, {0xe0, 0x00}, {0x95, 0x80},
                 {0x94, 0x00}, {0xe3, 0x80}, {0xe2, 0x00}};

    rig_command(&rig, 0, 0xe5, 0, 0);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_COUNT), 0xff);
    for (unsigned i = 0; i < 6; i++) {
        rig_command(&rig, 0, modes[i].opcode, 0, 0);
        assert_completed(0);
        rig_command(&rig, 0, i % 2 ? 0xe5 : 0x98, 0, 0);
        assert_int_equal(rig_reg(&rig, 0, ATA_REG_COUNT), modes[i].mode);
    }
    rig_command(&rig, 0, 0x40, 0, 1);
    assert_completed(0);
    rig_command(&rig, 0, 0xe5, 0, 0);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_COUNT), 0xff);
}

static void a_sleeping_drive_wakes_by_reset_only(void **state)
{
    uint8_t id[512];

    rig_command(&rig, 0, 0xe6, 0, 0);
    assert_completed(0);
    rig_command(&rig, 0, 0xec, 0, 0);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_false(rig_irq(&rig, 0));
    rig_srst(&rig, 0);
    identify(0, id);
}

static void unplugged_disks_are_gone_and_their_writes_stable(void **state)
{
    uint8_t data[512];

    fill(data, 512, 8);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    rig_command(&rig, 0, 0x30, 60, 1);
    rig_write_data(&rig, 0, data, 512);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    piix3_ide_unplug_disks(rig.dev);
    assert_int_equal(rig_status(&rig, 0), 0x7f);
    assert_false(rig.dev->ops->quiesce(rig.dev));
    assert_true(ide_leaving(rig.dev, 0));
    assert_int_equal(rig.fake.disks_left, 0);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    assert_false(ide_leaving(rig.dev, 0));
    assert_int_equal(rig.fake.disks_left, 1);
    assert_true(rig.dev->ops->quiesce(rig.dev));
    rig.dev->ops->resume(rig.dev);
    assert_memory_equal(rig.disk[0] + 60 * 512, data, 512);
    assert_int_equal(flushes(), 1);
    assert_false(rig_irq(&rig, 0));
    rig.dev->ops->reset(rig.dev);
    ide_rig_program(&rig);
    assert_int_equal(rig_status(&rig, 0), 0x7f);
    ata_rig_move();
    assert_int_equal(rig_status(&rig, 0), 0x7f);
}

/* Not before the flush that makes its writes stable. */
static void an_unplugged_disk_has_left_when_it_is_flushed(void **state)
{
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    piix3_ide_unplug_disks(rig.dev);
    ide_rig_settle(&rig);
    assert_true(ide_leaving(rig.dev, 0));
    assert_int_equal(rig.fake.disks_left, 0);
    piix3_ide_unplug_disks(rig.dev); /* a second time changes nothing */
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    assert_int_equal(rig.fake.disks_left, 1);
    assert_int_equal(flushes(), 1);
    piix3_ide_unplug_disks(rig.dev);
    ide_rig_settle(&rig);
    assert_false(ide_leaving(rig.dev, 0));
    assert_int_equal(rig.fake.leavings, 1);
    assert_int_equal(flushes(), 1);
}

static void an_unplugged_disk_that_cannot_be_written_has_left_at_once(void **state)
{
    piix3_ide_unplug_disks(rig.dev);
    assert_false(ide_leaving(rig.dev, 0));
    assert_int_equal(rig.fake.disks_left, 1);
    assert_int_equal(flushes(), 0);
}

static int read_only_disk(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {8192}, .read_only = true});
    return 0;
}

static void unplugging_auxiliary_disks_leaves_the_first(void **state)
{
    uint8_t id[512];

    piix3_ide_unplug_aux_disks(rig.dev);
    ide_rig_settle(&rig);
    assert_int_equal(rig.fake.disks_left, 2);
    assert_false(ide_leaving(rig.dev, 0));
    identify(0, id);
    rig_select(&rig, 1);
    assert_int_equal(rig_status(&rig, 1), 0);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, ata_rig_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_implemented_is_aborted, ata_rig_one_disk),
        TEST(verify_reads_the_disk, ata_rig_one_disk),
        TEST(seek_and_recalibrate_complete, ata_rig_one_disk),
        TEST(power_modes_are_remembered, ata_rig_one_disk),
        TEST(a_sleeping_drive_wakes_by_reset_only, ata_rig_one_disk),
        TEST(unplugged_disks_are_gone_and_their_writes_stable, ata_rig_one_disk),
        TEST(an_unplugged_disk_has_left_when_it_is_flushed, ata_rig_one_disk),
        TEST(an_unplugged_disk_that_cannot_be_written_has_left_at_once, read_only_disk),
        TEST(unplugging_auxiliary_disks_leaves_the_first, ata_rig_two_disks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
