/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An NE2000's data port by the buffered PIO page: what a driver would do, and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/bufpio_rig.h"
#include "tests/unit/ne2000_rig.h"

#define TX_ADDR (NE2000_RIG_TX * NE2000_PAGE)
#define RING    (NE2000_RIG_START * NE2000_PAGE)
#define RING_HI (NE2000_RIG_STOP * NE2000_PAGE)

struct fixture {
    struct bufpio_rig page;
    struct nic_rig nic;
    struct host_ops ops;
    uint16_t base;
};

/* The second one has no page: what it does is what each access does by itself. */
static struct fixture with, without; /* page-aligned members */
static uint8_t frame[1514];

static void take_out(void *ctx)
{
    bufpio_take_out(ctx == &with.nic.fake ? &with.page.bufpio : &without.page.bufpio);
}

static void start(struct fixture *f)
{
    ne2000_rig_init(&f->nic, 0);
    f->base = NIC_RIG_PORT;
    f->ops = *f->nic.fake.host.ops;
    f->ops.windows_out = take_out;
    f->nic.fake.host.ops = &f->ops;
    bufpio_rig_init(&f->page, f->nic.bus, f->nic.dev->data_ports);
}

static int setup(void **state)
{
    start(&with);
    start(&without);
    without.page.without = true;
    for (unsigned i = 0; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i * 7 + (i >> 8) * 3 + 1);
    memcpy(frame, nic_rig_mac, NET_MAC_BYTES);
    *state = &with;
    return 0;
}

/* Whatever a test does, an honest hypervisor is never caught lying. */
static int teardown(void **state)
{
    for (struct fixture *f = &with; f; f = f == &with ? &without : NULL) {
        bufpio_rig_finish(&f->page);
        assert_int_equal(f->page.bufpio.counters.rejected, 0);
        assert_int_equal(f->page.bufpio.counters.answered, f->page.hv.answered);
        nic_rig_finish(&f->nic);
    }
    return 0;
}

static void out(struct fixture *f, unsigned reg, unsigned size, uint32_t value)
{
    bufpio_rig_out(&f->page, (uint16_t)(f->base + reg), size, value);
}

static uint32_t in(struct fixture *f, unsigned reg, unsigned size)
{
    return bufpio_rig_in(&f->page, (uint16_t)(f->base + reg), size);
}

static void begin(struct fixture *f, uint8_t rd, uint16_t addr, uint16_t bytes)
{
    out(f, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_RD_ABORT);
    out(f, NE2000_ISR, 1, NE2000_ISR_RDC);
    out(f, NE2000_RSAR0, 1, addr & 0xff);
    out(f, NE2000_RSAR1, 1, addr >> 8);
    out(f, NE2000_RBCR0, 1, bytes & 0xff);
    out(f, NE2000_RBCR1, 1, bytes >> 8);
    out(f, NE2000_CR, 1, NE2000_CR_STA | rd);
}

/* `at` and `n` in bytes, `n` a multiple of `size`. */
static void get(struct fixture *f, uint8_t *buf, unsigned n, unsigned size)
{
    for (unsigned i = 0; i < n; i += size) {
        uint32_t value = in(f, NE2000_DATA, size);

        memcpy(buf + i, &value, size);
    }
}

static void put(struct fixture *f, const uint8_t *buf, unsigned n, unsigned size)
{
    for (unsigned i = 0; i < n; i += size) {
        uint32_t value = 0;

        memcpy(&value, buf + i, size);
        out(f, NE2000_DATA, size, value);
    }
}

/* Packet memory, past everything. */
static void look(struct fixture *f, uint16_t addr, uint8_t *buf, uint16_t n)
{
    begin(f, NE2000_CR_RD_READ, addr, n);
    bufpio_rig_ins(&f->page, (uint16_t)(f->base + NE2000_DATA), 2, buf, n / 2u);
    out(f, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_RD_ABORT);
}

static bool done(struct fixture *f)
{
    return in(f, NE2000_ISR, 1) & NE2000_ISR_RDC;
}

static uint16_t crda(struct fixture *f)
{
    return (uint16_t)(in(f, NE2000_CRDA0, 1) | in(f, NE2000_CRDA1, 1) << 8);
}

static void a_packet_moved_by_words_or_doublewords_is_two_requests(void **state)
{
    struct fixture *f = *state;

    for (unsigned size = 2; size <= 4; size += 2) {
        unsigned bytes = 1512 / size * size;
        uint8_t back[1514] = {0};
        uint64_t before;

        begin(f, NE2000_CR_RD_WRITE, TX_ADDR, (uint16_t)bytes);
        before = f->page.requests;
        put(f, frame, bytes, size);
        assert_in_range(f->page.requests - before, 1, 3);
        assert_true(done(f));
        begin(f, NE2000_CR_RD_READ, TX_ADDR, (uint16_t)bytes);
        before = f->page.requests;
        get(f, back, bytes, size);
        assert_in_range(f->page.requests - before, 1, 2);
        assert_true(done(f));
        assert_memory_equal(back, frame, bytes);
    }
    out(f, NE2000_TPSR, 1, NE2000_RIG_TX);
    out(f, NE2000_TBCR0, 2, 1512);
    out(f, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_TXP | NE2000_CR_RD_ABORT);
    assert_int_equal(f->nic.n_sent, 1);
    assert_memory_equal(f->nic.sent[0].data, frame, 1512);
}

/* Not sooner, not later, however the count ends. */
static void rdc_comes_with_the_last_element(void **state)
{
    struct fixture *f = *state;

    for (unsigned bytes = 1; bytes < 64; bytes++) {
        unsigned words = (bytes + 1) / 2;

        begin(f, bytes & 2 ? NE2000_CR_RD_WRITE : NE2000_CR_RD_READ, TX_ADDR, (uint16_t)bytes);
        out(f, NE2000_ISR, 1, 0xff);
        for (unsigned i = 0; i < words; i++) {
            assert_false(nic_rig_inta(&f->nic));
            if (bytes & 2)
                out(f, NE2000_DATA, 2, 0x1234 + i);
            else
                in(f, NE2000_DATA, 2);
        }
        assert_true(nic_rig_inta(&f->nic));
        assert_true(done(f));
        assert_int_equal(crda(f), TX_ADDR + 2 * words);
        assert_int_equal(in(f, NE2000_DATA, 2), 0xffff);
        assert_int_equal(in(f, NE2000_DATA, 4), 0xffffffff);
    }
}

static void a_window_goes_on_at_pstart(void **state)
{
    struct fixture *f = *state;
    uint8_t back[600] = {0}, head[300];

    begin(f, NE2000_CR_RD_WRITE, RING_HI - 300, 600);
    put(f, frame, 600, 2);
    look(f, RING, head, 300);
    assert_memory_equal(head, frame + 300, 300);
    begin(f, NE2000_CR_RD_READ, RING_HI - 300, 600);
    uint64_t before = f->page.requests;
    get(f, back, 600, 2);
    assert_in_range(f->page.requests - before, 1, 2);
    assert_memory_equal(back, frame, 600);
    assert_int_equal(crda(f), RING + 300);
}

static void registers_say_where_the_guest_is(void **state)
{
    struct fixture *f = *state;
    uint8_t back[512];

    begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 512);
    for (unsigned at = 0; at < 512; at += 32) {
        put(f, frame + at, 32, at % 64 ? 4 : 2);
        assert_int_equal(crda(f), TX_ADDR + at + 32);
        assert_int_equal(done(f), at + 32 == 512);
    }
    begin(f, NE2000_CR_RD_READ, TX_ADDR, 512);
    for (unsigned at = 0; at < 512; at += 16) {
        get(f, back + at, 16, 2);
        assert_int_equal(crda(f), TX_ADDR + at + 16);
    }
    assert_memory_equal(back, frame, 512);
}

/* Left after some words by a command, or by the reset port: those are there, no others are, and
 * what comes next begins anew. */
static void an_abort_in_mid_transfer_loses_and_misplaces_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t clean[256] = {0}, back[256];

    for (unsigned words = 1; words < 128; words++) {
        begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 256);
        put(f, clean, 256, 2);
        begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 256);
        put(f, frame, 2 * words, 2);
        if (words % 2)
            out(f, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_RD_ABORT);
        else
            in(f, NE2000_RESET, 1);
        assert_int_equal(in(f, NE2000_DATA, 2), 0xffff);
        out(f, NE2000_DATA, 2, 0xdead);
        if (words % 2 == 0)
            ne2000_rig_start(&f->nic);
        assert_false(done(f));
        look(f, TX_ADDR, back, 256);
        assert_memory_equal(back, frame, 2 * words);
        assert_memory_equal(back + 2 * words, clean, 256 - 2 * words);
        begin(f, NE2000_CR_RD_READ, TX_ADDR, 256);
        get(f, back, 2 * words, 2);
        out(f, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_RD_ABORT);
        assert_int_equal(crda(f), TX_ADDR + 2 * words);
        assert_memory_equal(back, frame, 2 * words);
    }
}

static void the_entry_moves_with_the_bar(void **state)
{
    struct fixture *f = *state;
    uint8_t back[512] = {0};

    begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 512);
    put(f, frame, 512, 2);
    begin(f, NE2000_CR_RD_READ, TX_ADDR, 512);
    get(f, back, 200, 2);
    assert_int_equal(f->page.bufpio.window[BUFPIO_ENTRIES_MIN].port, NIC_RIG_PORT + NE2000_DATA);
    bufpio_take_out(&f->page.bufpio);
    f->base = 0xd020;
    bus_pci_write(f->nic.bus, NIC_RIG_SBDF, PCI_BAR0, 4, f->base);
    bufpio_arm(&f->page.bufpio);
    uint64_t before = f->page.requests;
    get(f, back + 200, 312, 2);
    assert_in_range(f->page.requests - before, 2, 3);
    assert_memory_equal(back, frame, 512);
    assert_int_equal(f->page.bufpio.window[BUFPIO_ENTRIES_MIN].port, 0xd020 + NE2000_DATA);
}

/* Nothing for the page: it does not answer bytes, and wider accesses move one, too. */
static void byte_mode_has_no_window(void **state)
{
    struct fixture *f = *state;
    uint8_t back[64];

    out(f, NE2000_DCR, 1, NE2000_DCR_LS);
    begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 64);
    put(f, frame, 32, 1);
    for (unsigned i = 32; i < 64; i++)
        out(f, NE2000_DATA, i % 2 ? 2 : 4, frame[i] | 0x55aa00u);
    assert_true(done(f));
    begin(f, NE2000_CR_RD_READ, TX_ADDR, 64);
    for (unsigned i = 0; i < 64; i++)
        back[i] = (uint8_t)in(f, NE2000_DATA, i % 3 ? 1 : 2);
    assert_true(done(f));
    assert_memory_equal(back, frame, 64);
    assert_int_equal(f->page.hv.answered, 0);
}

/* The local DMA goes on beside the remote one: the next word is what is there by then. */
static void a_frame_that_comes_in_meanwhile_is_seen(void **state)
{
    struct fixture *f = *state;
    uint8_t back[304], was[304];
    uint16_t at = RING + NE2000_PAGE; /* CURR */

    look(f, at, was, sizeof(was));
    begin(f, NE2000_CR_RD_READ, at, sizeof(back));
    get(f, back, 100, 2);
    nic_rig_receive(&f->nic, frame, 296);
    get(f, back + 100, sizeof(back) - 100, 2);
    assert_memory_equal(back, was, 100);
    assert_memory_equal(back + 100, frame + 96, 200);
    assert_int_equal(crda(f), at + sizeof(back));
}

static void what_was_written_is_in_the_frame_that_leaves_later(void **state)
{
    struct fixture *f = *state;
    uint8_t zero[128] = {0};

    begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 128);
    put(f, zero, 128, 2);
    f->nic.port.busy = true;
    out(f, NE2000_TPSR, 1, NE2000_RIG_TX);
    out(f, NE2000_TBCR0, 2, 128);
    out(f, NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_TXP | NE2000_CR_RD_ABORT);
    begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 128);
    put(f, frame, 64, 2);
    f->nic.port.busy = false;
    net_port_writable(&f->nic.port.port);
    nic_rig_settle(&f->nic);
    put(f, frame + 64, 64, 2);
    assert_int_equal(f->nic.n_sent, 1);
    assert_memory_equal(f->nic.sent[0].data, frame, 64);
    assert_memory_equal(f->nic.sent[0].data + 64, zero, 64);
}

static void a_state_saved_in_mid_transfer_has_what_moved(void **state)
{
    struct fixture *f = *state;
    uint8_t back[400], *saved;
    size_t size;

    begin(f, NE2000_CR_RD_WRITE, TX_ADDR, 400);
    put(f, frame, 154, 2);
    bufpio_take_out(&f->page.bufpio);
    assert_true(f->nic.dev->ops->quiesce(f->nic.dev));
    saved = nic_rig_save(&f->nic, &size);
    assert_int_equal(nic_rig_migrate(&f->nic, saved, size), 0);
    free(saved);
    f->nic.dev->ops->resume(f->nic.dev);
    bufpio_arm(&f->page.bufpio);
    put(f, frame + 154, 400 - 154, 2);
    assert_true(done(f));
    look(f, TX_ADDR, back, 400);
    assert_memory_equal(back, frame, 400);
}

/* ---- against the same without the page ------------------------------------------------------- */

static uint64_t random_state;

static unsigned pick(unsigned below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % below;
}

static void both_out(unsigned reg, unsigned size, uint32_t value)
{
    out(&with, reg, size, value);
    out(&without, reg, size, value);
}

static void both_in(unsigned reg, unsigned size)
{
    uint32_t a = in(&with, reg, size), b = in(&without, reg, size);

    if (a != b)
        fail_msg("register %#x, %u bytes: %#x, without the page %#x", reg, size, a, b);
}

static void both_begin(void)
{
    static const uint16_t addr[] = {
        0, 30, TX_ADDR, TX_ADDR + 255, RING, RING_HI - 20, RING_HI - 256, 0x7ff0, 0x3ff8, 0xfff0};
    uint8_t rd = pick(8) ? pick(2) ? NE2000_CR_RD_READ : NE2000_CR_RD_WRITE : NE2000_CR_RD_SEND;
    uint16_t at = addr[pick(sizeof(addr) / sizeof(addr[0]))], bytes = (uint16_t)pick(600);

    begin(&with, rd, at, bytes);
    begin(&without, rd, at, bytes);
}

static void both_frame(void)
{
    uint32_t bytes = 60 + pick(1400);

    nic_rig_receive(&with.nic, frame, bytes);
    nic_rig_receive(&without.nic, frame, bytes);
    nic_rig_settle(&with.nic);
    nic_rig_settle(&without.nic);
}

static void one_step(void)
{
    switch (pick(24)) {
    case 0:
    case 1:
    case 2:
    case 3:
        both_begin();
        break;
    case 4:
        both_out(NE2000_CR, 1, NE2000_CR_STA | NE2000_CR_RD_ABORT);
        break;
    case 5:
        both_in(NE2000_CRDA0 + pick(2), 1);
        break;
    case 6:
        both_in(NE2000_ISR, 1);
        break;
    case 7:
        both_frame();
        break;
    case 8:
        both_out(NE2000_DCR, 1, NE2000_DCR_WTS | NE2000_DCR_LS | (pick(2) ? NE2000_DCR_ARM : 0));
        break;
    case 9:
        both_out(NE2000_RBCR0 + pick(2), 1, pick(8)); /* in mid-transfer */
        break;
    case 10:
        both_out(NE2000_BNRY, 1, NE2000_RIG_START + pick(8));
        break;
    case 11:
        if (pick(8) == 0) {
            both_in(NE2000_RESET, 1);
            ne2000_rig_start(&with.nic);
            ne2000_rig_start(&without.nic);
        }
        break;
    default: {
        unsigned n = pick(120), size = pick(6) ? 2 : pick(5) ? 4 : 1;
        bool write = pick(2);

        for (unsigned i = 0; i < n; i++) {
            if (write)
                both_out(NE2000_DATA, size, pick(1u << 31));
            else
                both_in(NE2000_DATA, size);
        }
    }
    }
}

static void every_sequence_does_what_it_does_without_the_page(void **state)
{
    for (unsigned round = 0; round < 60; round++) {
        size_t a_size, b_size;
        uint8_t *a, *b;

        random_state = round;
        for (unsigned step = 0; step < 400; step++) {
            one_step();
            assert_int_equal(nic_rig_inta(&with.nic), nic_rig_inta(&without.nic));
        }
        bufpio_take_out(&with.page.bufpio);
        a = nic_rig_save(&with.nic, &a_size);
        b = nic_rig_save(&without.nic, &b_size);
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
        free(a);
        free(b);
    }
    assert_true(with.page.hv.answered > 100000);
    assert_int_equal(without.page.hv.answered, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_packet_moved_by_words_or_doublewords_is_two_requests),
        T(rdc_comes_with_the_last_element),
        T(a_window_goes_on_at_pstart),
        T(registers_say_where_the_guest_is),
        T(an_abort_in_mid_transfer_loses_and_misplaces_nothing),
        T(the_entry_moves_with_the_bar),
        T(byte_mode_has_no_window),
        T(a_frame_that_comes_in_meanwhile_is_seen),
        T(what_was_written_is_in_the_frame_that_leaves_later),
        T(a_state_saved_in_mid_transfer_has_what_moved),
        T(every_sequence_does_what_it_does_without_the_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
