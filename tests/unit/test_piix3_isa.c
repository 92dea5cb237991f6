/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "tests/unit/device_rig.h"

#define SBDF PCI_DEVFN(1, 0)

static int setup(void **state)
{
    static struct rig rig;

    rig_init(&rig);
    rig_create(&rig, piix3_isa_create);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

static void it_is_a_multifunction_isa_bridge(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_VENDOR_ID, 4), 0x70008086);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_CLASS_SUB, 2), 0x0601);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_HEADER_TYPE, 1), 0x80);
}

static void links_are_routed_as_firmware_writes_them(void **state)
{
    struct rig *rig = *state;
    static const uint8_t irqs[4] = {5, 10, 11, 5}; /* hvmloader's */

    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x60, 4), 0x80808080);
    for (unsigned link = 0; link < 4; link++) {
        bus_pci_write(rig->bus, SBDF, 0x60 + link, 1, irqs[link]);
        assert_int_equal(rig->fake.link[link], irqs[link]);
        assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x60 + link, 1), irqs[link]);
    }
    bus_pci_write(rig->bus, SBDF, 0x60, 4, 0x0a0b800c);
    assert_int_equal(rig->fake.link[0], 12);
    assert_int_equal(rig->fake.link[1], 0);
    assert_int_equal(rig->fake.link[2], 11);
    assert_int_equal(rig->fake.link[3], 10);
}

static void disabling_a_link_or_a_reserved_irq_routes_nowhere(void **state)
{
    struct rig *rig = *state;
    static const uint8_t nowhere[] = {0x8b, 0, 1, 2, 8, 13};

    for (unsigned i = 0; i < sizeof(nowhere); i++) {
        bus_pci_write(rig->bus, SBDF, 0x61, 1, 11);
        assert_int_equal(rig->fake.link[1], 11);
        bus_pci_write(rig->bus, SBDF, 0x61, 1, nowhere[i]);
        assert_int_equal(rig->fake.link[1], 0);
    }
}

static void reset_disconnects_the_links(void **state)
{
    struct rig *rig = *state;

    bus_pci_write(rig->bus, SBDF, 0x62, 1, 10);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(rig->fake.link[2], 0);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, 0x62, 1), 0x80);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    bus_pci_write(rig->bus, SBDF, 0x60, 4, 0x050b0a05);
    assert_int_equal(rig->fake.link[0], 5);
}

static void a_loaded_bridge_routes_again(void **state)
{
    struct rig *rig = *state;

    bus_pci_write(rig->bus, SBDF, 0x60, 4, 0x050b0a05);
    memset(rig->fake.link, 0, sizeof(rig->fake.link));
    rig_reload(rig);
    assert_int_equal(rig->fake.link[0], 5);
    assert_int_equal(rig->fake.link[1], 10);
    assert_int_equal(rig->fake.link[2], 11);
    assert_int_equal(rig->fake.link[3], 5);
    rig_hostile_states(rig, poke);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_a_multifunction_isa_bridge),
        TEST(links_are_routed_as_firmware_writes_them),
        TEST(disabling_a_link_or_a_reserved_irq_routes_nowhere),
        TEST(reset_disconnects_the_links),
        TEST(a_loaded_bridge_routes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
