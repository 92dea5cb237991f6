/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the data phase of PIO commands costs by loops and by strings: only the accesses to the data
 * port are timed, not the command and the wait for it; of several blocks, the median one, since one
 * that was disturbed would weigh more than all others. "single-..." is a whole command of one
 * sector.
 */
#include "tiny.h"

#define LBA      2048u
#define BLOCK    16u
#define MOST     15u /* blocks a command */
#define COMMANDS 8u

static struct ide ide, other;
static uint8_t buffer[BLOCK * IDE_SECTOR] __attribute__((aligned(4096)));
/* Each block that is written holds what is to be at LBA. */
static uint8_t source[BLOCK * IDE_SECTOR] __attribute__((aligned(4096)));

static void move(bool write, bool rep, uint32_t at, uint32_t bytes)
{
    if (rep && write)
        rep_outsw(ide.command, source + at, bytes / 2);
    else if (rep)
        rep_insw(ide.command, buffer + at, bytes / 2);
    else
        for (uint32_t i = at / 2; i < (at + bytes) / 2; i++) {
            if (write)
                outw(ide.command, ((uint16_t *)source)[i]);
            else
                ((uint16_t *)buffer)[i] = inw(ide.command);
        }
}

static uint64_t median(uint64_t *values, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && values[j] < values[j - 1]; j--) {
            uint64_t value = values[j];

            values[j] = values[j - 1];
            values[j - 1] = value;
        }
    return values[n / 2];
}

static void bench_blocks(const char *name, bool write, bool rep, uint32_t blocks, uint32_t commands)
{
    static uint64_t cycles[MOST * COMMANDS];
    uint32_t n = 0;

    while (commands--) {
        ide_command(&ide, write ? IDE_WRITE_MULTIPLE : IDE_READ_MULTIPLE, LBA, blocks * BLOCK);
        for (uint32_t i = 0; i < blocks; i++) {
            uint64_t begin;

            if (!(ide_wait(&ide) & IDE_DRQ)) {
                check(name, false, "no data phase");
                return;
            }
            begin = rdtsc();
            move(write, rep, 0, sizeof(buffer));
            cycles[n++] = rdtsc() - begin;
        }
        ide_wait(&ide);
    }
    bench(name, 1, sizeof(buffer), median(cycles, n));
}

static void bench_single(const char *name, bool write, bool rep, uint32_t n)
{
    uint64_t begin = rdtsc();

    for (uint32_t i = 0; i < n; i++) {
        uint32_t sector = i % BLOCK;

        if (!ide_start_pio(&ide, write ? IDE_WRITE : IDE_READ, LBA + sector, 1)) {
            check(name, false, "no data phase");
            return;
        }
        move(write, rep, sector * IDE_SECTOR, IDE_SECTOR);
        ide_wait(&ide);
    }
    bench(name, n, n * IDE_SECTOR, rdtsc() - begin);
}

void tiny_main(void)
{
    if (!ide_setup(&ide, &other)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    ide_command(&ide, IDE_SET_MULTIPLE, 0, BLOCK);
    ide_wait(&ide);
    pattern_fill(source, 2, LBA, BLOCK);
    /* Strings first and last: what loops leave behind must not slow them down. */
    bench_single("single-read-rep", false, true, 100);
    bench_blocks("multiple-read-rep", false, true, MOST, COMMANDS);
    bench_blocks("multiple-write-rep", true, true, MOST, COMMANDS);
    bench_blocks("multiple-read-loop", false, false, 3, 1);
    bench_blocks("multiple-write-loop", true, false, 3, 1);
    bench_single("single-read-loop", false, false, 8);
    bench_single("single-write-loop", true, false, 8);
    bench_single("single-read-rep-after", false, true, 100);
    bench_blocks("multiple-read-rep-after", false, true, MOST, COMMANDS);
    bench_blocks("multiple-read-check", false, false, 1, 1);
    check("bench/reads-what-it-wrote", pattern_check(buffer, 2, LBA, BLOCK) == -1, "it does not");
    finish();
}
