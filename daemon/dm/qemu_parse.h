/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What qemu_args.c (the table of options), qemu_disks.c (-drive and -device) and qemu_nics.c
 * (-netdev) share; the functions are qemu_parse.c's, except where another file is named. */
#ifndef IOEMUD_DAEMON_DM_QEMU_PARSE_H
#define IOEMUD_DAEMON_DM_QEMU_PARSE_H

#include "daemon/dm/qemu_args.h"
#include "daemon/dm/qemu_opts.h"

#define PARSE_CHARDEVS 16u
#define PARSE_DRIVES   32u
#define PARSE_IDE      4u /* two channels of two */
#define PARSE_NICS     8u /* CONFIG_NICS */
#define PARSE_NETDEVS  32u

/* A -chardev, until a -mon names it. */
struct parse_chardev {
    char *id, *kind;
    struct qemu_args_qmp where; /* of a listening socket */
    bool used;
};

/* A -drive with if=none, until a -device names it. */
struct parse_drive {
    char *id;
    json_t *disk; /* without "vdev"; NULL: no medium */
    bool used;
};

/* A -device of an emulated network card, until its -netdev has come. */
struct parse_nic {
    unsigned devid;
    char *netdev;
    json_t *nic;
};

struct parse_netdev {
    char *id;
    json_t *options; /* "backend" and what goes with it */
};

struct parse {
    struct qemu_args args;
    void (*warn)(void *ctx, const char *text);
    void *ctx;
    char *why;
    bool warned_usb, warned_sound, warned_display;
    json_t *disks[PARSE_IDE]; /* by position */
    json_t *serials;
    unsigned n_serials;
    unsigned n_chardevs, n_drives;
    struct parse_chardev chardev[PARSE_CHARDEVS];
    struct parse_drive drive[PARSE_DRIVES];
    unsigned n_nics, n_netdevs;
    struct parse_nic nic[PARSE_NICS];
    struct parse_netdev netdev[PARSE_NETDEVS];
};

/* Both return what the option's handler is to return. */
__attribute__((format(printf, 2, 3))) int parse_fail(struct parse *parse, const char *format, ...);
__attribute__((format(printf, 2, 3))) void parse_warn(struct parse *parse, const char *format, ...);

/* qemu_opts_parse() with the message. */
int parse_list(struct parse *parse, const char *option, const char *value, const char *implied,
               const char *const *known, struct qemu_opts *ret_opts);

/* Handlers: 0, -EINVAL, -ENOMEM. qemu_disks.c: */
int parse_drive_option(struct parse *parse, const char *option, const char *value);
int parse_device_option(struct parse *parse, const char *option, const char *value);
/* After the last argument: what was described and not used. */
void parse_drives_end(struct parse *parse);

/* qemu_nics.c: */
int parse_nic_device(struct parse *parse, const char *model, const struct qemu_opts *opts);
int parse_netdev_option(struct parse *parse, const char *option, const char *value);
int parse_nics_end(struct parse *parse); /* after the last argument: "nics" */
void parse_nics_finish(struct parse *parse);

#endif
