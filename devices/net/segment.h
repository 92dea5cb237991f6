/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cuts a large TCP or UDP packet into frames: each gets the headers with lengths, identification,
 * sequence number, flags and checksums of its own, complete. net.c does it for every model; a model
 * only describes what it wants in a struct net_offload.
 */
#ifndef IOEMUD_DEVICES_NET_SEGMENT_H
#define IOEMUD_DEVICES_NET_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/net.h"
#include "devices/net/frame.h"

/* Ethernet, two tags, IPv4 with options or IPv6 with extension headers, TCP with options. */
#define SEGMENT_HEADERS_MAX 256u

/* A packet that is being cut. `packet` must stay until the last segment has been made. */
struct segmenter {
    const uint8_t *packet;
    uint32_t bytes;
    struct frame_headers headers;
    enum net_gso gso;
    uint32_t size;  /* payload bytes of a full segment */
    uint32_t done;  /* payload bytes that have been made segments of */
    uint32_t count; /* segments that have been made */
};

/* False: this is no packet of that kind, its headers are longer than SEGMENT_HEADERS_MAX, or a
 * segment would be longer than `max_frame`: it cannot be cut. */
bool segment_begin(struct segmenter *segmenter, const uint8_t *packet, uint32_t bytes,
                   const struct net_offload *offload, uint32_t max_frame);
bool segment_more(const struct segmenter *segmenter);
/* Makes the next frame in `frame`, of at least `max_frame` bytes; returns its length. */
uint32_t segment_next(struct segmenter *segmenter, uint8_t *frame);

/* Makes a packet that is left whole fit for a backend that cuts it: fills in what struct
 * net_offload says is computed (IP lengths and checksum, the pseudo-header's sum), in a header that
 * can be changed: the packet's first `ret_headers->payload` bytes, copied from `packet` to
 * `header`, of SEGMENT_HEADERS_MAX. False as above. */
bool segment_prepare(const uint8_t *packet, uint32_t bytes, const struct net_offload *offload,
                     uint8_t *header, struct frame_headers *ret_headers);

#endif
