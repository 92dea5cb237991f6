/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shipped daemon reads its configuration again, and tells what a guest asks of its devices. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/shm/rig.h"

#define RAM      (16u << 20)
#define SECTORS  1024u
#define PRD      0x1000u
#define BUF      0x100000u
#define REQUESTS 5000u /* more than are kept */

struct fixture {
    struct rig rig;
    char image[RIG_PATH];
    struct peer *peer;
    struct ide ide;
    pthread_t thread;
    int outcome; /* of the thread's */
    int fd;      /* a connection that stays */
    FILE *lines; /* from it */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    rig_start(&f->rig, "\"workers\": 1");
    rig_image(&f->rig, "hda.img", SECTORS, f->image);
    f->fd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status;

    if (f->lines)
        fclose(f->lines);
    if (f->peer)
        peer_close(f->peer);
    status = rig_stop(&f->rig);
    free(f);
    assert_int_equal(status, 0);
    return 0;
}

static void describe(struct fixture *f, const char *more)
{
    char disks[2 * RIG_PATH];

    snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"%s}", f->image, more);
    rig_guest(&f->rig, "guest", disks);
}

static void boot(struct fixture *f, const char *more)
{
    describe(f, more);
    f->peer = rig_peer(&f->rig, "guest", 2, RAM);
    assert_int_equal(ide_init(&f->ide, f->peer, 0, 0, 0, PRD), 0);
}

static bool wait_log(struct fixture *f, const char *text)
{
    for (unsigned i = 0; i < 1000; i++) {
        char *log = rig_log(&f->rig);
        bool there = strstr(log, text) != NULL;

        free(log);
        if (there)
            return true;
        usleep(10000);
    }
    return false;
}

/* ---- reloading ---- */

static void write_config(struct fixture *f, const char *more)
{
    char path[RIG_PATH];
    FILE *file;

    snprintf(path, sizeof(path), "%s/ioemud.json", f->rig.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "{\"control_socket\": \"%s/control.sock\", \"stats_socket\": \"%s/stats.sock\", "
            "\"run_dir\": \"%s/run\", \"guests_dir\": \"%s/guests.d\", \"shm_socket\": "
            "\"%s/shm.sock\", \"user_network_socket\": \"%s/usernet.sock\", \"xen\": false, "
            "\"workers\": 1, %s, %s}",
            f->rig.dir, f->rig.dir, f->rig.dir, f->rig.dir, f->rig.dir, f->rig.dir, rig_isolation(),
            more);
    assert_int_equal(fclose(file), 0);
}

static void sighup_reads_the_configuration_again(void **state)
{
    struct fixture *f = *state;

    write_config(f, "\"poll_us\": 20, \"aio_depth\": 9");
    kill(f->rig.pid, SIGHUP);
    assert_true(wait_log(f, "at=/poll_us result=applied"));
    assert_true(wait_log(f, "at=/aio_depth result=restart"));
    assert_true(wait_log(f, "event=reloaded applied=1 pending=1 failed=0"));
    write_config(f, "\"poll_us\": \"no\"");
    kill(f->rig.pid, SIGHUP);
    assert_true(wait_log(f, "event=reload-refused why=\""));
    boot(f, ""); /* and it serves */
}

static unsigned applied(struct fixture *f)
{
    char error[256] = "";
    json_t *result = rig_call(&f->rig, "reload", NULL, error);
    unsigned count = (unsigned)json_integer_value(json_object_get(result, "applied"));

    if (!result)
        fail_msg("%s", error);
    json_decref(result);
    return count;
}

static void *read_bad_sector(void *arg)
{
    struct fixture *f = arg;

    f->outcome = ide_dma_read(&f->ide, 100, 8, BUF);
    return NULL;
}

static bool is_in_state(struct fixture *f, const char *wanted)
{
    json_t *list = rig_call(&f->rig, "list", NULL, NULL);
    bool is = strcmp(json_string_value(json_object_get(
                         json_array_get(json_object_get(list, "guests"), 0), "state")),
                     wanted) == 0;

    json_decref(list);
    return is;
}

static void what_becomes_of_errors_changes_under_a_running_guest(void **state)
{
#define FAULT ", \"fault\": {\"every\": 1, \"first_sector\": 100, \"last_sector\": 100}"
    struct fixture *f = *state;

    boot(f, FAULT);
    assert_int_equal(ide_dma_read(&f->ide, 100, 8, BUF), -EIO);
    describe(f, FAULT ", \"rerror\": \"stop\"");
    assert_int_equal(applied(f), 1);
    pthread_create(&f->thread, NULL, read_bad_sector, f);
    for (unsigned i = 0; i < 500 && !is_in_state(f, "io-error"); i++)
        usleep(10000);
    assert_true(is_in_state(f, "io-error"));
    describe(f, FAULT ", \"rerror\": \"report\"");
    assert_int_equal(applied(f), 1);
    json_decref(rig_call(&f->rig, "resume", "{\"name\": \"guest\"}", NULL));
    pthread_join(f->thread, NULL);
    assert_int_equal(f->outcome, -EIO);
}

static void guests_files_are_watched(void **state)
{
    struct fixture *f = *state;

    rig_guest_more(&f->rig, "bad", "", "\"budget\": 0");
    assert_true(wait_log(f, "guest=bad event=guest-file-bad why=\""));
    rig_guest_more(&f->rig, "bad", "", "\"budget\": 1");
    assert_true(wait_log(f, "guest=bad event=guest-file-good"));
}

/* ---- traces ---- */

static void dial(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.80s/control.sock", f->rig.dir);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(f->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    f->lines = fdopen(f->fd, "r");
    assert_non_null(f->lines);
}

static json_t *ask(struct fixture *f, const char *method, const char *params)
{
    char *line = NULL;
    size_t size = 0;
    json_t *answer, *result;

    dprintf(f->fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{%s}}\n", method,
            params);
    assert_true(getline(&line, &size, f->lines) > 0);
    answer = json_loads(line, 0, NULL);
    result = json_incref(json_object_get(answer, "result"));
    if (!result)
        fail_msg("%s", line);
    json_decref(answer);
    free(line);
    return result;
}

static bool has_line(const json_t *requests, const char *wanted)
{
    for (size_t i = 0; i < json_array_size(requests); i++)
        if (strstr(json_string_value(json_object_get(json_array_get(requests, i), "text")), wanted))
            return true;
    return false;
}

static void a_trace_tells_what_a_driver_does(void **state)
{
    struct fixture *f = *state;
    json_t *result;

    boot(f, "");
    dial(f);
    json_decref(ask(f, "trace", "\"name\":\"guest\",\"filter\":\"device=ide0\""));
    assert_int_equal(ide_dma_read(&f->ide, 5, 8, BUF), 0);
    assert_int_equal(ide_pio_read(&f->ide, IDE_PIO_REP16, 5, 1, BUF), 0);
    result = ask(f, "trace-read", "");
    assert_true(
        has_line(json_object_get(result, "requests"), "vcpu0 OUT 0x1f7/1 <- 0xc8 READ DMA [ide0]"));
    assert_true(has_line(json_object_get(result, "requests"), "READ SECTORS [ide0]"));
    assert_true(
        has_line(json_object_get(result, "requests"), "vcpu0 INS 0x1f0/2 x256 -> memory at 0x"));
    assert_true(has_line(json_object_get(result, "requests"), "-> 0x50 DRDY DSC [ide0]"));
    assert_int_equal(json_integer_value(json_object_get(result, "lost")), 0);
    json_decref(result);
}

/* Of a guest that asks more than its reader reads, what is told and what is lost is all of it. */
static void a_slow_reader_is_told_what_it_missed(void **state)
{
    struct fixture *f = *state;
    uint64_t told = 0, lost = 0;

    boot(f, "");
    dial(f);
    json_decref(ask(f, "trace", "\"name\":\"guest\",\"filter\":\"port=0x1f2,dir=read\""));
    for (unsigned i = 0; i < REQUESTS; i++)
        peer_in(f->peer, 0, 0x1f2, 1);
    assert_int_equal(peer_error(f->peer), 0); /* all of them were answered */
    while (told + lost < REQUESTS) {
        json_t *result = ask(f, "trace-read", "");

        told += json_array_size(json_object_get(result, "requests"));
        lost += (uint64_t)json_integer_value(json_object_get(result, "lost"));
        json_decref(result);
    }
    assert_int_equal(told + lost, REQUESTS);
    assert_true(told >= 4096 && lost > 0);
    fclose(f->lines); /* ends it: then there is room for another */
    dial(f);
    for (unsigned i = 0; i < 500; i++) {
        char error[256] = "";
        json_t *result = rig_call(&f->rig, "trace", "{\"name\": \"guest\", \"count\": 1}", error);

        json_decref(result);
        if (result)
            return;
        usleep(10000);
    }
    fail_msg("the trace of a connection that is gone has not ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sighup_reads_the_configuration_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_becomes_of_errors_changes_under_a_running_guest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(guests_files_are_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trace_tells_what_a_driver_does, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_is_told_what_it_missed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
