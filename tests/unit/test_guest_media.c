/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Media that come and go while a guest runs, and while it ends. */
#include <errno.h>
#include <fcntl.h>
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
static struct rig_outcome outcome, changed, second;

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

static const char *path_of(struct guest_rig *rig, const char *name)
{
    static char path[2][96];
    static unsigned turn;

    snprintf(path[++turn % 2], sizeof(path[0]), "%s/%s", rig->dir, name);
    return path[turn % 2];
}

static struct guest *attach(struct guest_rig *rig)
{
    char json[512];

    guest_rig_image(rig, "a.iso");
    guest_rig_image(rig, "b.iso");
    snprintf(json, sizeof(json),
             "{'name': 'a', 'disks': ["
             "{'vdev': 'hda', 'format': 'mem', 'size': 1048576},"
             "{'vdev': 'hdc', 'type': 'cdrom', 'path': '%s'},"
             "{'vdev': 'hdd', 'type': 'cdrom'}]}",
             path_of(rig, "a.iso"));
    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.err, 0);
    return rig->daemon.guests;
}

static void on_changed(void *ctx, int err, const char *why)
{
    struct rig_outcome *into = ctx;

    into->told++;
    into->err = err;
    snprintf(into->why, sizeof(into->why), "%s", why);
}

static void change(struct guest *guest, const char *vdev, const char *path, bool force,
                   struct rig_outcome *into)
{
    struct guest_medium medium = {.vdev = vdev, .path = path, .fd = -1, .force = force};

    *into = (struct rig_outcome){0};
    guest_change_medium(guest, &medium, on_changed, into);
}

static bool is_told(struct guest_rig *rig, void *arg)
{
    return ((struct rig_outcome *)arg)->told;
}

static int change_now(struct guest_rig *rig, const char *vdev, const char *path)
{
    change(rig->daemon.guests, vdev, path, false, &changed);
    guest_rig_run(rig, is_told, &changed);
    assert_int_equal(changed.told, 1);
    return changed.err;
}

static bool few_descriptors(struct guest_rig *rig, void *arg)
{
    return guest_rig_descriptors() <= *(unsigned *)arg;
}

static void a_medium_is_changed_and_the_old_image_closed(void **state)
{
    struct guest_rig *rig = *state;
    struct guest *guest = attach(rig);
    unsigned before = guest_rig_descriptors(), fewer = before - 1;

    for (unsigned i = 0; i < 20; i++) {
        const char *path = path_of(rig, i % 2 ? "a.iso" : "b.iso");
        assert_int_equal(change_now(rig, i % 3 ? "hdc" : "xvdc", path), 0);
        assert_string_equal(guest->config.disk[1].path, path);
        assert_non_null(guest->blk[2]);
        json_decref(daemon_stats(&rig->daemon, NULL));
    }
    guest_rig_run(rig, few_descriptors, &before);
    assert_int_equal(change_now(rig, "hdc", NULL), 0);
    assert_string_equal(guest->config.disk[1].path, "");
    assert_null(guest->blk[2]);
    guest_rig_run(rig, few_descriptors, &fewer);
    assert_int_equal(change_now(rig, "hdc", NULL), 0); /* it is empty */
    assert_int_equal(change_now(rig, "hdd", path_of(rig, "a.iso")), 0);
    json_decref(daemon_stats(&rig->daemon, NULL));
}

static void a_descriptor_of_somebody_elses_is_opened_anew(void **state)
{
    struct guest_rig *rig = *state;
    struct guest *guest = attach(rig);
    int fd = open(path_of(rig, "b.iso"), O_RDONLY);
    struct guest_medium medium = {.vdev = "hdd", .path = "/as/it/is/called", .fd = fd};

    changed = (struct rig_outcome){0};
    guest_change_medium(guest, &medium, on_changed, &changed);
    close(fd);
    guest_rig_run(rig, is_told, &changed);
    assert_int_equal(changed.err, 0);
    assert_string_equal(guest->config.disk[2].path, "/as/it/is/called");
}

static void expect_refusal(struct guest_rig *rig, const char *vdev, const char *path, int err,
                           const char *word)
{
    assert_int_equal(change_now(rig, vdev, path), err);
    if (!strstr(changed.why, word))
        fail_msg("\"%s\" is not in \"%s\"", word, changed.why);
    assert_string_equal(rig->daemon.guests->config.disk[1].path, path_of(rig, "a.iso"));
}

static void what_cannot_be_inserted_leaves_the_old_medium(void **state)
{
    struct guest_rig *rig = *state;

    attach(rig);
    guest_rig_image(rig, "small.iso");
    assert_int_equal(truncate(path_of(rig, "small.iso"), 1024), 0);
    unsigned before = guest_rig_descriptors();
    expect_refusal(rig, "hda", NULL, -ENODEV, "a disk, not a CD-ROM drive");
    expect_refusal(rig, "hdb", NULL, -ENODEV, "no CD-ROM drive hdb");
    expect_refusal(rig, "", NULL, -ENODEV, "no CD-ROM drive");
    expect_refusal(rig, "hdc", "/nothing/there", -ENOENT, "/nothing/there");
    expect_refusal(rig, "hdc", "/dev/null", -EINVAL, "neither a file nor a block device");
    expect_refusal(rig, "hdc", path_of(rig, "small.iso"), -EINVAL, "smaller than a block");
    assert_int_equal(guest_rig_descriptors(), before);
}

static void one_change_of_a_drive_at_a_time(void **state)
{
    struct guest_rig *rig = *state;
    struct guest *guest = attach(rig);

    guest_rig_hold_worker(rig);
    change(guest, "hdc", path_of(rig, "b.iso"), false, &changed);
    change(guest, "hdc", NULL, false, &second);
    assert_int_equal(second.err, -EBUSY);
    json_decref(daemon_stats(&rig->daemon, NULL)); /* of what was there */
    change(guest, "hdd", path_of(rig, "b.iso"), false, &second);
    assert_int_equal(second.told, 0);
    guest_rig_release_worker(rig);
    guest_rig_run(rig, is_told, &changed);
    guest_rig_run(rig, is_told, &second);
    assert_int_equal(changed.err | second.err, 0);
}

/* The end overtakes nothing: whoever asked is told, and no image stays open. */
static void a_guest_ends_while_its_medium_is_changed(void **state)
{
    struct guest_rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    for (unsigned i = 0; i < 8; i++) {
        struct guest *guest = attach(rig);

        guest_rig_hold_worker(rig);
        if (i & 1)
            guest_detach(guest, NULL, NULL);
        change(guest, i & 4 ? "hdd" : "hdc", i & 2 ? path_of(rig, "b.iso") : NULL, false, &changed);
        if (i & 1)
            assert_int_equal(changed.err, -ESHUTDOWN);
        else
            guest_detach(guest, NULL, NULL);
        guest_rig_release_worker(rig);
        guest_rig_settle(rig, 0);
        assert_int_equal(changed.told, 1);
        assert_int_equal(guest_rig_descriptors(), descriptors);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_medium_is_changed_and_the_old_image_closed),
        CASE(a_descriptor_of_somebody_elses_is_opened_anew),
        CASE(what_cannot_be_inserted_leaves_the_old_medium),
        CASE(one_change_of_a_drive_at_a_time),
        CASE(a_guest_ends_while_its_medium_is_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
