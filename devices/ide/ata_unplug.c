// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A disk that its guest unplugs (Xen's docs/misc/hvm-emulated-unplug) to go on with another way to
 * the same image:
 *
 *   ata_unplug() -> what is in flight is over -> flushed -> at rest: `left` is told
 *                                                  ^---- the disk is stopped ----'
 */
#include "devices/ide/ata_internal.h"

void ata_unplug(struct ata_drive *drive)
{
    if (!drive->present)
        return;
    ata_abandon(drive);
    drive->present = false;
    drive->state.unplugged = true;
    drive->leaving = true;
    drive->unplug_flush = !drive->info.read_only;
    ata_step(drive);
}

static void flush(struct ata_drive *drive)
{
    int err = blk_get(drive->config.blk, BLK_FLUSH, 0, 0, drive->generation, &drive->req);

    if (!err)
        ata_submit(drive);
}

void ata_leave_step(struct ata_drive *drive)
{
    if (!blk_idle(drive->config.blk))
        return;
    if (drive->unplug_flush) {
        flush(drive);
        return;
    }
    drive->leaving = false;
    drive->config.link->left(drive->config.link_ctx, drive);
}

void ata_unplug_flushed(struct ata_drive *drive, int error)
{
    drive->unplug_flush = error && blk_stops(drive->config.blk, BLK_FLUSH, 0, error);
    ata_drop(drive);
    ata_step(drive);
}
