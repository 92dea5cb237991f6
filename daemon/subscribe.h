/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples of the statistics at an interval, over the connection that asked for them: docs/rpc.md.
 *
 *   subscribe -> result, sample, sample, ... -> unsubscribe, or the connection closes
 *
 * A client that has not taken the last sample loses the next ones and is told how many, so that at
 * most one waits for it. All samples together take no more of the main thread's time than one part
 * in SUBSCRIBE_SHARE; beyond that they are lost, too. Without subscribers nothing runs.
 */
#ifndef IOEMUD_DAEMON_SUBSCRIBE_H
#define IOEMUD_DAEMON_SUBSCRIBE_H

#include <jansson.h>
#include <stdint.h>

#include "daemon/rpc.h"
#include "devices/backend/loop.h"

#define SUBSCRIBE_SHARE       4u
#define SUBSCRIBE_MIN_MS      100
#define SUBSCRIBE_MAX_MS      3600000
#define SUBSCRIBE_INTERVAL_MS 1000

struct subscription;

struct subscriptions {
    const struct loop *loop;
    /* Makes one of what the parameters of `subscribe` ask for; NULL: it cannot now. */
    json_t *(*sample)(void *ctx, const json_t *params);
    void *ctx;
    struct subscription *first;
    uint64_t rest_until_ns;
};

void subscriptions_init(struct subscriptions *all, const struct loop *loop,
                        json_t *(*sample)(void *ctx, const json_t *params), void *ctx);
/* Ends them all; before the servers of their connections are destroyed. */
void subscriptions_finish(struct subscriptions *all);

/* Both answer the call. One subscription a connection: another one takes its place. */
void subscriptions_add(struct subscriptions *all, struct rpc_call *call, const json_t *params);
void subscriptions_remove(struct subscriptions *all, struct rpc_call *call);

#endif
