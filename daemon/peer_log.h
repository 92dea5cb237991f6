/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of hv_shm guests. A peer can connect, be attached and hang up thousands of times a
 * second, so a limit that is the guest's own would begin anew each time: these belong to its name,
 * and there is a fixed number of them (names that share one share its lines).
 */
#ifndef IOEMUD_DAEMON_PEER_LOG_H
#define IOEMUD_DAEMON_PEER_LOG_H

#include "daemon/log.h"

#define PEER_LOGS 64u

struct peer_log {
    struct log_limit control; /* coming and going: the main thread's lines */
    struct log_limit devices; /* handed to the vm and back */
};

struct peer_logs {
    struct peer_log of[PEER_LOGS];
};

struct peer_log *peer_log_of(struct peer_logs *logs, const char *name);
/* One line of the main thread's about a peer of this name, if it may have one. */
__attribute__((format(printf, 6, 0))) void peer_log_vwrite(struct peer_logs *logs,
                                                           const struct log *log, uint64_t now_ns,
                                                           int priority, const char *name,
                                                           const char *format, va_list args);

#endif
