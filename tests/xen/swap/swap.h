/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tester of the frame swap (swapper.c, in a PVH dom0) and its guest (guest.c) agree on.
 * The guest grants pages, fills them, and judges what it finds in them when the tester says so,
 * through a page of its memory.
 */
#ifndef IOEMU_TESTS_XEN_SWAP_H
#define IOEMU_TESTS_XEN_SWAP_H

#include <stdint.h>

#define SWAP_PAGES 512u
#define SWAP_WORDS 1024u /* of a page */

/* Guest-physical. All of the guest's memory is large pages, and this is one of them. */
#define SWAP_MEMORY  0xa00000u
#define SWAP_COMMAND 0x800000u
/* Where the guest's grant table appears, two frames; no RAM and no device is there. */
#define SWAP_TABLE 0xf2000000u
#define SWAP_HOLE  0xf3000000u
/* Pages beyond those, for what must fail. */
#define SWAP_SPARE(n) (SWAP_MEMORY + 0x1000u * (SWAP_PAGES + (n)))

/* Grant references: of page i, and others. */
#define SWAP_REF(i) (16u + (i))
enum swap_ref {
    SWAP_REF_READONLY = SWAP_REF(SWAP_PAGES), /* spare 0, to dom0 */
    SWAP_REF_HOLE,                            /* no RAM */
    SWAP_REF_OTHER,                           /* spare 1, to domain 0x7000 */
    SWAP_REF_BUSY,                            /* spare 2 */
    SWAP_REF_TWIN,                            /* spare 2 once more */
    SWAP_REF_TABLE,                           /* a frame of the grant table itself */
    SWAP_REF_FREE,                            /* grants nothing */
    SWAP_REFS,
    SWAP_REF_BEYOND = 0x7fffffff,
};

enum swap_op {
    SWAP_FILL = 1, /* all pages, with `seed` */
    SWAP_CHECK,    /* result: pages that are not as filled with `seed` */
    SWAP_TOUCH,    /* writes a word of each page until the next command */
    SWAP_STOP,     /* says "done" and powers off */
};

struct swap_command {
    uint32_t ready;    /* the guest: commands that it has carried out, plus one */
    uint32_t sequence; /* the tester: number of the command, from 1 */
    uint32_t op;
    uint32_t seed;
    uint32_t result;
    uint32_t first; /* of the bad pages; what it should have had and had */
    uint32_t wanted, found;
};

/* A word of a page. `page` is the number that its content had when it was filled in. */
static inline uint32_t swap_word(uint32_t seed, uint32_t page, uint32_t word)
{
    uint32_t x = seed * 0x9e3779b1u + page * 0x85ebca77u + word * 0xc2b2ae3du;

    x ^= x >> 15;
    x *= 0x2c1b3c6du;
    return x ^ x >> 12;
}

#endif
