/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Samples of statistics, and what is shown between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ctl_top.h"
#include "tests/unit/json_text.h"

static int setup(void **state)
{
    static struct top top;

    top_init(&top);
    *state = &top;
    return 0;
}

static int teardown(void **state)
{
    top_finish(*state);
    return 0;
}

/* A sample; quotes as '. */
static void update(struct top *top, double seconds, const char *text)
{
    json_t *stats = json_text(text);

    top_update(top, stats, seconds);
    json_decref(stats);
}

static const struct top_row *row_of(const struct top *top, const char *name)
{
    for (size_t i = 0; i < top->n_rows; i++)
        if (strcmp(top->row[i].name, name) == 0)
            return &top->row[i];
    fail_msg("no row of %s", name);
    return NULL;
}

static char *printed(const struct top *top, unsigned width)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    top_print(top, width, out);
    fclose(out);
    return text;
}

static void rates_are_differences_by_the_time_between(void **state)
{
    struct top *top = *state;
    const struct top_row *row;

    update(top, 1,
           "{'daemon': {'process': {'cpu_us': 1000000}}, 'guests': [{'name': 'a', 'domid': 3,"
           "'state': 'running', 'ioreqs': {'pio_read': 100, 'pci_write': 5, 'string': 50},"
           "'bufpio': {'answered': 1000},"
           "'disks': [{'vdev': 'hda', 'reads': 10, 'read_bytes': 1000, 'written_bytes': 0},"
           "{'vdev': 'hdc', 'reads': 1}],"
           "'pv_disks': [{'vdev': 'hda', 'writes': 7, 'written_bytes': 70}],"
           "'nics': [{'devid': 1, 'tx_bytes': 100, 'rx_bytes': 0}]}]}");
    update(top, 2,
           "{'daemon': {'process': {'cpu_us': 2000000}}, 'guests': [{'name': 'a', 'domid': 3,"
           "'state': 'running', 'ioreqs': {'pio_read': 120, 'pci_write': 15, 'string': 90},"
           "'bufpio': {'answered': 3000},"
           "'disks': [{'vdev': 'hdc', 'reads': 1, 'in_flight': 1},"
           "{'vdev': 'hda', 'reads': 14, 'flushes': 2, 'read_bytes': 5000, 'written_bytes': 100,"
           "'in_flight': 2}],"
           "'pv_disks': [{'vdev': 'hda', 'writes': 9, 'written_bytes': 90, 'in_flight': 4}],"
           "'nics': [{'devid': 1, 'tx_bytes': 300, 'rx_bytes': 50}]}]}");
    row = row_of(top, "a");
    assert_true(row->requests == 15);
    assert_true(row->answered == 1000);
    assert_true(row->disk_requests == 4);
    assert_true(row->read_bytes == 2000);
    assert_true(row->written_bytes == 60);
    assert_true(row->tx_bytes == 100);
    assert_true(row->rx_bytes == 25);
    assert_int_equal(row->in_flight, 7);
    assert_true(top->cpu == 0.5);
}

/* Worker processes come and go; what they have in common with the daemon counts once. */
static void processors_and_memory_are_those_of_all_processes(void **state)
{
    struct top *top = *state;
    char *text;

    update(top, 1,
           "{'daemon': {'process': {'cpu_us': 1000000}, 'workers': ["
           "{'id': 3, 'process': {'cpu_us': 500000}}, {'id': 4, 'process': {'cpu_us': 900000}}]},"
           "'guests': []}");
    update(top, 2,
           "{'daemon': {'process': {'cpu_us': 1200000, 'resident_bytes': 20971520}, 'workers': ["
           "{'id': 5, 'process': {'cpu_us': 300000, 'resident_bytes': 22020096,"
           "'anonymous_bytes': 2097152}}, {'id': 3, 'process': {'cpu_us': 1000000,"
           "'anonymous_bytes': 1048576}}]}, 'guests': []}");
    assert_true(top->cpu == 0.5);
    text = printed(top, 100);
    assert_non_null(strstr(text, "processors 0.50, memory 23"));
    free(text);
}

static void latencies_are_those_of_the_interval_alone(void **state)
{
    struct top *top = *state;

    update(top, 1,
           "{'guests': [{'name': 'a', 'round_trip': {'count': 9, 'buckets': [[512, 9]]},"
           "'disks': [{'vdev': 'hda', 'latency': {'read': {'count': 1000,"
           "'buckets': [[1073741824, 1000]]}}}]}]}");
    update(top, 1,
           "{'guests': [{'name': 'a', 'round_trip': {'count': 9, 'buckets': [[512, 9]]},"
           "'disks': [{'vdev': 'hda', 'latency': {'read': {'count': 1002,"
           "'buckets': [[5120, 1], [1073741824, 1001]]},"
           "'write': {'count': 300, 'buckets': [[1024, 300]]}}}]}]}");
    assert_int_equal(row_of(top, "a")->round_trip_ns, 0); /* none was timed */
    assert_int_equal(row_of(top, "a")->disk_ns, 1023);    /* 300 of 302 */
    update(top, 1,
           "{'guests': [{'name': 'a', 'round_trip': {'count': 10, 'buckets': [[512, 9],"
           "[1024, 1]]}, 'disks': [{'vdev': 'hda', 'latency': {'read': {'count': 1003,"
           "'buckets': [[5120, 2], [1073741824, 1001]]},"
           "'write': {'count': 300, 'buckets': [[1024, 300]]}}}]}]}");
    assert_int_equal(row_of(top, "a")->round_trip_ns, 1023);
    assert_int_equal(row_of(top, "a")->disk_ns, 5119);
    assert_int_equal(row_of(top, "a")->history[TOP_HISTORY - 1], 5119);
    assert_int_equal(row_of(top, "a")->history[TOP_HISTORY - 2], 1023);
}

static void a_guest_that_was_attached_anew_begins_at_nothing(void **state)
{
    struct top *top = *state;

    update(top, 1, "{'guests': [{'name': 'a', 'domid': 3, 'ioreqs': {'pio_read': 1000}}]}");
    update(top, 1,
           "{'guests': [{'name': 'a', 'domid': 3, 'ioreqs': {'pio_read': 10}},"
           "{'name': 'b', 'domid': 4, 'ioreqs': {'pio_read': 20}}]}");
    assert_true(row_of(top, "a")->requests == 10);
    assert_true(row_of(top, "b")->requests == 20);
    update(top, 1, "{'guests': []}");
    assert_int_equal(top->n_rows, 0);
}

static void rows_are_sorted_by_what_is_asked_for(void **state)
{
    struct top *top = *state;
    enum top_key key;

    update(top, 1,
           "{'guests': ["
           "{'name': 'b', 'ioreqs': {'pio_read': 1}, 'disks': [{'vdev': 'hda', 'read_bytes': 5}]},"
           "{'name': 'c', 'ioreqs': {'pio_read': 1}, 'disks': [{'vdev': 'hda', 'read_bytes': 7}]},"
           "{'name': 'a', 'ioreqs': {'pio_read': 9}, 'disks': [{'vdev': 'hda', 'read_bytes': 6}]}"
           "]}");
    assert_true(top_key_of("requests", &key));
    top_sort(top, key, false);
    assert_string_equal(top->row[0].name, "a");
    assert_string_equal(top->row[1].name, "b"); /* equals by name */
    assert_true(top_key_of("read", &key));
    top_sort(top, key, false);
    assert_string_equal(top->row[0].name, "c");
    assert_string_equal(top->row[2].name, "b");
    top_sort(top, key, true);
    assert_string_equal(top->row[0].name, "b");
    assert_true(top_key_of("name", &key));
    top_sort(top, key, false);
    assert_string_equal(top->row[0].name, "a");
    top_sort(top, key, true);
    assert_string_equal(top->row[0].name, "c");
    assert_false(top_key_of("colour", &key));
}

static void the_bar_shows_the_guests_share(void **state)
{
    struct top *top = *state;
    char *text;

    update(top, 1,
           "{'guests': [{'name': 'a', 'ioreqs': {'pio_read': 70}},"
           "{'name': 'b', 'bufpio': {'answered': 30}}, {'name': 'c'}]}");
    text = printed(top, 0);
    assert_non_null(strstr(text, "a      -            70       0  |||||||..."));
    assert_non_null(strstr(text, "b      -             0      30  |||......."));
    assert_non_null(strstr(text, "c      -             0       0  .........."));
    assert_memory_equal(text, "3 guests, 0 workers, ", 21);
    free(text);
}

static void a_terminal_of_80_columns_has_what_matters_most(void **state)
{
    struct top *top = *state;
    char *text;

    update(top, 1,
           "{'daemon': {'uptime_s': 90061, 'workers': [{}]}, 'guests': [{'name': 'a-longer-name',"
           "'ioreqs': {'pio_read': 12345678}, 'disks': [{'vdev': 'hda', 'read_bytes': 123456789,"
           "'latency': {'read': {'count': 1, 'buckets': [[1073741824, 1]]}}}]}]}");
    text = printed(top, 80);
    assert_memory_equal(text, "1 guest, 1 worker, up 1d 01:01:01, ", 35);
    assert_non_null(strstr(
        text,
        "GUEST          REQUESTS  SHARE         READ  WRITTEN  DISK P99  LATENCY'S COURSE\n"));
    free(text);
}

static void the_course_is_relative_to_its_greatest(void **state)
{
    static const char *const levels[TOP_LEVELS] = {"1", "2", "3", "4", "5", "6", "7", "8"};
    struct top_row row = {0};
    char text[TOP_HISTORY * 4 + 1];

    top_history(&row, levels, text);
    assert_string_equal(text, "                ");
    row.history[TOP_HISTORY - 1] = 1;
    row.history[TOP_HISTORY - 2] = 1000;
    row.history[TOP_HISTORY - 3] = 500;
    row.history[TOP_HISTORY - 5] = UINT64_MAX / 2;
    top_history(&row, levels, text);
    assert_string_equal(text, "           8 111");
    row.history[TOP_HISTORY - 5] = 0;
    top_history(&row, levels, text);
    assert_string_equal(text, "             581");
}

/* A daemon of another version, or something else altogether, at the other end. */
static void samples_without_what_is_shown_do_no_harm(void **state)
{
    static const char *const samples[] = {
        "{}",
        "{'guests': [{}]}",
        "{'guests': [1, 'x', {'name': 7, 'disks': [{}, 3], 'nics': {}, 'round_trip': []}]}",
        "{'guests': [{'name': 'a', 'round_trip': {'buckets': [[], 1, [-5, -5], [1e9, 'x']]}}]}",
        "{'guests': [{'name': 'a', 'round_trip': {'count': -1, 'buckets': [[9, 1]]}}]}",
        "{'guests': {}, 'daemon': [], 'x': 1}",
    };
    struct top *top = *state;

    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
            update(top, 1, samples[i]);
            top_sort(top, TOP_LATENCY, false);
            free(printed(top, 0));
        }
}

static void options_that_make_no_sense_are_refused(void **state)
{
    struct top_options options = TOP_DEFAULTS;

    assert_true(top_take_option(&options, TOP_INTERVAL, "0.5"));
    assert_true(options.interval_s == 0.5);
    assert_true(top_take_option(&options, TOP_ITERATIONS, "12"));
    assert_int_equal(options.iterations, 12);
    assert_true(top_take_option(&options, TOP_SORT, "latency"));
    assert_int_equal(options.key, TOP_LATENCY);
    assert_false(top_take_option(&options, TOP_INTERVAL, "0.01"));
    assert_false(top_take_option(&options, TOP_INTERVAL, "nan"));
    assert_false(top_take_option(&options, TOP_INTERVAL, "1s"));
    assert_false(top_take_option(&options, TOP_ITERATIONS, "0"));
    assert_false(top_take_option(&options, TOP_ITERATIONS, "-3"));
    assert_false(top_take_option(&options, TOP_SORT, "colour"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rates_are_differences_by_the_time_between),
        TEST(processors_and_memory_are_those_of_all_processes),
        TEST(latencies_are_those_of_the_interval_alone),
        TEST(a_guest_that_was_attached_anew_begins_at_nothing),
        TEST(rows_are_sorted_by_what_is_asked_for),
        TEST(the_bar_shows_the_guests_share),
        TEST(a_terminal_of_80_columns_has_what_matters_most),
        TEST(the_course_is_relative_to_its_greatest),
        TEST(samples_without_what_is_shown_do_no_harm),
        TEST(options_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
