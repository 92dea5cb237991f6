/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the e1000_*.c files have of each other.
 *
 *   e1000.c         the function: BARs, reset, creation
 *   e1000_mac.c     registers
 *   e1000_phy.c     MDIC, link
 *   e1000_eeprom.c  EECD, EERD
 *   e1000_irq.c     causes, throttling, delays
 *   e1000_tx.c      descriptors to packets
 *   e1000_rx.c      packets to descriptors
 *   e1000_filter.c  which packets
 *   e1000_stats.c   counters that clear when read
 *   e1000_state.c   save and load
 */
#ifndef IOEMUD_DEVICES_NET_E1000_INTERNAL_H
#define IOEMUD_DEVICES_NET_E1000_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net/e1000_regs.h"
#include "devices/net/eeprom93.h"
#include "devices/net/nic.h"

/* Descriptors that one turn of the loop takes from the transmit ring. */
#define E1000_TX_TURN 256u
/* Receive descriptors without an address that one packet may use up. */
#define E1000_RX_NULLS 32u

/* A context descriptor (SDM 3.3.6). */
struct e1000_context {
    uint8_t ipcss, ipcso;
    uint16_t ipcse;
    uint8_t tucss, tucso;
    uint16_t tucse;
    uint32_t paylen;
    uint8_t hdrlen;
    uint16_t mss;
    bool tcp, ipv4;
};

/*
 * The transmitter:
 *
 *   IDLE --first descriptor with data--> GATHERING --EOP--> READY --net_send()--> IDLE
 *
 * A packet is gathered in memory of the device; its descriptors are done when they have been read,
 * as with the FIFO of the real one. READY lasts while the way out takes nothing.
 */
enum e1000_tx_phase {
    E1000_TX_IDLE,
    E1000_TX_GATHERING,
    E1000_TX_READY,
    E1000_TX_PHASES,
};

struct e1000_tx {
    struct e1000_context normal, segmentation; /* as the last descriptor of each kind said */
    uint8_t phase;
    /* Descriptors that may still be taken before the tail is written again: a ring whose tail lies
     * outside is walked once, not for ever. */
    uint32_t left;

    /* The packet: */
    uint32_t bytes;
    bool too_long;                /* for any packet: lost when it is complete */
    bool extended;                /* described by data descriptors, not legacy ones */
    bool segment;                 /* TSE */
    bool tagged;                  /* `tag` is to be inserted */
    bool insert;                  /* legacy: IC */
    uint8_t popts;                /* of its first data descriptor */
    uint8_t css, cso;             /* legacy, of its first descriptor */
    uint16_t tag;                 /* of the first with TSE, else of the last */
    struct e1000_context context; /* at its first data descriptor */

    uint8_t *packet; /* NET_PACKET_MAX */
};

/* Of the link. */
struct e1000_mode {
    bool possible, full_duplex;
    uint8_t speed; /* as in STATUS */
};

struct e1000_timers {
    struct host_timer throttle;              /* the line may rise again */
    struct host_timer rx_delay, rx_absolute; /* RDTR, RADV */
    struct host_timer tx_delay, tx_absolute; /* TIDV, TADV */
    struct host_timer tx_more;               /* the turn's descriptors were used up */
    struct host_timer negotiation;           /* the link comes up */
};
#define E1000_TIMERS (sizeof(struct e1000_timers) / sizeof(struct host_timer))

struct e1000_counts {
    uint64_t throttled; /* times that INTA had to wait for ITR */
    uint64_t tx_lost; /* packets that no packet can be: too long, too short, MSS 0, out of reach */
    uint64_t rx_lost; /* packets that no ring of this size could take */
    uint64_t rx_no_buffers; /* times that the reader was stopped */
};

struct e1000 {
    struct nic base; /* first */

    uint32_t reg[E1000_REGS];
    uint32_t mta[E1000_MTA_WORDS];
    uint32_t ra[2 * E1000_RA_ENTRIES];
    uint32_t vfta[E1000_VFTA_WORDS];
    uint32_t stats[E1000_STATS_WORDS];
    uint32_t ioaddr;
    uint16_t phy[E1000_PHY_REGS];
    struct e1000_mode mode;
    bool phy_fell; /* the link was down since the PHY's status was read */
    struct eeprom93 eeprom;

    struct e1000_tx tx;
    uint32_t rx_causes; /* of the batch that is being received */

    uint64_t rose_ns; /* when INTA rose last */
    struct e1000_timers timer;
    struct e1000_counts counts;
};

/* e1000_mac.c */
/* `offset` is that of a register's first byte, below E1000_MEM_BYTES; reading may clear it. */
uint32_t e1000_read(struct e1000 *nic, uint32_t offset);
void e1000_write(struct e1000 *nic, uint32_t offset, uint32_t value);
/* Initial values. Tables and the PHY are not touched. */
void e1000_mac_reset(struct e1000 *nic);
/* CTRL.RST, or the bus's reset, all but the PHY and the statistics (SDM 14). */
void e1000_reset_all(struct e1000 *nic);
/* Rejects registers that hold what they cannot. */
void e1000_mac_check(const struct e1000 *nic, struct state_reader *reader);

/* e1000.c */
/* The receiver's switch and the transmitter follow what they depend on: RCTL, TCTL, loopback, link,
 * bus mastering. */
void e1000_update(struct e1000 *nic);

/* e1000_phy.c */
void e1000_phy_reset(struct e1000 *nic); /* of power-on: the link is up if there is one */
void e1000_phy_restart(struct e1000 *nic);
void e1000_mdic(struct e1000 *nic);
/* STATUS follows PHY, cable and CTRL. */
void e1000_link_update(struct e1000 *nic);
void e1000_cable(struct e1000 *nic);
void e1000_negotiated(void *arg);
/* Packets come back instead of leaving. */
bool e1000_looped(const struct e1000 *nic);

/* e1000_eeprom.c */
void e1000_eeprom_init(struct e1000 *nic, const uint8_t mac[NET_MAC_BYTES]);
/* RAL0 and RAH0 as the EEPROM says; the other addresses are invalid. */
void e1000_eeprom_load(struct e1000 *nic);
void e1000_eecd(struct e1000 *nic);
uint32_t e1000_eecd_read(const struct e1000 *nic);
void e1000_eerd(struct e1000 *nic);

/* e1000_irq.c */
void e1000_irq_init(struct e1000 *nic);
void e1000_irq_set(struct e1000 *nic, uint32_t causes);
void e1000_irq_update(struct e1000 *nic);
uint32_t e1000_icr_read(struct e1000 *nic);
/* Frames were received. `causes` besides. */
void e1000_irq_received(struct e1000 *nic, uint32_t causes);
/* Descriptors that ask for a report were done: without IDE, with it. */
void e1000_irq_sent(struct e1000 *nic, uint32_t causes, bool at_once, bool delayed);
void e1000_irq_flush_rx(struct e1000 *nic); /* RDTR.FPD */
void e1000_irq_flush_tx(struct e1000 *nic);

/* e1000_tx.c */
void e1000_tx_run(struct e1000 *nic);
void e1000_tx_more(void *arg);
void e1000_tx_reset(struct e1000 *nic);
/* The most bytes that a packet of this kind can have. */
static inline uint32_t e1000_tx_most(const struct e1000_tx *tx)
{
    return (tx->segment ? NET_PACKET_MAX : NET_FRAME_MAX) - NET_VLAN_BYTES;
}

/* e1000_rx.c */
enum net_answer e1000_receive(struct nic *base, const uint8_t *frame, uint32_t bytes,
                              const struct net_offload *offload);
void e1000_received(struct nic *base);

/* e1000_filter.c */
/* `ret_inexact`: by the multicast table or because of promiscuity only. Nothing is counted but MAC
 * control frames. */
bool e1000_filter(struct e1000 *nic, const uint8_t *frame, bool *ret_inexact);
/* Whether the frame has a tag of the type in VET. */
bool e1000_is_tagged(const struct e1000 *nic, const uint8_t *frame);

/* e1000_stats.c; counters stick at all-ones. */
uint32_t e1000_stats_read(struct e1000 *nic, uint32_t offset);
void e1000_count(struct e1000 *nic, uint32_t offset);
void e1000_count_n(struct e1000 *nic, uint32_t offset, uint64_t n);
/* A frame of `bytes` without FCS went by. */
void e1000_count_sent(struct e1000 *nic, const uint8_t *frame, uint64_t bytes, uint32_t packets,
                      uint32_t largest);
void e1000_count_seen(struct e1000 *nic, uint32_t bytes);
void e1000_count_received(struct e1000 *nic, const uint8_t *frame, uint32_t bytes);

/* e1000_state.c */
void e1000_save(const struct nic *base, struct state_writer *writer);
void e1000_load(struct nic *base, struct state_reader *reader, uint32_t version);

#endif
