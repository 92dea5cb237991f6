/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI function: 256 bytes of configuration space driven by tables of masks, and BARs that claim
 * their ranges on the bus when the guest enables decoding (PCI Local Bus 3.0, chapter 6).
 *
 * A device embeds a struct pci_func, fills the identity and the BARs, calls pci_func_init() and is
 * told of what it must act on through its hooks. Configuration space is part of the saved state.
 */
#ifndef IOEMUD_DEVICES_PCI_H
#define IOEMUD_DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"

struct state_reader;
struct state_writer;

#define PCI_CONFIG_SIZE 256
#define PCI_BARS        6
#define PCI_ROM_MAX     (16u << 20) /* PCI 3.0, 6.2.5.2 */

/* Type 0 header offsets (PCI 3.0, figure 6-1). */
#define PCI_VENDOR_ID           0x00
#define PCI_DEVICE_ID           0x02
#define PCI_COMMAND             0x04
#define PCI_STATUS              0x06
#define PCI_REVISION_ID         0x08
#define PCI_CLASS_PROG          0x09
#define PCI_CLASS_SUB           0x0a
#define PCI_CLASS_BASE          0x0b
#define PCI_HEADER_TYPE         0x0e
#define PCI_BAR0                0x10
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID        0x2e
#define PCI_ROM                 0x30
#define PCI_INTERRUPT_LINE      0x3c
#define PCI_INTERRUPT_PIN       0x3d

#define PCI_COMMAND_IO           0x0001
#define PCI_COMMAND_MEMORY       0x0002
#define PCI_COMMAND_MASTER       0x0004
#define PCI_COMMAND_INTX_DISABLE 0x0400

#define PCI_DEVFN(slot, func) ((uint8_t)((slot) << 3 | (func)))

enum pci_bar_type {
    PCI_BAR_NONE,
    PCI_BAR_IO,
    PCI_BAR_MEM,
    PCI_BAR_MEM_PREFETCH,
};

struct pci_bar {
    enum pci_bar_type type;
    uint32_t size; /* a power of two; I/O at least 4, memory at least 16 */
    const struct bus_io_ops *ops;
    /* the function's own: */
    bool claimed;
    uint32_t base;
};

struct pci_id {
    uint16_t vendor, device, subvendor, subdevice;
    uint8_t revision;
    uint32_t class_code;   /* base class << 16 | subclass << 8 | programming interface */
    uint8_t interrupt_pin; /* 0 none, 1 INTA .. 4 INTD */
    bool multifunction;
};

struct pci_func {
    /* Set by the device before pci_func_init(). */
    const char *name;
    void *dev; /* handed to hooks and BAR handlers */
    struct pci_bar bar[PCI_BARS];
    /* The expansion ROM, NULL: none (PCI 3.0, 6.2.5.2). Stays the device's; at most PCI_ROM_MAX.
     * Where the BAR, a power of two, is larger it reads as all-ones. An image whose IDs are zeroes
     * is read as the card's own. */
    const uint8_t *rom;
    uint32_t rom_bytes;
    /* After a write of `size` bytes at `reg` went through the masks and the BARs were moved, also
     * when no bit changed; `old` is their former value. May be NULL. */
    void (*written)(void *dev, uint32_t reg, unsigned size, uint32_t old);

    /* The function's own. */
    struct bus *bus;
    uint8_t devfn;
    struct pci_bar rom_bar;
    uint32_t rom_ids; /* where the image has none; 0: it has */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE]; /* 1: the guest may change the bit */
    uint8_t w1c[PCI_CONFIG_SIZE];      /* 1: writing 1 clears the bit */
    struct pci_id id;
};

/* Fills the header, claims devfn on the bus. -EEXIST, -ENOMEM or the listener's error. */
int pci_func_init(struct pci_func *func, struct bus *bus, uint8_t devfn, const struct pci_id *id);
/* Releases BARs and the devfn. */
void pci_func_finish(struct pci_func *func);
/* Back to the state after pci_func_init(): BARs zero, decoding off. Registers beyond the header
 * keep what the device put there: it resets those itself. */
void pci_func_reset(struct pci_func *func);

/* The bytes [reg, reg + size) get the value and these masks: for device-specific registers. */
void pci_func_reg(struct pci_func *func, uint32_t reg, unsigned size, uint32_t value,
                  uint32_t writable, uint32_t w1c);

uint32_t pci_func_read(struct pci_func *func, uint32_t reg, unsigned size);
void pci_func_write(struct pci_func *func, uint32_t reg, unsigned size, uint32_t value);

/* Little-endian access to configuration space from the device's side, past the masks. */
uint32_t pci_func_get(const struct pci_func *func, uint32_t reg, unsigned size);
void pci_func_set(struct pci_func *func, uint32_t reg, unsigned size, uint32_t value);

void pci_func_save(const struct pci_func *func, struct state_writer *writer);
/* Restores configuration space and claims the BARs it names. */
int pci_func_load(struct pci_func *func, struct state_reader *reader);

#endif
