/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PV disks that the toolstack leaves to us, from the store to the image and back. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_pvdisk.h"
#include "ioreq/hv_pv.h"
#include "tests/unit/fake_store.h"
#include "tests/unit/guest_rig.h"
#include "tests/unit/pvblk_rig.h"

#define BACK  "/local/domain/0/backend/qdisk/5/51712"
#define FRONT "/local/domain/5/device/vbd/51712"
#define WHERE "/local/domain/0/backend/qdisk/5"

/* The guest's memory and its end of the ring are pvblk_rig's, whose own disk is not used. */
struct rig {
    struct guest_rig guest;
    struct pv_rig front;
    struct fake_store store;
    struct hv_ops ops;
    unsigned watches, channels, notified; /* watches: now; of the guest's folder and frontends */
    int fd;
    uint32_t port;
    unsigned n_back_watches;
};

static struct rig the_rig;
static struct rig_outcome outcome;

/* ---- the hypervisor's part --------------------------------------------------------------------*/

static const struct xenbus *fake_bus(struct hv_host *host)
{
    return &the_rig.store.bus;
}

static int fake_list(struct hv_host *host, const char *path,
                     void (*each)(void *ctx, const char *name), void *ctx)
{
    size_t len = strlen(path);

    for (unsigned i = 0; i < the_rig.store.n; i++) {
        const char *node = the_rig.store.node[i].path;
        char name[XENBUS_PATH];

        if (strncmp(node, path, len) || node[len] != '/')
            continue;
        snprintf(name, sizeof(name), "%s", node + len + 1);
        if (strchr(name, '/'))
            *strchr(name, '/') = 0;
        each(ctx, name); /* the same several times: harmless, as the code is to show */
    }
    return 0;
}

static int fake_watch(struct hv_host *host, const char *path, const char *token)
{
    assert_string_equal(token, "pv-5");
    the_rig.watches++;
    return 0;
}

static void fake_unwatch(struct hv_host *host, const char *path, const char *token)
{
    assert_string_equal(token, "pv-5");
    assert_true(the_rig.watches > 0);
    the_rig.watches--;
}

struct hv_channels {
    int fd;
    unsigned bound;
};

static int fake_open(struct hv_guest *guest, struct hv_channels **ret_channels)
{
    struct hv_channels *channels = calloc(1, sizeof(*channels));

    assert_non_null(channels);
    channels->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(channels->fd >= 0);
    the_rig.fd = channels->fd;
    the_rig.channels++;
    *ret_channels = channels;
    return 0;
}

static void fake_close(struct hv_channels *channels)
{
    close(channels->fd);
    free(channels);
    __atomic_sub_fetch(&the_rig.channels, 1, __ATOMIC_SEQ_CST);
}

static int fake_bind(struct hv_channels *channels, unsigned index, uint32_t port)
{
    if (port == 666)
        return -EINVAL;
    channels->bound++;
    __atomic_store_n(&the_rig.port, port, __ATOMIC_SEQ_CST);
    return 0;
}

static void fake_unbind(struct hv_channels *channels)
{
    channels->bound = 0;
}

static int fake_fd(const struct hv_channels *channels)
{
    return channels->fd;
}

static uint32_t fake_pending(struct hv_channels *channels)
{
    uint64_t count;

    return read(channels->fd, &count, sizeof(count)) > 0;
}

static void fake_notify(struct hv_channels *channels, unsigned index)
{
    assert_true(index < channels->bound);
    __atomic_add_fetch(&the_rig.notified, 1, __ATOMIC_SEQ_CST);
}

static const struct hv_pv_ops fake_pv = {
    .store = fake_bus,
    .store_list = fake_list,
    .store_watch = fake_watch,
    .store_unwatch = fake_unwatch,
    .channels_open = fake_open,
    .channels_close = fake_close,
    .channels_bind = fake_bind,
    .channels_unbind = fake_unbind,
    .channels_fd = fake_fd,
    .channels_pending = fake_pending,
    .channels_notify = fake_notify,
};

static const struct grants *fake_grants(struct hv_guest *guest)
{
    return &the_rig.front.grants;
}

/* ---- the toolstack and the guest --------------------------------------------------------------*/

static void back(struct rig *rig, const char *node, const char *value)
{
    fake_store_set(&rig->store, BACK, node, value);
}

static void front(struct rig *rig, const char *node, const char *value)
{
    fake_store_set(&rig->store, FRONT, node, value);
}

static void event(struct rig *rig)
{
    guest_pvdisks_event(&rig->guest.daemon, "pv-5");
}

static void make_directories(struct rig *rig, const char *image)
{
    char params[128];

    snprintf(params, sizeof(params), "aio:%s/%s", rig->guest.dir, image);
    back(rig, "params", params);
    back(rig, "mode", "w");
    back(rig, "device-type", "disk");
    back(rig, "frontend", FRONT);
    back(rig, "frontend-id", "5");
    back(rig, "online", "1");
    back(rig, "state", "1");
    front(rig, "state", "1");
}

static bool state_is(struct guest_rig *guest_rig, void *arg)
{
    const char *state = fake_store_get(&the_rig.store, BACK, "state");

    return state && !strcmp(state, arg);
}

static void wait_state(struct rig *rig, char *state)
{
    guest_rig_run(&rig->guest, state_is, state);
}

static bool no_disks(struct guest_rig *guest_rig, void *arg)
{
    return !guest_rig->daemon.guests->pvdisks;
}

static bool has_response(struct guest_rig *guest_rig, void *arg)
{
    return pv_rig_response(&the_rig.front, 0, arg);
}

static void request(struct rig *rig, uint8_t operation, uint64_t id, uint64_t sector, uint32_t ref)
{
    struct pv_response response;
    const uint64_t one = 1;

    pv_rig_page_request(&rig->front, 0, operation, id, sector, ref);
    pv_rig_publish(&rig->front, 0);
    assert_int_equal(write(rig->fd, &one, sizeof(one)), sizeof(one));
    guest_rig_run(&rig->guest, has_response, &response);
    assert_int_equal(response.id, id);
    assert_int_equal(response.status, BLKIF_OKAY);
}

static struct guest *attach(struct rig *rig, const char *disks)
{
    char json[512];

    snprintf(json, sizeof(json), "{'name': 'a', 'disks': [%s]}", disks);
    guest_rig_attach(&rig->guest, json, &outcome);
    guest_rig_settle(&rig->guest, 1);
    assert_int_equal(outcome.err, 0);
    return rig->guest.daemon.guests;
}

static int setup(void **state)
{
    struct rig *rig = &the_rig;

    memset(rig, 0, sizeof(*rig));
    guest_rig_start(&rig->guest);
    pv_rig_init(&rig->front, &(struct pv_rig_options){.disconnected = true, .no_disk = true});
    fake_store_init(&rig->store);
    rig->ops = *rig->guest.daemon.hv[DAEMON_XEN];
    rig->ops.pv = &fake_pv;
    rig->ops.grants = fake_grants;
    rig->guest.daemon.hv[DAEMON_XEN] = &rig->ops;
    rig->guest.daemon.config.pv_disks = true;
    guest_rig_image(&rig->guest, "a.img");
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    guest_rig_stop(&rig->guest);
    assert_int_equal(rig->watches, 0);
    assert_int_equal(rig->channels, 0);
    assert_int_equal(rig->front.counters.mapped, 0);
    pv_rig_finish(&rig->front);
    return 0;
}

static void detach(struct rig *rig)
{
    guest_detach(rig->guest.daemon.guests, NULL, NULL);
    guest_rig_settle(&rig->guest, 0);
}

static void connect_it(struct rig *rig, const char *disks)
{
    char ref[16];

    attach(rig, disks);
    make_directories(rig, "a.img");
    event(rig);
    wait_state(rig, "2");
    assert_string_equal(fake_store_get(&rig->store, BACK, "feature-discard"), "1");
    /* A frontend's ring, empty. */
    for (uint32_t which = BLKIF_REQ_PROD; which <= BLKIF_RSP_EVENT; which += 4)
        *pv_rig_index(&rig->front, 0, which) = which == BLKIF_RSP_EVENT;
    snprintf(ref, sizeof(ref), "%u", PV_RING_FIRST);
    front(rig, "ring-ref", ref);
    front(rig, "event-channel", "9");
    front(rig, "state", "3");
    event(rig);
    wait_state(rig, "4");
    assert_int_equal(rig->port, 9);
    assert_string_equal(fake_store_get(&rig->store, BACK, "sectors"), "2048");
    front(rig, "state", "4");
    event(rig);
}

/* ---- tests ------------------------------------------------------------------------------------*/

static void a_disk_of_the_toolstacks_is_served_from_its_image(void **state)
{
    struct rig *rig = *state;
    uint8_t sector[512];
    char path[96];
    int fd;

    connect_it(rig, "");
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    request(rig, BLKIF_WRITE, 1, 16, 1);
    request(rig, BLKIF_READ, 2, 16, 2);
    assert_memory_equal(pv_rig_page(&rig->front, 2), pv_rig_page(&rig->front, 1), GRANT_PAGE);
    assert_true(rig->notified >= 1);
    detach(rig);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "6");
    snprintf(path, sizeof(path), "%s/a.img", rig->guest.dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, sector, sizeof(sector), 16 * 512), sizeof(sector));
    close(fd);
    for (unsigned i = 0; i < sizeof(sector); i++)
        assert_int_equal(sector[i], 0x5a);
}

static void a_disk_that_is_detached_lets_its_image_go(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 2; i++) {
        if (!i)
            connect_it(rig, "");
        back(rig, "online", "0");
        back(rig, "state", "5");
        event(rig);
        front(rig, "state", "6");
        event(rig);
        wait_state(rig, "6");
        guest_rig_run(&rig->guest, no_disks, NULL);
        assert_int_equal(rig->watches, 1);
        assert_int_equal(rig->front.counters.mapped, 0);
        /* What is left of the directory is no disk; another that comes is. */
        event(rig);
        assert_null(rig->guest.daemon.guests->pvdisks);
        make_directories(rig, "a.img");
        event(rig);
        wait_state(rig, "2");
    }
    detach(rig);
}

static void a_frontend_may_connect_again(void **state)
{
    struct rig *rig = *state;

    connect_it(rig, "");
    for (unsigned i = 0; i < 3; i++) {
        front(rig, "state", "5");
        event(rig);
        front(rig, "state", "6");
        event(rig);
        wait_state(rig, "6");
        front(rig, "state", "1");
        event(rig);
        wait_state(rig, "2");
        front(rig, "state", "3");
        event(rig);
        wait_state(rig, "4");
        front(rig, "state", "4");
        request(rig, BLKIF_READ, i, 0, 1);
    }
    detach(rig);
}

static void a_ring_that_breaks_is_told_in_the_store(void **state)
{
    struct rig *rig = *state;
    const uint64_t one = 1;

    connect_it(rig, "");
    __atomic_store_n(pv_rig_index(&rig->front, 0, BLKIF_REQ_PROD), 9999, __ATOMIC_SEQ_CST);
    assert_int_equal(write(rig->fd, &one, sizeof(one)), sizeof(one));
    wait_state(rig, "5");
    front(rig, "state", "6");
    event(rig);
    wait_state(rig, "6");
    assert_int_equal(rig->front.counters.mapped, 0);
    detach(rig);
}

static void a_channel_that_cannot_be_bound_is_no_connection(void **state)
{
    struct rig *rig = *state;

    connect_it(rig, "");
    front(rig, "state", "6");
    event(rig);
    wait_state(rig, "6");
    front(rig, "state", "1");
    event(rig);
    front(rig, "event-channel", "666");
    front(rig, "state", "3");
    event(rig);
    wait_state(rig, "5");
    assert_int_equal(rig->front.counters.mapped, 0);
    detach(rig);
}

static void a_guest_that_ends_under_load_leaves_nothing_mapped(void **state)
{
    struct rig *rig = *state;
    const uint64_t one = 1;

    connect_it(rig, "");
    for (unsigned i = 0; i < 32; i++)
        pv_rig_page_request(&rig->front, 0, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 8, i);
    pv_rig_publish(&rig->front, 0);
    assert_int_equal(write(rig->fd, &one, sizeof(one)), sizeof(one));
    detach(rig);
    assert_int_equal(rig->front.counters.mapped, 0);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "6");
}

static void a_directory_that_is_gone_is_not_made_again(void **state)
{
    struct rig *rig = *state;

    connect_it(rig, "");
    fake_store_remove(&rig->store, FRONT);
    fake_store_remove(&rig->store, BACK);
    event(rig);
    guest_rig_run(&rig->guest, no_disks, NULL);
    detach(rig);
    assert_null(fake_store_get(&rig->store, BACK, "state"));
}

static void an_image_that_the_emulated_drive_has_is_not_served(void **state)
{
    struct rig *rig = *state;
    char disk[128];

    snprintf(disk, sizeof(disk), "{'vdev': 'hda', 'path': '%s/a.img'}", rig->guest.dir);
    attach(rig, disk);
    make_directories(rig, "a.img");
    event(rig);
    event(rig);
    assert_int_equal(rig->channels, 0);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "1");
    fake_store_remove(&rig->store, BACK);
    event(rig);
    assert_null(rig->guest.daemon.guests->pvdisks);
    detach(rig);
}

static void what_the_image_cannot_be_is_said_and_left(void **state)
{
    struct rig *rig = *state;

    attach(rig, "");
    make_directories(rig, "none.img");
    event(rig);
    make_directories(rig, "a.img");
    back(rig, "params", "qcow2:/a");
    fake_store_set(&rig->store, WHERE, "nonsense", "");
    fake_store_set(&rig->store, WHERE, "1x/state", "1");
    event(rig);
    assert_int_equal(rig->channels, 0);
    detach(rig);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "1");
}

static void without_pv_disks_nobody_looks(void **state)
{
    struct rig *rig = *state;

    rig->guest.daemon.config.pv_disks = false;
    attach(rig, "");
    make_directories(rig, "a.img");
    event(rig);
    assert_int_equal(rig->watches, 0);
    assert_null(rig->guest.daemon.guests->pvdisks);
    detach(rig);
}

static void raw_images_are_named_as_libxl_does(void **state)
{
    assert_string_equal(guest_pvdisk_path("aio:/a/b:c"), "/a/b:c");
    assert_string_equal(guest_pvdisk_path("raw:/a"), "/a");
    assert_null(guest_pvdisk_path("qcow2:/a"));
    assert_null(guest_pvdisk_path("aio:"));
    assert_null(guest_pvdisk_path("aio:a"));
    assert_null(guest_pvdisk_path("/a"));
    assert_null(guest_pvdisk_path(""));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_disk_of_the_toolstacks_is_served_from_its_image),
        T(a_disk_that_is_detached_lets_its_image_go),
        T(a_frontend_may_connect_again),
        T(a_ring_that_breaks_is_told_in_the_store),
        T(a_channel_that_cannot_be_bound_is_no_connection),
        T(a_guest_that_ends_under_load_leaves_nothing_mapped),
        T(a_directory_that_is_gone_is_not_made_again),
        T(an_image_that_the_emulated_drive_has_is_not_served),
        T(what_the_image_cannot_be_is_said_and_left),
        T(without_pv_disks_nobody_looks),
        T(raw_images_are_named_as_libxl_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
