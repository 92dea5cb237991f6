/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line with which libxl starts a QEMU device model (libxl 4.17,
 * libxl__build_device_model_args_new), turned into a guest's description as config/config.h reads
 * it. An argument that is not known is an error; one that asks for what ioemud does not have is a
 * warning, and the guest runs without it.
 */
#ifndef IOEMUD_DAEMON_DM_QEMU_ARGS_H
#define IOEMUD_DAEMON_DM_QEMU_ARGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define QEMU_ARGS_QMPS      2u
#define QEMU_ARGS_WHY_SIZE  512
#define QEMU_ARGS_DOMID_MAX 0x7fefu /* below DOMID_FIRST_RESERVED, xen/include/public/xen.h */
#define QEMU_ARGS_VCPUS_MAX 128u    /* HVM_MAX_VCPUS */

/* Where a monitor listens: a path to bind, or an inherited socket. */
struct qemu_args_qmp {
    char *path; /* NULL: `fd` */
    int fd;
};

struct qemu_args {
    uint32_t domid;
    json_t
        *config; /* "name", "disks", "nics", "serial", "boot", "platform", "role": what was on it */
    unsigned vcpus; /* plugged in at the start */
    unsigned n_qmps;
    struct qemu_args_qmp qmp[QEMU_ARGS_QMPS];
    bool stopped;  /* -S: with dm_restrict=, `cont` is to come by QMP */
    bool incoming; /* a saved guest is to be restored */
    char *runas;   /* user or "UID:GID" that libxl kills the device model by; NULL: none */
};

/* `argv` without the program's name. `warn` gets a sentence for each thing left out. Returns 0,
 * -ENOMEM, or -EINVAL with a sentence in `ret_why` (QEMU_ARGS_WHY_SIZE bytes). */
int qemu_args_parse(int argc, char *const argv[], void (*warn)(void *ctx, const char *text),
                    void *ctx, struct qemu_args *ret_args, char *ret_why);
void qemu_args_finish(struct qemu_args *args);

#endif
