/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ethernet frames as NIC models look at them: whom one is for, and where its headers are. All of
 * it works on a frame in the daemon's own memory, `bytes` long, whose content is hostile.
 */
#ifndef IOEMUD_DEVICES_NET_FRAME_H
#define IOEMUD_DEVICES_NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/net.h"

#define FRAME_TYPE_IP4  0x0800
#define FRAME_TYPE_IP6  0x86dd
#define FRAME_TYPE_VLAN 0x8100 /* IEEE 802.1Q, table 9-1 */

#define FRAME_IPPROTO_TCP 6
#define FRAME_IPPROTO_UDP 17

enum frame_dest {
    FRAME_UNICAST,
    FRAME_MULTICAST, /* the group bit, but not broadcast */
    FRAME_BROADCAST,
};

/* Frames have at least NET_FRAME_MIN bytes when a model gets them. */
enum frame_dest frame_dest(const uint8_t *frame);

/* CRC-32 as Ethernet's FCS has it (IEEE 802.3, 3.2.9), to be sent with its low byte first. */
uint32_t frame_crc32(const void *data, uint32_t bytes);
/* Bit 0-63 of an address in a 64-bit multicast hash: the six most significant bits of the CRC as it
 * stands in the shift register, which the DP8390 and its successors use. Bit n is bit n % 8 of
 * MARn / 8. */
unsigned frame_hash64(const uint8_t mac[NET_MAC_BYTES]);

/*
 * A receiver's filter with a 64-bit hash (DP8390, RTL8139 and others; the 8254x has its own).
 * Promiscuous: every unicast; with the others that means everything.
 */
struct frame_filter {
    uint8_t mac[NET_MAC_BYTES];
    bool own;       /* unicast to `mac` */
    bool unicast;   /* every unicast */
    bool multicast; /* multicast whose bit in `hash` is set */
    bool broadcast;
    uint64_t hash;
};

bool frame_filter_passes(const struct frame_filter *filter, const uint8_t *frame);

/* Where things are; offsets from the frame's start, 0: not there. */
struct frame_headers {
    uint16_t type;    /* behind up to two tags */
    uint8_t version;  /* 4 or 6: an IP header that is whole; else 0 */
    uint8_t protocol; /* of the last header that was understood; IP only */
    bool fragment;    /* of an IP packet: its checksum cannot be told */
    uint32_t l3;      /* behind the Ethernet header and tags */
    uint32_t l4;      /* TCP's or UDP's header, whole; 0 for fragments and everything else */
    uint32_t payload; /* behind the L4 header */
    uint32_t end;     /* of the IP packet: what follows is padding */
};

/* Parses what can be. `bytes` of any length. IPv6 extension headers are walked, a bounded number
 * of them. A length field that says more than there is makes `version` 0. With `whole`, lengths in
 * the IP header are not believed: the packet goes to the frame's end (GSO). */
void frame_parse(const uint8_t *frame, uint32_t bytes, bool whole,
                 struct frame_headers *ret_headers);

#endif
