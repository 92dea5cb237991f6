/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/commit_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE     GRANT_PAGE
#define TURN_MAX 32u        /* requests */
#define TURN     (1u << 20) /* bytes in a turn, at most */
#define SIZES    9u

struct bench {
    const struct commit_table *table;
    struct commit *commit;
    uint8_t *pool; /* a turn's */
    struct commit_job job[TURN_MAX];
    struct commit_segment segments[TURN_MAX][COMMIT_SEGMENTS_MAX];
    uint8_t *pages[TURN_MAX][COMMIT_SEGMENTS_MAX];
    unsigned requests, request_pages;
    unsigned at; /* the guest's next page */
    const char *failed;
    double ns[COMMIT_HOWS][SIZES];
};

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void done(struct commit_job *job)
{
}

/* The disk's part: it has just filled the pages, past the caches as DMA does, so they are only
 * named here. */
static void add_request(struct bench *b, enum commit_how how, unsigned r)
{
    const struct commit_table *table = b->table;

    if (how == COMMIT_SWAP && !grants_swap_take(table->grants, b->pages[r], b->request_pages)) {
        b->failed = "too few pages to swap";
        return;
    }
    for (unsigned i = 0; i < b->request_pages; i++) {
        unsigned at = r * b->request_pages + i, page = (b->at + at) % table->pages;

        if (how != COMMIT_SWAP)
            b->pages[r][i] = b->pool + (size_t)at * PAGE;
        b->segments[r][i] = (struct commit_segment){.len = PAGE};
        if (how == COMMIT_MEMCPY)
            b->segments[r][i].gpa = page * (uint64_t)PAGE;
        else
            b->segments[r][i].ref = table->refs[page];
    }
    b->job[r] = (struct commit_job){.segments = b->segments[r],
                                    .count = b->request_pages,
                                    .pages = b->pages[r],
                                    .to_guest = true,
                                    .how = how,
                                    .done = done};
    commit_add(b->commit, &b->job[r]);
}

static void turn(struct bench *b, enum commit_how how)
{
    const struct commit_table *table = b->table;
    unsigned pages = b->requests * b->request_pages;

    for (unsigned r = 0; r < b->requests && !b->failed; r++)
        add_request(b, how, r);
    if (b->failed)
        return;
    commit_flush(b->commit);
    for (unsigned r = 0; r < b->requests; r++) {
        if (b->job[r].error)
            b->failed = strerror(-b->job[r].error);
        for (unsigned i = 0; how == COMMIT_SWAP && i < b->request_pages; i++)
            grants_swap_give(table->grants, b->pages[r][i]);
    }
    if (table->guest_reads)
        table->guest_reads(table->ctx, b->at, pages);
    b->at = (b->at + pages) % table->pages;
}

/* Nanoseconds for a request, the best of five stretches: what others do on the machine only makes
 * it longer. */
static double measure(struct bench *b, enum commit_how how, uint32_t bytes)
{
    const struct commit_table *table = b->table;
    double best = 0;

    b->request_pages = bytes / PAGE;
    b->requests = TURN / bytes < TURN_MAX ? TURN / bytes : TURN_MAX;
    for (unsigned i = 0; i < 5 && !b->failed; i++) {
        double start = now(table->clock), took;
        unsigned turns = 0;

        do {
            turn(b, how);
            turns++;
            took = now(table->clock) - start;
        } while (took < table->seconds / 5 && !b->failed);
        took = took * 1e9 / turns / b->requests;
        if (i == 0 || took < best)
            best = took;
    }
    return best;
}

static void crossover(const struct bench *b, const char *what, enum commit_how how)
{
    int from = -1;

    /* From where on it never loses again. */
    for (int i = SIZES - 1; i >= 0 && b->ns[how][i] < b->ns[COMMIT_COPY][i]; i--)
        from = i;
    if (from < 0)
        printf("  %s: never faster than copying\n", what);
    else
        printf("  %s: faster than copying from %u KiB on\n", what, 4u << from);
}

static const struct {
    const char *name;
    enum commit_how how;
    uint32_t can;
} ways[] = {
    {"memcpy", COMMIT_MEMCPY, 0},
    {"grant copy", COMMIT_COPY, GRANT_CAN_COPY},
    {"grant map", COMMIT_MAP, GRANT_CAN_MAP},
    {"swap", COMMIT_SWAP, GRANT_CAN_SWAP},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void measure_all(struct bench *b)
{
    const struct commit_table *table = b->table;

    for (unsigned w = 0; w < WAYS && !b->failed; w++) {
        if (ways[w].can & ~table->grants->can)
            continue;
        if (table->begin)
            table->begin(table->ctx, ways[w].how);
        for (unsigned i = 0; i < SIZES && !b->failed; i++)
            b->ns[ways[w].how][i] = measure(b, ways[w].how, PAGE << i);
        if (table->end)
            table->end(table->ctx, ways[w].how);
        if (b->failed)
            fprintf(stderr, "%s: %s\n", ways[w].name, b->failed);
    }
}

static void print(const struct bench *b)
{
    printf("  %-10s", "request");
    for (unsigned w = 0; w < WAYS; w++)
        printf(" %13s", ways[w].name);
    printf("   us a request, GiB/s\n");
    for (unsigned i = 0; i < SIZES; i++) {
        printf("  %4u KiB  ", 4u << i);
        for (unsigned w = 0; w < WAYS; w++) {
            double ns = b->ns[ways[w].how][i];

            if (ns > 0)
                printf(" %8.2f %4.1f", ns / 1e3, (PAGE << i) / ns * 1e9 / (1u << 30));
            else
                printf(" %13s", "-");
        }
        printf("\n");
    }
    if (b->table->grants->can & GRANT_CAN_SWAP)
        crossover(b, "swap", COMMIT_SWAP);
    crossover(b, "map", COMMIT_MAP);
}

bool commit_table_print(const struct commit_table *table)
{
    struct commit_params params = {.grants = table->grants, .host = table->host};
    struct bench *b = calloc(1, sizeof(*b));
    bool good = false;

    if (!b)
        return false;
    b->table = table;
    if (posix_memalign((void **)&b->pool, 1u << 21, TURN) || commit_create(&params, &b->commit)) {
        fprintf(stderr, "no memory\n");
        goto out;
    }
    memset(b->pool, 0x5a, TURN);
    measure_all(b);
    good = !b->failed && !commit_counters(b->commit)->fallbacks;
    if (!b->failed && !good)
        fprintf(stderr, "%llu segments were copied instead\n",
                (unsigned long long)commit_counters(b->commit)->fallbacks);
    if (good)
        print(b);
out:
    commit_destroy(b->commit);
    free(b->pool);
    free(b);
    return good;
}
