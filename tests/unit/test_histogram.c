/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/histogram.h"

static void add_one(struct histogram_sum *sum, uint64_t ns)
{
    struct histogram histogram = {0};

    histogram_add(&histogram, ns);
    histogram_read(&histogram, sum);
}

/* The bucket that a value is counted in. */
static unsigned where(uint64_t ns)
{
    struct histogram histogram = {0};
    unsigned found = HISTOGRAM_BUCKETS;

    histogram_add(&histogram, ns);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (!histogram.bucket[i])
            continue;
        assert_int_equal(histogram.bucket[i], 1);
        assert_int_equal(found, HISTOGRAM_BUCKETS);
        found = i;
    }
    return found;
}

static void buckets_follow_one_another_without_a_gap(void **state)
{
    assert_int_equal(where(0), 0);
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t end = histogram_bucket_end(i);

        assert_int_equal(where(end - 1), i);
        assert_int_equal(where(end), i + 1);
    }
}

static void a_bucket_is_an_eighth_of_its_value_wide(void **state)
{
    for (unsigned i = 8; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t from = histogram_bucket_end(i - 1), to = histogram_bucket_end(i);

        assert_true(to - from <= from / 8);
    }
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(histogram_bucket_end(i), (i + 1) * 64);
}

static void values_beyond_a_minute_are_counted_in_the_last_bucket(void **state)
{
    assert_int_equal(histogram_bucket_end(HISTOGRAM_BUCKETS - 1), UINT64_C(1) << 36);
    assert_int_equal(where((UINT64_C(1) << 36) - 1), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(where(UINT64_C(1) << 36), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(where(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void the_maximum_and_the_sum_are_exact(void **state)
{
    struct histogram histogram = {0};
    struct histogram_sum sum = {0};

    histogram_add(&histogram, 1001);
    histogram_add(&histogram, 123456789);
    histogram_add(&histogram, 7);
    histogram_read(&histogram, &sum);
    assert_int_equal(sum.count, 3);
    assert_int_equal(sum.sum_ns, 1001 + 123456789 + 7);
    assert_int_equal(sum.max_ns, 123456789);
    assert_int_equal(histogram_quantile(&sum, 1, 1), 123456789);
}

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* Against the sorted values themselves. */
static void quantiles_are_at_most_an_eighth_too_large(void **state)
{
    static const struct {
        uint32_t parts, whole;
    } of[] = {{1, 2}, {9, 10}, {99, 100}, {999, 1000}, {9999, 10000}, {1, 1}};
    enum { VALUES = 20000 };
    uint64_t *values = malloc(VALUES * sizeof(*values));
    struct histogram histogram = {0};
    struct histogram_sum sum = {0};
    uint64_t random = 88172645463325252u;

    for (unsigned i = 0; i < VALUES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        values[i] = random >> (28 + random % 20); /* from microseconds to a minute */
        histogram_add(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof(*values), by_value);
    histogram_read(&histogram, &sum);
    for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        uint64_t rank = ((uint64_t)VALUES * of[i].parts + of[i].whole - 1) / of[i].whole;
        uint64_t exact = values[rank - 1];
        uint64_t told = histogram_quantile(&sum, of[i].parts, of[i].whole);

        assert_true(told >= exact);
        assert_true(told - exact <= exact / 8 + 63);
    }
    free(values);
}

static void one_value_is_every_quantile(void **state)
{
    struct histogram_sum sum = {0};

    add_one(&sum, 5000);
    assert_int_equal(histogram_quantile(&sum, 1, 2), 5000);
    assert_int_equal(histogram_quantile(&sum, 9999, 10000), 5000);
}

static void an_empty_histogram_has_quantiles_of_zero(void **state)
{
    struct histogram_sum sum = {0};

    assert_int_equal(histogram_quantile(&sum, 1, 2), 0);
    assert_int_equal(histogram_quantile(&sum, 1, 1), 0);
}

static void histograms_add_up(void **state)
{
    struct histogram_sum sum = {0};

    add_one(&sum, 100);
    add_one(&sum, 100);
    add_one(&sum, 1000000);
    assert_int_equal(sum.count, 3);
    assert_int_equal(sum.max_ns, 1000000);
    assert_int_equal(sum.sum_ns, 1000200);
    assert_int_equal(sum.bucket[1], 2);
}

static void counts_too_large_to_be_multiplied_are_no_trouble(void **state)
{
    struct histogram_sum sum = {.count = UINT64_MAX, .max_ns = 4000};

    sum.bucket[0] = UINT64_MAX - 1;
    sum.bucket[8] = 1;
    assert_int_equal(histogram_quantile(&sum, 9999, 10000), 63);
    assert_int_equal(histogram_quantile(&sum, 1, 1), 575);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_follow_one_another_without_a_gap),
        cmocka_unit_test(a_bucket_is_an_eighth_of_its_value_wide),
        cmocka_unit_test(values_beyond_a_minute_are_counted_in_the_last_bucket),
        cmocka_unit_test(the_maximum_and_the_sum_are_exact),
        cmocka_unit_test(quantiles_are_at_most_an_eighth_too_large),
        cmocka_unit_test(one_value_is_every_quantile),
        cmocka_unit_test(an_empty_histogram_has_quantiles_of_zero),
        cmocka_unit_test(histograms_add_up),
        cmocka_unit_test(counts_too_large_to_be_multiplied_are_no_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
