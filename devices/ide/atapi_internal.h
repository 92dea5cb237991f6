/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the atapi_*.c files have of each other, and ata_*.c of them. */
#ifndef IOEMUD_DEVICES_IDE_ATAPI_INTERNAL_H
#define IOEMUD_DEVICES_IDE_ATAPI_INTERNAL_H

#include "devices/ide/ata_internal.h"

/* Interrupt reason, in the Count register (ATA-6, PACKET). */
#define ATAPI_CD 0x01 /* a packet, or status; otherwise data */
#define ATAPI_IO 0x02 /* to the host */

/* What a packet command is started under, and how its data goes. */
enum atapi_command_flags {
    ATAPI_CF_ATTENTION = 1 << 0, /* carried out although a unit attention waits (SPC-3, MMC-5) */
    ATAPI_CF_MEDIUM = 1 << 1,    /* needs one */
};

struct atapi_command {
    void (*start)(struct ata_drive *drive, const uint8_t *packet); /* NULL: not implemented */
    uint8_t flags;
};

extern const struct atapi_command atapi_commands[256];

/* Sense keys (SPC-3 4.5.6). */
enum {
    ATAPI_NO_SENSE = 0x0,
    ATAPI_NOT_READY = 0x2,
    ATAPI_MEDIUM_ERROR = 0x3,
    ATAPI_ILLEGAL_REQUEST = 0x5,
    ATAPI_UNIT_ATTENTION = 0x6,
    ATAPI_ABORTED_COMMAND = 0xb,
};

/* Additional sense codes with their qualifiers (SPC-3 annex D). */
enum {
    ATAPI_COMMUNICATION_FAILURE = 0x0800, /* LOGICAL UNIT COMMUNICATION FAILURE */
    ATAPI_UNRECOVERED_READ = 0x1100,
    ATAPI_PARAMETER_LENGTH = 0x1a00,
    ATAPI_INVALID_OPCODE = 0x2000,
    ATAPI_LBA_OUT_OF_RANGE = 0x2100,
    ATAPI_INVALID_FIELD = 0x2400,
    ATAPI_INVALID_PARAMETER = 0x2600,
    ATAPI_MEDIUM_CHANGED = 0x2800,
    ATAPI_POWER_ON = 0x2900,
    ATAPI_INCOMPATIBLE_FORMAT = 0x3002,
    ATAPI_SAVING_UNSUPPORTED = 0x3900,
    ATAPI_NO_MEDIUM_CLOSED = 0x3a01,
    ATAPI_NO_MEDIUM_OPEN = 0x3a02,
    ATAPI_REMOVAL_PREVENTED = 0x5302,
    ATAPI_ILLEGAL_MODE = 0x6400,
};

/* Media events (MMC-5, GET EVENT STATUS NOTIFICATION). */
enum {
    ATAPI_EVENT_NONE = 0,
    ATAPI_EVENT_EJECT_REQUEST = 1,
    ATAPI_EVENT_NEW_MEDIUM = 2,
    ATAPI_EVENT_REMOVAL = 3,
};

/* READ CD's byte 9 (MMC-5). */
#define ATAPI_FIELD_SYNC   0x80
#define ATAPI_FIELD_SUB    0x40 /* a mode 1 sector has none */
#define ATAPI_FIELD_HEADER 0x20
#define ATAPI_FIELD_USER   0x10
#define ATAPI_FIELD_EDC    0x08

static inline uint32_t atapi_get16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static inline uint32_t atapi_get32(const uint8_t *bytes)
{
    return atapi_get16(bytes) << 16 | atapi_get16(bytes + 2);
}

static inline void atapi_put16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline void atapi_put32(uint8_t *bytes, uint32_t value)
{
    atapi_put16(bytes, value >> 16);
    atapi_put16(bytes + 2, value);
}

/* atapi.c: the command and its status. */
void atapi_complete(struct ata_drive *drive);
/* CHECK CONDITION. */
void atapi_check(struct ata_drive *drive, unsigned key, unsigned code);
void atapi_invalid_field(struct ata_drive *drive);
void atapi_clear_sense(struct ata_drive *drive);
/* The interrupt reason, ATAPI_CD and ATAPI_IO. */
void atapi_set_reason(struct ata_drive *drive, uint8_t reason);

/* atapi_data.c: the data phase. */
/* The first `length` bytes of the reply (zeroes beyond its end), or `allocated` if that is less.
 */
void atapi_reply(struct ata_drive *drive, uint32_t length, uint32_t allocated);
/* The data phase from the medium: `fields` of `count` blocks from `lba` on, which are there. */
void atapi_read_medium(struct ata_drive *drive, uint32_t lba, uint32_t count, uint8_t fields);
/* A parameter list into the reply; the command goes on with atapi_parameters(). */
void atapi_get_parameters(struct ata_drive *drive, uint32_t length);
/* A DRQ block of a parameter list is there. */
void atapi_list_written(struct ata_drive *drive);

/* Hooks of ata_*.c. */
void atapi_power_on(struct ata_drive *drive);
void atapi_device_reset(struct ata_drive *drive);
void atapi_step(struct ata_drive *drive);
void atapi_done(struct ata_drive *drive, int error);
void atapi_dma_failed(struct ata_drive *drive);
void atapi_block_begun(struct ata_drive *drive);
void atapi_block_read(struct ata_drive *drive);
void atapi_block_written(struct ata_drive *drive);
void atapi_copy_out(const struct ata_drive *drive, uint32_t pos, void *buf, uint32_t len);
void atapi_save(const struct ata_drive *drive, struct state_writer *writer);
void atapi_load(struct ata_drive *drive, struct state_reader *reader);
/* What was loaded is valid: wiring. */
void atapi_loaded(struct ata_drive *drive);
bool atapi_valid(const struct ata_drive *drive);

/* atapi_medium.c */
/* Whether there is one behind a closed tray. */
bool atapi_has_medium(const struct ata_drive *drive);
/* Of what is in the tray; 0 when it is empty. */
uint32_t atapi_blocks(const struct ata_drive *drive);
/* Larger than a CD can be. */
bool atapi_is_dvd(const struct ata_drive *drive);
void atapi_no_medium(struct ata_drive *drive); /* CHECK CONDITION */
void atapi_start_stop(struct ata_drive *drive, const uint8_t *packet);
void atapi_prevent_allow(struct ata_drive *drive, const uint8_t *packet);
void atapi_event_status(struct ata_drive *drive, const uint8_t *packet);
void atapi_mechanism_status(struct ata_drive *drive, const uint8_t *packet);

/* atapi_read.c */
void atapi_read10(struct ata_drive *drive, const uint8_t *packet);
void atapi_read12(struct ata_drive *drive, const uint8_t *packet);
void atapi_read_cd(struct ata_drive *drive, const uint8_t *packet);
void atapi_seek(struct ata_drive *drive, const uint8_t *packet);

/* atapi_sector.c: a mode 1 sector as it lies on a CD (ECMA-130 14): what stands around its user
 * data, first sync and header, then EDC, zeroes and ECC. */
#define ATAPI_SECTOR      2352u
#define ATAPI_SECTOR_USER 16u /* offset of the user data */
#define ATAPI_FRAME       (ATAPI_SECTOR - ATAPI_BLOCK)
void atapi_frame(uint32_t lba, const uint8_t user[ATAPI_BLOCK], uint8_t ret_frame[ATAPI_FRAME]);
/* Where in a sector these fields, which have no gap, begin and end; false: they have one. */
bool atapi_fields_range(uint8_t fields, uint32_t *ret_first, uint32_t *ret_end);

/* atapi_disc.c: what the medium is */
void atapi_read_capacity(struct ata_drive *drive, const uint8_t *packet);
void atapi_read_toc(struct ata_drive *drive, const uint8_t *packet);
void atapi_read_disc_information(struct ata_drive *drive, const uint8_t *packet);
void atapi_read_track_information(struct ata_drive *drive, const uint8_t *packet);
void atapi_read_dvd_structure(struct ata_drive *drive, const uint8_t *packet);
/* The sector's address as minute, second, frame (ECMA-130 14.2: two seconds of pregap). */
void atapi_put_msf(uint8_t *bytes, uint32_t lba);

/* atapi_drive.c: what the drive is */
void atapi_inquiry(struct ata_drive *drive, const uint8_t *packet);
void atapi_get_configuration(struct ata_drive *drive, const uint8_t *packet);

/* atapi_mode.c */
void atapi_mode_sense(struct ata_drive *drive, const uint8_t *packet);
void atapi_mode_select(struct ata_drive *drive, const uint8_t *packet);
void atapi_parameters(struct ata_drive *drive);
void atapi_mode_defaults(struct ata_drive *drive);

#endif
