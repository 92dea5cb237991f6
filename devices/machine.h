/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's machine: its bus and the devices that its role calls for, from one plain description.
 *
 * MACHINE_PRIMARY is the only device model of an HVM guest: i440FX, PIIX3 with IDE, PIIX4 power
 * management, the Xen platform device, CMOS, keyboard controller, serial port and the rest of what
 * firmware and an OS look for (devices/chipset). MACHINE_SECONDARY adds a CMD646 controller beside
 * another device model and claims nothing else. NICs go with either. MACHINE_NONE is that of a
 * guest without emulated devices: a bus on which nothing is.
 */
#ifndef IOEMUD_DEVICES_MACHINE_H
#define IOEMUD_DEVICES_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/blk.h"
#include "devices/backend/chr.h"
#include "devices/backend/net.h"
#include "devices/bus.h"
#include "devices/dev.h"
#include "devices/host.h"

#define MACHINE_IDE_DRIVES        4  /* master and slave of the primary, of the secondary channel */
#define MACHINE_SERIALS           2  /* 0x3f8 IRQ 4, 0x2f8 IRQ 3 */
#define MACHINE_SERIAL_NUMBER_MAX 20 /* ATA8-ACS 7.16, words 10-19 */
#define MACHINE_MODEL_MAX         40 /* words 27-46 */
#define MACHINE_NICS              8  /* as many as libxl and QEMU take */
#define MACHINE_FIRMWARE_MAX      8  /* words 23-26 */

enum machine_role {
    MACHINE_PRIMARY,
    MACHINE_SECONDARY,
    MACHINE_NONE,
};

enum machine_unplug {
    MACHINE_UNPLUG_NEVER, /* the platform device does not answer the protocol */
    MACHINE_UNPLUG_DISKS, /* it does, and every disk and NIC has a PV backend to go to */
};

struct machine_drive {
    /* NULL: absent, or no medium. Stays the caller's; closed after the machine is destroyed. */
    struct blk *blk;
    bool cdrom;
    char serial[MACHINE_SERIAL_NUMBER_MAX + 1]; /* "": one made from the position */
    char model[MACHINE_MODEL_MAX + 1];          /* "": "ioemud HARDDISK" or "ioemud DVD-ROM" */
    char firmware[MACHINE_FIRMWARE_MAX + 1];    /* revision; "": "1.0" */
    uint64_t wwn; /* World Wide Name, words 108-111, with the NAA field 5h on top; 0: none */
};

/* Where a secondary's controller goes unless told otherwise: high, since QEMU and libxl fill a bus
 * from below. */
#define MACHINE_SECONDARY_SLOT 30u
/* A primary has host bridge, PIIX3 and the platform device in slots 0 to 2. */
#define MACHINE_LAST_PRIMARY_SLOT 2u

/* Where NICs go unless told otherwise: from 4 up, where libxl's QEMU puts them, too; those of a
 * secondary from 29 down. */
#define MACHINE_NIC_SLOT           4u
#define MACHINE_SECONDARY_NIC_SLOT 29u

struct machine_nic {
    const char *model;          /* "e1000", ...: see machine_nic_model(). NULL: no NIC */
    struct net *net;            /* Stays the caller's; closed after the NIC or machine is gone */
    uint8_t mac[NET_MAC_BYTES]; /* the one in its EEPROM or PROM */
    uint8_t slot;               /* 1-31; 0: by its position */
    /* The expansion ROM (PCI firmware 3.0, 5.1), NULL: none. Stays the caller's, as long as `net`.
     */
    const uint8_t *rom;
    uint32_t rom_bytes;
    unsigned index; /* filled in by the machine: its position in machine_spec.nic */
};

struct machine_spec {
    enum machine_role role;
    uint32_t instance; /* of a secondary: 0, 1, ...: tells its saved state apart */
    uint8_t slot;      /* secondary: PCI slot of the controller, 1-31 */
    enum machine_unplug unplug;
    struct machine_drive drive[MACHINE_IDE_DRIVES];
    /* NULL: port exists (0) or is absent (1), not connected. Stays the caller's; closed after the
     * machine is destroyed, which unbinds it. */
    struct chr *serial[MACHINE_SERIALS];
    struct machine_nic nic[MACHINE_NICS];
    char boot_order[4]; /* QEMU's letters, "c" disk, "d" CD-ROM, "n" network; "": "c" */
    uint64_t ram_bytes; /* unused by most; CMOS is filled by hvmloader */
    unsigned vcpus;     /* plugged in at first: the ACPI CPU map at 0xaf00 */
    bool platform;      /* the Xen platform device (libxl: xen_platform_pci) */
};

struct machine;

/* `host` is copied. Errors: -EEXIST, -EINVAL (a slot that is none, a NIC's model that is not here),
 * -ENOMEM, the bus listener's. `ret_why`, of `why_size` bytes, gets which device failed. */
int machine_create(const struct host *host, const struct bus_listener *listener, void *listener_ctx,
                   const struct machine_spec *spec, struct machine **ret_machine, char *ret_why,
                   size_t why_size);
/* Releases every range, cancels every request. NULL is fine. */
void machine_destroy(struct machine *machine);

struct bus *machine_bus(struct machine *machine);
/* Which device answers there, and where its range begins and ends; whose a PCI function's
 * configuration is, by its devfn. NULL: nobody's. */
const struct dev *machine_device_at(struct machine *machine, enum bus_space space, uint64_t addr,
                                    uint64_t *ret_first, uint64_t *ret_last);
const struct dev *machine_function(struct machine *machine, uint8_t devfn);
void machine_reset(struct machine *machine);
bool machine_quiesce(struct machine *machine);
void machine_resume(struct machine *machine);
void machine_save(struct machine *machine, struct state_writer *writer);
int machine_load(struct machine *machine, struct state_reader *reader);

/* True if there is a NIC of that model. */
bool machine_nic_model(const char *model);
/* Adds a NIC at position `index` while the guest runs and tells the guest (ACPI, primary only).
 * -EEXIST: there is one, or its slot is taken; -EINVAL: no such model or position; -ENOMEM; the bus
 * listener's. */
int machine_add_nic(struct machine *machine, unsigned index, const struct machine_nic *nic);
/* Asks the guest to give it up (primary only); its acknowledgement removes it. False: none there,
 * or a secondary, whose guest cannot be asked. */
bool machine_eject_nic(struct machine *machine, unsigned index);
/* Pulls it out at once, asked or not. False: none there. */
bool machine_remove_nic(struct machine *machine, unsigned index);
/* Whether it is there: false once it has been removed or unplugged by the guest. */
bool machine_has_nic(const struct machine *machine, unsigned index);

/* Whether the platform device answers from now on; what has been unplugged stays so. Without such a
 * device nothing. */
void machine_set_unplug(struct machine *machine, enum machine_unplug unplug);

/* Whether the disk at this place was unplugged and is not at rest yet: host_ops.disk_left follows.
 */
bool machine_disk_leaving(const struct machine *machine, unsigned drive);

/* The ACPI CPU map: `vcpu-set`. */
void machine_set_vcpu(struct machine *machine, unsigned vcpu, bool online);

/* The tray of the CD-ROM drive at this place, from outside of the guest. -ENODEV: there is none.
 *
 * Eject opens it and gives back what lay in it (NULL: nothing), which the caller closes; the guest
 * does not get at it any more. -EBUSY: the guest has locked it and is told that somebody wants it
 * open; `force` opens it all the same. Insert lays a medium into the empty tray (-EBUSY: it is not)
 * and closes it. */
int machine_eject(struct machine *machine, unsigned drive, bool force, struct blk **ret_blk);
int machine_insert(struct machine *machine, unsigned drive, struct blk *blk);

/* How many data ports the devices may have at a time, beside those at 0x1f0 and 0x170. NICs that
 * are added later are not thought of. */
unsigned machine_data_ports(const struct machine *machine);

/* For the statistics: devices in creation order; NULL beyond the last. */
const struct dev *machine_dev(const struct machine *machine, unsigned index);

#endif
