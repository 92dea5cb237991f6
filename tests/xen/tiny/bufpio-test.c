/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loops of single accesses to IDE data ports, in every mixture that a buffer between guest and
 * device model could get wrong, byte by byte. Four disks: drive N of channel C holds pattern seed
 * 1 + 2 * (2 * C + N) in sectors 0 to 2047; what is written from 2048 on has that seed plus 1, and
 * the lines "written" say how many sectors of each. With a second vCPU, both work at once.
 */
#include "tiny.h"

#define DISKS      4
#define WRITE_BASE 2048u
#define MULTIPLE   16u
#define RESETS     100u
#define SEED(disk) (1 + 2 * (disk))

enum way { INW, INL, REP_W, MIXED, WAYS };

static const char *const read_names[WAYS] = {"inw", "inl", "rep-insw", "mixed-reads"};
static const char *const write_names[WAYS] = {"outw", "outl", "rep-outsw", "mixed-writes"};
static struct ide ide[DISKS];
static uint32_t written[DISKS] = {WRITE_BASE, WRITE_BASE, WRITE_BASE, WRITE_BASE};
static uint8_t buffer[2][MULTIPLE * 4 * IDE_SECTOR] __attribute__((aligned(4096)));
static uint8_t whole[DISKS][IDE_SECTOR];

/* A vCPU's own, so that both can be at work. */
struct worker {
    uint8_t *buffer;
    uint32_t random, wrong, done;
};

static uint32_t random_of(struct worker *worker)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 17;
    worker->random ^= worker->random << 5;
    return worker->random;
}

static void take(const struct ide *drive, enum way way, uint8_t *to, uint32_t bytes)
{
    uint16_t port = drive->command;
    uint32_t at = 0;

    switch (way) {
    case INW:
        for (; at < bytes; at += 2)
            *(uint16_t *)(to + at) = inw(port);
        break;
    case INL:
        for (; at < bytes; at += 4)
            *(uint32_t *)(to + at) = inl(port);
        break;
    case REP_W:
        rep_insw(port, to, bytes / 2);
        break;
    default: /* words, dwords, a string, a look at the status between them */
        for (uint32_t i = 0; at < bytes; i++) {
            uint32_t left = bytes - at;

            if (i % 19 == 18 && left >= 24) {
                rep_insw(port, to + at, 12);
                at += 24;
            } else if (i % 3 && left >= 4) {
                *(uint32_t *)(to + at) = inl(port);
                at += 4;
            } else {
                *(uint16_t *)(to + at) = inw(port);
                at += 2;
            }
            if (i % 41 == 40)
                inb(drive->control);
        }
    }
}

static void give(const struct ide *drive, enum way way, const uint8_t *from, uint32_t bytes)
{
    uint16_t port = drive->command;
    uint32_t at = 0;

    switch (way) {
    case INW:
        for (; at < bytes; at += 2)
            outw(port, *(const uint16_t *)(from + at));
        break;
    case INL:
        for (; at < bytes; at += 4)
            outl(port, *(const uint32_t *)(from + at));
        break;
    case REP_W:
        rep_outsw(port, from, bytes / 2);
        break;
    default:
        for (uint32_t i = 0; at < bytes; i++) {
            uint32_t left = bytes - at;

            if (i % 19 == 18 && left >= 24) {
                rep_outsw(port, from + at, 12);
                at += 24;
            } else if (i % 3 && left >= 4) {
                outl(port, *(const uint32_t *)(from + at));
                at += 4;
            } else {
                outw(port, *(const uint16_t *)(from + at));
                at += 2;
            }
            if (i % 41 == 40)
                inb(drive->control);
        }
    }
}

static bool data_phase(const struct ide *drive)
{
    return (ide_wait(drive) & (IDE_BSY | IDE_DF | IDE_DRQ | IDE_ERR)) == IDE_DRQ;
}

/* -1: right; -2: no data phase; else the first wrong byte. */
static int read_disk(struct worker *worker, uint32_t disk, enum way way, bool multiple,
                     uint32_t lba, uint32_t sectors)
{
    uint32_t block = multiple ? MULTIPLE : 1;

    memset(worker->buffer, 0x5c, sectors * IDE_SECTOR);
    ide_command(&ide[disk], multiple ? IDE_READ_MULTIPLE : IDE_READ, lba, sectors);
    for (uint32_t done = 0; done < sectors; done += block) {
        uint32_t now = sectors - done < block ? sectors - done : block;

        if (!data_phase(&ide[disk]))
            return -2;
        take(&ide[disk], way, worker->buffer + done * IDE_SECTOR, now * IDE_SECTOR);
    }
    if (ide_wait(&ide[disk]) & (IDE_DRQ | IDE_ERR))
        return -2;
    return pattern_check(worker->buffer, lba < WRITE_BASE ? SEED(disk) : SEED(disk) + 1, lba,
                         sectors);
}

static int write_disk(struct worker *worker, uint32_t disk, enum way way, bool multiple,
                      uint32_t sectors)
{
    uint32_t block = multiple ? MULTIPLE : 1, lba = written[disk];

    written[disk] += sectors;
    pattern_fill(worker->buffer, SEED(disk) + 1, lba, sectors);
    ide_command(&ide[disk], multiple ? IDE_WRITE_MULTIPLE : IDE_WRITE, lba, sectors);
    for (uint32_t done = 0; done < sectors; done += block) {
        uint32_t now = sectors - done < block ? sectors - done : block;

        if (!data_phase(&ide[disk]))
            return -2;
        give(&ide[disk], way, worker->buffer + done * IDE_SECTOR, now * IDE_SECTOR);
    }
    if (ide_wait(&ide[disk]) & (IDE_DRQ | IDE_ERR))
        return -2;
    return read_disk(worker, disk, REP_W, false, lba, sectors);
}

/* ---- one vCPU -------------------------------------------------------------------------------- */

static void test_ways(struct worker *worker)
{
    for (enum way way = INW; way < WAYS; way++) {
        int wrong = -1;

        for (uint32_t disk = 0; disk < DISKS && wrong == -1; disk++)
            wrong = read_disk(worker, disk, way, false, 10 * way + disk, 3);
        if (wrong == -1)
            wrong = read_disk(worker, 0, way, true, 100 + 20 * way, MULTIPLE + 4);
        check(read_names[way], wrong == -1, "byte %d", wrong);
        wrong = -1;
        for (uint32_t disk = 0; disk < DISKS && wrong == -1; disk++)
            wrong = write_disk(worker, disk, way, false, 3);
        if (wrong == -1)
            wrong = write_disk(worker, 0, way, true, MULTIPLE + 4);
        check(write_names[way], wrong == -1, "byte %d", wrong);
    }
}

/* A sector of each drive, 16 words at a time in turn. */
static void test_interleaved(bool write)
{
    static const uint8_t order[DISKS] = {0, 2, 1, 3};
    bool good = true;

    for (uint32_t disk = 0; disk < DISKS; disk++) {
        if (write)
            pattern_fill(whole[disk], SEED(disk) + 1, written[disk], 1);
        ide_command(&ide[disk], write ? IDE_WRITE : IDE_READ, write ? written[disk] : 200 + disk,
                    1);
        good = good && data_phase(&ide[disk]);
    }
    for (uint32_t at = 0; at < IDE_SECTOR; at += 32) {
        for (uint32_t i = 0; i < DISKS; i++) {
            uint32_t disk = order[i];

            outb(ide[disk].command + 6, 0xe0 | ide[disk].drive << 4);
            if (write)
                give(&ide[disk], at & 32 ? INW : INL, whole[disk] + at, 32);
            else
                take(&ide[disk], at & 32 ? INW : INL, whole[disk] + at, 32);
        }
    }
    for (uint32_t disk = 0; disk < DISKS; disk++) {
        outb(ide[disk].command + 6, 0xe0 | ide[disk].drive << 4);
        good = good && !(ide_wait(&ide[disk]) & (IDE_DRQ | IDE_ERR));
        if (!write)
            good = good && pattern_check(whole[disk], SEED(disk), 200 + disk, 1) == -1;
        else
            written[disk]++;
    }
    check(write ? "interleaved/write" : "interleaved/read", good, "a drive lost its place");
}

static void reset(const struct ide *drive)
{
    outb(drive->control, 0x04);
    outb(drive->control, 0);
    ide_wait(drive);
}

/* In the middle of a sector, at another place each time. What was not written whole is not there,
 * and what comes next is not disturbed. */
static void test_resets(struct worker *worker)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < RESETS && !bad; i++) {
        uint32_t disk = i % DISKS, words = 1 + random_of(worker) % 254, lba = 300 + i;
        bool write = i & 4;

        /* Below WRITE_BASE: an aborted write must leave the pattern of SEED. */
        ide_command(&ide[disk], write ? IDE_WRITE : IDE_READ, lba, 2);
        bad += !data_phase(&ide[disk]);
        for (uint32_t word = 0; word < words; word++) {
            if (write)
                outw(ide[disk].command, 0xbad0);
            else
                inw(ide[disk].command);
        }
        if (i & 8) /* the drive is left first */
            outb(ide[disk].command + 6, 0xe0 | !ide[disk].drive << 4);
        reset(&ide[disk]);
        bad += read_disk(worker, disk, i & 16 ? INL : INW, false, lba, 1) != -1;
    }
    check("resets-in-mid-transfer", !bad, "a sector is wrong");
    for (uint32_t disk = 0; disk < DISKS; disk++) {
        ide_command(&ide[disk], IDE_SET_MULTIPLE, 0, MULTIPLE);
        ide_wait(&ide[disk]);
    }
}

/* ---- two vCPUs ------------------------------------------------------------------------------- */

static struct worker workers[2] = {{buffer[0], 1, 0, 0}, {buffer[1], 7, 0, 0}};
static void (*volatile second_job)(struct worker *worker);
static volatile bool second_done;

static void second_main(void)
{
    for (;;) {
        while (!second_job)
            pause();
        second_job(&workers[1]);
        second_job = NULL;
        second_done = true;
    }
}

static void both(void (*job)(struct worker *worker))
{
    second_done = false;
    second_job = job;
    job(&workers[0]);
    while (!second_done)
        pause();
}

/* Each its channel, both drives, all forms. */
static void work(struct worker *worker)
{
    uint32_t channel = worker == &workers[1];

    for (uint32_t i = 0; i < 24; i++) {
        uint32_t disk = 2 * channel + random_of(worker) % 2, way = random_of(worker) % WAYS;
        uint32_t sectors = 1 + random_of(worker) % 6;

        if (random_of(worker) & 1)
            worker->wrong += write_disk(worker, disk, way, i & 1, sectors) != -1;
        else
            worker->wrong +=
                read_disk(worker, disk, way, i & 1, random_of(worker) % 2000, sectors) != -1;
        worker->done++;
    }
}

/* Both at one data port at once: each word of the block goes to one of them. */
static volatile uint16_t seen[2][MULTIPLE * 256];
static volatile uint32_t n_seen[2];

static void greedy(struct worker *worker)
{
    uint32_t me = worker == &workers[1], n = 0;

    while (n < MULTIPLE * 256) {
        uint16_t word = inw(0x1f0);

        if (word == 0xffff)
            break;
        seen[me][n++] = word;
    }
    n_seen[me] = n;
}

static void test_race(void)
{
    uint16_t *words = (uint16_t *)buffer[0];
    uint32_t bad = 0, lba = 1000;

    /* Written where the pattern was, and put back at the end. */
    for (uint32_t i = 0; i < MULTIPLE * 256; i++)
        words[i] = i;
    ide_command(&ide[0], IDE_WRITE_MULTIPLE, lba, MULTIPLE);
    bad += !data_phase(&ide[0]);
    rep_outsw(0x1f0, words, MULTIPLE * 256);
    for (uint32_t round = 0; round < 3; round++) {
        ide_command(&ide[0], IDE_READ_MULTIPLE, lba, MULTIPLE);
        bad += !data_phase(&ide[0]);
        both(greedy);
        memset(buffer[1], 0, MULTIPLE * 256);
        for (uint32_t me = 0; me < 2; me++)
            for (uint32_t i = 0; i < n_seen[me]; i++)
                buffer[1][seen[me][i] % (MULTIPLE * 256)]++;
        for (uint32_t i = 0; i < MULTIPLE * 256; i++)
            bad += buffer[1][i] != 1;
        print("# race: %u words to one vCPU, %u to the other\n", n_seen[0], n_seen[1]);
    }
    pattern_fill(words, SEED(0), lba, MULTIPLE);
    ide_command(&ide[0], IDE_WRITE_MULTIPLE, lba, MULTIPLE);
    bad += !data_phase(&ide[0]);
    rep_outsw(0x1f0, words, MULTIPLE * 256);
    ide_wait(&ide[0]);
    check("two-vcpus/each-word-once", !bad, "%u words were lost or came twice", bad);
}

static void test_two(void)
{
    both(work);
    check("two-vcpus/a-channel-each", !workers[0].wrong && !workers[1].wrong && workers[1].done,
          "%u and %u of %u transfers are wrong", workers[0].wrong, workers[1].wrong,
          workers[0].done);
    test_race();
}

void tiny_main(void)
{
    struct ide *primary = &ide[0], *secondary = &ide[2];

    if (!ide_setup(primary, secondary)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    ide[1] = ide[0];
    ide[3] = ide[2];
    ide[1].drive = ide[3].drive = 1;
    for (uint32_t disk = 0; disk < DISKS; disk++) {
        ide_command(&ide[disk], IDE_SET_MULTIPLE, 0, MULTIPLE);
        check("set-multiple", !(ide_wait(&ide[disk]) & IDE_ERR), "disk %u", disk);
    }
    test_ways(&workers[0]);
    test_interleaved(false);
    test_interleaved(true);
    test_resets(&workers[0]);
    if (smp_start(second_main))
        test_two();
    else
        print("# one vCPU\n");
    for (uint32_t disk = 0; disk < DISKS; disk++)
        print("written disk=%u seed=%u sectors=%u\n", disk, SEED(disk) + 1,
              written[disk] - WRITE_BASE);
    finish();
}
