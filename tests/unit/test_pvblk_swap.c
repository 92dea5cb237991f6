// SPDX-License-Identifier: GPL-2.0-or-later
/* devices/pv/pvblk: reads whose pages change places with the guest's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pvblk_checks.h"

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
    pv_assert_disk(pv_rig_page(&rig, 1), 8 * 512, 3 * 4096);
    /* Too short, not whole, or a write: copied. */
    pv_rig_page_request(&rig, 0, BLKIF_READ, 2, 80, 4);
    pv_rig_request(&rig, 0, BLKIF_WRITE, 3, 800, segments, 3);
    segments[1].first = 1;
    pv_rig_request(&rig, 0, BLKIF_READ, 4, 8, segments, 3);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 3);
    assert_int_equal(rig.swaps, 3);
    pv_assert_disk(pv_rig_page(&rig, 4), 80 * 512, 4096);
    pv_assert_disk(pv_rig_page(&rig, 3), 23 * 512, 4096);
    assert_memory_equal(rig.disk + 800 * 512, rig.disk + 8 * 512, 3 * 4096);
    pv_rig_finish(&rig);
}

static void what_cannot_be_swapped_is_copied_or_fails_as_a_copy_would(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.swap_pages = 32});
    pv_make_table(&rig, 600, 32, false);
    rig.swaps_fail_from = 7;
    pv_rig_indirect(&rig, 0, BLKIF_READ, 1, 0, 600, 32);
    pv_rig_kick(&rig);
    pv_rig_expect(&rig, 0, 1, BLKIF_READ, BLKIF_OKAY);
    pv_assert_table(&rig, 600, 32, 0);
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
    pv_make_table(&rig, 600, 256, false);
    for (unsigned i = 0; i < 6; i++)
        pv_rig_indirect(&rig, 0, BLKIF_READ, i, 8, 600, 256);
    pv_rig_kick(&rig);
    assert_int_equal(pv_responses(&rig, 0), 6);
    pv_assert_table(&rig, 600, 256, 8 * 512);
    assert_true(rig.swaps > 0 && rig.copy_calls > 1);
    pv_rig_finish(&rig);
}

static void pages_that_are_lent_come_back_after_a_disconnection(void **state)
{
    struct pv_rig rig;

    pv_rig_init(&rig, &(struct pv_rig_options){.swap_pages = 32});
    pv_make_table(&rig, 600, 16, false);
    pv_hold(&rig, true);
    pv_rig_indirect(&rig, 0, BLKIF_READ, 1, 8, 600, 16);
    pv_rig_indirect(&rig, 0, BLKIF_READ, 2, 8, 600, 16);
    pv_rig_kick(&rig);
    assert_int_equal(rig.lent, 32);
    assert_false(pvblk_disconnect(rig.pv));
    assert_int_equal(rig.lent, 32); /* the disk may write to them */
    pv_hold(&rig, false);
    pv_rig_settle(&rig);
    assert_int_equal(rig.lent, 0);
    assert_int_equal(rig.swaps, 0);
    pv_rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_of_whole_pages_is_swapped_into_place),
        cmocka_unit_test(what_cannot_be_swapped_is_copied_or_fails_as_a_copy_would),
        cmocka_unit_test(without_pages_to_swap_reads_go_on),
        cmocka_unit_test(pages_that_are_lent_come_back_after_a_disconnection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
