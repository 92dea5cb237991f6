/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state as a byte stream: little-endian, versioned, bounds-checked both ways.
 *
 * A writer appends to a buffer that the caller gave (or only counts, with buf NULL); a reader takes
 * from one. Errors stick: a device writes or reads all its fields without looking and the caller
 * asks once at the end. Sections nest nothing: state_begin() .. state_end() frame one device with
 * its name, instance and version, so that an unknown or truncated one is found before any field.
 */
#ifndef IOEMUD_DEVICES_STATE_H
#define IOEMUD_DEVICES_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_NAME_MAX 31

struct state_writer {
    uint8_t *buf; /* NULL: count only */
    size_t size, pos;
    size_t section; /* where the open section's length goes */
    int error;      /* 0, or -ENOSPC from the first write that did not fit */
};

struct state_reader {
    const uint8_t *buf;
    size_t size, pos;
    size_t section_end;
    int error; /* 0, -EBADMSG: truncated or not what was asked for */
};

void state_writer_init(struct state_writer *writer, void *buf, size_t size);
void state_begin(struct state_writer *writer, const char *name, uint32_t instance,
                 uint32_t version);
void state_end(struct state_writer *writer);
void state_put_u8(struct state_writer *writer, uint8_t value);
void state_put_u16(struct state_writer *writer, uint16_t value);
void state_put_u32(struct state_writer *writer, uint32_t value);
void state_put_u64(struct state_writer *writer, uint64_t value);
void state_put_bytes(struct state_writer *writer, const void *bytes, size_t len);

void state_reader_init(struct state_reader *reader, const void *buf, size_t size);
/* The next section must be `name`/`instance`; returns its version (1 to max_version), or 0 with the
 * error set. */
uint32_t state_open(struct state_reader *reader, const char *name, uint32_t instance,
                    uint32_t max_version);
/* Unread bytes of the section are an error. */
void state_close(struct state_reader *reader);
uint8_t state_get_u8(struct state_reader *reader);
uint16_t state_get_u16(struct state_reader *reader);
uint32_t state_get_u32(struct state_reader *reader);
uint64_t state_get_u64(struct state_reader *reader);
void state_get_bytes(struct state_reader *reader, void *bytes, size_t len);
/* A device calls this when a field, though readable, cannot be: -EBADMSG sticks. */
void state_reject(struct state_reader *reader);

#endif
