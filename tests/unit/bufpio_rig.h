/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bus, a buffered PIO page and both of its sides: what the guest's accesses do, with dispatch's
 * order of things. For unit tests and fuzzers.
 */
#ifndef IOEMUD_TESTS_BUFPIO_RIG_H
#define IOEMUD_TESTS_BUFPIO_RIG_H

#include "ioreq/bufpio.h"
#include "tests/peer/hv_bufpio.h"

struct bufpio_rig {
    _Alignas(BUFPIO_PAGE) struct bufpio_page page;
    struct bus *bus;
    struct bufpio bufpio;
    struct hv_bufpio hv;
    bool without;      /* all accesses are requests, as on a hypervisor without the page */
    uint64_t requests; /* that the daemon had to serve */
};

void bufpio_rig_init(struct bufpio_rig *rig, struct bus *bus, unsigned further);
void bufpio_rig_finish(struct bufpio_rig *rig);

uint32_t bufpio_rig_in(struct bufpio_rig *rig, uint16_t port, unsigned size);
void bufpio_rig_out(struct bufpio_rig *rig, uint16_t port, unsigned size, uint32_t value);
void bufpio_rig_ins(struct bufpio_rig *rig, uint16_t port, unsigned size, void *buf,
                    uint32_t count);
void bufpio_rig_outs(struct bufpio_rig *rig, uint16_t port, unsigned size, const void *buf,
                     uint32_t count);

#endif
