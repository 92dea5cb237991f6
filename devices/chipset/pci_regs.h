/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device-specific configuration registers of the bridges, as tables. Most of them steer what a
 * hypervisor does itself or nobody does (DRAM timing): firmware writes them and reads them back.
 */
#ifndef IOEMUD_DEVICES_CHIPSET_PCI_REGS_H
#define IOEMUD_DEVICES_CHIPSET_PCI_REGS_H

#include "devices/pci.h"

struct pci_reg {
    uint8_t offset;
    uint8_t size; /* 1, 2 or 4 */
    uint32_t reset, writable, w1c;
};

static inline void pci_regs_reset(struct pci_func *func, const struct pci_reg *regs, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        pci_func_reg(func, regs[i].offset, regs[i].size, regs[i].reset, regs[i].writable,
                     regs[i].w1c);
}

#define PCI_REGS_COUNT(regs) (sizeof(regs) / sizeof((regs)[0]))

#endif
