/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/pci.h"

#include <assert.h>
#include <string.h>

#include "devices/state.h"

#define PCI_CACHE_LINE_SIZE 0x0c
#define PCI_LATENCY_TIMER   0x0d
#define PCI_BARS_END        (PCI_BAR0 + 4 * PCI_BARS)
#define PCI_HEADER_SIZE     0x40

/* PCI 3.0, 6.2.3: medium DEVSEL timing, fast back-to-back capable, as all the parts of this
 * machine. */
#define STATUS_PARTS 0x0280
/* The error bits, each cleared by writing 1. */
#define STATUS_W1C 0xf900

/* Low bits of a BAR (PCI 3.0, 6.2.5.1). */
#define BAR_IO_SPACE     0x1
#define BAR_MEM_PREFETCH 0x8
/* And of the expansion ROM's, which has no more than 21 bits of address (PCI 3.0, 6.2.5.2). */
#define ROM_ENABLE 0x1
#define ROM_MIN    2048u
/* PCI firmware 3.0, 5.1.1: the header ends with where the data structure is, and from 6 on has what
 * is of no meaning to firmware. */
#define ROM_HEADER 0x1au
#define ROM_SPARE  6u

static bool is_mem(const struct pci_bar *bar)
{
    return bar->type == PCI_BAR_MEM || bar->type == PCI_BAR_MEM_PREFETCH;
}

static void put(uint8_t *bytes, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get(const uint8_t *bytes, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)bytes[i] << (8 * i);
    return value;
}

uint32_t pci_func_get(const struct pci_func *func, uint32_t reg, unsigned size)
{
    assert(size <= 4 && reg <= PCI_CONFIG_SIZE - size);
    return get(func->config + reg, size);
}

void pci_func_set(struct pci_func *func, uint32_t reg, unsigned size, uint32_t value)
{
    assert(size <= 4 && reg <= PCI_CONFIG_SIZE - size);
    put(func->config + reg, size, value);
}

void pci_func_reg(struct pci_func *func, uint32_t reg, unsigned size, uint32_t value,
                  uint32_t writable, uint32_t w1c)
{
    pci_func_set(func, reg, size, value);
    put(func->writable + reg, size, writable);
    put(func->w1c + reg, size, w1c);
}

/* The BARs, and the expansion ROM's after the last of them. */
#define RANGES (PCI_BARS + 1)

static struct pci_bar *range_bar(struct pci_func *func, unsigned i)
{
    return i < PCI_BARS ? &func->bar[i] : &func->rom_bar;
}

static uint32_t range_reg(unsigned i)
{
    return i < PCI_BARS ? PCI_BAR0 + 4 * i : PCI_ROM;
}

/* Where an image that is for no card in particular, its IDs being zeroes, has them (PCI firmware
 * 3.0, 5.1.2); 0: in no such place. Firmware runs none but the card's own. */
static uint32_t rom_find_ids(const struct pci_func *func)
{
    static const uint8_t none[] = {'P', 'C', 'I', 'R', 0, 0, 0, 0};
    uint32_t at = 0;

    if (func->rom_bytes >= ROM_HEADER)
        at = func->rom[ROM_HEADER - 2] | (uint32_t)func->rom[ROM_HEADER - 1] << 8;
    if (at < ROM_HEADER || at + sizeof(none) > func->rom_bytes ||
        memcmp(func->rom + at, none, sizeof(none)) != 0)
        return 0;
    return at + 4;
}

/* With the card's IDs in such an image, and the sum of all its bytes what it was. */
static uint8_t rom_byte(const struct pci_func *func, uint64_t at)
{
    const uint8_t ids[] = {
        (uint8_t)func->id.vendor,
        (uint8_t)(func->id.vendor >> 8),
        (uint8_t)func->id.device,
        (uint8_t)(func->id.device >> 8),
    };

    if (at >= func->rom_bytes)
        return 0xff;
    if (func->rom_ids && at - func->rom_ids < sizeof(ids))
        return ids[at - func->rom_ids];
    if (func->rom_ids && at == ROM_SPARE)
        return (uint8_t)(func->rom[at] - ids[0] - ids[1] - ids[2] - ids[3]);
    return func->rom[at];
}

static uint64_t rom_read(void *dev, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)rom_byte(dev, offset + i) << (8 * i);
    return value;
}

static const struct bus_io_ops rom_ops = {.read = rom_read, .max_size = 8};

/* Where the BAR decodes now; false: nowhere. An address of zero is an unassigned BAR, and all-ones
 * is the sizing probe of a guest that left decoding on (PCI 3.0, 6.2.5.1): neither is worth two
 * calls to the hypervisor. A ROM has a bit of its own to be turned on with, too. */
static bool range_decodes(struct pci_func *func, unsigned i, uint32_t *ret_base)
{
    const struct pci_bar *bar = range_bar(func, i);
    uint32_t command = pci_func_get(func, PCI_COMMAND, 2);
    uint32_t reg = pci_func_get(func, range_reg(i), 4);
    uint32_t base = reg & ~(bar->size - 1);

    if (bar->type == PCI_BAR_NONE ||
        !(command & (is_mem(bar) ? PCI_COMMAND_MEMORY : PCI_COMMAND_IO)))
        return false;
    if (!base || base == ~(bar->size - 1) || (i == PCI_BARS && !(reg & ROM_ENABLE)))
        return false;
    *ret_base = base;
    return true;
}

static void bar_release(struct pci_func *func, struct pci_bar *bar)
{
    if (bar->claimed)
        bus_release(func->bus, is_mem(bar) ? BUS_MMIO : BUS_PORT, bar->base);
    bar->claimed = false;
}

/* A BAR that the guest put where something else is, or beyond the ports, answers nowhere, as if it
 * had lost the arbitration on a real bus. */
static void bars_update(struct pci_func *func)
{
    uint32_t base[RANGES] = {0};
    bool decodes[RANGES];

    for (unsigned i = 0; i < RANGES; i++) {
        struct pci_bar *bar = range_bar(func, i);
        decodes[i] = range_decodes(func, i, &base[i]);
        if (bar->claimed && (!decodes[i] || bar->base != base[i]))
            bar_release(func, bar);
    }
    for (unsigned i = 0; i < RANGES; i++) {
        struct pci_bar *bar = range_bar(func, i);
        if (!decodes[i] || bar->claimed)
            continue;
        bar->base = base[i];
        bar->claimed = !bus_claim(func->bus, is_mem(bar) ? BUS_MMIO : BUS_PORT, base[i], bar->size,
                                  bar->ops, i < PCI_BARS ? func->dev : func);
    }
}

static void bar_init(struct pci_func *func, unsigned i)
{
    const struct pci_bar *bar = &func->bar[i];
    uint32_t low = 0;

    if (bar->type == PCI_BAR_NONE)
        return;
    assert(bar->ops && !(bar->size & (bar->size - 1)) && bar->size >= (is_mem(bar) ? 16 : 4));
    if (bar->type == PCI_BAR_IO)
        low = BAR_IO_SPACE;
    else if (bar->type == PCI_BAR_MEM_PREFETCH)
        low = BAR_MEM_PREFETCH;
    pci_func_reg(func, PCI_BAR0 + 4 * i, 4, low, ~(bar->size - 1), 0);
}

static void rom_init(struct pci_func *func)
{
    uint32_t size = ROM_MIN;

    func->rom_bar = (struct pci_bar){.type = PCI_BAR_NONE};
    func->rom_ids = 0;
    if (!func->rom)
        return;
    assert(func->rom_bytes && func->rom_bytes <= PCI_ROM_MAX);
    func->rom_ids = rom_find_ids(func);
    while (size < func->rom_bytes)
        size *= 2;
    func->rom_bar = (struct pci_bar){.type = PCI_BAR_MEM, .size = size, .ops = &rom_ops};
    pci_func_reg(func, PCI_ROM, 4, 0, ~(size - 1) | ROM_ENABLE, 0);
}

int pci_func_init(struct pci_func *func, struct bus *bus, uint8_t devfn, const struct pci_id *id)
{
    uint32_t command = PCI_COMMAND_MASTER;

    func->bus = bus;
    func->devfn = devfn;
    func->id = *id;
    memset(func->config, 0, sizeof(func->config));
    memset(func->writable, 0, sizeof(func->writable));
    memset(func->w1c, 0, sizeof(func->w1c));

    for (unsigned i = 0; i < PCI_BARS; i++) {
        func->bar[i].claimed = false;
        bar_init(func, i);
        if (is_mem(&func->bar[i]))
            command |= PCI_COMMAND_MEMORY;
        else if (func->bar[i].type == PCI_BAR_IO)
            command |= PCI_COMMAND_IO;
    }
    rom_init(func);
    if (func->rom)
        command |= PCI_COMMAND_MEMORY;
    if (id->interrupt_pin)
        command |= PCI_COMMAND_INTX_DISABLE;

    pci_func_reg(func, PCI_VENDOR_ID, 2, id->vendor, 0, 0);
    pci_func_reg(func, PCI_DEVICE_ID, 2, id->device, 0, 0);
    pci_func_reg(func, PCI_COMMAND, 2, 0, command, 0);
    pci_func_reg(func, PCI_STATUS, 2, STATUS_PARTS, 0, STATUS_W1C);
    pci_func_reg(func, PCI_REVISION_ID, 4, id->class_code << 8 | id->revision, 0, 0);
    pci_func_reg(func, PCI_CACHE_LINE_SIZE, 1, 0, 0xff, 0);
    pci_func_reg(func, PCI_LATENCY_TIMER, 1, 0, 0xf8, 0);
    pci_func_reg(func, PCI_HEADER_TYPE, 1, id->multifunction ? 0x80 : 0, 0, 0);
    pci_func_reg(func, PCI_SUBSYSTEM_VENDOR_ID, 2, id->subvendor, 0, 0);
    pci_func_reg(func, PCI_SUBSYSTEM_ID, 2, id->subdevice, 0, 0);
    pci_func_reg(func, PCI_INTERRUPT_LINE, 1, 0, id->interrupt_pin ? 0xff : 0, 0);
    pci_func_reg(func, PCI_INTERRUPT_PIN, 1, id->interrupt_pin, 0, 0);
    return bus_claim_pci(bus, devfn, func);
}

void pci_func_finish(struct pci_func *func)
{
    for (unsigned i = 0; i < RANGES; i++)
        bar_release(func, range_bar(func, i));
    bus_release_pci(func->bus, func->devfn);
}

void pci_func_reset(struct pci_func *func)
{
    for (unsigned i = 0; i < PCI_HEADER_SIZE; i++)
        func->config[i] &= (uint8_t) ~(func->writable[i] | func->w1c[i]);
    bars_update(func);
}

/* Whether a guest's access lies inside configuration space. */
static bool in_config(uint32_t reg, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && reg <= PCI_CONFIG_SIZE - size;
}

uint32_t pci_func_read(struct pci_func *func, uint32_t reg, unsigned size)
{
    if (!in_config(reg, size))
        return UINT32_MAX;
    return get(func->config + reg, size);
}

void pci_func_write(struct pci_func *func, uint32_t reg, unsigned size, uint32_t value)
{
    if (!in_config(reg, size))
        return;

    uint32_t old = get(func->config + reg, size);
    uint32_t writable = get(func->writable + reg, size);
    uint32_t cleared = get(func->w1c + reg, size) & value;
    put(func->config + reg, size, ((old & ~writable) | (value & writable)) & ~cleared);

    bool decoding = reg < PCI_COMMAND + 2 && reg + size > PCI_COMMAND;
    bool bars = (reg < PCI_BARS_END && reg + size > PCI_BAR0) ||
                (reg < PCI_ROM + 4 && reg + size > PCI_ROM);
    if (decoding || bars)
        bars_update(func);
    if (func->written)
        func->written(func->dev, reg, size, old);
}

void pci_func_save(const struct pci_func *func, struct state_writer *writer)
{
    state_put_bytes(writer, func->config, sizeof(func->config));
}

/* What says which device this is must be what it is here; the rest of the header keeps the bits
 * that a guest could never have changed. Device-specific registers are the device's to judge. */
int pci_func_load(struct pci_func *func, struct state_reader *reader)
{
    uint8_t saved[PCI_CONFIG_SIZE];

    state_get_bytes(reader, saved, sizeof(saved));
    if (!reader->error && (memcmp(saved + PCI_VENDOR_ID, func->config + PCI_VENDOR_ID, 4) ||
                           saved[PCI_HEADER_TYPE] != func->config[PCI_HEADER_TYPE]))
        state_reject(reader);
    if (reader->error)
        return reader->error;

    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        uint8_t kept = i < PCI_HEADER_SIZE ? (uint8_t)~func->writable[i] : 0;
        if (i == PCI_STATUS || i == PCI_STATUS + 1)
            kept = 0;
        func->config[i] = (uint8_t)((func->config[i] & kept) | (saved[i] & ~kept));
    }
    bars_update(func);
    return 0;
}
