// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/fake_loop.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_WATCHES 64

struct loop_watch {
    int fd;
    unsigned events;
    void (*cb)(void *arg, unsigned events);
    void *arg;
    bool live;
};

struct fake_loop {
    struct loop loop;
    struct loop_watch watches[MAX_WATCHES];
    struct loop_task *first, **last;
    struct loop_timer *timers;
    struct loop_look *looks;
    uint64_t clock_ns;
};

static void fail(const char *what)
{
    fprintf(stderr, "fake_loop: %s\n", what);
    abort();
}

static int fake_watch(void *ctx, int fd, unsigned events, void (*cb)(void *, unsigned), void *arg,
                      struct loop_watch **ret_watch)
{
    struct fake_loop *fake = ctx;
    for (unsigned i = 0; i < MAX_WATCHES; i++) {
        struct loop_watch *watch = &fake->watches[i];
        if (watch->live)
            continue;
        *watch = (struct loop_watch){fd, events, cb, arg, true};
        *ret_watch = watch;
        return 0;
    }
    fail("out of watches");
    return 0;
}

static void fake_rewatch(void *ctx, struct loop_watch *watch, unsigned events)
{
    if (!watch->live)
        fail("rewatch of a dead watch");
    watch->events = events;
}

static void fake_unwatch(void *ctx, struct loop_watch *watch)
{
    if (!watch)
        return;
    if (!watch->live)
        fail("unwatch of a dead watch");
    watch->live = false;
}

static void fake_defer(void *ctx, struct loop_task *task)
{
    struct fake_loop *fake = ctx;
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *fake->last = task;
    fake->last = &task->next;
}

static void fake_undefer(void *ctx, struct loop_task *task)
{
    struct fake_loop *fake = ctx;
    if (!task->queued)
        return;
    struct loop_task **link = &fake->first;
    while (*link && *link != task)
        link = &(*link)->next;
    if (!*link)
        fail("undefer of a task that is not queued");
    *link = task->next;
    if (!task->next)
        fake->last = link;
    task->queued = false;
}

static void fake_add_look(void *ctx, struct loop_look *look)
{
    struct fake_loop *fake = ctx;
    look->next = fake->looks;
    fake->looks = look;
}

static void fake_remove_look(void *ctx, struct loop_look *look)
{
    struct fake_loop *fake = ctx;
    struct loop_look **link = &fake->looks;
    while (*link && *link != look)
        link = &(*link)->next;
    if (!*link)
        fail("removal of a look that is not there");
    *link = look->next;
}

static uint64_t fake_now_ns(void *ctx)
{
    struct fake_loop *fake = ctx;
    if (fake->clock_ns)
        return fake->clock_ns;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fake_disarm(void *ctx, struct loop_timer *timer)
{
    struct fake_loop *fake = ctx;
    if (!timer->deadline_ns)
        return;
    struct loop_timer **link = &fake->timers;
    while (*link && *link != timer)
        link = &(*link)->impl.next;
    if (!*link)
        fail("disarm of a timer that is not armed");
    *link = timer->impl.next;
    timer->deadline_ns = 0;
}

static void fake_arm(void *ctx, struct loop_timer *timer, uint64_t deadline_ns)
{
    struct fake_loop *fake = ctx;
    fake_disarm(ctx, timer);
    timer->deadline_ns = deadline_ns ? deadline_ns : 1;
    timer->impl.next = fake->timers;
    fake->timers = timer;
}

static const struct loop_ops fake_ops = {
    .watch = fake_watch,
    .rewatch = fake_rewatch,
    .unwatch = fake_unwatch,
    .defer = fake_defer,
    .undefer = fake_undefer,
    .add_look = fake_add_look,
    .remove_look = fake_remove_look,
    .now_ns = fake_now_ns,
    .arm = fake_arm,
    .disarm = fake_disarm,
};

struct fake_loop *fake_loop_create(void)
{
    struct fake_loop *fake = calloc(1, sizeof(*fake));
    if (!fake)
        fail("out of memory");
    fake->loop = (struct loop){&fake_ops, fake};
    fake->last = &fake->first;
    return fake;
}

void fake_loop_destroy(struct fake_loop *fake)
{
    if (fake->first)
        fail("a task was left behind");
    if (fake_loop_watches(fake))
        fail("a watch was left behind");
    if (fake->timers)
        fail("a timer was left behind");
    if (fake->looks)
        fail("a look was left behind");
    free(fake);
}

const struct loop *fake_loop(struct fake_loop *fake)
{
    return &fake->loop;
}

void fake_loop_look(struct fake_loop *fake)
{
    for (struct loop_look *look = fake->looks; look; look = look->next)
        look->look(look->arg);
}

static bool turn_watches(struct fake_loop *fake, int timeout_ms)
{
    struct pollfd fds[MAX_WATCHES];
    struct loop_watch *watches[MAX_WATCHES];
    nfds_t n = 0;
    for (unsigned i = 0; i < MAX_WATCHES; i++) {
        struct loop_watch *watch = &fake->watches[i];
        if (!watch->live || !watch->events)
            continue;
        short events = 0;
        if (watch->events & LOOP_READ)
            events |= POLLIN;
        if (watch->events & LOOP_WRITE)
            events |= POLLOUT;
        fds[n] = (struct pollfd){.fd = watch->fd, .events = events};
        watches[n++] = watch;
    }
    if (poll(fds, n, timeout_ms) <= 0)
        return false;
    for (nfds_t i = 0; i < n; i++) {
        unsigned events = 0;
        /* As libev does: errors and hangups are both readable and writable. */
        if (fds[i].revents & (POLLIN | POLLERR | POLLHUP | POLLNVAL))
            events |= LOOP_READ;
        if (fds[i].revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL))
            events |= LOOP_WRITE;
        if (!watches[i]->live)
            continue;
        events &= watches[i]->events;
        if (events)
            watches[i]->cb(watches[i]->arg, events);
    }
    return true;
}

/* As many as have expired now: one that is armed anew waits for the next turn. */
static bool turn_timers(struct fake_loop *fake)
{
    uint64_t now = fake_now_ns(fake);
    unsigned due = 0;
    for (const struct loop_timer *timer = fake->timers; timer; timer = timer->impl.next)
        due += timer->deadline_ns <= now;
    for (unsigned i = due; i--;) {
        struct loop_timer *first = NULL;
        for (struct loop_timer *timer = fake->timers; timer; timer = timer->impl.next)
            if (timer->deadline_ns <= now && (!first || timer->deadline_ns < first->deadline_ns))
                first = timer;
        if (!first)
            break;
        fake_disarm(fake, first);
        first->expire(first->arg);
    }
    return due;
}

/* Milliseconds until the first timer, at most `timeout_ms`. With a stopped clock nothing expires by
 * waiting. */
static int until_timer(struct fake_loop *fake, int timeout_ms)
{
    uint64_t now = fake_now_ns(fake);
    for (const struct loop_timer *timer = fake->timers; timer; timer = timer->impl.next) {
        uint64_t left = timer->deadline_ns > now ? timer->deadline_ns - now : 0;
        if (left && fake->clock_ns)
            continue;
        if (left / 1000000 + 1 < (uint64_t)timeout_ms)
            timeout_ms = left ? (int)(left / 1000000 + 1) : 0;
    }
    return timeout_ms;
}

bool fake_loop_turn(struct fake_loop *fake, int timeout_ms)
{
    bool any = turn_watches(fake, fake->first ? 0 : until_timer(fake, timeout_ms));
    unsigned tasks = 0;
    any |= turn_timers(fake);
    for (struct loop_task *task = fake->first; task; task = task->next)
        tasks++;
    while (tasks-- && fake->first) {
        struct loop_task *task = fake->first;
        fake->first = task->next;
        if (!fake->first)
            fake->last = &fake->first;
        task->queued = false;
        task->run(task->arg);
        any = true;
    }
    return any;
}

bool fake_loop_until(struct fake_loop *fake, const bool *flag, int timeout_ms)
{
    while (!*flag && fake_loop_turn(fake, timeout_ms))
        ;
    return *flag;
}

unsigned fake_loop_settle(struct fake_loop *fake, int timeout_ms, unsigned max)
{
    unsigned turns = 0;
    while (turns < max && fake_loop_turn(fake, timeout_ms))
        turns++;
    return turns;
}

void fake_loop_set_clock(struct fake_loop *fake, uint64_t now_ns)
{
    fake->clock_ns = now_ns;
}

unsigned fake_loop_timers(const struct fake_loop *fake)
{
    unsigned n = 0;
    for (const struct loop_timer *timer = fake->timers; timer; timer = timer->impl.next)
        n++;
    return n;
}

unsigned fake_loop_watches(const struct fake_loop *fake)
{
    unsigned n = 0;
    for (unsigned i = 0; i < MAX_WATCHES; i++)
        n += fake->watches[i].live;
    return n;
}
