/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies to and from guest memory over the pins of hv.h. Any address and length that a guest can
 * name is fine: what is not RAM reads as all-ones and swallows writes.
 */
#ifndef IOEMUD_IOREQ_GUESTMEM_H
#define IOEMUD_IOREQ_GUESTMEM_H

#include <stddef.h>
#include <stdint.h>

#include "ioreq/hv.h"

void guestmem_read(const struct hv_ops *hv, struct hv_guest *guest, uint64_t gpa, void *buf,
                   size_t len);
void guestmem_write(const struct hv_ops *hv, struct hv_guest *guest, uint64_t gpa, const void *buf,
                    size_t len);

#endif
