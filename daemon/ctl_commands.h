/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ioemuctl can be asked to do: for each command how its words become a request's parameters,
 * and how the answer is shown. ioemuctl.c has the command line and the conversation.
 */
#ifndef IOEMUD_DAEMON_CTL_COMMANDS_H
#define IOEMUD_DAEMON_CTL_COMMANDS_H

#include <jansson.h>
#include <stdbool.h>

#include "daemon/ctl_client.h"
#include "daemon/ctl_top.h"

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

extern const struct command ctl_commands[];
extern const unsigned ctl_n_commands;

#endif
