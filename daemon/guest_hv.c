/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/guest.h"
#include "daemon/record.h"

static int record(struct guest *guest, const struct hv_record *what, char *why)
{
    const char *run_dir = guest->daemon->config.run_dir;
    int err = record_write(run_dir, guest->config.name, what);

    if (err)
        snprintf(why, GUEST_WHY_SIZE, "record in %s/guests: %s", run_dir, strerror(-err));
    guest->recorded |= !err;
    return err;
}

int guest_create_hv(struct guest *guest, char *why)
{
    struct daemon *daemon = guest->daemon;
    unsigned hv = guest->config.hypervisor == GUEST_XEN ? DAEMON_XEN : DAEMON_SHM;
    struct hv_guest_params params = {
        .name = guest->config.name,
        .domid = guest->domid,
        .peer = guest->peer,
        .primary = guest->config.role == GUEST_PRIMARY,
        .no_server = guest->config.role == GUEST_PV,
        .buffered_pio = guest->config.buffered_pio,
        .map_limit_mib = guest->config.map_limit_mib,
    };
    bool recorded = hv == DAEMON_XEN && !params.no_server;
    struct hv_record intended = {0}, made;
    int err = params.no_server ? 0 : guest->hv->guest_intend(daemon->host[hv], &params, &intended);

    if (!err && recorded) {
        err = record(guest, &intended, why);
        if (err)
            return err;
    }
    if (!err)
        err = guest->hv->guest_create(daemon->host[hv], &params, &guest->hv_guest);
    if (err && params.no_server)
        snprintf(why, GUEST_WHY_SIZE, "domain %u: %s", guest->domid,
                 err == -ESRCH     ? "there is no such domain"
                 : err == -ENOTSUP ? "it is an HVM domain: \"role\": \"pv\" is for others"
                                   : strerror(-err));
    else if (err && hv == DAEMON_XEN)
        snprintf(why, GUEST_WHY_SIZE, "domain %u: no ioreq server: %s", guest->domid,
                 err == -ESRCH     ? "there is no such domain"
                 : err == -ENOTSUP ? "it is no HVM domain, or has more than 128 vCPUs"
                 : err == -ENOSPC  ? "it has all that a domain can have (eight)"
                                   : strerror(-err));
    else if (err)
        snprintf(why, GUEST_WHY_SIZE, "the peer cannot be taken over: %s",
                 err == -EPIPE ? "it hung up" : strerror(-err));
    if (err || hv != DAEMON_XEN)
        return err;
    guest_follow_name(guest);
    if (!recorded)
        return 0;
    guest->hv->guest_record(guest->hv_guest, &made);
    return made.server_id == intended.server_id ? 0 : record(guest, &made, why);
}

void guest_release_hv(struct guest *guest)
{
    if (guest->hv_guest)
        guest_unpause(guest);
    if (guest->hv_guest)
        guest->hv->guest_destroy(guest->hv_guest);
    guest->hv_guest = NULL;
    if (guest->recorded)
        record_remove(guest->daemon->config.run_dir, guest->config.name, guest->domid);
    guest->recorded = false;
}
