/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A capture of a NIC's packets into a file that Wireshark and tcpdump read: the classic pcap format
 * with nanoseconds (draft-ietf-opsawg-pcap, 4). Packets are gathered and written at the end of the
 * loop's turn; what does not fit under the limit, or fails to be written, is counted and not kept.
 * Writing goes through the page cache and waits when the disk does: a capture is for looking into
 * trouble, not for every day.
 */
#ifndef IOEMUD_DEVICES_BACKEND_CAPTURE_H
#define IOEMUD_DEVICES_BACKEND_CAPTURE_H

#include <stdint.h>
#include <sys/uio.h>

#include "devices/backend/loop.h"

struct capture;

struct capture_counters {
    uint64_t packets, bytes; /* in the file, or about to be */
    uint64_t dropped;        /* beyond the limit, or after an error */
};

/* Takes `fd` (empty, for writing) over on success; the file gets at most `limit` bytes. -ENOMEM, or
 * what writing its header said. */
int capture_open(int fd, uint64_t limit, const struct loop *loop, struct capture **ret_capture);
void capture_packet(struct capture *capture, const struct iovec *iov, unsigned n_iov,
                    uint32_t bytes);
const struct capture_counters *capture_counters(const struct capture *capture);
/* Writes what has been gathered. NULL is fine. */
void capture_close(struct capture *capture);

#endif
