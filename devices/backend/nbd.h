/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbd: an image that another program serves over a connected stream socket, by the NBD protocol
 * (github.com/NetworkBlockDevice/nbd, doc/proto.md), which libnbd speaks: formats other than raw.
 *
 *   a thread of its own: nbd_image_hello()
 *   worker:              nbd_image_open()
 *
 * The program reads images whose contents guests wrote, so what it says is not taken on trust. It
 * may talk without end while it is asked what it has, hence the thread; after that libnbd takes no
 * more than was asked for. A connection that is lost, or on which comes what is no reply, fails all
 * requests with -EIO, for good; it is closed at once, so that the program ends, too. What the
 * program does with the image is its own: locks, O_DIRECT, when writes are stable.
 *
 * The library takes memory for each command, and data for it or from it lies in one piece: requests
 * whose pages do not are several commands. Raw images, the fast ones, are raw.c's.
 */
#ifndef IOEMUD_DEVICES_BACKEND_NBD_H
#define IOEMUD_DEVICES_BACKEND_NBD_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/blk_ops.h"

struct nbd_handle; /* libnbd's: a connection */

struct nbd_export {
    uint64_t bytes;
    uint32_t physical_block; /* bytes: what the program prefers */
    bool read_only;          /* the program says so, or the caller wants it so */
    bool discard;            /* the program can */
    bool write_through;      /* the caller's: each write completes when it is stable */
};

#define NBD_WHY_SIZE 128

/* Takes `fd` over. Blocks until the program has said what it has: shutdown(2) of the socket, by a
 * duplicate, ends that. -errno, and why: it speaks otherwise, hung up, does not have it (-EPROTO),
 * or its blocks do not fit (-EINVAL). */
int nbd_image_hello(int fd, struct nbd_handle **ret_handle, struct nbd_export *ret_export,
                    char ret_why[NBD_WHY_SIZE]);
/* Of one that is not opened. NULL is fine. */
void nbd_image_discard(struct nbd_handle *handle);

/* Who is told that the connection is lost: once, from the loop or from a request's submission,
 * before the requests that fail by it are; not after the image's close. `why` is a constant.
 * Nothing may be closed from within. */
struct nbd_owner {
    void (*lost)(void *ctx, const char *why); /* NULL: nobody */
    void *ctx;
};

/* Takes the handle over on success. -ENOMEM. */
int nbd_image_open(struct nbd_handle *handle, const struct nbd_export *export,
                   const struct nbd_owner *owner, const struct loop *loop, struct pool *pool,
                   struct blk_image **ret_image);

#endif
