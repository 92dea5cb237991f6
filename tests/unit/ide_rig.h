/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IDE controller under test: a bus with it, guest RAM, and disks in memory, programmed the way
 * firmware would. Used by unit tests and by the fuzzer, so it asserts by abort() only.
 */
#ifndef IOEMUD_TESTS_IDE_RIG_H
#define IOEMUD_TESTS_IDE_RIG_H

#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "devices/ide/channel.h"
#include "devices/models.h"
#include "devices/pci.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_loop.h"

#define RIG_RAM   (2u << 20)
#define RIG_SLOT  9u /* of the CMD646 */
#define RIG_DISKS MACHINE_IDE_DRIVES

struct ide_rig_options {
    bool cmd646;
    uint64_t sectors[RIG_DISKS]; /* 0: absent */
    bool read_only;
    bool write_through;      /* disks without a cache */
    uint32_t physical_block; /* 0: 512 */
    uint32_t pool_pages;     /* 0: plenty */
    bool no_discard, solid_state;
    const char *firmware; /* NULL: the default */
    uint64_t wwn;
    bool unprogrammed; /* as after reset */
};

struct ide_rig {
    struct ide_rig_options options;
    struct fake_host fake;
    struct fake_loop *loop;
    struct pool *pool;
    struct bus *bus;
    struct machine_spec spec;
    struct dev *dev;
    uint8_t *disk[RIG_DISKS];
    struct blk_image *image[RIG_DISKS];
    uint16_t command[2], control[2]; /* ports; `control` is Alternate Status */
    uint16_t bmdma;
    uint32_t sbdf;
};

/* The bytes that a fresh disk has. */
uint8_t ide_rig_byte(unsigned disk, uint64_t offset);

/* Disks 1 on the primary channel (device 0) only, unless `options` says otherwise. */
void ide_rig_init(struct ide_rig *rig, const struct ide_rig_options *options);
void ide_rig_finish(struct ide_rig *rig);
/* PCI Command, decoding, BARs. */
void ide_rig_program(struct ide_rig *rig);
/* Another machine takes over: disks and RAM stay, the controller is new and has `state`. Returns
 * the reader's error. */
int ide_rig_migrate(struct ide_rig *rig, const void *state, size_t size);
/* The state, to be freed; the device must be quiesced. */
uint8_t *ide_rig_save(struct ide_rig *rig, size_t *ret_size);

void ide_rig_settle(struct ide_rig *rig); /* until nothing more happens */
void ide_rig_fault(struct ide_rig *rig, unsigned disk, const struct mem_faults *faults);

uint8_t rig_in8(struct ide_rig *rig, uint16_t port);
uint16_t rig_in16(struct ide_rig *rig, uint16_t port);
void rig_out8(struct ide_rig *rig, uint16_t port, uint8_t value);
void rig_out16(struct ide_rig *rig, uint16_t port, uint16_t value);
void rig_out32(struct ide_rig *rig, uint16_t port, uint32_t value);

/* Taskfile and command of a disk (0-3); `count` as the registers have it. */
void rig_command(struct ide_rig *rig, unsigned disk, uint8_t opcode, uint64_t lba, uint32_t count);
void rig_command_ext(struct ide_rig *rig, unsigned disk, uint8_t opcode, uint64_t lba,
                     uint32_t count);
void rig_command_chs(struct ide_rig *rig, unsigned disk, uint8_t opcode, unsigned cylinder,
                     unsigned head, unsigned sector, uint32_t count);
void rig_select(struct ide_rig *rig, unsigned disk);
uint8_t rig_reg(struct ide_rig *rig, unsigned disk, enum ata_reg reg); /* of the selected drive */
uint8_t rig_status(struct ide_rig *rig, unsigned disk);                /* Alternate Status */
bool rig_irq(struct ide_rig *rig, unsigned disk);                      /* the channel's line */
/* Clears INTRQ. */
uint8_t rig_ack(struct ide_rig *rig, unsigned disk);

/* PIO: `len` bytes by words with DRQ looked at before each block. */
void rig_read_data(struct ide_rig *rig, unsigned disk, void *buf, uint32_t len);
void rig_write_data(struct ide_rig *rig, unsigned disk, const void *buf, uint32_t len);

/* Bus master: a table at `table` in RAM, entry by entry; start and stop. */
void rig_prd(struct ide_rig *rig, uint32_t table, unsigned index, uint32_t addr, uint32_t len,
             bool end);
void rig_dma_setup(struct ide_rig *rig, unsigned channel, uint32_t table, bool to_memory);
void rig_dma_start(struct ide_rig *rig, unsigned channel, bool to_memory);
void rig_dma_stop(struct ide_rig *rig, unsigned channel);
uint8_t rig_dma_status(struct ide_rig *rig, unsigned channel);

void rig_srst(struct ide_rig *rig, unsigned channel);
/* Subcommand of SMART, with its key and with LBA Low. */
void rig_smart(struct ide_rig *rig, unsigned disk, uint8_t feature, uint8_t lba_low, uint8_t count);
/* Writes the Features register, both of its bytes for 48-bit commands. */
void rig_features(struct ide_rig *rig, unsigned disk, uint8_t value);
uint64_t rig_counter(const struct ide_rig *rig, const char *name);

#endif
