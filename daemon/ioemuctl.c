/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioemuctl: the daemon's client for people and scripts, ioemuctl(1). */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/ctl_client.h"
#include "daemon/ctl_live.h"
#include "daemon/ctl_metrics.h"
#include "daemon/ctl_show.h"
#include "daemon/ctl_table.h"
#include "daemon/ctl_top.h"

#define TIMEOUT_S      60
#define DOMID_FIRST    1
#define DOMID_RESERVED 0x7ff0 /* DOMID_FIRST_RESERVED of Xen's public headers */

enum status {
    STATUS_OK,
    STATUS_REFUSED,
    STATUS_USAGE,
    STATUS_UNREACHABLE,
};

static const char help[] =
    "Usage: ioemuctl [OPTION]... COMMAND\n"
    "Looks at and controls a running ioemud.\n"
    "\n"
    "  list                             guests that are attached\n"
    "  stats [GUEST]                    counters; with GUEST, those of its devices, too\n"
    "  top [GUEST]                      what they do at the moment, until q is pressed\n"
    "  metrics                          counters for Prometheus\n"
    "  attach NAME|FILE [--domid N]     serve the guest of guests.d/NAME.json, or of a FILE\n"
    "                                   (anything with a / or .json); without --domid the\n"
    "                                   running domain of that name. Below, NAME may also be\n"
    "                                   the number of a guest's domain\n"
    "  detach NAME                      stop serving it: the guest loses its devices\n"
    "  resume NAME                      a guest that an error of a disk has stopped goes on\n"
    "  eject GUEST VDEV [--force]       empty a CD-ROM drive; --force: locked or not\n"
    "  insert GUEST VDEV PATH [--force] lay an image into it, for what was there\n"
    "  link NAME NIC up|down            plug in or pull out the cable of the NIC (its devid)\n"
    "  capture NAME NIC FILE|off        write the NIC's packets into a new FILE, for Wireshark\n"
    "  nic-add NAME JSON                plug in another NIC: '{\"devid\": 1, ...}', as in\n"
    "                                   ioemud-guest.json(5)\n"
    "  nic-remove NAME NIC [--force]    ask the guest to give it up; by force it is pulled out\n"
    "  trace GUEST                      its requests as they come, a line each; --filter, --count\n"
    "  log-level [[GUEST] LEVEL]        what is logged: emerg to debug; of a guest alone, also\n"
    "                                   default; without LEVEL it is shown\n"
    "  reload                           read the configuration again: what can change does, the\n"
    "                                   rest is told\n"
    "  shutdown [--force]               end the daemon; with guests attached only by force\n"
    "\n"
    "      --domid N                    of several guests of one NAME that of domain N\n"
    "      --limit SIZE                 capture: the largest size of FILE (64M)\n"
    "      --openmetrics                metrics: as OpenMetrics 1.0\n"
    "      --textfile FILE              metrics: into FILE, for the node exporter's collector\n"
    "  -b, --batch                      top: line by line, for files and pipes\n"
    "  -i, --interval SECONDS           top: from one look to the next (1)\n"
    "  -n, --iterations N               top: end after so many looks\n"
    "      --sort KEY                   top: by name, requests (which it is), read, written,\n"
    "                                   network or latency\n"
    "      --filter FILTER              trace: port=A[-B], addr=A[-B], type=pio|mmio|config,\n"
    "                                   dir=read|write, device=NAME, vcpu=N; several with commas\n"
    "      --count N                    trace: end after N requests\n"
    "  -j, --json                       print the daemon's answer as it came\n"
    "  -s, --socket PATH                the daemon's socket (default: as " DAEMON_CONFIG_FILE "\n"
    "                                   says; list, stats, top and metrics the statistics one)\n"
    "  -t, --timeout SECONDS            how long to wait for an answer (60)\n"
    "  -h, --help                       this text\n"
    "  -V, --version                    the version\n"
    "\n"
    "Exit status: 0 done, 1 refused (the reason is printed), 2 usage, 3 no daemon to be reached.\n";

struct invocation {
    const char *socket;
    unsigned timeout_s;
    bool json, force;
    unsigned domid;    /* 0: not given */
    const char *limit; /* NULL: not given */
    bool openmetrics;
    const char *textfile; /* NULL: standard output */
    struct top_options top;
    bool top_given;     /* one of these */
    const char *filter; /* NULL: not given */
    unsigned count;     /* 0: not given */
    char **args;        /* after the command */
    int n_args;
};

struct command {
    const char *name;
    int min_args, max_args;
    bool reads_only; /* the statistics socket will do */
    bool takes_force, takes_domid, takes_limit;
    /* Makes the parameters; NULL after a message. */
    json_t *(*params)(const struct invocation *invocation);
    const char *method;
    void (*show)(const struct invocation *invocation, const json_t *result);
    bool takes_format; /* --openmetrics, --textfile */
    bool is_top;       /* goes on and on */
    /* What follows the answer, which is not shown then; as ctl_client_call(). */
    int (*follow)(const struct invocation *invocation, struct ctl_client *client);
};

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

static void show_stats(const struct invocation *invocation, const json_t *result)
{
    ctl_show_stats(result, invocation->n_args > 0, table_terminal_width(stdout), stdout);
}

static void show_metrics(const struct invocation *invocation, const json_t *result)
{
    const char *text = json_string_value(json_object_get(result, "text"));

    fputs(text ? text : "", stdout);
}

static enum status save_metrics(const char *path, const json_t *result)
{
    const char *text = json_string_value(json_object_get(result, "text"));
    char why[CTL_WHY_SIZE] = "no text from the daemon";

    if (text && !ctl_write_textfile(path, text, why))
        return STATUS_OK;
    fprintf(stderr, "ioemuctl: %s\n", why);
    return STATUS_REFUSED;
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

static const struct command commands[] = {
    {"list", 0, 0, true, false, false, false, no_params, "list", show_list},
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

/* ---- running --------------------------------------------------------------------------------- */

static enum status answer(const struct command *command, const struct invocation *invocation,
                          struct ctl_client *client, json_t *params)
{
    json_t *result;
    int error = ctl_client_call(client, command->method, params, &result);

    if (!error && strcmp(command->name, "shutdown") == 0 && ctl_client_wait_closed(client)) {
        json_decref(result);
        error = -ETIMEDOUT;
    }
    if (!error && command->follow) {
        json_decref(result);
        result = NULL;
        error = command->follow(invocation, client);
    }
    if (error) {
        fprintf(stderr, "ioemuctl: %s\n", client->error);
        return error == -EREMOTEIO ? STATUS_REFUSED : STATUS_UNREACHABLE;
    }
    if (invocation->textfile) {
        enum status status = save_metrics(invocation->textfile, result);

        json_decref(result);
        return status;
    }
    if (command->follow) {
        /* What there is has been shown. */
    } else if (invocation->json) {
        json_dumpf(result, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        command->show(invocation, result);
    }
    json_decref(result);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "ioemuctl: standard output: %s\n", strerror(errno));
        return STATUS_REFUSED;
    }
    return STATUS_OK;
}

static enum status watch(const struct invocation *invocation, struct ctl_client *client)
{
    struct top_options options = invocation->top;
    int error;

    options.json = invocation->json;
    options.guest = invocation->n_args ? invocation->args[0] : NULL;
    options.domid = invocation->domid;
    error = top_run(client, &options);
    if (!error)
        return STATUS_OK;
    fprintf(stderr, "ioemuctl: %s\n", client->error);
    return error == -EREMOTEIO ? STATUS_REFUSED : STATUS_UNREACHABLE;
}

static enum status run(const struct command *command, const struct invocation *invocation)
{
    json_t *params = command->params(invocation);
    struct ctl_client client;
    enum status status = STATUS_UNREACHABLE;

    if (!params)
        return STATUS_REFUSED;

    char *path =
        invocation->socket ? strdup(invocation->socket) : daemon_config_socket(command->reads_only);

    if (!path || ctl_client_open(&client, path, invocation->timeout_s)) {
        fprintf(stderr, "ioemuctl: %s\n", path ? client.error : "out of memory");
        json_decref(params);
    } else if (command->is_top) {
        json_decref(params);
        status = watch(invocation, &client);
        ctl_client_close(&client);
    } else {
        status = answer(command, invocation, &client, params);
        ctl_client_close(&client);
    }
    free(path);
    return status;
}

/* ---- the command line ------------------------------------------------------------------------ */

static enum status usage(const char *what, const char *which)
{
    fprintf(stderr, "ioemuctl: %s%s\nTry ioemuctl --help.\n", what, which);
    return STATUS_USAGE;
}

static bool parse_number(const char *text, unsigned min, unsigned max, unsigned *ret_number)
{
    char *end;

    errno = 0;
    unsigned long number = strtoul(text, &end, 10);

    if (errno || *end || end == text || text[0] == '-' || number < min || number > max)
        return false;
    *ret_number = (unsigned)number;
    return true;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static enum status run_checked(struct invocation *invocation, char **words, int n_words)
{
    if (n_words == 0)
        return usage("a command is expected", "");

    const struct command *command = find_command(words[0]);

    if (!command)
        return usage("no such command: ", words[0]);
    invocation->args = words + 1;
    invocation->n_args = n_words - 1;
    if (invocation->n_args < command->min_args)
        return usage(invocation->n_args ? "an argument is missing after "
                                        : "a guest's name is missing after ",
                     command->name);
    if (invocation->n_args > command->max_args)
        return usage("one argument too many: ", words[1 + command->max_args]);
    if (invocation->force && !command->takes_force)
        return usage("--force does not go with ", command->name);
    if (invocation->domid && (!command->takes_domid || !invocation->n_args))
        return usage("--domid does not go with ", command->name);
    if (invocation->limit && !command->takes_limit)
        return usage("--limit does not go with ", command->name);
    if (invocation->top_given && !command->is_top)
        return usage("--batch, --interval, --iterations and --sort do not go with ", command->name);
    if ((invocation->openmetrics || invocation->textfile) && !command->takes_format)
        return usage(invocation->textfile ? "--textfile does not go with "
                                          : "--openmetrics does not go with ",
                     command->name);
    if (invocation->openmetrics && invocation->textfile)
        return usage("the node exporter does not read OpenMetrics: ", invocation->textfile);
    if ((invocation->filter || invocation->count) && !command->follow)
        return usage("--filter and --count do not go with ", command->name);
    return run(command, invocation);
}

enum {
    OPTION_FORCE = 256,
    OPTION_DOMID,
    OPTION_LIMIT,
    OPTION_OPENMETRICS,
    OPTION_TEXTFILE,
    OPTION_FILTER,
    OPTION_COUNT,
};

/* STATUS_OK, or what is wrong has been said. */
static enum status take_option(struct invocation *invocation, int option)
{
    switch (option) {
    case 'j':
        invocation->json = true;
        break;
    case 's':
        invocation->socket = optarg;
        break;
    case 't':
        if (!parse_number(optarg, 1, 86400, &invocation->timeout_s))
            return usage("no number of seconds: ", optarg);
        break;
    case OPTION_FORCE:
        invocation->force = true;
        break;
    case OPTION_DOMID:
        if (!parse_number(optarg, DOMID_FIRST, DOMID_RESERVED - 1, &invocation->domid))
            return usage("no id of a domain: ", optarg);
        break;
    case OPTION_LIMIT:
        invocation->limit = optarg;
        break;
    case OPTION_FILTER:
        invocation->filter = optarg;
        break;
    case OPTION_COUNT:
        if (!parse_number(optarg, 1, 1000000000, &invocation->count))
            return usage("no number of requests: ", optarg);
        break;
    case OPTION_OPENMETRICS:
        invocation->openmetrics = true;
        break;
    case OPTION_TEXTFILE:
        invocation->textfile = optarg;
        break;
    case TOP_BATCH:
    case TOP_INTERVAL:
    case TOP_ITERATIONS:
    case TOP_SORT:
        invocation->top_given = true;
        if (!top_take_option(&invocation->top, option, optarg))
            return usage("this is not for top: ", optarg);
        break;
    default:
        fputs("Try ioemuctl --help.\n", stderr);
        return STATUS_USAGE;
    }
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"socket", required_argument, NULL, 's'},
        {"timeout", required_argument, NULL, 't'},
        {"force", no_argument, NULL, OPTION_FORCE},
        {"domid", required_argument, NULL, OPTION_DOMID},
        {"limit", required_argument, NULL, OPTION_LIMIT},
        {"openmetrics", no_argument, NULL, OPTION_OPENMETRICS},
        {"textfile", required_argument, NULL, OPTION_TEXTFILE},
        {"batch", no_argument, NULL, TOP_BATCH},
        {"interval", required_argument, NULL, TOP_INTERVAL},
        {"iterations", required_argument, NULL, TOP_ITERATIONS},
        {"sort", required_argument, NULL, TOP_SORT},
        {"filter", required_argument, NULL, OPTION_FILTER},
        {"count", required_argument, NULL, OPTION_COUNT},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct invocation invocation = {.timeout_s = TIMEOUT_S, .top = TOP_DEFAULTS};
    int option;

    while ((option = getopt_long(argc, argv, "js:t:bi:n:hV", options, NULL)) != -1) {
        enum status status;

        if (option == 'h') {
            fputs(help, stdout);
            return STATUS_OK;
        }
        if (option == 'V') {
            puts("ioemuctl " IOEMUD_VERSION);
            return STATUS_OK;
        }
        status = take_option(&invocation, option);
        if (status)
            return status;
    }
    return run_checked(&invocation, argv + optind, argc - optind);
}
