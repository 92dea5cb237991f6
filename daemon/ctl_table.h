/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables on a terminal: columns as wide as their widest cell, and where that is wider than the
 * terminal, columns marked TABLE_SHRINK give way (their cells lose their beginning: a path's end
 * says more). Cells are ASCII; what does not print becomes '?'.
 *
 *     table_create -> table_cell / table_cellf for each cell, row after row -> table_print ->
 * destroy
 *
 * A client of the terminal: memory that runs out ends the program.
 */
#ifndef IOEMUD_DAEMON_CTL_TABLE_H
#define IOEMUD_DAEMON_CTL_TABLE_H

#include <stdint.h>
#include <stdio.h>

enum table_align { TABLE_LEFT, TABLE_RIGHT, TABLE_SHRINK };

struct table_column {
    const char *title;
    enum table_align align;
};

struct table;

struct table *table_create(const struct table_column *columns, unsigned n_columns);
void table_destroy(struct table *table);

void table_cell(struct table *table, const char *text);
void table_cellf(struct table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* `width`: columns of the terminal, 0: no limit. */
void table_print(const struct table *table, unsigned width, FILE *out);

/* The width of the terminal that `out` is; of COLUMNS if that is set; 0 when it is none. */
unsigned table_terminal_width(FILE *out);

/* "1234", "12.3k", "4.5M" (powers of 1000); bytes: "512", "1.5K", "2.0G" (powers of 1024). */
struct table_number {
    char text[16];
};
struct table_number table_count(uint64_t count);
struct table_number table_bytes(uint64_t bytes);
/* "512ns", "12.3us", "4.5ms", "20.0s" */
struct table_number table_time(uint64_t ns);

#endif
