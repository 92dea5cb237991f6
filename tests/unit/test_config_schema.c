/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The JSON Schemas of config/schema/ and the parser's tables have the same keys, of the same kinds,
 * with the same ranges, words and defaults. Which files they take: tests/schema/verdicts.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/guest_config.h"
#include "config/tables.h"

static json_t *load(const char *name)
{
    char path[512];
    json_error_t error;
    json_t *schema;

    snprintf(path, sizeof(path), "%s/%s", CONFIG_SCHEMAS, name);
    schema = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!schema)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return schema;
}

static const json_t *defined(const json_t *schema, const char *what)
{
    return json_object_get(json_object_get(schema, "$defs"), what);
}

static void assert_number(const json_t *value, const char *member, uint64_t wanted)
{
    assert_true(json_is_integer(json_object_get(value, member)));
    assert_int_equal(json_integer_value(json_object_get(value, member)), wanted);
}

static void assert_whole_number(const struct config_key *key, const json_t *value)
{
    assert_string_equal(json_string_value(json_object_get(value, "type")), "integer");
    assert_number(value, "minimum", key->min);
    assert_number(value, "maximum", key->max);
}

static void assert_words(const struct config_key *key, const json_t *value)
{
    const json_t *words = json_object_get(value, "enum");
    size_t count = 0;

    while (key->names[count]) {
        assert_string_equal(json_string_value(json_array_get(words, count)), key->names[count]);
        count++;
    }
    assert_int_equal(json_array_size(words), count);
}

static void assert_text(const struct config_key *key, const json_t *value)
{
    const json_t *least = json_object_get(value, "minLength");

    assert_string_equal(json_string_value(json_object_get(value, "type")), "string");
    assert_number(value, "maxLength", key->max);
    assert_non_null(json_object_get(value, "pattern"));
    /* A path that is none is refused by its pattern. */
    if (key->kind != CONFIG_PATH)
        assert_int_equal(json_integer_value(least), key->min);
}

static void assert_key(const struct config_key *key, const json_t *value)
{
    print_message("  %s\n", key->name);
    assert_non_null(value);
    switch (key->kind) {
    case CONFIG_BOOL:
        assert_string_equal(json_string_value(json_object_get(value, "type")), "boolean");
        break;
    case CONFIG_UNSIGNED:
    case CONFIG_U8:
        assert_whole_number(key, value);
        break;
    case CONFIG_SIZE:
        assert_whole_number(key, json_array_get(json_object_get(value, "anyOf"), 0));
        break;
    case CONFIG_ENUM:
        assert_words(key, value);
        break;
    case CONFIG_TEXT:
    case CONFIG_STRING:
    case CONFIG_PATH:
        assert_text(key, value);
        break;
    case CONFIG_CUSTOM:
        break;
    }
}

/* `defaults`: the struct with all of them; NULL where an object has none to show. */
static void assert_table(const json_t *object, const struct config_table *table,
                         const void *defaults)
{
    const json_t *properties = json_object_get(object, "properties");
    json_t *written = defaults ? config_write_object(table, defaults) : NULL;

    print_message("%s\n", table->what);
    assert_true(json_is_false(json_object_get(object, "additionalProperties")));
    assert_int_equal(json_object_size(properties), table->n_keys);
    for (unsigned i = 0; i < table->n_keys; i++) {
        const struct config_key *key = &table->key[i];
        const json_t *value = json_object_get(properties, key->name);
        const json_t *said = json_object_get(value, "default");

        assert_key(key, value);
        if (said && written && key->kind != CONFIG_CUSTOM && key->kind != CONFIG_SIZE)
            assert_true(json_equal(said, json_object_get(written, key->name)));
    }
    json_decref(written);
}

static void test_the_daemons_schema_has_the_parsers_keys(void **state)
{
    json_t *schema = load("ioemud.schema.json");
    struct daemon_config defaults;

    assert_int_equal(daemon_config_defaults(&defaults), 0);
    assert_table(schema, &daemon_config_table, &defaults);
    daemon_config_finish(&defaults);
    json_decref(schema);
}

static void test_the_guests_schema_has_the_parsers_keys(void **state)
{
    json_t *schema = load("ioemud-guest.schema.json");
    struct guest_config defaults;

    assert_int_equal(guest_config_defaults(&defaults), 0);
    assert_table(schema, &guest_config_table, &defaults);
    assert_table(defined(schema, "disk"), &disk_config_table, &defaults.disk[0]);
    assert_table(defined(schema, "fault"), &fault_config_table, &defaults.disk[0].fault);
    assert_table(defined(schema, "serial"), &serial_config_table, NULL);
    assert_table(defined(schema, "nic"), &nic_config_table, &defaults.nic[0]);
    assert_table(defined(schema, "forward"), &forward_config_table, NULL);
    guest_config_finish(&defaults);
    json_decref(schema);
}

static void test_the_guests_schema_has_the_parsers_numbers_of_things(void **state)
{
    json_t *schema = load("ioemud-guest.schema.json");
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *nic = json_object_get(defined(schema, "nic"), "properties");

    assert_number(json_object_get(properties, "disks"), "maxItems", CONFIG_DISKS);
    assert_number(json_object_get(properties, "serial"), "maxItems", CONFIG_SERIALS);
    assert_number(json_object_get(properties, "nics"), "maxItems", CONFIG_NICS);
    assert_number(json_object_get(nic, "forward"), "maxItems", CONFIG_FORWARDS);
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_daemons_schema_has_the_parsers_keys),
        cmocka_unit_test(test_the_guests_schema_has_the_parsers_keys),
        cmocka_unit_test(test_the_guests_schema_has_the_parsers_numbers_of_things),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
