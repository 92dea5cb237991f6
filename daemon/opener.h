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
#include <sys/types.h>

#include "config/config.h"
#include "devices/backend/images.h"

#define OPENER_WHY_SIZE  256
#define OPENER_PATH_SIZE 128

/* A listening unix socket; a stale one of a dead daemon is replaced. `group` "": the daemon's own.
 */
int opener_listen(const char *path, int type, mode_t mode, const char *group, int *ret_fd,
                  char *ret_why);
/* See raw_probe(). */
int opener_disk(const struct disk_config *disk, struct raw_image *ret_image, char *ret_why);
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

#endif
