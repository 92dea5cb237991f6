/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest's description names: opened for its worker, and given back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/guest.h"
#include "daemon/guest_nics.h"
#include "daemon/guest_pvdisk.h"

void guest_remove_sockets(struct guest *guest)
{
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        if (guest->params.serial[i].listener)
            unlink(guest->serial_path[i]);
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        guest->params.serial[i].listener = false;
    guest_nics_finish(guest);
}

void guest_close_descriptors(struct guest *guest)
{
    for (unsigned i = 0; i < guest->params.n_disks; i++) {
        if (guest->params.disk[i].raw.fd >= 0)
            raw_discard(&guest->params.disk[i].raw);
        free(guest->params.disk[i].mem);
    }
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        if (guest->params.serial[i].fd >= 0)
            close(guest->params.serial[i].fd);
    guest->params.n_disks = 0;
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        guest->params.serial[i].fd = -1;
    guest_pvdisks_release(guest);
    guest_nics_discard(guest);
    guest_remove_sockets(guest);
}

static int open_disk(struct guest *guest, const struct disk_config *disk, char *why)
{
    struct vm_disk *vm_disk = &guest->params.disk[guest->params.n_disks];
    unsigned drive = (unsigned)(disk->vdev[2] - 'a');
    char reason[OPENER_WHY_SIZE] = "";

    if (guest_fill_drive(&guest->params.spec.drive[drive], disk))
        return 0;
    *vm_disk = (struct vm_disk){.drive = drive, .raw.fd = -1};
    guest_disk_errors(disk, vm_disk);
    if (disk->backend == DISK_MEM) {
        vm_disk->sectors = disk->size / BLK_SECTOR;
        vm_disk->read_only = disk->read_only;
        vm_disk->discard = disk->discard == DISK_DISCARD_UNMAP;
        vm_disk->mem = calloc(vm_disk->sectors, BLK_SECTOR);
        if (!vm_disk->mem) {
            snprintf(why, GUEST_WHY_SIZE, "disk %s: out of memory", disk->vdev);
            return -ENOMEM;
        }
    } else {
        int err = opener_disk(disk, &vm_disk->raw, reason);

        if (err) {
            snprintf(why, GUEST_WHY_SIZE, "disk %s: %s", disk->vdev, reason);
            return err;
        }
        guest_pvdisks_keep(guest, drive, &vm_disk->raw);
        if (disk->direct && !vm_disk->raw.direct)
            guest_log(guest, LOG_NOTICE,
                      "event=disk-buffered vdev=%s path=%s reason=\"%s\" "
                      "hint=\"buffered disks of a worker share one thread\"",
                      disk->vdev, disk->path, vm_disk->raw.why);
    }
    guest->params.n_disks++;
    return 0;
}

static int open_serial(struct guest *guest, unsigned index, char *why)
{
    const struct serial_config *serial = &guest->config.serial[index];
    struct vm_serial *vm_serial = &guest->params.serial[index];
    char *path = guest->serial_path[index];
    char reason[OPENER_WHY_SIZE] = "";
    int err = 0;

    switch (serial->kind) {
    case SERIAL_NONE:
        return 0;
    case SERIAL_PTY:
        err = opener_pty(&vm_serial->fd, path, reason);
        vm_serial->input = true;
        break;
    case SERIAL_FILE:
        err = opener_log_file(serial->path, &vm_serial->fd, reason);
        vm_serial->max_size = serial->max_size;
        break;
    case SERIAL_UNIX:
        err = opener_listen(serial->path, SOCK_STREAM, 0600, "", &vm_serial->fd, reason);
        vm_serial->listener = !err;
        vm_serial->input = true;
        break;
    }
    if (serial->kind != SERIAL_PTY)
        snprintf(path, OPENER_PATH_SIZE, "%s", serial->path);
    if (err)
        snprintf(why, GUEST_WHY_SIZE, "serial port %u: %s", index, reason);
    return err;
}

int guest_open(struct guest *guest, char *why)
{
    int err = 0;

    for (unsigned i = 0; i < guest->config.n_disks && !err; i++)
        err = open_disk(guest, &guest->config.disk[i], why);
    for (unsigned i = 0; i < guest->config.n_serials && !err; i++)
        err = open_serial(guest, i, why);
    return err ? err : guest_nics_open(guest, why);
}
