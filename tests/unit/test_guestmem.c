/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ioreq/guestmem.h"
#include "tests/unit/fake_hv.h"

static struct hv_guest *guest;

static int setup(void **state)
{
    guest = aligned_alloc(IOREQ_PAGE, sizeof(*guest));
    assert_non_null(guest);
    memset(guest, 0, sizeof(*guest));
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(guest->pins, 0);
    free(guest);
    return 0;
}

static void a_hole_reads_as_ones_and_swallows_writes(void **state)
{
    uint8_t buf[16];

    memset(guest->ram, 0x5a, FAKE_HV_RAM);
    assert_int_equal(guestmem_read(&fake_hv, guest, FAKE_HV_RAM - 8, buf, 16), 0);
    assert_int_equal(buf[7], 0x5a);
    assert_int_equal(buf[8], 0xff);
    memset(buf, 0x33, sizeof(buf));
    assert_int_equal(guestmem_write(&fake_hv, guest, FAKE_HV_RAM - 8, buf, 16), 0);
    assert_int_equal(guest->ram[FAKE_HV_RAM - 1], 0x33);
}

static void memory_out_of_reach_is_an_error_whatever_the_reason(void **state)
{
    static const int errors[] = {-ENOMEM, -EAGAIN, -EIO, -ESRCH};
    uint8_t buf[16] = {0};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        guest->pin_error = errors[i];
        assert_int_equal(guestmem_read(&fake_hv, guest, 0, buf, sizeof(buf)), errors[i]);
        assert_int_equal(guestmem_write(&fake_hv, guest, 0, buf, sizeof(buf)), errors[i]);
    }
    assert_int_equal(guest->dirty_calls, 0);
    assert_int_equal(guest->ram[0], 0);
}

static void who_has_much_mapped_rests_as_long_as_that_takes(void **state)
{
    struct hv_counters counters = {0};
    struct guestmem_rest rest = {0};
    uint64_t now = 1000;

    for (unsigned i = 0; i < 100; i++) { /* an ordinary transfer, again and again */
        counters.map_calls += 33;
        assert_int_equal(guestmem_rest(&rest, &counters, now), 0);
    }
    counters.map_calls += 256;
    assert_int_equal(guestmem_rest(&rest, &counters, now), now + 256 * GUESTMEM_MAP_NS);
    now += 256 * GUESTMEM_MAP_NS - 1;
    assert_int_equal(guestmem_rest(&rest, &counters, now), now + 1); /* also asked by another */
    assert_int_equal(guestmem_rest(&rest, &counters, now + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hole_reads_as_ones_and_swallows_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_out_of_reach_is_an_error_whatever_the_reason, setup,
                                        teardown),
        cmocka_unit_test(who_has_much_mapped_rests_as_long_as_that_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
