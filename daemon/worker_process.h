/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workers that are processes of their own ("isolation": "process"), as the control side sees them.
 * One is started for the first guest that it serves, confined before it hears of that
 * (daemon/worker_child.c), and ends with its last one. Guests are sent to it with their descriptors
 * and all else that it has to know. What passes is in daemon/worker_wire.h; the control side waits
 * for nothing.
 *
 * If one ends by itself the devices of its guests are gone: the log says so, and how each guest
 * goes on is guest_worker_died()'s. One that gives no sign of life is ended.
 */
#ifndef IOEMUD_DAEMON_WORKER_PROCESS_H
#define IOEMUD_DAEMON_WORKER_PROCESS_H

#include <sys/types.h>

#include "daemon/guest_call.h"
#include "daemon/worker_wire.h"

struct daemon;
struct guest;
struct worker;
struct worker_seat;

/* daemon/worker_refusal.c. Whom workers become: user "worker_user", when the daemon is root; and
 * the folder that is to be their root directory, which is made. -errno, and why, of OPENER_WHY_SIZE
 * bytes. */
int worker_process_prepare(struct daemon *daemon, char *ret_why);

/* The one that a guest with so many disks is to have: the least loaded one that may have another
 * ("worker_guests"), or one more, without a process yet, while there are fewer than "workers" or
 * none has room. `alone`: one that it shares with nobody, nor ever will. NULL: memory. */
struct worker *worker_process_choose(struct daemon *daemon, unsigned disks, bool alone);
/* Nobody came of it: if it has no guests, it ends. NULL is fine. */
void worker_process_give_back(struct worker *worker);
/* Those that were ended and are not over yet are not waited for any more. */
void worker_process_forget(struct daemon *daemon);

/* Whether the guest can be served by one: 0, or -EOPNOTSUPP and why not, of `size` bytes. */
int worker_process_refusal(const struct guest *guest, char *ret_why, size_t size);

/* The guest is STARTING, its worker chosen, and all of it is in guest->params: guest_started()
 * follows. On failure everything stays the caller's. */
int worker_process_start(struct guest *guest, char *ret_why, size_t size);
/* guest_call()'s other half. */
void worker_process_call(struct guest *guest, struct guest_call *call);
/* vm_end(): guest_ended() and guest_drained() follow. */
void worker_process_end(struct guest *guest);
/* The guest is not the worker's any more; ends that if it was its last one. */
void worker_process_leave(struct guest *guest);

/* What one of the guest's PV disks takes there, `grants_fd` and `counts_fd`, and where it counts,
 * mapped to be read only and the caller's. What was opened is the caller's on failure, too. */
int worker_process_lend(struct guest *guest, struct vm_pv_params *params,
                        struct vm_pv_counts **ret_counts);
/* One of them is open there: the guest's grants have arrived, and go along no more. Does nothing of
 * a guest whose worker is a thread. */
void worker_process_lent(struct guest *guest);

/* "worker_timeout" has changed. */
void worker_process_beat_again(struct daemon *daemon);
/* False while one makes no progress and cannot be ended for that: then the daemon as a whole does
 * not, either. One that has been killed is the kernel's, which may wait for a disk: to end the
 * daemon, and all workers that are well, would not help it. */
bool worker_process_progress(const struct daemon *daemon);

/* Those that serve guests, from the newest one on: NULL begins, NULL ends. */
struct worker *worker_process_next(const struct daemon *daemon, const struct worker *worker);
/* What has been counted. False: nothing yet. */
bool worker_process_counts(const struct worker *worker, struct worker_counts *ret_counts);
bool worker_process_vm_counts(const struct guest *guest, struct vm_counts *ret_counts);
/* Where it counts: `vcpus` of the first, MACHINE_IDE_DRIVES of the second. The guest is RUNNING. */
const struct dispatch_vcpu *worker_process_vcpus(const struct guest *guest, unsigned *ret_vcpus);
const struct blk_histograms *worker_process_histograms(const struct guest *guest);
pid_t worker_process_pid(const struct worker *worker);

/* daemon/worker_child.c: the program as a worker process, with its end of the link; `hv` has
 * WORKER_HVS entries. Ends the process. */
__attribute__((noreturn)) void worker_child_main(int sock, const struct hv_ops *const hv[]);

#endif
