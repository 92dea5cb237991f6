/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest's PV backends, others' and ours, mean for its emulated devices. */
#include <stdlib.h>

#include "daemon/guest.h"
#include "daemon/guest_nics.h"

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
    return guest->hv->disks_have_pv(host, guest->domid, disk, n,
                                    guest->daemon->config.pv_disks && guest->hv->pv);
}

enum machine_unplug guest_unplug(struct guest *guest)
{
    const struct guest_config *config = &guest->config;

    return config->unplug == GUEST_UNPLUG_AUTO && config->role == GUEST_PRIMARY &&
                   disks_have_pv(guest) && guest_nics_have_pv(guest)
               ? MACHINE_UNPLUG_DISKS
               : MACHINE_UNPLUG_NEVER;
}

/* To the guest's worker, which frees it. Posted before the guest's end it arrives before that. */
struct settle_mail {
    struct mail mail;
    struct guest *guest;
    enum machine_unplug unplug;
    unsigned n_nics;
    struct {
        unsigned number;
        struct net_limits limits;
    } nic[CONFIG_NICS];
};

static void run_settle(struct mail *mail) /* worker */
{
    struct settle_mail *settle = (struct settle_mail *)mail;
    struct vm *vm = settle->guest->vm;

    machine_set_unplug(vm->machine, settle->unplug);
    for (unsigned i = 0; i < settle->n_nics; i++)
        vm_nic_limits(vm, settle->nic[i].number, &settle->nic[i].limits);
    free(settle);
}

void guest_settle_pv(struct guest *guest)
{
    const struct guest_config *config = &guest->config;
    struct settle_mail *settle;

    if (guest->pv_settled || guest->state != GUEST_RUNNING || !config->n_nics)
        return;
    settle = calloc(1, sizeof(*settle));
    if (!settle)
        return; /* as before: without unplugging, without limits but those of the description */
    guest->pv_settled = true;
    settle->mail.run = run_settle;
    settle->guest = guest;
    settle->unplug = guest_unplug(guest);
    for (unsigned i = 0; i < config->n_nics; i++) {
        settle->nic[i].number = config->nic[i].devid;
        guest_nic_limits(guest, &config->nic[i], &settle->nic[i].limits);
    }
    settle->n_nics = config->n_nics;
    mailbox_post(&guest->worker->mailbox, &settle->mail);
}
