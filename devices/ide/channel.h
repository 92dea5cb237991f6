/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IDE channel: a cable with two drives, the registers that both listen to, the interrupt line,
 * and the bus master that serves them (ATA-6 7 and 9.16).
 *
 * A register write goes to both drives; the one that the DEV bit selects is read and takes
 * commands. Where a drive is absent:
 * - device 0 answers for an absent device 1, with a status of 0 (ATA-6 9.16.1), which ends every
 *   driver's and firmware's probe at once;
 * - nobody answers for an absent device 0: the cable floats, D7 pulled down by the host adapter
 *   (ATA-6 5, DD7): 7Fh, a status without BSY, so that nobody waits for it.
 */
#ifndef IOEMUD_DEVICES_IDE_CHANNEL_H
#define IOEMUD_DEVICES_IDE_CHANNEL_H

#include "devices/bus.h"
#include "devices/ide/ata.h"
#include "devices/ide/bmdma.h"

#define IDE_DRIVES        2
#define IDE_COMMAND_PORTS 8

struct ide_channel_config {
    const struct host *host;
    const char *controller;
    struct machine_drive drive[IDE_DRIVES];
    struct ide_counters *counters;
    unsigned index; /* 0 primary, 1 secondary */
    /* INTRQ as the controller sees it, behind nIEN; told of changes only. */
    void (*irq)(void *ctx, unsigned index, bool level);
    void *irq_ctx;
};

struct ide_channel {
    struct ata_drive drive[IDE_DRIVES];
    struct bmdma bm;
    struct ide_counters *counters;
    unsigned index;
    void (*irq)(void *ctx, unsigned index, bool level);
    void *irq_ctx;
    struct host_timer rest;      /* transfers go on when it expires: host_dma_rest() */
    struct ata_drive *dma_owner; /* whose transfer the bus master is in; NULL: nobody's */

    /* State. */
    uint8_t control;  /* Device Control: HOB, SRST, nIEN */
    uint8_t selected; /* DEV */
    bool irq_level;
};

/* -ENOMEM: nothing is left. */
int ide_channel_init(struct ide_channel *channel, const struct ide_channel_config *config);
void ide_channel_finish(struct ide_channel *channel);
/* RST#: drives, registers, bus master. */
void ide_channel_reset(struct ide_channel *channel);

/* The command block, offsets 0-7 (`dev` is the channel): for eight ports. */
extern const struct bus_io_ops ide_command_ops;
/* Alternate Status and Device Control, at offset 0: for one port. */
extern const struct bus_io_ops ide_control_ops;
uint8_t ide_alt_status(const struct ide_channel *channel);
void ide_control_write(struct ide_channel *channel, uint8_t value);

/* The bus master's registers, by offset in its eight ports. */
uint8_t ide_bmdma_read(struct ide_channel *channel, unsigned offset);
void ide_bmdma_write(struct ide_channel *channel, unsigned offset, uint8_t value);
/* PCI Command's bus master bit changed. */
void ide_bmdma_enable(struct ide_channel *channel, bool enable);

/* The disk is taken off the cable, see ata_unplug(); a CD-ROM drive stays. */
void ide_channel_unplug(struct ide_channel *channel, unsigned unit);

bool ide_channel_quiesce(struct ide_channel *channel);
void ide_channel_resume(struct ide_channel *channel);
void ide_channel_save(const struct ide_channel *channel, struct state_writer *writer);
/* Drives the interrupt line as it was; needs ide_channel_resume(). */
void ide_channel_load(struct ide_channel *channel, struct state_reader *reader);

#endif
