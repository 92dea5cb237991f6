/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every step of a start failing once: nothing may be left, nobody told twice. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
    assert_true(guest_rig_socket_gone(rig));
}

static bool told(struct guest_rig *rig, void *arg)
{
    return outcome.told > 0;
}

static void every_step_may_fail(void **state)
{
    struct guest_rig *rig = *state;
    const enum rig_step steps[] = {RIG_INTEND, RIG_CREATE, RIG_START, RIG_ENABLE};
    const char *json = guest_rig_everything(rig);
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
    const char *json = guest_rig_everything(rig);
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
    guest_rig_attach(rig, guest_rig_everything(rig), &outcome);
    guest_rig_settle(rig, 1);
    assert_true(guest_rig_has_record(rig, "a", 5, 4));
    assert_int_equal(guest_rig_records(rig), 1);
}

static void a_record_that_cannot_be_written_ends_the_attempt(void **state)
{
    struct guest_rig *rig = *state;
    const char *json = guest_rig_everything(rig);
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
                   "{'name': 'a', 'disks': [" GUEST_RIG_DISK
                   ", {'vdev': 'hdb', 'path': '/nonexistent/b.img'}]}",
                   -ENOENT, guest_rig_descriptors());
    assert_non_null(strstr(outcome.why, "hdb"));
    assert_non_null(strstr(outcome.why, "/nonexistent/b.img"));
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_where_a_socket_is_to_be_is_not_removed),
        TEST(every_step_may_fail),
        TEST(no_descriptor_is_taken_for_granted),
        TEST(a_guest_whose_disks_could_stop_others_is_refused),
        TEST(a_server_with_another_id_than_expected_is_recorded_as_it_is),
        TEST(a_record_that_cannot_be_written_ends_the_attempt),
        TEST(a_missing_image_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
