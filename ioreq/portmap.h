/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local event-channel ports of one guest -> which of its channels: a small open-addressed hash
 * table, so that a port read from the descriptor is looked up in constant time however many guests
 * and ports the host has. Filled once when channels are bound; no removal but finish.
 */
#ifndef IOEMUD_IOREQ_PORTMAP_H
#define IOEMUD_IOREQ_PORTMAP_H

#include <stdint.h>

struct portmap_entry {
    uint32_t port; /* 0: free; Xen gives out no port 0 */
    uint32_t channel;
};

struct portmap {
    uint32_t mask, used;
    struct portmap_entry *entries;
};

/* Room for `ports` of them. */
int portmap_init(struct portmap *map, uint32_t ports);
/* Also on a zeroed one and twice. */
void portmap_finish(struct portmap *map);
/* -EEXIST, -ENOSPC, -EINVAL (port 0). */
int portmap_add(struct portmap *map, uint32_t port, uint32_t channel);
/* -ENOENT: not one of ours. */
int portmap_find(const struct portmap *map, uint32_t port, uint32_t *ret_channel);

#endif
