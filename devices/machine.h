/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's machine: its bus and the devices that its role calls for, from one plain description.
 *
 * MACHINE_PRIMARY is the only device model of an HVM guest: i440FX, PIIX3 with IDE, PIIX4 power
 * management, the Xen platform device, CMOS, keyboard controller, serial port and the rest of what
 * firmware and an OS look for (devices/chipset). MACHINE_SECONDARY adds a CMD646 controller beside
 * another device model and claims nothing else.
 */
#ifndef IOEMUD_DEVICES_MACHINE_H
#define IOEMUD_DEVICES_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/blk.h"
#include "devices/backend/chr.h"
#include "devices/bus.h"
#include "devices/dev.h"
#include "devices/host.h"

#define MACHINE_IDE_DRIVES        4  /* master and slave of the primary, of the secondary channel */
#define MACHINE_SERIALS           2  /* 0x3f8 IRQ 4, 0x2f8 IRQ 3 */
#define MACHINE_SERIAL_NUMBER_MAX 20 /* ATA8-ACS 7.16, words 10-19 */
#define MACHINE_MODEL_MAX         40 /* words 27-46 */
#define MACHINE_FIRMWARE_MAX      8  /* words 23-26 */

enum machine_role {
    MACHINE_PRIMARY,
    MACHINE_SECONDARY,
};

enum machine_unplug {
    MACHINE_UNPLUG_NEVER, /* the platform device does not answer the protocol */
    MACHINE_UNPLUG_DISKS, /* it does, and every disk has a PV backend to go to */
};

struct machine_drive {
    struct blk *blk; /* NULL: absent. Stays the caller's; closed after the machine is destroyed */
    char serial[MACHINE_SERIAL_NUMBER_MAX + 1]; /* "": one made from the position */
    char model[MACHINE_MODEL_MAX + 1];          /* "": "ioemud HARDDISK" */
    char firmware[MACHINE_FIRMWARE_MAX + 1];    /* revision; "": "1.0" */
    uint64_t wwn; /* World Wide Name, words 108-111, with the NAA field 5h on top; 0: none */
};

/* Where a secondary's controller goes unless told otherwise: high, since QEMU and libxl fill a bus
 * from below. */
#define MACHINE_SECONDARY_SLOT 30u
/* A primary has host bridge, PIIX3 and the platform device in slots 0 to 2. */
#define MACHINE_LAST_PRIMARY_SLOT 2u

struct machine_spec {
    enum machine_role role;
    uint32_t instance; /* of a secondary: 0, 1, ...: tells its saved state apart */
    uint8_t slot;      /* secondary: PCI slot of the controller, 1-31 */
    enum machine_unplug unplug;
    struct machine_drive drive[MACHINE_IDE_DRIVES];
    /* NULL: port exists (0) or is absent (1), not connected. Stays the caller's; closed after the
     * machine is destroyed, which unbinds it. */
    struct chr *serial[MACHINE_SERIALS];
    char boot_order[4]; /* QEMU's letters, "c" disk, "d" CD-ROM, "n" network; "": "c" */
    uint64_t ram_bytes; /* unused by most; CMOS is filled by hvmloader */
    unsigned vcpus;     /* plugged in at first: the ACPI CPU map at 0xaf00 */
    bool platform;      /* the Xen platform device (libxl: xen_platform_pci) */
};

struct machine;

/* `host` is copied. Errors: -EEXIST, -EINVAL (a slot that is none), -ENOMEM, the bus listener's.
 * `ret_why`, of `why_size` bytes, gets which device failed. */
int machine_create(const struct host *host, const struct bus_listener *listener, void *listener_ctx,
                   const struct machine_spec *spec, struct machine **ret_machine, char *ret_why,
                   size_t why_size);
/* Releases every range, cancels every request. NULL is fine. */
void machine_destroy(struct machine *machine);

struct bus *machine_bus(struct machine *machine);
void machine_reset(struct machine *machine);
bool machine_quiesce(struct machine *machine);
void machine_resume(struct machine *machine);
void machine_save(struct machine *machine, struct state_writer *writer);
int machine_load(struct machine *machine, struct state_reader *reader);

/* The ACPI CPU map: `vcpu-set`. */
void machine_set_vcpu(struct machine *machine, unsigned vcpu, bool online);

/* For the statistics: devices in creation order; NULL beyond the last. */
const struct dev *machine_dev(const struct machine *machine, unsigned index);

#endif
