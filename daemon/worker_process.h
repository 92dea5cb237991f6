/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker that is a process of its own and serves one guest ("isolation": "process"), as the
 * control side sees it. It is fork()ed when the guest starts, with the guest's descriptors and none
 * else, and confined before it looks at anything of the guest's (daemon/worker_child.c). What
 * passes is in daemon/worker_wire.h; the control side waits for nothing.
 *
 * If it ends by itself the guest's devices are gone: the log says so, and how the guest goes on is
 * guest_worker_died()'s.
 */
#ifndef IOEMUD_DAEMON_WORKER_PROCESS_H
#define IOEMUD_DAEMON_WORKER_PROCESS_H

#include <sys/types.h>

#include "daemon/guest_call.h"
#include "daemon/worker_wire.h"

struct daemon;
struct guest;
struct worker;

/* daemon/worker_refusal.c. Whom workers become: user "worker_user", when the daemon is root; and
 * the folder that is to be their root directory, which is made. -errno, and why, of OPENER_WHY_SIZE
 * bytes. */
int worker_process_prepare(struct daemon *daemon, char *ret_why);

/* A worker without a process yet, for the guest; with pages for so many disks. NULL: memory. */
struct worker *worker_process_new(struct daemon *daemon, unsigned disks);
/* NULL is fine. The process, if there is one, is killed. */
void worker_process_destroy(struct worker *worker);
/* Those that were destroyed and have not ended yet are not waited for any more. */
void worker_process_forget(struct daemon *daemon);

/* Whether the guest can be served by one: 0, or -EOPNOTSUPP and why not, of `size` bytes. The
 * second is for a NIC that is added while it runs. */
int worker_process_refusal(const struct guest *guest, char *ret_why, size_t size);
int worker_process_nic_refusal(const struct vm_nic *nic, bool running, char *ret_why, size_t size);

/* The guest is STARTING and all of it is in guest->params: guest_started() follows. On failure
 * everything stays the caller's. */
int worker_process_start(struct guest *guest, char *ret_why, size_t size);
/* guest_call()'s other half. */
void worker_process_call(struct guest *guest, struct guest_call *call);
/* vm_end(): guest_ended() and guest_drained() follow. */
void worker_process_end(struct guest *guest);

/* What it has counted. False: nothing yet. */
bool worker_process_counts(const struct worker *worker, struct worker_counts *ret_worker,
                           struct vm_counts *ret_vm);
/* Where it counts: `vcpus` of the first, MACHINE_IDE_DRIVES of the second. */
const struct dispatch_vcpu *worker_process_vcpus(const struct worker *worker, unsigned *ret_vcpus);
const struct blk_histograms *worker_process_histograms(const struct worker *worker);
pid_t worker_process_pid(const struct worker *worker);

/* daemon/worker_child.c: the other side of the fork. */
struct worker_child_params {
    struct guest *guest; /* as it was */
    int sock;
    struct worker_shared *shared;
    struct dispatch_vcpu *vcpu;
    struct blk_histograms *histograms;
};
__attribute__((noreturn)) void worker_child_main(const struct worker_child_params *params);

#endif
