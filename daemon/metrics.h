/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics as text for Prometheus, in its own exposition format (0.0.4) or as OpenMetrics 1.0:
 * names and units by its conventions, each family of metrics once, all of its samples together.
 *
 * Made of the JSON of daemon/stats.h with buckets; what is not in there has no sample. Every family
 * is named in docs/metrics.md.
 */
#ifndef IOEMUD_DAEMON_METRICS_H
#define IOEMUD_DAEMON_METRICS_H

#include <jansson.h>
#include <stddef.h>

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

/* What HTTP calls it. */
const char *metrics_content_type(enum metrics_format format);

/* The caller frees it. NULL: out of memory. */
char *metrics_text(const json_t *stats, enum metrics_format format);

/* ---- daemon/metrics_table.c ------------------------------------------------------------------ */

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

/* Of what there is one sample each, and the labels that tell which. */
enum metric_scope {
    METRIC_DAEMON,
    METRIC_WORKER, /* worker */
    METRIC_GUEST,  /* guest; where two have one name, domid */
    METRIC_VCPU,   /* guest, vcpu */
    METRIC_DISK,   /* guest, disk */
    METRIC_NIC,    /* guest, nic, model */
    METRIC_SERIAL, /* guest, port */
    METRIC_DEVICE, /* guest, device, model */
};

/* How the JSON becomes samples. */
enum metric_form {
    METRIC_NUMBER,   /* an integer, or true and false as 1 and 0 */
    METRIC_NS,       /* nanoseconds, told in seconds */
    METRIC_US,       /* microseconds, told in seconds */
    METRIC_PAGES,    /* of 4 KiB, told in bytes */
    METRIC_ONE,      /* 1; the JSON is a string, and the value of the label `extra` */
    METRIC_MEMBERS,  /* an object: its members' names are the values of the label `extra` */
    METRIC_ACCESSES, /* "accesses": labels type and size */
    METRIC_TIMES,    /* a histogram of round trips */
    METRIC_IO_TIMES, /* a histogram of disks' */
    METRIC_SIZES,    /* "read_sizes" and the like; the sum is the member `sum` */
};

/* One line of the table; those of one family follow one another. */
struct metric {
    const char *name; /* of the family, without _total or _info */
    const char *help;
    enum metric_type type;
    enum metric_scope scope;
    enum metric_form form;
    const char *path;  /* in the scope's object: keys, with a slash between them */
    const char *extra; /* a label, complete (op="read") or as the form has it; NULL: none */
    const char *sum;
};

/* Ends with a NULL name. */
extern const struct metric metrics_table[];

/* The family's unit, which its name ends with, or NULL. */
const char *metric_unit(const struct metric *metric);

#endif
