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

struct lines {
    unsigned lost, ended, hung;
};

static void count_line(void *ctx, int priority, const char *guest, const char *device,
                       const char *text)
{
    struct lines *lines = ctx;

    assert_int_equal(priority, LOG_ERR);
    lines->lost += !strncmp(text, "event=pv-disk-lost vdev=xvda ", 29) &&
                   strstr(text, "xl block-detach and xl block-attach");
    lines->ended += !strncmp(text, "event=image-program-ended path=/", 32);
    lines->hung += !strncmp(text, "event=image-program-hangs path=/", 32);
}

static const char itself[] = "echo $$ >\"${0%program}pid\"\nexec " SERVED_PROGRAM " \"$@\"";

/* Ends with status 0 whatever the other did. */
static const char pleased[] = "sh -c 'LISTEN_PID=$$ exec " SERVED_PROGRAM " \"$@\"' x \"$@\" &\n"
                              "echo $! >\"${0%program}pid\"\nwait\nexit 0";

/* Guest 'a' with its disk connected, through a program whose number is in DIR/pid; errors are
 * counted. */
static void connect_qcow2(struct pvdisk_rig *rig, const char *program, struct lines *lines)
{
    struct log *log = &rig->guest.daemon.log;

    *lines = (struct lines){0};
    rig->guest.daemon.image_program = script(rig, program);
    pvdisk_attach(rig, "");
    log_set_level(log, LOG_ERR);
    log_divert(log, count_line, lines);
    log_divert(&rig->guest.daemon.guests->log, count_line, lines);
    make_directories_of(rig, "qcow2", "a.qcow2");
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    pvdisk_make_ring(rig);
    pvdisk_front_connects(rig);
}

static bool is_told_of(struct guest_rig *rig, void *arg)
{
    const struct lines *lines = arg;

    return lines->lost && lines->ended;
}

static void end_under_a_disk(struct pvdisk_rig *rig, const char *program)
{
    struct lines lines;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    connect_qcow2(rig, program, &lines);
    assert_true(run(rig, "kill -KILL $(cat pid)"));
    guest_rig_run(&rig->guest, is_told_of, &lines);
    pvdisk_detach_disk(rig);
    pvdisk_detach(rig);
    assert_int_equal(lines.lost, 1);
    assert_int_equal(lines.ended, 1);
    assert_int_equal(lines.hung, 0);
    run(rig, "rm -f a.qcow2 program pid");
}

static void a_program_that_ends_under_its_disk_is_told_of_though_nothing_is_asked(void **state)
{
    end_under_a_disk(*state, itself);
}

static void a_program_that_ends_under_its_disk_is_told_of_whatever_its_status(void **state)
{
    end_under_a_disk(*state, pleased);
}

static void a_program_that_ends_with_its_disk_is_no_error(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct lines lines;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    connect_qcow2(rig, itself, &lines);
    pvdisk_detach_disk(rig);
    pvdisk_wait_programs(rig);
    fake_store_remove(&rig->store, PVDISK_BACK);
    make_directories_of(rig, "qcow2", "a.qcow2");
    pvdisk_event(rig);
    pvdisk_wait(rig, "2");
    pvdisk_detach(rig); /* and with its guest */
    pvdisk_wait_programs(rig);
    assert_int_equal(lines.lost + lines.ended + lines.hung, 0);
    run(rig, "rm -f a.qcow2 program pid");
}

/* A disk whose program is stopped while it has a request to answer. */
static void ask_one_that_hangs(struct pvdisk_rig *rig, struct lines *lines)
{
    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    connect_qcow2(rig, itself, lines);
    rig->guest.daemon.image_patience_ns = UINT64_C(300000000);
    assert_true(run(rig, "kill -STOP $(cat pid)"));
    pv_rig_page_request(&rig->front, 0, BLKIF_READ, 1, 0, 1);
    pvdisk_publish(rig);
}

static void a_program_that_hangs_does_not_keep_its_disk_for_ever(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct lines lines;

    ask_one_that_hangs(rig, &lines);
    pvdisk_detach_disk(rig);
    pvdisk_wait_programs(rig);
    assert_int_equal(lines.hung, 1);
    assert_int_equal(lines.ended, 0);
    pvdisk_detach(rig);
    run(rig, "rm -f a.qcow2 program pid");
}

static void a_program_that_hangs_does_not_keep_its_guest_for_ever(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct lines lines;

    ask_one_that_hangs(rig, &lines);
    pvdisk_event(rig);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    assert_int_equal(lines.hung, 1);
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

static void look_for_no_answer(void *ctx, int priority, const char *guest, const char *device,
                               const char *text)
{
    *(bool *)ctx |= strstr(text, "does not answer") != NULL;
}

/* Captured by an image, it may. The daemon has other things to do meanwhile, and ends it. */
static void a_program_that_talks_without_end_is_ended(void **state)
{
    static const char endless[] =
        "exec python3 -c '\nimport socket\n"
        "conn = socket.socket(fileno=3).accept()[0]\n"
        "conn.sendall(b\"NBDMAGICIHAVEOPT\\0\\3\")\n"
        "while True:\n"
        "    conn.sendall(1000 * "
        "bytes.fromhex(\"0003e889045565a90000000700000003000000020009\"))\n'";
    struct pvdisk_rig *rig = *state;
    bool told = false;

    rig->guest.daemon.image_program = script(rig, endless);
    rig->guest.daemon.image_patience_ns = UINT64_C(1000000000);
    pvdisk_attach(rig, "");
    log_set_level(&rig->guest.daemon.guests->log, LOG_WARNING);
    log_divert(&rig->guest.daemon.guests->log, look_for_no_answer, &told);
    make_directories_of(rig, "qcow2", "a.img");
    pvdisk_event(rig);
    guest_rig_run(&rig->guest, is_useless, NULL);
    assert_true(told);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    run(rig, "rm -f program");
}

/* Lines of DIR/tries: one of each attempt. */
static unsigned tries(struct pvdisk_rig *rig)
{
    unsigned n = 0;
    char path[96];
    FILE *file;
    int c;

    snprintf(path, sizeof(path), "%s/tries", rig->guest.dir);
    file = fopen(path, "r");
    while (file && (c = fgetc(file)) != EOF)
        n += c == '\n';
    if (file)
        fclose(file);
    return n;
}

/* As a qemu-img(1) of the administrator's, or a raw disk, would. */
static void an_image_that_a_stranger_has_is_tried_a_few_times_and_left(void **state)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct pvdisk_rig *rig = *state;
    char path[96];
    int fd;

    pvdisk_attach(rig, "");
    snprintf(path, sizeof(path), "%s/a.img", rig->guest.dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
    rig->guest.daemon.image_program = script(rig, "echo >>\"${0%program}tries\"\nexit 1");
    make_directories_of(rig, "qcow2", "a.img");
    pvdisk_event(rig);
    guest_rig_run(&rig->guest, is_useless, NULL);
    assert_int_equal(tries(rig), 3);
    close(fd);
    pvdisk_detach(rig);
    run(rig, "rm -f program tries");
}

static void never_ready(void *ctx, int err, const char *why, struct nbd_handle *handle,
                        const struct nbd_export *export)
{
    fail();
}

static void what_fails_for_no_lock_is_not_tried_again(void **state)
{
    struct pvdisk_rig *rig = *state;
    char path[96], why[OPENER_WHY_SIZE];
    struct served_params params = {.path = path, .format = "qcow2", .ready = never_ready};
    struct served *other;

    pvdisk_attach(rig, "");
    snprintf(path, sizeof(path), "%s/a.img", rig->guest.dir);
    rig->guest.daemon.image_program = script(rig, "exec sleep 1000"); /* and takes no lock */
    assert_int_equal(served_start(&rig->guest.daemon, &params, &other, why), 0);
    assert_true(run(rig, "sleep 0.2")); /* it is read by now */
    rig->guest.daemon.image_program = script(rig, "echo >>\"${0%program}tries\"\nexit 1");
    make_directories_of(rig, "qcow2", "a.img");
    pvdisk_event(rig);
    guest_rig_run(&rig->guest, is_useless, NULL);
    assert_int_equal(tries(rig), 1);
    served_cancel(other);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    run(rig, "rm -f program tries");
}

static void what_ends_the_daemon_does_not_end_its_programs(void **state)
{
    struct pvdisk_rig *rig = *state;
    struct lines lines;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M"))
        skip();
    assert_int_equal(system("echo 100 >/proc/$PPID/oom_score_adj"), 0);
    connect_qcow2(rig, itself, &lines);
    assert_int_equal(system("echo 0 >/proc/$PPID/oom_score_adj"), 0);
    assert_true(run(rig, "test $(cat /proc/$(cat pid)/oom_score_adj) = 0"));
    assert_true(run(rig, "test $(cut -d' ' -f6 /proc/$(cat pid)/stat) = $(cat pid)"));
    assert_true(run(rig, "kill -TERM $(cat pid); kill -INT $(cat pid); kill -HUP $(cat pid)"));
    assert_true(run(rig, "sleep 0.3"));
    pvdisk_request(rig, BLKIF_READ, 1, 0, 1);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    assert_int_equal(lines.lost + lines.ended + lines.hung, 0);
    run(rig, "rm -f a.qcow2 program pid");
}

static void an_image_that_names_other_files_is_refused_unless_that_is_configured(void **state)
{
    static const char *const kind[][2] = {
        {"qcow2", "qemu-img create -q -f qcow2 -b \"$PWD/a.img\" -F raw b.img"},
        {"qcow2", "qemu-img create -q -f qcow2 -o compat=0.10 -b \"$PWD/a.img\" -F raw b.img"},
        {"qcow2",
         "qemu-img create -q -f qcow2 -o data_file=\"$PWD/data\",data_file_raw=on b.img 1M"},
        {"qcow", "qemu-img create -q -f qcow -b \"$PWD/a.img\" -F raw b.img"},
        {"qed", "qemu-img create -q -f qed -b \"$PWD/a.img\" -F raw b.img"},
    };
    struct pvdisk_rig *rig = *state;

    if (access(SERVED_PROGRAM, X_OK))
        skip();
    pvdisk_attach(rig, "");
    for (unsigned i = 0; i < 2 * sizeof(kind) / sizeof(kind[0]); i++) {
        bool allowed = i % 2;

        rig->guest.daemon.config.pv_backing_files = allowed;
        assert_true(run(rig, "rm -f b.img data"));
        assert_true(run(rig, kind[i / 2][1]));
        make_directories_of(rig, kind[i / 2][0], "b.img");
        pvdisk_event(rig);
        if (allowed) {
            pvdisk_wait(rig, "2");
            pvdisk_take_away(rig);
            pvdisk_front(rig, "state", "6");
            pvdisk_event(rig);
            pvdisk_wait_gone(rig);
        } else {
            assert_true(rig->guest.daemon.guests->pvdisks->useless);
            assert_null(rig->guest.daemon.served);
        }
        fake_store_remove(&rig->store, PVDISK_BACK);
        pvdisk_event(rig);
        assert_null(rig->guest.daemon.guests->pvdisks);
        pvdisk_wait_programs(rig);
    }
    pvdisk_detach(rig);
    run(rig, "rm -f b.img data");
}

/* Of a guest that has no disk but this; the program that starts is none that answers. */
static void begin_slowly(struct pvdisk_rig *rig)
{
    rig->guest.daemon.image_program = script(rig, "exec sleep 1000");
    pvdisk_attach(rig, "");
    make_directories_of(rig, "qcow2", "a.img");
    pvdisk_event(rig);
    assert_non_null(rig->guest.daemon.guests->pvdisks->served);
}

static void a_guest_may_end_while_a_program_starts(void **state)
{
    struct pvdisk_rig *rig = *state;

    begin_slowly(rig);
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    assert_int_equal(rig->channels, 0);
    run(rig, "rm -f program");
}

static void a_detach_while_the_program_starts_is_answered_at_once(void **state)
{
    struct pvdisk_rig *rig = *state;

    begin_slowly(rig);
    pvdisk_take_away(rig);
    assert_string_equal(pvdisk_state(rig), "6");
    assert_null(rig->guest.daemon.guests->pvdisks->served);
    pvdisk_wait_programs(rig);
    fake_store_remove(&rig->store, PVDISK_BACK);
    pvdisk_event(rig);
    assert_null(rig->guest.daemon.guests->pvdisks);
    pvdisk_detach(rig);
    run(rig, "rm -f program");
}

/* libxl tells first that it is to go, or not at all. */
static void a_directory_that_goes_while_the_program_starts_is_forgotten(void **state)
{
    struct pvdisk_rig *rig = *state;

    for (unsigned i = 0; i < 2; i++) {
        if (!i)
            begin_slowly(rig);
        else
            make_directories_of(rig, "qcow2", "a.img");
        pvdisk_event(rig);
        assert_non_null(rig->guest.daemon.guests->pvdisks->served);
        if (!i) {
            pvdisk_back(rig, "online", "0");
            pvdisk_event(rig);
            assert_string_equal(pvdisk_state(rig), "1"); /* which it has not asked for yet */
            assert_null(rig->guest.daemon.guests->pvdisks->served);
        }
        fake_store_remove(&rig->store, PVDISK_BACK);
        pvdisk_event(rig);
        assert_null(rig->guest.daemon.guests->pvdisks);
        pvdisk_wait_programs(rig);
    }
    pvdisk_detach(rig);
    run(rig, "rm -f program");
}

/* The directory is made anew with another image, before or without an event of what went. */
static void another_image_at_the_place_of_one_that_starts_is_the_one_served(void **state)
{
    struct pvdisk_rig *rig = *state;

    if (access(SERVED_PROGRAM, X_OK) || !run(rig, "qemu-img create -q -f qcow2 a.qcow2 1M && "
                                                  "qemu-img create -q -f qcow2 b.qcow2 2M"))
        skip();
    pvdisk_attach(rig, "");
    for (unsigned i = 0; i < 2; i++) {
        make_directories_of(rig, "qcow2", "a.qcow2");
        pvdisk_event(rig);
        assert_non_null(rig->guest.daemon.guests->pvdisks->served);
        fake_store_remove(&rig->store, PVDISK_BACK);
        make_directories_of(rig, "qcow2", "b.qcow2");
        if (i) /* else its program finds out when it is ready */
            pvdisk_event(rig);
        pvdisk_wait(rig, "2");
        pvdisk_make_ring(rig);
        pvdisk_front_connects(rig);
        assert_string_equal(fake_store_get(&rig->store, PVDISK_BACK, "sectors"), "4096");
        pvdisk_detach_disk(rig);
        fake_store_remove(&rig->store, PVDISK_BACK);
        pvdisk_event(rig);
    }
    pvdisk_detach(rig);
    pvdisk_wait_programs(rig);
    run(rig, "rm -f a.qcow2 b.qcow2");
}

#define T PVDISK_TEST_BOTH
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_qcow2_image_is_served_through_a_program_of_its_own),
        T(a_program_that_is_killed_fails_the_disks_requests),
        T(a_program_that_ends_under_its_disk_is_told_of_though_nothing_is_asked),
        T(a_program_that_ends_under_its_disk_is_told_of_whatever_its_status),
        T(a_program_that_ends_with_its_disk_is_no_error),
        T(a_program_that_hangs_does_not_keep_its_disk_for_ever),
        T(a_program_that_hangs_does_not_keep_its_guest_for_ever),
        T(an_image_whose_program_still_runs_is_waited_for),
        T(a_program_that_talks_without_end_is_ended),
        T(an_image_that_its_program_does_not_open_is_left),
        T(an_image_that_a_stranger_has_is_tried_a_few_times_and_left),
        T(what_fails_for_no_lock_is_not_tried_again),
        T(what_ends_the_daemon_does_not_end_its_programs),
        T(an_image_that_names_other_files_is_refused_unless_that_is_configured),
        T(a_guest_may_end_while_a_program_starts),
        T(a_detach_while_the_program_starts_is_answered_at_once),
        T(a_directory_that_goes_while_the_program_starts_is_forgotten),
        T(another_image_at_the_place_of_one_that_starts_is_the_one_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
