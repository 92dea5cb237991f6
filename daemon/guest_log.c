/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"

void guest_log(struct guest *guest, int priority, const char *format, ...)
{
    struct daemon *daemon = guest->daemon;
    const struct loop *loop = &daemon->evloop.loop;
    va_list args;

    va_start(args, format);
    if (guest->config.hypervisor == GUEST_SHM)
        peer_log_vwrite(&daemon->peer_logs, &guest->log, loop->ops->now_ns(loop->ctx), priority,
                        guest->config.name, format, args);
    else
        log_vwrite(&guest->log, priority, guest->config.name, NULL, format, args);
    va_end(args);
}

/* Once: it is the hypervisor's, not this guest's. */
static void log_no_bufpio(const struct guest *guest)
{
    struct daemon *daemon = guest->daemon;

    /* A process's has it in another copy. */
    if (guest->hv != daemon->hv[DAEMON_XEN] || guest->worker->is_process ||
        guest->config.role == GUEST_PV || !guest->config.buffered_pio || daemon->no_bufpio ||
        guest->hv->guest_info(guest->hv_guest)->features & HV_FEATURE_BUFFERED_PIO)
        return;
    daemon->no_bufpio = true;
    log_write(&daemon->log, LOG_INFO, NULL,
              "event=no-buffered-pio hypervisor=%s effect=\"every access to a data port is a "
              "request\"",
              guest->hv->name);
}

void guest_log_attached(struct guest *guest)
{
    guest_log(guest, LOG_INFO, "event=attached hypervisor=%s domid=%u vcpus=%u worker=%u",
              guest->hv->name, guest->domid, guest->hv->guest_info(guest->hv_guest)->vcpus,
              guest->worker->params.id);
    if (guest->reset)
        log_write(&guest->log, LOG_WARNING, guest->config.name,
                  "event=devices-reset domid=%u hint=\"a former daemon ended under it: reboot or "
                  "destroy it\"",
                  guest->domid);
    log_no_bufpio(guest);
}
