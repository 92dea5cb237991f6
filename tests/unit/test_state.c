/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/state.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void fill(struct state_writer *writer)
{
    state_begin(writer, "uart", 1, 3);
    state_put_u8(writer, 0x12);
    state_put_u16(writer, 0x3456);
    state_put_u32(writer, 0x789abcde);
    state_put_u64(writer, 0x0123456789abcdef);
    state_put_bytes(writer, "xyz", 3);
    state_end(writer);
}

static size_t filled(uint8_t *buf, size_t size)
{
    struct state_writer writer;

    state_writer_init(&writer, buf, size);
    fill(&writer);
    assert_int_equal(writer.error, 0);
    return writer.pos;
}

static void what_was_put_is_got(void **state)
{
    uint8_t buf[64], bytes[3];
    struct state_reader reader;

    state_reader_init(&reader, buf, filled(buf, sizeof(buf)));
    assert_int_equal(state_open(&reader, "uart", 1, 5), 3);
    assert_int_equal(state_get_u8(&reader), 0x12);
    assert_int_equal(state_get_u16(&reader), 0x3456);
    assert_int_equal(state_get_u32(&reader), 0x789abcde);
    assert_int_equal(state_get_u64(&reader), 0x0123456789abcdef);
    state_get_bytes(&reader, bytes, 3);
    assert_memory_equal(bytes, "xyz", 3);
    state_close(&reader);
    assert_int_equal(reader.error, 0);
    assert_int_equal(reader.pos, reader.size);
}

static void the_stream_is_little_endian_and_framed(void **state)
{
    static const uint8_t golden[] = {4,    'u',  'a',  'r',  't',  1,    0,    0,    0,
                                     3,    0,    0,    0,    18,   0,    0,    0,    0x12,
                                     0x56, 0x34, 0xde, 0xbc, 0x9a, 0x78, 0xef, 0xcd, 0xab,
                                     0x89, 0x67, 0x45, 0x23, 0x01, 'x',  'y',  'z'};
    uint8_t buf[64];

    assert_int_equal(filled(buf, sizeof(buf)), sizeof(golden));
    assert_memory_equal(buf, golden, sizeof(golden));
}

static void counting_gives_the_size_that_writing_needs(void **state)
{
    uint8_t buf[64];
    struct state_writer writer;

    state_writer_init(&writer, NULL, 0);
    fill(&writer);
    assert_int_equal(writer.error, 0);
    assert_int_equal(writer.pos, filled(buf, sizeof(buf)));
}

static void a_full_buffer_is_an_error_that_sticks(void **state)
{
    uint8_t buf[64];
    struct state_writer writer;
    size_t need = filled(buf, sizeof(buf));

    for (size_t size = 0; size < need; size++) {
        memset(buf, 0xa5, sizeof(buf));
        state_writer_init(&writer, buf, size);
        fill(&writer);
        assert_int_equal(writer.error, -ENOSPC);
        assert_int_equal(buf[size], 0xa5);
    }
}

static void a_truncated_stream_is_rejected_at_every_length(void **state)
{
    uint8_t buf[64];
    struct state_reader reader;
    size_t len = filled(buf, sizeof(buf));

    for (size_t size = 0; size < len; size++) {
        state_reader_init(&reader, buf, size);
        assert_int_equal(state_open(&reader, "uart", 1, 3), 0);
        assert_int_equal(reader.error, -EBADMSG);
        assert_int_equal(state_get_u64(&reader), 0);
    }
}

static void another_name_instance_or_newer_version_is_rejected(void **state)
{
    uint8_t buf[64];
    struct state_reader reader;
    size_t len = filled(buf, sizeof(buf));

    state_reader_init(&reader, buf, len);
    assert_int_equal(state_open(&reader, "uarx", 1, 3), 0);
    state_reader_init(&reader, buf, len);
    assert_int_equal(state_open(&reader, "uart0", 1, 3), 0);
    state_reader_init(&reader, buf, len);
    assert_int_equal(state_open(&reader, "uart", 2, 3), 0);
    state_reader_init(&reader, buf, len);
    assert_int_equal(state_open(&reader, "uart", 1, 2), 0);
    assert_int_equal(reader.error, -EBADMSG);
}

static void a_section_cannot_be_read_past_its_end_nor_left_half_read(void **state)
{
    uint8_t buf[128];
    struct state_writer writer;
    struct state_reader reader;

    state_writer_init(&writer, buf, sizeof(buf));
    state_begin(&writer, "a", 0, 1);
    state_put_u8(&writer, 1);
    state_end(&writer);
    fill(&writer);

    state_reader_init(&reader, buf, writer.pos);
    state_open(&reader, "a", 0, 1);
    assert_int_equal(state_get_u16(&reader), 0);
    assert_int_equal(reader.error, -EBADMSG);

    state_reader_init(&reader, buf, writer.pos);
    state_open(&reader, "a", 0, 1);
    state_close(&reader);
    assert_int_equal(reader.error, -EBADMSG);
}

static void a_length_that_lies_is_rejected(void **state)
{
    uint8_t buf[64];
    struct state_reader reader;
    size_t len = filled(buf, sizeof(buf));

    memset(buf + 13, 0xff, 4);
    state_reader_init(&reader, buf, len);
    assert_int_equal(state_open(&reader, "uart", 1, 3), 0);
    assert_int_equal(reader.error, -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_got),
        cmocka_unit_test(the_stream_is_little_endian_and_framed),
        cmocka_unit_test(counting_gives_the_size_that_writing_needs),
        cmocka_unit_test(a_full_buffer_is_an_error_that_sticks),
        cmocka_unit_test(a_truncated_stream_is_rejected_at_every_length),
        cmocka_unit_test(another_name_instance_or_newer_version_is_rejected),
        cmocka_unit_test(a_section_cannot_be_read_past_its_end_nor_left_half_read),
        cmocka_unit_test(a_length_that_lies_is_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
