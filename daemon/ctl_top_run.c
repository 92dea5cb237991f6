/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ctl_table.h"
#include "daemon/ctl_top.h"

bool top_take_option(struct top_options *options, enum top_option option, const char *value)
{
    unsigned long count;
    char *end;

    switch (option) {
    case TOP_BATCH:
        options->batch = true;
        return true;
    case TOP_SORT:
        return top_key_of(value, &options->key);
    case TOP_INTERVAL: /* what `subscribe` takes */
        options->interval_s = strtod(value, &end);
        return end != value && !*end && options->interval_s >= 0.1 && options->interval_s <= 3600;
    case TOP_ITERATIONS:
        count = strtoul(value, &end, 10);
        options->iterations = (unsigned)count;
        return value[0] >= '1' && value[0] <= '9' && !*end && count <= 1000000000;
    }
    return false;
}

static int top_lines(struct ctl_client *client, const struct top_options *options, struct top *top)
{
    uint64_t sequence = 0;
    unsigned shown = 0;
    bool complete;
    int error;

    while (!options->iterations || shown < options->iterations) {
        error = top_next(client, options, top, &sequence, &complete);
        if (error)
            return error;
        if (!complete)
            continue;
        if (!options->json) {
            if (shown)
                putchar('\n');
            top_sort(top, options->key, false);
            top_print(top, table_terminal_width(stdout), stdout);
        }
        shown++;
        if (fflush(stdout)) {
            snprintf(client->error, sizeof(client->error), "standard output: %s", strerror(errno));
            return -EREMOTEIO; /* not the daemon's fault: as a refusal */
        }
    }
    return 0;
}

int top_run(struct ctl_client *client, const struct top_options *options)
{
    struct top top;
    int error = top_subscribe(client, options);

    if (error)
        return error;
    top_init(&top);
    if (options->batch || options->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        error = top_lines(client, options, &top);
    else
        error = top_screen(client, options, &top);
    top_finish(&top);
    return error;
}
