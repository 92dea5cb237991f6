// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Guests that do their worst to the shipped daemon, while another guest works beside them on the
 * same worker and must notice nothing. Named after classes of mistakes where there is one.
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
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/shm/rig.h"

#define RAM     (8u << 20)
#define SECTORS 16384u
#define VCPUS   8u

struct fixture {
    struct rig rig;
    char image[RIG_PATH], other_image[RIG_PATH];
    struct peer *bad, *good;
    pthread_t thread;
    bool stop;
    unsigned rounds, wrong; /* of the good guest */
    double worst;           /* seconds for one round */
    int rc;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The good guest: writes, reads, compares until it is told to stop. */
static void *good_thread(void *arg)
{
    struct fixture *f = arg;
    uint8_t *ram = peer_ram(f->good, 0x100000, 128 * 512);
    struct ide disk;

    f->rc = ide_init(&disk, f->good, 0, 0, 0, 0x1000);
    for (unsigned i = 0; f->rc == 0 && !__atomic_load_n(&f->stop, __ATOMIC_RELAXED); i++) {
        uint64_t lba = i * 130 % (SECTORS - 200);
        double start = now(), took;

        rig_fill(i, lba, 128, ram);
        f->rc = ide_dma_write(&disk, lba, 128, 0x100000);
        memset(ram, 0, 128 * 512);
        if (f->rc == 0)
            f->rc = ide_dma_read(&disk, lba, 128, 0x100000);
        f->wrong += rig_mismatches(i, lba, 128, ram);
        if (f->rc == 0)
            f->rc = ide_pio_read(&disk, IDE_PIO_REP16, lba, 2, 0x100000);
        f->wrong += rig_mismatches(i, lba, 2, ram);
        took = now() - start;
        f->worst = took > f->worst ? took : f->worst;
        __atomic_fetch_add(&f->rounds, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char disks[3 * RIG_PATH];

    rig_start(&f->rig, "\"workers\": 1"); /* so that they share it */
    rig_image(&f->rig, "bad.img", SECTORS, f->image);
    rig_image(&f->rig, "good.img", SECTORS, f->other_image);
    snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", f->image);
    rig_guest(&f->rig, "bad", disks);
    snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", f->other_image);
    rig_guest(&f->rig, "good", disks);
    f->bad = rig_peer(&f->rig, "bad", VCPUS, RAM);
    f->good = rig_peer(&f->rig, "good", 1, RAM);
    pthread_create(&f->thread, NULL, good_thread, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status;

    for (int i = 0; i < 5000 && __atomic_load_n(&f->rounds, __ATOMIC_RELAXED) < 3; i++)
        usleep(1000);
    __atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
    pthread_join(f->thread, NULL);
    peer_close(f->bad);
    peer_close(f->good);
    status = rig_stop(&f->rig);
    print_message("             the other guest: %u rounds, the slowest %.1f ms\n", f->rounds,
                  f->worst * 1e3);
    assert_int_equal(f->rc, 0);
    assert_int_equal(f->wrong, 0);
    assert_true(f->rounds >= 3);
    assert_true(f->worst < 10);
    assert_int_equal(status, 0);
    free(f);
    return 0;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* XSA-197, XSA-199, XSA-262: double fetches, ports above 16 bits, illegal states. */
static void garbage_in_the_shared_pages(void **state)
{
    struct fixture *f = *state;
    uint8_t *pages = (uint8_t *)peer_slot(f->bad, 0);
    uint64_t seed = 0x123456789abcdefull;
    double end = now() + 1.5;

    while (now() < end) {
        for (unsigned i = 0; i < 400; i++) {
            uint64_t r = next_random(&seed);

            /* slots and ring; of the others everything as well */
            memcpy(pages + r % (5 * 4096 - 8), &seed, 1 + (r >> 32) % 8);
        }
        for (unsigned v = 0; v < VCPUS; v++) {
            struct ioreq_slot *slot = peer_slot(f->bad, v);

            slot->flags = (uint8_t)((next_random(&seed) & 0xf0) | IOREQ_STATE_READY);
            peer_kick(f->bad, v);
        }
    }
}

/* Requests that are well-formed but for one field at a time, and each is answered. */
static void one_wrong_field_at_a_time_is_answered(void **state)
{
    static const struct ioreq_slot wrong[] = {
        {.addr = 0x10000, .size = 1, .count = 1, .flags = IOREQ_READ},
        {.addr = UINT64_MAX, .size = 4, .count = 1, .flags = IOREQ_READ},
        {.addr = 0x1f0, .size = 0, .count = 1, .flags = IOREQ_READ},
        {.addr = 0x1f0, .size = 3, .count = 1, .flags = IOREQ_READ},
        {.addr = 0x1f0, .size = 8, .count = 1, .flags = IOREQ_READ},
        {.addr = 0x1f0, .size = UINT32_MAX, .count = 1, .flags = IOREQ_READ},
        {.addr = 0x1f0, .size = 2, .count = 0, .flags = IOREQ_READ | IOREQ_DATA_IS_PTR},
        {.addr = 0x1f0, .size = 2, .count = 4097, .flags = IOREQ_READ | IOREQ_DATA_IS_PTR},
        {.addr = 0x1f0, .size = 2, .count = UINT32_MAX, .flags = IOREQ_READ | IOREQ_DATA_IS_PTR},
        {.addr = 0x1f0, .size = 2, .count = 256, .flags = 0x30, .data = UINT64_MAX - 100},
        {.addr = 0x1f0, .size = 2, .count = 4096, .flags = 0x70, .data = 0},
        {.addr = 0x1f0, .size = 4, .count = 4096, .flags = 0x30, .data = RAM - 100},
        {.addr = 0xf0000000, .size = 8, .count = 4096, .flags = 0x30, .type = IOREQ_COPY},
        {.addr = 0, .size = 4, .count = 1, .flags = IOREQ_READ, .type = 3},
        {.addr = 0, .size = 4, .count = 1, .flags = IOREQ_READ, .type = 255},
        {.addr = UINT64_MAX, .size = 4, .count = 1, .flags = IOREQ_READ, .type = IOREQ_PCI_CONFIG},
        {.addr = 0x900000000 | 0xffff, .size = 2, .count = 1, .flags = 0, .type = IOREQ_PCI_CONFIG},
        {.addr = 0, .size = 0, .count = 0, .flags = 0, .type = IOREQ_INVALIDATE},
        {.addr = 0, .size = 8, .count = 1, .flags = 0, .type = IOREQ_TIMEOFFSET},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        *peer_slot(f->bad, 0) = wrong[i];
        peer_issue(f->bad, 0);
        assert_int_equal(peer_error(f->bad), 0);
        assert_int_equal(peer_slot(f->bad, 0)->vp_eport, wrong[i].vp_eport);
    }
    assert_int_equal(peer_pci_read(f->bad, 0, 0, 0, 4), 0x12378086);
}

/* Every port that the machine answers, with everything. */
static void random_port_accesses(void **state)
{
    static const uint16_t ports[] = {0x1f0, 0x1f1, 0x1f2,  0x1f3,  0x1f4,  0x1f5,  0x1f6,
                                     0x1f7, 0x3f6, 0x170,  0x177,  0x376,  0x60,   0x64,
                                     0x70,  0x71,  0x3f8,  0x3fb,  0xc000, 0xc002, 0xc004,
                                     0xcf8, 0xcfc, 0xafe0, 0xaf00, 0x10};
    struct fixture *f = *state;
    uint64_t seed = 42;
    double end = now() + 1.5;
    struct ide disk;

    assert_int_equal(ide_init(&disk, f->bad, 0, 0, 0, 0x1000), 0);
    while (now() < end) {
        for (unsigned i = 0; i < 100; i++) {
            uint64_t r = next_random(&seed);
            uint16_t port = ports[r % (sizeof(ports) / sizeof(ports[0]))];
            unsigned size = 1u << (r >> 16) % 3;

            if (port == 0x64 && (r >> 32 & 0xf0) == 0xf0)
                continue; /* would switch it off */
            switch (r >> 24 & 3) {
            case 0:
                peer_in(f->bad, 0, port, size);
                break;
            case 1:
                peer_out(f->bad, 0, port, size, (uint32_t)(r >> 32));
                break;
            case 2:
                peer_rep_in(f->bad, 0, port, size, r >> 32 & 0x7fffff, r >> 8 & 0x1ff, r >> 63);
                break;
            case 3:
                peer_rep_out(f->bad, 0, port, size, r >> 32 & 0x7fffff, r >> 8 & 0x1ff, r >> 63);
                break;
            }
        }
    }
    assert_int_equal(peer_error(f->bad), 0);
}

/* CVE-2014-9718: tables without one whole sector, without end, that point at themselves. */
static void prd_tables_of_every_bad_kind(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = 7;
    struct ide disk;

    assert_int_equal(ide_init(&disk, f->bad, 0, 0, 0, 0x10000), 0);
    for (unsigned i = 0; i < 60; i++) {
        uint32_t *table = peer_ram(f->bad, 0x10000, 65536);
        struct ide_prd prd = {0x100000, 2};

        for (unsigned e = 0; e < 8192; e++) {
            uint64_t r = next_random(&seed);

            table[2 * e] = i % 3 ? (uint32_t)r & 0x7ffffe : 0x10000;
            table[2 * e + 1] = i % 4 ? 2 : (uint32_t)(r >> 32) & 0xffff;
        }
        ide_dma_start(&disk, i & 1, 0, 256, &prd, i % 5 == 0 ? 0 : 1);
        if (i % 2)
            usleep(1000);
        peer_out(f->bad, 0, disk.bm, 1, 0);
        assert_int_equal(ide_soft_reset(&disk), 0);
    }
    assert_int_equal(ide_pio_read(&disk, IDE_PIO_REP16, 9000, 1, 0x200000), 0);
    assert_int_equal(rig_mismatches(0, 9000, 1, peer_ram(f->bad, 0x200000, 512)), 0);
}

/* (starvation, 2024): a ring that is never empty, and vCPUs that never stop. */
struct hammer {
    struct fixture *f;
    unsigned vcpu;
    double end;
};

static void *hammer_thread(void *arg)
{
    struct hammer *h = arg;

    while (now() < h->end && !peer_error(h->f->bad)) {
        for (unsigned i = 0; i < 50; i++)
            peer_rep_in(h->f->bad, h->vcpu, 0x3f6, 1, 0x200000 + h->vcpu * 4096, 4096, false);
        for (unsigned i = 0; i < 600 && h->vcpu == 0; i++)
            peer_buffered_write(h->f->bad, IOREQ_PIO, 0x80, 1, i);
    }
    return NULL;
}

static void a_guest_that_never_stops_leaves_room_for_others(void **state)
{
    struct fixture *f = *state;
    struct hammer hammer[4];
    pthread_t thread[4];

    for (unsigned i = 0; i < 4; i++) {
        hammer[i] = (struct hammer){f, i, now() + 1.5};
        pthread_create(&thread[i], NULL, hammer_thread, &hammer[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(peer_error(f->bad), 0);
}

/* RAM that comes and goes under DMA. */
static void memory_removed_while_the_disk_writes_into_it(void **state)
{
    struct fixture *f = *state;
    struct ide disk;

    assert_int_equal(ide_init(&disk, f->bad, 0, 0, 0, 0x1000), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct ide_prd prd[2] = {{0x40000000, 0}, {0x40010000, 0}}; /* 64 KiB each */
        uint32_t before = peer_isa_rises(f->bad, 14);

        assert_int_equal(peer_memory_add(f->bad, 0x40000000, 1 << 20), 0);
        ide_dma_start(&disk, i & 1, i, 256, prd, 2);
        if (i % 3 == 0)
            madvise(peer_ram(f->bad, 0x40000000, 1 << 20), 1 << 20, MADV_REMOVE);
        assert_int_equal(peer_memory_remove(f->bad, 0x40000000), 0);
        assert_int_equal(ide_dma_finish(&disk, before), 0);
    }
}

/* XSA-180: what a guest does wrong is logged under a rate limit. */
static void mistakes_do_not_fill_the_log(void **state)
{
    struct fixture *f = *state;
    char *log;

    for (unsigned i = 0; i < 5000; i++) {
        *peer_slot(f->bad, 0) =
            (struct ioreq_slot){.addr = 0x1f0, .size = 3, .count = 1, .flags = IOREQ_READ};
        peer_issue(f->bad, 0);
        peer_out(f->bad, 0, 0x1f7, 1, 0xff); /* no such command */
    }
    assert_int_equal(peer_error(f->bad), 0);
    log = rig_log(&f->rig);
    assert_true(strlen(log) < 64 * 1024);
    free(log);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(garbage_in_the_shared_pages),
        CASE(one_wrong_field_at_a_time_is_answered),
        CASE(random_port_accesses),
        CASE(prd_tables_of_every_bad_kind),
        CASE(a_guest_that_never_stops_leaves_room_for_others),
        CASE(memory_removed_while_the_disk_writes_into_it),
        CASE(mistakes_do_not_fill_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
