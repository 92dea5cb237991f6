// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A simulated guest that writes the journal to its first disk until the disk fails, and says on
 * stdout, a line each, up to which record it has been told that all is safe.
 *
 * journal_guest SOCKET NAME flush|trust|cache-off
 *
 * flush: FLUSH CACHE behind each batch of records. trust: none, a write that is complete counts as
 * safe. cache-off: as trust, after SET FEATURES 82h.
 */
#include <stdio.h>
#include <string.h>

#include "tests/durability/told.h"
#include "tests/peer/ide.h"
#include "tests/xen/tiny/journal.h"

#define RAM          (1u << 20)
#define PRD          0x1000u
#define BUF          0x10000u
#define SET_FEATURES 0xef
#define CACHE_OFF    0x82
#define FEATURES     1

static int write_record(struct ide *disk, uint8_t *ram, uint32_t record, uint64_t lba)
{
    uint32_t sectors = journal_sectors(record);

    for (uint32_t i = 0; i < sectors; i++)
        journal_make((struct journal_sector *)(ram + BUF + i * JOURNAL_SECTOR), record, i);
    return record % 3 ? ide_dma_write(disk, lba, sectors, BUF)
                      : ide_pio_write(disk, IDE_PIO_REP16, lba, sectors, BUF);
}

static int cache_off(struct ide *disk)
{
    int rc = ide_wait_idle(disk);

    peer_out(disk->peer, 0, (uint16_t)(disk->cmd + FEATURES), 1, CACHE_OFF);
    if (!rc)
        rc = ide_command(disk, SET_FEATURES, 0, 0, false);
    return rc ? rc : ide_wait_idle(disk);
}

int main(int argc, char **argv)
{
    bool flush = argc == 4 && !strcmp(argv[3], "flush");
    struct peer *peer;
    struct ide disk;
    uint16_t identify[256];
    uint64_t lba = 0, end;
    uint8_t *ram;
    char reason[112] = "";

    if (argc != 4)
        return 2;
    struct peer_options options = {
        .socket = argv[1], .name = argv[2], .ram_size = RAM, .timeout_ms = 10000};
    if (peer_connect(&options, &peer, reason) || peer_wait_enabled(peer) ||
        ide_init(&disk, peer, 0, 0, 0, PRD) || ide_identify(&disk, identify)) {
        fprintf(stderr, "journal_guest: %s\n", *reason ? reason : "no disk");
        return 2;
    }
    ram = peer_ram(peer, 0, RAM);
    end = ide_capacity(identify);
    if (!strcmp(argv[3], "cache-off") && cache_off(&disk))
        return 2;
    for (uint32_t record = 1; lba + JOURNAL_RECORD_MAX * JOURNAL_BATCH_MAX <= end;) {
        uint32_t batch = journal_batch(record);

        for (uint32_t i = 0; i < batch; i++, record++) {
            if (write_record(&disk, ram, record, lba))
                goto failed;
            lba += journal_sectors(record);
        }
        if (flush && ide_flush(&disk))
            goto failed;
        told(record - 1);
    }
failed:
    peer_close(peer);
    return 0;
}
