/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/vm_counts.h"

#include <stdio.h>
#include <string.h>

#include "devices/count.h"

void vm_counts_move(void *to, const void *from, size_t size)
{
    uint64_t *into = to;
    const uint64_t *of = from;

    for (size_t i = 0; i < size / sizeof(*of); i++)
        __atomic_store_n(&into[i], __atomic_load_n(&of[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

size_t vm_counts_size(const struct vm_counts *counts)
{
    return offsetof(struct vm_counts, device) + counts->n_devices * sizeof(counts->device[0]);
}

/* Of a counter's struct, which consists of 64-bit words. */
#define COPY(to, from) vm_counts_move(&(to), (from), sizeof(to))

static void read_nics(const struct vm *vm, struct vm_counts *counts)
{
    for (unsigned i = 0; i < MACHINE_NICS; i++) {
        const struct net *net = __atomic_load_n(&vm->net[i], __ATOMIC_ACQUIRE);
        struct vm_counts_nic *nic = &counts->nic[i];
        const struct capture *capture;

        if (!net)
            continue;
        nic->here = 1;
        nic->link = net_link(net);
        COPY(nic->counters, net_counters(net));
        capture = net_capture(net);
        nic->captured = capture != NULL;
        if (capture)
            COPY(nic->capture, capture_counters(capture));
    }
}

static void read_device(const struct dev *dev, struct vm_counts_device *device)
{
    snprintf(device->name, sizeof(device->name), "%s", dev->name);
    snprintf(device->model, sizeof(device->model), "%s", dev->ops->model);
    for (unsigned i = 0; i < dev->n_counters && i < VM_COUNTS_OF_EACH; i++) {
        snprintf(device->counter[i].name, sizeof(device->counter[i].name), "%s",
                 dev->counters[i].name);
        device->counter[i].value = count_read(dev->counters[i].value);
        device->n_counters = i + 1;
    }
}

static void read_devices(const struct vm *vm, struct vm_counts *counts)
{
    const struct dev *dev;

    for (unsigned i = 0; (dev = machine_dev(vm->machine, i)); i++)
        if (dev->n_counters && counts->n_devices < VM_COUNTS_DEVICES)
            read_device(dev, &counts->device[counts->n_devices++]);
}

void vm_counts_read(struct vm *vm, struct vm_counts *ret_counts)
{
    const struct hv_ops *hv = vm->params.hv;
    const struct hv_counters *memory = hv->guest_counters(vm->params.guest);
    const struct grants *grants = hv->grants ? hv->grants(vm->params.guest) : NULL;

    *ret_counts = (struct vm_counts){0};
    COPY(ret_counts->dispatch, &vm->dispatch.counters);
    COPY(ret_counts->bufpio, &vm->bufpio.counters);
    COPY(ret_counts->memory, memory);
    if (grants && grants->counters)
        COPY(ret_counts->grants, grants->counters);
    /* Pages that were unmapped were mapped before: so the difference is none too small. */
    ret_counts->memory.map_pages = count_read(&memory->map_pages);
    ret_counts->log_suppressed = count_read(&vm->log_limit.suppressed_total);
    ret_counts->features = hv->guest_info(vm->params.guest)->features;
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        if (vm->chr[i])
            ret_counts->serial[i] = (struct vm_counts_serial){
                .here = 1, .dropped = count_read(chr_dropped(vm->chr[i]))};
    pthread_mutex_lock(&vm->nics_lock);
    read_nics(vm, ret_counts);
    read_devices(vm, ret_counts);
    pthread_mutex_unlock(&vm->nics_lock);
}

void vm_counts_read_disks(const struct vm *vm, struct vm_counts *counts)
{
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++) {
        counts->disk[i] = vm->past[i];
        if (vm->blk[i])
            vm_counts_add_disk(&counts->disk[i], blk_counters(vm->blk[i]));
    }
}

void worker_counts_read(const struct worker *worker, struct worker_counts *ret_counts)
{
    ret_counts->wakeups = count_read(&worker->watcher.wakeups);
    ret_counts->polls_hit = count_read(&worker->watcher.polls_hit);
    COPY(ret_counts->round_trip, &worker->round_trip);
    COPY(ret_counts->io, &worker->io);
    COPY(ret_counts->pool, pool_stats(worker->pool));
    COPY(ret_counts->aio, aio_stats(worker->aio));
}

/* Printable, so that it is good UTF-8 for JSON, and it ends. */
static void check_name(vm_counts_name name)
{
    name[VM_COUNTS_NAME_MAX] = '\0';
    for (char *at = name; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

static void check_device(struct vm_counts_device *device)
{
    check_name(device->name);
    check_name(device->model);
    if (device->n_counters > VM_COUNTS_OF_EACH)
        device->n_counters = VM_COUNTS_OF_EACH;
    for (unsigned i = 0; i < device->n_counters; i++)
        check_name(device->counter[i].name);
}

void vm_counts_take(struct vm_counts *ret_counts, const struct vm_counts *from)
{
    vm_counts_move(ret_counts, from, offsetof(struct vm_counts, device));
    if (ret_counts->n_devices > VM_COUNTS_DEVICES)
        ret_counts->n_devices = VM_COUNTS_DEVICES;
    vm_counts_move(ret_counts->device, from->device,
                   ret_counts->n_devices * sizeof(from->device[0]));
    for (unsigned i = 0; i < ret_counts->n_devices; i++)
        check_device(&ret_counts->device[i]);
}

void vm_counts_add_disk(struct blk_counters *sum, const struct blk_counters *of)
{
#define ADD(member) sum->member += __atomic_load_n(&of->member, __ATOMIC_RELAXED)
    ADD(reads);
    ADD(writes);
    ADD(flushes);
    ADD(discards);
    ADD(read_bytes);
    ADD(written_bytes);
    ADD(discarded_bytes);
    ADD(errors);
    ADD(cancelled);
    ADD(io_ns);
    ADD(in_flight);
#undef ADD
}
