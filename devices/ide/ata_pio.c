/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIO data transfers (ATA-6 9.5, 9.6). The disk is asked for chunks of many sectors; the guest sees
 * DRQ blocks of one sector, or of several for the MULTIPLE commands. Within a chunk the next block
 * is there as soon as the last one ends, so a host that reads on never waits.
 *
 * Interrupts: data in, one as each block becomes ready; data out, one as each block but the first
 * is asked for, and one at the end.
 */
#include <string.h>

#include "devices/ide/ata_internal.h"
#include "devices/ide/atapi_internal.h"

static uint32_t chunk_bytes(const struct ata_drive *drive)
{
    return drive->state.chunk * ATA_SECTOR;
}

uint32_t ata_block_sectors(const struct ata_drive *drive)
{
    return ata_flags(drive) & ATA_CF_MULTIPLE ? drive->state.multiple : 1;
}

/* The next DRQ block of the chunk. ATA_PIO_CHUNK_MAX is a multiple of every block size, so only the
 * last block of a command can be short. */
static void open_block(struct ata_drive *drive)
{
    uint32_t left = chunk_bytes(drive) - drive->state.pos;
    uint32_t block = ata_block_sectors(drive) * ATA_SECTOR;

    drive->state.block_left = left < block ? left : block;
}

static uint32_t next_chunk(const struct ata_drive *drive)
{
    return drive->state.sectors < ATA_PIO_CHUNK_MAX ? drive->state.sectors : ATA_PIO_CHUNK_MAX;
}

void ata_start_pio_in(struct ata_drive *drive)
{
    drive->state.phase = ATA_FETCH;
    ata_step(drive);
}

void ata_start_pio_out(struct ata_drive *drive)
{
    drive->state.phase = ATA_ROOM;
    ata_step(drive);
}

static void begin_in(struct ata_drive *drive)
{
    drive->state.phase = ATA_PIO_IN;
    drive->state.pos = 0;
    open_block(drive);
    ata_raise_intrq(drive);
}

void ata_start_data_in(struct ata_drive *drive, uint32_t sectors)
{
    drive->mem = drive->board->data;
    drive->state.sectors = drive->state.chunk = sectors;
    begin_in(drive);
}

void ata_pio_fetched(struct ata_drive *drive)
{
    begin_in(drive);
}

/* The guest gets the blocks before the bad sector, whole ones, and is told of it when it wants the
 * next (ATA-6 9.5). */
bool ata_pio_fetched_some(struct ata_drive *drive, uint32_t good, uint8_t error)
{
    uint32_t sectors = good / ATA_SECTOR;

    sectors -= sectors % ata_block_sectors(drive);
    if (!sectors)
        return false;
    drive->state.chunk = sectors;
    drive->failing = error;
    drive->failing_lba = drive->state.lba + good / ATA_SECTOR;
    begin_in(drive);
    return true;
}

static void begin_out(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    state->phase = ATA_PIO_OUT;
    state->pos = 0;
    open_block(drive);
    if (state->asked)
        ata_raise_intrq(drive);
    state->asked = true;
}

void ata_start_data_out(struct ata_drive *drive, uint32_t sectors)
{
    drive->mem = drive->board->data;
    drive->state.sectors = drive->state.chunk = sectors;
    begin_out(drive);
}

/* What load brought back has no request yet; all of it goes into one. */
static bool adopt_restored(struct ata_drive *drive)
{
    if (!drive->mem)
        return true;
    if (!ata_get(drive, BLK_WRITE, drive->state.chunk))
        return false;
    blk_copy_in(drive->req, 0, drive->mem, chunk_bytes(drive));
    drive->mem = NULL;
    return true;
}

void ata_pio_step(struct ata_drive *drive)
{
    switch (drive->state.phase) {
    case ATA_FETCH:
        if (ata_get(drive, BLK_READ, next_chunk(drive)))
            ata_submit(drive);
        break;
    case ATA_ROOM:
        if (ata_get(drive, BLK_WRITE, next_chunk(drive)))
            begin_out(drive);
        break;
    case ATA_STORE:
        if (adopt_restored(drive))
            ata_submit(drive);
        break;
    }
}

void ata_pio_stored(struct ata_drive *drive)
{
    ata_advance(drive, drive->state.chunk);
    ata_drop(drive);
    if (!drive->state.sectors) {
        ata_written(drive);
        return;
    }
    drive->state.phase = ATA_ROOM;
    ata_step(drive);
}

void ata_pio_copy_out(const struct ata_drive *drive, uint32_t pos, void *buf, uint32_t len)
{
    if (drive->mem)
        memcpy(buf, drive->mem + pos, len);
    else if (drive->state.packet.transfer)
        atapi_copy_out(drive, pos, buf, len);
    else
        blk_copy_out(drive->req, pos, buf, len);
}

static void chunk_read(struct ata_drive *drive)
{
    ata_advance(drive, drive->state.chunk);
    if (!drive->state.sectors) {
        ata_complete_quietly(drive);
        return;
    }
    if (drive->failing) {
        ata_fail_at(drive, drive->failing, drive->failing_lba);
        ata_log_error(drive);
        return;
    }
    ata_drop(drive);
    drive->state.phase = ATA_FETCH;
    ata_step(drive);
}

uint32_t ata_data_in(struct ata_drive *drive, void *buf, uint32_t len)
{
    struct ata_state *state = &drive->state;

    if (state->phase != ATA_PIO_IN)
        return 0;
    uint32_t n = len < state->block_left ? len : state->block_left;
    if (state->packet.transfer)
        atapi_block_begun(drive);
    ata_pio_copy_out(drive, state->pos, buf, n);
    state->pos += n;
    state->block_left -= n;
    if (state->block_left)
        return n;
    if (state->packet.transfer) {
        atapi_block_read(drive);
        return n;
    }

    uint32_t block = ata_block_sectors(drive);
    uint32_t done = state->pos / ATA_SECTOR % block;
    drive->config.counters->pio_sectors += done ? done : block;
    if (state->pos == chunk_bytes(drive)) {
        chunk_read(drive);
    } else {
        open_block(drive);
        ata_raise_intrq(drive);
    }
    return n;
}

uint32_t ata_data_out(struct ata_drive *drive, const void *buf, uint32_t len)
{
    struct ata_state *state = &drive->state;

    if (state->phase != ATA_PIO_OUT && state->phase != ATA_PACKET)
        return 0;
    uint32_t n = len < state->block_left ? len : state->block_left;
    if (drive->mem)
        memcpy(drive->mem + state->pos, buf, n);
    else
        blk_copy_in(drive->req, state->pos, buf, n);
    state->pos += n;
    state->block_left -= n;
    if (state->block_left)
        return n;
    if (drive->config.cdrom) {
        atapi_block_written(drive);
        return n;
    }

    uint32_t block = ata_block_sectors(drive);
    uint32_t done = state->pos / ATA_SECTOR % block;
    drive->config.counters->pio_sectors += done ? done : block;
    if (state->pos == chunk_bytes(drive) && (ata_flags(drive) & ATA_CF_DATA)) {
        ata_command_of(drive, state->opcode)->taken(drive);
    } else if (state->pos == chunk_bytes(drive)) {
        state->phase = ATA_STORE;
        ata_step(drive);
    } else {
        open_block(drive);
        ata_raise_intrq(drive);
    }
    return n;
}

/* Up to the block's end: there the interrupt, the next block or the disk come in. */
uint32_t ata_window(const struct ata_drive *drive, bool *ret_write, void *buf, uint32_t room)
{
    const struct ata_state *state = &drive->state;

    if (state->phase != ATA_PIO_IN && state->phase != ATA_PIO_OUT)
        return 0;
    *ret_write = state->phase == ATA_PIO_OUT;
    if (!*ret_write)
        ata_pio_copy_out(drive, state->pos, buf,
                         room < state->block_left ? room : state->block_left);
    return state->block_left;
}
