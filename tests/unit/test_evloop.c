/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/evloop.h"
#include "daemon/mailbox.h"

struct fixture {
    struct ev_loop *ev;
    struct evloop evloop;
    struct loop_task a, b;
    unsigned ran_a, ran_b, events;
    bool again, drop_b, a_defers_b, b_defers_a;
};

static void run_a(void *arg)
{
    struct fixture *f = arg;

    f->ran_a++;
    if (f->again)
        f->evloop.loop.ops->defer(&f->evloop, &f->a);
    if (f->drop_b)
        f->evloop.loop.ops->undefer(&f->evloop, &f->b);
    if (f->a_defers_b)
        f->evloop.loop.ops->defer(&f->evloop, &f->b);
}

static void run_b(void *arg)
{
    struct fixture *f = arg;

    f->ran_b++;
    if (f->b_defers_a)
        f->evloop.loop.ops->defer(&f->evloop, &f->a);
}

static void on_events(void *arg, unsigned events)
{
    ((struct fixture *)arg)->events |= events;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    memset(f, 0, sizeof(*f));
    f->ev = ev_loop_new(0);
    evloop_init(&f->evloop, f->ev);
    f->a = (struct loop_task){.run = run_a, .arg = f};
    f->b = (struct loop_task){.run = run_b, .arg = f};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    evloop_finish(&f->evloop);
    ev_loop_destroy(f->ev);
    return 0;
}

static void deferred_work_runs_once_at_the_end_of_the_turn(void **state)
{
    struct fixture *f = *state;
    const struct loop_ops *ops = f->evloop.loop.ops;

    ops->defer(&f->evloop, &f->a);
    ops->defer(&f->evloop, &f->a);
    ops->defer(&f->evloop, &f->b);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->ran_a, 1);
    assert_int_equal(f->ran_b, 1);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->ran_a, 1);
}

static void deferring_again_waits_for_the_next_turn_and_does_not_sleep(void **state)
{
    struct fixture *f = *state;

    f->again = true;
    f->evloop.loop.ops->defer(&f->evloop, &f->a);
    ev_run(f->ev, EVRUN_ONCE); /* would hang if the loop slept */
    assert_int_equal(f->ran_a, 1);
    f->again = false;
    ev_run(f->ev, EVRUN_ONCE);
    assert_int_equal(f->ran_a, 2);
}

static void what_a_task_defers_runs_in_the_same_turn(void **state)
{
    struct fixture *f = *state;

    f->a_defers_b = true;
    f->evloop.loop.ops->defer(&f->evloop, &f->a);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->ran_a, 1);
    assert_int_equal(f->ran_b, 1);
    assert_false(f->b.queued);
}

static void tasks_that_defer_each_other_run_once_a_turn(void **state)
{
    struct fixture *f = *state;

    f->a_defers_b = f->b_defers_a = true;
    f->evloop.loop.ops->defer(&f->evloop, &f->a);
    for (unsigned turn = 1; turn <= 3; turn++) {
        ev_run(f->ev, EVRUN_ONCE); /* does not sleep either */
        assert_int_equal(f->ran_a, turn);
        assert_int_equal(f->ran_b, turn);
    }
    f->a_defers_b = false;
    ev_run(f->ev, EVRUN_ONCE);
    assert_int_equal(f->ran_a, 4);
    assert_int_equal(f->ran_b, 3);
    assert_false(f->b.queued);
}

static void undeferring_works_from_another_task(void **state)
{
    struct fixture *f = *state;

    f->drop_b = true;
    f->evloop.loop.ops->defer(&f->evloop, &f->a);
    f->evloop.loop.ops->defer(&f->evloop, &f->b);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->ran_b, 0);
    f->evloop.loop.ops->defer(&f->evloop, &f->b); /* the list is whole */
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->ran_b, 1);
}

static void watches_report_what_they_are_asked_for(void **state)
{
    struct fixture *f = *state;
    const struct loop_ops *ops = f->evloop.loop.ops;
    struct loop_watch *watch;
    int pipes[2];

    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(ops->watch(&f->evloop, pipes[0], 0, on_events, f, &watch), 0);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->events, 0);
    ops->rewatch(&f->evloop, watch, LOOP_READ);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->events, LOOP_READ);
    ops->unwatch(&f->evloop, watch);
    ops->unwatch(&f->evloop, NULL);
    close(pipes[0]);
    close(pipes[1]);
}

static void timers_expire_once_move_and_are_disarmed(void **state)
{
    struct fixture *f = *state;
    const struct loop_ops *ops = f->evloop.loop.ops;
    struct loop_timer first = {.expire = run_a, .arg = f}, second = {.expire = run_b, .arg = f};
    uint64_t start = ops->now_ns(&f->evloop);

    ops->arm(&f->evloop, &first, start + UINT64_C(3600000000000));
    ops->arm(&f->evloop, &second, start + 5000000);
    ops->arm(&f->evloop, &first, start + 10000000); /* moved */
    while (!f->ran_a)
        ev_run(f->ev, EVRUN_ONCE | EVRUN_NOWAIT);
    assert_true(ops->now_ns(&f->evloop) - start >= 9000000);
    assert_int_equal(f->ran_b, 1);
    assert_int_equal(first.deadline_ns + second.deadline_ns, 0);
    ops->arm(&f->evloop, &first, 1); /* long past: the next turn */
    assert_int_equal(f->ran_a, 1);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->ran_a, 2);
    ops->arm(&f->evloop, &first, 1);
    ops->disarm(&f->evloop, &first);
    ops->disarm(&f->evloop, &first);
    ev_run(f->ev, EVRUN_NOWAIT);
    assert_int_equal(f->ran_a, 2);
    ops->arm(&f->evloop, &first, UINT64_MAX);
    ev_run(f->ev, 0); /* returns: timers keep no loop alive */
    ops->disarm(&f->evloop, &first);
}

struct letter {
    struct mail mail;
    unsigned *order, place;
    struct mailbox *forward;
};

static void read_letter(struct mail *mail)
{
    struct letter *letter = (struct letter *)mail;

    letter->place = ++*letter->order;
    if (letter->forward) {
        struct mailbox *to = letter->forward;

        letter->forward = NULL;
        mailbox_post(to, mail);
    }
}

static void mail_runs_in_order_and_may_be_posted_again(void **state)
{
    struct fixture *f = *state;
    struct mailbox mailbox;
    unsigned order = 0;
    struct letter first = {{read_letter, NULL}, &order, 0, &mailbox};
    struct letter second = {{read_letter, NULL}, &order, 0, NULL};

    mailbox_init(&mailbox, f->ev);
    mailbox_post(&mailbox, &first.mail);
    mailbox_post(&mailbox, &second.mail);
    ev_run(f->ev, EVRUN_ONCE);
    assert_int_equal(first.place, 1);
    assert_int_equal(second.place, 2);
    ev_run(f->ev, EVRUN_ONCE);
    assert_int_equal(first.place, 3);
    mailbox_finish(&mailbox);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(deferred_work_runs_once_at_the_end_of_the_turn),
        TEST(deferring_again_waits_for_the_next_turn_and_does_not_sleep),
        TEST(what_a_task_defers_runs_in_the_same_turn),
        TEST(tasks_that_defer_each_other_run_once_a_turn),
        TEST(undeferring_works_from_another_task),
        TEST(watches_report_what_they_are_asked_for),
        TEST(timers_expire_once_move_and_are_disarmed),
        TEST(mail_runs_in_order_and_may_be_posted_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
