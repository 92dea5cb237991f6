/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/device_rig.h"

#define RBR 0x3f8
#define IER 0x3f9
#define IIR 0x3fa
#define FCR 0x3fa
#define LCR 0x3fb
#define MCR 0x3fc
#define LSR 0x3fd
#define MSR 0x3fe
#define SCR 0x3ff

#define LSR_IDLE 0x60

/* A line whose other end takes `credit` bytes. */
struct chr {
    const struct chr_client_ops *ops;
    void *owner;
    char sent[256];
    unsigned n_sent, credit, accepts, dropped;
    bool given_up;
};

void chr_bind(struct chr *chr, const struct chr_client_ops *ops, void *owner)
{
    chr->ops = ops;
    chr->owner = owner;
}

bool chr_write(struct chr *chr, uint8_t byte)
{
    if (!chr->credit && chr->given_up)
        chr->dropped++;
    if (!chr->credit)
        return chr->given_up;
    chr->credit--;
    chr->sent[chr->n_sent++ % sizeof(chr->sent)] = (char)byte;
    return true;
}

void chr_give_up(struct chr *chr)
{
    chr->given_up = true;
}

void chr_accept(struct chr *chr)
{
    chr->accepts++;
}

/* What a chr does when its descriptor is readable; returns how much was taken. */
static size_t type(struct chr *chr, const char *text, size_t len)
{
    size_t room = chr->ops->room(chr->owner);
    size_t n = len < room ? len : room;

    if (n)
        chr->ops->input(chr->owner, (const uint8_t *)text, n);
    return n;
}

static struct rig rig;
static struct chr line;

static int setup(void **state)
{
    line = (struct chr){.credit = 100};
    rig_init(&rig);
    rig.spec.serial[0] = &line;
    rig_create(&rig, uart16550_create);
    return 0;
}

static int teardown(void **state)
{
    rig_finish(&rig);
    assert_null(line.ops);
    return 0;
}

static uint8_t in(uint16_t port)
{
    return (uint8_t)rig_in(&rig, port, 1);
}

static void out(uint16_t port, uint8_t value)
{
    rig_out(&rig, port, 1, value);
}

/* Interrupts reach the machine: OUT2. */
static void enable(uint8_t ier, uint8_t fcr)
{
    out(MCR, 0x0b);
    out(FCR, fcr);
    out(IER, ier);
}

static void registers_hold_what_drivers_probe(void **state)
{
    assert_int_equal(in(LSR), LSR_IDLE);
    assert_int_equal(in(IIR), 0x01);
    assert_int_equal(in(MSR), 0xb0);
    out(SCR, 0x5a);
    assert_int_equal(in(SCR), 0x5a);
    out(IER, 0xff);
    assert_int_equal(in(IER), 0x0f);
    out(IER, 0);
    out(MCR, 0xff);
    assert_int_equal(in(MCR), 0x1f);
    out(MCR, 0);
    out(LCR, 0x83);
    out(RBR, 0x0c);
    out(IER, 0x01);
    assert_int_equal(in(RBR), 0x0c);
    assert_int_equal(in(IER), 0x01);
    out(LCR, 0x03);
    assert_int_equal(in(IER), 0x00);
    assert_int_equal(line.n_sent, 0);
    /* A 16550A: both bits, and only while the FIFOs are on. */
    assert_int_equal(in(IIR)&0xc0, 0x00);
    out(FCR, 0x01);
    assert_int_equal(in(IIR)&0xc0, 0xc0);
    out(FCR, 0x00);
    assert_int_equal(in(IIR)&0xc0, 0x00);
}

static void output_reaches_the_line(void **state)
{
    for (const char *c = "console\n"; *c; c++) {
        assert_int_equal(in(LSR)&LSR_IDLE, LSR_IDLE);
        out(RBR, (uint8_t)*c);
    }
    assert_int_equal(line.n_sent, 8);
    assert_memory_equal(line.sent, "console\n", 8);
    assert_string_equal(rig.dev->counters[1].name, "serial0_tx_bytes");
    assert_int_equal(*rig.dev->counters[1].value, 8);
}

static void an_empty_transmitter_interrupts_once(void **state)
{
    enable(0x02, 0x01);
    assert_true(rig.fake.isa[4]);
    assert_int_equal(in(IIR), 0xc2);
    assert_false(rig.fake.isa[4]);
    assert_int_equal(in(IIR), 0xc1);
    out(RBR, 'x');
    assert_true(rig.fake.isa[4]);
    out(MCR, 0x0b); /* does not make another */
    assert_int_equal(in(IIR), 0xc2);
    out(MCR, 0x0b);
    assert_int_equal(in(IIR), 0xc1);
    out(IER, 0x00);
    out(IER, 0x02); /* enabling with the holding register empty does: drivers rely on it */
    assert_int_equal(in(IIR), 0xc2);
}

static void a_slow_reader_holds_the_transmitter_up(void **state)
{
    enable(0x02, 0x01);
    in(IIR);
    line.credit = 2;
    for (unsigned i = 0; i < 18; i++)
        out(RBR, (uint8_t)('a' + i));
    assert_int_equal(line.n_sent, 2);
    assert_int_equal(in(LSR)&LSR_IDLE, 0);
    assert_false(rig.fake.isa[4]);
    out(RBR, 'Z'); /* without looking: overwrites the last */
    line.credit = 5;
    line.ops->writable(line.owner);
    assert_int_equal(line.n_sent, 7);
    assert_int_equal(in(LSR)&LSR_IDLE, 0);
    line.credit = 100;
    line.ops->writable(line.owner);
    assert_memory_equal(line.sent, "abcdefghijklmnopqZ", 18);
    assert_int_equal(line.n_sent, 18);
    assert_int_equal(in(LSR)&LSR_IDLE, LSR_IDLE);
    assert_true(rig.fake.isa[4]);
    line.ops->writable(line.owner); /* nothing to say */
    assert_int_equal(line.n_sent, 18);
}

static void clearing_the_fifo_drops_what_waits(void **state)
{
    out(FCR, 0x01);
    line.credit = 0;
    out(RBR, 'x');
    assert_int_equal(in(LSR)&LSR_IDLE, 0);
    out(FCR, 0x05);
    assert_int_equal(in(LSR)&LSR_IDLE, LSR_IDLE);
    assert_int_equal(type(&line, "abc", 3), 3);
    out(FCR, 0x03);
    assert_int_equal(in(LSR), LSR_IDLE);
    assert_int_equal(type(&line, "abc", 3), 3);
    out(FCR, 0x00); /* so does leaving FIFO mode */
    assert_int_equal(in(LSR), LSR_IDLE);
}

static void input_without_fifos_is_one_byte_at_a_time(void **state)
{
    enable(0x01, 0x00);
    assert_int_equal(type(&line, "hello", 5), 1);
    assert_true(rig.fake.isa[4]);
    assert_int_equal(in(IIR), 0x04);
    assert_int_equal(in(LSR), LSR_IDLE | 0x01);
    assert_int_equal(type(&line, "ello", 4), 0);
    unsigned accepts = line.accepts;
    assert_int_equal(in(RBR), 'h');
    assert_int_equal(line.accepts, accepts + 1);
    assert_false(rig.fake.isa[4]);
    assert_int_equal(in(IIR), 0x01);
    assert_int_equal(type(&line, "ello", 4), 1);
    assert_int_equal(in(RBR), 'e');
    assert_int_equal(line.accepts, accepts + 1);
}

static void the_trigger_level_decides_when_input_interrupts(void **state)
{
    static const struct {
        uint8_t fcr;
        size_t level;
    } triggers[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
    static const char text[] = "0123456789abcdef";

    for (unsigned i = 0; i < 4; i++) {
        enable(0x01, triggers[i].fcr | 0x02);
        type(&line, text, triggers[i].level - 1);
        assert_false(rig.fake.isa[4]);
        type(&line, text + triggers[i].level - 1, 1);
        assert_true(rig.fake.isa[4]);
        assert_int_equal(in(IIR), 0xc4);
        assert_int_equal(in(RBR), '0');
        assert_int_equal(in(IIR), 0xc1);
    }
    out(FCR, 0xc3);
    assert_int_equal(type(&line, text, 16), 16);
    assert_int_equal(type(&line, text, 16), 0);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(in(RBR), text[i]);
    assert_int_equal(in(RBR), 0); /* empty */
}

static void input_below_the_trigger_times_out(void **state)
{
    out(LCR, 0x83);
    out(RBR, 0x0c); /* 9600 baud */
    out(IER, 0x00);
    out(LCR, 0x03);
    enable(0x01, 0xc1);
    type(&line, "ab", 2);
    fake_host_advance(&rig.fake, 4000000);
    assert_false(rig.fake.isa[4]);
    type(&line, "c", 1); /* starts it anew */
    fake_host_advance(&rig.fake, 4000000);
    assert_false(rig.fake.isa[4]);
    fake_host_advance(&rig.fake, 300000);
    assert_true(rig.fake.isa[4]);
    assert_int_equal(in(IIR), 0xcc);
    assert_int_equal(in(RBR), 'a');
    assert_false(rig.fake.isa[4]);
    fake_host_advance(&rig.fake, 5000000);
    assert_int_equal(in(IIR), 0xcc);
    in(RBR);
    in(RBR);
    fake_host_advance(&rig.fake, 5000000);
    assert_int_equal(in(IIR), 0xc1);
    assert_int_equal(rig.fake.timers_armed, 0); /* idle costs nothing */
}

static void sources_are_told_in_order_of_priority(void **state)
{
    enable(0x0f, 0x01);
    out(MCR, 0x1b); /* loopback: modem lines fall in with our outputs */
    out(RBR, 'r');
    out(LCR, 0x40); /* a break, that is an error behind 'r' */
    assert_int_equal(in(IIR), 0xc4);
    assert_int_equal(in(RBR), 'r');
    assert_int_equal(in(IIR), 0xc6);
    assert_int_equal(in(LSR), LSR_IDLE | 0x91);
    assert_int_equal(in(IIR), 0xc4);
    assert_int_equal(in(LSR), LSR_IDLE | 0x01);
    assert_int_equal(in(RBR), 0);
    assert_int_equal(in(IIR), 0xc2);
    out(MCR, 0x1a); /* DTR falls: DSR changes */
    assert_int_equal(in(IIR), 0xc0);
    assert_int_equal(in(MSR)&0x0f, 0x02);
    assert_int_equal(in(IIR), 0xc1);
    assert_false(rig.fake.isa[4]);
}

static void loopback_joins_output_to_input_and_lines(void **state)
{
    out(MCR, 0x10);
    assert_int_equal(in(MSR)&0xf0, 0x00);
    out(MCR, 0x12); /* RTS: Linux's probe wants CTS */
    out(MCR, 0x1a); /* and OUT2: DCD */
    assert_int_equal(in(MSR)&0xf0, 0x90);
    out(MCR, 0x15);
    assert_int_equal(in(MSR)&0xf0, 0x60);
    out(MCR, 0x10);
    assert_int_equal(in(MSR)&0x04, 0x04); /* the trailing edge of RI */
    out(RBR, 'q');
    assert_int_equal(line.n_sent, 0);
    assert_int_equal(in(LSR)&1, 1);
    assert_int_equal(type(&line, "outside", 7), 0);
    out(RBR, 'w'); /* one register: the first is lost */
    assert_int_equal(in(LSR)&0x03, 0x03);
    assert_int_equal(in(LSR)&0x03, 0x01);
    assert_int_equal(in(RBR), 'w');
    unsigned accepts = line.accepts;
    out(MCR, 0x00);
    assert_int_equal(line.accepts, accepts + 1);
    assert_int_equal(in(MSR)&0xf0, 0xb0);
}

static void a_full_fifo_in_loopback_overruns_and_keeps_what_it_has(void **state)
{
    out(FCR, 0x01);
    out(MCR, 0x10);
    for (unsigned i = 0; i < 40; i++)
        out(RBR, (uint8_t)i);
    assert_int_equal(in(LSR)&0x02, 0x02);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(in(RBR), i);
    assert_int_equal(in(LSR)&0x01, 0);
}

static void out2_gates_the_interrupt_line(void **state)
{
    out(IER, 0x02);
    assert_false(rig.fake.isa[4]);
    out(MCR, 0x08);
    assert_true(rig.fake.isa[4]);
    out(MCR, 0x00);
    assert_false(rig.fake.isa[4]);
}

static void a_port_without_a_line_swallows_output(void **state)
{
    rig.dev->ops->destroy(rig.dev);
    rig.spec.serial[0] = NULL;
    rig_create(&rig, uart16550_create);
    for (unsigned i = 0; i < 100; i++)
        out(RBR, 'x');
    assert_int_equal(in(LSR), LSR_IDLE);
    out(MCR, 0x10);
    out(RBR, 'l');
    assert_int_equal(in(RBR), 'l');
    out(MCR, 0x00);
    rig_reload(&rig);
    assert_int_equal(rig_in(&rig, 0x2fd, 1), 0xff); /* and there is no second port */
}

static void the_second_port_is_its_own(void **state)
{
    struct chr second = {.credit = 10};

    rig.dev->ops->destroy(rig.dev);
    rig.spec.serial[1] = &second;
    rig_create(&rig, uart16550_create);
    out(0x2f8, '2');
    out(0x3f8, '1');
    assert_int_equal(second.sent[0], '2');
    assert_int_equal(line.sent[0], '1');
    out(0x2fc, 0x08);
    out(0x2f9, 0x01);
    type(&second, "x", 1);
    assert_true(rig.fake.isa[3]);
    assert_false(rig.fake.isa[4]);
    rig_reload(&rig);
    assert_int_equal(in(0x2f8), 'x');
    rig.dev->ops->destroy(rig.dev);
    rig.dev = NULL;
    assert_null(second.ops);
}

/* Uses what a hostile state left behind. */
static void poke(struct rig *unused)
{
    bool fifos = in(IIR)&0xc0;

    in(MSR);
    for (unsigned i = 0; i < (fifos ? 16 : 1); i++)
        in(RBR);
    /* No more than the part can hold. */
    if (!(in(LCR)&0x80))
        assert_int_equal(in(LSR)&0x01, 0);
    out(RBR, 'x');
    fake_host_advance(&rig.fake, 1000000000);
}

static void state_survives_with_bytes_both_ways(void **state)
{
    enable(0x03, 0xc1);
    type(&line, "in", 2);
    line.credit = 0;
    out(RBR, 'o');
    out(RBR, 'u');
    rig.fake.isa[4] = false;
    rig_reload(&rig);
    assert_int_equal(in(LSR), 0x01);
    fake_host_advance(&rig.fake, 1000000000);
    assert_int_equal(in(IIR), 0xcc);
    rig_reload(&rig);
    assert_true(rig.fake.isa[4]);
    assert_int_equal(in(IIR), 0xcc);
    rig_hostile_states(&rig, poke);
    assert_int_equal(in(RBR), 'i');
    line.credit = 10;
    line.ops->writable(line.owner);
    assert_memory_equal(line.sent, "ou", 2);
    rig.dev->ops->reset(rig.dev);
    assert_int_equal(in(LSR), LSR_IDLE);
    assert_int_equal(in(IER), 0);
    assert_false(rig.fake.isa[4]);
    assert_int_equal(rig.fake.timers_armed, 0);
}

static void a_listener_who_never_reads_holds_the_guest_up_for_a_while_only(void **state)
{
    line.credit = 0;
    out(RBR, 'o');
    assert_int_equal(in(LSR)&0x20, 0);
    fake_host_advance(&rig.fake, UINT64_C(1900000000));
    assert_int_equal(in(LSR)&0x20, 0);
    assert_false(line.given_up);
    fake_host_advance(&rig.fake, UINT64_C(200000000));
    assert_true(line.given_up);
    assert_int_equal(line.dropped, 1);
    assert_int_equal(in(LSR), LSR_IDLE);
    assert_int_equal(rig.fake.timers_armed, 0);
}

static void bytes_that_a_load_can_send_are_sent(void **state)
{
    enable(0x02, 0x01);
    in(IIR);
    line.credit = 0;
    out(RBR, 'o');
    assert_false(rig.fake.isa[4]);

    uint8_t buf[256];
    struct state_writer writer;
    struct state_reader reader;
    state_writer_init(&writer, buf, sizeof(buf));
    rig.dev->ops->save(rig.dev, &writer);
    rig.dev->ops->destroy(rig.dev);
    rig_create(&rig, uart16550_create);
    line.credit = 1;
    state_reader_init(&reader, buf, writer.pos);
    rig.dev->ops->load(rig.dev, &reader, 1);
    assert_int_equal(reader.error, 0);
    assert_int_equal(line.n_sent, 1);
    assert_true(rig.fake.isa[4]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_hold_what_drivers_probe),
        TEST(output_reaches_the_line),
        TEST(an_empty_transmitter_interrupts_once),
        TEST(a_slow_reader_holds_the_transmitter_up),
        TEST(clearing_the_fifo_drops_what_waits),
        TEST(input_without_fifos_is_one_byte_at_a_time),
        TEST(the_trigger_level_decides_when_input_interrupts),
        TEST(input_below_the_trigger_times_out),
        TEST(sources_are_told_in_order_of_priority),
        TEST(loopback_joins_output_to_input_and_lines),
        TEST(a_full_fifo_in_loopback_overruns_and_keeps_what_it_has),
        TEST(out2_gates_the_interrupt_line),
        TEST(a_port_without_a_line_swallows_output),
        TEST(the_second_port_is_its_own),
        TEST(state_survives_with_bytes_both_ways),
        TEST(a_listener_who_never_reads_holds_the_guest_up_for_a_while_only),
        TEST(bytes_that_a_load_can_send_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
