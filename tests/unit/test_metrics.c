/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text for Prometheus, of statistics that the test makes up; docs/ beside the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/metrics.h"
#include "tests/unit/json_text.h"

static const char example[] =
    "{'daemon': {'version': '1.2', 'uptime_s': 7, 'log_suppressed': 0,"
    "  'process': {'cpu_us': 1500000, 'resident_bytes': 4096},"
    "  'workers': [{'id': 0, 'guests': 1, 'wakeups': 5, 'polls_hit': 6,"
    "    'process': {'cpu_us': 2500000, 'anonymous_bytes': 8192},"
    "    'pool': {'pages': 2, 'free': 1, 'locked': true}}]},"
    " 'guests': [{'name': 'web1', 'state': 'running', 'domid': 7, 'worker': 0, 'bytes': 12,"
    "  'ioreqs': {'pio_read': 3, 'pio_write': 4},"
    "  'round_trip': {'count': 4, 'sum_ns': 1000000123,"
    "    'buckets': [[512, 1], [576, 1], [1024, 1], [68719476736, 1]]},"
    "  'memory': {'mapped_pages': 16},"
    "  'vcpus': [{'vcpu': 0, 'bytes': 12, 'accesses': {'pio_read': {'1': 2, '4': 1}}}],"
    "  'disks': [{'vdev': 'hda', 'reads': 9, 'read_bytes': 4608, 'io_ns': 2000000005,"
    "    'latency': {'read': {'count': 9, 'sum_ns': 2000000005, 'buckets': [[4608, 9]]}},"
    "    'read_sizes': [8, 1, 0, 0, 0, 0, 0, 0, 0]}],"
    "  'pv_disks': [{'vdev': 'hda', 'writes': 5}],"
    "  'nics': [{'devid': 1, 'model': 'e1000', 'tx_packets': 2, 'rx_packets': 3, 'link': false}],"
    "  'serial': [{'port': 0, 'dropped': 1}],"
    "  'devices': [{'name': 'ide', 'model': 'piix3-ide', 'counters': {'commands': 9}}]}]}";

static char *text_of(const char *json, enum metrics_format format)
{
    json_t *stats = json_text(json);
    char *text = metrics_text(stats, format);

    assert_non_null(text);
    json_decref(stats);
    return text;
}

/* Whether one of the lines is exactly this. */
static bool has_line(const char *text, const char *line)
{
    size_t length = strlen(line);

    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[length] == '\n')
            return true;
    return false;
}

static void expect_lines(const char *text, const char *const *lines)
{
    for (; *lines; lines++)
        if (!has_line(text, *lines))
            fail_msg("no line %s in\n%s", *lines, text);
}

static void numbers_have_their_names_units_and_labels(void **state)
{
    static const char *const lines[] = {
        "# HELP ioemud_uptime_seconds Time since the daemon was started.",
        "# TYPE ioemud_uptime_seconds gauge",
        "ioemud_uptime_seconds 7",
        "# TYPE ioemud_build_info gauge",
        "ioemud_build_info{version=\"1.2\"} 1",
        "# TYPE ioemud_process_cpu_seconds_total counter",
        "ioemud_process_cpu_seconds_total 1.500000",
        "ioemud_worker_cpu_seconds_total{worker=\"0\"} 2.500000",
        "ioemud_worker_anonymous_memory_bytes{worker=\"0\"} 8192",
        "ioemud_worker_wakeups_total{worker=\"0\"} 5",
        "ioemud_worker_pool_bytes{worker=\"0\"} 8192",
        "ioemud_worker_pool_locked{worker=\"0\"} 1",
        "ioemud_guest_state{guest=\"web1\",state=\"running\"} 1",
        "# TYPE ioemud_guest_requests_total counter",
        "ioemud_guest_requests_total{guest=\"web1\",type=\"pio_read\"} 3",
        "ioemud_guest_requests_total{guest=\"web1\",type=\"pio_write\"} 4",
        "ioemud_guest_mapped_bytes{guest=\"web1\"} 65536",
        "ioemud_vcpu_requests_total{guest=\"web1\",vcpu=\"0\",type=\"pio_read\",size=\"4\"} 1",
        "ioemud_disk_requests_total{guest=\"web1\",disk=\"hda\",op=\"read\"} 9",
        "ioemud_disk_requests_total{guest=\"web1\",disk=\"pv-hda\",op=\"write\"} 5",
        "ioemud_disk_io_seconds_total{guest=\"web1\",disk=\"hda\"} 2.000000005",
        "ioemud_nic_packets_total{guest=\"web1\",nic=\"1\",model=\"e1000\",direction=\"rx\"} 3",
        "ioemud_nic_link_up{guest=\"web1\",nic=\"1\",model=\"e1000\"} 0",
        "ioemud_serial_dropped_bytes_total{guest=\"web1\",port=\"0\"} 1",
        "ioemud_device_events_total{guest=\"web1\",device=\"ide\",model=\"piix3-ide\","
        "event=\"commands\"} 9",
        NULL,
    };
    char *text = text_of(example, METRICS_PROMETHEUS);

    expect_lines(text, lines);
    assert_null(strstr(text, "# UNIT"));
    assert_null(strstr(text, "# EOF"));
    free(text);
}

static void openmetrics_has_families_without_suffix_units_and_an_end(void **state)
{
    static const char *const lines[] = {
        "# TYPE ioemud_build info",
        "ioemud_build_info{version=\"1.2\"} 1",
        "# TYPE ioemud_process_cpu_seconds counter",
        "# UNIT ioemud_process_cpu_seconds seconds",
        "ioemud_process_cpu_seconds_total 1.500000",
        "# UNIT ioemud_guest_bytes bytes",
        NULL,
    };
    char *text = text_of(example, METRICS_OPENMETRICS);

    expect_lines(text, lines);
    assert_null(strstr(text, "# UNIT ioemud_guest_requests"));
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    assert_null(strstr(text, "\n\n"));
    free(text);
}

static void histograms_count_upwards_to_all(void **state)
{
    static const char *const lines[] = {
        "# TYPE ioemud_guest_round_trip_seconds histogram",
        "ioemud_guest_round_trip_seconds_bucket{guest=\"web1\",le=\"5.12e-07\"} 1",
        "ioemud_guest_round_trip_seconds_bucket{guest=\"web1\",le=\"1.024e-06\"} 3",
        "ioemud_guest_round_trip_seconds_bucket{guest=\"web1\",le=\"0.067108864\"} 3",
        "ioemud_guest_round_trip_seconds_bucket{guest=\"web1\",le=\"+Inf\"} 4",
        "ioemud_guest_round_trip_seconds_sum{guest=\"web1\"} 1.000000123",
        "ioemud_guest_round_trip_seconds_count{guest=\"web1\"} 4",
        "ioemud_disk_latency_seconds_bucket{guest=\"web1\",disk=\"hda\",op=\"read\","
        "le=\"4.096e-06\"} 0",
        "ioemud_disk_latency_seconds_bucket{guest=\"web1\",disk=\"hda\",op=\"read\","
        "le=\"8.192e-06\"} 9",
        "ioemud_disk_latency_seconds_count{guest=\"web1\",disk=\"hda\",op=\"read\"} 9",
        "ioemud_disk_request_size_bytes_bucket{guest=\"web1\",disk=\"hda\",op=\"read\","
        "le=\"512.0\"} 8",
        "ioemud_disk_request_size_bytes_bucket{guest=\"web1\",disk=\"hda\",op=\"read\","
        "le=\"131072.0\"} 9",
        "ioemud_disk_request_size_bytes_sum{guest=\"web1\",disk=\"hda\",op=\"read\"} 4608",
        NULL,
    };
    char *text = text_of(example, METRICS_PROMETHEUS);

    expect_lines(text, lines);
    free(text);
}

/* OpenMetrics 3.4: a family's samples are not interleaved with another's. */
static void each_family_is_in_one_piece(void **state)
{
    char *text = text_of(example, METRICS_OPENMETRICS), *save, *family = NULL;
    unsigned families = 0;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            family = strtok(line + 7, " ");
            families++;
        } else if (*line != '#') {
            assert_non_null(family);
            assert_memory_equal(line, family, strlen(family));
        }
    }
    free(text);
    for (const struct metric *metric = metrics_table; metric->name; metric++) {
        const struct metric *before = metric;

        while (before > metrics_table && strcmp(before[-1].name, metric->name) != 0)
            before--;
        if (before == metrics_table)
            families--; /* the first of its name */
        else
            assert_ptr_equal(before, metric);
        assert_memory_equal(metric->name, "ioemud_", 7);
        assert_int_equal(metric->type, before == metrics_table ? metric->type : before[-1].type);
    }
    assert_int_equal(families, 0);
}

static void names_of_guests_cannot_end_a_label(void **state)
{
    json_t *stats = json_text("{'guests': [{'state': 'running', 'domid': 1}]}");
    char *text;

    json_object_set_new(json_array_get(json_object_get(stats, "guests"), 0), "name",
                        json_string("a\"b\\c\nd"));
    text = metrics_text(stats, METRICS_PROMETHEUS);
    assert_true(has_line(text, "ioemud_guest_domid{guest=\"a\\\"b\\\\c\\nd\"} 1"));
    json_decref(stats);
    free(text);
}

static void guests_of_one_name_are_told_apart_by_their_domains(void **state)
{
    static const char *const lines[] = {
        "ioemud_guest_worker{guest=\"a\",domid=\"3\"} 0",
        "ioemud_guest_worker{guest=\"a\",domid=\"4\"} 1",
        "ioemud_guest_worker{guest=\"b\"} 1",
        NULL,
    };
    char *text = text_of("{'guests': [{'name': 'a', 'domid': 3, 'worker': 0},"
                         "{'name': 'a', 'domid': 4, 'worker': 1},"
                         "{'name': 'b', 'domid': 5, 'worker': 1}]}",
                         METRICS_PROMETHEUS);

    expect_lines(text, lines);
    free(text);
}

static void what_is_not_there_has_no_sample(void **state)
{
    char *text =
        text_of("{'guests': [{'name': 'a', 'state': 'waiting', 'domid': 0}]}", METRICS_PROMETHEUS);

    assert_true(has_line(text, "ioemud_guest_state{guest=\"a\",state=\"waiting\"} 1"));
    assert_null(strstr(text, "\nioemud_guest_requests_total"));
    assert_null(strstr(text, "\nioemud_guest_round_trip_seconds"));
    assert_null(strstr(text, "\nioemud_uptime_seconds"));
    free(text);
}

/* ---- what is written of them ----------------------------------------------------------------- */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 20);

    if (!file)
        fail_msg("%s: cannot be read", path);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* What a query may call a sample of the family. */
static bool is_sample_of(const struct metric *metric, const char *name, size_t length)
{
    static const char *const suffixes[] = {
        [METRIC_COUNTER] = "_total",
        [METRIC_GAUGE] = "",
        [METRIC_HISTOGRAM] = "_bucket|_sum|_count",
        [METRIC_INFO] = "_info",
    };
    size_t family = strlen(metric->name);
    char suffix[64];

    if (length < family || strncmp(name, metric->name, family) != 0 || length - family > 60)
        return false;
    snprintf(suffix, sizeof(suffix), "%.*s", (int)(length - family), name + family);
    return metric->type == METRIC_HISTOGRAM ? *suffix && strstr(suffixes[metric->type], suffix)
                                            : strcmp(suffixes[metric->type], suffix) == 0;
}

/* How many names there are in `text`, each of which must be a sample's. */
static unsigned check_names(const char *text)
{
    unsigned names = 0;

    for (const char *at = text; (at = strstr(at, "ioemud_")); names++) {
        const struct metric *metric = metrics_table;
        size_t length = 0;

        while (is_name_char(at[length]))
            length++;
        while (metric->name && !is_sample_of(metric, at, length))
            metric++;
        if (!metric->name)
            fail_msg("there is no %.*s: %s", (int)length, at, text);
        at += length;
    }
    return names;
}

static unsigned check_queries(const json_t *value)
{
    unsigned names = 0;
    const char *key;
    json_t *member;
    size_t i;

    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if ((strcmp(key, "expr") == 0 || strcmp(key, "query") == 0) && json_is_string(member))
            names += check_names(json_string_value(member));
        else
            names += check_queries(member);
    }
    json_array_foreach(value, i, member) names += check_queries(member);
    return names;
}

static void the_dashboard_asks_for_what_there_is(void **state)
{
    json_error_t error;
    json_t *dashboard = json_load_file(DOCS "/grafana-ioemud.json", 0, &error);

    if (!dashboard)
        fail_msg("%s:%d: %s", error.source, error.line, error.text);
    assert_true(check_queries(dashboard) > 20);
    json_decref(dashboard);
}

static void the_manual_names_every_family_and_no_other(void **state)
{
    char *text = read_file(DOCS "/metrics.md"), row[256];

    for (const struct metric *metric = metrics_table; metric->name; metric++) {
        const char *suffix = metric->type == METRIC_COUNTER ? "_total"
                             : metric->type == METRIC_INFO  ? "_info"
                                                            : "";

        snprintf(row, sizeof(row), "\n| `%s%s` | ", metric->name, suffix);
        if (!strstr(text, row))
            fail_msg("docs/metrics.md has no %s", row);
        assert_non_null(strstr(text, metric->help));
    }
    for (char *at = text; (at = strstr(at, "\n| `ioemud_")); at++) {
        const struct metric *metric = metrics_table;
        size_t length = strcspn(at + 4, "`");

        while (metric->name && !is_sample_of(metric, at + 4, length) &&
               !(metric->type == METRIC_HISTOGRAM && strlen(metric->name) == length &&
                 strncmp(metric->name, at + 4, length) == 0))
            metric++;
        if (!metric->name)
            fail_msg("docs/metrics.md has a %.*s too many", (int)length, at + 4);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_their_names_units_and_labels),
        cmocka_unit_test(openmetrics_has_families_without_suffix_units_and_an_end),
        cmocka_unit_test(histograms_count_upwards_to_all),
        cmocka_unit_test(each_family_is_in_one_piece),
        cmocka_unit_test(names_of_guests_cannot_end_a_label),
        cmocka_unit_test(guests_of_one_name_are_told_apart_by_their_domains),
        cmocka_unit_test(what_is_not_there_has_no_sample),
        cmocka_unit_test(the_dashboard_asks_for_what_there_is),
        cmocka_unit_test(the_manual_names_every_family_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
