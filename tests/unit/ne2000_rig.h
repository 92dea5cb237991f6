/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An NE2000 under test: a bus with it, and a way out that keeps what it is given. Used by unit
 * tests and by the fuzzer, so it asserts by abort() only.
 */
#ifndef IOEMUD_TESTS_NE2000_RIG_H
#define IOEMUD_TESTS_NE2000_RIG_H

#include "devices/backend/net_ops.h"
#include "devices/models.h"
#include "devices/net/ne2000.h"
#include "devices/pci.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_loop.h"

#define NE2000_RIG_RAM   4096u
#define NE2000_RIG_SLOT  4u
#define NE2000_RIG_PORT  0xc000u /* BAR 0 */
#define NE2000_RIG_SENT  64u     /* packets that are kept */
#define NE2000_RIG_TX    0x40    /* page that is sent from */
#define NE2000_RIG_START 0x46    /* of the ring */
#define NE2000_RIG_STOP  0x80

extern const uint8_t ne2000_rig_mac[NET_MAC_BYTES];

struct ne2000_rig_packet {
    uint8_t *data;
    uint32_t bytes;
    struct net_offload offload;
};

struct ne2000_rig {
    struct fake_host fake;
    struct fake_loop *loop;
    struct bus *bus;
    struct machine_spec spec;
    struct dev *dev;
    struct net *net;
    struct ne2000_rig_port {
        struct net_port port; /* first */
        struct ne2000_rig *rig;
        bool busy; /* takes nothing */
        bool reading;
        unsigned reads, discards; /* times that reading went on; that it threw away */
    } port;
    struct ne2000_rig_packet sent[NE2000_RIG_SENT];
    unsigned n_sent;
};

/* `caps` of the way out, NET_CAN_... Decoding is on and the receiver takes what is for its address
 * and broadcasts, into a ring from NE2000_RIG_START to NE2000_RIG_STOP; every interrupt is
 * unmasked. */
void ne2000_rig_init(struct ne2000_rig *rig, unsigned caps);
/* As after RST#: nothing is programmed. */
void ne2000_rig_init_bare(struct ne2000_rig *rig, unsigned caps);
void ne2000_rig_finish(struct ne2000_rig *rig);
void ne2000_rig_program(struct ne2000_rig *rig);
void ne2000_rig_start(struct ne2000_rig *rig);
/* Another machine takes over: the way out and the clock stay, the NIC is new and has `state`.
 * Returns the reader's error. */
int ne2000_rig_migrate(struct ne2000_rig *rig, const void *state, size_t size);
uint8_t *ne2000_rig_save(struct ne2000_rig *rig, size_t *ret_size); /* to be freed */

uint32_t ne2000_rig_in(struct ne2000_rig *rig, unsigned reg, unsigned size);
void ne2000_rig_out(struct ne2000_rig *rig, unsigned reg, unsigned size, uint32_t value);
/* Starts a remote DMA; CR is on page 0 then. */
void ne2000_rig_remote(struct ne2000_rig *rig, uint8_t rd, uint16_t addr, uint16_t bytes);
bool ne2000_rig_inta(const struct ne2000_rig *rig);
void ne2000_rig_settle(struct ne2000_rig *rig);
void ne2000_rig_forget(struct ne2000_rig *rig); /* what was sent */
/* A frame from the network. */
void ne2000_rig_receive(struct ne2000_rig *rig, const void *frame, uint32_t bytes);

#endif
