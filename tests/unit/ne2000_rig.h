/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/nic_rig.h with an NE2000. */
#ifndef IOEMUD_TESTS_NE2000_RIG_H
#define IOEMUD_TESTS_NE2000_RIG_H

#include "devices/net/ne2000.h"
#include "tests/unit/nic_rig.h"

#define NE2000_RIG_TX    0x40 /* page that is sent from */
#define NE2000_RIG_START 0x46 /* of the ring */
#define NE2000_RIG_STOP  0x80

extern const struct nic_rig_model ne2000_rig_model;

/* `caps` of the way out. Decoding is on and the receiver takes what is for its address and
 * broadcasts, into a ring from NE2000_RIG_START to NE2000_RIG_STOP; every interrupt is unmasked. */
void ne2000_rig_init(struct nic_rig *rig, unsigned caps);
void ne2000_rig_start(struct nic_rig *rig);

uint32_t ne2000_rig_in(struct nic_rig *rig, unsigned reg, unsigned size);
void ne2000_rig_out(struct nic_rig *rig, unsigned reg, unsigned size, uint32_t value);
/* Starts a remote DMA; CR is on page 0 then. */
void ne2000_rig_remote(struct nic_rig *rig, uint8_t rd, uint16_t addr, uint16_t bytes);

#endif
