/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PV disks of a guest on its worker: an image, the backend of blkif over it, and the event
 * channels of its rings. daemon/guest_pvdisk.c is the control side.
 */
#ifndef IOEMUD_DAEMON_VM_PV_H
#define IOEMUD_DAEMON_VM_PV_H

#include "daemon/vm.h"
#include "devices/pv/pvblk.h"
#include "ioreq/hv_pv.h"

struct vm_pv;

struct vm_pv_params {
    struct raw_image raw;         /* taken over, as is `channels` */
    struct hv_channels *channels; /* NULL: closed already */
    bool read_only, discard;
    /* On the worker's thread, not after vm_pv_close(). */
    void (*broken)(void *ctx, const char *why);
    void (*drained)(void *ctx);
    void *ctx;
};

/* Takes descriptors over, whatever comes of it. -EOPNOTSUPP: the worker has no grants. */
int vm_pv_open(struct vm *vm, struct vm_pv_params *params, struct vm_pv **ret_pv);
/* Its image is closed when its last request is back; the vm waits for that (vm_drain()). */
void vm_pv_close(struct vm_pv *pv);
/* Of a vm that ends, before its guest's pages go. */
void vm_pv_close_all(struct vm *vm);

int vm_pv_connect(struct vm_pv *pv, const struct pvblk_rings *rings);
/* True: nothing is in flight. False: `drained` follows. */
bool vm_pv_disconnect(struct vm_pv *pv);

#endif
