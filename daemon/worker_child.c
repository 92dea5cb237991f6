/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker process from within. It is a copy of the control side at the moment of the fork, so the
 * guest, its worker and the hypervisor's half of it are where they were; what it must not have, all
 * other descriptors, privileges and system calls, it gives up first.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/sandbox.h"
#include "daemon/worker_process.h"

/* What is counted is published so long after something has happened, and not at all while nothing
 * does. */
#define PUBLISH_S 0.01

/* Its link, the hypervisor's, disks, serial ports, NICs. */
#define KEPT_MAX (1 + HV_DESCRIPTORS_MAX + MACHINE_IDE_DRIVES + MACHINE_SERIALS + 2 * MACHINE_NICS)

struct child {
    struct worker_child_params params;
    struct worker *worker;
    struct vm *vm; /* NULL: not yet, or ended */
    ev_io sock_io;
    ev_prepare prepare;
    ev_timer publish;
    unsigned quiet; /* the turn of the loop in which nothing but publishing happened */
    struct worker_shared fresh;
};

/* ---- telling ----------------------------------------------------------------------------------*/

/* Waits for the control side, which waits for nothing. If that is gone, so are we. */
static void tell(struct child *child, const struct worker_report *report)
{
    if (send(child->params.sock, report, sizeof(*report), MSG_NOSIGNAL) < 0)
        _exit(EXIT_SUCCESS);
}

/* Lines are lost rather than waited for. */
static void on_log(void *ctx, int priority, const char *guest, const char *device, const char *text)
{
    const struct child *child = ctx;
    struct worker_report report = {.kind = REPORT_LOG, .log.priority = priority};

    snprintf(report.log.device, sizeof(report.log.device), "%s", device ? device : "");
    snprintf(report.log.text, sizeof(report.log.text), "%s", text);
    (void)send(child->params.sock, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_gone(void *ctx)
{
    struct worker_report report = {.kind = REPORT_GONE};

    tell(ctx, &report);
}

static void on_stopped(void *ctx, unsigned drive, const struct blk_stop *stop)
{
    struct worker_report report = {.kind = REPORT_IO_STOPPED,
                                   .io_stopped = {.drive = drive, .what = *stop}};

    tell(ctx, &report);
}

static void on_serial_full(void *ctx, unsigned port)
{
    struct worker_report report = {.kind = REPORT_SERIAL_FULL, .port = port};

    tell(ctx, &report);
}

static void tell_listener(struct child *child, int listener)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct worker_report report = {.kind = REPORT_LISTENER};
    struct iovec iov = {&report, sizeof(report)};
    const struct msghdr message = {.msg_iov = &iov,
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.align), &listener, sizeof(listener));
    if (sendmsg(child->params.sock, &message, MSG_NOSIGNAL) < 0)
        _exit(EXIT_FAILURE);
    close(listener);
}

/* ---- counting ---------------------------------------------------------------------------------*/

/* True when there was something new but for turns of the loop. */
static bool publish(struct child *child)
{
    struct worker_shared *fresh = &child->fresh, *shared = child->params.shared;
    bool news;

    worker_counts_read(child->worker, &fresh->worker);
    if (child->vm) {
        vm_counts_read(child->vm, &fresh->vm);
        vm_counts_read_disks(child->vm, &fresh->vm);
    }
    shared->worker.wakeups = fresh->worker.wakeups;
    news = memcmp(fresh, shared, sizeof(*fresh)) != 0;
    if (news)
        vm_counts_move(shared, fresh, sizeof(*fresh));
    return news;
}

/* Of lowest priority: all else of this turn has been counted. */
static void on_publish(struct ev_loop *ev, ev_timer *timer, int revents)
{
    struct child *child = timer->data;

    if (!publish(child))
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
    struct ev_loop *ev = child->worker->ev;

    ev_prepare_init(&child->prepare, on_prepare);
    ev_timer_init(&child->publish, on_publish, PUBLISH_S, 0.);
    ev_set_priority(&child->publish, EV_MINPRI);
    child->prepare.data = child->publish.data = child;
    ev_prepare_start(ev, &child->prepare);
    publish(child);
}

/* ---- orders -----------------------------------------------------------------------------------*/

static void on_drained(void *arg)
{
    struct child *child = arg;
    struct worker_report report = {.kind = REPORT_DRAINED};

    tell(child, &report);
    _exit(EXIT_SUCCESS);
}

static void end(struct child *child)
{
    struct vm *vm = child->vm;
    struct worker_report report = {.kind = REPORT_ENDED};

    if (!vm)
        return;
    ev_prepare_stop(child->worker->ev, &child->prepare);
    ev_timer_stop(child->worker->ev, &child->publish);
    vm_end(vm);
    report.log_limit = vm->log_limit;
    child->vm = NULL;
    tell(child, &report);
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        vm_medium_close(vm, vm->leaving[i]);
    vm_drain(vm, on_drained, child);
}

static void run(struct child *child, struct worker_order *order)
{
    struct worker_report report = {.kind = REPORT_REPLY, .id = order->id};
    bool first = vm_request_answers_first(&order->request);

    if (!child->vm) {
        vm_request_discard(&order->request);
        report.reply.err = -ESHUTDOWN;
        tell(child, &report);
        return;
    }
    if (first)
        tell(child, &report);
    vm_request_run(child->vm, &order->request, &report.reply);
    if (!first) {
        publish(child); /* who asks, looks */
        tell(child, &report);
    }
}

/* The descriptors have come in the order of their places, for those that are not -1. */
static void place_descriptors(struct worker_order *order, const struct msghdr *message)
{
    const struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    int *fds[VM_REQUEST_FDS], came[VM_REQUEST_FDS];
    unsigned places = order->end ? 0 : vm_request_fds(&order->request, fds), at = 0, count = 0;

    if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
        count = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        count = count < VM_REQUEST_FDS ? count : VM_REQUEST_FDS;
        memcpy(came, CMSG_DATA(cmsg), count * sizeof(int));
    }
    for (unsigned i = 0; i < places; i++)
        if (*fds[i] >= 0)
            *fds[i] = at < count ? came[at++] : -1;
}

static void on_sock(struct ev_loop *ev, ev_io *io, int revents)
{
    struct child *child = io->data;
    union {
        char bytes[CMSG_SPACE(VM_REQUEST_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct worker_order order;
    struct iovec iov = {&order, sizeof(order)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(child->params.sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length != sizeof(order)) /* the control side is gone, and with it all reason to be */
        _exit(EXIT_SUCCESS);
    place_descriptors(&order, &message);
    if (order.end)
        end(child);
    else
        run(child, &order);
}

/* ---- becoming one -----------------------------------------------------------------------------*/

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static unsigned collect(const struct child *child, int kept[KEPT_MAX])
{
    const struct guest *guest = child->params.guest;
    const struct vm_params *params = &guest->params;
    unsigned count = guest->hv->guest_descriptors(guest->hv_guest, kept);

    kept[count++] = child->params.sock;
    for (unsigned i = 0; i < params->n_disks; i++)
        kept[count++] = params->disk[i].raw.fd;
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        kept[count++] = params->serial[i].fd;
    for (unsigned i = 0; params->nic && i < MACHINE_NICS; i++) {
        if (!params->nic[i].model)
            continue;
        kept[count++] = params->nic[i].fd;
        kept[count++] = params->nic[i].keep_fd;
    }
    return count;
}

/* All but those. 0 to 2 lead nowhere. */
static int close_others(const struct child *child)
{
    int kept[KEPT_MAX], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    unsigned count = collect(child, kept);
    unsigned from = STDERR_FILENO + 1;

    if (null < 0)
        return -errno;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (dup2(null, fd) < 0)
            return -errno;
    qsort(kept, count, sizeof(kept[0]), compare);
    for (unsigned i = 0; i <= count; i++) {
        unsigned to = i < count ? (unsigned)kept[i] : UINT32_MAX;

        if (i < count && kept[i] < (int)from)
            continue; /* -1 */
        if (from < to && syscall(SYS_close_range, from, to - (i < count), 0))
            return -errno;
        from = to + 1;
    }
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

static void rename_it(const struct child *child)
{
    char name[16];

    snprintf(name, sizeof(name), "ioemud-w%u", child->worker->params.id);
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

static void divert_log(struct child *child)
{
    struct guest *guest = child->params.guest;

    log_divert(&guest->daemon->log, on_log, child);
    log_divert(&guest->log, on_log, child);
}

/* With the privileges that it was born with. */
static int open_worker(struct child *child, const char **ret_why)
{
    struct guest *guest = child->params.guest;
    struct worker *worker = child->worker;

    for (unsigned i = 0; i < WORKER_HVS; i++)
        if (worker->params.hv[i] != guest->hv ||
            (i == DAEMON_SHM) != (guest->config.hypervisor == GUEST_SHM))
            worker->params.host[i] = NULL; /* not this guest's */
    *ret_why = guest->hv->name;
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        int err = worker->params.host[i] ? guest->hv->host_forked(worker->params.host[i]) : 0;

        if (err)
            return err;
    }
    worker->vcpu = child->params.vcpu;
    worker->histograms = child->params.histograms;
    return worker_open(worker, ret_why);
}

static int confine(struct child *child, pid_t parent, const char **ret_why)
{
    const struct daemon *daemon = child->params.guest->daemon;
    char root[OPENER_PATH_SIZE];
    struct sandbox_params params = {.uid = daemon->worker_uid, .gid = daemon->worker_gid};
    int err, listener;

    snprintf(root, sizeof(root), "%s/empty", daemon->config.run_dir);
    if (daemon->worker_uid)
        params.root = root;
    err = sandbox_confine(&params, ret_why);
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

static int become_worker(struct child *child, pid_t parent, char *why)
{
    const char *part = "descriptors";
    int err = close_others(child);

    if (!err)
        err = open_worker(child, &part);
    if (!err)
        err = confine(child, parent, &part);
    if (err)
        snprintf(why, VM_WHY_SIZE, "worker process: %s: %s", part, strerror(-err));
    return err;
}

static int start_vm(struct child *child, char *why)
{
    struct guest *guest = child->params.guest;
    struct vm_params params = guest->params;

    params.hv_worker =
        child->worker->hv[guest->config.hypervisor == GUEST_XEN ? DAEMON_XEN : DAEMON_SHM];
    params.gone = on_gone;
    params.serial_full = on_serial_full;
    params.stopped = on_stopped;
    params.ctx = child;
    return vm_start(child->worker, &params, &child->vm, why);
}

void worker_child_main(const struct worker_child_params *params)
{
    struct child *child = calloc(1, sizeof(*child));
    struct worker_report report = {.kind = REPORT_STARTED};
    pid_t parent = getppid();

    if (!child)
        _exit(EXIT_FAILURE);
    settle_signals();
    child->params = *params;
    child->worker = params->guest->worker;
    rename_it(child);
    divert_log(child);
    report.reply.err = become_worker(child, parent, report.reply.why);
    if (!report.reply.err)
        report.reply.err = start_vm(child, report.reply.why);
    if (!report.reply.err)
        start_publishing(child);
    tell(child, &report);
    if (report.reply.err)
        _exit(EXIT_SUCCESS);
    ev_io_init(&child->sock_io, on_sock, params->sock, EV_READ);
    child->sock_io.data = child;
    ev_io_start(child->worker->ev, &child->sock_io);
    ev_run(child->worker->ev, 0);
    _exit(EXIT_SUCCESS);
}
