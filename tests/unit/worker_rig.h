/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest_rig whose guests are served by worker processes, each by one of its own until the test
 * wants it otherwise ("worker_guests").
 */
#ifndef IOEMUD_TESTS_UNIT_WORKER_RIG_H
#define IOEMUD_TESTS_UNIT_WORKER_RIG_H

#include "daemon/worker_process_priv.h"
#include "tests/unit/guest_rig.h"

/* cmocka's; *state is the struct guest_rig. */
int worker_rig_setup(void **state);
int worker_rig_teardown(void **state);
/* Makes a rig that was started one of these, before its first guest. */
void worker_rig_processes(struct guest_rig *rig);
/* The only guest comes and runs: its worker. */
pid_t worker_rig_start(struct guest_rig *rig, const char *json);
/* The worker's end of its link, of which we get a copy; as root only. -1. */
int worker_rig_link(pid_t pid);

/* So many descriptors are left, as guest_rig_descriptors() counts them. Links are closed by a
 * thread, which nobody else waits for. */
void worker_rig_none_stays(unsigned descriptors);

/* For guest_rig_run(): the only guest runs, and its worker is another one than it was. */
struct worker_was {
    pid_t pid;
};
bool worker_rig_has_another(struct guest_rig *rig, void *arg);

#endif
