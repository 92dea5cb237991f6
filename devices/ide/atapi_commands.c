/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packet commands: one function and a few flags each. What is missing is refused. */
#include <string.h>

#include "devices/ide/atapi_internal.h"

/* Ready is what the flags say. SET CD SPEED takes any speed: data comes as fast as it can. */
static void ready(struct ata_drive *drive, const uint8_t *packet)
{
    atapi_complete(drive);
}

#define SENSE_BYTES   18u
#define SENSE_CURRENT 0x70
#define SENSE_VALID   0x80
#define SENSE_DESC    0x01

/* SPC-3 6.27, fixed format 4.5.3. What the last command left is told once; if it left nothing, a
 * unit attention that waits is told so. */
static void request_sense(struct ata_drive *drive, const uint8_t *packet)
{
    struct atapi_state *state = &drive->state.packet;
    uint8_t *reply = drive->board->reply;

    if (packet[1] & SENSE_DESC) {
        atapi_invalid_field(drive);
        return;
    }
    reply[0] = SENSE_CURRENT;
    reply[7] = SENSE_BYTES - 8;
    if (!state->key && state->attention) {
        bool reset = state->attention & ATAPI_UA_RESET;
        state->attention &= (uint8_t) ~(reset ? ATAPI_UA_RESET : ATAPI_UA_MEDIUM);
        reply[2] = ATAPI_UNIT_ATTENTION;
        reply[12] = (reset ? ATAPI_POWER_ON : ATAPI_MEDIUM_CHANGED) >> 8;
    } else {
        reply[2] = state->key;
        reply[12] = state->asc;
        reply[13] = state->ascq;
    }
    if (state->info_valid) {
        reply[0] |= SENSE_VALID;
        atapi_put32(reply + 3, state->info);
    }
    atapi_clear_sense(drive);
    atapi_reply(drive, SENSE_BYTES, packet[4]);
}

#define UA ATAPI_CF_ATTENTION
#define M  ATAPI_CF_MEDIUM

const struct atapi_command atapi_commands[256] = {
    [0x00] = {ready, M}, /* TEST UNIT READY */
    [0x03] = {request_sense, UA},
    [0x12] = {atapi_inquiry, UA},
    [0x1b] = {atapi_start_stop, 0},
    [0x1e] = {atapi_prevent_allow, 0},
    [0x25] = {atapi_read_capacity, M},
    [0x28] = {atapi_read10, M},
    [0x2b] = {atapi_seek, M},
    [0x43] = {atapi_read_toc, M},
    [0x46] = {atapi_get_configuration, UA},
    [0x4a] = {atapi_event_status, UA},
    [0x51] = {atapi_read_disc_information, M},
    [0x52] = {atapi_read_track_information, M},
    [0x55] = {atapi_mode_select, 0},
    [0x5a] = {atapi_mode_sense, 0},
    [0xa8] = {atapi_read12, M},
    [0xad] = {atapi_read_dvd_structure, M},
    [0xbb] = {ready, 0}, /* SET CD SPEED */
    [0xbd] = {atapi_mechanism_status, 0},
    [0xbe] = {atapi_read_cd, M},
};
