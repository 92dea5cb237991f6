/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/smart_rig.h"

uint8_t page[512];

int smart_rig_setup(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {TOTAL, 4096}});
}

uint32_t get(unsigned offset, unsigned size)
{
    uint32_t value = 0;

    while (size--)
        value = value << 8 | page[offset + size];
    return value;
}

void take_page(void)
{
    assert_int_equal(rig_status(&rig, 0), READY | ATA_SR_DRQ);
    assert_true(rig_irq(&rig, 0));
    rig_ack(&rig, 0);
    rig_read_data(&rig, 0, page, 512);
    assert_int_equal(rig_status(&rig, 0), READY);
}

void assert_sum(void)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + page[i]);
    assert_int_equal(sum, 0);
}

void smart_data(void)
{
    rig_smart(&rig, 0, 0xd0, 0, 0);
    take_page();
    assert_sum();
}

void smart_log(uint8_t address)
{
    rig_smart(&rig, 0, 0xd5, address, 1);
    take_page();
}

void log_ext(uint8_t address)
{
    rig_command_ext(&rig, 0, 0x2f, address, 1);
    take_page();
}

uint32_t attribute(uint8_t id, uint8_t *ret_value)
{
    for (unsigned at = 2; at < 362; at += 12) {
        if (page[at] != id)
            continue;
        if (ret_value)
            *ret_value = page[at + 3];
        return get(at + 5, 4);
    }
    fail_msg("no attribute %u", id);
    return 0;
}

void fail_at(uint64_t lba)
{
    ide_rig_fault(&rig, 0, &(struct mem_faults){.error = -EIO, .first = lba, .last = lba});
    rig_command_ext(&rig, 0, 0x24, lba, 1);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, 0), READY | ATA_SR_ERR);
    ide_rig_fault(&rig, 0, &(struct mem_faults){0});
}
