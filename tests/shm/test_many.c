// SPDX-License-Identifier: GPL-2.0-or-later
/* Very many simulated guests of one daemon. What they cost is tests/bench/many.sh's to say. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/shm/crowd.h"

#define GUESTS  100u
#define WORKERS 2u

struct fixture {
    struct rig rig;
    struct crowd crowd;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char config[128];
    unsigned pages;

    rig_start(&f->rig, crowd_config(GUESTS, WORKERS, config, &pages));
    crowd_create(&f->crowd, &f->rig, GUESTS);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status;

    crowd_destroy(&f->crowd);
    status = rig_stop(&f->rig);
    free(f);
    assert_int_equal(status, 0);
    return 0;
}

static void attach_all(struct fixture *f)
{
    char reason[112] = "";

    for (unsigned i = 0; i < GUESTS; i++)
        if (!crowd_attach(&f->crowd, i, reason))
            fail_msg("guest %u: %s", i, reason);
    assert_true(rig_wait_guests(&f->rig, GUESTS, 5000));
}

static void detach_all(struct fixture *f)
{
    for (unsigned i = 0; i < GUESTS; i++)
        crowd_detach(&f->crowd, i);
    assert_true(rig_wait_guests(&f->rig, 0, 20000));
}

static void a_hundred_guests_come_work_on_their_own_disks_and_go(void **state)
{
    struct fixture *f = *state;
    unsigned descriptors = 0, mappings = 0, threads = 0;

    for (unsigned round = 0; round < 2; round++) {
        attach_all(f);
        for (unsigned i = 0; i < GUESTS; i++)
            assert_int_equal(crowd_boot(&f->crowd, i), 0);
        /* When all have written, each still has its own. */
        for (unsigned i = 0; i < GUESTS; i++)
            assert_int_equal(crowd_verify(&f->crowd, GUESTS - 1 - i), 0);
        detach_all(f);
        if (round == 0) { /* what is made once has been made */
            assert_true(rig_wait_descriptors(&f->rig, 64, 5000));
            descriptors = rig_descriptors(&f->rig);
            mappings = rig_memfd_mappings(&f->rig);
            threads = rig_threads(&f->rig);
        }
    }
    assert_true(rig_wait_descriptors(&f->rig, descriptors, 5000));
    assert_int_equal(rig_memfd_mappings(&f->rig), mappings);
    assert_int_equal(rig_threads(&f->rig), threads);
}

struct work {
    struct crowd *crowd;
    unsigned index;
    int rc;
    pthread_t thread;
};

static void *work_thread(void *arg)
{
    struct work *work = arg;

    work->rc = crowd_boot(work->crowd, work->index);
    for (unsigned i = 0; i < 3 && work->rc == 0; i++)
        work->rc = crowd_verify(work->crowd, work->index);
    return NULL;
}

static void a_hundred_guests_work_at_once(void **state)
{
    struct fixture *f = *state;
    struct work work[GUESTS];

    attach_all(f);
    for (unsigned i = 0; i < GUESTS; i++) {
        work[i] = (struct work){.crowd = &f->crowd, .index = i};
        assert_int_equal(pthread_create(&work[i].thread, NULL, work_thread, &work[i]), 0);
    }
    for (unsigned i = 0; i < GUESTS; i++)
        pthread_join(work[i].thread, NULL);
    for (unsigned i = 0; i < GUESTS; i++)
        assert_int_equal(work[i].rc, 0);
    detach_all(f);
}

static void statistics_and_the_list_tell_of_all(void **state)
{
    struct fixture *f = *state;
    char name[16], error[256] = "";
    json_t *stats;

    attach_all(f);
    for (unsigned i = 0; i < GUESTS; i++)
        assert_int_equal(crowd_boot(&f->crowd, i), 0);
    stats = rig_call(&f->rig, "stats", NULL, error);
    if (!stats)
        fail_msg("stats: %s", error);
    assert_int_equal(json_array_size(json_object_get(stats, "guests")), GUESTS);
    for (unsigned i = 0; i < GUESTS; i++) {
        bool there = false;
        json_t *guest;
        size_t at;

        crowd_name(i, name);
        json_array_foreach(json_object_get(stats, "guests"), at, guest) there |=
            !strcmp(json_string_value(json_object_get(guest, "name")) ?: "", name);
        assert_true(there);
    }
    json_decref(stats);
    detach_all(f);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_hundred_guests_come_work_on_their_own_disks_and_go),
        CASE(a_hundred_guests_work_at_once),
        CASE(statistics_and_the_list_tell_of_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
