/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ioreq/mapcache.h"

#define PAGE       4096u
#define BUCKETS    64u /* of the guest */
#define MAX_PIECES 8

/* A guest of 16 MiB. Its buckets are mapped for real, with the first bytes of each page naming the
 * page and how often the bucket was mapped; holes have no access rights, so that touching one
 * crashes. */
struct fake {
    uint64_t holes[BUCKETS];
    unsigned maps[BUCKETS];
    unsigned mapped; /* now */
    uint64_t now;
    int fail;
    unsigned room; /* not 0: so many mappings at most, then -ENOMEM */
};

struct stamp {
    uint64_t gfn;
    unsigned generation;
};

static int fake_map(void *ctx, uint64_t first_gfn, void **ret_base, uint64_t *ret_holes)
{
    struct fake *fake = ctx;
    uint64_t index = first_gfn / MAPCACHE_BUCKET_PAGES;
    uint64_t holes = index < BUCKETS ? fake->holes[index] : UINT64_MAX;
    char *base;

    if (fake->fail)
        return fake->fail;
    if (fake->room && fake->mapped >= fake->room)
        return -ENOMEM;
    assert_int_equal(first_gfn % MAPCACHE_BUCKET_PAGES, 0);
    base = mmap(NULL, MAPCACHE_BUCKET_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0);
    assert_true(base != MAP_FAILED);
    if (index < BUCKETS)
        fake->maps[index]++;
    for (unsigned i = 0; i < MAPCACHE_BUCKET_PAGES; i++) {
        struct stamp stamp = {.gfn = first_gfn + i};

        if (holes >> i & 1) {
            mprotect(base + i * PAGE, PAGE, PROT_NONE);
            continue;
        }
        stamp.generation = fake->maps[index];
        memcpy(base + i * PAGE, &stamp, sizeof(stamp));
    }
    fake->mapped++;
    *ret_base = base;
    *ret_holes = holes;
    return 0;
}

static void fake_unmap(void *ctx, void *base)
{
    struct fake *fake = ctx;

    assert_true(fake->mapped > 0);
    fake->mapped--;
    munmap(base, MAPCACHE_BUCKET_SIZE);
}

static uint64_t fake_now(void *ctx)
{
    return ((struct fake *)ctx)->now;
}

static const struct mapcache_ops fake_ops = {fake_map, fake_unmap, fake_now};

struct env {
    struct fake fake;
    struct hv_counters counters;
    struct mapcache *cache;
    struct iovec iov[MAX_PIECES];
    size_t len;
};

static struct env *env_new(uint32_t limit_mib)
{
    struct env *env = calloc(1, sizeof(*env));

    assert_non_null(env);
    assert_int_equal(mapcache_create(&fake_ops, &env->fake, limit_mib, &env->counters, &env->cache),
                     0);
    return env;
}

static void env_free(struct env *env)
{
    mapcache_destroy(env->cache);
    assert_int_equal(env->fake.mapped, 0);
    assert_int_equal(env->counters.unmap_pages, env->counters.map_pages);
    free(env);
}

static int pin(struct env *env, uint64_t gpa, size_t len)
{
    env->len = 0;
    return mapcache_pin(env->cache, gpa, len, env->iov, MAX_PIECES, &env->len);
}

/* What page a pinned entry begins with. */
static struct stamp stamp_of(const struct iovec *iov)
{
    struct stamp stamp;

    memcpy(&stamp, (void *)((uintptr_t)iov->iov_base & ~(uintptr_t)(PAGE - 1)), sizeof(stamp));
    return stamp;
}

/* Pins, looks, unpins. */
static unsigned touch(struct env *env, uint64_t gpa)
{
    unsigned generation;

    assert_int_equal(pin(env, gpa, 1), 1);
    generation = env->iov[0].iov_base ? stamp_of(&env->iov[0]).generation : 0;
    if (generation)
        assert_int_equal(stamp_of(&env->iov[0]).gfn, gpa / PAGE);
    mapcache_unpin(env->cache, gpa, 1);
    return generation;
}

static void ram_is_one_piece_and_mapped_once(void **state)
{
    struct env *env = env_new(0);

    for (int i = 0; i < 3; i++) {
        assert_int_equal(pin(env, 5 * PAGE + 100, 3 * PAGE), 1);
        assert_int_equal(env->len, 3 * PAGE);
        assert_int_equal(env->iov[0].iov_len, 3 * PAGE);
        assert_int_equal((uintptr_t)env->iov[0].iov_base % PAGE, 100);
        assert_int_equal(stamp_of(&env->iov[0]).gfn, 5);
        mapcache_unpin(env->cache, 5 * PAGE + 100, env->len);
    }
    assert_int_equal(env->fake.maps[0], 1);
    assert_int_equal(env->counters.map_calls, 1);
    assert_int_equal(env->counters.map_pages, 64);
    assert_int_equal(env->counters.holes, 0);
    env_free(env);
}

static void a_range_over_two_buckets_is_covered_by_both(void **state)
{
    struct env *env = env_new(0);
    uint64_t gpa = MAPCACHE_BUCKET_SIZE - 10;
    int n = pin(env, gpa, 30);
    size_t sum = 0;

    assert_in_range(n, 1, 2);
    for (int i = 0; i < n; i++)
        sum += env->iov[i].iov_len;
    assert_int_equal(sum, 30);
    assert_int_equal(env->len, 30);
    assert_int_equal(stamp_of(&env->iov[0]).gfn, 63);
    mapcache_unpin(env->cache, gpa, 30);
    assert_int_equal(env->counters.map_calls, 2);
    env_free(env);
}

static void holes_have_no_base_and_are_counted(void **state)
{
    struct env *env = env_new(0);

    env->fake.holes[0] = 0x6; /* pages 1 and 2 */
    assert_int_equal(pin(env, 100, 4 * PAGE - 100), 3);
    assert_int_equal(env->len, 4 * PAGE - 100);
    assert_int_equal(env->iov[0].iov_len, PAGE - 100);
    assert_null(env->iov[1].iov_base);
    assert_int_equal(env->iov[1].iov_len, 2 * PAGE);
    assert_int_equal(stamp_of(&env->iov[2]).gfn, 3);
    assert_int_equal(env->counters.holes, 1);
    mapcache_unpin(env->cache, 100, env->len);
    env_free(env);
}

static void a_bucket_without_ram_keeps_no_mapping(void **state)
{
    struct env *env = env_new(0);

    env->fake.holes[3] = UINT64_MAX;
    assert_int_equal(touch(env, 3 * MAPCACHE_BUCKET_SIZE), 0);
    assert_int_equal(env->fake.mapped, 0);
    env_free(env);
}

static void a_full_iovec_covers_less_and_the_rest_can_be_pinned(void **state)
{
    struct env *env = env_new(0);
    uint64_t gpa = 0;
    size_t left = 32 * PAGE;

    env->fake.holes[0] = UINT64_C(0xaaaaaaaaaaaaaaaa);
    while (left) {
        assert_int_equal(pin(env, gpa, left), MAX_PIECES);
        assert_int_equal(env->len, MAX_PIECES * PAGE);
        mapcache_unpin(env->cache, gpa, env->len);
        gpa += env->len;
        left -= env->len;
    }
    env_free(env);
}

static void a_hole_that_becomes_ram_is_found(void **state)
{
    struct env *env = env_new(0);

    env->fake.holes[1] = 0x1;
    assert_int_equal(touch(env, MAPCACHE_BUCKET_SIZE), 0);
    env->fake.holes[1] = 0;
    assert_int_equal(touch(env, MAPCACHE_BUCKET_SIZE), 2);
    env_free(env);
}

static void a_guest_that_insists_on_a_hole_is_mapped_a_bounded_number_of_times(void **state)
{
    struct env *env = env_new(0);

    env->fake.holes[1] = 0x1;
    for (int i = 0; i < 10000; i++)
        touch(env, MAPCACHE_BUCKET_SIZE);
    assert_int_equal(env->fake.maps[1], 1 + MAPCACHE_RETRY_BURST);
    /* Ten milliseconds earn ten more. */
    env->fake.now += 10 * MAPCACHE_RETRY_EVERY;
    for (int i = 0; i < 10000; i++)
        touch(env, MAPCACHE_BUCKET_SIZE);
    assert_int_equal(env->fake.maps[1], 11 + MAPCACHE_RETRY_BURST);
    /* However long it rests, no more than a burst. */
    env->fake.now += 1000000 * MAPCACHE_RETRY_EVERY;
    for (int i = 0; i < 10000; i++)
        touch(env, MAPCACHE_BUCKET_SIZE);
    assert_int_equal(env->fake.maps[1], 11 + 2 * MAPCACHE_RETRY_BURST);
    /* RAM in the same bucket was served all the time, from the last mapping. */
    assert_int_equal(touch(env, MAPCACHE_BUCKET_SIZE + PAGE), env->fake.maps[1]);
    env_free(env);
}

static void the_limit_evicts_what_was_used_longest_ago(void **state)
{
    struct env *env = env_new(1); /* four buckets */

    for (unsigned i = 0; i < 4; i++)
        touch(env, i * MAPCACHE_BUCKET_SIZE);
    touch(env, 0);
    touch(env, 4 * MAPCACHE_BUCKET_SIZE);
    assert_int_equal(env->fake.mapped, 4);
    assert_int_equal(touch(env, 0), 1);
    assert_int_equal(touch(env, 2 * MAPCACHE_BUCKET_SIZE), 1);
    assert_int_equal(touch(env, MAPCACHE_BUCKET_SIZE), 2);
    env_free(env);
}

static void a_pinned_bucket_is_not_evicted(void **state)
{
    struct env *env = env_new(1);
    void *base;

    assert_int_equal(pin(env, 0, 8), 1);
    base = env->iov[0].iov_base;
    for (unsigned i = 1; i < 20; i++)
        touch(env, i * MAPCACHE_BUCKET_SIZE);
    assert_int_equal(((struct stamp *)base)->gfn, 0);
    mapcache_unpin(env->cache, 0, 8);
    assert_int_equal(touch(env, 0), 1);
    env_free(env);
}

static void when_all_is_pinned_a_pin_covers_less_or_fails(void **state)
{
    struct env *env = env_new(1);

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pin(env, i * MAPCACHE_BUCKET_SIZE, 1), 1);
    assert_int_equal(pin(env, 8 * MAPCACHE_BUCKET_SIZE - 16, 32), 1);
    assert_int_equal(env->len, 16);
    assert_int_equal(pin(env, 9 * MAPCACHE_BUCKET_SIZE, 1), -EAGAIN);
    mapcache_unpin(env->cache, 0, 1);
    assert_int_equal(pin(env, 9 * MAPCACHE_BUCKET_SIZE, 1), 1);
    env_free(env);
}

static void invalidate_drops_what_is_not_pinned(void **state)
{
    struct env *env = env_new(0);

    touch(env, 0);
    touch(env, MAPCACHE_BUCKET_SIZE);
    mapcache_invalidate(env->cache);
    assert_int_equal(env->fake.mapped, 0);
    assert_int_equal(touch(env, 0), 2);
    assert_int_equal(env->counters.invalidates, 1);
    env_free(env);
}

static void invalidate_leaves_the_pinned_to_their_holders_only(void **state)
{
    struct env *env = env_new(0);
    struct stamp *old;

    assert_int_equal(pin(env, 0, 8), 1);
    old = env->iov[0].iov_base;
    mapcache_invalidate(env->cache);
    assert_int_equal(env->fake.mapped, 1);
    assert_int_equal(touch(env, 0), 2);
    assert_int_equal(old->generation, 1);
    mapcache_unpin(env->cache, 0, 8);
    assert_int_equal(env->fake.mapped, 1); /* the new one */
    assert_int_equal(touch(env, 0), 2);
    env_free(env);
}

static void no_order_of_unpins_unmaps_what_is_held(void **state)
{
    struct env *env = env_new(0);
    struct stamp *first, *second;

    assert_int_equal(pin(env, 0, 8), 1);
    first = env->iov[0].iov_base;
    mapcache_invalidate(env->cache);
    assert_int_equal(pin(env, 0, 8), 1);
    second = env->iov[0].iov_base;
    /* Either holder may be the one that let go: both stay, even if evicted or invalidated. */
    mapcache_unpin(env->cache, 0, 8);
    mapcache_invalidate(env->cache);
    for (unsigned i = 1; i < BUCKETS; i++)
        touch(env, i * MAPCACHE_BUCKET_SIZE);
    assert_int_equal(first->generation, 1);
    assert_int_equal(second->generation, 2);
    mapcache_unpin(env->cache, 0, 8);
    mapcache_invalidate(env->cache);
    assert_int_equal(env->fake.mapped, 0);
    env_free(env);
}

static void a_hole_in_a_pinned_bucket_is_retried_beside_it(void **state)
{
    struct env *env = env_new(0);
    struct stamp *held;

    env->fake.holes[0] = 0x2;
    assert_int_equal(pin(env, 0, 8), 1);
    held = env->iov[0].iov_base;
    env->fake.holes[0] = 0;
    assert_int_equal(touch(env, PAGE), 2);
    assert_int_equal(held->generation, 1);
    mapcache_unpin(env->cache, 0, 8);
    assert_int_equal(env->fake.mapped, 1);
    env_free(env);
}

static void addresses_beyond_all_memory_are_one_hole(void **state)
{
    struct env *env = env_new(0);

    assert_int_equal(pin(env, UINT64_MAX - 3, 4096), 1);
    assert_null(env->iov[0].iov_base);
    assert_int_equal(env->len, 4096);
    mapcache_unpin(env->cache, UINT64_MAX - 3, 4096);

    assert_int_equal(pin(env, MAPCACHE_END_OF_MEMORY - PAGE, 2 * PAGE), 1);
    assert_null(env->iov[0].iov_base);
    assert_int_equal(env->len, 2 * PAGE);
    mapcache_unpin(env->cache, MAPCACHE_END_OF_MEMORY - PAGE, 2 * PAGE);
    assert_int_equal(env->counters.holes, 2);
    env_free(env);
}

static void a_guest_that_is_gone_is_an_error_and_leaks_nothing(void **state)
{
    struct env *env = env_new(1);

    touch(env, 0);
    env->fake.fail = -ESRCH;
    for (unsigned i = 1; i < 100; i++)
        assert_int_equal(pin(env, i * MAPCACHE_BUCKET_SIZE, 8), -ESRCH);
    env->fake.fail = 0;
    for (unsigned i = 0; i < 8; i++)
        touch(env, i * MAPCACHE_BUCKET_SIZE);
    assert_int_equal(env->fake.mapped, 4);
    env_free(env);
}

/* vm.max_map_count is one number for all guests of the daemon. */
static void when_mappings_run_out_the_oldest_make_room(void **state)
{
    struct env *env = env_new(0);

    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(pin(env, i * MAPCACHE_BUCKET_SIZE, 8), 1);
        mapcache_unpin(env->cache, i * MAPCACHE_BUCKET_SIZE, 8);
    }
    env->fake.room = 4;
    assert_int_equal(pin(env, 4 * MAPCACHE_BUCKET_SIZE, 8), 1);
    assert_int_equal(stamp_of(&env->iov[0]).gfn, 4 * MAPCACHE_BUCKET_PAGES);
    mapcache_unpin(env->cache, 4 * MAPCACHE_BUCKET_SIZE, 8);
    assert_int_equal(env->fake.mapped, 4);
    assert_int_equal(pin(env, 1 * MAPCACHE_BUCKET_SIZE, 8), 1); /* kept; 0 had to go */
    mapcache_unpin(env->cache, 1 * MAPCACHE_BUCKET_SIZE, 8);
    assert_int_equal(env->fake.maps[0], 1);
    assert_int_equal(env->fake.maps[1], 1);
    assert_int_equal(env->counters.map_failures, 0);
    env_free(env);
}

static void memory_that_cannot_be_had_is_an_error_and_no_hole(void **state)
{
    struct env *env = env_new(0);

    assert_int_equal(pin(env, 0, 8), 1);
    env->fake.fail = -ENOMEM;
    assert_int_equal(pin(env, MAPCACHE_BUCKET_SIZE, 8), -ENOMEM);
    assert_int_equal(env->counters.map_failures, 1);
    assert_int_equal(env->counters.holes, 0);
    assert_int_equal(stamp_of(&env->iov[0]).gfn, 0); /* what is held was not given up */
    /* What can be had is; the rest fails when its turn comes. */
    assert_int_equal(pin(env, MAPCACHE_BUCKET_SIZE - 8, 16), 1);
    assert_int_equal(env->len, 8);
    mapcache_unpin(env->cache, MAPCACHE_BUCKET_SIZE - 8, 8);
    env->fake.fail = 0;
    assert_int_equal(pin(env, MAPCACHE_BUCKET_SIZE, 8), 1);
    env_free(env);
}

static void all_guests_together_stay_below_the_kernels_limit(void **state)
{
    static const uint32_t wanted[] = {4096, 0, 64, 4};
    uint64_t buckets_of_mib = 1024 * 1024 / MAPCACHE_BUCKET_SIZE;

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        uint32_t left = mapcache_total_mib(65530);
        uint64_t buckets = 0;

        for (unsigned guests = 0; guests < 4000; guests++) {
            uint32_t mib = mapcache_share_mib(wanted[i], left);

            assert_true(mib >= 1 && mib <= (wanted[i] ? wanted[i] : MAPCACHE_DEFAULT_MIB));
            left -= mib < left ? mib : left;
            buckets += mib * buckets_of_mib;
        }
        assert_true(buckets < 65530);
    }
    assert_int_equal(mapcache_share_mib(0, mapcache_total_mib(65530)), MAPCACHE_DEFAULT_MIB);
    assert_int_equal(mapcache_share_mib(4096, mapcache_total_mib(65530)), 4096);
}

static void nothing_is_not_pinned(void **state)
{
    struct env *env = env_new(0);

    assert_int_equal(pin(env, 0, 0), -EINVAL);
    mapcache_unpin(env->cache, 0, 0);
    env_free(env);
}

static void destroying_unmaps_the_pinned_too(void **state)
{
    struct env *env = env_new(0);

    assert_int_equal(pin(env, 0, 8), 1);
    mapcache_invalidate(env->cache);
    assert_int_equal(pin(env, 0, 8), 1);
    env_free(env);
}

/* Random use against what is known of it: what is held stays readable and right. */
static void held_memory_stays_through_random_use(void **state)
{
    struct env *env = env_new(2); /* eight buckets */
    struct {
        uint64_t gpa;
        size_t len;
        struct iovec iov;
        struct stamp stamp;
    } held[6] = {0};
    unsigned seed = 1;

    for (int step = 0; step < 20000; step++) {
        unsigned what = (unsigned)rand_r(&seed) % 16;
        unsigned slot = (unsigned)rand_r(&seed) % 6;

        env->fake.now += 100000;
        env->fake.holes[(unsigned)rand_r(&seed) % 16] = (unsigned)rand_r(&seed) & 0x11;
        if (what == 0) {
            mapcache_invalidate(env->cache);
        } else if (held[slot].len) {
            if (held[slot].iov.iov_base) {
                struct stamp now = stamp_of(&held[slot].iov);

                assert_memory_equal(&now, &held[slot].stamp, sizeof(now));
            }
            mapcache_unpin(env->cache, held[slot].gpa, held[slot].len);
            held[slot].len = 0;
        } else {
            uint64_t gpa = (uint64_t)(unsigned)rand_r(&seed) % (16 * MAPCACHE_BUCKET_SIZE);
            int n = pin(env, gpa, 1 + (unsigned)rand_r(&seed) % (MAPCACHE_BUCKET_SIZE / 2));

            if (n == -EAGAIN)
                continue;
            assert_true(n > 0);
            held[slot].gpa = gpa;
            held[slot].len = env->len;
            held[slot].iov = env->iov[0];
            if (env->iov[0].iov_base) {
                held[slot].stamp = stamp_of(&env->iov[0]);
                assert_int_equal(held[slot].stamp.gfn, gpa / PAGE);
            }
        }
        assert_true(env->fake.mapped <= 8);
    }
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ram_is_one_piece_and_mapped_once),
        cmocka_unit_test(a_range_over_two_buckets_is_covered_by_both),
        cmocka_unit_test(holes_have_no_base_and_are_counted),
        cmocka_unit_test(a_bucket_without_ram_keeps_no_mapping),
        cmocka_unit_test(a_full_iovec_covers_less_and_the_rest_can_be_pinned),
        cmocka_unit_test(a_hole_that_becomes_ram_is_found),
        cmocka_unit_test(a_guest_that_insists_on_a_hole_is_mapped_a_bounded_number_of_times),
        cmocka_unit_test(the_limit_evicts_what_was_used_longest_ago),
        cmocka_unit_test(a_pinned_bucket_is_not_evicted),
        cmocka_unit_test(when_all_is_pinned_a_pin_covers_less_or_fails),
        cmocka_unit_test(invalidate_drops_what_is_not_pinned),
        cmocka_unit_test(invalidate_leaves_the_pinned_to_their_holders_only),
        cmocka_unit_test(no_order_of_unpins_unmaps_what_is_held),
        cmocka_unit_test(a_hole_in_a_pinned_bucket_is_retried_beside_it),
        cmocka_unit_test(addresses_beyond_all_memory_are_one_hole),
        cmocka_unit_test(a_guest_that_is_gone_is_an_error_and_leaks_nothing),
        cmocka_unit_test(when_mappings_run_out_the_oldest_make_room),
        cmocka_unit_test(memory_that_cannot_be_had_is_an_error_and_no_hole),
        cmocka_unit_test(all_guests_together_stay_below_the_kernels_limit),
        cmocka_unit_test(nothing_is_not_pinned),
        cmocka_unit_test(destroying_unmaps_the_pinned_too),
        cmocka_unit_test(held_memory_stays_through_random_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
