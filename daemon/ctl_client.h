/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's client: one request, one answer, JSON-RPC 2.0 a line (docs/rpc.md), and
 * notifications after that.
 *
 * An answer is bounded in size and in time, so that a daemon that stalls cannot hold a script up.
 */
#ifndef IOEMUD_DAEMON_CTL_CLIENT_H
#define IOEMUD_DAEMON_CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CTL_ERROR_SIZE 1024

struct ctl_client {
    int fd;
    unsigned timeout_s;
    char *in; /* what has come beyond the last line that was taken */
    size_t in_length, in_size;
    char error[CTL_ERROR_SIZE]; /* of the call that failed, for people */
};

/* Connects to the socket. -errno: `error` says what to do. */
int ctl_client_open(struct ctl_client *client, const char *socket_path, unsigned timeout_s);
void ctl_client_close(struct ctl_client *client);

/* `params` is stolen. 0: ret_result is the caller's. -EREMOTEIO: the daemon refused, with its words
 * in `error`. Another -errno: there was no proper answer. */
int ctl_client_call(struct ctl_client *client, const char *method, json_t *params,
                    json_t **ret_result);

/* The next notification after a call that asked for them, within the client's time: its parameters
 * are the caller's. Answers that come between are passed over. -errno as for a call. */
int ctl_client_next(struct ctl_client *client, json_t **ret_params);
/* Whether a line is there already, so that poll(2) of `fd` need not tell of it. */
bool ctl_client_has_line(const struct ctl_client *client);

/* Waits until the daemon closes the connection: it has ended. 0 or -ETIMEDOUT. */
int ctl_client_wait_closed(struct ctl_client *client);

#endif
