// SPDX-License-Identifier: GPL-2.0-or-later
/* Many simulated guests under one daemon: at once, and ending at the worst moments. */
#include <errno.h>
#include <fcntl.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/shm/rig.h"
#include "tests/shm/sanitized.h"

#define RAM     (8u << 20)
#define SECTORS 16384u

struct fixture {
    struct rig rig;
    char image[6][RIG_PATH];
};

/* Guests g0 to g3 with a disk each; "two" has one on either channel. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char disks[3 * RIG_PATH], name[16];

    rig_start(&f->rig, "\"workers\": 2");
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof(name), "%u.img", i);
        rig_image(&f->rig, name, SECTORS, f->image[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "g%u", i);
        snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", f->image[i]);
        rig_guest(&f->rig, name, disks);
    }
    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"path\": \"%s\"}, {\"vdev\": \"hdc\", \"path\": \"%s\"}",
             f->image[4], f->image[5]);
    rig_guest(&f->rig, "two", disks);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool expected_dead = f->rig.pid == 0;
    int status = rig_stop(&f->rig);

    free(f);
    if (!expected_dead)
        assert_int_equal(status, 0);
    return 0;
}

/* One vCPU's work on one disk: PIO and DMA over an area of its own, verified. */
struct work {
    struct peer *peer;
    unsigned vcpu, channel;
    uint64_t seed;
    unsigned rounds;
    int rc;
    unsigned wrong;
    pthread_t thread;
};

static void *work_thread(void *arg)
{
    struct work *w = arg;
    uint64_t prd = 0x1000 + w->vcpu * 0x1000, out = 0x100000 + w->vcpu * 0x200000,
             in = out + 0x100000;
    uint8_t *ram = peer_ram(w->peer, 0, RAM);
    struct ide disk;

    w->rc = ide_init(&disk, w->peer, w->vcpu, w->channel, 0, prd);
    for (unsigned i = 0; i < w->rounds && w->rc == 0; i++) {
        uint64_t lba = 64 + i * 300;
        unsigned pio = 1 + i % 20;

        rig_fill(w->seed, lba, 256, ram + out);
        w->rc = ide_dma_write(&disk, lba, 128, out);
        if (w->rc == 0)
            w->rc = ide_pio_write(&disk, i & 1 ? IDE_PIO_REP16 : IDE_PIO_REP32, lba + 128, pio,
                                  out + 128 * 512);
        if (w->rc == 0)
            w->rc = ide_dma_read(&disk, lba, 128 + pio, in);
        w->wrong += w->rc == 0 ? rig_mismatches(w->seed, lba, 128 + pio, ram + in) : 0;
        if (w->rc == 0 && i % 8 == 0)
            w->rc = ide_pio_read(&disk, IDE_PIO_LOOP16, lba + 127, 2, in);
        w->wrong += w->rc == 0 && i % 8 == 0 ? rig_mismatches(w->seed, lba + 127, 2, ram + in) : 0;
    }
    if (w->rc == 0)
        w->rc = ide_flush(&disk);
    return NULL;
}

static void work_start(struct work *w, struct peer *peer, unsigned vcpu, unsigned channel,
                       uint64_t seed, unsigned rounds)
{
    *w = (struct work){
        .peer = peer, .vcpu = vcpu, .channel = channel, .seed = seed, .rounds = rounds};
    pthread_create(&w->thread, NULL, work_thread, w);
}

static void work_verified(struct work *w)
{
    pthread_join(w->thread, NULL);
    assert_int_equal(w->rc, 0);
    assert_int_equal(w->wrong, 0);
}

static void four_guests_work_at_once(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[4];
    struct work work[4];
    char name[8];

    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "g%u", i);
        peer[i] = rig_peer(&f->rig, name, 1, RAM);
        work_start(&work[i], peer[i], 0, 0, 100 + i, 20);
    }
    for (unsigned i = 0; i < 4; i++) {
        work_verified(&work[i]);
        peer_close(peer[i]);
    }
}

static void two_vcpus_work_on_two_channels_at_once(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "two", 2, RAM);
    struct work work[2];

    work_start(&work[0], peer, 0, 0, 1, 30);
    work_start(&work[1], peer, 1, 1, 2, 30);
    work_verified(&work[0]);
    work_verified(&work[1]);
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

static void detaching_in_mid_io_ends_that_guest_and_no_other(void **state)
{
    struct fixture *f = *state;
    struct peer *other = rig_peer(&f->rig, "g1", 1, RAM);
    struct work busy, work;
    char error[256];

    work_start(&work, other, 0, 0, 5, 40);
    for (unsigned i = 0; i < 8; i++) {
        struct peer *peer = rig_peer(&f->rig, "g0", 1, RAM);
        json_t *result;

        work_start(&busy, peer, 0, 0, 9, 50);
        usleep(3000 * i);
        result = rig_call(&f->rig, "detach", "{\"name\": \"g0\"}", error);
        if (!result)
            fail_msg("detach: %s", error);
        json_decref(result);
        pthread_join(busy.thread, NULL);
        assert_int_not_equal(busy.rc, 0);
        assert_int_equal(busy.wrong, 0);
        peer_close(peer);
    }
    work_verified(&work);
    peer_close(other);
}

/* A process of its own plays the guest, so that it can be killed. */
static pid_t child_guest(struct fixture *f, const char *name)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct work work;

        for (;;) {
            struct peer *peer = rig_peer(&f->rig, name, 1, RAM);

            work = (struct work){.peer = peer, .seed = 3, .rounds = 50};
            work_thread(&work);
            peer_close(peer);
            _exit(0);
        }
    }
    return pid;
}

static void a_peer_killed_in_mid_io_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    struct peer *other = rig_peer(&f->rig, "g1", 1, RAM);
    unsigned descriptors, mappings;
    struct work work;

    assert_true(rig_wait_running(&f->rig, 5000));
    descriptors = rig_descriptors(&f->rig);
    mappings = rig_memfd_mappings(&f->rig);
    work_start(&work, other, 0, 0, 5, 40);
    for (unsigned i = 0; i < 12; i++) {
        pid_t pid = child_guest(f, "g0");

        usleep(8000 * i);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_true(rig_wait_guests(&f->rig, 1, 5000));
    }
    work_verified(&work);
    assert_true(rig_wait_descriptors(&f->rig, descriptors, 5000));
    assert_int_equal(rig_memfd_mappings(&f->rig), mappings);
    peer_close(other);
}

static void a_guest_comes_back_at_once_and_waits_for_its_image(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 100; i++) {
        struct peer *peer = rig_peer(&f->rig, "g0", 1, RAM);
        struct ide disk;

        assert_int_equal(ide_init(&disk, peer, 0, 0, 0, 0x1000), 0);
        if (i & 1) /* leave with a request in flight */
            ide_dma_start(&disk, false, 0, 128, &(struct ide_prd){0x100000, 0}, 1);
        else
            assert_int_equal(ide_dma_read(&disk, 0, 128, 0x100000), 0);
        peer_close(peer);
    }
}

static void an_image_in_use_is_refused_with_words(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "g0", 1, RAM), *thief;
    char disks[2 * RIG_PATH], reason[112] = "", *log;

    snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", f->image[0]);
    rig_guest(&f->rig, "thief", disks);
    thief = rig_try_peer(&f->rig, "thief", 1, RAM, reason);
    assert_null(thief);
    assert_non_null(strstr(reason, "is in use by another guest"));
    log = rig_log(&f->rig);
    assert_non_null(strstr(log, f->image[0]));
    free(log);
    peer_close(peer);
}

static void a_name_without_a_description_is_refused(void **state)
{
    struct fixture *f = *state;
    char reason[112];

    assert_null(rig_try_peer(&f->rig, "nobody", 1, RAM, reason));
    assert_string_equal(reason, "No such file or directory");
}

static void a_second_peer_of_the_same_name_does_not_disturb_the_first(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "g0", 1, RAM);
    struct work work;
    char reason[112];

    work_start(&work, peer, 0, 0, 5, 10);
    assert_null(rig_try_peer(&f->rig, "g0", 1, RAM, reason));
    work_verified(&work);
    peer_close(peer);
}

static void a_stop_of_the_daemon_in_mid_io_is_clean(void **state)
{
    struct fixture *f = *state;
    struct peer *peer[3];
    struct work work[3];
    char name[8];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "g%u", i);
        peer[i] = rig_peer(&f->rig, name, 1, RAM);
        work_start(&work[i], peer[i], 0, 0, 1, 50);
    }
    usleep(20000);
    assert_int_equal(rig_signal(&f->rig, SIGTERM, 10000), 0);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(work[i].thread, NULL);
        assert_int_equal(work[i].wrong, 0);
        peer_close(peer[i]);
    }
    rig_restart(&f->rig);
    peer[0] = rig_peer(&f->rig, "g0", 1, RAM);
    work_start(&work[0], peer[0], 0, 0, 2, 5);
    work_verified(&work[0]);
    peer_close(peer[0]);
}

static void a_killed_daemon_is_noticed_and_its_successor_serves(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "g0", 1, RAM);
    struct work work;

    work_start(&work, peer, 0, 0, 1, 50);
    usleep(20000);
    assert_int_not_equal(rig_signal(&f->rig, SIGKILL, 10000), -1);
    pthread_join(work.thread, NULL);
    assert_int_equal(work.rc, -EPIPE);
    peer_close(peer);
    rig_restart(&f->rig);
    peer = rig_peer(&f->rig, "g0", 1, RAM);
    work_start(&work, peer, 0, 0, 2, 5);
    work_verified(&work);
    peer_close(peer);
}

static void fifty_rounds_of_guests_leak_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned descriptors = 0, mappings = 0, threads = 0;
    unsigned long private_kib = 0;

    for (unsigned i = 0; i < 50; i++) {
        struct peer *peer[2] = {rig_peer(&f->rig, "g0", 4, RAM), rig_peer(&f->rig, "two", 2, RAM)};
        struct ide disk;

        assert_int_equal(ide_init(&disk, peer[0], 3, 0, 0, 0x1000), 0);
        assert_int_equal(ide_dma_read(&disk, i, 64, 0x100000), 0);
        peer_close(peer[0]);
        peer_close(peer[1]);
        assert_true(rig_wait_guests(&f->rig, 0, 5000));
        if (i == 5) {
            usleep(50000);
            descriptors = rig_descriptors(&f->rig);
            mappings = rig_memfd_mappings(&f->rig);
            threads = rig_threads(&f->rig);
            private_kib = rig_private_kib(&f->rig);
        }
    }
    assert_true(rig_wait_descriptors(&f->rig, descriptors, 2000));
    assert_int_equal(rig_memfd_mappings(&f->rig), mappings);
    assert_int_equal(rig_threads(&f->rig), threads);
    if (!SANITIZED) /* which keeps what was freed for a while */
        assert_true(rig_private_kib(&f->rig) < private_kib + 1024);
}

static bool is_off(struct peer *peer, void *arg)
{
    return peer_shutdown(peer) == *(uint32_t *)arg;
}

static void a_guest_resets_and_switches_itself_off(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = rig_peer(&f->rig, "g0", 1, RAM);
    uint32_t reboot = HV_SHM_SHUTDOWN_REBOOT;

    peer_out(peer, 0, 0x64, 1, 0xfe); /* the keyboard controller's reset line */
    assert_int_equal(peer_wait(peer, is_off, &reboot), 0);
    peer_close(peer);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(four_guests_work_at_once),
        CASE(two_vcpus_work_on_two_channels_at_once),
        CASE(detaching_in_mid_io_ends_that_guest_and_no_other),
        CASE(a_peer_killed_in_mid_io_leaves_nothing_behind),
        CASE(a_guest_comes_back_at_once_and_waits_for_its_image),
        CASE(an_image_in_use_is_refused_with_words),
        CASE(a_name_without_a_description_is_refused),
        CASE(a_second_peer_of_the_same_name_does_not_disturb_the_first),
        CASE(a_stop_of_the_daemon_in_mid_io_is_clean),
        CASE(a_killed_daemon_is_noticed_and_its_successor_serves),
        CASE(fifty_rounds_of_guests_leak_nothing),
        CASE(a_guest_resets_and_switches_itself_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
