// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void json_text_quote(char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            *text = '"';
}

void json_text_write(const char *text, FILE *file)
{
    for (; *text; text++)
        fputc(*text == '\'' ? '"' : *text, file);
}

json_t *json_text(const char *text)
{
    char *json = strdup(text);
    json_error_t error;
    json_t *value;

    assert_non_null(json);
    json_text_quote(json);
    value = json_loads(json, 0, &error);
    if (!value)
        fail_msg("%s at %d of %s", error.text, error.position, json);
    free(json);
    return value;
}
