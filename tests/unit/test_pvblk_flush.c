// SPDX-License-Identifier: GPL-2.0-or-later
/* A PV disk whose flush has failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/backend/blk_ops.h"
#include "tests/unit/pvblk_checks.h"

static void spoil(struct pv_rig *rig, int error)
{
    pv_rig_fault(rig, &(struct mem_faults){.flush_error = error});
}

static void mend(struct pv_rig *rig)
{
    pv_rig_fault(rig, &(struct mem_faults){0});
}

static void seal(struct pv_rig *rig)
{
    spoil(rig, -EIO);
    pv_rig_request(rig, 0, BLKIF_FLUSH, 1, 0, NULL, 0);
    pv_rig_kick(rig);
    pv_rig_expect(rig, 0, 1, BLKIF_FLUSH, BLKIF_FAILED);
    assert_int_equal(rig->sealed, 1);
    mend(rig);
}

/* All that its frontend takes for a disk's error, and not for a disk that has nothing to flush. */
static void assert_failed(struct pv_rig *rig, uint64_t id, uint8_t operation)
{
    struct blkfront_response response;

    assert_true(pv_rig_response(rig, 0, &response));
    assert_int_equal(response.id, id);
    assert_int_equal(response.operation, operation);
    assert_int_not_equal(response.status, BLKIF_OKAY);
    assert_int_not_equal(response.status, BLKIF_ERROR);
    assert_int_not_equal(response.status, BLKIF_EOPNOTSUPP);
    assert_false(pv_rig_response(rig, 0, &response));
}

static void a_flush_that_fails_is_never_taken_for_one_that_is_not_supported(void **state)
{
    static const int errors[] = {-EIO, -ENOSPC, -EOPNOTSUPP};

    for (unsigned i = 0; i < 3; i++)
        for (uint8_t operation = BLKIF_BARRIER; operation <= BLKIF_FLUSH; operation++)
            for (unsigned data = 0; data < 2; data++) {
                struct pv_rig rig;

                pv_rig_init(&rig, NULL);
                spoil(&rig, errors[i]);
                if (data)
                    pv_rig_page_request(&rig, 0, operation, 7, 8, 2);
                else
                    pv_rig_request(&rig, 0, operation, 7, 0, NULL, 0);
                pv_rig_kick(&rig);
                assert_failed(&rig, 7, operation);
                assert_int_equal(rig.sealed_error, errors[i]);
                assert_int_equal(rig.failures, 1);
                assert_int_equal(rig.failure.op, BLK_FLUSH);
                assert_int_equal(rig.failure.error, errors[i]);
                pv_assert_disk(rig.disk, 0, 64 * 512);
                assert_int_equal(pvblk_counters(rig.pv)->failed, 1);
                pv_rig_finish(&rig);
            }
}

/* Linux flushes no more after either. */
static void a_barrier_whose_data_cannot_be_written_seals_the_disk_as_well(void **state)
{
    for (unsigned granted = 0; granted < 2; granted++) {
        struct pv_rig rig;

        pv_rig_init(&rig, NULL);
        if (granted)
            pv_rig_fault(&rig, &(struct mem_faults){.error = -EOPNOTSUPP, .first = 9, .last = 9});
        else
            rig.grant[2] = PV_NONE;
        pv_rig_page_request(&rig, 0, BLKIF_BARRIER, 7, 8, 2);
        pv_rig_kick(&rig);
        assert_failed(&rig, 7, BLKIF_BARRIER);
        assert_int_equal(rig.sealed, 1);
        pv_rig_finish(&rig);
    }
}

static void after_a_flush_that_failed_the_disk_is_only_read(void **state)
{
    struct pv_rig rig;
    uint64_t writes, flushes;

    pv_rig_init(&rig, NULL);
    seal(&rig);
    writes = blk_counters(rig.blk)->writes;
    flushes = blk_counters(rig.blk)->flushes;
    pv_make_table(&rig, 600, 16, false);

    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 2, 8, 2);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 2, BLKIF_WRITE, BLKIF_ERROR);
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 3, 0, 600, 16);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 3, BLKIF_WRITE, BLKIF_ERROR);
    pv_rig_discard(&rig, 0, 4, 8, 8, 0);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 4, BLKIF_DISCARD, BLKIF_ERROR);
    for (uint8_t operation = BLKIF_BARRIER; operation <= BLKIF_FLUSH; operation++) {
        pv_rig_request(&rig, 0, operation, 5, 0, NULL, 0);
        pv_rig_kick(&rig);
        assert_failed(&rig, 5, operation);
        pv_rig_page_request(&rig, 0, operation, 6, 8, 2);
        pv_rig_kick(&rig);
        assert_failed(&rig, 6, operation);
    }
    assert_int_equal(blk_counters(rig.blk)->writes, writes);
    assert_int_equal(blk_counters(rig.blk)->flushes, flushes);
    assert_int_equal(blk_counters(rig.blk)->discards, 0);
    pv_assert_disk(rig.disk, 0, 64 * 512);

    pv_rig_page_request(&rig, 0, BLKIF_READ, 7, 8, 700);
    pv_rig_indirect(&rig, 0, BLKIF_READ, 8, 0, 600, 16);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 2);
    pv_assert_disk(pv_rig_page(&rig, 700), 8 * 512, 4096);
    pv_assert_table(&rig, 600, 16, 0);
    assert_int_equal(pvblk_counters(rig.pv)->failed, 8);
    assert_int_equal(rig.sealed, 1); /* told once */
    pv_rig_finish(&rig);
}

/* Nothing makes stable what ends after the flush has failed, and a later flush that succeeds may
 * have nothing left to write. */
static void what_was_under_way_when_a_flush_failed_is_not_called_done(void **state)
{
    for (unsigned mended = 0; mended < 2; mended++) {
        struct pv_rig rig;
        struct blkfront_response response;

        pv_rig_init(&rig, NULL);
        rig.after_sealed = mended ? mend : NULL;
        pv_rig_fault(&rig, &(struct mem_faults){.hold = true, .flush_error = -EIO});
        pv_rig_request(&rig, 0, BLKIF_FLUSH, 1, 0, NULL, 0);
        pv_rig_page_request(&rig, 0, BLKIF_WRITE, 2, 8, 2);
        pv_rig_request(&rig, 0, BLKIF_FLUSH, 3, 0, NULL, 0);
        pv_rig_discard(&rig, 0, 4, 64, 8, 0);
        pv_rig_page_request(&rig, 0, BLKIF_READ, 5, 128, 3);
        pv_rig_kick(&rig);
        assert_int_equal(blk_counters(rig.blk)->in_flight, 5);
        mem_release(rig.image);
        pv_rig_settle(&rig);
        assert_int_equal(blk_counters(rig.blk)->errors, mended ? 1 : 2); /* others are done */
        for (unsigned i = 0; i < 5; i++) {
            assert_true(pv_rig_response(&rig, 0, &response));
            assert_int_equal(response.status, response.operation == BLKIF_READ    ? BLKIF_OKAY
                                              : response.operation == BLKIF_FLUSH ? BLKIF_FAILED
                                                                                  : BLKIF_ERROR);
        }
        assert_int_equal(pvblk_counters(rig.pv)->failed, 4);
        assert_int_equal(pvblk_counters(rig.pv)->active, 0);
        assert_int_equal(rig.sealed, 1);
        pv_rig_finish(&rig);
    }
}

static void what_waits_in_line_when_a_flush_fails_is_not_begun(void **state)
{
    /* With two slots the flush and the write's first part. */
    for (unsigned depth = 1; depth <= 2; depth++) {
        struct pv_rig rig;
        struct blkfront_response response;

        pv_rig_init(&rig, &(struct pv_rig_options){.depth = depth});
        rig.after_sealed = mend;
        pv_make_table(&rig, 600, 256, false);
        pv_rig_fault(&rig, &(struct mem_faults){.hold = true, .flush_error = -EIO});
        pv_rig_request(&rig, 0, BLKIF_FLUSH, 1, 0, NULL, 0);
        pv_rig_indirect(&rig, 0, BLKIF_WRITE, 2, 0, 600, 256);
        pv_rig_page_request(&rig, 0, BLKIF_WRITE, 3, 3000, 2);
        pv_rig_kick(&rig);
        assert_int_equal(blk_counters(rig.blk)->in_flight, depth);
        mem_release(rig.image);
        pv_rig_settle(&rig);
        assert_int_equal(blk_counters(rig.blk)->writes, depth - 1);
        for (unsigned i = 0; i < 3; i++) {
            assert_true(pv_rig_response(&rig, 0, &response));
            assert_int_equal(response.status, response.id == 1 ? BLKIF_FAILED : BLKIF_ERROR);
        }
        assert_false(pv_rig_response(&rig, 0, &response));
        assert_int_equal(pvblk_counters(rig.pv)->active, 0);
        pv_rig_finish(&rig);
    }
}

static void what_has_begun_in_part_when_a_flush_fails_is_answered_when_that_part_is_over(
    void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.depth = 2});
    pv_make_table(&rig, 600, 256, false);
    rig.grant[300] = PV_NONE;
    pv_hold(&rig, true);
    pv_rig_page_request(&rig, 0, BLKIF_FLUSH, 1, 3000, 300);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1);
    mem_release(rig.image); /* its data is to be copied next, with the following's first part */
    pv_rig_indirect(&rig, 0, BLKIF_WRITE, 2, 0, 600, 256);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_FLUSH, BLKIF_FAILED);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1);
    mem_release(rig.image);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 2, BLKIF_WRITE, BLKIF_ERROR);
    assert_int_equal(blk_counters(rig.blk)->writes, 1);
    pv_rig_finish(&rig);
}

static void a_barrier_that_waits_when_a_flush_fails_fails_and_holds_nobody_up(void **state)
{
    struct pv_rig rig;
    struct blkfront_response response;

    pv_rig_init(&rig, NULL);
    rig.after_sealed = mend;
    pv_rig_fault(&rig,
                 &(struct mem_faults){.hold = true, .error = -EIO, .first = 0, .last = UINT64_MAX});
    pv_rig_request(&rig, 0, BLKIF_FLUSH, 1, 0, NULL, 0);
    pv_rig_page_request(&rig, 0, BLKIF_BARRIER, 2, 8, 2);
    pv_rig_page_request(&rig, 0, BLKIF_READ, 3, 8, 3);
    pv_rig_kick(&rig);
    assert_int_equal(blk_counters(rig.blk)->in_flight, 1);
    mem_release(rig.image);
    pv_rig_settle(&rig);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(pv_rig_response(&rig, 0, &response));
        assert_int_equal(response.id, i);
        assert_int_equal(response.status, i == 3 ? BLKIF_OKAY : BLKIF_FAILED);
    }
    assert_int_equal(blk_counters(rig.blk)->writes, 0);
    pv_rig_finish(&rig);
}

/* A guest that comes back from a suspension still counts on what it was told before. */
static void another_connection_does_not_unseal_a_disk_and_another_disk_does(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    seal(&rig);
    for (unsigned other = 0; other < 2; other++) {
        assert_true(pvblk_disconnect(rig.pv));
        if (other)
            pvblk_set_blk(rig.pv, rig.blk);
        assert_int_equal(pv_rig_connect(&rig), 0);
        pv_rig_page_request(&rig, 0, BLKIF_WRITE, 2, 8, 2);
        pv_rig_kick(&rig);
        pv_rig_expect(&rig, 0, 2, BLKIF_WRITE, other ? BLKIF_OKAY : BLKIF_ERROR);
    }
    assert_int_equal(rig.sealed, 1);
    pv_rig_finish(&rig);
}

static void on_stopped(void *arg, const struct blk_stop *stop)
{
    *(struct blk_stop *)arg = *stop;
}

/* Whoever asked for that says with `resume` that the disk is mended. */
static void a_flush_whose_guest_is_stopped_is_tried_again_and_seals_nothing(void **state)
{
    struct pv_rig rig;
    struct blk_stop stop = {0};
    struct blk_policies policies = {.write = BLK_STOP, .stopped = on_stopped, .arg = &stop};

    pv_rig_init(&rig, NULL);
    blk_set_policies(rig.blk, &policies);
    spoil(&rig, -EIO);
    pv_rig_request(&rig, 0, BLKIF_FLUSH, 1, 0, NULL, 0);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 0);
    assert_int_equal(stop.op, BLK_FLUSH);
    mend(&rig);
    blk_restart(rig.blk);
    pv_rig_settle(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_FLUSH, BLKIF_OKAY);
    assert_int_equal(rig.sealed, 0);
    pv_rig_finish(&rig);
}

/* The error of a write alone is the guest's to deal with: it knows which. */
static void a_write_or_discard_that_fails_seals_nothing(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, NULL);
    pv_rig_fault(&rig, &(struct mem_faults){.error = -EIO, .first = 8, .last = 8});
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 1, 8, 2);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_WRITE, BLKIF_ERROR);
    pv_rig_discard(&rig, 0, 2, 8, 8, 0);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 2, BLKIF_DISCARD, BLKIF_ERROR);
    mend(&rig);
    pv_rig_page_request(&rig, 0, BLKIF_WRITE, 3, 8, 2);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 3, BLKIF_WRITE, BLKIF_OKAY);
    assert_int_equal(rig.sealed, 0);
    pv_rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flush_that_fails_is_never_taken_for_one_that_is_not_supported),
        cmocka_unit_test(a_barrier_whose_data_cannot_be_written_seals_the_disk_as_well),
        cmocka_unit_test(after_a_flush_that_failed_the_disk_is_only_read),
        cmocka_unit_test(what_was_under_way_when_a_flush_failed_is_not_called_done),
        cmocka_unit_test(what_waits_in_line_when_a_flush_fails_is_not_begun),
        cmocka_unit_test(
            what_has_begun_in_part_when_a_flush_fails_is_answered_when_that_part_is_over),
        cmocka_unit_test(a_barrier_that_waits_when_a_flush_fails_fails_and_holds_nobody_up),
        cmocka_unit_test(another_connection_does_not_unseal_a_disk_and_another_disk_does),
        cmocka_unit_test(a_flush_whose_guest_is_stopped_is_tried_again_and_seals_nothing),
        cmocka_unit_test(a_write_or_discard_that_fails_seals_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
