/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/watch.h"

#define LIMIT_US 200u

struct guest {
    struct watch watch;
    unsigned looks, ended;
    enum watch_found finds;
    unsigned finds_left; /* then nothing */
};

struct fixture {
    struct ev_loop *ev;
    struct evloop evloop;
    struct watcher watcher;
    struct guest a, b;
    struct loop_task task;
    unsigned task_after_looks;
};

static enum watch_found on_look(void *ctx)
{
    struct guest *guest = ctx;

    guest->looks++;
    if (!guest->finds_left)
        return WATCH_NOTHING;
    guest->finds_left--;
    return guest->finds;
}

static void on_ended(void *ctx)
{
    ((struct guest *)ctx)->ended++;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    memset(f, 0, sizeof(*f));
    f->ev = ev_loop_new(0);
    evloop_init(&f->evloop, f->ev);
    watcher_init(&f->watcher, &f->evloop, LIMIT_US);
    watch_init(&f->a.watch, &f->watcher, on_look, on_ended, &f->a);
    watch_init(&f->b.watch, &f->watcher, on_look, on_ended, &f->b);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    watcher_finish(&f->watcher);
    evloop_finish(&f->evloop);
    ev_loop_destroy(f->ev);
    return 0;
}

/* Turns that do not sleep: with somebody to watch, ev_run() would not either. */
static void turn(struct fixture *f)
{
    ev_run(f->ev, EVRUN_NOWAIT);
}

static void until_ended(struct fixture *f, const struct guest *guest)
{
    for (unsigned i = 0; !guest->ended; i++) {
        assert_true(i < 1000000);
        ev_run(f->ev, EVRUN_ONCE); /* hangs if the loop sleeps while it should watch */
    }
}

static void a_served_guest_is_watched_for_a_while_and_then_let_go(void **state)
{
    struct fixture *f = *state;

    assert_true(watch_after(&f->watcher, &f->a.watch, WATCH_SERVED));
    until_ended(f, &f->a);
    assert_true(f->a.looks > 0);
    assert_int_equal(f->a.ended, 1);
    assert_int_equal(f->watcher.polls_hit, 0);
    unsigned looks = f->a.looks;
    turn(f);
    assert_int_equal(f->a.looks, looks);
}

static void an_event_for_nothing_is_no_reason_to_watch(void **state)
{
    struct fixture *f = *state;

    assert_false(watch_after(&f->watcher, &f->a.watch, WATCH_NOTHING));
    turn(f);
    assert_int_equal(f->a.looks, 0);
}

static void what_is_found_prolongs_the_watch(void **state)
{
    struct fixture *f = *state;

    f->a.watch.window_ns = 10000;
    f->a.finds = WATCH_SERVED;
    f->a.finds_left = 5;
    watch_after(&f->watcher, &f->a.watch, WATCH_SERVED);
    turn(f);
    assert_true(f->a.watch.window_ns > 10000);
    until_ended(f, &f->a);
    assert_int_equal(f->watcher.polls_hit, 5);
    assert_true(f->a.watch.window_ns <= LIMIT_US * 1000);
}

static void watching_for_nothing_is_given_up_and_tried_again_later(void **state)
{
    struct fixture *f = *state;
    unsigned events = 0;

    while (watch_after(&f->watcher, &f->a.watch, WATCH_SERVED)) {
        assert_true(++events < 20);
        until_ended(f, &f->a);
        f->a.ended = 0;
    }
    for (events = 0; !watch_after(&f->watcher, &f->a.watch, WATCH_SERVED); events++)
        assert_true(events < 100);
    assert_true(events > 10);
    watch_stop(&f->watcher, &f->a.watch);
}

static void one_who_has_had_his_share_is_looked_at_again_after_the_others(void **state)
{
    struct fixture *f = *state;

    f->a.finds = WATCH_MORE;
    f->a.finds_left = 3;
    f->a.watch.window_ns = 0; /* watching was given up, but there is more */
    assert_true(watch_after(&f->watcher, &f->a.watch, WATCH_MORE));
    watch_after(&f->watcher, &f->b.watch, WATCH_SERVED);
    turn(f);
    assert_int_equal(f->a.looks, 1); /* the turn ended for the descriptors */
    assert_int_equal(f->b.looks, 1);
    turn(f);
    assert_int_equal(f->a.looks, 2);
    watch_stop(&f->watcher, &f->a.watch);
    watch_stop(&f->watcher, &f->b.watch);
}

static void on_task(void *arg)
{
    struct fixture *f = arg;

    f->task_after_looks = f->a.looks;
}

static enum watch_found look_and_defer(void *ctx)
{
    struct guest *guest = ctx;
    struct fixture *f = (struct fixture *)((char *)guest - offsetof(struct fixture, a));

    if (guest->looks++ == 2)
        f->evloop.loop.ops->defer(f->evloop.loop.ctx, &f->task);
    return WATCH_NOTHING;
}

static void work_for_the_end_of_the_turn_ends_the_looking(void **state)
{
    struct fixture *f = *state;

    f->task = (struct loop_task){.run = on_task, .arg = f};
    watch_init(&f->a.watch, &f->watcher, look_and_defer, on_ended, &f->a);
    watch_after(&f->watcher, &f->a.watch, WATCH_SERVED);
    turn(f);
    assert_int_equal(f->a.looks, 3);
    turn(f);
    assert_int_equal(f->task_after_looks, 3);
    watch_stop(&f->watcher, &f->a.watch);
}

static void stopping_tells_nobody(void **state)
{
    struct fixture *f = *state;

    watch_after(&f->watcher, &f->a.watch, WATCH_SERVED);
    watch_after(&f->watcher, &f->b.watch, WATCH_SERVED);
    watch_stop(&f->watcher, &f->a.watch);
    watch_stop(&f->watcher, &f->a.watch);
    until_ended(f, &f->b);
    assert_int_equal(f->a.looks + f->a.ended, 0);
}

static void a_limit_that_is_lowered_holds_at_once(void **state)
{
    struct fixture *f = *state;

    watcher_set_limit(&f->watcher, 0);
    assert_false(watch_after(&f->watcher, &f->a.watch, WATCH_SERVED));
    watcher_set_limit(&f->watcher, LIMIT_US / 2);
    for (unsigned i = 0; i < 64 && !f->a.watch.active; i++)
        watch_after(&f->watcher, &f->a.watch, WATCH_SERVED);
    assert_true(f->a.watch.active);
    assert_true(f->a.watch.window_ns <= LIMIT_US / 2 * 1000);
    watch_stop(&f->watcher, &f->a.watch);
}

static void with_a_limit_of_nothing_nobody_is_watched(void **state)
{
    struct fixture *f = *state;

    f->watcher.limit_ns = 0;
    watch_init(&f->a.watch, &f->watcher, on_look, on_ended, &f->a);
    for (unsigned i = 0; i < 1000; i++)
        assert_false(watch_after(&f->watcher, &f->a.watch, WATCH_SERVED));
}

static void count_look(void *arg)
{
    ++*(unsigned *)arg;
}

static void what_else_is_in_memory_is_looked_at_while_a_guest_is_watched(void **state)
{
    struct fixture *f = *state;
    const struct loop *loop = &f->evloop.loop;
    unsigned looks = 0;
    struct loop_look look = {.look = count_look, .arg = &looks};

    loop->ops->add_look(loop->ctx, &look);
    turn(f);
    assert_int_equal(looks, 0);
    watch_after(&f->watcher, &f->a.watch, WATCH_SERVED);
    until_ended(f, &f->a);
    assert_int_equal(looks, f->a.looks);
    loop->ops->remove_look(loop->ctx, &look);
}

static void one_turn_in_so_many_is_timed_from_its_beginning(void **state)
{
    struct fixture *f = *state;
    unsigned timed = 0;

    for (unsigned i = 0; i < 3 * WATCH_TIMED; i++) {
        turn(f);
        timed += f->watcher.begun_ns != 0;
        assert_int_equal(f->watcher.begun_ns != 0, i % WATCH_TIMED == 0);
    }
    assert_int_equal(timed, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_served_guest_is_watched_for_a_while_and_then_let_go),
        TEST(an_event_for_nothing_is_no_reason_to_watch),
        TEST(what_is_found_prolongs_the_watch),
        TEST(watching_for_nothing_is_given_up_and_tried_again_later),
        TEST(one_who_has_had_his_share_is_looked_at_again_after_the_others),
        TEST(work_for_the_end_of_the_turn_ends_the_looking),
        TEST(a_limit_that_is_lowered_holds_at_once),
        TEST(what_else_is_in_memory_is_looked_at_while_a_guest_is_watched),
        TEST(stopping_tells_nobody),
        TEST(with_a_limit_of_nothing_nobody_is_watched),
        TEST(one_turn_in_so_many_is_timed_from_its_beginning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
