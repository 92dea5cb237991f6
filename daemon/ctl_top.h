/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests do at the moment: the difference between two samples of the statistics (docs/rpc.md,
 * `subscribe`), a row a guest.
 *
 *   top_init -> top_update for each sample -> top_sort -> top_print ... -> top_finish
 *
 * What the daemon did not send counts as 0. Memory that runs out ends the program.
 */
#ifndef IOEMUD_DAEMON_CTL_TOP_H
#define IOEMUD_DAEMON_CTL_TOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/ctl_client.h"

#define TOP_HISTORY 16
#define TOP_BAR     10
#define TOP_LEVELS  8

enum top_key {
    TOP_NAME,
    TOP_REQUESTS,
    TOP_READ,
    TOP_WRITTEN,
    TOP_NETWORK,
    TOP_LATENCY,
    TOP_KEYS,
};

struct top_row {
    char name[64], state[16];
    int64_t domid;
    /* A second. */
    double requests, answered, disk_requests, read_bytes, written_bytes, tx_bytes, rx_bytes;
    uint64_t in_flight;
    /* Of those in the interval, p99; 0: there were none. */
    uint64_t round_trip_ns, disk_ns;
    /* disk_ns of the last intervals, the newest last. */
    uint64_t history[TOP_HISTORY];
};

struct top {
    struct top_row *row;
    size_t n_rows;
    json_t *before; /* the sample that the next is compared with; NULL: none yet */
    double cpu;     /* processors that the daemon takes */
};

void top_init(struct top *top);
void top_finish(struct top *top);
/* `stats`: of a sample with buckets, `seconds` after the one before. */
void top_update(struct top *top, json_t *stats, double seconds);
/* The greatest first; names from A. Rows that are equal stay in the order of their names. */
void top_sort(struct top *top, enum top_key key, bool reverse);
/* "name", "requests", ... */
bool top_key_of(const char *name, enum top_key *ret_key);
const char *top_key_name(enum top_key key);

/* How it looks: a line about the daemon, one with the titles, one a row. `width` as for tables; on
 * narrow terminals some columns are left out. */
void top_print(const struct top *top, unsigned width, FILE *out);
/* The title of the last column, which has top_history(). */
#define TOP_HISTORY_TITLE "LATENCY'S COURSE"
/* The row's history as TOP_HISTORY of these levels, relative to its greatest; ' ' where there was
 * nothing. `text` has room for 4 bytes each, and the end. */
void top_history(const struct top_row *row, const char *const levels[TOP_LEVELS],
                 char text[TOP_HISTORY * 4 + 1]);

/* daemon/ctl_top_run.c */
struct top_options {
    double interval_s;
    unsigned iterations; /* 0: until it is ended */
    enum top_key key;
    bool batch;        /* line by line; else on the whole screen */
    bool json;         /* samples as they came */
    const char *guest; /* NULL: all */
    unsigned domid;    /* 0: not given */
};
#define TOP_DEFAULTS                                                                               \
    {                                                                                              \
        .interval_s = 1, .key = TOP_REQUESTS                                                       \
    }
/* What getopt(3) calls its options. */
enum top_option { TOP_BATCH = 'b', TOP_INTERVAL = 'i', TOP_ITERATIONS = 'n', TOP_SORT = 'S' };
/* False: `value` makes no sense. */
bool top_take_option(struct top_options *options, enum top_option option, const char *value);
/* Until the iterations are over, or the user wants to go. -errno as of ctl_client. */
int top_run(struct ctl_client *client, const struct top_options *options);

/* daemon/ctl_top_screen.c. */
int top_screen(struct ctl_client *client, const struct top_options *options, struct top *top);

/* daemon/ctl_top_samples.c: asks for them; the next, `ret_shown`: there are two to compare. */
int top_subscribe(struct ctl_client *client, const struct top_options *options);
int top_next(struct ctl_client *client, const struct top_options *options, struct top *top,
             uint64_t *sequence, bool *ret_shown);

#endif
