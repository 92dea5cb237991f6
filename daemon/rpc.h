/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON-RPC 2.0 over a unix stream socket, one object a line (LF), on the main thread.
 *
 * A client may send descriptors (SCM_RIGHTS) with a line. Answers may come later: a method keeps
 * its `struct rpc_call` and answers it exactly once, also when the client has gone by then. Lines,
 * connections, unread answers and descriptors are bounded; a client beyond a bound is disconnected.
 * Descriptors are closed by a thread of their own, since that can take as long as the client likes;
 * while too many wait for it nobody is served.
 */
#ifndef IOEMUD_DAEMON_RPC_H
#define IOEMUD_DAEMON_RPC_H

#include <jansson.h>

#include "devices/backend/loop.h"

#define RPC_LINE_MAX (256u * 1024)
/* Of one client that is not read, and of all together: what a thousand guests' metrics take, some
 * times. */
#define RPC_OUTPUT_MAX   (32u * 1024 * 1024)
#define RPC_OUTPUT_TOTAL (128u * 1024 * 1024)
#define RPC_FDS          8u

/* JSON-RPC 2.0, section 5.1, and ours below -32000. */
enum rpc_error {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_NO_METHOD = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_FAILED = -32000, /* the message says what and why */
};

struct rpc_call; /* one request */
struct rpc_conn; /* one client */
struct rpc_server;

struct rpc_method {
    const char *name;
    /* `params` is borrowed, an object (empty if none were given). */
    void (*call)(void *ctx, struct rpc_call *call, const json_t *params);
};

/* `methods` ends with a NULL name; at most `clients` are served at a time, each of which can make
 * the server hold RPC_LINE_MAX + RPC_OUTPUT_MAX bytes, all together not more than RPC_OUTPUT_TOTAL
 * of answers. `listen_fd` is taken over on success. */
int rpc_server_create(int listen_fd, const struct loop *loop, const struct rpc_method *methods,
                      void *ctx, unsigned clients, struct rpc_server **ret_server);
/* Disconnects everybody; calls not answered yet may still be answered. NULL is fine. */
void rpc_server_destroy(struct rpc_server *server);

/* Both end the call. `result` is stolen; one longer than RPC_OUTPUT_MAX becomes an error, and so
 * does NULL: there was no memory for it. */
void rpc_reply(struct rpc_call *call, json_t *result);
__attribute__((format(printf, 3, 4))) void rpc_fail(struct rpc_call *call, int code,
                                                    const char *format, ...);

/* Takes the next descriptor that came with the request; -1: no more. Those not taken are closed. */
int rpc_call_take_fd(struct rpc_call *call);
/* The client, to tie something to its connection; NULL when it has gone. */
struct rpc_conn *rpc_call_conn(struct rpc_call *call);
/* One callback a connection, when the client has gone (not for rpc_server_destroy()). NULL: none.
 */
void rpc_conn_on_close(struct rpc_conn *conn, void (*closed)(void *arg), void *arg);
/* Whether there is one. */
bool rpc_conn_is_tied(const struct rpc_conn *conn);
/* Sends a notification. `params` is stolen. As for answers, a client beyond its bound loses its
 * connection: see rpc_conn_drained(). False: nothing was sent, it is too long. */
bool rpc_conn_notify(struct rpc_conn *conn, const char *method, json_t *params);
/* Whether the kernel has taken all that was sent to the client. */
bool rpc_conn_drained(const struct rpc_conn *conn);

#endif
