/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests that wait for their predecessors, and those whose lease ends meanwhile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/guest_rig.h"

static struct guest_rig the_rig;
static struct rig_outcome outcome, second, third;

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

static unsigned gones;

static void on_gone(void *ctx)
{
    gones++;
}

static void detaching_while_it_starts_waits_for_the_start(void **state)
{
    struct guest_rig *rig = *state;

    gones = 0;
    guest_rig_hold_worker(rig);
    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    assert_int_equal(rig->daemon.guests->state, GUEST_STARTING);
    guest_detach(rig->daemon.guests, on_gone, NULL);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.told, 1);
    assert_int_equal(outcome.err, -ECANCELED);
    assert_int_equal(gones, 1);

    guest_rig_hold_worker(rig);
    rig->fail = RIG_ENABLE;
    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_detach(rig->daemon.guests, on_gone, NULL);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.told, 1);
    assert_int_equal(outcome.err, -ENXIO);
    assert_int_equal(gones, 2);
}

/* "a" drains; its name and its image are waited for by others. */
static void park_two(struct guest_rig *rig, const char *same_name, const char *same_image)
{
    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    guest_rig_hold_worker(rig);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_attach(rig, same_name, &second);
    guest_rig_attach(rig, same_image, &third);
    assert_int_equal(rig->daemon.guests->state, GUEST_PARKED);
    assert_int_equal(rig->daemon.guests->next->state, GUEST_PARKED);
    assert_int_equal(second.told + third.told, 0);
}

static const char *same_image(struct guest_rig *rig)
{
    static char json[256];

    snprintf(json, sizeof(json), "{'name': 'c', 'disks': [{'vdev': 'hda', 'path': '%s/a.img'}]}",
             rig->dir);
    return json;
}

static void whoever_is_parked_starts_when_the_former_has_drained(void **state)
{
    struct guest_rig *rig = *state;

    park_two(rig, "{'name': 'a', 'disks': [" GUEST_RIG_DISK "]}", same_image(rig));
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 2);
    assert_int_equal(second.told, 1);
    assert_int_equal(second.err, 0);
    assert_int_equal(third.told, 1);
    assert_int_equal(third.err, 0);
}

static void one_that_was_parked_may_fail_then_and_the_next_still_starts(void **state)
{
    struct guest_rig *rig = *state;

    park_two(rig, "{'name': 'a', 'disks': [{'vdev': 'hda', 'path': '/nonexistent'}]}",
             same_image(rig));
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 1);
    assert_int_equal(second.told, 1);
    assert_int_equal(second.err, -ENOENT);
    assert_int_equal(third.told, 1);
    assert_int_equal(third.err, 0);
}

static void those_parked_at_the_end_of_the_daemon_are_told(void **state)
{
    struct guest_rig *rig = *state;

    park_two(rig, "{'name': 'a', 'disks': [{'vdev': 'hda', 'path': '/nonexistent'}]}",
             same_image(rig));
    daemon_stop(&rig->daemon);
    assert_int_equal(second.told, 1);
    assert_int_equal(second.err, -ECANCELED);
    assert_int_equal(third.told, 1);
    guest_rig_attach(rig, "{'name': 'd', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
    assert_int_equal(outcome.err, -ESHUTDOWN);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
}

static void the_daemon_may_stop_while_guests_start(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_hold_worker(rig);
    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_attach(rig, "{'name': 'b', 'disks': [" GUEST_RIG_DISK "]}", &second);
    daemon_stop(&rig->daemon);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.told, 1);
    assert_int_equal(second.told, 1);
}

/* ioemu-dm's connection. */

#define DM_ATTACH(name)                                                                            \
    "{'jsonrpc': '2.0', 'id': 1, 'method': 'dm-attach', 'params': {'domid': 5, 'config': "         \
    "{'name': '" name "', 'disks': [" GUEST_RIG_DISK "]}}}"

static bool one_guest_is(struct guest_rig *rig, void *arg)
{
    return rig->daemon.guests && rig->daemon.guests->state == *(enum guest_state *)arg;
}

static void the_end_of_the_lease_ends_the_guest(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors;
    int fd = guest_rig_dial(rig);

    guest_rig_hear(rig, (guest_rig_say(fd, "{}"), fd));
    descriptors = guest_rig_descriptors();
    guest_rig_say(fd, DM_ATTACH("a"));
    assert_non_null(strstr(guest_rig_hear(rig, fd), "running"));
    guest_rig_say(fd, DM_ATTACH("b")); /* would replace the first lease */
    assert_non_null(strstr(guest_rig_hear(rig, fd), "lease of another"));
    guest_rig_settle(rig, 1);
    close(fd);
    guest_rig_settle(rig, 0);
    assert_int_equal(guest_rig_descriptors(), descriptors - 2);

    /* The guest first, then its lease. */
    fd = guest_rig_dial(rig);
    guest_rig_say(fd, DM_ATTACH("a"));
    guest_rig_hear(rig, fd);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    guest_rig_say(fd, DM_ATTACH("a")); /* the connection is good for another one */
    assert_non_null(strstr(guest_rig_hear(rig, fd), "running"));
    close(fd);
    guest_rig_settle(rig, 0);
}

static void a_lease_may_end_while_the_guest_starts_or_is_parked(void **state)
{
    struct guest_rig *rig = *state;
    enum guest_state starting = GUEST_STARTING, parked = GUEST_PARKED;
    int fd = guest_rig_dial(rig), next;

    guest_rig_hold_worker(rig);
    guest_rig_say(fd, DM_ATTACH("a"));
    guest_rig_run(rig, one_guest_is, &starting);
    close(fd);
    for (unsigned i = 0; i < 20; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    assert_true(rig->daemon.guests->detach_wanted);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);

    fd = guest_rig_dial(rig);
    guest_rig_say(fd, DM_ATTACH("a"));
    guest_rig_hear(rig, fd);
    guest_rig_hold_worker(rig);
    guest_detach(rig->daemon.guests, NULL, NULL);
    next = guest_rig_dial(rig);
    guest_rig_say(next, DM_ATTACH("a"));
    guest_rig_run(rig, one_guest_is, &parked);
    close(next);
    for (unsigned i = 0; i < 20; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    assert_null(rig->daemon.guests->next); /* only the one that drains */
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
    close(fd);
}

/* A peer that hangs up and comes again may be faster than its guest's start. */
static void a_name_is_free_again_when_its_guest_has_been_told_to_go(void **state)
{
    struct guest_rig *rig = *state;
    char why[GUEST_WHY_SIZE];

    guest_rig_hold_worker(rig);
    guest_rig_attach(rig, "{'name': 'a', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
    guest_detach(rig->daemon.guests, NULL, NULL);
    assert_null(guest_find(&rig->daemon, "a", 0, why));
    assert_string_equal(why, "no guest a is attached");
    guest_rig_attach(rig, "{'name': 'a', 'disks': [" GUEST_RIG_DISK "]}", &second);
    assert_int_equal(second.told, 0); /* it waits for the first */
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, -ECANCELED);
    assert_int_equal(second.told, 1);
    assert_int_equal(second.err, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(detaching_while_it_starts_waits_for_the_start),
        TEST(whoever_is_parked_starts_when_the_former_has_drained),
        TEST(one_that_was_parked_may_fail_then_and_the_next_still_starts),
        TEST(those_parked_at_the_end_of_the_daemon_are_told),
        TEST(the_daemon_may_stop_while_guests_start),
        TEST(the_end_of_the_lease_ends_the_guest),
        TEST(a_lease_may_end_while_the_guest_starts_or_is_parked),
        TEST(a_name_is_free_again_when_its_guest_has_been_told_to_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
