/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/dm/qemu_parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int parse_fail(struct parse *parse, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(parse->why, QEMU_ARGS_WHY_SIZE, format, args);
    va_end(args);
    return -EINVAL;
}

void parse_warn(struct parse *parse, const char *format, ...)
{
    char text[QEMU_ARGS_WHY_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    parse->warn(parse->ctx, text);
}

int parse_list(struct parse *parse, const char *option, const char *value, const char *implied,
               const char *const *known, struct qemu_opts *ret_opts)
{
    int err = qemu_opts_parse(value, implied, ret_opts);
    const char *unknown;

    if (err == -ENOMEM)
        return err;
    if (err)
        return parse_fail(parse, "-%s: \"%s\" is not a list of key=value", option, value);
    unknown = known ? qemu_opts_unknown(ret_opts, known) : NULL;
    if (unknown) {
        err =
            parse_fail(parse, "-%s: \"%s\" is not known (a comma inside a value is written twice)",
                       option, unknown);
        qemu_opts_finish(ret_opts);
    }
    return err;
}
