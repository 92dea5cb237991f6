/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/vm_pv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/vm_counts.h"

/* What is counted in as long as the image is open, which may be longer than the disk is there. */
struct counted {
    struct vm_pv *pv; /* NULL: the disk is gone */
    struct vm_drive unit;
    struct vm_pv_counts *shared;      /* mapped; NULL: nobody reads there */
    struct blk_histograms histograms; /* without that */
};

struct vm_pv {
    struct vm_pv *next; /* of the vm's */
    struct vm *vm;
    struct vm_pv_params params;
    struct hv_channels *channels;
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

    ops_of(pv)->channels_notify(pv->channels, queue);
}

static void on_want_turn(void *ctx)
{
    struct vm_pv *pv = ctx;
    const struct loop *loop = &pv->vm->worker->evloop.loop;

    loop->ops->defer(loop->ctx, &pv->task);
}

static void tell(const struct vm_pv *pv, enum vm_pv_event event, int error, const char *why)
{
    const struct vm_params *params = &pv->vm->params;
    struct vm_pv_news news = {.event = event, .error = error};

    snprintf(news.why, sizeof(news.why), "%s", why);
    params->pv_news(params->ctx, pv->params.disk.drive, &news);
}

static void on_broken(void *ctx, const char *why)
{
    tell(ctx, VM_PV_BROKEN, 0, why);
}

static void on_sealed(void *ctx, int error)
{
    tell(ctx, VM_PV_SEALED, error, "");
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
    tell(ctx, VM_PV_DRAINED, 0, "");
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

    if (ops_of(pv)->channels_pending(pv->channels))
        on_want_turn(pv);
}

/* ---- life -------------------------------------------------------------------------------------*/

static void counted_free(struct counted *counted)
{
    if (counted && counted->shared)
        munmap(counted->shared, sizeof(*counted->shared));
    free(counted);
}

static void on_closed(void *arg)
{
    struct counted *counted = arg;
    struct vm *vm = counted->unit.vm;

    counted_free(counted);
    vm_image_closed(vm);
}

static void on_lost(void *ctx, const char *why)
{
    const struct counted *counted = ctx;

    if (counted->pv)
        tell(counted->pv, VM_PV_LOST, 0, why);
}

static int make_counted(struct vm_pv *pv)
{
    struct counted *counted = calloc(1, sizeof(*counted));
    int fd = pv->params.counts_fd;
    void *base;

    if (!counted)
        return -ENOMEM;
    pv->counted = counted;
    counted->pv = pv;
    counted->unit = (struct vm_drive){
        .vm = pv->vm, .index = pv->params.disk.drive, .histograms = &counted->histograms};
    if (fd < 0)
        return 0;
    base = mmap(NULL, sizeof(*counted->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    counted->shared = base;
    counted->unit.histograms = &counted->shared->histograms;
    return 0;
}

static int open_image(struct vm_pv *pv)
{
    struct vm_disk *disk = &pv->params.disk;
    struct vm *vm = pv->vm;
    struct blk_image *image;
    int err = make_counted(pv);

    if (err)
        return err;
    disk->owner = (struct nbd_owner){.lost = on_lost, .ctx = pv->counted};
    if (disk->heard) {
        disk->served = vm_pv_heard(vm, disk->drive);
        if (!disk->served)
            return -ENOTCONN;
    }
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
    blk_set_histograms(pv->blk, pv->counted->unit.histograms, &vm->worker->io);
    return 0;
}

static void release(struct vm_pv *pv)
{
    const struct loop *loop = &pv->vm->worker->evloop.loop;

    vm_pv_discard(&pv->params);
    if (pv->channels)
        ev_io_stop(pv->vm->worker->ev, &pv->io);
    pvblk_destroy(pv->pvblk);
    loop->ops->undefer(loop->ctx, &pv->task);
    if (pv->channels)
        ops_of(pv)->channels_close(pv->channels);
    if (pv->counted)
        pv->counted->pv = NULL;
    if (pv->blk)
        blk_close(pv->blk, on_closed, pv->counted);
    else
        counted_free(pv->counted);
    free(pv);
}

static int adopt_channels(struct vm_pv *pv)
{
    int fd = pv->params.channels_fd;
    int err;

    pv->params.channels_fd = -1;
    err = ops_of(pv)->channels_adopt(pv->vm->params.guest, fd, &pv->channels);
    if (err)
        return err;
    ev_io_init(&pv->io, on_event, ops_of(pv)->channels_fd(pv->channels), EV_READ);
    pv->io.data = pv;
    return 0;
}

/* A worker process's first disk brings them for all. */
static int find_grants(struct vm_pv *pv, const struct grants **ret_grants)
{
    const struct vm_params *vm = &pv->vm->params;
    int fds[HV_GRANT_FDS], err = 0;

    memcpy(fds, pv->params.grants_fd, sizeof(fds));
    for (unsigned i = 0; i < HV_GRANT_FDS; i++)
        pv->params.grants_fd[i] = -1;
    if (fds[0] >= 0)
        err = vm->hv->pv->grants_adopt(vm->guest, fds);
    *ret_grants = vm->hv->grants ? vm->hv->grants(vm->guest) : NULL;
    return err ? err : *ret_grants ? 0 : -EOPNOTSUPP;
}

int vm_pv_open(struct vm *vm, struct vm_pv_params *params)
{
    struct vm_pv *pv = calloc(1, sizeof(*pv));
    struct pvblk_params pvblk = {
        .ops = &pvblk_ops, .ctx = pv, .read_only = params->read_only, .discard = params->discard};
    int err;

    if (!pv) {
        vm_pv_unhear(vm, params->disk.drive);
        vm_pv_discard(params);
        return -ENOMEM;
    }
    pv->vm = vm;
    pv->params = *params;
    pv->task = (struct loop_task){.run = run_turn, .arg = pv};
    err = adopt_channels(pv);
    if (!err)
        err = find_grants(pv, &pvblk.grants);
    if (!err)
        err = open_image(pv);
    if (!err)
        err = pvblk_create(&pvblk, &pv->pvblk);
    if (err) {
        vm_pv_unhear(vm, params->disk.drive);
        release(pv);
        return err;
    }
    if (pv->params.counts_fd >= 0)
        close(pv->params.counts_fd);
    pv->params.counts_fd = -1;
    pvblk_set_blk(pv->pvblk, pv->blk);
    pv->next = vm->pvs;
    vm->pvs = pv;
    if (params->ret_pv)
        *params->ret_pv = pv;
    return 0;
}

struct vm_pv *vm_pv_find(const struct vm *vm, unsigned unit)
{
    struct vm_pv *pv = vm->pvs;

    while (pv && pv->params.disk.drive != unit)
        pv = pv->next;
    return pv;
}

unsigned vm_pv_fds(struct vm_pv_params *params, int *ret_fds[VM_PV_FDS])
{
    unsigned count = 0;

    ret_fds[count++] = &params->disk.raw.fd;
    ret_fds[count++] = &params->channels_fd;
    ret_fds[count++] = &params->counts_fd;
    for (unsigned i = 0; i < HV_GRANT_FDS; i++)
        ret_fds[count++] = &params->grants_fd[i];
    return count;
}

void vm_pv_discard(struct vm_pv_params *params)
{
    int *fds[VM_PV_FDS];
    unsigned count;

    vm_disk_discard(&params->disk);
    count = vm_pv_fds(params, fds);
    for (unsigned i = 0; i < count; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
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
    vm_pv_unhear_all(vm);
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
    return pv->counted->unit.histograms;
}

const struct pvblk_counters *vm_pv_counters(const struct vm_pv *pv)
{
    return pvblk_counters(pv->pvblk);
}

bool vm_pv_publish(struct vm *vm)
{
    bool news = false;

    for (struct vm_pv *pv = vm->pvs; pv; pv = pv->next) {
        struct vm_pv_counts *shared = pv->counted->shared;
        const struct blk_counters *io = blk_counters(pv->blk);
        const struct pvblk_counters *ring = pvblk_counters(pv->pvblk);

        if (!shared ||
            (!memcmp(&shared->io, io, sizeof(*io)) && !memcmp(&shared->ring, ring, sizeof(*ring))))
            continue;
        vm_counts_move(&shared->io, io, sizeof(*io));
        vm_counts_move(&shared->ring, ring, sizeof(*ring));
        news = true;
    }
    return news;
}

int vm_pv_connect(struct vm_pv *pv, const struct pvblk_rings *rings)
{
    const struct hv_pv_ops *ops = ops_of(pv);
    int err = 0;

    for (unsigned i = 0; i < rings->n_queues && !err; i++)
        err = ops->channels_bind(pv->channels, i, rings->queue[i].event_channel);
    if (!err)
        err = pvblk_connect(pv->pvblk, rings);
    if (err)
        ops->channels_unbind(pv->channels);
    else
        ev_io_start(pv->vm->worker->ev, &pv->io);
    return err;
}

bool vm_pv_disconnect(struct vm_pv *pv)
{
    bool idle = pvblk_disconnect(pv->pvblk);

    ev_io_stop(pv->vm->worker->ev, &pv->io);
    ops_of(pv)->channels_unbind(pv->channels);
    return idle;
}
