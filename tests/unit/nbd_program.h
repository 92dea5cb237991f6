/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program that serves an image says at first (the protocol's doc/proto.md): each writes at
 * `at`, and returns where it has ended. */
#ifndef IOEMUD_TESTS_UNIT_NBD_PROGRAM_H
#define IOEMUD_TESTS_UNIT_NBD_PROGRAM_H

#include <assert.h>
#include <stdint.h>
#include <sys/socket.h>

#include "devices/backend/nbd.h"

/* "Transmission flags" */
#define NBD_HAS_FLAGS  0x01u
#define NBD_READ_ONLY  0x02u
#define NBD_SEND_FLUSH 0x04u
#define NBD_SEND_FUA   0x08u
#define NBD_ROTATIONAL 0x10u
#define NBD_SEND_TRIM  0x20u

static inline uint8_t *nbd_put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    return at + bytes;
}

/* "Handshake flags" */
static inline uint8_t *nbd_put_greeting(uint8_t *at, uint16_t flags)
{
    return nbd_put(nbd_put(nbd_put(at, 0x4e42444d41474943, 8), 0x49484156454f5054, 8), flags, 2);
}

/* To NBD_OPT_GO: of a reply type, with so many bytes to follow. */
static inline uint8_t *nbd_put_answer(uint8_t *at, uint32_t type, uint32_t length)
{
    return nbd_put(nbd_put(nbd_put(nbd_put(at, 0x3e889045565a9, 8), 7, 4), type, 4), length, 4);
}

static inline uint8_t *nbd_put_export(uint8_t *at, uint64_t bytes, uint16_t flags)
{
    return nbd_put(nbd_put(nbd_put(nbd_put_answer(at, 3, 12), 0, 2), bytes, 8), flags, 2);
}

static inline uint8_t *nbd_put_blocks(uint8_t *at, uint32_t least, uint32_t preferred,
                                      uint32_t most)
{
    return nbd_put(
        nbd_put(nbd_put(nbd_put(nbd_put_answer(at, 3, 14), 3, 2), least, 4), preferred, 4), most,
        4);
}

/* Its end is pair[1]. All of it at once, before anybody asks; what was asked is forgotten. */
static inline struct nbd_handle *nbd_program_hello(int pair[2], const uint8_t *text, size_t bytes,
                                                   struct nbd_export *ret_export)
{
    struct nbd_handle *handle;
    char why[NBD_WHY_SIZE];
    uint8_t asked[256];

    assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    assert(send(pair[1], text, bytes, MSG_NOSIGNAL) == (ssize_t)bytes);
    assert(!nbd_image_hello(pair[0], &handle, ret_export, why));
    assert(recv(pair[1], asked, sizeof(asked), MSG_DONTWAIT) > 20);
    return handle;
}

#endif
