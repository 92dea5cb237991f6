/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers and descriptors of the RTL8139C+, with the names of its data sheet (RTL8139C+, rev.
 * 1.6, chapters 6 and 9); what it has of the RTL8139C is in that one's, too (RTL8139C(L), rev. 1.4,
 * chapter 6: TSD 6.2, CR 6.4, TCR 6.7, RCR 6.8, 9346CR 6.9, CONFIG1 6.11, CONFIG3 and 4 6.13 f.).
 */
#ifndef IOEMUD_DEVICES_NET_RTL8139_REGS_H
#define IOEMUD_DEVICES_NET_RTL8139_REGS_H

#define RTL8139_BAR_BYTES 256u

#define RTL8139_IDR0     0x00u
#define RTL8139_MAR0     0x08u
#define RTL8139_TSD0     0x10u
#define RTL8139_DTCCR    0x10u /* in C+ mode */
#define RTL8139_TSAD0    0x20u
#define RTL8139_TNPDS    0x20u /* in C+ mode */
#define RTL8139_THPDS    0x28u
#define RTL8139_RBSTART  0x30u
#define RTL8139_CR       0x37u
#define RTL8139_CAPR     0x38u
#define RTL8139_CBR      0x3au
#define RTL8139_IMR      0x3cu
#define RTL8139_ISR      0x3eu
#define RTL8139_TCR      0x40u
#define RTL8139_RCR      0x44u
#define RTL8139_TCTR     0x48u
#define RTL8139_MPC      0x4cu
#define RTL8139_9346CR   0x50u
#define RTL8139_CONFIG0  0x51u
#define RTL8139_CONFIG1  0x52u
#define RTL8139_TIMERINT 0x54u
#define RTL8139_MSR      0x58u
#define RTL8139_CONFIG3  0x59u
#define RTL8139_CONFIG4  0x5au
#define RTL8139_MULINT   0x5cu
#define RTL8139_RERID    0x5eu
#define RTL8139_TSAD     0x60u
#define RTL8139_BMCR     0x62u
#define RTL8139_BMSR     0x64u
#define RTL8139_ANAR     0x66u
#define RTL8139_ANLPAR   0x68u
#define RTL8139_ANER     0x6au
#define RTL8139_NWAYTR   0x70u
#define RTL8139_CSCR     0x74u
#define RTL8139_PHY1     0x78u
#define RTL8139_WAKEUP   0x84u /* CRCs and frames up to 0xd3: kept, nothing wakes */
#define RTL8139_CONFIG5  0xd8u
#define RTL8139_TPPOLL   0xd9u
#define RTL8139_CPCR     0xe0u
#define RTL8139_RDSAR    0xe4u
#define RTL8139_ETTHR    0xecu

#define RTL8139_CR_BUFE 0x01u
#define RTL8139_CR_TE   0x04u
#define RTL8139_CR_RE   0x08u
#define RTL8139_CR_RST  0x10u

#define RTL8139_INT_ROK     0x0001u
#define RTL8139_INT_RER     0x0002u
#define RTL8139_INT_TOK     0x0004u
#define RTL8139_INT_TER     0x0008u
#define RTL8139_INT_RXOVW   0x0010u /* C+: no receive descriptor */
#define RTL8139_INT_LINK    0x0020u
#define RTL8139_INT_TDU     0x0080u
#define RTL8139_INT_SW      0x0100u
#define RTL8139_INT_TIMEOUT 0x4000u

#define RTL8139_TSD_SIZE 0x00001fffu
#define RTL8139_TSD_OWN  0x00002000u /* the host's */
#define RTL8139_TSD_TUN  0x00004000u
#define RTL8139_TSD_TOK  0x00008000u
#define RTL8139_TSD_TABT 0x40000000u
#define RTL8139_TX_MAX   1792u

#define RTL8139_TCR_HWVERID 0x74800000u /* of the C+: table of TCR */
#define RTL8139_TCR_LBK     0x00060000u

#define RTL8139_RCR_AAP         0x01u
#define RTL8139_RCR_APM         0x02u
#define RTL8139_RCR_AM          0x04u
#define RTL8139_RCR_AB          0x08u
#define RTL8139_RCR_WRAP        0x80u
#define RTL8139_RCR_RBLEN_SHIFT 11

#define RTL8139_EEM          0xc0u
#define RTL8139_EEM_AUTOLOAD 0x40u
#define RTL8139_EEM_PROGRAM  0x80u
#define RTL8139_EEM_CONFIG   0xc0u
#define RTL8139_EECS         0x08u
#define RTL8139_EESK         0x04u
#define RTL8139_EEDI         0x02u
#define RTL8139_EEDO         0x01u

#define RTL8139_MSR_LINKB    0x04u
#define RTL8139_MSR_SPEED_10 0x08u

/* Not in the data sheet; Linux's 8139too believes in a change of the link only when it is set. */
#define RTL8139_CSCR_LINK_CHANGED 0x0800u

/* IEEE 802.3, 22.2.4. */
#define RTL8139_BMCR_RESET   0x8000u
#define RTL8139_BMCR_100     0x2000u
#define RTL8139_BMCR_ANE     0x1000u
#define RTL8139_BMCR_RESTART 0x0200u
#define RTL8139_BMCR_FULL    0x0100u
#define RTL8139_BMSR_ABLE    0x7809u
#define RTL8139_BMSR_DONE    0x0020u
#define RTL8139_BMSR_LINK    0x0004u
#define RTL8139_ANAR_DEFAULT 0x01e1u
#define RTL8139_PARTNER      0x45e1u
#define RTL8139_ANAR_100     0x0180u

#define RTL8139_TPPOLL_HPQ    0x80u
#define RTL8139_TPPOLL_NPQ    0x40u
#define RTL8139_TPPOLL_FSWI   0x01u
#define RTL8139_DTCCR_CMD     0x08u
#define RTL8139_CPCR_TX       0x01u
#define RTL8139_CPCR_RX       0x02u
#define RTL8139_CPCR_RXCHK    0x20u
#define RTL8139_CPCR_RXVLAN   0x40u
#define RTL8139_CPCR_WRITABLE 0x7bu

/* Legacy receive header. */
#define RTL8139_RX_ROK 0x0001u
#define RTL8139_RX_BAR 0x2000u
#define RTL8139_RX_PAM 0x4000u
#define RTL8139_RX_MAR 0x8000u
#define RTL8139_RX_MAX 1792u

/* Descriptors of C+ mode. */
#define RTL8139_DESC_BYTES  16u
#define RTL8139_DESCS       64u
#define RTL8139_D_OWN       0x80000000u
#define RTL8139_D_EOR       0x40000000u
#define RTL8139_D_FS        0x20000000u
#define RTL8139_D_LS        0x10000000u
#define RTL8139_TXD_LGSEN   0x08000000u
#define RTL8139_TXD_MSS     0x07ff0000u
#define RTL8139_TXD_STATUS  0x03ff0000u /* given back as 0 */
#define RTL8139_TXD_IPCS    0x00040000u
#define RTL8139_TXD_UDPCS   0x00020000u
#define RTL8139_TXD_TCPCS   0x00010000u
#define RTL8139_TXD_LENGTH  0x0000ffffu
#define RTL8139_TXD_TAGC    0x00020000u /* second word */
#define RTL8139_RXD_SIZE    0x00001fffu
#define RTL8139_RXD_MAR     0x04000000u
#define RTL8139_RXD_PAM     0x02000000u
#define RTL8139_RXD_BAR     0x01000000u
#define RTL8139_RXD_PID_TCP 0x00010000u
#define RTL8139_RXD_PID_UDP 0x00020000u
#define RTL8139_RXD_PID_IP  0x00030000u
#define RTL8139_RXD_IPF     0x00008000u
#define RTL8139_RXD_UDPF    0x00004000u
#define RTL8139_RXD_TCPF    0x00002000u
#define RTL8139_RXD_TAVA    0x00010000u /* second word */
#define RTL8139_CP_RX_MAX   4092u       /* longer ones are not received; with its FCS, 4 KiB */

#endif
