// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads into pages that are not the pool's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/backend/blk_ops.h"
#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "tests/unit/fake_loop.h"

#define SECTORS 256u
#define LENT    4u

static uint8_t data[SECTORS * BLK_SECTOR];
static uint8_t page[LENT + 1][POOL_PAGE];
static bool out[LENT + 1];
static struct fake_loop *loop;
static struct pool *pool;
static struct blk_image *image;
static struct blk *blk;
static struct blk_req *done_req;
static int done_error;
static bool closed;

static void on_done(void *owner, struct blk_req *req, int error)
{
    done_req = req;
    done_error = error;
}

static void on_closed(void *arg)
{
    closed = true;
}

static const struct blk_client_ops client = {.done = on_done};

static void give(void *arg, uint8_t *given)
{
    size_t n = (size_t)(given - page[0]) / POOL_PAGE;

    assert_ptr_equal(arg, page);
    assert_true(n <= LENT && out[n]);
    out[n] = false;
}

static const struct blk_lender lender = {.give = give, .arg = page};

static int setup(void **state)
{
    loop = fake_loop_create();
    assert_int_equal(pool_create(BLK_REQ_PAGES, &pool), 0);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / BLK_SECTOR);
    assert_int_equal(mem_open(data, SECTORS, false, fake_loop(loop), pool, &image), 0);
    assert_int_equal(blk_open(image, 2, &blk), 0);
    blk_bind(blk, &client, NULL);
    memset(page, 0xee, sizeof(page));
    memset(out, 0, sizeof(out));
    done_req = NULL;
    closed = false;
    return 0;
}

static int teardown(void **state)
{
    if (!closed) {
        blk_close(blk, on_closed, NULL);
        assert_true(fake_loop_until(loop, &closed, 0));
    }
    for (unsigned i = 0; i <= LENT; i++)
        assert_false(out[i]);
    pool_destroy(pool);
    fake_loop_destroy(loop);
    return 0;
}

/* A read of `bytes` from sector 3 on into the first pages. */
static struct blk_req *lend(uint32_t bytes)
{
    uint8_t *pages[LENT];
    struct blk_req *req;

    for (unsigned i = 0; i < LENT; i++)
        pages[i] = page[i];
    assert_int_equal(blk_get_with(blk, 3, bytes, 77, pages, &lender, &req), 0);
    for (unsigned i = 0; i < (bytes + POOL_PAGE - 1) / POOL_PAGE; i++)
        out[i] = true;
    assert_int_equal(blk_req_token(req), 77);
    return req;
}

static void the_disks_bytes_come_into_them_and_they_are_given_back(void **state)
{
    blk_submit(lend(3 * POOL_PAGE));
    assert_int_equal(pool_stats(pool)->free, BLK_REQ_PAGES);
    fake_loop_turn(loop, 0);
    assert_non_null(done_req);
    assert_int_equal(done_error, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(blk_pages(done_req)[i], page[i]);
        assert_memory_equal(page[i], data + 3 * BLK_SECTOR + i * POOL_PAGE, POOL_PAGE);
    }
    assert_true(out[2]);
    blk_put(done_req);
    assert_false(out[0] || out[1] || out[2]);
}

static void one_that_was_replaced_is_given_back_as_what_it_is(void **state)
{
    blk_submit(lend(2 * POOL_PAGE));
    fake_loop_turn(loop, 0);
    blk_pages(done_req)[1] = page[LENT]; /* swapped: page 1 is the guest's */
    out[1] = false;
    out[LENT] = true;
    blk_put(done_req);
    assert_false(out[0] || out[LENT]);
    /* The slot's next request is the pool's again. */
    assert_int_equal(blk_get(blk, BLK_READ, 0, 4096, 1, &done_req), 0);
    assert_int_equal(pool_stats(pool)->free, BLK_REQ_PAGES - 1);
    blk_put(done_req);
    assert_int_equal(pool_stats(pool)->free, BLK_REQ_PAGES);
}

static void they_come_back_when_the_disk_is_done_with_them(void **state)
{
    struct mem_faults faults = {.hold = true};
    struct blk_req *cancelled;

    mem_set_faults(image, &faults);
    cancelled = lend(POOL_PAGE);
    blk_submit(cancelled);
    blk_cancel(cancelled);
    assert_true(out[0]);
    blk_close(blk, on_closed, NULL); /* the device is gone */
    assert_true(out[0] && !closed);
    mem_release(image);
    assert_false(out[0]);
    assert_true(closed);
    assert_null(done_req);
}

static void what_was_not_read_of_them_is_zeroed(void **state)
{
    struct mem_faults faults = {.error = -EIO, .first = 3 + 9, .last = 3 + 9};

    mem_set_faults(image, &faults);
    blk_submit(lend(2 * POOL_PAGE));
    while (!done_req)
        fake_loop_turn(loop, 0);
    assert_int_equal(done_error, -EIO);
    assert_int_equal(blk_req_good(done_req), 9 * BLK_SECTOR);
    assert_memory_equal(page[1], data + (3 + 8) * BLK_SECTOR, BLK_SECTOR);
    for (unsigned i = BLK_SECTOR; i < POOL_PAGE; i++)
        assert_int_equal(page[1][i], 0);
    blk_put(done_req);
}

static void without_a_request_they_stay_with_the_lender(void **state)
{
    uint8_t *pages[LENT] = {page[0], page[1], page[2], page[3]};
    struct blk_req *req, *other, *none;

    assert_int_equal(blk_get_with(blk, SECTORS, 512, 1, pages, &lender, &none), -ERANGE);
    assert_int_equal(blk_get(blk, BLK_FLUSH, 0, 0, 1, &req), 0);
    assert_int_equal(blk_get(blk, BLK_FLUSH, 0, 0, 1, &other), 0);
    assert_int_equal(blk_get_with(blk, 0, 512, 1, pages, &lender, &none), -EAGAIN);
    blk_put(req);
    blk_put(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_disks_bytes_come_into_them_and_they_are_given_back),
        TEST(one_that_was_replaced_is_given_back_as_what_it_is),
        TEST(they_come_back_when_the_disk_is_done_with_them),
        TEST(what_was_not_read_of_them_is_zeroed),
        TEST(without_a_request_they_stay_with_the_lender),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
