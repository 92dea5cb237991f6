/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images of PV disks that a program of their own serves: other formats than raw. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_pvdisk_internal.h"
#include "daemon/served.h"
#include "tests/unit/pvdisk_rig.h"

static void make_directories_of(struct pvdisk_rig *rig, const char *format, const char *image)
{
    char params[128];

    pvdisk_directories(rig, image);
    snprintf(params, sizeof(params), "%s:%s/%s", format, rig->guest.dir, image);
    pvdisk_back(rig, "params", params);
}

static bool run(struct pvdisk_rig *rig, const char *command)
{
    char line[256];

    snprintf(line, sizeof(line), "cd %s && { %s; } >/dev/null 2>&1", rig->guest.dir, command);
    return system(line) == 0;
}

static void a_qcow2_image_is_served_through_a_program_of_its_own(void **state)
{
    struct pvdisk_rig *rig = *state;
    uint8_t sector[512];
    char path[96];
    int fd;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    pvdisk_attach(rig, "");
    for (unsigned i = 0; i < 2; i++) {
        make_directories_of(rig, "qcow2", "a.qcow2");
        pvdisk_event(rig);
        pvdisk_event(rig); /* while it starts */
        pvdisk_wait(rig, "2");
        assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "feature-discard"), "1");
        pvdisk_make_ring(rig);
        pvdisk_front_connects(rig);
        assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "sectors"), "2048");
        assert_non_null(rig->guest.daemon.served);
        if (!i) {
            memset(pv_rig_page(&rig->front, 1), 0x5a, GRANT_PAGE);
            pvdisk_request(rig, BLKIF_WRITE, 1, 16, 1);
            pv_rig_request(&rig->front, 0, BLKIF_FLUSH, 3, 0, NULL, 0);
            pvdisk_publish(rig);
            pvdisk_expect(rig, 3, BLKIF_OKAY);
        }
        pvdisk_request(rig, BLKIF_READ, 2, 16, 2);
        assert_memory_equal(pv_rig_page(&rig->front, 2), pv_rig_page(&rig->front, 1), GRANT_PAGE);
        pvdisk_detach_disk(rig); /* the program ends by itself, perhaps after its successor began */
    }
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    assert_true(run(rig, "qemu-img check a.qcow2 && qemu-img convert -O raw a.qcow2 b.raw"));
    snprintf(path, sizeof(path), "%s/b.raw", rig->guest.dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, sector, sizeof(sector), 16 * 512), sizeof(sector));
    close(fd);
    assert_memory_equal(sector, pv_rig_page(&rig->front, 1), sizeof(sector));
    run(rig, "rm -f a.qcow2 b.raw");
}

/* Makes DIR/program a script. */
static const char *script(struct pvdisk_rig *rig, const char *text)
{
    static char path[96];
    FILE *file;

    snprintf(path, sizeof(path), "%s/program", rig->guest.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", text);
    fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
    return path;
}

static void a_program_that_is_killed_fails_the_disks_requests(void **state)
{
    struct pvdisk_rig *rig = *state;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    rig->guest.daemon.image_program =
        script(rig, "echo $$ >\"${0%program}pid\"\nexec " SERVED_PROGRAM " \"$@\"");
    pvdisk_attach(rig, "");
    make_directories_of(rig, "qcow2", "a.qcow2");
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    assert_true(run(rig, "kill -KILL $(cat pid)"));
    pvdisk_wait_programs(rig);
    pv_rig_page_request(&rig->front, 0, BLKIF_READ, 1, 0, 1);
    pvdisk_publish(rig);
    pvdisk_expect(rig, 1, BLKIF_ERROR);
    pvdisk_detach(rig);
    run(rig, "rm -f a.qcow2 program pid");
}

/* Another guest has it: the disk comes when that one's program has let go. */
static void an_image_whose_program_still_runs_is_waited_for(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct served *first;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    /* Reads the end of its connection late. */
    rig->guest.daemon.image_program =
        script(rig, "echo $$ >\"${0%program}pid\"\nexec " SERVED_PROGRAM " \"$@\"");
    pvdisk_attach(rig, "");
    make_directories_of(rig, "qcow2", "a.qcow2");
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    first = rig->guest.daemon.served;
    assert_true(run(rig, "kill -STOP $(cat pid)"));
    pvdisk_detach_disk(rig);
    rig->guest.daemon.image_program = SERVED_PROGRAM;
    make_directories_of(rig, "qcow2", "a.qcow2");
    pvdisk_event(rig);
    assert_ptr_not_equal(rig->guest.daemon.served, first);
    assert_true(run(rig, "(sleep 0.5; kill -CONT $(cat pid)) & true"));
    pvdisk_wait(rig, "2");
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
    pvdisk_request(rig, BLKIF_READ, 1, 0, 1);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    run(rig, "rm -f a.qcow2 program pid");
}

static bool is_useless(struct guest_rig *guest_rig, void *arg)
{
    return guest_rig->daemon.guests->pvdisks && guest_rig->daemon.guests->pvdisks->useless;
}

static void an_image_that_its_program_does_not_open_is_left(void **state)
{
    static const char *const program[] = {SERVED_PROGRAM, "/bin/false", "/none", "/bin/true"};
    struct pvdisk_rig *rig = *state;

    pvdisk_attach(rig, "");
    for (unsigned i = 0; i < 4; i++) {
        rig->guest.daemon.image_program = program[i];
        make_directories_of(rig, "qcow2", "a.img"); /* which is raw */
        pvdisk_event(rig);
        guest_rig_run(&rig->guest, is_useless, NULL);
        assert_int_equal(rig->channels, 0);
        assert_string_equal(pvdisk_state(rig), "1");
        fake_store_remove(&rig->store, PVDISK_BACK);
        pvdisk_event(rig);
        assert_null(rig->guest.daemon.guests->pvdisks);
    }
    pvdisk_detach(rig);
}

static void a_guest_may_end_while_a_program_starts(void **state)
{
    struct pvdisk_rig *rig = *state;

    rig->guest.daemon.image_program = script(rig, "exec sleep 1000");
    pvdisk_attach(rig, "");
    make_directories_of(rig, "qcow2", "a.img");
    pvdisk_event(rig);
    assert_non_null(rig->guest.daemon.guests->pvdisks->served);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    assert_int_equal(rig->channels, 0);
    run(rig, "rm -f program");
}

#define T(name) cmocka_unit_test_setup_teardown(name, pvdisk_setup, pvdisk_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_qcow2_image_is_served_through_a_program_of_its_own),
        T(a_program_that_is_killed_fails_the_disks_requests),
        T(an_image_whose_program_still_runs_is_waited_for),
        T(an_image_that_its_program_does_not_open_is_left),
        T(a_guest_may_end_while_a_program_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
