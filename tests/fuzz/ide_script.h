/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What fuzz_ide.c takes from its script: disks that are there more often, opcodes that exist. */
#ifndef IOEMUD_TESTS_FUZZ_IDE_SCRIPT_H
#define IOEMUD_TESTS_FUZZ_IDE_SCRIPT_H

#include "tests/fuzz/script.h"

static inline unsigned take_disk(struct script *script)
{
    static const uint8_t disks[] = {0, 0, 0, 1, 3, 3, 2, 0};
    return disks[take(script) % 8];
}

static inline uint8_t take_opcode(struct script *script)
{
    static const uint8_t usual[] = {
        0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42, 0x70, 0x90,
        0x91, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe0, 0xe1, 0xe5, 0xe6, 0xe7, 0xea,
        0xec, 0xef, 0x00, 0x10, 0x06, 0x2f, 0x3f, 0x47, 0x57, 0xb0, 0x3d, 0xce,
    };
    uint8_t pick = take(script);
    return pick < 0xe0 ? usual[pick % sizeof(usual)] : take(script);
}

#endif
