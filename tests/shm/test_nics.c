/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests with network cards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/peer/e1000.h"
#include "tests/shm/rig.h"

struct fixture {
    struct rig rig;
    struct e1000_driver nic[2];
};

/* Takes the next frame and checks it. */
static void expect_frame(struct e1000_driver *nic)
{
    const uint8_t *frame = NULL;
    uint32_t bytes = e1000_frame_bytes(nic->got);

    assert_int_equal(e1000_driver_wait(nic, &frame), bytes + 4); /* with its FCS */
    for (uint32_t i = 0; i < bytes; i++)
        assert_int_equal(frame[i], e1000_frame_byte(nic->got, i));
    e1000_driver_take(nic);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    rig_start(&f->rig, "\"workers\": 2");
    if (rig_isolated())
        rig_user_network(&f->rig);
    for (unsigned i = 0; i < 2; i++) {
        char name[8], nics[512];

        snprintf(name, sizeof(name), "n%u", i);
        snprintf(nics, sizeof(nics),
                 "\"nics\": [{\"model\": \"e1000\", \"backend\": \"socket\", \"path\": "
                 "\"%s/%u.sock\", \"peer\": \"%s/%u.sock\"}]",
                 f->rig.dir, i, f->rig.dir, 1 - i);
        rig_guest_more(&f->rig, name, "", nics);
        f->nic[i].peer = rig_peer(&f->rig, name, 1, E1000_RAM);
        e1000_driver_start(&f->nic[i]);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status;

    for (unsigned i = 0; i < 2; i++)
        peer_close(f->nic[i].peer);
    rig_wait_guests(&f->rig, 0, 5000);
    status = rig_stop(&f->rig);
    free(f);
    assert_int_equal(status, 0);
    return 0;
}

/* Guest n1's NIC in the statistics. */
static json_t *nic_stats(struct fixture *f)
{
    json_t *result = rig_call(&f->rig, "stats", NULL, NULL);
    json_t *guest = json_array_get(json_object_get(result, "guests"), 1);
    json_t *nic = json_array_get(json_object_get(guest, "nics"), 0);

    json_incref(nic);
    json_decref(result);
    return nic;
}

static void two_guests_of_one_daemon_talk(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(peer_pci_read(f->nic[0].peer, 0, E1000_BDF, 0, 4), 0x100e8086);
    for (unsigned round = 0; round < 20; round++)
        for (unsigned way = 0; way < 2; way++) {
            e1000_driver_send(&f->nic[way], 32);
            for (unsigned i = 0; i < 32; i++)
                expect_frame(&f->nic[1 - way]);
            assert_true(e1000_driver_all_sent(&f->nic[way]));
        }
    json_t *nic = nic_stats(f);

    assert_int_equal(json_integer_value(json_object_get(nic, "rx_packets")), 640);
    assert_int_equal(json_integer_value(json_object_get(nic, "tx_packets")), 640);
    assert_int_equal(json_integer_value(json_object_get(nic, "rx_dropped")), 0);
    json_decref(nic);
}

static void a_guest_without_buffers_loses_nothing(void **state)
{
    struct fixture *f = *state;

    e1000_driver_send(&f->nic[0], 60);
    assert_true(e1000_driver_all_sent(&f->nic[0]));
    e1000_driver_send(&f->nic[0], 20); /* RING - 1 buffers, and what the socket holds */
    for (unsigned i = 0; i < 80; i++)
        expect_frame(&f->nic[1]);
    assert_true(e1000_driver_all_sent(&f->nic[0]));
}

/* Its socket is another one then. What is sent meanwhile is lost, as on a wire. */
static void a_peer_that_was_away_is_found_again(void **state)
{
    struct fixture *f = *state;

    for (unsigned round = 0; round < 2; round++) {
        e1000_driver_send(&f->nic[0], 3);
        for (unsigned i = 0; i < 3; i++)
            expect_frame(&f->nic[1]);
        peer_close(f->nic[1].peer);
        assert_true(rig_wait_guests(&f->rig, 1, 5000));
        e1000_driver_send(&f->nic[0], 3);
        assert_true(e1000_driver_all_sent(&f->nic[0]));
        f->nic[1].peer = rig_peer(&f->rig, "n1", 1, E1000_RAM);
        usleep(2 * 100000); /* NET_DGRAM_AGAIN_NS */
        for (unsigned i = 0; i < 2; i++)
            e1000_driver_start(&f->nic[i]);
    }
    e1000_driver_send(&f->nic[0], 1);
    expect_frame(&f->nic[1]);
    e1000_driver_send(&f->nic[1], 1);
    expect_frame(&f->nic[0]);
}

static void a_pulled_cable_is_seen_and_stops_packets(void **state)
{
    struct fixture *f = *state;

    assert_true(e1000_driver_status(&f->nic[1]) & E1000_STATUS_LU);
    json_decref(rig_call(&f->rig, "link", "{\"name\": \"n1\", \"nic\": 0, \"up\": false}", NULL));
    assert_false(e1000_driver_status(&f->nic[1]) & E1000_STATUS_LU);
    e1000_driver_send(&f->nic[1], 5); /* the 82540EM keeps them until it has a link */
    json_decref(rig_call(&f->rig, "link", "{\"name\": \"n1\", \"nic\": 0, \"up\": true}", NULL));
    assert_true(e1000_driver_all_sent(&f->nic[1])); /* when it has negotiated */
    assert_true(e1000_driver_status(&f->nic[1]) & E1000_STATUS_LU);
    for (unsigned i = 0; i < 5; i++)
        expect_frame(&f->nic[0]);
}

static void a_capture_is_written_while_packets_pass(void **state)
{
    struct fixture *f = *state;
    char params[256], path[128];
    struct {
        uint32_t words[6];
    } header;
    FILE *file;

    snprintf(path, sizeof(path), "%s/n1.pcap", f->rig.dir);
    snprintf(params, sizeof(params), "{\"name\": \"n1\", \"nic\": 0, \"path\": \"%s\"}", path);
    json_decref(rig_call(&f->rig, "capture", params, NULL));
    e1000_driver_send(&f->nic[0], 10);
    for (unsigned i = 0; i < 10; i++)
        expect_frame(&f->nic[1]);
    json_decref(rig_call(&f->rig, "capture", "{\"name\": \"n1\", \"nic\": 0}", NULL));
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(&header, sizeof(header), 1, file), 1);
    assert_int_equal(header.words[0], 0xa1b23c4d);
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t record[4];
        uint8_t data[E1000_BUF];

        assert_int_equal(fread(record, sizeof(record), 1, file), 1);
        assert_int_equal(record[2], e1000_frame_bytes(i));
        assert_int_equal(fread(data, record[2], 1, file), 1);
        assert_int_equal(data[20], e1000_frame_byte(i, 20));
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    remove(path);
}

static void a_nic_is_removed_and_another_added(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = f->nic[1].peer;
    char error[256] = "";

    /* Asked first: the guest finds it in the hotplug registers and lets go. */
    json_decref(rig_call(&f->rig, "nic-remove", "{\"name\": \"n1\", \"nic\": 0}", NULL));
    assert_int_equal(peer_in(peer, 0, 0xae04, 4), 1 << 4);
    assert_int_equal(peer_pci_read(peer, 0, E1000_BDF, 0, 4), 0x100e8086);
    peer_out(peer, 0, 0xae08, 4, 1 << 4);
    assert_int_equal(peer_pci_read(peer, 0, E1000_BDF, 0, 4), 0xffffffff);
    assert_true(rig_wait_nic_gone(&f->rig, 1, 5000));
    json_decref(rig_call(&f->rig, "nic-add",
                         "{\"name\": \"n1\", \"nic\": {\"devid\": 0, \"backend\": \"null\"}}",
                         error));
    assert_string_equal(error, "");
    assert_int_equal(peer_in(peer, 0, 0xae00, 4), 1 << 4);
    assert_int_equal(peer_pci_read(peer, 0, E1000_BDF, 0, 4), 0x100e8086);
    json_decref(
        rig_call(&f->rig, "nic-remove", "{\"name\": \"n1\", \"nic\": 0, \"force\": true}", error));
    assert_int_equal(peer_pci_read(peer, 0, E1000_BDF, 0, 4), 0xffffffff);
    assert_null(rig_call(&f->rig, "nic-remove", "{\"name\": \"n1\", \"nic\": 0}", error));
    assert_non_null(strstr(error, "no NIC 0"));
}

/* RFC 2131: DHCPDISCOVER is answered with an address of the user network. */
static void a_guest_gets_an_address_of_the_user_network(void **state)
{
    static const uint8_t headers[42] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x16, 0x3e, 1,    2,    3,    8, 0,
        0x45, 0,    1,    0x48, 0,    1,    0, 0,    0x40, 0x11, 0x79, 0xa5, 0, 0,
        0,    0,    0xff, 0xff, 0xff, 0xff, 0, 68,   0,    67,   1,    0x34, 0, 0};
    struct fixture *f = *state;
    struct e1000_driver nic = {0};
    uint8_t *frame;

    rig_guest_more(&f->rig, "user", "",
                   "\"nics\": [{\"mac\": \"00:16:3e:01:02:03\", \"backend\": \"user\"}]");
    nic.peer = rig_peer(&f->rig, "user", 1, E1000_RAM);
    e1000_driver_start(&nic);
    frame = peer_ram(nic.peer, E1000_TX_BUF, E1000_BUF);
    memcpy(frame, headers, sizeof(headers));
    memcpy(frame + 42, "\x01\x01\x06\x00\x12\x34\x56\x78", 8);
    memcpy(frame + 42 + 28, headers + 6, 6);
    memcpy(frame + 42 + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
    e1000_driver_send_raw(&nic, 14 + 0x148);
    for (;; e1000_driver_take(&nic)) { /* not what else the network says of itself */
        const uint8_t *got = NULL;

        assert_true(e1000_driver_wait(&nic, &got));
        if (got[12] != 8 || got[23] != 17 || got[37] != 68)
            continue;
        assert_memory_equal(got + 42 + 16, "\x0a\x00\x02\x0f", 4);
        assert_memory_equal(got + 42 + 240, "\x35\x01\x02", 3); /* DHCPOFFER */
        break;
    }
    peer_close(nic.peer);
    assert_true(rig_wait_guests(&f->rig, 2, 5000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_guests_of_one_daemon_talk),
        TEST(a_guest_without_buffers_loses_nothing),
        TEST(a_peer_that_was_away_is_found_again),
        TEST(a_pulled_cable_is_seen_and_stops_packets),
        TEST(a_capture_is_written_while_packets_pass),
        TEST(a_nic_is_removed_and_another_added),
        TEST(a_guest_gets_an_address_of_the_user_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
