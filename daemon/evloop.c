/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/evloop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct loop_watch {
    ev_io io;
    void (*cb)(void *arg, unsigned events);
    void *arg;
};

static int ev_events(unsigned events)
{
    return (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);
}

static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
    struct loop_watch *watch = (struct loop_watch *)io;

    watch->cb(watch->arg,
              (revents & EV_READ ? LOOP_READ : 0) | (revents & EV_WRITE ? LOOP_WRITE : 0));
}

static int evloop_watch(void *ctx, int fd, unsigned events, void (*cb)(void *arg, unsigned events),
                        void *arg, struct loop_watch **ret_watch)
{
    struct evloop *evloop = ctx;
    struct loop_watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return -ENOMEM;
    watch->cb = cb;
    watch->arg = arg;
    ev_io_init(&watch->io, on_io, fd, ev_events(events));
    if (events)
        ev_io_start(evloop->ev, &watch->io);
    *ret_watch = watch;
    return 0;
}

static void evloop_rewatch(void *ctx, struct loop_watch *watch, unsigned events)
{
    struct evloop *evloop = ctx;
    int wanted = ev_events(events);

    if (ev_is_active(&watch->io) && (watch->io.events & (EV_READ | EV_WRITE)) == wanted)
        return;
    ev_io_stop(evloop->ev, &watch->io);
    ev_io_set(&watch->io, watch->io.fd, wanted);
    if (wanted)
        ev_io_start(evloop->ev, &watch->io);
}

static void evloop_unwatch(void *ctx, struct loop_watch *watch)
{
    struct evloop *evloop = ctx;

    if (!watch)
        return;
    ev_io_stop(evloop->ev, &watch->io);
    free(watch);
}

static void evloop_defer(void *ctx, struct loop_task *task)
{
    struct evloop *evloop = ctx;

    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *evloop->tail = task;
    evloop->tail = &task->next;
}

static void evloop_undefer(void *ctx, struct loop_task *task)
{
    struct evloop *evloop = ctx;

    if (!task->queued)
        return;
    for (struct loop_task **at = &evloop->tasks; *at; at = &(*at)->next) {
        if (*at != task)
            continue;
        *at = task->next;
        if (!*at)
            evloop->tail = at;
        break;
    }
    task->queued = false;
}

static void evloop_add_look(void *ctx, struct loop_look *look)
{
    struct evloop *evloop = ctx;

    look->next = evloop->looks;
    evloop->looks = look;
}

static void evloop_remove_look(void *ctx, struct loop_look *look)
{
    struct evloop *evloop = ctx;

    for (struct loop_look **at = &evloop->looks; *at; at = &(*at)->next) {
        if (*at != look)
            continue;
        *at = look->next;
        break;
    }
}

void evloop_look(struct evloop *evloop)
{
    for (struct loop_look *look = evloop->looks; look; look = look->next)
        look->look(look->arg);
}

static uint64_t evloop_now_ns(void *ctx)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static ev_timer *ev_timer_of(struct loop_timer *timer)
{
    _Static_assert(sizeof(ev_timer) <= sizeof(timer->impl), "loop.h has room for libev's timer");
    return (ev_timer *)(void *)&timer->impl;
}

static void evloop_disarm(void *ctx, struct loop_timer *timer)
{
    struct evloop *evloop = ctx;

    if (!timer->deadline_ns)
        return;
    timer->deadline_ns = 0;
    ev_ref(evloop->ev);
    ev_timer_stop(evloop->ev, ev_timer_of(timer));
}

static void on_timer(struct ev_loop *ev, ev_timer *ev_timer, int revents)
{
    struct loop_timer *timer = ev_timer->data;

    ev_ref(ev);
    timer->deadline_ns = 0;
    timer->expire(timer->arg);
}

static void evloop_arm(void *ctx, struct loop_timer *timer, uint64_t deadline_ns)
{
    struct evloop *evloop = ctx;
    ev_timer *own = ev_timer_of(timer);
    uint64_t now = evloop_now_ns(ctx);

    evloop_disarm(ctx, timer);
    timer->deadline_ns = deadline_ns ? deadline_ns : 1;
    ev_now_update(evloop->ev);
    ev_timer_init(own, on_timer, deadline_ns > now ? (double)(deadline_ns - now) / 1e9 : 0., 0.);
    own->data = timer;
    ev_timer_start(evloop->ev, own);
    ev_unref(evloop->ev);
}

static const struct loop_ops evloop_ops = {
    .watch = evloop_watch,
    .rewatch = evloop_rewatch,
    .unwatch = evloop_unwatch,
    .defer = evloop_defer,
    .undefer = evloop_undefer,
    .add_look = evloop_add_look,
    .remove_look = evloop_remove_look,
    .now_ns = evloop_now_ns,
    .arm = evloop_arm,
    .disarm = evloop_disarm,
};

static void on_idle(struct ev_loop *ev, ev_idle *idle, int revents)
{
}

/* What is queued so far. A marker ends the round, so the list may change under our hands (undefer)
 * without our holding a pointer into it. */
static void run_round(struct evloop *evloop)
{
    struct loop_task end = {0};

    evloop_defer(evloop, &end);
    while (evloop->tasks != &end) {
        struct loop_task *task = evloop->tasks;

        evloop_undefer(evloop, task);
        if (task->turn == evloop->turn) {
            evloop_defer(evloop, task); /* behind the marker: it has had its turn */
            continue;
        }
        task->turn = evloop->turn;
        task->run(task->arg);
    }
    evloop_undefer(evloop, &end);
}

/* Tasks that tasks have queued run in a second round: what a device asks of a disk at the end of a
 * turn is submitted without another turn, which would begin with a system call for nothing. All
 * that comes later waits for the next turn. */
static void on_prepare(struct ev_loop *ev, ev_prepare *prepare, int revents)
{
    struct evloop *evloop = prepare->data;

    evloop->turn++;
    for (unsigned i = 0; i < 2 && evloop->tasks; i++)
        run_round(evloop);
    if (evloop->tasks && !ev_is_active(&evloop->again))
        ev_idle_start(ev, &evloop->again);
    else if (!evloop->tasks && ev_is_active(&evloop->again))
        ev_idle_stop(ev, &evloop->again);
}

void evloop_init(struct evloop *evloop, struct ev_loop *ev)
{
    *evloop = (struct evloop){.ev = ev, .loop = {.ops = &evloop_ops, .ctx = evloop}};
    evloop->tail = &evloop->tasks;
    ev_idle_init(&evloop->again, on_idle);
    ev_prepare_init(&evloop->prepare, on_prepare);
    evloop->prepare.data = evloop;
    ev_prepare_start(ev, &evloop->prepare);
    ev_unref(ev);
}

void evloop_finish(struct evloop *evloop)
{
    ev_ref(evloop->ev);
    ev_prepare_stop(evloop->ev, &evloop->prepare);
    ev_idle_stop(evloop->ev, &evloop->again);
}
