/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An NE2000's packets by buffered PIO, with the shipped daemon: two guests with a card each send to
 * one another, and every byte is verified.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/peer/ne2000.h"
#include "tests/shm/rig.h"

#define RAM     (1u << 20)
#define AREA    0x1000u
#define ABORTS  1500u
#define NIC_KEY "\"model\": \"ne2k_pci\", \"backend\": \"socket\""

struct fixture {
    struct rig rig;
    struct ne2000_driver nic[2];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    rig_start(&f->rig, "\"workers\": 2");
    for (unsigned i = 0; i < 2; i++) {
        char name[8], nics[512];

        snprintf(name, sizeof(name), "n%u", i);
        snprintf(nics, sizeof(nics),
                 "\"nics\": [{" NIC_KEY ", \"path\": \"%s/%u.sock\", \"peer\": \"%s/%u.sock\"}]",
                 f->rig.dir, i, f->rig.dir, 1 - i);
        rig_guest_more(&f->rig, name, "", nics);
        f->nic[i].peer = rig_peer(&f->rig, name, 1, RAM);
        ne2000_driver_start(&f->nic[i], NE2000_PORTS);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int error[2], status;

    for (unsigned i = 0; i < 2; i++) {
        error[i] = peer_error(f->nic[i].peer);
        peer_close(f->nic[i].peer);
    }
    rig_wait_guests(&f->rig, 0, 5000);
    status = rig_stop(&f->rig);
    free(f);
    assert_int_equal(error[0], 0);
    assert_int_equal(error[1], 0);
    assert_int_equal(status, 0);
    return 0;
}

static uint64_t requests(struct fixture *f)
{
    return rig_counted(&f->rig, "n0", "ioreqs", "pio_read") +
           rig_counted(&f->rig, "n0", "ioreqs", "pio_write");
}

/* The next frame from the other one. */
static void expect_frame(struct ne2000_driver *nic)
{
    uint32_t number = nic->got, bytes = ne2000_frame_bytes(number);
    uint8_t frame[1536];

    assert_int_equal(ne2000_driver_receive(nic, frame), bytes);
    for (uint32_t i = 0; i < bytes; i++)
        if (frame[i] != ne2000_frame_byte(number, i))
            fail_msg("frame %u: byte %u is %#x", number, i, frame[i]);
}

static void packets_cross_the_page_and_not_the_daemon(void **state)
{
    struct fixture *f = *state;
    uint64_t words = 0, answered, declined;

    for (unsigned round = 0; round < 60; round++)
        for (unsigned way = 0; way < 2; way++) {
            words += (ne2000_frame_bytes(round) + 1) / 2;
            assert_true(ne2000_driver_send(&f->nic[way]));
            expect_frame(&f->nic[1 - way]);
        }
    /* Of n0's words all but one or two a window were answered without a request. */
    peer_bufpio_counters(f->nic[0].peer, &answered, &declined);
    assert_in_range(answered, words - words / 50 - 60 * 4, words + 60 * 2);
    assert_int_equal(rig_counted(&f->rig, "n0", "bufpio", "answered"), answered);
    assert_int_equal(rig_counted(&f->rig, "n0", "bufpio", "bytes"), answered * 2);
    assert_int_equal(rig_counted(&f->rig, "n0", "bufpio", "rejected"), 0);
    assert_int_equal(rig_counted(&f->rig, "n1", "bufpio", "rejected"), 0);
}

static void a_large_packet_is_three_requests_or_fewer(void **state)
{
    struct fixture *f = *state;
    struct ne2000_driver *nic = &f->nic[0];
    uint8_t data[1514], back[1514];

    rig_fill(1, 0, 2, data);
    for (unsigned i = 0; i < 4; i++) {
        unsigned size = i % 2 ? 4 : 2;
        uint64_t before;

        ne2000_driver_remote(nic, true, NE2000_FREE, 1512);
        before = requests(f);
        ne2000_driver_write(nic, data, 1512, size);
        assert_in_range(requests(f) - before, 1, 3);
        ne2000_driver_remote(nic, false, NE2000_FREE, 1512);
        before = requests(f);
        ne2000_driver_read(nic, back, 1512, size);
        assert_in_range(requests(f) - before, 1, 3);
        assert_true(ne2000_driver_done(nic));
        assert_memory_equal(back, data, 1512);
    }
}

static unsigned pick(uint64_t *random, unsigned below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*random >> 33) % below;
}

/* Begins something, moves some of it, and leaves it in one of several ways, while frames come in.
 * Then packet memory holds what was moved and nothing else. */
static void transfers_are_left_while_packets_come_in(void **state)
{
    struct fixture *f = *state;
    struct ne2000_driver *nic = &f->nic[0];
    static uint8_t shadow[AREA], back[AREA];
    uint64_t random = 5;
    unsigned left[4] = {0};

    ne2000_driver_remote(nic, true, NE2000_FREE, AREA);
    ne2000_driver_write(nic, shadow, AREA, 4);
    for (unsigned i = 0; i < ABORTS; i++) {
        uint32_t at = pick(&random, AREA / 2 - 400) * 2, bytes = 4 + pick(&random, 790) / 2 * 2;
        unsigned size = pick(&random, 3) ? 2 : 4, part = pick(&random, bytes / size) * size, way;
        bool write = pick(&random, 2);

        ne2000_driver_remote(nic, write, (uint16_t)(NE2000_FREE + at), (uint16_t)bytes);
        if (write) {
            for (uint32_t j = 0; j < part; j++)
                shadow[at + j] = (uint8_t)pick(&random, 256);
            ne2000_driver_write(nic, shadow + at, part, size);
        } else {
            ne2000_driver_read(nic, back, part, size);
            if (memcmp(back, shadow + at, part))
                fail_msg("transfer %u: wrong bytes among %u at %u", i, part, at);
        }
        if (i % 8 == 0)
            assert_true(ne2000_driver_send(&f->nic[1]));
        way = pick(&random, 16) ? pick(&random, 3) : 3;
        left[way]++;
        if (way == 0) { /* nobody says that it is over: the next one begins */
        } else if (way == 1) {
            ne2000_driver_abort(nic);
        } else if (way == 2) { /* the last bytes are another's business */
            assert_false(ne2000_driver_done(nic));
        }
        if (i % 8 == 0)
            expect_frame(nic);
        if (way == 3) {
            ne2000_driver_reset(nic);
            ne2000_driver_start(nic, (uint16_t)(NE2000_PORTS + 0x20 * pick(&random, 4)));
        }
        if (i % 32)
            continue;
        ne2000_driver_remote(nic, false, NE2000_FREE, AREA);
        ne2000_driver_read(nic, back, AREA, 2);
        assert_true(ne2000_driver_done(nic));
        assert_memory_equal(back, shadow, AREA);
    }
    for (unsigned way = 0; way < 4; way++)
        assert_true(left[way] >= 50);
    assert_int_equal(rig_counted(&f->rig, "n0", "bufpio", "rejected"), 0);
    assert_true(rig_counted(&f->rig, "n0", "bufpio", "answered") > 100000);
}

static void a_card_goes_and_comes_in_mid_transfer(void **state)
{
    struct fixture *f = *state;
    struct ne2000_driver *nic = &f->nic[0];
    uint8_t data[512], back[512];
    char add[512], error[256] = "";

    snprintf(add, sizeof(add),
             "{\"name\": \"n0\", \"nic\": {\"devid\": 0, " NIC_KEY
             ", \"path\": \"%s/0.sock\", \"peer\": \"%s/1.sock\"}}",
             f->rig.dir, f->rig.dir);
    rig_fill(3, 0, 1, data);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t before = rig_counted(&f->rig, "n0", "bufpio", "answered");

        ne2000_driver_remote(nic, true, NE2000_FREE, 512);
        ne2000_driver_write(nic, data, 512, 2);
        ne2000_driver_remote(nic, i % 2, NE2000_FREE, 512);
        ne2000_driver_read(nic, back, i % 2 ? 0 : 100, 2);
        ne2000_driver_write(nic, data, i % 2 ? 100 : 0, 2);
        json_decref(rig_call(&f->rig, "nic-remove",
                             "{\"name\": \"n0\", \"nic\": 0, \"force\": true}", error));
        assert_string_equal(error, "");
        assert_int_equal(peer_in(nic->peer, 0, (uint16_t)(nic->base + 0x10), 2), 0xffff);
        assert_true(rig_counted(&f->rig, "n0", "bufpio", "answered") - before > 250);
        assert_true(rig_wait_nic_gone(&f->rig, 0, 5000));
        json_decref(rig_call(&f->rig, "nic-add", add, error));
        assert_string_equal(error, "");
        ne2000_driver_start(nic, NE2000_PORTS);
    }
    nic->got = f->nic[1].sent;
    assert_true(ne2000_driver_send(&f->nic[1]));
    expect_frame(nic);
    assert_int_equal(rig_counted(&f->rig, "n0", "bufpio", "rejected"), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(packets_cross_the_page_and_not_the_daemon),
        CASE(a_large_packet_is_three_requests_or_fewer),
        CASE(transfers_are_left_while_packets_come_in),
        CASE(a_card_goes_and_comes_in_mid_transfer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
