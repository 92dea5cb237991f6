/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA transfers (ATA-6 9.7), a chunk at a time: memory is planned, the request has just that size,
 * and only what was planned is touched. The drive waits in phase DMA, with BSY, for the bus master,
 * for pages and for the disk.
 *
 * Where the memory ends within a sector: a read delivers the part that fits; a write leaves the
 * sector alone. Either way the drive then waits with that sector still to be done, as a real one
 * would with DMARQ raised (SFF-8038i, the status with Active and Interrupt both clear).
 */
#include "devices/ide/atapi_internal.h"

void ata_start_dma(struct ata_drive *drive)
{
    drive->state.phase = ATA_DMA;
    ata_step(drive);
}

void ata_start_data_dma(struct ata_drive *drive, uint32_t sectors)
{
    drive->state.sectors = drive->state.chunk = sectors;
    ata_start_dma(drive);
}

/* The drive's own data, by bytes. Each round moves a sector, or all that the memory has, so there
 * are few. */
static void data_step(struct ata_drive *drive)
{
    const struct ata_link_ops *link = drive->config.link;
    void *ctx = drive->config.link_ctx;
    bool out = ata_flags(drive) & ATA_CF_OUT;
    struct ata_state *state = &drive->state;

    while (state->pos < state->chunk * ATA_SECTOR) {
        bool end;
        uint32_t have = link->dma_plan(ctx, drive, state->chunk * ATA_SECTOR - state->pos, &end);
        const struct iovec iov = {.iov_base = drive->board->data + state->pos, .iov_len = have};
        if (!have)
            return;
        if (out ? link->dma_gather(ctx, &iov, 1, have) : link->dma_scatter(ctx, &iov, 1, have)) {
            ata_dma_failed(drive);
            return;
        }
        link->dma_advance(ctx, have);
        drive->config.counters->dma_bytes += have;
        state->pos += have;
    }
    if (out)
        ata_command_of(drive, state->opcode)->taken(drive);
    else
        ata_complete(drive);
}

void ata_dma_step(struct ata_drive *drive)
{
    if (ata_flags(drive) & ATA_CF_DATA) {
        data_step(drive);
        return;
    }
    const struct ata_link_ops *link = drive->config.link;
    void *ctx = drive->config.link_ctx;
    bool write = ata_flags(drive) & ATA_CF_WRITE;
    uint32_t want = drive->state.sectors < ATA_CHUNK_MAX ? drive->state.sectors : ATA_CHUNK_MAX;
    bool end;

    want *= ATA_SECTOR;
    uint32_t have = link->dma_plan(ctx, drive, want, &end);
    if (!have)
        return;

    uint32_t sectors = have / ATA_SECTOR;
    if (!write && end && have % ATA_SECTOR)
        sectors++;
    if (!sectors) {
        link->dma_advance(ctx, have);
        return;
    }
    uint32_t bytes = have < sectors * ATA_SECTOR ? have : sectors * ATA_SECTOR;
    if (!blk_idle(drive->config.blk) || !ata_get(drive, write ? BLK_WRITE : BLK_READ, sectors))
        return;
    drive->dma_bytes = bytes;
    if (write) {
        unsigned n_iov;
        const struct iovec *iov = blk_iov(drive->req, &n_iov);
        if (link->dma_gather(ctx, iov, n_iov, bytes)) {
            ata_dma_failed(drive);
            return;
        }
    }
    ata_submit(drive);
}

bool ata_dma_moved(struct ata_drive *drive, uint32_t bytes)
{
    const struct ata_link_ops *link = drive->config.link;
    void *ctx = drive->config.link_ctx;

    bytes = bytes < drive->dma_bytes ? bytes : drive->dma_bytes;
    if (!(ata_flags(drive) & ATA_CF_WRITE)) {
        unsigned n_iov;
        const struct iovec *iov = blk_iov(drive->req, &n_iov);
        if (link->dma_scatter(ctx, iov, n_iov, bytes)) {
            ata_dma_failed(drive);
            return false;
        }
    }
    link->dma_advance(ctx, bytes);
    drive->config.counters->dma_bytes += bytes;
    ata_advance(drive, bytes / ATA_SECTOR);
    ata_drop(drive);
    return true;
}

void ata_dma_done(struct ata_drive *drive)
{
    if (!ata_dma_moved(drive, drive->dma_bytes))
        return;
    if (drive->state.sectors)
        ata_step(drive);
    else if (ata_flags(drive) & ATA_CF_WRITE)
        ata_written(drive);
    else
        ata_complete(drive);
}

void ata_dma_failed(struct ata_drive *drive)
{
    if (drive->config.cdrom) {
        atapi_dma_failed(drive);
        return;
    }
    ata_fail_at(drive, ATA_ER_ABRT, drive->state.lba);
    ata_log_error(drive);
}

void ata_dma_stop(struct ata_drive *drive)
{
    if (drive->state.phase == ATA_DMA)
        ata_drop(drive);
}
