/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/watchdog.h"

#include <assert.h>
#include <stddef.h>

static void on_back(struct mail *mail)
{
    struct watchdog_beat *beat =
        (struct watchdog_beat *)((char *)mail - offsetof(struct watchdog_beat, back));
    struct watchdog *watchdog = beat->watchdog;

    beat->out = false;
    watchdog->n_out--;
    if (beat->late)
        watchdog->late(watchdog->ctx, (unsigned)(beat - watchdog->beat), false);
    beat->late = false;
    if (!watchdog->n_out)
        watchdog->feed(watchdog->ctx);
}

/* On the worker's thread: that it runs is the answer. */
static void on_there(struct mail *mail)
{
    struct watchdog_beat *beat =
        (struct watchdog_beat *)((char *)mail - offsetof(struct watchdog_beat, there));

    mailbox_post(beat->watchdog->control, &beat->back);
}

static void on_interval(struct ev_loop *ev, ev_timer *timer, int revents)
{
    struct watchdog *watchdog = timer->data;

    if (!watchdog->n_workers)
        watchdog->feed(watchdog->ctx);
    for (unsigned i = 0; i < watchdog->n_workers; i++) {
        struct watchdog_beat *beat = &watchdog->beat[i];

        if (!beat->out) {
            beat->out = true;
            watchdog->n_out++;
            mailbox_post(beat->worker, &beat->there);
        } else if (!beat->late) {
            beat->late = true;
            watchdog->late(watchdog->ctx, i, true);
        }
    }
}

void watchdog_add(struct watchdog *watchdog, struct mailbox *worker)
{
    assert(watchdog->n_workers < WATCHDOG_WORKERS);
    watchdog->beat[watchdog->n_workers++] = (struct watchdog_beat){
        .watchdog = watchdog,
        .worker = worker,
        .there = {.run = on_there},
        .back = {.run = on_back},
    };
}

void watchdog_start(struct watchdog *watchdog, double interval_s)
{
    ev_timer_init(&watchdog->timer, on_interval, interval_s, interval_s);
    watchdog->timer.data = watchdog;
    ev_timer_start(watchdog->ev, &watchdog->timer);
    watchdog->feed(watchdog->ctx);
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog->ev)
        ev_timer_stop(watchdog->ev, &watchdog->timer);
}
