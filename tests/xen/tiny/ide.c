/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Polled IDE for tiny guests; see tiny.h. */
#include "tiny.h"

#define PIIX3_IDE       0x0009 /* 00:01.1 */
#define PIIX3_IDE_ID    0x70108086u
#define BUS_MASTER_BASE 0xc000u
#define TIMEOUT_US      5000000u

/* Bus-master registers, Intel "Programming interface for bus master IDE controller" 1.0. */
#define BM_COMMAND   0
#define BM_STATUS    2
#define BM_TABLE     4
#define BM_START     0x01
#define BM_TO_MEMORY 0x08

bool ide_setup(struct ide *primary, struct ide *secondary)
{
    if (pci_read32(PIIX3_IDE, 0) != PIIX3_IDE_ID)
        return false;
    /* What hvmloader does: decode both channels, give BAR4 a place, enable I/O and mastering. */
    pci_write16(PIIX3_IDE, 0x40, 0x8000);
    pci_write16(PIIX3_IDE, 0x42, 0x8000);
    pci_write32(PIIX3_IDE, 0x20, BUS_MASTER_BASE | 1);
    pci_write16(PIIX3_IDE, 0x04, 0x0005);
    *primary = (struct ide){0x1f0, 0x3f6, BUS_MASTER_BASE, 0};
    *secondary = (struct ide){0x170, 0x376, BUS_MASTER_BASE + 8, 0};
    /*
     * No nIEN, though all is polled: the bus master's interrupt bit follows the drive's INTRQ,
     * which nIEN would hold back. The CPU's interrupts stay off.
     */
    outb(primary->control, 0);
    outb(secondary->control, 0);
    return true;
}

uint8_t ide_wait(const struct ide *ide)
{
    uint64_t end = rdtsc() + (uint64_t)tsc_khz() * (TIMEOUT_US / 1000);

    while (rdtsc() < end) {
        uint8_t status = inb(ide->control);

        if (!(status & IDE_BSY))
            return status;
    }
    return 0xff;
}

void ide_command(const struct ide *ide, uint8_t command, uint32_t lba, uint32_t count)
{
    outb(ide->command + 6, 0xe0 | ide->drive << 4 | (lba >> 24 & 0x0f));
    ide_wait(ide);
    outb(ide->command + 2, count);
    outb(ide->command + 3, lba);
    outb(ide->command + 4, lba >> 8);
    outb(ide->command + 5, lba >> 16);
    outb(ide->command + 7, command);
}

bool ide_start_pio(const struct ide *ide, uint8_t command, uint32_t lba, uint32_t count)
{
    uint8_t status;

    ide_command(ide, command, lba, count);
    status = ide_wait(ide);
    return (status & (IDE_BSY | IDE_DF | IDE_DRQ | IDE_ERR)) == IDE_DRQ;
}

uint8_t ide_dma(const struct ide *ide, bool write, uint32_t lba, uint32_t count,
                const struct prd *table)
{
    uint8_t direction = write ? 0 : BM_TO_MEMORY, status;
    uint64_t end = rdtsc() + (uint64_t)tsc_khz() * (TIMEOUT_US / 1000);

    outl(ide->master + BM_TABLE, (uint32_t)table);
    outb(ide->master + BM_COMMAND, direction);
    outb(ide->master + BM_STATUS, BM_ERROR | BM_INTERRUPT);
    ide_command(ide, write ? IDE_WRITE_DMA : IDE_READ_DMA, lba, count);
    outb(ide->master + BM_COMMAND, direction | BM_START);
    /* Active falls without an interrupt when the table is too short for the command. */
    do {
        status = inb(ide->master + BM_STATUS);
    } while (!(status & (BM_INTERRUPT | BM_ERROR)) && status & BM_ACTIVE && rdtsc() < end);
    outb(ide->master + BM_COMMAND, direction);
    if (!(status & (BM_INTERRUPT | BM_ERROR)) && status & BM_ACTIVE)
        return 0xff;
    ide_wait(ide);
    return status & (BM_ACTIVE | BM_ERROR | BM_INTERRUPT);
}

void prd_set(struct prd *prd, const volatile void *memory, uint32_t bytes, bool last)
{
    prd->address = (uint32_t)memory;
    prd->bytes = bytes;
    prd->flags = last ? 0x8000 : 0;
}
