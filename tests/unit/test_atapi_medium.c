/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The medium of a CD-ROM drive and its tray: changes, locks, events. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/atapi_rig.h"

static int with_medium(void **state)
{
    return atapi_rig_setup(MEDIUM_BLOCKS * 4);
}

static int empty_tray(void **state)
{
    return atapi_rig_setup(0);
}

static int finish(void **state)
{
    atapi_rig_finish();
    return 0;
}

static void an_empty_drive_says_so(void **state)
{
    static const uint8_t needs[] = {0x00, 0x25, 0x28, 0x2b, 0x43, 0x51, 0x52, 0xa8, 0xad, 0xbe};

    for (unsigned i = 0; i < sizeof(needs); i++)
        assert_sense(packet(0, CDB(needs[i], [8] = 1)), 0x2, 0x3a01);
    assert_sense(packet(0, CDB(0x1b, [4] = 1)), 0x2, 0x3a01);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 2)), 0);
    assert_sense(packet(0, CDB(0x1b, [4] = 1)), 0x2, 0x3a02);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a02);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 3)), 0);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a01);
    assert_true(packet(512, CDB(0x46, [7] = 2)) > 8);
    assert_int_equal(reply[6] | reply[7], 0); /* no current profile */
}

static void assert_event(uint8_t event, uint8_t status)
{
    assert_int_equal(packet(64, CDB(0x4a, 0x01, [4] = 0x10, [8] = 64)), 8);
    assert_int_equal(reply[1], 6);
    assert_int_equal(reply[2], 4);
    assert_int_equal(reply[4], event);
    assert_int_equal(reply[5], status);
}

static void a_change_of_the_medium_is_noticed(void **state)
{
    struct blk *old;

    assert_int_equal(atapi_eject(cd(), false, &old), 0);
    assert_ptr_equal(old, rig.spec.drive[CD].blk);
    blk_close(old, NULL, NULL);
    assert_event(3, 0x01);
    assert_sense(packet(0, CDB(0x28, [8] = 1)), 0x2, 0x3a02);
    assert_int_equal(atapi_insert(cd(), ide_rig_medium(&rig, CD, 500 * 4)), 0);
    assert_event(2, 0x02);
    assert_event(0, 0x02);
    assert_sense(packet(0, CDB(0x00)), 0x6, 0x2800);
    assert_int_equal(packet(8, CDB(0x25)), 8);
    assert_int_equal(reply[2] << 8 | reply[3], 499);
    assert_int_equal(atapi_insert(cd(), rig.spec.drive[CD].blk), -EBUSY);
}

static void the_guest_ejects_and_loads(void **state)
{
    assert_event(2, 0x02); /* of power on */
    assert_int_equal(packet(0, CDB(0x1b, [4] = 2)), 0);
    assert_event(3, 0x01);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a02);
    rig.dev->ops->reset(rig.dev); /* the tray stays as it is: no boot from it again */
    ide_rig_program(&rig);
    assert_sense(packet(0, CDB(0x00)), 0x6, 0x2900);
    assert_sense(packet(0, CDB(0x00)), 0x2, 0x3a02);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 3)), 0);
    assert_event(2, 0x02);
    assert_sense(packet(0, CDB(0x00)), 0x6, 0x2800);
    assert_int_equal(packet(0, CDB(0x00)), 0);
}

static void a_locked_tray_keeps_its_medium(void **state)
{
    struct blk *old = NULL;

    assert_event(2, 0x02);
    assert_int_equal(packet(0, CDB(0x1e, [4] = 1)), 0);
    assert_sense(packet(0, CDB(0x1b, [4] = 2)), 0x5, 0x5302);
    assert_int_equal(atapi_eject(cd(), false, &old), -EBUSY);
    assert_null(old);
    assert_event(1, 0x02); /* somebody wants it out */
    assert_int_equal(packet(0, CDB(0x00)), 0);
    assert_int_equal(packet(0, CDB(0x1e)), 0);
    assert_int_equal(packet(0, CDB(0x1b, [4] = 2)), 0);
    assert_int_equal(packet(0, CDB(0x1e, [4] = 1)), 0); /* an open one cannot be held */
    assert_int_equal(atapi_eject(cd(), false, &old), 0);
    blk_close(old, NULL, NULL);
    rig.spec.drive[CD].blk = NULL;
}

static void force_takes_the_medium_from_a_locked_tray_and_a_running_read(void **state)
{
    struct blk *old;

    for (unsigned how = 0; how < 3; how++) {
        packet(0, CDB(0x1e, [4] = 1));
        ide_rig_fault(&rig, CD, &(struct mem_faults){.hold = how > 0});
        rig_prd(&rig, TABLE, 0, RAM, 65536, true);
        memset(rig.fake.ram + RAM, 0xee, 4096);
        rig_packet(&rig, CD, CDB(0x28, [8] = 2), how == 2, 2048);
        rig_dma_setup(&rig, 1, TABLE, true);
        rig_dma_start(&rig, 1, true);
        ide_rig_settle(&rig);
        assert_int_equal(rig_status(&rig, CD), how ? ATA_SR_BSY : READY | ATA_SR_DRQ);
        assert_int_equal(atapi_eject(cd(), true, &old), 0);
        assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_ERR);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), 0x20);
        assert_true(rig_irq(&rig, CD));
        rig_ack(&rig, CD);
        mem_set_faults(rig.image[CD], &(struct mem_faults){0});
        blk_close(old, NULL, NULL);
        ide_rig_settle(&rig);
        assert_int_equal(rig.fake.ram[RAM], 0xee); /* nothing lands late */
        rig_dma_stop(&rig, 1);
        packet(18, CDB(0x03, [4] = 18));
        assert_int_equal(reply[12] << 8 | reply[13], 0x3a02);
        atapi_insert(cd(), ide_rig_medium(&rig, CD, 400));
        assert_sense(packet(0, CDB(0x00)), 0x6, 0x2800);
    }
}

/* The unplug protocol (docs/misc/hvm-emulated-unplug) takes disks, not CD-ROMs. */
static void an_unplug_of_disks_leaves_the_drive(void **state)
{
    rig_packet(&rig, CD, CDB(0x28, [5] = 9, [8] = 1), 0, 2048);
    piix3_ide_unplug_aux_disks(rig.dev);
    piix3_ide_unplug_disks(rig.dev);
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, 0), 0x7f);
    assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
    rig_read_data(&rig, CD, reply, 2048);
    assert_medium_bytes(reply, 9 * 2048, 2048);
    assert_int_equal(rig_ack(&rig, CD), READY);
}

#define MEDIUM(name) cmocka_unit_test_setup_teardown(name, with_medium, finish)
#define EMPTY(name)  cmocka_unit_test_setup_teardown(name, empty_tray, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(an_empty_drive_says_so),
        MEDIUM(a_change_of_the_medium_is_noticed),
        MEDIUM(the_guest_ejects_and_loads),
        MEDIUM(a_locked_tray_keeps_its_medium),
        MEDIUM(force_takes_the_medium_from_a_locked_tray_and_a_running_read),
        MEDIUM(an_unplug_of_disks_leaves_the_drive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
