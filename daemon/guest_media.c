/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Media that come and go while a guest runs. A change travels:
 *
 *     control side: opens the new image   -->  worker: tray, drive
 *     control side: takes note, answers   <--
 *                                         -->  worker: closes the old image, when it has drained
 *
 * The control side reads counters of an image without asking its worker (daemon/stats.c), so an
 * image is closed only after the control side has let go of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/guest.h"
#include "daemon/vm_counts.h"

struct media_change {
    struct guest_call call; /* first: the change is found by it */
    struct guest *guest;
    struct disk_config *disk; /* the guest's */
    unsigned drive;
    char *path; /* of the new medium, as it is to be called; NULL: none */
    char why[GUEST_WHY_SIZE];
    void (*done)(void *ctx, int err, const char *why);
    void *ctx;
};

static void change_free(struct media_change *change)
{
    free(change->path);
    free(change);
}

bool guest_fill_drive(struct machine_drive *drive, const struct disk_config *disk)
{
    memcpy(drive->serial, disk->serial, sizeof(drive->serial));
    memcpy(drive->model, disk->model, sizeof(drive->model));
    memcpy(drive->firmware, disk->firmware, sizeof(drive->firmware));
    drive->wwn = strtoull(disk->wwn, NULL, 16);
    drive->cdrom = disk->type == DISK_CDROM;
    return drive->cdrom && !disk->path[0];
}

static void explain(struct media_change *change)
{
    const char *vdev = change->disk->vdev;

    switch (change->call.reply.err) {
    case 0:
        break;
    case -EBUSY:
        snprintf(change->why, sizeof(change->why),
                 "the guest has locked the tray of %s and was told that it is wanted; eject it in "
                 "the guest, or use force",
                 vdev);
        break;
    default:
        snprintf(change->why, sizeof(change->why), "%s: %s", vdev,
                 strerror(-change->call.reply.err));
    }
}

/* Nobody looks at the old medium any more. */
static void close_former(struct media_change *change)
{
    struct guest_call *call = &change->call;
    unsigned drive = change->drive;
    struct guest *guest = change->guest;

    free(change->path);
    call->request = (struct vm_request){.op = VM_CLOSE, .medium = {.drive = drive, .raw.fd = -1}};
    call->done = NULL; /* which frees it */
    guest_call(guest, call);
}

static void changed(struct guest_call *call)
{
    struct media_change *change = (struct media_change *)call;
    struct guest *guest = change->guest;
    unsigned drive = change->drive;
    bool inserted = call->request.medium.raw.fd >= 0; /* the worker's by now */

    explain(change);
    guest->changing &= ~(1u << drive);
    if (!call->reply.err) {
        if (guest->blk[drive])
            vm_counts_add_disk(&guest->past[drive], blk_counters(guest->blk[drive]));
        guest->past[drive].in_flight = 0;
        /* Of one that is being stopped nobody asks any more. */
        guest->blk[drive] =
            guest->state == GUEST_RUNNING && guest->vm ? guest->vm->blk[drive] : NULL;
        free(change->disk->path);
        change->disk->path = change->path ? change->path : strdup("");
        change->path = NULL;
        log_write(&guest->log, LOG_INFO, guest->config.name, "event=%s vdev=%s path=\"%s\"",
                  inserted ? "medium-inserted" : "medium-ejected", change->disk->vdev,
                  change->disk->path ? change->disk->path : "");
    }
    change->done(change->ctx, call->reply.err, change->why);
    if (call->reply.closing)
        close_former(change);
    else /* and nothing holds the guest */
        change_free(change);
}

static struct disk_config *find_cdrom(struct guest *guest, const char *vdev, char *why)
{
    char place[8];
    bool known = false;

    /* As in the configuration, xvda to xvdd are taken for these. */
    snprintf(place, sizeof(place), "hd%.4s", strncmp(vdev, "xvd", 3) ? "" : vdev + 3);
    for (unsigned i = 0; i < guest->config.n_disks; i++) {
        struct disk_config *disk = &guest->config.disk[i];

        if (strcmp(disk->vdev, vdev) != 0 && strcmp(disk->vdev, place) != 0)
            continue;
        if (disk->type == DISK_CDROM)
            return disk;
        known = true;
    }
    snprintf(why, GUEST_WHY_SIZE,
             known ? "%.16s of guest %s is a disk, not a CD-ROM drive"
                   : "there is no CD-ROM drive %.16s in guest %s",
             vdev, guest->name);
    return NULL;
}

static int open_medium(struct media_change *change, const char *path, int fd)
{
    char proc[32], reason[OPENER_WHY_SIZE] = "";
    struct disk_config disk = *change->disk;
    int err;

    /* A descriptor of libxl's is opened anew: with our flags, and a lock of its own. */
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    disk.path = fd >= 0 ? proc : (char *)(uintptr_t)path;
    err = opener_disk(&disk, &change->call.request.medium.raw, reason);
    if (err)
        snprintf(change->why, sizeof(change->why), "%s: %s", disk.vdev, reason);
    else if (!(change->path = strdup(path)))
        err = -ENOMEM;
    return err;
}

/* Whether the guest can have its medium changed now; 0 or why not. */
static int refusal(struct guest *guest, const char *vdev, struct media_change *change)
{
    if (guest->state != GUEST_RUNNING) {
        snprintf(change->why, sizeof(change->why), "guest %s is not running", guest->name);
        return -ESHUTDOWN;
    }
    change->disk = find_cdrom(guest, vdev, change->why);
    if (!change->disk)
        return -ENODEV;
    change->drive = (unsigned)(change->disk->vdev[2] - 'a');
    if (guest->changing & 1u << change->drive) {
        snprintf(change->why, sizeof(change->why), "%s: another change of its medium is under way",
                 vdev);
        return -EBUSY;
    }
    return 0;
}

void guest_change_medium(struct guest *guest, const struct guest_medium *medium,
                         void (*done)(void *ctx, int err, const char *why), void *ctx)
{
    struct media_change *change = calloc(1, sizeof(*change));
    int err;

    if (!change) {
        done(ctx, -ENOMEM, "out of memory");
        return;
    }
    *change = (struct media_change){
        .call = {.request = {.op = VM_CHANGE, .medium = {.force = medium->force, .raw.fd = -1}},
                 .done = changed},
        .guest = guest,
        .done = done,
        .ctx = ctx,
    };
    err = refusal(guest, medium->vdev, change);
    if (!err && medium->path)
        err = open_medium(change, medium->path, medium->fd);
    if (err) {
        done(ctx, err, change->why[0] ? change->why : strerror(-err));
        vm_request_discard(&change->call.request);
        change_free(change);
        return;
    }
    guest->changing |= 1u << change->drive;
    change->call.request.medium.drive = change->drive;
    guest_call(guest, &change->call);
}
