/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest asks of its devices, request by request, for whoever looks for a mistake.
 *
 *   worker: dispatch -> filter -> ring ---news, if somebody waits---> main: `trace-read`
 *
 * The worker's half is daemon/vm_trace.h. The ring is there as long as a trace runs, one for each
 * guest that is traced, and of a fixed size: a reader who is slow misses requests and is told how
 * many. The guest never waits. While there is no trace a request costs one comparison
 * (ioreq/dispatch.h).
 *
 * A trace belongs to the connection that began it and ends with that, with its count, or with the
 * guest.
 */
#ifndef IOEMUD_DAEMON_TRACE_H
#define IOEMUD_DAEMON_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/vm_trace.h"

struct guest;
struct trace;

#define TRACE_BATCH 512u /* requests in one answer */

/* `text` NULL or "": all. False, and why, in TRACE_WHY_SIZE bytes. */
#define TRACE_WHY_SIZE 160
bool trace_filter_parse(const char *text, struct trace_filter *ret_filter, char *ret_why);
bool trace_filter_wants(const struct trace_filter *filter, const struct trace_entry *entry);

/* "vcpu0 IN 0x1f7/1 -> 0x50 DRDY DSC" */
#define TRACE_LINE_MAX 192
void trace_decode(const struct trace_entry *entry, char ret_line[TRACE_LINE_MAX]);
/* What the registers' bits mean, for trace_decode(): "DRDY DSC", or "". */
void trace_meaning(const struct trace_entry *entry, char *ret_text, size_t size);

/* Something is in the ring that somebody waited for, as its worker says. */
void trace_news(struct guest *guest);
/* The guest is being freed, or its devices have gone: whoever reads is told. */
void trace_guest_gone(struct guest *guest);
/* What is in the ring may be a captured worker's: texts end and can be printed, nothing leads out
 * of a table, and what was text is a pointer again. */
void trace_check(struct trace_entry *entry);

#endif
