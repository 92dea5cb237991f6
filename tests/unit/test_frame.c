/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net/frame.h"

static uint32_t plain_crc(const uint8_t *data, uint32_t bytes)
{
    uint32_t crc = UINT32_MAX;

    for (uint32_t i = 0; i < 8 * bytes; i++) {
        uint32_t bit = (crc ^ data[i / 8] >> i % 8) & 1;
        crc = crc >> 1 ^ (bit ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void the_crc_of_any_length_from_any_address(void **state)
{
    uint8_t data[200];

    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i * 31 + 7 * i);
    for (unsigned from = 0; from < 9; from++)
        for (unsigned bytes = 0; bytes + from <= sizeof(data); bytes++)
            assert_int_equal(frame_crc32(data + from, bytes), plain_crc(data + from, bytes));
}

static void the_crc_is_that_of_ethernet(void **state)
{
    /* The check value of CRC-32/ISO-HDLC. */
    assert_int_equal(frame_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(frame_crc32("", 0), 0);
}

/* Bits that drivers set: Linux's ether_crc() >> 26 of 01:00:5e:00:00:01 and 33:33:00:00:00:01. */
static void the_hash_is_that_of_the_dp8390(void **state)
{
    static const uint8_t all_hosts[] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};
    uint32_t crc = UINT32_MAX;

    /* The definition, bit by bit: most significant bit of the register first. */
    for (unsigned i = 0; i < sizeof(all_hosts); i++)
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc << 1 ^ ((crc >> 31 ^ (all_hosts[i] >> bit & 1)) & 1 ? 0x04c11db7 : 0);
    assert_int_equal(frame_hash64(all_hosts), crc >> 26);
}

static void a_filter_passes_what_it_is_told_to(void **state)
{
    static const uint8_t own[60] = {0x00, 0x16, 0x3e, 1, 2, 3};
    static const uint8_t other[60] = {0x00, 0x16, 0x3e, 1, 2, 4};
    static const uint8_t group[60] = {0x01, 0x00, 0x5e, 0, 0, 1};
    static const uint8_t all[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct frame_filter filter = {0};

    assert_false(frame_filter_passes(&filter, own) || frame_filter_passes(&filter, other) ||
                 frame_filter_passes(&filter, group) || frame_filter_passes(&filter, all));
    memcpy(filter.mac, own, 6);
    filter.own = true;
    assert_true(frame_filter_passes(&filter, own));
    assert_false(frame_filter_passes(&filter, other));
    filter.unicast = true;
    assert_true(frame_filter_passes(&filter, other));
    assert_false(frame_filter_passes(&filter, group));
    filter.multicast = true;
    assert_false(frame_filter_passes(&filter, group));
    filter.hash = UINT64_C(1) << frame_hash64(group);
    assert_true(frame_filter_passes(&filter, group));
    filter.hash = ~filter.hash;
    assert_false(frame_filter_passes(&filter, group));
    assert_false(frame_filter_passes(&filter, all));
    filter.broadcast = true;
    assert_true(frame_filter_passes(&filter, all));
    assert_int_equal(frame_dest(all), FRAME_BROADCAST);
    assert_int_equal(frame_dest(group), FRAME_MULTICAST);
    assert_int_equal(frame_dest(own), FRAME_UNICAST);
}

static uint32_t tcp4(uint8_t *frame, unsigned tags)
{
    static const uint8_t ip[] = {0x45, 0, 0,  44, 0, 1, 0x40, 0, 64, 6,
                                 0,    0, 10, 0,  0, 1, 10,   0, 0,  2};
    uint32_t at = 12;

    memset(frame, 0, 200);
    for (unsigned i = 0; i < tags; i++, at += 4)
        memcpy(frame + at, i + 1 < tags ? "\x88\xa8\x00\x05" : "\x81\x00\x00\x06", 4);
    memcpy(frame + at, "\x08\x00", 2);
    memcpy(frame + at + 2, ip, sizeof(ip));
    frame[at + 2 + 20 + 12] = 0x50;
    return at + 2 + 44;
}

static void headers_are_found_behind_tags(void **state)
{
    uint8_t frame[200];
    struct frame_headers headers;

    for (unsigned tags = 0; tags <= 2; tags++) {
        uint32_t bytes = tcp4(frame, tags);

        frame_parse(frame, bytes + 6, false, &headers); /* 6 bytes of padding */
        assert_int_equal(headers.type, FRAME_TYPE_IP4);
        assert_int_equal(headers.version, 4);
        assert_int_equal(headers.l3, 14 + 4 * tags);
        assert_int_equal(headers.l4, headers.l3 + 20);
        assert_int_equal(headers.payload, headers.l4 + 20);
        assert_int_equal(headers.end, bytes);
        frame_parse(frame, bytes + 6, true, &headers);
        assert_int_equal(headers.end, bytes + 6);
    }
    tcp4(frame, 3);
    frame_parse(frame, 200, false, &headers);
    assert_int_equal(headers.version, 0);
    assert_int_equal(headers.type, FRAME_TYPE_VLAN);
}

static void lengths_that_lie_are_not_believed(void **state)
{
    uint8_t frame[200];
    struct frame_headers headers;
    uint32_t bytes = tcp4(frame, 0);

    frame_parse(frame, bytes - 1, false, &headers); /* total length beyond the frame */
    assert_int_equal(headers.version, 0);
    frame[14] = 0x44; /* a header of 16 bytes */
    frame_parse(frame, bytes, false, &headers);
    assert_int_equal(headers.version, 0);
    tcp4(frame, 0);
    frame[17] = 19; /* total length less than the header */
    frame_parse(frame, bytes, false, &headers);
    assert_int_equal(headers.version, 0);
    tcp4(frame, 0);
    frame[46] = 0xf0; /* a TCP header of 60 bytes in 24 */
    frame_parse(frame, bytes, false, &headers);
    assert_int_equal(headers.version, 4);
    assert_int_equal(headers.l4, 0);
    frame[46] = 0x40; /* of 16 */
    frame_parse(frame, bytes, false, &headers);
    assert_int_equal(headers.l4, 0);
    tcp4(frame, 0);
    frame[20] = 0x20; /* more fragments */
    frame_parse(frame, bytes, false, &headers);
    assert_true(headers.fragment);
    assert_int_equal(headers.l4, 0);
    for (uint32_t i = 0; i < bytes; i++) {
        frame_parse(frame, i, true, &headers);
        assert_true(headers.end <= i && headers.payload <= i);
    }
}

static void extension_headers_of_ipv6_are_walked(void **state)
{
    uint8_t frame[400] = {0};
    struct frame_headers headers;

    memcpy(frame + 12, "\x86\xdd\x60", 3);
    frame[19] = 16 + 8 + 12; /* hop-by-hop of 16 bytes, UDP of 20 */
    frame[20] = 0;
    frame[54] = 17;
    frame[55] = 1;
    frame_parse(frame, 54 + 36, false, &headers);
    assert_int_equal(headers.version, 6);
    assert_int_equal(headers.protocol, FRAME_IPPROTO_UDP);
    assert_int_equal(headers.l4, 54 + 16);
    assert_int_equal(headers.payload, 54 + 24);
    frame[54] = 44; /* a fragment header is next */
    frame_parse(frame, 54 + 36, false, &headers);
    assert_true(headers.fragment);
    assert_int_equal(headers.l4, 0);
    frame[54] = 60;
    frame[55] = 200; /* an option header longer than the packet */
    frame_parse(frame, 54 + 36, false, &headers);
    assert_int_equal(headers.l4, 0);
    memset(frame + 54, 0, 320); /* hop-by-hop for ever */
    frame[18] = 1;
    frame[19] = 64;
    frame_parse(frame, 54 + 320, false, &headers);
    assert_int_equal(headers.version, 6);
    assert_int_equal(headers.l4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_crc_is_that_of_ethernet),
        cmocka_unit_test(the_crc_of_any_length_from_any_address),
        cmocka_unit_test(the_hash_is_that_of_the_dp8390),
        cmocka_unit_test(a_filter_passes_what_it_is_told_to),
        cmocka_unit_test(headers_are_found_behind_tags),
        cmocka_unit_test(lengths_that_lie_are_not_believed),
        cmocka_unit_test(extension_headers_of_ipv6_are_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
