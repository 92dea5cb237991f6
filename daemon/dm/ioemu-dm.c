/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program that device_model_override= names: see dm.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#include "config/config.h"
#include "daemon/dm/dm.h"

static const char usage[] =
    "ioemu-dm " IOEMUD_VERSION ": lets xl use ioemud as a guest's device model. In xl.cfg:\n"
    "    type = \"hvm\"\n"
    "    device_model_version = \"qemu-xen\"\n"
    "    device_model_override = \"" IOEMUD_LIBEXEC "/ioemu-dm\"\n"
    "It takes the arguments of a QEMU device model as xl gives them, attaches the guest to ioemud\n"
    "and stays until it gets SIGHUP or SIGTERM. The daemon's socket is the \"control_socket\" "
    "of\n" DAEMON_CONFIG_FILE ", unless IOEMUD_CONTROL_SOCKET in the environment names another.\n";

/* Where libxl__spawn_local_dm() waits for the word. */
static int xenstore_running(void *ctx, uint32_t domid)
{
    struct xs_handle *xs = xs_open(0);
    char path[64];
    int err = 0;

    if (!xs)
        return errno ? -errno : -EIO;
    snprintf(path, sizeof(path), "/local/domain/0/device-model/%u/state", domid);
    if (!xs_write(xs, XBT_NULL, path, "running", strlen("running")))
        err = errno ? -errno : -EIO;
    xs_close(xs);
    return err;
}

int main(int argc, char *argv[])
{
    const char *socket = getenv("IOEMUD_CONTROL_SOCKET");
    const struct dm_env env = {
        .control_socket = socket && *socket ? socket : daemon_config_socket(false),
        .running = xenstore_running,
        .log_fd = STDERR_FILENO,
    };

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-help") || !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "-version") || !strcmp(argv[i], "--version")) {
            puts("ioemu-dm " IOEMUD_VERSION);
            return 0;
        }
    }
    return dm_run(argc - 1, argv + 1, &env);
}
