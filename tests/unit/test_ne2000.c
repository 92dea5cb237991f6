/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NE2000 as its drivers see it, and as those who mean it harm do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net/frame.h"
#include "tests/unit/ne2000_rig.h"

#define TX_ADDR (NE2000_RIG_TX * NE2000_PAGE)

static struct nic_rig rig;
static uint8_t frame[2000];

static int setup(void **state)
{
    ne2000_rig_init(&rig, 0);
    for (unsigned i = 0; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i * 7 + 1);
    memcpy(frame, nic_rig_mac, NET_MAC_BYTES);
    return 0;
}

static int teardown(void **state)
{
    nic_rig_finish(&rig);
    return 0;
}

static uint8_t rd(unsigned reg)
{
    return (uint8_t)ne2000_rig_in(&rig, reg, 1);
}

static void wr(unsigned reg, uint8_t value)
{
    ne2000_rig_out(&rig, reg, 1, value);
}

static void page(unsigned n)
{
    wr(NE2000_CR, (uint8_t)(n << NE2000_CR_PAGE_SHIFT | NE2000_CR_STA | NE2000_CR_RD_ABORT));
}

static uint8_t curr(void)
{
    page(1);
    uint8_t value = rd(NE2000_CURR);
    page(0);
    return value;
}

static void fetch(uint16_t addr, void *buf, uint16_t bytes)
{
    ne2000_rig_remote(&rig, NE2000_CR_RD_READ, addr, bytes);
    bus_port_read_block(rig.bus, NIC_RIG_PORT + NE2000_DATA, 2, buf, (bytes + 1u) / 2);
}

static void put(uint16_t addr, const void *buf, uint16_t bytes)
{
    ne2000_rig_remote(&rig, NE2000_CR_RD_WRITE, addr, bytes);
    bus_port_write_block(rig.bus, NIC_RIG_PORT + NE2000_DATA, 2, buf, (bytes + 1u) / 2);
}

static void transmit(uint16_t bytes)
{
    wr(NE2000_TPSR, NE2000_RIG_TX);
    ne2000_rig_out(&rig, NE2000_TBCR0, 2, bytes);
    wr(NE2000_CR, NE2000_CR_STA | NE2000_CR_TXP | NE2000_CR_RD_ABORT);
}

static void the_prom_has_the_address_as_byte_and_word_drivers_read_it(void **state)
{
    uint8_t prom[NE2000_PROM_BYTES];

    fetch(0, prom, sizeof(prom));
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(prom[i], nic_rig_mac[i / 2]);
    assert_int_equal(prom[28], 'W');
    ne2000_rig_remote(&rig, NE2000_CR_RD_READ, 0, 32); /* Linux: bytes, with WTS set */
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(rd(NE2000_DATA), nic_rig_mac[i]);
    for (unsigned i = 6; i < 16; i++)
        assert_int_equal(rd(NE2000_DATA), i < 14 ? 0xff & prom[2 * i] : 'W');
    assert_true(rd(NE2000_ISR) & NE2000_ISR_RDC);
}

static void it_says_that_it_is_an_rtl8029as(void **state)
{
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, 0, 4), 0x802910ec);
    assert_int_equal(rd(NE2000_ID0), 'P');
    assert_int_equal(rd(NE2000_ID1), 'C');
    page(3);
    assert_int_equal(rd(NE2000_ASID0), 0x29);
    assert_int_equal(rd(NE2000_ASID1), 0x80);
    wr(NE2000_CONFIG3, 0x40); /* locked */
    assert_int_equal(rd(NE2000_CONFIG3), 0);
    wr(NE2000_9346CR, NE2000_9346CR_EEM);
    wr(NE2000_CONFIG3, 0x40);
    assert_int_equal(rd(NE2000_CONFIG3), 0x40);
}

static void page_2_shows_what_was_written_and_bits_that_are_always_so(void **state)
{
    static const struct {
        uint8_t reg, reads;
    } of[] = {{NE2000_RCR, 0xff}, {NE2000_TCR, 0xff}, {NE2000_DCR, 0xfb}, {NE2000_IMR, 0xff}};

    assert_int_equal(rd(NE2000_TSR), NE2000_TSR_ONE);
    for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++)
        wr(of[i].reg, 0xff);
    page(2);
    for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++)
        assert_int_equal(rd(of[i].reg), of[i].reads);
    assert_int_equal(rd(NE2000_PSTART), NE2000_RIG_START);
    assert_int_equal(rd(NE2000_PSTOP), NE2000_RIG_STOP);
}

static void a_reset_shows_in_isr_until_it_is_started(void **state)
{
    rd(0x1f);
    assert_int_equal(rd(NE2000_CR), NE2000_CR_STP | NE2000_CR_RD_ABORT);
    wr(NE2000_ISR, 0xff);
    assert_int_equal(rd(NE2000_ISR), NE2000_ISR_RST);
    page(0);
    assert_int_equal(rd(NE2000_ISR), 0);
}

static void remote_dma_moves_bytes_words_and_doublewords(void **state)
{
    uint8_t back[64];

    put(TX_ADDR, frame, 64);
    assert_true(nic_rig_inta(&rig));
    ne2000_rig_remote(&rig, NE2000_CR_RD_READ, TX_ADDR, 8);
    assert_int_equal(ne2000_rig_in(&rig, NE2000_DATA, 4),
                     frame[0] | frame[1] << 8 | frame[2] << 16 | (uint32_t)frame[3] << 24);
    assert_int_equal(ne2000_rig_in(&rig, NE2000_DATA, 2), frame[4] | frame[5] << 8);
    wr(NE2000_ISR, 0xff);
    assert_false(nic_rig_inta(&rig));
    ne2000_rig_in(&rig, NE2000_DATA, 2);
    assert_int_equal(rd(NE2000_ISR), NE2000_ISR_RDC);
    assert_int_equal(ne2000_rig_in(&rig, NE2000_DATA, 2), 0xffff); /* it is over */
    wr(NE2000_DCR, 0);
    ne2000_rig_remote(&rig, NE2000_CR_RD_READ, TX_ADDR, sizeof(back));
    bus_port_read_block(rig.bus, NIC_RIG_PORT + NE2000_DATA, 1, back, 32);
    for (unsigned i = 32; i < sizeof(back); i++) /* wider accesses move one, too */
        back[i] = (uint8_t)ne2000_rig_in(&rig, NE2000_DATA, i % 2 ? 2 : 4);
    assert_memory_equal(back, frame, sizeof(back));
    assert_true(rd(NE2000_ISR) & NE2000_ISR_RDC);
}

static void words_are_at_even_addresses(void **state)
{
    ne2000_rig_remote(&rig, NE2000_CR_RD_WRITE, TX_ADDR + 1, 2);
    ne2000_rig_out(&rig, NE2000_DATA, 2, 0x1234);
    ne2000_rig_remote(&rig, NE2000_CR_RD_READ, TX_ADDR, 2);
    assert_int_equal(ne2000_rig_in(&rig, NE2000_DATA, 2), 0x1234);
    put(NE2000_RIG_STOP * NE2000_PAGE - 1, frame, 4);
    ne2000_rig_remote(&rig, NE2000_CR_RD_READ, NE2000_RIG_START * NE2000_PAGE, 2);
    assert_int_equal(ne2000_rig_in(&rig, NE2000_DATA, 2), frame[2] | frame[3] << 8);
}

static void remote_dma_goes_on_at_pstart(void **state)
{
    uint8_t back[NE2000_PAGE];

    put(NE2000_RIG_STOP * NE2000_PAGE - 16, frame, 32);
    fetch(NE2000_RIG_START * NE2000_PAGE, back, 16);
    assert_memory_equal(back, frame + 16, 16);
}

static void a_frame_is_sent_and_said_to_be(void **state)
{
    put(TX_ADDR, frame, 1514);
    wr(NE2000_ISR, 0xff);
    transmit(1514);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(rig.sent[0].bytes, 1514);
    assert_memory_equal(rig.sent[0].data, frame, 1514);
    assert_int_equal(rd(NE2000_ISR), NE2000_ISR_PTX);
    assert_int_equal(rd(NE2000_TSR), NE2000_TSR_PTX | NE2000_TSR_ONE);
    assert_false(rd(NE2000_CR) & NE2000_CR_TXP);
    transmit(20);
    assert_int_equal(rig.sent[1].bytes, NET_FRAME_MIN);
}

static void a_busy_way_out_keeps_txp_until_it_is_free(void **state)
{
    put(TX_ADDR, frame, 100);
    wr(NE2000_ISR, 0xff);
    rig.port.busy = true;
    transmit(100);
    assert_true(rd(NE2000_CR) & NE2000_CR_TXP);
    assert_int_equal(rd(NE2000_ISR), 0);
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(rd(NE2000_ISR), NE2000_ISR_PTX);
}

static void a_received_frame_has_its_header_and_fcs(void **state)
{
    uint8_t got[NE2000_HEADER + 300 + NE2000_FCS];
    uint32_t crc = frame_crc32(frame, 300);

    nic_rig_receive(&rig, frame, 300);
    assert_true(nic_rig_inta(&rig));
    assert_int_equal(curr(), NE2000_RIG_START + 3);
    fetch((NE2000_RIG_START + 1) * NE2000_PAGE, got, sizeof(got));
    assert_int_equal(got[0], NE2000_RSR_PRX);
    assert_int_equal(got[1], NE2000_RIG_START + 3);
    assert_int_equal(got[2] | got[3] << 8, 304);
    assert_memory_equal(got + 4, frame, 300);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(got[304 + i], (uint8_t)(crc >> (8 * i)));
}

/* As iPXE does with each look at CURR, and leaves it so. */
static void once_started_it_receives_until_it_is_stopped(void **state)
{
    wr(NE2000_CR, 1 << NE2000_CR_PAGE_SHIFT);
    wr(NE2000_CR, 0);
    assert_true(rig.port.reading);
    nic_rig_receive(&rig, frame, 60);
    assert_int_equal(curr(), NE2000_RIG_START + 2);
    put(NE2000_RIG_TX * NE2000_PAGE, frame, 60);
    wr(NE2000_TPSR, NE2000_RIG_TX);
    wr(NE2000_TBCR0, 60);
    wr(NE2000_TBCR1, 0);
    wr(NE2000_CR, NE2000_CR_TXP | NE2000_CR_RD_ABORT);
    assert_int_equal(rig.n_sent, 1);
    wr(NE2000_CR, NE2000_CR_STP);
    assert_false(rig.port.reading);
    wr(NE2000_CR, 0); /* that does not start it */
    assert_false(rig.port.reading);
    wr(NE2000_CR, NE2000_CR_TXP);
    assert_int_equal(rig.n_sent, 1);
    wr(NE2000_CR, NE2000_CR_STA);
    assert_true(rig.port.reading);
}

static void frames_are_chosen_by_address(void **state)
{
    unsigned bit;

    frame[5] ^= 1;
    nic_rig_receive(&rig, frame, 60);
    assert_int_equal(curr(), NE2000_RIG_START + 1);
    wr(NE2000_RCR, NE2000_RCR_PRO | NE2000_RCR_AM);
    nic_rig_receive(&rig, frame, 60);
    assert_int_equal(curr(), NE2000_RIG_START + 2);
    frame[0] = 0x01;
    nic_rig_receive(&rig, frame, 60);
    assert_int_equal(curr(), NE2000_RIG_START + 2);
    bit = frame_hash64(frame);
    page(1);
    wr(NE2000_MAR0 + bit / 8, (uint8_t)(1 << bit % 8));
    nic_rig_receive(&rig, frame, 60);
    assert_int_equal(curr(), NE2000_RIG_START + 3);
    assert_int_equal(rd(NE2000_RSR), NE2000_RSR_PRX | NE2000_RSR_PHY);
    memset(frame, 0xff, 6);
    nic_rig_receive(&rig, frame, 60); /* AB is off */
    assert_int_equal(curr(), NE2000_RIG_START + 3);
}

static void a_full_ring_stops_the_reader_until_bnry_moves(void **state)
{
    unsigned n = 0;

    while (rig.port.reading && n < 100) {
        nic_rig_receive(&rig, frame, 1500);
        n++;
        nic_rig_settle(&rig);
    }
    assert_int_equal(n, 10); /* 57 pages for 6 each, and one that waits */
    uint8_t at = curr();
    assert_false(rd(NE2000_ISR) & NE2000_ISR_OVW);
    /* A driver that leaves the rest for later hears of it again. */
    wr(NE2000_ISR, NE2000_ISR_PRX);
    assert_false(rd(NE2000_ISR) & NE2000_ISR_PRX);
    nic_rig_settle(&rig);
    assert_false(rig.port.reading);
    assert_true(rd(NE2000_ISR) & NE2000_ISR_PRX);
    wr(NE2000_BNRY, NE2000_RIG_START + 12);
    nic_rig_settle(&rig);
    assert_true(rig.port.reading);
    assert_int_not_equal(curr(), at);
}

static void a_frame_that_the_ring_never_holds_is_lost_with_a_warning(void **state)
{
    wr(NE2000_PSTOP, NE2000_RIG_START + 4);
    nic_rig_receive(&rig, frame, 1500);
    assert_true(rd(NE2000_ISR) & NE2000_ISR_OVW);
    assert_int_equal(rd(NE2000_CNTR0 + 2), 1);
    assert_int_equal(rd(NE2000_CNTR0 + 2), 0);
}

static void monitor_mode_counts_and_a_tally_stops_at_192(void **state)
{
    wr(NE2000_RCR, NE2000_RCR_MON);
    for (unsigned i = 0; i < 200; i++) {
        nic_rig_receive(&rig, frame, 60);
        nic_rig_settle(&rig);
        assert_int_equal(!!(rd(NE2000_ISR) & NE2000_ISR_CNT), i >= 127);
    }
    assert_int_equal(rd(NE2000_CNTR0 + 2), NE2000_TALLY_MAX);
    assert_int_equal(curr(), NE2000_RIG_START + 1);
}

static void cve_2021_3416_a_loopback_frame_goes_no_further_than_the_fifo(void **state)
{
    put(TX_ADDR, frame, 100);
    for (uint8_t mode = 2; mode <= 6; mode += 2) {
        wr(NE2000_TCR, mode);
        transmit(100);
        nic_rig_settle(&rig);
        assert_true(rd(NE2000_ISR) & NE2000_ISR_PTX);
        assert_int_equal(rd(NE2000_FIFO), frame[96]);
        assert_int_equal(rig.n_sent, 0);
        assert_int_equal(curr(), NE2000_RIG_START + 1);
    }
}

/* Ring pointers that lie outside of the memory, or of each other. */
static void cve_2015_5279_ring_pointers_out_of_bounds_reach_nothing(void **state)
{
    static const uint8_t odd[] = {0, 1, 0x3f, 0x40, 0x47, 0x7f, 0x80, 0xfe, 0xff};
    enum { N = sizeof(odd) };

    for (unsigned i = 0; i < N * N * N * N; i++) {
        wr(NE2000_PSTART, odd[i % N]);
        wr(NE2000_PSTOP, odd[i / N % N]);
        wr(NE2000_BNRY, odd[i / N / N % N]);
        page(1);
        wr(NE2000_CURR, odd[i / N / N / N]);
        page(0);
        nic_rig_receive(&rig, frame, 1514);
        nic_rig_settle(&rig);
    }
    ne2000_rig_start(&rig);
    nic_rig_receive(&rig, frame, 60);
    nic_rig_settle(&rig);
    assert_true(rd(NE2000_ISR) & NE2000_ISR_PRX);
}

/* A remote DMA address beyond the memory, at its end, and at the end of all addresses. */
static void cve_2015_8743_remote_dma_out_of_bounds_reads_ones_and_writes_nothing(void **state)
{
    static const uint16_t outside[] = {0x20, 0x1000, 0x3ffc, 0x8000, 0xc000, 0xfffc};
    uint8_t zero[4] = {0}, ram[16];

    for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        wr(NE2000_PSTOP, 0);
        put(outside[i], zero, 4);
        ne2000_rig_remote(&rig, NE2000_CR_RD_READ, outside[i], 4);
        assert_int_equal(ne2000_rig_in(&rig, NE2000_DATA, 4), 0xffffffff);
    }
    wr(NE2000_PSTOP, NE2000_RIG_STOP + 1);
    fetch(0x7ff8, ram, 16);
    for (unsigned i = 8; i < 16; i++)
        assert_int_equal(ram[i], 0xff);
    wr(NE2000_TPSR, 0x7f); /* sent from the end of memory on */
    ne2000_rig_out(&rig, NE2000_TBCR0, 2, 1514);
    wr(NE2000_CR, NE2000_CR_STA | NE2000_CR_TXP | NE2000_CR_RD_ABORT);
    assert_int_equal(rig.sent[0].data[NE2000_PAGE], 0xff);
}

/* Neither one as long as the wire carries, nor one that is longer than the card sends. */
static void cve_2012_6075_an_oversized_frame_stays_out_of_the_ring(void **state)
{
    static uint8_t large[NET_FRAME_MAX];

    memcpy(large, frame, NET_MAC_BYTES);
    for (uint32_t bytes = NE2000_FRAME_MAX + 1; bytes <= sizeof(large); bytes += 251)
        nic_rig_receive(&rig, large, bytes);
    nic_rig_settle(&rig);
    assert_int_equal(curr(), NE2000_RIG_START + 1);
    assert_int_equal(net_counters(rig.net)->rx_packets, 0);
    nic_rig_receive(&rig, large, NE2000_FRAME_MAX);
    assert_int_equal(net_counters(rig.net)->rx_packets, 1);
}

/* XSA-135 (pcnet): what is sent is gathered in a buffer of a frame's size, whatever the count says.
 */
static void cve_2015_3209_a_count_beyond_a_frame_sends_nothing(void **state)
{
    static const uint16_t counts[] = {0, 1, 13, 1523, 0x4000, 0x7fff, 0x8000, 0xffff};

    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        transmit(counts[i]);
        nic_rig_settle(&rig);
        assert_false(rd(NE2000_CR) & NE2000_CR_TXP);
    }
    assert_int_equal(rig.n_sent, 0);
}

/* The FIFO then holds the end of the frame and its FCS, and nothing that lay beside it. */
static void cve_2025_12464_a_short_frame_in_loopback_shows_nothing_else(void **state)
{
    put(TX_ADDR, frame, 100);
    wr(NE2000_TCR, 2);
    for (uint16_t bytes = NET_ETH_BYTES; bytes < 70; bytes++) {
        uint32_t crc = frame_crc32(frame, bytes);

        transmit(bytes);
        nic_rig_settle(&rig);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(rd(NE2000_FIFO), frame[bytes - 4 + i]);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(rd(NE2000_FIFO), (uint8_t)(crc >> (8 * i)));
    }
    assert_int_equal(rig.n_sent, 0);
    assert_int_equal(curr(), NE2000_RIG_START + 1);
}

static void a_count_that_vanishes_during_a_transfer_ends_it(void **state)
{
    ne2000_rig_remote(&rig, NE2000_CR_RD_READ, TX_ADDR, 64);
    ne2000_rig_out(&rig, NE2000_RBCR0, 2, 0);
    assert_int_equal(ne2000_rig_in(&rig, NE2000_DATA, 2), 0xffff);
}

static void what_a_guest_sees_moves_along(void **state)
{
    uint8_t back[64];

    put(TX_ADDR, frame, 64);
    rig.port.busy = true;
    transmit(64);
    nic_rig_receive(&rig, frame, 200);
    nic_rig_move(&rig);
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(curr(), NE2000_RIG_START + 2);
    fetch(TX_ADDR, back, 64);
    assert_memory_equal(back, frame, 64);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_prom_has_the_address_as_byte_and_word_drivers_read_it),
        T(it_says_that_it_is_an_rtl8029as),
        T(page_2_shows_what_was_written_and_bits_that_are_always_so),
        T(a_reset_shows_in_isr_until_it_is_started),
        T(remote_dma_moves_bytes_words_and_doublewords),
        T(words_are_at_even_addresses),
        T(remote_dma_goes_on_at_pstart),
        T(a_frame_is_sent_and_said_to_be),
        T(a_busy_way_out_keeps_txp_until_it_is_free),
        T(a_received_frame_has_its_header_and_fcs),
        T(once_started_it_receives_until_it_is_stopped),
        T(frames_are_chosen_by_address),
        T(a_full_ring_stops_the_reader_until_bnry_moves),
        T(a_frame_that_the_ring_never_holds_is_lost_with_a_warning),
        T(monitor_mode_counts_and_a_tally_stops_at_192),
        T(cve_2021_3416_a_loopback_frame_goes_no_further_than_the_fifo),
        T(cve_2015_5279_ring_pointers_out_of_bounds_reach_nothing),
        T(cve_2015_8743_remote_dma_out_of_bounds_reads_ones_and_writes_nothing),
        T(cve_2012_6075_an_oversized_frame_stays_out_of_the_ring),
        T(cve_2015_3209_a_count_beyond_a_frame_sends_nothing),
        T(cve_2025_12464_a_short_frame_in_loopback_shows_nothing_else),
        T(a_count_that_vanishes_during_a_transfer_ends_it),
        T(what_a_guest_sees_moves_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
