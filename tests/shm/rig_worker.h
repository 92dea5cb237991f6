/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker process is to the host, and what is told of it. */
#ifndef IOEMUD_TESTS_SHM_RIG_WORKER_H
#define IOEMUD_TESTS_SHM_RIG_WORKER_H

#include "tests/shm/rig.h"

/* Of the guest, which has one: a process that is not the daemon. */
pid_t rig_worker(struct rig *rig, const char *name);
/* Descriptors of the process, but for those whose target has this in it. */
unsigned rig_descriptors_without(pid_t pid, const char *what);
/* Whether `text` is in memory that it can write to. */
bool rig_memory_has(pid_t pid, const char *text);

#endif
