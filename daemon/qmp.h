/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor that libxl talks to: QMP (QEMU's JSON protocol, one object a line) on a listening
 * unix socket, as much of it as libxl 4.17 asks for. It keeps no state of the guest: everything is
 * asked of the callbacks. Main thread only; nothing here blocks.
 *
 * A client is bounded in every way: QMP_CLIENTS of them a monitor, QMP_LINE_MAX bytes a command,
 * QMP_OUTPUT_MAX bytes of answers that it does not read, QMP_FDS descriptors from SCM_RIGHTS that
 * wait for their `add-fd`. Who goes beyond is disconnected; at QMP_CLIENTS the one that has been
 * silent longest makes room. Descriptors are closed with their client.
 *
 * libxl waits 10 s for an answer (LIBXL_QMP_CMD_TIMEOUT) and makes a connection for each errand.
 */
#ifndef IOEMUD_DAEMON_QMP_H
#define IOEMUD_DAEMON_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/loop.h"

#define QMP_CLIENTS     8u
#define QMP_LINE_MAX    (64u * 1024)
#define QMP_OUTPUT_MAX  (256u * 1024)
#define QMP_FDS         4u
#define QMP_SERIALS_MAX 8u
#define QMP_VCPUS_MAX   128u /* ioreq slots of one page: Xen's HVM_MAX_VCPUS */
#define QMP_WHY_SIZE    256

struct qmp;

/* A command that is answered later, once, with qmp_finish(). */
struct qmp_call;

/* Those marked (optional) may be NULL. Errors are -errno with a sentence in `ret_why` (QMP_WHY_SIZE
 * bytes, NUL terminated, empty on entry), which the administrator reads in xl's log. */
struct qmp_ops {
    /* query-status: does the guest run, or has `stop` been asked for? */
    bool (*running)(void *ctx);
    /* (optional) Not running because `cont` has never come: libxl with dm_restrict= starts the
     * device model stopped and takes it for ready when it answers so. */
    bool (*prelaunch)(void *ctx);
    /* (optional) stop and cont; both may come when it is so already. libxl pauses and unpauses the
     * vCPUs itself. */
    int (*set_running)(void *ctx, bool running, char *ret_why);
    /* How many vCPUs the guest may have at most, 1..QMP_VCPUS_MAX. */
    unsigned (*vcpus)(void *ctx);
    /* Is vCPU `index` plugged in? */
    bool (*vcpu_online)(void *ctx, unsigned index);
    /* (optional) device_add of vCPU `index` < vcpus(), which is not online. */
    int (*vcpu_add)(void *ctx, unsigned index, char *ret_why);
    /* (optional) Where serial port `index` is to be found: "pty:/dev/pts/3", "file:/...",
     * "unix:/...", "null". False: no such port (those after it are not asked for). */
    bool (*serial)(void *ctx, unsigned index, char *ret_where, size_t size);
    /* (optional) system_powerdown: the ACPI power button. */
    int (*powerdown)(void *ctx, char *ret_why);
    /* (optional) What is to lie in the CD-ROM drive of -device `id`: the image at `path`, or behind
     * `fd` (add-fd; the client's own) where `path` only says what it is called; neither: nothing.
     * `force`: although the guest has locked the tray. */
    void (*medium)(void *ctx, const char *id, const char *path, int fd, bool force,
                   struct qmp_call *call);
    /* (optional) For the log: what a client was refused; printable. Rate limiting is the callee's.
     */
    void (*refused)(void *ctx, const char *what);
};

/* `listen_fd` is a listening stream socket, non-blocking or not; it is taken over on success (the
 * path in the file system is libxl's to remove). `loop`, `ops` and `ctx` must outlive the monitor.
 * -ENOMEM, -errno. */
int qmp_create(int listen_fd, const struct loop *loop, const struct qmp_ops *ops, void *ctx,
               struct qmp **ret_qmp);
/* err 0, or -errno and why. The client may have gone meanwhile, or the monitor. */
void qmp_finish(struct qmp_call *call, int err, const char *why);
/* Disconnects everybody. From a callback of `ops` too: what is under way ends when it returns.
 * NULL is fine. */
void qmp_destroy(struct qmp *qmp);

#endif
