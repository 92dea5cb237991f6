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

#define OWNER(mail, member) ((struct pvdisk *)((char *)(mail)-offsetof(struct pvdisk, member)))

static bool serving(const struct guest *guest)
{
    return guest->state == GUEST_RUNNING;
}

static struct hv_host *host_of(const struct guest *guest)
{
    return guest->daemon->host[DAEMON_XEN];
}

static void to_worker(struct pvdisk *disk, struct mail *mail)
{
    if (serving(disk->guest))
        mailbox_post(&disk->guest->worker->mailbox, mail);
}

static void to_control(struct pvdisk *disk, struct mail *mail)
{
    mailbox_post(&disk->guest->daemon->mailbox, mail);
}

static bool wanted(const struct guest *guest)
{
    return guest->daemon->config.pv_disks && guest->hv->pv && guest->config.role != GUEST_SECONDARY;
}

/* A worker process gets no further descriptors of event channels. */
bool guest_pvdisks_served(const struct guest *guest)
{
    return wanted(guest) && guest->daemon->config.isolation != ISOLATION_PROCESS;
}

static void token_of(const struct guest *guest, char *token, size_t size)
{
    snprintf(token, size, "pv-%u", guest->domid);
}

/* ---- on the worker ----------------------------------------------------------------------------*/

static void on_broken(void *ctx, const char *why)
{
    struct pvdisk *disk = ctx;

    disk->why = why;
    to_control(disk, &disk->broken);
}

static void on_drained(void *ctx)
{
    struct pvdisk *disk = ctx;

    to_control(disk, &disk->drained);
}

static void on_sealed(void *ctx, int error)
{
    struct pvdisk *disk = ctx;

    disk->sealed_error = error;
    to_control(disk, &disk->sealed);
}

static void on_lost(void *ctx, const char *why)
{
    struct pvdisk *disk = ctx;

    disk->lost_why = why;
    to_control(disk, &disk->lost);
}

static void run_open(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, open);

    disk->err = vm_pv_open(disk->guest->vm, &disk->params, &disk->pv);
    to_control(disk, &disk->opened);
}

static void run_connect(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, connect);

    disk->err = vm_pv_connect(disk->pv, &disk->rings);
    to_control(disk, &disk->connected);
}

static void run_disconnect(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, disconnect);

    if (vm_pv_disconnect(disk->pv))
        to_control(disk, &disk->drained);
}

static void run_close(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, close);

    vm_pv_close(disk->pv);
    to_control(disk, &disk->closed);
}

/* ---- the negotiation's wishes -----------------------------------------------------------------*/

static void on_connect(void *ctx, const struct pvblk_rings *rings)
{
    struct pvdisk *disk = ctx;

    disk->rings = *rings;
    to_worker(disk, &disk->connect);
}

static void expect_end(struct pvdisk *disk)
{
    served_expect_end(disk->guest->daemon, disk->program);
}

static void on_disconnect(void *ctx)
{
    struct pvdisk *disk = ctx;

    expect_end(disk);
    to_worker(disk, &disk->disconnect);
}

static void on_gone(void *ctx)
{
    struct pvdisk *disk = ctx;

    disk->closing = true;
    disk->counted = false; /* before it goes */
    expect_end(disk);
    to_worker(disk, &disk->close);
}

static void on_log(void *ctx, const char *what, const char *why)
{
    struct pvdisk *disk = ctx;

    guest_log(disk->guest, LOG_WARNING, "event=pv-disk devid=%u what=%s why=\"%s\"", disk->devid,
              what, why);
}

static const struct pvblk_ctl_ops ctl_ops = {
    .connect = on_connect, .disconnect = on_disconnect, .gone = on_gone, .log = on_log};

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
    unwatch_frontend(disk);
    served_cancel(disk->served);
    expect_end(disk);
    pvblk_ctl_destroy(disk->ctl);
    free(disk);
}

static void run_opened(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, opened);
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
    int err = disk->err;

    if (!serving(disk->guest))
        return;
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

static void run_connected(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, connected);

    if (serving(disk->guest))
        pvblk_ctl_connected(disk->ctl, disk->err);
}

static void run_drained(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, drained);

    if (!serving(disk->guest))
        return;
    served_stay(disk->guest->daemon, disk->program);
    pvblk_ctl_drained(disk->ctl);
}

static void run_broken(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, broken);

    if (serving(disk->guest))
        pvblk_ctl_broken(disk->ctl, disk->why);
}

static void run_closed(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, closed);

    if (!serving(disk->guest))
        return;              /* guest_pvdisks_finish() does it */
    pvdisk_begin_anew(disk); /* xl may have made another at its place */
}

static void run_lost(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, lost);

    if (serving(disk->guest) && !disk->closing)
        guest_log(disk->guest, LOG_ERR,
                  "event=pv-disk-lost vdev=%s devid=%u why=\"%s\" hint=\"all its requests fail: "
                  "xl block-detach and xl block-attach\"",
                  disk->vdev, disk->devid, disk->lost_why);
}

static void run_sealed(struct mail *mail)
{
    struct pvdisk *disk = OWNER(mail, sealed);

    if (serving(disk->guest) && !disk->closing)
        guest_log(
            disk->guest, LOG_ERR,
            "event=pv-disk-sealed vdev=%s devid=%u error=\"%s\" hint=\"a flush has failed, what "
            "the guest wrote last may be lost: it can only read until xl block-detach and xl "
            "block-attach\"",
            disk->vdev, disk->devid, strerror(-disk->sealed_error));
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
        err = disk->guest->hv->pv->channels_open(disk->guest->hv_guest, &disk->params.channels);
        if (err) {
            snprintf(text, sizeof(text), "event channels: %s", strerror(-err));
            why = text;
            expect_end(disk);
            vm_disk_discard(&disk->params.disk);
        }
    }
    if (err) {
        on_log(disk, "image", why);
        disk->useless = true;
        disk->waits = err == -EBUSY && somebody_leaves(disk->guest->daemon);
        return;
    }
    snprintf(disk->params.name, sizeof(disk->params.name), "%s", disk->vdev);
    disk->params.broken = on_broken;
    disk->params.drained = on_drained;
    disk->params.sealed = on_sealed;
    disk->params.lost = on_lost;
    disk->params.ctx = disk;
    to_worker(disk, &disk->open);
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
    for (unit = MACHINE_IDE_DRIVES; unit < VM_UNITS && used & 1u << unit;)
        unit++;
    if (unit == VM_UNITS)
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
        .open.run = run_open,
        .opened.run = run_opened,
        .connect.run = run_connect,
        .connected.run = run_connected,
        .disconnect.run = run_disconnect,
        .drained.run = run_drained,
        .broken.run = run_broken,
        .lost.run = run_lost,
        .sealed.run = run_sealed,
        .close.run = run_close,
        .closed.run = run_closed,
    };
    snprintf(disk->backend, sizeof(disk->backend), BACKENDS "/%u/%u", guest->domid, devid);
    if (!pvdisk_is_online(disk)) {
        free(disk);
        return;
    }
    guest->pvdisks = disk;
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

    if (!wanted(guest))
        return;
    if (!guest_pvdisks_served(guest)) {
        guest_log(guest, LOG_WARNING,
                  "event=pv-disks-unserved why=\"isolation is process: a worker process gets no "
                  "further event channels\"");
        return;
    }
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
        .io = blk_counters(vm_pv_blk(disk->pv)),
        .histograms = vm_pv_histograms(disk->pv),
        .ring = vm_pv_counters(disk->pv),
    };
    return true;
}

const char *guest_pvdisk_name(const struct guest *guest, unsigned unit)
{
    for (const struct pvdisk *disk = guest->pvdisks; disk; disk = disk->next)
        if (disk->unit == unit)
            return disk->vdev;
    return "?";
}
