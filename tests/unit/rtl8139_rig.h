/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/nic_rig.h with an RTL8139C+. */
#ifndef IOEMUD_TESTS_RTL8139_RIG_H
#define IOEMUD_TESTS_RTL8139_RIG_H

#include "devices/net/rtl8139_internal.h"
#include "tests/unit/nic_rig.h"

#define RTL8139_RIG_TX   0x1000u /* rings of C+ mode */
#define RTL8139_RIG_RX   0x2000u
#define RTL8139_RIG_RING 0x20000u /* of the legacy receiver */
#define RTL8139_RIG_DATA 0x40000u
#define RTL8139_RIG_BUF  0x80000u

extern const struct nic_rig_model rtl8139_rig_model;

/* Reads by ports, writes to memory: they are the same registers. */
uint32_t rtl8139_rig_read(struct nic_rig *rig, uint32_t offset, unsigned size);
void rtl8139_rig_write(struct nic_rig *rig, uint32_t offset, unsigned size, uint32_t value);
/* Descriptor `index` of the ring at this address. */
void rtl8139_rig_desc(struct nic_rig *rig, uint32_t ring, unsigned index, uint32_t opts1,
                      uint32_t opts2, uint64_t addr);

#endif
