/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/models.h"
#include "devices/pci.h"

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

/* NICs come after all these, in the order of their positions. */
struct nic_model {
    const char *name;
    int (*create)(const struct dev_env *env, const struct machine_nic *nic, struct dev **ret_dev);
};

static const struct nic_model nic_models[] = {
    {"e1000", e1000_create},
    {"ne2k_pci", ne2000_create},
    {"rtl8139", rtl8139_create},
    {NULL, NULL},
};

#define MACHINE_DEVS_MAX (sizeof(primary_models) / sizeof(primary_models[0]))

/* Of the saved state. */
#define NICS_SECTION "nics"

struct machine {
    struct host host;
    struct bus *bus;
    struct dev *devs[MACHINE_DEVS_MAX];
    unsigned n_devs;
    /* Among them, the ones that are spoken to; NULL where the role has none. */
    struct dev *pm;
    struct dev *ide;
    struct dev *platform;
    enum machine_role role;
    /* At fixed positions: statistics and the saved state tell NICs apart by them. */
    struct dev *nic[MACHINE_NICS]; /* set atomically: statistics look from another thread */
    uint8_t nic_slot[MACHINE_NICS];
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
    else if (model->create == xen_platform_create)
        machine->platform = dev;
    return 0;
}

static int add_devices(struct machine *machine, const struct machine_spec *spec, char *ret_why,
                       size_t why_size)
{
    static const struct {
        const struct model *models;
        size_t count;
    } role[] = {
        [MACHINE_PRIMARY] = {primary_models, sizeof(primary_models) / sizeof(primary_models[0])},
        [MACHINE_SECONDARY] = {secondary_models,
                               sizeof(secondary_models) / sizeof(secondary_models[0])},
        [MACHINE_NONE] = {NULL, 0},
    };
    const struct model *models = role[spec->role].models;

    for (size_t i = 0; i < role[spec->role].count; i++) {
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

static const struct nic_model *find_nic_model(const char *name)
{
    for (const struct nic_model *model = nic_models; model->name; model++)
        if (!strcmp(model->name, name))
            return model;
    return NULL;
}

bool machine_nic_model(const char *model)
{
    return find_nic_model(model) != NULL;
}

static uint8_t nic_default_slot(const struct machine *machine, unsigned index)
{
    return (uint8_t)(machine->role == MACHINE_PRIMARY ? MACHINE_NIC_SLOT + index
                                                      : MACHINE_SECONDARY_NIC_SLOT - index);
}

/* `spec` is NULL once the machine has been made. */
static int create_nic(struct machine *machine, const struct machine_spec *spec, unsigned index,
                      const struct machine_nic *given)
{
    const struct nic_model *model = given->model ? find_nic_model(given->model) : NULL;
    struct dev *dev;
    const struct dev_env env = {
        .host = &machine->host, .bus = machine->bus, .spec = spec, .machine = machine};
    struct machine_nic nic = *given;
    int err;

    if (!model || index >= MACHINE_NICS || nic.slot > 31)
        return -EINVAL;
    if (machine->nic[index])
        return -EEXIST;
    nic.index = index;
    if (!nic.slot)
        nic.slot = nic_default_slot(machine, index);
    err = model->create(&env, &nic, &dev);
    if (err)
        return err;
    machine->nic_slot[index] = nic.slot;
    __atomic_store_n(&machine->nic[index], dev, __ATOMIC_RELEASE);
    return 0;
}

static int create_nics(struct machine *machine, const struct machine_spec *spec, char *ret_why,
                       size_t why_size)
{
    for (unsigned i = 0; i < MACHINE_NICS; i++) {
        int err = spec->nic[i].model ? create_nic(machine, spec, i, &spec->nic[i]) : 0;

        if (err) {
            snprintf(ret_why, why_size, NIC_NAME " (%s): %s", i, spec->nic[i].model,
                     strerror(-err));
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
    machine->role = spec->role;
    err = bus_create(listener, listener_ctx, &machine->bus);
    if (err)
        goto say_why;
    err = add_devices(machine, spec, ret_why, why_size);
    if (!err)
        err = create_nics(machine, spec, ret_why, why_size);
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
    for (unsigned i = MACHINE_NICS; i--;)
        machine_remove_nic(machine, i);
    while (machine->n_devs) {
        struct dev *dev = machine->devs[--machine->n_devs];
        dev->ops->destroy(dev);
    }
    bus_destroy(machine->bus);
    free(machine);
}

/* All devices: those of the role, then the NICs. NULL beyond the last. */
static struct dev *nth_dev(const struct machine *machine, unsigned index)
{
    if (index < machine->n_devs)
        return machine->devs[index];
    index -= machine->n_devs;
    for (unsigned i = 0; i < MACHINE_NICS; i++) {
        struct dev *dev = __atomic_load_n(&machine->nic[i], __ATOMIC_ACQUIRE);

        if (dev && !index--)
            return dev;
    }
    return NULL;
}

/* Ranges and functions are claimed for the device itself, whose struct dev is first in it; an IDE
 * controller's ports for its channels. */
static const struct dev *find_dev(const struct machine *machine, const void *dev)
{
    for (unsigned i = 0; i < machine->n_devs; i++)
        if (machine->devs[i] == dev)
            return machine->devs[i];
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        if (machine->nic[i] && machine->nic[i] == dev)
            return machine->nic[i];
    return machine->ide;
}

const struct dev *machine_device_at(struct machine *machine, enum bus_space space, uint64_t addr,
                                    uint64_t *ret_first, uint64_t *ret_last)
{
    void *dev;

    return bus_find(machine->bus, space, addr, ret_first, ret_last, &dev) ? find_dev(machine, dev)
                                                                          : NULL;
}

const struct dev *machine_function(struct machine *machine, uint8_t devfn)
{
    const struct pci_func *func = bus_pci_func(machine->bus, devfn);

    return func ? find_dev(machine, func->dev) : NULL;
}

struct bus *machine_bus(struct machine *machine)
{
    return machine->bus;
}

void machine_reset(struct machine *machine)
{
    struct dev *dev;

    for (unsigned i = 0; (dev = nth_dev(machine, i)); i++)
        if (dev->ops->reset)
            dev->ops->reset(dev);
}

bool machine_quiesce(struct machine *machine)
{
    struct dev *dev;
    bool quiet = true;

    /* All of them, so that they drain at the same time. */
    for (unsigned i = 0; (dev = nth_dev(machine, i)); i++)
        if (dev->ops->quiesce && !dev->ops->quiesce(dev))
            quiet = false;
    return quiet;
}

void machine_resume(struct machine *machine)
{
    struct dev *dev;

    for (unsigned i = 0; (dev = nth_dev(machine, i)); i++)
        if (dev->ops->resume)
            dev->ops->resume(dev);
}

/* Which NICs there are at all: the guest may have unplugged some. */
static void save_presence(const struct machine *machine, struct state_writer *writer)
{
    uint8_t present = 0;

    for (unsigned i = 0; i < MACHINE_NICS; i++)
        present |= (uint8_t)(machine->nic[i] ? 1 << i : 0);
    state_begin(writer, NICS_SECTION, 0, 1);
    state_put_u8(writer, present);
    state_end(writer);
}

static void load_presence(struct machine *machine, struct state_reader *reader)
{
    uint8_t present = 0;

    if (state_open(reader, NICS_SECTION, 0, 1)) {
        present = state_get_u8(reader);
        state_close(reader);
    }
    for (unsigned i = 0; i < MACHINE_NICS && !reader->error; i++) {
        if (!(present & 1 << i))
            machine_remove_nic(machine, i);
        else if (!machine->nic[i])
            state_reject(reader);
    }
}

void machine_save(struct machine *machine, struct state_writer *writer)
{
    const struct dev *dev;

    for (unsigned i = 0; (dev = nth_dev(machine, i)); i++) {
        if (i == machine->n_devs)
            save_presence(machine, writer);
        if (!dev->ops->save)
            continue;
        state_begin(writer, dev->ops->model, dev->instance, dev->ops->version);
        dev->ops->save(dev, writer);
        state_end(writer);
    }
    if (!nth_dev(machine, machine->n_devs))
        save_presence(machine, writer);
}

int machine_load(struct machine *machine, struct state_reader *reader)
{
    struct dev *dev;

    for (unsigned i = 0;; i++) {
        if (i == machine->n_devs)
            load_presence(machine, reader);
        dev = reader->error ? NULL : nth_dev(machine, i);
        if (!dev)
            return reader->error;
        if (!dev->ops->load)
            continue;
        uint32_t version = state_open(reader, dev->ops->model, dev->instance, dev->ops->version);
        if (version) {
            dev->ops->load(dev, reader, version);
            state_close(reader);
        }
    }
}

int machine_add_nic(struct machine *machine, unsigned index, const struct machine_nic *nic)
{
    int err = create_nic(machine, NULL, index, nic);

    if (!err && machine->pm)
        piix4_pm_slot_added(machine->pm, machine->nic_slot[index]);
    return err;
}

bool machine_eject_nic(struct machine *machine, unsigned index)
{
    if (!machine_has_nic(machine, index) || !machine->pm)
        return false;
    piix4_pm_slot_eject(machine->pm, machine->nic_slot[index]);
    return true;
}

bool machine_remove_nic(struct machine *machine, unsigned index)
{
    struct dev *dev = index < MACHINE_NICS ? machine->nic[index] : NULL;

    if (!dev)
        return false;
    __atomic_store_n(&machine->nic[index], NULL, __ATOMIC_RELEASE);
    dev->ops->destroy(dev);
    return true;
}

bool machine_has_nic(const struct machine *machine, unsigned index)
{
    return index < MACHINE_NICS && machine->nic[index];
}

void machine_unplug_nics(struct machine *machine)
{
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        machine_remove_nic(machine, i);
}

uint32_t machine_removable_slots(const struct machine *machine)
{
    uint32_t slots = 0;

    for (unsigned i = 0; i < MACHINE_NICS; i++)
        if (machine->nic[i])
            slots |= UINT32_C(1) << machine->nic_slot[i];
    return slots;
}

void machine_slots_ejected(struct machine *machine, uint32_t slots)
{
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        if (machine->nic[i] && slots & UINT32_C(1) << machine->nic_slot[i])
            machine_remove_nic(machine, i);
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

void machine_set_unplug(struct machine *machine, enum machine_unplug unplug)
{
    if (machine->platform)
        xen_platform_set_unplug(machine->platform, unplug);
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

bool machine_disk_leaving(const struct machine *machine, unsigned drive)
{
    return machine->ide && ide_leaving(machine->ide, drive);
}

unsigned machine_data_ports(const struct machine *machine)
{
    unsigned ports = 0;

    for (unsigned i = 0; i < machine->n_devs; i++)
        ports += machine->devs[i]->data_ports;
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        ports += machine->nic[i] ? machine->nic[i]->data_ports : 0;
    return ports;
}

const struct dev *machine_dev(const struct machine *machine, unsigned index)
{
    return nth_dev(machine, index);
}
