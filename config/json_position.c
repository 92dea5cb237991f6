/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config/json_position.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One object or array that the scanner is inside of. */
struct frame {
    bool is_object;
    size_t index;              /* of the element, in an array */
    size_t key_at, key_length; /* of the member, quotes included, in an object */
};

struct scanner {
    const char *text;
    size_t length, at;
    unsigned depth; /* containers around `at`; only the first JSON_PATH_DEPTH have a frame */
    struct frame frame[JSON_PATH_DEPTH];
    bool expect_key;
};

enum token { TOKEN_END, TOKEN_KEY, TOKEN_VALUE, TOKEN_OTHER };

static struct frame *scanner_top(struct scanner *scanner)
{
    if (scanner->depth == 0 || scanner->depth > JSON_PATH_DEPTH)
        return NULL;
    return &scanner->frame[scanner->depth - 1];
}

static size_t string_end(const struct scanner *scanner, size_t at)
{
    for (at++; at < scanner->length && scanner->text[at] != '"'; at++)
        if (scanner->text[at] == '\\')
            at++;
    return at < scanner->length ? at + 1 : scanner->length;
}

static size_t word_end(const struct scanner *scanner, size_t at)
{
    while (at < scanner->length && memchr(" \t\r\n,:{}[]\"", scanner->text[at], 11) == NULL)
        at++;
    return at;
}

static void scanner_open(struct scanner *scanner, bool is_object)
{
    scanner->depth++;
    struct frame *top = scanner_top(scanner);

    if (top)
        *top = (struct frame){.is_object = is_object};
    scanner->expect_key = is_object;
}

/* Whether a key comes after a comma is known by a frame; below them strings are only stepped over.
 */
static void scanner_comma(struct scanner *scanner)
{
    struct frame *top = scanner_top(scanner);

    scanner->expect_key = top && top->is_object;
    if (!top)
        return;
    if (top->is_object)
        top->key_length = 0; /* between two members */
    else
        top->index++;
}

/* Steps over one token; `ret_start` is its first byte. Containers are stepped into. */
static enum token scanner_next(struct scanner *scanner, size_t *ret_start)
{
    while (scanner->at < scanner->length && memchr(" \t\r\n", scanner->text[scanner->at], 4))
        scanner->at++;
    *ret_start = scanner->at;
    if (scanner->at >= scanner->length)
        return TOKEN_END;

    size_t start = scanner->at;
    char c = scanner->text[start];

    switch (c) {
    case '"':
        scanner->at = string_end(scanner, start);
        if (!scanner->expect_key)
            return TOKEN_VALUE;
        scanner->expect_key = false;
        struct frame *top = scanner_top(scanner);

        if (top) {
            top->key_at = start;
            top->key_length = scanner->at - start;
        }
        return TOKEN_KEY;
    case '{':
    case '[':
        scanner->at++;
        /* The caller looks at the value's place before the scanner is inside it. */
        return TOKEN_VALUE;
    case '}':
    case ']':
        scanner->at++;
        if (scanner->depth > 0)
            scanner->depth--;
        scanner->expect_key = false;
        return TOKEN_OTHER;
    case ',':
        scanner->at++;
        scanner_comma(scanner);
        return TOKEN_OTHER;
    case ':':
        scanner->at++;
        return TOKEN_OTHER;
    default:
        scanner->at = word_end(scanner, start);
        if (scanner->at == start)
            scanner->at++;
        return TOKEN_VALUE;
    }
}

/* After a TOKEN_VALUE: goes inside when it is a container. */
static void scanner_enter(struct scanner *scanner, size_t start)
{
    char c = scanner->text[start];

    if (c == '{' || c == '[')
        scanner_open(scanner, c == '{');
}

static bool key_equals(const struct scanner *scanner, const struct frame *frame, const char *key)
{
    const char *raw = scanner->text + frame->key_at;
    size_t length = frame->key_length;

    if (length < 2)
        return false;
    if (memchr(raw, '\\', length) == NULL)
        return strlen(key) == length - 2 && memcmp(raw + 1, key, length - 2) == 0;

    json_t *decoded = json_loadb(raw, length, JSON_DECODE_ANY, NULL);
    bool equal = decoded && strcmp(json_string_value(decoded), key) == 0;

    json_decref(decoded);
    return equal;
}

/* The scanner stands at a value (or at the key of one): is its place `path`? */
static bool scanner_is_at(struct scanner *scanner, const struct json_path *path)
{
    if (scanner->depth != path->depth)
        return false;
    for (unsigned i = 0; i < path->depth; i++) {
        const struct frame *frame = &scanner->frame[i];
        const struct json_step *step = &path->step[i];

        if (frame->is_object != (step->key != NULL))
            return false;
        if (step->key ? !key_equals(scanner, frame, step->key) : frame->index != step->index)
            return false;
    }
    return true;
}

struct json_position json_position_of_offset(const char *text, size_t length, size_t offset)
{
    struct json_position position = {1, 1};

    if (offset > length)
        offset = length;
    for (size_t i = 0; i < offset; i++) {
        position.column++;
        if (text[i] == '\n') {
            position.line++;
            position.column = 1;
        }
    }
    return position;
}

bool json_position_find(const char *text, size_t length, const struct json_path *path,
                        enum json_position_of of, struct json_position *ret_position)
{
    struct scanner scanner = {.text = text, .length = length};
    enum token wanted = of == JSON_POSITION_KEY ? TOKEN_KEY : TOKEN_VALUE;
    enum token token;
    size_t start;

    while ((token = scanner_next(&scanner, &start)) != TOKEN_END) {
        if (token == wanted && scanner_is_at(&scanner, path)) {
            *ret_position = json_position_of_offset(text, length, start);
            return true;
        }
        if (token == TOKEN_VALUE)
            scanner_enter(&scanner, start);
    }
    return false;
}

/* Text that is cut when it does not fit, so that a message always ends well. */
struct cut_text {
    char *text;
    size_t size, length;
};

static void cut_text_add(struct cut_text *text, char c)
{
    if (text->length + 1 >= text->size)
        return;
    text->text[text->length++] = c >= ' ' && c <= '~' ? c : '?';
    text->text[text->length] = '\0';
}

static void cut_text_add_key(struct cut_text *text, const char *key, size_t length)
{
    cut_text_add(text, '/');
    for (size_t i = 0; i < length; i++) {
        if (key[i] == '~' || key[i] == '/') {
            cut_text_add(text, '~');
            cut_text_add(text, key[i] == '~' ? '0' : '1');
        } else {
            cut_text_add(text, key[i]);
        }
    }
}

static void cut_text_add_index(struct cut_text *text, size_t index)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%zu", index);
    cut_text_add_key(text, digits, strlen(digits));
}

size_t json_path_at(const char *text, size_t length, size_t offset, char *ret_text, size_t size)
{
    struct scanner scanner = {.text = text, .length = offset < length ? offset : length};
    struct cut_text path = {.text = ret_text, .size = size};
    enum token token;
    size_t start, last = 0;

    ret_text[0] = '\0';
    while ((token = scanner_next(&scanner, &start)) != TOKEN_END) {
        last = start;
        if (token == TOKEN_VALUE)
            scanner_enter(&scanner, start);
    }
    for (unsigned i = 0; i < scanner.depth && i < JSON_PATH_DEPTH; i++) {
        const struct frame *frame = &scanner.frame[i];
        const char *key = text + frame->key_at;
        size_t key_length = frame->key_length;

        if (!frame->is_object) {
            cut_text_add_index(&path, frame->index);
        } else if (key_length > 1) {
            /* The text may end before the key does. */
            if (key[key_length - 1] == '"')
                key_length--;
            cut_text_add_key(&path, key + 1, key_length - 1);
        }
    }
    if (path.length == 0)
        cut_text_add(&path, '/');
    return last;
}

void json_path_format(const struct json_path *path, char *ret_text, size_t size)
{
    struct cut_text text = {.text = ret_text, .size = size};

    ret_text[0] = '\0';
    for (unsigned i = 0; i < path->depth; i++) {
        const struct json_step *step = &path->step[i];

        if (step->key)
            cut_text_add_key(&text, step->key, strlen(step->key));
        else
            cut_text_add_index(&text, step->index);
    }
    if (path->depth == 0)
        cut_text_add(&text, '/');
}
