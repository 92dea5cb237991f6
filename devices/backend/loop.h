/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop as backends see it: an ops table that the worker hands in (libev behind it; a test
 * or a mini-guest brings its own). One thread. None of these blocks.
 */
#ifndef IOEMUD_DEVICES_BACKEND_LOOP_H
#define IOEMUD_DEVICES_BACKEND_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_READ  1u
#define LOOP_WRITE 2u

struct loop_watch; /* the loop's */

/* Work for the end of the present turn of the loop. Embedded in its owner, zeroed, `run` and `arg`
 * set; one that is already queued is not queued again. */
struct loop_task {
    void (*run)(void *arg);
    void *arg;
    /* The loop's: */
    struct loop_task *next;
    bool queued;
    uint64_t turn; /* in which it ran last */
};

/* One shot. Embedded in its owner, zeroed, `expire` and `arg` set. */
struct loop_timer {
    void (*expire)(void *arg);
    void *arg;
    uint64_t deadline_ns; /* 0: not armed; the loop's, like what follows */
    union {
        struct loop_timer *next;
        uint64_t room[8]; /* a libev timer's */
    } impl;
};

/* Something that can be found done by a look at memory. A watched descriptor tells of it, too; but
 * a loop that happens to be awake and to watch guests looks as well, and finds it sooner. Embedded
 * in its owner, zeroed, `look` and `arg` set. */
struct loop_look {
    void (*look)(void *arg);
    void *arg;
    struct loop_look *next;
};

struct loop_ops {
    /* `fd` stays the caller's. `events` may be 0 to begin with. -ENOMEM. */
    int (*watch)(void *ctx, int fd, unsigned events, void (*cb)(void *arg, unsigned events),
                 void *arg, struct loop_watch **ret_watch);
    void (*rewatch)(void *ctx, struct loop_watch *watch, unsigned events);
    void (*unwatch)(void *ctx, struct loop_watch *watch); /* NULL is fine; from its own cb too */
    /* After all the work of this turn, before the loop sleeps. A task may defer others, which may
     * run in this turn yet, and itself: it then runs in the next, which starts without sleeping.
     * Its memory may be gone after run(). */
    void (*defer)(void *ctx, struct loop_task *task);
    void (*undefer)(void *ctx, struct loop_task *task);
    void (*add_look)(void *ctx, struct loop_look *look);
    void (*remove_look)(void *ctx, struct loop_look *look); /* not from look() */
    uint64_t (*now_ns)(void *ctx);                          /* CLOCK_MONOTONIC */
    /* Arming an armed timer moves it; it expires from the loop, never inline. One that is armed
     * for the past while timers expire waits for the next turn. */
    void (*arm)(void *ctx, struct loop_timer *timer, uint64_t deadline_ns);
    void (*disarm)(void *ctx, struct loop_timer *timer);
};

struct loop {
    const struct loop_ops *ops;
    void *ctx;
};

#endif
