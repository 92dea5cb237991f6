/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config/reader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 64 /* bytes of a user's value that a message repeats */

int config_enter_key(struct config_reader *reader, const char *key)
{
    if (reader->path.depth == JSON_PATH_DEPTH)
        return config_fail(reader, "nested too deeply");
    reader->path.step[reader->path.depth++] = (struct json_step){.key = key};
    return 0;
}

int config_enter_index(struct config_reader *reader, size_t index)
{
    if (reader->path.depth == JSON_PATH_DEPTH)
        return config_fail(reader, "nested too deeply");
    reader->path.step[reader->path.depth++] = (struct json_step){.index = index};
    return 0;
}

void config_leave(struct config_reader *reader)
{
    assert(reader->path.depth > 0);
    reader->path.depth--;
}

/* "FILE:LINE:COLUMN: at PATH: ", without line and column when there are none. */
static int write_message(struct config_reader *reader, enum json_position_of of, const char *format,
                         va_list args)
{
    struct json_position position;
    char path[160];
    char *text = reader->error->text;
    size_t size = sizeof(reader->error->text);
    int length;

    json_path_format(&reader->path, path, sizeof(path));
    if (reader->text &&
        json_position_find(reader->text, reader->length, &reader->path, of, &position))
        length = snprintf(text, size, "%s:%u:%u: at %s: ", reader->file, position.line,
                          position.column, path);
    else
        length = snprintf(text, size, "%s: at %s: ", reader->file, path);
    if (length >= 0 && (size_t)length < size)
        vsnprintf(text + length, size - length, format, args);
    return -EINVAL;
}

int config_fail(struct config_reader *reader, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int error = write_message(reader, JSON_POSITION_VALUE, format, args);

    va_end(args);
    return error;
}

int config_fail_at(struct config_reader *reader, const char *key, const char *format, ...)
{
    struct json_position position;
    va_list args;
    bool entered = false;

    if (reader->path.depth < JSON_PATH_DEPTH) {
        entered = config_enter_key(reader, key) == 0;
        if (!reader->text || !json_position_find(reader->text, reader->length, &reader->path,
                                                 JSON_POSITION_VALUE, &position)) {
            config_leave(reader);
            entered = false;
        }
    }
    va_start(args, format);
    int error = write_message(reader, JSON_POSITION_VALUE, format, args);

    va_end(args);
    if (entered)
        config_leave(reader);
    return error;
}

static int fail_key(struct config_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int fail_key(struct config_reader *reader, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int error = write_message(reader, JSON_POSITION_KEY, format, args);

    va_end(args);
    return error;
}

const char *config_type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a number";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

/* What the user wrote, safe to print and not too long. */
struct shown {
    char text[SHOWN_MAX + 4];
};

static struct shown show(const char *text)
{
    struct shown shown;
    size_t n = 0;

    while (text[n] && n < SHOWN_MAX) {
        shown.text[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
        n++;
    }
    snprintf(shown.text + n, sizeof(shown.text) - n, "%s", text[n] ? "..." : "");
    return shown;
}

/* ---- values ---------------------------------------------------------------------------------- */

static int fail_range(struct config_reader *reader, const struct config_key *key, json_int_t got)
{
    return config_fail(reader,
                       "%" JSON_INTEGER_FORMAT " is out of range: from %" PRIu64 " to %" PRIu64,
                       got, key->min, key->max);
}

static int read_number(struct config_reader *reader, const struct config_key *key,
                       const json_t *value, uint64_t *ret_number)
{
    if (!json_is_integer(value))
        return config_fail(reader,
                           "a whole number from %" PRIu64 " to %" PRIu64 " is expected, not %s",
                           key->min, key->max, config_type_name(value));

    json_int_t number = json_integer_value(value);

    if (number < 0 || (uint64_t)number < key->min || (uint64_t)number > key->max)
        return fail_range(reader, key, number);
    *ret_number = number;
    return 0;
}

/* "512", "64K", "16M", "2G", "1T". */
static int parse_size(const char *text, uint64_t *ret_size)
{
    static const char units[] = "KMGT";
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    unsigned shift = 0;

    if (errno)
        return -ERANGE;
    if (*end) {
        const char *unit = strchr(units, *end);

        if (!unit || end[1])
            return -EINVAL;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (shift && number > UINT64_MAX >> shift)
        return -ERANGE;
    *ret_size = (uint64_t)number << shift;
    return 0;
}

static int read_size(struct config_reader *reader, const struct config_key *key,
                     const json_t *value, uint64_t *ret_size)
{
    uint64_t size;

    if (json_is_integer(value))
        return read_number(reader, key, value, ret_size);
    if (!json_is_string(value))
        return config_fail(reader, "a number of bytes or \"16M\" is expected, not %s",
                           config_type_name(value));

    int error = parse_size(json_string_value(value), &size);

    if (error == -EINVAL)
        return config_fail(reader, "\"%s\" is no size: digits and one of K, M, G, T, as in \"16M\"",
                           show(json_string_value(value)).text);
    if (error || size < key->min || size > key->max)
        return config_fail(reader, "\"%s\" is out of range: from %" PRIu64 " to %" PRIu64 " bytes",
                           show(json_string_value(value)).text, key->min, key->max);
    *ret_size = size;
    return 0;
}

static int read_enum(struct config_reader *reader, const struct config_key *key,
                     const json_t *value, int *ret_number)
{
    char names[200] = "";

    for (int i = 0; key->names[i]; i++) {
        size_t used = strlen(names);

        if (json_is_string(value) && strcmp(json_string_value(value), key->names[i]) == 0) {
            *ret_number = i;
            return 0;
        }
        snprintf(names + used, sizeof(names) - used, "%s\"%s\"",
                 i == 0              ? ""
                 : key->names[i + 1] ? ", "
                                     : " or ",
                 key->names[i]);
    }
    if (!json_is_string(value))
        return config_fail(reader, "%s is expected, not %s", names, config_type_name(value));
    return config_fail(reader, "\"%s\" is not known here: %s is expected",
                       show(json_string_value(value)).text, names);
}

static int check_text(struct config_reader *reader, const struct config_key *key,
                      const json_t *value)
{
    if (!json_is_string(value))
        return config_fail(reader, "a string is expected, not %s", config_type_name(value));

    const char *text = json_string_value(value);
    size_t length = json_string_length(value);

    if (length > key->max)
        return config_fail(reader, "too long: %zu bytes, and %" PRIu64 " is the most", length,
                           key->max);
    if (length < key->min)
        return config_fail(reader, "too short: %zu bytes, and %" PRIu64 " is the least", length,
                           key->min);
    for (size_t i = 0; i < length; i++)
        if (key->kind == CONFIG_PATH ? text[i] == '\0' || text[i] == '\n'
                                     : text[i] < ' ' || text[i] > '~')
            return config_fail(reader, "byte %zu cannot be printed: %s", i + 1,
                               key->kind == CONFIG_PATH ? "a path on one line is expected"
                                                        : "plain ASCII is expected");
    if (key->kind == CONFIG_PATH && length && text[0] != '/')
        return config_fail(reader, "\"%s\" is relative: a path that starts with / is expected",
                           show(text).text);
    return 0;
}

static int read_string(struct config_reader *reader, const struct config_key *key,
                       const json_t *value, char **ret_string)
{
    int error = check_text(reader, key, value);

    if (error)
        return error;

    char *copy = strdup(json_string_value(value));

    if (!copy) {
        config_fail(reader, "out of memory");
        return -ENOMEM;
    }
    free(*ret_string);
    *ret_string = copy;
    return 0;
}

static int read_key(struct config_reader *reader, const struct config_key *key, const json_t *value,
                    void *into)
{
    void *member = (char *)into + key->offset;
    uint64_t number = 0;
    int error;

    switch (key->kind) {
    case CONFIG_BOOL:
        if (!json_is_boolean(value))
            return config_fail(reader, "true or false is expected, not %s",
                               config_type_name(value));
        *(bool *)member = json_is_true(value);
        return 0;
    case CONFIG_UNSIGNED:
        error = read_number(reader, key, value, &number);
        if (!error)
            *(unsigned *)member = number;
        return error;
    case CONFIG_U8:
        error = read_number(reader, key, value, &number);
        if (!error)
            *(uint8_t *)member = number;
        return error;
    case CONFIG_SIZE:
        return read_size(reader, key, value, member);
    case CONFIG_ENUM:
        return read_enum(reader, key, value, member);
    case CONFIG_TEXT:
        error = check_text(reader, key, value);
        if (!error)
            memcpy(member, json_string_value(value), json_string_length(value) + 1);
        return error;
    case CONFIG_STRING:
    case CONFIG_PATH:
        return read_string(reader, key, value, member);
    default:
        return key->read(reader, value, into);
    }
}

/* ---- objects --------------------------------------------------------------------------------- */

static const struct config_key *find_key(const struct config_table *table, const char *name)
{
    for (unsigned i = 0; i < table->n_keys; i++)
        if (strcmp(table->key[i].name, name) == 0)
            return &table->key[i];
    return NULL;
}

uint32_t config_key_bit(const struct config_table *table, const char *name)
{
    const struct config_key *key = find_key(table, name);

    assert(key);
    return UINT32_C(1) << (key - table->key);
}

static int fail_unknown(struct config_reader *reader, const struct config_table *table,
                        const char *name)
{
    const char *near = config_nearest_key(table, name);
    char known[320] = "";

    if (near)
        return fail_key(reader, "\"%s\" is not known in %s: did you mean \"%s\"?", show(name).text,
                        table->what, near);
    for (unsigned i = 0; i < table->n_keys; i++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", table->key[i].name);
    }
    return fail_key(reader, "\"%s\" is not known in %s, which has: %s", show(name).text,
                    table->what, known);
}

int config_read_object(struct config_reader *reader, const json_t *object,
                       const struct config_table *table, void *into, uint32_t *ret_given)
{
    uint32_t given = 0;

    assert(table->n_keys <= 32);
    if (!json_is_object(object))
        return config_fail(reader, "%s is expected to be an object { ... }, not %s", table->what,
                           config_type_name(object));

    /* jansson's iterators take a mutable object but only read it. */
    json_t *iterated = (json_t *)(uintptr_t)object;

    for (void *at = json_object_iter(iterated); at; at = json_object_iter_next(iterated, at)) {
        const char *name = json_object_iter_key(at);
        const struct config_key *key = find_key(table, name);
        int error = config_enter_key(reader, name);

        if (error)
            return error;
        error = key ? read_key(reader, key, json_object_iter_value(at), into)
                    : fail_unknown(reader, table, name);
        config_leave(reader);
        if (error)
            return error;
        given |= UINT32_C(1) << (key - table->key);
    }
    *ret_given = given;
    return 0;
}

static int copy_key(const struct config_key *key, const void *from, void *into)
{
    static const size_t sizes[] = {
        [CONFIG_BOOL] = sizeof(bool),  [CONFIG_UNSIGNED] = sizeof(unsigned),
        [CONFIG_U8] = sizeof(uint8_t), [CONFIG_SIZE] = sizeof(uint64_t),
        [CONFIG_ENUM] = sizeof(int),
    };
    const char *source = (const char *)from + key->offset;
    char *target = (char *)into + key->offset;

    if (key->kind == CONFIG_CUSTOM)
        return 0;
    if (key->kind == CONFIG_TEXT) {
        memcpy(target, source, key->max + 1);
        return 0;
    }
    if (key->kind == CONFIG_STRING || key->kind == CONFIG_PATH) {
        char *copy = strdup(*(char *const *)source);

        if (!copy)
            return -ENOMEM;
        free(*(char **)target);
        *(char **)target = copy;
        return 0;
    }
    memcpy(target, source, sizes[key->kind]);
    return 0;
}

int config_copy_keys(const struct config_table *table, uint32_t given, const void *from, void *into)
{
    for (unsigned i = 0; i < table->n_keys; i++) {
        if (!(given & UINT32_C(1) << i))
            continue;

        int error = copy_key(&table->key[i], from, into);

        if (error)
            return error;
    }
    return 0;
}

static json_t *write_key(const struct config_key *key, const void *from)
{
    const char *member = (const char *)from + key->offset;

    switch (key->kind) {
    case CONFIG_BOOL:
        return json_boolean(*(const bool *)member);
    case CONFIG_UNSIGNED:
        return json_integer(*(const unsigned *)member);
    case CONFIG_U8:
        return json_integer(*(const uint8_t *)member);
    case CONFIG_SIZE:
        return json_integer(*(const uint64_t *)member);
    case CONFIG_ENUM:
        return json_string(key->names[*(const int *)member]);
    case CONFIG_TEXT:
        return json_string(member);
    default:
        return json_string(*(char *const *)member);
    }
}

json_t *config_write_object(const struct config_table *table, const void *from)
{
    json_t *object = json_object();

    for (unsigned i = 0; object && i < table->n_keys; i++) {
        const struct config_key *key = &table->key[i];

        if (key->kind == CONFIG_CUSTOM)
            continue;
        if (json_object_set_new(object, key->name, write_key(key, from)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
