/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ata_*.c files have of each other. */
#ifndef IOEMUD_DEVICES_IDE_ATA_INTERNAL_H
#define IOEMUD_DEVICES_IDE_ATA_INTERNAL_H

#include "devices/ide/ata.h"

#define ATA_DEFAULT_HEADS         16u
#define ATA_DEFAULT_TRACK_SECTORS 63u
#define ATA_LBA28_SECTORS         0x0fffffffu /* what IDENTIFY words 60-61 can say */
#define ATA_FIRMWARE_REVISION     "1.0"

/* What a command needs, and what it does to its data. */
enum ata_command_flags {
    ATA_CF_ADDRESS = 1 << 0,  /* address and count are decoded and must lie on the disk */
    ATA_CF_EXT = 1 << 1,      /* 48-bit */
    ATA_CF_NO_COUNT = 1 << 2, /* an address only */
    ATA_CF_IN = 1 << 3,       /* PIO data in */
    ATA_CF_OUT = 1 << 4,      /* PIO data out */
    ATA_CF_DMA = 1 << 5,
    ATA_CF_WRITE = 1 << 6,    /* refused by a read-only disk */
    ATA_CF_MULTIPLE = 1 << 7, /* several sectors a DRQ block */
};

struct ata_command {
    void (*start)(struct ata_drive *drive); /* NULL: not implemented, aborted */
    uint16_t flags;
};

extern const struct ata_command ata_commands[256];
extern const struct ata_command atapi_ata_commands[256]; /* a packet device's */

static inline const struct ata_command *ata_command_of(const struct ata_drive *drive,
                                                       uint8_t opcode)
{
    return drive->config.cdrom ? &atapi_ata_commands[opcode] : &ata_commands[opcode];
}

static inline unsigned ata_flags(const struct ata_drive *drive)
{
    return ata_command_of(drive, drive->state.opcode)->flags;
}

/* ata.c */
/* The command is over: DRDY, and an interrupt. */
void ata_complete(struct ata_drive *drive);
/* As that, but the last DRQ block of a PIO read ends without one (ATA-6 9.5). */
void ata_complete_quietly(struct ata_drive *drive);
/* Ends with ERR and these bits of the Error register. */
void ata_fail(struct ata_drive *drive, uint8_t error);
/* As that, with the address of the first sector that could not be done. */
void ata_fail_at(struct ata_drive *drive, uint8_t error, uint64_t lba);
void ata_raise_intrq(struct ata_drive *drive);
/* A request of this command. False: wait for ready (or failed, and the command is over). */
bool ata_get(struct ata_drive *drive, enum blk_op op, uint32_t sectors);
void ata_submit(struct ata_drive *drive);
/* Gives back the request in hand, or forgets it when it is in flight, and other PIO memory. */
void ata_drop(struct ata_drive *drive);
/* `sectors` from `lba` on are done. */
void ata_advance(struct ata_drive *drive, uint32_t sectors);
/* All sectors of a write are on the disk: completes, behind a flush if the write cache is off. */
void ata_written(struct ata_drive *drive);
void ata_defaults(struct ata_drive *drive);
/* What a drive that passed its diagnostic shows. */
void ata_sign(struct ata_drive *drive);
/* Whatever was under way is over, without a word. */
void ata_abandon(struct ata_drive *drive);
/* The disk, or a medium: binds it. */
void ata_take_blk(struct ata_drive *drive, struct blk *blk);

/* ata_commands.c: what packet devices have, too. */
void ata_start_flush(struct ata_drive *drive);
void ata_idle(struct ata_drive *drive);
void ata_standby(struct ata_drive *drive);
void ata_sleep(struct ata_drive *drive);
void ata_check_power_mode(struct ata_drive *drive);
void ata_set_features(struct ata_drive *drive);

/* ata_identify.c */
void ata_identify(const struct ata_drive *drive, uint8_t ret_words[ATA_SECTOR]);
void ata_identify_packet(const struct ata_drive *drive, uint8_t ret_words[ATA_SECTOR]);

/* ata_pio.c */
uint32_t ata_block_sectors(const struct ata_drive *drive);
void ata_start_pio_in(struct ata_drive *drive);
void ata_start_pio_out(struct ata_drive *drive);
void ata_start_identify(struct ata_drive *drive);
void ata_pio_fetched(struct ata_drive *drive);
void ata_pio_stored(struct ata_drive *drive);
void ata_pio_step(struct ata_drive *drive); /* FETCH, ROOM, STORE */
void ata_pio_copy_out(const struct ata_drive *drive, uint32_t pos, void *buf, uint32_t len);

/* ata_dma.c */
void ata_start_dma(struct ata_drive *drive);
void ata_dma_step(struct ata_drive *drive);
void ata_dma_done(struct ata_drive *drive);

#endif
