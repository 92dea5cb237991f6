/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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
    *log = (struct log){.level = level, .journal = stderr_is_journal()};
}

void log_init_on(struct log *log, const struct log *base)
{
    *log = (struct log){.level = LOG_AS_BASE, .journal = base->journal, .base = base};
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
    char line[LOG_LINE_MAX];
    size_t at = 0, room = sizeof(line) - 1; /* a place for the newline */

    if (priority > log_level(log))
        return;
        /* snprintf() says how much it wanted to write: clamp after each step. */
#define APPEND(call)                                                                               \
    do {                                                                                           \
        int n = (call);                                                                            \
        at = n < 0 ? at : at + (size_t)n < room ? at + (size_t)n : room - 1;                       \
    } while (0)
    if (log->journal)
        APPEND(snprintf(line, room, "<%d>", priority));
    if (guest)
        APPEND(snprintf(line + at, room - at, "guest=%s ", guest));
    if (device)
        APPEND(snprintf(line + at, room - at, "device=%s ", device));
    APPEND(vsnprintf(line + at, room - at, format, args));
#undef APPEND
    for (size_t i = 0; i < at; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = '?';
    line[at++] = '\n';
    /* A journal that has come to a halt must not stop the workers: the line is lost. */
    if ((log->journal ? send(STDERR_FILENO, line, at, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : write(STDERR_FILENO, line, at)) < 0)
        return; /* nobody to tell */
}

void log_write(const struct log *log, int priority, const char *guest, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vwrite(log, priority, guest, NULL, format, args);
    va_end(args);
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
