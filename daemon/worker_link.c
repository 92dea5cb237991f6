/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between the control side and a worker process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/sandbox.h"
#include "daemon/worker_process_priv.h"
#include "ioreq/hv_shm_reaper.h"

/* The most descriptors that the kernel lets through with a message. */
#define SCM_FDS 253u

/* Reports that are taken in one turn of the loop; the rest waits for the next. */
#define REPORTS_PER_TURN 32u
/* Orders that wait for room: of a process, and of each of its guests besides. A reload has two for
 * each guest, an administrator as many as he likes. */
#define WAITING_MAX      64u
#define WAITING_OF_GUEST 16u

/* ---- orders -----------------------------------------------------------------------------------*/

static int send_order(struct worker_process *process, struct worker_order *order)
{
    union {
        char bytes[CMSG_SPACE(WORKER_ORDER_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {order, worker_order_size(order->kind)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int *fds[WORKER_ORDER_FDS], sent[WORKER_ORDER_FDS];
    unsigned places = worker_order_fds(order, fds), count = 0;

    for (unsigned i = 0; i < places; i++)
        if (*fds[i] >= 0)
            sent[count++] = *fds[i];
    if (count) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.align = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), sent, count * sizeof(int));
    }
    return sendmsg(process->sock, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void drop_waiting(struct worker_process *process)
{
    while (process->first) {
        struct worker_waiting *waiting = process->first;

        process->first = waiting->next;
        worker_order_discard(&waiting->order);
        free(waiting);
    }
    process->tail = &process->first;
    process->n_waiting = 0;
}

static bool is_gone(int err)
{
    return err == -EPIPE || err == -ECONNRESET;
}

/* For room in the socket, or until the kernel has again what it was short of. */
static void wait_longer(struct worker_process *process, int err)
{
    struct ev_loop *ev = process->daemon->ev;

    if (!worker_is_short(err)) {
        ev_io_start(ev, &process->room_io);
        return;
    }
    ev_io_stop(ev, &process->room_io);
    ev_timer_set(&process->again, WORKER_AGAIN_S, 0.);
    ev_timer_start(ev, &process->again);
}

static void send_waiting(struct worker_process *process)
{
    while (process->first) {
        struct worker_waiting *waiting = process->first;
        int err = send_order(process, &waiting->order);

        if (err == -EAGAIN || worker_is_short(err)) {
            wait_longer(process, err);
            return;
        }
        if (err) {
            if (!is_gone(err))
                worker_process_lose(process, strerror(-err));
            break;
        }
        process->first = waiting->next;
        if (!process->first)
            process->tail = &process->first;
        process->n_waiting--;
        worker_order_discard(&waiting->order); /* it has its own */
        free(waiting);
    }
    ev_io_stop(process->daemon->ev, &process->room_io);
}

static void on_room(struct ev_loop *ev, ev_io *io, int revents)
{
    send_waiting(io->data);
}

static void on_again(struct ev_loop *ev, ev_timer *timer, int revents)
{
    send_waiting(timer->data);
}

static void wait_for_room(struct worker_process *process, struct worker_order *order, int err)
{
    size_t size = worker_order_size(order->kind);
    struct worker_waiting *waiting = NULL;

    if (process->n_waiting < WAITING_MAX + WAITING_OF_GUEST * process->n_seats)
        waiting = malloc(offsetof(struct worker_waiting, order) + size);
    if (!waiting) {
        worker_order_discard(order);
        worker_process_lose(process, "takes no orders");
        return;
    }
    waiting->next = NULL;
    memcpy(&waiting->order, order, size);
    *process->tail = waiting;
    process->tail = &waiting->next;
    if (!process->n_waiting++) /* else the first of them is waited for already */
        wait_longer(process, err);
}

void worker_link_tell(struct worker_process *process, struct worker_order *order)
{
    int err = process->sock < 0 ? -EPIPE : process->first ? -EAGAIN : send_order(process, order);

    if (err == -EAGAIN || worker_is_short(err)) {
        wait_for_room(process, order, err);
        return;
    }
    worker_order_discard(order);
    if (err && !is_gone(err))
        worker_process_lose(process, strerror(-err));
}

/* ---- reports ----------------------------------------------------------------------------------*/

static void on_listener(struct ev_loop *ev, ev_io *io, int revents)
{
    struct worker_process *process = io->data;
    const struct log *log = &process->daemon->log;
    struct sandbox_attempt attempt;
    char call[SANDBOX_NAME_SIZE];
    uint64_t suppressed;
    int err = sandbox_denied(process->listener, &attempt);

    if (err == -EPIPE) {
        ev_io_stop(ev, io);
        worker_process_close_fd(&process->listener);
    }
    if (err || !log_allow(&process->tried, worker_process_now(process), &suppressed))
        return;
    if (suppressed)
        log_write(log, LOG_CRIT, worker_process_name(process), "event=log-limit suppressed=%llu",
                  (unsigned long long)suppressed);
    sandbox_call_name(attempt.number, call);
    log_write(log, LOG_CRIT, worker_process_name(process),
              "event=system-call-denied worker=%u pid=%d call=%s first=%#x second=%#x "
              "hint=\"no worker of ours does that: it may be captured\"",
              process->worker.params.id, (int)attempt.tid, call, attempt.first, attempt.second);
}

static void take_listener(struct worker_process *process, int fd)
{
    if (process->confined || fd < 0) {
        worker_process_close_fd(&fd);
        worker_process_lose(process, "no listener, or another one");
        return;
    }
    process->confined = true;
    process->listener = fd;
    ev_io_init(&process->listener_io, on_listener, fd, EV_READ);
    process->listener_io.data = process;
    ev_io_start(process->daemon->ev, &process->listener_io);
}

/* What is no guest's. */
static void take_log(struct worker_process *process, const struct worker_report *report)
{
    const struct log *log = &process->daemon->log;
    uint64_t suppressed;

    if (report->log.priority <= log_level(log) &&
        log_allow(&process->said, worker_process_now(process), &suppressed))
        log_write(log, report->log.priority, NULL, "worker=%u %s", process->worker.params.id,
                  report->log.text);
}

/* It may be over afterwards. */
static void take(struct worker_process *process, const struct worker_report *report, int fd)
{
    struct worker_seat *seat = worker_seat_find(process, report->guest);

    switch (report->kind) {
    case REPORT_LISTENER:
        take_listener(process, fd);
        break;
    case REPORT_FAILED:
        if (process->confined)
            worker_process_lose(process, "failed after its beginning");
        else
            worker_seats_fail(process, report->reply.err ? report->reply.err : -EIO,
                              report->reply.why);
        break;
    case REPORT_BEAT:
        if (process->beats)
            process->beats = 0;
        else
            worker_process_lose(process, "a sign of life that nobody asked for");
        break;
    default:
        if (report->kind == REPORT_LOG && report->guest == REPORT_NO_GUEST)
            take_log(process, report);
        else if (seat && process->confined)
            worker_seat_take(seat, report);
        else
            worker_process_lose(process, "a report of a guest that it has not, or not yet");
        break;
    }
}

/* Those that came with a message: one is taken, until one has been. What else there is has been
 * made by who knows whom, and closing it may take as long as he likes. Returns how many there were.
 */
static unsigned take_descriptors(struct worker_process *process, struct msghdr *message,
                                 int *ret_fd)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    int fds[SCM_FDS];
    size_t count = 0;

    if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
        count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(cmsg), count * sizeof(int));
    }
    if (count == 1 && !process->confined)
        *ret_fd = fds[0];
    else
        hv_shm_reaper_close_all(process->daemon->reaper, fds, (unsigned)count);
    return (unsigned)count;
}

/* Its length, or -errno. Another number of descriptors than there may be makes it one that no
 * report has. */
static ssize_t receive(struct worker_process *process, struct worker_report *report, int *ret_fd)
{
    union {
        char bytes[CMSG_SPACE(SCM_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {report, sizeof(*report)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(process->sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    unsigned most = process->confined ? 0 : 1;

    *ret_fd = -1;
    if (length < 0)
        return -errno;
    return take_descriptors(process, &message, ret_fd) > most || message.msg_flags & MSG_TRUNC
               ? (ssize_t)sizeof(*report) + 1
               : length;
}

void worker_link_take(struct worker_process *process, unsigned most)
{
    struct worker_report report;

    for (unsigned i = 0; i < most && process->sock >= 0; i++) {
        int fd;
        ssize_t length = receive(process, &report, &fd);

        if (length == 0) /* it has closed it: its end follows */
            ev_io_stop(process->daemon->ev, &process->sock_io);
        if (length <= 0)
            return;
        if (!worker_report_check(&report, (size_t)length) ||
            (fd >= 0 && report.kind != REPORT_LISTENER)) {
            worker_process_close_fd(&fd);
            worker_process_lose(process, "a report that does not exist");
            return;
        }
        take(process, &report, fd);
    }
}

static void on_sock(struct ev_loop *ev, ev_io *io, int revents)
{
    worker_link_take(io->data, REPORTS_PER_TURN);
}

/* ---- the link ---------------------------------------------------------------------------------*/

void worker_link_open(struct worker_process *process, int sock)
{
    process->sock = sock;
    ev_io_init(&process->sock_io, on_sock, sock, EV_READ);
    ev_io_init(&process->room_io, on_room, sock, EV_WRITE);
    ev_timer_init(&process->again, on_again, WORKER_AGAIN_S, 0.);
    process->sock_io.data = process->room_io.data = process->again.data = process;
    ev_io_start(process->daemon->ev, &process->sock_io);
}

/* Messages that nobody has read go with it, and what they have brought along. */
static void close_sock(struct worker_process *process)
{
    shutdown(process->sock, SHUT_RDWR); /* there will be no more */
    hv_shm_reaper_close(process->daemon->reaper, process->sock);
    process->sock = -1;
}

void worker_link_close(struct worker_process *process)
{
    if (process->sock >= 0) {
        ev_io_stop(process->daemon->ev, &process->sock_io);
        ev_io_stop(process->daemon->ev, &process->room_io);
        ev_timer_stop(process->daemon->ev, &process->again);
        close_sock(process);
    }
    if (process->listener >= 0)
        ev_io_stop(process->daemon->ev, &process->listener_io);
    worker_process_close_fd(&process->listener);
    drop_waiting(process);
}
