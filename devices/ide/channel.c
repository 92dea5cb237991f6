/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/ide/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FLOATING 0x7f

static struct ata_drive *selected_drive(struct ide_channel *channel)
{
    struct ata_drive *drive = &channel->drive[channel->selected];
    return drive->present ? drive : NULL;
}

static void update_irq(struct ide_channel *channel)
{
    const struct ata_drive *drive = &channel->drive[channel->selected];
    bool level = drive->present && drive->state.intrq && !(channel->control & ATA_DC_NIEN);

    if (level == channel->irq_level)
        return;
    channel->irq_level = level;
    if (level) {
        channel->counters->interrupts++;
        bmdma_interrupt(&channel->bm);
    }
    channel->irq(channel->irq_ctx, channel->index, level);
}

/* What the drives ask of their cable. */

static void link_intrq(void *ctx)
{
    update_irq(ctx);
}

static uint32_t link_dma_plan(void *ctx, struct ata_drive *drive, uint32_t want, bool *ret_end)
{
    struct ide_channel *channel = ctx;

    *ret_end = false;
    if (channel->dma_owner && channel->dma_owner != drive)
        return 0;
    uint64_t until = host_dma_rest(channel->bm.host);
    if (until) {
        host_timer_arm(channel->bm.host, &channel->rest, until);
        return 0;
    }
    uint32_t have;
    if (bmdma_plan(&channel->bm, want, &have, ret_end))
        ata_dma_failed(drive);
    if (have)
        channel->dma_owner = drive;
    return have;
}

static int link_dma_gather(void *ctx, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
    return bmdma_gather(&((struct ide_channel *)ctx)->bm, iov, n_iov, bytes);
}

static int link_dma_scatter(void *ctx, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
    return bmdma_scatter(&((struct ide_channel *)ctx)->bm, iov, n_iov, bytes);
}

static void link_dma_advance(void *ctx, uint32_t bytes)
{
    bmdma_advance(&((struct ide_channel *)ctx)->bm, bytes);
}

static void link_dma_release(void *ctx, struct ata_drive *drive)
{
    struct ide_channel *channel = ctx;

    if (channel->dma_owner == drive)
        channel->dma_owner = NULL;
}

static void link_left(void *ctx, struct ata_drive *drive)
{
    struct ide_channel *channel = ctx;

    host_disk_left(channel->bm.host, channel->index * IDE_DRIVES + drive->config.unit);
}

static const struct ata_link_ops link_ops = {
    .intrq = link_intrq,
    .dma_plan = link_dma_plan,
    .dma_gather = link_dma_gather,
    .dma_scatter = link_dma_scatter,
    .dma_advance = link_dma_advance,
    .dma_release = link_dma_release,
    .left = link_left,
};

/* Registers. */

/* Who answers a read: the selected drive; for an absent device 1, device 0. */
static struct ata_drive *responder(struct ide_channel *channel)
{
    struct ata_drive *drive = selected_drive(channel);

    if (drive || !channel->selected)
        return drive;
    return channel->drive[0].present ? &channel->drive[0] : NULL;
}

uint8_t ide_alt_status(const struct ide_channel *channel)
{
    const struct ata_drive *drive = &channel->drive[channel->selected];

    if (drive->present)
        return ata_status(drive);
    return channel->selected && channel->drive[0].present ? 0 : FLOATING;
}

static uint8_t read_reg(struct ide_channel *channel, unsigned reg)
{
    struct ata_drive *drive = responder(channel);

    if (reg == ATA_REG_STATUS) {
        uint8_t status = ide_alt_status(channel);
        if (selected_drive(channel))
            ata_clear_intrq(drive);
        return status;
    }
    if (!drive)
        return FLOATING;
    uint8_t value = ata_read(drive, reg, channel->control & ATA_DC_HOB);
    if (reg == ATA_REG_DEVICE) {
        value &= (uint8_t)~ATA_DEVICE_DEV;
        value |= channel->selected ? ATA_DEVICE_DEV : 0;
    }
    return value;
}

/* ATA-6 9.10: both drives run it whichever is selected; device 0 then is, and speaks. */
static void diagnose(struct ide_channel *channel)
{
    const struct ata_drive *drive = selected_drive(channel);

    if (drive && drive->state.phase != ATA_IDLE)
        return;
    channel->selected = 0;
    ata_diagnostic(&channel->drive[0], true);
    ata_diagnostic(&channel->drive[1], false);
    update_irq(channel);
}

static void write_reg(struct ide_channel *channel, unsigned reg, uint8_t value)
{
    struct ata_drive *drive = selected_drive(channel);

    channel->control &= (uint8_t)~ATA_DC_HOB; /* ATA-6 7.8: by any write to the command block */
    if (reg == ATA_REG_COMMAND) {
        if (value == ATA_CMD_DIAGNOSTIC)
            diagnose(channel);
        else if (drive)
            ata_command(drive, value);
        return;
    }
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        if (channel->drive[i].present)
            ata_write(&channel->drive[i], reg, value);
    }
    if (reg == ATA_REG_DEVICE) {
        channel->selected = value & ATA_DEVICE_DEV ? 1 : 0;
        update_irq(channel);
    }
}

void ide_control_write(struct ide_channel *channel, uint8_t value)
{
    uint8_t old = channel->control;

    channel->control = value & (ATA_DC_HOB | ATA_DC_SRST | ATA_DC_NIEN);
    if ((old ^ value) & ATA_DC_SRST) {
        channel->selected = 0;
        for (unsigned i = 0; i < IDE_DRIVES; i++)
            ata_soft_reset(&channel->drive[i], value & ATA_DC_SRST);
    }
    update_irq(channel);
}

/* Handlers of the bus. */

static uint64_t command_read(void *dev, uint64_t offset, unsigned size)
{
    struct ide_channel *channel = dev;
    uint64_t value = 0;

    if (offset == ATA_REG_DATA) {
        struct ata_drive *drive = selected_drive(channel);
        uint8_t bytes[4] = {0xff, 0xff, 0xff, 0xff};
        if (drive)
            ata_data_in(drive, bytes, size);
        for (unsigned i = 0; i < size; i++)
            value |= (uint64_t)bytes[i] << (8 * i);
        return value;
    }
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_reg(channel, (unsigned)offset + i) << (8 * i);
    return value;
}

static void command_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct ide_channel *channel = dev;

    if (offset == ATA_REG_DATA) {
        struct ata_drive *drive = selected_drive(channel);
        uint8_t bytes[4];
        for (unsigned i = 0; i < size; i++)
            bytes[i] = (uint8_t)(value >> (8 * i));
        if (drive)
            ata_data_out(drive, bytes, size);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        write_reg(channel, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
}

/* One round a DRQ block; where the drive has nothing to move, the rest is all-ones, as it would be
 * one by one. An element that reaches beyond its block ends with it. */
static uint32_t command_read_block(void *dev, uint64_t offset, unsigned size, void *buf,
                                   uint32_t count)
{
    struct ata_drive *drive = selected_drive(dev);
    uint8_t *bytes = buf;
    uint32_t left = count * size;

    if (offset != ATA_REG_DATA)
        return 0;
    while (left) {
        uint32_t n = drive ? ata_data_in(drive, bytes, left) : 0;
        uint32_t pad = n ? (size - n % size) % size : left;
        memset(bytes + n, 0xff, pad);
        bytes += n + pad;
        left -= n + pad;
    }
    return count;
}

static uint32_t command_write_block(void *dev, uint64_t offset, unsigned size, const void *buf,
                                    uint32_t count)
{
    struct ata_drive *drive = selected_drive(dev);
    const uint8_t *bytes = buf;
    uint32_t left = count * size;

    if (offset != ATA_REG_DATA)
        return 0;
    while (left) {
        uint32_t n = drive ? ata_data_out(drive, bytes, left) : 0;
        uint32_t pad = n ? (size - n % size) % size : left;
        bytes += n + pad;
        left -= n + pad;
    }
    return count;
}

static uint32_t command_window(void *dev, bool *ret_write, void *buf, uint32_t room)
{
    const struct ata_drive *drive = selected_drive(dev);

    return drive ? ata_window(drive, ret_write, buf, room) : 0;
}

static uint64_t control_read(void *dev, uint64_t offset, unsigned size)
{
    return ide_alt_status(dev);
}

static void control_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    ide_control_write(dev, (uint8_t)value);
}

const struct bus_io_ops ide_command_ops = {
    .read = command_read,
    .write = command_write,
    .read_block = command_read_block,
    .write_block = command_write_block,
    .window = command_window,
    .data_port = ATA_REG_DATA,
    .max_size = 4,
};

const struct bus_io_ops ide_control_ops = {
    .read = control_read,
    .write = control_write,
    .max_size = 1,
};

/* Bus master. */

/* A transfer that waits may go on; the selected drive's first, should both wait. */
static void kick(struct ide_channel *channel)
{
    ata_step(&channel->drive[channel->selected]);
    ata_step(&channel->drive[!channel->selected]);
}

static void rested(void *arg)
{
    kick(arg);
}

uint8_t ide_bmdma_read(struct ide_channel *channel, unsigned offset)
{
    return bmdma_read(&channel->bm, offset);
}

void ide_bmdma_write(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    switch (bmdma_write(&channel->bm, offset, value)) {
    case BMDMA_STARTED:
        kick(channel);
        break;
    case BMDMA_STOPPED:
        if (channel->dma_owner)
            ata_dma_stop(channel->dma_owner);
        channel->dma_owner = NULL;
        break;
    case BMDMA_NOTHING:
        break;
    }
}

void ide_bmdma_enable(struct ide_channel *channel, bool enable)
{
    if (enable == channel->bm.master)
        return;
    channel->bm.master = enable;
    /* What was on its way when the guest took memory away from the bus master is not moved: the
     * chunk is asked for again when it may go on. */
    if (enable)
        kick(channel);
    else if (channel->dma_owner)
        ata_dma_stop(channel->dma_owner);
}

/* Life. */

int ide_channel_init(struct ide_channel *channel, const struct ide_channel_config *config)
{
    memset(channel, 0, sizeof(*channel));
    channel->counters = config->counters;
    channel->index = config->index;
    channel->irq = config->irq;
    channel->irq_ctx = config->irq_ctx;
    bmdma_init(&channel->bm, config->host);
    host_timer_init(&channel->rest, rested, channel);
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        struct ata_config drive = {
            .host = config->host,
            .controller = config->controller,
            .blk = config->drive[i].blk,
            .cdrom = config->drive[i].cdrom,
            .unit = i,
            .link = &link_ops,
            .link_ctx = channel,
            .counters = config->counters,
        };
        snprintf(drive.serial, sizeof(drive.serial), "%s", config->drive[i].serial);
        snprintf(drive.model, sizeof(drive.model), "%s", config->drive[i].model);
        snprintf(drive.firmware, sizeof(drive.firmware), "%s", config->drive[i].firmware);
        drive.wwn = config->drive[i].wwn;
        if (ata_drive_init(&channel->drive[i], &drive)) {
            while (i--)
                ata_drive_finish(&channel->drive[i]);
            return -ENOMEM;
        }
    }
    return 0;
}

void ide_channel_finish(struct ide_channel *channel)
{
    host_timer_disarm(channel->bm.host, &channel->rest);
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        ata_drive_finish(&channel->drive[i]);
}

void ide_channel_reset(struct ide_channel *channel)
{
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        ata_power_on(&channel->drive[i]);
    bmdma_reset(&channel->bm);
    channel->control = 0;
    channel->selected = 0;
    update_irq(channel);
}

void ide_channel_unplug(struct ide_channel *channel, unsigned unit)
{
    if (channel->drive[unit].config.cdrom)
        return;
    ata_unplug(&channel->drive[unit]);
    update_irq(channel);
}

bool ide_channel_quiesce(struct ide_channel *channel)
{
    bool quiet = true;

    for (unsigned i = 0; i < IDE_DRIVES; i++)
        quiet = ata_quiesce(&channel->drive[i]) && quiet;
    return quiet;
}

void ide_channel_resume(struct ide_channel *channel)
{
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        ata_resume(&channel->drive[i]);
}

#define NO_OWNER 0xff

void ide_channel_save(const struct ide_channel *channel, struct state_writer *writer)
{
    uint8_t owner = channel->dma_owner ? (uint8_t)(channel->dma_owner - channel->drive) : NO_OWNER;

    state_put_u8(writer, channel->control);
    state_put_u8(writer, channel->selected);
    state_put_u8(writer, owner);
    bmdma_save(&channel->bm, writer);
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        ata_save(&channel->drive[i], writer);
}

void ide_channel_load(struct ide_channel *channel, struct state_reader *reader)
{
    channel->control = state_get_u8(reader);
    channel->selected = state_get_u8(reader);
    uint8_t owner = state_get_u8(reader);
    bmdma_load(&channel->bm, reader);
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        ata_load(&channel->drive[i], reader);
    if (channel->selected > 1 || (owner > 1 && owner != NO_OWNER)) {
        channel->selected = 0;
        state_reject(reader);
    }
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        const struct ata_drive *drive = &channel->drive[i];
        bool reset = drive->state.phase == ATA_RESET;
        if (drive->present && reset != !!(channel->control & ATA_DC_SRST))
            state_reject(reader);
    }
    if (reader->error)
        return;
    channel->dma_owner = owner == NO_OWNER ? NULL : &channel->drive[owner];

    /* The line only: the status bit is in the bus master's saved state. */
    const struct ata_drive *drive = &channel->drive[channel->selected];
    channel->irq_level = drive->present && drive->state.intrq && !(channel->control & ATA_DC_NIEN);
    channel->irq(channel->irq_ctx, channel->index, channel->irq_level);
}
