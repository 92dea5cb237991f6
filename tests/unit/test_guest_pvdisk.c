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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_pvdisk.h"
#include "daemon/guest_pvdisk_internal.h"
#include "daemon/served.h"
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

/* Of domain 5, or of the one before it. */
static void check_token(const char *path, const char *token)
{
    assert_true(!strcmp(token, "pv-5") || !strcmp(token, "pv-4"));
    assert_non_null(strchr(path, token[3]));
}

static int fake_watch(struct hv_host *host, const char *path, const char *token)
{
    check_token(path, token);
    the_rig.watches++;
    return 0;
}

static void fake_unwatch(struct hv_host *host, const char *path, const char *token)
{
    check_token(path, token);
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

static bool fake_disk_is(unsigned devid, const char *path, const struct hv_disk *disk)
{
    return devid == 51712 && disk->place == 0 && disk->path && !strcmp(disk->path, path);
}

static const struct hv_pv_ops fake_pv = {
    .store = fake_bus,
    .store_list = fake_list,
    .store_watch = fake_watch,
    .store_unwatch = fake_unwatch,
    .disk_is = fake_disk_is,
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
    back(rig, "dev", "xvda");
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

static void publish(struct rig *rig)
{
    const uint64_t one = 1;

    pv_rig_publish(&rig->front, 0);
    assert_int_equal(write(rig->fd, &one, sizeof(one)), sizeof(one));
}

static void expect(struct rig *rig, uint64_t id, int16_t status)
{
    struct pv_response response;

    guest_rig_run(&rig->guest, has_response, &response);
    assert_int_equal(response.id, id);
    assert_int_equal(response.status, status);
}

static void request(struct rig *rig, uint8_t operation, uint64_t id, uint64_t sector, uint32_t ref)
{
    pv_rig_page_request(&rig->front, 0, operation, id, sector, ref);
    publish(rig);
    expect(rig, id, BLKIF_OKAY);
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
    rig->guest.daemon.image_program = SERVED_PROGRAM;
    guest_rig_image(&rig->guest, "a.img");
    *state = rig;
    return 0;
}

static bool none_served(struct guest_rig *guest_rig, void *arg)
{
    return !guest_rig->daemon.served;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    guest_rig_run(&rig->guest, none_served, NULL);
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

/* A frontend's, empty. */
static void make_ring(struct rig *rig)
{
    char ref[16];

    for (uint32_t which = BLKIF_REQ_PROD; which <= BLKIF_RSP_EVENT; which += 4)
        *pv_rig_index(&rig->front, 0, which) = which == BLKIF_RSP_EVENT;
    snprintf(ref, sizeof(ref), "%u", PV_RING_FIRST);
    front(rig, "ring-ref", ref);
    front(rig, "event-channel", "9");
}

static void connect_it(struct rig *rig, const char *disks)
{
    attach(rig, disks);
    make_directories(rig, "a.img");
    event(rig);
    wait_state(rig, "2");
    assert_string_equal(fake_store_get(&rig->store, BACK, "feature-discard"), "1");
    make_ring(rig);
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

static bool is_bound(struct guest_rig *rig, void *arg)
{
    return __atomic_load_n(&the_rig.port, __ATOMIC_SEQ_CST) == 9;
}

/* Of a daemon that takes a guest over, the backend's state is its predecessor's. */
static void a_frontend_that_was_there_first_is_served(void **state)
{
    static const char *const states[][2] = {{"1", "3"}, {"4", "4"}};
    struct rig *rig = *state;

    for (unsigned i = 0; i < 2; i++) {
        make_directories(rig, "a.img");
        make_ring(rig);
        rig->front.front[0].req_prod = rig->front.front[0].rsp_cons = 0;
        back(rig, "state", states[i][0]);
        front(rig, "state", states[i][1]);
        rig->guest.domid = 5;
        rig->port = 0;
        attach(rig, "");
        event(rig); /* the watch's first */
        guest_rig_run(&rig->guest, is_bound, NULL);
        wait_state(rig, "4");
        front(rig, "state", "4");
        request(rig, BLKIF_READ, i, 0, 1);
        detach(rig);
    }
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

/* ---- twins ------------------------------------------------------------------------------------*/

/* What `disks` may say of the emulated drive with the image. */
static const char *emulated(struct rig *rig, const char *more)
{
    static char disk[256];

    snprintf(disk, sizeof(disk), "{'vdev': 'hda', 'path': '%s/a.img'%s}", rig->guest.dir, more);
    return disk;
}

static bool is_answered(struct guest_rig *rig, void *arg)
{
    return guest_rig_answered(rig->last, 0);
}

static void out(struct rig *rig, uint16_t port, uint32_t size, uint32_t value)
{
    guest_rig_tell(rig->guest.last, port, size, value);
    guest_rig_kick(rig->guest.last, false);
    guest_rig_run(&rig->guest, is_answered, NULL);
}

static uint8_t in(struct rig *rig, uint16_t port)
{
    guest_rig_ask(rig->guest.last, 0, port);
    guest_rig_kick(rig->guest.last, false);
    guest_rig_run(&rig->guest, is_answered, NULL);
    return guest_rig_answer(rig->guest.last, 0);
}

/* As firmware does: PCI Command, and the legacy ports (IDETIM). */
static void enable_emulated(struct rig *rig)
{
    out(rig, 0xcf8, 4, 0x80000904);
    out(rig, 0xcfc, 2, 5);
    out(rig, 0xcf8, 4, 0x80000940);
    out(rig, 0xcfc, 2, 0x8000);
}

/* WRITE SECTORS of one. */
static void write_emulated(struct rig *rig, uint8_t sector, uint8_t byte)
{
    enable_emulated(rig);
    out(rig, 0x1f6, 1, 0xe0);
    out(rig, 0x1f2, 1, 1);
    out(rig, 0x1f3, 1, sector);
    out(rig, 0x1f4, 1, 0);
    out(rig, 0x1f5, 1, 0);
    out(rig, 0x1f7, 1, 0x30);
    for (unsigned i = 0; i < 128; i++)
        out(rig, 0x1f0, 4, byte * 0x01010101u);
    assert_int_equal(in(rig, 0x3f6), 0x80); /* BSY: it is on its way */
}

static bool image_is_locked(struct rig *rig)
{
    struct disk_config config = {.direct = true};
    char path[96], why[OPENER_WHY_SIZE];
    struct raw_image image;
    int err;

    snprintf(path, sizeof(path), "%s/a.img", rig->guest.dir);
    config.path = path;
    err = opener_disk(&config, &image, why);
    if (!err)
        raw_discard(&image);
    assert_true(!err || err == -EBUSY);
    return err;
}

static void detach_disk(struct rig *rig)
{
    back(rig, "online", "0");
    back(rig, "state", "5");
    event(rig);
    front(rig, "state", "6");
    event(rig);
    wait_state(rig, "6");
    guest_rig_run(&rig->guest, no_disks, NULL);
}

static void a_guest_goes_from_the_emulated_drive_to_its_twin_without_losing_a_write(void **state)
{
    struct rig *rig = *state;
    struct pv_response response;
    const uint8_t *page;

    rig->guest.have_pv = true;
    /* The write is on its way so long, reads are not. */
    connect_it(rig, emulated(rig, ", 'fault': {'op': 'write', 'delay_ms': 400}"));
    assert_true(rig->guest.own_pv);
    assert_int_equal(in(rig, 0x12), 1);
    write_emulated(rig, 16, 0xa5);
    out(rig, 0x10, 2, 1);
    assert_int_equal(in(rig, 0x1f7), 0x7f); /* nobody is there any more */
    pv_rig_page_request(&rig->front, 0, BLKIF_READ, 1, 16, 1);
    publish(rig);
    in(rig, 0x12); /* the worker has had the event */
    assert_true(machine_disk_leaving(rig->guest.daemon.guests->vm->machine, 0));
    assert_false(pv_rig_response(&rig->front, 0, &response));
    expect(rig, 1, BLKIF_OKAY);
    page = pv_rig_page(&rig->front, 1);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(page[i], 0xa5);
    assert_int_equal(page[512], 0);
    memset(pv_rig_page(&rig->front, 2), 0x5a, GRANT_PAGE);
    request(rig, BLKIF_WRITE, 2, 16, 2);
    request(rig, BLKIF_READ, 3, 16, 1);
    assert_int_equal(page[0], 0x5a);
    detach(rig);
}

/* Firmware's PV driver, for one, does not unplug. */
static void a_guest_that_unplugs_nothing_is_served_both(void **state)
{
    struct rig *rig = *state;

    connect_it(rig, emulated(rig, ""));
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    request(rig, BLKIF_WRITE, 1, 16, 1);
    assert_int_equal(in(rig, 0x12), 0xff);
    detach(rig);
}

static void a_twins_lock_is_there_as_long_as_the_guest(void **state)
{
    struct rig *rig = *state;
    unsigned descriptors = guest_rig_descriptors();

    connect_it(rig, emulated(rig, ""));
    assert_true(image_is_locked(rig));
    detach_disk(rig);
    assert_true(image_is_locked(rig)); /* the drive is still there */
    make_directories(rig, "a.img");
    event(rig);
    wait_state(rig, "2");
    detach(rig);
    assert_false(image_is_locked(rig));
    assert_int_equal(guest_rig_descriptors(), descriptors);
}

static void an_image_that_another_guest_has_is_not_served(void **state)
{
    struct rig *rig = *state;
    char disk[128];

    snprintf(disk, sizeof(disk), "{'vdev': 'hdb', 'path': '%s/a.img'}", rig->guest.dir);
    attach(rig, disk);
    make_directories(rig, "a.img");
    event(rig);
    event(rig);
    assert_int_equal(rig->channels, 0);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "1");
    /* Detaching it works all the same. */
    back(rig, "online", "0");
    back(rig, "state", "5");
    event(rig);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "6");
    fake_store_remove(&rig->store, BACK);
    event(rig);
    assert_null(rig->guest.daemon.guests->pvdisks);
    detach(rig);
}

static void a_cdrom_is_left_to_the_emulated_drive(void **state)
{
    struct rig *rig = *state;

    attach(rig, "");
    make_directories(rig, "a.img");
    back(rig, "device-type", "cdrom");
    event(rig);
    assert_int_equal(rig->channels, 0);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "1");
    assert_false(image_is_locked(rig));
    detach(rig);
}

static void a_twin_has_the_options_of_its_drive(void **state)
{
    struct rig *rig = *state;

    attach(rig, emulated(rig, ", 'read_only': true"));
    make_directories(rig, "a.img");
    event(rig);
    wait_state(rig, "2");
    assert_string_equal(fake_store_get(&rig->store, BACK, "feature-discard"), "0");
    detach(rig);
    rig->guest.domid = 5;
    attach(rig, emulated(rig, ", 'discard': 'ignore'"));
    make_directories(rig, "a.img");
    event(rig);
    wait_state(rig, "2");
    assert_string_equal(fake_store_get(&rig->store, BACK, "feature-discard"), "0");
    detach(rig);
}

/* ---- guests without emulated devices ----------------------------------------------------------*/

static void attach_pv(struct rig *rig)
{
    unsigned others = rig->guest.daemon.guests != NULL;

    rig->guest.domid = 5;
    guest_rig_attach(&rig->guest, "{'name': 'a', 'role': 'pv'}", &outcome);
    guest_rig_settle(&rig->guest, others + !outcome.err);
}

static void a_guest_without_emulated_devices_has_its_disks_served(void **state)
{
    struct rig *rig = *state;

    attach_pv(rig);
    assert_int_equal(outcome.err, 0);
    assert_int_equal(rig->guest.claimed, 0);
    assert_int_equal(guest_rig_records(&rig->guest), 0); /* there is no server to be removed */
    assert_int_equal(rig->watches, 1);
    for (unsigned i = 0; i < 2; i++) { /* block-attach, block-detach, and again */
        make_directories(rig, "a.img");
        event(rig);
        wait_state(rig, "2");
        make_ring(rig);
        rig->front.front[0].req_prod = rig->front.front[0].rsp_cons = 0;
        front(rig, "state", "3");
        event(rig);
        wait_state(rig, "4");
        front(rig, "state", "4");
        memset(pv_rig_page(&rig->front, 1), 0x5a + (int)i, GRANT_PAGE);
        request(rig, BLKIF_WRITE, 1, 16, 1);
        request(rig, BLKIF_READ, 2, 16, 2);
        assert_int_equal(*pv_rig_page(&rig->front, 2), 0x5a + i);
        assert_true(image_is_locked(rig));
        detach_disk(rig);
        assert_false(image_is_locked(rig));
    }
    detach(rig);
}

static void a_cdrom_of_a_guest_without_emulated_drives_is_a_pv_disk(void **state)
{
    struct rig *rig = *state;

    attach_pv(rig);
    make_directories(rig, "a.img");
    back(rig, "device-type", "cdrom");
    back(rig, "mode", "r");
    event(rig);
    wait_state(rig, "2");
    make_ring(rig);
    front(rig, "state", "3");
    event(rig);
    wait_state(rig, "4");
    assert_string_equal(fake_store_get(&rig->store, BACK, "info"), "5"); /* CD-ROM, read-only */
    detach(rig);
}

static void a_guest_without_emulated_devices_is_there_for_pv_disks_only(void **state)
{
    struct rig *rig = *state;

    rig->guest.daemon.config.pv_disks = false;
    attach_pv(rig);
    assert_int_equal(outcome.err, -EOPNOTSUPP);
    assert_non_null(strstr(outcome.why, "pv_disks"));
}

static void a_domains_pv_disks_are_served_by_one(void **state)
{
    struct rig *rig = *state;

    rig->guest.domid = 5;
    guest_rig_attach(&rig->guest, "{'name': 'b'}", &outcome);
    guest_rig_settle(&rig->guest, 1);
    rig->guest.domid = 5;
    guest_rig_attach(&rig->guest, "{'name': 'a', 'role': 'pv'}", &outcome);
    assert_int_equal(outcome.err, -EEXIST);
    assert_non_null(strstr(outcome.why, "served already: guest b"));
    detach(rig);
    attach_pv(rig);
    assert_int_equal(outcome.err, 0);
    detach(rig);
}

/* xl reboot: the disks of the domain before look closed, and one is not yet. */
static void a_disk_waits_for_its_image_of_the_domain_before(void **state)
{
    struct rig *rig = *state;
    char json[256];

    snprintf(json, sizeof(json), "{'name': 'b', 'disks': [{'vdev': 'hda', 'path': '%s/a.img'}]}",
             rig->guest.dir);
    rig->guest.domid = 4;
    guest_rig_attach(&rig->guest, json, &outcome);
    guest_rig_settle(&rig->guest, 1);
    attach_pv(rig);
    assert_int_equal(outcome.err, 0);
    guest_rig_hold_worker(&rig->guest);
    guest_detach(rig->guest.daemon.guests->next, NULL, NULL);
    make_directories(rig, "a.img");
    event(rig);
    event(rig);
    assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "1");
    guest_rig_release_worker(&rig->guest);
    wait_state(rig, "2");
    guest_rig_settle(&rig->guest, 1);
    detach(rig);
}

/* ---- errors, pages, statistics ----------------------------------------------------------------*/

static bool is_stopped(struct guest_rig *rig, void *arg)
{
    return rig->daemon.guests->io_stopped == *(unsigned *)arg;
}

static json_t *statistics(struct rig *rig)
{
    json_t *stats = daemon_stats(&rig->guest.daemon, NULL);
    json_t *disk = json_array_get(
        json_object_get(json_array_get(json_object_get(stats, "guests"), 0), "pv_disks"), 0);

    json_incref(disk);
    json_decref(stats);
    return disk;
}

static json_int_t number(const json_t *disk, const char *name)
{
    return json_integer_value(json_object_get(disk, name));
}

static json_int_t mapped(struct rig *rig)
{
    json_t *stats = daemon_stats(&rig->guest.daemon, NULL);
    json_int_t pages = number(
        json_object_get(json_array_get(json_object_get(stats, "guests"), 0), "grants"), "mapped");

    json_decref(stats);
    return pages;
}

static void a_disk_whose_error_stops_the_guest_goes_on_when_it_is_resumed(void **state)
{
    struct rig *rig = *state;
    unsigned stopped = 1u << MACHINE_IDE_DRIVES;
    json_t *disk;

    connect_it(rig, emulated(rig, ", 'werror': 'stop', 'rerror': 'stop', "
                                  "'fault': {'op': 'write', 'every': 1, 'count': 1}"));
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, 1, 16, 1);
    publish(rig);
    guest_rig_run(&rig->guest, is_stopped, &stopped);
    assert_int_equal(rig->guest.paused, 1);
    assert_string_equal(guest_state_name(rig->guest.daemon.guests), "io-error");
    disk = statistics(rig);
    assert_string_equal(json_string_value(json_object_get(json_object_get(disk, "stopped"), "op")),
                        "write");
    json_decref(disk);
    assert_int_equal(guest_resume(rig->guest.daemon.guests, true, NULL, NULL), 0);
    expect(rig, 1, BLKIF_OKAY);
    guest_rig_run(&rig->guest, is_stopped, &(unsigned){0});
    assert_int_equal(rig->guest.paused, 0);
    detach(rig);
}

/* xl takes it away by force, since the guest does not answer. */
static void a_disk_that_stops_the_guest_can_be_taken_away(void **state)
{
    struct rig *rig = *state;
    unsigned stopped = 1u << MACHINE_IDE_DRIVES;

    connect_it(rig, emulated(rig, ", 'rerror': 'stop', 'fault': {'op': 'read', 'every': 1}"));
    pv_rig_page_request(&rig->front, 0, BLKIF_READ, 1, 16, 1);
    publish(rig);
    guest_rig_run(&rig->guest, is_stopped, &stopped);
    fake_store_remove(&rig->store, FRONT);
    fake_store_remove(&rig->store, BACK);
    event(rig);
    guest_rig_run(&rig->guest, no_disks, NULL);
    assert_int_equal(guest_resume(rig->guest.daemon.guests, true, NULL, NULL), 0);
    guest_rig_run(&rig->guest, is_stopped, &(unsigned){0});
    assert_int_equal(rig->guest.paused, 0);
    enable_emulated(rig);
    assert_int_equal(in(rig, 0x3f6), 0x50); /* it is served again: DRDY, DSC */
    detach(rig);
}

static void errors_are_told_the_guest_where_nobody_says_otherwise(void **state)
{
    struct rig *rig = *state;

    connect_it(rig, emulated(rig, ", 'fault': {'op': 'write', 'every': 1}"));
    pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, 1, 16, 1);
    publish(rig);
    expect(rig, 1, BLKIF_ERROR);
    assert_int_equal(rig->guest.paused, 0);
    detach(rig);
}

/* As a reload of the configuration does. */
static void new_policies_of_a_drive_are_its_twins_too(void **state)
{
    struct rig *rig = *state;
    unsigned stopped = 1u << MACHINE_IDE_DRIVES;
    struct vm *vm;

    connect_it(rig, emulated(rig, ", 'fault': {'op': 'write', 'every': 1, 'count': 1}"));
    vm = rig->guest.daemon.guests->vm;
    guest_rig_hold_worker(&rig->guest);
    vm_set_policies(vm, 0, BLK_REPORT, BLK_STOP);
    guest_rig_release_worker(&rig->guest);
    pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, 1, 16, 1);
    publish(rig);
    guest_rig_run(&rig->guest, is_stopped, &stopped);
    assert_int_equal(guest_resume(rig->guest.daemon.guests, true, NULL, NULL), 0);
    expect(rig, 1, BLKIF_OKAY);
    guest_rig_run(&rig->guest, is_stopped, &(unsigned){0});
    detach(rig);
}

static bool holds_pages(struct guest_rig *rig, void *arg)
{
    return pool_share_held(rig->daemon.guests->vm->pool_share) == *(unsigned *)arg;
}

static void pages_of_its_requests_count_for_the_guests_share(void **state)
{
    struct rig *rig = *state;
    struct pv_response response;

    connect_it(rig, emulated(rig, ", 'fault': {'op': 'write', 'delay_ms': 200}"));
    assert_int_equal(pool_share_held(rig->guest.daemon.guests->vm->pool_share), 0);
    for (unsigned i = 0; i < 5; i++)
        pv_rig_page_request(&rig->front, 0, BLKIF_WRITE, i, i * 8, 1);
    publish(rig);
    guest_rig_run(&rig->guest, holds_pages, &(unsigned){5});
    for (unsigned i = 0; i < 5; i++)
        guest_rig_run(&rig->guest, has_response, &response);
    guest_rig_run(&rig->guest, holds_pages, &(unsigned){0});
    detach(rig);
}

static void what_a_disk_did_is_counted_as_a_drives_is(void **state)
{
    struct rig *rig = *state;
    json_t *disk, *ring;

    connect_it(rig, "");
    request(rig, BLKIF_WRITE, 1, 16, 1);
    request(rig, BLKIF_WRITE, 2, 24, 1);
    request(rig, BLKIF_READ, 3, 16, 2);
    assert_int_equal(mapped(rig), 1);
    disk = statistics(rig);
    ring = json_object_get(disk, "ring");
    assert_string_equal(json_string_value(json_object_get(disk, "vdev")), "xvda");
    assert_true(json_is_true(json_object_get(disk, "connected")));
    assert_int_equal(number(disk, "writes"), 2);
    assert_int_equal(number(disk, "written_bytes"), 8192);
    assert_int_equal(number(disk, "reads"), 1);
    assert_int_equal(number(disk, "in_flight"), 0);
    assert_int_equal(number(json_object_get(json_object_get(disk, "latency"), "write"), "count"),
                     2);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(disk, "write_sizes"), 3)),
                     2); /* up to 4 KiB */
    assert_int_equal(number(ring, "requests"), 3);
    assert_int_equal(number(ring, "writes"), 2);
    assert_int_equal(number(ring, "refused"), 0);
    json_decref(disk);
    detach_disk(rig);
    assert_null(statistics(rig));
    detach(rig);
}

static void what_the_image_cannot_be_is_said_and_left(void **state)
{
    struct rig *rig = *state;

    attach(rig, "");
    make_directories(rig, "none.img");
    event(rig);
    make_directories(rig, "a.img");
    back(rig, "params", "vmdk:/a");
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

/* ---- images that a program serves -------------------------------------------------------------*/

static void make_directories_of(struct rig *rig, const char *format, const char *image)
{
    char params[128];

    make_directories(rig, image);
    snprintf(params, sizeof(params), "%s:%s/%s", format, rig->guest.dir, image);
    back(rig, "params", params);
}

static bool run(struct rig *rig, const char *command)
{
    char line[256];

    snprintf(line, sizeof(line), "cd %s && { %s; } >/dev/null 2>&1", rig->guest.dir, command);
    return system(line) == 0;
}

static void connect_front(struct rig *rig)
{
    make_ring(rig);
    rig->front.front[0].req_prod = rig->front.front[0].rsp_cons = 0;
    front(rig, "state", "3");
    event(rig);
    wait_state(rig, "4");
    front(rig, "state", "4");
}

static void a_qcow2_image_is_served_through_a_program_of_its_own(void **state)
{
    struct rig *rig = *state;
    uint8_t sector[512];
    char path[96];
    int fd;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    attach(rig, "");
    for (unsigned i = 0; i < 2; i++) {
        make_directories_of(rig, "qcow2", "a.qcow2");
        event(rig);
        event(rig); /* while it starts */
        wait_state(rig, "2");
        assert_string_equal(fake_store_get(&rig->store, BACK, "feature-discard"), "1");
        connect_front(rig);
        assert_string_equal(fake_store_get(&rig->store, BACK, "sectors"), "2048");
        assert_non_null(rig->guest.daemon.served);
        if (!i) {
            memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
            request(rig, BLKIF_WRITE, 1, 16, 1);
            pv_rig_request(&rig->front, 0, BLKIF_FLUSH, 3, 0, NULL, 0);
            publish(rig);
            expect(rig, 3, BLKIF_OKAY);
        }
        request(rig, BLKIF_READ, 2, 16, 2);
        assert_memory_equal(pv_rig_page(&rig->front, 2), pv_rig_page(&rig->front, 1), GRANT_PAGE);
        detach_disk(rig); /* the program ends by itself, perhaps after its successor began */
    }
    detach(rig);
    guest_rig_run(&rig->guest, none_served, NULL);
    assert_true(run(rig, "qemu-img check a.qcow2 && qemu-img convert -O raw a.qcow2 b.raw"));
    snprintf(path, sizeof(path), "%s/b.raw", rig->guest.dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, sector, sizeof(sector), 16 * 512), sizeof(sector));
    close(fd);
    assert_memory_equal(sector, pv_rig_page(&rig->front, 1), sizeof(sector));
    run(rig, "rm -f a.qcow2 b.raw");
}

/* Makes DIR/program a script. */
static const char *script(struct rig *rig, const char *text)
{
    static char path[96];
    FILE *file;

    snprintf(path, sizeof(path), "%s/program", rig->guest.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", text);
    fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
    return path;
}

static void a_program_that_is_killed_fails_the_disks_requests(void **state)
{
    struct rig *rig = *state;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    rig->guest.daemon.image_program =
        script(rig, "echo $$ >\"${0%program}pid\"\nexec " SERVED_PROGRAM " \"$@\"");
    attach(rig, "");
    make_directories_of(rig, "qcow2", "a.qcow2");
    event(rig);
    wait_state(rig, "2");
    connect_front(rig);
    assert_true(run(rig, "kill -KILL $(cat pid)"));
    guest_rig_run(&rig->guest, none_served, NULL);
    pv_rig_page_request(&rig->front, 0, BLKIF_READ, 1, 0, 1);
    publish(rig);
    expect(rig, 1, BLKIF_ERROR);
    detach(rig);
    run(rig, "rm -f a.qcow2 program pid");
}

/* Another guest has it: the disk comes when that one's program has let go. */
static void an_image_whose_program_still_runs_is_waited_for(void **state)
{
    struct rig *rig = *state;
    struct served *first;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    /* Reads the end of its connection late. */
    rig->guest.daemon.image_program =
        script(rig, "echo $$ >\"${0%program}pid\"\nexec " SERVED_PROGRAM " \"$@\"");
    attach(rig, "");
    make_directories_of(rig, "qcow2", "a.qcow2");
    event(rig);
    wait_state(rig, "2");
    first = rig->guest.daemon.served;
    assert_true(run(rig, "kill -STOP $(cat pid)"));
    detach_disk(rig);
    rig->guest.daemon.image_program = SERVED_PROGRAM;
    make_directories_of(rig, "qcow2", "a.qcow2");
    event(rig);
    assert_ptr_not_equal(rig->guest.daemon.served, first);
    assert_true(run(rig, "(sleep 0.5; kill -CONT $(cat pid)) & true"));
    wait_state(rig, "2");
    connect_front(rig);
    request(rig, BLKIF_READ, 1, 0, 1);
    detach(rig);
    guest_rig_run(&rig->guest, none_served, NULL);
    run(rig, "rm -f a.qcow2 program pid");
}

static bool is_useless(struct guest_rig *guest_rig, void *arg)
{
    return guest_rig->daemon.guests->pvdisks && guest_rig->daemon.guests->pvdisks->useless;
}

static void an_image_that_its_program_does_not_open_is_left(void **state)
{
    static const char *const program[] = {SERVED_PROGRAM, "/bin/false", "/none", "/bin/true"};
    struct rig *rig = *state;

    attach(rig, "");
    for (unsigned i = 0; i < 4; i++) {
        rig->guest.daemon.image_program = program[i];
        make_directories_of(rig, "qcow2", "a.img"); /* which is raw */
        event(rig);
        guest_rig_run(&rig->guest, is_useless, NULL);
        assert_int_equal(rig->channels, 0);
        assert_string_equal(fake_store_get(&rig->store, BACK, "state"), "1");
        fake_store_remove(&rig->store, BACK);
        event(rig);
        assert_null(rig->guest.daemon.guests->pvdisks);
    }
    detach(rig);
}

static void a_guest_may_end_while_a_program_starts(void **state)
{
    struct rig *rig = *state;

    rig->guest.daemon.image_program = script(rig, "exec sleep 1000");
    attach(rig, "");
    make_directories_of(rig, "qcow2", "a.img");
    event(rig);
    assert_non_null(rig->guest.daemon.guests->pvdisks->served);
    detach(rig);
    guest_rig_run(&rig->guest, none_served, NULL);
    assert_int_equal(rig->channels, 0);
    run(rig, "rm -f program");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_disk_of_the_toolstacks_is_served_from_its_image),
        T(a_frontend_that_was_there_first_is_served),
        T(a_disk_that_is_detached_lets_its_image_go),
        T(a_frontend_may_connect_again),
        T(a_ring_that_breaks_is_told_in_the_store),
        T(a_channel_that_cannot_be_bound_is_no_connection),
        T(a_guest_that_ends_under_load_leaves_nothing_mapped),
        T(a_directory_that_is_gone_is_not_made_again),
        T(a_guest_goes_from_the_emulated_drive_to_its_twin_without_losing_a_write),
        T(a_guest_that_unplugs_nothing_is_served_both),
        T(a_twins_lock_is_there_as_long_as_the_guest),
        T(an_image_that_another_guest_has_is_not_served),
        T(a_cdrom_is_left_to_the_emulated_drive),
        T(a_twin_has_the_options_of_its_drive),
        T(a_guest_without_emulated_devices_has_its_disks_served),
        T(a_cdrom_of_a_guest_without_emulated_drives_is_a_pv_disk),
        T(a_guest_without_emulated_devices_is_there_for_pv_disks_only),
        T(a_domains_pv_disks_are_served_by_one),
        T(a_disk_waits_for_its_image_of_the_domain_before),
        T(a_disk_whose_error_stops_the_guest_goes_on_when_it_is_resumed),
        T(a_disk_that_stops_the_guest_can_be_taken_away),
        T(errors_are_told_the_guest_where_nobody_says_otherwise),
        T(new_policies_of_a_drive_are_its_twins_too),
        T(pages_of_its_requests_count_for_the_guests_share),
        T(what_a_disk_did_is_counted_as_a_drives_is),
        T(what_the_image_cannot_be_is_said_and_left),
        T(without_pv_disks_nobody_looks),
        T(images_are_named_as_libxl_does),
        T(a_qcow2_image_is_served_through_a_program_of_its_own),
        T(a_program_that_is_killed_fails_the_disks_requests),
        T(an_image_whose_program_still_runs_is_waited_for),
        T(an_image_that_its_program_does_not_open_is_left),
        T(a_guest_may_end_while_a_program_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
