// SPDX-License-Identifier: GPL-2.0-or-later
/* QEMU's command line, as far as a test of our devices would use it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/qtest_machine.h"

#define DRIVES_MAX  16
#define RAM_DEFAULT (128u << 20)

struct drive {
    char *id, *path;
    bool read_only, discard;
};

struct parser {
    struct qtest_options *options;
    struct drive drives[DRIVES_MAX]; /* if=none, for a -device */
    unsigned n_drives;
};

__attribute__((noreturn)) static void die(const char *what, const char *value)
{
    fprintf(stderr, "qtest_server: %s: %s\n", what, value);
    exit(2);
}

/* Of "a=b,c=d" the next pair, in place; false at the end. */
static bool next_pair(char **rest, char **ret_key, char **ret_value)
{
    char *pair = strsep(rest, ",");

    if (!pair)
        return false;
    *ret_key = strsep(&pair, "=");
    *ret_value = pair ? pair : (char *)"on";
    return true;
}

static unsigned number(const char *text, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 0);

    if (end == text || *end || value > most)
        die("no such number here", text);
    return (unsigned)value;
}

static void place(struct parser *parser, unsigned index, const struct drive *drive)
{
    struct qtest_disk *disk = &parser->options->disk[index];

    if (!drive->path)
        die("a drive without file=", drive->id ? drive->id : "");
    if (disk->path)
        die("two drives in one place", drive->path);
    disk->path = drive->path;
    disk->read_only = drive->read_only;
    disk->discard = drive->discard;
}

static void parse_drive(struct parser *parser, char *text)
{
    struct drive drive = {0};
    bool none = false;
    unsigned index = MACHINE_IDE_DRIVES;
    char *key, *value;

    while (next_pair(&text, &key, &value)) {
        if (!strcmp(key, "file"))
            drive.path = value;
        else if (!strcmp(key, "id"))
            drive.id = value;
        else if (!strcmp(key, "index"))
            index = number(value, MACHINE_IDE_DRIVES - 1);
        else if (!strcmp(key, "readonly") || !strcmp(key, "read-only"))
            drive.read_only = !strcmp(value, "on");
        else if (!strcmp(key, "discard"))
            drive.discard = !strcmp(value, "unmap") || !strcmp(value, "on");
        else if (!strcmp(key, "if") && (!strcmp(value, "none") || !strcmp(value, "ide")))
            none = !strcmp(value, "none");
        else if (strcmp(key, "cache") && strcmp(key, "aio") &&
                 (strcmp(key, "format") || strcmp(value, "raw")) &&
                 (strcmp(key, "media") || strcmp(value, "disk")))
            die("-drive knows no such thing", key);
    }
    if (none) {
        if (parser->n_drives == DRIVES_MAX)
            die("too many drives", drive.path ? drive.path : "");
        parser->drives[parser->n_drives++] = drive;
        return;
    }
    for (unsigned i = 0; index == MACHINE_IDE_DRIVES && i < MACHINE_IDE_DRIVES; i++) {
        if (!parser->options->disk[i].path)
            index = i;
    }
    if (index == MACHINE_IDE_DRIVES)
        die("no place is left for", drive.path ? drive.path : "a drive");
    place(parser, index, &drive);
}

static const struct drive *find_drive(const struct parser *parser, const char *id)
{
    for (unsigned i = 0; i < parser->n_drives; i++) {
        if (parser->drives[i].id && !strcmp(parser->drives[i].id, id))
            return &parser->drives[i];
    }
    die("no -drive has this id", id);
}

static void copy_name(char *into, size_t size, const char *name)
{
    if (strlen(name) >= size)
        die("too long", name);
    strcpy(into, name);
}

static void parse_device(struct parser *parser, char *text)
{
    const char *model = strsep(&text, ","), *serial = "", *name = "", *version = "";
    const struct drive *drive = NULL;
    unsigned bus = 0, unit = 0;
    uint64_t wwn = 0;
    char *key, *value;

    if (strcmp(model, "ide-hd"))
        die("-device knows ide-hd only, not", model);
    while (next_pair(&text, &key, &value)) {
        if (!strcmp(key, "drive"))
            drive = find_drive(parser, value);
        else if (!strcmp(key, "bus") && !strncmp(value, "ide.", 4))
            bus = number(value + 4, 1);
        else if (!strcmp(key, "unit"))
            unit = number(value, 1);
        else if (!strcmp(key, "serial"))
            serial = value;
        else if (!strcmp(key, "model"))
            name = value;
        else if (!strcmp(key, "ver"))
            version = value;
        else if (!strcmp(key, "wwn"))
            wwn = strtoull(value, NULL, 0);
        else if (strcmp(key, "id"))
            die("ide-hd knows no such thing", key);
    }
    if (!drive)
        die("ide-hd needs", "drive=");
    place(parser, 2 * bus + unit, drive);

    struct qtest_disk *disk = &parser->options->disk[2 * bus + unit];
    copy_name(disk->serial, sizeof(disk->serial), serial);
    copy_name(disk->model, sizeof(disk->model), name);
    copy_name(disk->firmware, sizeof(disk->firmware), version);
    disk->wwn = wwn;
}

/* QEMU's MiB, or with a suffix. */
static void parse_ram(struct parser *parser, const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 0);

    if (end == text || (*end && strcmp(end, "M")) || !value || value > 2048)
        die("-m takes MiB, at most 2048", text);
    parser->options->ram_bytes = value << 20;
}

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++) {
        if (!strcmp(text, *list))
            return true;
    }
    return false;
}

void qtest_options_parse(int argc, char **argv, struct qtest_options *ret_options)
{
    static const char *const with_argument[] = {
        "-machine", "-M",   "-accel", "-display", "-qtest-log", "-cpu",    "-smp",  "-vga",
        "-net",     "-nic", "-audio", "-name",    "-boot",      "-global", "-bios", NULL};
    static const char *const alone[] = {"-nodefaults",  "-nographic",      "-S",
                                        "-no-shutdown", "-no-user-config", NULL};
    struct parser parser = {.options = ret_options};

    *ret_options = (struct qtest_options){.qtest = "stdio", .ram_bytes = RAM_DEFAULT};
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (is_one_of(option, alone))
            continue;
        if (i + 1 == argc)
            die("unknown, or without its argument", option);
        char *value = argv[++i];
        if (!strcmp(option, "-qtest"))
            ret_options->qtest = value;
        else if (!strcmp(option, "-m"))
            parse_ram(&parser, value);
        else if (!strcmp(option, "-drive"))
            parse_drive(&parser, value);
        else if (!strcmp(option, "-device"))
            parse_device(&parser, value);
        else if (!is_one_of(option, with_argument))
            die("unknown option", option);
    }
}
