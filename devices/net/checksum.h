/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The internet checksum (RFC 1071) over frames in the daemon's own memory. A partial sum is a
 * native-endian ones' complement sum of 16-bit words, not folded and not complemented; partial sums
 * of pieces at even offsets may be added.
 */
#ifndef IOEMUD_DEVICES_NET_CHECKSUM_H
#define IOEMUD_DEVICES_NET_CHECKSUM_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net/frame.h"

#define CHECKSUM_UDP_OFFSET 6 /* of the field in the header: RFC 768; TCP's, RFC 793, 3.1, is 16 */

/* Adds `bytes` (at most NET_PACKET_MAX) at `data` to a partial sum. An odd last byte counts as if a
 * zero followed. */
uint64_t checksum_add(uint64_t sum, const void *data, uint32_t bytes);
/* The checksum of a partial sum, complemented, in the order in which memcpy() puts it into the
 * packet. */
uint16_t checksum_finish(uint64_t sum);

/* The pseudo-header's partial sum of the packet whose headers were parsed (l4 != 0), with an upper
 * layer of `l4_bytes` (RFC 793, 3.1; RFC 8200, 8.1). */
uint64_t checksum_pseudo(const uint8_t *frame, const struct frame_headers *headers,
                         uint32_t l4_bytes);

/* Computes the sum of [start, end) and stores its complement at `at`, if all is inside the frame
 * and at + 2 <= end; else false and nothing is changed. The field takes part with what it holds (a
 * pseudo-header's sum). `start` <= `at`. A UDP checksum (`udp`) of zero is stored as all-ones (RFC
 * 768). What "insert a checksum" means in transmit descriptors. */
bool checksum_insert(uint8_t *frame, uint32_t bytes, uint32_t start, uint32_t at, uint32_t end,
                     bool udp);
/* Offset of the checksum in the TCP or UDP header that was parsed (l4 != 0). */
uint32_t checksum_field(const struct frame_headers *headers);
/* Fills in the checksum of the IPv4 header that was parsed (version 4). */
void checksum_set_ip4(uint8_t *frame, const struct frame_headers *headers);

enum checksum_verdict {
    CHECKSUM_NONE, /* there is none to be checked: no IPv4, no TCP or UDP, a fragment, UDP's 0 */
    CHECKSUM_GOOD,
    CHECKSUM_BAD,
};

/* For receive descriptors. */
enum checksum_verdict checksum_check_ip4(const uint8_t *frame, const struct frame_headers *headers);
enum checksum_verdict checksum_check_l4(const uint8_t *frame, const struct frame_headers *headers);

#endif
