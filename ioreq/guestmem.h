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

#endif
