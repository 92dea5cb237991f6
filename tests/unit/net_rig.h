/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A NIC's end of a way out, for tests of backends: keeps what it receives. */
#ifndef IOEMUD_TESTS_NET_RIG_H
#define IOEMUD_TESTS_NET_RIG_H

#include "devices/backend/nets.h"
#include "tests/unit/fake_loop.h"

#define NET_RIG_FRAMES 256u

struct net_rig {
    struct fake_loop *fake; /* not its own */
    struct net *net;
    bool link, sending;
    unsigned room; /* frames that it takes */
    unsigned got, batches, writables;
    struct {
        uint32_t bytes;
        bool csum_valid;
        uint8_t data[2048];
    } frame[NET_RIG_FRAMES]; /* the last ones */
};

/* Takes the port over, receiver on. */
void net_rig_init(struct net_rig *rig, struct fake_loop *fake, struct net_port *port);
void net_rig_finish(struct net_rig *rig);
/* What net_send() said. */
bool net_rig_send(struct net_rig *rig, const void *frame, uint32_t bytes,
                  const struct net_offload *offload);
/* Turns the loop until `got` frames have come or nothing happens for a second. */
bool net_rig_wait(struct net_rig *rig, unsigned got);

#endif
