/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NICs in a machine: where they are, and how they come and go. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/backend/nets.h"
#include "devices/pci.h"
#include "tests/unit/machine_rig.h"

#define E1000_ID 0x100e8086u

static struct machine_rig rig;
static uint8_t rom[4096];

static struct machine_nic nic_with(uint8_t slot)
{
    struct machine_nic nic = {.model = "e1000", .mac = {0, 0x16, 0x3e, 1, 2, 3}, .slot = slot};
    struct net_port *port;

    assert_int_equal(net_null_open(fake_loop(rig.loop), &port), 0);
    assert_int_equal(net_open(port, &nic.net), 0);
    return nic;
}

static void create(void)
{
    char why[128] = "";

    if (machine_rig_create(&rig, why, sizeof(why)))
        fail_msg("%s", why);
}

static int setup(void **state)
{
    machine_rig_init(&rig);
    rig.spec.nic[0] = nic_with(0);
    rig.spec.nic[2] = nic_with(12);
    memcpy(rom, "\x55\xaa\x08", 3);
    rig.spec.nic[0].rom = rom;
    rig.spec.nic[0].rom_bytes = sizeof(rom);
    return 0;
}

static int teardown(void **state)
{
    struct net *nets[MACHINE_NICS];

    for (unsigned i = 0; i < MACHINE_NICS; i++)
        nets[i] = rig.spec.nic[i].net;
    machine_rig_destroy(&rig);
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        net_close(nets[i]);
    machine_rig_finish(&rig);
    return 0;
}

static uint32_t id_at(uint8_t slot)
{
    return machine_rig_config(&rig, PCI_DEVFN(slot, 0), 0);
}

static void nics_are_in_their_slots(void **state)
{
    unsigned n = 0, found = 0;

    create();
    assert_int_equal(id_at(4), E1000_ID);
    assert_int_equal(id_at(12), E1000_ID);
    assert_int_equal(id_at(5), 0xffffffff);
    assert_true(machine_has_nic(rig.machine, 0) && machine_has_nic(rig.machine, 2));
    assert_false(machine_has_nic(rig.machine, 1) || machine_has_nic(rig.machine, UINT_MAX));
    for (const struct dev *dev; (dev = machine_dev(rig.machine, n)); n++)
        if (!strcmp(dev->name, "nic0") || !strcmp(dev->name, "nic2"))
            found++;
    assert_int_equal(found, 2);
    assert_true(machine_nic_model("e1000"));
    assert_true(machine_nic_model("ne2k_pci"));
    assert_false(machine_nic_model("e100"));
}

static void a_rom_is_read_through_its_bar(void **state)
{
    create();
    machine_rig_set_config(&rig, PCI_DEVFN(4, 0), PCI_ROM, 4, 0xfffff800);
    assert_int_equal(machine_rig_config(&rig, PCI_DEVFN(4, 0), PCI_ROM), 0xfffff000);
    machine_rig_set_config(&rig, PCI_DEVFN(4, 0), PCI_ROM, 4, 0xf4000001);
    machine_rig_set_config(&rig, PCI_DEVFN(4, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(bus_read(machine_bus(rig.machine), BUS_MMIO, 0xf4000000, 4), 0x08aa55);
    assert_int_equal(machine_rig_config(&rig, PCI_DEVFN(12, 0), PCI_ROM), 0); /* it has none */
}

static void a_machine_with_a_nic_that_cannot_be_is_refused(void **state)
{
    char why[128] = "";

    rig.spec.nic[0].model = "e100";
    assert_int_equal(machine_rig_create(&rig, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "nic0 (e100)"));
    rig.spec.nic[0].model = "e1000";
    rig.spec.nic[0].slot = 12;
    assert_int_equal(machine_rig_create(&rig, why, sizeof(why)), -EEXIST);
    assert_non_null(strstr(why, "nic2"));
    rig.spec.nic[0].slot = 1; /* the PIIX3's */
    assert_int_equal(machine_rig_create(&rig, why, sizeof(why)), -EEXIST);
    rig.spec.nic[0].slot = 32;
    assert_int_equal(machine_rig_create(&rig, why, sizeof(why)), -EINVAL);
    rig.spec.nic[0].slot = 0;
    create();
}

static void a_secondarys_nics_are_high(void **state)
{
    rig.spec.role = MACHINE_SECONDARY;
    rig.spec.slot = 30;
    create();
    assert_ptr_equal(bus_pci_func(machine_bus(rig.machine), PCI_DEVFN(30, 0)) != NULL, true);
    assert_non_null(bus_pci_func(machine_bus(rig.machine), PCI_DEVFN(29, 0)));
    assert_false(machine_eject_nic(rig.machine, 0)); /* its guest has another's ACPI */
    assert_true(machine_remove_nic(rig.machine, 0));
    assert_null(bus_pci_func(machine_bus(rig.machine), PCI_DEVFN(29, 0)));
}

static void a_guest_is_told_and_lets_go(void **state)
{
    struct machine_nic another;

    create();
    another = nic_with(0);
    assert_int_equal(machine_add_nic(rig.machine, 0, &another), -EEXIST);
    assert_int_equal(machine_add_nic(rig.machine, 8, &another), -EINVAL);
    assert_int_equal(machine_add_nic(rig.machine, 3, &another), 0);
    rig.spec.nic[3].net = another.net; /* closed at the end */
    assert_int_equal(id_at(7), E1000_ID);
    assert_int_equal(machine_rig_in(&rig, 0xae00, 4), 1 << 7);
    assert_int_equal(machine_rig_in(&rig, 0xae0c, 4), 1 << 4 | 1 << 7 | 1 << 12);

    assert_false(machine_eject_nic(rig.machine, 1));
    assert_true(machine_eject_nic(rig.machine, 2));
    assert_int_equal(machine_rig_in(&rig, 0xae04, 4), 1 << 12);
    assert_true(machine_has_nic(rig.machine, 2)); /* until the guest says so */
    machine_rig_out(&rig, 0xae08, 4, 1 << 12);
    assert_false(machine_has_nic(rig.machine, 2));
    assert_int_equal(id_at(12), 0xffffffff);
    assert_int_equal(machine_rig_in(&rig, 0xae0c, 4), 1 << 4 | 1 << 7);
    machine_rig_out(&rig, 0xae08, 4, 1 << 1); /* the PIIX3 stays */
    assert_int_equal(id_at(1), 0x70008086);
}

static void a_pv_guest_unplugs_nics_and_they_stay_away(void **state)
{
    create();
    machine_rig_out(&rig, 0x10, 2, 2);
    assert_int_equal(id_at(4), 0xffffffff);
    assert_int_equal(id_at(12), 0xffffffff);
    assert_int_equal(machine_rig_config(&rig, PCI_DEVFN(1, 1), 0), 0x70108086);
    machine_rig_migrate(&rig);
    assert_false(machine_has_nic(rig.machine, 0) || machine_has_nic(rig.machine, 2));
    machine_reset(rig.machine);
    assert_int_equal(id_at(4), 0xffffffff);
}

static void nics_survive_migration(void **state)
{
    create();
    machine_rig_set_config(&rig, PCI_DEVFN(4, 0), PCI_BAR0, 4, 0xf2000000);
    machine_rig_set_config(&rig, PCI_DEVFN(4, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    machine_remove_nic(rig.machine, 2);
    machine_rig_migrate(&rig);
    assert_true(machine_has_nic(rig.machine, 0));
    assert_false(machine_has_nic(rig.machine, 2));
    assert_int_equal(machine_rig_config(&rig, PCI_DEVFN(4, 0), PCI_BAR0), 0xf2000000);
}

static void state_with_a_nic_that_is_not_here_is_refused(void **state)
{
    static uint8_t buf[128 << 10];
    struct state_writer writer;
    struct state_reader reader;

    create();
    state_writer_init(&writer, buf, sizeof(buf));
    machine_save(rig.machine, &writer);
    assert_int_equal(writer.error, 0);
    machine_rig_destroy(&rig);
    rig.spec.nic[2].model = NULL;
    create();
    state_reader_init(&reader, buf, writer.pos);
    assert_int_equal(machine_load(rig.machine, &reader), -EBADMSG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nics_are_in_their_slots),
        TEST(a_rom_is_read_through_its_bar),
        TEST(a_machine_with_a_nic_that_cannot_be_is_refused),
        TEST(a_secondarys_nics_are_high),
        TEST(a_guest_is_told_and_lets_go),
        TEST(a_pv_guest_unplugs_nics_and_they_stay_away),
        TEST(nics_survive_migration),
        TEST(state_with_a_nic_that_is_not_here_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
