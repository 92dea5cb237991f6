/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ctl_show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ctl_table.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && *text ? text : "-";
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void cell_plain(struct table *table, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_integer(value) && json_integer_value(value) >= 0)
        table_cellf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        table_cell(table, "-");
}

static void cell_count(struct table *table, const json_t *object, const char *key)
{
    if (json_is_integer(json_object_get(object, key)))
        table_cell(table, table_count(number_of(object, key)).text);
    else
        table_cell(table, "-");
}

static void cell_bytes(struct table *table, const json_t *object, const char *key)
{
    if (json_is_integer(json_object_get(object, key)))
        table_cell(table, table_bytes(number_of(object, key)).text);
    else
        table_cell(table, "-");
}

static void cell_time(struct table *table, const json_t *object, const char *key)
{
    if (json_is_integer(json_object_get(object, key)))
        table_cell(table, table_time(number_of(object, key)).text);
    else
        table_cell(table, "-");
}

static void print_and_destroy(struct table *table, unsigned width, FILE *out)
{
    table_print(table, width, out);
    table_destroy(table);
}

/* ---- list ------------------------------------------------------------------------------------ */

static void cell_disk(struct table *table, const json_t *disk)
{
    if (!disk) {
        table_cell(table, "");
        table_cell(table, "");
        return;
    }

    bool cdrom = strcmp(text_of(disk, "type"), "cdrom") == 0;
    bool read_only = json_is_true(json_object_get(disk, "read_only"));
    const char *path = text_of(disk, "path");

    if (strcmp(text_of(disk, "format"), "mem") == 0)
        path = "(memory)";
    else if (cdrom && !json_string_length(json_object_get(disk, "path")))
        path = "(empty)";
    table_cellf(table, "%s%s", text_of(disk, "vdev"), cdrom ? " cd" : read_only ? " ro" : "");
    table_cell(table, path);
}

static void cell_nic(struct table *table, const json_t *nic)
{
    if (!nic) {
        table_cell(table, "");
        table_cell(table, "");
        return;
    }
    table_cellf(table, "%" PRIu64 " %s", number_of(nic, "devid"), text_of(nic, "model"));
    if (strcmp(text_of(nic, "at"), "-") == 0)
        table_cell(table, text_of(nic, "backend"));
    else
        table_cellf(table, "%s %s", text_of(nic, "backend"), text_of(nic, "at"));
}

static void cell_serial(struct table *table, const json_t *serial)
{
    table_cell(table, serial ? text_of(serial, "path") : "");
}

/* Devices that started anew under a guest that ran: see `reset` in docs/rpc.md. */
static const char *state_of(const json_t *guest)
{
    return json_is_true(json_object_get(guest, "reset")) ? "was reset" : text_of(guest, "state");
}

/* A row for each disk, NIC or serial port, whichever are most; the guest stands in the first. */
/* Its number, and in brackets that of its process if it is one. */
static void cell_worker(struct table *table, const json_t *guest)
{
    const json_t *pid = json_object_get(guest, "worker_pid");

    if (json_is_integer(pid))
        table_cellf(table, "%" JSON_INTEGER_FORMAT " (%" JSON_INTEGER_FORMAT ")",
                    json_integer_value(json_object_get(guest, "worker")), json_integer_value(pid));
    else
        cell_plain(table, guest, "worker");
}

static void list_guest(struct table *table, const json_t *guest)
{
    const json_t *disks = json_object_get(guest, "disks");
    const json_t *serials = json_object_get(guest, "serial");
    const json_t *nics = json_object_get(guest, "nics");
    size_t rows = 1;

    if (json_array_size(disks) > rows)
        rows = json_array_size(disks);
    if (json_array_size(serials) > rows)
        rows = json_array_size(serials);
    if (json_array_size(nics) > rows)
        rows = json_array_size(nics);
    for (size_t i = 0; i < rows; i++) {
        static const char *const texts[] = {"hypervisor", "role"};

        table_cell(table, i ? "" : text_of(guest, "name"));
        if (i)
            table_cell(table, "");
        else if (number_of(guest, "domid") == 0)
            table_cell(table, "-"); /* no domain */
        else
            cell_plain(table, guest, "domid");
        for (size_t j = 0; j < COUNT_OF(texts); j++)
            table_cell(table, i ? "" : text_of(guest, texts[j]));
        table_cell(table, i ? "" : state_of(guest));
        if (i) {
            table_cell(table, "");
            table_cell(table, "");
        } else {
            cell_worker(table, guest);
            cell_plain(table, guest, "vcpus");
        }
        cell_disk(table, json_array_get(disks, i));
        cell_nic(table, json_array_get(nics, i));
        cell_serial(table, json_array_get(serials, i));
    }
}

/* What a guest has of disks, and how those of a kind are told from others. */
static const struct {
    const char *array, *prefix;
} disk_kinds[] = {{"disks", ""}, {"pv_disks", "pv-"}};

/* What an administrator is to do something about. */
static void stopped_disks(const json_t *guest, const json_t *disks, const char *prefix, FILE *out)
{
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        const json_t *stop = json_object_get(disk, "stopped");

        if (stop)
            fprintf(out,
                    "\n%s is stopped: %s%s, %s of sector %" PRIu64
                    ": %s\nwhen that is mended: ioemuctl resume %s\n",
                    text_of(guest, "name"), prefix, text_of(disk, "vdev"), text_of(stop, "op"),
                    number_of(stop, "sector"), text_of(stop, "error"), text_of(guest, "name"));
    }
}

static void show_stopped(const json_t *guests, FILE *out)
{
    for (size_t i = 0; i < json_array_size(guests); i++) {
        const json_t *guest = json_array_get(guests, i);

        for (size_t k = 0; k < COUNT_OF(disk_kinds); k++)
            stopped_disks(guest, json_object_get(guest, disk_kinds[k].array), disk_kinds[k].prefix,
                          out);
    }
}

void ctl_show_list(const json_t *result, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"NAME", TABLE_SHRINK}, {"DOMID", TABLE_RIGHT}, {"ON", TABLE_LEFT},
        {"ROLE", TABLE_LEFT},   {"STATE", TABLE_LEFT},  {"WORKER", TABLE_RIGHT},
        {"VCPUS", TABLE_RIGHT}, {"DISK", TABLE_LEFT},   {"IMAGE", TABLE_SHRINK},
        {"NIC", TABLE_LEFT},    {"TO", TABLE_SHRINK},   {"SERIAL", TABLE_SHRINK},
    };
    const json_t *guests = json_object_get(result, "guests");
    struct table *table = table_create(columns, COUNT_OF(columns));

    for (size_t i = 0; i < json_array_size(guests); i++)
        list_guest(table, json_array_get(guests, i));
    print_and_destroy(table, width, out);
    show_stopped(guests, out);
}

void ctl_show_guest(const json_t *result, unsigned width, FILE *out)
{
    json_t *list = json_pack("{s:[O]}", "guests", json_object_get(result, "guest"));
    char *config =
        json_dumps(json_object_get(result, "config"), JSON_INDENT(2) | JSON_REAL_PRECISION(6));

    ctl_show_list(list, width, out);
    fprintf(out, "\n%s\n", config ? config : "-");
    free(config);
    json_decref(list);
}

/* ---- stats ----------------------------------------------------------------------------------- */

static void show_daemon(const json_t *daemon, FILE *out)
{
    uint64_t up = number_of(daemon, "uptime_s");

    fprintf(out, "ioemud %s, process %" JSON_INTEGER_FORMAT ", up ", text_of(daemon, "version"),
            json_integer_value(json_object_get(daemon, "pid")));
    if (up >= 86400)
        fprintf(out, "%" PRIu64 "d ", up / 86400);
    fprintf(out, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "\n", up / 3600 % 24, up / 60 % 60,
            up % 60);
}

static void show_workers(const json_t *workers, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"WORKER", TABLE_RIGHT},    {"GUESTS", TABLE_RIGHT},  {"WAKEUPS", TABLE_RIGHT},
        {"POLLS HIT", TABLE_RIGHT}, {"PAGES", TABLE_RIGHT},   {"FREE", TABLE_RIGHT},
        {"LOW", TABLE_RIGHT},       {"OUT OF", TABLE_RIGHT},  {"SUBMITS", TABLE_RIGHT},
        {"REQUESTS", TABLE_RIGHT},  {"RETRIES", TABLE_RIGHT},
    };
    struct table *table = table_create(columns, COUNT_OF(columns));

    for (size_t i = 0; i < json_array_size(workers); i++) {
        const json_t *worker = json_array_get(workers, i);
        const json_t *pool = json_object_get(worker, "pool");
        const json_t *aio = json_object_get(worker, "aio");

        cell_plain(table, worker, "id");
        cell_plain(table, worker, "guests");
        cell_count(table, worker, "wakeups");
        cell_count(table, worker, "polls_hit");
        cell_plain(table, pool, "pages");
        cell_plain(table, pool, "free");
        cell_plain(table, pool, "low_water");
        cell_count(table, pool, "exhausted");
        cell_count(table, aio, "submits");
        cell_count(table, aio, "requests");
        cell_count(table, aio, "retries");
    }
    print_and_destroy(table, width, out);
}

static void show_ioreqs(const json_t *guests, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"GUEST", TABLE_SHRINK},   {"PIO IN", TABLE_RIGHT},   {"PIO OUT", TABLE_RIGHT},
        {"ANSWERED", TABLE_RIGHT}, {"STRING", TABLE_RIGHT},   {"BYTES", TABLE_RIGHT},
        {"MMIO RD", TABLE_RIGHT},  {"MMIO WR", TABLE_RIGHT},  {"PCI RD", TABLE_RIGHT},
        {"PCI WR", TABLE_RIGHT},   {"BUFFERED", TABLE_RIGHT}, {"ILLEGAL", TABLE_RIGHT},
        {"TURNS", TABLE_RIGHT},
    };
    struct table *table = table_create(columns, COUNT_OF(columns));

    for (size_t i = 0; i < json_array_size(guests); i++) {
        static const char *const after[] = {"mmio_read", "mmio_write", "pci_read", "pci_write",
                                            "buffered",  "illegal",    "turns"};
        const json_t *guest = json_array_get(guests, i);
        const json_t *ioreqs = json_object_get(guest, "ioreqs");

        table_cell(table, text_of(guest, "name"));
        cell_count(table, ioreqs, "pio_read");
        cell_count(table, ioreqs, "pio_write");
        if (json_is_true(json_object_get(guest, "buffered_pio")))
            cell_count(table, json_object_get(guest, "bufpio"), "answered");
        else
            table_cell(table, "-");
        cell_count(table, ioreqs, "string");
        cell_bytes(table, ioreqs, "string_bytes");
        for (size_t j = 0; j < COUNT_OF(after); j++)
            cell_count(table, ioreqs, after[j]);
    }
    print_and_destroy(table, width, out);
}

static void disk_row(struct table *table, const json_t *guest, const json_t *disk,
                     const char *prefix)
{
    uint64_t done =
        number_of(disk, "reads") + number_of(disk, "writes") + number_of(disk, "flushes");

    table_cell(table, text_of(guest, "name"));
    table_cellf(table, "%s%s", prefix, text_of(disk, "vdev"));
    cell_count(table, disk, "reads");
    cell_bytes(table, disk, "read_bytes");
    cell_count(table, disk, "writes");
    cell_bytes(table, disk, "written_bytes");
    cell_count(table, disk, "flushes");
    cell_count(table, disk, "errors");
    cell_count(table, disk, "cancelled");
    cell_plain(table, disk, "in_flight");
    if (done)
        table_cellf(table, "%.1f", (double)number_of(disk, "io_ns") / 1000.0 / (double)done);
    else
        table_cell(table, "-");
}

static void show_disks(const json_t *guests, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"GUEST", TABLE_SHRINK},    {"DISK", TABLE_LEFT},     {"READS", TABLE_RIGHT},
        {"READ", TABLE_RIGHT},      {"WRITES", TABLE_RIGHT},  {"WRITTEN", TABLE_RIGHT},
        {"FLUSHES", TABLE_RIGHT},   {"ERRORS", TABLE_RIGHT},  {"CANCELLED", TABLE_RIGHT},
        {"IN FLIGHT", TABLE_RIGHT}, {"MEAN US", TABLE_RIGHT},
    };
    struct table *table = table_create(columns, COUNT_OF(columns));

    for (size_t i = 0; i < json_array_size(guests); i++) {
        const json_t *guest = json_array_get(guests, i);

        for (size_t k = 0; k < COUNT_OF(disk_kinds); k++) {
            const json_t *disks = json_object_get(guest, disk_kinds[k].array);

            for (size_t j = 0; j < json_array_size(disks); j++)
                disk_row(table, guest, json_array_get(disks, j), disk_kinds[k].prefix);
        }
    }
    print_and_destroy(table, width, out);
}

static void show_nics(const json_t *guests, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"GUEST", TABLE_SHRINK},   {"NIC", TABLE_LEFT},       {"LINK", TABLE_LEFT},
        {"SENT", TABLE_RIGHT},     {"BYTES", TABLE_RIGHT},    {"LOST", TABLE_RIGHT},
        {"WAITS", TABLE_RIGHT},    {"RECEIVED", TABLE_RIGHT}, {"BYTES", TABLE_RIGHT},
        {"FILTERED", TABLE_RIGHT}, {"LOST", TABLE_RIGHT},     {"WAITS", TABLE_RIGHT},
    };
    struct table *table = table_create(columns, COUNT_OF(columns));

    for (size_t i = 0; i < json_array_size(guests); i++) {
        const json_t *guest = json_array_get(guests, i);
        const json_t *nics = json_object_get(guest, "nics");

        for (size_t j = 0; j < json_array_size(nics); j++) {
            const json_t *nic = json_array_get(nics, j);

            table_cell(table, text_of(guest, "name"));
            table_cellf(table, "%" PRIu64 " %s", number_of(nic, "devid"), text_of(nic, "model"));
            table_cell(table, json_is_true(json_object_get(nic, "link")) ? "up" : "down");
            cell_count(table, nic, "tx_packets");
            cell_bytes(table, nic, "tx_bytes");
            cell_count(table, nic, "tx_dropped");
            cell_count(table, nic, "tx_waits");
            cell_count(table, nic, "rx_packets");
            cell_bytes(table, nic, "rx_bytes");
            cell_count(table, nic, "rx_filtered");
            cell_count(table, nic, "rx_dropped");
            cell_count(table, nic, "rx_waits");
        }
    }
    print_and_destroy(table, width, out);
}

static bool any_nics(const json_t *guests)
{
    for (size_t i = 0; i < json_array_size(guests); i++)
        if (json_array_size(json_object_get(json_array_get(guests, i), "nics")) > 0)
            return true;
    return false;
}

static void cells_times(struct table *table, const json_t *histogram)
{
    static const char *const quantiles[] = {"p50_ns",   "p90_ns",    "p99_ns",
                                            "p99_9_ns", "p99_99_ns", "max_ns"};

    for (size_t i = 0; i < COUNT_OF(quantiles); i++)
        cell_time(table, histogram, quantiles[i]);
}

static void time_row(struct table *table, const json_t *guest, const char *what, const char *op,
                     const json_t *histogram)
{
    if (!histogram)
        return;
    table_cell(table, text_of(guest, "name"));
    table_cellf(table, "%s %s", what, op);
    cell_count(table, histogram, "count");
    cells_times(table, histogram);
}

static void disk_times(struct table *table, const json_t *guest, const json_t *disks,
                       const char *prefix)
{
    static const char *const ops[] = {"read", "write", "flush", "discard"};

    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        const json_t *latency = json_object_get(disk, "latency");
        char name[64];

        snprintf(name, sizeof(name), "%s%s", prefix, text_of(disk, "vdev"));
        for (size_t j = 0; j < COUNT_OF(ops); j++)
            time_row(table, guest, name, ops[j], json_object_get(latency, ops[j]));
    }
}

/* How long requests of the guests took, and those of their disks. */
static void show_times(const json_t *guests, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"GUEST", TABLE_SHRINK}, {"TIME OF", TABLE_LEFT}, {"COUNT", TABLE_RIGHT},
        {"P50", TABLE_RIGHT},    {"P90", TABLE_RIGHT},    {"P99", TABLE_RIGHT},
        {"P99.9", TABLE_RIGHT},  {"P99.99", TABLE_RIGHT}, {"MAX", TABLE_RIGHT},
    };
    struct table *table = table_create(columns, COUNT_OF(columns));

    for (size_t i = 0; i < json_array_size(guests); i++) {
        const json_t *guest = json_array_get(guests, i);

        time_row(table, guest, "round", "trip", json_object_get(guest, "round_trip"));
        for (size_t k = 0; k < COUNT_OF(disk_kinds); k++)
            disk_times(table, guest, json_object_get(guest, disk_kinds[k].array),
                       disk_kinds[k].prefix);
    }
    print_and_destroy(table, width, out);
}

static uint64_t sum_of(const json_t *by_kind)
{
    json_t *iterated = (json_t *)(uintptr_t)by_kind, *by_size, *value; /* read only */
    const char *kind, *size;
    uint64_t sum = 0;

    json_object_foreach(iterated, kind, by_size)
    {
        json_object_foreach(by_size, size, value) sum += (uint64_t)json_integer_value(value);
    }
    return sum;
}

static void show_vcpus(const json_t *guest, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"VCPU", TABLE_RIGHT},  {"REQUESTS", TABLE_RIGHT}, {"BYTES", TABLE_RIGHT},
        {"TIMED", TABLE_RIGHT}, {"P50", TABLE_RIGHT},      {"P90", TABLE_RIGHT},
        {"P99", TABLE_RIGHT},   {"P99.9", TABLE_RIGHT},    {"P99.99", TABLE_RIGHT},
        {"MAX", TABLE_RIGHT},
    };
    const json_t *vcpus = json_object_get(guest, "vcpus");
    struct table *table = table_create(columns, COUNT_OF(columns));

    for (size_t i = 0; i < json_array_size(vcpus); i++) {
        const json_t *vcpu = json_array_get(vcpus, i);
        const json_t *round_trip = json_object_get(vcpu, "round_trip");

        cell_plain(table, vcpu, "vcpu");
        table_cell(table, table_count(sum_of(json_object_get(vcpu, "accesses"))).text);
        cell_bytes(table, vcpu, "bytes");
        cell_count(table, round_trip, "count");
        cells_times(table, round_trip);
    }
    print_and_destroy(table, width, out);
}

static void counter_rows(struct table *table, const char *of, const char *model,
                         const json_t *counters)
{
    json_t *iterated = (json_t *)(uintptr_t)counters; /* read only */
    const char *name;
    json_t *value;

    json_object_foreach(iterated, name, value)
    {
        table_cell(table, of);
        table_cell(table, model);
        table_cell(table, name);
        table_cellf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
}

static void show_counters(const json_t *guest, unsigned width, FILE *out)
{
    static const struct table_column columns[] = {
        {"DEVICE", TABLE_LEFT},
        {"MODEL", TABLE_LEFT},
        {"COUNTER", TABLE_LEFT},
        {"VALUE", TABLE_RIGHT},
    };
    const json_t *devices = json_object_get(guest, "devices");
    struct table *table = table_create(columns, COUNT_OF(columns));

    counter_rows(table, "memory", "-", json_object_get(guest, "memory"));
    counter_rows(table, "bufpio", "-", json_object_get(guest, "bufpio"));
    for (size_t i = 0; i < json_array_size(devices); i++) {
        const json_t *device = json_array_get(devices, i);

        counter_rows(table, text_of(device, "name"), text_of(device, "model"),
                     json_object_get(device, "counters"));
    }
    print_and_destroy(table, width, out);
}

void ctl_show_stats(const json_t *result, bool details, unsigned width, FILE *out)
{
    const json_t *guests = json_object_get(result, "guests");
    const json_t *daemon = json_object_get(result, "daemon");

    show_daemon(daemon, out);
    fputc('\n', out);
    show_workers(json_object_get(daemon, "workers"), width, out);
    if (json_array_size(guests) == 0) {
        fputs("\nNo guests are attached.\n", out);
        return;
    }
    fputc('\n', out);
    show_ioreqs(guests, width, out);
    fputc('\n', out);
    show_disks(guests, width, out);
    show_stopped(guests, out);
    if (any_nics(guests)) {
        fputc('\n', out);
        show_nics(guests, width, out);
    }
    fputc('\n', out);
    show_times(guests, width, out);
    if (details) {
        fputc('\n', out);
        show_vcpus(json_array_get(guests, 0), width, out);
        fputc('\n', out);
        show_counters(json_array_get(guests, 0), width, out);
    }
}
