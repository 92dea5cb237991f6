/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/vm_pv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is counted in as long as the image is open, which may be longer than the disk is there. */
struct counted {
    struct vm_pv *pv; /* NULL: the disk is gone */
    struct vm_drive unit;
    struct blk_histograms histograms;
};

struct vm_pv {
    struct vm_pv *next; /* of the vm's */
    struct vm *vm;
    struct vm_pv_params params;
    struct pvblk *pvblk;
    struct blk *blk;
    struct counted *counted; /* freed when the image is closed */
    struct loop_task task;
    ev_io io;
};

static const struct hv_pv_ops *ops_of(const struct vm_pv *pv)
{
    return pv->vm->params.hv->pv;
}

/* ---- what pvblk asks for ----------------------------------------------------------------------*/

static void on_notify(void *ctx, unsigned queue)
{
    struct vm_pv *pv = ctx;

    ops_of(pv)->channels_notify(pv->params.channels, queue);
}

static void on_want_turn(void *ctx)
{
    struct vm_pv *pv = ctx;
    const struct loop *loop = &pv->vm->worker->evloop.loop;

    loop->ops->defer(loop->ctx, &pv->task);
}

static void on_broken(void *ctx, const char *why)
{
    struct vm_pv *pv = ctx;

    pv->params.broken(pv->params.ctx, why);
}

static void on_sealed(void *ctx, int error)
{
    struct vm_pv *pv = ctx;

    pv->params.sealed(pv->params.ctx, error);
}

static void on_failed(void *ctx, enum blk_op op, uint64_t sector, int error)
{
    struct vm_pv *pv = ctx;

    host_log(&pv->vm->host, HOST_LOG_WARN, "pv",
             "event=disk-error vdev=%s op=%s sector=%llu error=\"%s\"", pv->params.name,
             blk_op_name(op), (unsigned long long)sector, strerror(-error));
}

static void on_drained(void *ctx)
{
    struct vm_pv *pv = ctx;

    pv->params.drained(pv->params.ctx);
}

static bool on_held(void *ctx)
{
    const struct vm_pv *pv = ctx;

    return pv->params.twin >= 0 && machine_disk_leaving(pv->vm->machine, (unsigned)pv->params.twin);
}

static const struct pvblk_ops pvblk_ops = {
    .notify = on_notify,
    .want_turn = on_want_turn,
    .broken = on_broken,
    .sealed = on_sealed,
    .failed = on_failed,
    .drained = on_drained,
    .held = on_held,
};

static void run_turn(void *arg)
{
    struct vm_pv *pv = arg;

    pvblk_turn(pv->pvblk);
}

/* Once for all queues and for whatever else this turn of the loop brings. */
static void on_event(struct ev_loop *ev, ev_io *io, int revents)
{
    struct vm_pv *pv = io->data;

    if (ops_of(pv)->channels_pending(pv->params.channels))
        on_want_turn(pv);
}

/* ---- life -------------------------------------------------------------------------------------*/

static void on_closed(void *arg)
{
    struct counted *counted = arg;
    struct vm *vm = counted->unit.vm;

    free(counted);
    vm_image_closed(vm);
}

static void on_lost(void *ctx, const char *why)
{
    const struct counted *counted = ctx;

    if (counted->pv)
        counted->pv->params.lost(counted->pv->params.ctx, why);
}

static int open_image(struct vm_pv *pv)
{
    struct vm_disk *disk = &pv->params.disk;
    struct vm *vm = pv->vm;
    struct blk_image *image;
    int err;

    pv->counted = calloc(1, sizeof(*pv->counted));
    if (!pv->counted)
        return -ENOMEM;
    pv->counted->pv = pv;
    disk->owner = (struct nbd_owner){.lost = on_lost, .ctx = pv->counted};
    pv->counted->unit =
        (struct vm_drive){.vm = vm, .index = disk->drive, .histograms = &pv->counted->histograms};
    err = vm_image_open(vm, disk, &image);
    if (err)
        return err;
    err = blk_open(image, PVBLK_BLK_DEPTH, &pv->blk);
    if (err) {
        image->ops->close(image);
        return err;
    }
    vm->open_images++;
    vm_blk_policies(pv->blk, &pv->counted->unit, disk->on_read_error, disk->on_write_error);
    blk_set_histograms(pv->blk, &pv->counted->histograms, &vm->worker->io);
    return 0;
}

static void release(struct vm_pv *pv)
{
    const struct loop *loop = &pv->vm->worker->evloop.loop;

    vm_disk_discard(&pv->params.disk);
    ev_io_stop(pv->vm->worker->ev, &pv->io);
    pvblk_destroy(pv->pvblk);
    loop->ops->undefer(loop->ctx, &pv->task);
    ops_of(pv)->channels_close(pv->params.channels);
    if (pv->counted)
        pv->counted->pv = NULL;
    if (pv->blk)
        blk_close(pv->blk, on_closed, pv->counted);
    else
        free(pv->counted);
    free(pv);
}

int vm_pv_open(struct vm *vm, struct vm_pv_params *params, struct vm_pv **ret_pv)
{
    struct vm_pv *pv = calloc(1, sizeof(*pv));
    struct pvblk_params pvblk = {
        .ops = &pvblk_ops, .ctx = pv, .read_only = params->read_only, .discard = params->discard};
    int err;

    if (!pv) {
        vm_disk_discard(&params->disk);
        vm->params.hv->pv->channels_close(params->channels);
        return -ENOMEM;
    }
    pv->vm = vm;
    pv->params = *params;
    pv->task = (struct loop_task){.run = run_turn, .arg = pv};
    ev_io_init(&pv->io, on_event, ops_of(pv)->channels_fd(params->channels), EV_READ);
    pv->io.data = pv;
    pvblk.grants = vm->params.hv->grants ? vm->params.hv->grants(vm->params.guest) : NULL;
    err = pvblk.grants ? open_image(pv) : -EOPNOTSUPP;
    if (!err)
        err = pvblk_create(&pvblk, &pv->pvblk);
    if (err) {
        release(pv);
        return err;
    }
    pvblk_set_blk(pv->pvblk, pv->blk);
    pv->next = vm->pvs;
    vm->pvs = pv;
    *ret_pv = pv;
    return 0;
}

static void take_out(struct vm_pv *pv)
{
    struct vm_pv **link = &pv->vm->pvs;

    while (*link != pv)
        link = &(*link)->next;
    *link = pv->next;
}

void vm_pv_close(struct vm_pv *pv)
{
    struct vm *vm = pv->vm;
    unsigned unit = pv->params.disk.drive;

    take_out(pv);
    release(pv);
    vm_restart(vm, 1u << unit);
}

void vm_pv_close_all(struct vm *vm)
{
    while (vm->pvs) {
        struct vm_pv *pv = vm->pvs;

        take_out(pv);
        release(pv);
    }
}

void vm_pv_disk_left(struct vm *vm, unsigned drive)
{
    for (struct vm_pv *pv = vm->pvs; pv; pv = pv->next)
        if (pv->params.twin == (int)drive)
            on_want_turn(pv);
}

void vm_pv_set_policies(struct vm *vm, unsigned drive, enum blk_policy on_read_error,
                        enum blk_policy on_write_error)
{
    for (struct vm_pv *pv = vm->pvs; pv; pv = pv->next)
        if (pv->params.twin == (int)drive)
            vm_blk_policies(pv->blk, &pv->counted->unit, on_read_error, on_write_error);
}

void vm_pv_restart(struct vm *vm, unsigned units)
{
    for (struct vm_pv *pv = vm->pvs; pv; pv = pv->next)
        if (units & 1u << pv->params.disk.drive)
            blk_restart(pv->blk);
}

const struct blk *vm_pv_blk(const struct vm_pv *pv)
{
    return pv->blk;
}

const struct blk_histograms *vm_pv_histograms(const struct vm_pv *pv)
{
    return &pv->counted->histograms;
}

const struct pvblk_counters *vm_pv_counters(const struct vm_pv *pv)
{
    return pvblk_counters(pv->pvblk);
}

int vm_pv_connect(struct vm_pv *pv, const struct pvblk_rings *rings)
{
    const struct hv_pv_ops *ops = ops_of(pv);
    int err = 0;

    for (unsigned i = 0; i < rings->n_queues && !err; i++)
        err = ops->channels_bind(pv->params.channels, i, rings->queue[i].event_channel);
    if (!err)
        err = pvblk_connect(pv->pvblk, rings);
    if (err)
        ops->channels_unbind(pv->params.channels);
    else
        ev_io_start(pv->vm->worker->ev, &pv->io);
    return err;
}

bool vm_pv_disconnect(struct vm_pv *pv)
{
    bool idle = pvblk_disconnect(pv->pvblk);

    ev_io_stop(pv->vm->worker->ev, &pv->io);
    ops_of(pv)->channels_unbind(pv->params.channels);
    return idle;
}
