/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers, EEPROM, PHY and link, interrupts, statistics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/e1000_rig.h"

#define MS 1000000ull

static struct nic_rig rig;

static int setup(void **state)
{
    e1000_rig_init(&rig, 0);
    return 0;
}

static int setup_bare(void **state)
{
    nic_rig_init_bare(&rig, &e1000_rig_model, 0);
    nic_rig_program(&rig);
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

static void it_is_the_82540em(void **state)
{
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, 0, 4), 0x100e8086);
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, 8, 4), 0x02000002);
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x001e8086);
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, PCI_INTERRUPT_PIN, 1), 1);
    assert_string_equal(rig.dev->name, "nic0");
    bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2, 0);
    for (unsigned i = 0; i < 6; i++) {
        static const uint32_t sizes[6] = {0xfffe0000, 0, 0xffffffc1, 0, 0, 0};
        bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_BAR0 + 4 * i, 4, 0xffffffff);
        assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, PCI_BAR0 + 4 * i, 4), sizes[i]);
    }
}

static void registers_have_their_initial_values(void **state)
{
#define INITIAL(name, offset, initial, writable) {offset, initial},
    static const struct {
        uint32_t offset, initial;
    } regs[] = {E1000_REGISTERS(INITIAL)};

    for (unsigned i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
        uint32_t expected = regs[i].initial;
        if (regs[i].offset == E1000_STATUS)
            expected = E1000_STATUS_FD | E1000_STATUS_LU | 2u << E1000_STATUS_SPEED_SHIFT |
                       2u << E1000_STATUS_ASDV_SHIFT;
        else if (regs[i].offset == E1000_EECD)
            expected |= E1000_EECD_PRES | E1000_EECD_DO;
        assert_int_equal(rd(regs[i].offset), expected);
    }
    assert_int_equal(rd(E1000_RA), 0x123e1600);
    assert_int_equal(rd(E1000_RA + 4), 0x80005634);
    for (unsigned i = 1; i < E1000_RA_ENTRIES; i++)
        assert_int_equal(rd(E1000_RA + 8 * i + 4), 0);
}

/* What Linux's driver writes and wants to read in `ethtool -t`: value & mask, for four patterns. */
static void linuxs_register_test_passes(void **state)
{
    static const struct {
        uint32_t offset, mask, write;
    } tests[] = {
        {E1000_FCAL, 0xffffffff, 0xffffffff},  {E1000_FCAH, 0x0000ffff, 0xffffffff},
        {E1000_FCT, 0x0000ffff, 0xffffffff},   {E1000_VET, 0x0000ffff, 0xffffffff},
        {E1000_RDTR, 0x0000ffff, 0xffffffff},  {E1000_RDBAH, 0xffffffff, 0xffffffff},
        {E1000_RDLEN, 0x000fff80, 0x000fffff}, {E1000_RDH, 0x0000ffff, 0x0000ffff},
        {E1000_RDT, 0x0000ffff, 0x0000ffff},   {E1000_FCRTH, 0x0000fff8, 0x0000fff8},
        {E1000_FCTTV, 0x0000ffff, 0x0000ffff}, {E1000_TIPG, 0x3fffffff, 0x3fffffff},
        {E1000_TDBAH, 0xffffffff, 0xffffffff}, {E1000_TDLEN, 0x000fff80, 0x000fffff},
        {E1000_RDBAL, 0xfffffff0, 0xffffffff}, {E1000_TXCW, 0xc000ffff, 0x0000ffff},
        {E1000_TDBAL, 0xfffffff0, 0xffffffff}, {E1000_TIDV, 0x0000ffff, 0x0000ffff},
    };
    static const uint32_t patterns[] = {0x5a5a5a5a, 0xa5a5a5a5, 0, 0xffffffff};
    uint32_t status = rd(E1000_STATUS);

    wr(E1000_STATUS, 0xfffff833);
    assert_int_equal(rd(E1000_STATUS), status);
    for (unsigned p = 0; p < 4; p++) {
        for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
            wr(tests[i].offset, tests[i].write & patterns[p]);
            assert_int_equal(rd(tests[i].offset), tests[i].write & patterns[p] & tests[i].mask);
        }
        for (unsigned i = 0; i < E1000_RA_ENTRIES; i++) {
            wr(E1000_RA + 8 * i + 4, patterns[p]);
            assert_int_equal(rd(E1000_RA + 8 * i + 4), patterns[p] & 0x8003ffff);
        }
        for (unsigned i = 0; i < E1000_MTA_WORDS; i++) {
            wr(E1000_MTA + 4 * i, patterns[p]);
            assert_int_equal(rd(E1000_MTA + 4 * i), patterns[p]);
        }
    }
    wr(E1000_RCTL, 0);
    assert_int_equal(rd(E1000_RCTL), 0);
    wr(E1000_RCTL, 0x06dfb3fe & 0x003ffffb);
    assert_int_equal(rd(E1000_RCTL) & 0x06dfb3fe, 0x06dfb3fe & 0x003ffffb);
    wr(E1000_RCTL, 0x06dfb3fe);
    assert_int_equal(rd(E1000_RCTL), 0x06dfb3fe);
    wr(E1000_TCTL, 0);
    assert_int_equal(rd(E1000_TCTL), 0);
}

static void registers_are_accessed_whole(void **state)
{
    wr(E1000_TIPG, 0x12345678);
    assert_int_equal(bus_read(rig.bus, BUS_MMIO, NIC_RIG_MEM + E1000_TIPG, 1), 0x78);
    assert_int_equal(bus_read(rig.bus, BUS_MMIO, NIC_RIG_MEM + E1000_TIPG + 2, 2), 0x1234);
    bus_write(rig.bus, BUS_MMIO, NIC_RIG_MEM + E1000_TIPG, 2, 0xffff);
    bus_write(rig.bus, BUS_MMIO, NIC_RIG_MEM + E1000_TIPG + 1, 4, 0xffffffff);
    assert_int_equal(rd(E1000_TIPG), 0x12345678);
    bus_write(rig.bus, BUS_MMIO, NIC_RIG_MEM + E1000_RDBAL, 8, 0x1122334455667780);
    assert_int_equal(rd(E1000_RDBAL), 0x55667780);
    assert_int_equal(rd(E1000_RDBAH), 0x11223344);
    assert_true(bus_read(rig.bus, BUS_MMIO, NIC_RIG_MEM + E1000_RDBAL, 8) == 0x1122334455667780);
    assert_int_equal(rd(0x1fffc), 0); /* what there is not */
    wr(0x1fffc, 1);
    assert_int_equal(rd(E1000_CTRL_DUP), rd(E1000_CTRL));
}

static void registers_are_reached_by_ports_too(void **state)
{
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT, 4, E1000_TIPG);
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4, 0x602008);
    assert_int_equal(rd(E1000_TIPG), 0x602008);
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4), 0x602008);
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT, 4), E1000_TIPG);
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT, 2, 0); /* part of an address is none */
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT, 4), E1000_TIPG);
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT, 4, 0x20000); /* beyond the registers */
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4, 1);
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4), 0);
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT, 4, 0xffffffff);
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4), 0);
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT + 8, 4), 0);
}

/* Linux resets it through the ports, since not all of these parts acknowledge the write itself. */
static void a_reset_through_the_ports_keeps_link_and_statistics(void **state)
{
    uint8_t frame[60] = {0};

    memset(frame, 0xff, 6);
    nic_rig_receive(&rig, frame, sizeof(frame));
    wr(E1000_IMS, E1000_INT_ALL);
    wr(E1000_MTA, 0xffffffff);
    wr(E1000_RA + 12, E1000_RAH_AV);
    wr(E1000_RA, 0);
    assert_true(nic_rig_inta(&rig));
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT, 4, E1000_CTRL);
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4, E1000_CTRL_RST | rd(E1000_CTRL));
    assert_false(nic_rig_inta(&rig));
    assert_int_equal(rd(E1000_CTRL), E1000_CTRL_INITIAL);
    assert_int_equal(rd(E1000_RCTL), 0);
    assert_int_equal(rd(E1000_IMS), 0);
    assert_int_equal(rd(E1000_ICR), 0);
    assert_int_equal(rd(E1000_MTA), 0);
    assert_int_equal(rd(E1000_RA), 0x123e1600); /* from the EEPROM again */
    assert_int_equal(rd(E1000_RA + 12), 0);
    assert_true(rd(E1000_STATUS) & E1000_STATUS_LU);
    assert_int_equal(rd(E1000_GPRC), 1);
    assert_false(rig.port.reading);
}

/* ---- EEPROM ---- */

static uint16_t eerd(uint32_t word)
{
    wr(E1000_EERD, word << E1000_EERD_ADDR_SHIFT | E1000_EERD_START);
    assert_true(rd(E1000_EERD) & E1000_EERD_DONE);
    return (uint16_t)(rd(E1000_EERD) >> E1000_EERD_DATA_SHIFT);
}

static void eerd_reads_address_and_checksum(void **state)
{
    uint16_t sum = 0;

    for (unsigned i = 0; i < 64; i++)
        sum = (uint16_t)(sum + eerd(i));
    assert_int_equal(sum, 0xbaba);
    assert_int_equal(eerd(0), 0x1600);
    assert_int_equal(eerd(1), 0x123e);
    assert_int_equal(eerd(2), 0x5634);
    assert_int_equal(eerd(0x0a) >> 14, 1); /* the signature */
    assert_int_equal(eerd(0x0d), 0x100e);
    wr(E1000_EERD, 0x100); /* without START nothing is read */
    assert_int_equal(rd(E1000_EERD) >> 8 & 0xff, 1);
}

/* One clock pulse with the pins as given. */
static void clock_pin(uint32_t pins)
{
    wr(E1000_EECD, E1000_EECD_REQ | pins);
    wr(E1000_EECD, E1000_EECD_REQ | pins | E1000_EECD_SK);
    wr(E1000_EECD, E1000_EECD_REQ | pins);
}

static void shift_out(uint32_t value, unsigned bits)
{
    while (bits--)
        clock_pin(E1000_EECD_CS | (value >> bits & 1 ? E1000_EECD_DI : 0));
}

static uint16_t shift_in(void)
{
    uint16_t value = 0;

    for (unsigned i = 0; i < 16; i++) {
        wr(E1000_EECD, E1000_EECD_REQ | E1000_EECD_CS | E1000_EECD_SK);
        value = (uint16_t)(value << 1 | !!(rd(E1000_EECD) & E1000_EECD_DO));
        wr(E1000_EECD, E1000_EECD_REQ | E1000_EECD_CS);
    }
    return value;
}

static uint16_t bit_bang(uint32_t word)
{
    wr(E1000_EECD, E1000_EECD_REQ);
    assert_true(rd(E1000_EECD) & E1000_EECD_GNT);
    wr(E1000_EECD, E1000_EECD_REQ | E1000_EECD_CS);
    shift_out(6, 3);
    shift_out(word, 6);
    uint16_t value = shift_in();
    wr(E1000_EECD, 0);
    assert_false(rd(E1000_EECD) & E1000_EECD_GNT);
    return value;
}

static void eecd_clocks_the_same_words_out(void **state)
{
    assert_true(rd(E1000_EECD) & E1000_EECD_PRES);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(bit_bang(i), eerd(i));
}

static void eecd_writes_and_a_reset_takes_the_new_address(void **state)
{
    wr(E1000_EECD, E1000_EECD_REQ | E1000_EECD_CS);
    shift_out(0x130, 9); /* EWEN */
    wr(E1000_EECD, E1000_EECD_REQ);
    wr(E1000_EECD, E1000_EECD_REQ | E1000_EECD_CS);
    shift_out(5, 3); /* WRITE */
    shift_out(2, 6);
    shift_out(0xbeef, 16);
    wr(E1000_EECD, E1000_EECD_REQ);
    wr(E1000_EECD, 0);
    assert_int_equal(eerd(2), 0xbeef);
    assert_int_equal(rd(E1000_RA + 4), 0x80005634);
    wr(E1000_CTRL_EXT, E1000_CTRL_EXT_EE_RST);
    assert_int_equal(rd(E1000_CTRL_EXT), 0);
    assert_int_equal(rd(E1000_RA + 4), 0x8000beef);
}

/* ---- PHY and link ---- */

static uint16_t phy_read(unsigned reg)
{
    wr(E1000_MDIC, E1000_MDIC_OP_READ | 1u << E1000_MDIC_PHY_SHIFT | reg << E1000_MDIC_REG_SHIFT);
    assert_int_equal(rd(E1000_MDIC) & (E1000_MDIC_READY | E1000_MDIC_ERROR), E1000_MDIC_READY);
    return (uint16_t)rd(E1000_MDIC);
}

static void phy_write(unsigned reg, uint16_t value)
{
    wr(E1000_MDIC,
       E1000_MDIC_OP_WRITE | 1u << E1000_MDIC_PHY_SHIFT | reg << E1000_MDIC_REG_SHIFT | value);
    assert_true(rd(E1000_MDIC) & E1000_MDIC_READY);
}

static bool link_up(void)
{
    return rd(E1000_STATUS) & E1000_STATUS_LU;
}

static void the_phy_is_one_that_drivers_know(void **state)
{
    assert_int_equal(phy_read(E1000_PHY_ID1), 0x0141);
    assert_int_equal(phy_read(E1000_PHY_ID2) & 0xfff0, 0x0c20);
    phy_write(E1000_PHY_ID1, 0);
    assert_int_equal(phy_read(E1000_PHY_ID1), 0x0141);
    for (unsigned phy = 0; phy < 32; phy++) {
        wr(E1000_MDIC, E1000_MDIC_OP_READ | phy << E1000_MDIC_PHY_SHIFT | 2u << 16);
        assert_int_equal(!!(rd(E1000_MDIC) & E1000_MDIC_ERROR), phy != 1);
    }
    wr(E1000_IMS, E1000_INT_MDAC);
    assert_false(nic_rig_inta(&rig));
    wr(E1000_MDIC, E1000_MDIC_OP_READ | E1000_MDIC_INT_ENABLE | 1u << 21 | 2u << 16);
    assert_true(nic_rig_inta(&rig));
}

static void negotiation_takes_the_link_down_and_up_with_interrupts(void **state)
{
    assert_true(link_up());
    assert_int_equal(rd(E1000_ICR), 0);
    assert_true(phy_read(E1000_PHY_STATUS) & E1000_PHY_STATUS_LINK);
    phy_write(E1000_PHY_CTRL, E1000_PHY_CTRL_ANEG | E1000_PHY_CTRL_RESTART);
    assert_false(link_up());
    assert_int_equal(rd(E1000_ICR), E1000_INT_LSC);
    assert_false(phy_read(E1000_PHY_STATUS) & (E1000_PHY_STATUS_LINK | E1000_PHY_STATUS_DONE));
    assert_int_equal(phy_read(E1000_PHY_LPA), 0);
    assert_int_equal(phy_read(E1000_PHY_CTRL) & E1000_PHY_CTRL_RESTART, 0);
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_true(link_up());
    assert_int_equal(rd(E1000_ICR), E1000_INT_LSC);
    assert_true(phy_read(E1000_PHY_STATUS) & E1000_PHY_STATUS_DONE);
    assert_true(phy_read(E1000_PHY_LPA) & 0x0100);
    assert_true(phy_read(E1000_PHY_GSTATUS) & 0x0800);
}

static void link_status_latches_a_loss(void **state)
{
    phy_read(E1000_PHY_STATUS);
    net_set_link(rig.net, false);
    net_set_link(rig.net, true);
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_true(link_up());
    assert_false(phy_read(E1000_PHY_STATUS) & E1000_PHY_STATUS_LINK);
    assert_true(phy_read(E1000_PHY_STATUS) & E1000_PHY_STATUS_LINK);
}

static void the_cable_shows(void **state)
{
    wr(E1000_IMS, E1000_INT_LSC);
    net_set_link(rig.net, false);
    assert_true(nic_rig_inta(&rig));
    assert_int_equal(rd(E1000_ICR), E1000_INT_LSC);
    assert_false(link_up());
    assert_int_equal(phy_read(E1000_PHY_PSSTAT), 0);
    net_set_link(rig.net, true);
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_true(nic_rig_inta(&rig));
    assert_true(link_up());
    assert_int_equal(phy_read(E1000_PHY_PSSTAT), 0xac00); /* 1000 Mbit/s, full duplex */
}

static void the_mac_sees_the_link_only_with_slu(void **state)
{
    wr(E1000_CTRL, E1000_CTRL_FD);
    assert_false(link_up());
    assert_true(phy_read(E1000_PHY_STATUS) & E1000_PHY_STATUS_LINK);
    wr(E1000_CTRL, E1000_CTRL_FD | E1000_CTRL_SLU);
    assert_true(link_up());
}

static void what_is_advertised_or_forced_decides_on_speed_and_duplex(void **state)
{
    static const struct {
        uint16_t ctrl, ana, gcon;
        uint32_t speed;
        bool fd, link;
    } cases[] = {
        {0x1340, 0x01e1, 0x0300, 2, true, true},   {0x1340, 0x01e1, 0x0100, 2, false, true},
        {0x1340, 0x01e1, 0x0000, 1, true, true},   {0x1340, 0x00e1, 0x0000, 1, false, true},
        {0x1340, 0x0061, 0x0000, 0, true, true},   {0x1340, 0x0021, 0x0000, 0, false, true},
        {0x1340, 0x0001, 0x0000, 0, false, false}, {0xa100, 0x01e1, 0x0300, 1, true, true},
        {0x8000, 0x01e1, 0x0300, 0, false, true},  {0x8140, 0x0001, 0x0000, 2, true, true},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        phy_write(E1000_PHY_ANA, cases[i].ana);
        phy_write(E1000_PHY_GCON, cases[i].gcon);
        phy_write(E1000_PHY_CTRL, cases[i].ctrl);
        fake_host_advance(&rig.fake, 1000 * MS);
        assert_int_equal(link_up(), cases[i].link);
        assert_int_equal(rd(E1000_STATUS) >> E1000_STATUS_SPEED_SHIFT & 3, cases[i].speed);
        assert_int_equal(rd(E1000_STATUS) & E1000_STATUS_FD, cases[i].fd);
    }
    wr(E1000_CTRL, E1000_CTRL_SLU | E1000_CTRL_FRCSPD | E1000_CTRL_FRCDPLX | 0x100);
    assert_int_equal(rd(E1000_STATUS) & 0xc1, 0x40);
}

/* SDM 11.1.3. */
static void a_link_that_is_up_stays_as_it_is_until_it_is_negotiated_anew(void **state)
{
    phy_write(E1000_PHY_ANA, 0x0021);
    phy_write(E1000_PHY_GCON, 0);
    wr(E1000_CTRL, rd(E1000_CTRL));
    assert_true(link_up());
    assert_int_equal(phy_read(E1000_PHY_PSSTAT), 0xac00);
    phy_write(E1000_PHY_CTRL, E1000_PHY_CTRL_ANEG | E1000_PHY_CTRL_RESTART);
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_int_equal(phy_read(E1000_PHY_PSSTAT), 0x0c00);
}

static void powering_the_phy_down_takes_the_link_away(void **state)
{
    phy_write(E1000_PHY_CTRL, E1000_PHY_CTRL_ANEG | E1000_PHY_CTRL_DOWN);
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_false(link_up());
    phy_write(E1000_PHY_CTRL, E1000_PHY_CTRL_ANEG);
    assert_false(link_up());
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_true(link_up());
}

static void a_hard_phy_reset_forgets_what_was_written(void **state)
{
    phy_write(E1000_PHY_ANA, 0x0021);
    wr(E1000_CTRL, rd(E1000_CTRL) | E1000_CTRL_PHY_RST);
    assert_false(link_up());
    wr(E1000_CTRL, rd(E1000_CTRL) & ~E1000_CTRL_PHY_RST);
    assert_int_equal(phy_read(E1000_PHY_ANA), 0x0de1);
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_true(link_up());
    wr(E1000_CTRL, E1000_CTRL_RST | E1000_CTRL_PHY_RST); /* both, as iPXE does */
    assert_int_equal(rd(E1000_CTRL), E1000_CTRL_INITIAL);
    assert_false(link_up());
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_true(link_up());
}

/* ---- interrupts ---- */

/* As Linux's `ethtool -t` does, for causes 0 to 9. */
static void linuxs_interrupt_test_passes(void **state)
{
    wr(E1000_IMC, 0xffffffff);
    for (unsigned i = 0; i < 10; i++) {
        uint32_t mask = 1u << i;
        wr(E1000_IMC, mask);
        wr(E1000_ICS, mask);
        assert_false(nic_rig_inta(&rig));
        assert_int_equal(rd(E1000_ICR), mask); /* reading clears, masked or not */
        wr(E1000_IMS, mask);
        wr(E1000_ICS, mask);
        assert_true(nic_rig_inta(&rig));
        assert_int_equal(rd(E1000_ICR), mask);
        assert_false(nic_rig_inta(&rig));
        wr(E1000_IMC, ~mask & 0x7fff);
        wr(E1000_ICS, ~mask & 0x7fff);
        assert_false(nic_rig_inta(&rig));
        assert_int_equal(rd(E1000_ICR), ~mask & 0x7fff);
        wr(E1000_IMC, 0xffffffff);
    }
}

static void causes_and_mask_make_the_line(void **state)
{
    wr(E1000_ICS, E1000_INT_RXT0);
    assert_false(nic_rig_inta(&rig));
    wr(E1000_IMS, E1000_INT_RXT0 | E1000_INT_TXDW);
    assert_true(nic_rig_inta(&rig));
    assert_int_equal(rd(E1000_IMS), E1000_INT_RXT0 | E1000_INT_TXDW);
    wr(E1000_ICS, E1000_INT_TXDW);
    wr(E1000_ICR, E1000_INT_RXT0); /* writing 1 clears, too */
    assert_true(nic_rig_inta(&rig));
    wr(E1000_IMC, E1000_INT_TXDW);
    assert_false(nic_rig_inta(&rig));
    wr(E1000_IMS, E1000_INT_TXDW);
    assert_true(nic_rig_inta(&rig));
    bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2,
                  PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    assert_false(nic_rig_inta(&rig));
    bus_pci_write(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_true(nic_rig_inta(&rig));
    wr(E1000_ICS, 0xffffffff);
    assert_int_equal(rd(E1000_ICR), E1000_INT_ALL);
    assert_int_equal(rd(E1000_ICR), 0);
}

static void itr_keeps_interrupts_apart(void **state)
{
    unsigned before = rig.fake.intx_rises[NIC_RIG_SLOT][0];

    wr(E1000_ITR, 500); /* 128 us: SDM 13.4.18 */
    wr(E1000_IMS, E1000_INT_ALL);
    wr(E1000_ICS, E1000_INT_RXT0);
    assert_true(nic_rig_inta(&rig));
    rd(E1000_ICR);
    for (unsigned i = 0; i < 100; i++) {
        wr(E1000_ICS, E1000_INT_RXT0);
        fake_host_advance(&rig.fake, 1000);
        assert_false(nic_rig_inta(&rig));
    }
    fake_host_advance(&rig.fake, 27999);
    assert_false(nic_rig_inta(&rig));
    fake_host_advance(&rig.fake, 1);
    assert_true(nic_rig_inta(&rig));
    assert_int_equal(rig.fake.intx_rises[NIC_RIG_SLOT][0], before + 2);
    rd(E1000_ICR);
    fake_host_advance(&rig.fake, 200000); /* it has been quiet long enough: at once */
    wr(E1000_ICS, E1000_INT_RXT0);
    assert_true(nic_rig_inta(&rig));
    rd(E1000_ICR);
    wr(E1000_ICS, E1000_INT_RXT0);
    assert_false(nic_rig_inta(&rig));
    wr(E1000_ITR, 0);
    assert_true(nic_rig_inta(&rig));
}

static void a_throttled_cause_that_is_read_does_not_interrupt(void **state)
{
    wr(E1000_ITR, 500);
    wr(E1000_IMS, E1000_INT_ALL);
    wr(E1000_ICS, E1000_INT_RXT0);
    rd(E1000_ICR);
    wr(E1000_ICS, E1000_INT_RXT0);
    assert_int_equal(rd(E1000_ICR), E1000_INT_RXT0);
    fake_host_advance(&rig.fake, 1000 * MS);
    assert_false(nic_rig_inta(&rig));
}

static void pba_shows_what_is_left_for_the_transmitter(void **state)
{
    static const struct {
        uint32_t written, read;
    } cases[] = {{0x30, 0x00100030}, {0x28, 0x00180028}, {0x08, 0x00380008}, {0x7f, 0x00000078}};

    for (unsigned i = 0; i < 4; i++) {
        wr(E1000_PBA, cases[i].written);
        assert_int_equal(rd(E1000_PBA), cases[i].read);
    }
}

static void statistics_clear_when_read(void **state)
{
    uint8_t frame[1000] = {0};

    memset(frame, 0xff, 6);
    for (unsigned i = 0; i < 3; i++)
        nic_rig_receive(&rig, frame, sizeof(frame));
    nic_rig_receive(&rig, frame, 60);
    assert_int_equal(rd(E1000_GPRC), 4);
    assert_int_equal(rd(E1000_GPRC), 0);
    assert_int_equal(rd(E1000_TPR), 4);
    assert_int_equal(rd(E1000_BPRC), 4);
    assert_int_equal(rd(E1000_MPRC), 0);
    assert_int_equal(rd(E1000_PRC64), 1);
    assert_int_equal(rd(E1000_PRC64 + 16), 3);
    assert_int_equal(rd(E1000_GORCL), 3 * 1004 + 64); /* with the FCS */
    assert_int_equal(rd(E1000_GORCL), 3 * 1004 + 64);
    assert_int_equal(rd(E1000_GORCL + 4), 0); /* this clears both */
    assert_int_equal(rd(E1000_GORCL), 0);
    assert_int_equal(rd(E1000_TORL), 3 * 1004 + 64);
    wr(E1000_TPR, 5); /* read only */
    assert_int_equal(rd(E1000_TPR), 0);
}

static void the_buss_reset_is_power_on(void **state)
{
    phy_write(E1000_PHY_ANA, 0x0021);
    wr(E1000_IMS, E1000_INT_ALL);
    wr(E1000_ICS, E1000_INT_LSC);
    rig.dev->ops->reset(rig.dev);
    assert_false(nic_rig_inta(&rig));
    assert_int_equal(bus_pci_read(rig.bus, NIC_RIG_SBDF, PCI_COMMAND, 2), 0);
    assert_int_equal(rd(E1000_CTRL), 0xffffffff); /* decoded no more */
    nic_rig_program(&rig);
    assert_int_equal(phy_read(E1000_PHY_ANA), 0x0de1);
    assert_true(link_up());
    assert_int_equal(rd(E1000_ICR), 0);
}

int main(void)
{
#define WITH(test, how) cmocka_unit_test_setup_teardown(test, how, teardown)
    const struct CMUnitTest tests[] = {
        WITH(it_is_the_82540em, setup_bare),
        WITH(registers_have_their_initial_values, setup_bare),
        WITH(linuxs_register_test_passes, setup_bare),
        WITH(registers_are_accessed_whole, setup_bare),
        WITH(registers_are_reached_by_ports_too, setup_bare),
        WITH(a_reset_through_the_ports_keeps_link_and_statistics, setup),
        WITH(eerd_reads_address_and_checksum, setup_bare),
        WITH(eecd_clocks_the_same_words_out, setup_bare),
        WITH(eecd_writes_and_a_reset_takes_the_new_address, setup_bare),
        WITH(the_phy_is_one_that_drivers_know, setup_bare),
        WITH(negotiation_takes_the_link_down_and_up_with_interrupts, setup_bare),
        WITH(link_status_latches_a_loss, setup_bare),
        WITH(the_cable_shows, setup_bare),
        WITH(the_mac_sees_the_link_only_with_slu, setup_bare),
        WITH(what_is_advertised_or_forced_decides_on_speed_and_duplex, setup_bare),
        WITH(a_link_that_is_up_stays_as_it_is_until_it_is_negotiated_anew, setup_bare),
        WITH(powering_the_phy_down_takes_the_link_away, setup_bare),
        WITH(a_hard_phy_reset_forgets_what_was_written, setup_bare),
        WITH(linuxs_interrupt_test_passes, setup_bare),
        WITH(causes_and_mask_make_the_line, setup_bare),
        WITH(itr_keeps_interrupts_apart, setup_bare),
        WITH(a_throttled_cause_that_is_read_does_not_interrupt, setup_bare),
        WITH(pba_shows_what_is_left_for_the_transmitter, setup_bare),
        WITH(statistics_clear_when_read, setup),
        WITH(the_buss_reset_is_power_on, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
