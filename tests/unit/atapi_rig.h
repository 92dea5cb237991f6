/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CD-ROM drive under test, device 0 of the secondary channel of a PIIX3 beside a disk on the
 * primary one, and a host that sends packets. The setup ends with the power-on attention cleared.
 */
#ifndef IOEMUD_TESTS_ATAPI_RIG_H
#define IOEMUD_TESTS_ATAPI_RIG_H

#include "tests/unit/ide_rig.h"

#define READY         (ATA_SR_DRDY | ATA_SR_DSC)
#define CD            2u /* disk number in the rig */
#define MEDIUM_BLOCKS 300u
#define TABLE         0x1000u
#define RAM           0x20000u
#define CHECK         (-1)

extern struct ide_rig rig;
extern uint8_t reply[4096];

#define CDB(...) ((const uint8_t[12]){__VA_ARGS__})

int atapi_rig_setup(uint64_t sectors); /* 0: an empty tray */
void atapi_rig_finish(void);
struct ata_drive *cd(void);

/* By PIO, with DRQ blocks of up to FFFEh bytes. How many bytes came, into `reply` (`most` at most
 * are expected), or CHECK. */
int packet(uint32_t most, const uint8_t *cdb);
/* By DMA, over TABLE, to memory. */
void dma(const uint8_t *cdb);
/* The command was refused, for this reason; asks REQUEST SENSE. */
void assert_sense(int result, uint8_t key, uint16_t code);
uint32_t byte_count(void);
void assert_medium_bytes(const uint8_t *bytes, uint32_t at, uint32_t len);

#endif
