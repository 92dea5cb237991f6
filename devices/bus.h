/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One guest's bus: which device answers a port, an MMIO address or a PCI function.
 *
 * Devices claim ranges; ioreq/dispatch.c (or a test, or a mini-guest) makes accesses. Ranges of one
 * space never overlap. Finding one takes a binary search (sub-linear in the number of ranges).
 *
 * An access belongs to the range that holds its first byte. One that reaches beyond the end of that
 * range is carried out a byte at a time, each byte where it belongs; so is one that is wider than
 * the range's `max_size`. What nobody claims reads as all-ones and swallows writes.
 */
#ifndef IOEMUD_DEVICES_BUS_H
#define IOEMUD_DEVICES_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bus_space {
    BUS_PORT, /* 16-bit addresses */
    BUS_MMIO, /* 64-bit guest-physical addresses */
};
#define BUS_SPACES 2

/* How a device answers one range. `offset` counts from the range's first address; `size` is 1, 2, 4
 * or 8 (ports: at most 4), never above max_size. Values are little-endian in the low bytes. */
struct bus_io_ops {
    uint64_t (*read)(void *dev, uint64_t offset, unsigned size);
    void (*write)(void *dev, uint64_t offset, unsigned size, uint64_t value);
    /* Optional, ports only: `rep ins` / `rep outs`, `count` elements of `size` bytes at one port,
     * `buf` in the order in which they cross the port. Returns how many elements were moved, and
     * is asked again for the rest; after a 0 the next element comes through read/write. */
    uint32_t (*read_block)(void *dev, uint64_t offset, unsigned size, void *buf, uint32_t count);
    uint32_t (*write_block)(void *dev, uint64_t offset, unsigned size, const void *buf,
                            uint32_t count);
    unsigned max_size; /* widest access that `read`/`write` take; 0 means 1 */
    /*
     * Optional, ports only: the range has a data port, at offset `data_port`, and this tells its
     * PIO window: how many bytes the next accesses of 2 or 4 bytes to that port would give
     * (*ret_write false) or take (true), such that moving fewer than all of them does nothing but
     * move them: no interrupt, no other register that changes. 0: none now. Of bytes to be given
     * the first `room` are copied to `buf` (or fewer, if there are fewer), and not taken: that is
     * read_block's or read's.
     * A window stays what it is until the next access to the device, its next timer, or a reset:
     * what else happens, such as the end of a disk request, may open one, but changes none, or
     * has it taken out before (host_windows_out()).
     */
    uint32_t (*window)(void *dev, bool *ret_write, void *buf, uint32_t room);
    unsigned data_port;
};

/* Told of every range and PCI function that comes or goes, so that the hypervisor can be told too.
 * A failure refuses the claim. `last` is inclusive. */
struct bus_listener {
    int (*claim)(void *ctx, enum bus_space space, uint64_t first, uint64_t last);
    void (*release)(void *ctx, enum bus_space space, uint64_t first, uint64_t last);
    int (*claim_pci)(void *ctx, uint8_t devfn);
    void (*release_pci)(void *ctx, uint8_t devfn);
};

struct bus;
struct pci_func; /* devices/pci.h */

/* `listener` may be NULL (tests). */
int bus_create(const struct bus_listener *listener, void *ctx, struct bus **ret_bus);
/* Every device must have released its ranges before. NULL is fine. */
void bus_destroy(struct bus *bus);

/* -EEXIST: overlaps; -EINVAL: empty, or beyond the space; -ENOMEM; or what the listener said. `ops`
 * and `dev` must stay until released. */
int bus_claim(struct bus *bus, enum bus_space space, uint64_t first, uint64_t count,
              const struct bus_io_ops *ops, void *dev);
/* `first` as claimed. Releasing what was never claimed is our own bug. */
void bus_release(struct bus *bus, enum bus_space space, uint64_t first);

/* PCI functions of bus 0. -EEXIST if the devfn is taken. */
int bus_claim_pci(struct bus *bus, uint8_t devfn, struct pci_func *func);
void bus_release_pci(struct bus *bus, uint8_t devfn);
/* NULL if none. */
struct pci_func *bus_pci_func(const struct bus *bus, uint8_t devfn);

/* Accesses. `addr` is untrusted (ports above 0xffff answer like unclaimed ones); `size` is 1, 2, 4
 * or 8. */
uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size, uint64_t value);

/* Who answers the byte at `addr`: the range that it is in and the `dev` it was claimed for, for who
 * describes accesses. False: nobody. */
bool bus_find(struct bus *bus, enum bus_space space, uint64_t addr, uint64_t *ret_first,
              uint64_t *ret_last, void **ret_dev);

/* String I/O at one port: count elements of `size` bytes between `buf` and the port. */
void bus_port_read_block(struct bus *bus, uint16_t port, unsigned size, void *buf, uint32_t count);
void bus_port_write_block(struct bus *bus, uint16_t port, unsigned size, const void *buf,
                          uint32_t count);

/* Ports that have a window, ascending, at most `max`; returns how many. Another list as soon as
 * bus_port_changes() says another number. */
unsigned bus_data_ports(const struct bus *bus, uint16_t *ret_ports, unsigned max);
uint32_t bus_port_changes(const struct bus *bus);
/* As bus_io_ops.window; 0 where there is none. */
uint32_t bus_port_window(struct bus *bus, uint16_t port, bool *ret_write, void *buf, uint32_t room);

/* PCI configuration; `sbdf` is segment, bus, device, function as Xen gives it (bits 31:16 segment,
 * 15:8 bus, 7:0 devfn), `reg` 0-4095. Absent functions read as all-ones. */
uint32_t bus_pci_read(struct bus *bus, uint32_t sbdf, uint32_t reg, unsigned size);
void bus_pci_write(struct bus *bus, uint32_t sbdf, uint32_t reg, unsigned size, uint32_t value);

#endif
