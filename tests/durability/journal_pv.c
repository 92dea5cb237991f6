// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The backend of blkif over a raw image or an NBD server's socket, and a frontend that writes the
 * journal to it until the disk fails, and says on stdout, a line each, up to which record it has
 * been told that all is safe. (There are no PV disks over hv_shm: this is the backend by itself.)
 *
 * journal_pv IMAGE flush|trust|barrier
 *
 * The records of a batch are in flight together. flush: a flush behind each batch. barrier: the
 * last record of each batch is one. trust: neither, a write that is complete counts as safe.
 */
#include <stdio.h>
#include <string.h>

#include "tests/durability/told.h"
#include "tests/unit/pvblk_rig.h"
#include "tests/xen/tiny/journal.h"

_Static_assert(JOURNAL_RECORD_MAX *JOURNAL_SECTOR <= GRANT_PAGE, "a record lies in a page");

enum mode { FLUSH, TRUST, BARRIER };

static uint64_t put_record(struct pv_rig *rig, uint8_t operation, uint32_t page, uint32_t record,
                           uint64_t lba)
{
    uint32_t sectors = journal_sectors(record);
    struct blkif_segment segment = {.ref = page, .last = (uint8_t)(sectors - 1)};

    for (uint32_t i = 0; i < sectors; i++)
        journal_make((struct journal_sector *)(void *)(pv_rig_page(rig, page) + i * JOURNAL_SECTOR),
                     record, i);
    pv_rig_request(rig, 0, operation, record, lba, &segment, 1);
    return sectors;
}

/* False: not all of so many requests were done. */
static bool done(struct pv_rig *rig, uint32_t requests)
{
    bool good = true;

    pv_rig_kick(rig);
    while (requests--) {
        struct blkfront_response response;

        pv_rig_wait(rig, 0, &response);
        good &= response.status == BLKIF_OKAY;
    }
    return good;
}

/* Returns how many sectors it is; 0: it failed. */
static uint64_t write_batch(struct pv_rig *rig, enum mode mode, uint32_t record, uint32_t batch,
                            uint64_t lba)
{
    uint64_t written = 0;

    for (uint32_t i = 0; i < batch; i++)
        written += put_record(rig, mode == BARRIER && i == batch - 1 ? BLKIF_BARRIER : BLKIF_WRITE,
                              i, record + i, lba + written);
    if (!done(rig, batch))
        return 0;
    if (mode == FLUSH) {
        pv_rig_request(rig, 0, BLKIF_FLUSH, 0, 0, NULL, 0);
        if (!done(rig, 1))
            return 0;
    }
    return written;
}

int main(int argc, char **argv)
{
    enum mode mode = argc != 3                     ? TRUST
                     : !strcmp(argv[2], "flush")   ? FLUSH
                     : !strcmp(argv[2], "barrier") ? BARRIER
                                                   : TRUST;
    static struct pv_rig rig;
    uint64_t lba = 0;

    if (argc != 3 || (mode == TRUST && strcmp(argv[2], "trust")))
        return 2;
    pv_rig_init(&rig, &(struct pv_rig_options){.path = argv[1]});
    for (uint32_t record = 1; lba + JOURNAL_RECORD_MAX * JOURNAL_BATCH_MAX <= rig.sectors;) {
        uint32_t batch = journal_batch(record);
        uint64_t written = write_batch(&rig, mode, record, batch, lba);

        if (!written)
            break;
        lba += written;
        record += batch;
        told(record - 1);
    }
    pv_rig_finish(&rig);
    return 0;
}
