// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A pty's other end, and who listens there
 *
 * The master of a pty whose slave nobody has open reports a hangup for ever, on which a loop would
 * spin. So the slave is held open here. Then no hangup tells whether anybody else has it open,
 * which only matters when the kernel's buffer and our ring are full: the slave is let go, and
 * either the hangup is there at once (nobody: what was written is thrown away and the slave is held
 * again) or it comes when the listener leaves. Once output moves, the slave is held again.
 *
 *            ring full, nobody: flush, drop
 *            +----+
 *            v    |          ring full, somebody
 *   ------> HELD -+ -------------------------------> LET GO  (chr_write() refuses)
 *             ^                                        |
 *             +----------------------------------------+
 *               writable, or hangup: flush, drop
 */
#include "devices/backend/chr.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#define RING_SIZE 4096u /* a power of two */
#define INPUT_MAX 256u

enum chr_kind {
    CHR_SINK,   /* a file: never refuses, has no input */
    CHR_TTY,    /* a terminal line that is not ours to hold */
    CHR_PTY,    /* the master's side */
    CHR_SOCKET, /* connected, or -1 while waiting for a client */
};

struct chr {
    const struct loop *loop;
    const struct chr_client_ops *client;
    void *owner;
    enum chr_kind kind;
    bool read_input;
    int fd, slave_fd, listen_fd; /* -1: none */
    struct loop_watch *watch, *listen_watch;
    struct loop_task flush_task;
    bool stalled;         /* the device has no room for input */
    bool blocked;         /* the other end takes nothing now */
    bool refused;         /* chr_write() said no, writable() is owed */
    bool given_up;        /* chr_give_up(), and nothing has been taken since */
    bool deaf;            /* listening stopped for want of descriptors */
    uint64_t size, limit; /* of a file; limit 0: none */
    uint64_t renew_ns;    /* when it may be renewed */
    uint64_t dropped;
    bool renewing; /* asked for a fresh one */
    struct loop_task full_task;
    uint32_t head, tail; /* free-running: written at head, sent from tail */
    uint8_t ring[RING_SIZE];
};

static uint32_t ring_used(const struct chr *chr)
{
    return chr->head - chr->tail;
}

static void rewatch(struct chr *chr)
{
    if (!chr->watch)
        return;
    unsigned events = 0;
    if (chr->read_input && chr->client && !chr->stalled)
        events |= LOOP_READ;
    if (chr->blocked)
        events |= LOOP_WRITE;
    chr->loop->ops->rewatch(chr->loop->ctx, chr->watch, events);
}

static void set_listening(struct chr *chr, bool on)
{
    chr->loop->ops->rewatch(chr->loop->ctx, chr->listen_watch, on ? LOOP_READ : 0);
}

/* The last thing in a callback: the device may do anything. */
static void tell_writable(struct chr *chr)
{
    if (!chr->refused || ring_used(chr) == RING_SIZE)
        return;
    chr->refused = false;
    if (chr->client && chr->client->writable)
        chr->client->writable(chr->owner);
}

static void drop_output(struct chr *chr)
{
    chr->dropped += ring_used(chr);
    chr->tail = chr->head;
    chr->blocked = chr->given_up = false;
}

/* Raw: a fresh terminal would echo the guest's output back as its input. */
static int hold_slave(struct chr *chr)
{
    if (chr->slave_fd >= 0)
        return 0;
    int fd = ioctl(chr->fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct termios termios;
    if (tcgetattr(fd, &termios) == 0) {
        cfmakeraw(&termios);
        (void)tcsetattr(fd, TCSANOW, &termios);
    }
    chr->slave_fd = fd;
    return 0;
}

static void let_slave_go(struct chr *chr)
{
    if (chr->slave_fd >= 0)
        close(chr->slave_fd);
    chr->slave_fd = -1;
}

static bool hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd};
    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* The line is gone for good, its last listener has left, or its slave was hung up. */
static void on_hangup(struct chr *chr)
{
    drop_output(chr);
    if (chr->kind == CHR_PTY) {
        let_slave_go(chr);
        /* Once: a line that cannot be held (no descriptor) stays dead rather than spinning. */
        if (hold_slave(chr) == 0 && !hung_up(chr->fd)) {
            (void)tcflush(chr->slave_fd, TCIOFLUSH);
            (void)tcflush(chr->fd, TCIFLUSH); /* an echo that is under way */
            rewatch(chr);
            return;
        }
    }
    if (chr->kind == CHR_SOCKET && chr->fd >= 0) {
        chr->loop->ops->unwatch(chr->loop->ctx, chr->watch);
        chr->watch = NULL;
        close(chr->fd);
        chr->fd = -1;
        chr->stalled = false;
        if (chr->listen_watch)
            set_listening(chr, true);
        return;
    }
    chr->loop->ops->unwatch(chr->loop->ctx, chr->watch);
    chr->watch = NULL;
}

/* Whether anybody could take output; drops what nobody will. */
static bool somebody_listens(struct chr *chr)
{
    switch (chr->kind) {
    case CHR_SINK:
        return false;
    case CHR_TTY:
        return chr->watch != NULL;
    case CHR_SOCKET:
        return chr->fd >= 0;
    case CHR_PTY:
        break;
    }
    if (!chr->watch)
        return false;
    let_slave_go(chr);
    if (!hung_up(chr->fd))
        return true;
    on_hangup(chr);
    return false;
}

static ssize_t send_ring(struct chr *chr)
{
    uint32_t at = chr->tail % RING_SIZE, used = ring_used(chr);
    uint32_t straight = used < RING_SIZE - at ? used : RING_SIZE - at;
    struct iovec iov[2] = {{chr->ring + at, straight}, {chr->ring, used - straight}};
    if (chr->kind == CHR_SOCKET) /* the rest, where the ring ends, with the next call */
        return send(chr->fd, iov[0].iov_base, straight, MSG_NOSIGNAL | MSG_DONTWAIT);
    return writev(chr->fd, iov, straight == used ? 1 : 2);
}

/* True: no more fits into the file, and a fresh one is asked for. */
static bool file_full(struct chr *chr)
{
    const struct loop *loop = chr->loop;
    if (!chr->limit || chr->size < chr->limit)
        return false;
    if (!chr->renewing && loop->ops->now_ns(loop->ctx) >= chr->renew_ns) {
        chr->renewing = true;
        loop->ops->defer(loop->ctx, &chr->full_task);
    }
    return true;
}

static void flush(struct chr *chr)
{
    if (!ring_used(chr) || (chr->kind != CHR_SINK && !chr->watch))
        return;
    if (file_full(chr)) {
        drop_output(chr);
        return;
    }
    ssize_t n = send_ring(chr);
    if (n > 0) {
        chr->tail += (uint32_t)n;
        chr->size += (uint64_t)n;
        chr->given_up = false;
        if (chr->kind == CHR_PTY)
            (void)hold_slave(chr); /* without, a hangup takes it again */
        chr->blocked = ring_used(chr) != 0;
    } else if (chr->kind == CHR_SINK) {
        drop_output(chr); /* a full filesystem: a console log is not worth a guest's standstill */
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        chr->blocked = true;
    } else {
        on_hangup(chr);
    }
    /* A file takes what is left when there is more; nothing would tell us when. */
    if (chr->kind == CHR_SINK && chr->blocked)
        chr->loop->ops->defer(chr->loop->ctx, &chr->flush_task);
    rewatch(chr);
}

static void run_flush(void *arg)
{
    struct chr *chr = arg;
    if (chr->deaf) {
        chr->deaf = false;
        set_listening(chr, true);
    }
    flush(chr);
    tell_writable(chr);
}

/* False: the line was hung up. Bounded: what is left makes the descriptor readable again. */
static bool take_input(struct chr *chr)
{
    uint8_t bytes[INPUT_MAX];
    size_t room = chr->client->room(chr->owner);
    if (!room) {
        chr->stalled = true;
        rewatch(chr);
        return true;
    }
    ssize_t n = read(chr->fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
    if (n > 0) {
        chr->client->input(chr->owner, bytes, (size_t)n);
        return true;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_events(void *arg, unsigned events)
{
    struct chr *chr = arg;
    /* Output first: after input() the device may have closed us. */
    if (events & LOOP_WRITE) {
        if (chr->kind == CHR_PTY && chr->slave_fd < 0 && hung_up(chr->fd))
            on_hangup(chr);
        else
            flush(chr);
        if (chr->refused) {
            /* Input that is there too is told of again by the loop. */
            tell_writable(chr);
            return;
        }
    }
    if (!(events & LOOP_READ) || !chr->watch || !chr->client || chr->stalled)
        return;
    /* vhangup(2) on the slave takes our hold too, and makes the terminal echo: what there is to
     * read may be the guest's own output. */
    bool dead_hold = chr->slave_fd >= 0 && hung_up(chr->slave_fd);
    if (!dead_hold && take_input(chr))
        return;
    on_hangup(chr);
    tell_writable(chr);
}

static int start_watch(struct chr *chr, int fd)
{
    const struct loop *loop = chr->loop;
    return loop->ops->watch(loop->ctx, fd, 0, on_events, chr, &chr->watch);
}

static void on_connection(void *arg, unsigned events)
{
    struct chr *chr = arg;
    int fd = accept4(chr->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        /* The connection stays pending and the descriptor readable: not now, or we would spin. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            chr->deaf = true;
            set_listening(chr, false);
        }
        return;
    }
    if (start_watch(chr, fd)) {
        close(fd);
        return;
    }
    chr->fd = fd;
    chr->stalled = false;
    set_listening(chr, false);
    rewatch(chr);
}

void chr_bind(struct chr *chr, const struct chr_client_ops *ops, void *owner)
{
    chr->client = ops;
    chr->owner = owner;
    rewatch(chr);
}

void chr_give_up(struct chr *chr)
{
    chr->given_up = chr->refused;
    chr->refused = false;
}

bool chr_write(struct chr *chr, uint8_t byte)
{
    const struct loop *loop = chr->loop;
    if (chr->kind != CHR_SINK && !chr->watch) {
        if (chr->deaf)
            loop->ops->defer(loop->ctx, &chr->flush_task);
        return true;
    }
    if (ring_used(chr) == RING_SIZE) {
        /* Not sent yet in this turn, or not taken? */
        if (!chr->blocked || chr->kind == CHR_SINK)
            flush(chr);
        if (ring_used(chr) == RING_SIZE && chr->kind == CHR_SINK)
            drop_output(chr);
        if (ring_used(chr) == RING_SIZE && chr->given_up)
            return true;
        if (ring_used(chr) == RING_SIZE && !chr->refused && somebody_listens(chr))
            chr->refused = true;
        if (ring_used(chr) == RING_SIZE) {
            rewatch(chr);
            return false;
        }
        if (chr->kind != CHR_SINK && !chr->watch)
            return true;
    }
    chr->ring[chr->head++ % RING_SIZE] = byte;
    if (!chr->blocked)
        loop->ops->defer(loop->ctx, &chr->flush_task);
    return true;
}

void chr_accept(struct chr *chr)
{
    if (!chr->stalled)
        return;
    chr->stalled = false;
    rewatch(chr);
}

static int create(const struct loop *loop, struct chr **ret_chr)
{
    struct chr *chr = calloc(1, sizeof(*chr));
    if (!chr)
        return -ENOMEM;
    chr->loop = loop;
    chr->fd = chr->slave_fd = chr->listen_fd = -1;
    chr->flush_task = (struct loop_task){.run = run_flush, .arg = chr};
    *ret_chr = chr;
    return 0;
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
}

static int kind_of(int fd, enum chr_kind *ret_kind)
{
    struct stat st;
    int number;
    if (fstat(fd, &st))
        return -errno;
    if (S_ISSOCK(st.st_mode))
        *ret_kind = CHR_SOCKET;
    else if (S_ISCHR(st.st_mode) && ioctl(fd, TIOCGPTN, &number) == 0)
        *ret_kind = CHR_PTY;
    else if (S_ISCHR(st.st_mode) && isatty(fd))
        *ret_kind = CHR_TTY;
    else if (S_ISREG(st.st_mode) || S_ISCHR(st.st_mode))
        *ret_kind = CHR_SINK;
    else
        return -EINVAL;
    return 0;
}

int chr_open_fd(int fd, bool read_input, const struct loop *loop, struct chr **ret_chr)
{
    struct chr *chr;
    int error = create(loop, &chr);
    if (error)
        return error;
    error = kind_of(fd, &chr->kind);
    if (!error)
        error = set_nonblocking(fd);
    if (error)
        goto free_chr;
    chr->fd = fd;
    chr->read_input = read_input && chr->kind != CHR_SINK;
    if (chr->kind == CHR_PTY)
        error = hold_slave(chr);
    if (!error && chr->kind != CHR_SINK)
        error = start_watch(chr, fd);
    if (error)
        goto let_go;
    *ret_chr = chr;
    return 0;

let_go:
    let_slave_go(chr);
free_chr:
    free(chr);
    return error;
}

int chr_open_listener(int listen_fd, const struct loop *loop, struct chr **ret_chr)
{
    struct chr *chr;
    int error = create(loop, &chr);
    if (error)
        return error;
    error = set_nonblocking(listen_fd);
    if (!error)
        error = loop->ops->watch(loop->ctx, listen_fd, LOOP_READ, on_connection, chr,
                                 &chr->listen_watch);
    if (error) {
        free(chr);
        return error;
    }
    chr->kind = CHR_SOCKET;
    chr->read_input = true;
    chr->listen_fd = listen_fd;
    *ret_chr = chr;
    return 0;
}

void chr_limit(struct chr *chr, uint64_t bytes, void (*full)(void *arg), void *arg)
{
    struct stat st;
    if (chr->kind != CHR_SINK || fstat(chr->fd, &st) || !S_ISREG(st.st_mode))
        return;
    chr->size = (uint64_t)st.st_size;
    chr->limit = bytes;
    chr->full_task = (struct loop_task){.run = full, .arg = arg};
}

void chr_renew(struct chr *chr, int fd)
{
    const struct loop *loop = chr->loop;
    struct stat st;
    assert(chr->renewing);
    chr->renewing = false;
    chr->renew_ns = loop->ops->now_ns(loop->ctx) + CHR_RENEW_NS;
    if (fd < 0)
        return;
    close(chr->fd);
    chr->fd = fd;
    chr->size = fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
}

const uint64_t *chr_dropped(const struct chr *chr)
{
    return &chr->dropped;
}

void chr_close(struct chr *chr)
{
    if (!chr)
        return;
    const struct loop *loop = chr->loop;
    chr->client = NULL;
    chr->refused = false;
    flush(chr); /* a guest's last words */
    loop->ops->undefer(loop->ctx, &chr->flush_task);
    loop->ops->undefer(loop->ctx, &chr->full_task);
    loop->ops->unwatch(loop->ctx, chr->watch);
    loop->ops->unwatch(loop->ctx, chr->listen_watch);
    let_slave_go(chr);
    if (chr->fd >= 0)
        close(chr->fd);
    if (chr->listen_fd >= 0)
        close(chr->listen_fd);
    free(chr);
}
