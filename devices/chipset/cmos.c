/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CMOS memory behind ports 0x70 and 0x71 (MC146818 and the PC/AT's use of its RAM).
 *
 * Xen emulates the clock: it answers index 0 to 13 itself and forwards an index write or data
 * access only when the index lies beyond. So the index latched here is the guest's own whenever we
 * are asked for data. A hypervisor that forwards everything finds a clock that stands still.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/ports.h"
#include "devices/models.h"

#define CMOS_SIZE 128
#define INDEX_NMI 0x80 /* port 0x70: NMI mask, not part of the index */

#define REG_D     0x0d
#define REG_D_VRT 0x80 /* the battery is good */

/* As firmware reads them; names as in the PC/AT BIOS and SeaBIOS. */
#define DISK_TYPES        0x12 /* drive 0 in the high nibble: 0 none, 15 see the extended type */
#define EQUIPMENT         0x14
#define DISK0_TYPE_EXT    0x19
#define DISK1_TYPE_EXT    0x1a
#define DISK0_GEOMETRY    0x1b
#define DISK1_GEOMETRY    0x24
#define CENTURY           0x32
#define BOOT_FLAG1        0x38 /* third boot device in the high nibble */
#define DISK_TRANSLATION  0x39 /* two bits a drive */
#define BOOT_FLAG2        0x3d /* first boot device in the low nibble, second in the high one */
#define CPUS_LESS_ONE     0x5f
#define DISK_TYPE_USER    47
#define EQUIPMENT_FPU     0x02
#define EQUIPMENT_PS2_AUX 0x04
#define TRANSLATION_NONE  0
#define TRANSLATION_LBA   1

struct cmos {
    struct dev dev;
    struct bus *bus;
    uint8_t index;
    uint8_t ram[CMOS_SIZE];
};

static uint64_t cmos_read(void *dev, uint64_t offset, unsigned size)
{
    const struct cmos *cmos = dev;

    return offset ? cmos->ram[cmos->index] : 0xff; /* the index is write-only */
}

static void cmos_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct cmos *cmos = dev;

    if (!offset)
        cmos->index = (uint8_t)(value & ~INDEX_NMI);
    else if (cmos->index != REG_D)
        cmos->ram[cmos->index] = (uint8_t)value;
}

static const struct bus_io_ops cmos_io = {.read = cmos_read, .write = cmos_write};

static const struct port_range ranges[] = {
    {0x70, 2, &cmos_io},
};

/* The default CHS translation, ATA/ATAPI-5 annex C; the IDE drive's IDENTIFY says the same. */
#define CHS_HEADS         16
#define CHS_SECTORS       63
#define CHS_CYLINDERS_MAX 16383

static void fill_disk(struct cmos *cmos, unsigned drive, uint64_t sectors)
{
    uint8_t *geometry = cmos->ram + (drive ? DISK1_GEOMETRY : DISK0_GEOMETRY);
    uint64_t cylinders = sectors / (CHS_HEADS * CHS_SECTORS);

    if (cylinders > CHS_CYLINDERS_MAX)
        cylinders = CHS_CYLINDERS_MAX;
    cmos->ram[DISK_TYPES] |= drive ? 0x0f : 0xf0;
    cmos->ram[drive ? DISK1_TYPE_EXT : DISK0_TYPE_EXT] = DISK_TYPE_USER;
    geometry[0] = (uint8_t)cylinders;
    geometry[1] = (uint8_t)(cylinders >> 8);
    geometry[2] = CHS_HEADS;
    geometry[3] = 0xff; /* no write precompensation */
    geometry[4] = 0xff;
    geometry[5] = 0xc0 | (CHS_HEADS > 8) << 3; /* control byte */
    geometry[6] = geometry[0];                 /* landing zone */
    geometry[7] = geometry[1];
    geometry[8] = CHS_SECTORS;
}

static uint8_t boot_code(char letter)
{
    switch (letter) {
    case 'a':
        return 1;
    case 'c':
        return 2;
    case 'd':
        return 3;
    case 'n':
        return 4;
    default:
        return 0;
    }
}

static void fill(struct cmos *cmos, const struct machine_spec *spec)
{
    const char *order = spec->boot_order[0] ? spec->boot_order : "c";
    uint8_t boot[3] = {0};

    cmos->ram[REG_D] = REG_D_VRT;
    cmos->ram[EQUIPMENT] = EQUIPMENT_FPU | EQUIPMENT_PS2_AUX;
    cmos->ram[CENTURY] = 0x20;
    for (unsigned i = 0; i < 3 && order[i]; i++)
        boot[i] = boot_code(order[i]);
    /* Bit 0: the boot sector need not carry a floppy's signature check. */
    cmos->ram[BOOT_FLAG1] = (uint8_t)(boot[2] << 4 | 1);
    cmos->ram[BOOT_FLAG2] = (uint8_t)(boot[1] << 4 | boot[0]);
    if (spec->vcpus && spec->vcpus <= 256)
        cmos->ram[CPUS_LESS_ONE] = (uint8_t)(spec->vcpus - 1);

    for (unsigned i = 0; i < MACHINE_IDE_DRIVES; i++) {
        if (!spec->drive[i].blk || spec->drive[i].cdrom)
            continue;
        uint64_t sectors = blk_info(spec->drive[i].blk)->sectors;
        unsigned translation =
            sectors > 1024ull * CHS_HEADS * CHS_SECTORS ? TRANSLATION_LBA : TRANSLATION_NONE;
        cmos->ram[DISK_TRANSLATION] |= (uint8_t)(translation << (2 * i));
        if (i < 2)
            fill_disk(cmos, i, sectors);
    }
}

/* The RAM has a battery: a reset leaves it alone. */
static void cmos_reset(struct dev *dev)
{
    ((struct cmos *)dev)->index = 0;
}

static void cmos_save(const struct dev *dev, struct state_writer *writer)
{
    const struct cmos *cmos = (const struct cmos *)dev;

    state_put_u8(writer, cmos->index);
    state_put_bytes(writer, cmos->ram, sizeof(cmos->ram));
}

static void cmos_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct cmos *cmos = (struct cmos *)dev;

    cmos->index = (uint8_t)(state_get_u8(reader) & ~INDEX_NMI);
    state_get_bytes(reader, cmos->ram, sizeof(cmos->ram));
}

static void cmos_destroy(struct dev *dev)
{
    struct cmos *cmos = (struct cmos *)dev;

    ports_release(cmos->bus, ranges, PORTS_COUNT(ranges));
    free(cmos);
}

static const struct dev_ops cmos_ops = {
    .model = "cmos",
    .version = 1,
    .reset = cmos_reset,
    .save = cmos_save,
    .load = cmos_load,
    .destroy = cmos_destroy,
};

int cmos_create(const struct dev_env *env, struct dev **ret_dev)
{
    struct cmos *cmos = calloc(1, sizeof(*cmos));

    if (!cmos)
        return -ENOMEM;
    cmos->dev.ops = &cmos_ops;
    cmos->dev.name = "cmos";
    cmos->bus = env->bus;
    fill(cmos, env->spec);
    int err = ports_claim(env->bus, ranges, PORTS_COUNT(ranges), cmos);
    if (err) {
        free(cmos);
        return err;
    }
    *ret_dev = &cmos->dev;
    return 0;
}
