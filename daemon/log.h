/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: one line an event, key=value. Where stderr leads to systemd's journal each is an entry
 * there, with fields that journalctl(1) selects by: GUEST=, DEVICE=, PRIORITY=. Else, or where the
 * journal's socket cannot be had, it goes to stderr. May be called from any thread: a line is one
 * system call, which never waits.
 */
#ifndef IOEMUD_DAEMON_LOG_H
#define IOEMUD_DAEMON_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#define LOG_LINE_MAX 1024

#define LOG_AS_BASE (-1)

/* Gets a line that is to be written, without the guest's name and the device's before it. */
typedef void log_sink(void *ctx, int priority, const char *guest, const char *device,
                      const char *text);

struct log {
    int level;      /* least important priority that is written; LOG_AS_BASE: as `base` has it */
    bool journal;   /* stderr goes to the journal */
    int journal_fd; /* its socket for entries with fields; -1: lines on stderr will do */
    const struct log *base; /* of a guest's: the daemon's. NULL: none */
    log_sink *sink;         /* log_divert()'s; NULL: none */
    void *sink_ctx;
};

void log_init(struct log *log, int level);
/* Entries go to the journal's socket at `path`; for log_init(), and for tests. 0 or -errno. */
int log_use_journal(struct log *log, const char *path);
/* Later lines are still written, to stderr. */
void log_finish(struct log *log);
/* One that has the level of `base`, which outlives it, until it gets its own. */
void log_init_on(struct log *log, const struct log *base);
/* What is written now, and another; both from any thread. */
int log_level(const struct log *log);
void log_set_level(struct log *log, int level);
/* syslog(3)'s names, "emerg" to "debug". -1: there is none of this name. */
int log_level_parse(const char *name);
const char *log_level_name(int level);

/* All of it goes to `sink` from now on: in a worker process, to the control side. */
void log_divert(struct log *log, log_sink *sink, void *ctx);

/* `guest` may be NULL. */
__attribute__((format(printf, 4, 5))) void log_write(const struct log *log, int priority,
                                                     const char *guest, const char *format, ...);
/* `device`, too. */
__attribute__((format(printf, 5, 6))) void log_device(const struct log *log, int priority,
                                                      const char *guest, const char *device,
                                                      const char *format, ...);
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
