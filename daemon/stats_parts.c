/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/stats.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/vm_counts.h"
#include "devices/backend/blk_ops.h"
#include "devices/count.h"
#include "ioreq/dispatch.h"

static void set(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* ---- histograms ------------------------------------------------------------------------------ */

/* [[end, count], ...]: those in which something was counted. */
static json_t *buckets_of(const struct histogram_sum *sum)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (sum->bucket[i])
            json_array_append_new(array, json_pack("[I, I]", (json_int_t)histogram_bucket_end(i),
                                                   (json_int_t)sum->bucket[i]));
    return array;
}

void stats_add_histogram(json_t *object, const char *name, const struct histogram_sum *sum,
                         bool buckets)
{
    static const struct {
        const char *name;
        uint32_t parts, whole;
    } quantiles[] = {
        {"p50_ns", 1, 2},        {"p90_ns", 9, 10},          {"p99_ns", 99, 100},
        {"p99_9_ns", 999, 1000}, {"p99_99_ns", 9999, 10000},
    };
    json_t *histogram;

    if (!sum->count)
        return;
    histogram = json_object();
    set(histogram, "count", sum->count);
    set(histogram, "sum_ns", sum->sum_ns);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
        set(histogram, quantiles[i].name,
            histogram_quantile(sum, quantiles[i].parts, quantiles[i].whole));
    set(histogram, "max_ns", sum->max_ns);
    if (buckets)
        json_object_set_new(histogram, "buckets", buckets_of(sum));
    json_object_set_new(object, name, histogram);
}

/* ---- vCPUs ----------------------------------------------------------------------------------- */

struct accesses {
    uint64_t requests[DISPATCH_KINDS][DISPATCH_SIZES];
    uint64_t bytes;
    struct histogram_sum round_trip;
};

static void add_vcpu(struct accesses *sum, const struct dispatch_vcpu *vcpu)
{
    for (unsigned i = 0; i < DISPATCH_KINDS; i++)
        for (unsigned j = 0; j < DISPATCH_SIZES; j++)
            sum->requests[i][j] += count_read(&vcpu->requests[i][j]);
    sum->bytes += count_read(&vcpu->bytes);
    histogram_read(&vcpu->round_trip, &sum->round_trip);
}

/* {"pio_read": {"1": n, "2": n, ...}, ...}: what there was. */
static json_t *requests_of(const struct accesses *of)
{
    static const char *const kinds[DISPATCH_KINDS] = {
        [DISPATCH_PIO_READ] = "pio_read",   [DISPATCH_PIO_WRITE] = "pio_write",
        [DISPATCH_MMIO_READ] = "mmio_read", [DISPATCH_MMIO_WRITE] = "mmio_write",
        [DISPATCH_PCI_READ] = "pci_read",   [DISPATCH_PCI_WRITE] = "pci_write",
    };
    static const char *const sizes[DISPATCH_SIZES] = {"1", "2", "4", "8"};
    json_t *object = json_object();

    for (unsigned i = 0; i < DISPATCH_KINDS; i++) {
        json_t *by_size = json_object();

        for (unsigned j = 0; j < DISPATCH_SIZES; j++)
            if (of->requests[i][j])
                set(by_size, sizes[j], of->requests[i][j]);
        if (json_object_size(by_size))
            json_object_set(object, kinds[i], by_size);
        json_decref(by_size);
    }
    return object;
}

static void add_accesses(json_t *object, const struct accesses *of, bool buckets)
{
    json_object_set_new(object, "accesses", requests_of(of));
    set(object, "bytes", of->bytes);
    stats_add_histogram(object, "round_trip", &of->round_trip, buckets);
}

void stats_add_vcpus(json_t *object, const struct dispatch_vcpu *vcpu, unsigned n, bool buckets)
{
    struct accesses all = {0};
    json_t *array = json_array();

    for (unsigned i = 0; i < n; i++) {
        struct accesses one = {0};
        json_t *each = json_object();

        add_vcpu(&one, &vcpu[i]);
        add_vcpu(&all, &vcpu[i]);
        set(each, "vcpu", i);
        add_accesses(each, &one, buckets);
        json_array_append_new(array, each);
    }
    add_accesses(object, &all, buckets);
    json_object_set_new(object, "vcpus", array);
}

/* ---- disks ----------------------------------------------------------------------------------- */

static json_t *sizes_of(const uint64_t *counts)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < BLK_SIZES; i++)
        json_array_append_new(array, json_integer((json_int_t)count_read(&counts[i])));
    return array;
}

void stats_add_disk(json_t *object, const struct blk_histograms *histograms, bool buckets)
{
    json_t *latency = json_object();

    for (enum blk_op op = BLK_READ; op <= BLK_DISCARD; op++) {
        struct histogram_sum sum = {0};

        histogram_read(&histograms->latency[op], &sum);
        stats_add_histogram(latency, blk_op_name(op), &sum, buckets);
    }
    json_object_set_new(object, "latency", latency);
    json_object_set_new(object, "read_sizes", sizes_of(histograms->reads));
    json_object_set_new(object, "write_sizes", sizes_of(histograms->writes));
    set(object, "in_flight_max", __atomic_load_n(&histograms->in_flight_max, __ATOMIC_RELAXED));
}

/* ---- the process ----------------------------------------------------------------------------- */

static unsigned open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned count = 0;

    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count ? count - 1 : 0; /* less the one that looked */
}

/* proc(5), statm: pages. */
static void memory_of(unsigned long *ret_virtual, unsigned long *ret_resident,
                      unsigned long *ret_shared)
{
    FILE *file = fopen("/proc/self/statm", "re");

    *ret_virtual = *ret_resident = *ret_shared = 0;
    if (!file)
        return;
    if (fscanf(file, "%lu %lu %lu", ret_virtual, ret_resident, ret_shared) != 3)
        *ret_virtual = *ret_resident = *ret_shared = 0;
    fclose(file);
}

json_t *stats_worker_process(const struct worker_usage *usage)
{
    json_t *object = json_object();

    set(object, "resident_bytes", usage->resident_bytes);
    set(object, "anonymous_bytes", usage->anonymous_bytes);
    set(object, "cpu_us", usage->cpu_us);
    return object;
}

json_t *stats_process(void)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long virtual, resident, shared;
    struct rlimit limit = {0};
    struct rusage usage = {0};
    json_t *object = json_object();

    memory_of(&virtual, &resident, &shared);
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    set(object, "virtual_bytes", virtual * page);
    set(object, "resident_bytes", resident * page);
    set(object, "anonymous_bytes", resident > shared ? (resident - shared) * page : 0);
    set(object, "descriptors", open_descriptors());
    set(object, "descriptors_max", limit.rlim_cur);
    set(object, "cpu_us",
        (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
            (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
    return object;
}
