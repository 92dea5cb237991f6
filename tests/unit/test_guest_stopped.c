/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests that are stopped by their disks: paused until they are resumed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/guest_rig.h"

static struct guest_rig the_rig;
static struct rig_outcome outcome;

static int setup(void **state)
{
    guest_rig_start(&the_rig);
    *state = &the_rig;
    return 0;
}

static int teardown(void **state)
{
    guest_rig_stop(*state);
    return 0;
}

static bool is_stopped(struct guest_rig *rig, void *arg)
{
    return rig->daemon.guests->io_stopped == *(unsigned *)arg;
}

static void on_resumed(void *ctx)
{
    ++*(unsigned *)ctx;
}

static bool was_resumed(struct guest_rig *rig, void *arg)
{
    return *(unsigned *)arg;
}

/* As the worker would. */
static void stop_disk(struct guest_rig *rig, unsigned drive, unsigned expected)
{
    const struct blk_stop stop = {.op = BLK_WRITE, .sector = 7, .error = -ENOSPC};

    guest_io_stopped(rig->daemon.guests, drive, &stop);
    guest_rig_run(rig, is_stopped, &expected);
}

static void a_guest_stopped_by_its_disks_is_paused_until_it_is_resumed(void **state)
{
    struct guest_rig *rig = *state;
    unsigned resumed = 0;
    struct guest *guest;
    json_t *stats;

    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    guest = rig->daemon.guests;
    assert_int_equal(guest_resume(guest, true, NULL, NULL), -EALREADY);
    assert_string_equal(guest_state_name(guest), "running");
    stop_disk(rig, 0, 1);
    stop_disk(rig, 2, 5);
    assert_string_equal(guest_state_name(guest), "io-error");
    assert_int_equal(rig->paused, 1);
    assert_int_equal(guest_disk_stop(guest, 2)->sector, 7);
    assert_null(guest_disk_stop(guest, 1));
    stats = daemon_stats(&rig->daemon, NULL);
    json_t *disk = json_array_get(
        json_object_get(json_array_get(json_object_get(stats, "guests"), 0), "disks"), 1);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(disk, "stopped"), "error")),
        "No space left on device");
    json_decref(stats);

    assert_int_equal(guest_resume(guest, true, on_resumed, &resumed), 0);
    assert_int_equal(guest_resume(guest, true, NULL, NULL), -EALREADY);
    guest_rig_run(rig, was_resumed, &resumed);
    assert_int_equal(rig->paused, 0);
    assert_string_equal(guest_state_name(guest), "running");
}

static void a_disk_that_fails_while_another_is_resumed_keeps_the_guest_paused(void **state)
{
    struct guest_rig *rig = *state;
    const struct blk_stop stop = {.op = BLK_READ, .error = -EIO};
    unsigned resumed = 0;
    struct guest *guest;

    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    guest = rig->daemon.guests;
    stop_disk(rig, 0, 1);
    guest_rig_hold_worker(rig);
    assert_int_equal(guest_resume(guest, true, on_resumed, &resumed), 0);
    guest_io_stopped(guest, 2, &stop); /* was on its way */
    guest_rig_release_worker(rig);
    guest_rig_run(rig, was_resumed, &resumed);
    assert_int_equal(guest->io_stopped, 4);
    assert_int_equal(rig->paused, 1);

    /* By xl unpause: `cont`, and libxl unpauses. */
    assert_int_equal(guest_resume(guest, false, NULL, NULL), 0);
    guest_rig_run(rig, is_stopped, &(unsigned){0});
    assert_int_equal(rig->paused, 1);
    rig->paused = 0;
}

static void a_stopped_guest_that_is_detached_is_not_left_paused(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    stop_disk(rig, 0, 1);
    assert_int_equal(rig->paused, 1);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    assert_int_equal(rig->paused, 0);
    assert_int_equal(guest_rig_descriptors(), descriptors);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_stopped_by_its_disks_is_paused_until_it_is_resumed),
        TEST(a_disk_that_fails_while_another_is_resumed_keeps_the_guest_paused),
        TEST(a_stopped_guest_that_is_detached_is_not_left_paused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
