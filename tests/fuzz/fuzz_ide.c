/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A script of register accesses, transfers, completions, errors, resets and migrations, read from
 * the input, against a PIIX3 or CMD646 with three disks. Invariants, each an assert:
 *  - BSY and DRQ are never set together, neither on the bus nor between phases
 *  - the data port gives what the disk has at the command's address, and nothing behind the
 *    transfer
 *  - memory is written only where a descriptor that was read says so
 *  - a sector changes only if a write command under way names it, and a whole write that is
 *    reported done is on the disk
 *  - what was not read since the host cannot reach it is never on a disk
 *  - a sector changes by TRIM only to zeroes, and only one that a wholly valid list names
 *  - what SMART and the logs give has the sum that its standard asks for
 *  - the interrupt line is what the selected drive's INTRQ and nIEN make it
 *  - quiesced, the state loads into a new controller and saves as it was
 *  - at the end every request and page has come back
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/ide/ata_internal.h"
#include "tests/fuzz/dma_watch.h"
#include "tests/fuzz/ide_script.h"
#include "tests/fuzz/ide_steps.h"
#include "tests/unit/ide_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 400

static const uint16_t disk_sectors[RIG_DISKS] = {600, 64, 0, 300};

struct target {
    struct ide_rig rig;
    struct dma_watch watch;
    uint8_t *shadow[RIG_DISKS];
    bool may_change[RIG_DISKS][600]; /* a write is under way */
    bool may_vanish[RIG_DISKS][600]; /* a TRIM is */
    bool faulty;
};

static bool writing(const struct ata_drive *drive)
{
    return drive->state.phase != ATA_IDLE && drive->state.phase != ATA_RESET &&
           drive->state.sectors && (ata_flags(drive) & ATA_CF_WRITE) &&
           !(ata_flags(drive) & ATA_CF_DATA);
}

static bool trimming(const struct ata_drive *drive)
{
    return drive->state.phase == ATA_TRIM;
}

/* The ranges that are left, read off the drive's copy of the list by our own lights. */
static void note_trim(struct target *target, unsigned disk)
{
    const struct ata_drive *drive = ide_drive_of(&target->rig, disk);

    for (uint32_t at = drive->state.pos; at < drive->state.chunk * ATA_SECTOR; at += 8) {
        uint64_t entry;
        memcpy(&entry, drive->board->data + at, 8);
        uint64_t lba = entry & 0xffffffffffff, sectors = entry >> 48;
        if (!sectors)
            continue;
        assert(lba < disk_sectors[disk] && sectors <= disk_sectors[disk] - lba);
        memset(target->may_vanish[disk] + lba, true, sectors);
    }
}

static void check(struct target *target)
{
    struct ide_rig *rig = &target->rig;

    ide_check_lines(rig);
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        const struct ata_drive *drive = ide_drive_of(&target->rig, i);
        const struct ata_state *state = &drive->state;
        if (!drive->present)
            continue;
        ide_check_status(drive);
        if (ata_status(drive) & ATA_SR_DRQ)
            assert(state->block_left && state->block_left <= ATA_MULTIPLE_MAX * ATA_SECTOR &&
                   state->pos + state->block_left <= state->chunk * ATA_SECTOR &&
                   state->chunk <= state->sectors);
        if (writing(drive)) {
            assert(state->lba + state->sectors <= disk_sectors[i]);
            memset(target->may_change[i] + state->lba, true, state->sectors);
        }
        if (trimming(drive))
            note_trim(target, i);
    }
}

static const uint8_t zeroes[512];

/* Nothing else changed. What may have is believed once nothing is under way. */
static void check_disks(struct target *target)
{
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        const struct ata_drive *drive = ide_drive_of(&target->rig, i);
        for (uint32_t s = 0; s < disk_sectors[i]; s++) {
            uint8_t *shadow = target->shadow[i] + s * 512;
            const uint8_t *disk = target->rig.disk[i] + s * 512;
            if (!target->may_change[i][s] && memcmp(shadow, disk, 512))
                assert(target->may_vanish[i][s] && !memcmp(zeroes, disk, 512));
            memcpy(shadow, disk, 512);
            assert(!memmem(disk, 512, dma_watch_unreachable, DMA_WATCH_UNREACHABLE));
        }
        if (disk_sectors[i] && blk_idle(target->rig.spec.drive[i].blk) && !writing(drive))
            memset(target->may_change[i], false, sizeof(target->may_change[i]));
        if (disk_sectors[i] && blk_idle(target->rig.spec.drive[i].blk) && !trimming(drive))
            memset(target->may_vanish[i], false, sizeof(target->may_vanish[i]));
    }
}

static void settle(struct target *target)
{
    ide_rig_settle(&target->rig);
    fake_host_advance(&target->rig.fake, 2000); /* who rests goes on, with another phase perhaps */
    check(target);
    ide_rig_settle(&target->rig);
    check(target);
    check_disks(target);
}

static void do_command(struct target *target, struct script *script)
{
    struct ide_rig *rig = &target->rig;
    unsigned disk = take_disk(script);
    uint8_t opcode = take_opcode(script), how = take(script);
    uint32_t lba = take16(script) % 640, count = take(script);

    if (how & 0x80)
        count |= 0x100;
    if (how % 3 == 0)
        rig_command_ext(rig, disk, opcode, lba, count);
    else if (how % 3 == 1)
        rig_command(rig, disk, opcode, lba, count & 0xff);
    else
        rig_command_chs(rig, disk, opcode, lba >> 6, lba & 3, lba & 0x3f, count & 0xff);
}

/* All that the data port can give now, it gives, from the right place, and no more. */
static void do_data_in(struct target *target, struct script *script)
{
    static uint8_t buf[4096 * 4];
    unsigned c = take(script) & 1, size = 1u << take(script) % 3;
    uint32_t count = take16(script) % 4096 + 1;
    struct ide_channel *channel = ide_channel_of(&target->rig, c);
    const struct ata_drive *drive = &channel->drive[channel->selected];
    unsigned disk = 2 * c + channel->selected;
    const struct ata_state before = drive->state;
    bool in = drive->present && before.phase == ATA_PIO_IN;
    bool known = in && (ata_flags(drive) & ATA_CF_ADDRESS);
    uint32_t avail = in ? before.chunk * ATA_SECTOR - before.pos : 0;
    bool aligned = before.pos % size == 0;

    if (!ide_decoded(&target->rig, c))
        return;
    bus_port_read_block(target->rig.bus, target->rig.command[c], size, buf, count);
    if (known && aligned) {
        const uint8_t *disk_bytes = target->rig.disk[disk] + before.lba * ATA_SECTOR + before.pos;
        assert(!memcmp(buf, disk_bytes, avail < count * size ? avail : count * size));
    }
    for (uint32_t i = avail; i < count * size; i++)
        assert(buf[i] == 0xff || !aligned);
    if (in && aligned && avail < count * size)
        assert(drive->state.phase != ATA_PIO_IN);
}

static void do_data_out(struct target *target, struct script *script)
{
    static uint8_t buf[4096 * 4];
    unsigned c = take(script) & 1, size = 1u << take(script) % 3;
    uint32_t count = take16(script) % 4096 + 1;

    memset(buf, take(script), count * size);
    bus_port_write_block(target->rig.bus, target->rig.command[c], size, buf, count);
}

static void do_dma(struct target *target, struct script *script)
{
    static const uint8_t opcodes[] = {0xc8, 0xca, 0x25, 0x35, 0x3d, 0x47, 0x57, 0x35};
    unsigned disk = take_disk(script);
    uint8_t opcode = opcodes[take(script) % 8];
    bool read = opcode == 0xc8 || opcode == 0x25 || opcode == 0x47;
    uint8_t how;
    uint32_t table = ide_step_table(&target->rig, script, &how);
    uint32_t lba = take16(script) % 600, count = take16(script) % 300;

    rig_dma_stop(&target->rig, disk / 2);
    rig_dma_setup(&target->rig, disk / 2, table, read);
    if (opcode & 0x80)
        rig_command(&target->rig, disk, opcode, lba, count & 0xff);
    else
        rig_command_ext(&target->rig, disk, opcode, lba, count);
    rig_dma_start(&target->rig, disk / 2, read);
}

/* A write from beginning to end. If it is said to be done it must be there, byte by byte. */
static void do_whole_write(struct target *target, struct script *script)
{
    static uint8_t data[600 * 512];
    struct ide_rig *rig = &target->rig;
    unsigned disk = take(script) % 2 ? 3 : 0;
    uint32_t lba = take16(script) % disk_sectors[disk];
    uint32_t count = 1 + take16(script) % (disk_sectors[disk] - lba);
    uint8_t seed = take(script), size = seed & 1 ? 2 : 4;

    settle(target);
    const struct ata_drive *drive = ide_drive_of(&target->rig, disk);
    rig_select(rig, disk);
    if (!drive->present || drive->state.phase != ATA_IDLE || drive->held ||
        ide_channel_of(&target->rig, disk / 2)->selected != disk % 2 ||
        !ide_decoded(&target->rig, disk / 2))
        return;
    for (uint32_t i = 0; i < count * 512; i++)
        data[i] = (uint8_t)(i + (i >> 9) * seed + seed);
    memset(target->may_change[disk] + lba, true, count);
    rig_command_ext(rig, disk, seed & 4 ? 0xce : seed & 2 ? 0x34 : 0x39, lba, count);
    for (uint32_t at = 0; at < count * 512;) {
        ide_rig_settle(rig);
        if (drive->state.phase != ATA_PIO_OUT)
            break;
        uint32_t left = drive->state.chunk * 512 - drive->state.pos;
        bus_port_write_block(rig->bus, rig->command[disk / 2], size, data + at, left / size);
        at += left;
    }
    ide_rig_settle(rig);
    if (drive->state.phase == ATA_IDLE && !drive->state.failed &&
        drive->state.power != ATA_POWER_SLEEP)
        assert(!memcmp(rig->disk[disk] + lba * 512, data, count * 512));
}

/* A list of ranges, now and then one outside the disk, in memory that is good or that is not. */
static void do_trim(struct target *target, struct script *script)
{
    struct ide_rig *rig = &target->rig;
    unsigned disk = take_disk(script), n = take(script) % 80;
    uint8_t how = take(script), unused;
    uint32_t table = how & 1 ? ide_step_table(rig, script, &unused) : IDE_TABLES;
    uint32_t list = IDE_BUFFERS + 0x10000;

    memset(rig->fake.ram + list, 0, 8 * ATA_SECTOR);
    for (unsigned i = 0; i < n; i++) {
        uint64_t lba = take16(script) % 640, sectors = take(script) % 24;
        uint64_t entry = lba | sectors << 48;
        if (how & 2 && i == 70)
            entry = UINT64_MAX;
        else if (!(how & 4))
            entry = lba % 40 | sectors << 48; /* on every disk that there is */
        memcpy(rig->fake.ram + list + 8 * i * (how & 8 ? 3 : 1), &entry, 8);
    }
    if (!(how & 1)) {
        rig_prd(rig, IDE_TABLES, 0, list, how & 16 ? 300 : 0x1000, !(how & 16));
        rig_prd(rig, IDE_TABLES, 1, list + 300, 0x1000 - 300, true);
    }
    rig_dma_stop(rig, disk / 2);
    rig_dma_setup(rig, disk / 2, table, false);
    rig_features(rig, disk, how & 32 ? 0 : 1);
    rig_command_ext(rig, disk, 0x06, 0, how >> 6 ? 1 + (how >> 6) : take(script));
    rig_dma_start(rig, disk / 2, false);
    if (how & 128)
        memset(rig->fake.ram + list, 0xff, 8 * ATA_SECTOR);
}

/* What SMART and the logs give adds up, wherever they are asked for it. */
static void do_smart(struct target *target, struct script *script)
{
    static const uint8_t features[] = {0xd0, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd4, 0xd5,
                                       0xd5, 0xd6, 0xd8, 0xd8, 0xd9, 0xda, 0xd8, 0xdb};
    static const uint8_t summed[] = {1, 2, 3, 6, 7};
    struct ide_rig *rig = &target->rig;
    unsigned disk = take_disk(script);
    uint8_t how = take(script), low = take(script), page[512], sum = 0;
    uint8_t feature = features[how & 15];

    if (how & 0x10)
        low %= 9;
    if (how & 0x20)
        rig_command_ext(rig, disk, 0x2f, low, 1);
    else
        rig_smart(rig, disk, feature, low, how & 0x40 ? 1 : take(script));
    const struct ata_drive *drive = ide_drive_of(&target->rig, disk);
    if (!(how & 0x80) || !drive->present || drive->state.phase != ATA_PIO_IN || drive->state.pos ||
        ide_channel_of(&target->rig, disk / 2)->selected != disk % 2 ||
        !ide_decoded(&target->rig, disk / 2))
        return;
    /* It may be an earlier command's block that is still there: then ours was not taken. */
    feature = drive->state.reg[ATA_REG_FEATURES];
    low = drive->state.reg[ATA_REG_LBA_LOW];
    bool log = drive->state.opcode == 0x2f || (drive->state.opcode == 0xb0 && feature == 0xd5);
    bool data = drive->state.opcode == 0xb0 && (feature == 0xd0 || feature == 0xd1);
    if (drive->state.opcode != 0xb0 && drive->state.opcode != 0x2f)
        return;
    bus_port_read_block(rig->bus, rig->command[disk / 2], 2, page, 256);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + page[i]);
    for (unsigned i = 0; log && i < sizeof(summed); i++)
        data |= low == summed[i];
    assert(!data || !sum);
    assert(drive->state.phase != ATA_PIO_IN);
}

/* A disk that stopped its guest stays so until faults are set anew. */
static void on_stopped(void *arg, const struct blk_stop *stop)
{
}

static void restart(struct ide_rig *rig)
{
    for (unsigned i = 0; i < RIG_DISKS; i++)
        if (rig->spec.drive[i].blk)
            blk_restart(rig->spec.drive[i].blk);
}

static void do_migrate(struct target *target)
{
    target->faulty = false;
    ide_step_rest(&target->rig);
    check(target);
    ide_step_move(&target->rig);
}

static void do_faults(struct target *target, struct script *script)
{
    unsigned disk = take_disk(script);
    uint8_t how = take(script);
    uint16_t first = take16(script) % 600;
    struct mem_faults faults = {
        .hold = how & 1,
        .error = how & 2 ? -EIO : 0,
        .first = how & 4 ? 0 : first,
        .last = how & 4 ? UINT64_MAX : first + (how >> 4),
    };

    /* Guest memory that cannot be reached, and a host for whom it costs too much. */
    target->rig.fake.broken_from = (how & 0x10 ? IDE_TABLES : IDE_BUFFERS) + first * 8u;
    target->rig.fake.broken_len = how & 8 ? 4096 : 0;
    target->rig.fake.dma_rests = how & 0x20 ? target->rig.fake.now + 1000 : 0;
    if (!target->rig.image[disk])
        return;
    restart(&target->rig);
    struct blk_policies policies = {how & 8 ? BLK_STOP : BLK_REPORT,
                                    how & 16 ? BLK_STOP : BLK_REPORT, on_stopped, NULL};
    blk_set_policies(target->rig.spec.drive[disk].blk, &policies);
    mem_release(target->rig.image[disk]);
    ide_rig_fault(&target->rig, disk, &faults);
    target->faulty = true;
}

static void do_unplug(struct target *target, struct script *script)
{
    uint8_t how = take(script);

    if (!target->rig.options.cmd646 && how % 8 == 0)
        (how & 8 ? piix3_ide_unplug_disks : piix3_ide_unplug_aux_disks)(target->rig.dev);
}

static void do_register(struct target *target, struct script *script)
{
    struct ide_rig *rig = &target->rig;
    uint8_t what = take(script), reg = take(script), value = take(script);
    unsigned c = what >> 7;

    switch (what & 7) {
    case 0:
    case 1:
        rig_out8(rig, (uint16_t)(rig->command[c] + reg % 8), value);
        break;
    case 2:
        rig_out8(rig, rig->control[c], value & (value & 1 ? 0xff : 0xfb));
        break;
    case 3:
        rig_out8(rig, (uint16_t)(rig->bmdma + reg % 16), value);
        break;
    case 4:
        bus_write(rig->bus, BUS_PORT, rig->command[c] + reg % 8, 1u << value % 3,
                  value * 0x01010101u);
        break;
    case 5:
        bus_read(rig->bus, BUS_PORT, rig->command[c] + reg % 8, 1u << value % 3);
        bus_read(rig->bus, BUS_PORT, rig->bmdma + reg % 16, 1u << value % 3);
        break;
    case 6:
        rig_select(rig, what >> 6);
        break;
    default:
        bus_pci_write(rig->bus, rig->sbdf, reg % 0x80, 1, value);
        if (value & 1)
            ide_rig_program(rig);
        break;
    }
}

static void step(struct target *target, struct script *script)
{
    struct ide_rig *rig = &target->rig;

    switch (take(script) % 23) {
    case 0:
    case 1:
    case 2:
        do_command(target, script);
        break;
    case 3:
    case 4:
        do_data_in(target, script);
        break;
    case 5:
    case 6:
        do_data_out(target, script);
        break;
    case 7:
    case 8:
        do_dma(target, script);
        break;
    case 9:
        do_whole_write(target, script);
        break;
    case 10:
        do_migrate(target);
        break;
    case 11:
        do_faults(target, script);
        break;
    case 12:
        do_unplug(target, script);
        break;
    case 13:
        rig_srst(rig, take(script) & 1);
        break;
    case 14:
        if (take(script) % 4)
            rig_dma_stop(rig, take(script) & 1);
        else
            rig->dev->ops->reset(rig->dev);
        ide_rig_program(rig);
        break;
    case 15:
        fake_loop_turn(rig->loop, 0);
        break;
    case 16:
        if (rig->image[0])
            mem_release(rig->image[0]);
        break;
    case 17:
    case 18:
        do_register(target, script);
        break;
    case 19:
        do_trim(target, script);
        break;
    case 20:
        do_smart(target, script);
        break;
    case 21:
        fake_host_advance(&rig->fake, 10000000ull * (take(script) + 1));
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

    do_migrate(target);
    settle(target);
    rig->dev->ops->reset(rig->dev);
    settle(target);
    ide_check_idle(rig);
    for (unsigned i = 0; i < RIG_DISKS; i++)
        free(target->shadow[i]);
    ide_rig_finish(rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target target;
    struct script script = {data, size};
    uint8_t how = take(&script);
    struct ide_rig_options options = {
        .cmd646 = how & 1,
        .pool_pages = how & 2 ? 32 + (how >> 4) : 0,
        .read_only = !(how & 0xfc),
    };

    alarm(30);
    memset(&target, 0, sizeof(target));
    for (unsigned i = 0; i < RIG_DISKS; i++)
        options.sectors[i] = disk_sectors[i];
    ide_rig_init(&target.rig, &options);
    dma_watch_install(&target.watch, &target.rig.fake);
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        target.shadow[i] = malloc(disk_sectors[i] * 512 + 1);
        if (!target.shadow[i])
            abort();
        if (disk_sectors[i])
            memcpy(target.shadow[i], target.rig.disk[i], disk_sectors[i] * 512);
    }
    for (unsigned i = 0; i < MAX_STEPS && script.size; i++)
        step(&target, &script);
    end(&target);
    alarm(0);
    return 0;
}
