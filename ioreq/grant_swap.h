/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor's frame swap (ioreq/swap_xen.h) as what a worker's grants can do
 * (ioreq/grant_xen.h).
 */
#ifndef IOEMUD_IOREQ_GRANT_SWAP_H
#define IOEMUD_IOREQ_GRANT_SWAP_H

#include "ioreq/grant_xen.h"
#include "ioreq/swap_xen.h"

/* From now on reads of so many bytes (devices/grant.h, struct grant_crossover) are swapped. `swap`
 * has so many pages, side by side from `base` on, and outlives `xen`. Before any guest. -ENOMEM */
int grant_swap_use(struct grant_xen *xen, struct swap_xen *swap, uint8_t *base, unsigned pages,
                   uint32_t from);

/* Why swap_xen_open() said so, for people. A constant, or strerror()'s. */
const char *grant_swap_refusal(int err);

#endif
