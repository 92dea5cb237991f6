/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An 82540EM under test: a bus with it, guest RAM with both rings, and a way out that keeps what it
 * is given. Used by unit tests and by the fuzzer, so it asserts by abort() only.
 */
#ifndef IOEMUD_TESTS_E1000_RIG_H
#define IOEMUD_TESTS_E1000_RIG_H

#include "devices/backend/net_ops.h"
#include "devices/models.h"
#include "devices/net/e1000_regs.h"
#include "devices/pci.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_loop.h"

#define E1000_RIG_RAM      (4u << 20)
#define E1000_RIG_SLOT     4u
#define E1000_RIG_MEM      0xf0000000u /* BAR 0 */
#define E1000_RIG_PORT     0xc000u     /* BAR 2 */
#define E1000_RIG_SENT     512u        /* packets that are kept */
#define E1000_RIG_TX       0x1000u     /* rings, */
#define E1000_RIG_RX       0x2000u     /*   of E1000_RIG_RING descriptors each */
#define E1000_RIG_RING     64u
#define E1000_RIG_DATA     0x100000u /* where packets to be sent lie */
#define E1000_RIG_BUF      0x200000u /* where receive buffers are, one every E1000_RIG_BUF_STEP */
#define E1000_RIG_BUF_STEP 0x4000u

extern const uint8_t e1000_rig_mac[NET_MAC_BYTES];

struct e1000_rig_packet {
    uint8_t *data;
    uint32_t bytes;
    struct net_offload offload;
};

struct e1000_rig {
    struct fake_host fake;
    struct fake_loop *loop;
    struct bus *bus;
    struct machine_spec spec;
    struct dev *dev;
    struct net *net;
    struct e1000_rig_port {
        struct net_port port; /* first */
        struct e1000_rig *rig;
        bool busy; /* takes nothing */
        bool reading;
        unsigned reads, discards; /* times that reading went on; that it threw away */
    } port;
    struct e1000_rig_packet sent[E1000_RIG_SENT];
    unsigned n_sent;
    uint32_t tail; /* of the transmit ring */
};

/* `caps` of the way out, NET_CAN_... Decoding and bus mastering are on, both rings are set up, the
 * receiver takes what is for its address and broadcasts, and has all buffers but one. */
void e1000_rig_init(struct e1000_rig *rig, unsigned caps);
/* As after RST#: nothing is programmed. */
void e1000_rig_init_bare(struct e1000_rig *rig, unsigned caps);
void e1000_rig_finish(struct e1000_rig *rig);
void e1000_rig_program(struct e1000_rig *rig);
void e1000_rig_rings(struct e1000_rig *rig);
/* Another machine takes over: the way out, RAM and clock stay, the NIC is new and has `state`.
 * Returns the reader's error. */
int e1000_rig_migrate(struct e1000_rig *rig, const void *state, size_t size);
uint8_t *e1000_rig_save(struct e1000_rig *rig, size_t *ret_size); /* to be freed */

uint32_t e1000_rig_read(struct e1000_rig *rig, uint32_t offset);
void e1000_rig_write(struct e1000_rig *rig, uint32_t offset, uint32_t value);
bool e1000_rig_inta(const struct e1000_rig *rig);
/* Turns of the loop, and timers that are due, until nothing more happens. */
void e1000_rig_settle(struct e1000_rig *rig);
void e1000_rig_forget(struct e1000_rig *rig); /* what was sent */

/* Descriptors are put at the tail, which is kept here until e1000_rig_doorbell(). */
void e1000_rig_desc(struct e1000_rig *rig, uint64_t addr, uint32_t low, uint32_t high);
void e1000_rig_doorbell(struct e1000_rig *rig);
uint8_t e1000_rig_tx_status(const struct e1000_rig *rig, uint32_t index);

/* A frame from the network. */
void e1000_rig_receive(struct e1000_rig *rig, const void *frame, uint32_t bytes);
void e1000_rig_receive_offload(struct e1000_rig *rig, const void *frame, uint32_t bytes,
                               const struct net_offload *offload);
/* Receive descriptor `index` as the guest sees it. */
struct e1000_rig_rxd {
    uint64_t addr;
    uint16_t length, checksum;
    uint8_t status, errors;
    uint16_t special;
};
struct e1000_rig_rxd e1000_rig_rxd(const struct e1000_rig *rig, uint32_t index);
void e1000_rig_put_rxd(struct e1000_rig *rig, uint32_t index, uint64_t addr);
const uint8_t *e1000_rig_buffer(const struct e1000_rig *rig, uint32_t index);

#endif
