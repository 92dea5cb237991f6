/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving and loading a drive. Of a PIO transfer the bytes that neither the disk nor the guest has
 * are saved too: the rest of an open block that is being read; what was written and not yet stored.
 * Everything else is fetched again by issuing the request again.
 */
#include <stdlib.h>
#include <string.h>

#include "devices/ide/ata_internal.h"
#include "devices/ide/atapi_internal.h"

/* What a state begins with. */
enum { KIND_ABSENT, KIND_DISK, KIND_CDROM };

static uint8_t kind_of(const struct ata_drive *drive)
{
    return drive->config.cdrom ? KIND_CDROM : drive->config.blk ? KIND_DISK : KIND_ABSENT;
}

/* A command whose data nobody could fetch again: all of it is saved. */
static bool moves_data(const struct ata_drive *drive)
{
    return (ata_flags(drive) & ATA_CF_DATA) && drive->state.phase != ATA_IDLE &&
           drive->state.phase != ATA_RESET;
}

/* What of the chunk is saved: bytes [first, first + len). A packet device's replies and parameters
 * are no chunk: atapi_save(). */
static void saved_bytes(const struct ata_drive *drive, uint32_t *ret_first, uint32_t *ret_len)
{
    const struct ata_state *state = &drive->state;

    if (moves_data(drive)) {
        *ret_first = 0;
        *ret_len = state->chunk * ATA_SECTOR;
        return;
    }
    if (state->packet.transfer == ATAPI_REPLY || state->packet.transfer == ATAPI_PARAMETERS) {
        *ret_first = *ret_len = 0;
        return;
    }
    *ret_first = state->phase == ATA_PIO_IN ? state->pos : 0;
    *ret_len = state->phase == ATA_PIO_IN                                 ? state->block_left
               : state->phase == ATA_PIO_OUT || state->phase == ATA_STORE ? state->pos
                                                                          : 0;
}

/* A chunk that is being read ends with its open block: later blocks are read anew. */
static uint32_t saved_chunk(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;

    if (state->packet.transfer)
        return 0;
    if (state->phase == ATA_PIO_IN && !moves_data(drive))
        return (state->pos + state->block_left) / ATA_SECTOR;
    return state->chunk;
}

void ata_save(const struct ata_drive *drive, struct state_writer *writer)
{
    const struct ata_state *state = &drive->state;

    state_put_u8(writer, kind_of(drive));
    if (kind_of(drive) == KIND_ABSENT)
        return;
    state_put_u8(writer, state->unplugged);
    state_put_bytes(writer, state->reg, sizeof(state->reg));
    state_put_bytes(writer, state->previous, sizeof(state->previous));
    state_put_u8(writer, state->device);
    state_put_u8(writer, state->error);
    state_put_u8(writer, state->failed);
    state_put_u8(writer, state->intrq);
    state_put_u8(writer, state->phase);
    state_put_u8(writer, state->power);
    state_put_u8(writer, state->multiple);
    state_put_u8(writer, state->heads);
    state_put_u8(writer, state->track_sectors);
    state_put_u8(writer, state->transfer_mode);
    state_put_u8(writer, state->write_cache);
    state_put_u8(writer, state->look_ahead);
    state_put_u8(writer, state->revert);
    state_put_u8(writer, state->opcode);
    state_put_u8(writer, state->asked);
    state_put_u64(writer, state->lba);
    state_put_u32(writer, state->sectors);
    state_put_u32(writer, saved_chunk(drive));
    state_put_u32(writer, state->pos);
    state_put_u32(writer, state->block_left);
    if (drive->config.cdrom)
        atapi_save(drive, writer);
    else
        ata_smart_save(drive, writer);

    uint32_t first, len;
    saved_bytes(drive, &first, &len);
    if (moves_data(drive)) {
        state_put_bytes(writer, drive->board->data, len);
        return;
    }
    for (uint32_t done = 0; done < len;) {
        uint8_t part[ATA_SECTOR];
        uint32_t n = len - done < sizeof(part) ? len - done : (uint32_t)sizeof(part);
        ata_pio_copy_out(drive, first + done, part, n);
        state_put_bytes(writer, part, n);
        done += n;
    }
}

static bool valid_settings(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;

    return state->phase < ATA_PHASES && state->power <= ATA_POWER_SLEEP &&
           state->multiple <= ATA_MULTIPLE_MAX && !(state->multiple & (state->multiple - 1)) &&
           state->heads >= 1 && state->heads <= 16 && state->track_sectors >= 1 &&
           (drive->info.write_cache || !state->write_cache);
}

/* Whether the phase is one that the command goes through. */
static bool valid_phase(const struct ata_drive *drive)
{
    unsigned flags = ata_flags(drive);

    if (drive->config.cdrom && !(flags & ATA_CF_IN && drive->state.phase == ATA_PIO_IN))
        return atapi_valid(drive);
    switch ((enum ata_phase)drive->state.phase) {
    case ATA_FETCH:
        return (flags & ATA_CF_IN) && (flags & ATA_CF_ADDRESS);
    case ATA_PIO_IN:
        return (flags & ATA_CF_IN) && !(flags & ATA_CF_DMA);
    case ATA_PIO_OUT:
        return (flags & ATA_CF_OUT) && !(flags & ATA_CF_DMA);
    case ATA_ROOM:
    case ATA_STORE:
        return (flags & ATA_CF_OUT) && !(flags & ATA_CF_DATA);
    case ATA_DMA:
        return flags & ATA_CF_DMA;
    case ATA_TRIM:
        return drive->info.discard && ata_commands[drive->state.opcode].start == ata_start_trim;
    case ATA_FLUSH:
        return !(flags & ATA_CF_DATA);
    case ATA_VERIFY:
        return (flags & ATA_CF_ADDRESS) && !(flags & (ATA_CF_IN | ATA_CF_OUT | ATA_CF_DMA));
    case ATA_PACKET:
        return false;
    default:
        return true;
    }
}

/* Of the drive's own data. What a TRIM lists is checked when it has been loaded. */
static bool valid_data(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    uint32_t end = state->chunk * ATA_SECTOR;

    if (!state->chunk || state->chunk > ATA_DATA_SECTORS || state->sectors != state->chunk ||
        state->pos > end)
        return false;
    if (state->phase == ATA_PIO_IN || state->phase == ATA_PIO_OUT)
        return state->block_left && state->block_left <= ATA_SECTOR &&
               state->pos + state->block_left <= end &&
               (state->pos + state->block_left) % ATA_SECTOR == 0;
    return true;
}

static bool valid_progress(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    bool transfer =
        state->phase != ATA_IDLE && state->phase != ATA_RESET && state->phase != ATA_FLUSH;
    bool block = state->phase == ATA_PIO_IN || state->phase == ATA_PIO_OUT;
    bool chunk = block || state->phase == ATA_STORE;
    uint64_t total = drive->info.sectors;

    if (moves_data(drive))
        return valid_data(drive);
    if (drive->config.cdrom && state->opcode == ATA_CMD_PACKET)
        return true; /* atapi_valid() */
    if (transfer && (!state->sectors || state->sectors > 65536))
        return false;
    if (transfer && (ata_flags(drive) & ATA_CF_ADDRESS) &&
        (state->lba >= total || state->sectors > total - state->lba))
        return false;
    if (transfer && (ata_flags(drive) & ATA_CF_MULTIPLE) && !state->multiple)
        return false;
    if (chunk && (!state->chunk || state->chunk > ATA_PIO_CHUNK_MAX ||
                  state->chunk > state->sectors || state->pos > state->chunk * ATA_SECTOR))
        return false;
    if (state->phase == ATA_STORE && state->pos != state->chunk * ATA_SECTOR)
        return false;
    if (block) {
        uint32_t end = state->pos + state->block_left;
        uint32_t most = ata_block_sectors(drive) * ATA_SECTOR;
        if (!state->block_left || state->block_left > most || end > state->chunk * ATA_SECTOR ||
            (end != state->chunk * ATA_SECTOR && end % most))
            return false;
    }
    return true;
}

static void load_fields(struct ata_state *state, struct state_reader *reader)
{
    state->unplugged = state_get_u8(reader);
    state_get_bytes(reader, state->reg, sizeof(state->reg));
    state_get_bytes(reader, state->previous, sizeof(state->previous));
    state->device = state_get_u8(reader);
    state->error = state_get_u8(reader);
    state->failed = state_get_u8(reader);
    state->intrq = state_get_u8(reader);
    state->phase = state_get_u8(reader);
    state->power = state_get_u8(reader);
    state->multiple = state_get_u8(reader);
    state->heads = state_get_u8(reader);
    state->track_sectors = state_get_u8(reader);
    state->transfer_mode = state_get_u8(reader);
    state->write_cache = state_get_u8(reader);
    state->look_ahead = state_get_u8(reader);
    state->revert = state_get_u8(reader);
    state->opcode = state_get_u8(reader);
    state->asked = state_get_u8(reader);
    state->lba = state_get_u64(reader);
    state->sectors = state_get_u32(reader);
    state->chunk = state_get_u32(reader);
    state->pos = state_get_u32(reader);
    state->block_left = state_get_u32(reader);
}

/* The bytes go to memory of their own, as long as the chunk: no pages may be free now. */
static void load_bytes(struct ata_drive *drive, struct state_reader *reader)
{
    const struct ata_state *state = &drive->state;
    uint32_t first, len;

    saved_bytes(drive, &first, &len);
    if (moves_data(drive)) {
        state_get_bytes(reader, drive->board->data, len);
        drive->mem = drive->board->data;
        if (state->phase == ATA_TRIM && !ata_trim_valid(drive))
            state_reject(reader);
        return;
    }
    if (state->phase != ATA_PIO_IN && state->phase != ATA_PIO_OUT && state->phase != ATA_STORE)
        return;
    if (drive->config.cdrom && !len)
        return;
    drive->restored =
        calloc(1, state->chunk ? (size_t)state->chunk * ATA_SECTOR : (size_t)first + len);
    if (!drive->restored) {
        state_reject(reader);
        return;
    }
    drive->mem = drive->restored;
    state_get_bytes(reader, drive->restored + first, len);
}

void ata_load(struct ata_drive *drive, struct state_reader *reader)
{
    uint8_t kind = state_get_u8(reader);

    drive->held = true;
    if (kind != kind_of(drive))
        state_reject(reader);
    if (reader->error || kind == KIND_ABSENT)
        return;

    struct ata_state fresh = drive->state;
    load_fields(&drive->state, reader);
    if (drive->config.cdrom)
        atapi_load(drive, reader);
    if (!reader->error && !(valid_settings(drive) && valid_phase(drive) && valid_progress(drive)))
        state_reject(reader);
    if (!reader->error && !drive->config.cdrom)
        ata_smart_load(drive, reader);
    if (!reader->error)
        load_bytes(drive, reader);
    if (reader->error) {
        drive->state = fresh;
        ata_drop(drive);
        return;
    }
    if (drive->config.cdrom)
        atapi_loaded(drive);
    drive->present = !drive->state.unplugged;
}
