/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ctl_live.h"

#include <errno.h>
#include <string.h>

/* A quiet guest asks for nothing for as long as it likes: three weeks, which poll(2) can count. */
#define TRACE_TIMEOUT_S 2000000u

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "-";
}

static void show_value(const json_t *value, FILE *out)
{
    if (value)
        json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
    else
        fputs("nothing", out);
}

static void show_item(const json_t *item, FILE *out)
{
    static const struct {
        const char *result, *text;
    } results[] = {
        {"applied", "applied"},
        {"restart", "needs a restart of the daemon"},
        {"re-attach", "needs the guest to be attached anew"},
        {"failed", "failed"},
    };
    const char *why = json_string_value(json_object_get(item, "why"));

    fprintf(out, "%s: %s: ", text_of(item, "file"), text_of(item, "path"));
    show_value(json_object_get(item, "from"), out);
    fputs(" -> ", out);
    show_value(json_object_get(item, "to"), out);
    fputs(": ", out);
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        if (strcmp(results[i].result, text_of(item, "result")) == 0)
            fputs(results[i].text, out);
    fprintf(out, "%s%s%s\n", why ? " (" : "", why ? why : "", why ? ")" : "");
}

void ctl_show_reload(const json_t *result, FILE *out)
{
    const json_t *items = json_object_get(result, "items");

    if (json_array_size(items) == 0)
        fputs("nothing has changed\n", out);
    for (size_t i = 0; i < json_array_size(items); i++)
        show_item(json_array_get(items, i), out);
}

void ctl_show_levels(const json_t *result, FILE *out)
{
    const json_t *guests = json_object_get(result, "guests");

    fprintf(out, "%s\n", text_of(result, "level"));
    for (size_t i = 0; i < json_array_size(guests); i++) {
        const json_t *guest = json_array_get(guests, i);

        fprintf(out, "%s: %s\n", text_of(guest, "name"), text_of(guest, "level"));
    }
}

void ctl_show_bad_files(const json_t *result, FILE *out)
{
    const json_t *files = json_object_get(result, "files");

    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);

        if (json_is_false(json_object_get(file, "good")))
            fprintf(out, "not good: %s\n", text_of(file, "error"));
    }
}

static void show_requests(const json_t *result, bool json, FILE *out)
{
    const json_t *requests = json_object_get(result, "requests");
    json_int_t lost = json_integer_value(json_object_get(result, "lost"));

    for (size_t i = 0; i < json_array_size(requests); i++) {
        const json_t *request = json_array_get(requests, i);

        if (json)
            json_dumpf(request, out, JSON_COMPACT);
        else
            fputs(text_of(request, "text"), out);
        fputc('\n', out);
    }
    if (lost)
        fprintf(out,
                json ? "{\"lost\":%" JSON_INTEGER_FORMAT "}\n"
                     : "... %" JSON_INTEGER_FORMAT " requests were missed\n",
                lost);
}

int ctl_follow_trace(struct ctl_client *client, bool json, FILE *out)
{
    const char *ended = NULL;
    char why[32] = "";

    client->timeout_s = TRACE_TIMEOUT_S;
    while (!ended && !ferror(out)) {
        json_t *result;
        int error = ctl_client_call(client, "trace-read", json_object(), &result);

        if (error)
            return error;
        show_requests(result, json, out);
        fflush(out);
        ended = json_string_value(json_object_get(result, "ended"));
        if (ended)
            snprintf(why, sizeof(why), "%s", ended);
        ended = ended ? why : NULL;
        json_decref(result);
    }
    if (ended && strcmp(ended, "guest") == 0)
        fputs("ioemuctl: the guest is gone\n", stderr);
    return 0;
}
