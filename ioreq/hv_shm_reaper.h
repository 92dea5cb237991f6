/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closes what came from others, in a thread of its own.
 *
 * close(2) can take as long as whoever made the file likes: a TCP socket lingers over unsent data,
 * a file system in user space is asked to flush. The same holds for a unix socket with messages in
 * it that nobody has read: their descriptors go with it. Only memfds are known to be harmless.
 *
 * From any thread; nothing here waits, but for hv_shm_reaper_destroy().
 */
#ifndef IOEMUD_IOREQ_HV_SHM_REAPER_H
#define IOEMUD_IOREQ_HV_SHM_REAPER_H

#include <stdbool.h>

struct hv_shm_reaper;

int hv_shm_reaper_create(struct hv_shm_reaper **ret_reaper);
/* Waits a second at most for what is being closed. NULL is fine. */
void hv_shm_reaper_destroy(struct hv_shm_reaper *reaper);
/* A descriptor that came from a peer, or a socket on which a peer may have sent some. */
void hv_shm_reaper_close(struct hv_shm_reaper *reaper, int fd);
void hv_shm_reaper_close_all(struct hv_shm_reaper *reaper, const int *fds, unsigned count);
/* So many wait to be closed that no more peers should be let in, nor messages read: what is in a
 * socket does not need closing. */
bool hv_shm_reaper_busy(struct hv_shm_reaper *reaper);

#endif
