/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every privileged open of the daemon, in one place: images, terminals, sockets. (The hypervisor's
 * device nodes are opened by hv_xen's control half.) In process at present; the callers only ever
 * see descriptors, so that another process may do it.
 *
 * Errors are -errno, with a sentence for the administrator in `ret_why`, of OPENER_WHY_SIZE bytes.
 */
#ifndef IOEMUD_DAEMON_OPENER_H
#define IOEMUD_DAEMON_OPENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "devices/backend/images.h"

#define OPENER_WHY_SIZE  256
#define OPENER_PATH_SIZE 128

/* Adds to why a file could not be opened that its folder is one which the unit hides. */
void opener_hint(const char *path, int err, char *why);

/* daemon/opener_listen.c. A listening unix socket; a stale one of a dead daemon is replaced.
 * `group` "": the daemon's own; who is not root can give it no other. */
int opener_listen(const char *path, int type, mode_t mode, const char *group, int *ret_fd,
                  char *ret_why);
/* A listening TCP socket that does not block. */
int opener_http(const struct http_config *http, int *ret_fd, char *ret_why);
/* See raw_probe(). */
int opener_disk(const struct disk_config *disk, struct raw_image *ret_image, char *ret_why);
/* The image as it is, to be looked at: for reading, without a lock, and without waiting. -errno. */
int opener_peek(const char *path, int *ret_fd);
/* A pseudo-terminal in raw mode: its master, and the path of its slave. */
int opener_pty(int *ret_fd, char ret_path[OPENER_PATH_SIZE], char *ret_why);
/* Opened for appending, created if need be. */
int opener_log_file(const char *path, int *ret_fd, char *ret_why);
/* A fresh one: what is at `path` becomes PATH.1, in place of the one before. */
int opener_next_log_file(const char *path, int *ret_fd, char *ret_why);
/* mkdir -p of one level, mode 0755; an existing directory is fine. */
int opener_directory(const char *path, char *ret_why);
/* An exclusive lock on `path`, held as long as the descriptor is open: one daemon a run directory.
 */
int opener_lock(const char *path, int *ret_fd, char *ret_why);

/* daemon/opener_net.c: for NICs. */

#define OPENER_ROM_MAX (2u << 20)

/* Creates the tap interface (by the name given, or one that the kernel chooses) and, where there is
 * a "bridge", attaches it and sets it up. With NET_TAP_HEADER before each packet. */
int opener_tap(const struct nic_config *nic, int *ret_fd, char ret_ifname[16], char *ret_why);
/* The macvtap interface that there is by this name; it gets the guest's address and is set up. */
int opener_macvtap(const struct nic_config *nic, const uint8_t mac[6], int *ret_fd, char *ret_why);
/* A connected stream. */
int opener_connect(const char *path, int *ret_fd, char *ret_why);
/* A NIC's user network, of the JSON `network`, at the ioemud-usernet that listens at `path`: a
 * connection with a frame a message (daemon/usernet.h). Waits OPENER_USERNET_MS for it at most. */
#define OPENER_USERNET_MS 5000
int opener_user_network(const char *path, const char *network, int *ret_fd, char *ret_why);
/* A datagram socket bound to `path`; a stale one is replaced. */
int opener_dgram(const char *path, int *ret_fd, char *ret_why);
/* A port of the VDE switch in `directory`: a connected datagram socket, bound to `own_path`, and
 * the connection that keeps it plugged in. */
int opener_vde(const char *directory, const char *own_path, int *ret_fd, int *ret_keep_fd,
               char *ret_why);
/* An expansion ROM's image, at most OPENER_ROM_MAX bytes; the caller frees it. */
int opener_rom(const char *path, uint8_t **ret_data, uint32_t *ret_bytes, char *ret_why);
/* A new file for a capture; -EEXIST. */
int opener_capture(const char *path, int *ret_fd, char *ret_why);

#endif
