/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What systemd does with Accept=yes, where there is no systemd. */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/opener.h"
#include "daemon/usernet.h"

struct listener {
    const struct log *log;
    int fd;
    unsigned children;
    struct log_limit said;
};

/* Memory, descriptors or processes are short: it is as if it happened later. */
static void wait_a_moment(struct listener *listener, const char *what)
{
    const struct timespec moment = {.tv_nsec = 100000000};
    struct timespec now;
    uint64_t suppressed;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (log_allow(&listener->said, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
                  &suppressed))
        log_write(listener->log, LOG_ERR, NULL, "event=connection-lost why=\"%s: %s\"", what,
                  strerror(errno));
    nanosleep(&moment, NULL);
}

/* As another program, so that the memory of one has nothing in common with another's. */
__attribute__((noreturn)) static void become_one(int fd)
{
    char *argv[] = {"ioemud-usernet", NULL};
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (fd == USERNET_CONNECTION)
        fcntl(fd, F_SETFD, 0);
    else if (dup2(fd, USERNET_CONNECTION) < 0)
        _exit(EXIT_FAILURE);
    if (!setenv("LISTEN_FDS", "1", 1) && !setenv("LISTEN_PID", pid, 1))
        execv("/proc/self/exe", argv);
    _exit(EXIT_FAILURE);
}

static void on_connection(struct ev_loop *ev, ev_io *io, int revents)
{
    struct listener *listener = io->data;
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    pid_t pid;

    if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
        return;
    if (fd < 0) {
        wait_a_moment(listener, "accept");
        return;
    }
    if (listener->children == USERNET_CONNECTIONS_MAX) {
        errno = EUSERS;
        wait_a_moment(listener, "connections");
        close(fd);
        return;
    }
    pid = fork();
    if (!pid)
        become_one(fd);
    if (pid < 0)
        wait_a_moment(listener, "fork");
    else
        listener->children++;
    close(fd);
}

static void on_child(struct ev_loop *ev, ev_child *child, int revents)
{
    struct listener *listener = child->data;

    if (listener->children)
        listener->children--;
}

static void on_signal(struct ev_loop *ev, ev_signal *received, int revents)
{
    ev_break(ev, EVBREAK_ALL);
}

int usernet_listen(const char *path, const struct log *log)
{
    struct ev_loop *ev = ev_default_loop(EVFLAG_AUTO | EVFLAG_NOENV); /* ev_child's */
    struct listener listener = {.log = log};
    char why[OPENER_WHY_SIZE];
    ev_signal term, interrupt;
    ev_child child;
    ev_io io;

    if (!ev || opener_listen(path, SOCK_SEQPACKET, 0600, "", &listener.fd, why)) {
        log_write(log, LOG_ERR, NULL, "event=start-failed why=\"%s\"", ev ? why : "no event loop");
        return EXIT_FAILURE;
    }
    ev_io_init(&io, on_connection, listener.fd, EV_READ);
    ev_child_init(&child, on_child, 0, 0);
    ev_signal_init(&term, on_signal, SIGTERM);
    ev_signal_init(&interrupt, on_signal, SIGINT);
    io.data = child.data = &listener;
    ev_io_start(ev, &io);
    ev_child_start(ev, &child);
    ev_signal_start(ev, &term);
    ev_signal_start(ev, &interrupt);
    ev_run(ev, 0);
    unlink(path);
    close(listener.fd);
    return EXIT_SUCCESS;
}
