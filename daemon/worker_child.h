/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of a worker process.
 *
 *   worker_child.c     becomes one, takes orders, counts
 *   worker_child_vm.c  its guests
 */
#ifndef IOEMUD_DAEMON_WORKER_CHILD_H
#define IOEMUD_DAEMON_WORKER_CHILD_H

#include <ev.h>

#include "daemon/worker_process.h"

struct child;

/* A guest. */
struct child_vm {
    struct child *child;
    struct child_vm *next;
    uint32_t number;
    char name[CONFIG_NAME_MAX + 1];
    struct log log;
    const struct hv_ops *hv;
    struct hv_guest *hv_guest;
    struct vm *vm; /* NULL: not yet, or ended */
    struct vm_counts *counts;
    uint32_t vcpus;
    struct child_rom {
        const uint8_t *data;
        size_t bytes;
    } rom[MACHINE_NICS];
};

struct child {
    int sock;
    struct worker worker;
    struct log log;
    struct child_vm *vms, *next_vm; /* the latter is published next */
    unsigned n_vms;
    ev_io sock_io;
    ev_prepare prepare;
    ev_timer publish;
    unsigned quiet;     /* the turn of the loop in which nothing but publishing happened */
    unsigned quiet_run; /* guests in a row that had nothing new */
    struct worker_counts *counts;
    struct worker_counts fresh;
    int statm_fd; /* proc(5); -1: there is none */
    struct vm_counts fresh_vm;
};

/* Waits for the control side, which waits for nothing. If that is gone, so are we. */
void worker_child_tell(struct child *child, const struct worker_report *report);
/* Lines are lost rather than waited for. */
void worker_child_log(const struct child *child, uint32_t guest, int priority, const char *device,
                      const char *text);

/* ORDER_START: the guest is here, or the control side is told why not. */
void child_vm_start(struct child *child, struct worker_order *order);
/* NULL: there is none of this number. */
struct child_vm *child_vm_find(const struct child *child, uint32_t number);
/* ORDER_REQUEST, which is answered; `of` may be NULL. */
void child_vm_run(struct child *child, struct child_vm *of, struct worker_order *order);
/* ORDER_END. */
void child_vm_end(struct child_vm *of);
/* Counters, into the memory that the control side reads. True when there was something new. */
bool child_vm_publish(struct child_vm *of);

#endif
