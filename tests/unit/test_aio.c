// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/aio.h"
#include "tests/unit/fake_loop.h"

#define EVENTS 4u
#define OPS    200u

struct bench;
struct job {
    struct aio_op op; /* first */
    struct bench *bench;
    int64_t result;
    bool done;
    uint8_t buf[512];
};

struct bench {
    struct fake_loop *fake;
    struct aio *aio;
    int fd;
    unsigned dones, again;
    bool all;
    unsigned expected;
    struct job jobs[OPS];
};

static void on_done(struct aio_op *op, int64_t result)
{
    struct job *job = (struct job *)op;
    struct bench *bench = job->bench;
    job->result = result;
    job->done = true;
    if (bench->again) {
        bench->again--;
        aio_submit(bench->aio, op);
        return;
    }
    bench->all = ++bench->dones == bench->expected;
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    char path[] = "test_aio.XXXXXX";
    bench->fd = mkstemp(path);
    unlink(path);
    for (unsigned i = 0; i < OPS; i++) {
        memset(bench->jobs[i].buf, (int)i, 512);
        assert_int_equal(pwrite(bench->fd, bench->jobs[i].buf, 512, i * 512), 512);
        memset(bench->jobs[i].buf, 0xff, 512);
        bench->jobs[i].bench = bench;
        bench->jobs[i].op.done = on_done;
    }
    bench->fake = fake_loop_create();
    assert_int_equal(aio_create(fake_loop(bench->fake), EVENTS, &bench->aio), 0);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    aio_destroy(bench->aio);
    fake_loop_destroy(bench->fake);
    close(bench->fd);
    free(bench);
    return 0;
}

static void submit_read(struct bench *bench, unsigned i, int fd)
{
    struct job *job = &bench->jobs[i];
    io_prep_pread(&job->op.iocb, fd, job->buf, 512, i * 512);
    aio_submit(bench->aio, &job->op);
    bench->expected++;
}

static void a_turns_requests_go_two_a_call(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < EVENTS; i++)
        submit_read(bench, i, bench->fd);
    assert_int_equal(aio_stats(bench->aio)->submits, 0);
    assert_true(fake_loop_until(bench->fake, &bench->all, 1000));
    assert_int_equal(aio_stats(bench->aio)->submits, EVENTS / 2);
    assert_int_equal(aio_stats(bench->aio)->requests, EVENTS);
    for (unsigned i = 0; i < EVENTS; i++) {
        assert_int_equal(bench->jobs[i].result, 512);
        assert_int_equal(bench->jobs[i].buf[511], i);
    }
}

static void more_requests_than_the_queue_holds_wait_their_turn(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < OPS; i++)
        submit_read(bench, i, bench->fd);
    assert_true(fake_loop_until(bench->fake, &bench->all, 1000));
    for (unsigned i = 0; i < OPS; i++)
        assert_int_equal(bench->jobs[i].buf[0], i & 0xff);
    assert_int_equal(aio_stats(bench->aio)->requests, OPS);
    assert_true(aio_stats(bench->aio)->submits >= OPS / EVENTS);
    assert_int_equal(fake_loop_settle(bench->fake, 20, 9), 0);
}

static void large_batches_are_reaped_whole(void **state)
{
    struct bench *bench = *state;
    aio_destroy(bench->aio);
    assert_int_equal(aio_create(fake_loop(bench->fake), 256, &bench->aio), 0);
    for (unsigned i = 0; i < OPS; i++)
        submit_read(bench, i, bench->fd);
    assert_true(fake_loop_until(bench->fake, &bench->all, 1000));
    assert_int_equal(aio_stats(bench->aio)->submits, OPS / 2);
}

static void a_loop_that_is_awake_finds_completions_without_a_descriptor(void **state)
{
    struct bench *bench = *state;
    fake_loop_look(bench->fake); /* nothing is under way */
    submit_read(bench, 0, bench->fd);
    assert_true(fake_loop_turn(bench->fake, 0)); /* submits */
    for (unsigned i = 0; !bench->all && i < 1000; i++) {
        fake_loop_look(bench->fake);
        usleep(1000);
    }
    assert_true(bench->all);
    assert_int_equal(bench->jobs[0].result, 512);
    fake_loop_turn(bench->fake, 100); /* the descriptor tells of it, too */
    assert_int_equal(bench->dones, 1);
    assert_int_equal(fake_loop_settle(bench->fake, 20, 9), 0);
}

static void a_request_that_cannot_be_submitted_fails_alone(void **state)
{
    struct bench *bench = *state;
    submit_read(bench, 0, bench->fd);
    submit_read(bench, 1, -1);
    submit_read(bench, 2, bench->fd);
    submit_read(bench, 3, bench->fd);
    bench->jobs[3].op.iocb.aio_lio_opcode = 77;
    assert_int_equal(bench->dones, 0);
    assert_true(fake_loop_until(bench->fake, &bench->all, 1000));
    assert_int_equal(bench->jobs[0].result, 512);
    assert_int_equal(bench->jobs[1].result, -EBADF);
    assert_int_equal(bench->jobs[2].result, 512);
    assert_int_equal(bench->jobs[3].result, -EINVAL);
}

static void a_failing_request_issued_again_from_done_does_not_hold_the_turn(void **state)
{
    struct bench *bench = *state;
    bench->again = 5;
    submit_read(bench, 0, -1);
    for (unsigned i = 0; i < 5; i++) {
        fake_loop_turn(bench->fake, 0);
        assert_int_equal(bench->again, 4 - i);
    }
    fake_loop_turn(bench->fake, 0);
    assert_true(bench->all);
}

static void results_of_the_kernel_come_through(void **state)
{
    struct bench *bench = *state;
    struct job *job = &bench->jobs[0];
    io_prep_pread(&job->op.iocb, bench->fd, job->buf, 512, OPS * 512 - 100);
    aio_submit(bench->aio, &job->op);
    int write_only = open("/dev/null", O_WRONLY);
    submit_read(bench, 1, write_only);
    bench->expected = 2;
    assert_true(fake_loop_until(bench->fake, &bench->all, 1000));
    close(write_only);
    assert_int_equal(job->result, 100);
    assert_int_equal(bench->jobs[1].result, -EBADF);
}

static void too_many_events_are_refused_and_leave_nothing(void **state)
{
    struct bench *bench = *state;
    unsigned watches = fake_loop_watches(bench->fake);
    struct aio *aio = NULL;
    int before = dup(0);
    close(before);
    unsigned long most = 0;
    FILE *file = fopen("/proc/sys/fs/aio-max-nr", "r");
    assert_int_equal(fscanf(file, "%lu", &most), 1);
    fclose(file);
    if (most >= 0x300000) /* io_setup(2) has a limit of its own a little above */
        skip();
    assert_int_equal(aio_create(fake_loop(bench->fake), 0x300000, &aio), -EAGAIN);
    assert_null(aio);
    assert_int_equal(fake_loop_watches(bench->fake), watches);
    int after = dup(0);
    close(after);
    assert_int_equal(before, after);
    aio_destroy(NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_turns_requests_go_two_a_call),
        T(more_requests_than_the_queue_holds_wait_their_turn),
        T(large_batches_are_reaped_whole),
        T(a_loop_that_is_awake_finds_completions_without_a_descriptor),
        T(a_request_that_cannot_be_submitted_fails_alone),
        T(a_failing_request_issued_again_from_done_does_not_hold_the_turn),
        T(results_of_the_kernel_come_through),
        T(too_many_events_are_refused_and_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
