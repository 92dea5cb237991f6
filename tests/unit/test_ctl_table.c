/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ctl_show.h"
#include "daemon/ctl_table.h"

static const struct table_column columns[] = {
    {"NAME", TABLE_LEFT}, {"COUNT", TABLE_RIGHT}, {"PATH", TABLE_SHRINK}};

static char *printed(const struct table *table, unsigned width)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    table_print(table, width, out);
    fclose(out);
    return text;
}

static struct table *example(void)
{
    struct table *table = table_create(columns, 3);

    table_cell(table, "web1");
    table_cellf(table, "%d", 12);
    table_cell(table, "/dev/volume-group/web1");
    table_cell(table, "a-longer-name");
    table_cell(table, "7");
    table_cell(table, "/x");
    return table;
}

static void test_columns_are_as_wide_as_their_widest_cell(void **state)
{
    struct table *table = example();
    char *text = printed(table, 0);

    assert_string_equal(text, "NAME           COUNT  PATH\n"
                              "web1              12  /dev/volume-group/web1\n"
                              "a-longer-name      7  /x\n");
    free(text);
    table_destroy(table);
}

static void test_no_line_ends_in_blanks(void **state)
{
    struct table *table = table_create(columns, 3);
    char *text;

    table_cell(table, "web1");
    table_cell(table, "");
    table_cell(table, "");
    table_cell(table, "");
    table_cell(table, "");
    table_cell(table, "/x");
    text = printed(table, 0);
    assert_string_equal(text, "NAME  COUNT  PATH\n"
                              "web1\n"
                              "             /x\n");
    free(text);
    table_destroy(table);
}

static void test_a_narrow_terminal_shortens_paths_at_their_beginning(void **state)
{
    struct table *table = example();
    char *text = printed(table, 40);

    assert_non_null(strstr(text, "web1              12  ...lume-group/web1\n"));
    free(text);
    /* Too narrow for anything: the columns that may not shrink stay whole. */
    text = printed(table, 5);
    assert_non_null(strstr(text, "a-longer-name"));
    assert_non_null(strstr(text, "...roup/web1\n"));
    free(text);
    table_destroy(table);
}

static void test_what_does_not_print_does_not_reach_the_terminal(void **state)
{
    struct table *table = table_create(columns, 1);
    char *text;

    table_cell(table, "\x1b]0;title\x07");
    text = printed(table, 0);
    assert_string_equal(text, "NAME\n?]0;title?\n");
    free(text);
    table_destroy(table);
}

static void test_numbers_stay_short(void **state)
{
    assert_string_equal(table_count(0).text, "0");
    assert_string_equal(table_count(9999).text, "9999");
    assert_string_equal(table_count(10000).text, "10.0k");
    assert_string_equal(table_count(999949).text, "999.9k");
    assert_string_equal(table_count(999951).text, "1.0M");
    assert_string_equal(table_count(UINT64_MAX).text, "18.4E");
    assert_string_equal(table_bytes(4096).text, "4096");
    assert_string_equal(table_bytes(16384).text, "16.0K");
    assert_string_equal(table_bytes(UINT64_C(5) << 30).text, "5.0G");
    assert_string_equal(table_bytes(UINT64_MAX).text, "16.0E");
    assert_string_equal(table_time(0).text, "0ns");
    assert_string_equal(table_time(999).text, "999ns");
    assert_string_equal(table_time(1000).text, "1.0us");
    assert_string_equal(table_time(999949).text, "999.9us");
    assert_string_equal(table_time(999951).text, "1.0ms");
    assert_string_equal(table_time(UINT64_C(69000000000)).text, "69.0s");
    assert_string_equal(table_time(UINT64_MAX).text, "18446744073.7s");
}

static void test_times_are_shown_of_what_there_was(void **state)
{
    json_t *answer = json_loads(
        "{\"guests\":[{\"name\":\"a\",\"round_trip\":{\"count\":3,\"p50_ns\":1100,"
        "\"p99_99_ns\":5000,\"max_ns\":7000},\"disks\":[{\"vdev\":\"hda\",\"latency\":"
        "{\"write\":{\"count\":12,\"p50_ns\":2000000,\"max_ns\":3000000}}}],"
        "\"pv_disks\":[{\"vdev\":\"hda\",\"writes\":31,\"stopped\":{\"op\":\"write\",\"sector\":7,"
        "\"error\":\"No space\"},\"latency\":{\"read\":{\"count\":8}}}],"
        "\"vcpus\":[{\"vcpu\":1,\"bytes\":77,\"accesses\":{\"pio_read\":{\"1\":5,\"2\":6}}}]}]}",
        0, NULL);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(answer);
    ctl_show_stats(answer, true, 0, out);
    fclose(out);
    assert_non_null(
        strstr(text, "a      round trip       3  1.1us    -    -      -   5.0us  7.0us\n"));
    assert_non_null(
        strstr(text, "a      hda write       12  2.0ms    -    -      -       -  3.0ms\n"));
    assert_non_null(strstr(text, "a      pv-hda read      8 "));
    assert_null(strstr(text, " hda read"));
    assert_non_null(strstr(text, "\na is stopped: pv-hda, write of sector 7: No space\n"));
    assert_non_null(strstr(text, "a      pv-hda "));
    assert_non_null(strstr(text, "   1        11     77 "));
    free(text);
    json_decref(answer);
}

static void test_a_guest_whose_devices_were_reset_is_no_healthy_one(void **state)
{
    json_t *answer =
        json_loads("{\"guests\":[{\"name\":\"a\",\"state\":\"running\",\"reset\":true},"
                   "{\"name\":\"b\",\"state\":\"running\",\"reset\":false}]}",
                   0, NULL);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(answer);
    ctl_show_list(answer, 0, out);
    fclose(out);
    assert_non_null(strstr(text, "was reset"));
    assert_non_null(strstr(text, "running"));
    free(text);
    json_decref(answer);
}

/* A daemon of another version, or something else altogether, at the other end. */
static void test_an_answer_without_what_is_shown_is_shown_as_dashes(void **state)
{
    static const char *const answers[] = {
        "{}",
        "{\"guests\":[{}]}",
        "{\"guests\":[{\"name\":7,\"disks\":[{}],\"serial\":[3,4],\"devices\":[[]]}]}",
        "{\"daemon\":{\"workers\":[{\"pool\":1}]},\"guests\":[1]}",
        "{\"guests\":{},\"daemon\":[]}",
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        json_t *answer = json_loads(answers[i], 0, NULL);
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(answer);
        ctl_show_list(answer, 80, out);
        ctl_show_stats(answer, true, 80, out);
        fclose(out);
        assert_true(size > 0);
        free(text);
        json_decref(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(test_no_line_ends_in_blanks),
        cmocka_unit_test(test_a_narrow_terminal_shortens_paths_at_their_beginning),
        cmocka_unit_test(test_what_does_not_print_does_not_reach_the_terminal),
        cmocka_unit_test(test_numbers_stay_short),
        cmocka_unit_test(test_times_are_shown_of_what_there_was),
        cmocka_unit_test(test_a_guest_whose_devices_were_reset_is_no_healthy_one),
        cmocka_unit_test(test_an_answer_without_what_is_shown_is_shown_as_dashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
