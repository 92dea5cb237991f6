/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves sectors by single accesses, checks them, and goes on when its devices are taken away in the
 * middle and come back as new. Drive 0 of each channel holds pattern seed 1 or 5 in sectors 0 to
 * 2047; what is written from 2048 on has the seed plus 1. Ends after ATTACHES new starts of its
 * devices.
 */
#include "tiny.h"

#define DISKS      2
#define ATTACHES   28u
#define WRITE_BASE 2048u
#define SECTORS    4u
#define SEED(disk) (1 + 4 * (disk))
#define PIIX3_IDE  0x0009 /* 00:01.1 */
#define COMMAND    0x04
#define ENABLED    0x0005 /* what ide_setup() sets there, and a new device has not */
#define WAIT_MS    60000u

static struct ide ide[DISKS];
static uint32_t written[DISKS] = {WRITE_BASE, WRITE_BASE};
static uint8_t buffer[SECTORS * IDE_SECTOR] __attribute__((aligned(4096)));

/* Whether the controller is still the one that was set up. */
static bool same(void)
{
    return (pci_read16(PIIX3_IDE, COMMAND) & ENABLED) == ENABLED &&
           pci_read16(PIIX3_IDE, COMMAND) != 0xffff;
}

static bool set_up(void)
{
    uint64_t end = rdtsc() + (uint64_t)tsc_khz() * WAIT_MS;

    while (!ide_setup(&ide[0], &ide[1]))
        if (rdtsc() > end)
            return false;
    return true;
}

/* ide_wait() without the five seconds when nobody answers. */
static uint8_t wait(const struct ide *drive)
{
    return inb(drive->control) == 0xff ? 0xff : ide_wait(drive);
}

/* Words or dwords in turn; false when there was no data phase. */
static bool move(const struct ide *drive, bool write, uint32_t lba)
{
    if (wait(drive) == 0xff)
        return false;
    ide_command(drive, write ? IDE_WRITE : IDE_READ, lba, SECTORS);
    for (uint32_t at = 0; at < sizeof(buffer); at += IDE_SECTOR) {
        if ((wait(drive) & (IDE_BSY | IDE_DF | IDE_DRQ | IDE_ERR)) != IDE_DRQ)
            return false;
        for (uint32_t i = at; i < at + IDE_SECTOR; i += 4) {
            if (write && lba & 4) {
                outl(drive->command, *(uint32_t *)(buffer + i));
            } else if (write) {
                outw(drive->command, *(uint16_t *)(buffer + i));
                outw(drive->command, *(uint16_t *)(buffer + i + 2));
            } else if (lba & 4) {
                *(uint32_t *)(buffer + i) = inl(drive->command);
            } else {
                *(uint16_t *)(buffer + i) = inw(drive->command);
                *(uint16_t *)(buffer + i + 2) = inw(drive->command);
            }
        }
    }
    return !(wait(drive) & (IDE_BSY | IDE_DF | IDE_DRQ | IDE_ERR));
}

/* What was said to be written is there. */
static bool read_back(uint32_t disk, uint32_t lba)
{
    memset(buffer, 0x5c, sizeof(buffer));
    return move(&ide[disk], false, lba) &&
           pattern_check(buffer, lba < WRITE_BASE ? SEED(disk) : SEED(disk) + 1, lba, SECTORS) ==
               -1;
}

static bool write(uint32_t disk)
{
    uint32_t lba = written[disk];

    if (lba + SECTORS > 2 * WRITE_BASE) /* from the start again, with the same */
        lba = WRITE_BASE;
    pattern_fill(buffer, SEED(disk) + 1, lba, SECTORS);
    if (!move(&ide[disk], true, lba) || !same())
        return false;
    if (lba == written[disk])
        written[disk] += SECTORS;
    return read_back(disk, lba);
}

void tiny_main(void)
{
    uint32_t attaches = 0, moved = 0, bad = 0;
    bool there = set_up();

    check("ide/there", there, "00:01.1 is %08x", pci_read32(PIIX3_IDE, 0));
    for (uint32_t i = 0; there && !bad && attaches < ATTACHES; i++) {
        uint32_t disk = i % DISKS;
        bool good = i % 3 ? read_back(disk, i * SECTORS % WRITE_BASE) : write(disk);

        if (same()) {
            bad += !good;
            moved++;
            continue;
        }
        attaches++;
        there = set_up();
        /* The last that was said to be written before they went. */
        for (disk = 0; there && disk < DISKS; disk++)
            if (written[disk] > WRITE_BASE)
                bad += !read_back(disk, written[disk] - SECTORS) && same();
        print("attached %u\n", attaches);
    }
    check("attach/came-back", there, "after %u", attaches);
    check("attach/no-byte-wrong", !bad, "after %u attaches, %u transfers", attaches, moved);
    print("# %u transfers of %u sectors between %u attaches\n", moved, SECTORS, attaches);
    for (uint32_t disk = 0; disk < DISKS; disk++)
        print("written disk=%u seed=%u sectors=%u\n", 2 * disk, SEED(disk) + 1,
              written[disk] - WRITE_BASE);
    finish();
}
