/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CMD PCI0646U2 (its data sheet's register names): an IDE controller in PCI native mode, all of
 * whose ports are in BARs and whose channels share INTA, so that any number of them fits beside the
 * one at the legacy ports.
 *
 * Each channel's interrupt shows in three places: MRDMODE bit 2 or 3, and CFR bit 2 (primary) or
 * ARTTIM23 bit 4 (secondary). It is set as the drive raises INTRQ, and cleared as the drive drops
 * it or by writing 1 in either place. MRDMODE bits 4 and 5 keep it from INTA.
 *
 * Of the bus master registers, configuration space 70h-7Fh shows those that are not in SFF-8038i
 * and the two notes in each status register; MRDMODE, UDIDETCRx and BMIDECSR are also in BAR 4.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/ide/controller.h"

#define CFR       0x50
#define CNTRL     0x51
#define CMDTIM    0x52
#define ARTTIM23  0x57
#define DRWTIM3   0x5b
#define MRDMODE   0x71
#define BMIDESR0  0x72
#define UDIDETCR0 0x73
#define BMIDECSR  0x79
#define BMIDESR1  0x7a
#define UDIDETCR1 0x7b

#define CFR_INTR_CH0      0x04
#define CNTRL_ENABLED     0x0c /* both channels */
#define CNTRL_DIS_RA      0xc0 /* read ahead off, by drive of the primary channel */
#define ARTTIM23_INTR_CH1 0x10
#define MRDMODE_INTR(ch)  (0x04u << (ch))
#define MRDMODE_BLOCK(ch) (0x10u << (ch))
#define BMIDESR_NOTES     (BMISTA_DMA0 | BMISTA_DMA1)

#define REVISION 7 /* the U2, whose Ultra DMA works: drivers go by it */

struct cmd646 {
    struct ide_controller ide; /* first */
    uint8_t slot;
    bool pending[IDE_CHANNELS];
    char name[24];
};

/* All the places show what is pending, and INTA follows. */
static void update_interrupt(struct cmd646 *cmd)
{
    struct pci_func *pci = &cmd->ide.pci;
    uint32_t cfr = pci_func_get(pci, CFR, 1) & ~(uint32_t)CFR_INTR_CH0;
    uint32_t arttim = pci_func_get(pci, ARTTIM23, 1) & ~(uint32_t)ARTTIM23_INTR_CH1;
    uint32_t mode = pci_func_get(pci, MRDMODE, 1) & ~(MRDMODE_INTR(0) | MRDMODE_INTR(1));
    bool level = false;

    pci_func_set(pci, CFR, 1, cfr | (cmd->pending[0] ? CFR_INTR_CH0 : 0));
    pci_func_set(pci, ARTTIM23, 1, arttim | (cmd->pending[1] ? ARTTIM23_INTR_CH1 : 0));
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        mode |= cmd->pending[i] ? MRDMODE_INTR(i) : 0;
        level = level || (cmd->pending[i] && !(mode & MRDMODE_BLOCK(i)));
    }
    pci_func_set(pci, MRDMODE, 1, mode);
    if (pci_func_get(pci, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE)
        level = false;
    host_pci_intx(cmd->ide.host, cmd->slot, 0, level);
}

/* A bit that was cleared in one place is cleared in the others. */
static void acknowledge(struct cmd646 *cmd)
{
    const struct pci_func *pci = &cmd->ide.pci;
    uint32_t mode = pci_func_get(pci, MRDMODE, 1);

    if (!(pci_func_get(pci, CFR, 1) & CFR_INTR_CH0) || !(mode & MRDMODE_INTR(0)))
        cmd->pending[0] = false;
    if (!(pci_func_get(pci, ARTTIM23, 1) & ARTTIM23_INTR_CH1) || !(mode & MRDMODE_INTR(1)))
        cmd->pending[1] = false;
}

static void on_irq(void *ctx, unsigned channel, bool level)
{
    struct cmd646 *cmd = ctx;

    cmd->pending[channel] = level;
    update_interrupt(cmd);
}

static bool touches(uint32_t reg, unsigned size, uint32_t what)
{
    return reg <= what && what < reg + size;
}

static void pci_written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    struct cmd646 *cmd = dev;
    const struct pci_func *pci = &cmd->ide.pci;

    if (touches(reg, size, PCI_COMMAND) || touches(reg, size, PCI_COMMAND + 1))
        ide_controller_command(&cmd->ide);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        uint32_t alias = i ? BMIDESR1 : BMIDESR0;
        if (touches(reg, size, alias))
            ide_bmdma_write(&cmd->ide.channel[i], BMDMA_BMISTA,
                            (uint8_t)pci_func_get(pci, alias, 1));
    }
    acknowledge(cmd);
    update_interrupt(cmd);
}

/* BARs 0 and 2: command blocks. BARs 1 and 3: the control block's one register is at offset 2. */

#define CONTROL_OFFSET 2

static uint64_t command0_read(void *dev, uint64_t offset, unsigned size)
{
    return ide_command_ops.read(&((struct cmd646 *)dev)->ide.channel[0], offset, size);
}

static void command0_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    ide_command_ops.write(&((struct cmd646 *)dev)->ide.channel[0], offset, size, value);
}

static uint32_t command0_read_block(void *dev, uint64_t offset, unsigned size, void *buf,
                                    uint32_t count)
{
    return ide_command_ops.read_block(&((struct cmd646 *)dev)->ide.channel[0], offset, size, buf,
                                      count);
}

static uint32_t command0_write_block(void *dev, uint64_t offset, unsigned size, const void *buf,
                                     uint32_t count)
{
    return ide_command_ops.write_block(&((struct cmd646 *)dev)->ide.channel[0], offset, size, buf,
                                       count);
}

static uint32_t command0_window(void *dev, bool *ret_write, void *buf, uint32_t room)
{
    return ide_command_ops.window(&((struct cmd646 *)dev)->ide.channel[0], ret_write, buf, room);
}

static uint64_t command1_read(void *dev, uint64_t offset, unsigned size)
{
    return ide_command_ops.read(&((struct cmd646 *)dev)->ide.channel[1], offset, size);
}

static void command1_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    ide_command_ops.write(&((struct cmd646 *)dev)->ide.channel[1], offset, size, value);
}

static uint32_t command1_read_block(void *dev, uint64_t offset, unsigned size, void *buf,
                                    uint32_t count)
{
    return ide_command_ops.read_block(&((struct cmd646 *)dev)->ide.channel[1], offset, size, buf,
                                      count);
}

static uint32_t command1_write_block(void *dev, uint64_t offset, unsigned size, const void *buf,
                                     uint32_t count)
{
    return ide_command_ops.write_block(&((struct cmd646 *)dev)->ide.channel[1], offset, size, buf,
                                       count);
}

static uint32_t command1_window(void *dev, bool *ret_write, void *buf, uint32_t room)
{
    return ide_command_ops.window(&((struct cmd646 *)dev)->ide.channel[1], ret_write, buf, room);
}

static uint64_t control0_read(void *dev, uint64_t offset, unsigned size)
{
    return offset == CONTROL_OFFSET ? ide_alt_status(&((struct cmd646 *)dev)->ide.channel[0])
                                    : UINT64_MAX;
}

static void control0_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == CONTROL_OFFSET)
        ide_control_write(&((struct cmd646 *)dev)->ide.channel[0], (uint8_t)value);
}

static uint64_t control1_read(void *dev, uint64_t offset, unsigned size)
{
    return offset == CONTROL_OFFSET ? ide_alt_status(&((struct cmd646 *)dev)->ide.channel[1])
                                    : UINT64_MAX;
}

static void control1_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == CONTROL_OFFSET)
        ide_control_write(&((struct cmd646 *)dev)->ide.channel[1], (uint8_t)value);
}

/* BAR 4. */

static bool is_own(unsigned offset)
{
    return offset == (MRDMODE & 0xf) || offset == (UDIDETCR0 & 0xf) || offset == (BMIDECSR & 0xf) ||
           offset == (UDIDETCR1 & 0xf);
}

static uint64_t bmdma_bar_read(void *dev, uint64_t offset, unsigned size)
{
    struct cmd646 *cmd = dev;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)offset + i;
        uint8_t byte = is_own(at) ? (uint8_t)pci_func_get(&cmd->ide.pci, 0x70 + at, 1)
                                  : ide_controller_bmdma_read(&cmd->ide, at);
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void bmdma_bar_write_byte(struct cmd646 *cmd, unsigned offset, uint8_t value)
{
    struct pci_func *pci = &cmd->ide.pci;

    if (is_own(offset)) {
        pci_func_write(pci, 0x70 + offset, 1, value);
        return;
    }
    ide_controller_bmdma_write(&cmd->ide, offset, value);
    if (offset % BMDMA_PORTS == BMDMA_BMISTA)
        pci_func_set(pci, 0x70 + offset, 1, value & BMIDESR_NOTES);
}

static void bmdma_bar_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        bmdma_bar_write_byte(dev, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
}

static const struct bus_io_ops bar_ops[5] = {
    {command0_read, command0_write, command0_read_block, command0_write_block, 4, command0_window,
     ATA_REG_DATA},
    {.read = control0_read, .write = control0_write},
    {command1_read, command1_write, command1_read_block, command1_write_block, 4, command1_window,
     ATA_REG_DATA},
    {.read = control1_read, .write = control1_write},
    {.read = bmdma_bar_read, .write = bmdma_bar_write, .max_size = 4},
};
static const uint8_t bar_size[5] = {8, 4, 8, 4, IDE_BMDMA_SIZE};

/* Registers beyond the header, all of them one byte: timing is kept and means nothing here. */
static void init_registers(struct pci_func *pci)
{
    pci_func_reg(pci, CFR, 1, 0, 0, CFR_INTR_CH0);
    pci_func_reg(pci, CNTRL, 1, CNTRL_ENABLED, CNTRL_DIS_RA, 0);
    for (uint32_t reg = CMDTIM; reg <= DRWTIM3; reg++)
        pci_func_reg(pci, reg, 1, 0, 0xff, 0);
    pci_func_reg(pci, ARTTIM23, 1, 0, 0xff & ~ARTTIM23_INTR_CH1, ARTTIM23_INTR_CH1);
    pci_func_reg(pci, MRDMODE, 1, 0, 0x33, MRDMODE_INTR(0) | MRDMODE_INTR(1));
    pci_func_reg(pci, BMIDESR0, 1, 0, BMIDESR_NOTES, 0);
    pci_func_reg(pci, BMIDESR1, 1, 0, BMIDESR_NOTES, 0);
    pci_func_reg(pci, UDIDETCR0, 1, 0, 0xff, 0);
    pci_func_reg(pci, BMIDECSR, 1, 0, 0, 0); /* cables of 40 conductors */
    pci_func_reg(pci, UDIDETCR1, 1, 0, 0xff, 0);
}

static void cmd646_reset(struct dev *dev)
{
    struct cmd646 *cmd = (struct cmd646 *)dev;

    ide_controller_reset(&cmd->ide);
    init_registers(&cmd->ide.pci);
    update_interrupt(cmd);
}

static void cmd646_save(const struct dev *dev, struct state_writer *writer)
{
    ide_controller_save((const struct ide_controller *)dev, writer);
}

/* Loading the channels says which lines are up; a guest may have acknowledged one since. */
static void cmd646_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct cmd646 *cmd = (struct cmd646 *)dev;

    ide_controller_load(&cmd->ide, reader, version);
    if (reader->error)
        return;
    acknowledge(cmd);
    update_interrupt(cmd);
}

static void cmd646_destroy(struct dev *dev)
{
    struct cmd646 *cmd = (struct cmd646 *)dev;

    pci_func_finish(&cmd->ide.pci);
    ide_controller_finish(&cmd->ide);
    free(cmd);
}

static const struct dev_ops cmd646_ops = {
    .model = "cmd646",
    .version = IDE_STATE_VERSION,
    .reset = cmd646_reset,
    .quiesce = ide_controller_quiesce,
    .resume = ide_controller_resume,
    .save = cmd646_save,
    .load = cmd646_load,
    .destroy = cmd646_destroy,
};

int cmd646_create(const struct dev_env *env, struct dev **ret_dev)
{
    static const struct pci_id id = {
        .vendor = 0x1095,
        .device = 0x0646,
        .revision = REVISION,
        .class_code = 0x01018f, /* IDE, bus master, both channels native */
        .interrupt_pin = 1,
    };
    /* Slot 0 is the host bridge's: a function there would hide it. */
    if (env->spec->slot < 1 || env->spec->slot > 31)
        return -EINVAL;
    struct cmd646 *cmd = calloc(1, sizeof(*cmd));
    if (!cmd)
        return -ENOMEM;

    struct pci_func *pci = &cmd->ide.pci;
    cmd->slot = env->spec->slot;
    snprintf(cmd->name, sizeof(cmd->name), "cmd646-%u", env->spec->instance);
    cmd->ide.dev.ops = &cmd646_ops;
    cmd->ide.dev.data_ports = IDE_CHANNELS;
    if (ide_controller_init(&cmd->ide, env, cmd->name, on_irq)) {
        free(cmd);
        return -ENOMEM;
    }
    pci->name = "cmd646";
    pci->dev = cmd;
    pci->written = pci_written;
    for (unsigned i = 0; i < 5; i++)
        pci->bar[i] = (struct pci_bar){PCI_BAR_IO, bar_size[i], &bar_ops[i], false, 0};
    int err = pci_func_init(pci, env->bus, PCI_DEVFN(cmd->slot, 0), &id);
    if (err) {
        ide_controller_finish(&cmd->ide);
        free(cmd);
        return err;
    }
    init_registers(pci);
    *ret_dev = &cmd->ide.dev;
    return 0;
}
