/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The logs of errors and of the host, and General Purpose Logging, by the layouts of ATA8-ACS. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/smart_rig.h"

#define TABLE 0x1000u

/* The error log. */

static void errors_are_logged_with_the_commands_before(void **state)
{
    rig_command(&rig, 0, 0xe5, 0, 0);
    assert_completed(0);
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
    assert_aborted(0);
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
                assert_aborted(0);
        }
    }
}

static void more_than_a_log_has_is_refused(void **state)
{
    rig_command_ext(&rig, 0, 0x2f, 3, 0);
    assert_aborted(0);
    rig_command_ext(&rig, 0, 0x2f, 3, 2);
    assert_aborted(0);
    rig_command_ext(&rig, 0, 0x2f, 3, 0x101);
    assert_aborted(0);
    rig_command_ext(&rig, 0, 0x2f, 0x103, 1); /* page 1 */
    assert_aborted(0);
    rig_command_ext(&rig, 0, 0x2f, 0x100000003, 1); /* page 100h */
    assert_aborted(0);
    rig_smart(&rig, 0, 0xd5, 1, 0);
    assert_aborted(0);
    rig_smart(&rig, 0, 0xd5, 1, 2);
    assert_aborted(0);
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
    assert_completed(0);
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
    assert_completed(0);
    rig_command_ext(&rig, 0, 0x3f, 0x87, 1);
    rig_write_data(&rig, 0, other, 512);
    assert_completed(0);
    log_ext(0x80);
    assert_memory_equal(page, note, 512);
    ata_rig_move();
    smart_log(0x87);
    assert_memory_equal(page, other, 512);

    memcpy(rig.fake.ram + 0x8000, note, 512);
    dma_table(0x8000, false);
    rig_command_ext(&rig, 0, 0x57, 0x83, 1);
    rig_dma_start(&rig, 0, false);
    assert_completed(0);
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
        assert_aborted(0);
        rig_command_ext(&rig, 0, 0x3f, addresses[i], 1);
        assert_aborted(0);
        rig_command_ext(&rig, 0, 0x57, addresses[i], 1);
        assert_aborted(0);
    }
    rig_command_ext(&rig, 0, 0x3f, 0x80, 2);
    assert_aborted(0);
}

static void a_page_survives_migration_anywhere(void **state)
{
    fail_at(9);
    log_ext(3);
    for (unsigned at = 0; at < 512; at += 50) {
        uint8_t data[512];
        rig_command_ext(&rig, 0, 0x2f, 3, 1);
        rig_read_data(&rig, 0, data, at);
        ata_rig_move();
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
        ata_rig_move();
        for (unsigned i = at; i < 512; i += 2)
            rig_out16(&rig, rig.command[0], (uint16_t)(page[i] | page[i + 1] << 8));
        assert_completed(0);
    }
    uint8_t written[512];
    memcpy(written, page, 512);
    log_ext(0x81);
    assert_memory_equal(page, written, 512);
}

#define T(name) cmocka_unit_test_setup_teardown(name, smart_rig_setup, ata_rig_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
