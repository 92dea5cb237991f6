/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci.h"

/* Enough for every device of the primary machine, so that a BAR that the guest moves does not
 * allocate. */
#define RANGES_INITIAL 32

struct range {
    uint64_t first, last;
    const struct bus_io_ops *ops;
    void *dev;
};

/* Sorted by `first`; none overlap. */
struct range_table {
    struct range *ranges;
    size_t count, capacity;
    size_t last_hit;
};

struct bus {
    const struct bus_listener *listener;
    void *ctx;
    struct range_table space[BUS_SPACES];
    uint32_t port_changes; /* claims and releases */
    struct pci_func *pci[256];
};

int bus_create(const struct bus_listener *listener, void *ctx, struct bus **ret_bus)
{
    struct bus *bus = calloc(1, sizeof(*bus));

    if (!bus)
        return -ENOMEM;
    bus->listener = listener;
    bus->ctx = ctx;
    for (unsigned i = 0; i < BUS_SPACES; i++) {
        bus->space[i].ranges = calloc(RANGES_INITIAL, sizeof(struct range));
        bus->space[i].capacity = RANGES_INITIAL;
        if (!bus->space[i].ranges) {
            bus_destroy(bus);
            return -ENOMEM;
        }
    }
    *ret_bus = bus;
    return 0;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    for (unsigned i = 0; i < BUS_SPACES; i++) {
        assert(!bus->space[i].count);
        free(bus->space[i].ranges);
    }
    free(bus);
}

/* The first range that ends at or after `addr`; `count` if none. */
static size_t lower_bound(const struct range_table *table, uint64_t addr)
{
    size_t low = 0, high = table->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (table->ranges[mid].last < addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static const struct range *find(struct range_table *table, uint64_t addr)
{
    size_t i = table->last_hit;

    if (i >= table->count || addr < table->ranges[i].first || addr > table->ranges[i].last) {
        i = lower_bound(table, addr);
        if (i == table->count || addr < table->ranges[i].first)
            return NULL;
        table->last_hit = i;
    }
    return &table->ranges[i];
}

int bus_claim(struct bus *bus, enum bus_space space, uint64_t first, uint64_t count,
              const struct bus_io_ops *ops, void *dev)
{
    struct range_table *table = &bus->space[space];
    uint64_t end_of_space = space == BUS_PORT ? UINT16_MAX : UINT64_MAX;

    if (!count || first > end_of_space || count - 1 > end_of_space - first)
        return -EINVAL;

    uint64_t last = first + (count - 1);
    size_t at = lower_bound(table, first);
    if (at < table->count && table->ranges[at].first <= last)
        return -EEXIST;

    if (table->count == table->capacity) {
        struct range *grown =
            reallocarray(table->ranges, table->capacity * 2, sizeof(struct range));
        if (!grown)
            return -ENOMEM;
        table->ranges = grown;
        table->capacity *= 2;
    }
    if (bus->listener && bus->listener->claim) {
        int err = bus->listener->claim(bus->ctx, space, first, last);
        if (err)
            return err;
    }
    memmove(&table->ranges[at + 1], &table->ranges[at], (table->count - at) * sizeof(struct range));
    table->ranges[at] = (struct range){.first = first, .last = last, .ops = ops, .dev = dev};
    table->count++;
    bus->port_changes += space == BUS_PORT;
    return 0;
}

void bus_release(struct bus *bus, enum bus_space space, uint64_t first)
{
    struct range_table *table = &bus->space[space];
    size_t at = lower_bound(table, first);

    assert(at < table->count && table->ranges[at].first == first);

    uint64_t last = table->ranges[at].last;
    table->count--;
    bus->port_changes += space == BUS_PORT;
    memmove(&table->ranges[at], &table->ranges[at + 1], (table->count - at) * sizeof(struct range));
    if (bus->listener && bus->listener->release)
        bus->listener->release(bus->ctx, space, first, last);
}

int bus_claim_pci(struct bus *bus, uint8_t devfn, struct pci_func *func)
{
    if (bus->pci[devfn])
        return -EEXIST;
    if (bus->listener && bus->listener->claim_pci) {
        int err = bus->listener->claim_pci(bus->ctx, devfn);
        if (err)
            return err;
    }
    bus->pci[devfn] = func;
    return 0;
}

void bus_release_pci(struct bus *bus, uint8_t devfn)
{
    assert(bus->pci[devfn]);
    bus->pci[devfn] = NULL;
    if (bus->listener && bus->listener->release_pci)
        bus->listener->release_pci(bus->ctx, devfn);
}

struct pci_func *bus_pci_func(const struct bus *bus, uint8_t devfn)
{
    return bus->pci[devfn];
}

static uint64_t all_ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static unsigned max_size(const struct bus_io_ops *ops)
{
    return ops->max_size ? ops->max_size : 1;
}

/* Whether the range's handlers take the whole access at once. */
static bool takes_whole(const struct range *range, uint64_t addr, unsigned size)
{
    return size <= max_size(range->ops) && size - 1 <= range->last - addr;
}

bool bus_find(struct bus *bus, enum bus_space space, uint64_t addr, uint64_t *ret_first,
              uint64_t *ret_last, void **ret_dev)
{
    const struct range *range = find(&bus->space[space], addr);

    if (!range)
        return false;
    *ret_first = range->first;
    *ret_last = range->last;
    *ret_dev = range->dev;
    return true;
}

uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size)
{
    struct range_table *table = &bus->space[space];
    const struct range *range = find(table, addr);
    uint64_t value = 0;

    if (range && takes_whole(range, addr, size)) {
        if (!range->ops->read)
            return all_ones(size);
        return range->ops->read(range->dev, addr - range->first, size) & all_ones(size);
    }
    for (unsigned i = 0; i < size; i++) {
        uint64_t byte = 0xff;
        /* Beyond the top of the address space there is nothing, not address 0. */
        range = addr <= UINT64_MAX - i ? find(table, addr + i) : NULL;
        if (range && range->ops->read)
            byte = range->ops->read(range->dev, addr + i - range->first, 1) & 0xff;
        value |= byte << (8 * i);
    }
    return value;
}

void bus_write(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size, uint64_t value)
{
    struct range_table *table = &bus->space[space];
    const struct range *range = find(table, addr);

    if (range && takes_whole(range, addr, size)) {
        if (range->ops->write)
            range->ops->write(range->dev, addr - range->first, size, value & all_ones(size));
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        range = addr <= UINT64_MAX - i ? find(table, addr + i) : NULL;
        if (range && range->ops->write)
            range->ops->write(range->dev, addr + i - range->first, 1, (value >> (8 * i)) & 0xff);
    }
}

/* The range is looked up anew for each round: a write may have moved a BAR. */
void bus_port_read_block(struct bus *bus, uint16_t port, unsigned size, void *buf, uint32_t count)
{
    uint8_t *bytes = buf;

    while (count) {
        const struct range *range = find(&bus->space[BUS_PORT], port);
        uint32_t done = 0;

        if (range && range->ops->read_block && takes_whole(range, port, size))
            done = range->ops->read_block(range->dev, port - range->first, size, bytes, count);
        assert(done <= count);
        if (!done) {
            uint64_t value = bus_read(bus, BUS_PORT, port, size);
            for (unsigned i = 0; i < size; i++)
                bytes[i] = (uint8_t)(value >> (8 * i));
            done = 1;
        }
        bytes += (size_t)done * size;
        count -= done;
    }
}

void bus_port_write_block(struct bus *bus, uint16_t port, unsigned size, const void *buf,
                          uint32_t count)
{
    const uint8_t *bytes = buf;

    while (count) {
        const struct range *range = find(&bus->space[BUS_PORT], port);
        uint32_t done = 0;

        if (range && range->ops->write_block && takes_whole(range, port, size))
            done = range->ops->write_block(range->dev, port - range->first, size, bytes, count);
        assert(done <= count);
        if (!done) {
            uint64_t value = 0;
            for (unsigned i = 0; i < size; i++)
                value |= (uint64_t)bytes[i] << (8 * i);
            bus_write(bus, BUS_PORT, port, size, value);
            done = 1;
        }
        bytes += (size_t)done * size;
        count -= done;
    }
}

unsigned bus_data_ports(const struct bus *bus, uint16_t *ret_ports, unsigned max)
{
    const struct range_table *table = &bus->space[BUS_PORT];
    unsigned n = 0;

    for (size_t i = 0; i < table->count && n < max; i++) {
        const struct range *range = &table->ranges[i];

        if (range->ops->window && range->ops->data_port <= range->last - range->first)
            ret_ports[n++] = (uint16_t)(range->first + range->ops->data_port);
    }
    return n;
}

uint32_t bus_port_changes(const struct bus *bus)
{
    return bus->port_changes;
}

uint32_t bus_port_window(struct bus *bus, uint16_t port, bool *ret_write, void *buf, uint32_t room)
{
    const struct range *range = find(&bus->space[BUS_PORT], port);

    if (!range || !range->ops->window || port - range->first != range->ops->data_port)
        return 0;
    return range->ops->window(range->dev, ret_write, buf, room);
}

/* Segment 0, bus 0 and nothing else; conventional configuration space. */
static struct pci_func *pci_target(const struct bus *bus, uint32_t sbdf, uint32_t reg,
                                   unsigned size)
{
    if (sbdf > 0xff || (size != 1 && size != 2 && size != 4) || reg > PCI_CONFIG_SIZE - size)
        return NULL;
    return bus->pci[sbdf];
}

uint32_t bus_pci_read(struct bus *bus, uint32_t sbdf, uint32_t reg, unsigned size)
{
    struct pci_func *func = pci_target(bus, sbdf, reg, size);

    if (!func)
        return (uint32_t)all_ones(size < 4 ? size : 4);
    return pci_func_read(func, reg, size);
}

void bus_pci_write(struct bus *bus, uint32_t sbdf, uint32_t reg, unsigned size, uint32_t value)
{
    struct pci_func *func = pci_target(bus, sbdf, reg, size);

    if (func)
        pci_func_write(func, reg, size, value);
}
