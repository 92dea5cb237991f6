// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t bench_now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t bench_now(void)
{
    return bench_now_ns(CLOCK_MONOTONIC);
}

void bench_check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

void bench_check_call(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

int bench_by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void bench_places_init(struct bench_places *places, const char *rw, uint64_t blocks)
{
    *places = (struct bench_places){
        .blocks = blocks,
        .seed = 88172645463325252u,
        .write = strstr(rw, "write") != NULL,
        .random = strncmp(rw, "rand", 4) == 0,
    };
}

uint64_t bench_place(struct bench_places *places)
{
    if (!places->random)
        return places->next++ % places->blocks;
    /* xorshift64 (Marsaglia 2003) */
    places->seed ^= places->seed << 13;
    places->seed ^= places->seed >> 7;
    places->seed ^= places->seed << 17;
    return places->seed % places->blocks;
}
