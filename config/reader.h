/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads JSON objects into structs by tables of keys: one table per kind of object, one line per
 * key. Everything that can be wrong with a value is found and worded here, so that all messages are
 * alike:
 *
 *     FILE:LINE:COLUMN: at /disks/0/vdev: what is wrong and what would be right
 *
 * A reader lives for one load. Its functions return 0, -EINVAL with the message written, or -ENOMEM
 * (a message is written for that, too).
 */
#ifndef IOEMUD_CONFIG_READER_H
#define IOEMUD_CONFIG_READER_H

#include "config/config.h"
#include "config/json_position.h"

#define CONFIG_FILE_MAX   (1u << 20) /* bytes of a configuration file */
#define CONFIG_PATH_MAX   4095       /* bytes of a path, PATH_MAX less its end */
#define CONFIG_SOCKET_MAX 107        /* bytes of a unix socket's path, unix(7) */

enum config_kind {
    CONFIG_BOOL,     /* bool */
    CONFIG_UNSIGNED, /* unsigned int, min..max */
    CONFIG_U8,       /* uint8_t, min..max */
    CONFIG_SIZE,     /* uint64_t of bytes, min..max: a number or "16M" */
    CONFIG_ENUM,     /* enum (int sized): the position in `names` */
    CONFIG_TEXT,     /* char[max + 1]: printable ASCII, min..max bytes */
    CONFIG_STRING,   /* char *, owned: as TEXT */
    CONFIG_PATH,     /* char *, owned: absolute, or "" where min is 0; at most max bytes */
    CONFIG_CUSTOM,   /* what `read` makes of it */
};

struct config_reader {
    const char *file; /* for messages */
    const char *text; /* NULL: no positions (an object that came over a socket) */
    size_t length;
    struct json_path path; /* of the value that is being read */
    struct config_error *error;
};

struct config_key {
    const char *name;
    enum config_kind kind;
    size_t offset; /* in the struct that the object is read into */
    uint64_t min, max;
    const char *const *names; /* ENUM: ends with NULL */
    int (*read)(struct config_reader *reader, const json_t *value, void *into);
};

struct config_table {
    const char *what; /* "a disk", for messages */
    const struct config_key *key;
    unsigned n_keys; /* at most 32: `given` has a bit for each */
};

/* Reads `object` into `into`, whose members hold their defaults (owned strings non-NULL).
 * ret_given: which keys were there. */
int config_read_object(struct config_reader *reader, const json_t *object,
                       const struct config_table *table, void *into, uint32_t *ret_given);

/* The bit of `name` in `given`. */
uint32_t config_key_bit(const struct config_table *table, const char *name);

/* Copies the keys of `given` from one struct to another; only fails with -ENOMEM. CUSTOM keys are
 * left alone. */
int config_copy_keys(const struct config_table *table, uint32_t given, const void *from,
                     void *into);

/* Writes the value's keys into a JSON object, all but CUSTOM ones. NULL on -ENOMEM. */
json_t *config_write_object(const struct config_table *table, const void *from);

/* Steps of the path; enter is refused (-EINVAL) below JSON_PATH_DEPTH, which no table reaches. */
int config_enter_key(struct config_reader *reader, const char *key);
int config_enter_index(struct config_reader *reader, size_t index);
void config_leave(struct config_reader *reader);

/* Writes the message for the value at the reader's path; returns -EINVAL. */
int config_fail(struct config_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, for member `key` of the object at the path, or the object itself when it is absent. */
int config_fail_at(struct config_reader *reader, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "an array", "a string", ... */
const char *config_type_name(const json_t *value);

/* The nearest of the table's keys to `unknown`, or NULL when none is near. */
const char *config_nearest_key(const struct config_table *table, const char *unknown);

/* Reads and parses the file, at most CONFIG_FILE_MAX bytes of it. The text is the caller's to free.
 */
int config_read_file(const char *path, char **ret_text, size_t *ret_length,
                     struct config_error *ret_error);
/* The text as a JSON object. */
int config_parse(struct config_reader *reader, json_t **ret_object);

#endif
