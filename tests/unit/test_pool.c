// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/pool.h"

static struct pool_waiter nobody; /* never has to wait */

struct waker {
    struct pool_waiter waiter;
    struct pool *pool;
    unsigned calls;
    struct pool_waiter *drop;
};

static void wake(void *arg)
{
    struct waker *waker = arg;
    waker->calls++;
    if (waker->drop)
        pool_unwait(waker->pool, waker->drop);
}

static struct waker make_waker(struct pool *pool)
{
    return (struct waker){.pool = pool};
}

/* In the queue for `count`. */
static void arm(struct waker *waker, uint32_t count)
{
    void *page[8];
    waker->waiter = (struct pool_waiter){.wake = wake, .arg = waker};
    assert_false(pool_take(waker->pool, count, page, &waker->waiter));
}

static void pages_are_aligned_and_distinct(void **state)
{
    struct pool *pool;
    assert_int_equal(pool_create(8, &pool), 0);
    void *page[8];
    assert_true(pool_take(pool, 8, page, &nobody));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal((uintptr_t)page[i] % POOL_PAGE, 0);
        memset(page[i], (int)i, POOL_PAGE);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(((uint8_t *)page[i])[0], i);
        assert_int_equal(((uint8_t *)page[i])[POOL_PAGE - 1], i);
        pool_give(pool, page[i]);
    }
    pool_destroy(pool);
}

static void take_is_all_or_none(void **state)
{
    struct pool *pool;
    assert_int_equal(pool_create(4, &pool), 0);
    void *page[5] = {0};
    assert_true(pool_take(pool, 3, page, &nobody));
    assert_false(pool_take(pool, 2, page + 3, &nobody));
    pool_unwait(pool, &nobody);
    assert_null(page[3]);
    assert_int_equal(pool_stats(pool)->free, 1);
    assert_int_equal(pool_stats(pool)->low_water, 1);
    assert_int_equal(pool_stats(pool)->exhausted, 1);
    assert_true(pool_take(pool, 1, page + 3, &nobody));
    assert_int_equal(pool_stats(pool)->low_water, 0);
    assert_true(pool_take(pool, 0, NULL, &nobody));
    for (unsigned i = 0; i < 4; i++)
        pool_give(pool, page[i]);
    assert_int_equal(pool_stats(pool)->free, 4);
    assert_int_equal(pool_stats(pool)->low_water, 0);
    pool_destroy(pool);
}

static struct pool *empty_pool(uint32_t pages, void **ret_page)
{
    struct pool *pool;
    assert_int_equal(pool_create(pages, &pool), 0);
    assert_true(pool_take(pool, pages, ret_page, &nobody));
    return pool;
}

static void a_waiter_is_woken_once_when_there_are_enough(void **state)
{
    void *page[2];
    struct pool *pool = empty_pool(2, page);
    struct waker a = make_waker(pool);
    arm(&a, 2);
    assert_false(pool_take(pool, 2, page, &a.waiter)); /* queued once */
    pool_give(pool, page[0]);
    assert_int_equal(a.calls, 0);
    pool_give(pool, page[1]);
    assert_int_equal(a.calls, 1);
    assert_true(pool_take(pool, 2, page, &a.waiter));
    pool_give(pool, page[0]);
    pool_give(pool, page[1]);
    assert_int_equal(a.calls, 1);
    pool_destroy(pool);
}

static void nobody_passes_one_who_wants_many(void **state)
{
    void *page[4];
    struct pool *pool = empty_pool(4, page);
    struct waker big = make_waker(pool), small = make_waker(pool), late = make_waker(pool);
    arm(&big, 4);
    arm(&small, 1);
    for (unsigned i = 0; i < 3; i++) {
        void *stolen;
        pool_give(pool, page[i]);
        assert_false(pool_take(pool, 1, &stolen, &late.waiter));
        pool_unwait(pool, &late.waiter);
    }
    assert_int_equal(big.calls + small.calls, 0);
    pool_give(pool, page[3]);
    assert_int_equal(big.calls, 1);
    assert_false(pool_take(pool, 1, page, &small.waiter)); /* they are kept for him */
    assert_true(pool_take(pool, 4, page, &big.waiter));
    assert_int_equal(small.calls, 0);
    pool_give(pool, page[0]);
    assert_int_equal(small.calls, 1);
    assert_true(pool_take(pool, 1, page, &small.waiter));
    for (unsigned i = 0; i < 4; i++)
        pool_give(pool, page[i]);
    pool_destroy(pool);
}

static void who_does_not_want_them_any_more_passes_his_turn_on(void **state)
{
    void *page[2];
    struct pool *pool = empty_pool(2, page);
    struct waker a = make_waker(pool), b = make_waker(pool), c = make_waker(pool);
    arm(&a, 1);
    arm(&b, 1);
    arm(&c, 2);
    pool_give(pool, page[0]);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 0);
    pool_pass(pool, &b.waiter); /* it is not his */
    assert_int_equal(b.calls, 0);
    pool_pass(pool, &a.waiter);
    assert_int_equal(b.calls, 1);
    pool_unwait(pool, &b.waiter); /* closed */
    assert_int_equal(c.calls, 0);
    pool_give(pool, page[1]);
    assert_int_equal(c.calls, 1);
    assert_true(pool_take(pool, 1, page, &c.waiter)); /* less than he said */
    pool_give(pool, page[0]);
    pool_destroy(pool);
}

static void who_comes_to_want_less_need_not_wait_for_all(void **state)
{
    void *page[4];
    struct pool *pool = empty_pool(4, page);
    struct waker a = make_waker(pool), b = make_waker(pool);
    arm(&a, 4);
    arm(&b, 1);
    pool_give(pool, page[0]);
    assert_int_equal(a.calls, 0);
    assert_false(pool_take(pool, 1, page, &a.waiter)); /* a reset, a shorter command */
    assert_int_equal(a.calls, 1);
    assert_true(pool_take(pool, 1, page, &a.waiter));
    pool_give(pool, page[1]);
    assert_int_equal(b.calls, 1);
    assert_false(pool_take(pool, 4, page, &b.waiter)); /* or more: his turn is over */
    pool_unwait(pool, &b.waiter);
    pool_give(pool, page[0]);
    pool_give(pool, page[2]);
    pool_give(pool, page[3]);
    pool_destroy(pool);
}

static void a_waiter_may_leave_from_anothers_wake(void **state)
{
    void *page;
    struct pool *pool = empty_pool(1, &page);
    struct waker a = make_waker(pool), b = make_waker(pool), c = make_waker(pool);
    arm(&a, 1);
    arm(&b, 1);
    arm(&c, 1);
    a.drop = &b.waiter;
    pool_give(pool, page);
    assert_int_equal(a.calls, 1);
    pool_pass(pool, &a.waiter);
    assert_int_equal(b.calls, 0);
    assert_int_equal(c.calls, 1);
    pool_unwait(pool, &b.waiter); /* not queued: nothing */
    pool_pass(pool, &c.waiter);
    pool_destroy(pool);
}

static void the_last_waiter_may_leave_and_others_still_queue(void **state)
{
    void *page;
    struct pool *pool = empty_pool(1, &page);
    struct waker a = make_waker(pool), b = make_waker(pool);
    arm(&a, 1);
    arm(&b, 1);
    pool_unwait(pool, &b.waiter);
    arm(&b, 1);
    pool_give(pool, page);
    assert_int_equal(a.calls, 1);
    pool_pass(pool, &a.waiter);
    assert_int_equal(b.calls, 1);
    pool_pass(pool, &b.waiter);
    pool_destroy(pool);
}

static void pages_that_cannot_be_locked_are_used_unlocked(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        struct pool *pool;
        /* Root ignores the limit: be somebody else. */
        if (setrlimit(RLIMIT_MEMLOCK, &none) || (geteuid() == 0 && setuid(65534)))
            _exit(2);
        if (mlock(&pool, sizeof(pool)) == 0) /* the address sanitizer's does nothing */
            _exit(77);
        if (pool_create(4, &pool) || pool_stats(pool)->locked)
            _exit(3);
        void *page;
        if (!pool_take(pool, 1, &page, &nobody))
            _exit(4);
        memset(page, 0, POOL_PAGE);
        pool_give(pool, page);
        pool_destroy(pool);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void destroying_nothing_is_fine(void **state)
{
    pool_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_aligned_and_distinct),
        cmocka_unit_test(take_is_all_or_none),
        cmocka_unit_test(a_waiter_is_woken_once_when_there_are_enough),
        cmocka_unit_test(nobody_passes_one_who_wants_many),
        cmocka_unit_test(who_does_not_want_them_any_more_passes_his_turn_on),
        cmocka_unit_test(who_comes_to_want_less_need_not_wait_for_all),
        cmocka_unit_test(a_waiter_may_leave_from_anothers_wake),
        cmocka_unit_test(the_last_waiter_may_leave_and_others_still_queue),
        cmocka_unit_test(pages_that_cannot_be_locked_are_used_unlocked),
        cmocka_unit_test(destroying_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
