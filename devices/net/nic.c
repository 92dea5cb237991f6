/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/net/nic.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what a model calls ---------------------------------------------------------------------- */

static uint32_t command(const struct nic *nic)
{
    return pci_func_get(&nic->pci, PCI_COMMAND, 2);
}

bool nic_may_dma(const struct nic *nic)
{
    return !nic->held && command(nic) & PCI_COMMAND_MASTER;
}

void nic_store(const struct nic *nic, uint64_t addr, const void *buf, size_t len)
{
    int err = host_dma_write(nic->host, addr, buf, len);

    (void)err;
}

bool nic_may_interrupt(const struct nic *nic)
{
    return !(command(nic) & PCI_COMMAND_INTX_DISABLE);
}

static void set_line(struct nic *nic, bool level)
{
    if (nic->intx == level)
        return;
    nic->intx = level;
    nic->interrupts += level;
    host_pci_intx(nic->host, nic->pci.devfn >> 3, 0, level);
}

void nic_drive(struct nic *nic, bool level)
{
    set_line(nic, level && nic_may_interrupt(nic));
}

void nic_receive_ready(struct nic *nic)
{
    if (!nic->held)
        net_receive_ready(nic->net);
}

void nic_receive_enable(struct nic *nic, bool on)
{
    if (nic->held)
        return;
    net_receive_enable(nic->net, on);
    net_receive_ready(nic->net);
}

void nic_arm(const struct nic *nic, struct host_timer *timer, uint64_t ns)
{
    host_timer_arm(nic->host, timer, host_now_ns(nic->host) + ns);
}

void nic_disarm(const struct nic *nic, struct host_timer *timer)
{
    if (timer->deadline_ns)
        host_timer_disarm(nic->host, timer);
}

void nic_add_counter(struct nic *nic, const char *name, const uint64_t *value)
{
    assert(nic->dev.n_counters < NIC_COUNTERS);
    nic->counter[nic->dev.n_counters++] = (struct dev_counter){name, value};
}

/* ---- from the bus and the way out ------------------------------------------------------------ */

static void pci_written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    struct nic *nic = dev;

    if (reg <= PCI_COMMAND + 1 && reg + size > PCI_COMMAND)
        nic->model->command(nic);
}

static enum net_answer on_receive(void *owner, const uint8_t *frame, uint32_t bytes,
                                  const struct net_offload *offload)
{
    struct nic *nic = owner;

    return nic->held ? NET_NO_ROOM : nic->model->receive(nic, frame, bytes, offload);
}

static void on_received(void *owner)
{
    struct nic *nic = owner;

    nic->model->received(nic);
}

static void on_writable(void *owner)
{
    struct nic *nic = owner;

    nic->model->writable(nic);
}

static void on_link(void *owner, bool up)
{
    struct nic *nic = owner;

    if (nic->model->link)
        nic->model->link(nic, up);
}

static const struct net_client_ops client_ops = {
    .receive = on_receive,
    .received = on_received,
    .writable = on_writable,
    .link = on_link,
};

/* ---- from the machine ------------------------------------------------------------------------ */

void nic_reset(struct dev *dev)
{
    struct nic *nic = (struct nic *)dev;

    pci_func_reset(&nic->pci);
    nic->model->reset(nic);
}

bool nic_quiesce(struct dev *dev)
{
    ((struct nic *)dev)->held = true;
    return true;
}

void nic_resume(struct dev *dev)
{
    struct nic *nic = (struct nic *)dev;

    nic->held = false;
    nic->model->resume(nic);
}

void nic_save(const struct dev *dev, struct state_writer *writer)
{
    const struct nic *nic = (const struct nic *)dev;

    pci_func_save(&nic->pci, writer);
    nic->model->save(nic, writer);
}

void nic_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct nic *nic = (struct nic *)dev;

    nic->held = true;
    if (!pci_func_load(&nic->pci, reader))
        nic->model->load(nic, reader, version);
}

void nic_destroy(struct dev *dev)
{
    struct nic *nic = (struct nic *)dev;

    net_bind(nic->net, NULL, NULL);
    set_line(nic, false);
    pci_func_finish(&nic->pci);
    if (nic->model->finish)
        nic->model->finish(nic);
    free(nic);
}

static int init_pci(struct nic *nic, struct bus *bus, const struct machine_nic *spec)
{
    struct pci_func *pci = &nic->pci;
    struct pci_id id = nic->model->id;

    id.class_code = 0x020000; /* Ethernet: PCI 3.0, appendix D */
    id.interrupt_pin = 1;
    pci->name = nic->name;
    pci->dev = nic;
    pci->written = pci_written;
    pci->rom = spec->rom;
    pci->rom_bytes = spec->rom_bytes;
    for (unsigned i = 0; i < PCI_BARS; i++)
        pci->bar[i] = nic->model->bar[i];
    return pci_func_init(pci, bus, PCI_DEVFN(spec->slot, 0), &id);
}

int nic_create(const struct nic_model *model, const struct dev_env *env,
               const struct machine_nic *spec, struct dev **ret_dev)
{
    struct nic *nic = calloc(1, model->size);

    assert(spec->net && spec->slot < 32);
    if (!nic)
        return -ENOMEM;
    nic->model = model;
    nic->host = env->host;
    nic->net = spec->net;
    snprintf(nic->name, sizeof(nic->name), NIC_NAME, spec->index);
    nic->dev.ops = &model->dev;
    nic->dev.name = nic->name;
    nic->dev.instance = spec->index;
    nic->dev.counters = nic->counter;
    nic_add_counter(nic, "interrupts", &nic->interrupts);
    int err = init_pci(nic, env->bus, spec);
    if (err)
        goto free_nic;
    err = model->init(nic, spec->mac);
    if (err)
        goto finish_pci;
    net_bind(nic->net, &client_ops, nic);
    nic_reset(&nic->dev);
    *ret_dev = &nic->dev;
    return 0;

finish_pci:
    pci_func_finish(&nic->pci);
free_nic:
    free(nic);
    return err;
}
