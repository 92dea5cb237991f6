/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests that an error of a disk has stopped, for the administrator to make room or mend the disk
 * (the disk's "werror" and "rerror"). The worker serves none of its requests meanwhile; the failed
 * command is kept by the drive, which tries it again when the guest is resumed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/guest.h"
#include "daemon/guest_pvdisk.h"

const char *guest_state_name(const struct guest *guest)
{
    static const char *const name[] = {
        [GUEST_WAITING] = "waiting", [GUEST_PARKED] = "parked",     [GUEST_STARTING] = "starting",
        [GUEST_RUNNING] = "running", [GUEST_STOPPING] = "stopping",
    };

    return guest->state == GUEST_RUNNING && guest->io_stopped ? "io-error" : name[guest->state];
}

void guest_disk_errors(const struct disk_config *disk, struct vm_disk *vm_disk)
{
    static const enum blk_policy werror[] = {
        [DISK_WERROR_ENOSPC] = BLK_STOP_ENOSPC,
        [DISK_WERROR_REPORT] = BLK_REPORT,
        [DISK_WERROR_STOP] = BLK_STOP,
    };
    static const unsigned ops[] = {
        [DISK_FAULT_ANY] = FAULT_READ | FAULT_WRITE | FAULT_FLUSH | FAULT_DISCARD,
        [DISK_FAULT_READ] = FAULT_READ,
        [DISK_FAULT_DISCARD] = FAULT_DISCARD,
        [DISK_FAULT_WRITE] = FAULT_WRITE,
        [DISK_FAULT_FLUSH] = FAULT_FLUSH,
    };
    static const int error[] = {
        [DISK_FAULT_EIO] = -EIO,     [DISK_FAULT_ENOSPC] = -ENOSPC,   [DISK_FAULT_ENODEV] = -ENODEV,
        [DISK_FAULT_ENXIO] = -ENXIO, [DISK_FAULT_ENODATA] = -ENODATA,
    };
    const struct disk_fault *fault = &disk->fault;

    vm_disk->on_write_error = werror[disk->werror];
    vm_disk->on_read_error = disk->rerror == DISK_RERROR_STOP ? BLK_STOP : BLK_REPORT;
    if (fault->given)
        vm_disk->fault = (struct fault_options){
            .ops = ops[fault->op],
            .first = fault->first_sector,
            .last = fault->last_sector,
            .every = fault->every,
            .count = fault->count,
            .error = error[fault->error],
            .delay_ms = fault->delay_ms,
        };
}

static void set_paused(struct guest *guest, bool pause)
{
    int err = guest->hv->guest_pause(guest->hv_guest, pause);

    if (err && err != -ESRCH)
        guest_log(guest, LOG_ERR, "event=%s error=\"%s\"",
                  pause ? "pause-failed" : "unpause-failed", strerror(-err));
    guest->paused = pause && !err;
}

void guest_disk_stopped(struct guest *guest, unsigned unit, const struct blk_stop *what)
{
    char name[32];

    /* A worker tells of a unit once, until it is restarted. */
    if (guest->state != GUEST_RUNNING || guest->io_stopped & ~guest->resuming & 1u << unit)
        return;
    guest->io_stop[unit].what = *what;
    guest->io_stopped |= 1u << unit;
    guest_names_refresh(guest->daemon); /* for the hint */
    if (unit < MACHINE_IDE_DRIVES)
        snprintf(name, sizeof(name), "hd%c", 'a' + unit);
    else
        snprintf(name, sizeof(name), "%s pv=yes", guest_pvdisk_name(guest, unit));
    guest_log(guest, LOG_ERR,
              "event=io-error vdev=%s op=%s sector=%llu error=\"%s\" guest stopped, "
              "resume=\"ioemuctl resume %s\"",
              name, blk_op_name(what->op), (unsigned long long)what->sector, strerror(-what->error),
              guest->name);
    if (!guest->paused)
        set_paused(guest, true);
}

static void run_io_stopped(struct mail *mail)
{
    const struct guest_stop *stop = (struct guest_stop *)mail;

    guest_disk_stopped(stop->guest, stop->unit, &stop->what);
}

void guest_io_stopped(void *ctx, unsigned unit, const struct blk_stop *stop)
{
    struct guest *guest = ctx;

    guest->io_stop[unit].what = *stop;
    mailbox_post(&guest->daemon->mailbox, &guest->io_stop[unit].mail);
}

static void resumed(struct guest_call *call)
{
    struct guest *guest = call->guest;
    void (*done)(void *ctx) = guest->resumed_done;

    guest->io_stopped &= ~guest->resuming;
    guest->resuming = 0;
    /* Another disk may have failed since: then it waits for another resume. */
    if (!guest->io_stopped) {
        guest_log(guest, LOG_INFO, "event=resumed");
        if (guest->unpause)
            guest_unpause(guest);
        guest->paused = false;
    }
    guest->resumed_done = NULL;
    if (done)
        done(guest->resumed_ctx);
}

void guest_stop_init(struct guest *guest)
{
    for (unsigned i = 0; i < guest->units; i++)
        guest->io_stop[i] =
            (struct guest_stop){.mail.run = run_io_stopped, .guest = guest, .unit = i};
    guest->resume.done = resumed;
}

int guest_resume(struct guest *guest, bool unpause, void (*done)(void *ctx), void *ctx)
{
    if (guest->state != GUEST_RUNNING || !guest->io_stopped || guest->resuming)
        return -EALREADY;
    guest->resuming = guest->io_stopped;
    guest->unpause = unpause;
    guest->resumed_done = done;
    guest->resumed_ctx = ctx;
    guest->resume.request = (struct vm_request){.op = VM_RESTART, .units = guest->resuming};
    guest_call(guest, &guest->resume);
    return 0;
}

void guest_unpause(struct guest *guest)
{
    if (guest->paused)
        set_paused(guest, false);
}

const struct blk_stop *guest_disk_stop(const struct guest *guest, unsigned unit)
{
    return guest->io_stopped & 1u << unit ? &guest->io_stop[unit].what : NULL;
}
