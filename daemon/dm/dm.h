/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioemu-dm: what libxl takes for the guest's device model. It attaches the guest to the daemon,
 * hands it the monitor's sockets, says "running", and then only stands for the guest: while its
 * connection to the daemon is open, the guest keeps its devices.
 *
 *            attached                 the daemon has gone
 *   START ---------------> LEASED -----------------------> AWAY
 *     | refused, nobody      | SIGHUP, SIGTERM ^             | tries again, ever slower
 *     v there                v                 +-------------+
 *   exit 1                 exit 0                 attached
 */
#ifndef IOEMUD_DAEMON_DM_DM_H
#define IOEMUD_DAEMON_DM_DM_H

#include <stdint.h>

/* How long the first attachment may take: libxl gives up after 60 s. */
#define DM_START_TIMEOUT_MS 50000
/* Pauses between tries when the daemon has gone, doubled from the first to the last. */
#define DM_RETRY_FIRST_MS 100
#define DM_RETRY_LAST_MS  3000

struct dm_env {
    const char *control_socket;
    /* Tells libxl that the device model of `domid` runs. -errno. Once, after the first attachment;
     * not at all with -S, where libxl asks over QMP. */
    int (*running)(void *ctx, uint32_t domid);
    void *ctx;
    int log_fd; /* warnings, errors: libxl keeps stderr in /var/log/xen/qemu-dm-NAME.log */
};

/* `argv` without the program's name. Returns the exit status, after a SIGHUP, SIGTERM or SIGINT (0)
 * or when the guest could not be attached (1). Blocks those signals. */
int dm_run(int argc, char *const argv[], const struct dm_env *env);

#endif
