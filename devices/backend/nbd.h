/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbd: an image that another program serves over a connected stream socket, by the NBD protocol
 * (github.com/NetworkBlockDevice/nbd, doc/proto.md) with simple replies: formats other than raw.
 *
 *   control side: nbd_hello_step() until it is not -EAGAIN, whenever the socket is readable
 *   worker:       nbd_open()
 *
 * A connection that is lost, or on which comes what is no reply, fails all requests with -EIO, for
 * good; it is shut down at once, so that the program ends, too. What the program does with the
 * image is its own: locks, O_DIRECT, when writes are stable.
 */
#ifndef IOEMUD_DEVICES_BACKEND_NBD_H
#define IOEMUD_DEVICES_BACKEND_NBD_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/blk_ops.h"

/* "Transmission flags" */
#define NBD_HAS_FLAGS  0x01u
#define NBD_READ_ONLY  0x02u
#define NBD_SEND_FLUSH 0x04u
#define NBD_SEND_FUA   0x08u
#define NBD_ROTATIONAL 0x10u
#define NBD_SEND_TRIM  0x20u

struct nbd_export {
    uint64_t bytes;
    uint32_t physical_block; /* bytes: what the program prefers */
    uint16_t flags;
    bool read_only;     /* the program says so, or the caller wants it so */
    bool write_through; /* the caller's: each write completes when it is stable */
};

/* The program's name and what can be had of it: "Fixed newstyle negotiation", NBD_OPT_GO of the
 * default export. Zeroed at first. */
#define NBD_HELLO_BYTES 1024u
struct nbd_hello {
    uint8_t bytes[NBD_HELLO_BYTES];
    uint32_t have;
    unsigned step, answers;
    struct nbd_export export;
    bool has_export;
    const char *why; /* of an error: a constant */
};

/* 0: hello->export is filled. -EAGAIN: again when `fd`, which need not block, is readable. Other
 * -errno, with `why`: the program has hung up, speaks otherwise (-EPROTO), does not have it, or its
 * blocks do not fit (-EINVAL). */
int nbd_hello_step(struct nbd_hello *hello, int fd);

/* Who is told that the connection is lost: once, from the loop, before the requests that fail by it
 * are; not after the image's close. `why` is a constant. Nothing may be closed from within. */
struct nbd_owner {
    void (*lost)(void *ctx, const char *why); /* NULL: nobody */
    void *ctx;
};

/* Takes `fd` over on success. -ENOMEM. */
int nbd_open(int fd, const struct nbd_export *export, const struct nbd_owner *owner,
             const struct loop *loop, struct pool *pool, struct blk_image **ret_image);

#endif
