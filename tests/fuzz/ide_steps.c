/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/ide_steps.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "devices/ide/ata_internal.h"

struct ide_channel *ide_channel_of(struct ide_rig *rig, unsigned channel)
{
    return &((struct ide_controller *)rig->dev)->channel[channel];
}

struct ata_drive *ide_drive_of(struct ide_rig *rig, unsigned disk)
{
    return &ide_channel_of(rig, disk / 2)->drive[disk % 2];
}

bool ide_decoded(struct ide_rig *rig, unsigned channel)
{
    return rig_in8(rig, rig->control[channel]) != 0xff &&
           rig_in8(rig, (uint16_t)(rig->command[channel] + ATA_REG_DEVICE)) != 0xff;
}

void ide_check_lines(struct ide_rig *rig)
{
    for (unsigned c = 0; c < IDE_CHANNELS; c++) {
        const struct ide_channel *channel = ide_channel_of(rig, c);
        const struct ata_drive *drive = &channel->drive[channel->selected];
        bool level = drive->present && drive->state.intrq && !(channel->control & ATA_DC_NIEN);

        assert(channel->irq_level == level);
        if (!rig->options.cmd646)
            assert(rig->fake.isa[14 + c] == level);
        else if (!level)
            assert(!(bus_pci_read(rig->bus, rig->sbdf, 0x71, 1) & (4u << c)));
    }
}

void ide_check_status(const struct ata_drive *drive)
{
    uint8_t status = ata_status(drive);

    assert((status & (ATA_SR_BSY | ATA_SR_DRQ)) != (ATA_SR_BSY | ATA_SR_DRQ));
    assert(!drive->in_flight || (status & ATA_SR_BSY));
    assert(!drive->in_flight || !blk_stopped(drive->config.blk));
}

uint32_t ide_step_table(struct ide_rig *rig, struct script *script, uint8_t *ret_how)
{
    uint32_t table = IDE_TABLES + 0x100u * (take(script) % 64);
    uint32_t addr = IDE_BUFFERS + take16(script) * 8u;
    unsigned n = take(script) % 24 + 1;
    uint8_t how = take(script);

    for (unsigned i = 0; i < n; i++) {
        uint32_t len = how & 1 ? 512u * (take(script) % 32) : (uint32_t)take16(script) >> (how & 6);

        rig_prd(rig, table, i, addr, len, i == n - 1 && !(how & 0x80));
        addr += (len & 0xffff) + (how & 8 ? take(script) : 0);
        if (how & 0x70 && i == 3)
            addr = how & 0x40 ? 0xfffff000u : RIG_RAM - 300; /* off the edge */
    }
    *ret_how = how;
    return table;
}

void ide_step_rest(struct ide_rig *rig)
{
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        if (rig->image[i])
            ide_rig_fault(rig, i, &(struct mem_faults){0});
        if (rig->spec.drive[i].blk)
            blk_restart(rig->spec.drive[i].blk);
    }
    while (!rig->dev->ops->quiesce(rig->dev)) {
        bool moved = fake_loop_turn(rig->loop, 0);

        assert(moved);
    }
}

void ide_step_move(struct ide_rig *rig)
{
    size_t size, again;
    uint8_t *state = ide_rig_save(rig, &size);
    int err = ide_rig_migrate(rig, state, size);

    assert(!err);
    uint8_t *copy = ide_rig_save(rig, &again);
    assert(size == again && !memcmp(state, copy, size));
    free(state);
    free(copy);
    rig->dev->ops->resume(rig->dev);
}

void ide_check_idle(struct ide_rig *rig)
{
    for (unsigned i = 0; i < RIG_DISKS; i++)
        assert(!rig->spec.drive[i].blk || blk_idle(rig->spec.drive[i].blk));
    assert(pool_stats(rig->pool)->free == pool_stats(rig->pool)->pages);
}
