/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps and invariants of an IDE controller's fuzzers, whatever is on its cables. */
#ifndef IOEMUD_TESTS_FUZZ_IDE_STEPS_H
#define IOEMUD_TESTS_FUZZ_IDE_STEPS_H

#include "devices/ide/controller.h"
#include "tests/fuzz/script.h"
#include "tests/unit/ide_rig.h"

#define IDE_TABLES  0x1000u /* of PRDs: 64, one every 0x100 bytes */
#define IDE_BUFFERS 0x20000u

struct ide_channel *ide_channel_of(struct ide_rig *rig, unsigned channel);
struct ata_drive *ide_drive_of(struct ide_rig *rig, unsigned disk);
/* Whether the channel's registers are where the script thinks: configuration may say otherwise. */
bool ide_decoded(struct ide_rig *rig, unsigned channel);

/* The interrupt lines are what the selected drives' INTRQ and nIEN make them. */
void ide_check_lines(struct ide_rig *rig);
/* BSY and DRQ are never set together; who waits for the backend is BSY. */
void ide_check_status(const struct ata_drive *drive);

/* A PRD table from the script, perhaps off the edge of memory or without an end; its address.
 * `ret_how` is for the caller's own choices as well. */
uint32_t ide_step_table(struct ide_rig *rig, struct script *script, uint8_t *ret_how);
/* All disks are well again, and the controller rests. */
void ide_step_rest(struct ide_rig *rig);
/* One that rests moves to a new one, which saves the same, and goes on. */
void ide_step_move(struct ide_rig *rig);
/* Every request and page has come back. */
void ide_check_idle(struct ide_rig *rig);

#endif
