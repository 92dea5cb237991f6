/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tester (hvx.c, in dom0) and its guest (guest.c) agree on. */
#ifndef IOEMU_TESTS_XEN_HVX_H
#define IOEMU_TESTS_XEN_HVX_H

#define HVX_PORTS 0x5a0 /* 32 of them */

/* 16 bytes that read as they were written, at any width; arguments and results of commands. */
#define HVX_REGS 0x00
/* What was written (at any width, by string or not) is read again, in order. */
#define HVX_FIFO 0x10
/* Writing a dword carries out a command; reading gives the mode that hvx was started with. */
#define HVX_COMMAND   0x18
#define HVX_FIFO_SIZE 16384

#define HVX_MMIO      0xf1000000u /* a page that reads as it was written */
#define HVX_MMIO_SIZE 0x1000u
#define HVX_PCI_SLOT  5
#define HVX_PCI_ID    0x11115853u

enum hvx_command {
    HVX_FIFO_RESET = 1,
    HVX_DMA,        /* reg 0 gpa, 1 bytes: every byte inverted; reg 2 = bytes that were holes */
    HVX_ISA_IRQ,    /* reg 0 irq, 1 level */
    HVX_INTX,       /* reg 0 pin of HVX_PCI_SLOT, 1 level */
    HVX_LINK_ROUTE, /* reg 0 link, 1 irq */
    HVX_MSI,        /* reg 0 address, 1 data */
    HVX_POWEROFF,
    HVX_STALL,     /* is not answered */
    HVX_HOLD,      /* reg 0 gpa, 1 bytes: pinned and never unpinned */
    HVX_COUNTERS,  /* reg 0 = buffered requests seen, 1 = INVALIDATEs */
    HVX_LOG_DIRTY, /* reg 0 gpa, 1 bytes: as HVX_DMA while Xen logs; reg 2 = first pages' dirty bits
                    */
};

enum hvx_mode {
    HVX_MODE_TEST,  /* everything, then power off */
    HVX_MODE_STALL, /* asks for HVX_STALL, says so when it was let go of, powers off */
    HVX_MODE_BUSY,  /* PIO and DMA without end, on every vCPU */
};

#endif
