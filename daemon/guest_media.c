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

struct media_change {
    struct mail mail;
    struct guest *guest;
    struct disk_config *disk; /* the guest's */
    unsigned drive;
    bool force;
    char *path;                 /* of the new medium, as it is to be called; NULL: none */
    struct raw_image raw;       /* the new medium; fd -1: none */
    struct blk *before, *after; /* the old medium and the new one; NULL: none */
    int err;
    char why[GUEST_WHY_SIZE];
    void (*done)(void *ctx, int err, const char *why);
    void *ctx;
};

static void change_free(struct media_change *change)
{
    raw_discard(&change->raw);
    free(change->path);
    free(change);
}

static void run_close(struct mail *mail) /* worker */
{
    struct media_change *change = (struct media_change *)mail;

    vm_medium_close(change->guest->vm, change->before);
    change_free(change);
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

void guest_add_counters(struct blk_counters *sum, const struct blk_counters *of)
{
#define ADD(member) sum->member += __atomic_load_n(&of->member, __ATOMIC_RELAXED)
    ADD(reads);
    ADD(writes);
    ADD(flushes);
    ADD(discards);
    ADD(read_bytes);
    ADD(written_bytes);
    ADD(discarded_bytes);
    ADD(errors);
    ADD(cancelled);
    ADD(io_ns);
    ADD(in_flight);
#undef ADD
}

static void explain(struct media_change *change)
{
    const char *vdev = change->disk->vdev;

    switch (change->err) {
    case 0:
        break;
    case -EBUSY:
        snprintf(change->why, sizeof(change->why),
                 "the guest has locked the tray of %s and was told that it is wanted; eject it in "
                 "the guest, or use force",
                 vdev);
        break;
    default:
        snprintf(change->why, sizeof(change->why), "%s: %s", vdev, strerror(-change->err));
    }
}

static void run_changed(struct mail *mail)
{
    struct media_change *change = (struct media_change *)mail;
    struct guest *guest = change->guest;

    explain(change);
    guest->changing &= ~(1u << change->drive);
    if (!change->err) {
        if (guest->blk[change->drive])
            guest_add_counters(&guest->past[change->drive],
                               blk_counters(guest->blk[change->drive]));
        guest->past[change->drive].in_flight = 0;
        guest->blk[change->drive] = change->after;
        free(change->disk->path);
        change->disk->path = change->path ? change->path : strdup("");
        change->path = NULL;
        log_write(&guest->log, LOG_INFO, guest->config.name, "event=%s vdev=%s path=\"%s\"",
                  change->after ? "medium-inserted" : "medium-ejected", change->disk->vdev,
                  change->disk->path ? change->disk->path : "");
    }
    change->done(change->ctx, change->err, change->why);
    if (!change->before) { /* and nothing holds the guest */
        change_free(change);
        return;
    }
    change->mail.run = run_close;
    mailbox_post(&guest->worker->mailbox, &change->mail);
}

static void run_change(struct mail *mail) /* worker */
{
    struct media_change *change = (struct media_change *)mail;
    struct vm *vm = change->guest->vm;

    if (change->raw.fd >= 0)
        change->err = vm_medium_open(vm, &change->raw, &change->after);
    if (!change->err)
        change->err = vm_eject(vm, change->drive, change->force, &change->before);
    if (!change->err && change->after)
        change->err = vm_insert(vm, change->drive, change->after);
    if (change->err) { /* the new one has not been anybody's */
        vm_medium_close(vm, change->after);
        change->after = NULL;
    }
    change->mail.run = run_changed;
    mailbox_post(&change->guest->daemon->mailbox, &change->mail);
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
    err = opener_disk(&disk, &change->raw, reason);
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
        .mail.run = run_change,
        .guest = guest,
        .force = medium->force,
        .raw.fd = -1,
        .done = done,
        .ctx = ctx,
    };
    err = refusal(guest, medium->vdev, change);
    if (!err && medium->path)
        err = open_medium(change, medium->path, medium->fd);
    if (err) {
        done(ctx, err, change->why[0] ? change->why : strerror(-err));
        change_free(change);
        return;
    }
    guest->changing |= 1u << change->drive;
    mailbox_post(&guest->worker->mailbox, &change->mail);
}
