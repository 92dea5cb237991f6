/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen lets two servers of a domain claim the same function or port, and the later one hides the
 * other's. Two primaries do, whatever else they have; beyond that it is PCI slots. Who serves a
 * domain's PV disks, as a primary and a guest without emulated devices do, serves all of them.
 */
#include <errno.h>
#include <stdio.h>

#include "daemon/guest.h"

uint8_t guest_secondary_slot(const struct guest_config *config)
{
    return config->slot ? config->slot : MACHINE_SECONDARY_SLOT;
}

/* A bit each. */
static uint32_t slots_of(const struct guest_config *config)
{
    bool primary = config->role == GUEST_PRIMARY;
    uint32_t slots = config->role == GUEST_PV ? 0
                     : primary                ? (UINT32_C(1) << (MACHINE_LAST_PRIMARY_SLOT + 1)) - 1
                                              : UINT32_C(1) << guest_secondary_slot(config);

    for (unsigned i = 0; i < config->n_nics; i++) {
        const struct nic_config *nic = &config->nic[i];
        unsigned slot = nic->slot ? nic->slot
                        : primary ? MACHINE_NIC_SLOT + nic->devid
                                  : MACHINE_SECONDARY_NIC_SLOT - nic->devid;

        slots |= UINT32_C(1) << slot;
    }
    return slots;
}

static bool would_hide(const struct guest_config *one, const struct guest_config *other)
{
    return (one->role != GUEST_SECONDARY && other->role != GUEST_SECONDARY) ||
           slots_of(one) & slots_of(other);
}

int guest_conflict(const struct daemon *daemon, const struct guest_attach *attach, char *ret_why)
{
    const struct guest_config *config = &attach->config;
    const struct guest *other = daemon->guests;

    while (other && (guest_leaves(other) || other->config.hypervisor != GUEST_XEN ||
                     other->domid != attach->domid || !would_hide(config, &other->config)))
        other = other->next;
    if (!other)
        return 0;
    if (config->role == GUEST_PV || other->config.role == GUEST_PV)
        snprintf(ret_why, GUEST_WHY_SIZE, "the PV disks of domain %u are served already: guest %s",
                 attach->domid, other->name);
    else if (config->role == GUEST_SECONDARY)
        snprintf(ret_why, GUEST_WHY_SIZE,
                 "domain %u has something in PCI slot %d already: guest %s; give this one another "
                 "\"slot\"",
                 attach->domid, __builtin_ctz(slots_of(config) & slots_of(&other->config)),
                 other->name);
    else if (other->config.role == GUEST_SECONDARY)
        snprintf(ret_why, GUEST_WHY_SIZE,
                 "domain %u has a secondary controller or NIC where a primary device model's "
                 "belongs: guest %s; give that one another \"slot\"",
                 attach->domid, other->name);
    else
        snprintf(ret_why, GUEST_WHY_SIZE,
                 "domain %u has a primary device model already: guest %s; give this one \"role\": "
                 "\"secondary\"",
                 attach->domid, other->name);
    return -EEXIST;
}
