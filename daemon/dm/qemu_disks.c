/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -drive and -device: what the guest's machine is to have plugged in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/dm/qemu_parse.h"

/* What a -device asks for. */
enum device_kind {
    DEVICE_IDE_DISK,
    DEVICE_CDROM,
    DEVICE_SCSI_DISK,
    DEVICE_NIC,
    DEVICE_DISPLAY,
    DEVICE_SOUND,
    DEVICE_USB,
    DEVICE_OTHER,  /* left out, named */
    DEVICE_NEVER,  /* an error, `text` says why */
    DEVICE_SILENT, /* goes with another that is named */
};

struct device_model {
    const char *name;
    enum device_kind kind;
    const char *text;
};

static const struct device_model models[] = {
    {"ide-hd", DEVICE_IDE_DISK, NULL},
    {"ide-drive", DEVICE_IDE_DISK, NULL},
    {"ide-cd", DEVICE_CDROM, NULL},
    {"scsi-hd", DEVICE_SCSI_DISK, NULL},
    {"scsi-disk", DEVICE_SCSI_DISK, NULL},
    {"lsi53c895a", DEVICE_SILENT, NULL},
    {"ahci", DEVICE_NEVER,
     "there is no AHCI controller: leave hdtype= out of the guest's configuration, and its disks "
     "are on IDE"},
    {"e1000", DEVICE_NIC, NULL},
    {"e1000e", DEVICE_NIC, NULL},
    {"i82551", DEVICE_NIC, NULL},
    {"i82557b", DEVICE_NIC, NULL},
    {"i82559er", DEVICE_NIC, NULL},
    {"ne2k_pci", DEVICE_NIC, NULL},
    {"pcnet", DEVICE_NIC, NULL},
    {"rtl8139", DEVICE_NIC, NULL},
    {"virtio-net", DEVICE_NIC, NULL},
    {"virtio-net-pci", DEVICE_NIC, NULL},
    {"vmxnet3", DEVICE_NIC, NULL},
    {"VGA", DEVICE_DISPLAY, NULL},
    {"cirrus-vga", DEVICE_DISPLAY, NULL},
    {"qxl-vga", DEVICE_DISPLAY, NULL},
    {"virtio-vga", DEVICE_DISPLAY, NULL},
    {"AC97", DEVICE_SOUND, NULL},
    {"ES1370", DEVICE_SOUND, NULL},
    {"adlib", DEVICE_SOUND, NULL},
    {"cs4231a", DEVICE_SOUND, NULL},
    {"gus", DEVICE_SOUND, NULL},
    {"hda-duplex", DEVICE_SOUND, NULL},
    {"intel-hda", DEVICE_SOUND, NULL},
    {"sb16", DEVICE_SOUND, NULL},
    {"ich9-usb-ehci1", DEVICE_USB, NULL},
    {"ich9-usb-uhci1", DEVICE_USB, NULL},
    {"ich9-usb-uhci2", DEVICE_USB, NULL},
    {"ich9-usb-uhci3", DEVICE_USB, NULL},
    {"nec-usb-xhci", DEVICE_USB, NULL},
    {"piix3-usb-uhci", DEVICE_USB, NULL},
    {"usb-redir", DEVICE_USB, NULL},
    {"virtio-serial", DEVICE_OTHER, "a virtio-serial controller"},
    {"virtserialport", DEVICE_SILENT, NULL},
    {"xen-pvdevice", DEVICE_OTHER, "the XenServer PV device (vendor_device=)"},
};

/* Keeps a disk for its place on the IDE channels. Steals `disk`. */
static int place_disk(struct parse *parse, unsigned long index, json_t *disk)
{
    char vdev[] = "hda";

    vdev[2] = (char)('a' + index);
    if (parse->disks[index]) {
        json_decref(disk);
        return parse_fail(parse, "-drive: there are two disks at %s", vdev);
    }
    if (json_object_set_new(disk, "vdev", json_string(vdev))) {
        json_decref(disk);
        return -ENOMEM;
    }
    parse->disks[index] = disk;
    return 0;
}

static int read_format(struct parse *parse, const struct qemu_opts *opts)
{
    const char *file = qemu_opts_get(opts, "file");
    const char *format = qemu_opts_get(opts, "format");

    if (!format)
        format = qemu_opts_get(opts, "driver");
    if (!format || !strcmp(format, "raw") || !strcmp(format, "host_device") ||
        !strcmp(format, "file"))
        return 0;
    return parse_fail(parse, "-drive: %s has the format %s; ioemud serves raw images only", file,
                      format);
}

/* QEMU's cache modes are a pair for us: does a write wait for the medium, and does the host cache?
 */
static int read_cache(struct parse *parse, const struct qemu_opts *opts, json_t *disk)
{
    static const struct {
        const char *name, *cache;
        int direct; /* -1: as the daemon sees fit */
    } modes[] = {
        {"writeback", "writeback", -1},       {"none", "writeback", 1},
        {"writethrough", "writethrough", -1}, {"directsync", "writethrough", 1},
        {"unsafe", "writeback", 0},
    };
    const char *cache = qemu_opts_get(opts, "cache");

    if (!cache)
        return 0;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(modes[i].name, cache) != 0)
            continue;
        if (json_object_set_new(disk, "cache", json_string(modes[i].cache)) ||
            (modes[i].direct >= 0 &&
             json_object_set_new(disk, "direct", json_boolean(modes[i].direct))))
            return -ENOMEM;
        return 0;
    }
    return parse_fail(parse, "-drive: cache=%s is not known", cache);
}

/* QEMU's names, two for each. Without the option it is the daemon's to decide (QEMU: ignore), as
 * libxl, whose disks offer it unless they say no-discard, leaves it out. */
static int read_discard(struct parse *parse, const struct qemu_opts *opts, json_t *disk)
{
    static const struct {
        const char *name, *discard;
    } modes[] = {{"unmap", "unmap"}, {"on", "unmap"}, {"ignore", "ignore"}, {"off", "ignore"}};
    const char *discard = qemu_opts_get(opts, "discard");

    if (!discard)
        return 0;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (!strcmp(modes[i].name, discard))
            return json_object_set_new(disk, "discard", json_string(modes[i].discard)) ? -ENOMEM
                                                                                       : 0;
    return parse_fail(parse, "-drive: discard=%s is not known", discard);
}

/* The disk as config/ reads it, but for its place; NULL in *ret_disk for a drive without medium. */
static int read_disk(struct parse *parse, const struct qemu_opts *opts, json_t **ret_disk)
{
    const char *file = qemu_opts_get(opts, "file");
    const char *read_only = qemu_opts_get(opts, "readonly");
    const char *media = qemu_opts_get(opts, "media");
    json_t *disk;
    int err;

    *ret_disk = NULL;
    if (!file || (media && !strcmp(media, "cdrom")))
        return 0;
    err = read_format(parse, opts);
    if (err)
        return err;
    if (strncmp(file, "nbd:", 4) == 0 || strncmp(file, "rbd:", 4) == 0)
        return parse_fail(parse,
                          "-drive: %s is no file; ioemud serves raw images and block "
                          "devices only",
                          file);
    disk = json_pack("{s:s, s:s}", "path", file, "format", "raw");
    if (!disk) /* JSON is UTF-8 */
        return parse_fail(parse, "-drive: the path of a disk is not UTF-8");
    err = read_cache(parse, opts, disk);
    if (!err)
        err = read_discard(parse, opts, disk);
    if (!err && read_only && !strcmp(read_only, "on"))
        err = json_object_set_new(disk, "read_only", json_true()) ? -ENOMEM : 0;
    if (err) {
        json_decref(disk);
        return err;
    }
    *ret_disk = disk;
    return 0;
}

static int keep_drive(struct parse *parse, const struct qemu_opts *opts)
{
    const char *id = qemu_opts_get(opts, "id");
    struct parse_drive *drive = &parse->drive[parse->n_drives];
    const char *read_only = qemu_opts_get(opts, "readonly");
    const char *format = qemu_opts_get(opts, "format");
    int err = 0;

    if (!id)
        return parse_fail(parse, "-drive: if=none goes with id=");
    if (parse->n_drives == PARSE_DRIVES)
        return parse_fail(parse, "-drive: there are more than %u", PARSE_DRIVES);
    drive->id = strdup(id);
    if (!drive->id)
        return -ENOMEM;
    parse->n_drives++;
    /* A CD's image may be of any format: the drive is left out as a whole. */
    if (!(read_only && format && strcmp(format, "raw") != 0))
        err = read_disk(parse, opts, &drive->disk);
    return err;
}

static int place_drive(struct parse *parse, const struct qemu_opts *opts)
{
    const char *media = qemu_opts_get(opts, "media");
    unsigned long index;
    json_t *disk;
    int err;

    if (media && !strcmp(media, "cdrom")) {
        parse_warn(parse, "-drive: the guest gets no CD-ROM drive; ioemud does not have one yet");
        return 0;
    }
    if (media && strcmp(media, "disk") != 0)
        return parse_fail(parse, "-drive: media=%s is not known", media);
    if (!qemu_number(qemu_opts_get(opts, "index"), 0, PARSE_IDE - 1, &index))
        return parse_fail(parse, "-drive: if=ide goes with index=0 to index=3");
    err = read_disk(parse, opts, &disk);
    if (err)
        return err;
    if (!disk)
        return parse_fail(parse, "-drive: the disk at index %lu has no file=", index);
    return place_disk(parse, index, disk);
}

int parse_drive_option(struct parse *parse, const char *option, const char *value)
{
    static const char *const known[] = {
        "file",   "if",       "index",         "media",    "format", "driver",
        "cache",  "readonly", "read-only",     "id",       "aio",    "discard",
        "werror", "rerror",   "detect-zeroes", "snapshot", NULL,
    };
    const char *interface, *snapshot;
    struct qemu_opts opts;
    int err = parse_list(parse, option, value, NULL, known, &opts);

    if (err)
        return err;
    interface = qemu_opts_get(&opts, "if");
    snapshot = qemu_opts_get(&opts, "snapshot");
    if (snapshot && strcmp(snapshot, "off") != 0)
        err = parse_fail(parse, "-drive: snapshot=%s is not supported", snapshot);
    else if (!interface || !strcmp(interface, "ide"))
        err = place_drive(parse, &opts);
    else if (!strcmp(interface, "none"))
        err = keep_drive(parse, &opts);
    else
        err = parse_fail(parse, "-drive: if=%s is not supported: ioemud has IDE", interface);
    qemu_opts_finish(&opts);
    return err;
}

static struct parse_drive *find_drive(struct parse *parse, const struct qemu_opts *opts)
{
    const char *id = qemu_opts_get(opts, "drive");

    for (unsigned i = 0; id && i < parse->n_drives; i++)
        if (!strcmp(parse->drive[i].id, id))
            return &parse->drive[i];
    return NULL;
}

/* bus=ide.B,unit=U */
static int add_ide_disk(struct parse *parse, const struct qemu_opts *opts)
{
    struct parse_drive *drive = find_drive(parse, opts);
    const char *bus = qemu_opts_get(opts, "bus"), *unit = qemu_opts_get(opts, "unit");
    unsigned long b, u = 0;

    if (!drive || !drive->disk || drive->used)
        return parse_fail(parse, "-device: ide-hd needs the drive= of a -drive before it, with "
                                 "file=");
    if (!bus || strncmp(bus, "ide.", 4) != 0 || !qemu_number(bus + 4, 0, 1, &b) ||
        (unit && !qemu_number(unit, 0, 1, &u)))
        return parse_fail(parse, "-device: ide-hd goes with bus=ide.0 or bus=ide.1 and unit=0 or "
                                 "unit=1");
    drive->used = true;
    return place_disk(parse, b * 2 + u, json_incref(drive->disk));
}

static void leave_out(struct parse *parse, const struct qemu_opts *opts, const char *what)
{
    struct parse_drive *drive = find_drive(parse, opts);

    if (drive)
        drive->used = true;
    parse_warn(parse, "-device: the guest gets no %s; ioemud does not have one yet", what);
}

static void warn_once(struct parse *parse, bool *warned, const char *what)
{
    if (!*warned)
        parse_warn(parse, "-device: the guest gets no %s; ioemud does not have any", what);
    *warned = true;
}

static const struct device_model *find_model(const char *name)
{
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        if (!strcmp(models[i].name, name))
            return &models[i];
    return NULL;
}

static int add_device(struct parse *parse, const struct device_model *model,
                      const struct qemu_opts *opts)
{
    char what[96];

    switch (model->kind) {
    case DEVICE_IDE_DISK:
        return add_ide_disk(parse, opts);
    case DEVICE_CDROM:
        leave_out(parse, opts, "CD-ROM drive");
        return 0;
    case DEVICE_SCSI_DISK:
        leave_out(parse, opts, "emulated SCSI disk (sda, ...: its PV disk stays)");
        return 0;
    case DEVICE_NIC:
        snprintf(what, sizeof(what), "emulated network card %.32s (its PV interface stays)",
                 model->name);
        leave_out(parse, opts, what);
        return 0;
    case DEVICE_DISPLAY:
        warn_once(parse, &parse->warned_display, "display");
        return 0;
    case DEVICE_SOUND:
        warn_once(parse, &parse->warned_sound, "sound card");
        return 0;
    case DEVICE_USB:
        warn_once(parse, &parse->warned_usb, "USB");
        return 0;
    case DEVICE_OTHER:
        parse_warn(parse, "-device: %s is left out; ioemud does not have it", model->text);
        return 0;
    case DEVICE_NEVER:
        return parse_fail(parse, "-device %s: %s", model->name, model->text);
    case DEVICE_SILENT:
        break;
    }
    return 0;
}

int parse_device_option(struct parse *parse, const char *option, const char *value)
{
    const struct device_model *model;
    struct qemu_opts opts;
    const char *name;
    int err = parse_list(parse, option, value, "driver", NULL, &opts);

    if (err)
        return err;
    name = qemu_opts_get(&opts, "driver");
    model = name ? find_model(name) : NULL;
    if (model)
        err = add_device(parse, model, &opts);
    else if (qemu_opts_get(&opts, "netdev") && name)
        leave_out(parse, &opts, "emulated network card (its PV interface stays)");
    else
        err = parse_fail(parse, "-device %s: this device is not known", name ? name : value);
    qemu_opts_finish(&opts);
    return err;
}

void parse_drives_end(struct parse *parse)
{
    for (unsigned i = 0; i < parse->n_drives; i++)
        if (!parse->drive[i].used)
            parse_warn(parse, "-drive: nothing uses the drive %s; it is left out",
                       parse->drive[i].id);
}
