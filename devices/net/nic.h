/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every NIC is, whatever its registers: a device of the machine, a function on PCI with an
 * expansion ROM, one interrupt line, a client of its way out. A model embeds struct nic first in
 * its own struct, and one struct nic_model says what it does.
 *
 *   machine, bus, net --> nic.c --> hooks of the model
 *                                      |
 *   host, net <-- nic.c <-- nic_drive(), nic_receive_enable(), ...
 *
 * What a model calls here never calls the model.
 *
 * A quiesced NIC is held: nothing moves, and nothing is lost, since what comes waits at the way
 * out. Every transfer is complete when its access or turn is, so that it is quiet at once. A NIC
 * whose state was loaded is held until it is resumed.
 */
#ifndef IOEMUD_DEVICES_NET_NIC_H
#define IOEMUD_DEVICES_NET_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/net.h"
#include "devices/dev.h"
#include "devices/models.h"
#include "devices/pci.h"

#define NIC_COUNTERS 5 /* at most, with "interrupts" */

struct nic {
    struct dev dev; /* first */
    const struct nic_model *model;
    struct pci_func pci;
    const struct host *host;
    struct net *net;
    bool held;
    bool intx;           /* INTA's level */
    uint64_t interrupts; /* times that INTA rose */
    struct dev_counter counter[NIC_COUNTERS];
    char name[NIC_NAME_SIZE];
};

/* No hook is NULL, but for those that may be. Each is called from the worker. */
struct nic_model {
    struct dev_ops dev; /* NIC_DEV_OPS */
    size_t size;        /* of the model's struct */
    struct pci_id id;   /* class and interrupt pin are every NIC's */
    struct pci_bar bar[PCI_BARS];

    /* Of a new one, all zeroes but for its struct nic; the function is on its bus. Counters, what
     * holds the address (EEPROM, PROM), timers. -ENOMEM with nothing left behind. */
    int (*init)(struct nic *nic, const uint8_t mac[NET_MAC_BYTES]);
    /* Disarms timers, frees all but the struct. May be NULL. */
    void (*finish)(struct nic *nic);
    /* RST#, as at power-on; the function's configuration space has been reset. */
    void (*reset)(struct nic *nic);
    /* It is not held any more: the cable may be another one, and the switch goes where it is to be.
     */
    void (*resume)(struct nic *nic);
    /* Behind the configuration space. */
    void (*save)(const struct nic *nic, struct state_writer *writer);
    void (*load)(struct nic *nic, struct state_reader *reader, uint32_t version);
    /* The guest wrote PCI's Command register: nic_may_dma() or the line may be another. */
    void (*command)(struct nic *nic);

    /* As in struct net_client_ops. While it is held it is offered no frame. */
    enum net_answer (*receive)(struct nic *nic, const uint8_t *frame, uint32_t bytes,
                               const struct net_offload *offload);
    void (*received)(struct nic *nic);
    void (*writable)(struct nic *nic);
    void (*link)(struct nic *nic, bool up); /* may be NULL */
};

/* A model's create function, once it is known which. */
int nic_create(const struct nic_model *model, const struct dev_env *env,
               const struct machine_nic *spec, struct dev **ret_dev);
/* In init(): one more for the statistics. */
void nic_add_counter(struct nic *nic, const char *name, const uint64_t *value);

/* Whether it may use the bus: neither held nor without bus mastering. */
bool nic_may_dma(const struct nic *nic);
/* To guest memory. What cannot be reached is lost, as on a bus without a target: a driver finds a
 * descriptor by the head, and has checksums. */
void nic_store(const struct nic *nic, uint64_t addr, const void *buf, size_t len);

/* False: the guest has turned INTA off in the Command register (PCI 3.0, 6.2.2). */
bool nic_may_interrupt(const struct nic *nic);
/* INTA, if it may. */
void nic_drive(struct nic *nic, bool level);

/* The receiver's switch; what waits is offered again. Of a held one it stays as it is. */
void nic_receive_enable(struct nic *nic, bool on);
/* There may be room for what waits, or it may not be wanted any more. */
void nic_receive_ready(struct nic *nic);

/* A timer of the model, `ns` from now; disarming one that is not armed costs nothing. */
void nic_arm(const struct nic *nic, struct host_timer *timer, uint64_t ns);
void nic_disarm(const struct nic *nic, struct host_timer *timer);

/* What the machine calls: the name in configuration and state, and the state's version. */
#define NIC_DEV_OPS(name, state_version)                                                           \
    {                                                                                              \
        .model = (name), .version = (state_version), .reset = nic_reset, .quiesce = nic_quiesce,   \
        .resume = nic_resume, .save = nic_save, .load = nic_load, .destroy = nic_destroy,          \
    }
void nic_reset(struct dev *dev);
bool nic_quiesce(struct dev *dev);
void nic_resume(struct dev *dev);
void nic_save(const struct dev *dev, struct state_writer *writer);
void nic_load(struct dev *dev, struct state_reader *reader, uint32_t version);
void nic_destroy(struct dev *dev);

#endif
