// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frontend and backend on threads of their own, which sleep whenever they have nothing to do and
 * are woken by nothing but the other's notifications. One that is lost leaves both asleep.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/pvblk_rig.h"

#define QUEUES   2u
#define REQUESTS 60000u /* of each queue */
#define LOST_S   10     /* asleep for so long: nobody will come */

struct frontend {
    struct bench *bench;
    unsigned queue;
    pthread_t thread;
    sem_t woken;
    uint32_t seed, asked, answered;
    bool lost;
};

struct bench {
    struct pv_rig rig; /* first */
    struct frontend front[QUEUES];
    sem_t kicked;
    unsigned left; /* frontends that have not ended */
};

static bool sleep_until(sem_t *sem)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOST_S;
    while (sem_timedwait(sem, &until))
        if (errno != EINTR)
            return false;
    return true;
}

static void wake_frontend(struct pv_rig *rig, unsigned queue)
{
    sem_post(&((struct bench *)rig)->front[queue].woken);
}

/* ---- the frontend, by the rules of ring.h -----------------------------------------------------*/

static uint32_t chance(struct frontend *front)
{
    front->seed = front->seed * 1664525u + 1013904223u;
    return front->seed >> 16;
}

static void ask(struct frontend *front, uint32_t count)
{
    struct pv_rig *rig = &front->bench->rig;

    for (; count; count--, front->asked++)
        pv_rig_page_request(rig, front->queue, BLKIF_READ, front->asked, 8u * front->queue,
                            front->queue * 64 + front->asked % 64);
    if (pv_rig_publish(rig, front->queue))
        sem_post(&front->bench->kicked);
}

/* All that there is; then it is told of the next one. */
static void take_answers(struct frontend *front)
{
    struct pv_rig *rig = &front->bench->rig;
    uint32_t *prod = pv_rig_index(rig, front->queue, BLKIF_RSP_PROD);
    uint32_t *event = pv_rig_index(rig, front->queue, BLKIF_RSP_EVENT);

    do {
        front->answered = __atomic_load_n(prod, __ATOMIC_ACQUIRE);
        __atomic_store_n(event, front->answered + 1, __ATOMIC_SEQ_CST);
    } while (__atomic_load_n(prod, __ATOMIC_SEQ_CST) != front->answered);
}

static void *run_frontend(void *arg)
{
    struct frontend *front = arg;

    while (front->answered < REQUESTS && !front->lost) {
        uint32_t room =
            front->bench->rig.front[front->queue].entries - (front->asked - front->answered);
        uint32_t count = REQUESTS - front->asked;

        if (count > room)
            count = room;
        if (count > 1)
            count = 1 + chance(front) % (chance(front) % 8 ? count < 3 ? count : 3 : count);
        if (count)
            ask(front, count);
        if (!count || chance(front) % 4)
            front->lost = front->asked != front->answered && !sleep_until(&front->woken);
        take_answers(front);
    }
    __atomic_sub_fetch(&front->bench->left, 1, __ATOMIC_SEQ_CST);
    sem_post(&front->bench->kicked);
    return NULL;
}

/* ---- the backend ------------------------------------------------------------------------------*/

static void nobody_sleeps_for_ever(void **state)
{
    static struct bench bench;
    struct pv_rig *rig = &bench.rig;
    const struct loop *loop;

    pv_rig_init(rig, &(struct pv_rig_options){.n_queues = QUEUES, .pool_pages = 64});
    rig->after_notify = wake_frontend;
    loop = fake_loop(rig->loop);
    bench.left = QUEUES;
    sem_init(&bench.kicked, 0, 0);
    pv_rig_settle(rig);
    for (unsigned i = 0; i < QUEUES; i++) {
        struct frontend *front = &bench.front[i];

        *front = (struct frontend){.bench = &bench, .queue = i, .seed = i + 1};
        sem_init(&front->woken, 0, 0);
        assert_int_equal(pthread_create(&front->thread, NULL, run_frontend, front), 0);
    }
    while (__atomic_load_n(&bench.left, __ATOMIC_SEQ_CST) && sleep_until(&bench.kicked)) {
        loop->ops->defer(loop->ctx, &rig->turn);
        pv_rig_settle(rig);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        pthread_join(bench.front[i].thread, NULL);
        assert_false(bench.front[i].lost);
        sem_destroy(&bench.front[i].woken);
    }
    assert_int_equal(pvblk_counters(rig->pv)->requests, QUEUES * REQUESTS);
    assert_int_equal(pvblk_counters(rig->pv)->failed + pvblk_counters(rig->pv)->refused, 0);
    sem_destroy(&bench.kicked);
    pv_rig_finish(rig);
}

/* In the middle of a turn, behind its look at the ring; the first of them only. */
static void ask_without_telling(struct pv_rig *rig, unsigned queue)
{
    if (rig->notified[queue] > 1)
        return;
    pv_rig_page_request(rig, queue, BLKIF_READ, 2, 0, 1);
    assert_false(pv_rig_publish(rig, queue)); /* it is awake, as far as one can see */
}

static void a_request_that_comes_before_the_ring_is_armed_is_found(void **state)
{
    static struct pv_rig rig;
    struct blkfront_response response;

    pv_rig_init(&rig, NULL);
    pv_rig_settle(&rig);
    rig.after_notify = ask_without_telling;
    pv_rig_page_request(&rig, 0, 77, 1, 0, 1); /* answered at once: nothing is in flight */
    pv_rig_kick(&rig);
    assert_true(pv_rig_response(&rig, 0, &response));
    assert_int_equal(response.status, BLKIF_EOPNOTSUPP);
    pv_rig_expect(&rig, 0, 2, BLKIF_READ, BLKIF_OKAY);
    pv_rig_finish(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_comes_before_the_ring_is_armed_is_found),
        cmocka_unit_test(nobody_sleeps_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
