/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways in which data gets from the daemon's pages to a guest, against each other, for requests
 * of 4 KiB to 1 MiB: devices/commit.h as a PV backend uses it, a turn of several requests at a
 * time.
 */
#ifndef IOEMU_TESTS_BENCH_COMMIT_TABLE_H
#define IOEMU_TESTS_BENCH_COMMIT_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "devices/commit.h"

struct commit_table {
    const struct grants *grants;
    const struct host *host; /* its dma_write: the guest's memory, mapped */
    /* The guest's pages, which it has granted for writing, each at `page * GRANT_PAGE` for `host`;
     * both ways go through all of them by turns. */
    const uint32_t *refs;
    unsigned pages;
    clockid_t clock;
    double seconds; /* for each measurement */
    /* Around the measurements of one way: memory that is mapped cannot be swapped. NULL: nothing to
     * do. */
    void (*begin)(void *ctx, enum commit_how how);
    void (*end)(void *ctx, enum commit_how how);
    /* The guest reads `count` pages from `page` on, modulo `pages`. NULL: it does not look. */
    void (*guest_reads)(void *ctx, unsigned page, unsigned count);
    void *ctx;
};

/* Prints a table, and from what size on a way is faster than copying. False: a segment failed, or
 * memory or pages to swap were not to be had; said on stderr. */
bool commit_table_print(const struct commit_table *table);

#endif
