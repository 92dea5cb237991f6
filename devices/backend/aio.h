/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's libaio context: requests of all its disks are gathered during a turn of the loop and
 * submitted by few io_submit(2) at its end; completions arrive through one eventfd in the loop.
 *
 * io_submit(2) does not wait for O_DIRECT transfers; for buffered files the kernel does the
 * transfer itself inside it, so these are the helper thread's (raw_image.direct).
 */
#ifndef IOEMUD_DEVICES_BACKEND_AIO_H
#define IOEMUD_DEVICES_BACKEND_AIO_H

#include <libaio.h>
#include <stdint.h>

#include "devices/backend/loop.h"

struct aio;
struct offload; /* devices/backend/offload.h */

struct aio_stats {
    uint64_t submits; /* io_submit calls */
    uint64_t requests;
    uint64_t retries;                  /* times the kernel's queue was full */
    uint32_t in_kernel, in_kernel_max; /* requests: now, and the most ever */
};

/* One request; embedded where the owner likes, at one address until `done`, which may free it. */
struct aio_op {
    struct iocb iocb; /* prepared by the owner with io_prep_*; aio.c sets the eventfd and data */
    void (*done)(struct aio_op *op, int64_t result); /* bytes, or -errno */
    struct aio_op *next;
};

/* `events`: most requests in flight in the kernel; more wait here. -EAGAIN: fs.aio-max-nr is too
 * small; that of offload_create(). `loop` must outlive it. */
int aio_create(const struct loop *loop, unsigned events, struct aio **ret_aio);
/* Nothing may be in flight. NULL is fine. */
void aio_destroy(struct aio *aio);
/* Queues; `done` follows from the loop, never inline. Never fails. */
void aio_submit(struct aio *aio, struct aio_op *op);
const struct aio_stats *aio_stats(const struct aio *aio);
/* The worker's helper thread, for what io_submit(2) has no opcode for. */
struct offload *aio_offload(struct aio *aio);

#endif
