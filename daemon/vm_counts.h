/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is counted of a guest and of its worker, as plain data: copied from where devices and
 * backends count it, for the statistics.
 *
 *   a worker that is a thread   the control side copies when it is asked (daemon/stats.c)
 *   one that is a process       the worker copies into memory that both have, and the control side
 *                               copies from there: vm_counts_move() on both ways
 *
 * What a worker process has written is a captured one's to choose: vm_counts_take() makes strings
 * end and numbers of entries fit. The figures themselves are believed.
 */
#ifndef IOEMUD_DAEMON_VM_COUNTS_H
#define IOEMUD_DAEMON_VM_COUNTS_H

#include "daemon/vm.h"
#include "daemon/worker.h"
#include "devices/backend/capture.h"

#define VM_COUNTS_DEVICES  32u /* more than any machine has */
#define VM_COUNTS_OF_EACH  8u  /* and counters than any device has */
#define VM_COUNTS_NAME_MAX 31

typedef char vm_counts_name[VM_COUNTS_NAME_MAX + 1];

struct vm_counts {
    struct dispatch_counters dispatch;
    struct bufpio_counters bufpio;
    struct hv_counters memory;
    struct grant_counters grants; /* zeroes where there are none */
    uint64_t log_suppressed;
    uint64_t features; /* HV_FEATURE_x */
    struct vm_counts_serial {
        uint64_t here;
        uint64_t dropped;
    } serial[MACHINE_SERIALS];
    struct vm_counts_nic {
        uint64_t here, link, captured; /* 0 or 1 */
        struct net_counters counters;
        struct capture_counters capture; /* if `captured` */
    } nic[MACHINE_NICS];
    /* By drive, of all media that were in it. vm_counts_read() leaves them out: while a thread
     * serves the guest they are the control side's sum (struct guest, `past`). */
    struct blk_counters disk[MACHINE_IDE_DRIVES];
    uint64_t n_devices; /* what is behind them is not looked at, and so no memory */
    struct vm_counts_device {
        vm_counts_name name, model;
        uint64_t n_counters;
        struct {
            vm_counts_name name;
            uint64_t value;
        } counter[VM_COUNTS_OF_EACH];
    } device[VM_COUNTS_DEVICES];
};
_Static_assert(sizeof(struct vm_counts) % sizeof(uint64_t) == 0, "for vm_counts_move()");

struct worker_counts {
    uint64_t wakeups, polls_hit;
    struct histogram round_trip, io;
    struct pool_stats pool;
    struct aio_stats aio;
    struct worker_usage {
        uint64_t cpu_us, resident_bytes, anonymous_bytes;
    } usage; /* of a process, when something else was last counted; a thread's is the daemon's */
};
_Static_assert(sizeof(struct worker_counts) % sizeof(uint64_t) == 0, "for vm_counts_move()");

/* By the worker, or by the main thread while its thread runs: takes `nics_lock`. */
void vm_counts_read(struct vm *vm, struct vm_counts *ret_counts);
/* By the worker only. */
void vm_counts_read_disks(const struct vm *vm, struct vm_counts *counts);
/* By anyone. */
void worker_counts_read(const struct worker *worker, struct worker_counts *ret_counts);

/* From a place that another process writes to or reads from: each word whole. `size` is a multiple
 * of 8, both are aligned. */
void vm_counts_move(void *to, const void *from, size_t size);
/* Bytes of it up to the last of its devices. */
size_t vm_counts_size(const struct vm_counts *counts);
/* What a worker process has written, moved here and checked. */
void vm_counts_take(struct vm_counts *ret_counts, const struct vm_counts *from);

/* Adds a running image's counters, each read once. */
void vm_counts_add_disk(struct blk_counters *sum, const struct blk_counters *of);

#endif
