/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What iPXE boots, as a Multiboot kernel: looks whether the module that came with it is whole. Its
 * command line, after its own name: the module's size and MD5, and what else is to be printed.
 */
#include "../../tiny/tiny.h"

#define MULTIBOOT_MAGIC   0x1badb002u
#define MULTIBOOT_CMDLINE 0x4u
#define MULTIBOOT_MODULES 0x8u

/* Multiboot 0.6.96, 3.1.1; in the section that comes first, as it must be within 8 KiB. */
__attribute__((section(".start"), aligned(4), used)) static const uint32_t multiboot_header[3] = {
    MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC};

/* 3.3 */
struct multiboot {
    uint32_t flags, memory[2], boot_device, cmdline, n_modules, modules;
};

struct multiboot_module {
    uint32_t start, end, string, reserved;
};

/* RFC 1321, 3.4: the shifts of each round, and floor(2^32 * abs(sin(i + 1))). */
static const uint8_t shift[4][4] = {
    {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
static const uint32_t sine[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static void md5_block(uint32_t state[4], const uint32_t *word)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];

    for (unsigned i = 0; i < 64; i++) {
        unsigned round = i / 16, by = shift[round][i % 4], k;
        uint32_t f, sum;

        if (round == 0) {
            f = (b & c) | (~b & d);
            k = i;
        } else if (round == 1) {
            f = (d & b) | (~d & c);
            k = (5 * i + 1) % 16;
        } else if (round == 2) {
            f = b ^ c ^ d;
            k = (3 * i + 5) % 16;
        } else {
            f = c ^ (b | ~d);
            k = 7 * i % 16;
        }
        sum = a + f + sine[i] + word[k];
        a = d;
        d = c;
        c = b;
        b += sum << by | sum >> (32 - by);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

/* In hexadecimal. */
static void md5(const uint8_t *data, uint32_t bytes, char ret_text[33])
{
    uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    uint32_t rest = bytes % 64, tail[32];

    for (uint32_t at = 0; at < bytes - rest; at += 64)
        md5_block(state, (const uint32_t *)(data + at));
    memset(tail, 0, sizeof(tail));
    memcpy(tail, data + bytes - rest, rest);
    ((uint8_t *)tail)[rest] = 0x80;
    tail[rest < 56 ? 14 : 30] = bytes << 3;
    tail[rest < 56 ? 15 : 31] = bytes >> 29;
    md5_block(state, tail);
    if (rest >= 56)
        md5_block(state, tail + 16);
    for (unsigned i = 0; i < 32; i++)
        ret_text[i] =
            "0123456789abcdef"[(uint8_t)(state[i / 8] >> (i / 2 % 4 * 8)) >> (i & 1 ? 0 : 4) & 15];
    ret_text[32] = '\0';
}

/* The next word of the line, or an empty one. */
static char *next_word(char **line)
{
    char *begin = *line;

    while (*begin == ' ')
        begin++;
    for (*line = begin; **line && **line != ' '; (*line)++)
        ;
    if (**line)
        *(*line)++ = '\0';
    return begin;
}

static uint32_t number(const char *text)
{
    uint32_t value = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint32_t)(*text - '0');
    return value;
}

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

void tiny_main(void)
{
    const struct multiboot *info = (const struct multiboot *)boot_information;
    const uint32_t wanted_flags = MULTIBOOT_CMDLINE | MULTIBOOT_MODULES;
    const struct multiboot_module *module;
    const char *wanted_size, *wanted_md5;
    char *line, found[33];

    if (!info || (info->flags & wanted_flags) != wanted_flags) {
        check("booted", false, "no boot loader's information");
        finish();
    }
    line = (char *)info->cmdline;
    next_word(&line);
    wanted_size = next_word(&line);
    wanted_md5 = next_word(&line);
    print("card %s\n", line);
    check("booted", info->n_modules == 1, "%u modules", info->n_modules);
    module = (const struct multiboot_module *)info->modules;
    check("size", module->end - module->start == number(wanted_size), "%u bytes, not %s",
          module->end - module->start, wanted_size);
    md5((const uint8_t *)module->start, module->end - module->start, found);
    check("checksum", same(found, wanted_md5), "%s, not %s", found, wanted_md5);
    finish();
}
