/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A script of packets, register accesses, transfers, completions, errors, resets, media changes and
 * migrations, read from the input, against a PIIX3 or CMD646 with a disk, a CD-ROM drive with a
 * medium and one without. Invariants, each an assert:
 *  - BSY and DRQ are never set together; a DRQ block is no longer than the byte count limit, and as
 *    long as the byte count registers say when it begins
 *  - the data port gives what the medium has at the packet's address, and nothing behind the block
 *  - memory is written only where a descriptor that was read says so
 *  - media and the disk beside them are never written
 *  - who ends with an error has a sense key, the Error register's; a command that ended is ended
 *  - a DRQ block keeps no more pages than a disk may count on
 *  - the interrupt line is what the selected drive's INTRQ and nIEN make it
 *  - quiesced, the state loads into a new controller and saves as it was
 *  - at the end every request and page has come back
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/ide/atapi_internal.h"
#include "tests/fuzz/dma_watch.h"
#include "tests/fuzz/ide_steps.h"
#include "tests/unit/ide_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS  300
#define CD         2u /* disk number; 3 is a CD-ROM drive, too */
#define DISK_BYTES (64u * 512)

struct target {
    struct ide_rig rig;
    struct dma_watch watch;
    uint8_t disk[DISK_BYTES];
};

static void check_drive(const struct ata_drive *drive)
{
    const struct ata_state *state = &drive->state;
    const struct atapi_state *packet = &state->packet;
    uint8_t status = ata_status(drive);

    ide_check_status(drive);
    assert(!packet->transfer || state->phase != ATA_IDLE);
    assert(state->phase != ATA_PIO_IN || !drive->req ||
           blk_req_bytes(drive->req) <= BLK_HELD_BYTES);
    if (packet->transfer == ATAPI_MEDIUM)
        assert(atapi_has_medium(drive) && state->sectors &&
               state->lba + state->sectors <= atapi_blocks(drive));
    if (status & ATA_SR_DRQ)
        assert(state->block_left &&
               (state->opcode != ATA_CMD_PACKET ||
                state->block_left <= (state->phase == ATA_PACKET ? ATAPI_PACKET : packet->limit)));
    if (state->phase == ATA_IDLE && state->failed && state->opcode == ATA_CMD_PACKET)
        assert(state->error >> 4 ? packet->ready : state->error == ATA_ER_ABRT);
    assert(!drive->info.write_cache);
}

static void check(struct target *target)
{
    struct ide_rig *rig = &target->rig;

    ide_check_lines(rig);
    check_drive(ide_drive_of(&target->rig, CD));
    check_drive(ide_drive_of(&target->rig, CD + 1));
    assert(!memcmp(target->disk, rig->disk[0], DISK_BYTES));
}

static void settle(struct target *target)
{
    ide_rig_settle(&target->rig);
    fake_host_advance(&target->rig.fake, 2000); /* who rests goes on */
    ide_rig_settle(&target->rig);
    check(target);
}

static void put32(uint8_t *bytes, uint32_t value)
{
    atapi_put32(bytes, value);
}

/* Mostly commands that there are, with fields near the edges. */
static void make_packet(struct script *script, uint8_t cdb[ATAPI_PACKET])
{
    static const uint8_t usual[] = {0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x28, 0x28,
                                    0x2b, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a, 0xa8,
                                    0xa8, 0xad, 0xbb, 0xbd, 0xbe, 0xbe, 0xbe, 0xbe};
    uint8_t pick = take(script), how = take(script);
    uint32_t lba = take16(script) % 620, count = take(script) % 70;

    memset(cdb, 0, ATAPI_PACKET);
    cdb[0] = usual[pick % sizeof(usual)];
    if (pick >= 0xf0 || how >= 0xf0) { /* anything */
        for (unsigned i = 0; i < ATAPI_PACKET; i++)
            cdb[i] = take(script);
        return;
    }
    switch (cdb[0]) {
    case 0x28:
        put32(cdb + 2, lba);
        cdb[8] = (uint8_t)count;
        break;
    case 0xa8:
        put32(cdb + 2, lba);
        put32(cdb + 6, count);
        break;
    case 0xbe:
        put32(cdb + 2, lba);
        cdb[8] = (uint8_t)count;
        cdb[9] = how & 1 ? 0x10 : take(script) & 0xf8;
        break;
    default:
        cdb[1] = how & 0x10 ? take(script) : 0;
        cdb[2] = take(script);
        cdb[4] = take(script);
        cdb[7] = how & 1 ? 2 : 0;
        cdb[8] = (uint8_t)count;
        cdb[9] = take(script);
    }
}

static void do_packet(struct target *target, struct script *script)
{
    static const uint16_t limits[] = {0,    1,    2,    3,      12,     511,
                                      2047, 2048, 2050, 0x7fff, 0xfffe, 0xffff};
    unsigned disk = take(script) % 4 ? CD : CD + 1;
    uint8_t features = take(script) % 8, pick = take(script), cdb[ATAPI_PACKET];
    uint16_t limit = pick < 0xc0 ? limits[pick % 12] : take16(script);

    make_packet(script, cdb);
    rig_packet(&target->rig, disk, cdb, features & 4 ? features & 3 : features & 1, limit);
}

/* All that the data port can give now, it gives, from the right place, and no more. */
static void do_data_in(struct target *target, struct script *script)
{
    static uint8_t buf[4096 * 4];
    unsigned size = 1u << take(script) % 3;
    uint32_t count = take16(script) % 4096 + 1;
    struct ide_channel *channel = ide_channel_of(&target->rig, 1);
    const struct ata_drive *drive = &channel->drive[channel->selected];
    const struct ata_state before = drive->state;
    bool in = before.phase == ATA_PIO_IN;
    uint32_t avail = in ? before.block_left : 0, wanted = count * size;

    if (!ide_decoded(&target->rig, 1))
        return;
    bus_port_read_block(target->rig.bus, target->rig.command[1], size, buf, count);
    if (in && before.packet.transfer == ATAPI_MEDIUM && before.packet.fields == ATAPI_FIELD_USER &&
        target->rig.disk[CD + channel->selected]) {
        const uint8_t *medium =
            target->rig.disk[CD + channel->selected] + before.lba * ATAPI_BLOCK + before.pos;
        assert(!memcmp(buf, medium, avail < wanted ? avail : wanted));
    }
    if (wanted < avail) {
        assert(drive->state.phase == ATA_PIO_IN && drive->state.block_left == avail - wanted);
    } else if (!in || drive->state.phase != ATA_PIO_IN) {
        for (uint32_t i = avail; i < wanted; i++)
            assert(buf[i] == 0xff || (in && i >= before.block_left));
    }
    if (drive->state.phase != ATA_PIO_IN) {
        uint8_t nothing[8];
        assert(!ata_data_in(ide_drive_of(&target->rig, CD + channel->selected), nothing,
                            sizeof(nothing)));
    }
}

static void do_data_out(struct target *target, struct script *script)
{
    static uint8_t buf[4096 * 4];
    unsigned size = 1u << take(script) % 3;
    uint32_t count = take16(script) % 600 + 1;

    memset(buf, take(script), count * size);
    buf[0] = take(script);
    bus_port_write_block(target->rig.bus, target->rig.command[1], size, buf, count);
}

/* A read from beginning to end: if it is said to be done, all of it came. */
static void do_whole_read(struct target *target, struct script *script)
{
    static uint8_t data[64 * ATAPI_BLOCK];
    struct ide_rig *rig = &target->rig;
    struct ata_drive *drive = ide_drive_of(&target->rig, CD);
    uint16_t limit = take16(script) | 2;
    uint32_t lba = take16(script) % 500, count = 1 + take(script) % 60, at = 0;
    uint8_t cdb[ATAPI_PACKET] = {0xa8, [9] = (uint8_t)count};

    settle(target);
    rig_select(rig, CD);
    if (drive->state.phase != ATA_IDLE || drive->state.power == ATA_POWER_SLEEP || drive->held ||
        ide_channel_of(&target->rig, 1)->selected || !ide_decoded(&target->rig, 1))
        return;
    put32(cdb + 2, lba);
    rig_packet(rig, CD, cdb, 0, limit);
    for (;;) {
        ide_rig_settle(rig);
        if (drive->state.phase != ATA_PIO_IN)
            break;
        uint32_t n = drive->state.block_left;
        assert(n == (drive->state.reg[ATA_REG_LBA_MID] |
                     (uint32_t)drive->state.reg[ATA_REG_LBA_HIGH] << 8));
        assert(at + n <= sizeof(data));
        bus_port_read_block(rig->bus, rig->command[1], 2, data + at, n / 2);
        at += n;
    }
    if (drive->state.phase != ATA_IDLE || drive->state.opcode != ATA_CMD_PACKET ||
        drive->state.failed || !drive->state.packet.ready)
        return;
    assert(at == count * ATAPI_BLOCK);
    assert(!memcmp(data, rig->disk[CD] + lba * ATAPI_BLOCK, at));
}

static void do_dma(struct target *target, struct script *script)
{
    uint8_t how, cdb[ATAPI_PACKET];
    uint32_t table = ide_step_table(&target->rig, script, &how);

    make_packet(script, cdb);
    rig_dma_stop(&target->rig, 1);
    rig_dma_setup(&target->rig, 1, table, how & 2);
    rig_packet(&target->rig, CD, cdb, 1, 0);
    rig_dma_start(&target->rig, 1, how & 2);
}

static void do_media(struct target *target, struct script *script)
{
    struct ide_rig *rig = &target->rig;
    unsigned drive = take(script) % 4 ? CD : CD + 1;
    uint8_t how = take(script);
    struct blk *old;

    if (how & 1) {
        if (ide_eject(rig->dev, drive, how & 2, &old))
            return;
        assert(old == rig->spec.drive[drive].blk);
        if (old)
            mem_set_faults(rig->image[drive], &(struct mem_faults){0});
        blk_close(old, NULL, NULL);
        ide_rig_settle(rig);
        rig->spec.drive[drive].blk = NULL;
        rig->image[drive] = NULL;
    }
    if (!rig->spec.drive[drive].blk && how & 4) {
        int err =
            ide_insert(rig->dev, drive, ide_rig_medium(rig, drive, 1 + take16(script) % 2400));
        assert(!err);
    }
}

static void do_migrate(struct target *target)
{
    ide_step_rest(&target->rig);
    check(target);
    ide_step_move(&target->rig);
}

static void do_faults(struct target *target, struct script *script)
{
    uint8_t how = take(script), reach = take(script);
    uint16_t first = take16(script) % 2400;
    struct mem_faults faults = {
        .hold = how & 1,
        .error = how & 2 ? -EIO : 0,
        .first = how & 4 ? 0 : first,
        .last = how & 4 ? UINT64_MAX : first + (how >> 4),
    };

    /* Guest memory that cannot be reached, and a host for whom it costs too much. */
    target->rig.fake.broken_from = (reach & 1 ? IDE_TABLES : IDE_BUFFERS) + first * 8u;
    target->rig.fake.broken_len = reach & 2 ? 4096 : 0;
    target->rig.fake.dma_rests = reach & 4 ? target->rig.fake.now + 1000 : 0;
    if (!target->rig.image[CD])
        return;
    mem_release(target->rig.image[CD]);
    ide_rig_fault(&target->rig, CD, &faults);
}

static void do_register(struct target *target, struct script *script)
{
    static const uint8_t opcodes[] = {0xa0, 0x08, 0xa1, 0xec, 0x90, 0xef, 0xe5, 0xe6, 0x20, 0xe0};
    struct ide_rig *rig = &target->rig;
    uint8_t what = take(script), reg = take(script), value = take(script);

    switch (what & 7) {
    case 0:
    case 1:
        rig_out8(rig, (uint16_t)(rig->command[1] + reg % 7), value);
        break;
    case 2:
        rig_out8(rig, (uint16_t)(rig->command[1] + 7),
                 value < 0xe0 ? opcodes[value % sizeof(opcodes)] : reg);
        break;
    case 3:
        rig_out8(rig, rig->control[1], value & (value & 1 ? 0xff : 0xfb));
        break;
    case 4:
        rig_out8(rig, (uint16_t)(rig->bmdma + 8 + reg % 8), value);
        break;
    case 5:
        bus_read(rig->bus, BUS_PORT, rig->command[1] + reg % 8, 1u << value % 3);
        break;
    case 6:
        rig_select(rig, CD + (what >> 7));
        break;
    default:
        bus_pci_write(rig->bus, rig->sbdf, reg % 0x80, 1, value);
        ide_rig_program(rig);
        break;
    }
}

static void step(struct target *target, struct script *script)
{
    struct ide_rig *rig = &target->rig;

    switch (take(script) % 20) {
    case 0:
    case 1:
    case 2:
    case 3:
        do_packet(target, script);
        break;
    case 4:
    case 5:
    case 6:
        do_data_in(target, script);
        break;
    case 7:
        do_data_out(target, script);
        break;
    case 8:
    case 9:
        do_dma(target, script);
        break;
    case 10:
        do_whole_read(target, script);
        break;
    case 11:
        do_media(target, script);
        break;
    case 12:
        do_migrate(target);
        break;
    case 13:
        do_faults(target, script);
        break;
    case 14:
        if (take(script) % 4)
            rig_srst(rig, 1);
        else
            rig->dev->ops->reset(rig->dev);
        ide_rig_program(rig);
        break;
    case 15:
        if (take(script) & 1)
            rig_dma_stop(rig, 1);
        else
            rig_dma_start(rig, 1, true);
        break;
    case 16:
        fake_loop_turn(rig->loop, 0);
        if (rig->image[CD])
            mem_release(rig->image[CD]);
        break;
    case 17:
    case 18:
        do_register(target, script);
        break;
    default:
        settle(target);
        break;
    }
    check(target);
}

static void end(struct target *target)
{
    struct ide_rig *rig = &target->rig;

    for (unsigned i = 0; i < RIG_DISKS; i++) {
        if (rig->image[i])
            ide_rig_fault(rig, i, &(struct mem_faults){0});
    }
    rig->dev->ops->resume(rig->dev);
    settle(target);
    rig_srst(rig, 0);
    rig_srst(rig, 1);
    rig->dev->ops->reset(rig->dev);
    settle(target);
    ide_check_idle(rig);
    ide_rig_finish(rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target target;
    struct script script = {data, size};
    uint8_t how = take(&script);
    struct ide_rig_options options = {
        .sectors = {DISK_BYTES / 512, 0, how & 4 ? 0 : 2401},
        .cdrom = {[CD] = true, [CD + 1] = true},
        .cmd646 = how & 1,
        .pool_pages = how & 2 ? 32 + (how >> 4) : 0,
    };

    alarm(30);
    memset(&target, 0, sizeof(target));
    ide_rig_init(&target.rig, &options);
    dma_watch_install(&target.watch, &target.rig.fake);
    memcpy(target.disk, target.rig.disk[0], DISK_BYTES);
    for (unsigned i = 0; i < MAX_STEPS && script.size; i++)
        step(&target, &script);
    end(&target);
    alarm(0);
    return 0;
}
