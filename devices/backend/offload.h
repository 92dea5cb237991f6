/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One helper thread for calls that block and that io_submit(2) has no opcode for: fallocate(2) and
 * BLKDISCARD, which may take seconds on a slow disk. They are carried out one by one, in order, so
 * that many of them load the disk as one does; nothing else of a worker waits for them. Queueing
 * never allocates: who submits brings the memory, and how many wait is bounded by that.
 */
#ifndef IOEMUD_DEVICES_BACKEND_OFFLOAD_H
#define IOEMUD_DEVICES_BACKEND_OFFLOAD_H

#include <stdint.h>

#include "devices/backend/loop.h"

struct offload;

/* One call; embedded where the owner likes, at one address until `done`, which may free it. */
struct offload_op {
    int64_t (*run)(struct offload_op *op); /* on the helper thread: looks at `op`'s owner only */
    void (*done)(struct offload_op *op, int64_t result); /* from the loop */
    struct offload_op *next;
    int64_t result;
};

/* Starts the thread. `loop` must outlive it. -errno of pthread_create(3), eventfd(2). */
int offload_create(const struct loop *loop, struct offload **ret_offload);
/* Nothing may be under way. NULL is fine. */
void offload_destroy(struct offload *offload);
/* Queues; `done` follows from the loop, never inline. Never fails. */
void offload_submit(struct offload *offload, struct offload_op *op);

#endif
