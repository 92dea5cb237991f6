/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The content of test disks, known to tiny guests and to pattern.c. */
#ifndef IOEMU_TESTS_XEN_PATTERN_H
#define IOEMU_TESTS_XEN_PATTERN_H

#include <stdint.h>

/* Word `index` (of 4 bytes) of the disk, for a seed: no two near words alike. */
static inline uint32_t pattern_word(uint32_t seed, uint32_t index)
{
    uint32_t x = index * 2654435761u ^ seed * 0x9e3779b9u;

    x ^= x >> 15;
    x *= 0x85ebca6bu;
    return x ^ x >> 13;
}

#endif
