/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's life, with every step of it failing once: nothing may be left, nobody told twice. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/guest_rig.h"

static struct guest_rig the_rig;
static struct rig_outcome outcome, second, third;

static bool answered(struct guest_rig *rig, void *arg)
{
    return guest_rig_answered(arg, 0);
}

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

#define MEM_DISK                                                                                   \
    "{'vdev': 'hda', 'format': 'mem', 'size': 1048576, 'serial': 'S-1', 'model': 'M 1'}"

/* A guest of everything that takes descriptors: disks of both kinds, a pty, a listening socket. */
static const char *everything(struct guest_rig *rig)
{
    static char json[1024];

    guest_rig_image(rig, "a.img");
    snprintf(json, sizeof(json),
             "{'name': 'a', 'disks': [" MEM_DISK ", {'vdev': 'hdc', 'path': '%s/a.img'}],"
             "'serial': [{'type': 'pty'}, {'type': 'unix', 'path': '%s/com2'}]}",
             rig->dir, rig->dir);
    return json;
}

static bool no_socket_left(struct guest_rig *rig)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "%s/com2", rig->dir);
    return stat(path, &st) && errno == ENOENT;
}

/* Attaching says so, once, and leaves nothing. */
static void expect_failure(struct guest_rig *rig, const char *json, int err, unsigned descriptors)
{
    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.told, 1);
    assert_int_equal(outcome.err, err);
    assert_true(outcome.why[0]);
    assert_null(strstr(outcome.why, "Success"));
    assert_int_equal(rig->hv_guests, 0);
    assert_int_equal(rig->daemon.worker[0]->guests, 0);
    assert_int_equal(guest_rig_records(rig), 0);
    assert_int_equal(guest_rig_descriptors(), descriptors);
    assert_true(no_socket_left(rig));
}

static void a_guest_comes_and_goes(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    for (unsigned i = 0; i < 3; i++) {
        guest_rig_attach(rig, everything(rig), &outcome);
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
        assert_true(no_socket_left(rig));
    }
    assert_int_equal(outcome.told, 1);
}

static void what_a_disk_calls_itself_reaches_the_machine(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_attach(rig, "{'name': 'a', 'budget': 3, 'disks': [" MEM_DISK "]}", &outcome);
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
             "{'name': 'a', 'disks': [{'vdev': 'hdc', 'path': '%s'}, " MEM_DISK "]}", path);
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

static unsigned logged_lines(int fd)
{
    char buf[4096];
    unsigned lines = 0;
    ssize_t n;

    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buf[i] == '\n';
    return lines;
}

/* Attaches, provokes its device model and leaves, again and again. */
static void a_peer_that_comes_in_a_loop_has_its_lines_and_no_more(void **state)
{
    struct guest_rig *rig = *state;
    int err = dup(STDERR_FILENO), file = memfd_create("log", MFD_CLOEXEC);
    unsigned peer, xen;

    assert_true(err >= 0 && file >= 0);
    rig->daemon.log.level = LOG_INFO;
    rig->daemon.no_bufpio = true; /* a line that comes once, whoever is first */
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    for (unsigned i = 0; i < 100; i++) {
        guest_rig_attach_peer(rig, "{'name': 'p', 'hypervisor': 'shm', 'disks': [" MEM_DISK "]}",
                              &outcome);
        guest_rig_settle(rig, 1);
        guest_rig_ask_nonsense(rig->last, 0);
        guest_rig_kick(rig->last, false);
        guest_rig_run(rig, answered, rig->last);
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, 0);
    }
    peer = logged_lines(file);
    assert_int_equal(ftruncate(file, 0), 0);
    lseek(file, 0, SEEK_SET);
    for (unsigned i = 0; i < 25; i++) { /* xl's guests are the administrator's own doing */
        guest_rig_attach(rig, "{'name': 'x', 'disks': [" MEM_DISK "]}", &outcome);
        guest_rig_settle(rig, 1);
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, 0);
    }
    xen = logged_lines(file);
    dup2(err, STDERR_FILENO);
    close(err);
    close(file);
    assert_in_range(peer, 1, 2 * LOG_BURST);
    assert_int_equal(xen, 50);
}

static off_t file_size(struct guest_rig *rig, const char *name)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
    return stat(path, &st) ? -1 : st.st_size;
}

static bool renewed(struct guest_rig *rig, void *arg)
{
    return file_size(rig, "com1.1") >= 0 && file_size(rig, "com1") >= 0;
}

static void output(struct guest_rig *rig, unsigned bytes)
{
    for (unsigned at = 0; at < bytes; at += 4096) {
        guest_rig_ask_string(rig->last, 0, 0x3f8, 4096, false);
        guest_rig_kick(rig->last, false);
        guest_rig_run(rig, answered, rig->last);
    }
}

static void a_guest_does_not_fill_the_disk_through_its_serial_port(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();
    char json[256];

    snprintf(json, sizeof(json),
             "{'name': 'a', 'serial': [{'type': 'file', 'path': '%s/com1', 'max_size': '64K'}]}",
             rig->dir);
    rig->pin_error = 0;
    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, 1);
    output(rig, 1 << 20);
    guest_rig_run(rig, renewed, NULL);
    assert_true(file_size(rig, "com1.1") < 70000);
    output(rig, 1 << 20);
    usleep(10000);
    assert_true(file_size(rig, "com1") > 0 && file_size(rig, "com1") < 70000);
    assert_true(*chr_dropped(rig->daemon.guests->vm->chr[0]) > (1 << 20));
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    assert_int_equal(guest_rig_descriptors(), descriptors);
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
    guest_rig_attach(rig, "{'name': 'b', 'role': 'secondary', 'disks': [" MEM_DISK "]}", &outcome);
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

    guest_rig_attach(rig, "{'name': 'a', 'role': 'secondary', 'disks': [" MEM_DISK "]}", &outcome);
    guest_rig_settle(rig, 1);
    attach_beside(rig, "{'name': 'b', 'role': 'secondary', 'slot': 30, 'disks': [" MEM_DISK "]}");
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, -EEXIST);
    assert_non_null(strstr(outcome.why, "PCI slot 30"));
    attach_beside(rig, "{'name': 'b', 'role': 'secondary', 'slot': 2, 'disks': [" MEM_DISK "]}");
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, 0);
    attach_beside(rig, "{'name': 'c'}");
    guest_rig_settle(rig, 2);
    assert_int_equal(outcome.err, -EEXIST);
    assert_non_null(strstr(outcome.why, "guest b"));
    /* In another domain there is room. */
    guest_rig_attach(rig, "{'name': 'c', 'role': 'secondary', 'disks': [" MEM_DISK "]}", &outcome);
    guest_rig_settle(rig, 3);
    assert_int_equal(outcome.err, 0);
}

static bool told(struct guest_rig *rig, void *arg)
{
    return outcome.told > 0;
}

static void every_step_may_fail(void **state)
{
    struct guest_rig *rig = *state;
    const enum rig_step steps[] = {RIG_INTEND, RIG_CREATE, RIG_START, RIG_ENABLE};
    const char *json = everything(rig);
    unsigned descriptors = guest_rig_descriptors(), claims = 0;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        rig->fail = steps[i];
        rig->fail_after = 0;
        expect_failure(rig, json, -ENXIO, descriptors);
    }
    for (;; claims++) {
        rig->fail = RIG_CLAIM;
        rig->fail_after = claims;
        guest_rig_attach(rig, json, &outcome);
        guest_rig_run(rig, told, NULL);
        assert_int_equal(outcome.told, 1);
        if (!outcome.err)
            break; /* there are no more than these */
        assert_int_equal(outcome.err, -ENXIO);
        guest_rig_settle(rig, 0);
        assert_int_equal(rig->hv_guests, 0);
        assert_int_equal(guest_rig_records(rig), 0);
        assert_int_equal(guest_rig_descriptors(), descriptors);
    }
    assert_true(claims > 10);
    rig->fail = RIG_NONE;
}

static void no_descriptor_is_taken_for_granted(void **state)
{
    struct guest_rig *rig = *state;
    const char *json = everything(rig);
    unsigned descriptors = guest_rig_descriptors();
    unsigned room = 0, first_free = (unsigned)dup(0);
    struct rlimit limit, low;

    close((int)first_free);
    getrlimit(RLIMIT_NOFILE, &limit);
    guest_rig_hold_worker(rig); /* the limit is its too, and it opens a pty's other end */
    for (;; room++) {
        low = (struct rlimit){first_free + room, limit.rlim_max};
        setrlimit(RLIMIT_NOFILE, &low);
        guest_rig_attach(rig, json, &outcome);
        setrlimit(RLIMIT_NOFILE, &limit);
        if (!outcome.told)
            break; /* as far as its worker */
        assert_true(outcome.err < 0 && outcome.why[0]);
        guest_rig_settle(rig, 0);
        assert_int_equal(guest_rig_descriptors(), descriptors);
        assert_true(room < 40);
    }
    guest_rig_release_worker(rig);
    assert_true(room > 3); /* image, pty, socket, the hypervisor's */
    guest_rig_settle(rig, 1);
}

static void a_guest_whose_disks_could_stop_others_is_refused(void **state)
{
    static const char disks[] = "{'vdev': 'hda', 'format': 'mem', 'size': 512},"
                                "{'vdev': 'hdb', 'format': 'mem', 'size': 512},"
                                "{'vdev': 'hdc', 'format': 'mem', 'size': 512},"
                                "{'vdev': 'hdd', 'format': 'mem', 'size': 512}";
    struct guest_rig *rig = *state;
    /* Pages that all of them may hold, and those of one largest request beside. */
    unsigned held = BLK_HELD_BYTES / POOL_PAGE * 4;
    unsigned most = (rig->daemon.worker[0]->params.pool_pages - BLK_MAX_BYTES / POOL_PAGE) / held;
    char json[512];

    for (unsigned i = 0; i <= most; i++) {
        snprintf(json, sizeof(json), "{'name': 'g%u', 'disks': [%s]}", i, disks);
        guest_rig_attach(rig, json, &outcome);
        guest_rig_settle(rig, i < most ? i + 1 : most);
        assert_int_equal(outcome.err, i < most ? 0 : -ENOSPC);
    }
    assert_non_null(strstr(outcome.why, "pool_pages"));
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, most - 1);
    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, most);
    assert_int_equal(outcome.err, 0);
    daemon_stop(&rig->daemon);
    guest_rig_settle(rig, 0);
    assert_int_equal(rig->daemon.worker[0]->disks, 0);
}

/* Somebody else made one in between. (That it is recorded before it is made the rig asserts.) */
static void a_server_with_another_id_than_expected_is_recorded_as_it_is(void **state)
{
    struct guest_rig *rig = *state;

    rig->server_id = 4;
    guest_rig_attach(rig, everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    assert_true(guest_rig_has_record(rig, "a", 5, 4));
    assert_int_equal(guest_rig_records(rig), 1);
}

static void a_record_that_cannot_be_written_ends_the_attempt(void **state)
{
    struct guest_rig *rig = *state;
    const char *json = everything(rig);
    unsigned descriptors = guest_rig_descriptors();
    char path[64];

    /* A folder in its place. */
    snprintf(path, sizeof(path), "%s/guests/a-5.json", rig->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    guest_rig_attach(rig, json, &outcome);
    assert_int_equal(outcome.told, 1);
    assert_non_null(strstr(outcome.why, "record"));
    assert_int_equal(rig->hv_guests, 0);
    assert_int_equal(guest_rig_descriptors(), descriptors);
    assert_int_equal(guest_rig_records(rig), 1); /* that folder */
    assert_int_equal(rmdir(path), 0);
}

static void a_missing_image_is_named(void **state)
{
    struct guest_rig *rig = *state;

    expect_failure(rig,
                   "{'name': 'a', 'disks': [" MEM_DISK
                   ", {'vdev': 'hdb', 'path': '/nonexistent/b.img'}]}",
                   -ENOENT, guest_rig_descriptors());
    assert_non_null(strstr(outcome.why, "hdb"));
    assert_non_null(strstr(outcome.why, "/nonexistent/b.img"));
}

static void a_domain_that_is_lost_takes_its_guest_along(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_attach(rig, everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    guest_rig_lose(rig->last);
    guest_rig_settle(rig, 0);
    assert_int_equal(rig->hv_guests, 0);
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
    guest_rig_attach(rig, everything(rig), &outcome);
    assert_int_equal(rig->daemon.guests->state, GUEST_STARTING);
    guest_detach(rig->daemon.guests, on_gone, NULL);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.told, 1);
    assert_int_equal(outcome.err, -ECANCELED);
    assert_int_equal(gones, 1);

    guest_rig_hold_worker(rig);
    rig->fail = RIG_ENABLE;
    guest_rig_attach(rig, everything(rig), &outcome);
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
    guest_rig_attach(rig, everything(rig), &outcome);
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

    park_two(rig, "{'name': 'a', 'disks': [" MEM_DISK "]}", same_image(rig));
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
    guest_rig_attach(rig, "{'name': 'd', 'disks': [" MEM_DISK "]}", &outcome);
    assert_int_equal(outcome.err, -ESHUTDOWN);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
}

static void the_daemon_may_stop_while_guests_start(void **state)
{
    struct guest_rig *rig = *state;

    guest_rig_hold_worker(rig);
    guest_rig_attach(rig, everything(rig), &outcome);
    guest_rig_attach(rig, "{'name': 'b', 'disks': [" MEM_DISK "]}", &second);
    daemon_stop(&rig->daemon);
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 0);
    assert_int_equal(outcome.told, 1);
    assert_int_equal(second.told, 1);
}

/* A neighbour whose descriptor is always ready: guests that are watched, with their events masked,
 * must be looked at all the same. */
static void a_busy_neighbour_does_not_starve_a_watched_guest(void **state)
{
    struct guest_rig *rig = *state;
    struct hv_guest *busy, *watched;

    rig->daemon.worker[0]->watcher.limit_ns = UINT64_C(10000000000); /* no guest runs yet */
    guest_rig_attach(rig, "{'name': 'busy', 'disks': [" MEM_DISK "]}", &outcome);
    guest_rig_settle(rig, 1);
    busy = rig->last;
    guest_rig_attach(rig, "{'name': 'watched', 'disks': [" MEM_DISK "]}", &second);
    guest_rig_settle(rig, 2);
    watched = rig->last;

    guest_rig_ask(watched, 0, 0x1f7);
    guest_rig_kick(watched, false);
    guest_rig_run(rig, answered, watched);
    guest_rig_kick(busy, true);
    usleep(20000);
    for (unsigned i = 0; i < 3; i++) {
        guest_rig_ask(watched, 0, 0x1f7); /* no event: it is masked */
        guest_rig_run(rig, answered, watched);
    }
}

static void idle_guests_cost_no_wakeup(void **state)
{
    struct guest_rig *rig = *state;
    const uint64_t *wakeups = &rig->daemon.worker[0]->watcher.wakeups;
    uint64_t before;

    guest_rig_attach(rig, "{'name': 'b', 'disks': [" MEM_DISK "]}", &outcome);
    guest_rig_attach(rig, everything(rig), &second);
    guest_rig_settle(rig, 2);
    guest_rig_ask(rig->last, 0, 0x1f7);
    guest_rig_kick(rig->last, false);
    guest_rig_run(rig, answered, rig->last);
    usleep(50000); /* the pages are watched for 50 us */
    before = __atomic_load_n(wakeups, __ATOMIC_RELAXED);
    usleep(100000);
    assert_true(__atomic_load_n(wakeups, __ATOMIC_RELAXED) == before);
}

static void a_string_waits_for_memory_without_spinning(void **state)
{
    struct guest_rig *rig = *state;
    const uint64_t *wakeups = &rig->daemon.worker[0]->watcher.wakeups;
    uint64_t before;

    guest_rig_attach(rig, "{'name': 'b', 'disks': [" MEM_DISK "]}", &outcome);
    guest_rig_settle(rig, 1);
    __atomic_store_n(&rig->pin_error, -ENOMEM, __ATOMIC_RELEASE);
    guest_rig_ask_string(rig->last, 0, 0x1f0, 16, true);
    guest_rig_kick(rig->last, false);
    usleep(50000);
    before = __atomic_load_n(wakeups, __ATOMIC_RELAXED);
    usleep(100000);
    assert_false(guest_rig_answered(rig->last, 0));
    assert_true(__atomic_load_n(wakeups, __ATOMIC_RELAXED) - before < 1000);
    __atomic_store_n(&rig->pin_error, 0, __ATOMIC_RELEASE);
    guest_rig_run(rig, answered, rig->last);
}

static void a_file_where_a_socket_is_to_be_is_not_removed(void **state)
{
    struct guest_rig *rig = *state;
    char path[128], link[128], why[OPENER_WHY_SIZE];
    int fd;

    snprintf(path, sizeof(path), "%s/image", rig->dir);
    snprintf(link, sizeof(link), "%s/link", rig->dir);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(opener_listen(path, SOCK_STREAM, 0600, "", &fd, why), -EADDRINUSE);
    assert_non_null(strstr(why, "it is no socket"));
    assert_int_equal(opener_listen(link, SOCK_STREAM, 0600, "", &fd, why), -EADDRINUSE);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(path), 0);
    /* What a daemon that died has left is. */
    assert_int_equal(opener_listen(path, SOCK_STREAM, 0600, "", &fd, why), 0);
    close(fd);
    assert_int_equal(opener_listen(path, SOCK_STREAM, 0600, "", &fd, why), 0);
    close(fd);
    unlink(path);
}

/* ioemu-dm's connection. */

#define DM_ATTACH(name)                                                                            \
    "{'jsonrpc': '2.0', 'id': 1, 'method': 'dm-attach', 'params': {'domid': 5, 'config': "         \
    "{'name': '" name "', 'disks': [" MEM_DISK "]}}}"

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
    guest_rig_attach(rig, "{'name': 'a', 'disks': [" MEM_DISK "]}", &outcome);
    guest_detach(rig->daemon.guests, NULL, NULL);
    assert_null(guest_find(&rig->daemon, "a", 0, why));
    assert_string_equal(why, "no guest a is attached");
    guest_rig_attach(rig, "{'name': 'a', 'disks': [" MEM_DISK "]}", &second);
    assert_int_equal(second.told, 0); /* it waits for the first */
    guest_rig_release_worker(rig);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, -ECANCELED);
    assert_int_equal(second.told, 1);
    assert_int_equal(second.err, 0);
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

    guest_rig_attach(rig, everything(rig), &outcome);
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

    guest_rig_attach(rig, everything(rig), &outcome);
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

    guest_rig_attach(rig, everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    stop_disk(rig, 0, 1);
    assert_int_equal(rig->paused, 1);
    guest_detach(rig->daemon.guests, NULL, NULL);
    guest_rig_settle(rig, 0);
    assert_int_equal(rig->paused, 0);
    assert_int_equal(guest_rig_descriptors(), descriptors);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_guest_comes_and_goes),
        TEST(what_a_disk_calls_itself_reaches_the_machine),
        TEST(every_emulated_disk_must_have_a_twin_to_be_unplugged),
        TEST(a_cdrom_drive_needs_no_twin),
        TEST(a_peer_that_comes_in_a_loop_has_its_lines_and_no_more),
        TEST(a_guest_does_not_fill_the_disk_through_its_serial_port),
        TEST(a_domain_has_one_primary_device_model),
        TEST(secondary_controllers_do_not_hide_what_is_there),
        TEST(a_file_where_a_socket_is_to_be_is_not_removed),
        TEST(every_step_may_fail),
        TEST(no_descriptor_is_taken_for_granted),
        TEST(a_guest_whose_disks_could_stop_others_is_refused),
        TEST(a_server_with_another_id_than_expected_is_recorded_as_it_is),
        TEST(a_record_that_cannot_be_written_ends_the_attempt),
        TEST(a_missing_image_is_named),
        TEST(a_domain_that_is_lost_takes_its_guest_along),
        TEST(detaching_while_it_starts_waits_for_the_start),
        TEST(whoever_is_parked_starts_when_the_former_has_drained),
        TEST(one_that_was_parked_may_fail_then_and_the_next_still_starts),
        TEST(those_parked_at_the_end_of_the_daemon_are_told),
        TEST(the_daemon_may_stop_while_guests_start),
        TEST(a_busy_neighbour_does_not_starve_a_watched_guest),
        TEST(idle_guests_cost_no_wakeup),
        TEST(a_string_waits_for_memory_without_spinning),
        TEST(the_end_of_the_lease_ends_the_guest),
        TEST(a_lease_may_end_while_the_guest_starts_or_is_parked),
        TEST(a_name_is_free_again_when_its_guest_has_been_told_to_go),
        TEST(a_guest_stopped_by_its_disks_is_paused_until_it_is_resumed),
        TEST(a_disk_that_fails_while_another_is_resumed_keeps_the_guest_paused),
        TEST(a_stopped_guest_that_is_detached_is_not_left_paused),
        TEST(that_xen_has_no_buffered_pio_is_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
