/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PV disks that the toolstack leaves to us, from the store to the image and back. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_pvdisk.h"
#include "tests/unit/pvdisk_rig.h"

static void a_disk_of_the_toolstacks_is_served_from_its_image(void **state)
{
    struct pvdisk_rig *rig = *state;
    uint8_t sector[512];
    char path[96];
    int fd;

    pvdisk_connect(rig, "");
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
    pvdisk_request(rig, BLKIF_READ, 2, 16, 2);
    assert_memory_equal(pv_rig_page(&rig->front, 2), pv_rig_page(&rig->front, 1), GRANT_PAGE);
    assert_true(rig->notified >= 1);
    pvdisk_detach(rig);
    assert_string_equal(pvdisk_state(rig), "6");
    snprintf(path, sizeof(path), "%s/a.img", rig->guest.dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, sector, sizeof(sector), 16 * 512), sizeof(sector));
    close(fd);
    for (unsigned i = 0; i < sizeof(sector); i++)
        assert_int_equal(sector[i], 0x5a);
}

static bool is_bound(struct guest_rig *rig, void *arg)
{
    return __atomic_load_n((uint32_t *)arg, __ATOMIC_SEQ_CST) == 9;
}

/* Of a daemon that takes a guest over, the backend's state is its predecessor's. */
static void a_frontend_that_was_there_first_is_served(void **state)
{
    static const char *const states[][2] = {{"1", "3"}, {"4", "4"}};
    struct pvdisk_rig *rig = *state;

    for (unsigned i = 0; i < 2; i++) {
        pvdisk_directories(rig, "a.img");
        pvdisk_make_ring(rig);
        pvdisk_back(rig, "state", states[i][0]);
        pvdisk_front(rig, "state", states[i][1]);
        rig->guest.domid = 5;
        rig->port = 0;
        pvdisk_attach(rig, "");
        pvdisk_event(rig); /* the watch's first */
        guest_rig_run(&rig->guest, is_bound, &rig->port);
        pvdisk_wait(rig, "4");
        pvdisk_front(rig, "state", "4");
        pvdisk_request(rig, BLKIF_READ, i, 0, 1);
        pvdisk_detach(rig);
    }
}

static void a_disk_that_is_detached_lets_its_image_go(void **state)
{
    struct pvdisk_rig *rig = *state;

    for (unsigned i = 0; i < 2; i++) {
        if (!i)
            pvdisk_connect(rig, "");
        pvdisk_take_away(rig);
        pvdisk_front_closes(rig);
        pvdisk_wait_gone(rig);
        assert_int_equal(rig->watches, 1);
        assert_int_equal(rig->front.counters.mapped, 0);
        /* What is left of the directory is no disk; another that comes is. */
        pvdisk_event(rig);
        assert_null(rig->guest.daemon.guests->pvdisks);
        pvdisk_offer(rig);
    }
    pvdisk_detach(rig);
}

static void a_frontend_may_connect_again(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, "");
    for (unsigned i = 0; i < 3; i++) {
        pvdisk_front(rig, "state", "5");
        pvdisk_event(rig);
        pvdisk_front_closes(rig);
        pvdisk_front_returns(rig);
        pvdisk_front_connects(rig);
        pvdisk_request(rig, BLKIF_READ, i, 0, 1);
    }
    pvdisk_detach(rig);
}

static void a_ring_that_breaks_is_told_in_the_store(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, "");
    __atomic_store_n(pv_rig_index(&rig->front, 0, BLKIF_REQ_PROD), 9999, __ATOMIC_SEQ_CST);
    pvdisk_kick(rig);
    pvdisk_wait(rig, "5");
    pvdisk_front_closes(rig);
    assert_int_equal(rig->front.counters.mapped, 0);
    pvdisk_detach(rig);
}

static void a_channel_that_cannot_be_bound_is_no_connection(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, "");
    pvdisk_front_closes(rig);
    pvdisk_front(rig, "state", "1");
    pvdisk_event(rig);
    pvdisk_front(rig, "event-channel", "666");
    pvdisk_front(rig, "state", "3");
    pvdisk_event(rig);
    pvdisk_wait(rig, "5");
    assert_int_equal(rig->front.counters.mapped, 0);
    pvdisk_detach(rig);
}

static void count_line(void *ctx, int priority, const char *guest, const char *device,
                       const char *text)
{
    ++*(unsigned *)ctx;
}

static void xsa_180_a_frontend_that_is_wrong_again_and_again_does_not_fill_the_log(void **state)
{
    struct pvdisk_rig *rig = *state;
    unsigned lines = 0;
    struct log *log;

    pvdisk_connect(rig, "");
    log = &rig->guest.daemon.guests->log;
    log_set_level(log, LOG_WARNING);
    log_divert(log, count_line, &lines);
    pvdisk_front_closes(rig);
    for (unsigned i = 0; i < 3 * LOG_BURST; i++) {
        pvdisk_front_returns(rig);
        pvdisk_front(rig, "protocol", "none");
        pvdisk_front(rig, "state", "3");
        pvdisk_event(rig);
        pvdisk_wait(rig, "5");
        pvdisk_front_closes(rig);
    }
    assert_int_equal(lines, LOG_BURST);
    log_divert(log, NULL, NULL);
    pvdisk_detach(rig);
}

static void a_guest_that_ends_under_load_leaves_nothing_mapped(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, "");
    for (unsigned i = 0; i < 32; i++)
        pv_rig_page_request(&rig->front, 0, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 8, i);
    pv_rig_publish(&rig->front, 0);
    pvdisk_kick(rig);
    pvdisk_detach(rig);
    assert_int_equal(rig->front.counters.mapped, 0);
    assert_string_equal(pvdisk_state(rig), "6");
}

static void a_directory_that_is_gone_is_not_made_again(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, "");
    fake_store_remove(&rig->store, PVDISK_FRONT);
    fake_store_remove(&rig->store, PVDISK_BACK);
    pvdisk_event(rig);
    pvdisk_wait_gone(rig);
    pvdisk_detach(rig);
    assert_null(pvdisk_state(rig));
}

static json_int_t mapped(struct pvdisk_rig *rig)
{
    json_t *stats = daemon_stats(&rig->guest.daemon, NULL);
    json_int_t pages = pvdisk_number(
        json_object_get(json_array_get(json_object_get(stats, "guests"), 0), "grants"), "mapped");

    json_decref(stats);
    return pages;
}

static void what_a_disk_did_is_counted_as_a_drives_is(void **state)
{
    struct pvdisk_rig *rig = *state;
    json_t *disk, *ring;

    pvdisk_connect(rig, "");
    pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
    pvdisk_request(rig, BLKIF_WRITE, 2, 24, 1);
    pvdisk_request(rig, BLKIF_READ, 3, 16, 2);
    pvdisk_wait_counted(rig, 3);
    assert_int_equal(mapped(rig), 1);
    disk = pvdisk_statistics(rig);
    ring = json_object_get(disk, "ring");
    assert_string_equal(json_string_value(json_object_get(disk, "vdev")), "xvda");
    assert_true(json_is_true(json_object_get(disk, "connected")));
    assert_int_equal(pvdisk_number(disk, "writes"), 2);
    assert_int_equal(pvdisk_number(disk, "written_bytes"), 8192);
    assert_int_equal(pvdisk_number(disk, "reads"), 1);
    assert_int_equal(pvdisk_number(disk, "in_flight"), 0);
    assert_int_equal(
        pvdisk_number(json_object_get(json_object_get(disk, "latency"), "write"), "count"), 2);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(disk, "write_sizes"), 3)),
                     2); /* up to 4 KiB */
    assert_int_equal(pvdisk_number(ring, "requests"), 3);
    assert_int_equal(pvdisk_number(ring, "writes"), 2);
    assert_int_equal(pvdisk_number(ring, "refused"), 0);
    json_decref(disk);
    pvdisk_detach_disk(rig);
    assert_null(pvdisk_statistics(rig));
    pvdisk_detach(rig);
}

static void what_the_image_cannot_be_is_said_and_left(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_attach(rig, "");
    pvdisk_directories(rig, "none.img");
    pvdisk_event(rig);
    pvdisk_directories(rig, "a.img");
    pvdisk_back(rig, "params", "vmdk:/a");
    fake_store_set(&rig->store, PVDISK_WHERE, "nonsense", "");
    fake_store_set(&rig->store, PVDISK_WHERE, "1x/state", "1");
    pvdisk_event(rig);
    assert_int_equal(rig->channels, 0);
    pvdisk_detach(rig);
    assert_string_equal(pvdisk_state(rig), "1");
}

static void without_pv_disks_nobody_looks(void **state)
{
    struct pvdisk_rig *rig = *state;

    rig->guest.daemon.config.pv_disks = false;
    pvdisk_attach(rig, "");
    pvdisk_directories(rig, "a.img");
    pvdisk_event(rig);
    assert_int_equal(rig->watches, 0);
    assert_null(rig->guest.daemon.guests->pvdisks);
    pvdisk_detach(rig);
}

static void images_are_named_as_libxl_does(void **state)
{
    const char *format = "";

    assert_string_equal(guest_pvdisk_path("aio:/a/b:c", &format), "/a/b:c");
    assert_null(format);
    assert_string_equal(guest_pvdisk_path("raw:/a", &format), "/a");
    assert_null(format);
    assert_string_equal(guest_pvdisk_path("qcow2:/a", &format), "/a");
    assert_string_equal(format, "qcow2");
    assert_string_equal(guest_pvdisk_path("qcow:/b", &format), "/b");
    assert_string_equal(format, "qcow");
    assert_string_equal(guest_pvdisk_path("vhd:/c", &format), "/c");
    assert_string_equal(format, "vpc");
    assert_null(guest_pvdisk_path("qcow2:json:{}", &format));
    assert_null(guest_pvdisk_path("qcow2:nbd://a", &format));
    assert_null(guest_pvdisk_path("vmdk:/a", &format));
    assert_null(guest_pvdisk_path("aio:", &format));
    assert_null(guest_pvdisk_path("aio:a", &format));
    assert_null(guest_pvdisk_path("/a", &format));
    assert_null(guest_pvdisk_path("", &format));
}

#define T PVDISK_TEST_BOTH
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_disk_of_the_toolstacks_is_served_from_its_image),
        T(a_frontend_that_was_there_first_is_served),
        T(a_disk_that_is_detached_lets_its_image_go),
        T(a_frontend_may_connect_again),
        T(a_ring_that_breaks_is_told_in_the_store),
        T(a_channel_that_cannot_be_bound_is_no_connection),
        T(xsa_180_a_frontend_that_is_wrong_again_and_again_does_not_fill_the_log),
        T(a_guest_that_ends_under_load_leaves_nothing_mapped),
        T(a_directory_that_is_gone_is_not_made_again),
        T(what_a_disk_did_is_counted_as_a_drives_is),
        T(what_the_image_cannot_be_is_said_and_left),
        T(without_pv_disks_nobody_looks),
        T(images_are_named_as_libxl_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
