/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioemuctl: the daemon's client for people and scripts, ioemuctl(1). */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/ctl_client.h"
#include "daemon/ctl_commands.h"
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
    "  show GUEST                       one of them, and its description as a file has it\n"
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
    "                                   says; list, show, stats, top and metrics the\n"
    "                                   statistics one)\n"
    "  -t, --timeout SECONDS            how long to wait for an answer (60)\n"
    "  -h, --help                       this text\n"
    "  -V, --version                    the version\n"
    "\n"
    "Exit status: 0 done, 1 refused (the reason is printed), 2 usage, 3 no daemon to be reached.\n";

static enum status save_metrics(const char *path, const json_t *result)
{
    const char *text = json_string_value(json_object_get(result, "text"));
    char why[CTL_WHY_SIZE] = "no text from the daemon";

    if (text && !ctl_write_textfile(path, text, why))
        return STATUS_OK;
    fprintf(stderr, "ioemuctl: %s\n", why);
    return STATUS_REFUSED;
}

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
    for (unsigned i = 0; i < ctl_n_commands; i++)
        if (strcmp(ctl_commands[i].name, name) == 0)
            return &ctl_commands[i];
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
