/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CD-ROM drive's protocol: packets, byte counts, resets, errors, sense data. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/atapi_rig.h"

static int with_medium(void **state)
{
    return atapi_rig_setup(MEDIUM_BLOCKS * 4);
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

#define MEDIUM(name) cmocka_unit_test_setup_teardown(name, with_medium, finish)

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
        MEDIUM(a_failing_block_is_named_and_those_before_it_come),
        MEDIUM(power_on_is_reported_once),
        MEDIUM(request_sense_tells_an_attention_and_clears_it),
        MEDIUM(sense_is_told_once_and_lasts_one_command),
        MEDIUM(a_soft_reset_is_no_unit_attention),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
