/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The transmit ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/e1000_rig.h"
#include "tests/unit/packets.h"

#define LEGACY_END (E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS)
#define DATA_END   (LEGACY_END | E1000_TXD_DEXT | E1000_TXD_DTYP_DATA)
#define CONTEXT    E1000_TXD_DEXT
#define TCP4       (E1000_TXD_TUCMD_TCP | E1000_TXD_TUCMD_IPV4)
#define POPTS(x)   ((uint32_t)(x) << 8)

static struct nic_rig rig;

static int setup(void **state)
{
    e1000_rig_init(&rig, 0);
    return 0;
}

static int setup_offloads(void **state)
{
    e1000_rig_init(&rig, NET_CAN_CSUM | NET_CAN_TCP4 | NET_CAN_TCP6 | NET_CAN_UDP);
    rig.port.port.max_frame = 1518; /* as of a tap: longer ones are its to cut */
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

static uint8_t *data(void)
{
    return rig.fake.ram + E1000_RIG_DATA;
}

/* `bytes` of something, recognisable. */
static void fill(uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        data()[i] = (uint8_t)(i * 11 + i / 256);
    memset(data(), 0xff, 6);
    memcpy(data() + 6, nic_rig_mac, 6);
    memcpy(data() + 12, "\x88\xb5", 2);
}

/* IPCSS, IPCSO, IPCSE, TUCSS, TUCSO, TUCSE as a driver sets them, for an L3 header at `l3`. */
static uint64_t context_words(uint32_t l3, uint32_t l3_bytes, bool udp)
{
    uint32_t l4 = l3 + l3_bytes;
    uint32_t ip = l3 | (l3 + 10) << 8 | (l4 - 1) << 16, tu = l4 | (l4 + (udp ? 6 : 16)) << 8;

    return ip | (uint64_t)tu << 32;
}

static void a_legacy_packet_leaves_as_it_lies_in_memory(void **state)
{
    fill(100);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 100, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(rig.sent[0].bytes, 100);
    assert_memory_equal(rig.sent[0].data, data(), 100);
    assert_int_equal(rd(E1000_TDH), 1);
    assert_int_equal(e1000_rig_tx_status(&rig, 0), E1000_TXD_DD);
    assert_int_equal(rd(E1000_ICR), E1000_INT_TXDW | E1000_INT_TXQE | E1000_INT_TXD_LOW);
    assert_int_equal(rd(E1000_GPTC), 1);
    assert_int_equal(rd(E1000_GOTCL), 104);
    assert_int_equal(rd(E1000_PTC64 + 4), 1);
    assert_int_equal(rd(E1000_BPTC), 1);
}

static void a_packet_may_be_in_many_pieces_over_many_doorbells(void **state)
{
    fill(1000);
    for (unsigned i = 0; i < 10; i++) {
        uint32_t end = i == 9 ? LEGACY_END : 0;
        assert_int_equal(rig.n_sent, 0);
        e1000_rig_desc(&rig, E1000_RIG_DATA + 100 * i, end | 100, 0);
        if (i == 4)
            e1000_rig_desc(&rig, 0, 100, 0); /* without an address, or length, nothing moves */
        if (i == 5)
            e1000_rig_desc(&rig, E1000_RIG_DATA, 0, 0);
        e1000_rig_doorbell(&rig);
    }
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(rig.sent[0].bytes, 1000);
    assert_memory_equal(rig.sent[0].data, data(), 1000);
    assert_int_equal(e1000_rig_tx_status(&rig, 3), 0); /* did not ask */
    assert_int_equal(e1000_rig_tx_status(&rig, 11), E1000_TXD_DD);
}

static void short_packets_are_padded(void **state)
{
    fill(60);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 20, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.sent[0].bytes, 60);
    assert_memory_equal(rig.sent[0].data, data(), 20);
    for (unsigned i = 20; i < 60; i++)
        assert_int_equal(rig.sent[0].data[i], 0);
    assert_int_equal(rd(E1000_PTC64), 1);
    assert_int_equal(rd(E1000_GOTCL), 64);
}

static void the_ring_wraps(void **state)
{
    fill(64);
    for (unsigned i = 0; i < 3 * E1000_RIG_RING; i++) {
        data()[20] = (uint8_t)i;
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 64, 0);
        e1000_rig_doorbell(&rig);
        nic_rig_settle(&rig);
        assert_int_equal(rig.n_sent, i + 1);
        assert_int_equal(rig.sent[i].data[20], (uint8_t)i);
        assert_int_equal(rd(E1000_TDH), (i + 1) % E1000_RIG_RING);
    }
}

static void a_batch_of_packets_makes_one_interrupt(void **state)
{
    unsigned before = rig.fake.intx_rises[NIC_RIG_SLOT][0];

    wr(E1000_IMS, E1000_INT_TXDW);
    fill(64);
    for (unsigned i = 0; i < NET_BUDGET; i++)
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 64, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, NET_BUDGET);
    assert_int_equal(rig.fake.intx_rises[NIC_RIG_SLOT][0], before + 1);
}

/* A driver that does not ask gets no interrupt and no report. */
static void descriptors_without_rs_are_not_reported(void **state)
{
    fill(64);
    e1000_rig_desc(&rig, E1000_RIG_DATA, E1000_TXD_EOP | 64, 0x30);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(e1000_rig_tx_status(&rig, 0), 0x30);
    assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, 0);
}

static void reports_may_be_delayed(void **state)
{
    wr(E1000_TIDV, 100);
    wr(E1000_TADV, 250);
    fill(64);
    rd(E1000_ICR);
    for (unsigned i = 0; i < 3;
         i++) { /* each packet starts TIDV anew, TADV counts from the first */
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_IDE | 64, 0);
        e1000_rig_doorbell(&rig);
        assert_int_equal(e1000_rig_tx_status(&rig, i), E1000_TXD_DD);
        fake_host_advance(&rig.fake, 90 * 1024);
        assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, i == 2 ? E1000_INT_TXDW : 0);
    }
    fake_host_advance(&rig.fake, 1000 * 1024);
    assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, 0); /* TIDV is off then */

    wr(E1000_TADV, 0);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_IDE | 64, 0);
    e1000_rig_doorbell(&rig);
    fake_host_advance(&rig.fake, 100 * 1024 - 1);
    assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, 0);
    fake_host_advance(&rig.fake, 1);
    assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, E1000_INT_TXDW);

    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_IDE | 64, 0);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 64, 0); /* not this one */
    e1000_rig_doorbell(&rig);
    assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, E1000_INT_TXDW);
    fake_host_advance(&rig.fake, 1000 * 1024);
    assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, 0);
}

static void a_low_queue_interrupts(void **state)
{
    wr(E1000_TXDCTL, 1u << E1000_TXDCTL_LWTHRESH); /* 8 */
    rig.port.busy = true;
    fill(64);
    for (unsigned i = 0; i < 20; i++)
        e1000_rig_desc(&rig, E1000_RIG_DATA, E1000_TXD_EOP | 64, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rd(E1000_ICR) & (E1000_INT_TXD_LOW | E1000_INT_TXQE), 0);
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 20);
    assert_int_equal(rd(E1000_ICR) & (E1000_INT_TXD_LOW | E1000_INT_TXQE),
                     E1000_INT_TXD_LOW | E1000_INT_TXQE);
}

static void a_way_out_that_takes_nothing_stops_the_ring(void **state)
{
    fill(64);
    rig.port.busy = true;
    for (unsigned i = 0; i < 8; i++)
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 64, 0);
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 0);
    assert_true(rd(E1000_TDH) <= 2); /* one packet is in the device */
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 8);
    assert_int_equal(rd(E1000_TDH), 8);
}

/* The rest comes in later turns of the loop. */
static void a_turn_sends_only_so_much(void **state)
{
    const uint32_t count = 4096, ring = 0x20000;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *desc = rig.fake.ram + ring + 16 * i;
        memset(desc, 0, 16);
        memcpy(desc, (uint8_t[]){0, 0, E1000_RIG_DATA >> 16}, 3);
        desc[8] = 64;
        desc[11] = E1000_TXD_EOP >> 24;
    }
    fill(64);
    wr(E1000_TDBAL, ring);
    wr(E1000_TDLEN, count * 16);
    wr(E1000_TDT, 400);
    assert_true(rig.n_sent <= NET_BUDGET);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 400);
    assert_int_equal(rd(E1000_TDH), 400);
}

static void nothing_leaves_before_the_transmitter_may(void **state)
{
    fill(64);
    wr(E1000_TCTL, 0);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 64, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, 0);
    bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    wr(E1000_TCTL, E1000_TCTL_EN);
    assert_int_equal(rig.n_sent, 0); /* no bus master */
    net_set_link(rig.net, false);
    bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_int_equal(rig.n_sent, 0); /* no link */
    net_set_link(rig.net, true);
    fake_host_advance(&rig.fake, 1000000000);
    assert_int_equal(rig.n_sent, 1);
}

static void a_legacy_checksum_is_inserted(void **state)
{
    uint32_t sum = 0;

    fill(101);
    data()[50] = data()[51] = 0;
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_IC | 50u << 16 | 101, 34 << 8);
    e1000_rig_doorbell(&rig);
    for (unsigned i = 34; i < 101; i++)
        sum += i & 1 ? rig.sent[0].data[i] : (uint32_t)rig.sent[0].data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    assert_int_equal(sum, 0xffff);
    /* Out of the packet it is ignored (SDM 3.3.3.1). */
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_IC | 100u << 16 | 101, 34 << 8);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_IC | 50u << 16 | 101, 101 << 8);
    e1000_rig_doorbell(&rig);
    assert_memory_equal(rig.sent[1].data, data(), 101);
    assert_memory_equal(rig.sent[2].data, data(), 101);
}

/* What a driver leaves in the checksum field: the pseudo-header's sum, with or without length. */
static void seed(uint8_t *packet, const struct packet_spec *spec, uint32_t length)
{
    uint32_t l3 = spec->vlan ? 18 : 14, l4 = l3 + (spec->version == 4 ? 20 : 40);
    uint32_t from = spec->version == 4 ? l3 + 12 : l3 + 8, sum = length + (spec->udp ? 17 : 6);

    for (uint32_t i = from; i < l4; i += 2)
        sum += (uint32_t)packet[i] << 8 | packet[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    uint8_t *field = packet + l4 + (spec->udp ? 6 : 16);
    field[0] = (uint8_t)(sum >> 8);
    field[1] = (uint8_t)sum;
}

static void send_with_checksums(const struct packet_spec *spec)
{
    uint32_t bytes = packet_build(data(), spec), l3 = spec->vlan ? 18 : 14;
    uint32_t l3_bytes = spec->version == 4 ? 20 : 40, popts = E1000_TXD_POPTS_TXSM;
    uint32_t type = spec->udp ? 0 : E1000_TXD_TUCMD_TCP;

    if (spec->version == 4) {
        popts |= E1000_TXD_POPTS_IXSM;
        type |= E1000_TXD_TUCMD_IPV4;
    }
    seed(data(), spec, bytes - l3 - l3_bytes);
    e1000_rig_desc(&rig, context_words(l3, l3_bytes, spec->udp), CONTEXT | type, 0);
    e1000_rig_desc(&rig, E1000_RIG_DATA, DATA_END | bytes, POPTS(popts));
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
}

static void checksums_are_inserted_as_the_context_says(void **state)
{
    for (unsigned i = 0; i < 8; i++) {
        struct packet_spec spec = {
            .version = i & 1 ? 6 : 4, .udp = i & 2, .vlan = i & 4, .payload = 333 + i};
        send_with_checksums(&spec);
        assert_int_equal(rig.n_sent, i + 1);
        packet_assert_checksums(rig.sent[i].data, rig.sent[i].bytes);
        assert_false(rig.sent[i].offload.csum_needed);
    }
    assert_int_equal(rd(E1000_ICR) & E1000_INT_TXDW, E1000_INT_TXDW);
}

/* The way out does it if it can. */
static void a_tcp_checksum_is_left_to_those_who_can(void **state)
{
    send_with_checksums(&(struct packet_spec){.version = 4, .payload = 100});
    assert_true(rig.sent[0].offload.csum_needed);
    assert_int_equal(rig.sent[0].offload.csum_start, 34);
    assert_int_equal(rig.sent[0].offload.csum_offset, 16);
}

/* A range that does not go to the end is done here; one outside of the packet not at all. */
static void odd_checksum_ranges(void **state)
{
    uint64_t words = 34 | 44 << 8 | 53u << 16 | (uint64_t)(54 | 60 << 8 | 99u << 16) << 32;
    uint32_t ip = 0, tu = 0;

    fill(200);
    memset(data() + 44, 0, 2);
    memset(data() + 60, 0, 2);
    e1000_rig_desc(&rig, words, CONTEXT | TCP4, 0);
    e1000_rig_desc(&rig, E1000_RIG_DATA, DATA_END | 200, POPTS(3));
    e1000_rig_doorbell(&rig);
    for (unsigned i = 34; i < 54; i += 2)
        ip += (uint32_t)rig.sent[0].data[i] << 8 | rig.sent[0].data[i + 1];
    for (unsigned i = 54; i < 100; i += 2)
        tu += (uint32_t)rig.sent[0].data[i] << 8 | rig.sent[0].data[i + 1];
    assert_int_equal(ip % 0xffff, 0);
    assert_int_equal(tu % 0xffff, 0);
    assert_memory_equal(rig.sent[0].data + 100, data() + 100, 100);
    words = 255 | 255u << 8 | 0xffffu << 16 | (uint64_t)(255 | 254u << 8 | 0xffffu << 16) << 32;
    e1000_rig_desc(&rig, words, CONTEXT | TCP4, 0);
    e1000_rig_desc(&rig, E1000_RIG_DATA, DATA_END | 200, POPTS(3));
    e1000_rig_desc(&rig, 0, CONTEXT | TCP4, 0); /* all at 0: the addresses' checksum */
    e1000_rig_desc(&rig, E1000_RIG_DATA, DATA_END | 200, POPTS(3));
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, 3);
    assert_memory_equal(rig.sent[1].data, data(), 200);
    assert_memory_equal(rig.sent[2].data + 2, data() + 2, 198);
}

static void send_large(const struct packet_spec *spec, uint32_t mss, bool tag)
{
    uint32_t bytes = packet_build(data(), spec), l3_bytes = spec->version == 4 ? 20 : 40;
    uint32_t headers = 14 + l3_bytes + (spec->udp ? 8 : 20), popts = POPTS(3);
    uint32_t type = spec->udp ? 0 : E1000_TXD_TUCMD_TCP;
    uint32_t vle = tag ? E1000_TXD_VLE : 0;

    if (spec->version == 4) {
        memset(data() + 16, 0, 2); /* total length: as Linux leaves it */
        type |= E1000_TXD_TUCMD_IPV4;
    } else {
        memset(data() + 18, 0, 2);
    }
    seed(data(), spec, 0);
    e1000_rig_desc(&rig, context_words(14, l3_bytes, spec->udp),
                   CONTEXT | E1000_TXD_TSE | type | (bytes - headers), mss << 16 | headers << 8);
    e1000_rig_desc(&rig, E1000_RIG_DATA,
                   E1000_TXD_DEXT | E1000_TXD_DTYP_DATA | E1000_TXD_TSE | vle | headers,
                   popts | (tag ? 0xe07bu << 16 : 0));
    for (uint32_t at = headers; at < bytes; at += 16384) {
        uint32_t n = bytes - at < 16384 ? bytes - at : 16384;
        uint32_t end = at + n == bytes ? LEGACY_END : 0;
        e1000_rig_desc(&rig, E1000_RIG_DATA + at,
                       E1000_TXD_DEXT | E1000_TXD_DTYP_DATA | E1000_TXD_TSE | end | n, 0);
    }
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
}

static void large_tcp_packets_are_cut(void **state)
{
    for (unsigned version = 4; version <= 6; version += 2) {
        uint32_t header = version == 4 ? 54 : 74, seq = 0xffffff00, at = 0;
        nic_rig_forget(&rig);
        send_large(&(struct packet_spec){.version = version, .tcp_flags = 0x19, .payload = 60000},
                   1448, false);
        assert_int_equal(rig.n_sent, (60000 + 1447) / 1448);
        for (unsigned i = 0; i < rig.n_sent; i++) {
            const uint8_t *frame = rig.sent[i].data, *tcp = frame + header - 20;
            bool last = i + 1 == rig.n_sent;
            packet_assert_checksums(frame, rig.sent[i].bytes);
            assert_int_equal((uint32_t)tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7], seq);
            assert_int_equal(tcp[13], last ? 0x19 : 0x10); /* PSH and FIN: the last only */
            if (version == 4)
                assert_int_equal(frame[18] << 8 | frame[19], (0xfffe + i) & 0xffff);
            for (uint32_t j = header; j < rig.sent[i].bytes; j++)
                assert_int_equal(frame[j], packet_payload_byte(at++));
            seq += rig.sent[i].bytes - header;
        }
        assert_int_equal(at, 60000);
        assert_int_equal(rd(E1000_TSCTC), 1);
        assert_int_equal(rd(E1000_TSCTFC), 0);
        assert_int_equal(rd(E1000_GPTC), rig.n_sent);
        assert_int_equal(rd(E1000_GOTCL), 60000 + rig.n_sent * (header + 4));
        rd(E1000_GOTCL + 4);
    }
}

static void large_packets_are_left_to_those_who_can(void **state)
{
    send_large(&(struct packet_spec){.version = 4, .payload = 50000}, 1448, false);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(rig.sent[0].bytes, 50054);
    assert_int_equal(rig.sent[0].offload.gso, NET_GSO_TCP4);
    assert_int_equal(rig.sent[0].offload.gso_size, 1448);
    assert_int_equal(rig.sent[0].data[16] << 8 | rig.sent[0].data[17], 50040);
    send_large(&(struct packet_spec){.version = 6, .payload = 50000}, 1428, false);
    assert_int_equal(rig.sent[1].offload.gso, NET_GSO_TCP6);
    send_large(&(struct packet_spec){.version = 4, .udp = true, .payload = 5000}, 1000, false);
    assert_int_equal(rig.sent[2].offload.gso, NET_GSO_UDP);
    assert_int_equal(rd(E1000_GPTC), 35 + 36 + 5);
}

static void both_contexts_are_kept(void **state)
{
    struct packet_spec small = {.version = 4, .udp = true, .payload = 100};

    send_with_checksums(&small);
    send_large(&(struct packet_spec){.version = 4, .payload = 2000}, 1448, false);
    uint32_t bytes = packet_build(data(), &small); /* no new context */
    seed(data(), &small, bytes - 34);
    e1000_rig_desc(&rig, E1000_RIG_DATA, DATA_END | bytes, POPTS(3));
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 4);
    for (unsigned i = 0; i < 4; i++)
        packet_assert_checksums(rig.sent[i].data, rig.sent[i].bytes);
}

static void tags_are_inserted(void **state)
{
    static const uint8_t tag[] = {0x81, 0x00, 0xe0, 0x7b};

    fill(100);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_VLE | 100, 0xe07bu << 16);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.sent[0].bytes, 100); /* only with CTRL.VME */
    wr(E1000_CTRL, rd(E1000_CTRL) | E1000_CTRL_VME);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_VLE | 100, 0xe07bu << 16);
    e1000_rig_desc(&rig, E1000_RIG_DATA, DATA_END | E1000_TXD_VLE | 100, 0xe07bu << 16);
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(rig.sent[i].bytes, 104);
        assert_memory_equal(rig.sent[i].data, data(), 12);
        assert_memory_equal(rig.sent[i].data + 12, tag, 4);
        assert_memory_equal(rig.sent[i].data + 16, data() + 12, 88);
    }
    nic_rig_forget(&rig);
    send_large(&(struct packet_spec){.version = 4, .payload = 3000}, 1448, true);
    assert_int_equal(rig.n_sent, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_memory_equal(rig.sent[i].data + 12, tag, 4);
        packet_assert_checksums(rig.sent[i].data, rig.sent[i].bytes);
    }
}

static void what_is_no_packet_is_lost(void **state)
{
    fill(20000);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 13, 0);
    e1000_rig_desc(&rig, 0, LEGACY_END | 100, 0);
    for (unsigned i = 0; i < 3; i++)
        e1000_rig_desc(&rig, E1000_RIG_DATA, (i == 2 ? LEGACY_END : 0) | 16000, 0);
    e1000_rig_desc(&rig, E1000_RIG_DATA, DATA_END | E1000_TXD_TSE | 1000, 0); /* MSS 0 */
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 100, 0);
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(rig.sent[0].bytes, 100);
    assert_int_equal(rd(E1000_TDH), 7); /* all were done */
    assert_int_equal(rd(E1000_TSCTFC), 1);
}

static void long_frames_leave_whole(void **state)
{
    uint32_t most = NET_FRAME_MAX - NET_VLAN_BYTES;

    fill(most);
    e1000_rig_desc(&rig, E1000_RIG_DATA, most, 0);
    e1000_rig_desc(&rig, 0, LEGACY_END, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.sent[0].bytes, most);
    assert_memory_equal(rig.sent[0].data, data(), most);
}

/* Linux's `ethtool -t`: the PHY's loopback, frames of 1024 bytes, over the ring's end. */
static void linuxs_loopback_test_passes(void **state)
{
    static const uint16_t phy[] = {0x9140, 0x8140, 0x4140};

    for (unsigned i = 0; i < 3; i++)
        wr(E1000_MDIC, E1000_MDIC_OP_WRITE | 1u << E1000_MDIC_PHY_SHIFT | phy[i]);
    memset(data(), 0xff, 1024);
    memset(data() + 512, 0xaa, 511);
    data()[522] = 0xbe;
    data()[524] = 0xaf;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 32; i++)
            e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 1024, 0);
        e1000_rig_doorbell(&rig);
        nic_rig_settle(&rig);
        assert_int_equal(rig.n_sent, 0);
        for (unsigned i = 0; i < 32; i++) {
            unsigned slot = (round * 32 + i) % E1000_RIG_RING;
            struct e1000_rig_rxd rxd = e1000_rig_rxd(&rig, slot);
            assert_int_equal(rxd.status & 3, 3);
            assert_int_equal(rxd.length, 1028);
            assert_memory_equal(e1000_rig_buffer(&rig, slot), data(), 1024);
            e1000_rig_put_rxd(&rig, slot, rxd.addr);
        }
        wr(E1000_RDT, (rd(E1000_RDH) + E1000_RIG_RING - 1) % E1000_RIG_RING);
    }
    wr(E1000_RDT, rd(E1000_RDH)); /* no buffers: lost, and the ring goes on */
    for (unsigned i = 0; i < 32; i++)
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 1024, 0);
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rd(E1000_TDH), rd(E1000_TDT));
    assert_false(rig.port.reading); /* from outside nothing comes */
}

static void the_macs_loopback_is_one_too(void **state)
{
    wr(E1000_RCTL, rd(E1000_RCTL) | E1000_RCTL_LBM_MAC);
    fill(100);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 100, 0);
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 0);
    assert_memory_equal(e1000_rig_buffer(&rig, 0), data(), 100);
    wr(E1000_RCTL, rd(E1000_RCTL) & ~E1000_RCTL_LBM);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 100, 0);
    e1000_rig_doorbell(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_true(rig.port.reading);
}

/* A head outside of the ring stops it; a tail outside makes it go round once a doorbell. */
static void a_bad_ring_is_walked_within_its_bounds(void **state)
{
    fill(64);
    for (unsigned i = 0; i < E1000_RIG_RING; i++)
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 64, 0);
    wr(E1000_TDH, E1000_RIG_RING);
    wr(E1000_TDT, 5);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 0);
    wr(E1000_TDH, 3);
    wr(E1000_TDT, 0xffff);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, E1000_RIG_RING);
    assert_int_equal(rd(E1000_TDH), 3);
    wr(E1000_TDLEN, 0);
    wr(E1000_TDT, 1);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, E1000_RIG_RING);
}

int main(void)
{
#define WITH(test, how) cmocka_unit_test_setup_teardown(test, how, teardown)
    const struct CMUnitTest tests[] = {
        WITH(a_legacy_packet_leaves_as_it_lies_in_memory, setup),
        WITH(a_packet_may_be_in_many_pieces_over_many_doorbells, setup),
        WITH(short_packets_are_padded, setup),
        WITH(the_ring_wraps, setup),
        WITH(a_batch_of_packets_makes_one_interrupt, setup),
        WITH(descriptors_without_rs_are_not_reported, setup),
        WITH(reports_may_be_delayed, setup),
        WITH(a_low_queue_interrupts, setup),
        WITH(a_way_out_that_takes_nothing_stops_the_ring, setup),
        WITH(a_turn_sends_only_so_much, setup),
        WITH(nothing_leaves_before_the_transmitter_may, setup),
        WITH(a_legacy_checksum_is_inserted, setup),
        WITH(checksums_are_inserted_as_the_context_says, setup),
        WITH(a_tcp_checksum_is_left_to_those_who_can, setup_offloads),
        WITH(odd_checksum_ranges, setup),
        WITH(large_tcp_packets_are_cut, setup),
        WITH(large_packets_are_left_to_those_who_can, setup_offloads),
        WITH(both_contexts_are_kept, setup),
        WITH(tags_are_inserted, setup),
        WITH(what_is_no_packet_is_lost, setup),
        WITH(long_frames_leave_whole, setup),
        WITH(linuxs_loopback_test_passes, setup),
        WITH(the_macs_loopback_is_one_too, setup),
        WITH(a_bad_ring_is_walked_within_its_bounds, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
