/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest as its worker sees it: the machine, the dispatch of its requests, its disks and its
 * timers. Made and ended on the worker's thread at the control side's word (daemon/guest.h).
 */
#ifndef IOEMUD_DAEMON_VM_H
#define IOEMUD_DAEMON_VM_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/log.h"
#include "daemon/worker.h"
#include "devices/backend/blk_ops.h"
#include "devices/backend/chr.h"
#include "devices/backend/images.h"
#include "devices/backend/nbd.h"
#include "devices/backend/nets.h"
#include "devices/machine.h"
#include "ioreq/dispatch.h"
#include "ioreq/guestmem.h"
#include "ioreq/hv.h"

#define VM_WHY_SIZE 160

/* PV disks that a guest can have at a time. With the drives they are its units, which are told
 * apart by a bit each where a disk's error stops the guest: drives first. */
#define VM_PV_DISKS 28u
#define VM_UNITS    (MACHINE_IDE_DRIVES + VM_PV_DISKS)

/* What a PV disk tells of itself. */
enum vm_pv_event {
    VM_PV_BROKEN,  /* pvblk_ops.broken: `why` */
    VM_PV_DRAINED, /* what vm_pv_disconnect() was told to follow */
    VM_PV_SEALED,  /* pvblk_ops.sealed: `error`; once */
    VM_PV_LOST,    /* the program of a served image: `why`; once */
    VM_PV_HEARD,   /* vm_pv_hear(): `serial`, and `export`, or `error` and `why` */
    VM_PV_EVENTS
};
#define VM_PV_WHY_SIZE NBD_WHY_SIZE
struct vm_pv_news {
    enum vm_pv_event event;
    int error;
    uint32_t serial;
    struct nbd_export export;
    char why[VM_PV_WHY_SIZE]; /* "": none */
};

/* One disk as the control side opened it. */
struct vm_disk {
    unsigned drive;       /* 0-3: position on the controller; a PV disk's unit */
    struct raw_image raw; /* fd taken over; -1: a mem disk */
    struct nbd_handle
        *served; /* a program serves it, and said `nbd`. Taken over; NULL: none does */
    bool heard;  /* likewise, but the connection is the worker's already: vm_pv_hear() */
    struct nbd_export nbd;
    struct nbd_owner owner; /* with `served` */
    void *mem;              /* mem disks: `sectors` of zeroes, freed with the vm */
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

enum vm_net { VM_NET_TAP, VM_NET_DGRAM, VM_NET_STREAM, VM_NET_LISTENER, VM_NET_USER, VM_NET_NULL };

/* One NIC as the control side opened it. */
#define VM_MODEL_SIZE 16
struct vm_nic {
    char model[VM_MODEL_SIZE]; /* "": no NIC */
    uint8_t mac[NET_MAC_BYTES];
    uint8_t slot; /* 0: by its number */
    enum vm_net kind;
    int fd, keep_fd, rom_fd; /* taken over; -1: none */
    char peer[108];          /* VM_NET_DGRAM: net_dgram_open()'s, as are the next two */
    bool connection;
    bool dialled;                 /* by who made it, whom vm_params.dial asks for it */
    struct net_user_options user; /* its strings stay the caller's, during the call */
    struct net_limits limits;
    bool link;
    /* Stays the caller's, as long as the vm; NULL: none. In a worker process that is to be mapped
     * from `rom_fd` first, a memfd that cannot change. */
    const uint8_t *rom;
    uint32_t rom_bytes;
};

struct vm_params {
    const char *name;
    const struct log *log; /* the guest's */
    const struct hv_ops *hv;
    struct hv_guest *guest;
    struct hv_worker *hv_worker;
    struct machine_spec spec; /* drives' blk and serials are filled in here */
    struct vm_disk disk[MACHINE_IDE_DRIVES];
    unsigned n_disks;
    unsigned
        disk_places; /* disks and drives without a medium: worker_has_room() said yes to them */
    struct vm_serial serial[MACHINE_SERIALS];
    struct vm_nic *nic; /* MACHINE_NICS, by devid, during vm_start(); NULL: none */
    /* Where it counts, of each vCPU and of each drive; NULL: in memory of its own. */
    struct dispatch_vcpu *vcpu;
    struct blk_histograms *histograms;
    uint32_t budget;            /* dispatch.h; 0: no bound */
    struct log_limit log_limit; /* to begin with */
    /* On the worker's thread: the guest cannot go on (peer hung up, descriptor failed). Once. */
    void (*gone)(void *ctx);
    /* Likewise: this port's file is full; vm_renew_serial() follows. */
    void (*serial_full)(void *ctx, unsigned port);
    /* On the worker's thread: this unit's disk has stopped the guest, and its requests are not
     * served any more. Once until vm_restart(). */
    void (*stopped)(void *ctx, unsigned unit, const struct blk_stop *stop);
    /* Likewise: the reader of a trace that waits has something to read. */
    void (*traced)(void *ctx);
    /* Likewise: the socket of this NIC, which is `dialled`, is to be connected to its peer;
     * VM_NIC_DIALLED follows. */
    void (*dial)(void *ctx, unsigned nic);
    /* Likewise, of the PV disk of this unit; not after its vm_pv_close(). */
    void (*pv_news)(void *ctx, unsigned unit, const struct vm_pv_news *news);
    void *ctx;
};

/* Who stops the guest for a disk's error. */
struct vm_drive {
    struct vm *vm;
    unsigned index;                    /* of the unit */
    struct blk_histograms *histograms; /* a drive's are of all media that it has had; NULL */
};

struct vm {
    struct vm_params params;
    struct worker *worker;
    struct machine *machine;
    struct dispatch dispatch;
    /* What takes much room and is mostly not in use lies in pages of its own, which are no memory
     * until something is counted in them: this of each vCPU, then `histograms` of each drive. */
    struct dispatch_vcpu *vcpu;
    struct blk_histograms *histograms;
    size_t counts_size; /* of both; 0: they are the caller's */
    struct bufpio bufpio;
    struct host host;
    struct pool_share *pool_share;
    struct blk *blk[MACHINE_IDE_DRIVES];
    struct blk *leaving[MACHINE_IDE_DRIVES];      /* taken out: closed by VM_CLOSE, vm_request.h */
    struct blk_counters past[MACHINE_IDE_DRIVES]; /* and of media before: daemon/vm_counts.h */
    struct chr *chr[MACHINE_SERIALS];
    /* The worker's, like all of the machine; but statistics read NICs from the main thread, and
     * NICs come and go while the guest runs. So it takes `nics_lock` while it reads, and before
     * what has been taken out of sight is freed, the worker takes and leaves it once. */
    struct net *net[MACHINE_NICS];
    pthread_mutex_t nics_lock;
    struct loop_task reap_task; /* ways out whose NIC the guest has let go */
    struct vm_way_out {
        struct vm *vm;
        unsigned index;
        struct net_port *dgram; /* NULL: it is none */
    } way_out[MACHINE_NICS];
    struct vm_port {
        struct vm *vm;
        unsigned index;
    } port[MACHINE_SERIALS];
    ev_io io;
    bool started;
    bool gone;
    unsigned stopped; /* units, a bit each, whose disks have stopped the guest */
    struct vm_drive drive[MACHINE_IDE_DRIVES]; /* with one of `histograms` each */

    /* One libev timer for the earliest of the devices' timers (linked through host_timer.impl). */
    ev_timer timer;
    struct host_timer *timers;

    struct log_limit log_limit;
    struct guestmem_rest rest;

    ev_timer starved; /* requests wait for memory: tried again when it fires */

    struct watch watch;
    struct vm_trace *trace; /* daemon/vm_trace.h; NULL: none */

    struct vm_pv *pvs; /* PV disks: daemon/vm_pv.h */
    struct vm_hello *hellos;

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
/* These of the units (a bit each) try again what has failed; when none is stopped any more the
 * guest's requests are served again. */
void vm_restart(struct vm *vm, unsigned units);
/* What becomes of the errors of the disk at this drive, and of its PV twin, from now on; there may
 * be none. */
void vm_set_policies(struct vm *vm, unsigned drive, enum blk_policy on_read_error,
                     enum blk_policy on_write_error);
/* daemon/vm_disks.c. Opens all of `params`; `why` has VM_WHY_SIZE bytes. */
int vm_open_disks(struct vm *vm, char *why);
/* Gives its image back, unless that has been taken over. */
void vm_disk_discard(struct vm_disk *disk);
/* An image, with the faults that it is to have, whose requests take pages of the guest's share.
 * Takes the descriptor, or connection, over and says so in `disk`, on success at least. */
int vm_image_open(struct vm *vm, struct vm_disk *disk, struct blk_image **ret_image);
/* As vm_set_policies(), of any unit's disk. */
void vm_blk_policies(struct blk *blk, struct vm_drive *unit, enum blk_policy on_read_error,
                     enum blk_policy on_write_error);
/* What an image of the vm tells when it is closed, and a disk (struct vm_drive) whose error stops
 * the guest. */
void vm_image_closed(void *arg);
void vm_disk_stopped(void *arg, const struct blk_stop *stop);
/* Changes of a running guest's medium, all on the worker's thread (daemon/guest_media.c). An opened
 * medium counts as the vm's until it is closed, so vm_drain() waits for it. */

/* Takes the descriptor over. -ENOMEM. */
int vm_medium_open(struct vm *vm, struct raw_image *raw, struct blk **ret_blk);
/* When its requests have drained. NULL is fine. May free a vm that drains. */
void vm_medium_close(struct vm *vm, struct blk *blk);
/* machine_eject(), machine_insert(); -ESHUTDOWN after vm_end(). */
int vm_eject(struct vm *vm, unsigned drive, bool force, struct blk **ret_blk);
int vm_insert(struct vm *vm, unsigned drive, struct blk *blk);

/* Ends the devices; nothing of the guest is touched afterwards. */
void vm_end(struct vm *vm);
/* After vm_end(): `drained(arg)` follows, possibly at once, when the last disk request in flight
 * has come back and the images are closed; the vm is freed by then. */
void vm_drain(struct vm *vm, void (*drained)(void *arg), void *arg);

/* daemon/vm_nics.c. On the worker's thread. `why` has VM_WHY_SIZE bytes. */
int vm_nics_open(struct vm *vm, char *why);
void vm_nics_close(struct vm *vm);
/* A function of the bus has been released: perhaps a NIC's. */
void vm_nics_released(struct vm *vm);
/* Takes the descriptors over, whatever comes of it. -EEXIST, -EINVAL, ... */
int vm_nic_add(struct vm *vm, unsigned index, struct vm_nic *nic, char *why);
/* Asks the guest, or with `force` does not. -ENOENT; -ENOTSUP: it cannot be asked. */
int vm_nic_remove(struct vm *vm, unsigned index, bool force);
int vm_nic_link(struct vm *vm, unsigned index, bool up);
/* What came of vm_params.dial; the NIC may have gone. */
void vm_nic_dialled(struct vm *vm, unsigned index, bool connected);
int vm_nic_limits(struct vm *vm, unsigned index, const struct net_limits *limits);
/* Takes `fd` over, whatever comes of it; -1: no more. */
int vm_nic_capture(struct vm *vm, unsigned index, int fd, uint64_t limit);
/* Closes what never got as far as a port. */
void vm_nic_discard(struct vm_nic *nic);

#endif
