/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's description as JSON again. */
#include "config/guest_config.h"

#include <string.h>

static int write_disk(const struct disk_config *disk, json_t *disks)
{
    json_t *object = config_write_object(&disk_config_table, disk);
    int failed = json_object_set_new(object, "vdev", json_string(disk->vdev));

    if (disk->fault.given)
        failed |= json_object_set_new(object, "fault",
                                      config_write_object(&fault_config_table, &disk->fault));
    /* What does not go with the format would be refused on the way in. */
    if (object)
        json_object_del(object, disk->backend == DISK_MEM ? "path" : "size");
    if (object && !disk->path[0])
        json_object_del(object, "path");
    if (object && disk->type == DISK_CDROM)
        json_object_del(object, "read_only");
    return failed | json_array_append_new(disks, object);
}

static int write_serial(const struct serial_config *serial, json_t *serials)
{
    json_t *object = config_write_object(&serial_config_table, serial);

    if (object && !serial->path[0])
        json_object_del(object, "path");
    if (object && serial->kind != SERIAL_FILE)
        json_object_del(object, "max_size");
    return json_array_append_new(serials, object);
}

json_t *guest_config_to_json(const struct guest_config *config)
{
    json_t *object = config_write_object(&guest_config_table, config);
    json_t *disks = json_array(), *serials = json_array(), *nics = json_array();
    int failed = !object;

    for (unsigned i = 0; i < config->n_disks; i++)
        failed |= write_disk(&config->disk[i], disks);
    for (unsigned i = 0; i < config->n_serials; i++)
        failed |= write_serial(&config->serial[i], serials);
    for (unsigned i = 0; i < config->n_nics; i++)
        failed |= json_array_append_new(nics, nic_config_write(&config->nic[i]));
    failed |= json_object_set_new(object, "name", json_string(config->name));
    if (config->role == GUEST_PV) {
        json_decref(disks);
        json_decref(nics);
    } else {
        failed |= json_object_set_new(object, "disks", disks);
        failed |= json_object_set_new(object, "nics", nics);
    }
    if (config->role != GUEST_PRIMARY) {
        json_object_del(object, "platform");
        json_object_del(object, "unplug");
        json_decref(serials);
    } else {
        failed |= json_object_set_new(object, "boot", json_string(config->boot_order));
        failed |= json_object_set_new(object, "serial", serials);
    }
    if (config->slot == 0)
        json_object_del(object, "slot");
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}
