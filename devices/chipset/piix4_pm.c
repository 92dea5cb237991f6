/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371AB (PIIX4) power management, 00:01.3 (order no. 290562), as far as ACPI firmware and an OS
 * use it: sleep control, the SMI command port, and beside it the general-purpose events, CPU map
 * and PCI hotplug registers that the ACPI tables of Xen's firmware describe (its tools/libacpi,
 * version 1 of the port layout).
 *
 * PM1a_STS, PM1a_EN and the PM timer, in the same block at PMBASE, are the hypervisor's: only
 * PM1a_CNT is claimed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/pci_regs.h"
#include "devices/chipset/ports.h"
#include "devices/models.h"
#include "devices/pci.h"

#define PMBASE      0x40 /* 7.1.10 */
#define PMBASE_MASK 0xffc0
#define PMREGMISC   0x80
#define PMIOSE      0x01 /* decode the block at PMBASE */

/* PM1a_CNT, 7.2.3; ACPI 6.4, 4.8.3.2.1. */
#define PM1_CNT          4
#define PM1_CNT_SCI_EN   0x0001
#define PM1_CNT_BM_RLD   0x0002
#define PM1_CNT_SLP_TYP  0x1c00
#define PM1_CNT_SLP_EN   0x2000
#define PM1_CNT_WRITABLE (PM1_CNT_SCI_EN | PM1_CNT_BM_RLD | PM1_CNT_SLP_TYP)

/* What the firmware's \_S3, \_S4 and \_S5 say. Soft off and suspend to disk are the same to a power
 * supply. */
#define SLP_TYP_OFF  0
#define SLP_TYP_S3   1
#define SLP_TYP_DISK 2

/* The SMI command port, and the commands of the ACPI tables. */
#define APM_CNT          0
#define APM_STS          1
#define APM_ACPI_ENABLE  0xf1
#define APM_ACPI_DISABLE 0xf0

/* GPE0 block: two bytes of status, two of enable (ACPI 6.4, 4.8.4.1). */
#define GPE0_LEN 4
#define GPE_PCI  0x0002 /* \_GPE._E01: look at the slots */
#define GPE_CPU  0x0004 /* \_GPE._E02: look at the CPU map */

/* PCI hotplug, a bit a slot in each of four 32-bit registers. */
#define HOTPLUG_ADDED     0x0
#define HOTPLUG_EJECT     0x4 /* asked to be given up */
#define HOTPLUG_EJECTED   0x8 /* written by the guest: it has been given up */
#define HOTPLUG_REMOVABLE 0xc
#define HOTPLUG_LEN       16

#define SCI_IRQ 9

#define CPU_MAP_LEN 32 /* bytes: one bit a CPU */

static const struct pci_reg regs[] = {
    {PMBASE, 4, 0x00000001, PMBASE_MASK, 0},
    {0x44, 4, 0x00000000, 0xffffffff, 0}, /* CNTA */
    {0x48, 4, 0x00000000, 0xffffffff, 0}, /* CNTB */
    {0x4c, 4, 0x00000000, 0xffffffff, 0}, /* GPICTL */
    {0x50, 4, 0x00000000, 0x00ffffff, 0}, /* DEVRESD */
    {0x54, 4, 0x00000000, 0xffffffff, 0}, /* DEVACTA */
    {0x58, 4, 0x00000000, 0xffffffff, 0}, /* DEVACTB */
    {0x5c, 4, 0x00000000, 0xffffffff, 0}, /* DEVRESA */
    {0x60, 4, 0x00000000, 0xffffffff, 0}, /* DEVRESB */
    {0x64, 4, 0x00000000, 0xffffffff, 0}, /* DEVRESC */
    {0x68, 4, 0x00000000, 0x007fffff, 0}, /* DEVRESE */
    {0x6c, 4, 0x00000000, 0x007fffff, 0}, /* DEVRESF */
    {0x70, 4, 0x00000000, 0x007fffff, 0}, /* DEVRESG */
    {0x78, 4, 0x00000000, 0x00ffffff, 0}, /* DEVRESH, DEVRESI */
    {PMREGMISC, 1, 0x00, PMIOSE, 0},
    {0x90, 4, 0x00000001, 0x0000fff0, 0}, /* SMBBA: there is no SMBus behind it */
    {0xd2, 1, 0x00, 0x0f, 0},             /* SMBHSTCFG */
    {0xd3, 1, 0x00, 0xff, 0},             /* SMBSLVC */
    {0xd4, 2, 0x0000, 0xfefe, 0},         /* SMBSHDW1, 2 */
};

struct piix4_pm {
    struct dev dev;
    struct pci_func func;
    const struct host *host;
    struct bus *bus;
    struct machine *machine;
    bool pm_claimed;
    uint16_t pm_first; /* port of PM1a_CNT while claimed */

    uint16_t pm1_cnt;
    uint8_t apm[2];
    uint16_t gpe_sts, gpe_en;
    uint8_t cpu_map[CPU_MAP_LEN];
    uint32_t slots_added, slots_eject;
};

/* The SCI is level-triggered: up while an enabled event waits (ACPI 6.4, 4.8.4.1.1.1). */
static void sci_update(struct piix4_pm *pm)
{
    bool level = (pm->pm1_cnt & PM1_CNT_SCI_EN) && (pm->gpe_sts & pm->gpe_en);

    host_isa_irq(pm->host, SCI_IRQ, level);
}

static uint64_t pm1_read(void *dev, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = dev;

    return pm->pm1_cnt >> (8 * offset);
}

static void sleep_enter(struct piix4_pm *pm)
{
    switch ((pm->pm1_cnt & PM1_CNT_SLP_TYP) >> 10) {
    case SLP_TYP_OFF:
    case SLP_TYP_DISK:
        host_power(pm->host, HOST_POWER_OFF);
        break;
    case SLP_TYP_S3:
        host_log(pm->host, HOST_LOG_WARN, pm->dev.name, "event=sleep state=S3 result=unsupported");
        break;
    default:
        break;
    }
}

static void pm1_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = dev;
    uint16_t mask = (uint16_t)((size == 1 ? 0xff : 0xffff) << (8 * offset));
    uint16_t bits = (uint16_t)(value << (8 * offset)) & mask;

    mask &= PM1_CNT_WRITABLE;
    pm->pm1_cnt = (uint16_t)((pm->pm1_cnt & ~mask) | (bits & mask));
    sci_update(pm);
    if (bits & PM1_CNT_SLP_EN)
        sleep_enter(pm);
}

static const struct bus_io_ops pm1_io = {.read = pm1_read, .write = pm1_write, .max_size = 2};

/* PM1a_CNT follows PMBASE, as the guest programmed it. Where another range is in the way it answers
 * nowhere, like a BAR. */
static void pm_decode(struct piix4_pm *pm)
{
    uint32_t base = pci_func_get(&pm->func, PMBASE, 2) & PMBASE_MASK;
    bool decode = base && (pci_func_get(&pm->func, PMREGMISC, 1) & PMIOSE);

    if (pm->pm_claimed && (!decode || pm->pm_first != base + PM1_CNT)) {
        bus_release(pm->bus, BUS_PORT, pm->pm_first);
        pm->pm_claimed = false;
    }
    if (decode && !pm->pm_claimed) {
        pm->pm_first = (uint16_t)(base + PM1_CNT);
        pm->pm_claimed = !bus_claim(pm->bus, BUS_PORT, pm->pm_first, 2, &pm1_io, pm);
    }
}

static void written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    if (reg + size > PMBASE && reg <= PMREGMISC)
        pm_decode(dev);
}

static uint64_t apm_read(void *dev, uint64_t offset, unsigned size)
{
    return ((struct piix4_pm *)dev)->apm[offset];
}

/* There is no SMM behind the command port; switching between ACPI and legacy mode is all that the
 * tables ask of it. */
static void apm_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = dev;

    pm->apm[offset] = (uint8_t)value;
    if (offset != APM_CNT)
        return;
    if (value == APM_ACPI_ENABLE)
        pm->pm1_cnt |= PM1_CNT_SCI_EN;
    else if (value == APM_ACPI_DISABLE)
        pm->pm1_cnt &= (uint16_t)~PM1_CNT_SCI_EN;
    sci_update(pm);
}

static const struct bus_io_ops apm_io = {.read = apm_read, .write = apm_write};

static uint64_t gpe_read(void *dev, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = dev;
    uint32_t block = pm->gpe_sts | (uint32_t)pm->gpe_en << 16;

    return block >> (8 * offset);
}

static void gpe_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = dev;
    unsigned shift = 8 * (offset & 1);

    if (offset < 2)
        pm->gpe_sts &= (uint16_t) ~(value << shift);
    else
        pm->gpe_en = (uint16_t)((pm->gpe_en & ~(0xff << shift)) | value << shift);
    sci_update(pm);
}

static const struct bus_io_ops gpe_io = {.read = gpe_read, .write = gpe_write};

static uint64_t cpu_map_read(void *dev, uint64_t offset, unsigned size)
{
    return ((struct piix4_pm *)dev)->cpu_map[offset];
}

static const struct bus_io_ops cpu_map_io = {.read = cpu_map_read};

static uint64_t hotplug_read(void *dev, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = dev;
    uint32_t value = 0;

    switch (offset & ~3u) {
    case HOTPLUG_ADDED:
        value = pm->slots_added;
        break;
    case HOTPLUG_EJECT:
        value = pm->slots_eject;
        break;
    case HOTPLUG_REMOVABLE:
        value = machine_removable_slots(pm->machine);
        break;
    default:
        break;
    }
    return value >> (8 * (offset & 3));
}

static void hotplug_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = dev;
    uint32_t slots = (uint32_t)(value << (8 * (offset & 3)));

    if ((offset & ~3u) != HOTPLUG_EJECTED)
        return;
    pm->slots_added &= ~slots;
    pm->slots_eject &= ~slots;
    machine_slots_ejected(pm->machine, slots);
}

static const struct bus_io_ops hotplug_io = {
    .read = hotplug_read, .write = hotplug_write, .max_size = 4};

static const struct port_range ranges[] = {
    {0xb2, 2, &apm_io},
    {0xae00, HOTPLUG_LEN, &hotplug_io},
    {0xaf00, CPU_MAP_LEN, &cpu_map_io},
    {0xafe0, GPE0_LEN, &gpe_io},
};

void piix4_pm_set_vcpu(struct dev *dev, unsigned vcpu, bool online)
{
    struct piix4_pm *pm = (struct piix4_pm *)dev;
    uint8_t bit = (uint8_t)(1 << (vcpu & 7));

    if (vcpu >= CPU_MAP_LEN * 8 || !(pm->cpu_map[vcpu / 8] & bit) == !online)
        return;
    pm->cpu_map[vcpu / 8] ^= bit;
    pm->gpe_sts |= GPE_CPU;
    sci_update(pm);
}

void piix4_pm_slot_added(struct dev *dev, uint8_t slot)
{
    struct piix4_pm *pm = (struct piix4_pm *)dev;

    pm->slots_added |= UINT32_C(1) << slot;
    pm->slots_eject &= ~(UINT32_C(1) << slot);
    pm->gpe_sts |= GPE_PCI;
    sci_update(pm);
}

void piix4_pm_slot_eject(struct dev *dev, uint8_t slot)
{
    struct piix4_pm *pm = (struct piix4_pm *)dev;

    pm->slots_eject |= UINT32_C(1) << slot;
    pm->slots_added &= ~(UINT32_C(1) << slot);
    pm->gpe_sts |= GPE_PCI;
    sci_update(pm);
}

static void piix4_pm_reset(struct dev *dev)
{
    struct piix4_pm *pm = (struct piix4_pm *)dev;

    pci_func_reset(&pm->func);
    pci_regs_reset(&pm->func, regs, PCI_REGS_COUNT(regs));
    pm_decode(pm);
    pm->pm1_cnt = 0;
    memset(pm->apm, 0, sizeof(pm->apm));
    pm->gpe_sts = 0;
    pm->gpe_en = 0;
    pm->slots_added = 0;
    pm->slots_eject = 0;
    sci_update(pm);
}

static void piix4_pm_save(const struct dev *dev, struct state_writer *writer)
{
    const struct piix4_pm *pm = (const struct piix4_pm *)dev;

    pci_func_save(&pm->func, writer);
    state_put_u16(writer, pm->pm1_cnt);
    state_put_bytes(writer, pm->apm, sizeof(pm->apm));
    state_put_u16(writer, pm->gpe_sts);
    state_put_u16(writer, pm->gpe_en);
    state_put_bytes(writer, pm->cpu_map, sizeof(pm->cpu_map));
    state_put_u32(writer, pm->slots_added);
    state_put_u32(writer, pm->slots_eject);
}

static void piix4_pm_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct piix4_pm *pm = (struct piix4_pm *)dev;

    pci_func_load(&pm->func, reader);
    pm->pm1_cnt = state_get_u16(reader) & PM1_CNT_WRITABLE;
    state_get_bytes(reader, pm->apm, sizeof(pm->apm));
    pm->gpe_sts = state_get_u16(reader);
    pm->gpe_en = state_get_u16(reader);
    state_get_bytes(reader, pm->cpu_map, sizeof(pm->cpu_map));
    pm->slots_added = state_get_u32(reader);
    pm->slots_eject = state_get_u32(reader);
    if (reader->error)
        return;
    pm_decode(pm);
    sci_update(pm);
}

static void piix4_pm_destroy(struct dev *dev)
{
    struct piix4_pm *pm = (struct piix4_pm *)dev;

    if (pm->pm_claimed)
        bus_release(pm->bus, BUS_PORT, pm->pm_first);
    ports_release(pm->bus, ranges, PORTS_COUNT(ranges));
    pci_func_finish(&pm->func);
    free(pm);
}

static const struct dev_ops piix4_pm_ops = {
    .model = "piix4-pm",
    .version = 1,
    .reset = piix4_pm_reset,
    .save = piix4_pm_save,
    .load = piix4_pm_load,
    .destroy = piix4_pm_destroy,
};

int piix4_pm_create(const struct dev_env *env, struct dev **ret_dev)
{
    static const struct pci_id id = {.vendor = 0x8086,
                                     .device = 0x7113,
                                     .revision = 3,
                                     .class_code = 0x068000,
                                     .interrupt_pin = 1};
    struct piix4_pm *pm = calloc(1, sizeof(*pm));
    int err;

    if (!pm)
        return -ENOMEM;
    pm->dev.ops = &piix4_pm_ops;
    pm->dev.name = "piix4-pm";
    pm->host = env->host;
    pm->bus = env->bus;
    pm->machine = env->machine;
    pm->func.name = "piix4-pm";
    pm->func.dev = pm;
    pm->func.written = written;
    for (unsigned i = 0; i < env->spec->vcpus && i < CPU_MAP_LEN * 8; i++)
        pm->cpu_map[i / 8] |= (uint8_t)(1 << (i & 7));

    err = pci_func_init(&pm->func, env->bus, PCI_DEVFN(1, 3), &id);
    if (err)
        goto free_pm;
    pci_regs_reset(&pm->func, regs, PCI_REGS_COUNT(regs));
    err = ports_claim(env->bus, ranges, PORTS_COUNT(ranges), pm);
    if (err)
        goto finish_func;
    *ret_dev = &pm->dev;
    return 0;

finish_func:
    pci_func_finish(&pm->func);
free_pm:
    free(pm);
    return err;
}
