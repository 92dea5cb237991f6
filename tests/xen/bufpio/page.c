/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pio.h"
#include "server.h"

static struct bufpio_entry *entry(struct tester *t, uint32_t index)
{
    return (struct bufpio_entry *)t->page + index;
}

static uint64_t random_of(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Streams: the device model's half of the protocol (ioreq/bufpio_abi.h, "Arming"). */

static uint16_t unit_at(struct tester *t, uint32_t at)
{
    uint16_t unit;

    memcpy(&unit, t->page + at, sizeof(unit));
    return unit;
}

static void unit_written(struct tester *t, uint16_t unit)
{
    struct stream *stream = &t->stream;
    unsigned vcpu = unit >> 15;

    if ((unit & 0x7fff) != (stream->expected[vcpu] & 0x7fff)) {
        if (!stream->wrong++)
            printf("pio: vCPU %u wrote %#x, not %#x\n", vcpu, unit & 0x7fff,
                   stream->expected[vcpu] & 0x7fff);
        stream->expected[vcpu] = unit & 0x7fff;
    }
    stream->expected[vcpu]++;
}

/* Disarms, and accounts for what the guest got or gave. */
static void stream_disarm(struct tester *t)
{
    struct stream *stream = &t->stream;
    uint64_t word;
    uint32_t pointer;

    if (!stream->armed)
        return;
    word = __atomic_exchange_n(&entry(t, stream->entry)->word, 0, __ATOMIC_SEQ_CST);
    pointer = (uint32_t)(word >> 32);
    stream->armed = false;
    stream->disarmed++;
    if ((uint32_t)word != stream->page_offset || pointer < stream->first ||
        pointer >= stream->data_end) {
        printf("pio: the word is %#llx\n", (unsigned long long)word);
        stream->wrong++;
        return;
    }
    stream->in_page += (pointer - stream->first) / 2;
    if (stream->kind == PIO_STREAM_READ)
        stream->next += (pointer - stream->first) / 2;
    else
        for (uint32_t at = stream->first; at < pointer; at += 2)
            unit_written(t, unit_at(t, stream->page_offset + at));
}

/* Anywhere in the page, odd offsets too, not always from a buffer's first byte on. */
static void stream_arm(struct tester *t)
{
    struct stream *stream = &t->stream;
    struct bufpio_entry *e = entry(t, stream->entry);
    uint64_t random = random_of(&t->random);

    if (__atomic_load_n(&e->activity, __ATOMIC_ACQUIRE) & BUFPIO_INSIDE)
        return;
    stream->page_offset = BUFPIO_ENTRIES_MAX * sizeof(*e) + random % 1000;
    stream->data_end = 8 + (random >> 16) % 2800;
    stream->first = (random >> 32) % 6;
    for (uint32_t at = stream->first, n = stream->next; at + 2 <= stream->data_end; at += 2, n++) {
        uint16_t unit = stream->kind == PIO_STREAM_READ ? n & 0x7fff : 0xdead;

        memcpy(t->page + stream->page_offset + at, &unit, sizeof(unit));
    }
    __atomic_store_n(&e->data_end, stream->data_end, __ATOMIC_RELAXED);
    __atomic_store_n(&e->flags, stream->kind == PIO_STREAM_READ ? BUFPIO_READS : BUFPIO_WRITES,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&e->word, (uint64_t)stream->first << 32 | stream->page_offset,
                     __ATOMIC_RELEASE);
    stream->armed = true;
}

uint32_t stream_read(struct tester *t, uint32_t size)
{
    struct stream *stream = &t->stream;
    uint32_t value;

    stream_disarm(t);
    value = stream->next & 0x7fff;
    if (size == 4)
        value |= ((stream->next + 1) & 0x7fff) << 16;
    stream->next += size / 2;
    stream->by_request += size / 2;
    stream_arm(t);
    return value;
}

void stream_write(struct tester *t, uint32_t size, uint32_t value)
{
    struct stream *stream = &t->stream;

    stream_disarm(t);
    unit_written(t, (uint16_t)value);
    if (size == 4)
        unit_written(t, (uint16_t)(value >> 16));
    stream->by_request += size / 2;
    stream_arm(t);
}

void stream_turn(struct tester *t)
{
    if (!t->stream.kind)
        return;
    if (!t->stream.armed) {
        stream_arm(t);
        return;
    }
    for (volatile unsigned n = random_of(&t->random) & 0x3fff; n; n--)
        ;
    if (random_of(&t->random) % 4 == 0)
        stream_disarm(t);
}

static void stream_command(struct tester *t, const struct pio_command *c, uint32_t *result)
{
    struct stream *stream = &t->stream;

    if (c->a == PIO_STREAM_END) {
        stream_disarm(t);
        result[0] = stream->in_page;
        result[1] = stream->by_request;
        result[2] = stream->disarmed;
        result[3] = stream->wrong;
        stream->kind = PIO_STREAM_END;
        return;
    }
    memset(stream, 0, sizeof(*stream));
    stream->kind = c->a;
    stream->entry = c->b & 1;
    stream->port = stream->entry ? PIO_SECONDARY : PIO_PRIMARY;
    stream_arm(t);
}

/* Garbage: all fields, at any moment, with values near every border of the rules. */

static uint32_t bad_value(uint64_t *random)
{
    static const uint32_t borders[] = {
        0,           1,           2,           46,          47,          48,
        190,         191,         192,         4090,        4092,        4093,
        4094,        4095,        4096,        4097,        0x7fffffff,  0x80000000,
        0xfffff000u, 0xffffffd0u, 0xfffffffcu, 0xfffffffeu, 0xffffffffu,
    };
    uint64_t r = random_of(random);

    if ((r & 7) == 0)
        return (uint32_t)(r >> 32);
    return borders[(r >> 8) % (sizeof(borders) / sizeof(borders[0]))];
}

/* Most are good, or nothing would happen. */
static uint32_t value_below(uint64_t *random, uint32_t limit)
{
    uint64_t r = random_of(random);

    return r & 3 ? (uint32_t)(r >> 8) % limit : bad_value(random);
}

static uint16_t bad_port(uint64_t *random)
{
    static const uint16_t ports[] = {
        0, 1, 2, 8, 9, PIO_PRIMARY, PIO_SECONDARY, PIO_DATA2, PIO_DATA3, PIO_NOBODY,
    };
    uint64_t r = random_of(random);

    return r & 0x70 ? ports[(r >> 8) % (sizeof(ports) / sizeof(ports[0]))] : (uint16_t)(r >> 16);
}

static void spoil(struct tester *t, uint32_t index, uint64_t *random)
{
    volatile struct bufpio_entry *e = entry(t, index);
    uint64_t r = random_of(random);

    switch (r % 8) {
    case 0:
    case 1:
    case 2:
        e->word = (uint64_t)value_below(random, 64) << 32 | value_below(random, BUFPIO_PAGE);
        break;
    case 3: /* half of it */
        ((volatile uint32_t *)&e->word)[r >> 8 & 1] = bad_value(random);
        break;
    case 4:
    case 5:
        e->data_end = value_below(random, 1024);
        break;
    case 6:
        e->flags = r & 0x700 ? r >> 16 & r >> 24 & 3 : (uint16_t)(r >> 16);
        break;
    default:
        e->activity = (uint32_t)(r >> 8);
        /* How many entries there are stays as it is when all of them are spoilt: what is behind
         * them is then all that can be read. */
        if (t->garbage == 1 ? index == 0 : index >= BUFPIO_ENTRIES_MIN)
            e->port = bad_port(random);
    }
}

static void *garbage_thread(void *ctx)
{
    struct tester *t = ctx;
    uint64_t random = 362436069;

    while (__atomic_load_n(&t->garbage, __ATOMIC_RELAXED)) {
        uint64_t r = random_of(&random);
        uint32_t entries = t->garbage == 1 ? BUFPIO_ENTRIES_MIN : BUFPIO_ENTRIES_MAX;

        for (unsigned n = r >> 8 & 255; n; n--)
            spoil(t, (uint32_t)(random_of(&random) % entries), &random);
        /* Holds still at times, so that accesses are answered, and others get to run. */
        if (r & 1)
            usleep(r >> 16 & 511);
    }
    return NULL;
}

void garbage_end(struct tester *t)
{
    if (!t->garbage)
        return;
    __atomic_store_n(&t->garbage, 0, __ATOMIC_RELAXED);
    pthread_join(t->thread, NULL);
}

static void garbage_command(struct tester *t, uint32_t kind)
{
    uint32_t first = kind == 1 ? BUFPIO_ENTRIES_MIN : BUFPIO_ENTRIES_MAX;

    garbage_end(t);
    memset(t->page, 0, BUFPIO_PAGE);
    if (!kind)
        return;
    for (uint32_t at = first * sizeof(struct bufpio_entry); at < BUFPIO_PAGE; at++)
        t->page[at] = pio_byte(kind, at);
    if (kind == 2)
        entry(t, 0)->port = BUFPIO_ENTRIES_MAX;
    t->garbage = kind;
    if (pthread_create(&t->thread, NULL, garbage_thread, t))
        die("thread");
}

static uint32_t sum(const struct tester *t, uint32_t at, uint32_t bytes)
{
    uint32_t total = 2166136261u;

    for (uint32_t i = BUFPIO_ENTRIES_MAX * sizeof(struct bufpio_entry); i < BUFPIO_PAGE; i++)
        if (i < at || i >= at + bytes)
            total = (total ^ t->page[i]) * 16777619u;
    return total;
}

static void second(struct tester *t, uint32_t come, uint32_t *result)
{
    if (come) {
        t->second_requests = 0;
        server_create(t, &t->second);
        server_claim(t, &t->second, PIO_PRIMARY, PIO_PORTS);
        server_enable(t, &t->second, true);
    } else {
        server_destroy(t, &t->second);
    }
    result[0] = t->second_requests;
}

static void poke(struct tester *t, const struct pio_command *c)
{
    uint64_t value = (uint64_t)c->d << 32 | c->c;

    if (c->b == 8 && c->a % 8 == 0)
        __atomic_store_n((uint64_t *)(t->page + c->a), value, __ATOMIC_RELEASE);
    else
        memcpy(t->page + c->a, &value, c->b);
}

void command(struct tester *t)
{
    struct pio_command c = *t->command;
    uint32_t *result = t->command->result;
    uint64_t word;

    switch (c.op) {
    case PIO_POKE:
        poke(t, &c);
        break;
    case PIO_PEEK:
        memcpy(result, t->page + c.a, 8);
        break;
    case PIO_FILL:
        for (uint32_t at = c.a; at < c.a + c.b; at++)
            t->page[at] = pio_byte(c.c, at);
        break;
    case PIO_SUM:
        result[0] = sum(t, c.a, c.b);
        break;
    case PIO_EXCHANGE:
        word = __atomic_exchange_n(&entry(t, c.a)->word, 0, __ATOMIC_SEQ_CST);
        memcpy(result, &word, sizeof(word));
        break;
    case PIO_COUNT:
        result[0] = t->reads;
        result[1] = t->writes;
        result[2] = t->strings;
        result[3] = t->last;
        break;
    case PIO_SECOND:
        second(t, c.a, result);
        break;
    case PIO_BLINK:
        t->blink_ms = c.a;
        break;
    case PIO_STREAM:
        stream_command(t, &c, result);
        break;
    case PIO_GARBAGE:
        garbage_command(t, c.a);
        break;
    case PIO_LEAVE:
        t->leave = true;
        break;
    default:
        printf("pio: command %u?\n", c.op);
    }
}
