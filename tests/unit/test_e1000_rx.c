/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The receive ring and the filters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net/checksum.h"
#include "devices/net/frame.h"
#include "tests/unit/e1000_rig.h"
#include "tests/unit/packets.h"

#define BASIC (E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_SECRC)

static struct nic_rig rig;

static int setup(void **state)
{
    e1000_rig_init(&rig, 0);
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

static uint8_t frame[NET_FRAME_MAX];

/* A frame of `bytes` to `mac`. */
static void make(const uint8_t *mac, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        frame[i] = (uint8_t)(i * 13 + i / 256);
    memcpy(frame, mac, 6);
    memcpy(frame + 6, "\x02\x00\x00\x00\x00\x01\x88\xb5", 8);
}

static bool comes_through(const uint8_t *mac)
{
    uint32_t head = rd(E1000_RDH);

    make(mac, 64);
    nic_rig_receive(&rig, frame, 64);
    return rd(E1000_RDH) != head;
}

/* All descriptors that were used come back, in another turn of the loop. */
static void refill(void)
{
    nic_rig_settle(&rig);
    for (uint32_t i = 0; i < E1000_RIG_RING; i++)
        e1000_rig_put_rxd(&rig, i, E1000_RIG_BUF + (uint64_t)i * E1000_RIG_BUF_STEP);
    wr(E1000_RDT, (rd(E1000_RDH) + E1000_RIG_RING - 1) % E1000_RIG_RING);
}

static void a_frame_is_stored_with_its_fcs(void **state)
{
    uint32_t fcs;

    make(nic_rig_mac, 200);
    nic_rig_receive(&rig, frame, 200);
    struct e1000_rig_rxd rxd = e1000_rig_rxd(&rig, 0);
    assert_int_equal(rxd.status, E1000_RXD_DD | E1000_RXD_EOP | E1000_RXD_IXSM);
    assert_int_equal(rxd.errors, 0);
    assert_int_equal(rxd.length, 204);
    assert_true(rxd.addr == E1000_RIG_BUF);
    assert_memory_equal(e1000_rig_buffer(&rig, 0), frame, 200);
    memcpy(&fcs, e1000_rig_buffer(&rig, 0) + 200, 4);
    assert_int_equal(fcs, frame_crc32(frame, 200));
    assert_int_equal(e1000_rig_buffer(&rig, 0)[204], 0);
    assert_int_equal(rd(E1000_RDH), 1);
    assert_int_equal(rd(E1000_ICR), E1000_INT_RXT0);
    wr(E1000_RCTL, BASIC);
    nic_rig_receive(&rig, frame, 200);
    assert_int_equal(e1000_rig_rxd(&rig, 1).length, 200);
    assert_int_equal(e1000_rig_buffer(&rig, 1)[200], 0);
}

static void frames_longer_than_a_buffer_take_several(void **state)
{
    static const struct {
        uint32_t rctl, size;
    } sizes[] = {
        {0, 2048},
        {1u << 16, 1024},
        {2u << 16, 512},
        {3u << 16, 256},
        {E1000_RCTL_BSEX | 1u << 16, 16384},
        {E1000_RCTL_BSEX | 2u << 16, 8192},
        {E1000_RCTL_BSEX | 3u << 16, 4096},
    };

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t bytes = 9000, size = sizes[i].size, first, n = (bytes + size - 1) / size;
        wr(E1000_RCTL, BASIC | E1000_RCTL_LPE | sizes[i].rctl);
        refill();
        first = rd(E1000_RDH);
        make(nic_rig_mac, bytes);
        nic_rig_receive(&rig, frame, bytes);
        assert_int_equal(rd(E1000_RDH), (first + n) % E1000_RIG_RING);
        for (uint32_t j = 0; j < n; j++) {
            uint32_t slot = (first + j) % E1000_RIG_RING;
            struct e1000_rig_rxd rxd = e1000_rig_rxd(&rig, slot);
            uint32_t here = j + 1 < n ? size : bytes - (n - 1) * size;
            assert_int_equal(rxd.length, here);
            assert_int_equal(rxd.status & 3, j + 1 < n ? E1000_RXD_DD : 3);
            assert_memory_equal(e1000_rig_buffer(&rig, slot), frame + j * size, here);
        }
    }
}

static void jumbo_frames_need_lpe(void **state)
{
    static const struct {
        uint32_t bytes;
        bool lpe, passes;
    } cases[] = {
        {1518, false, true}, {1519, false, false}, {1519, true, true}, {NET_FRAME_MAX, true, true}};

    for (unsigned i = 0; i < 4; i++) {
        uint32_t head = rd(E1000_RDH);
        wr(E1000_RCTL, BASIC | (cases[i].lpe ? E1000_RCTL_LPE : 0));
        make(nic_rig_mac, cases[i].bytes);
        nic_rig_receive(&rig, frame, cases[i].bytes);
        assert_int_equal(rd(E1000_RDH) != head, cases[i].passes);
    }
    assert_int_equal(rd(E1000_ROC), 1);
    assert_int_equal(rd(E1000_RLEC), 1);
    assert_int_equal(rd(E1000_TPR), 4);
    assert_int_equal(rd(E1000_GPRC), 3);
}

static void short_frames_arrive_padded(void **state)
{
    make(nic_rig_mac, 60);
    wr(E1000_RCTL, BASIC);
    nic_rig_receive(&rig, frame, 42);
    assert_int_equal(e1000_rig_rxd(&rig, 0).length, 60);
    assert_memory_equal(e1000_rig_buffer(&rig, 0), frame, 42);
    assert_int_equal(e1000_rig_buffer(&rig, 0)[42], 0);
    assert_int_equal(rd(E1000_PRC64), 1);
}

/* Without buffers the reader waits, nothing is lost, and new buffers wake it. */
static void a_stalled_receiver_wakes_up(void **state)
{
    wr(E1000_RDT, 2); /* two buffers */
    make(nic_rig_mac, 100);
    for (unsigned i = 0; i < 3; i++) {
        frame[50] = (uint8_t)i;
        nic_rig_receive(&rig, frame, 100);
    }
    assert_int_equal(rd(E1000_RDH), 2);
    assert_false(rig.port.reading);
    assert_int_equal(rd(E1000_RNBC), 1);
    assert_int_equal(rd(E1000_MPC), 0);
    assert_int_equal(rd(E1000_ICR) & E1000_INT_RXO, 0);
    wr(E1000_RDT, 10);
    nic_rig_settle(&rig);
    assert_int_equal(rd(E1000_RDH), 3);
    assert_int_equal(e1000_rig_buffer(&rig, 2)[50], 2);
    assert_true(rig.port.reading);
    assert_int_equal(rd(E1000_GPRC), 3);
}

static void a_frame_waits_until_all_its_buffers_are_there(void **state)
{
    wr(E1000_RCTL, BASIC | 3u << 16); /* 256 bytes */
    wr(E1000_RDT, 3);
    make(nic_rig_mac, 1000);
    nic_rig_receive(&rig, frame, 1000);
    assert_int_equal(rd(E1000_RDH), 0);
    assert_int_equal(e1000_rig_rxd(&rig, 0).status, 0);
    assert_int_equal(e1000_rig_buffer(&rig, 0)[0], 0);
    wr(E1000_RDT, 4);
    nic_rig_settle(&rig);
    assert_int_equal(rd(E1000_RDH), 4);
}

/* No ring of this size will ever take it: waiting would be for ever. */
static void a_frame_that_no_ring_can_take_is_lost(void **state)
{
    wr(E1000_RDLEN, 8 * E1000_DESC_BYTES);
    wr(E1000_RDT, 7);
    wr(E1000_RCTL, BASIC | E1000_RCTL_LPE | 3u << 16);
    make(nic_rig_mac, 4000);
    nic_rig_receive(&rig, frame, 4000);
    assert_int_equal(rd(E1000_RDH), 0);
    assert_true(rig.port.reading);
    assert_int_equal(rd(E1000_MPC), 1);
    assert_int_equal(rd(E1000_ICR), E1000_INT_RXO);
    make(nic_rig_mac, 100);
    nic_rig_receive(&rig, frame, 100);
    assert_int_equal(rd(E1000_RDH), 1);
}

static void descriptors_without_an_address_are_passed_over(void **state)
{
    e1000_rig_put_rxd(&rig, 0, 0);
    e1000_rig_put_rxd(&rig, 1, 0);
    make(nic_rig_mac, 100);
    nic_rig_receive(&rig, frame, 100);
    assert_int_equal(rd(E1000_RDH), 3);
    assert_int_equal(e1000_rig_rxd(&rig, 0).status, E1000_RXD_DD);
    assert_int_equal(e1000_rig_rxd(&rig, 0).length, 0);
    assert_int_equal(e1000_rig_rxd(&rig, 2).length, 104);
    assert_int_equal(rig.fake.ram[0], 0);
    for (unsigned i = 3; i < E1000_RIG_RING; i++)
        e1000_rig_put_rxd(&rig, i, 0);
    nic_rig_receive(&rig, frame, 100); /* too many for one frame */
    assert_int_equal(rd(E1000_MPC), 1);
    assert_true(rd(E1000_RDH) < E1000_RIG_RING - 1);
}

static void the_minimum_threshold_interrupts_once(void **state)
{
    static const uint32_t fractions[] = {2, 4, 8};

    for (unsigned i = 0; i < 3; i++) {
        uint32_t taken = 0;
        wr(E1000_RCTL, BASIC | i << E1000_RCTL_RDMTS_SHIFT);
        refill();
        rd(E1000_ICR);
        make(nic_rig_mac, 100);
        while (!(rd(E1000_ICR) & E1000_INT_RXDMT0)) {
            nic_rig_receive(&rig, frame, 100);
            nic_rig_settle(&rig); /* a turn takes only so many */
            taken++;
            assert_true(taken < E1000_RIG_RING);
        }
        assert_int_equal(E1000_RIG_RING - 1 - taken, E1000_RIG_RING / fractions[i]);
        nic_rig_receive(&rig, frame, 100);
        assert_int_equal(rd(E1000_ICR) & E1000_INT_RXDMT0, 0);
    }
}

static void interrupts_may_be_delayed(void **state)
{
    wr(E1000_RDTR, 50);
    wr(E1000_RADV, 120);
    make(nic_rig_mac, 100);
    for (unsigned i = 0; i < 3; i++) {
        nic_rig_receive(&rig, frame, 100);
        fake_host_advance(&rig.fake, 40 * 1024 + 1);
        assert_int_equal(rd(E1000_ICR), i == 2 ? E1000_INT_RXT0 : 0);
    }
    fake_host_advance(&rig.fake, 1000 * 1024);
    assert_int_equal(rd(E1000_ICR), 0);
    nic_rig_receive(&rig, frame, 100);
    fake_host_advance(&rig.fake, 50 * 1024 - 1);
    assert_int_equal(rd(E1000_ICR), 0);
    fake_host_advance(&rig.fake, 1);
    assert_int_equal(rd(E1000_ICR), E1000_INT_RXT0);
    nic_rig_receive(&rig, frame, 100);
    wr(E1000_RDTR, 50 | E1000_RDTR_FPD);
    assert_int_equal(rd(E1000_ICR), E1000_INT_RXT0);
    assert_int_equal(rd(E1000_RDTR), 50);
    wr(E1000_RSRPD, 128);
    nic_rig_receive(&rig, frame, 100);
    assert_int_equal(rd(E1000_ICR), E1000_INT_SRPD);
}

static void a_batch_makes_one_interrupt(void **state)
{
    unsigned before = rig.fake.intx_rises[NIC_RIG_SLOT][0];

    wr(E1000_IMS, E1000_INT_RXT0);
    make(nic_rig_mac, 100);
    for (unsigned i = 0; i < 20; i++) {
        net_port_receive(&rig.port.port, frame, 100, NULL);
        assert_false(nic_rig_inta(&rig));
    }
    net_port_received(&rig.port.port);
    assert_int_equal(rig.fake.intx_rises[NIC_RIG_SLOT][0], before + 1);
}

/* ---- filters ---- */

static void unicast_and_broadcast(void **state)
{
    static const uint8_t other[] = {0x00, 0x16, 0x3e, 0x12, 0x34, 0x57};
    static const uint8_t all[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    assert_true(comes_through(nic_rig_mac));
    assert_false(comes_through(other));
    assert_true(comes_through(all));
    wr(E1000_RCTL, E1000_RCTL_EN);
    assert_false(comes_through(all));
    wr(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_UPE);
    assert_true(comes_through(other));
    assert_int_equal(e1000_rig_rxd(&rig, rd(E1000_RDH) - 1).status & E1000_RXD_PIF, E1000_RXD_PIF);
    assert_false(comes_through(all));
    wr(E1000_RA + 4, rd(E1000_RA + 4) & ~E1000_RAH_AV);
    wr(E1000_RCTL, E1000_RCTL_EN);
    assert_false(comes_through(nic_rig_mac));
}

static void each_of_sixteen_addresses_may_be_anybodys(void **state)
{
    for (unsigned i = 0; i < E1000_RA_ENTRIES; i++) {
        const uint8_t mac[] = {(uint8_t)(i & 1), 2, 3, 4, 5, (uint8_t)i};
        assert_false(comes_through(mac));
        wr(E1000_RA + 8 * i, mac[0] | 2u << 8 | 3u << 16 | 4u << 24);
        wr(E1000_RA + 8 * i + 4, E1000_RAH_AV | 5 | i << 8);
        assert_true(comes_through(mac));
        assert_int_equal(e1000_rig_rxd(&rig, rd(E1000_RDH) - 1).status & E1000_RXD_PIF, 0);
        refill();
    }
    wr(E1000_RA + 0, 0x00000002); /* of the sender: 02:00:00:00:00:01 */
    wr(E1000_RA + 4, E1000_RAH_AV | 0x10000 | 0x0100);
    assert_true(comes_through((const uint8_t[]){0x08, 1, 1, 1, 1, 1}));
    wr(E1000_RA + 4, E1000_RAH_AV | 0x20000 | 0x0100); /* reserved */
    assert_false(comes_through((const uint8_t[]){0x08, 1, 1, 1, 1, 1}));
}

/* SDM 13.5.1's own example is 12 bits from 47:36: bit 9 of row 94 for xx:xx:xx:xx:9x:BCh. */
static void the_multicast_table(void **state)
{
    static const uint8_t mac[] = {0x01, 0x00, 0x5e, 0x11, 0x92, 0xbc};
    static const uint16_t hashes[] = {0xbc9, 0x792, 0xf24, 0xc92};

    for (unsigned mo = 0; mo < 4; mo++) {
        uint32_t hash = hashes[mo];
        wr(E1000_RCTL, E1000_RCTL_EN | mo << E1000_RCTL_MO_SHIFT);
        assert_false(comes_through(mac));
        wr(E1000_MTA + 4 * (hash >> 5), 1u << (hash & 31));
        assert_true(comes_through(mac));
        assert_int_equal(e1000_rig_rxd(&rig, rd(E1000_RDH) - 1).status & E1000_RXD_PIF,
                         E1000_RXD_PIF);
        wr(E1000_MTA + 4 * (hash >> 5), ~(1u << (hash & 31)));
        assert_false(comes_through(mac));
        wr(E1000_MTA + 4 * (hash >> 5), 0);
    }
    assert_int_equal(0xbc9 >> 5, 94);
    assert_int_equal(0xbc9 & 31, 9);
    wr(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_MPE);
    assert_true(comes_through(mac));
    assert_int_equal(rd(E1000_MPRC), 5);
}

static void make_tagged(uint16_t tag)
{
    make(nic_rig_mac, 104);
    memcpy(frame + 12, (const uint8_t[]){0x81, 0x00, (uint8_t)(tag >> 8), (uint8_t)tag}, 4);
}

static void tags_are_stripped(void **state)
{
    wr(E1000_RCTL, BASIC);
    make_tagged(0xa07b);
    nic_rig_receive(&rig, frame, 104);
    assert_int_equal(e1000_rig_rxd(&rig, 0).length, 104); /* only with CTRL.VME */
    assert_int_equal(e1000_rig_rxd(&rig, 0).status & E1000_RXD_VP, 0);
    wr(E1000_CTRL, rd(E1000_CTRL) | E1000_CTRL_VME);
    nic_rig_receive(&rig, frame, 104);
    struct e1000_rig_rxd rxd = e1000_rig_rxd(&rig, 1);
    assert_int_equal(rxd.length, 100);
    assert_int_equal(rxd.special, 0xa07b);
    assert_int_equal(rxd.status & E1000_RXD_VP, E1000_RXD_VP);
    assert_memory_equal(e1000_rig_buffer(&rig, 1), frame, 12);
    assert_memory_equal(e1000_rig_buffer(&rig, 1) + 12, frame + 16, 88);
    wr(E1000_VET, 0x88a8); /* another type of tag */
    nic_rig_receive(&rig, frame, 104);
    assert_int_equal(e1000_rig_rxd(&rig, 2).length, 104);
}

static void vlans_are_filtered(void **state)
{
    uint32_t head = rd(E1000_RDH);

    wr(E1000_RCTL, BASIC | E1000_RCTL_VFE);
    assert_true(comes_through(nic_rig_mac)); /* untagged */
    for (unsigned id = 0; id < 4096; id += 123) {
        make_tagged((uint16_t)(0xe000 | id));
        head = rd(E1000_RDH);
        nic_rig_receive(&rig, frame, 104);
        assert_int_equal(rd(E1000_RDH), head);
        wr(E1000_VFTA + 4 * (id >> 5), 1u << (id & 31));
        nic_rig_receive(&rig, frame, 104);
        assert_int_not_equal(rd(E1000_RDH), head);
        refill();
    }
    head = rd(E1000_RDH);
    wr(E1000_RCTL, BASIC | E1000_RCTL_VFE | E1000_RCTL_CFIEN);
    make_tagged(0x1000);
    nic_rig_receive(&rig, frame, 104);
    assert_int_equal(rd(E1000_RDH), head);
    wr(E1000_RCTL, BASIC | E1000_RCTL_VFE | E1000_RCTL_CFIEN | E1000_RCTL_CFI);
    nic_rig_receive(&rig, frame, 104);
    assert_int_not_equal(rd(E1000_RDH), head);
}

static void pause_frames_are_counted_and_kept(void **state)
{
    static const uint8_t group[] = {0x01, 0x80, 0xc2, 0x00, 0x00, 0x01};
    uint32_t head = rd(E1000_RDH);

    wr(E1000_RCTL, BASIC | E1000_RCTL_MPE);
    make(group, 64);
    memcpy(frame + 12, "\x88\x08\x00\x01\x00\xff", 6);
    nic_rig_receive(&rig, frame, 64);
    memcpy(frame + 16, "\x00\x00", 2);
    nic_rig_receive(&rig, frame, 64);
    frame[15] = 9;
    nic_rig_receive(&rig, frame, 64);
    assert_int_equal(rd(E1000_XOFFRXC), 1);
    assert_int_equal(rd(E1000_XONRXC), 1);
    assert_int_equal(rd(E1000_FCRUC), 1);
    assert_int_equal(rd(E1000_RDH), head);
    wr(E1000_RCTL, BASIC | E1000_RCTL_MPE | E1000_RCTL_PMCF);
    nic_rig_receive(&rig, frame, 64);
    assert_int_not_equal(rd(E1000_RDH), head);
}

/* ---- checksums ---- */

static uint16_t plain_sum(const uint8_t *bytes, uint32_t n)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* From any byte on, over an odd length, with and without what is stripped or added. */
static void the_packet_checksum_covers_what_is_stored(void **state)
{
    unsigned slot = 0;

    wr(E1000_CTRL, rd(E1000_CTRL) | E1000_CTRL_VME);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned start = 0; start < 40; start++) {
            wr(E1000_RCTL, i ? BASIC : BASIC & ~E1000_RCTL_SECRC);
            wr(E1000_RXCSUM, start);
            make_tagged(5);
            nic_rig_receive(&rig, frame, start & 2 ? 103 : 104);
            struct e1000_rig_rxd rxd = e1000_rig_rxd(&rig, slot);
            assert_int_equal(rxd.checksum,
                             plain_sum(e1000_rig_buffer(&rig, slot) + start, rxd.length - start));
            slot = (slot + 1) % E1000_RIG_RING;
            refill();
        }
    }
}

static void offload_and_status(uint32_t rxcsum, uint32_t bytes, bool known, uint8_t ret[2])
{
    const struct net_offload offload = {.csum_valid = known};
    uint32_t slot = rd(E1000_RDH);

    wr(E1000_RXCSUM, rxcsum);
    nic_rig_receive_offload(&rig, frame, bytes, &offload);
    ret[0] = e1000_rig_rxd(&rig, slot).status & (E1000_RXD_IXSM | E1000_RXD_IPCS | E1000_RXD_TCPCS);
    ret[1] = e1000_rig_rxd(&rig, slot).errors;
    refill();
}

/* The checksums that packet_build() leaves out. */
static void complete(uint32_t bytes)
{
    struct frame_headers headers;
    uint64_t sum;
    uint16_t value;

    frame_parse(frame, bytes, false, &headers);
    assert_int_not_equal(headers.l4, 0);
    if (headers.version == 4)
        checksum_set_ip4(frame, &headers);
    sum = checksum_pseudo(frame, &headers, headers.end - headers.l4);
    value = checksum_finish(checksum_add(sum, frame + headers.l4, headers.end - headers.l4));
    memcpy(frame + headers.l4 + (headers.protocol == FRAME_IPPROTO_UDP ? 6 : 16), &value, 2);
}

static void checksums_are_verified(void **state)
{
    const uint32_t both = E1000_RXCSUM_IPOFLD | E1000_RXCSUM_TUOFLD, six = E1000_RXCSUM_IPV6OFL;
    uint8_t is[2];

    wr(E1000_RCTL, BASIC | E1000_RCTL_UPE);
    for (unsigned i = 0; i < 8; i++) {
        struct packet_spec spec = {
            .version = i & 1 ? 6 : 4, .udp = i & 2, .vlan = i & 4, .payload = 100};
        uint32_t bytes = packet_build(frame, &spec), l3 = spec.vlan ? 18 : 14;
        uint8_t all = spec.version == 4 ? E1000_RXD_IPCS | E1000_RXD_TCPCS : E1000_RXD_TCPCS;
        complete(bytes);
        offload_and_status(0, bytes, false, is);
        assert_int_equal(is[0], E1000_RXD_IXSM);
        offload_and_status(both | six, bytes, false, is);
        assert_int_equal(is[0], all);
        assert_int_equal(is[1], 0);
        offload_and_status(both, bytes, false, is);
        assert_int_equal(is[0], spec.version == 4 ? all : E1000_RXD_IXSM);
        frame[bytes - 1] ^= 1;
        offload_and_status(both | six, bytes, false, is);
        assert_int_equal(is[0], all);
        assert_int_equal(is[1], E1000_RXD_TCPE >> 8);
        offload_and_status(both | six, bytes, true, is); /* who says so knows better */
        assert_int_equal(is[0], all);
        assert_int_equal(is[1], 0);
        if (spec.version == 6)
            continue;
        frame[l3 + 8]--; /* time to live */
        offload_and_status(both, bytes, false, is);
        assert_int_equal(is[1], (E1000_RXD_IPE | E1000_RXD_TCPE) >> 8);
        offload_and_status(E1000_RXCSUM_TUOFLD, bytes, true, is);
        assert_int_equal(is[0], E1000_RXD_TCPCS);
        frame[l3 + 6] |= 0x20; /* a fragment: IP's only */
        offload_and_status(both, bytes, true, is);
        assert_int_equal(is[0], E1000_RXD_IPCS);
    }
    make(nic_rig_mac, 100);
    offload_and_status(both, 100, false, is);
    assert_int_equal(is[0], E1000_RXD_IXSM);
}

static void nothing_comes_in_while_the_receiver_is_off(void **state)
{
    assert_true(rig.port.reading);
    wr(E1000_RCTL, 0);
    assert_false(rig.port.reading);
    wr(E1000_RCTL, BASIC);
    assert_true(rig.port.reading);
    bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_false(rig.port.reading);
    bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_true(rig.port.reading);
    net_set_link(rig.net, false);
    assert_false(rig.port.reading);
    net_set_link(rig.net, true);
    fake_host_advance(&rig.fake, 1000000000);
    assert_true(rig.port.reading);
}

/* Drivers that set the tail to the ring's length mean that all of it is the device's. */
static void a_tail_outside_of_the_ring_is_never_met(void **state)
{
    wr(E1000_RDT, E1000_RIG_RING);
    make(nic_rig_mac, 100);
    for (unsigned i = 0; i < 3 * E1000_RIG_RING; i++) {
        nic_rig_receive(&rig, frame, 100);
        nic_rig_settle(&rig);
    }
    assert_int_equal(rd(E1000_GPRC), 3 * E1000_RIG_RING);
    wr(E1000_RDH, E1000_RIG_RING); /* a head outside has no buffers */
    nic_rig_receive(&rig, frame, 100);
    assert_int_equal(rd(E1000_GPRC), 0);
    assert_false(rig.port.reading);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_frame_is_stored_with_its_fcs),
        TEST(frames_longer_than_a_buffer_take_several),
        TEST(jumbo_frames_need_lpe),
        TEST(short_frames_arrive_padded),
        TEST(a_stalled_receiver_wakes_up),
        TEST(a_frame_waits_until_all_its_buffers_are_there),
        TEST(a_frame_that_no_ring_can_take_is_lost),
        TEST(descriptors_without_an_address_are_passed_over),
        TEST(the_minimum_threshold_interrupts_once),
        TEST(interrupts_may_be_delayed),
        TEST(a_batch_makes_one_interrupt),
        TEST(unicast_and_broadcast),
        TEST(each_of_sixteen_addresses_may_be_anybodys),
        TEST(the_multicast_table),
        TEST(tags_are_stripped),
        TEST(vlans_are_filtered),
        TEST(pause_frames_are_counted_and_kept),
        TEST(the_packet_checksum_covers_what_is_stored),
        TEST(checksums_are_verified),
        TEST(nothing_comes_in_while_the_receiver_is_off),
        TEST(a_tail_outside_of_the_ring_is_never_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
