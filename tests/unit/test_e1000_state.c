/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saving and loading: what the others have not (tests/unit/test_nic_life.c). */
#include <errno.h>
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

static void fill(uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        rig.fake.ram[E1000_RIG_DATA + i] = (uint8_t)(i * 17 + 3);
    memcpy(rig.fake.ram + E1000_RIG_DATA, nic_rig_mac, 6);
}

static void what_a_guest_sees_moves_along(void **state)
{
    wr(E1000_IMS, E1000_INT_RXT0);
    wr(E1000_MTA + 40, 0x12345678);
    wr(E1000_VFTA + 44, 0x87654321);
    wr(E1000_RA + 24, 0x11111111);
    wr(E1000_TIPG, 0x602008);
    wr(E1000_MDIC, E1000_MDIC_OP_WRITE | 1u << 21 | 4u << 16 | 0x0061);
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT, 4, E1000_TIPG);
    fill(200);
    nic_rig_receive(&rig, rig.fake.ram + E1000_RIG_DATA, 200);
    assert_true(nic_rig_inta(&rig));
    nic_rig_move(&rig);
    assert_true(nic_rig_inta(&rig));
    assert_int_equal(rd(E1000_ICR), E1000_INT_RXT0);
    assert_int_equal(rd(E1000_MTA + 40), 0x12345678);
    assert_int_equal(rd(E1000_VFTA + 44), 0x87654321);
    assert_int_equal(rd(E1000_RA + 24), 0x11111111);
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4), 0x602008);
    wr(E1000_MDIC, E1000_MDIC_OP_READ | 1u << 21 | 4u << 16);
    assert_int_equal(rd(E1000_MDIC) & 0xffff, 0x0061);
    assert_int_equal(rd(E1000_GPRC), 1);
    assert_int_equal(rd(E1000_RDH), 1);
    assert_true(rig.port.reading);
    nic_rig_receive(&rig, rig.fake.ram + E1000_RIG_DATA, 200);
    assert_int_equal(rd(E1000_RDH), 2);
}

static void a_packet_that_is_being_gathered_moves_along(void **state)
{
    fill(1000);
    e1000_rig_desc(&rig, E1000_RIG_DATA, 600, 0);
    e1000_rig_doorbell(&rig);
    nic_rig_move(&rig);
    e1000_rig_desc(&rig, E1000_RIG_DATA + 600, LEGACY_END | 400, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(rig.sent[0].bytes, 1000);
    assert_memory_equal(rig.sent[0].data, rig.fake.ram + E1000_RIG_DATA, 1000);
}

static void a_packet_that_waits_for_its_way_out_moves_along(void **state)
{
    fill(300);
    rig.port.busy = true;
    for (unsigned i = 0; i < 3; i++)
        e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | 300, 0);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, 0);
    rig.port.busy = false;
    assert_true(rig.dev->ops->quiesce(rig.dev));
    net_port_writable(&rig.port.port);
    assert_int_equal(rig.n_sent, 0); /* quiesced: nothing moves */
    nic_rig_move(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 3);
}

static void contexts_move_along(void **state)
{
    uint8_t *data = rig.fake.ram + E1000_RIG_DATA;
    uint32_t bytes =
        packet_build(data, &(struct packet_spec){.version = 4, .udp = true, .payload = 50});
    uint64_t words = 14 | 24 << 8 | 33u << 16 | (uint64_t)(34 | 40 << 8) << 32;

    uint32_t sum = 0x0a00 + 1 + 0x0a00 + 2 + 17 + bytes - 34; /* packets.c's addresses */

    data[40] = (uint8_t)(sum >> 8);
    data[41] = (uint8_t)sum;
    e1000_rig_desc(&rig, words, E1000_TXD_DEXT | E1000_TXD_TUCMD_IPV4, 0);
    e1000_rig_doorbell(&rig);
    nic_rig_move(&rig);
    e1000_rig_desc(&rig, E1000_RIG_DATA, LEGACY_END | E1000_TXD_DEXT | E1000_TXD_DTYP_DATA | bytes,
                   3u << 8);
    e1000_rig_doorbell(&rig);
    assert_int_equal(rig.n_sent, 1);
    packet_assert_checksums(rig.sent[0].data, rig.sent[0].bytes);
}

static void timers_move_along(void **state)
{
    wr(E1000_IMS, E1000_INT_ALL);
    wr(E1000_RDTR, 1000);
    wr(E1000_ITR, 2000);
    fill(100);
    nic_rig_receive(&rig, rig.fake.ram + E1000_RIG_DATA, 100);
    fake_host_advance(&rig.fake, 500 * 1024);
    nic_rig_move(&rig);
    fake_host_advance(&rig.fake, 499 * 1024);
    assert_int_equal(rd(E1000_ICR), 0);
    fake_host_advance(&rig.fake, 2 * 1024);
    assert_true(nic_rig_inta(&rig));
    assert_int_equal(rd(E1000_ICR), E1000_INT_RXT0);
    wr(E1000_ICS, E1000_INT_LSC);
    assert_false(nic_rig_inta(&rig)); /* throttled */
    nic_rig_move(&rig);
    fake_host_advance(&rig.fake, 2000 * 256);
    assert_true(nic_rig_inta(&rig));
}

static void a_negotiation_under_way_moves_along(void **state)
{
    wr(E1000_MDIC, E1000_MDIC_OP_WRITE | 1u << 21 | 0x1340);
    assert_false(rd(E1000_STATUS) & E1000_STATUS_LU);
    nic_rig_move(&rig);
    assert_false(rd(E1000_STATUS) & E1000_STATUS_LU);
    fake_host_advance(&rig.fake, 1000000000);
    assert_true(rd(E1000_STATUS) & E1000_STATUS_LU);
}

static void the_cable_is_the_one_that_is_here(void **state)
{
    size_t size;

    rig.dev->ops->quiesce(rig.dev);
    uint8_t *saved = nic_rig_save(&rig, &size);
    net_set_link(rig.net, false);
    assert_int_equal(nic_rig_migrate(&rig, saved, size), 0);
    free(saved);
    rig.dev->ops->resume(rig.dev);
    assert_false(rd(E1000_STATUS) & E1000_STATUS_LU);
    assert_int_equal(rd(E1000_ICR), E1000_INT_LSC);
}

/* Uses everything that a state may have made of it. */
static void poke(void)
{
    rig.dev->ops->resume(rig.dev);
    nic_rig_program(&rig);
    nic_rig_receive(&rig, rig.fake.ram + E1000_RIG_DATA, 300);
    wr(E1000_TDT, 3);
    wr(E1000_RDT, 3);
    nic_rig_settle(&rig);
    fake_host_advance(&rig.fake, 200000000);
    nic_rig_settle(&rig);
    nic_rig_forget(&rig);
    bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT + 4, 4, 0);
}

/* In the middle of gathering a packet, and of an interrupt's delay. */
static void hostile_states_are_refused_or_survived(void **state)
{
    fill(1000);
    e1000_rig_desc(&rig, E1000_RIG_DATA, 60, 0);
    e1000_rig_doorbell(&rig);
    wr(E1000_RDTR, 1000);
    nic_rig_receive(&rig, rig.fake.ram + E1000_RIG_DATA, 100);
    nic_rig_hostile_states(&rig, poke);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_a_guest_sees_moves_along),
        TEST(a_packet_that_is_being_gathered_moves_along),
        TEST(a_packet_that_waits_for_its_way_out_moves_along),
        TEST(contexts_move_along),
        TEST(timers_move_along),
        TEST(a_negotiation_under_way_moves_along),
        TEST(the_cable_is_the_one_that_is_here),
        TEST(hostile_states_are_refused_or_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
