/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: one line an event on stderr, key=value, with the syslog priority in front when systemd
 * reads it (sd-daemon(3): "<3>..."). May be called from any thread: a line is one write(2).
 */
#ifndef IOEMUD_DAEMON_LOG_H
#define IOEMUD_DAEMON_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#define LOG_LINE_MAX 1024

#define LOG_AS_BASE (-1)

struct log {
    int level;    /* least important priority that is written; LOG_AS_BASE: as `base` has it */
    bool journal; /* stderr goes to the journal */
    const struct log *base; /* of a guest's: the daemon's. NULL: none */
};

void log_init(struct log *log, int level);
/* One that has the level of `base`, which outlives it, until it gets its own. */
void log_init_on(struct log *log, const struct log *base);
/* What is written now, and another; both from any thread. */
int log_level(const struct log *log);
void log_set_level(struct log *log, int level);
/* syslog(3)'s names, "emerg" to "debug". -1: there is none of this name. */
int log_level_parse(const char *name);
const char *log_level_name(int level);

/* `guest` may be NULL. */
__attribute__((format(printf, 4, 5))) void log_write(const struct log *log, int priority,
                                                     const char *guest, const char *format, ...);
void log_vwrite(const struct log *log, int priority, const char *guest, const char *device,
                const char *format, va_list args);

/* At most LOG_BURST lines a guest in LOG_WINDOW_NS; the first line after a silence tells how many
 * were not written (XSA-180: a guest must not fill the disk). */
#define LOG_BURST     20u
#define LOG_WINDOW_NS UINT64_C(60000000000)

struct log_limit {
    uint64_t window_start_ns;
    uint32_t lines;
    uint64_t suppressed;       /* of this window */
    uint64_t suppressed_total; /* for the statistics */
};

/* True when a line may be written; *ret_suppressed is how many were not before it. */
bool log_allow(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_suppressed);

#endif
