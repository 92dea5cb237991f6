/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network, the callers' half: what a NIC model does with its way out.
 *
 * Packets are Ethernet frames without the frame check sequence, VLAN tags left in. A model gathers
 * one from guest memory into memory of its own, validates, and hands it over with net_send(); it
 * may leave checksums and segmentation to be done and say so. What the backend cannot do is done
 * here, so a model need not ask what its backend can. Received frames come complete: checksums
 * filled in, never larger than what the medium carries, never shorter than NET_FRAME_MIN.
 *
 *   net_send() ---> [checksum, segmentation] -> [rate limit] -> backend
 *     false: not now; writable() follows
 *   receive()  <--- [segmentation, padding]  <- backend
 *     NET_NO_ROOM: the backend is not read until net_receive_ready()
 *
 * Callbacks come from the loop only, never from within a function of this header: what a model
 * loops back to itself, too, and the answer of a backend that answers at once. A model may call
 * anything here from its callbacks, except for net_bind() with another owner. Everything is called
 * from the worker's thread.
 *
 * Work is bounded: a NIC sends at most NET_BUDGET packets and gets at most NET_BUDGET in one turn
 * of the loop; then net_send() says false and writable() comes in the next turn. A model must bound
 * by itself what costs it time without a packet, such as empty descriptors.
 */
#ifndef IOEMUD_DEVICES_BACKEND_NET_H
#define IOEMUD_DEVICES_BACKEND_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_MAC_BYTES  6
#define NET_ETH_BYTES  14 /* destination, source, type: IEEE 802.3, 3.1.1 */
#define NET_VLAN_BYTES 4  /* one tag: IEEE 802.1Q, 9.3 */
/* The shortest frame on the wire, 64 bytes with the FCS (IEEE 802.3, 4.4.2). Shorter ones are
 * padded with zeroes, in both directions. */
#define NET_FRAME_MIN 60u
/* The longest packet that is still to be segmented: an IP packet of 65535 bytes (RFC 791, 3.1)
 * behind an Ethernet header with a tag. */
#define NET_PACKET_MAX (65535u + NET_ETH_BYTES + NET_VLAN_BYTES)
/* The longest frame that a model is offered or, when nothing is left to segment, may send; what
 * the largest of the models can (82540EM: 16288 bytes, of which none is sure to be a FCS). */
#define NET_FRAME_MAX 16288u
/* Pieces of one packet that net_send() takes. */
#define NET_IOV_MAX 8u
/* Packets each way in one turn of the loop. A request of another guest of the worker waits for a
 * turn: one request of each of nine busy guests takes about 40 us together, a short frame from a
 * tap 2.2 us, as much in batches of 16 as of 64 (tests/bench/bench_flood.c). So a flood makes a
 * turn less than twice as long. */
#define NET_BUDGET 16u

enum net_gso {
    NET_GSO_NONE,
    NET_GSO_TCP4,
    NET_GSO_TCP6,
    NET_GSO_UDP, /* datagrams of gso_size each: not IP fragments */
};

/* What is left to be done to a packet, or known of it; zeroed: nothing. Offsets are bytes from the
 * frame's start, tags included. As in virtio 1.1, 5.1.6.2. */
struct net_offload {
    /* The checksum field at csum_start + csum_offset holds the sum of the pseudo-header, and the
     * ones' complement sum from csum_start to the packet's end is to go there. net_send() only:
     * what is received has it. Implied by `gso`. */
    bool csum_needed;
    /* Received: the TCP or UDP checksum is known to be right without looking (the packet never was
     * on a wire, or the host's NIC has checked it). False: nobody has looked. */
    bool csum_valid;
    enum net_gso gso; /* net_send() only */
    uint16_t csum_start, csum_offset;
    /* Payload bytes of each segment, > 0 with `gso`. The headers are found by parsing. Lengths and
     * checksums of the IP header, and the pseudo-header's sum in the TCP or UDP header, may hold
     * anything: they are computed. */
    uint16_t gso_size;
    uint16_t header_bytes; /* with `gso`: of all headers; for backends, a model leaves it alone */
};

struct net; /* one NIC's handle of its way out */

enum net_answer {
    NET_TAKEN,
    NET_FILTERED, /* not for this NIC, or a frame that it drops: counted */
    NET_NO_ROOM,  /* kept for it; the backend is not read until net_receive_ready() */
};

struct net_client_ops {
    /* One frame of NET_FRAME_MIN to NET_FRAME_MAX bytes, valid during the call only. */
    enum net_answer (*receive)(void *owner, const uint8_t *frame, uint32_t bytes,
                               const struct net_offload *offload);
    /* After the last frame of a batch, when at least one was taken: the moment for one interrupt
     * for all of them. May be NULL. */
    void (*received)(void *owner);
    /* net_send() or net_loop() had said false and is worth another try. */
    void (*writable)(void *owner);
    /* The cable was plugged or pulled (by the administrator, or the medium says so). */
    void (*link)(void *owner, bool up);
};

struct net_counters {
    uint64_t tx_packets, tx_bytes; /* taken by the backend, as the guest sent them */
    uint64_t tx_dropped;           /* link down, or the backend would not have it at all */
    uint64_t tx_malformed;         /* too long or short, or an offload that does not fit */
    uint64_t tx_segmented;         /* packets that were cut here */
    uint64_t tx_waits;             /* times that net_send() said false */
    uint64_t tx_limited;           /* of these, for the rate limit */
    uint64_t rx_packets, rx_bytes; /* taken by the model */
    uint64_t rx_filtered;
    uint64_t rx_dropped;   /* link down, receiver off, longer than the model takes, malformed */
    uint64_t rx_segmented; /* packets that were cut here */
    uint64_t rx_waits;     /* times that the model had no room */
    uint64_t rx_limited;   /* times that the reader stopped for the rate limit */
    uint64_t looped;       /* of net_loop() */
};

/* The model says who it is; a NULL `ops` takes its leave (the NIC is unplugged or destroyed): then
 * nothing is called or read any more. The receiver is off at first. A model that comes after
 * another finds what a new one would. */
void net_bind(struct net *net, const struct net_client_ops *ops, void *owner);

/* Sends the packet in `n_iov` <= NET_IOV_MAX pieces. The memory is the caller's again on return.
 * True: taken; sent, or lost as on a wire and counted (link down, malformed: guest input, no error
 * of the model's). False: not now, and nothing happened; writable() follows. `offload` may be NULL.
 */
bool net_send(struct net *net, const struct iovec *iov, unsigned n_iov,
              const struct net_offload *offload);
/* The same for a NIC in loopback mode: the packet comes to receive() from the loop instead of
 * leaving, whether the link is up and the receiver on or not; lost when the model has no room. */
bool net_loop(struct net *net, const struct iovec *iov, unsigned n_iov,
              const struct net_offload *offload);

/* The receiver's switch. Off: nothing is read, at no cost, and what comes in meanwhile is lost, as
 * on a wire: it is thrown away when the switch goes on. */
void net_receive_enable(struct net *net, bool on);
/* The model has room again after NET_NO_ROOM (buffers were added). Costs nothing when it has not
 * said so; a model may call it with every buffer. */
void net_receive_ready(struct net *net);

bool net_link(const struct net *net);
const struct net_counters *net_counters(const struct net *net);

#endif
