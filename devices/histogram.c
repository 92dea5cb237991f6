/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/histogram.h"

#include <assert.h>

#include "devices/count.h"

#define STEPS (1u << HISTOGRAM_STEP_SHIFT)

static unsigned bucket_of(uint64_t ns)
{
    uint64_t units = ns >> HISTOGRAM_UNIT_SHIFT;
    unsigned octave;

    if (units < STEPS)
        return (unsigned)units;
    if (ns >> HISTOGRAM_MAX_SHIFT)
        return HISTOGRAM_BUCKETS - 1;
    octave = 63u - (unsigned)__builtin_clzll(units) - HISTOGRAM_STEP_SHIFT;
    /* units >> octave is one of STEPS to 2 * STEPS - 1. */
    return (octave << HISTOGRAM_STEP_SHIFT) + (unsigned)(units >> octave);
}

uint64_t histogram_bucket_end(unsigned bucket)
{
    unsigned octave = bucket >> HISTOGRAM_STEP_SHIFT;
    uint64_t units = bucket + 1;

    assert(bucket < HISTOGRAM_BUCKETS);
    if (octave > 0)
        units = (uint64_t)(STEPS + (bucket & (STEPS - 1)) + 1) << (octave - 1);
    return units << HISTOGRAM_UNIT_SHIFT;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    count_add(&histogram->bucket[bucket_of(ns)], 1);
    count_add(&histogram->sum_ns, ns);
    if (ns > histogram->max_ns)
        count_add(&histogram->max_ns, ns - histogram->max_ns);
}

void histogram_read(const struct histogram *histogram, struct histogram_sum *sum)
{
    uint64_t max_ns = count_read(&histogram->max_ns);

    sum->sum_ns += count_read(&histogram->sum_ns);
    if (max_ns > sum->max_ns)
        sum->max_ns = max_ns;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = count_read(&histogram->bucket[i]);

        sum->bucket[i] += count;
        sum->count += count;
    }
}

uint64_t histogram_quantile(const struct histogram_sum *sum, uint32_t parts, uint32_t whole)
{
    /* How many values it takes at least, rounded up; in halves, since count * parts may not fit. */
    uint64_t wanted = sum->count / whole * parts, seen = 0;

    assert(parts > 0 && parts <= whole);
    wanted += (sum->count % whole * parts + whole - 1) / whole;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += sum->bucket[i];
        if (seen < wanted || !seen)
            continue;
        if (i == HISTOGRAM_BUCKETS - 1 || histogram_bucket_end(i) - 1 > sum->max_ns)
            break;
        return histogram_bucket_end(i) - 1;
    }
    return sum->max_ns;
}
