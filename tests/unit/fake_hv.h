/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hypervisor that is an ops table over plain memory: FAKE_HV_RAM bytes of RAM, a hole above. */
#ifndef IOEMUD_TESTS_UNIT_FAKE_HV_H
#define IOEMUD_TESTS_UNIT_FAKE_HV_H

#include "ioreq/hv.h"

#define FAKE_HV_RAM 0x10000u

struct hv_guest {
    _Alignas(IOREQ_PAGE) struct ioreq_slot slots[IOREQ_SLOTS];
    _Alignas(IOREQ_PAGE) struct buf_ioreq_page buffered;
    uint8_t ram[FAKE_HV_RAM];
    unsigned notified[IOREQ_SLOTS], invalidated, dirty_calls, pins;
    int pin_error;     /* not 0: memory is out of reach */
    unsigned pin_maps; /* what a pin costs */
    struct hv_counters counters;
};

/* guest_counters, slots, buffered, notify, pin, unpin, mark_dirty and invalidate. */
extern const struct hv_ops fake_hv;

#endif
