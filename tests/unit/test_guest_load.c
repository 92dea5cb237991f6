/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest may not use up: turns of the loop, log, disk, wakeups. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/guest_rig.h"

static struct guest_rig the_rig;
static struct rig_outcome outcome, second;

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
        guest_rig_attach_peer(
            rig, "{'name': 'p', 'hypervisor': 'shm', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
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
        guest_rig_attach(rig, "{'name': 'x', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
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

/* A neighbour whose descriptor is always ready: guests that are watched, with their events masked,
 * must be looked at all the same. */
static void a_busy_neighbour_does_not_starve_a_watched_guest(void **state)
{
    struct guest_rig *rig = *state;
    struct hv_guest *busy, *watched;

    rig->daemon.worker[0]->watcher.limit_ns = UINT64_C(10000000000); /* no guest runs yet */
    guest_rig_attach(rig, "{'name': 'busy', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
    guest_rig_settle(rig, 1);
    busy = rig->last;
    guest_rig_attach(rig, "{'name': 'watched', 'disks': [" GUEST_RIG_DISK "]}", &second);
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

    guest_rig_attach(rig, "{'name': 'b', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
    guest_rig_attach(rig, guest_rig_everything(rig), &second);
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

    guest_rig_attach(rig, "{'name': 'b', 'disks': [" GUEST_RIG_DISK "]}", &outcome);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_peer_that_comes_in_a_loop_has_its_lines_and_no_more),
        TEST(a_guest_does_not_fill_the_disk_through_its_serial_port),
        TEST(a_busy_neighbour_does_not_starve_a_watched_guest),
        TEST(idle_guests_cost_no_wakeup),
        TEST(a_string_waits_for_memory_without_spinning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
