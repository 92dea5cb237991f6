/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics as JSON: the objects of docs/rpc.md, of which the RPC, the samples of `subscribe` and
 * the metrics (daemon/metrics.h) are made. Main thread.
 */
#ifndef IOEMUD_DAEMON_STATS_H
#define IOEMUD_DAEMON_STATS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/histogram.h"

struct daemon;
struct guest;
struct dispatch_vcpu;
struct blk_histograms;

/* Everything countable; `only` NULL: of all guests. `buckets`: histograms with all that they hold,
 * not only their quantiles. NULL when memory is short. */
json_t *daemon_stats_of(struct daemon *daemon, const struct guest *only, bool buckets);

/* daemon/stats_parts.c. New references. */

/* Adds the histogram to `object` by that name, unless nothing was counted. */
void stats_add_histogram(json_t *object, const char *name, const struct histogram_sum *sum,
                         bool buckets);
/* Adds "round_trip", "accesses", "bytes" and "vcpus", those of all `n` and of each. */
void stats_add_vcpus(json_t *object, const struct dispatch_vcpu *vcpu, unsigned n, bool buckets);
/* Adds "latency", "read_sizes", "write_sizes", "in_flight_max". */
void stats_add_disk(json_t *object, const struct blk_histograms *histograms, bool buckets);
/* Of this process: memory, processor time, descriptors. */
json_t *stats_process(void);
struct worker_usage;
/* That of a worker, as far as it has told. */
json_t *stats_worker_process(const struct worker_usage *usage);

#endif
