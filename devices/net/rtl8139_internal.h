/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the rtl8139_*.c files have of each other.
 *
 *   rtl8139.c        the function: BARs, reset, creation
 *   rtl8139_mac.c    registers, interrupts, timer, link
 *   rtl8139_tx.c     both transmitters
 *   rtl8139_rx.c     both receivers
 *   rtl8139_state.c  save and load
 */
#ifndef IOEMUD_DEVICES_NET_RTL8139_INTERNAL_H
#define IOEMUD_DEVICES_NET_RTL8139_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net/eeprom93.h"
#include "devices/net/nic.h"
#include "devices/net/rtl8139_regs.h"

#define RTL8139_FCS_BYTES 4u
/* Descriptors that one turn of the loop takes. */
#define RTL8139_TX_TURN 64u
/* The most that a packet in guest memory can have: a tag may be inserted. */
#define RTL8139_PACKET_MAX (NET_PACKET_MAX - NET_VLAN_BYTES)

/* What the tally counters say (data sheet of the C+, DTCCR); those of a real wire stay 0. */
struct rtl8139_tally {
    uint64_t tx_ok, rx_ok, tx_error, rx_own, rx_broadcast;
    uint32_t rx_error, rx_multicast;
    uint16_t missed;
};

/*
 * The transmitter of C+ mode; a packet is gathered in memory of the device:
 *
 *   IDLE --FS--> GATHERING --LS--> READY --net_send()--> IDLE
 */
enum rtl8139_tx_phase {
    RTL8139_TX_IDLE,
    RTL8139_TX_GATHERING,
    RTL8139_TX_READY,
};

struct rtl8139_tx {
    uint8_t next;    /* legacy: the slot whose turn it is */
    uint8_t at[2];   /* C+: the descriptor, of the normal and the high priority ring */
    uint8_t left[2]; /* that may be taken before the ring is polled again: no ring is longer */
    uint8_t phase;
    uint8_t queue; /* the packet's */
    bool too_long;
    uint32_t opts1, opts2; /* of its first descriptor */
    uint32_t bytes;
    uint8_t *packet; /* NET_PACKET_MAX */
};

struct rtl8139_counts {
    uint64_t tx_lost;       /* packets that no packet can be */
    uint64_t rx_lost;       /* packets that no ring of this size could take */
    uint64_t rx_no_buffers; /* times that the reader was stopped */
};

struct rtl8139 {
    struct nic base; /* first */

    uint8_t reg[RTL8139_BAR_BYTES]; /* little-endian, as the guest sees them */
    uint32_t dtccr[2];              /* shares its place with TSD0 and TSD1 */
    uint8_t rx_at;                  /* C+: receive descriptor */
    bool link;                      /* the cable's, as the driver has been told */
    bool link_fell;                 /* since BMSR was read: it latches (IEEE 802.3, 22.2.4.2.13) */
    struct eeprom93 eeprom;
    struct rtl8139_tx tx;
    struct rtl8139_tally tally;
    uint64_t tctr_ns; /* when TCTR was 0 */

    struct host_timer timer;   /* TimerInt */
    struct host_timer tx_more; /* the turn's descriptors were used up */
    struct rtl8139_counts counts;
};

static inline uint32_t rtl8139_get(const uint8_t *at, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)at[i] << (8 * i);
    return value;
}

static inline void rtl8139_put(uint8_t *at, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* rtl8139.c */
/* The receiver's switch and the transmitter follow what they depend on. */
void rtl8139_update(struct rtl8139 *nic);

/* rtl8139_mac.c */
uint32_t rtl8139_read(struct rtl8139 *nic, uint32_t offset, unsigned size);
void rtl8139_write(struct rtl8139 *nic, uint32_t offset, unsigned size, uint32_t value);
/* CR.RST; addresses and what the EEPROM says stay. */
void rtl8139_mac_reset(struct rtl8139 *nic);
/* 9346CR's autoload, and RST#. */
void rtl8139_autoload(struct rtl8139 *nic);
void rtl8139_phy_reset(struct rtl8139 *nic);
void rtl8139_irq_set(struct rtl8139 *nic, uint32_t causes);
void rtl8139_irq_update(struct rtl8139 *nic);
void rtl8139_timer_update(struct rtl8139 *nic);
void rtl8139_timeout(void *arg);
bool rtl8139_looped(const struct rtl8139 *nic);

/* rtl8139_tx.c */
void rtl8139_tx_run(struct rtl8139 *nic);
void rtl8139_tx_more(void *arg);
void rtl8139_tx_reset(struct rtl8139 *nic);

/* rtl8139_rx.c */
enum net_answer rtl8139_receive(struct nic *base, const uint8_t *frame, uint32_t bytes,
                                const struct net_offload *offload);
void rtl8139_received(struct nic *base);
bool rtl8139_rx_empty(const struct rtl8139 *nic);

/* rtl8139_state.c */
void rtl8139_save(const struct nic *base, struct state_writer *writer);
void rtl8139_load(struct nic *base, struct state_reader *reader, uint32_t version);

#endif
