/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Very many simulated guests of one daemon ($IOEMUD), each with 256 KiB of memory and one disk:
 * what each costs while it does nothing, and what the others cost one that does something.
 *
 * bench_many [GUESTS [HAMMERING [IDLE_S [MS]]]]    default: 1000 guests, 99 hammering, 10 s,
 *                                                  2000 ms
 *
 * A round trip is a read of a register, one after the other, of one guest. Its fair share is the
 * same quantile of the same round trip, in the same run:
 *   - while others are idle, when there is no other guest;
 *   - while others hammer, all of them in the same loop, when the plainest server there can be
 *     (plain.h) is in the daemon's place. It answers all strictly by turns and does nothing else:
 *     what is longer than usual in its answers is the machine's, a tick, an interrupt, another
 *     program on one of the processors, each of which hits every guest that waits.
 * What is asked of the daemon is to stay within 2 x of that, in the median and at 99.9 %.
 *
 * Daemon and plain server take turns, a fraction of a second each, so that both have the same
 * machine. What is told is the median of all rounds, of the quantile and of its ratio to that of
 * the plain server's round beside it: a round that was disturbed, be it of the one or of the other,
 * decides nothing.
 *
 * N / (requests of all a second), what each waits on average (Little's law), is told as well. It is
 * a mean: held against it, the 99.9 % say how quiet the machine is, also of the plain server.
 *
 * One processor plays all the guests, one after the other, without sleeping; the daemon has the
 * rest. With a thread for each guest the kernel's slices would be what is measured.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/plain.h"
#include "tests/shm/crowd.h"

#define SAMPLES 2000000u
#define LEAST   5000u /* however long it takes */
#define WARM    100u
#define ROUNDS  11u /* of each server; odd */
#define HANG_NS 10000000000ull

/* Goals. */
#define IDLE_KIB   64.
#define FAIR       2.
#define DETACH_FDS 0

static struct bench {
    struct rig rig;
    struct crowd crowd;
    unsigned guests, hammering, idle_s, ms, workers;
    unsigned failed; /* goals */
    cpu_set_t rest;  /* the processors that do not play guests */
    uint32_t *sample;
} bench;

/* One line of the table; `most` < 0: no goal. */
static void row(const char *what, double value, const char *unit, double most)
{
    char goal[32] = "";

    if (most >= 0)
        snprintf(goal, sizeof(goal), "%s %g", value <= most ? "<=" : ">", most);
    bench.failed += most >= 0 && value > most;
    printf("%-52s %10.*f %-10s %s\n", what, value < 100 ? 2 : 0, value, unit, goal);
}

/* ---- coming ---------------------------------------------------------------------------------- */

static double attach(unsigned first, unsigned end)
{
    uint64_t start = bench_now();
    char reason[112] = "";

    for (unsigned i = first; i < end; i++)
        bench_check(crowd_attach(&bench.crowd, i, reason), reason);
    return (double)(bench_now() - start) / 1e9;
}

static void boot(unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        bench_check(crowd_boot(&bench.crowd, i) == 0, "a guest does not read what it wrote");
}

/* Descriptors and private memory: with nobody attached, after a first guest, which brings what is
 * made once; with one, whose worker is there; and with all. */
struct used {
    unsigned descriptors;
    unsigned long kib;
};

static struct used used_now(void)
{
    usleep(200000); /* for what is closed a moment later */
    return (struct used){rig_descriptors(&bench.rig), rig_private_kib(&bench.rig)};
}

static struct used attach_all(unsigned pages)
{
    unsigned n = bench.guests, tenth = n >= 10 ? n / 10 : 1;
    struct used none, one, attached, booted;
    double first, middle, last;

    attach(0, 1);
    boot(0, 1);
    crowd_detach(&bench.crowd, 0);
    bench_check(rig_wait_guests(&bench.rig, 0, 5000), "the first guest does not go");
    none = used_now();
    first = attach(0, 1);
    boot(0, 1);
    one = used_now();
    first += attach(1, tenth);
    middle = attach(tenth, n - tenth);
    last = attach(n - tenth, n);
    row("attach: all", first + middle + last, "s", -1);
    row("  a guest, of the first tenth", first * 1e3 / tenth, "ms", -1);
    row("  a guest, of the last tenth", last * 1e3 / tenth, "ms", -1);
    attached = used_now();
    boot(1, n);
    booted = used_now();
    row("a guest: descriptors", (double)(booted.descriptors - one.descriptors) / (n - 1), "", -1);
    row("  private memory, attached", (double)(attached.kib - one.kib) / (n - 1), "KiB", -1);
    row("  private memory, idle after its disk was used", (double)(booted.kib - one.kib) / (n - 1),
        "KiB", IDLE_KIB);
    row("  its part of the disk buffers, of its worker's from the start", 4. * pages / n, "KiB",
        -1);
    row("a worker and its first guest, without the buffers",
        (double)(one.kib - none.kib) - 4. * pages / bench.workers, "KiB", -1);
    return none;
}

/* ---- idle ------------------------------------------------------------------------------------ */

static void idle(void)
{
    unsigned long before;
    uint64_t processor;
    clockid_t clock;

    bench_check(!clock_getcpuclockid(bench.rig.pid, &clock), "the daemon's clock");
    sleep(1);
    before = rig_wakeups(&bench.rig);
    processor = bench_now_ns(clock);
    sleep(bench.idle_s);
    row("all idle: wake-ups a second",
        (double)(rig_wakeups(&bench.rig) - before) / (double)bench.idle_s, "", 0);
    row("  processor time a second", (double)(bench_now_ns(clock) - processor) / 1e3 / bench.idle_s,
        "us", -1);
}

/* ---- round trips ----------------------------------------------------------------------------- */

struct trip {
    double median, p999; /* us */
};

static struct trip quantiles(uint32_t *sample, unsigned n)
{
    qsort(sample, n, sizeof(*sample), bench_by_value);
    return (struct trip){sample[n / 2] / 1e3, sample[n - 1 - n / 1000] / 1e3};
}

static struct trip round_trips(unsigned index)
{
    const struct ide *ide = &bench.crowd.guest[index].ide;
    uint64_t end = bench_now() + (uint64_t)bench.ms * 1000000u;
    unsigned n = 0;

    for (unsigned i = 0; i < WARM; i++)
        peer_in(ide->peer, 0, ide->ctl, 1);
    while (n < SAMPLES && (n < LEAST || bench_now() < end) && !peer_error(ide->peer)) {
        uint64_t start = bench_now();

        peer_in(ide->peer, 0, ide->ctl, 1);
        bench.sample[n++] = (uint32_t)(bench_now() - start);
    }
    bench_check(!peer_error(ide->peer), "a guest is not answered");
    return quantiles(bench.sample, n);
}

/* fair: NULL, there is none. */
static void report(const char *when, struct trip trip, const struct trip *fair)
{
    char what[64];

    snprintf(what, sizeof(what), "one guest, %s: median", when);
    row(what, trip.median, "us", -1);
    row("  99.9 %", trip.p999, "us", -1);
    if (!fair)
        return;
    row("  median, of its fair share", trip.median / fair->median, "x", FAIR);
    row("  99.9 %, of its fair share", trip.p999 / fair->p999, "x", FAIR);
}

static void begin(unsigned index)
{
    const struct ide *ide = &bench.crowd.guest[index].ide;

    bench_check(peer_in_begin(ide->peer, 0, ide->ctl, 1), "a guest's port is not claimed");
}

static bool ended(unsigned index)
{
    uint64_t value;

    return peer_in_ended(bench.crowd.guest[index].ide.peer, 0, &value);
}

/* One server's answers. */
struct answers {
    uint32_t *sample;      /* guest 0's, of all rounds */
    unsigned n, round;     /* so many; where the last round's begin */
    uint64_t all, took_ns; /* of all guests */
    double median[ROUNDS], p999[ROUNDS];
};

/* Guests 0 to `hammering`, each with a read under way all the time, for `ms`; guest 0 is measured
 * from its first WARM answers on. */
static void hammer(unsigned ms, struct answers *answers)
{
    uint64_t start = bench_now(), end = start + (uint64_t)ms * 1000000u, now = start, begun = start;
    unsigned seen = 0;

    answers->round = answers->n;
    for (unsigned i = 0; i <= bench.hammering; i++)
        begin(i);
    while (now < end || seen < WARM + LEAST) {
        for (unsigned i = 0; i <= bench.hammering; i++) {
            if (!ended(i))
                continue;
            now = bench_now();
            answers->all++;
            if (i == 0) {
                if (++seen > WARM && answers->n - answers->round < SAMPLES / ROUNDS)
                    answers->sample[answers->n++] = (uint32_t)(now - begun);
                begun = now;
            }
            begin(i);
        }
        now = bench_now();
        bench_check(now < end + HANG_NS, "the guest that is measured is hardly answered");
    }
    answers->took_ns += now - start;
    for (unsigned i = 0; i <= bench.hammering; i++)
        while (!ended(i))
            bench_check(bench_now() < end + HANG_NS, "a guest is not answered");
}

static void finish_round(struct answers *answers, unsigned round)
{
    struct trip trip = quantiles(answers->sample + answers->round, answers->n - answers->round);

    answers->median[round] = trip.median;
    answers->p999[round] = trip.p999;
}

static void hammer_plain(struct peer *const *guest, unsigned ms, struct answers *answers)
{
    struct plain *plain = plain_start(guest, bench.hammering + 1, bench.workers, &bench.rest);

    bench_check(plain, "the plain server does not start");
    hammer(ms, answers);
    plain_stop(plain);
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of what the rounds have, in the one case over what they have in the other; over: NULL, of the
 * one. */
static double of_rounds(const double value[ROUNDS], const double *over)
{
    double sorted[ROUNDS];

    for (unsigned i = 0; i < ROUNDS; i++)
        sorted[i] = over ? value[i] / over[i] : value[i];
    qsort(sorted, ROUNDS, sizeof(sorted[0]), by_double);
    return sorted[ROUNDS / 2];
}

static void report_answers(const char *who, struct answers *answers)
{
    double mean = (double)answers->took_ns / 1e3 * (bench.hammering + 1) / (double)answers->all;

    row(who, of_rounds(answers->median, NULL), "us", -1);
    row("  99.9 %", of_rounds(answers->p999, NULL), "us", -1);
    row("  99.9 % of all rounds together", quantiles(answers->sample, answers->n).p999, "us", -1);
    row("  mean of all guests", mean, "us", -1);
    row("  99.9 %, of that mean", of_rounds(answers->p999, NULL) / mean, "x", -1);
}

static void hammered(void)
{
    struct peer **guest = calloc(bench.hammering + 1, sizeof(struct peer *));
    struct answers daemon = {.sample = bench.sample}, plain = {.sample = bench.sample + SAMPLES};
    char who[64];

    bench_check(guest, "memory");
    for (unsigned i = 0; i <= bench.hammering; i++)
        guest[i] = bench.crowd.guest[i].ide.peer;
    for (unsigned i = 0; i < ROUNDS; i++) {
        hammer(bench.ms / ROUNDS, &daemon);
        finish_round(&daemon, i);
        hammer_plain(guest, bench.ms / ROUNDS, &plain);
        finish_round(&plain, i);
    }
    free(guest);
    snprintf(who, sizeof(who), "one guest, %u hammer: median", bench.hammering);
    report_answers(who, &daemon);
    report_answers("  with the plain server: median", &plain);
    row("  median, of its fair share", of_rounds(daemon.median, plain.median), "x", FAIR);
    row("  99.9 %, of its fair share", of_rounds(daemon.p999, plain.p999), "x", FAIR);
}

/* With no other guest in the daemon. */
static struct trip alone(void)
{
    struct trip trip;

    attach(0, 1);
    boot(0, 1);
    trip = round_trips(0);
    crowd_detach(&bench.crowd, 0);
    bench_check(rig_wait_guests(&bench.rig, 0, 5000), "the first guest does not go");
    return trip;
}

/* ---- going ----------------------------------------------------------------------------------- */

static void detach_all(struct used none)
{
    uint64_t start = bench_now();
    struct used used;

    for (unsigned i = 0; i < bench.guests; i++)
        crowd_detach(&bench.crowd, i);
    bench_check(rig_wait_descriptors(&bench.rig, none.descriptors, 60000), "guests do not go");
    row("detach: all", (double)(bench_now() - start) / 1e9, "s", -1);
    bench_check(rig_wait_guests(&bench.rig, 0, 5000), "guests remain");
    used = used_now();
    row("  descriptors that stay", (double)used.descriptors - none.descriptors, "", DETACH_FDS);
    row("  mappings of guests' memory that stay", rig_memfd_mappings(&bench.rig), "", 0);
    row("  private memory that stays, in all", (double)used.kib - (double)none.kib, "KiB", -1);
}

/* One processor for the guests, this thread, the rest for the daemon, which inherits it. */
static void share_processors(cpu_set_t *ret_own)
{
    int own = 0;

    bench_check(!sched_getaffinity(0, sizeof(bench.rest), &bench.rest), "processors");
    *ret_own = bench.rest;
    bench.workers = 1;
    if (CPU_COUNT(&bench.rest) < 2)
        return;
    while (!CPU_ISSET(own, &bench.rest))
        own++;
    CPU_ZERO(ret_own);
    CPU_SET(own, ret_own);
    CPU_CLR(own, &bench.rest);
    bench.workers = (unsigned)CPU_COUNT(&bench.rest);
    if (bench.workers > PLAIN_THREADS)
        bench.workers = PLAIN_THREADS;
}

int main(int argc, char **argv)
{
    char config[128];
    unsigned pages;
    struct used none;
    struct trip trip;
    cpu_set_t own;

    bench.guests = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    bench.hammering = argc > 2 ? (unsigned)atoi(argv[2]) : 99;
    bench.idle_s = argc > 3 ? (unsigned)atoi(argv[3]) : 10;
    bench.ms = argc > 4 ? (unsigned)atoi(argv[4]) : 2000;
    if (!bench.guests || bench.hammering >= bench.guests || !bench.idle_s || !bench.ms) {
        fputs("bench_many [GUESTS [HAMMERING [IDLE_S [MS]]]]\n", stderr);
        return 2;
    }
    bench.sample = malloc(2 * SAMPLES * sizeof(*bench.sample));
    bench_check(bench.sample, "memory");
    setvbuf(stdout, NULL, _IOLBF, 0);
    share_processors(&own);
    sched_setaffinity(0, sizeof(bench.rest), &bench.rest);
    rig_start(&bench.rig, crowd_config(bench.guests, bench.workers, config, &pages));
    sched_setaffinity(0, sizeof(own), &own);
    crowd_create(&bench.crowd, &bench.rig, bench.guests);
    printf("%u guests, workers: %u\n", bench.guests, bench.workers);
    trip = alone();
    none = attach_all(pages);
    idle();
    report("no other", trip, NULL);
    report("the others idle", round_trips(0), &trip);
    hammered();
    detach_all(none);
    crowd_destroy(&bench.crowd);
    bench_check(rig_stop(&bench.rig) == 0, "the daemon does not end well");
    if (bench.failed)
        printf("%u goals missed\n", bench.failed);
    free(bench.sample);
    return 0;
}
