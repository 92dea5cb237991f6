/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets for tests: well-formed TCP and UDP, with a payload that can be checked. */
#ifndef IOEMUD_TESTS_PACKETS_H
#define IOEMUD_TESTS_PACKETS_H

#include <stdbool.h>
#include <stdint.h>

struct packet_spec {
    unsigned version; /* 4 or 6 */
    bool udp, vlan;
    uint8_t tcp_flags;
    uint32_t payload; /* bytes; byte i is (uint8_t)(i * 7 + i / 251) */
};

/* Builds it, checksums zero; returns its length. */
uint32_t packet_build(uint8_t *packet, const struct packet_spec *spec);
uint8_t packet_payload_byte(uint32_t at);
/* Asserts that all checksums are right, by a plain implementation that shares nothing. */
void packet_assert_checksums(const uint8_t *frame, uint32_t bytes);

#endif
