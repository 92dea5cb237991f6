/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One guest's grants (devices/grant.h) in a worker process that has no gntdev: each call asks the
 * control side's ioreq/grant_broker.h, by the socket and the window that it has made for that
 * guest.
 *
 *   grant_remote_open()  -> struct grants with GRANT_CAN_COPY and GRANT_CAN_MAP; no swap
 *   grants_copy()        one round trip for as many segments as a message has
 *   grants_map()         one, a mmap(2), and the end of the descriptor: the mapping keeps the file
 *   grants_unmap()       munmap(2), and a message without an answer
 *   grant_remote_close()
 *
 * A round trip blocks, as the hypercall does for which it stands; the broker's thread does nothing
 * else, but for all guests of this process. When the broker has gone, or has ended this guest's
 * part, all that comes is -ESRCH; what is mapped stays until it is unmapped.
 *
 * Of system calls it takes sendmsg(2), recvmsg(2), mmap(2), munmap(2) and close(2), which
 * daemon/sandbox.c lists. Nothing allocates after grant_remote_open(). One thread.
 */
#ifndef IOEMUD_IOREQ_GRANT_REMOTE_H
#define IOEMUD_IOREQ_GRANT_REMOTE_H

#include "devices/grant.h"

/* What grant_broker_add() made, blocking as it is. Both descriptors are taken over, whatever comes
 * of it. *ret_grants is valid until grant_remote_close(), and beyond it until what is mapped has
 * come back. -ENOMEM; -EINVAL: that is no such window; -errno of mmap(2). */
int grant_remote_open(int sock, int window_fd, const struct grants **ret_grants);
/* Leaves the broker: from now on only unmap() does anything. NULL is fine. */
void grant_remote_close(const struct grants *grants);

#endif
