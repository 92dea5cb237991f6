/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest of the hv_xen tester: talks to the device that hvx.c plays. */
#include "../tiny/tiny.h"

#include "hvx.h"

#define REG(n)  (HVX_PORTS + HVX_REGS + 4 * (n))
#define FIFO    (HVX_PORTS + HVX_FIFO)
#define COMMAND (HVX_PORTS + HVX_COMMAND)

#define VECTORS     96
#define VECTOR_ISA  0x25 /* IRQ 5 */
#define VECTOR_INTX 0x2a /* IRQ 10 */
#define VECTOR_MSI  0x50
#define LAPIC(reg)  (*(volatile uint32_t *)(0xfee00000 + (reg)))

#define XENMEM_DECREASE_RESERVATION 1
#define XENMEM_POPULATE_PHYSMAP     6
#define MEMORY_OP                   12
#define DOMID_SELF                  0x7ff0

struct gate {
    uint16_t low, selector, flags, high;
};

struct interrupt_frame;

static struct gate idt[VECTORS];
static volatile uint32_t isa_count, intx_count, msi_count;
static uint8_t hypercall_page[4096] __attribute__((aligned(4096)));
/* Where strings and DMA go: four pages, so that a buffer can straddle their borders. */
static uint8_t from[16384] __attribute__((aligned(4096)));
static uint8_t to[16384] __attribute__((aligned(4096)));
static volatile uint32_t ap_good, ap_bad, ap_go;

static void command(uint32_t what, uint32_t a, uint32_t b)
{
    outl(REG(0), a);
    outl(REG(1), b);
    outl(COMMAND, what);
}

static void fill(uint8_t *at, uint32_t size, uint32_t seed)
{
    for (uint32_t i = 0; i < size; i++)
        at[i] = (uint8_t)(i * 7 + i / 256 * 13 + seed);
}

static void test_registers(void)
{
    bool good = true;

    outl(REG(3), 0x89abcdef);
    check("inl", inl(REG(3)) == 0x89abcdef, "%x", inl(REG(3)));
    check("inw", inw(REG(3) + 2) == 0x89ab, "%x", inw(REG(3) + 2));
    check("inb", inb(REG(3) + 1) == 0xcd, "%x", inb(REG(3) + 1));
    outb(REG(3) + 3, 0x11);
    outw(REG(3), 0x2233);
    check("outb_outw", inl(REG(3)) == 0x11ab2233, "%x", inl(REG(3)));
    for (uint32_t i = 0; i < 500; i++) {
        outl(REG(3), i * 2654435761u);
        good &= inl(REG(3)) == i * 2654435761u;
    }
    check("register_loop", good, "a value was not the one written");
}

static void string_case(const char *name, uint32_t bytes, uint32_t offset)
{
    uint8_t *source = from + offset, *target = to + 4096 - offset;
    bool good;

    memset(to, 0xee, sizeof(to));
    fill(from, sizeof(from), offset);
    command(HVX_FIFO_RESET, 0, 0);
    rep_outsw(FIFO, source, bytes / 2);
    rep_insw(FIFO, target, bytes / 2);
    good = !memcmp(source, target, bytes) && target[bytes] == 0xee && target[-1] == 0xee;
    check(name, good, "memory differs");
}

static void test_strings(void)
{
    string_case("rep_outsw_insw", 512, 16);
    string_case("rep_straddles_pages", 6000, 2048 + 100);
    string_case("rep_odd_address", 8190, 4095);

    memset(to, 0, sizeof(to));
    fill(from, 1024, 3);
    command(HVX_FIFO_RESET, 0, 0);
    rep_outsl(FIFO, from, 256);
    rep_insb(FIFO, to, 1024);
    check("rep_outsl_insb", !memcmp(from, to, 1024), "memory differs");

    command(HVX_FIFO_RESET, 0, 0);
    memset(to, 0, sizeof(to));
    rep_outsw_down(FIFO, from + 510, 256);
    rep_insw_down(FIFO, to + 4096 + 510 - 256, 256);
    check("rep_downwards", !memcmp(from, to + 4096 - 256, 512), "memory differs");
}

static void test_mmio(void)
{
    volatile uint8_t *mmio = (volatile uint8_t *)HVX_MMIO;

    *(volatile uint32_t *)(mmio + 8) = 0x01020304;
    mmio[9] = 0xaa;
    check("mmio", *(volatile uint32_t *)(mmio + 8) == 0x0102aa04, "%x",
          *(volatile uint32_t *)(mmio + 8));
    fill(from, 512, 9);
    memset(to, 0, 512);
    memcpy((void *)(mmio + 256), from, 512);
    memcpy(to, (const void *)(mmio + 256), 512);
    check("mmio_rep_movs", !memcmp(from, to, 512), "memory differs");
}

static void test_pci(void)
{
    uint32_t id = pci_read32(HVX_PCI_SLOT << 3, 0);

    check("pci_config", id == HVX_PCI_ID, "%x", id);
    id = pci_read32(6 << 3, 0);
    check("pci_absent", id == 0xffffffff, "%x", id);
}

/* The device inverts [at, at + bytes), of which `holes` bytes are no RAM. */
static bool dma(void *at, uint32_t bytes, uint32_t holes)
{
    command(HVX_DMA, (uint32_t)at, bytes);
    return inl(REG(2)) == holes;
}

static bool inverted(const uint8_t *memory, const uint8_t *original, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        if ((memory[i] ^ original[i]) != 0xff)
            return false;
    return true;
}

static void test_dma(void)
{
    bool good;

    fill(from, sizeof(from), 1);
    memcpy(to, from, sizeof(to));
    good = dma(to + 1, 16000, 0) && inverted(to + 1, from + 1, 16000);
    check("dma", good && to[0] == from[0] && to[16001] == from[16001], "memory differs");

    /* Below 640 KiB there is RAM, above it nothing: the VGA hole. */
    memcpy((void *)0x9e000, from, 4096);
    good = dma((void *)0x9e800, 0x20000, 0x20000 - (0xa0000 - 0x9e800));
    check("dma_into_hole", good && inverted((uint8_t *)0x9e800, from + 2048, 2048),
          "%u bytes of holes", inl(REG(2)));
    good = dma((void *)0xfff00000, 0x80000, 0x80000);
    check("dma_nowhere", good, "%u bytes of holes", inl(REG(2)));

    /* More than the mapping limit holds at a time. */
    good = true;
    for (uint32_t at = 0x400000; at < 0x1c00000; at += 0x100000) {
        *(volatile uint32_t *)at = at;
        good &= dma((void *)at, 4, 0) && *(volatile uint32_t *)at == ~at;
    }
    for (uint32_t at = 0x400000; at < 0x1c00000; at += 0x100000)
        good &= dma((void *)at, 4, 0) && *(volatile uint32_t *)at == at;
    check("dma_everywhere", good, "memory differs");
}

static int memory_op(uint32_t op, uint32_t gfn)
{
    struct {
        uint32_t extents, count, order, flags;
        uint16_t domid;
    } arg = {(uint32_t)&gfn, 1, 0, 0, DOMID_SELF};
    uint32_t result, op_in = op, arg_in = (uint32_t)&arg;

    __asm__ volatile("call *%3"
                     : "=a"(result), "+b"(op_in), "+c"(arg_in)
                     : "r"(hypercall_page + MEMORY_OP * 32)
                     : "memory");
    return (int)result;
}

static void test_ballooning(void)
{
    uint32_t regs[4] = {0x40000002}, invalidates, after;
    uint8_t *page = (uint8_t *)0x1000000;
    bool good;
    int n;

    __asm__ volatile("cpuid" : "+a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3]));
    __asm__ volatile("wrmsr" : : "c"(regs[1]), "a"(hypercall_page), "d"(0) : "memory");

    fill(page, 4096, 77);
    good = dma(page, 4096, 0);
    command(HVX_COUNTERS, 0, 0);
    invalidates = inl(REG(1));
    n = memory_op(XENMEM_DECREASE_RESERVATION, (uint32_t)page >> 12);
    command(HVX_COUNTERS, 0, 0);
    after = inl(REG(1));
    check("invalidate", n == 1 && after > invalidates, "%d extents, %u then %u", n, invalidates,
          after);
    good &= dma(page, 4096, 4096);
    check("ballooned_out_is_a_hole", good, "%u bytes of holes", inl(REG(2)));
    n = memory_op(XENMEM_POPULATE_PHYSMAP, (uint32_t)page >> 12);
    fill(page, 4096, 5);
    fill(from, 4096, 5);
    good = n == 1 && dma(page, 4096, 0) && inverted(page, from, 4096);
    check("ballooned_in_is_ram", good, "%d extents, %u bytes of holes", n, inl(REG(2)));
}

static void test_buffered(void)
{
    uint32_t before, after, year;

    command(HVX_COUNTERS, 0, 0);
    before = inl(REG(0));
    /* Another year in Xen's clock: it tells device models the offset, by the buffered ring. */
    outb(0x70, 9);
    year = inb(0x71);
    outb(0x71, (uint8_t)(year == 0x22 ? 0x23 : 0x22));
    delay_us(10000);
    command(HVX_COUNTERS, 0, 0);
    after = inl(REG(0));
    check("buffered_request", after > before, "%u then %u", before, after);
}

static void test_log_dirty(void)
{
    uint8_t *pages = (uint8_t *)0x1400000;

    command(HVX_LOG_DIRTY, (uint32_t)pages + 4000, 200);
    check("log_dirty", inl(REG(2)) == 3, "pages that are dirty: %x", inl(REG(2)));
}

__attribute__((interrupt)) static void on_isa(struct interrupt_frame *frame)
{
    isa_count++;
    outb(0x20, 0x20);
}

__attribute__((interrupt)) static void on_intx(struct interrupt_frame *frame)
{
    intx_count++;
    command(HVX_INTX, 0, 0);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

__attribute__((interrupt)) static void on_msi(struct interrupt_frame *frame)
{
    msi_count++;
    LAPIC(0xb0) = 0;
}

static void set_gate(uint32_t vector, void (*handler)(struct interrupt_frame *))
{
    idt[vector].low = (uint16_t)(uint32_t)handler;
    idt[vector].high = (uint16_t)((uint32_t)handler >> 16);
    idt[vector].selector = 0x08;
    idt[vector].flags = 0x8e00;
}

static bool becomes(volatile uint32_t *counter, uint32_t value)
{
    for (int i = 0; i < 200 && *counter != value; i++)
        delay_us(1000);
    delay_us(5000);
    return *counter == value;
}

static void interrupts_on(void)
{
    struct {
        uint16_t limit;
        void *base;
    } __attribute__((packed)) pointer = {sizeof(idt) - 1, idt};

    __asm__ volatile("sidt %0" : "=m"(pointer));
    memcpy(idt, pointer.base, 32 * sizeof(idt[0]));
    set_gate(VECTOR_ISA, on_isa);
    set_gate(VECTOR_INTX, on_intx);
    set_gate(VECTOR_MSI, on_msi);
    pointer.limit = sizeof(idt) - 1;
    pointer.base = idt;
    __asm__ volatile("lidt %0" : : "m"(pointer));
    /* Both 8259s: ICW1 to ICW4, then only IRQ 2, 5 and 10 open; IRQ 10 by level. */
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 0x20);
    outb(0xa1, 0x28);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, 0xff & ~(1 << 2 | 1 << 5));
    outb(0xa1, 0xff & ~(1 << 2));
    outb(0x4d1, 1 << 2);
    LAPIC(0xf0) = 0x1ff;
    LAPIC(0x350) = 0x700; /* LINT0: ExtINT */
    __asm__ volatile("sti");
}

static void test_interrupts(void)
{
    interrupts_on();
    command(HVX_ISA_IRQ, 5, 1);
    check("isa_irq", becomes(&isa_count, 1), "%u interrupts", isa_count);
    command(HVX_ISA_IRQ, 5, 1);
    check("isa_irq_same_level", becomes(&isa_count, 1), "%u interrupts", isa_count);
    command(HVX_ISA_IRQ, 5, 0);
    command(HVX_ISA_IRQ, 5, 1);
    check("isa_irq_next_edge", becomes(&isa_count, 2), "%u interrupts", isa_count);
    command(HVX_ISA_IRQ, 5, 0);

    command(HVX_INTX, 0, 1);
    check("intx_unrouted", becomes(&intx_count, 0), "%u interrupts", intx_count);
    command(HVX_LINK_ROUTE, (HVX_PCI_SLOT + 0) & 3, 10);
    check("intx_routed", becomes(&intx_count, 1), "%u interrupts", intx_count);
    command(HVX_INTX, 0, 1);
    check("intx_again", becomes(&intx_count, 2), "%u interrupts", intx_count);

    command(HVX_MSI, 0xfee00000, VECTOR_MSI);
    check("msi", becomes(&msi_count, 1), "%u interrupts", msi_count);
    __asm__ volatile("cli");
}

static void ap_loop(void)
{
    ap_go = 1;
    for (uint32_t i = 0; i < 300; i++) {
        outw(REG(3), (uint16_t)i);
        if (inw(REG(3)) == i)
            ap_good++;
        else
            ap_bad++;
    }
    ap_go = 2;
    for (;;)
        pause();
}

static void test_two_vcpus(void)
{
    uint32_t good = 0, bad = 0;

    if (!smp_start(ap_loop)) {
        check("second_vcpu", false, "does not start");
        return;
    }
    while (!ap_go)
        pause();
    while (ap_go == 1) {
        outw(REG(3) + 2, (uint16_t)good);
        if (inw(REG(3) + 2) == (uint16_t)good)
            good++;
        else
            bad++;
    }
    check("two_vcpus_at_once", ap_good == 300 && !ap_bad && good > 50 && !bad,
          "vCPU 0: %u right %u wrong, vCPU 1: %u right %u wrong", good, bad, ap_good, ap_bad);
}

__attribute__((noreturn)) static void busy(void)
{
    print("busy\n");
    for (;;) {
        command(HVX_FIFO_RESET, 0, 0);
        rep_outsl(FIFO, from, 1024);
        rep_insl(FIFO, to, 1024);
        command(HVX_DMA, 0x400000, 0x10000);
    }
}

static void busy_registers(void)
{
    for (;;) {
        outw(REG(3), 1);
        inw(REG(3));
    }
}

void tiny_main(void)
{
    uint32_t mode = inl(COMMAND);

    switch (mode) {
    case HVX_MODE_STALL:
        print("stalls\n");
        command(HVX_STALL, 0, 0);
        check("let_go", inl(REG(0)) == 0xffffffff, "%x", inl(REG(0)));
        finish();
    case HVX_MODE_BUSY:
        smp_start(busy_registers);
        busy();
    default:
        test_registers();
        test_strings();
        test_mmio();
        test_pci();
        test_dma();
        test_ballooning();
        test_buffered();
        test_interrupts();
        test_two_vcpus();
        test_log_dirty();
        print("done\n");
        command(HVX_HOLD, 0x400000, 0x20000);
        command(HVX_POWEROFF, 0, 0);
        for (;;)
            __asm__ volatile("hlt");
    }
}
