/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first thing to run against a new device model: does an access come back at all? Prints what
 * the usual ports and PCI functions read as; judges only that the IDE function is there.
 */
#include "tiny.h"

static void show_port(uint16_t port)
{
    uint64_t begin = rdtsc();
    uint8_t value = inb(port);
    uint64_t cycles = rdtsc() - begin;

    print("port %03x reads %02x in %llu ns\n", port, value, divide64(cycles * 1000000, tsc_khz()));
}

void tiny_main(void)
{
    static const uint16_t ports[] = {0x1f1, 0x1f2, 0x1f3, 0x1f4, 0x1f5, 0x1f6, 0x1f7, 0x3f6,
                                     0x177, 0x376, 0x60,  0x64,  0x92,  0x3fd, 0xcf9, 0x80};
    static const uint16_t functions[] = {0x00, 0x08, 0x09, 0x0a, 0x0b, 0x10};

    print("probe: %u kHz\n", tsc_khz());
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        show_port(ports[i]);
    outb(0x1f2, 0x5a);
    outb(0x1f3, 0xa5);
    print("taskfile written 5a a5, reads %02x %02x\n", inb(0x1f2), inb(0x1f3));
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        print("pci 00:%02x.%u id %08x class %08x command %04x\n", functions[i] >> 3,
              functions[i] & 7, pci_read32(functions[i], 0), pci_read32(functions[i], 8),
              pci_read16(functions[i], 4));
    check("probe/ide-function-there", pci_read32(9, 0) == 0x70108086, "id %08x", pci_read32(9, 0));
    finish();
}
