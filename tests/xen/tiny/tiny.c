/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tiny guest's runtime; see tiny.h. */
#include "tiny.h"

#include <stdarg.h>

#define DEBUG_PORT  0xe9
#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc

/* Xen's leaves (public/arch-x86/cpuid.h): +2 is the hypercall page's MSR, +3 time. */
#define CPUID_XEN        0x40000000u
#define SCHED_OP         29
#define SCHEDOP_SHUTDOWN 2

#define APIC_SVR      (*(volatile uint32_t *)0xfee000f0)
#define APIC_ICR_LOW  (*(volatile uint32_t *)0xfee00300)
#define APIC_ICR_HIGH (*(volatile uint32_t *)0xfee00310)
#define AP_BASE       0x8000u
/* Xen numbers the local APICs of an HVM domain 2 * vCPU. */
#define AP_APIC_ID 2u

struct gate {
    uint16_t low, selector, flags, high;
};

struct gate tiny_idt[32];
extern const uint32_t exception_table[32];
extern char ap_trampoline[], ap_trampoline_end[];

struct tiny_counts tiny_counts;

static uint8_t hypercall_page[4096] __attribute__((aligned(4096)));
static uint32_t passed, failed, khz;
static void (*volatile ap_function)(void);
static volatile bool ap_runs;

void *memset(void *to, int value, size_t size)
{
    void *at = to;

    __asm__ volatile("cld; rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    void *at = to;

    __asm__ volatile("cld; rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    for (; size; size--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}

uint64_t divide64(uint64_t a, uint32_t b)
{
    uint32_t high = a >> 32, low = a, rest = high % b;

    high /= b;
    __asm__("divl %2" : "+a"(low), "+d"(rest) : "r"(b));
    return (uint64_t)high << 32 | low;
}

/* The interrupt controllers and their edge registers, the timer and its gate, the clock, and the
 * port that prints: emulated in the hypervisor. */
static bool is_xens(uint16_t port)
{
    static const uint16_t ports[][2] = {{0x20, 0x21},  {0x40, 0x43}, {0x61, 0x61},
                                        {0x70, 0x71},  {0xa0, 0xa1}, {DEBUG_PORT, DEBUG_PORT},
                                        {0x4d0, 0x4d1}};

    for (uint32_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        if (port >= ports[i][0] && port <= ports[i][1])
            return true;
    return false;
}

void tiny_count(uint16_t port, bool read, uint32_t size, uint32_t elements)
{
    bool pci = port >= PCI_DATA && port < PCI_DATA + 4;
    enum tiny_kind kind =
        pci ? (read ? TINY_PCI_READ : TINY_PCI_WRITE) : (read ? TINY_PIO_READ : TINY_PIO_WRITE);

    if (is_xens(port))
        return;
    tiny_counts.requests[kind][size >> 1]++;
    tiny_counts.bytes += size * elements;
    if (elements == 1)
        return;
    tiny_counts.strings++;
    tiny_counts.string_bytes += size * elements;
}

void tiny_counts_print(void)
{
    static const char *const names[] = {"pio_read", "pio_write", "pci_read", "pci_write"};
    /* To print is to access a port, which is Xen's and not counted. */
    for (uint32_t kind = 0; kind < TINY_KINDS; kind++) {
        const uint32_t *of = tiny_counts.requests[kind];

        print("counted ioreqs/%s %u\n", names[kind], of[0] + of[1] + of[2]);
        for (uint32_t size = 0; size < 3; size++)
            print("counted accesses/%s/%u %u\n", names[kind], 1u << size, of[size]);
    }
    print("counted ioreqs/string %u\n", tiny_counts.strings);
    print("counted ioreqs/string_bytes %u\n", tiny_counts.string_bytes);
    print("counted bytes %u\n", tiny_counts.bytes);
}

static void put(char c)
{
    outb(DEBUG_PORT, c);
}

static void put_number(uint64_t value, uint32_t base, int width, char pad)
{
    char digits[24];
    int n = 0;

    do {
        uint64_t rest = divide64(value, base);

        digits[n++] = "0123456789abcdef"[value - rest * base];
        value = rest;
    } while (value);
    for (; width > n; width--)
        put(pad);
    while (n)
        put(digits[--n]);
}

static void print_list(const char *format, va_list list)
{
    for (; *format; format++) {
        char pad = ' ';
        int width = 0, longs = 0;

        if (*format != '%') {
            put(*format);
            continue;
        }
        format++;
        if (*format == '0')
            pad = *format++;
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + *format - '0';
        for (; *format == 'l'; format++)
            longs++;
        switch (*format) {
        case 's':
            for (const char *s = va_arg(list, const char *); *s; s++)
                put(*s);
            break;
        case 'c':
            put(va_arg(list, int));
            break;
        case 'd': {
            int value = va_arg(list, int);

            if (value < 0)
                put('-');
            put_number(value < 0 ? -(uint32_t)value : (uint32_t)value, 10, width, pad);
            break;
        }
        case 'u':
        case 'x':
            put_number(longs == 2 ? va_arg(list, uint64_t) : va_arg(list, uint32_t),
                       *format == 'x' ? 16 : 10, width, pad);
            break;
        default:
            put(*format);
        }
    }
}

void print(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    print_list(format, list);
    va_end(list);
}

void check(const char *name, bool good, const char *why, ...)
{
    va_list list;

    if (good) {
        passed++;
        print("ok %s\n", name);
        return;
    }
    failed++;
    print("not ok %s - ", name);
    va_start(list, why);
    print_list(why, list);
    va_end(list);
    put('\n');
}

static void cpuid(uint32_t leaf, uint32_t sub, uint32_t regs[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3])
                     : "a"(leaf), "c"(sub));
}

uint32_t tsc_khz(void)
{
    uint32_t regs[4];

    if (!khz) {
        cpuid(CPUID_XEN + 3, 0, regs);
        khz = regs[2] ? regs[2] : 1000000;
    }
    return khz;
}

void delay_us(uint32_t us)
{
    uint64_t end = rdtsc() + divide64((uint64_t)us * tsc_khz(), 1000);

    while (rdtsc() < end)
        pause();
}

void bench(const char *name, uint32_t n, uint32_t bytes, uint64_t cycles)
{
    uint64_t us = divide64(cycles * 1000, tsc_khz());

    print("bench %s n=%u bytes=%u cycles=%llu ns=%llu\n", name, n, bytes, cycles,
          divide64(us * 1000, n ? n : 1));
}

void hypervisor_shutdown(uint32_t reason)
{
    uint32_t regs[4], result = SCHEDOP_SHUTDOWN, arg = (uint32_t)&reason;

    cpuid(CPUID_XEN + 2, 0, regs);
    __asm__ volatile("wrmsr" : : "c"(regs[1]), "a"(hypercall_page), "d"(0) : "memory");
    __asm__ volatile("call *%2"
                     : "+b"(result), "+c"(arg)
                     : "r"(hypercall_page + SCHED_OP * 32)
                     : "eax", "memory");
    for (;;)
        __asm__ volatile("hlt");
}

void finish(void)
{
    print("done %u %u\n", passed, failed);
    hypervisor_shutdown(0);
}

void tiny_exception(uint32_t vector)
{
    print("not ok exception - vector %u\n", vector);
    failed++;
    finish();
}

uint32_t pci_read32(uint16_t bdf, uint8_t reg)
{
    outl(PCI_ADDRESS, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfc));
    return inl(PCI_DATA);
}

uint16_t pci_read16(uint16_t bdf, uint8_t reg)
{
    outl(PCI_ADDRESS, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfc));
    return inw(PCI_DATA + (reg & 2));
}

void pci_write32(uint16_t bdf, uint8_t reg, uint32_t value)
{
    outl(PCI_ADDRESS, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfc));
    outl(PCI_DATA, value);
}

void pci_write16(uint16_t bdf, uint8_t reg, uint16_t value)
{
    outl(PCI_ADDRESS, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfc));
    outw(PCI_DATA + (reg & 2), value);
}

void pci_write8(uint16_t bdf, uint8_t reg, uint8_t value)
{
    outl(PCI_ADDRESS, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfc));
    outb(PCI_DATA + (reg & 3), value);
}

void pattern_fill(void *memory, uint32_t seed, uint32_t lba, uint32_t sectors)
{
    uint32_t *word = memory;

    for (uint32_t i = 0; i < sectors * 128; i++)
        word[i] = pattern_word(seed, lba * 128 + i);
}

int pattern_check(const void *memory, uint32_t seed, uint32_t lba, uint32_t sectors)
{
    const uint8_t *byte = memory;

    for (uint32_t i = 0; i < sectors * 128; i++) {
        uint32_t wanted = pattern_word(seed, lba * 128 + i);

        for (int k = 0; k < 4; k++, byte++) {
            if (*byte != (uint8_t)(wanted >> (8 * k)))
                return i * 4 + k;
        }
    }
    return -1;
}

/* Called by the trampoline on vCPU 1. */
void smp_main(void)
{
    ap_runs = true;
    ap_function();
}

bool smp_start(void (*entry)(void))
{
    ap_function = entry;
    memcpy((void *)AP_BASE, ap_trampoline, ap_trampoline_end - ap_trampoline);
    APIC_SVR = 0x1ff;
    APIC_ICR_HIGH = AP_APIC_ID << 24;
    APIC_ICR_LOW = 0x4500; /* INIT, assert */
    delay_us(1000);
    APIC_ICR_HIGH = AP_APIC_ID << 24;
    APIC_ICR_LOW = 0x4600 | AP_BASE >> 12; /* SIPI */
    for (int i = 0; i < 1000 && !ap_runs; i++)
        delay_us(1000);
    return ap_runs;
}

/* Runs before tiny_main: a constructor would need more of a linker script than this is worth. */
void tiny_init(void);
void tiny_init(void)
{
    for (int i = 0; i < 32; i++) {
        tiny_idt[i].low = exception_table[i];
        tiny_idt[i].high = exception_table[i] >> 16;
        tiny_idt[i].selector = 0x08;
        tiny_idt[i].flags = 0x8e00;
    }
}
