/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MODE SENSE and MODE SELECT, SPC-3 6.8 and 6.10; the pages of MMC-5, and 2Ah of MMC-3. */
#include <string.h>

#include "devices/ide/atapi_internal.h"

#define HEADER   8u
#define ALL      0x3f
#define PC_MASK  0xc0
#define SP       0x01 /* save pages */
#define PF       0x10 /* as in SPC */
#define PAGE_MAX 24u

enum { PC_CURRENT = 0x00, PC_CHANGEABLE = 0x40, PC_DEFAULT = 0x80, PC_SAVED = 0xc0 };

/* A page with its code and length; what can change is filled in. The read speed: 4x of a DVD, in
 * units of 1000 bytes. */
#define SPEED 5540u

static const uint8_t recovery_page[] = {0x01, 0x0a, 0, 5};
static const uint8_t audio_page[] = {0x0e, 0x0e, 0x04 /* immediate */, 0, 0, 0, 0, 75};
static const uint8_t power_page[] = {0x1a, 0x0a};
static const uint8_t capabilities_page[] = {
    0x2a,
    0x14,
    0x0b, /* reads CD-R, CD-RW (method 2 is a formality of theirs) and DVD-ROM */
    0x00, /* writes nothing */
    0x70, /* mode 2 forms 1 and 2, multisession */
    0x00, /* no audio, sub-channels, C2 pointers */
    0x29, /* a tray, that ejects and locks */
    0x00,
    SPEED >> 8,
    SPEED & 0xff,
    0,
    0 /* volume levels */,
    0x02,
    0x00 /* KiB of buffer */,
    SPEED >> 8,
    SPEED & 0xff,
};

static const struct page {
    const uint8_t *bytes;
    uint8_t given; /* of them; zeroes follow up to the length that the page says */
} pages[] = {
    {recovery_page, sizeof(recovery_page)},
    {audio_page, sizeof(audio_page)},
    {power_page, sizeof(power_page)},
    {capabilities_page, sizeof(capabilities_page)},
};

#define N_PAGES       (sizeof(pages) / sizeof(pages[0]))
#define PAGE_RECOVERY 0x01
#define LOCK_STATE    0x02 /* page 2Ah, byte 6 */

void atapi_mode_defaults(struct ata_drive *drive)
{
    drive->state.packet.recovery = recovery_page[2];
    drive->state.packet.retries = recovery_page[3];
}

static uint32_t put_page(const struct ata_drive *drive, const struct page *page, unsigned pc,
                         uint8_t *at)
{
    uint8_t code = page->bytes[0];

    memcpy(at, page->bytes, pc == PC_CHANGEABLE ? 2 : page->given);
    if (code == PAGE_RECOVERY && pc == PC_CHANGEABLE)
        at[2] = at[3] = 0xff;
    if (pc == PC_CURRENT && code == PAGE_RECOVERY) {
        at[2] = drive->state.packet.recovery;
        at[3] = drive->state.packet.retries;
    }
    if (pc == PC_CURRENT && code == capabilities_page[0] && drive->state.packet.locked)
        at[6] |= LOCK_STATE;
    return 2u + page->bytes[1];
}

void atapi_mode_sense(struct ata_drive *drive, const uint8_t *packet)
{
    unsigned pc = packet[2] & PC_MASK, wanted = packet[2] & 0x3f;
    uint8_t *reply = drive->board->reply;
    uint32_t length = HEADER;

    if (pc == PC_SAVED) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_SAVING_UNSUPPORTED);
        return;
    }
    for (unsigned i = 0; i < N_PAGES; i++) {
        if (wanted == ALL || wanted == pages[i].bytes[0])
            length += put_page(drive, &pages[i], pc, reply + length);
    }
    if (length == HEADER || (packet[3] && packet[3] != 0xff)) { /* no page or subpage such */
        atapi_invalid_field(drive);
        return;
    }
    atapi_put16(reply, length - 2);
    atapi_reply(drive, length, atapi_get16(packet + 7));
}

void atapi_mode_select(struct ata_drive *drive, const uint8_t *packet)
{
    uint32_t length = atapi_get16(packet + 7);

    if (!(packet[1] & PF) || (packet[1] & SP)) {
        atapi_invalid_field(drive);
        return;
    }
    if (length > ATAPI_REPLY_MAX) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_PARAMETER_LENGTH);
        return;
    }
    atapi_get_parameters(drive, length);
}

/* Whether the page is one of ours and changes only what can be changed. */
static bool page_is_good(const struct ata_drive *drive, const uint8_t *page)
{
    uint8_t now[PAGE_MAX] = {0}, mask[PAGE_MAX] = {0};

    for (unsigned i = 0; i < N_PAGES; i++) {
        if (pages[i].bytes[0] != page[0])
            continue;
        uint32_t length = put_page(drive, &pages[i], PC_CURRENT, now);
        put_page(drive, &pages[i], PC_CHANGEABLE, mask);
        if (page[1] != now[1])
            return false;
        for (uint32_t at = 2; at < length; at++) {
            if ((page[at] ^ now[at]) & ~mask[at])
                return false;
        }
        return true;
    }
    return false;
}

/* The parameter list is there. All pages are looked at before the first is taken. */
void atapi_parameters(struct ata_drive *drive)
{
    const uint8_t *list = drive->board->reply;
    uint32_t length = drive->state.packet.length, at = HEADER;

    if (length && length < HEADER) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_PARAMETER_LENGTH);
        return;
    }
    bool good = !length || !atapi_get16(list + 6); /* no block descriptors */
    for (; good && at + 2 <= length; at += 2u + list[at + 1])
        good = at + 2 + list[at + 1] <= length && page_is_good(drive, list + at);
    if (!good) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_PARAMETER);
        return;
    }
    for (at = HEADER; at + 2 <= length; at += 2u + list[at + 1]) {
        if (list[at] != PAGE_RECOVERY)
            continue;
        drive->state.packet.recovery = list[at + 2];
        drive->state.packet.retries = list[at + 3];
    }
    atapi_complete(drive);
}
