/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Swaps of a worker's grants, down to the hypercall's array. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ioreq/grant_swap.h"
#include "ioreq/swap_abi.h"

#include <xen/grant_table.h>

#define PAGES 128u

static struct {
    struct gnttab_swap_frame seen[PAGES];
    unsigned calls, n;
    int16_t status; /* of the odd references */
    int fail;       /* of the call, which has looked at nothing */
} hypervisor;

static uint8_t area[PAGES * GRANT_PAGE];
static struct swap_xen *swap_pages;
static struct grant_xen *xen;
static const struct grants *grants;

static int call(void *ctx, struct gnttab_swap_frame *frames, unsigned count)
{
    hypervisor.calls++;
    if (hypervisor.fail)
        return hypervisor.fail;
    for (unsigned i = 0; i < count; i++) {
        frames[i].status = frames[i].remote_ref % 2 ? hypervisor.status : GNTST_okay;
        hypervisor.seen[hypervisor.n++] = frames[i];
    }
    return 0;
}

static void no_close(void *handle)
{
}

static const struct grant_xen_calls no_library = {.close = no_close};

static int setup(void **state)
{
    uint32_t refs[PAGES];

    memset(&hypervisor, 0, sizeof(hypervisor));
    for (unsigned i = 0; i < PAGES; i++)
        refs[i] = 500 + i;
    assert_int_equal(swap_xen_open_fake(call, NULL, refs, PAGES, &swap_pages), 0);
    assert_int_equal(grant_xen_open_with(&no_library, NULL, &xen), 0);
    assert_int_equal(grant_swap_use(xen, swap_pages, area, PAGES, 16384), 0);
    assert_int_equal(grant_xen_guest_open(xen, 7, &grants), 0);
    return 0;
}

static int teardown(void **state)
{
    grant_xen_guest_close(grants);
    grant_xen_close(xen);
    swap_xen_close(swap_pages);
    return 0;
}

static void swap_all(struct grant_swap *swaps, unsigned count)
{
    uint8_t *page[PAGES];

    assert_true(grants_swap_take(grants, page, count));
    for (unsigned i = 0; i < count; i++)
        swaps[i] = (struct grant_swap){.page = page[i], .ref = i, .status = 1};
    grants_swap(grants, swaps, count);
    for (unsigned i = 0; i < count; i++)
        grants_swap_give(grants, page[i]);
}

static void a_turns_swaps_reach_the_hypervisor_in_its_batches(void **state)
{
    struct grant_swap swaps[100];

    assert_true(grants->can & GRANT_CAN_SWAP);
    assert_int_equal(grants->from.swap, 16384);
    swap_all(swaps, 100);
    assert_int_equal(hypervisor.n, 100);
    assert_int_equal(hypervisor.calls, 2);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(swaps[i].status, 0);
        assert_int_equal(hypervisor.seen[i].remote_domid, 7);
        assert_int_equal(hypervisor.seen[i].remote_ref, i);
        /* The page's own reference: its number from the start of the area. */
        assert_int_equal(hypervisor.seen[i].local_ref,
                         500 + (unsigned)(swaps[i].page - area) / GRANT_PAGE);
    }
    assert_int_equal(grants->counters->swaps, 100);
}

static void each_refusal_is_told_in_the_words_of_grants(void **state)
{
    static const struct {
        int16_t status;
        int error;
    } cases[] = {
        {GNTST_eagain, -EBUSY},      {GNTST_no_space, -EBUSY},
        {GNTST_bad_gntref, -EINVAL}, {GNTST_general_error, -EINVAL},
        {GNTST_bad_page, -EFAULT},   {GNTST_permission_denied, -EACCES},
        {GNTST_bad_domain, -ESRCH},
    };
    struct grant_swap swaps[4];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t pages, left;

        hypervisor.n = 0;
        hypervisor.status = cases[i].status;
        swap_all(swaps, 4);
        assert_int_equal(swaps[0].status, 0);
        assert_int_equal(swaps[1].status, cases[i].error);
        assert_int_equal(swaps[2].status, 0);
        grants->ops->swap_pages(grants->ctx, &pages, &left);
        assert_int_equal(left, PAGES);
    }
}

/* Nobody knows what is in them, so nobody gets them. */
static void pages_of_an_unknown_fate_are_not_used_again(void **state)
{
    static const int16_t status[] = {GNTST_no_device_space, -77};
    struct grant_swap swaps[2];
    uint32_t pages, left;

    for (unsigned i = 0; i < 2; i++) {
        hypervisor.n = 0;
        hypervisor.status = status[i];
        swap_all(swaps, 2);
        assert_int_equal(swaps[1].status, -EIO);
        grants->ops->swap_pages(grants->ctx, &pages, &left);
        assert_int_equal(left, PAGES - 1 - i);
    }
}

static void a_call_that_fails_is_a_reason_to_copy(void **state)
{
    struct grant_swap swaps[3];
    uint32_t pages, left;

    hypervisor.fail = -EFAULT;
    swap_all(swaps, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(swaps[i].status, -EFAULT);
    hypervisor.fail = -ENOSYS;
    swap_all(swaps, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(swaps[i].status, -EBUSY);
    grants->ops->swap_pages(grants->ctx, &pages, &left);
    assert_int_equal(left, PAGES);
}

static void a_domain_whose_frames_are_not_swapped_is_not_asked_again(void **state)
{
    struct grant_swap swaps[2];

    hypervisor.status = GNTST_eagain;
    swap_all(swaps, 2);
    assert_int_equal(grants->from.swap, 16384);
    hypervisor.status = GNTST_bad_domain;
    swap_all(swaps, 2);
    assert_int_equal(grants->from.swap, GRANT_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_turns_swaps_reach_the_hypervisor_in_its_batches, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_refusal_is_told_in_the_words_of_grants, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pages_of_an_unknown_fate_are_not_used_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_call_that_fails_is_a_reason_to_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(a_domain_whose_frames_are_not_swapped_is_not_asked_again,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
