/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Very many simulated guests of one daemon ($IOEMUD), each with 256 KiB of memory and one disk:
 * what each costs while it does nothing, and what the others cost one that does something.
 *
 * bench_many [GUESTS [HAMMERING [IDLE_S [MS]]]]    default: 1000 guests, 99 hammering, 10 s,
 *                                                  2000 ms
 *
 * A round trip is a read of a register, one after the other, of one guest. Its fair share:
 *   - while others are idle, what it is when there is no other guest: the same quantile;
 *   - while others hammer, all N of them in the same loop: N / (requests of all a second), which is
 *     what each waits on average when all are served alike (Little's law), whatever the
 *     processors that daemon and guests share can do. Both quantiles are held against that.
 * What is asked of the daemon is to stay within 2 x of that. One processor plays all the guests,
 * one after the other, without sleeping; the workers have the rest. With a thread for each guest
 * the kernel's slices would be what is measured.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/shm/crowd.h"

#define SAMPLES 2000000u
#define LEAST   5000u /* however long it takes */
#define WARM    100u
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

/* Descriptors and private memory with nobody attached: after a first guest, which brings what is
 * made once. */
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
    struct used none, attached, booted;
    double first, middle, last;

    attach(0, 1);
    boot(0, 1);
    crowd_detach(&bench.crowd, 0);
    bench_check(rig_wait_guests(&bench.rig, 0, 5000), "the first guest does not go");
    none = used_now();
    first = attach(0, tenth);
    middle = attach(tenth, n - tenth);
    last = attach(n - tenth, n);
    row("attach: all", first + middle + last, "s", -1);
    row("  a guest, of the first tenth", first * 1e3 / tenth, "ms", -1);
    row("  a guest, of the last tenth", last * 1e3 / tenth, "ms", -1);
    attached = used_now();
    boot(0, n);
    booted = used_now();
    row("a guest: descriptors", (double)(booted.descriptors - none.descriptors) / n, "", -1);
    row("  private memory, attached", (double)(attached.kib - none.kib) / n, "KiB", -1);
    row("  private memory, idle after its disk was used", (double)(booted.kib - none.kib) / n,
        "KiB", IDLE_KIB);
    row("  its part of the disk buffers, there from the start", 4. * pages / n, "KiB", -1);
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

static struct trip quantiles(unsigned n)
{
    qsort(bench.sample, n, sizeof(*bench.sample), bench_by_value);
    return (struct trip){bench.sample[n / 2] / 1e3, bench.sample[n - 1 - n / 1000] / 1e3};
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
    return quantiles(n);
}

static void report(const char *when, struct trip trip, double fair_median, double fair_p999)
{
    char what[64];

    snprintf(what, sizeof(what), "one guest, %s: median", when);
    row(what, trip.median, "us", -1);
    row("  99.9 %", trip.p999, "us", -1);
    if (!fair_median)
        return;
    row("  median, of its fair share", trip.median / fair_median, "x", FAIR);
    row("  99.9 %, of its fair share", trip.p999 / fair_p999, "x", FAIR);
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

/* Guests 0 to `hammering`, each with a read under way all the time, for bench.ms from `start` on;
 * guest 0 is measured. Returns how many reads there were. */
static uint64_t hammer(uint64_t start, unsigned *ret_n)
{
    uint64_t end = start + (uint64_t)bench.ms * 1000000u, now = start, begun = start, all = 0;
    unsigned n = 0;

    for (unsigned i = 0; i <= bench.hammering; i++)
        begin(i);
    while (now < end) {
        for (unsigned i = 0; i <= bench.hammering; i++) {
            if (!ended(i))
                continue;
            now = bench_now();
            all++;
            if (i == 0) {
                if (n < SAMPLES)
                    bench.sample[n++] = (uint32_t)(now - begun);
                begun = now;
            }
            begin(i);
        }
        now = bench_now();
    }
    for (unsigned i = 0; i <= bench.hammering; i++)
        while (!ended(i))
            bench_check(bench_now() < end + HANG_NS, "a guest is not answered");
    *ret_n = n;
    return all;
}

static void hammered(void)
{
    char when[32];
    struct trip trip;
    uint64_t start = bench_now(), all, took;
    unsigned n;
    double fair_us;

    all = hammer(start, &n);
    took = bench_now() - start;
    bench_check(n >= LEAST, "the guest that is measured is hardly answered");
    trip = quantiles(n);
    fair_us = (double)took / 1e3 * (bench.hammering + 1) / (double)all;
    snprintf(when, sizeof(when), "%u hammer", bench.hammering);
    report(when, trip, fair_us, fair_us);
    row("  its fair share", fair_us, "us", -1);
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

int main(int argc, char **argv)
{
    char config[128];
    unsigned pages;
    struct used none;
    struct trip trip;
    cpu_set_t cpus;

    bench.guests = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    bench.hammering = argc > 2 ? (unsigned)atoi(argv[2]) : 99;
    bench.idle_s = argc > 3 ? (unsigned)atoi(argv[3]) : 10;
    bench.ms = argc > 4 ? (unsigned)atoi(argv[4]) : 2000;
    if (!bench.guests || bench.hammering >= bench.guests || !bench.idle_s || !bench.ms) {
        fputs("bench_many [GUESTS [HAMMERING [IDLE_S [MS]]]]\n", stderr);
        return 2;
    }
    bench.sample = malloc(SAMPLES * sizeof(*bench.sample));
    bench_check(bench.sample, "memory");
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench_check(!sched_getaffinity(0, sizeof(cpus), &cpus), "processors");
    bench.workers = CPU_COUNT(&cpus) > 2 ? (unsigned)CPU_COUNT(&cpus) - 1 : 1;
    rig_start(&bench.rig, crowd_config(bench.guests, bench.workers, config, &pages));
    crowd_create(&bench.crowd, &bench.rig, bench.guests);
    printf("%u guests, workers: %u\n", bench.guests, bench.workers);
    trip = alone();
    none = attach_all(pages);
    idle();
    report("no other", trip, 0, 0);
    report("the others idle", round_trips(0), trip.median, trip.p999);
    hammered();
    detach_all(none);
    crowd_destroy(&bench.crowd);
    bench_check(rig_stop(&bench.rig) == 0, "the daemon does not end well");
    if (bench.failed)
        printf("%u goals missed\n", bench.failed);
    free(bench.sample);
    return 0;
}
