/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block interface between a frontend and its backend as both see it in a shared ring
 * (xen/include/public/io/blkif.h and ring.h of Xen 4.17; tests/unit/test_blkif_abi.c asserts that
 * they agree). A frontend compiled for 32 bits aligns 64-bit members to 4 bytes and so has another
 * layout; it says which it uses in `protocol`.
 */
#ifndef IOEMUD_DEVICES_PV_BLKIF_ABI_H
#define IOEMUD_DEVICES_PV_BLKIF_ABI_H

#include <stdint.h>

/* blkif_request.operation */
#define BLKIF_READ     0
#define BLKIF_WRITE    1
#define BLKIF_BARRIER  2 /* earlier writes are done before it, later ones wait for it */
#define BLKIF_FLUSH    3
#define BLKIF_DISCARD  5
#define BLKIF_INDIRECT 6

/* blkif_response.status */
#define BLKIF_OKAY       0
#define BLKIF_ERROR      (-1)
#define BLKIF_EOPNOTSUPP (-2)
/* Without a name in blkif.h: a failure that is neither of these two. Linux takes BLKIF_ERROR for
 * "not supported", and so for success, when it answers a flush or barrier without data, and
 * BLKIF_EOPNOTSUPP when it answers any, Windows that, too (blkif_interrupt() of Linux'
 * drivers/block/xen-blkfront.c, RingCompleteResponse() of xenvbd). Whatever else is not BLKIF_OKAY
 * is an error to them, to FreeBSD, NetBSD and OVMF. */
#define BLKIF_FAILED (-5)

#define BLKIF_SECTOR         512u /* what sector numbers, and a segment's, count */
#define BLKIF_PAGE           4096u
#define BLKIF_PAGE_SECTORS   (BLKIF_PAGE / BLKIF_SECTOR)
#define BLKIF_SEGMENTS       11u /* in a request of the ring */
#define BLKIF_SEGMENT_BYTES  8u  /* reference (u32), first and last sector (u8 each), padding */
#define BLKIF_INDIRECT_PAGES 8u
#define BLKIF_PER_INDIRECT   (BLKIF_PAGE / BLKIF_SEGMENT_BYTES)

/* The ring's head: four indices of 32 bits that run freely, then padding. */
#define BLKIF_REQ_PROD  0u
#define BLKIF_REQ_EVENT 4u
#define BLKIF_RSP_PROD  8u
#define BLKIF_RSP_EVENT 12u
#define BLKIF_RING_HEAD 64u

/* Where the layouts differ, in bytes. In both: operation (u8) at 0; number of segments, flag or
 * indirect operation (u8) at 1; handle, or an indirect request's number of segments (u16), at 2.
 * A response is id at 0, operation (u8) at 8, status (i16) at 10. */
struct blkif_layout {
    uint16_t entry; /* of the ring: the larger of request and response */
    uint16_t id, sector, segments;
    uint16_t discard_sectors; /* u64 */
    uint16_t indirect_refs;   /* u32 each */
    uint16_t response;        /* size */
};

#define BLKIF_LAYOUT_32                                                                            \
    {                                                                                              \
        .entry = 108, .id = 4, .sector = 12, .segments = 20, .discard_sectors = 20,                \
        .indirect_refs = 24, .response = 12                                                        \
    }
#define BLKIF_LAYOUT_64                                                                            \
    {                                                                                              \
        .entry = 112, .id = 8, .sector = 16, .segments = 24, .discard_sectors = 24,                \
        .indirect_refs = 28, .response = 16                                                        \
    }
#define BLKIF_ENTRY_MAX 112u

#endif
