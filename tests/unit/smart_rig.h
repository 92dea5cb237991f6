/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk's SMART data and logs, as a host reads them: a page at a time, into `page`. */
#ifndef IOEMUD_TESTS_SMART_RIG_H
#define IOEMUD_TESTS_SMART_RIG_H

#include "tests/unit/ata_rig.h"

#define TOTAL  8192u /* sectors of the first of two disks */
#define SECOND 1000000000ull

extern uint8_t page[512];

int smart_rig_setup(void **state);

/* SMART READ DATA, READ LOG; READ LOG EXT. */
void smart_data(void);
void smart_log(uint8_t address);
void log_ext(uint8_t address);
/* The page of the command that was given. */
void take_page(void);
/* Its bytes add up to 0. */
void assert_sum(void);
uint32_t get(unsigned offset, unsigned size);
/* The raw value of an attribute; its normalized one in *ret_value, if that is not NULL. */
uint32_t attribute(uint8_t id, uint8_t *ret_value);

/* A read of this sector fails. */
void fail_at(uint64_t lba);

#endif
