/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/subscribe.h"

#include <stdlib.h>

struct subscription {
    struct subscriptions *all;
    struct subscription *next;
    struct rpc_conn *conn;
    json_t *params;
    struct loop_timer timer;
    uint64_t interval_ns, due_ns;
    uint64_t sequence; /* of the next sample, those that are lost included */
    uint64_t lost;
};

static uint64_t now_ns(const struct subscriptions *all)
{
    return all->loop->ops->now_ns(all->loop->ctx);
}

static void lose(struct subscription *subscription, uint64_t count)
{
    subscription->sequence += count;
    subscription->lost += count;
}

/* False: it cannot be made, or its client could not take it. */
static bool send_sample(struct subscription *subscription)
{
    struct subscriptions *all = subscription->all;
    uint64_t begun_ns = now_ns(all), ended_ns;
    json_t *stats;
    bool sent;

    if (!rpc_conn_drained(subscription->conn) || begun_ns < all->rest_until_ns)
        return false;
    stats = all->sample(all->ctx, subscription->params);
    if (!stats)
        return false;
    sent =
        rpc_conn_notify(subscription->conn, "sample",
                        json_pack("{s:I, s:I, s:o}", "sequence", (json_int_t)subscription->sequence,
                                  "lost", (json_int_t)subscription->lost, "stats", stats));
    ended_ns = now_ns(all);
    all->rest_until_ns = ended_ns + (SUBSCRIBE_SHARE - 1) * (ended_ns - begun_ns);
    return sent;
}

static void on_due(void *arg)
{
    struct subscription *subscription = arg;
    const struct loop *loop = subscription->all->loop;
    uint64_t late_ns = now_ns(subscription->all) - subscription->due_ns;

    /* Those whose time has passed altogether. */
    lose(subscription, late_ns / subscription->interval_ns);
    subscription->due_ns += late_ns / subscription->interval_ns * subscription->interval_ns;
    if (send_sample(subscription))
        subscription->sequence++;
    else
        lose(subscription, 1);
    subscription->due_ns += subscription->interval_ns;
    loop->ops->arm(loop->ctx, &subscription->timer, subscription->due_ns);
}

/* NULL: that connection has none. */
static struct subscription *find(struct subscriptions *all, const struct rpc_conn *conn)
{
    struct subscription *subscription = all->first;

    while (subscription && subscription->conn != conn)
        subscription = subscription->next;
    return subscription;
}

static void end(struct subscription *subscription)
{
    struct subscriptions *all = subscription->all;
    struct subscription **at = &all->first;

    while (*at != subscription)
        at = &(*at)->next;
    *at = subscription->next;
    all->loop->ops->disarm(all->loop->ctx, &subscription->timer);
    json_decref(subscription->params);
    free(subscription);
}

static void on_closed(void *arg)
{
    end(arg);
}

void subscriptions_init(struct subscriptions *all, const struct loop *loop,
                        json_t *(*sample)(void *ctx, const json_t *params), void *ctx)
{
    *all = (struct subscriptions){.loop = loop, .sample = sample, .ctx = ctx};
}

void subscriptions_finish(struct subscriptions *all)
{
    while (all->first) {
        rpc_conn_on_close(all->first->conn, NULL, NULL);
        end(all->first);
    }
}

static struct subscription *add(struct subscriptions *all, struct rpc_conn *conn)
{
    struct subscription *subscription = calloc(1, sizeof(*subscription));

    if (!subscription)
        return NULL;
    subscription->all = all;
    subscription->conn = conn;
    subscription->timer = (struct loop_timer){.expire = on_due, .arg = subscription};
    subscription->next = all->first;
    all->first = subscription;
    rpc_conn_on_close(conn, on_closed, subscription);
    return subscription;
}

void subscriptions_add(struct subscriptions *all, struct rpc_call *call, const json_t *params)
{
    const json_t *given = json_object_get(params, "interval_ms");
    json_int_t ms = given ? json_integer_value(given) : SUBSCRIBE_INTERVAL_MS;
    struct rpc_conn *conn = rpc_call_conn(call);
    struct subscription *subscription = find(all, conn);

    if ((given && !json_is_integer(given)) || ms < SUBSCRIBE_MIN_MS || ms > SUBSCRIBE_MAX_MS) {
        rpc_fail(call, RPC_INVALID_PARAMS, "\"interval_ms\" must be a number from %d to %d",
                 SUBSCRIBE_MIN_MS, SUBSCRIBE_MAX_MS);
        return;
    }
    if (!subscription && rpc_conn_is_tied(conn)) {
        rpc_fail(call, RPC_FAILED, "this connection is a guest's lease; use another one");
        return;
    }
    if (!subscription)
        subscription = add(all, conn);
    if (!subscription) {
        rpc_fail(call, RPC_FAILED, "out of memory");
        return;
    }
    json_decref(subscription->params);
    subscription->params = json_deep_copy(params);
    subscription->interval_ns = (uint64_t)ms * 1000000;
    subscription->sequence = subscription->lost = 0;
    subscription->due_ns = now_ns(all);
    rpc_reply(call, json_pack("{s:I}", "interval_ms", ms));
    /* The first one at once, for the others to be compared with; from the loop. */
    all->loop->ops->arm(all->loop->ctx, &subscription->timer, subscription->due_ns);
}

void subscriptions_remove(struct subscriptions *all, struct rpc_call *call)
{
    struct rpc_conn *conn = rpc_call_conn(call);
    struct subscription *subscription = find(all, conn);

    if (!subscription) {
        rpc_fail(call, RPC_FAILED, "this connection has no subscription");
        return;
    }
    rpc_conn_on_close(conn, NULL, NULL);
    end(subscription);
    rpc_reply(call, json_object());
}
