/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PV disks of a guest on its worker: an image, the backend of blkif over it, and the event
 * channels of its rings. daemon/guest_pvdisk.c is the control side.
 *
 * The image may be an emulated drive's, too: its twin's. Both have the same open file then, so what
 * the one was told is written the other reads. A guest goes from the one to the other by unplugging
 * the drive, which lets it forget requests that are under way; until the last of them is over, and
 * what was written is stable, those of the PV disk wait in their rings:
 *
 *   unplug -> machine_disk_leaving() ..... host_ops.disk_left -> vm_pv_disk_left()
 *             |------- the PV disk is held -------|
 *
 * A guest that uses both at a time, as firmware may, is served both.
 */
#ifndef IOEMUD_DAEMON_VM_PV_H
#define IOEMUD_DAEMON_VM_PV_H

#include "daemon/vm.h"
#include "devices/pv/pvblk.h"
#include "ioreq/hv_pv.h"

struct vm_pv;

/* What is counted of a PV disk, in memory that its worker writes to and the control side reads from
 * (daemon/vm_counts.h). */
struct vm_pv_counts {
    struct blk_counters io;
    struct pvblk_counters ring;
    struct blk_histograms histograms; /* counted there directly */
};
_Static_assert(sizeof(struct vm_pv_counts) % sizeof(uint64_t) == 0, "for vm_counts_move()");

/* Plain data, as all of a vm_request: of a worker process `ret_pv` is NULL. */
struct vm_pv_params {
    struct vm_disk disk; /* `drive` is its unit; what it is served from is taken over */
    char name[16];       /* for the log */
    int twin;            /* the emulated drive with the same image; -1: none */
    bool read_only, discard;
    /* Taken over, all. */
    int channels_fd;
    int grants_fd[HV_GRANT_FDS]; /* hv_pv_ops.broker_add()'s; -1: the worker has its grants */
    int counts_fd;               /* a memfd of a struct vm_pv_counts; -1: nobody reads there */
    /* Where the control side finds it then, for its statistics; NULL. Its own memory, until it has
     * asked for the close. */
    struct vm_pv **ret_pv;
};
/* Where its descriptors are. Returns how many. */
#define VM_PV_FDS (3u + HV_GRANT_FDS)
unsigned vm_pv_fds(struct vm_pv_params *params, int *ret_fds[VM_PV_FDS]);
/* Closes them. */
void vm_pv_discard(struct vm_pv_params *params);

/*
 * daemon/vm_pvhello.c, in a worker process only: the connection to the program of an image, before
 * the disk of this unit is opened with it (vm_disk.heard). Hears what the program says:
 * VM_PV_HEARD follows, with `serial`, for the last that was asked for of a unit. Takes `fd` over,
 * whatever comes of it.
 */
int vm_pv_hear(struct vm *vm, unsigned unit, uint32_t serial, int fd);
/* There may be none. */
void vm_pv_unhear(struct vm *vm, unsigned unit);
void vm_pv_unhear_all(struct vm *vm);
/* What was heard, the caller's; NULL: nothing. */
struct nbd_handle *vm_pv_heard(struct vm *vm, unsigned unit);

/* Takes `params` over, whatever comes of it. -EOPNOTSUPP: the worker has no grants. */
int vm_pv_open(struct vm *vm, struct vm_pv_params *params);
/* The one of this unit; NULL. */
struct vm_pv *vm_pv_find(const struct vm *vm, unsigned unit);
/* Its image is closed when its last request is back; the vm waits for that (vm_drain()). If its
 * error has stopped the guest, that is over. */
void vm_pv_close(struct vm_pv *pv);
/* Of a vm that ends, before its guest's pages go. */
void vm_pv_close_all(struct vm *vm);

int vm_pv_connect(struct vm_pv *pv, const struct pvblk_rings *rings);
/* True: nothing is in flight. False: VM_PV_DRAINED follows. */
bool vm_pv_disconnect(struct vm_pv *pv);

/* The emulated drive at this place was unplugged, and is at rest. */
void vm_pv_disk_left(struct vm *vm, unsigned drive);
/* For vm_set_policies(): the twin of this drive. */
void vm_pv_set_policies(struct vm *vm, unsigned drive, enum blk_policy on_read_error,
                        enum blk_policy on_write_error);
/* For vm_restart(): those of these units that are PV disks. */
void vm_pv_restart(struct vm *vm, unsigned units);

/* For the statistics of a thread's: constant, and there until vm_pv_close(). */
const struct blk *vm_pv_blk(const struct vm_pv *pv);
const struct blk_histograms *vm_pv_histograms(const struct vm_pv *pv);
const struct pvblk_counters *vm_pv_counters(const struct vm_pv *pv);
/* For those of a process's: what has been counted, into `counts_fd`'s memory. True when there was
 * something new. */
bool vm_pv_publish(struct vm *vm);

#endif
