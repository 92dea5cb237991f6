/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes and checks disk images of the pattern that tiny guests know (pattern.h).
 *   pattern make FILE SEED LBA SECTORS     writes there (the file is made as needed)
 *   pattern check FILE SEED LBA SECTORS    0 when it holds; else 1 and the first difference
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

int main(int argc, char **argv)
{
    uint32_t seed, lba, sectors;
    FILE *file;
    int make;

    if (argc != 6) {
        fprintf(stderr, "usage: pattern make|check FILE SEED LBA SECTORS\n");
        return 2;
    }
    make = !strcmp(argv[1], "make");
    seed = strtoul(argv[3], NULL, 0);
    lba = strtoul(argv[4], NULL, 0);
    sectors = strtoul(argv[5], NULL, 0);
    file = fopen(argv[2], make ? "r+b" : "rb");
    if (!file && make)
        file = fopen(argv[2], "w+b");
    if (!file || fseek(file, (long)lba * 512, SEEK_SET)) {
        perror(argv[2]);
        return 2;
    }
    for (uint32_t index = lba * 128; index < (lba + sectors) * 128; index++) {
        uint32_t word = pattern_word(seed, index), found;

        if (make) {
            fwrite(&word, 4, 1, file);
        } else if (fread(&found, 4, 1, file) != 1 || found != word) {
            printf("sector %u, byte %u: not the pattern\n", index / 128, index % 128 * 4);
            return 1;
        }
    }
    return fclose(file) ? 2 : 0;
}
