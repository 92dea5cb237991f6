/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/net/checksum.h"

#include <string.h>

#define IP4_CHECKSUM 10 /* offsets in the headers: RFC 791, 3.1; RFC 793, 3.1; RFC 768 */
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM CHECKSUM_UDP_OFFSET

/* 32 bits at a time into 64: 2^16 is 1 modulo 65535, so the width of the words does not matter, and
 * no carry is lost within NET_PACKET_MAX. */
uint64_t checksum_add(uint64_t sum, const void *data, uint32_t bytes)
{
    const uint8_t *at = data;
    uint64_t lane[4] = {0};
    uint32_t word[4];

    for (; bytes >= sizeof(word); bytes -= sizeof(word), at += sizeof(word)) {
        memcpy(word, at, sizeof(word));
        for (unsigned i = 0; i < 4; i++)
            lane[i] += word[i];
    }
    memset(word, 0, sizeof(word));
    memcpy(word, at, bytes);
    for (unsigned i = 0; i < 4; i++)
        sum += lane[i] + word[i];
    return sum;
}

uint16_t checksum_finish(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint64_t word_of(uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                              (uint8_t)value};

    return checksum_add(0, bytes, sizeof(bytes));
}

uint64_t checksum_pseudo(const uint8_t *frame, const struct frame_headers *headers,
                         uint32_t l4_bytes)
{
    const uint8_t *ip = frame + headers->l3;
    uint64_t sum =
        headers->version == 4 ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);

    return sum + word_of(headers->protocol) + word_of(l4_bytes);
}

bool checksum_insert(uint8_t *frame, uint32_t bytes, uint32_t start, uint32_t at, uint32_t end,
                     bool udp)
{
    uint16_t checksum;

    if (start > at || at > bytes || bytes - at < 2 || end > bytes || end < at + 2)
        return false;
    checksum = checksum_finish(checksum_add(0, frame + start, end - start));
    if (udp && !checksum)
        checksum = 0xffff;
    memcpy(frame + at, &checksum, 2);
    return true;
}

static uint32_t ip4_header_bytes(const uint8_t *frame, const struct frame_headers *headers)
{
    return (frame[headers->l3] & 0xf) * 4u;
}

void checksum_set_ip4(uint8_t *frame, const struct frame_headers *headers)
{
    uint8_t *ip = frame + headers->l3;
    uint16_t checksum = 0;

    memcpy(ip + IP4_CHECKSUM, &checksum, 2);
    checksum = checksum_finish(checksum_add(0, ip, ip4_header_bytes(frame, headers)));
    memcpy(ip + IP4_CHECKSUM, &checksum, 2);
}

enum checksum_verdict checksum_check_ip4(const uint8_t *frame, const struct frame_headers *headers)
{
    if (headers->version != 4)
        return CHECKSUM_NONE;
    return checksum_finish(checksum_add(0, frame + headers->l3, ip4_header_bytes(frame, headers)))
               ? CHECKSUM_BAD
               : CHECKSUM_GOOD;
}

/* Where the datagram ends: UDP has a length of its own. 0: it cannot be. */
static uint32_t l4_end(const uint8_t *frame, const struct frame_headers *headers)
{
    uint32_t length;

    if (headers->protocol != FRAME_IPPROTO_UDP)
        return headers->end;
    length = (uint32_t)frame[headers->l4 + 4] << 8 | frame[headers->l4 + 5];
    return length < 8 || length > headers->end - headers->l4 ? 0 : headers->l4 + length;
}

enum checksum_verdict checksum_check_l4(const uint8_t *frame, const struct frame_headers *headers)
{
    static const uint8_t none[2];
    uint32_t end;
    uint64_t sum;

    if (!headers->l4)
        return CHECKSUM_NONE;
    if (headers->protocol == FRAME_IPPROTO_UDP && headers->version == 4 &&
        !memcmp(frame + headers->l4 + UDP_CHECKSUM, none, 2))
        return CHECKSUM_NONE;
    end = l4_end(frame, headers);
    if (!end)
        return CHECKSUM_BAD;
    sum = checksum_pseudo(frame, headers, end - headers->l4);
    sum = checksum_add(sum, frame + headers->l4, end - headers->l4);
    return checksum_finish(sum) ? CHECKSUM_BAD : CHECKSUM_GOOD;
}

uint32_t checksum_field(const struct frame_headers *headers)
{
    return headers->l4 + (headers->protocol == FRAME_IPPROTO_UDP ? UDP_CHECKSUM : TCP_CHECKSUM);
}
