/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ctl_top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ctl_table.h"
#include "devices/histogram.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *const key_names[TOP_KEYS] = {
    [TOP_NAME] = "name",       [TOP_REQUESTS] = "requests", [TOP_READ] = "read",
    [TOP_WRITTEN] = "written", [TOP_NETWORK] = "network",   [TOP_LATENCY] = "latency",
};

/* ---- differences ----------------------------------------------------------------------------- */

static const json_t *find(const json_t *object, const char *path)
{
    char steps[64], *save;

    snprintf(steps, sizeof(steps), "%s", path);
    for (char *step = strtok_r(steps, "/", &save); step; step = strtok_r(NULL, "/", &save))
        object = json_object_get(object, step);
    return object;
}

static uint64_t number(const json_t *object, const char *path)
{
    json_int_t value = json_integer_value(find(object, path));

    return value > 0 ? (uint64_t)value : 0;
}

/* How far the counter went. One that went back is another one: it began at 0. */
static uint64_t gone(const json_t *now, const json_t *before, const char *path)
{
    uint64_t to = number(now, path), from = number(before, path);

    return to >= from ? to - from : to;
}

/* The element of an array of objects whose member `key` is as that of `like`. */
static const json_t *same(const json_t *array, const char *key, const json_t *like)
{
    const json_t *wanted = json_object_get(like, key);

    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *element = json_array_get(array, i);

        if (json_equal(json_object_get(element, key), wanted))
            return element;
    }
    return NULL;
}

static uint64_t *bucket_that_ends(struct histogram_sum *sum, uint64_t end)
{
    unsigned low = 0, high = HISTOGRAM_BUCKETS - 1;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (histogram_bucket_end(middle) < end)
            low = middle + 1;
        else
            high = middle;
    }
    return &sum->bucket[low];
}

static void add_buckets(struct histogram_sum *sum, const json_t *histogram, bool add)
{
    const json_t *buckets = json_object_get(histogram, "buckets");

    for (size_t i = 0; i < json_array_size(buckets); i++) {
        const json_t *pair = json_array_get(buckets, i);
        json_int_t end = json_integer_value(json_array_get(pair, 0));
        uint64_t *bucket = bucket_that_ends(sum, end > 0 ? (uint64_t)end : 0);
        json_int_t count = json_integer_value(json_array_get(pair, 1));

        *bucket += add ? (uint64_t)count : -(uint64_t)count;
    }
}

/* What was added to a histogram is added to `sum`. */
static void add_new(struct histogram_sum *sum, const json_t *now, const json_t *before)
{
    if (number(now, "count") < number(before, "count"))
        before = NULL; /* another one */
    add_buckets(sum, now, true);
    add_buckets(sum, before, false);
}

static uint64_t p99(struct histogram_sum *sum)
{
    sum->count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->count += sum->bucket[i];
    sum->max_ns = UINT64_MAX;
    return sum->count ? histogram_quantile(sum, 99, 100) : 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Adds those of one kind: emulated or PV. */
static void add_disks(struct top_row *row, const json_t *now, const json_t *before, double seconds,
                      struct histogram_sum *sum)
{
    static const char *const ops[] = {"latency/read", "latency/write", "latency/flush",
                                      "latency/discard"};
    static const char *const counts[] = {"reads", "writes", "flushes", "discards"};

    for (size_t i = 0; i < json_array_size(now); i++) {
        const json_t *disk = json_array_get(now, i), *old = same(before, "vdev", disk);

        row->read_bytes += (double)gone(disk, old, "read_bytes") / seconds;
        row->written_bytes += (double)gone(disk, old, "written_bytes") / seconds;
        row->in_flight += number(disk, "in_flight");
        for (size_t j = 0; j < COUNT_OF(ops); j++) {
            row->disk_requests += (double)gone(disk, old, counts[j]) / seconds;
            add_new(sum, find(disk, ops[j]), find(old, ops[j]));
        }
    }
}

static void disks(struct top_row *row, const json_t *now, const json_t *before, double seconds)
{
    static const char *const kinds[] = {"disks", "pv_disks"};
    struct histogram_sum sum = {0};

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        add_disks(row, json_object_get(now, kinds[i]), json_object_get(before, kinds[i]), seconds,
                  &sum);
    row->disk_ns = p99(&sum);
}

static void nics(struct top_row *row, const json_t *now, const json_t *before, double seconds)
{
    const json_t *array = json_object_get(now, "nics");
    const json_t *former = json_object_get(before, "nics");

    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *nic = json_array_get(array, i), *old = same(former, "devid", nic);

        row->tx_bytes += (double)gone(nic, old, "tx_bytes") / seconds;
        row->rx_bytes += (double)gone(nic, old, "rx_bytes") / seconds;
    }
}

static void requests(struct top_row *row, const json_t *now, const json_t *before, double seconds)
{
    static const char *const kinds[] = {"ioreqs/pio_read",  "ioreqs/pio_write",
                                        "ioreqs/mmio_read", "ioreqs/mmio_write",
                                        "ioreqs/pci_read",  "ioreqs/pci_write"};
    struct histogram_sum sum = {0};

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        row->requests += (double)gone(now, before, kinds[i]) / seconds;
    row->answered = (double)gone(now, before, "bufpio/answered") / seconds;
    add_new(&sum, json_object_get(now, "round_trip"), json_object_get(before, "round_trip"));
    row->round_trip_ns = p99(&sum);
}

static bool is_same_guest(const json_t *guest, const json_t *other)
{
    return json_equal(json_object_get(guest, "name"), json_object_get(other, "name")) &&
           number(guest, "domid") == number(other, "domid");
}

static void text(char *to, size_t size, const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    snprintf(to, size, "%s", value ? value : "-");
}

/* `before` NULL: the guest was not there, and what it did since it came is of this interval. */
static void fill(struct top_row *row, const json_t *now, const json_t *before, double seconds)
{
    memset(row, 0, sizeof(*row));
    text(row->name, sizeof(row->name), now, "name");
    text(row->state, sizeof(row->state), now, "state");
    row->domid = json_integer_value(json_object_get(now, "domid"));
    requests(row, now, before, seconds);
    disks(row, now, before, seconds);
    nics(row, now, before, seconds);
}

static void keep_history(struct top_row *row, const struct top_row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++)
        if (strcmp(rows[i].name, row->name) == 0 && rows[i].domid == row->domid)
            memcpy(row->history, rows[i].history + 1, (TOP_HISTORY - 1) * sizeof(row->history[0]));
    row->history[TOP_HISTORY - 1] = row->disk_ns;
}

void top_init(struct top *top)
{
    *top = (struct top){0};
}

void top_finish(struct top *top)
{
    free(top->row);
    json_decref(top->before);
    *top = (struct top){0};
}

/* Of the daemon, and of its workers' processes. */
static uint64_t cpu_us(const json_t *stats, const json_t *before)
{
    const json_t *workers = find(stats, "daemon/workers"), *former = find(before, "daemon/workers");
    uint64_t us = gone(stats, before, "daemon/process/cpu_us");

    for (size_t i = 0; i < json_array_size(workers); i++) {
        const json_t *worker = json_array_get(workers, i);

        us += gone(worker, same(former, "id", worker), "process/cpu_us");
    }
    return us;
}

void top_update(struct top *top, json_t *stats, double seconds)
{
    const json_t *guests = json_object_get(stats, "guests");
    const json_t *former = json_object_get(top->before, "guests");
    size_t count = json_array_size(guests);
    struct top_row *rows = calloc(count ? count : 1, sizeof(*rows));

    if (!rows) {
        fputs("ioemuctl: out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *now = json_array_get(guests, i), *before = NULL;

        for (size_t j = 0; j < json_array_size(former) && !before; j++)
            if (is_same_guest(json_array_get(former, j), now))
                before = json_array_get(former, j);
        fill(&rows[i], now, before, seconds);
        keep_history(&rows[i], top->row, top->n_rows);
    }
    top->cpu = (double)cpu_us(stats, top->before) / 1e6 / seconds;
    free(top->row);
    top->row = rows;
    top->n_rows = count;
    json_decref(top->before);
    top->before = json_incref(stats);
}

/* ---- order ----------------------------------------------------------------------------------- */

static double value_of(const struct top_row *row, enum top_key key)
{
    switch (key) {
    case TOP_REQUESTS:
        return row->requests + row->answered;
    case TOP_READ:
        return row->read_bytes;
    case TOP_WRITTEN:
        return row->written_bytes;
    case TOP_NETWORK:
        return row->tx_bytes + row->rx_bytes;
    case TOP_LATENCY:
        return (double)row->disk_ns;
    case TOP_NAME:
    case TOP_KEYS:
        break;
    }
    return 0;
}

struct order {
    enum top_key key;
    bool reverse;
};

static int by_order(const void *left, const void *right, void *arg)
{
    const struct top_row *a = left, *b = right;
    const struct order *order = arg;
    double of_a = value_of(a, order->key), of_b = value_of(b, order->key);
    int names = strcmp(a->name, b->name);
    int sign = order->reverse ? -1 : 1;

    if (of_a != of_b)
        return of_a > of_b ? -sign : sign;
    if (!names)
        names = a->domid < b->domid ? -1 : a->domid > b->domid;
    return order->key == TOP_NAME ? sign * names : names;
}

void top_sort(struct top *top, enum top_key key, bool reverse)
{
    struct order order = {key, reverse};

    if (top->n_rows)
        qsort_r(top->row, top->n_rows, sizeof(*top->row), by_order, &order);
}

bool top_key_of(const char *name, enum top_key *ret_key)
{
    for (unsigned i = 0; i < TOP_KEYS; i++) {
        if (strcmp(key_names[i], name) != 0)
            continue;
        *ret_key = (enum top_key)i;
        return true;
    }
    return false;
}

const char *top_key_name(enum top_key key)
{
    return key_names[key];
}

/* ---- looks ----------------------------------------------------------------------------------- */

void top_history(const struct top_row *row, const char *const levels[TOP_LEVELS],
                 char history[TOP_HISTORY * 4 + 1])
{
    uint64_t most = 0;
    size_t at = 0;

    for (unsigned i = 0; i < TOP_HISTORY; i++)
        if (row->history[i] > most)
            most = row->history[i];
    for (unsigned i = 0; i < TOP_HISTORY; i++) {
        double level = most ? (double)row->history[i] / (double)most * TOP_LEVELS : 0;
        const char *one = " ";

        if (row->history[i])
            one = levels[level >= TOP_LEVELS ? TOP_LEVELS - 1 : (unsigned)level];
        for (; *one; one++)
            history[at++] = *one;
    }
    history[at] = '\0';
}

enum column {
    COLUMN_GUEST,
    COLUMN_STATE,
    COLUMN_REQUESTS,
    COLUMN_INSIDE,
    COLUMN_SHARE,
    COLUMN_TRIP,
    COLUMN_READ,
    COLUMN_WRITTEN,
    COLUMN_OPS,
    COLUMN_NOW,
    COLUMN_SENT,
    COLUMN_RECEIVED,
    COLUMN_LATENCY,
    COLUMN_HISTORY,
    COLUMNS_ALL,
};

/* `width`: what it takes, roughly, with the gap before it. `rank`: who goes first where there is no
 * room for all, the greatest. */
static const struct {
    struct table_column column;
    unsigned width, rank;
} columns[COLUMNS_ALL] = {
    [COLUMN_GUEST] = {{"GUEST", TABLE_SHRINK}, 12, 0},
    [COLUMN_STATE] = {{"STATE", TABLE_LEFT}, 10, 9},
    [COLUMN_REQUESTS] = {{"REQUESTS", TABLE_RIGHT}, 10, 1},
    [COLUMN_INSIDE] = {{"INSIDE", TABLE_RIGHT}, 8, 12},
    [COLUMN_SHARE] = {{"SHARE", TABLE_LEFT}, 2 + TOP_BAR, 4},
    [COLUMN_TRIP] = {{"TRIP P99", TABLE_RIGHT}, 10, 10},
    [COLUMN_READ] = {{"READ", TABLE_RIGHT}, 8, 2},
    [COLUMN_WRITTEN] = {{"WRITTEN", TABLE_RIGHT}, 9, 3},
    [COLUMN_OPS] = {{"DISK OPS", TABLE_RIGHT}, 10, 11},
    [COLUMN_NOW] = {{"NOW", TABLE_RIGHT}, 5, 13},
    [COLUMN_SENT] = {{"SENT", TABLE_RIGHT}, 8, 7},
    [COLUMN_RECEIVED] = {{"RECEIVED", TABLE_RIGHT}, 10, 8},
    [COLUMN_LATENCY] = {{"DISK P99", TABLE_RIGHT}, 10, 5},
    [COLUMN_HISTORY] = {{TOP_HISTORY_TITLE, TABLE_LEFT}, 2 + TOP_HISTORY, 6},
};

/* A bit for each that there is room for; `width` 0: for all. */
static unsigned visible(unsigned width)
{
    unsigned shown = (1u << COLUMNS_ALL) - 1, total = 0;

    for (unsigned i = 0; i < COLUMNS_ALL; i++)
        total += columns[i].width;
    for (unsigned rank = COLUMNS_ALL - 1; width && total > width && rank > 0; rank--)
        for (unsigned i = 0; i < COLUMNS_ALL; i++) {
            if (columns[i].rank != rank)
                continue;
            shown &= ~(1u << i);
            total -= columns[i].width;
        }
    return shown;
}

struct cell {
    char text[TOP_HISTORY * 4 + 1];
};

static struct cell rate(double a_second)
{
    struct cell cell;

    if (a_second > 0 && a_second < 10)
        snprintf(cell.text, sizeof(cell.text), "%.1f", a_second);
    else
        snprintf(cell.text, sizeof(cell.text), "%s", table_count((uint64_t)a_second).text);
    return cell;
}

static struct cell bytes(double a_second)
{
    struct cell cell;

    snprintf(cell.text, sizeof(cell.text), "%s", table_bytes((uint64_t)a_second).text);
    return cell;
}

static struct cell duration(uint64_t ns)
{
    struct cell cell;

    snprintf(cell.text, sizeof(cell.text), "%s", ns ? table_time(ns).text : "-");
    return cell;
}

/* The row's part of all requests. */
static struct cell bar(double part)
{
    struct cell cell = {""};

    for (unsigned i = 0; i < TOP_BAR; i++)
        cell.text[i] = part * TOP_BAR > i + 0.5 ? '|' : '.';
    return cell;
}

static void print_row(struct table *table, const struct top_row *row, double all, unsigned shown)
{
    static const char *const levels[TOP_LEVELS] = {".", ":", "-", "=", "+", "*", "%", "#"};
    struct cell cell[COLUMNS_ALL] = {
        [COLUMN_REQUESTS] = rate(row->requests),
        [COLUMN_INSIDE] = rate(row->answered),
        [COLUMN_SHARE] = bar(all > 0 ? value_of(row, TOP_REQUESTS) / all : 0),
        [COLUMN_TRIP] = duration(row->round_trip_ns),
        [COLUMN_READ] = bytes(row->read_bytes),
        [COLUMN_WRITTEN] = bytes(row->written_bytes),
        [COLUMN_OPS] = rate(row->disk_requests),
        [COLUMN_SENT] = bytes(row->tx_bytes),
        [COLUMN_RECEIVED] = bytes(row->rx_bytes),
        [COLUMN_LATENCY] = duration(row->disk_ns),
    };

    snprintf(cell[COLUMN_GUEST].text, sizeof(cell[0].text), "%s", row->name);
    snprintf(cell[COLUMN_STATE].text, sizeof(cell[0].text), "%s", row->state);
    snprintf(cell[COLUMN_NOW].text, sizeof(cell[0].text), "%" PRIu64, row->in_flight);
    top_history(row, levels, cell[COLUMN_HISTORY].text);
    for (unsigned i = 0; i < COLUMNS_ALL; i++)
        if (shown & 1u << i)
            table_cell(table, cell[i].text);
}

/* What is resident; of workers' processes without what they have in common with it. */
static uint64_t memory(const json_t *daemon)
{
    const json_t *workers = json_object_get(daemon, "workers");
    uint64_t bytes = number(daemon, "process/resident_bytes");

    for (size_t i = 0; i < json_array_size(workers); i++)
        bytes += number(json_array_get(workers, i), "process/anonymous_bytes");
    return bytes;
}

static void print_daemon(const struct top *top, FILE *out)
{
    const json_t *daemon = json_object_get(top->before, "daemon");
    uint64_t up = number(daemon, "uptime_s");

    fprintf(out,
            "%zu guest%s, %zu worker%s, up %" PRIu64 "d %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64,
            top->n_rows, top->n_rows == 1 ? "" : "s",
            json_array_size(json_object_get(daemon, "workers")),
            json_array_size(json_object_get(daemon, "workers")) == 1 ? "" : "s", up / 86400,
            up / 3600 % 24, up / 60 % 60, up % 60);
    fprintf(out, ", processors %.2f, memory %s, a second:\n", top->cpu,
            table_bytes(memory(daemon)).text);
}

void top_print(const struct top *top, unsigned width, FILE *out)
{
    struct table_column titles[COLUMNS_ALL];
    unsigned shown = visible(width), count = 0;
    struct table *table;
    double all = 0;

    for (unsigned i = 0; i < COLUMNS_ALL; i++)
        if (shown & 1u << i)
            titles[count++] = columns[i].column;
    table = table_create(titles, count);
    print_daemon(top, out);
    for (size_t i = 0; i < top->n_rows; i++)
        all += value_of(&top->row[i], TOP_REQUESTS);
    for (size_t i = 0; i < top->n_rows; i++)
        print_row(table, &top->row[i], all, shown);
    table_print(table, width, out);
    table_destroy(table);
}
