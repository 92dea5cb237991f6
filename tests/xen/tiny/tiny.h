/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a tiny guest is written with: a guest that takes hvmloader's place (firmware_override= in
 * the domain's configuration), runs on bare virtual hardware and has no firmware under it.
 *
 * A guest defines tiny_main(). Its output goes to Xen's debug port 0xE9 and shows in `xl dmesg` as
 * "(dN) ...". The protocol, a line each:
 *     ok NAME  |  not ok NAME - WHY  |  bench NAME n=COUNT bytes=BYTES cycles=CYCLES ns=NS
 *     done PASSED FAILED
 * after which the guest powers itself off by hypercall, so that the device model need not do it.
 */
#ifndef IOEMU_TESTS_XEN_TINY_H
#define IOEMU_TESTS_XEN_TINY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pattern.h"

void tiny_main(void);
/* EBX at entry: what a boot loader leaves its information's address in (Multiboot 0.6.96, 3.2). */
extern uint32_t boot_information;

/*
 * What the guest has asked of its device model, by kind and size: every access below is counted,
 * but for ports that Xen answers itself. For guests with one vCPU. A string that leaves a page is
 * more requests than one, which is not known here.
 */
enum tiny_kind { TINY_PIO_READ, TINY_PIO_WRITE, TINY_PCI_READ, TINY_PCI_WRITE, TINY_KINDS };
struct tiny_counts {
    uint32_t requests[TINY_KINDS][3]; /* of 1, 2, 4 bytes */
    uint32_t bytes, strings, string_bytes;
};
extern struct tiny_counts tiny_counts;
void tiny_count(uint16_t port, bool read, uint32_t size, uint32_t elements);
/* A line "counted PATH NUMBER" each; paths are those of `ioemuctl -j stats`. */
void tiny_counts_print(void);

/* Port I/O. */

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    tiny_count(port, true, 1, 1);
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t value;

    tiny_count(port, true, 2, 1);
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;

    tiny_count(port, true, 4, 1);
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void outb(uint16_t port, uint8_t value)
{
    tiny_count(port, false, 1, 1);
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t value)
{
    tiny_count(port, false, 2, 1);
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t value)
{
    tiny_count(port, false, 4, 1);
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/*
 * rep ins/outs of `count` elements. The plain ones go upwards from `memory`; the _down ones have
 * the direction flag set and go downwards, `memory` being the address of the first, highest,
 * element.
 */
#define TINY_REP(name, insn, reg, read, size)                                                      \
    static inline void name(uint16_t port, const volatile void *memory, uint32_t count)            \
    {                                                                                              \
        tiny_count(port, read, size, count);                                                       \
        __asm__ volatile("cld; rep " insn : "+" reg(memory), "+c"(count) : "d"(port) : "memory");  \
    }                                                                                              \
    static inline void name##_down(uint16_t port, const volatile void *memory, uint32_t count)     \
    {                                                                                              \
        tiny_count(port, read, size, count);                                                       \
        __asm__ volatile("std; rep " insn "; cld"                                                  \
                         : "+" reg(memory), "+c"(count)                                            \
                         : "d"(port)                                                               \
                         : "memory");                                                              \
    }
TINY_REP(rep_insb, "insb", "D", true, 1)
TINY_REP(rep_insw, "insw", "D", true, 2)
TINY_REP(rep_insl, "insl", "D", true, 4)
TINY_REP(rep_outsb, "outsb", "S", false, 1)
TINY_REP(rep_outsw, "outsw", "S", false, 2)
TINY_REP(rep_outsl, "outsl", "S", false, 4)
#undef TINY_REP

/* PCI configuration by mechanism 1 (0xCF8/0xCFC); `bdf` is bus << 8 | device << 3 | function. */
uint32_t pci_read32(uint16_t bdf, uint8_t reg);
uint16_t pci_read16(uint16_t bdf, uint8_t reg);
void pci_write32(uint16_t bdf, uint8_t reg, uint32_t value);
void pci_write16(uint16_t bdf, uint8_t reg, uint16_t value);
void pci_write8(uint16_t bdf, uint8_t reg, uint8_t value);

/* Output; %s %c %d %u %x %08x-like widths, and %llu for 64 bits. A line must end in \n to show. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reports one test; `why` is a print() format used only when it failed. */
void check(const char *name, bool good, const char *why, ...) __attribute__((format(printf, 3, 4)));
/* Reports a measurement: `n` operations moved `bytes` in `cycles` of the TSC. */
void bench(const char *name, uint32_t n, uint32_t bytes, uint64_t cycles);
/* Prints "done", and powers the domain off. */
void finish(void) __attribute__((noreturn));
/* SCHEDOP_shutdown with one of Xen's reasons: 0 power off, 1 reboot, 3 crash. */
void hypervisor_shutdown(uint32_t reason) __attribute__((noreturn));

/* Time. */
static inline uint64_t rdtsc(void)
{
    uint64_t value;

    __asm__ volatile("lfence; rdtsc" : "=A"(value) : : "memory");
    return value;
}
uint32_t tsc_khz(void);
void delay_us(uint32_t us);
/* a / b where the quotient fits 64 bits (there is no libgcc here). */
uint64_t divide64(uint64_t a, uint32_t b);

/* Memory. */
void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* Starts vCPU 1 at `entry`, which must not return; false if it does not come within a second. */
bool smp_start(void (*entry)(void));

static inline void pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/*
 * IDE, polled. The two ports blocks of a channel and its bus-master block; ide_setup() fills them
 * for the PIIX3 at 00:01.1, giving it the BAR4 that no firmware has given it.
 */
struct ide {
    uint16_t command; /* 0x1f0 */
    uint16_t control; /* 0x3f6 */
    uint16_t master;  /* BAR4, + 8 for the secondary channel */
    uint8_t drive;    /* 0 or 1 */
};

#define IDE_SECTOR 512
#define IDE_BSY    0x80
#define IDE_DRDY   0x40
#define IDE_DF     0x20
#define IDE_DRQ    0x08
#define IDE_ERR    0x01

#define IDE_READ           0x20
#define IDE_WRITE          0x30
#define IDE_READ_MULTIPLE  0xc4
#define IDE_WRITE_MULTIPLE 0xc5
#define IDE_SET_MULTIPLE   0xc6
#define IDE_READ_DMA       0xc8
#define IDE_WRITE_DMA      0xca
#define IDE_FLUSH          0xe7
#define IDE_IDENTIFY       0xec

/* Bus-master status, Intel "Programming interface for bus master IDE controller" 1.0. */
#define BM_ACTIVE    0x01
#define BM_ERROR     0x02
#define BM_INTERRUPT 0x04

struct prd {
    uint32_t address;
    uint16_t bytes; /* 0 is 64 KiB */
    uint16_t flags; /* 0x8000 ends the table */
} __attribute__((packed));

bool ide_setup(struct ide *primary, struct ide *secondary);
/* Waits while BSY; returns the status register, or 0xff when it takes over five seconds. */
uint8_t ide_wait(const struct ide *ide);
/* Selects the drive, loads the taskfile (28-bit LBA; count 256 is written as 0), issues. */
void ide_command(const struct ide *ide, uint8_t command, uint32_t lba, uint32_t count);
/* ide_command, then waits for the data phase; false on an error. */
bool ide_start_pio(const struct ide *ide, uint8_t command, uint32_t lba, uint32_t count);
/*
 * One whole DMA command over the caller's PRD table; returns the BM_ bits of the bus-master status
 * as they were when it ended (BM_INTERRUPT alone: all of the table was used and the drive is
 * done), 0xff on a time-out.
 */
uint8_t ide_dma(const struct ide *ide, bool write, uint32_t lba, uint32_t count,
                const struct prd *table);
/* A table of one entry is enough for `bytes` <= 64 KiB that cross no 64 KiB border. */
void prd_set(struct prd *prd, const volatile void *memory, uint32_t bytes, bool last);

/* Whole sectors of the test disks' content (pattern.h). */
void pattern_fill(void *memory, uint32_t seed, uint32_t lba, uint32_t sectors);
/* Byte offset of the first difference, or -1. */
int pattern_check(const void *memory, uint32_t seed, uint32_t lba, uint32_t sectors);

#endif
