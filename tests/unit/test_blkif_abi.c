/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devices/pv/blkif_abi.h says in our words what Xen's headers say in theirs. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <xenctrl.h>

#include <xen/io/blkif.h>

#include "tests/unit/blkif_abi_same.h"

struct blkif_layout blkif_layout_32(void); /* blkif_abi_32.c; checks on its way */

static void the_64_bit_layout_is_xens(void **state)
{
    const struct blkif_layout layout = BLKIF_LAYOUT_64;

    check_layout(&layout);
    assert_true(sizeof(union blkif_sring_entry) <= BLKIF_ENTRY_MAX);
}

static void the_32_bit_layout_is_xens(void **state)
{
    assert_int_equal(blkif_layout_32().entry, 108);
}

static void who_names_no_protocol_has_this_programs_layout(void **state)
{
    static uint32_t page[BLKIF_PAGE / 4];
    struct blkif_ring ring;

    blkif_ring_attach(&ring, page, 1, BLKIF_NATIVE);
    assert_int_equal(ring.layout.entry, sizeof(union blkif_sring_entry));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_64_bit_layout_is_xens),
        cmocka_unit_test(the_32_bit_layout_is_xens),
        cmocka_unit_test(who_names_no_protocol_has_this_programs_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
