/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A drive that is saved at any step of a command goes on where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ata_rig.h"

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
        ata_rig_move();
    }
    assert_disk_bytes(data, 0, 11, 300);
    assert_int_equal(rig_status(&rig, 0), READY);
}

static void identify_survives_migration(void **state)
{
    uint8_t id[512], again[512];

    rig_command(&rig, 0, 0xec, 0, 0);
    rig_read_data(&rig, 0, id, 512);
    rig_command(&rig, 0, 0xec, 0, 0);
    rig_read_data(&rig, 0, again, 100);
    ata_rig_move();
    for (unsigned i = 100; i < 512; i += 2) {
        uint16_t word = rig_in16(&rig, rig.command[0]);
        memcpy(again + i, &word, 2);
    }
    assert_memory_equal(again, id, 512);
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
        ata_rig_move();
    }
    assert_completed(0);
    assert_memory_equal(rig.disk[0] + 21 * 512, data, sizeof(data));
}

static void a_verify_survives_migration(void **state)
{
    rig_command_ext(&rig, 0, 0x42, 0, 1000);
    for (unsigned i = 0; rig_status(&rig, 0) == ATA_SR_BSY; i++) {
        assert_true(i < 4);
        ata_rig_move();
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
    ata_rig_move();
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
    ata_rig_move();
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
    ata_rig_move();
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

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, ata_rig_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pio_read_survives_migration_anywhere, ata_rig_one_disk),
        TEST(identify_survives_migration, ata_rig_one_disk),
        TEST(a_pio_write_survives_migration_anywhere, ata_rig_one_disk),
        TEST(a_verify_survives_migration, ata_rig_one_disk),
        TEST(commands_that_wait_survive_migration, ata_rig_two_disks),
        TEST(settings_and_registers_survive_migration, ata_rig_two_disks),
        TEST(a_pending_interrupt_survives_migration, ata_rig_one_disk),
        TEST(hostile_state_is_refused, ata_rig_one_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
