/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The value of a QEMU option that is a list: "implied,key=value,flag,path=a,,b". Two commas stand
 * for one in a value; a word without "=" is the implied key's value when it comes first, else a
 * flag that is switched "on" ("noNAME" is left as it is).
 */
#ifndef IOEMUD_DAEMON_DM_QEMU_OPTS_H
#define IOEMUD_DAEMON_DM_QEMU_OPTS_H

#include <stdbool.h>
#include <stddef.h>

#define QEMU_OPTS_MAX 32u

struct qemu_opt {
    const char *key, *value; /* point into the list's text */
};

struct qemu_opts {
    char *text;
    unsigned n;
    struct qemu_opt opt[QEMU_OPTS_MAX];
};

/* `implied` may be NULL. -ENOMEM, -E2BIG (more than QEMU_OPTS_MAX), -EINVAL (a key or a word is
 * empty). */
int qemu_opts_parse(const char *value, const char *implied, struct qemu_opts *ret_opts);
void qemu_opts_finish(struct qemu_opts *opts);

/* The last one given, or NULL. */
const char *qemu_opts_get(const struct qemu_opts *opts, const char *key);
/* The first key that is not among `known` (NULL terminated), or NULL. */
const char *qemu_opts_unknown(const struct qemu_opts *opts, const char *const *known);

/* A decimal number from `min` to `max`, nothing else. */
bool qemu_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret_value);

#endif
