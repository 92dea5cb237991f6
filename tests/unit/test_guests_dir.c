/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The folder with the guests' files: what comes of a file, and of a domain that it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/guest_rig.h"

#define SECONDARY "{'role': 'secondary', 'disks': [{'vdev': 'hda', 'format': 'mem', 'size': 512}]}"

static int setup(void **state)
{
    static struct guest_rig rig;

    guest_rig_start(&rig);
    guest_rig_folder(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct guest_rig *rig = *state;

    guests_dir_close(&rig->daemon);
    guest_rig_stop(rig);
    return 0;
}

static void domain(struct guest_rig *rig, uint32_t domid, const char *name)
{
    rig->domain[domid] = (struct rig_domain){0};
    snprintf(rig->domain[domid].name, sizeof(rig->domain[domid].name), "%s", name);
}

static const struct guest *attached(struct guest_rig *rig, uint32_t domid)
{
    for (const struct guest *guest = rig->daemon.guests; guest; guest = guest->next)
        if (guest->domid == domid && guest->state == GUEST_RUNNING)
            return guest;
    return NULL;
}

struct wanted {
    const char *name;
    bool good, there;
};

static bool is_listed(struct guest_rig *rig, void *arg)
{
    const struct wanted *wanted = arg;
    json_t *list = guests_dir_list(&rig->daemon);
    bool there = false, good = false;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *file = json_array_get(list, i);

        if (strcmp(json_string_value(json_object_get(file, "name")), wanted->name) != 0)
            continue;
        there = true;
        good = json_is_true(json_object_get(file, "good"));
        assert_int_equal(good, json_object_get(file, "error") == NULL);
    }
    json_decref(list);
    return there == wanted->there && good == wanted->good;
}

static void wait_listed(struct guest_rig *rig, const char *name, bool there, bool good)
{
    struct wanted wanted = {.name = name, .good = good, .there = there};

    guest_rig_run(rig, is_listed, &wanted);
}

static void test_files_are_checked_when_they_come_change_and_go(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_file(rig, "early", "{}");
    guests_dir_open(&rig->daemon);
    wait_listed(rig, "early", true, true);
    guest_rig_file(rig, "late", "{'disks': 5}");
    wait_listed(rig, "late", true, false);
    guest_rig_file(rig, "late", "{'disks': []}");
    wait_listed(rig, "late", true, true);
    guest_rig_file(rig, "late", NULL);
    wait_listed(rig, "late", false, false);
    guest_rig_file(rig, "half", "{'hypervisor': 'shm', 'disks': [{'vdev': 'hda'}]}");
    wait_listed(rig, "half", true, false);
}

static void test_the_folder_may_come_later(void **state)
{
    struct guest_rig *rig = *state;

    assert_int_equal(rmdir(rig->daemon.config.guests_dir), 0);
    guests_dir_open(&rig->daemon);
    assert_int_equal(mkdir(rig->daemon.config.guests_dir, 0700), 0);
    guest_rig_file(rig, "a", "{}");
    wait_listed(rig, "a", true, true);
    guest_rig_file(rig, "b", "[]");
    wait_listed(rig, "b", true, false);
}

static void test_a_domain_that_was_there_first_gets_its_secondary(void **state)
{
    struct guest_rig *rig = *state;

    domain(rig, 7, "a");
    guest_rig_file(rig, "a", SECONDARY);
    guests_dir_open(&rig->daemon);
    guest_rig_settle(rig, 1);
    assert_non_null(attached(rig, 7));
    assert_false(attached(rig, 7)->reset);
}

static void test_a_domain_that_appears_gets_its_secondary_once(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_file(rig, "a", SECONDARY);
    guest_rig_file(rig, "first", "{'disks': []}"); /* xl's business */
    guests_dir_open(&rig->daemon);
    domain(rig, 7, "a");
    domain(rig, 8, "first");
    guests_dir_domains(&rig->daemon);
    guests_dir_domains(&rig->daemon);
    guest_rig_settle(rig, 1);
    assert_non_null(attached(rig, 7));
    guests_dir_domains(&rig->daemon);
    guest_rig_settle(rig, 1);
    /* And the next one of this name, when that is gone. */
    rig->domain[7].gone = true;
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    domain(rig, 9, "a");
    guests_dir_domains(&rig->daemon);
    guest_rig_settle(rig, 1);
    assert_non_null(attached(rig, 9));
}

static void test_a_file_that_comes_later_is_enough(void **state)
{
    struct guest_rig *rig = *state;

    domain(rig, 7, "a");
    guests_dir_open(&rig->daemon);
    guest_rig_file(rig, "a", SECONDARY);
    wait_listed(rig, "a", true, true);
    guest_rig_settle(rig, 1);
    assert_non_null(attached(rig, 7));
}

static void test_one_that_failed_is_tried_again_when_its_file_has_changed(void **state)
{
    struct guest_rig *rig = *state;

    domain(rig, 7, "a");
    guest_rig_file(rig, "a", "{'role': 'secondary', 'disks': [{'vdev': 'hda', 'path': '/none'}]}");
    guests_dir_open(&rig->daemon);
    guest_rig_settle(rig, 0);
    guests_dir_domains(&rig->daemon);
    assert_null(rig->daemon.guests);
    guest_rig_file(rig, "a", SECONDARY);
    while (!rig->daemon.guests)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    guest_rig_settle(rig, 1);
    assert_non_null(attached(rig, 7));
}

static void test_one_that_somebody_detached_stays_so(void **state)
{
    struct guest_rig *rig = *state;
    int fd;

    domain(rig, 7, "a");
    guest_rig_file(rig, "a", SECONDARY);
    guests_dir_open(&rig->daemon);
    guest_rig_settle(rig, 1);
    fd = guest_rig_dial(rig);
    guest_rig_say(fd, "{'jsonrpc':'2.0','id':1,'method':'detach','params':{'name':'a'}}");
    assert_non_null(strstr(guest_rig_hear(rig, fd), "\"result\":{}"));
    guest_rig_settle(rig, 0);
    guests_dir_domains(&rig->daemon);
    guest_rig_file(rig, "a", SECONDARY);
    guest_rig_file(rig, "b", "{}");
    wait_listed(rig, "b", true, true); /* it was looked at after the other */
    assert_null(rig->daemon.guests);
    close(fd);
}

static void test_attach_of_one_that_is_attached_by_itself_is_no_mistake(void **state)
{
    struct guest_rig *rig = *state;
    static const char ask[] = "{'jsonrpc':'2.0','id':1,'method':'attach','params':{'name':'a'}}";
    int fd = guest_rig_dial(rig);

    domain(rig, 7, "a");
    guest_rig_file(rig, "a", SECONDARY);
    guest_rig_hold_worker(rig); /* so that it starts while it is asked for */
    guests_dir_open(&rig->daemon);
    guest_rig_say(fd, ask);
    for (unsigned i = 0; i < 20; i++)
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
    guest_rig_release_worker(rig);
    assert_non_null(strstr(guest_rig_hear(rig, fd), "\"domid\":7,\"state\":\"running\""));
    guest_rig_say(fd, ask);
    assert_non_null(strstr(guest_rig_hear(rig, fd), "attached already"));
    close(fd);
}

/* xl starts a device model for it, too, when it has such disks from the start. */
static void test_a_pv_guests_device_model_may_come_later(void **state)
{
    struct guest_rig *rig = *state;
    static const char ask[] = "{'jsonrpc':'2.0','id':1,'method':'dm-attach','params':{'domid':7,"
                              "'config':{'name':'a','role':'pv'}}}";
    int fd = guest_rig_dial(rig), other = guest_rig_dial(rig);

    rig->daemon.config.pv_disks = true;
    domain(rig, 7, "a");
    guest_rig_file(rig, "a", "{'role': 'pv'}");
    guests_dir_open(&rig->daemon);
    guest_rig_settle(rig, 1);
    assert_null(attached(rig, 7)->lease);
    guest_rig_say(fd, ask);
    assert_non_null(strstr(guest_rig_hear(rig, fd), "\"domid\":7,\"state\":\"running\""));
    assert_non_null(attached(rig, 7)->lease);
    guest_rig_say(other, ask);
    assert_non_null(strstr(guest_rig_hear(rig, other), "attached already"));
    close(fd);
    guest_rig_settle(rig, 0);
    close(other);
}

static void test_one_that_a_former_daemon_served_is_said_to_be_reset(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_file(rig, "a", SECONDARY);
    guests_dir_open(&rig->daemon);
    guests_dir_orphan(&rig->daemon, "a", 7);
    guests_dir_orphan(&rig->daemon, "nobody", 8);
    domain(rig, 7, "a");
    guests_dir_domains(&rig->daemon);
    guest_rig_settle(rig, 1);
    assert_true(attached(rig, 7)->reset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files_are_checked_when_they_come_change_and_go, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_folder_may_come_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_domain_that_was_there_first_gets_its_secondary,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_domain_that_appears_gets_its_secondary_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_comes_later_is_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_one_that_failed_is_tried_again_when_its_file_has_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_somebody_detached_stays_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_attach_of_one_that_is_attached_by_itself_is_no_mistake,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pv_guests_device_model_may_come_later, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_one_that_a_former_daemon_served_is_said_to_be_reset,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
