/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/vm.h"
#include "devices/backend/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/vm_pv.h"
#include "daemon/vm_trace.h"

/* Between two attempts at a request whose memory cannot be had. */
#define STARVED_S 0.01

static uint64_t loop_now(const struct vm *vm)
{
    const struct loop *loop = &vm->worker->evloop.loop;

    return loop->ops->now_ns(loop->ctx);
}

/* What the devices may ask of us: devices/host.h. */

/* True when the guest may have a line now; tells of those that it did not get. */
static bool may_log(struct vm *vm)
{
    uint64_t suppressed;

    if (!log_allow(&vm->log_limit, loop_now(vm), &suppressed))
        return false;
    if (suppressed)
        log_write(vm->params.log, LOG_WARNING, vm->params.name, "event=log-limit suppressed=%llu",
                  (unsigned long long)suppressed);
    return true;
}

/* Of a guest that is gone there is nothing to tell. Returns `err`. */
static int unreachable(struct vm *vm, int err, const char *access)
{
    if (err && err != -ESRCH && may_log(vm))
        log_write(vm->params.log, LOG_ERR, vm->params.name,
                  "event=memory-unreachable access=%s error=\"%s\"", access, strerror(-err));
    return err;
}

static int host_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    struct vm *vm = ctx;

    return unreachable(vm, guestmem_read(vm->params.hv, vm->params.guest, gpa, buf, len), "read");
}

static int host_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    struct vm *vm = ctx;

    return unreachable(vm, guestmem_write(vm->params.hv, vm->params.guest, gpa, buf, len), "write");
}

static uint64_t host_rest(void *ctx)
{
    struct vm *vm = ctx;

    return guestmem_rest(&vm->rest, vm->params.hv->guest_counters(vm->params.guest), loop_now(vm));
}

/* The guest was interrupted, most often for a disk request that kept us waiting longer than it was
 * watched: it will ask its device at once. */
static void expect_guest(struct vm *vm)
{
    if (!vm->watch.active && !vm->stopped && ev_is_active(&vm->io))
        watch_after(&vm->worker->watcher, &vm->watch, WATCH_SERVED);
}

static void host_isa(void *ctx, unsigned irq, bool level)
{
    struct vm *vm = ctx;

    vm->params.hv->isa_irq(vm->params.guest, irq, level);
    if (level)
        expect_guest(vm);
}

static void host_intx(void *ctx, unsigned slot, unsigned pin, bool level)
{
    struct vm *vm = ctx;

    vm->params.hv->pci_intx(vm->params.guest, slot, pin, level);
    if (level)
        expect_guest(vm);
}

static void host_link(void *ctx, unsigned link, unsigned irq)
{
    struct vm *vm = ctx;

    vm->params.hv->pci_link_route(vm->params.guest, link, irq);
}

static void host_send_msi(void *ctx, uint64_t address, uint32_t data)
{
    struct vm *vm = ctx;

    vm->params.hv->msi(vm->params.guest, address, data);
}

static uint64_t host_now(void *ctx)
{
    return loop_now(ctx);
}

static void rearm_timer(struct vm *vm)
{
    uint64_t first = UINT64_MAX, now = loop_now(vm);

    for (struct host_timer *timer = vm->timers; timer; timer = timer->impl)
        if (timer->deadline_ns < first)
            first = timer->deadline_ns;
    ev_timer_stop(vm->worker->ev, &vm->timer);
    if (first == UINT64_MAX)
        return;
    ev_now_update(vm->worker->ev);
    ev_timer_set(&vm->timer, first > now ? (double)(first - now) / 1e9 : 0., 0.);
    ev_timer_start(vm->worker->ev, &vm->timer);
}

static bool unlink_timer(struct vm *vm, struct host_timer *timer)
{
    for (struct host_timer **at = &vm->timers; *at; at = (struct host_timer **)&(*at)->impl) {
        if (*at != timer)
            continue;
        *at = timer->impl;
        timer->impl = NULL;
        timer->deadline_ns = 0;
        return true;
    }
    return false;
}

static void host_arm(void *ctx, struct host_timer *timer, uint64_t deadline_ns)
{
    struct vm *vm = ctx;

    unlink_timer(vm, timer);
    timer->deadline_ns = deadline_ns ? deadline_ns : 1;
    timer->impl = vm->timers;
    vm->timers = timer;
    rearm_timer(vm);
}

static void host_disarm(void *ctx, struct host_timer *timer)
{
    struct vm *vm = ctx;

    if (unlink_timer(vm, timer))
        rearm_timer(vm);
}

/* As many as there are now: one that a device arms for the past again waits for the next turn. */
static void on_timer(struct ev_loop *ev, ev_timer *ev_timer, int revents)
{
    struct vm *vm = ev_timer->data;
    uint64_t now = loop_now(vm);
    unsigned left = 0;

    for (struct host_timer *timer = vm->timers; timer; timer = timer->impl)
        left += timer->deadline_ns <= now;
    while (left--) {
        struct host_timer *first = NULL;

        for (struct host_timer *timer = vm->timers; timer; timer = timer->impl)
            if (timer->deadline_ns <= now && (!first || timer->deadline_ns < first->deadline_ns))
                first = timer;
        if (!first)
            break;
        unlink_timer(vm, first);
        bufpio_take_out(&vm->bufpio);
        first->expire(first->arg);
    }
    bufpio_arm(&vm->bufpio);
    rearm_timer(vm);
}

static void host_log_line(void *ctx, enum host_log_level level, const char *device,
                          const char *format, va_list args)
{
    static const int priority[] = {
        [HOST_LOG_ERR] = LOG_ERR,
        [HOST_LOG_WARN] = LOG_WARNING,
        [HOST_LOG_INFO] = LOG_INFO,
        [HOST_LOG_DEBUG] = LOG_DEBUG,
    };
    struct vm *vm = ctx;

    if (priority[level] <= log_level(vm->params.log) && may_log(vm))
        log_vwrite(vm->params.log, priority[level], vm->params.name, device, format, args);
}

static void host_power_event(void *ctx, enum host_power event)
{
    struct vm *vm = ctx;
    bool off = event == HOST_POWER_OFF;

    /* A guest may ask again and again: hv_shm's need not stop. */
    if (may_log(vm))
        log_write(vm->params.log, LOG_INFO, vm->params.name, "event=%s",
                  off ? "poweroff" : "reset");
    vm->params.hv->shutdown(vm->params.guest, off ? HV_SHUTDOWN_POWEROFF : HV_SHUTDOWN_REBOOT);
}

static void host_left(void *ctx, unsigned drive)
{
    vm_pv_disk_left(ctx, drive);
}

static void host_take_out(void *ctx)
{
    bufpio_take_out(&((struct vm *)ctx)->bufpio);
}

static const struct host_ops vm_host_ops = {
    .dma_read = host_read,
    .dma_write = host_write,
    .dma_rest = host_rest,
    .windows_out = host_take_out,
    .isa_irq = host_isa,
    .pci_intx = host_intx,
    .pci_link_route = host_link,
    .msi = host_send_msi,
    .now_ns = host_now,
    .timer_arm = host_arm,
    .timer_disarm = host_disarm,
    .disk_left = host_left,
    .power = host_power_event,
    .log = host_log_line,
};

/* The bus tells the hypervisor what it answers. */

static int listener_claim(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct vm *vm = ctx;

    return vm->params.hv->claim(vm->params.guest, space == BUS_PORT ? HV_RANGE_PORT : HV_RANGE_MMIO,
                                first, last);
}

static void listener_release(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct vm *vm = ctx;

    vm->params.hv->release(vm->params.guest, space == BUS_PORT ? HV_RANGE_PORT : HV_RANGE_MMIO,
                           first, last);
}

static int listener_claim_pci(void *ctx, uint8_t devfn)
{
    struct vm *vm = ctx;

    return vm->params.hv->claim(vm->params.guest, HV_RANGE_PCI, devfn, devfn);
}

static void listener_release_pci(void *ctx, uint8_t devfn)
{
    struct vm *vm = ctx;

    vm->params.hv->release(vm->params.guest, HV_RANGE_PCI, devfn, devfn);
    vm_nics_released(vm);
}

static const struct bus_listener vm_listener = {
    .claim = listener_claim,
    .release = listener_release,
    .claim_pci = listener_claim_pci,
    .release_pci = listener_release_pci,
};

/* Requests. */

static void on_illegal(void *ctx, uint32_t vcpu, const char *what)
{
    struct vm *vm = ctx;

    if (!may_log(vm))
        return;
    if (vcpu == UINT32_MAX)
        log_write(vm->params.log, LOG_WARNING, vm->params.name,
                  "event=illegal-request ring=buffered field=\"%s\"", what);
    else
        log_write(vm->params.log, LOG_WARNING, vm->params.name,
                  "event=illegal-request vcpu=%u field=%s", vcpu, what);
}

static void vm_is_gone(struct vm *vm)
{
    if (vm->gone)
        return;
    vm->gone = true;
    watch_stop(&vm->worker->watcher, &vm->watch);
    ev_io_stop(vm->worker->ev, &vm->io);
    ev_timer_stop(vm->worker->ev, &vm->starved);
    vm->params.gone(vm->params.ctx);
}

/* What was found by watching has waited for no turn to begin. */
static enum watch_found serve(struct vm *vm, const uint64_t *slots)
{
    uint64_t begun_ns = vm->worker->watcher.begun_ns;
    unsigned served;

    vm->dispatch.timed = begun_ns;
    vm->dispatch.since_ns = slots ? begun_ns : 0;
    served = dispatch_turn(&vm->dispatch, slots);

    if (vm->dispatch.starved) {
        unreachable(vm, -ENOMEM, "string");
        ev_timer_set(&vm->starved, STARVED_S, 0.);
        ev_timer_start(vm->worker->ev, &vm->starved);
    }
    return vm->dispatch.more ? WATCH_MORE : served ? WATCH_SERVED : WATCH_NOTHING;
}

/* What comes while the guest is stopped stays where it is; a restart looks at all of it. */
static void on_readable(struct ev_loop *ev, ev_io *io, int revents)
{
    struct vm *vm = io->data;
    struct hv_pending pending;
    int err = vm->params.hv->guest_pending(vm->params.guest, &pending);

    if (err || pending.gone) {
        vm_is_gone(vm);
        return;
    }
    if (vm->stopped || !watch_after(&vm->worker->watcher, &vm->watch, serve(vm, pending.slots)))
        vm->params.hv->guest_rearm(vm->params.guest);
}

static void on_starved(struct ev_loop *ev, ev_timer *timer, int revents)
{
    struct vm *vm = timer->data;

    if (vm->stopped) /* vm_restart() looks at all of it */
        return;
    if (!watch_after(&vm->worker->watcher, &vm->watch, serve(vm, NULL)))
        vm->params.hv->guest_rearm(vm->params.guest);
}

static enum watch_found on_look(void *ctx)
{
    return serve(ctx, NULL);
}

static void on_watch_ended(void *ctx)
{
    struct vm *vm = ctx;

    vm->params.hv->guest_rearm(vm->params.guest);
}

/* Errors of disks. */

void vm_disk_stopped(void *arg, const struct blk_stop *stop)
{
    const struct vm_drive *drive = arg;
    struct vm *vm = drive->vm;

    if (!vm->stopped && !vm->gone) {
        if (vm->watch.active)
            vm->params.hv->guest_rearm(vm->params.guest);
        watch_stop(&vm->worker->watcher, &vm->watch);
        vm->params.hv->paused(vm->params.guest, true);
    }
    vm->stopped |= 1u << drive->index;
    vm->params.stopped(vm->params.ctx, drive->index, stop);
}

void vm_restart(struct vm *vm, unsigned units)
{
    unsigned restarted = vm->stopped & units;

    vm->stopped &= ~units;
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        if (restarted & 1u << i)
            blk_restart(vm->blk[i]);
    vm_pv_restart(vm, restarted);
    if (!restarted || vm->stopped || vm->gone)
        return;
    vm->params.hv->paused(vm->params.guest, false);
    if (!watch_after(&vm->worker->watcher, &vm->watch, serve(vm, NULL)))
        vm->params.hv->guest_rearm(vm->params.guest);
}

/* Coming and going. */

static void on_serial_full(void *arg)
{
    const struct vm_port *port = arg;

    port->vm->params.serial_full(port->vm->params.ctx, port->index);
}

void vm_renew_serial(struct vm *vm, unsigned port, int fd)
{
    chr_renew(vm->chr[port], fd);
}

static int open_serials(struct vm *vm, char *why)
{
    const struct loop *loop = &vm->worker->evloop.loop;

    for (unsigned i = 0; i < MACHINE_SERIALS; i++) {
        struct vm_serial *serial = &vm->params.serial[i];
        int err;

        if (serial->fd < 0)
            continue;
        err = serial->listener ? chr_open_listener(serial->fd, loop, &vm->chr[i])
                               : chr_open_fd(serial->fd, serial->input, loop, &vm->chr[i]);
        if (err) {
            snprintf(why, VM_WHY_SIZE, "serial port %u: %s", i, strerror(-err));
            return err;
        }
        serial->fd = -1;
        vm->port[i] = (struct vm_port){.vm = vm, .index = i};
        if (serial->max_size)
            chr_limit(vm->chr[i], serial->max_size, on_serial_full, &vm->port[i]);
        vm->params.spec.serial[i] = vm->chr[i];
    }
    return 0;
}

/* What never got as far as an image or a chr. */
static void discard_descriptors(struct vm_params *params)
{
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        if (params->serial[i].fd >= 0)
            close(params->serial[i].fd);
    for (unsigned i = 0; i < params->n_disks; i++)
        vm_disk_discard(&params->disk[i]);
    for (unsigned i = 0; params->nic && i < MACHINE_NICS; i++)
        vm_nic_discard(&params->nic[i]);
    params->nic = NULL;
}

static void free_mem_disks(const struct vm_params *params)
{
    for (unsigned i = 0; i < params->n_disks; i++)
        free(params->disk[i].mem);
}

void vm_image_closed(void *arg)
{
    struct vm *vm = arg;
    void (*drained)(void *arg) = vm->drained;
    void *drained_arg = vm->drained_arg;

    if (--vm->open_images || !drained)
        return;
    free_mem_disks(&vm->params);
    pool_share_close(vm->pool_share);
    pthread_mutex_destroy(&vm->nics_lock);
    if (vm->counts_size)
        munmap(vm->vcpu, vm->counts_size);
    free(vm);
    drained(drained_arg);
}

void vm_end(struct vm *vm)
{
    watch_stop(&vm->worker->watcher, &vm->watch);
    vm_trace_end(vm);
    ev_io_stop(vm->worker->ev, &vm->io);
    ev_timer_stop(vm->worker->ev, &vm->starved);
    bufpio_finish(&vm->bufpio);
    vm_pv_close_all(vm);
    /* Then the guest's pages and memory, so that no device can reach them any more: a stopped guest
     * pins nothing. */
    if (vm->started)
        vm->params.hv->guest_stop(vm->params.guest);
    machine_destroy(vm->machine);
    vm->machine = NULL;
    ev_timer_stop(vm->worker->ev, &vm->timer);
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        chr_close(vm->chr[i]);
    vm_nics_close(vm);
    discard_descriptors(&vm->params);
}

void vm_drain(struct vm *vm, void (*drained)(void *arg), void *arg)
{
    vm->open_images++; /* ours, so that the last image does not free the vm under our hands */
    vm->drained = drained;
    vm->drained_arg = arg;
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        if (vm->blk[i])
            blk_close(vm->blk[i], vm_image_closed, vm);
    vm_image_closed(vm);
}

static int make_counts(struct vm *vm, char *why)
{
    uint32_t vcpus = vm->params.hv->guest_info(vm->params.guest)->vcpus;
    size_t size = vcpus * sizeof(*vm->vcpu) + MACHINE_IDE_DRIVES * sizeof(*vm->histograms);
    void *pages;

    if (vm->params.vcpu) { /* the control side reads them there */
        vm->vcpu = vm->params.vcpu;
        vm->histograms = vm->params.histograms;
        return 0;
    }
    pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (pages == MAP_FAILED) {
        snprintf(why, VM_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    vm->vcpu = pages;
    vm->histograms = (struct blk_histograms *)(vm->vcpu + vcpus);
    vm->counts_size = size;
    return 0;
}

static void start_dispatch(struct vm *vm)
{
    vm->dispatch = (struct dispatch){
        .hv = vm->params.hv,
        .guest = vm->params.guest,
        .vcpus = vm->params.hv->guest_info(vm->params.guest)->vcpus,
        .budget = vm->params.budget,
        .illegal = on_illegal,
        .ctx = vm,
        .vcpu = vm->vcpu,
        .round_trip = &vm->worker->round_trip,
        .now_ns = host_now,
    };
}

static void ignore(void *arg)
{
}

int vm_start(struct worker *worker, const struct vm_params *params, struct vm **ret_vm,
             char ret_why[VM_WHY_SIZE])
{
    struct vm *vm = calloc(1, sizeof(*vm));
    int err;

    if (!vm) {
        struct vm_params unused = *params;

        snprintf(ret_why, VM_WHY_SIZE, "out of memory");
        discard_descriptors(&unused);
        free_mem_disks(&unused);
        return -ENOMEM;
    }
    vm->params = *params;
    vm->worker = worker;
    vm->log_limit = params->log_limit;
    vm->host = (struct host){.ops = &vm_host_ops, .ctx = vm};
    pthread_mutex_init(&vm->nics_lock, NULL);
    watch_init(&vm->watch, &worker->watcher, on_look, on_watch_ended, vm);
    ev_timer_init(&vm->timer, on_timer, 0., 0.);
    vm->timer.data = vm;
    ev_timer_init(&vm->starved, on_starved, 0., 0.);
    vm->starved.data = vm;
    ev_io_init(&vm->io, on_readable, -1, EV_READ);
    vm->io.data = vm;

    err = make_counts(vm, ret_why);
    if (!err)
        err = vm_open_disks(vm, ret_why);
    if (err)
        goto close;
    err = open_serials(vm, ret_why);
    if (!err)
        err = vm_nics_open(vm, ret_why);
    if (err)
        goto close;
    vm->started = true; /* guest_stop() is right after a guest_start() that failed, too */
    err = params->hv->guest_start(params->guest, params->hv_worker);
    if (err) {
        snprintf(ret_why, VM_WHY_SIZE, "%s: mapping the request pages: %s", params->hv->name,
                 strerror(-err));
        goto close;
    }
    start_dispatch(vm);
    err = machine_create(&vm->host, &vm_listener, vm, &vm->params.spec, &vm->machine, ret_why,
                         VM_WHY_SIZE);
    if (err)
        goto close;
    vm->dispatch.bus = machine_bus(vm->machine);
    bufpio_init(&vm->bufpio, params->hv->bufpio(params->guest), vm->dispatch.bus,
                machine_data_ports(vm->machine));
    vm->dispatch.bufpio = &vm->bufpio;
    ev_io_set(&vm->io, params->hv->guest_fd(params->guest), EV_READ);
    ev_io_start(worker->ev, &vm->io);
    err = params->hv->guest_enable(params->guest);
    if (err) {
        snprintf(ret_why, VM_WHY_SIZE, "%s: enabling the server: %s", params->hv->name,
                 strerror(-err));
        goto close;
    }
    vm->params.nic = NULL; /* the caller's, and empty by now */
    *ret_vm = vm;
    return 0;

close:
    vm_end(vm);
    vm_drain(vm, ignore, NULL);
    return err;
}
