/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classes of mistake that other IDE models made, each shown not to be made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ide_rig.h"

#define READY (ATA_SR_DRDY | ATA_SR_DSC)
#define TABLE 0x1000u
#define RAM   0x20000u

static struct ide_rig rig;

static int setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {8192, 0, 0, 4096}});
    return 0;
}

static int teardown(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

/* DRQ left set at the end of a transfer: the data port ran on behind its buffer. */
static void cve_2015_5154_the_data_port_stops_with_the_transfer(void **state)
{
    static const uint8_t reads[] = {0xec, 0x20, 0xc4};
    uint8_t big[4096];

    for (unsigned i = 0; i < sizeof(reads); i++) {
        rig_command(&rig, 0, reads[i], 0, 1);
        ide_rig_settle(&rig);
        bus_port_read_block(rig.bus, 0x1f0, 4, big, 1024);
        assert_int_equal(rig_status(&rig, 0), READY);
        for (unsigned at = 512; at < sizeof(big); at++)
            assert_int_equal(big[at], 0xff);
        for (unsigned j = 0; j < 1000; j++)
            assert_int_equal(rig_in16(&rig, 0x1f0), 0xffff);
        bus_port_write_block(rig.bus, 0x1f0, 4, big, 1024); /* nor the other way */
    }
    rig_command(&rig, 0, 0x30, 100, 1);
    ide_rig_settle(&rig);
    memset(big, 0xa1, sizeof(big));
    bus_port_write_block(rig.bus, 0x1f0, 4, big, 1024);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    for (unsigned j = 0; j < 1000; j++)
        rig_out16(&rig, 0x1f0, 0xdead);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_memory_equal(rig.disk[0] + 100 * 512, big, 512);
    assert_int_equal(rig.disk[0][101 * 512], ide_rig_byte(0, 101 * 512));
}

/* The same, a byte at a time, with accesses that straddle the end of the block. */
static void cve_2015_5154_an_access_across_the_end_moves_only_what_is_left(void **state)
{
    rig_command(&rig, 0, 0x20, 5, 1);
    ide_rig_settle(&rig);
    for (unsigned i = 0; i < 511; i++)
        assert_int_equal(rig_in8(&rig, 0x1f0), ide_rig_byte(0, 5 * 512 + i));
    assert_int_equal(bus_read(rig.bus, BUS_PORT, 0x1f0, 4),
                     0xffffff00u | ide_rig_byte(0, 5 * 512 + 511));
    assert_int_equal(rig_status(&rig, 0), READY);

    rig_command(&rig, 0, 0x30, 5, 1);
    ide_rig_settle(&rig);
    for (unsigned i = 0; i < 511; i++)
        rig_out8(&rig, 0x1f0, (uint8_t)i);
    rig_out32(&rig, 0x1f0, 0x11223344);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_int_equal(rig.disk[0][5 * 512 + 511], 0x44);
    assert_int_equal(rig.disk[0][6 * 512], ide_rig_byte(0, 6 * 512));
}

/* Commands that a drive of another kind, or no drive, cannot have: a division by zero geometry. */
static void cve_2015_6855_every_opcode_on_every_kind_of_drive(void **state)
{
    for (unsigned disk = 0; disk < 4; disk++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            rig_select(&rig, disk);
            rig_command_chs(&rig, disk, (uint8_t)opcode, 0, 0, 0, 0);
            ide_rig_settle(&rig);
            rig_command(&rig, disk, (uint8_t)opcode, 0, 0);
            ide_rig_settle(&rig);
            rig_srst(&rig, disk / 2);
            rig_dma_stop(&rig, disk / 2);
        }
    }
}

static void cve_2015_6855_a_track_of_no_sectors_is_refused(void **state)
{
    uint8_t id[512];

    for (unsigned head = 0; head < 16; head++) {
        rig_command_chs(&rig, 0, 0x91, 0, head, 0, 0);
        assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_ERR);
        assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_ABRT);
        rig_command_chs(&rig, 0, 0x20, 0, 0, 1, 1); /* divides by the geometry on errors */
        ide_rig_settle(&rig);
        rig_read_data(&rig, 0, id, 512);
        rig_command(&rig, 0, 0xec, 0, 0);
        rig_read_data(&rig, 0, id, 512);
    }
}

static void cve_2015_6855_a_multiple_of_zero_is_refused(void **state)
{
    rig_command(&rig, 0, 0xc6, 0, 0);
    static const uint8_t multiples[] = {0xc4, 0xc5, 0x29, 0x39};
    for (unsigned i = 0; i < sizeof(multiples); i++) {
        rig_command(&rig, 0, multiples[i], 0, 1);
        assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_ABRT);
    }
}

static void start_dma(uint8_t opcode, uint32_t count)
{
    rig_dma_stop(&rig, 0);
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_command(&rig, 0, opcode, 10, count);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
}

/* A table without one whole sector: an ambiguous return value made it loop or leak. */
static void cve_2014_9718_a_table_without_a_whole_sector(void **state)
{
    static const uint32_t sizes[] = {2, 256, 510};

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned opcode = 0xc8; opcode <= 0xca; opcode += 2) {
            uint64_t writes = blk_counters(rig.spec.drive[0].blk)->writes;
            rig_prd(&rig, TABLE, 0, RAM, sizes[i], true);
            start_dma((uint8_t)opcode, 8);
            assert_int_equal(rig_dma_status(&rig, 0), 0);
            assert_false(rig_irq(&rig, 0));
            assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
            assert_int_equal(blk_counters(rig.spec.drive[0].blk)->writes, writes);
            assert_int_equal(blk_counters(rig.spec.drive[0].blk)->in_flight, 0);
            rig_srst(&rig, 0);
            assert_int_equal(rig_status(&rig, 0), READY);
        }
    }
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_int_equal(rig.fake.ram[RAM + 510 + i], 0);
}

/* A table without an end: bounded by the transfer. All-ones is what memory that is not there has.
 */
static void cve_2014_9718_a_table_without_an_end(void **state)
{
    for (unsigned i = 0; i < 8192; i++)
        rig_prd(&rig, 0x10000, i, RAM + 2 * (i % 4), 2, false);
    rig_dma_setup(&rig, 0, 0x10000, true);
    rig_command(&rig, 0, 0xc8, 0, 0);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_INTR | BMISTA_ACTIVE);
    assert_int_equal(rig_ack(&rig, 0), READY);
    /* No turn does more than a plan's worth. */
    assert_true(blk_counters(rig.spec.drive[0].blk)->reads >= 256 / BMDMA_PLAN * 256);

    rig_dma_stop(&rig, 0);
    rig_dma_setup(&rig, 0, 0x80000000, true);
    rig_command(&rig, 0, 0xc8, 0, 0);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY); /* EOT, and 65534 bytes nowhere */
}

/* A reset raced asynchronous I/O: the request was built from registers that the reset had cleared,
 * and landed on sector 0. */
static void cve_2023_5088_a_reset_sends_nothing_to_sector_0(void **state)
{
    uint8_t data[512];

    memset(data, 0x5a, sizeof(data));
    for (unsigned how = 0; how < 4; how++) {
        ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
        if (how % 2) {
            rig_prd(&rig, TABLE, 0, RAM, 512, true);
            memset(rig.fake.ram + RAM, 0x5a, 512);
            rig_dma_setup(&rig, 0, TABLE, false);
            rig_command(&rig, 0, 0xca, 77 + how, 1);
            rig_dma_start(&rig, 0, false);
        } else {
            rig_command(&rig, 0, 0x30, 77 + how, 1);
            bus_port_write_block(rig.bus, 0x1f0, 2, data, 256);
        }
        assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
        if (how < 2) {
            rig_srst(&rig, 0);
        } else {
            rig.dev->ops->reset(rig.dev);
            ide_rig_program(&rig);
        }
        assert_int_equal(rig_status(&rig, 0), READY);
        assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), 1);
        ide_rig_fault(&rig, 0, &(struct mem_faults){0});
        ide_rig_settle(&rig);
        rig_dma_stop(&rig, 0);
        assert_false(rig_irq(&rig, 0));
        assert_int_equal(rig_status(&rig, 0), READY);
        for (unsigned i = 0; i < 512; i++)
            assert_int_equal(rig.disk[0][i], ide_rig_byte(0, i));
        assert_memory_equal(rig.disk[0] + (77 + how) * 512, data, 512); /* where it was meant */
    }
}

static void cve_2023_5088_a_read_does_not_land_after_reset(void **state)
{
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    start_dma(0xc8, 1);
    rig_srst(&rig, 0);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(rig.fake.ram[RAM + i], 0);
    assert_false(rig_irq(&rig, 0));
}

/* What comes after a reset does not overtake a write that was on its way. */
static void cve_2023_5088_new_commands_wait_for_cancelled_writes(void **state)
{
    uint8_t data[512];

    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    memset(data, 1, sizeof(data));
    rig_command(&rig, 0, 0x30, 9, 1);
    bus_port_write_block(rig.bus, 0x1f0, 2, data, 256);
    rig_srst(&rig, 0);

    memset(data, 2, sizeof(data));
    rig_command(&rig, 0, 0x30, 9, 1);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    mem_release(rig.image[0]); /* the old one */
    ide_rig_settle(&rig);
    assert_int_equal(rig.disk[0][9 * 512], 1);
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
    bus_port_write_block(rig.bus, 0x1f0, 2, data, 256);
    mem_release(rig.image[0]);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_int_equal(rig.disk[0][9 * 512], 2);

    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    memset(rig.fake.ram + RAM, 3, 512);
    rig_command(&rig, 0, 0x30, 9, 1);
    memset(data, 4, sizeof(data));
    bus_port_write_block(rig.bus, 0x1f0, 2, data, 256);
    rig_srst(&rig, 0);
    start_dma(0xc8, 1);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->in_flight, 1);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    assert_true(rig_irq(&rig, 0));
}

/* XSA-180's class: whatever a guest does, it writes no log. */
static void cve_2014_3672_guest_errors_are_counted_not_logged(void **state)
{
    for (unsigned i = 0; i < 1000; i++) {
        rig_command(&rig, 0, (uint8_t)i, 0xfffffff, 0);
        ide_rig_settle(&rig);
        rig_srst(&rig, 0);
    }
    assert_int_equal(rig.fake.logs, 0);
    assert_true(rig_counter(&rig, "errors") > 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cve_2015_5154_the_data_port_stops_with_the_transfer),
        TEST(cve_2015_5154_an_access_across_the_end_moves_only_what_is_left),
        TEST(cve_2015_6855_every_opcode_on_every_kind_of_drive),
        TEST(cve_2015_6855_a_track_of_no_sectors_is_refused),
        TEST(cve_2015_6855_a_multiple_of_zero_is_refused),
        TEST(cve_2014_9718_a_table_without_a_whole_sector),
        TEST(cve_2014_9718_a_table_without_an_end),
        TEST(cve_2023_5088_a_reset_sends_nothing_to_sector_0),
        TEST(cve_2023_5088_a_read_does_not_land_after_reset),
        TEST(cve_2023_5088_new_commands_wait_for_cancelled_writes),
        TEST(cve_2014_3672_guest_errors_are_counted_not_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
