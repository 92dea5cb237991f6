/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/ide_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CMD646_BASE 0xc000u

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "ide_rig: %s\n", what);
    abort();
}

uint8_t ide_rig_byte(unsigned disk, uint64_t offset)
{
    uint64_t sector = offset / 512;
    return (uint8_t)(offset * 7 + sector * 13 + (sector >> 8) * 31 + disk * 101 + 1);
}

static void open_disk(struct ide_rig *rig, unsigned i)
{
    uint64_t bytes = rig->options.sectors[i] * 512;

    if (!bytes)
        return;
    rig->disk[i] = malloc(bytes);
    require(rig->disk[i], "out of memory");
    for (uint64_t at = 0; at < bytes; at += 512) {
        uint8_t first = ide_rig_byte(i, at);
        for (unsigned j = 0; j < 512; j++)
            rig->disk[i][at + j] = (uint8_t)(first + j * 7);
    }
    require(!mem_open(rig->disk[i], rig->options.sectors[i], rig->options.read_only,
                      fake_loop(rig->loop), rig->pool, &rig->image[i]),
            "mem_open");
    rig->image[i]->info.write_cache = !rig->options.write_through;
    if (rig->options.physical_block)
        rig->image[i]->info.physical_block = rig->options.physical_block;
    rig->image[i]->info.discard &= !rig->options.no_discard;
    rig->image[i]->info.solid_state = rig->options.solid_state;
    if (rig->options.firmware)
        snprintf(rig->spec.drive[i].firmware, sizeof(rig->spec.drive[i].firmware), "%s",
                 rig->options.firmware);
    rig->spec.drive[i].wwn = rig->options.wwn;
    require(!blk_open(rig->image[i], 4, &rig->spec.drive[i].blk), "blk_open");
}

static void make_device(struct ide_rig *rig)
{
    struct dev_env env = {.host = &rig->fake.host, .bus = rig->bus, .spec = &rig->spec};
    int err =
        rig->options.cmd646 ? cmd646_create(&env, &rig->dev) : piix3_ide_create(&env, &rig->dev);

    require(!err, "the controller was refused");
}

void ide_rig_init(struct ide_rig *rig, const struct ide_rig_options *options)
{
    static const struct ide_rig_options one_disk = {.sectors = {8192}};

    memset(rig, 0, sizeof(*rig));
    rig->options = options ? *options : one_disk;
    fake_host_init(&rig->fake, RIG_RAM);
    rig->loop = fake_loop_create();
    require(!pool_create(rig->options.pool_pages ? rig->options.pool_pages : 512, &rig->pool),
            "pool_create");
    require(!bus_create(NULL, NULL, &rig->bus), "bus_create");
    rig->spec.role = rig->options.cmd646 ? MACHINE_SECONDARY : MACHINE_PRIMARY;
    rig->spec.slot = RIG_SLOT;
    for (unsigned i = 0; i < RIG_DISKS; i++)
        open_disk(rig, i);
    make_device(rig);
    for (unsigned i = 0; i < 2; i++) {
        rig->command[i] = rig->options.cmd646 ? (uint16_t)(CMD646_BASE + 0x20 * i)
                                              : (uint16_t)(i ? 0x170 : 0x1f0);
        rig->control[i] = rig->options.cmd646 ? (uint16_t)(CMD646_BASE + 0x20 * i + 0x12)
                                              : (uint16_t)(i ? 0x376 : 0x3f6);
    }
    rig->bmdma = CMD646_BASE + 0x40;
    rig->sbdf = rig->options.cmd646 ? PCI_DEVFN(RIG_SLOT, 0) : PCI_DEVFN(1, 1);
    if (!rig->options.unprogrammed)
        ide_rig_program(rig);
}

void ide_rig_program(struct ide_rig *rig)
{
    if (rig->options.cmd646) {
        for (unsigned i = 0; i < 2; i++) {
            bus_pci_write(rig->bus, rig->sbdf, PCI_BAR0 + 8 * i, 4, rig->command[i]);
            bus_pci_write(rig->bus, rig->sbdf, PCI_BAR0 + 8 * i + 4, 4, rig->control[i] - 2u);
        }
    } else {
        bus_pci_write(rig->bus, rig->sbdf, 0x40, 2, 0x8000);
        bus_pci_write(rig->bus, rig->sbdf, 0x42, 2, 0x8000);
    }
    bus_pci_write(rig->bus, rig->sbdf, PCI_BAR0 + 16, 4, rig->bmdma);
    bus_pci_write(rig->bus, rig->sbdf, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

void ide_rig_finish(struct ide_rig *rig)
{
    rig->dev->ops->destroy(rig->dev);
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        if (rig->spec.drive[i].blk)
            mem_set_faults(rig->image[i], &(struct mem_faults){0});
        blk_close(rig->spec.drive[i].blk, NULL, NULL);
    }
    ide_rig_settle(rig);
    for (unsigned i = 0; i < RIG_DISKS; i++)
        free(rig->disk[i]);
    bus_destroy(rig->bus);
    pool_destroy(rig->pool);
    fake_loop_destroy(rig->loop);
    fake_host_finish(&rig->fake);
}

uint8_t *ide_rig_save(struct ide_rig *rig, size_t *ret_size)
{
    struct state_writer writer;
    uint8_t *state = NULL;

    for (unsigned pass = 0; pass < 2; pass++) {
        state_writer_init(&writer, state, pass ? *ret_size : 0);
        state_begin(&writer, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
        rig->dev->ops->save(rig->dev, &writer);
        state_end(&writer);
        require(!writer.error, "the state does not fit where it said it would");
        if (!pass) {
            *ret_size = writer.pos;
            state = malloc(writer.pos);
            require(state, "out of memory");
        }
    }
    return state;
}

int ide_rig_migrate(struct ide_rig *rig, const void *state, size_t size)
{
    struct state_reader reader;

    rig->dev->ops->destroy(rig->dev);
    make_device(rig);
    state_reader_init(&reader, state, size);
    uint32_t version =
        state_open(&reader, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
    if (version)
        rig->dev->ops->load(rig->dev, &reader, version);
    state_close(&reader);
    return reader.error;
}

void ide_rig_settle(struct ide_rig *rig)
{
    while (fake_loop_turn(rig->loop, 0))
        ;
}

void ide_rig_fault(struct ide_rig *rig, unsigned disk, const struct mem_faults *faults)
{
    mem_set_faults(rig->image[disk], faults);
}

uint8_t rig_in8(struct ide_rig *rig, uint16_t port)
{
    return (uint8_t)bus_read(rig->bus, BUS_PORT, port, 1);
}

uint16_t rig_in16(struct ide_rig *rig, uint16_t port)
{
    return (uint16_t)bus_read(rig->bus, BUS_PORT, port, 2);
}

void rig_out8(struct ide_rig *rig, uint16_t port, uint8_t value)
{
    bus_write(rig->bus, BUS_PORT, port, 1, value);
}

void rig_out16(struct ide_rig *rig, uint16_t port, uint16_t value)
{
    bus_write(rig->bus, BUS_PORT, port, 2, value);
}

void rig_out32(struct ide_rig *rig, uint16_t port, uint32_t value)
{
    bus_write(rig->bus, BUS_PORT, port, 4, value);
}

static void put_reg(struct ide_rig *rig, unsigned disk, enum ata_reg reg, uint64_t value)
{
    rig_out8(rig, (uint16_t)(rig->command[disk / 2] + reg), (uint8_t)value);
}

static uint8_t dev_bit(unsigned disk)
{
    return disk % 2 ? ATA_DEVICE_DEV : 0;
}

void rig_select(struct ide_rig *rig, unsigned disk)
{
    put_reg(rig, disk, ATA_REG_DEVICE, 0xe0 | dev_bit(disk));
}

void rig_command(struct ide_rig *rig, unsigned disk, uint8_t opcode, uint64_t lba, uint32_t count)
{
    put_reg(rig, disk, ATA_REG_DEVICE, 0xe0u | dev_bit(disk) | (lba >> 24 & 0xf));
    put_reg(rig, disk, ATA_REG_COUNT, count);
    put_reg(rig, disk, ATA_REG_LBA_LOW, lba);
    put_reg(rig, disk, ATA_REG_LBA_MID, lba >> 8);
    put_reg(rig, disk, ATA_REG_LBA_HIGH, lba >> 16);
    put_reg(rig, disk, ATA_REG_COMMAND, opcode);
}

void rig_command_ext(struct ide_rig *rig, unsigned disk, uint8_t opcode, uint64_t lba,
                     uint32_t count)
{
    put_reg(rig, disk, ATA_REG_DEVICE, 0x40u | dev_bit(disk));
    put_reg(rig, disk, ATA_REG_COUNT, count >> 8);
    put_reg(rig, disk, ATA_REG_LBA_LOW, lba >> 24);
    put_reg(rig, disk, ATA_REG_LBA_MID, lba >> 32);
    put_reg(rig, disk, ATA_REG_LBA_HIGH, lba >> 40);
    put_reg(rig, disk, ATA_REG_COUNT, count);
    put_reg(rig, disk, ATA_REG_LBA_LOW, lba);
    put_reg(rig, disk, ATA_REG_LBA_MID, lba >> 8);
    put_reg(rig, disk, ATA_REG_LBA_HIGH, lba >> 16);
    put_reg(rig, disk, ATA_REG_COMMAND, opcode);
}

void rig_command_chs(struct ide_rig *rig, unsigned disk, uint8_t opcode, unsigned cylinder,
                     unsigned head, unsigned sector, uint32_t count)
{
    put_reg(rig, disk, ATA_REG_DEVICE, 0xa0u | dev_bit(disk) | head);
    put_reg(rig, disk, ATA_REG_COUNT, count);
    put_reg(rig, disk, ATA_REG_LBA_LOW, sector);
    put_reg(rig, disk, ATA_REG_LBA_MID, cylinder);
    put_reg(rig, disk, ATA_REG_LBA_HIGH, cylinder >> 8);
    put_reg(rig, disk, ATA_REG_COMMAND, opcode);
}

uint8_t rig_reg(struct ide_rig *rig, unsigned disk, enum ata_reg reg)
{
    return rig_in8(rig, (uint16_t)(rig->command[disk / 2] + reg));
}

uint8_t rig_status(struct ide_rig *rig, unsigned disk)
{
    return rig_in8(rig, rig->control[disk / 2]);
}

bool rig_irq(struct ide_rig *rig, unsigned disk)
{
    return rig->options.cmd646 ? rig->fake.intx[RIG_SLOT][0] : rig->fake.isa[14 + disk / 2];
}

uint8_t rig_ack(struct ide_rig *rig, unsigned disk)
{
    return rig_reg(rig, disk, ATA_REG_STATUS);
}

void rig_read_data(struct ide_rig *rig, unsigned disk, void *buf, uint32_t len)
{
    uint8_t *bytes = buf;

    for (uint32_t at = 0; at < len; at += 2) {
        if (at % 512 == 0)
            ide_rig_settle(rig);
        uint16_t word = rig_in16(rig, rig->command[disk / 2]);
        bytes[at] = (uint8_t)word;
        bytes[at + 1] = (uint8_t)(word >> 8);
    }
}

void rig_write_data(struct ide_rig *rig, unsigned disk, const void *buf, uint32_t len)
{
    const uint8_t *bytes = buf;

    for (uint32_t at = 0; at < len; at += 2) {
        if (at % 512 == 0)
            ide_rig_settle(rig);
        rig_out16(rig, rig->command[disk / 2], (uint16_t)(bytes[at] | bytes[at + 1] << 8));
    }
}

static void put32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

void rig_prd(struct ide_rig *rig, uint32_t table, unsigned index, uint32_t addr, uint32_t len,
             bool end)
{
    require(table + 8 * index + 8 <= RIG_RAM, "the table lies outside RAM");
    put32(rig->fake.ram + table + 8 * index, addr);
    put32(rig->fake.ram + table + 8 * index + 4, (len & 0xffff) | (end ? 0x80000000u : 0));
}

static uint16_t bm_port(const struct ide_rig *rig, unsigned channel, unsigned offset)
{
    return (uint16_t)(rig->bmdma + BMDMA_PORTS * channel + offset);
}

void rig_dma_setup(struct ide_rig *rig, unsigned channel, uint32_t table, bool to_memory)
{
    rig_out32(rig, bm_port(rig, channel, BMDMA_BMIDTP), table);
    rig_out8(rig, bm_port(rig, channel, BMDMA_BMICOM), to_memory ? BMICOM_READ : 0);
    rig_out8(rig, bm_port(rig, channel, BMDMA_BMISTA), BMISTA_INTR | BMISTA_ERROR);
}

void rig_dma_start(struct ide_rig *rig, unsigned channel, bool to_memory)
{
    rig_out8(rig, bm_port(rig, channel, BMDMA_BMICOM),
             BMICOM_START | (to_memory ? BMICOM_READ : 0));
}

void rig_dma_stop(struct ide_rig *rig, unsigned channel)
{
    uint16_t port = bm_port(rig, channel, BMDMA_BMICOM);
    rig_out8(rig, port, rig_in8(rig, port) & BMICOM_READ);
}

uint8_t rig_dma_status(struct ide_rig *rig, unsigned channel)
{
    return rig_in8(rig, bm_port(rig, channel, BMDMA_BMISTA));
}

void rig_srst(struct ide_rig *rig, unsigned channel)
{
    rig_out8(rig, rig->control[channel], ATA_DC_SRST);
    rig_out8(rig, rig->control[channel], 0);
}

void rig_features(struct ide_rig *rig, unsigned disk, uint8_t value)
{
    rig_select(rig, disk);
    put_reg(rig, disk, ATA_REG_FEATURES, 0);
    put_reg(rig, disk, ATA_REG_FEATURES, value);
}

void rig_smart(struct ide_rig *rig, unsigned disk, uint8_t feature, uint8_t lba_low, uint8_t count)
{
    rig_features(rig, disk, feature);
    rig_command(rig, disk, 0xb0, 0xc24f00u | lba_low, count);
}

uint64_t rig_counter(const struct ide_rig *rig, const char *name)
{
    for (unsigned i = 0; i < rig->dev->n_counters; i++) {
        if (!strcmp(rig->dev->counters[i].name, name))
            return *rig->dev->counters[i].value;
    }
    require(false, "no such counter");
    return 0;
}
