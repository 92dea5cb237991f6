/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CD-ROM drive's protocol: packets, byte counts, DMA, resets, errors, saving; and the tray. */
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

/* Signature and resets. */

static void assert_signature(uint8_t error)
{
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 1);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_LBA_LOW), 1);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_LBA_MID), 0x14);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_LBA_HIGH), 0xeb);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), error);
}

static void a_reset_shows_the_packet_signature_and_not_ready(void **state)
{
    rig_srst(&rig, 1);
    assert_signature(1);
    assert_int_equal(rig_status(&rig, CD), 0);
    assert_false(rig_irq(&rig, CD));
    packet(18, CDB(0x03, [4] = 18));
    assert_int_equal(rig_status(&rig, CD) & ATA_SR_DRDY, ATA_SR_DRDY);
}

static void a_diagnostic_shows_the_packet_signature(void **state)
{
    rig_select(&rig, CD);
    rig_out8(&rig, 0x177, 0x90);
    assert_signature(1);
    assert_int_equal(rig_status(&rig, CD), 0);
    assert_true(rig_irq(&rig, CD));
}

static void disk_commands_are_aborted_with_the_signature(void **state)
{
    static const uint8_t opcodes[] = {0x20, 0x21, 0xec};

    for (unsigned i = 0; i < sizeof(opcodes); i++) {
        rig_command(&rig, CD, opcodes[i], 0x123456, 7);
        assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_ERR);
        assert_signature(ATA_ER_ABRT);
        assert_true(rig_irq(&rig, CD));
        rig_ack(&rig, CD);
    }
}

static void commands_of_disks_only_are_aborted(void **state)
{
    static const uint8_t opcodes[] = {0x00, 0x24, 0x25, 0x30, 0x35, 0x40, 0x70, 0x91,
                                      0xc4, 0xc6, 0xc8, 0xca, 0xea, 0xb0, 0x06};

    for (unsigned i = 0; i < sizeof(opcodes); i++) {
        rig_command(&rig, CD, opcodes[i], 0, 1);
        assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_ERR);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), ATA_ER_ABRT);
        rig_ack(&rig, CD);
    }
}

static void device_reset_ends_whatever_is_under_way(void **state)
{
    for (unsigned how = 0; how < 4; how++) {
        ide_rig_fault(&rig, CD, &(struct mem_faults){.hold = how >= 2});
        if (how == 0) { /* a packet is expected */
            rig_select(&rig, CD);
            rig_out8(&rig, 0x177, ATA_CMD_PACKET);
            assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
        } else { /* data are there, or on their way */
            rig_packet(&rig, CD, CDB(0x28, [5] = 3, [8] = 2), how == 3, 2048);
            ide_rig_settle(&rig);
        }
        rig_out8(&rig, 0x177, ATA_CMD_DEVICE_RESET);
        assert_int_equal(rig_status(&rig, CD), 0);
        assert_signature(1);
        assert_false(rig_irq(&rig, CD));
        ide_rig_fault(&rig, CD, &(struct mem_faults){0});
        ide_rig_settle(&rig);
        assert_int_equal(rig_status(&rig, CD), 0);
        assert_int_equal(packet(0, CDB(0x00)), 0); /* and well */
    }
}

static void device_reset_wakes_from_sleep_and_keeps_the_lock(void **state)
{
    packet(0, CDB(0x1e, [4] = 1));
    rig_command(&rig, CD, 0xe6, 0, 0);
    assert_int_equal(rig_status(&rig, CD), READY);
    rig_ack(&rig, CD);
    rig_command(&rig, CD, 0xe5, 0, 0);
    assert_false(rig_irq(&rig, CD)); /* deaf */
    rig_out8(&rig, 0x177, ATA_CMD_DEVICE_RESET);
    rig_command(&rig, CD, 0xe5, 0, 0);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0xff);
    rig_ack(&rig, CD);
    assert_sense(packet(0, CDB(0x1b, [4] = 2)), 0x5, 0x5302);
}

/* IDENTIFY */

static void identify_packet_device_says_what_it_is(void **state)
{
    uint8_t id[512], sum = 0;

    rig_command(&rig, CD, 0xa1, 0, 0);
    assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
    assert_true(rig_irq(&rig, CD));
    rig_read_data(&rig, CD, id, 512);
    assert_int_equal(rig_ack(&rig, CD), READY);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + id[i]);
    assert_int_equal(sum, 0);
    assert_int_equal(id[0] | id[1] << 8, 0x85c0);
    assert_memory_equal(id + 54, "oimeduD DVR-MO", 14);
    assert_int_equal(id[99] & 0x03, 0x03);  /* LBA, DMA */
    assert_int_equal(id[164] & 0x18, 0x18); /* PACKET, power management */
    assert_int_equal(id[165] & 0x02, 0x02); /* DEVICE RESET */
    assert_int_equal(id[176], 0x3f);        /* Ultra DMA to 5 */
    assert_int_equal(id[250] | id[251], 0); /* a byte count of 0 is aborted */
}

static void transfer_modes_and_power_are_a_disks(void **state)
{
    uint8_t id[512];

    rig_select(&rig, CD);
    rig_out8(&rig, 0x171, 0x03);
    rig_command(&rig, CD, 0xef, 0, 0x42);
    assert_int_equal(rig_ack(&rig, CD), READY);
    rig_command(&rig, CD, 0xa1, 0, 0);
    rig_read_data(&rig, CD, id, 512);
    assert_int_equal(id[177], 0x04);
    rig_ack(&rig, CD);
    rig_out8(&rig, 0x171, 0x82); /* no write cache */
    rig_command(&rig, CD, 0xef, 0, 0);
    assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_ERR);
    rig_command(&rig, CD, 0xe0, 0, 0);
    assert_int_equal(rig_ack(&rig, CD), READY);
    rig_command(&rig, CD, 0xe5, 0, 0);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0);
    rig_ack(&rig, CD);
    rig_command(&rig, CD, 0xe7, 0, 0);
    assert_int_equal(rig_ack(&rig, CD), READY);
    packet(2048, CDB(0x28, [8] = 1));
    rig_command(&rig, CD, 0xe5, 0, 0);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0xff); /* it turns again */
}

/* The packet's phases. */

static void the_interrupt_reason_tells_the_phases_apart(void **state)
{
    uint8_t data[2048];

    rig_select(&rig, CD);
    rig_out8(&rig, 0x171, 0);
    rig_out8(&rig, 0x174, 0);
    rig_out8(&rig, 0x175, 8);
    rig_out8(&rig, 0x177, ATA_CMD_PACKET);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x01);
    assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
    assert_false(rig_irq(&rig, CD)); /* asked for at once, without an interrupt */
    const uint8_t *cdb = CDB(0x28, [5] = 5, [8] = 1);
    for (unsigned i = 0; i < 12; i += 2)
        rig_out16(&rig, 0x170, (uint16_t)(cdb[i] | cdb[i + 1] << 8));
    assert_int_equal(rig_status(&rig, CD), ATA_SR_BSY);
    ide_rig_settle(&rig);
    assert_true(rig_irq(&rig, CD));
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x02);
    assert_int_equal(byte_count(), 2048);
    assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_DRQ);
    rig_read_data(&rig, CD, data, 2048);
    assert_medium_bytes(data, 5 * 2048, 2048);
    assert_true(rig_irq(&rig, CD)); /* a packet command ends with one */
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x03);
    assert_int_equal(rig_ack(&rig, CD), READY);
}

static void a_packet_may_be_written_in_any_width(void **state)
{
    const uint8_t *cdb = CDB(0x25);
    uint32_t words[3];

    memcpy(words, cdb, 12);
    for (unsigned size = 1; size <= 4; size *= 2) {
        rig_select(&rig, CD);
        rig_out8(&rig, 0x174, 8);
        rig_out8(&rig, 0x175, 0);
        rig_out8(&rig, 0x177, ATA_CMD_PACKET);
        bus_port_write_block(rig.bus, 0x170, size, words, 12 / size);
        assert_int_equal(byte_count(), 8);
        bus_port_read_block(rig.bus, 0x170, 4, words, 2);
        assert_int_equal(rig_ack(&rig, CD), READY);
        memcpy(words, cdb, 12);
    }
}

static void overlap_is_refused(void **state)
{
    rig_select(&rig, CD);
    rig_out8(&rig, 0x171, 0x02);
    rig_out8(&rig, 0x177, ATA_CMD_PACKET);
    assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_ERR);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), ATA_ER_ABRT);
}

static void data_beyond_a_reply_are_not_to_be_had(void **state)
{
    uint8_t data[64];

    rig_packet(&rig, CD, CDB(0x12, [4] = 36), 0, 0xfffe);
    bus_port_read_block(rig.bus, 0x170, 2, data, 32);
    assert_int_equal(rig_ack(&rig, CD), READY);
    for (unsigned i = 36; i < 64; i++)
        assert_int_equal(data[i], 0xff);
}

/* Byte count limits. Whatever the limit, all bytes come, in blocks as long as they can be: up to
 * BLK_HELD_BYTES of the medium. */

static void read_with_limit(uint16_t limit, uint32_t lba, uint32_t count, uint8_t field,
                            uint32_t unit)
{
    static uint8_t data[40 * 2352 + 2];
    uint32_t left = count * unit, at = 0;
    uint32_t most = limit > BLK_HELD_BYTES ? BLK_HELD_BYTES : limit & ~1u;

    rig_packet(
        &rig, CD,
        CDB(0xbe, [4] = (uint8_t)(lba >> 8), [5] = (uint8_t)lba, [8] = (uint8_t)count, [9] = field),
        0, limit);
    while (left) {
        uint32_t block = left < most ? left : most;
        ide_rig_settle(&rig);
        assert_true(rig_irq(&rig, CD));
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x02);
        assert_int_equal(byte_count(), block);
        assert_true(blk_req_bytes(cd()->req) <= BLK_HELD_BYTES);
        assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_DRQ);
        bus_port_read_block(rig.bus, 0x170, 2, data + at, block / 2);
        at += block;
        left -= block;
    }
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x03);
    assert_int_equal(rig_ack(&rig, CD), READY);
    if (unit == 2048)
        assert_medium_bytes(data, lba * 2048, count * unit);
}

static void every_byte_count_limit_is_kept(void **state)
{
    static const uint16_t limits[] = {2,     3,     7,     510,    511,   512,  2046,
                                      2047,  2048,  2049,  2050,   4096,  6000, 6001,
                                      32768, 40000, 65533, 0xfffe, 0xffff};

    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        uint32_t count = limits[i] < 100 ? 2 : 40;
        read_with_limit(limits[i], 1 + i, count, 0x10, 2048);
        read_with_limit(limits[i], 1 + i, limits[i] < 100 ? 1 : 37, 0xf8, 2352);
    }
}

/* A guest may leave a DRQ block lying for ever; that keeps no more pages than a disk's would, from
 * wherever in a block of the medium it begins, and of fields of a few bytes. */
static void a_drq_block_that_is_left_lying_keeps_few_pages(void **state)
{
    static const struct {
        uint16_t limit;
        uint8_t field;
    } reads[] = {{0xfffe, 0x10}, {0xfffe, 0xf8}, {32766, 0x10}, {32766, 0xf8},
                 {30000, 0x10},  {0xfffe, 0x20}, {6, 0x20}};
    uint32_t all = pool_stats(rig.pool)->free;
    static uint8_t data[BLK_HELD_BYTES];

    for (unsigned i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        rig_packet(&rig, CD, CDB(0xbe, [5] = 3, [8] = 200, [9] = reads[i].field), 0,
                   reads[i].limit);
        for (unsigned blocks = 0; blocks < 5; blocks++) {
            ide_rig_settle(&rig);
            assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_DRQ);
            assert_in_range(all - pool_stats(rig.pool)->free, 1, BLK_HELD_BYTES / POOL_PAGE);
            uint32_t n = byte_count();
            assert_in_range(n, 2,
                            reads[i].limit < BLK_HELD_BYTES ? reads[i].limit : BLK_HELD_BYTES);
            bus_port_read_block(rig.bus, 0x170, 2, data, n / 2);
        }
        rig_command(&rig, CD, 0x08, 0, 0);
        ide_rig_settle(&rig); /* what was fetched ahead comes back, too */
        assert_int_equal(pool_stats(rig.pool)->free, all);
    }
}

static void a_limit_that_nothing_fits_in_aborts_the_command(void **state)
{
    static const uint16_t limits[] = {0, 1};

    for (unsigned i = 0; i < 2; i++) {
        rig_packet(&rig, CD, CDB(0x28, [8] = 1), 0, limits[i]);
        assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_ERR);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), ATA_ER_ABRT);
        assert_true(rig_irq(&rig, CD));
        rig_ack(&rig, CD);
        rig_packet(&rig, CD, CDB(0x00), 0, limits[i]); /* there are no data to fit */
        assert_int_equal(rig_ack(&rig, CD), READY);
    }
}

static void an_odd_reply_ends_with_its_last_byte(void **state)
{
    uint8_t data[8];

    rig_packet(&rig, CD, CDB(0x12, [4] = 5), 0, 4);
    assert_int_equal(byte_count(), 4);
    rig_read_data(&rig, CD, data, 4);
    assert_int_equal(byte_count(), 1);
    assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
    assert_int_equal(rig_in16(&rig, 0x170), 0xff00 | 31);
    assert_int_equal(rig_ack(&rig, CD), READY);
}

/* DMA. */

static void dma_reads_the_medium_by_any_table(void **state)
{
    static const uint32_t pieces[][4] = {
        {65536, 65536, 65536, 8192}, {2, 4094, 100000 & 0xfffe, 65536}, {6, 10, 2030, 65536}};

    for (unsigned i = 0; i < 3; i++) {
        uint32_t at = RAM, total = 0, count;
        for (unsigned j = 0; j < 4; j++) {
            rig_prd(&rig, TABLE, j, at, pieces[i][j], j == 3);
            at += pieces[i][j];
            total += pieces[i][j];
        }
        count = total / 2048;
        memset(rig.fake.ram + RAM, 0, total);
        dma(CDB(0x28, [5] = 9, [8] = (uint8_t)count));
        assert_int_equal(rig_ack(&rig, CD), READY);
        assert_int_equal(rig_dma_status(&rig, 1) & (BMISTA_ACTIVE | BMISTA_INTR),
                         total % 2048 ? BMISTA_ACTIVE | BMISTA_INTR : BMISTA_INTR);
        assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, count * 2048);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x03);
        rig_dma_stop(&rig, 1);
    }
}

static void dma_waits_where_the_memory_ends(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 2048 + 600, true);
    dma(CDB(0x28, [5] = 9, [8] = 3));
    assert_int_equal(rig_status(&rig, CD), ATA_SR_BSY);
    assert_int_equal(rig_dma_status(&rig, 1) & 5, 0);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 2048 + 600);
    rig_dma_stop(&rig, 1);
    rig_prd(&rig, TABLE, 0, RAM + 2648, 65536, true);
    rig_dma_setup(&rig, 1, TABLE, true);
    rig_dma_start(&rig, 1, true); /* and goes on where it was */
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 3 * 2048);
}

static void replies_and_parameters_go_by_dma_too(void **state)
{
    uint8_t list[20] = {[8] = 0x01, 0x0a, 0x20, 0x09};

    memset(rig.fake.ram + RAM, 0xee, 64);
    rig_prd(&rig, TABLE, 0, RAM, 10, false);
    rig_prd(&rig, TABLE, 1, RAM + 10, 512, true);
    dma(CDB(0x12, [4] = 35)); /* odd: one byte of padding */
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_memory_equal(rig.fake.ram + RAM + 8, "ioemud  DVD-ROM", 15);
    assert_int_equal(rig.fake.ram[RAM + 36], 0xee);

    memcpy(rig.fake.ram + RAM, list, sizeof(list));
    rig_dma_stop(&rig, 1);
    rig_prd(&rig, TABLE, 0, RAM, sizeof(list), true);
    rig_packet(&rig, CD, CDB(0x55, 0x10, [8] = sizeof(list)), 1, 0);
    rig_dma_setup(&rig, 1, TABLE, false);
    rig_dma_start(&rig, 1, false);
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_int_equal(packet(64, CDB(0x5a, [2] = 0x01, [8] = 64)), 20);
    assert_memory_equal(reply + 8, list + 8, 12);
}

static void dma_of_whole_sectors_is_what_pio_reads(void **state)
{
    uint8_t data[3 * 2352];

    rig_packet(&rig, CD, CDB(0xbe, [5] = 7, [8] = 3, [9] = 0xf8), 0, 0xfffe);
    ide_rig_settle(&rig);
    bus_port_read_block(rig.bus, 0x170, 4, data, sizeof(data) / 4);
    assert_int_equal(rig_ack(&rig, CD), READY);
    rig_prd(&rig, TABLE, 0, RAM, 2000, false);
    rig_prd(&rig, TABLE, 1, RAM + 2000, 65536, true);
    dma(CDB(0xbe, [5] = 7, [8] = 3, [9] = 0xf8));
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_memory_equal(rig.fake.ram + RAM, data, sizeof(data));
}

/* Errors of the backend. */

static void a_failing_block_is_named_and_those_before_it_come(void **state)
{
    uint8_t data[3 * 2048];

    ide_rig_fault(&rig, CD,
                  &(struct mem_faults){.error = -EIO, .first = 12 * 4, .last = 12 * 4 + 1});
    rig_packet(&rig, CD, CDB(0x28, [5] = 9, [8] = 8), 0, 2048);
    for (unsigned i = 0; i < 3; i++) {
        ide_rig_settle(&rig);
        assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_DRQ);
        rig_read_data(&rig, CD, data + 2048 * i, 2048);
    }
    ide_rig_settle(&rig);
    assert_medium_bytes(data, 9 * 2048, sizeof(data));
    assert_true(rig_irq(&rig, CD));
    assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_ERR);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), 0x30);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x03);
    rig_ack(&rig, CD);
    assert_int_equal(packet(18, CDB(0x03, [4] = 18)), 18);
    assert_int_equal(reply[0], 0xf0);
    assert_int_equal(reply[2], 0x3);
    assert_int_equal(reply[6], 12);
    assert_int_equal(reply[12], 0x11);

    rig_prd(&rig, TABLE, 0, RAM, 65536, true);
    memset(rig.fake.ram + RAM, 0, 65536);
    dma(CDB(0x28, [5] = 9, [8] = 8));
    assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_ERR);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 3 * 2048);
    assert_int_equal(rig.fake.ram[RAM + 3 * 2048], 0);
    packet(18, CDB(0x03, [4] = 18));
    assert_int_equal(reply[6], 12);
    rig_dma_stop(&rig, 1);
    ide_rig_fault(&rig, CD, &(struct mem_faults){0});
    assert_int_equal(packet(0, CDB(0x00)), 0); /* nothing stays of it */
}

/* Sense data and unit attention. */

static void power_on_is_reported_once(void **state)
{
    rig.dev->ops->reset(rig.dev);
    ide_rig_program(&rig);
    assert_int_equal(packet(36, CDB(0x12, [4] = 36)),
                     36); /* neither asked nor cleared by INQUIRY */
    assert_sense(packet(0, CDB(0x00)), 0x6, 0x2900);
    assert_int_equal(packet(0, CDB(0x00)), 0);
}

static void request_sense_tells_an_attention_and_clears_it(void **state)
{
    rig.dev->ops->reset(rig.dev);
    ide_rig_program(&rig);
    assert_int_equal(packet(18, CDB(0x03, [4] = 18)), 18);
    assert_int_equal(reply[2], 0x6);
    assert_int_equal(reply[12], 0x29);
    assert_int_equal(packet(0, CDB(0x00)), 0);
}

static void sense_is_told_once_and_lasts_one_command(void **state)
{
    assert_int_equal(packet(0, CDB(0x99)), CHECK);
    packet(18, CDB(0x03, [4] = 18));
    assert_int_equal(reply[2], 0x5);
    assert_int_equal(reply[12], 0x20);
    packet(18, CDB(0x03, [4] = 18));
    assert_int_equal(reply[2] | reply[12], 0);
    assert_int_equal(packet(0, CDB(0x99)), CHECK);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), 0x54);
    assert_int_equal(packet(0, CDB(0x00)), 0);
    packet(18, CDB(0x03, [4] = 18));
    assert_int_equal(reply[2], 0);
    assert_sense(packet(0, CDB(0x03, 0x01, [4] = 18)), 0x5, 0x2400); /* the other format */
}

static void a_soft_reset_is_no_unit_attention(void **state)
{
    rig_srst(&rig, 1);
    assert_int_equal(packet(0, CDB(0x00)), 0);
}

static void an_empty_drive_says_so(void **state)
{
    static const uint8_t needs[] = {0x00, 0x25, 0x28, 0x2b, 0x43, 0x51, 0x52, 0xa8, 0xad, 0xbe};

    for (unsigned i = 0; i < sizeof(needs); i++)
        assert_sense(packet(0, CDB(needs[i], [8] = 1)), 0x2, 0x3a01);
    assert_sense(packet(0, CDB(0x1b, [4] = 1)), 0x2, 0x3a01);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 2)), 0);
    assert_sense(packet(0, CDB(0x1b, [4] = 1)), 0x2, 0x3a02);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a02);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 3)), 0);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a01);
    assert_true(packet(512, CDB(0x46, [7] = 2)) > 8);
    assert_int_equal(reply[6] | reply[7], 0); /* no current profile */
}

/* The tray. */

static void assert_event(uint8_t event, uint8_t status)
{
    assert_int_equal(packet(64, CDB(0x4a, 0x01, [4] = 0x10, [8] = 64)), 8);
    assert_int_equal(reply[1], 6);
    assert_int_equal(reply[2], 4);
    assert_int_equal(reply[4], event);
    assert_int_equal(reply[5], status);
}

static void a_change_of_the_medium_is_noticed(void **state)
{
    struct blk *old;

    assert_int_equal(atapi_eject(cd(), false, &old), 0);
    assert_ptr_equal(old, rig.spec.drive[CD].blk);
    blk_close(old, NULL, NULL);
    assert_event(3, 0x01);
    assert_sense(packet(0, CDB(0x28, [8] = 1)), 0x2, 0x3a02);
    assert_int_equal(atapi_insert(cd(), ide_rig_medium(&rig, CD, 500 * 4)), 0);
    assert_event(2, 0x02);
    assert_event(0, 0x02);
    assert_sense(packet(0, CDB(0x00)), 0x6, 0x2800);
    assert_int_equal(packet(8, CDB(0x25)), 8);
    assert_int_equal(reply[2] << 8 | reply[3], 499);
    assert_int_equal(atapi_insert(cd(), rig.spec.drive[CD].blk), -EBUSY);
}

static void the_guest_ejects_and_loads(void **state)
{
    assert_event(2, 0x02); /* of power on */
    assert_int_equal(packet(0, CDB(0x1b, [4] = 2)), 0);
    assert_event(3, 0x01);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a02);
    rig.dev->ops->reset(rig.dev); /* the tray stays as it is: no boot from it again */
    ide_rig_program(&rig);
    assert_sense(packet(0, CDB(0x00)), 0x6, 0x2900);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a02);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 3)), 0);
    assert_event(2, 0x02);
    assert_sense(packet(0, CDB(0x00)), 0x6, 0x2800);
    assert_int_equal(packet(0, CDB(0x00)), 0);
}

static void a_locked_tray_keeps_its_medium(void **state)
{
    struct blk *old = NULL;

    assert_event(2, 0x02);
    assert_int_equal(packet(0, CDB(0x1e, [4] = 1)), 0);
    assert_sense(packet(0, CDB(0x1b, [4] = 2)), 0x5, 0x5302);
    assert_int_equal(atapi_eject(cd(), false, &old), -EBUSY);
    assert_null(old);
    assert_event(1, 0x02); /* somebody wants it out */
    assert_int_equal(packet(0, CDB(0x00)), 0);
    assert_int_equal(packet(0, CDB(0x1e)), 0);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 2)), 0);
    assert_int_equal(packet(0, CDB(0x1e, [4] = 1)), 0); /* an open one cannot be held */
    assert_int_equal(atapi_eject(cd(), false, &old), 0);
    blk_close(old, NULL, NULL);
    rig.spec.drive[CD].blk = NULL;
}

static void force_takes_the_medium_from_a_locked_tray_and_a_running_read(void **state)
{
    struct blk *old;

    for (unsigned how = 0; how < 3; how++) {
        packet(0, CDB(0x1e, [4] = 1));
        ide_rig_fault(&rig, CD, &(struct mem_faults){.hold = how > 0});
        rig_prd(&rig, TABLE, 0, RAM, 65536, true);
        memset(rig.fake.ram + RAM, 0xee, 4096);
        rig_packet(&rig, CD, CDB(0x28, [8] = 2), how == 2, 2048);
        rig_dma_setup(&rig, 1, TABLE, true);
        rig_dma_start(&rig, 1, true);
        ide_rig_settle(&rig);
        assert_int_equal(rig_status(&rig, CD), how ? ATA_SR_BSY : READY | ATA_SR_DRQ);
        assert_int_equal(atapi_eject(cd(), true, &old), 0);
        assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_ERR);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), 0x20);
        assert_true(rig_irq(&rig, CD));
        rig_ack(&rig, CD);
        mem_set_faults(rig.image[CD], &(struct mem_faults){0});
        blk_close(old, NULL, NULL);
        ide_rig_settle(&rig);
        assert_int_equal(rig.fake.ram[RAM], 0xee); /* nothing lands late */
        rig_dma_stop(&rig, 1);
        packet(18, CDB(0x03, [4] = 18));
        assert_int_equal(reply[12] << 8 | reply[13], 0x3a02);
        atapi_insert(cd(), ide_rig_medium(&rig, CD, 400));
        assert_sense(packet(0, CDB(0x00)), 0x6, 0x2800);
    }
}

/* The unplug protocol (docs/misc/hvm-emulated-unplug) takes disks, not CD-ROMs. */
static void an_unplug_of_disks_leaves_the_drive(void **state)
{
    rig_packet(&rig, CD, CDB(0x28, [5] = 9, [8] = 1), 0, 2048);
    piix3_ide_unplug_aux_disks(rig.dev);
    piix3_ide_unplug_disks(rig.dev);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), 0x7f);
    assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
    rig_read_data(&rig, CD, reply, 2048);
    assert_medium_bytes(reply, 9 * 2048, 2048);
    assert_int_equal(rig_ack(&rig, CD), READY);
}

/* State. */

/* Right after each of these a new machine takes over, and the host reads on. */
static void a_saved_drive_goes_on_where_it_was(void **state)
{
    static uint8_t data[8 * 2352];
    size_t size, again;

    for (unsigned how = 0; how < 8; how++) {
        bool raw = how == 4 || how == 5, list = how == 6;
        uint32_t unit = raw ? 2352 : 2048, at = how % 2 ? 700 : 0, length = list ? 36 : 6 * unit;
        if (how == 7) { /* in the middle of a packet */
            rig_select(&rig, CD);
            rig_out8(&rig, 0x174, 8);
            rig_out8(&rig, 0x175, 0);
            rig_out8(&rig, 0x177, ATA_CMD_PACKET);
            rig_out16(&rig, 0x170, 0x25);
        } else if (list) {
            rig_packet(&rig, CD, CDB(0x12, [4] = 36), 0, 0xfffe);
        } else {
            rig_packet(&rig, CD, CDB(0xbe, [5] = 3, [8] = 6, [9] = raw ? 0xf8 : 0x10), 0,
                       how < 2 ? 5000 : 1000);
        }
        ide_rig_settle(&rig);
        bus_port_read_block(rig.bus, 0x170, 2, data, at / 2);
        assert_true(rig.dev->ops->quiesce(rig.dev));
        uint8_t *saved = ide_rig_save(&rig, &size);
        assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
        uint8_t *copy = ide_rig_save(&rig, &again);
        assert_int_equal(size, again);
        assert_memory_equal(saved, copy, size);
        free(saved);
        free(copy);
        rig.dev->ops->resume(rig.dev);
        if (how == 7) {
            for (unsigned i = 1; i < 6; i++)
                rig_out16(&rig, 0x170, 0);
            assert_int_equal(byte_count(), 8);
            rig_read_data(&rig, CD, data, 8);
            assert_int_equal(data[2] << 8 | data[3], MEDIUM_BLOCKS - 1);
            assert_int_equal(rig_ack(&rig, CD), READY);
            continue;
        }
        while (at < length) {
            ide_rig_settle(&rig);
            assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
            *(uint16_t *)(data + at) = rig_in16(&rig, 0x170);
            at += 2;
        }
        assert_int_equal(rig_ack(&rig, CD), READY);
        for (unsigned i = 0; i < 6 && !list; i++)
            assert_medium_bytes(data + i * unit + (raw ? 16 : 0), (3 + i) * 2048, 2048);
    }
}

static void a_saved_dma_read_is_issued_again(void **state)
{
    size_t size;

    rig_prd(&rig, TABLE, 0, RAM, 3000, true);
    dma(CDB(0x28, [5] = 9, [8] = 3));
    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size);
    assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
    free(saved);
    rig.dev->ops->resume(rig.dev);
    rig_dma_stop(&rig, 1);
    rig_prd(&rig, TABLE, 0, RAM + 3000, 4096, true);
    rig_dma_setup(&rig, 1, TABLE, true);
    rig_dma_start(&rig, 1, true);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 3 * 2048);
}

static void a_state_that_cannot_be_is_refused(void **state)
{
    size_t size;

    rig_packet(&rig, CD, CDB(0x28, [5] = 3, [8] = 2), 0, 2048);
    ide_rig_settle(&rig);
    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size), *spoilt = malloc(size);
    unsigned refused = 0;
    for (size_t at = 0; at < size; at++) { /* none of them may crash, now or later */
        memcpy(spoilt, saved, size);
        spoilt[at] ^= 0x84;
        if (ide_rig_migrate(&rig, spoilt, size)) {
            refused++;
        } else {
            rig.dev->ops->resume(rig.dev);
            ide_rig_settle(&rig);
            for (unsigned i = 0; i < 3000; i++)
                rig_in16(&rig, 0x170);
            ide_rig_settle(&rig);
        }
    }
    assert_true(refused > 20);
    assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
    free(saved);
    free(spoilt);
}

#define MEDIUM(name) cmocka_unit_test_setup_teardown(name, with_medium, finish)
#define EMPTY(name)  cmocka_unit_test_setup_teardown(name, empty_tray, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEDIUM(a_reset_shows_the_packet_signature_and_not_ready),
        MEDIUM(a_diagnostic_shows_the_packet_signature),
        MEDIUM(disk_commands_are_aborted_with_the_signature),
        MEDIUM(commands_of_disks_only_are_aborted),
        MEDIUM(device_reset_ends_whatever_is_under_way),
        MEDIUM(device_reset_wakes_from_sleep_and_keeps_the_lock),
        MEDIUM(identify_packet_device_says_what_it_is),
        MEDIUM(transfer_modes_and_power_are_a_disks),
        MEDIUM(the_interrupt_reason_tells_the_phases_apart),
        MEDIUM(a_packet_may_be_written_in_any_width),
        MEDIUM(overlap_is_refused),
        MEDIUM(data_beyond_a_reply_are_not_to_be_had),
        MEDIUM(every_byte_count_limit_is_kept),
        MEDIUM(a_drq_block_that_is_left_lying_keeps_few_pages),
        MEDIUM(a_limit_that_nothing_fits_in_aborts_the_command),
        MEDIUM(an_odd_reply_ends_with_its_last_byte),
        MEDIUM(dma_reads_the_medium_by_any_table),
        MEDIUM(dma_waits_where_the_memory_ends),
        MEDIUM(replies_and_parameters_go_by_dma_too),
        MEDIUM(dma_of_whole_sectors_is_what_pio_reads),
        MEDIUM(a_failing_block_is_named_and_those_before_it_come),
        MEDIUM(power_on_is_reported_once),
        MEDIUM(request_sense_tells_an_attention_and_clears_it),
        MEDIUM(sense_is_told_once_and_lasts_one_command),
        MEDIUM(a_soft_reset_is_no_unit_attention),
        EMPTY(an_empty_drive_says_so),
        MEDIUM(a_change_of_the_medium_is_noticed),
        MEDIUM(the_guest_ejects_and_loads),
        MEDIUM(a_locked_tray_keeps_its_medium),
        MEDIUM(force_takes_the_medium_from_a_locked_tray_and_a_running_read),
        MEDIUM(an_unplug_of_disks_leaves_the_drive),
        MEDIUM(a_saved_drive_goes_on_where_it_was),
        MEDIUM(a_saved_dma_read_is_issued_again),
        MEDIUM(a_state_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
