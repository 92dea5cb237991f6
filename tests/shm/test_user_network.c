/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests on the user network: with threads it is in the daemon, with worker processes in processes
 * of ioemud-usernet. A guest cannot tell.
 */
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/peer/e1000.h"
#include "tests/shm/rig.h"
#include "tests/unit/free_port.h"

#define ROUTER  0x0a000202u /* 10.0.2.2 */
#define GUEST   0x0a00020fu
#define HEADERS 34u /* Ethernet and IPv4 */

struct fixture {
    struct rig rig;
    struct e1000_driver nic;
    uint16_t port; /* of the host */
};

static const uint8_t own_mac[6] = {0x00, 0x16, 0x3e, 0x01, 0x02, 0x03};

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) << 16 | get16(at + 2);
}

/* RFC 1071. */
static uint16_t checksum(const uint8_t *data, uint32_t bytes, uint32_t sum)
{
    for (uint32_t i = 0; i + 1 < bytes; i += 2)
        sum += get16(data + i);
    if (bytes & 1)
        sum += (uint32_t)data[bytes - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint8_t *frame_of(struct fixture *f)
{
    return peer_ram(f->nic.peer, E1000_TX_BUF, E1000_BUF);
}

/* The `bytes` of payload stand at HEADERS already; to the router's address that ARP has told, or to
 * all. */
static void send_ip(struct fixture *f, uint8_t protocol, uint32_t from, uint32_t to, uint32_t bytes)
{
    uint8_t *frame = frame_of(f);

    if (to == UINT32_MAX)
        memset(frame, 0xff, 6);
    else
        memcpy(frame, "\x52\x55\x0a\x00\x02\x02", 6); /* libslirp's router has this one */
    memcpy(frame + 6, own_mac, 6);
    put16(frame + 12, 0x0800);
    memcpy(frame + 14, "\x45\x00\x00\x00\x00\x01\x00\x00\x40\x00\x00\x00", 12);
    put16(frame + 16, 20 + bytes);
    frame[23] = protocol;
    put32(frame + 26, from);
    put32(frame + 30, to);
    put16(frame + 24, checksum(frame + 14, 20, 0));
    e1000_driver_send_raw(&f->nic, HEADERS + bytes);
    assert_true(e1000_driver_all_sent(&f->nic));
}

/* RFC 826. */
static void answer_arp(struct fixture *f, const uint8_t *request)
{
    uint8_t *frame = frame_of(f);

    memset(frame, 0, 60);
    memcpy(frame, request + 6, 6);
    memcpy(frame + 6, own_mac, 6);
    memcpy(frame + 12, request + 12, 8);
    put16(frame + 20, 2);
    memcpy(frame + 22, own_mac, 6);
    put32(frame + 28, GUEST);
    memcpy(frame + 32, request + 22, 10);
    e1000_driver_send_raw(&f->nic, 60);
    assert_true(e1000_driver_all_sent(&f->nic));
}

/* A copy of the next IPv4 packet of that protocol; what it asks by ARP meanwhile is answered. */
static void await_ip(struct fixture *f, uint8_t protocol, uint8_t copy[E1000_BUF])
{
    for (;;) {
        const uint8_t *got = NULL;
        uint32_t bytes = e1000_driver_wait(&f->nic, &got);

        assert_true(bytes > 0);
        memcpy(copy, got, E1000_BUF);
        e1000_driver_take(&f->nic);
        if (get16(copy + 12) == 0x0806 && get16(copy + 20) == 1 && get32(copy + 38) == GUEST)
            answer_arp(f, copy);
        if (get16(copy + 12) == 0x0800 && copy[23] == protocol)
            return;
    }
}

/* RFC 2131: DHCPDISCOVER. */
static void get_address(struct fixture *f)
{
    uint8_t *udp = frame_of(f) + HEADERS, got[E1000_BUF];

    memset(udp, 0, 308);
    put16(udp, 68);
    put16(udp + 2, 67);
    put16(udp + 4, 308);
    memcpy(udp + 8, "\x01\x01\x06\x00\x12\x34\x56\x78", 8);
    memcpy(udp + 8 + 28, own_mac, 6);
    memcpy(udp + 8 + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
    send_ip(f, IPPROTO_UDP, 0, UINT32_MAX, 308);
    await_ip(f, IPPROTO_UDP, got);
    assert_int_equal(get32(got + 42 + 16), GUEST);
    assert_memory_equal(got + 42 + 240, "\x35\x01\x02", 3); /* DHCPOFFER */
}

static void describe(struct fixture *f, const char *name, char nic[256])
{
    char nics[320];

    snprintf(nic, 256,
             "{\"devid\": 0, \"mac\": \"00:16:3e:01:02:03\", \"backend\": \"user\", \"forward\": "
             "[{\"port\": %u, \"guest_port\": 22}]}",
             f->port);
    snprintf(nics, sizeof(nics), "\"nics\": [%s]", nic);
    rig_guest_more(&f->rig, name, "", nics);
}

static int setup_without(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char nic[256];

    rig_start(&f->rig, "\"workers\": 1");
    f->port = free_port(SOCK_STREAM);
    describe(f, "user", nic);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    struct fixture *f;

    setup_without(state);
    f = *state;
    if (rig_isolated())
        rig_user_network(&f->rig);
    f->nic.peer = rig_peer(&f->rig, "user", 1, E1000_RAM);
    e1000_driver_start(&f->nic);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status;

    if (f->nic.peer)
        peer_close(f->nic.peer);
    rig_wait_guests(&f->rig, 0, 5000);
    status = rig_stop(&f->rig);
    free(f);
    assert_int_equal(status, 0);
    return 0;
}

static void a_guest_gets_an_address_and_its_router_answers(void **state)
{
    struct fixture *f = *state;
    uint8_t got[E1000_BUF], *icmp = frame_of(f) + HEADERS;

    get_address(f);
    /* RFC 792: echo, as large as a frame can be. */
    for (uint32_t bytes = 64; bytes <= 1480; bytes += 1416) {
        memset(icmp, 0x5a, bytes);
        memcpy(icmp, "\x08\x00\x00\x00\x00\x07\x00\x01", 8);
        put16(icmp + 2, checksum(icmp, bytes, 0));
        send_ip(f, IPPROTO_ICMP, GUEST, ROUTER, bytes);
        await_ip(f, IPPROTO_ICMP, got);
        assert_int_equal(got[HEADERS], 0);
        assert_int_equal(get32(got + 26), ROUTER);
        assert_int_equal(get16(got + 16), 20 + bytes);
        assert_memory_equal(got + HEADERS + 4, frame_of(f) + HEADERS + 4, bytes - 4);
    }
}

/* ---- TCP, as little of RFC 9293 as it takes ---- */

struct tcp {
    struct fixture *f;
    uint32_t next, expected; /* what is sent and what comes: sequence numbers */
    uint16_t peer_port;
    uint8_t got[E1000_BUF];
};

#define TCP_FIN 0x01u
#define TCP_SYN 0x02u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u

static void tcp_send(struct tcp *tcp, uint8_t flags, const char *text)
{
    uint32_t payload = (uint32_t)strlen(text), bytes = 20 + payload, pseudo;
    uint8_t *segment = frame_of(tcp->f) + HEADERS;

    memset(segment, 0, 20);
    put16(segment, 22);
    put16(segment + 2, tcp->peer_port);
    put32(segment + 4, tcp->next);
    put32(segment + 8, tcp->expected);
    segment[12] = 5 << 4;
    segment[13] = flags;
    put16(segment + 14, 8192);
    memcpy(segment + 20, text, payload);
    pseudo =
        (GUEST >> 16) + (GUEST & 0xffff) + (ROUTER >> 16) + (ROUTER & 0xffff) + IPPROTO_TCP + bytes;
    put16(segment + 16, checksum(segment, bytes, pseudo));
    tcp->next += payload + (flags & (TCP_SYN | TCP_FIN) ? 1 : 0);
    send_ip(tcp->f, IPPROTO_TCP, GUEST, ROUTER, bytes);
}

/* The next segment with one of these flags, or, with none asked for, with data; what comes twice is
 * not looked at. Its payload is in `text`. */
static void tcp_await(struct tcp *tcp, uint8_t flags, char *text, size_t size)
{
    const uint8_t *segment = tcp->got + HEADERS;
    uint32_t header, payload;

    do {
        await_ip(tcp->f, IPPROTO_TCP, tcp->got);
        header = (segment[12] >> 4) * 4u;
        payload = get16(tcp->got + 16) - 20 - header;
    } while ((tcp->expected && get32(segment + 4) != tcp->expected) ||
             (flags ? !(segment[13] & flags) : !payload));
    tcp->expected = get32(segment + 4) + payload + (segment[13] & (TCP_SYN | TCP_FIN) ? 1 : 0);
    tcp->peer_port = (uint16_t)get16(segment);
    snprintf(text, size, "%.*s", (int)payload, (const char *)segment + header);
}

static void a_forwarded_connection_carries_both_ways(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct tcp tcp = {.f = f, .next = 1000};
    struct pollfd readable = {.events = POLLIN};
    char text[64] = "";

    get_address(f);
    readable.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_port = htons(f->port);
    assert_int_equal(connect(readable.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    tcp_await(&tcp, TCP_SYN, text, sizeof(text));
    assert_int_equal(get16(tcp.got + HEADERS + 2), 22);
    tcp_send(&tcp, TCP_SYN | TCP_ACK, "");
    tcp_await(&tcp, TCP_ACK, text, sizeof(text));
    assert_int_equal(send(readable.fd, "hello guest", 11, MSG_NOSIGNAL), 11);
    tcp_await(&tcp, 0, text, sizeof(text));
    assert_string_equal(text, "hello guest");
    tcp_send(&tcp, TCP_ACK | TCP_PSH, "hello host");
    assert_int_equal(poll(&readable, 1, 5000), 1);
    assert_int_equal(recv(readable.fd, text, sizeof(text), 0), 10);
    assert_memory_equal(text, "hello host", 10);
    tcp_send(&tcp, TCP_ACK | TCP_FIN, "");
    assert_int_equal(poll(&readable, 1, 5000), 1);
    assert_int_equal(recv(readable.fd, text, sizeof(text), 0), 0);
    close(readable.fd);
}

static void a_port_that_is_taken_is_named(void **state)
{
    struct fixture *f = *state;
    char nic[256], reason[112], words[64], *log;

    describe(f, "other", nic); /* the same port */
    assert_null(rig_try_peer(&f->rig, "other", 1, E1000_RAM, reason));
    snprintf(words, sizeof(words), "port %u of the host cannot be forwarded", f->port);
    log = rig_log(&f->rig);
    assert_non_null(strstr(log, words));
    free(log);
    get_address(f); /* the one that has it stays */
}

static void call(struct fixture *f, const char *method, const char *params)
{
    char error[256] = "";

    json_decref(rig_call(&f->rig, method, params, error));
    assert_string_equal(error, "");
}

static void add_again(struct fixture *f)
{
    char nic[256], params[320];

    describe(f, "user", nic);
    snprintf(params, sizeof(params), "{\"name\": \"user\", \"nic\": %s}", nic);
    call(f, "nic-add", params);
    e1000_driver_start(&f->nic);
    get_address(f);
}

/* Its port is free again, or is waited for. */
static void a_network_comes_and_goes_with_its_nic(void **state)
{
    struct fixture *f = *state;
    unsigned descriptors = 0;

    for (unsigned i = 0; i < 3; i++) {
        get_address(f);
        call(f, "nic-remove", "{\"name\": \"user\", \"nic\": 0, \"force\": true}");
        assert_true(rig_wait_nic_gone(&f->rig, 0, 5000));
        add_again(f);
        if (i == 0)
            descriptors = rig_descriptors(&f->rig);
        else
            assert_true(rig_wait_descriptors(&f->rig, descriptors, 5000));
    }
}

/* ---- with worker processes only ---- */

/* The process that has this socket's other end is the only child of the one that listens. */
static pid_t child_of(pid_t pid)
{
    char path[64];
    int child = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &child), 1);
    fclose(file);
    return child;
}

static void a_network_that_dies_takes_the_carrier_and_a_new_nic_has_another(void **state)
{
    struct fixture *f = *state;

    get_address(f);
    assert_true(e1000_driver_status(&f->nic) & E1000_STATUS_LU);
    assert_int_equal(kill(child_of(f->rig.usernet), SIGKILL), 0);
    assert_true(rig_log_has(&f->rig, "guest=user device=net event=nic-network-gone nic=0"));
    assert_false(e1000_driver_status(&f->nic) & E1000_STATUS_LU);
    call(f, "nic-remove", "{\"name\": \"user\", \"nic\": 0, \"force\": true}");
    assert_true(rig_wait_nic_gone(&f->rig, 0, 5000));
    add_again(f);
    assert_true(e1000_driver_status(&f->nic) & E1000_STATUS_LU);
}

static void nobody_who_has_networks_is_told_with_what_to_do(void **state)
{
    struct fixture *f = *state;
    char reason[112];

    assert_null(rig_try_peer(&f->rig, "user", 1, E1000_RAM, reason));
    assert_true(rig_log_has(&f->rig, "NIC 0: user network: nobody listens at "));
    assert_true(rig_log_has(&f->rig, "systemctl start ioemud-usernet.socket"));
    /* And it goes on as soon as there is one. */
    rig_user_network(&f->rig);
    f->nic.peer = rig_peer(&f->rig, "user", 1, E1000_RAM);
    e1000_driver_start(&f->nic);
    get_address(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_guest_gets_an_address_and_its_router_answers),
        TEST(a_forwarded_connection_carries_both_ways),
        TEST(a_port_that_is_taken_is_named),
        TEST(a_network_comes_and_goes_with_its_nic),
    };
    const struct CMUnitTest of_processes[] = {
        TEST(a_network_that_dies_takes_the_carrier_and_a_new_nic_has_another),
        cmocka_unit_test_setup_teardown(nobody_who_has_networks_is_told_with_what_to_do,
                                        setup_without, teardown),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    if (rig_isolated())
        failed += cmocka_run_group_tests(of_processes, NULL, NULL);
    return failed;
}
