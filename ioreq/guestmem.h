/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies to and from guest memory over the pins of hv.h. Any address and length that a guest can
 * name is fine: what is not RAM reads as all-ones and swallows writes.
 *
 * Both return 0, or -errno when there is memory that could not be had (hv_ops.pin): then what was
 * read must not be used, and what was written may be there in part.
 */
#ifndef IOEMUD_IOREQ_GUESTMEM_H
#define IOEMUD_IOREQ_GUESTMEM_H

#include <stddef.h>
#include <stdint.h>

#include "ioreq/hv.h"

__attribute__((warn_unused_result)) int guestmem_read(const struct hv_ops *hv,
                                                      struct hv_guest *guest, uint64_t gpa,
                                                      void *buf, size_t len);
__attribute__((warn_unused_result)) int guestmem_write(const struct hv_ops *hv,
                                                       struct hv_guest *guest, uint64_t gpa,
                                                       const void *buf, size_t len);

/*
 * Mapping takes time that no request of the guest's pays for when it happens in the course of a
 * transfer, and a transfer can go on without one. Beyond GUESTMEM_MAPS_FREE maps at a time the
 * guest's transfers rest for as long as mapping has taken, so that it uses half of the worker's
 * time for that at most.
 */
#define GUESTMEM_MAPS_FREE 64u    /* twice the pages of a 128 KiB transfer */
#define GUESTMEM_MAP_NS    25000u /* mmap(2), a hypercall for 64 pages, munmap(2): estimated */

struct guestmem_rest {
    uint64_t maps; /* as counted the last time */
    uint64_t until_ns;
};

/* Before a transfer goes on: 0, or when it may. */
uint64_t guestmem_rest(struct guestmem_rest *rest, const struct hv_counters *counters,
                       uint64_t now_ns);

#endif
