/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service manager's watchdog (sd_watchdog_enabled(3)): it is fed only when every worker has
 * answered, so that one that hangs ends in a restart and not in guests that hang for ever.
 *
 *    main:    at each interval --beat--> each worker that has answered the last one
 *    worker:  its loop turns   --back--> main
 *    main:    the last one is back: feed()
 *
 * One that has not answered when the next interval begins is told of, once, and gets no second
 * beat. Where there are none, since guests have processes of their own, main alone feeds, at each
 * interval. Nothing else here is periodic. One thread: the main one.
 */
#ifndef IOEMUD_DAEMON_WATCHDOG_H
#define IOEMUD_DAEMON_WATCHDOG_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/mailbox.h"

#define WATCHDOG_WORKERS 64u

struct watchdog {
    struct ev_loop *ev;
    struct mailbox *control;
    void (*feed)(void *ctx);
    void (*late)(void *ctx, unsigned worker, bool hangs);
    void *ctx;
    /* watchdog.c's: */
    ev_timer timer;
    struct watchdog_beat {
        struct watchdog *watchdog;
        struct mailbox *worker;
        struct mail there, back;
        bool out;  /* the worker has it */
        bool late; /* and it was told of */
    } beat[WATCHDOG_WORKERS];
    unsigned n_workers, n_out;
};

/* Before the worker's loop is gone, or never: a beat may be with it. */
void watchdog_add(struct watchdog *watchdog, struct mailbox *worker);
/* `ev`, `control` (its mailbox), `feed`, `late` and `ctx` are set, all workers added. Feeds at once
 * and then every `interval_s` seconds, which is to be half of the manager's or less. `late` is told
 * of a worker that did not answer in an interval, and when it does answer after all. */
void watchdog_start(struct watchdog *watchdog, double interval_s);
/* When the workers have ended; also if it was never started. */
void watchdog_stop(struct watchdog *watchdog);

#endif
