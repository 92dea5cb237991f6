/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "tests/unit/machine_rig.h"

#define ISA      PCI_DEVFN(1, 0)
#define IDE      PCI_DEVFN(1, 1)
#define PM       PCI_DEVFN(1, 3)
#define PLATFORM PCI_DEVFN(2, 0)

static struct machine_rig rig;

static void create(void)
{
    char why[128] = "";

    if (machine_rig_create(&rig, why, sizeof(why)))
        fail_msg("%s", why);
}

static int setup(void **state)
{
    machine_rig_init(&rig);
    return 0;
}

static int teardown(void **state)
{
    machine_rig_finish(&rig);
    return 0;
}

static uint8_t in(uint16_t port)
{
    return (uint8_t)machine_rig_in(&rig, port, 1);
}

static void out(uint16_t port, uint8_t value)
{
    machine_rig_out(&rig, port, 1, value);
}

/* hvmloader's pci_setup(), in short. */
static void firmware(void)
{
    for (uint8_t link = 0; link < 4; link++)
        machine_rig_set_config(&rig, ISA, (uint8_t)(0x60 + link), 1, link == 3 ? 5 : 10);
    machine_rig_set_config(&rig, PM, 0x40, 4, 0xb001);
    machine_rig_set_config(&rig, PM, 0x80, 1, 0x01);
    machine_rig_set_config(&rig, IDE, 0x40, 2, 0x8000);
    machine_rig_set_config(&rig, IDE, 0x42, 2, 0x8000);
    machine_rig_set_config(&rig, IDE, 0x20, 4, 0xc100);
    machine_rig_set_config(&rig, IDE, PCI_COMMAND, 2, 5);
    machine_rig_set_config(&rig, PLATFORM, 0x10, 4, 0xc000);
    machine_rig_set_config(&rig, PLATFORM, 0x14, 4, 0xf0000000);
    machine_rig_set_config(&rig, PLATFORM, PCI_COMMAND, 2, 7);
}

static void a_primary_machine_has_what_firmware_asserts(void **state)
{
    create();
    assert_int_equal(machine_rig_config(&rig, PCI_DEVFN(0, 0), 0), 0x12378086);
    assert_int_equal(machine_rig_config(&rig, ISA, 0), 0x70008086);
    assert_int_equal(machine_rig_config(&rig, ISA, 0x0c) >> 16 & 0xff, 0x80);
    assert_int_equal(machine_rig_config(&rig, IDE, 0), 0x70108086);
    assert_int_equal(machine_rig_config(&rig, IDE, 8) >> 8, 0x010180);
    assert_int_equal(machine_rig_config(&rig, PM, 0), 0x71138086);
    assert_int_equal(machine_rig_config(&rig, PLATFORM, 0), 0x00015853);
    assert_int_equal(machine_rig_config(&rig, PCI_DEVFN(3, 0), 0), 0xffffffff);
    assert_int_equal(rig.funcs, 5);
    firmware();
    assert_int_equal(rig.fake.link[0], 10);
    assert_int_equal(rig.fake.link[3], 5);
    /* acpi_enable_sci() */
    assert_int_equal(machine_rig_in(&rig, 0xb004, 2), 0);
    out(0xb2, 0xf1);
    assert_int_equal(machine_rig_in(&rig, 0xb004, 2), 1);
    /* Well below the 256 that the hypervisor allows a server. */
    assert_in_range(rig.ranges, 15, 64);
}

static void what_the_hypervisor_emulates_is_not_claimed(void **state)
{
    static const uint16_t ports[] = {0x20,  0x21,  0xa0, 0xa1,   0x40,   0x43,  0x61,
                                     0x4d0, 0x4d1, 0xe9, 0xb000, 0xb002, 0xb008};

    create();
    firmware();
    for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        assert_int_equal(in(ports[i]), 0xff);
}

static void the_platform_device_is_there_only_when_asked_for(void **state)
{
    rig.spec.platform = false;
    create();
    assert_int_equal(machine_rig_config(&rig, PLATFORM, 0), 0xffffffff);
    assert_int_equal(machine_rig_in(&rig, 0x10, 2), 0xffff);
}

static void a_secondary_machine_is_a_disk_controller_and_nothing_else(void **state)
{
    rig.spec.role = MACHINE_SECONDARY;
    create();
    assert_int_equal(rig.ranges, 0);
    assert_int_equal(rig.funcs, 1);
    assert_int_equal(bus_pci_read(machine_bus(rig.machine), PCI_DEVFN(9, 0), 0, 4), 0x06461095);
    assert_non_null(machine_dev(rig.machine, 0));
    assert_null(machine_dev(rig.machine, 1));
    machine_set_vcpu(rig.machine, 1, true); /* nobody there to tell */
    machine_rig_migrate(&rig);
}

static void a_machine_without_devices_answers_nothing(void **state)
{
    rig.spec.role = MACHINE_NONE;
    create();
    assert_int_equal(rig.ranges + rig.funcs, 0);
    assert_null(machine_dev(rig.machine, 0));
    assert_int_equal(in(0x1f7), 0xff);
    assert_false(machine_disk_leaving(rig.machine, 0));
    machine_set_unplug(rig.machine, MACHINE_UNPLUG_DISKS);
    machine_reset(rig.machine);
    machine_rig_migrate(&rig);
}

static void a_refused_claim_names_the_device_and_leaves_nothing(void **state)
{
    char why[128];
    unsigned n = 0;

    for (;; n++) {
        rig.claims_left = n;
        strcpy(why, "");
        int err = machine_rig_create(&rig, why, sizeof(why));
        if (!err)
            break;
        assert_int_equal(err, -ENOSPC);
        assert_non_null(strchr(why, ':'));
        assert_int_equal(rig.ranges + rig.funcs, 0);
        assert_null(rig.line.ops);
    }
    assert_in_range(n, 20, 64);
}

static void wait_not_busy(void)
{
    for (unsigned i = 0; i < 100 && (in(0x1f7) & 0x80); i++)
        machine_rig_settle(&rig);
    assert_int_equal(in(0x1f7) & 0x89, 0x08); /* DRQ, no error */
}

/* SeaBIOS's way to the boot sector. */
static void firmware_reads_the_boot_sector(void **state)
{
    uint8_t sector[512];

    create();
    firmware();
    out(0x1f6, 0xe0);
    out(0x1f2, 1);
    out(0x1f3, 0);
    out(0x1f4, 0);
    out(0x1f5, 0);
    out(0x1f7, 0x20);
    wait_not_busy();
    bus_port_read_block(machine_bus(rig.machine), 0x1f0, 2, sector, 256);
    assert_memory_equal(sector, rig.disk[0], 512);
    assert_int_equal(in(0x1f7) & 0x08, 0);
}

/* A cable without drives reads as pulled up but for bit 7 (ATA8-AAM); beside a drive, an absent one
 * is not ready. */
static bool absent(uint8_t status)
{
    return status == 0x7f || !(status & 0x40);
}

static void a_pv_guest_unplugs_disks_and_they_are_gone(void **state)
{
    create();
    firmware();
    out(0x1f6, 0xe0);
    assert_int_equal(in(0x1f7), 0x50);
    out(0x176, 0xf0);
    assert_int_equal(in(0x177), 0x50);
    assert_int_equal(machine_rig_in(&rig, 0x10, 2), 0x49d2);
    machine_rig_out(&rig, 0x10, 2, 0x0004); /* auxiliary: the primary master stays */
    machine_rig_settle(&rig);
    assert_int_equal(in(0x1f7), 0x50);
    out(0x176, 0xf0);
    assert_true(absent(in(0x177)));
    machine_rig_out(&rig, 0x10, 2, 0x0001);
    machine_rig_settle(&rig);
    out(0x1f6, 0xe0);
    assert_true(absent(in(0x1f7)));
}

static void vcpu_set_reaches_the_acpi_map(void **state)
{
    create();
    assert_int_equal(in(0xaf00), 0x03);
    machine_set_vcpu(rig.machine, 2, true);
    assert_int_equal(in(0xaf00), 0x07);
    machine_set_vcpu(rig.machine, 1, false);
    assert_int_equal(in(0xaf00), 0x05);
}

static void a_reset_machine_is_as_at_power_on(void **state)
{
    create();
    unsigned ranges = rig.ranges;
    firmware();
    assert_true(rig.ranges > ranges);
    out(0x64, 0xfe);
    assert_int_equal(rig.fake.power_resets, 1);
    machine_reset(rig.machine);
    assert_int_equal(rig.ranges, ranges);
    assert_int_equal(rig.fake.link[0], 0);
    firmware();
    assert_int_equal(machine_rig_in(&rig, 0xb004, 2), 0);
}

static void a_machine_survives_migration(void **state)
{
    create();
    machine_rig_migrate(&rig);
    firmware();
    out(0x3fc, 0x0b);
    out(0x64, 0xaa);
    out(0xb2, 0xf1);
    unsigned ranges = rig.ranges;
    machine_rig_migrate(&rig);
    assert_int_equal(rig.ranges, ranges);
    assert_int_equal(in(0x60), 0x55);
    assert_int_equal(machine_rig_in(&rig, 0xb004, 2), 1);
    assert_int_equal(rig.fake.link[0], 10);
}

static void state_of_another_machine_is_refused(void **state)
{
    static uint8_t buf[65536];
    struct state_writer writer;
    struct state_reader reader;

    create();
    state_writer_init(&writer, buf, sizeof(buf));
    machine_save(rig.machine, &writer);
    assert_int_equal(writer.error, 0);
    machine_rig_destroy(&rig);
    rig.spec.platform = false;
    create();
    state_reader_init(&reader, buf, writer.pos);
    assert_int_equal(machine_load(rig.machine, &reader), -EBADMSG);
    machine_rig_destroy(&rig);
    rig.spec.role = MACHINE_SECONDARY;
    create();
    state_reader_init(&reader, buf, writer.pos);
    assert_int_equal(machine_load(rig.machine, &reader), -EBADMSG);
}

static void every_device_has_a_name_and_its_own_section(void **state)
{
    create();
    unsigned n = 0;
    for (const struct dev *dev; (dev = machine_dev(rig.machine, n)); n++) {
        assert_non_null(dev->name);
        assert_true(strlen(dev->ops->model) <= STATE_NAME_MAX);
        assert_true(dev->ops->version >= 1);
        assert_non_null(dev->ops->save);
        assert_non_null(dev->ops->load);
        for (unsigned i = 0; i < n; i++)
            assert_string_not_equal(dev->ops->model, machine_dev(rig.machine, i)->ops->model);
    }
    assert_int_equal(n, 11);
    assert_null(machine_dev(rig.machine, UINT_MAX));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_primary_machine_has_what_firmware_asserts),
        TEST(what_the_hypervisor_emulates_is_not_claimed),
        TEST(the_platform_device_is_there_only_when_asked_for),
        TEST(a_secondary_machine_is_a_disk_controller_and_nothing_else),
        TEST(a_machine_without_devices_answers_nothing),
        TEST(a_refused_claim_names_the_device_and_leaves_nothing),
        TEST(firmware_reads_the_boot_sector),
        TEST(a_pv_guest_unplugs_disks_and_they_are_gone),
        TEST(vcpu_set_reaches_the_acpi_map),
        TEST(a_reset_machine_is_as_at_power_on),
        TEST(a_machine_survives_migration),
        TEST(state_of_another_machine_is_refused),
        TEST(every_device_has_a_name_and_its_own_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
