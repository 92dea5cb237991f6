/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest as `list` and `show` tell of it: docs/rpc.md. */
#include <string.h>

#include "daemon/guest.h"
#include "daemon/guest_nics.h"
#include "daemon/guest_pvdisk.h"
#include "daemon/methods.h"
#include "daemon/worker_process.h"

static json_t *describe_disks(const struct guest *guest)
{
    json_t *disks = json_array();

    for (unsigned i = 0; i < guest->config.n_disks; i++) {
        const struct disk_config *disk = &guest->config.disk[i];

        bool cdrom = disk->type == DISK_CDROM;

        json_array_append_new(disks,
                              json_pack("{s:s, s:s, s:s, s:s, s:b, s:o*}", "vdev", disk->vdev,
                                        "type", cdrom ? "cdrom" : "disk", "path", disk->path,
                                        "format", disk->backend == DISK_MEM ? "mem" : "raw",
                                        "read_only", disk->read_only || cdrom, "stopped",
                                        daemon_disk_stop(guest, (unsigned)(disk->vdev[2] - 'a'))));
    }
    return disks;
}

static json_t *describe_pv_disks(const struct guest *guest)
{
    struct guest_pvdisk info = {0};
    json_t *disks = json_array();

    while (guest->state == GUEST_RUNNING && guest_pvdisks_next(guest, &info))
        json_array_append_new(disks, json_pack("{s:s, s:i, s:b, s:o*}", "vdev", info.vdev, "devid",
                                               (int)info.devid, "connected", info.connected,
                                               "stopped", daemon_disk_stop(guest, info.unit)));
    return disks;
}

static json_t *describe_serials(const struct guest *guest)
{
    json_t *serials = json_array();

    for (unsigned i = 0; i < guest->config.n_serials; i++) {
        char label[24];

        if (guest->config.serial[i].kind == SERIAL_NONE)
            continue;
        snprintf(label, sizeof(label), "serial%u", i);
        json_array_append_new(
            serials, json_pack("{s:s, s:s}", "label", label, "path", guest->serial_path[i]));
    }
    return serials;
}

static json_t *describe_nics(const struct guest *guest)
{
    json_t *nics = json_array();

    for (unsigned i = 0; i < guest->config.n_nics; i++) {
        const struct nic_config *nic = &guest->config.nic[i];
        uint8_t mac[6];
        char text[18];

        nic_config_mac(nic, guest->config.name, mac);
        nic_config_mac_text(mac, text);
        json_array_append_new(
            nics,
            json_pack("{s:i, s:s, s:s, s:s, s:s, s:b}", "devid", (int)nic->devid, "model",
                      nic_config_model(nic), "mac", text, "backend", nic_config_backend(nic), "at",
                      guest->nic_ifname[nic->devid][0] ? guest->nic_ifname[nic->devid] : nic->path,
                      "present", guest_has_nic(guest, nic->devid)));
    }
    return nics;
}

json_t *method_describe(const struct guest *guest)
{
    const struct guest_config *config = &guest->config;

    const struct worker *worker = guest->worker;

    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:b, s:i, s:o*, s:i, s:b, s:o, s:o, s:o, s:o}", "name",
        guest->name, "domid", (int)guest->domid, "hypervisor",
        config->hypervisor == GUEST_XEN ? "xen" : "shm", "role", guest_role_name(config->role),
        "state", guest_state_name(guest), "reset", guest->reset, "worker",
        worker ? (int)worker->params.id : -1, "worker_pid",
        worker && worker->is_process ? json_integer(worker_process_pid(worker)) : NULL, "vcpus",
        guest->hv_guest ? (int)guest->hv->guest_info(guest->hv_guest)->vcpus : 0, "leased",
        guest->lease != NULL, "disks", describe_disks(guest), "pv_disks", describe_pv_disks(guest),
        "nics", describe_nics(guest), "serial", describe_serials(guest));
}
