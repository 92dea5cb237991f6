/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/vm_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/trace.h"
#include "daemon/vm.h"

struct vm_trace {
    struct vm *vm;
    struct trace_ring *ring;
    struct trace_filter filter;
    uint64_t left; /* so many more are wanted */
    uint32_t in;   /* the ring's */
};

static void locate(struct machine *machine, struct trace_entry *entry)
{
    const struct dispatch_request *request = &entry->request;
    const struct dev *dev = NULL;
    uint64_t first = 0, last = 0;

    if (request->type == IOREQ_PCI_CONFIG && !(request->addr >> 40))
        dev = machine_function(machine, (uint8_t)(request->addr >> 32));
    else if (request->type == IOREQ_PIO || request->type == IOREQ_COPY)
        dev = machine_device_at(machine, request->type == IOREQ_PIO ? BUS_PORT : BUS_MMIO,
                                request->addr, &first, &last);
    entry->offset = request->addr - first;
    entry->range = last - first + 1;
    if (!dev)
        return;
    snprintf(entry->device, sizeof(entry->device), "%s", dev->name);
    snprintf(entry->model_name, sizeof(entry->model_name), "%s", dev->ops->model);
}

/* A ring that is full costs the newest: what is in it is in order and without gaps. */
static void on_request(void *ctx, const struct dispatch_request *request)
{
    struct vm_trace *trace = ctx;
    struct trace_ring *ring = trace->ring;
    const struct loop *loop = &trace->vm->worker->evloop.loop;
    struct trace_entry entry = {.request = *request};
    uint32_t out = __atomic_load_n(&ring->out, __ATOMIC_ACQUIRE);

    locate(trace->vm->machine, &entry);
    if (!trace->left || !trace_filter_wants(&trace->filter, &entry))
        return;
    if (trace->in - out >= TRACE_RING) {
        __atomic_store_n(&ring->lost, ring->lost + 1, __ATOMIC_RELAXED);
        return;
    }
    if (request->illegal)
        snprintf(entry.illegal_text, sizeof(entry.illegal_text), "%s", request->illegal);
    entry.request.illegal = NULL;
    entry.at_ns = loop->ops->now_ns(loop->ctx);
    ring->entry[trace->in % TRACE_RING] = entry;
    if (!--trace->left)
        __atomic_store_n(&ring->full, 1, __ATOMIC_RELAXED);
    /* Pairs with the reader's look at `in`: the entry is there by then. */
    __atomic_store_n(&ring->in, ++trace->in, __ATOMIC_SEQ_CST);
    /* Pairs with the reader's, who sets it and then looks at `in` again. */
    if (__atomic_exchange_n(&ring->wanted, 0, __ATOMIC_SEQ_CST))
        trace->vm->params.traced(trace->vm->params.ctx);
}

int vm_trace_begin(struct vm *vm, int fd, const struct trace_filter *filter, uint64_t count)
{
    struct vm_trace *trace = vm->trace ? NULL : calloc(1, sizeof(*trace));
    void *ring;
    int err = 0;

    if (!trace) {
        close(fd);
        return vm->trace ? -EBUSY : -ENOMEM;
    }
    ring = mmap(NULL, sizeof(*trace->ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring == MAP_FAILED)
        err = -errno;
    close(fd);
    if (err) {
        free(trace);
        return err;
    }
    *trace = (struct vm_trace){.vm = vm, .ring = ring, .filter = *filter, .left = count};
    vm->trace = trace;
    vm->dispatch.trace_ctx = trace;
    vm->dispatch.traced = on_request;
    return 0;
}

void vm_trace_end(struct vm *vm)
{
    if (!vm->trace)
        return;
    vm->dispatch.traced = NULL;
    munmap(vm->trace->ring, sizeof(*vm->trace->ring));
    free(vm->trace);
    vm->trace = NULL;
}
