// SPDX-License-Identifier: GPL-2.0-or-later
/* The strategies that bring data to a guest, over grants and a host that are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/commit.h"

#define PAGE GRANT_PAGE
#define REFS 64u

/* The guest: references 0 to 63, each with a page. */
static struct {
    uint8_t page[REFS + 16][PAGE]; /* the last ones are ours to swap */
    uint8_t *at[REFS];
    int status[REFS]; /* of the next operations on it */
    int swap_status[REFS], map_status;
    unsigned copy_calls, swap_calls, maps, unmaps, largest;
} guest;

static int fake_status(uint32_t ref)
{
    return ref < REFS ? guest.status[ref] : -EINVAL;
}

static void fake_copy(void *ctx, struct grant_copy *copies, unsigned count)
{
    guest.copy_calls++;
    guest.largest = count > guest.largest ? count : guest.largest;
    for (unsigned i = 0; i < count; i++) {
        struct grant_copy *c = &copies[i];

        assert_true(c->len && c->offset + c->len <= PAGE);
        c->status = fake_status(c->ref);
        if (c->status)
            continue;
        if (c->to_guest)
            memcpy(guest.at[c->ref] + c->offset, c->local, c->len);
        else
            memcpy(c->local, guest.at[c->ref] + c->offset, c->len);
    }
}

static int fake_map(void *ctx, struct grant_map *map)
{
    for (unsigned i = 0; i < map->count; i++)
        if (fake_status(map->refs[i]))
            return fake_status(map->refs[i]);
    if (guest.map_status)
        return guest.map_status;
    guest.maps++;
    map->base = malloc(map->count * (size_t)PAGE);
    for (unsigned i = 0; i < map->count; i++)
        memcpy(map->base + i * PAGE, guest.at[map->refs[i]], PAGE);
    return 0;
}

static void fake_unmap(void *ctx, const struct grant_map *map)
{
    guest.unmaps++;
    for (unsigned i = 0; map->writable && i < map->count; i++)
        memcpy(guest.at[map->refs[i]], map->base + i * PAGE, PAGE);
    free(map->base);
}

static void fake_swap(void *ctx, struct grant_swap *swaps, unsigned count)
{
    guest.swap_calls++;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *ours = swaps[i].page;

        swaps[i].status = fake_status(swaps[i].ref);
        if (!swaps[i].status)
            swaps[i].status = guest.swap_status[swaps[i].ref];
        if (swaps[i].status)
            continue;
        swaps[i].page = guest.at[swaps[i].ref];
        guest.at[swaps[i].ref] = ours;
    }
}

static const struct grant_ops fake_ops = {
    .copy = fake_copy, .map = fake_map, .unmap = fake_unmap, .swap = fake_swap};
static struct grants grants;

static uint64_t dma_at;
static int dma_error;

static int dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    memcpy(&guest.page[gpa / PAGE][gpa % PAGE], buf, len);
    dma_at = gpa;
    return dma_error;
}

static int dma_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    memcpy(buf, &guest.page[gpa / PAGE][gpa % PAGE], len);
    return dma_error;
}

static const struct host_ops host_ops = {.dma_read = dma_read, .dma_write = dma_write};
static const struct host host = {.ops = &host_ops};

static struct commit *commit;
static uint8_t pool[64][PAGE];
static uint8_t *pages[64];
static struct commit_job *order[64];
static unsigned done_count;

static void done(struct commit_job *job)
{
    order[done_count++] = job;
}

static int setup(void **state)
{
    memset(&guest, 0, sizeof(guest));
    for (unsigned i = 0; i < REFS; i++)
        guest.at[i] = guest.page[i];
    for (unsigned i = 0; i < 64; i++) {
        pages[i] = pool[i];
        memset(pool[i], (int)(i + 1), PAGE);
    }
    done_count = 0;
    dma_error = 0;
    grants = (struct grants){.ops = &fake_ops,
                             .can = GRANT_CAN_COPY | GRANT_CAN_MAP | GRANT_CAN_SWAP,
                             .from = {.map = GRANT_NEVER, .swap = GRANT_NEVER}};
    assert_int_equal(
        commit_create(&(struct commit_params){.grants = &grants, .host = &host}, &commit), 0);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(guest.maps, guest.unmaps);
    commit_destroy(commit);
    return 0;
}

static struct commit_job job_of(const struct commit_segment *segments, unsigned count,
                                bool to_guest, enum commit_how how)
{
    return (struct commit_job){.segments = segments,
                               .count = count,
                               .pages = pages,
                               .to_guest = to_guest,
                               .how = how,
                               .done = done};
}

static int run_one(struct commit_job *job)
{
    commit_add(commit, job);
    assert_int_equal(done_count, 0);
    commit_flush(commit);
    assert_int_equal(done_count, 1);
    done_count = 0;
    return job->error;
}

/* Pieces that begin and end anywhere arrive in order, each way of going, both directions. */
static void odd_segments_follow_each_other(void **state)
{
    static const struct commit_segment segments[] = {
        {{.ref = 3}, 3584, 512}, {{.ref = 1}, 0, 4096}, {{.ref = 9}, 512, 3072}};
    static const enum commit_how ways[] = {COMMIT_COPY, COMMIT_MAP};

    for (unsigned w = 0; w < 2; w++) {
        struct commit_job out = job_of(segments, 3, true, ways[w]);
        struct commit_job in = job_of(segments, 3, false, ways[w]);

        if (w) {
            teardown(NULL);
            setup(NULL);
        }
        for (unsigned i = 0; i < 7680; i++)
            pool[i / PAGE][i % PAGE] = (uint8_t)(i / 31 + w);
        assert_int_equal(run_one(&out), 0);
        assert_int_equal(guest.page[3][3583], 0);
        for (unsigned i = 0; i < 512; i++)
            assert_int_equal(guest.page[3][3584 + i], (uint8_t)(i / 31 + w));
        for (unsigned i = 0; i < 4096; i++)
            assert_int_equal(guest.page[1][i], (uint8_t)((i + 512) / 31 + w));
        for (unsigned i = 0; i < 3072; i++)
            assert_int_equal(guest.page[9][512 + i], (uint8_t)((i + 4608) / 31 + w));
        assert_int_equal(guest.page[9][3584], 0);
        memset(pool, 0, sizeof(pool));
        assert_int_equal(run_one(&in), 0);
        for (unsigned i = 0; i < 7680; i++)
            assert_int_equal(pool[i / PAGE][i % PAGE], (uint8_t)(i / 31 + w));
        assert_int_equal(pool[7680 / PAGE][7680 % PAGE], 0);
    }
}

static void a_turn_is_one_call(void **state)
{
    struct commit_segment segments[32][2];
    struct commit_job jobs[32];

    for (unsigned i = 0; i < 32; i++) {
        for (unsigned s = 0; s < 2; s++)
            segments[i][s] = (struct commit_segment){{.ref = 2 * i + s}, 0, PAGE};
        jobs[i] = job_of(segments[i], 2, true, COMMIT_COPY);
        commit_add(commit, &jobs[i]);
    }
    assert_int_equal(guest.copy_calls, 0);
    commit_flush(commit);
    assert_int_equal(guest.copy_calls, 1);
    assert_int_equal(guest.largest, 64);
    assert_int_equal(done_count, 32);
    for (unsigned i = 0; i < 32; i++)
        assert_ptr_equal(order[i], &jobs[i]);
    commit_flush(commit); /* nothing */
    assert_int_equal(guest.copy_calls, 1);
    assert_int_equal(done_count, 32);
    assert_int_equal(commit_counters(commit)->jobs[COMMIT_COPY], 32);
    assert_int_equal(commit_counters(commit)->bytes[COMMIT_COPY], 64 * PAGE);
}

static void a_segment_that_fails_fails_its_own_job_only(void **state)
{
    static const struct commit_segment segments[] = {
        {{.ref = 1}, 0, PAGE}, {{.ref = 2}, 0, PAGE}, {{.ref = 3}, 0, PAGE}};
    struct commit_job jobs[] = {job_of(segments, 1, true, COMMIT_COPY),
                                job_of(segments, 3, true, COMMIT_COPY),
                                job_of(segments + 2, 1, true, COMMIT_COPY)};

    guest.status[2] = -EACCES;
    for (unsigned i = 0; i < 3; i++)
        commit_add(commit, &jobs[i]);
    commit_flush(commit);
    assert_int_equal(jobs[0].error, 0);
    assert_int_equal(jobs[1].error, -EACCES);
    assert_int_equal(jobs[2].error, 0);
    assert_int_equal(commit_counters(commit)->errors, 1);
}

static void more_than_a_batch_goes_in_several(void **state)
{
    static struct commit_segment segments[8][COMMIT_SEGMENTS_MAX];
    static struct commit_job jobs[8];

    guest.status[5] = -EFAULT;
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned s = 0; s < COMMIT_SEGMENTS_MAX; s++)
            segments[i][s] = (struct commit_segment){{.ref = 6}, 0, 1};
        if (i == 6)
            segments[i][7].ref = 5;
        jobs[i] = job_of(segments[i], COMMIT_SEGMENTS_MAX, true, COMMIT_COPY);
        commit_add(commit, &jobs[i]);
    }
    commit_flush(commit);
    assert_int_equal(guest.copy_calls, 3);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(jobs[i].error, i == 6 ? -EFAULT : 0);
}

/* CVE-like lengths: what would leave the guest's page never gets as far as a copy. */
static void segments_that_leave_their_page_are_refused(void **state)
{
    static const struct commit_segment bad[] = {{{.ref = 1}, 1, 4096},
                                                {{.ref = 1}, 65535, 65535},
                                                {{.ref = 1}, 0, 0},
                                                {{.ref = 1}, 4096, 1}};
    static const enum commit_how ways[] = {COMMIT_COPY, COMMIT_MAP, COMMIT_MEMCPY};

    memset(guest.page, 0x77, sizeof(guest.page));
    for (unsigned w = 0; w < 3; w++)
        for (unsigned i = 0; i < 4; i++)
            for (unsigned to_guest = 0; to_guest < 2; to_guest++) {
                struct commit_job job = job_of(&bad[i], 1, to_guest, ways[w]);

                assert_int_equal(run_one(&job), -EINVAL);
            }
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(guest.page[2][i], 0x77);
    assert_int_equal(guest.maps, 0);
}

static void swapped_pages_take_the_places_of_ours(void **state)
{
    static const struct commit_segment segments[] = {{{.ref = 1}, 0, PAGE}, {{.ref = 2}, 0, PAGE}};
    uint8_t *ours[2] = {guest.page[REFS], guest.page[REFS + 1]};
    struct commit_job job = job_of(segments, 2, true, COMMIT_SWAP);

    memset(guest.page[1], 'o', PAGE);
    memset(ours[0], 'a', PAGE);
    memset(ours[1], 'b', PAGE);
    job.pages = ours;
    assert_int_equal(run_one(&job), 0);
    assert_int_equal(guest.swap_calls, 1);
    assert_int_equal(guest.at[1][0], 'a');
    assert_int_equal(guest.at[2][PAGE - 1], 'b');
    assert_ptr_equal(ours[0], guest.page[1]);
    assert_ptr_equal(ours[1], guest.page[2]);
    assert_int_equal(ours[0][0], 'o');
    assert_int_equal(guest.copy_calls, 0);
}

static void swaps_of_a_turn_are_one_call(void **state)
{
    static const struct commit_segment segments[] = {
        {{.ref = 1}, 0, PAGE}, {{.ref = 2}, 0, PAGE}, {{.ref = 3}, 0, PAGE}};
    uint8_t *first[2] = {guest.page[REFS], guest.page[REFS + 1]},
            *second[1] = {guest.page[REFS + 2]};
    struct commit_job jobs[2] = {job_of(segments, 2, true, COMMIT_SWAP),
                                 job_of(&segments[2], 1, true, COMMIT_SWAP)};

    for (unsigned i = 0; i < 3; i++)
        memset(guest.page[REFS + i], 'a' + (int)i, PAGE);
    guest.swap_status[1] = -EBUSY;
    guest.swap_status[3] = -EIO;
    jobs[0].pages = first;
    jobs[1].pages = second;
    commit_add(commit, &jobs[0]);
    commit_add(commit, &jobs[1]);
    commit_flush(commit);
    assert_int_equal(guest.swap_calls, 1);
    assert_int_equal(jobs[0].error, 0);
    assert_int_equal(jobs[1].error, -EIO);
    assert_int_equal(guest.at[1][0], 'a');
    assert_ptr_equal(first[0], guest.page[REFS]); /* copied */
    assert_int_equal(guest.at[2][0], 'b');
    assert_ptr_equal(first[1], guest.page[2]);
    assert_int_equal(commit_counters(commit)->fallbacks, 1);
}

static void what_cannot_be_swapped_is_copied(void **state)
{
    static const struct commit_segment segments[] = {
        {{.ref = 1}, 0, PAGE}, {{.ref = 2}, 0, PAGE}, {{.ref = 3}, 0, PAGE}};
    uint8_t *ours[3] = {guest.page[REFS], guest.page[REFS + 1], guest.page[REFS + 2]};
    struct commit_job job = job_of(segments, 3, true, COMMIT_SWAP);

    for (unsigned i = 0; i < 3; i++)
        memset(ours[i], 'a' + (int)i, PAGE);
    guest.swap_status[2] = -EBUSY;
    job.pages = ours;
    assert_int_equal(run_one(&job), 0);
    assert_int_equal(guest.at[2][0], 'b');
    assert_ptr_equal(guest.at[2], guest.page[2]);
    assert_ptr_equal(ours[1], guest.page[REFS + 1]);
    assert_int_equal(guest.at[1][0], 'a');
    assert_int_equal(guest.at[3][0], 'c');
    assert_int_equal(commit_counters(commit)->fallbacks, 1);
    guest.status[2] = -EACCES; /* neither */
    assert_int_equal(run_one(&job), -EACCES);
}

/* The hardware lost it: there may be nothing behind the address any more. */
static void a_page_that_is_lost_is_not_touched(void **state)
{
    static const struct commit_segment segment = {{.ref = 2}, 0, PAGE};
    uint8_t *ours[1] = {NULL};
    struct commit_job job = job_of(&segment, 1, true, COMMIT_SWAP);

    guest.swap_status[2] = -EIO;
    job.pages = ours;
    assert_int_equal(run_one(&job), -EIO);
    assert_int_equal(guest.copy_calls, 0);
}

static void what_cannot_be_mapped_is_copied(void **state)
{
    static const struct commit_segment segments[] = {{{.ref = 1}, 0, PAGE}, {{.ref = 2}, 0, PAGE}};
    struct commit_job job = job_of(segments, 2, true, COMMIT_MAP);

    guest.map_status = -ENOSPC;
    assert_int_equal(run_one(&job), 0);
    assert_int_equal(guest.page[2][0], 2);
    guest.status[2] = -EACCES;
    guest.page[1][0] = 0;
    assert_int_equal(run_one(&job), -EACCES);
    assert_int_equal(guest.page[1][0], 1); /* the other one was */
    assert_int_equal(commit_counters(commit)->fallbacks, 4);
}

static void addresses_go_by_the_hosts_dma(void **state)
{
    static const struct commit_segment segments[] = {{{.gpa = 5 * PAGE}, 100, 4},
                                                     {{.gpa = 7 * PAGE}, 0, PAGE}};
    struct commit_job job = job_of(segments, 2, true, COMMIT_MEMCPY);

    assert_int_equal(run_one(&job), 0);
    assert_int_equal(guest.page[5][103], 1);
    assert_int_equal(guest.page[7][PAGE - 5], 1);
    assert_int_equal(guest.page[7][PAGE - 4], 2);
    assert_int_equal(guest.copy_calls, 0);
    job.to_guest = false;
    guest.page[7][PAGE - 1] = 99;
    assert_int_equal(run_one(&job), 0);
    assert_int_equal(pool[1][3], 99);
    dma_error = -ENOMEM;
    assert_int_equal(run_one(&job), -ENOMEM);
}

static void the_way_is_chosen_from_size_alignment_and_capability(void **state)
{
    struct commit_segment segments[4];

    for (unsigned i = 0; i < 4; i++)
        segments[i] = (struct commit_segment){{.ref = i}, 0, PAGE};
    assert_int_equal(commit_choose(commit, segments, 4, true), COMMIT_COPY);
    grants.from = (struct grant_crossover){.map = 3 * PAGE, .swap = 2 * PAGE};
    assert_int_equal(commit_choose(commit, segments, 1, true), COMMIT_COPY);
    assert_int_equal(commit_choose(commit, segments, 2, true), COMMIT_SWAP);
    assert_int_equal(commit_choose(commit, segments, 4, true), COMMIT_SWAP);
    assert_int_equal(commit_choose(commit, segments, 2, false), COMMIT_COPY);
    assert_int_equal(commit_choose(commit, segments, 3, false), COMMIT_MAP);
    segments[3].len = 512;
    assert_int_equal(commit_choose(commit, segments, 4, true), COMMIT_MAP);
    segments[3] = (struct commit_segment){{.ref = 3}, 512, PAGE}; /* hostile */
    assert_int_equal(commit_choose(commit, segments, 4, true), COMMIT_MAP);
    segments[3] = (struct commit_segment){{.ref = 3}, 0, PAGE};
    grants.can = GRANT_CAN_COPY | GRANT_CAN_MAP;
    assert_int_equal(commit_choose(commit, segments, 4, true), COMMIT_MAP);
    grants.can = GRANT_CAN_COPY;
    assert_int_equal(commit_choose(commit, segments, 4, true), COMMIT_COPY);
}

static struct commit_segment second_segment = {{.ref = 8}, 0, PAGE};
static struct commit_job second;

static void add_another(struct commit_job *job)
{
    second = job_of(&second_segment, 1, true, COMMIT_COPY);
    commit_add(commit, &second);
    done(job);
}

static void done_may_add_what_goes_next(void **state)
{
    static const struct commit_segment segment = {{.ref = 1}, 0, PAGE};
    struct commit_job job = job_of(&segment, 1, true, COMMIT_COPY);

    job.done = add_another;
    commit_add(commit, &job);
    commit_flush(commit);
    assert_int_equal(done_count, 1);
    assert_int_equal(guest.page[8][0], 0);
    commit_flush(commit);
    assert_int_equal(done_count, 2);
    assert_int_equal(guest.page[8][0], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(odd_segments_follow_each_other),
        TEST(a_turn_is_one_call),
        TEST(a_segment_that_fails_fails_its_own_job_only),
        TEST(more_than_a_batch_goes_in_several),
        TEST(segments_that_leave_their_page_are_refused),
        TEST(swapped_pages_take_the_places_of_ours),
        TEST(swaps_of_a_turn_are_one_call),
        TEST(what_cannot_be_swapped_is_copied),
        TEST(a_page_that_is_lost_is_not_touched),
        TEST(what_cannot_be_mapped_is_copied),
        TEST(addresses_go_by_the_hosts_dma),
        TEST(the_way_is_chosen_from_size_alignment_and_capability),
        TEST(done_may_add_what_goes_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
