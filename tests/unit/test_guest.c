/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's life: what it is made of, whom it lives beside, how it ends. */
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

static void a_guest_comes_and_goes(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    for (unsigned i = 0; i < 3; i++) {
        guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
        guest_rig_settle(rig, 1);
        assert_int_equal(outcome.told, 1);
        assert_int_equal(outcome.err, 0);
        assert_int_equal(guest_rig_records(rig), 1);
        json_decref(daemon_stats(&rig->daemon, NULL));
        guest_detach(rig->daemon.guests, NULL, NULL);
        json_decref(daemon_stats(&rig->daemon, NULL));
        guest_rig_settle(rig, 0);
        assert_int_equal(rig->hv_guests, 0);
        assert_int_equal(guest_rig_records(rig), 0);
        assert_int_equal(guest_rig_descriptors(), descriptors);
        assert_true(guest_rig_socket_gone(rig));
    }
    assert_int_equal(outcome.told, 1);
}

static void what_a_disk_calls_itself_reaches_the_machine(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_attach(rig, "{'name': 'a', 'budget': 3, 'disks': [" GUEST_RIG_DISK "]}", &outcome);
    guest_rig_settle(rig, 1);
    assert_string_equal(rig->daemon.guests->vm->params.spec.drive[0].serial, "S-1");
    assert_string_equal(rig->daemon.guests->vm->params.spec.drive[0].model, "M 1");
    assert_int_equal(rig->daemon.guests->vm->dispatch.budget, 3);
}

/* Also of what xl knows nothing: one that only the folder's file has, one in memory. */
static void every_emulated_disk_must_have_a_twin_to_be_unplugged(void **state)
{
    struct guest_rig *rig = *state;
    char json[512], path[64];

    guest_rig_image(rig, "a.img");
    snprintf(path, sizeof(path), "%s/a.img", rig->dir);
    snprintf(json, sizeof(json),
             "{'name': 'a', 'disks': [{'vdev': 'hdc', 'path': '%s'}, " GUEST_RIG_DISK "]}", path);
    for (unsigned i = 0; i < 2; i++) {
        rig->have_pv = i;
        guest_rig_attach(rig, json, &outcome);
        guest_rig_settle(rig, 1);
        assert_int_equal(rig->n_pv, 2);
        assert_int_equal(rig->pv_place[0], 2);
        assert_string_equal(rig->pv_path[0], path);
        assert_int_equal(rig->pv_place[1], 0);
        assert_string_equal(rig->pv_path[1], "");
        assert_int_equal(rig->daemon.guests->vm->params.spec.unplug,
                         i ? MACHINE_UNPLUG_DISKS : MACHINE_UNPLUG_NEVER);
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, 0);
    }
}

/* The guest keeps its CD-ROM drives, whatever it unplugs. */
static void a_cdrom_drive_needs_no_twin(void **state)
{
    struct guest_rig *rig = *state;
    char json[512], path[64];

    guest_rig_image(rig, "a.img");
    snprintf(path, sizeof(path), "%s/a.img", rig->dir);
    snprintf(json, sizeof(json),
             "{'name': 'a', 'disks': [{'vdev': 'hdd', 'type': 'cdrom'}, "
             "{'vdev': 'hdb', 'path': '%s'}, {'vdev': 'hdc', 'type': 'cdrom'}]}",
             path);
    rig->have_pv = true;
    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, 1);
    assert_int_equal(rig->n_pv, 1);
    assert_int_equal(rig->pv_place[0], 1);
    assert_string_equal(rig->pv_path[0], path);
    assert_int_equal(rig->daemon.guests->vm->params.spec.unplug, MACHINE_UNPLUG_DISKS);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
}

static void a_domain_has_one_primary_device_model(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_attach(rig, "{'name': 'a'}", &outcome);
    guest_rig_settle(rig, 1);
    rig->domid--;
    guest_rig_attach(rig, "{'name': 'b'}", &outcome);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, -EEXIST);
    assert_non_null(strstr(outcome.why, "guest a"));
    rig->domid--;
    guest_rig_attach(rig, "{'name': 'b', 'role': 'secondary', 'disks': [" GUEST_RIG_DISK "]}",
                     &outcome);
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, 0);
}

/* Attaches to the domain that the guest before got. */
static void attach_beside(struct guest_rig *rig, const char *json)
{
    rig->domid--;
    guest_rig_attach(rig, json, &outcome);
}

static void secondary_controllers_do_not_hide_what_is_there(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_attach(rig, "{'name': 'a', 'role': 'secondary', 'disks': [" GUEST_RIG_DISK "]}",
                     &outcome);
    guest_rig_settle(rig, 1);
    attach_beside(rig,
                  "{'name': 'b', 'role': 'secondary', 'slot': 30, 'disks': [" GUEST_RIG_DISK "]}");
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, -EEXIST);
    assert_non_null(strstr(outcome.why, "PCI slot 30"));
    attach_beside(rig,
                  "{'name': 'b', 'role': 'secondary', 'slot': 2, 'disks': [" GUEST_RIG_DISK "]}");
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, 0);
    attach_beside(rig, "{'name': 'c'}");
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, -EEXIST);
    assert_non_null(strstr(outcome.why, "guest b"));
    /* In another domain there is room. */
    guest_rig_attach(rig, "{'name': 'c', 'role': 'secondary', 'disks': [" GUEST_RIG_DISK "]}",
                     &outcome);
    guest_rig_settle(rig, 3);
    assert_int_equal(outcome.err, 0);
}

static void a_domain_that_is_lost_takes_its_guest_along(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    guest_rig_lose(rig->last);
    guest_rig_settle(rig, 0);
    assert_int_equal(rig->hv_guests, 0);
}

/* How often the file says so. */
static unsigned lines_with(FILE *file, const char *words)
{
    char line[LOG_LINE_MAX];
    unsigned count = 0;

    rewind(file);
    while (fgets(line, sizeof(line), file))
        count += strstr(line, words) != NULL;
    return count;
}

static void that_xen_has_no_buffered_pio_is_said_once(void **state)
{
    static const char *const guests[] = {"{'name': 'a', 'buffered_pio': false}", "{'name': 'b'}",
                                         "{'name': 'c'}"};
    static const unsigned said[] = {0, 1, 1};
    struct guest_rig *rig = *state;
    FILE *file = tmpfile();
    int screen = dup(STDERR_FILENO);
    json_t *stats;

    assert_non_null(file);
    rig->daemon.log.level = LOG_INFO;
    dup2(fileno(file), STDERR_FILENO);
    for (unsigned i = 0; i < 3; i++) {
        guest_rig_attach(rig, guests[i], &outcome);
        guest_rig_settle(rig, i + 1);
        if (lines_with(file, "event=no-buffered-pio") != said[i])
            break;
    }
    dup2(screen, STDERR_FILENO);
    close(screen);
    rig->daemon.log.level = -1;
    assert_int_equal(lines_with(file, "event=no-buffered-pio"), 1);
    assert_int_equal(lines_with(file, "event=attached"), 3);
    fclose(file);
    stats = daemon_stats(&rig->daemon, rig->daemon.guests->next); /* b */
    const json_t *guest = json_array_get(json_object_get(stats, "guests"), 0);
    assert_true(json_is_false(json_object_get(guest, "buffered_pio")));
    assert_null(json_object_get(guest, "bufpio"));
    json_decref(stats);
    while (rig->daemon.guests) {
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, rig->hv_guests - 1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_comes_and_goes),
        TEST(what_a_disk_calls_itself_reaches_the_machine),
        TEST(every_emulated_disk_must_have_a_twin_to_be_unplugged),
        TEST(a_cdrom_drive_needs_no_twin),
        TEST(a_domain_has_one_primary_device_model),
        TEST(secondary_controllers_do_not_hide_what_is_there),
        TEST(a_domain_that_is_lost_takes_its_guest_along),
        TEST(that_xen_has_no_buffered_pio_is_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
