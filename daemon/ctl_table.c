/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ctl_table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GAP        2 /* blanks between columns */
#define SHRUNK_MIN 12
#define COLUMNS    16

struct table {
    const struct table_column *column;
    unsigned n_columns;
    char **cell;
    size_t n_cells;
};

static void *checked(void *memory)
{
    if (!memory) {
        fputs("ioemuctl: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

struct table *table_create(const struct table_column *columns, unsigned n_columns)
{
    struct table *table = checked(calloc(1, sizeof(*table)));

    table->column = columns;
    table->n_columns = n_columns < COLUMNS ? n_columns : COLUMNS;
    return table;
}

void table_destroy(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cell[i]);
    free(table->cell);
    free(table);
}

void table_cell(struct table *table, const char *text)
{
    char *copy = checked(strdup(text));

    for (char *c = copy; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    table->cell = checked(realloc(table->cell, (table->n_cells + 1) * sizeof(*table->cell)));
    table->cell[table->n_cells++] = copy;
}

void table_cellf(struct table *table, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table_cell(table, text);
}

static void natural_widths(const struct table *table, size_t *widths)
{
    for (unsigned i = 0; i < table->n_columns; i++)
        widths[i] = strlen(table->column[i].title);
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t length = strlen(table->cell[i]);
        size_t *width = &widths[i % table->n_columns];

        if (length > *width)
            *width = length;
    }
}

/* Takes the excess off the widest column that may shrink, until all fits or none may any more. */
static void shrink_widths(const struct table *table, size_t *widths, size_t limit)
{
    for (;;) {
        size_t total = (size_t)(table->n_columns - 1) * GAP;
        size_t *widest = NULL;

        for (unsigned i = 0; i < table->n_columns; i++) {
            total += widths[i];
            if (table->column[i].align == TABLE_SHRINK && widths[i] > SHRUNK_MIN &&
                (!widest || widths[i] > *widest))
                widest = &widths[i];
        }
        if (total <= limit || !widest)
            return;

        size_t excess = total - limit;

        *widest = *widest - SHRUNK_MIN > excess ? *widest - excess : SHRUNK_MIN;
    }
}

static void print_cell(const char *text, enum table_align align, size_t width, FILE *out)
{
    size_t length = strlen(text);

    if (align == TABLE_RIGHT)
        fprintf(out, "%*s", (int)width, text);
    else if (length > width)
        fprintf(out, "...%s", text + length - (width - 3));
    else
        fputs(text, out);
}

/* `cells`: one for each column. Blanks are owed until something follows them. */
static void print_row(const struct table *table, const char *const *cells, const size_t *widths,
                      FILE *out)
{
    size_t owed = 0;

    for (unsigned i = 0; i < table->n_columns; i++) {
        enum table_align align = table->column[i].align;
        size_t length = strlen(cells[i]);

        if (length) {
            fprintf(out, "%*s", (int)owed, "");
            print_cell(cells[i], align, widths[i], out);
            owed = GAP;
            if (align != TABLE_RIGHT && length < widths[i])
                owed += widths[i] - length;
        } else {
            owed += widths[i] + GAP;
        }
    }
    fputc('\n', out);
}

void table_print(const struct table *table, unsigned width, FILE *out)
{
    size_t widths[COLUMNS] = {0};
    const char *titles[COLUMNS];

    natural_widths(table, widths);
    if (width)
        shrink_widths(table, widths, width);
    for (unsigned i = 0; i < table->n_columns; i++)
        titles[i] = table->column[i].title;
    print_row(table, titles, widths, out);
    for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
        print_row(table, (const char *const *)table->cell + i, widths, out);
}

unsigned table_terminal_width(FILE *out)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;

    if (columns && atoi(columns) > 0)
        return (unsigned)atoi(columns);
    if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0)
        return size.ws_col;
    return 0;
}

static struct table_number scaled(uint64_t number, unsigned base, const char *units)
{
    struct table_number text;
    double value = (double)number;

    if (number < 10000) {
        snprintf(text.text, sizeof(text.text), "%" PRIu64, number);
        return text;
    }
    value /= base;
    /* A value that would be printed as 1000.0 belongs to the next unit. */
    while (value >= base - 0.05 && units[1]) {
        value /= base;
        units++;
    }
    snprintf(text.text, sizeof(text.text), "%.1f%c", value, *units);
    return text;
}

struct table_number table_count(uint64_t count)
{
    return scaled(count, 1000, "kMGTPE");
}

struct table_number table_bytes(uint64_t bytes)
{
    return scaled(bytes, 1024, "KMGTPE");
}

struct table_number table_time(uint64_t ns)
{
    static const char *const units[] = {"us", "ms", "s"};
    struct table_number text;
    double value = (double)ns / 1000;
    unsigned unit = 0;

    if (ns < 1000) {
        snprintf(text.text, sizeof(text.text), "%" PRIu64 "ns", ns);
        return text;
    }
    for (; value >= 999.95 && unit < 2; unit++)
        value /= 1000;
    snprintf(text.text, sizeof(text.text), "%.1f%s", value, units[unit]);
    return text;
}
