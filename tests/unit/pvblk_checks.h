/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the unit tests of a PV disk fill in and assert, over pvblk_rig. */
#ifndef IOEMUD_TESTS_UNIT_PVBLK_CHECKS_H
#define IOEMUD_TESTS_UNIT_PVBLK_CHECKS_H

#include "tests/unit/pvblk_rig.h"

/* That they are what a fresh disk has from `offset` on. */
void pv_assert_disk(const uint8_t *bytes, uint64_t offset, size_t len);
void pv_fill(uint8_t *bytes, size_t len, uint8_t seed);
/* Takes all there are; how many. */
unsigned pv_responses(struct pv_rig *rig, unsigned queue);
/* Requests to the disk are held until mem_release(), or are not. */
void pv_hold(struct pv_rig *rig, bool on);
/* Puts `n` segments in mixed order, at most 256, into page `table`; `small`: of one to three
 * sectors. How many sectors they have. */
uint32_t pv_make_table(struct pv_rig *rig, uint32_t table, unsigned n, bool small);
/* That the segments have what a fresh disk has from `offset` on. */
void pv_assert_table(struct pv_rig *rig, uint32_t table, unsigned n, uint64_t offset);

#endif
