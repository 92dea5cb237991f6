/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libxl wrote of a PV disk, and the image that it is served from. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/guest_pvdisk.h"
#include "daemon/guest_pvdisk_internal.h"
#include "daemon/served.h"

static const struct xenbus *bus_of(const struct pvdisk *disk)
{
    return disk->guest->hv->pv->store(disk->guest->daemon->host[DAEMON_XEN]);
}

bool pvdisk_reads_as(const struct pvdisk *disk, const char *node, const char *value)
{
    char text[XENBUS_VALUE];

    return !xenbus_read(bus_of(disk), disk->backend, node, text, sizeof(text)) &&
           !strcmp(text, value);
}

bool pvdisk_is_online(const struct pvdisk *disk)
{
    uint32_t online;

    return !xenbus_read_u32(bus_of(disk), disk->backend, "online", &online) && online;
}

void pvdisk_read_params(const struct pvdisk *disk, char ret_params[PVDISK_PARAMS])
{
    if (xenbus_read(bus_of(disk), disk->backend, "params", ret_params, PVDISK_PARAMS))
        *ret_params = 0;
}

bool pvdisk_is_as_begun(const struct pvdisk *disk)
{
    char text[PVDISK_PARAMS];

    pvdisk_read_params(disk, text);
    return !strcmp(text, disk->begun_with);
}

/* For people: what xl was given, without what does not belong into a log. */
void pvdisk_read_name(struct pvdisk *disk)
{
    char text[XENBUS_VALUE];
    unsigned n = 0;

    if (xenbus_read(bus_of(disk), disk->backend, "dev", text, sizeof(text)))
        *text = 0;
    while (n < sizeof(disk->vdev) - 1 && isalnum((unsigned char)text[n])) {
        disk->vdev[n] = text[n];
        n++;
    }
    if (!n)
        snprintf(disk->vdev, sizeof(disk->vdev), "%u", disk->devid);
}

/* The emulated disk that is the same one's: xl describes a guest's first four disks for both. */
static const struct disk_config *twin_of(const struct pvdisk *disk, const char *path)
{
    const struct guest *guest = disk->guest;

    for (unsigned i = 0; i < guest->config.n_disks; i++) {
        const struct disk_config *config = &guest->config.disk[i];
        struct hv_disk emulated = {.place = (unsigned)(config->vdev[2] - 'a'),
                                   .path = config->path};

        if (config->type == DISK_HARD && config->backend != DISK_MEM &&
            guest->hv->pv->disk_is(disk->devid, path, &emulated))
            return config;
    }
    return NULL;
}

/* The open file of the twin's, with its lock and by its options. */
static int share_image(struct pvdisk *disk, const struct disk_config *twin, char *why)
{
    unsigned drive = (unsigned)(twin->vdev[2] - 'a');
    struct raw_image image = disk->guest->twin[drive];

    if (image.fd < 0) { /* guest_pvdisks_keep() failed */
        snprintf(why, OPENER_WHY_SIZE, "%s is not to be had twice", twin->path);
        return -EMFILE;
    }
    image.fd = fcntl(image.fd, F_DUPFD_CLOEXEC, 0);
    if (image.fd < 0) {
        snprintf(why, OPENER_WHY_SIZE, "%s: %s", twin->path, strerror(errno));
        return -errno;
    }
    image.lent = true;
    guest_disk_errors(twin, &disk->params.disk);
    disk->params.disk.raw = image;
    disk->params.twin = (int)drive;
    return 0;
}

static int open_own_image(struct pvdisk *disk, const char *path, bool read_only, char *why)
{
    struct disk_config config = {
        .path = (char *)(uintptr_t)path,
        .read_only = read_only,
        .direct = true,
        .cache = DISK_WRITEBACK,
        .discard =
            pvdisk_reads_as(disk, "discard-enable", "0") ? DISK_DISCARD_IGNORE : DISK_DISCARD_UNMAP,
    };

    guest_disk_errors(&config, &disk->params.disk);
    return opener_disk(&config, &disk->params.disk.raw, why);
}

/* libxl's names (libxl__device_disk_string_of_format()), and the program's: qemu-nbd(8). */
static const struct format {
    const char *name;
    const char *served; /* NULL: it is served as it is */
} formats[] = {
    {"aio:", NULL},    {"raw:", NULL},  {"qcow2:", "qcow2"},
    {"qcow:", "qcow"}, {"qed:", "qed"}, {"vhd:", "vpc"},
};

const char *guest_pvdisk_path(const char *params, const char **ret_served)
{
    for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        size_t len = strlen(formats[i].name);

        if (strncmp(params, formats[i].name, len) || params[len] != '/')
            continue;
        *ret_served = formats[i].served;
        return params + len;
    }
    return NULL;
}

/* By `params.disk.raw`. */
static void describe(struct pvdisk *disk)
{
    const struct raw_image *raw = &disk->params.disk.raw;

    disk->params.read_only = !pvdisk_reads_as(disk, "mode", "w") || raw->read_only;
    disk->params.discard = raw->discard && !pvdisk_reads_as(disk, "discard-enable", "0");
    disk->disk = (struct pvblk_disk){
        .sectors = raw->bytes / BLK_SECTOR,
        .physical_block = raw->physical_block,
        .read_only = disk->params.read_only,
        .cdrom = pvdisk_reads_as(disk, "device-type", "cdrom"),
        .removable = pvdisk_reads_as(disk, "removable", "1"),
        .discard = disk->params.discard,
        .discard_granularity = raw->discard_granularity,
    };
}

/* ---- other formats ----------------------------------------------------------------------------*/

static void on_served(void *ctx, int err, const char *why, struct nbd_handle *handle,
                      const struct nbd_export *export)
{
    struct pvdisk *disk = ctx;

    disk->program = err ? 0 : served_number(disk->served);
    disk->served = NULL;
    if (disk->guest->state != GUEST_RUNNING) { /* guest_pvdisks_finish() follows */
        nbd_image_discard(handle);
        served_expect_end(disk->guest->daemon, disk->program);
        return;
    }
    /* It may have been taken away, and another made at its place, without a word in between. */
    if (!pvdisk_is_as_begun(disk)) {
        nbd_image_discard(handle);
        pvdisk_begin_anew(disk);
        return;
    }
    if (!err) {
        disk->params.disk.served = handle;
        disk->params.disk.heard = !handle; /* by its worker process, which has it */
        disk->params.disk.nbd = *export;
        disk->params.disk.raw = (struct raw_image){
            .fd = -1,
            .bytes = export->bytes,
            .physical_block = export->physical_block,
            .read_only = export->read_only,
            .discard = export->discard && !export->read_only,
            .discard_granularity = export->physical_block,
        };
        describe(disk);
    }
    pvdisk_opened(disk, err, why);
}

static int hear(void *ctx, int fd)
{
    return pvdisk_ask_hear(ctx, fd);
}

static int start_served(struct pvdisk *disk, const char *path, const char *format, char *why)
{
    struct served_params params = {
        .path = path,
        .format = format,
        .read_only = !pvdisk_reads_as(disk, "mode", "w"),
        .discard = !pvdisk_reads_as(disk, "discard-enable", "0"),
        .ready = on_served,
        .hear = disk->guest->worker->is_process ? hear : NULL,
        .ctx = disk,
    };
    int err;

    guest_disk_errors(&(struct disk_config){0}, &disk->params.disk); /* the defaults */
    err = served_start(disk->guest->daemon, &params, &disk->served, why);
    return err ? err : -EINPROGRESS;
}

int pvdisk_open_image(struct pvdisk *disk, char *why)
{
    const struct disk_config *twin;
    const char *path, *format = NULL;
    int err;

    path = guest_pvdisk_path(disk->begun_with, &format);
    if (!path) {
        snprintf(why, OPENER_WHY_SIZE, "its image is no file or device of a format that is known");
        return -EOPNOTSUPP;
    }
    disk->params.disk = (struct vm_disk){.drive = disk->unit, .raw.fd = -1};
    disk->params.twin = -1;
    if (format)
        return start_served(disk, path, format, why);
    twin = twin_of(disk, path);
    err = twin ? share_image(disk, twin, why)
               : open_own_image(disk, path, !pvdisk_reads_as(disk, "mode", "w"), why);
    if (!err)
        describe(disk);
    return err;
}
