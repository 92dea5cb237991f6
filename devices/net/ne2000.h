/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RTL8029AS: a DP8390 core with 16 KiB of packet memory behind 32 ports. Registers and bits are
 * named as in National Semiconductor's DP8390D data sheet ("DP8390") and Realtek's RTL8029AS
 * specification ("RTL8029AS"); offsets count from BAR 0.
 */
#ifndef IOEMUD_DEVICES_NET_NE2000_H
#define IOEMUD_DEVICES_NET_NE2000_H

#define NE2000_IO_BYTES 0x20u /* RTL8029AS, 5.2: IOAR */
#define NE2000_DATA     0x10  /* to 0x17: remote DMA */
#define NE2000_RESET    0x18  /* to 0x1f */

/* The local address space: 16 bits, of which the board answers two parts. */
#define NE2000_PROM_BYTES 32u
#define NE2000_MEM        0x4000u
#define NE2000_MEM_BYTES  0x4000u
#define NE2000_PAGE       256u

/* In every page. */
#define NE2000_CR 0x00
/* Page 0: read, or both. */
#define NE2000_CLDA0 0x01
#define NE2000_CLDA1 0x02
#define NE2000_BNRY  0x03
#define NE2000_TSR   0x04
#define NE2000_NCR   0x05
#define NE2000_FIFO  0x06
#define NE2000_ISR   0x07
#define NE2000_CRDA0 0x08
#define NE2000_CRDA1 0x09
#define NE2000_ID0   0x0a /* RTL8029AS only: 'P' and 'C' (5.1.2.2) */
#define NE2000_ID1   0x0b
#define NE2000_RSR   0x0c
#define NE2000_CNTR0 0x0d /* to CNTR2 at 0x0f */
/* Page 0: written; in page 2 the same registers are read, but those of the remote DMA. */
#define NE2000_PSTART 0x01
#define NE2000_PSTOP  0x02
#define NE2000_TPSR   0x04
#define NE2000_TBCR0  0x05
#define NE2000_TBCR1  0x06
#define NE2000_RSAR0  0x08
#define NE2000_RSAR1  0x09
#define NE2000_RBCR0  0x0a
#define NE2000_RBCR1  0x0b
#define NE2000_RCR    0x0c
#define NE2000_TCR    0x0d
#define NE2000_DCR    0x0e
#define NE2000_IMR    0x0f
/* Page 1. */
#define NE2000_PAR0 0x01 /* to PAR5 */
#define NE2000_CURR 0x07
#define NE2000_MAR0 0x08 /* to MAR7 */
/* Page 3: RTL8029AS only (5.1.2.2). */
#define NE2000_9346CR  0x01
#define NE2000_CONFIG0 0x03
#define NE2000_CONFIG2 0x05
#define NE2000_CONFIG3 0x06
#define NE2000_ASID0   0x0e
#define NE2000_ASID1   0x0f

#define NE2000_CR_STP        0x01
#define NE2000_CR_STA        0x02
#define NE2000_CR_TXP        0x04
#define NE2000_CR_RD         0x38
#define NE2000_CR_RD_READ    0x08
#define NE2000_CR_RD_WRITE   0x10
#define NE2000_CR_RD_SEND    0x18
#define NE2000_CR_RD_ABORT   0x20
#define NE2000_CR_PAGE_SHIFT 6

#define NE2000_ISR_PRX 0x01
#define NE2000_ISR_PTX 0x02
#define NE2000_ISR_TXE 0x08
#define NE2000_ISR_OVW 0x10
#define NE2000_ISR_CNT 0x20
#define NE2000_ISR_RDC 0x40
#define NE2000_ISR_RST 0x80 /* no interrupt */

#define NE2000_DCR_WTS 0x01
#define NE2000_DCR_LS  0x08
#define NE2000_DCR_ARM 0x10
#define NE2000_DCR_RW  0x7b /* RTL8029AS, 5.1: bit 2, LAS of the DP8390, is 0 */

#define NE2000_TCR_CRC 0x01 /* the frame brings its FCS */
#define NE2000_TCR_LB  0x06

#define NE2000_TSR_PTX 0x01
#define NE2000_TSR_ONE 0x02 /* RTL8029AS, 5.1: always 1 */
#define NE2000_TSR_CRS 0x10

#define NE2000_RCR_AB  0x04
#define NE2000_RCR_AM  0x08
#define NE2000_RCR_PRO 0x10
#define NE2000_RCR_MON 0x20

#define NE2000_RSR_PRX 0x01
#define NE2000_RSR_MPA 0x10
#define NE2000_RSR_PHY 0x20 /* a group address */
#define NE2000_RSR_DIS 0x40 /* monitor mode */

/* 9346CR: both bits, and CONFIG2 and CONFIG3 may be written. */
#define NE2000_9346CR_EEM  0xc0
#define NE2000_9346CR_PINS 0x0e
#define NE2000_CONFIG3_RW  0x46 /* FUDUP, SLEEP, PWRDN */
#define NE2000_CONFIG2_RW  0xe0 /* PL1, PL0, BSELB */

/* A tally stops there; at 128 it asks for an interrupt (DP8390, 10.3). */
#define NE2000_TALLY_MAX 192

/* Longest frame without FCS: IEEE 802.3, 3.2.7, with a VLAN tag. */
#define NE2000_FRAME_MAX 1518u
#define NE2000_FCS       4u
#define NE2000_HEADER    4u /* status, next page, length low, length high */

#endif
