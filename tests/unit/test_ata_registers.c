/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The taskfile of a channel with no, one and two drives: resets, selection, interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ata_rig.h"

static int slave_only(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {0, 4096}});
}

/* Registers, resets, interrupts */

static void assert_signature(unsigned disk)
{
    assert_int_equal(rig_reg(&rig, disk, ATA_REG_ERROR), 1);
    assert_int_equal(rig_reg(&rig, disk, ATA_REG_COUNT), 1);
    assert_int_equal(rig_reg(&rig, disk, ATA_REG_LBA_LOW), 1);
    assert_int_equal(rig_reg(&rig, disk, ATA_REG_LBA_MID), 0);
    assert_int_equal(rig_reg(&rig, disk, ATA_REG_LBA_HIGH), 0);
}

static void soft_reset_leaves_the_signature(void **state)
{
    rig_command(&rig, 1, 0x40, 0x1234, 9);
    rig_out8(&rig, 0x3f6, ATA_DC_SRST);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    rig_command(&rig, 0, 0xec, 0, 0); /* nobody listens */
    rig_out8(&rig, 0x3f6, ATA_DC_NIEN);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_DEVICE), 0xa0);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_signature(0);
    rig_select(&rig, 1);
    assert_int_equal(rig_status(&rig, 1), READY);
    assert_signature(1);
    assert_int_equal(rig_counter(&rig, "resets"), 2);
}

static void settings_survive_soft_reset_unless_told_otherwise(void **state)
{
    uint8_t id[512];

    features(0x82, 0);
    assert_completed(0);
    rig_srst(&rig, 0);
    identify(0, id);
    assert_int_equal(word_of(id, 85) & 0x20, 0);
    features(0xcc, 0);
    assert_completed(0);
    rig_srst(&rig, 0);
    identify(0, id);
    assert_int_equal(word_of(id, 85) & 0x20, 0x20);
}

static void diagnostic_runs_on_both_and_device_0_speaks(void **state)
{
    rig_select(&rig, 1);
    rig_out8(&rig, 0x1f7, 0x90);
    assert_true(rig_irq(&rig, 0));
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_DEVICE), 0xa0);
    assert_signature(0);
    assert_int_equal(rig_ack(&rig, 0), READY);
    assert_false(rig_irq(&rig, 0));
    rig_select(&rig, 1);
    assert_false(rig_irq(&rig, 0));
    assert_signature(1);
}

static void registers_are_two_deep(void **state)
{
    rig_select(&rig, 0);
    rig_out8(&rig, 0x1f2, 0x11);
    rig_out8(&rig, 0x1f2, 0x22);
    assert_int_equal(rig_in8(&rig, 0x1f2), 0x22);
    rig_out8(&rig, 0x3f6, ATA_DC_HOB);
    assert_int_equal(rig_in8(&rig, 0x1f2), 0x11);
    rig_out8(&rig, 0x1f3, 0x33); /* a write to the command block ends HOB */
    assert_int_equal(rig_in8(&rig, 0x1f2), 0x22);
}

static void nien_holds_interrupts_back(void **state)
{
    rig_out8(&rig, 0x3f6, ATA_DC_NIEN);
    rig_command(&rig, 0, 0x10, 0, 0);
    assert_false(rig_irq(&rig, 0));
    assert_int_equal(rig_dma_status(&rig, 0) & BMISTA_INTR, 0);
    rig_out8(&rig, 0x3f6, 0);
    assert_true(rig_irq(&rig, 0)); /* it was pending */
    rig_ack(&rig, 0);
    rig_out8(&rig, 0x3f6, ATA_DC_NIEN);
    rig_command(&rig, 0, 0x10, 0, 0);
    rig_ack(&rig, 0);
    rig_out8(&rig, 0x3f6, 0);
    assert_false(rig_irq(&rig, 0));
}

static void alternate_status_does_not_acknowledge(void **state)
{
    rig_command(&rig, 0, 0x10, 0, 0);
    rig_status(&rig, 0);
    assert_true(rig_irq(&rig, 0));
    rig_command(&rig, 0, 0x40, 0, 1); /* a new command does */
    assert_false(rig_irq(&rig, 0));
}

static void only_the_selected_drive_drives_the_line(void **state)
{
    rig_command(&rig, 0, 0x40, 0, 1);
    rig_select(&rig, 1);
    ide_rig_settle(&rig);
    assert_false(rig_irq(&rig, 0));
    assert_int_equal(rig_ack(&rig, 1), READY);
    rig_select(&rig, 0);
    assert_true(rig_irq(&rig, 0));
}

static void both_drives_are_themselves(void **state)
{
    uint8_t data[512];

    rig_command(&rig, 1, 0x20, 4000, 1);
    rig_read_data(&rig, 1, data, 512);
    assert_disk_bytes(data, 1, 4000, 1);
    rig_command(&rig, 1, 0x20, 5000, 1);
    assert_int_equal(rig_reg(&rig, 1, ATA_REG_ERROR), ATA_ER_IDNF);
    rig_command(&rig, 0, 0x20, 5000, 1);
    rig_read_data(&rig, 0, data, 512);
    assert_disk_bytes(data, 0, 5000, 1);
}

static void a_busy_drive_takes_no_writes(void **state)
{
    uint8_t data[512];

    rig_command(&rig, 0, 0x20, 3, 1);
    rig_command(&rig, 0, 0x30, 900, 9);
    rig_read_data(&rig, 0, data, 512);
    assert_disk_bytes(data, 0, 3, 1);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 3);
}

/* Absence */

static void an_absent_slave_is_answered_for(void **state)
{
    rig_select(&rig, 1);
    assert_int_equal(rig_status(&rig, 1), 0);
    assert_int_equal(rig_reg(&rig, 1, ATA_REG_STATUS), 0);
    rig_out8(&rig, 0x1f2, 0x55);
    rig_out8(&rig, 0x1f3, 0xaa);
    assert_int_equal(rig_in8(&rig, 0x1f2), 0x55); /* device 0's */
    assert_int_equal(rig_in8(&rig, 0x1f6), 0xf0);
    rig_command(&rig, 1, 0xec, 0, 0);
    assert_int_equal(rig_status(&rig, 1), 0);
    assert_int_equal(rig_in16(&rig, 0x1f0), 0xffff);
    assert_false(rig_irq(&rig, 1));
    rig_out8(&rig, 0x1f7, 0x90); /* this one device 0 takes */
    assert_true(rig_irq(&rig, 0));
}

static void an_empty_channel_floats(void **state)
{
    for (uint16_t port = 0x171; port < 0x178; port++)
        assert_int_equal(rig_in8(&rig, port), 0x7f);
    assert_int_equal(rig_in8(&rig, 0x376), 0x7f);
    rig_command(&rig, 2, 0xec, 0, 0);
    rig_srst(&rig, 1);
    rig_out8(&rig, 0x177, 0x90);
    assert_int_equal(rig_in8(&rig, 0x376), 0x7f);
    assert_false(rig_irq(&rig, 2));
}

static void a_slave_alone_works(void **state)
{
    uint8_t data[512];

    assert_int_equal(rig_status(&rig, 0), 0x7f);
    rig_command(&rig, 1, 0x20, 3, 1);
    rig_read_data(&rig, 1, data, 512);
    assert_disk_bytes(data, 1, 3, 1);
}

/* How libata's probe goes (ata_devchk, SRST, classify, IDENTIFY by polling, SET FEATURES). */
static void the_probe_of_linux_finds_one_disk(void **state)
{
    uint8_t id[512];

    for (unsigned disk = 0; disk < 2; disk++) {
        rig_out8(&rig, 0x1f6, (uint8_t)(0xa0 | disk << 4));
        rig_out8(&rig, 0x1f2, 0x55);
        rig_out8(&rig, 0x1f3, 0xaa);
        assert_int_equal(rig_in8(&rig, 0x1f2), 0x55);
        assert_int_equal(rig_in8(&rig, 0x1f3), 0xaa);
    }
    rig_out8(&rig, 0x3f6, 0x08);
    rig_out8(&rig, 0x3f6, 0x0c);
    rig_out8(&rig, 0x3f6, 0x08);
    assert_int_equal(rig_ack(&rig, 0) & ATA_SR_BSY, 0);
    rig_out8(&rig, 0x1f6, 0xb0);
    assert_int_equal(rig_in8(&rig, 0x1f2), 1); /* no breathers */
    assert_int_equal(rig_in8(&rig, 0x1f3), 1);
    rig_out8(&rig, 0x1f6, 0xa0);
    assert_signature(0);
    assert_int_not_equal(rig_ack(&rig, 0), 0);
    rig_out8(&rig, 0x1f6, 0xb0);
    assert_signature(0);
    assert_int_equal(rig_ack(&rig, 0), 0); /* so there is no disk */

    rig_out8(&rig, 0x3f6, 0x0a);
    identify(0, id);
    rig_out8(&rig, 0x3f6, 0x08);
    assert_false(rig_irq(&rig, 0));
    features(0x03, 0x0c);
    assert_completed(0);
    features(0x03, 0x22);
    assert_completed(0);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, ata_rig_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(soft_reset_leaves_the_signature, ata_rig_two_disks),
        TEST(settings_survive_soft_reset_unless_told_otherwise, ata_rig_one_disk),
        TEST(diagnostic_runs_on_both_and_device_0_speaks, ata_rig_two_disks),
        TEST(registers_are_two_deep, ata_rig_one_disk),
        TEST(nien_holds_interrupts_back, ata_rig_one_disk),
        TEST(alternate_status_does_not_acknowledge, ata_rig_one_disk),
        TEST(only_the_selected_drive_drives_the_line, ata_rig_two_disks),
        TEST(both_drives_are_themselves, ata_rig_two_disks),
        TEST(a_busy_drive_takes_no_writes, ata_rig_one_disk),
        TEST(an_absent_slave_is_answered_for, ata_rig_one_disk),
        TEST(an_empty_channel_floats, ata_rig_one_disk),
        TEST(a_slave_alone_works, slave_only),
        TEST(the_probe_of_linux_finds_one_disk, ata_rig_one_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
