/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A script of a guest's accesses to an IDE controller, read from the input.
 *
 * With an honest page: carried out twice, on a controller whose data ports the hypervisor answers
 * from the page and on one where every access is a request. The guest must not be able to tell:
 * equal values read, equal interrupts, equal counters, equal disks, and nothing is rejected.
 *
 * With a page that lies: another thread writes to all of it, words, lengths, flags, ports, counts
 * and buffers, at any moment, and the vCPU's side believes it. Then the page is the only thing that
 * may be wrong: what the devices get never exceeds what was published, and when the liar stops the
 * controller works.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/bufpio_rig.h"
#include "tests/unit/ide_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP      4u
#define MAX_STEPS 250u
#define SECTORS   80u
#define MAX_DATA  9000u

struct side {
    struct bufpio_rig bufpio;
    struct ide_rig ide;
    uint8_t got[MAX_DATA];
    uint32_t n_got;
};

struct liar {
    struct bufpio_page *page;
    pthread_t thread;
    bool stop;
    uint64_t random;
};

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* Fields more often than buffers, and words near what is there. */
static void *lie(void *arg)
{
    struct liar *liar = arg;
    uint64_t *words = (uint64_t *)(void *)liar->page;

    while (!__atomic_load_n(&liar->stop, __ATOMIC_RELAXED)) {
        uint64_t r = next_random(&liar->random);
        uint64_t *at = &words[r % 4 ? r / 4 % 12 : r / 4 % (BUFPIO_PAGE / 8)];
        uint64_t now = __atomic_load_n(at, __ATOMIC_RELAXED);

        switch (r >> 40 & 3) {
        case 0:
            now += (r >> 42 & 0xff) << 32;
            break;
        case 1:
            now ^= 1ull << (r >> 42 & 63);
            break;
        case 2:
            now = r;
            break;
        case 3:
            now = (r >> 42 & 0x1ff) << 32 | (r >> 52 & 0xfff);
            break;
        }
        __atomic_store_n(at, now, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void liar_start(struct liar *liar, struct bufpio_page *page, uint64_t seed)
{
    *liar = (struct liar){.page = page, .random = seed | 1};
    assert(!pthread_create(&liar->thread, NULL, lie, liar));
}

static void liar_stop(struct liar *liar)
{
    __atomic_store_n(&liar->stop, true, __ATOMIC_RELAXED);
    pthread_join(liar->thread, NULL);
}

static void side_init(struct side *side, bool cmd646, bool without)
{
    const struct ide_rig_options options = {.cmd646 = cmd646,
                                            .sectors = {SECTORS, SECTORS, SECTORS, SECTORS}};

    ide_rig_init(&side->ide, &options);
    bufpio_rig_init(&side->bufpio, side->ide.bus, cmd646 ? 2 : 0);
    side->bufpio.without = without;
}

static void side_finish(struct side *side)
{
    bufpio_rig_finish(&side->bufpio);
    ide_rig_finish(&side->ide);
}

static void see(struct side *side, const void *bytes, uint32_t len)
{
    if (len > MAX_DATA - side->n_got)
        len = MAX_DATA - side->n_got;
    memcpy(side->got + side->n_got, bytes, len);
    side->n_got += len;
}

static void in(struct side *side, uint16_t port, unsigned size)
{
    uint32_t value = bufpio_rig_in(&side->bufpio, port, size);

    see(side, &value, size);
}

static void reg(struct side *side, unsigned channel, enum ata_reg reg, unsigned value)
{
    bufpio_rig_out(&side->bufpio, (uint16_t)(side->ide.command[channel] + reg), 1, value);
}

static void command(struct side *side, unsigned channel, const uint8_t *step)
{
    static const uint8_t opcodes[] = {0x20, 0x30, 0xc4, 0xc5, 0xc6, 0xec, 0xe7, 0x24,
                                      0x34, 0x29, 0x39, 0x90, 0x40, 0xc8, 0x20, 0x30};

    reg(side, channel, ATA_REG_DEVICE, 0xe0 | (step[1] & 0x10));
    reg(side, channel, ATA_REG_COUNT, 1 + step[2] % 20);
    reg(side, channel, ATA_REG_LBA_LOW, step[3] % SECTORS);
    reg(side, channel, ATA_REG_LBA_MID, 0);
    reg(side, channel, ATA_REG_LBA_HIGH, 0);
    reg(side, channel, ATA_REG_COMMAND, opcodes[step[1] & 15]);
}

/* Accesses to the data port: `kind` 0 IN, 1 OUT, 2 INS, 3 OUTS. */
static void data(struct side *side, unsigned channel, unsigned kind, const uint8_t *step)
{
    uint16_t port = side->ide.command[channel];
    unsigned size = step[1] & 0x20 ? 4 : step[1] & 0x40 ? 1 : 2;
    uint32_t count = 1 + (step[2] | (step[3] & 3u) << 8) % (step[1] & 1 ? 9 : 600);
    uint8_t buf[4 * 600];

    for (uint32_t i = 0; i < count * size; i++)
        buf[i] = (uint8_t)(step[3] * 5 + i * 3 + (i >> 8));
    for (uint32_t i = 0; i < count && kind < 2; i++) {
        uint32_t value = 0;

        memcpy(&value, buf + i * size, size);
        if (kind == 0)
            in(side, port, size);
        else
            bufpio_rig_out(&side->bufpio, port, size, value);
    }
    if (kind == 2) {
        bufpio_rig_ins(&side->bufpio, port, size, buf, count);
        see(side, buf, count * size);
    } else if (kind == 3) {
        bufpio_rig_outs(&side->bufpio, port, size, buf, count);
    }
}

static void one_step(struct side *side, const uint8_t *step)
{
    unsigned channel = step[0] >> 7;

    side->n_got = 0;
    switch (step[0] % 14) {
    case 0:
        reg(side, channel, 1 + step[1] % 6, step[2]);
        break;
    case 1:
    case 2:
        command(side, channel, step);
        break;
    case 3:
    case 4:
    case 5:
        data(side, channel, 0, step);
        break;
    case 6:
    case 7:
    case 8:
        data(side, channel, 1, step);
        break;
    case 9:
        data(side, channel, 2 + step[1] % 2, step);
        break;
    case 10:
        in(side, (uint16_t)(side->ide.command[channel] + ATA_REG_STATUS), 1);
        in(side, side->ide.control[channel], 1);
        break;
    case 11:
        bufpio_rig_out(&side->bufpio, side->ide.control[channel], 1, step[1] % 8);
        if (step[2] & 1)
            bufpio_rig_out(&side->bufpio, side->ide.control[channel], 1, 0);
        break;
    default:
        ide_rig_settle(&side->ide);
    }
}

static const char *const counters[] = {"commands", "pio_sectors", "dma_bytes",
                                       "errors",   "resets",      "interrupts"};

static void assert_equal(struct side *a, struct side *b)
{
    for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        assert(rig_counter(&a->ide, counters[i]) == rig_counter(&b->ide, counters[i]));
    for (unsigned i = 0; i < RIG_DISKS; i++)
        assert(!memcmp(a->ide.disk[i], b->ide.disk[i], SECTORS * 512));
}

static void honest(const uint8_t *steps, unsigned count, bool cmd646)
{
    static struct side with, without; /* page-aligned members */

    side_init(&with, cmd646, false);
    side_init(&without, cmd646, true);
    for (unsigned i = 0; i < count; i++) {
        one_step(&with, steps + i * STEP);
        one_step(&without, steps + i * STEP);
        assert(with.n_got == without.n_got);
        assert(!memcmp(with.got, without.got, with.n_got));
        for (unsigned disk = 0; disk < RIG_DISKS; disk += 2)
            assert(rig_irq(&with.ide, disk) == rig_irq(&without.ide, disk));
    }
    bufpio_take_out(&with.bufpio.bufpio);
    ide_rig_settle(&with.ide);
    ide_rig_settle(&without.ide);
    assert_equal(&with, &without);
    assert(!with.bufpio.bufpio.counters.rejected && !with.bufpio.bufpio.counters.inside);
    assert(with.bufpio.bufpio.counters.answered == with.bufpio.hv.answered);
    assert(with.bufpio.requests + with.bufpio.hv.answered == without.bufpio.requests);
    side_finish(&with);
    side_finish(&without);
}

/* Whatever state it was left in, and whatever is in the page. */
static void still_works(struct side *side)
{
    uint16_t words[256];

    bufpio_rig_out(&side->bufpio, side->ide.control[0], 1, ATA_DC_SRST);
    bufpio_rig_out(&side->bufpio, side->ide.control[0], 1, 0);
    reg(side, 0, ATA_REG_DEVICE, 0xe0);
    reg(side, 0, ATA_REG_COMMAND, 0xec);
    ide_rig_settle(&side->ide);
    bufpio_rig_ins(&side->bufpio, side->ide.command[0], 2, words, 256);
    assert(words[60] == SECTORS && words[61] == 0);
}

static void lied_to(const uint8_t *steps, unsigned count, bool cmd646, uint64_t seed)
{
    static struct side side;
    const struct bufpio_counters *seen = &side.bufpio.bufpio.counters;
    struct liar liar;

    side_init(&side, cmd646, false);
    liar_start(&liar, &side.bufpio.page, seed);
    for (unsigned i = 0; i < count; i++)
        one_step(&side, steps + i * STEP);
    liar_stop(&liar);
    memset(&side.bufpio.page, 0xa5, sizeof(side.bufpio.page));
    still_works(&side);
    assert(seen->take_outs <= seen->refills);
    assert(seen->bytes <= seen->refills * BUFPIO_PAGE && seen->answered <= seen->bytes / 2);
    side_finish(&side);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t seed = 0;
    unsigned count;

    if (size < 1 + sizeof(seed) + STEP)
        return 0;
    memcpy(&seed, data + 1, sizeof(seed));
    count = (unsigned)((size - 1 - sizeof(seed)) / STEP);
    if (count > MAX_STEPS)
        count = MAX_STEPS;
    if (data[0] & 3)
        honest(data + 1 + sizeof(seed), count, data[0] & 4);
    else
        lied_to(data + 1 + sizeof(seed), count, data[0] & 4, seed);
    return 0;
}
