/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A saved CD-ROM drive goes on where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/atapi_rig.h"

static int with_medium(void **state)
{
    return atapi_rig_setup(MEDIUM_BLOCKS * 4);
}

static int finish(void **state)
{
    atapi_rig_finish();
    return 0;
}

/* Right after each of these a new machine takes over, and the host reads on. */
static void a_saved_drive_goes_on_where_it_was(void **state)
{
    static uint8_t data[8 * 2352];
    size_t size, again;

    for (unsigned how = 0; how < 8; how++) {
        bool raw = how == 4 || how == 5, list = how == 6;
        uint32_t unit = raw ? 2352 : 2048, at = how % 2 ? 700 : 0, length = list ? 36 : 6 * unit;
        if (how == 7) { /* in the middle of a packet */
            rig_select(&rig, CD);
            rig_out8(&rig, 0x174, 8);
            rig_out8(&rig, 0x175, 0);
            rig_out8(&rig, 0x177, ATA_CMD_PACKET);
            rig_out16(&rig, 0x170, 0x25);
        } else if (list) {
            rig_packet(&rig, CD, CDB(0x12, [4] = 36), 0, 0xfffe);
        } else {
            rig_packet(&rig, CD, CDB(0xbe, [5] = 3, [8] = 6, [9] = raw ? 0xf8 : 0x10), 0,
                       how < 2 ? 5000 : 1000);
        }
        ide_rig_settle(&rig);
        bus_port_read_block(rig.bus, 0x170, 2, data, at / 2);
        assert_true(rig.dev->ops->quiesce(rig.dev));
        uint8_t *saved = ide_rig_save(&rig, &size);
        assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
        uint8_t *copy = ide_rig_save(&rig, &again);
        assert_int_equal(size, again);
        assert_memory_equal(saved, copy, size);
        free(saved);
        free(copy);
        rig.dev->ops->resume(rig.dev);
        if (how == 7) {
            for (unsigned i = 1; i < 6; i++)
                rig_out16(&rig, 0x170, 0);
            assert_int_equal(byte_count(), 8);
            rig_read_data(&rig, CD, data, 8);
            assert_int_equal(data[2] << 8 | data[3], MEDIUM_BLOCKS - 1);
            assert_int_equal(rig_ack(&rig, CD), READY);
            continue;
        }
        while (at < length) {
            ide_rig_settle(&rig);
            assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
            *(uint16_t *)(data + at) = rig_in16(&rig, 0x170);
            at += 2;
        }
        assert_int_equal(rig_ack(&rig, CD), READY);
        for (unsigned i = 0; i < 6 && !list; i++)
            assert_medium_bytes(data + i * unit + (raw ? 16 : 0), (3 + i) * 2048, 2048);
    }
}

static void a_saved_dma_read_is_issued_again(void **state)
{
    size_t size;

    rig_prd(&rig, TABLE, 0, RAM, 3000, true);
    dma(CDB(0x28, [5] = 9, [8] = 3));
    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size);
    assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
    free(saved);
    rig.dev->ops->resume(rig.dev);
    rig_dma_stop(&rig, 1);
    rig_prd(&rig, TABLE, 0, RAM + 3000, 4096, true);
    rig_dma_setup(&rig, 1, TABLE, true);
    rig_dma_start(&rig, 1, true);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, CD), READY);
    assert_medium_bytes(rig.fake.ram + RAM, 9 * 2048, 3 * 2048);
}

static void a_state_that_cannot_be_is_refused(void **state)
{
    size_t size;

    rig_packet(&rig, CD, CDB(0x28, [5] = 3, [8] = 2), 0, 2048);
    ide_rig_settle(&rig);
    assert_true(rig.dev->ops->quiesce(rig.dev));
    uint8_t *saved = ide_rig_save(&rig, &size), *spoilt = malloc(size);
    unsigned refused = 0;
    for (size_t at = 0; at < size; at++) { /* none of them may crash, now or later */
        memcpy(spoilt, saved, size);
        spoilt[at] ^= 0x84;
        if (ide_rig_migrate(&rig, spoilt, size)) {
            refused++;
        } else {
            rig.dev->ops->resume(rig.dev);
            ide_rig_settle(&rig);
            for (unsigned i = 0; i < 3000; i++)
                rig_in16(&rig, 0x170);
            ide_rig_settle(&rig);
        }
    }
    assert_true(refused > 20);
    assert_int_equal(ide_rig_migrate(&rig, saved, size), 0);
    free(saved);
    free(spoilt);
}

#define MEDIUM(name) cmocka_unit_test_setup_teardown(name, with_medium, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEDIUM(a_saved_drive_goes_on_where_it_was),
        MEDIUM(a_saved_dma_read_is_issued_again),
        MEDIUM(a_state_that_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
