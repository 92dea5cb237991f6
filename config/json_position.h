/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in a JSON text a value or a key stands: jansson keeps no positions of what it has read, so
 * a message that wants to name a line walks the text once more.
 *
 * The text has been read by jansson (or, for json_path_at(), has been read up to an offset), so it
 * is not validated again; a text that is no JSON makes for a wrong answer, never for a read outside
 * it. Nothing here allocates on well-formed input without escapes in keys, and nothing recurses:
 * values nested deeper than JSON_PATH_DEPTH are stepped over.
 */
#ifndef IOEMUD_CONFIG_JSON_POSITION_H
#define IOEMUD_CONFIG_JSON_POSITION_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_PATH_DEPTH 8

/* One step into an object (key, borrowed) or an array (key NULL, index). */
struct json_step {
    const char *key;
    size_t index;
};

struct json_path {
    unsigned depth;
    struct json_step step[JSON_PATH_DEPTH];
};

struct json_position {
    unsigned line, column; /* from 1; a column is a byte */
};

enum json_position_of {
    JSON_POSITION_VALUE, /* of the value's first byte */
    JSON_POSITION_KEY,   /* of the quote that opens the key of the last step */
};

/* False: there is no such path in the text; *ret_position is untouched. */
bool json_position_find(const char *text, size_t length, const struct json_path *path,
                        enum json_position_of of, struct json_position *ret_position);

/* The line and column of byte `offset`. */
struct json_position json_position_of_offset(const char *text, size_t length, size_t offset);

/* The path of the value that is being read when `offset` bytes have been, as "/disks/0/vdev" ("/"
 * for the top). Returns where the last token before the offset begins. */
size_t json_path_at(const char *text, size_t length, size_t offset, char *ret_text, size_t size);

/* The path as text (RFC 6901: '~' is "~0", '/' is "~1"; bytes that do not print become '?'). */
void json_path_format(const struct json_path *path, char *ret_text, size_t size);

#endif
