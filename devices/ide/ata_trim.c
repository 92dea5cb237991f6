/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DATA SET MANAGEMENT with Trim (ACS-2 7.5). The list of ranges is taken over as a whole, then all
 * of it is checked, and only then is anything discarded: range by range, each a request of its own,
 * so that a reset or a migration in between knows what is left. The guest cannot change the list
 * meanwhile.
 */
#include <errno.h>

#include "devices/ide/ata_internal.h"

#define FEATURE_TRIM 0x01
#define ENTRY        8u /* bytes: 48 bits of address, 16 of length (ACS-2, "LBA range entry") */

_Static_assert(UINT16_MAX *ATA_SECTOR <= BLK_DISCARD_MAX, "a range is one request");

struct range {
    uint64_t lba;
    uint32_t sectors; /* 0: an empty entry */
};

static struct range range_at(const struct ata_drive *drive, uint32_t pos)
{
    const uint8_t *entry = drive->board->data + pos;
    struct range range = {.sectors = (uint32_t)entry[7] << 8 | entry[6]};

    for (unsigned i = 6; i--;)
        range.lba = range.lba << 8 | entry[i];
    return range;
}

/* The list's end, in bytes. */
static uint32_t list_end(const struct ata_drive *drive)
{
    return drive->state.chunk * ATA_SECTOR;
}

bool ata_trim_valid(const struct ata_drive *drive)
{
    uint64_t total = drive->info.sectors;

    for (uint32_t pos = drive->state.pos; pos < list_end(drive); pos += ENTRY) {
        struct range range = range_at(drive, pos);
        if (range.sectors && (range.lba >= total || range.sectors > total - range.lba))
            return false;
    }
    return drive->state.pos % ENTRY == 0;
}

void ata_start_trim(struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    uint32_t sectors = (uint32_t)state->previous[ATA_REG_COUNT] << 8 | state->reg[ATA_REG_COUNT];

    if (!drive->info.discard || !(state->reg[ATA_REG_FEATURES] & FEATURE_TRIM) || !sectors ||
        sectors > ATA_DATA_SECTORS) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    ata_start_data_dma(drive, sectors);
}

/* The list is here. */
void ata_trim_listed(struct ata_drive *drive)
{
    drive->state.pos = 0;
    if (!ata_trim_valid(drive)) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    drive->state.phase = ATA_TRIM;
    ata_step(drive);
}

void ata_trim_step(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;
    struct range range = {0};

    for (; state->pos < list_end(drive); state->pos += ENTRY) {
        range = range_at(drive, state->pos);
        if (range.sectors)
            break;
    }
    if (!range.sectors) {
        ata_complete(drive);
        return;
    }
    int err = blk_get(drive->config.blk, BLK_DISCARD, range.lba, range.sectors * ATA_SECTOR,
                      drive->generation, &drive->req);
    if (!err)
        ata_submit(drive);
    else if (err != -EAGAIN) /* the disk is not what it was */
        ata_fail(drive, ATA_ER_ABRT);
}

void ata_trim_done(struct ata_drive *drive)
{
    drive->state.pos += ENTRY;
    ata_drop(drive);
    ata_step(drive);
}
