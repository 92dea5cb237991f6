/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After <xen/io/blkif.h>: that blkif_abi.h says the same, in whatever alignment it was included. */
#ifndef IOEMUD_TESTS_BLKIF_ABI_SAME_H
#define IOEMUD_TESTS_BLKIF_ABI_SAME_H

/* Ours are what Xen's values are called without their group. */
enum {
    XEN_OP_READ = BLKIF_OP_READ,
    XEN_OP_WRITE = BLKIF_OP_WRITE,
    XEN_OP_BARRIER = BLKIF_OP_WRITE_BARRIER,
    XEN_OP_FLUSH = BLKIF_OP_FLUSH_DISKCACHE,
    XEN_OP_DISCARD = BLKIF_OP_DISCARD,
    XEN_OP_INDIRECT = BLKIF_OP_INDIRECT,
    XEN_OKAY = BLKIF_RSP_OKAY,
    XEN_ERROR = BLKIF_RSP_ERROR,
    XEN_EOPNOTSUPP = BLKIF_RSP_EOPNOTSUPP,
};

#include "devices/pv/blkif_ring.h"

_Static_assert((int)XEN_OP_READ == BLKIF_READ && (int)XEN_OP_WRITE == BLKIF_WRITE &&
                   (int)XEN_OP_BARRIER == BLKIF_BARRIER && (int)XEN_OP_FLUSH == BLKIF_FLUSH &&
                   (int)XEN_OP_DISCARD == BLKIF_DISCARD && (int)XEN_OP_INDIRECT == BLKIF_INDIRECT,
               "operations");
_Static_assert((int)XEN_OKAY == BLKIF_OKAY && (int)XEN_ERROR == BLKIF_ERROR &&
                   (int)XEN_EOPNOTSUPP == BLKIF_EOPNOTSUPP,
               "statuses");
_Static_assert(BLKIF_SEGMENTS == BLKIF_MAX_SEGMENTS_PER_REQUEST &&
                   BLKIF_INDIRECT_PAGES == BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST,
               "limits");
_Static_assert(sizeof(struct blkif_request_segment) == BLKIF_SEGMENT_BYTES &&
                   offsetof(struct blkif_request_segment, first_sect) == 4 &&
                   offsetof(struct blkif_request_segment, last_sect) == 5,
               "a segment");
_Static_assert(offsetof(struct blkif_sring, req_prod) == BLKIF_REQ_PROD &&
                   offsetof(struct blkif_sring, req_event) == BLKIF_REQ_EVENT &&
                   offsetof(struct blkif_sring, rsp_prod) == BLKIF_RSP_PROD &&
                   offsetof(struct blkif_sring, rsp_event) == BLKIF_RSP_EVENT &&
                   offsetof(struct blkif_sring, ring) == BLKIF_RING_HEAD,
               "the ring's head");
_Static_assert(offsetof(struct blkif_request, nr_segments) == 1 &&
                   offsetof(struct blkif_request_indirect, indirect_op) == 1 &&
                   offsetof(struct blkif_request_indirect, nr_segments) == 2 &&
                   offsetof(struct blkif_request_discard, flag) == 1,
               "the first word");

#define SAME_PLACE(type, member, ours) assert_int_equal(offsetof(struct type, member), layout->ours)

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static inline void check_layout(const struct blkif_layout *layout)
{
    assert_int_equal(sizeof(union blkif_sring_entry), layout->entry);
    assert_int_equal(sizeof(struct blkif_response), layout->response);
    SAME_PLACE(blkif_request, id, id);
    SAME_PLACE(blkif_request_indirect, id, id);
    SAME_PLACE(blkif_request_discard, id, id);
    SAME_PLACE(blkif_request, sector_number, sector);
    SAME_PLACE(blkif_request_indirect, sector_number, sector);
    SAME_PLACE(blkif_request_discard, sector_number, sector);
    SAME_PLACE(blkif_request, seg, segments);
    SAME_PLACE(blkif_request_discard, nr_sectors, discard_sectors);
    SAME_PLACE(blkif_request_indirect, indirect_grefs, indirect_refs);
    assert_int_equal(offsetof(struct blkif_response, operation), 8);
    assert_int_equal(offsetof(struct blkif_response, status), 10);
    for (unsigned order = 0; order <= 4; order++) {
        static struct blkif_sring ring; /* the macro's, which reads nothing */
        size_t size = (size_t)BLKIF_PAGE << order;
        enum blkif_protocol protocol = layout->response == 12 ? BLKIF_X86_32 : BLKIF_X86_64;

        assert_int_equal(blkif_ring_entries(protocol, 1u << order), __RING_SIZE(&ring, size));
    }
}

#endif
