/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest's PV backends, others' and ours, mean for its emulated devices. */
#include <stdlib.h>

#include "daemon/guest.h"
#include "daemon/guest_call.h"
#include "daemon/guest_nics.h"
#include "daemon/guest_pvdisk.h"

static bool disks_have_pv(const struct guest *guest)
{
    struct hv_host *host = guest->hv == guest->daemon->hv[DAEMON_XEN]
                               ? guest->daemon->host[DAEMON_XEN]
                               : guest->daemon->host[DAEMON_SHM];
    struct hv_disk disk[CONFIG_DISKS];
    unsigned n = 0;

    for (unsigned i = 0; i < guest->config.n_disks; i++) {
        const struct disk_config *config = &guest->config.disk[i];

        if (config->type == DISK_CDROM) /* they are not unplugged */
            continue;
        disk[n++] = (struct hv_disk){
            .place = (unsigned)(config->vdev[2] - 'a'),
            .path = config->backend == DISK_MEM ? NULL : config->path,
        };
    }
    return guest->hv->disks_have_pv(host, guest->domid, disk, n, guest_pvdisks_served(guest));
}

enum machine_unplug guest_unplug(struct guest *guest)
{
    const struct guest_config *config = &guest->config;

    return config->unplug == GUEST_UNPLUG_AUTO && config->role == GUEST_PRIMARY &&
                   disks_have_pv(guest) && guest_nics_have_pv(guest)
               ? MACHINE_UNPLUG_DISKS
               : MACHINE_UNPLUG_NEVER;
}

void guest_settle_pv(struct guest *guest)
{
    const struct guest_config *config = &guest->config;
    struct guest_call *call;
    struct vm_settle *settle;

    if (guest->pv_settled || guest->state != GUEST_RUNNING || !config->n_nics)
        return;
    call = calloc(1, sizeof(*call)); /* nobody waits for it: the worker's from guest_call() on */
    if (!call)
        return; /* as before: without unplugging, without limits but those of the description */
    guest->pv_settled = true;
    call->request.op = VM_SETTLE;
    settle = &call->request.settle;
    settle->unplug = guest_unplug(guest);
    for (unsigned i = 0; i < config->n_nics; i++) {
        unsigned number = config->nic[i].devid;

        settle->nics |= 1u << number;
        guest_nic_limits(guest, &config->nic[i], &settle->limit[number]);
    }
    guest_call(guest, call);
}
