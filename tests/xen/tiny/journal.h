/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal that guests write for the durability tests: numbered records of one to eight sectors,
 * one after the other from sector 0 on. Each sector says which it is and has a checksum, so that
 * one that was written in part is told from one that was not written.
 *
 * Freestanding: a guest without a libc writes it (journal.c), a program on the host
 * (journal-check.c) checks it; tests/durability has a simulated guest that writes it, too.
 */
#ifndef IOEMUD_TESTS_XEN_JOURNAL_H
#define IOEMUD_TESTS_XEN_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_SECTOR     512u
#define JOURNAL_RECORD_MAX 8u /* sectors */
#define JOURNAL_BATCH_MAX  4u /* records between two flushes */
#define JOURNAL_MAGIC      0x314c4e4au

struct journal_sector {
    uint32_t magic;
    uint32_t record; /* counted from 1 */
    uint32_t index;  /* of the sector within the record */
    uint32_t payload[124];
    uint32_t crc; /* of all before it */
};
_Static_assert(sizeof(struct journal_sector) == JOURNAL_SECTOR, "a sector");

static inline uint32_t journal_random(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

/* Sectors of a record, and records that are written before the next flush. */
static inline uint32_t journal_sectors(uint32_t record)
{
    return 1 + journal_random(record) % JOURNAL_RECORD_MAX;
}

static inline uint32_t journal_batch(uint32_t record)
{
    return 1 + journal_random(record + 0x10000) % JOURNAL_BATCH_MAX;
}

/* CRC-32 as in IEEE 802.3 3.2.9, reflected. */
static inline uint32_t journal_crc(const void *data, uint32_t len)
{
    const uint8_t *bytes = data;
    uint32_t crc = 0xffffffff;

    for (uint32_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static inline void journal_make(struct journal_sector *sector, uint32_t record, uint32_t index)
{
    uint32_t x = record * 0x9e3779b9u + index + 1;

    sector->magic = JOURNAL_MAGIC;
    sector->record = record;
    sector->index = index;
    for (unsigned i = 0; i < sizeof(sector->payload) / sizeof(sector->payload[0]); i++)
        sector->payload[i] = x = journal_random(x);
    sector->crc = journal_crc(sector, sizeof(*sector) - sizeof(sector->crc));
}

#endif
