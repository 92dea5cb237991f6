/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the NE2000 share. */
#ifndef IOEMUD_DEVICES_NET_NE2000_INTERNAL_H
#define IOEMUD_DEVICES_NET_NE2000_INTERNAL_H

#include "devices/net/ne2000.h"
#include "devices/net/nic.h"

/* Of the remote DMA (DP8390, 10.3: RD0-2). */
enum ne2000_remote { NE2000_IDLE, NE2000_READ, NE2000_WRITE, NE2000_REMOTES };

/* What reset at port 0x18 leaves alone comes first; pages and addresses are the guest's and may
 * hold anything: they are looked at where they are used. */
struct ne2000 {
    struct nic base; /* first */
    uint8_t prom[NE2000_PROM_BYTES];

    uint8_t cr, isr, imr, dcr, tcr, rcr, tsr, rsr;
    uint8_t pstart, pstop, bnry, curr, tpsr;
    uint16_t tbcr;
    uint16_t rsar, rbcr; /* as programmed; they count where CRDA and the byte counter would */
    uint8_t remote;      /* enum ne2000_remote */
    uint8_t send_packet; /* BNRY goes on when the remote read is complete */
    uint8_t par[NET_MAC_BYTES], mar[8];
    uint8_t tally[3];
    uint8_t fifo[8], fifo_at; /* the end of the last frame that was looped back */
    uint8_t ee, config2, config3;
    uint8_t mem[NE2000_MEM_BYTES];

    struct {
        uint64_t rx_missed, rx_too_long, tx_lost;
    } counts;
};

/* ne2000.c */
void ne2000_irq_update(struct ne2000 *nic);
/* Of any 16-bit address; what is not there reads as all-ones and swallows writes. `n` stays below
 * the end of the address space by wrapping. */
void ne2000_peek(const struct ne2000 *nic, uint16_t addr, uint8_t *buf, uint32_t n);
void ne2000_poke(struct ne2000 *nic, uint16_t addr, const uint8_t *buf, uint32_t n);
void ne2000_update(struct ne2000 *nic); /* the receiver's switch */

/* ne2000_remote.c: the data port. Bytes that were moved; 0: the transfer is over. */
void ne2000_remote_start(struct ne2000 *nic, uint8_t rd);
uint32_t ne2000_remote_read(struct ne2000 *nic, uint8_t *buf, uint32_t n);
uint32_t ne2000_remote_write(struct ne2000 *nic, const uint8_t *buf, uint32_t n);
/* The rest of the transfer as a PIO window: see bus_io_ops.window. */
uint32_t ne2000_remote_window(const struct ne2000 *nic, bool *ret_write, uint8_t *buf,
                              uint32_t room);

/* ne2000_frames.c */
void ne2000_transmit(struct ne2000 *nic); /* while CR.TXP says so */
enum net_answer ne2000_receive(struct nic *base, const uint8_t *frame, uint32_t bytes,
                               const struct net_offload *offload);

/* ne2000_state.c */
void ne2000_save(const struct nic *base, struct state_writer *writer);
void ne2000_load(struct nic *base, struct state_reader *reader, uint32_t version);

#endif
