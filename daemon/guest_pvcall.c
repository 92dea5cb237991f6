/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the control side asks of a PV disk at its worker, and what that tells of it.
 *
 *   VM_PV_OPEN -> pvdisk_served()
 *   VM_PV_CONNECT -> pvblk_ctl_connected()
 *   VM_PV_DISCONNECT -> pvblk_ctl_drained(), with the answer or with VM_PV_DRAINED after it
 *   VM_PV_CLOSE -> pvdisk_begin_anew()
 *   VM_PV_HEAR -> VM_PV_HEARD -> served_heard(); it is not waited for when the disk is forgotten
 *
 * Answers and news come in the order in which the worker gave them, and all of them before it says
 * that the guest has ended. So a call is free when what it led to is over: another connection is
 * asked for after the one before was answered and has drained. A captured worker process may answer
 * and tell anything: what does not fit into that order is none of ours.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/guest_pvdisk.h"
#include "daemon/guest_pvdisk_internal.h"
#include "daemon/served.h"
#include "daemon/vm_counts.h"
#include "daemon/worker_process.h"

#define OWNER(call, member) ((struct pvdisk *)((char *)(call)-offsetof(struct pvdisk, member)))

/* Nobody waits for the answer: guest_pvdisks_finish() follows. */
static bool is_over(const struct guest_call *call)
{
    return call->guest->state != GUEST_RUNNING || call->lost;
}

static void ask(struct pvdisk *disk, struct guest_call *call)
{
    if (disk->guest->state == GUEST_RUNNING)
        guest_call(disk->guest, call);
    else
        vm_request_discard(&call->request);
}

static struct vm_request request_of(const struct pvdisk *disk, enum vm_op op)
{
    return (struct vm_request){.op = op, .pv.unit = disk->unit};
}

/* ---- answers ----------------------------------------------------------------------------------*/

static void opened(struct guest_call *call)
{
    struct pvdisk *disk = OWNER(call, open);

    if (is_over(call))
        return;
    if (!call->reply.err)
        worker_process_lent(disk->guest);
    pvdisk_served(disk, call->reply.err);
}

static void connected(struct guest_call *call)
{
    struct pvdisk *disk = OWNER(call, connect);

    if (!is_over(call))
        pvblk_ctl_connected(disk->ctl, call->reply.err);
}

static void drained(struct pvdisk *disk)
{
    served_stay(disk->guest->daemon, disk->program);
    pvblk_ctl_drained(disk->ctl);
}

static void disconnected(struct guest_call *call)
{
    struct pvdisk *disk = OWNER(call, disconnect);

    if (is_over(call))
        return;
    if (call->reply.drained)
        drained(disk);
    else
        disk->drains = true;
}

static void closed(struct guest_call *call)
{
    if (!is_over(call))
        pvdisk_begin_anew(OWNER(call, close)); /* xl may have made another at its place */
}

/* ---- news -------------------------------------------------------------------------------------*/

static void lost(struct pvdisk *disk, const char *why)
{
    if (!disk->closing)
        guest_log(disk->guest, LOG_ERR,
                  "event=pv-disk-lost vdev=%s devid=%u why=\"%s\" hint=\"all its requests fail: "
                  "xl block-detach and xl block-attach\"",
                  disk->vdev, disk->devid, why);
}

static void sealed(struct pvdisk *disk, int error)
{
    if (!disk->closing)
        guest_log(
            disk->guest, LOG_ERR,
            "event=pv-disk-sealed vdev=%s devid=%u error=\"%s\" hint=\"a flush has failed, what "
            "the guest wrote last may be lost: it can only read until xl block-detach and xl "
            "block-attach\"",
            disk->vdev, disk->devid, strerror(-error));
}

static bool told(struct pvdisk *disk, const struct vm_pv_news *news)
{
    bool fits = disk->ctl;

    switch (news->event) {
    case VM_PV_BROKEN:
        if (fits)
            pvblk_ctl_broken(disk->ctl, news->why);
        break;
    case VM_PV_DRAINED:
        fits = disk->drains;
        disk->drains = false;
        if (fits)
            drained(disk);
        break;
    case VM_PV_SEALED:
        fits = fits && !disk->sealed;
        if (fits)
            sealed(disk, news->error);
        disk->sealed = true;
        break;
    case VM_PV_LOST:
        fits = !disk->lost; /* perhaps before it is known to be open */
        if (fits)
            lost(disk, news->why);
        disk->lost = true;
        break;
    case VM_PV_HEARD:
    case VM_PV_EVENTS:
        return false;
    }
    return fits;
}

/* What nobody waits for any more is as good. */
static void heard(const struct guest *guest, unsigned unit, const struct vm_pv_news *news)
{
    const struct pvdisk *disk = guest->pv_unit[unit - MACHINE_IDE_DRIVES];

    if (disk && disk->served && disk->heard_serial == news->serial)
        served_heard(disk->served, news->error, news->why, &news->export);
}

bool guest_pvdisk_told(struct guest *guest, unsigned unit, const struct vm_pv_news *news)
{
    struct pvdisk *disk = guest->pv_unit[unit - MACHINE_IDE_DRIVES];

    if (news->event == VM_PV_HEARD && guest->state == GUEST_RUNNING)
        heard(guest, unit, news);
    if (news->event == VM_PV_HEARD)
        return true;
    if (!disk)
        return false;
    return guest->state != GUEST_RUNNING || told(disk, news);
}

static void run_news(struct mail *mail)
{
    const struct pvdisk_news *of = (struct pvdisk_news *)mail;

    guest_pvdisk_told(of->disk->guest, of->disk->unit, &of->news);
}

/* Its disk stays until the answer to VM_PV_CLOSE, and nothing is told after that was run; each of
 * these once, or not again before it was heard. */
void guest_pvdisk_news(void *ctx, unsigned unit, const struct vm_pv_news *news) /* worker */
{
    struct guest *guest = ctx;
    struct pvdisk_news *of = &guest->pv_unit[unit - MACHINE_IDE_DRIVES]->news[news->event];

    of->news = *news;
    mailbox_post(&guest->daemon->mailbox, &of->mail);
}

/* ---- images that programs serve ---------------------------------------------------------------*/

static void is_asked_to_hear(struct guest_call *call)
{
    const struct vm_pv_news news = {.error = call->reply.err,
                                    .serial = call->request.pv_hear.serial,
                                    .why = "its worker process cannot take it"};

    if (!is_over(call) && call->reply.err)
        heard(call->guest, call->request.pv_hear.unit, &news);
    free(call);
}

static int ask_hear(struct pvdisk *disk, int fd)
{
    struct guest_call *call = calloc(1, sizeof(*call)); /* the disk may go before the answer */

    if (!call)
        return -ENOMEM;
    call->request = (struct vm_request){
        .op = VM_PV_HEAR, .pv_hear = {.unit = disk->unit, .serial = disk->heard_serial, .fd = fd}};
    call->done = is_asked_to_hear;
    guest_call(disk->guest, call);
    return 0;
}

int pvdisk_ask_hear(struct pvdisk *disk, int fd)
{
    int err = -ESHUTDOWN;

    if (disk->guest->state == GUEST_RUNNING) {
        disk->heard_serial = ++disk->guest->pv_heard;
        err = ask_hear(disk, fd);
    }
    if (err)
        close(fd);
    return err;
}

void pvdisk_ask_unhear(struct pvdisk *disk)
{
    if (disk->heard_serial && disk->guest->state == GUEST_RUNNING)
        ask_hear(disk, -1); /* without memory: its next one does, or its guest's end */
    disk->heard_serial = 0;
}

/* ---- asking -----------------------------------------------------------------------------------*/

void pvdisk_calls_init(struct pvdisk *disk)
{
    disk->open.done = opened;
    disk->connect.done = connected;
    disk->disconnect.done = disconnected;
    disk->close.done = closed;
    for (unsigned i = 0; i < VM_PV_EVENTS; i++)
        disk->news[i] = (struct pvdisk_news){.mail.run = run_news, .disk = disk};
}

void pvdisk_calls_finish(struct pvdisk *disk)
{
    if (disk->counts)
        munmap(disk->counts, sizeof(*disk->counts));
    disk->counts = NULL;
}

int pvdisk_ask_open(struct pvdisk *disk, char *why)
{
    struct guest *guest = disk->guest;
    struct vm_pv_params *params = &disk->params;
    int err = 0;

    params->counts_fd = -1;
    for (unsigned i = 0; i < HV_GRANT_FDS; i++)
        params->grants_fd[i] = -1;
    params->channels_fd = guest->hv->pv->channels_open(guest->hv_guest);
    if (params->channels_fd < 0) {
        err = params->channels_fd;
        snprintf(why, OPENER_WHY_SIZE, "event channels: %s", strerror(-err));
    } else if (guest->worker->is_process) {
        err = worker_process_lend(guest, params, &disk->counts);
        if (err)
            snprintf(why, OPENER_WHY_SIZE, "what its worker process needs: %s", strerror(-err));
    } else {
        params->ret_pv = &disk->pv;
    }
    if (err) {
        vm_pv_discard(params);
        return err;
    }
    snprintf(params->name, sizeof(params->name), "%s", disk->vdev);
    disk->heard_serial = 0; /* the open takes it, whatever comes of that */
    disk->open.request = (struct vm_request){.op = VM_PV_OPEN, .pv_open = *params};
    ask(disk, &disk->open);
    return 0;
}

void pvdisk_ask_connect(struct pvdisk *disk, const struct pvblk_rings *rings)
{
    disk->connect.request = request_of(disk, VM_PV_CONNECT);
    disk->connect.request.pv.rings = *rings;
    ask(disk, &disk->connect);
}

void pvdisk_ask_disconnect(struct pvdisk *disk)
{
    disk->disconnect.request = request_of(disk, VM_PV_DISCONNECT);
    ask(disk, &disk->disconnect);
}

void pvdisk_ask_close(struct pvdisk *disk)
{
    disk->close.request = request_of(disk, VM_PV_CLOSE);
    ask(disk, &disk->close);
}

/* ---- statistics -------------------------------------------------------------------------------*/

void pvdisk_count(const struct pvdisk *disk, struct guest_pvdisk *info)
{
    const struct vm_pv_counts *counts = disk->counts;

    vm_counts_move(&info->io, counts ? &counts->io : blk_counters(vm_pv_blk(disk->pv)),
                   sizeof(info->io));
    vm_counts_move(&info->ring, counts ? &counts->ring : vm_pv_counters(disk->pv),
                   sizeof(info->ring));
    info->histograms = counts ? &counts->histograms : vm_pv_histograms(disk->pv);
}
