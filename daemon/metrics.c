/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 512
#define PAGE_BYTES 4096

/* Powers of two in nanoseconds, at which the histograms' own buckets end, so that what is told is
 * exact: from the quickest round trip over shared memory to where only a stopped guest waits, and
 * for disks from a page cache to a disk that is broken. */
struct range {
    unsigned first, last;
};
static const struct range guest_range = {9, 26}; /* 512 ns to 67 ms */
static const struct range disk_range = {12, 33}; /* 4 us to 8.6 s */

#define SIZE_FIRST 512u /* of "read_sizes" and "write_sizes" */

struct text {
    char *bytes;
    size_t length, size;
    bool failed;
};

struct output {
    struct text text;
    enum metrics_format format;
    const json_t *stats;
    json_t *names; /* of guests: how many have each */
    const struct metric *metric;
    char labels[LABELS_MAX]; /* of the scope's object */
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
    va_list args;
    int n;

    if (text->failed)
        return;
    va_start(args, format);
    n = vsnprintf(text->bytes + text->length, text->size - text->length, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n >= text->size - text->length) {
        size_t size = text->size * 2 + (size_t)n + 1;
        char *bytes = realloc(text->bytes, size);

        if (!bytes) {
            text->failed = true;
            return;
        }
        text->bytes = bytes;
        text->size = size;
        va_start(args, format);
        n = vsnprintf(text->bytes + text->length, text->size - text->length, format, args);
        va_end(args);
    }
    if (n < 0)
        text->failed = true;
    else
        text->length += (size_t)n;
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* `name`="`value`", with a comma before it if it is not the first. Both formats escape alike. What
 * has no room is left out whole. */
static void label(char labels[LABELS_MAX], const char *name, const char *value)
{
    char escaped[LABELS_MAX];
    size_t at = 0, used = strlen(labels);

    for (const char *c = value ? value : ""; *c && at < sizeof(escaped) - 3; c++) {
        if (*c == '\\' || *c == '"' || *c == '\n')
            escaped[at++] = '\\';
        escaped[at++] = *c == '\n' ? 'n' : *c;
    }
    escaped[at] = '\0';
    if (used + strlen(name) + at + 5 < LABELS_MAX)
        snprintf(labels + used, LABELS_MAX - used, "%s%s=\"%s\"", used ? "," : "", name, escaped);
}

static void number_label(char labels[LABELS_MAX], const char *name, const json_t *number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    label(labels, name, text);
}

static void text_label(char labels[LABELS_MAX], const char *name, const json_t *object,
                       const char *key)
{
    label(labels, name, json_string_value(json_object_get(object, key)));
}

/* ---- samples --------------------------------------------------------------------------------- */

/* The start of a line; `extra` is a label that is complete, or "". */
static void begin(struct output *out, const char *suffix, const char *extra)
{
    const char *comma = *out->labels && *extra ? "," : "";

    append(&out->text, "%s%s", out->metric->name, suffix);
    if (*out->labels || *extra)
        append(&out->text, "{%s%s%s}", out->labels, comma, extra);
}

static const char *suffix_of(const struct metric *metric)
{
    return metric->type == METRIC_COUNTER ? "_total" : metric->type == METRIC_INFO ? "_info" : "";
}

/* `parts` of a second: all digits, since a double has not room for them. */
static void seconds(struct output *out, json_int_t value, unsigned digits)
{
    json_int_t parts = digits == 9 ? 1000000000 : 1000000;

    append(&out->text, " %" JSON_INTEGER_FORMAT ".%0*" JSON_INTEGER_FORMAT "\n", value / parts,
           (int)digits, value % parts);
}

static void sample(struct output *out, const char *extra, json_int_t value)
{
    begin(out, suffix_of(out->metric), extra);
    if (out->metric->form == METRIC_NS)
        seconds(out, value, 9);
    else if (out->metric->form == METRIC_US)
        seconds(out, value, 6);
    else
        append(&out->text, " %" JSON_INTEGER_FORMAT "\n",
               out->metric->form == METRIC_PAGES ? value * PAGE_BYTES : value);
}

static void bucket(struct output *out, const char *le, json_int_t count)
{
    char labels[LABELS_MAX] = "";

    snprintf(labels, sizeof(labels), "%s%sle=\"%s\"", out->metric->extra ? out->metric->extra : "",
             out->metric->extra ? "," : "", le);
    begin(out, "_bucket", labels);
    append(&out->text, " %" JSON_INTEGER_FORMAT "\n", count);
}

static void times(struct output *out, const json_t *histogram)
{
    const struct range *range = out->metric->form == METRIC_IO_TIMES ? &disk_range : &guest_range;
    const char *extra = out->metric->extra ? out->metric->extra : "";
    const json_t *buckets = json_object_get(histogram, "buckets");
    json_int_t count = json_integer_value(json_object_get(histogram, "count")), below = 0;
    size_t at = 0;

    for (unsigned shift = range->first; shift <= range->last; shift++) {
        json_int_t end = (json_int_t)1 << shift;
        const json_t *next;
        char le[32];

        while ((next = json_array_get(buckets, at)) &&
               json_integer_value(json_array_get(next, 0)) <= end) {
            below += json_integer_value(json_array_get(next, 1));
            at++;
        }
        snprintf(le, sizeof(le), "%.10g", (double)end / 1e9);
        bucket(out, le, below);
    }
    bucket(out, "+Inf", count);
    begin(out, "_sum", extra);
    seconds(out, json_integer_value(json_object_get(histogram, "sum_ns")), 9);
    begin(out, "_count", extra);
    append(&out->text, " %" JSON_INTEGER_FORMAT "\n", count);
}

static void sizes(struct output *out, const json_t *counts, const json_t *object)
{
    const char *extra = out->metric->extra ? out->metric->extra : "";
    json_int_t below = 0;

    for (size_t i = 0; i < json_array_size(counts); i++) {
        char le[32];

        below += json_integer_value(json_array_get(counts, i));
        snprintf(le, sizeof(le), "%u.0", SIZE_FIRST << i);
        bucket(out, le, below);
    }
    bucket(out, "+Inf", below);
    begin(out, "_sum", extra);
    append(&out->text, " %" JSON_INTEGER_FORMAT "\n",
           json_integer_value(json_object_get(object, out->metric->sum)));
    begin(out, "_count", extra);
    append(&out->text, " %" JSON_INTEGER_FORMAT "\n", below);
}

static void members(struct output *out, const json_t *object, const char *name)
{
    json_t *iterated = (json_t *)(uintptr_t)object; /* read only */
    const char *key;
    json_t *value;

    json_object_foreach(iterated, key, value)
    {
        char labels[LABELS_MAX] = "";

        label(labels, name, key);
        sample(out, labels, json_integer_value(value));
    }
}

static void accesses(struct output *out, const json_t *by_type)
{
    json_t *iterated = (json_t *)(uintptr_t)by_type; /* read only */
    const char *type, *size;
    json_t *by_size, *value;

    json_object_foreach(iterated, type, by_size)
    {
        json_object_foreach(by_size, size, value)
        {
            char labels[LABELS_MAX] = "";

            label(labels, "type", type);
            label(labels, "size", size);
            sample(out, labels, json_integer_value(value));
        }
    }
}

static const json_t *find(const json_t *object, const char *path)
{
    char steps[64], *save;

    snprintf(steps, sizeof(steps), "%s", path);
    for (char *step = strtok_r(steps, "/", &save); step; step = strtok_r(NULL, "/", &save))
        object = json_object_get(object, step);
    return object;
}

/* All samples of one line of the table for one object of its scope, whose labels are set. */
static void samples(struct output *out, const json_t *object)
{
    const struct metric *metric = out->metric;
    const json_t *value = find(object, metric->path);
    char labels[LABELS_MAX] = "";

    if (!value)
        return;
    switch (metric->form) {
    case METRIC_NUMBER:
    case METRIC_NS:
    case METRIC_US:
    case METRIC_PAGES:
        sample(out, metric->extra ? metric->extra : "",
               json_is_boolean(value) ? json_is_true(value) : json_integer_value(value));
        break;
    case METRIC_ONE:
        label(labels, metric->extra, json_string_value(value));
        sample(out, labels, 1);
        break;
    case METRIC_MEMBERS:
        members(out, value, metric->extra);
        break;
    case METRIC_ACCESSES:
        accesses(out, value);
        break;
    case METRIC_TIMES:
    case METRIC_IO_TIMES:
        times(out, value);
        break;
    case METRIC_SIZES:
        sizes(out, value, object);
        break;
    }
}

/* ---- scopes ---------------------------------------------------------------------------------- */

static void guest_labels(struct output *out, const json_t *guest)
{
    const char *name = json_string_value(json_object_get(guest, "name"));

    label(out->labels, "guest", name);
    if (json_integer_value(json_object_get(out->names, name)) > 1)
        number_label(out->labels, "domid", json_object_get(guest, "domid"));
}

/* A PV disk may have the name of the emulated one that its guest came from. */
static void disk_label(char labels[LABELS_MAX], const json_t *disk, bool pv)
{
    const char *vdev = json_string_value(json_object_get(disk, "vdev"));
    char name[32];

    snprintf(name, sizeof(name), "%s%s", pv ? "pv-" : "", vdev ? vdev : "");
    label(labels, "disk", name);
}

/* One element of an array that the scope has in a guest; its labels come after the guest's. */
static void part_labels(struct output *out, const json_t *part, bool pv)
{
    switch (out->metric->scope) {
    case METRIC_VCPU:
        number_label(out->labels, "vcpu", json_object_get(part, "vcpu"));
        break;
    case METRIC_DISK:
        disk_label(out->labels, part, pv);
        break;
    case METRIC_NIC:
        number_label(out->labels, "nic", json_object_get(part, "devid"));
        text_label(out->labels, "model", part, "model");
        break;
    case METRIC_SERIAL:
        number_label(out->labels, "port", json_object_get(part, "port"));
        break;
    case METRIC_DEVICE:
        text_label(out->labels, "device", part, "name");
        text_label(out->labels, "model", part, "model");
        break;
    case METRIC_DAEMON:
    case METRIC_WORKER:
    case METRIC_GUEST:
        break;
    }
}

static void of_parts(struct output *out, const json_t *guest, const json_t *parts, bool pv)
{
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);

        out->labels[0] = '\0';
        guest_labels(out, guest);
        part_labels(out, part, pv);
        samples(out, part);
    }
}

static void of_guest(struct output *out, const json_t *guest)
{
    static const char *const arrays[] = {
        [METRIC_VCPU] = "vcpus",    [METRIC_DISK] = "disks",     [METRIC_NIC] = "nics",
        [METRIC_SERIAL] = "serial", [METRIC_DEVICE] = "devices",
    };

    out->labels[0] = '\0';
    guest_labels(out, guest);
    if (out->metric->scope == METRIC_GUEST) {
        samples(out, guest);
        return;
    }
    of_parts(out, guest, json_object_get(guest, arrays[out->metric->scope]), false);
    if (out->metric->scope == METRIC_DISK)
        of_parts(out, guest, json_object_get(guest, "pv_disks"), true);
}

/* One line of the table for everything that it is of. */
static void of_all(struct output *out)
{
    const json_t *daemon = json_object_get(out->stats, "daemon");
    const json_t *workers = json_object_get(daemon, "workers");
    const json_t *guests = json_object_get(out->stats, "guests");

    out->labels[0] = '\0';
    if (out->metric->scope == METRIC_DAEMON) {
        samples(out, daemon);
    } else if (out->metric->scope == METRIC_WORKER) {
        for (size_t i = 0; i < json_array_size(workers); i++) {
            const json_t *worker = json_array_get(workers, i);

            out->labels[0] = '\0';
            number_label(out->labels, "worker", json_object_get(worker, "id"));
            samples(out, worker);
        }
    } else {
        for (size_t i = 0; i < json_array_size(guests); i++)
            of_guest(out, json_array_get(guests, i));
    }
}

/* ---- families -------------------------------------------------------------------------------- */

static const char *type_of(const struct metric *metric, enum metrics_format format)
{
    switch (metric->type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_HISTOGRAM:
        return "histogram";
    case METRIC_INFO:
        return format == METRICS_OPENMETRICS ? "info" : "gauge";
    case METRIC_GAUGE:
        break;
    }
    return "gauge";
}

/* The family's name is without the suffix in OpenMetrics, 5.1, and with it in the older format. */
static void describe(struct output *out)
{
    const struct metric *metric = out->metric;
    const char *suffix = out->format == METRICS_OPENMETRICS ? "" : suffix_of(metric);
    const char *unit = metric_unit(metric);

    append(&out->text, "# HELP %s%s %s\n", metric->name, suffix, metric->help);
    append(&out->text, "# TYPE %s%s %s\n", metric->name, suffix, type_of(metric, out->format));
    if (unit && out->format == METRICS_OPENMETRICS)
        append(&out->text, "# UNIT %s %s\n", metric->name, unit);
}

/* Guests may bear one name: then their domains tell them apart. */
static json_t *count_names(const json_t *guests)
{
    json_t *names = json_object();

    for (size_t i = 0; i < json_array_size(guests); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(guests, i), "name"));
        json_int_t before = json_integer_value(json_object_get(names, name));

        json_object_set_new(names, name, json_integer(before + 1));
    }
    return names;
}

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

char *metrics_text(const json_t *stats, enum metrics_format format)
{
    struct output out = {.format = format, .stats = stats};

    out.names = count_names(json_object_get(stats, "guests"));
    out.text.size = 65536;
    out.text.bytes = malloc(out.text.size);
    out.text.failed = !out.text.bytes || !out.names;
    for (const struct metric *metric = metrics_table; metric->name; metric++) {
        out.metric = metric;
        if (metric == metrics_table || strcmp(metric[-1].name, metric->name) != 0)
            describe(&out);
        of_all(&out);
    }
    if (format == METRICS_OPENMETRICS)
        append(&out.text, "# EOF\n");
    json_decref(out.names);
    if (out.text.failed) {
        free(out.text.bytes);
        return NULL;
    }
    return out.text.bytes;
}
