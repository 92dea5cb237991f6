/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A character device behind a serial port: a pty, a file, a unix socket or nothing. Callers' half
 * and constructors; one thread; nothing blocks. Output that the other end does not take is kept in
 * a small ring; when that is full the oldest end is not waited for: it is refused, and the UART
 * decides.
 *
 * Bytes go out together at the end of the loop's turn. Callbacks come from the loop only, never
 * from within chr_write() or chr_accept(), and may call anything here, chr_close() included.
 *
 *   pty     The chr holds the slave open itself, raw, so that it does not hang up while nobody has
 *           it open, and a listener who comes finds the last few KiB of output. When they are full
 *           and nobody has the slave open they are thrown away. A listener who stops reading
 *           without closing holds up the line until he reads on or leaves, or the device gives up.
 *   tty     Another terminal line; dead once it has hung up.
 *   file    Also character devices that are no terminals. What cannot be written (a full
 *           filesystem) is dropped. No input. It can have a limit, see chr_limit().
 *   socket  One client at a time; the next waits to be accepted until the first has left. Output
 *           without a client is dropped, and what a client that leaves did not take.
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
/* The device has waited long enough for writable(), which is not owed any more: chr_write() takes
 * and drops what the other end does not, until it reads on. */
void chr_give_up(struct chr *chr);
/* The device has room again. */
void chr_accept(struct chr *chr);

/* Constructors; `fd`s are opened by the control side, become non-blocking and are owned by the chr
 * from success on. A chr of NULL is a line that is not connected: callers test for it.
 * -EINVAL: a kind of descriptor that is none of the above; -ENOMEM; what fcntl(2) and, for the
 * slave of a pty, ioctl(TIOCGPTPEER) said. */
/* A pty's master (unlocked), tty, file or connected socket. `read_input`: false leaves input be. */
int chr_open_fd(int fd, bool read_input, const struct loop *loop, struct chr **ret_chr);
/* A listening stream socket. */
int chr_open_listener(int listen_fd, const struct loop *loop, struct chr **ret_chr);
void chr_close(struct chr *chr); /* NULL is fine */

/* A regular file is not to grow beyond `bytes` (and a few KiB): full(arg) asks for another, from
 * the loop, at most once in CHR_RENEW_NS, which bounds what a guest can make the disk do, too.
 * Until chr_renew() and in between output is dropped. Other kinds have no limit. */
#define CHR_RENEW_NS UINT64_C(10000000000)
void chr_limit(struct chr *chr, uint64_t bytes, void (*full)(void *arg), void *arg);
/* The answer: the file to go on with, which is the chr's from now on; -1: there is none now. */
void chr_renew(struct chr *chr, int fd);
/* Bytes of output that nobody got; the address is good as long as the chr. */
const uint64_t *chr_dropped(const struct chr *chr);

#endif
