/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Create functions of the device models; devices/machine.c lists them in its registry. Each makes a
 * device on the heap, claims what it answers, and returns 0 or -errno with nothing left behind.
 */
#ifndef IOEMUD_DEVICES_MODELS_H
#define IOEMUD_DEVICES_MODELS_H

#include "devices/dev.h"
#include "devices/machine.h"

/* What a create function gets. All of it outlives the device. */
struct dev_env {
    const struct host *host;
    struct bus *bus;
    const struct machine_spec *spec; /* valid during create only; NULL: a NIC added later */
    struct machine *machine;
};

/* devices/chipset */
int i440fx_create(const struct dev_env *env, struct dev **ret_dev);
int pci_host_create(const struct dev_env *env, struct dev **ret_dev); /* 0xcf8, 0xcf9, 0xcfc */
int piix3_isa_create(const struct dev_env *env, struct dev **ret_dev);
int piix4_pm_create(const struct dev_env *env, struct dev **ret_dev);
int xen_platform_create(const struct dev_env *env, struct dev **ret_dev);
int cmos_create(const struct dev_env *env, struct dev **ret_dev);
int i8042_create(const struct dev_env *env, struct dev **ret_dev);
int reset_ports_create(const struct dev_env *env, struct dev **ret_dev); /* 0x92 */
int dma8237_create(const struct dev_env *env, struct dev **ret_dev);
int uart16550_create(const struct dev_env *env, struct dev **ret_dev); /* both serial ports */

void xen_platform_set_unplug(struct dev *dev, enum machine_unplug unplug);

/* devices/ide */
int piix3_ide_create(const struct dev_env *env, struct dev **ret_dev); /* 01.1 */
int cmd646_create(const struct dev_env *env, struct dev **ret_dev);

/* devices/net. A NIC that has been created belongs to the machine like any device; its destroy
 * takes its leave of nic->net, which it does not close, and releases its PCI function before it
 * frees anything (statistics may still be looking: daemon/vm.h). Its name is "nic0" to "nic7"
 * (NIC_NAME), its instance nic->index. `nic` is valid during create only, what it points to longer
 * than the NIC. All that is nic.h's; a model's create function is nic_create() of its struct
 * nic_model, and has a line in machine.c's nic_models. */
#define NIC_NAME      "nic%u"
#define NIC_NAME_SIZE 8
int e1000_create(const struct dev_env *env, const struct machine_nic *nic, struct dev **ret_dev);
int ne2000_create(const struct dev_env *env, const struct machine_nic *nic, struct dev **ret_dev);
int rtl8139_create(const struct dev_env *env, const struct machine_nic *nic, struct dev **ret_dev);

/* The platform device's unplug of NICs: all of them are gone when it returns. */
void machine_unplug_nics(struct machine *machine);

/* The platform device's unplug of disks: every IDE disk (not CD-ROM) of the machine goes away.
 * machine.c walks its IDE controllers. */
void machine_unplug_disks(struct machine *machine);
void piix3_ide_unplug_disks(struct dev *dev);
/* The auxiliary disks: all but the primary master. */
void machine_unplug_aux_disks(struct machine *machine);
void piix3_ide_unplug_aux_disks(struct dev *dev);

/* Of either IDE controller: see machine_eject(), machine_insert(). */
int ide_eject(struct dev *dev, unsigned drive, bool force, struct blk **ret_blk);
int ide_insert(struct dev *dev, unsigned drive, struct blk *blk);

/* Likewise: see machine_disk_leaving(). */
bool ide_leaving(const struct dev *dev, unsigned drive);

/* What can be unplugged through the ACPI hotplug registers, a bit a slot; and that the guest has
 * acknowledged it. */
uint32_t machine_removable_slots(const struct machine *machine);
void machine_slots_ejected(struct machine *machine, uint32_t slots);
/* piix4_pm: tells the guest that there is something in the slot, or to give it up. */
void piix4_pm_slot_added(struct dev *dev, uint8_t slot);
void piix4_pm_slot_eject(struct dev *dev, uint8_t slot);

/* piix4_pm: the ACPI CPU map. */
void piix4_pm_set_vcpu(struct dev *dev, unsigned vcpu, bool online);

#endif
