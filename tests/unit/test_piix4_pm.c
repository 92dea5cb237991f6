/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "tests/unit/device_rig.h"

#define SBDF PCI_DEVFN(1, 3)

/* The machine's half of hotplug, written down. */
static uint32_t removable, ejected;

uint32_t machine_removable_slots(const struct machine *machine)
{
    return removable;
}

void machine_slots_ejected(struct machine *machine, uint32_t slots)
{
    ejected = slots;
}

static int setup(void **state)
{
    static struct rig rig;

    rig_init(&rig);
    rig.spec.vcpus = 2;
    rig_create(&rig, piix4_pm_create);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

/* As hvmloader does. */
static void program(struct rig *rig)
{
    bus_pci_write(rig->bus, SBDF, 0x20, 2, 0);
    bus_pci_write(rig->bus, SBDF, 0xd2, 2, 0);
    bus_pci_write(rig->bus, SBDF, 0x3c, 2, 0x0009);
    bus_pci_write(rig->bus, SBDF, 0x3d, 2, 0x0001);
    bus_pci_write(rig->bus, SBDF, 0x40, 4, 0xb001);
    bus_pci_write(rig->bus, SBDF, 0x80, 1, 0x01);
}

static void it_is_the_power_management_function(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_VENDOR_ID, 4), 0x71138086);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_CLASS_SUB, 2), 0x0680);
    program(rig);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x40, 4), 0xb001);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x3c, 2), 0x0109);
}

static void pm1_control_answers_where_firmware_put_it(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_in(rig, 0xb004, 2), 0xffff);
    program(rig);
    assert_int_equal(rig_in(rig, 0xb004, 2), 0x0000);
    /* Status, enable and timer are the hypervisor's. */
    assert_int_equal(rig_in(rig, 0xb000, 4), 0xffffffff);
    assert_int_equal(rig_in(rig, 0xb008, 4), 0xffffffff);
    bus_pci_write(rig->bus, SBDF, 0x40, 4, 0x4001);
    assert_int_equal(rig_in(rig, 0xb004, 2), 0xffff);
    assert_int_equal(rig_in(rig, 0x4004, 2), 0x0000);
    bus_pci_write(rig->bus, SBDF, 0x80, 1, 0);
    assert_int_equal(rig_in(rig, 0x4004, 2), 0xffff);
}

static void acpi_is_enabled_by_the_smi_command_port(void **state)
{
    struct rig *rig = *state;

    program(rig);
    rig_out(rig, 0xb2, 1, 0xf1);
    assert_int_equal(rig_in(rig, 0xb004, 2) & 1, 1);
    assert_int_equal(rig_in(rig, 0xb2, 1), 0xf1);
    rig_out(rig, 0xb3, 1, 0x77);
    assert_int_equal(rig_in(rig, 0xb3, 1), 0x77);
    rig_out(rig, 0xb2, 1, 0xf0);
    assert_int_equal(rig_in(rig, 0xb004, 2) & 1, 0);
}

static void soft_off_powers_off(void **state)
{
    struct rig *rig = *state;

    program(rig);
    rig_out(rig, 0xb2, 1, 0xf1);
    rig_out(rig, 0xb004, 2, 0x0001); /* SLP_TYP alone does nothing */
    assert_int_equal(rig->fake.power_offs, 0);
    rig_out(rig, 0xb004, 2, 0x2001);
    assert_int_equal(rig->fake.power_offs, 1);
    /* SLP_EN reads as zero. */
    assert_int_equal(rig_in(rig, 0xb004, 2), 0x0001);
    rig_out(rig, 0xb005, 1, 0x20); /* as a byte */
    assert_int_equal(rig->fake.power_offs, 2);
    assert_int_equal(rig_in(rig, 0xb004, 2), 0x0001);
    rig_out(rig, 0xb004, 2, 0x2801); /* suspend to disk */
    assert_int_equal(rig->fake.power_offs, 3);
    assert_int_equal(rig->fake.power_resets, 0);
}

static void suspend_to_ram_and_reserved_types_do_nothing(void **state)
{
    struct rig *rig = *state;

    program(rig);
    rig_out(rig, 0xb004, 2, 0x2401);
    assert_int_equal(rig->fake.logs, 1);
    rig_out(rig, 0xb004, 2, 0x3c01);
    assert_int_equal(rig->fake.power_offs, 0);
}

static void plugging_a_cpu_raises_the_sci_until_its_status_is_cleared(void **state)
{
    struct rig *rig = *state;

    program(rig);
    rig_out(rig, 0xb2, 1, 0xf1);
    assert_int_equal(rig_in(rig, 0xaf00, 4), 0x3);
    rig_out(rig, 0xafe2, 1, 0x04); /* enable, as ACPICA: a byte at a time */
    piix4_pm_set_vcpu(rig->dev, 2, true);
    assert_true(rig->fake.isa[9]);
    assert_int_equal(rig_in(rig, 0xaf00, 1), 0x7);
    assert_int_equal(rig_in(rig, 0xafe0, 4), 0x00040004);
    rig_out(rig, 0xafe0, 1, 0x04);
    assert_false(rig->fake.isa[9]);
    assert_int_equal(rig_in(rig, 0xafe0, 2), 0);
    piix4_pm_set_vcpu(rig->dev, 2, true); /* nothing new */
    assert_false(rig->fake.isa[9]);
    piix4_pm_set_vcpu(rig->dev, 127, true);
    assert_int_equal(rig_in(rig, 0xaf0f, 1), 0x80);
    piix4_pm_set_vcpu(rig->dev, 127, false);
    assert_int_equal(rig_in(rig, 0xaf0f, 1), 0);
    rig_out(rig, 0xafe0, 1, 0x04);
    piix4_pm_set_vcpu(rig->dev, 256, true); /* beyond the map */
    piix4_pm_set_vcpu(rig->dev, UINT32_MAX, true);
    assert_int_equal(rig_in(rig, 0xafe0, 2), 0);
    assert_int_equal(rig->fake.isa_rises[9], 2);
}

static void a_masked_event_waits_for_its_enable_bit(void **state)
{
    struct rig *rig = *state;

    program(rig);
    piix4_pm_set_vcpu(rig->dev, 3, true);
    rig_out(rig, 0xafe2, 2, 0x0004);
    assert_false(rig->fake.isa[9]); /* legacy mode */
    rig_out(rig, 0xb2, 1, 0xf1);
    assert_true(rig->fake.isa[9]);
    rig_out(rig, 0xafe2, 2, 0);
    assert_false(rig->fake.isa[9]);
}

static void hotplug_registers_say_that_nothing_moves(void **state)
{
    struct rig *rig = *state;

    removable = ejected = 0;
    for (uint16_t port = 0xae00; port < 0xae10; port += 4)
        assert_int_equal(rig_in(rig, port, 4), 0);
    rig_out(rig, 0xae00, 4, 0xffffffff);
    rig_out(rig, 0xae04, 4, 0xffffffff);
    rig_out(rig, 0xae0c, 4, 0xffffffff);
    for (uint16_t port = 0xae00; port < 0xae10; port += 4)
        assert_int_equal(rig_in(rig, port, 4), 0);
    assert_int_equal(ejected, 0);
    rig_out(rig, 0xaf00, 1, 0xff);
    assert_int_equal(rig_in(rig, 0xaf00, 1), 0x3);
}

/* As Xen's DSDT does it: _E01 looks at both registers, _EJ0 writes the slot's bit. */
static void a_slot_comes_and_goes_with_events(void **state)
{
    struct rig *rig = *state;

    ejected = 0;
    removable = 1 << 5;
    program(rig);
    rig_out(rig, 0xb2, 1, 0xf1);
    rig_out(rig, 0xafe2, 2, 0x0002);
    piix4_pm_slot_added(rig->dev, 5);
    assert_true(rig->fake.isa[9]);
    rig_out(rig, 0xafe0, 2, 0x0002);
    assert_false(rig->fake.isa[9]);
    assert_int_equal(rig_in(rig, 0xae00, 4), 1 << 5);
    assert_int_equal(rig_in(rig, 0xae00, 1), 1 << 5);
    assert_int_equal(rig_in(rig, 0xae0c, 4), 1 << 5);
    rig_reload(rig);
    piix4_pm_slot_eject(rig->dev, 5);
    assert_true(rig->fake.isa[9]);
    assert_int_equal(rig_in(rig, 0xae00, 4), 0);
    assert_int_equal(rig_in(rig, 0xae04, 4), 1 << 5);
    assert_int_equal(ejected, 0);
    rig_out(rig, 0xae08, 4, 1 << 5);
    assert_int_equal(ejected, 1 << 5);
    assert_int_equal(rig_in(rig, 0xae04, 4), 0);
    piix4_pm_slot_eject(rig->dev, 31);
    assert_int_equal(rig_in(rig, 0xae07, 1), 0x80);
    rig_out(rig, 0xae0b, 1, 0x80);
    assert_int_equal(ejected, 0x80000000);
    piix4_pm_slot_added(rig->dev, 5);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(rig_in(rig, 0xae00, 4), 0);
}

static void a_block_moved_onto_another_device_answers_nowhere(void **state)
{
    struct rig *rig = *state;

    bus_pci_write(rig->bus, SBDF, 0x80, 1, 1);
    bus_pci_write(rig->bus, SBDF, 0x40, 4, 0xaf01); /* PM1_CNT would be in the CPU map */
    assert_int_equal(rig_in(rig, 0xaf04, 2), 0);
    rig_out(rig, 0xaf04, 2, 0x2000);
    assert_int_equal(rig->fake.power_offs, 0);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_VENDOR_ID, 4), 0x71138086);
    program(rig);
    rig_out(rig, 0xb2, 1, 0xf1);
    assert_int_equal(rig_in(rig, 0xb004, 2) & 1, 1);
    rig_out(rig, 0xafe0, 4, 0x0000ffff);
    assert_false(rig->fake.isa[9]);
}

static void state_survives(void **state)
{
    struct rig *rig = *state;

    program(rig);
    rig_out(rig, 0xb2, 1, 0xf1);
    rig_out(rig, 0xafe2, 2, 0x0004);
    piix4_pm_set_vcpu(rig->dev, 5, true);
    rig->fake.isa[9] = false;
    rig_reload(rig);
    assert_true(rig->fake.isa[9]);
    assert_int_equal(rig_in(rig, 0xaf00, 1), 0x23);
    assert_int_equal(rig_in(rig, 0xb004, 2), 1);
    rig_hostile_states(rig, poke);
    rig->dev->ops->reset(rig->dev);
    assert_false(rig->fake.isa[9]);
    assert_int_equal(rig_in(rig, 0xb004, 2), 0xffff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_power_management_function),
        TEST(pm1_control_answers_where_firmware_put_it),
        TEST(acpi_is_enabled_by_the_smi_command_port),
        TEST(soft_off_powers_off),
        TEST(suspend_to_ram_and_reserved_types_do_nothing),
        TEST(plugging_a_cpu_raises_the_sci_until_its_status_is_cleared),
        TEST(a_masked_event_waits_for_its_enable_bit),
        TEST(hotplug_registers_say_that_nothing_moves),
        TEST(a_slot_comes_and_goes_with_events),
        TEST(a_block_moved_onto_another_device_answers_nowhere),
        TEST(state_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
