/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests with network cards: their processors drive an 82540EM as plainly as it can be driven. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/shm/rig.h"

#define RAM    (8u << 20)
#define BDF    (4u << 3)
#define BAR    UINT64_C(0xf2000000)
#define TX     0x100000u /* descriptors */
#define RX     0x110000u
#define TX_BUF 0x200000u
#define RX_BUF 0x300000u
#define RING   64u
#define BUF    2048u

/* Intel 317453, 13.2. */
#define CTRL   0x0000
#define STATUS 0x0008
#define RCTL   0x0100
#define TCTL   0x0400
#define RDBAL  0x2800
#define RDLEN  0x2808
#define RDH    0x2810
#define RDT    0x2818
#define TDBAL  0x3800
#define TDLEN  0x3808
#define TDH    0x3810
#define TDT    0x3818

#define STATUS_LU 0x2

struct nic {
    struct peer *peer;
    uint32_t sent, got; /* descriptors, free-running */
};

struct fixture {
    struct rig rig;
    struct nic nic[2];
};

static uint32_t get(struct nic *nic, uint32_t reg)
{
    return (uint32_t)peer_mmio_read(nic->peer, 0, BAR + reg, 4);
}

static void set(struct nic *nic, uint32_t reg, uint32_t value)
{
    peer_mmio_write(nic->peer, 0, BAR + reg, 4, value);
}

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

/* Rings full of empty buffers, promiscuous. */
static void start(struct nic *nic)
{
    uint8_t *rx = peer_ram(nic->peer, RX, RING * 16);

    peer_pci_write(nic->peer, 0, BDF, 0x10, 4, (uint32_t)BAR);
    peer_pci_write(nic->peer, 0, BDF, 0x04, 2, 0x6);
    memset(rx, 0, RING * 16);
    for (uint32_t i = 0; i < RING; i++)
        put64(rx + i * 16, RX_BUF + i * BUF);
    set(nic, CTRL, 0x40); /* link up */
    set(nic, RDBAL, RX);
    set(nic, RDLEN, RING * 16);
    set(nic, RDH, 0);
    set(nic, RDT, RING - 1);
    set(nic, TDBAL, TX);
    set(nic, TDLEN, RING * 16);
    set(nic, TDH, 0);
    set(nic, TDT, 0);
    set(nic, RCTL, 0x801a); /* enabled, all unicast and multicast, broadcast */
    set(nic, TCTL, 0x0a);   /* enabled, short frames padded */
}

static uint8_t frame_byte(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 31 + at * 7 + (at >> 8));
}

static uint32_t frame_bytes(uint32_t number)
{
    return 60 + number * 97 % 1455;
}

/* Puts `count` frames into the ring at once. */
static void send_frames(struct nic *nic, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, nic->sent++) {
        uint32_t slot = nic->sent % RING, bytes = frame_bytes(nic->sent);
        uint8_t *buf = peer_ram(nic->peer, TX_BUF + slot * BUF, BUF);
        uint8_t *desc = peer_ram(nic->peer, TX + slot * 16, 16);

        for (uint32_t j = 0; j < bytes; j++)
            buf[j] = frame_byte(nic->sent, j);
        buf[0] &= 0xfe;
        put64(desc, TX_BUF + slot * BUF);
        put64(desc + 8, bytes | UINT64_C(0x0b) << 24); /* EOP, IFCS, RS */
    }
    set(nic, TDT, nic->sent % RING);
}

static bool wait_for_byte(const volatile uint8_t *at, uint8_t bit)
{
    const struct timespec nap = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < 5000; i++) {
        if (*at & bit)
            return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

static bool all_sent(struct nic *nic)
{
    uint8_t *desc = peer_ram(nic->peer, TX + (nic->sent - 1) % RING * 16, 16);

    return wait_for_byte(desc + 12, 1);
}

/* Takes the next frame, checks it, gives the buffer back. */
static void expect_frame(struct nic *nic)
{
    uint32_t slot = nic->got % RING, bytes = frame_bytes(nic->got);
    uint8_t *desc = peer_ram(nic->peer, RX + slot * 16, 16);
    uint8_t *buf = peer_ram(nic->peer, RX_BUF + slot * BUF, BUF);
    uint16_t length;

    assert_true(wait_for_byte(desc + 12, 1));
    memcpy(&length, desc + 8, 2);
    assert_int_equal(length, bytes + 4); /* with its FCS */
    assert_int_equal(buf[0], frame_byte(nic->got, 0) & 0xfe);
    for (uint32_t j = 1; j < bytes; j++)
        assert_int_equal(buf[j], frame_byte(nic->got, j));
    memset(desc + 8, 0, 8);
    nic->got++;
    set(nic, RDT, (nic->got + RING - 1) % RING);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    rig_start(&f->rig, "\"workers\": 2");
    for (unsigned i = 0; i < 2; i++) {
        char name[8], nics[512];

        snprintf(name, sizeof(name), "n%u", i);
        snprintf(nics, sizeof(nics),
                 "\"nics\": [{\"model\": \"e1000\", \"backend\": \"socket\", \"path\": "
                 "\"%s/%u.sock\", \"peer\": \"%s/%u.sock\"}]",
                 f->rig.dir, i, f->rig.dir, 1 - i);
        rig_guest_more(&f->rig, name, "", nics);
        f->nic[i].peer = rig_peer(&f->rig, name, 1, RAM);
        start(&f->nic[i]);
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

/* Guest n1's NIC in the answer of a method. */
static json_t *nic_of(struct fixture *f, const char *method)
{
    json_t *result = rig_call(&f->rig, method, NULL, NULL);
    json_t *guest = json_array_get(json_object_get(result, "guests"), 1);
    json_t *nic = json_array_get(json_object_get(guest, "nics"), 0);

    json_incref(nic);
    json_decref(result);
    return nic;
}

static void two_guests_of_one_daemon_talk(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(peer_pci_read(f->nic[0].peer, 0, BDF, 0, 4), 0x100e8086);
    for (unsigned round = 0; round < 20; round++)
        for (unsigned way = 0; way < 2; way++) {
            send_frames(&f->nic[way], 32);
            for (unsigned i = 0; i < 32; i++)
                expect_frame(&f->nic[1 - way]);
            assert_true(all_sent(&f->nic[way]));
        }
    json_t *nic = nic_of(f, "stats");

    assert_int_equal(json_integer_value(json_object_get(nic, "rx_packets")), 640);
    assert_int_equal(json_integer_value(json_object_get(nic, "tx_packets")), 640);
    assert_int_equal(json_integer_value(json_object_get(nic, "rx_dropped")), 0);
    json_decref(nic);
}

static void a_guest_without_buffers_loses_nothing(void **state)
{
    struct fixture *f = *state;

    send_frames(&f->nic[0], 60);
    assert_true(all_sent(&f->nic[0]));
    send_frames(&f->nic[0], 20); /* RING - 1 buffers, and what the socket holds */
    for (unsigned i = 0; i < 80; i++)
        expect_frame(&f->nic[1]);
    assert_true(all_sent(&f->nic[0]));
}

static void a_pulled_cable_is_seen_and_stops_packets(void **state)
{
    struct fixture *f = *state;

    assert_true(get(&f->nic[1], STATUS) & STATUS_LU);
    json_decref(rig_call(&f->rig, "link", "{\"name\": \"n1\", \"nic\": 0, \"up\": false}", NULL));
    assert_false(get(&f->nic[1], STATUS) & STATUS_LU);
    send_frames(&f->nic[1], 5); /* the 82540EM keeps them until it has a link */
    json_decref(rig_call(&f->rig, "link", "{\"name\": \"n1\", \"nic\": 0, \"up\": true}", NULL));
    assert_true(all_sent(&f->nic[1])); /* when it has negotiated */
    assert_true(get(&f->nic[1], STATUS) & STATUS_LU);
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
    send_frames(&f->nic[0], 10);
    for (unsigned i = 0; i < 10; i++)
        expect_frame(&f->nic[1]);
    json_decref(rig_call(&f->rig, "capture", "{\"name\": \"n1\", \"nic\": 0}", NULL));
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(&header, sizeof(header), 1, file), 1);
    assert_int_equal(header.words[0], 0xa1b23c4d);
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t record[4];
        uint8_t data[BUF];

        assert_int_equal(fread(record, sizeof(record), 1, file), 1);
        assert_int_equal(record[2], frame_bytes(i));
        assert_int_equal(fread(data, record[2], 1, file), 1);
        assert_int_equal(data[20], frame_byte(i, 20));
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
    assert_int_equal(peer_pci_read(peer, 0, BDF, 0, 4), 0x100e8086);
    peer_out(peer, 0, 0xae08, 4, 1 << 4);
    assert_int_equal(peer_pci_read(peer, 0, BDF, 0, 4), 0xffffffff);
    for (unsigned i = 0; i < 100; i++) {
        json_t *nic = nic_of(f, "list");
        bool present = json_is_true(json_object_get(nic, "present"));

        json_decref(nic);
        if (!present)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        assert_true(i < 99);
    }
    json_decref(rig_call(&f->rig, "nic-add",
                         "{\"name\": \"n1\", \"nic\": {\"devid\": 0, \"backend\": \"null\"}}",
                         error));
    assert_string_equal(error, "");
    assert_int_equal(peer_in(peer, 0, 0xae00, 4), 1 << 4);
    assert_int_equal(peer_pci_read(peer, 0, BDF, 0, 4), 0x100e8086);
    json_decref(
        rig_call(&f->rig, "nic-remove", "{\"name\": \"n1\", \"nic\": 0, \"force\": true}", error));
    assert_int_equal(peer_pci_read(peer, 0, BDF, 0, 4), 0xffffffff);
    assert_null(rig_call(&f->rig, "nic-remove", "{\"name\": \"n1\", \"nic\": 0}", error));
    assert_non_null(strstr(error, "no NIC 0"));
}

/* Sends what stands in the first buffer. */
static void send_raw(struct nic *nic, uint32_t bytes)
{
    uint8_t *desc = peer_ram(nic->peer, TX + nic->sent % RING * 16, 16);

    put64(desc, TX_BUF);
    put64(desc + 8, bytes | UINT64_C(0x0b) << 24);
    set(nic, TDT, ++nic->sent % RING);
}

/* RFC 2131: DHCPDISCOVER is answered with an address of the user network. */
static void a_guest_gets_an_address_of_the_user_network(void **state)
{
    static const uint8_t headers[42] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x16, 0x3e, 1,    2,    3,    8, 0,
        0x45, 0,    1,    0x48, 0,    1,    0, 0,    0x40, 0x11, 0x79, 0xa5, 0, 0,
        0,    0,    0xff, 0xff, 0xff, 0xff, 0, 68,   0,    67,   1,    0x34, 0, 0};
    struct fixture *f = *state;
    struct nic nic = {0};
    uint8_t *frame, *desc;

    rig_guest_more(&f->rig, "user", "",
                   "\"nics\": [{\"mac\": \"00:16:3e:01:02:03\", \"backend\": \"user\"}]");
    nic.peer = rig_peer(&f->rig, "user", 1, RAM);
    start(&nic);
    frame = peer_ram(nic.peer, TX_BUF, BUF);
    memcpy(frame, headers, sizeof(headers));
    memcpy(frame + 42, "\x01\x01\x06\x00\x12\x34\x56\x78", 8);
    memcpy(frame + 42 + 28, headers + 6, 6);
    memcpy(frame + 42 + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
    send_raw(&nic, 14 + 0x148);
    desc = peer_ram(nic.peer, RX, RING * 16);
    for (;; nic.got++) { /* not what else the network says of itself */
        const uint8_t *got = peer_ram(nic.peer, RX_BUF + nic.got * BUF, BUF);

        assert_true(nic.got < RING && wait_for_byte(desc + nic.got * 16 + 12, 1));
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
        TEST(a_pulled_cable_is_seen_and_stops_packets),
        TEST(a_capture_is_written_while_packets_pass),
        TEST(a_nic_is_removed_and_another_added),
        TEST(a_guest_gets_an_address_of_the_user_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
