/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 93C46 (64 words) or 93C66 (256 words) serial EEPROM in its 16-bit organisation, on the
 * Microwire bus: chip select, clock, data in, data out (data sheets of the NM93C46 and NM93C66,
 * table 1).
 *
 * An instruction is a start bit 1, two bits of opcode, 6 or 8 bits of address, most significant
 * first, each taken with the rising edge of the clock while the chip is selected:
 *
 *   10 a  READ    a dummy 0, then the word; goes on with the next word while it is clocked
 *   01 a  WRITE   16 bits of data, then the falling edge of chip select
 *   11 a  ERASE   to all-ones
 *   00 11 EWEN    00 00 EWDS   00 10 ERAL   00 01 WRAL (16 bits of data)
 *
 * Writing is done at once: the status that is read after it is always "ready".
 */
#ifndef IOEMUD_DEVICES_NET_EEPROM93_H
#define IOEMUD_DEVICES_NET_EEPROM93_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/state.h"

#define EEPROM93_WORDS_MAX 256u

enum eeprom93_phase {
    EEPROM93_IDLE, /* waits for the start bit */
    EEPROM93_COMMAND,
    EEPROM93_READING,
    EEPROM93_WRITING,
    EEPROM93_DONE, /* until chip select falls */
};

struct eeprom93 {
    uint16_t words; /* 64 or 256 */
    bool select, clock, out;
    bool write_enabled;
    uint8_t phase;
    uint8_t bits;     /* of `shift` that have come, or of the word that have gone */
    uint8_t opcode;   /* the two bits after the start bit */
    uint16_t address; /* < words */
    uint16_t shift;
    uint16_t data[EEPROM93_WORDS_MAX];
};

/* `words` is 64 or 256; contents all-ones, as it comes from the factory. The owner fills `data`. */
void eeprom93_init(struct eeprom93 *eeprom, unsigned words);
/* The pins as they are now; call it with every change. */
void eeprom93_pins(struct eeprom93 *eeprom, bool select, bool clock, bool in);
/* Data out; high (pulled up) while nothing drives it. */
bool eeprom93_out(const struct eeprom93 *eeprom);

void eeprom93_save(const struct eeprom93 *eeprom, struct state_writer *writer);
/* `words` must be what it was: else the reader is told that the state is wrong. */
void eeprom93_load(struct eeprom93 *eeprom, struct state_reader *reader);

#endif
