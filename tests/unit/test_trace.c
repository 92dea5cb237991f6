/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a trace says of requests, and which it wants. That it comes: test_reload.c, tests/shm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/trace.h"

static struct trace_entry pio(bool read, uint64_t port, uint32_t size, uint64_t data)
{
    return (struct trace_entry){
        .request = {.addr = port, .data = data, .count = 1, .size = size, .read = read}};
}

/* Of the device `name`, whose range begins at `first` and has so many ports. */
static struct trace_entry of(struct trace_entry entry, const char *name, const char *model,
                             uint64_t first, uint64_t range)
{
    strcpy(entry.device, name);
    entry.model = model;
    entry.offset = entry.request.addr - first;
    entry.range = range;
    return entry;
}

static void assert_line(struct trace_entry entry, const char *wanted)
{
    char line[TRACE_LINE_MAX];

    trace_decode(&entry, line);
    assert_string_equal(line, wanted);
}

static void test_a_status_register_is_told_by_its_bits(void **state)
{
    assert_line(of(pio(true, 0x1f7, 1, 0x50), "ide0", "piix3-ide", 0x1f0, 8),
                "vcpu0 IN 0x1f7/1 -> 0x50 DRDY DSC [ide0]");
    assert_line(of(pio(true, 0x3f6, 1, 0x81), "ide0", "piix3-ide", 0x3f6, 1),
                "vcpu0 IN 0x3f6/1 -> 0x81 BSY ERR [ide0]");
    assert_line(of(pio(true, 0xc102, 1, 0x58), "cmd646-0", "cmd646", 0xc100, 4),
                "vcpu0 IN 0xc102/1 -> 0x58 DRDY DSC DRQ [cmd646-0]");
    assert_line(of(pio(true, 0xc00a, 1, 0x24), "ide0", "piix3-ide", 0xc000, 16),
                "vcpu0 IN 0xc00a/1 -> 0x24 drive 0 capable interrupt [ide0]");
    assert_line(of(pio(true, 0x3fd, 1, 0x60), "uart", "uart16550", 0x3f8, 8),
                "vcpu0 IN 0x3fd/1 -> 0x60 TEMT THRE [uart]");
}

static void test_commands_and_registers_have_names(void **state)
{
    struct trace_entry config = {.request = {.type = IOREQ_PCI_CONFIG,
                                             .addr = UINT64_C(0x0900000004),
                                             .data = 5,
                                             .count = 1,
                                             .size = 2,
                                             .vcpu = 3}};

    assert_line(of(pio(false, 0x1f7, 1, 0xc8), "ide0", "piix3-ide", 0x1f0, 8),
                "vcpu0 OUT 0x1f7/1 <- 0xc8 READ DMA [ide0]");
    assert_line(of(pio(false, 0x1f2, 1, 1), "ide0", "piix3-ide", 0x1f0, 8),
                "vcpu0 OUT 0x1f2/1 <- 0x01 count [ide0]");
    assert_line(of(pio(false, 0xcf8, 4, 0x80000904), "pci-host", "pci-host", 0xcf8, 4),
                "vcpu0 OUT 0xcf8/4 <- 0x80000904 00:01.1+0x04 [pci-host]");
    assert_line(of(pio(false, 0x3f8, 1, 'x'), "uart", "uart16550", 0x3f8, 8),
                "vcpu0 OUT 0x3f8/1 <- 0x78 'x' [uart]");
    config.device[0] = '\0';
    assert_line(config, "vcpu3 CFGWR 00:01.1+0x04/2 <- 0x0005 command: master I/O");
}

static void test_strings_rings_and_nonsense_are_told_apart(void **state)
{
    struct trace_entry entry = pio(true, 0x1f0, 2, 0x12345000);

    entry.request.string = true;
    entry.request.count = 256;
    assert_line(of(entry, "ide0", "piix3-ide", 0x1f0, 8),
                "vcpu0 INS 0x1f0/2 x256 -> memory at 0x12345000 [ide0]");
    entry = pio(false, 0xa0000, 4, 0xffffffff);
    entry.request.type = IOREQ_COPY;
    entry.request.vcpu = UINT32_MAX;
    assert_line(entry, "ring WR 0xa0000/4 <- 0xffffffff");
    entry = pio(true, 0x12345, 3, 0);
    entry.request.type = 77;
    entry.request.illegal = "type";
    assert_line(entry, "vcpu0 ILLEGAL type 77 addr 0x12345/3 x1: type");
    entry = (struct trace_entry){.request = {.type = IOREQ_INVALIDATE, .vcpu = 1}};
    assert_line(entry, "vcpu1 INVALIDATE");
}

static void test_a_line_is_bounded_whatever_the_guest_sends(void **state)
{
    struct trace_entry entry = {.request = {.addr = UINT64_MAX,
                                            .data = UINT64_MAX,
                                            .count = UINT32_MAX,
                                            .size = 8,
                                            .vcpu = 127,
                                            .type = IOREQ_COPY},
                                .device = "123456789012345"};
    char line[TRACE_LINE_MAX];

    for (unsigned type = 0; type < 256; type++) {
        entry.request.type = (uint8_t)type;
        entry.request.illegal = type > 2 ? "type" : NULL;
        memset(line, 'x', sizeof(line));
        trace_decode(&entry, line);
        assert_true(memchr(line, '\0', sizeof(line)) != NULL);
    }
}

/* ---- filters ---- */

static struct trace_filter filter_of(const char *text)
{
    struct trace_filter filter;
    char why[TRACE_WHY_SIZE] = "";

    if (!trace_filter_parse(text, &filter, why))
        fail_msg("%s", why);
    return filter;
}

static bool wants(const char *text, struct trace_entry entry)
{
    struct trace_filter filter = filter_of(text);

    return trace_filter_wants(&filter, &entry);
}

static void test_a_filter_wants_what_meets_all_its_terms(void **state)
{
    struct trace_entry status = of(pio(true, 0x1f7, 1, 0x50), "ide0", "piix3-ide", 0x1f0, 8);
    struct trace_entry mmio = pio(false, 0xf0000000, 4, 1);

    mmio.request.type = IOREQ_COPY;
    mmio.request.vcpu = 2;
    assert_true(wants(NULL, status));
    assert_true(wants("", mmio));
    assert_true(wants("port=0x1f7", status));
    assert_true(wants("port=0x1f0-0x1f7,dir=read,device=ide0,type=pio,vcpu=0", status));
    assert_false(wants("port=0x1f0-0x1f6", status));
    assert_false(wants("port=0-0xffffffffffffffff", mmio));
    assert_true(wants("addr=0xf0000000-0xf000ffff", mmio));
    assert_false(wants("addr=0x1f7", status));
    assert_false(wants("dir=write", status));
    assert_true(wants("dir=write,vcpu=2", mmio));
    assert_false(wants("vcpu=1", mmio));
    assert_false(wants("device=ide1", status));
    assert_false(wants("type=config", status));
    assert_false(wants("type=pio,type=mmio", status)); /* nothing is both */
}

static void test_a_filter_that_is_none_says_what_there_is(void **state)
{
    static const char *const none[] = {
        "port",       "port=",    "port=7-6",  "port=0x",
        "port=1-2-3", "dir=up",   "type=port", "device=",
        "vcpu=128",   "vcpu=0-1", "colour=1",  "port=1,",
        "port=-1",    "port=1 ",  ",",         "device=1234567890123456"};
    struct trace_filter filter;
    char why[TRACE_WHY_SIZE];

    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        why[0] = '\0';
        if (trace_filter_parse(none[i], &filter, why))
            fail_msg("%s was taken", none[i]);
        assert_non_null(strstr(why, "port=A[-B]"));
    }
}

/* Every field of what a captured worker process has written, as bad as it can be. */
static void test_what_a_captured_worker_writes_leads_nowhere(void **state)
{
    char line[TRACE_LINE_MAX];

    for (unsigned fill = 1; fill < 256; fill++) {
        struct trace_entry entry;

        memset(&entry, (int)fill, sizeof(entry));
        trace_check(&entry);
        assert_ptr_equal(entry.request.illegal, entry.illegal_text);
        assert_int_equal(strlen(entry.device), TRACE_NAME_MAX);
        trace_decode(&entry, line);
        for (const char *at = line; *at; at++)
            assert_in_range(*at, ' ', '~');
        /* A type that does not exist, a size that no access has, and no word about it. */
        memset(&entry, (int)fill, sizeof(entry));
        entry.illegal_text[0] = '\0';
        trace_check(&entry);
        assert_string_equal(entry.request.illegal, "unknown");
        trace_decode(&entry, line);
    }
}

static void test_a_good_entry_comes_out_of_the_ring_as_it_went_in(void **state)
{
    struct trace_entry entry = of(pio(true, 0x1f7, 1, 0x50), "ide0", NULL, 0x1f0, 8);

    strcpy(entry.model_name, "piix3-ide");
    trace_check(&entry);
    assert_null(entry.request.illegal);
    assert_line(entry, "vcpu0 IN 0x1f7/1 -> 0x50 DRDY DSC [ide0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_status_register_is_told_by_its_bits),
        cmocka_unit_test(test_commands_and_registers_have_names),
        cmocka_unit_test(test_strings_rings_and_nonsense_are_told_apart),
        cmocka_unit_test(test_what_a_captured_worker_writes_leads_nowhere),
        cmocka_unit_test(test_a_good_entry_comes_out_of_the_ring_as_it_went_in),
        cmocka_unit_test(test_a_line_is_bounded_whatever_the_guest_sends),
        cmocka_unit_test(test_a_filter_wants_what_meets_all_its_terms),
        cmocka_unit_test(test_a_filter_that_is_none_says_what_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
