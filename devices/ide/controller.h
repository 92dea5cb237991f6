/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the PCI IDE controllers have in common: a PCI function with two channels and the sixteen
 * ports of their bus masters in BAR 4. A model embeds it first and adds how the guest reaches the
 * drives' registers and where interrupts go (piix3_ide.c, cmd646.c).
 *
 * A loaded controller stays quiesced until its `resume`, so that requests that were under way are
 * issued again only when the whole machine is there.
 */
#ifndef IOEMUD_DEVICES_IDE_CONTROLLER_H
#define IOEMUD_DEVICES_IDE_CONTROLLER_H

#include "devices/ide/channel.h"
#include "devices/models.h"
#include "devices/pci.h"

#define IDE_CHANNELS   2
#define IDE_COUNTERS   6
#define IDE_BMDMA_BAR  4
#define IDE_BMDMA_SIZE 16
/* Of the saved state. 2: TRIM, SMART and logs. Older ones are refused: nothing was released. */
#define IDE_STATE_VERSION 2

struct ide_controller {
    struct dev dev; /* first */
    struct pci_func pci;
    const struct host *host;
    struct ide_channel channel[IDE_CHANNELS];
    struct ide_counters counters;
    struct dev_counter table[IDE_COUNTERS];
};

/* Fills all but dev.ops and `pci`. `irq` gets the controller. -ENOMEM: nothing is left. */
int ide_controller_init(struct ide_controller *ide, const struct dev_env *env, const char *name,
                        void (*irq)(void *ctx, unsigned channel, bool level));
void ide_controller_finish(struct ide_controller *ide);

/* Channels and PCI function; registers beyond the PCI header are the model's. */
void ide_controller_reset(struct ide_controller *ide);
/* To be called when the PCI Command register may have changed. */
void ide_controller_command(struct ide_controller *ide);

/* BAR 4 by offset 0-15, a byte. */
uint8_t ide_controller_bmdma_read(struct ide_controller *ide, unsigned offset);
void ide_controller_bmdma_write(struct ide_controller *ide, unsigned offset, uint8_t value);

/* For struct dev_ops. */
bool ide_controller_quiesce(struct dev *dev);
void ide_controller_resume(struct dev *dev);
void ide_controller_save(const struct ide_controller *ide, struct state_writer *writer);
void ide_controller_load(struct ide_controller *ide, struct state_reader *reader, uint32_t version);

#endif
