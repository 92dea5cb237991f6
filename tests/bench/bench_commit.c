/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways in which data gets from the daemon's pages to a guest of hv_shm, against each other, for
 * requests of 4 KiB to 1 MiB: devices/commit.h as a PV backend uses it, a turn of several requests
 * at a time. The guest reads what it got, or does not: a page that was swapped is not in the cache
 * of whoever swapped it, and a copy is, so that is part of the price.
 *
 * bench_commit [SECONDS]    time for each measurement, default 0.2
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/commit.h"
#include "ioreq/guestmem.h"
#include "tests/unit/grant_rig.h"

#define PAGE     GRANT_PAGE
#define RAM      (64u << 20)
#define SPARES   4096u
#define TURN_MAX 32u        /* requests */
#define TURN     (1u << 20) /* bytes in a turn, at most */
#define SIZES    9u
#define GRANTED  8192u /* pages; the table's size */

static double seconds = 0.2;
static struct grant_rig *rig;
static const struct grants *grants;
static uint32_t refs[GRANTED];
static struct commit *commit;
static uint8_t *pool;

struct turn {
    struct commit_job job[TURN_MAX];
    struct commit_segment segments[TURN_MAX][COMMIT_SEGMENTS_MAX];
    uint8_t *pages[TURN_MAX][COMMIT_SEGMENTS_MAX];
    unsigned requests, request_pages;
    enum commit_how how;
    bool guest_reads;
    unsigned at; /* the guest's next page */
    unsigned failed;
};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_commit: %s\n", what);
    exit(1);
}

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The guest's memory as a host device sees it. */
static int dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    return guestmem_write(&hv_shm_ops, rig->at[0].guest, gpa, buf, len);
}

static const struct host_ops host_ops = {.dma_write = dma_write};
static const struct host host = {.ops = &host_ops};

static struct turn turn;

static void done(struct commit_job *job)
{
    turn.failed += job->error != 0;
}

static volatile uint64_t sink;

static void guest_reads(const struct turn *t)
{
    uint64_t sum = 0;

    for (unsigned r = 0; r < t->requests; r++)
        for (unsigned i = 0; i < t->request_pages; i++) {
            uint64_t page = (t->at + r * t->request_pages + i) % GRANTED;
            const uint64_t *word = peer_ram(rig->at[0].peer, page * PAGE, PAGE);

            for (unsigned w = 0; w < PAGE / 8; w++)
                sum += word[w];
        }
    sink = sum;
}

/* The disk's part: it has just filled the pages, past the caches as DMA does, so they are only
 * named here. */
static void turn_once(struct turn *t)
{
    unsigned taken = 0;

    for (unsigned r = 0; r < t->requests; r++) {
        struct commit_job *job = &t->job[r];

        *job = (struct commit_job){.segments = t->segments[r],
                                   .count = t->request_pages,
                                   .pages = t->pages[r],
                                   .to_guest = true,
                                   .how = t->how,
                                   .done = done};
        if (t->how == COMMIT_SWAP)
            require(grants_swap_take(grants, t->pages[r], t->request_pages), "spares");
        for (unsigned i = 0; i < t->request_pages; i++) {
            unsigned page = (t->at + r * t->request_pages + i) % GRANTED;

            if (t->how != COMMIT_SWAP)
                t->pages[r][i] = pool + (size_t)(taken++ % SPARES) * PAGE;
            t->segments[r][i] = (struct commit_segment){.len = PAGE};
            if (t->how == COMMIT_MEMCPY)
                t->segments[r][i].gpa = page * (uint64_t)PAGE;
            else
                t->segments[r][i].ref = refs[page];
        }
        commit_add(commit, job);
    }
    commit_flush(commit);
    require(!t->failed, "a segment failed");
    for (unsigned r = 0; t->how == COMMIT_SWAP && r < t->requests; r++)
        for (unsigned i = 0; i < t->request_pages; i++)
            grants_swap_give(grants, t->pages[r][i]);
    if (t->guest_reads)
        guest_reads(t);
    t->at = (t->at + t->requests * t->request_pages) % GRANTED;
}

/* Nanoseconds of processor time for a request of `bytes`, the best of five stretches: what others
 * do on the machine only makes it longer. */
static double measure(enum commit_how how, uint32_t bytes, bool reads)
{
    double best = 0;

    turn.how = how;
    turn.guest_reads = reads;
    turn.request_pages = bytes / PAGE;
    turn.requests = TURN / bytes < TURN_MAX ? TURN / bytes : TURN_MAX;
    for (unsigned i = 0; i < 5; i++) {
        double start = now(CLOCK_PROCESS_CPUTIME_ID), took;
        unsigned turns = 0;

        do {
            turn_once(&turn);
            turns++;
            took = now(CLOCK_PROCESS_CPUTIME_ID) - start;
        } while (took < seconds / 5);
        took = took * 1e9 / turns / turn.requests;
        if (i == 0 || took < best)
            best = took;
    }
    return best;
}

static void crossover(const char *what, const double ns[COMMIT_HOWS][SIZES], enum commit_how how)
{
    int from = -1;

    /* From where on it never loses again. */
    for (int i = SIZES - 1; i >= 0 && ns[how][i] < ns[COMMIT_COPY][i]; i--)
        from = i;
    if (from < 0)
        printf("  %s: never faster than copying\n", what);
    else
        printf("  %s: faster than copying from %u KiB on\n", what, 4u << from);
}

static void table(bool reads)
{
    static const enum commit_how hows[] = {COMMIT_MEMCPY, COMMIT_COPY, COMMIT_MAP, COMMIT_SWAP};
    double ns[COMMIT_HOWS][SIZES];

    printf("\n%s\n  %-10s %12s %12s %12s %12s   us of CPU a request (GiB/s)\n",
           reads ? "the guest reads all of it afterwards" : "the guest does not look at it",
           "request", "memcpy", "grant copy", "grant map", "swap");
    for (unsigned i = 0; i < SIZES; i++) {
        uint32_t bytes = 4096u << i;

        printf("  %4u KiB  ", bytes >> 10);
        for (unsigned h = 0; h < COMMIT_HOWS; h++) {
            ns[hows[h]][i] = measure(hows[h], bytes, reads);
            printf(" %7.2f %5.1f", ns[hows[h]][i] / 1e3, bytes / ns[hows[h]][i] * 1e9 / (1u << 30));
            fflush(stdout);
        }
        printf("\n");
    }
    crossover("swap", ns, COMMIT_SWAP);
    crossover("map", ns, COMMIT_MAP);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    rig = grant_rig_start();
    grant_rig_guest(rig, 0, RAM, SPARES, HV_SHM_FEATURE_GRANTS | HV_SHM_FEATURE_SWAP);
    grants = rig->at[0].grants;
    grant_rig_grant(rig, 0, 0, false, GRANTED, refs);
    require(posix_memalign((void **)&pool, 1u << 21, SPARES * (size_t)PAGE) == 0, "memory");
    memset(pool, 0x5a, SPARES * (size_t)PAGE);
    for (uint64_t at = 0; at < RAM; at += PAGE)
        memset(peer_ram(rig->at[0].peer, at, PAGE), 1, PAGE);
    require(commit_create(&(struct commit_params){.grants = grants, .host = &host}, &commit) == 0,
            "memory");
    printf("Data to a guest over hv_shm, in turns of up to %u requests or %u KiB.\n", TURN_MAX,
           TURN >> 10);
    table(false);
    table(true);
    commit_destroy(commit);
    free(pool);
    grant_rig_stop(rig);
    return 0;
}
