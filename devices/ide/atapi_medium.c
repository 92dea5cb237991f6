/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tray, its lock, and what comes and goes in it. */
#include <errno.h>
#include <string.h>

#include "devices/ide/atapi_internal.h"

/* 80 minutes of 75 sectors a second: what is larger is no CD. */
#define CD_BLOCKS_MAX (80u * 60 * 75)

uint32_t atapi_blocks(const struct ata_drive *drive)
{
    uint64_t blocks = drive->config.blk ? drive->info.sectors / (ATAPI_BLOCK / ATA_SECTOR) : 0;

    return blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX;
}

bool atapi_has_medium(const struct ata_drive *drive)
{
    return !drive->state.packet.tray_open && atapi_blocks(drive);
}

bool atapi_is_dvd(const struct ata_drive *drive)
{
    return atapi_blocks(drive) > CD_BLOCKS_MAX;
}

void atapi_no_medium(struct ata_drive *drive)
{
    atapi_check(drive, ATAPI_NOT_READY,
                drive->state.packet.tray_open ? ATAPI_NO_MEDIUM_OPEN : ATAPI_NO_MEDIUM_CLOSED);
}

/* Out of the guest's reach, by whoever's hand: commands that are reading it end. */
static void medium_left(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    state->packet.event = ATAPI_EVENT_REMOVAL;
    state->packet.attention &= (uint8_t)~ATAPI_UA_MEDIUM;
    if (state->packet.transfer == ATAPI_MEDIUM)
        atapi_no_medium(drive);
}

static void medium_arrived(struct ata_drive *drive)
{
    drive->state.packet.event = ATAPI_EVENT_NEW_MEDIUM;
    drive->state.packet.attention |= ATAPI_UA_MEDIUM;
}

static void set_tray(struct ata_drive *drive, bool open)
{
    bool had = atapi_has_medium(drive), has;

    drive->state.packet.tray_open = open;
    has = atapi_has_medium(drive);
    if (had && !has)
        medium_left(drive);
    else if (!had && has)
        medium_arrived(drive);
}

int atapi_eject(struct ata_drive *drive, bool force, struct blk **ret_blk)
{
    struct blk *blk = drive->config.blk;

    if (drive->state.packet.locked && !drive->state.packet.tray_open && !force) {
        drive->state.packet.event = ATAPI_EVENT_EJECT_REQUEST;
        return -EBUSY;
    }
    set_tray(drive, true);
    if (blk) {
        blk_bind(blk, NULL, NULL);
        drive->config.blk = NULL;
    }
    memset(&drive->info, 0, sizeof(drive->info));
    *ret_blk = blk;
    return 0;
}

int atapi_insert(struct ata_drive *drive, struct blk *blk)
{
    if (drive->config.blk)
        return -EBUSY;
    ata_take_blk(drive, blk);
    set_tray(drive, false);
    return 0;
}

/* MMC-5, START STOP UNIT: LoEj is the tray; without it, or with a power condition, the spindle. */
void atapi_start_stop(struct ata_drive *drive, const uint8_t *packet)
{
    static const uint8_t conditions[16] = {[1] = ATA_POWER_ACTIVE,
                                           [2] = ATA_POWER_IDLE,
                                           [3] = ATA_POWER_STANDBY,
                                           [5] = ATA_POWER_SLEEP};
    unsigned condition = packet[4] >> 4;
    bool load_eject = packet[4] & 2, start = packet[4] & 1;

    if (condition) {
        if (condition > 5 || condition == 4) {
            atapi_invalid_field(drive);
            return;
        }
        drive->state.power = conditions[condition];
        atapi_complete(drive);
        return;
    }
    if (load_eject && !start && drive->state.packet.locked && !drive->state.packet.tray_open) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_REMOVAL_PREVENTED);
        return;
    }
    if (load_eject) {
        set_tray(drive, !start);
    } else if (start && !atapi_has_medium(drive)) {
        atapi_no_medium(drive);
        return;
    }
    drive->state.power = start ? ATA_POWER_ACTIVE : ATA_POWER_STANDBY;
    atapi_complete(drive);
}

/* SPC-3 6.13. The persistent kind differs for who presses the button, which is told of as a wish to
 * eject in either. */
void atapi_prevent_allow(struct ata_drive *drive, const uint8_t *packet)
{
    drive->state.packet.locked = packet[4] & 1;
    atapi_complete(drive);
}

#define GESN_POLLED      0x01
#define GESN_CLASS_MEDIA 4u
#define GESN_NONE        0x80 /* NEA: no class that was asked for is there */
#define GESN_DOOR_OPEN   0x01
#define GESN_PRESENT     0x02

/* MMC-5, GET EVENT STATUS NOTIFICATION: an event is reported once. */
void atapi_event_status(struct ata_drive *drive, const uint8_t *packet)
{
    struct atapi_state *state = &drive->state.packet;
    uint8_t *reply = drive->board->reply;
    uint32_t allocated = atapi_get16(packet + 7), length = 4;

    if (!(packet[1] & GESN_POLLED)) { /* the asynchronous kind is optional */
        atapi_invalid_field(drive);
        return;
    }
    reply[2] = GESN_NONE;
    reply[3] = 1u << GESN_CLASS_MEDIA;
    if (packet[4] & 1u << GESN_CLASS_MEDIA) {
        reply[2] = GESN_CLASS_MEDIA;
        reply[4] = state->event;
        reply[5] =
            (state->tray_open ? GESN_DOOR_OPEN : 0) | (atapi_has_medium(drive) ? GESN_PRESENT : 0);
        length = 8;
        if (allocated > 4)
            state->event = ATAPI_EVENT_NONE;
    }
    atapi_put16(reply, length - 2);
    atapi_reply(drive, length, allocated);
}

/* MMC-5, MECHANISM STATUS: no changer, so one slot and no table of them. */
void atapi_mechanism_status(struct ata_drive *drive, const uint8_t *packet)
{
    drive->board->reply[1] = drive->state.packet.tray_open ? 0x10 : 0;
    drive->board->reply[5] = 1;
    atapi_reply(drive, 8, atapi_get16(packet + 8));
}
