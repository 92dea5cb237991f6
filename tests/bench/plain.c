/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/plain.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* The daemon watches a guest's pages for "poll_us" (200) after its last request; on a machine that
 * is busy with others it takes its time to see that. */
#define REST_US    1000u
#define REST_TURNS 5000u

struct plain {
    struct peer *const *guest;
    unsigned count, threads;
    bool stop;
    struct plain_thread {
        struct plain *plain;
        unsigned first; /* and every `threads`th after it */
        pthread_t thread;
    } thread[PLAIN_THREADS];
};

static void *serve(void *arg)
{
    const struct plain_thread *thread = arg;
    const struct plain *plain = thread->plain;

    while (!__atomic_load_n(&plain->stop, __ATOMIC_RELAXED)) {
        for (unsigned i = thread->first; i < plain->count; i += plain->threads)
            peer_answer(plain->guest[i], 0, 0x50);
        __builtin_ia32_pause();
    }
    return NULL;
}

static bool stand_in(struct peer *guest)
{
    for (unsigned i = 0; i < REST_TURNS; i++) {
        if (peer_stand_in(guest))
            return true;
        usleep(REST_US);
    }
    return false;
}

static void leave(struct plain *plain, unsigned threads, unsigned guests)
{
    __atomic_store_n(&plain->stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(plain->thread[i].thread, NULL);
    for (unsigned i = 0; i < guests; i++)
        peer_stand_down(plain->guest[i]);
    free(plain);
}

struct plain *plain_start(struct peer *const *guest, unsigned count, unsigned threads,
                          const cpu_set_t *cpus)
{
    struct plain *plain = calloc(1, sizeof(*plain));
    unsigned standing = 0, started = 0;
    pthread_attr_t attr;

    if (!plain)
        return NULL;
    plain->guest = guest;
    plain->count = count;
    plain->threads = threads < PLAIN_THREADS ? threads : PLAIN_THREADS;
    while (standing < count && stand_in(guest[standing]))
        standing++;
    pthread_attr_init(&attr);
    pthread_attr_setaffinity_np(&attr, sizeof(*cpus), cpus);
    while (standing == count && started < plain->threads) {
        struct plain_thread *thread = &plain->thread[started];

        *thread = (struct plain_thread){.plain = plain, .first = started};
        if (pthread_create(&thread->thread, &attr, serve, thread))
            break;
        started++;
    }
    pthread_attr_destroy(&attr);
    if (started == plain->threads)
        return plain;
    leave(plain, started, standing);
    return NULL;
}

void plain_stop(struct plain *plain)
{
    leave(plain, plain->threads, plain->count);
}
