/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMART and the logs, by the layouts that ATA8-ACS has for them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ide_rig.h"

#define READY  (ATA_SR_DRDY | ATA_SR_DSC)
#define TABLE  0x1000u
#define TOTAL  8192u
#define SECOND 1000000000ull

static struct ide_rig rig;
static uint8_t page[512];

static int setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {TOTAL, 4096}});
    return 0;
}

static int finish(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

static uint32_t get(unsigned offset, unsigned size)
{
    uint32_t value = 0;

    while (size--)
        value = value << 8 | page[offset + size];
    return value;
}

static void assert_completed(void)
{
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), READY);
    assert_true(rig_irq(&rig, 0));
    rig_ack(&rig, 0);
}

static void assert_aborted(void)
{
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_ERR);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_ERROR), ATA_ER_ABRT);
    assert_true(rig_irq(&rig, 0));
    rig_ack(&rig, 0);
}

static void take_page(void)
{
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
    assert_true(rig_irq(&rig, 0));
    rig_ack(&rig, 0);
    rig_read_data(&rig, 0, page, 512);
    assert_int_equal(rig_status(&rig, 0), READY);
}

static void assert_sum(void)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + page[i]);
    assert_int_equal(sum, 0);
}

static void smart_data(void)
{
    rig_smart(&rig, 0, 0xd0, 0, 0);
    take_page();
    assert_sum();
}

static void smart_log(uint8_t address)
{
    rig_smart(&rig, 0, 0xd5, address, 1);
    take_page();
}

static void log_ext(uint8_t address)
{
    rig_command_ext(&rig, 0, 0x2f, address, 1);
    take_page();
}

/* The raw value of an attribute; its normalized one in *ret_value. */
static uint32_t attribute(uint8_t id, uint8_t *ret_value)
{
    for (unsigned at = 2; at < 362; at += 12) {
        if (page[at] != id)
            continue;
        if (ret_value)
            *ret_value = page[at + 3];
        return get(at + 5, 4);
    }
    fail_msg("no attribute %u", id);
    return 0;
}

static void assert_health(bool good)
{
    rig_smart(&rig, 0, 0xda, 0, 0);
    assert_completed();
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_MID), good ? 0x4f : 0xf4);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_HIGH), good ? 0xc2 : 0x2c);
}

static void fail_at(uint64_t lba)
{
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .first = lba, .last = lba});
    rig_command_ext(&rig, 0, 0x24, lba, 1);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_ERR);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
}

/* The clock, with what the drive does meanwhile. */
static void pass(uint64_t ns)
{
    for (uint64_t done = 0; done < ns; done += 5000000) {
        fake_host_advance(&rig.fake, 5000000);
        ide_rig_settle(&rig);
    }
}

static void start_test(uint8_t what)
{
    rig_smart(&rig, 0, 0xd4, what, 0);
    assert_completed();
}

static uint8_t test_status(void)
{
    smart_data();
    return page[363];
}

static void the_key_is_needed(void **state)
{
    rig_features(&rig, 0, 0xd0);
    rig_command(&rig, 0, 0xb0, 0xc24e00, 1);
    assert_aborted();
    rig_features(&rig, 0, 0xd0);
    rig_command(&rig, 0, 0xb0, 0xc34f00, 1);
    assert_aborted();
    rig_smart(&rig, 0, 0xdf, 0, 1); /* no such subcommand */
    assert_aborted();
    rig_smart(&rig, 0, 0xdb, 0, 1); /* automatic off-line collection is not offered */
    assert_aborted();
}

static void data_has_attributes_and_capabilities(void **state)
{
    uint8_t value;

    smart_data();
    assert_int_equal(get(368, 2), 3);
    assert_int_equal(page[367] & 0x11, 0x11); /* off-line immediate, self-tests */
    assert_int_equal(page[370] & 1, 1);       /* error log */
    assert_in_range(page[372], 1, 2);
    assert_int_equal(page[363], 0); /* no test yet */
    assert_int_equal(page[362], 0);
    for (unsigned at = 2; at < 362 && page[at]; at += 12)
        assert_int_equal(page[at + 3], 100);
    assert_int_equal(attribute(9, &value), 0);
    assert_int_equal(attribute(12, NULL), 1);
    assert_int_equal(attribute(187, NULL), 0);
}

static void attributes_count_what_happened(void **state)
{
    static uint8_t data[20 * 512];
    uint8_t value;

    rig_command(&rig, 0, 0x20, 5, 7);
    rig_read_data(&rig, 0, data, 7 * 512);
    rig_command(&rig, 0, 0x30, 50, 20);
    rig_write_data(&rig, 0, data, sizeof(data));
    ide_rig_settle(&rig);
    fail_at(3);
    fake_host_advance(&rig.fake, 5 * 3600 * SECOND);
    smart_data();
    assert_int_equal(attribute(242, NULL), 7);
    assert_int_equal(attribute(241, NULL), 20);
    assert_int_equal(attribute(9, NULL), 5);
    assert_int_equal(attribute(1, NULL), 1);
    assert_int_equal(attribute(187, &value), 1);
    assert_int_equal(value, 99);
    rig_srst(&rig, 0);
    rig.dev->ops->reset(rig.dev);
    ide_rig_program(&rig);
    smart_data(); /* what it has lived through, a reset does not undo */
    assert_int_equal(attribute(241, NULL), 20);
    assert_int_equal(attribute(9, NULL), 5);
}

static void thresholds_are_of_the_same_attributes(void **state)
{
    uint8_t ids[30];
    unsigned n = 0;

    smart_data();
    for (unsigned at = 2; at < 362 && page[at]; at += 12)
        ids[n++] = page[at];
    assert_true(n >= 5);
    rig_smart(&rig, 0, 0xd1, 0, 0);
    take_page();
    assert_sum();
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(page[2 + 12 * i], ids[i]);
        assert_true(page[3 + 12 * i] < 100);
    }
}

/* 89 errors are borne; then the drive says that it is failing. */
static void return_status_tells_of_a_failing_disk(void **state)
{
    assert_health(true);
    for (unsigned i = 0; i < 89; i++)
        fail_at(i);
    assert_health(true);
    fail_at(89);
    assert_health(false);
    for (unsigned i = 0; i < 200; i++)
        fail_at(i);
    assert_health(false);
    smart_data();
    uint8_t value;
    assert_int_equal(attribute(187, &value), 290);
    assert_int_equal(value, 1);
}

static void autosave_is_a_setting(void **state)
{
    rig_smart(&rig, 0, 0xd2, 0, 0);
    assert_completed();
    rig_smart(&rig, 0, 0xd2, 0, 0xf1);
    assert_completed();
    rig_smart(&rig, 0, 0xd2, 0, 0x55);
    assert_aborted();
    rig_smart(&rig, 0, 0xd3, 0, 0); /* SAVE ATTRIBUTE VALUES is obsolete */
    assert_aborted();
}

static void off_line_collection_is_done_at_once(void **state)
{
    start_test(0);
    smart_data();
    assert_int_equal(page[362], 2);
}

/* Self-tests. */

static void a_short_test_reads_all_over_the_disk_and_passes(void **state)
{
    uint64_t reads = blk_counters(rig.spec.drive[0].blk)->reads;

    start_test(1);
    assert_int_equal(test_status() >> 4, 0xf); /* under way */
    assert_int_equal(test_status() & 0xf, 9);
    pass(SECOND / 2);
    assert_int_equal(test_status() >> 4, 0xf);
    assert_true((test_status() & 0xf) < 9);
    pass(2 * SECOND);
    assert_int_equal(test_status(), 0);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, reads + 64);

    smart_log(6);
    assert_sum();
    assert_int_equal(get(0, 2), 1);
    assert_int_equal(page[508], 1);
    assert_int_equal(page[2], 1); /* short */
    assert_int_equal(page[3], 0); /* without error, nothing left */
    log_ext(7);
    assert_sum();
    assert_int_equal(page[0], 1);
    assert_int_equal(get(2, 2), 1);
    assert_int_equal(page[4], 1);
    assert_int_equal(page[5], 0);
    smart_data();
    assert_int_equal(attribute(242, NULL), 0); /* the host has read nothing */
}

static void a_short_test_finds_the_first_and_the_last_sector(void **state)
{
    static const uint64_t bad[] = {0, TOTAL - 1};

    for (unsigned i = 0; i < 2; i++) {
        ide_rig_fault(&rig, 0,
                      &(struct mem_faults){.error = -EIO, .first = bad[i], .last = bad[i]});
        start_test(1);
        pass(3 * SECOND);
        assert_int_equal(test_status() >> 4, 7); /* a read failed */
        ide_rig_fault(&rig, 0, &(struct mem_faults){0});
        smart_log(6);
        assert_int_equal(page[508], i + 1);
        assert_int_equal(page[2 + 24 * i + 1] >> 4, 7);
        assert_in_range(get(2 + 24 * i + 5, 4), bad[i] < 16 ? 0 : bad[i] - 16, bad[i]);
    }
}

static void an_extended_test_reads_every_sector(void **state)
{
    start_test(2);
    pass(SECOND);
    assert_int_equal(test_status(), 0);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->read_bytes, TOTAL * 512);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .first = 5000, .last = 5000});
    start_test(2);
    pass(SECOND);
    assert_int_equal(test_status() >> 4, 7);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    log_ext(7);
    assert_int_equal(get(2, 2), 2);
    assert_int_equal(page[4 + 26], 2);
    assert_int_equal(page[4 + 26 + 1] >> 4, 7);
}

static void a_test_can_be_aborted_and_replaced(void **state)
{
    start_test(2);
    start_test(1); /* ends the other */
    smart_log(6);
    assert_int_equal(page[508], 1);
    assert_int_equal(page[2], 2);
    assert_int_equal(page[3] >> 4, 1);
    start_test(0x7f);
    smart_log(6);
    assert_int_equal(page[508], 2);
    assert_int_equal(page[2 + 24], 1);
    assert_int_equal(page[2 + 24 + 1] >> 4, 1);
    pass(3 * SECOND);
    assert_int_equal(test_status(), 0x10);
    rig_smart(&rig, 0, 0xd4, 0x81, 0); /* captive */
    assert_aborted();
    rig_smart(&rig, 0, 0xd4, 3, 0); /* conveyance */
    assert_aborted();
}

static void a_reset_interrupts_a_test(void **state)
{
    start_test(1);
    pass(SECOND / 10);
    rig_srst(&rig, 0);
    pass(3 * SECOND);
    assert_int_equal(test_status(), 0x20);
    smart_log(6);
    assert_int_equal(page[508], 1);
    assert_int_equal(page[3] >> 4, 2);
}

static void a_reset_forgets_the_tests_read_in_flight(void **state)
{
    start_test(1);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    pass(SECOND / 10);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->in_flight, 1);
    rig_srst(&rig, 0);
    mem_release(rig.image[0]);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->cancelled, 1);
    assert_int_equal(test_status(), 0x20);
}

/* Commands go first: a test's read that is on its way is waited for, none is begun meanwhile. */
static void commands_are_served_during_a_test(void **state)
{
    uint8_t data[512];

    start_test(1);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    pass(SECOND / 10);
    rig_command(&rig, 0, 0x20, 77, 1);
    pass(SECOND / 10);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    mem_release(rig.image[0]);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    rig_read_data(&rig, 0, data, 512);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(data[i], ide_rig_byte(0, 77 * 512 + i));
    uint64_t reads = blk_counters(rig.spec.drive[0].blk)->reads;
    rig_command(&rig, 0, 0x30, 78, 1); /* wants data, and gets none for a while */
    pass(SECOND);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, reads);
    rig_write_data(&rig, 0, data, 512);
    pass(3 * SECOND);
    assert_int_equal(test_status(), 0);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, 65);
}

static void migrate(void)
{
    size_t size, again;

    while (!rig.dev->ops->quiesce(rig.dev))
        fake_loop_turn(rig.loop, 0);
    uint8_t *state = ide_rig_save(&rig, &size);
    assert_int_equal(ide_rig_migrate(&rig, state, size), 0);
    uint8_t *copy = ide_rig_save(&rig, &again);
    assert_int_equal(size, again);
    assert_memory_equal(state, copy, size);
    free(state);
    free(copy);
    rig.dev->ops->resume(rig.dev);
}

static void a_test_goes_on_after_migration(void **state)
{
    uint64_t before;

    start_test(1);
    pass(SECOND / 2);
    before = blk_counters(rig.spec.drive[0].blk)->reads;
    assert_in_range(before, 1, 63);
    migrate();
    assert_int_equal(test_status() >> 4, 0xf);
    pass(3 * SECOND);
    assert_int_equal(test_status(), 0);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, 64);
}

static void switching_smart_off_ends_a_test(void **state)
{
    start_test(1);
    rig_smart(&rig, 0, 0xd9, 0, 0);
    assert_completed();
    pass(3 * SECOND);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, 0);
    rig_smart(&rig, 0, 0xd8, 0, 0);
    assert_completed();
    assert_int_equal(test_status(), 0x10);
}

static void the_self_test_log_keeps_the_latest(void **state)
{
    for (unsigned i = 0; i < 50; i++) {
        start_test(i == 49 ? 2 : 1);
        fake_host_advance(&rig.fake, 3600 * SECOND);
        start_test(0x7f);
    }
    smart_log(6);
    assert_int_equal(page[508], 49 % 21 + 1);
    assert_int_equal(page[2 + 49 % 21 * 24], 2);
    assert_int_equal(get(2 + 49 % 21 * 24 + 2, 2), 50);
    log_ext(7);
    assert_int_equal(get(2, 2), 49 % 19 + 1);
    assert_int_equal(page[4 + 49 % 19 * 26], 2);
    assert_int_equal(get(4 + 48 % 19 * 26 + 2, 2), 49);
}

/* The error log. */

static void errors_are_logged_with_the_commands_before(void **state)
{
    rig_command(&rig, 0, 0xe5, 0, 0);
    assert_completed();
    fake_host_advance(&rig.fake, 7200 * SECOND);
    fail_at(0x123);
    smart_log(1);
    assert_sum();
    assert_int_equal(page[0], 1);
    assert_int_equal(page[1], 1); /* the first entry is the latest */
    assert_int_equal(get(452, 2), 1);
    const uint8_t *last = page + 2 + 4 * 12, *before = page + 2 + 3 * 12, *error = page + 2 + 60;
    assert_int_equal(last[7], 0x24);
    assert_int_equal(last[3], 0x23);
    assert_int_equal(last[4], 0x01);
    assert_int_equal(get(2 + 4 * 12 + 8, 4), 7200 * 1000);
    assert_int_equal(before[7], 0xe5);
    assert_int_equal(error[1], ATA_ER_UNC);
    assert_int_equal(error[3], 0x23);
    assert_int_equal(error[4], 0x01);
    assert_int_equal(error[7] & ATA_SR_ERR, ATA_SR_ERR);
    assert_int_equal(get(2 + 60 + 28, 2), 2);

    log_ext(3);
    assert_sum();
    assert_int_equal(page[0], 1);
    assert_int_equal(get(2, 2), 1);
    assert_int_equal(get(500, 2), 1);
    last = page + 4 + 4 * 18;
    error = page + 4 + 90;
    assert_int_equal(last[12], 0x24);
    assert_int_equal(last[5], 0x23);
    assert_int_equal(last[7], 0x01);
    assert_int_equal(error[1], ATA_ER_UNC);
    assert_int_equal(error[4], 0x23);
    assert_int_equal(error[6], 0x01);
    smart_log(2);
    assert_int_equal(get(452, 2), 1);
}

static void wrong_commands_are_no_errors_of_the_disk(void **state)
{
    rig_command(&rig, 0, 0xff, 0, 0);
    assert_aborted();
    rig_command(&rig, 0, 0x20, TOTAL, 1); /* IDNF */
    rig_ack(&rig, 0);
    smart_log(1);
    assert_int_equal(get(452, 2), 0);
    assert_int_equal(page[1], 0);
    smart_data();
    assert_int_equal(attribute(187, NULL), 0);
}

static void the_error_log_goes_round(void **state)
{
    for (unsigned i = 0; i < 11; i++)
        fail_at(0x40 + i);
    smart_log(1);
    assert_int_equal(get(452, 2), 11);
    assert_int_equal(page[1], 10 % 5 + 1);
    assert_int_equal(page[2 + 10 % 5 * 90 + 63], 0x4a);
    assert_int_equal(page[2 + 9 % 5 * 90 + 63], 0x49);
    log_ext(3);
    assert_int_equal(get(500, 2), 11);
    assert_int_equal(get(2, 2), 10 % 4 + 1);
    assert_int_equal(page[4 + 10 % 4 * 124 + 94], 0x4a);
    assert_int_equal(page[4 + 7 % 4 * 124 + 94], 0x47);
}

static void a_partial_read_is_logged_when_the_guest_is_told(void **state)
{
    uint8_t data[5 * 512];

    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .first = 205, .last = 205});
    rig_command_ext(&rig, 0, 0x24, 200, 8);
    rig_read_data(&rig, 0, data, sizeof(data));
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_ERR);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    log_ext(3);
    assert_int_equal(get(500, 2), 1);
    assert_int_equal(page[4 + 90 + 4], 205);
    assert_int_equal(page[4 + 4 * 18 + 5], 200);
}

/* The logs as such. */

static void directories_name_the_logs_that_can_be_read(void **state)
{
    for (unsigned ext = 0; ext < 2; ext++) {
        uint8_t directory[512];
        if (ext)
            log_ext(0);
        else
            smart_log(0);
        assert_int_equal(get(0, 2), 1);
        memcpy(directory, page, 512);
        for (unsigned address = 1; address < 256; address++) {
            unsigned sectors = directory[2 * address] | directory[2 * address + 1] << 8;
            if (ext)
                rig_command_ext(&rig, 0, 0x2f, address, 1);
            else
                rig_smart(&rig, 0, 0xd5, (uint8_t)address, 1);
            assert_in_range(sectors, 0, 1);
            if (sectors)
                take_page();
            else
                assert_aborted();
        }
    }
}

static void more_than_a_log_has_is_refused(void **state)
{
    rig_command_ext(&rig, 0, 0x2f, 3, 0);
    assert_aborted();
    rig_command_ext(&rig, 0, 0x2f, 3, 2);
    assert_aborted();
    rig_command_ext(&rig, 0, 0x2f, 3, 0x101);
    assert_aborted();
    rig_command_ext(&rig, 0, 0x2f, 0x103, 1); /* page 1 */
    assert_aborted();
    rig_command_ext(&rig, 0, 0x2f, 0x100000003, 1); /* page 100h */
    assert_aborted();
    rig_smart(&rig, 0, 0xd5, 1, 0);
    assert_aborted();
    rig_smart(&rig, 0, 0xd5, 1, 2);
    assert_aborted();
}

static void dma_table(uint32_t addr, bool to_memory)
{
    rig_prd(&rig, TABLE, 0, addr, 512, true);
    rig_dma_setup(&rig, 0, TABLE, to_memory);
}

static void logs_are_read_by_dma_too(void **state)
{
    fail_at(0x55);
    log_ext(3);
    dma_table(0x8000, true);
    rig_command_ext(&rig, 0, 0x47, 3, 1);
    assert_int_equal(rig_status(&rig, 0), ATA_SR_BSY);
    rig_dma_start(&rig, 0, true);
    assert_completed();
    rig_dma_stop(&rig, 0);
    assert_memory_equal(rig.fake.ram + 0x8000, page, 512);
}

static void host_logs_keep_what_is_written(void **state)
{
    uint8_t note[512], other[512];

    for (unsigned i = 0; i < 512; i++) {
        note[i] = (uint8_t)(i * 3 + 1);
        other[i] = (uint8_t)(i * 5 + 2);
    }
    smart_log(0x80);
    assert_int_equal(page[0] | page[511], 0);
    rig_smart(&rig, 0, 0xd6, 0x80, 1);
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
    rig_write_data(&rig, 0, note, 512);
    assert_completed();
    rig_command_ext(&rig, 0, 0x3f, 0x87, 1);
    rig_write_data(&rig, 0, other, 512);
    assert_completed();
    log_ext(0x80);
    assert_memory_equal(page, note, 512);
    migrate();
    smart_log(0x87);
    assert_memory_equal(page, other, 512);

    memcpy(rig.fake.ram + 0x8000, note, 512);
    dma_table(0x8000, false);
    rig_command_ext(&rig, 0, 0x57, 0x83, 1);
    rig_dma_start(&rig, 0, false);
    assert_completed();
    rig_dma_stop(&rig, 0);
    rig_srst(&rig, 0);
    log_ext(0x83);
    assert_memory_equal(page, note, 512);
    log_ext(0x82);
    assert_int_equal(page[0] | page[511], 0);
}

static void no_other_log_is_written(void **state)
{
    static const uint8_t addresses[] = {0, 1, 2, 3, 6, 7, 9, 0x7f, 0x88, 0xe0};

    for (unsigned i = 0; i < sizeof(addresses); i++) {
        rig_smart(&rig, 0, 0xd6, addresses[i], 1);
        assert_aborted();
        rig_command_ext(&rig, 0, 0x3f, addresses[i], 1);
        assert_aborted();
        rig_command_ext(&rig, 0, 0x57, addresses[i], 1);
        assert_aborted();
    }
    rig_command_ext(&rig, 0, 0x3f, 0x80, 2);
    assert_aborted();
}

static void a_page_survives_migration_anywhere(void **state)
{
    fail_at(9);
    log_ext(3);
    for (unsigned at = 0; at < 512; at += 50) {
        uint8_t data[512];
        rig_command_ext(&rig, 0, 0x2f, 3, 1);
        rig_read_data(&rig, 0, data, at);
        migrate();
        for (unsigned i = at; i < 512; i += 2) {
            uint16_t word = rig_in16(&rig, rig.command[0]);
            memcpy(data + i, &word, 2);
        }
        assert_int_equal(rig_status(&rig, 0), READY);
        assert_memory_equal(data, page, 512);
    }
    for (unsigned at = 0; at < 512; at += 50) {
        rig_command_ext(&rig, 0, 0x3f, 0x81, 1);
        rig_write_data(&rig, 0, page, at);
        migrate();
        for (unsigned i = at; i < 512; i += 2)
            rig_out16(&rig, rig.command[0], (uint16_t)(page[i] | page[i + 1] << 8));
        assert_completed();
    }
    uint8_t written[512];
    memcpy(written, page, 512);
    log_ext(0x81);
    assert_memory_equal(page, written, 512);
}

static void identify_survives_migration(void **state)
{
    uint8_t id[512];

    rig_command(&rig, 0, 0xec, 0, 0);
    rig_read_data(&rig, 0, id, 512);
    rig_command(&rig, 0, 0xec, 0, 0);
    rig_read_data(&rig, 0, page, 100);
    migrate();
    for (unsigned i = 100; i < 512; i += 2) {
        uint16_t word = rig_in16(&rig, rig.command[0]);
        memcpy(page + i, &word, 2);
    }
    assert_memory_equal(page, id, 512);
}

static void each_drive_has_its_own(void **state)
{
    fail_at(5);
    rig_smart(&rig, 1, 0xd5, 1, 1);
    rig_read_data(&rig, 1, page, 512);
    assert_int_equal(get(452, 2), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, finish)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_key_is_needed),
        T(data_has_attributes_and_capabilities),
        T(attributes_count_what_happened),
        T(thresholds_are_of_the_same_attributes),
        T(return_status_tells_of_a_failing_disk),
        T(autosave_is_a_setting),
        T(off_line_collection_is_done_at_once),
        T(a_short_test_reads_all_over_the_disk_and_passes),
        T(a_short_test_finds_the_first_and_the_last_sector),
        T(an_extended_test_reads_every_sector),
        T(a_test_can_be_aborted_and_replaced),
        T(a_reset_interrupts_a_test),
        T(a_reset_forgets_the_tests_read_in_flight),
        T(commands_are_served_during_a_test),
        T(a_test_goes_on_after_migration),
        T(switching_smart_off_ends_a_test),
        T(the_self_test_log_keeps_the_latest),
        T(errors_are_logged_with_the_commands_before),
        T(wrong_commands_are_no_errors_of_the_disk),
        T(the_error_log_goes_round),
        T(a_partial_read_is_logged_when_the_guest_is_told),
        T(directories_name_the_logs_that_can_be_read),
        T(more_than_a_log_has_is_refused),
        T(logs_are_read_by_dma_too),
        T(host_logs_keep_what_is_written),
        T(no_other_log_is_written),
        T(a_page_survives_migration_anywhere),
        T(identify_survives_migration),
        T(each_drive_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
