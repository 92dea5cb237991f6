/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

uint8_t packet_payload_byte(uint32_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

uint32_t packet_build(uint8_t *packet, const struct packet_spec *spec)
{
    uint32_t l3 = spec->vlan ? 18 : 14, l3_bytes = spec->version == 4 ? 20 : 40;
    uint32_t l4 = l3 + l3_bytes, l4_bytes = spec->udp ? 8 : 20, payload = l4 + l4_bytes;
    uint8_t *ip = packet + l3;

    memset(packet, 0, payload);
    memcpy(packet, "\x00\x16\x3e\x00\x00\x01\x00\x16\x3e\x00\x00\x02", 12);
    if (spec->vlan)
        memcpy(packet + 12, "\x81\x00\x00\x07", 4);
    put16(packet + l3 - 2, spec->version == 4 ? 0x0800 : 0x86dd);
    if (spec->version == 4) {
        ip[0] = 0x45;
        put16(ip + 2, l3_bytes + l4_bytes + spec->payload);
        put16(ip + 4, 0xfffe);
        ip[8] = 64;
        ip[9] = spec->udp ? 17 : 6;
        memcpy(ip + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
    } else {
        ip[0] = 0x60;
        put16(ip + 4, l4_bytes + spec->payload);
        ip[6] = spec->udp ? 17 : 6;
        ip[7] = 64;
        memcpy(ip + 8, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
        memcpy(ip + 24, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    }
    put16(packet + l4, 0x1234);
    put16(packet + l4 + 2, 80);
    if (spec->udp) {
        put16(packet + l4 + 4, 8 + spec->payload);
    } else {
        memcpy(packet + l4 + 4, "\xff\xff\xff\x00", 4);
        packet[l4 + 12] = 0x50;
        packet[l4 + 13] = spec->tcp_flags;
    }
    for (uint32_t i = 0; i < spec->payload; i++)
        packet[payload + i] = packet_payload_byte(i);
    return payload + spec->payload;
}

static uint32_t add(uint32_t sum, const uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

void packet_assert_checksums(const uint8_t *frame, uint32_t bytes)
{
    uint32_t l3 = get16(frame + 12) == 0x8100 ? 18 : 14, sum;
    const uint8_t *ip = frame + l3;
    bool four = get16(frame + l3 - 2) == 0x0800;
    uint32_t l4 = l3 + (four ? 20 : 40);
    uint32_t end = four ? l3 + get16(ip + 2) : l4 + get16(ip + 4);

    assert_true(end <= bytes);
    if (four)
        assert_int_equal(add(0, ip, 20), 0xffff);
    sum = add(end - l4 + (four ? ip[9] : ip[6]), four ? ip + 12 : ip + 8, four ? 8 : 32);
    assert_int_equal(add(sum, frame + l4, end - l4), 0xffff);
}
