/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest.h"

bool guest_disks_have_pv(struct guest *guest, struct hv_host *host)
{
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
    return guest->hv->disks_have_pv(host, guest->domid, disk, n);
}
