/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disks of a guest, and media that come and go. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/vm.h"
#include "daemon/vm_pv.h"
#include "devices/backend/pool.h"

/* Requests a drive may have in flight: one command of one drive a channel, in a few pieces. */
#define VM_BLK_DEPTH 4

/* Opened, and the vm's from now on: vm_image_closed() lets it go. */
static int open_blk(struct vm *vm, struct blk_image *image, struct blk **ret_blk)
{
    int err = blk_open(image, VM_BLK_DEPTH, ret_blk);

    if (err)
        image->ops->close(image);
    else
        vm->open_images++;
    return err;
}

static int open_mem(const struct vm_disk *disk, const struct loop *loop, struct pool *pool,
                    struct blk_image **ret_image)
{
    int err = mem_open(disk->mem, disk->sectors, disk->read_only, loop, pool, ret_image);

    if (!err)
        (*ret_image)->info.discard &= disk->discard;
    return err;
}

void vm_blk_policies(struct blk *blk, struct vm_drive *unit, enum blk_policy on_read_error,
                     enum blk_policy on_write_error)
{
    struct blk_policies policies = {
        .read = on_read_error, .write = on_write_error, .stopped = vm_disk_stopped, .arg = unit};

    blk_set_policies(blk, &policies);
}

void vm_set_policies(struct vm *vm, unsigned drive, enum blk_policy on_read_error,
                     enum blk_policy on_write_error)
{
    if (vm->blk[drive])
        vm_blk_policies(vm->blk[drive], &vm->drive[drive], on_read_error, on_write_error);
    vm_pv_set_policies(vm, drive, on_read_error, on_write_error);
}

void vm_disk_discard(struct vm_disk *disk)
{
    raw_discard(&disk->raw);
    nbd_image_discard(disk->served);
    disk->served = NULL;
}

int vm_image_open(struct vm *vm, struct vm_disk *disk, struct blk_image **ret_image)
{
    const struct loop *loop = &vm->worker->evloop.loop;
    struct blk_image *image;
    int err;

    if (disk->mem)
        err = open_mem(disk, loop, vm->worker->pool, &image);
    else if (disk->served)
        err =
            nbd_image_open(disk->served, &disk->nbd, &disk->owner, loop, vm->worker->pool, &image);
    else
        err = raw_open(&disk->raw, vm->worker->aio, loop, vm->worker->pool, &image);
    if (err)
        return err;
    disk->raw.fd = -1; /* the image's by now */
    disk->served = NULL;
    if (disk->fault.ops)
        err = fault_open(image, &disk->fault, &image);
    if (err) {
        image->ops->close(image);
        return err;
    }
    image->share = vm->pool_share;
    *ret_image = image;
    return 0;
}

static int open_disk(struct vm *vm, struct vm_disk *disk)
{
    struct blk_image *image;
    int err = vm_image_open(vm, disk, &image);

    if (!err)
        err = open_blk(vm, image, &vm->blk[disk->drive]);
    if (err)
        return err;
    vm->drive[disk->drive].vm = vm;
    vm->drive[disk->drive].index = disk->drive;
    vm_set_policies(vm, disk->drive, disk->on_read_error, disk->on_write_error);
    blk_set_histograms(vm->blk[disk->drive], vm->drive[disk->drive].histograms, &vm->worker->io);
    return 0;
}

/* An empty CD-ROM drive, too, may have media. */
static void set_histograms(struct vm *vm)
{
    unsigned drives = 0;

    for (unsigned i = 0; i < vm->params.n_disks; i++)
        drives |= 1u << vm->params.disk[i].drive;
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        if (drives & 1u << i || vm->params.spec.drive[i].cdrom)
            vm->drive[i].histograms = &vm->histograms[i];
}

int vm_open_disks(struct vm *vm, char *why)
{
    uint32_t hold = vm->params.disk_places * (BLK_HELD_BYTES / POOL_PAGE);

    if (pool_share_create(vm->worker->pool, hold, &vm->pool_share)) {
        snprintf(why, VM_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    set_histograms(vm);
    for (unsigned i = 0; i < vm->params.n_disks; i++) {
        struct vm_disk *disk = &vm->params.disk[i];
        int err = open_disk(vm, disk);

        if (err) {
            snprintf(why, VM_WHY_SIZE, "disk %u: %s", disk->drive, strerror(-err));
            return err;
        }
        vm->params.spec.drive[disk->drive].blk = vm->blk[disk->drive];
    }
    return 0;
}

int vm_medium_open(struct vm *vm, struct raw_image *raw, struct blk **ret_blk)
{
    struct blk_image *image;
    int err = raw_open(raw, vm->worker->aio, &vm->worker->evloop.loop, vm->worker->pool, &image);

    if (err)
        return err;
    raw->fd = -1;
    image->share = vm->pool_share;
    return open_blk(vm, image, ret_blk);
}

void vm_medium_close(struct vm *vm, struct blk *blk)
{
    if (blk)
        blk_close(blk, vm_image_closed, vm);
}

int vm_eject(struct vm *vm, unsigned drive, bool force, struct blk **ret_blk)
{
    int err;

    if (!vm->machine)
        return -ESHUTDOWN;
    /* A forced one ends the block that the hypervisor may be handing out. */
    bufpio_take_out(&vm->bufpio);
    err = machine_eject(vm->machine, drive, force, ret_blk);
    bufpio_arm(&vm->bufpio);
    if (!err)
        vm->blk[drive] = NULL;
    return err;
}

int vm_insert(struct vm *vm, unsigned drive, struct blk *blk)
{
    int err = vm->machine ? machine_insert(vm->machine, drive, blk) : -ESHUTDOWN;

    if (err)
        return err;
    vm->blk[drive] = blk;
    blk_set_histograms(blk, vm->drive[drive].histograms, &vm->worker->io);
    return 0;
}
