/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/ata_rig.h"

struct ide_rig rig;

int ata_rig_one_disk(void **state)
{
    ide_rig_init(&rig, NULL);
    return 0;
}

int ata_rig_setup(const struct ide_rig_options *options)
{
    ide_rig_init(&rig, options);
    return 0;
}

int ata_rig_two_disks(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {8192, 4096}});
}

int ata_rig_finish(void **state)
{
    ide_rig_finish(&rig);
    return 0;
}

void assert_disk_bytes(const uint8_t *bytes, unsigned disk, uint64_t lba, uint32_t sectors)
{
    for (uint32_t i = 0; i < sectors * 512; i++)
        assert_int_equal(bytes[i], ide_rig_byte(disk, lba * 512 + i));
}

void fill(uint8_t *bytes, uint32_t len, unsigned seed)
{
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 11 + (i >> 8) * 3 + seed);
}

uint16_t word_of(const uint8_t *identify, unsigned index)
{
    return (uint16_t)(identify[2 * index] | identify[2 * index + 1] << 8);
}

void identify(unsigned disk, uint8_t *ret_words)
{
    rig_command(&rig, disk, 0xec, 0, 0);
    assert_int_equal(rig_status(&rig, disk), READY | ATA_SR_DRQ);
    rig_read_data(&rig, disk, ret_words, 512);
    assert_int_equal(rig_ack(&rig, disk), READY);
}

void assert_aborted(unsigned disk)
{
    assert_int_equal(rig_status(&rig, disk), READY | ATA_SR_ERR);
    assert_int_equal(rig_reg(&rig, disk, ATA_REG_ERROR), ATA_ER_ABRT);
    assert_true(rig_irq(&rig, disk));
    rig_ack(&rig, disk);
    assert_false(rig_irq(&rig, disk));
}

void assert_completed(unsigned disk)
{
    ide_rig_settle(&rig);
    assert_int_equal(rig_status(&rig, disk), READY);
    assert_true(rig_irq(&rig, disk));
    rig_ack(&rig, disk);
}

void features(uint8_t subcommand, uint8_t count)
{
    rig_select(&rig, 0);
    rig_out8(&rig, 0x1f1, subcommand);
    rig_command(&rig, 0, 0xef, 0, count);
}

uint64_t flushes(void)
{
    return blk_counters(rig.spec.drive[0].blk)->flushes;
}

void ata_rig_move(void)
{
    size_t size, again;

    while (!rig.dev->ops->quiesce(rig.dev))
        assert_true(fake_loop_turn(rig.loop, 0));
    uint8_t *state = ide_rig_save(&rig, &size);
    assert_int_equal(ide_rig_migrate(&rig, state, size), 0);
    uint8_t *copy = ide_rig_save(&rig, &again);
    assert_int_equal(size, again);
    assert_memory_equal(state, copy, size);
    rig.dev->ops->resume(rig.dev);
    free(state);
    free(copy);
}
