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
#include <time.h>
#include <unistd.h>

#include "daemon/sandbox.h"
#include "daemon/worker_child.h"

/* What is counted is published so long after something has happened, and not at all while nothing
 * does; of so many guests at a time. */
#define PUBLISH_S      0.01
#define PUBLISH_GUESTS 16u

/* ---- telling ----------------------------------------------------------------------------------*/

/* Without the control side there is no reason to be. But of what the kernel is short of for a
 * moment there will be more: until then there are no signs of life, which bounds it. */
static void tell(const struct child *child, const struct msghdr *message)
{
    const struct timespec again = {.tv_nsec = (long)(WORKER_AGAIN_S * 1e9)};

    while (sendmsg(child->sock, message, MSG_NOSIGNAL) < 0) {
        if (worker_is_short(-errno))
            nanosleep(&again, NULL);
        else if (errno != EINTR)
            _exit(EXIT_SUCCESS);
    }
}

void worker_child_tell(struct child *child, const struct worker_report *report)
{
    struct worker_report copy = *report;
    struct iovec iov = {&copy, sizeof(copy)};

    tell(child, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1});
}

void worker_child_log(const struct child *child, uint32_t guest, int priority, const char *device,
                      const char *text)
{
    struct worker_report report = {.kind = REPORT_LOG, .guest = guest, .log.priority = priority};

    snprintf(report.log.device, sizeof(report.log.device), "%s", device ? device : "");
    snprintf(report.log.text, sizeof(report.log.text), "%s", text);
    (void)send(child->sock, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_log(void *ctx, int priority, const char *guest, const char *device, const char *text)
{
    worker_child_log(ctx, REPORT_NO_GUEST, priority, device, text);
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
    tell(child, &message);
    close(listener);
}

/* ---- counting ---------------------------------------------------------------------------------*/

/* What the process takes, which publishing does, too: so it is no news by itself. */
static void read_usage(const struct child *child, struct worker_usage *ret_usage)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long total, resident, shared;
    struct timespec cpu;
    char text[128];
    ssize_t length = pread(child->statm_fd, text, sizeof(text) - 1, 0);

    if (!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu))
        ret_usage->cpu_us = (uint64_t)cpu.tv_sec * 1000000 + (uint64_t)cpu.tv_nsec / 1000;
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%lu %lu %lu", &total, &resident, &shared) != 3)
        return;
    ret_usage->resident_bytes = resident * page;
    ret_usage->anonymous_bytes = resident > shared ? (resident - shared) * page : 0;
}

/* True when there was something new but for turns of the loop. */
static bool publish_worker(struct child *child)
{
    struct worker_counts *fresh = &child->fresh;
    bool news;

    worker_counts_read(&child->worker, fresh);
    child->counts->wakeups = fresh->wakeups;
    news = memcmp(fresh, child->counts, sizeof(*fresh)) != 0;
    if (!news)
        return false;
    read_usage(child, &fresh->usage);
    vm_counts_move(child->counts, fresh, sizeof(*fresh));
    return true;
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
        if (child_vm_publish(of))
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
        child_vm_start(child, &order);
        break;
    case ORDER_REQUEST:
        child_vm_run(child, child_vm_find(child, order.guest), &order);
        break;
    case ORDER_END:
        if (child_vm_find(child, order.guest))
            child_vm_end(child_vm_find(child, order.guest));
        break;
    case ORDER_BEAT:
        worker_child_tell(child, &beat);
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

    child->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
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
    err = sandbox_filter(child->sock, &listener, ret_why);
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
        worker_child_tell(child, &report);
        _exit(EXIT_SUCCESS);
    }
    start_publishing(child);
    ev_io_init(&child->sock_io, on_sock, sock, EV_READ);
    child->sock_io.data = child;
    ev_io_start(child->worker.ev, &child->sock_io);
    ev_run(child->worker.ev, 0);
    _exit(EXIT_SUCCESS);
}
