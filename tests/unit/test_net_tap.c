/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tap interface in a network namespace of its own, with a packet socket at its other end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/packets.h"

static const char *why_not; /* NULL: it can be tested */
static struct net_rig nic;
static uint8_t packet[NET_PACKET_MAX + 64], got[NET_PACKET_MAX + 64];

struct ends {
    struct fake_loop *fake;
    int wire; /* the packet socket, with a struct virtio_net_hdr before each packet */
};

static int open_tap(unsigned flags)
{
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags), .ifr_name = "t0"};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), control;

    if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
        return -1;
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifr.ifr_flags = IFF_UP | IFF_RUNNING | IFF_NOARP;
    assert_int_equal(ioctl(control, SIOCSIFFLAGS, &ifr), 0);
    close(control);
    return fd;
}

static void open_wire(struct ends *ends)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex("t0")};
    int on = 1;

    ends->wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    assert_true(ends->wire >= 0);
    assert_int_equal(setsockopt(ends->wire, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(ends->wire, (struct sockaddr *)&address, sizeof(address)), 0);
}

static int start(void **state, bool header)
{
    static struct ends ends;
    struct net_port *port;
    int fd;

    *state = &ends;
    if (why_not)
        return 0;
    ends.fake = fake_loop_create();
    fd = open_tap(header ? IFF_VNET_HDR : 0);
    assert_true(fd >= 0);
    open_wire(&ends);
    assert_int_equal(net_tap_open(fd, header, fake_loop(ends.fake), &port), 0);
    net_rig_init(&nic, ends.fake, port);
    /* What the kernel itself says on a new interface (IPv6) is not ours. */
    fake_loop_settle(ends.fake, 50, 100);
    while (recv(ends.wire, got, sizeof(got), 0) > 0)
        ;
    return 0;
}

static int setup(void **state)
{
    return start(state, true);
}

static int setup_plain(void **state)
{
    return start(state, false);
}

static int teardown(void **state)
{
    struct ends *ends = *state;

    if (why_not)
        return 0;
    net_rig_finish(&nic);
    close(ends->wire);
    fake_loop_destroy(ends->fake);
    return 0;
}

static struct ends *ends_or_skip(void **state)
{
    if (why_not) {
        print_message("skipped: %s\n", why_not);
        skip();
    }
    return *state;
}

/* The next of ours: 0x1234 is its port or type. */
static ssize_t wire_recv(struct ends *ends, struct virtio_net_hdr *ret_header)
{
    for (;;) {
        ssize_t n = recv(ends->wire, got, sizeof(got), 0);

        if (n <= 0 || !memcmp(got + sizeof(*ret_header), "\x00\x16\x3e\x00\x00\x01", 6)) {
            memcpy(ret_header, got, sizeof(*ret_header));
            return n > 0 ? n - (ssize_t)sizeof(*ret_header) : n;
        }
    }
}

static void wire_send(struct ends *ends, const struct virtio_net_hdr *header, uint32_t bytes)
{
    memcpy(got, header, sizeof(*header));
    memcpy(got + sizeof(*header), packet, bytes);
    assert_int_equal(send(ends->wire, got, sizeof(*header) + bytes, 0), sizeof(*header) + bytes);
}

/* Frames of ours that have come: the kernel talks, too. */
static unsigned wait_for(struct ends *ends, unsigned count)
{
    unsigned ours = 0;

    for (unsigned turns = 0; turns < 100; turns++) {
        ours = 0;
        for (unsigned i = 0; i < nic.got && i < NET_RIG_FRAMES; i++)
            ours += !memcmp(nic.frame[i].data, "\x00\x16\x3e\x00\x00\x01", 6);
        if (ours >= count || !fake_loop_turn(ends->fake, 500))
            break;
    }
    return ours;
}

static void frames_pass_both_ways_several_a_wakeup(void **state)
{
    struct ends *ends = ends_or_skip(state);
    struct virtio_net_hdr header = {0};
    const struct packet_spec spec = {.version = 4, .udp = true, .payload = 100};
    uint32_t bytes = packet_build(packet, &spec);

    nic.got = nic.batches = 0;
    for (unsigned i = 0; i < 10; i++)
        wire_send(ends, &header, bytes);
    assert_int_equal(wait_for(ends, 10), 10);
    assert_true(nic.batches < 5);
    assert_memory_equal(nic.frame[0].data + 14, packet + 14, bytes - 14);
    while (recv(ends->wire, got, sizeof(got), 0) > 0)
        ;
    assert_true(net_rig_send(&nic, packet, bytes, NULL));
    assert_int_equal(wire_recv(ends, &header), bytes);
    assert_memory_equal(got + sizeof(header), packet, bytes);
    fake_loop_settle(ends->fake, 0, 10);
}

static void large_packets_leave_whole(void **state)
{
    struct ends *ends = ends_or_skip(state);
    struct virtio_net_hdr header;
    const struct packet_spec spec = {.version = 4, .payload = 30000};
    const struct net_offload offload = {.gso = NET_GSO_TCP4, .gso_size = 1448};
    uint32_t bytes = packet_build(packet, &spec);

    assert_true(net_rig_send(&nic, packet, bytes, &offload));
    assert_int_equal(net_counters(nic.net)->tx_dropped, 0);
    assert_int_equal(wire_recv(ends, &header), bytes);
    assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    assert_int_equal(header.gso_size, 1448);
    assert_int_equal(net_counters(nic.net)->tx_segmented, 0);
    fake_loop_settle(ends->fake, 0, 10);
}

static void large_packets_come_whole_and_are_cut_for_the_model(void **state)
{
    struct ends *ends = ends_or_skip(state);
    const struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                          .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                          .hdr_len = 54,
                                          .gso_size = 1448,
                                          .csum_start = 34,
                                          .csum_offset = 16};
    const struct packet_spec spec = {.version = 4, .payload = 14480};
    uint32_t bytes = packet_build(packet, &spec), at = 0;

    nic.got = 0;
    wire_send(ends, &header, bytes);
    assert_int_equal(wait_for(ends, 10), 10);
    assert_int_equal(net_counters(nic.net)->rx_segmented, 1);
    for (unsigned i = 0; i < nic.got; i++) {
        if (memcmp(nic.frame[i].data, "\x00\x16\x3e\x00\x00\x01", 6))
            continue;
        packet_assert_checksums(nic.frame[i].data, nic.frame[i].bytes);
        assert_true(nic.frame[i].csum_valid);
        for (unsigned j = 0; j < 1448; j++)
            assert_int_equal(nic.frame[i].data[54 + j], packet_payload_byte(at++));
    }
    assert_int_equal(at, 14480);
    fake_loop_settle(ends->fake, 0, 10);
}

static void without_a_header_everything_is_done_here(void **state)
{
    struct ends *ends = ends_or_skip(state);
    struct virtio_net_hdr header = {0};
    const struct packet_spec spec = {.version = 6, .payload = 3000};
    const struct net_offload offload = {.gso = NET_GSO_TCP6, .gso_size = 1000};
    uint32_t bytes = packet_build(packet, &spec);

    assert_true(net_rig_send(&nic, packet, bytes, &offload));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wire_recv(ends, &header), 1074);
        assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
        packet_assert_checksums(got + sizeof(header), 1074);
    }
    bytes = packet_build(packet, &(struct packet_spec){.version = 4, .udp = true, .payload = 9});
    header = (struct virtio_net_hdr){0};
    nic.got = 0;
    wire_send(ends, &header, bytes);
    assert_int_equal(wait_for(ends, 1), 1);
    fake_loop_settle(ends->fake, 0, 10);
}

static void a_guest_that_takes_nothing_costs_nothing(void **state)
{
    struct ends *ends = ends_or_skip(state);
    const struct virtio_net_hdr header = {0};
    uint32_t bytes =
        packet_build(packet, &(struct packet_spec){.version = 4, .udp = true, .payload = 100});

    nic.room = 0;
    for (unsigned i = 0; i < 50; i++)
        wire_send(ends, &header, bytes);
    fake_loop_settle(ends->fake, 10, 100);
    assert_int_equal(fake_loop_settle(ends->fake, 10, 100), 0);
    nic.room = UINT32_MAX;
    nic.got = 0;
    net_receive_ready(nic.net);
    assert_int_equal(wait_for(ends, 50), 50); /* none was lost */
    /* Receiver off and on: what came meanwhile is gone. */
    fake_loop_settle(ends->fake, 10, 100);
    net_receive_enable(nic.net, false);
    for (unsigned i = 0; i < 50; i++)
        wire_send(ends, &header, bytes);
    assert_int_equal(fake_loop_settle(ends->fake, 10, 100), 0);
    nic.got = 0;
    net_receive_enable(nic.net, true);
    fake_loop_settle(ends->fake, 10, 100);
    assert_int_equal(wait_for(ends, 1), 0);
}

static void on_disk_done(void *owner, struct blk_req *req, int error)
{
    *(bool *)owner = true;
    blk_put(req);
}

/* However many packets wait: after a batch of them come the others of the worker. */
static void disks_have_their_turn_after_each_batch_of_packets(void **state)
{
    static const struct blk_client_ops disk_ops = {.done = on_disk_done};
    static uint8_t data[64 * BLK_SECTOR];
    struct ends *ends = ends_or_skip(state);
    const struct virtio_net_hdr header = {0};
    struct blk_image *image;
    struct blk_req *req;
    struct pool *pool;
    struct blk *blk;
    bool done = false;

    packet_build(packet, &(struct packet_spec){.version = 4, .udp = true, .payload = 9});
    assert_int_equal(pool_create(64, &pool), 0);
    assert_int_equal(mem_open(data, 64, false, fake_loop(ends->fake), pool, &image), 0);
    assert_int_equal(blk_open(image, 8, &blk), 0);
    blk_bind(blk, &disk_ops, &done);
    nic.got = 0;
    for (unsigned i = 0; i < 10 * NET_BUDGET; i++)
        wire_send(ends, &header, 60);
    for (unsigned i = 0; i < 8; i++) {
        unsigned before = nic.got;

        done = false;
        assert_int_equal(blk_get(blk, BLK_READ, i, 4096, 0, &req), 0);
        blk_submit(req);
        for (unsigned turn = 0; turn < 2 && !done; turn++)
            assert_true(fake_loop_turn(ends->fake, 0));
        assert_true(done);
        assert_true(nic.got - before <= 2 * NET_BUDGET);
    }
    assert_true(nic.got > 0);
    assert_int_equal(wait_for(ends, 10 * NET_BUDGET), 10 * NET_BUDGET);
    blk_close(blk, NULL, NULL);
    fake_loop_settle(ends->fake, 10, 100);
    pool_destroy(pool);
}

/* The kernel tells of a carrier some time later. */
static bool becomes_running(struct ends *ends, bool running)
{
    struct ifreq ifr = {.ifr_name = "t0"};

    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(ioctl(ends->wire, SIOCGIFFLAGS, &ifr), 0);
        if (!(ifr.ifr_flags & IFF_RUNNING) == !running)
            return true;
        usleep(20000);
    }
    return false;
}

static void the_cable_is_seen_at_the_other_end(void **state)
{
    struct ends *ends = ends_or_skip(state);

    assert_true(becomes_running(ends, true));
    net_set_link(nic.net, false);
    fake_loop_settle(ends->fake, 10, 10);
    assert_true(becomes_running(ends, false));
    net_set_link(nic.net, true);
    assert_true(becomes_running(ends, true));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_pass_both_ways_several_a_wakeup),
        TEST(large_packets_leave_whole),
        TEST(large_packets_come_whole_and_are_cut_for_the_model),
        cmocka_unit_test_setup_teardown(without_a_header_everything_is_done_here, setup_plain,
                                        teardown),
        TEST(a_guest_that_takes_nothing_costs_nothing),
        TEST(disks_have_their_turn_after_each_batch_of_packets),
        TEST(the_cable_is_seen_at_the_other_end),
    };
    int fd;

    if (unshare(CLONE_NEWNET))
        why_not = "no network namespace of its own (not root?)";
    else if ((fd = open_tap(0)) < 0)
        why_not = "no tap interfaces (/dev/net/tun)";
    else
        close(fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
