// SPDX-License-Identifier: GPL-2.0-or-later
/* Disks that fail under a simulated guest: what it sees, what it does not, and what stays. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/shm/rig.h"

#define RAM     (16u << 20)
#define SECTORS 16384u
#define PRD     0x1000u
#define BUF     0x100000u
#define ABRT    0x04
#define UNC     0x40

struct fixture {
    struct rig rig;
    char hda[RIG_PATH], hdc[RIG_PATH];
    struct peer *peer;
    struct ide a, c;
    uint8_t *ram;
    pthread_t thread;
    int outcome; /* of the thread's */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    rig_start(&f->rig, "\"workers\": 1");
    rig_image(&f->rig, "hda.img", SECTORS, f->hda);
    rig_image(&f->rig, "hdc.img", SECTORS, f->hdc);
    *state = f;
    return 0;
}

/* A guest whose hda has these further keys; hdc is well. */
static void boot(struct fixture *f, const char *more)
{
    char disks[4 * RIG_PATH];

    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"path\": \"%s\", %s}, {\"vdev\": \"hdc\", \"path\": \"%s\"}",
             f->hda, more, f->hdc);
    rig_guest(&f->rig, "guest", disks);
    f->peer = rig_peer(&f->rig, "guest", 2, RAM);
    f->ram = peer_ram(f->peer, 0, RAM);
    assert_int_equal(ide_init(&f->a, f->peer, 0, 0, 0, PRD), 0);
    assert_int_equal(ide_init(&f->c, f->peer, 1, 1, 0, PRD + 0x1000), 0);
}

static json_t *stats(struct fixture *f)
{
    return rig_call(&f->rig, "stats", NULL, NULL);
}

static uint64_t disk_counter(struct fixture *f, unsigned disk, const char *name)
{
    json_t *all = stats(f);
    json_t *guest = json_array_get(json_object_get(all, "guests"), 0);
    uint64_t value = (uint64_t)json_integer_value(
        json_object_get(json_array_get(json_object_get(guest, "disks"), disk), name));

    json_decref(all);
    return value;
}

/* Nothing in flight, and the pool has all its pages again. */
static void assert_nothing_held(struct fixture *f)
{
    json_t *all, *pool;

    assert_int_equal(disk_counter(f, 0, "in_flight"), 0);
    assert_int_equal(disk_counter(f, 1, "in_flight"), 0);
    all = stats(f);
    pool = json_object_get(
        json_array_get(json_object_get(json_object_get(all, "daemon"), "workers"), 0), "pool");
    assert_int_equal(json_integer_value(json_object_get(pool, "free")),
                     json_integer_value(json_object_get(pool, "pages")));
    json_decref(all);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int error = 0, status;

    if (f->peer) {
        error = peer_error(f->peer);
        peer_close(f->peer);
    }
    status = rig_stop(&f->rig);
    free(f);
    assert_int_equal(error, 0);
    assert_int_equal(status, 0);
    return 0;
}

/* The address that a failed command left in the registers, as 48 bits. */
static uint64_t failed_at(struct ide *ide, bool ext)
{
    uint64_t lba = 0;

    for (unsigned high = ext; high < 2; high--) {
        peer_out(ide->peer, ide->vcpu, ide->ctl, 1, high ? 0x80 : 0);
        for (unsigned reg = 5; reg >= 3; reg--)
            lba = lba << 8 | (uint8_t)peer_in(ide->peer, ide->vcpu, (uint16_t)(ide->cmd + reg), 1);
    }
    if (!ext)
        lba |= (uint64_t)(peer_in(ide->peer, ide->vcpu, (uint16_t)(ide->cmd + 6), 1) & 0xf) << 24;
    return lba;
}

static unsigned image_mismatches(const char *path, uint64_t seed, uint64_t lba, unsigned count)
{
    uint8_t *data = malloc(count * 512u);
    int fd = open(path, O_RDONLY);
    unsigned wrong;

    assert_int_equal(pread(fd, data, count * 512u, (off_t)lba * 512), count * 512);
    wrong = rig_mismatches(seed, lba, count, data);
    close(fd);
    free(data);
    return wrong;
}

static void a_bad_sector_is_named_and_what_is_before_it_arrives(void **state)
{
    struct fixture *f = *state;

    boot(f, "\"fault\": {\"first_sector\": 1000, \"last_sector\": 1002, \"every\": 1}");
    assert_int_equal(ide_dma_read(&f->a, 900, 256, BUF), -EIO);
    assert_int_equal(f->a.error, UNC);
    assert_int_equal(failed_at(&f->a, false), 1000);
    assert_int_equal(rig_mismatches(0, 900, 100, f->ram + BUF), 0);
    assert_int_equal(ide_dma_read(&f->a, 500, 1024, BUF), -EIO); /* in several requests */
    assert_int_equal(failed_at(&f->a, true), 1000);
    assert_int_equal(rig_mismatches(0, 500, 500, f->ram + BUF), 0);
    assert_int_equal(ide_pio_read(&f->a, IDE_PIO_REP16, 990, 20, BUF), -EIO);
    assert_int_equal(f->a.error, UNC);
    assert_int_equal(failed_at(&f->a, false), 1000);
    assert_int_equal(rig_mismatches(0, 990, 10, f->ram + BUF), 0);

    rig_fill(5, 900, 256, f->ram + BUF);
    assert_int_equal(ide_dma_write(&f->a, 900, 256, BUF), -EIO);
    assert_int_equal(f->a.error, ABRT);
    assert_int_equal(failed_at(&f->a, false), 1000);
    assert_int_equal(image_mismatches(f->hda, 5, 900, 100), 0);
    assert_int_equal(image_mismatches(f->hda, 0, 1000, 200), 0);
    rig_fill(6, 999, 8, f->ram + BUF);
    assert_int_equal(ide_pio_write(&f->a, IDE_PIO_REP32, 999, 8, BUF), -EIO);
    assert_int_equal(failed_at(&f->a, false), 1000);
    assert_int_equal(image_mismatches(f->hda, 6, 999, 1), 0);
    assert_int_equal(image_mismatches(f->hda, 0, 1000, 20), 0);
    assert_int_equal(ide_dma_read(&f->a, 1003, 200, BUF), 0); /* and beside it all is well */
    assert_int_equal(rig_mismatches(0, 1003, 200, f->ram + BUF), 0);
    assert_nothing_held(f);
}

static uint32_t pick(uint64_t *seed, uint32_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*seed >> 33) % below;
}

/* Another vCPU's disk, which must not notice. */
static void *neighbour(void *arg)
{
    struct fixture *f = arg;
    uint64_t seed = 9;

    for (unsigned i = 0; i < 200 && !f->outcome; i++) {
        uint32_t lba = pick(&seed, SECTORS - 64), count = 1 + pick(&seed, 64);

        f->outcome = ide_dma_read(&f->c, lba, count, 0x800000);
        if (!f->outcome && rig_mismatches(0, lba, count, f->ram + 0x800000))
            f->outcome = -EILSEQ;
    }
    return NULL;
}

/* Issue 3's fault-injecting backend: of each fifth request a sector is bad, of whichever kind. The
 * guest keeps a model of its disk; where a write ended is where it says it did. */
static void errors_of_each_nth_request_are_where_they_are_said_to_be(void **state)
{
    struct fixture *f = *state;
    uint8_t *model = malloc(SECTORS * 512), *data = malloc(256 * 512);
    unsigned failed[2] = {0}, descriptors;
    uint64_t seed = 4711;

    boot(f, "\"fault\": {\"every\": 5}");
    rig_fill(0, 0, SECTORS, model);
    descriptors = rig_descriptors(&f->rig);
    pthread_create(&f->thread, NULL, neighbour, f);
    for (unsigned i = 0; i < 600; i++) {
        uint32_t lba = pick(&seed, SECTORS - 256), count = 1 + pick(&seed, 256);
        bool write = pick(&seed, 2), dma = pick(&seed, 2);
        uint64_t good = count;
        int rc;

        for (unsigned j = 0; write && j < count * 512; j++)
            data[j] = (uint8_t)(j * 7 + j / 512 * 3 + i);
        if (write)
            memcpy(f->ram + BUF, data, count * 512);
        else
            memset(f->ram + BUF, 0, count * 512);
        rc = dma     ? write ? ide_dma_write(&f->a, lba, count, BUF)
                             : ide_dma_read(&f->a, lba, count, BUF)
                 : write ? ide_pio_write(&f->a, IDE_PIO_REP16, lba, count, BUF)
                     : ide_pio_read(&f->a, IDE_PIO_REP16, lba, count, BUF);
        if (rc) {
            assert_int_equal(rc, -EIO);
            assert_int_equal(f->a.error, write ? ABRT : UNC);
            good = failed_at(&f->a, false) - lba;
            assert_true(good < count);
            failed[write]++;
        }
        if (write)
            memcpy(model + lba * 512, data, good * 512);
        else
            assert_memory_equal(f->ram + BUF, model + lba * 512, good * 512);
        if (i % 50 == 49 && ide_flush(&f->a))
            failed[1]++;
    }
    pthread_join(f->thread, NULL);
    assert_int_equal(f->outcome, 0);
    assert_true(failed[0] > 40 && failed[1] > 40);
    assert_int_equal(disk_counter(f, 0, "errors"), failed[0] + failed[1]);
    assert_int_equal(disk_counter(f, 1, "errors"), 0);
    assert_nothing_held(f);
    assert_true(rig_wait_descriptors(&f->rig, descriptors, 2000));

    int fd = open(f->hda, O_RDONLY);
    for (uint32_t at = 0; at < SECTORS; at += 256) {
        assert_int_equal(pread(fd, data, 256 * 512, at * 512), 256 * 512);
        assert_memory_equal(data, model + at * 512, 256 * 512);
    }
    close(fd);
    free(data);
    free(model);
}

static void a_file_that_shrinks_ends_where_it_ends(void **state)
{
    struct fixture *f = *state;

    boot(f, "\"cache\": \"writeback\"");
    assert_int_equal(truncate(f->hda, 700 * 512 + 100), 0);
    assert_int_equal(ide_dma_read(&f->a, 600, 256, BUF), -EIO);
    assert_int_equal(f->a.error, UNC);
    assert_int_equal(failed_at(&f->a, false), 700);
    assert_int_equal(rig_mismatches(0, 600, 100, f->ram + BUF), 0);
    assert_int_equal(ide_pio_read(&f->a, IDE_PIO_REP16, 699, 2, BUF), -EIO);
    assert_int_equal(failed_at(&f->a, false), 700);
    rig_fill(3, 650, 20, f->ram + BUF);
    assert_int_equal(ide_dma_write(&f->a, 650, 20, BUF), 0);
    assert_int_equal(ide_flush(&f->a), 0);
    assert_int_equal(image_mismatches(f->hda, 3, 650, 20), 0);
}

/* CVE-2023-5088's class, with a disk that is slow: what was under way neither lands in memory that
 * is used again nor overtakes, or is taken for, what comes after it. */
static void a_reset_with_requests_under_way_lets_nothing_land_late(void **state)
{
    struct fixture *f = *state;
    const struct ide_prd prd = {BUF, 64 * 512};

    boot(f, "\"fault\": {\"delay_ms\": 60}");
    for (unsigned i = 0; i < 4; i++) {
        rig_fill(40 + i, 3000, 64, f->ram + BUF);
        ide_dma_start(&f->a, true, 3000, 64, &prd, 1);
        assert_int_equal(ide_soft_reset(&f->a), 0);
        rig_fill(50 + i, 3000, 64, f->ram + BUF);
        assert_int_equal(ide_dma_write(&f->a, 3000, 64, BUF), 0); /* behind the other */
        assert_int_equal(image_mismatches(f->hda, 50 + i, 3000, 64), 0);

        ide_dma_start(&f->a, false, 500, 64, &prd, 1);
        assert_int_equal(ide_soft_reset(&f->a), 0);
        memset(f->ram + BUF, 0xcc, 64 * 512);
        assert_int_equal(ide_dma_read(&f->a, 700, 64, BUF + 0x10000), 0);
        assert_int_equal(rig_mismatches(0, 700, 64, f->ram + BUF + 0x10000), 0);
        for (unsigned j = 0; j < 64 * 512; j++)
            assert_int_equal(f->ram[BUF + j], 0xcc);
    }
    assert_int_equal(image_mismatches(f->hda, 0, 0, 3000), 0);
    assert_int_equal(image_mismatches(f->hda, 0, 3064, 1000), 0);
    assert_int_equal(disk_counter(f, 0, "cancelled"), 8);
    assert_nothing_held(f);
}

/* Stopped. */

static bool is_paused(struct peer *peer, void *arg)
{
    return __atomic_load_n(&peer_status(peer)->paused, __ATOMIC_ACQUIRE) == *(uint32_t *)arg;
}

static void wait_paused(struct fixture *f, uint32_t paused)
{
    assert_int_equal(peer_wait(f->peer, is_paused, &paused), 0);
}

/* As `list` has it: state and, of hda, why. */
static void assert_listed(struct fixture *f, const char *guest_state, const char *error)
{
    json_t *list = rig_call(&f->rig, "list", NULL, NULL), *guest, *stop;

    for (unsigned i = 0; i < 200; i++) { /* the control side hears of it a moment later */
        guest = json_array_get(json_object_get(list, "guests"), 0);
        if (!strcmp(json_string_value(json_object_get(guest, "state")), guest_state))
            break;
        json_decref(list);
        usleep(10000);
        list = rig_call(&f->rig, "list", NULL, NULL);
    }
    guest = json_array_get(json_object_get(list, "guests"), 0);
    assert_string_equal(json_string_value(json_object_get(guest, "state")), guest_state);
    stop = json_object_get(json_array_get(json_object_get(guest, "disks"), 0), "stopped");
    if (error)
        assert_string_equal(json_string_value(json_object_get(stop, "error")), error);
    else
        assert_null(stop);
    json_decref(list);
}

static void resume(struct fixture *f)
{
    char error[256];
    json_t *result = rig_call(&f->rig, "resume", "{\"name\": \"guest\"}", error);

    assert_string_equal(error, "");
    json_decref(result);
}

static void *write_thread(void *arg)
{
    struct fixture *f = arg;

    f->outcome = ide_dma_write(&f->a, 2000, 400, BUF);
    return NULL;
}

static void *status_thread(void *arg)
{
    struct fixture *f = arg;

    peer_in(f->peer, 1, (uint16_t)(f->c.cmd + 7), 1);
    __atomic_store_n(&f->outcome, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void without_room_the_guest_is_stopped_until_it_is_resumed(void **state)
{
    struct fixture *f = *state;
    struct fixture other;
    char *log;

    boot(f, "\"fault\": {\"op\": \"write\", \"first_sector\": 2300, \"last_sector\": 2310,"
            " \"every\": 1, \"count\": 2, \"error\": \"ENOSPC\"}");
    rig_fill(8, 2000, 400, f->ram + BUF);
    other = *f;
    other.outcome = 0;
    assert_null(rig_call(&f->rig, "resume", "{\"name\": \"guest\"}", NULL)); /* it is not stopped */
    pthread_create(&f->thread, NULL, write_thread, f);
    for (unsigned i = 0; i < 2; i++) {
        wait_paused(f, 1);
        assert_listed(f, "io-error", "No space left on device");
        if (i == 0) {
            /* Whatever else the guest asks is not answered. */
            pthread_create(&other.thread, NULL, status_thread, &other);
            usleep(200000);
            assert_int_equal(__atomic_load_n(&other.outcome, __ATOMIC_ACQUIRE), 0);
            assert_int_equal(image_mismatches(f->hda, 8, 2000, 300), 0);
            assert_int_equal(image_mismatches(f->hda, 0, 2300, 200), 0);
        }
        resume(f); /* the first time in vain */
        if (i == 0)
            usleep(100000);
    }
    pthread_join(f->thread, NULL);
    pthread_join(other.thread, NULL);
    assert_int_equal(f->outcome, 0);
    wait_paused(f, 0);
    assert_listed(f, "running", NULL);
    assert_int_equal(image_mismatches(f->hda, 8, 2000, 400), 0);
    assert_int_equal(image_mismatches(f->hda, 0, 2400, 100), 0);
    assert_nothing_held(f);
    log = rig_log(&f->rig);
    assert_non_null(strstr(log, "event=io-error vdev=hda op=write sector=2300 "
                                "error=\"No space left on device\""));
    free(log);
}

static void errors_stop_the_guest_if_the_disk_says_so(void **state)
{
    struct fixture *f = *state;

    boot(f, "\"werror\": \"report\", \"rerror\": \"stop\","
            " \"fault\": {\"first_sector\": 2300, \"last_sector\": 2310, \"every\": 1,"
            " \"count\": 2}");
    assert_int_equal(ide_dma_write(&f->a, 2290, 100, BUF), -EIO);
    assert_int_equal(failed_at(&f->a, false), 2300);
    f->a.irq = 14;
    uint32_t before = peer_isa_rises(f->peer, 14);
    const struct ide_prd prd = {BUF, 100 * 512};
    ide_dma_start(&f->a, false, 2290, 100, &prd, 1);
    wait_paused(f, 1);
    assert_listed(f, "io-error", "Input/output error");
    resume(f);
    assert_int_equal(ide_dma_finish(&f->a, before), 0);
    assert_int_equal(rig_mismatches(0, 2300, 90, f->ram + BUF + 10 * 512), 0);
}

static void a_stopped_guest_may_be_detached_or_hang_up(void **state)
{
    struct fixture *f = *state;
    const struct ide_prd prd = {BUF, 100 * 512};
    unsigned descriptors = rig_descriptors(&f->rig);

    for (unsigned how = 0; how < 2; how++) {
        boot(f, "\"rerror\": \"stop\", \"fault\": {\"every\": 1, \"op\": \"read\"}");
        ide_dma_start(&f->a, false, 2290, 100, &prd, 1);
        wait_paused(f, 1);
        if (how == 0)
            json_decref(rig_call(&f->rig, "detach", "{\"name\": \"guest\"}", NULL));
        peer_close(f->peer);
        f->peer = NULL;
        if (how == 1) /* it waits for its peer again */
            assert_true(rig_wait_guests(&f->rig, 0, 5000));
        assert_true(rig_wait_descriptors(&f->rig, descriptors, 5000));
    }
}

/* On a filesystem that is full, and then is not. */
static void a_full_filesystem_stops_the_guest_and_room_lets_it_go_on(void **state)
{
    struct fixture *f = *state;
    char dir[RIG_PATH - 16], other[RIG_PATH];
    int fd;

    snprintf(dir, sizeof(dir), "%s/small", f->rig.dir);
    mkdir(dir, 0700);
    if (mount("none", dir, "tmpfs", 0, "size=128k"))
        skip();
    memcpy(other, f->hda, sizeof(other));
    snprintf(f->hda, sizeof(f->hda), "%s/image", dir);
    fd = open(f->hda, O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, SECTORS * 512), 0);
    close(fd);
    boot(f, "\"direct\": false");
    rig_fill(8, 2000, 400, f->ram + BUF);
    pthread_create(&f->thread, NULL, write_thread, f);
    wait_paused(f, 1);
    assert_listed(f, "io-error", "No space left on device");
    assert_int_equal(mount("none", dir, "tmpfs", MS_REMOUNT, "size=4m"), 0);
    resume(f);
    pthread_join(f->thread, NULL);
    assert_int_equal(f->outcome, 0);
    assert_int_equal(image_mismatches(f->hda, 8, 2000, 400), 0);
    peer_close(f->peer);
    f->peer = NULL;
    assert_true(rig_wait_guests(&f->rig, 0, 5000));
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_bad_sector_is_named_and_what_is_before_it_arrives),
        CASE(errors_of_each_nth_request_are_where_they_are_said_to_be),
        CASE(a_file_that_shrinks_ends_where_it_ends),
        CASE(a_reset_with_requests_under_way_lets_nothing_land_late),
        CASE(without_room_the_guest_is_stopped_until_it_is_resumed),
        CASE(errors_stop_the_guest_if_the_disk_says_so),
        CASE(a_stopped_guest_may_be_detached_or_hang_up),
        CASE(a_full_filesystem_stops_the_guest_and_room_lets_it_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
