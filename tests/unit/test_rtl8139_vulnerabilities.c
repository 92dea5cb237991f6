/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classes of mistake that other models of this NIC and its like made, each shown not to be made
 * here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/packets.h"
#include "tests/unit/rtl8139_rig.h"

#define FS_LS (RTL8139_D_FS | RTL8139_D_LS)

static struct nic_rig rig;

/* What the device reads, and whether what it writes arrives. */
static struct {
    struct host_ops ops, fake;
    unsigned reads;
    uint64_t bytes;
    bool frozen;
} watch;

static int watch_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    watch.reads++;
    watch.bytes += len;
    return watch.fake.dma_read(ctx, gpa, buf, len);
}

static int watch_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    return watch.frozen ? 0 : watch.fake.dma_write(ctx, gpa, buf, len);
}

static int setup(void **state)
{
    nic_rig_init(&rig, &rtl8139_rig_model, 0);
    memset(&watch, 0, sizeof(watch));
    watch.fake = *rig.fake.host.ops;
    watch.ops = watch.fake;
    watch.ops.dma_read = watch_read;
    watch.ops.dma_write = watch_write;
    rig.fake.host.ops = &watch.ops;
    return 0;
}

static int teardown(void **state)
{
    nic_rig_finish(&rig);
    return 0;
}

static uint32_t rd(uint32_t offset, unsigned size)
{
    return rtl8139_rig_read(&rig, offset, size);
}

static void wr(uint32_t offset, unsigned size, uint32_t value)
{
    rtl8139_rig_write(&rig, offset, size, value);
}

static void start_legacy(uint32_t rcr)
{
    wr(RTL8139_RBSTART, 4, RTL8139_RIG_RING);
    wr(RTL8139_CR, 1, RTL8139_CR_RE | RTL8139_CR_TE);
    wr(RTL8139_RCR, 4, rcr);
    nic_rig_settle(&rig);
}

static void start_cp(uint32_t cpcr)
{
    wr(RTL8139_CPCR, 2, RTL8139_CPCR_TX | RTL8139_CPCR_RX | cpcr);
    wr(RTL8139_TNPDS, 4, RTL8139_RIG_TX);
    wr(RTL8139_RDSAR, 4, RTL8139_RIG_RX);
    start_legacy(RTL8139_RCR_APM | RTL8139_RCR_AB);
}

static uint32_t own_frame(uint8_t *frame, uint32_t bytes)
{
    memset(frame, 0x5a, bytes);
    memcpy(frame, nic_rig_mac, NET_MAC_BYTES);
    return bytes;
}

/* XSA-135 (pcnet): fragments that together are longer than any packet overflowed the buffer that
 * they were gathered in. Here what does not fit is not even read, and the next packet is whole. */
static void cve_2015_3209_fragments_never_overflow_the_packet(void **state)
{
    start_cp(0);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 0x10000);
    for (unsigned i = 0; i < 62; i++)
        rtl8139_rig_desc(&rig, RTL8139_RIG_TX, i,
                         RTL8139_D_OWN | (i ? 0 : RTL8139_D_FS) | (i == 61 ? RTL8139_D_LS : 0) |
                             0xffff,
                         0, RTL8139_RIG_DATA);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 62, RTL8139_D_OWN | FS_LS | RTL8139_D_EOR | 100, 0,
                     RTL8139_RIG_DATA);
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(nic_rig_last(&rig)->bytes, 100);
    assert_true(watch.bytes <= NET_PACKET_MAX + 100 + 64 * RTL8139_DESC_BYTES);
    assert_true(rd(RTL8139_ISR, 2) & RTL8139_INT_TER);
}

/* Descriptors that stay the device's, whatever it writes to them, were walked without end. */
static void cve_2016_1981_descriptors_that_stay_ours_are_walked_once(void **state)
{
    uint8_t frame[100];

    start_cp(0);
    for (unsigned i = 0; i < RTL8139_DESCS; i++) {
        rtl8139_rig_desc(&rig, RTL8139_RIG_TX, i, RTL8139_D_OWN, 0, RTL8139_RIG_DATA);
        rtl8139_rig_desc(&rig, RTL8139_RIG_RX, i, RTL8139_D_OWN, 0, RTL8139_RIG_BUF);
    }
    watch.frozen = true;
    for (unsigned eor = 0; eor < 2; eor++) {
        watch.reads = 0;
        wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
        nic_rig_settle(&rig);
        assert_true(watch.reads <= RTL8139_DESCS + 1);
        watch.reads = 0;
        nic_rig_receive(&rig, frame, own_frame(frame, sizeof(frame))); /* no room in any of them */
        nic_rig_settle(&rig);
        assert_true(watch.reads <= 2 * RTL8139_DESCS);
        /* And a ring of one. */
        rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0, RTL8139_D_OWN | RTL8139_D_EOR, 0, 0);
        rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 0, RTL8139_D_OWN | RTL8139_D_EOR, 0, 0);
    }
    assert_int_equal(rig.n_sent, 0);
    assert_int_equal(rig.fake.timers_armed, 0);
}

/* What is longer than the buffers that the guest gave must not be written behind them. */
static void cve_2012_6075_an_oversized_frame_stays_out_of_guest_memory(void **state)
{
    static uint8_t frame[NET_FRAME_MAX];
    uint8_t *buffers = rig.fake.ram + RTL8139_RIG_BUF;

    start_cp(0);
    own_frame(frame, sizeof(frame));
    for (uint32_t bytes = 1515; bytes <= sizeof(frame); bytes += 1231) {
        memset(buffers, 0xee, 0x10000);
        for (unsigned i = 0; i < RTL8139_DESCS; i++)
            rtl8139_rig_desc(&rig, RTL8139_RIG_RX, i, RTL8139_D_OWN | 256, 0,
                             RTL8139_RIG_BUF + i * 0x400);
        nic_rig_receive(&rig, frame, bytes);
        nic_rig_settle(&rig);
        for (uint32_t at = 0; at < 0x10000; at++)
            assert_true(at % 0x400 < 256 || buffers[at] == 0xee);
        if (bytes > RTL8139_CP_RX_MAX)
            for (uint32_t at = 0; at < 0x10000; at++)
                assert_int_equal(buffers[at], 0xee);
    }
}

static void send_looped(uint32_t bytes)
{
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0, RTL8139_D_OWN | FS_LS | RTL8139_D_EOR | bytes, 0,
                     RTL8139_RIG_DATA);
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
}

/* A packet that was looped back was received within the access that sent it, and where it was
 * written to could be the device's own registers, or its rings. */
static void cve_2021_3416_loopback_does_not_come_back_within_the_access(void **state)
{
    static const uint32_t places[] = {
        RTL8139_RIG_TX,           RTL8139_RIG_RX, NIC_RIG_MEM + RTL8139_TPPOLL,
        NIC_RIG_MEM + RTL8139_CR, NIC_RIG_MEM,
    };

    start_cp(0);
    wr(RTL8139_TCR, 4, RTL8139_TCR_LBK);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 200);
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint64_t before = net_counters(rig.net)->looped;

        wr(RTL8139_RDSAR, 4, RTL8139_RIG_RX);
        rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 0, RTL8139_D_OWN | RTL8139_D_EOR | 1500, 0,
                         places[i]);
        send_looped(200);
        assert_true(rtl8139_get(rig.fake.ram + RTL8139_RIG_RX, 4) & RTL8139_D_OWN); /* not yet */
        nic_rig_settle(&rig);
        assert_int_equal(net_counters(rig.net)->looped, before + 1);
        assert_int_equal(rd(RTL8139_CR, 1) & (RTL8139_CR_RE | RTL8139_CR_TE),
                         RTL8139_CR_RE | RTL8139_CR_TE);
    }
    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        assert_int_equal(rd(i, 1), nic_rig_mac[i]);
    assert_int_equal(rig.n_sent, 0);
}

/* A short frame that was looped back was padded on the stack, beyond what was there. */
static void cve_2025_12464_a_short_frame_comes_back_padded(void **state)
{
    const uint8_t *buffer = rig.fake.ram + RTL8139_RIG_BUF;

    start_cp(0);
    wr(RTL8139_TCR, 4, RTL8139_TCR_LBK);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 200);
    for (uint32_t bytes = 0; bytes < 70; bytes++) {
        uint32_t expected = bytes < NET_FRAME_MIN ? NET_FRAME_MIN : bytes, status;

        wr(RTL8139_RDSAR, 4, RTL8139_RIG_RX);
        rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 0, RTL8139_D_OWN | RTL8139_D_EOR | 1500, 0,
                         RTL8139_RIG_BUF);
        send_looped(bytes);
        nic_rig_settle(&rig);
        status = rtl8139_get(rig.fake.ram + RTL8139_RIG_RX, 4);
        if (bytes < NET_ETH_BYTES) {
            assert_true(status & RTL8139_D_OWN); /* it is none */
            continue;
        }
        assert_false(status & RTL8139_D_OWN);
        assert_int_equal(status & 0x1fff, expected + RTL8139_FCS_BYTES);
        for (uint32_t i = NET_MAC_BYTES; i < expected; i++)
            assert_int_equal(buffer[i], i < bytes ? 0x5a : 0);
    }
}

/* XSA-140: an IP header that says that the packet is shorter than its headers, or longer than it
 * is, made lengths negative, and memory of the process left with the packet. */
static void cve_2015_5165_lengths_disclose_nothing(void **state)
{
    static const uint8_t lengths[] = {0, 1, 19, 20, 39, 255};

    start_cp(0);
    for (unsigned i = 0; i < sizeof(lengths); i++) {
        for (unsigned header = 0; header < 16; header++) {
            uint8_t *packet = rig.fake.ram + RTL8139_RIG_DATA;
            struct packet_spec spec = {.version = 4, .payload = 20};
            uint32_t bytes = packet_build(packet, &spec);
            bool segment = i & 1;
            packet[14] = (uint8_t)(0x40 | header);
            packet[16] = lengths[i] == 255 ? 255 : 0;
            packet[17] = lengths[i];
            wr(RTL8139_TNPDS, 4, RTL8139_RIG_TX);
            rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0,
                             RTL8139_D_OWN | FS_LS | RTL8139_D_EOR | RTL8139_TXD_IPCS |
                                 RTL8139_TXD_TCPCS | RTL8139_TXD_UDPCS |
                                 (segment ? RTL8139_TXD_LGSEN : 0) | bytes,
                             0, RTL8139_RIG_DATA);
            nic_rig_forget(&rig);
            wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
            nic_rig_settle(&rig);
            assert_true(nic_rig_last(&rig)->bytes <= bytes);
            if (!segment)
                assert_int_equal(nic_rig_last(&rig)->bytes, bytes);
        }
    }
}

/* A size that changed its sign on its way through an int passed the check. */
static void cve_2018_17958_large_frames_write_nothing(void **state)
{
    static uint8_t frame[NET_FRAME_MAX];

    memset(rig.fake.ram + RTL8139_RIG_RING, 0xee, 65536);
    start_legacy(RTL8139_RCR_APM | RTL8139_RCR_WRAP);
    nic_rig_receive(&rig, frame, own_frame(frame, sizeof(frame)));
    nic_rig_receive(&rig, frame, RTL8139_RX_MAX + 1);
    for (uint32_t i = 0; i < 65536; i++)
        assert_int_equal(rig.fake.ram[RTL8139_RIG_RING + i], 0xee);
    assert_int_equal(rd(RTL8139_MPC, 4), 2);
    start_cp(0);
    rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 0, RTL8139_D_OWN | RTL8139_D_EOR | 0x1fff, 0,
                     RTL8139_RIG_RING);
    nic_rig_receive(&rig, frame, sizeof(frame));
    assert_int_equal(rig.fake.ram[RTL8139_RIG_RING], 0xee);
}

/* Where there is no RAM every descriptor is the device's for ever. */
static void cve_2021_20257_a_ring_outside_of_ram_is_walked_once(void **state)
{
    start_cp(0);
    wr(RTL8139_TNPDS, 4, 0xf8000000);
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
    nic_rig_settle(&rig);
    assert_int_equal(rig.fake.timers_armed, 0);
    assert_true(rig.n_sent <= 64);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(cve_2015_3209_fragments_never_overflow_the_packet),
        TEST(cve_2016_1981_descriptors_that_stay_ours_are_walked_once),
        TEST(cve_2012_6075_an_oversized_frame_stays_out_of_guest_memory),
        TEST(cve_2021_3416_loopback_does_not_come_back_within_the_access),
        TEST(cve_2025_12464_a_short_frame_comes_back_padded),
        TEST(cve_2015_5165_lengths_disclose_nothing),
        TEST(cve_2018_17958_large_frames_write_nothing),
        TEST(cve_2021_20257_a_ring_outside_of_ram_is_walked_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
