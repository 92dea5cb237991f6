/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DATA SET MANAGEMENT: what is discarded, what is refused, what a reset or a migration leaves. */
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
#define LIST  0x8000u
#define TOTAL 8192u

static struct ide_rig rig;

static int setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {TOTAL, 4096}});
    return 0;
}

static int huge_disk(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {70000}});
    return 0;
}

static int finish(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

static const struct blk_counters *counters(void)
{
    return blk_counters(rig.spec.drive[0].blk);
}

static void put_range(unsigned index, uint64_t lba, uint32_t sectors)
{
    uint8_t *entry = rig.fake.ram + LIST + 8 * index;

    for (unsigned i = 0; i < 6; i++)
        entry[i] = (uint8_t)(lba >> (8 * i));
    entry[6] = (uint8_t)sectors;
    entry[7] = (uint8_t)(sectors >> 8);
}

static void prepare(uint32_t bytes)
{
    rig_prd(&rig, TABLE, 0, LIST, bytes, true);
    rig_dma_setup(&rig, 0, TABLE, false);
    rig_features(&rig, 0, 1);
}

/* The command and its list, of so many sectors. */
static void trim(uint32_t sectors)
{
    prepare(sectors * 512);
    rig_command_ext(&rig, 0, 0x06, 0, sectors);
    rig_dma_start(&rig, 0, false);
}

static void assert_done(void)
{
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_true(rig_irq(&rig, 0));
    rig_ack(&rig, 0);
    rig_dma_stop(&rig, 0);
}

static void assert_aborted(void)
{
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_ERR);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_ABRT);
    assert_true(rig_irq(&rig, 0));
    rig_ack(&rig, 0);
    rig_dma_stop(&rig, 0);
}

static bool is_zero(uint64_t lba)
{
    for (unsigned i = 0; i < 512; i++) {
        if (rig.disk[0][lba * 512 + i])
            return false;
    }
    return true;
}

static bool is_old(uint64_t lba)
{
    for (unsigned i = 0; i < 512; i++) {
        if (rig.disk[0][lba * 512 + i] != ide_rig_byte(0, lba * 512 + i))
            return false;
    }
    return true;
}

static void the_listed_ranges_are_discarded_and_nothing_else(void **state)
{
    put_range(0, 100, 8);
    put_range(2, TOTAL - 3, 3); /* an empty entry before it */
    put_range(63, 2000, 1);
    trim(1);
    assert_done();
    assert_int_equal(counters()->discards, 3);
    assert_int_equal(counters()->discarded_bytes, 12 * 512);
    for (uint64_t lba = 0; lba < TOTAL; lba++) {
        bool listed = (lba >= 100 && lba < 108) || lba >= TOTAL - 3 || lba == 2000;
        assert_true(listed ? is_zero(lba) : is_old(lba));
    }
    assert_int_equal(rig.fake.ram[LIST], 100); /* the list is only read */
}

static void a_list_of_several_sectors_is_taken(void **state)
{
    for (unsigned i = 0; i < 64 * ATA_DATA_SECTORS; i++)
        put_range(i, 2 * i, 1);
    trim(ATA_DATA_SECTORS);
    assert_done();
    assert_int_equal(counters()->discards, 64 * ATA_DATA_SECTORS);
    for (uint64_t lba = 0; lba < 2 * 64 * ATA_DATA_SECTORS; lba++)
        assert_true(lba % 2 ? is_old(lba) : is_zero(lba));
}

static void the_longest_range_is_one_discard(void **state)
{
    put_range(0, 70000 - 65535, 65535);
    trim(1);
    assert_done();
    assert_int_equal(counters()->discards, 1);
    assert_int_equal(counters()->discarded_bytes, 65535u * 512);
}

static void an_empty_list_is_well(void **state)
{
    put_range(5, UINT64_MAX, 0); /* no length: the address does not matter */
    trim(2);
    assert_done();
    assert_int_equal(counters()->discards, 0);
}

/* ACS-2 7.5: one bad range, and the command is aborted; here before any is discarded. */
static void a_range_outside_the_disk_aborts_the_whole(void **state)
{
    static const struct {
        uint64_t lba;
        uint32_t sectors;
    } bad[] = {{TOTAL, 1}, {TOTAL - 1, 2}, {0xffffffffffff, 65535}, {1, TOTAL}, {0x1000000000, 1}};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(rig.fake.ram + LIST, 0, 4096);
        put_range(0, 10, 10);
        put_range(127, bad[i].lba, bad[i].sectors);
        trim(2);
        assert_aborted();
        assert_int_equal(counters()->discards, 0);
        assert_true(is_old(10));
    }
}

static void counts_that_identify_does_not_offer_are_aborted(void **state)
{
    put_range(0, 10, 10);
    trim(0);
    assert_aborted();
    trim(ATA_DATA_SECTORS + 1);
    assert_aborted();
    trim(0x100); /* 256, not 0 */
    assert_aborted();
    prepare(512);
    rig_features(&rig, 0, 0); /* not TRIM */
    rig_command_ext(&rig, 0, 0x06, 0, 1);
    rig_dma_start(&rig, 0, false);
    assert_aborted();
    assert_int_equal(counters()->discards, 0);
}

static void the_list_may_come_in_crumbs(void **state)
{
    put_range(0, 100, 8);
    put_range(63, 200, 8);
    for (unsigned i = 0; i < 256; i++)
        rig_prd(&rig, TABLE, i, LIST + 2 * i, 2, i == 255);
    rig_dma_setup(&rig, 0, TABLE, false);
    rig_features(&rig, 0, 1);
    rig_dma_start(&rig, 0, false); /* before the command is */
    rig_command_ext(&rig, 0, 0x06, 0, 1);
    assert_done();
    assert_true(is_zero(100) && is_zero(207) && is_old(99) && is_old(208));
    assert_int_equal(rig_dma_status(&rig, 0) & BMISTA_ACTIVE, 0);
}

static void a_short_table_leaves_the_drive_waiting(void **state)
{
    put_range(0, 100, 8);
    rig_prd(&rig, TABLE, 0, LIST, 510, true);
    rig_dma_setup(&rig, 0, TABLE, false);
    rig_features(&rig, 0, 1);
    rig_command_ext(&rig, 0, 0x06, 0, 1);
    rig_dma_start(&rig, 0, false);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_int_equal(counters()->discards, 0);
    rig_srst(&rig, 0);
    assert_int_equal(rig_status(&rig, 0), READY);
    ide_rig_settle(&rig);
    assert_true(is_old(100));
}

/* As CVE-2023-5088 has it for writes: what a reset cuts off lands where it was sent or nowhere. */
static void a_reset_stops_it_between_ranges_and_nothing_overtakes_it(void **state)
{
    uint8_t data[512];

    memset(data, 0x5a, sizeof(data));
    put_range(0, 100, 8);
    put_range(1, 200, 8);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    trim(1);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    rig_srst(&rig, 0);
    /* A write to what is being discarded waits for it. */
    rig_command(&rig, 0, 0x30, 100, 1);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    mem_release(rig.image[0]);
    ide_rig_settle(&rig);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    rig_write_data(&rig, 0, data, 512);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_memory_equal(rig.disk[0] + 100 * 512, data, 512);
    assert_true(is_zero(101));
    assert_true(is_old(200)); /* never sent */
    assert_int_equal(counters()->cancelled, 1);
}

static void it_is_busy_until_the_disk_is_done(void **state)
{
    put_range(0, 0, 1);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    trim(1);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    assert_false(rig_irq(&rig, 0));
    rig_dma_stop(&rig, 0);                  /* the list is here: nothing is lost */
    memset(rig.fake.ram + LIST, 0xff, 512); /* nor gained by changing it */
    mem_release(rig.image[0]);
    assert_done();
    assert_true(is_zero(0) && is_old(1));
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
}

static void a_discard_that_fails_aborts(void **state)
{
    put_range(0, 100, 8);
    put_range(1, 300, 8);
    put_range(2, 500, 8);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .first = 301, .last = 301});
    trim(1);
    assert_aborted();
    assert_true(is_zero(100) && is_old(300) && is_old(500));
}

static unsigned stops;

static void on_stopped(void *arg, const struct blk_stop *stop)
{
    assert_int_equal(stop->op, BLK_DISCARD);
    assert_int_equal(stop->sector, 300);
    stops++;
}

static void a_stopped_guest_goes_on_with_the_range_that_failed(void **state)
{
    struct blk_policies policies = {.write = BLK_STOP_ENOSPC, .stopped = on_stopped};

    stops = 0;
    blk_set_policies(rig.spec.drive[0].blk, &policies);
    put_range(0, 100, 8);
    put_range(1, 300, 8);
    put_range(2, 500, 8);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -ENOSPC, .first = 301, .last = 301});
    trim(1);
    ide_rig_settle(&rig);
    assert_int_equal(stops, 1);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    assert_true(is_old(300));
    blk_restart(rig.spec.drive[0].blk);
    assert_done();
    assert_true(is_zero(100) && is_zero(300) && is_zero(507) && is_old(508));
}

static void migrate(void)
{
    size_t size;

    while (!rig.dev->ops->quiesce(rig.dev))
        fake_loop_turn(rig.loop, 0);
    uint8_t *state = ide_rig_save(&rig, &size);
    assert_int_equal(ide_rig_migrate(&rig, state, size), 0);
    free(state);
    rig.dev->ops->resume(rig.dev);
}

static void it_survives_migration_between_any_two_ranges(void **state)
{
    for (unsigned turns = 0; turns < 8; turns++) {
        memset(rig.fake.ram + LIST, 0, 4096);
        for (unsigned i = 0; i < 6; i++)
            put_range(20 * i, 1000 + 100 * turns + 10 * i, 3);
        trim(2);
        for (unsigned i = 0; i < turns; i++)
            fake_loop_turn(rig.loop, 0);
        memset(rig.fake.ram + LIST, 0xee, 4096);
        migrate();
        assert_done();
        for (unsigned i = 0; i < 6; i++) {
            uint64_t lba = 1000 + 100 * turns + 10 * i;
            assert_true(is_zero(lba) && is_zero(lba + 2) && is_old(lba + 3) && is_old(lba - 1));
        }
    }
}

static void it_survives_migration_within_its_list(void **state)
{
    put_range(0, 100, 8);
    put_range(63, 200, 8);
    rig_prd(&rig, TABLE, 0, LIST, 100, false);
    rig_prd(&rig, TABLE, 1, LIST + 100, 412, true);
    rig_dma_setup(&rig, 0, TABLE, false);
    rig_features(&rig, 0, 1);
    rig_command_ext(&rig, 0, 0x06, 0, 1);
    migrate(); /* waiting for the bus master */
    rig_dma_start(&rig, 0, false);
    assert_done();
    assert_true(is_zero(100) && is_zero(207));
}

/* A state is input like any other. */
static void a_hostile_state_cannot_name_ranges_outside_the_disk(void **state)
{
    uint8_t *saved;
    size_t size;

    put_range(0, 4000, 8);
    put_range(1, 4100, 8);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    trim(1);
    ide_rig_settle(&rig);
    rig.dev->ops->quiesce(rig.dev);
    mem_release(rig.image[0]);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    saved = ide_rig_save(&rig, &size);
    /* The second range, 4100 = 1004h, 8 sectors, is in there; make it end behind the disk. */
    static const uint8_t second[8] = {0x04, 0x10, 0, 0, 0, 0, 8, 0};
    bool found = false;
    for (size_t i = 0; i + 8 <= size && !found; i++) {
        found = !memcmp(saved + i, second, 8);
        if (found)
            saved[i + 2] = 1;
    }
    assert_true(found);
    assert_int_equal(ide_rig_migrate(&rig, saved, size), -EBADMSG);
    free(saved);
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, finish)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_listed_ranges_are_discarded_and_nothing_else, setup),
        T(a_list_of_several_sectors_is_taken, setup),
        T(the_longest_range_is_one_discard, huge_disk),
        T(an_empty_list_is_well, setup),
        T(a_range_outside_the_disk_aborts_the_whole, setup),
        T(counts_that_identify_does_not_offer_are_aborted, setup),
        T(the_list_may_come_in_crumbs, setup),
        T(a_short_table_leaves_the_drive_waiting, setup),
        T(a_reset_stops_it_between_ranges_and_nothing_overtakes_it, setup),
        T(it_is_busy_until_the_disk_is_done, setup),
        T(a_discard_that_fails_aborts, setup),
        T(a_stopped_guest_goes_on_with_the_range_that_failed, setup),
        T(it_survives_migration_between_any_two_ranges, setup),
        T(it_survives_migration_within_its_list, setup),
        T(a_hostile_state_cannot_name_ranges_outside_the_disk, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
