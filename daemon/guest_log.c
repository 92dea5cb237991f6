/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "daemon/guest.h"

void guest_log(struct guest *guest, int priority, const char *format, ...)
{
    struct daemon *daemon = guest->daemon;
    const struct loop *loop = &daemon->evloop.loop;
    va_list args;

    va_start(args, format);
    if (guest->config.hypervisor == GUEST_SHM)
        peer_log_vwrite(&daemon->peer_logs, &daemon->log, loop->ops->now_ns(loop->ctx), priority,
                        guest->config.name, format, args);
    else
        log_vwrite(&daemon->log, priority, guest->config.name, NULL, format, args);
    va_end(args);
}
