/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/ide/controller.h"
#include "tests/unit/atapi_rig.h"

struct ide_rig rig;
uint8_t reply[4096];

int atapi_rig_setup(uint64_t sectors)
{
    ide_rig_init(&rig, &(struct ide_rig_options){.sectors = {1024, 0, sectors}, .cdrom[CD] = true});
    packet(18, CDB(0x03, [4] = 18)); /* the power-on attention */
    return 0;
}

void atapi_rig_finish(void)
{
    ide_rig_finish(&rig);
}

struct ata_drive *cd(void)
{
    return &((struct ide_controller *)rig.dev)->channel[CD / 2].drive[CD % 2];
}

uint32_t byte_count(void)
{
    return (uint32_t)rig_reg(&rig, CD, ATA_REG_LBA_MID) |
           (uint32_t)rig_reg(&rig, CD, ATA_REG_LBA_HIGH) << 8;
}

int packet(uint32_t most, const uint8_t *cdb)
{
    uint32_t at = 0;

    memset(reply, 0, sizeof(reply));
    rig_packet(&rig, CD, cdb, 0, 0xfffe);
    ide_rig_settle(&rig);
    while (rig_status(&rig, CD) & ATA_SR_DRQ) {
        uint32_t n = byte_count();
        assert_true(rig_irq(&rig, CD));
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x02);
        assert_true(n && at + n <= most && most <= sizeof(reply));
        bus_port_read_block(rig.bus, rig.command[CD / 2], 1, reply + at, n);
        at += n;
        ide_rig_settle(&rig);
    }
    assert_true(rig_irq(&rig, CD));
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0x03);
    uint8_t status = rig_ack(&rig, CD);
    assert_int_equal(status & ~ATA_SR_ERR, READY);
    return status & ATA_SR_ERR ? CHECK : (int)at;
}

void dma(const uint8_t *cdb)
{
    rig_dma_stop(&rig, CD / 2);
    rig_dma_setup(&rig, CD / 2, TABLE, true);
    rig_packet(&rig, CD, cdb, 1, 0);
    rig_dma_start(&rig, CD / 2, true);
    ide_rig_settle(&rig);
}

void assert_sense(int result, uint8_t key, uint16_t code)
{
    assert_int_equal(result, CHECK);
    assert_int_equal(rig_reg(&rig, CD, ATA_REG_ERROR) >> 4, key);
    assert_int_equal(packet(18, CDB(0x03, [4] = 18)), 18);
    assert_int_equal(reply[0], 0x70);
    assert_int_equal(reply[7], 10);
    assert_int_equal(reply[2], key);
    assert_int_equal(reply[12] << 8 | reply[13], code);
}

void assert_medium_bytes(const uint8_t *bytes, uint32_t at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], ide_rig_byte(CD, at + i));
}
