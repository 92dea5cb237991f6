// SPDX-License-Identifier: GPL-2.0-or-later
/* devices/pv/pvblk: what a PV disk does for its frontend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pvblk_rig.h"

static const enum blkif_protocol protocols[] = {BLKIF_NATIVE, BLKIF_X86_32, BLKIF_X86_64};

static void assert_disk_bytes(const uint8_t *bytes, uint64_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], pv_rig_byte(offset + i));
}

static void fill(uint8_t *bytes, size_t len, uint8_t seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + i * 13 + i / 251);
}

static unsigned responses(struct pv_rig *rig, unsigned queue)
{
    struct blkfront_response response;
    unsigned n = 0;

    while (pv_rig_response(rig, queue, &response))
        n++;
    return n;
}

static void hold(struct pv_rig *rig, bool on)
{
    pv_rig_fault(rig, &(struct mem_faults){.hold = on});
}

static void a_read_brings_the_disks_bytes_in_every_layout(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct pv_rig rig;

        pv_rig_init(&rig, &(struct pv_rig_options){.protocol = protocols[i]});
        pv_rig_page_request(&rig, 0, BLKIF_READ, 0x1122334455667788, 40, 3);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 0x1122334455667788, BLKIF_READ, BLKIF_OKAY);
        assert_disk_bytes(pv_rig_page(&rig, 3), 40 * 512, 4096);
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
        fill(pv_rig_page(&rig, 9), 4096, 5);
        pv_rig_page_request(&rig, 0, BLKIF_WRITE, 7, 16, 9);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 7, BLKIF_WRITE, BLKIF_OKAY);
        assert_memory_equal(rig.disk + 16 * 512, pv_rig_page(&rig, 9), 4096);
        assert_disk_bytes(rig.disk, 0, 16 * 512);
        assert_disk_bytes(rig.disk + 24 * 512, 24 * 512, 4096);
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

        assert_disk_bytes(page + segments[i].first * 512, at * 512, sectors * 512);
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

/* 256 segments in mixed order; `small`: of one to eight sectors. */
static uint32_t make_table(struct pv_rig *rig, uint32_t table, unsigned n, bool small)
{
    uint32_t sectors = 0;

    for (unsigned i = 0; i < n; i++) {
        uint8_t first = small ? (uint8_t)(i % 5) : 0;
        uint8_t last = small ? (uint8_t)(first + i % 3) : 7;

        blkfront_segment(pv_rig_page(rig, table) + (size_t)i * 8, (i * 37) % 256, first, last);
        sectors += last - first + 1u;
    }
    return sectors;
}

static void check_table(struct pv_rig *rig, uint32_t table, unsigned n, uint64_t offset)
{
    for (unsigned i = 0; i < n; i++) {
        struct blkif_segment segment;
        uint32_t bytes;

        blkif_segment_decode(pv_rig_page(rig, table) + (size_t)i * 8, &segment);
        bytes = (segment.last - segment.first + 1u) * 512;
        assert_disk_bytes(pv_rig_page(rig, segment.ref) + segment.first * 512, offset, bytes);
        offset += bytes;
    }
}

static void an_indirect_request_moves_up_to_a_mebibyte(void **state)
{
    for (unsigned i = 0; i < 6; i++) {
        struct pv_rig rig;
        uint32_t sectors;

        pv_rig_init(&rig, &(struct pv_rig_options){.protocol = protocols[i / 2]});
        sectors = make_table(&rig, 600, PVBLK_SEGMENTS, i % 2);
        pv_rig_indirect(&rig, 0, BLKIF_READ, 3, 77, 600, PVBLK_SEGMENTS);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 3, BLKIF_READ, BLKIF_OKAY);
        check_table(&rig, 600, PVBLK_SEGMENTS, 77 * 512);
        pv_rig_indirect(&rig, 0, BLKIF_WRITE, 4, 8001, 600, PVBLK_SEGMENTS);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 4, BLKIF_WRITE, BLKIF_OKAY);
        assert_memory_equal(rig.disk + 8001 * 512, rig.disk + 77 * 512, (size_t)sectors * 512);
        assert_disk_bytes(rig.disk + (size_t)(8001 + sectors) * 512, (8001 + sectors) * 512, 4096);
        assert_int_equal(pvblk_counters(rig.pv)->indirect, 2);
        pv_rig_finish(&rig);
    }
}

static void a_turns_data_is_copied_in_one_batch(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    for (unsigned i = 0; i < 20; i++)
        pv_rig_page_request(&rig, 0, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 8, i);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 20);
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
    assert_int_equal(responses(&rig, 0), 16);
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
    assert_int_equal(responses(&rig, 0), 5);
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
        assert_int_equal(responses(&rig, 0), 1);
    }
    hold(&rig, true);
    fill(pv_rig_page(&rig, 2), 4096, 1);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 40, 8, 2);
    pv_rig_kick(&rig);
    assert_false(pvblk_disconnect(rig.pv));
    hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(rig.drained, 1);
    pv_rig_rings(&rig, &rings);
    assert_int_equal(pvblk_connect(rig.pv, &rings), 0);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 40, BLKIF_WRITE, BLKIF_OKAY);
    assert_memory_equal(rig.disk + 8 * 512, pv_rig_page(&rig, 2), 4096);
    pv_rig_finish(&rig);
}

static void a_flush_is_answered_when_the_disk_has_flushed(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    hold(&rig, true);
    pv_rig_request(&rig, 0, BLKIF_FLUSH, 1, UINT64_MAX, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 0);
    hold(&rig, false);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_FLUSH, BLKIF_OKAY);
    assert_int_equal(blk_counters(rig.blk)->flushes, 1);
    pv_rig_finish(&rig);
}

static void a_flush_with_data_flushes_and_then_writes(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    hold(&rig, true);
    fill(pv_rig_page(&rig, 2), 4096, 1);
    pv_rig_page_request(&rig, 0, BLKIF_FLUSH, 1, 8, 2);
    pv_rig_kick(&rig);
    mem_release(rig.image);
    assert_int_equal(blk_counters(rig.blk)->flushes, 1);
    assert_disk_bytes(rig.disk + 8 * 512, 8 * 512, 4096);
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
    hold(&rig, true);
    for (unsigned i = 0; i < 3; i++)
        fill(pv_rig_page(&rig, i), 4096, (uint8_t)(i + 1));
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
    hold(&rig, true);
    make_table(&rig, 600, 20, false);
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 1, 0, 600, 20);
    pv_rig_request(&rig, 0, BLKIF_BARRIER, 2, 0, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1);
    mem_release(rig.image);
    assert_int_equal(blk_counters(rig.blk)->writes, 1);
    assert_int_equal(blk_counters(rig.blk)->flushes, 0);
    hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(responses(&rig, 0), 2);
    /* One that is refused does not hold it up. */
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 3, 0, 99999, 20);
    pv_rig_request(&rig, 0, BLKIF_BARRIER, 4, 0, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 2);
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
    assert_disk_bytes(rig.disk, 0, 8 * 512);
    for (uint64_t i = 8; i < sectors + 8; i += 61)
        assert_int_equal(rig.disk[i * 512], 0);
    assert_disk_bytes(rig.disk + (sectors + 8) * 512, (sectors + 8) * 512, 8 * 512);
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
    assert_disk_bytes(rig.disk, 0, 16 * 512);
    pv_rig_finish(&rig);
}

static void a_read_only_disk_is_not_written(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pv_rig rig;
        struct blkif_segment segment = {.ref = 1, .last = 7};

        pv_rig_init(&rig, &(struct pv_rig_options){.read_only = i, .image_read_only = !i});
        make_table(&rig, 600, 20, false);
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
        assert_int_equal(responses(&rig, 0), 2);
        assert_disk_bytes(pv_rig_page(&rig, 1), 8 * 512, 4096);
        assert_disk_bytes(rig.disk, 0, 64 * 512);
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
    make_table(&rig, 600, 256, false);
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
    make_table(&rig, 600, 256, false);
    for (unsigned i = 0; i < 256; i++)
        fill(pv_rig_page(&rig, i), 4096, (uint8_t)i);
    pv_rig_fault(&rig, &(struct mem_faults){.error = -ENOSPC, .first = 300, .last = 300});
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 1, 0, 600, 256);
    pv_rig_request(&rig, 0, BLKIF_FLUSH, 2, 0, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(stop.error, -ENOSPC);
    assert_int_equal(stop.sector, 300);
    assert_int_equal(responses(&rig, 0), 1); /* the flush was on its way */
    pv_rig_discard(&rig, 0, 3, 8192, 8, 0);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 0);
    /* Other guests' disks can have the pages meanwhile. */
    assert_int_equal(pool_stats(rig.pool)->free, free_pages);
    pv_rig_fault(&rig, &(struct mem_faults){0});
    blk_restart(rig.blk);
    pv_rig_settle(&rig);
    assert_int_equal(responses(&rig, 0), 2);
    for (unsigned i = 0; i < 256; i++)
        assert_memory_equal(rig.disk + (size_t)i * 4096, pv_rig_page(&rig, (i * 37) % 256), 4096);
    pv_rig_finish(&rig);
}

static void few_pages_hold_requests_up_and_lose_none(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.pool_pages = BLK_REQ_PAGES});
    make_table(&rig, 600, 256, false);
    for (unsigned i = 0; i < 30; i++)
        pv_rig_indirect(&rig, 0, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 300, 600, 256);
    pv_rig_page_request(&rig, 0, BLKIF_READ, 30, 0, 1);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 31);
    assert_true(pvblk_counters(rig.pv)->waited > 0);
    pv_rig_finish(&rig);
}

static void few_slots_hold_requests_up_and_lose_none(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.depth = 1, .n_queues = 4});
    make_table(&rig, 600, 256, true);
    for (unsigned queue = 0; queue < 4; queue++)
        for (unsigned i = 0; i < 32; i++)
            pv_rig_indirect(&rig, queue, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 300, 600, 256);
    pv_rig_kick(&rig);
    for (unsigned queue = 0; queue < 4; queue++)
        assert_int_equal(responses(&rig, queue), 32);
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
        assert_int_equal(responses(&rig, 0), 512);
    }
    assert_disk_bytes(pv_rig_page(&rig, 511), 511 * 4096, 4096);
    assert_int_equal(pvblk_counters(rig.pv)->active, 0);
    pv_rig_finish(&rig);
}

static void a_full_queue_does_not_starve_another(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.ring_order = 4, .n_queues = 2});
    hold(&rig, true);
    for (unsigned i = 0; i < 512; i++)
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, i * 8, i);
    for (unsigned i = 0; i < 4; i++)
        pv_rig_page_request(&rig, 1, BLKIF_READ, i, i * 8, 600 + i);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 64);
    mem_release(rig.image);
    fake_loop_turn(rig.loop, 0);
    assert_int_equal(responses(&rig, 1), 4);
    hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(responses(&rig, 0), 512);
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
    taken = responses(&rig, 0);
    assert_in_range(taken, 1, 64);
    pv_rig_settle(&rig);
    assert_int_equal(responses(&rig, 0) + taken, 512);
    pv_rig_finish(&rig);
}

static void requests_wait_for_the_disk_to_be_handed_over(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.no_disk = true});
    pv_rig_page_request(&rig, 0, BLKIF_READ, 1, 0, 1);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 0);
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
    hold(&rig, true);
    fill(pv_rig_page(&rig, 1), 4096, 1);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 1, 0, 1);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 2, 8, 1);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1);
    rig.held = true;
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 3, 16, 1);
    pv_rig_kick(&rig);
    hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(blk_counters(rig.blk)->writes, 1);
    assert_disk_bytes(rig.disk + 8 * 512, 8 * 512, 2 * 4096);
    rig.held = false;
    pvblk_turn(rig.pv);
    pv_rig_settle(&rig);
    assert_int_equal(responses(&rig, 0), 3);
    assert_memory_equal(rig.disk + 16 * 512, pv_rig_page(&rig, 1), 4096);
    pv_rig_finish(&rig);
}

static void what_is_in_flight_at_a_disconnection_touches_no_guest_and_is_waited_for(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.n_queues = 2, .ring_order = 1});
    hold(&rig, true);
    for (unsigned i = 0; i < 8; i++)
        pv_rig_page_request(&rig, i % 2, i % 4 < 2 ? BLKIF_READ : BLKIF_WRITE, i, i * 8, i);
    pv_rig_kick(&rig);
    assert_int_equal(rig.counters.mapped, 4);
    assert_false(pvblk_disconnect(rig.pv));
    assert_int_equal(rig.counters.mapped, 0);
    rig.copy_calls = 0;
    assert_int_equal(rig.drained, 0);
    hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(rig.drained, 1);
    assert_int_equal(rig.copy_calls, 0);
    assert_int_equal(responses(&rig, 0) + responses(&rig, 1), 0);
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
    hold(&rig, true);
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

static void a_read_of_whole_pages_is_swapped_into_place(void **state)
{
    struct pv_rig rig;
    struct blkif_segment segments[3] = {
        {.ref = 1, .last = 7}, {.ref = 2, .last = 7}, {.ref = 3, .last = 7}};

    pv_rig_init(&rig, &(struct pv_rig_options){.swap_pages = 32});
    pv_rig_request(&rig, 0, BLKIF_READ, 1, 8, segments, 3);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
    assert_int_equal(rig.swaps, 3);
    assert_int_equal(rig.copy_calls, 0);
    assert_int_equal(rig.lent, 0);
    assert_disk_bytes(pv_rig_page(&rig, 1), 8 * 512, 3 * 4096);
    /* Too short, not whole, or a write: copied. */
    pv_rig_page_request(&rig, 0, BLKIF_READ, 2, 80, 4);
    pv_rig_request(&rig, 0, BLKIF_WRITE, 3, 800, segments, 3);
    segments[1].first = 1;
    pv_rig_request(&rig, 0, BLKIF_READ, 4, 8, segments, 3);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 3);
    assert_int_equal(rig.swaps, 3);
    assert_disk_bytes(pv_rig_page(&rig, 4), 80 * 512, 4096);
    assert_disk_bytes(pv_rig_page(&rig, 3), 23 * 512, 4096);
    assert_memory_equal(rig.disk + 800 * 512, rig.disk + 8 * 512, 3 * 4096);
    pv_rig_finish(&rig);
}

static void what_cannot_be_swapped_is_copied_or_fails_as_a_copy_would(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.swap_pages = 32});
    make_table(&rig, 600, 32, false);
    rig.swaps_fail_from = 7;
    pv_rig_indirect(&rig, 0, BLKIF_READ, 1, 0, 600, 32);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
    check_table(&rig, 600, 32, 0);
    assert_int_equal(rig.swaps, 7);
    rig.grant[37] = PV_READ_ONLY; /* the table's second */
    pv_rig_indirect(&rig, 0, BLKIF_READ, 2, 0, 600, 32);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 2, BLKIF_READ, BLKIF_ERROR);
    pv_rig_finish(&rig);
}

/* 8 parts of 32 pages, and 32 pages that can be swapped: the rest goes through the pool. */
static void without_pages_to_swap_reads_go_on(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.swap_pages = 32});
    make_table(&rig, 600, 256, false);
    for (unsigned i = 0; i < 6; i++)
        pv_rig_indirect(&rig, 0, BLKIF_READ, i, 8, 600, 256);
    pv_rig_kick(&rig);
    assert_int_equal(responses(&rig, 0), 6);
    check_table(&rig, 600, 256, 8 * 512);
    assert_true(rig.swaps > 0 && rig.copy_calls > 1);
    pv_rig_finish(&rig);
}

static void pages_that_are_lent_come_back_after_a_disconnection(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.swap_pages = 32});
    make_table(&rig, 600, 16, false);
    hold(&rig, true);
    pv_rig_indirect(&rig, 0, BLKIF_READ, 1, 8, 600, 16);
    pv_rig_indirect(&rig, 0, BLKIF_READ, 2, 8, 600, 16);
    pv_rig_kick(&rig);
    assert_int_equal(rig.lent, 32);
    assert_false(pvblk_disconnect(rig.pv));
    assert_int_equal(rig.lent, 32); /* the disk may write to them */
    hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(rig.lent, 0);
    assert_int_equal(rig.swaps, 0);
    pv_rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_brings_the_disks_bytes_in_every_layout),
        cmocka_unit_test(a_write_reaches_the_disk_and_nothing_beside_it),
        cmocka_unit_test(segments_may_begin_and_end_anywhere_in_their_pages),
        cmocka_unit_test(an_indirect_request_moves_up_to_a_mebibyte),
        cmocka_unit_test(a_turns_data_is_copied_in_one_batch),
        cmocka_unit_test(answers_of_a_turn_are_one_notification),
        cmocka_unit_test(who_asks_for_an_event_later_is_not_notified_before),
        cmocka_unit_test(a_backend_that_sleeps_asks_for_the_next_requests_event),
        cmocka_unit_test(what_is_in_the_ring_before_the_connection_is_served),
        cmocka_unit_test(another_backend_goes_on_where_answers_ended),
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
        cmocka_unit_test(a_read_of_whole_pages_is_swapped_into_place),
        cmocka_unit_test(what_cannot_be_swapped_is_copied_or_fails_as_a_copy_would),
        cmocka_unit_test(without_pages_to_swap_reads_go_on),
        cmocka_unit_test(pages_that_are_lent_come_back_after_a_disconnection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
