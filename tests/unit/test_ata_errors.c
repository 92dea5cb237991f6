/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest sees of a disk that fails, and a drive whose guest is stopped instead. */
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
static unsigned stops;
static struct blk_stop last_stop;

static int setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {8192, 4096}});
    stops = 0;
    return 0;
}

static int write_through(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {8192}, .write_through = true});
    stops = 0;
    return 0;
}

static int teardown(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

static void on_stopped(void *arg, const struct blk_stop *stop)
{
    stops++;
    last_stop = *stop;
}

static void set_policies(enum blk_policy read, enum blk_policy write)
{
    struct blk_policies policies = {.read = read, .write = write, .stopped = on_stopped};

    blk_set_policies(rig.spec.drive[0].blk, &policies);
}

static void fail_sectors(uint64_t first, uint64_t last, int error)
{
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = error, .first = first, .last = last});
}

static void mend(void)
{
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
}

static void restart(void)
{
    blk_restart(rig.spec.drive[0].blk);
    ide_rig_settle(&rig);
}

static void assert_disk_bytes(const uint8_t *bytes, uint64_t lba, uint32_t sectors)
{
    for (uint32_t i = 0; i < sectors * 512; i++)
        assert_int_equal(bytes[i], ide_rig_byte(0, lba * 512 + i));
}

/* The registers in 48-bit form. */
static uint64_t lba_of_registers(void)
{
    uint64_t lba = 0;

    for (unsigned i = 0; i < 2; i++) {
        rig_out8(&rig, rig.control[0], i ? 0 : ATA_DC_HOB);
        for (unsigned reg = ATA_REG_LBA_HIGH; reg >= ATA_REG_LBA_LOW; reg--)
            lba = lba << 8 | rig_reg(&rig, 0, reg);
    }
    /* HOB gave the high bytes first, both from high to low. */
    return lba;
}

static void assert_failed(uint8_t error, uint64_t lba)
{
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_ERR);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), error);
    assert_int_equal(lba_of_registers(), lba);
    assert_true(rig_irq(&rig, 0));
    assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_ERR);
    assert_false(rig_irq(&rig, 0));
}

static void assert_completed(void)
{
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_true(rig_irq(&rig, 0));
    rig_ack(&rig, 0);
}

static void assert_waits(void)
{
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_false(rig_irq(&rig, 0));
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->in_flight, 0);
}

/* A table for 64 KiB at each of four places. */
static void start_dma(bool to_memory, uint64_t lba, uint32_t count)
{
    for (unsigned i = 0; i < 4; i++)
        rig_prd(&rig, TABLE, i, RAM + 0x10000 * i, 0, i == 3);
    rig_dma_setup(&rig, 0, TABLE, to_memory);
    rig_command_ext(&rig, 0, to_memory ? 0x25 : 0x35, lba, count);
    rig_dma_start(&rig, 0, to_memory);
    ide_rig_settle(&rig);
}

/* Reads by words while there is DRQ; returns the sectors. */
static uint32_t drain(uint8_t *data, uint32_t sectors)
{
    uint32_t at = 0;

    ide_rig_settle(&rig);
    while (rig_status(&rig, 0) == (READY | ATA_SR_DRQ) && at < sectors) {
        bus_port_read_block(rig.bus, rig.command[0], 2, data + at++ * 512, 256);
        ide_rig_settle(&rig);
    }
    return at;
}

static void a_pio_read_ends_at_its_bad_sector(void **state)
{
    static uint8_t data[500 * 512];

    fail_sectors(400, 402, -EIO);
    rig_command_ext(&rig, 0, 0x24, 100, 500);
    assert_int_equal(drain(data, 500), 300);
    assert_disk_bytes(data, 100, 300);
    assert_string_equal(fake_host_last_log(&rig.fake),
                        "ide0: event=disk-error unit=0 op=read sector=400 request=356+64 error=5");
    assert_failed(ATA_ER_UNC, 400);
    assert_int_equal(rig_counter(&rig, "errors"), 1);

    rig_command(&rig, 0, 0x20, 1, 1); /* and life goes on */
    assert_int_equal(drain(data, 1), 1);
    assert_disk_bytes(data, 1, 1);
    assert_int_equal(rig_status(&rig, 0), READY);
}

static void a_multiple_read_ends_with_the_block_before_its_bad_sector(void **state)
{
    static uint8_t data[64 * 512];

    fail_sectors(37, 37, -EIO);
    rig_command_ext(&rig, 0, 0x29, 10, 64); /* blocks of 16: [10, 26), [26, 42) with it */
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
    bus_port_read_block(rig.bus, rig.command[0], 2, data, 16 * 256);
    assert_disk_bytes(data, 10, 16);
    assert_failed(ATA_ER_UNC, 37);

    rig_command_ext(&rig, 0, 0x29, 30, 16);
    ide_rig_settle(&rig);
    assert_failed(ATA_ER_UNC, 37);
}

static void a_dma_read_delivers_what_is_before_its_bad_sector(void **state)
{
    fail_sectors(300, 300, -EIO);
    start_dma(true, 10, 400);
    assert_int_equal(rig_dma_status(&rig, 0), BMISTA_INTR | BMISTA_ACTIVE);
    assert_failed(ATA_ER_UNC, 300);
    assert_disk_bytes(rig.fake.ram + RAM, 10, 290);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(rig.fake.ram[RAM + 290 * 512 + i], 0);
    assert_int_equal(rig_counter(&rig, "dma_bytes"), 290 * 512);
}

static void a_dma_write_stores_what_is_before_its_bad_sector(void **state)
{
    memset(rig.fake.ram + RAM, 0xa7, 0x40000);
    fail_sectors(300, 8191, -EIO);
    start_dma(false, 10, 400);
    assert_failed(ATA_ER_ABRT, 300);
    for (unsigned i = 0; i < 290 * 512; i++)
        assert_int_equal(rig.disk[0][10 * 512 + i], 0xa7);
    assert_disk_bytes(rig.disk[0] + 300 * 512, 300, 120);
    assert_disk_bytes(rig.disk[0], 0, 10);
}

static void a_pio_write_names_its_bad_sector(void **state)
{
    static uint8_t data[20 * 512];

    memset(data, 0xa7, sizeof(data));
    fail_sectors(77, 77, -ENOSPC);
    rig_command(&rig, 0, 0x30, 70, 20);
    rig_write_data(&rig, 0, data, sizeof(data));
    ide_rig_settle(&rig);
    assert_int_equal(rig.disk[0][77 * 512 - 1], 0xa7);
    assert_disk_bytes(rig.disk[0] + 77 * 512, 77, 20);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 77);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_ABRT);
    rig_ack(&rig, 0);

    rig_command_chs(&rig, 0, 0x30, 0, 1, 10, 8); /* 63 + 9 .. */
    rig_write_data(&rig, 0, data, 8 * 512);
    ide_rig_settle(&rig);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_LOW), 15); /* 63 + 14 */
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_MID), 0);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_DEVICE) & ATA_DEVICE_HEAD, 1);
}

static void errors_that_are_not_the_mediums_abort(void **state)
{
    static const struct {
        int error;
        uint8_t bits;
    } cases[] = {{-EIO, ATA_ER_UNC},     {-ENODATA, ATA_ER_UNC}, {-EILSEQ, ATA_ER_UNC},
                 {-ENODEV, ATA_ER_ABRT}, {-ENXIO, ATA_ER_ABRT},  {-ENOMEM, ATA_ER_ABRT}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fail_sectors(0, UINT64_MAX, cases[i].error);
        rig_command_ext(&rig, 0, 0x24, 5, 100);
        ide_rig_settle(&rig);
        assert_failed(cases[i].bits, 5);
        start_dma(true, 6, 100);
        assert_failed(cases[i].bits, 6);
        rig_dma_stop(&rig, 0);
        rig_command_ext(&rig, 0, 0x42, 7, 100);
        ide_rig_settle(&rig);
        assert_failed(cases[i].bits, 7);
    }
}

/* Stopped. */

static void a_stopped_dma_write_goes_on_where_it_was(void **state)
{
    set_policies(BLK_REPORT, BLK_STOP_ENOSPC);
    for (unsigned i = 0; i < 0x40000; i++)
        rig.fake.ram[RAM + i] = (uint8_t)(i * 5 + (i >> 8));
    fail_sectors(300, 8191, -ENOSPC);
    start_dma(false, 10, 400);
    assert_waits();
    assert_int_equal(stops, 1);
    assert_int_equal(last_stop.op, BLK_WRITE);
    assert_int_equal(last_stop.sector, 300);
    assert_int_equal(last_stop.error, -ENOSPC);
    assert_int_equal(rig_counter(&rig, "errors"), 0);

    restart(); /* in vain */
    assert_waits();
    assert_int_equal(stops, 2);
    mend();
    restart();
    assert_int_equal(stops, 2);
    assert_int_equal(rig_dma_status(&rig, 0) & BMISTA_INTR, BMISTA_INTR);
    assert_completed();
    assert_memory_equal(rig.disk[0] + 10 * 512, rig.fake.ram + RAM, 400 * 512);
    assert_disk_bytes(rig.disk[0] + 410 * 512, 410, 10);
}

static void a_stopped_dma_read_goes_on_where_it_was(void **state)
{
    set_policies(BLK_STOP, BLK_STOP);
    fail_sectors(123, 123, -EIO);
    start_dma(true, 10, 400);
    assert_waits();
    mend();
    restart();
    assert_completed();
    assert_disk_bytes(rig.fake.ram + RAM, 10, 400);
}

static void stopped_pio_goes_on_where_it_was(void **state)
{
    static uint8_t data[100 * 512];

    set_policies(BLK_STOP, BLK_STOP);
    fail_sectors(50, 50, -EIO);
    rig_command_ext(&rig, 0, 0x24, 10, 100);
    assert_int_equal(drain(data, 100), 0);
    assert_waits();
    mend();
    restart();
    assert_int_equal(drain(data, 100), 100);
    assert_disk_bytes(data, 10, 100);

    memset(data, 0x3c, sizeof(data));
    fail_sectors(220, 220, -EIO);
    rig_command_ext(&rig, 0, 0x39, 200, 100);
    for (unsigned at = 0; at < 64; at += 16)
        rig_write_data(&rig, 0, data, 16 * 512);
    rig_ack(&rig, 0); /* the last block's */
    ide_rig_settle(&rig);
    assert_waits();
    mend();
    restart();
    for (unsigned at = 64; at < 100; at += at < 96 ? 16 : 4) {
        assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
        rig_ack(&rig, 0);
        rig_write_data(&rig, 0, data, (at < 96 ? 16 : 4) * 512);
        ide_rig_settle(&rig);
    }
    assert_completed();
    assert_memory_equal(rig.disk[0] + 200 * 512, data, sizeof(data));
}

static void a_stopped_verify_or_flush_goes_on(void **state)
{
    set_policies(BLK_STOP, BLK_STOP);
    fail_sectors(0, UINT64_MAX, -EIO);
    rig_command(&rig, 0, 0xe7, 0, 0);
    ide_rig_settle(&rig);
    assert_waits();
    assert_int_equal(last_stop.op, BLK_FLUSH);
    mend();
    restart();
    assert_completed();

    fail_sectors(700, 700, -EIO);
    rig_command_ext(&rig, 0, 0x42, 100, 1000);
    ide_rig_settle(&rig);
    assert_waits();
    assert_int_equal(last_stop.sector, 700);
    mend();
    restart();
    assert_completed();
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->read_bytes, 1000 * 512);
}

static void a_stopped_write_is_flushed_at_its_end(void **state)
{
    static uint8_t data[512];

    rig_command(&rig, 0, 0xef, 0, 0); /* no such feature: the cache is off already */
    rig_ack(&rig, 0);
    set_policies(BLK_STOP, BLK_STOP);
    fail_sectors(9, 9, -EIO);
    rig_command(&rig, 0, 0x30, 9, 1);
    rig_write_data(&rig, 0, data, 512);
    ide_rig_settle(&rig);
    assert_waits();
    mend();
    restart();
    assert_completed();
    assert_memory_equal(rig.disk[0] + 9 * 512, data, 512);
}

/* Another drive's disk is well, but the guest is stopped; it is the vm that holds its requests. */
static void one_disk_that_is_stopped_does_not_stop_the_other(void **state)
{
    static uint8_t data[512];

    set_policies(BLK_STOP, BLK_STOP);
    fail_sectors(0, 8191, -EIO);
    rig_command(&rig, 0, 0x20, 3, 1);
    ide_rig_settle(&rig);
    assert_waits();
    rig_command(&rig, 1, 0x20, 3, 1);
    rig_read_data(&rig, 1, data, 512);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(data[i], ide_rig_byte(1, 3 * 512 + i));
    rig_select(&rig, 0);
    assert_waits();
}

static void a_stopped_command_survives_migration(void **state)
{
    static uint8_t data[64 * 512];
    size_t size;

    for (unsigned i = 0; i < 0x40000; i++)
        rig.fake.ram[RAM + i] = (uint8_t)(i * 3 + (i >> 8));
    for (unsigned pio = 0; pio < 2; pio++) {
        set_policies(BLK_STOP, BLK_STOP);
        fail_sectors(1030, 1030, -EIO);
        if (pio) {
            memset(data, 0x99, sizeof(data));
            rig_command_ext(&rig, 0, 0x34, 1000, 64);
            for (unsigned i = 0; i < 64; i++)
                rig_write_data(&rig, 0, data + i * 512, 512);
            rig_ack(&rig, 0); /* the last block's */
            ide_rig_settle(&rig);
        } else {
            start_dma(false, 1000, 64);
        }
        assert_waits();
        assert_true(rig.dev->ops->quiesce(rig.dev));
        uint8_t *saved = ide_rig_save(&rig, &size);
        blk_restart(rig.spec.drive[0].blk); /* elsewhere it is not stopped */
        mend();
        assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
        free(saved);
        rig.dev->ops->resume(rig.dev);
        ide_rig_settle(&rig);
        assert_completed();
        assert_memory_equal(rig.disk[0] + 1000 * 512, pio ? data : rig.fake.ram + RAM, 64 * 512);
        rig_dma_stop(&rig, 0);
    }
}

static void a_reset_ends_what_is_stopped(void **state)
{
    for (unsigned how = 0; how < 3; how++) {
        set_policies(BLK_STOP, BLK_STOP);
        fail_sectors(300, 300, -EIO);
        memset(rig.fake.ram + RAM, 0x42, 0x40000);
        start_dma(false, 290, 20);
        assert_waits();
        if (how == 0) {
            rig_srst(&rig, 0);
        } else if (how == 1) {
            rig.dev->ops->reset(rig.dev);
            ide_rig_program(&rig);
        } else {
            rig_dma_stop(&rig, 0);
            rig_srst(&rig, 0);
        }
        mend();
        restart();
        assert_int_equal(rig_status(&rig, 0), READY);
        assert_false(rig_irq(&rig, 0));
        assert_disk_bytes(rig.disk[0] + 300 * 512, 300, 10); /* nothing came late */
        assert_disk_bytes(rig.disk[0], 0, 1);
        assert_int_equal(rig.disk[0][290 * 512], 0x42);
    }
}

static void an_unplugged_disk_is_flushed_after_a_stop(void **state)
{
    set_policies(BLK_REPORT, BLK_STOP);
    fail_sectors(0, UINT64_MAX, -ENOSPC);
    piix3_ide_unplug_disks(rig.dev);
    ide_rig_settle(&rig);
    assert_int_equal(stops, 1);
    assert_int_equal(last_stop.op, BLK_FLUSH);
    assert_false(rig.dev->ops->quiesce(rig.dev));
    assert_int_equal(rig.fake.disks_left, 2); /* the other */
    mend();
    restart();
    assert_true(rig.dev->ops->quiesce(rig.dev));
    assert_int_equal(rig.fake.disks_left, 3);
    rig.dev->ops->resume(rig.dev);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pio_read_ends_at_its_bad_sector),
        TEST(a_multiple_read_ends_with_the_block_before_its_bad_sector),
        TEST(a_dma_read_delivers_what_is_before_its_bad_sector),
        TEST(a_dma_write_stores_what_is_before_its_bad_sector),
        TEST(a_pio_write_names_its_bad_sector),
        TEST(errors_that_are_not_the_mediums_abort),
        TEST(a_stopped_dma_write_goes_on_where_it_was),
        TEST(a_stopped_dma_read_goes_on_where_it_was),
        TEST(stopped_pio_goes_on_where_it_was),
        TEST(a_stopped_verify_or_flush_goes_on),
        cmocka_unit_test_setup_teardown(a_stopped_write_is_flushed_at_its_end, write_through,
                                        teardown),
        TEST(one_disk_that_is_stopped_does_not_stop_the_other),
        TEST(a_stopped_command_survives_migration),
        TEST(a_reset_ends_what_is_stopped),
        TEST(an_unplugged_disk_is_flushed_after_a_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
