/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long things took, as a histogram of fixed size: buckets as wide as 1/8 of the power of two
 * they lie in (the log-linear layout of HDR histograms), so that a quantile is known to 1/8 of its
 * value from some hundred nanoseconds to a minute, in 1.8 KiB and without allocation. Below the
 * unit's eighth multiple buckets are one unit wide.
 *
 *   bucket       0     1  ...   7     8  ...  15        16 ...        HISTOGRAM_BUCKETS - 1
 *   from (ns)    0    64       448   512     960      1024, 1152 ...   64.4e9
 *
 * One thread adds; others may read meanwhile (devices/count.h). A reader copies first: the copy's
 * buckets add up to its `count`, whatever is added at the same time.
 */
#ifndef IOEMUD_DEVICES_HISTOGRAM_H
#define IOEMUD_DEVICES_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_UNIT_SHIFT 6u  /* 64 ns: less than a round trip over shared memory differs by */
#define HISTOGRAM_STEP_SHIFT 3u  /* buckets in a power of two: 8 */
#define HISTOGRAM_MAX_SHIFT  36u /* values from 2^36 ns (69 s) on are counted in the last bucket */
#define HISTOGRAM_BUCKETS                                                                          \
    ((HISTOGRAM_MAX_SHIFT - HISTOGRAM_UNIT_SHIFT - HISTOGRAM_STEP_SHIFT + 1)                       \
     << HISTOGRAM_STEP_SHIFT)

struct histogram {
    uint64_t sum_ns, max_ns;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* By its thread. Bounded, some nanoseconds. */
void histogram_add(struct histogram *histogram, uint64_t ns);

/* What was copied, or summed up of several. */
struct histogram_sum {
    uint64_t count, sum_ns, max_ns;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* Adds all that is in `histogram` to `sum`, which is zeroed at first. By any thread. */
void histogram_read(const struct histogram *histogram, struct histogram_sum *sum);

/* The value (ns) that `parts` of `whole` of all values do not exceed (999 of 1000: p99.9), at most
 * 1/8 too large and never more than the maximum; 0 of an empty one. 0 < parts <= whole. */
uint64_t histogram_quantile(const struct histogram_sum *sum, uint32_t parts, uint32_t whole);

/* The first value that is too large for the bucket. */
uint64_t histogram_bucket_end(unsigned bucket);

#endif
