/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest of buffered PIO's tester: what the hypervisor answers out of a page, and what not. */
#include "../tiny/tiny.h"

#include "pio.h"

#define READS  1 /* bufpio_abi.h's flags */
#define WRITES 2
#define SEED   5

/* An entry's fields, in the page. */
#define ENTRY(n)    (24 * (n))
#define DATA_END(n) (ENTRY(n) + 8)
#define PORT(n)     (ENTRY(n) + 16)
#define FLAGS(n)    (ENTRY(n) + 18)
#define DATA        (24 * 8) /* behind all of them */

#define UNITS 8000u /* of a stream, that each vCPU moves */

static volatile struct pio_command cmd __attribute__((aligned(64)));
static void (*volatile ap_job)(void);
static uint8_t memory[4096] __attribute__((aligned(4096)));
static volatile uint16_t bsp_units[UNITS], ap_units[UNITS];
static uint8_t seen[65536];
static volatile uint32_t ap_reads, ap_inside, ap_bad, ap_ones;
static volatile bool ap_stop, ap_done;

static void run(uint32_t op, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    cmd.op = op;
    cmd.a = a;
    cmd.b = b;
    cmd.c = c;
    cmd.d = d;
    outl(PIO_CONTROL, 1);
}

static void poke(uint32_t at, uint32_t size, uint32_t value)
{
    run(PIO_POKE, at, size, value, 0);
}

static void arm(uint32_t entry, uint32_t page_offset, uint32_t pointer, uint32_t data_end,
                uint32_t flags)
{
    run(PIO_POKE, ENTRY(entry), 8, 0, 0);
    poke(DATA_END(entry), 4, data_end);
    poke(FLAGS(entry), 2, flags);
    run(PIO_POKE, ENTRY(entry), 8, page_offset, pointer);
}

static void disarm(uint32_t entry)
{
    run(PIO_EXCHANGE, entry, 0, 0, 0);
}

/* Whether the entry is at that position. */
static bool at(uint32_t entry, uint32_t page_offset, uint32_t pointer)
{
    run(PIO_PEEK, ENTRY(entry), 0, 0, 0);
    return cmd.result[0] == page_offset && cmd.result[1] == pointer;
}

static uint32_t in(uint16_t port, uint32_t size)
{
    return size == 4 ? inl(port) : inw(port);
}

static void out(uint16_t port, uint32_t size, uint32_t value)
{
    if (size == 4)
        outl(port, value);
    else
        outw(port, (uint16_t)value);
}

static uint32_t mask(uint32_t size)
{
    return size == 4 ? 0xffffffff : 0xffff;
}

/* What PIO_FILL left there. */
static uint32_t filled(uint32_t where, uint32_t size)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < size; i++)
        value |= (uint32_t)pio_byte(SEED, where + i) << 8 * i;
    return value;
}

static uint32_t sum(uint32_t from, uint32_t bytes)
{
    run(PIO_SUM, from, bytes, 0, 0);
    return cmd.result[0];
}

static uint32_t count(uint32_t which)
{
    run(PIO_COUNT, 0, 0, 0, 0);
    return cmd.result[which];
}

/* The page without entries beyond the two, disarmed, filled behind all that there could be. */
static void fresh_page(void)
{
    for (uint32_t i = 0; i < DATA; i += 8)
        run(PIO_POKE, i, 8, 0, 0);
    run(PIO_FILL, 2 * 24, 4096 - 2 * 24, SEED, 0);
}

/* A buffer through one port from its first byte to its last: all but the last element inside. */
static void whole_buffer(const char *name, uint32_t entry, uint16_t port, uint32_t size,
                         uint32_t offset)
{
    uint32_t bytes = 64, before = count(0), after, bad = 0, last;

    arm(entry, offset, 0, bytes, 0);
    for (uint32_t i = 0; i + size < bytes; i += size)
        bad += in(port, size) != filled(offset + i, size);
    after = count(0);
    check(name, !bad && after == before, "%u wrong, %u requests", bad, after - before);
    last = in(port, size);
    after = count(0);
    check("last_element_is_a_request",
          last == (0xeeeeeeee & mask(size)) && after == before + 1 &&
              at(entry, offset, bytes - size),
          "%x, %u requests, at %u", last, after - before, cmd.result[1]);
    disarm(entry);
}

static void test_reads(void)
{
    fresh_page();
    check("unarmed_is_a_request", inw(PIO_PRIMARY) == 0xeeee, "answered");
    whole_buffer("reads_of_2", 0, PIO_PRIMARY, 2, 512);
    whole_buffer("reads_of_4", 0, PIO_PRIMARY, 4, 1024);
    whole_buffer("reads_of_2_secondary", 1, PIO_SECONDARY, 2, 2048);
    whole_buffer("reads_at_odd_offsets", 1, PIO_SECONDARY, 4, 3333);

    arm(0, 512, 0, 12, READS);
    check("sizes_mixed",
          inw(PIO_PRIMARY) == filled(512, 2) && inl(PIO_PRIMARY) == filled(514, 4) &&
              inw(PIO_PRIMARY) == filled(518, 2) && inl(PIO_PRIMARY) == 0xeeeeeeee &&
              inw(PIO_PRIMARY) == filled(520, 2) && inw(PIO_PRIMARY) == 0xeeee,
          "at %u", at(0, 512, 10) ? 10 : cmd.result[1]);
}

static void test_writes(void)
{
    uint32_t before, requests = count(1), bad = 0;

    fresh_page();
    before = sum(600, 62);
    arm(1, 600, 0, 64, 0);
    for (uint32_t i = 0; i < 16; i++)
        outw(PIO_SECONDARY, (uint16_t)(0x1100 + i));
    for (uint32_t i = 0; i < 7; i++)
        outl(PIO_SECONDARY, 0x22000000 + i);
    outw(PIO_SECONDARY, 0x3333);
    check("writes_make_no_request", count(1) == requests && at(1, 600, 62), "%u, at %u",
          count(1) - requests, cmd.result[1]);
    outw(PIO_SECONDARY, 0x4444);
    check("last_write_is_a_request", count(1) == requests + 1 && count(3) == 0x4444, "%u, %x",
          count(1) - requests, count(3));
    for (uint32_t i = 0; i < 8; i++) {
        run(PIO_PEEK, 600 + 8 * i, 0, 0, 0);
        if (i < 4)
            bad += cmd.result[0] != (0x1100u + 4 * i) + (0x1101u + 4 * i) * 65536;
        else if (i < 7)
            bad += cmd.result[1] != 0x22000000 + 2 * (i - 4) + 1;
        else
            bad += cmd.result[0] != 0x22000006 || (cmd.result[1] & 0xffff) != 0x3333;
    }
    check("writes_are_in_the_page", !bad && sum(600, 62) == before, "%u wrong", bad);
}

static void test_other_accesses(void)
{
    uint32_t strings = count(2), bad = 0;

    fresh_page();
    arm(0, 512, 0, 64, 0);
    check("bytes_are_requests", inb(PIO_PRIMARY) == 0xee && at(0, 512, 0), "at %u", cmd.result[1]);
    check("other_ports_are_requests", inw(PIO_PRIMARY + 2) == 0xeeee && at(0, 512, 0), "at %u",
          cmd.result[1]);
    memset(memory, 0, sizeof(memory));
    rep_insw(PIO_PRIMARY, memory, 24);
    for (uint32_t i = 0; i < 50; i++)
        bad += memory[i] != (i < 48 ? 0xee : 0);
    check("a_string_is_one_request",
          !bad && count(2) == strings + 1 && count(3) == 24 && at(0, 512, 0),
          "%u requests, of %u elements, %u bytes wrong", count(2) - strings, count(3), bad);
    /* Xen makes an IN of it. */
    rep_insl(PIO_PRIMARY, memory, 1);
    check("a_string_of_one_is_none",
          *(uint32_t *)memory == filled(512, 4) && at(0, 512, 4) && count(2) == strings + 1,
          "%u requests, at %u", count(2) - strings, cmd.result[1]);
    check("and_so_on", inw(PIO_PRIMARY) == filled(516, 2), "not answered");
}

/* What the rules make of fields that a device model may write. */
struct rule {
    const char *name;
    uint32_t page_offset, pointer, data_end;
    uint16_t entries, flags;
    uint8_t size, read, write; /* answered? */
};

static const struct rule rules[] = {
    {"zero", 0, 0, 4096, 2, 0, 2, 0, 0},
    {"first_byte_of_two_entries", 48, 0, 64, 2, 0, 2, 1, 1},
    {"first_byte_by_the_pointer", 0, 48, 4096, 2, 0, 4, 1, 1},
    {"in_the_second_entry", 47, 0, 64, 2, 0, 2, 0, 0},
    {"in_the_second_by_the_pointer", 40, 7, 64, 2, 0, 2, 0, 0},
    {"no_entries_are_two", 48, 0, 64, 0, 0, 2, 1, 1},
    {"one_entry_is_two", 48, 0, 64, 1, 0, 4, 1, 1},
    {"in_the_third_of_three", 48, 0, 64, 3, 0, 2, 0, 0},
    {"behind_three", 72, 0, 64, 3, 0, 2, 1, 1},
    {"in_the_last_of_eight", 191, 0, 64, 8, 0, 2, 0, 0},
    {"behind_eight", 192, 0, 64, 8, 0, 2, 1, 1},
    {"never_more_than_eight", 192, 0, 64, 0xffff, 0, 2, 1, 1},
    {"all_of_eight", 191, 0, 64, 0xffff, 0, 2, 0, 0},
    {"last_bytes_of_the_page", 4088, 2, 8, 2, 0, 4, 1, 1},
    {"last_element_of_the_page", 4088, 4, 8, 2, 0, 4, 0, 0},
    {"a_byte_beyond_the_page", 4089, 0, 8, 2, 0, 2, 0, 0},
    {"behind_the_page", 4096, 0, 8, 2, 0, 2, 0, 0},
    {"whole_page", 0, 4092, 4096, 2, 0, 2, 1, 1},
    {"odd", 513, 1, 63, 2, 0, 4, 1, 1},
    {"pointer_at_the_end", 512, 64, 64, 2, 0, 2, 0, 0},
    {"pointer_beyond_the_end", 512, 66, 64, 2, 0, 2, 0, 0},
    {"too_little_left", 512, 61, 64, 2, 0, 4, 0, 0},
    {"just_enough_left", 512, 61, 64, 2, 0, 2, 1, 1},
    {"data_end_zero", 512, 0, 0, 2, 0, 2, 0, 0},
    {"data_end_huge", 512, 0, 0xffffffff, 2, 0, 2, 0, 0},
    {"data_end_negative", 512, 0, 0x80000000, 2, 0, 2, 0, 0},
    {"offset_huge", 0xffffffff, 0, 64, 2, 0, 2, 0, 0},
    {"offset_and_data_end_wrap", 0xfffffff0, 0x210, 0x400, 2, 0, 2, 0, 0},
    {"offset_and_pointer_wrap", 0xfffffe00, 0x400, 64, 2, 0, 2, 0, 0},
    {"pointer_wraps_in_32_bits", 512, 0xfffffffe, 64, 2, 0, 2, 0, 0},
    {"pointer_wraps_by_4", 512, 0xfffffffe, 64, 2, 0, 4, 0, 0},
    {"pointer_and_data_end_huge", 512, 0xfffffff0, 0xffffffff, 2, 0, 2, 0, 0},
    {"all_ones", 0xffffffff, 0xffffffff, 0xffffffff, 2, 0, 2, 0, 0},
    {"reads_only", 512, 0, 64, 2, READS, 2, 1, 0},
    {"writes_only", 512, 0, 64, 2, WRITES, 2, 0, 1},
    {"both", 512, 0, 64, 2, READS | WRITES, 4, 1, 1},
    {"unknown_flag", 512, 0, 64, 2, 4, 2, 0, 0},
    {"unknown_flag_too", 512, 0, 64, 2, 0x8000 | READS | WRITES, 2, 0, 0},
};

static bool rule_reads(const struct rule *rule)
{
    uint32_t value, before = count(0), where = rule->page_offset + rule->pointer;

    arm(0, rule->page_offset, rule->pointer, rule->data_end, rule->flags);
    value = in(PIO_PRIMARY, rule->size);
    if (!rule->read)
        return value == (0xeeeeeeee & mask(rule->size)) && count(0) == before + 1 &&
               at(0, rule->page_offset, rule->pointer);
    return value == filled(where, rule->size) && count(0) == before &&
           at(0, rule->page_offset, rule->pointer + rule->size);
}

static bool rule_writes(const struct rule *rule)
{
    uint32_t value = 0x5b4a3928, before = count(1), where = rule->page_offset + rule->pointer;
    uint32_t others = sum(where, rule->write ? rule->size : 0);
    bool good;

    arm(0, rule->page_offset, rule->pointer, rule->data_end, rule->flags);
    out(PIO_PRIMARY, rule->size, value);
    value &= mask(rule->size);
    if (!rule->write)
        return count(1) == before + 1 && count(3) == value && sum(where, 0) == others &&
               at(0, rule->page_offset, rule->pointer);
    good = count(1) == before && sum(where, rule->size) == others &&
           at(0, rule->page_offset, rule->pointer + rule->size);
    if (where <= 4088)
        run(PIO_PEEK, where, 0, 0, 0);
    else
        run(PIO_PEEK, 4088, 0, 0, 0);
    if (where > 4088) /* its low half is where it is looked for */
        cmd.result[0] =
            (uint32_t)(((uint64_t)cmd.result[1] << 32 | cmd.result[0]) >> 8 * (where - 4088));
    good &= (cmd.result[0] & mask(rule->size)) == value;
    run(PIO_FILL, where, rule->size, SEED, 0);
    return good;
}

static void test_rules(void)
{
    fresh_page();
    for (uint32_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct rule *rule = &rules[i];
        bool reads, writes;

        poke(PORT(0), 2, rule->entries);
        reads = rule_reads(rule);
        writes = rule_writes(rule);
        check(rule->name, reads && writes, "%s%s", reads ? "" : "read ", writes ? "" : "write");
    }
    disarm(0);
}

static void test_entries(void)
{
    fresh_page();
    poke(PORT(0), 2, 4);
    poke(PORT(2), 2, PIO_DATA2);
    poke(PORT(3), 2, PIO_DATA3);
    arm(2, 512, 0, 64, 0);
    arm(3, 1024, 0, 64, 0);
    check("further_entries",
          inw(PIO_DATA2) == filled(512, 2) && inl(PIO_DATA3) == filled(1024, 4) &&
              inl(PIO_DATA2) == filled(514, 4),
          "not answered");
    poke(PORT(3), 2, PIO_DATA2);
    check("of_two_for_a_port_the_lower_counts", inw(PIO_DATA2) == filled(518, 2) && at(3, 1024, 4),
          "the other");
    disarm(2);
    check("though_it_is_not_armed", inw(PIO_DATA2) == 0xeeee && at(3, 1024, 4), "the other");
    poke(PORT(3), 2, PIO_PRIMARY);
    check("entry_for_the_primary_is_not_used", inw(PIO_PRIMARY) == 0xeeee && at(3, 1024, 4),
          "it is");
    poke(PORT(3), 2, PIO_NOBODY);
    check("port_of_no_server", inw(PIO_NOBODY) == 0xffff && at(3, 1024, 4), "answered");
    poke(PORT(3), 2, PIO_PM_TIMER);
    {
        uint32_t value = inl(PIO_PM_TIMER);

        check("port_of_a_device_of_xen", value != filled(1028, 4) && at(3, 1024, 4), "%x", value);
    }
    arm(2, 512, 0, 64, 0);
    poke(PORT(0), 2, 2);
    check("entry_beyond_those_there_are", inw(PIO_DATA2) == 0xeeee && at(2, 512, 0), "answered");
}

static void test_servers(void)
{
    uint32_t good = 0, off = 0, value = 0;

    fresh_page();
    arm(0, 512, 0, 64, 0);
    run(PIO_SECOND, 1, 0, 0, 0);
    check("port_of_another_server", inw(PIO_PRIMARY) == 0x2222 && at(0, 512, 0), "answered");
    run(PIO_SECOND, 0, 0, 0, 0);
    check("other_server_gone", inw(PIO_PRIMARY) == filled(512, 2), "not answered");

    /* Disabled in the middle of a buffer, and enabled again: answers stop and go on. */
    arm(0, DATA, 0, 4096 - DATA, 0);
    run(PIO_BLINK, 300, 0, 0, 0);
    for (uint64_t end = rdtsc() + (uint64_t)tsc_khz() * 2000; rdtsc() < end;) {
        value = inw(PIO_PRIMARY);
        if (value == 0xffff) {
            off++;
        } else if (value == filled(DATA + 2 * good, 2)) {
            good++;
            if (off)
                break;
        } else {
            break;
        }
    }
    check("disabled_and_enabled", off && at(0, DATA, 2 * good), "%u answered, %u not, then %x",
          good, off, value);
    disarm(0);
}

static void test_cost(void)
{
    uint64_t start;

    fresh_page();
    arm(0, DATA, 0, 4096 - DATA, 0);
    start = rdtsc();
    for (int i = 0; i < 1900; i++)
        inw(PIO_PRIMARY);
    bench("inw_in_page", 1900, 3800, rdtsc() - start);
    start = rdtsc();
    for (int i = 0; i < 100; i++)
        inw(PIO_PRIMARY + 2);
    bench("inw_by_request", 100, 200, rdtsc() - start);
    disarm(0);
}

/* Both vCPUs at one port while the tester arms and disarms. The second one is started for each job
 * and halts behind it: one that waits busily would take a processor from dom0. */

static void ap_main(void)
{
    ap_job();
    ap_done = true;
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void ap_does(void (*job)(void))
{
    ap_job = job;
    ap_done = false;
    if (!smp_start(ap_main))
        check("second_vcpu", false, "does not start");
}

static void ap_wait(void)
{
    while (!ap_done)
        pause();
}

static uint16_t stream_port;

static void ap_stream_read(void)
{
    for (uint32_t i = 0; i < UNITS; i += 2) {
        uint32_t value = inl(stream_port);

        ap_units[i] = (uint16_t)value;
        ap_units[i + 1] = (uint16_t)(value >> 16);
    }
}

static void ap_stream_write(void)
{
    for (uint32_t i = 0; i < UNITS; i += 2)
        outl(stream_port, 0x80008000 + i + (i + 1) * 65536);
}

static uint32_t mark_units(const volatile uint16_t *units)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < UNITS; i++) {
        bad += (i && units[i] <= units[i - 1]) || seen[units[i]];
        seen[units[i]] = 1;
    }
    return bad;
}

static void stream_ends(const char *name, uint32_t bad)
{
    run(PIO_STREAM, PIO_STREAM_END, 0, 0, 0);
    print("# %s: %u units in the page, %u by request, disarmed %u times\n", name, cmd.result[0],
          cmd.result[1], cmd.result[2]);
    check(name,
          !bad && !cmd.result[3] && cmd.result[0] + cmd.result[1] == 2 * UNITS &&
              cmd.result[0] > UNITS / 2 && cmd.result[2] > 10,
          "%u wrong here, %u there", bad, cmd.result[3]);
}

static void stream(const char *name, uint32_t kind, uint32_t entry)
{
    uint32_t bad = 0;

    stream_port = entry ? PIO_SECONDARY : PIO_PRIMARY;
    run(PIO_STREAM, kind, entry, 0, 0);
    ap_does(kind == PIO_STREAM_READ ? ap_stream_read : ap_stream_write);
    for (uint32_t i = 0; i < UNITS; i++) {
        if (kind == PIO_STREAM_READ)
            bsp_units[i] = inw(stream_port);
        else
            outw(stream_port, (uint16_t)i);
    }
    ap_wait();
    if (kind == PIO_STREAM_READ) {
        memset(seen, 0, sizeof(seen));
        bad = mark_units(bsp_units) + mark_units(ap_units);
        for (uint32_t i = 0; i < 2 * UNITS; i++)
            bad += !seen[i];
    }
    stream_ends(name, bad);
}

static void test_streams(void)
{
    fresh_page();
    poke(PORT(0), 2, 8);
    stream("stream_of_reads", PIO_STREAM_READ, 0);
    stream("stream_of_writes", PIO_STREAM_WRITE, 1);
    stream("stream_of_reads_again", PIO_STREAM_READ, 1);
    stream("stream_of_writes_again", PIO_STREAM_WRITE, 0);
}

/* A device model that writes anything at any moment: what is read is a buffer's or a request's. */

static bool is_garbage(uint32_t value, uint32_t size)
{
    return (value & 0xf0f0f0f0 & mask(size)) == (0xa0a0a0a0 & mask(size));
}

static uint32_t one_bad_access(uint32_t random, volatile uint32_t *inside)
{
    static const uint16_t ports[] = {PIO_PRIMARY, PIO_SECONDARY, PIO_DATA2, PIO_DATA3};
    uint16_t port = ports[random >> 4 & 3];
    uint32_t size = random & 1 ? 4 : 2, value;

    if (random & 6) {
        value = in(port, size);
        if (value == (0xeeeeeeee & mask(size)))
            return 0;
        ++*inside;
        return !is_garbage(value, size);
    }
    out(port, size, 0xa5a6a7a8);
    return 0;
}

static void ap_garbage(void)
{
    uint32_t random = 99;

    while (!ap_stop) {
        random = random * 1664525 + 1013904223;
        ap_bad += one_bad_access(random >> 8, &ap_inside);
        ap_reads++;
    }
}

/* Until enough accesses on both were answered from the page, or half a minute. */
static void garbage(const char *name, uint32_t kind)
{
    uint64_t end = rdtsc() + (uint64_t)tsc_khz() * 30000;
    uint32_t random = 4711, bad = 0, done = 0, strings = 0;
    volatile uint32_t inside = 0;

    ap_reads = ap_inside = ap_bad = 0;
    ap_stop = false;
    run(PIO_GARBAGE, kind, 0, 0, 0);
    ap_does(ap_garbage);
    for (; (inside < 1000 || ap_inside < 1000) && rdtsc() < end; done++) {
        random = random * 1664525 + 1013904223;
        bad += one_bad_access(random >> 8, &inside);
        if (random >> 24 == 0) {
            rep_insw(PIO_PRIMARY, memory, 16);
            strings++;
        }
    }
    ap_stop = true;
    ap_wait();
    run(PIO_GARBAGE, 0, 0, 0, 0);
    print("# %s: %u and %u accesses, %u and %u reads in the page, %u strings\n", name, done,
          ap_reads, inside, ap_inside, strings);
    check(name, !bad && !ap_bad && inside > 50 && ap_inside > 50, "%u and %u wrong, %u, %u inside",
          bad, ap_bad, inside, ap_inside);
}

static void ap_until_ones(void)
{
    while (inw(PIO_SECONDARY) != 0xffff)
        ap_reads++;
    ap_ones = 1;
}

static void test_leave(void)
{
    uint32_t value = 0, reads = 0;

    fresh_page();
    arm(0, DATA, 0, 4096 - DATA, 0);
    arm(1, DATA, 0, 4096 - DATA, 0);
    ap_does(ap_until_ones);
    run(PIO_LEAVE, 0, 0, 0, 0);
    while (value != 0xffff && reads < 1000000) {
        value = inw(PIO_PRIMARY);
        reads++;
    }
    for (int i = 0; i < 1000 && !ap_ones; i++)
        delay_us(1000);
    check("server_destroyed_under_way",
          value == 0xffff && ap_ones && inl(PIO_PRIMARY) == 0xffffffff, "%x after %u reads", value,
          reads);
}

static void ap_writes(void)
{
    for (;;)
        outw(PIO_SECONDARY, 0x8000);
}

static void loop_without_end(void)
{
    fresh_page();
    poke(PORT(0), 2, 8);
    arm(1, DATA + 2000, 0, 200, WRITES);
    run(PIO_STREAM, PIO_STREAM_READ, 0, 0, 0);
    ap_does(ap_writes);
    print("loops\n");
    for (;;)
        inw(PIO_PRIMARY);
}

static void test_dies(void)
{
    uint32_t elements = (4096 - DATA) / 2 - 1, bad = 0;

    fresh_page();
    arm(0, DATA, 0, 4096 - DATA, 0);
    print("armed\n");
    for (uint32_t i = 0; i < elements; i++) {
        bad += inw(PIO_PRIMARY) != filled(DATA + 2 * i, 2);
        delay_us(2000);
    }
    check("page_outlives_its_maker", !bad, "%u of %u wrong", bad, elements);
    inw(PIO_PRIMARY);
    print("answered\n");
}

void tiny_main(void)
{
    outl(PIO_CONTROL, (uint32_t)&cmd);
    switch (inl(PIO_CONTROL)) {
    case PIO_MODE_GARBAGE:
        garbage("garbage_in_two_entries", 1);
        garbage("garbage_in_all_entries", 2);
        break;
    case PIO_MODE_LEAVE:
        test_leave();
        break;
    case PIO_MODE_LOOP:
        loop_without_end();
        break;
    case PIO_MODE_DIES:
        test_dies();
        break;
    default:
        test_reads();
        test_writes();
        test_other_accesses();
        test_rules();
        test_entries();
        test_servers();
        test_cost();
        test_streams();
    }
    finish();
}
