/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A character device behind a serial port: a pty, a file, a unix socket or nothing. Callers' half and
 * constructors; one thread; nothing blocks. Output that the other end does not take is kept in a
 * small ring; when that is full the oldest end is not waited for: it is refused, and the UART decides.
 */
#ifndef IOEMUD_DEVICES_BACKEND_CHR_H
#define IOEMUD_DEVICES_BACKEND_CHR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/loop.h"

struct chr;

struct chr_client_ops {
    /* How many bytes the device can take now; 0 stops the reader until chr_accept(). */
    size_t (*room)(void *owner);
    void (*input)(void *owner, const uint8_t *bytes, size_t len); /* len <= room */
    void (*writable)(void *owner); /* chr_write() had refused and may now succeed */
};

void chr_bind(struct chr *chr, const struct chr_client_ops *ops, void *owner);
/* Takes the byte, or false when the ring is full and somebody is listening (nobody listening: the
 * byte is taken and dropped, as on a line without a peer; files never refuse). */
bool chr_write(struct chr *chr, uint8_t byte);
/* The device has room again. */
void chr_accept(struct chr *chr);

/* Constructors; `fd`s are opened by the control side and owned by the chr from success on.
 * A chr of NULL is a line that is not connected: callers test for it. */
int chr_open_fd(int fd, bool read_input, const struct loop *loop, struct chr **ret_chr); /* pty master, file */
int chr_open_listener(int listen_fd, const struct loop *loop, struct chr **ret_chr); /* unix socket, one client at a time */
void chr_close(struct chr *chr); /* NULL is fine */

#endif
