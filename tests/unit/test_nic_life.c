/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every NIC does alike, whatever its registers: coming and going, resting, moving along. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/e1000_rig.h"
#include "tests/unit/ne2000_rig.h"
#include "tests/unit/rtl8139_rig.h"

static struct nic_rig rig;
static uint8_t frame[1514];

/* Its driver has started it. */
static int setup(void **state)
{
    nic_rig_init(&rig, *state, 0);
    rig.model->start(&rig);
    nic_rig_settle(&rig);
    for (unsigned i = 0; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i * 17 + 3);
    memcpy(frame, nic_rig_mac, NET_MAC_BYTES);
    return 0;
}

static int teardown(void **state)
{
    nic_rig_finish(&rig);
    return 0;
}

static uint64_t received(void)
{
    return net_counters(rig.net)->rx_packets;
}

static bool answers(void)
{
    return bus_pci_read(rig.bus, NIC_RIG_SBDF, 0, 4) != UINT32_MAX;
}

/* ---- resting and moving ---------------------------------------------------------------------- */

static void frames_go_both_ways(void **state)
{
    uint64_t before = received();

    rig.model->transmit(&rig, frame, 200);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(nic_rig_last(&rig)->bytes, 200);
    assert_memory_equal(nic_rig_last(&rig)->data, frame, 200);
    assert_true(nic_rig_inta(&rig));
    nic_rig_receive(&rig, frame, 200);
    assert_int_equal(received(), before + 1);
}

static void while_quiesced_frames_wait(void **state)
{
    assert_true(rig.dev->ops->quiesce(rig.dev));
    nic_rig_receive(&rig, frame, 100);
    rig.model->transmit(&rig, frame, 100);
    nic_rig_settle(&rig);
    assert_int_equal(received(), 0);
    assert_int_equal(rig.n_sent, 0);
    assert_false(rig.port.reading);
    rig.dev->ops->resume(rig.dev);
    nic_rig_settle(&rig);
    assert_int_equal(received(), 1);
    assert_int_equal(rig.n_sent, 1);
    assert_true(rig.port.reading);
}

static void a_packet_that_waits_for_its_way_out_moves_along(void **state)
{
    rig.port.busy = true;
    rig.model->transmit(&rig, frame, 300);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 0);
    assert_true(rig.dev->ops->quiesce(rig.dev));
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 0); /* quiesced: nothing moves */
    nic_rig_move(&rig);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 1);
    assert_int_equal(nic_rig_last(&rig)->bytes, 300);
    assert_memory_equal(nic_rig_last(&rig)->data, frame, 300);
}

static void interrupts_and_rings_move_along(void **state)
{
    nic_rig_receive(&rig, frame, 100);
    assert_true(nic_rig_inta(&rig));
    nic_rig_move(&rig);
    assert_true(nic_rig_inta(&rig));
    assert_true(rig.port.reading);
    nic_rig_receive(&rig, frame, 100);
    rig.model->transmit(&rig, frame, 100);
    nic_rig_settle(&rig);
    assert_int_equal(received(), 2);
    assert_int_equal(rig.n_sent, 1);
}

static void the_cable_is_the_one_that_is_here(void **state)
{
    size_t size;
    uint8_t *saved;

    assert_true(rig.model->link(&rig));
    rig.dev->ops->quiesce(rig.dev);
    saved = nic_rig_save(&rig, &size);
    net_set_link(rig.net, false);
    assert_int_equal(nic_rig_migrate(&rig, saved, size), 0);
    free(saved);
    rig.dev->ops->resume(rig.dev);
    nic_rig_settle(&rig);
    assert_false(rig.model->link(&rig));
    assert_true(nic_rig_inta(&rig)); /* and the driver is told */
}

/* Uses everything that a state may have made of it. */
static void poke(void)
{
    rig.dev->ops->resume(rig.dev);
    nic_rig_program(&rig);
    nic_rig_receive(&rig, frame, 300);
    nic_rig_settle(&rig);
    for (uint32_t reg = 0; reg < 0x100; reg += 4) {
        bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT + reg, 4);
        bus_read(rig.bus, BUS_MMIO, NIC_RIG_MEM + reg, 4);
    }
    rig.model->transmit(&rig, frame, 300);
    rig.model->start(&rig);
    rig.model->transmit(&rig, frame, 300);
    nic_rig_receive(&rig, frame, 300);
    nic_rig_settle(&rig);
    fake_host_advance(&rig.fake, 200000000);
    nic_rig_settle(&rig);
    nic_rig_forget(&rig);
}

static void hostile_states_are_refused_or_survived(void **state)
{
    rig.port.busy = true;
    rig.model->transmit(&rig, frame, 300);
    rig.port.busy = false;
    nic_rig_receive(&rig, frame, 100);
    nic_rig_hostile_states(&rig, poke);
}

/* ---- coming and going ------------------------------------------------------------------------ */

/* RST#: as it came, with the clock where it is. */
static void a_reset_leaves_nothing_behind(void **state)
{
    size_t size, again;
    uint8_t *fresh, *after;

    nic_rig_unplug(&rig);
    nic_rig_plug(&rig);
    rig.dev->ops->reset(rig.dev);
    rig.dev->ops->quiesce(rig.dev);
    fresh = nic_rig_save(&rig, &size);
    rig.dev->ops->resume(rig.dev);
    nic_rig_program(&rig);
    rig.model->start(&rig);
    nic_rig_receive(&rig, frame, 100);
    rig.port.busy = true;
    rig.model->transmit(&rig, frame, 100);
    rig.dev->ops->reset(rig.dev);
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 0);
    assert_false(nic_rig_inta(&rig));
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT, 1), 0xff);
    nic_rig_receive(&rig, frame, 100);
    assert_int_equal(received(), 1);
    rig.dev->ops->quiesce(rig.dev);
    after = nic_rig_save(&rig, &again);
    rig.dev->ops->resume(rig.dev);
    assert_int_equal(size, again);
    assert_memory_equal(fresh, after, size);
    free(fresh);
    free(after);
    nic_rig_program(&rig);
    rig.model->start(&rig);
    nic_rig_settle(&rig);
    nic_rig_receive(&rig, frame, 100);
    assert_int_equal(received(), 2);
}

/* While a packet waits, frames come in and the guest is about to be interrupted. */
static void one_that_is_pulled_out_leaves_nothing_behind(void **state)
{
    rig.port.busy = true;
    rig.model->transmit(&rig, frame, 100);
    nic_rig_receive(&rig, frame, 100);
    nic_rig_receive(&rig, frame, 100);
    nic_rig_unplug(&rig);
    assert_false(nic_rig_inta(&rig));
    assert_int_equal(rig.fake.timers_armed, 0);
    assert_false(rig.port.reading);
    assert_false(answers());
    assert_int_equal(bus_read(rig.bus, BUS_PORT, NIC_RIG_PORT, 1), 0xff);
    assert_int_equal(bus_read(rig.bus, BUS_MMIO, NIC_RIG_MEM, 4), UINT32_MAX);
    rig.port.busy = false;
    net_port_writable(&rig.port.port);
    nic_rig_receive(&rig, frame, 100);
    nic_rig_settle(&rig);
    assert_int_equal(rig.n_sent, 0);
    /* Another one in the same slot, at the same way out, is like the first. */
    nic_rig_plug(&rig);
    assert_true(answers());
    nic_rig_program(&rig);
    rig.model->start(&rig);
    nic_rig_settle(&rig);
    frames_go_both_ways(state);
}

/* By name, in its slot, and gone without a trace when unplugged. */
static void a_machine_makes_and_unplugs_one(void **state)
{
    struct machine_spec spec = {.role = MACHINE_PRIMARY, .vcpus = 1};
    struct machine *machine;
    uint32_t sbdf = PCI_DEVFN(MACHINE_NIC_SLOT, 0);
    char why[64] = "";

    assert_true(machine_nic_model(rig.model->name));
    nic_rig_unplug(&rig); /* one way out, one NIC */
    spec.nic[0] =
        (struct machine_nic){.model = rig.model->name, .net = rig.net, .mac = {0, 0x16, 0x3e}};
    assert_int_equal(machine_create(&rig.fake.host, NULL, NULL, &spec, &machine, why, sizeof(why)),
                     0);
    assert_int_equal(bus_pci_read(machine_bus(machine), sbdf, 0, 4), rig.model->id);
    assert_true(machine_remove_nic(machine, 0));
    assert_int_equal(bus_pci_read(machine_bus(machine), sbdf, 0, 4), UINT32_MAX);
    machine_destroy(machine);
}

/* ---- what a guest could do to us ------------------------------------------------------------- */

static void xsa_180_nothing_is_logged_at_a_guests_word(void **state)
{
    for (unsigned i = 0; i < 1000; i++) {
        bus_write(rig.bus, BUS_PORT, NIC_RIG_PORT + i % 0x100, 1u << i % 3, i * 0x01234567u);
        bus_write(rig.bus, BUS_MMIO, NIC_RIG_MEM + 4 * i, 4, i * 0x01234567u);
        bus_pci_write(rig.bus, NIC_RIG_SBDF, i % 0x100, 1, (uint8_t)(i * 7));
        nic_rig_program(&rig);
        rig.model->transmit(&rig, frame, 1 + i % 1500);
        nic_rig_receive(&rig, frame, 60 + i % 1400);
        nic_rig_settle(&rig);
        fake_host_advance(&rig.fake, 1000000);
    }
    assert_int_equal(rig.fake.logs, 0);
}

static const struct CMUnitTest life[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    TEST(frames_go_both_ways),
    TEST(while_quiesced_frames_wait),
    TEST(a_packet_that_waits_for_its_way_out_moves_along),
    TEST(interrupts_and_rings_move_along),
    TEST(hostile_states_are_refused_or_survived),
    TEST(a_reset_leaves_nothing_behind),
    TEST(one_that_is_pulled_out_leaves_nothing_behind),
    TEST(a_machine_makes_and_unplugs_one),
    TEST(xsa_180_nothing_is_logged_at_a_guests_word),
    TEST(the_cable_is_the_one_that_is_here), /* last: an NE2000 does not know */
};

#define TESTS (sizeof(life) / sizeof(life[0]))

int main(void)
{
    static const struct nic_rig_model *const models[] = {&e1000_rig_model, &ne2000_rig_model,
                                                         &rtl8139_rig_model};
    struct CMUnitTest tests[TESTS];
    int failed = 0;

    for (unsigned i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        memcpy(tests, life, sizeof(life));
        for (unsigned j = 0; j < TESTS; j++)
            tests[j].initial_state = (void *)models[i];
        failed +=
            _cmocka_run_group_tests(models[i]->name, tests, TESTS - !models[i]->link, NULL, NULL);
    }
    return failed;
}
