/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "tests/unit/device_rig.h"

#define SBDF PCI_DEVFN(2, 0)

/* The machine's half of unplugging, written down. */
static unsigned unplugged, unplugged_aux, unplugged_nics;

void machine_unplug_disks(struct machine *machine)
{
    unplugged++;
}

void machine_unplug_aux_disks(struct machine *machine)
{
    unplugged_aux++;
}

void machine_unplug_nics(struct machine *machine)
{
    unplugged_nics++;
}

static struct rig *start(enum machine_unplug policy)
{
    static struct rig rig;

    unplugged = unplugged_aux = unplugged_nics = 0;
    rig_init(&rig);
    rig.spec.unplug = policy;
    rig_create(&rig, xen_platform_create);
    return &rig;
}

static int setup_unplug(void **state)
{
    *state = start(MACHINE_UNPLUG_DISKS);
    return 0;
}

static int setup_never(void **state)
{
    *state = start(MACHINE_UNPLUG_NEVER);
    return 0;
}

static int teardown(void **state)
{
    rig_finish(*state);
    return 0;
}

static void it_is_the_device_that_pv_drivers_bind_to(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_VENDOR_ID, 4), 0x00015853);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_INTERRUPT_PIN, 1), 1);
    bus_pci_write(rig->bus, SBDF, PCI_BAR0, 4, 0xffffffff);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_BAR0, 4), 0xffffff01);
    bus_pci_write(rig->bus, SBDF, PCI_BAR0 + 4, 4, 0xffffffff);
    assert_int_equal(bus_pci_read(rig->bus, SBDF, PCI_BAR0 + 4, 4), 0xff000008);
    bus_pci_write(rig->bus, SBDF, PCI_BAR0, 4, 0xc000);
    bus_pci_write(rig->bus, SBDF, PCI_BAR0 + 4, 4, 0xf0000000);
    bus_pci_write(rig->bus, SBDF, PCI_COMMAND, 2, 3);
    assert_int_equal(rig_in(rig, 0xc000, 1), 1);
    rig_out(rig, 0xc000, 1, 0xfe);
    assert_int_equal(rig_in(rig, 0xc000, 1), 2);
    assert_int_equal(rig_in(rig, 0xc0ff, 1), 0xff);
    bus_write(rig->bus, BUS_MMIO, 0xf0000000, 8, 1);
    assert_int_equal(bus_read(rig->bus, BUS_MMIO, 0xf0000000, 8), 0);
}

/* As Linux's platform-pci-unplug does it. */
static void a_pv_guest_unplugs_its_disks_and_nics(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_in(rig, 0x10, 2), 0x49d2);
    assert_int_equal(rig_in(rig, 0x12, 1), 1);
    rig_out(rig, 0x12, 2, 3);
    rig_out(rig, 0x10, 4, 0xff);
    assert_int_equal(rig_in(rig, 0x10, 2), 0x49d2);
    assert_int_equal(unplugged, 0);
    rig_out(rig, 0x10, 2, 3);
    assert_int_equal(unplugged, 1);
    assert_int_equal(unplugged_nics, 1);
    assert_int_equal(unplugged_aux, 0);
    rig_out(rig, 0x10, 2, 4);
    assert_int_equal(unplugged_aux, 1);
    rig_out(rig, 0x10, 2, 5);
    assert_int_equal(unplugged, 2);
    assert_int_equal(unplugged_aux, 1);
    assert_int_equal(unplugged_nics, 1);
    rig_out(rig, 0x10, 2, 2); /* NICs only */
    rig_out(rig, 0x10, 1, 1); /* not a width of the protocol */
    assert_int_equal(unplugged, 2);
    assert_int_equal(unplugged_nics, 2);
}

static void without_pv_backends_the_protocol_is_not_there(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_in(rig, 0x10, 2), 0xffff);
    assert_int_equal(rig_in(rig, 0x12, 1), 0xff);
    rig_out(rig, 0x10, 2, 1);
    rig_out(rig, 0x10, 2, 2);
    rig_out(rig, 0x10, 2, 4);
    rig_out(rig, 0x12, 1, 'x');
    rig_out(rig, 0x12, 1, '\n');
    assert_int_equal(unplugged + unplugged_aux + unplugged_nics, 0);
    assert_int_equal(rig->fake.logs, 0);
}

static void guest_log(struct rig *rig, const char *text)
{
    for (; *text; text++)
        rig_out(rig, 0x12, 1, (uint8_t)*text);
}

static void a_line_of_the_guest_is_logged_in_plain_ascii(void **state)
{
    struct rig *rig = *state;

    guest_log(rig, "hello \x1b[2J \"quoted\" \xff\n");
    assert_string_equal(fake_host_last_log(&rig->fake),
                        "xen-platform: event=guest-log text=\"hello ?[2J ?quoted? ?\"");
    guest_log(rig, "\n");
    assert_int_equal(rig->fake.logs, 1);
}

/* XSA-180 (CVE-2014-3672): the guest fills the disk with log lines. */
static void xsa_180_guest_log_lines_are_limited(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 10000; i++)
        guest_log(rig, "spam spam spam\n");
    assert_true(rig->fake.logs <= 20);
    for (unsigned i = 0; i < 1000000; i++)
        guest_log(rig, "x"); /* a line that never ends */
    assert_true(rig->fake.logs <= 20);
    for (unsigned i = 0; i < 1000; i++)
        rig_out(rig, 0x10, 2, 1);
    assert_true(rig->fake.logs <= 20);
    assert_int_equal(rig->dev->n_counters, 1);
    assert_true(*rig->dev->counters[0].value > 9000);
    fake_host_advance(&rig->fake, 3000000000ull);
    unsigned before = rig->fake.logs;
    for (unsigned i = 0; i < 100; i++)
        guest_log(rig, "later\n");
    assert_int_equal(rig->fake.logs - before, 3);
    fake_host_advance(&rig->fake, UINT64_MAX / 2);
    before = rig->fake.logs;
    for (unsigned i = 0; i < 100; i++)
        guest_log(rig, "much later\n");
    assert_int_equal(rig->fake.logs - before, 20);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *rig)
{
    assert_int_equal(rig_in(rig, 0x10, 2), 0x49d2);
    bus_pci_write(rig->bus, SBDF, PCI_BAR0, 4, 0xc000);
    bus_pci_write(rig->bus, SBDF, PCI_COMMAND, 2, 3);
    rig_in(rig, 0xc000, 4);
}

static void state_survives(void **state)
{
    struct rig *rig = *state;

    bus_pci_write(rig->bus, SBDF, PCI_BAR0, 4, 0xc000);
    bus_pci_write(rig->bus, SBDF, PCI_COMMAND, 2, 3);
    rig_out(rig, 0x12, 2, 3);
    rig_reload(rig);
    assert_int_equal(rig_in(rig, 0xc000, 1), 1);
    rig_hostile_states(rig, poke);
    rig->dev->ops->reset(rig->dev);
    assert_int_equal(rig_in(rig, 0xc000, 1), 0xff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_unplug, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_device_that_pv_drivers_bind_to),
        TEST(a_pv_guest_unplugs_its_disks_and_nics),
        cmocka_unit_test_setup_teardown(without_pv_backends_the_protocol_is_not_there, setup_never,
                                        teardown),
        TEST(a_line_of_the_guest_is_logged_in_plain_ascii),
        TEST(xsa_180_guest_log_lines_are_limited),
        TEST(state_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
