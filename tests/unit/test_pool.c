// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

/* Shares: who waits with which. */
static struct waker make_sharer(struct pool *pool, struct pool_share *share)
{
    struct waker waker = make_waker(pool);
    waker.waiter.share = share;
    return waker;
}

static void wait_for(struct waker *waker, uint32_t count, void **page)
{
    waker->waiter.wake = wake;
    waker->waiter.arg = waker;
    assert_false(pool_take(waker->pool, count, page, &waker->waiter));
}

static void give(struct pool *pool, void **page, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        pool_give(pool, page[i]);
}

/* Its disk hangs and it keeps all that it got. */
static void a_guest_that_keeps_its_pages_leaves_others_theirs(void **state)
{
    struct pool *pool;
    struct pool_share *share[3];
    struct waker hangs, other, third;
    void *kept[256], *page[40], *more[40];
    uint32_t n = 0;

    assert_int_equal(pool_create(256, &pool), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pool_share_create(pool, 8, &share[i]), 0);
    assert_int_equal(pool_stats(pool)->guaranteed, POOL_GUARANTEE);
    hangs = make_sharer(pool, share[0]);
    other = make_sharer(pool, share[1]);
    third = make_sharer(pool, share[2]);
    while (pool_take(pool, 8, kept + n, &hangs.waiter))
        n += 8;
    assert_int_equal(n, 256 - 2 * (8 + POOL_GUARANTEE)); /* all but what is the others' */
    assert_int_equal(pool_share_held(share[0]), n);
    for (unsigned round = 0; round < 5; round++) { /* it waits before them, and they pass */
        assert_true(pool_take(pool, 32, page, &other.waiter));
        assert_true(pool_take(pool, 32, more, &third.waiter));
        give(pool, page, 32);
        give(pool, more, 32);
    }
    /* They keep theirs too. */
    assert_true(pool_take(pool, 32, page, &other.waiter));
    assert_true(pool_take(pool, 8, page + 32, &other.waiter));
    wait_for(&other, 1, more);
    assert_true(pool_take(pool, 40, more, &third.waiter));
    assert_int_equal(pool_stats(pool)->free, 0);
    assert_int_equal(pool_stats(pool)->waiting, 2);
    pool_unwait(pool, &other.waiter);
    pool_unwait(pool, &hangs.waiter);
    give(pool, page, 40);
    give(pool, more, 40);
    give(pool, kept, n);
    for (unsigned i = 0; i < 3; i++)
        pool_share_close(share[i]);
    pool_destroy(pool);
}

static void who_waits_with_less_than_a_fair_part_goes_first(void **state)
{
    struct pool *pool;
    struct pool_share *rich, *poor;
    struct waker a, b;
    void *page[128], *got[64];
    uint32_t n = 0;

    assert_int_equal(pool_create(128, &pool), 0);
    assert_int_equal(pool_share_create(pool, 0, &rich), 0);
    a = make_sharer(pool, rich);
    for (; n < 96; n += 8)
        assert_true(pool_take(pool, 8, page + n, &a.waiter));
    assert_int_equal(pool_share_create(pool, 0, &poor), 0);
    b = make_sharer(pool, poor);
    assert_true(pool_take(pool, 32, got, &b.waiter));
    wait_for(&a, 16, page + n);
    wait_for(&b, 16, got + 32);
    assert_int_equal(b.calls, 0);
    give(pool, page, 16);
    assert_int_equal(b.calls, 1);
    assert_int_equal(a.calls, 0);
    assert_true(pool_take(pool, 16, got + 32, &b.waiter));
    give(pool, page + 16, 32);
    assert_int_equal(a.calls, 1);
    assert_true(pool_take(pool, 16, page, &a.waiter));
    give(pool, page, 16);
    give(pool, page + 48, n - 48);
    give(pool, got, 48);
    pool_share_close(rich);
    pool_share_close(poor);
    pool_destroy(pool);
}

static void what_nobody_needs_is_anybodys(void **state)
{
    struct pool *pool;
    struct pool_share *share[2];
    struct waker a;
    void *page[256];

    assert_int_equal(pool_create(256, &pool), 0);
    assert_int_equal(pool_share_create(pool, 0, &share[0]), 0);
    a = make_sharer(pool, share[0]);
    assert_true(pool_take(pool, 256, page, &a.waiter)); /* alone: all of it */
    give(pool, page, 256);
    assert_int_equal(pool_share_create(pool, 0, &share[1]), 0);
    assert_true(pool_take(pool, 256 - POOL_GUARANTEE, page, &a.waiter));
    wait_for(&a, 1, page);
    pool_share_close(share[1]); /* gone: its guarantee as well */
    assert_int_equal(a.calls, 1);
    assert_true(pool_take(pool, POOL_GUARANTEE, page + 256 - POOL_GUARANTEE, &a.waiter));
    give(pool, page, 256);
    pool_share_close(share[0]);
    pool_destroy(pool);
}

static void a_share_is_closed_while_its_pages_are_out(void **state)
{
    struct pool *pool;
    struct pool_share *share;
    struct waker a;
    void *page[8];

    assert_int_equal(pool_create(64, &pool), 0);
    assert_int_equal(pool_share_create(pool, 8, &share), 0);
    a = make_sharer(pool, share);
    assert_true(pool_take(pool, 8, page, &a.waiter));
    pool_share_close(share);
    pool_share_close(NULL);
    assert_int_equal(pool_stats(pool)->shares, 0);
    give(pool, page, 8);
    pool_destroy(pool);
}

/* A largest request is possible however many there are and whatever they may hold. */
static void with_very_many_guests_the_largest_request_still_fits(void **state)
{
    struct pool *pool;
    struct pool_share *share[60];
    struct waker a;
    void *page[60][8], *large[32];

    assert_int_equal(pool_create(60 * 8 + 32, &pool), 0);
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(pool_share_create(pool, 8, &share[i]), 0);
    assert_int_equal(pool_stats(pool)->guaranteed, 0);
    for (unsigned i = 0; i < 60; i++) {
        a = make_sharer(pool, share[i]);
        assert_true(pool_take(pool, 32, large, &a.waiter));
        give(pool, large, 32);
        assert_true(pool_take(pool, 8, page[i], &a.waiter)); /* held for ever */
    }
    for (unsigned i = 0; i < 60; i++) {
        a = make_sharer(pool, share[i]);
        assert_true(pool_take(pool, 32, large, &a.waiter));
        give(pool, large, 32);
    }
    for (unsigned i = 0; i < 60; i++) {
        give(pool, page[i], 8);
        pool_share_close(share[i]);
    }
    pool_destroy(pool);
}

/* Random guests: nothing is lost, and a guest that wants what it is guaranteed never waits. */
static void guarantees_hold_whatever_others_do(void **state)
{
    enum { GUESTS = 6, PAGES = 400 };
    struct pool *pool;
    struct pool_share *share[GUESTS];
    struct waker waker[GUESTS];
    void *page[GUESTS][PAGES];
    uint32_t held[GUESTS] = {0}, guaranteed;
    uint64_t seed = 5;

    assert_int_equal(pool_create(PAGES, &pool), 0);
    for (unsigned i = 0; i < GUESTS; i++)
        assert_int_equal(pool_share_create(pool, i, &share[i]), 0);
    for (unsigned i = 0; i < GUESTS; i++)
        waker[i] = make_sharer(pool, share[i]);
    guaranteed = pool_stats(pool)->guaranteed;
    assert_true(guaranteed >= 16);
    for (unsigned step = 0; step < 100000; step++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        unsigned g = (unsigned)(seed >> 40) % GUESTS;
        uint32_t count = 1 + (uint32_t)(seed >> 50) % 40;
        if (seed >> 33 & 1) {
            waker[g].waiter.wake = wake;
            waker[g].waiter.arg = &waker[g];
            bool sure = held[g] + count <= guaranteed + g && !pool_stats(pool)->waiting;
            bool got = pool_take(pool, count, page[g] + held[g], &waker[g].waiter);
            assert_true(got || !sure);
            held[g] += got ? count : 0;
            if (!got)
                pool_unwait(pool, &waker[g].waiter);
        } else {
            for (; count && held[g]; count--)
                pool_give(pool, page[g][--held[g]]);
        }
        assert_int_equal(pool_share_held(share[g]), held[g]);
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        give(pool, page[i], held[i]);
        pool_share_close(share[i]);
    }
    assert_int_equal(pool_stats(pool)->free, PAGES);
    pool_destroy(pool);
}

static void huge_pages_are_used_where_there_are_some(void **state)
{
    struct pool *pool;
    struct pool_waiter waiter = {0};
    void *page[1024];
    FILE *file = fopen("/proc/sys/vm/nr_hugepages", "r");
    unsigned reserved = 0;

    if (file && fscanf(file, "%u", &reserved) != 1)
        reserved = 0;
    if (file)
        fclose(file);
    assert_int_equal(pool_create(1024, &pool), 0);
    if (!reserved)
        assert_false(pool_stats(pool)->huge);
    assert_true(pool_take(pool, 1024, page, &waiter));
    for (unsigned i = 0; i < 1024; i++) {
        assert_int_equal((uintptr_t)page[i] % POOL_PAGE, 0);
        memset(page[i], 1, POOL_PAGE);
    }
    give(pool, page, 1024);
    pool_destroy(pool);
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
        cmocka_unit_test(a_guest_that_keeps_its_pages_leaves_others_theirs),
        cmocka_unit_test(who_waits_with_less_than_a_fair_part_goes_first),
        cmocka_unit_test(what_nobody_needs_is_anybodys),
        cmocka_unit_test(a_share_is_closed_while_its_pages_are_out),
        cmocka_unit_test(with_very_many_guests_the_largest_request_still_fits),
        cmocka_unit_test(guarantees_hold_whatever_others_do),
        cmocka_unit_test(huge_pages_are_used_where_there_are_some),
        cmocka_unit_test(destroying_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
