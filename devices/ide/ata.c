/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drive's register file, phases, requests and resets. The picture is in ata.h. */
#include "devices/ide/ata.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/ide/ata_internal.h"
#include "devices/ide/atapi_internal.h"

/* What each phase shows. BSY and DRQ exclude each other (ATA-6 9). */
static const uint8_t phase_status[ATA_PHASES] = {
    [ATA_IDLE] = ATA_SR_DRDY | ATA_SR_DSC,
    [ATA_RESET] = ATA_SR_BSY,
    [ATA_FETCH] = ATA_SR_BSY,
    [ATA_PIO_IN] = ATA_SR_DRDY | ATA_SR_DSC | ATA_SR_DRQ,
    [ATA_ROOM] = ATA_SR_BSY,
    [ATA_PIO_OUT] = ATA_SR_DRDY | ATA_SR_DSC | ATA_SR_DRQ,
    [ATA_STORE] = ATA_SR_BSY,
    [ATA_DMA] = ATA_SR_BSY,
    [ATA_VERIFY] = ATA_SR_BSY,
    [ATA_FLUSH] = ATA_SR_BSY,
    [ATA_TRIM] = ATA_SR_BSY,
    [ATA_PACKET] = ATA_SR_DRDY | ATA_SR_DSC | ATA_SR_DRQ,
};

uint8_t ata_status(const struct ata_drive *drive)
{
    uint8_t status = phase_status[drive->state.phase];

    if (drive->state.failed && !(status & ATA_SR_BSY))
        status |= ATA_SR_ERR;
    if (drive->config.cdrom && !drive->state.packet.ready)
        status &= ATA_SR_BSY;
    return status;
}

static bool busy(const struct ata_drive *drive)
{
    return drive->state.phase != ATA_IDLE;
}

uint8_t ata_read(const struct ata_drive *drive, enum ata_reg reg, bool hob)
{
    const struct ata_state *state = &drive->state;

    switch (reg) {
    case ATA_REG_ERROR:
        return state->error;
    case ATA_REG_DEVICE:
        return state->device | ATA_DEVICE_OBSOLETE;
    case ATA_REG_STATUS:
        return ata_status(drive);
    default:
        return hob ? state->previous[reg] : state->reg[reg];
    }
}

void ata_write(struct ata_drive *drive, enum ata_reg reg, uint8_t value)
{
    struct ata_state *state = &drive->state;

    if (busy(drive))
        return;
    if (reg == ATA_REG_DEVICE) {
        state->device = value;
        return;
    }
    state->previous[reg] = state->reg[reg];
    state->reg[reg] = value;
}

static void set_intrq(struct ata_drive *drive, bool pending)
{
    if (drive->state.intrq == pending)
        return;
    drive->state.intrq = pending;
    drive->config.link->intrq(drive->config.link_ctx);
}

void ata_raise_intrq(struct ata_drive *drive)
{
    set_intrq(drive, true);
}

void ata_clear_intrq(struct ata_drive *drive)
{
    set_intrq(drive, false);
}

/* The ends of a command. */

void ata_drop(struct ata_drive *drive)
{
    struct blk_req *req = drive->req;
    bool in_flight = drive->in_flight;

    drive->req = NULL;
    drive->in_flight = false;
    drive->mem = NULL;
    free(drive->restored);
    drive->restored = NULL;
    if (!req)
        return;
    if (in_flight)
        blk_cancel(req);
    else
        blk_put(req);
}

void ata_complete_quietly(struct ata_drive *drive)
{
    drive->state.phase = ATA_IDLE;
    drive->failing = 0;
    drive->state.packet.transfer = ATAPI_NO_DATA;
    ata_drop(drive);
    drive->config.link->dma_release(drive->config.link_ctx, drive);
}

void ata_complete(struct ata_drive *drive)
{
    ata_complete_quietly(drive);
    ata_raise_intrq(drive);
}

void ata_fail(struct ata_drive *drive, uint8_t error)
{
    drive->state.error = error;
    drive->state.failed = true;
    drive->config.counters->errors++;
    ata_complete(drive);
}

/* The read and write commands' error outputs (ATA-6 8): the address of the first unrecoverable
 * error, in the command's own way of addressing. */
void ata_fail_at(struct ata_drive *drive, uint8_t error, uint64_t lba)
{
    struct ata_state *state = &drive->state;

    if (!(ata_flags(drive) & ATA_CF_EXT) && !(state->device & ATA_DEVICE_LBA)) {
        uint32_t track = (uint32_t)(lba / state->track_sectors);
        uint32_t cylinder = track / state->heads;
        state->reg[ATA_REG_LBA_LOW] = (uint8_t)(lba % state->track_sectors + 1);
        state->reg[ATA_REG_LBA_MID] = (uint8_t)cylinder;
        state->reg[ATA_REG_LBA_HIGH] = (uint8_t)(cylinder >> 8);
        state->device = (uint8_t)((state->device & ~ATA_DEVICE_HEAD) | track % state->heads);
    } else {
        state->reg[ATA_REG_LBA_LOW] = (uint8_t)lba;
        state->reg[ATA_REG_LBA_MID] = (uint8_t)(lba >> 8);
        state->reg[ATA_REG_LBA_HIGH] = (uint8_t)(lba >> 16);
        if (ata_flags(drive) & ATA_CF_EXT) {
            state->previous[ATA_REG_LBA_LOW] = (uint8_t)(lba >> 24);
            state->previous[ATA_REG_LBA_MID] = (uint8_t)(lba >> 32);
            state->previous[ATA_REG_LBA_HIGH] = (uint8_t)(lba >> 40);
        } else {
            uint8_t top = (uint8_t)(lba >> 24) & ATA_DEVICE_HEAD;
            state->device = (uint8_t)((state->device & ~ATA_DEVICE_HEAD) | top);
        }
    }
    ata_fail(drive, error);
}

void ata_advance(struct ata_drive *drive, uint32_t sectors)
{
    assert(sectors <= drive->state.sectors);
    drive->state.lba += sectors;
    drive->state.sectors -= sectors;
}

void ata_written(struct ata_drive *drive)
{
    if (drive->state.write_cache || !drive->info.write_cache || (ata_flags(drive) & ATA_CF_FUA)) {
        ata_complete(drive);
        return;
    }
    drive->state.phase = ATA_FLUSH;
    ata_step(drive);
}

/* Requests. */

bool ata_get(struct ata_drive *drive, enum blk_op op, uint32_t sectors)
{
    int err = blk_get(drive->config.blk, op, op == BLK_FLUSH ? 0 : drive->state.lba,
                      sectors * ATA_SECTOR, drive->generation, &drive->req);
    if (err == -EAGAIN)
        return false;
    if (err) { /* the disk is not what it was */
        ata_fail_at(drive, err == -ERANGE ? ATA_ER_IDNF : ATA_ER_ABRT, drive->state.lba);
        return false;
    }
    if (op == BLK_WRITE && (ata_flags(drive) & ATA_CF_FUA))
        blk_set_fua(drive->req);
    drive->state.chunk = sectors;
    return true;
}

void ata_submit(struct ata_drive *drive)
{
    drive->in_flight = true;
    blk_submit(drive->req);
}

static uint32_t next_chunk(const struct ata_drive *drive)
{
    return drive->state.sectors < ATA_CHUNK_MAX ? drive->state.sectors : ATA_CHUNK_MAX;
}

void ata_step(struct ata_drive *drive)
{
    if (drive->in_flight || (drive->config.blk && blk_stopped(drive->config.blk)))
        return;
    if (drive->leaving) {
        ata_leave_step(drive);
        return;
    }
    if (drive->held || !drive->present)
        return;

    switch ((enum ata_phase)drive->state.phase) {
    case ATA_IDLE:
    case ATA_RESET:
    case ATA_PIO_IN:
    case ATA_PIO_OUT:
    case ATA_PACKET:
        return;
    case ATA_DMA:
        if (drive->config.cdrom)
            break;
        ata_dma_step(drive);
        return;
    default:
        break;
    }
    if (drive->config.cdrom) {
        atapi_step(drive);
        return;
    }

    /* A write that a reset has cancelled may still be on its way: nothing overtakes it. */
    if (!blk_idle(drive->config.blk))
        return;
    switch ((enum ata_phase)drive->state.phase) {
    case ATA_VERIFY:
        if (ata_get(drive, BLK_READ, next_chunk(drive)))
            ata_submit(drive);
        break;
    case ATA_FLUSH:
        if (ata_get(drive, BLK_FLUSH, 0))
            ata_submit(drive);
        break;
    case ATA_TRIM:
        ata_trim_step(drive);
        break;
    default:
        ata_pio_step(drive);
    }
}

static void log_error(const struct ata_drive *drive, const struct blk_req *req, int error)
{
    uint64_t sector = blk_req_sector(req) + blk_req_good(req) / ATA_SECTOR;

    host_log(drive->config.host, HOST_LOG_WARN, drive->config.controller,
             "event=disk-error unit=%u op=%s sector=%llu request=%llu+%u error=%d",
             drive->config.unit, blk_op_name(blk_req_op(req)), (unsigned long long)sector,
             (unsigned long long)blk_req_sector(req), blk_req_bytes(req) / ATA_SECTOR, -error);
}

/* Bits of the Error register. UNC speaks of the medium; ATA-6 8 has no such bit for writes. Linux
 * says ENODATA for a bad medium and EILSEQ for bad protection data. */
static uint8_t error_bits(enum blk_op op, int error)
{
    bool medium = error == -EIO || error == -ENODATA || error == -EILSEQ;

    return op == BLK_READ && medium ? ATA_ER_UNC : ATA_ER_ABRT;
}

/* What could be moved is, so that the command stands before the bad sector; then either it ends
 * there, or the guest is stopped and it is tried again from there. */
static void disk_failed(struct ata_drive *drive, const struct blk_req *req, int error)
{
    enum blk_op op = blk_req_op(req);
    uint32_t good = blk_req_good(req);
    uint64_t sector = blk_req_sector(req) + good / ATA_SECTOR;
    uint8_t bits = error_bits(op, error);

    if (drive->state.phase == ATA_DMA && !ata_dma_moved(drive, good))
        return;
    if (drive->state.phase == ATA_VERIFY)
        ata_advance(drive, good / ATA_SECTOR);
    if (blk_stops(drive->config.blk, op, sector, error)) {
        if (drive->state.phase != ATA_STORE) /* whose pages have the only copy of the data */
            ata_drop(drive);
        return;
    }
    if (op == BLK_FLUSH || op == BLK_DISCARD)
        ata_fail(drive, bits);
    else if (drive->state.phase == ATA_FETCH && ata_pio_fetched_some(drive, good, bits))
        return; /* it ends there later */
    else
        ata_fail_at(drive, bits, sector);
    ata_log_error(drive);
}

static void count(struct ata_drive *drive, const struct blk_req *req)
{
    struct ata_smart_state *smart = &drive->board->smart.state;

    if (blk_req_op(req) == BLK_READ)
        smart->read_sectors += blk_req_bytes(req) / ATA_SECTOR;
    else if (blk_req_op(req) == BLK_WRITE)
        smart->written_sectors += blk_req_bytes(req) / ATA_SECTOR;
}

static void verified(struct ata_drive *drive)
{
    ata_advance(drive, drive->state.chunk);
    ata_drop(drive);
    if (drive->state.sectors)
        ata_step(drive);
    else
        ata_complete(drive);
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct ata_drive *drive = owner;

    if (req == drive->board->smart.req) {
        ata_smart_read(drive, error);
        return;
    }
    assert(drive->in_flight && req == drive->req && blk_req_token(req) == drive->generation);
    drive->in_flight = false;
    if (error)
        log_error(drive, req, error);
    if (drive->unplug_flush) {
        ata_unplug_flushed(drive, error);
        return;
    }
    if (drive->config.cdrom) {
        atapi_done(drive, error);
        return;
    }
    if (error) {
        disk_failed(drive, req, error);
        return;
    }

    count(drive, req);
    switch ((enum ata_phase)drive->state.phase) {
    case ATA_FETCH:
        ata_pio_fetched(drive);
        break;
    case ATA_STORE:
        ata_pio_stored(drive);
        break;
    case ATA_DMA:
        ata_dma_done(drive);
        break;
    case ATA_VERIFY:
        verified(drive);
        break;
    case ATA_FLUSH:
        ata_complete(drive);
        break;
    case ATA_TRIM:
        ata_trim_done(drive);
        break;
    default:
        assert(!"a request completed in a phase that has none");
    }
}

static void on_ready(void *owner)
{
    ata_step(owner);
}

static const struct blk_client_ops client_ops = {
    .done = on_done,
    .ready = on_ready,
};

/* Commands. */

/* CHS to LBA (ATA-5, "sector addressing"); false: no such sector under the present translation. */
static bool decode_chs(const struct ata_state *state, uint64_t *ret_lba)
{
    uint32_t cylinder = (uint32_t)state->reg[ATA_REG_LBA_HIGH] << 8 | state->reg[ATA_REG_LBA_MID];
    uint32_t head = state->device & ATA_DEVICE_HEAD;
    uint32_t sector = state->reg[ATA_REG_LBA_LOW];

    if (!sector || sector > state->track_sectors || head >= state->heads)
        return false;
    *ret_lba = ((uint64_t)cylinder * state->heads + head) * state->track_sectors + sector - 1;
    return true;
}

/* Address and count into state.lba and state.sectors. A count of 0 stands for the largest. */
static bool decode_address(struct ata_drive *drive, unsigned flags)
{
    struct ata_state *state = &drive->state;
    const uint8_t *reg = state->reg, *previous = state->previous;
    uint64_t lba = (uint64_t)reg[ATA_REG_LBA_HIGH] << 16 | (uint64_t)reg[ATA_REG_LBA_MID] << 8 |
                   reg[ATA_REG_LBA_LOW];
    uint32_t count = reg[ATA_REG_COUNT] ? reg[ATA_REG_COUNT] : 256;

    if (flags & ATA_CF_EXT) {
        lba |= (uint64_t)previous[ATA_REG_LBA_HIGH] << 40 |
               (uint64_t)previous[ATA_REG_LBA_MID] << 32 |
               (uint64_t)previous[ATA_REG_LBA_LOW] << 24;
        count = (uint32_t)previous[ATA_REG_COUNT] << 8 | reg[ATA_REG_COUNT];
        count = count ? count : 65536;
    } else if (state->device & ATA_DEVICE_LBA) {
        lba |= (uint64_t)(state->device & ATA_DEVICE_HEAD) << 24;
    } else if (!decode_chs(state, &lba)) {
        ata_fail(drive, ATA_ER_IDNF);
        return false;
    }
    if (flags & ATA_CF_NO_COUNT)
        count = 1;

    uint64_t total = drive->info.sectors;
    if (lba >= total || count > total - lba) {
        ata_fail_at(drive, ATA_ER_IDNF, lba >= total ? lba : total);
        return false;
    }
    state->lba = lba;
    state->sectors = count;
    return true;
}

void ata_command(struct ata_drive *drive, uint8_t opcode)
{
    const struct ata_command *command = ata_command_of(drive, opcode);
    struct ata_state *state = &drive->state;

    if (drive->config.cdrom && opcode == ATA_CMD_DEVICE_RESET && state->phase != ATA_RESET) {
        atapi_device_reset(drive);
        return;
    }
    if (busy(drive) || state->power == ATA_POWER_SLEEP)
        return;
    ata_clear_intrq(drive);
    drive->config.counters->commands++;
    drive->generation++;
    state->error = 0;
    state->failed = false;
    state->opcode = opcode;
    state->packet.ready = true;
    state->asked = false;
    state->lba = 0;
    state->sectors = state->chunk = state->pos = state->block_left = 0;
    ata_log_command(drive);

    bool refused = ((command->flags & ATA_CF_MULTIPLE) && !state->multiple) ||
                   ((command->flags & ATA_CF_WRITE) && drive->info.read_only);
    if (!command->start || refused) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    if (command->flags & ATA_CF_ADDRESS) {
        state->power = ATA_POWER_ACTIVE;
        if (!decode_address(drive, command->flags))
            return;
    }
    command->start(drive);
}

/* Resets. */

void ata_defaults(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    state->multiple = ATA_MULTIPLE_MAX;
    state->heads = ATA_DEFAULT_HEADS;
    state->track_sectors = ATA_DEFAULT_TRACK_SECTORS;
    state->transfer_mode = 0;
    state->write_cache = drive->info.write_cache;
    state->look_ahead = true;
}

/* ATA-6 9.12: also how a host tells disks from packet devices, which are not ready then. */
void ata_sign(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    memset(state->reg, 0, sizeof(state->reg));
    memset(state->previous, 0, sizeof(state->previous));
    state->reg[ATA_REG_COUNT] = 1;
    state->reg[ATA_REG_LBA_LOW] = 1;
    if (drive->config.cdrom) {
        state->reg[ATA_REG_LBA_MID] = 0x14;
        state->reg[ATA_REG_LBA_HIGH] = 0xeb;
        state->packet.ready = false;
    }
    state->device = 0;
    state->error = 1;
    state->failed = false;
}

/* A request in flight may still reach the disk, where it was meant to go; it is never issued
 * again, and what comes later waits for it (ata_step). */
void ata_abandon(struct ata_drive *drive)
{
    ata_complete_quietly(drive);
    ata_clear_intrq(drive);
    drive->generation++;
    ata_smart_end_test(drive, ATA_TEST_RESET);
}

void ata_power_on(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    if (!drive->present)
        return;
    bool tray_open = state->packet.tray_open; /* it has no spring */
    ata_abandon(drive);
    memset(state, 0, sizeof(*state));
    state->packet.tray_open = tray_open;
    ata_defaults(drive);
    ata_sign(drive);
    if (drive->config.cdrom)
        atapi_power_on(drive);
}

void ata_soft_reset(struct ata_drive *drive, bool asserted)
{
    struct ata_state *state = &drive->state;

    if (!drive->present)
        return;
    if (asserted) {
        drive->config.counters->resets++;
        ata_abandon(drive);
        state->phase = ATA_RESET;
        return;
    }
    state->phase = ATA_IDLE;
    state->power = ATA_POWER_ACTIVE;
    if (state->revert)
        ata_defaults(drive);
    ata_sign(drive);
}

void ata_diagnostic(struct ata_drive *drive, bool interrupt)
{
    if (!drive->present || drive->state.phase == ATA_RESET || drive->state.power == ATA_POWER_SLEEP)
        return;
    drive->config.counters->commands++;
    ata_abandon(drive);
    drive->state.opcode = ATA_CMD_DIAGNOSTIC;
    ata_sign(drive);
    if (interrupt)
        ata_raise_intrq(drive);
}

void ata_take_blk(struct ata_drive *drive, struct blk *blk)
{
    drive->config.blk = blk;
    drive->info = *blk_info(blk);
    if (drive->config.cdrom) {
        drive->info.read_only = true;
        drive->info.write_cache = false;
    }
    blk_bind(blk, &client_ops, drive);
}
