// SPDX-License-Identifier: GPL-2.0-or-later
/* What has gone wrong in backends of PV disks before, and what a hostile frontend may try. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pvblk_rig.h"

static void assert_disk_untouched(struct pv_rig *rig)
{
    for (uint64_t i = 0; i < rig->sectors * 512; i++)
        if (rig->disk[i] != pv_rig_byte(i))
            fail_msg("byte %llu of the disk has changed", (unsigned long long)i);
}

static void assert_ram_untouched(struct pv_rig *rig)
{
    for (size_t i = 0; i < (size_t)PV_DATA_PAGES * GRANT_PAGE; i++)
        if (rig->ram[i] != 0xee)
            fail_msg("byte %zu of the guest's memory has changed", i);
}

/* ---- double fetches ---------------------------------------------------------------------------*/

/* All that the backend has had its copy of. */
static void scribble(struct pv_rig *rig)
{
    memset(pv_rig_ring(rig, 0) + BLKIF_RING_HEAD, 0xff, GRANT_PAGE - BLKIF_RING_HEAD);
    memset(pv_rig_page(rig, 600), 0xff, GRANT_PAGE);
}

static void xsa_155_a_request_is_what_it_was_when_it_was_taken(void **state)
{
    struct pv_rig rig;
    struct blkfront_response response;

    pv_rig_init(&rig, NULL);
    rig.after_copy = scribble;
    for (unsigned i = 0; i < 11; i++)
        memset(pv_rig_page(&rig, i), (int)i + 1, GRANT_PAGE);
    for (unsigned i = 0; i < 11; i++)
        blkfront_segment(pv_rig_page(&rig, 600) + 8 * i, i, 0, 7);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 1, 800, 1);
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 2, 1000, 600, 11);
    pv_rig_kick(&rig);
    for (uint64_t id = 1; id <= 2; id++) {
        assert_true(pv_rig_response(&rig, 0, &response));
        assert_int_equal(response.id, id);
        assert_int_equal(response.operation, BLKIF_WRITE);
        assert_int_equal(response.status, BLKIF_OKAY);
    }
    for (unsigned i = 0; i < 11; i++)
        assert_memory_equal(rig.disk + (1000 + 8 * i) * 512, pv_rig_page(&rig, i), GRANT_PAGE);
    assert_memory_equal(rig.disk + 800 * 512, pv_rig_page(&rig, 1), GRANT_PAGE);
    pv_rig_finish(&rig);
}

struct meddler {
    struct pv_rig *rig;
    bool stop;
    uint32_t seed;
};

static uint32_t next(struct meddler *meddler)
{
    meddler->seed = meddler->seed * 1664525u + 1013904223u;
    return meddler->seed >> 8;
}

/* Another vCPU, which changes requests and segments while they are read: counts, sectors,
 * references, all from good to bad and back. */
static void *meddle(void *arg)
{
    struct meddler *meddler = arg;
    struct pv_rig *rig = meddler->rig;

    while (!__atomic_load_n(&meddler->stop, __ATOMIC_RELAXED)) {
        uint32_t what = next(meddler);
        uint8_t *byte = pv_rig_ring(rig, 0) + BLKIF_RING_HEAD + next(meddler) % (32 * 112);

        if (what & 1)
            byte = pv_rig_page(rig, 600) + next(meddler) % 2048;
        __atomic_store_n(byte, (uint8_t)(what & 2 ? next(meddler) : what >> 2 & 7),
                         __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Only what the sanitizers see, the rig's own checks, and that every request has one answer and
 * no page but the granted ones was written. */
static void xsa_155_a_frontend_that_changes_requests_while_they_are_read(void **state)
{
    struct pv_rig rig;
    struct meddler meddler = {.rig = &rig, .seed = 1};
    pthread_t thread;

    pv_rig_init(&rig, NULL);
    memset(rig.grant + 512, PV_NONE, 64);
    memset(rig.grant + 576, PV_READ_ONLY, 25);
    /* A guest that reads into its ring has what it asked for, and this test no answers. */
    rig.rings_are_no_data = true;
    assert_int_equal(pthread_create(&thread, NULL, meddle, &meddler), 0);
    for (unsigned round = 0; round < 2000; round++) {
        struct blkfront_response response;
        unsigned answers = 0;

        for (unsigned i = 0; i < 16; i++) {
            blkfront_segment(pv_rig_page(&rig, 600) + 8 * i, i, 0, 7);
            if (i % 2)
                pv_rig_indirect(&rig, 0, i & 2 ? BLKIF_READ : BLKIF_WRITE, i, i, 600, 16);
            else
                pv_rig_page_request(&rig, 0, i & 2 ? BLKIF_READ : BLKIF_WRITE, i, i, i);
        }
        pv_rig_kick(&rig);
        while (pv_rig_response(&rig, 0, &response))
            answers++;
        assert_int_equal(answers, 16);
        assert_int_equal(pvblk_counters(rig.pv)->active, 0);
    }
    __atomic_store_n(&meddler.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < (size_t)88 * GRANT_PAGE; i++)
        assert_int_equal(pv_rig_page(&rig, 512)[i], 0xee);
    assert_int_equal(rig.broken, 0);
    pv_rig_finish(&rig);
}

/* ---- indices ----------------------------------------------------------------------------------*/

static void more_requests_than_the_ring_has_room_for_break_it(void **state)
{
    static const struct {
        uint32_t consumed, prod;
    } cases[] = {{0, 33}, {0, UINT32_MAX}, {0, 0x80000000}, {5, 38}, {5, 4}, {5, 0}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pv_rig rig;
        struct blkfront_response response;
        unsigned turns;

        pv_rig_init(&rig, NULL);
        for (unsigned j = 0; j < cases[i].consumed; j++)
            pv_rig_page_request(&rig, 0, BLKIF_READ, j, 0, PV_DATA_PAGES - 1);
        pv_rig_kick(&rig);
        while (pv_rig_response(&rig, 0, &response))
            ;
        rig.copy_calls = 0;
        *pv_rig_index(&rig, 0, BLKIF_REQ_PROD) = cases[i].prod;
        pvblk_turn(rig.pv);
        pv_rig_settle(&rig);
        assert_int_equal(rig.broken, 1);
        turns = rig.turns;
        pvblk_turn(rig.pv);
        pv_rig_settle(&rig);
        assert_int_equal(rig.broken, 1);
        assert_int_equal(rig.turns, turns);
        assert_false(pv_rig_response(&rig, 0, &response));
        assert_int_equal(rig.copy_calls, 0);
        assert_true(pvblk_disconnect(rig.pv));
        assert_int_equal(pv_rig_connect(&rig), 0);
        pv_rig_page_request(&rig, 0, BLKIF_READ, 1, 0, 1);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
        pv_rig_finish(&rig);
    }
}

static void requests_in_flight_count_against_the_rings_room(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_rig_fault(&rig, &(struct mem_faults){.hold = true});
    for (unsigned i = 0; i < 32; i++)
        pv_rig_page_request(&rig, 0, BLKIF_READ, i, 0, i);
    pv_rig_kick(&rig);
    assert_int_equal(rig.broken, 0);
    *pv_rig_index(&rig, 0, BLKIF_REQ_PROD) = 33;
    pvblk_turn(rig.pv);
    /* Every command is taken, so nobody has looked. */
    pv_rig_fault(&rig, &(struct mem_faults){0});
    pv_rig_settle(&rig);
    assert_true(rig.broken || pvblk_counters(rig.pv)->requests == 33);
    assert_int_equal(pvblk_counters(rig.pv)->active, 0);
    pv_rig_finish(&rig);
}

static void a_broken_ring_with_requests_in_flight_is_let_go(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.n_queues = 2});
    pv_rig_fault(&rig, &(struct mem_faults){.hold = true});
    for (unsigned i = 0; i < 6; i++)
        pv_rig_page_request(&rig, 0, i % 2 ? BLKIF_READ : BLKIF_WRITE, i, 0, i);
    pv_rig_kick(&rig);
    *pv_rig_index(&rig, 1, BLKIF_REQ_PROD) = 1000;
    pvblk_turn(rig.pv);
    assert_int_equal(rig.broken, 1);
    pv_rig_fault(&rig, &(struct mem_faults){0});
    pv_rig_settle(&rig);
    assert_int_equal(*pv_rig_index(&rig, 0, BLKIF_RSP_PROD), 0);
    assert_true(pvblk_disconnect(rig.pv));
    pv_rig_finish(&rig);
}

static void indices_that_wrap_are_indices(void **state)
{
    struct pv_rig rig;
    struct pvblk_rings rings;

    pv_rig_init(&rig, NULL);
    assert_true(pvblk_disconnect(rig.pv));
    rig.front[0].req_prod = rig.front[0].rsp_cons = UINT32_MAX - 4;
    *pv_rig_index(&rig, 0, BLKIF_REQ_PROD) = *pv_rig_index(&rig, 0, BLKIF_RSP_PROD) =
        UINT32_MAX - 4;
    *pv_rig_index(&rig, 0, BLKIF_RSP_EVENT) = UINT32_MAX - 3;
    pv_rig_rings(&rig, &rings);
    assert_int_equal(pvblk_connect(rig.pv, &rings), 0);
    pv_rig_settle(&rig);
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = rig.notified[0];

        pv_rig_page_request(&rig, 0, BLKIF_READ, i, i, 1);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, i, BLKIF_READ, BLKIF_OKAY);
        assert_int_equal(rig.notified[0], before + 1);
    }
    pv_rig_finish(&rig);
}

/* ---- requests ---------------------------------------------------------------------------------*/

static void segments_that_leave_their_page_are_refused(void **state)
{
    static const uint8_t bad[][2] = {{0, 8},   {8, 8},     {7, 6},  {1, 0},
                                     {0, 255}, {255, 255}, {255, 0}};
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    memset(pv_rig_page(&rig, 600), 0xee, GRANT_PAGE);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (unsigned place = 0; place < 11; place += 10) {
            struct blkif_segment segments[11];

            for (unsigned j = 0; j < 11; j++) {
                segments[j] = (struct blkif_segment){.ref = j, .last = 7};
                if (j == place) {
                    segments[j].first = bad[i][0];
                    segments[j].last = bad[i][1];
                }
                blkfront_segment(pv_rig_page(&rig, 1000) + 8 * j, j, segments[j].first,
                                 segments[j].last);
            }
            pv_rig_request(&rig, 0, BLKIF_READ, 1, 0, segments, 11);
            pv_rig_kick(&rig);
            pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_ERROR);
            pv_rig_request(&rig, 0, BLKIF_FLUSH, 2, 0, segments, 11);
            pv_rig_kick(&rig);
            pv_rig_expect(&rig, 0, 2, BLKIF_FLUSH, BLKIF_ERROR);
            pv_rig_indirect(&rig, 0, BLKIF_WRITE, 3, 0, 1000, 11);
            pv_rig_kick(&rig);
            pv_rig_expect(&rig, 0, 3, BLKIF_WRITE, BLKIF_ERROR);
        }
    memset(pv_rig_page(&rig, 1000), 0xee, GRANT_PAGE);
    assert_ram_untouched(&rig);
    assert_disk_untouched(&rig);
    pv_rig_finish(&rig);
}

static void numbers_of_segments_that_there_cannot_be_are_refused(void **state)
{
    static const struct {
        uint8_t operation;
        unsigned n;
    } direct[] = {{BLKIF_READ, 0},   {BLKIF_READ, 12},  {BLKIF_READ, 255},   {BLKIF_WRITE, 0},
                  {BLKIF_WRITE, 12}, {BLKIF_FLUSH, 12}, {BLKIF_BARRIER, 255}};
    static const unsigned indirect[] = {0, PVBLK_SEGMENTS + 1, 512, 4096, 65535};
    struct blkif_segment segments[11] = {0};
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    for (unsigned i = 0; i < sizeof(direct) / sizeof(direct[0]); i++) {
        pv_rig_request(&rig, 0, direct[i].operation, i, 0, segments, direct[i].n);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, i, direct[i].operation, BLKIF_ERROR);
    }
    for (unsigned i = 0; i < sizeof(indirect) / sizeof(indirect[0]); i++) {
        pv_rig_indirect(&rig, 0, BLKIF_WRITE, i, 0, 600, indirect[i]);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, i, BLKIF_WRITE, BLKIF_ERROR);
    }
    assert_int_equal(rig.copy_calls, 0);
    assert_ram_untouched(&rig);
    assert_disk_untouched(&rig);
    pv_rig_finish(&rig);
}

static void operations_that_are_none_are_not_supported(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    for (unsigned operation = 0; operation < 256; operation++) {
        if (operation <= BLKIF_INDIRECT && operation != 4)
            continue;
        pv_rig_page_request(&rig, 0, (uint8_t)operation, operation, 0, 1);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, operation, (uint8_t)operation, BLKIF_EOPNOTSUPP);
    }
    for (unsigned operation = 2; operation < 256; operation++) { /* not within indirect ones */
        blkfront_segment(pv_rig_page(&rig, 600), 1, 0, 7);
        pv_rig_indirect(&rig, 0, (uint8_t)operation, operation, 0, 600, 1);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, operation, (uint8_t)operation, BLKIF_ERROR);
    }
    assert_disk_untouched(&rig);
    pv_rig_finish(&rig);
}

static void sectors_beyond_the_end_are_refused_in_64_bits(void **state)
{
    struct pv_rig rig;
    static const uint64_t bad[] = {16377,
                                   16384,
                                   UINT32_MAX,
                                   UINT64_MAX,
                                   UINT64_MAX - 7,
                                   UINT64_MAX / 512,
                                   (uint64_t)1 << 55,
                                   (uint64_t)1 << 63};

    pv_rig_init(&rig, NULL);
    for (unsigned i = 0; i < 256; i++)
        blkfront_segment(pv_rig_page(&rig, 1000) + 8 * i, i, 0, 7);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (uint8_t operation = BLKIF_READ; operation <= BLKIF_FLUSH; operation++) {
            pv_rig_page_request(&rig, 0, operation, i, bad[i], 1);
            pv_rig_kick(&rig);
            pv_rig_expect(&rig, 0, i, operation, BLKIF_ERROR);
        }
        pv_rig_indirect(&rig, 0, BLKIF_WRITE, i, bad[i] - 8 * 255, 1000, 256);
        pv_rig_discard(&rig, 0, i, bad[i], 8, 0);
        pv_rig_discard(&rig, 0, i, 1, bad[i] | 16384, 0);
        pv_rig_discard(&rig, 0, i, bad[i], UINT64_MAX - bad[i] + 2, 0);
        pv_rig_discard(&rig, 0, i, 0, 0, 0);
        pv_rig_kick(&rig);
        for (unsigned j = 0; j < 5; j++) {
            struct blkfront_response response;

            assert_true(pv_rig_response(&rig, 0, &response));
            assert_int_equal(response.status, BLKIF_ERROR);
        }
    }
    assert_disk_untouched(&rig);
    pv_rig_page_request(&rig, 0, BLKIF_READ, 1, 16376, 1);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
    pv_rig_finish(&rig);
}

/* ---- pages ------------------------------------------------------------------------------------*/

static void what_was_not_granted_is_an_error_of_its_request_only(void **state)
{
    struct pv_rig rig;
    struct blkif_segment segments[3] = {{.ref = 1, .last = 7}, {.last = 7}, {.ref = 3, .last = 7}};
    static const uint32_t bad[] = {2, PV_PAGES, UINT32_MAX, 0x80000000};

    pv_rig_init(&rig, NULL);
    rig.grant[2] = PV_NONE;
    rig.grant[4] = PV_READ_ONLY;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        segments[1].ref = bad[i];
        pv_rig_request(&rig, 0, BLKIF_WRITE, 1, 0, segments, 3);
        pv_rig_page_request(&rig, 0, BLKIF_READ, 2, 8, 5);
        pv_rig_indirect(&rig, 0, BLKIF_WRITE, 3, 0, bad[i], 20);
        pv_rig_page_request(&rig, 0, BLKIF_READ, 4, 0, 4);
        pv_rig_kick(&rig);
        for (unsigned j = 0; j < 4; j++) {
            struct blkfront_response response;

            assert_true(pv_rig_response(&rig, 0, &response));
            assert_int_equal(response.status, response.id == 2 ? BLKIF_OKAY : BLKIF_ERROR);
        }
    }
    assert_disk_untouched(&rig);
    assert_int_equal(pv_rig_page(&rig, 4)[0], 0xee);
    assert_int_equal(pv_rig_page(&rig, 5)[0], pv_rig_byte(8 * 512));
    pv_rig_finish(&rig);
}

static void bytes_of_others_in_our_pages_reach_neither_disk_nor_guest(void **state)
{
    struct pv_rig rig;
    void *pages[64];
    struct pool_waiter waiter = {0};

    pv_rig_init(&rig, &(struct pv_rig_options){.pool_pages = 64});
    assert_true(pool_take(rig.pool, 64, pages, &waiter));
    for (unsigned i = 0; i < 64; i++)
        memset(pages[i], 0x5e, GRANT_PAGE); /* another guest's secret */
    for (unsigned i = 0; i < 64; i++)
        pool_give(rig.pool, pages[i]);
    rig.grant[2] = PV_NONE;
    pv_rig_fault(&rig, &(struct mem_faults){.error = -EIO, .first = 34, .last = 34});
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 1, 0, 2); /* nothing to write */
    pv_rig_page_request(&rig, 0, BLKIF_READ, 2, 32, 3); /* nothing was read */
    pv_rig_kick(&rig);
    assert_disk_untouched(&rig);
    for (unsigned i = 0; i < GRANT_PAGE; i++)
        assert_int_not_equal(pv_rig_page(&rig, 3)[i], 0x5e);
    pv_rig_finish(&rig);
}

static void xsa_216_an_answer_has_no_bytes_but_its_own(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pv_rig rig;
        const uint8_t *entry;
        unsigned size = i ? 16 : 12;

        pv_rig_init(&rig, &(struct pv_rig_options){.protocol = i ? BLKIF_X86_64 : BLKIF_X86_32});
        entry = pv_rig_ring(&rig, 0) + BLKIF_RING_HEAD;
        pv_rig_page_request(&rig, 0, BLKIF_READ, UINT64_MAX, 0, 0xabababab);
        memset(pv_rig_ring(&rig, 0) + BLKIF_RING_HEAD + size, 0xab,
               rig.front[0].layout.entry - size);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, UINT64_MAX, BLKIF_READ, BLKIF_ERROR);
        assert_int_equal(entry[9], 0);
        for (unsigned j = 12; j < size; j++)
            assert_int_equal(entry[j], 0);
        for (unsigned j = size; j < rig.front[0].layout.entry; j++)
            assert_int_equal(entry[j], 0xab);
        pv_rig_finish(&rig);
    }
}

/* A frontend that asks for more whenever it has an answer holds its worker for a turn only. */
static void produce(struct pv_rig *rig)
{
    struct blkfront_response response;

    while (pv_rig_response(rig, 0, &response))
        pv_rig_page_request(rig, 0, BLKIF_READ, response.id, 0, 1);
    while (rig->front[0].req_prod - rig->front[0].rsp_cons < rig->front[0].entries)
        pv_rig_page_request(rig, 0, BLKIF_READ, 1, 0, 1);
    pv_rig_publish(rig, 0);
}

static void a_ring_that_never_gets_empty_starves_nobody(void **state)
{
    struct pv_rig rig;
    uint64_t before;

    pv_rig_init(&rig, &(struct pv_rig_options){.ring_order = 4});
    pv_rig_settle(&rig);
    rig.after_copy = produce;
    produce(&rig);
    for (unsigned i = 0; i < 50; i++) {
        before = pvblk_counters(rig.pv)->requests;
        pvblk_turn(rig.pv);
        fake_loop_turn(rig.loop, 0);
        assert_true(pvblk_counters(rig.pv)->requests - before <= 3 * 64);
    }
    assert_true(pvblk_counters(rig.pv)->requests > 500);
    rig.after_copy = NULL;
    pv_rig_settle(&rig);
    pv_rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xsa_155_a_request_is_what_it_was_when_it_was_taken),
        cmocka_unit_test(xsa_155_a_frontend_that_changes_requests_while_they_are_read),
        cmocka_unit_test(more_requests_than_the_ring_has_room_for_break_it),
        cmocka_unit_test(requests_in_flight_count_against_the_rings_room),
        cmocka_unit_test(a_broken_ring_with_requests_in_flight_is_let_go),
        cmocka_unit_test(indices_that_wrap_are_indices),
        cmocka_unit_test(segments_that_leave_their_page_are_refused),
        cmocka_unit_test(numbers_of_segments_that_there_cannot_be_are_refused),
        cmocka_unit_test(operations_that_are_none_are_not_supported),
        cmocka_unit_test(sectors_beyond_the_end_are_refused_in_64_bits),
        cmocka_unit_test(what_was_not_granted_is_an_error_of_its_request_only),
        cmocka_unit_test(bytes_of_others_in_our_pages_reach_neither_disk_nor_guest),
        cmocka_unit_test(xsa_216_an_answer_has_no_bytes_but_its_own),
        cmocka_unit_test(a_ring_that_never_gets_empty_starves_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
