/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What PIO commands read and write, where on the disk, and when it is stable. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ata_rig.h"

static int big_disk(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {70000}});
}

static int read_only_disk(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {8192}, .read_only = true});
}

static int write_through_4k(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){
        .sectors = {8192}, .write_through = true, .physical_block = 4096});
}

static int small_pool(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {8192, 4096}, .pool_pages = 32});
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

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, ata_rig_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(read_sectors_interrupts_for_each_block, ata_rig_one_disk),
        TEST(rep_insw_reaches_across_blocks, ata_rig_one_disk),
        TEST(every_access_size_takes_its_bytes, ata_rig_one_disk),
        TEST(a_count_of_zero_is_256_or_65536, big_disk),
        TEST(read_multiple_has_blocks_of_several_sectors, ata_rig_one_disk),
        TEST(read_multiple_needs_a_block_size, ata_rig_one_disk),
        TEST(write_sectors_interrupts_after_each_block, ata_rig_one_disk),
        TEST(a_write_is_not_done_before_the_disk_has_it, ata_rig_one_disk),
        TEST(long_writes_are_gathered, ata_rig_one_disk),
        TEST(write_multiple_has_blocks_of_several_sectors, ata_rig_one_disk),
        TEST(without_a_write_cache_each_write_is_flushed, ata_rig_one_disk),
        TEST(a_disk_without_a_cache_says_so, write_through_4k),
        TEST(flush_cache_reaches_the_disk, ata_rig_one_disk),
        TEST(a_flush_that_fails_is_reported, ata_rig_one_disk),
        TEST(chs_addresses_follow_the_translation, ata_rig_one_disk),
        TEST(sectors_that_do_not_exist_are_not_found, ata_rig_one_disk),
        TEST(the_last_sector_can_be_read, ata_rig_one_disk),
        TEST(a_read_only_disk_takes_no_writes, read_only_disk),
        TEST(without_pages_the_drive_is_busy, small_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
