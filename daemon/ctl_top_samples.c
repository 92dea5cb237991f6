/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "daemon/ctl_top.h"

int top_subscribe(struct ctl_client *client, const struct top_options *options)
{
    json_t *params =
        json_pack("{s:I, s:b, s:s*}", "interval_ms", (json_int_t)(options->interval_s * 1000 + 0.5),
                  "buckets", true, "guest", options->guest);
    json_t *result;
    int error;

    if (params && options->domid)
        json_object_set_new(params, "domid", json_integer(options->domid));
    error = ctl_client_call(client, "subscribe", params, &result);
    if (!error)
        json_decref(result);
    /* From now on as much later as the interval is long. */
    client->timeout_s += (unsigned)options->interval_s + 1;
    return error;
}

int top_next(struct ctl_client *client, const struct top_options *options, struct top *top,
             uint64_t *sequence, bool *ret_shown)
{
    json_t *sample;
    uint64_t number;
    int error = ctl_client_next(client, &sample);

    if (error)
        return error;
    number = (uint64_t)json_integer_value(json_object_get(sample, "sequence"));
    *ret_shown = top->before != NULL;
    if (options->json && *ret_shown) {
        json_dumpf(sample, stdout, JSON_COMPACT);
        putchar('\n');
    }
    /* Samples that were lost make the interval longer. */
    top_update(top, json_object_get(sample, "stats"),
               options->interval_s * (number > *sequence ? (double)(number - *sequence) : 1));
    *sequence = number;
    json_decref(sample);
    return 0;
}
