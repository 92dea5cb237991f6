// SPDX-License-Identifier: GPL-2.0-or-later
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/offload.h"
#include "tests/unit/fake_loop.h"

#define CALLS 50

struct call {
    struct offload_op op; /* first */
    int gate;             /* descriptor that the call waits for; -1: none */
    int64_t number;
    pthread_t ran_on;
    sigset_t blocked;
    int64_t result;
    unsigned dones;
    bool last;
    unsigned again;
};

static struct fake_loop *fake;
static struct offload *offload;
static struct call calls[CALLS];
static int64_t order[CALLS];
static unsigned ran;
static bool all;

static int64_t run(struct offload_op *op)
{
    struct call *call = (struct call *)op;
    char byte;

    call->ran_on = pthread_self();
    pthread_sigmask(SIG_SETMASK, NULL, &call->blocked);
    if (call->gate >= 0 && read(call->gate, &byte, 1) != 1)
        return -1;
    order[ran++ % CALLS] = call->number;
    return call->number;
}

static void done(struct offload_op *op, int64_t result)
{
    struct call *call = (struct call *)op;

    call->result = result;
    call->dones++;
    if (call->again) {
        call->again--;
        offload_submit(offload, op);
    } else if (call->last) {
        all = true;
    }
}

static struct call *submit(unsigned i, int gate, bool last)
{
    calls[i] = (struct call){
        .op = {.run = run, .done = done}, .gate = gate, .number = (int64_t)i, .last = last};
    offload_submit(offload, &calls[i].op);
    return &calls[i];
}

static int setup(void **state)
{
    memset(calls, 0, sizeof(calls));
    ran = 0;
    all = false;
    fake = fake_loop_create();
    return offload_create(fake_loop(fake), &offload);
}

static int teardown(void **state)
{
    offload_destroy(offload);
    fake_loop_destroy(fake);
    return 0;
}

static void calls_run_elsewhere_and_are_done_here(void **state)
{
    struct call *call = submit(0, -1, true);

    assert_false(all); /* never inline */
    assert_true(fake_loop_until(fake, &all, 5000));
    assert_int_equal(call->dones, 1);
    assert_false(pthread_equal(call->ran_on, pthread_self()));
    assert_true(sigismember(&call->blocked, SIGTERM));
    assert_true(sigismember(&call->blocked, SIGCHLD));
}

static void the_loop_goes_on_while_a_call_blocks(void **state)
{
    int gate[2];

    assert_int_equal(pipe(gate), 0);
    submit(0, gate[0], true);
    for (unsigned i = 0; i < 5; i++)
        assert_false(fake_loop_turn(fake, 2)); /* nothing happens, and nothing is waited for */
    assert_false(all);
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_true(fake_loop_until(fake, &all, 5000));
    close(gate[0]);
    close(gate[1]);
}

static void calls_are_carried_out_in_order(void **state)
{
    int gate[2];

    assert_int_equal(pipe(gate), 0);
    submit(0, gate[0], false);
    for (unsigned i = 1; i < CALLS; i++)
        submit(i, -1, i == CALLS - 1);
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_true(fake_loop_until(fake, &all, 5000));
    assert_int_equal(ran, CALLS);
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(order[i], i);
        assert_int_equal(calls[i].result, i);
        assert_int_equal(calls[i].dones, 1);
    }
    close(gate[0]);
    close(gate[1]);
}

static void done_may_submit_again(void **state)
{
    struct call *call = submit(3, -1, true);

    call->again = 10;
    assert_true(fake_loop_until(fake, &all, 5000));
    assert_int_equal(call->dones, 11);
}

static void destroying_an_idle_one_ends_its_thread(void **state)
{
    offload_destroy(NULL);
    for (unsigned i = 0; i < 20; i++) {
        struct offload *other;
        assert_int_equal(offload_create(fake_loop(fake), &other), 0);
        offload_destroy(other);
    }
    assert_int_equal(fake_loop_watches(fake), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(calls_run_elsewhere_and_are_done_here),  T(the_loop_goes_on_while_a_call_blocks),
        T(calls_are_carried_out_in_order),         T(done_may_submit_again),
        T(destroying_an_idle_one_ends_its_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
