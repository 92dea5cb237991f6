/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watching pages instead of sleeping: after a guest was served, its next request often follows at
 * once, and is then found by looking at its pages, without an event, a wake-up or a system call.
 *
 * How long a guest is watched adapts to whether that pays: it is doubled, up to the limit, while
 * requests are found, halved when it was for nothing, and given up below a minimum, to be tried
 * again after some more events. With nobody to watch the loop sleeps as ever: idle guests cost
 * nothing. While a guest is watched its events stay masked (hv.h, guest_rearm()).
 *
 * One thread: the worker's.
 */
#ifndef IOEMUD_DAEMON_WATCH_H
#define IOEMUD_DAEMON_WATCH_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/evloop.h"

enum watch_found {
    WATCH_NOTHING,
    WATCH_SERVED,
    WATCH_MORE, /* served as much as one may at a time; the others' turn comes first */
};

/* One turn of the loop in so many is timed, for the statistics: a prime, so that what a guest does
 * over and over is not always met at the same place. */
#define WATCH_TIMED 61u

/* One guest's part; embedded in its owner. */
struct watch {
    enum watch_found (*look)(void *ctx); /* serve what is on the pages */
    void (*ended)(void *ctx);            /* not watched any more: unmask its events */
    void *ctx;
    /* watch.c's: */
    bool active;
    bool found; /* something, since the clock was last looked at */
    uint64_t until_ns, window_ns;
    unsigned unwatched; /* events since watching was given up */
    struct watch *next;
};

/* One worker's part. */
struct watcher {
    struct evloop *evloop;
    struct watch *active;
    uint64_t limit_ns;
    ev_check check;    /* looks, after the descriptors of each turn */
    ev_check begin;    /* before them */
    ev_idle awake;     /* keeps the loop from sleeping while there is somebody to watch */
    unsigned untimed;  /* turns until the next that is timed */
    uint64_t begun_ns; /* when this turn began, if it is timed, else 0; for those it serves */
    /* For the statistics; other threads read them while this one counts. */
    uint64_t wakeups;   /* turns of the loop */
    uint64_t polls_hit; /* requests found by watching */
};

/* `limit_us`: how long to watch at most; 0: not at all. `evloop` must outlive the watcher. */
void watcher_init(struct watcher *watcher, struct evloop *evloop, unsigned limit_us);
/* Another limit from now on. */
void watcher_set_limit(struct watcher *watcher, unsigned limit_us);
/* Nobody may be watched any more. */
void watcher_finish(struct watcher *watcher);

void watch_init(struct watch *watch, const struct watcher *watcher,
                enum watch_found (*look)(void *ctx), void (*ended)(void *ctx), void *ctx);
/* An event was served: watch on, if that pays. WATCH_MORE: look once more in any case. True if the
 * guest is watched now, so that its events stay masked. */
bool watch_after(struct watcher *watcher, struct watch *watch, enum watch_found found);
/* At once, without telling `ended`. Not watching is fine. */
void watch_stop(struct watcher *watcher, struct watch *watch);

#endif
