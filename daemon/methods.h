/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files with methods of the sockets share; nobody else includes it. */
#ifndef IOEMUD_DAEMON_METHODS_H
#define IOEMUD_DAEMON_METHODS_H

#include "daemon/daemon.h"

/* The guest that `key` of the request names, or is the domain of; "domid" says which of several.
 * NULL: the call has been answered. */
struct guest *method_guest(struct daemon *daemon, struct rpc_call *call, const json_t *params,
                           const char *key);

/* daemon/methods_describe.c. NULL when memory is short. */
json_t *method_describe(const struct guest *guest);

/* daemon/methods_live.c */
void method_reload(void *ctx, struct rpc_call *call, const json_t *params);
void method_log_level(void *ctx, struct rpc_call *call, const json_t *params);

/* daemon/trace.c */
void method_trace(void *ctx, struct rpc_call *call, const json_t *params);
void method_trace_read(void *ctx, struct rpc_call *call, const json_t *params);

#endif
