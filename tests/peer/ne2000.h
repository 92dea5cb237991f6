/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver for an NE2000 on PCI in a simulated guest, as boot loaders have them: polls, and moves
 * packets word by word through the data port. Frames that it makes up say their number.
 */
#ifndef IOEMUD_TESTS_PEER_NE2000_H
#define IOEMUD_TESTS_PEER_NE2000_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/peer/peer.h"

#define NE2000_BDF   (4u << 3) /* where a primary's first NIC is */
#define NE2000_PORTS 0xc200u   /* of BAR 0, at first */
#define NE2000_FREE  0x6000u   /* packet memory up to 0x7fff that it leaves alone */

struct ne2000_driver {
    struct peer *peer;
    uint16_t base;
    uint8_t next;       /* the ring's page that is read next */
    uint32_t sent, got; /* frames */
};

/* Puts BAR 0 at `base`; empties the ring; takes what is for everybody. */
void ne2000_driver_start(struct ne2000_driver *nic, uint16_t base);
/* One frame, of ne2000_frame_bytes() and ne2000_frame_byte(). False: it does not leave. */
bool ne2000_driver_send(struct ne2000_driver *nic);
/* Waits for the next frame and takes it: its bytes without FCS, 0: none came. */
uint32_t ne2000_driver_receive(struct ne2000_driver *nic, uint8_t frame[1536]);

/* The steps: a remote DMA begins; words or doublewords move; it is left. */
void ne2000_driver_remote(struct ne2000_driver *nic, bool write, uint16_t addr, uint16_t bytes);
void ne2000_driver_read(struct ne2000_driver *nic, void *buf, uint32_t bytes, unsigned size);
void ne2000_driver_write(struct ne2000_driver *nic, const void *buf, uint32_t bytes, unsigned size);
void ne2000_driver_abort(struct ne2000_driver *nic);
void ne2000_driver_reset(struct ne2000_driver *nic); /* by the reset port; start() follows */
bool ne2000_driver_done(struct ne2000_driver *nic);  /* the remote DMA is complete */

uint32_t ne2000_frame_bytes(uint32_t number);
uint8_t ne2000_frame_byte(uint32_t number, uint32_t at);

#endif
