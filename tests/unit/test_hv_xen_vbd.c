/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of libxl's virtual disks is which emulated one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/hv_xen.h"

static void places_are_the_numbers_of_linux(void **state)
{
    static const struct {
        unsigned devid;
        int place;
    } cases[] = {
        {768, 0},
        {832, 1},
        {5632, 2},
        {5696, 3},
        {51712, 0},
        {51728, 1},
        {51744, 2},
        {51760, 3},
        {51776, -1} /* xvde */,
        {769, -1} /* hda1 */,
        {51713, -1} /* xvda1 */,
        {2048, -1} /* sda */,
        {1 << 28, -1},
        {0, -1},
        {768 + 128, -1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (unsigned place = 0; place < 4; place++) {
            struct hv_disk disk = {.place = place, .path = "/dev/vg/a"};

            assert_int_equal(hv_xen_vbd_is(cases[i].devid, "/dev/vg/a", &disk),
                             cases[i].place == (int)place);
        }
}

static void the_image_must_be_the_same(void **state)
{
    char dir[] = "/tmp/test_vbd.XXXXXX", image[64], other[64], link[64], params[80];
    struct hv_disk disk = {.place = 0, .path = image};

    assert_non_null(mkdtemp(dir));
    snprintf(image, sizeof(image), "%s/image", dir);
    snprintf(other, sizeof(other), "%s/other", dir);
    snprintf(link, sizeof(link), "%s/link", dir);
    fclose(fopen(image, "w"));
    fclose(fopen(other, "w"));
    assert_int_equal(symlink(image, link), 0);
    assert_true(hv_xen_vbd_is(768, image, &disk));
    assert_true(hv_xen_vbd_is(768, link, &disk));
    assert_false(hv_xen_vbd_is(768, other, &disk));
    assert_false(hv_xen_vbd_is(768, "/nonexistent", &disk));
    assert_false(hv_xen_vbd_is(768, NULL, &disk));
    /* As libxl writes it for a device model. */
    snprintf(params, sizeof(params), "aio:%s", link);
    assert_true(hv_xen_vbd_is(768, params, &disk));
    snprintf(params, sizeof(params), "aio:%s", other);
    assert_false(hv_xen_vbd_is(768, params, &disk));
    snprintf(params, sizeof(params), "qcow2:%s", image);
    assert_false(hv_xen_vbd_is(768, params, &disk));
    assert_false(hv_xen_vbd_is(768, "aio:", &disk)); /* an empty drive */
    disk.path = NULL;                                /* a disk in memory */
    assert_false(hv_xen_vbd_is(768, image, &disk));
    unlink(link);
    unlink(other);
    unlink(image);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_the_numbers_of_linux),
        cmocka_unit_test(the_image_must_be_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
