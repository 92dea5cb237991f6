/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host lets the daemon have, looked at once before it starts: a limit that is too small is
 * named then, with the setting that it is, and not found by the guest that comes one too late.
 */
#ifndef IOEMUD_DAEMON_RESOURCES_H
#define IOEMUD_DAEMON_RESOURCES_H

#include <stddef.h>
#include <stdint.h>

#define RESOURCES_WHY_SIZE 256

/* Descriptors: the daemon's own (sockets and their clients, xenstore, log), a worker's (epoll,
 * eventfds of libev, libaio and its helper, the hypervisor's), and a guest's. One of Xen's with one
 * disk was seen to have 6; one with all the disks, NICs and ports that it can have comes to 30. */
#define RESOURCES_FDS_OWN    64u
#define RESOURCES_FDS_WORKER 8u
#define RESOURCES_FDS_GUEST  16u
/* Fewer than so many is worth a warning. */
#define RESOURCES_GUESTS 64u

/* The soft limit becomes the hard one; returns it. */
uint64_t resources_raise_descriptors(void);
/* 0; -EMFILE: not even enough for the daemon; -ENOSPC: for fewer than RESOURCES_GUESTS guests. */
int resources_check_descriptors(uint64_t limit, unsigned workers, char ret_why[RESOURCES_WHY_SIZE]);
/* Whether the kernel has room for the requests of all workers (else io_setup(2) fails by EAGAIN).
 * `sysctl_dir` is /proc/sys/fs; where it tells nothing it is left to io_setup(). `ret_why` has
 * `size` bytes. 0 or -EAGAIN. */
int resources_check_aio(const char *sysctl_dir, unsigned workers, unsigned depth, char *ret_why,
                        size_t size);

#endif
