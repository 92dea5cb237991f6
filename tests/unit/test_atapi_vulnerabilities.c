/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classes of mistake that other CD-ROM models made, each shown not to be made here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/atapi_rig.h"

static int with_medium(void **state)
{
    return atapi_rig_setup(MEDIUM_BLOCKS * 4);
}

static int empty_tray(void **state)
{
    return atapi_rig_setup(0);
}

static int finish(void **state)
{
    atapi_rig_finish();
    return 0;
}

/* DRQ was left set at the end of a packet's data, and the data port ran on behind the buffer; so it
 * did where the byte count limit was no multiple of anything. */
static void cve_2015_5154_the_data_port_stops_with_the_packets_data(void **state)
{
    static const uint16_t limits[] = {2, 3, 12, 2047, 2048, 0xfffe};
    static uint8_t big[70000];

    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        uint32_t left = 2 * 2048, most = limits[i] & ~1u;
        rig_packet(&rig, CD, CDB(0x28, [5] = 9, [8] = 2), 0, limits[i]);
        while (left) {
            uint32_t block = left < most ? left : most;
            ide_rig_settle(&rig);
            assert_int_equal(byte_count(), block);
            assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
            assert_int_equal(ata_data_in(cd(), big, sizeof(big)), block);
            left -= block;
        }
        assert_int_equal(rig_ack(&rig, CD), READY);
        memset(big, 0, sizeof(big));
        bus_port_read_block(rig.bus, 0x170, 4, big, sizeof(big) / 4);
        for (unsigned at = 0; at < sizeof(big); at++)
            assert_int_equal(big[at], 0xff);
        bus_port_write_block(rig.bus, 0x170, 4, big, 4096);
        assert_int_equal(rig_status(&rig, CD), READY);
    }
}

/* More than a packet, or a parameter list, is written: it must not reach what comes behind. */
static void cve_2015_5154_a_packet_has_twelve_bytes_however_many_are_written(void **state)
{
    uint8_t big[4096];

    memset(big, 0, sizeof(big));
    for (unsigned size = 1; size <= 4; size *= 2) {
        rig_select(&rig, CD);
        rig_out8(&rig, 0x177, ATA_CMD_PACKET);
        bus_port_write_block(rig.bus, 0x170, size, big, sizeof(big) / size);
        assert_int_equal(rig_ack(&rig, CD), READY); /* TEST UNIT READY, once */
    }
    memset(big, 0xff, sizeof(big));
    rig_packet(&rig, CD, CDB(0x55, 0x10, [8] = 20), 0, 0xfffe);
    bus_port_write_block(rig.bus, 0x170, 4, big, sizeof(big) / 4);
    assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_ERR);
    rig_select(&rig, CD);
    rig_out8(&rig, 0x177, ATA_CMD_PACKET);
    for (unsigned i = 0; i < 11; i++)
        rig_out8(&rig, 0x170, 0);
    rig_out32(&rig, 0x170, 0xffffff00); /* straddles the end */
    assert_int_equal(rig_ack(&rig, CD), READY);
}

/* A command that an empty drive, or one of another kind, cannot have: a division by zero. */
static void cve_2015_6855_every_opcode_and_packet_on_an_empty_drive(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned how = 0; how < 4; how++) {
            if (how < 2) {
                rig_command(&rig, CD, (uint8_t)opcode, how ? 0xfffffff : 0, how ? 0xff : 0);
            } else {
                uint8_t cdb[12];
                memset(cdb, how == 2 ? 0 : 0xff, sizeof(cdb));
                cdb[0] = (uint8_t)opcode;
                rig_packet(&rig, CD, cdb, how & 1, 0xfffe);
            }
            ide_rig_settle(&rig);
            rig_srst(&rig, 1);
            rig_dma_stop(&rig, 1);
        }
    }
}

/* LBA and count unchecked: a read beyond the buffer, or the image. Every packet that has an address
 * or a length, at every boundary. */
static void cve_2020_29443_no_packet_reads_beyond_the_medium(void **state)
{
    static const uint32_t lbas[] = {0,          1,          MEDIUM_BLOCKS - 1, MEDIUM_BLOCKS,
                                    0x7fffffff, 0x80000000, 0xfffffffe,        0xffffffff};
    static const uint32_t counts[] = {0,      1,       2,        MEDIUM_BLOCKS,
                                      0xffff, 0x10000, 0xffffff, 0xffffffff};
    static const uint8_t opcodes[] = {0x28, 0xa8, 0xbe, 0x2b};
    uint64_t reads = blk_counters(rig.spec.drive[CD].blk)->errors;

    for (unsigned o = 0; o < sizeof(opcodes); o++) {
        for (unsigned i = 0; i < 8 * 8 * 2; i++) {
            uint32_t lba = lbas[i % 8], count = counts[i / 8 % 8];
            uint8_t cdb[12] = {opcodes[o],           0,
                               (uint8_t)(lba >> 24), (uint8_t)(lba >> 16),
                               (uint8_t)(lba >> 8),  (uint8_t)lba};
            if (opcodes[o] == 0x28) {
                cdb[7] = (uint8_t)(count >> 8), cdb[8] = (uint8_t)count;
                count &= 0xffff;
            } else if (opcodes[o] == 0xa8) {
                cdb[6] = (uint8_t)(count >> 24), cdb[7] = (uint8_t)(count >> 16);
                cdb[8] = (uint8_t)(count >> 8), cdb[9] = (uint8_t)count;
            } else if (opcodes[o] == 0xbe) {
                cdb[6] = (uint8_t)(count >> 16), cdb[7] = (uint8_t)(count >> 8);
                cdb[8] = (uint8_t)count, cdb[9] = i / 64 ? 0xf8 : 0x10;
                count &= 0xffffff;
            } else {
                count = 0;
            }
            rig_packet(&rig, CD, cdb, 0, 0xfffe);
            ide_rig_settle(&rig);
            bool there = lba < MEDIUM_BLOCKS && count <= MEDIUM_BLOCKS - lba;
            uint8_t expected = READY | (there ? (count ? ATA_SR_DRQ : 0) : ATA_SR_ERR);
            assert_int_equal(rig_status(&rig, CD), expected);
            rig_out8(&rig, 0x177, ATA_CMD_DEVICE_RESET);
        }
    }
    assert_int_equal(blk_counters(rig.spec.drive[CD].blk)->errors, reads);
}

/* The same by what the medium became after the command was checked. */
static void cve_2020_29443_a_smaller_medium_ends_the_read(void **state)
{
    struct blk *old;

    rig_packet(&rig, CD, CDB(0x28, [4] = 1, [8] = 40), 0, 2048);
    ide_rig_settle(&rig);
    assert_int_equal(atapi_eject(cd(), true, &old), 0);
    blk_close(old, NULL, NULL);
    assert_int_equal(atapi_insert(cd(), ide_rig_medium(&rig, CD, 4)), 0);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(rig_in16(&rig, 0x170), 0xffff);
    assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_ERR);
    assert_sense(packet(2048, CDB(0x00)), 0x6, 0x2800);
    assert_sense(packet(2048, CDB(0x28, [4] = 1, [8] = 1)), 0x5, 0x2100);
    assert_int_equal(packet(2048, CDB(0x28, [8] = 1)), 2048);
}

static void cve_2014_9718_a_packets_table_without_an_end_or_a_whole_block(void **state)
{
    for (unsigned length = 2; length < 3000; length += 998) {
        rig_prd(&rig, TABLE, 0, RAM, length, true);
        dma(CDB(0x28, [8] = 255));
        assert_int_equal(rig_status(&rig, CD), ATA_SR_BSY);
        rig_out8(&rig, 0x177, ATA_CMD_DEVICE_RESET);
    }
    for (unsigned i = 0; i < 8192; i++) /* 64 KiB of descriptors, none the last: they wrap */
        rig_prd(&rig, 0x10000, i, RAM + 0x20000, 2, false);
    rig_dma_stop(&rig, 1);
    rig_dma_setup(&rig, 1, 0x10000, true);
    rig_packet(&rig, CD, CDB(0x28, [8] = 20), 1, 0);
    rig_dma_start(&rig, 1, true);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, CD), READY);
}

/* A reset, or the end of the medium, while a read is in flight: nothing lands late. */
static void cve_2023_5088_a_read_does_not_land_after_reset(void **state)
{
    for (unsigned how = 0; how < 3; how++) {
        ide_rig_fault(&rig, CD, &(struct mem_faults){.hold = true});
        rig_prd(&rig, TABLE, 0, RAM, 65536, true);
        dma(CDB(0x28, [8] = 4));
        if (how == 0)
            rig_srst(&rig, 1);
        else if (how == 1)
            rig_out8(&rig, 0x177, ATA_CMD_DEVICE_RESET);
        else
            rig.dev->ops->reset(rig.dev);
        ide_rig_fault(&rig, CD, &(struct mem_faults){0});
        ide_rig_settle(&rig);
        for (unsigned i = 0; i < 8192; i++)
            assert_int_equal(rig.fake.ram[RAM + i], 0);
        assert_false(rig_irq(&rig, CD));
    }
}

static void cve_2014_3672_guest_errors_are_counted_not_logged(void **state)
{
    uint64_t errors = rig_counter(&rig, "errors");

    for (unsigned i = 0; i < 1000; i++) {
        rig_packet(&rig, CD, CDB((uint8_t)i, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 0, 0xfffe);
        ide_rig_settle(&rig);
        rig_srst(&rig, 1);
    }
    assert_int_equal(rig.fake.logs, 0);
    assert_true(rig_counter(&rig, "errors") > errors + 500);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, with_medium, finish)
#define EMPTY(name) cmocka_unit_test_setup_teardown(name, empty_tray, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cve_2015_5154_the_data_port_stops_with_the_packets_data),
        TEST(cve_2015_5154_a_packet_has_twelve_bytes_however_many_are_written),
        TEST(cve_2015_6855_every_opcode_and_packet_on_an_empty_drive),
        EMPTY(cve_2015_6855_every_opcode_and_packet_on_an_empty_drive),
        TEST(cve_2020_29443_no_packet_reads_beyond_the_medium),
        TEST(cve_2020_29443_a_smaller_medium_ends_the_read),
        TEST(cve_2014_9718_a_packets_table_without_an_end_or_a_whole_block),
        TEST(cve_2023_5088_a_read_does_not_land_after_reset),
        TEST(cve_2014_3672_guest_errors_are_counted_not_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
