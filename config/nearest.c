/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which known key an unknown one was probably meant to be. */
#include "config/reader.h"

#include <ctype.h>
#include <string.h>

#define WORD_MAX 32 /* longer words than any key are near to none */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;

    return ab < c ? ab : c;
}

static bool same(char a, char b)
{
    /* disk-cache, diskCache and disk_cache are one word to the one who types it */
    return tolower((unsigned char)a) == tolower((unsigned char)b) || (a == '-' && b == '_');
}

/*
 * How many letters must be put in, taken out, replaced or swapped with their neighbour (optimal
 * string alignment: Damerau 1964, without edits of what was edited before).
 */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned row[3][WORD_MAX + 1]; /* of the table: the last but one, the last, the current */

    for (size_t j = 0; j <= b_length; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *current = row[i % 3];
        const unsigned *before = row[(i - 1) % 3], *before_that = row[(i + 1) % 3];

        current[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            bool equal = same(a[i - 1], b[j - 1]);

            current[j] = least(before[j] + 1, current[j - 1] + 1, before[j - 1] + !equal);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) &&
                before_that[j - 2] + 1 < current[j])
                current[j] = before_that[j - 2] + 1;
        }
    }
    return row[a_length % 3][b_length];
}

const char *config_nearest_key(const struct config_table *table, const char *unknown)
{
    size_t length = strlen(unknown);
    const char *nearest = NULL;
    unsigned best = 0;

    if (length == 0 || length > WORD_MAX)
        return NULL;
    for (unsigned i = 0; i < table->n_keys; i++) {
        const char *name = table->key[i].name;
        unsigned edits = distance(unknown, length, name, strlen(name));
        /* With more than about a quarter of its letters wrong it is another word. */
        unsigned most = 1 + (unsigned)length / 4;

        if (edits <= most && edits < strlen(name) && (!nearest || edits < best)) {
            nearest = name;
            best = edits;
        }
    }
    return nearest;
}
