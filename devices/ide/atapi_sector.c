/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an image of user data leaves out of a CD's sectors: ECMA-130 14 and annex A. */
#include <string.h>

#include "devices/ide/atapi_internal.h"

#define SYNC   12u
#define HEADER 4u
#define EDC    (ATAPI_SECTOR_USER + ATAPI_BLOCK) /* offset in the sector */
#define ECC_P  2076u
#define ECC_Q  2248u
#define MODE_1 0x01

bool atapi_fields_range(uint8_t fields, uint32_t *ret_first, uint32_t *ret_end)
{
    static const struct {
        uint8_t field;
        uint16_t first, end;
    } parts[] = {
        {ATAPI_FIELD_SYNC, 0, SYNC},
        {ATAPI_FIELD_HEADER, SYNC, ATAPI_SECTOR_USER},
        {ATAPI_FIELD_USER, ATAPI_SECTOR_USER, EDC},
        {ATAPI_FIELD_EDC, EDC, ATAPI_SECTOR},
    };
    uint32_t first = 0, end = 0;

    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!(fields & parts[i].field))
            continue;
        if (!end)
            first = parts[i].first;
        else if (end != parts[i].first)
            return false;
        end = parts[i].end;
    }
    *ret_first = first;
    *ret_end = end;
    return true;
}

/* Annex A: x^32 + x^31 + x^16 + x^15 + x^4 + x^3 + x + 1, the least significant bit first. */
static uint32_t edc(const uint8_t *bytes, uint32_t len)
{
    uint32_t crc = 0;

    for (uint32_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xd8018001u : 0);
    }
    return crc;
}

/* Annex A: the field of 256 elements over x^8 + x^4 + x^3 + x^2 + 1. */
static uint8_t twice(uint8_t a)
{
    return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
}

/* Divides by 3, whose inverse is F4h. */
static uint8_t third(uint8_t a)
{
    uint8_t sum = 0;

    for (unsigned factor = 0xf4; factor; factor >>= 1) {
        if (factor & 1)
            sum ^= a;
        a = twice(a);
    }
    return sum;
}

/* A code word's two parity bytes: the sum of all bytes is zero, and so is the sum with each byte
 * times 2 to the power of its distance from the end. */
struct parity {
    uint8_t weighted, sum;
};

static void parity_add(struct parity *parity, uint8_t byte)
{
    parity->weighted = twice(parity->weighted ^ byte);
    parity->sum ^= byte;
}

static void parity_end(const struct parity *parity, uint8_t *first, uint8_t *second)
{
    *first = third(twice(parity->weighted) ^ parity->sum);
    *second = *first ^ parity->sum;
}

/* The product code, from the header on, over 16-bit words whose two bytes are coded apart: P are 43
 * columns of 24 words, Q 26 diagonals of 43, over P's parity too. */
#define ECC_BASE SYNC
#define ROW      43u
#define P_WORDS  24u
#define Q_STRIDE 44u
#define Q_ROWS   26u
#define Q_WORDS  (ROW * Q_ROWS)

static void put_p(uint8_t *sector)
{
    const uint8_t *data = sector + ECC_BASE;

    for (unsigned i = 0; i < 2 * ROW; i++) {
        struct parity parity = {0};
        for (unsigned j = 0; j < P_WORDS; j++)
            parity_add(&parity, data[2 * ROW * j + i]);
        parity_end(&parity, sector + ECC_P + i, sector + ECC_P + 2 * ROW + i);
    }
}

static void put_q(uint8_t *sector)
{
    const uint8_t *data = sector + ECC_BASE;

    for (unsigned i = 0; i < 2 * Q_ROWS; i++) {
        struct parity parity = {0};
        unsigned word = i / 2 * ROW;
        for (unsigned j = 0; j < ROW; j++, word = (word + Q_STRIDE) % Q_WORDS)
            parity_add(&parity, data[2 * word + i % 2]);
        parity_end(&parity, sector + ECC_Q + i, sector + ECC_Q + 2 * Q_ROWS + i);
    }
}

static uint8_t bcd(uint8_t value)
{
    return (uint8_t)(value / 10 << 4 | value % 10);
}

void atapi_frame(uint32_t lba, const uint8_t user[ATAPI_BLOCK], uint8_t ret_frame[ATAPI_FRAME])
{
    uint8_t sector[ATAPI_SECTOR] = {0}, msf[4];

    memset(sector + 1, 0xff, SYNC - 2);
    atapi_put_msf(msf, lba);
    for (unsigned i = 0; i < 3; i++)
        sector[SYNC + i] = bcd(msf[i + 1]);
    sector[SYNC + 3] = MODE_1;
    memcpy(sector + ATAPI_SECTOR_USER, user, ATAPI_BLOCK);
    uint32_t sum = edc(sector, EDC);
    for (unsigned i = 0; i < 4; i++)
        sector[EDC + i] = (uint8_t)(sum >> (8 * i));
    put_p(sector);
    put_q(sector);
    memcpy(ret_frame, sector, ATAPI_SECTOR_USER);
    memcpy(ret_frame + ATAPI_SECTOR_USER, sector + EDC, ATAPI_FRAME - ATAPI_SECTOR_USER);
}
