/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the driver's errors say of frames; the calls themselves are tests/xen's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ioreq/privcmd.h"

static void frames_that_are_no_ram_are_holes(void **state)
{
    int errs[PRIVCMD_MAP_MAX] = {0};
    uint64_t holes = 1;

    assert_int_equal(privcmd_holes(errs, PRIVCMD_MAP_MAX, &holes), 0);
    assert_int_equal(holes, 0);
    errs[0] = -EINVAL;
    errs[3] = -EPERM;
    errs[63] = -EFAULT;
    assert_int_equal(privcmd_holes(errs, PRIVCMD_MAP_MAX, &holes), 0);
    assert_true(holes == (1 | 1 << 3 | UINT64_C(1) << 63));
}

static void a_frame_that_cannot_be_had_now_is_none(void **state)
{
    static const int later[] = {-ENOMEM, -ENOENT, -EAGAIN, -EBUSY, -EINTR};

    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        int errs[PRIVCMD_MAP_MAX] = {[1] = -EINVAL, [7] = later[i]};
        uint64_t holes = 42;

        assert_int_equal(privcmd_holes(errs, PRIVCMD_MAP_MAX, &holes), later[i]);
        assert_int_equal(holes, 42);
    }
}

static void a_domain_that_is_gone_says_so_first(void **state)
{
    const int errs[] = {-EINVAL, -ENOMEM, -ESRCH};
    uint64_t holes;

    assert_int_equal(privcmd_holes(errs, 3, &holes), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_are_no_ram_are_holes),
        cmocka_unit_test(a_frame_that_cannot_be_had_now_is_none),
        cmocka_unit_test(a_domain_that_is_gone_says_so_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
