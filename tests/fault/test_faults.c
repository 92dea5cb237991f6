// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon with a simulated guest is denied the first, the second, the third, ... allocation,
 * system call or operation of its hypervisor (faults.h), in each of the things that it does for a
 * guest. Whatever it is: it does not crash or hang, somebody is told, nothing is left behind, and
 * what follows works.
 *
 * A sweep ends with the first step that was denied nothing any more. With $IOEMUD_FAULT_ALL each
 * number has its turn, otherwise the first ones and then fewer and fewer of them; and these also as
 * the first of several in a row. (Not of all that follow: who has no memory for a request of a
 * guest waits for it, by design.)
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fault/faults.h"
#include "tests/shm/rig.h"
#include "tests/shm/sanitized.h"

#define RAM       (1u << 20)
#define SECTORS   256u
#define PRD       0x1000u
#define OUT       0x10000u
#define IN        0x20000u
#define COUNT     16u /* sectors a transfer */
#define TIGHT     12u /* so many from the beginning, each */
#define REAPERS   3u  /* threads that are made when there is something to close: one a socket */
#define ROW       16u /* denied in a row */
#define STEP_NS   25000000000ull /* longer: it hangs */
#define GROWS_KIB 1024ul         /* of private memory, over a whole sweep */

struct fixture {
    struct rig rig;
    struct faults *faults;
    char image[RIG_PATH], cached[RIG_PATH], medium[RIG_PATH];
    struct peer *peer;
    struct ide ide, buffered;
    unsigned descriptors, mappings, threads;
    json_t *list, *stats; /* with nothing denied */
    /* Of the step in hand. */
    bool failed; /* something did */
    char told[256];
};

static const char *const class_name[] = {
    [FAULTS_MEMORY] = "allocation", [FAULTS_CALLS] = "system call", [FAULTS_HV] = "operation"};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One guest: a disk, another one through the page cache, a CD-ROM drive, a NIC that leads nowhere,
 * a serial port in a file. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char disks[4 * RIG_PATH], more[3 * RIG_PATH];

    f->faults = faults_open();
    rig_start(&f->rig, "\"workers\": 1");
    rig_image(&f->rig, "hda.img", SECTORS, f->image);
    rig_image(&f->rig, "hdb.img", SECTORS, f->cached);
    rig_image(&f->rig, "cd.iso", 64, f->medium);
    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"path\": \"%s\"}, "
             "{\"vdev\": \"hdb\", \"path\": \"%s\", \"direct\": false}, "
             "{\"vdev\": \"hdc\", \"type\": \"cdrom\"}",
             f->image, f->cached);
    snprintf(more, sizeof(more),
             "\"nics\": [{\"backend\": \"null\"}], "
             "\"serial\": [{\"type\": \"file\", \"path\": \"%s/serial.log\"}]",
             f->rig.dir);
    rig_guest_more(&f->rig, "guest", disks, more);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool running = f->rig.pid != 0;
    int status;
    char *log = rig_log(&f->rig);

    faults_disarm(f->faults);
    peer_close(f->peer);
    status = rig_stop(&f->rig);
    faults_close(f->faults);
    json_decref(f->list);
    json_decref(f->stats);
    free(f);
    if (running && status)
        fprintf(stderr, "%s", log);
    free(log);
    if (running)
        assert_int_equal(status, 0);
    return 0;
}

/* ---- what a guest does ----------------------------------------------------------------------- */

static void fails(struct fixture *f, const char *what)
{
    if (f->failed)
        return;
    f->failed = true;
    snprintf(f->told, sizeof(f->told), "%s", what);
}

/* The hypervisor did not let it have its ports: then a command is never started, which the guest's
 * driver finds out. */
static bool bus_master_is_lost(struct fixture *f)
{
    return !peer_error(f->peer) && f->ide.bm &&
           !peer_claimed(f->peer, HV_SHM_RANGE_PORT, f->ide.bm, f->ide.bm + 7u);
}

/* What one of ide.h's says. All but waiting for ever is an answer. */
static bool moved(struct fixture *f, int rc)
{
    if (rc == -ETIMEDOUT && bus_master_is_lost(f))
        fails(f, "no bus master at its ports");
    else if (rc == -ETIMEDOUT)
        fail_msg("the guest is not answered");
    if (rc == -EIO)
        fails(f, "status and error registers");
    else if (rc)
        fails(f, strerror(-rc));
    return rc == 0;
}

static void attach(struct fixture *f)
{
    char reason[112] = "";

    f->peer = rig_try_peer(&f->rig, "guest", 1, RAM, reason);
    if (!f->peer)
        fails(f, reason);
}

static void boot(struct fixture *f)
{
    if (f->peer && moved(f, ide_init(&f->ide, f->peer, 0, 0, 0, PRD)) &&
        moved(f, ide_init(&f->buffered, f->peer, 0, 0, 1, PRD)))
        moved(f, ide_dma_read(&f->ide, 0, COUNT, IN));
}

/* What was written and said to be stable is what is read. */
static void transfer(struct fixture *f)
{
    const uint8_t *in = peer_ram(f->peer, IN, COUNT * 512);
    static const enum ide_pio how[] = {IDE_PIO_REP16, IDE_PIO_LOOP32};

    rig_fill(7, 8, COUNT, peer_ram(f->peer, OUT, COUNT * 512));
    if (!moved(f, ide_dma_write(&f->buffered, 8, COUNT, OUT)) ||
        !moved(f, ide_flush(&f->buffered)) || !moved(f, ide_dma_read(&f->buffered, 8, COUNT, IN)))
        return;
    assert_int_equal(rig_mismatches(7, 8, COUNT, in), 0);
    if (!moved(f, ide_dma_write(&f->ide, 8, COUNT, OUT)) || !moved(f, ide_flush(&f->ide)))
        return;
    for (unsigned i = 0; i < 2; i++) {
        unsigned count = how[i] == IDE_PIO_REP16 ? COUNT : 1;

        memset(peer_ram(f->peer, IN, COUNT * 512), 0, COUNT * 512);
        if (!moved(f, ide_pio_read(&f->ide, how[i], 8, count, IN)))
            return;
        assert_int_equal(rig_mismatches(7, 8, count, in), 0);
    }
    if (!moved(f, ide_pio_write(&f->ide, IDE_PIO_REP16, 40, 4, OUT)) ||
        !moved(f, ide_dma_read(&f->ide, 40, 4, IN)))
        return;
    assert_int_equal(memcmp(in, peer_ram(f->peer, OUT, 2048), 2048), 0);
}

static void rpc(struct fixture *f, const char *method, const char *params)
{
    char error[256] = "";
    json_t *result = rig_call(&f->rig, method, params, error);

    if (!result)
        fails(f, error);
    json_decref(result);
}

static void hot_add(struct fixture *f)
{
    char params[2 * RIG_PATH];

    snprintf(params, sizeof(params), "{\"name\": \"guest\", \"vdev\": \"hdc\", \"path\": \"%s\"}",
             f->medium);
    rpc(f, "insert", params);
    rpc(f, "eject", "{\"name\": \"guest\", \"vdev\": \"hdc\", \"force\": true}");
    rpc(f, "nic-add", "{\"name\": \"guest\", \"nic\": {\"backend\": \"null\", \"devid\": 1}}");
    rpc(f, "nic-remove", "{\"name\": \"guest\", \"nic\": 1, \"force\": true}");
    moved(f, peer_memory_add(f->peer, 16 << 20, 1 << 20));
    moved(f, peer_memory_remove(f->peer, 16 << 20));
}

/* Whether `is` has all that `full` has, down to some depth: no guest and no file is left out. */
static bool complete(const json_t *is, const json_t *full, unsigned depth)
{
    const char *key;
    json_t *value;
    size_t at;

    if (!is || json_typeof(is) != json_typeof(full))
        return false;
    if (!depth)
        return true;
    if (json_is_array(full) && json_array_size(is) != json_array_size(full))
        return false;
    if (json_is_object(full)) {
        json_object_foreach(
            (json_t *)(uintptr_t)full, key,
            value) if (!complete(json_object_get(is, key), value, depth - 1)) return false;
    } else if (json_is_array(full)) {
        json_array_foreach(
            full, at, value) if (!complete(json_array_get(is, at), value, depth - 1)) return false;
    }
    return true;
}

/* An answer that has all of what it had when there was memory, the first time, or an error. */
static void ask_all(struct fixture *f, const char *method, const char *params, json_t **full)
{
    char error[256] = "";
    json_t *result = rig_call(&f->rig, method, params, error);

    if (!result) {
        fails(f, error);
    } else if (!*full) {
        *full = result;
        return;
    } else if (!complete(result, *full, 2)) {
        char *text = json_dumps(result, JSON_COMPACT), *all = json_dumps(*full, JSON_COMPACT);

        fail_msg("%s is not complete, and no error: %s\nall: %s", method, text, all);
    }
    json_decref(result);
}

static void look(struct fixture *f)
{
    ask_all(f, "list", NULL, &f->list);
    ask_all(f, "stats", "{\"guest\": \"guest\"}", &f->stats);
    rpc(f, "metrics", NULL);
    rpc(f, "log-level", "{\"name\": \"guest\", \"level\": \"debug\"}");
    rpc(f, "log-level", "{\"name\": \"guest\", \"level\": \"default\"}");
    rpc(f, "trace", "{\"name\": \"guest\", \"count\": 1}");
}

static void reload(struct fixture *f)
{
    rpc(f, "reload", NULL);
}

static void detach(struct fixture *f)
{
    rpc(f, "detach", "{\"name\": \"guest\"}");
}

static void hang_up(struct fixture *f)
{
    peer_close(f->peer);
    f->peer = NULL;
    if (!rig_wait_descriptors(&f->rig, f->descriptors, 10000))
        fail_msg("the guest does not go");
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

static void alive(struct fixture *f)
{
    int status;

    if (waitpid(f->rig.pid, &status, WNOHANG) == f->rig.pid) {
        char *log = rig_log(&f->rig);

        f->rig.pid = 0;
        fprintf(stderr, "%s", log);
        fail_msg("the daemon ended with status %#x", status);
    }
}

static void hang_up_quietly(struct fixture *f)
{
    peer_close(f->peer);
    f->peer = NULL;
    if (!rig_wait_guests(&f->rig, 0, 10000))
        fail_msg("the guest does not go");
}

/* With nothing denied it works. */
static void works(struct fixture *f)
{
    f->failed = false;
    attach(f);
    boot(f);
    if (f->failed)
        fail_msg("with nothing denied any more: %s", f->told);
}

static void settle(struct fixture *f)
{
    for (unsigned i = 0; i < 3; i++) {
        works(f);
        transfer(f);
        hot_add(f);
        look(f);
        reload(f);
        assert_false(f->failed);
        hang_up_quietly(f);
    }
    usleep(100000);
    f->descriptors = rig_descriptors(&f->rig);
    f->mappings = rig_memfd_mappings(&f->rig);
    f->threads = rig_threads(&f->rig);
}

/* The first ones, and then fewer and fewer. */
static unsigned sparsely(unsigned n)
{
    return n < TIGHT ? n + 1 : n + n / 4;
}

static unsigned next(unsigned n)
{
    return getenv("IOEMUD_FAULT_ALL") ? n + 1 : sparsely(n);
}

/* One step of a guest that is attached, or is to be. */
static struct faults_report one(struct fixture *f, enum faults_class class, unsigned first,
                                unsigned last, void (*step)(struct fixture *f), bool attached)
{
    struct faults_report report;
    uint64_t start, took;

    if (attached)
        works(f);
    f->failed = false;
    f->told[0] = '\0';
    start = now_ns();
    faults_arm(f->faults, class, first, last);
    step(f);
    report = faults_disarm(f->faults);
    took = now_ns() - start;
    if (report.denied)
        print_message("  %s %u%s: %.3f s: %s at %#jx%s%s\n", class_name[class], first,
                      last > first ? " and those after it" : "", (double)took / 1e9, report.name,
                      (uintmax_t)report.where, f->failed ? ": " : "", f->failed ? f->told : "");
    alive(f);
    if (took > STEP_NS)
        fail_msg("this took %.1f s", (double)took / 1e9);
    if (f->failed && !f->told[0])
        fail_msg("it failed without a word");
    if (f->failed && !report.denied)
        fail_msg("nothing was denied, but: %s", f->told);
    hang_up_quietly(f);
    if (!rig_wait_descriptors(&f->rig, f->descriptors, 5000))
        fail_msg("%u descriptors, once %u", rig_descriptors(&f->rig), f->descriptors);
    assert_int_equal(rig_memfd_mappings(&f->rig), f->mappings);
    if (rig_threads(&f->rig) > f->threads + REAPERS)
        fail_msg("%u threads, once %u", rig_threads(&f->rig), f->threads);
    return report;
}

static void sweep(struct fixture *f, enum faults_class class, void (*step)(struct fixture *f),
                  bool attached)
{
    unsigned long kib;
    unsigned tried = 0, row = 1;

    settle(f);
    kib = rig_private_kib(&f->rig);
    for (unsigned n = 1;; n = next(n)) {
        if (!one(f, class, n, n, step, attached).denied)
            break;
        if (n == row) {
            one(f, class, n, n + ROW - 1, step, attached);
            row = sparsely(row);
        }
        tried++;
    }
    works(f);
    transfer(f);
    assert_false(f->failed);
    hang_up_quietly(f);
    print_message("%u tried of each %s\n", tried, class_name[class]);
    if (!SANITIZED && rig_private_kib(&f->rig) > kib + GROWS_KIB)
        fail_msg("private memory grew from %lu to %lu KiB", kib, rig_private_kib(&f->rig));
}

/* One that is denied is never met. */
static void nothing_is_allocated_when_a_disk_works(void **state)
{
    struct fixture *f = *state;

    settle(f);
    for (unsigned i = 0; i < 20; i++)
        if (one(f, FAULTS_MEMORY, 1, ROW, transfer, true).denied)
            fail_msg("somebody asked for memory");
}

static void attach_and_boot(struct fixture *f)
{
    attach(f);
    boot(f);
}

#define SWEEP(name, class, step, attached)                                                         \
    static void name(void **state)                                                                 \
    {                                                                                              \
        sweep(*state, class, step, attached);                                                      \
    }

SWEEP(no_allocation_is_missed_when_a_guest_comes, FAULTS_MEMORY, attach_and_boot, false)
SWEEP(no_system_call_is_missed_when_a_guest_comes, FAULTS_CALLS, attach_and_boot, false)
SWEEP(no_operation_is_missed_when_a_guest_comes, FAULTS_HV, attach_and_boot, false)
SWEEP(no_system_call_is_missed_when_a_disk_works, FAULTS_CALLS, transfer, true)
SWEEP(no_operation_is_missed_when_a_disk_works, FAULTS_HV, transfer, true)
SWEEP(no_allocation_is_missed_when_devices_come, FAULTS_MEMORY, hot_add, true)
SWEEP(no_system_call_is_missed_when_devices_come, FAULTS_CALLS, hot_add, true)
SWEEP(no_operation_is_missed_when_devices_come, FAULTS_HV, hot_add, true)
SWEEP(no_allocation_is_missed_when_somebody_looks, FAULTS_MEMORY, look, true)
SWEEP(no_system_call_is_missed_when_somebody_looks, FAULTS_CALLS, look, true)
SWEEP(no_allocation_is_missed_in_a_reload, FAULTS_MEMORY, reload, true)
SWEEP(no_system_call_is_missed_in_a_reload, FAULTS_CALLS, reload, true)
SWEEP(no_allocation_is_missed_when_a_guest_is_detached, FAULTS_MEMORY, detach, true)
SWEEP(no_system_call_is_missed_when_a_guest_is_detached, FAULTS_CALLS, detach, true)
SWEEP(no_allocation_is_missed_when_a_guest_hangs_up, FAULTS_MEMORY, hang_up, true)
SWEEP(no_system_call_is_missed_when_a_guest_hangs_up, FAULTS_CALLS, hang_up, true)

/* ---- the start ------------------------------------------------------------------------------- */

/* It can be connected to before it has all that it needs: 0 once it says that it has started, or
 * how it has ended. */
static int started(struct fixture *f, size_t logged)
{
    for (unsigned i = 0; i < 1000; i++) {
        char *log = rig_log(&f->rig);
        bool there = strstr(log + logged, "event=started") != NULL;
        int status;

        free(log);
        if (there)
            return 0;
        status = rig_signal(&f->rig, 0, 10);
        if (!f->rig.pid)
            return status;
    }
    return -1;
}

/* It starts all the same, or ends with status 1 and a reason; it never does half of it. */
static void starts(struct fixture *f, enum faults_class class)
{
    struct faults_report report;
    unsigned n = 1;

    rig_signal(&f->rig, SIGTERM, 10000);
    for (;; n = next(n)) {
        size_t logged;
        char *log = rig_log(&f->rig);
        int status;

        logged = strlen(log);
        free(log);
        faults_arm(f->faults, class, n, n);
        status = rig_try_restart(&f->rig);
        if (!status)
            status = started(f, logged);
        report = faults_disarm(f->faults);
        log = rig_log(&f->rig);
        print_message("  %s %u: %s at %#jx: %s\n", class_name[class], n, report.name,
                      (uintmax_t)report.where, status ? log + logged : "it starts");
        if (status && !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE))
            fail_msg("status %#x", status);
        if (status && !log[logged])
            fail_msg("it ended without a word");
        free(log);
        if (!status) {
            works(f);
            hang_up_quietly(f);
            assert_int_equal(rig_signal(&f->rig, SIGTERM, 10000), 0);
        }
        if (!report.denied)
            break;
    }
    rig_restart(&f->rig);
}

static void no_allocation_is_missed_at_the_start(void **state)
{
    starts(*state, FAULTS_MEMORY);
}

static void no_system_call_is_missed_at_the_start(void **state)
{
    starts(*state, FAULTS_CALLS);
}

static void no_operation_is_missed_at_the_start(void **state)
{
    starts(*state, FAULTS_HV);
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(no_allocation_is_missed_when_a_guest_comes),
        CASE(no_system_call_is_missed_when_a_guest_comes),
        CASE(no_operation_is_missed_when_a_guest_comes),
        CASE(nothing_is_allocated_when_a_disk_works),
        CASE(no_system_call_is_missed_when_a_disk_works),
        CASE(no_operation_is_missed_when_a_disk_works),
        CASE(no_allocation_is_missed_when_devices_come),
        CASE(no_system_call_is_missed_when_devices_come),
        CASE(no_operation_is_missed_when_devices_come),
        CASE(no_allocation_is_missed_when_somebody_looks),
        CASE(no_system_call_is_missed_when_somebody_looks),
        CASE(no_allocation_is_missed_in_a_reload),
        CASE(no_system_call_is_missed_in_a_reload),
        CASE(no_allocation_is_missed_when_a_guest_is_detached),
        CASE(no_system_call_is_missed_when_a_guest_is_detached),
        CASE(no_allocation_is_missed_when_a_guest_hangs_up),
        CASE(no_system_call_is_missed_when_a_guest_hangs_up),
        CASE(no_allocation_is_missed_at_the_start),
        CASE(no_system_call_is_missed_at_the_start),
        CASE(no_operation_is_missed_at_the_start),
    };

    if (argc > 1) /* some of them: a pattern */
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
