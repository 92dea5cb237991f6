/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ctl_commands.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/ctl_live.h"
#include "daemon/ctl_show.h"
#include "daemon/ctl_table.h"

/* ---- parameters ------------------------------------------------------------------------------ */

static json_t *no_params(const struct invocation *invocation)
{
    return json_object();
}

/* Of a request about the guest that the first argument names. */
static json_t *about_guest(const struct invocation *invocation, const char *key)
{
    json_t *params = json_pack("{s:s}", key, invocation->args[0]);

    if (invocation->domid)
        json_object_set_new(params, "domid", json_integer(invocation->domid));
    return params;
}

static json_t *params_stats(const struct invocation *invocation)
{
    return invocation->n_args ? about_guest(invocation, "guest") : json_object();
}

static json_t *params_metrics(const struct invocation *invocation)
{
    return json_pack("{s:s}", "format", invocation->openmetrics ? "openmetrics" : "prometheus");
}

static json_t *params_name(const struct invocation *invocation)
{
    return about_guest(invocation, "name");
}

static json_t *params_eject(const struct invocation *invocation)
{
    json_t *params = about_guest(invocation, "name");

    json_object_set_new(params, "vdev", json_string(invocation->args[1]));
    json_object_set_new(params, "force", json_boolean(invocation->force));
    return params;
}

/* The daemon has another working directory. */
static json_t *params_insert(const struct invocation *invocation)
{
    json_t *params = params_eject(invocation);
    const char *path = invocation->args[2];
    char *folder = *path == '/' ? strdup("") : getcwd(NULL, 0);

    if (!folder) {
        fprintf(stderr, "ioemuctl: %s: %s\n", path, strerror(errno));
        json_decref(params);
        return NULL;
    }
    json_object_set_new(params, "path",
                        json_sprintf("%s%s%s", folder, *path == '/' ? "" : "/", path));
    free(folder);
    return params;
}

static json_t *params_shutdown(const struct invocation *invocation)
{
    return json_pack("{s:b}", "force", invocation->force);
}

static bool is_file(const char *argument)
{
    const char *end = strrchr(argument, '.');

    return strchr(argument, '/') || (end && strcmp(end, ".json") == 0);
}

/* A file is read and checked here: its messages name the user's own path, lines and columns. */
static json_t *params_of_file(const char *path)
{
    struct guest_config config;
    struct config_error error;
    json_t *params = NULL;

    if (guest_config_load(path, &config, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return NULL;
    }
    if (guest_config_check(&config, path, &error))
        fprintf(stderr, "%s\n", error.text);
    else
        params = json_pack("{s:o}", "config", guest_config_to_json(&config));
    guest_config_finish(&config);
    return params;
}

static json_t *params_attach(const struct invocation *invocation)
{
    json_t *params;

    if (!is_file(invocation->args[0]))
        return params_name(invocation);
    params = params_of_file(invocation->args[0]);
    if (params && invocation->domid)
        json_object_set_new(params, "domid", json_integer(invocation->domid));
    return params;
}

/* The devid in the second argument; NULL after a message. */
static json_t *params_nic(const struct invocation *invocation)
{
    const char *text = invocation->args[1];
    json_t *params;

    if (text[0] < '0' || text[0] >= '0' + CONFIG_NICS || text[1]) {
        fprintf(stderr, "ioemuctl: no number of a NIC (0 to %d): %s\n", CONFIG_NICS - 1, text);
        return NULL;
    }
    params = about_guest(invocation, "name");
    json_object_set_new(params, "nic", json_integer(text[0] - '0'));
    return params;
}

static json_t *params_link(const struct invocation *invocation)
{
    bool up = strcmp(invocation->args[2], "up") == 0;
    json_t *params;

    if (!up && strcmp(invocation->args[2], "down") != 0) {
        fprintf(stderr, "ioemuctl: up or down is expected, not %s\n", invocation->args[2]);
        return NULL;
    }
    params = params_nic(invocation);
    if (params)
        json_object_set_new(params, "up", json_boolean(up));
    return params;
}

/* Bytes, or with K, M or G; 0: it is none. */
static uint64_t parse_limit(const char *text)
{
    char *end;
    unsigned long long number;
    unsigned shift = 0;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno || end == text || *text == '-')
        return 0;
    if (*end && !end[1])
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if ((*end && !shift) || number > UINT64_C(1) << 40 >> shift)
        return 0;
    return number << shift;
}

/* The daemon is in another folder. */
static json_t *params_capture(const struct invocation *invocation)
{
    const char *file = invocation->args[2];
    uint64_t limit = invocation->limit ? parse_limit(invocation->limit) : 0;
    json_t *params;
    char folder[PATH_MAX], path[2 * PATH_MAX];

    if (invocation->limit && !limit) {
        fprintf(stderr, "ioemuctl: no size: %s\n", invocation->limit);
        return NULL;
    }
    params = params_nic(invocation);
    if (!params || strcmp(file, "off") == 0)
        return params;
    if (file[0] != '/' && getcwd(folder, sizeof(folder)))
        snprintf(path, sizeof(path), "%s/%s", folder, file);
    else
        snprintf(path, sizeof(path), "%s", file);
    json_object_set_new(params, "path", json_string(path));
    if (limit)
        json_object_set_new(params, "limit", json_integer((json_int_t)limit));
    return params;
}

static json_t *params_nic_add(const struct invocation *invocation)
{
    json_error_t error;
    json_t *nic = json_loads(invocation->args[1], JSON_REJECT_DUPLICATES, &error), *params;

    if (!nic) {
        fprintf(stderr, "ioemuctl: no JSON at column %d: %s\n", error.column, error.text);
        return NULL;
    }
    params = about_guest(invocation, "name");
    json_object_set_new(params, "nic", nic);
    return params;
}

static json_t *params_nic_remove(const struct invocation *invocation)
{
    json_t *params = params_nic(invocation);

    if (params)
        json_object_set_new(params, "force", json_boolean(invocation->force));
    return params;
}

static json_t *params_log_level(const struct invocation *invocation)
{
    json_t *params = invocation->n_args == 2 ? about_guest(invocation, "name") : json_object();

    if (invocation->n_args)
        json_object_set_new(params, "level", json_string(invocation->args[invocation->n_args - 1]));
    return params;
}

static json_t *params_trace(const struct invocation *invocation)
{
    json_t *params = about_guest(invocation, "name");

    if (invocation->filter)
        json_object_set_new(params, "filter", json_string(invocation->filter));
    if (invocation->count)
        json_object_set_new(params, "count", json_integer(invocation->count));
    return params;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void show_list(const struct invocation *invocation, const json_t *result)
{
    if (json_array_size(json_object_get(result, "guests")) == 0)
        puts("No guests are attached.");
    else
        ctl_show_list(result, table_terminal_width(stdout), stdout);
    ctl_show_bad_files(result, stdout);
}

static void show_guest(const struct invocation *invocation, const json_t *result)
{
    ctl_show_guest(result, table_terminal_width(stdout), stdout);
}

static void show_stats(const struct invocation *invocation, const json_t *result)
{
    ctl_show_stats(result, invocation->n_args > 0, table_terminal_width(stdout), stdout);
}

static void show_metrics(const struct invocation *invocation, const json_t *result)
{
    const char *text = json_string_value(json_object_get(result, "text"));

    fputs(text ? text : "", stdout);
}

static void show_attach(const struct invocation *invocation, const json_t *result)
{
    const char *name = json_string_value(json_object_get(result, "name"));
    const json_t *domid = json_object_get(result, "domid");

    printf("%s is attached", name ? name : invocation->args[0]);
    if (json_integer_value(domid) > 0)
        printf(" (domain %" JSON_INTEGER_FORMAT ")", json_integer_value(domid));
    putchar('\n');
}

static void show_detach(const struct invocation *invocation, const json_t *result)
{
    printf("%s is detached\n", invocation->args[0]);
}

static void show_resume(const struct invocation *invocation, const json_t *result)
{
    printf("%s is resumed\n", invocation->args[0]);
}

static void show_eject(const struct invocation *invocation, const json_t *result)
{
    printf("%s of %s is empty\n", invocation->args[1], invocation->args[0]);
}

static void show_insert(const struct invocation *invocation, const json_t *result)
{
    printf("%s is in %s of %s\n", invocation->args[2], invocation->args[1], invocation->args[0]);
}

static void show_link(const struct invocation *invocation, const json_t *result)
{
    printf("%s: the link of NIC %s is %s\n", invocation->args[0], invocation->args[1],
           invocation->args[2]);
}

static void show_capture(const struct invocation *invocation, const json_t *result)
{
    if (strcmp(invocation->args[2], "off") == 0)
        printf("%s: NIC %s is not captured any more\n", invocation->args[0], invocation->args[1]);
    else
        printf("%s: NIC %s is captured into %s\n", invocation->args[0], invocation->args[1],
               invocation->args[2]);
}

static void show_nic_add(const struct invocation *invocation, const json_t *result)
{
    printf("%s has another NIC\n", invocation->args[0]);
}

static void show_nic_remove(const struct invocation *invocation, const json_t *result)
{
    printf(invocation->force ? "%s: NIC %s is removed\n" : "%s is asked to give up NIC %s\n",
           invocation->args[0], invocation->args[1]);
}

static void show_shutdown(const struct invocation *invocation, const json_t *result)
{
    puts("the daemon has ended");
}

static void show_reload(const struct invocation *invocation, const json_t *result)
{
    ctl_show_reload(result, stdout);
}

static void show_log_level(const struct invocation *invocation, const json_t *result)
{
    ctl_show_levels(result, stdout);
}

static int follow_trace(const struct invocation *invocation, struct ctl_client *client)
{
    return ctl_follow_trace(client, invocation->json, stdout);
}

const struct command ctl_commands[] = {
    {"list", 0, 0, true, false, false, false, no_params, "list", show_list},
    {"show", 1, 1, true, false, true, false, params_stats, "show", show_guest},
    {"stats", 0, 1, true, false, true, false, params_stats, "stats", show_stats},
    {"top", 0, 1, true, false, true, false, params_stats, "subscribe", NULL, false, true},
    {"metrics", 0, 0, true, false, false, false, params_metrics, "metrics", show_metrics, true},
    {"attach", 1, 1, false, false, true, false, params_attach, "attach", show_attach},
    {"detach", 1, 1, false, false, true, false, params_name, "detach", show_detach},
    {"resume", 1, 1, false, false, true, false, params_name, "resume", show_resume},
    {"link", 3, 3, false, false, true, false, params_link, "link", show_link},
    {"capture", 3, 3, false, false, true, true, params_capture, "capture", show_capture},
    {"nic-add", 2, 2, false, false, true, false, params_nic_add, "nic-add", show_nic_add},
    {"nic-remove", 2, 2, false, true, true, false, params_nic_remove, "nic-remove",
     show_nic_remove},
    {"eject", 2, 2, false, true, true, false, params_eject, "eject", show_eject},
    {"insert", 3, 3, false, true, true, false, params_insert, "insert", show_insert},
    {"shutdown", 0, 0, false, true, false, false, params_shutdown, "shutdown", show_shutdown},
    {.name = "reload", .params = no_params, .method = "reload", .show = show_reload},
    {.name = "log-level",
     .max_args = 2,
     .takes_domid = true,
     .params = params_log_level,
     .method = "log-level",
     .show = show_log_level},
    {.name = "trace",
     .min_args = 1,
     .max_args = 1,
     .takes_domid = true,
     .params = params_trace,
     .method = "trace",
     .follow = follow_trace},
};

const unsigned ctl_n_commands = sizeof(ctl_commands) / sizeof(ctl_commands[0]);
