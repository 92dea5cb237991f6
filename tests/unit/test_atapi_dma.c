/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A packet's DMA, also where the host cannot reach guest memory, or only slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/atapi_rig.h"

static int setup(void **state)
{
    return atapi_rig_setup(MEDIUM_BLOCKS * 4);
}

static int teardown(void **state)
{
    atapi_rig_finish();
    return 0;
}

static void dma_reads_the_medium_by_any_table(void **state)
{
    static const uint32_t pieces[][4] = {
        {65536, 65536, 65536, 8192}, {2, 4094, 100000 & 0xfffe, 65536}, {6, 10, 2030, 65536}};

    for (unsigned i = 0; i < 3; i++) {
        uint32_t at = RAM, total = 0, count;
        for (unsigned j = 0; j < 4; j++) {
            rig_prd(&rig, TABLE, j, at, pieces[i][j], j == 3);
            at += pieces[i][j];
            total += pieces[i][j];
        }
        count = total / 2048;
        memset(rig.fake.ram + RAM, 0, total);
        dma(CDB(0x28, [5] = 9, [8] = (uint8_t)count));
        assert_int_equal(rig_ack(&rig, CD), READY);
        assert_int_equal(rig_dma_status(&rig, 1) & (BMISTA_ACTIVE | BMISTA_INTR),
                         total % 2048 ? BMISTA_ACTIVE | BMISTA_INTR : BMISTA_INTR);
        assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, count * 2048);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x03);
        rig_dma_stop(&rig, 1);
    }
}

static void dma_waits_where_the_memory_ends(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 2048 + 600, true);
    dma(CDB(0x28, [5] = 9, [8] = 3));
    assert_int_equal(rig_status(&rig, CD), ATA_SR_BSY);
    assert_int_equal(rig_dma_status(&rig, 1) & 5, 0);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 2048 + 600);
    rig_dma_stop(&rig, 1);
    rig_prd(&rig, TABLE, 0, RAM + 2648, 65536, true);
    rig_dma_setup(&rig, 1, TABLE, true);
    rig_dma_start(&rig, 1, true); /* and goes on where it was */
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 3 * 2048);
}

static void replies_and_parameters_go_by_dma_too(void **state)
{
    uint8_t list[20] = {[8] = 0x01, 0x0a, 0x20, 0x09};

    memset(rig.fake.ram + RAM, 0xee, 64);
    rig_prd(&rig, TABLE, 0, RAM, 10, false);
    rig_prd(&rig, TABLE, 1, RAM + 10, 512, true);
    dma(CDB(0x12, [4] = 35)); /* odd: one byte of padding */
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_memory_equal(rig.fake.ram + RAM + 8, "ioemud  DVD-ROM", 15);
    assert_int_equal(rig.fake.ram[RAM + 36], 0xee);

    memcpy(rig.fake.ram + RAM, list, sizeof(list));
    rig_dma_stop(&rig, 1);
    rig_prd(&rig, TABLE, 0, RAM, sizeof(list), true);
    rig_packet(&rig, CD, CDB(0x55, 0x10, [8] = sizeof(list)), 1, 0);
    rig_dma_setup(&rig, 1, TABLE, false);
    rig_dma_start(&rig, 1, false);
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_int_equal(packet(64, CDB(0x5a, [2] = 0x01, [8] = 64)), 20);
    assert_memory_equal(reply + 8, list + 8, 12);
}

static void dma_of_whole_sectors_is_what_pio_reads(void **state)
{
    uint8_t data[3 * 2352];

    rig_packet(&rig, CD, CDB(0xbe, [5] = 7, [8] = 3, [9] = 0xf8), 0, 0xfffe);
    ide_rig_settle(&rig);
    bus_port_read_block(rig.bus, 0x170, 4, data, sizeof(data) / 4);
    assert_int_equal(rig_ack(&rig, CD), READY);
    rig_prd(&rig, TABLE, 0, RAM, 2000, false);
    rig_prd(&rig, TABLE, 1, RAM + 2000, 65536, true);
    dma(CDB(0xbe, [5] = 7, [8] = 3, [9] = 0xf8));
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_memory_equal(rig.fake.ram + RAM, data, sizeof(data));
}

/* The bus master's Error bit, and ABORTED COMMAND for who asks. After it the same works. */
static void assert_out_of_reach(const uint8_t *cdb, bool in, uint64_t where)
{
    uint64_t errors = rig_counter(&rig, "errors");

    for (unsigned broken = 2; broken--;) {
        rig.fake.broken_from = where;
        rig.fake.broken_len = broken ? 0x800 : 0;
        rig_dma_setup(&rig, 1, TABLE, in);
        rig_packet(&rig, CD, cdb, 1, 0);
        rig_dma_start(&rig, 1, in);
        ide_rig_settle(&rig);
        assert_true(rig_irq(&rig, CD));
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x03);
        assert_int_equal(rig_dma_status(&rig, 1) & (BMISTA_INTR | BMISTA_ERROR),
                         broken ? BMISTA_INTR | BMISTA_ERROR : BMISTA_INTR);
        assert_int_equal(rig_ack(&rig, CD), READY | (broken ? ATA_SR_ERR : 0));
        if (broken) {
            assert_int_equal(rig_dma_status(&rig, 1) & BMISTA_ACTIVE, 0);
            assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR), 0xb << 4 | ATA_ER_ABRT);
            assert_null(cd()->req);
            assert_sense(CHECK, 0xb, 0x0800);
        }
        rig_dma_stop(&rig, 1);
        rig_out8(&rig, (uint16_t)(rig.bmdma + 8 + BMDMA_BMISTA), BMISTA_INTR | BMISTA_ERROR);
    }
    assert_int_equal(rig_counter(&rig, "errors"), errors + 1);
}

static void a_packet_whose_memory_is_out_of_reach_is_aborted(void **state)
{
    const uint8_t *read = CDB(0x28, [5] = 9, [8] = 3), *whole = CDB(0xbe, [5] = 7, [8] = 3, 0xf8);
    uint8_t list[20] = {[8] = 0x01, 0x0a, 0x20, 0x09};

    rig_prd(&rig, TABLE, 0, RAM, 2048, false);
    rig_prd(&rig, TABLE, 1, RAM + 0x4000, 65536, true);
    assert_out_of_reach(read, true, TABLE);
    assert_out_of_reach(read, true, RAM + 0x4000);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 2048);
    assert_medium_bytes(rig.fake.ram + RAM + 0x4000, 10 * 2048, 2 * 2048);
    assert_out_of_reach(whole, true, TABLE);
    assert_out_of_reach(whole, true, RAM + 0x4000);

    rig_prd(&rig, TABLE, 0, RAM, 512, true);
    assert_out_of_reach(CDB(0x12, [4] = 36), true, TABLE);
    assert_out_of_reach(CDB(0x12, [4] = 36), true, RAM);
    assert_memory_equal(rig.fake.ram + RAM + 8, "ioemud  DVD-ROM", 15);
    memcpy(rig.fake.ram + RAM, list, sizeof(list));
    assert_out_of_reach(CDB(0x55, 0x10, [8] = sizeof(list)), false, TABLE);
    assert_out_of_reach(CDB(0x55, 0x10, [8] = sizeof(list)), false, RAM);
}

/* Nothing of a list that nobody has read is taken over. */
static void parameters_out_of_reach_change_nothing(void **state)
{
    uint8_t before[20];

    assert_int_equal(packet(64, CDB(0x5a, [2] = 0x01, [8] = 64)), 20);
    memcpy(before, reply, sizeof(before));
    rig_prd(&rig, TABLE, 0, RAM, 20, true);
    memset(rig.fake.ram + RAM, 0, 20);
    memcpy(rig.fake.ram + RAM + 8, "\x01\x0a\x20\x09", 4);
    rig.fake.broken_from = RAM;
    rig.fake.broken_len = 20;
    rig_dma_setup(&rig, 1, TABLE, false);
    rig_packet(&rig, CD, CDB(0x55, 0x10, [8] = 20), 1, 0);
    rig_dma_start(&rig, 1, false);
    assert_int_equal(rig_ack(&rig, CD), READY | ATA_SR_ERR);
    rig_dma_stop(&rig, 1);
    assert_int_equal(packet(64, CDB(0x5a, [2] = 0x01, [8] = 64)), 20);
    assert_memory_equal(reply, before, sizeof(before));
}

static void a_packets_dma_rests_as_a_disks(void **state)
{
    rig_prd(&rig, TABLE, 0, RAM, 65536, true);
    rig.fake.dma_rests = rig.fake.now + 1000;
    dma(CDB(0x28, [5] = 9, [8] = 3));
    assert_int_equal(rig_status(&rig, CD), ATA_SR_BSY);
    assert_int_equal(rig_counter(&rig, "dma_bytes"), 0);
    fake_host_advance(&rig.fake, 1000);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 3 * 2048);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(dma_reads_the_medium_by_any_table),
        TEST(dma_waits_where_the_memory_ends),
        TEST(replies_and_parameters_go_by_dma_too),
        TEST(dma_of_whole_sectors_is_what_pio_reads),
        TEST(a_packet_whose_memory_is_out_of_reach_is_aborted),
        TEST(parameters_out_of_reach_change_nothing),
        TEST(a_packets_dma_rests_as_a_disks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
