/* SPDX-License-Identifier: GPL-2.0-or-later */
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

#define CFR      0x50
#define CNTRL    0x51
#define ARTTIM23 0x57
#define MRDMODE  0x71
#define BMIDESR0 0x72

static struct ide_rig rig;

static int setup(void **state)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.cmd646 = true, .sectors = {128, 64, 128, 32}});
    return 0;
}

static int teardown(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

static uint8_t config(uint32_t reg)
{
    return (uint8_t)bus_pci_read(rig.bus, rig.sbdf, reg, 1);
}

static void set_config(uint32_t reg, uint8_t value)
{
    bus_pci_write(rig.bus, rig.sbdf, reg, 1, value);
}

static bool inta(void)
{
    return rig.fake.intx[RIG_SLOT][0];
}

static void it_is_the_cmd646_in_native_mode(void **state)
{
    static const uint32_t sizes[] = {8, 4, 8, 4, 16};

    assert_int_equal(bus_pci_read(rig.bus, rig.sbdf, 0, 4), 0x06461095);
    assert_int_equal(bus_pci_read(rig.bus, rig.sbdf, 8, 4), 0x01018f07);
    assert_int_equal(config(PCI_INTERRUPT_PIN), 1);
    assert_int_equal(config(CNTRL) & 0x0c, 0x0c); /* else drivers leave a channel out */
    set_config(CNTRL, 0);
    assert_int_equal(config(CNTRL) & 0x0c, 0x0c);
    for (unsigned i = 0; i < 5; i++) {
        bus_pci_write(rig.bus, rig.sbdf, PCI_BAR0 + 4 * i, 4, 0xffffffff);
        assert_int_equal(bus_pci_read(rig.bus, rig.sbdf, PCI_BAR0 + 4 * i, 4), (1 - sizes[i]) | 1);
    }
    assert_string_equal(rig.dev->name, "cmd646-0");
}

/* In slot 0 it would hide the host bridge, and no interrupt is routed from there. */
static void it_takes_no_slot_of_the_host_bridge(void **state)
{
    static const uint8_t bad[] = {0, 32, 255};

    for (unsigned i = 0; i < sizeof(bad); i++) {
        struct machine_spec spec = {.role = MACHINE_SECONDARY, .slot = bad[i]};
        struct dev_env env = {.host = &rig.fake.host, .bus = rig.bus, .spec = &spec};
        struct dev *dev = NULL;
        assert_int_equal(cmd646_create(&env, &dev), -EINVAL);
        assert_null(dev);
    }
}

static void every_drive_is_reached_through_its_bars(void **state)
{
    uint8_t data[512];

    for (unsigned disk = 0; disk < 4; disk++) {
        rig_command(&rig, disk, 0x20, 7, 1);
        ide_rig_settle(&rig);
        assert_int_equal(rig_status(&rig, disk), READY | ATA_SR_DRQ);
        bus_port_read_block(rig.bus, rig.command[disk / 2], 2, data, 256);
        for (unsigned i = 0; i < 512; i++)
            assert_int_equal(data[i], ide_rig_byte(disk, 7 * 512 + i));
        memset(data, (int)disk + 1, 512);
        rig_command(&rig, disk, 0x30, 9, 1);
        ide_rig_settle(&rig);
        bus_port_write_block(rig.bus, rig.command[disk / 2], 2, data, 256);
        ide_rig_settle(&rig);
        assert_int_equal(rig_ack(&rig, disk), READY);
        assert_memory_equal(rig.disk[disk] + 9 * 512, data, 512);
    }
    assert_int_equal(rig_in8(&rig, (uint16_t)(rig.control[0] - 1)), 0xff);
    for (unsigned channel = 0; channel < 2; channel++) {
        rig_command(&rig, 2 * channel, 0x40, 9999, 1);
        assert_int_equal(rig_in8(&rig, rig.command[channel] + 1), ATA_ER_IDNF);
        rig_srst(&rig, channel);
        assert_int_equal(rig_in8(&rig, rig.command[channel] + 1), 1);
    }
}

static void the_channels_share_inta(void **state)
{
    rig_command(&rig, 0, 0x10, 0, 0);
    assert_true(inta());
    assert_int_equal(config(CFR) & 0x04, 0x04);
    assert_int_equal(config(MRDMODE) & 0x0c, 0x04);
    rig_command(&rig, 2, 0x10, 0, 0);
    assert_int_equal(config(ARTTIM23) & 0x10, 0x10);
    assert_int_equal(rig_in8(&rig, rig.bmdma + 1) & 0x0c, 0x0c);
    rig_ack(&rig, 0);
    assert_true(inta());
    assert_int_equal(config(CFR) & 0x04, 0);
    rig_ack(&rig, 2);
    assert_false(inta());
    assert_int_equal(config(MRDMODE) & 0x0c, 0);
    assert_int_equal(config(ARTTIM23) & 0x10, 0);
}

static void an_interrupt_is_acknowledged_in_any_place(void **state)
{
    rig_command(&rig, 0, 0x10, 0, 0);
    rig_out8(&rig, rig.bmdma + 1, 0x04); /* MRDMODE, as pata_cmd64x does it */
    assert_false(inta());
    assert_int_equal(config(CFR) & 0x04, 0);
    rig_ack(&rig, 0);

    rig_command(&rig, 0, 0x10, 0, 0);
    assert_true(inta());
    set_config(CFR, config(CFR));
    assert_false(inta());
    assert_int_equal(config(MRDMODE) & 0x04, 0);
    rig_ack(&rig, 0);

    rig_command(&rig, 2, 0x10, 0, 0);
    set_config(ARTTIM23, 0xc0); /* setting timing does not */
    assert_true(inta());
    set_config(ARTTIM23, 0xd0);
    assert_false(inta());
    assert_int_equal(config(ARTTIM23), 0xc0);
    assert_int_equal(config(MRDMODE) & 0x08, 0);
}

static void mrdmode_blocks_a_channel(void **state)
{
    set_config(MRDMODE, 0x10);
    rig_command(&rig, 0, 0x10, 0, 0);
    assert_false(inta());
    assert_int_equal(config(MRDMODE), 0x14);
    rig_command(&rig, 2, 0x10, 0, 0);
    assert_true(inta());
    rig_ack(&rig, 2);
    assert_false(inta());
    set_config(MRDMODE, 0x02); /* as pata_cmd64x sets it up */
    assert_true(inta());
    assert_int_equal(config(MRDMODE), 0x06);
}

static void intx_can_be_disabled(void **state)
{
    rig_command(&rig, 0, 0x10, 0, 0);
    bus_pci_write(rig.bus, rig.sbdf, PCI_COMMAND, 2, 0x0405);
    assert_false(inta());
    bus_pci_write(rig.bus, rig.sbdf, PCI_COMMAND, 2, 0x0005);
    assert_true(inta());
}

static void timing_and_dma_notes_are_kept(void **state)
{
    for (uint32_t reg = 0x52; reg < 0x57; reg++) {
        set_config(reg, 0xa5);
        assert_int_equal(config(reg), 0xa5);
    }
    rig_out8(&rig, rig.bmdma + 3, 0x31); /* UDIDETCR0 */
    assert_int_equal(config(0x73), 0x31);
    assert_int_equal(rig_in8(&rig, rig.bmdma + 3), 0x31);
    set_config(BMIDESR0, 0x60); /* pata_cmd64x notes DMA here, firmware in BAR 4 */
    assert_int_equal(rig_in8(&rig, rig.bmdma + 2), 0x60);
    rig_out8(&rig, rig.bmdma + 10, 0x40);
    assert_int_equal(config(0x7a), 0x40);
}

static void dma_interrupts_as_drivers_expect(void **state)
{
    rig_prd(&rig, 0x1000, 0, 0x2000, 1024, true);
    rig_dma_setup(&rig, 1, 0x1000, true);
    rig_command_ext(&rig, 3, 0x25, 4, 2);
    rig_dma_start(&rig, 1, true);
    ide_rig_settle(&rig);
    assert_true(inta());
    assert_int_equal(rig_in8(&rig, rig.bmdma + 1) & 0x08, 0x08);
    assert_int_equal(rig_dma_status(&rig, 1), BMISTA_INTR);
    rig_dma_stop(&rig, 1);
    assert_int_equal(rig_ack(&rig, 3), READY);
    rig_out8(&rig, rig.bmdma + 10, BMISTA_INTR);
    assert_int_equal(rig_dma_status(&rig, 1), 0);
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(rig.fake.ram[0x2000 + i], ide_rig_byte(3, 4 * 512 + i));
}

static void migration_keeps_what_is_pending(void **state)
{
    size_t size, again;

    set_config(0x53, 0x99);
    rig_command(&rig, 2, 0x10, 0, 0);
    rig_command(&rig, 0, 0x10, 0, 0);
    rig_out8(&rig, rig.bmdma + 1, 0x04); /* acknowledged here, not at the drive */
    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size);
    rig.fake.intx[RIG_SLOT][0] = false;
    assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
    uint8_t *copy = ide_rig_save(&rig, &again);
    assert_int_equal(size, again);
    assert_memory_equal(saved, copy, size);
    rig.dev->ops->resume(rig.dev);
    assert_true(inta());
    assert_int_equal(config(MRDMODE) & 0x0c, 0x08);
    assert_int_equal(config(0x53), 0x99);
    rig_ack(&rig, 2);
    assert_false(inta());
    free(saved);
    free(copy);
}

static void registers_that_do_not_exist_cannot_be_loaded(void **state)
{
    size_t size;

    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size);
    memset(saved + size - 0x20, 0xee, 0x20); /* the end of configuration space */
    assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
    assert_int_equal(config(0xff), 0);
    assert_int_equal(config(CNTRL), 0x0c);
    free(saved);
}

static void reset_is_power_on(void **state)
{
    rig_command(&rig, 0, 0x10, 0, 0);
    set_config(MRDMODE, 0x33);
    set_config(0x53, 1);
    rig.dev->ops->reset(rig.dev);
    assert_false(inta());
    assert_int_equal(config(MRDMODE), 0);
    assert_int_equal(config(0x53), 0);
    assert_int_equal(config(CNTRL), 0x0c);
    assert_int_equal(rig_in8(&rig, rig.command[0] + 7), 0xff);
    ide_rig_program(&rig);
    assert_int_equal(rig_in8(&rig, rig.command[0] + 7), READY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_cmd646_in_native_mode),
        TEST(it_takes_no_slot_of_the_host_bridge),
        TEST(every_drive_is_reached_through_its_bars),
        TEST(the_channels_share_inta),
        TEST(an_interrupt_is_acknowledged_in_any_place),
        TEST(mrdmode_blocks_a_channel),
        TEST(intx_can_be_disabled),
        TEST(timing_and_dma_notes_are_kept),
        TEST(dma_interrupts_as_drivers_expect),
        TEST(migration_keeps_what_is_pending),
        TEST(registers_that_do_not_exist_cannot_be_loaded),
        TEST(reset_is_power_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
