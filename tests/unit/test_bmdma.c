/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bus-master transfers with every kind of descriptor table. */
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
#define TABLE 0x1000u
#define RAM   0x20000u

static struct ide_rig rig;

static int setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {8192, 4096, 2048}});
    return 0;
}

static int big_setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {70000}});
    return 0;
}

static int teardown(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

static void assert_read(uint32_t addr, uint64_t disk_offset, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(rig.fake.ram[addr + i], ide_rig_byte(0, disk_offset + i));
}

static void fill_ram(uint32_t addr, uint32_t len, unsigned seed)
{
    for (uint32_t i = 0; i < len; i++)
        rig.fake.ram[addr + i] = (uint8_t)(i * 5 + (i >> 8) + seed);
}

static void read_dma(uint64_t lba, uint32_t count)
{
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_command_ext(&rig, 0, 0x25, lba, count);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
}

static void write_dma(uint64_t lba, uint32_t count)
{
    rig_dma_setup(&rig, 0, TABLE, false);
    rig_command_ext(&rig, 0, 0x35, lba, count);
    rig_dma_start(&rig, 0, false);
    ide_rig_settle(&rig);
}

static void assert_over(uint8_t dma_status)
{
    assert_int_equal(rig_dma_status(&rig, 0), dma_status);
    assert_true(rig_irq(&rig, 0));
    assert_int_equal(rig_ack(&rig, 0), READY);
    rig_dma_stop(&rig, 0);
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_INTR);
}

/* Status when a table is shorter: the drive waits, nothing is signalled (SFF-8038i). */
static void assert_stalled(void)
{
    assert_int_equal(rig_dma_status(&rig, 0), 0);
    assert_false(rig_irq(&rig, 0));
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
}

static void a_table_as_long_as_the_transfer(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 4096, false);
    rig_prd(&rig, TABLE, 1, RAM + 8192, 4096, true);
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_command(&rig, 0, 0xc8, 10, 16);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    ide_rig_settle(&rig);
    assert_int_equal(rig_dma_status(&rig, 0), 0); /* not started */
    rig_dma_start(&rig, 0, true);
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_ACTIVE);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 10 * 512, 4096);
    assert_read(RAM + 8192, 18 * 512, 4096);
    assert_int_equal(rig.fake.ram[RAM + 4096], 0);
    assert_int_equal(rig.fake.ram[RAM - 1], 0);
    assert_int_equal(rig_counter(&rig, "dma_bytes"), 8192);
}

static void a_write_takes_memory_as_the_table_says(void **state)
{
    fill_ram(RAM, 8192, 3);
    rig_prd(&rig, TABLE, 0, RAM + 4096, 4096, false);
    rig_prd(&rig, TABLE, 1, RAM, 4096, true);
    write_dma(100, 16);
    assert_over(BMISTA_INTR);
    assert_memory_equal(rig.disk[0] + 100 * 512, rig.fake.ram + RAM + 4096, 4096);
    assert_memory_equal(rig.disk[0] + 108 * 512, rig.fake.ram + RAM, 4096);
    assert_int_equal(rig.disk[0][116 * 512], ide_rig_byte(0, 116 * 512));
}

static void started_before_the_command_it_works_too(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_dma_start(&rig, 0, true);
    rig_command(&rig, 0, 0xc8, 7, 1);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 7 * 512, 512);
}

static void a_count_of_zero_is_64_kib(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 0, false);
    rig_prd(&rig, TABLE, 1, RAM + 0x20000, 0, true);
    read_dma(5, 256);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 5 * 512, 0x10000);
    assert_read(RAM + 0x20000, 5 * 512 + 0x10000, 0x10000);
}

static void crumbs_of_every_even_size(void **state)
{
    static const uint32_t sizes[] = {2, 510, 6, 1022, 4094, 2, 8, 514, 1500};
    uint32_t total = 24 * 512, at = 0, addr = RAM;
    unsigned n = 0;

    while (at < total) {
        uint32_t len = sizes[n % 9] < total - at ? sizes[n % 9] : total - at;
        rig_prd(&rig, TABLE, n++, addr, len, at + len == total);
        at += len;
        addr += len + 26;
    }
    read_dma(33, 24);
    assert_over(BMISTA_INTR);
    addr = RAM;
    at = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t len = sizes[i % 9] < total - at ? sizes[i % 9] : total - at;
        assert_read(addr, 33 * 512 + at, len);
        assert_int_equal(rig.fake.ram[addr + len], 0);
        at += len;
        addr += len + 26;
    }
}

static void two_byte_descriptors_throughout(void **state)
{
    for (unsigned i = 0; i < 8 * 256; i++)
        rig_prd(&rig, TABLE, i, RAM + 4 * i, 2, i == 8 * 256 - 1);
    read_dma(40, 8);
    assert_over(BMISTA_INTR);
    for (unsigned i = 0; i < 8 * 256; i++) {
        assert_read(RAM + 4 * i, 40 * 512 + 2 * i, 2);
        assert_int_equal(rig.fake.ram[RAM + 4 * i + 2], 0);
    }
    rig_prd(&rig, TABLE, 8 * 256 - 1, RAM + 4 * (8 * 256 - 1), 2, true);
    write_dma(1040, 8);
    assert_over(BMISTA_INTR);
    assert_memory_equal(rig.disk[0] + 1040 * 512, rig.disk[0] + 40 * 512, 8 * 512);
}

static void odd_bits_are_masked(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM + 1, 513, false); /* address and count are even */
    rig_prd(&rig, TABLE, 1, RAM + 0x1000, 512, true);
    rig_dma_setup(&rig, 0, TABLE + 3, true); /* and the table is aligned to 4 */
    assert_int_equal(bus_read(rig.bus, BUS_PORT, rig.bmdma + 4, 4), TABLE);
    rig_command(&rig, 0, 0xc8, 9, 2);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 9 * 512, 512);
    assert_read(RAM + 0x1000, 10 * 512, 512);
}

static void a_table_wraps_within_64_kib(void **state)
{
    rig_prd(&rig, 0x1fff8, 0, 0x30000, 512, false);
    rig_prd(&rig, 0x10000, 0, 0x31000, 512, true);
    rig_dma_setup(&rig, 0, 0x1fff8, true);
    rig_command(&rig, 0, 0xc8, 1, 2);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(0x30000, 512, 512);
    assert_read(0x31000, 1024, 512);
}

static void a_descriptor_may_straddle_a_page(void **state)
{
    rig_prd(&rig, 0x1ffc, 0, RAM, 512, false);
    rig_prd(&rig, 0x1ffc, 1, RAM + 0x1000, 512, true);
    rig_dma_setup(&rig, 0, 0x1ffc, true);
    rig_command(&rig, 0, 0xc8, 1, 2);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM + 0x1000, 1024, 512);
}

static void the_table_alone_is_read(void **state)
{
    uint32_t table = RIG_RAM - 16; /* beyond it there is no RAM */

    rig_prd(&rig, table, 0, RAM, 512, false);
    rig_prd(&rig, table, 1, RAM + 512, 512, true);
    rig_dma_setup(&rig, 0, table, true);
    rig_command(&rig, 0, 0xc8, 1, 2);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_int_equal(rig.fake.dma_holes, 0);
}

static void a_longer_table_stays_active(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 1024, false);
    rig_prd(&rig, TABLE, 1, RAM + 0x1000, 512, true);
    read_dma(3, 2);
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_INTR | BMISTA_ACTIVE);
    assert_over(BMISTA_INTR | BMISTA_ACTIVE);
    assert_int_equal(rig.fake.ram[RAM + 0x1000], 0);

    rig_prd(&rig, TABLE, 0, RAM, 4096, true); /* or within its last descriptor */
    read_dma(3, 2);
    assert_over(BMISTA_INTR | BMISTA_ACTIVE);
    assert_int_equal(rig.fake.ram[RAM + 1024], 0);
}

static void a_shorter_table_leaves_the_drive_waiting(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 1024 + 100, true);
    read_dma(3, 8);
    assert_stalled();
    assert_read(RAM, 3 * 512, 1024 + 100);
    assert_int_equal(rig.fake.ram[RAM + 1124], 0);

    /* It goes on, with the sector that was not done, where a new table says. */
    rig_dma_stop(&rig, 0);
    rig_prd(&rig, TABLE, 0, RAM + 0x4000, 6 * 512, true);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM + 0x4000, 5 * 512, 6 * 512);
}

static void a_shorter_table_of_a_write_writes_whole_sectors(void **state)
{
    fill_ram(RAM, 4096, 1);
    rig_prd(&rig, TABLE, 0, RAM, 1024 + 510, true);
    write_dma(3, 8);
    assert_stalled();
    assert_memory_equal(rig.disk[0] + 3 * 512, rig.fake.ram + RAM, 1024);
    assert_int_equal(rig.disk[0][5 * 512], ide_rig_byte(0, 5 * 512));
    rig_srst(&rig, 0);
    assert_int_equal(rig_status(&rig, 0), READY);
    rig_dma_stop(&rig, 0);
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    read_dma(1, 1);
    assert_over(BMISTA_INTR);
}

static void long_transfers_go_in_several_requests(void **state)
{
    for (unsigned i = 0; i < 16; i++)
        rig_prd(&rig, TABLE, i, RAM + 0x10000 * i, 0, i == 15);
    read_dma(17, 2048);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 17 * 512, 2048 * 512);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, 8);
    write_dma(4096, 2048);
    assert_over(BMISTA_INTR);
    assert_memory_equal(rig.disk[0] + 4096 * 512, rig.disk[0] + 17 * 512, 2048 * 512);
}

static void the_longest_transfer_is_32_mib(void **state)
{
    for (unsigned i = 0; i < 512; i++)
        rig_prd(&rig, TABLE, i, RAM + 0x10000 * (i % 16), 0, i == 511);
    read_dma(1000, 0);
    assert_over(BMISTA_INTR);
    assert_int_equal(rig_counter(&rig, "dma_bytes"), 65536 * 512);
    assert_read(RAM, (1000 + 65536 - 2048) * 512, 2048 * 512);
}

static void memory_that_is_not_there_reads_as_ones(void **state)
{
    rig_prd(&rig, TABLE, 0, RIG_RAM - 256, 512, false);
    rig_prd(&rig, TABLE, 1, 0xfffffe00, 1024, true); /* to the top of 4 GiB and beyond */
    fill_ram(RIG_RAM - 256, 256, 4);
    fill_ram(0, 512, 9); /* where 32 address lines lead */
    write_dma(50, 3);
    assert_over(BMISTA_INTR);
    assert_memory_equal(rig.disk[0] + 50 * 512, rig.fake.ram + RIG_RAM - 256, 256);
    for (unsigned i = 256; i < 1024; i++)
        assert_int_equal(rig.disk[0][50 * 512 + i], 0xff);
    assert_memory_equal(rig.disk[0] + 52 * 512, rig.fake.ram, 512);
}

/* ABRT at `lba`, the bus master's Error bit, no longer active. */
static void assert_unreachable(uint64_t lba)
{
    assert_true(rig_irq(&rig, 0));
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_INTR | BMISTA_ERROR);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_ABRT);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), lba & 0xff);
    assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_ERR);
    rig_dma_stop(&rig, 0);
    rig_out8(&rig, (uint16_t)(rig.bmdma + BMDMA_BMISTA), BMISTA_INTR | BMISTA_ERROR);
    assert_int_equal(rig_dma_status(&rig, 0), 0);
    rig.fake.broken_len = 0;
}

static void a_read_to_memory_out_of_reach_fails(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, false);
    rig_prd(&rig, TABLE, 1, RAM + 0x4000, 1024, true);
    rig.fake.broken_from = RAM + 0x4000;
    rig.fake.broken_len = 0x1000;
    read_dma(10, 3);
    assert_unreachable(10);
    assert_int_equal(rig.fake.ram[RAM + 0x4000], 0);
    read_dma(10, 3);
    assert_over(BMISTA_INTR);
    assert_read(RAM + 0x4000, 11 * 512, 1024);
}

/* Nothing of it may reach the disk: what is there is better than what nobody has written. */
static void a_write_from_memory_out_of_reach_writes_nothing(void **state)
{
    fill_ram(RAM, 512, 1);
    fill_ram(RAM + 0x4000, 1024, 2);
    rig_prd(&rig, TABLE, 0, RAM, 512, false);
    rig_prd(&rig, TABLE, 1, RAM + 0x4000, 1024, true);
    rig.fake.broken_from = RAM + 0x4000;
    rig.fake.broken_len = 0x1000;
    write_dma(10, 3);
    assert_unreachable(10);
    for (unsigned i = 0; i < 3 * 512; i++)
        assert_int_equal(rig.disk[0][10 * 512 + i], ide_rig_byte(0, 10 * 512 + i));
    assert_int_equal(rig_counter(&rig, "errors"), 1);
    write_dma(10, 3);
    assert_over(BMISTA_INTR);
    assert_memory_equal(rig.disk[0] + 11 * 512, rig.fake.ram + RAM + 0x4000, 1024);
}

static void a_table_out_of_reach_fails_the_transfer(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    rig.fake.broken_from = TABLE;
    rig.fake.broken_len = 0x1000;
    read_dma(10, 1);
    assert_unreachable(10);
    read_dma(10, 1);
    assert_over(BMISTA_INTR);
}

/* Each descriptor may name memory that has to be mapped first: no more than the first sector of
 * crumbs, or 64 pieces, in one go. */
static void crumbs_move_a_sector_at_a_time(void **state)
{
    unsigned rests = 0;

    for (unsigned i = 0; i < 4 * 256; i++)
        rig_prd(&rig, TABLE, i, RAM + 4 * i, 2, i == 4 * 256 - 1);
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_command(&rig, 0, 0xc8, 40, 4);
    rig_dma_start(&rig, 0, true);
    while (rig_status(&rig, 0) & ATA_SR_BSY) {
        rig.fake.dma_rests = rig.fake.now + 1000;
        ide_rig_settle(&rig);
        if (!(rig_status(&rig, 0) & ATA_SR_BSY))
            break;
        assert_int_equal(rig_counter(&rig, "dma_bytes"), 512 * ++rests);
        ide_rig_settle(&rig);
        assert_int_equal(rig_counter(&rig, "dma_bytes"), 512 * rests);
        fake_host_advance(&rig.fake, 1000);
    }
    assert_int_equal(rests, 3);
    assert_over(BMISTA_INTR);
    for (unsigned i = 0; i < 4 * 256; i++)
        assert_read(RAM + 4 * i, 40 * 512 + 2 * i, 2);
}

static void a_device_that_rests_can_be_taken_away(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    rig.fake.dma_rests = rig.fake.now + 1000;
    read_dma(10, 1);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    rig_srst(&rig, 0);
    fake_host_advance(&rig.fake, 2000);
    assert_int_equal(rig_counter(&rig, "dma_bytes"), 0);
    rig.fake.dma_rests = rig.fake.now + 1000;
    read_dma(10, 1); /* and teardown asserts that no timer is left */
}

static void without_bus_mastering_nothing_moves(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    bus_pci_write(rig.bus, rig.sbdf, PCI_COMMAND, 2, PCI_COMMAND_IO);
    read_dma(3, 1);
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_ACTIVE);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    bus_pci_write(rig.bus, rig.sbdf, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 3 * 512, 512);
}

/* As a kernel does before it gives the memory away to another. */
static void when_bus_mastering_ends_nothing_lands_later(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    read_dma(3, 1);
    bus_pci_write(rig.bus, rig.sbdf, PCI_COMMAND, 2, PCI_COMMAND_IO);
    mem_release(rig.image[0]);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    assert_int_equal(rig.fake.ram[RAM], 0);
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_ACTIVE);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    bus_pci_write(rig.bus, rig.sbdf, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 3 * 512, 512);
}

static void stopped_in_mid_transfer_nothing_lands_later(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    read_dma(3, 1);
    rig_dma_stop(&rig, 0);
    assert_int_equal(rig_dma_status(&rig, 0), 0);
    mem_release(rig.image[0]);
    ide_rig_settle(&rig);
    assert_int_equal(rig.fake.ram[RAM], 0);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY); /* until reset, or a new start */
    rig_prd(&rig, TABLE, 0, RAM + 0x800, 512, true);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_int_equal(rig.fake.ram[RAM], 0);
    assert_read(RAM + 0x800, 3 * 512, 512);
}

static void selecting_the_other_drive_does_not_disturb(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    read_dma(3, 1);
    rig_select(&rig, 1);
    mem_release(rig.image[0]);
    assert_false(rig_irq(&rig, 0));
    assert_int_equal(rig_dma_status(&rig, 0), 0); /* no interrupt to note yet */
    rig_select(&rig, 0);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 3 * 512, 512);
}

/* Two transfers on one cable: the bus master serves one, the other waits for its own start. */
static void the_bus_master_serves_one_drive_at_a_time(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_command(&rig, 0, 0xc8, 3, 1);
    rig_command(&rig, 1, 0xc8, 4, 2);
    rig_dma_start(&rig, 0, true); /* device 1 is selected, and goes first */
    ide_rig_settle(&rig);
    assert_stalled();
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(rig.fake.ram[RAM + i], ide_rig_byte(1, 4 * 512 + i));
    rig_select(&rig, 0);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    rig_dma_stop(&rig, 0);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 3 * 512, 512);
    rig_dma_stop(&rig, 0);
    rig_dma_start(&rig, 0, true);
    ide_rig_settle(&rig);
    rig_select(&rig, 1);
    assert_true(rig_irq(&rig, 1));
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(rig.fake.ram[RAM + i], ide_rig_byte(1, 5 * 512 + i));
}

static void the_channels_are_independent(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    rig_prd(&rig, TABLE + 8, 0, RAM + 512, 512, true);
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_dma_setup(&rig, 1, TABLE + 8, true);
    rig_command(&rig, 0, 0xc8, 3, 1);
    rig_command(&rig, 2, 0xc8, 4, 1);
    rig_dma_start(&rig, 0, true);
    rig_dma_start(&rig, 1, true);
    ide_rig_settle(&rig);
    assert_true(rig_irq(&rig, 2));
    assert_int_equal(rig_dma_status(&rig, 1), BMISTA_INTR);
    assert_int_equal(rig_ack(&rig, 2), READY);
    assert_over(BMISTA_INTR);
    assert_read(RAM, 3 * 512, 512);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(rig.fake.ram[RAM + 512 + i], ide_rig_byte(2, 4 * 512 + i));
}

static void an_error_ends_the_transfer(void **state)
{
    for (unsigned i = 0; i < 8; i++)
        rig_prd(&rig, TABLE, i, RAM + 0x10000 * i, 0, i == 7);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .first = 300, .last = 300});
    read_dma(10, 1024);
    assert_true(rig_irq(&rig, 0));
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_INTR | BMISTA_ACTIVE);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_UNC);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 300 & 0xff);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_MID), 300 >> 8);
    assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_ERR);
    assert_read(RAM, 10 * 512, 290 * 512);
    assert_int_equal(rig.fake.ram[RAM + 290 * 512], 0);
}

static void the_registers_read_back(void **state)
{
    rig_out8(&rig, rig.bmdma + 0, 0xfe);
    assert_int_equal(rig_in8(&rig, rig.bmdma + 0), BMICOM_READ);
    rig_out8(&rig, rig.bmdma + 2, 0xff);
    assert_int_equal(rig_in8(&rig, rig.bmdma + 2), 0x60);
    rig_out8(&rig, rig.bmdma + 2, 0);
    assert_int_equal(rig_in8(&rig, rig.bmdma + 2), 0);
    for (unsigned i = 0; i < 4; i++)
        rig_out8(&rig, (uint16_t)(rig.bmdma + 12 + i), (uint8_t)(0x11 * (i + 1)));
    assert_int_equal(bus_read(rig.bus, BUS_PORT, rig.bmdma + 12, 4), 0x44332210);
    assert_int_equal(bus_read(rig.bus, BUS_PORT, rig.bmdma + 8, 4), 0);
}

static void a_transfer_survives_migration_at_each_request(void **state)
{
    for (unsigned i = 0; i < 500; i++)
        rig_prd(&rig, TABLE, i, RAM + 2096 * i, 2096, i == 499);
    rig_dma_setup(&rig, 0, TABLE, true);
    rig_command_ext(&rig, 0, 0x25, 21, 2046); /* 500 * 2096 = 2046.875 * 512 */
    rig_dma_start(&rig, 0, true);
    unsigned moves = 0;
    while (rig_status(&rig, 0) & ATA_SR_BSY) {
        size_t size, again;
        while (!rig.dev->ops->quiesce(rig.dev))
            assert_true(fake_loop_turn(rig.loop, 0));
        uint8_t *saved = ide_rig_save(&rig, &size);
        assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
        uint8_t *copy = ide_rig_save(&rig, &again);
        assert_int_equal(size, again);
        assert_memory_equal(saved, copy, size);
        free(saved);
        free(copy);
        rig.dev->ops->resume(rig.dev);
        moves++;
    }
    assert_true(moves >= 8);
    assert_over(BMISTA_INTR | BMISTA_ACTIVE);
    assert_read(RAM, 21 * 512, 2046 * 512);
    assert_int_equal(rig.fake.ram[RAM + 2046 * 512], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_table_as_long_as_the_transfer),
        TEST(a_write_takes_memory_as_the_table_says),
        TEST(started_before_the_command_it_works_too),
        TEST(a_count_of_zero_is_64_kib),
        TEST(crumbs_of_every_even_size),
        TEST(two_byte_descriptors_throughout),
        TEST(odd_bits_are_masked),
        TEST(a_table_wraps_within_64_kib),
        TEST(a_descriptor_may_straddle_a_page),
        TEST(the_table_alone_is_read),
        TEST(a_longer_table_stays_active),
        TEST(a_shorter_table_leaves_the_drive_waiting),
        TEST(a_shorter_table_of_a_write_writes_whole_sectors),
        TEST(long_transfers_go_in_several_requests),
        cmocka_unit_test_setup_teardown(the_longest_transfer_is_32_mib, big_setup, teardown),
        TEST(memory_that_is_not_there_reads_as_ones),
        TEST(a_read_to_memory_out_of_reach_fails),
        TEST(a_write_from_memory_out_of_reach_writes_nothing),
        TEST(a_table_out_of_reach_fails_the_transfer),
        TEST(crumbs_move_a_sector_at_a_time),
        TEST(a_device_that_rests_can_be_taken_away),
        TEST(without_bus_mastering_nothing_moves),
        TEST(when_bus_mastering_ends_nothing_lands_later),
        TEST(stopped_in_mid_transfer_nothing_lands_later),
        TEST(selecting_the_other_drive_does_not_disturb),
        TEST(the_bus_master_serves_one_drive_at_a_time),
        TEST(the_channels_are_independent),
        TEST(an_error_ends_the_transfer),
        TEST(the_registers_read_back),
        TEST(a_transfer_survives_migration_at_each_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
