/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program of an image says at first (nbd_image_hello()), heard in a thread of its own,
 * since it may be drawn out for ever. By the control side, for workers that are threads, or in a
 * worker process: what comes of it, libnbd's handle, cannot travel between processes.
 *
 *   hello_begin() -> over() -> hello_take() -> hello_end()
 */
#ifndef IOEMUD_DAEMON_HELLO_H
#define IOEMUD_DAEMON_HELLO_H

#include "devices/backend/loop.h"
#include "devices/backend/nbd.h"

struct hello;

/* `fd` is a connected socket, and stays the caller's, who closes it after hello_end(): the
 * connection has a duplicate. over(ctx) follows, from the loop. -errno of eventfd(2), fcntl(2),
 * pthread_create(3); -ENOMEM. */
int hello_begin(const struct loop *loop, int fd, void (*over)(void *ctx), void *ctx,
                struct hello **ret_hello);
/* After over(). 0 and a handle, which is the caller's, once; or -errno, and why. */
int hello_take(struct hello *hello, struct nbd_handle **ret_handle, struct nbd_export *ret_export,
               char ret_why[NBD_WHY_SIZE]);
/* In whatever state. A program that still talks is cut off. NULL is fine. */
void hello_end(struct hello *hello);

#endif
