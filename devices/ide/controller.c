/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/ide/controller.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PCI_HEADER_END 0x40

/* Serial numbers tell disks apart within a guest (/dev/disk/by-id), so one that is not configured
 * says where the disk sits. */
static struct machine_drive with_names(const struct machine_spec *spec, unsigned index)
{
    struct machine_drive drive = spec->drive[index];

    if (!drive.serial[0] && spec->role == MACHINE_PRIMARY)
        snprintf(drive.serial, sizeof(drive.serial), "ioemud-p%u", index);
    else if (!drive.serial[0])
        snprintf(drive.serial, sizeof(drive.serial), "ioemud-s%u-%u", spec->instance, index);
    if (!drive.model[0])
        snprintf(drive.model, sizeof(drive.model),
                 drive.cdrom ? "ioemud DVD-ROM" : "ioemud HARDDISK");
    if (!drive.firmware[0])
        snprintf(drive.firmware, sizeof(drive.firmware), "1.0");
    return drive;
}

static void name_counters(struct ide_controller *ide)
{
    const struct ide_counters *counters = &ide->counters;
    const struct dev_counter table[IDE_COUNTERS] = {
        {"commands", &counters->commands},   {"pio_sectors", &counters->pio_sectors},
        {"dma_bytes", &counters->dma_bytes}, {"errors", &counters->errors},
        {"resets", &counters->resets},       {"interrupts", &counters->interrupts},
    };

    memcpy(ide->table, table, sizeof(table));
    ide->dev.counters = ide->table;
    ide->dev.n_counters = IDE_COUNTERS;
}

int ide_controller_init(struct ide_controller *ide, const struct dev_env *env, const char *name,
                        void (*irq)(void *ctx, unsigned channel, bool level))
{
    ide->host = env->host;
    ide->dev.name = name;
    ide->dev.instance = env->spec->instance;
    name_counters(ide);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel_config config = {
            .host = env->host,
            .controller = name,
            .drive = {with_names(env->spec, IDE_DRIVES * i),
                      with_names(env->spec, IDE_DRIVES * i + 1)},
            .counters = &ide->counters,
            .index = i,
            .irq = irq,
            .irq_ctx = ide,
        };
        if (ide_channel_init(&ide->channel[i], &config)) {
            while (i--)
                ide_channel_finish(&ide->channel[i]);
            return -ENOMEM;
        }
    }
    return 0;
}

void ide_controller_finish(struct ide_controller *ide)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_finish(&ide->channel[i]);
}

void ide_controller_reset(struct ide_controller *ide)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_reset(&ide->channel[i]);
    pci_func_reset(&ide->pci);
    ide_controller_command(ide);
}

void ide_controller_command(struct ide_controller *ide)
{
    bool master = pci_func_get(&ide->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;

    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_bmdma_enable(&ide->channel[i], master);
}

uint8_t ide_controller_bmdma_read(struct ide_controller *ide, unsigned offset)
{
    return ide_bmdma_read(&ide->channel[offset / BMDMA_PORTS % IDE_CHANNELS], offset % BMDMA_PORTS);
}

void ide_controller_bmdma_write(struct ide_controller *ide, unsigned offset, uint8_t value)
{
    ide_bmdma_write(&ide->channel[offset / BMDMA_PORTS % IDE_CHANNELS], offset % BMDMA_PORTS,
                    value);
}

static struct ata_drive *cdrom_drive(struct dev *dev, unsigned drive)
{
    struct ide_controller *ide = (struct ide_controller *)dev;
    struct ata_drive *found = drive < IDE_CHANNELS * IDE_DRIVES
                                  ? &ide->channel[drive / IDE_DRIVES].drive[drive % IDE_DRIVES]
                                  : NULL;

    return found && found->config.cdrom ? found : NULL;
}

int ide_eject(struct dev *dev, unsigned drive, bool force, struct blk **ret_blk)
{
    struct ata_drive *cdrom = cdrom_drive(dev, drive);

    return cdrom ? atapi_eject(cdrom, force, ret_blk) : -ENODEV;
}

int ide_insert(struct dev *dev, unsigned drive, struct blk *blk)
{
    struct ata_drive *cdrom = cdrom_drive(dev, drive);

    return cdrom ? atapi_insert(cdrom, blk) : -ENODEV;
}

bool ide_leaving(const struct dev *dev, unsigned drive)
{
    const struct ide_controller *ide = (const struct ide_controller *)dev;

    return ide->channel[drive / IDE_DRIVES].drive[drive % IDE_DRIVES].leaving;
}

bool ide_controller_quiesce(struct dev *dev)
{
    struct ide_controller *ide = (struct ide_controller *)dev;
    bool quiet = true;

    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        quiet = ide_channel_quiesce(&ide->channel[i]) && quiet;
    return quiet;
}

void ide_controller_resume(struct dev *dev)
{
    struct ide_controller *ide = (struct ide_controller *)dev;

    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_resume(&ide->channel[i]);
}

void ide_controller_save(const struct ide_controller *ide, struct state_writer *writer)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_save(&ide->channel[i], writer);
    pci_func_save(&ide->pci, writer);
}

void ide_controller_load(struct ide_controller *ide, struct state_reader *reader, uint32_t version)
{
    struct pci_func *pci = &ide->pci;
    uint8_t fresh[PCI_CONFIG_SIZE];

    if (version != IDE_STATE_VERSION) {
        state_reject(reader);
        return;
    }
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_load(&ide->channel[i], reader);
    memcpy(fresh, pci->config, sizeof(fresh));
    if (pci_func_load(pci, reader))
        return;
    /* Of the registers beyond the header, only what a guest could have changed. */
    for (unsigned i = PCI_HEADER_END; i < PCI_CONFIG_SIZE; i++) {
        uint8_t changeable = pci->writable[i] | pci->w1c[i];
        pci->config[i] = (uint8_t)((pci->config[i] & changeable) | (fresh[i] & ~changeable));
    }
    ide_controller_command(ide);
}
