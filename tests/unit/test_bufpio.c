/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The buffered PIO page: its rules, and the daemon's side with a device that is a data port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/bufpio_rig.h"

#define DATA 0x10u /* the stream's data port, as the NE2000's */

/* A device that gives and takes bytes at a data port behind some registers. */
struct stream {
    struct bus *bus;
    uint16_t base;
    bool write;
    uint8_t bytes[8192]; /* to be given */
    uint32_t pos, left;
    uint8_t got[16384]; /* taken */
    uint32_t n_got;
    unsigned ends; /* how often `left` became 0: what only a request may bring about */
    unsigned blocks;
};

struct fixture {
    struct bufpio_rig rig;
    struct bus *bus;
    struct stream stream[8];
};

static void step(struct stream *stream, uint32_t n)
{
    stream->left -= n;
    stream->ends += !stream->left && n;
}

static uint32_t give(struct stream *stream, uint8_t *buf, uint32_t len)
{
    uint32_t n = stream->write ? 0 : len < stream->left ? len : stream->left;

    memset(buf, 0xff, len);
    memcpy(buf, stream->bytes + stream->pos, n);
    stream->pos += n;
    step(stream, n);
    return len;
}

static uint32_t take(struct stream *stream, const uint8_t *buf, uint32_t len)
{
    uint32_t n = !stream->write ? 0 : len < stream->left ? len : stream->left;

    memcpy(stream->got + stream->n_got, buf, n);
    stream->n_got += n;
    step(stream, n);
    return len;
}

static uint64_t stream_read(void *dev, uint64_t offset, unsigned size)
{
    uint8_t buf[4] = {0};
    uint32_t value;

    if (offset != DATA)
        return 0x5a;
    give(dev, buf, size);
    memcpy(&value, buf, 4);
    return value;
}

static void stream_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == DATA)
        take(dev, (const uint8_t *)&value, size);
}

static uint32_t stream_read_block(void *dev, uint64_t offset, unsigned size, void *buf,
                                  uint32_t count)
{
    ((struct stream *)dev)->blocks++;
    return give(dev, buf, count * size) / size;
}

static uint32_t stream_write_block(void *dev, uint64_t offset, unsigned size, const void *buf,
                                   uint32_t count)
{
    ((struct stream *)dev)->blocks++;
    return take(dev, buf, count * size) / size;
}

static uint32_t stream_window(void *dev, bool *ret_write, void *buf, uint32_t room)
{
    const struct stream *stream = dev;

    *ret_write = stream->write;
    if (!stream->write)
        memcpy(buf, stream->bytes + stream->pos, room < stream->left ? room : stream->left);
    return stream->left;
}

static const struct bus_io_ops stream_ops = {
    .read = stream_read,
    .write = stream_write,
    .read_block = stream_read_block,
    .write_block = stream_write_block,
    .max_size = 4,
    .window = stream_window,
    .data_port = DATA,
};

/* One whose data port is `data`. */
static struct stream *plug(struct fixture *f, unsigned index, uint16_t data)
{
    struct stream *stream = &f->stream[index];

    stream->bus = f->bus;
    stream->base = (uint16_t)(data - DATA);
    for (unsigned i = 0; i < sizeof(stream->bytes); i++)
        stream->bytes[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + index * 101 + 1);
    assert_int_equal(bus_claim(f->bus, BUS_PORT, stream->base, 0x20, &stream_ops, stream), 0);
    bufpio_take_out(&f->rig.bufpio);
    bufpio_arm(&f->rig.bufpio);
    return stream;
}

static void unplug(struct stream *stream)
{
    bus_release(stream->bus, BUS_PORT, stream->base);
    stream->base = 0;
}

static void begin(struct stream *stream, bool write, uint32_t bytes)
{
    stream->write = write;
    stream->pos = stream->n_got = stream->ends = 0;
    stream->left = bytes;
}

static int setup_with(void **state, unsigned further)
{
    static struct fixture fixture; /* page-aligned members */

    memset(&fixture, 0, sizeof(fixture));
    assert_int_equal(bus_create(NULL, NULL, &fixture.bus), 0);
    bufpio_rig_init(&fixture.rig, fixture.bus, further);
    *state = &fixture;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0);
}

static int setup_further(void **state)
{
    return setup_with(state, 2);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    bufpio_rig_finish(&f->rig);
    for (unsigned i = 0; i < sizeof(f->stream) / sizeof(f->stream[0]); i++)
        if (f->stream[i].base)
            unplug(&f->stream[i]);
    bus_destroy(f->bus);
    return 0;
}

static struct bufpio_entry *entry(struct fixture *f, unsigned index)
{
    return (struct bufpio_entry *)(void *)&f->rig.page + index;
}

/* A request that is no data access: whatever is armed is taken out, and armed again. */
static void other_request(struct fixture *f)
{
    bufpio_rig_in(&f->rig, 0x80, 1);
}

/* `bytes` by accesses of `size`; how many requests that took. */
static uint64_t read_all(struct fixture *f, const struct stream *stream, uint32_t bytes,
                         unsigned size)
{
    uint64_t before = f->rig.requests;
    uint8_t got[8192];

    for (uint32_t i = 0; i < bytes; i += size) {
        uint32_t value = bufpio_rig_in(&f->rig, (uint16_t)(stream->base + DATA), size);

        memcpy(got + i, &value, size);
    }
    assert_memory_equal(got, stream->bytes, bytes);
    assert_int_equal(stream->left, 0);
    assert_int_equal(stream->ends, 1);
    return f->rig.requests - before;
}

static uint64_t write_all(struct fixture *f, const struct stream *stream, uint32_t bytes,
                          unsigned size)
{
    uint64_t before = f->rig.requests;

    for (uint32_t i = 0; i < bytes; i += size) {
        uint32_t value = 0;

        memcpy(&value, stream->bytes + i, size);
        bufpio_rig_out(&f->rig, (uint16_t)(stream->base + DATA), size, value);
    }
    assert_int_equal(stream->n_got, bytes);
    assert_memory_equal(stream->got, stream->bytes, bytes);
    assert_int_equal(stream->ends, 1);
    return f->rig.requests - before;
}

/* ---- the rules ------------------------------------------------------------------------------- */

#define WORD(offset, pointer) ((uint64_t)(pointer) << 32 | (uint32_t)(offset))

static void an_access_is_taken_only_if_every_rule_holds(void **state)
{
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, 0, 2, 2, 0), WORD(48, 2));
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, 0, 2, 4, 1), WORD(48, 4));
    assert_int_equal(bufpio_advance(WORD(48, 508), 512, 0, 2, 2, 0), WORD(48, 510));
    /* the last element */
    assert_int_equal(bufpio_advance(WORD(48, 510), 512, 0, 2, 2, 0), 0);
    assert_int_equal(bufpio_advance(WORD(48, 508), 512, 0, 2, 4, 0), 0);
    /* sizes */
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, 0, 2, 1, 0), 0);
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, 0, 2, 8, 0), 0);
    /* disarmed; before the buffers; beyond the page */
    assert_int_equal(bufpio_advance(0, 4096, 0, 2, 2, 0), 0);
    assert_int_equal(bufpio_advance(WORD(47, 0), 512, 0, 2, 2, 0), 0);
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, 0, 3, 2, 0), 0);
    assert_int_equal(bufpio_advance(WORD(72, 0), 512, 0, 3, 2, 0), WORD(72, 2));
    assert_int_equal(bufpio_advance(WORD(3584, 0), 512, 0, 2, 2, 0), WORD(3584, 2));
    assert_int_equal(bufpio_advance(WORD(3585, 0), 512, 0, 2, 2, 0), 0);
    /* directions */
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, BUFPIO_READS, 2, 2, 0), WORD(48, 2));
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, BUFPIO_READS, 2, 2, 1), 0);
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, BUFPIO_WRITES, 2, 2, 0), 0);
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, BUFPIO_WRITES, 2, 2, 1), WORD(48, 2));
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, BUFPIO_FLAGS, 2, 2, 1), WORD(48, 2));
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, 4, 2, 2, 0), 0);
    assert_int_equal(bufpio_advance(WORD(48, 0), 512, 0x8001, 2, 2, 0), 0);
}

static void no_sum_wraps(void **state)
{
    static const uint32_t odd[] = {0,          1,          2,          47,         48,
                                   512,        4094,       4095,       4096,       0x7fffffff,
                                   0x80000000, 0xfffff000, 0xfffffffc, 0xfffffffe, 0xffffffff};
    const size_t n = sizeof(odd) / sizeof(odd[0]);

    for (size_t i = 0; i < n * n * n; i++) {
        for (unsigned size = 2; size <= 4; size += 2) {
            uint64_t word = WORD(odd[i % n], odd[i / n % n]);
            uint32_t end = odd[i / n / n];
            uint64_t next = bufpio_advance(word, end, 0, 2, size, 0);

            if (!next)
                continue;
            assert_true(bufpio_at(word) >= 48 && bufpio_at(word) + size <= BUFPIO_PAGE);
            assert_true((next >> 32) == (word >> 32) + size && (next >> 32) < end);
            assert_int_equal((uint32_t)next, (uint32_t)word);
        }
    }
}

static void there_are_2_to_8_entries_whatever_the_page_says(void **state)
{
    assert_int_equal(bufpio_entries(0), 2);
    assert_int_equal(bufpio_entries(2), 2);
    assert_int_equal(bufpio_entries(5), 5);
    assert_int_equal(bufpio_entries(8), 8);
    assert_int_equal(bufpio_entries(9), 8);
    assert_int_equal(bufpio_entries(0xffff), 8);
}

/* ---- the daemon's side ----------------------------------------------------------------------- */

static void a_sector_by_words_is_two_requests(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);

    begin(stream, false, 512);
    assert_int_equal(read_all(f, stream, 512, 2), 2);
    begin(stream, true, 512);
    assert_int_equal(write_all(f, stream, 512, 2), 2);
    /* and one when the window is there from the start */
    begin(stream, false, 512);
    other_request(f);
    assert_int_equal(read_all(f, stream, 512, 4), 1);
    begin(stream, true, 512);
    other_request(f);
    assert_int_equal(write_all(f, stream, 512, 4), 1);
    assert_int_equal(f->rig.bufpio.counters.answered, 254 + 254 + 127 + 127);
    assert_int_equal(f->rig.bufpio.counters.bytes, 508 + 508 + 508 + 508);
    assert_int_equal(f->rig.bufpio.counters.answered, f->rig.hv.answered);
    assert_int_equal(f->rig.bufpio.counters.rejected, 0);
    assert_int_equal(f->rig.bufpio.counters.inside, 0);
}

static void a_long_block_is_refilled(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x170);

    /* alone it has all of the page behind the entries: 4048 bytes */
    begin(stream, false, 8192);
    assert_int_equal(read_all(f, stream, 8192, 2), 1 + 8192 / 4048 + 1);
    begin(stream, true, 8192);
    assert_int_equal(write_all(f, stream, 8192, 4), 1 + 8192 / 4048 + 1);
    plug(f, 1, 0x1f0);
    begin(stream, false, 8192);
    other_request(f);
    assert_int_equal(read_all(f, stream, 8192, 2), 8192 / 2024 + 1);
}

static void accesses_of_2_and_4_bytes_and_others_mix(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);
    static const uint8_t sizes[] = {2, 4, 4, 2, 1, 2, 1, 4, 2, 2};
    uint8_t got[514] = {0};
    uint32_t at = 0;

    begin(stream, false, 512);
    for (unsigned i = 0; at < 512; i++) {
        unsigned size = sizes[i % sizeof(sizes)];
        uint32_t value = bufpio_rig_in(&f->rig, 0x1f0, size);

        memcpy(got + at, &value, size > 512 - at ? 512 - at : size);
        at += size;
        if (i % 37 == 0)
            other_request(f);
    }
    assert_memory_equal(got, stream->bytes, 512);
    assert_int_equal(stream->left, 0);
    begin(stream, true, 512);
    at = 0;
    for (unsigned i = 0; at < 512; i++) {
        unsigned size = sizes[i % sizeof(sizes)];
        uint32_t value;

        memcpy(&value, stream->bytes + at, 4);
        bufpio_rig_out(&f->rig, 0x1f0, size, value);
        at += size;
        if (i % 37 == 0)
            other_request(f);
    }
    assert_int_equal(stream->n_got, 512);
    assert_memory_equal(stream->got, stream->bytes, 512);
    assert_int_equal(f->rig.bufpio.counters.rejected, 0);
    assert_in_range(f->rig.bufpio.counters.answered, 100, 400);
}

static void strings_find_what_single_accesses_left(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);
    uint8_t got[512];

    begin(stream, false, 512);
    for (uint32_t at = 0; at < 512;) {
        uint32_t value = 0;

        for (unsigned i = 0; i < 5; i++, at += 2) {
            value = bufpio_rig_in(&f->rig, 0x1f0, 2);
            memcpy(got + at, &value, 2);
        }
        uint32_t n = at + 54 <= 512 ? 27 : (512 - at) / 2;
        bufpio_rig_ins(&f->rig, 0x1f0, 2, got + at, n);
        at += 2 * n;
    }
    assert_memory_equal(got, stream->bytes, 512);
    begin(stream, true, 512);
    for (uint32_t at = 0; at < 512; at += 8) {
        uint32_t value;

        memcpy(&value, stream->bytes + at, 4);
        bufpio_rig_out(&f->rig, 0x1f0, 4, value);
        bufpio_rig_outs(&f->rig, 0x1f0, 2, stream->bytes + at + 4, 2);
    }
    assert_memory_equal(stream->got, stream->bytes, 512);
    assert_int_equal(f->rig.bufpio.counters.rejected, 0);
}

static void who_uses_strings_gets_no_window(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);
    uint8_t got[512];

    for (unsigned i = 0; i < 3; i++) {
        begin(stream, false, 512);
        other_request(f);
        bufpio_rig_ins(&f->rig, 0x1f0, 2, got, 256);
        assert_int_equal(entry(f, 0)->word, 0);
    }
    assert_int_equal(f->rig.bufpio.counters.refills, 0);
    assert_int_equal(stream->blocks, 3); /* whole, as without the page */
    /* A byte is no such access either. */
    begin(stream, false, 512);
    bufpio_rig_in(&f->rig, 0x1f0, 1);
    assert_int_equal(entry(f, 0)->word, 0);
    bufpio_rig_in(&f->rig, 0x1f0, 2);
    assert_int_not_equal(entry(f, 0)->word, 0);
    bufpio_rig_ins(&f->rig, 0x1f0, 2, got, 3);
    assert_int_equal(entry(f, 0)->word, 0);
}

static void an_access_against_the_direction_is_the_devices(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);

    begin(stream, true, 512);
    bufpio_rig_out(&f->rig, 0x1f0, 2, 0x1111);
    bufpio_rig_out(&f->rig, 0x1f0, 2, 0x2222);
    assert_int_equal(bufpio_rig_in(&f->rig, 0x1f0, 2), 0xffff);
    bufpio_rig_out(&f->rig, 0x1f0, 2, 0x3333);
    other_request(f);
    assert_int_equal(stream->n_got, 6);
    assert_memory_equal(stream->got, "\x11\x11\x22\x22\x33\x33", 6);
    begin(stream, false, 512);
    other_request(f);
    bufpio_rig_in(&f->rig, 0x1f0, 2);
    bufpio_rig_out(&f->rig, 0x1f0, 2, 0xdead);
    assert_int_equal(bufpio_rig_in(&f->rig, 0x1f0, 2), stream->bytes[2] | stream->bytes[3] << 8);
}

static void pending_bytes_reach_the_device_before_anything_else(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);

    begin(stream, true, 512);
    for (unsigned i = 0; i < 100; i++)
        bufpio_rig_out(&f->rig, 0x1f0, 2, i);
    assert_int_equal(stream->n_got, 2);
    bufpio_take_out(&f->rig.bufpio);
    assert_int_equal(stream->n_got, 200);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(stream->got[2 * i], i);
    /* taken out again: there is nothing */
    bufpio_take_out(&f->rig.bufpio);
    assert_int_equal(stream->n_got, 200);
    bufpio_arm(&f->rig.bufpio);
    bufpio_rig_out(&f->rig, 0x1f0, 2, 7);
    bufpio_finish(&f->rig.bufpio);
    assert_int_equal(stream->n_got, 202);
    assert_int_equal(entry(f, 0)->word, 0);
}

/* ---- a page that lies ------------------------------------------------------------------------ */

static void a_position_that_cannot_be_counts_as_none(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);
    uint64_t good, rejected = 0;

    begin(stream, false, 512);
    bufpio_rig_in(&f->rig, 0x1f0, 2);
    good = entry(f, 0)->word;
    const uint64_t lies[] = {
        WORD(good, 510),        WORD(good, 512),
        WORD(good, 3),          WORD(good, UINT32_MAX),
        WORD(good, 0x80000000), WORD(good, UINT32_MAX - 1),
        WORD(good + 2, 2),      WORD(0, 0),
        WORD(UINT32_MAX, 2),    UINT64_MAX,
        WORD(0, 100),
    };

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        assert_int_equal(entry(f, 0)->word, good);
        entry(f, 0)->word = lies[i];
        bufpio_take_out(&f->rig.bufpio);
        assert_int_equal(f->rig.bufpio.counters.rejected, ++rejected);
        assert_int_equal(stream->left, 510);
        bufpio_arm(&f->rig.bufpio);
    }
    assert_int_equal(f->rig.bufpio.counters.bytes, 0);
}

static void what_is_counted_fits_what_was_moved(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);
    struct bufpio_counters *counters = &f->rig.bufpio.counters;

    begin(stream, false, 512);
    bufpio_rig_in(&f->rig, 0x1f0, 2);
    for (unsigned i = 0; i < 50; i++)
        bufpio_rig_in(&f->rig, 0x1f0, 2);
    entry(f, 0)->activity = 51 * BUFPIO_ANSWER; /* more than 100 bytes can be */
    other_request(f);
    assert_int_equal(counters->answered, 50);
    assert_int_equal(counters->rejected, 1);
    entry(f, 0)->activity = 0; /* backwards */
    other_request(f);
    assert_int_equal(counters->answered, 50);
    assert_int_equal(counters->rejected, 2);
}

static void an_entry_with_a_vcpu_inside_is_not_used_again(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);
    uint8_t page[BUFPIO_PAGE];

    begin(stream, true, 512);
    bufpio_rig_out(&f->rig, 0x1f0, 2, 0);
    bufpio_rig_out(&f->rig, 0x1f0, 2, 0);
    entry(f, 0)->activity |= BUFPIO_INSIDE;
    bufpio_take_out(&f->rig.bufpio);
    assert_int_equal(stream->n_got, 4); /* up to the pointer all is there */
    begin(stream, false, 512);
    memcpy(page, &f->rig.page, sizeof(page));
    bufpio_arm(&f->rig.bufpio);
    assert_int_equal(f->rig.bufpio.counters.inside, 1);
    /* neither buffer nor fields: the vCPU may be about to read or store */
    assert_memory_equal(page, &f->rig.page, sizeof(page));
    entry(f, 0)->activity &= ~BUFPIO_INSIDE;
    bufpio_arm(&f->rig.bufpio);
    assert_int_not_equal(entry(f, 0)->word, 0);
    assert_int_equal(f->rig.bufpio.counters.rejected, 0);
}

static void a_peers_page_begins_as_it_likes(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);

    bufpio_finish(&f->rig.bufpio);
    memset(&f->rig.page, 0xff, sizeof(f->rig.page));
    bufpio_init(&f->rig.bufpio, &f->rig.page, f->bus, 100);
    assert_int_equal(entry(f, 0)->word, 0);
    assert_int_equal(bufpio_entries(entry(f, 0)->port), BUFPIO_ENTRIES_MAX);
    begin(stream, false, 512);
    bufpio_rig_in(&f->rig, 0x1f0, 1); /* INSIDE everywhere: nothing is dealt out */
    bufpio_rig_in(&f->rig, 0x1f0, 2);
    assert_int_equal(f->rig.bufpio.counters.refills, 0);
    for (unsigned i = 0; i < BUFPIO_ENTRIES_MAX; i++)
        entry(f, i)->activity = 0;
    bufpio_rig_in(&f->rig, 0x1f0, 1);
    bufpio_rig_in(&f->rig, 0x1f0, 2);
    assert_int_equal(f->rig.bufpio.counters.refills, 1);
}

/* ---- further entries ------------------------------------------------------------------------- */

static void a_movable_data_port_has_an_entry_that_names_it(void **state)
{
    struct fixture *f = *state;
    struct stream *ide = plug(f, 0, 0x1f0), *nic = plug(f, 1, 0x310);

    begin(nic, false, 512);
    assert_int_equal(read_all(f, nic, 512, 2), 2);
    assert_int_equal(entry(f, 2)->port, 0x310);
    begin(nic, true, 512);
    assert_int_equal(write_all(f, nic, 512, 4), 2);
    /* both at once, each at its own place */
    begin(ide, false, 512);
    begin(nic, false, 512);
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(bufpio_rig_in(&f->rig, 0x1f0, 2),
                         ide->bytes[2 * i] | ide->bytes[2 * i + 1] << 8);
        assert_int_equal(bufpio_rig_in(&f->rig, 0x310, 2),
                         nic->bytes[2 * i] | nic->bytes[2 * i + 1] << 8);
    }
    assert_int_equal(f->rig.bufpio.counters.rejected, 0);

    /* it moves, as by its BAR, in the middle of a transfer */
    begin(nic, false, 512);
    other_request(f);
    bufpio_rig_in(&f->rig, 0x310, 2);
    bufpio_rig_in(&f->rig, 0x310, 2);
    bufpio_take_out(&f->rig.bufpio);
    unplug(nic);
    nic->base = 0x500;
    assert_int_equal(bus_claim(f->bus, BUS_PORT, 0x500, 0x20, &stream_ops, nic), 0);
    bufpio_arm(&f->rig.bufpio);
    assert_int_equal(entry(f, 2)->port, 0x510);
    assert_int_equal(bufpio_rig_in(&f->rig, 0x310, 2), 0xffff);
    assert_int_equal(bufpio_rig_in(&f->rig, 0x510, 2), nic->bytes[4] | nic->bytes[5] << 8);
    assert_int_equal(bufpio_rig_in(&f->rig, 0x510, 2), nic->bytes[6] | nic->bytes[7] << 8);
    assert_int_equal(nic->left, 506);
}

static void more_data_ports_than_entries_do_without(void **state)
{
    struct fixture *f = *state;
    struct stream *extra[3];

    plug(f, 6, 0x1f0);
    plug(f, 7, 0x170);
    for (unsigned i = 0; i < 3; i++)
        extra[i] = plug(f, i, (uint16_t)(0x310 + 0x40 * i));
    for (unsigned i = 0; i < 3; i++) {
        begin(extra[i], false, 512);
        assert_int_equal(read_all(f, extra[i], 512, 2), i < 2 ? 2 : 256);
    }
    for (unsigned i = 6; i < 8; i++) {
        begin(&f->stream[i], false, 512);
        assert_int_equal(read_all(f, &f->stream[i], 512, 2), 2);
    }
}

static void buffers_are_dealt_anew_only_when_nobody_is_inside(void **state)
{
    struct fixture *f = *state;
    struct stream *a = plug(f, 0, 0x1f0), *b = plug(f, 1, 0x170);
    uint8_t page[BUFPIO_PAGE];

    begin(a, false, 512);
    begin(b, false, 512);
    bufpio_rig_in(&f->rig, 0x1f0, 2);
    bufpio_rig_in(&f->rig, 0x170, 2);
    entry(f, 1)->activity |= BUFPIO_INSIDE;
    bufpio_take_out(&f->rig.bufpio);
    unplug(b);
    memcpy(page, &f->rig.page, sizeof(page));
    bufpio_arm(&f->rig.bufpio);
    /* half of the page could still be stored to by whoever is inside of the other entry */
    assert_memory_equal(page, &f->rig.page, sizeof(page));
    entry(f, 1)->activity &= ~BUFPIO_INSIDE;
    bufpio_arm(&f->rig.bufpio);
    assert_int_not_equal(entry(f, 0)->word, 0);
    assert_int_equal(entry(f, 0)->buf_size, BUFPIO_PAGE - 4 * sizeof(struct bufpio_entry));
}

static void without_a_page_nothing_is_done(void **state)
{
    struct fixture *f = *state;
    struct stream *stream = plug(f, 0, 0x1f0);
    struct bufpio none;

    bufpio_init(&none, NULL, f->bus, 3);
    begin(stream, false, 512);
    bufpio_access(&none, 0x1f0, 2, false);
    bufpio_arm(&none);
    bufpio_take_out(&none);
    bufpio_finish(&none);
    assert_int_equal(none.counters.refills + none.counters.take_outs, 0);
    assert_int_equal(stream->left, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_access_is_taken_only_if_every_rule_holds),
        cmocka_unit_test(no_sum_wraps),
        cmocka_unit_test(there_are_2_to_8_entries_whatever_the_page_says),
        cmocka_unit_test_setup_teardown(a_sector_by_words_is_two_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_block_is_refilled, setup, teardown),
        cmocka_unit_test_setup_teardown(accesses_of_2_and_4_bytes_and_others_mix, setup, teardown),
        cmocka_unit_test_setup_teardown(strings_find_what_single_accesses_left, setup, teardown),
        cmocka_unit_test_setup_teardown(who_uses_strings_gets_no_window, setup, teardown),
        cmocka_unit_test_setup_teardown(an_access_against_the_direction_is_the_devices, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pending_bytes_reach_the_device_before_anything_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_position_that_cannot_be_counts_as_none, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_counted_fits_what_was_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_with_a_vcpu_inside_is_not_used_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_peers_page_begins_as_it_likes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_movable_data_port_has_an_entry_that_names_it,
                                        setup_further, teardown),
        cmocka_unit_test_setup_teardown(more_data_ports_than_entries_do_without, setup_further,
                                        teardown),
        cmocka_unit_test_setup_teardown(buffers_are_dealt_anew_only_when_nobody_is_inside,
                                        setup_further, teardown),
        cmocka_unit_test_setup_teardown(without_a_page_nothing_is_done, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
