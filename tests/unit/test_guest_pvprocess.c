/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PV disks whose worker is a process: one that dies under them, one that says what none of ours
 * would, and what they have in common with other guests of it. What they do is in the tests of PV
 * disks, which run with processes, too.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_pvdisk.h"
#include "daemon/guest_pvdisk_internal.h"
#include "daemon/served.h"
#include "tests/unit/pvdisk_rig.h"
#include "tests/unit/worker_rig.h"

static struct guest *guest_of(struct pvdisk_rig *rig)
{
    return rig->guest.daemon.guests;
}

static pid_t worker_of(struct pvdisk_rig *rig)
{
    return worker_process_pid(guest_of(rig)->worker);
}

struct lines {
    unsigned reset, sealed;
};

static void count_lines(void *ctx, int priority, const char *guest, const char *device,
                        const char *text)
{
    struct lines *lines = ctx;

    lines->reset += !strncmp(text, "event=pv-disk-reset vdev=xvda devid=51712 ", 42);
    lines->sealed += !strncmp(text, "event=pv-disk-sealed ", 21);
}

static void listen_to(struct pvdisk_rig *rig, struct lines *lines)
{
    *lines = (struct lines){0};
    log_set_level(&guest_of(rig)->log, LOG_WARNING);
    log_divert(&guest_of(rig)->log, count_lines, lines);
}

/* The guest has another one then. What the dead one had open is the kernel's. */
static void worker_dies(struct pvdisk_rig *rig)
{
    struct worker_was was = {worker_of(rig)};

    rig->port = 0;
    kill(was.pid, SIGKILL);
    guest_rig_run(&rig->guest, worker_rig_has_another, &was);
    rig->channels = 0;
    pvdisk_event(rig); /* the first of its new watch */
}

static bool is_bound(struct guest_rig *rig, void *arg)
{
    return __atomic_load_n((uint32_t *)arg, __ATOMIC_SEQ_CST) == 9;
}

/* ---- it dies ----------------------------------------------------------------------------------*/

static void a_frontend_goes_on_when_its_worker_process_has_died(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct lines lines;

    pvdisk_connect(rig, pvdisk_emulated(rig, ""));
    listen_to(rig, &lines);
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
    worker_dies(rig);
    assert_int_equal(lines.reset, 1);
    guest_rig_run(&rig->guest, is_bound, &rig->port);
    pvdisk_wait(rig, "4");
    assert_true(pvdisk_image_is_locked(rig));
    pvdisk_request(rig, BLKIF_READ, 2, 16, 2);
    assert_memory_equal(pv_rig_page(&rig->front, 2), pv_rig_page(&rig->front, 1), GRANT_PAGE);
    pvdisk_wait_counted(rig, 1); /* from zero */
    pvdisk_detach_disk(rig);
    pvdisk_detach(rig);
    assert_false(pvdisk_image_is_locked(rig));
}

/* It is not "reset": what it had here goes on. */
static void a_guest_without_emulated_devices_goes_on_likewise(void **state)
{
    struct pvdisk_rig *rig = *state;

    assert_int_equal(pvdisk_attach_pv(rig, NULL), 0);
    pvdisk_offer(rig);
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    worker_dies(rig);
    assert_false(guest_of(rig)->reset);
    guest_rig_run(&rig->guest, is_bound, &rig->port);
    pvdisk_wait(rig, "4");
    pvdisk_request(rig, BLKIF_READ, 1, 16, 1);
    pvdisk_detach(rig);
    assert_string_equal(pvdisk_state(rig), "6");
}

static void one_whose_worker_dies_twice_is_told_that_its_disk_is_closed(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_connect(rig, "");
    worker_dies(rig);
    guest_rig_run(&rig->guest, is_bound, &rig->port);
    pvdisk_wait(rig, "4");
    kill(worker_of(rig), SIGKILL);
    guest_rig_settle(&rig->guest, 0);
    assert_string_equal(pvdisk_state(rig), "6");
    assert_int_equal(rig->watches, 0);
    assert_false(pvdisk_image_is_locked(rig));
    rig->channels = 0;
}

static bool is_sealed(struct guest_rig *rig, void *arg)
{
    return ((struct lines *)arg)->sealed;
}

static void a_sealed_disk_is_not_written_by_the_next_worker_process(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct lines lines;

    pvdisk_connect(rig, pvdisk_emulated(rig, ", 'fault': {'op': 'flush', 'every': 1, 'count': 1}"));
    listen_to(rig, &lines);
    pv_rig_request(&rig->front, 0, BLKIF_FLUSH, 1, 0, NULL, 0);
    pvdisk_publish(rig);
    pvdisk_expect(rig, 1, BLKIF_FAILED);
    guest_rig_run(&rig->guest, is_sealed, &lines);
    worker_dies(rig);
    assert_string_equal(pvdisk_state(rig), "5");
    for (unsigned i = 0; i < 50; i++) {
        ev_run(rig->guest.daemon.ev, EVRUN_NOWAIT);
        usleep(1000);
    }
    pvdisk_event(rig);
    assert_int_equal(rig->port, 0);
    assert_string_equal(pvdisk_state(rig), "5");
    /* Its driver begins anew, as when the disk is detached and attached. */
    pvdisk_front_closes(rig);
    pvdisk_front_returns(rig);
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    pvdisk_request(rig, BLKIF_WRITE, 2, 16, 1);
    pvdisk_detach(rig);
}

static void one_that_dies_while_it_is_asked_for_a_disk_gives_its_image_back(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct worker_was was;

    pvdisk_attach(rig, "");
    was.pid = worker_of(rig);
    kill(was.pid, SIGSTOP);
    pvdisk_directories(rig, "a.img");
    pvdisk_event(rig); /* VM_PV_OPEN is on its way, and is never answered */
    assert_non_null(guest_of(rig)->pvdisks);
    assert_string_equal(pvdisk_state(rig), "1");
    kill(was.pid, SIGKILL);
    guest_rig_run(&rig->guest, worker_rig_has_another, &was);
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    pvdisk_detach(rig);
    assert_false(pvdisk_image_is_locked(rig));
}

static bool run(struct pvdisk_rig *rig, const char *command)
{
    char line[256];

    snprintf(line, sizeof(line), "cd %s && { %s; } >/dev/null 2>&1", rig->guest.dir, command);
    return system(line) == 0;
}

static void offer_qcow2(struct pvdisk_rig *rig)
{
    char params[96];

    pvdisk_directories(rig, "a.qcow2");
    snprintf(params, sizeof(params), "qcow2:%s/a.qcow2", rig->guest.dir);
    pvdisk_back(rig, "params", params);
    pvdisk_event(rig);
}

/* Its program ends with the connection that the dead one had. */
static void an_image_of_a_program_is_served_by_the_next_worker_process(void **state)
{
    struct pvdisk_rig *rig = *state;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    pvdisk_attach(rig, "");
    offer_qcow2(rig);
    pvdisk_wait(rig, "2");
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
    pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
    worker_dies(rig);
    guest_rig_run(&rig->guest, is_bound, &rig->port);
    pvdisk_wait(rig, "4");
    pvdisk_request(rig, BLKIF_READ, 2, 16, 2);
    assert_memory_equal(pv_rig_page(&rig->front, 2), pv_rig_page(&rig->front, 1), GRANT_PAGE);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
}

static void one_that_dies_while_it_hears_a_program_lets_that_end(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct worker_was was;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    pvdisk_attach(rig, "");
    was.pid = worker_of(rig);
    kill(was.pid, SIGSTOP);
    offer_qcow2(rig);
    assert_non_null(rig->guest.daemon.served);
    kill(was.pid, SIGKILL);
    guest_rig_run(&rig->guest, worker_rig_has_another, &was);
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
}

static void a_disk_that_goes_while_its_program_is_heard_leaves_nothing_in_the_process(void **state)
{
    struct pvdisk_rig *rig = *state;
    pid_t pid;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    pvdisk_attach(rig, "");
    pid = worker_of(rig);
    kill(pid, SIGSTOP);
    offer_qcow2(rig);
    fake_store_remove(&rig->store, PVDISK_BACK);
    pvdisk_event(rig);
    assert_null(guest_of(rig)->pvdisks);
    kill(pid, SIGCONT);
    pvdisk_wait_programs(rig);
    offer_qcow2(rig);
    pvdisk_wait(rig, "2");
    assert_int_equal(worker_of(rig), pid);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
}

static bool closes(struct guest_rig *guest_rig, void *arg)
{
    return !strcmp(pvdisk_state(arg), "5");
}

static void one_that_dies_while_it_is_asked_to_disconnect_is_not_waited_for(void **state)
{
    struct pvdisk_rig *rig = *state;
    pid_t pid;

    pvdisk_connect(rig, "");
    pid = worker_of(rig);
    kill(pid, SIGSTOP);
    pvdisk_front(rig, "state", "6");
    pvdisk_event(rig);
    guest_rig_run(&rig->guest, closes, rig);
    guest_detach(guest_of(rig), NULL, NULL);
    kill(pid, SIGKILL);
    guest_rig_settle(&rig->guest, 0);
    assert_string_equal(pvdisk_state(rig), "6");
    rig->channels = 0;
}

/* ---- it is captured ---------------------------------------------------------------------------*/

static bool fits(struct pvdisk_rig *rig, unsigned unit, enum vm_pv_event event, int error)
{
    const struct vm_pv_news news = {.event = event, .error = error, .why = "so it says"};

    return guest_pvdisk_told(guest_of(rig), unit, &news);
}

static void news_that_fit_nothing_are_known_as_such(void **state)
{
    struct pvdisk_rig *rig = *state;
    const unsigned unit = MACHINE_IDE_DRIVES;
    struct lines lines;

    pvdisk_attach(rig, "");
    for (unsigned event = 0; event < VM_PV_HEARD; event++)
        assert_false(fits(rig, unit, event, -EIO));
    assert_true(fits(rig, unit, VM_PV_HEARD, -EIO)); /* nobody waits for it any more */
    pvdisk_offer(rig);
    listen_to(rig, &lines);
    for (unsigned event = 0; event < VM_PV_HEARD; event++)
        assert_false(fits(rig, unit + 1, event, -EIO));
    assert_true(fits(rig, unit, VM_PV_HEARD, -EIO)); /* nor does this one */
    assert_false(fits(rig, unit, VM_PV_EVENTS, 0));
    assert_false(fits(rig, unit, VM_PV_DRAINED, 0)); /* nobody waits for that */
    assert_true(fits(rig, unit, VM_PV_BROKEN, 0));   /* and it is not connected: nothing is */
    assert_string_equal(pvdisk_state(rig), "2");
    assert_true(fits(rig, unit, VM_PV_SEALED, -EIO));
    assert_false(fits(rig, unit, VM_PV_SEALED, -EIO)); /* the log is not filled */
    assert_int_equal(lines.sealed, 1);
    assert_true(fits(rig, unit, VM_PV_LOST, 0));
    assert_false(fits(rig, unit, VM_PV_LOST, 0));
    pvdisk_detach(rig);
}

static bool has_died(struct guest_rig *rig, void *arg)
{
    const struct worker_was *was = arg;

    return !rig->daemon.guests || worker_rig_has_another(rig, arg) ||
           (rig->daemon.guests->worker &&
            worker_process_pid(rig->daemon.guests->worker) != was->pid);
}

static void who_tells_them_is_ended(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct worker_report report = {.kind = REPORT_PV_NEWS,
                                   .pv = {MACHINE_IDE_DRIVES, {.event = VM_PV_DRAINED}}};
    struct worker_was was;
    int fd;

    pvdisk_connect(rig, "");
    was.pid = worker_of(rig);
    fd = worker_rig_link(was.pid);
    if (fd >= 0) {
        assert_int_equal(send(fd, &report, sizeof(report), 0), sizeof(report));
        close(fd);
        guest_rig_run(&rig->guest, has_died, &was);
        guest_rig_settle(&rig->guest, 1);
        rig->channels = 0;
    }
    pvdisk_detach(rig);
    if (fd < 0)
        skip();
}

/* Its disks would go with their calls still under way. */
static void one_that_has_ended_before_it_answered_is_ended(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct worker_report report = {.kind = REPORT_ENDED};
    pid_t pid;
    int fd;

    pvdisk_connect(rig, "");
    pid = worker_of(rig);
    fd = worker_rig_link(pid);
    kill(pid, SIGSTOP);
    pvdisk_front(rig, "state", "6");
    pvdisk_event(rig);
    guest_rig_run(&rig->guest, closes, rig);
    guest_detach(guest_of(rig), NULL, NULL);
    if (fd >= 0)
        assert_int_equal(send(fd, &report, sizeof(report), 0), sizeof(report));
    else
        kill(pid, SIGKILL);
    guest_rig_settle(&rig->guest, 0); /* without its going on */
    assert_string_equal(pvdisk_state(rig), "6");
    rig->channels = 0;
    if (fd < 0)
        skip();
    close(fd);
}

/* ---- what it has ------------------------------------------------------------------------------*/

#define OTHER_BACK "/local/domain/0/backend/qdisk/5/51728"

static bool other_waits(struct guest_rig *guest_rig, void *arg)
{
    const char *state = fake_store_get(&((struct pvdisk_rig *)arg)->store, OTHER_BACK, "state");

    return state && !strcmp(state, "2");
}

/* Each is asked for before the other is known to be there. */
static void disks_that_come_together_have_one_way_to_what_was_granted(void **state)
{
    static const char *const nodes[][2] = {
        {"mode", "w"},        {"device-type", "disk"}, {"frontend", PVDISK_FRONT},
        {"frontend-id", "5"}, {"online", "1"},         {"state", "1"},
        {"dev", "xvdb"},
    };
    struct pvdisk_rig *rig = *state;
    char params[96];

    guest_rig_image(&rig->guest, "b.img");
    pvdisk_attach(rig, "");
    snprintf(params, sizeof(params), "aio:%s/b.img", rig->guest.dir);
    fake_store_set(&rig->store, OTHER_BACK, "params", params);
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        fake_store_set(&rig->store, OTHER_BACK, nodes[i][0], nodes[i][1]);
    pvdisk_directories(rig, "a.img"); /* the last, whose events the rig has */
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    guest_rig_run(&rig->guest, other_waits, rig);
    assert_true(guest_of(rig)->seat->has_grants);
    fake_store_remove(&rig->store, OTHER_BACK);
    pvdisk_event(rig);
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    pvdisk_request(rig, BLKIF_READ, 1, 0, 1);
    pvdisk_detach_disk(rig);
    pvdisk_offer(rig); /* another, which brings no grants */
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    pvdisk_request(rig, BLKIF_READ, 2, 0, 1);
    pvdisk_detach(rig);
}

static void a_guest_that_leaves_does_not_take_anothers_grants_along(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct rig_outcome outcome;

    rig->guest.daemon.config.worker_guests = 0;
    rig->guest.daemon.config.workers = 1;
    rig->guest.domid = 6;
    guest_rig_attach(&rig->guest, "{'name': 'b', 'disks': []}", &outcome);
    guest_rig_settle(&rig->guest, 1);
    rig->guest.domid = 5;
    guest_rig_attach(&rig->guest, "{'name': 'a', 'disks': []}", &outcome);
    guest_rig_settle(&rig->guest, 2);
    assert_ptr_equal(guest_of(rig)->worker, guest_of(rig)->next->worker);
    pvdisk_offer(rig);
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    guest_detach(guest_of(rig)->next, NULL, NULL);
    guest_rig_settle(&rig->guest, 1);
    pvdisk_request(rig, BLKIF_READ, 1, 0, 1);
    pvdisk_detach(rig);
}

/* Descriptors of the guest's worker, and what it has mapped of PV disks' counters. -1: only root
 * sees that. */
static int count_in_worker(struct pvdisk_rig *rig, unsigned *ret_mapped)
{
    char path[64], line[512];
    int count = 0;
    FILE *maps;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)worker_of(rig));
    dir = opendir(path);
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)worker_of(rig));
    maps = fopen(path, "re");
    *ret_mapped = 0;
    while (dir && readdir(dir))
        count++;
    while (maps && fgets(line, sizeof(line), maps))
        *ret_mapped += strstr(line, "ioemud-pv-disk") != NULL;
    if (maps)
        fclose(maps);
    if (dir)
        closedir(dir);
    return dir && maps && count ? count : -1;
}

static void a_disk_that_leaves_takes_along_what_its_process_had_of_it(void **state)
{
    struct pvdisk_rig *rig = *state;
    bool qcow2 = !access(SERVED_PROGRAM, X_OK) && run(rig, "qemu-img create -f qcow2 a.qcow2 1M");
    unsigned mapped;
    int before = 0;

    pvdisk_attach(rig, "");
    for (unsigned i = 0; i < 6; i++) {
        if (qcow2 && i % 2) {
            offer_qcow2(rig);
            pvdisk_wait(rig, "2");
        } else {
            pvdisk_offer(rig);
        }
        pvdisk_make_ring(rig);
        pvdisk_front_connects(rig);
        pvdisk_request(rig, BLKIF_READ, i, 0, 1);
        count_in_worker(rig, &mapped);
        assert_int_equal(mapped, geteuid() == 0);
        pvdisk_detach_disk(rig);
        pvdisk_wait_programs(rig);
        if (i < 2) /* what comes with the first ones stays */
            before = count_in_worker(rig, &mapped);
        assert_int_equal(count_in_worker(rig, &mapped), before);
        assert_int_equal(mapped, 0);
        fake_store_remove(&rig->store, PVDISK_BACK);
        pvdisk_event(rig);
    }
    pvdisk_detach(rig);
}

static void a_process_without_pv_disks_has_no_broker(void **state)
{
    struct pvdisk_rig *rig = *state;

    pvdisk_attach(rig, "");
    assert_null(worker_process_of(guest_of(rig)->worker)->broker);
    pvdisk_offer(rig);
    assert_non_null(worker_process_of(guest_of(rig)->worker)->broker);
    pvdisk_detach(rig);
}

#define T PVDISK_TEST_PROCESSES
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_frontend_goes_on_when_its_worker_process_has_died),
        T(a_guest_without_emulated_devices_goes_on_likewise),
        T(one_whose_worker_dies_twice_is_told_that_its_disk_is_closed),
        T(a_sealed_disk_is_not_written_by_the_next_worker_process),
        T(one_that_dies_while_it_is_asked_for_a_disk_gives_its_image_back),
        T(one_that_dies_while_it_is_asked_to_disconnect_is_not_waited_for),
        T(an_image_of_a_program_is_served_by_the_next_worker_process),
        T(one_that_dies_while_it_hears_a_program_lets_that_end),
        T(a_disk_that_goes_while_its_program_is_heard_leaves_nothing_in_the_process),
        T(news_that_fit_nothing_are_known_as_such),
        T(who_tells_them_is_ended),
        T(one_that_has_ended_before_it_answered_is_ended),
        T(disks_that_come_together_have_one_way_to_what_was_granted),
        T(a_guest_that_leaves_does_not_take_anothers_grants_along),
        T(a_disk_that_leaves_takes_along_what_its_process_had_of_it),
        T(a_process_without_pv_disks_has_no_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
