/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a little of everything with its disk, says exactly how much that was, and sleeps, so that
 * whoever has counted it, too, can be compared. Sectors 0 to 2047 hold pattern seed 1; what is
 * written is seed 2.
 */
#include "tiny.h"

#define SECTORS     64u /* a DMA command */
#define PIO_SECTORS 8u
#define WRITE_BASE  2048u

static struct ide ide, other;
static uint8_t buffer[SECTORS * IDE_SECTOR] __attribute__((aligned(65536)));
static struct prd table[1] __attribute__((aligned(64)));
static struct {
    uint32_t reads, writes, flushes, read_bytes, written_bytes;
} disk;

static void count_disk(bool write, uint32_t sectors)
{
    if (write) {
        disk.writes++;
        disk.written_bytes += sectors * IDE_SECTOR;
    } else {
        disk.reads++;
        disk.read_bytes += sectors * IDE_SECTOR;
    }
}

static bool dma(bool write, uint32_t lba)
{
    prd_set(table, buffer, sizeof(buffer), true);
    count_disk(write, SECTORS);
    return ide_dma(&ide, write, lba, SECTORS, table) == BM_INTERRUPT;
}

/* By strings of a sector, none of which leaves its page. */
static bool pio(bool write, uint32_t lba)
{
    count_disk(write, PIO_SECTORS);
    ide_command(&ide, write ? IDE_WRITE : IDE_READ, lba, PIO_SECTORS);
    for (uint32_t i = 0; i < PIO_SECTORS; i++) {
        if (!(ide_wait(&ide) & IDE_DRQ))
            return false;
        if (write)
            rep_outsw(ide.command, buffer + i * IDE_SECTOR, IDE_SECTOR / 2);
        else
            rep_insw(ide.command, buffer + i * IDE_SECTOR, IDE_SECTOR / 2);
    }
    return !(ide_wait(&ide) & (IDE_ERR | IDE_DRQ));
}

static bool single(uint32_t lba)
{
    count_disk(false, 1);
    if (!ide_start_pio(&ide, IDE_READ, lba, 1))
        return false;
    for (uint32_t i = 0; i < IDE_SECTOR; i += 4)
        *(uint32_t *)(buffer + i) = inl(ide.command);
    return true;
}

static bool flush(void)
{
    disk.flushes++;
    ide_command(&ide, IDE_FLUSH, 0, 0);
    return !(ide_wait(&ide) & IDE_ERR);
}

static void work(void)
{
    bool good = true;

    for (uint32_t i = 0; i < 8; i++)
        good =
            dma(false, i * SECTORS) && pattern_check(buffer, 1, i * SECTORS, SECTORS) == -1 && good;
    check("dma-reads", good, "turn by turn");
    good = pio(false, 1000) && pattern_check(buffer, 1, 1000, PIO_SECTORS) == -1;
    check("pio-reads", good, "8 sectors");
    check("single-reads", single(77) && pattern_check(buffer, 1, 77, 1) == -1, "a sector");
    pattern_fill(buffer, 2, WRITE_BASE, SECTORS);
    check("dma-writes", dma(true, WRITE_BASE) && flush(), "64 sectors");
    pattern_fill(buffer, 2, WRITE_BASE + SECTORS, PIO_SECTORS);
    check("pio-writes", pio(true, WRITE_BASE + SECTORS) && flush(), "8 sectors");
}

void tiny_main(void)
{
    /* No interrupt of a PIC that nobody has set up: hlt is to last. */
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    if (!ide_setup(&ide, &other)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    work();
    tiny_counts_print();
    print("counted disk/reads %u\n", disk.reads);
    print("counted disk/read_bytes %u\n", disk.read_bytes);
    print("counted disk/writes %u\n", disk.writes);
    print("counted disk/written_bytes %u\n", disk.written_bytes);
    print("counted disk/flushes %u\n", disk.flushes);
    print("written sectors=%u\n", SECTORS + PIO_SECTORS);
    print("counted end\n");
    /* With interrupts off Xen would take the only vCPU's hlt for the end of the domain. */
    for (;;)
        __asm__ volatile("sti; hlt");
}
