/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ata_*.c files have of each other. */
#ifndef IOEMUD_DEVICES_IDE_ATA_INTERNAL_H
#define IOEMUD_DEVICES_IDE_ATA_INTERNAL_H

#include "devices/ide/ata.h"

#define ATA_DEFAULT_HEADS         16u
#define ATA_DEFAULT_TRACK_SECTORS 63u
#define ATA_LBA28_SECTORS         0x0fffffffu /* what IDENTIFY words 60-61 can say */

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
    ATA_CF_FUA = 1 << 8,      /* each write is stable when it is done */
    ATA_CF_DATA = 1 << 9,     /* moves the drive's `data`, not the disk's; DMA as IN or OUT says */
};

struct ata_command {
    void (*start)(struct ata_drive *drive); /* NULL: not implemented, aborted */
    uint16_t flags;
    void (*taken)(struct ata_drive *drive); /* ATA_CF_DATA and OUT: all of it has come */
};

extern const struct ata_command ata_commands[256];
extern const struct ata_command atapi_ata_commands[256]; /* a packet device's */

static inline const struct ata_command *ata_command_of(const struct ata_drive *drive,
                                                       uint8_t opcode)
{
    return drive->config.cdrom ? &atapi_ata_commands[opcode] : &ata_commands[opcode];
}

/* Little-endian, as all that ATA's data structures have. */
static inline void ata_put(uint8_t *bytes, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
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
/* ata_unplug.c: of a disk that is `leaving`, and whose flush has been done. */
void ata_leave_step(struct ata_drive *drive);
void ata_unplug_flushed(struct ata_drive *drive, int error);
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
void ata_start_identify(struct ata_drive *drive);
void ata_start_identify_packet(struct ata_drive *drive);

/* ata_pio.c */
uint32_t ata_block_sectors(const struct ata_drive *drive);
void ata_start_pio_in(struct ata_drive *drive);
void ata_start_pio_out(struct ata_drive *drive);
/* `data` to the host, from its begin; from the host. */
void ata_start_data_in(struct ata_drive *drive, uint32_t sectors);
void ata_start_data_out(struct ata_drive *drive, uint32_t sectors);
void ata_pio_fetched(struct ata_drive *drive);
/* Of the chunk only `good` bytes could be read, then there was this error. False: not even a block.
 */
bool ata_pio_fetched_some(struct ata_drive *drive, uint32_t good, uint8_t error);
void ata_pio_stored(struct ata_drive *drive);
void ata_pio_step(struct ata_drive *drive); /* FETCH, ROOM, STORE */
void ata_pio_copy_out(const struct ata_drive *drive, uint32_t pos, void *buf, uint32_t len);

/* ata_dma.c */
void ata_start_dma(struct ata_drive *drive);
void ata_dma_step(struct ata_drive *drive);
void ata_dma_done(struct ata_drive *drive);
/* `bytes` of the request were moved; it is over. False: they could not be, and the command is. */
bool ata_dma_moved(struct ata_drive *drive, uint32_t bytes);
/* `data`, in the direction of the command's flags. */
void ata_start_data_dma(struct ata_drive *drive, uint32_t sectors);

/* ata_trim.c */
void ata_start_trim(struct ata_drive *drive);
void ata_trim_listed(struct ata_drive *drive);
void ata_trim_step(struct ata_drive *drive);
void ata_trim_done(struct ata_drive *drive);
bool ata_trim_valid(const struct ata_drive *drive); /* the ranges that are left */

/* ata_smart.c */
void ata_smart(struct ata_drive *drive);
void ata_smart_init(struct ata_drive *drive);
void ata_smart_finish(struct ata_drive *drive);
/* The drive may have been quiesced, or loaded: a test goes on. */
void ata_smart_resume(struct ata_drive *drive);
void ata_smart_end_test(struct ata_drive *drive, enum ata_test_result result);
/* The test's request is done. */
void ata_smart_read(struct ata_drive *drive, int error);
void ata_smart_save(const struct ata_drive *drive, struct state_writer *writer);
void ata_smart_load(struct ata_drive *drive, struct state_reader *reader);
uint64_t ata_smart_on_ns(const struct ata_drive *drive); /* since power-on */
uint16_t ata_smart_hours(const struct ata_drive *drive);

/* ata_log.c */
/* A command has been received; the one that was last has failed for its backing's sake. */
void ata_log_command(struct ata_drive *drive);
void ata_log_error(struct ata_drive *drive);
/* SMART READ LOG, SMART WRITE LOG. */
void ata_smart_read_log(struct ata_drive *drive);
void ata_smart_write_log(struct ata_drive *drive);
void ata_read_log_ext(struct ata_drive *drive);
void ata_write_log_ext(struct ata_drive *drive);
void ata_log_written(struct ata_drive *drive);
/* A sector whose last byte makes its sum zero. */
void ata_checksum(uint8_t *sector);

#endif
