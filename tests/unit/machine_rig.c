/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/machine_rig.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_PAGES 128
#define STATE_MAX  (1u << 20)

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "machine_rig: %s\n", what);
    abort();
}

void chr_bind(struct chr *chr, const struct chr_client_ops *ops, void *owner)
{
    chr->ops = ops;
    chr->owner = owner;
}

bool chr_write(struct chr *chr, uint8_t byte)
{
    if (!chr->credit)
        return false;
    chr->credit--;
    chr->sent++;
    return true;
}

void chr_give_up(struct chr *chr)
{
}

void chr_accept(struct chr *chr)
{
}

static int claim(struct machine_rig *rig, unsigned *counter)
{
    if (!rig->claims_left)
        return -ENOSPC;
    if (rig->claims_left != UINT_MAX)
        rig->claims_left--;
    ++*counter;
    return 0;
}

static int on_claim(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct machine_rig *rig = ctx;

    require(first <= last, "an empty range");
    require(space != BUS_PORT || last <= UINT16_MAX, "a port that does not exist");
    return claim(rig, &rig->ranges);
}

static void on_release(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct machine_rig *rig = ctx;

    require(rig->ranges-- > 0, "a range released twice");
}

static int on_claim_pci(void *ctx, uint8_t devfn)
{
    struct machine_rig *rig = ctx;

    return claim(rig, &rig->funcs);
}

static void on_release_pci(void *ctx, uint8_t devfn)
{
    struct machine_rig *rig = ctx;

    require(rig->funcs-- > 0, "a function released twice");
}

static const struct bus_listener listener = {
    .claim = on_claim,
    .release = on_release,
    .claim_pci = on_claim_pci,
    .release_pci = on_release_pci,
};

static void open_disk(struct machine_rig *rig, unsigned i)
{
    struct blk_image *image;

    rig->disk[i] = calloc(MACHINE_RIG_SECTORS, 512);
    require(rig->disk[i], "out of memory");
    for (unsigned at = 0; at < MACHINE_RIG_SECTORS * 512; at++)
        rig->disk[i][at] = (uint8_t)(at * 7 + at / 512 + i);
    require(!mem_open(rig->disk[i], MACHINE_RIG_SECTORS, false, fake_loop(rig->loop), rig->pool,
                      &image),
            "mem_open");
    require(!blk_open(image, 4, &rig->spec.drive[i].blk), "blk_open");
}

void machine_rig_init(struct machine_rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    fake_host_init(&rig->fake, 1 << 20);
    rig->loop = fake_loop_create();
    require(!pool_create(POOL_PAGES, &rig->pool), "pool_create");
    rig->claims_left = UINT_MAX;
    rig->line.credit = UINT_MAX;
    rig->spec.role = MACHINE_PRIMARY;
    rig->spec.unplug = MACHINE_UNPLUG_DISKS;
    rig->spec.vcpus = 2;
    rig->spec.platform = true;
    rig->spec.slot = 9;
    rig->spec.serial[0] = &rig->line;
    open_disk(rig, 0);
    open_disk(rig, 3);
}

int machine_rig_create(struct machine_rig *rig, char *ret_why, size_t why_size)
{
    return machine_create(&rig->fake.host, &listener, rig, &rig->spec, &rig->machine, ret_why,
                          why_size);
}

void machine_rig_destroy(struct machine_rig *rig)
{
    machine_destroy(rig->machine);
    rig->machine = NULL;
    require(!rig->ranges && !rig->funcs, "something is still claimed");
    require(!rig->line.ops, "the serial line is still bound");
    require(!rig->fake.timers_armed, "a timer is still armed");
}

void machine_rig_settle(struct machine_rig *rig)
{
    for (unsigned i = 0; i < 100000; i++) {
        if (!fake_loop_turn(rig->loop, 0))
            return;
    }
    require(false, "the disks never come to rest");
}

void machine_rig_finish(struct machine_rig *rig)
{
    machine_rig_destroy(rig);
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        blk_close(rig->spec.drive[i].blk, NULL, NULL);
    machine_rig_settle(rig);
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        free(rig->disk[i]);
    pool_destroy(rig->pool);
    fake_loop_destroy(rig->loop);
    fake_host_finish(&rig->fake);
}

static void *save(struct machine_rig *rig, size_t *ret_len)
{
    struct state_writer writer;
    void *buf = malloc(STATE_MAX);

    require(buf, "out of memory");
    state_writer_init(&writer, NULL, 0);
    machine_save(rig->machine, &writer);
    size_t counted = writer.pos;
    state_writer_init(&writer, buf, STATE_MAX);
    machine_save(rig->machine, &writer);
    require(!writer.error && writer.pos == counted, "saving went wrong");
    *ret_len = writer.pos;
    return buf;
}

void machine_rig_migrate(struct machine_rig *rig)
{
    struct state_reader reader;
    size_t len, len_again;

    for (unsigned i = 0; !machine_quiesce(rig->machine); i++) {
        require(i < 1000, "the machine is never quiet");
        machine_rig_settle(rig);
    }
    void *before = save(rig, &len);
    machine_rig_destroy(rig);
    require(!machine_rig_create(rig, (char[64]){0}, 64), "machine_create");
    state_reader_init(&reader, before, len);
    require(!machine_load(rig->machine, &reader), "the machine's own state is refused");
    require(reader.pos == len, "state is left over");
    void *after = save(rig, &len_again);
    require(len == len_again && !memcmp(before, after, len), "a loaded machine saves differently");
    free(before);
    free(after);
    machine_resume(rig->machine);
}

uint64_t machine_rig_in(struct machine_rig *rig, uint16_t port, unsigned size)
{
    return bus_read(machine_bus(rig->machine), BUS_PORT, port, size);
}

void machine_rig_out(struct machine_rig *rig, uint16_t port, unsigned size, uint64_t value)
{
    bus_write(machine_bus(rig->machine), BUS_PORT, port, size, value);
}

uint32_t machine_rig_config(struct machine_rig *rig, uint8_t devfn, uint8_t reg)
{
    machine_rig_out(rig, 0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | (reg & 0xfc));
    return (uint32_t)machine_rig_in(rig, 0xcfc, 4);
}

void machine_rig_set_config(struct machine_rig *rig, uint8_t devfn, uint8_t reg, unsigned size,
                            uint32_t value)
{
    machine_rig_out(rig, 0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | (reg & 0xfc));
    machine_rig_out(rig, (uint16_t)(0xcfc + (reg & 3)), size, value);
}
