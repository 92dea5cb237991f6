/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A section on the wire: name length (u8), name, instance (u32), version (u32), length of what
 * follows (u32), the device's fields.
 */
#include "devices/state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void state_writer_init(struct state_writer *writer, void *buf, size_t size)
{
    *writer = (struct state_writer){.buf = buf, .size = size};
}

void state_put_bytes(struct state_writer *writer, const void *bytes, size_t len)
{
    if (writer->error)
        return;
    if (writer->buf) {
        if (len > writer->size - writer->pos) {
            writer->error = -ENOSPC;
            return;
        }
        if (len)
            memcpy(writer->buf + writer->pos, bytes, len);
    }
    writer->pos += len;
}

static void put_le(struct state_writer *writer, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    state_put_bytes(writer, bytes, size);
}

void state_put_u8(struct state_writer *writer, uint8_t value)
{
    put_le(writer, value, 1);
}

void state_put_u16(struct state_writer *writer, uint16_t value)
{
    put_le(writer, value, 2);
}

void state_put_u32(struct state_writer *writer, uint32_t value)
{
    put_le(writer, value, 4);
}

void state_put_u64(struct state_writer *writer, uint64_t value)
{
    put_le(writer, value, 8);
}

void state_begin(struct state_writer *writer, const char *name, uint32_t instance, uint32_t version)
{
    size_t len = strlen(name);

    assert(!writer->section && len && len <= STATE_NAME_MAX && version);
    state_put_u8(writer, (uint8_t)len);
    state_put_bytes(writer, name, len);
    state_put_u32(writer, instance);
    state_put_u32(writer, version);
    writer->section = writer->pos;
    state_put_u32(writer, 0);
}

void state_end(struct state_writer *writer)
{
    size_t at = writer->section;

    writer->section = 0;
    if (writer->error || !writer->buf)
        return;
    assert(at);

    size_t len = writer->pos - at - 4;
    if (len > UINT32_MAX) {
        writer->error = -ENOSPC;
        return;
    }
    for (unsigned i = 0; i < 4; i++)
        writer->buf[at + i] = (uint8_t)(len >> (8 * i));
}

void state_reader_init(struct state_reader *reader, const void *buf, size_t size)
{
    *reader = (struct state_reader){.buf = buf, .size = size, .section_end = size};
}

void state_reject(struct state_reader *reader)
{
    if (!reader->error)
        reader->error = -EBADMSG;
}

void state_get_bytes(struct state_reader *reader, void *bytes, size_t len)
{
    if (!reader->error && len > reader->section_end - reader->pos)
        state_reject(reader);
    if (reader->error) {
        memset(bytes, 0, len);
        return;
    }
    if (len)
        memcpy(bytes, reader->buf + reader->pos, len);
    reader->pos += len;
}

static uint64_t get_le(struct state_reader *reader, unsigned size)
{
    uint8_t bytes[8];
    uint64_t value = 0;

    state_get_bytes(reader, bytes, size);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t state_get_u8(struct state_reader *reader)
{
    return (uint8_t)get_le(reader, 1);
}

uint16_t state_get_u16(struct state_reader *reader)
{
    return (uint16_t)get_le(reader, 2);
}

uint32_t state_get_u32(struct state_reader *reader)
{
    return (uint32_t)get_le(reader, 4);
}

uint64_t state_get_u64(struct state_reader *reader)
{
    return get_le(reader, 8);
}

uint32_t state_open(struct state_reader *reader, const char *name, uint32_t instance,
                    uint32_t max_version)
{
    char found[STATE_NAME_MAX];
    size_t len = state_get_u8(reader);

    if (len != strlen(name) || len > STATE_NAME_MAX)
        state_reject(reader);
    else
        state_get_bytes(reader, found, len);
    if (!reader->error && memcmp(found, name, len))
        state_reject(reader);
    if (state_get_u32(reader) != instance)
        state_reject(reader);

    uint32_t version = state_get_u32(reader);
    if (!version || version > max_version)
        state_reject(reader);

    uint32_t size = state_get_u32(reader);
    if (!reader->error && size > reader->section_end - reader->pos)
        state_reject(reader);
    if (reader->error)
        return 0;
    reader->section_end = reader->pos + size;
    return version;
}

void state_close(struct state_reader *reader)
{
    if (reader->pos != reader->section_end)
        state_reject(reader);
    reader->section_end = reader->size;
}
