/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CD/DVD drive: what a packet device has beyond the registers, phases and transfers that it
 * shares with disks (devices/ide/ata.h, whose struct ata_drive is either).
 *
 * Standards: ATA/ATAPI-6 (T13/1410D) for the PACKET command and its protocols, SPC-3 and MMC-5 for
 * what the packets say. The medium is an image of 2048-byte blocks: one mode 1 track on a CD, or a
 * DVD-ROM if it is larger than a CD can be. Nothing is ever written.
 *
 *                     PACKET written
 *         IDLE -----------------------------> PACKET (DRQ: twelve bytes)
 *          ^                                     |
 *          |                        carried out  |
 *          |   no data, or CHECK CONDITION       |
 *          +------------------------------------>+ reply         +--> PIO_IN (blocks of at most
 *          |                                     +---------------+    the byte count limit)
 *          |                                     | medium, PIO       ^     |
 *          |                                     +-----> FETCH ------+     | not in hand
 *          |                                     |         ^---------------+
 *          |                                     | medium or reply, DMA
 *          |                                     +-----> DMA
 *          |                                     | parameter list
 *          |                                     +-----> PIO_OUT or DMA
 *          +---- last byte moved ----------------+
 *   DEVICE RESET and SRST from anywhere: IDLE with the signature.
 *
 * In PIO a block is as long as the limit and what is left allow; blocks need not end where sectors
 * do. The chunk in hand covers at least the next DRQ block, so the data port never waits within
 * one; a sector that two DRQ blocks share may be fetched twice.
 */
#ifndef IOEMUD_DEVICES_IDE_ATAPI_H
#define IOEMUD_DEVICES_IDE_ATAPI_H

#include <stdbool.h>
#include <stdint.h>

struct ata_drive;
struct blk;

#define ATAPI_BLOCK  2048u /* bytes of user data in a mode 1 sector, ECMA-130 14 */
#define ATAPI_PACKET 12u   /* bytes, IDENTIFY PACKET DEVICE word 0 */
/* Replies are short; the longest, of READ DVD STRUCTURE, is zeroes from here on. */
#define ATAPI_REPLY_MAX 512u

/* What the data phase of the packet in hand moves. */
enum atapi_transfer {
    ATAPI_NO_DATA,
    ATAPI_REPLY,      /* from `reply` */
    ATAPI_MEDIUM,     /* from the medium: `lba`, `sectors`, `pos` of struct ata_state in blocks */
    ATAPI_PARAMETERS, /* to `reply` */
    ATAPI_TRANSFERS
};

/* Unit attention conditions that wait for a command to report them (SPC-3). */
#define ATAPI_UA_RESET  0x01 /* 29h/00h: power on, reset */
#define ATAPI_UA_MEDIUM 0x02 /* 28h/00h: not ready to ready, medium may have changed */

struct atapi_state {
    uint8_t packet[ATAPI_PACKET];
    uint8_t transfer; /* enum atapi_transfer */
    uint8_t fields;   /* ATAPI_MEDIUM: parts of a sector, as READ CD's byte 9 has them */
    bool dma;         /* Features bit 0 of the PACKET command */
    bool careful;     /* a request failed: block by block, to find out which it was */
    uint16_t limit;   /* byte count limit */
    uint32_t length;  /* ATAPI_REPLY, ATAPI_PARAMETERS: bytes in all; `pos` of them are done */

    /* Sense data of the last command (SPC-3 4.5). */
    uint8_t key, asc, ascq;
    bool info_valid;
    uint32_t info;

    uint8_t attention; /* ATAPI_UA_* */
    uint8_t event;     /* the next media event, MMC-5, GET EVENT STATUS NOTIFICATION */
    bool ready;        /* DRDY: clear from a reset to the next command (ATA-6 9.1) */
    bool tray_open;
    bool locked;               /* PREVENT ALLOW MEDIUM REMOVAL */
    uint8_t recovery, retries; /* mode page 01h, bytes 2 and 3 */
};

/* What a person at the drive does; the drive must be a CD-ROM. */

/* Opens the tray and takes out what lies in it. *ret_blk is the caller's to close (NULL: it was
 * empty); requests in flight are cancelled, and the command that wanted them ends with NOT READY.
 * -EBUSY: the guest has locked the tray; it is told of the wish. `force` is the emergency eject. */
int atapi_eject(struct ata_drive *drive, bool force, struct blk **ret_blk);
/* Lays a medium into the empty tray and closes it; binds `blk`, which stays the caller's. -EBUSY:
 * it is not empty. */
int atapi_insert(struct ata_drive *drive, struct blk *blk);

#endif
