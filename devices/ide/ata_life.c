/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drive's comings and goings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/ide/ata_internal.h"

int ata_drive_init(struct ata_drive *drive, const struct ata_config *config)
{
    memset(drive, 0, sizeof(*drive));
    drive->present = config->blk || config->cdrom;
    if (drive->present) {
        drive->board = calloc(1, sizeof(*drive->board));
        if (!drive->board)
            return -ENOMEM;
    }
    drive->config = *config;
    if (config->blk)
        ata_take_blk(drive, config->blk);
    if (config->blk && !config->cdrom)
        ata_smart_init(drive);
    ata_power_on(drive);
    return 0;
}

void ata_drive_finish(struct ata_drive *drive)
{
    ata_drop(drive);
    ata_smart_finish(drive);
    if (drive->config.blk)
        blk_bind(drive->config.blk, NULL, NULL);
    if (drive->board)
        free(drive->board->smart.state.host_log);
    free(drive->board);
    drive->board = NULL;
}

bool ata_quiesce(struct ata_drive *drive)
{
    drive->held = true;
    return !drive->config.blk || (!drive->unplug_flush && blk_idle(drive->config.blk));
}

void ata_resume(struct ata_drive *drive)
{
    drive->held = false;
    ata_smart_resume(drive);
    ata_step(drive);
}
