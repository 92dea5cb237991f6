/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layer between NIC models and backends, with a fake of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/backend/net_ops.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/packets.h"

#define KEPT 300

struct kept {
    uint32_t bytes;
    struct net_offload offload;
    uint8_t data[2048];
};

struct rig {
    struct net_port port; /* first */
    struct fake_loop *fake;
    struct net *net;

    /* The backend. */
    bool busy, lost, reading, closed, link;
    unsigned sent, flushed, discarded, n_iov;
    struct kept out[KEPT];

    /* The model. */
    bool calling;   /* inside a function of net.h: no callback may come */
    unsigned room;  /* frames that it takes */
    bool filter;    /* drops everything */
    bool send_back; /* answers what it gets, from within */
    unsigned got, batches, writables, links;
    struct kept in[KEPT];
};

static uint8_t packet[NET_PACKET_MAX + 100];

static void keep(struct kept *kept, const struct iovec *iov, unsigned n_iov,
                 const struct net_offload *offload)
{
    kept->bytes = 0;
    for (unsigned i = 0; i < n_iov; i++) {
        uint32_t room = (uint32_t)sizeof(kept->data) - kept->bytes;
        uint32_t part = (uint32_t)(iov[i].iov_len < room ? iov[i].iov_len : room);

        memcpy(kept->data + kept->bytes, iov[i].iov_base, part);
        kept->bytes += (uint32_t)iov[i].iov_len;
    }
    kept->offload = *offload;
}

static enum net_sent backend_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                                  const struct net_offload *offload)
{
    struct rig *rig = (struct rig *)port;

    if (rig->busy)
        return NET_BUSY;
    if (rig->lost)
        return NET_LOST;
    rig->n_iov = n_iov;
    keep(&rig->out[rig->sent++ % KEPT], iov, n_iov, offload);
    return NET_SENT;
}

static void backend_flush(struct net_port *port)
{
    ((struct rig *)port)->flushed++;
}

static void backend_set_reading(struct net_port *port, bool on)
{
    ((struct rig *)port)->reading = on;
}

static void backend_discard(struct net_port *port)
{
    ((struct rig *)port)->discarded++;
}

static void backend_set_link(struct net_port *port, bool up)
{
    ((struct rig *)port)->link = up;
}

static void backend_close(struct net_port *port)
{
    ((struct rig *)port)->closed = true;
}

static const struct net_backend_ops backend = {
    .name = "fake",
    .send = backend_send,
    .flush = backend_flush,
    .set_reading = backend_set_reading,
    .discard = backend_discard,
    .set_link = backend_set_link,
    .close = backend_close,
};

static bool send_packet(struct rig *rig, uint32_t bytes, const struct net_offload *offload)
{
    const struct iovec iov = {packet, bytes};
    bool outer = rig->calling, taken;

    rig->calling = true;
    taken = net_send(rig->net, &iov, 1, offload);
    rig->calling = outer;
    return taken;
}

static enum net_answer model_receive(void *owner, const uint8_t *frame, uint32_t bytes,
                                     const struct net_offload *offload)
{
    struct rig *rig = owner;
    const struct iovec iov = {(void *)frame, bytes};

    assert_false(rig->calling);
    assert_true(bytes >= NET_FRAME_MIN && bytes <= NET_FRAME_MAX);
    assert_false(offload->csum_needed || offload->gso);
    if (rig->filter)
        return NET_FILTERED;
    if (!rig->room)
        return NET_NO_ROOM;
    rig->room--;
    keep(&rig->in[rig->got++ % KEPT], &iov, 1, offload);
    if (rig->send_back)
        send_packet(rig, 100, NULL);
    return NET_TAKEN;
}

static void model_received(void *owner)
{
    struct rig *rig = owner;

    assert_false(rig->calling);
    rig->batches++;
}

static void model_writable(void *owner)
{
    struct rig *rig = owner;

    assert_false(rig->calling);
    rig->writables++;
}

static void model_link(void *owner, bool up)
{
    struct rig *rig = owner;

    rig->links++;
    assert_int_equal(net_link(rig->net), up);
}

static const struct net_client_ops model = {
    .receive = model_receive,
    .received = model_received,
    .writable = model_writable,
    .link = model_link,
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig->fake = fake_loop_create();
    fake_loop_set_clock(rig->fake, 1000000000);
    rig->port = (struct net_port){.ops = &backend, .loop = fake_loop(rig->fake), .max_frame = 1518};
    rig->room = UINT32_MAX;
    rig->link = true;
    assert_int_equal(net_open(&rig->port, &rig->net), 0);
    net_bind(rig->net, &model, rig);
    net_receive_enable(rig->net, true);
    memset(packet, 0x2a, sizeof(packet));
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    net_close(rig->net);
    assert_true(rig->closed);
    fake_loop_destroy(rig->fake);
    free(rig);
    return 0;
}

static void settle(struct rig *rig)
{
    assert_true(fake_loop_settle(rig->fake, 0, 5000) < 5000);
}

static void a_packet_goes_through_as_it_is(void **state)
{
    struct rig *rig = *state;
    const struct iovec iov[] = {{packet, 14}, {packet + 14, 50}, {packet + 64, 36}};

    assert_true(net_send(rig->net, iov, 3, NULL));
    assert_int_equal(rig->sent, 1);
    assert_int_equal(rig->n_iov, 3);
    assert_int_equal(rig->out[0].bytes, 100);
    assert_memory_equal(rig->out[0].data, packet, 100);
    assert_int_equal(rig->flushed, 0);
    settle(rig);
    assert_int_equal(rig->flushed, 1);
    assert_int_equal(net_counters(rig->net)->tx_packets, 1);
    assert_int_equal(net_counters(rig->net)->tx_bytes, 100);
}

static void short_frames_are_padded_both_ways(void **state)
{
    struct rig *rig = *state;
    static const uint8_t zeroes[NET_FRAME_MIN];

    assert_true(send_packet(rig, 14, NULL));
    assert_int_equal(rig->out[0].bytes, NET_FRAME_MIN);
    assert_memory_equal(rig->out[0].data + 14, zeroes, NET_FRAME_MIN - 14);
    assert_true(net_port_receive(&rig->port, packet, 20, NULL));
    assert_int_equal(rig->in[0].bytes, NET_FRAME_MIN);
    assert_memory_equal(rig->in[0].data + 20, zeroes, NET_FRAME_MIN - 20);
    settle(rig);
}

static void what_is_no_packet_is_counted_and_lost(void **state)
{
    struct rig *rig = *state;
    struct net_offload offload = {.csum_needed = true, .csum_start = 34, .csum_offset = 65};

    assert_true(send_packet(rig, 13, NULL));
    assert_true(send_packet(rig, NET_FRAME_MAX + 1, NULL));
    assert_true(send_packet(rig, NET_PACKET_MAX + 1, NULL));
    assert_true(send_packet(rig, 100, &offload)); /* one byte too far */
    offload.csum_start = 100;
    offload.csum_offset = 0;
    assert_true(send_packet(rig, 100, &offload));
    offload = (struct net_offload){.gso = NET_GSO_TCP4, .gso_size = 1000};
    assert_true(send_packet(rig, 5000, &offload)); /* nothing of TCP in it */
    assert_int_equal(net_counters(rig->net)->tx_malformed, 6);
    assert_true(send_packet(rig, 2000, NULL)); /* more than the medium carries */
    assert_int_equal(net_counters(rig->net)->tx_dropped, 1);
    assert_int_equal(rig->sent, 0);
    assert_true(net_port_receive(&rig->port, packet, 13, NULL));
    assert_true(net_port_receive(&rig->port, packet, NET_FRAME_MAX + 1, NULL));
    assert_int_equal(net_counters(rig->net)->rx_dropped, 2);
    assert_int_equal(rig->got, 0);
    settle(rig);
}

static void a_busy_backend_makes_the_model_wait(void **state)
{
    struct rig *rig = *state;

    rig->busy = true;
    assert_false(send_packet(rig, 100, NULL));
    assert_false(send_packet(rig, 100, NULL));
    settle(rig);
    assert_int_equal(rig->writables, 0);
    rig->busy = false;
    net_port_writable(&rig->port);
    assert_int_equal(rig->writables, 1);
    assert_true(send_packet(rig, 100, NULL));
    rig->lost = true;
    assert_true(send_packet(rig, 100, NULL));
    assert_int_equal(net_counters(rig->net)->tx_dropped, 1);
    settle(rig);
    assert_int_equal(rig->writables, 1);
}

static void a_turn_has_a_budget(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < NET_BUDGET; i++)
        assert_true(send_packet(rig, i % 2 ? 100 : 13, NULL)); /* malformed ones count, too */
    assert_false(send_packet(rig, 100, NULL));
    assert_int_equal(rig->writables, 0);
    assert_true(fake_loop_turn(rig->fake, 0));
    assert_int_equal(rig->writables, 1);
    assert_true(send_packet(rig, 100, NULL));
    settle(rig);
}

static void checksums_are_done_for_a_backend_that_cannot(void **state)
{
    struct rig *rig = *state;
    const struct packet_spec spec = {.version = 6, .payload = 501};
    uint32_t bytes = packet_build(packet, &spec);
    const struct net_offload offload = {.csum_needed = true, .csum_start = 54, .csum_offset = 16};
    uint32_t sum = 20 + 501 + 6; /* the pseudo-header's, as a driver leaves it */

    for (unsigned i = 22; i < 54; i += 2)
        sum += (uint32_t)packet[i] << 8 | packet[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    packet[70] = (uint8_t)(sum >> 8);
    packet[71] = (uint8_t)sum;
    assert_true(send_packet(rig, bytes, &offload));
    assert_int_equal(rig->out[0].bytes, bytes);
    assert_false(rig->out[0].offload.csum_needed);
    packet_assert_checksums(rig->out[0].data, bytes);
    /* Received with its checksum left open, it is completed and known to be good. */
    assert_true(net_port_receive(&rig->port, packet, bytes, &offload));
    assert_true(rig->in[0].offload.csum_valid);
    packet_assert_checksums(rig->in[0].data, bytes);
    rig->port.caps = NET_CAN_CSUM;
    assert_true(send_packet(rig, bytes, &offload));
    assert_true(rig->out[1].offload.csum_needed);
    assert_memory_equal(rig->out[1].data, packet, bytes);
    settle(rig);
}

static void large_packets_are_cut_within_the_budget(void **state)
{
    struct rig *rig = *state;
    const struct packet_spec spec = {.version = 4, .payload = 20000};
    const struct net_offload offload = {.gso = NET_GSO_TCP4, .gso_size = 100};
    uint32_t bytes = packet_build(packet, &spec), at = 0;

    assert_true(send_packet(rig, bytes, &offload));
    assert_int_equal(rig->sent, NET_BUDGET);
    assert_false(send_packet(rig, 100, NULL)); /* it is still being cut */
    memset(packet, 0, bytes);                  /* the memory is the model's again */
    settle(rig);
    assert_int_equal(rig->sent, 200);
    assert_int_equal(rig->writables, 1);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(rig->out[i].bytes, 154);
        packet_assert_checksums(rig->out[i].data, 154);
        for (unsigned j = 0; j < 100; j++)
            assert_int_equal(rig->out[i].data[54 + j], packet_payload_byte(at++));
    }
    assert_int_equal(net_counters(rig->net)->tx_packets, 1);
    assert_int_equal(net_counters(rig->net)->tx_segmented, 1);
}

static void a_segment_that_the_backend_refuses_goes_later(void **state)
{
    struct rig *rig = *state;
    const struct packet_spec spec = {.version = 4, .payload = 3000};
    const struct net_offload offload = {.gso = NET_GSO_TCP4, .gso_size = 1000};
    uint32_t bytes = packet_build(packet, &spec);

    rig->busy = true;
    assert_true(send_packet(rig, bytes, &offload)); /* the copy waits */
    assert_false(send_packet(rig, 100, NULL));
    settle(rig);
    rig->busy = false;
    net_port_writable(&rig->port);
    assert_int_equal(rig->sent, 3);
    assert_int_equal(rig->writables, 1);
    settle(rig);
    rig->busy = true;
    assert_true(send_packet(rig, bytes, &offload));
    net_set_link(rig->net, false); /* it leaves nowhere any more */
    rig->busy = false;
    net_port_writable(&rig->port);
    settle(rig);
    assert_int_equal(rig->sent, 3);
}

static void a_backend_that_can_cut_gets_large_packets_whole(void **state)
{
    struct rig *rig = *state;
    const struct packet_spec spec = {.version = 4, .payload = 1900};
    struct net_offload offload = {.gso = NET_GSO_TCP4, .gso_size = 1000};
    uint32_t bytes = packet_build(packet, &spec);
    const struct iovec iov[] = {{packet, 40}, {packet + 40, bytes - 40}};

    rig->port.caps = NET_CAN_CSUM | NET_CAN_TCP4;
    packet[16] = packet[17] = 0;
    assert_true(net_send(rig->net, iov, 2, &offload));
    assert_int_equal(rig->sent, 1);
    assert_int_equal(rig->out[0].bytes, bytes);
    assert_int_equal(rig->out[0].offload.gso, NET_GSO_TCP4);
    assert_int_equal(rig->out[0].offload.gso_size, 1000);
    assert_int_equal(rig->out[0].offload.csum_start, 34);
    assert_int_equal(rig->out[0].offload.csum_offset, 16);
    assert_int_equal(rig->out[0].offload.header_bytes, 54);
    assert_int_equal(rig->out[0].data[16] << 8 | rig->out[0].data[17], bytes - 14);
    offload.gso_size = 1500; /* segments that the medium does not carry */
    assert_true(net_send(rig->net, iov, 2, &offload));
    assert_int_equal(net_counters(rig->net)->tx_malformed, 1);
    assert_int_equal(rig->sent, 1);
    settle(rig);
}

static void a_model_without_room_stops_the_reader(void **state)
{
    struct rig *rig = *state;

    rig->room = 1;
    assert_true(net_port_receive(&rig->port, packet, 100, NULL));
    packet[50] = 0x77;
    assert_false(net_port_receive(&rig->port, packet, 101, NULL));
    net_port_received(&rig->port);
    assert_int_equal(rig->batches, 1);
    assert_false(rig->reading);
    memset(packet, 0, 200); /* the backend's buffer is its own again */
    settle(rig);
    assert_int_equal(rig->got, 1);
    rig->room = 5;
    rig->calling = true;
    net_receive_ready(rig->net);
    net_receive_ready(rig->net);
    rig->calling = false;
    assert_int_equal(rig->got, 1);
    settle(rig);
    assert_int_equal(rig->got, 2);
    assert_int_equal(rig->batches, 2);
    assert_int_equal(rig->in[1].bytes, 101);
    assert_int_equal(rig->in[1].data[50], 0x77);
    assert_true(rig->reading);
    assert_int_equal(net_counters(rig->net)->rx_waits, 1);
}

static void received_large_packets_are_cut_as_the_model_has_room(void **state)
{
    struct rig *rig = *state;
    const struct packet_spec spec = {.version = 6, .payload = 50000};
    const struct net_offload offload = {.csum_needed = true,
                                        .gso = NET_GSO_TCP6,
                                        .gso_size = 500,
                                        .csum_start = 54,
                                        .csum_offset = 16};
    uint32_t bytes = packet_build(packet, &spec), at = 0;

    rig->room = 10;
    assert_false(net_port_receive(&rig->port, packet, bytes, &offload));
    memset(packet, 0, bytes);
    settle(rig);
    assert_int_equal(rig->got, 10);
    rig->room = 1000;
    net_receive_ready(rig->net);
    settle(rig);
    assert_int_equal(rig->got, 100);
    assert_true(rig->reading);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(rig->in[i].offload.csum_valid);
        packet_assert_checksums(rig->in[i].data, rig->in[i].bytes);
        for (unsigned j = 0; j < 500; j++)
            assert_int_equal(rig->in[i].data[74 + j], packet_payload_byte(at++));
    }
}

static void a_receiver_that_is_off_costs_nothing_and_loses_what_came(void **state)
{
    struct rig *rig = *state;

    rig->room = 0;
    assert_false(net_port_receive(&rig->port, packet, 100, NULL));
    net_receive_enable(rig->net, false);
    assert_false(rig->reading);
    rig->room = 10;
    net_receive_ready(rig->net);
    settle(rig);
    assert_int_equal(rig->got, 0);
    unsigned discarded = rig->discarded;
    net_receive_enable(rig->net, true);
    assert_true(rig->discarded > discarded);
    assert_true(rig->reading);
    settle(rig);
    assert_int_equal(rig->got, 0);
    rig->filter = true;
    assert_true(net_port_receive(&rig->port, packet, 100, NULL));
    net_port_received(&rig->port);
    assert_int_equal(rig->batches, 0);
    assert_int_equal(net_counters(rig->net)->rx_filtered, 1);
    settle(rig);
}

/* CVE-2021-3416: loopback re-enters the receive path of the device that is sending. */
static void cve_2021_3416_loopback_comes_from_the_loop(void **state)
{
    struct rig *rig = *state;
    const struct iovec iov = {packet, 20};

    rig->send_back = true;
    rig->calling = true;
    assert_true(net_loop(rig->net, &iov, 1, NULL));
    assert_false(net_loop(rig->net, &iov, 1, NULL)); /* one at a time */
    assert_int_equal(rig->got, 0);
    rig->calling = false;
    settle(rig);
    assert_int_equal(rig->got, 1);
    assert_int_equal(rig->in[0].bytes, NET_FRAME_MIN); /* CVE-2025-12464: never a short one */
    assert_int_equal(rig->batches, 1);
    assert_int_equal(rig->writables, 1);
    assert_int_equal(net_counters(rig->net)->looped, 1);
    rig->send_back = false;
    net_receive_enable(rig->net, false); /* the switch and the cable do not matter */
    net_set_link(rig->net, false);
    assert_true(net_loop(rig->net, &iov, 1, NULL));
    settle(rig);
    assert_int_equal(rig->got, 2);
    rig->room = 0;
    assert_true(net_loop(rig->net, &iov, 1, NULL));
    settle(rig);
    assert_int_equal(net_counters(rig->net)->rx_dropped, 1);
    assert_true(net_loop(rig->net, &iov, 1, NULL));
    settle(rig);
}

static void the_cable_has_two_ends(void **state)
{
    struct rig *rig = *state;

    net_set_link(rig->net, false);
    net_set_link(rig->net, false);
    assert_int_equal(rig->links, 1);
    assert_false(rig->link);
    assert_false(rig->reading);
    assert_true(send_packet(rig, 100, NULL));
    assert_int_equal(net_counters(rig->net)->tx_dropped, 1);
    net_port_carrier(&rig->port, false);
    net_set_link(rig->net, true);
    assert_int_equal(rig->links, 1);
    assert_true(rig->link);
    net_port_carrier(&rig->port, true);
    assert_int_equal(rig->links, 2);
    assert_true(rig->reading);
    assert_true(send_packet(rig, 100, NULL));
    assert_int_equal(rig->sent, 1);
    settle(rig);
}

static void rates_are_kept(void **state)
{
    struct rig *rig = *state;
    const struct net_limits limits = {
        .tx_rate = 1000000, .tx_burst = 10000, .rx_rate = 1000000, .rx_burst = 0};
    uint64_t clock = 1000000000;
    unsigned got = 0;

    net_set_limits(rig->net, &limits);
    settle(rig);
    for (unsigned ms = 0; ms < 1000; ms++) {
        fake_loop_set_clock(rig->fake, clock += 1000000);
        settle(rig);
        while (send_packet(rig, 1000, NULL))
            ;
        if (rig->reading)
            net_port_receive(&rig->port, packet, 1000, NULL);
        got = rig->got;
    }
    assert_in_range(rig->sent, 990, 1012); /* a megabyte, and the burst */
    assert_in_range(got, 490, 1001);
    assert_true(rig->writables > 500);
    assert_true(net_counters(rig->net)->tx_limited > 500);
    assert_true(net_counters(rig->net)->rx_limited > 400);
    net_set_limits(rig->net, &(struct net_limits){0});
    settle(rig);
    assert_true(rig->reading);
    assert_int_equal(fake_loop_timers(rig->fake), 0);
}

static void a_model_that_leaves_is_never_called_again(void **state)
{
    struct rig *rig = *state;
    const struct packet_spec spec = {.version = 4, .payload = 20000};
    const struct net_offload offload = {.gso = NET_GSO_TCP4, .gso_size = 100};
    uint32_t bytes = packet_build(packet, &spec);

    rig->room = 0;
    net_port_receive(&rig->port, packet, 100, NULL);
    send_packet(rig, bytes, &offload);
    assert_false(send_packet(rig, 100, NULL));
    net_bind(rig->net, NULL, NULL);
    rig->room = 100;
    unsigned sent = rig->sent;
    settle(rig);
    net_set_link(rig->net, false);
    net_set_link(rig->net, true);
    assert_false(net_port_receive(&rig->port, packet, 100, NULL));
    settle(rig);
    assert_int_equal(rig->got + rig->writables + rig->links, 0);
    assert_int_equal(rig->sent, sent);
    assert_false(rig->reading);
    net_bind(rig->net, &model, rig);
    assert_true(send_packet(rig, 100, NULL));
    settle(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_packet_goes_through_as_it_is),
        TEST(short_frames_are_padded_both_ways),
        TEST(what_is_no_packet_is_counted_and_lost),
        TEST(a_busy_backend_makes_the_model_wait),
        TEST(a_turn_has_a_budget),
        TEST(checksums_are_done_for_a_backend_that_cannot),
        TEST(large_packets_are_cut_within_the_budget),
        TEST(a_segment_that_the_backend_refuses_goes_later),
        TEST(a_backend_that_can_cut_gets_large_packets_whole),
        TEST(a_model_without_room_stops_the_reader),
        TEST(received_large_packets_are_cut_as_the_model_has_room),
        TEST(a_receiver_that_is_off_costs_nothing_and_loses_what_came),
        TEST(cve_2021_3416_loopback_comes_from_the_loop),
        TEST(the_cable_has_two_ends),
        TEST(rates_are_kept),
        TEST(a_model_that_leaves_is_never_called_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
