/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks on the PIIX3's primary channel under test, and a host that looks at what they say. */
#ifndef IOEMUD_TESTS_ATA_RIG_H
#define IOEMUD_TESTS_ATA_RIG_H

#include "tests/unit/ide_rig.h"

#define READY (ATA_SR_DRDY | ATA_SR_DSC)

extern struct ide_rig rig;

int ata_rig_setup(const struct ide_rig_options *options);
int ata_rig_one_disk(void **state);
int ata_rig_two_disks(void **state);
int ata_rig_finish(void **state);
/* Once all is quiet another controller takes over, which must save the same, and goes on. */
void ata_rig_move(void);

/* After the command: it is refused, or it completes with what it still has to do. */
void assert_aborted(unsigned disk);
void assert_completed(unsigned disk);
/* These are what a fresh disk has there. */
void assert_disk_bytes(const uint8_t *bytes, unsigned disk, uint64_t lba, uint32_t sectors);
void fill(uint8_t *bytes, uint32_t len, unsigned seed);

/* IDENTIFY DEVICE: 512 bytes; one of its words. */
void identify(unsigned disk, uint8_t *ret_words);
uint16_t word_of(const uint8_t *identify, unsigned index);
/* SET FEATURES, to device 0. */
void features(uint8_t subcommand, uint8_t count);
/* How often the first disk was flushed. */
uint64_t flushes(void);

#endif
