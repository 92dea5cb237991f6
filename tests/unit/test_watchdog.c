/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/watchdog.h"

#define WORKERS    3u
#define INTERVAL_S 0.02

/* Workers with a thread each, one of which can be made to hang in what it is doing. */
struct worker {
    struct ev_loop *ev;
    struct mailbox mailbox;
    pthread_t thread;
    struct mail hang, end;
    pthread_mutex_t held; /* by the test, while the worker is to hang */
    bool hanging;
    unsigned hangs, goes_on; /* as was told; on a slow machine of one that does not hang, too */
};

struct fixture {
    struct ev_loop *ev;
    struct mailbox control;
    struct watchdog watchdog;
    struct worker worker[WORKERS];
    unsigned fed;
    ev_timer limit;
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;

    ev_run(worker->ev, 0);
    return NULL;
}

static void on_hang(struct mail *mail)
{
    struct worker *worker = (struct worker *)((char *)mail - offsetof(struct worker, hang));

    pthread_mutex_lock(&worker->held);
    pthread_mutex_unlock(&worker->held);
}

static void on_end(struct mail *mail)
{
    struct worker *worker = (struct worker *)((char *)mail - offsetof(struct worker, end));

    ev_break(worker->ev, EVBREAK_ALL);
}

static void on_feed(void *ctx)
{
    ((struct fixture *)ctx)->fed++;
}

static void on_late(void *ctx, unsigned worker, bool hangs)
{
    struct fixture *f = ctx;

    if (hangs)
        f->worker[worker].hangs++;
    else
        f->worker[worker].goes_on++;
}

static void hang(struct worker *worker)
{
    pthread_mutex_lock(&worker->held);
    worker->hanging = true;
    mailbox_post(&worker->mailbox, &worker->hang);
}

static void go_on(struct worker *worker)
{
    worker->hanging = false;
    pthread_mutex_unlock(&worker->held);
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    memset(f, 0, sizeof(*f));
    f->ev = ev_loop_new(0);
    mailbox_init(&f->control, f->ev);
    f->watchdog = (struct watchdog){
        .ev = f->ev, .control = &f->control, .feed = on_feed, .late = on_late, .ctx = f};
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &f->worker[i];

        worker->hang.run = on_hang;
        worker->end.run = on_end;
        pthread_mutex_init(&worker->held, NULL);
        worker->ev = ev_loop_new(0);
        mailbox_init(&worker->mailbox, worker->ev);
        watchdog_add(&f->watchdog, &worker->mailbox);
        pthread_create(&worker->thread, NULL, worker_main, worker);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &f->worker[i];

        if (worker->hanging) /* a test has failed */
            go_on(worker);
        mailbox_post(&worker->mailbox, &worker->end);
        pthread_join(worker->thread, NULL);
        mailbox_finish(&worker->mailbox);
        ev_loop_destroy(worker->ev);
        pthread_mutex_destroy(&worker->held);
    }
    watchdog_stop(&f->watchdog);
    mailbox_finish(&f->control);
    ev_loop_destroy(f->ev);
    return 0;
}

static void on_limit(struct ev_loop *ev, ev_timer *timer, int revents)
{
    ev_break(ev, EVBREAK_ALL);
}

static void run_for(struct fixture *f, double seconds)
{
    ev_now_update(f->ev);
    ev_timer_init(&f->limit, on_limit, seconds, 0);
    ev_timer_start(f->ev, &f->limit);
    ev_run(f->ev, 0);
}

/* However slow the machine is; gives up after a minute. */
static void run_until(struct fixture *f, const unsigned *count, unsigned wanted)
{
    for (unsigned i = 0; *count < wanted; i++) {
        assert_true(i < 3000);
        run_for(f, INTERVAL_S);
    }
}

static void while_all_workers_answer_it_is_fed(void **state)
{
    struct fixture *f = *state;

    watchdog_start(&f->watchdog, INTERVAL_S);
    assert_int_equal(f->fed, 1); /* at once */
    run_until(f, &f->fed, 5);
}

static void a_worker_that_hangs_stops_the_feeding(void **state)
{
    struct fixture *f = *state;
    struct worker *hung = &f->worker[1];
    unsigned fed;

    hang(hung);
    watchdog_start(&f->watchdog, INTERVAL_S);
    run_until(f, &hung->hangs, 1);
    fed = f->fed;
    assert_int_equal(fed, 1); /* at the start alone */
    run_for(f, 20 * INTERVAL_S);
    assert_int_equal(f->fed, fed);
    assert_int_equal(hung->hangs, 1); /* told once */
    assert_int_equal(hung->goes_on, 0);

    go_on(hung);
    run_until(f, &hung->goes_on, 1);
    run_until(f, &f->fed, fed + 2);
}

/* Two of three answer, time and again: that does not add up to all. */
static void the_others_answers_do_not_count_for_the_one_that_hangs(void **state)
{
    struct fixture *f = *state;

    hang(&f->worker[0]);
    hang(&f->worker[2]);
    watchdog_start(&f->watchdog, INTERVAL_S);
    run_until(f, &f->worker[0].hangs, 1);
    run_until(f, &f->worker[2].hangs, 1);
    go_on(&f->worker[0]);
    run_until(f, &f->worker[0].goes_on, 1);
    run_for(f, 10 * INTERVAL_S);
    assert_int_equal(f->fed, 1);
    go_on(&f->worker[2]);
    run_until(f, &f->fed, 2);
}

static void without_worker_threads_the_main_loop_alone_feeds(void **state)
{
    struct fixture *f = *state;

    f->watchdog.n_workers = 0;
    watchdog_start(&f->watchdog, INTERVAL_S);
    assert_int_equal(f->fed, 1);
    run_until(f, &f->fed, 4);
}

static void nothing_happens_between_two_intervals(void **state)
{
    struct fixture *f = *state;
    unsigned before;

    watchdog_start(&f->watchdog, 1000);
    before = ev_iteration(f->ev);
    run_for(f, 0.2);
    assert_int_equal(f->fed, 1);
    assert_in_range(ev_iteration(f->ev) - before, 0, 2); /* the test's own timer */
}

static void one_that_was_never_started_can_be_stopped(void **state)
{
    struct watchdog none = {0};

    watchdog_stop(&none);
    watchdog_stop(&((struct fixture *)*state)->watchdog);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(while_all_workers_answer_it_is_fed),
        TEST(a_worker_that_hangs_stops_the_feeding),
        TEST(the_others_answers_do_not_count_for_the_one_that_hangs),
        TEST(without_worker_threads_the_main_loop_alone_feeds),
        TEST(nothing_happens_between_two_intervals),
        TEST(one_that_was_never_started_can_be_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
