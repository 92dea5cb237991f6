// SPDX-License-Identifier: GPL-2.0-or-later
/* A simulated guest's CD-ROM drive through the shipped daemon: data, and media that change. */
#include <errno.h>
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

#define RAM    (16u << 20)
#define BLOCKS 5000u
#define PRD    0x1000u
#define BUF    0x100000u
#define CHECK  (-1)

struct fixture {
    struct rig rig;
    char hda[RIG_PATH], a[RIG_PATH], b[RIG_PATH];
    struct peer *peer;
    struct ide cd;
    uint8_t *ram;
    uint8_t reply[4096];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char disks[4 * RIG_PATH];

    rig_start(&f->rig, "\"workers\": 1");
    rig_image(&f->rig, "hda.img", 4096, f->hda);
    rig_image(&f->rig, "a.iso", BLOCKS * 4, f->a);
    rig_image(&f->rig, "b.iso", 400, f->b);
    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"path\": \"%s\"},"
             "{\"vdev\": \"hdc\", \"type\": \"cdrom\", \"path\": \"%s\"}",
             f->hda, f->a);
    rig_guest(&f->rig, "guest", disks);
    f->peer = rig_peer(&f->rig, "guest", 1, RAM);
    f->ram = peer_ram(f->peer, 0, RAM);
    assert_int_equal(ide_init(&f->cd, f->peer, 0, 1, 0, PRD), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int error = peer_error(f->peer), status;

    peer_close(f->peer);
    status = rig_stop(&f->rig);
    free(f);
    return error || status;
}

static uint8_t in8(struct fixture *f, unsigned reg)
{
    return (uint8_t)peer_in(f->peer, 0, (uint16_t)(f->cd.cmd + reg), 1);
}

static void out8(struct fixture *f, unsigned reg, unsigned value)
{
    peer_out(f->peer, 0, (uint16_t)(f->cd.cmd + reg), 1, value);
}

static void send_packet(struct fixture *f, const uint8_t cdb[12], unsigned features, unsigned limit)
{
    out8(f, 6, 0xa0);
    out8(f, 1, features);
    out8(f, 4, limit & 0xff);
    out8(f, 5, limit >> 8);
    out8(f, 7, 0xa0);
    assert_int_equal(ide_wait_drq(&f->cd), 0);
    for (unsigned i = 0; i < 12; i += 2)
        peer_out(f->peer, 0, f->cd.cmd, 2, cdb[i] | (uint32_t)cdb[i + 1] << 8);
}

/* Waits until the drive is not busy; Status. */
static uint8_t idle(struct fixture *f)
{
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t status = (uint8_t)peer_in(f->peer, 0, f->cd.ctl, 1);

        if (!(status & IDE_BSY))
            return status;
        usleep(100);
    }
    fail_msg("the drive stays busy");
    return 0;
}

/* By PIO, strings of words to guest memory. How many bytes came to BUF, or CHECK. */
static int packet(struct fixture *f, unsigned limit, const uint8_t cdb[12])
{
    uint32_t at = 0;
    uint8_t status;

    send_packet(f, cdb, 0, limit);
    while ((status = idle(f)) & IDE_DRQ) {
        unsigned n = in8(f, 4) | (unsigned)in8(f, 5) << 8;

        assert_true(n && n % 2 == 0 && n <= limit);
        assert_int_equal(in8(f, 2), 2);
        for (unsigned left = n / 2; left;) { /* to the end of a page, as hypervisors cut it */
            unsigned count = (4096 - (BUF + at) % 4096) / 2;

            count = count < left ? count : left;
            peer_rep_in(f->peer, 0, f->cd.cmd, 2, BUF + at, count, false);
            at += 2 * count;
            left -= count;
        }
    }
    assert_int_equal(in8(f, 2), 3);
    in8(f, 7);
    return status & IDE_ERR ? CHECK : (int)at;
}

#define CDB(...) ((const uint8_t[12]){__VA_ARGS__})

static unsigned sense(struct fixture *f)
{
    assert_int_equal(packet(f, 0xfffe, CDB(0x03, [4] = 18)), 18);
    const uint8_t *bytes = f->ram + BUF;
    return (unsigned)bytes[2] << 16 | (unsigned)bytes[12] << 8 | bytes[13];
}

static void the_drive_is_found_and_read_by_pio(void **state)
{
    struct fixture *f = *state;
    static const unsigned limits[] = {2048, 3000, 0xfffe};

    ide_soft_reset(&f->cd);
    assert_int_equal(in8(f, 4), 0x14);
    assert_int_equal(in8(f, 5), 0xeb);
    assert_int_equal(sense(f), 0x062900);
    assert_int_equal(packet(f, 0xfffe, CDB(0x12, [4] = 36)), 36);
    assert_memory_equal(f->ram + BUF + 8, "ioemud  DVD-ROM", 15);
    assert_int_equal(packet(f, 0xfffe, CDB(0x25)), 8);
    assert_int_equal(f->ram[BUF + 2] << 8 | f->ram[BUF + 3], BLOCKS - 1);
    for (unsigned i = 0; i < 3; i++) {
        memset(f->ram + BUF, 0, 70 * 2048);
        assert_int_equal(packet(f, limits[i], CDB(0x28, [4] = 2, [8] = 70)), 70 * 2048);
        assert_int_equal(rig_mismatches(0, 512 * 4, 70 * 4, f->ram + BUF), 0);
    }
}

static void dma_reads_what_is_there(void **state)
{
    struct fixture *f = *state;
    uint32_t *table = (uint32_t *)(f->ram + PRD);

    sense(f);
    for (unsigned i = 0; i < 20; i++)
        table[2 * i] = BUF + 0x10000 * i, table[2 * i + 1] = i == 19 ? 0x80000000u : 0;
    peer_out(f->peer, 0, (uint16_t)(f->cd.bm + 4), 4, PRD);
    peer_out(f->peer, 0, f->cd.bm, 1, 8);
    peer_out(f->peer, 0, (uint16_t)(f->cd.bm + 2), 1, 6);
    uint32_t before = peer_isa_rises(f->peer, 15);
    send_packet(f, CDB(0xa8, [4] = 1, [8] = 2, [9] = 0x80), 1, 0);
    peer_out(f->peer, 0, f->cd.bm, 1, 9);
    assert_int_equal(peer_wait_isa(f->peer, 15, before), 0);
    peer_out(f->peer, 0, f->cd.bm, 1, 0);
    assert_int_equal(in8(f, 7) & (IDE_BSY | IDE_ERR | IDE_DRQ), 0);
    assert_int_equal(rig_mismatches(0, 256 * 4, 640 * 4, f->ram + BUF), 0);
}

static char *params_of(const char *path, bool force)
{
    static char params[2 * RIG_PATH];

    snprintf(
        params, sizeof(params), "{\"name\": \"guest\", \"vdev\": \"hdc\", \"force\": %s%s%s%s}",
        force ? "true" : "false", path ? ", \"path\": \"" : "", path ? path : "", path ? "\"" : "");
    return params;
}

static void call(struct fixture *f, const char *method, const char *path, bool force,
                 const char *word)
{
    char error[256];
    json_t *result = rig_call(&f->rig, method, params_of(path, force), error);

    if (!word && !result)
        fail_msg("%s", error);
    if (word && !strstr(error, word))
        fail_msg("\"%s\" is not in \"%s\"", word, error);
    json_decref(result);
}

static void a_media_change_is_noticed(void **state)
{
    struct fixture *f = *state;
    unsigned descriptors;

    sense(f);
    call(f, "list", NULL, false, NULL);
    descriptors = rig_descriptors(&f->rig);
    call(f, "eject", NULL, false, NULL);
    assert_int_equal(packet(f, 2048, CDB(0x00)), CHECK);
    assert_int_equal(sense(f), 0x023a02);
    call(f, "insert", f->b, false, NULL);
    assert_int_equal(packet(f, 2048, CDB(0x00)), CHECK);
    assert_int_equal(sense(f), 0x062800);
    assert_int_equal(packet(f, 2048, CDB(0x28, [5] = 99, [8] = 1)), 2048);
    assert_int_equal(rig_mismatches(0, 99 * 4, 4, f->ram + BUF), 0);
    assert_int_equal(packet(f, 2048, CDB(0x28, [5] = 100, [8] = 1)), CHECK);
    assert_int_equal(sense(f), 0x052100);
    for (unsigned i = 0; i < 10; i++) { /* without taking it out first */
        call(f, "insert", i % 2 ? f->b : f->a, false, NULL);
        assert_int_equal(packet(f, 2048, CDB(0x4a, 1, [4] = 0x10, [8] = 8)), 8);
        assert_int_equal(f->ram[BUF + 4], 2);
        assert_int_equal(f->ram[BUF + 5], 2);
    }
    assert_true(rig_wait_descriptors(&f->rig, descriptors, 2000));
    call(f, "insert", f->hda, false, "in use");
    call(f, "insert", "/nothing", false, "/nothing");
}

static void a_locked_tray_is_opened_by_force_only(void **state)
{
    struct fixture *f = *state;

    sense(f);
    assert_int_equal(packet(f, 2048, CDB(0x1e, [4] = 1)), 0);
    call(f, "eject", NULL, false, "locked the tray of hdc");
    call(f, "insert", f->b, false, "locked the tray of hdc");
    assert_int_equal(packet(f, 2048, CDB(0x4a, 1, [4] = 0x10, [8] = 8)), 8);
    assert_int_equal(f->ram[BUF + 4], 1); /* the guest is asked to */
    assert_int_equal(packet(f, 2048, CDB(0x28, [8] = 1)), 2048);
    call(f, "eject", NULL, true, NULL);
    assert_int_equal(packet(f, 2048, CDB(0x28, [8] = 1)), CHECK);
    assert_int_equal(sense(f), 0x023a02);
    call(f, "insert", f->b, false, NULL); /* into an open tray */
}

/* The hypervisor answers single accesses from a page of its own; what it has of the block is void
 * when the medium is gone. */
static void a_forced_eject_ends_a_block_that_the_hypervisor_hands_out(void **state)
{
    struct fixture *f = *state;
    uint64_t answered, declined;

    sense(f);
    assert_true(peer_has_feature(f->peer, HV_SHM_FEATURE_BUFFERED_PIO));
    send_packet(f, CDB(0x28, [5] = 3, [8] = 2), 0, 2048);
    assert_true(idle(f) & IDE_DRQ);
    for (unsigned i = 0; i < 100; i++)
        peer_in(f->peer, 0, f->cd.cmd, 2);
    peer_bufpio_counters(f->peer, &answered, &declined);
    assert_true(answered >= 90);
    call(f, "eject", NULL, true, NULL);
    assert_int_equal(peer_in(f->peer, 0, f->cd.cmd, 2), 0xffff);
    assert_false(idle(f) & IDE_DRQ);
}

/* Requests are in flight whenever the medium goes; the guest reads on and never sees the one's data
 * as the other's. */
static void media_change_under_load(void **state)
{
    struct fixture *f = *state;
    unsigned good = 0, noticed = 0;

    sense(f);
    for (unsigned i = 0; i < 60; i++) {
        if (i % 3 == 1)
            call(f, "eject", NULL, true, NULL);
        if (i % 3 == 2)
            call(f, "insert", i % 2 ? f->a : f->b, true, NULL);
        if (packet(f, 0xfffe, CDB(0x28, [5] = (uint8_t)i, [8] = 30)) == CHECK) {
            noticed++;
            sense(f);
            continue;
        }
        good++;
        assert_int_equal(rig_mismatches(0, i * 4, 30 * 4, f->ram + BUF), 0);
    }
    assert_true(good >= 10 && noticed >= 30);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_drive_is_found_and_read_by_pio),
        CASE(dma_reads_what_is_there),
        CASE(a_media_change_is_noticed),
        CASE(a_locked_tray_is_opened_by_force_only),
        CASE(a_forced_eject_ends_a_block_that_the_hypervisor_hands_out),
        CASE(media_change_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
