/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the journal (journal.h) from sector 0 on until the disk fails or is full, by PIO and DMA
 * in turn, FLUSH CACHE behind each batch, and says on the serial port, a line each, up to which
 * record the disk has called all safe.
 */
#include "tiny.h"

#include "journal.h"

#ifndef JOURNAL_FLUSHES
#define JOURNAL_FLUSHES true
#endif

#define SERIAL_DATA   0x3f8
#define SERIAL_STATUS 0x3fd
#define SERIAL_ROOM   0x20

static struct ide ide, other;
static struct journal_sector buffer[JOURNAL_RECORD_MAX] __attribute__((aligned(65536)));
static uint16_t identify[256];
static struct prd table[1] __attribute__((aligned(64)));

static void say(uint32_t number)
{
    char digits[12];
    int n = 0;

    digits[n++] = '\n';
    do
        digits[n++] = '0' + number % 10;
    while (number /= 10);
    while (n) {
        while (!(inb(SERIAL_STATUS) & SERIAL_ROOM))
            pause();
        outb(SERIAL_DATA, digits[--n]);
    }
}

static bool is_good(uint8_t status)
{
    return !(status & (IDE_BSY | IDE_ERR | IDE_DF));
}

static bool write_pio(uint32_t lba, uint32_t sectors)
{
    ide_command(&ide, IDE_WRITE, lba, sectors);
    for (uint32_t i = 0; i < sectors; i++) {
        if (!(ide_wait(&ide) & IDE_DRQ))
            return false;
        rep_outsw(ide.command, &buffer[i], IDE_SECTOR / 2);
    }
    return is_good(ide_wait(&ide));
}

static bool write_dma(uint32_t lba, uint32_t sectors)
{
    prd_set(table, buffer, sectors * IDE_SECTOR, true);
    return ide_dma(&ide, true, lba, sectors, table) == BM_INTERRUPT && is_good(ide_wait(&ide));
}

static bool flush(void)
{
    ide_command(&ide, IDE_FLUSH, 0, 0);
    return is_good(ide_wait(&ide));
}

void tiny_main(void)
{
    uint32_t lba = 0, end, record = 1;
    bool good = true;

    if (!ide_setup(&ide, &other) || !ide_start_pio(&ide, IDE_IDENTIFY, 0, 0)) {
        check("disk", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    rep_insw(ide.command, identify, 256);
    end = identify[60] | (uint32_t)identify[61] << 16;
    while (good && lba + JOURNAL_BATCH_MAX * JOURNAL_RECORD_MAX <= end) {
        for (uint32_t batch = journal_batch(record); good && batch; batch--, record++) {
            uint32_t sectors = journal_sectors(record);

            for (uint32_t i = 0; i < sectors; i++)
                journal_make(&buffer[i], record, i);
            good = record % 3 ? write_dma(lba, sectors) : write_pio(lba, sectors);
            lba += sectors;
        }
        good = good && (!JOURNAL_FLUSHES || flush());
        if (good)
            say(record - 1);
    }
    finish();
}
