/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves whole sectors by single accesses, says how many accesses to data ports that took, and then
 * does nothing, so that whoever counts requests can look at them.
 */
#include "tiny.h"

#define SECTORS 16u

static struct ide ide, other;
static uint8_t buffer[SECTORS * IDE_SECTOR] __attribute__((aligned(4096)));

static void move(bool write, uint32_t size, uint32_t lba)
{
    ide_command(&ide, write ? IDE_WRITE : IDE_READ, lba, SECTORS);
    for (uint32_t at = 0; at < sizeof(buffer); at += size) {
        if (at % IDE_SECTOR == 0)
            ide_wait(&ide);
        if (write && size == 2)
            outw(ide.command, *(uint16_t *)(buffer + at));
        else if (write)
            outl(ide.command, *(uint32_t *)(buffer + at));
        else if (size == 2)
            *(uint16_t *)(buffer + at) = inw(ide.command);
        else
            *(uint32_t *)(buffer + at) = inl(ide.command);
    }
    ide_wait(&ide);
}

void tiny_main(void)
{
    if (!ide_setup(&ide, &other)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    move(false, 2, 0);
    check("inw", pattern_check(buffer, 1, 0, SECTORS) == -1, "wrong");
    move(true, 2, 2048);
    move(false, 4, 2048);
    check("outw-inl", pattern_check(buffer, 1, 0, SECTORS) == -1, "wrong");
    move(true, 4, 2048 + SECTORS);
    move(false, 4, 2048 + SECTORS);
    check("outl-inl", pattern_check(buffer, 1, 0, SECTORS) == -1, "wrong");
    print("counted sectors=%u accesses=%u\n", 5 * SECTORS, SECTORS * (2 * 256 + 3 * 128));
    for (;;)
        pause();
}
