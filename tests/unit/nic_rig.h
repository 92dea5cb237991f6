/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC under test, of whichever model: a bus with it, guest RAM, and a way out that keeps what it
 * is given. Used by unit tests and by the fuzzers, so it asserts by abort() only. What a driver of
 * one model does with it is in MODEL_rig.h.
 */
#ifndef IOEMUD_TESTS_NIC_RIG_H
#define IOEMUD_TESTS_NIC_RIG_H

#include "devices/backend/net_ops.h"
#include "devices/models.h"
#include "devices/pci.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_loop.h"

#define NIC_RIG_SLOT 4u
#define NIC_RIG_SBDF PCI_DEVFN(NIC_RIG_SLOT, 0)
#define NIC_RIG_PORT 0xc000u     /* its BAR of ports */
#define NIC_RIG_MEM  0xf0000000u /* and of memory, if it has one */
#define NIC_RIG_SENT 512u        /* packets that are kept */

extern const uint8_t nic_rig_mac[NET_MAC_BYTES];

struct nic_rig;

struct nic_rig_model {
    const char *name;
    int (*create)(const struct dev_env *env, const struct machine_nic *nic, struct dev **ret_dev);
    uint32_t id; /* device and vendor */
    size_t ram;
    unsigned port_bar, mem_bar; /* offsets in the configuration space; 0: none */
    /* Its driver: the receiver takes what is for its address and broadcasts, interrupts are
     * unmasked; a packet leaves whole, or as far as the way out lets it. */
    void (*start)(struct nic_rig *rig);
    void (*transmit)(struct nic_rig *rig, const void *frame, uint32_t bytes);
    bool (*link)(struct nic_rig *rig); /* NULL: it has no register that says */
};

struct nic_rig_packet {
    uint8_t *data;
    uint32_t bytes;
    struct net_offload offload;
};

struct nic_rig {
    const struct nic_rig_model *model;
    struct fake_host fake;
    struct fake_loop *loop;
    struct bus *bus;
    struct machine_spec spec;
    struct dev *dev;
    struct net *net;
    struct nic_rig_port {
        struct net_port port; /* first */
        struct nic_rig *rig;
        bool busy; /* takes nothing */
        bool reading;
        unsigned reads, discards; /* times that reading went on; that it threw away */
    } port;
    struct nic_rig_packet sent[NIC_RIG_SENT];
    unsigned n_sent;
    uint32_t tail; /* the driver's: of its transmit ring */
};

/* As after RST#: nothing is programmed. `caps` of the way out, NET_CAN_... */
void nic_rig_init_bare(struct nic_rig *rig, const struct nic_rig_model *model, unsigned caps);
/* Decoding and bus mastering are on. */
void nic_rig_init(struct nic_rig *rig, const struct nic_rig_model *model, unsigned caps);
void nic_rig_finish(struct nic_rig *rig);
void nic_rig_program(struct nic_rig *rig);
/* The card is pulled out, another one put in. */
void nic_rig_unplug(struct nic_rig *rig);
void nic_rig_plug(struct nic_rig *rig);

uint8_t *nic_rig_save(struct nic_rig *rig, size_t *ret_size); /* to be freed */
/* Another machine takes over: the way out, RAM and clock stay, the NIC is new and has `state`.
 * Returns the reader's error. */
int nic_rig_migrate(struct nic_rig *rig, const void *state, size_t size);
/* Quiesced, moved to a new NIC that must save the same, and resumed. */
void nic_rig_move(struct nic_rig *rig);

/* Its state is refused (-EBADMSG) or survived with each byte replaced by hostile ones, and refused
 * cut short. `poke` uses a NIC that took one, and resumes it. */
void nic_rig_hostile_states(struct nic_rig *rig, void (*poke)(void));

bool nic_rig_inta(const struct nic_rig *rig);
/* Turns of the loop, and timers that are due, until nothing more happens; that takes no time. */
void nic_rig_settle(struct nic_rig *rig);
/* A frame from the network; `offload` NULL: as it was on the wire. */
void nic_rig_receive(struct nic_rig *rig, const void *frame, uint32_t bytes);
void nic_rig_receive_offload(struct nic_rig *rig, const void *frame, uint32_t bytes,
                             const struct net_offload *offload);
/* The packet sent last; of no bytes: none. */
const struct nic_rig_packet *nic_rig_last(const struct nic_rig *rig);
void nic_rig_forget(struct nic_rig *rig); /* what was sent */

#endif
