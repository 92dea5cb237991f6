/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's half of a trace: requests go into a ring in memory that the control side has mapped
 * as well, be the worker a thread or a process. What the control side does with it is in
 * daemon/trace.h.
 */
#ifndef IOEMUD_DAEMON_VM_TRACE_H
#define IOEMUD_DAEMON_VM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "ioreq/dispatch.h"

struct vm;

#define TRACE_RING        4096u /* requests */
#define TRACE_NAME_MAX    15
#define TRACE_ILLEGAL_MAX 63

/* A request in the ring. */
struct trace_entry {
    uint64_t at_ns;
    struct dispatch_request request;
    char device[TRACE_NAME_MAX + 1]; /* "": none answers there */
    const char *model;               /* of the device, as its dev_ops have it; NULL: none */
    uint64_t offset;                 /* in the device's range, of so many bytes */
    uint64_t range;
    /* In the ring, where no pointers are: `model` and `request.illegal` as text; "": NULL. */
    char model_name[TRACE_NAME_MAX + 1];
    char illegal_text[TRACE_ILLEGAL_MAX + 1];
};

/* Which requests are wanted: "port=0x1f0-0x1f7,dir=read,device=ide0". */
struct trace_filter {
    uint64_t first, last; /* of ports, or of addresses */
    uint32_t vcpu;        /* UINT32_MAX: of any */
    unsigned types;       /* a bit each: 1 << IOREQ_PIO, ... */
    bool reads, writes;
    char device[TRACE_NAME_MAX + 1]; /* "": any */
};

/* The worker writes entries and `in`, the control side reads them and writes `out`. */
struct trace_ring {
    uint32_t in, out; /* counted up; they differ by at most TRACE_RING */
    uint64_t lost;    /* since the beginning */
    uint32_t full;    /* no more are wanted: set with `in`, looked at after it */
    uint32_t wanted;  /* a reader waits for news; who takes it back sends them, or answers */
    struct trace_entry entry[TRACE_RING];
};

/* On the worker's thread: into the ring in `fd`, which is closed, whatever comes of it, until so
 * many requests that the filter wants have been seen. vm_params.traced tells who waits. One at a
 * time. -errno. */
int vm_trace_begin(struct vm *vm, int fd, const struct trace_filter *filter, uint64_t count);
/* Also if there is none. */
void vm_trace_end(struct vm *vm);

#endif
