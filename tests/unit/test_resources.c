/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/resources.h"

struct fixture {
    char dir[32], why[RESOURCES_WHY_SIZE];
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){.dir = "/tmp/test_resources.XXXXXX"};
    if (!mkdtemp(fixture.dir))
        return -1;
    *state = &fixture;
    return 0;
}

static void put(const struct fixture *f, const char *name, const char *text)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    unlink(path);
    if (!text)
        return;
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    put(f, "aio-max-nr", NULL);
    put(f, "aio-nr", NULL);
    return rmdir(f->dir);
}

static void a_kernel_with_room_for_all_requests_is_good(void **state)
{
    struct fixture *f = *state;

    put(f, "aio-max-nr", "65536\n");
    put(f, "aio-nr", "64512\n");
    assert_int_equal(resources_check_aio(f->dir, 4, 256, f->why, sizeof(f->why)), 0);
}

static void a_kernel_without_is_told_of_with_the_sysctl_that_would_do(void **state)
{
    struct fixture *f = *state;

    put(f, "aio-max-nr", "65536\n");
    put(f, "aio-nr", "64513\n");
    assert_int_equal(resources_check_aio(f->dir, 4, 256, f->why, sizeof(f->why)), -EAGAIN);
    assert_non_null(strstr(f->why, "sysctl fs.aio-max-nr=65537,"));
}

static void what_the_kernel_does_not_tell_is_left_to_it(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(resources_check_aio(f->dir, 4, 256, f->why, sizeof(f->why)), 0);
    put(f, "aio-max-nr", "many");
    put(f, "aio-nr", "0");
    assert_int_equal(resources_check_aio(f->dir, 4, 256, f->why, sizeof(f->why)), 0);
}

static void a_number_of_no_bounds_is_compared_in_64_bit(void **state)
{
    struct fixture *f = *state;

    put(f, "aio-max-nr", "1");
    put(f, "aio-nr", "0");
    assert_int_equal(resources_check_aio(f->dir, 1u << 20, 1u << 12, f->why, sizeof(f->why)),
                     -EAGAIN);
    assert_non_null(strstr(f->why, "fs.aio-max-nr=4294967296,"));
}

static void descriptors_for_many_guests_are_good(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(resources_check_descriptors(65536, 64, f->why), 0);
    assert_int_equal(resources_check_descriptors(UINT64_MAX, 64, f->why), 0);
}

static void descriptors_for_few_guests_are_told_of_with_the_setting(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(resources_check_descriptors(64 + 2 * 8 + 10 * 16, 2, f->why), -ENOSPC);
    assert_non_null(strstr(f->why, "enough for 10 guests"));
    assert_non_null(strstr(f->why, "LimitNOFILE="));
}

static void descriptors_for_none_are_an_error(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(resources_check_descriptors(64, 2, f->why), -EMFILE);
    assert_non_null(strstr(f->why, "LimitNOFILE="));
}

static void the_soft_limit_becomes_the_hard_one(void **state)
{
    struct rlimit before, now;

    getrlimit(RLIMIT_NOFILE, &before);
    now = (struct rlimit){64, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(resources_raise_descriptors(), before.rlim_max);
    getrlimit(RLIMIT_NOFILE, &now);
    assert_int_equal(now.rlim_cur, before.rlim_max);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_kernel_with_room_for_all_requests_is_good),
        TEST(a_kernel_without_is_told_of_with_the_sysctl_that_would_do),
        TEST(what_the_kernel_does_not_tell_is_left_to_it),
        TEST(a_number_of_no_bounds_is_compared_in_64_bit),
        TEST(descriptors_for_many_guests_are_good),
        TEST(descriptors_for_few_guests_are_told_of_with_the_setting),
        TEST(descriptors_for_none_are_an_error),
        TEST(the_soft_limit_becomes_the_hard_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
