/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segmentation, and the checksums it needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net/checksum.h"
#include "devices/net/segment.h"
#include "tests/unit/packets.h"

static uint8_t packet[NET_PACKET_MAX + 64], frame[NET_FRAME_MAX];

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* Plain, byte by byte. */
static uint16_t reference(const uint8_t *data, uint32_t bytes)
{
    uint32_t sum = 0;
    uint8_t big[2];
    uint16_t value;

    for (uint32_t i = 0; i < bytes; i++)
        sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    sum = ~sum;
    big[0] = (uint8_t)(sum >> 8);
    big[1] = (uint8_t)sum;
    memcpy(&value, big, 2);
    return value;
}

static void a_sum_is_right_for_every_length_and_alignment(void **state)
{
    for (uint32_t i = 0; i < sizeof(packet); i++)
        packet[i] = (uint8_t)(i * 131 + (i >> 8) + 0xf0);
    for (uint32_t bytes = 0; bytes < 130; bytes++)
        for (uint32_t at = 0; at < 9; at++)
            assert_int_equal(checksum_finish(checksum_add(0, packet + at, bytes)),
                             reference(packet + at, bytes));
    memset(packet, 0xff, sizeof(packet));
    assert_int_equal(checksum_finish(checksum_add(0, packet, NET_PACKET_MAX)),
                     reference(packet, NET_PACKET_MAX));
}

static void a_checksum_is_inserted_only_inside_the_frame(void **state)
{
    memset(packet, 0x11, 64);
    assert_true(checksum_insert(packet, 64, 14, 30, 64, false));
    assert_int_equal(checksum_finish(checksum_add(0, packet + 14, 50)), reference(packet + 14, 50));
    memset(packet, 0x11, 66);
    assert_false(checksum_insert(packet, 64, 14, 63, 64, false));
    assert_false(checksum_insert(packet, 64, 14, 30, 65, false));
    assert_false(checksum_insert(packet, 64, 31, 30, 64, false));
    assert_false(checksum_insert(packet, 64, 14, 30, 31, false));
    assert_false(checksum_insert(packet, 64, 14, UINT32_MAX, 64, false));
    for (unsigned i = 0; i < 66; i++)
        assert_int_equal(packet[i], 0x11);
    memset(packet, 0, 64);
    packet[20] = packet[21] = 0xff; /* sums up to all-ones: UDP has another word for it */
    assert_true(checksum_insert(packet, 64, 14, 30, 64, true));
    assert_int_equal(get16(packet + 30), 0xffff);
}

static void received_checksums_are_judged(void **state)
{
    for (unsigned version = 4; version <= 6; version += 2)
        for (unsigned udp = 0; udp <= 1; udp++) {
            const struct packet_spec spec = {.version = version, .udp = udp, .payload = 101};
            uint32_t bytes = packet_build(packet, &spec);
            struct frame_headers headers;

            frame_parse(packet, bytes, false, &headers);
            assert_true(headers.l4);
            if (version == 4) {
                assert_int_equal(checksum_check_ip4(packet, &headers), CHECKSUM_BAD);
                checksum_set_ip4(packet, &headers);
                assert_int_equal(checksum_check_ip4(packet, &headers), CHECKSUM_GOOD);
            } else {
                assert_int_equal(checksum_check_ip4(packet, &headers), CHECKSUM_NONE);
            }
            assert_int_equal(checksum_check_l4(packet, &headers),
                             udp && version == 4 ? CHECKSUM_NONE : CHECKSUM_BAD);
            uint16_t sum =
                checksum_finish(checksum_add(checksum_pseudo(packet, &headers, bytes - headers.l4),
                                             packet + headers.l4, bytes - headers.l4));
            memcpy(packet + checksum_field(&headers), &sum, 2);
            packet_assert_checksums(packet, bytes);
            assert_int_equal(checksum_check_l4(packet, &headers), CHECKSUM_GOOD);
            packet[bytes - 1] ^= 1;
            assert_int_equal(checksum_check_l4(packet, &headers), CHECKSUM_BAD);
            if (udp) { /* a length of its own that cannot be */
                packet[headers.l4 + 4] = 0xff;
                assert_int_equal(checksum_check_l4(packet, &headers), CHECKSUM_BAD);
            }
        }
}

static void cut(const struct packet_spec *spec, uint32_t size)
{
    struct net_offload offload = {.gso_size = (uint16_t)size};
    struct segmenter segmenter;
    uint32_t bytes = packet_build(packet, spec), at = 0, count = 0;
    uint32_t l3 = spec->vlan ? 18 : 14;

    offload.gso = spec->udp ? NET_GSO_UDP : spec->version == 4 ? NET_GSO_TCP4 : NET_GSO_TCP6;
    /* Lengths may hold anything. */
    memset(packet + l3 + (spec->version == 4 ? 2 : 4), 0, 2);
    assert_true(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
    uint32_t l4 = segmenter.headers.l4, payload = segmenter.headers.payload;
    for (; segment_more(&segmenter); count++) {
        uint32_t length = segment_next(&segmenter, frame), data = length - payload;
        bool last = at + data == spec->payload;

        assert_true(data == size || last);
        packet_assert_checksums(frame, length);
        for (uint32_t i = 0; i < data; i++)
            assert_int_equal(frame[payload + i], packet_payload_byte(at + i));
        if (spec->version == 4)
            assert_int_equal(get16(frame + l3 + 4), (0xfffe + count) & 0xffff);
        if (!spec->udp) {
            uint32_t seq = get16(frame + l4 + 4) << 16 | get16(frame + l4 + 6);

            assert_int_equal(seq, (uint32_t)(0xffffff00 + at));
            assert_int_equal(frame[l4 + 13] & 0x09, last ? spec->tcp_flags & 0x09 : 0);
            assert_int_equal(frame[l4 + 13] & 0x80, count ? 0 : spec->tcp_flags & 0x80);
            assert_int_equal(frame[l4 + 13] & 0x10, spec->tcp_flags & 0x10);
        } else {
            assert_int_equal(get16(frame + l4 + 4), 8 + data);
        }
        at += data;
    }
    assert_int_equal(at, spec->payload);
    assert_int_equal(count, spec->payload ? (spec->payload + size - 1) / size : 1);
}

static void every_kind_is_cut_into_frames_that_are_complete(void **state)
{
    static const uint32_t payloads[] = {0, 1, 1447, 1448, 1449, 2896, 60000};

    for (unsigned i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
        for (unsigned kind = 0; kind < 8; kind++) {
            const struct packet_spec spec = {.version = kind & 1 ? 6 : 4,
                                             .udp = kind & 2,
                                             .vlan = kind & 4,
                                             .tcp_flags = 0x99, /* CWR ACK PSH FIN */
                                             .payload = payloads[i]};
            cut(&spec, 1448);
        }
    cut(&(struct packet_spec){.version = 4, .tcp_flags = 0x10, .payload = 333}, 1);
}

static void what_cannot_be_cut_is_refused(void **state)
{
    const struct packet_spec spec = {.version = 4, .payload = 20000};
    struct net_offload offload = {.gso = NET_GSO_TCP4, .gso_size = 1448};
    struct segmenter segmenter;
    uint32_t bytes = packet_build(packet, &spec);

    assert_true(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
    assert_false(segment_begin(&segmenter, packet, bytes, &offload, 1400));
    offload.gso = NET_GSO_TCP6;
    assert_false(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
    offload.gso = NET_GSO_UDP;
    assert_false(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
    offload.gso = NET_GSO_TCP4;
    offload.gso_size = 0;
    assert_false(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
    offload.gso_size = 1448;
    assert_false(segment_begin(&segmenter, packet, 53, &offload, NET_FRAME_MAX));
    packet[20] = 0x20; /* a fragment */
    assert_false(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
    packet[20] = 0;
    packet[23] = 1; /* ICMP */
    assert_false(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
    memset(packet, 0, bytes);
    assert_false(segment_begin(&segmenter, packet, bytes, &offload, NET_FRAME_MAX));
}

static void a_packet_left_whole_gets_what_the_kernel_expects(void **state)
{
    for (unsigned version = 4; version <= 6; version += 2) {
        const struct packet_spec spec = {.version = version, .payload = 30000};
        const struct net_offload offload = {.gso = version == 4 ? NET_GSO_TCP4 : NET_GSO_TCP6,
                                            .gso_size = 1448};
        uint8_t header[SEGMENT_HEADERS_MAX];
        struct frame_headers headers;
        uint32_t bytes = packet_build(packet, &spec);

        memset(packet + 14 + (version == 4 ? 2 : 4), 0x55, 2);
        assert_true(segment_prepare(packet, bytes, &offload, header, &headers));
        memcpy(packet, header, headers.payload);
        assert_int_equal(get16(packet + 14 + (version == 4 ? 2 : 4)),
                         bytes - (version == 4 ? 14 : 54));
        /* Completing it as the kernel does must give a right checksum. */
        assert_true(checksum_insert(packet, bytes, headers.l4, headers.l4 + 16, bytes, false));
        packet_assert_checksums(packet, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_is_right_for_every_length_and_alignment),
        cmocka_unit_test(a_checksum_is_inserted_only_inside_the_frame),
        cmocka_unit_test(received_checksums_are_judged),
        cmocka_unit_test(every_kind_is_cut_into_frames_that_are_complete),
        cmocka_unit_test(what_cannot_be_cut_is_refused),
        cmocka_unit_test(a_packet_left_whole_gets_what_the_kernel_expects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
