/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tester of the hypervisor's buffered PIO (pio.c, in dom0) and its guest (guest.c) agree
 * on. The guest says what the tester is to do with the page, makes accesses and judges them.
 */
#ifndef IOEMU_TESTS_XEN_BUFPIO_PIO_H
#define IOEMU_TESTS_XEN_BUFPIO_PIO_H

#include <stdint.h>

/* Ports of the tester's server, eight each: the data ports of entries 0 and 1, and others. */
#define PIO_PRIMARY   0x1f0
#define PIO_SECONDARY 0x170
#define PIO_CONTROL   0x5a0
#define PIO_OTHERS    0x5b0
#define PIO_PORTS     8
/* Data ports of entries from 2 on, when a test says so. */
#define PIO_DATA2 (PIO_OTHERS + 0)
#define PIO_DATA3 (PIO_OTHERS + 4)
/* Nobody's. */
#define PIO_NOBODY 0x5c0
/* Claimed, but a device of Xen's own answers: where its power management timer is unless hvmloader
 * moves it. */
#define PIO_PM_TIMER 0x1f48

/* PIO_CONTROL: the guest writes the address of its struct pio_command, once; from then on any write
 * carries out what is in there. A read gives the mode. */

/* What the tester answers to a request at a data port, in every byte; its second server. */
#define PIO_REQUEST        0xeeu
#define PIO_REQUEST_SECOND 0x22u

enum pio_mode {
    PIO_MODE_TEST,
    PIO_MODE_GARBAGE, /* what a hostile device model can do */
    PIO_MODE_LEAVE,   /* the server is destroyed while both vCPUs read */
    PIO_MODE_LOOP,    /* reads and writes without end */
    PIO_MODE_DIES,    /* the tester is killed while a buffer is armed */
};

enum pio_op {
    PIO_POKE = 1, /* page[a], b bytes (1, 2, 4, 8) = c, d */
    PIO_PEEK,     /* result 0, 1 = 8 bytes at page[a] */
    PIO_FILL,     /* b bytes from page[a] on = pio_byte(seed c) */
    PIO_SUM,      /* result 0 = a sum of what lies behind all entries but for b bytes from a on */
    PIO_EXCHANGE, /* result 0, 1 = the word of entry a, which is 0 now */
    PIO_COUNT,    /* result: requests at data ports: reads, writes, strings; the last one's value
                   * or, for a string, its elements */
    PIO_SECOND,   /* a second server for the primary channel: a 1 comes, 0 goes; result 0 = its
                   * requests */
    PIO_BLINK,    /* once this is answered the server is disabled for a ms */
    PIO_STREAM,   /* a: enum pio_stream, on entry b */
    PIO_GARBAGE,  /* a: 0 end, 1 entries 0 and 1, 2 all of them */
    PIO_LEAVE,    /* once this is answered the server is destroyed */
};

/*
 * A stream keeps an entry armed as a device model would, and disarms it at random moments. Its
 * units are 16 bits. PIO_STREAM_READ numbers them from 0 (15 bits). PIO_STREAM_WRITE expects of
 * each vCPU its number in bit 15 and units counted from 0 in the others.
 * Its end: result 0 units through the page, 1 units by request, 2 times disarmed, 3 mistakes.
 */
enum pio_stream {
    PIO_STREAM_END,
    PIO_STREAM_READ,
    PIO_STREAM_WRITE,
};

struct pio_command {
    uint32_t op, a, b, c, d;
    uint32_t result[4];
};

/* What PIO_FILL puts at byte `at` of the page: the high nibble tells it from requests' answers. */
static inline uint8_t pio_byte(uint32_t seed, uint32_t at)
{
    return (uint8_t)(0xa0 | ((at * 7 + at / 16 * 5 + at / 256 * 3 + seed) & 0xf));
}

#endif
