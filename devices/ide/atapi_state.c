/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saving and loading what a packet device has beyond a disk: ata_state.c calls this in between. */
#include <string.h>

#include "devices/ide/atapi_internal.h"

#define REPLY_LENGTH_MAX 4096u
#define CHUNK_MAX        (BLK_MAX_BYTES / ATAPI_BLOCK)

void atapi_save(const struct ata_drive *drive, struct state_writer *writer)
{
    const struct atapi_state *packet = &drive->state.packet;
    bool reply = packet->transfer == ATAPI_REPLY || packet->transfer == ATAPI_PARAMETERS;

    state_put_u8(writer, drive->config.blk != NULL);
    state_put_bytes(writer, packet->packet, sizeof(packet->packet));
    state_put_u8(writer, packet->transfer);
    state_put_u8(writer, packet->fields);
    state_put_u8(writer, packet->dma);
    state_put_u8(writer, packet->careful);
    state_put_u16(writer, packet->limit);
    state_put_u32(writer, packet->length);
    state_put_u8(writer, packet->key);
    state_put_u8(writer, packet->asc);
    state_put_u8(writer, packet->ascq);
    state_put_u8(writer, packet->info_valid);
    state_put_u32(writer, packet->info);
    state_put_u8(writer, packet->attention);
    state_put_u8(writer, packet->event);
    state_put_u8(writer, packet->ready);
    state_put_u8(writer, packet->tray_open);
    state_put_u8(writer, packet->locked);
    state_put_u8(writer, packet->recovery);
    state_put_u8(writer, packet->retries);
    if (reply)
        state_put_bytes(writer, drive->board->reply, sizeof(drive->board->reply));
}

void atapi_load(struct ata_drive *drive, struct state_reader *reader)
{
    struct atapi_state *packet = &drive->state.packet;

    if (state_get_u8(reader) != (drive->config.blk != NULL))
        state_reject(reader);
    state_get_bytes(reader, packet->packet, sizeof(packet->packet));
    packet->transfer = state_get_u8(reader);
    packet->fields = state_get_u8(reader);
    packet->dma = state_get_u8(reader);
    packet->careful = state_get_u8(reader);
    packet->limit = state_get_u16(reader);
    packet->length = state_get_u32(reader);
    packet->key = state_get_u8(reader);
    packet->asc = state_get_u8(reader);
    packet->ascq = state_get_u8(reader);
    packet->info_valid = state_get_u8(reader);
    packet->info = state_get_u32(reader);
    packet->attention = state_get_u8(reader);
    packet->event = state_get_u8(reader);
    packet->ready = state_get_u8(reader);
    packet->tray_open = state_get_u8(reader);
    packet->locked = state_get_u8(reader);
    packet->recovery = state_get_u8(reader);
    packet->retries = state_get_u8(reader);
    if (packet->transfer == ATAPI_REPLY || packet->transfer == ATAPI_PARAMETERS)
        state_get_bytes(reader, drive->board->reply, sizeof(drive->board->reply));
    drive->frame_lba = UINT64_MAX;
}

void atapi_loaded(struct ata_drive *drive)
{
    if (drive->state.phase == ATA_PACKET)
        drive->mem = drive->state.packet.packet;
    else if (drive->state.phase == ATA_PIO_OUT)
        drive->mem = drive->board->reply;
}

/* The data phase is one that a packet can have, and stands where it can stand. */
static bool valid_medium(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    uint32_t blocks = atapi_blocks(drive), first, end;

    if (!atapi_has_medium(drive) || !atapi_fields_range(state->packet.fields, &first, &end) ||
        first == end || state->chunk)
        return false;
    if (state->lba >= blocks || !state->sectors || state->sectors > blocks - state->lba)
        return false;

    uint32_t unit = end - first;
    uint64_t left = (uint64_t)state->sectors * unit;
    if (state->phase == ATA_PIO_IN)
        return state->pos < CHUNK_MAX * unit && state->pos + (uint64_t)state->block_left <= left;
    return (state->phase == ATA_FETCH || state->phase == ATA_DMA) && state->pos < unit;
}

static bool valid_list(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    bool in = state->packet.transfer == ATAPI_REPLY;
    uint32_t most = in ? REPLY_LENGTH_MAX : ATAPI_REPLY_MAX;

    if (state->packet.length > most || state->pos >= state->packet.length)
        return false;
    if (state->phase == ATA_DMA)
        return true;
    return state->phase == (in ? ATA_PIO_IN : ATA_PIO_OUT) &&
           state->block_left <= state->packet.length - state->pos;
}

bool atapi_valid(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    const struct atapi_state *packet = &state->packet;
    bool block = state->phase == ATA_PIO_IN || state->phase == ATA_PIO_OUT;

    if (packet->transfer >= ATAPI_TRANSFERS || packet->limit == UINT16_MAX ||
        packet->event > ATAPI_EVENT_REMOVAL)
        return false;
    if (packet->transfer == ATAPI_NO_DATA) {
        bool quiet =
            state->phase == ATA_IDLE || state->phase == ATA_RESET || state->phase == ATA_FLUSH;
        return quiet || (state->phase == ATA_PACKET && state->opcode == ATA_CMD_PACKET &&
                         state->block_left && state->block_left <= ATAPI_PACKET &&
                         state->pos == ATAPI_PACKET - state->block_left);
    }
    if (state->opcode != ATA_CMD_PACKET || packet->dma != (state->phase == ATA_DMA) ||
        (block && (!state->block_left || state->block_left > packet->limit)))
        return false;
    if (!packet->dma && packet->limit < 2 && packet->length != 1)
        return false;
    return packet->transfer == ATAPI_MEDIUM ? valid_medium(drive) : valid_list(drive);
}
