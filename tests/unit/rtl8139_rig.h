/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An RTL8139C+ under test: a bus with it, guest RAM, and a way out that keeps the last packets. For
 * unit tests and the fuzzer, so it asserts by abort() only. */
#ifndef IOEMUD_TESTS_RTL8139_RIG_H
#define IOEMUD_TESTS_RTL8139_RIG_H

#include "devices/backend/net_ops.h"
#include "devices/net/rtl8139_internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_loop.h"

#define RTL8139_RIG_RAM  (1u << 20)
#define RTL8139_RIG_SLOT 4u
#define RTL8139_RIG_PORT 0xc000u
#define RTL8139_RIG_MEM  0xf0000000u
#define RTL8139_RIG_TX   0x1000u /* rings of C+ mode */
#define RTL8139_RIG_RX   0x2000u
#define RTL8139_RIG_RING 0x20000u /* of the legacy receiver */
#define RTL8139_RIG_DATA 0x40000u
#define RTL8139_RIG_BUF  0x80000u
#define RTL8139_RIG_SENT 256u

extern const uint8_t rtl8139_rig_mac[NET_MAC_BYTES];

struct rtl8139_rig {
    struct fake_host fake;
    struct fake_loop *loop;
    struct bus *bus;
    struct machine_spec spec;
    struct dev *dev;
    struct net *net;
    struct rtl8139_rig_port {
        struct net_port port; /* first */
        struct rtl8139_rig *rig;
        bool busy;
    } port;
    struct rtl8139_rig_packet {
        uint8_t data[NET_PACKET_MAX];
        uint32_t bytes;
        struct net_offload offload;
    } last;
    unsigned n_sent;
};

void rtl8139_rig_init(struct rtl8139_rig *rig, unsigned caps);
void rtl8139_rig_program(struct rtl8139_rig *rig); /* BARs and COMMAND */
void rtl8139_rig_finish(struct rtl8139_rig *rig);
uint8_t *rtl8139_rig_save(struct rtl8139_rig *rig, size_t *ret_size); /* to be freed */
/* Into a new NIC; the reader's error. */
int rtl8139_rig_migrate(struct rtl8139_rig *rig, const void *state, size_t size);
uint32_t rtl8139_rig_read(struct rtl8139_rig *rig, uint32_t offset, unsigned size);
void rtl8139_rig_write(struct rtl8139_rig *rig, uint32_t offset, unsigned size, uint32_t value);
void rtl8139_rig_receive(struct rtl8139_rig *rig, const void *frame, uint32_t bytes);
void rtl8139_rig_settle(struct rtl8139_rig *rig);
void rtl8139_rig_desc(struct rtl8139_rig *rig, uint32_t ring, unsigned index, uint32_t opts1,
                      uint32_t opts2, uint64_t addr);

#endif
