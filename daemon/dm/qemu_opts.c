/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/dm/qemu_opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Ends the element that starts at `from` with a NUL, undoing doubled commas in place. Returns where
 * the next starts, NULL if that was the last. */
static char *take_element(char *from)
{
    char *to = from;

    while (*from) {
        if (*from == ',' && from[1] != ',') {
            *to = '\0';
            return from + 1;
        }
        from += *from == ',';
        *to++ = *from++;
    }
    *to = '\0';
    return NULL;
}

int qemu_opts_parse(const char *value, const char *implied, struct qemu_opts *ret_opts)
{
    struct qemu_opts opts = {.text = strdup(value)};
    char *next = opts.text, *element;

    if (!opts.text)
        return -ENOMEM;
    while ((element = next)) {
        struct qemu_opt *opt = &opts.opt[opts.n];
        char *equals;
        int err = 0;

        if (opts.n == QEMU_OPTS_MAX) {
            free(opts.text);
            return -E2BIG;
        }
        next = take_element(element);
        equals = strchr(element, '=');
        if (equals) {
            *equals = '\0';
            *opt = (struct qemu_opt){element, equals + 1};
        } else if (opts.n == 0 && implied) {
            *opt = (struct qemu_opt){implied, element};
        } else {
            *opt = (struct qemu_opt){element, "on"};
        }
        if (!*element)
            err = -EINVAL;
        if (err) {
            free(opts.text);
            return err;
        }
        opts.n++;
    }
    *ret_opts = opts;
    return 0;
}

void qemu_opts_finish(struct qemu_opts *opts)
{
    free(opts->text);
}

const char *qemu_opts_get(const struct qemu_opts *opts, const char *key)
{
    for (unsigned i = opts->n; i-- > 0;)
        if (!strcmp(opts->opt[i].key, key))
            return opts->opt[i].value;
    return NULL;
}

const char *qemu_opts_unknown(const struct qemu_opts *opts, const char *const *known)
{
    for (unsigned i = 0; i < opts->n; i++) {
        const char *const *one = known;

        while (*one && strcmp(*one, opts->opt[i].key) != 0)
            one++;
        if (!*one)
            return opts->opt[i].key;
    }
    return NULL;
}

bool qemu_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret_value)
{
    unsigned long value;
    char *end;

    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || *end || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}
