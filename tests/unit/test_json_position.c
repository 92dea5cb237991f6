/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/json_position.h"

static const char text[] = "{\n"
                           "  \"a\": [ 1, { \"b\": \"x, ] } \\\" {\" }, [ [ ] ] ],\n"
                           "\t\"d\\u0065ep\": {\"a/b\": {\"c\": null}},\n"
                           "  \"last\":\n"
                           "-1.5e3\n"
                           "}\n";

#define PATH(...)                                                                                  \
    (&(struct json_path){.depth =                                                                  \
                             sizeof((struct json_step[]){__VA_ARGS__}) / sizeof(struct json_step), \
                         .step = {__VA_ARGS__}})

static void assert_at(const struct json_path *path, enum json_position_of of, unsigned line,
                      unsigned column)
{
    struct json_position position = {0, 0};

    assert_true(json_position_find(text, sizeof(text) - 1, path, of, &position));
    assert_int_equal(position.line, line);
    assert_int_equal(position.column, column);
}

static void test_values_are_found_where_they_begin(void **state)
{
    assert_at(&(struct json_path){0}, JSON_POSITION_VALUE, 1, 1);
    assert_at(PATH({"a"}), JSON_POSITION_VALUE, 2, 8);
    assert_at(PATH({"a"}, {NULL, 0}), JSON_POSITION_VALUE, 2, 10);
    assert_at(PATH({"a"}, {NULL, 1}), JSON_POSITION_VALUE, 2, 13);
    assert_at(PATH({"a"}, {NULL, 1}, {"b"}), JSON_POSITION_VALUE, 2, 20);
    assert_at(PATH({"a"}, {NULL, 2}), JSON_POSITION_VALUE, 2, 37);
    assert_at(PATH({"last"}), JSON_POSITION_VALUE, 5, 1);
}

static void test_keys_are_found_where_they_begin(void **state)
{
    assert_at(PATH({"a"}), JSON_POSITION_KEY, 2, 3);
    assert_at(PATH({"a"}, {NULL, 1}, {"b"}), JSON_POSITION_KEY, 2, 15);
    assert_at(PATH({"last"}), JSON_POSITION_KEY, 4, 3);
}

static void test_a_key_with_escapes_is_the_key_it_stands_for(void **state)
{
    assert_at(PATH({"deep"}, {"a/b"}, {"c"}), JSON_POSITION_VALUE, 3, 29);
}

static void test_what_is_not_there_is_not_found(void **state)
{
    struct json_position position = {7, 7};

    assert_false(
        json_position_find(text, sizeof(text) - 1, PATH({"b"}), JSON_POSITION_VALUE, &position));
    assert_false(json_position_find(text, sizeof(text) - 1, PATH({"a"}, {NULL, 3}),
                                    JSON_POSITION_VALUE, &position));
    assert_false(json_position_find(text, sizeof(text) - 1, PATH({"a"}, {"b"}), JSON_POSITION_VALUE,
                                    &position));
    assert_int_equal(position.line, 7);
}

static void test_a_value_below_the_depth_limit_does_not_confuse_what_follows(void **state)
{
    static const char deep[] = "{\"x\": [[[[[[[[[[[[ {\"y\": 1} ]]]]]]]]]]]], \"y\": 2}";
    struct json_position position;

    assert_true(
        json_position_find(deep, sizeof(deep) - 1, PATH({"y"}), JSON_POSITION_VALUE, &position));
    assert_int_equal(position.column, strlen(deep) - 1);
}

/* Any part of a text, cut anywhere, is walked without a step outside it (with the sanitizers). */
static void test_a_text_cut_anywhere_is_not_overrun(void **state)
{
    for (size_t length = 0; length < sizeof(text); length++) {
        char *cut = malloc(length ? length : 1);
        struct json_position position;
        char path[64];

        memcpy(cut, text, length);
        json_position_find(cut, length, PATH({"last"}, {NULL, 3}), JSON_POSITION_VALUE, &position);
        json_position_find(cut, length, PATH({"deep"}, {"x"}), JSON_POSITION_KEY, &position);
        json_path_at(cut, length, length, path, sizeof(path));
        assert_int_equal(path[0], '/');
        free(cut);
    }
}

static void test_the_path_at_an_offset(void **state)
{
    char path[64];
    const char *at = strstr(text, "null");

    json_path_at(text, sizeof(text) - 1, at - text + 4, path, sizeof(path));
    assert_string_equal(path, "/d\\u0065ep/a~1b/c"); /* as it is written: not decoded */
    json_path_at(text, sizeof(text) - 1, strstr(text, "x, ]") - text, path, sizeof(path));
    assert_string_equal(path, "/a/1/b");
    json_path_at(text, sizeof(text) - 1, sizeof(text) - 1, path, sizeof(path));
    assert_string_equal(path, "/");
}

static void test_a_path_as_text_is_cut_and_printable(void **state)
{
    char text_of[12];

    json_path_format(PATH({"a/b~c"}, {NULL, 10}), text_of, sizeof(text_of));
    assert_string_equal(text_of, "/a~1b~0c/10");
    json_path_format(PATH({"\x1b[31mlonger than that"}), text_of, sizeof(text_of));
    assert_string_equal(text_of, "/?[31mlonge");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_found_where_they_begin),
        cmocka_unit_test(test_keys_are_found_where_they_begin),
        cmocka_unit_test(test_a_key_with_escapes_is_the_key_it_stands_for),
        cmocka_unit_test(test_what_is_not_there_is_not_found),
        cmocka_unit_test(test_a_value_below_the_depth_limit_does_not_confuse_what_follows),
        cmocka_unit_test(test_a_text_cut_anywhere_is_not_overrun),
        cmocka_unit_test(test_the_path_at_an_offset),
        cmocka_unit_test(test_a_path_as_text_is_cut_and_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
