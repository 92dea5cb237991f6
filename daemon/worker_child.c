/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker process from within. It begins as a program that knows nothing but its end of the link,
 * opens what needs privileges, gives these up, and then serves the guests that it is sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/sandbox.h"
#include "daemon/worker_process.h"

/* What is counted is published so long after something has happened, and not at all while nothing
 * does; of so many guests at a time. */
#define PUBLISH_S      0.01
#define PUBLISH_GUESTS 16u

struct child;

/* A guest. */
struct child_vm {
    struct child *child;
    struct child_vm *next;
    uint32_t number;
    char name[CONFIG_NAME_MAX + 1];
    struct log log;
    const struct hv_ops *hv;
    struct hv_guest *hv_guest;
    struct vm *vm; /* NULL: not yet, or ended */
    struct vm_counts *counts;
    uint32_t vcpus;
    struct child_rom {
        const uint8_t *data;
        size_t bytes;
    } rom[MACHINE_NICS];
};

struct child {
    int sock;
    struct worker worker;
    struct log log;
    struct child_vm *vms, *next_vm; /* the latter is published next */
    unsigned n_vms;
    ev_io sock_io;
    ev_prepare prepare;
    ev_timer publish;
    unsigned quiet;     /* the turn of the loop in which nothing but publishing happened */
    unsigned quiet_run; /* guests in a row that had nothing new */
    struct worker_counts *counts;
    struct worker_counts fresh;
    struct vm_counts fresh_vm;
};

/* ---- telling ----------------------------------------------------------------------------------*/

/* Waits for the control side, which waits for nothing. If that is gone, so are we. */
static void tell(struct child *child, const struct worker_report *report)
{
    if (send(child->sock, report, sizeof(*report), MSG_NOSIGNAL) < 0)
        _exit(EXIT_SUCCESS);
}

/* Lines are lost rather than waited for. */
static void send_log(const struct child *child, uint32_t guest, int priority, const char *device,
                     const char *text)
{
    struct worker_report report = {.kind = REPORT_LOG, .guest = guest, .log.priority = priority};

    snprintf(report.log.device, sizeof(report.log.device), "%s", device ? device : "");
    snprintf(report.log.text, sizeof(report.log.text), "%s", text);
    (void)send(child->sock, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_log(void *ctx, int priority, const char *guest, const char *device, const char *text)
{
    send_log(ctx, REPORT_NO_GUEST, priority, device, text);
}

static void on_vm_log(void *ctx, int priority, const char *guest, const char *device,
                      const char *text)
{
    const struct child_vm *of = ctx;

    send_log(of->child, of->number, priority, device, text);
}

static void on_gone(void *ctx)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_GONE, .guest = of->number};

    tell(of->child, &report);
}

static void on_stopped(void *ctx, unsigned drive, const struct blk_stop *stop)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_IO_STOPPED,
                                   .guest = of->number,
                                   .io_stopped = {.drive = drive, .what = *stop}};

    tell(of->child, &report);
}

static void on_serial_full(void *ctx, unsigned port)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_SERIAL_FULL, .guest = of->number, .port = port};

    tell(of->child, &report);
}

static void on_traced(void *ctx)
{
    const struct child_vm *of = ctx;
    struct worker_report report = {.kind = REPORT_TRACE_NEWS, .guest = of->number};

    tell(of->child, &report);
}

static void tell_listener(struct child *child, int listener)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct worker_report report = {.kind = REPORT_LISTENER, .guest = REPORT_NO_GUEST};
    struct iovec iov = {&report, sizeof(report)};
    const struct msghdr message = {.msg_iov = &iov,
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.align), &listener, sizeof(listener));
    if (sendmsg(child->sock, &message, MSG_NOSIGNAL) < 0)
        _exit(EXIT_FAILURE);
    close(listener);
}

/* ---- counting ---------------------------------------------------------------------------------*/

/* True when there was something new. */
static bool publish_vm(struct child_vm *of)
{
    struct vm_counts *fresh = &of->child->fresh_vm;
    bool news;

    if (!of->vm)
        return false;
    vm_counts_read(of->vm, fresh);
    vm_counts_read_disks(of->vm, fresh);
    news = memcmp(fresh, of->counts, sizeof(*fresh)) != 0;
    if (news)
        vm_counts_move(of->counts, fresh, sizeof(*fresh));
    return news;
}

/* True when there was something new but for turns of the loop. */
static bool publish_worker(struct child *child)
{
    struct worker_counts *fresh = &child->fresh;
    bool news;

    worker_counts_read(&child->worker, fresh);
    child->counts->wakeups = fresh->wakeups;
    news = memcmp(fresh, child->counts, sizeof(*fresh)) != 0;
    if (news)
        vm_counts_move(child->counts, fresh, sizeof(*fresh));
    return news;
}

/* Of lowest priority: all else of this turn has been counted. In the next turn come the next ones,
 * until there has been nothing new in any. */
static void on_publish(struct ev_loop *ev, ev_timer *timer, int revents)
{
    struct child *child = timer->data;
    bool news = publish_worker(child);

    for (unsigned i = 0; i < PUBLISH_GUESTS && i < child->n_vms; i++) {
        struct child_vm *of = child->next_vm ? child->next_vm : child->vms;

        child->next_vm = of->next;
        if (publish_vm(of))
            news = true;
        else
            child->quiet_run++;
    }
    if (news)
        child->quiet_run = 0;
    if (!news && child->quiet_run >= child->n_vms)
        child->quiet = ev_iteration(ev);
}

/* Before the loop sleeps. */
static void on_prepare(struct ev_loop *ev, ev_prepare *prepare, int revents)
{
    struct child *child = prepare->data;

    if (ev_is_active(&child->publish) || ev_iteration(ev) == child->quiet)
        return;
    ev_timer_set(&child->publish, PUBLISH_S, 0.);
    ev_timer_start(ev, &child->publish);
}

static void start_publishing(struct child *child)
{
    struct ev_loop *ev = child->worker.ev;

    ev_prepare_init(&child->prepare, on_prepare);
    ev_timer_init(&child->publish, on_publish, PUBLISH_S, 0.);
    ev_set_priority(&child->publish, EV_MINPRI);
    child->prepare.data = child->publish.data = child;
    ev_prepare_start(ev, &child->prepare);
    publish_worker(child);
}

/* ---- guests -----------------------------------------------------------------------------------*/

static struct child_vm *find(const struct child *child, uint32_t number)
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

static void start(struct child *child, struct worker_order *order)
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
        publish_vm(of);
    else if (of)
        vm_forget(of);
    tell(child, &report);
}

static void on_drained(void *arg)
{
    struct child_vm *of = arg;
    struct child *child = of->child;
    struct worker_report report = {.kind = REPORT_DRAINED, .guest = of->number};

    vm_forget(of);
    tell(child, &report);
}

static void end(struct child_vm *of)
{
    struct vm *vm = of->vm;
    struct worker_report report = {.kind = REPORT_ENDED, .guest = of->number};

    if (!vm)
        return;
    publish_vm(of);
    vm_end(vm);
    report.log_limit = vm->log_limit;
    of->vm = NULL;
    tell(of->child, &report);
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

static void run(struct child *child, struct child_vm *of, struct worker_order *order)
{
    struct worker_report report = {.kind = REPORT_REPLY, .guest = order->guest, .id = order->id};
    bool first = vm_request_answers_first(&order->request);

    if (!of || !of->vm) {
        vm_request_discard(&order->request);
        report.reply.err = -ESHUTDOWN;
        if (of) /* else it has drained: all is answered */
            tell(child, &report);
        return;
    }
    if (first)
        tell(child, &report);
    if (order->request.op == VM_NIC_ADD)
        add_nic(of, &order->request, &report.reply);
    else
        vm_request_run(of->vm, &order->request, &report.reply);
    if (!first) {
        publish_vm(of); /* who asks, looks */
        tell(child, &report);
    }
}

/* ---- orders -----------------------------------------------------------------------------------*/

/* They have come in the order of their places, for those that are not -1. */
static void place_descriptors(struct worker_order *order, const struct msghdr *message)
{
    const struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    int *fds[WORKER_ORDER_FDS], came[WORKER_ORDER_FDS];
    unsigned places = worker_order_fds(order, fds), at = 0, count = 0;

    if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
        count = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        count = count < WORKER_ORDER_FDS ? count : WORKER_ORDER_FDS;
        memcpy(came, CMSG_DATA(cmsg), count * sizeof(int));
    }
    for (unsigned i = 0; i < places; i++)
        if (*fds[i] >= 0)
            *fds[i] = at < count ? came[at++] : -1;
}

/* False: there is none yet. */
static bool receive(struct child *child, int flags, struct worker_order *order)
{
    union {
        char bytes[CMSG_SPACE(WORKER_ORDER_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {order, sizeof(*order)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(child->sock, &message, flags | MSG_CMSG_CLOEXEC);

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    /* The control side is gone, and with it all reason to be. */
    if (length < (ssize_t)sizeof(order->kind) || (size_t)length != worker_order_size(order->kind))
        _exit(EXIT_SUCCESS);
    place_descriptors(order, &message);
    return true;
}

static void on_sock(struct ev_loop *ev, ev_io *io, int revents)
{
    struct child *child = io->data;
    struct worker_report beat = {.kind = REPORT_BEAT, .guest = REPORT_NO_GUEST};
    struct worker_order order;

    if (!receive(child, MSG_DONTWAIT, &order))
        return;
    switch (order.kind) {
    case ORDER_SETUP:
        break;
    case ORDER_START:
        start(child, &order);
        break;
    case ORDER_REQUEST:
        run(child, find(child, order.guest), &order);
        break;
    case ORDER_END:
        if (find(child, order.guest))
            end(find(child, order.guest));
        break;
    case ORDER_BEAT:
        tell(child, &beat);
        break;
    }
}

/* ---- becoming one -----------------------------------------------------------------------------*/

/* 0 to 2 are the control side's, which has the log there. */
static int lead_nowhere(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return -errno;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (dup2(null, fd) < 0)
            return -errno;
    if (null > STDERR_FILENO)
        close(null);
    return 0;
}

/* The service manager's SIGTERM goes to all processes of the unit: the control side's, which ends
 * us in order. And it must not survive that. */
static void settle_signals(void)
{
    const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    sigset_t none;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* With the privileges that it was born with. */
static int open_worker(struct child *child, const struct worker_setup *setup,
                       const struct hv_ops *const hv[], const char **ret_why)
{
    struct worker_params *params = &child->worker.params;

    *params = (struct worker_params){
        .id = setup->id,
        .pool_pages = setup->pool_pages,
        .aio_depth = setup->aio_depth,
        .poll_us = setup->poll_us,
        .log = &child->log,
    };
    child->worker.is_process = true;
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        int err;

        params->hv[i] = hv[i];
        if (!(setup->hvs & 1u << i) || !hv[i]->host_bare)
            continue;
        *ret_why = hv[i]->name;
        err = hv[i]->host_bare(&params->host[i]);
        if (err)
            return err;
    }
    return worker_open(&child->worker, ret_why);
}

static int confine(struct child *child, const struct worker_setup *setup, pid_t parent,
                   const char **ret_why)
{
    struct sandbox_params sandbox = {
        .root = *setup->root ? setup->root : NULL, .uid = setup->uid, .gid = setup->gid};
    int listener, err;

    err = sandbox_confine(&sandbox, ret_why);
    if (err)
        return err;
    /* The change of the user has cleared it. */
    *ret_why = "PR_SET_PDEATHSIG";
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
        return -errno;
    if (getppid() != parent)
        _exit(EXIT_SUCCESS);
    err = sandbox_filter(&listener, ret_why);
    if (!err)
        tell_listener(child, listener);
    return err;
}

static int become_worker(struct child *child, const struct worker_setup *setup,
                         const struct hv_ops *const hv[], pid_t parent, char *why)
{
    const char *part = "descriptors";
    int err = lead_nowhere();

    if (!err) {
        part = "memory for what it counts";
        child->counts = mmap(NULL, sizeof(*child->counts), PROT_READ | PROT_WRITE, MAP_SHARED,
                             setup->counts_fd, 0);
        err = child->counts == MAP_FAILED ? -errno : 0;
        close(setup->counts_fd);
    }
    if (!err)
        err = open_worker(child, setup, hv, &part);
    if (!err)
        err = confine(child, setup, parent, &part);
    if (err)
        snprintf(why, VM_WHY_SIZE, "worker process: %s: %s", part, strerror(-err));
    return err;
}

static void set_name(unsigned id)
{
    char name[16];

    snprintf(name, sizeof(name), "ioemud-w%u", id);
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

void worker_child_main(int sock, const struct hv_ops *const hv[])
{
    struct child *child = calloc(1, sizeof(*child));
    struct worker_report report = {.kind = REPORT_FAILED, .guest = REPORT_NO_GUEST};
    struct worker_order order;
    pid_t parent = getppid();

    settle_signals();
    if (!child || fcntl(sock, F_SETFD, FD_CLOEXEC))
        _exit(EXIT_FAILURE);
    child->sock = sock;
    if (!receive(child, 0, &order) || order.kind != ORDER_SETUP)
        _exit(EXIT_FAILURE);
    set_name(order.setup.id);
    child->log = (struct log){.level = order.setup.log_level, .journal_fd = -1};
    log_divert(&child->log, on_log, child);
    report.reply.err = become_worker(child, &order.setup, hv, parent, report.reply.why);
    if (report.reply.err) {
        tell(child, &report);
        _exit(EXIT_SUCCESS);
    }
    start_publishing(child);
    ev_io_init(&child->sock_io, on_sock, sock, EV_READ);
    child->sock_io.data = child;
    ev_io_start(child->worker.ev, &child->sock_io);
    ev_run(child->worker.ev, 0);
    _exit(EXIT_SUCCESS);
}
