/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drives' commands, protocols and addressing, seen through the PIIX3's ports. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ide_rig.h"

#define READY (ATA_SR_DRDY | ATA_SR_DSC)

static struct ide_rig rig;

static int one_disk(void **state)
{
    ide_rig_init(&rig, NULL);
    return 0;
}

static int setup_with(const struct ide_rig_options *options)
{
    ide_rig_init(&rig, options);
    return 0;
}

static int two_disks(void **state)
{
    return setup_with(&(struct ide_rig_options){.sectors = {8192, 4096}});
}

static int slave_only(void **state)
{
    return setup_with(&(struct ide_rig_options){.sectors = {0, 4096}});
}

static int big_disk(void **state)
{
    return setup_with(&(struct ide_rig_options){.sectors = {70000}});
}

static int read_only_disk(void **state)
{
    return setup_with(&(struct ide_rig_options){.sectors = {8192}, .read_only = true});
}

static int write_through_4k(void **state)
{
    return setup_with(&(struct ide_rig_options){
        .sectors = {8192}, .write_through = true, .physical_block = 4096});
}

static int small_pool(void **state)
{
    return setup_with(&(struct ide_rig_options){.sectors = {8192, 4096}, .pool_pages = 32});
}

static int finish(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

static void assert_disk_bytes(const uint8_t *bytes, unsigned disk, uint64_t lba, uint32_t sectors)
{
    for (uint32_t i = 0; i < sectors * 512; i++)
        assert_int_equal(bytes[i], ide_rig_byte(disk, lba * 512 + i));
}

static void fill(uint8_t *bytes, uint32_t len, unsigned seed)
{
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 11 + (i >> 8) * 3 + seed);
}

static uint16_t word_of(const uint8_t *identify, unsigned index)
{
    return (uint16_t)(identify[2 * index] | identify[2 * index + 1] << 8);
}

static void identify(unsigned disk, uint8_t *ret_words)
{
    rig_command(&rig, disk, 0xec, 0, 0);
    assert_int_equal(rig_status(&rig, disk), READY | ATA_SR_DRQ);
    rig_read_data(&rig, disk, ret_words, 512);
    assert_int_equal(rig_ack(&rig, disk), READY);
}

static void assert_aborted(unsigned disk)
{
    assert_int_equal(rig_status(&rig, disk), READY | ATA_SR_ERR);
    assert_int_equal(rig_reg(&rig, disk, ATA_REG_ERROR), ATA_ER_ABRT);
    assert_true(rig_irq(&rig, disk));
    rig_ack(&rig, disk);
    assert_false(rig_irq(&rig, disk));
}

static void assert_completed(unsigned disk)
{
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, disk), READY);
    assert_true(rig_irq(&rig, disk));
    rig_ack(&rig, disk);
}

static void features(uint8_t subcommand, uint8_t count)
{
    rig_select(&rig, 0);
    rig_out8(&rig, 0x1f1, subcommand);
    rig_command(&rig, 0, 0xef, 0, count);
}

/* IDENTIFY */

static void identify_says_what_is_offered(void **state)
{
    uint8_t id[512], sum = 0;

    identify(0, id);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + id[i]);
    assert_int_equal(sum, 0);
    assert_int_equal(word_of(id, 0) & 0x8080, 0); /* an ATA disk, fixed */
    assert_int_equal(word_of(id, 1), 8192 / (16 * 63));
    assert_int_equal(word_of(id, 3), 16);
    assert_int_equal(word_of(id, 6), 63);
    assert_int_equal(word_of(id, 60) | word_of(id, 61) << 16, 8192);
    assert_int_equal(word_of(id, 100) | word_of(id, 101) << 16, 8192);
    assert_int_equal(word_of(id, 102) | word_of(id, 103), 0);
    assert_int_equal(word_of(id, 49) & 0x0300, 0x0300); /* LBA, DMA */
    assert_int_equal(word_of(id, 53), 7);
    assert_int_equal(word_of(id, 63), 7);
    assert_int_equal(word_of(id, 83) & 0xc400, 0x4400); /* valid, 48-bit */
    assert_int_equal(word_of(id, 85) & 0x0020, 0x0020); /* write cache on */
    assert_int_equal(word_of(id, 93) & 0xe000, 0x6000); /* valid, 80 conductors */
    assert_memory_equal(id + 2 * 27, "oimeduH RADDSI K", 16);
    assert_memory_equal(id + 2 * 10, "oimedup- 0", 10);
}

static void identify_follows_settings(void **state)
{
    uint8_t id[512];

    features(0x03, 0x22);
    assert_completed(0);
    rig_command(&rig, 0, 0xc6, 0, 4);
    assert_completed(0);
    features(0x82, 0);
    assert_completed(0);
    features(0x55, 0);
    assert_completed(0);
    rig_command_chs(&rig, 0, 0x91, 0, 7, 0, 32);
    assert_completed(0);
    identify(0, id);
    assert_int_equal(word_of(id, 63), 0x0407);
    assert_int_equal(word_of(id, 88), 0x003f);
    assert_int_equal(word_of(id, 59), 0x0104);
    assert_int_equal(word_of(id, 85) & 0x0060, 0);
    assert_int_equal(word_of(id, 54), 8192 / (8 * 32));
    assert_int_equal(word_of(id, 55), 8);
    assert_int_equal(word_of(id, 56), 32);

    features(0x03, 0x45);
    assert_completed(0);
    identify(0, id);
    assert_int_equal(word_of(id, 63), 0x0007);
    assert_int_equal(word_of(id, 88), 0x203f);
}

static void identify_packet_device_is_not_for_disks(void **state)
{
    rig_command(&rig, 0, 0xa1, 0, 0);
    assert_aborted(0);
}

/* PIO in */

static void read_sectors_interrupts_for_each_block(void **state)
{
    uint8_t data[3 * 512];
    unsigned rises = rig.fake.isa_rises[14];

    rig_command(&rig, 0, 0x20, 5, 3);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_false(rig_irq(&rig, 0));
    ide_rig_settle(&rig);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(rig_irq(&rig, 0));
        assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_DRQ);
        assert_false(rig_irq(&rig, 0));
        rig_read_data(&rig, 0, data + 512 * i, 512);
    }
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_false(rig_irq(&rig, 0));
    assert_int_equal(rig.fake.isa_rises[14], rises + 3);
    assert_disk_bytes(data, 0, 5, 3);
    assert_int_equal(rig_counter(&rig, "pio_sectors"), 3);
}

static void rep_insw_reaches_across_blocks(void **state)
{
    static uint8_t data[300 * 512];

    rig_command_ext(&rig, 0, 0x24, 100, 300);
    ide_rig_settle(&rig);
    for (unsigned at = 0; at < 300; at += ATA_PIO_CHUNK_MAX) {
        unsigned n = 300 - at < ATA_PIO_CHUNK_MAX ? 300 - at : ATA_PIO_CHUNK_MAX;
        bus_port_read_block(rig.bus, 0x1f0, at ? 4 : 2, data + at * 512, n * (at ? 128 : 256));
        assert_int_equal(rig_status(&rig, 0), at + n < 300 ? ATA_SR_BSY : READY);
        ide_rig_settle(&rig);
    }
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_disk_bytes(data, 0, 100, 300);
}

static void every_access_size_takes_its_bytes(void **state)
{
    uint8_t data[512];

    rig_command(&rig, 0, 0x20, 9, 1);
    ide_rig_settle(&rig);
    data[0] = rig_in8(&rig, 0x1f0);
    uint32_t value = (uint32_t)bus_read(rig.bus, BUS_PORT, 0x1f0, 4);
    memcpy(data + 1, &value, 4);
    bus_port_read_block(rig.bus, 0x1f0, 1, data + 5, 3);
    rig_read_data(&rig, 0, data + 8, 504);
    assert_disk_bytes(data, 0, 9, 1);
    assert_int_equal(rig_status(&rig, 0), READY);
}

static void a_count_of_zero_is_256_or_65536(void **state)
{
    uint8_t *data = malloc(65536 * 512);

    rig_command(&rig, 0, 0x20, 0, 0);
    rig_read_data(&rig, 0, data, 256 * 512);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_disk_bytes(data, 0, 0, 256);

    rig_command_ext(&rig, 0, 0x24, 1, 0);
    for (unsigned i = 0; i < 65536; i += ATA_PIO_CHUNK_MAX) {
        ide_rig_settle(&rig);
        assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
        bus_port_read_block(rig.bus, 0x1f0, 4, data + (size_t)i * 512, ATA_PIO_CHUNK_MAX * 128);
    }
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_disk_bytes(data, 0, 1, 65536);
    free(data);
}

static void read_multiple_has_blocks_of_several_sectors(void **state)
{
    uint8_t data[10 * 512];
    unsigned rises = rig.fake.isa_rises[14];

    rig_command(&rig, 0, 0xc6, 0, 4);
    assert_completed(0);
    rig_command(&rig, 0, 0xc4, 20, 10);
    ide_rig_settle(&rig);
    static const unsigned blocks[] = {4, 4, 2};
    for (unsigned i = 0, at = 0; i < 3; at += blocks[i++] * 512) {
        assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_DRQ);
        rig_read_data(&rig, 0, data + at, blocks[i] * 512);
    }
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_int_equal(rig.fake.isa_rises[14], rises + 4); /* SET MULTIPLE's and three blocks */
    assert_disk_bytes(data, 0, 20, 10);
    assert_int_equal(rig_counter(&rig, "pio_sectors"), 10);
}

static void read_multiple_needs_a_block_size(void **state)
{
    rig_command(&rig, 0, 0xc6, 0, 0);
    assert_completed(0);
    rig_command(&rig, 0, 0xc4, 20, 10);
    assert_aborted(0);
    rig_command_ext(&rig, 0, 0x29, 20, 10);
    assert_aborted(0);
    rig_command(&rig, 0, 0xc6, 0, 3);
    assert_aborted(0);
    rig_command(&rig, 0, 0xc6, 0, 32);
    assert_aborted(0);
}

/* PIO out */

static void write_sectors_interrupts_after_each_block(void **state)
{
    uint8_t data[3 * 512];

    fill(data, sizeof(data), 5);
    rig_command(&rig, 0, 0x30, 50, 3);
    ide_rig_settle(&rig);
    assert_false(rig_irq(&rig, 0)); /* none before the first block */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_DRQ);
        rig_write_data(&rig, 0, data + 512 * i, 512);
        ide_rig_settle(&rig);
        assert_true(rig_irq(&rig, 0));
    }
    assert_int_equal(rig_ack(&rig, 0), READY);
    assert_memory_equal(rig.disk[0] + 50 * 512, data, sizeof(data));
    assert_int_equal(rig.disk[0][53 * 512], ide_rig_byte(0, 53 * 512));
    assert_int_equal(rig.disk[0][50 * 512 - 1], ide_rig_byte(0, 50 * 512 - 1));
}

static void a_write_is_not_done_before_the_disk_has_it(void **state)
{
    uint8_t data[512];

    fill(data, sizeof(data), 1);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    rig_command(&rig, 0, 0x30, 7, 1);
    rig_write_data(&rig, 0, data, 512);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_false(rig_irq(&rig, 0));
    mem_release(rig.image[0]);
    assert_completed(0);
    assert_memory_equal(rig.disk[0] + 7 * 512, data, 512);
}

static void long_writes_are_gathered(void **state)
{
    static uint8_t data[600 * 512];
    const struct blk_counters *counters = blk_counters(rig.spec.drive[0].blk);

    fill(data, sizeof(data), 77);
    rig_command_ext(&rig, 0, 0x34, 1000, 600);
    for (unsigned at = 0; at < 600;) {
        unsigned n = 600 - at < ATA_PIO_CHUNK_MAX ? 600 - at : ATA_PIO_CHUNK_MAX;
        ide_rig_settle(&rig);
        assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
        bus_port_write_block(rig.bus, 0x1f0, 2, data + at * 512, n * 256);
        at += n;
    }
    assert_completed(0);
    assert_memory_equal(rig.disk[0] + 1000 * 512, data, sizeof(data));
    assert_int_equal(counters->writes, 600 / ATA_PIO_CHUNK_MAX + 1);
}

static void write_multiple_has_blocks_of_several_sectors(void **state)
{
    static uint8_t data[40 * 512];
    unsigned rises = rig.fake.isa_rises[14];

    fill(data, sizeof(data), 9);
    rig_command_ext(&rig, 0, 0x39, 33, 40);
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = i < 2 ? 16 : 8;
        ide_rig_settle(&rig);
        assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_DRQ);
        rig_write_data(&rig, 0, data + i * 16 * 512, n * 512);
    }
    assert_completed(0);
    assert_int_equal(rig.fake.isa_rises[14], rises + 3);
    assert_memory_equal(rig.disk[0] + 33 * 512, data, sizeof(data));
}

/* Write cache */

static uint64_t flushes(void)
{
    return blk_counters(rig.spec.drive[0].blk)->flushes;
}

static void without_a_write_cache_each_write_is_flushed(void **state)
{
    uint8_t data[512] = {1};

    rig_command(&rig, 0, 0x30, 7, 1);
    rig_write_data(&rig, 0, data, 512);
    assert_completed(0);
    assert_int_equal(flushes(), 0);

    features(0x82, 0);
    assert_completed(0);
    assert_int_equal(flushes(), 1); /* what the cache still had */

    rig_command(&rig, 0, 0x30, 7, 1);
    rig_write_data(&rig, 0, data, 512);
    assert_completed(0);
    assert_int_equal(flushes(), 2);

    rig_prd(&rig, 0x1000, 0, 0x2000, 512, true);
    rig_dma_setup(&rig, 0, 0x1000, false);
    rig_command(&rig, 0, 0xca, 8, 1);
    rig_dma_start(&rig, 0, false);
    fake_loop_turn(rig.loop, 0); /* the write is done, the flush is not */
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_completed(0);
    assert_int_equal(flushes(), 3);

    features(0x02, 0);
    assert_completed(0);
    rig_command(&rig, 0, 0x30, 7, 1);
    rig_write_data(&rig, 0, data, 512);
    assert_completed(0);
    assert_int_equal(flushes(), 3);
}

static void a_disk_without_a_cache_says_so(void **state)
{
    uint8_t id[512], data[512] = {7};

    identify(0, id);
    assert_int_equal(word_of(id, 82) & 0x20, 0);
    assert_int_equal(word_of(id, 85) & 0x20, 0);
    assert_int_equal(word_of(id, 106), 0x6003); /* eight logical sectors a physical one */
    assert_int_equal(word_of(id, 209), 0x4000);
    features(0x02, 0);
    assert_aborted(0);
    features(0x82, 0);
    assert_aborted(0);
    rig_command(&rig, 0, 0x30, 7, 1);
    rig_write_data(&rig, 0, data, 512);
    assert_completed(0);
    assert_int_equal(flushes(), 0); /* the write was stable when it was done */
}

static void flush_cache_reaches_the_disk(void **state)
{
    rig_command(&rig, 0, 0xe7, 0, 0);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_completed(0);
    rig_command_ext(&rig, 0, 0xea, 0, 0);
    assert_completed(0);
    assert_int_equal(flushes(), 2);
}

static void a_flush_that_fails_is_reported(void **state)
{
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .last = UINT64_MAX});
    rig_command(&rig, 0, 0xe7, 0, 0);
    ide_rig_settle(&rig);
    assert_aborted(0);
}

/* Addresses and errors */

static void chs_addresses_follow_the_translation(void **state)
{
    uint8_t data[512];

    rig_command_chs(&rig, 0, 0x20, 2, 3, 4, 1);
    rig_read_data(&rig, 0, data, 512);
    assert_disk_bytes(data, 0, (2 * 16 + 3) * 63 + 3, 1);
    rig_command_chs(&rig, 0, 0x91, 0, 3, 0, 10);
    assert_completed(0);
    rig_command_chs(&rig, 0, 0x20, 5, 2, 10, 1);
    rig_read_data(&rig, 0, data, 512);
    assert_disk_bytes(data, 0, (5 * 4 + 2) * 10 + 9, 1);
}

static void sectors_that_do_not_exist_are_not_found(void **state)
{
    static const struct {
        unsigned cylinder, head, sector;
    } chs[] = {{0, 0, 0}, {0, 0, 64}, {60000, 0, 1}};

    for (unsigned i = 0; i < 3; i++) {
        rig_command_chs(&rig, 0, 0x20, chs[i].cylinder, chs[i].head, chs[i].sector, 1);
        assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_ERR);
        assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_IDNF);
        assert_true(rig_irq(&rig, 0));
    }
    rig_command(&rig, 0, 0x20, 8190, 3);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_IDNF);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 8192 & 0xff);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_MID), 8192 >> 8);
    rig_command_ext(&rig, 0, 0x24, 0xfedcba987654, 1);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_IDNF);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 0x54);
    rig_out8(&rig, 0x3f6, ATA_DC_HOB);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 0xba);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_HIGH), 0xfe);
    rig_command(&rig, 0, 0x70, 9000, 1); /* SEEK */
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_IDNF);
    assert_int_equal(rig_counter(&rig, "errors"), 6);
}

static void the_last_sector_can_be_read(void **state)
{
    uint8_t data[512];

    rig_command(&rig, 0, 0x20, 8191, 1);
    rig_read_data(&rig, 0, data, 512);
    assert_disk_bytes(data, 0, 8191, 1);
}

static void a_read_only_disk_takes_no_writes(void **state)
{
    static const uint8_t writes[] = {0x30, 0x31, 0xc5, 0xca, 0xcb};
    static const uint8_t writes_ext[] = {0x34, 0x35, 0x39};

    for (unsigned i = 0; i < sizeof(writes); i++) {
        rig_command(&rig, 0, writes[i], 1, 1);
        assert_aborted(0);
    }
    for (unsigned i = 0; i < sizeof(writes_ext); i++) {
        rig_command_ext(&rig, 0, writes_ext[i], 1, 1);
        assert_aborted(0);
    }
    rig_command(&rig, 0, 0xe7, 0, 0);
    assert_completed(0);
}

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

/* Commands without data */

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

/* Pages */

static void without_pages_the_drive_is_busy(void **state)
{
    uint8_t data[512];

    fill(data, 512, 3);
    rig_prd(&rig, 0x1000, 0, 0x20000, 0, false);
    rig_prd(&rig, 0x1000, 1, 0x30000, 0, true);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    rig_dma_setup(&rig, 0, 0x1000, true);
    rig_command(&rig, 0, 0xc8, 0, 0); /* 256 sectors: all the pages there are */
    rig_dma_start(&rig, 0, true);
    rig_command(&rig, 1, 0x30, 7, 1);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 1), ATA_SR_BSY);
    mem_release(rig.image[0]);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 1), READY | ATA_SR_DRQ);
    assert_false(rig_irq(&rig, 1)); /* the first block */
    rig_dma_stop(&rig, 0);
    rig_dma_setup(&rig, 0, 0x1000, true);
    rig_command(&rig, 0, 0xc8, 0, 0);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig); /* now device 0 waits: a page is missing */
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->in_flight, 0);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    rig_select(&rig, 1);
    rig_write_data(&rig, 1, data, 512);
    assert_completed(1);
    assert_memory_equal(rig.disk[1] + 7 * 512, data, 512);
    rig_select(&rig, 0);
    assert_completed(0);
    assert_disk_bytes(rig.fake.ram + 0x20000, 0, 0, 128);
}

/* State */

static void migrate(void)
{
    size_t size, again;

    while (!rig.dev->ops->quiesce(rig.dev))
        assert_true(fake_loop_turn(rig.loop, 0));
    uint8_t *state = ide_rig_save(&rig, &size);
    assert_int_equal(ide_rig_migrate(&rig, state, size), 0);
    uint8_t *copy = ide_rig_save(&rig, &again);
    assert_int_equal(size, again);
    assert_memory_equal(state, copy, size);
    rig.dev->ops->resume(rig.dev);
    free(state);
    free(copy);
}

static void a_pio_read_survives_migration_anywhere(void **state)
{
    static uint8_t data[300 * 512];

    rig_command_ext(&rig, 0, 0x29, 11, 300);
    for (unsigned at = 0; at < sizeof(data);) {
        unsigned n = at % 3 ? 1022 : 514; /* crosses blocks and chunks, words apart */
        n = n < sizeof(data) - at ? n : (unsigned)sizeof(data) - at;
        for (unsigned i = 0; i < n; i += 2) {
            if ((at + i) % 512 == 0)
                ide_rig_settle(&rig);
            uint16_t word = rig_in16(&rig, 0x1f0);
            memcpy(data + at + i, &word, 2);
        }
        at += n;
        migrate();
    }
    assert_disk_bytes(data, 0, 11, 300);
    assert_int_equal(rig_status(&rig, 0), READY);
}

static void a_pio_write_survives_migration_anywhere(void **state)
{
    static uint8_t data[300 * 512];

    fill(data, sizeof(data), 42);
    rig_command_ext(&rig, 0, 0x34, 21, 300);
    for (unsigned at = 0; at < sizeof(data);) {
        unsigned n = 5 * 512 + 6;
        n = n < sizeof(data) - at ? n : (unsigned)sizeof(data) - at;
        for (unsigned i = 0; i < n; i += 2) {
            uint16_t word;
            if ((at + i) % 512 == 0)
                ide_rig_settle(&rig);
            memcpy(&word, data + at + i, 2);
            rig_out16(&rig, 0x1f0, word);
        }
        at += n;
        migrate();
    }
    assert_completed(0);
    assert_memory_equal(rig.disk[0] + 21 * 512, data, sizeof(data));
}

static void a_verify_survives_migration(void **state)
{
    rig_command_ext(&rig, 0, 0x42, 0, 1000);
    for (unsigned i = 0; rig_status(&rig, 0) == ATA_SR_BSY; i++) {
        assert_true(i < 4);
        migrate();
    }
    assert_completed(0);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->read_bytes, 1000 * 512);
}

static void commands_that_wait_survive_migration(void **state)
{
    uint8_t data[512];

    rig.dev->ops->quiesce(rig.dev);
    rig_command(&rig, 0, 0x20, 99, 1); /* held back */
    rig_command(&rig, 1, 0xe7, 0, 0);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 1), ATA_SR_BSY);
    migrate();
    assert_completed(1);
    rig_select(&rig, 0);
    assert_true(rig_irq(&rig, 0));
    rig_read_data(&rig, 0, data, 512);
    assert_disk_bytes(data, 0, 99, 1);
}

static void settings_and_registers_survive_migration(void **state)
{
    uint8_t id[512];

    features(0x82, 0);
    assert_completed(0);
    rig_command(&rig, 0, 0xc6, 0, 2);
    assert_completed(0);
    rig_command(&rig, 1, 0xe0, 0, 0);
    assert_completed(1);
    rig_select(&rig, 0);
    rig_out8(&rig, 0x1f4, 0x12);
    rig_out8(&rig, 0x1f4, 0x34);
    rig_out8(&rig, 0x3f6, ATA_DC_HOB | ATA_DC_NIEN);
    migrate();
    assert_int_equal(rig_in8(&rig, 0x1f4), 0x12);
    identify(0, id);
    assert_int_equal(word_of(id, 59), 0x0102);
    assert_int_equal(word_of(id, 85) & 0x20, 0);
    rig_command(&rig, 1, 0xe5, 0, 0);
    assert_int_equal(rig_reg(&rig, 1, ATA_REG_COUNT), 0);
    assert_false(rig_irq(&rig, 1)); /* nIEN too */
}

static void a_pending_interrupt_survives_migration(void **state)
{
    rig_command(&rig, 0, 0x10, 0, 0);
    rig.fake.isa[14] = false; /* the new machine's line */
    migrate();
    assert_true(rig_irq(&rig, 0));
    assert_int_equal(rig_ack(&rig, 0), READY);
    assert_false(rig_irq(&rig, 0));
}

static void hostile_state_is_refused(void **state)
{
    size_t size;
    unsigned refused = 0;

    rig_command_ext(&rig, 0, 0x34, 21, 4);
    for (unsigned i = 0; i < 100; i++)
        rig_out16(&rig, 0x1f0, 0xbeef);
    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size);
    uint8_t *bad = malloc(size);
    for (size_t at = 0; at < size; at++) {
        static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        for (unsigned v = 0; v < sizeof(values); v++) {
            memcpy(bad, saved, size);
            bad[at] = values[v];
            if (ide_rig_migrate(&rig, bad, size)) {
                refused++;
            } else { /* taken: then it must hold */
                rig.dev->ops->resume(rig.dev);
                for (unsigned i = 0; i < 2000; i++)
                    rig_out16(&rig, 0x1f0, 0xbeef);
                ide_rig_settle(&rig);
            }
        }
    }
    for (size_t cut = 0; cut < size; cut += 7)
        assert_int_not_equal(ide_rig_migrate(&rig, saved, cut), 0);
    assert_true(refused > 100);
    free(saved);
    free(bad);
}

/* Unplug */

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
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    assert_true(rig.dev->ops->quiesce(rig.dev));
    rig.dev->ops->resume(rig.dev);
    assert_memory_equal(rig.disk[0] + 60 * 512, data, 512);
    assert_int_equal(flushes(), 1);
    assert_false(rig_irq(&rig, 0));
    rig.dev->ops->reset(rig.dev);
    ide_rig_program(&rig);
    assert_int_equal(rig_status(&rig, 0), 0x7f);
    migrate();
    assert_int_equal(rig_status(&rig, 0), 0x7f);
}

static void unplugging_auxiliary_disks_leaves_the_first(void **state)
{
    uint8_t id[512];

    piix3_ide_unplug_aux_disks(rig.dev);
    ide_rig_settle(&rig);
    identify(0, id);
    rig_select(&rig, 1);
    assert_int_equal(rig_status(&rig, 1), 0);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identify_says_what_is_offered, one_disk),
        TEST(identify_follows_settings, one_disk),
        TEST(identify_packet_device_is_not_for_disks, one_disk),
        TEST(read_sectors_interrupts_for_each_block, one_disk),
        TEST(rep_insw_reaches_across_blocks, one_disk),
        TEST(every_access_size_takes_its_bytes, one_disk),
        TEST(a_count_of_zero_is_256_or_65536, big_disk),
        TEST(read_multiple_has_blocks_of_several_sectors, one_disk),
        TEST(read_multiple_needs_a_block_size, one_disk),
        TEST(write_sectors_interrupts_after_each_block, one_disk),
        TEST(a_write_is_not_done_before_the_disk_has_it, one_disk),
        TEST(long_writes_are_gathered, one_disk),
        TEST(write_multiple_has_blocks_of_several_sectors, one_disk),
        TEST(without_a_write_cache_each_write_is_flushed, one_disk),
        TEST(a_disk_without_a_cache_says_so, write_through_4k),
        TEST(flush_cache_reaches_the_disk, one_disk),
        TEST(a_flush_that_fails_is_reported, one_disk),
        TEST(chs_addresses_follow_the_translation, one_disk),
        TEST(sectors_that_do_not_exist_are_not_found, one_disk),
        TEST(the_last_sector_can_be_read, one_disk),
        TEST(a_read_only_disk_takes_no_writes, read_only_disk),
        TEST(what_is_not_implemented_is_aborted, one_disk),
        TEST(verify_reads_the_disk, one_disk),
        TEST(seek_and_recalibrate_complete, one_disk),
        TEST(power_modes_are_remembered, one_disk),
        TEST(a_sleeping_drive_wakes_by_reset_only, one_disk),
        TEST(soft_reset_leaves_the_signature, two_disks),
        TEST(settings_survive_soft_reset_unless_told_otherwise, one_disk),
        TEST(diagnostic_runs_on_both_and_device_0_speaks, two_disks),
        TEST(registers_are_two_deep, one_disk),
        TEST(nien_holds_interrupts_back, one_disk),
        TEST(alternate_status_does_not_acknowledge, one_disk),
        TEST(only_the_selected_drive_drives_the_line, two_disks),
        TEST(both_drives_are_themselves, two_disks),
        TEST(a_busy_drive_takes_no_writes, one_disk),
        TEST(an_absent_slave_is_answered_for, one_disk),
        TEST(an_empty_channel_floats, one_disk),
        TEST(a_slave_alone_works, slave_only),
        TEST(the_probe_of_linux_finds_one_disk, one_disk),
        TEST(without_pages_the_drive_is_busy, small_pool),
        TEST(a_pio_read_survives_migration_anywhere, one_disk),
        TEST(a_pio_write_survives_migration_anywhere, one_disk),
        TEST(a_verify_survives_migration, one_disk),
        TEST(commands_that_wait_survive_migration, two_disks),
        TEST(settings_and_registers_survive_migration, two_disks),
        TEST(a_pending_interrupt_survives_migration, one_disk),
        TEST(hostile_state_is_refused, one_disk),
        TEST(unplugged_disks_are_gone_and_their_writes_stable, one_disk),
        TEST(unplugging_auxiliary_disks_leaves_the_first, two_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
