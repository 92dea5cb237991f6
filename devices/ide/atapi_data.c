/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data phase of a packet command, by PIO and by DMA (ATA-6 9.8). */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "devices/ide/atapi_internal.h"

#define CHUNK_MAX (BLK_MAX_BYTES / ATAPI_BLOCK) /* blocks a request */
/* PIO's are shorter, for ATA_PIO_CHUNK_MAX's reason. A DRQ block lies in one. */
#define PIO_CHUNK_MAX (BLK_HELD_BYTES / ATAPI_BLOCK)

/* How far the data phase is. */

static void range(const struct ata_drive *drive, uint32_t *ret_first, uint32_t *ret_end)
{
    bool contiguous = atapi_fields_range(drive->state.packet.fields, ret_first, ret_end);
    assert(contiguous);
}

/* Bytes that a block has for the host. */
static uint32_t unit(const struct ata_drive *drive)
{
    uint32_t first, end;

    range(drive, &first, &end);
    return end - first;
}

static uint64_t bytes_left(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;

    if (state->packet.transfer == ATAPI_MEDIUM)
        return (uint64_t)state->sectors * unit(drive) - state->pos;
    return state->packet.length - state->pos;
}

/* The position moves on to the block that it lies in. */
static void settle_position(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;
    uint32_t bytes = unit(drive);

    ata_advance(drive, state->pos / bytes);
    state->pos %= bytes;
}

static void medium_error(struct ata_drive *drive)
{
    uint32_t lba = (uint32_t)drive->state.lba;

    atapi_check(drive, ATAPI_MEDIUM_ERROR, ATAPI_UNRECOVERED_READ);
    drive->state.packet.info_valid = true;
    drive->state.packet.info = lba;
}

/* A request for what lies between the position and `bytes` behind it. */
static bool get(struct ata_drive *drive, uint32_t blocks)
{
    struct ata_state *state = &drive->state;
    int err = blk_get(drive->config.blk, BLK_READ, state->lba * (ATAPI_BLOCK / ATA_SECTOR),
                      blocks * ATAPI_BLOCK, drive->generation, &drive->req);

    if (err == -EAGAIN)
        return false;
    if (err) { /* the image is not what it was */
        medium_error(drive);
        return false;
    }
    state->chunk = blocks;
    return true;
}

/* PIO. */

/* Bytes of the next DRQ block. An odd limit is rounded down, so that only the last block can be odd
 * (ATA-6, PACKET). The limit is the host's most, not what it must get: one of the medium has no
 * more than the blocks that a guest may keep, from wherever in the first of them it begins. */
static uint32_t next_block(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    uint64_t left = bytes_left(drive);
    uint32_t n = state->packet.limit;

    if (state->packet.transfer == ATAPI_MEDIUM) {
        uint32_t blocks = state->packet.careful ? 1 : PIO_CHUNK_MAX;
        uint32_t most = blocks * unit(drive) - state->pos % unit(drive);
        most = most < BLK_HELD_BYTES ? most : BLK_HELD_BYTES;
        n = n < most ? n : most;
    }
    return left <= n ? (uint32_t)left : n & ~1u;
}

static void open_block(struct ata_drive *drive, uint32_t bytes, enum ata_phase phase)
{
    struct ata_state *state = &drive->state;

    state->phase = phase;
    state->block_left = bytes;
    state->reg[ATA_REG_LBA_MID] = (uint8_t)bytes;
    state->reg[ATA_REG_LBA_HIGH] = (uint8_t)(bytes >> 8);
    atapi_set_reason(drive, phase == ATA_PIO_IN ? ATAPI_IO : 0);
    ata_raise_intrq(drive);
}

static void next_pio_in(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    if (!bytes_left(drive)) {
        atapi_complete(drive);
        return;
    }
    uint32_t bytes = next_block(drive);
    bool there = state->packet.transfer == ATAPI_REPLY;
    if (!there && drive->req)
        there = (uint64_t)state->chunk * unit(drive) >= state->pos + bytes;
    if (there) {
        open_block(drive, bytes, ATA_PIO_IN);
        return;
    }
    ata_drop(drive);
    state->chunk = 0;
    settle_position(drive);
    state->phase = ATA_FETCH;
    ata_step(drive);
}

static void pio_fetch(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;
    uint32_t bytes = unit(drive);
    uint32_t blocks = (state->pos + next_block(drive) + bytes - 1) / bytes;
    uint32_t ahead = state->packet.careful ? 1 : PIO_CHUNK_MAX;

    blocks = blocks < ahead ? ahead : blocks;
    if (get(drive, blocks < state->sectors ? blocks : state->sectors))
        ata_submit(drive);
}

/* Keeps what stands around the user data of the block at `pos`, which costs more than to copy it:
 * a host may come for two bytes at a time. `reply` is free while the medium is read. */
static void keep_frame(struct ata_drive *drive)
{
    uint32_t block = drive->state.pos / unit(drive);
    uint8_t user[ATAPI_BLOCK];

    if (drive->state.packet.fields == ATAPI_FIELD_USER || drive->restored ||
        drive->frame_lba == drive->state.lba + block)
        return;
    blk_copy_out(drive->req, block * ATAPI_BLOCK, user, sizeof(user));
    drive->frame_lba = drive->state.lba + block;
    atapi_frame((uint32_t)drive->frame_lba, user, drive->board->reply);
}

/* [at, at + len) of the sector that is block `block` of the chunk. */
static void sector_copy(const struct ata_drive *drive, uint32_t block, uint32_t at, uint8_t *buf,
                        uint32_t len)
{
    uint8_t user[ATAPI_BLOCK], other[ATAPI_FRAME];
    const uint8_t *frame = drive->board->reply;

    blk_copy_out(drive->req, block * ATAPI_BLOCK, user, sizeof(user));
    if (drive->frame_lba != drive->state.lba + block) {
        atapi_frame((uint32_t)drive->state.lba + block, user, other);
        frame = other;
    }
    for (uint32_t i = at; i < at + len; i++)
        *buf++ = i < ATAPI_SECTOR_USER                 ? frame[i]
                 : i < ATAPI_SECTOR_USER + ATAPI_BLOCK ? user[i - ATAPI_SECTOR_USER]
                                                       : frame[i - ATAPI_BLOCK];
}

void atapi_copy_out(const struct ata_drive *drive, uint32_t pos, void *buf, uint32_t len)
{
    uint8_t *to = buf;
    uint32_t first, end;

    if (drive->state.packet.transfer == ATAPI_REPLY) {
        uint32_t stored = pos < ATAPI_REPLY_MAX ? ATAPI_REPLY_MAX - pos : 0;
        stored = stored < len ? stored : len;
        memcpy(to, drive->board->reply + pos, stored);
        memset(to + stored, 0, len - stored);
        return;
    }
    if (drive->state.packet.fields == ATAPI_FIELD_USER) {
        blk_copy_out(drive->req, pos, buf, len);
        return;
    }
    range(drive, &first, &end);
    while (len) {
        uint32_t offset = pos % (end - first), n = end - first - offset;
        n = n < len ? n : len;
        sector_copy(drive, pos / (end - first), first + offset, to, n);
        pos += n;
        to += n;
        len -= n;
    }
}

void atapi_block_begun(struct ata_drive *drive)
{
    if (drive->state.packet.transfer == ATAPI_MEDIUM)
        keep_frame(drive);
}

void atapi_block_read(struct ata_drive *drive)
{
    next_pio_in(drive);
}

void atapi_list_written(struct ata_drive *drive)
{
    if (bytes_left(drive)) {
        open_block(drive, next_block(drive), ATA_PIO_OUT);
    } else {
        drive->mem = NULL;
        atapi_parameters(drive);
    }
}

/* DMA: ata_dma.c says what happens where the memory ends; here a block may be left and resumed at
 * any even byte. */

static const uint8_t zeroes[ATAPI_BLOCK];

static void dma_moved(struct ata_drive *drive, uint32_t bytes)
{
    drive->config.link->dma_advance(drive->config.link_ctx, bytes);
    drive->config.counters->dma_bytes += bytes;
    drive->state.pos += bytes;
}

void atapi_dma_failed(struct ata_drive *drive)
{
    atapi_check(drive, ATAPI_ABORTED_COMMAND, ATAPI_COMMUNICATION_FAILURE);
}

/* Odd ones get a byte of padding (ATA-6 9.8: DMA moves words). */
static uint32_t padded(uint64_t bytes)
{
    return (uint32_t)(bytes + 1) & ~1u;
}

/* Replies and parameter lists are in `reply`: moved at once. */
static void dma_reply(struct ata_drive *drive)
{
    const struct ata_link_ops *link = drive->config.link;
    void *ctx = drive->config.link_ctx;
    struct ata_state *state = &drive->state;
    bool in = state->packet.transfer == ATAPI_REPLY;

    while (state->pos < state->packet.length) {
        bool end;
        uint32_t have = link->dma_plan(ctx, drive, padded(bytes_left(drive)), &end);
        uint32_t stored = state->pos < ATAPI_REPLY_MAX ? ATAPI_REPLY_MAX - state->pos : 0;
        if (!have)
            return;
        stored = stored < have ? stored : have;
        const struct iovec iov[] = {
            {drive->board->reply + (stored ? state->pos : 0), stored},
            {(void *)(uintptr_t)zeroes, sizeof(zeroes)},
        };
        if (in ? link->dma_scatter(ctx, iov + !stored, stored ? 2 : 1, have)
               : link->dma_gather(ctx, iov, 1, have)) {
            ata_dma_failed(drive);
            return;
        }
        dma_moved(drive, have);
    }
    if (in)
        atapi_complete(drive);
    else
        atapi_parameters(drive);
}

static void dma_medium(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;
    uint32_t bytes = unit(drive);
    bool plain = state->packet.fields == ATAPI_FIELD_USER, end;
    uint32_t most = (plain && !state->packet.careful ? CHUNK_MAX : 1) * bytes - state->pos;
    uint64_t left = bytes_left(drive);
    uint32_t have = drive->config.link->dma_plan(drive->config.link_ctx, drive,
                                                 left < most ? (uint32_t)left : most, &end);

    if (!have || !get(drive, (state->pos + have + bytes - 1) / bytes))
        return;
    drive->dma_bytes = have;
    ata_submit(drive);
}

/* `have` bytes of the request from `skip` on. */
static int scatter_plain(struct ata_drive *drive, uint32_t skip, uint32_t have)
{
    struct iovec iov[BLK_MAX_BYTES / ATAPI_BLOCK];
    unsigned n, used = 0;
    const struct iovec *from = blk_iov(drive->req, &n);

    for (unsigned i = 0; i < n && used < sizeof(iov) / sizeof(iov[0]); i++) {
        uint32_t len = (uint32_t)from[i].iov_len;
        if (skip >= len) {
            skip -= len;
            continue;
        }
        iov[used++] = (struct iovec){(uint8_t *)from[i].iov_base + skip, len - skip};
        skip = 0;
    }
    return drive->config.link->dma_scatter(drive->config.link_ctx, iov, used, have);
}

static int scatter_sector(struct ata_drive *drive, uint32_t have)
{
    uint8_t sector[ATAPI_SECTOR];
    uint32_t first, end;

    range(drive, &first, &end);
    sector_copy(drive, 0, first + drive->state.pos, sector, have);
    const struct iovec iov = {sector, sizeof(sector)};
    return drive->config.link->dma_scatter(drive->config.link_ctx, &iov, 1, have);
}

static void dma_done(struct ata_drive *drive)
{
    int err = drive->state.packet.fields == ATAPI_FIELD_USER
                  ? scatter_plain(drive, drive->state.pos, drive->dma_bytes)
                  : scatter_sector(drive, drive->dma_bytes);

    if (err) {
        ata_dma_failed(drive);
        return;
    }
    dma_moved(drive, drive->dma_bytes);
    ata_drop(drive);
    settle_position(drive);
    if (drive->state.sectors)
        ata_step(drive);
    else
        atapi_complete(drive);
}

/* Starting the data phase. */

/* A limit that nothing fits in (ATA-6, PACKET, IDENTIFY PACKET DEVICE word 125) ends the command
 * before any data. */
static bool limit_is_useless(const struct ata_drive *drive)
{
    return !drive->state.packet.dma && !next_block(drive);
}

static void start_data(struct ata_drive *drive, enum atapi_transfer transfer)
{
    struct ata_state *state = &drive->state;

    state->packet.transfer = transfer;
    state->pos = 0;
    if (!bytes_left(drive)) {
        atapi_complete(drive);
    } else if (limit_is_useless(drive)) {
        atapi_set_reason(drive, ATAPI_IO | ATAPI_CD);
        ata_fail(drive, ATA_ER_ABRT);
    } else if (state->packet.dma) {
        state->phase = ATA_DMA;
        ata_step(drive);
    } else if (transfer == ATAPI_PARAMETERS) {
        drive->mem = drive->board->reply;
        open_block(drive, next_block(drive), ATA_PIO_OUT);
    } else {
        next_pio_in(drive);
    }
}

void atapi_reply(struct ata_drive *drive, uint32_t length, uint32_t allocated)
{
    drive->state.packet.length = length < allocated ? length : allocated;
    start_data(drive, ATAPI_REPLY);
}

void atapi_get_parameters(struct ata_drive *drive, uint32_t length)
{
    assert(length <= ATAPI_REPLY_MAX);
    drive->state.packet.length = length;
    start_data(drive, ATAPI_PARAMETERS);
}

void atapi_read_medium(struct ata_drive *drive, uint32_t lba, uint32_t count, uint8_t fields)
{
    drive->state.lba = lba;
    drive->state.sectors = count;
    drive->state.packet.fields = fields;
    drive->frame_lba = UINT64_MAX;
    start_data(drive, ATAPI_MEDIUM);
}

/* What the taskfile's phases call for. */

void atapi_step(struct ata_drive *drive)
{
    switch ((enum ata_phase)drive->state.phase) {
    case ATA_FETCH:
        pio_fetch(drive);
        break;
    case ATA_DMA:
        if (drive->state.packet.transfer == ATAPI_MEDIUM)
            dma_medium(drive);
        else
            dma_reply(drive);
        break;
    case ATA_FLUSH: /* nothing was written */
        ata_complete(drive);
        break;
    default:
        break;
    }
}

void atapi_done(struct ata_drive *drive, int error)
{
    struct ata_state *state = &drive->state;

    if (error && state->chunk > 1) { /* which one was it? */
        state->packet.careful = true;
        ata_drop(drive);
        ata_step(drive);
    } else if (error) {
        medium_error(drive);
    } else if (state->phase == ATA_FETCH) {
        next_pio_in(drive);
    } else {
        dma_done(drive);
    }
}
