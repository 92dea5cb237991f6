/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net/eeprom93.h"

/* As drivers drive the pins: data, clock up, clock down. */
static void shift(struct eeprom93 *eeprom, uint32_t value, unsigned bits)
{
    while (bits--) {
        bool bit = value >> bits & 1;

        eeprom93_pins(eeprom, true, false, bit);
        eeprom93_pins(eeprom, true, true, bit);
        eeprom93_pins(eeprom, true, false, bit);
    }
}

static uint16_t take(struct eeprom93 *eeprom)
{
    uint16_t value = 0;

    for (unsigned i = 0; i < 16; i++) {
        eeprom93_pins(eeprom, true, true, false);
        value = (uint16_t)(value << 1 | eeprom93_out(eeprom));
        eeprom93_pins(eeprom, true, false, false);
    }
    return value;
}

static void deselect(struct eeprom93 *eeprom)
{
    eeprom93_pins(eeprom, false, false, false);
}

/* Start bit, opcode and address. */
static void command(struct eeprom93 *eeprom, unsigned opcode, unsigned address)
{
    unsigned bits = eeprom->words == 64 ? 6 : 8;

    eeprom93_pins(eeprom, true, false, false);
    shift(eeprom, (4u | opcode) << bits | address, 3 + bits);
}

static uint16_t read_word(struct eeprom93 *eeprom, unsigned address)
{
    uint16_t value;

    command(eeprom, 2, address);
    assert_false(eeprom93_out(eeprom)); /* the dummy bit */
    value = take(eeprom);
    deselect(eeprom);
    return value;
}

static void write_word(struct eeprom93 *eeprom, unsigned address, uint16_t value)
{
    command(eeprom, 1, address);
    shift(eeprom, value, 16);
    deselect(eeprom);
    eeprom93_pins(eeprom, true, false, false);
    assert_true(eeprom93_out(eeprom)); /* ready */
    deselect(eeprom);
}

static void words_are_read_by_both_sizes(void **state)
{
    static const unsigned sizes[] = {64, 256};
    struct eeprom93 eeprom;

    for (unsigned i = 0; i < 2; i++) {
        eeprom93_init(&eeprom, sizes[i]);
        for (unsigned word = 0; word < sizes[i]; word++)
            eeprom.data[word] = (uint16_t)(word * 257 + 3);
        for (unsigned word = 0; word < sizes[i]; word++)
            assert_int_equal(read_word(&eeprom, word), (uint16_t)(word * 257 + 3));
        /* Zeroes before the start bit, and reading on into the next word and around the end. */
        eeprom93_pins(&eeprom, true, false, false);
        shift(&eeprom, 0, 5);
        command(&eeprom, 2, sizes[i] - 1);
        assert_int_equal(take(&eeprom), (uint16_t)((sizes[i] - 1) * 257 + 3));
        assert_int_equal(take(&eeprom), 3);
        deselect(&eeprom);
    }
}

static void it_is_written_only_when_enabled(void **state)
{
    struct eeprom93 eeprom;

    eeprom93_init(&eeprom, 64);
    write_word(&eeprom, 5, 0x1234);
    assert_int_equal(read_word(&eeprom, 5), 0xffff);
    command(&eeprom, 0, 0x30); /* EWEN */
    deselect(&eeprom);
    write_word(&eeprom, 5, 0x1234);
    assert_int_equal(read_word(&eeprom, 5), 0x1234);
    command(&eeprom, 3, 5); /* ERASE */
    deselect(&eeprom);
    assert_int_equal(read_word(&eeprom, 5), 0xffff);
    command(&eeprom, 0, 0x10); /* WRAL */
    shift(&eeprom, 0xabcd, 16);
    deselect(&eeprom);
    assert_int_equal(read_word(&eeprom, 0), 0xabcd);
    assert_int_equal(read_word(&eeprom, 63), 0xabcd);
    command(&eeprom, 1, 7);
    shift(&eeprom, 0x1234, 15); /* cut short */
    deselect(&eeprom);
    assert_int_equal(read_word(&eeprom, 7), 0xabcd);
    command(&eeprom, 0, 0x20); /* ERAL */
    deselect(&eeprom);
    assert_int_equal(read_word(&eeprom, 7), 0xffff);
    command(&eeprom, 0, 0); /* EWDS */
    deselect(&eeprom);
    write_word(&eeprom, 7, 1);
    assert_int_equal(read_word(&eeprom, 7), 0xffff);
}

static void state_survives_at_every_clock(void **state)
{
    uint8_t saved[1024], again[1024];

    for (unsigned clocks = 0; clocks < 25; clocks++) {
        struct eeprom93 eeprom, loaded;
        struct state_writer writer;
        struct state_reader reader;

        eeprom93_init(&eeprom, 64);
        eeprom.data[9] = 0x5aa5;
        eeprom93_pins(&eeprom, true, false, false);
        shift(&eeprom, ((4u | 2) << 6 | 9) << 16 >> (25 - clocks), clocks);
        state_writer_init(&writer, saved, sizeof(saved));
        state_begin(&writer, "eeprom", 0, 1);
        eeprom93_save(&eeprom, &writer);
        state_end(&writer);
        assert_int_equal(writer.error, 0);

        eeprom93_init(&loaded, 64);
        state_reader_init(&reader, saved, writer.pos);
        assert_int_equal(state_open(&reader, "eeprom", 0, 1), 1);
        eeprom93_load(&loaded, &reader);
        state_close(&reader);
        assert_int_equal(reader.error, 0);
        assert_memory_equal(&loaded, &eeprom, sizeof(eeprom));

        for (size_t at = 0; at < writer.pos; at++) /* hostile ones are refused or harmless */
            for (unsigned value = 0; value < 256; value += 15) {
                memcpy(again, saved, writer.pos);
                again[at] = (uint8_t)value;
                eeprom93_init(&loaded, 64);
                state_reader_init(&reader, again, writer.pos);
                if (!state_open(&reader, "eeprom", 0, 1))
                    continue;
                eeprom93_load(&loaded, &reader);
                shift(&loaded, 0x2a5a5, 20);
                deselect(&loaded);
                command(&loaded, 2, 63);
                take(&loaded);
            }
        eeprom93_init(&loaded, 256);
        state_reader_init(&reader, saved, writer.pos);
        state_open(&reader, "eeprom", 0, 1);
        eeprom93_load(&loaded, &reader);
        assert_int_equal(reader.error, -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_read_by_both_sizes),
        cmocka_unit_test(it_is_written_only_when_enabled),
        cmocka_unit_test(state_survives_at_every_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
