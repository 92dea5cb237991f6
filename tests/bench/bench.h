/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What benchmarks share: a clock, samples, an end when something fails, places on a disk. */
#ifndef IOEMUD_TESTS_BENCH_BENCH_H
#define IOEMUD_TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

uint64_t bench_now_ns(clockid_t clock);
/* CLOCK_MONOTONIC */
uint64_t bench_now(void);

/* Ends the program unless it is true, and says `what` was not. */
void bench_check(bool ok, const char *what);
/* With what errno has. */
void bench_check_call(bool ok, const char *what);

/* qsort(3)'s, of uint32_t. */
int bench_by_value(const void *a, const void *b);

/* Where the requests of a job go, in requests, as fio's --rw has them. */
struct bench_places {
    uint64_t blocks, next, seed;
    bool write, random;
};

/* `rw`: read, randread, write, randwrite. */
void bench_places_init(struct bench_places *places, const char *rw, uint64_t blocks);
uint64_t bench_place(struct bench_places *places);

#endif
