/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/net/segment.h"

#include <string.h>

#include "devices/net/checksum.h"

#define IP4_LENGTH 2 /* offsets in the headers: RFC 791, 3.1; RFC 8200, 3; RFC 793, 3.1 */
#define IP4_ID     4
#define IP6_LENGTH 4
#define IP6_HEADER 40u
#define TCP_SEQ    4
#define TCP_FLAGS  13
#define UDP_LENGTH 4

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80 /* RFC 3168, 6.1.2: tells of one reduction, so it is in one segment */

static void put_be16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static uint32_t get_be16(const uint8_t *from)
{
    return (uint32_t)from[0] << 8 | from[1];
}

static void add_be32(uint8_t *at, uint32_t more)
{
    uint32_t value = (get_be16(at) << 16 | get_be16(at + 2)) + more;

    put_be16(at, value >> 16);
    put_be16(at + 2, value);
}

/* Whether it is a packet of that kind with headers that can be kept. */
static bool parse(const uint8_t *packet, uint32_t bytes, const struct net_offload *offload,
                  struct frame_headers *ret_headers)
{
    struct frame_headers headers;
    unsigned version = offload->gso == NET_GSO_TCP4 ? 4 : 6;

    if (bytes > NET_PACKET_MAX)
        return false;
    frame_parse(packet, bytes, true, &headers);
    if (!headers.l4 || !offload->gso_size || headers.payload > SEGMENT_HEADERS_MAX ||
        bytes - headers.l3 > UINT16_MAX)
        return false;
    switch (offload->gso) {
    case NET_GSO_TCP4:
    case NET_GSO_TCP6:
        if (headers.protocol != FRAME_IPPROTO_TCP || headers.version != version)
            return false;
        break;
    case NET_GSO_UDP:
        if (headers.protocol != FRAME_IPPROTO_UDP)
            return false;
        break;
    default:
        return false;
    }
    *ret_headers = headers;
    return true;
}

/* Lengths of a frame of `bytes`, of which the headers are at `header`. */
static void set_lengths(uint8_t *header, const struct frame_headers *headers, uint32_t bytes)
{
    uint8_t *ip = header + headers->l3;

    if (headers->version == 4)
        put_be16(ip + IP4_LENGTH, bytes - headers->l3);
    else
        put_be16(ip + IP6_LENGTH, bytes - headers->l3 - IP6_HEADER);
    if (headers->protocol == FRAME_IPPROTO_UDP)
        put_be16(header + headers->l4 + UDP_LENGTH, bytes - headers->l4);
}

bool segment_begin(struct segmenter *segmenter, const uint8_t *packet, uint32_t bytes,
                   const struct net_offload *offload, uint32_t max_frame)
{
    struct frame_headers headers;

    if (!parse(packet, bytes, offload, &headers))
        return false;
    if ((uint64_t)headers.payload + offload->gso_size > max_frame &&
        bytes > max_frame) /* it may be shorter than one full segment */
        return false;
    *segmenter = (struct segmenter){
        .packet = packet,
        .bytes = bytes,
        .headers = headers,
        .gso = offload->gso,
        .size = offload->gso_size,
    };
    return true;
}

bool segment_more(const struct segmenter *segmenter)
{
    return !segmenter->count || segmenter->done < segmenter->bytes - segmenter->headers.payload;
}

/* The headers' share that differs from segment to segment, all but checksums. */
static void adapt(const struct segmenter *segmenter, uint8_t *frame, uint32_t bytes, bool last)
{
    const struct frame_headers *headers = &segmenter->headers;
    uint8_t *l4 = frame + headers->l4;

    set_lengths(frame, headers, bytes);
    if (headers->version == 4) {
        uint8_t *id = frame + headers->l3 + IP4_ID;

        put_be16(id, get_be16(id) + segmenter->count);
        checksum_set_ip4(frame, headers);
    }
    if (segmenter->gso == NET_GSO_UDP)
        return;
    add_be32(l4 + TCP_SEQ, segmenter->done);
    if (!last)
        l4[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (segmenter->count)
        l4[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

uint32_t segment_next(struct segmenter *segmenter, uint8_t *frame)
{
    const struct frame_headers *headers = &segmenter->headers;
    uint32_t left = segmenter->bytes - headers->payload - segmenter->done;
    uint32_t length = left < segmenter->size ? left : segmenter->size;
    uint32_t bytes = headers->payload + length, field = checksum_field(headers);
    uint16_t checksum = 0;

    memcpy(frame, segmenter->packet, headers->payload);
    memcpy(frame + headers->payload, segmenter->packet + headers->payload + segmenter->done,
           length);
    adapt(segmenter, frame, bytes, length == left);

    memcpy(frame + field, &checksum, 2);
    checksum = checksum_finish(checksum_add(checksum_pseudo(frame, headers, bytes - headers->l4),
                                            frame + headers->l4, bytes - headers->l4));
    if (segmenter->gso == NET_GSO_UDP && !checksum)
        checksum = 0xffff;
    memcpy(frame + field, &checksum, 2);
    segmenter->done += length;
    segmenter->count++;
    return bytes;
}

bool segment_prepare(const uint8_t *packet, uint32_t bytes, const struct net_offload *offload,
                     uint8_t *header, struct frame_headers *ret_headers)
{
    struct frame_headers headers;
    uint16_t sum;

    if (!parse(packet, bytes, offload, &headers))
        return false;
    memcpy(header, packet, headers.payload);
    set_lengths(header, &headers, bytes);
    if (headers.version == 4)
        checksum_set_ip4(header, &headers);
    sum = (uint16_t)~checksum_finish(checksum_pseudo(header, &headers, bytes - headers.l4));
    memcpy(header + checksum_field(&headers), &sum, 2);
    *ret_headers = headers;
    return true;
}
