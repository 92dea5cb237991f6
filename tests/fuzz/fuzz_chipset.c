/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A script of accesses to everything in a primary machine.
 *
 * Input: records of 8 bytes: what (u8), where (u8 into a table of ports that something answers, or
 * with bit 7 of `what` a u16), size, and a value (u32). Invariants, beside what the fake host and
 * the sanitizers check by themselves:
 *  - reads fit their size; interrupt lines other than the machine's own are never touched
 *  - the machine claims a bounded number of ranges, and none once it is destroyed
 *  - nothing is allocated on behalf of the guest, but by a migration for the block that a drive is
 *    in the middle of
 *  - the guest's log lines stay bounded
 *  - save, load, save gives the same bytes at any moment
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci.h"
#include "tests/unit/machine_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

#define RECORD         8
#define MAX_RECORDS    512
#define MAX_RANGES     64 /* of the 256 that a hypervisor has for a server */
#define MAX_BLOCK      300
#define MAX_MIGRATIONS 4 /* in one script: each is slow */

static const uint16_t ports[] = {
    0x00,   0x01,   0x08,   0x0a,   0x0b,   0x0c,   0x0d,   0x0f,   0x10,   0x11,   0x12,
    0x13,   0x60,   0x64,   0x70,   0x71,   0x80,   0x8f,   0x92,   0xb2,   0xb3,   0xc0,
    0xd0,   0xd4,   0xde,   0x170,  0x171,  0x172,  0x173,  0x174,  0x175,  0x176,  0x177,
    0x1f0,  0x1f1,  0x1f2,  0x1f3,  0x1f4,  0x1f5,  0x1f6,  0x1f7,  0x376,  0x3f6,  0x3f8,
    0x3f9,  0x3fa,  0x3fb,  0x3fc,  0x3fd,  0x3fe,  0x3ff,  0xae00, 0xae08, 0xae0c, 0xaf00,
    0xaf1f, 0xafe0, 0xafe1, 0xafe2, 0xafe3, 0xb004, 0xb005, 0xc000, 0xc100, 0xc102, 0xc104,
    0xc108, 0xc10a, 0xc10c, 0xcf8,  0xcf9,  0xcfc,  0xcff,
};

static const uint8_t functions[] = {PCI_DEVFN(0, 0), PCI_DEVFN(1, 0), PCI_DEVFN(1, 1),
                                    PCI_DEVFN(1, 3), PCI_DEVFN(2, 0), PCI_DEVFN(3, 0)};

static uint32_t le32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Ports and PCI functions as firmware leaves them; scripts start from here or from power-on. */
static void firmware(struct machine_rig *rig)
{
    machine_rig_set_config(rig, PCI_DEVFN(1, 0), 0x60, 4, 0x050b0a05);
    machine_rig_set_config(rig, PCI_DEVFN(1, 3), 0x40, 4, 0xb001);
    machine_rig_set_config(rig, PCI_DEVFN(1, 3), 0x80, 1, 0x01);
    machine_rig_set_config(rig, PCI_DEVFN(1, 1), 0x40, 4, 0x80008000);
    machine_rig_set_config(rig, PCI_DEVFN(1, 1), 0x20, 4, 0xc100);
    machine_rig_set_config(rig, PCI_DEVFN(1, 1), PCI_COMMAND, 2, 5);
    machine_rig_set_config(rig, PCI_DEVFN(2, 0), 0x10, 4, 0xc000);
    machine_rig_set_config(rig, PCI_DEVFN(2, 0), 0x14, 4, 0xf0000000);
    machine_rig_set_config(rig, PCI_DEVFN(2, 0), PCI_COMMAND, 2, 7);
}

static void type(struct machine_rig *rig, const uint8_t *bytes, size_t len)
{
    if (!rig->line.ops)
        return;
    size_t room = rig->line.ops->room(rig->line.owner);
    if (room)
        rig->line.ops->input(rig->line.owner, bytes, len < room ? len : room);
}

/* What happens around the guest. */
static void outside(struct machine_rig *rig, uint8_t what, const uint8_t *value,
                    unsigned *migrations)
{
    uint32_t number = le32(value);

    switch (what & 7) {
    case 0:
        fake_host_advance(&rig->fake, number);
        break;
    case 1:
        machine_rig_settle(rig);
        break;
    case 2:
        type(rig, value, 4);
        break;
    case 3:
        rig->line.credit = number % 64;
        if (rig->line.ops)
            rig->line.ops->writable(rig->line.owner);
        break;
    case 4:
        machine_set_vcpu(rig->machine, number % 300, number >> 16 & 1);
        break;
    case 5:
        machine_reset(rig->machine);
        break;
    default:
        if ((*migrations)++ < MAX_MIGRATIONS)
            machine_rig_migrate(rig);
        break;
    }
}

static void step(struct machine_rig *rig, const uint8_t *record, unsigned *migrations)
{
    static const unsigned sizes[] = {1, 2, 4, 1};
    uint8_t what = record[0], block[MAX_BLOCK * 4];
    unsigned size = sizes[record[3] & 3];
    uint16_t port = what & 0x80 ? (uint16_t)(record[1] | record[2] << 8)
                                : ports[record[1] % (sizeof(ports) / sizeof(ports[0]))];
    uint8_t devfn = functions[record[1] % sizeof(functions)];
    uint32_t value = le32(record + 4);
    struct bus *bus = machine_bus(rig->machine);

    switch (what & 7) {
    case 0:
        assert(machine_rig_in(rig, port, size) <= UINT64_MAX >> (64 - 8 * size));
        break;
    case 1:
    case 2:
        machine_rig_out(rig, port, size, value);
        break;
    case 3:
        bus_pci_write(bus, devfn, record[2], size, value);
        bus_pci_read(bus, devfn, record[2], size);
        break;
    case 4:
        bus_port_read_block(bus, port, size, block, value % MAX_BLOCK);
        break;
    case 5:
        memset(block, record[2], sizeof(block));
        bus_port_write_block(bus, port, size, block, value % MAX_BLOCK);
        break;
    case 6:
        bus_read(bus, BUS_MMIO, value, size * 2);
        bus_write(bus, BUS_MMIO, 0xf0000000u + value % 0x2000000, size * 2, value);
        break;
    default:
        outside(rig, record[1], record + 4, migrations);
        break;
    }
}

static void check_lines(const struct machine_rig *rig)
{
    /* 1 and 12 keyboard and mouse, 4 serial, 9 SCI, 14 and 15 IDE. */
    const unsigned own = 1u << 1 | 1u << 12 | 1u << 4 | 1u << 9 | 1u << 14 | 1u << 15;

    for (unsigned irq = 0; irq < 16; irq++)
        assert(own >> irq & 1 || !rig->fake.isa_rises[irq]);
    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++)
            assert(!rig->fake.intx_rises[slot][pin]);
    }
    assert(!rig->fake.msis);
}

/* 0: this build cannot tell. */
static size_t allocated(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine_rig *rig = malloc(sizeof(*rig));
    unsigned migrations = 0;
    size_t before;
    char why[64];

    assert(rig);
    machine_rig_init(rig);
    assert(!machine_rig_create(rig, why, sizeof(why)));
    if (size && data[0] & 1)
        firmware(rig);
    before = allocated();
    for (size_t n = 0; n < MAX_RECORDS && (n + 1) * RECORD < size; n++) {
        unsigned moved = migrations;

        step(rig, data + 1 + n * RECORD, &migrations);
        if (migrations != moved && allocated() > before)
            before = allocated();
        assert(rig->ranges <= MAX_RANGES);
    }
    machine_rig_settle(rig);
    assert(allocated() <= before);
    check_lines(rig);
    machine_rig_migrate(rig);
    machine_rig_finish(rig);
    free(rig);
    return 0;
}
