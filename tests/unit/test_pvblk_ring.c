// SPDX-License-Identifier: GPL-2.0-or-later
/* devices/pv/pvblk: connections, turns and notifications, and what waits for what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pvblk_checks.h"

static void a_turns_data_is_copied_in_one_batch(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    for (unsigned i = 0; i < 20; i++)
        pv_rig_page_request(&rig, 0, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 8, i);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 20);
    assert_int_equal(rig.copy_calls, 2); /* what is written, then what was read */
    assert_int_equal(rig.last_copies, 10);
    assert_int_equal(pvblk_counters(rig.pv)->copies, 20);
    pv_rig_finish(&rig);
}

static void answers_of_a_turn_are_one_notification(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    for (unsigned i = 0; i < 16; i++)
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, i * 8, i);
    pv_rig_kick(&rig);
    assert_int_equal(rig.notified[0], 1);
    assert_int_equal(pv_responses(&rig, 0), 16);
    pv_rig_finish(&rig);
}

/* One takes the request and one has its data; writes have been copied before. */
static void a_request_costs_two_turns(void **state)
{
    struct pv_rig rig;
    unsigned before;

    pv_rig_init(&rig, NULL);
    pv_rig_settle(&rig);
    for (unsigned i = 0; i < 4; i++) {
        before = rig.turns;
        pv_rig_page_request(&rig, 0, i % 2 ? BLKIF_WRITE : BLKIF_READ, i, i * 8, i);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, i, i % 2 ? BLKIF_WRITE : BLKIF_READ, BLKIF_OKAY);
        assert_int_equal(rig.turns - before, 2);
    }
    pv_rig_finish(&rig);
}

static void a_barrier_goes_on_when_the_last_before_it_ends_within_a_turn(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_rig_page_request(&rig, 0, BLKIF_READ, 1, 0, 1); /* ends when it has been copied */
    pv_rig_request(&rig, 0, BLKIF_BARRIER, 2, 0, NULL, 0);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 3, 0, 0);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 3);
    pv_rig_finish(&rig);
}

static void who_is_in_line_goes_on_when_copies_fail(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.depth = 1});
    for (unsigned i = 0; i < 20; i++) {
        rig.grant[i] = i % 3 ? PV_WRITABLE : PV_NONE;
        pv_rig_page_request(&rig, 0, i % 2 ? BLKIF_WRITE : BLKIF_READ, i, i * 8, i);
    }
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 20);
    assert_int_equal(pvblk_counters(rig.pv)->failed, 7);
    pv_rig_finish(&rig);
}

static void who_asks_for_an_event_later_is_not_notified_before(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    *pv_rig_index(&rig, 0, BLKIF_RSP_EVENT) = 3;
    for (unsigned i = 0; i < 2; i++) {
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, i * 8, i);
        pv_rig_kick(&rig);
        assert_int_equal(rig.notified[0], 0);
    }
    pv_rig_page_request(&rig, 0, BLKIF_READ, 2, 16, 2);
    pv_rig_kick(&rig);
    assert_int_equal(rig.notified[0], 1);
    pv_rig_finish(&rig);
}

static void a_backend_that_sleeps_asks_for_the_next_requests_event(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_rig_settle(&rig);
    assert_int_equal(*pv_rig_index(&rig, 0, BLKIF_REQ_EVENT), 1);
    for (unsigned i = 0; i < 5; i++)
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, 0, i);
    pv_rig_kick(&rig);
    assert_int_equal(*pv_rig_index(&rig, 0, BLKIF_REQ_EVENT), 6);
    /* Without an event it does nothing. */
    pv_rig_page_request(&rig, 0, BLKIF_READ, 5, 0, 5);
    assert_true(pv_rig_publish(&rig, 0));
    pv_rig_settle(&rig);
    assert_int_equal(pv_responses(&rig, 0), 5);
    pv_rig_finish(&rig);
}

static void what_is_in_the_ring_before_the_connection_is_served(void **state)
{
    struct pv_rig rig;
    struct pvblk_rings rings;

    pv_rig_init(&rig, &(struct pv_rig_options){.disconnected = true});
    pv_rig_rings(&rig, &rings);
    *pv_rig_index(&rig, 0, BLKIF_REQ_PROD) = *pv_rig_index(&rig, 0, BLKIF_RSP_PROD) = 0;
    *pv_rig_index(&rig, 0, BLKIF_RSP_EVENT) = 1;
    pv_rig_page_request(&rig, 0, BLKIF_READ, 1, 0, 1);
    pv_rig_publish(&rig, 0);
    assert_int_equal(pvblk_connect(rig.pv, &rings), 0);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
    pv_rig_finish(&rig);
}

static void another_backend_goes_on_where_answers_ended(void **state)
{
    struct pv_rig rig;
    struct pvblk_rings rings;

    pv_rig_init(&rig, NULL);
    for (unsigned i = 0; i < 40; i++) {
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, 0, 1);
        pv_rig_kick(&rig);
        assert_int_equal(pv_responses(&rig, 0), 1);
    }
    pv_hold(&rig, true);
    pv_fill(pv_rig_page(&rig, 2), 4096, 1);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 40, 8, 2);
    pv_rig_kick(&rig);
    assert_false(pvblk_disconnect(rig.pv));
    pv_hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(rig.drained, 1);
    pv_rig_rings(&rig, &rings);
    assert_int_equal(pvblk_connect(rig.pv, &rings), 0);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 40, BLKIF_WRITE, BLKIF_OKAY);
    assert_memory_equal(rig.disk + 8 * 512, pv_rig_page(&rig, 2), 4096);
    pv_rig_finish(&rig);
}

static void few_pages_hold_requests_up_and_lose_none(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.pool_pages = BLK_REQ_PAGES});
    pv_make_table(&rig, 600, 256, false);
    for (unsigned i = 0; i < 30; i++)
        pv_rig_indirect(&rig, 0, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 300, 600, 256);
    pv_rig_page_request(&rig, 0, BLKIF_READ, 30, 0, 1);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 31);
    assert_true(pvblk_counters(rig.pv)->waited > 0);
    pv_rig_finish(&rig);
}

static void few_slots_hold_requests_up_and_lose_none(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.depth = 1, .n_queues = 4});
    pv_make_table(&rig, 600, 256, true);
    for (unsigned queue = 0; queue < 4; queue++)
        for (unsigned i = 0; i < 32; i++)
            pv_rig_indirect(&rig, queue, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 300, 600, 256);
    pv_rig_kick(&rig);
    for (unsigned queue = 0; queue < 4; queue++)
        assert_int_equal(pv_responses(&rig, queue), 32);
    pv_rig_finish(&rig);
}

static void a_long_ring_is_served_by_fewer_commands(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.ring_order = PVBLK_RING_ORDER});
    assert_int_equal(rig.front[0].entries, 512);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 512; i++)
            pv_rig_page_request(&rig, 0, BLKIF_READ, i, i * 8, i);
        pv_rig_kick(&rig);
        assert_int_equal(pv_responses(&rig, 0), 512);
    }
    pv_assert_disk(pv_rig_page(&rig, 511), 511 * 4096, 4096);
    assert_int_equal(pvblk_counters(rig.pv)->active, 0);
    pv_rig_finish(&rig);
}

static void a_full_queue_does_not_starve_another(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.ring_order = 4, .n_queues = 2});
    pv_hold(&rig, true);
    for (unsigned i = 0; i < 512; i++)
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, i * 8, i);
    for (unsigned i = 0; i < 4; i++)
        pv_rig_page_request(&rig, 1, BLKIF_READ, i, i * 8, 600 + i);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 64);
    mem_release(rig.image);
    fake_loop_turn(rig.loop, 0);
    assert_int_equal(pv_responses(&rig, 1), 4);
    pv_hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(pv_responses(&rig, 0), 512);
    pv_rig_finish(&rig);
}

static void a_turn_takes_a_bounded_number_of_requests(void **state)
{
    struct pv_rig rig;
    unsigned taken;

    pv_rig_init(&rig, &(struct pv_rig_options){.ring_order = 4});
    pv_rig_settle(&rig);
    for (unsigned i = 0; i < 512; i++)
        pv_rig_request(&rig, 0, 77, i, 0, NULL, 0);
    pv_rig_publish(&rig, 0);
    pvblk_turn(rig.pv);
    taken = pv_responses(&rig, 0);
    assert_in_range(taken, 1, 64);
    pv_rig_settle(&rig);
    assert_int_equal(pv_responses(&rig, 0) + taken, 512);
    pv_rig_finish(&rig);
}

static void requests_wait_for_the_disk_to_be_handed_over(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.no_disk = true});
    pv_rig_page_request(&rig, 0, BLKIF_READ, 1, 0, 1);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 0);
    pv_rig_give_disk(&rig);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
    assert_true(pvblk_disconnect(rig.pv));
    pvblk_set_blk(rig.pv, NULL);
    assert_null(pvblk_blk(rig.pv));
    pv_rig_finish(&rig);
}

/* Also a turn that the disk asks for. */
static void nothing_is_asked_of_a_disk_while_others_requests_for_it_are_under_way(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.depth = 1});
    pv_hold(&rig, true);
    pv_fill(pv_rig_page(&rig, 1), 4096, 1);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 1, 0, 1);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 2, 8, 1);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1);
    rig.held = true;
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 3, 16, 1);
    pv_rig_kick(&rig);
    pv_hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(blk_counters(rig.blk)->writes, 1);
    pv_assert_disk(rig.disk + 8 * 512, 8 * 512, 2 * 4096);
    rig.held = false;
    pvblk_turn(rig.pv);
    pv_rig_settle(&rig);
    assert_int_equal(pv_responses(&rig, 0), 3);
    assert_memory_equal(rig.disk + 16 * 512, pv_rig_page(&rig, 1), 4096);
    pv_rig_finish(&rig);
}

static void what_is_in_flight_at_a_disconnection_touches_no_guest_and_is_waited_for(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.n_queues = 2, .ring_order = 1});
    pv_hold(&rig, true);
    for (unsigned i = 0; i < 8; i++)
        pv_rig_page_request(&rig, i % 2, i % 4 < 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 8, i);
    pv_rig_kick(&rig);
    assert_int_equal(rig.counters.mapped, 4);
    assert_false(pvblk_disconnect(rig.pv));
    assert_int_equal(rig.counters.mapped, 0);
    rig.copy_calls = 0;
    assert_int_equal(rig.drained, 0);
    pv_hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(rig.drained, 1);
    assert_int_equal(rig.copy_calls, 0);
    assert_int_equal(pv_responses(&rig, 0) + pv_responses(&rig, 1), 0);
    assert_int_equal(pv_rig_connect(&rig), 0);
    pv_rig_page_request(&rig, 1, BLKIF_READ, 9, 0, 9);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 1, 9, BLKIF_READ, BLKIF_OKAY);
    pv_rig_finish(&rig);
}

static void a_disconnection_with_copies_outstanding_gives_all_pages_back(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_hold(&rig, true);
    for (unsigned i = 0; i < 8; i++)
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, i * 8, i);
    pv_rig_kick(&rig);
    mem_release(rig.image); /* read, and not yet copied */
    assert_true(pvblk_disconnect(rig.pv));
    assert_int_equal(pool_stats(rig.pool)->free, pool_stats(rig.pool)->pages);
    pv_rig_settle(&rig);
    assert_int_equal(pv_rig_page(&rig, 0)[0], 0xee);
    pv_rig_finish(&rig);
}

static void a_ring_that_is_not_granted_is_no_connection(void **state)
{
    struct pv_rig rig;
    struct pvblk_rings rings;

    pv_rig_init(&rig, &(struct pv_rig_options){.disconnected = true, .n_queues = 4});
    pv_rig_rings(&rig, &rings);
    rings.queue[3].ring_ref[0] = 99999;
    assert_int_equal(pvblk_connect(rig.pv, &rings), -EINVAL);
    assert_int_equal(rig.counters.mapped, 0);
    assert_false(pvblk_connected(rig.pv));
    rig.grant[PV_RING_FIRST] = PV_READ_ONLY;
    pv_rig_rings(&rig, &rings);
    assert_int_equal(pvblk_connect(rig.pv, &rings), -EACCES);
    rig.grant[PV_RING_FIRST] = PV_WRITABLE;
    assert_int_equal(pv_rig_connect(&rig), 0);
    pv_rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turns_data_is_copied_in_one_batch),
        cmocka_unit_test(answers_of_a_turn_are_one_notification),
        cmocka_unit_test(a_request_costs_two_turns),
        cmocka_unit_test(a_barrier_goes_on_when_the_last_before_it_ends_within_a_turn),
        cmocka_unit_test(who_is_in_line_goes_on_when_copies_fail),
        cmocka_unit_test(who_asks_for_an_event_later_is_not_notified_before),
        cmocka_unit_test(a_backend_that_sleeps_asks_for_the_next_requests_event),
        cmocka_unit_test(what_is_in_the_ring_before_the_connection_is_served),
        cmocka_unit_test(another_backend_goes_on_where_answers_ended),
        cmocka_unit_test(few_pages_hold_requests_up_and_lose_none),
        cmocka_unit_test(few_slots_hold_requests_up_and_lose_none),
        cmocka_unit_test(a_long_ring_is_served_by_fewer_commands),
        cmocka_unit_test(a_full_queue_does_not_starve_another),
        cmocka_unit_test(a_turn_takes_a_bounded_number_of_requests),
        cmocka_unit_test(requests_wait_for_the_disk_to_be_handed_over),
        cmocka_unit_test(nothing_is_asked_of_a_disk_while_others_requests_for_it_are_under_way),
        cmocka_unit_test(what_is_in_flight_at_a_disconnection_touches_no_guest_and_is_waited_for),
        cmocka_unit_test(a_disconnection_with_copies_outstanding_gives_all_pages_back),
        cmocka_unit_test(a_ring_that_is_not_granted_is_no_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
