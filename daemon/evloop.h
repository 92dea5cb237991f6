/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices/backend/loop.h on libev: what a worker, or the main thread, hands to backends and to the
 * sockets it serves. One per libev loop, used from its thread only.
 */
#ifndef IOEMUD_DAEMON_EVLOOP_H
#define IOEMUD_DAEMON_EVLOOP_H

#include <ev.h>

#include "devices/backend/loop.h"

struct evloop {
    struct loop loop; /* what to hand out */
    struct ev_loop *ev;
    /* evloop.c's: */
    ev_prepare prepare; /* runs the deferred tasks before the loop sleeps */
    ev_idle again;      /* keeps it from sleeping when one deferred again */
    struct loop_task *tasks, **tail;
    uint64_t turn;
    struct loop_look *looks;
};

/* `ev` stays the caller's. The watchers here do not keep ev_run() alive. */
void evloop_init(struct evloop *evloop, struct ev_loop *ev);
void evloop_finish(struct evloop *evloop);
/* Whoever keeps the loop awake: looks once at all that can be found so. */
void evloop_look(struct evloop *evloop);

#endif
