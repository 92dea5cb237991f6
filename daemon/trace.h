/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest asks of its devices, request by request, for whoever looks for a mistake.
 *
 *   worker: dispatch -> filter -> ring ---news (a mail, if somebody waits)---> main: `trace-read`
 *
 * The ring is there as long as a trace runs, one for each guest that is traced, and of a fixed
 * size: a reader who is slow misses requests and is told how many. The guest never waits. While
 * there is no trace a request costs one comparison (ioreq/dispatch.h).
 *
 * A trace belongs to the connection that began it and ends with that, with its count, or with the
 * guest.
 */
#ifndef IOEMUD_DAEMON_TRACE_H
#define IOEMUD_DAEMON_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ioreq/dispatch.h"

struct guest;
struct trace;

#define TRACE_RING     4096u /* requests */
#define TRACE_BATCH    512u  /* in one answer */
#define TRACE_NAME_MAX 15

/* A request in the ring. */
struct trace_entry {
    uint64_t at_ns;
    struct dispatch_request request;
    char device[TRACE_NAME_MAX + 1]; /* "": none answers there */
    const char *model;               /* of the device, as its dev_ops have it; NULL: none */
    uint64_t offset;                 /* in the device's range, of so many bytes */
    uint64_t range;
};

/* Which requests are wanted: "port=0x1f0-0x1f7,dir=read,device=ide0". */
struct trace_filter {
    uint64_t first, last; /* of ports, or of addresses */
    uint32_t vcpu;        /* UINT32_MAX: of any */
    unsigned types;       /* a bit each: 1 << IOREQ_PIO, ... */
    bool reads, writes;
    char device[TRACE_NAME_MAX + 1]; /* "": any */
};

/* `text` NULL or "": all. False, and why, in TRACE_WHY_SIZE bytes. */
#define TRACE_WHY_SIZE 160
bool trace_filter_parse(const char *text, struct trace_filter *ret_filter, char *ret_why);
bool trace_filter_wants(const struct trace_filter *filter, const struct trace_entry *entry);

/* "vcpu0 IN 0x1f7/1 -> 0x50 DRDY DSC" */
#define TRACE_LINE_MAX 192
void trace_decode(const struct trace_entry *entry, char ret_line[TRACE_LINE_MAX]);
/* What the registers' bits mean, for trace_decode(): "DRDY DSC", or "". */
void trace_meaning(const struct trace_entry *entry, char *ret_text, size_t size);

/* The guest is being freed: whoever reads is told. */
void trace_guest_gone(struct guest *guest);

#endif
