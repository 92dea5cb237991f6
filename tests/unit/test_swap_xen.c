/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The caller's half of the frame swap, over a call of the test's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <xenctrl.h>

#include "ioreq/swap_abi.h"
#include "ioreq/swap_xen.h"

#define PAGES 200u

struct fake {
    struct swap_xen *swap;
    struct swap_xen_one ones[PAGES];
    struct gnttab_swap_frame seen[PAGES];
    unsigned n_seen, calls, largest;
    unsigned
        fail_at;    /* the swap of that number, of all, is not done, and the call fails; 0: none */
    int16_t status; /* of every third */
};

static int call(void *ctx, struct gnttab_swap_frame *frames, unsigned count)
{
    struct fake *fake = ctx;

    fake->calls++;
    if (count > fake->largest)
        fake->largest = count;
    for (unsigned i = 0; i < count; i++) {
        if (fake->fail_at && fake->n_seen + 1 == fake->fail_at)
            return -EFAULT;
        frames[i].status = fake->n_seen % 3 == 2 ? fake->status : GNTST_okay;
        fake->seen[fake->n_seen++] = frames[i];
    }
    return 0;
}

static int setup(void **state)
{
    static struct fake fake;
    uint32_t refs[PAGES];

    memset(&fake, 0, sizeof(fake));
    for (unsigned i = 0; i < PAGES; i++) {
        refs[i] = 1000 + i;
        fake.ones[i] = (struct swap_xen_one){.page = PAGES - 1 - i, .ref = 5 * i, .err = 1};
    }
    *state = &fake;
    return swap_xen_open_fake(call, &fake, refs, PAGES, &fake.swap);
}

static int teardown(void **state)
{
    struct fake *fake = *state;

    swap_xen_close(fake->swap);
    return 0;
}

static void each_swap_names_two_references_and_a_domain(void **state)
{
    struct fake *fake = *state;

    assert_int_equal(swap_xen(fake->swap, 7, fake->ones, PAGES), PAGES);
    assert_int_equal(fake->n_seen, PAGES);
    for (unsigned i = 0; i < PAGES; i++) {
        assert_int_equal(fake->seen[i].local_ref, 1000 + PAGES - 1 - i);
        assert_int_equal(fake->seen[i].remote_ref, 5 * i);
        assert_int_equal(fake->seen[i].remote_domid, 7);
        assert_int_equal(fake->ones[i].err, 0);
    }
}

static void many_go_in_a_call_but_not_too_many(void **state)
{
    struct fake *fake = *state;

    swap_xen(fake->swap, 7, fake->ones, PAGES);
    assert_int_equal(fake->largest, SWAP_XEN_BATCH);
    assert_int_equal(fake->calls, (PAGES + SWAP_XEN_BATCH - 1) / SWAP_XEN_BATCH);
    assert_int_equal(swap_xen(fake->swap, 7, fake->ones, 0), 0);
    assert_int_equal(fake->calls, (PAGES + SWAP_XEN_BATCH - 1) / SWAP_XEN_BATCH);
}

static void what_is_refused_is_told_by_itself(void **state)
{
    struct fake *fake = *state;

    fake->status = GNTST_eagain;
    assert_int_equal(swap_xen(fake->swap, 7, fake->ones, 9), 6);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(fake->ones[i].err, i % 3 == 2 ? -EBUSY : 0);
}

static void a_call_that_fails_leaves_no_doubt_of_any(void **state)
{
    struct fake *fake = *state;

    fake->fail_at = SWAP_XEN_BATCH + 11;
    fake->status = GNTST_bad_page;
    assert_int_equal(swap_xen(fake->swap, 7, fake->ones, PAGES), -EFAULT);
    assert_int_equal(fake->calls, 2);
    for (unsigned i = 0; i < PAGES; i++) {
        if (i < SWAP_XEN_BATCH + 10)
            assert_int_equal(fake->ones[i].err, i % 3 == 2 ? -EFAULT : 0);
        else
            assert_int_equal(fake->ones[i].err, -EFAULT);
    }
}

static void every_status_is_an_errno(void **state)
{
    assert_int_equal(swap_xen_error(GNTST_okay), 0);
    assert_int_equal(swap_xen_error(GNTST_eagain), -EBUSY);
    assert_int_equal(swap_xen_error(GNTST_bad_domain), -ESRCH);
    assert_int_equal(swap_xen_error(GNTST_permission_denied), -EACCES);
    assert_int_equal(swap_xen_error(GNTST_bad_gntref), -EINVAL);
    assert_int_equal(swap_xen_error(GNTST_general_error), -EINVAL);
    assert_int_equal(swap_xen_error(GNTST_bad_page), -EFAULT);
    assert_int_equal(swap_xen_error(GNTST_no_space), -ENOMEM);
    assert_int_equal(swap_xen_error(GNTST_no_device_space), -EIO);
    assert_int_equal(swap_xen_error(1), -EPROTO);
    assert_int_equal(swap_xen_error(-1000), -EPROTO);
}

/* Xen's header packs nothing: both sides, 32 and 64 bits, see the same. */
static void the_argument_is_laid_out_as_the_contract_says(void **state)
{
    assert_int_equal(sizeof(struct gnttab_swap_frame), 12);
    assert_int_equal(offsetof(struct gnttab_swap_frame, local_ref), 0);
    assert_int_equal(offsetof(struct gnttab_swap_frame, remote_ref), 4);
    assert_int_equal(offsetof(struct gnttab_swap_frame, remote_domid), 8);
    assert_int_equal(offsetof(struct gnttab_swap_frame, status), 10);
    assert_true(GNTTABOP_swap_frame > GNTTABOP_cache_flush && GNTTABOP_swap_frame < 1 << 12);
}

static void without_xen_it_says_so(void **state)
{
    struct swap_xen *swap = NULL;
    int err = swap_xen_open(0, 1, &swap);

    if (!err) { /* there is one */
        swap_xen_close(swap);
        return;
    }
    assert_true(err < 0);
    assert_null(swap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_swap_names_two_references_and_a_domain, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_go_in_a_call_but_not_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_is_told_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_that_fails_leaves_no_doubt_of_any, setup, teardown),
        cmocka_unit_test(every_status_is_an_errno),
        cmocka_unit_test(the_argument_is_laid_out_as_the_contract_says),
        cmocka_unit_test(without_xen_it_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
