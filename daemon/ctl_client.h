/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's client: one request, one answer, JSON-RPC 2.0 a line (docs/rpc.md).
 *
 * An answer is bounded in size and in time, so that a daemon that stalls cannot hold a script up.
 */
#ifndef IOEMUD_DAEMON_CTL_CLIENT_H
#define IOEMUD_DAEMON_CTL_CLIENT_H

#include <jansson.h>

#define CTL_ERROR_SIZE 1024

struct ctl_client {
    int fd;
    unsigned timeout_s;
    char error[CTL_ERROR_SIZE]; /* of the call that failed, for people */
};

/* Connects to the socket. -errno: `error` says what to do. */
int ctl_client_open(struct ctl_client *client, const char *socket_path, unsigned timeout_s);
void ctl_client_close(struct ctl_client *client);

/* `params` is stolen. 0: ret_result is the caller's. -EREMOTEIO: the daemon refused, with its words
 * in `error`. Another -errno: there was no proper answer. */
int ctl_client_call(struct ctl_client *client, const char *method, json_t *params,
                    json_t **ret_result);

/* Waits until the daemon closes the connection: it has ended. 0 or -ETIMEDOUT. */
int ctl_client_wait_closed(struct ctl_client *client);

#endif
