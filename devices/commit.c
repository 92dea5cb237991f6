/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/commit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Segments that go to the hypervisor in one call: a ring of 32 requests of 11 segments, twice as
 * each may lie across two pages of ours. Longer turns make several. */
#define BATCH 704u

struct commit {
    const struct grants *grants;
    const struct host *host;
    struct commit_counters counters;
    struct commit_job *first, **last;
    struct grant_copy copy[BATCH];
    struct commit_job *copy_of[BATCH];
    unsigned copies;
    struct grant_swap swap[COMMIT_SEGMENTS_MAX];
    struct {
        struct commit_job *job;
        unsigned segment;
    } swap_of[COMMIT_SEGMENTS_MAX];
    unsigned swaps;
};

int commit_create(const struct commit_params *params, struct commit **ret_commit)
{
    struct commit *commit = calloc(1, sizeof(*commit));

    if (!commit)
        return -ENOMEM;
    commit->grants = params->grants;
    commit->host = params->host;
    commit->last = &commit->first;
    *ret_commit = commit;
    return 0;
}

void commit_destroy(struct commit *commit)
{
    free(commit);
}

const struct commit_counters *commit_counters(const struct commit *commit)
{
    return &commit->counters;
}

static bool fits(const struct commit_segment *segment)
{
    return segment->len && segment->offset + (uint32_t)segment->len <= GRANT_PAGE;
}

static bool is_whole(const struct commit_segment *segment)
{
    return segment->offset == 0 && segment->len == GRANT_PAGE;
}

enum commit_how commit_choose(const struct commit *commit, const struct commit_segment *segments,
                              unsigned count, bool to_guest)
{
    const struct grants *grants = commit->grants;
    bool whole = true;
    uint32_t bytes = 0;

    if (!grants)
        return COMMIT_MEMCPY;
    for (unsigned i = 0; i < count; i++) {
        whole = whole && is_whole(&segments[i]);
        bytes += segments[i].len;
    }
    if (to_guest && whole && grants->can & GRANT_CAN_SWAP && bytes >= grants->from.swap)
        return COMMIT_SWAP;
    if (grants->can & GRANT_CAN_MAP && bytes >= grants->from.map)
        return COMMIT_MAP;
    return COMMIT_COPY;
}

void commit_add(struct commit *commit, struct commit_job *job)
{
    assert(job->count && job->count <= COMMIT_SEGMENTS_MAX && job->how < COMMIT_HOWS);
    assert(job->how == COMMIT_MEMCPY ? commit->host != NULL : commit->grants != NULL);
    job->error = 0;
    job->next = NULL;
    *commit->last = job;
    commit->last = &job->next;
}

static void failed(struct commit_job *job, int error)
{
    if (!job->error)
        job->error = error;
}

/* The part of a segment that lies in one page of ours: `at` is its place in the job. */
static uint8_t *piece(const struct commit_job *job, uint32_t at, uint32_t left, uint16_t *ret_len)
{
    uint32_t room = GRANT_PAGE - at % GRANT_PAGE;

    *ret_len = (uint16_t)(left < room ? left : room);
    return job->pages[at / GRANT_PAGE] + at % GRANT_PAGE;
}

static void copies_run(struct commit *commit)
{
    grants_copy(commit->grants, commit->copy, commit->copies);
    for (unsigned i = 0; i < commit->copies; i++)
        if (commit->copy[i].status)
            failed(commit->copy_of[i], commit->copy[i].status);
    commit->copies = 0;
}

/* Segment `i` of the job, which begins at its byte `at`. */
static void copy_queue(struct commit *commit, struct commit_job *job, unsigned i, uint32_t at)
{
    const struct commit_segment *segment = &job->segments[i];
    uint16_t len;

    if (!fits(segment)) {
        failed(job, -EINVAL);
        return;
    }
    for (uint16_t done = 0; done < segment->len; done += len) {
        uint8_t *local = piece(job, at + done, segment->len - done, &len);

        if (commit->copies == BATCH)
            copies_run(commit);
        commit->copy_of[commit->copies] = job;
        commit->copy[commit->copies++] =
            (struct grant_copy){.local = local,
                                .ref = segment->ref,
                                .offset = (uint16_t)(segment->offset + done),
                                .len = len,
                                .to_guest = job->to_guest};
    }
}

static void job_copy(struct commit *commit, struct commit_job *job)
{
    uint32_t at = 0;

    for (unsigned i = 0; i < job->count; i++) {
        copy_queue(commit, job, i, at);
        at += job->segments[i].len;
    }
}

static void job_memcpy(struct commit *commit, struct commit_job *job)
{
    uint32_t at = 0;

    for (unsigned i = 0; i < job->count; i++) {
        const struct commit_segment *segment = &job->segments[i];
        uint64_t gpa = segment->gpa + segment->offset;
        uint16_t len;

        if (!fits(segment))
            failed(job, -EINVAL);
        for (uint16_t done = 0; fits(segment) && done < segment->len; done += len) {
            uint8_t *local = piece(job, at + done, segment->len - done, &len);
            int rc = job->to_guest ? host_dma_write(commit->host, gpa + done, local, len)
                                   : host_dma_read(commit->host, gpa + done, local, len);

            if (rc < 0)
                failed(job, rc);
        }
        at += segment->len;
    }
}

/* Between the mapped pages of the job's segments and ours. */
static void mapped_copy(const struct commit_job *job, uint8_t *base)
{
    uint32_t at = 0;

    for (unsigned i = 0; i < job->count; i++) {
        const struct commit_segment *segment = &job->segments[i];
        uint8_t *granted = base + i * (size_t)GRANT_PAGE + segment->offset;
        uint16_t len;

        for (uint16_t done = 0; done < segment->len; done += len) {
            uint8_t *local = piece(job, at + done, segment->len - done, &len);

            if (job->to_guest)
                memcpy(granted + done, local, len);
            else
                memcpy(local, granted + done, len);
        }
        at += segment->len;
    }
}

static void job_map(struct commit *commit, struct commit_job *job)
{
    uint32_t refs[COMMIT_SEGMENTS_MAX];
    struct grant_map map = {.refs = refs, .count = job->count, .writable = job->to_guest};
    bool all_fit = true;

    for (unsigned i = 0; i < job->count; i++) {
        refs[i] = job->segments[i].ref;
        all_fit = all_fit && fits(&job->segments[i]);
    }
    if (!all_fit || grants_map(commit->grants, &map) < 0) {
        commit->counters.fallbacks += job->count;
        job_copy(commit, job); /* which tells the segments apart */
        return;
    }
    mapped_copy(job, map.base);
    grants_unmap(commit->grants, &map);
}

static void swaps_run(struct commit *commit)
{
    grants_swap(commit->grants, commit->swap, commit->swaps);
    for (unsigned i = 0; i < commit->swaps; i++) {
        const struct grant_swap *swap = &commit->swap[i];
        struct commit_job *job = commit->swap_of[i].job;
        unsigned segment = commit->swap_of[i].segment;

        job->pages[segment] = swap->page;
        if (!swap->status)
            continue;
        if (swap->status == -EIO) { /* there may be nothing to copy from */
            failed(job, -EIO);
            continue;
        }
        commit->counters.fallbacks++;
        copy_queue(commit, job, segment, segment * GRANT_PAGE);
    }
    commit->swaps = 0;
}

static void job_swap(struct commit *commit, struct commit_job *job)
{
    for (unsigned i = 0; i < job->count; i++) {
        assert(job->to_guest && is_whole(&job->segments[i])); /* commit_choose() saw to it */
        if (commit->swaps == COMMIT_SEGMENTS_MAX)
            swaps_run(commit);
        commit->swap_of[commit->swaps].job = job;
        commit->swap_of[commit->swaps].segment = i;
        commit->swap[commit->swaps++] =
            (struct grant_swap){.page = job->pages[i], .ref = job->segments[i].ref};
    }
}

static void (*const run[COMMIT_HOWS])(struct commit *commit, struct commit_job *job) = {
    [COMMIT_MEMCPY] = job_memcpy,
    [COMMIT_COPY] = job_copy,
    [COMMIT_MAP] = job_map,
    [COMMIT_SWAP] = job_swap,
};

static void count_done(struct commit_counters *counters, const struct commit_job *job)
{
    counters->jobs[job->how]++;
    counters->errors += job->error != 0;
    for (unsigned i = 0; i < job->count; i++)
        counters->bytes[job->how] += job->segments[i].len;
}

void commit_flush(struct commit *commit)
{
    struct commit_job *jobs = commit->first, *next;

    commit->first = NULL;
    commit->last = &commit->first;
    for (struct commit_job *job = jobs; job; job = job->next)
        run[job->how](commit, job);
    if (commit->swaps)
        swaps_run(commit);
    if (commit->copies)
        copies_run(commit);
    for (struct commit_job *job = jobs; job; job = next) {
        next = job->next;
        count_done(&commit->counters, job);
        job->done(job);
    }
}
