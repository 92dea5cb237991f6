/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PV disks whose image an emulated drive has, too: the way from the one to the other, and what
 * becomes of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pvdisk_rig.h"

/* WRITE SECTORS of one. */
static void write_emulated(struct pvdisk_rig *rig, uint8_t sector, uint8_t byte)
{
    pvdisk_enable_emulated(rig);
    pvdisk_out(rig, 0x1f6, 1, 0xe0);
    pvdisk_out(rig, 0x1f2, 1, 1);
    pvdisk_out(rig, 0x1f3, 1, sector);
    pvdisk_out(rig, 0x1f4, 1, 0);
    pvdisk_out(rig, 0x1f5, 1, 0);
    pvdisk_out(rig, 0x1f7, 1, 0x30);
    for (unsigned i = 0; i < 128; i++)
        pvdisk_out(rig, 0x1f0, 4, byte * 0x01010101u);
    assert_int_equal(pvdisk_in(rig, 0x3f6), 0x80); /* BSY: it is on its way */
}

static void a_guest_goes_from_the_emulated_drive_to_its_twin_without_losing_a_write(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct blkfront_response response;
    const uint8_t *page;

    rig->guest.have_pv = true;
    /* The write is on its way so long, reads are not. */
    pvdisk_connect(rig, pvdisk_emulated(rig, ", 'fault': {'op': 'write', 'delay_ms': 400}"));
    assert_true(rig->guest.own_pv);
    assert_int_equal(pvdisk_in(rig, 0x12), 1);
    write_emulated(rig, 16, 0xa5);
    pvdisk_out(rig, 0x10, 2, 1);
    assert_int_equal(pvdisk_in(rig, 0x1f7), 0x7f); /* nobody is there any more */
    pv_rig_page_request(&rig->front, 0, BLKIF_READ, 1, 16, 1);
    pvdisk_publish(rig);
    pvdisk_in(rig, 0x12); /* the worker has had the event */
    if (!rig->processes)
        assert_true(machine_disk_leaving(rig->guest.daemon.guests->vm->machine, 0));
    assert_false(pv_rig_response(&rig->front, 0, &response));
    pvdisk_expect(rig, 1, BLKIF_OKAY);
    page = pv_rig_page(&rig->front, 1);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(page[i], 0xa5);
    assert_int_equal(page[512], 0);
    memset(pv_rig_page(&rig->front, 2), 0x5a, GRANT_PAGE);
    pvdisk_request(rig, BLKIF_WRITE, 2, 16, 2);
    pvdisk_request(rig, BLKIF_READ, 3, 16, 1);
    assert_int_equal(page[0], 0x5a);
    pvdisk_detach(rig);
}

/* Firmware's PV driver, for one, does not unplug. */
static void a_guest_that_unplugs_nothing_is_served_both(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, pvdisk_emulated(rig, ""));
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
    assert_int_equal(pvdisk_in(rig, 0x12), 0xff);
    pvdisk_detach(rig);
}

static bool no_processes(struct guest_rig *rig, void *arg)
{
    return !rig->daemon.processes;
}

static void a_twins_lock_is_there_as_long_as_the_guest(void **state)
{
    struct pvdisk_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    pvdisk_connect(rig, pvdisk_emulated(rig, ""));
    assert_true(pvdisk_image_is_locked(rig));
    pvdisk_detach_disk(rig);
    assert_true(pvdisk_image_is_locked(rig)); /* the drive is still there */
    pvdisk_offer(rig);
    pvdisk_detach(rig);
    assert_false(pvdisk_image_is_locked(rig));
    guest_rig_run(&rig->guest, no_processes, NULL);
    assert_int_equal(guest_rig_descriptors(), descriptors);
}

static void an_image_that_another_guest_has_is_not_served(void **state)
{
    struct pvdisk_rig *rig = *state;
    char disk[128];

    snprintf(disk, sizeof(disk), "{'vdev': 'hdb', 'path': '%s/a.img'}", rig->guest.dir);
    pvdisk_attach(rig, disk);
    pvdisk_directories(rig, "a.img");
    pvdisk_event(rig);
    pvdisk_event(rig);
    assert_int_equal(rig->channels, 0);
    assert_string_equal(pvdisk_state(rig), "1");
    /* Detaching it works all the same. */
    pvdisk_take_away(rig);
    assert_string_equal(pvdisk_state(rig), "6");
    fake_store_remove(&rig->store, PVDISK_BACK);
    pvdisk_event(rig);
    assert_null(rig->guest.daemon.guests->pvdisks);
    pvdisk_detach(rig);
}

static void count_sealed(void *ctx, int priority, const char *guest, const char *device,
                         const char *text)
{
    unsigned *count = ctx;

    *count += priority == LOG_ERR &&
              !strncmp(text, "event=pv-disk-sealed vdev=xvda devid=51712 error=", 49) &&
              strstr(text, "xl block-detach and xl block-attach");
}

static bool is_counted(struct guest_rig *rig, void *arg)
{
    return *(unsigned *)arg;
}

static void a_flush_that_fails_is_told_once_and_the_disk_attached_again_is_written(void **state)
{
    struct pvdisk_rig *rig = *state;
    unsigned told = 0;

    pvdisk_connect(rig, pvdisk_emulated(rig, ", 'fault': {'op': 'flush', 'every': 1}"));
    log_set_level(&rig->guest.daemon.log, LOG_ERR);
    log_divert(&rig->guest.daemon.guests->log, count_sealed, &told);
    pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
    for (unsigned i = 0; i < 2; i++) {
        pv_rig_request(&rig->front, 0, BLKIF_FLUSH, 2 + i, 0, NULL, 0);
        pvdisk_publish(rig);
        pvdisk_expect(rig, 2 + i, BLKIF_FAILED);
    }
    pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, 4, 16, 1);
    pvdisk_publish(rig);
    pvdisk_expect(rig, 4, BLKIF_ERROR);
    pvdisk_request(rig, BLKIF_READ, 5, 16, 1);
    guest_rig_run(&rig->guest, is_counted, &told);
    pvdisk_detach_disk(rig);
    assert_int_equal(told, 1);
    pvdisk_offer(rig);
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    pvdisk_request(rig, BLKIF_WRITE, 6, 16, 1);
    pvdisk_detach(rig);
    assert_int_equal(told, 1);
}

static void a_cdrom_is_left_to_the_emulated_drive(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_attach(rig, "");
    pvdisk_directories(rig, "a.img");
    pvdisk_back(rig, "device-type", "cdrom");
    pvdisk_event(rig);
    assert_int_equal(rig->channels, 0);
    assert_string_equal(pvdisk_state(rig), "1");
    assert_false(pvdisk_image_is_locked(rig));
    pvdisk_detach(rig);
}

static void a_twin_has_the_options_of_its_drive(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_attach(rig, pvdisk_emulated(rig, ", 'read_only': true"));
    pvdisk_offer(rig);
    assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "feature-discard"), "0");
    pvdisk_detach(rig);
    rig->guest.domid = 5;
    pvdisk_attach(rig, pvdisk_emulated(rig, ", 'discard': 'ignore'"));
    pvdisk_offer(rig);
    assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "feature-discard"), "0");
    pvdisk_detach(rig);
}

/* ---- errors, pages, statistics ----------------------------------------------------------------*/

/* ---- errors -----------------------------------------------------------------------------------*/

static bool is_stopped(struct guest_rig *rig, void *arg)
{
    return rig->daemon.guests->io_stopped == *(unsigned *)arg;
}

static void a_disk_whose_error_stops_the_guest_goes_on_when_it_is_resumed(void **state)
{
    struct pvdisk_rig *rig = *state;
    unsigned stopped = 1u << MACHINE_IDE_DRIVES;
    json_t *disk;

    pvdisk_connect(rig, pvdisk_emulated(rig, ", 'werror': 'stop', 'rerror': 'stop', "
                                             "'fault': {'op': 'write', 'every': 1, 'count': 1}"));
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, 1, 16, 1);
    pvdisk_publish(rig);
    guest_rig_run(&rig->guest, is_stopped, &stopped);
    assert_int_equal(rig->guest.paused, 1);
    assert_string_equal(guest_state_name(rig->guest.daemon.guests), "io-error");
    disk = pvdisk_statistics(rig);
    assert_string_equal(json_string_value(json_object_get(json_object_get(disk, "stopped"), "op")),
                        "write");
    json_decref(disk);
    assert_int_equal(guest_resume(rig->guest.daemon.guests, true, NULL, NULL), 0);
    pvdisk_expect(rig, 1, BLKIF_OKAY);
    guest_rig_run(&rig->guest, is_stopped, &(unsigned){0});
    assert_int_equal(rig->guest.paused, 0);
    pvdisk_detach(rig);
}

/* xl takes it away by force, since the guest does not answer. */
static void a_disk_that_stops_the_guest_can_be_taken_away(void **state)
{
    struct pvdisk_rig *rig = *state;
    unsigned stopped = 1u << MACHINE_IDE_DRIVES;

    pvdisk_connect(rig,
                   pvdisk_emulated(rig, ", 'rerror': 'stop', 'fault': {'op': 'read', 'every': 1}"));
    pv_rig_page_request(&rig->front, 0, BLKIF_READ, 1, 16, 1);
    pvdisk_publish(rig);
    guest_rig_run(&rig->guest, is_stopped, &stopped);
    fake_store_remove(&rig->store, PVDISK_FRONT);
    fake_store_remove(&rig->store, PVDISK_BACK);
    pvdisk_event(rig);
    pvdisk_wait_gone(rig);
    assert_int_equal(guest_resume(rig->guest.daemon.guests, true, NULL, NULL), 0);
    guest_rig_run(&rig->guest, is_stopped, &(unsigned){0});
    assert_int_equal(rig->guest.paused, 0);
    pvdisk_enable_emulated(rig);
    assert_int_equal(pvdisk_in(rig, 0x3f6), 0x50); /* it is served again: DRDY, DSC */
    pvdisk_detach(rig);
}

static void errors_are_told_the_guest_where_nobody_says_otherwise(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, pvdisk_emulated(rig, ", 'fault': {'op': 'write', 'every': 1}"));
    pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, 1, 16, 1);
    pvdisk_publish(rig);
    pvdisk_expect(rig, 1, BLKIF_ERROR);
    assert_int_equal(rig->guest.paused, 0);
    pvdisk_detach(rig);
}

static void is_done(struct guest_call *call)
{
    call->done = NULL;
}

static bool is_called(struct guest_rig *rig, void *arg)
{
    return !((struct guest_call *)arg)->done;
}

/* As a reload of the configuration does. */
static void new_policies_of_a_drive_are_its_twins_too(void **state)
{
    struct pvdisk_rig *rig = *state;
    unsigned stopped = 1u << MACHINE_IDE_DRIVES;
    struct guest_call call = {.request.op = VM_LIVE, .done = is_done};

    call.request.live.policies = 1;
    call.request.live.on_read_error[0] = BLK_REPORT;
    call.request.live.on_write_error[0] = BLK_STOP;
    pvdisk_connect(rig, pvdisk_emulated(rig, ", 'fault': {'op': 'write', 'every': 1, 'count': 1}"));
    guest_call(rig->guest.daemon.guests, &call);
    guest_rig_run(&rig->guest, is_called, &call);
    pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, 1, 16, 1);
    pvdisk_publish(rig);
    guest_rig_run(&rig->guest, is_stopped, &stopped);
    assert_int_equal(guest_resume(rig->guest.daemon.guests, true, NULL, NULL), 0);
    pvdisk_expect(rig, 1, BLKIF_OKAY);
    guest_rig_run(&rig->guest, is_stopped, &(unsigned){0});
    pvdisk_detach(rig);
}

static bool holds_pages(struct guest_rig *rig, void *arg)
{
    return pool_share_held(rig->daemon.guests->vm->pool_share) == *(unsigned *)arg;
}

static void pages_of_its_requests_count_for_the_guests_share(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, pvdisk_emulated(rig, ", 'fault': {'op': 'write', 'delay_ms': 200}"));
    assert_int_equal(pool_share_held(rig->guest.daemon.guests->vm->pool_share), 0);
    for (unsigned i = 0; i < 5; i++)
        pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, i, i * 8, 1);
    pvdisk_publish(rig);
    guest_rig_run(&rig->guest, holds_pages, &(unsigned){5});
    for (unsigned i = 0; i < 5; i++)
        pvdisk_response(rig);
    guest_rig_run(&rig->guest, holds_pages, &(unsigned){0});
    pvdisk_detach(rig);
}

#define T PVDISK_TEST_BOTH
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_guest_goes_from_the_emulated_drive_to_its_twin_without_losing_a_write),
        T(a_guest_that_unplugs_nothing_is_served_both),
        T(a_twins_lock_is_there_as_long_as_the_guest),
        T(an_image_that_another_guest_has_is_not_served),
        T(a_flush_that_fails_is_told_once_and_the_disk_attached_again_is_written),
        T(a_cdrom_is_left_to_the_emulated_drive),
        T(a_twin_has_the_options_of_its_drive),
        T(a_disk_whose_error_stops_the_guest_goes_on_when_it_is_resumed),
        T(a_disk_that_stops_the_guest_can_be_taken_away),
        T(errors_are_told_the_guest_where_nobody_says_otherwise),
        T(new_policies_of_a_drive_are_its_twins_too),
        PVDISK_TEST(pages_of_its_requests_count_for_the_guests_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
