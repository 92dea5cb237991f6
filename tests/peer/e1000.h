/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver for an 82540EM in a simulated guest, as plain as it can be: one ring each way, a buffer
 * a frame, no interrupts. Frames that it makes up say their number.
 */
#ifndef IOEMUD_TESTS_PEER_E1000_H
#define IOEMUD_TESTS_PEER_E1000_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/peer/peer.h"

#define E1000_BDF    (4u << 3) /* where a primary's first NIC is */
#define E1000_BAR    UINT64_C(0xf2000000)
#define E1000_TX     0x100000u /* descriptors */
#define E1000_RX     0x110000u
#define E1000_TX_BUF 0x200000u
#define E1000_RX_BUF 0x300000u
#define E1000_RING   64u
#define E1000_BUF    2048u /* bytes of a buffer */
#define E1000_RAM    (8u << 20)

#define E1000_STATUS_LU 0x2u

struct e1000_driver {
    struct peer *peer;
    uint32_t sent, got; /* descriptors, free-running */
};

/* Rings full of empty buffers, promiscuous. */
void e1000_driver_start(struct e1000_driver *nic);
uint32_t e1000_driver_status(struct e1000_driver *nic);
/* Puts `count` frames into the ring at once. */
void e1000_driver_send(struct e1000_driver *nic, uint32_t count);
/* Sends the `bytes` that stand in the first buffer. */
void e1000_driver_send_raw(struct e1000_driver *nic, uint32_t bytes);
/* Waits until the last one has left. */
bool e1000_driver_all_sent(struct e1000_driver *nic);
/* Waits for the next frame: its bytes with the FCS, 0: none came. Its buffer stays the driver's
 * until e1000_driver_take(). */
uint32_t e1000_driver_wait(struct e1000_driver *nic, const uint8_t **ret_frame);
void e1000_driver_take(struct e1000_driver *nic);
/* Takes all that have come, unseen, and gives their buffers back at once; how many. */
uint32_t e1000_driver_take_all(struct e1000_driver *nic);

/* What frame `number` of e1000_driver_send() is made of; it is no group's: byte 0 is even. */
uint32_t e1000_frame_bytes(uint32_t number);
uint8_t e1000_frame_byte(uint32_t number, uint32_t at);

#endif
