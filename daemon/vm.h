/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest as its worker sees it: the machine, the dispatch of its requests, its disks and its
 * timers. Made and ended on the worker's thread at the control side's word (daemon/guest.h).
 */
#ifndef IOEMUD_DAEMON_VM_H
#define IOEMUD_DAEMON_VM_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/log.h"
#include "daemon/worker.h"
#include "devices/backend/blk_ops.h"
#include "devices/backend/chr.h"
#include "devices/backend/images.h"
#include "devices/machine.h"
#include "ioreq/dispatch.h"
#include "ioreq/guestmem.h"
#include "ioreq/hv.h"

#define VM_WHY_SIZE 160

/* One disk as the control side opened it. */
struct vm_disk {
    unsigned drive;       /* 0-3: position on the controller */
    struct raw_image raw; /* fd taken over; -1: a mem disk */
    void *mem;            /* mem disks: `sectors` of zeroes, freed with the vm */
    uint64_t sectors;
    bool read_only; /* mem disks; raw.read_only otherwise */
    bool discard;   /* mem disks; raw.discard otherwise */
    enum blk_policy on_read_error, on_write_error;
    struct fault_options fault; /* ops 0: none */
};

struct vm_serial {
    int fd;            /* -1: not connected. Taken over */
    bool listener;     /* a listening unix socket */
    bool input;        /* read from it, too */
    uint64_t max_size; /* of a file; 0: no limit */
};

struct vm_params {
    const char *name;
    const struct hv_ops *hv;
    struct hv_guest *guest;
    struct hv_worker *hv_worker;
    struct machine_spec spec; /* drives' blk and serials are filled in here */
    struct vm_disk disk[MACHINE_IDE_DRIVES];
    unsigned n_disks;
    struct vm_serial serial[MACHINE_SERIALS];
    uint32_t budget;            /* dispatch.h; 0: no bound */
    struct log_limit log_limit; /* to begin with */
    /* On the worker's thread: the guest cannot go on (peer hung up, descriptor failed). Once. */
    void (*gone)(void *ctx);
    /* Likewise: this port's file is full; vm_renew_serial() follows. */
    void (*serial_full)(void *ctx, unsigned port);
    /* On the worker's thread: this drive's disk has stopped the guest, and its requests are not
     * served any more. Once until vm_restart(). */
    void (*stopped)(void *ctx, unsigned drive, const struct blk_stop *stop);
    void *ctx;
};

struct vm {
    struct vm_params params;
    struct worker *worker;
    struct machine *machine;
    struct dispatch dispatch;
    struct host host;
    struct blk *blk[MACHINE_IDE_DRIVES];
    struct chr *chr[MACHINE_SERIALS];
    struct vm_port {
        struct vm *vm;
        unsigned index;
    } port[MACHINE_SERIALS];
    ev_io io;
    bool started;
    bool gone;
    unsigned stopped; /* drives, a bit each, whose disks have stopped the guest */
    struct vm_drive {
        struct vm *vm;
        unsigned index;
    } drive[MACHINE_IDE_DRIVES]; /* who stops it */

    /* One libev timer for the earliest of the devices' timers (linked through host_timer.impl). */
    ev_timer timer;
    struct host_timer *timers;

    struct log_limit log_limit;
    struct guestmem_rest rest;

    ev_timer starved; /* requests wait for memory: tried again when it fires */

    struct watch watch;

    /* vm_drain(). */
    unsigned open_images;
    void (*drained)(void *arg);
    void *drained_arg;
};

/* Takes the descriptors and mem disks of `params` over, whatever comes of it. On failure everything
 * is released again and `ret_why` says what failed. Runs on the worker's thread. */
int vm_start(struct worker *worker, const struct vm_params *params, struct vm **ret_vm,
             char ret_why[VM_WHY_SIZE]);
/* See chr_renew(). On the worker's thread. */
void vm_renew_serial(struct vm *vm, unsigned port, int fd);
/* These of the drives (a bit each) try again what has failed; when none is stopped any more the
 * guest's requests are served again. */
void vm_restart(struct vm *vm, unsigned drives);
/* Ends the devices; nothing of the guest is touched afterwards. */
void vm_end(struct vm *vm);
/* After vm_end(): `drained(arg)` follows, possibly at once, when the last disk request in flight
 * has come back and the images are closed; the vm is freed by then. */
void vm_drain(struct vm *vm, void (*drained)(void *arg), void *arg);

#endif
