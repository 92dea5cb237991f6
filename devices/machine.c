/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/models.h"

struct model {
    const char *name;
    int (*create)(const struct dev_env *env, struct dev **ret_dev);
    bool platform_only; /* made only where the spec asks for the platform device */
};

/* In the order of creation, of save and of load: bridges before what they route. */
static const struct model primary_models[] = {
    {"pci-host", pci_host_create, false},
    {"i440fx", i440fx_create, false},
    {"piix3-isa", piix3_isa_create, false},
    {"piix3-ide", piix3_ide_create, false},
    {"piix4-pm", piix4_pm_create, false},
    {"xen-platform", xen_platform_create, true},
    {"cmos", cmos_create, false},
    {"i8042", i8042_create, false},
    {"reset-ports", reset_ports_create, false},
    {"dma8237", dma8237_create, false},
    {"uart16550", uart16550_create, false},
};

static const struct model secondary_models[] = {
    {"cmd646", cmd646_create, false},
};

#define MACHINE_DEVS_MAX (sizeof(primary_models) / sizeof(primary_models[0]))

struct machine {
    struct host host;
    struct bus *bus;
    struct dev *devs[MACHINE_DEVS_MAX];
    unsigned n_devs;
    /* Among them, the ones that are spoken to; NULL where the role has none. */
    struct dev *pm;
    struct dev *ide;
};

static int add_device(struct machine *machine, const struct machine_spec *spec,
                      const struct model *model)
{
    const struct dev_env env = {
        .host = &machine->host, .bus = machine->bus, .spec = spec, .machine = machine};
    struct dev *dev;
    int err = model->create(&env, &dev);

    if (err)
        return err;
    assert(machine->n_devs < MACHINE_DEVS_MAX);
    machine->devs[machine->n_devs++] = dev;
    if (model->create == piix4_pm_create)
        machine->pm = dev;
    else if (model->create == piix3_ide_create || model->create == cmd646_create)
        machine->ide = dev;
    return 0;
}

static int add_devices(struct machine *machine, const struct machine_spec *spec, char *ret_why,
                       size_t why_size)
{
    bool primary = spec->role == MACHINE_PRIMARY;
    const struct model *models = primary ? primary_models : secondary_models;
    size_t n = primary ? sizeof(primary_models) / sizeof(primary_models[0])
                       : sizeof(secondary_models) / sizeof(secondary_models[0]);

    for (size_t i = 0; i < n; i++) {
        if (models[i].platform_only && !spec->platform)
            continue;
        int err = add_device(machine, spec, &models[i]);
        if (err) {
            snprintf(ret_why, why_size, "%s: %s", models[i].name, strerror(-err));
            return err;
        }
    }
    return 0;
}

int machine_create(const struct host *host, const struct bus_listener *listener, void *listener_ctx,
                   const struct machine_spec *spec, struct machine **ret_machine, char *ret_why,
                   size_t why_size)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    int err = -ENOMEM;

    if (!machine)
        goto say_why;
    machine->host = *host;
    err = bus_create(listener, listener_ctx, &machine->bus);
    if (err)
        goto say_why;
    err = add_devices(machine, spec, ret_why, why_size);
    if (err)
        goto destroy;
    *ret_machine = machine;
    return 0;

say_why:
    snprintf(ret_why, why_size, "machine: %s", strerror(-err));
destroy:
    machine_destroy(machine);
    return err;
}

void machine_destroy(struct machine *machine)
{
    if (!machine)
        return;
    while (machine->n_devs) {
        struct dev *dev = machine->devs[--machine->n_devs];
        dev->ops->destroy(dev);
    }
    bus_destroy(machine->bus);
    free(machine);
}

struct bus *machine_bus(struct machine *machine)
{
    return machine->bus;
}

void machine_reset(struct machine *machine)
{
    for (unsigned i = 0; i < machine->n_devs; i++) {
        struct dev *dev = machine->devs[i];
        if (dev->ops->reset)
            dev->ops->reset(dev);
    }
}

bool machine_quiesce(struct machine *machine)
{
    bool quiet = true;

    /* All of them, so that they drain at the same time. */
    for (unsigned i = 0; i < machine->n_devs; i++) {
        struct dev *dev = machine->devs[i];
        if (dev->ops->quiesce && !dev->ops->quiesce(dev))
            quiet = false;
    }
    return quiet;
}

void machine_resume(struct machine *machine)
{
    for (unsigned i = 0; i < machine->n_devs; i++) {
        struct dev *dev = machine->devs[i];
        if (dev->ops->resume)
            dev->ops->resume(dev);
    }
}

void machine_save(struct machine *machine, struct state_writer *writer)
{
    for (unsigned i = 0; i < machine->n_devs; i++) {
        const struct dev *dev = machine->devs[i];
        if (!dev->ops->save)
            continue;
        state_begin(writer, dev->ops->model, dev->instance, dev->ops->version);
        dev->ops->save(dev, writer);
        state_end(writer);
    }
}

int machine_load(struct machine *machine, struct state_reader *reader)
{
    for (unsigned i = 0; i < machine->n_devs; i++) {
        struct dev *dev = machine->devs[i];
        if (!dev->ops->load)
            continue;
        uint32_t version = state_open(reader, dev->ops->model, dev->instance, dev->ops->version);
        if (version) {
            dev->ops->load(dev, reader, version);
            state_close(reader);
        }
        if (reader->error)
            return reader->error;
    }
    return 0;
}

void machine_set_vcpu(struct machine *machine, unsigned vcpu, bool online)
{
    if (machine->pm)
        piix4_pm_set_vcpu(machine->pm, vcpu, online);
}

int machine_eject(struct machine *machine, unsigned drive, bool force, struct blk **ret_blk)
{
    return ide_eject(machine->ide, drive, force, ret_blk);
}

int machine_insert(struct machine *machine, unsigned drive, struct blk *blk)
{
    return ide_insert(machine->ide, drive, blk);
}

void machine_unplug_disks(struct machine *machine)
{
    if (machine->ide)
        piix3_ide_unplug_disks(machine->ide);
}

void machine_unplug_aux_disks(struct machine *machine)
{
    if (machine->ide)
        piix3_ide_unplug_aux_disks(machine->ide);
}

unsigned machine_data_ports(const struct machine *machine)
{
    unsigned ports = 0;

    for (unsigned i = 0; i < machine->n_devs; i++)
        ports += machine->devs[i]->data_ports;
    return ports;
}

const struct dev *machine_dev(const struct machine *machine, unsigned index)
{
    return index < machine->n_devs ? machine->devs[index] : NULL;
}
