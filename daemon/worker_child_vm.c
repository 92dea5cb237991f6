/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of a worker process, from within it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/worker_child.h"

/* ---- what they tell ---------------------------------------------------------------------------*/

static void on_vm_log(void *ctx, int priority, const char *guest, const char *device,
                      const char *text)
{
    const struct child_vm *of = ctx;

    worker_child_log(of->child, of->number, priority, device, text);
}

static void on_gone(void *ctx)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_GONE, .guest = of->number};

    worker_child_tell(of->child, &report);
}

static void on_stopped(void *ctx, unsigned unit, const struct blk_stop *stop)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_IO_STOPPED,
                                   .guest = of->number,
                                   .io_stopped = {.unit = unit, .what = *stop}};

    worker_child_tell(of->child, &report);
}

static void on_serial_full(void *ctx, unsigned port)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_SERIAL_FULL, .guest = of->number, .port = port};

    worker_child_tell(of->child, &report);
}

static void on_traced(void *ctx)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_TRACE_NEWS, .guest = of->number};

    worker_child_tell(of->child, &report);
}

static void on_dial(void *ctx, unsigned nic)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_DIAL, .guest = of->number, .nic = nic};

    worker_child_tell(of->child, &report);
}

static void on_pv_news(void *ctx, unsigned unit, const struct vm_pv_news *news)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {
        .kind = REPORT_PV_NEWS, .guest = of->number, .pv = {.unit = unit, .news = *news}};

    worker_child_tell(of->child, &report);
}

/* ---- counting ---------------------------------------------------------------------------------*/

bool child_vm_publish(struct child_vm *of)
{
    struct vm_counts *fresh = &of->child->fresh_vm;
    bool news;

    if (!of->vm)
        return false;
    vm_counts_read(of->vm, fresh);
    vm_counts_read_disks(of->vm, fresh);
    news = memcmp(fresh, of->counts, vm_counts_size(fresh)) != 0;
    if (news)
        vm_counts_move(of->counts, fresh, vm_counts_size(fresh));
    return vm_pv_publish(of->vm) || news;
}

/* ---- guests -----------------------------------------------------------------------------------*/

struct child_vm *child_vm_find(const struct child *child, uint32_t number)
{
    struct child_vm *of = child->vms;

    while (of && of->number != number)
        of = of->next;
    return of;
}

static void unmap_rom(struct child_rom *rom)
{
    if (rom->data)
        munmap((void *)(uintptr_t)rom->data, rom->bytes);
    *rom = (struct child_rom){0};
}

/* What is in the vm is gone already, or never was. */
static void vm_forget(struct child_vm *of)
{
    struct child *child = of->child;
    struct child_vm **link = &child->vms;

    while (*link != of)
        link = &(*link)->next;
    *link = of->next;
    if (child->next_vm == of)
        child->next_vm = of->next;
    child->n_vms--;
    if (of->hv_guest)
        of->hv->guest_let_go(of->hv_guest);
    if (of->counts)
        munmap(of->counts, worker_vm_counts_size(of->vcpus));
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        unmap_rom(&of->rom[i]);
    free(of);
}

/* From the descriptor that came with it, which is closed. */
static int map_rom(struct vm_nic *nic, struct child_rom *ret_rom)
{
    int err = 0, fd = nic->rom_fd;
    void *base;

    nic->rom_fd = -1;
    nic->rom = NULL;
    *ret_rom = (struct child_rom){0};
    if (fd < 0)
        return 0;
    base = mmap(NULL, nic->rom_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        err = -errno;
    close(fd);
    if (err)
        return err;
    nic->rom = base;
    *ret_rom = (struct child_rom){base, nic->rom_bytes};
    return 0;
}

static int map_counts(struct child_vm *of, int fd)
{
    size_t size = worker_vm_counts_size(of->vcpus);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return -errno;
    of->counts = base;
    return 0;
}

static int make_mem_disks(struct worker_start *start)
{
    for (unsigned i = 0; i < start->n_disks; i++) {
        struct vm_disk *disk = &start->disk[i];

        if (disk->raw.fd >= 0)
            continue;
        disk->mem = calloc(disk->sectors, BLK_SECTOR);
        if (!disk->mem)
            return -ENOMEM;
    }
    return 0;
}

/* All but the vm. Descriptors that it has not taken over stay in `order`. */
static int receive_guest(struct child_vm *of, struct worker_start *start)
{
    struct hv_packed packed = start->hv_guest;
    int err = map_counts(of, start->counts_fd);

    for (unsigned i = 0; i < MACHINE_NICS && !err; i++)
        if (*start->nic[i].model)
            err = map_rom(&start->nic[i], &of->rom[i]);
    if (!err)
        err = make_mem_disks(start);
    if (err)
        return err;
    start->hv_guest.count = 0;
    return of->hv->guest_unpack(of->child->worker.params.host[start->hv], &packed, &of->hv_guest);
}

static void discard_mem_disks(struct worker_start *start)
{
    for (unsigned i = 0; i < start->n_disks; i++)
        free(start->disk[i].mem);
}

static int start_vm(struct child_vm *of, struct worker_start *start, char *why)
{
    struct worker *worker = &of->child->worker;
    struct vm_params params = {
        .name = of->name,
        .log = &of->log,
        .hv = of->hv,
        .guest = of->hv_guest,
        .hv_worker = worker->hv[start->hv],
        .spec = start->spec,
        .n_disks = start->n_disks,
        .disk_places = start->disk_places,
        .nic = start->nic,
        .vcpu = worker_vm_vcpus(of->counts),
        .histograms = worker_vm_histograms(of->counts, of->vcpus),
        .budget = start->budget,
        .log_limit = start->log_limit,
        .gone = on_gone,
        .serial_full = on_serial_full,
        .stopped = on_stopped,
        .traced = on_traced,
        .dial = on_dial,
        .pv_news = on_pv_news,
        .ctx = of,
    };

    memcpy(params.disk, start->disk, sizeof(params.disk));
    memcpy(params.serial, start->serial, sizeof(params.serial));
    return vm_start(worker, &params, &of->vm, why);
}

static struct child_vm *vm_new(struct child *child, const struct worker_order *order)
{
    struct child_vm *of = calloc(1, sizeof(*of));

    if (!of)
        return NULL;
    of->child = child;
    of->number = order->guest;
    of->hv = child->worker.params.hv[order->start.hv];
    of->vcpus = order->start.vcpus;
    memcpy(of->name, order->start.name, sizeof(of->name));
    log_init_on(&of->log, &child->log);
    log_set_level(&of->log, order->start.log_level);
    log_divert(&of->log, on_vm_log, of);
    of->next = child->vms;
    child->vms = of;
    child->n_vms++;
    return of;
}

void child_vm_start(struct child *child, struct worker_order *order)
{
    struct worker_report report = {.kind = REPORT_STARTED, .guest = order->guest};
    struct child_vm *of = vm_new(child, order);
    int err = of ? receive_guest(of, &order->start) : -ENOMEM;

    if (err) {
        worker_order_discard(order);
        discard_mem_disks(&order->start);
        snprintf(report.reply.why, sizeof(report.reply.why), "its worker process: %s",
                 strerror(-err));
    } else {
        close(order->start.counts_fd);
        err = start_vm(of, &order->start, report.reply.why);
    }
    report.reply.err = err;
    if (!err)
        child_vm_publish(of);
    else if (of)
        vm_forget(of);
    worker_child_tell(child, &report);
}

static void on_drained(void *arg)
{
    struct child_vm *of = arg;
    struct child *child = of->child;
    struct worker_report report = {.kind = REPORT_DRAINED, .guest = of->number};

    vm_forget(of);
    worker_child_tell(child, &report);
}

void child_vm_end(struct child_vm *of)
{
    struct vm *vm = of->vm;
    struct worker_report report = {.kind = REPORT_ENDED, .guest = of->number};

    if (!vm)
        return;
    child_vm_publish(of);
    vm_end(vm);
    report.log_limit = vm->log_limit;
    of->vm = NULL;
    worker_child_tell(of->child, &report);
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        vm_medium_close(vm, vm->leaving[i]);
    vm_drain(vm, on_drained, of);
}

/* ---- requests ---------------------------------------------------------------------------------*/

/* The process has to keep its ROM. */
static void add_nic(struct child_vm *of, struct vm_request *request, struct vm_reply *reply)
{
    struct child_rom rom;
    int err = map_rom(&request->nic.nic, &rom);

    if (err) {
        vm_request_discard(request);
        reply->err = err;
        return;
    }
    vm_request_run(of->vm, request, reply);
    if (!reply->err) {
        unmap_rom(&of->rom[request->nic.number]); /* of one that is gone */
        of->rom[request->nic.number] = rom;
    } else {
        unmap_rom(&rom);
    }
}

void child_vm_run(struct child *child, struct child_vm *of, struct worker_order *order)
{
    struct worker_report report = {.kind = REPORT_REPLY, .guest = order->guest, .id = order->id};
    bool first = vm_request_answers_first(&order->request);

    if (!of || !of->vm) {
        vm_request_discard(&order->request);
        report.reply.err = -ESHUTDOWN;
        if (of) /* else it has drained: all is answered */
            worker_child_tell(child, &report);
        return;
    }
    if (first)
        worker_child_tell(child, &report);
    if (order->request.op == VM_NIC_ADD)
        add_nic(of, &order->request, &report.reply);
    else
        vm_request_run(of->vm, &order->request, &report.reply);
    if (!first) {
        child_vm_publish(of); /* who asks, looks */
        worker_child_tell(child, &report);
    }
}
