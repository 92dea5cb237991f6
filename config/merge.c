/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xl asked for, and what the administrator wrote down over it. */
#include "config/guest_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies the disk's keys of `given`; the place is the caller's. */
static int copy_disk(const struct disk_config *from, uint32_t given, struct disk_config *into)
{
    int error = config_copy_keys(&disk_config_table, given, from, into);

    memcpy(into->vdev, from->vdev, sizeof(into->vdev));
    if (given & config_key_bit(&disk_config_table, "fault"))
        into->fault = from->fault;
    into->given |= given;
    return error;
}

static struct disk_config *find_disk(struct guest_config *config, const char *vdev)
{
    for (unsigned i = 0; i < config->n_disks; i++)
        if (strcmp(config->disk[i].vdev, vdev) == 0)
            return &config->disk[i];
    return NULL;
}

static int merge_disks(const struct guest_config *file, struct guest_config *into,
                       struct config_error *ret_error)
{
    for (unsigned i = 0; i < file->n_disks; i++) {
        const struct disk_config *disk = &file->disk[i];
        struct disk_config *place = find_disk(into, disk->vdev);

        if (!place && into->n_disks == CONFIG_DISKS) {
            snprintf(ret_error->text, sizeof(ret_error->text),
                     "%s: at /disks/%u: %s would be one disk more than the %d there is room for",
                     file->name, i, disk->vdev, CONFIG_DISKS);
            return -EINVAL;
        }
        if (!place)
            place = &into->disk[into->n_disks++];
        /* Another format makes the other's keys void, not wrong. */
        if (disk->given & config_key_bit(&disk_config_table, "format"))
            place->given &=
                ~config_key_bit(&disk_config_table, disk->backend == DISK_MEM ? "path" : "size");

        int error = copy_disk(disk, disk->given, place);

        if (error)
            return error;
    }
    return 0;
}

static struct nic_config *find_nic(struct guest_config *config, unsigned devid)
{
    for (unsigned i = 0; i < config->n_nics; i++)
        if (config->nic[i].devid == devid)
            return &config->nic[i];
    return NULL;
}

static int merge_nics(const struct guest_config *file, struct guest_config *into)
{
    for (unsigned i = 0; i < file->n_nics; i++) {
        const struct nic_config *nic = &file->nic[i];
        struct nic_config *place = find_nic(into, nic->devid);
        int error;

        /* Numbers are below CONFIG_NICS and each is there once: there is room. */
        if (!place)
            place = &into->nic[into->n_nics++];
        error = nic_config_copy(nic, nic->given, place);
        if (error)
            return error;
        if (nic->given & config_key_bit(&nic_config_table, "backend"))
            nic_config_drop_void(place);
    }
    return 0;
}

static int copy_serials(const struct guest_config *from, struct guest_config *into)
{
    for (unsigned i = 0; i < from->n_serials; i++) {
        char *path = strdup(from->serial[i].path);

        if (!path)
            return -ENOMEM;
        free(into->serial[i].path);
        into->serial[i] =
            (struct serial_config){from->serial[i].kind, path, from->serial[i].max_size};
    }
    into->n_serials = from->n_serials;
    return 0;
}

/* All but disks and NICs. */
static int copy_guest(const struct guest_config *from, uint32_t given, struct guest_config *into)
{
    int error = config_copy_keys(&guest_config_table, given, from, into);

    if (!error && given & config_key_bit(&guest_config_table, "boot"))
        memcpy(into->boot_order, from->boot_order, sizeof(into->boot_order));
    if (!error && given & config_key_bit(&guest_config_table, "serial"))
        error = copy_serials(from, into);
    into->given |= given;
    return error;
}

/* Who started the guest's device model has settled what it is; a file cannot change that later. */
static int check_settled(const struct guest_config *line, const struct guest_config *file,
                         struct config_error *ret_error)
{
    uint32_t both = line->given & file->given;
    const char *key = NULL;

    if (both & config_key_bit(&guest_config_table, "role") && line->role != file->role)
        key = "role";
    if (both & config_key_bit(&guest_config_table, "hypervisor") &&
        line->hypervisor != file->hypervisor)
        key = "hypervisor";
    if (!key)
        return 0;
    snprintf(ret_error->text, sizeof(ret_error->text),
             "%s: at /%s: the file says another \"%s\" than the guest was started with", file->name,
             key, key);
    return -EINVAL;
}

int guest_config_merge(const struct guest_config *line, const struct guest_config *file,
                       struct guest_config *ret_config, struct config_error *ret_error)
{
    struct guest_config config;
    int error = check_settled(line, file, ret_error);

    if (error)
        return error;
    error = guest_config_defaults(&config);
    if (error)
        goto no_memory;
    memcpy(config.name, line->name[0] ? line->name : file->name, sizeof(config.name));
    /* The line's values count whether it named them or took the default: it is the lower layer. */
    error = copy_guest(line, UINT32_MAX, &config);
    if (error)
        goto finish;
    config.given = line->given;
    for (unsigned i = 0; i < line->n_disks && !error; i++) {
        struct disk_config *disk = &config.disk[config.n_disks++];

        error = copy_disk(&line->disk[i], UINT32_MAX, disk);
        disk->given = line->disk[i].given;
    }
    for (unsigned i = 0; i < line->n_nics && !error; i++) {
        struct nic_config *nic = &config.nic[config.n_nics++];

        error = nic_config_copy(&line->nic[i], UINT32_MAX, nic);
        nic->given = line->nic[i].given;
    }
    if (!error)
        error = copy_guest(file, file->given, &config);
    if (!error)
        error = merge_disks(file, &config, ret_error);
    if (!error)
        error = merge_nics(file, &config);
    if (!error)
        error = guest_config_check(&config, config.name, ret_error);
    if (error)
        goto finish;
    *ret_config = config;
    return 0;
finish:
    guest_config_finish(&config);
no_memory:
    if (error == -ENOMEM)
        snprintf(ret_error->text, sizeof(ret_error->text), "%s: out of memory", file->name);
    return error;
}
