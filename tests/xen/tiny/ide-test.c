/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single instructions against an IDE disk, verified byte by byte. The disk (primary master) holds
 * pattern seed 1 in sectors 0 to 2047; from 2048 on everything that was written is to be seed 2,
 * which whoever holds the image checks: the last line says how many sectors.
 */
#include "tiny.h"

#define READ_SEED  1
#define WRITE_SEED 2
#define WRITE_BASE 2048
#define MULTIPLE   8
#define GUARD      0xdeadbeefu

enum way { INW, INL, REP_W, REP_L };

static struct ide ide, other;
static uint32_t written = WRITE_BASE;
/* Page 0 and its neighbours: tests place buffers at any offset in here. */
static uint8_t arena[40 * 4096] __attribute__((aligned(65536)));
static uint8_t scratch[65536] __attribute__((aligned(65536)));
static struct prd table[1024] __attribute__((aligned(65536)));

static void take(enum way way, uint8_t *to, uint32_t bytes)
{
    switch (way) {
    case INW:
        for (uint32_t i = 0; i < bytes; i += 2)
            *(uint16_t *)(to + i) = inw(ide.command);
        break;
    case INL:
        for (uint32_t i = 0; i < bytes; i += 4)
            *(uint32_t *)(to + i) = inl(ide.command);
        break;
    case REP_W:
        rep_insw(ide.command, to, bytes / 2);
        break;
    case REP_L:
        rep_insl(ide.command, to, bytes / 4);
        break;
    }
}

static void give(enum way way, const uint8_t *from, uint32_t bytes)
{
    switch (way) {
    case INW:
        for (uint32_t i = 0; i < bytes; i += 2)
            outw(ide.command, *(const uint16_t *)(from + i));
        break;
    case INL:
        for (uint32_t i = 0; i < bytes; i += 4)
            outl(ide.command, *(const uint32_t *)(from + i));
        break;
    case REP_W:
        rep_outsw(ide.command, from, bytes / 2);
        break;
    case REP_L:
        rep_outsl(ide.command, from, bytes / 4);
        break;
    }
}

/* Sets guard words around [at, at + bytes) and clears it. */
static void prepare(uint8_t *at, uint32_t bytes)
{
    uint32_t guard = GUARD;

    memset(at, 0x5c, bytes);
    memcpy(at - 4, &guard, 4);
    memcpy(at + bytes, &guard, 4);
}

static bool guards_hold(const uint8_t *at, uint32_t bytes)
{
    uint32_t guard = GUARD;

    return !memcmp(at - 4, &guard, 4) && !memcmp(at + bytes, &guard, 4);
}

static void judge_read(const char *name, const uint8_t *at, uint32_t lba, uint32_t sectors)
{
    int wrong = pattern_check(at, READ_SEED, lba, sectors);
    uint8_t status = ide_wait(&ide);

    if (wrong >= 0)
        check(name, false, "byte %d of sector %u is %02x", wrong, lba, at[wrong]);
    else if (!guards_hold(at, sectors * IDE_SECTOR))
        check(name, false, "bytes outside the buffer changed");
    else
        check(name, (status & ~0x10) == IDE_DRDY, "status %02x at the end", status);
}

static void read_test(const char *name, uint8_t command, enum way way, uint32_t offset,
                      uint32_t lba, uint32_t sectors)
{
    uint8_t *at = arena + offset;
    uint32_t block = command == IDE_READ_MULTIPLE ? MULTIPLE : 1;

    prepare(at, sectors * IDE_SECTOR);
    ide_command(&ide, command, lba, sectors);
    for (uint32_t done = 0; done < sectors; done += block) {
        uint32_t now = sectors - done < block ? sectors - done : block;
        uint8_t status = ide_wait(&ide);

        if ((status & (IDE_BSY | IDE_DRQ | IDE_ERR)) != IDE_DRQ) {
            check(name, false, "status %02x before sector %u", status, done);
            return;
        }
        take(way, at + done * IDE_SECTOR, now * IDE_SECTOR);
    }
    judge_read(name, at, lba, sectors);
}

/* Reads back what a test wrote, by DMA into memory that no other test uses. */
static void judge_write(const char *name, uint32_t lba, uint32_t sectors)
{
    uint8_t status;
    int wrong;

    memset(scratch, 0, sizeof(scratch));
    prd_set(table, scratch, sectors * IDE_SECTOR, true);
    status = ide_dma(&ide, false, lba, sectors, table);
    if (status != BM_INTERRUPT) {
        check(name, false, "bus-master status %02x reading back", status);
        return;
    }
    wrong = pattern_check(scratch, WRITE_SEED, lba, sectors);
    check(name, wrong < 0, "byte %d of sector %u reads back %02x", wrong, lba,
          scratch[wrong < 0 ? 0 : wrong]);
}

static void write_test(const char *name, uint8_t command, enum way way, uint32_t offset,
                       uint32_t sectors)
{
    uint8_t *at = arena + offset;
    uint32_t block = command == IDE_WRITE_MULTIPLE ? MULTIPLE : 1, lba = written;
    uint8_t status;

    written += sectors;
    pattern_fill(at, WRITE_SEED, lba, sectors);
    ide_command(&ide, command, lba, sectors);
    for (uint32_t done = 0; done < sectors; done += block) {
        uint32_t now = sectors - done < block ? sectors - done : block;

        status = ide_wait(&ide);
        if ((status & (IDE_BSY | IDE_DRQ | IDE_ERR)) != IDE_DRQ) {
            check(name, false, "status %02x before sector %u", status, done);
            return;
        }
        give(way, at + done * IDE_SECTOR, now * IDE_SECTOR);
    }
    status = ide_wait(&ide);
    if (status & (IDE_DRQ | IDE_ERR))
        check(name, false, "status %02x at the end", status);
    else
        judge_write(name, lba, sectors);
}

static void test_register_file(void)
{
    bool good = true;

    outb(ide.command + 6, 0xe0);
    for (int i = 0; i < 4; i++) {
        for (uint16_t reg = 2; reg <= 5; reg++)
            outb(ide.command + reg, 0x11 * reg + i);
        for (uint16_t reg = 2; reg <= 5; reg++)
            good = good && inb(ide.command + reg) == (uint8_t)(0x11 * reg + i);
    }
    check("inb/taskfile-reads-back", good, "a register does not hold what was written");
    outb(ide.command + 6, 0xf0);
    check("inb/absent-drive-has-no-drdy", !(inb(ide.command + 7) & (IDE_BSY | IDE_DRDY)),
          "status %02x", inb(ide.command + 7));
    outb(ide.command + 6, 0xe0);
}

static void test_identify(void)
{
    static const char *const names[] = {"inw/identify", "inl/identify", "rep-insw/identify",
                                        "rep-insl/identify"};
    uint16_t *words = (uint16_t *)scratch;

    for (enum way way = INW; way <= REP_L; way++) {
        uint8_t *at = arena + 4096;

        prepare(at, IDE_SECTOR);
        if (!ide_start_pio(&ide, IDE_IDENTIFY, 0, 1)) {
            check(names[way], false, "status %02x", ide_wait(&ide));
            continue;
        }
        take(way, at, IDE_SECTOR);
        if (way == INW)
            memcpy(scratch, at, IDE_SECTOR);
        check(names[way], !memcmp(at, scratch, IDE_SECTOR) && guards_hold(at, IDE_SECTOR),
              "differs from what inw read");
    }
    check("identify/ata-lba-dma", !(words[0] & 0x8000) && (words[49] & 0x0300) == 0x0300,
          "words 0, 49 are %04x, %04x", words[0], words[49]);
    check("identify/capacity", (words[60] | words[61] << 16) >= 4096, "%u sectors",
          words[60] | words[61] << 16);
}

/* One sector downwards, element by element: memory holds the elements in reverse order. */
static void test_direction_flag(const char *name, bool dwords, uint32_t offset)
{
    uint8_t *at = arena + offset;
    uint32_t size = dwords ? 4 : 2, n = IDE_SECTOR / size, lba = 77;

    prepare(at, IDE_SECTOR);
    if (!ide_start_pio(&ide, IDE_READ, lba, 1)) {
        check(name, false, "status %02x", ide_wait(&ide));
        return;
    }
    if (dwords)
        rep_insl_down(ide.command, at + IDE_SECTOR - 4, n);
    else
        rep_insw_down(ide.command, at + IDE_SECTOR - 2, n);
    for (uint32_t i = 0; i < n; i++)
        memcpy(scratch + 4 + i * size, at + IDE_SECTOR - (i + 1) * size, size);
    memcpy(scratch, at - 4, 4);
    memcpy(scratch + 4 + IDE_SECTOR, at + IDE_SECTOR, 4);
    judge_read(name, scratch + 4, lba, 1);
}

static void test_direction_flag_write(const char *name, bool dwords, uint32_t offset)
{
    uint8_t *at = arena + offset;
    uint32_t size = dwords ? 4 : 2, n = IDE_SECTOR / size, lba = written++;

    pattern_fill(scratch, WRITE_SEED, lba, 1);
    for (uint32_t i = 0; i < n; i++)
        memcpy(at + IDE_SECTOR - (i + 1) * size, scratch + i * size, size);
    if (!ide_start_pio(&ide, IDE_WRITE, lba, 1)) {
        check(name, false, "status %02x", ide_wait(&ide));
        return;
    }
    if (dwords)
        rep_outsl_down(ide.command, at + IDE_SECTOR - 4, n);
    else
        rep_outsw_down(ide.command, at + IDE_SECTOR - 2, n);
    ide_wait(&ide);
    judge_write(name, lba, 1);
}

/* Splits `bytes` from `at` into a table of `pieces` sizes used in turn; returns its length. */
static uint32_t make_table(struct prd *prd, const uint8_t *at, uint32_t bytes,
                           const uint32_t *pieces, uint32_t n)
{
    uint32_t used = 0;

    for (uint32_t i = 0; bytes; i++) {
        uint32_t piece = pieces[i % n] < bytes ? pieces[i % n] : bytes;

        bytes -= piece;
        prd_set(prd + used++, at, piece, !bytes);
        at += piece;
    }
    return used;
}

static void dma_test(const char *name, bool write, uint32_t offset, uint32_t sectors,
                     struct prd *prd, const uint32_t *pieces, uint32_t n)
{
    uint8_t *at = arena + offset, status;
    uint32_t lba = write ? written : 100;

    if (write) {
        written += sectors;
        pattern_fill(at, WRITE_SEED, lba, sectors);
    } else {
        prepare(at, sectors * IDE_SECTOR);
    }
    make_table(prd, at, sectors * IDE_SECTOR, pieces, n);
    status = ide_dma(&ide, write, lba, sectors, prd);
    if (status != BM_INTERRUPT)
        check(name, false, "bus-master status %02x", status);
    else if (write)
        judge_write(name, lba, sectors);
    else
        judge_read(name, at, lba, sectors);
}

#define PIECES(...) (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4

static void test_dma(void)
{
    /* A table that itself straddles a page, and one entry short of the 64 KiB border. */
    struct prd *straddling = table + 4096 / sizeof(*table) - 3;

    dma_test("dma/read-4k-page", false, 4096, 8, table, PIECES(4096));
    dma_test("dma/read-32k", false, 8192, 64, table, PIECES(32768));
    dma_test("dma/read-page-straddling", false, 4096 - 6, 8, table, PIECES(4096));
    dma_test("dma/read-odd-sizes", false, 4096, 8, table, PIECES(2, 510, 66, 1022, 14));
    dma_test("dma/read-odd-sizes-straddling", false, 2 * 4096 - 1022, 8, table,
             PIECES(1534, 2, 4094));
    dma_test("dma/read-two-bytes-each", false, 4096 - 34, 1, table, PIECES(2));
    dma_test("dma/read-table-straddles-page", false, 4096, 8, straddling, PIECES(510, 514));
    dma_test("dma/read-64k-entry", false, 65536, 128, table, PIECES(65536));
    dma_test("dma/write-4k-page", true, 4096, 8, table, PIECES(4096));
    dma_test("dma/write-32k", true, 8192, 64, table, PIECES(32768));
    dma_test("dma/write-page-straddling", true, 4096 - 6, 8, table, PIECES(4096));
    dma_test("dma/write-odd-sizes", true, 4096, 8, table, PIECES(2, 510, 66, 1022, 14));
    dma_test("dma/write-odd-sizes-straddling", true, 2 * 4096 - 1022, 8, table,
             PIECES(1534, 2, 4094));
    dma_test("dma/write-two-bytes-each", true, 4096 - 34, 1, table, PIECES(2));
    dma_test("dma/write-table-straddles-page", true, 4096, 8, straddling, PIECES(510, 514));
}

static void test_dma_lengths(void)
{
    uint8_t *at = arena + 4096, status;

    /* More table than data: the drive is done, the bus master is not (1.0, table of bits 0, 2). */
    prepare(at, IDE_SECTOR);
    prd_set(table, at, 4096, true);
    status = ide_dma(&ide, false, 100, 1, table);
    check("dma/long-table-leaves-active", status == (BM_INTERRUPT | BM_ACTIVE),
          "bus-master status %02x", status);
    judge_read("dma/long-table-moves-one-sector", at, 100, 1);
    outb(ide.control, 0x04);
    delay_us(20);
    outb(ide.control, 0);
    check("reset/ready-afterwards", !(ide_wait(&ide) & (IDE_BSY | IDE_DRQ | IDE_ERR)),
          "status %02x", ide_wait(&ide));
}

static void test_pio(void)
{
    read_test("inw/read-sector", IDE_READ, INW, 4096, 1, 1);
    read_test("inl/read-sector", IDE_READ, INL, 4096, 2, 1);
    read_test("rep-insw/read-sectors", IDE_READ, REP_W, 4096, 3, 3);
    read_test("rep-insl/read-sectors", IDE_READ, REP_L, 4096, 6, 3);
    read_test("rep-insw/read-multiple", IDE_READ_MULTIPLE, REP_W, 4096, 9, 20);
    read_test("rep-insl/read-multiple", IDE_READ_MULTIPLE, REP_L, 4096, 29, 20);
    read_test("rep-insw/element-straddles-page", IDE_READ, REP_W, 4096 - 255, 50, 1);
    read_test("rep-insl/element-straddles-page", IDE_READ, REP_L, 4096 - 254, 51, 1);
    read_test("rep-insw/buffer-straddles-page", IDE_READ, REP_W, 4096 - 256, 52, 2);
    read_test("rep-insl/buffer-straddles-page", IDE_READ, REP_L, 4096 - 256, 54, 2);
    read_test("rep-insl/odd-address", IDE_READ, REP_L, 4096 - 511, 56, 2);
    write_test("outw/write-sector", IDE_WRITE, INW, 4096, 1);
    write_test("outl/write-sector", IDE_WRITE, INL, 4096, 1);
    write_test("rep-outsw/write-sectors", IDE_WRITE, REP_W, 4096, 3);
    write_test("rep-outsl/write-sectors", IDE_WRITE, REP_L, 4096, 3);
    write_test("rep-outsw/write-multiple", IDE_WRITE_MULTIPLE, REP_W, 4096, 20);
    write_test("rep-outsl/write-multiple", IDE_WRITE_MULTIPLE, REP_L, 4096, 20);
    write_test("rep-outsw/element-straddles-page", IDE_WRITE, REP_W, 4096 - 255, 1);
    write_test("rep-outsl/element-straddles-page", IDE_WRITE, REP_L, 4096 - 254, 1);
    write_test("rep-outsw/buffer-straddles-page", IDE_WRITE, REP_W, 4096 - 256, 2);
    write_test("rep-outsl/odd-address", IDE_WRITE, REP_L, 4096 - 511, 2);
    test_direction_flag("rep-insw/direction-flag", false, 4096);
    test_direction_flag("rep-insl/direction-flag", true, 4096);
    test_direction_flag("rep-insw/direction-flag-straddling", false, 4096 - 255);
    test_direction_flag("rep-insl/direction-flag-straddling", true, 4096 - 254);
    test_direction_flag_write("rep-outsw/direction-flag", false, 4096);
    test_direction_flag_write("rep-outsl/direction-flag-straddling", true, 4096 - 254);
}

void tiny_main(void)
{
    if (!ide_setup(&ide, &other)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    test_register_file();
    test_identify();
    ide_command(&ide, IDE_SET_MULTIPLE, 0, MULTIPLE);
    check("ide/set-multiple", !(ide_wait(&ide) & IDE_ERR), "refused");
    test_pio();
    test_dma();
    test_dma_lengths();
    ide_command(&ide, IDE_FLUSH, 0, 0);
    check("ide/flush", !(ide_wait(&ide) & (IDE_ERR | IDE_BSY)), "refused");
    print("written seed=%u lba=%u sectors=%u\n", WRITE_SEED, WRITE_BASE, written - WRITE_BASE);
    finish();
}
