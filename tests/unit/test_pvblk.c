// SPDX-License-Identifier: GPL-2.0-or-later
/* devices/pv/pvblk: what its requests do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pvblk_checks.h"

static const enum blkif_protocol protocols[] = {BLKIF_NATIVE, BLKIF_X86_32, BLKIF_X86_64};

static void a_read_brings_the_disks_bytes_in_every_layout(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct pv_rig rig;

        pv_rig_init(&rig, &(struct pv_rig_options){.protocol = protocols[i]});
        pv_rig_page_request(&rig, 0, BLKIF_READ, 0x1122334455667788, 40, 3);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 0x1122334455667788, BLKIF_READ, BLKIF_OKAY);
        pv_assert_disk(pv_rig_page(&rig, 3), 40 * 512, 4096);
        assert_int_equal(pv_rig_page(&rig, 2)[4095], 0xee);
        assert_int_equal(pv_rig_page(&rig, 4)[0], 0xee);
        pv_rig_finish(&rig);
    }
}

static void a_write_reaches_the_disk_and_nothing_beside_it(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct pv_rig rig;

        pv_rig_init(&rig, &(struct pv_rig_options){.protocol = protocols[i]});
        pv_fill(pv_rig_page(&rig, 9), 4096, 5);
        pv_rig_page_request(&rig, 0, BLKIF_WRITE, 7, 16, 9);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 7, BLKIF_WRITE, BLKIF_OKAY);
        assert_memory_equal(rig.disk + 16 * 512, pv_rig_page(&rig, 9), 4096);
        pv_assert_disk(rig.disk, 0, 16 * 512);
        pv_assert_disk(rig.disk + 24 * 512, 24 * 512, 4096);
        pv_rig_finish(&rig);
    }
}

static void segments_may_begin_and_end_anywhere_in_their_pages(void **state)
{
    const struct blkif_segment segments[] = {
        {.ref = 1, .first = 3, .last = 3}, {.ref = 2, .first = 0, .last = 7},
        {.ref = 3, .first = 5, .last = 7}, {.ref = 4, .first = 0, .last = 1},
        {.ref = 1, .first = 7, .last = 7}, {.ref = 5, .first = 1, .last = 6},
    };
    struct pv_rig rig;
    uint64_t at = 100;

    pv_rig_init(&rig, NULL);
    pv_rig_request(&rig, 0, BLKIF_READ, 1, at, segments, 6);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
    for (unsigned i = 0; i < 6; i++) {
        const uint8_t *page = pv_rig_page(&rig, segments[i].ref);
        unsigned sectors = segments[i].last - segments[i].first + 1u;

        pv_assert_disk(page + segments[i].first * 512, at * 512, sectors * 512);
        at += sectors;
    }
    for (unsigned i = 0; i < 4096; i++) {
        if (i < 3 * 512 || (i >= 4 * 512 && i < 7 * 512))
            assert_int_equal(pv_rig_page(&rig, 1)[i], 0xee);
        if (i < 512 || i >= 7 * 512)
            assert_int_equal(pv_rig_page(&rig, 5)[i], 0xee);
    }
    /* Back to another place. */
    pv_rig_request(&rig, 0, BLKIF_WRITE, 2, 5000, segments, 6);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 2, BLKIF_WRITE, BLKIF_OKAY);
    assert_memory_equal(rig.disk + 5000 * 512, rig.disk + 100 * 512, (at - 100) * 512);
    pv_rig_finish(&rig);
}

static void an_indirect_request_moves_up_to_a_mebibyte(void **state)
{
    for (unsigned i = 0; i < 6; i++) {
        struct pv_rig rig;
        uint32_t sectors;

        pv_rig_init(&rig, &(struct pv_rig_options){.protocol = protocols[i / 2]});
        sectors = pv_make_table(&rig, 600, PVBLK_SEGMENTS, i % 2);
        pv_rig_indirect(&rig, 0, BLKIF_READ, 3, 77, 600, PVBLK_SEGMENTS);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 3, BLKIF_READ, BLKIF_OKAY);
        pv_assert_table(&rig, 600, PVBLK_SEGMENTS, 77 * 512);
        pv_rig_indirect(&rig, 0, BLKIF_WRITE, 4, 8001, 600, PVBLK_SEGMENTS);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 4, BLKIF_WRITE, BLKIF_OKAY);
        assert_memory_equal(rig.disk + 8001 * 512, rig.disk + 77 * 512, (size_t)sectors * 512);
        pv_assert_disk(rig.disk + (size_t)(8001 + sectors) * 512, (8001 + sectors) * 512, 4096);
        assert_int_equal(pvblk_counters(rig.pv)->indirect, 2);
        pv_rig_finish(&rig);
    }
}

static void a_flush_is_answered_when_the_disk_has_flushed(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_hold(&rig, true);
    pv_rig_request(&rig, 0, BLKIF_FLUSH, 1, UINT64_MAX, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 0);
    pv_hold(&rig, false);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_FLUSH, BLKIF_OKAY);
    assert_int_equal(blk_counters(rig.blk)->flushes, 1);
    pv_rig_finish(&rig);
}

static void a_flush_with_data_flushes_and_then_writes(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_hold(&rig, true);
    pv_fill(pv_rig_page(&rig, 2), 4096, 1);
    pv_rig_page_request(&rig, 0, BLKIF_FLUSH, 1, 8, 2);
    pv_rig_kick(&rig);
    mem_release(rig.image);
    assert_int_equal(blk_counters(rig.blk)->flushes, 1);
    pv_assert_disk(rig.disk + 8 * 512, 8 * 512, 4096);
    pv_rig_settle(&rig);
    mem_release(rig.image);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_FLUSH, BLKIF_OKAY);
    assert_memory_equal(rig.disk + 8 * 512, pv_rig_page(&rig, 2), 4096);
    pv_rig_finish(&rig);
}

static void a_barrier_waits_for_earlier_writes_and_later_ones_wait_for_it(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_hold(&rig, true);
    for (unsigned i = 0; i < 3; i++)
        pv_fill(pv_rig_page(&rig, i), 4096, (uint8_t)(i + 1));
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 1, 8, 0);
    pv_rig_page_request(&rig, 0, BLKIF_BARRIER, 2, 8, 1);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 3, 8, 2);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1); /* the first write */
    mem_release(rig.image);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_WRITE, BLKIF_OKAY);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1); /* the barrier's flush */
    mem_release(rig.image);
    pv_rig_settle(&rig);
    assert_int_equal(blk_counters(rig.blk)->flushes, 1);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1); /* its write */
    mem_release(rig.image);
    assert_memory_equal(rig.disk + 8 * 512, pv_rig_page(&rig, 1), 4096);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 2, BLKIF_BARRIER, BLKIF_OKAY);
    mem_release(rig.image);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 3, BLKIF_WRITE, BLKIF_OKAY);
    assert_memory_equal(rig.disk + 8 * 512, pv_rig_page(&rig, 2), 4096);
    pv_rig_finish(&rig);
}

static void a_barrier_waits_for_indirect_requests_of_its_turn(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_hold(&rig, true);
    pv_make_table(&rig, 600, 20, false);
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 1, 0, 600, 20);
    pv_rig_request(&rig, 0, BLKIF_BARRIER, 2, 0, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1);
    mem_release(rig.image);
    assert_int_equal(blk_counters(rig.blk)->writes, 1);
    assert_int_equal(blk_counters(rig.blk)->flushes, 0);
    pv_hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(pv_responses(&rig, 0), 2);
    /* One that is refused does not hold it up. */
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 3, 0, 99999, 20);
    pv_rig_request(&rig, 0, BLKIF_BARRIER, 4, 0, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 2);
    pv_rig_finish(&rig);
}

static void a_discard_of_any_length_is_done_in_pieces(void **state)
{
    struct pv_rig rig;
    uint64_t sectors = (uint64_t)2 * BLK_DISCARD_MAX / 512 + 100;

    pv_rig_init(&rig, &(struct pv_rig_options){.sectors = sectors + 16});
    pv_rig_discard(&rig, 0, 1, 8, sectors, 0);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_DISCARD, BLKIF_OKAY);
    assert_int_equal(blk_counters(rig.blk)->discards, 3);
    pv_assert_disk(rig.disk, 0, 8 * 512);
    for (uint64_t i = 8; i < sectors + 8; i += 61)
        assert_int_equal(rig.disk[i * 512], 0);
    pv_assert_disk(rig.disk + (sectors + 8) * 512, (sectors + 8) * 512, 8 * 512);
    pv_rig_finish(&rig);
}

static void a_secure_discard_is_a_discard_where_there_is_none(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_rig_discard(&rig, 0, 1, 8, 8, 1);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_DISCARD, BLKIF_OKAY);
    pv_rig_finish(&rig);
}

static void without_discard_it_is_not_supported(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.no_discard = true});
    pv_rig_discard(&rig, 0, 1, 8, 8, 0);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_DISCARD, BLKIF_EOPNOTSUPP);
    pv_assert_disk(rig.disk, 0, 16 * 512);
    pv_rig_finish(&rig);
}

static void a_read_only_disk_is_not_written(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pv_rig rig;
        struct blkif_segment segment = {.ref = 1, .last = 7};

        pv_rig_init(&rig, &(struct pv_rig_options){.read_only = i, .image_read_only = !i});
        pv_make_table(&rig, 600, 20, false);
        pv_rig_request(&rig, 0, BLKIF_WRITE, 1, 8, &segment, 1);
        pv_rig_request(&rig, 0, BLKIF_FLUSH, 2, 8, &segment, 1);
        pv_rig_request(&rig, 0, BLKIF_BARRIER, 3, 8, &segment, 1);
        pv_rig_indirect(&rig, 0, BLKIF_WRITE, 4, 8, 600, 20);
        pv_rig_kick(&rig);
        for (uint64_t id = 1; id <= 4; id++) {
            struct blkfront_response response;

            assert_true(pv_rig_response(&rig, 0, &response));
            assert_int_equal(response.id, id);
            assert_int_equal(response.status, BLKIF_ERROR);
        }
        pv_rig_discard(&rig, 0, 5, 8, 8, 0);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 5, BLKIF_DISCARD, i ? BLKIF_ERROR : BLKIF_EOPNOTSUPP);
        pv_rig_request(&rig, 0, BLKIF_FLUSH, 6, 0, NULL, 0);
        pv_rig_page_request(&rig, 0, BLKIF_READ, 7, 8, 1);
        pv_rig_kick(&rig);
        assert_int_equal(pv_responses(&rig, 0), 2);
        pv_assert_disk(pv_rig_page(&rig, 1), 8 * 512, 4096);
        pv_assert_disk(rig.disk, 0, 64 * 512);
        pv_rig_finish(&rig);
    }
}

static void a_disks_error_is_told_of_its_request_only(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_rig_fault(&rig, &(struct mem_faults){.error = -EIO, .first = 10, .last = 10});
    pv_rig_page_request(&rig, 0, BLKIF_READ, 1, 8, 1);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_ERROR);
    assert_int_equal(rig.failures, 1);
    assert_int_equal(rig.failure.op, BLK_READ);
    assert_int_equal(rig.failure.error, -EIO);
    pv_rig_page_request(&rig, 0, BLKIF_READ, 2, 16, 2);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 2, BLKIF_READ, BLKIF_OKAY);
    assert_int_equal(pvblk_counters(rig.pv)->failed, 1);
    pv_rig_finish(&rig);
}

static void one_bad_part_fails_the_request_once(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_make_table(&rig, 600, 256, false);
    pv_rig_fault(&rig, &(struct mem_faults){.error = -EIO, .first = 700, .last = 1500});
    for (unsigned i = 0; i < 2; i++) {
        pv_rig_indirect(&rig, 0, i ? BLKIF_WRITE : BLKIF_READ, i, 0, 600, 256);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, i, i ? BLKIF_WRITE : BLKIF_READ, BLKIF_ERROR);
    }
    pv_rig_finish(&rig);
}

static void what_the_backing_cannot_do_is_not_supported(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_rig_fault(&rig, &(struct mem_faults){.error = -EOPNOTSUPP, .first = 0, .last = UINT64_MAX});
    pv_rig_discard(&rig, 0, 1, 8, 8, 0);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_DISCARD, BLKIF_EOPNOTSUPP);
    pv_rig_finish(&rig);
}

static void on_stopped(void *arg, const struct blk_stop *stop)
{
    struct blk_stop *last = arg;

    *last = *stop;
}

static void a_disk_that_stops_its_guest_is_tried_again(void **state)
{
    struct pv_rig rig;
    struct blk_stop stop = {0};
    struct blk_policies policies = {
        .read = BLK_STOP, .write = BLK_STOP, .stopped = on_stopped, .arg = &stop};
    uint32_t free_pages;

    pv_rig_init(&rig, NULL);
    blk_set_policies(rig.blk, &policies);
    free_pages = pool_stats(rig.pool)->free;
    pv_make_table(&rig, 600, 256, false);
    for (unsigned i = 0; i < 256; i++)
        pv_fill(pv_rig_page(&rig, i), 4096, (uint8_t)i);
    pv_rig_fault(&rig, &(struct mem_faults){.error = -ENOSPC, .first = 300, .last = 300});
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 1, 0, 600, 256);
    pv_rig_request(&rig, 0, BLKIF_FLUSH, 2, 0, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(stop.error, -ENOSPC);
    assert_int_equal(stop.sector, 300);
    assert_int_equal(rig.failures, 0);
    assert_int_equal(pv_responses(&rig, 0), 1); /* the flush was on its way */
    pv_rig_discard(&rig, 0, 3, 8192, 8, 0);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 0);
    /* Other guests' disks can have the pages meanwhile. */
    assert_int_equal(pool_stats(rig.pool)->free, free_pages);
    pv_rig_fault(&rig, &(struct mem_faults){0});
    blk_restart(rig.blk);
    pv_rig_settle(&rig);
    assert_int_equal(pv_responses(&rig, 0), 2);
    for (unsigned i = 0; i < 256; i++)
        assert_memory_equal(rig.disk + (size_t)i * 4096, pv_rig_page(&rig, (i * 37) % 256), 4096);
    pv_rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_brings_the_disks_bytes_in_every_layout),
        cmocka_unit_test(a_write_reaches_the_disk_and_nothing_beside_it),
        cmocka_unit_test(segments_may_begin_and_end_anywhere_in_their_pages),
        cmocka_unit_test(an_indirect_request_moves_up_to_a_mebibyte),
        cmocka_unit_test(a_flush_is_answered_when_the_disk_has_flushed),
        cmocka_unit_test(a_flush_with_data_flushes_and_then_writes),
        cmocka_unit_test(a_barrier_waits_for_earlier_writes_and_later_ones_wait_for_it),
        cmocka_unit_test(a_barrier_waits_for_indirect_requests_of_its_turn),
        cmocka_unit_test(a_discard_of_any_length_is_done_in_pieces),
        cmocka_unit_test(a_secure_discard_is_a_discard_where_there_is_none),
        cmocka_unit_test(without_discard_it_is_not_supported),
        cmocka_unit_test(a_read_only_disk_is_not_written),
        cmocka_unit_test(a_disks_error_is_told_of_its_request_only),
        cmocka_unit_test(one_bad_part_fails_the_request_once),
        cmocka_unit_test(what_the_backing_cannot_do_is_not_supported),
        cmocka_unit_test(a_disk_that_stops_its_guest_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
