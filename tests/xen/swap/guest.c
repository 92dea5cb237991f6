/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest of the frame swap's tester: grants pages and looks at what is in them. */
#include "../tiny/tiny.h"

#include "swap.h"

#define CPUID_XEN               0x40000000u
#define MEMORY_OP               12
#define SCHED_OP                29
#define XENMEM_ADD_TO_PHYSMAP   7
#define XENMAPSPACE_GRANT_TABLE 1
#define SCHEDOP_YIELD           0
#define DOMID_SELF              0x7ff0
#define GTF_PERMIT_ACCESS       1
#define GTF_READONLY            4
#define TABLE_FRAMES            2

/* Xen's public/grant_table.h, version 1. */
struct grant_entry {
    uint16_t flags, domid;
    uint32_t frame;
};

static uint8_t hypercall_page[4096] __attribute__((aligned(4096)));
static volatile struct grant_entry *const table = (volatile struct grant_entry *)SWAP_TABLE;
static volatile struct swap_command *const cmd = (volatile struct swap_command *)SWAP_COMMAND;

static int hypercall(uint32_t number, uint32_t a, uint32_t b)
{
    uint32_t result;

    __asm__ volatile("call *%3"
                     : "=a"(result), "+b"(a), "+c"(b)
                     : "r"(hypercall_page + number * 32)
                     : "memory");
    return (int)result;
}

static void hypercalls_on(void)
{
    uint32_t regs[4] = {CPUID_XEN + 2};

    __asm__ volatile("cpuid" : "+a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3]));
    __asm__ volatile("wrmsr" : : "c"(regs[1]), "a"(hypercall_page), "d"(0) : "memory");
}

static bool table_frame(uint32_t index)
{
    struct {
        uint16_t domid, size;
        uint32_t space, index, gfn;
    } arg = {DOMID_SELF, 0, XENMAPSPACE_GRANT_TABLE, index, (SWAP_TABLE >> 12) + index};

    return hypercall(MEMORY_OP, XENMEM_ADD_TO_PHYSMAP, (uint32_t)&arg) == 0;
}

static void grant(uint32_t ref, uint32_t address, uint16_t domid, uint16_t flags)
{
    table[ref].domid = domid;
    table[ref].frame = address >> 12;
    __asm__ volatile("" : : : "memory");
    table[ref].flags = GTF_PERMIT_ACCESS | flags;
}

static void grants(void)
{
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        grant(SWAP_REF(i), SWAP_MEMORY + 4096 * i, 0, 0);
    grant(SWAP_REF_READONLY, SWAP_SPARE(0), 0, GTF_READONLY);
    grant(SWAP_REF_HOLE, SWAP_HOLE, 0, 0);
    grant(SWAP_REF_OTHER, SWAP_SPARE(1), 0x7000, 0);
    grant(SWAP_REF_BUSY, SWAP_SPARE(2), 0, 0);
    grant(SWAP_REF_TWIN, SWAP_SPARE(2), 0, 0);
    grant(SWAP_REF_TABLE, SWAP_TABLE, 0, 0);
}

static volatile uint32_t *page(uint32_t i)
{
    return (volatile uint32_t *)(SWAP_MEMORY + 4096 * i);
}

static void fill(uint32_t seed)
{
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        for (uint32_t w = 0; w < SWAP_WORDS; w++)
            page(i)[w] = swap_word(seed, i, w);
}

static void look(uint32_t seed)
{
    cmd->result = 0;
    for (uint32_t i = 0; i < SWAP_PAGES; i++) {
        for (uint32_t w = 0; w < SWAP_WORDS; w++) {
            uint32_t found = page(i)[w], wanted = swap_word(seed, i, w);

            if (found == wanted)
                continue;
            if (!cmd->result) {
                cmd->first = i * SWAP_WORDS + w;
                cmd->wanted = wanted;
                cmd->found = found;
            }
            cmd->result = cmd->result + 1;
            break;
        }
    }
}

static void touch(uint32_t sequence)
{
    for (uint32_t n = 0; cmd->sequence == sequence; n++)
        page(n % SWAP_PAGES)[n / SWAP_PAGES % SWAP_WORDS] = n;
}

void tiny_main(void)
{
    bool mapped = true;

    memset((void *)SWAP_COMMAND, 0, sizeof(struct swap_command));
    hypercalls_on();
    for (uint32_t i = 0; i < TABLE_FRAMES; i++)
        mapped &= table_frame(i);
    check("grant_table", mapped && SWAP_REFS <= TABLE_FRAMES * 4096 / sizeof(table[0]), "none");
    grants();
    print("ready\n");
    for (uint32_t sequence = 1;; sequence++) {
        cmd->ready = sequence;
        while (cmd->sequence != sequence)
            hypercall(SCHED_OP, SCHEDOP_YIELD, 0);
        switch (cmd->op) {
        case SWAP_FILL:
            fill(cmd->seed);
            break;
        case SWAP_CHECK:
            look(cmd->seed);
            break;
        case SWAP_TOUCH:
            cmd->ready = sequence + 1;
            touch(sequence);
            break;
        default:
            finish();
        }
    }
}
