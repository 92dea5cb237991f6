/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classes of mistake that other models of this NIC made, each shown not to be made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/e1000_rig.h"

#define LEGACY_END (E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS)
#define DATA       (E1000_TXD_DEXT | E1000_TXD_DTYP_DATA)

static struct nic_rig rig;

/* Counts what the device reads and writes. */
static struct {
    struct host_ops ops, fake;
    unsigned reads, writes;
} watch;

static int watch_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    watch.reads++;
    return watch.fake.dma_read(ctx, gpa, buf, len);
}

static int watch_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    watch.writes++;
    return watch.fake.dma_write(ctx, gpa, buf, len);
}

static int setup(void **state)
{
    e1000_rig_init(&rig, 0);
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

static uint32_t rd(uint32_t offset)
{
    return e1000_rig_read(&rig, offset);
}

static void wr(uint32_t offset, uint32_t value)
{
    e1000_rig_write(&rig, offset, value);
}

/* A head outside of the ring never met the tail. */
static void cve_2016_1981_a_head_outside_of_the_ring_ends_both_walks(void **state)
{
    static const uint32_t outside[] = {E1000_RIG_RING, E1000_RIG_RING + 1, 0x7fff, 0xffff};
    uint8_t frame[100] = {0};

    memcpy(frame, nic_rig_mac, 6);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 4; j++) {
            wr(E1000_TDH, outside[i]);
            wr(E1000_RDH, outside[i]);
            watch.reads = watch.writes = 0;
            wr(E1000_TDT, outside[j]);
            wr(E1000_TDT, 1);
            wr(E1000_RDT, outside[j]);
            nic_rig_receive(&rig, frame, sizeof(frame));
            nic_rig_settle(&rig);
            assert_int_equal(watch.reads, 0);
            assert_int_equal(watch.writes, 0);
        }
    }
    wr(E1000_RDLEN, 0); /* and no ring at all */
    wr(E1000_TDLEN, 0);
    wr(E1000_TDH, 0);
    wr(E1000_RDH, 0);
    wr(E1000_TDT, 7);
    wr(E1000_RDT, 7);
    nic_rig_receive(&rig, frame, sizeof(frame));
    nic_rig_settle(&rig);
    assert_int_equal(watch.reads + watch.writes, 0);
}

/* Descriptors that move nothing were walked without end: a ring whose tail is never met, all of
 * which are of no use. Here it is one round for a doorbell, and a part of it a turn. */
static void cve_2021_20257_a_ring_of_nothing_is_walked_once(void **state)
{
    const uint32_t count = 0xfff80 / 16, ring = 0x100000;
    uint32_t kinds[] = {0, DATA, E1000_TXD_DEXT, E1000_TXD_DEXT | E1000_TXD_DTYP, DATA | 100};

    wr(E1000_TDBAL, ring);
    wr(E1000_TDLEN, 0xfff80);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        memset(rig.fake.ram + ring, 0, 0xfff80);
        for (uint32_t j = 0; j < count; j++)
            memcpy(rig.fake.ram + ring + 16 * j + 8, &kinds[i], 4);
        wr(E1000_TDH, 5);
        watch.reads = 0;
        wr(E1000_TDT, 0xffff);
        assert_true(watch.reads <= 64); /* within the access itself */
        assert_true(rd(E1000_TDH) <= 5 + 256);
        nic_rig_settle(&rig);
        assert_int_equal(rd(E1000_TDH), 5);
        assert_true(watch.reads <= count / 8);
        assert_int_equal(rig.n_sent, 0);
    }
}

/* A segment size of nothing, and headers longer than the packet. */
static void cve_2021_20257_segmentation_that_makes_no_progress(void **state)
{
    for (unsigned mss = 0; mss < 3; mss++) {
        for (unsigned header = 0; header < 256; header += 51) {
            e1000_rig_desc(&rig, 0, E1000_TXD_DEXT | E1000_TXD_TSE | 0x03000000 | 0xfffff,
                           mss << 16 | header << 8);
            e1000_rig_desc(&rig, E1000_RIG_DATA,
                           DATA | E1000_TXD_TSE | E1000_TXD_EOP | E1000_TXD_RS | 0xfffff, 0x300);
            e1000_rig_desc(&rig, E1000_RIG_DATA,
                           DATA | E1000_TXD_TSE | E1000_TXD_EOP | E1000_TXD_RS | 60000, 0x300);
            e1000_rig_doorbell(&rig);
            nic_rig_settle(&rig);
            assert_int_equal(rd(E1000_TDH), rd(E1000_TDT));
        }
    }
    assert_int_equal(rig.n_sent, 0); /* not one of them is TCP */
}

/* A frame longer than a buffer that was meant for one went into guest memory behind it. */
static void cve_2012_6075_an_oversized_frame_stays_out_of_guest_memory(void **state)
{
    static uint8_t frame[NET_FRAME_MAX];

    memset(frame, 0xee, sizeof(frame));
    memcpy(frame, nic_rig_mac, 6);
    wr(E1000_RCTL, E1000_RCTL_EN | 0x4); /* nor does SBP let it in */
    for (uint32_t bytes = 1519; bytes <= sizeof(frame); bytes += 1231)
        nic_rig_receive(&rig, frame, bytes);
    assert_int_equal(rd(E1000_RDH), 0);
    assert_int_equal(watch.writes, 0);
    /* With long packets on it goes into as many buffers as it needs, none of which overflows. */
    wr(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_LPE | 3u << 16);
    nic_rig_receive(&rig, frame, 9000);
    assert_int_equal(rd(E1000_RDH), (9004 + 255) / 256);
    for (uint32_t i = 0; i < E1000_RIG_RING; i++) {
        const uint8_t *buffer = e1000_rig_buffer(&rig, i);
        for (uint32_t j = 256; j < E1000_RIG_BUF_STEP; j++)
            assert_int_equal(buffer[j], 0);
    }
}

/* A packet that was looped back was received within the access that sent it, and what it was
 * written to could be the device's own registers. */
static void cve_2021_3416_loopback_does_not_come_back_within_the_access(void **state)
{
    memset(rig.fake.ram + E1000_RIG_DATA, 0x5a, 200);
    memcpy(rig.fake.ram + E1000_RIG_DATA, nic_rig_mac, 6);
    wr(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_LBM_MAC);
    e1000_rig_put_rxd(&rig, 0, E1000_RIG_TX);             /* onto the transmit ring, */
    e1000_rig_put_rxd(&rig, 1, E1000_RIG_RX);             /* the receive ring, */
    e1000_rig_put_rxd(&rig, 2, NIC_RIG_MEM + E1000_TDT);  /* the tail, */
    e1000_rig_put_rxd(&rig, 3, NIC_RIG_MEM + E1000_CTRL); /* the reset bit */
    for (unsigned i = 0; i < 4; i++) {
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 200, 0);
        e1000_rig_doorbell(&rig);
        assert_int_equal(rd(E1000_RDH), i); /* not yet */
        nic_rig_settle(&rig);
        e1000_rig_put_rxd(&rig, 2, NIC_RIG_MEM + E1000_TDT);
        e1000_rig_put_rxd(&rig, 3, NIC_RIG_MEM + E1000_CTRL);
    }
    assert_true(rd(E1000_RDH) >= 2);
    assert_int_equal(rd(E1000_TDT), 4);
    assert_int_equal(rd(E1000_CTRL), E1000_CTRL_INITIAL);
    assert_int_equal(rig.n_sent, 0);
}

/* A short frame that was looped back was padded on the stack, beyond what was there. */
static void cve_2025_12464_a_short_frame_comes_back_padded(void **state)
{
    memset(rig.fake.ram + E1000_RIG_DATA, 0x5a, 200);
    memcpy(rig.fake.ram + E1000_RIG_DATA, nic_rig_mac, 6);
    wr(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_LBM_MAC | E1000_RCTL_UPE | E1000_RCTL_MPE);
    for (uint32_t bytes = 0; bytes < 70; bytes++) {
        uint32_t head = rd(E1000_RDH);
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | bytes, 0);
        e1000_rig_doorbell(&rig);
        nic_rig_settle(&rig);
        if (bytes < NET_ETH_BYTES) {
            assert_int_equal(rd(E1000_RDH), head);
            continue;
        }
        uint32_t expected = bytes < NET_FRAME_MIN ? NET_FRAME_MIN : bytes;
        assert_int_equal(e1000_rig_rxd(&rig, head).length, expected + E1000_FCS_BYTES);
        for (uint32_t i = bytes; i < expected; i++)
            assert_int_equal(e1000_rig_buffer(&rig, head)[i], 0);
        e1000_rig_put_rxd(&rig, head, E1000_RIG_BUF + (uint64_t)head * E1000_RIG_BUF_STEP);
        wr(E1000_RDT, head);
    }
}

/* Pieces that together are longer than any packet: what does not fit is not even read. */
static void cve_2015_3209_fragments_never_overflow_the_packet(void **state)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 50; i++)
            e1000_rig_desc(&rig, E1000_RIG_DATA, (round ? DATA | E1000_TXD_TSE : 0) | 0xffff, 0);
        e1000_rig_desc(&rig, E1000_RIG_DATA, (round ? DATA | E1000_TXD_TSE : 0) | LEGACY_END | 100,
                       0);
        e1000_rig_doorbell(&rig);
        nic_rig_settle(&rig);
        assert_int_equal(rd(E1000_TDH), rd(E1000_TDT));
    }
    assert_int_equal(rig.n_sent, 0);
}

/* The way out is told no more than was gathered, whatever the context says of lengths. */
static void cve_2015_5165_no_memory_of_ours_leaves(void **state)
{
    static const uint32_t lies[] = {0, 1, 0xfffff};

    for (unsigned i = 0; i < 3; i++) {
        e1000_rig_desc(&rig, 0xffffffffffffffff,
                       E1000_TXD_DEXT | E1000_TXD_TSE | 0x03000000 | lies[i], 0xffffff00);
        e1000_rig_desc(&rig, E1000_RIG_DATA, DATA | E1000_TXD_TSE | E1000_TXD_VLE | LEGACY_END | 64,
                       0xffffff00);
        e1000_rig_desc(&rig, 0xffffffffffffffff, E1000_TXD_DEXT | 0x03000000, 0xffffff00);
        e1000_rig_desc(&rig, E1000_RIG_DATA, DATA | LEGACY_END | 64, 0xffffff00);
        e1000_rig_doorbell(&rig);
        nic_rig_settle(&rig);
    }
    for (unsigned i = 0; i < rig.n_sent; i++) {
        assert_int_equal(rig.sent[i].bytes, 64);
        for (unsigned j = 0; j < 64; j++)
            assert_int_equal(rig.sent[i].data[j], 0);
    }
    assert_int_equal(rig.n_sent, 3);
}

/* A guest cannot fill the log. */
static void xsa_180_nothing_is_logged_at_a_guests_word(void **state)
{
    for (uint32_t offset = 0; offset < E1000_MEM_BYTES; offset += 4) {
        wr(offset, offset * 2654435761u & ~E1000_CTRL_RST);
        rd(offset);
    }
    nic_rig_settle(&rig);
    assert_int_equal(rig.fake.logs, 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(cve_2016_1981_a_head_outside_of_the_ring_ends_both_walks),
        TEST(cve_2021_20257_a_ring_of_nothing_is_walked_once),
        TEST(cve_2021_20257_segmentation_that_makes_no_progress),
        TEST(cve_2012_6075_an_oversized_frame_stays_out_of_guest_memory),
        TEST(cve_2021_3416_loopback_does_not_come_back_within_the_access),
        TEST(cve_2025_12464_a_short_frame_comes_back_padded),
        TEST(cve_2015_3209_fragments_never_overflow_the_packet),
        TEST(cve_2015_5165_no_memory_of_ours_leaves),
        TEST(xsa_180_nothing_is_logged_at_a_guests_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
