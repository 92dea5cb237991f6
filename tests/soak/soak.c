/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon ($IOEMUD) with guests that come, work and go, round after round, by every way that there
 * is: hanging up, detached, in the middle of a transfer, while the configuration is read again and
 * media and NICs are changed. Between rounds it must have as many worker processes, descriptors,
 * threads and mappings of guests' memory as ever, and its private memory not grow; what its workers
 * have is counted with it. One guest stays, idle, so that one worker process is there all the time.
 *
 * If the program is tests/fault/ioemud_faults ($IOEMUD_SOAK_FAULTS is set), nobody stays, and each
 * second round it is denied something and may refuse what it likes: allocations, system calls and
 * operations of its hypervisor by turns, of these one in 128, first those from the first on, next
 * time from the second on, until each has had its turn; then one in 256, and so on. (A round has
 * some 30,000 allocations; tests/fault has each of them on its own.)
 *
 * soak [SECONDS [GUESTS]]    default: 60 s, 16 guests
 *
 * Prints a sample now and then; exit status 0: flat.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/faults.h"
#include "tests/shm/crowd.h"
#include "tests/shm/sanitized.h"

#define WORKERS     2u
#define WARM_ROUNDS 5u  /* until what is made once has been made */
#define SAMPLES     20u /* printed */
/* Threads that are made when there is something to close, one a socket: of those where nothing ever
 * goes wrong not before something is denied. */
#define REAPERS 3u
#define GROWS_KIB                                                                                  \
    512u /* the last third's highest sample above the middle third's: none grows so much */

struct sample {
    double at_s;
    unsigned workers, descriptors, mappings, threads;
    unsigned long kib;
};

static struct soak {
    struct rig rig;
    struct crowd crowd;
    struct faults *faults; /* NULL: none */
    struct peer *stayer;   /* so that there is a worker process that stays, too; NULL: none */
    char medium[RIG_PATH];
    uint64_t start_ns;
    double seconds;
    unsigned rounds, denied, refused;
    unsigned every, turn; /* one call in so many is denied; how often that has been done */
    uint64_t attached, transfers;
    struct sample *sample; /* of each round after the first */
    unsigned n_samples;
    uint32_t random;
} soak;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double at_s(void)
{
    return (double)(now_ns() - soak.start_ns) / 1e9;
}

/* xorshift32: the same rounds each time. */
static unsigned below(unsigned end)
{
    soak.random ^= soak.random << 13;
    soak.random ^= soak.random >> 17;
    soak.random ^= soak.random << 5;
    return soak.random % end;
}

__attribute__((noreturn)) static void end_badly(const char *why)
{
    char *log = rig_log(&soak.rig);
    size_t len = strlen(log);

    fprintf(stderr, "%ssoak: after %.1f s, round %u: %s\n", len > 4000 ? log + len - 4000 : log,
            at_s(), soak.rounds, why);
    kill(soak.rig.pid, SIGKILL);
    exit(1);
}

static void alive(void)
{
    int status;

    if (waitpid(soak.rig.pid, &status, WNOHANG) == 0)
        return;
    soak.rig.pid = 0;
    end_badly("the daemon has ended");
}

/* ---- a round --------------------------------------------------------------------------------- */

struct work {
    unsigned index;
    atomic_bool stop;
    int rc;
    uint64_t transfers;
    pthread_t thread;
};

static void *work_thread(void *arg)
{
    struct work *work = arg;

    work->rc = crowd_boot(&soak.crowd, work->index);
    while (work->rc == 0 && !atomic_load(&work->stop)) {
        work->rc = crowd_verify(&soak.crowd, work->index);
        work->transfers += 2;
    }
    return NULL;
}

/* What is asked of the daemon meanwhile; while it is denied something it may fail. */
static void ask(const char *method, const char *params, bool denied)
{
    char error[256] = "";
    json_t *result = rig_call(&soak.rig, method, params, error);

    if (!result && !denied) {
        fprintf(stderr, "soak: %s %s: %s\n", method, params ? params : "", error);
        end_badly("what always works does not");
    }
    soak.refused += !result;
    json_decref(result);
}

static void change(bool denied)
{
    char params[2 * RIG_PATH];

    snprintf(params, sizeof(params), "{\"name\": \"rich\", \"vdev\": \"hdc\", \"path\": \"%s\"}",
             soak.medium);
    ask("insert", params, denied);
    ask("nic-add", "{\"name\": \"rich\", \"nic\": {\"backend\": \"null\", \"devid\": 1}}", denied);
    ask("list", NULL, denied);
    ask("stats", NULL, denied);
    ask("metrics", NULL, denied);
    ask("eject", "{\"name\": \"rich\", \"vdev\": \"hdc\", \"force\": true}", denied);
    ask("nic-remove", "{\"name\": \"rich\", \"nic\": 1, \"force\": true}", denied);
}

/* Another description each time, so that there is something to apply. */
static void describe_rich(unsigned round)
{
    char disks[2 * RIG_PATH];

    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"format\": \"mem\", \"size\": \"1M\", \"rerror\": \"%s\"}, "
             "{\"vdev\": \"hdc\", \"type\": \"cdrom\"}",
             round & 1 ? "stop" : "report");
    rig_guest_more(&soak.rig, "rich", disks, "\"nics\": [{\"backend\": \"null\"}]");
}

/* By turns: hangs up when it has finished, hangs up in the middle, is detached in the middle. */
static void end_guest(struct work *work, bool denied)
{
    char params[64], name[16];
    unsigned how = below(3);

    if (how == 0) {
        atomic_store(&work->stop, true);
        pthread_join(work->thread, NULL);
        if (work->rc && !denied)
            end_badly("a guest's disk does not work");
    } else {
        crowd_name(work->index, name);
        snprintf(params, sizeof(params), "{\"name\": \"%s\"}", name);
        if (how == 1)
            ask("detach", params, true); /* it may have gone by itself */
        else
            shutdown(peer_socket(soak.crowd.guest[work->index].peer), SHUT_RDWR);
        atomic_store(&work->stop, true);
        pthread_join(work->thread, NULL);
    }
    if (work->rc == -EBADMSG)
        end_badly("a guest reads what it did not write");
    soak.transfers += work->transfers;
    crowd_detach(&soak.crowd, work->index);
}

static void work_and_go(bool denied)
{
    struct work *work = calloc(soak.crowd.count, sizeof(*work));
    struct peer *rich;
    char reason[112];

    describe_rich(soak.rounds);
    rich = rig_try_peer(&soak.rig, "rich", 2, 4u << 20, reason);
    for (unsigned i = 0; i < soak.crowd.count; i++) {
        work[i].index = i;
        if (!crowd_attach(&soak.crowd, i, reason)) {
            if (!denied)
                end_badly(reason);
            soak.refused++;
            continue;
        }
        soak.attached++;
        if (pthread_create(&work[i].thread, NULL, work_thread, &work[i]))
            end_badly("no thread for a guest");
    }
    describe_rich(soak.rounds + 1);
    if (rich || !denied)
        change(denied);
    ask("reload", NULL, denied);
    for (unsigned i = 0; i < soak.crowd.count; i++)
        if (soak.crowd.guest[i].peer)
            end_guest(&work[i], denied);
    peer_close(rich);
    free(work);
}

static void take_sample(void)
{
    struct sample *s;

    if (!rig_wait_guests(&soak.rig, soak.stayer ? 1 : 0, 20000))
        end_badly("guests do not go");
    rig_wait_workers(&soak.rig, soak.stayer ? 1 : 0, 20000);
    if (soak.n_samples % 1024 == 0)
        soak.sample = realloc(soak.sample, (soak.n_samples + 1024) * sizeof(*soak.sample));
    if (!soak.sample)
        end_badly("no memory for samples");
    s = &soak.sample[soak.n_samples++];
    if (soak.n_samples > 1)
        rig_wait_descriptors(&soak.rig, soak.sample[0].descriptors, 5000);
    else
        usleep(500000);
    *s = (struct sample){.at_s = at_s(),
                         .workers = rig_workers(&soak.rig),
                         .descriptors = rig_descriptors(&soak.rig),
                         .mappings = rig_memfd_mappings(&soak.rig),
                         .threads = rig_threads(&soak.rig),
                         .kib = rig_private_kib(&soak.rig)};
}

static void print_sample(const struct sample *s)
{
    printf("%8.1f s  round %5u  %7ju guests came  %9ju transfers  %5u denied  %5u refused  "
           "%7lu KiB private  %3u descriptors  %2u threads  %u worker processes\n",
           s->at_s, soak.rounds, (uintmax_t)soak.attached, (uintmax_t)soak.transfers, soak.denied,
           soak.refused, s->kib, s->descriptors, s->threads, s->workers);
}

/* One call or up to three in a row, of each `every`. */
static void deny_next(void)
{
    unsigned first = 1 + soak.turn / FAULTS_CLASSES;
    enum faults_class class = (enum faults_class)(soak.turn % FAULTS_CLASSES);

    faults_arm_every(soak.faults, class, first, first + below(3), soak.every);
    if (++soak.turn < FAULTS_CLASSES * soak.every)
        return;
    printf("%8.1f s  each has been denied, one in %u at a time\n", at_s(), soak.every);
    soak.turn = 0;
    soak.every *= 2;
}

static void one_round(void)
{
    bool deny = soak.faults && soak.rounds >= WARM_ROUNDS && soak.rounds % 2;

    if (deny)
        deny_next();
    work_and_go(deny);
    if (deny)
        soak.denied += faults_disarm(soak.faults).denied;
    alive();
    soak.rounds++;
}

static void stay(void)
{
    char reason[112];

    rig_guest(&soak.rig, "stayer", "{\"vdev\": \"hda\", \"format\": \"mem\", \"size\": \"1M\"}");
    soak.stayer = rig_try_peer(&soak.rig, "stayer", 1, CROWD_RAM, reason);
    if (!soak.stayer)
        end_badly(reason);
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static unsigned long highest(unsigned first, unsigned end)
{
    unsigned long kib = 0;

    for (unsigned i = first; i < end; i++)
        kib = soak.sample[i].kib > kib ? soak.sample[i].kib : kib;
    return kib;
}

static bool flat(void)
{
    const struct sample *first = &soak.sample[0];
    unsigned n = soak.n_samples, reapers = soak.faults ? REAPERS : 0;
    unsigned long middle = highest(n / 3, n * 2 / 3), last = highest(n * 2 / 3, n);
    bool good = true;

    for (unsigned i = 1; i < n; i++) {
        const struct sample *s = &soak.sample[i];

        if (s->descriptors == first->descriptors && s->mappings == first->mappings &&
            s->workers == first->workers && s->threads >= first->threads &&
            s->threads <= first->threads + reapers)
            continue;
        printf("not flat after %.1f s: %u worker processes, %u descriptors, %u mappings, %u "
               "threads; at first %u, %u, %u, %u\n",
               s->at_s, s->workers, s->descriptors, s->mappings, s->threads, first->workers,
               first->descriptors, first->mappings, first->threads);
        good = false;
        break;
    }
    /* A sanitizer keeps what was freed for a while; it looks for leaks when the daemon ends. */
    if (!SANITIZED && last > middle + GROWS_KIB) {
        printf("not flat: private memory %lu KiB in the middle, %lu KiB in the end\n", middle,
               last);
        good = false;
    }
    return good;
}

int main(int argc, char **argv)
{
    unsigned guests = argc > 2 ? (unsigned)atoi(argv[2]) : 16;
    double next_print = 0;
    char config[128];
    unsigned pages;
    bool good;

    soak.seconds = argc > 1 ? atof(argv[1]) : 60;
    soak.random = 20261126;
    soak.every = 128;
    if (soak.seconds <= 0 || !guests) {
        fputs("soak [SECONDS [GUESTS]]\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("IOEMUD_SOAK_FAULTS"))
        soak.faults = faults_open();
    rig_start(&soak.rig, crowd_config(guests + 2, WORKERS, config, &pages));
    crowd_create(&soak.crowd, &soak.rig, guests);
    rig_image(&soak.rig, "medium", 64, soak.medium);
    if (!soak.faults)
        stay();
    soak.start_ns = now_ns();
    while (soak.rounds < WARM_ROUNDS || soak.n_samples < 3 || at_s() < soak.seconds) {
        one_round();
        if (soak.rounds < WARM_ROUNDS)
            continue;
        take_sample();
        if (at_s() < next_print)
            continue;
        print_sample(&soak.sample[soak.n_samples - 1]);
        next_print = at_s() + soak.seconds / SAMPLES;
    }
    print_sample(&soak.sample[soak.n_samples - 1]);
    good = flat();
    peer_close(soak.stayer);
    crowd_destroy(&soak.crowd);
    if (rig_stop(&soak.rig)) {
        puts("the daemon does not end well");
        good = false;
    }
    if (soak.faults)
        faults_close(soak.faults);
    free(soak.sample);
    puts(good ? "flat" : "not flat");
    return good ? 0 : 1;
}
