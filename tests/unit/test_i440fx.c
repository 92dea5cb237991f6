/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "tests/unit/device_rig.h"

#define SBDF PCI_DEVFN(0, 0)

static int setup(void **state)
{
    static struct rig rig;

    rig_init(&rig);
    rig_create(&rig, i440fx_create);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

static void it_is_the_host_bridge(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_VENDOR_ID, 4), 0x12378086);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_CLASS_SUB, 2), 0x0600);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_HEADER_TYPE, 1), 0);
    for (unsigned bar = 0; bar < PCI_BARS; bar++) {
        bus_pci_write(rig->bus, SBDF, PCI_BAR0 + 4 * bar, 4, 0xffffffff);
        assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_BAR0 + 4 * bar, 4), 0);
    }
}

static void pam_and_smram_keep_what_firmware_writes(void **state)
{
    struct rig *rig = *state;

    for (uint32_t reg = 0x59; reg <= 0x5f; reg++) {
        bus_pci_write(rig->bus, SBDF, reg, 1, 0x33);
        assert_int_equal(bus_pci_read(rig->bus, SBDF, reg, 1), 0x33);
    }
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x72, 1), 0x02);
    bus_pci_write(rig->bus, SBDF, 0x72, 1, 0x4a);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x72, 1), 0x4a);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x59, 1), 0x00);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x72, 1), 0x02);
}

static void the_turbo_reset_register_resets_on_an_edge(void **state)
{
    struct rig *rig = *state;

    bus_pci_write(rig->bus, SBDF, 0x93, 1, 0x02);
    assert_int_equal(rig->fake.power_resets, 0);
    bus_pci_write(rig->bus, SBDF, 0x90, 4, 0x06000000);
    assert_int_equal(rig->fake.power_resets, 1);
    bus_pci_write(rig->bus, SBDF, 0x93, 1, 0x06);
    assert_int_equal(rig->fake.power_resets, 1);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    bus_pci_read(rig->bus, SBDF, 0x59, 1);
}

static void state_survives(void **state)
{
    struct rig *rig = *state;

    bus_pci_write(rig->bus, SBDF, 0x5a, 2, 0x1331);
    rig_reload(rig);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x5a, 2), 0x1331);
    rig_hostile_states(rig, poke);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_host_bridge),
        TEST(pam_and_smram_keep_what_firmware_writes),
        TEST(the_turbo_reset_register_resets_on_an_edge),
        TEST(state_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
