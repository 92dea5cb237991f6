/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioemuctl: the daemon's client for people and scripts, ioemuctl(1). */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "daemon/ctl_client.h"
#include "daemon/ctl_show.h"
#include "daemon/ctl_table.h"

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
    "  attach NAME|FILE [--domid N]     serve the guest of guests.d/NAME.json, or of a FILE\n"
    "                                   (anything with a / or .json); without --domid the\n"
    "                                   running domain of that name\n"
    "  detach NAME                      stop serving it: the guest loses its devices\n"
    "  resume NAME                      a guest that an error of a disk has stopped goes on\n"
    "  shutdown [--force]               end the daemon; with guests attached only by force\n"
    "\n"
    "  -j, --json                       print the daemon's answer as it came\n"
    "  -s, --socket PATH                the daemon's socket (default: as " DAEMON_CONFIG_FILE "\n"
    "                                   says; list and stats ask the statistics socket)\n"
    "  -t, --timeout SECONDS            how long to wait for an answer (60)\n"
    "  -h, --help                       this text\n"
    "  -V, --version                    the version\n"
    "\n"
    "Exit status: 0 done, 1 refused (the reason is printed), 2 usage, 3 no daemon to be reached.\n";

struct invocation {
    const char *socket;
    unsigned timeout_s;
    bool json, force;
    unsigned domid; /* 0: not given */
    char **args;    /* after the command */
    int n_args;
};

struct command {
    const char *name;
    int min_args, max_args;
    bool reads_only; /* the statistics socket will do */
    bool takes_force, takes_domid;
    /* Makes the parameters; NULL after a message. */
    json_t *(*params)(const struct invocation *invocation);
    const char *method;
    void (*show)(const struct invocation *invocation, const json_t *result);
};

/* ---- parameters ------------------------------------------------------------------------------ */

static json_t *no_params(const struct invocation *invocation)
{
    return json_object();
}

static json_t *params_stats(const struct invocation *invocation)
{
    return invocation->n_args ? json_pack("{s:s}", "guest", invocation->args[0]) : json_object();
}

static json_t *params_name(const struct invocation *invocation)
{
    return json_pack("{s:s}", "name", invocation->args[0]);
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
    json_t *params = is_file(invocation->args[0]) ? params_of_file(invocation->args[0])
                                                  : params_name(invocation);

    if (params && invocation->domid)
        json_object_set_new(params, "domid", json_integer(invocation->domid));
    return params;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void show_list(const struct invocation *invocation, const json_t *result)
{
    if (json_array_size(json_object_get(result, "guests")) == 0)
        puts("No guests are attached.");
    else
        ctl_show_list(result, table_terminal_width(stdout), stdout);
}

static void show_stats(const struct invocation *invocation, const json_t *result)
{
    ctl_show_stats(result, invocation->n_args > 0, table_terminal_width(stdout), stdout);
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

static void show_shutdown(const struct invocation *invocation, const json_t *result)
{
    puts("the daemon has ended");
}

static const struct command commands[] = {
    {"list", 0, 0, true, false, false, no_params, "list", show_list},
    {"stats", 0, 1, true, false, false, params_stats, "stats", show_stats},
    {"attach", 1, 1, false, false, true, params_attach, "attach", show_attach},
    {"detach", 1, 1, false, false, false, params_name, "detach", show_detach},
    {"resume", 1, 1, false, false, false, params_name, "resume", show_resume},
    {"shutdown", 0, 0, false, true, false, params_shutdown, "shutdown", show_shutdown},
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
    if (error) {
        fprintf(stderr, "ioemuctl: %s\n", client->error);
        return error == -EREMOTEIO ? STATUS_REFUSED : STATUS_UNREACHABLE;
    }
    if (invocation->json) {
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
        return usage("a guest's name is missing after ", command->name);
    if (invocation->n_args > command->max_args)
        return usage("one argument too many: ", words[1 + command->max_args]);
    if (invocation->force && !command->takes_force)
        return usage("--force does not go with ", command->name);
    if (invocation->domid && !command->takes_domid)
        return usage("--domid does not go with ", command->name);
    return run(command, invocation);
}

int main(int argc, char **argv)
{
    enum { OPTION_FORCE = 256, OPTION_DOMID };
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"socket", required_argument, NULL, 's'},
        {"timeout", required_argument, NULL, 't'},
        {"force", no_argument, NULL, OPTION_FORCE},
        {"domid", required_argument, NULL, OPTION_DOMID},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct invocation invocation = {.timeout_s = TIMEOUT_S};
    int option;

    while ((option = getopt_long(argc, argv, "js:t:hV", options, NULL)) != -1) {
        switch (option) {
        case 'j':
            invocation.json = true;
            break;
        case 's':
            invocation.socket = optarg;
            break;
        case 't':
            if (!parse_number(optarg, 1, 86400, &invocation.timeout_s))
                return usage("no number of seconds: ", optarg);
            break;
        case OPTION_FORCE:
            invocation.force = true;
            break;
        case OPTION_DOMID:
            if (!parse_number(optarg, DOMID_FIRST, DOMID_RESERVED - 1, &invocation.domid))
                return usage("no id of a domain: ", optarg);
            break;
        case 'h':
            fputs(help, stdout);
            return STATUS_OK;
        case 'V':
            puts("ioemuctl " IOEMUD_VERSION);
            return STATUS_OK;
        default:
            fputs("Try ioemuctl --help.\n", stderr);
            return STATUS_USAGE;
        }
    }
    return run_checked(&invocation, argv + optind, argc - optind);
}
