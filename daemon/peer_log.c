/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/peer_log.h"

#include <stddef.h>

struct peer_log *peer_log_of(struct peer_logs *logs, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return &logs->of[(hash ^ hash >> 16) % PEER_LOGS];
}

void peer_log_vwrite(struct peer_logs *logs, const struct log *log, uint64_t now_ns, int priority,
                     const char *name, const char *format, va_list args)
{
    uint64_t suppressed;

    if (priority > log_level(log) ||
        !log_allow(&peer_log_of(logs, name)->control, now_ns, &suppressed))
        return;
    if (suppressed)
        log_write(log, LOG_WARNING, name, "event=log-limit suppressed=%llu",
                  (unsigned long long)suppressed);
    log_vwrite(log, priority, name, NULL, format, args);
}
