/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/record.h"

static char dir[64];

static int setup(void **state)
{
    char path[96];

    strcpy(dir, "/tmp/test_record.XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/guests", dir);
    return mkdir(path, 0755);
}

static int teardown(void **state)
{
    char command[96];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

struct seen {
    unsigned count, unreadable;
    char guest[64];
    struct hv_record record;
    bool remove;
};

static bool see(void *ctx, const char *guest, const struct hv_record *record)
{
    struct seen *seen = ctx;

    snprintf(seen->guest, sizeof(seen->guest), "%s", guest);
    if (!record) {
        seen->unreadable++;
        return false;
    }
    seen->count++;
    seen->record = *record;
    return seen->remove;
}

static const struct hv_record example = {
    .domid = 7, .server_id = 3, .domain_handle = "8f1cd1a5-6ffb-4a3e-8a4d-0a4a7f5f1c11"};

static void a_record_survives_until_it_is_taken(void **state)
{
    struct seen seen = {0};

    assert_int_equal(record_write(dir, "web1", &example), 0);
    assert_int_equal(record_each(dir, see, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.guest, "web1");
    assert_int_equal(seen.record.domid, 7);
    assert_int_equal(seen.record.server_id, 3);
    assert_string_equal(seen.record.domain_handle, example.domain_handle);
    seen.remove = true;
    assert_int_equal(record_each(dir, see, &seen), 1);
    assert_int_equal(record_each(dir, see, &seen), 0);
    assert_int_equal(seen.count, 2);
}

static void removing_leaves_nothing(void **state)
{
    struct seen seen = {0};

    assert_int_equal(record_write(dir, "web1", &example), 0);
    record_remove(dir, "web1", 7);
    record_remove(dir, "web1", 7);
    assert_int_equal(record_each(dir, see, &seen), 0);
    assert_int_equal(seen.count, 0);
}

/* xl can have two domains of one description. */
static void guests_of_one_name_have_a_record_each(void **state)
{
    struct hv_record other = example;
    struct seen seen = {0};

    other.domid = 8;
    assert_int_equal(record_write(dir, "web1", &example), 0);
    assert_int_equal(record_write(dir, "web1", &other), 0);
    assert_int_equal(record_each(dir, see, &seen), 0);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.guest, "web1");
    record_remove(dir, "web1", 7);
    seen.count = 0;
    assert_int_equal(record_each(dir, see, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.record.domid, 8);
}

/* As a former version wrote it, or whose name ends like one. */
static void a_record_of_another_name_is_still_found(void **state)
{
    struct seen seen = {.remove = true};
    char from[96], to[96];

    assert_int_equal(record_write(dir, "web1-7", &example), 0);
    assert_int_equal(record_each(dir, see, &seen), 1);
    assert_string_equal(seen.guest, "web1-7");
    assert_int_equal(record_write(dir, "web1", &example), 0);
    snprintf(from, sizeof(from), "%s/guests/web1-7.json", dir);
    snprintf(to, sizeof(to), "%s/guests/web1.json", dir);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(record_each(dir, see, &seen), 1);
    assert_string_equal(seen.guest, "web1");
    assert_int_equal(seen.record.domid, 7);
}

static void what_is_not_a_record_is_told_of_and_left_alone(void **state)
{
    static const char *const junk[] = {
        "",
        "{",
        "[]",
        "{\"domid\":1}",
        "{\"domid\":-1,\"server\":1,\"domain\":\"x\"}",
        "{\"domid\":1,\"server\":99999,\"domain\":\"x\"}",
        "{\"domid\":1,\"server\":1,\"domain\":\"0123456789012345678901234567890123456789\"}"};
    struct seen seen = {.remove = true};

    for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/guests/junk%zu.json", dir, i);
        file = fopen(path, "w");
        fputs(junk[i], file);
        fclose(file);
        assert_int_equal(record_each(dir, see, &seen), 0);
        assert_int_equal(seen.count, 0);
        assert_int_equal(seen.unreadable, 1);
        seen.unreadable = 0;
        assert_int_equal(access(path, F_OK), 0);
        unlink(path);
    }
}

static void no_directory_is_no_records(void **state)
{
    struct seen seen = {0};

    assert_int_equal(record_each("/nonexistent", see, &seen), 0);
    assert_true(record_write("/nonexistent", "web1", &example) < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_record_survives_until_it_is_taken),
        TEST(removing_leaves_nothing),
        TEST(guests_of_one_name_have_a_record_each),
        TEST(a_record_of_another_name_is_still_found),
        TEST(what_is_not_a_record_is_told_of_and_left_alone),
        TEST(no_directory_is_no_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
