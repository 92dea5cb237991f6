// SPDX-License-Identifier: GPL-2.0-or-later
/* Xen's grants over a libxengnttab that is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ioreq/grant_xen.h"

#define DOMID 42

/* What the library was asked for, and what it answers. */
static struct {
    xengnttab_grant_copy_segment_t segment[1024];
    uint32_t segments, calls, refs, mapped;
    int prot;
    int fail; /* errno of the next calls */
    bool closed;
} lib;
static uint8_t area[64 * GRANT_PAGE];
static struct grant_xen *xen;
static const struct grants *grants;

static void *fake_map(void *handle, uint32_t count, uint32_t domid, uint32_t *refs, int prot)
{
    assert_ptr_equal(handle, &lib);
    assert_int_equal(domid, DOMID);
    lib.calls++;
    lib.prot = prot;
    errno = lib.fail;
    if (lib.fail)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        lib.refs += refs[i];
    lib.mapped += count;
    return area;
}

static int fake_unmap(void *handle, void *base, uint32_t count)
{
    assert_ptr_equal(base, area);
    assert_true(lib.mapped >= count);
    lib.mapped -= count;
    return 0;
}

/* A reference of 1000 + n gets Xen's status -n. */
static int fake_copy(void *handle, uint32_t count, xengnttab_grant_copy_segment_t *segments)
{
    lib.calls++;
    errno = lib.fail;
    if (lib.fail)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const union xengnttab_copy_ptr *granted =
            segments[i].flags == GNTCOPY_dest_gref ? &segments[i].dest : &segments[i].source;

        assert_int_equal(granted->foreign.domid, DOMID);
        segments[i].status =
            granted->foreign.ref >= 1000 ? (int16_t)(1000 - (int)granted->foreign.ref) : 0;
        lib.segment[lib.segments++] = segments[i];
    }
    return 0;
}

static void fake_close(void *handle)
{
    lib.closed = true;
}

static const struct grant_xen_calls calls = {
    .map = fake_map, .unmap = fake_unmap, .copy = fake_copy, .close = fake_close};

static int setup(void **state)
{
    memset(&lib, 0, sizeof(lib));
    assert_int_equal(grant_xen_open_with(&calls, &lib, &xen), 0);
    assert_int_equal(grant_xen_guest_open(xen, DOMID, &grants), 0);
    return 0;
}

static int teardown(void **state)
{
    grant_xen_guest_close(grants);
    grant_xen_close(xen);
    assert_true(lib.closed);
    assert_int_equal(lib.mapped, 0);
    return 0;
}

static void segments_go_to_xen_in_one_call_both_ways(void **state)
{
    uint8_t buf[512];
    struct grant_copy copies[] = {
        {.local = buf, .ref = 5, .offset = 512, .len = 100, .to_guest = true},
        {.local = buf + 100, .ref = 6, .offset = 3584, .len = 512},
    };

    grants_copy(grants, copies, 2);
    assert_int_equal(lib.calls, 1);
    assert_int_equal(lib.segments, 2);
    assert_ptr_equal(lib.segment[0].source.virt, buf);
    assert_int_equal(lib.segment[0].dest.foreign.ref, 5);
    assert_int_equal(lib.segment[0].dest.foreign.offset, 512);
    assert_int_equal(lib.segment[0].len, 100);
    assert_int_equal(lib.segment[0].flags, GNTCOPY_dest_gref);
    assert_ptr_equal(lib.segment[1].dest.virt, buf + 100);
    assert_int_equal(lib.segment[1].source.foreign.ref, 6);
    assert_int_equal(lib.segment[1].source.foreign.offset, 3584);
    assert_int_equal(lib.segment[1].flags, GNTCOPY_source_gref);
    assert_int_equal(copies[0].status, 0);
    assert_int_equal(copies[1].status, 0);
    assert_int_equal(grants->counters->copied_bytes, 612);
}

static void xens_status_of_each_segment_is_told(void **state)
{
    static const struct {
        uint32_t ref;
        int status;
    } expected[] = {
        {1, 0},          {1001, -EIO},    {1002, -ESRCH},  {1003, -EACCES}, {1008, -EACCES},
        {1009, -EFAULT}, {1010, -EINVAL}, {1012, -EAGAIN}, {1013, -ENOSPC}, {2, 0},
    };
    struct grant_copy copies[10];
    uint8_t byte;

    for (unsigned i = 0; i < 10; i++)
        copies[i] = (struct grant_copy){.local = &byte, .ref = expected[i].ref, .len = 1};
    grants_copy(grants, copies, 10);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(copies[i].status, expected[i].status);
    assert_int_equal(grants->counters->errors, 8);
}

static void what_leaves_the_page_never_reaches_xen(void **state)
{
    uint8_t byte;
    struct grant_copy copies[] = {
        {.local = &byte, .ref = 1, .offset = 4095, .len = 2},
        {.local = &byte, .ref = 2, .offset = 0, .len = 0},
        {.local = &byte, .ref = 3, .offset = 4095, .len = 1},
        {.local = &byte, .ref = 4, .offset = 65535, .len = 65535},
    };

    grants_copy(grants, copies, 4);
    assert_int_equal(lib.segments, 1);
    assert_int_equal(copies[0].status, -EINVAL);
    assert_int_equal(copies[1].status, -EINVAL);
    assert_int_equal(copies[2].status, 0);
    assert_int_equal(copies[3].status, -EINVAL);
}

static void more_segments_than_fit_make_more_calls(void **state)
{
    static struct grant_copy copies[600];
    uint8_t byte;

    for (unsigned i = 0; i < 600; i++)
        copies[i] =
            (struct grant_copy){.local = &byte, .ref = i == 299 ? 1003 : i, .len = 1, .status = 1};
    grants_copy(grants, copies, 600);
    assert_int_equal(lib.calls, 3);
    assert_int_equal(lib.segments, 600);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(copies[i].status, i == 299 ? -EACCES : 0);
}

static void a_call_that_fails_fails_all_of_its_segments(void **state)
{
    uint8_t byte;
    struct grant_copy copies[2] = {{.local = &byte, .ref = 1, .len = 1},
                                   {.local = &byte, .ref = 2, .len = 1}};

    lib.fail = EFAULT;
    grants_copy(grants, copies, 2);
    assert_int_equal(copies[0].status, -EFAULT);
    assert_int_equal(copies[1].status, -EFAULT);
}

static void maps_are_bounded_and_undone(void **state)
{
    uint32_t refs[GRANT_MAP_MAX] = {3, 4};
    struct grant_map map[6];
    unsigned n = 0;

    for (unsigned i = 0; i < 6; i++)
        map[i] = (struct grant_map){.refs = refs, .count = GRANT_MAP_MAX, .writable = i & 1};
    while (n < 6 && grants_map(grants, &map[n]) == 0)
        n++;
    assert_int_equal(n, 4);
    assert_int_equal(lib.prot, PROT_READ | PROT_WRITE);
    assert_int_equal(grants_map(grants, &map[4]), -ENOSPC);
    assert_int_equal(grants->counters->mapped, 4 * GRANT_MAP_MAX);
    while (n)
        grants_unmap(grants, &map[--n]);
    assert_int_equal(lib.mapped, 0);
    lib.fail = EINVAL;
    assert_int_equal(grants_map(grants, &map[0]), -EINVAL);
    assert_int_equal(lib.prot, PROT_READ);
    assert_int_equal(grants->counters->mapped, 0);
}

static void what_is_mapped_outlives_its_guest(void **state)
{
    const struct grants *other;
    uint32_t ref = 9;
    uint8_t byte;
    struct grant_map map = {.refs = &ref, .count = 1, .writable = true}, more = map;
    struct grant_copy copy = {.local = &byte, .ref = 1, .len = 1};

    assert_int_equal(grant_xen_guest_open(xen, DOMID, &other), 0);
    assert_int_equal(grants_map(other, &map), 0);
    grant_xen_guest_close(other);
    lib.calls = 0;
    assert_int_equal(grants_map(other, &more), -ESRCH);
    grants_copy(other, &copy, 1);
    assert_int_equal(copy.status, -ESRCH);
    assert_int_equal(lib.calls, 0);
    grants_unmap(other, &map);
}

static void there_is_no_swap(void **state)
{
    uint8_t *page;

    assert_false(grants_swap_take(grants, &page, 1));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(segments_go_to_xen_in_one_call_both_ways),
        TEST(xens_status_of_each_segment_is_told),
        TEST(what_leaves_the_page_never_reaches_xen),
        TEST(more_segments_than_fit_make_more_calls),
        TEST(a_call_that_fails_fails_all_of_its_segments),
        TEST(maps_are_bounded_and_undone),
        TEST(what_is_mapped_outlives_its_guest),
        TEST(there_is_no_swap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
