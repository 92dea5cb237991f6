/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Never stops: PIO by rep and DMA in turn, reads and writes, so that the domain can be destroyed
 * in the middle of either. A second vCPU, if there is one, hammers registers meanwhile.
 */
#include "tiny.h"

#define LBA     2048
#define SECTORS 64

static struct ide ide, other;
static uint8_t buffer[65536] __attribute__((aligned(65536)));
static struct prd table[1] __attribute__((aligned(64)));

static void hammer(void)
{
    for (;;) {
        inb(0x177);
        inb(0x3f6);
    }
}

static bool pio(bool write)
{
    ide_command(&ide, write ? IDE_WRITE : IDE_READ, LBA, SECTORS);
    for (uint32_t i = 0; i < SECTORS; i++) {
        if (!(ide_wait(&ide) & IDE_DRQ))
            return false;
        if (write)
            rep_outsw(ide.command, buffer + i * IDE_SECTOR, 256);
        else
            rep_insw(ide.command, buffer + i * IDE_SECTOR, 256);
    }
    return true;
}

void tiny_main(void)
{
    if (!ide_setup(&ide, &other)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    print("storm begins, second vcpu: %u\n", smp_start(hammer));
    for (uint32_t turn = 0;; turn++) {
        bool good = pio(turn & 1);

        prd_set(table, buffer, SECTORS * IDE_SECTOR, true);
        good = ide_dma(&ide, turn & 1, LBA, SECTORS, table) == BM_INTERRUPT && good;
        if (!good) {
            check("storm", false, "turn %u failed", turn);
            for (;;) /* still there to be destroyed */
                pause();
        }
    }
}
