/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fixed port ranges of a device as a table, claimed all or none.
 */
#ifndef IOEMUD_DEVICES_CHIPSET_PORTS_H
#define IOEMUD_DEVICES_CHIPSET_PORTS_H

#include "devices/bus.h"

struct port_range {
    uint16_t first, count;
    const struct bus_io_ops *ops;
};

static inline void ports_release(struct bus *bus, const struct port_range *ranges, unsigned n)
{
    while (n)
        bus_release(bus, BUS_PORT, ranges[--n].first);
}

/* What bus_claim() said of the first that failed; then none is claimed. */
static inline int ports_claim(struct bus *bus, const struct port_range *ranges, unsigned n,
                              void *dev)
{
    for (unsigned i = 0; i < n; i++) {
        int err = bus_claim(bus, BUS_PORT, ranges[i].first, ranges[i].count, ranges[i].ops, dev);
        if (err) {
            ports_release(bus, ranges, i);
            return err;
        }
    }
    return 0;
}

#define PORTS_COUNT(ranges) (sizeof(ranges) / sizeof((ranges)[0]))

#endif
