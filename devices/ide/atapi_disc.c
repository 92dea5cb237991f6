/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the medium says of itself: a closed disc with one session of one data track, which is what
 * an image of 2048-byte blocks is. */
#include <string.h>

#include "devices/ide/atapi_internal.h"

#define TRACK     1u
#define SESSION   1u
#define LEAD_OUT  0xaau
#define ADR_DATA  0x14u /* ADR 1 (position), CONTROL 4 (a data track, MMC-5) */
#define LEAD_IN   150u  /* sectors from 00:00:00 to LBA 0 */
#define NO_RETURN 0xffffffffu

void atapi_put_msf(uint8_t *bytes, uint32_t lba)
{
    uint64_t frame = (uint64_t)lba + LEAD_IN;
    uint64_t minute = frame / (60 * 75);

    bytes[0] = 0;
    bytes[1] = (uint8_t)(minute < 255 ? minute : 255); /* a DVD has more than it can say */
    bytes[2] = (uint8_t)(frame / 75 % 60);
    bytes[3] = (uint8_t)(frame % 75);
}

/* MMC-5, READ CAPACITY: PMI and a marked address are refused, as there is no partial medium. */
void atapi_read_capacity(struct ata_drive *drive, const uint8_t *packet)
{
    if (!(packet[8] & 1) && atapi_get32(packet + 2)) {
        atapi_invalid_field(drive);
        return;
    }
    atapi_put32(drive->board->reply, atapi_blocks(drive) - 1);
    atapi_put32(drive->board->reply + 4, ATAPI_BLOCK);
    atapi_reply(drive, 8, 8);
}

/* ---- READ TOC/PMA/ATIP, MMC-5 ---- */

static void put_address(uint8_t *bytes, uint32_t lba, bool msf)
{
    if (msf)
        atapi_put_msf(bytes, lba);
    else
        atapi_put32(bytes, lba);
}

static uint32_t toc_track(uint8_t *at, uint8_t track, uint32_t lba, bool msf)
{
    at[1] = ADR_DATA;
    at[2] = track;
    put_address(at + 4, lba, msf);
    return 8;
}

/* Format 0: tracks from the one asked for on, and the lead-out. 0 if there is none such. */
static uint32_t toc(struct ata_drive *drive, uint8_t from, bool msf)
{
    uint8_t *reply = drive->board->reply;
    uint32_t length = 4;

    if (from > TRACK && from != LEAD_OUT)
        return 0;
    reply[2] = reply[3] = TRACK;
    if (from <= TRACK)
        length += toc_track(reply + length, TRACK, 0, msf);
    length += toc_track(reply + length, LEAD_OUT, atapi_blocks(drive), msf);
    return length;
}

/* Format 1: the last session's first track. */
static uint32_t session_info(struct ata_drive *drive, bool msf)
{
    drive->board->reply[2] = drive->board->reply[3] = SESSION;
    return 4 + toc_track(drive->board->reply + 4, TRACK, 0, msf);
}

/* Format 2: the Q sub-channel of the lead-in; its addresses are MSF whatever is asked for. */
static uint32_t raw_toc(struct ata_drive *drive, uint8_t session)
{
    static const uint8_t points[] = {0xa0, 0xa1, 0xa2, TRACK};
    uint8_t *reply = drive->board->reply;
    uint32_t length = 4;

    if (session > SESSION)
        return 0;
    reply[2] = reply[3] = SESSION;
    for (unsigned i = 0; i < sizeof(points); i++, length += 11) {
        uint8_t *at = reply + length, msf[4];
        at[0] = SESSION;
        at[1] = ADR_DATA;
        at[3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1) {
            at[8] = TRACK; /* first, last track; of a disc of type 00h: CD-DA or CD-ROM */
            continue;
        }
        atapi_put_msf(msf, points[i] == TRACK ? 0 : atapi_blocks(drive));
        memcpy(at + 8, msf + 1, 3);
    }
    return length;
}

void atapi_read_toc(struct ata_drive *drive, const uint8_t *packet)
{
    bool msf = packet[1] & 2;
    unsigned format = packet[2] & 0x0f;
    uint32_t length = 0;

    if (!format) /* SFF-8020i had it here, and hosts have kept to that */
        format = packet[9] >> 6;
    switch (format) {
    case 0:
        length = toc(drive, packet[6], msf);
        break;
    case 1:
        length = session_info(drive, msf);
        break;
    case 2:
        length = raw_toc(drive, packet[6]);
        break;
    }
    if (!length) {
        atapi_invalid_field(drive);
        return;
    }
    atapi_put16(drive->board->reply, length - 2);
    atapi_reply(drive, length, atapi_get16(packet + 7));
}

/* ---- READ DISC INFORMATION, READ TRACK INFORMATION: MMC-5 ---- */

#define DISC_COMPLETE 0x0e /* the last session too */
#define DISC_URU      0x20 /* unrestricted use */

void atapi_read_disc_information(struct ata_drive *drive, const uint8_t *packet)
{
    uint8_t *reply = drive->board->reply;

    if (packet[1] & 7) { /* the standard kind only */
        atapi_invalid_field(drive);
        return;
    }
    atapi_put16(reply, 32);
    reply[2] = DISC_COMPLETE;
    reply[3] = TRACK;
    reply[4] = SESSION;
    reply[5] = reply[6] = TRACK;
    reply[7] = DISC_URU;
    atapi_put32(reply + 16, NO_RETURN); /* where a next session could begin */
    atapi_put32(reply + 20, NO_RETURN);
    atapi_reply(drive, 34, atapi_get16(packet + 7));
}

enum { BY_LBA, BY_TRACK, BY_SESSION };

void atapi_read_track_information(struct ata_drive *drive, const uint8_t *packet)
{
    uint32_t address = atapi_get32(packet + 2);
    unsigned by = packet[1] & 3;
    uint8_t *reply = drive->board->reply;

    if (by == BY_LBA && address >= atapi_blocks(drive)) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_LBA_OUT_OF_RANGE);
        return;
    }
    if (by > BY_SESSION || (by != BY_LBA && address != TRACK)) {
        atapi_invalid_field(drive);
        return;
    }
    atapi_put16(reply, 34);
    reply[2] = TRACK;
    reply[3] = SESSION;
    reply[5] = ADR_DATA & 0x0f; /* track mode: data */
    reply[6] = 1;               /* data mode 1 */
    atapi_put32(reply + 24, atapi_blocks(drive));
    atapi_reply(drive, 36, atapi_get16(packet + 7));
}

/* ---- READ DVD STRUCTURE, MMC-5 ---- */

#define DVD_FIRST_SECTOR 0x30000u /* where the data area begins, ECMA-267 */
#define DVD_STRUCTURE    2052u    /* header and a sector */

enum { DVD_PHYSICAL = 0x00, DVD_COPYRIGHT = 0x01, DVD_MANUFACTURING = 0x04, DVD_LIST = 0xff };

/* Layer 0 of one, read at the reference speed, without a burst cutting area. */
static uint32_t dvd_physical(struct ata_drive *drive)
{
    uint8_t *layer = drive->board->reply + 4;
    uint32_t blocks = atapi_blocks(drive);

    layer[0] = 0x01; /* DVD-ROM, version 1 */
    layer[1] = 0x0f; /* 120 mm, no maximum rate said */
    layer[2] = 0x01; /* one layer, parallel track path, embossed */
    atapi_put32(layer + 4, DVD_FIRST_SECTOR);
    uint64_t last = (uint64_t)DVD_FIRST_SECTOR + blocks - 1;
    atapi_put32(layer + 8, last < 0xffffff ? (uint32_t)last : 0xffffff); /* 24 bits */
    return DVD_STRUCTURE;
}

/* What there is, and that it is there to read. */
static uint32_t dvd_list(struct ata_drive *drive)
{
    static const struct {
        uint8_t format;
        uint16_t length;
    } formats[] = {{DVD_PHYSICAL, DVD_STRUCTURE},
                   {DVD_COPYRIGHT, 8},
                   {DVD_MANUFACTURING, DVD_STRUCTURE},
                   {DVD_LIST, 20}};
    uint8_t *at = drive->board->reply + 4;

    for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++, at += 4) {
        at[0] = formats[i].format;
        at[1] = 0x40; /* readable */
        atapi_put16(at + 2, formats[i].length);
    }
    return 20;
}

void atapi_read_dvd_structure(struct ata_drive *drive, const uint8_t *packet)
{
    uint32_t length = 0;

    if (!atapi_is_dvd(drive) && packet[7] != DVD_LIST) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_INCOMPATIBLE_FORMAT);
        return;
    }
    if (packet[1] & 0x0f || packet[6]) { /* not a DVD, or another layer */
        atapi_invalid_field(drive);
        return;
    }
    switch (packet[7]) {
    case DVD_PHYSICAL:
        length = dvd_physical(drive);
        break;
    case DVD_COPYRIGHT: /* without protection, for all regions */
        length = 8;
        break;
    case DVD_MANUFACTURING: /* nothing was written there */
        length = DVD_STRUCTURE;
        break;
    case DVD_LIST:
        length = dvd_list(drive);
        break;
    }
    if (!length) {
        atapi_invalid_field(drive);
        return;
    }
    atapi_put16(drive->board->reply, length - 2);
    atapi_reply(drive, length, atapi_get16(packet + 8));
}
