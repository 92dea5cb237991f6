/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ioreq/portmap.h"

static void every_port_leads_to_its_channel(void **state)
{
    struct portmap map = {0};
    uint32_t channel;

    /* 128 vCPUs and the buffered ring, on ports that all hash alike. */
    assert_int_equal(portmap_init(&map, 129), 0);
    for (uint32_t i = 0; i < 129; i++)
        assert_int_equal(portmap_add(&map, 7 + i * 512, i), 0);
    for (uint32_t i = 0; i < 129; i++) {
        assert_int_equal(portmap_find(&map, 7 + i * 512, &channel), 0);
        assert_int_equal(channel, i);
    }
    portmap_finish(&map);
}

static void a_foreign_port_is_not_found(void **state)
{
    struct portmap map = {0};
    uint32_t channel = 99;

    assert_int_equal(portmap_init(&map, 2), 0);
    assert_int_equal(portmap_add(&map, 5, 0), 0);
    assert_int_equal(portmap_add(&map, 6, 1), 0);
    assert_int_equal(portmap_find(&map, 7, &channel), -ENOENT);
    assert_int_equal(portmap_find(&map, 0, &channel), -ENOENT);
    assert_int_equal(portmap_find(&map, UINT32_MAX, &channel), -ENOENT);
    assert_int_equal(channel, 99);
    portmap_finish(&map);
}

static void a_full_map_takes_no_more_and_still_answers(void **state)
{
    struct portmap map = {0};
    uint32_t channel, added = 0;

    assert_int_equal(portmap_init(&map, 4), 0);
    for (uint32_t port = 1; port < 100; port++)
        added += !portmap_add(&map, port, port);
    assert_true(added >= 4 && added < 99);
    assert_int_equal(portmap_add(&map, 1000, 0), -ENOSPC);
    assert_int_equal(portmap_find(&map, 1000, &channel), -ENOENT);
    portmap_finish(&map);
}

static void bad_ports_are_refused(void **state)
{
    struct portmap map = {0};

    assert_int_equal(portmap_init(&map, 4), 0);
    assert_int_equal(portmap_add(&map, 0, 0), -EINVAL);
    assert_int_equal(portmap_add(&map, 3, 0), 0);
    assert_int_equal(portmap_add(&map, 3, 1), -EEXIST);
    portmap_finish(&map);
}

static void an_empty_map_finds_nothing_and_can_be_finished_again(void **state)
{
    struct portmap map = {0};
    uint32_t channel;

    portmap_finish(&map);
    assert_int_equal(portmap_find(&map, 3, &channel), -ENOENT);
    assert_int_equal(portmap_add(&map, 3, 0), -ENOSPC);
    portmap_finish(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_port_leads_to_its_channel),
        cmocka_unit_test(a_foreign_port_is_not_found),
        cmocka_unit_test(a_full_map_takes_no_more_and_still_answers),
        cmocka_unit_test(bad_ports_are_refused),
        cmocka_unit_test(an_empty_map_finds_nothing_and_can_be_finished_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
