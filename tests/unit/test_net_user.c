/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user network, from a guest's point of view: a few packets made by hand. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net/checksum.h"
#include "tests/unit/free_port.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/packets.h"

static struct net_rig nic;
static char root[64];

static const uint8_t own_mac[6] = {0x00, 0x16, 0x3e, 0x01, 0x02, 0x03};

static struct net_user_options options;

static int setup(void **state)
{
    struct fake_loop *fake = fake_loop_create();
    struct net_port *port;
    unsigned which;

    options =
        (struct net_user_options){.tftp_root = root, .bootfile = "boot.ipxe", .n_forwards = 2};
    options.forward[0] =
        (struct net_user_forward){false, INADDR_LOOPBACK, free_port(SOCK_STREAM), 22};
    options.forward[1] =
        (struct net_user_forward){true, INADDR_LOOPBACK, free_port(SOCK_DGRAM), 53};
    assert_int_equal(net_user_open(&options, fake_loop(fake), &port, &which), 0);
    net_rig_init(&nic, fake, port);
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    net_rig_finish(&nic);
    fake_loop_destroy(*state);
    return 0;
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A UDP packet of the guest's; the payload stands at 42 already. */
static uint32_t udp(uint8_t *frame, uint32_t from, uint32_t to, uint16_t from_port,
                    uint16_t to_port, uint32_t payload)
{
    struct frame_headers headers;
    uint32_t bytes = 42 + payload;

    memset(frame, 0xff, 6);
    memcpy(frame + 6, own_mac, 6);
    put16(frame + 12, 0x0800);
    memcpy(frame + 14, "\x45\x00\x00\x00\x00\x01\x00\x00\x40\x11\x00\x00", 12);
    put16(frame + 16, 28 + payload);
    put16(frame + 26, from >> 16);
    put16(frame + 28, from);
    put16(frame + 30, to >> 16);
    put16(frame + 32, to);
    put16(frame + 34, from_port);
    put16(frame + 36, to_port);
    put16(frame + 38, 8 + payload);
    put16(frame + 40, 0);
    frame_parse(frame, bytes, false, &headers);
    checksum_set_ip4(frame, &headers);
    return bytes;
}

/* The newest frame that the guest got of that protocol and destination port; NULL: none. */
static const uint8_t *find(uint8_t protocol, uint16_t port)
{
    for (unsigned i = nic.got; i-- && i + NET_RIG_FRAMES > nic.got;) {
        const uint8_t *data = nic.frame[i % NET_RIG_FRAMES].data;

        if (get16(data + 12) == 0x0800 && data[23] == protocol && get16(data + 36) == port)
            return data;
    }
    return NULL;
}

/* Turns the loop until there is such a frame; answers ARP as a guest does. */
static const uint8_t *await(uint8_t protocol, uint16_t port)
{
    unsigned seen = 0;

    for (unsigned turns = 0; turns < 200 && !find(protocol, port); turns++) {
        if (!fake_loop_turn(nic.fake, 2000))
            break;
        for (; seen < nic.got; seen++) {
            uint8_t reply[60] = {0};
            const uint8_t *data = nic.frame[seen % NET_RIG_FRAMES].data;

            if (get16(data + 12) != 0x0806 || get16(data + 20) != 1)
                continue;
            memcpy(reply, data + 6, 6);
            memcpy(reply + 6, own_mac, 6);
            memcpy(reply + 12, data + 12, 8);
            put16(reply + 20, 2);
            memcpy(reply + 22, own_mac, 6);
            memcpy(reply + 28, data + 38, 4);
            memcpy(reply + 32, data + 22, 10);
            assert_true(net_rig_send(&nic, reply, sizeof(reply), NULL));
        }
    }
    return find(protocol, port);
}

static void discover(void)
{
    uint8_t frame[400] = {0};
    uint8_t *bootp = frame + 42;

    memcpy(bootp, "\x01\x01\x06\x00\x12\x34\x56\x78", 8);
    memcpy(bootp + 28, own_mac, 6);
    memcpy(bootp + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8); /* DHCPDISCOVER */
    assert_true(net_rig_send(&nic, frame, udp(frame, 0, UINT32_MAX, 68, 67, 300), NULL));
}

static void dhcp_gives_an_address_and_a_boot_file(void **state)
{
    const uint8_t *offer;

    discover();
    assert_int_equal(nic.got, 0); /* not from within net_send() */
    offer = await(17, 68);
    assert_non_null(offer);
    assert_memory_equal(offer + 42 + 16, "\x0a\x00\x02\x0f", 4);
    assert_string_equal((const char *)offer + 42 + 108, "boot.ipxe");
    assert_memory_equal(offer + 42 + 236 + 4, "\x35\x01\x02", 3); /* DHCPOFFER */
}

static void tftp_serves_the_files_of_its_root(void **state)
{
    uint8_t frame[400] = {0};
    const uint8_t *data;
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/boot.ipxe", root);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("#!ipxe\n", file);
    fclose(file);
    discover();
    assert_non_null(await(17, 68));
    memcpy(frame + 42,
           "\x00\x01"
           "boot.ipxe\0octet",
           18);
    assert_true(net_rig_send(&nic, frame, udp(frame, 0x0a00020f, 0x0a000202, 2000, 69, 18), NULL));
    data = await(17, 2000);
    assert_non_null(data);
    assert_memory_equal(data + 42, "\x00\x03\x00\x01#!ipxe\n", 11);
    memcpy(frame + 42, "\x00\x01../etc/passwd\0octet", 22);
    assert_true(net_rig_send(&nic, frame, udp(frame, 0x0a00020f, 0x0a000202, 2001, 69, 22), NULL));
    data = await(17, 2001);
    assert_non_null(data);
    assert_int_equal(get16(data + 42), 5); /* an error */
    unlink(path);
}

static void a_forwarded_port_reaches_the_guest(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int dgram = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const uint8_t *data;

    discover();
    assert_non_null(await(17, 68));
    address.sin_port = htons(options.forward[1].host_port);
    assert_int_equal(sendto(dgram, "hello", 5, 0, (struct sockaddr *)&address, sizeof(address)), 5);
    data = await(17, 53);
    assert_non_null(data);
    assert_memory_equal(data + 42, "hello", 5);
    packet_assert_checksums(data, NET_FRAME_MIN);
    address.sin_port = htons(options.forward[0].host_port);
    (void)connect(tcp, (struct sockaddr *)&address, sizeof(address));
    data = await(6, 22);
    assert_non_null(data);
    assert_int_equal(data[47] & 0x3f, 0x02); /* SYN */
    close(tcp);
    close(dgram);
}

static void a_port_that_is_taken_is_named(void **state)
{
    struct net_user_options again = options;
    struct net_port *port;
    unsigned which = 99;

    again.forward[0].host_port = free_port(SOCK_STREAM);
    /* UDP ports may be shared on some systems; a TCP port that listens may not. */
    again.forward[1] = options.forward[0];
    assert_int_equal(net_user_open(&again, fake_loop(*state), &port, &which), -EADDRINUSE);
    assert_int_equal(which, 1);
}

static void an_idle_network_wakes_nobody(void **state)
{
    discover();
    assert_non_null(await(17, 68));
    fake_loop_settle(*state, 100, 1000);
    assert_int_equal(fake_loop_settle(*state, 1500, 10), 0);
}

/* A guest that floods and takes nothing: what is queued is bounded, and nothing spins. */
static void a_guest_that_takes_nothing_stops_the_sockets(void **state)
{
    nic.room = 0;
    for (unsigned i = 0; i < 1000; i++) {
        discover();
        fake_loop_turn(*state, 0);
    }
    assert_int_equal(fake_loop_settle(*state, 10, 100) < 100, 1);
    nic.room = UINT32_MAX;
    net_receive_ready(nic.net);
    fake_loop_settle(*state, 10, 1000);
    assert_in_range(nic.got, 64, 400);
    discover();
    fake_loop_settle(*state, 10, 1000);
    assert_non_null(find(17, 68));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* An echo request to a host outside, which the library does not pass on, but has a word to say of.
 */
static uint32_t echo6(uint8_t frame[78])
{
    uint8_t *ip = frame + 14, *icmp = ip + 40;
    uint32_t sum = 24 + IPPROTO_ICMPV6;

    memset(frame, 0, 78);
    memcpy(frame, "\x33\x33\x00\x00\x00\x02", 6);
    memcpy(frame + 6, own_mac, 6);
    put16(frame + 12, 0x86dd);
    memcpy(ip, "\x60\x00\x00\x00\x00\x18\x3a\xff\xfe\xc0", 10);
    ip[23] = 0x15;
    memcpy(ip + 24, "\x20\x01\x0d\xb8", 4);
    ip[39] = 1;
    icmp[0] = 128;
    for (unsigned i = 8; i < 64; i += 2)
        sum += get16(ip + i);
    put16(icmp + 2, ~(sum % 0xffff));
    return 78;
}

static void xsa_180_what_a_guest_sends_is_not_commented_on(void **state)
{
    int before = dup(STDERR_FILENO), file = memfd_create("stderr", MFD_CLOEXEC);
    uint8_t frame[78];
    uint32_t bytes = echo6(frame);

    dup2(file, STDERR_FILENO);
    for (unsigned i = 0; i < 100; i++)
        net_rig_send(&nic, frame, bytes, NULL);
    dup2(before, STDERR_FILENO);
    assert_int_equal(lseek(file, 0, SEEK_END), 0);
    close(before);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dhcp_gives_an_address_and_a_boot_file),
        TEST(tftp_serves_the_files_of_its_root),
        TEST(a_forwarded_port_reaches_the_guest),
        TEST(a_port_that_is_taken_is_named),
        TEST(an_idle_network_wakes_nobody),
        TEST(a_guest_that_takes_nothing_stops_the_sockets),
        TEST(xsa_180_what_a_guest_sends_is_not_commented_on),
    };
    int failed;

    snprintf(root, sizeof(root), "/tmp/test_net_user-XXXXXX");
    if (!mkdtemp(root))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(root);
    return failed;
}
