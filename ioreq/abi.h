/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages that a hypervisor and a device model share, as Xen lays them out
 * (xen/include/public/hvm/ioreq.h of Xen 4.17; tests/unit/test_hv_xen_abi.c asserts that they
 * agree).
 *
 * Everything here can change at any moment under our eyes: each field is read once, into a copy,
 * with the accessors of dispatch.c.
 */
#ifndef IOEMUD_IOREQ_ABI_H
#define IOEMUD_IOREQ_ABI_H

#include <stddef.h>
#include <stdint.h>

#define IOREQ_PAGE 4096u

/* ioreq.type */
enum ioreq_type {
    IOREQ_PIO = 0,
    IOREQ_COPY = 1,       /* memory-mapped I/O */
    IOREQ_PCI_CONFIG = 2, /* addr: SBDF in 63:32, register in 31:0 */
    IOREQ_TIMEOFFSET = 7,
    IOREQ_INVALIDATE = 8, /* drop mappings of guest memory */
};

/* ioreq.state: NONE -> READY (hypervisor) -> INPROCESS -> RESP_READY (device model) -> NONE
 * (hypervisor). Any other step makes Xen crash the domain. */
enum ioreq_state {
    IOREQ_STATE_NONE = 0,
    IOREQ_STATE_READY = 1,
    IOREQ_STATE_INPROCESS = 2,
    IOREQ_STATE_RESP_READY = 3,
};

/* ioreq.flags: the state in the low nibble (Xen's bit-fields, low bit first), then: */
#define IOREQ_STATE_MASK  0x0f
#define IOREQ_DATA_IS_PTR 0x10 /* data is a guest-physical address */
#define IOREQ_READ        0x20 /* dir: 1 the guest reads */
#define IOREQ_DF          0x40 /* successive elements go downwards */

struct ioreq_slot {
    uint64_t addr;
    uint64_t data;
    uint32_t count;
    uint32_t size;
    uint32_t vp_eport; /* the vCPU's event channel; never ours to change */
    uint16_t pad;
    uint8_t flags;
    uint8_t type;
};

#define IOREQ_SLOTS (IOREQ_PAGE / sizeof(struct ioreq_slot)) /* 128 vCPUs */

/* One slot of the buffered ring, read as one 64-bit load: a write of 1, 2 or 4 bytes; an 8-byte
 * write takes two slots, the second with the high half in its data. */
#define BUF_IOREQ_TYPE(slot) ((uint8_t)(slot))
#define BUF_IOREQ_READ(slot) ((slot) >> 9 & 1)
#define BUF_IOREQ_SIZE(slot) (1u << ((slot) >> 10 & 3)) /* bytes */
#define BUF_IOREQ_ADDR(slot) ((uint32_t)((slot) >> 12 & 0xfffff))
#define BUF_IOREQ_DATA(slot) ((uint32_t)((slot) >> 32))

#define BUF_IOREQ_SLOTS 511

struct buf_ioreq_page {
    uint32_t read_pointer;  /* ours: advanced by atomic add, Xen renormalises it by cmpxchg */
    uint32_t write_pointer; /* Xen's */
    uint64_t slot[BUF_IOREQ_SLOTS];
};

_Static_assert(sizeof(struct ioreq_slot) == 32, "Xen's ioreq is 32 bytes");
_Static_assert(offsetof(struct ioreq_slot, flags) == 30, "state nibble's byte");
_Static_assert(sizeof(struct buf_ioreq_page) == IOREQ_PAGE, "the buffered ring fills a page");

#endif
