/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of hv_shm that grants memory, and the daemon's side of it, in one thread: what a PV
 * backend has, without a daemon around it. Aborts when something is missing.
 */
#ifndef IOEMUD_TESTS_UNIT_GRANT_RIG_H
#define IOEMUD_TESTS_UNIT_GRANT_RIG_H

#include "devices/grant.h"
#include "ioreq/hv.h"
#include "tests/peer/peer.h"

#define GRANT_RIG_GUESTS 2u

struct grant_rig_guest {
    struct peer *peer;
    struct hv_guest *guest; /* NULL: it has ended */
    const struct grants *grants;
};

struct grant_rig {
    struct hv_host *host;
    struct hv_worker *worker;
    struct grant_rig_guest at[GRANT_RIG_GUESTS];
    void *impl;
};

struct grant_rig *grant_rig_start(void);
/* All guests end, too. */
void grant_rig_stop(struct grant_rig *rig);
/* Guest `i` with `ram_size` bytes at 0, of frames with so many spares if that is not 0. */
void grant_rig_guest(struct grant_rig *rig, unsigned i, size_t ram_size, unsigned spares,
                     uint32_t features);
/* The daemon's side of it ends; the peer stays to look at its memory. */
void grant_rig_end(struct grant_rig *rig, unsigned i);
/* Calls fn(arg), which waits for the daemon to answer a message of guest `i`, in another thread
 * and plays the daemon until it is done or `ms` have passed. Its result, or -EINPROGRESS; then
 * grant_rig_wait() goes on. */
int grant_rig_call(struct grant_rig *rig, unsigned i, int (*fn)(void *arg), void *arg, int ms);
int grant_rig_wait(struct grant_rig *rig, unsigned i, int ms);
/* Grants `count` pages from `gpa` on. */
void grant_rig_grant(struct grant_rig *rig, unsigned i, uint64_t gpa, bool readonly, unsigned count,
                     uint32_t *ret_refs);

#endif
