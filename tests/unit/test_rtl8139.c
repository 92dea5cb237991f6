/* SPDX-License-Identifier: GPL-2.0-or-later */
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

static int setup(void **state)
{
    nic_rig_init(&rig, &rtl8139_rig_model, 0);
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

static uint32_t ram(uint32_t at, unsigned size)
{
    return rtl8139_get(rig.fake.ram + at, size);
}

static bool inta(void)
{
    return nic_rig_inta(&rig);
}

static const struct nic_rig_packet *last(void)
{
    return nic_rig_last(&rig);
}

static void start_legacy(uint32_t rcr)
{
    wr(RTL8139_RBSTART, 4, RTL8139_RIG_RING);
    wr(RTL8139_CR, 1, RTL8139_CR_RE | RTL8139_CR_TE);
    wr(RTL8139_RCR, 4, rcr);
    wr(RTL8139_IMR, 2, 0xe1ff);
    nic_rig_settle(&rig);
}

static void start_cp(uint32_t cpcr)
{
    wr(RTL8139_CPCR, 2, RTL8139_CPCR_TX | RTL8139_CPCR_RX | cpcr);
    wr(RTL8139_TNPDS, 4, RTL8139_RIG_TX);
    wr(RTL8139_THPDS, 4, RTL8139_RIG_TX + 0x400);
    wr(RTL8139_RDSAR, 4, RTL8139_RIG_RX);
    start_legacy(RTL8139_RCR_APM | RTL8139_RCR_AB);
}

static uint32_t own_frame(uint8_t *frame, uint32_t bytes)
{
    memset(frame, 0x5a, bytes);
    memcpy(frame, nic_rig_mac, NET_MAC_BYTES);
    return bytes;
}

static void test_identity_says_c_plus(void **state)
{
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, 0, 4), 0x813910ec);
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, PCI_REVISION_ID, 1), 0x20);
    assert_int_equal(rd(RTL8139_TCR, 4) & 0x7cc00000, RTL8139_TCR_HWVERID);
    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        assert_int_equal(rd(i, 1), nic_rig_mac[i]);
}

static void test_address_is_locked(void **state)
{
    wr(RTL8139_IDR0, 4, 0x11223344);
    assert_int_equal(rd(RTL8139_IDR0, 1), 0);
    wr(RTL8139_9346CR, 1, RTL8139_EEM_CONFIG);
    wr(RTL8139_IDR0, 4, 0x11223344);
    assert_int_equal(rd(RTL8139_IDR0, 4), 0x11223344);
    wr(RTL8139_9346CR, 1, RTL8139_EEM_AUTOLOAD);
    assert_int_equal(rd(RTL8139_IDR0, 4), 0x123e1600);
}

static void test_reserved_bits_of_configuration_stay_0(void **state)
{
    wr(RTL8139_CONFIG4, 1, 0xff);
    assert_int_equal(rd(RTL8139_CONFIG4, 1), 0); /* locked */
    wr(RTL8139_9346CR, 1, RTL8139_EEM_CONFIG);
    wr(RTL8139_CONFIG0, 1, 0xff);
    wr(RTL8139_CONFIG1, 1, 0xff);
    wr(RTL8139_CONFIG3, 1, 0xff);
    wr(RTL8139_CONFIG4, 1, 0xff);
    assert_int_equal(rd(RTL8139_CONFIG0, 1), 0);
    assert_int_equal(rd(RTL8139_CONFIG1, 1), 0xff);
    assert_int_equal(rd(RTL8139_CONFIG3, 1), 0x70);
    assert_int_equal(rd(RTL8139_CONFIG4, 1), 0xf5);
}

static unsigned eeprom_read(unsigned word)
{
    unsigned command = 6u << 6 | word, value = 0;

    wr(RTL8139_9346CR, 1, RTL8139_EEM_PROGRAM | RTL8139_EECS);
    for (int i = 8; i >= 0; i--) {
        uint32_t pins = RTL8139_EEM_PROGRAM | RTL8139_EECS | (command >> i & 1 ? RTL8139_EEDI : 0);
        wr(RTL8139_9346CR, 1, pins);
        wr(RTL8139_9346CR, 1, pins | RTL8139_EESK);
    }
    for (unsigned i = 0; i < 16; i++) {
        wr(RTL8139_9346CR, 1, RTL8139_EEM_PROGRAM | RTL8139_EECS);
        wr(RTL8139_9346CR, 1, RTL8139_EEM_PROGRAM | RTL8139_EECS | RTL8139_EESK);
        value = value << 1 | (rd(RTL8139_9346CR, 1) & RTL8139_EEDO);
    }
    wr(RTL8139_9346CR, 1, 0);
    return value;
}

static void test_eeprom_has_mark_and_address(void **state)
{
    assert_int_equal(eeprom_read(0), 0x8129);
    assert_int_equal(eeprom_read(7), 0x1600);
    assert_int_equal(eeprom_read(9), 0x5634);
}

static void test_slot_is_sent_and_reported(void **state)
{
    start_legacy(0);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 100);
    wr(RTL8139_TSAD0, 4, RTL8139_RIG_DATA);
    wr(RTL8139_TSD0, 4, 100);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(last()->bytes, 100);
    assert_memory_equal(last()->data, rig.fake.ram + RTL8139_RIG_DATA, 100);
    assert_int_equal(rd(RTL8139_TSD0, 4) & 0xe000, RTL8139_TSD_OWN | RTL8139_TSD_TOK);
    assert_int_equal(rd(RTL8139_TSAD, 2), 0x100f);
    assert_true(inta());
    wr(RTL8139_ISR, 2, RTL8139_INT_TOK);
    assert_false(inta());
}

static void test_slot_longer_than_1792_is_aborted(void **state)
{
    start_legacy(0);
    wr(RTL8139_TSD0, 4, RTL8139_TX_MAX + 1);
    assert_int_equal(rig.n_sent, 0);
    assert_true(rd(RTL8139_TSD0, 4) & RTL8139_TSD_TABT);
    assert_int_equal(rd(RTL8139_ISR, 2), RTL8139_INT_TER);
    wr(RTL8139_TSD0 + 4, 4, RTL8139_TX_MAX);
    assert_int_equal(last()->bytes, RTL8139_TX_MAX);
}

static void test_slot_waits_for_the_way_out(void **state)
{
    start_legacy(0);
    rig.port.busy = true;
    wr(RTL8139_TSD0, 4, 60);
    assert_false(rd(RTL8139_TSD0, 4) & RTL8139_TSD_OWN);
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_true(rd(RTL8139_TSD0, 4) & RTL8139_TSD_TOK);
    assert_int_equal(rig.n_sent, 1);
}

static void test_ring_gets_header_frame_and_fcs(void **state)
{
    uint8_t frame[61];

    start_legacy(RTL8139_RCR_APM);
    assert_true(rd(RTL8139_CR, 1) & RTL8139_CR_BUFE);
    nic_rig_receive(&rig, frame, own_frame(frame, sizeof(frame)));
    assert_false(rd(RTL8139_CR, 1) & RTL8139_CR_BUFE);
    assert_int_equal(ram(RTL8139_RIG_RING, 2), RTL8139_RX_ROK | RTL8139_RX_PAM);
    assert_int_equal(ram(RTL8139_RIG_RING + 2, 2), 65);
    assert_memory_equal(rig.fake.ram + RTL8139_RIG_RING + 4, frame, sizeof(frame));
    assert_int_equal(rd(RTL8139_CBR, 2), 72);
    assert_true(inta());
    wr(RTL8139_CAPR, 2, 72 - 16);
    assert_true(rd(RTL8139_CR, 1) & RTL8139_CR_BUFE);
}

static void test_filters_choose(void **state)
{
    uint8_t frame[60] = {0x01, 0x00, 0x5e, 0, 0, 1};

    start_legacy(RTL8139_RCR_APM | RTL8139_RCR_AM);
    nic_rig_receive(&rig, frame, sizeof(frame));
    memset(frame, 0xff, 6);
    nic_rig_receive(&rig, frame, sizeof(frame));
    memset(frame, 0x22, 6);
    nic_rig_receive(&rig, frame, sizeof(frame));
    assert_int_equal(rd(RTL8139_CBR, 2), 0);
    wr(RTL8139_MAR0, 4, 0xffffffff);
    wr(RTL8139_MAR0 + 4, 4, 0xffffffff);
    wr(RTL8139_RCR, 4, RTL8139_RCR_AAP | RTL8139_RCR_AM | RTL8139_RCR_AB);
    nic_rig_receive(&rig, frame, sizeof(frame));
    memset(frame, 0xff, 6);
    nic_rig_receive(&rig, frame, sizeof(frame));
    memcpy(frame, (const uint8_t[]){0x01, 0x00, 0x5e, 0, 0, 1}, 6);
    nic_rig_receive(&rig, frame, sizeof(frame));
    assert_int_equal(rd(RTL8139_CBR, 2), 3 * 68);
}

/* Fills an 8 KiB ring until it takes no more; then the driver reads one. */
static void test_full_ring_stops_the_reader_until_capr_moves(void **state)
{
    uint8_t frame[1000];

    start_legacy(RTL8139_RCR_APM);
    own_frame(frame, sizeof(frame));
    for (unsigned i = 0; i < 9; i++)
        nic_rig_receive(&rig, frame, sizeof(frame));
    assert_int_equal(rd(RTL8139_CBR, 2), 8 * 1008);
    /* Nothing is lost, and so nothing is said that drivers take for an error. */
    assert_int_equal(rd(RTL8139_ISR, 2), RTL8139_INT_ROK);
    /* A driver that leaves the rest for later hears of it again. */
    wr(RTL8139_ISR, 2, RTL8139_INT_ROK);
    assert_int_equal(rd(RTL8139_ISR, 2), 0);
    wr(RTL8139_CAPR, 2, 0u - 16);
    nic_rig_settle(&rig);
    assert_int_equal(rd(RTL8139_ISR, 2), RTL8139_INT_ROK);
    wr(RTL8139_CAPR, 2, 1008 - 16);
    nic_rig_settle(&rig);
    assert_int_equal(rd(RTL8139_CBR, 2), 9 * 1008 - 8192);
}

static void wrap_once(uint32_t rcr)
{
    uint8_t frame[1000];

    start_legacy(RTL8139_RCR_APM | rcr);
    own_frame(frame, sizeof(frame));
    for (unsigned i = 0; i < 9; i++) {
        nic_rig_receive(&rig, frame, sizeof(frame));
        wr(RTL8139_CAPR, 2, ((i + 1) * 1008 & 8191) - 16);
    }
    assert_int_equal(rd(RTL8139_CBR, 2), 9 * 1008 - 8192);
}

static void test_ring_wraps(void **state)
{
    memset(rig.fake.ram + RTL8139_RIG_RING, 0xee, 16384);
    wrap_once(0);
    assert_int_equal(rig.fake.ram[RTL8139_RIG_RING + 8192], 0xee);
    assert_int_equal(rig.fake.ram[RTL8139_RIG_RING], 0x5a);
}

static void test_wrap_bit_lets_a_frame_run_over_the_end(void **state)
{
    memset(rig.fake.ram + RTL8139_RIG_RING, 0xee, 16384);
    wrap_once(RTL8139_RCR_WRAP);
    assert_int_equal(rig.fake.ram[RTL8139_RIG_RING + 8192], 0x5a);
    assert_int_equal(ram(RTL8139_RIG_RING, 2), RTL8139_RX_ROK | RTL8139_RX_PAM);
}

static void test_cp_sends_what_two_descriptors_hold(void **state)
{
    start_cp(0);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 200);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0, RTL8139_D_OWN | RTL8139_D_FS | 50,
                     RTL8139_TXD_TAGC | 0x3412, RTL8139_RIG_DATA);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 1, RTL8139_D_OWN | RTL8139_D_LS | RTL8139_D_EOR | 150, 0,
                     RTL8139_RIG_DATA + 50);
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
    assert_int_equal(last()->bytes, 204);
    assert_memory_equal(last()->data + 12, "\x81\x00\x12\x34", 4);
    assert_memory_equal(last()->data + 16, rig.fake.ram + RTL8139_RIG_DATA + 12, 188);
    assert_false(ram(RTL8139_RIG_TX, 4) & RTL8139_D_OWN);
    assert_false(ram(RTL8139_RIG_TX + 16, 4) & RTL8139_D_OWN);
    assert_true(rd(RTL8139_ISR, 2) & RTL8139_INT_TOK);
}

static void test_cp_high_priority_goes_first(void **state)
{
    start_cp(0);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 300);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0, RTL8139_D_OWN | FS_LS | 100, 0, RTL8139_RIG_DATA);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX + 0x400, 0, RTL8139_D_OWN | FS_LS | 300, 0,
                     RTL8139_RIG_DATA);
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ | RTL8139_TPPOLL_HPQ);
    assert_int_equal(rig.n_sent, 2);
    assert_int_equal(last()->bytes, 100);
}

static void test_cp_inserts_checksums(void **state)
{
    struct packet_spec spec = {.version = 4, .payload = 333};
    uint32_t bytes = packet_build(rig.fake.ram + RTL8139_RIG_DATA, &spec);

    start_cp(0);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0,
                     RTL8139_D_OWN | FS_LS | RTL8139_TXD_IPCS | RTL8139_TXD_TCPCS | bytes, 0,
                     RTL8139_RIG_DATA);
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
    assert_int_equal(last()->bytes, bytes);
    packet_assert_checksums(last()->data, last()->bytes);
}

static void test_cp_segments(void **state)
{
    struct packet_spec spec = {.version = 4, .payload = 2500};
    uint32_t bytes = packet_build(rig.fake.ram + RTL8139_RIG_DATA, &spec);

    start_cp(0);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0,
                     RTL8139_D_OWN | FS_LS | RTL8139_TXD_LGSEN | 1000u << 16 | bytes, 0,
                     RTL8139_RIG_DATA);
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 3);
    assert_int_equal(last()->bytes, bytes - 2000);
    packet_assert_checksums(last()->data, last()->bytes);
}

static void test_cp_receives_strips_and_checks(void **state)
{
    struct packet_spec spec = {.version = 4, .vlan = true, .payload = 100};
    uint8_t frame[256];
    uint32_t bytes = packet_build(frame, &spec), status;

    memcpy(frame, nic_rig_mac, 6);
    start_cp(RTL8139_CPCR_RXVLAN | RTL8139_CPCR_RXCHK);
    rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 0, RTL8139_D_OWN | 100, 0, RTL8139_RIG_BUF);
    rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 1, RTL8139_D_OWN | RTL8139_D_EOR | 1000, 0,
                     RTL8139_RIG_BUF + 100);
    nic_rig_receive(&rig, frame, bytes);
    status = ram(RTL8139_RIG_RX + 16, 4);
    assert_int_equal(ram(RTL8139_RIG_RX, 4), RTL8139_D_FS | 100);
    assert_int_equal(status & 0x1fff, bytes); /* less a tag, with a FCS */
    assert_true(status & RTL8139_D_LS && status & RTL8139_D_EOR && status & RTL8139_RXD_PAM);
    assert_int_equal(status & RTL8139_RXD_PID_IP, RTL8139_RXD_PID_TCP);
    assert_true(status & RTL8139_RXD_IPF && status & RTL8139_RXD_TCPF); /* they are zero */
    assert_int_equal(ram(RTL8139_RIG_RX + 20, 4), RTL8139_RXD_TAVA | rtl8139_get(frame + 14, 2));
    assert_memory_equal(rig.fake.ram + RTL8139_RIG_BUF, frame, 12);
    assert_memory_equal(rig.fake.ram + RTL8139_RIG_BUF + 12, frame + 16, bytes - 16);
}

static void test_cp_waits_for_descriptors(void **state)
{
    uint8_t frame[100];

    start_cp(0);
    nic_rig_receive(&rig, frame, own_frame(frame, sizeof(frame)));
    assert_true(rd(RTL8139_ISR, 2) & RTL8139_INT_RXOVW);
    rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 0, RTL8139_D_OWN | 1500, 0, RTL8139_RIG_BUF);
    wr(RTL8139_ISR, 2, RTL8139_INT_RXOVW);
    nic_rig_settle(&rig);
    assert_int_equal(ram(RTL8139_RIG_RX, 4), FS_LS | RTL8139_RXD_PAM | 104);
}

static void test_tally_is_dumped(void **state)
{
    uint8_t frame[100];

    start_cp(0);
    rtl8139_rig_desc(&rig, RTL8139_RIG_RX, 0, RTL8139_D_OWN | 1500, 0, RTL8139_RIG_BUF);
    nic_rig_receive(&rig, frame, own_frame(frame, sizeof(frame)));
    wr(RTL8139_DTCCR + 4, 4, 0);
    wr(RTL8139_DTCCR, 4, RTL8139_RIG_DATA | RTL8139_DTCCR_CMD);
    assert_int_equal(rd(RTL8139_DTCCR, 4), RTL8139_RIG_DATA);
    assert_int_equal(ram(RTL8139_RIG_DATA + 8, 4), 1);
    assert_int_equal(ram(RTL8139_RIG_DATA + 40, 4), 1);
}

static void test_timer_interrupts_at_its_count(void **state)
{
    wr(RTL8139_IMR, 2, RTL8139_INT_TIMEOUT);
    wr(RTL8139_TCTR, 4, 0);
    wr(RTL8139_TIMERINT, 4, 33000); /* 1 ms */
    fake_host_advance(&rig.fake, 999000);
    assert_false(inta());
    fake_host_advance(&rig.fake, 2000);
    assert_true(inta());
    wr(RTL8139_TIMERINT, 4, 0);
}

static void test_cable_shows_and_latches(void **state)
{
    start_legacy(0);
    assert_true(rd(RTL8139_BMSR, 2) & RTL8139_BMSR_LINK);
    net_set_link(rig.net, false);
    nic_rig_settle(&rig);
    assert_true(rd(RTL8139_ISR, 2) & RTL8139_INT_LINK);
    assert_true(rd(RTL8139_MSR, 1) & RTL8139_MSR_LINKB);
    assert_true(rd(RTL8139_CSCR, 2) & RTL8139_CSCR_LINK_CHANGED);
    assert_false(rd(RTL8139_CSCR, 2) & RTL8139_CSCR_LINK_CHANGED);
    wr(RTL8139_CSCR, 2, 0xffff);
    assert_int_equal(rd(RTL8139_CSCR, 2), 0xffff & ~RTL8139_CSCR_LINK_CHANGED);
    net_set_link(rig.net, true);
    nic_rig_settle(&rig);
    assert_false(rd(RTL8139_BMSR, 2) & RTL8139_BMSR_LINK);
    assert_true(rd(RTL8139_BMSR, 2) & RTL8139_BMSR_LINK);
}

static void test_loopback_comes_back_later(void **state)
{
    start_legacy(RTL8139_RCR_APM);
    wr(RTL8139_TCR, 4, RTL8139_TCR_LBK);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 60);
    wr(RTL8139_TSAD0, 4, RTL8139_RIG_DATA);
    wr(RTL8139_TSD0, 4, 60);
    assert_int_equal(rd(RTL8139_CBR, 2), 0);
    nic_rig_settle(&rig);
    assert_int_equal(rd(RTL8139_CBR, 2), 68);
    assert_int_equal(rig.n_sent, 0);
}

static void test_waiting_packet_migrates(void **state)
{
    start_cp(0);
    own_frame(rig.fake.ram + RTL8139_RIG_DATA, 100);
    rtl8139_rig_desc(&rig, RTL8139_RIG_TX, 0, RTL8139_D_OWN | FS_LS | 100, 0, RTL8139_RIG_DATA);
    rig.port.busy = true;
    wr(RTL8139_TPPOLL, 1, RTL8139_TPPOLL_NPQ);
    nic_rig_move(&rig);
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(last()->bytes, 100);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(identity_says_c_plus),
        T(address_is_locked),
        T(reserved_bits_of_configuration_stay_0),
        T(eeprom_has_mark_and_address),
        T(slot_is_sent_and_reported),
        T(slot_longer_than_1792_is_aborted),
        T(slot_waits_for_the_way_out),
        T(ring_gets_header_frame_and_fcs),
        T(filters_choose),
        T(full_ring_stops_the_reader_until_capr_moves),
        T(ring_wraps),
        T(wrap_bit_lets_a_frame_run_over_the_end),
        T(cp_sends_what_two_descriptors_hold),
        T(cp_high_priority_goes_first),
        T(cp_inserts_checksums),
        T(cp_segments),
        T(cp_receives_strips_and_checks),
        T(cp_waits_for_descriptors),
        T(tally_is_dumped),
        T(timer_interrupts_at_its_count),
        T(cable_shows_and_latches),
        T(loopback_comes_back_later),
        T(waiting_packet_migrates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
