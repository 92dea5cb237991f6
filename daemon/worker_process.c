/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/worker_process.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/sandbox.h"

/* Reports that are taken in one turn of the loop; the rest waits for the next. */
#define REPORTS_PER_TURN 32

struct worker_process {
    struct worker worker; /* first: what the rest of the control side sees of it */
    struct daemon *daemon;
    struct worker_process *next; /* daemon->processes */
    struct guest *guest;         /* NULL: destroyed, and the process is yet to end */
    pid_t pid;                   /* 0: not started */
    int pid_fd, sock, listener;  /* -1: none */
    ev_io exit_io, sock_io, listener_io;
    struct guest_call *first, **tail; /* on their way, in order */
    uint32_t next_id;
    struct worker_shared *shared;
    size_t shared_size;
    uint32_t vcpus;
    struct log_limit said;  /* of its lines */
    struct log_limit tried; /* of its attempts */
    bool started, ending, ended, reaped;
};

static struct worker_process *process_of(const struct worker *worker)
{
    return (struct worker_process *)(uintptr_t)worker;
}

static uint64_t now_of(const struct worker_process *process)
{
    const struct loop *loop = &process->daemon->evloop.loop;

    return loop->ops->now_ns(loop->ctx);
}

static const char *name_of(const struct worker_process *process)
{
    return process->guest ? process->guest->config.name : NULL;
}

/* ---- before there is one ----------------------------------------------------------------------*/

struct worker *worker_process_new(struct daemon *daemon, unsigned disks)
{
    struct worker_process *process = calloc(1, sizeof(*process));
    unsigned pages = (disks * BLK_HELD_BYTES + 2 * BLK_MAX_BYTES) / POOL_PAGE;

    if (!process)
        return NULL;
    process->worker.params = (struct worker_params){
        .id = daemon->next_worker++,
        .pool_pages = pages,
        .aio_depth = daemon->config.aio_depth,
        .poll_us = daemon->config.poll_us,
        .log = &daemon->log,
    };
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        process->worker.params.host[i] = daemon->host[i];
        process->worker.params.hv[i] = daemon->hv[i];
    }
    process->worker.is_process = true;
    process->daemon = daemon;
    process->pid_fd = process->sock = process->listener = -1;
    process->tail = &process->first;
    process->next = daemon->processes;
    daemon->processes = process;
    return &process->worker;
}

/* ---- its end ----------------------------------------------------------------------------------*/

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void process_free(struct worker_process *process)
{
    struct worker_process **link = &process->daemon->processes;

    while (*link != process)
        link = &(*link)->next;
    *link = process->next;
    if (process->pid_fd >= 0)
        ev_io_stop(process->daemon->ev, &process->exit_io);
    close_fd(&process->pid_fd);
    free(process);
}

static void stop_talking(struct worker_process *process)
{
    if (process->sock >= 0)
        ev_io_stop(process->daemon->ev, &process->sock_io);
    if (process->listener >= 0)
        ev_io_stop(process->daemon->ev, &process->listener_io);
    close_fd(&process->sock);
    close_fd(&process->listener);
}

void worker_process_destroy(struct worker *worker)
{
    struct worker_process *process = process_of(worker);

    if (!process)
        return;
    assert(!process->first);
    process->guest = NULL;
    stop_talking(process);
    if (process->shared)
        munmap(process->shared, process->shared_size);
    process->shared = NULL;
    if (!process->pid)
        process_free(process);
    else if (!process->reaped) /* all that it has to give back has been given back */
        kill(process->pid, SIGKILL);
}

void worker_process_forget(struct daemon *daemon)
{
    while (daemon->processes) {
        assert(!daemon->processes->guest);
        process_free(daemon->processes);
    }
}

static void fail_calls(struct worker_process *process, int err, const char *why)
{
    while (process->first) {
        struct guest_call *call = process->first;

        process->first = call->next;
        if (!process->first)
            process->tail = &process->first;
        call->reply = (struct vm_reply){.err = err};
        snprintf(call->reply.why, sizeof(call->reply.why), "%s", why);
        guest_call_done(call);
    }
}

static void describe_end(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

static void take_reports(struct worker_process *process, unsigned most);

/* Its descriptors are closed by then, and with them the locks of its images. */
static void on_exit_io(struct ev_loop *ev, ev_io *io, int revents)
{
    struct worker_process *process = io->data;
    char how[64];
    int status;

    if (waitpid(process->pid, &status, WNOHANG) != process->pid)
        return;
    ev_io_stop(ev, io);
    close_fd(&process->pid_fd);
    process->reaped = true;
    /* What it said before, of a socket's worth. */
    if (process->guest)
        take_reports(process, UINT32_MAX);
    if (!process->guest) {
        process_free(process);
        return;
    }
    stop_talking(process);
    describe_end(status, how, sizeof(how));
    log_write(&process->daemon->log, LOG_ERR, name_of(process),
              "event=worker-died worker=%u how=\"%s\"", process->worker.params.id, how);
    fail_calls(process, -EPIPE, "the guest's worker process has ended");
    guest_worker_died(process->guest, how);
}

/* It does what ours would not. Its end is on_exit_io()'s. */
static void lose_trust(struct worker_process *process, const char *why)
{
    log_write(&process->daemon->log, LOG_CRIT, name_of(process),
              "event=worker-killed worker=%u why=\"%s\"", process->worker.params.id, why);
    stop_talking(process);
    if (!process->reaped)
        kill(process->pid, SIGKILL);
}

/* ---- what it tells ----------------------------------------------------------------------------*/

static void on_listener(struct ev_loop *ev, ev_io *io, int revents)
{
    struct worker_process *process = io->data;
    struct sandbox_attempt attempt;
    char call[SANDBOX_NAME_SIZE];
    uint64_t suppressed;
    int err = sandbox_denied(process->listener, &attempt);

    if (err == -EPIPE) {
        ev_io_stop(ev, io);
        close_fd(&process->listener);
    }
    if (err || !log_allow(&process->tried, now_of(process), &suppressed))
        return;
    if (suppressed)
        log_write(&process->daemon->log, LOG_CRIT, name_of(process),
                  "event=log-limit suppressed=%llu", (unsigned long long)suppressed);
    sandbox_call_name(attempt.number, call);
    log_write(&process->daemon->log, LOG_CRIT, name_of(process),
              "event=system-call-denied worker=%u pid=%d call=%s first=%#x second=%#x "
              "hint=\"no worker of ours does that: it may be captured\"",
              process->worker.params.id, (int)attempt.tid, call, attempt.first, attempt.second);
}

static void take_listener(struct worker_process *process, int fd)
{
    if (process->listener >= 0 || fd < 0) {
        close_fd(&fd);
        lose_trust(process, "no listener, or another one");
        return;
    }
    process->listener = fd;
    ev_io_init(&process->listener_io, on_listener, fd, EV_READ);
    process->listener_io.data = process;
    ev_io_start(process->daemon->ev, &process->listener_io);
}

static void take_started(struct worker_process *process, const struct vm_reply *reply)
{
    if (process->started) {
        lose_trust(process, "started twice");
        return;
    }
    process->started = true;
    guest_started(process->guest, reply->err, reply->why);
}

static void take_reply(struct worker_process *process, uint32_t id, const struct vm_reply *reply)
{
    struct guest_call *call = process->first;

    /* They are answered in the order in which they were asked. */
    if (!call || call->id != id) {
        lose_trust(process, "an answer to nothing");
        return;
    }
    process->first = call->next;
    if (!process->first)
        process->tail = &process->first;
    call->reply = *reply;
    guest_call_done(call);
}

static void take_log(struct worker_process *process, const struct worker_report *report)
{
    const char *device = *report->log.device ? report->log.device : NULL;
    uint64_t suppressed;

    if (report->log.priority > log_level(&process->guest->log) ||
        !log_allow(&process->said, now_of(process), &suppressed))
        return;
    if (suppressed)
        log_write(&process->guest->log, LOG_WARNING, name_of(process),
                  "event=log-limit suppressed=%llu", (unsigned long long)suppressed);
    log_device(&process->guest->log, report->log.priority, name_of(process), device, "%s",
               report->log.text);
}

static void take_ended(struct worker_process *process, const struct log_limit *limit)
{
    if (!process->ending || process->ended) {
        lose_trust(process, "ended without being asked");
        return;
    }
    process->ended = true;
    process->guest->log_limit = *limit;
    guest_ended(process->guest);
}

static void take_drained(struct worker_process *process)
{
    if (!process->ended) {
        lose_trust(process, "drained before its end");
        return;
    }
    fail_calls(process, -ESHUTDOWN, "the guest has been detached");
    guest_drained(process->guest);
}

/* The guest may be gone afterwards. */
static void take(struct worker_process *process, const struct worker_report *report, int fd)
{
    switch (report->kind) {
    case REPORT_LISTENER:
        take_listener(process, fd);
        break;
    case REPORT_STARTED:
        take_started(process, &report->reply);
        break;
    case REPORT_REPLY:
        take_reply(process, report->id, &report->reply);
        break;
    case REPORT_GONE:
        guest_lost(process->guest);
        break;
    case REPORT_IO_STOPPED:
        guest_disk_stopped(process->guest, report->io_stopped.drive, &report->io_stopped.what);
        break;
    case REPORT_SERIAL_FULL:
        guest_next_file(process->guest, report->port);
        break;
    case REPORT_LOG:
        take_log(process, report);
        break;
    case REPORT_ENDED:
        take_ended(process, &report->log_limit);
        break;
    case REPORT_DRAINED:
        take_drained(process);
        break;
    case REPORTS:
        break;
    }
}

/* Its length, or -errno. A descriptor is taken only while there is none. */
static ssize_t receive(struct worker_process *process, struct worker_report *report, int *ret_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {report, sizeof(*report)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    const struct cmsghdr *cmsg;
    ssize_t length;

    *ret_fd = -1;
    if (process->listener < 0 && !process->started) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
    }
    length = recvmsg(process->sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0)
        return -errno;
    cmsg = message.msg_control ? CMSG_FIRSTHDR(&message) : NULL;
    if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
        cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(*ret_fd));
    return message.msg_flags & MSG_TRUNC ? (ssize_t)sizeof(*report) + 1 : length;
}

static void take_reports(struct worker_process *process, unsigned most)
{
    struct worker_report report;

    for (unsigned i = 0; i < most && process->guest && process->sock >= 0; i++) {
        int fd;
        ssize_t length = receive(process, &report, &fd);

        if (length == 0) /* it has closed it: its end follows */
            ev_io_stop(process->daemon->ev, &process->sock_io);
        if (length <= 0)
            return;
        if (!worker_report_check(&report, (size_t)length) ||
            (fd >= 0 && report.kind != REPORT_LISTENER)) {
            close_fd(&fd);
            lose_trust(process, "a report that does not exist");
            return;
        }
        take(process, &report, fd);
    }
}

static void on_sock(struct ev_loop *ev, ev_io *io, int revents)
{
    take_reports(io->data, REPORTS_PER_TURN);
}

/* ---- what it is told --------------------------------------------------------------------------*/

static int send_order(struct worker_process *process, struct worker_order *order)
{
    union {
        char bytes[CMSG_SPACE(VM_REQUEST_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {order, sizeof(*order)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int *fds[VM_REQUEST_FDS], sent[VM_REQUEST_FDS];
    unsigned places = order->end ? 0 : vm_request_fds(&order->request, fds), count = 0;

    for (unsigned i = 0; i < places; i++)
        if (*fds[i] >= 0)
            sent[count++] = *fds[i];
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.align = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), sent, count * sizeof(int));
    }
    if (process->sock < 0)
        return -EPIPE;
    return sendmsg(process->sock, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* One that takes no orders any more is ended. Of that, and of one that has ended, comes the answer
 * with its end. */
static void tell(struct worker_process *process, struct worker_order *order)
{
    int err = send_order(process, order);

    if (err && err != -EPIPE && err != -ECONNRESET)
        lose_trust(process, err == -EAGAIN ? "takes no orders" : strerror(-err));
}

void worker_process_call(struct guest *guest, struct guest_call *call)
{
    struct worker_process *process = process_of(guest->worker);
    struct worker_order order = {.id = process->next_id++, .request = call->request};

    call->id = order.id;
    call->next = NULL;
    *process->tail = call;
    process->tail = &call->next;
    tell(process, &order);
    vm_request_discard(&order.request); /* it has its own */
}

void worker_process_end(struct guest *guest)
{
    struct worker_process *process = process_of(guest->worker);
    struct worker_order order = {.end = true};

    process->ending = true;
    tell(process, &order);
}

/* ---- its beginning ----------------------------------------------------------------------------*/

static int map_shared(struct worker_process *process)
{
    const struct guest *guest = process->guest;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size;
    void *base;

    process->vcpus = guest->hv->guest_info(guest->hv_guest)->vcpus;
    size = sizeof(struct worker_shared) + process->vcpus * sizeof(struct dispatch_vcpu) +
           MACHINE_IDE_DRIVES * sizeof(struct blk_histograms);
    size = (size + page - 1) / page * page;
    base =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    process->shared = base;
    process->shared_size = size;
    return 0;
}

static struct dispatch_vcpu *vcpus_of(const struct worker_process *process)
{
    return (struct dispatch_vcpu *)(process->shared + 1);
}

static struct blk_histograms *histograms_of(const struct worker_process *process)
{
    return (struct blk_histograms *)(vcpus_of(process) + process->vcpus);
}

/* What the worker has is let go of here, and not undone: no unlocking of images. The memory that
 * both have does not get into other workers. */
static void hand_over(struct worker_process *process)
{
    struct guest *guest = process->guest;
    struct vm_params *params = &guest->params;

    for (unsigned i = 0; i < params->n_disks; i++) {
        close_fd(&params->disk[i].raw.fd);
        free(params->disk[i].mem);
        params->disk[i].mem = NULL;
    }
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        close_fd(&params->serial[i].fd);
    for (unsigned i = 0; params->nic && i < MACHINE_NICS; i++)
        vm_nic_discard(&params->nic[i]);
    guest->hv->guest_handed_over(guest->hv_guest);
    madvise(process->shared, process->shared_size, MADV_DONTFORK);
    mprotect(process->shared, process->shared_size, PROT_READ);
}

static void watch(struct worker_process *process)
{
    ev_io_init(&process->exit_io, on_exit_io, process->pid_fd, EV_READ);
    ev_io_init(&process->sock_io, on_sock, process->sock, EV_READ);
    process->exit_io.data = process->sock_io.data = process;
    /* What it said comes before its end. */
    ev_set_priority(&process->exit_io, EV_MINPRI);
    ev_io_start(process->daemon->ev, &process->exit_io);
    ev_io_start(process->daemon->ev, &process->sock_io);
}

static int fork_it(struct worker_process *process, int sock[2])
{
    struct worker_child_params params = {
        .guest = process->guest,
        .sock = sock[1],
        .shared = process->shared,
        .vcpu = vcpus_of(process),
        .histograms = histograms_of(process),
    };
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (!pid)
        worker_child_main(&params);
    process->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process->pid_fd < 0) { /* EMFILE */
        int err = -errno;

        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0); /* it has nothing yet that could keep it */
        return err;
    }
    process->pid = pid;
    return 0;
}

int worker_process_start(struct guest *guest, char *ret_why, size_t size)
{
    struct worker_process *process = process_of(guest->worker);
    int sock[2], err;

    process->guest = guest;
    err = map_shared(process);
    if (!err && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock))
        err = -errno;
    if (!err) {
        err = fork_it(process, sock);
        close(sock[1]);
        if (err)
            close(sock[0]);
    }
    if (err) {
        process->guest = NULL;
        snprintf(ret_why, size, "its worker process: %s", strerror(-err));
        return err;
    }
    process->sock = sock[0];
    hand_over(process);
    watch(process);
    return 0;
}

/* ---- what it counts ---------------------------------------------------------------------------*/

static void check_bool(bool *value)
{
    uint8_t byte;

    memcpy(&byte, value, sizeof(byte));
    *value = byte != 0;
}

bool worker_process_counts(const struct worker *worker, struct worker_counts *ret_worker,
                           struct vm_counts *ret_vm)
{
    const struct worker_process *process = process_of(worker);

    if (!process->shared)
        return false;
    if (ret_worker) {
        vm_counts_move(ret_worker, &process->shared->worker, sizeof(*ret_worker));
        check_bool(&ret_worker->pool.locked);
        check_bool(&ret_worker->pool.huge);
    }
    if (ret_vm) {
        vm_counts_move(ret_vm, &process->shared->vm, sizeof(*ret_vm));
        vm_counts_check(ret_vm);
    }
    return true;
}

const struct dispatch_vcpu *worker_process_vcpus(const struct worker *worker, unsigned *ret_vcpus)
{
    *ret_vcpus = process_of(worker)->vcpus;
    return vcpus_of(process_of(worker));
}

const struct blk_histograms *worker_process_histograms(const struct worker *worker)
{
    return histograms_of(process_of(worker));
}

pid_t worker_process_pid(const struct worker *worker)
{
    return process_of(worker)->pid;
}
