/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GET /metrics over HTTP, by libmicrohttpd, on the main thread: what is told is that thread's, so
 * another one would have to be handed a copy. libmicrohttpd is given connections and says by one
 * epoll descriptor and one time when it wants to be called; with nobody connected it is asleep like
 * everything else.
 *
 * Who may connect can make the daemon hold HTTP_CLIENTS connections, and the text once: one that is
 * younger than HTTP_FRESH_NS is handed out again.
 */
#ifndef IOEMUD_DAEMON_HTTP_H
#define IOEMUD_DAEMON_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/metrics.h"
#include "devices/backend/loop.h"

#define HTTP_CLIENTS   8u
#define HTTP_TIMEOUT_S 10u /* a client that does nothing is hung up on */
#define HTTP_FRESH_NS  UINT64_C(1000000000)

struct http;

/* `listen_fd` listens, does not block, and is taken over on success. `text` makes what is told, for
 * us to free; NULL: it cannot now. -ENOMEM. */
int http_create(int listen_fd, const struct loop *loop,
                char *(*text)(void *ctx, enum metrics_format format), void *ctx,
                struct http **ret_http);
/* Hangs up on everybody. NULL is fine. */
void http_destroy(struct http *http);

#endif
