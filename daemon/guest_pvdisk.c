/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest_pvdisk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guest_pvdisk_internal.h"
#include "daemon/served.h"

/* libxl's for disks that the domain's device model is to serve. */
#define BACKENDS "/local/domain/0/backend/qdisk"

static bool serving(const struct guest *guest)
{
    return guest->state == GUEST_RUNNING;
}

static struct hv_host *host_of(const struct guest *guest)
{
    return guest->daemon->host[DAEMON_XEN];
}

bool guest_pvdisks_served(const struct guest *guest)
{
    return guest->daemon->config.pv_disks && guest->hv->pv && guest->config.role != GUEST_SECONDARY;
}

static void token_of(const struct guest *guest, char *token, size_t size)
{
    snprintf(token, size, "pv-%u", guest->domid);
}

/* ---- the negotiation's wishes -----------------------------------------------------------------*/

static void on_connect(void *ctx, const struct pvblk_rings *rings)
{
    pvdisk_ask_connect(ctx, rings);
}

static void expect_end(struct pvdisk *disk)
{
    served_expect_end(disk->guest->daemon, disk->program);
}

static void on_disconnect(void *ctx)
{
    struct pvdisk *disk = ctx;

    expect_end(disk);
    pvdisk_ask_disconnect(disk);
}

static void on_gone(void *ctx)
{
    struct pvdisk *disk = ctx;

    disk->closing = true;
    disk->counted = false; /* before it goes */
    expect_end(disk);
    pvdisk_ask_close(disk);
}

static void on_log(void *ctx, const char *what, const char *why)
{
    struct pvdisk *disk = ctx;

    guest_log(disk->guest, LOG_WARNING, "event=pv-disk devid=%u what=%s why=\"%s\"", disk->devid,
              what, why);
}

/* A guest can begin anew, and be wrong again, as often as it likes (XSA-180). */
static void on_front_log(void *ctx, const char *what, const char *why)
{
    struct pvdisk *disk = ctx;
    struct guest *guest = disk->guest;
    uint64_t suppressed, now_ns = guest->daemon->evloop.loop.ops->now_ns(&guest->daemon->evloop);

    if (!log_allow(&guest->pv_said, now_ns, &suppressed))
        return;
    if (suppressed)
        guest_log(guest, LOG_WARNING, "event=log-limit suppressed=%llu",
                  (unsigned long long)suppressed);
    on_log(disk, what, why);
}

static const struct pvblk_ctl_ops ctl_ops = {
    .connect = on_connect, .disconnect = on_disconnect, .gone = on_gone, .log = on_front_log};

/* ---- disks ------------------------------------------------------------------------------------*/

static void unwatch_frontend(struct pvdisk *disk)
{
    char token[32], path[XENBUS_PATH + 8];

    if (!*disk->frontend)
        return;
    token_of(disk->guest, token, sizeof(token));
    snprintf(path, sizeof(path), "%s/state", disk->frontend);
    disk->guest->hv->pv->store_unwatch(host_of(disk->guest), path, token);
    *disk->frontend = 0;
}

static void watch_frontend(struct pvdisk *disk)
{
    char token[32], path[XENBUS_PATH + 8];
    int err;

    token_of(disk->guest, token, sizeof(token));
    snprintf(disk->frontend, sizeof(disk->frontend), "%s", pvblk_ctl_frontend(disk->ctl));
    snprintf(path, sizeof(path), "%s/state", disk->frontend);
    err = disk->guest->hv->pv->store_watch(host_of(disk->guest), path, token);
    if (err)
        on_log(disk, "watch", strerror(-err));
}

static void forget(struct pvdisk *disk)
{
    struct pvdisk **link = &disk->guest->pvdisks;

    while (*link != disk)
        link = &(*link)->next;
    *link = disk->next;
    disk->guest->pv_unit[disk->unit - MACHINE_IDE_DRIVES] = NULL;
    unwatch_frontend(disk);
    served_cancel(disk->served);
    pvdisk_ask_unhear(disk);
    expect_end(disk);
    pvblk_ctl_destroy(disk->ctl);
    pvdisk_calls_finish(disk);
    free(disk);
}

void pvdisk_served(struct pvdisk *disk, int err)
{
    const struct hv_pv_ops *ops = disk->guest->hv->pv;
    struct pvblk_ctl_params params = {
        .bus = ops->store(host_of(disk->guest)),
        .backend = disk->backend,
        .frontend_id = disk->guest->domid,
        .max_queues = PVBLK_QUEUES,
        .disk = disk->disk,
        .ops = &ctl_ops,
        .ctx = disk,
    };

    if (err) {
        on_log(disk, "open", strerror(-err));
        expect_end(disk);
        disk->useless = true;
        return;
    }
    disk->counted = true;
    err = pvdisk_is_as_begun(disk) ? pvblk_ctl_create(&params, &disk->ctl) : -ESTALE;
    if (err) { /* the directory is gone by now, or never was one */
        on_log(disk, "store", strerror(-err));
        on_gone(disk);
        return;
    }
    watch_frontend(disk);
    pvblk_ctl_event(disk->ctl);
}

/* ---- what libxl wrote -------------------------------------------------------------------------*/

/* As the domain of before does when a guest is rebooted: the toolstack takes its disks for closed
 * when nothing more is asked of them, which is before the last that was has ended. */
static bool somebody_leaves(const struct daemon *daemon)
{
    const struct guest *guest = daemon->guests;

    while (guest && !guest_leaves(guest))
        guest = guest->next;
    return guest;
}

void pvdisk_opened(struct pvdisk *disk, int err, const char *why)
{
    char text[OPENER_WHY_SIZE];

    if (!err) {
        err = pvdisk_ask_open(disk, text);
        if (!err)
            return;
        why = text;
        expect_end(disk);
    }
    pvdisk_ask_unhear(disk);
    on_log(disk, "image", why);
    disk->useless = true;
    disk->waits = err == -EBUSY && somebody_leaves(disk->guest->daemon);
}

static void begin(struct pvdisk *disk)
{
    char why[OPENER_WHY_SIZE] = "";
    int err;

    pvdisk_read_params(disk, disk->begun_with);
    pvdisk_read_name(disk);
    /* HVM guests have an emulated drive for it, whose media come and go, and leave the twin alone.
     */
    if (disk->guest->config.role == GUEST_PRIMARY &&
        pvdisk_reads_as(disk, "device-type", "cdrom")) {
        disk->useless = true;
        return;
    }
    err = pvdisk_open_image(disk, why);
    if (err != -EINPROGRESS)
        pvdisk_opened(disk, err, why);
}

static void found(void *ctx, const char *name)
{
    struct guest *guest = ctx;
    struct pvdisk *disk;
    unsigned devid, unit, used = 0;
    char rest;

    if (sscanf(name, "%u%c", &devid, &rest) != 1)
        return;
    for (disk = guest->pvdisks; disk; disk = disk->next) {
        used |= 1u << disk->unit;
        if (disk->devid == devid) {
            disk->seen = true;
            return;
        }
    }
    for (unit = MACHINE_IDE_DRIVES; unit < guest->units && used & 1u << unit;)
        unit++;
    if (unit == guest->units)
        return;
    disk = calloc(1, sizeof(*disk));
    if (!disk)
        return; /* another event may find more memory */
    *disk = (struct pvdisk){
        .next = guest->pvdisks,
        .guest = guest,
        .devid = devid,
        .unit = unit,
        .seen = true,
    };
    snprintf(disk->backend, sizeof(disk->backend), BACKENDS "/%u/%u", guest->domid, devid);
    if (!pvdisk_is_online(disk)) {
        free(disk);
        return;
    }
    pvdisk_calls_init(disk);
    guest->pvdisks = disk;
    guest->pv_unit[unit - MACHINE_IDE_DRIVES] = disk;
    begin(disk);
}

/* xl block-detach of one that is not served waits for that. */
static void let_go(struct pvdisk *disk)
{
    const struct xenbus *bus = disk->guest->hv->pv->store(host_of(disk->guest));

    if (xenbus_read_state(bus, disk->backend) == XENBUS_CLOSING && !pvdisk_is_online(disk))
        xenbus_write_u64(bus, disk->backend, "state", XENBUS_CLOSED);
}

/* Those that have no negotiation yet, or never will: what became of their directories. */
static void forget_former(struct guest *guest)
{
    struct pvdisk *next;

    for (struct pvdisk *disk = guest->pvdisks; disk; disk = next) {
        next = disk->next;
        if ((disk->useless || disk->served) &&
            (!pvdisk_is_as_begun(disk) || (disk->asked_back && pvdisk_is_online(disk))))
            forget(disk);
    }
}

/* It was asked back while its program starts, which may take long: nobody waits for that. */
static void give_up(struct pvdisk *disk)
{
    served_cancel(disk->served);
    disk->served = NULL;
    disk->useless = true;
    disk->asked_back = true;
}

/* Directories that came, and events for those that are there. */
static void scan(struct guest *guest)
{
    char path[XENBUS_PATH];
    struct pvdisk *next;

    forget_former(guest);
    for (struct pvdisk *disk = guest->pvdisks; disk; disk = disk->next)
        disk->seen = false;
    snprintf(path, sizeof(path), BACKENDS "/%u", guest->domid);
    guest->hv->pv->store_list(host_of(guest), path, found, guest); /* -ENOENT: none */
    for (struct pvdisk *disk = guest->pvdisks; disk; disk = next) {
        next = disk->next;
        if (disk->served && !pvdisk_is_online(disk))
            give_up(disk);
        if (disk->useless && !disk->seen)
            forget(disk);
        else if (disk->useless)
            let_go(disk);
        else if (disk->ctl && !disk->closing)
            pvblk_ctl_event(disk->ctl);
    }
}

void pvdisk_begin_anew(struct pvdisk *disk)
{
    struct guest *guest = disk->guest;

    forget(disk);
    scan(guest);
}

static bool forget_waiting(struct guest *guest)
{
    bool any = false;
    struct pvdisk *next;

    for (struct pvdisk *disk = guest->pvdisks; disk; disk = next) {
        next = disk->next;
        if (!disk->waits)
            continue;
        forget(disk);
        any = true;
    }
    return any;
}

void guest_pvdisks_retry(struct daemon *daemon)
{
    for (struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (guest->pv_watched && serving(guest) && forget_waiting(guest))
            scan(guest);
}

/* ---- life -------------------------------------------------------------------------------------*/

void guest_pvdisks_event(struct daemon *daemon, const char *token)
{
    unsigned domid;
    char rest;

    if (sscanf(token, "pv-%u%c", &domid, &rest) != 1)
        return;
    for (struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (guest->pv_watched && guest->domid == domid && serving(guest)) {
            scan(guest);
            return;
        }
}

void guest_pvdisks_start(struct guest *guest)
{
    char path[XENBUS_PATH], token[32];
    int err;

    if (!guest_pvdisks_served(guest))
        return;
    token_of(guest, token, sizeof(token));
    snprintf(path, sizeof(path), BACKENDS "/%u", guest->domid);
    err = guest->hv->pv->store_watch(host_of(guest), path, token);
    if (err)
        guest_log(guest, LOG_ERR, "event=pv-disks-unwatched error=\"%s\"", strerror(-err));
    else
        guest->pv_watched = true; /* and is told at once */
}

void guest_pvdisks_stop(struct guest *guest)
{
    char path[XENBUS_PATH], token[32];

    if (!guest->pv_watched)
        return;
    token_of(guest, token, sizeof(token));
    snprintf(path, sizeof(path), BACKENDS "/%u", guest->domid);
    guest->hv->pv->store_unwatch(host_of(guest), path, token);
    for (struct pvdisk *disk = guest->pvdisks; disk; disk = disk->next) {
        unwatch_frontend(disk);
        expect_end(disk);
        disk->heard_serial = 0;
    }
    guest->pv_watched = false;
}

void guest_pvdisks_finish(struct guest *guest)
{
    const struct xenbus *bus;

    if (!guest->pvdisks)
        return;
    bus = guest->hv->pv->store(host_of(guest));
    while (guest->pvdisks) {
        struct pvdisk *disk = guest->pvdisks;

        /* libxl waits for that when it destroys the domain. */
        if (disk->ctl && xenbus_read_state(bus, disk->backend) != XENBUS_UNKNOWN)
            xenbus_write_u64(bus, disk->backend, "state", XENBUS_CLOSED);
        forget(disk);
    }
}

static void close_sealed(const struct pvdisk *disk)
{
    const struct xenbus *bus = disk->guest->hv->pv->store(host_of(disk->guest));

    if (xenbus_read_state(bus, disk->backend) != XENBUS_UNKNOWN)
        xenbus_write_u64(bus, disk->backend, "state", XENBUS_CLOSING);
}

/* As after the end of a daemon: the state in the store is left as it is, so that a frontend which
 * is connected finds the other backend at the same ring. But not one whose disk is sealed: that
 * must not be written to as if nothing had been lost, so its driver is to begin anew. */
void guest_pvdisks_orphan(struct guest *guest, bool goes_on)
{
    guest_pvdisks_stop(guest);
    if (!goes_on)
        return;
    while (guest->pvdisks) {
        struct pvdisk *disk = guest->pvdisks;

        if (disk->ctl && pvblk_ctl_state(disk->ctl) == XENBUS_CONNECTED)
            guest_log(guest, LOG_WARNING,
                      "event=pv-disk-reset vdev=%s devid=%u hint=\"another worker process goes on "
                      "with it: if the guest waits for a request that was under way, reboot or "
                      "destroy it\"",
                      disk->vdev, disk->devid);
        if (disk->ctl && disk->sealed && !disk->closing)
            close_sealed(disk);
        forget(disk);
    }
    guest_pvdisks_release(guest); /* images are opened anew */
}

void guest_pvdisks_init(struct guest *guest)
{
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        guest->twin[i].fd = -1;
}

void guest_pvdisks_keep(struct guest *guest, unsigned drive, struct raw_image *image)
{
    int fd = guest_pvdisks_served(guest) ? fcntl(image->fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (fd < 0)
        return;
    guest->twin[drive] = *image;
    guest->twin[drive].fd = fd;
    image->lent = true;
}

void guest_pvdisks_release(struct guest *guest)
{
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        if (guest->twin[i].fd >= 0)
            raw_discard(&guest->twin[i]);
    guest_pvdisks_init(guest);
}

bool guest_pvdisks_next(const struct guest *guest, struct guest_pvdisk *info)
{
    const struct pvdisk *disk = info->disk ? info->disk->next : guest->pvdisks;

    while (disk && !disk->counted)
        disk = disk->next;
    if (!disk)
        return false;
    *info = (struct guest_pvdisk){
        .disk = disk,
        .vdev = disk->vdev,
        .devid = disk->devid,
        .unit = disk->unit,
        .connected = disk->ctl && pvblk_ctl_state(disk->ctl) == XENBUS_CONNECTED,
    };
    pvdisk_count(disk, info);
    return true;
}

const char *guest_pvdisk_name(const struct guest *guest, unsigned unit)
{
    for (const struct pvdisk *disk = guest->pvdisks; disk; disk = disk->next)
        if (disk->unit == unit)
            return disk->vdev;
    return "?";
}
