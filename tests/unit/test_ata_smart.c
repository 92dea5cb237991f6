/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMART: attributes, health and self-tests, by the layouts that ATA8-ACS has for them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/smart_rig.h"

static void assert_health(bool good)
{
    rig_smart(&rig, 0, 0xda, 0, 0);
    assert_completed(0);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_MID), good ? 0x4f : 0xf4);
    assert_int_equal(rig_reg(&rig, 0, ATA_REG_LBA_HIGH), good ? 0xc2 : 0x2c);
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
    assert_completed(0);
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
    assert_aborted(0);
    rig_features(&rig, 0, 0xd0);
    rig_command(&rig, 0, 0xb0, 0xc34f00, 1);
    assert_aborted(0);
    rig_smart(&rig, 0, 0xdf, 0, 1); /* no such subcommand */
    assert_aborted(0);
    rig_smart(&rig, 0, 0xdb, 0, 1); /* automatic off-line collection is not offered */
    assert_aborted(0);
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
    assert_completed(0);
    rig_smart(&rig, 0, 0xd2, 0, 0xf1);
    assert_completed(0);
    rig_smart(&rig, 0, 0xd2, 0, 0x55);
    assert_aborted(0);
    rig_smart(&rig, 0, 0xd3, 0, 0); /* SAVE ATTRIBUTE VALUES is obsolete */
    assert_aborted(0);
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
    assert_aborted(0);
    rig_smart(&rig, 0, 0xd4, 3, 0); /* conveyance */
    assert_aborted(0);
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

static void a_test_goes_on_after_migration(void **state)
{
    uint64_t before;

    start_test(1);
    pass(SECOND / 2);
    before = blk_counters(rig.spec.drive[0].blk)->reads;
    assert_in_range(before, 1, 63);
    ata_rig_move();
    assert_int_equal(test_status() >> 4, 0xf);
    pass(3 * SECOND);
    assert_int_equal(test_status(), 0);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, 64);
}

static void switching_smart_off_ends_a_test(void **state)
{
    start_test(1);
    rig_smart(&rig, 0, 0xd9, 0, 0);
    assert_completed(0);
    pass(3 * SECOND);
    assert_int_equal(blk_counters(rig.spec.drive[0].blk)->reads, 0);
    rig_smart(&rig, 0, 0xd8, 0, 0);
    assert_completed(0);
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

static void each_drive_has_its_own(void **state)
{
    fail_at(5);
    rig_smart(&rig, 1, 0xd5, 1, 1);
    rig_read_data(&rig, 1, page, 512);
    assert_int_equal(get(452, 2), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, smart_rig_setup, ata_rig_finish)

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
        T(each_drive_has_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
