/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plainest server there can be, in the daemon's place: threads that look at the slot of one
 * guest after the other, for ever, and answer what they find. Each request has exactly its turn,
 * and nothing else is done, so what a guest waits is the processors' doing and the other guests'.
 */
#ifndef IOEMUD_TESTS_BENCH_PLAIN_H
#define IOEMUD_TESTS_BENCH_PLAIN_H

#include <sched.h>

#include "tests/peer/peer.h"

#define PLAIN_THREADS 64u

struct plain;

/* Waits until the daemon sleeps, and answers vCPU 0 of these guests until plain_stop(). `threads`
 * share them, on `cpus`. NULL: the daemon does not come to rest, or there is no memory. */
struct plain *plain_start(struct peer *const *guest, unsigned count, unsigned threads,
                          const cpu_set_t *cpus);
/* The guests are the daemon's again. */
void plain_stop(struct plain *plain);

#endif
