/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics as JSON. Counters are written by their worker alone and read here while it runs
 * (daemon/vm_counts.h): each is an aligned word, read once; a figure may be a request older than
 * its neighbour, never torn.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/guest_pvdisk.h"
#include "daemon/stats.h"
#include "daemon/vm_counts.h"
#include "daemon/worker_process.h"
#include "devices/count.h"

struct named {
    const char *name;
    const uint64_t *value;
};

static json_t *counters(const struct named *named, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, named[i].name,
                            json_integer((json_int_t)count_read(named[i].value)));
    return object;
}

#define COUNT(of, member)                                                                          \
    {                                                                                              \
#member, &(of)->member                                                                     \
    }

static json_t *ioreqs(const struct dispatch_counters *of)
{
    const struct named named[] = {
        COUNT(of, pio_read), COUNT(of, pio_write),  COUNT(of, mmio_read), COUNT(of, mmio_write),
        COUNT(of, pci_read), COUNT(of, pci_write),  COUNT(of, string),    COUNT(of, string_bytes),
        COUNT(of, buffered), COUNT(of, invalidate), COUNT(of, other),     COUNT(of, illegal),
        COUNT(of, turns),    COUNT(of, spurious),
    };

    return counters(named, sizeof(named) / sizeof(named[0]));
}

static json_t *memory(const struct hv_counters *of)
{
    const struct named named[] = {
        COUNT(of, map_calls),   COUNT(of, map_pages),    COUNT(of, unmap_pages),
        COUNT(of, invalidates), COUNT(of, map_failures), COUNT(of, holes),
        COUNT(of, hypercalls),
    };
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "mapped_pages",
                        json_integer((json_int_t)(of->map_pages - of->unmap_pages)));
    return object;
}

json_t *daemon_disk_stop(const struct guest *guest, unsigned unit)
{
    const struct blk_stop *stop = guest_disk_stop(guest, unit);

    return stop ? json_pack("{s:s, s:I, s:s}", "op", blk_op_name(stop->op), "sector",
                            (json_int_t)stop->sector, "error", strerror(-stop->error))
                : NULL;
}

/* Of all media that were in the drive. */
static void sum_counters(const struct guest *guest, unsigned drive, struct blk_counters *ret_sum)
{
    *ret_sum = guest->past[drive];
    if (guest->blk[drive])
        vm_counts_add_disk(ret_sum, blk_counters(guest->blk[drive]));
}

static json_t *bufpio(const struct bufpio_counters *of)
{
    const struct named named[] = {
        COUNT(of, answered),  COUNT(of, bytes),    COUNT(of, refills),
        COUNT(of, take_outs), COUNT(of, rejected), COUNT(of, inside),
    };

    return counters(named, sizeof(named) / sizeof(named[0]));
}

/* What drives and PV disks have in common. `of`: read already, or read once here. */
static json_t *disk_of(const struct blk_counters *of, const struct blk_histograms *histograms,
                       json_t *stop, const char *vdev, bool buckets)
{
    const struct named named[] = {
        COUNT(of, reads),           COUNT(of, writes),     COUNT(of, flushes),
        COUNT(of, discards),        COUNT(of, read_bytes), COUNT(of, written_bytes),
        COUNT(of, discarded_bytes), COUNT(of, errors),     COUNT(of, cancelled),
        COUNT(of, io_ns),
    };
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "vdev", json_string(vdev));
    if (stop)
        json_object_set_new(object, "stopped", stop);
    json_object_set_new(object, "in_flight",
                        json_integer(__atomic_load_n(&of->in_flight, __ATOMIC_RELAXED)));
    if (histograms)
        stats_add_disk(object, histograms, buckets);
    return object;
}

static json_t *ring(const struct pvblk_counters *of)
{
    const struct named named[] = {
        COUNT(of, requests),      COUNT(of, reads),      COUNT(of, writes),
        COUNT(of, flushes),       COUNT(of, barriers),   COUNT(of, discards),
        COUNT(of, indirect),      COUNT(of, refused),    COUNT(of, failed),
        COUNT(of, copies),        COUNT(of, copy_calls), COUNT(of, copy_errors),
        COUNT(of, notifications), COUNT(of, swaps),      COUNT(of, waited),
    };
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "active",
                        json_integer(__atomic_load_n(&of->active, __ATOMIC_RELAXED)));
    return object;
}

static json_t *pv_disks(const struct guest *guest, bool buckets)
{
    struct guest_pvdisk info = {0};
    json_t *array = json_array();

    while (guest_pvdisks_next(guest, &info)) {
        json_t *object = disk_of(&info.io, info.histograms, daemon_disk_stop(guest, info.unit),
                                 info.vdev, buckets);

        json_object_set_new(object, "devid", json_integer(info.devid));
        json_object_set_new(object, "connected", json_boolean(info.connected));
        json_object_set_new(object, "ring", ring(&info.ring));
        json_array_append_new(array, object);
    }
    return array;
}

/* Where latencies are counted: in the worker's memory, or in what its process shares. */
static const struct blk_histograms *histograms_of(const struct guest *guest, unsigned drive)
{
    return guest->vm ? guest->vm->drive[drive].histograms
                     : &worker_process_histograms(guest)[drive];
}

static json_t *disks(const struct guest *guest, const struct vm_counts *counts, bool buckets)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < guest->config.n_disks; i++) {
        const struct disk_config *config = &guest->config.disk[i];
        unsigned drive = (unsigned)(config->vdev[2] - 'a');

        json_array_append_new(array,
                              disk_of(&counts->disk[drive], histograms_of(guest, drive),
                                      daemon_disk_stop(guest, drive), config->vdev, buckets));
    }
    return array;
}

static json_t *nic(const struct nic_config *config, const struct vm_counts_nic *nic)
{
    const struct net_counters *of = &nic->counters;
    const struct capture_counters *captured = &nic->capture;
    const struct named named[] = {
        COUNT(of, tx_packets),   COUNT(of, tx_bytes),     COUNT(of, tx_dropped),
        COUNT(of, tx_malformed), COUNT(of, tx_segmented), COUNT(of, tx_waits),
        COUNT(of, tx_limited),   COUNT(of, rx_packets),   COUNT(of, rx_bytes),
        COUNT(of, rx_filtered),  COUNT(of, rx_dropped),   COUNT(of, rx_segmented),
        COUNT(of, rx_waits),     COUNT(of, rx_limited),   COUNT(of, looped),
    };
    const struct named kept[] = {COUNT(captured, packets), COUNT(captured, bytes),
                                 COUNT(captured, dropped)};
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "devid", json_integer(config->devid));
    json_object_set_new(object, "model", json_string(nic_config_model(config)));
    json_object_set_new(object, "backend", json_string(nic_config_backend(config)));
    json_object_set_new(object, "link", json_boolean(nic->link));
    if (nic->captured)
        json_object_set_new(object, "capture", counters(kept, 3));
    return object;
}

static json_t *nics(const struct guest *guest, const struct vm_counts *counts)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < guest->config.n_nics; i++) {
        const struct nic_config *config = &guest->config.nic[i];

        if (counts->nic[config->devid].here)
            json_array_append_new(array, nic(config, &counts->nic[config->devid]));
    }
    return array;
}

static json_t *devices(const struct vm_counts *counts)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < counts->n_devices; i++) {
        const struct vm_counts_device *device = &counts->device[i];
        json_t *object = json_object();

        for (unsigned j = 0; j < device->n_counters; j++)
            json_object_set_new(object, device->counter[j].name,
                                json_integer((json_int_t)device->counter[j].value));
        json_array_append_new(array, json_pack("{s:s, s:s, s:o}", "name", device->name, "model",
                                               device->model, "counters", object));
    }
    return array;
}

static json_t *serials(const struct vm_counts *counts)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        if (counts->serial[i].here)
            json_array_append_new(array, json_pack("{s:i, s:I}", "port", (int)i, "dropped",
                                                   (json_int_t)counts->serial[i].dropped));
    return array;
}

/* What PV backends did with the guest's memory; nothing while they did nothing. */
static void add_grants(json_t *object, const struct guest *guest, const struct grant_counters *of)
{
    json_t *added;

    if (!guest->pv_watched || (!of->mapped && !of->maps && !of->errors))
        return;
    const struct named named[] = {
        COUNT(of, copies), COUNT(of, copied_bytes), COUNT(of, copy_calls), COUNT(of, maps),
        COUNT(of, unmaps), COUNT(of, swaps),        COUNT(of, swap_calls), COUNT(of, errors),
    };

    added = counters(named, sizeof(named) / sizeof(named[0]));
    json_object_set_new(added, "mapped", json_integer(of->mapped));
    json_object_set_new(object, "grants", added);
}

/* The vm and all in it but NICs stay as long as the guest is RUNNING: only this thread ends that.
 */
static void read_counts(const struct guest *guest, struct vm_counts *counts)
{
    if (!guest->vm) {
        if (!worker_process_vm_counts(guest, counts))
            *counts = (struct vm_counts){0};
        return;
    }
    vm_counts_read(guest->vm, counts);
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        sum_counters(guest, i, &counts->disk[i]);
}

static void add_counts(json_t *object, const struct guest *guest, const struct vm_counts *counts,
                       bool buckets)
{
    uint64_t bufpio_there = counts->features & HV_FEATURE_BUFFERED_PIO;
    const struct dispatch_vcpu *vcpu;
    unsigned vcpus;

    if (guest->vm) {
        vcpu = guest->vm->vcpu;
        vcpus = guest->vm->dispatch.vcpus;
    } else {
        vcpu = worker_process_vcpus(guest, &vcpus);
    }

    json_object_set_new(object, "worker", json_integer(guest->worker->params.id));
    json_object_set_new(object, "buffered_pio", json_boolean(bufpio_there));
    if (bufpio_there)
        json_object_set_new(object, "bufpio", bufpio(&counts->bufpio));
    json_object_set_new(object, "ioreqs", ioreqs(&counts->dispatch));
    stats_add_vcpus(object, vcpu, vcpus, buckets);
    json_object_set_new(object, "memory", memory(&counts->memory));
    json_object_set_new(object, "log_suppressed", json_integer((json_int_t)counts->log_suppressed));
    json_object_set_new(object, "disks", disks(guest, counts, buckets));
    json_object_set_new(object, "pv_disks", pv_disks(guest, buckets));
    add_grants(object, guest, &counts->grants);
    json_object_set_new(object, "serial", serials(counts));
    json_object_set_new(object, "nics", nics(guest, counts));
    json_object_set_new(object, "devices", devices(counts));
}

/* NULL when memory is short. */
static json_t *one_guest(const struct guest *guest, bool buckets)
{
    json_t *object = json_pack("{s:s, s:s, s:i}", "name", guest->name, "state",
                               guest_state_name(guest), "domid", (int)guest->domid);
    struct vm_counts *counts;

    if (!object || guest->state != GUEST_RUNNING)
        return object;
    counts = malloc(sizeof(*counts)); /* some 15 KiB */
    if (counts) {
        read_counts(guest, counts);
        add_counts(object, guest, counts, buckets);
        free(counts);
    } else {
        json_decref(object);
        object = NULL;
    }
    return object;
}

static json_t *pool_of(const struct pool_stats *of)
{
    return json_pack("{s:i, s:i, s:i, s:I, s:i, s:i, s:i, s:b, s:b}", "pages", (int)of->pages,
                     "free", (int)of->free, "low_water", (int)of->low_water, "exhausted",
                     (json_int_t)of->exhausted, "waiting", (int)of->waiting, "shares",
                     (int)of->shares, "guaranteed", (int)of->guaranteed, "locked", of->locked,
                     "huge", of->huge);
}

static json_t *aio_of(const struct aio_stats *of)
{
    const struct named named[] = {COUNT(of, submits), COUNT(of, requests), COUNT(of, retries)};
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "in_kernel", json_integer(of->in_kernel));
    json_object_set_new(object, "in_kernel_max", json_integer(of->in_kernel_max));
    return object;
}

static json_t *one_worker(const struct worker *worker, bool buckets)
{
    struct worker_counts counts;
    const struct worker_counts *of = &counts;
    const struct named named[] = {COUNT(of, wakeups), COUNT(of, polls_hit)};
    struct histogram_sum round_trip = {0}, io = {0};
    json_t *object;

    if (!worker->is_process)
        worker_counts_read(worker, &counts);
    else if (!worker_process_counts(worker, &counts))
        counts = (struct worker_counts){0};
    object = counters(named, 2);
    if (worker->is_process) {
        json_object_set_new(object, "pid", json_integer(worker_process_pid(worker)));
        json_object_set_new(object, "process", stats_worker_process(&counts.usage));
    }
    json_object_set_new(object, "id", json_integer(worker->params.id));
    json_object_set_new(object, "guests", json_integer(worker->guests));
    histogram_read(&counts.round_trip, &round_trip);
    stats_add_histogram(object, "round_trip", &round_trip, buckets);
    histogram_read(&counts.io, &io);
    stats_add_histogram(object, "io", &io, buckets);
    json_object_set_new(object, "pool", pool_of(&counts.pool));
    json_object_set_new(object, "aio", aio_of(&counts.aio));
    return object;
}

/* Lines of the main thread's that no guest has. */
static uint64_t peers_suppressed(const struct daemon *daemon)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PEER_LOGS; i++)
        sum += daemon->peer_logs.of[i].control.suppressed_total;
    return sum;
}

json_t *daemon_stats_of(struct daemon *daemon, const struct guest *only, bool buckets)
{
    json_t *workers = json_array(), *guests = json_array();
    uint64_t now = daemon->evloop.loop.ops->now_ns(daemon->evloop.loop.ctx);
    bool all = true;

    guest_names_refresh(daemon);
    for (unsigned i = 0; i < daemon->n_workers; i++)
        all &= !json_array_append_new(workers, one_worker(daemon->worker[i], buckets));
    for (const struct worker *worker = worker_process_next(daemon, NULL); worker;
         worker = worker_process_next(daemon, worker))
        all &= !json_array_insert_new(workers, 0, one_worker(worker, buckets));
    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (!only || guest == only)
            all &= !json_array_insert_new(guests, 0, one_guest(guest, buckets));
    if (!all) { /* none rather than some */
        json_decref(workers);
        json_decref(guests);
        return NULL;
    }
    return json_pack("{s:{s:i, s:I, s:s, s:I, s:o, s:o}, s:o}", "daemon", "pid", (int)getpid(),
                     "uptime_s", (json_int_t)((now - daemon->started_ns) / 1000000000), "version",
                     IOEMUD_VERSION, "log_suppressed", (json_int_t)peers_suppressed(daemon),
                     "process", stats_process(), "workers", workers, "guests", guests);
}

json_t *daemon_stats(struct daemon *daemon, const struct guest *only)
{
    return daemon_stats_of(daemon, only, false);
}
