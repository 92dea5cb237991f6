// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looks for what a guest was told is safe, after its store has lost all that was not.
 *
 * journal_check IMAGE RECORD
 *
 * Every record up to RECORD must be there; behind them each sector is whole or was never written
 * (zeroes). Prints what it found; status 0: all is well, 1: something is lost or torn, 2: trouble.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"

#define WORDS 5

int main(int argc, char **argv)
{
    static const uint8_t zero[JOURNAL_SECTOR];
    unsigned long safe = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    unsigned long lost = 0, torn = 0, beyond = 0;
    FILE *image = argc == 3 ? fopen(argv[1], "rb") : NULL;
    struct journal_sector found, made;

    if (!image) {
        fprintf(stderr, "journal_check IMAGE RECORD\n");
        return 2;
    }
    for (uint32_t record = 1;; record++) {
        for (uint32_t i = 0; i < journal_sectors(record); i++) {
            if (fread(&found, sizeof(found), 1, image) != 1)
                goto end;
            journal_make(&made, record, i);
            if (!memcmp(&found, &made, sizeof(found))) {
                beyond += record > safe;
                continue;
            }
            if (memcmp(&found, zero, sizeof(zero)))
                torn++;
            lost += record <= safe;
            if (record <= safe && lost <= WORDS)
                printf("record %u, sector %u of it: %s\n", record, i,
                       memcmp(&found, zero, sizeof(zero)) ? "torn" : "missing");
        }
    }
end:
    fclose(image);
    printf("%lu records safe, %lu sectors of them lost, %lu torn, %lu sectors more there\n", safe,
           lost, torn, beyond);
    return lost || torn;
}
