/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv_shm, control side: the listening socket and the way of a connection to a guest.
 *
 *   accept -> waiting for HELLO -> offered (`peer` event) -> taken by guest_create()
 *                    |                  |
 *                    +---- refused, deadline, hung up: closed
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "ioreq/hv_shm_priv.h"

/* Events handled in one host_dispatch(), so that the control side gets on with other things. */
#define EVENTS_PER_TURN 64
/* What peers make us say, together: as many lines a minute (daemon/log.h has as many a guest). */
#define LOG_LINES       20
#define LOG_WINDOW_NS   60000000000ull
#define ACCEPT_RETRY_NS 1000000000ull
/* How long the control side may take over a peer that it said it would: the disks of its former
 * self may have to drain. */
#define TAKE_NS 30000000000ull

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void hv_shm_host_log(struct hv_host *host, int priority, const char *format, ...)
{
    uint64_t now = now_ns();
    char line[256];
    va_list args;

    if (!host->events->log)
        return;
    if (!host->log_lines || now - host->log_window_ns >= LOG_WINDOW_NS) {
        unsigned suppressed = host->log_suppressed;

        host->log_window_ns = now;
        host->log_lines = host->log_suppressed = 0;
        if (suppressed) {
            snprintf(line, sizeof(line), "event=suppressed lines=%u", suppressed);
            host->events->log(host->ctx, LOG_WARNING, line);
        }
    }
    if (host->log_lines >= LOG_LINES) {
        host->log_suppressed++;
        return;
    }
    host->log_lines++;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    host->events->log(host->ctx, priority, line);
}

static int watch(struct hv_host *host, int fd, uint32_t events, const void *what)
{
    struct epoll_event event = {.events = events, .data.ptr = (void *)(uintptr_t)what};

    return epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void unwatch(struct hv_host *host, int fd)
{
    epoll_ctl(host->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static const enum hv_shm_watch listen_watch = HV_SHM_WATCH_LISTEN;
static const enum hv_shm_watch timer_watch = HV_SHM_WATCH_TIMER;

/* To the next deadline, or off. */
static void timer_set(struct hv_host *host)
{
    struct itimerspec when = {0};
    uint64_t next = host->listening ? UINT64_MAX : now_ns() + ACCEPT_RETRY_NS;

    for (const struct hv_shm_conn *conn = host->conns; conn; conn = conn->next)
        if (conn->deadline_ns < next)
            next = conn->deadline_ns;
    if (next != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(next / 1000000000u);
        when.it_value.tv_nsec = (long)(next % 1000000000u);
    }
    timerfd_settime(host->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Out of the list; the socket stays open. */
static void conn_unlink(struct hv_host *host, struct hv_shm_conn *conn)
{
    struct hv_shm_conn **at = &host->conns;

    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    host->conn_count--;
    unwatch(host, conn->fd);
    timer_set(host);
}

/* Whoever connects may have sent something already, with descriptors. */
static void hang_up(struct hv_host *host, int fd)
{
    shutdown(fd, SHUT_RDWR); /* at once, whenever it is closed */
    hv_shm_reaper_close(host->reaper, fd);
}

static void conn_drop(struct hv_host *host, struct hv_shm_conn *conn)
{
    conn_unlink(host, conn);
    hang_up(host, conn->fd);
    hv_shm_hello_finish(&conn->hello);
    hv_shm_kept_free(host->reaper, conn->kept);
    free(conn);
}

static void conn_refuse(struct hv_host *host, struct hv_shm_conn *conn, int error, const char *why)
{
    struct hv_shm_refused refused = {.error = error};

    snprintf(refused.reason, sizeof(refused.reason), "%s", why);
    hv_shm_send(conn->fd, HV_SHM_REFUSED, &refused, sizeof(refused), NULL, 0);
    hv_shm_host_log(host, LOG_WARNING, "event=peer-refused name=%s error=%d reason=\"%s\"",
                    conn->hello.name, -error, why);
    conn_drop(host, conn);
}

/* Makes room: a peer that says nothing gives way to one that might. */
static bool conn_evict(struct hv_host *host)
{
    struct hv_shm_conn *oldest = NULL;

    for (struct hv_shm_conn *conn = host->conns; conn; conn = conn->next)
        if (!conn->offered)
            oldest = conn;
    if (!oldest)
        return false;
    conn_refuse(host, oldest, -EBUSY, "too many connections without a HELLO");
    return true;
}

static void listen_stop(struct hv_host *host)
{
    unwatch(host, host->listen_fd);
    host->listening = false;
    timer_set(host);
}

static void host_accept(struct hv_host *host)
{
    struct hv_shm_conn *conn;
    int fd;

    if (hv_shm_reaper_busy(host->reaper)) {
        listen_stop(host);
        return;
    }
    fd = accept4(host->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        /* Short of descriptors or memory: the socket would stay readable, so look away a while. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            hv_shm_host_log(host, LOG_ERR, "event=accept-failed error=%d", errno);
            listen_stop(host);
        }
        return;
    }
    if (host->conn_count >= HV_SHM_HALF_OPEN && !conn_evict(host)) {
        hang_up(host, fd);
        return;
    }
    conn = calloc(1, sizeof(*conn));
    if (!conn) {
        hang_up(host, fd);
        return;
    }
    conn->watch = HV_SHM_WATCH_CONN;
    conn->fd = fd;
    conn->deadline_ns = now_ns() + HV_SHM_DEADLINE_MS * 1000000ull;
    if (watch(host, fd, EPOLLIN | EPOLLRDHUP, conn) < 0) {
        hang_up(host, fd);
        free(conn);
        return;
    }
    conn->next = host->conns;
    host->conns = conn;
    host->conn_count++;
    timer_set(host);
}

struct hv_shm_conn *hv_shm_host_offered(struct hv_host *host, const void *peer)
{
    for (struct hv_shm_conn *conn = host->conns; conn; conn = conn->next)
        if (conn == peer)
            return conn->offered ? conn : NULL;
    return NULL;
}

void hv_shm_host_take(struct hv_host *host, struct hv_shm_conn *conn)
{
    conn_unlink(host, conn);
}

void hv_shm_peer_refuse(struct hv_host *host, void *peer, int error, const char *why)
{
    struct hv_shm_conn *conn = hv_shm_host_offered(host, peer);

    if (conn)
        conn_refuse(host, conn, error, why);
}

void hv_shm_kept_free(struct hv_shm_reaper *reaper, struct hv_shm_kept *kept)
{
    if (kept)
        hv_shm_reaper_close_all(reaper, kept->fds, kept->fd_count);
    free(kept);
}

/* The descriptors are its own on success. */
static int keep(struct hv_shm_conn *conn, const uint64_t *message, int len, const int *fds,
                unsigned fd_count)
{
    struct hv_shm_kept *kept = calloc(1, sizeof(*kept));

    if (!kept)
        return -ENOMEM;
    memcpy(kept->message, message, (size_t)len);
    memcpy(kept->fds, fds, fd_count * sizeof(fds[0]));
    kept->length = (unsigned)len;
    kept->fd_count = fd_count;
    conn->kept = kept;
    return 0;
}

static void conn_hello(struct hv_host *host, struct hv_shm_conn *conn)
{
    uint64_t message[HV_SHM_MESSAGE_MAX / sizeof(uint64_t)];
    struct epoll_event hangup_only = {.events = EPOLLRDHUP, .data.ptr = conn};
    int fds[HV_SHM_HELLO_FDS];
    const char *why = NULL;
    unsigned fd_count = 0;
    int len, rc;

    len = hv_shm_receive(conn->fd, host->reaper, message, fds, &fd_count);
    if (len == -EAGAIN)
        return;
    if (len == 0) {
        conn_drop(host, conn);
        return;
    }
    if (len < 0) {
        conn_refuse(host, conn, len, "malformed message");
        return;
    }
    rc = hv_shm_hello_parse(message, (size_t)len, fds, fd_count, &conn->hello, &why);
    if (rc == 0 && host->packs) {
        why = "out of memory";
        rc = keep(conn, message, len, fds, fd_count);
    }
    if (!conn->kept)
        hv_shm_reaper_close_all(host->reaper, fds, fd_count);
    if (rc < 0) {
        conn_refuse(host, conn, rc, why);
        return;
    }
    conn->offered = true;
    conn->deadline_ns = now_ns() + TAKE_NS;
    timer_set(host);
    /* What it sends from now on waits for the guest. */
    epoll_ctl(host->epoll_fd, EPOLL_CTL_MOD, conn->fd, &hangup_only);
    rc = host->events->peer ? host->events->peer(host->ctx, conn->hello.name, conn) : -ENOSYS;
    if (rc < 0 && hv_shm_host_offered(host, conn))
        conn_refuse(host, conn, rc, strerror(-rc));
}

static void conn_event(struct hv_host *host, struct hv_shm_conn *conn, uint32_t events)
{
    if (conn->offered || !(events & EPOLLIN))
        conn_drop(host, conn);
    else
        conn_hello(host, conn);
}

static void guest_event(struct hv_host *host, struct hv_guest *guest)
{
    const char *why = __atomic_load_n(&guest->gone_why, __ATOMIC_ACQUIRE);

    /* Once. The socket stays open until guest_destroy(): the worker may be using it. */
    unwatch(host, guest->sock);
    hv_shm_host_log(host, why ? LOG_WARNING : LOG_INFO, "event=peer-gone reason=\"%s\"",
                    why ? why : "hung up");
    if (host->events->guest_gone)
        host->events->guest_gone(host->ctx, guest);
}

static void timer_event(struct hv_host *host)
{
    uint64_t expirations, now = now_ns();
    struct hv_shm_conn *next;

    if (read(host->timer_fd, &expirations, sizeof(expirations)) < 0)
        return;
    for (struct hv_shm_conn *conn = host->conns; conn; conn = next) {
        next = conn->next;
        if (conn->deadline_ns <= now)
            conn_refuse(host, conn, -ETIMEDOUT,
                        conn->offered ? "nobody took the guest" : "no HELLO in time");
    }
    if (!host->listening)
        host->listening = watch(host, host->listen_fd, EPOLLIN, &listen_watch) == 0;
    timer_set(host);
}

int hv_shm_host_open(const struct hv_host_params *params, struct hv_host **ret_host)
{
    struct hv_host *host = calloc(1, sizeof(*host));
    int flags, rc;

    if (!host)
        return -ENOMEM;
    host->events = params->events;
    host->ctx = params->ctx;
    host->listen_fd = params->listen_fd;
    host->packs = params->packs;
    host->listening = true;
    host->timer_fd = host->epoll_fd = -1;
    rc = hv_shm_reaper_create(&host->reaper);
    if (rc < 0)
        goto fail;
    host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (host->epoll_fd >= 0)
        host->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (host->timer_fd < 0) {
        rc = -errno;
        goto fail;
    }
    flags = fcntl(host->listen_fd, F_GETFL);
    if (flags < 0 || fcntl(host->listen_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        rc = -errno;
        goto fail;
    }
    rc = watch(host, host->listen_fd, EPOLLIN, &listen_watch);
    if (rc == 0)
        rc = watch(host, host->timer_fd, EPOLLIN, &timer_watch);
    if (rc < 0)
        goto fail;
    *ret_host = host;
    return 0;

fail:
    if (host->timer_fd >= 0)
        close(host->timer_fd);
    if (host->epoll_fd >= 0)
        close(host->epoll_fd);
    hv_shm_reaper_destroy(host->reaper);
    free(host);
    return rc;
}

void hv_shm_host_close(struct hv_host *host)
{
    if (!host)
        return;
    while (host->conns)
        conn_drop(host, host->conns);
    hv_shm_reaper_close(host->reaper, host->listen_fd); /* with those in its queue */
    close(host->timer_fd);
    close(host->epoll_fd);
    hv_shm_reaper_destroy(host->reaper);
    free(host);
}

int hv_shm_host_fd(const struct hv_host *host)
{
    return host->epoll_fd;
}

/* For what a guest's messages bring along. */
int hv_shm_host_bare(struct hv_host **ret_host)
{
    struct hv_host *host = calloc(1, sizeof(*host));
    int rc;

    if (!host)
        return -ENOMEM;
    host->epoll_fd = host->listen_fd = host->timer_fd = -1;
    rc = hv_shm_reaper_create(&host->reaper);
    if (rc < 0) {
        free(host);
        return rc;
    }
    *ret_host = host;
    return 0;
}

int hv_shm_host_dispatch(struct hv_host *host)
{
    /* One event at a time: a callback may destroy what a later one would point to. */
    for (unsigned i = 0; i < EVENTS_PER_TURN; i++) {
        struct epoll_event event;
        int n = epoll_wait(host->epoll_fd, &event, 1, 0);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            break;
        switch (*(const enum hv_shm_watch *)event.data.ptr) {
        case HV_SHM_WATCH_LISTEN:
            host_accept(host);
            break;
        case HV_SHM_WATCH_TIMER:
            timer_event(host);
            break;
        case HV_SHM_WATCH_CONN:
            conn_event(host, event.data.ptr, event.events);
            break;
        case HV_SHM_WATCH_GUEST:
            guest_event(host, event.data.ptr);
            break;
        }
    }
    return 0;
}
