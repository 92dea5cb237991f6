// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/diff/qtest_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/images.h"
#include "devices/backend/pool.h"

#define POOL_PAGES 1024
#define AIO_EVENTS 16
#define BLK_DEPTH  4

static void require(int err, const char *what)
{
    if (!err)
        return;
    fprintf(stderr, "qtest_server: %s: %s\n", what, strerror(-err));
    exit(1);
}

/* The fake host comes first in the machine. */
static void on_isa_irq(void *ctx, unsigned irq, bool level)
{
    struct qtest_machine *machine = ctx;

    if (irq >= 16 || machine->isa[irq] == level)
        return;
    machine->isa[irq] = level;
    if (machine->irq)
        machine->irq(machine->irq_arg, irq, level);
}

/* Resetting from within the access that asks for it would pull devices from under it. */
static void on_power(void *ctx, enum host_power event)
{
    ((struct qtest_machine *)ctx)->reset_wanted |= event == HOST_POWER_RESET;
}

static void open_disk(struct qtest_machine *machine, unsigned i, const struct qtest_disk *disk)
{
    const struct raw_options options = {.read_only = disk->read_only, .discard = disk->discard};
    struct machine_drive *drive = &machine->spec.drive[i];
    struct raw_image raw;
    struct blk_image *image;
    char why[256] = "";

    if (!disk->path)
        return;
    require(raw_probe(disk->path, &options, &raw, why, sizeof(why)), why);
    require(raw_open(&raw, machine->aio, fake_loop(machine->loop), machine->pool, &image),
            disk->path);
    require(blk_open(image, BLK_DEPTH, &drive->blk), disk->path);
    memcpy(drive->serial, disk->serial, sizeof(drive->serial));
    memcpy(drive->model, disk->model, sizeof(drive->model));
    memcpy(drive->firmware, disk->firmware, sizeof(drive->firmware));
    drive->wwn = disk->wwn;
}

void qtest_machine_init(struct qtest_machine *machine, const struct qtest_options *options)
{
    char why[64] = "";

    memset(machine, 0, sizeof(*machine));
    fake_host_init(&machine->fake, options->ram_bytes);
    machine->ops = *machine->fake.host.ops;
    machine->ops.isa_irq = on_isa_irq;
    machine->ops.power = on_power;
    machine->fake.host.ops = &machine->ops;
    machine->fake.host.ctx = machine;
    machine->loop = fake_loop_create();
    require(pool_create(POOL_PAGES, &machine->pool), "pool");
    require(aio_create(fake_loop(machine->loop), AIO_EVENTS, &machine->aio), "aio");

    machine->spec.role = MACHINE_PRIMARY;
    machine->spec.unplug = MACHINE_UNPLUG_NEVER;
    machine->spec.ram_bytes = options->ram_bytes;
    machine->spec.vcpus = 1;
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        open_disk(machine, i, &options->disk[i]);
    require(machine_create(&machine->fake.host, NULL, NULL, &machine->spec, &machine->machine, why,
                           sizeof(why)),
            why);
}

static bool busy(struct qtest_machine *machine)
{
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++) {
        struct blk *blk = machine->spec.drive[i].blk;
        if (blk && !blk_idle(blk))
            return true;
    }
    return false;
}

void qtest_machine_settle(struct qtest_machine *machine)
{
    bool moved, waiting;

    do {
        if (machine->reset_wanted) {
            machine->reset_wanted = false;
            machine_reset(machine->machine);
        }
        waiting = busy(machine);
        moved = fake_loop_turn(machine->loop, waiting ? 1000 : 0);
    } while (moved || waiting);
}

void qtest_machine_finish(struct qtest_machine *machine)
{
    machine_destroy(machine->machine);
    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++)
        blk_close(machine->spec.drive[i].blk, NULL, NULL);
    while (fake_loop_turn(machine->loop, 0))
        ;
    aio_destroy(machine->aio);
    pool_destroy(machine->pool);
    fake_loop_destroy(machine->loop);
    fake_host_finish(&machine->fake);
}
