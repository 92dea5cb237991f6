/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What single instructions and commands cost under whichever device model serves this guest.
 * "register-read" is the sector-count register: no side effect, no work for the device model.
 */
#include "tiny.h"

#define LBA     2048
#define SECTORS 16

static struct ide ide, other;
static uint8_t buffer[65536] __attribute__((aligned(65536)));
static struct prd table[1] __attribute__((aligned(64)));

static void bench_register(uint32_t n)
{
    uint64_t begin;

    inb(ide.command + 2);
    begin = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        inb(ide.command + 2);
    bench("register-read", n, n, rdtsc() - begin);
    begin = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        outb(ide.command + 2, i);
    bench("register-write", n, n, rdtsc() - begin);
    /* The local APIC's version register is answered by the hypervisor: the cost of an exit. */
    begin = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        (void)*(volatile uint32_t *)0xfee00030;
    bench("answered-inside-xen", n, n * 4, rdtsc() - begin);
}

/* Only the data phase is timed; the command and its wait are not. */
static void bench_pio(const char *name, bool write, bool rep, uint32_t sectors)
{
    uint64_t cycles = 0, begin;

    ide_command(&ide, write ? IDE_WRITE : IDE_READ, LBA, sectors);
    for (uint32_t i = 0; i < sectors; i++) {
        if (!(ide_wait(&ide) & IDE_DRQ)) {
            check(name, false, "no data phase");
            return;
        }
        begin = rdtsc();
        if (rep && write)
            rep_outsw(ide.command, buffer, 256);
        else if (rep)
            rep_insw(ide.command, buffer, 256);
        else
            for (int k = 0; k < 256; k++) {
                if (write)
                    outw(ide.command, ((uint16_t *)buffer)[k]);
                else
                    ((uint16_t *)buffer)[k] = inw(ide.command);
            }
        cycles += rdtsc() - begin;
    }
    ide_wait(&ide);
    bench(name, sectors, sectors * IDE_SECTOR, cycles);
}

static void bench_dma(const char *name, bool write, uint32_t bytes, uint32_t n)
{
    uint64_t begin = rdtsc();

    for (uint32_t i = 0; i < n; i++) {
        prd_set(table, buffer, bytes, true);
        if (ide_dma(&ide, write, LBA, bytes / IDE_SECTOR, table) != BM_INTERRUPT) {
            check(name, false, "DMA failed");
            return;
        }
    }
    bench(name, n, n * bytes, rdtsc() - begin);
}

void tiny_main(void)
{
    if (!ide_setup(&ide, &other)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    pattern_fill(buffer, 3, LBA, 128);
    bench_register(2000);
    bench_pio("pio-read-loop", false, false, 4);
    bench_pio("pio-write-loop", true, false, 4);
    bench_pio("pio-read-rep", false, true, 128);
    bench_pio("pio-write-rep", true, true, 128);
    bench_dma("dma-read-4k", false, 4096, 32);
    bench_dma("dma-read-32k", false, 32768, 16);
    bench_dma("dma-write-4k", true, 4096, 32);
    bench_dma("dma-write-32k", true, 32768, 16);
    check("bench/ran", true, "-");
    finish();
}
