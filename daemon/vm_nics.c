/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NICs of a guest: their ways out, and how they come and go. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/vm.h"
#include "devices/backend/capture.h"

static const struct loop *loop_of(const struct vm *vm)
{
    return &vm->worker->evloop.loop;
}

/* Whoever reads statistics has finished with what he could still see. */
static void wait_for_readers(struct vm *vm)
{
    pthread_mutex_lock(&vm->nics_lock);
    pthread_mutex_unlock(&vm->nics_lock);
}

void vm_nic_discard(struct vm_nic *nic)
{
    if (!*nic->model)
        return;
    if (nic->fd >= 0)
        close(nic->fd);
    if (nic->keep_fd >= 0)
        close(nic->keep_fd);
    if (nic->rom_fd >= 0)
        close(nic->rom_fd);
    nic->fd = nic->keep_fd = nic->rom_fd = -1;
}

static int on_dial(void *ctx)
{
    const struct vm_way_out *way = ctx;

    way->vm->params.dial(way->vm->params.ctx, way->index);
    return -EINPROGRESS;
}

static void on_ended(void *ctx)
{
    const struct vm_way_out *way = ctx;

    host_log(&way->vm->host, HOST_LOG_WARN, "net", "event=nic-network-gone nic=%u", way->index);
}

static int open_dgram(struct vm *vm, unsigned index, const struct vm_nic *nic,
                      struct net_port **ret_port)
{
    struct vm_way_out *way = &vm->way_out[index];
    const struct net_dgram_options options = {
        .fd = nic->fd,
        .keep_fd = nic->keep_fd,
        .connection = nic->connection,
        .peer = nic->peer,
        .dial = nic->dialled ? on_dial : NULL,
        .ended = on_ended,
        .ctx = way,
    };
    int err = net_dgram_open(&options, loop_of(vm), ret_port);

    *way = (struct vm_way_out){.vm = vm, .index = index, .dgram = err ? NULL : *ret_port};
    return err;
}

static int open_port(struct vm *vm, unsigned index, struct vm_nic *nic, struct net_port **ret_port,
                     char *why)
{
    const struct loop *loop = loop_of(vm);
    unsigned forward = 0;
    int err;

    switch (nic->kind) {
    case VM_NET_TAP:
        return net_tap_open(nic->fd, true, loop, ret_port);
    case VM_NET_DGRAM:
        return open_dgram(vm, index, nic, ret_port);
    case VM_NET_STREAM:
    case VM_NET_LISTENER:
        return net_stream_open(nic->fd, nic->kind == VM_NET_LISTENER, loop, ret_port);
    case VM_NET_USER:
        err = net_user_open(&nic->user, loop, ret_port, &forward);
        if (err == -EADDRINUSE)
            snprintf(why, VM_WHY_SIZE, "port %u of the host cannot be forwarded: it is in use",
                     nic->user.forward[forward].host_port);
        return err;
    case VM_NET_NULL:
        break;
    }
    return net_null_open(loop, ret_port);
}

static int open_net(struct vm *vm, unsigned index, struct vm_nic *nic, char *why)
{
    char reason[VM_WHY_SIZE] = "";
    struct net_port *port;
    struct net *net = NULL;
    int err = open_port(vm, index, nic, &port, reason);

    if (!err) {
        nic->fd = nic->keep_fd = -1; /* the port's by now */
        err = net_open(port, &net);
        if (err) {
            vm->way_out[index].dgram = NULL;
            port->ops->close(port);
        }
    }
    if (err) {
        snprintf(why, VM_WHY_SIZE, "NIC %u: %.120s", index, *reason ? reason : strerror(-err));
        return err;
    }
    net_set_limits(net, &nic->limits);
    if (!nic->link)
        net_set_link(net, false);
    __atomic_store_n(&vm->net[index], net, __ATOMIC_RELEASE);
    return 0;
}

static void close_net(struct vm *vm, unsigned index)
{
    struct net *net = vm->net[index];

    __atomic_store_n(&vm->net[index], NULL, __ATOMIC_RELEASE);
    vm->way_out[index].dgram = NULL;
    wait_for_readers(vm);
    net_close(net);
}

static struct machine_nic machine_nic(const struct vm *vm, unsigned index, const struct vm_nic *nic)
{
    struct machine_nic machine_nic = {
        .model = nic->model,
        .net = vm->net[index],
        .slot = nic->slot,
        .rom = nic->rom,
        .rom_bytes = nic->rom_bytes,
    };

    memcpy(machine_nic.mac, nic->mac, sizeof(nic->mac));
    return machine_nic;
}

static void run_reap(void *arg)
{
    struct vm *vm = arg;

    for (unsigned i = 0; i < MACHINE_NICS; i++)
        if (vm->net[i] && !machine_has_nic(vm->machine, i))
            close_net(vm, i);
}

void vm_nics_released(struct vm *vm)
{
    if (!vm->machine)
        return; /* it is being made, or was just destroyed with nobody to see it */
    wait_for_readers(vm);
    loop_of(vm)->ops->defer(loop_of(vm)->ctx, &vm->reap_task);
}

int vm_nics_open(struct vm *vm, char *why)
{
    vm->reap_task = (struct loop_task){.run = run_reap, .arg = vm};
    for (unsigned i = 0; vm->params.nic && i < MACHINE_NICS; i++) {
        struct vm_nic *nic = &vm->params.nic[i];
        int err = *nic->model ? open_net(vm, i, nic, why) : 0;

        if (err)
            return err;
        if (*nic->model)
            vm->params.spec.nic[i] = machine_nic(vm, i, nic);
    }
    return 0;
}

void vm_nics_close(struct vm *vm)
{
    loop_of(vm)->ops->undefer(loop_of(vm)->ctx, &vm->reap_task);
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        if (vm->net[i])
            close_net(vm, i);
}

int vm_nic_add(struct vm *vm, unsigned index, struct vm_nic *nic, char *why)
{
    struct machine_nic machine_nic_spec;
    int err;

    if (vm->net[index]) {
        snprintf(why, VM_WHY_SIZE, "the guest has a NIC %u already, or has not let go of it",
                 index);
        err = -EEXIST;
        goto discard;
    }
    err = open_net(vm, index, nic, why);
    if (err)
        goto discard;
    machine_nic_spec = machine_nic(vm, index, nic);
    err = machine_add_nic(vm->machine, index, &machine_nic_spec);
    if (err) {
        snprintf(why, VM_WHY_SIZE, "NIC %u (%s): %s", index, nic->model,
                 err == -EEXIST ? "there is something in its PCI slot" : strerror(-err));
        close_net(vm, index);
    }
    return err;

discard:
    vm_nic_discard(nic);
    return err;
}

int vm_nic_remove(struct vm *vm, unsigned index, bool force)
{
    int err = 0;

    if (!machine_has_nic(vm->machine, index))
        return -ENOENT;
    bufpio_take_out(&vm->bufpio); /* its data port goes, too */
    if (force)
        machine_remove_nic(vm->machine, index);
    else if (!machine_eject_nic(vm->machine, index))
        err = -ENOTSUP;
    bufpio_arm(&vm->bufpio);
    return err;
}

int vm_nic_link(struct vm *vm, unsigned index, bool up)
{
    if (!vm->net[index])
        return -ENOENT;
    net_set_link(vm->net[index], up);
    return 0;
}

void vm_nic_dialled(struct vm *vm, unsigned index, bool connected)
{
    if (vm->way_out[index].dgram)
        net_dgram_dialled(vm->way_out[index].dgram, connected);
}

int vm_nic_limits(struct vm *vm, unsigned index, const struct net_limits *limits)
{
    if (!vm->net[index])
        return -ENOENT;
    net_set_limits(vm->net[index], limits);
    return 0;
}

int vm_nic_capture(struct vm *vm, unsigned index, int fd, uint64_t limit)
{
    struct capture *capture = NULL;
    int err = vm->net[index] ? 0 : -ENOENT;

    if (!err && fd >= 0)
        err = capture_open(fd, limit, loop_of(vm), &capture);
    if (err) {
        if (fd >= 0)
            close(fd);
        return err;
    }
    /* The one before is freed in there. */
    pthread_mutex_lock(&vm->nics_lock);
    net_set_capture(vm->net[index], capture);
    pthread_mutex_unlock(&vm->nics_lock);
    return 0;
}
