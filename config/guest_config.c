/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's description: guests.d/NAME.json and what comes over the control socket. */
#include "config/guest_config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_SECTOR_MAX ((UINT64_C(1) << 55) - 1) /* of 2^64 bytes */

static const char *const type_names[] = {"disk", "cdrom", NULL};
static const char *const cache_names[] = {"writeback", "writethrough", NULL};
static const char *const discard_names[] = {"unmap", "ignore", NULL};
static const char *const werror_names[] = {"enospc", "report", "stop", NULL};
static const char *const rerror_names[] = {"report", "stop", NULL};
static const char *const fault_op_names[] = {"any", "read", "write", "flush", "discard", NULL};
static const char *const fault_error_names[] = {"EIO",   "ENOSPC",  "ENODEV",
                                                "ENXIO", "ENODATA", NULL};
static const char *const format_names[] = {"raw", "mem", NULL};
static const char *const serial_names[] = {"none", "pty", "file", "unix", NULL};
static const char *const role_names[] = {"primary", "secondary", "pv", NULL};
static const char *const unplug_names[] = {"auto", "never", NULL};
static const char *const hypervisor_names[] = {"xen", "shm", NULL};

static int read_vdev(struct config_reader *reader, const json_t *value, void *into);
static int read_name(struct config_reader *reader, const json_t *value, void *into);
static int read_boot(struct config_reader *reader, const json_t *value, void *into);
static int read_fault(struct config_reader *reader, const json_t *value, void *into);
static int read_disks(struct config_reader *reader, const json_t *value, void *into);
static int read_serials(struct config_reader *reader, const json_t *value, void *into);

#define DISK(name, member, kind, ...)                                                              \
    {                                                                                              \
        name, kind, offsetof(struct disk_config, member), __VA_ARGS__                              \
    }

static const struct config_key disk_keys[] = {
    DISK("vdev", vdev, CONFIG_CUSTOM, 0, 0, NULL, read_vdev),
    DISK("type", type, CONFIG_ENUM, 0, 0, type_names),
    DISK("path", path, CONFIG_PATH, 1, CONFIG_PATH_MAX),
    DISK("format", backend, CONFIG_ENUM, 0, 0, format_names),
    DISK("size", size, CONFIG_SIZE, 512, UINT64_C(1) << 36),
    DISK("cache", cache, CONFIG_ENUM, 0, 0, cache_names),
    DISK("direct", direct, CONFIG_BOOL, 0, 0),
    DISK("read_only", read_only, CONFIG_BOOL, 0, 0),
    DISK("shared", shared, CONFIG_BOOL, 0, 0),
    DISK("discard", discard, CONFIG_ENUM, 0, 0, discard_names),
    /* IDENTIFY DEVICE words 10-19, 27-46, 23-26 and 108-111, ATA8-ACS 7.16 */
    DISK("serial", serial, CONFIG_TEXT, 0, sizeof(((struct disk_config *)0)->serial) - 1),
    DISK("model", model, CONFIG_TEXT, 0, sizeof(((struct disk_config *)0)->model) - 1),
    DISK("firmware", firmware, CONFIG_TEXT, 0, sizeof(((struct disk_config *)0)->firmware) - 1),
    DISK("wwn", wwn, CONFIG_TEXT, 0, sizeof(((struct disk_config *)0)->wwn) - 1),
    DISK("werror", werror, CONFIG_ENUM, 0, 0, werror_names),
    DISK("rerror", rerror, CONFIG_ENUM, 0, 0, rerror_names),
    DISK("fault", fault, CONFIG_CUSTOM, 0, 0, NULL, read_fault),
};

const struct config_table disk_config_table = {
    "a disk",
    disk_keys,
    sizeof(disk_keys) / sizeof(disk_keys[0]),
};

#define FAULT(name, member, kind, ...)                                                             \
    {                                                                                              \
        name, kind, offsetof(struct disk_fault, member), __VA_ARGS__                               \
    }

static const struct config_key fault_keys[] = {
    FAULT("op", op, CONFIG_ENUM, 0, 0, fault_op_names),
    FAULT("first_sector", first_sector, CONFIG_SIZE, 0, CONFIG_SECTOR_MAX),
    FAULT("last_sector", last_sector, CONFIG_SIZE, 0, CONFIG_SECTOR_MAX),
    FAULT("every", every, CONFIG_UNSIGNED, 0, 1000000000),
    FAULT("count", count, CONFIG_UNSIGNED, 0, 1000000000),
    FAULT("error", error, CONFIG_ENUM, 0, 0, fault_error_names),
    FAULT("delay_ms", delay_ms, CONFIG_UNSIGNED, 0, 600000),
};

const struct config_table fault_config_table = {
    "a disk's \"fault\"",
    fault_keys,
    sizeof(fault_keys) / sizeof(fault_keys[0]),
};

#define SERIAL(name, member, kind, ...)                                                            \
    {                                                                                              \
        name, kind, offsetof(struct serial_config, member), __VA_ARGS__                            \
    }

static const struct config_key serial_keys[] = {
    SERIAL("type", kind, CONFIG_ENUM, 0, 0, serial_names),
    SERIAL("path", path, CONFIG_PATH, 1, CONFIG_PATH_MAX),
    SERIAL("max_size", max_size, CONFIG_SIZE, 64 * 1024, UINT64_C(1) << 40),
};

const struct config_table serial_config_table = {
    "a serial port",
    serial_keys,
    sizeof(serial_keys) / sizeof(serial_keys[0]),
};

#define GUEST(name, member, kind, ...)                                                             \
    {                                                                                              \
        name, kind, offsetof(struct guest_config, member), __VA_ARGS__                             \
    }

static const struct config_key guest_keys[] = {
    GUEST("name", name, CONFIG_CUSTOM, 0, 0, NULL, read_name),
    GUEST("hypervisor", hypervisor, CONFIG_ENUM, 0, 0, hypervisor_names),
    GUEST("role", role, CONFIG_ENUM, 0, 0, role_names),
    GUEST("slot", slot, CONFIG_U8, 1, 31),
    GUEST("unplug", unplug, CONFIG_ENUM, 0, 0, unplug_names),
    GUEST("platform", platform, CONFIG_BOOL, 0, 0),
    GUEST("buffered_pio", buffered_pio, CONFIG_BOOL, 0, 0),
    GUEST("boot", boot_order, CONFIG_CUSTOM, 0, 0, NULL, read_boot),
    GUEST("disks", disk, CONFIG_CUSTOM, 0, 0, NULL, read_disks),
    GUEST("serial", serial, CONFIG_CUSTOM, 0, 0, NULL, read_serials),
    GUEST("nics", nic, CONFIG_CUSTOM, 0, 0, NULL, nic_config_read_all),
    GUEST("map_limit_mib", map_limit_mib, CONFIG_UNSIGNED, 4, 4096),
    GUEST("budget", budget, CONFIG_UNSIGNED, 1, 4096),
};

const struct config_table guest_config_table = {
    "a guest's configuration",
    guest_keys,
    sizeof(guest_keys) / sizeof(guest_keys[0]),
};

static int fail_type(struct config_reader *reader, const char *expected, const json_t *value)
{
    return config_fail(reader, "%s is expected, not %s", expected, config_type_name(value));
}

static int read_name(struct config_reader *reader, const json_t *value, void *into)
{
    struct guest_config *config = into;

    if (!json_is_string(value))
        return fail_type(reader, "a string", value);

    const char *name = json_string_value(value);

    if (!guest_config_name_is_good(name))
        return config_fail(reader,
                           "this is no name of a guest: 1 to %d of A-Z a-z 0-9 . _ + @ : - are "
                           "expected, the first a letter or a digit",
                           CONFIG_NAME_MAX);
    snprintf(config->name, sizeof(config->name), "%s", name);
    return 0;
}

bool guest_config_name_is_good(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t length = strlen(name);

    return length >= 1 && length <= CONFIG_NAME_MAX && strspn(name, first) >= 1 &&
           name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                             "._+@:-")] == '\0';
}

static int read_boot(struct config_reader *reader, const json_t *value, void *into)
{
    struct guest_config *config = into;

    if (!json_is_string(value))
        return fail_type(reader, "a string", value);

    const char *order = json_string_value(value);
    size_t length = strlen(order);

    if (length < 1 || length > 3 || order[strspn(order, "cdn")] != '\0')
        return config_fail(reader, "1 to 3 of the letters c (disk), d (CD-ROM) and n (network) are "
                                   "expected, as in \"cd\"");
    for (size_t i = 0; i < length; i++)
        if (strchr(order + i + 1, order[i]))
            return config_fail(reader, "'%c' is there twice", order[i]);
    snprintf(config->boot_order, sizeof(config->boot_order), "%s", order);
    return 0;
}

/* ---- disks ----------------------------------------------------------------------------------- */

static int read_vdev(struct config_reader *reader, const json_t *value, void *into)
{
    struct disk_config *disk = into;

    if (!json_is_string(value))
        return fail_type(reader, "a string", value);

    const char *vdev = json_string_value(value);
    size_t prefix = strncmp(vdev, "xvd", 3) == 0 ? 3 : strncmp(vdev, "hd", 2) == 0 ? 2 : 0;
    char unit = prefix ? vdev[prefix] : '\0';

    if (unit < 'a' || unit > 'd' || vdev[prefix + 1] != '\0')
        return config_fail(
            reader, "this is no place of an IDE disk: \"hda\", \"hdb\", \"hdc\" or \"hdd\" is "
                    "expected (\"xvda\" to \"xvdd\" are taken for these; there are no SCSI "
                    "disks, sda and so on)");
    snprintf(disk->vdev, sizeof(disk->vdev), "hd%c", unit);
    return 0;
}

static int read_fault(struct config_reader *reader, const json_t *value, void *into)
{
    struct disk_config *disk = into;
    struct disk_fault fault = {.last_sector = CONFIG_SECTOR_MAX};

    if (!json_is_object(value))
        return fail_type(reader, "an object { ... }", value);

    int error = config_read_object(reader, value, &fault_config_table, &fault, &fault.given);

    if (error)
        return error;
    if (!(fault.given & (config_key_bit(&fault_config_table, "every") |
                         config_key_bit(&fault_config_table, "delay_ms"))))
        return config_fail(reader, "\"every\" or \"delay_ms\" is missing: which requests fail, or "
                                   "how much longer they take");
    if (fault.first_sector > fault.last_sector)
        return config_fail_at(reader, "last_sector", "this is before \"first_sector\"");
    disk->fault = fault;
    return 0;
}

/* ATA8-ACS, IDENTIFY words 108-111: a name with the NAA field 5h (IEEE registered). */
static bool is_wwn(const char *text)
{
    return strlen(text) == 18 && strncmp(text, "0x5", 3) == 0 &&
           strspn(text + 2, "0123456789abcdefABCDEF") == 16;
}

/* What a CD-ROM drive has otherwise than a disk. */
static int check_cdrom(struct config_reader *reader, const struct disk_config *disk)
{
    if (disk->backend == DISK_MEM)
        return config_fail_at(reader, "format",
                              "a CD-ROM drive takes images and block devices: \"raw\" is expected");
    if (disk->given & config_key_bit(&disk_config_table, "read_only") && !disk->read_only)
        return config_fail_at(reader, "read_only",
                              "a CD-ROM drive's medium is always read-only: true is expected, or "
                              "no \"read_only\" at all");
    return 0;
}

static int check_disk(struct config_reader *reader, const struct disk_config *disk, bool complete)
{
    uint32_t given = disk->given;

    if (!disk->vdev[0])
        return config_fail(reader, "\"vdev\" is missing: the disk's place, as in \"hda\"");
    if (disk->type == DISK_CDROM && check_cdrom(reader, disk))
        return -EINVAL;
    if (disk->backend == DISK_RAW && given & config_key_bit(&disk_config_table, "size"))
        return config_fail_at(reader, "size",
                              "a raw image has the size of its file: \"size\" goes with "
                              "\"format\": \"mem\"");
    if (disk->backend == DISK_MEM && given & config_key_bit(&disk_config_table, "path"))
        return config_fail_at(reader, "path",
                              "a disk in memory has no file: \"path\" goes with \"format\": "
                              "\"raw\"");
    if (disk->size % 512)
        return config_fail_at(reader, "size", "a multiple of 512 (the sector) is expected");
    if (disk->wwn[0] && !is_wwn(disk->wwn))
        return config_fail_at(reader, "wwn",
                              "this is no World Wide Name of a disk: \"0x5\" and 15 more "
                              "hexadecimal digits are expected, as in \"0x5000c50015ea71ad\"");
    if (complete && disk->backend == DISK_RAW && disk->type == DISK_HARD && !disk->path[0])
        return config_fail(reader,
                           "disk %s has no \"path\": the absolute path of its image or "
                           "block device is expected",
                           disk->vdev);
    if (complete && disk->backend == DISK_MEM && disk->size == 0)
        return config_fail(reader,
                           "disk %s is in memory and has no \"size\": bytes, or as in "
                           "\"16M\", are expected",
                           disk->vdev);
    return 0;
}

static int read_disks(struct config_reader *reader, const json_t *value, void *into)
{
    struct guest_config *config = into;

    if (!json_is_array(value))
        return fail_type(reader, "an array [ ... ] of disks", value);
    if (json_array_size(value) > CONFIG_DISKS)
        return config_fail(reader, "%zu disks: two channels with two drives each have room for %d",
                           json_array_size(value), CONFIG_DISKS);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct disk_config *disk = &config->disk[i];
        int error = config_enter_index(reader, i);

        if (error)
            return error;
        error = config_read_object(reader, json_array_get(value, i), &disk_config_table, disk,
                                   &disk->given);
        for (size_t j = 0; j < i && !error; j++)
            if (strcmp(config->disk[j].vdev, disk->vdev) == 0 && disk->vdev[0])
                error = config_fail_at(reader, "vdev", "%s is already the place of disk %zu",
                                       disk->vdev, j);
        config_leave(reader);
        if (error)
            return error;
        config->n_disks = i + 1;
    }
    return 0;
}

/* ---- serial ports ---------------------------------------------------------------------------- */

static int read_serial(struct config_reader *reader, const json_t *value,
                       struct serial_config *serial)
{
    uint32_t given = 0;
    int error = config_read_object(reader, value, &serial_config_table, serial, &given);

    if (error)
        return error;
    if (!(given & config_key_bit(&serial_config_table, "type")))
        return config_fail(reader, "\"type\" is missing: \"pty\", \"file\", \"unix\" or \"none\"");

    bool wants_path = serial->kind == SERIAL_FILE || serial->kind == SERIAL_UNIX;

    if (wants_path && !serial->path[0])
        return config_fail(reader, "a serial port of type \"%s\" needs a \"path\"",
                           serial_names[serial->kind]);
    if (!wants_path && serial->path[0])
        return config_fail_at(reader, "path", "a serial port of type \"%s\" has no path",
                              serial_names[serial->kind]);
    if (serial->kind != SERIAL_FILE && given & config_key_bit(&serial_config_table, "max_size"))
        return config_fail_at(reader, "max_size", "a serial port of type \"%s\" has no size",
                              serial_names[serial->kind]);
    if (serial->kind == SERIAL_UNIX && strlen(serial->path) > CONFIG_SOCKET_MAX)
        return config_fail_at(reader, "path", "too long for a socket: %d bytes are the most",
                              CONFIG_SOCKET_MAX);
    return 0;
}

static int read_serials(struct config_reader *reader, const json_t *value, void *into)
{
    struct guest_config *config = into;

    if (!json_is_array(value))
        return fail_type(reader, "an array [ ... ] of serial ports", value);
    if (json_array_size(value) > CONFIG_SERIALS)
        return config_fail(reader, "%zu serial ports: %d are the most", json_array_size(value),
                           CONFIG_SERIALS);
    for (size_t i = 0; i < json_array_size(value); i++) {
        int error = config_enter_index(reader, i);

        if (error)
            return error;
        error = read_serial(reader, json_array_get(value, i), &config->serial[i]);
        config_leave(reader);
        if (error)
            return error;
        config->n_serials = i + 1;
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int guest_config_defaults(struct guest_config *ret_config)
{
    struct guest_config config = {
        .platform = true,
        .buffered_pio = true,
        .boot_order = "c",
        .map_limit_mib = 64,
        .budget = 64,
    };
    bool short_of_memory = false;

    for (unsigned i = 0; i < CONFIG_DISKS; i++) {
        config.disk[i].direct = true;
        config.disk[i].path = strdup("");
        short_of_memory |= !config.disk[i].path;
    }
    for (unsigned i = 0; i < CONFIG_SERIALS; i++) {
        config.serial[i].max_size = 16 * 1024 * 1024;
        config.serial[i].path = strdup("");
        short_of_memory |= !config.serial[i].path;
    }
    for (unsigned i = 0; i < CONFIG_NICS; i++)
        short_of_memory |= nic_config_defaults(&config.nic[i]) != 0;
    if (short_of_memory) {
        guest_config_finish(&config);
        return -ENOMEM;
    }
    *ret_config = config;
    return 0;
}

void guest_config_finish(struct guest_config *config)
{
    for (unsigned i = 0; i < CONFIG_DISKS; i++)
        free(config->disk[i].path);
    for (unsigned i = 0; i < CONFIG_SERIALS; i++)
        free(config->serial[i].path);
    for (unsigned i = 0; i < CONFIG_NICS; i++)
        nic_config_finish(&config->nic[i]);
    *config = (struct guest_config){0};
}

/* A second device model brings disks and NICs: all else is the first one's. */
static int check_secondary(struct config_reader *reader, const struct guest_config *config)
{
    static const char *const primary_only[] = {"serial", "boot", "platform", "unplug"};

    for (unsigned i = 0; i < sizeof(primary_only) / sizeof(primary_only[0]); i++) {
        const char *key = primary_only[i];

        if (config->given & config_key_bit(&guest_config_table, key))
            return config_fail_at(reader, key,
                                  "\"%s\" is the primary device model's: with \"role\": "
                                  "\"secondary\" a guest gets disks and NICs from here and no more",
                                  key);
    }
    return 0;
}

/* There is nothing to describe: its PV disks are the toolstack's. */
static int check_pv(struct config_reader *reader, const struct guest_config *config)
{
    static const char *const emulated[] = {"disks", "nics",     "serial", "boot",
                                           "slot",  "platform", "unplug"};

    if (config->hypervisor != GUEST_XEN)
        return config_fail_at(reader, "role",
                              "\"pv\" is for domains of Xen, not for \"hypervisor\": \"shm\"");
    for (unsigned i = 0; i < sizeof(emulated) / sizeof(emulated[0]); i++)
        if (config->given & config_key_bit(&guest_config_table, emulated[i]))
            return config_fail_at(reader, emulated[i],
                                  "\"%s\" is about emulated devices: a guest with \"role\": \"pv\" "
                                  "has none, and its PV disks are in xl's description",
                                  emulated[i]);
    return 0;
}

int guest_config_check_with(struct config_reader *reader, const struct guest_config *config,
                            bool complete)
{
    int error = 0;

    if (config->role == GUEST_SECONDARY)
        error = check_secondary(reader, config);
    else if (config->role == GUEST_PV)
        error = check_pv(reader, config);
    else if (config->given & config_key_bit(&guest_config_table, "slot"))
        error = config_fail_at(reader, "slot",
                               "\"slot\" places a secondary controller: it goes with \"role\": "
                               "\"secondary\"");
    if (!error && complete && config->role == GUEST_SECONDARY && config->n_disks == 0 &&
        config->n_nics == 0)
        error = config_fail(reader, "a \"secondary\" device model without \"disks\" and \"nics\" "
                                    "has nothing to serve");
    for (unsigned i = 0; i < config->n_disks && !error; i++) {
        error = config_enter_key(reader, "disks");
        assert(!error);
        error = config_enter_index(reader, i);
        assert(!error);
        error = check_disk(reader, &config->disk[i], complete);
        config_leave(reader);
        config_leave(reader);
    }
    for (unsigned i = 0; i < config->n_nics && !error; i++) {
        error = config_enter_key(reader, "nics");
        assert(!error);
        error = config_enter_index(reader, i);
        assert(!error);
        error = nic_config_check(reader, &config->nic[i], complete);
        config_leave(reader);
        config_leave(reader);
    }
    return error;
}

int guest_config_check(const struct guest_config *config, const char *where,
                       struct config_error *ret_error)
{
    struct config_reader reader = {.file = where, .error = ret_error};

    if (!config->name[0])
        return config_fail(&reader, "\"name\" is missing");
    return guest_config_check_with(&reader, config, true);
}

/* `name`: what the file is called, NULL when the object must name itself. */
static int read_guest(struct config_reader *reader, const json_t *object, const char *name,
                      struct guest_config *ret_config)
{
    struct guest_config config;
    int error = guest_config_defaults(&config);

    if (error) {
        config_fail(reader, "out of memory");
        return error;
    }
    error = config_read_object(reader, object, &guest_config_table, &config, &config.given);
    if (error)
        goto finish;
    if (name && config.name[0] && strcmp(config.name, name) != 0) {
        error = config_fail_at(reader, "name",
                               "the file is %s.json and the name in it \"%s\": they must be the "
                               "same",
                               name, config.name);
        goto finish;
    }
    if (name)
        snprintf(config.name, sizeof(config.name), "%s", name);
    if (!config.name[0]) {
        error = config_fail(reader, "\"name\" is missing");
        goto finish;
    }
    error = guest_config_check_with(reader, &config, name == NULL);
    if (error)
        goto finish;
    *ret_config = config;
    return 0;
finish:
    guest_config_finish(&config);
    return error;
}

int guest_config_from_json(const json_t *object, const char *where, struct guest_config *ret_config,
                           struct config_error *ret_error)
{
    struct config_reader reader = {.file = where, .error = ret_error};

    return read_guest(&reader, object, NULL, ret_config);
}

/* DIR/NAME.json: NAME. */
static int name_of_file(const char *path, char ret_name[CONFIG_NAME_MAX + 1],
                        struct config_error *ret_error)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *end = strrchr(base, '.');
    char name[CONFIG_NAME_MAX + 1];

    if (!end || strcmp(end, ".json") != 0) {
        snprintf(ret_error->text, sizeof(ret_error->text),
                 "%s: a guest's file must be called NAME.json", path);
        return -EINVAL;
    }

    int length = end - base;

    if (length <= CONFIG_NAME_MAX)
        snprintf(name, sizeof(name), "%.*s", length, base);
    if (length > CONFIG_NAME_MAX || !guest_config_name_is_good(name)) {
        snprintf(ret_error->text, sizeof(ret_error->text),
                 "%s: the file's name is no guest's: 1 to %d of A-Z a-z 0-9 . _ + @ : - are "
                 "expected before \".json\", the first a letter or a digit",
                 path, CONFIG_NAME_MAX);
        return -EINVAL;
    }
    memcpy(ret_name, name, sizeof(name));
    return 0;
}

int guest_config_parse(const char *text, size_t length, const char *where,
                       struct guest_config *ret_config, struct config_error *ret_error)
{
    struct config_reader reader = {
        .file = where, .text = text, .length = length, .error = ret_error};
    char name[CONFIG_NAME_MAX + 1];
    json_t *object;
    int error = name_of_file(where, name, ret_error);

    if (!error)
        error = config_parse(&reader, &object);
    if (error)
        return error;
    error = read_guest(&reader, object, name, ret_config);
    json_decref(object);
    return error;
}

const char *guest_role_name(enum guest_role role)
{
    return role_names[role];
}

int guest_config_load(const char *path, struct guest_config *ret_config,
                      struct config_error *ret_error)
{
    char *text;
    size_t length;
    int error = config_read_file(path, &text, &length, ret_error);

    if (error)
        return error;
    error = guest_config_parse(text, length, path, ret_config, ret_error);
    free(text);
    return error;
}
