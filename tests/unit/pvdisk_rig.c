// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/pvdisk_rig.h"

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
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_pvdisk.h"
#include "daemon/served.h"
#include "tests/unit/guest_rig_hv.h"
#include "tests/unit/worker_rig.h"

static struct pvdisk_rig *the_rig;
static struct rig_outcome outcome;

/* ---- the hypervisor's part --------------------------------------------------------------------*/

static const struct xenbus *fake_bus(struct hv_host *host)
{
    return &the_rig->store.bus;
}

static int fake_list(struct hv_host *host, const char *path,
                     void (*each)(void *ctx, const char *name), void *ctx)
{
    size_t len = strlen(path);

    for (unsigned i = 0; i < the_rig->store.n; i++) {
        const char *node = the_rig->store.node[i].path;
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

/* Of domain 5, or of a neighbour of it. */
static void check_token(const char *path, const char *token)
{
    assert_true(!strcmp(token, "pv-5") || !strcmp(token, "pv-4") || !strcmp(token, "pv-6"));
    assert_non_null(strchr(path, token[3]));
}

static int fake_watch(struct hv_host *host, const char *path, const char *token)
{
    check_token(path, token);
    the_rig->watches++;
    return 0;
}

static void fake_unwatch(struct hv_host *host, const char *path, const char *token)
{
    check_token(path, token);
    assert_true(the_rig->watches > 0);
    the_rig->watches--;
}

struct hv_channels {
    int fd;
    unsigned bound;
};

/* The guest's end of it is a copy. */
static int fake_open(struct hv_guest *guest)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    assert_true(fd >= 0);
    assert_int_equal(dup3(fd, the_rig->fd, O_CLOEXEC), the_rig->fd);
    return fd;
}

static int fake_adopt(struct hv_guest *guest, int fd, struct hv_channels **ret_channels)
{
    struct hv_channels *channels = calloc(1, sizeof(*channels));

    assert_non_null(channels);
    channels->fd = fd;
    __atomic_add_fetch(&the_rig->channels, 1, __ATOMIC_SEQ_CST);
    *ret_channels = channels;
    return 0;
}

static void fake_close(struct hv_channels *channels)
{
    close(channels->fd);
    free(channels);
    __atomic_sub_fetch(&the_rig->channels, 1, __ATOMIC_SEQ_CST);
}

static int fake_bind(struct hv_channels *channels, unsigned index, uint32_t port)
{
    if (port == PVDISK_BAD_PORT)
        return -EINVAL;
    channels->bound++;
    __atomic_store_n(&the_rig->port, port, __ATOMIC_SEQ_CST);
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
    __atomic_add_fetch(&the_rig->notified, 1, __ATOMIC_SEQ_CST);
}

static bool fake_disk_is(unsigned devid, const char *path, const struct hv_disk *disk)
{
    return devid == 51712 && disk->place == 0 && disk->path && !strcmp(disk->path, path);
}

static uint32_t domid_of(const struct hv_guest *guest)
{
    return guest_rig_hv_ops.guest_info(guest)->domid;
}

static int fake_broker_open(struct hv_broker **ret_broker)
{
    return pvdisk_broker_open(the_rig, ret_broker);
}

static int fake_broker_add(struct hv_broker *broker, struct hv_guest *guest,
                           int ret_fds[HV_GRANT_FDS])
{
    return pvdisk_broker_add(broker, domid_of(guest), ret_fds);
}

static void fake_broker_cut(struct hv_broker *broker, const struct hv_guest *guest)
{
    pvdisk_broker_cut(broker, domid_of(guest));
}

static int fake_grants_adopt(struct hv_guest *guest, const int fds[HV_GRANT_FDS])
{
    assert_true(the_rig->processes);
    return pvdisk_grants_adopt(domid_of(guest), fds);
}

static const struct hv_pv_ops fake_pv = {
    .store = fake_bus,
    .store_list = fake_list,
    .store_watch = fake_watch,
    .store_unwatch = fake_unwatch,
    .disk_is = fake_disk_is,
    .channels_open = fake_open,
    .channels_adopt = fake_adopt,
    .channels_close = fake_close,
    .channels_bind = fake_bind,
    .channels_unbind = fake_unbind,
    .channels_fd = fake_fd,
    .channels_pending = fake_pending,
    .channels_notify = fake_notify,
    .broker_open = fake_broker_open,
    .broker_close = pvdisk_broker_close,
    .broker_add = fake_broker_add,
    .broker_cut = fake_broker_cut,
    .grants_adopt = fake_grants_adopt,
};

static const struct grants *fake_grants(struct hv_guest *guest)
{
    return the_rig->processes ? pvdisk_grants(domid_of(guest)) : &the_rig->front.grants;
}

static void fake_stop(struct hv_guest *guest)
{
    guest_rig_hv_ops.guest_stop(guest);
    if (the_rig->processes)
        pvdisk_grants_leave(domid_of(guest));
}

/* ---- the toolstack and the guest --------------------------------------------------------------*/

void pvdisk_back(struct pvdisk_rig *rig, const char *node, const char *value)
{
    fake_store_set(&rig->store, PVDISK_BACK, node, value);
}

void pvdisk_front(struct pvdisk_rig *rig, const char *node, const char *value)
{
    fake_store_set(&rig->store, PVDISK_FRONT, node, value);
}

void pvdisk_event(struct pvdisk_rig *rig)
{
    guest_pvdisks_event(&rig->guest.daemon, "pv-5");
}

void pvdisk_directories(struct pvdisk_rig *rig, const char *image)
{
    char params[128];

    snprintf(params, sizeof(params), "aio:%s/%s", rig->guest.dir, image);
    pvdisk_back(rig, "params", params);
    pvdisk_back(rig, "dev", "xvda");
    pvdisk_back(rig, "mode", "w");
    pvdisk_back(rig, "device-type", "disk");
    pvdisk_back(rig, "frontend", PVDISK_FRONT);
    pvdisk_back(rig, "frontend-id", "5");
    pvdisk_back(rig, "online", "1");
    pvdisk_back(rig, "state", "1");
    pvdisk_front(rig, "state", "1");
}

const char *pvdisk_state(struct pvdisk_rig *rig)
{
    return fake_store_get(&rig->store, PVDISK_BACK, "state");
}

static bool state_is(struct guest_rig *guest_rig, void *arg)
{
    const char *state = pvdisk_state(the_rig);

    return state && !strcmp(state, *(const char **)arg);
}

void pvdisk_wait(struct pvdisk_rig *rig, const char *state)
{
    guest_rig_run(&rig->guest, state_is, &state);
}

static bool no_disks(struct guest_rig *guest_rig, void *arg)
{
    return !guest_rig->daemon.guests->pvdisks;
}

void pvdisk_wait_gone(struct pvdisk_rig *rig)
{
    guest_rig_run(&rig->guest, no_disks, NULL);
}

void pvdisk_offer(struct pvdisk_rig *rig)
{
    pvdisk_directories(rig, "a.img");
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
}

void pvdisk_take_away(struct pvdisk_rig *rig)
{
    pvdisk_back(rig, "online", "0");
    pvdisk_back(rig, "state", "5");
    pvdisk_event(rig);
}

void pvdisk_make_ring(struct pvdisk_rig *rig)
{
    char ref[16];

    blkfront_reset(&rig->front.front[0]);
    snprintf(ref, sizeof(ref), "%u", PV_RING_FIRST);
    pvdisk_front(rig, "ring-ref", ref);
    pvdisk_front(rig, "event-channel", "9");
}

void pvdisk_front_connects(struct pvdisk_rig *rig)
{
    pvdisk_front(rig, "state", "3");
    pvdisk_event(rig);
    pvdisk_wait(rig, "4");
    pvdisk_front(rig, "state", "4");
}

void pvdisk_front_closes(struct pvdisk_rig *rig)
{
    pvdisk_front(rig, "state", "6");
    pvdisk_event(rig);
    pvdisk_wait(rig, "6");
}

void pvdisk_front_returns(struct pvdisk_rig *rig)
{
    pvdisk_front(rig, "state", "1");
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
}

/* ---- requests ---------------------------------------------------------------------------------*/

static bool has_response(struct guest_rig *guest_rig, void *arg)
{
    return pv_rig_response(&the_rig->front, 0, arg);
}

struct blkfront_response pvdisk_response(struct pvdisk_rig *rig)
{
    struct blkfront_response response;

    guest_rig_run(&rig->guest, has_response, &response);
    return response;
}

void pvdisk_kick(struct pvdisk_rig *rig)
{
    const uint64_t one = 1;

    assert_int_equal(write(rig->fd, &one, sizeof(one)), sizeof(one));
}

void pvdisk_publish(struct pvdisk_rig *rig)
{
    pv_rig_publish(&rig->front, 0);
    pvdisk_kick(rig);
}

void pvdisk_expect(struct pvdisk_rig *rig, uint64_t id, int16_t status)
{
    struct blkfront_response response = pvdisk_response(rig);

    assert_int_equal(response.id, id);
    assert_int_equal(response.status, status);
}

void pvdisk_request(struct pvdisk_rig *rig, uint8_t operation, uint64_t id, uint64_t sector,
                    uint32_t ref)
{
    pv_rig_page_request(&rig->front, 0, operation, id, sector, ref);
    pvdisk_publish(rig);
    pvdisk_expect(rig, id, BLKIF_OKAY);
}

/* ---- life -------------------------------------------------------------------------------------*/

struct guest *pvdisk_attach(struct pvdisk_rig *rig, const char *disks)
{
    char json[512];

    snprintf(json, sizeof(json), "{'name': 'a', 'disks': [%s]}", disks);
    guest_rig_attach(&rig->guest, json, &outcome);
    guest_rig_settle(&rig->guest, 1);
    assert_int_equal(outcome.err, 0);
    return rig->guest.daemon.guests;
}

int pvdisk_setup(void **state)
{
    struct pvdisk_rig *rig =
        mmap(NULL, sizeof(*rig), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(rig != MAP_FAILED);
    the_rig = rig;
    rig->fd = eventfd(0, EFD_CLOEXEC);
    assert_true(rig->fd >= 0);
    guest_rig_start(&rig->guest);
    pv_rig_init(&rig->front, &(struct pv_rig_options){.no_backend = true});
    fake_store_init(&rig->store);
    rig->ops = *rig->guest.daemon.hv[DAEMON_XEN];
    rig->ops.pv = &fake_pv;
    rig->ops.grants = fake_grants;
    rig->ops.guest_stop = fake_stop;
    rig->guest.daemon.hv[DAEMON_XEN] = &rig->ops;
    rig->guest.daemon.config.pv_disks = true;
    rig->guest.daemon.image_program = SERVED_PROGRAM;
    rig->guest.daemon.image_patience_ns = SERVED_PATIENCE_NS;
    guest_rig_image(&rig->guest, "a.img");
    *state = rig;
    return 0;
}

static void on_line(void *ctx, int priority, const char *guest, const char *device,
                    const char *text)
{
    struct pvdisk_rig *rig = ctx;

    rig->denied += !strncmp(text, "event=system-call-denied", 24);
}

int pvdisk_setup_processes(void **state)
{
    struct pvdisk_rig *rig;
    int err = pvdisk_setup(state);

    rig = *state;
    rig->processes = true;
    worker_rig_processes(&rig->guest);
    log_set_level(&rig->guest.daemon.log, LOG_CRIT);
    log_divert(&rig->guest.daemon.log, on_line, rig);
    return err;
}

static bool none_served(struct guest_rig *rig, void *arg)
{
    return !rig->daemon.served;
}

void pvdisk_wait_programs(struct pvdisk_rig *rig)
{
    guest_rig_run(&rig->guest, none_served, NULL);
}

int pvdisk_teardown(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_wait_programs(rig);
    guest_rig_stop(&rig->guest);
    assert_int_equal(rig->watches, 0);
    assert_int_equal(rig->channels, 0);
    assert_int_equal(rig->denied, 0);
    assert_int_equal(rig->front.counters.mapped, 0);
    pv_rig_finish(&rig->front);
    close(rig->fd);
    munmap(rig, sizeof(*rig));
    return 0;
}

int pvdisk_attach_pv(struct pvdisk_rig *rig, char *ret_why)
{
    unsigned others = rig->guest.daemon.guests != NULL;

    rig->guest.domid = 5;
    guest_rig_attach(&rig->guest, "{'name': 'a', 'role': 'pv'}", &outcome);
    guest_rig_settle(&rig->guest, others + !outcome.err);
    if (ret_why)
        strcpy(ret_why, outcome.why);
    return outcome.err;
}

void pvdisk_detach(struct pvdisk_rig *rig)
{
    guest_detach(rig->guest.daemon.guests, NULL, NULL);
    guest_rig_settle(&rig->guest, 0);
}

void pvdisk_connect(struct pvdisk_rig *rig, const char *disks)
{
    pvdisk_attach(rig, disks);
    pvdisk_offer(rig);
    assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "feature-discard"), "1");
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    assert_int_equal(rig->port, 9);
    assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "sectors"), "2048");
    pvdisk_event(rig);
}

void pvdisk_detach_disk(struct pvdisk_rig *rig)
{
    pvdisk_take_away(rig);
    pvdisk_front_closes(rig);
    pvdisk_wait_gone(rig);
}

/* ---- the emulated twin ------------------------------------------------------------------------*/

const char *pvdisk_emulated(struct pvdisk_rig *rig, const char *more)
{
    static char disk[256];

    snprintf(disk, sizeof(disk), "{'vdev': 'hda', 'path': '%s/a.img'%s}", rig->guest.dir, more);
    return disk;
}

static bool is_answered(struct guest_rig *rig, void *arg)
{
    return guest_rig_answered(rig->last, 0);
}

void pvdisk_out(struct pvdisk_rig *rig, uint16_t port, uint32_t size, uint32_t value)
{
    guest_rig_tell(rig->guest.last, port, size, value);
    guest_rig_kick(rig->guest.last, false);
    guest_rig_run(&rig->guest, is_answered, NULL);
}

uint8_t pvdisk_in(struct pvdisk_rig *rig, uint16_t port)
{
    guest_rig_ask(rig->guest.last, 0, port);
    guest_rig_kick(rig->guest.last, false);
    guest_rig_run(&rig->guest, is_answered, NULL);
    return guest_rig_answer(rig->guest.last, 0);
}

void pvdisk_enable_emulated(struct pvdisk_rig *rig)
{
    pvdisk_out(rig, 0xcf8, 4, 0x80000904);
    pvdisk_out(rig, 0xcfc, 2, 5);
    pvdisk_out(rig, 0xcf8, 4, 0x80000940);
    pvdisk_out(rig, 0xcfc, 2, 0x8000);
}

bool pvdisk_image_is_locked(struct pvdisk_rig *rig)
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

/* ---- statistics -------------------------------------------------------------------------------*/

json_t *pvdisk_statistics(struct pvdisk_rig *rig)
{
    json_t *stats = daemon_stats(&rig->guest.daemon, NULL);
    json_t *disk = json_array_get(
        json_object_get(json_array_get(json_object_get(stats, "guests"), 0), "pv_disks"), 0);

    json_incref(disk);
    json_decref(stats);
    return disk;
}

json_int_t pvdisk_number(const json_t *disk, const char *name)
{
    return json_integer_value(json_object_get(disk, name));
}

static bool counted(struct guest_rig *guest_rig, void *arg)
{
    json_t *disk = pvdisk_statistics(the_rig);
    bool all = pvdisk_number(json_object_get(disk, "ring"), "requests") == *(unsigned *)arg;

    json_decref(disk);
    return all;
}

void pvdisk_wait_counted(struct pvdisk_rig *rig, unsigned requests)
{
    guest_rig_run(&rig->guest, counted, &requests);
}
