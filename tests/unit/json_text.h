/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON in the source of a test, with ' where JSON has ". */
#ifndef IOEMUD_TESTS_UNIT_JSON_TEXT_H
#define IOEMUD_TESTS_UNIT_JSON_TEXT_H

#include <stdio.h>

#include <jansson.h>

/* The value; fails the test where it is none. The caller's to json_decref(). */
json_t *json_text(const char *text);
/* As JSON has it, to a file; in place. */
void json_text_write(const char *text, FILE *file);
void json_text_quote(char *text);

#endif
