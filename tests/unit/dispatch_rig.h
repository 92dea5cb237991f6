/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dispatch between a guest whose slots a test fills and devices that remember what came. */
#ifndef IOEMUD_TESTS_DISPATCH_RIG_H
#define IOEMUD_TESTS_DISPATCH_RIG_H

#include "ioreq/dispatch.h"
#include "tests/unit/fake_hv.h"

/* A device that remembers what it was asked. */
struct probe {
    uint64_t last_offset, last_value, sum;
    unsigned reads, writes, last_size;
    unsigned block_reads, block_writes;
    uint8_t next;
    bool no_block;
};

uint64_t probe_read(void *dev, uint64_t offset, unsigned size);
void probe_write(void *dev, uint64_t offset, unsigned size, uint64_t value);
uint32_t probe_read_block(void *dev, uint64_t offset, unsigned size, void *buf, uint32_t count);

struct dispatch_rig {
    struct hv_guest guest;
    struct dispatch dispatch;
    struct bus *bus;
    struct probe port, mmio; /* at ports 0x1f0 to 0x1f7, which take strings; at 0xa0000 */
    unsigned illegal;        /* requests that were said to be so, and what was said last */
    char what[32];
};

int dispatch_rig_setup(void **state);
int dispatch_rig_teardown(void **state);
/* The request becomes READY in this vCPU's slot, which is returned. */
struct ioreq_slot *dispatch_rig_put(struct dispatch_rig *f, unsigned vcpu, struct ioreq_slot slot);
void assert_answered(const struct ioreq_slot *slot);

#endif
