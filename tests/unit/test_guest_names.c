/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xl does with names: domains are renamed, succeed one another, and more than one may be of
 * one description for a while. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

#define WEB "{'name': 'web1', 'disks': [{'vdev': 'hda', 'format': 'mem', 'size': 1048576}]}"
#define STORE                                                                                      \
    "{'name': 'store', 'role': 'secondary', 'disks': [{'vdev': 'hda', 'format': 'mem', 'size': "   \
    "1048576}]}"

/* The guest of domain 5 is the rig's first, that of 6 its second. */
static void attach(struct guest_rig *rig, const char *json, unsigned guests)
{
    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, guests);
    assert_int_equal(outcome.told, 1);
}

static void rename_domain(struct guest_rig *rig, uint32_t domid, const char *name)
{
    snprintf(rig->domain[domid].name, sizeof(rig->domain[0].name), "%s", name);
}

static void expect_found(struct guest_rig *rig, const char *name, uint32_t domid, uint32_t found)
{
    char why[GUEST_WHY_SIZE] = "";
    struct guest *guest = guest_find(&rig->daemon, name, domid, why);

    assert_string_equal(why, "");
    assert_non_null(guest);
    assert_int_equal(guest->domid, found);
}

static void expect_lost(struct guest_rig *rig, const char *name, uint32_t domid, const char *wanted)
{
    char why[GUEST_WHY_SIZE] = "";

    assert_null(guest_find(&rig->daemon, name, domid, why));
    assert_string_equal(why, wanted);
}

/* xl rename web1 old; xl create web1.cfg */
static void a_renamed_guest_leaves_its_name_to_the_next(void **state)
{
    struct guest_rig *rig = *state;

    attach(rig, WEB, 1);
    rename_domain(rig, 5, "old");
    attach(rig, WEB, 2);
    assert_int_equal(outcome.err, 0);
    assert_int_equal(guest_rig_records(rig), 2);
    expect_found(rig, "old", 0, 5);
    expect_found(rig, "web1", 0, 6);
    /* Each ends by itself. */
    guest_detach(rig->daemon.guests->next, NULL, NULL);
    guest_rig_settle(rig, 1);
    expect_lost(rig, "old", 0, "no guest old is attached");
    expect_found(rig, "web1", 0, 6);
    assert_true(guest_rig_has_record(rig, "web1", 6, 1));
    assert_int_equal(guest_rig_records(rig), 1);
}

/* on_crash="rename-restart": the crashed domain is kept and renamed, its successor wants its disks.
 * Before, and where xl was faster than our news of it, on_reboot="restart". */
static void a_domain_that_is_over_makes_way_for_its_successor(void **state)
{
    struct guest_rig *rig = *state;
    char json[256];

    guest_rig_image(rig, "a.img");
    snprintf(json, sizeof(json), "{'name': 'web1', 'disks': [{'vdev': 'hda', 'path': '%s/a.img'}]}",
             rig->dir);
    attach(rig, json, 1);
    rig->domain[5].over = true;
    rename_domain(rig, 5, "web1-20261126T1612Z");
    attach(rig, json, 1);
    assert_int_equal(outcome.err, 0);
    assert_int_equal(rig->hv_guests, 1);
    expect_found(rig, "web1", 0, 6);
    rig->domain[6].gone = true;
    attach(rig, json, 1);
    assert_int_equal(outcome.err, 0);
    expect_found(rig, "web1", 0, 7);
    assert_int_equal(guest_rig_records(rig), 1);
}

/* Its memory may be what somebody wants to look at; nobody else needs its disks. */
static void a_domain_that_is_over_keeps_its_devices_until_then(void **state)
{
    struct guest_rig *rig = *state;

    attach(rig, WEB, 1);
    rig->domain[5].over = true;
    attach(rig, "{'name': 'web2'}", 2);
    expect_found(rig, "web1", 0, 5);
    attach(rig, "{'name': 'web1', 'hypervisor': 'shm'}", 3); /* no domain at all */
    guest_detach(guest_of_peer(&rig->daemon, "web1"), NULL, NULL);
    expect_found(rig, "web1", 0, 5);
}

static void images_of_one_that_lives_are_not_shared(void **state)
{
    struct guest_rig *rig = *state;
    char json[256];

    guest_rig_image(rig, "a.img");
    snprintf(json, sizeof(json), "{'name': 'web1', 'disks': [{'vdev': 'hda', 'path': '%s/a.img'}]}",
             rig->dir);
    attach(rig, json, 1);
    rename_domain(rig, 5, "old");
    attach(rig, json, 1);
    assert_int_equal(outcome.err, -EBUSY);
    expect_found(rig, "old", 0, 5);
}

static void the_same_guest_is_not_attached_twice(void **state)
{
    struct guest_rig *rig = *state;
    struct rig_outcome first;

    attach(rig, STORE, 1);
    rig->domid--;
    attach(rig, STORE, 1);
    assert_int_equal(outcome.err, -EEXIST);
    assert_string_equal(outcome.why, "guest store is attached already");
    /* What has no domain has nothing but its name. */
    guest_rig_attach(rig, "{'name': 'sim', 'hypervisor': 'shm'}", &first);
    assert_int_equal(first.err, 0);
    attach(rig, "{'name': 'sim', 'hypervisor': 'shm'}", 2);
    assert_int_equal(outcome.err, -EEXIST);
}

/* A peer gets the guest that waits for it, whatever a domain is called. */
static void a_peer_is_not_given_a_domain(void **state)
{
    struct guest_rig *rig = *state;

    attach(rig, WEB, 1);
    assert_null(guest_of_peer(&rig->daemon, "web1"));
    assert_int_equal(guest_peer(&rig->daemon, "web1", rig), -ENOENT);
    attach(rig, "{'name': 'web1', 'hypervisor': 'shm'}", 2);
    assert_int_equal(outcome.err, 0);
    assert_int_equal(guest_of_peer(&rig->daemon, "web1")->config.hypervisor, GUEST_SHM);
    guest_detach(guest_of_peer(&rig->daemon, "web1"), NULL, NULL);
}

static void a_name_that_is_not_the_domains_does_not_follow_it(void **state)
{
    struct guest_rig *rig = *state;

    rename_domain(rig, 5, "web1");
    attach(rig, STORE, 1);
    rename_domain(rig, 5, "old");
    expect_found(rig, "store", 0, 5);
    /* Nor does anybody forget one whose domain cannot be asked any more. */
    attach(rig, WEB, 2);
    rename_domain(rig, 6, "new");
    expect_found(rig, "new", 0, 6);
    rig->domain[6].gone = true;
    expect_found(rig, "new", 0, 6);
}

static void a_guest_is_also_found_by_its_domains_number(void **state)
{
    struct guest_rig *rig = *state;

    attach(rig, WEB, 1);
    attach(rig, "{'name': '5'}", 2);
    rename_domain(rig, 6, "five");
    expect_found(rig, "5", 0, 5);
    rename_domain(rig, 6, "5"); /* a name comes first */
    expect_found(rig, "5", 0, 6);
    expect_found(rig, "6", 0, 6);
    expect_found(rig, "6", 6, 6);
    expect_lost(rig, "6", 5, "no guest 6 is attached");
    expect_lost(rig, "7", 0, "no guest 7 is attached");
    expect_lost(rig, "0", 0, "no guest 0 is attached");
    expect_lost(rig, "06", 0, "no guest 06 is attached");
    expect_lost(rig, "6x", 0, "no guest 6x is attached");
    expect_lost(rig, "99999999999", 0, "no guest 99999999999 is attached");
    expect_lost(rig, "", 0, "no guest  is attached");
}

static void who_could_be_meant_twice_is_asked_back(void **state)
{
    struct guest_rig *rig = *state;

    attach(rig, STORE, 1);
    attach(rig, STORE, 2);
    assert_int_equal(outcome.err, 0);
    expect_lost(rig, "store", 0,
                "2 guests are called store: say which by its domain's number, as in 5");
    expect_found(rig, "store", 5, 5);
    expect_found(rig, "store", 6, 6);
    rig->domid--;
    attach(rig, WEB, 3);
    expect_lost(rig, "6", 0,
                "domain 6 has 2 device models here: say which by its name, as in store");
    expect_found(rig, "web1", 0, 6);
    expect_found(rig, "store", 6, 6);
}

static void requests_take_names_and_numbers(void **state)
{
    struct guest_rig *rig = *state;
    int fd = guest_rig_dial(rig);
    const char *answer;

    attach(rig, WEB, 1);
    rename_domain(rig, 5, "old");
    attach(rig, WEB, 2);
    guest_rig_say(fd, "{'jsonrpc': '2.0', 'id': 1, 'method': 'list'}");
    answer = guest_rig_hear(rig, fd);
    assert_non_null(strstr(answer, "\"name\":\"old\",\"domid\":5"));
    assert_non_null(strstr(answer, "\"name\":\"web1\",\"domid\":6"));
    guest_rig_say(fd, "{'jsonrpc': '2.0', 'id': 2, 'method': 'stats', 'params': {'guest': '5'}}");
    answer = guest_rig_hear(rig, fd);
    assert_non_null(strstr(answer, "\"name\":\"old\""));
    assert_null(strstr(answer, "\"name\":\"web1\""));
    guest_rig_say(fd, "{'jsonrpc': '2.0', 'id': 3, 'method': 'resume', 'params': {'name': 'web1',"
                      "'domid': 5}}");
    assert_non_null(strstr(guest_rig_hear(rig, fd), "no guest web1 is attached"));
    guest_rig_say(fd, "{'jsonrpc': '2.0', 'id': 4, 'method': 'resume', 'params': {'name': 'web1',"
                      "'domid': 'x'}}");
    assert_non_null(strstr(guest_rig_hear(rig, fd), "-32602"));
    guest_rig_say(fd, "{'jsonrpc': '2.0', 'id': 5, 'method': 'detach', 'params': {'domid': 5}}");
    assert_non_null(strstr(guest_rig_hear(rig, fd), "give \\\"name\\\""));
    guest_rig_say(fd, "{'jsonrpc': '2.0', 'id': 6, 'method': 'detach', 'params': {'name': '5'}}");
    assert_non_null(strstr(guest_rig_hear(rig, fd), "\"result\":{}"));
    guest_rig_settle(rig, 1);
    expect_found(rig, "web1", 0, 6);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_renamed_guest_leaves_its_name_to_the_next),
        TEST(a_domain_that_is_over_makes_way_for_its_successor),
        TEST(a_domain_that_is_over_keeps_its_devices_until_then),
        TEST(images_of_one_that_lives_are_not_shared),
        TEST(the_same_guest_is_not_attached_twice),
        TEST(a_peer_is_not_given_a_domain),
        TEST(a_name_that_is_not_the_domains_does_not_follow_it),
        TEST(a_guest_is_also_found_by_its_domains_number),
        TEST(who_could_be_meant_twice_is_asked_back),
        TEST(requests_take_names_and_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
