/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *          1               address complete: READ
 *   IDLE -----> COMMAND ---------------------------> READING
 *     ^            |   WRITE, WRAL
 *     |            +---------------> WRITING --16 bits--> DONE
 *     |            |   others                               ^
 *     |            +----------------------------------------+
 *     +---- chip select falls (what was asked for is done then) <---- any
 */
#include "devices/net/eeprom93.h"

#include <assert.h>
#include <string.h>

enum opcode {
    OPCODE_EXTENDED, /* the two high address bits say what */
    OPCODE_WRITE,
    OPCODE_READ,
    OPCODE_ERASE,
};

enum extended {
    EXTENDED_DISABLE,
    EXTENDED_WRITE_ALL,
    EXTENDED_ERASE_ALL,
    EXTENDED_ENABLE,
};

#define WORD_BITS   16
#define OPCODE_BITS 2

static unsigned address_bits(const struct eeprom93 *eeprom)
{
    return eeprom->words == 64 ? 6 : 8;
}

static enum extended extended(const struct eeprom93 *eeprom)
{
    return (enum extended)(eeprom->address >> (address_bits(eeprom) - 2));
}

void eeprom93_init(struct eeprom93 *eeprom, unsigned words)
{
    assert(words == 64 || words == 256);
    *eeprom = (struct eeprom93){.words = (uint16_t)words, .out = true};
    memset(eeprom->data, 0xff, sizeof(eeprom->data));
}

static void command_complete(struct eeprom93 *eeprom)
{
    unsigned bits = address_bits(eeprom);

    eeprom->address = eeprom->shift & ((1u << bits) - 1);
    eeprom->opcode = (uint8_t)(eeprom->shift >> bits);
    eeprom->bits = 0;
    eeprom->shift = 0;
    if (eeprom->opcode == OPCODE_READ) {
        eeprom->phase = EEPROM93_READING;
        eeprom->out = false; /* the dummy bit */
    } else if (eeprom->opcode == OPCODE_WRITE ||
               (eeprom->opcode == OPCODE_EXTENDED && extended(eeprom) == EXTENDED_WRITE_ALL)) {
        eeprom->phase = EEPROM93_WRITING;
    } else {
        eeprom->phase = EEPROM93_DONE;
    }
}

static void clock_rises(struct eeprom93 *eeprom, bool in)
{
    switch ((enum eeprom93_phase)eeprom->phase) {
    case EEPROM93_IDLE:
        if (in) {
            eeprom->phase = EEPROM93_COMMAND;
            eeprom->bits = 0;
            eeprom->shift = 0;
        }
        break;
    case EEPROM93_COMMAND:
        eeprom->shift = (uint16_t)(eeprom->shift << 1 | in);
        if (++eeprom->bits == OPCODE_BITS + address_bits(eeprom))
            command_complete(eeprom);
        break;
    case EEPROM93_READING:
        eeprom->out = eeprom->data[eeprom->address] >> (WORD_BITS - 1 - eeprom->bits) & 1;
        if (++eeprom->bits == WORD_BITS) {
            eeprom->bits = 0;
            eeprom->address = (uint16_t)((eeprom->address + 1u) % eeprom->words);
        }
        break;
    case EEPROM93_WRITING:
        eeprom->shift = (uint16_t)(eeprom->shift << 1 | in);
        if (++eeprom->bits == WORD_BITS)
            eeprom->phase = EEPROM93_DONE;
        break;
    case EEPROM93_DONE:
        break;
    }
}

static void set_all(struct eeprom93 *eeprom, uint16_t value)
{
    for (unsigned i = 0; i < eeprom->words; i++)
        eeprom->data[i] = value;
}

/* An instruction that was not complete has no effect. */
static void select_falls(struct eeprom93 *eeprom)
{
    bool complete = eeprom->phase == EEPROM93_DONE;

    eeprom->phase = EEPROM93_IDLE;
    eeprom->out = true;
    if (!complete)
        return;
    if (eeprom->opcode == OPCODE_EXTENDED && extended(eeprom) == EXTENDED_ENABLE)
        eeprom->write_enabled = true;
    else if (eeprom->opcode == OPCODE_EXTENDED && extended(eeprom) == EXTENDED_DISABLE)
        eeprom->write_enabled = false;
    else if (!eeprom->write_enabled)
        return;
    else if (eeprom->opcode == OPCODE_WRITE)
        eeprom->data[eeprom->address] = eeprom->shift;
    else if (eeprom->opcode == OPCODE_ERASE)
        eeprom->data[eeprom->address] = UINT16_MAX;
    else
        set_all(eeprom, extended(eeprom) == EXTENDED_WRITE_ALL ? eeprom->shift : UINT16_MAX);
}

void eeprom93_pins(struct eeprom93 *eeprom, bool select, bool clock, bool in)
{
    if (eeprom->select && !select)
        select_falls(eeprom);
    else if (eeprom->select && !eeprom->clock && clock)
        clock_rises(eeprom, in);
    eeprom->select = select;
    eeprom->clock = clock;
}

bool eeprom93_out(const struct eeprom93 *eeprom)
{
    return eeprom->out;
}

void eeprom93_save(const struct eeprom93 *eeprom, struct state_writer *writer)
{
    state_put_u16(writer, eeprom->words);
    state_put_u8(writer, eeprom->select);
    state_put_u8(writer, eeprom->clock);
    state_put_u8(writer, eeprom->out);
    state_put_u8(writer, eeprom->write_enabled);
    state_put_u8(writer, eeprom->phase);
    state_put_u8(writer, eeprom->bits);
    state_put_u8(writer, eeprom->opcode);
    state_put_u16(writer, eeprom->address);
    state_put_u16(writer, eeprom->shift);
    for (unsigned i = 0; i < eeprom->words; i++)
        state_put_u16(writer, eeprom->data[i]);
}

void eeprom93_load(struct eeprom93 *eeprom, struct state_reader *reader)
{
    struct eeprom93 saved = *eeprom;

    saved.words = state_get_u16(reader);
    saved.select = state_get_u8(reader) & 1;
    saved.clock = state_get_u8(reader) & 1;
    saved.out = state_get_u8(reader) & 1;
    saved.write_enabled = state_get_u8(reader) & 1;
    saved.phase = state_get_u8(reader);
    saved.bits = state_get_u8(reader);
    saved.opcode = state_get_u8(reader);
    saved.address = state_get_u16(reader);
    saved.shift = state_get_u16(reader);
    if (saved.words != eeprom->words || saved.phase > EEPROM93_DONE ||
        saved.bits >= WORD_BITS + 1 || saved.opcode > OPCODE_ERASE ||
        saved.address >= eeprom->words ||
        (saved.phase == EEPROM93_COMMAND && saved.bits >= OPCODE_BITS + address_bits(eeprom)) ||
        ((saved.phase == EEPROM93_READING || saved.phase == EEPROM93_WRITING) &&
         saved.bits >= WORD_BITS)) {
        state_reject(reader);
        return;
    }
    for (unsigned i = 0; i < saved.words; i++)
        saved.data[i] = state_get_u16(reader);
    if (!reader->error)
        *eeprom = saved;
}
