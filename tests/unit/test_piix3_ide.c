/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/ide/controller.h"
#include "tests/unit/ide_rig.h"

#define READY (ATA_SR_DRDY | ATA_SR_DSC)

static struct ide_rig rig;

static int setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {128, 0, 128}, .unprogrammed = true});
    return 0;
}

static int teardown(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

static uint32_t config(uint32_t reg, unsigned size)
{
    return bus_pci_read(rig.bus, rig.sbdf, reg, size);
}

static void set_config(uint32_t reg, unsigned size, uint32_t value)
{
    bus_pci_write(rig.bus, rig.sbdf, reg, size, value);
}

static void it_is_the_piix3(void **state)
{
    assert_int_equal(config(PCI_VENDOR_ID, 4), 0x70108086);
    assert_int_equal(config(PCI_REVISION_ID, 4) >> 8, 0x010180);
    assert_int_equal(config(PCI_INTERRUPT_PIN, 1), 0);
    assert_string_equal(rig.dev->name, "ide0");
    set_config(PCI_BAR0 + 16, 4, 0xffffffff);
    assert_int_equal(config(PCI_BAR0 + 16, 4), 0xfffffff1);
    for (unsigned bar = 0; bar < 4; bar++)
        assert_int_equal(config(PCI_BAR0 + 4 * bar, 4), 0);
}

static void a_place_without_a_drive_takes_no_memory(void **state)
{
    const struct ide_channel *channel = ((struct ide_controller *)rig.dev)->channel;

    assert_non_null(channel[0].drive[0].board);
    assert_null(channel[0].drive[1].board);
    assert_non_null(channel[1].drive[0].board);
    assert_null(channel[1].drive[1].board);
}

static void each_channel_is_decoded_when_told(void **state)
{
    assert_int_equal(rig_in8(&rig, 0x1f7), 0xff);
    set_config(0x40, 2, 0x8000);
    assert_int_equal(rig_in8(&rig, 0x1f7), 0xff); /* not yet: IOSE */
    set_config(PCI_COMMAND, 2, PCI_COMMAND_IO);
    assert_int_equal(rig_in8(&rig, 0x1f7), READY);
    assert_int_equal(rig_in8(&rig, 0x3f6), READY);
    assert_int_equal(rig_in8(&rig, 0x177), 0xff);
    set_config(0x43, 1, 0x80);
    assert_int_equal(rig_in8(&rig, 0x177), READY);
    assert_int_equal(rig_in8(&rig, 0x376), READY);
    assert_int_equal(rig_in8(&rig, 0x3f7), 0xff); /* the floppy controller's */
    set_config(0x40, 2, 0x0000);
    assert_int_equal(rig_in8(&rig, 0x1f7), 0xff);
    assert_int_equal(rig_in8(&rig, 0x177), READY);
    set_config(PCI_COMMAND, 2, 0);
    assert_int_equal(rig_in8(&rig, 0x177), 0xff);
}

static void timing_reads_back(void **state)
{
    set_config(0x40, 4, 0xb3f3a377);
    assert_int_equal(config(0x40, 4), 0xb3f3a377);
    set_config(0x44, 4, 0xffffffff);
    assert_int_equal(config(0x44, 4), 0xff);
}

static void each_channel_has_its_interrupt(void **state)
{
    ide_rig_program(&rig);
    rig_command(&rig, 2, 0x10, 0, 0);
    assert_true(rig.fake.isa[15]);
    assert_false(rig.fake.isa[14]);
    rig_command(&rig, 0, 0x10, 0, 0);
    assert_true(rig.fake.isa[14]);
    rig_ack(&rig, 2);
    assert_false(rig.fake.isa[15]);
    assert_true(rig.fake.isa[14]);
}

static void reset_is_power_on(void **state)
{
    ide_rig_program(&rig);
    ide_rig_fault(&rig, 0, &(struct mem_faults){.hold = true});
    rig_out8(&rig, 0x1f1, 0x82);
    rig_command(&rig, 0, 0xef, 0, 0);
    rig_command(&rig, 2, 0x10, 0, 0);
    rig_out8(&rig, rig.bmdma + 2, 0x20);
    rig.dev->ops->reset(rig.dev);
    assert_false(rig.fake.isa[15]);
    assert_int_equal(rig_in8(&rig, 0x1f7), 0xff);
    assert_int_equal(config(0x40, 4), 0);
    assert_int_equal(config(PCI_BAR0 + 16, 4), 1);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
    ide_rig_settle(&rig);
    ide_rig_program(&rig);
    assert_int_equal(rig_in8(&rig, 0x1f7), READY);
    assert_int_equal(rig_in8(&rig, 0x1f1), 1);
    assert_int_equal(rig_in8(&rig, rig.bmdma + 2), 0);
    assert_false(rig.fake.isa[14]);
}

static void migration_claims_what_was_claimed(void **state)
{
    size_t size;

    ide_rig_program(&rig);
    set_config(0x42, 2, 0);
    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size);
    assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
    rig.dev->ops->resume(rig.dev);
    assert_int_equal(rig_in8(&rig, 0x1f7), READY);
    assert_int_equal(rig_in8(&rig, 0x177), 0xff);
    rig_out8(&rig, rig.bmdma + 2, 0x60);
    assert_int_equal(rig_in8(&rig, rig.bmdma + 2), 0x60);
    rig_prd(&rig, 0x1000, 0, 0x2000, 512, true);
    rig_dma_setup(&rig, 0, 0x1000, true);
    rig_command(&rig, 0, 0xc8, 0, 1);
    rig_dma_start(&rig, 0, true); /* the bus master bit came along */
    ide_rig_settle(&rig);
    assert_true(rig.fake.isa[14]);
    free(saved);
}

static void ports_that_are_taken_are_done_without(void **state)
{
    static const struct bus_io_ops other = {0};

    assert_int_equal(bus_claim(rig.bus, BUS_PORT, 0x3f6, 1, &other, NULL), 0);
    ide_rig_program(&rig);
    assert_int_equal(rig_in8(&rig, 0x1f7), 0xff);
    assert_int_equal(rig_in8(&rig, 0x177), READY);
    assert_string_equal(fake_host_last_log(&rig.fake),
                        "ide0: event=ports-refused port=0x1f0 error=17");
    bus_release(rig.bus, BUS_PORT, 0x3f6);
    set_config(PCI_COMMAND, 2, PCI_COMMAND_IO);
    assert_int_equal(rig_in8(&rig, 0x1f7), READY);
}

static void a_second_function_at_its_place_is_refused(void **state)
{
    struct dev_env env = {.host = &rig.fake.host, .bus = rig.bus, .spec = &rig.spec};
    struct machine_spec empty = {.role = MACHINE_PRIMARY};
    struct dev *dev;

    env.spec = &empty;
    assert_int_equal(piix3_ide_create(&env, &dev), -EEXIST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_piix3),
        TEST(a_place_without_a_drive_takes_no_memory),
        TEST(each_channel_is_decoded_when_told),
        TEST(timing_reads_back),
        TEST(each_channel_has_its_interrupt),
        TEST(reset_is_power_on),
        TEST(migration_claims_what_was_claimed),
        TEST(ports_that_are_taken_are_done_without),
        TEST(a_second_function_at_its_place_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
