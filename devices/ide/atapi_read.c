/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that read the medium, or only go there (MMC-5). */
#include "devices/ide/atapi_internal.h"

/* Refuses what does not lie on the medium. A count of nothing at its end is fine. */
static bool on_medium(struct ata_drive *drive, uint32_t lba, uint32_t count)
{
    uint32_t blocks = atapi_blocks(drive);

    if (lba < blocks && count <= blocks - lba)
        return true;
    atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_LBA_OUT_OF_RANGE);
    return false;
}

static void read_blocks(struct ata_drive *drive, uint32_t lba, uint32_t count, uint8_t fields)
{
    if (!on_medium(drive, lba, count))
        return;
    if (count && fields)
        atapi_read_medium(drive, lba, count, fields);
    else
        atapi_complete(drive);
}

void atapi_read10(struct ata_drive *drive, const uint8_t *packet)
{
    read_blocks(drive, atapi_get32(packet + 2), atapi_get16(packet + 7), ATAPI_FIELD_USER);
}

void atapi_read12(struct ata_drive *drive, const uint8_t *packet)
{
    read_blocks(drive, atapi_get32(packet + 2), atapi_get32(packet + 6), ATAPI_FIELD_USER);
}

#define EXPECTED_ANY    0
#define EXPECTED_MODE_1 2

/* MMC-5, READ CD: all sectors are of mode 1, without sub-channels, without C2 errors; a DVD's have
 * nothing but user data to give. */
void atapi_read_cd(struct ata_drive *drive, const uint8_t *packet)
{
    unsigned expected = packet[1] >> 2 & 7;
    uint8_t fields = packet[9] & (uint8_t)~ATAPI_FIELD_SUB;
    uint32_t count = (uint32_t)packet[6] << 16 | atapi_get16(packet + 7), first, end;

    if ((expected != EXPECTED_ANY && expected != EXPECTED_MODE_1) ||
        (atapi_is_dvd(drive) && fields & ~ATAPI_FIELD_USER)) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_ILLEGAL_MODE);
        return;
    }
    if ((packet[9] & 0x07) || (packet[10] & 0x07) || fields == ATAPI_FIELD_EDC ||
        !atapi_fields_range(fields, &first, &end)) {
        atapi_invalid_field(drive);
        return;
    }
    read_blocks(drive, atapi_get32(packet + 2), count, fields);
}

/* There is nothing to move. */
void atapi_seek(struct ata_drive *drive, const uint8_t *packet)
{
    if (on_medium(drive, atapi_get32(packet + 2), 0))
        atapi_complete(drive);
}
