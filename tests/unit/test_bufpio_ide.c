/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IDE data ports by the buffered PIO page: what a driver would do, and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/bufpio_rig.h"
#include "tests/unit/ide_rig.h"

#define SECTORS 256u

struct fixture {
    struct bufpio_rig page;
    struct ide_rig ide;
};

static int setup_with(void **state, const struct ide_rig_options *options)
{
    static struct fixture fixture; /* page-aligned members */

    ide_rig_init(&fixture.ide, options);
    bufpio_rig_init(&fixture.page, fixture.ide.bus, options->cmd646 ? 2 : 0);
    *state = &fixture;
    return 0;
}

static int setup(void **state)
{
    const struct ide_rig_options four_disks = {.sectors = {SECTORS, SECTORS, SECTORS, SECTORS}};

    return setup_with(state, &four_disks);
}

static int setup_cmd646(void **state)
{
    const struct ide_rig_options native = {.sectors = {SECTORS, 0, SECTORS, 0}, .cmd646 = true};

    return setup_with(state, &native);
}

/* Whatever a test does, an honest hypervisor is never caught lying. */
static int teardown(void **state)
{
    struct fixture *f = *state;

    bufpio_rig_finish(&f->page);
    assert_int_equal(f->page.bufpio.counters.rejected, 0);
    assert_int_equal(f->page.bufpio.counters.answered, f->page.hv.answered);
    ide_rig_finish(&f->ide);
    return 0;
}

static uint16_t port(const struct fixture *f, unsigned disk, enum ata_reg reg)
{
    return (uint16_t)(f->ide.command[disk / 2] + reg);
}

static void out8(struct fixture *f, unsigned disk, enum ata_reg reg, unsigned value)
{
    bufpio_rig_out(&f->page, port(f, disk, reg), 1, value);
}

static uint8_t status(struct fixture *f, unsigned disk)
{
    return (uint8_t)bufpio_rig_in(&f->page, port(f, disk, ATA_REG_STATUS), 1);
}

static void select_disk(struct fixture *f, unsigned disk)
{
    out8(f, disk, ATA_REG_DEVICE, disk % 2 ? 0xf0 : 0xe0);
}

/* Until DRQ, or the command's end. */
static void command(struct fixture *f, unsigned disk, uint8_t opcode, unsigned lba, unsigned count)
{
    select_disk(f, disk);
    out8(f, disk, ATA_REG_COUNT, count);
    out8(f, disk, ATA_REG_LBA_LOW, lba);
    out8(f, disk, ATA_REG_LBA_MID, 0);
    out8(f, disk, ATA_REG_LBA_HIGH, 0);
    out8(f, disk, ATA_REG_COMMAND, opcode);
    ide_rig_settle(&f->ide);
}

static void read_words(struct fixture *f, unsigned disk, void *buf, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        uint32_t value = bufpio_rig_in(&f->page, port(f, disk, ATA_REG_DATA), 2);

        memcpy((uint8_t *)buf + 2 * i, &value, 2);
    }
}

static void write_words(struct fixture *f, unsigned disk, const void *buf, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        uint32_t value = 0;

        memcpy(&value, (const uint8_t *)buf + 2 * i, 2);
        bufpio_rig_out(&f->page, port(f, disk, ATA_REG_DATA), 2, value);
    }
}

static void fill(uint8_t *buf, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(i * 11 + (i >> 9) * 17 + seed * 59 + 5);
}

static void a_sector_read_or_written_by_words_is_at_most_two_requests(void **state)
{
    struct fixture *f = *state;
    uint8_t sector[512], data[512];

    for (unsigned lba = 0; lba < 20; lba++) {
        command(f, 0, 0x20, lba, 1);
        assert_true(status(f, 0) & ATA_SR_DRQ);
        uint64_t before = f->page.requests;
        read_words(f, 0, sector, 256);
        assert_in_range(f->page.requests - before, 1, 2);
        assert_memory_equal(sector, f->ide.disk[0] + lba * 512, 512);

        fill(data, sizeof(data), lba);
        command(f, 0, 0x30, 100 + lba, 1);
        before = f->page.requests;
        write_words(f, 0, data, 256);
        assert_in_range(f->page.requests - before, 1, 2);
        ide_rig_settle(&f->ide);
        assert_false(status(f, 0) & (ATA_SR_BSY | ATA_SR_DRQ | ATA_SR_ERR));
        assert_memory_equal(f->ide.disk[0] + (100 + lba) * 512, data, 512);
    }
}

static void a_multiple_block_is_refilled_until_its_end(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[40 * 512], data[40 * 512];

    command(f, 0, 0xc4, 3, 40);
    for (unsigned done = 0; done < 40;) {
        unsigned n = 40 - done < 16 ? 40 - done : 16;
        assert_true(status(f, 0) & ATA_SR_DRQ);
        uint64_t before = f->page.requests;
        read_words(f, 0, buf + done * 512, n * 256);
        assert_in_range(f->page.requests - before, 1, n * 512 / 2024 + 2);
        done += n;
    }
    assert_memory_equal(buf, f->ide.disk[0] + 3 * 512, sizeof(buf));
    fill(data, sizeof(data), 1);
    command(f, 0, 0xc5, 100, 40);
    uint64_t before = f->page.requests;
    write_words(f, 0, data, 40 * 256);
    assert_in_range(f->page.requests - before, 10, 15);
    ide_rig_settle(&f->ide);
    assert_memory_equal(f->ide.disk[0] + 100 * 512, data, sizeof(data));
    assert_int_equal(rig_counter(&f->ide, "pio_sectors"), 80);
}

/* As many as without the page, each at its time. */
static void each_block_raises_its_interrupt(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[512];

    command(f, 0, 0x20, 0, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(rig_irq(&f->ide, 0));
        status(f, 0);
        assert_false(rig_irq(&f->ide, 0));
        read_words(f, 0, buf, 255);
        assert_false(rig_irq(&f->ide, 0));
        read_words(f, 0, buf, 1);
    }
    assert_false(rig_irq(&f->ide, 0));
    assert_int_equal(rig_counter(&f->ide, "interrupts"), 3);
}

static void identify_comes_by_the_page_too(void **state)
{
    struct fixture *f = *state;
    uint16_t first[256], words[256];

    command(f, 0, 0xec, 0, 0);
    read_words(f, 0, first, 256);
    command(f, 0, 0xec, 0, 0);
    uint64_t before = f->page.requests;
    read_words(f, 0, words, 256);
    assert_in_range(f->page.requests - before, 1, 2);
    assert_memory_equal(words, first, 512);
    assert_int_equal(words[60], SECTORS);
}

static void each_drive_and_channel_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[4][512];

    for (unsigned disk = 0; disk < 4; disk++)
        command(f, disk, 0x20, 10 + disk, 1);
    for (unsigned round = 0; round < 16; round++) {
        for (unsigned i = 0; i < 4; i++) {
            static const uint8_t order[4] = {0, 2, 1, 3};
            unsigned disk = order[i];
            select_disk(f, disk);
            read_words(f, disk, buf[disk] + round * 32, 16);
        }
    }
    for (unsigned disk = 0; disk < 4; disk++)
        assert_memory_equal(buf[disk], f->ide.disk[disk] + (10 + disk) * 512, 512);
}

static void writes_of_two_drives_interleave(void **state)
{
    struct fixture *f = *state;
    uint8_t data[4][512];

    for (unsigned disk = 0; disk < 4; disk++) {
        fill(data[disk], 512, disk);
        command(f, disk, 0x30, 20, 1);
    }
    for (unsigned round = 0; round < 16; round++) {
        for (unsigned disk = 0; disk < 4; disk++) {
            select_disk(f, disk);
            write_words(f, disk, data[disk] + round * 32, 16);
        }
    }
    ide_rig_settle(&f->ide);
    for (unsigned disk = 0; disk < 4; disk++)
        assert_memory_equal(f->ide.disk[disk] + 20 * 512, data[disk], 512);
}

static void a_reset_in_mid_transfer_leaves_whole_sectors(void **state)
{
    struct fixture *f = *state;
    uint8_t data[2 * 512], before[SECTORS * 512], sector[512];

    fill(data, sizeof(data), 3);
    memcpy(before, f->ide.disk[0], sizeof(before));
    for (unsigned words = 1; words < 256; words += 12) {
        command(f, 0, 0x30, 50, 2);
        write_words(f, 0, data, words);
        bufpio_rig_out(&f->page, f->ide.control[0], 1, ATA_DC_SRST);
        bufpio_rig_out(&f->page, f->ide.control[0], 1, 0);
        ide_rig_settle(&f->ide);
        assert_memory_equal(f->ide.disk[0], before, sizeof(before));
        /* what comes after it begins anew: nothing is left in the page */
        command(f, 0, 0x20, 51, 1);
        read_words(f, 0, sector, 256);
        assert_memory_equal(sector, before + 51 * 512, 512);
    }
}

static void a_look_at_the_status_in_mid_transfer_changes_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[512];

    command(f, 0, 0x20, 7, 1);
    for (unsigned i = 0; i < 256; i += 8) {
        read_words(f, 0, buf + 2 * i, 8);
        if (i + 8 < 256)
            assert_true(status(f, 0) & ATA_SR_DRQ);
    }
    assert_false(status(f, 0) & ATA_SR_DRQ);
    assert_memory_equal(buf, f->ide.disk[0] + 7 * 512, 512);
}

static void a_native_controllers_ports_have_entries_wherever_its_bars_are(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[512];

    for (unsigned disk = 0; disk < 4; disk += 2) {
        command(f, disk, 0x20, 5, 1);
        uint64_t before = f->page.requests;
        read_words(f, disk, buf, 256);
        assert_in_range(f->page.requests - before, 1, 2);
        assert_memory_equal(buf, f->ide.disk[disk] + 5 * 512, 512);
    }
    command(f, 0, 0x20, 6, 1);
    read_words(f, 0, buf, 100);
    /* The BAR moves while a window is open. */
    bufpio_take_out(&f->page.bufpio);
    f->ide.command[0] = 0xd000;
    bus_pci_write(f->ide.bus, f->ide.sbdf, PCI_BAR0, 4, 0xd000);
    bufpio_arm(&f->page.bufpio);
    read_words(f, 0, buf + 200, 156);
    assert_memory_equal(buf, f->ide.disk[0] + 6 * 512, 512);
    assert_in_range(f->page.hv.answered, 254 + 254 + 90 + 140, 1000);
}

static void a_state_saved_in_mid_transfer_has_what_moved(void **state)
{
    struct fixture *f = *state;
    uint8_t data[512];
    uint8_t *saved;
    size_t size;

    fill(data, sizeof(data), 9);
    command(f, 0, 0x30, 30, 1);
    write_words(f, 0, data, 77);
    bufpio_take_out(&f->page.bufpio);
    assert_true(f->ide.dev->ops->quiesce(f->ide.dev));
    saved = ide_rig_save(&f->ide, &size);
    assert_int_equal(ide_rig_migrate(&f->ide, saved, size), 0);
    free(saved);
    f->ide.dev->ops->resume(f->ide.dev);
    bufpio_arm(&f->page.bufpio);
    write_words(f, 0, data + 154, 256 - 77);
    ide_rig_settle(&f->ide);
    assert_memory_equal(f->ide.disk[0] + 30 * 512, data, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sector_read_or_written_by_words_is_at_most_two_requests,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_multiple_block_is_refilled_until_its_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_block_raises_its_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(identify_comes_by_the_page_too, setup, teardown),
        cmocka_unit_test_setup_teardown(each_drive_and_channel_goes_on_where_it_was, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(writes_of_two_drives_interleave, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_in_mid_transfer_leaves_whole_sectors, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_look_at_the_status_in_mid_transfer_changes_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_native_controllers_ports_have_entries_wherever_its_bars_are, setup_cmd646, teardown),
        cmocka_unit_test_setup_teardown(a_state_saved_in_mid_transfer_has_what_moved, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
