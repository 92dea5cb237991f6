/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/dm/qemu_args.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "daemon/dm/qemu_parse.h"

/* What an option's `text` means when it has no handler. */
enum option_rule {
    OPTION_HANDLED,
    OPTION_IGNORED, /* says nothing to us */
    OPTION_WARNED,  /* the guest runs without `text` */
    OPTION_REFUSED, /* an error, and `text` is why */
};

struct option {
    const char *name;
    bool has_value;
    enum option_rule rule;
    int (*handle)(struct parse *parse, const char *option, const char *value);
    const char *text;
};

static int handle_domid(struct parse *parse, const char *option, const char *value)
{
    unsigned long domid;

    if (!qemu_number(value, 1, QEMU_ARGS_DOMID_MAX, &domid))
        return parse_fail(parse, "-xen-domid: \"%s\" is not the id of a guest", value);
    parse->args.domid = (uint32_t)domid;
    return 0;
}

static int handle_name(struct parse *parse, const char *option, const char *value)
{
    size_t len = strlen(value);

    if (len == 0 || len > CONFIG_NAME_MAX)
        return parse_fail(parse, "-name: a name has 1 to %d letters", CONFIG_NAME_MAX);
    if (json_object_set_new(parse->args.config, "name", json_string(value)))
        return parse_fail(parse, "-name: \"%s\" is not UTF-8", value);
    return 0;
}

/* "socket,id=ID,path=PATH,server=on,wait=off", or fd=N in place of path=; "pty,id=..." and the like
 * belong to what is left out. */
static int handle_chardev(struct parse *parse, const char *option, const char *value)
{
    struct parse_chardev *chardev = &parse->chardev[parse->n_chardevs];
    struct qemu_opts opts;
    const char *id, *kind, *path, *fd;
    unsigned long number = 0;
    int err = parse_list(parse, option, value, "backend", NULL, &opts);

    if (err)
        return err;
    id = qemu_opts_get(&opts, "id");
    kind = qemu_opts_get(&opts, "backend");
    path = qemu_opts_get(&opts, "path");
    fd = qemu_opts_get(&opts, "fd");
    for (unsigned i = 0; id && i < parse->n_chardevs && !err; i++)
        if (!strcmp(parse->chardev[i].id, id))
            err = parse_fail(parse, "-chardev: there are two with id=%s", id);
    if (err) {
        ; /* said */
    } else if (parse->n_chardevs == PARSE_CHARDEVS) {
        err = parse_fail(parse, "-chardev: there are more than %u", PARSE_CHARDEVS);
    } else if (!id || !kind) {
        err = parse_fail(parse, "-chardev: \"%s\" has no kind or no id=", value);
    } else if (fd && (path || !qemu_number(fd, 3, 1 << 20, &number))) {
        err = parse_fail(parse, "-chardev: fd=%s is not a descriptor", fd);
    } else {
        parse->n_chardevs++;
        *chardev = (struct parse_chardev){.id = strdup(id), .kind = strdup(kind)};
        chardev->where.fd = fd ? (int)number : -1;
        chardev->where.path = path ? strdup(path) : NULL;
        if (!chardev->id || !chardev->kind || (path && !chardev->where.path))
            err = -ENOMEM;
    }
    qemu_opts_finish(&opts);
    return err;
}

static int handle_mon(struct parse *parse, const char *option, const char *value)
{
    static const char *const known[] = {"chardev", "mode", "pretty", NULL};
    struct qemu_args *args = &parse->args;
    struct parse_chardev *chardev = NULL;
    struct qemu_opts opts;
    const char *id, *mode;
    int err = parse_list(parse, option, value, "chardev", known, &opts);

    if (err)
        return err;
    id = qemu_opts_get(&opts, "chardev");
    mode = qemu_opts_get(&opts, "mode");
    for (unsigned i = 0; id && i < parse->n_chardevs; i++)
        if (!strcmp(parse->chardev[i].id, id))
            chardev = &parse->chardev[i];
    if (!mode || strcmp(mode, "control") != 0)
        err = parse_fail(parse, "-mon: only mode=control is supported");
    else if (!chardev || chardev->used)
        err =
            parse_fail(parse, "-mon: there is no -chardev %s before it that is free", id ? id : "");
    else if (strcmp(chardev->kind, "socket") != 0 ||
             (!chardev->where.path && chardev->where.fd < 0))
        err = parse_fail(parse, "-mon: the -chardev %s is not a socket with path= or fd=", id);
    else if (args->n_qmps == QEMU_ARGS_QMPS)
        err = parse_fail(parse, "-mon: there are more than %u", QEMU_ARGS_QMPS);
    if (!err) {
        chardev->used = true;
        args->qmp[args->n_qmps++] = chardev->where;
        chardev->where.path = NULL;
    }
    qemu_opts_finish(&opts);
    return err;
}

/* What `serial=` of xl.cfg may be: qemu(1), -serial. A port that cannot be had keeps its number. */
static int handle_serial(struct parse *parse, const char *option, const char *value)
{
    json_t *serial = NULL;
    size_t path_len;

    if (parse->n_serials++ >= CONFIG_SERIALS) {
        parse_warn(parse, "-serial %s: the guest has %d serial ports at most; left out", value,
                   CONFIG_SERIALS);
        return 0;
    }
    if (!strcmp(value, "pty")) {
        serial = json_pack("{s:s}", "type", "pty");
    } else if (!strcmp(value, "none") || !strcmp(value, "null")) {
        serial = json_pack("{s:s}", "type", "none");
    } else if (!strncmp(value, "file:/", 6)) {
        serial = json_pack("{s:s, s:s}", "type", "file", "path", value + 5);
    } else if (!strncmp(value, "unix:/", 6)) {
        path_len = strcspn(value + 5, ",");
        if (path_len < strlen(value + 5) && !strstr(value + 5 + path_len, ",server"))
            return parse_fail(parse,
                              "-serial %s: only a socket that listens is supported "
                              "(unix:PATH,server,nowait)",
                              value);
        serial = json_pack("{s:s, s:s%}", "type", "unix", "path", value + 5, path_len);
    } else {
        parse_warn(parse,
                   "-serial %s: not supported (pty, file:/PATH, unix:/PATH,server,nowait and "
                   "none are); the port is not connected",
                   value);
        serial = json_pack("{s:s}", "type", "none");
    }
    if (!serial)
        return parse_fail(parse, "-serial: \"%s\" is not UTF-8", value);
    return json_array_append_new(parse->serials, serial) ? -ENOMEM : 0;
}

/* libxl's default is "cda"; there has not been a floppy drive to boot from for a long time. */
static int handle_boot(struct parse *parse, const char *option, const char *value)
{
    static const char *const known[] = {"order", "once", "menu", "strict", NULL};
    char boot[4] = "";
    struct qemu_opts opts;
    const char *order;
    int err = parse_list(parse, option, value, "order", known, &opts);

    if (err)
        return err;
    order = qemu_opts_get(&opts, "order");
    for (const char *c = order ? order : ""; *c && !err; c++) {
        size_t len = strlen(boot);

        if (*c == 'a' || (strchr("cdn", *c) && strchr(boot, *c)))
            continue;
        if (!strchr("cdn", *c))
            err = parse_fail(parse, "-boot: '%c' is not c (disk), d (CD-ROM) or n (network)", *c);
        else
            boot[len] = *c;
    }
    qemu_opts_finish(&opts);
    if (err || !boot[0])
        return err;
    return json_object_set_new(parse->args.config, "boot", json_string(boot)) ? -ENOMEM : 0;
}

/* "N" or "N,maxcpus=M": M is known to the hypervisor. */
static int handle_smp(struct parse *parse, const char *option, const char *value)
{
    static const char *const known[] = {"cpus", "maxcpus", "sockets", "cores", "threads", NULL};
    struct qemu_opts opts;
    const char *maxcpus;
    unsigned long n = 0, max = QEMU_ARGS_VCPUS_MAX;
    int err = parse_list(parse, option, value, "cpus", known, &opts);

    if (err)
        return err;
    maxcpus = qemu_opts_get(&opts, "maxcpus");
    if ((maxcpus && !qemu_number(maxcpus, 1, QEMU_ARGS_VCPUS_MAX, &max)) ||
        !qemu_number(qemu_opts_get(&opts, "cpus"), 1, max, &n))
        err = parse_fail(parse, "-smp: \"%s\" is not 1 to %u vCPUs", value, QEMU_ARGS_VCPUS_MAX);
    else
        parse->args.vcpus = (unsigned)n;
    qemu_opts_finish(&opts);
    return err;
}

/* xenfv has the platform device, pc does not; xenpv, for PV and PVH guests, has no machine at all:
 * QEMU would be there for their PV backends. */
static int handle_machine(struct parse *parse, const char *option, const char *value)
{
    static const char *const known[] = {"type", "accel", "suppress-vmdesc", "max-ram-below-4g",
                                        NULL};
    struct qemu_opts opts;
    const char *type, *accel;
    int err = parse_list(parse, option, value, "type", known, &opts);

    if (err)
        return err;
    type = qemu_opts_get(&opts, "type");
    accel = qemu_opts_get(&opts, "accel");
    if (type && !strcmp(type, "xenpv"))
        err = json_object_set_new(parse->args.config, "role", json_string("pv")) ? -ENOMEM : 0;
    else if (!type || (strncmp(type, "xenfv", 5) != 0 && strcmp(type, "pc") != 0))
        err = parse_fail(parse, "-%s: the machine %s is not known; xenfv and pc,accel=xen are",
                         option, type ? type : "");
    else if (accel && strcmp(accel, "xen") != 0)
        err = parse_fail(parse, "-%s: accel=%s is not xen", option, accel);
    else if (json_object_set_new(parse->args.config, "platform",
                                 json_boolean(strcmp(type, "pc") != 0)))
        err = -ENOMEM;
    qemu_opts_finish(&opts);
    return err;
}

static int handle_memory(struct parse *parse, const char *option, const char *value)
{
    if (!isdigit((unsigned char)*value))
        return parse_fail(parse, "-m: \"%s\" is not a size", value);
    return 0; /* the hypervisor knows */
}

static int handle_incoming(struct parse *parse, const char *option, const char *value)
{
    parse->args.incoming = true;
    return 0;
}

static int handle_stopped(struct parse *parse, const char *option, const char *value)
{
    parse->args.stopped = true;
    return 0;
}

static int handle_runas(struct parse *parse, const char *option, const char *value)
{
    free(parse->args.runas);
    parse->args.runas = strdup(value);
    return parse->args.runas ? 0 : -ENOMEM;
}

static int handle_vnc(struct parse *parse, const char *option, const char *value)
{
    if (strcmp(value, "none") != 0 && !parse->warned_display)
        parse_warn(parse, "-%s %s: the guest gets no display; ioemud does not have any", option,
                   value);
    if (strcmp(value, "none") != 0)
        parse->warned_display = true;
    return 0;
}

static int handle_net(struct parse *parse, const char *option, const char *value)
{
    if (strcmp(value, "none") != 0)
        parse_warn(parse,
                   "-net %s: the guest gets no network card from it; -device and -netdev give one",
                   value);
    return 0;
}

static int handle_usb_device(struct parse *parse, const char *option, const char *value)
{
    if (!parse->warned_usb)
        parse_warn(parse, "-%s: the guest gets no USB; ioemud does not have any", option);
    parse->warned_usb = true;
    return 0;
}

#define HANDLED(handler) OPTION_HANDLED, handler, NULL
#define IGNORED          OPTION_IGNORED, NULL, NULL
#define WARNED(text)     OPTION_WARNED, NULL, text
#define REFUSED(text)    OPTION_REFUSED, NULL, text

#define NO_KERNEL                                                                                  \
    "booting a kernel directly (kernel=, ramdisk=, cmdline= of an HVM guest) is not supported; "   \
    "boot from a disk"

static const struct option options[] = {
    {"xen-domid", true, HANDLED(handle_domid)},
    {"name", true, HANDLED(handle_name)},
    {"chardev", true, HANDLED(handle_chardev)},
    {"mon", true, HANDLED(handle_mon)},
    {"serial", true, HANDLED(handle_serial)},
    {"boot", true, HANDLED(handle_boot)},
    {"smp", true, HANDLED(handle_smp)},
    {"machine", true, HANDLED(handle_machine)},
    {"M", true, HANDLED(handle_machine)},
    {"m", true, HANDLED(handle_memory)},
    {"drive", true, HANDLED(parse_drive_option)},
    {"device", true, HANDLED(parse_device_option)},
    {"incoming", true, HANDLED(handle_incoming)},
    {"S", false, HANDLED(handle_stopped)},
    {"runas", true, HANDLED(handle_runas)},
    {"vnc", true, HANDLED(handle_vnc)},
    {"display", true, HANDLED(handle_vnc)},
    {"spice", true, HANDLED(handle_vnc)},
    {"net", true, HANDLED(handle_net)},
    {"netdev", true, HANDLED(parse_netdev_option)},
    {"usb", false, HANDLED(handle_usb_device)},
    {"usbdevice", true, HANDLED(handle_usb_device)},

    {"no-shutdown", false, IGNORED},        /* a guest that is off stays xl's business */
    {"xen-attach", false, IGNORED},         /* what goes with it is the machine xenpv */
    {"nodefaults", false, IGNORED},         /* so we are */
    {"no-user-config", false, IGNORED},     /* QEMU's own */
    {"nographic", false, IGNORED},          /* so we are */
    {"xen-domid-restrict", false, IGNORED}, /* the daemon's descriptors always are */
    {"chroot", true, IGNORED},              /* no guest's data comes here */
    {"k", true, IGNORED},                   /* the display's, which is warned of */
    {"no-acpi", false, WARNED("the power-management function is there all the same")},
    {"soundhw", true, WARNED("the guest gets no sound card; ioemud does not have any")},
    {"fda", true, WARNED("the guest gets no floppy drive; ioemud does not have any")},
    {"fdb", true, WARNED("the guest gets no floppy drive; ioemud does not have any")},
    {"cdrom", true, WARNED("the guest gets no CD-ROM drive; ioemud does not have one yet")},

    {"kernel", true, REFUSED(NO_KERNEL)},
    {"initrd", true, REFUSED(NO_KERNEL)},
    {"append", true, REFUSED(NO_KERNEL)},
    {"object", true, REFUSED("COLO is not supported")},
};

static const struct option *find_option(const char *arg)
{
    const char *name = arg[0] != '-' ? NULL : arg[1] == '-' ? arg + 2 : arg + 1;

    for (size_t i = 0; name && i < sizeof(options) / sizeof(options[0]); i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

static int run_option(struct parse *parse, const struct option *option, const char *value)
{
    switch (option->rule) {
    case OPTION_HANDLED:
        return option->handle(parse, option->name, value);
    case OPTION_IGNORED:
        return 0;
    case OPTION_WARNED:
        parse_warn(parse, "-%s: %s", option->name, option->text);
        return 0;
    case OPTION_REFUSED:
        break;
    }
    return parse_fail(parse, "-%s: %s", option->name, option->text);
}

static int run_options(struct parse *parse, int argc, char *const argv[])
{
    for (int i = 0; i < argc; i++) {
        const struct option *option = find_option(argv[i]);
        int err;

        if (!option)
            return parse_fail(parse, "%s: this argument is not known", argv[i]);
        if (option->has_value && i + 1 == argc)
            return parse_fail(parse, "%s: its value is missing", argv[i]);
        err = run_option(parse, option, option->has_value ? argv[++i] : NULL);
        if (err)
            return err;
    }
    if (!parse->args.domid)
        return parse_fail(parse, "-xen-domid is missing");
    if (!json_object_get(parse->args.config, "name"))
        return parse_fail(parse, "-name is missing");
    return 0;
}

/* The arrays go in when they are complete; one that is empty is not given, so that the guest's file
 * speaks alone. */
static int finish_config(struct parse *parse)
{
    json_t *disks = json_array();
    int err = disks ? 0 : -ENOMEM;

    for (unsigned i = 0; i < PARSE_IDE && !err; i++)
        if (parse->disks[i] && json_array_append(disks, parse->disks[i]))
            err = -ENOMEM;
    if (!err && json_array_size(disks) > 0 && json_object_set(parse->args.config, "disks", disks))
        err = -ENOMEM;
    if (!err && json_array_size(parse->serials) > 0 &&
        json_object_set(parse->args.config, "serial", parse->serials))
        err = -ENOMEM;
    if (!err)
        err = parse_nics_end(parse);
    json_decref(disks);
    for (unsigned i = 0; i < parse->n_chardevs; i++)
        if (!parse->chardev[i].used)
            parse_warn(parse, "-chardev: %s is left out; ioemud does not have what it is for",
                       parse->chardev[i].id);
    parse_drives_end(parse);
    return err;
}

static void parse_finish(struct parse *parse)
{
    for (unsigned i = 0; i < PARSE_IDE; i++)
        json_decref(parse->disks[i]);
    json_decref(parse->serials);
    for (unsigned i = 0; i < parse->n_chardevs; i++) {
        free(parse->chardev[i].id);
        free(parse->chardev[i].kind);
        free(parse->chardev[i].where.path);
    }
    for (unsigned i = 0; i < parse->n_drives; i++) {
        free(parse->drive[i].id);
        json_decref(parse->drive[i].disk);
    }
    parse_nics_finish(parse);
    free(parse);
}

int qemu_args_parse(int argc, char *const argv[], void (*warn)(void *ctx, const char *text),
                    void *ctx, struct qemu_args *ret_args, char *ret_why)
{
    struct parse *parse = calloc(1, sizeof(*parse));
    int err = -ENOMEM;

    ret_why[0] = '\0';
    if (!parse)
        return err;
    parse->warn = warn;
    parse->ctx = ctx;
    parse->why = ret_why;
    parse->args.vcpus = 1;
    parse->args.config = json_object();
    parse->serials = json_array();
    if (parse->args.config && parse->serials)
        err = run_options(parse, argc, argv);
    if (!err)
        err = finish_config(parse);
    if (err)
        qemu_args_finish(&parse->args);
    else
        *ret_args = parse->args;
    parse_finish(parse);
    if (err == -ENOMEM)
        snprintf(ret_why, QEMU_ARGS_WHY_SIZE, "out of memory");
    return err;
}

void qemu_args_finish(struct qemu_args *args)
{
    json_decref(args->config);
    for (unsigned i = 0; i < args->n_qmps; i++)
        free(args->qmp[i].path);
    free(args->runas);
}
