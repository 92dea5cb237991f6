/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics as JSON. Counters are written by their worker alone and read here while it runs: each
 * is an aligned word, read once; a figure may be a request older than its neighbour, never torn.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/guest_pvdisk.h"
#include "daemon/stats.h"
#include "devices/backend/capture.h"
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
    /* Pages that were unmapped were mapped before: read in this order the difference is none too
     * small. */
    uint64_t unmapped = count_read(&of->unmap_pages), mapped = count_read(&of->map_pages);
    const struct named named[] = {
        COUNT(of, map_calls),   COUNT(of, map_pages),    COUNT(of, unmap_pages),
        COUNT(of, invalidates), COUNT(of, map_failures), COUNT(of, holes),
        COUNT(of, hypercalls),
    };
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "mapped_pages", json_integer((json_int_t)(mapped - unmapped)));
    return object;
}

json_t *daemon_disk_stop(const struct guest *guest, unsigned unit)
{
    static const char *const op[] = {[BLK_READ] = "read",
                                     [BLK_WRITE] = "write",
                                     [BLK_FLUSH] = "flush",
                                     [BLK_DISCARD] = "discard"};
    const struct blk_stop *stop = guest_disk_stop(guest, unit);

    return stop ? json_pack("{s:s, s:I, s:s}", "op", op[stop->op], "sector",
                            (json_int_t)stop->sector, "error", strerror(-stop->error))
                : NULL;
}

/* Of all media that were in the drive. */
static void sum_counters(const struct guest *guest, unsigned drive, struct blk_counters *ret_sum)
{
    *ret_sum = guest->past[drive];
    if (guest->blk[drive])
        guest_add_counters(ret_sum, blk_counters(guest->blk[drive]));
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

static json_t *disk(const struct guest *guest, const struct disk_config *config, bool buckets)
{
    unsigned drive = (unsigned)(config->vdev[2] - 'a');
    struct blk_counters sum;

    sum_counters(guest, drive, &sum);
    return disk_of(&sum, guest->vm->drive[drive].histograms, daemon_disk_stop(guest, drive),
                   config->vdev, buckets);
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
        json_t *object = disk_of(info.io, info.histograms, daemon_disk_stop(guest, info.unit),
                                 info.vdev, buckets);

        json_object_set_new(object, "devid", json_integer(info.devid));
        json_object_set_new(object, "connected", json_boolean(info.connected));
        json_object_set_new(object, "ring", ring(info.ring));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *nic(const struct guest *guest, const struct nic_config *config,
                   const struct net *net)
{
    const struct net_counters *of = net_counters(net);
    const struct capture *capture = net_capture(net);
    const struct named named[] = {
        COUNT(of, tx_packets),   COUNT(of, tx_bytes),     COUNT(of, tx_dropped),
        COUNT(of, tx_malformed), COUNT(of, tx_segmented), COUNT(of, tx_waits),
        COUNT(of, tx_limited),   COUNT(of, rx_packets),   COUNT(of, rx_bytes),
        COUNT(of, rx_filtered),  COUNT(of, rx_dropped),   COUNT(of, rx_segmented),
        COUNT(of, rx_waits),     COUNT(of, rx_limited),   COUNT(of, looped),
    };
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "devid", json_integer(config->devid));
    json_object_set_new(object, "model", json_string(nic_config_model(config)));
    json_object_set_new(object, "backend", json_string(nic_config_backend(config)));
    json_object_set_new(object, "link", json_boolean(net_link(net)));
    if (capture) {
        const struct capture_counters *captured = capture_counters(capture);
        const struct named kept[] = {COUNT(captured, packets), COUNT(captured, bytes),
                                     COUNT(captured, dropped)};

        json_object_set_new(object, "capture", counters(kept, 3));
    }
    return object;
}

/* With nics_lock held. */
static json_t *nics(const struct guest *guest)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < guest->config.n_nics; i++) {
        const struct nic_config *config = &guest->config.nic[i];
        const struct net *net = __atomic_load_n(&guest->vm->net[config->devid], __ATOMIC_ACQUIRE);

        if (net)
            json_array_append_new(array, nic(guest, config, net));
    }
    return array;
}

/* With nics_lock held: NICs come and go. */
static json_t *devices(const struct guest *guest)
{
    json_t *array = json_array();
    const struct dev *dev;

    for (unsigned i = 0; (dev = machine_dev(guest->vm->machine, i)); i++) {
        json_t *object = json_object();

        for (unsigned j = 0; j < dev->n_counters; j++) {
            uint64_t value = __atomic_load_n(dev->counters[j].value, __ATOMIC_RELAXED);

            json_object_set_new(object, dev->counters[j].name, json_integer((json_int_t)value));
        }
        if (dev->n_counters)
            json_array_append_new(array, json_pack("{s:s, s:s, s:o}", "name", dev->name, "model",
                                                   dev->ops->model, "counters", object));
        else
            json_decref(object);
    }
    return array;
}

static json_t *serials(const struct guest *guest)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < MACHINE_SERIALS; i++) {
        const struct chr *chr = guest->vm->chr[i];

        if (chr)
            json_array_append_new(
                array, json_pack("{s:i, s:I}", "port", (int)i, "dropped",
                                 (json_int_t)__atomic_load_n(chr_dropped(chr), __ATOMIC_RELAXED)));
    }
    return array;
}

/* What PV backends did with the guest's memory; nothing while they did nothing. */
static void add_grants(json_t *object, const struct guest *guest)
{
    const struct grants *grants =
        guest->pv_watched && guest->hv->grants ? guest->hv->grants(guest->hv_guest) : NULL;
    const struct grant_counters *of = grants ? grants->counters : NULL;
    uint32_t mapped = of ? __atomic_load_n(&of->mapped, __ATOMIC_RELAXED) : 0;
    json_t *added;

    if (!of || (!mapped && !count_read(&of->maps) && !count_read(&of->errors)))
        return;
    const struct named named[] = {
        COUNT(of, copies), COUNT(of, copied_bytes), COUNT(of, copy_calls), COUNT(of, maps),
        COUNT(of, unmaps), COUNT(of, swaps),        COUNT(of, swap_calls), COUNT(of, errors),
    };

    added = counters(named, sizeof(named) / sizeof(named[0]));
    json_object_set_new(added, "mapped", json_integer(mapped));
    json_object_set_new(object, "grants", added);
}

/* The vm and all in it but NICs stay as long as the guest is RUNNING: only this thread ends that.
 */
static json_t *one_guest(const struct guest *guest, bool buckets)
{
    json_t *object = json_pack("{s:s, s:s, s:i}", "name", guest->name, "state",
                               guest_state_name(guest), "domid", (int)guest->domid);
    uint32_t features;
    json_t *disks;

    if (guest->state != GUEST_RUNNING)
        return object;
    disks = json_array();
    for (unsigned i = 0; i < guest->config.n_disks; i++)
        json_array_append_new(disks, disk(guest, &guest->config.disk[i], buckets));
    json_object_set_new(object, "worker", json_integer(guest->worker->params.id));
    features = guest->hv->guest_info(guest->hv_guest)->features;
    json_object_set_new(object, "buffered_pio", json_boolean(features & HV_FEATURE_BUFFERED_PIO));
    if (features & HV_FEATURE_BUFFERED_PIO)
        json_object_set_new(object, "bufpio", bufpio(&guest->vm->bufpio.counters));
    json_object_set_new(object, "ioreqs", ioreqs(&guest->vm->dispatch.counters));
    stats_add_vcpus(object, guest->vm->vcpu, guest->vm->dispatch.vcpus, buckets);
    json_object_set_new(object, "memory", memory(guest->hv->guest_counters(guest->hv_guest)));
    json_object_set_new(object, "log_suppressed",
                        json_integer((json_int_t)__atomic_load_n(
                            &guest->vm->log_limit.suppressed_total, __ATOMIC_RELAXED)));
    json_object_set_new(object, "disks", disks);
    json_object_set_new(object, "pv_disks", pv_disks(guest, buckets));
    add_grants(object, guest);
    json_object_set_new(object, "serial", serials(guest));
    pthread_mutex_lock(&guest->vm->nics_lock);
    json_object_set_new(object, "nics", nics(guest));
    json_object_set_new(object, "devices", devices(guest));
    pthread_mutex_unlock(&guest->vm->nics_lock);
    return object;
}

static json_t *pool_of(const struct pool_stats *of)
{
    uint32_t available = __atomic_load_n(&of->free, __ATOMIC_RELAXED);
    uint32_t low_water = __atomic_load_n(&of->low_water, __ATOMIC_RELAXED);

    return json_pack("{s:i, s:i, s:i, s:I, s:i, s:i, s:i, s:b, s:b}", "pages", (int)of->pages,
                     "free", (int)available, "low_water", (int)low_water, "exhausted",
                     (json_int_t)count_read(&of->exhausted), "waiting",
                     (int)__atomic_load_n(&of->waiting, __ATOMIC_RELAXED), "shares",
                     (int)__atomic_load_n(&of->shares, __ATOMIC_RELAXED), "guaranteed",
                     (int)__atomic_load_n(&of->guaranteed, __ATOMIC_RELAXED), "locked", of->locked,
                     "huge", of->huge);
}

static json_t *aio_of(const struct aio_stats *of)
{
    const struct named named[] = {COUNT(of, submits), COUNT(of, requests), COUNT(of, retries)};
    json_t *object = counters(named, sizeof(named) / sizeof(named[0]));

    json_object_set_new(object, "in_kernel",
                        json_integer(__atomic_load_n(&of->in_kernel, __ATOMIC_RELAXED)));
    json_object_set_new(object, "in_kernel_max",
                        json_integer(__atomic_load_n(&of->in_kernel_max, __ATOMIC_RELAXED)));
    return object;
}

static json_t *one_worker(const struct worker *worker, bool buckets)
{
    const struct named named[] = {COUNT(&worker->watcher, wakeups),
                                  COUNT(&worker->watcher, polls_hit)};
    struct histogram_sum round_trip = {0}, io = {0};
    json_t *object = counters(named, 2);

    json_object_set_new(object, "id", json_integer(worker->params.id));
    json_object_set_new(object, "guests", json_integer(worker->guests));
    histogram_read(&worker->round_trip, &round_trip);
    stats_add_histogram(object, "round_trip", &round_trip, buckets);
    histogram_read(&worker->io, &io);
    stats_add_histogram(object, "io", &io, buckets);
    json_object_set_new(object, "pool", pool_of(pool_stats(worker->pool)));
    json_object_set_new(object, "aio", aio_of(aio_stats(worker->aio)));
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

    guest_names_refresh(daemon);
    for (unsigned i = 0; i < daemon->n_workers; i++)
        json_array_append_new(workers, one_worker(daemon->worker[i], buckets));
    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (!only || guest == only)
            json_array_insert_new(guests, 0, one_guest(guest, buckets));
    return json_pack("{s:{s:i, s:I, s:s, s:I, s:o, s:o}, s:o}", "daemon", "pid", (int)getpid(),
                     "uptime_s", (json_int_t)((now - daemon->started_ns) / 1000000000), "version",
                     IOEMUD_VERSION, "log_suppressed", (json_int_t)peers_suppressed(daemon),
                     "process", stats_process(), "workers", workers, "guests", guests);
}

json_t *daemon_stats(struct daemon *daemon, const struct guest *only)
{
    return daemon_stats_of(daemon, only, false);
}
