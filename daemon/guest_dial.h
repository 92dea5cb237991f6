/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Peers of NICs that exchange datagrams, for guests whose worker is a process, which makes no
 * connections and knows no paths. The socket is its and ours; connecting it here connects it there.
 *
 *   worker   a packet, and no peer --REPORT_DIAL--> control  connect(2)
 *   worker   the packet goes on <--VM_NIC_DIALLED--
 */
#ifndef IOEMUD_DAEMON_GUEST_DIAL_H
#define IOEMUD_DAEMON_GUEST_DIAL_H

#include "daemon/guest.h"

/* Keeps a duplicate of the NIC's socket, and where it leads, CONFIG_SOCKET_MAX bytes at most.
 * -errno. */
int guest_dial_open(struct guest *guest, unsigned nic, int fd, const char *peer);
/* The NIC's socket is out of use; there may be none. */
void guest_dial_close(struct guest *guest, unsigned nic);

/* What a captured worker can have of it: so many attempts a second and NIC, one of ours makes no
 * more (NET_DGRAM_AGAIN_NS). Others fail unseen. */
#define GUEST_DIALS_A_SECOND 10u
/* The worker asks for it. False: none of ours would have, for a NIC without a peer, or while it
 * waits for the answer. */
bool guest_dial(struct guest *guest, unsigned nic);

#endif
