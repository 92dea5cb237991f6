/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests without emulated devices: PV and PVH domains, of which PV disks are all there is here. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/worker_process.h"
#include "tests/unit/pvdisk_rig.h"

static void a_guest_without_emulated_devices_has_its_disks_served(void **state)
{
    struct pvdisk_rig *rig = *state;

    assert_int_equal(pvdisk_attach_pv(rig, NULL), 0);
    assert_int_equal(rig->guest.claimed, 0);
    assert_int_equal(guest_rig_records(&rig->guest), 0); /* there is no server to be removed */
    assert_int_equal(rig->watches, 1);
    for (unsigned i = 0; i < 2; i++) { /* block-attach, block-detach, and again */
        pvdisk_offer(rig);
        pvdisk_make_ring(rig);
        pvdisk_front_connects(rig);
        memset(pv_rig_page(&rig->front, 1), 0x5a + (int)i, GRANT_PAGE);
        pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
        pvdisk_request(rig, BLKIF_READ, 2, 16, 2);
        assert_int_equal(*pv_rig_page(&rig->front, 2), 0x5a + i);
        assert_true(pvdisk_image_is_locked(rig));
        pvdisk_detach_disk(rig);
        assert_false(pvdisk_image_is_locked(rig));
    }
    pvdisk_detach(rig);
}

static void a_cdrom_of_a_guest_without_emulated_drives_is_a_pv_disk(void **state)
{
    struct pvdisk_rig *rig = *state;

    assert_int_equal(pvdisk_attach_pv(rig, NULL), 0);
    pvdisk_directories(rig, "a.img");
    pvdisk_back(rig, "device-type", "cdrom");
    pvdisk_back(rig, "mode", "r");
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "info"),
                        "5"); /* CD-ROM, read-only */
    pvdisk_detach(rig);
}

static void a_guest_without_emulated_devices_is_there_for_pv_disks_only(void **state)
{
    struct pvdisk_rig *rig = *state;
    char why[GUEST_WHY_SIZE];

    rig->guest.daemon.config.pv_disks = false;
    assert_int_equal(pvdisk_attach_pv(rig, why), -EOPNOTSUPP);
    assert_non_null(strstr(why, "pv_disks"));
}

static void a_domains_pv_disks_are_served_by_one(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct rig_outcome outcome;
    char why[GUEST_WHY_SIZE];

    rig->guest.domid = 5;
    guest_rig_attach(&rig->guest, "{'name': 'b'}", &outcome);
    guest_rig_settle(&rig->guest, 1);
    assert_int_equal(pvdisk_attach_pv(rig, why), -EEXIST);
    assert_non_null(strstr(why, "served already: guest b"));
    pvdisk_detach(rig);
    assert_int_equal(pvdisk_attach_pv(rig, NULL), 0);
    pvdisk_detach(rig);
}

static void hold_worker(struct pvdisk_rig *rig, const struct guest *guest)
{
    if (rig->processes)
        assert_int_equal(kill(worker_process_pid(guest->worker), SIGSTOP), 0);
    else
        guest_rig_hold_worker(&rig->guest);
}

static void release_worker(struct pvdisk_rig *rig, const struct guest *guest)
{
    if (rig->processes)
        assert_int_equal(kill(worker_process_pid(guest->worker), SIGCONT), 0);
    else
        guest_rig_release_worker(&rig->guest);
}

/* xl reboot: the disks of the domain before look closed, and one is not yet. */
static void a_disk_waits_for_its_image_of_the_domain_before(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct rig_outcome outcome;
    char json[256];

    snprintf(json, sizeof(json), "{'name': 'b', 'disks': [{'vdev': 'hda', 'path': '%s/a.img'}]}",
             rig->guest.dir);
    rig->guest.domid = 4;
    guest_rig_attach(&rig->guest, json, &outcome);
    guest_rig_settle(&rig->guest, 1);
    assert_int_equal(pvdisk_attach_pv(rig, NULL), 0);
    hold_worker(rig, rig->guest.daemon.guests->next);
    guest_detach(rig->guest.daemon.guests->next, NULL, NULL);
    pvdisk_directories(rig, "a.img");
    pvdisk_event(rig);
    pvdisk_event(rig);
    assert_string_equal(pvdisk_state(rig), "1");
    release_worker(rig, rig->guest.daemon.guests->next);
    pvdisk_wait(rig, "2");
    guest_rig_settle(&rig->guest, 1);
    pvdisk_detach(rig);
}

#define T PVDISK_TEST_BOTH
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_guest_without_emulated_devices_has_its_disks_served),
        T(a_cdrom_of_a_guest_without_emulated_drives_is_a_pv_disk),
        T(a_guest_without_emulated_devices_is_there_for_pv_disks_only),
        T(a_domains_pv_disks_are_served_by_one),
        T(a_disk_waits_for_its_image_of_the_domain_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
