/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/watch.h"

#include "devices/count.h"

#define WINDOW_MIN_NS 5000u
/* Events without watching before it is tried again. */
#define UNWATCHED_MAX 64u
/* How often the pages are looked at between two looks at the clock and at the descriptors, which
 * cost system calls. */
#define LOOKS_PER_TURN 64u

static uint64_t now_ns(const struct watcher *watcher)
{
    return watcher->evloop->loop.ops->now_ns(watcher->evloop->loop.ctx);
}

/* Looks at the pages of all once, and at what else can be found in memory. False: it is time for
 * others: somebody has had his share, or there is work for the end of the turn, such as disk
 * requests to submit. */
static bool look(struct watcher *watcher)
{
    bool go_on = true;

    for (struct watch *watch = watcher->active; watch; watch = watch->next) {
        enum watch_found found = watch->look(watch->ctx);

        if (found == WATCH_NOTHING)
            continue;
        count_add(&watcher->polls_hit, 1);
        watch->found = true;
        go_on &= found != WATCH_MORE;
    }
    evloop_look(watcher->evloop);
    return go_on && !watcher->evloop->tasks;
}

static bool pays(const struct watcher *watcher, struct watch *watch, uint64_t now)
{
    if (!watch->found)
        return now < watch->until_ns;
    watch->found = false;
    if (watch->window_ns <= watcher->limit_ns / 2)
        watch->window_ns *= 2;
    watch->until_ns = now + watch->window_ns;
    return true;
}

/* Lets go of those whose time is up. */
static void expire(struct watcher *watcher)
{
    uint64_t now = now_ns(watcher);

    for (struct watch **at = &watcher->active; *at;) {
        struct watch *watch = *at;

        if (pays(watcher, watch, now)) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        watch->active = false;
        watch->window_ns /= 2;
        /* What comes between the last look and the unmasking brings an event of its own. */
        watch->ended(watch->ctx);
    }
}

/* After the descriptors of each turn, whatever came from them. (An idle watcher would be the wrong
 * place: it rests as long as any descriptor is ready.) */
static void on_check(struct ev_loop *ev, ev_check *check, int revents)
{
    struct watcher *watcher = check->data;

    count_add(&watcher->wakeups, 1);
    for (unsigned i = 0; watcher->active && i < LOOKS_PER_TURN && look(watcher); i++)
        __builtin_ia32_pause();
    if (watcher->active)
        expire(watcher);
    if (!watcher->active && ev_is_active(&watcher->awake))
        ev_idle_stop(ev, &watcher->awake);
}

static void on_awake(struct ev_loop *ev, ev_idle *awake, int revents)
{
}

/* Before the descriptors of each turn. */
static void on_begin(struct ev_loop *ev, ev_check *begin, int revents)
{
    struct watcher *watcher = begin->data;

    watcher->begun_ns = 0;
    if (watcher->untimed--)
        return;
    watcher->untimed = WATCH_TIMED - 1;
    watcher->begun_ns = now_ns(watcher);
}

void watcher_init(struct watcher *watcher, struct evloop *evloop, unsigned limit_us)
{
    *watcher = (struct watcher){.evloop = evloop, .limit_ns = (uint64_t)limit_us * 1000};
    ev_idle_init(&watcher->awake, on_awake);
    ev_check_init(&watcher->check, on_check);
    ev_set_priority(&watcher->check, EV_MINPRI);
    watcher->check.data = watcher;
    ev_check_start(evloop->ev, &watcher->check);
    ev_unref(evloop->ev);
    ev_check_init(&watcher->begin, on_begin);
    ev_set_priority(&watcher->begin, EV_MAXPRI);
    watcher->begin.data = watcher;
    ev_check_start(evloop->ev, &watcher->begin);
    ev_unref(evloop->ev);
}

void watcher_set_limit(struct watcher *watcher, unsigned limit_us)
{
    watcher->limit_ns = (uint64_t)limit_us * 1000;
}

void watcher_finish(struct watcher *watcher)
{
    ev_ref(watcher->evloop->ev);
    ev_check_stop(watcher->evloop->ev, &watcher->check);
    ev_ref(watcher->evloop->ev);
    ev_check_stop(watcher->evloop->ev, &watcher->begin);
    ev_idle_stop(watcher->evloop->ev, &watcher->awake);
}

void watch_init(struct watch *watch, const struct watcher *watcher,
                enum watch_found (*look_at)(void *ctx), void (*ended)(void *ctx), void *ctx)
{
    *watch =
        (struct watch){.look = look_at, .ended = ended, .ctx = ctx, .window_ns = watcher->limit_ns};
}

/* How long to watch after an event; 0: not. */
static uint64_t window(const struct watcher *watcher, struct watch *watch)
{
    if (watch->window_ns > watcher->limit_ns) /* which was lowered */
        watch->window_ns = watcher->limit_ns;
    if (watch->window_ns >= WINDOW_MIN_NS)
        return watch->window_ns;
    if (watcher->limit_ns < WINDOW_MIN_NS || ++watch->unwatched < UNWATCHED_MAX)
        return 0;
    watch->unwatched = 0;
    return watch->window_ns = watcher->limit_ns;
}

bool watch_after(struct watcher *watcher, struct watch *watch, enum watch_found found)
{
    uint64_t window_ns = found == WATCH_NOTHING ? 0 : window(watcher, watch);

    if (window_ns || (found == WATCH_MORE && !watch->active))
        watch->until_ns = now_ns(watcher) + window_ns;
    if (watch->active || (!window_ns && found != WATCH_MORE))
        return watch->active;
    watch->active = true;
    watch->next = watcher->active;
    watcher->active = watch;
    if (!ev_is_active(&watcher->awake))
        ev_idle_start(watcher->evloop->ev, &watcher->awake);
    return true;
}

void watch_stop(struct watcher *watcher, struct watch *watch)
{
    for (struct watch **at = &watcher->active; *at; at = &(*at)->next) {
        if (*at != watch)
            continue;
        *at = watch->next;
        break;
    }
    watch->active = false;
}
