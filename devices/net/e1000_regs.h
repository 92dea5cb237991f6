/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers and descriptors of the Intel 82540EM, by the names of the "PCI/PCI-X Family of Gigabit
 * Ethernet Controllers Software Developer's Manual" (317453, "SDM" in this directory), chapters 3
 * and 13. Drivers of Linux, FreeBSD and iPXE settle what it leaves open.
 */
#ifndef IOEMUD_DEVICES_NET_E1000_REGS_H
#define IOEMUD_DEVICES_NET_E1000_REGS_H

#define E1000_MEM_BYTES 0x20000u /* BAR 0: SDM 4.1 */
#define E1000_IO_BYTES  64u      /* BAR 2; two registers are in it: SDM 13.2 */
#define E1000_IOADDR    0x0
#define E1000_IODATA    0x4

/*
 * Single registers: R(name, offset, initial value, what can be written). Sorted by offset:
 * e1000_mac.c searches it. Initial values are those of SDM 13.4 and 13.8 with this device's EEPROM;
 * where it has "X", 0.
 */
#define E1000_REGISTERS(R)                                                                         \
    R(CTRL, 0x0000, E1000_CTRL_INITIAL, 0xd8fc1be9)                                                \
    R(STATUS, 0x0008, 0, 0)                                                                        \
    R(EECD, 0x0010, E1000_EECD_FWE_DISABLED, 0x00000077)                                           \
    R(EERD, 0x0014, 0, 0x0000ff00)                                                                 \
    R(CTRL_EXT, 0x0018, 0, 0x0002cfff)                                                             \
    R(FLA, 0x001c, 0, 0)                                                                           \
    R(MDIC, 0x0020, 0, 0x2fffffff)                                                                 \
    R(FCAL, 0x0028, 0x00c28001, 0xffffffff)                                                        \
    R(FCAH, 0x002c, 0x00000100, 0x0000ffff)                                                        \
    R(FCT, 0x0030, 0x00008808, 0x0000ffff)                                                         \
    R(VET, 0x0038, 0x00008100, 0x0000ffff)                                                         \
    R(ICR, 0x00c0, 0, 0)                                                                           \
    R(ITR, 0x00c4, 0, 0x0000ffff)                                                                  \
    R(ICS, 0x00c8, 0, 0)                                                                           \
    R(IMS, 0x00d0, 0, 0)                                                                           \
    R(IMC, 0x00d8, 0, 0)                                                                           \
    R(RCTL, 0x0100, 0, 0x06dfb3fe)                                                                 \
    R(FCTTV, 0x0170, 0, 0x0000ffff)                                                                \
    R(TXCW, 0x0178, 0, 0xc000ffff)                                                                 \
    R(RXCW, 0x0180, 0, 0)                                                                          \
    R(TCTL, 0x0400, 0, 0x017ffffa)                                                                 \
    R(TIPG, 0x0410, 0, 0x3fffffff)                                                                 \
    R(AIT, 0x0458, 0, 0x0000ffff)                                                                  \
    R(LEDCTL, 0x0e00, 0x07068302, 0xcfcfcfcf)                                                      \
    R(PBA, 0x1000, 0x00100030, 0x00000078)                                                         \
    R(FCRTL, 0x2160, 0, 0x8000fff8)                                                                \
    R(FCRTH, 0x2168, 0, 0x8000fff8)                                                                \
    R(RDFH, 0x2410, 0, 0x00001fff)                                                                 \
    R(RDFT, 0x2418, 0, 0x00001fff)                                                                 \
    R(RDFHS, 0x2420, 0, 0x00001fff)                                                                \
    R(RDFTS, 0x2428, 0, 0x00001fff)                                                                \
    R(RDFPC, 0x2430, 0, 0x00001fff)                                                                \
    R(RDBAL, 0x2800, 0, 0xfffffff0)                                                                \
    R(RDBAH, 0x2804, 0, 0xffffffff)                                                                \
    R(RDLEN, 0x2808, 0, 0x000fff80)                                                                \
    R(RDH, 0x2810, 0, 0x0000ffff)                                                                  \
    R(RDT, 0x2818, 0, 0x0000ffff)                                                                  \
    R(RDTR, 0x2820, 0, 0x0000ffff)                                                                 \
    R(RXDCTL, 0x2828, 0x00010000, 0x013f3f3f)                                                      \
    R(RADV, 0x282c, 0, 0x0000ffff)                                                                 \
    R(RSRPD, 0x2c00, 0, 0x00000fff)                                                                \
    R(TXDMAC, 0x3000, 1, 0x00000001)                                                               \
    R(TDFH, 0x3410, 0, 0x000007ff)                                                                 \
    R(TDFT, 0x3418, 0, 0x000007ff)                                                                 \
    R(TDFHS, 0x3420, 0, 0x00001fff)                                                                \
    R(TDFTS, 0x3428, 0, 0x00001fff)                                                                \
    R(TDFPC, 0x3430, 0, 0x00001fff)                                                                \
    R(TDBAL, 0x3800, 0, 0xfffffff0)                                                                \
    R(TDBAH, 0x3804, 0, 0xffffffff)                                                                \
    R(TDLEN, 0x3808, 0, 0x000fff80)                                                                \
    R(TDH, 0x3810, 0, 0x0000ffff)                                                                  \
    R(TDT, 0x3818, 0, 0x0000ffff)                                                                  \
    R(TIDV, 0x3820, 0, 0x0000ffff)                                                                 \
    R(TXDCTL, 0x3828, 0, 0xff3f3f3f)                                                               \
    R(TADV, 0x382c, 0, 0x0000ffff)                                                                 \
    R(TSPMT, 0x3830, 0x01000400, 0xffffffff)                                                       \
    R(RXCSUM, 0x5000, 0, 0x000007ff)                                                               \
    R(WUC, 0x5800, 0, 0x0000000b)                                                                  \
    R(WUFC, 0x5808, 0, 0x000f80ff)                                                                 \
    R(WUS, 0x5810, 0, 0)                                                                           \
    R(MANC, 0x5820, 0, 0x00ffff00)                                                                 \
    R(IPAV, 0x5838, 0, 0x0001000f)                                                                 \
    R(WUPL, 0x5900, 0, 0)

/* Where each is, and its place in struct e1000. */
#define E1000_R_OFFSET(name, offset, initial, writable) E1000_##name = (offset),
#define E1000_R_INDEX(name, offset, initial, writable)  E1000_R_##name,
enum e1000_offset { E1000_REGISTERS(E1000_R_OFFSET) };
enum e1000_index { E1000_REGISTERS(E1000_R_INDEX) E1000_REGS };

#define E1000_CTRL_DUP 0x0004 /* CTRL again */

/* Tables: SDM 13.5. */
#define E1000_MTA        0x5200
#define E1000_MTA_WORDS  128u
#define E1000_RA         0x5400 /* RAL0, RAH0, RAL1, ... */
#define E1000_RA_ENTRIES 16u
#define E1000_VFTA       0x5600
#define E1000_VFTA_WORDS 128u
#define E1000_RAH_AV     0x80000000u
#define E1000_RAH_ASEL   0x00030000u /* 0: destination address, 1: source */
#define E1000_RAH_WRITES 0x8003ffffu

#define E1000_CTRL_FD       0x00000001u
#define E1000_CTRL_ASDE     0x00000020u
#define E1000_CTRL_SLU      0x00000040u
#define E1000_CTRL_SPD_1000 0x00000200u
#define E1000_CTRL_FRCSPD   0x00000800u
#define E1000_CTRL_FRCDPLX  0x00001000u
#define E1000_CTRL_RST      0x04000000u /* clears itself */
#define E1000_CTRL_VME      0x40000000u
#define E1000_CTRL_PHY_RST  0x80000000u
/* SLU: as of an EEPROM that wants the link up without a driver. */
#define E1000_CTRL_INITIAL (E1000_CTRL_FD | E1000_CTRL_SLU | E1000_CTRL_SPD_1000)

#define E1000_STATUS_FD          0x00000001u
#define E1000_STATUS_LU          0x00000002u
#define E1000_STATUS_SPEED_SHIFT 6 /* 0: 10, 1: 100, 2: 1000 Mbit/s */
#define E1000_STATUS_ASDV_SHIFT  8

#define E1000_EECD_SK           0x00000001u
#define E1000_EECD_CS           0x00000002u
#define E1000_EECD_DI           0x00000004u
#define E1000_EECD_DO           0x00000008u
#define E1000_EECD_FWE_DISABLED 0x00000010u
#define E1000_EECD_REQ          0x00000040u
#define E1000_EECD_GNT          0x00000080u
#define E1000_EECD_PRES         0x00000100u /* and SIZE, bit 9, is 0: 64 words */

#define E1000_EERD_START      0x00000001u
#define E1000_EERD_DONE       0x00000010u
#define E1000_EERD_ADDR_SHIFT 8
#define E1000_EERD_DATA_SHIFT 16

#define E1000_CTRL_EXT_ASDCHK 0x00001000u /* both clear themselves */
#define E1000_CTRL_EXT_EE_RST 0x00002000u

#define E1000_MDIC_DATA       0x0000ffffu
#define E1000_MDIC_REG_SHIFT  16
#define E1000_MDIC_PHY_SHIFT  21
#define E1000_MDIC_OP_WRITE   0x04000000u
#define E1000_MDIC_OP_READ    0x08000000u
#define E1000_MDIC_READY      0x10000000u
#define E1000_MDIC_INT_ENABLE 0x20000000u
#define E1000_MDIC_ERROR      0x40000000u

/* ICR, ICS, IMS, IMC: SDM 13.4.17. */
#define E1000_INT_TXDW    0x00000001u
#define E1000_INT_TXQE    0x00000002u
#define E1000_INT_LSC     0x00000004u
#define E1000_INT_RXDMT0  0x00000010u
#define E1000_INT_RXO     0x00000040u
#define E1000_INT_RXT0    0x00000080u
#define E1000_INT_MDAC    0x00000200u
#define E1000_INT_TXD_LOW 0x00008000u
#define E1000_INT_SRPD    0x00010000u
#define E1000_INT_ALL     0x0001ffffu /* reserved ones can be set by ICS, too: drivers test it */

#define E1000_ITR_NS   256u  /* unit of ITR: SDM 13.4.18 */
#define E1000_DELAY_NS 1024u /* of RDTR, RADV, TIDV, TADV: SDM 13.4.30 */

#define E1000_RCTL_EN          0x00000002u
#define E1000_RCTL_UPE         0x00000008u
#define E1000_RCTL_MPE         0x00000010u
#define E1000_RCTL_LPE         0x00000020u
#define E1000_RCTL_LBM         0x000000c0u
#define E1000_RCTL_LBM_MAC     0x00000040u
#define E1000_RCTL_LBM_PHY     0x000000c0u
#define E1000_RCTL_RDMTS_SHIFT 8 /* 0: half, 1: a quarter, 2: an eighth */
#define E1000_RCTL_MO_SHIFT    12
#define E1000_RCTL_BAM         0x00008000u
#define E1000_RCTL_BSIZE_SHIFT 16
#define E1000_RCTL_VFE         0x00040000u
#define E1000_RCTL_CFIEN       0x00080000u
#define E1000_RCTL_CFI         0x00100000u
#define E1000_RCTL_DPF         0x00400000u
#define E1000_RCTL_PMCF        0x00800000u
#define E1000_RCTL_BSEX        0x02000000u
#define E1000_RCTL_SECRC       0x04000000u

#define E1000_RDTR_FPD        0x80000000u /* clears itself */
#define E1000_TCTL_EN         0x00000002u
#define E1000_TXDCTL_LWTHRESH 25 /* shift; in units of 8 descriptors */
#define E1000_PBA_KIB         64u

#define E1000_RXCSUM_PCSS    0x000000ffu
#define E1000_RXCSUM_IPOFLD  0x00000100u
#define E1000_RXCSUM_TUOFLD  0x00000200u
#define E1000_RXCSUM_IPV6OFL 0x00000400u

/* The longest frame with its FCS: SDM 13.7.15 (RLEC). */
#define E1000_FRAME_MAX 1522u
#define E1000_FCS_BYTES 4u

/* Descriptors are four little-endian words (SDM 3.2.3, 3.3.3, 3.3.6, 3.3.7). */
#define E1000_DESC_BYTES 16u

/* Receive: the buffer's address, length and checksum, then these, the tag on top. */
#define E1000_RXD_DD    0x01u /* in byte 12 */
#define E1000_RXD_EOP   0x02u
#define E1000_RXD_IXSM  0x04u
#define E1000_RXD_VP    0x08u
#define E1000_RXD_TCPCS 0x20u
#define E1000_RXD_IPCS  0x40u
#define E1000_RXD_PIF   0x80u
#define E1000_RXD_TCPE  0x2000u /* bit 5 of byte 13 */
#define E1000_RXD_IPE   0x4000u

/* Transmit: word 2. */
#define E1000_TXD_LENGTH     0x0000ffffu /* legacy */
#define E1000_TXD_CSO_SHIFT  16          /* legacy */
#define E1000_TXD_DTALEN     0x000fffffu /* data, and PAYLEN of a context */
#define E1000_TXD_DTYP       0x00f00000u
#define E1000_TXD_DTYP_DATA  0x00100000u
#define E1000_TXD_EOP        0x01000000u
#define E1000_TXD_IFCS       0x02000000u
#define E1000_TXD_IC         0x04000000u /* legacy */
#define E1000_TXD_TSE        0x04000000u
#define E1000_TXD_RS         0x08000000u
#define E1000_TXD_DEXT       0x20000000u
#define E1000_TXD_VLE        0x40000000u
#define E1000_TXD_IDE        0x80000000u
#define E1000_TXD_TUCMD_TCP  0x01000000u /* context */
#define E1000_TXD_TUCMD_IPV4 0x02000000u
/* Word 3: status in byte 12, then CSS (legacy), POPTS (data) or HDRLEN (context), and above it the
 * tag or MSS. */
#define E1000_TXD_DD         0x01u
#define E1000_TXD_POPTS_IXSM 0x01u
#define E1000_TXD_POPTS_TXSM 0x02u

/* Statistics, SDM 13.7: words from CRCERRS to ICRXOC; only what is counted here has a name. */
#define E1000_STATS       0x4000
#define E1000_STATS_WORDS 74u
#define E1000_MPC         0x4010
#define E1000_RLEC        0x4040
#define E1000_XONRXC      0x4048
#define E1000_XOFFRXC     0x4050
#define E1000_FCRUC       0x4058
#define E1000_PRC64       0x405c /* ... PRC127, PRC255, PRC511, PRC1023, PRC1522 */
#define E1000_GPRC        0x4074
#define E1000_BPRC        0x4078
#define E1000_MPRC        0x407c
#define E1000_GPTC        0x4080
#define E1000_GORCL       0x4088 /* 64 bits, as all of these pairs: cleared with the upper half */
#define E1000_GOTCL       0x4090
#define E1000_RNBC        0x40a0
#define E1000_ROC         0x40ac
#define E1000_TORL        0x40c0
#define E1000_TOTL        0x40c8
#define E1000_TPR         0x40d0
#define E1000_TPT         0x40d4
#define E1000_PTC64       0x40d8 /* ... PTC1522 */
#define E1000_MPTC        0x40f0
#define E1000_BPTC        0x40f4
#define E1000_TSCTC       0x40f8
#define E1000_TSCTFC      0x40fc

/* The PHY: IEEE 802.3, 22.2.4 and 28.2.4; from 16 on its maker's (SDM 13.4.7). */
#define E1000_PHY_ADDRESS      1u
#define E1000_PHY_REGS         32u
#define E1000_PHY_CTRL         0
#define E1000_PHY_STATUS       1
#define E1000_PHY_ID1          2
#define E1000_PHY_ID2          3
#define E1000_PHY_ANA          4
#define E1000_PHY_LPA          5
#define E1000_PHY_ANE          6
#define E1000_PHY_NPT          7
#define E1000_PHY_GCON         9
#define E1000_PHY_GSTATUS      10
#define E1000_PHY_ESTATUS      15
#define E1000_PHY_PSCON        16
#define E1000_PHY_PSSTAT       17
#define E1000_PHY_PINTE        18
#define E1000_PHY_PINTS        19
#define E1000_PHY_EPSCON1      20
#define E1000_PHY_RXERR        21
#define E1000_PHY_PAGE         29
#define E1000_PHY_PAGED        30
#define E1000_PHY_CTRL_RESET   0x8000u
#define E1000_PHY_CTRL_LOOP    0x4000u
#define E1000_PHY_CTRL_SPEED0  0x2000u
#define E1000_PHY_CTRL_ANEG    0x1000u
#define E1000_PHY_CTRL_DOWN    0x0800u
#define E1000_PHY_CTRL_RESTART 0x0200u
#define E1000_PHY_CTRL_FD      0x0100u
#define E1000_PHY_CTRL_SPEED1  0x0040u
#define E1000_PHY_STATUS_LINK  0x0004u
#define E1000_PHY_STATUS_DONE  0x0020u

#endif
