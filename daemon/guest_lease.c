/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests that are there as long as somebody's connection is: ioemu-dm's. */
#include <stdlib.h>

#include "daemon/guest.h"

static void lease_closed(void *arg)
{
    struct guest *guest = arg;

    guest->lease = NULL;
    guest_log(guest, LOG_INFO, "event=lease-closed");
    guest_detach(guest, NULL, NULL);
}

void guest_set_lease(struct guest *guest, struct rpc_conn *lease)
{
    guest->lease = lease;
    if (lease)
        rpc_conn_on_close(lease, lease_closed, guest);
}

void guest_take_over(struct guest *guest, struct guest_attach *attach)
{
    guest_config_finish(&attach->config);
    guest->origin = attach->origin;
    free(guest->line);
    guest->line = attach->line ? json_dumps(attach->line, JSON_COMPACT) : NULL;
    guest->run = attach->run;
    guest_set_lease(guest, attach->lease);
    guest_when_attached(guest, attach->done, attach->ctx);
}
