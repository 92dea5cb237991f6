/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/nic_rig.h with an 82540EM: guest RAM has both rings. */
#ifndef IOEMUD_TESTS_E1000_RIG_H
#define IOEMUD_TESTS_E1000_RIG_H

#include "devices/net/e1000_regs.h"
#include "tests/unit/nic_rig.h"

#define E1000_RIG_RAM      (4u << 20)
#define E1000_RIG_TX       0x1000u /* rings, */
#define E1000_RIG_RX       0x2000u /*   of E1000_RIG_RING descriptors each */
#define E1000_RIG_RING     64u
#define E1000_RIG_DATA     0x100000u /* where packets to be sent lie */
#define E1000_RIG_BUF      0x200000u /* where receive buffers are, one every E1000_RIG_BUF_STEP */
#define E1000_RIG_BUF_STEP 0x4000u

extern const struct nic_rig_model e1000_rig_model;

/* `caps` of the way out. Decoding and bus mastering are on, both rings are set up, the receiver
 * takes what is for its address and broadcasts, and has all buffers but one. */
void e1000_rig_init(struct nic_rig *rig, unsigned caps);
void e1000_rig_rings(struct nic_rig *rig);

uint32_t e1000_rig_read(struct nic_rig *rig, uint32_t offset);
void e1000_rig_write(struct nic_rig *rig, uint32_t offset, uint32_t value);

/* Descriptors are put at the tail, which is kept here until e1000_rig_doorbell(). */
void e1000_rig_desc(struct nic_rig *rig, uint64_t addr, uint32_t low, uint32_t high);
void e1000_rig_doorbell(struct nic_rig *rig);
uint8_t e1000_rig_tx_status(const struct nic_rig *rig, uint32_t index);

/* Receive descriptor `index` as the guest sees it. */
struct e1000_rig_rxd {
    uint64_t addr;
    uint16_t length, checksum;
    uint8_t status, errors;
    uint16_t special;
};
struct e1000_rig_rxd e1000_rig_rxd(const struct nic_rig *rig, uint32_t index);
void e1000_rig_put_rxd(struct nic_rig *rig, uint32_t index, uint64_t addr);
const uint8_t *e1000_rig_buffer(const struct nic_rig *rig, uint32_t index);

#endif
