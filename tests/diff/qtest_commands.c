// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/diff/qtest_commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 5
#define BYTES_MAX (64u << 20) /* a transfer to or from memory */

static void reserve(struct qtest *qtest, size_t len)
{
    if (qtest->out_size - qtest->out_len > len)
        return;
    qtest->out_size = 2 * (qtest->out_len + len) + 4096;
    qtest->out = realloc(qtest->out, qtest->out_size);
    if (!qtest->out) {
        fprintf(stderr, "qtest_server: out of memory\n");
        exit(1);
    }
}

__attribute__((format(printf, 2, 3))) static void say(struct qtest *qtest, const char *format, ...)
{
    va_list args;

    reserve(qtest, 256);
    va_start(args, format);
    qtest->out_len += (size_t)vsnprintf(qtest->out + qtest->out_len, 256, format, args);
    va_end(args);
}

static void on_irq(void *arg, unsigned irq, bool level)
{
    struct qtest *qtest = arg;

    if (qtest->intercepted)
        say(qtest, "IRQ %s %u\n", level ? "raise" : "lower", irq);
}

/* Guest-physical memory: RAM, and above it what devices claim. */

static void memory_read(struct qtest *qtest, uint64_t addr, uint8_t *ret_bytes, uint64_t len)
{
    struct bus *bus = machine_bus(qtest->machine.machine);

    for (uint64_t i = 0; i < len; i++) {
        if (addr + i < qtest->machine.fake.ram_size)
            ret_bytes[i] = qtest->machine.fake.ram[addr + i];
        else
            ret_bytes[i] = (uint8_t)bus_read(bus, BUS_MMIO, addr + i, 1);
    }
}

static void memory_write(struct qtest *qtest, uint64_t addr, const uint8_t *bytes, uint64_t len)
{
    struct bus *bus = machine_bus(qtest->machine.machine);

    for (uint64_t i = 0; i < len; i++) {
        if (addr + i < qtest->machine.fake.ram_size)
            qtest->machine.fake.ram[addr + i] = bytes[i];
        else
            bus_write(bus, BUS_MMIO, addr + i, 1, bytes[i]);
    }
}

static bool is_ram(const struct qtest *qtest, uint64_t addr, unsigned size)
{
    return addr < qtest->machine.fake.ram_size && size <= qtest->machine.fake.ram_size - addr;
}

static uint64_t memory_get(struct qtest *qtest, uint64_t addr, unsigned size)
{
    uint8_t bytes[8];
    uint64_t value = 0;

    if (!is_ram(qtest, addr, size))
        return bus_read(machine_bus(qtest->machine.machine), BUS_MMIO, addr, size);
    memory_read(qtest, addr, bytes, size);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static void memory_put(struct qtest *qtest, uint64_t addr, unsigned size, uint64_t value)
{
    uint8_t bytes[8];

    if (!is_ram(qtest, addr, size)) {
        bus_write(machine_bus(qtest->machine.machine), BUS_MMIO, addr, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    memory_write(qtest, addr, bytes, size);
}

static unsigned width(char letter)
{
    return letter == 'b' ? 1 : letter == 'w' ? 2 : letter == 'l' ? 4 : 8;
}

/* The commands. `n` are their numbers, `words` all words; a command of the table has as many words
 * as it says. */

static void do_in(struct qtest *qtest, char **words, const uint64_t *n)
{
    unsigned size = width(words[0][2]);
    uint64_t value = bus_read(machine_bus(qtest->machine.machine), BUS_PORT, n[0], size);

    qtest_machine_settle(&qtest->machine);
    say(qtest, "OK 0x%04x\n", (uint32_t)value);
}

static void do_out(struct qtest *qtest, char **words, const uint64_t *n)
{
    unsigned size = width(words[0][3]);
    uint64_t value = n[1] & (UINT32_MAX >> (32 - 8 * size));

    bus_write(machine_bus(qtest->machine.machine), BUS_PORT, n[0], size, value);
    qtest_machine_settle(&qtest->machine);
    say(qtest, "OK\n");
}

static void do_get(struct qtest *qtest, char **words, const uint64_t *n)
{
    uint64_t value = memory_get(qtest, n[0], width(words[0][4]));

    say(qtest, "OK 0x%016llx\n", (unsigned long long)value);
}

static void do_put(struct qtest *qtest, char **words, const uint64_t *n)
{
    memory_put(qtest, n[0], width(words[0][5]), n[1]);
    qtest_machine_settle(&qtest->machine);
    say(qtest, "OK\n");
}

static uint8_t *buffer(uint64_t len)
{
    uint8_t *bytes = len <= BYTES_MAX ? calloc(1, len + 4) : NULL;

    if (!bytes) {
        fprintf(stderr, "qtest_server: a transfer of %llu bytes\n", (unsigned long long)len);
        exit(1);
    }
    return bytes;
}

static void do_read(struct qtest *qtest, char **words, const uint64_t *n)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *bytes = buffer(n[1]);

    memory_read(qtest, n[0], bytes, n[1]);
    say(qtest, "OK 0x");
    reserve(qtest, 2 * n[1] + 1);
    for (uint64_t i = 0; i < n[1]; i++) {
        qtest->out[qtest->out_len++] = digits[bytes[i] >> 4];
        qtest->out[qtest->out_len++] = digits[bytes[i] & 15];
    }
    say(qtest, "\n");
    free(bytes);
}

static unsigned nibble(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') & 15 : ((unsigned)digit + 9) & 15;
}

static void do_write(struct qtest *qtest, char **words, const uint64_t *n)
{
    uint8_t *bytes = buffer(n[1]);
    const char *hex = words[3];

    if (!strncmp(hex, "0x", 2))
        hex += 2;
    for (uint64_t i = 0; i < n[1] && hex[0] && hex[1]; i++, hex += 2)
        bytes[i] = (uint8_t)(nibble(hex[0]) << 4 | nibble(hex[1]));
    memory_write(qtest, n[0], bytes, n[1]);
    qtest_machine_settle(&qtest->machine);
    free(bytes);
    say(qtest, "OK\n");
}

/* RFC 4648. */
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void do_b64read(struct qtest *qtest, char **words, const uint64_t *n)
{
    uint8_t *bytes = buffer(n[1]); /* with zeros behind */

    memory_read(qtest, n[0], bytes, n[1]);
    say(qtest, "OK ");
    reserve(qtest, n[1] / 3 * 4 + 8);
    for (uint64_t i = 0; i < n[1]; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (unsigned j = 0; j < 4; j++)
            qtest->out[qtest->out_len++] = i + j > n[1] ? '=' : base64[bits >> (18 - 6 * j) & 63];
    }
    say(qtest, "\n");
    free(bytes);
}

static void decode(const char *text, uint8_t *ret_bytes, uint64_t len)
{
    uint32_t bits = 0;
    unsigned have = 0;
    uint64_t at = 0;

    for (const char *c = text; *c && at < len; c++) {
        const char *digit = strchr(base64, *c);
        if (!digit)
            break; /* the padding */
        bits = bits << 6 | (uint32_t)(digit - base64);
        have += 6;
        if (have >= 8) {
            have -= 8;
            ret_bytes[at++] = (uint8_t)(bits >> have);
        }
    }
}

static void do_b64write(struct qtest *qtest, char **words, const uint64_t *n)
{
    uint8_t *bytes = buffer(n[1]);

    decode(words[3], bytes, n[1]);
    memory_write(qtest, n[0], bytes, n[1]);
    qtest_machine_settle(&qtest->machine);
    free(bytes);
    say(qtest, "OK\n");
}

/* Ours only: so many bytes come in from the network. */
static void do_b64frame(struct qtest *qtest, char **words, const uint64_t *n)
{
    uint8_t *bytes = buffer(n[0]);

    decode(words[2], bytes, n[0]);
    qtest_machine_receive(&qtest->machine, bytes, (uint32_t)n[0]);
    qtest_machine_settle(&qtest->machine);
    free(bytes);
    say(qtest, "OK\n");
}

static void do_memset(struct qtest *qtest, char **words, const uint64_t *n)
{
    uint8_t *bytes = buffer(n[1]);

    memset(bytes, (int)(n[2] & 0xff), n[1]);
    memory_write(qtest, n[0], bytes, n[1]);
    qtest_machine_settle(&qtest->machine);
    free(bytes);
    say(qtest, "OK\n");
}

static void tell_clock(struct qtest *qtest)
{
    qtest_machine_settle(&qtest->machine);
    say(qtest, "OK %llu\n", (unsigned long long)qtest->machine.fake.now);
}

static void do_clock_step(struct qtest *qtest, char **words, const uint64_t *n)
{
    fake_host_advance(&qtest->machine.fake, n[0]);
    tell_clock(qtest);
}

/* To the next deadline. */
static void do_clock_next(struct qtest *qtest, char **words, const uint64_t *n)
{
    struct fake_host *fake = &qtest->machine.fake;
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < fake->timers_armed; i++) {
        if (fake->timers[i]->deadline_ns < next)
            next = fake->timers[i]->deadline_ns;
    }
    if (next != UINT64_MAX)
        fake_host_advance(fake, next > fake->now ? next - fake->now : 0);
    tell_clock(qtest);
}

static void do_clock_set(struct qtest *qtest, char **words, const uint64_t *n)
{
    struct fake_host *fake = &qtest->machine.fake;

    if (n[0] > fake->now)
        fake_host_advance(fake, n[0] - fake->now);
    tell_clock(qtest);
}

/* Whichever device is named: there is one set of lines, ISA's. */
static void do_intercept(struct qtest *qtest, char **words, const uint64_t *n)
{
    qtest->intercepted = true;
    say(qtest, "OK\n");
}

static void do_endianness(struct qtest *qtest, char **words, const uint64_t *n)
{
    say(qtest, "OK little\n");
}

static const struct command {
    const char *name;
    unsigned words, numbers; /* the words from the second on that are numbers */
    void (*run)(struct qtest *qtest, char **words, const uint64_t *n);
} commands[] = {
    {"inb", 2, 1, do_in},
    {"inw", 2, 1, do_in},
    {"inl", 2, 1, do_in},
    {"outb", 3, 2, do_out},
    {"outw", 3, 2, do_out},
    {"outl", 3, 2, do_out},
    {"readb", 2, 1, do_get},
    {"readw", 2, 1, do_get},
    {"readl", 2, 1, do_get},
    {"readq", 2, 1, do_get},
    {"writeb", 3, 2, do_put},
    {"writew", 3, 2, do_put},
    {"writel", 3, 2, do_put},
    {"writeq", 3, 2, do_put},
    {"read", 3, 2, do_read},
    {"write", 4, 2, do_write},
    {"b64read", 3, 2, do_b64read},
    {"b64write", 4, 2, do_b64write},
    {"b64frame", 3, 1, do_b64frame},
    {"memset", 4, 3, do_memset},
    {"clock_step", 2, 1, do_clock_step},
    {"clock_step", 1, 0, do_clock_next},
    {"clock_set", 2, 1, do_clock_set},
    {"irq_intercept_in", 2, 0, do_intercept},
    {"irq_intercept_out", 2, 0, do_intercept},
    {"endianness", 1, 0, do_endianness},
};

static bool parse_numbers(char **words, unsigned count, uint64_t *ret_numbers)
{
    for (unsigned i = 0; i < count; i++) {
        char *end;
        ret_numbers[i] = strtoull(words[i + 1], &end, 0);
        if (end == words[i + 1] || *end)
            return false;
    }
    return true;
}

void qtest_command(struct qtest *qtest, char *line)
{
    char *words[WORDS_MAX] = {0};
    uint64_t numbers[WORDS_MAX] = {0};
    unsigned n_words = 0;

    for (char *word; n_words < WORDS_MAX && (word = strsep(&line, " "));) {
        if (*word)
            words[n_words++] = word;
    }
    for (unsigned i = 0; n_words && i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct command *command = &commands[i];
        if (strcmp(words[0], command->name) || n_words != command->words)
            continue;
        if (parse_numbers(words, command->numbers, numbers))
            command->run(qtest, words, numbers);
        else
            say(qtest, "FAIL %.100s: not a number\n", words[0]);
        return;
    }
    say(qtest, "FAIL Unknown command '%.100s'\n", n_words ? words[0] : "");
}

void qtest_init(struct qtest *qtest, const struct qtest_options *options)
{
    memset(qtest, 0, sizeof(*qtest));
    qtest_machine_init(&qtest->machine, options);
    qtest->machine.irq = on_irq;
    qtest->machine.irq_arg = qtest;
}

void qtest_finish(struct qtest *qtest)
{
    qtest_machine_settle(&qtest->machine);
    qtest_machine_finish(&qtest->machine);
    free(qtest->out);
}
