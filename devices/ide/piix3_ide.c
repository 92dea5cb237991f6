/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE function of the PIIX3 (Intel 290550-002, "82371FB (PIIX) and 82371SB (PIIX3)", 2.3 and
 * 2.7): 00:01.1, both channels at the ports and interrupts that every PC has them at.
 *
 * The legacy ports are decoded while PCI Command bit 0 (IOSE) and the channel's IDETIM bit 15 (IDE)
 * are set; firmware sets both. The timing bits are kept for whoever reads them back.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/ide/controller.h"

#define DEVFN PCI_DEVFN(1, 1)

#define IDETIM_PRIMARY   0x40 /* 16 bits a channel */
#define IDETIM_SECONDARY 0x42
#define IDETIM_IDE       0x8000
#define SIDETIM          0x44

static const struct {
    uint16_t command, control;
    uint8_t irq, idetim;
} legacy[IDE_CHANNELS] = {
    {0x1f0, 0x3f6, 14, IDETIM_PRIMARY},
    {0x170, 0x376, 15, IDETIM_SECONDARY},
};

struct piix3_ide {
    struct ide_controller ide; /* first */
    struct bus *bus;
    bool decoded[IDE_CHANNELS];
};

static void release_channel(struct piix3_ide *piix3, unsigned i)
{
    if (!piix3->decoded[i])
        return;
    bus_release(piix3->bus, BUS_PORT, legacy[i].command);
    bus_release(piix3->bus, BUS_PORT, legacy[i].control);
    piix3->decoded[i] = false;
}

static int claim_channel(struct piix3_ide *piix3, unsigned i)
{
    struct ide_channel *channel = &piix3->ide.channel[i];
    int err;

    if (piix3->decoded[i])
        return 0;
    err = bus_claim(piix3->bus, BUS_PORT, legacy[i].command, IDE_COMMAND_PORTS, &ide_command_ops,
                    channel);
    if (err)
        return err;
    err = bus_claim(piix3->bus, BUS_PORT, legacy[i].control, 1, &ide_control_ops, channel);
    if (err) {
        bus_release(piix3->bus, BUS_PORT, legacy[i].command);
        return err;
    }
    piix3->decoded[i] = true;
    return 0;
}

static void update_decode(struct piix3_ide *piix3)
{
    const struct pci_func *pci = &piix3->ide.pci;
    bool iose = pci_func_get(pci, PCI_COMMAND, 2) & PCI_COMMAND_IO;

    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        if (!iose || !(pci_func_get(pci, legacy[i].idetim, 2) & IDETIM_IDE)) {
            release_channel(piix3, i);
            continue;
        }
        int err = claim_channel(piix3, i);
        if (err)
            host_log(piix3->ide.host, HOST_LOG_WARN, piix3->ide.dev.name,
                     "event=ports-refused port=%#x error=%d", legacy[i].command, -err);
    }
}

static void pci_written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    struct piix3_ide *piix3 = dev;
    bool command = reg < PCI_COMMAND + 2 && reg + size > PCI_COMMAND;
    bool idetim = reg < IDETIM_SECONDARY + 2 && reg + size > IDETIM_PRIMARY;

    if (command)
        ide_controller_command(&piix3->ide);
    if (command || idetim)
        update_decode(piix3);
}

static uint64_t bmdma_bar_read(void *dev, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)ide_controller_bmdma_read(dev, (unsigned)offset + i) << (8 * i);
    return value;
}

static void bmdma_bar_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        ide_controller_bmdma_write(dev, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
}

static const struct bus_io_ops bmdma_bar_ops = {
    .read = bmdma_bar_read,
    .write = bmdma_bar_write,
    .max_size = 4,
};

static void on_irq(void *ctx, unsigned channel, bool level)
{
    const struct piix3_ide *piix3 = ctx;
    host_isa_irq(piix3->ide.host, legacy[channel].irq, level);
}

static void piix3_ide_reset(struct dev *dev)
{
    struct piix3_ide *piix3 = (struct piix3_ide *)dev;

    pci_func_set(&piix3->ide.pci, IDETIM_PRIMARY, 4, 0);
    pci_func_set(&piix3->ide.pci, SIDETIM, 1, 0);
    ide_controller_reset(&piix3->ide);
    update_decode(piix3);
}

static void piix3_ide_save(const struct dev *dev, struct state_writer *writer)
{
    ide_controller_save((const struct ide_controller *)dev, writer);
}

static void piix3_ide_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct piix3_ide *piix3 = (struct piix3_ide *)dev;

    ide_controller_load(&piix3->ide, reader, version);
    if (!reader->error)
        update_decode(piix3);
}

static void piix3_ide_destroy(struct dev *dev)
{
    struct piix3_ide *piix3 = (struct piix3_ide *)dev;

    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        release_channel(piix3, i);
    pci_func_finish(&piix3->ide.pci);
    ide_controller_finish(&piix3->ide);
    free(piix3);
}

static const struct dev_ops piix3_ide_ops = {
    .model = "piix3-ide",
    .version = IDE_STATE_VERSION,
    .reset = piix3_ide_reset,
    .quiesce = ide_controller_quiesce,
    .resume = ide_controller_resume,
    .save = piix3_ide_save,
    .load = piix3_ide_load,
    .destroy = piix3_ide_destroy,
};

int piix3_ide_create(const struct dev_env *env, struct dev **ret_dev)
{
    static const struct pci_id id = {
        .vendor = 0x8086,
        .device = 0x7010,
        .class_code = 0x010180, /* IDE, bus master, both channels at the legacy ports */
    };
    struct piix3_ide *piix3 = calloc(1, sizeof(*piix3));
    if (!piix3)
        return -ENOMEM;

    struct pci_func *pci = &piix3->ide.pci;
    piix3->bus = env->bus;
    piix3->ide.dev.ops = &piix3_ide_ops;
    if (ide_controller_init(&piix3->ide, env, "ide0", on_irq)) {
        free(piix3);
        return -ENOMEM;
    }
    pci->name = "piix3-ide";
    pci->dev = piix3;
    pci->written = pci_written;
    pci->bar[IDE_BMDMA_BAR] = (struct pci_bar){
        .type = PCI_BAR_IO,
        .size = IDE_BMDMA_SIZE,
        .ops = &bmdma_bar_ops,
    };
    int err = pci_func_init(pci, env->bus, DEVFN, &id);
    if (err) {
        ide_controller_finish(&piix3->ide);
        free(piix3);
        return err;
    }
    pci_func_reg(pci, IDETIM_PRIMARY, 4, 0, 0xffffffff, 0);
    pci_func_reg(pci, SIDETIM, 1, 0, 0xff, 0);
    *ret_dev = &piix3->ide.dev;
    return 0;
}

void piix3_ide_unplug_disks(struct dev *dev)
{
    struct piix3_ide *piix3 = (struct piix3_ide *)dev;

    for (unsigned i = 0; i < IDE_CHANNELS * IDE_DRIVES; i++)
        ide_channel_unplug(&piix3->ide.channel[i / IDE_DRIVES], i % IDE_DRIVES);
}

void piix3_ide_unplug_aux_disks(struct dev *dev)
{
    struct piix3_ide *piix3 = (struct piix3_ide *)dev;

    for (unsigned i = 1; i < IDE_CHANNELS * IDE_DRIVES; i++)
        ide_channel_unplug(&piix3->ide.channel[i / IDE_DRIVES], i % IDE_DRIVES);
}
