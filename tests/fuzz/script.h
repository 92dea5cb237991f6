/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fuzzer's input read as a script: byte by byte, zeroes when it is at its end. */
#ifndef IOEMUD_TESTS_FUZZ_SCRIPT_H
#define IOEMUD_TESTS_FUZZ_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

struct script {
    const uint8_t *data;
    size_t size;
};

static inline uint8_t take(struct script *script)
{
    if (!script->size)
        return 0;
    script->size--;
    return *script->data++;
}

static inline uint16_t take16(struct script *script)
{
    uint8_t low = take(script);
    return (uint16_t)(low | take(script) << 8);
}

/* Up to four, the first is the highest. */
static inline uint32_t take_n(struct script *script, unsigned bytes)
{
    uint32_t value = 0;

    while (bytes--)
        value = value << 8 | take(script);
    return value;
}

#endif
