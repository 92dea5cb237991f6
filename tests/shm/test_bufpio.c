/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffered PIO with the shipped daemon: the peer answers what it can from the page, from several
 * threads as vCPUs, and every byte is verified.
 */
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
#include <unistd.h>

#include <cmocka.h>

#include "tests/shm/rig.h"

#define RAM       (4u << 20)
#define SECTORS   2048u
#define DISKS     4u
#define PRD       0x1000u
#define BUF(vcpu) (0x100000u + 0x80000u * (vcpu))
#define ABORTS    10000u

struct fixture {
    struct rig rig;
    char image[DISKS][RIG_PATH];
    struct peer *peer;
    struct ide disk[DISKS];
    uint8_t *shadow[DISKS]; /* what each image holds */
    pthread_mutex_t turn;   /* two vCPUs at one channel take turns, word by word */
};

static void connect_guest(struct fixture *f, const char *name, unsigned vcpus)
{
    f->peer = rig_peer(&f->rig, name, vcpus, RAM);
    for (unsigned i = 0; i < DISKS; i++)
        assert_int_equal(ide_init(&f->disk[i], f->peer, 0, i / 2, i % 2, PRD + 0x100 * i), 0);
}

static int setup_with(void **state, const char *more)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char disks[DISKS * (RIG_PATH + 40)] = "";

    pthread_mutex_init(&f->turn, NULL);
    rig_start(&f->rig, "\"workers\": 1, \"log_level\": \"info\"");
    for (unsigned i = 0; i < DISKS; i++) {
        char name[16];
        size_t at = strlen(disks);

        snprintf(name, sizeof(name), "hd%c.img", 'a' + i);
        rig_image(&f->rig, name, SECTORS, f->image[i]);
        snprintf(disks + at, sizeof(disks) - at, "%s{\"vdev\": \"hd%c\", \"path\": \"%s\"}",
                 i ? "," : "", 'a' + i, f->image[i]);
        f->shadow[i] = malloc(SECTORS * 512);
        rig_fill(0, 0, SECTORS, f->shadow[i]);
    }
    rig_guest_more(&f->rig, "guest", disks, more);
    connect_guest(f, "guest", 2);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NULL);
}

static int setup_off(void **state)
{
    return setup_with(state, "\"buffered_pio\": false");
}

static void compare_images(struct fixture *f)
{
    uint8_t *data = malloc(SECTORS * 512);

    for (unsigned i = 0; i < DISKS; i++) {
        int fd = open(f->image[i], O_RDONLY);

        assert_int_equal(pread(fd, data, SECTORS * 512, 0), SECTORS * 512);
        close(fd);
        for (unsigned lba = 0; lba < SECTORS; lba++)
            if (memcmp(data + lba * 512, f->shadow[i] + lba * 512, 512))
                fail_msg("image %u: sector %u is not what the guest wrote", i, lba);
    }
    free(data);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int error = peer_error(f->peer), status;

    peer_close(f->peer);
    rig_wait_guests(&f->rig, 0, 5000);
    if (!error)
        compare_images(f);
    status = rig_stop(&f->rig);
    for (unsigned i = 0; i < DISKS; i++)
        free(f->shadow[i]);
    free(f);
    assert_int_equal(error, 0);
    assert_int_equal(status, 0);
    return 0;
}

/* ---- counting -------------------------------------------------------------------------------- */

static uint64_t counted(struct fixture *f, const char *group, const char *name)
{
    return rig_counted(&f->rig, "guest", group, name);
}

static bool has_buffered_pio(struct fixture *f)
{
    json_t *stats = rig_call(&f->rig, "stats", "{\"guest\": \"guest\"}", NULL);
    json_t *guest = json_array_get(json_object_get(stats, "guests"), 0);
    bool has = json_is_true(json_object_get(guest, "buffered_pio"));

    assert_true(json_is_boolean(json_object_get(guest, "buffered_pio")));
    assert_int_equal(has, json_object_get(guest, "bufpio") != NULL);
    json_decref(stats);
    return has;
}

/* Requests for ports so far. */
static uint64_t requests(struct fixture *f)
{
    return counted(f, "ioreqs", "pio_read") + counted(f, "ioreqs", "pio_write");
}

/* One block of `sectors` sectors is there; how many requests it takes to move it. */
static uint64_t block(struct fixture *f, struct ide *ide, bool write, uint8_t *data,
                      unsigned sectors)
{
    uint64_t before;

    assert_int_equal(ide_wait_drq(ide), 0);
    before = requests(f);
    for (unsigned i = 0; i < sectors * 256; i++) {
        uint32_t value = 0;

        if (write) {
            memcpy(&value, data + 2 * i, 2);
            peer_out(f->peer, 0, ide->cmd, 2, value);
        } else {
            value = peer_in(f->peer, 0, ide->cmd, 2);
            memcpy(data + 2 * i, &value, 2);
        }
    }
    return requests(f) - before;
}

static void a_sectors_256_requests_become_two_or_fewer(void **state)
{
    struct fixture *f = *state;
    uint8_t data[16 * 512];

    assert_true(has_buffered_pio(f));
    for (unsigned lba = 0; lba < 8; lba++) {
        assert_int_equal(ide_command(&f->disk[0], IDE_READ_SECTORS, lba, 1, false), 0);
        assert_in_range(block(f, &f->disk[0], false, data, 1), 1, 2);
        assert_int_equal(rig_mismatches(0, lba, 1, data), 0);
        rig_fill(lba + 1, lba, 1, data);
        memcpy(f->shadow[0] + lba * 512, data, 512);
        assert_int_equal(ide_command(&f->disk[0], IDE_WRITE_SECTORS, lba, 1, false), 0);
        assert_in_range(block(f, &f->disk[0], true, data, 1), 1, 2);
        assert_int_equal(ide_wait_idle(&f->disk[0]), 0);
    }
    /* READ and WRITE MULTIPLE: 4096 requests become 5 or 6 */
    assert_int_equal(ide_set_multiple(&f->disk[0], 16), 0);
    assert_int_equal(ide_command(&f->disk[0], IDE_READ_MULTIPLE, 100, 16, false), 0);
    assert_in_range(block(f, &f->disk[0], false, data, 16), 5, 6);
    assert_int_equal(rig_mismatches(0, 100, 16, data), 0);
    assert_int_equal(ide_command(&f->disk[0], IDE_WRITE_MULTIPLE, 200, 16, false), 0);
    memcpy(f->shadow[0] + 200 * 512, data, sizeof(data));
    assert_in_range(block(f, &f->disk[0], true, data, 16), 5, 6);
    assert_int_equal(ide_wait_idle(&f->disk[0]), 0);

    uint64_t answered, declined;
    peer_bufpio_counters(f->peer, &answered, &declined);
    assert_int_equal(counted(f, "bufpio", "answered"), answered);
    assert_int_equal(counted(f, "bufpio", "bytes"), answered * 2);
    assert_int_equal(counted(f, "bufpio", "rejected"), 0);
    assert_int_equal(counted(f, "bufpio", "inside"), 0);
    assert_true(counted(f, "bufpio", "refills") >= counted(f, "bufpio", "take_outs"));
}

static void switched_off_every_access_is_a_request(void **state)
{
    struct fixture *f = *state;
    uint8_t data[512];
    uint64_t answered, declined;

    assert_false(has_buffered_pio(f));
    assert_false(peer_has_feature(f->peer, HV_SHM_FEATURE_BUFFERED_PIO));
    assert_int_equal(ide_command(&f->disk[0], IDE_READ_SECTORS, 3, 1, false), 0);
    assert_int_equal(block(f, &f->disk[0], false, data, 1), 256);
    assert_int_equal(rig_mismatches(0, 3, 1, data), 0);
    peer_bufpio_counters(f->peer, &answered, &declined);
    assert_int_equal(answered, 0);
}

static void strings_are_not_slowed_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 50; i++) {
        enum ide_pio how = i % 2 ? IDE_PIO_REP32 : IDE_PIO_REP16;

        assert_int_equal(ide_pio_read(&f->disk[0], how, i * 7, 5, BUF(0)), 0);
        assert_int_equal(rig_mismatches(0, i * 7, 5, peer_ram(f->peer, BUF(0), 5 * 512)), 0);
    }
    /* Nothing was published: the requests cost what they cost without the page. */
    assert_int_equal(counted(f, "bufpio", "refills"), 0);
}

/* A CMD646 in PCI native mode: its data ports are wherever its BARs are, and move with them. */
static void a_native_controllers_ports_have_entries_of_their_own(void **state)
{
    struct fixture *f = *state;
    uint64_t answered = 0, before, declined;
    struct ide disk[2];
    struct peer *peer;

    rig_guest_more(&f->rig, "second",
                   "{\"vdev\": \"hda\", \"format\": \"mem\", \"size\": \"1M\"},"
                   "{\"vdev\": \"hdc\", \"format\": \"mem\", \"size\": \"1M\"}",
                   "\"role\": \"secondary\"");
    peer = rig_peer(&f->rig, "second", 1, RAM);
    for (uint16_t base = 0xc100; base < 0xc300; base = (uint16_t)(base + 0x100)) {
        for (unsigned bar = 0; bar < 5; bar++)
            peer_pci_write(peer, 0, 30 << 3, 0x10 + 4 * bar, 4, 0);
        for (unsigned i = 0; i < 2; i++) {
            uint8_t *ram = peer_ram(peer, BUF(0), 8 * 512);

            assert_int_equal(ide_init_native(&disk[i], peer, 0, 30, base, i, 0, PRD), 0);
            assert_int_equal(disk[i].cmd, base + 16 * i);
            rig_fill(base + i, 0, 8, ram);
            before = answered;
            assert_int_equal(ide_pio_write(&disk[i], IDE_PIO_LOOP16, 4, 8, BUF(0)), 0);
            memset(ram, 0, 8 * 512);
            assert_int_equal(ide_pio_read(&disk[i], IDE_PIO_LOOP32, 4, 8, BUF(0)), 0);
            assert_int_equal(rig_mismatches(base + i, 0, 8, ram), 0);
            peer_bufpio_counters(peer, &answered, &declined);
            assert_in_range(answered - before, 8 * (254 + 126), 8 * (256 + 128));
        }
    }
    assert_int_equal(bufpio_entries(peer_bufpio_page(peer)->entry[0].port), 4);
    assert_int_equal(peer_error(peer), 0);
    peer_close(peer);
}

/* ---- two vCPUs ------------------------------------------------------------------------------- */

struct job {
    struct fixture *f;
    unsigned vcpu;
    unsigned rounds;
    uint64_t random;
    int rc;
    unsigned wrong;
};

static unsigned pick(struct job *job, unsigned below)
{
    job->random = job->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(job->random >> 33) % below;
}

/* Both drives of one channel, every form, reads and writes, one or many sectors a block. */
static void *channel_thread(void *arg)
{
    struct job *job = arg;
    struct fixture *f = job->f;
    uint8_t *ram = peer_ram(f->peer, BUF(job->vcpu), 40 * 512);

    for (unsigned i = 0; i < job->rounds && job->rc == 0; i++) {
        unsigned index = 2 * job->vcpu + pick(job, 2), count = 1 + pick(job, 36);
        unsigned lba = pick(job, SECTORS - 40);
        enum ide_pio how = (enum ide_pio)pick(job, 4);
        struct ide *ide = &f->disk[index];

        ide->vcpu = job->vcpu;
        if (pick(job, 16) == 0)
            job->rc = ide_set_multiple(ide, 1u << pick(job, 5));
        if (job->rc == 0 && pick(job, 2)) {
            rig_fill(job->random, lba, count, ram);
            memcpy(f->shadow[index] + lba * 512, ram, count * 512);
            job->rc = ide_pio_write(ide, how, lba, count, BUF(job->vcpu));
        } else if (job->rc == 0) {
            job->rc = ide_pio_read(ide, how, lba, count, BUF(job->vcpu));
            job->wrong += memcmp(ram, f->shadow[index] + lba * 512, count * 512) != 0;
        }
    }
    return NULL;
}

static void channels_and_drives_interleave_from_two_vcpus(void **state)
{
    struct fixture *f = *state;
    struct job job[2] = {{f, 0, 60, 1, 0, 0}, {f, 1, 60, 2, 0, 0}};
    pthread_t thread[2];

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, channel_thread, &job[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(job[i].rc, 0);
        assert_int_equal(job[i].wrong, 0);
    }
    assert_int_equal(counted(f, "bufpio", "rejected"), 0);
    assert_in_range(counted(f, "bufpio", "answered"), 10000, 10000000);
}

/* One transfer, moved by two vCPUs word by word: the drive is one, so is its guest's driver. */
struct shared_transfer {
    struct fixture *f;
    bool write;
    unsigned next; /* word, under f->turn */
    uint8_t data[16 * 512];
};

struct shared_job {
    struct shared_transfer *transfer;
    unsigned vcpu;
};

static void *word_thread(void *arg)
{
    const struct shared_job *job = arg;
    struct shared_transfer *t = job->transfer;
    struct fixture *f = t->f;

    for (bool more = true; more;) {
        pthread_mutex_lock(&f->turn);
        more = t->next < 16 * 256;
        if (more) {
            uint32_t value = 0;

            if (t->write) {
                memcpy(&value, t->data + 2 * t->next, 2);
                peer_out(f->peer, job->vcpu, 0x1f0, 2, value);
            } else {
                value = peer_in(f->peer, job->vcpu, 0x1f0, 2);
                memcpy(t->data + 2 * t->next, &value, 2);
            }
            t->next++;
        }
        pthread_mutex_unlock(&f->turn);
    }
    return NULL;
}

static void two_vcpus_move_one_transfer_word_by_word(void **state)
{
    struct fixture *f = *state;
    struct shared_transfer t = {.f = f};
    struct shared_job job[2] = {{&t, 0}, {&t, 1}};

    assert_int_equal(ide_set_multiple(&f->disk[0], 16), 0);
    for (unsigned round = 0; round < 8; round++) {
        unsigned lba = round * 20;
        pthread_t thread[2];

        t.write = round & 1;
        t.next = 0;
        if (t.write) {
            rig_fill(round, lba, 16, t.data);
            memcpy(f->shadow[0] + lba * 512, t.data, sizeof(t.data));
        }
        assert_int_equal(ide_command(&f->disk[0], t.write ? IDE_WRITE_MULTIPLE : IDE_READ_MULTIPLE,
                                     lba, 16, false),
                         0);
        assert_int_equal(ide_wait_drq(&f->disk[0]), 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, word_thread, &job[i]), 0);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
        assert_int_equal(ide_wait_idle(&f->disk[0]), 0);
        if (!t.write)
            assert_memory_equal(t.data, f->shadow[0] + lba * 512, sizeof(t.data));
    }
    assert_int_equal(counted(f, "bufpio", "rejected"), 0);
}

/* Two vCPUs at the data port at once, as no driver would: each word goes to one of them. */
static void *greedy_thread(void *arg)
{
    const struct shared_job *job = arg;
    struct shared_transfer *t = job->transfer;

    for (;;) {
        uint32_t value = peer_in(t->f->peer, job->vcpu, 0x1f0, 2);

        if (value == 0xffff) /* the pattern's words of this sector are below */
            break;
        __atomic_fetch_add(&t->data[value & 0x1fff], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void racing_vcpus_get_each_word_once(void **state)
{
    struct fixture *f = *state;
    struct shared_transfer t = {.f = f};
    struct shared_job job[2] = {{&t, 0}, {&t, 1}};
    uint16_t *words = peer_ram(f->peer, BUF(0), 16 * 512);

    assert_int_equal(ide_set_multiple(&f->disk[0], 16), 0);
    for (unsigned i = 0; i < 16 * 256; i++)
        words[i] = (uint16_t)i;
    memcpy(f->shadow[0], words, 16 * 512);
    assert_int_equal(ide_pio_write(&f->disk[0], IDE_PIO_REP16, 0, 16, BUF(0)), 0);
    for (unsigned round = 0; round < 16; round++) {
        pthread_t thread[2];

        memset(t.data, 0, sizeof(t.data));
        assert_int_equal(ide_command(&f->disk[0], IDE_READ_MULTIPLE, 0, 16, false), 0);
        assert_int_equal(ide_wait_drq(&f->disk[0]), 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, greedy_thread, &job[i]), 0);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
        for (unsigned i = 0; i < 16 * 256; i++)
            if (t.data[i] != 1)
                fail_msg("round %u: word %u was given %u times", round, i, t.data[i]);
    }
    assert_int_equal(counted(f, "bufpio", "rejected"), 0);
}

/* ---- aborts ---------------------------------------------------------------------------------- */

static void reattach(struct fixture *f, bool by_daemon)
{
    char error[256];

    if (by_daemon) {
        json_t *result = rig_call(&f->rig, "detach", "{\"name\": \"guest\"}", error);

        if (!result)
            fail_msg("detach: %s", error);
        json_decref(result);
    }
    peer_close(f->peer);
    rig_wait_guests(&f->rig, 0, 10000);
    connect_guest(f, "guest", 2);
}

/* Begins something, moves some words of it, and leaves it in one of five ways. Then what the disks
 * hold is what whole commands wrote. */
static void transfers_are_left_ten_thousand_times(void **state)
{
    struct fixture *f = *state;
    struct job job = {.f = f, .random = 3};
    unsigned left[5] = {0};

    for (unsigned i = 0; i < ABORTS; i++) {
        unsigned index = pick(&job, DISKS), lba = pick(&job, SECTORS - 8), way;
        unsigned count = 1 + pick(&job, 4), words = 1 + pick(&job, 255),
                 size = pick(&job, 2) ? 2 : 4;
        bool write = pick(&job, 2);
        struct ide *ide = &f->disk[index];
        uint8_t sector[512];

        assert_int_equal(
            ide_command(ide, write ? IDE_WRITE_SECTORS : IDE_READ_SECTORS, lba, count, false), 0);
        assert_int_equal(ide_wait_drq(ide), 0);
        for (unsigned at = 0; at + size <= 2 * words; at += size) {
            uint32_t value = pick(&job, 1u << 30);

            if (write) {
                peer_out(f->peer, 0, ide->cmd, size, value);
            } else {
                value = peer_in(f->peer, 0, ide->cmd, size);
                if (memcmp(&value, f->shadow[index] + lba * 512 + at, size))
                    fail_msg("abort %u: a wrong word at %u of sector %u", i, at, lba);
            }
        }
        way = pick(&job, 100);
        way = way < 2 ? 3 + (way & 1) : way % 3;
        left[way]++;
        if (way == 0) { /* reset */
            assert_int_equal(ide_soft_reset(ide), 0);
        } else if (way == 1) { /* the other drive, then a reset that hits both */
            peer_out(f->peer, 0, (uint16_t)(ide->cmd + 6), 1, 0xa0 | !ide->drive << 4);
            peer_in(f->peer, 0, ide->cmd, 2);
            assert_int_equal(ide_soft_reset(ide), 0);
        } else if (way == 2) { /* a reset by another vCPU, without a look at the status */
            peer_out(f->peer, 1, ide->ctl, 1, 4);
            peer_out(f->peer, 1, ide->ctl, 1, 0);
        } else {
            reattach(f, way == 4);
        }
        if (i % 16)
            continue;
        assert_int_equal(ide_pio_read(&f->disk[index], IDE_PIO_LOOP16, lba, 1, BUF(0)), 0);
        memcpy(sector, peer_ram(f->peer, BUF(0), 512), 512);
        assert_memory_equal(sector, f->shadow[index] + lba * 512, 512);
    }
    for (unsigned way = 0; way < 5; way++)
        assert_true(left[way] >= 50);
    assert_int_equal(counted(f, "bufpio", "rejected"), 0);
}

/* ---- a hostile page -------------------------------------------------------------------------- */

struct scribbler {
    struct bufpio_page *page;
    bool stop;
};

static void *scribble(void *arg)
{
    struct scribbler *s = arg;
    uint64_t random = 88172645463325252u, *words = (uint64_t *)(void *)s->page;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        __atomic_store_n(&words[random % 3 ? random / 4 % 6 : random / 4 % 512],
                         random & 64 ? random : random % 600 << 32 | 48, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void a_page_full_of_lies_harms_its_own_guest_only(void **state)
{
    struct fixture *f = *state;
    struct scribbler s = {.page = peer_bufpio_page(f->peer)};
    struct peer *other;
    struct ide disk;
    pthread_t thread;

    rig_guest(&f->rig, "other", "{\"vdev\": \"hda\", \"format\": \"mem\", \"size\": \"1M\"}");
    other = rig_peer(&f->rig, "other", 1, RAM);
    assert_int_equal(ide_init(&disk, other, 0, 0, 0, PRD), 0);
    assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
    for (unsigned i = 0; i < 120; i++) {
        struct ide *ide = &f->disk[i % DISKS];
        uint8_t *ram = peer_ram(other, BUF(0), 8 * 512);

        /* Reads only: what a guest with such a hypervisor writes is anybody's guess. */
        ide_command(ide, IDE_READ_SECTORS, i, 4, false);
        for (unsigned word = 0; word < 4 * 256 + 20; word++)
            peer_in(f->peer, 0, ide->cmd, word % 3 ? 2 : 4);
        peer_out(f->peer, 0, ide->ctl, 1, 4);
        peer_out(f->peer, 0, ide->ctl, 1, 0);
        rig_fill(i, 0, 8, ram);
        assert_int_equal(ide_pio_write(&disk, IDE_PIO_LOOP16, 8 * (i % 200), 8, BUF(0)), 0);
        memset(ram, 0, 8 * 512);
        assert_int_equal(ide_pio_read(&disk, IDE_PIO_LOOP32, 8 * (i % 200), 8, BUF(0)), 0);
        assert_int_equal(rig_mismatches(i, 0, 8, ram), 0);
    }
    __atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_true(counted(f, "bufpio", "rejected") > 0);
    assert_int_equal(peer_error(other), 0);
    peer_close(other);
    /* And the guest itself, when its page is left alone. */
    memset(s.page, 0, sizeof(*s.page));
    reattach(f, false);
    assert_int_equal(ide_pio_read(&f->disk[0], IDE_PIO_LOOP16, 5, 3, BUF(0)), 0);
    assert_int_equal(rig_mismatches(0, 5, 3, peer_ram(f->peer, BUF(0), 3 * 512)), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_sectors_256_requests_become_two_or_fewer),
        cmocka_unit_test_setup_teardown(switched_off_every_access_is_a_request, setup_off,
                                        teardown),
        CASE(strings_are_not_slowed_down),
        CASE(a_native_controllers_ports_have_entries_of_their_own),
        CASE(channels_and_drives_interleave_from_two_vcpus),
        CASE(two_vcpus_move_one_transfer_word_by_word),
        CASE(racing_vcpus_get_each_word_once),
        CASE(transfers_are_left_ten_thousand_times),
        CASE(a_page_full_of_lies_harms_its_own_guest_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
