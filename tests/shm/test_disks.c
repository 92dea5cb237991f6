// SPDX-License-Identifier: GPL-2.0-or-later
/* A simulated guest's disks through the shipped daemon, byte by byte. */
#include <errno.h>
#include <fcntl.h>
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

#define RAM     (16u << 20)
#define SECTORS 32768u
#define PRD     0x1000u
#define BUF     0x100000u
#define BUF2    0x400000u

struct fixture {
    struct rig rig;
    char hda[RIG_PATH], hdc[RIG_PATH], ro[RIG_PATH];
    struct peer *peer;
    struct ide disk;
    uint8_t *ram;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char disks[4 * RIG_PATH];

    rig_start(&f->rig, "\"workers\": 1");
    rig_image(&f->rig, "hda.img", SECTORS, f->hda);
    rig_image(&f->rig, "hdc.img", SECTORS, f->hdc);
    rig_image(&f->rig, "ro.img", 1000, f->ro);
    snprintf(disks, sizeof(disks),
             "{\"vdev\": \"hda\", \"path\": \"%s\"},"
             "{\"vdev\": \"hdc\", \"path\": \"%s\", \"direct\": false},"
             "{\"vdev\": \"hdd\", \"path\": \"%s\", \"read_only\": true}",
             f->hda, f->hdc, f->ro);
    rig_guest(&f->rig, "guest", disks);
    f->peer = rig_peer(&f->rig, "guest", 1, RAM);
    f->ram = peer_ram(f->peer, 0, RAM);
    assert_int_equal(ide_init(&f->disk, f->peer, 0, 0, 0, PRD), 0);
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
    assert_int_equal(error, 0);
    assert_int_equal(status, 0);
    return 0;
}

/* What the image holds, read beside the daemon. */
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

static void identify_tells_the_images_size(void **state)
{
    struct fixture *f = *state;
    uint16_t words[256];

    assert_int_equal(ide_identify(&f->disk, words), 0);
    assert_int_equal(ide_capacity(words), SECTORS);
}

static void pio_reads_and_writes_in_every_form(void **state)
{
    struct fixture *f = *state;
    static const unsigned multiples[] = {0, 2, 16};

    for (unsigned m = 0; m < 3; m++) {
        if (multiples[m])
            assert_int_equal(ide_set_multiple(&f->disk, multiples[m]), 0);
        for (enum ide_pio how = IDE_PIO_LOOP16; how <= IDE_PIO_REP32; how++) {
            uint64_t lba = 100 + m * 1000 + how * 100;
            unsigned count = how >= IDE_PIO_REP16 ? 35 : 5;

            assert_int_equal(ide_pio_read(&f->disk, how, lba, count, BUF), 0);
            assert_int_equal(rig_mismatches(0, lba, count, f->ram + BUF), 0);
            rig_fill(7, lba, count, f->ram + BUF);
            assert_int_equal(ide_pio_write(&f->disk, how, lba, count, BUF), 0);
            assert_int_equal(ide_pio_read(&f->disk, how, lba, count, BUF2), 0);
            assert_int_equal(rig_mismatches(7, lba, count, f->ram + BUF2), 0);
            assert_int_equal(image_mismatches(f->hda, 7, lba, count), 0);
            assert_int_equal(image_mismatches(f->hda, 0, lba + count, 10), 0);
        }
    }
}

static void string_buffers_straddle_pages_at_odd_addresses(void **state)
{
    struct fixture *f = *state;

    for (unsigned odd = 0; odd < 9; odd++) {
        uint64_t gpa = BUF + 0xf00 + odd;

        memset(f->ram + BUF, 0xcc, 0x3000);
        assert_int_equal(
            ide_pio_read(&f->disk, odd & 1 ? IDE_PIO_REP32 : IDE_PIO_REP16, 50 + odd, 8, gpa), 0);
        assert_int_equal(rig_mismatches(0, 50 + odd, 8, f->ram + gpa), 0);
        assert_int_equal(f->ram[gpa - 1], 0xcc);
        assert_int_equal(f->ram[gpa + 8 * 512], 0xcc);
    }
}

static void a_descending_string_arrives_turned_round(void **state)
{
    struct fixture *f = *state;
    uint8_t sector[512];

    assert_int_equal(ide_command(&f->disk, IDE_READ_SECTORS, 77, 1, false), 0);
    assert_int_equal(ide_wait_drq(&f->disk), 0);
    peer_rep_in(f->peer, 0, f->disk.cmd, 2, BUF + 0x1010 + 510, 256, true); /* over a page */
    rig_pattern(0, 77, sector);
    for (unsigned i = 0; i < 256; i++)
        assert_memory_equal(f->ram + BUF + 0x1010 + 510 - 2 * i, sector + 2 * i, 2);
}

static void dma_reads_and_writes(void **state)
{
    struct fixture *f = *state;
    static const unsigned counts[] = {1, 8, 64, 256, 2048};

    for (unsigned i = 0; i < 5; i++) {
        uint64_t lba = 5000 + i * 3;
        unsigned n = counts[i];

        assert_int_equal(ide_dma_read(&f->disk, lba, n, BUF), 0);
        assert_int_equal(rig_mismatches(0, lba, n, f->ram + BUF), 0);
        rig_fill(20 + i, 12000 + lba, n, f->ram + BUF);
        assert_int_equal(ide_dma_write(&f->disk, 12000 + lba, n, BUF), 0);
        assert_int_equal(ide_dma_read(&f->disk, 12000 + lba, n, BUF2), 0);
        assert_int_equal(rig_mismatches(20 + i, 12000 + lba, n, f->ram + BUF2), 0);
        assert_int_equal(image_mismatches(f->hda, 20 + i, 12000 + lba, n), 0);
    }
    assert_int_equal(ide_flush(&f->disk), 0);
}

/* PRDs of odd sizes (the bus master works in words) that straddle pages and lie out of order. */
static void dma_scatters_and_gathers_by_any_table(void **state)
{
    struct fixture *f = *state;
    struct ide_prd prd[64];
    uint8_t expected[64 * 512];
    unsigned n = 0, left = sizeof(expected), at = 0;

    while (left) {
        unsigned bytes = 2 + (n * 370) % 1900 / 2 * 2;

        bytes = bytes > left || n == 63 ? left : bytes;
        prd[n] = (struct ide_prd){.gpa = BUF + (63 - n) * 0x3000 + 0xf00 + (n * 6) % 250,
                                  .bytes = bytes};
        left -= bytes;
        n++;
    }
    rig_fill(0, 900, 64, expected);
    assert_int_equal(ide_dma_prd(&f->disk, false, 900, 64, prd, n), 0);
    for (unsigned i = 0; i < n; at += prd[i++].bytes)
        assert_memory_equal(f->ram + prd[i].gpa, expected + at, prd[i].bytes);

    at = 0;
    rig_fill(9, 2000, 64, expected);
    for (unsigned i = 0; i < n; at += prd[i++].bytes)
        memcpy(f->ram + prd[i].gpa, expected + at, prd[i].bytes);
    assert_int_equal(ide_dma_prd(&f->disk, true, 2000, 64, prd, n), 0);
    assert_int_equal(image_mismatches(f->hda, 9, 2000, 64), 0);
}

static void dma_to_what_is_not_ram_harms_nobody(void **state)
{
    struct fixture *f = *state;
    const struct ide_prd outside[2] = {{0xe0000000, 4096}, {BUF, 4096}};

    assert_int_equal(ide_dma_prd(&f->disk, false, 3000, 16, outside, 2), 0);
    assert_int_equal(rig_mismatches(0, 3008, 8, f->ram + BUF), 0);
    f->disk.prd_gpa = 0xe0000000; /* the table itself: reads as ones, not a good table */
    ide_dma_start(&f->disk, false, 3000, 16, outside, 2);
    f->disk.prd_gpa = PRD;
    assert_int_equal(ide_soft_reset(&f->disk), 0);
    assert_int_equal(ide_dma_read(&f->disk, 3000, 16, BUF), 0);
    assert_int_equal(rig_mismatches(0, 3000, 16, f->ram + BUF), 0);
}

static void a_table_that_is_too_short_leaves_the_drive_usable(void **state)
{
    struct fixture *f = *state;
    const struct ide_prd prd = {BUF, 1024};

    memset(f->ram + BUF, 0, 4096);
    ide_dma_start(&f->disk, false, 100, 8, &prd, 1);
    usleep(100000);
    assert_int_equal(rig_mismatches(0, 100, 2, f->ram + BUF), 0);
    assert_int_equal(f->ram[BUF + 1024], 0);
    peer_out(f->peer, 0, f->disk.bm, 1, 0);
    assert_int_equal(ide_soft_reset(&f->disk), 0);
    assert_int_equal(ide_pio_read(&f->disk, IDE_PIO_REP16, 100, 8, BUF), 0);
    assert_int_equal(rig_mismatches(0, 100, 8, f->ram + BUF), 0);
}

static void beyond_the_end_is_an_error(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ide_pio_read(&f->disk, IDE_PIO_REP16, SECTORS, 1, BUF), -EIO);
    assert_true(f->disk.error & 0x14); /* IDNF or ABRT */
    assert_int_equal(ide_pio_read(&f->disk, IDE_PIO_REP16, SECTORS - 1, 1, BUF), 0);
    assert_int_equal(ide_pio_write(&f->disk, IDE_PIO_REP16, SECTORS - 1, 2, BUF), -EIO);
    assert_int_equal(ide_dma_read(&f->disk, SECTORS - 1, 1, BUF), 0);
    assert_int_equal(rig_mismatches(0, SECTORS - 1, 1, f->ram + BUF), 0);
}

static void absent_and_read_only_drives_behave(void **state)
{
    struct fixture *f = *state;
    struct ide slave, ro;

    assert_int_not_equal(ide_init(&slave, f->peer, 0, 0, 1, PRD + 0x1000)
                             ?: ide_pio_read(&slave, IDE_PIO_REP16, 0, 1, BUF),
                         0);
    assert_int_equal(ide_init(&ro, f->peer, 0, 1, 1, PRD + 0x1000), 0);
    assert_int_equal(ide_pio_read(&ro, IDE_PIO_REP16, 3, 4, BUF), 0);
    assert_int_equal(rig_mismatches(0, 3, 4, f->ram + BUF), 0);
    assert_int_equal(ide_pio_write(&ro, IDE_PIO_REP16, 3, 1, BUF2), -EIO);
    assert_int_equal(image_mismatches(f->ro, 0, 0, 1000), 0);
}

static void channels_are_independent(void **state)
{
    struct fixture *f = *state;
    struct ide second;

    assert_int_equal(ide_init(&second, f->peer, 0, 1, 0, PRD + 0x1000), 0);
    rig_fill(33, 10, 16, f->ram + BUF);
    assert_int_equal(ide_dma_write(&second, 10, 16, BUF), 0);
    assert_int_equal(ide_dma_read(&f->disk, 10, 16, BUF2), 0);
    assert_int_equal(rig_mismatches(0, 10, 16, f->ram + BUF2), 0);
    assert_int_equal(ide_pio_read(&second, IDE_PIO_LOOP16, 10, 2, BUF2), 0);
    assert_int_equal(rig_mismatches(33, 10, 2, f->ram + BUF2), 0);
    assert_int_equal(image_mismatches(f->hdc, 33, 10, 16), 0);
}

static void a_reset_in_mid_transfer_loses_nothing_else(void **state)
{
    struct fixture *f = *state;

    for (unsigned stop = 0; stop < 512; stop += 62) {
        assert_int_equal(ide_command(&f->disk, IDE_WRITE_SECTORS, 600, 4, false), 0);
        assert_int_equal(ide_wait_drq(&f->disk), 0);
        peer_rep_out(f->peer, 0, f->disk.cmd, 2, BUF, stop / 2, false);
        assert_int_equal(ide_soft_reset(&f->disk), 0);
        assert_int_equal(ide_pio_read(&f->disk, IDE_PIO_REP16, 600, 4, BUF2), 0);
        assert_int_equal(rig_mismatches(0, 600, 4, f->ram + BUF2), 0);
    }
}

static void statistics_count_what_was_done(void **state)
{
    struct fixture *f = *state;
    json_t *stats, *guest, *disk;

    assert_int_equal(ide_dma_read(&f->disk, 0, 256, BUF), 0);
    assert_int_equal(ide_pio_write(&f->disk, IDE_PIO_REP16, 256, 2, BUF), 0);
    stats = rig_call(&f->rig, "stats", "{\"guest\": \"guest\"}", NULL);
    guest = json_array_get(json_object_get(stats, "guests"), 0);
    disk = json_array_get(json_object_get(guest, "disks"), 0);
    assert_int_equal(json_integer_value(json_object_get(disk, "read_bytes")), 256 * 512);
    assert_int_equal(json_integer_value(json_object_get(disk, "written_bytes")), 2 * 512);
    assert_true(json_integer_value(
                    json_object_get(json_object_get(guest, "ioreqs"), "string_bytes")) >= 1024);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(guest, "ioreqs"), "illegal")), 0);
    json_decref(stats);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(identify_tells_the_images_size),
        CASE(pio_reads_and_writes_in_every_form),
        CASE(string_buffers_straddle_pages_at_odd_addresses),
        CASE(a_descending_string_arrives_turned_round),
        CASE(dma_reads_and_writes),
        CASE(dma_scatters_and_gathers_by_any_table),
        CASE(dma_to_what_is_not_ram_harms_nobody),
        CASE(a_table_that_is_too_short_leaves_the_drive_usable),
        CASE(beyond_the_end_is_an_error),
        CASE(absent_and_read_only_drives_behave),
        CASE(channels_are_independent),
        CASE(a_reset_in_mid_transfer_loses_nothing_else),
        CASE(statistics_count_what_was_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
