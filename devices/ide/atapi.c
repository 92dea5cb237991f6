/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PACKET: the command, its packet, its status; resets (ATA-6 9.8). The picture is in atapi.h. */
#include "devices/ide/atapi.h"

#include <string.h>

#include "devices/ide/atapi_internal.h"

#define FEATURES_DMA 0x01
#define FEATURES_OVL 0x02 /* overlap is not offered */

#define REQUEST_SENSE 0x03
#define LIMIT_MAX     0xfffeu /* FFFFh stands for it (ATA-6, PACKET) */

/* The ends of a packet command. */

void atapi_set_reason(struct ata_drive *drive, uint8_t reason)
{
    drive->state.reg[ATA_REG_COUNT] = reason;
}

void atapi_complete(struct ata_drive *drive)
{
    atapi_set_reason(drive, ATAPI_IO | ATAPI_CD);
    ata_complete(drive);
}

static void set_sense(struct atapi_state *packet, unsigned key, unsigned code)
{
    packet->key = (uint8_t)key;
    packet->asc = (uint8_t)(code >> 8);
    packet->ascq = (uint8_t)code;
    packet->info_valid = false;
}

void atapi_clear_sense(struct ata_drive *drive)
{
    set_sense(&drive->state.packet, ATAPI_NO_SENSE, 0);
}

/* ATA-6, PACKET: the sense key in the Error register, and ABRT where the packet was wrong. */
void atapi_check(struct ata_drive *drive, unsigned key, unsigned code)
{
    set_sense(&drive->state.packet, key, code);
    atapi_set_reason(drive, ATAPI_IO | ATAPI_CD);
    bool aborted = key == ATAPI_ILLEGAL_REQUEST || key == ATAPI_ABORTED_COMMAND;
    ata_fail(drive, (uint8_t)(key << 4 | (aborted ? ATA_ER_ABRT : 0)));
}

void atapi_invalid_field(struct ata_drive *drive)
{
    atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD);
}

/* Packets. */

static void execute(struct ata_drive *drive)
{
    struct atapi_state *packet = &drive->state.packet;
    const struct atapi_command *command = &atapi_commands[packet->packet[0]];
    uint8_t bytes[ATAPI_PACKET];

    memcpy(bytes, packet->packet, sizeof(bytes));
    if (bytes[0] != REQUEST_SENSE)
        atapi_clear_sense(drive);
    if (!command->start) {
        atapi_check(drive, ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_OPCODE);
        return;
    }
    if (!(command->flags & ATAPI_CF_ATTENTION) && packet->attention) {
        bool reset = packet->attention & ATAPI_UA_RESET; /* the more important first */
        packet->attention &= (uint8_t) ~(reset ? ATAPI_UA_RESET : ATAPI_UA_MEDIUM);
        atapi_check(drive, ATAPI_UNIT_ATTENTION, reset ? ATAPI_POWER_ON : ATAPI_MEDIUM_CHANGED);
        return;
    }
    if ((command->flags & ATAPI_CF_MEDIUM) && !atapi_has_medium(drive)) {
        atapi_no_medium(drive);
        return;
    }
    if (command->flags & ATAPI_CF_MEDIUM)
        drive->state.power = ATA_POWER_ACTIVE;
    command->start(drive, bytes);
}

void atapi_block_written(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    if (state->phase == ATA_PACKET) {
        drive->mem = NULL;
        state->pos = 0;
        execute(drive);
    } else {
        atapi_list_written(drive);
    }
}

/* ATA-6, PACKET. The packet is asked for without an interrupt, as IDENTIFY PACKET DEVICE says. */
static void packet_command(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;
    struct atapi_state *packet = &state->packet;
    uint8_t features = state->reg[ATA_REG_FEATURES];
    uint16_t limit = (uint16_t)(state->reg[ATA_REG_LBA_HIGH] << 8 | state->reg[ATA_REG_LBA_MID]);

    if (features & FEATURES_OVL) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    packet->dma = features & FEATURES_DMA;
    packet->limit = limit < LIMIT_MAX ? limit : LIMIT_MAX;
    packet->careful = false;
    packet->length = 0;
    memset(packet->packet, 0, sizeof(packet->packet));
    memset(drive->board->reply, 0, sizeof(drive->board->reply));
    atapi_set_reason(drive, ATAPI_CD);
    drive->mem = packet->packet;
    state->block_left = ATAPI_PACKET;
    state->phase = ATA_PACKET;
}

/* How a packet device says what it is to who takes it for a disk (ATA-6, IDENTIFY DEVICE). */
static void sign_and_abort(struct ata_drive *drive)
{
    ata_sign(drive);
    drive->state.packet.ready = true;
    ata_fail(drive, ATA_ER_ABRT);
}

const struct ata_command atapi_ata_commands[256] = {
    /* 00h, NOP, is aborted by definition; 08h, DEVICE RESET, comes in any phase: ata_command() */
    [0x20] = {sign_and_abort, 0}, /* READ SECTOR(S) */
    [0x21] = {sign_and_abort, 0}, /* READ SECTOR(S) without retry */
    /* 90h, EXECUTE DEVICE DIAGNOSTIC, is the channel's */
    [0xa0] = {packet_command, 0},
    [0xa1] = {ata_start_identify_packet, ATA_CF_DATA | ATA_CF_IN}, /* IDENTIFY PACKET DEVICE */
    [0xe0] = {ata_standby, 0},                                     /* STANDBY IMMEDIATE */
    [0xe1] = {ata_idle, 0},                                        /* IDLE IMMEDIATE */
    [0xe2] = {ata_standby, 0},                                     /* STANDBY */
    [0xe3] = {ata_idle, 0},                                        /* IDLE */
    [0xe5] = {ata_check_power_mode, 0},
    [0xe6] = {ata_sleep, 0},
    [0xe7] = {ata_start_flush, 0}, /* FLUSH CACHE */
    [0xec] = {sign_and_abort, 0},  /* IDENTIFY DEVICE */
    [0xef] = {ata_set_features, 0},
};

/* Resets. */

void atapi_power_on(struct ata_drive *drive)
{
    struct atapi_state *packet = &drive->state.packet;

    packet->attention = ATAPI_UA_RESET;
    packet->event = atapi_has_medium(drive) ? ATAPI_EVENT_NEW_MEDIUM : ATAPI_EVENT_NONE;
    atapi_mode_defaults(drive);
}

/* ATA-6 9.11: from any state, without an interrupt; the other drive's settings and our own,
 * the lock and the tray among them, stay. */
void atapi_device_reset(struct ata_drive *drive)
{
    drive->config.counters->commands++;
    ata_abandon(drive);
    drive->state.power = ATA_POWER_ACTIVE;
    ata_sign(drive);
}
