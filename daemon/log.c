/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* systemd's "Native Journal Protocol". */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define FIELD_MAX      160u /* a guest's name, a device's */

/* What is before a line in log_vwrite()'s buffer: the journal's key, or stderr's priority. */
#define MESSAGE      "MESSAGE="
#define PREFIX_BYTES (sizeof(MESSAGE) - 1)

/* systemd names the journal's stream by device and inode in JOURNAL_STREAM (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* In the order of syslog(3)'s priorities. */
static const char *const level_names[] = {
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};

void log_init(struct log *log, int level)
{
    *log = (struct log){.level = level, .journal_fd = -1, .journal = stderr_is_journal()};
    if (log->journal)
        log_use_journal(log, JOURNAL_SOCKET);
}

int log_use_journal(struct log *log, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd, err;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) {
        err = -errno;
        close(fd);
        return err;
    }
    log->journal_fd = fd;
    return 0;
}

void log_finish(struct log *log)
{
    if (log->journal_fd >= 0)
        close(log->journal_fd);
    log->journal_fd = -1;
}

/* A line that a guest has a hand in must not become two. */
static void clean(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ')
            text[i] = '?';
}

/* "KEY=value\n"; nothing without a value. Returns its length; `to` has FIELD_MAX bytes. */
static size_t put_field(char *to, const char *key, const char *value)
{
    int n = value ? snprintf(to, FIELD_MAX, "%s=%s", key, value) : -1;

    if (n < 0)
        return 0;
    if ((size_t)n > FIELD_MAX - 1)
        n = FIELD_MAX - 1;
    clean(to, (size_t)n);
    to[n] = '\n';
    return (size_t)n + 1;
}

/* False: it is to go to stderr. sd_journal_send(3) would do the same, but waits while the journal
 * is at a halt, and a worker must not: such an entry is lost, as its line on stderr would be. */
static bool to_journal(const struct log *log, int priority, const char *guest, const char *device,
                       char *line, size_t len)
{
    char head[64], guest_field[FIELD_MAX], device_field[FIELD_MAX];
    struct iovec iov[4] = {
        {head,
         (size_t)snprintf(head, sizeof(head), "SYSLOG_IDENTIFIER=ioemud\nPRIORITY=%d\n", priority)},
        {guest_field, put_field(guest_field, "GUEST", guest)},
        {device_field, put_field(device_field, "DEVICE", device)},
        {line, len},
    };
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = 4};

    return sendmsg(log->journal_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
}

/* `line` has PREFIX_BYTES before it. */
static void to_stderr(const struct log *log, int priority, char *line, size_t len)
{
    char prefix[PREFIX_BYTES]; /* sd-daemon(3): "<3>..." */
    size_t prefix_len;

    if (!log->journal) {
        if (write(STDERR_FILENO, line, len) < 0)
            return; /* nobody to tell */
        return;
    }
    prefix_len = (size_t)snprintf(prefix, sizeof(prefix), "<%u>", (unsigned)priority & LOG_PRIMASK);
    memcpy(line - prefix_len, prefix, prefix_len);
    /* A journal that has come to a halt must not stop the workers: the line is lost. */
    send(STDERR_FILENO, line - prefix_len, len + prefix_len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void log_init_on(struct log *log, const struct log *base)
{
    *log = (struct log){.level = LOG_AS_BASE,
                        .journal = base->journal,
                        .journal_fd = base->journal_fd,
                        .base = base};
}

int log_level(const struct log *log)
{
    int level = __atomic_load_n(&log->level, __ATOMIC_RELAXED);

    return level == LOG_AS_BASE && log->base ? log_level(log->base) : level;
}

void log_set_level(struct log *log, int level)
{
    __atomic_store_n(&log->level, level, __ATOMIC_RELAXED);
}

int log_level_parse(const char *name)
{
    for (int i = 0; i <= LOG_DEBUG; i++)
        if (!strcmp(level_names[i], name))
            return i;
    return -1;
}

const char *log_level_name(int level)
{
    return level >= 0 && level <= LOG_DEBUG ? level_names[level] : "default";
}

void log_vwrite(const struct log *log, int priority, const char *guest, const char *device,
                const char *format, va_list args)
{
    char buf[PREFIX_BYTES + LOG_LINE_MAX] = MESSAGE, *line = buf + PREFIX_BYTES;
    size_t at = 0, room = LOG_LINE_MAX - 1; /* a place for the newline */

    if (priority > log_level(log))
        return;
    if (log->sink) {
        vsnprintf(line, LOG_LINE_MAX, format, args);
        log->sink(log->sink_ctx, priority, guest, device, line);
        return;
    }
    /* snprintf() says how much it wanted to write: clamp after each step. */
#define APPEND(call)                                                                               \
    do {                                                                                           \
        int n = (call);                                                                            \
        at = n < 0 ? at : at + (size_t)n < room ? at + (size_t)n : room - 1;                       \
    } while (0)
    if (guest)
        APPEND(snprintf(line, room, "guest=%s ", guest));
    if (device)
        APPEND(snprintf(line + at, room - at, "device=%s ", device));
    APPEND(vsnprintf(line + at, room - at, format, args));
#undef APPEND
    clean(line, at);
    line[at++] = '\n';
    if (log->journal_fd >= 0 && to_journal(log, priority, guest, device, buf, PREFIX_BYTES + at))
        return;
    to_stderr(log, priority, line, at);
}

void log_write(const struct log *log, int priority, const char *guest, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vwrite(log, priority, guest, NULL, format, args);
    va_end(args);
}

void log_device(const struct log *log, int priority, const char *guest, const char *device,
                const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vwrite(log, priority, guest, device, format, args);
    va_end(args);
}

void log_divert(struct log *log, log_sink *sink, void *ctx)
{
    log->sink = sink;
    log->sink_ctx = ctx;
}

bool log_allow(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_suppressed)
{
    *ret_suppressed = 0;
    if (limit->lines == 0 || now_ns - limit->window_start_ns >= LOG_WINDOW_NS) {
        *ret_suppressed = limit->suppressed;
        limit->window_start_ns = now_ns;
        limit->lines = 0;
        limit->suppressed = 0;
    }
    if (limit->lines >= LOG_BURST) {
        limit->suppressed++;
        limit->suppressed_total++;
        return false;
    }
    limit->lines++;
    return true;
}
