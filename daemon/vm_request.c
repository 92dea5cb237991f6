/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/vm_request.h"

#include <errno.h>
#include <unistd.h>

#include "daemon/vm_counts.h"

static void restart(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    vm_restart(vm, request->units);
}

static void renew_serial(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    vm_renew_serial(vm, request->serial.port, request->serial.fd);
}

static void set_limits(struct vm *vm, unsigned nics, const struct net_limits *limit)
{
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        if (nics & 1u << i)
            vm_nic_limits(vm, i, &limit[i]);
}

static void change_live(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    const struct vm_live *live = &request->live;

    if (live->set_budget)
        vm->dispatch.budget = live->budget;
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        if (live->policies & 1u << i)
            vm_set_policies(vm, i, live->on_read_error[i], live->on_write_error[i]);
    set_limits(vm, live->limits, live->limit);
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        if (live->links & 1u << i)
            vm_nic_link(vm, i, live->up & 1u << i);
}

static void settle(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    machine_set_unplug(vm->machine, request->settle.unplug);
    set_limits(vm, request->settle.nics, request->settle.limit);
}

static void add_vcpu(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    machine_set_vcpu(vm->machine, request->vcpu, true);
}

static void change_medium(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    unsigned drive = request->medium.drive;
    struct raw_image *raw = &request->medium.raw;
    struct blk *before = NULL, *after = NULL;

    if (vm->leaving[drive])
        reply->err = -EBUSY;
    if (!reply->err && raw->fd >= 0)
        reply->err = vm_medium_open(vm, raw, &after);
    if (!reply->err)
        reply->err = vm_eject(vm, drive, request->medium.force, &before);
    if (!reply->err && after)
        reply->err = vm_insert(vm, drive, after);
    if (reply->err) /* the new one has not been anybody's */
        vm_medium_close(vm, after);
    raw_discard(raw);
    if (before) {
        vm_counts_add_disk(&vm->past[drive], blk_counters(before));
        vm->past[drive].in_flight = 0;
        vm->leaving[drive] = before;
    }
    reply->closing = before;
}

static void close_medium(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    struct blk **leaving = &vm->leaving[request->medium.drive];
    struct blk *blk = *leaving;

    *leaving = NULL;
    vm_medium_close(vm, blk);
}

/* There is nobody else in this process to whom they would matter. */
static void tune(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    if (!vm->worker->is_process)
        return;
    log_set_level((struct log *)(uintptr_t)vm->params.log, request->tune.log_level);
    watcher_set_limit(&vm->worker->watcher, request->tune.poll_us);
}

static void nic_link(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    reply->err = vm_nic_link(vm, request->nic.number, request->nic.flag);
}

static void nic_dialled(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    vm_nic_dialled(vm, request->nic.number, request->nic.flag);
}

static void nic_capture(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    reply->err = vm_nic_capture(vm, request->nic.number, request->nic.fd, request->nic.limit);
}

static void nic_add(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    reply->err = vm_nic_add(vm, request->nic.number, &request->nic.nic, reply->why);
}

static void nic_remove(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    reply->err = vm_nic_remove(vm, request->nic.number, request->nic.flag);
}

static void trace(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    if (request->trace.fd >= 0)
        reply->err =
            vm_trace_begin(vm, request->trace.fd, &request->trace.filter, request->trace.count);
    else
        vm_trace_end(vm);
}

static void pv_open(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    reply->err = vm_pv_open(vm, &request->pv_open);
}

static void pv_connect(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    struct vm_pv *pv = vm_pv_find(vm, request->pv.unit);

    reply->err = pv ? vm_pv_connect(pv, &request->pv.rings) : -ENOENT;
}

static void pv_disconnect(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    struct vm_pv *pv = vm_pv_find(vm, request->pv.unit);

    reply->drained = !pv || vm_pv_disconnect(pv);
}

static void pv_close(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    struct vm_pv *pv = vm_pv_find(vm, request->pv.unit);

    if (pv)
        vm_pv_close(pv);
}

static void pv_hear(struct vm *vm, struct vm_request *request, struct vm_reply *reply)
{
    unsigned unit = request->pv_hear.unit;

    if (request->pv_hear.fd >= 0)
        reply->err = vm_pv_hear(vm, unit, request->pv_hear.serial, request->pv_hear.fd);
    else
        vm_pv_unhear(vm, unit);
}

void vm_request_run(struct vm *vm, struct vm_request *request, struct vm_reply *ret_reply)
{
    static void (*const run[])(struct vm * vm, struct vm_request * request,
                               struct vm_reply * reply) = {
        [VM_RESTART] = restart,       [VM_RENEW_SERIAL] = renew_serial,
        [VM_LIVE] = change_live,      [VM_SETTLE] = settle,
        [VM_ADD_VCPU] = add_vcpu,     [VM_CHANGE] = change_medium,
        [VM_CLOSE] = close_medium,    [VM_TUNE] = tune,
        [VM_NIC_LINK] = nic_link,     [VM_NIC_CAPTURE] = nic_capture,
        [VM_NIC_ADD] = nic_add,       [VM_NIC_REMOVE] = nic_remove,
        [VM_TRACE] = trace,           [VM_PV_OPEN] = pv_open,
        [VM_PV_CONNECT] = pv_connect, [VM_PV_DISCONNECT] = pv_disconnect,
        [VM_PV_CLOSE] = pv_close,     [VM_PV_HEAR] = pv_hear,
        [VM_NIC_DIALLED] = nic_dialled,
    };

    _Static_assert(sizeof(run) / sizeof(run[0]) == VM_OPS, "each has its function");
    *ret_reply = (struct vm_reply){0};
    run[request->op](vm, request, ret_reply);
}

unsigned vm_request_fds(struct vm_request *request, int *ret_fds[VM_REQUEST_FDS])
{
    switch (request->op) {
    case VM_RENEW_SERIAL:
        ret_fds[0] = &request->serial.fd;
        return 1;
    case VM_CHANGE:
        ret_fds[0] = &request->medium.raw.fd;
        return 1;
    case VM_TRACE:
        ret_fds[0] = &request->trace.fd;
        return 1;
    case VM_NIC_CAPTURE:
        ret_fds[0] = &request->nic.fd;
        return 1;
    case VM_NIC_ADD:
        ret_fds[0] = &request->nic.nic.fd;
        ret_fds[1] = &request->nic.nic.keep_fd;
        ret_fds[2] = &request->nic.nic.rom_fd;
        return 3;
    case VM_PV_OPEN:
        return vm_pv_fds(&request->pv_open, ret_fds);
    case VM_PV_HEAR:
        ret_fds[0] = &request->pv_hear.fd;
        return 1;
    default:
        return 0;
    }
}

void vm_request_discard(struct vm_request *request)
{
    int *fds[VM_REQUEST_FDS];
    unsigned count = vm_request_fds(request, fds);

    if (request->op == VM_PV_OPEN) /* a connection is more than a descriptor */
        vm_disk_discard(&request->pv_open.disk);
    for (unsigned i = 0; i < count; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}
