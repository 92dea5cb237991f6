/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/net/frame.h"

#include <string.h>

#include "devices/net/crc_table.h"

#define TYPE_SERVICE_VLAN 0x88a8 /* IEEE 802.1Q, table 9-1 */
#define TAGS_MAX          2

/* Protocol numbers that IPv6 uses for extension headers (RFC 8200, 4.1; RFC 4302). */
#define IP6_HOP_BY_HOP  0
#define IP6_ROUTING     43
#define IP6_FRAGMENT    44
#define IP6_AUTH        51
#define IP6_DESTINATION 60
#define IP6_HEADERS_MAX 8 /* walked at most; RFC 8200 has each once, one of them twice */

#define IP4_HEADER 20u
#define IP6_HEADER 40u
#define TCP_HEADER 20u
#define UDP_HEADER 8u

enum frame_dest frame_dest(const uint8_t *frame)
{
    static const uint8_t all_ones[NET_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (!(frame[0] & 1))
        return FRAME_UNICAST;
    return memcmp(frame, all_ones, NET_MAC_BYTES) ? FRAME_MULTICAST : FRAME_BROADCAST;
}

static uint32_t le32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t crc_add(uint32_t crc, const uint8_t *data, uint32_t bytes)
{
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint32_t low = crc ^ le32(data), high = le32(data + 4);
        crc = crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^
              crc_table[5][low >> 16 & 0xff] ^ crc_table[4][low >> 24] ^ crc_table[3][high & 0xff] ^
              crc_table[2][high >> 8 & 0xff] ^ crc_table[1][high >> 16 & 0xff] ^
              crc_table[0][high >> 24];
    }
    for (uint32_t i = 0; i < bytes; i++)
        crc = crc_table[0][(crc ^ data[i]) & 0xff] ^ crc >> 8;
    return crc;
}

uint32_t frame_crc32(const void *data, uint32_t bytes)
{
    return ~crc_add(UINT32_MAX, data, bytes);
}

/* The shift register has its most significant bit where the table's has its least. */
unsigned frame_hash64(const uint8_t mac[NET_MAC_BYTES])
{
    uint32_t crc = crc_add(UINT32_MAX, mac, NET_MAC_BYTES);
    unsigned hash = 0;

    for (unsigned i = 0; i < 6; i++)
        hash = hash << 1 | (crc >> i & 1);
    return hash;
}

bool frame_filter_passes(const struct frame_filter *filter, const uint8_t *frame)
{
    switch (frame_dest(frame)) {
    case FRAME_BROADCAST:
        return filter->broadcast;
    case FRAME_MULTICAST:
        return filter->multicast && filter->hash >> frame_hash64(frame) & 1;
    case FRAME_UNICAST:
        break;
    }
    return filter->unicast || (filter->own && !memcmp(frame, filter->mac, NET_MAC_BYTES));
}

static uint32_t be16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

/* TCP's or UDP's header at `at`, of an IP packet that ends where ret_headers says. */
static void parse_l4(const uint8_t *frame, uint32_t at, struct frame_headers *ret_headers)
{
    uint32_t room = ret_headers->end - at, length = 0;

    if (ret_headers->fragment)
        return;
    if (ret_headers->protocol == FRAME_IPPROTO_TCP && room >= TCP_HEADER)
        length = (frame[at + 12] >> 4) * 4u; /* RFC 793, 3.1 */
    else if (ret_headers->protocol == FRAME_IPPROTO_UDP)
        length = UDP_HEADER;
    if (length < UDP_HEADER || length > room ||
        (ret_headers->protocol == FRAME_IPPROTO_TCP && length < TCP_HEADER))
        return;
    ret_headers->l4 = at;
    ret_headers->payload = at + length;
}

static void parse_ip4(const uint8_t *frame, uint32_t bytes, bool whole,
                      struct frame_headers *ret_headers)
{
    const uint8_t *ip = frame + ret_headers->l3;
    uint32_t room = bytes - ret_headers->l3, header, total;

    if (room < IP4_HEADER || ip[0] >> 4 != 4)
        return;
    header = (ip[0] & 0xf) * 4u;
    total = whole ? room : be16(ip + 2);
    if (header < IP4_HEADER || total < header || total > room)
        return;
    ret_headers->version = 4;
    ret_headers->protocol = ip[9];
    ret_headers->fragment = be16(ip + 6) & 0x3fff; /* more to come, or not the first */
    ret_headers->end = ret_headers->l3 + total;
    parse_l4(frame, ret_headers->l3 + header, ret_headers);
}

static void parse_ip6(const uint8_t *frame, uint32_t bytes, bool whole,
                      struct frame_headers *ret_headers)
{
    const uint8_t *ip = frame + ret_headers->l3;
    uint32_t room = bytes - ret_headers->l3, at = ret_headers->l3 + IP6_HEADER, total;

    if (room < IP6_HEADER || ip[0] >> 4 != 6)
        return;
    total = whole ? room : IP6_HEADER + be16(ip + 4);
    if (total > room)
        return;
    ret_headers->version = 6;
    ret_headers->protocol = ip[6];
    ret_headers->end = ret_headers->l3 + total;

    for (unsigned i = 0; i < IP6_HEADERS_MAX; i++) {
        uint32_t left = ret_headers->end - at, length;

        switch (ret_headers->protocol) {
        case IP6_HOP_BY_HOP:
        case IP6_ROUTING:
        case IP6_DESTINATION:
            length = left < 8 ? 0 : (frame[at + 1] + 1u) * 8;
            break;
        case IP6_AUTH:
            length = left < 8 ? 0 : (frame[at + 1] + 2u) * 4;
            break;
        case IP6_FRAGMENT:
            ret_headers->fragment = true;
            return;
        default:
            parse_l4(frame, at, ret_headers);
            return;
        }
        if (!length || length > left)
            return;
        ret_headers->protocol = frame[at];
        at += length;
    }
}

void frame_parse(const uint8_t *frame, uint32_t bytes, bool whole,
                 struct frame_headers *ret_headers)
{
    uint32_t at = NET_ETH_BYTES;

    *ret_headers = (struct frame_headers){0};
    if (bytes < NET_ETH_BYTES)
        return;
    ret_headers->type = (uint16_t)be16(frame + 12);
    for (unsigned i = 0; i < TAGS_MAX && bytes - at >= NET_VLAN_BYTES; i++) {
        if (ret_headers->type != FRAME_TYPE_VLAN && ret_headers->type != TYPE_SERVICE_VLAN)
            break;
        ret_headers->type = (uint16_t)be16(frame + at + 2);
        at += NET_VLAN_BYTES;
    }
    ret_headers->l3 = at;
    if (ret_headers->type == FRAME_TYPE_IP4)
        parse_ip4(frame, bytes, whole, ret_headers);
    else if (ret_headers->type == FRAME_TYPE_IP6)
        parse_ip6(frame, bytes, whole, ret_headers);
}
