/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libxl is told about a guest, and asks of it, over QMP. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/guest.h"

static bool qmp_running(void *ctx)
{
    const struct guest *guest = ctx;

    return guest->run == GUEST_CONT && !guest->io_stopped;
}

static bool qmp_prelaunch(void *ctx)
{
    const struct guest *guest = ctx;

    return guest->run == GUEST_PRELAUNCH;
}

static int qmp_set_running(void *ctx, bool running, char *ret_why)
{
    struct guest *guest = ctx;

    guest->run = running ? GUEST_CONT : GUEST_STOP;
    if (!running)
        return 0;
    guest_settle_pv(guest);
    /* As QEMU's `cont` does after an I/O error; libxl lets the vCPUs go on itself. */
    guest_resume(guest, false, NULL, NULL);
    return 0;
}

static unsigned qmp_vcpus(void *ctx)
{
    const struct guest *guest = ctx;

    /* One whose worker process has died may wait for its devices, PARKED. */
    return guest->hv_guest ? guest->hv->guest_info(guest->hv_guest)->vcpus : 0;
}

static bool qmp_vcpu_online(void *ctx, unsigned index)
{
    const struct guest *guest = ctx;

    return guest->online[index / 64] >> index % 64 & 1;
}

static int qmp_vcpu_add(void *ctx, unsigned index, char *ret_why)
{
    struct guest *guest = ctx;
    struct guest_call *call;

    if (guest->state != GUEST_RUNNING) {
        snprintf(ret_why, QMP_WHY_SIZE, "the guest is going away");
        return -ESHUTDOWN;
    }
    call = calloc(1, sizeof(*call)); /* of its own: several may be on their way */
    if (!call) {
        snprintf(ret_why, QMP_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    call->request = (struct vm_request){.op = VM_ADD_VCPU, .vcpu = index};
    guest->online[index / 64] |= UINT64_C(1) << index % 64;
    guest_call(guest, call);
    return 0;
}

static bool qmp_serial(void *ctx, unsigned index, char *ret_where, size_t size)
{
    static const char *const kind[] = {
        [SERIAL_NONE] = "null",
        [SERIAL_PTY] = "pty:",
        [SERIAL_FILE] = "file:",
        [SERIAL_UNIX] = "unix:",
    };
    const struct guest *guest = ctx;

    if (index >= guest->config.n_serials)
        return false;
    snprintf(ret_where, size, "%s%s", kind[guest->config.serial[index].kind],
             guest->serial_path[index]);
    return true;
}

/* libxl names a drive after its device number, "ide-5632" (libxl__device_disk_dev_number): an IDE
 * disk's, major 3 or 22 and the unit in bit 6; or a Xen disk's, major 202 and 16 minors each. */
static bool vdev_of(const char *id, char ret_vdev[4])
{
    unsigned long number, unit;
    char *end;

    if (strncmp(id, "ide-", 4) != 0)
        return false;
    number = strtoul(id + 4, &end, 10);
    if (*end || end == id + 4)
        return false;
    switch (number >> 8) {
    case 3:
    case 22:
        unit = (number >> 8 == 22 ? 2 : 0) + (number >> 6 & 1);
        break;
    case 202:
        unit = number >> 4 & 15;
        break;
    default:
        return false;
    }
    if (unit >= MACHINE_IDE_DRIVES)
        return false;
    snprintf(ret_vdev, 4, "hd%c", (char)('a' + unit));
    return true;
}

static void medium_changed(void *ctx, int err, const char *why)
{
    qmp_finish(ctx, err, why);
}

static void qmp_medium(void *ctx, const char *id, const char *path, int fd, bool force,
                       struct qmp_call *call)
{
    char vdev[4], why[QMP_WHY_SIZE];
    struct guest_medium medium = {.vdev = vdev, .path = path, .fd = fd, .force = force};

    if (vdev_of(id, vdev)) {
        guest_change_medium(ctx, &medium, medium_changed, call);
        return;
    }
    snprintf(why, sizeof(why), "there is no drive %.64s", id);
    qmp_finish(call, -ENODEV, why);
}

static void qmp_refused(void *ctx, const char *what)
{
    struct guest *guest = ctx;
    uint64_t suppressed, now = guest->daemon->evloop.loop.ops->now_ns(&guest->daemon->evloop);

    if (log_allow(&guest->qmp_limit, now, &suppressed))
        log_write(&guest->log, LOG_NOTICE, guest->config.name, "event=qmp-refused %s", what);
}

static const struct qmp_ops ops = {
    .running = qmp_running,
    .prelaunch = qmp_prelaunch,
    .set_running = qmp_set_running,
    .vcpus = qmp_vcpus,
    .vcpu_online = qmp_vcpu_online,
    .vcpu_add = qmp_vcpu_add,
    .serial = qmp_serial,
    .medium = qmp_medium,
    .refused = qmp_refused,
};

int guest_qmp_add(struct guest *guest, int listen_fd)
{
    int err = -ENOSPC;

    for (unsigned i = 0; i < GUEST_QMPS && err == -ENOSPC; i++)
        if (!guest->qmp[i])
            err = qmp_create(listen_fd, &guest->daemon->evloop.loop, &ops, guest, &guest->qmp[i]);
    if (!err)
        return 0;
    log_write(&guest->log, LOG_ERR, guest->config.name, "event=qmp-failed why=\"%s\"",
              err == -EINVAL ? "the descriptor is not a listening socket" : strerror(-err));
    close(listen_fd);
    return err;
}

void guest_qmp_remove(struct guest *guest)
{
    for (unsigned i = 0; i < GUEST_QMPS; i++) {
        qmp_destroy(guest->qmp[i]);
        guest->qmp[i] = NULL;
    }
}
