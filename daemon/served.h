/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images in a format other than raw: a program of their own, qemu-nbd(8), reads each of them and
 * serves it over NBD (devices/backend/nbd.h). It is started with a listening socket, as systemd
 * would (sd_listen_fds(3)), answers one connection, which is ours, and ends with that.
 *
 *   served_start() -> ready(): 0 and a connection, or why not
 *
 * The program has the image's lock, so no two write to it. Who comes while another of the daemon's
 * still ends waits for that; for other programs, less than a second.
 *
 * It may hang, and with it what its image is asked for: so its end is expected by
 * served_expect_end(), and comes.
 *
 * An image that names another file, its backing file or one with its data, is refused unless
 * "pv_backing_files" allows it: the program would open whatever that is.
 *
 * Of what a guest wrote nothing is looked at here; but what lies in such an image may come from
 * anywhere, and it is the program that has to cope with that.
 */
#ifndef IOEMUD_DAEMON_SERVED_H
#define IOEMUD_DAEMON_SERVED_H

#include "daemon/daemon.h"
#include "devices/backend/nbd.h"

#define SERVED_PROGRAM "/usr/bin/qemu-nbd" /* daemon.image_program */

/* daemon.image_patience_ns: from a program's start to its first word of the image, which may lie on
 * a slow network; and from when its end is expected to that. */
#define SERVED_PATIENCE_NS UINT64_C(30000000000)

struct served_params {
    const char *path;   /* absolute; copied */
    const char *format; /* as the program calls it; a constant */
    bool read_only, discard;
    /* Once, not from served_start(). err 0: `handle` is the receiver's. Else -errno, and `why`, a
     * sentence for the administrator. */
    void (*ready)(void *ctx, int err, const char *why, struct nbd_handle *handle,
                  const struct nbd_export *export);
    /* NULL: it is heard here what the program says (daemon/hello.h), and `handle` comes of that.
     * Else somebody else hears it: `fd` is the connection, his whatever he returns (-errno), and
     * served_heard() follows; perhaps for one attempt after the other. Then `handle` is NULL. */
    int (*hear)(void *ctx, int fd);
    void *ctx;
};

struct served;

/* -errno, and why, of OPENER_WHY_SIZE bytes. Gone when ready() is told; only the process is then
 * waited for. */
int served_start(struct daemon *daemon, const struct served_params *params,
                 struct served **ret_served, char *ret_why);
/* What has come of the last hear(), 0 or -errno and why: ready() follows, or another attempt. */
void served_heard(struct served *served, int err, const char *why, const struct nbd_export *export);
/* By which a program goes when ready() has been told, since it may end at any time. 0 is none's. */
unsigned served_number(const struct served *served);
/* The image is about to be closed, when its last requests are back: with that the program ends. If
 * it has not in time it is killed, so that they are. An end that is not expected is logged. */
void served_expect_end(struct daemon *daemon, unsigned number);
/* They are back, and the image stays open. */
void served_stay(struct daemon *daemon, unsigned number);
/* ready() is not told any more. NULL is fine. */
void served_cancel(struct served *served);
/* Those that have not ended, with the daemon: their connections end with it. */
void served_forget(struct daemon *daemon);

#endif
