/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IDENTIFY DEVICE against what the drive then does: every claim is put to the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/backend/blk_ops.h"
#include "tests/unit/ata_rig.h"

static int named(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {8192},
                                                   .firmware = "FW 12.34",
                                                   .wwn = 0x5000c50015ea71ad,
                                                   .solid_state = true,
                                                   .physical_block = 4096});
}

static int plain(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {8192}, .no_discard = true});
}

static int read_only(void **state)
{
    return ata_rig_setup(&(struct ide_rig_options){.sectors = {8192}, .read_only = true});
}

static uint16_t words[256];

static void take_words(void)
{
    uint8_t bytes[512], sum = 0;

    identify(0, bytes);
    for (unsigned i = 0; i < 256; i++)
        words[i] = word_of(bytes, i);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + bytes[i]);
    assert_int_equal(sum, 0);
}

/* Whether the command is taken; whatever it wants then is cut short. */
static bool taken(uint8_t opcode)
{
    bool aborted;

    rig_command_ext(&rig, 0, opcode, 0x80, 1); /* the log that can be read and written */
    aborted = (rig_status(&rig, 0) & (ATA_SR_BSY | ATA_SR_ERR)) == ATA_SR_ERR &&
              rig_reg(&rig, 0, ATA_REG_ERROR) == ATA_ER_ABRT;
    rig_srst(&rig, 0);
    ide_rig_settle(&rig);
    return !aborted;
}

static bool smart_taken(uint8_t feature, uint8_t lba_low)
{
    rig_smart(&rig, 0, feature, lba_low, 1);
    bool aborted = rig_status(&rig, 0) & ATA_SR_ERR;
    rig_srst(&rig, 0);
    return !aborted;
}

static void assert_string(unsigned word, const char *text)
{
    for (unsigned i = 0; text[i]; i++)
        assert_int_equal(words[word + i / 2] >> (i % 2 ? 0 : 8) & 0xff, text[i]);
}

static void identify_says_what_is_offered(void **state)
{
    uint8_t id[512], sum = 0;

    identify(0, id);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + id[i]);
    assert_int_equal(sum, 0);
    assert_int_equal(word_of(id, 0) & 0x8080, 0); /* an ATA disk, fixed */
    assert_int_equal(word_of(id, 1), 8192 / (16 * 63));
    assert_int_equal(word_of(id, 3), 16);
    assert_int_equal(word_of(id, 6), 63);
    assert_int_equal(word_of(id, 60) | word_of(id, 61) << 16, 8192);
    assert_int_equal(word_of(id, 100) | word_of(id, 101) << 16, 8192);
    assert_int_equal(word_of(id, 102) | word_of(id, 103), 0);
    assert_int_equal(word_of(id, 49) & 0x0300, 0x0300); /* LBA, DMA */
    assert_int_equal(word_of(id, 53), 7);
    assert_int_equal(word_of(id, 63), 7);
    assert_int_equal(word_of(id, 83) & 0xc400, 0x4400); /* valid, 48-bit */
    assert_int_equal(word_of(id, 85) & 0x0020, 0x0020); /* write cache on */
    assert_int_equal(word_of(id, 93) & 0xe000, 0x6000); /* valid, 80 conductors */
    assert_memory_equal(id + 2 * 27, "oimeduH RADDSI K", 16);
    assert_memory_equal(id + 2 * 10, "oimedup- 0", 10);
}

static void identify_follows_settings(void **state)
{
    uint8_t id[512];

    features(0x03, 0x22);
    assert_completed(0);
    rig_command(&rig, 0, 0xc6, 0, 4);
    assert_completed(0);
    features(0x82, 0);
    assert_completed(0);
    features(0x55, 0);
    assert_completed(0);
    rig_command_chs(&rig, 0, 0x91, 0, 7, 0, 32);
    assert_completed(0);
    identify(0, id);
    assert_int_equal(word_of(id, 63), 0x0407);
    assert_int_equal(word_of(id, 88), 0x003f);
    assert_int_equal(word_of(id, 59), 0x0104);
    assert_int_equal(word_of(id, 85) & 0x0060, 0);
    assert_int_equal(word_of(id, 54), 8192 / (8 * 32));
    assert_int_equal(word_of(id, 55), 8);
    assert_int_equal(word_of(id, 56), 32);

    features(0x03, 0x45);
    assert_completed(0);
    identify(0, id);
    assert_int_equal(word_of(id, 63), 0x0007);
    assert_int_equal(word_of(id, 88), 0x203f);
}

static void identify_packet_device_is_not_for_disks(void **state)
{
    rig_command(&rig, 0, 0xa1, 0, 0);
    assert_aborted(0);
}

static void every_feature_set_claimed_is_there(void **state)
{
    take_words();
    assert_int_equal(words[80], 0x03f0);
    assert_int_equal(words[82], 0x4069); /* NOP, look-ahead, write cache, power, SMART */
    assert_true(smart_taken(0xd0, 0) && smart_taken(0xda, 0));
    assert_int_equal(words[83], 0x7400); /* FLUSH CACHE EXT, FLUSH CACHE, 48-bit */
    assert_true(taken(0xe7) && taken(0xea) && taken(0x24));
    assert_int_equal(words[84], 0x4063); /* FUA, GPL, SMART self-test and error log */
    assert_true(taken(0x3d) && taken(0xce) && taken(0x2f) && taken(0x3f));
    assert_true(smart_taken(0xd5, 1) && smart_taken(0xd5, 6) && smart_taken(0xd4, 1));
    assert_int_equal(words[85], 0x4069);
    assert_int_equal(words[86], 0xb400); /* and words 119-120 */
    assert_int_equal(words[87], 0x4063);
    assert_int_equal(words[119], 0x4008); /* READ and WRITE LOG DMA EXT */
    assert_int_equal(words[120], 0x4008);
    assert_true(taken(0x47) && taken(0x57));
    assert_int_equal(words[105], ATA_DATA_SECTORS);
    assert_int_equal(words[169], 1);
}

/* ATA8-ACS 7.16: each of these bits is zero, so its commands must be aborted. */
static void what_is_not_claimed_is_aborted(void **state)
{
    static const uint8_t security[] = {0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6};
    static const uint8_t hpa[] = {0xf8, 0xf9, 0x27, 0x37};
    static const uint8_t others[] = {0x92, 0x93, 0xe4, 0xe8, 0x45, 0x5c, 0x5e, 0xb1, 0x26,
                                     0x36, 0xc7, 0xcc, 0x60, 0x61, 0xd1, 0xda, 0xf7, 0x44};

    take_words();
    assert_int_equal(words[82] & 0x0002, 0); /* Security */
    assert_int_equal(words[128], 0);
    for (unsigned i = 0; i < sizeof(security); i++)
        assert_false(taken(security[i]));
    assert_int_equal(words[82] & 0x0400, 0); /* Host Protected Area */
    assert_int_equal(words[83] & 0x0100, 0); /* SET MAX security */
    for (unsigned i = 0; i < sizeof(hpa); i++)
        assert_false(taken(hpa[i]));
    assert_int_equal(words[82] & 0x3000, 0);    /* READ and WRITE BUFFER */
    assert_int_equal(words[83] & 0x0801, 0);    /* DCO, DOWNLOAD MICROCODE */
    assert_int_equal(words[83] & 0x0002, 0);    /* queued */
    assert_int_equal(words[119] & 0x0004, 0);   /* WRITE UNCORRECTABLE EXT */
    assert_int_equal(words[75] | words[76], 0); /* NCQ, and Serial ATA altogether */
    for (unsigned i = 0; i < sizeof(others); i++)
        assert_false(taken(others[i]));
    take_words(); /* it is as well as before */
    assert_int_equal(words[60] | words[61] << 16, 8192);
}

static void names_are_those_configured(void **state)
{
    take_words();
    assert_string(23, "FW 12.34");
    assert_int_equal(words[84] & 0x0100, 0x0100);
    assert_int_equal(words[87] & 0x0100, 0x0100);
    assert_int_equal(words[108], 0x5000);
    assert_int_equal(words[109], 0xc500);
    assert_int_equal(words[110], 0x15ea);
    assert_int_equal(words[111], 0x71ad);
}

static void without_a_name_there_is_none(void **state)
{
    take_words();
    assert_string(23, "1.0     ");
    assert_int_equal(words[84] & 0x0100, 0);
    for (unsigned i = 108; i <= 111; i++)
        assert_int_equal(words[i], 0);
}

static void the_backings_blocks_and_motor_are_reported(void **state)
{
    take_words();
    assert_int_equal(words[106], 0x6003); /* eight sectors a physical one */
    assert_int_equal(words[209], 0x4000); /* the first begins one */
    assert_int_equal(words[217], 1);
    ide_rig_finish(&rig);
    ide_rig_init(&rig, NULL);
    take_words();
    assert_int_equal(words[106], 0);
    assert_int_equal(words[217], 0); /* not reported */
}

static void trim_is_offered_by_disks_that_can_only(void **state)
{
    take_words();
    assert_int_equal(words[105], 0);
    assert_int_equal(words[169], 0);
    rig_features(&rig, 0, 1);
    assert_false(taken(0x06));
}

static void smart_can_be_switched_off(void **state)
{
    rig_smart(&rig, 0, 0xd9, 0, 0);
    assert_int_equal(rig_ack(&rig, 0), READY);
    take_words();
    assert_int_equal(words[82] & 1, 1);
    assert_int_equal(words[85] & 1, 0);
    assert_false(smart_taken(0xd0, 0));
    assert_false(smart_taken(0xda, 0));
    assert_false(smart_taken(0xd5, 0));
    rig_smart(&rig, 0, 0xd8, 0, 0);
    assert_int_equal(rig_ack(&rig, 0), READY);
    take_words();
    assert_int_equal(words[85] & 1, 1);
    assert_true(smart_taken(0xd0, 0));
}

static const uint8_t data[512] = {1, 2, 3};

/* A FUA write asks for no flush and is one request; the same without FUA, cache off, needs one. */
static void fua_writes_are_stable_in_themselves(void **state)
{
    const struct blk_counters *counters = blk_counters(rig.spec.drive[0].blk);

    rig_features(&rig, 0, 0x82); /* the write cache off: flushes */
    rig_command(&rig, 0, 0xef, 0, 0);
    ide_rig_settle(&rig);
    uint64_t flushes = counters->flushes;
    rig_command_ext(&rig, 0, 0x34, 7, 1);
    rig_write_data(&rig, 0, data, 512);
    ide_rig_settle(&rig);
    assert_int_equal(counters->flushes, flushes + 1);
    rig_command_ext(&rig, 0, 0xce, 9, 1);
    rig_write_data(&rig, 0, data, 512);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, 0), READY);
    assert_int_equal(counters->flushes, flushes + 1);
    assert_int_equal(counters->writes, 2);
    assert_memory_equal(rig.disk[0] + 9 * 512, data, 512);

    memcpy(rig.fake.ram + 0x8000, data, 512);
    rig_prd(&rig, 0x1000, 0, 0x8000, 512, true);
    rig_dma_setup(&rig, 0, 0x1000, false);
    rig_command_ext(&rig, 0, 0x3d, 11, 1);
    rig_dma_start(&rig, 0, false);
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, 0), READY);
    rig_dma_stop(&rig, 0);
    assert_memory_equal(rig.disk[0] + 11 * 512, data, 512);
    assert_int_equal(counters->flushes, flushes + 1);
}

/* The request itself carries it: seen at the backend, whose ops are wrapped. */
static struct blk_backend_ops wrapped;
static const struct blk_backend_ops *inner;
static unsigned fua_seen, plain_seen;

static void submit(struct blk_image *image, struct blk_req *req)
{
    if (req->op == BLK_WRITE && req->fua)
        fua_seen++;
    else if (req->op == BLK_WRITE)
        plain_seen++;
    inner->submit(image, req);
}

static void fua_reaches_the_backend_with_each_request(void **state)
{
    static uint8_t many[200 * 512];

    inner = rig.image[0]->ops;
    wrapped = *inner;
    wrapped.submit = submit;
    rig.image[0]->ops = &wrapped;
    fua_seen = plain_seen = 0;
    rig_command_ext(&rig, 0, 0xce, 100, 200);
    rig_write_data(&rig, 0, many, sizeof(many));
    ide_rig_settle(&rig);
    assert_int_equal(rig_ack(&rig, 0), READY);
    assert_int_equal(fua_seen, (200 + ATA_PIO_CHUNK_MAX - 1) / ATA_PIO_CHUNK_MAX);
    assert_int_equal(plain_seen, 0);
    rig_command_ext(&rig, 0, 0x39, 100, 1);
    rig_write_data(&rig, 0, many, 512);
    ide_rig_settle(&rig);
    assert_int_equal(plain_seen, 1);
    rig.image[0]->ops = inner;
}

static void a_read_only_disk_takes_no_fua_writes_and_no_trim(void **state)
{
    assert_false(taken(0x3d));
    assert_false(taken(0xce));
    rig_features(&rig, 0, 1);
    assert_false(taken(0x06));
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, ata_rig_finish)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(identify_says_what_is_offered, ata_rig_one_disk),
        T(identify_follows_settings, ata_rig_one_disk),
        T(identify_packet_device_is_not_for_disks, ata_rig_one_disk),
        T(every_feature_set_claimed_is_there, ata_rig_one_disk),
        T(what_is_not_claimed_is_aborted, ata_rig_one_disk),
        T(names_are_those_configured, named),
        T(without_a_name_there_is_none, ata_rig_one_disk),
        T(the_backings_blocks_and_motor_are_reported, named),
        T(trim_is_offered_by_disks_that_can_only, plain),
        T(smart_can_be_switched_off, ata_rig_one_disk),
        T(fua_writes_are_stable_in_themselves, ata_rig_one_disk),
        T(fua_reaches_the_backend_with_each_request, ata_rig_one_disk),
        T(a_read_only_disk_takes_no_fua_writes_and_no_trim, read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
